//! Where the signing key is kept: a file for now.

use anyhow::Context;
use eim_core::pki::SigningKey;
use eim_core::ports::{EimSigner, SignerError};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A signing key read from a PEM file. Nothing shows the key: `Debug` tells only what it is.
pub struct FileSigner {
    key: SigningKey,
    public_key: Vec<u8>,
}

impl FileSigner {
    /// Reads a PKCS#8 key. A file that others may read is used, with a warning.
    ///
    /// # Errors
    /// When the file can't be read or holds no key on P-256 or brainpoolP256r1.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).context("can't be read")?;
        // The cause is dropped on purpose: it could quote the file.
        let key = SigningKey::from_pem(&text)
            .ok()
            .context("is not an unencrypted PEM private key on P-256 or brainpoolP256r1")?;
        if path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
            tracing::warn!(file = %path.display(), "the signing key can be read by others; chmod 600 is advised");
        }
        let public_key = key.public_key_spki();
        Ok(Self { key, public_key })
    }
}

impl EimSigner for FileSigner {
    fn sign(&self, octets: &[u8]) -> Result<[u8; 64], SignerError> {
        Ok(self.key.sign(octets))
    }

    fn public_key(&self) -> &[u8] {
        &self.public_key
    }
}

impl std::fmt::Debug for FileSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileSigner")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_error_and_debug_do_not_show_the_key() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n").unwrap();
        let error = FileSigner::load(file.path()).unwrap_err();
        assert!(!format!("{error:#}").contains("c2Vj"));
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(file.path(), key.serialize_pem()).unwrap();
        let signer = FileSigner::load(file.path()).unwrap();
        assert_eq!(format!("{signer:?}"), "FileSigner");
        assert_eq!(signer.sign(b"x").unwrap().len(), 64);
    }
}
