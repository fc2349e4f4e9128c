//! What goes on on one connection: requests under way, a request that has begun to arrive, and the pace of both.
//!
//! All of a connection happens on one thread.

use crate::limits::{Bucket, Rate};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What a refused request costs of the pace of its connection, in requests: whoever is refused all the time is served last.
pub(crate) const REFUSED: u32 = 50;

/// One connection.
#[derive(Debug)]
pub(crate) struct Watch {
    opened: Instant,
    /// Whether what arrives belongs to the TLS handshake, which has a time of its own.
    in_handshake: Cell<bool>,
    under_way: Cell<u32>,
    /// When something arrived that is no part of a request under way. The first request is waited for from the beginning.
    arriving_since: Cell<Option<Instant>>,
    pace: Option<Rate>,
    bucket: Cell<Bucket>,
}

/// A request under way, until its answer is written. Over when it is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Rc<Watch>);

impl Watch {
    pub(crate) fn new(pace: Option<Rate>, in_handshake: bool) -> Self {
        Self {
            opened: Instant::now(),
            in_handshake: Cell::new(in_handshake),
            under_way: Cell::new(0),
            arriving_since: Cell::new((!in_handshake).then(Instant::now)),
            pace,
            bucket: Cell::new(0),
        }
    }

    /// A request has come; tells how long it has to wait for the pace of its connection.
    pub(crate) fn begin(self: &Rc<Self>) -> (UnderWay, Duration) {
        self.under_way.set(self.under_way.get() + 1);
        self.arriving_since.set(None);
        let mut bucket = self.bucket.get();
        let wait = self.pace.map_or(Duration::ZERO, |pace| pace.reserve(&mut bucket, self.age_us()));
        self.bucket.set(bucket);
        (UnderWay(Rc::clone(self)), wait)
    }

    /// The last request was refused, or led nowhere.
    pub(crate) fn refused(&self) {
        let mut bucket = self.bucket.get();
        if let Some(pace) = self.pace {
            pace.charge(&mut bucket, REFUSED, self.age_us());
        }
        self.bucket.set(bucket);
    }

    /// Something has arrived.
    pub(super) fn arrived(&self) {
        if self.under_way.get() == 0 && self.arriving_since.get().is_none() && !self.in_handshake.get() {
            self.arriving_since.set(Some(Instant::now()));
        }
    }

    /// The handshake is over: what arrives from now on are requests.
    pub(super) fn shaken(&self) {
        self.in_handshake.set(false);
        self.arriving_since.set(Some(Instant::now()));
    }

    pub(super) fn arriving_since(&self) -> Option<Instant> {
        self.arriving_since.get()
    }

    fn age_us(&self) -> i64 {
        i64::try_from(self.opened.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_refused_waits_longer_before_the_next_request() {
        let watch = Rc::new(Watch::new(Some(Rate::new(10, 1)), false));
        assert_eq!(watch.begin().1, Duration::ZERO);
        let (_, wait) = watch.begin();
        assert!(wait > Duration::from_millis(50) && wait <= Duration::from_millis(100), "{wait:?}");
        watch.refused();
        assert!(watch.begin().1 > Duration::from_millis(900));
        assert_eq!(Rc::new(Watch::new(None, false)).begin().1, Duration::ZERO);
    }

    #[test]
    fn what_arrives_during_a_request_is_a_part_of_it() {
        let watch = Rc::new(Watch::new(None, false));
        assert!(watch.arriving_since().is_some(), "who says nothing at all is waited for no longer");
        let (under_way, _) = watch.begin();
        watch.arrived();
        assert!(watch.arriving_since().is_none());
        drop(under_way);
        watch.arrived();
        assert!(watch.arriving_since().is_some());
        let watch = Watch::new(None, true);
        watch.arrived();
        assert!(watch.arriving_since().is_none(), "a handshake has a time of its own");
        watch.shaken();
        assert!(watch.arriving_since().is_some());
    }
}
