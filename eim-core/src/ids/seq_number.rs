//! seqNumber: the eUICC's own number of a notification or a package result (SGP.22 2.4a).

use std::fmt;

/// The number that an eUICC gave to a stored notification or package result. It belongs to the eUICC, may start again
/// after a reset, and has nothing to do with the order of operations here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeqNumber(i64);

impl SeqNumber {
    /// The sequence number with this value.
    #[must_use]
    pub const fn new(value: i64) -> Self {
        Self(value)
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> i64 {
        self.0
    }
}

impl fmt::Display for SeqNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
