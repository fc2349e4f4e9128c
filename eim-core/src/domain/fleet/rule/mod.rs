//! Rules: when this happens to a device, then that is done with it.
//!
//! Pure: [`RuleSpec`] is what was asked, [`Condition`] tells whether an event is meant, [`feeds::cycle`] finds rules that feed
//! themselves. Who reads the events and does what follows is in `jobs`.

mod condition;
pub mod feeds;
mod spec;

pub use condition::{Condition, Networks, OutcomeOf, Outcomes};
pub use spec::{Action, CoolDown, KeptActions, ReadRule, RuleSpec};

use super::switch::interval;
use crate::domain::Euicc;
use crate::domain::euicc::words;

words!(
    /// What came of a rule whose condition held for a device.
    FiringOutcome {
        /// It is being carried out.
        Pending = "pending",
        /// All of it was done.
        Done = "done",
        /// Something of it was refused; the actions say what and why.
        Refused = "refused",
        /// It had fired for the device a short time ago, so nothing was done.
        CoolDown = "coolDown",
        /// The rule itself is the cause of what happened, so nothing was done.
        LoopGuard = "loopGuard",
        /// The rule was changed before it was carried out.
        Cancelled = "cancelled",
    }
);

impl FiringOutcome {
    /// Whether something was to be done: those that count for a limit.
    #[must_use]
    pub const fn is_firing(self) -> bool {
        !matches!(self, Self::CoolDown | Self::LoopGuard)
    }
}

/// Nothing shorter is a silence, however often a device polls: ten minutes.
const SILENCE_MIN_MS: i64 = 600_000;

/// When a device was last seen that has been silent for so many of its poll intervals; `None` for one that was never seen.
/// It could not poll while nobody served, so none of this counts from before `served_since`.
#[must_use]
pub fn silent_since(euicc: &Euicc, intervals: i64, served_since: i64, now: i64) -> Option<i64> {
    let period = interval(euicc).saturating_mul(intervals).max(SILENCE_MIN_MS);
    euicc.last_seen_at.filter(|seen| served_since.max(*seen).saturating_add(period) <= now)
}

/// How many rules one after the other may cause each other.
pub const CHAIN_MAX: usize = 4;
