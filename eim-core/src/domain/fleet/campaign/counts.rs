//! Where the devices of a campaign stand, in numbers.

use super::spec::{CampaignSpec, ErrorThreshold};
use crate::domain::fleet::outcome::Outcome;

/// The devices of one wave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaveCounts {
    /// Wait to begin, for the first time or again.
    pub pending: u64,
    /// Of the pending ones: their time, after a failure, has not come.
    pub not_due: u64,
    /// When the first of these is due; milliseconds since 1970.
    pub next_due_at: Option<i64>,
    /// Have begun and not ended.
    pub running: u64,
    /// Have ended: how, after how many attempts (from 1), how many.
    pub ended: Vec<(Outcome, u32, u64)>,
    /// Of the pending and running ones: those that are tried again, by how the attempt before ended.
    pub retrying: Vec<(Outcome, u64)>,
}

impl WaveCounts {
    /// All devices of the wave.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.pending + self.running + self.ended_where(|_| true)
    }

    /// Those that may begin now.
    #[must_use]
    pub const fn due(&self) -> u64 {
        self.pending.saturating_sub(self.not_due)
    }

    /// How many have ended in certain ways.
    #[must_use]
    pub fn ended_where(&self, wanted: impl Fn(Outcome) -> bool) -> u64 {
        self.ended.iter().filter(|(outcome, ..)| wanted(*outcome)).map(|(.., n)| n).sum()
    }

    /// Whether no device waits or runs.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.pending == 0 && self.running == 0
    }

    /// How many of a hundred succeeded, of those that were not cancelled or superseded; `None` when there are none.
    #[must_use]
    pub fn success_percent(&self) -> Option<u64> {
        let judged = self.ended_where(|outcome| !is_withdrawn(outcome));
        (self.ended_where(Outcome::is_success) * 100).checked_div(judged)
    }

    /// How many errors there are, and of how many executed devices: those that ended and were neither withdrawn nor
    /// unchanged. A device that is tried again counts by how it ended before.
    #[must_use]
    pub fn errors(&self, threshold: &ErrorThreshold) -> (u64, u64) {
        let executed = |outcome: Outcome| !is_withdrawn(outcome) && outcome != Outcome::Unchanged;
        let again = |wanted: &dyn Fn(Outcome) -> bool| -> u64 {
            self.retrying.iter().filter(|(outcome, _)| wanted(*outcome)).map(|(_, n)| n).sum()
        };
        let is_error = |outcome: Outcome| threshold.is_error(outcome);
        (self.ended_where(is_error) + again(&is_error), self.ended_where(executed) + again(&executed))
    }
}

const fn is_withdrawn(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Cancelled | Outcome::Superseded)
}

/// The devices that are moved back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reverts {
    /// Have not begun.
    pub pending: u64,
    /// Have begun and not ended.
    pub running: u64,
    /// Have ended: how, and how many.
    pub ended: Vec<(Outcome, u64)>,
}

impl Reverts {
    /// How many are where they were before.
    #[must_use]
    pub fn succeeded(&self) -> u64 {
        self.ended.iter().filter(|(outcome, _)| outcome.is_success()).map(|(_, n)| n).sum()
    }

    /// How many are not.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.ended.iter().filter(|(outcome, _)| !outcome.is_success()).map(|(_, n)| n).sum()
    }
}

/// All devices of a campaign.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By wave, in the order of the campaign. A wave that is missing at the end has no devices.
    pub waves: Vec<WaveCounts>,
    /// Those that are moved back.
    pub reverts: Reverts,
}

impl Counts {
    /// Those of one wave.
    #[must_use]
    pub fn wave(&self, index: usize) -> WaveCounts {
        self.waves.get(index).cloned().unwrap_or_default()
    }

    /// Those that wait, in all waves.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.waves.iter().map(|wave| wave.pending).sum()
    }

    /// Those that run, in all waves.
    #[must_use]
    pub fn running(&self) -> u64 {
        self.waves.iter().map(|wave| wave.running).sum()
    }

    /// How many were changed and it is proven, in all waves: what lets an exponential rate grow.
    #[must_use]
    pub fn succeeded(&self) -> u64 {
        let counts = |outcome| matches!(outcome, Outcome::Proven | Outcome::Succeeded);
        self.waves.iter().map(|wave| wave.ended_where(counts)).sum()
    }

    /// How many ended badly, in all waves.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.waves.iter().map(|wave| wave.ended_where(Outcome::is_bad)).sum()
    }

    /// How many errors each wave has by its own threshold; 0 without one.
    pub(super) fn errors_by_wave(&self, spec: &CampaignSpec) -> Vec<u64> {
        let errors = |(index, threshold): (usize, Option<&ErrorThreshold>)| {
            threshold.map_or(0, |threshold| self.wave(index).errors(threshold).0)
        };
        spec.waves.iter().map(|wave| wave.error_threshold.as_ref()).enumerate().map(errors).collect()
    }
}
