//! Where signing keys are kept.

pub mod pkcs11;

use anyhow::Context;
use eim_core::pki::SigningKey;
use eim_core::ports::{EimSigner, SignerError};
use pkcs11::{Token, TokenOptions};
use std::cell::OnceCell;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// Where a signing key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A PEM file.
    File(PathBuf),
    /// A key in the token of `[pkcs11]`, by its label.
    Pkcs11(String),
}

/// What begins the name of a key in a hardware module.
const PKCS11: &str = "pkcs11:";
/// Longer labels are not taken, octets.
const LABEL_MAX: usize = 128;

/// Takes a label for a key in a hardware module, if the configuration can name it: `eim.further_signing_keys` has keys between commas,
/// and spaces around a key do not count.
///
/// # Errors
/// Why it can't be named.
pub fn label(text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        return Err("a label must not be empty: the configuration names the key by it");
    }
    if text.len() > LABEL_MAX {
        return Err("a label has at most 128 octets");
    }
    if text.starts_with(PKCS11) {
        return Err("a label must not begin with `pkcs11:`: the configuration puts that before it");
    }
    if text.contains(',') {
        return Err("a label must not have a comma: eim.further_signing_keys has keys between commas");
    }
    if text.trim() != text {
        return Err("a label must not begin or end with a space: the configuration leaves spaces around a key out");
    }
    if text.chars().any(char::is_control) {
        return Err("a label must not have control characters");
    }
    Ok(text.to_owned())
}

/// What opens keys: the token is opened once, when the first key of it is asked for.
#[derive(Debug)]
pub struct Custody {
    options: Option<TokenOptions>,
    token: OnceCell<Arc<Token>>,
}

impl Custody {
    /// With this token for keys in a hardware module.
    #[must_use]
    pub const fn new(options: Option<TokenOptions>) -> Self {
        Self { options, token: OnceCell::new() }
    }

    /// The token.
    ///
    /// # Errors
    /// When none is configured, or it can't be opened.
    pub fn token(&self) -> anyhow::Result<&Arc<Token>> {
        if let Some(token) = self.token.get() {
            return Ok(token);
        }
        let options = self.options.clone().context("pkcs11.module and pkcs11.token must be set")?;
        let token = Token::open(options)?;
        Ok(self.token.get_or_init(|| token))
    }
}

impl KeySource {
    /// Reads what stands in the configuration.
    #[must_use]
    pub fn of(text: &Path) -> Self {
        match text.to_str().and_then(|text| text.strip_prefix(PKCS11)) {
            Some(label) => Self::Pkcs11(label.to_owned()),
            None => Self::File(text.to_owned()),
        }
    }

    /// In a word, for people.
    #[must_use]
    pub const fn custody(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Pkcs11(_) => "pkcs11",
        }
    }

    /// Opens it.
    ///
    /// # Errors
    /// When there is no usable key.
    pub fn load(&self, custody: &Custody) -> anyhow::Result<Arc<dyn EimSigner>> {
        match self {
            Self::File(path) => Ok(Arc::new(FileSigner::load(path)?)),
            Self::Pkcs11(label) => Ok(Arc::new(custody.token()?.signer(label)?)),
        }
    }
}

impl FromStr for KeySource {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::of(Path::new(text)))
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Pkcs11(label) => write!(f, "{PKCS11}{label}"),
        }
    }
}

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
    fn a_label_is_taken_when_the_configuration_can_name_it() {
        for (text, why) in [("", "empty"), ("a,b", "comma"), (" a", "space"), ("a\t", "space"), ("a\nb", "control")] {
            assert!(label(text).unwrap_err().contains(why), "{text:?}");
        }
        assert!(label(&"x".repeat(129)).unwrap_err().contains("128"));
        assert!(label("pkcs11:a").unwrap_err().contains("pkcs11:"));
        for text in ["eim-2", "eIM key 2", "schlüssel", "a:b"] {
            let label = label(text).unwrap();
            let named = KeySource::Pkcs11(label.clone()).to_string();
            assert_eq!(named.trim().parse(), Ok(KeySource::Pkcs11(label)), "as the configuration reads it");
        }
    }

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
