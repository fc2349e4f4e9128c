//! Requests under one EID: one after the other, so that they do not meet in the store, where each that waits for another holds a connection.
//!
//! The EID is proven by nobody, so each address has places of its own: whoever floods an EID from elsewhere fills theirs alone, and the device
//! waits for a turn.

use super::table::Name;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The longest that anybody waits for a turn.
const WAIT: Duration = Duration::from_secs(10);

/// The turns of all EIDs for which something is asked at the moment.
#[derive(Debug)]
pub(crate) struct Turns {
    now: Mutex<Now>,
    each: usize,
}

#[derive(Debug, Default)]
struct Now {
    /// How many requests there are from an address under an EID.
    from: HashMap<Name, usize>,
    /// Who has the turn of an EID, and how many there are under it.
    eids: HashMap<Name, (Arc<Semaphore>, usize)>,
}

/// A place among the requests of an address under an EID. Given back when it is dropped.
pub(crate) struct Place {
    turns: Arc<Turns>,
    from: Name,
    eid: Name,
    turn: Arc<Semaphore>,
}

/// The turn of an EID, over when it is dropped.
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

impl Turns {
    /// So many requests of each address under an EID: one at work, the others wait.
    pub(crate) fn new(each: usize) -> Arc<Self> {
        Arc::new(Self { now: Mutex::default(), each })
    }

    /// A place, if the address has one left under the EID.
    pub(crate) fn enter(self: &Arc<Self>, from: Name, eid: Name) -> Option<Place> {
        let mut now = self.lock();
        let count = now.from.entry(from).or_default();
        if *count >= self.each {
            return None;
        }
        *count += 1;
        let (turn, count) = now.eids.entry(eid).or_insert_with(|| (Arc::new(Semaphore::new(1)), 0));
        *count += 1;
        let turn = Arc::clone(turn);
        drop(now);
        Some(Place { turns: Arc::clone(self), from, eid, turn })
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The turn, in the order of coming; none where that takes too long.
    pub(crate) async fn turn(self) -> Option<Turn> {
        // Nearly always there is nobody else.
        let permit = match Arc::clone(&self.turn).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => tokio::time::timeout(WAIT, Arc::clone(&self.turn).acquire_owned()).await.ok()?.ok()?,
        };
        Some(Turn { _permit: permit, _place: self })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut now = self.turns.lock();
        if let Some(count) = now.from.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                now.from.remove(&self.from);
            }
        }
        if let Some((_, count)) = now.eids.get_mut(&self.eid) {
            *count -= 1;
            if *count == 0 {
                now.eids.remove(&self.eid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::limits::table::Table;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn an_address_has_its_places_and_all_addresses_one_turn_at_a_time() {
        let (turns, names) = (Turns::new(2), Table::new(8));
        let name = |text: &str| names.name(text);
        let enter = |from: &str, eid: &str| turns.enter(name(&format!("{from} {eid}")), name(eid));
        let first = enter("flood", "a").unwrap().turn().await.unwrap();
        let mut second = Box::pin(enter("flood", "a").unwrap().turn());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(enter("flood", "a").is_none(), "there is no third place");
        let mut device = Box::pin(enter("device", "a").unwrap().turn());
        assert!(device.as_mut().now_or_never().is_none());
        assert!(enter("flood", "b").unwrap().turn().now_or_never().is_some(), "another EID has a turn of its own");
        drop(first);
        let second = second.await.unwrap();
        assert!(enter("flood", "a").is_some(), "a place is free again");
        assert!(device.as_mut().now_or_never().is_none());
        // One who waits and goes away leaves the turn to the next.
        drop(second);
        assert!(device.await.is_some());
        assert!(turns.lock().from.is_empty() && turns.lock().eids.is_empty(), "nothing is kept");
    }
}
