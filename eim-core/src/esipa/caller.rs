//! What a connection has told about its device so far.

use crate::ids::Eid;
use std::sync::{Mutex, PoisonError};

/// The EID that was last named on a connection. A hint where a message names none, and never proof: what it leads to
/// still has to be signed by that eUICC.
#[derive(Debug, Default)]
pub struct Caller(Mutex<Option<Eid>>);

impl Caller {
    pub(super) fn names(&self, eid: Eid) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(eid);
    }

    pub(super) fn last_named(&self) -> Option<Eid> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
