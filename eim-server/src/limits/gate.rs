//! How much is done at once: so many are at work, so many wait, and whoever comes then is told to come later.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The longest that anybody waits. Whoever would wait longer is better off to come later.
const WAIT: Duration = Duration::from_secs(10);
/// Whoever is told to come later is told a time between these, by turns, so that not all come at once.
const LATER_S: std::ops::Range<u32> = 5..31;

/// The gate.
#[derive(Debug)]
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
    told: AtomicU32,
}

/// The right to work. Given back when it is dropped.
pub(crate) struct Place(#[allow(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Gate {
    /// So many at work, and so many that wait.
    pub(crate) fn new(at_once: usize, waiting: usize) -> Self {
        let places = Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS)));
        Self { places, waiting: AtomicUsize::new(0), waiting_max: waiting, told: AtomicU32::new(0) }
    }

    /// A place, in the order of coming. Or how many seconds later to come again.
    pub(crate) async fn enter(&self) -> Result<Place, u32> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(Place(place));
        }
        let Some(_waits) = Waits::begin(self) else { return Err(self.later()) };
        match tokio::time::timeout(WAIT, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(Place(place)),
            _ => Err(self.later()),
        }
    }

    /// When to come again, in seconds: one after the other something else.
    pub(crate) fn later(&self) -> u32 {
        LATER_S.start + self.told.fetch_add(1, Ordering::Relaxed) % (LATER_S.end - LATER_S.start)
    }
}

/// One who waits; one who goes away does not wait any more.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn begin(gate: &'a Gate) -> Option<Self> {
        let one_more = |waiting: usize| (waiting < gate.waiting_max).then_some(waiting + 1);
        gate.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(Self(&gate.waiting))
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn whoever_finds_the_queue_full_is_told_to_come_later_and_places_are_given_in_order() {
        let gate = Gate::new(1, 2);
        let first = gate.enter().await.ok().unwrap();
        let mut second = Box::pin(gate.enter());
        let mut third = Box::pin(gate.enter());
        assert!(second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
        let told: Vec<u32> = [gate.enter().await.err().unwrap(), gate.enter().await.err().unwrap()].into();
        assert!(told.iter().all(|seconds| LATER_S.contains(seconds)) && told[0] != told[1], "{told:?}");
        drop(first);
        assert!(third.as_mut().now_or_never().is_none());
        let second = second.await.ok().unwrap();
        // One who goes away leaves room for another who waits.
        drop(third);
        let mut fourth = Box::pin(gate.enter());
        let mut fifth = Box::pin(gate.enter());
        assert!(fourth.as_mut().now_or_never().is_none() && fifth.as_mut().now_or_never().is_none());
        drop(second);
        assert!(fourth.await.is_ok());
    }
}
