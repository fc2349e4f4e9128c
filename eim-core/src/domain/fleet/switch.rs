//! A switch: one device moves to another profile, or does a list of operations, as one durable job that ends with what
//! could be proven.
//!
//! A switch lives in the decisions about its eUICC: [`advance`] runs at the end of each, in the same transaction. It reads
//! the outcome of the operations that it asked for, and asks for the next one. Deadlines count in the poll interval that
//! was observed of the device.

mod begin;
mod deleting;
mod downloading;
mod ending;
mod judge;
mod steps;

pub use begin::{begin, kind_of};
pub use deleting::not_proven_any_more;
pub use ending::cancel;
pub use judge::{busy_with, checks, checks_before_enabling, disturbed, grants_used, matching, overridden};
pub use steps::{advance, saw};

use super::outcome::Outcome;
use crate::domain::Euicc;
use crate::domain::euicc::words;
use crate::domain::operation::OperationError;
use crate::ids::{Iccid, OperationId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

words!(
    /// Where a switch stands.
    SwitchState {
        /// It has not begun: it waits for its time.
        Waiting = "waiting",
        /// The profile is being downloaded.
        Downloading = "downloading",
        /// The profile is being enabled.
        Enabling = "enabling",
        /// The profile is enabled; the device has to be seen again.
        Proving = "proving",
        /// It is proven; the old profile is being deleted.
        Deleting = "deleting",
        /// A list of operations is being worked off.
        Running = "running",
        /// It has ended; the outcome says how.
        Ended = "ended",
    }
);

/// Which profile a device is to move to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// One that is installed.
    Iccid(#[serde(with = "raw_iccid")] Iccid),
    /// One that is downloaded first; the request without its secrets.
    Download(Value),
    /// One behind a code of this pool, which is chosen when the switch begins.
    Pool(String),
    /// The one installed profile that fits; which one is chosen when the switch begins.
    #[serde(rename_all = "camelCase")]
    Matching {
        /// serviceProviderName, compared without regard to case.
        service_provider: Option<String>,
        /// profileName.
        profile_name: Option<String>,
    },
}

/// An ICCID in its raw form, since not every one has digits.
mod raw_iccid {
    use crate::ids::Iccid;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(iccid: &Iccid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&iccid.raw_hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Iccid, D::Error> {
        Iccid::from_raw_hex(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The same for one that may be absent, or several.
mod raw_iccids {
    use crate::ids::Iccid;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<'a, S: Serializer>(
        iccids: impl IntoIterator<Item = &'a Iccid>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(iccids.into_iter().map(Iccid::raw_hex))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, C: FromIccids>(deserializer: D) -> Result<C, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let iccids: Result<Vec<Iccid>, _> = texts.iter().map(|text| Iccid::from_raw_hex(text)).collect();
        Ok(C::from_iccids(iccids.map_err(D::Error::custom)?))
    }

    pub(super) trait FromIccids {
        fn from_iccids(iccids: Vec<Iccid>) -> Self;
    }

    impl FromIccids for Vec<Iccid> {
        fn from_iccids(iccids: Vec<Iccid>) -> Self {
            iccids
        }
    }

    impl FromIccids for Option<Iccid> {
        fn from_iccids(iccids: Vec<Iccid>) -> Self {
            iccids.first().copied()
        }
    }
}

/// When the profile that was enabled before is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeleteOld {
    /// Not by the switch.
    Never,
    /// When the switch is proven.
    AfterProof,
}

/// What proves a switch, beside its verified result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// Within how many poll intervals the device must be seen again.
    pub seen_again_within: i64,
    /// The networks of which it must report one, where it reports any; MCC and MNC. Empty: any.
    pub expected_plmns: Vec<String>,
}

/// What a switch is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Plan {
    /// Move to a profile.
    Switch {
        /// Which one.
        to: Target,
        /// Whether the eUICC goes back when the new profile finds no network.
        rollback: bool,
        /// What becomes of the profile before.
        delete_old: DeleteOld,
        /// What proves it.
        proof: Proof,
        /// After how many poll intervals without a sign of the device it is a no-show.
        no_show_after: i64,
        /// Least free memory for a download, octets.
        memory_bytes: i64,
        /// Checks of the guard that were waived by name.
        waive: Vec<String>,
        /// Checks of the guard that an admin has overridden.
        overridden: Vec<String>,
    },
    /// Download a profile and leave it disabled.
    Download {
        /// How it is got: a download, or a code of a pool.
        from: Target,
        /// After how many poll intervals without a sign of the device it is a no-show.
        no_show_after: i64,
        /// Least free memory for it, octets.
        memory_bytes: i64,
        /// Checks of the guard that were waived by name.
        waive: Vec<String>,
    },
    /// Work off a list of operations, one after the other; the first that is not done ends it.
    Operations {
        /// Requests in the API's notation.
        requests: Vec<Value>,
        /// As above.
        no_show_after: i64,
    },
}

impl Plan {
    /// Whether it overrides checks of the guard, which only an admin may.
    #[must_use]
    pub const fn overrides(&self) -> bool {
        matches!(self, Self::Switch { overridden, .. } if !overridden.is_empty())
    }

    /// After how many of its own poll intervals a device that does not come is a no-show.
    pub(crate) const fn no_show_after(&self) -> i64 {
        match self {
            Self::Switch { no_show_after, .. }
            | Self::Download { no_show_after, .. }
            | Self::Operations { no_show_after, .. } => *no_show_after,
        }
    }
}

/// What a switch has come to know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SwitchFacts {
    /// Every operation that it asked for, in order.
    pub operations: Vec<OperationId>,
    /// Those that it waits for.
    pub awaiting: Vec<OperationId>,
    /// The profile to be enabled, once known.
    #[serde(with = "raw_iccids")]
    pub target: Option<Iccid>,
    /// The profiles that were enabled before.
    #[serde(with = "raw_iccids")]
    pub previous: Vec<Iccid>,
    /// Whether the device was seen again after the profile was enabled.
    pub seen_again: bool,
    /// The network that it reported then.
    pub plmn: Option<String>,
    /// The stateChangeCause that it reported then.
    pub cause: Option<i64>,
    /// How far into a list of operations it is.
    pub done: usize,
    /// How often the deadline was put off because the device was seen.
    pub put_off: i64,
    /// Old profiles that were deleted.
    #[serde(with = "raw_iccids")]
    pub deleted: Vec<Iccid>,
    /// Whether it moves a device back that a campaign has moved.
    pub reverts: bool,
    /// Whether the trigger with its activation code went out.
    pub code_delivered: bool,
    /// Why it ended as it did, or why an old profile stayed.
    pub reason: Option<OperationError>,
    /// The rules that caused it, one after the other; the last one asked for it.
    pub rules: Vec<OperationId>,
    /// Whether a list was asked for to tell whose the profile is that was downloaded.
    pub owner_asked: bool,
    /// The checks of the guard that would have refused it and were waived or overridden.
    pub set_aside: Vec<String>,
}

