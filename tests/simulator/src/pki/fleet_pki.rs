//! A PKI of our own for any number of eUICCs, made from a seed at run time.

use super::certificate::{
    self, COMMON_NAME, COUNTRY, Contents, ORGANIZATION, SERIAL_NUMBER, authority_key_id, basic_constraints_ca, key_id,
    key_usage_ca, key_usage_digital_signature, name, name_constraints, registered_id, role, subject_key_id,
};
use super::{EuiccIdentity, PkiError, seeded_key};
use eim_core::ids::Eid;
use eim_core::pki::{Curve, SigningKey};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const EUM_ORGANIZATION: &str = "Simulated EUM";

/// A CI, an EUM below it, and as many eUICCs as are asked for. The same seed gives the same octets.
#[derive(Debug, Clone)]
pub struct FleetPki {
    curve: Curve,
    seed: u64,
    eid_prefix: String,
    ci_key_id: Vec<u8>,
    ci_certificate: Vec<u8>,
    eum_key: Arc<SigningKey>,
    eum_name: Vec<u8>,
    eum_certificate: Vec<u8>,
}

impl FleetPki {
    /// Makes CI and EUM on P-256.
    ///
    /// # Errors
    /// [`PkiError::Key`] when no key can be made of the seed, which does not happen in practice.
    pub fn generate(seed: u64) -> Result<Self, PkiError> {
        Self::generate_on(Curve::P256, seed)
    }

    /// Makes CI and EUM on this curve; the eUICCs are on it, too.
    ///
    /// # Errors
    /// Those of [`Self::generate`].
    pub fn generate_on(curve: Curve, seed: u64) -> Result<Self, PkiError> {
        let ci_key = seeded_key(curve, seed, "CI")?;
        let eum_key = seeded_key(curve, seed, "EUM")?;
        let eid_prefix = format!("8999{:04}", seed % 10_000);
        let attribute = |kind: (u8, u32), text| (kind.0, kind.1, text);
        let ci_name = name(&[attribute(COMMON_NAME, "Simulated CI"), attribute(COUNTRY, "DE")]);
        let ci_certificate = certificate::certificate(&Contents {
            issuer: &ci_name,
            subject: &ci_name,
            subject_key: &ci_key,
            issuer_key: &ci_key,
            extensions: &[
                subject_key_id(&ci_key),
                basic_constraints_ca(None),
                role(0),
                key_usage_ca(true),
                registered_id(1),
            ],
        });
        let eum_name =
            name(&[attribute(COUNTRY, "DE"), attribute(ORGANIZATION, EUM_ORGANIZATION), attribute(COMMON_NAME, "EUM")]);
        let eum_certificate = certificate::certificate(&Contents {
            issuer: &ci_name,
            subject: &eum_name,
            subject_key: &eum_key,
            issuer_key: &ci_key,
            extensions: &[
                authority_key_id(&ci_key),
                subject_key_id(&eum_key),
                key_usage_ca(false),
                role(2),
                registered_id(5),
                basic_constraints_ca(Some(0)),
                name_constraints(EUM_ORGANIZATION, &eid_prefix),
            ],
        });
        Ok(Self {
            curve,
            seed,
            eid_prefix,
            ci_key_id: key_id(&ci_key),
            ci_certificate,
            eum_key: Arc::new(eum_key),
            eum_name,
            eum_certificate,
        })
    }

    /// CERT.CI.ECDSA, DER: what an eIM has to trust.
    #[must_use]
    pub fn ci_certificate(&self) -> &[u8] {
        &self.ci_certificate
    }

    /// CERT.EUM.ECDSA, DER.
    #[must_use]
    pub fn eum_certificate(&self) -> &[u8] {
        &self.eum_certificate
    }

    /// Key identifier of the CI.
    #[must_use]
    pub fn ci_key_id(&self) -> &[u8] {
        &self.ci_key_id
    }

    /// Writes `ci.der` into this directory, which is made if it is not there: the folder that an eIM loads roots from.
    ///
    /// # Errors
    /// [`PkiError::File`] when that fails.
    pub fn write_ci_dir(&self, dir: &Path) -> Result<PathBuf, PkiError> {
        let path = dir.join("ci.der");
        std::fs::create_dir_all(dir)
            .and_then(|()| std::fs::write(&path, &self.ci_certificate))
            .map_err(|cause| PkiError::File { path: path.clone(), cause })?;
        Ok(path)
    }

    /// The EID of the eUICC with this index: the EUM's digits, the index, right check digits.
    #[must_use]
    pub fn eid(&self, index: u32) -> Eid {
        let digits = format!("{}{index:022}", self.eid_prefix);
        let remainder =
            digits.bytes().chain(*b"00").fold(0_u32, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97);
        let mut octets = [0_u8; 16];
        let text = format!("{digits}{:02}", 98 - remainder);
        for (octet, pair) in octets.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *octet = pair.iter().fold(0, |value, digit| value << 4 | (digit - b'0'));
        }
        // every nibble above is a digit
        Eid::from_octets(&octets).unwrap_or_else(|_| unreachable!("the EID is made of digits"))
    }

    /// The eUICC with this index: EID, key and certificate.
    ///
    /// # Errors
    /// Those of [`Self::generate`].
    pub fn euicc(&self, index: u32) -> Result<EuiccIdentity, PkiError> {
        let key = seeded_key(self.curve, self.seed, &format!("eUICC {index}"))?;
        let eid = self.eid(index);
        let attribute = |kind: (u8, u32), text| (kind.0, kind.1, text);
        let subject = name(&[
            attribute(COUNTRY, "DE"),
            attribute(ORGANIZATION, EUM_ORGANIZATION),
            attribute(SERIAL_NUMBER, &eid.to_string()),
            attribute(COMMON_NAME, "Simulated eUICC"),
        ]);
        let certificate = certificate::certificate(&Contents {
            issuer: &self.eum_name,
            subject: &subject,
            subject_key: &key,
            issuer_key: &self.eum_key,
            extensions: &[
                authority_key_id(&self.eum_key),
                subject_key_id(&key),
                key_usage_digital_signature(),
                role(1),
            ],
        });
        Ok(EuiccIdentity {
            eid,
            key: Arc::new(key),
            certificate,
            eum_certificate: self.eum_certificate.clone(),
            ci_key_id: self.ci_key_id.clone(),
        })
    }
}
