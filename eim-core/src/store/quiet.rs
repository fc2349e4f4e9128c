//! Which eUICCs are known to have nothing waiting, so that their polls need no query.
//!
//! Only for a store that this process alone writes. Every write that concerns an eUICC disturbs it after its commit; a
//! mark counts only if nothing disturbed the shard since the snapshot behind it was read. An eUICC with an
//! operation that only waits for its time is not marked.

use crate::ids::Eid;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How long a mark lasts at most.
const LASTS_MS: i64 = 600_000;
const SHARDS: usize = 64;
/// How many marks a shard keeps; when it is full it is emptied.
const MARKS: usize = 4_096;

/// The state of a shard before a snapshot was read.
#[derive(Debug, Clone, Copy)]
pub struct Ticket(u64);

#[derive(Default)]
struct Shard {
    disturbed: u64,
    until: HashMap<Eid, i64>,
}

/// The marks.
pub(super) struct Quiet([Mutex<Shard>; SHARDS]);

impl Default for Quiet {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Quiet {
    fn shard(&self, eid: &Eid) -> MutexGuard<'_, Shard> {
        let index =
            eid.octets().iter().fold(0_usize, |sum, octet| sum.wrapping_mul(31).wrapping_add(usize::from(*octet)));
        self.0[index % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn holds(&self, eid: &Eid, now: i64) -> bool {
        self.shard(eid).until.get(eid).is_some_and(|until| now < *until)
    }

    pub(super) fn ticket(&self, eid: &Eid) -> Ticket {
        Ticket(self.shard(eid).disturbed)
    }

    pub(super) fn mark(&self, eid: &Eid, ticket: Ticket, now: i64) {
        let mut shard = self.shard(eid);
        if shard.disturbed == ticket.0 {
            if shard.until.len() >= MARKS {
                shard.until.clear();
            }
            shard.until.insert(*eid, now + LASTS_MS);
        }
    }

    pub(super) fn disturb(&self, eid: &Eid) {
        let mut shard = self.shard(eid);
        shard.disturbed += 1;
        shard.until.remove(eid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_void_when_something_was_written_since_its_snapshot() {
        let quiet = Quiet::default();
        let eid: Eid = "89049032000000000000000000000163".parse().unwrap();
        let ticket = quiet.ticket(&eid);
        quiet.disturb(&eid);
        quiet.mark(&eid, ticket, 1_000);
        assert!(!quiet.holds(&eid, 1_000));
        quiet.mark(&eid, quiet.ticket(&eid), 1_000);
        assert!(quiet.holds(&eid, 1_000));
        assert!(!quiet.holds(&eid, 1_000 + LASTS_MS));
        quiet.disturb(&eid);
        assert!(!quiet.holds(&eid, 1_000));
    }
}
