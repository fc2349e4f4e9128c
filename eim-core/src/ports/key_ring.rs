//! The signing keys that are loaded, each by the digest of its public half.
//!
//! An eUICC trusts one key of one eIM. What it trusts stands in the store; here stands what this process can sign with. A key that
//! is not here is never replaced by another one.

use super::EimSigner;
use crate::ids::{EimId, KeyId};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// A key that is loaded.
#[derive(Clone)]
pub struct RingKey {
    /// Its name.
    pub id: KeyId,
    /// The eIM that signs with it.
    pub eim_id: EimId,
    /// What signs.
    pub signer: Arc<dyn EimSigner>,
    /// Its certificate, DER; then eUICCs get it instead of the bare key.
    pub certificate: Option<Vec<u8>>,
    /// Where it is kept, for people: `file` or `pkcs11`. Never a path, a PIN or the key.
    pub custody: &'static str,
    /// Whether new associations get it. One of each eIM does.
    pub current: bool,
}

impl fmt::Debug for RingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingKey").field("id", &self.id).field("current", &self.current).finish_non_exhaustive()
    }
}

/// Why keys are no ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// There is none.
    #[error("no signing key is configured")]
    Empty,
    /// A key is there twice.
    #[error("the signing key {0} is configured twice")]
    Twice(KeyId),
    /// An eIM has none for new associations, or several.
    #[error("the eIM {0} needs exactly one signing key for new associations")]
    Current(EimId),
}

/// The keys that are loaded.
#[derive(Debug, Clone)]
pub struct KeyRing {
    keys: Arc<[RingKey]>,
    ids: Arc<HashSet<KeyId>>,
}

impl KeyRing {
    /// A ring of these keys.
    ///
    /// # Errors
    /// When there is none, one is there twice, or an eIM has not exactly one current key.
    pub fn new(keys: Vec<RingKey>) -> Result<Self, KeyRingError> {
        if keys.is_empty() {
            return Err(KeyRingError::Empty);
        }
        let mut ids = HashSet::new();
        for key in &keys {
            if !ids.insert(key.id) {
                return Err(KeyRingError::Twice(key.id));
            }
            let current = keys.iter().filter(|other| other.current && other.eim_id == key.eim_id).count();
            if current != 1 {
                return Err(KeyRingError::Current(key.eim_id.clone()));
            }
        }
        Ok(Self { keys: keys.into(), ids: Arc::new(ids) })
    }

    /// The key with this name, if it is loaded.
    #[must_use]
    pub fn get(&self, id: KeyId) -> Option<&RingKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// The key that new associations of an eIM get.
    #[must_use]
    pub fn current(&self, eim_id: &EimId) -> Option<&RingKey> {
        self.keys.iter().find(|key| key.current && key.eim_id == *eim_id)
    }

    /// All keys, in the order of the configuration.
    #[must_use]
    pub fn keys(&self) -> &[RingKey] {
        &self.keys
    }

    /// The names of all keys.
    #[must_use]
    pub fn ids(&self) -> Arc<HashSet<KeyId>> {
        Arc::clone(&self.ids)
    }
}
