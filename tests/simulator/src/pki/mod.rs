//! Keys and certificates of simulated eUICCs: the shared test PKI, and PKIs that are made at run time from a seed.
//!
//! Nothing here is fit for anything but tests: every private key can be computed from its seed.

mod certificate;
mod fleet_pki;
mod test_pki;

pub use certificate::{self_signed_tls, signature_to_der};
pub use fleet_pki::{FleetPki, ServerCertificateFault, ServerCertificateRole, ServerIdentity};
pub use test_pki::TestPki;

use eim_core::ids::Eid;
use eim_core::pki::{CertificateError, Curve, KeyError, SigningKey};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::Arc;

/// What makes an eUICC one of its kind: its number, its key, and the certificates that vouch for it.
#[derive(Debug, Clone)]
pub struct EuiccIdentity {
    /// The EID; also in the certificate.
    pub eid: Eid,
    /// SK.EUICC.ECDSA.
    pub key: Arc<SigningKey>,
    /// CERT.EUICC.ECDSA, DER.
    pub certificate: Vec<u8>,
    /// CERT.EUM.ECDSA, DER.
    pub eum_certificate: Vec<u8>,
    /// Key identifier of the CI that the chain ends in.
    pub ci_key_id: Vec<u8>,
}

/// Why keys or certificates could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file of the test PKI can't be read or written.
    #[error("can't access {}: {cause}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A key file holds no usable key.
    #[error("can't use the key {name}: {cause}")]
    Key {
        /// Which one.
        name: String,
        /// Why.
        cause: KeyError,
    },
    /// A text is no object identifier in dotted form.
    #[error("not an object identifier: {text}")]
    Oid {
        /// The text.
        text: String,
    },
    /// A certificate file holds no usable certificate.
    #[error("can't use the certificate {name}: {cause}")]
    Certificate {
        /// Which one.
        name: String,
        /// Why.
        cause: CertificateError,
    },
}

/// The key that a seed and a label give, always the same.
///
/// # Errors
/// Never in practice: one scalar in 2^32 is out of range, and then the next one is taken.
pub fn seeded_key(curve: Curve, seed: u64, label: &str) -> Result<SigningKey, PkiError> {
    let mut last = KeyError::Randomness;
    for attempt in 0..16_u8 {
        let scalar: [u8; 32] = Sha256::new()
            .chain_update(b"eim-simulator key")
            .chain_update(seed.to_be_bytes())
            .chain_update([attempt])
            .chain_update(label.as_bytes())
            .finalize()
            .into();
        match SigningKey::from_scalar(curve, &scalar) {
            Ok(key) => return Ok(key),
            Err(cause) => last = cause,
        }
    }
    Err(PkiError::Key { name: label.to_owned(), cause: last })
}
