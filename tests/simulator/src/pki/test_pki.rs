//! The test PKI that comes with the shared vectors: both curves, three good eUICCs, and many bad certificates.

use super::{EuiccIdentity, PkiError};
use eim_core::pki::{Certificate, Curve, SigningKey};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files of one folder with `nist/` and `brp/` in it.
#[derive(Debug, Clone)]
pub struct TestPki {
    dir: PathBuf,
}

impl TestPki {
    /// Takes the folder `pki` of the vectors.
    ///
    /// # Errors
    /// [`PkiError::File`] when it is not there.
    pub fn load(dir: &Path) -> Result<Self, PkiError> {
        let pki = Self { dir: dir.to_path_buf() };
        pki.certificate(Curve::P256, "ci")?;
        Ok(pki)
    }

    /// The certificate of this name (`ci`, `eum`, `euicc1`, `eim_sign`, ...) in DER.
    ///
    /// # Errors
    /// [`PkiError::File`] when there is none.
    pub fn certificate(&self, curve: Curve, name: &str) -> Result<Vec<u8>, PkiError> {
        let path = self.path(curve, &format!("{name}.der"));
        std::fs::read(&path).map_err(|cause| PkiError::File { path, cause })
    }

    /// The private key of this name.
    ///
    /// # Errors
    /// [`PkiError`] when there is none, or none that can be used.
    pub fn key(&self, curve: Curve, name: &str) -> Result<SigningKey, PkiError> {
        let path = self.path(curve, &format!("{name}.key.pem"));
        let text = std::fs::read_to_string(&path).map_err(|cause| PkiError::File { path, cause })?;
        SigningKey::from_pem(&text).map_err(|cause| PkiError::Key { name: name.to_owned(), cause })
    }

    /// The eUICC of this name (`euicc1` to `euicc3`), below the good EUM.
    ///
    /// # Errors
    /// [`PkiError`] when a file is missing or can't be used.
    pub fn euicc(&self, curve: Curve, name: &str) -> Result<EuiccIdentity, PkiError> {
        self.identity(curve, name, name, "eum")
    }

    /// An eUICC of any of the certificates, also the bad ones.
    ///
    /// # Errors
    /// [`PkiError`] when a file is missing or can't be used.
    pub fn identity(&self, curve: Curve, certificate: &str, key: &str, eum: &str) -> Result<EuiccIdentity, PkiError> {
        let of = |name: &str| {
            let name = name.to_owned();
            move |cause| PkiError::Certificate { name, cause }
        };
        let der = self.certificate(curve, certificate)?;
        let eid = Certificate::parse(&der).and_then(|parsed| parsed.eid()).map_err(of(certificate))?;
        let ci = Certificate::parse(&self.certificate(curve, "ci")?).map_err(of("ci"))?;
        let ci_key_id = ci.extensions().subject_key_id.as_ref().map(|id| id.octets().to_vec()).unwrap_or_default();
        Ok(EuiccIdentity {
            eid,
            key: Arc::new(self.key(curve, key)?),
            certificate: der,
            eum_certificate: self.certificate(curve, eum)?,
            ci_key_id,
        })
    }

    fn path(&self, curve: Curve, file: &str) -> PathBuf {
        let folder = match curve {
            Curve::P256 => "nist",
            Curve::BrainpoolP256r1 => "brp",
        };
        self.dir.join(folder).join(file)
    }
}