/// A switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// Its row; zero until stored.
    pub seq: i64,
    /// Its name.
    pub id: OperationId,
    /// The campaign that it is part of.
    pub campaign: Option<OperationId>,
    /// The operator's name for it.
    pub label: Option<String>,
    /// What it is to do.
    pub plan: Plan,
    /// Where it stands.
    pub state: SwitchState,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What it has come to know.
    pub facts: SwitchFacts,
    /// When it is looked at if nothing happens, milliseconds since 1970.
    pub deadline: Option<i64>,
    /// When it was asked for.
    pub created_at: i64,
    /// When it began: not before its time.
    pub started_at: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
}

/// What is taken for the poll interval of a device of which none was observed: a day.
pub const INTERVAL_UNKNOWN_MS: i64 = 86_400_000;

/// Bounds of the interval that deadlines count in: a minute and 45 days.
const INTERVAL_MIN_MS: i64 = 60_000;

const INTERVAL_MAX_MS: i64 = 45 * 86_400_000;

/// No deadline is nearer than this, however often a device polls.
const DEADLINE_MIN_MS: i64 = 600_000;

/// How often a deadline is put off for a device that is seen and does not come to an end.
const PUT_OFF_MAX: i64 = 8;

/// The poll interval that deadlines of this eUICC count in, in milliseconds: as observed, in bounds.
#[must_use]
pub fn interval(euicc: &Euicc) -> i64 {
    euicc.poll_interval_ms.unwrap_or(INTERVAL_UNKNOWN_MS).clamp(INTERVAL_MIN_MS, INTERVAL_MAX_MS)
}

/// When the device is expected to poll next; `None` before it was ever seen.
#[must_use]
pub fn next_poll_expected_at(euicc: &Euicc) -> Option<i64> {
    euicc.last_seen_at.map(|seen| seen + interval(euicc))
}

/// So many poll intervals of the device, milliseconds; not less than the shortest deadline.
pub(crate) fn period(euicc: &Euicc, intervals: i64) -> i64 {
    (interval(euicc).saturating_mul(intervals)).max(DEADLINE_MIN_MS)
}

impl Switch {
    /// Whether it has not ended.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }

    fn end(&mut self, outcome: Outcome, reason: Option<OperationError>, now: i64) {
        self.outcome = Some(outcome);
        self.facts.reason = reason.or(self.facts.reason.take());
        self.facts.awaiting.clear();
        self.state = SwitchState::Ended;
        self.deadline = None;
        self.ended_at = Some(now);
    }
}
