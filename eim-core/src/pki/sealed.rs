//! Secrets at rest: sealed with AES-256-GCM before they go to a store (NIST SP 800-38D).
//!
//! ```text
//! 01        version
//! 4 octets  which key: the beginning of SHA-256("eim sealing key id" || key)
//! 12 octets nonce
//! n octets  ciphertext
//! 16 octets tag, over the ciphertext, the first five octets and the caller's context
//! ```
//!
//! The context names what the secret belongs to, so that a sealed value can't be moved to another row. Keys, nonces and
//! their rotation are the caller's; a nonce must never be used twice with one key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use sha2::{Digest, Sha256};
use std::fmt;

const VERSION: u8 = 1;
const KEY_ID_BYTES: usize = 4;
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES;
const KEY_ID_LABEL: &[u8] = b"eim sealing key id";
const FINGERPRINT_LABEL: &[u8] = b"eim sealing fingerprint key";

/// The key that seals secrets, and names them without showing them. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct SealingKey {
    octets: [u8; 32],
    id: [u8; KEY_ID_BYTES],
    fingerprint: hmac::Key,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey")
    }
}

/// A text that is no sealing key. It says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealing key must be 32 octets as 64 hexadecimal characters or in base64")]
pub struct SealingKeyError;

/// Why a sealed secret can't be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealedError {
    /// It is shorter than any sealed value.
    #[error("the sealed value is cut off: it has {octets} octets")]
    Truncated {
        /// The length that was seen.
        octets: usize,
    },
    /// Another version of this software sealed it, or it is no sealed value at all.
    #[error("the sealed value has version {version}, which is not known here")]
    Version {
        /// The version that was seen.
        version: u8,
    },
    /// Another key sealed it.
    #[error("the value was sealed with another key than the configured one: configure the key that sealed it")]
    OtherKey,
    /// It was changed, or belongs to something else.
    #[error("the sealed value was changed, or belongs to something else")]
    Tampered,
}

impl SealingKey {
    /// Takes the key.
    #[must_use]
    pub fn from_octets(octets: [u8; 32]) -> Self {
        let digest: [u8; 32] = Sha256::new_with_prefix(KEY_ID_LABEL).chain_update(octets).finalize().into();
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&digest[..KEY_ID_BYTES]);
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &octets), FINGERPRINT_LABEL);
        Self { octets, id, fingerprint: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()) }
    }

    /// Reads 32 octets as 64 hexadecimal characters or in base64; white space around them is skipped.
    ///
    /// # Errors
    /// [`SealingKeyError`] for anything else.
    pub fn from_text(text: &str) -> Result<Self, SealingKeyError> {
        let text = text.trim();
        let octets = if text.len() == 64 { hex::decode(text).ok() } else { STANDARD.decode(text).ok() };
        let octets = octets.and_then(|octets| <[u8; 32]>::try_from(octets).ok());
        octets.map(Self::from_octets).ok_or(SealingKeyError)
    }

    /// Seals `plain`. Opening needs the same `context`; `nonce` is fresh from a random source.
    ///
    /// # Panics
    /// Only for a secret beyond the 64 GiB that AES-GCM can take.
    #[must_use]
    pub fn seal(&self, plain: &[u8], context: &[u8], nonce: [u8; NONCE_LEN]) -> Vec<u8> {
        let header = self.header();
        let mut ciphertext = plain.to_vec();
        #[allow(clippy::expect_used, reason = "AES-GCM fails only beyond 64 GiB, which no secret has")]
        self.cipher()
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(&header, context), &mut ciphertext)
            .expect("a secret is smaller than 64 GiB");
        [&header[..], &nonce, &ciphertext].concat()
    }

    /// Opens what [`Self::seal`] gave.
    ///
    /// # Errors
    /// [`SealedError`]; nothing of the secret comes out then.
    pub fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Vec<u8>, SealedError> {
        let truncated = SealedError::Truncated { octets: sealed.len() };
        match sealed.first() {
            None => return Err(truncated),
            Some(&VERSION) => {}
            Some(&version) => return Err(SealedError::Version { version }),
        }
        let (header, rest) = sealed.split_first_chunk::<HEADER_BYTES>().ok_or(truncated)?;
        if header[1..] != self.id {
            return Err(SealedError::OtherKey);
        }
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>().ok_or(truncated)?;
        if ciphertext.len() < AES_256_GCM.tag_len() {
            return Err(truncated);
        }
        let mut ciphertext = ciphertext.to_vec();
        let plain = self
            .cipher()
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad(header, context), &mut ciphertext)
            .map_err(|_| SealedError::Tampered)?;
        Ok(plain.to_vec())
    }

    /// A name of a secret, equal for equal secrets, that can't be computed or tried without the key.
    #[must_use]
    pub fn fingerprint(&self, secret: &[u8]) -> [u8; 32] {
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(hmac::sign(&self.fingerprint, secret).as_ref());
        fingerprint
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [VERSION; HEADER_BYTES];
        header[1..].copy_from_slice(&self.id);
        header
    }

    fn cipher(&self) -> LessSafeKey {
        #[allow(clippy::expect_used, reason = "32 octets are what AES-256 takes")]
        let key = UnboundKey::new(&AES_256_GCM, &self.octets).expect("a key of 32 octets");
        LessSafeKey::new(key)
    }
}

