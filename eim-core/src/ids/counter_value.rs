//! counterValue: the anti-replay counter of one eIM on one eUICC (SGP.32 v1.2 2.11.1.1).

use super::IdError;
use std::fmt;

/// The anti-replay counter: 0 to 8 388 607, strictly increasing per (eUICC, eIM).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterValue(u32);

impl CounterValue {
    /// The value of a fresh association: nothing sent yet.
    pub const ZERO: Self = Self(0);
    /// The highest value that an eUICC takes.
    pub const MAX: Self = Self(0x7f_ffff);
    /// From here on the operator is warned that the counter runs out.
    pub const WARN_FROM: Self = Self(8_000_000);

    /// The counter of the next package, or `None` when the counter is used up.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        if self.0 < Self::MAX.0 { Some(Self(self.0 + 1)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> i64 {
        self.0 as i64
    }
}

impl TryFrom<i64> for CounterValue {
    type Error = IdError;

    fn try_from(value: i64) -> Result<Self, IdError> {
        u32::try_from(value)
            .ok()
            .filter(|value| *value <= Self::MAX.0)
            .map(Self)
            .ok_or(IdError::Range { id: "counterValue", expected: "0 to 8388607" })
    }
}

impl fmt::Display for CounterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
