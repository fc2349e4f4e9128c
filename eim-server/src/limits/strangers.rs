//! Names that nobody has ever told the server of: each costs a look at the store, so in a second only so many may be tried.
//!
//! Whoever was known before is not held up by others who try.

use super::rate::{Bucket, Rate};
use super::table::{Name, Table};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The common bucket of all strangers.
#[derive(Debug)]
pub(crate) struct Strangers {
    rate: Rate,
    bucket: Mutex<Bucket>,
}

impl Strangers {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self { rate: Rate::new(per_second, burst), bucket: Mutex::new(0) }
    }

    /// Whether one who may be a stranger may be looked up. It costs nothing yet.
    pub(crate) fn may_try(&self, now_us: i64) -> Result<(), Duration> {
        self.rate.has(&mut self.bucket.lock().unwrap_or_else(PoisonError::into_inner), now_us)
    }

    /// Notes what came of it.
    pub(crate) fn tried(&self, is_stranger: bool, name: Option<Name>, table: &Table, now_us: i64) {
        if let Some(name) = name {
            table.with(name, |entry| entry.set_known(!is_stranger));
        }
        if is_stranger {
            self.rate.charge(&mut self.bucket.lock().unwrap_or_else(PoisonError::into_inner), 1, now_us);
        }
    }
}
