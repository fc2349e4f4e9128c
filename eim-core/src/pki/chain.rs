//! The chain CI -> EUM -> eUICC (SGP.22 4.5.2, 5.7.13; SGP.14; Variant O).
//!
//! The checks are those of the GSMA, not of RFC 5280: the name constraint of an EUM is no prefix of an eUICC's name.
//! Revocation lists are not consulted.

use super::certificate::Certificate;
use super::error::{ChainFault, TrustError};
use super::key_id::KeyId;
use super::public_key::PublicKey;
use super::role::Role;
use super::trust_store::TrustStore;
use super::verified::{Leniency, Signer};
use crate::ids::Eid;
use chrono::{DateTime, Utc};

/// Proof that an eUICC's certificate chains to a trusted CI, and the key that is thereby known to be the eUICC's.
///
/// Only [`verify_euicc_chain`] makes it. It holds for the moment it was made for; who keeps it asks
/// [`Self::is_valid_at`] before using it again, and drops it when the trust store changes.
///
/// ```compile_fail
/// use eim_core::pki::{PublicKey, Signer, VerifiedChain};
/// fn forge(key: PublicKey, signer: Signer, valid_until: chrono::DateTime<chrono::Utc>) -> VerifiedChain {
///     VerifiedChain { key, signer, valid_from: valid_until, valid_until, warnings: Vec::new() }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct VerifiedChain {
    key: PublicKey,
    signer: Signer,
    valid_from: DateTime<Utc>,
    valid_until: DateTime<Utc>,
    warnings: Vec<Leniency>,
}

impl VerifiedChain {
    /// The eUICC's key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Whose key it is, and which root vouches for it.
    #[must_use]
    pub const fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The EID in the certificate, equal to the one that was expected.
    #[must_use]
    pub const fn eid(&self) -> Eid {
        self.signer.eid
    }

    /// The last moment at which all certificates of the chain are valid.
    #[must_use]
    pub const fn valid_until(&self) -> DateTime<Utc> {
        self.valid_until
    }

    /// Whether all of the certificates are valid at `now`.
    #[must_use]
    pub fn is_valid_at(&self, now: DateTime<Utc>) -> bool {
        self.valid_from <= now && now <= self.valid_until
    }

    /// What was tolerated.
    #[must_use]
    pub fn warnings(&self) -> &[Leniency] {
        &self.warnings
    }
}

/// Verifies CI -> EUM -> eUICC at `now`, for the eUICC with `expected_eid`.
///
/// Checked are: structure and unknown critical extensions; the CI by key identifier; names, key identifiers and
/// signatures; validity of all three; CA flag, path length and keyCertSign of the issuers; policies by role;
/// digitalSignature of the eUICC; O and EID against the EUM's permitted subtrees, of which any one suffices; the EID.
/// Wrong check digits of the EID are tolerated and flagged.
///
/// # Errors
/// The first check that fails, in the order above.
pub fn verify_euicc_chain(
    store: &TrustStore,
    eum_der: &[u8],
    euicc_der: &[u8],
    now: DateTime<Utc>,
    expected_eid: &Eid,
) -> Result<VerifiedChain, TrustError> {
    let eum = parse(eum_der, Role::Eum)?;
    let euicc = parse(euicc_der, Role::Euicc)?;
    let eid = euicc.eid().map_err(|cause| TrustError::Certificate { role: Role::Euicc, cause })?;

    let (ci, ci_key_id) = find_ci(store, &eum, Role::Eum, now)?;
    check_issued(ci, &eum, Role::Eum)?;
    check_issued(&eum, &euicc, Role::Euicc)?;

    check_validity(ci, Role::Ci, now)?;
    check_validity(&eum, Role::Eum, now)?;
    check_validity(&euicc, Role::Euicc, now)?;

    // The EUM is the one intermediate certificate below the CI, and none may be below the EUM.
    check_ca(ci, Role::Ci, 1)?;
    check_ca(&eum, Role::Eum, 0)?;
    check_policy(&eum, Role::Eum)?;
    check_policy(&euicc, Role::Euicc)?;
    check_key_cert_sign(&eum, Role::Eum)?;
    check_digital_signature(&euicc, Role::Euicc)?;

    check_name_constraints(&eum, &euicc, eid)?;
    if eid != *expected_eid {
        return Err(TrustError::EidMismatch { expected: *expected_eid, found: eid });
    }

    let [of_ci, of_eum, of_euicc] = [ci, &eum, &euicc].map(Certificate::validity);
    Ok(VerifiedChain {
        key: euicc.public_key().clone(),
        signer: Signer { eid, ci_key_id: ci_key_id.clone(), euicc_certificate_sha256: euicc.sha256() },
        valid_from: of_ci.not_before.max(of_eum.not_before).max(of_euicc.not_before),
        valid_until: of_ci.not_after.min(of_eum.not_after).min(of_euicc.not_after),
        warnings: if eid.check_digits_ok() { Vec::new() } else { vec![Leniency::EidCheckDigits] },
    })
}

