//! The name of a key: the digest of its public half.

use super::{IdError, serde_as_text};
use std::fmt;
use std::str::FromStr;

/// The name of a signing key: SHA-256 of the DER of its SubjectPublicKeyInfo. Shown as 64 lower-case hexadecimal digits. It is
/// the same wherever the private key is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 32]);

impl KeyId {
    /// The name of the key with this SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn of_spki(spki: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, spki);
        let mut octets = [0; 32];
        // SHA-256 has 32 octets.
        octets.copy_from_slice(digest.as_ref());
        Self(octets)
    }
}

impl FromStr for KeyId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != 64 {
            return Err(IdError::Length { id: "a key id", expected: "64 digits", found: text.len() });
        }
        let mut octets = [0; 32];
        hex::decode_to_slice(text, &mut octets)
            .map_err(|_| IdError::Character { id: "a key id", expected: "hexadecimal digits" })?;
        Ok(Self(octets))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

serde_as_text!(KeyId);
