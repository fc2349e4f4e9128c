//! Chains that were verified before. A device shows the same two certificates with every result for years; each time they would
//! cost two signatures more. Only what verified is kept, in bounds, and only for the roots that it was verified with.

use super::chain::{VerifiedChain, verify_euicc_chain};
use super::error::TrustError;
use super::trust_store::TrustStore;
use crate::ids::Eid;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

type Key = [u8; 32];

/// The chains below some roots.
pub struct KnownChains {
    roots: TrustStore,
    /// How many are kept at most.
    bound: usize,
    kept: Mutex<Kept>,
}

/// Two generations: when the newer one is full, the older one is forgotten. Who is seen again comes back into the newer one.
#[derive(Default)]
struct Kept {
    newer: HashMap<Key, VerifiedChain>,
    older: HashMap<Key, VerifiedChain>,
}

impl Kept {
    fn find(&mut self, key: &Key, bound: usize) -> Option<VerifiedChain> {
        if let Some(chain) = self.newer.get(key) {
            return Some(chain.clone());
        }
        let chain = self.older.remove(key)?;
        self.put(*key, chain.clone(), bound);
        Some(chain)
    }

    fn put(&mut self, key: Key, chain: VerifiedChain, bound: usize) {
        if self.newer.len() >= bound / 2 && !self.newer.contains_key(&key) {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key, chain);
    }
}

impl KnownChains {
    /// Knows none yet, and keeps at most so many.
    #[must_use]
    pub fn new(roots: TrustStore, bound: usize) -> Self {
        Self { roots, bound, kept: Mutex::default() }
    }

    /// The roots.
    #[must_use]
    pub const fn roots(&self) -> &TrustStore {
        &self.roots
    }

    /// As [`verify_euicc_chain`] with these roots; a chain of the same octets that was verified before, and is for this eUICC and valid
    /// now, is not verified again.
    ///
    /// # Errors
    /// Those of [`verify_euicc_chain`].
    pub fn verify(
        &self,
        eum_der: &[u8],
        euicc_der: &[u8],
        now: DateTime<Utc>,
        expected_eid: &Eid,
    ) -> Result<VerifiedChain, TrustError> {
        let key = key_of(eum_der, euicc_der);
        let known = self.kept.lock().unwrap_or_else(PoisonError::into_inner).find(&key, self.bound);
        if let Some(chain) = known.filter(|chain| chain.eid() == *expected_eid && chain.is_valid_at(now)) {
            return Ok(chain);
        }
        // Nobody waits for another one's signatures.
        let chain = verify_euicc_chain(&self.roots, eum_der, euicc_der, now, expected_eid)?;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).put(key, chain.clone(), self.bound);
        Ok(chain)
    }

    /// How many are kept.
    #[must_use]
    pub fn count(&self) -> usize {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.newer.len() + kept.older.len()
    }
}

fn key_of(eum_der: &[u8], euicc_der: &[u8]) -> Key {
    let mut digest = Sha256::new();
    // With its length, or octets could pass from one certificate to the other.
    digest.update((eum_der.len() as u64).to_be_bytes());
    digest.update(eum_der);
    digest.update(euicc_der);
    digest.finalize().into()
}