/// Checks what can be told of EUM -> eUICC without the CI: structure, names, key identifiers and the EUM's signature,
/// policies by role, key usages, name constraints, the EID. It proves nothing: whoever makes a EUM certificate of their own
/// passes. It is for certificates that are kept until a CI is trusted.
///
/// # Errors
/// The first check that fails.
pub fn check_below_ci(eum_der: &[u8], euicc_der: &[u8], expected_eid: &Eid) -> Result<(), TrustError> {
    let eum = parse(eum_der, Role::Eum)?;
    let euicc = parse(euicc_der, Role::Euicc)?;
    let eid = euicc.eid().map_err(|cause| TrustError::Certificate { role: Role::Euicc, cause })?;
    if eid != *expected_eid {
        return Err(TrustError::EidMismatch { expected: *expected_eid, found: eid });
    }
    check_issued(&eum, &euicc, Role::Euicc)?;
    check_ca(&eum, Role::Eum, 0)?;
    check_policy(&eum, Role::Eum)?;
    check_policy(&euicc, Role::Euicc)?;
    check_key_cert_sign(&eum, Role::Eum)?;
    check_digital_signature(&euicc, Role::Euicc)?;
    check_name_constraints(&eum, &euicc, eid)
}

pub(super) fn parse(der: &[u8], role: Role) -> Result<Certificate, TrustError> {
    Certificate::parse(der).map_err(|cause| TrustError::Certificate { role, cause })
}

/// The trusted CI certificate that a certificate names as its issuer's: one that is valid now, if there are several.
pub(super) fn find_ci<'a, 'b>(
    store: &'a TrustStore,
    issued: &'b Certificate,
    role: Role,
    now: DateTime<Utc>,
) -> Result<(&'a Certificate, &'b KeyId), TrustError> {
    let named = issued.extensions().authority_key_id.as_ref();
    let untrusted = || TrustError::UntrustedCi { role, authority_key_id: named.cloned() };
    let key_id = named.ok_or_else(untrusted)?;
    let roots = store.roots(key_id);
    let valid = roots.iter().find(|root| check_validity(root, Role::Ci, now).is_ok());
    valid.or(roots.last()).map(|root| (root, key_id)).ok_or_else(untrusted)
}

/// Names, key identifiers and the signature over the TBS octets as received.
pub(super) fn check_issued(issuer: &Certificate, issued: &Certificate, role: Role) -> Result<(), TrustError> {
    let fault = |fault| TrustError::Chain { role, fault };
    if !issued.issuer().same_as(issuer.subject()) {
        return Err(fault(ChainFault::Name));
    }
    let key_id = issuer.extensions().subject_key_id.as_ref();
    if key_id.is_none() || issued.extensions().authority_key_id.as_ref() != key_id {
        return Err(fault(ChainFault::KeyId));
    }
    issued.is_signed_by(issuer.public_key()).map_err(|cause| fault(ChainFault::Signature(cause)))
}

pub(super) fn check_validity(certificate: &Certificate, role: Role, now: DateTime<Utc>) -> Result<(), TrustError> {
    let validity = certificate.validity();
    if now < validity.not_before {
        return Err(TrustError::CertificateNotYetValid { role, not_before: validity.not_before });
    }
    if now > validity.not_after {
        return Err(TrustError::CertificateExpired { role, not_after: validity.not_after });
    }
    Ok(())
}

/// The CA flag, and that `below` intermediate certificates may follow.
pub(super) fn check_ca(certificate: &Certificate, role: Role, below: u8) -> Result<(), TrustError> {
    match certificate.extensions().basic_constraints {
        Some(constraints) if constraints.ca && constraints.path_len.is_none_or(|most| most >= below) => Ok(()),
        _ => Err(TrustError::NotACa { role }),
    }
}

pub(super) fn check_policy(certificate: &Certificate, role: Role) -> Result<(), TrustError> {
    if certificate.extensions().policies.iter().any(|policy| role.is_stated_by(policy)) {
        Ok(())
    } else {
        Err(TrustError::CertificatePolicy { role })
    }
}

fn check_key_cert_sign(certificate: &Certificate, role: Role) -> Result<(), TrustError> {
    if certificate.extensions().key_usage.is_some_and(|usage| usage.key_cert_sign) {
        Ok(())
    } else {
        Err(TrustError::KeyUsage { role, missing: "keyCertSign" })
    }
}

pub(super) fn check_digital_signature(certificate: &Certificate, role: Role) -> Result<(), TrustError> {
    if certificate.extensions().key_usage.is_some_and(|usage| usage.digital_signature) {
        Ok(())
    } else {
        Err(TrustError::KeyUsage { role, missing: "digitalSignature" })
    }
}

/// The EUM may issue for its own organization and its own range of EIDs only.
fn check_name_constraints(eum: &Certificate, euicc: &Certificate, eid: Eid) -> Result<(), TrustError> {
    let refusal = |fault| Err(TrustError::NameConstraint { eid, fault });
    let Some(constraints) = &eum.extensions().name_constraints else {
        return refusal("it has no name constraints");
    };
    if constraints.has_excluded {
        return refusal("it has excluded subtrees, which are not interpreted");
    }
    if constraints.permitted.iter().any(|subtree| euicc.subject().is_inside(subtree)) {
        Ok(())
    } else {
        refusal("no permitted subtree has its organization and EID prefix")
    }
}
