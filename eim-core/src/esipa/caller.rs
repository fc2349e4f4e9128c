//! What a connection has told about its device so far.

use crate::ids::Eid;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The EID that was last named on a connection. A hint where a message names none, and never proof: what it leads to
/// still has to be signed by that eUICC.
#[derive(Debug, Default)]
pub struct Caller {
    last_named: Mutex<Option<Eid>>,
    met_stranger: AtomicBool,
}

impl Caller {
    pub(super) fn names(&self, eid: Eid) {
        *self.last_named.lock().unwrap_or_else(PoisonError::into_inner) = Some(eid);
    }

    /// The EID that was last named.
    pub fn last_named(&self) -> Option<Eid> {
        *self.last_named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message was of no eUICC, or of no session, that the store knows.
    pub(super) fn meets_stranger(&self) {
        self.met_stranger.store(true, Ordering::Relaxed);
    }

    /// Whether a message since the last call was of nobody whom the store knows.
    pub fn take_stranger(&self) -> bool {
        self.met_stranger.load(Ordering::Relaxed) && self.met_stranger.swap(false, Ordering::Relaxed)
    }
}
