//! What an updateEim or deleteEim must not take from a device: the way to this eIM.

use super::{Check, CheckResult, KEEPS_THIS_EIM, check, set_aside};
use crate::asn1::{Eco, EimConfigurationData, TrustedPublicKeyDataTls};
use crate::domain::association::protocol_names;
use crate::pki;

/// How devices reach this eIM, and whose eUICCs it can believe: what an updateEim of ourselves must not take from a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnAddress {
    /// The host that IPAs contact, as configured.
    pub eim_fqdn: String,
    /// The certificate that devices are given to trust for TLS, DER; `None` where they need none.
    pub tls_certificate: Option<Vec<u8>>,
    /// The CI keys below which results are believed, as key identifiers.
    pub ci_key_ids: Vec<Vec<u8>>,
}

impl OwnAddress {
    fn is_tls_trust(&self, data: &TrustedPublicKeyDataTls) -> bool {
        let Some(certificate) = &self.tls_certificate else { return false };
        match data {
            TrustedPublicKeyDataTls::TrustedCertificateTls(given) => given.der() == certificate.as_slice(),
            TrustedPublicKeyDataTls::TrustedEimPkTls(given) => {
                pki::Certificate::parse(certificate).is_ok_and(|parsed| {
                    pki::PublicKey::from_spki(given.der()).is_ok_and(|key| key == *parsed.public_key())
                })
            }
        }
    }

    /// The member of an updateEim of ourselves after which the device may not find us, or not be believed, and why.
    fn cut_off_by(&self, data: &EimConfigurationData) -> Option<(&'static str, &'static str)> {
        let protocols = data.eim_supported_protocol.as_ref().map(protocol_names);
        let members = [
            (
                data.eim_fqdn.as_ref().is_some_and(|host| !host.eq_ignore_ascii_case(&self.eim_fqdn)),
                "eimFqdn",
                "it is another host than the one that this eIM is configured with (eim.fqdn)",
            ),
            (
                data.trusted_public_key_data_tls.as_ref().is_some_and(|trust| !self.is_tls_trust(trust)),
                "trustedPublicKeyDataTls",
                "it is not the certificate that this eIM gives out, so the device may refuse every connection",
            ),
            (
                protocols.is_some_and(|names| !names.iter().any(|name| name == RETRIEVE_HTTPS)),
                "eimSupportedProtocol",
                "it lacks eimRetrieveHttps, the one that this eIM speaks",
            ),
            (
                data.euicc_ci_pk_id.as_ref().is_some_and(|id| !self.ci_key_ids.iter().any(|known| known[..] == id[..])),
                "euiccCiPKId",
                "it is of a CI that this eIM does not trust, so no result would be believed (pki.ci_dir)",
            ),
        ];
        members.into_iter().find(|(cuts_off, ..)| *cuts_off).map(|(_, member, why)| (member, why))
    }
}

/// The protocol that this eIM speaks.
const RETRIEVE_HTTPS: &str = "eimRetrieveHttps";

/// The check of a list of eIM configuration operations: whether one deletes this eIM itself, or changes on the eUICC what the device
/// needs to reach it.
#[must_use]
pub fn configuration_checks(
    operations: &[Eco],
    own_eim_id: &str,
    address: &OwnAddress,
    overridden: &[String],
) -> Vec<Check> {
    let deletes = |eco: &Eco| matches!(eco, Eco::DeleteEim(delete) if delete.eim_id.as_str() == own_eim_id);
    let cuts_off = |eco: &Eco| match eco {
        Eco::UpdateEim(update) if update.eim_id.as_str() == own_eim_id => address.cut_off_by(update),
        _ => None,
    };
    let mut checks = vec![];
    if operations.iter().any(deletes) {
        let message = "It deletes this eIM from the eUICC. The result is the last answer that this eIM gets; if no other eIM is \
                       associated (lastEimDeleted), nobody can manage the device until somebody loads a new configuration into \
                       it.";
        let cure = "Make sure that another eIM commands the device, then let an admin override this check.";
        checks.push(check(KEEPS_THIS_EIM, CheckResult::Failed, message, cure));
    } else if let Some((member, why)) = operations.iter().find_map(cuts_off) {
        let message = format!(
            "It may cut the device off from this eIM by {member} of our own configuration on the eUICC: {why}."
        );
        let cure = "Give the value that this eIM is configured with. Where another one is meant, let an admin override this check.";
        checks.push(check(KEEPS_THIS_EIM, CheckResult::Failed, message, cure));
    }
    set_aside(&mut checks, &[], overridden);
    checks
}
