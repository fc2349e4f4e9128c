//! What the eUICC holds about an eIM (SGP.32 v1.2 2.11.2, EimConfigurationData).

use eim_core::asn1::{EimConfigurationData, EimPublicKeyData};
use eim_core::ids::AssociationToken;
use eim_core::pki::{Certificate, KeyError, PublicKey};

/// The highest counter that an eUICC takes.
pub(super) const MAX_COUNTER: i64 = 0x7f_ffff;

/// The association with one eIM.
#[derive(Debug, Clone)]
pub struct Association {
    /// eimId.
    pub eim_id: String,
    /// The key that verifies eimSignature.
    pub key: PublicKey,
    /// The counter of the last package that was executed.
    pub counter: i64,
    /// associationToken; `None` signs with `84 01 00`.
    pub token: Option<AssociationToken>,
    /// The configuration as given, with what updateEim changed; counter and token in it are not looked at.
    pub configuration: EimConfigurationData,
}

impl Association {
    /// An association of this configuration, with counter and token as given here.
    ///
    /// # Errors
    /// [`KeyError`] when the configuration has no usable key.
    pub fn new(
        configuration: EimConfigurationData,
        counter: i64,
        token: Option<AssociationToken>,
    ) -> Result<Self, KeyError> {
        let key = configuration
            .eim_public_key_data
            .as_ref()
            .ok_or(KeyError::Structure("no eimPublicKeyData"))
            .and_then(public_key)?;
        Ok(Self { eim_id: configuration.eim_id.as_str().to_owned(), key, counter, token, configuration })
    }
}

/// The key in eimPublicKeyData: bare, or that of the certificate, which is not checked further.
pub(super) fn public_key(data: &EimPublicKeyData) -> Result<PublicKey, KeyError> {
    match data {
        EimPublicKeyData::EimPublicKey(spki) => PublicKey::from_spki(spki.der()),
        EimPublicKeyData::EimCertificate(certificate) => Certificate::parse(certificate.der())
            .map(|parsed| parsed.public_key().clone())
            .map_err(|_| KeyError::Structure("the certificate can't be read")),
    }
}