/// The header is as long for every value, so header and context can't be taken for one another.
fn aad(header: &[u8; HEADER_BYTES], context: &[u8]) -> Aad<Vec<u8>> {
    Aad::from([header, context].concat())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const NONCE: [u8; 12] = [9; 12];

    fn key(octet: u8) -> SealingKey {
        SealingKey::from_octets([octet; 32])
    }

    #[test]
    fn what_was_sealed_opens_again() {
        for plain in [&b""[..], b"1$smdp.example$MATCH-1", &[7; 5000]] {
            let sealed = key(1).seal(plain, b"operation 1", NONCE);
            assert_eq!(sealed.len(), 1 + 4 + 12 + plain.len() + 16);
            assert_eq!((sealed[0], &sealed[5..17]), (1, &NONCE[..]));
            assert_eq!(key(1).open(&sealed, b"operation 1").unwrap(), plain);
        }
    }

    /// Made by AES-256-GCM and SHA-256 of another library, by hand from the layout above.
    #[test]
    fn the_layout_is_the_documented_one() {
        let key = SealingKey::from_octets([0x42; 32]);
        let sealed = key.seal(b"secret", b"context", [0x24; 12]);
        assert_eq!(hex::encode(sealed), KNOWN_SEALED);
        assert_eq!(hex::encode(key.fingerprint(b"secret")), KNOWN_FINGERPRINT);
    }

    const KNOWN_SEALED: &str = "018c1ecb0724242424242424242424242466f4a7338cb2fa34e359784d63b72b39da4e654747b7";
    const KNOWN_FINGERPRINT: &str = "6d6190f60ad1feafcc36a66b008db568b01800686ec4b2ab9e30aba1ab4ac639";

    #[test]
    fn every_changed_bit_is_noticed() {
        let sealed = key(1).seal(b"secret", b"context", NONCE);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            let expected = match at {
                0 => SealedError::Version { version: 0 },
                1..=4 => SealedError::OtherKey,
                _ => SealedError::Tampered,
            };
            assert_eq!(key(1).open(&changed, b"context"), Err(expected), "octet {at}");
        }
        assert_eq!(key(1).open(&[&sealed[..], &[0]].concat(), b"context"), Err(SealedError::Tampered));
    }

    #[test]
    fn another_context_or_key_or_length_is_refused() {
        let sealed = key(1).seal(b"secret", b"context", NONCE);
        assert_eq!(key(1).open(&sealed, b"contex"), Err(SealedError::Tampered));
        assert_eq!(key(2).open(&sealed, b"context"), Err(SealedError::OtherKey));
        for octets in 0..33 {
            assert_eq!(key(1).open(&sealed[..octets], b"context"), Err(SealedError::Truncated { octets }));
        }
        assert_eq!(key(1).open(b"plain text", b"context"), Err(SealedError::Version { version: b'p' }));
        assert!(SealedError::OtherKey.to_string().contains("another key"));
    }

    #[test]
    fn keys_are_read_from_hex_and_base64() {
        let same = key(0xab).fingerprint(b"x");
        for text in [format!(" {}\n", "ab".repeat(32)), "AB".repeat(32), format!("{}\r\n", STANDARD.encode([0xab; 32]))]
        {
            assert_eq!(SealingKey::from_text(&text).unwrap().fingerprint(b"x"), same);
        }
        for text in
            [String::new(), "ab".repeat(31), "zz".repeat(32), STANDARD.encode([1; 31]), STANDARD.encode([1; 48])]
        {
            assert_eq!(SealingKey::from_text(&text).err(), Some(SealingKeyError), "{text}");
        }
    }

    #[test]
    fn fingerprints_differ_by_secret_and_key_and_debug_shows_nothing() {
        let one = key(1).fingerprint(b"a");
        assert_eq!(one, key(1).fingerprint(b"a"));
        assert_ne!(one, key(1).fingerprint(b"b"));
        assert_ne!(one, key(2).fingerprint(b"a"));
        assert_eq!(format!("{:?}", key(1)), "SealingKey");
    }
}
