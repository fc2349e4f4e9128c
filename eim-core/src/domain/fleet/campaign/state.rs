//! Where a campaign stands: its state, what is remembered of it, and what a step asks for.

use super::rate::RateFacts;
use crate::domain::euicc::words;
use crate::domain::fleet::outcome::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;

words!(
    /// The state of a campaign.
    CampaignState {
        /// It is being written.
        Draft = "draft",
        /// It waits for approval.
        Submitted = "submitted",
        /// It may start; with a `startAt` it does so by itself.
        Approved = "approved",
        /// Approval was denied. Nothing comes after it.
        Denied = "denied",
        /// Devices begin.
        Running = "running",
        /// No further device begins; what runs goes on.
        Paused = "paused",
        /// No further device begins, and what was not delivered is withdrawn; what was delivered can't be recalled.
        Aborting = "aborting",
        /// It was aborted and nothing runs any more.
        Aborted = "aborted",
        /// Devices that it moved are moved back.
        Reverting = "reverting",
        /// No device is being moved back any more.
        Reverted = "reverted",
        /// Every device has ended.
        Completed = "completed",
        /// Its `endAt` came before every device had ended.
        Expired = "expired",
    }
);

impl CampaignState {
    /// Whether it may still hold devices: something waits or runs, or may do so without a person.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(
            self,
            Self::Submitted | Self::Approved | Self::Running | Self::Paused | Self::Aborting | Self::Reverting
        )
    }
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// The identifier of the API key.
    pub key_id: String,
    /// Its name.
    pub name: String,
}

/// Why a campaign is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// One of the words of [`Pause::OPERATOR`] and its like.
    pub name: String,
    /// A sentence for people.
    pub message: String,
}

impl Pause {
    /// A person paused it.
    pub const OPERATOR: &'static str = "operator";
    /// A wave went well, and a person is to look at it.
    pub const WAVE_DONE: &'static str = "waveDone";
    /// A wave has ended below its success threshold.
    pub const SUCCESS_THRESHOLD: &'static str = "successThreshold";
    /// A wave has too many errors.
    pub const ERROR_THRESHOLD: &'static str = "errorThreshold";
    /// Its `startAt` came, and its pool had too few codes for it to start.
    pub const POOL_TOO_SMALL: &'static str = "poolTooSmall";
}

/// What a person did with a campaign that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneAct {
    /// The verb.
    pub verb: String,
    /// Who.
    pub by: Actor,
    /// When, milliseconds since 1970.
    pub at: i64,
    /// Why, in their words.
    pub message: Option<String>,
}

/// What is remembered of a campaign beside its state. All times are milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CampaignFacts {
    /// Who made it.
    pub created_by: Option<Actor>,
    /// When.
    pub created_at: Option<i64>,
    /// Who submitted it.
    pub submitted_by: Option<Actor>,
    /// When.
    pub submitted_at: Option<i64>,
    /// In the words of who did.
    pub submitted_message: Option<String>,
    /// Who approved it.
    pub approved_by: Option<Actor>,
    /// When.
    pub approved_at: Option<i64>,
    /// In the words of who did.
    pub approved_message: Option<String>,
    /// Who denied it.
    pub denied_by: Option<Actor>,
    /// When.
    pub denied_at: Option<i64>,
    /// Why, in the words of who did.
    pub denied_message: Option<String>,
    /// When it started.
    pub started_at: Option<i64>,
    /// When it came to its end.
    pub ended_at: Option<i64>,
    /// The index of the newest wave that has begun.
    pub wave: Option<usize>,
    /// When that wave began.
    pub wave_begun_at: Option<i64>,
    /// Until when that wave soaks, since its last device has ended.
    pub soak_until: Option<i64>,
    /// Whether a person went on although, or since, that wave has ended.
    pub wave_accepted: bool,
    /// Why it is paused.
    pub pause: Option<Pause>,
    /// Why it gave itself up, where no person did.
    pub stopped: Option<Pause>,
    /// How many errors of each wave a person has seen and went on.
    pub errors_seen: Vec<u64>,
    /// Whether `endAt` cut something off.
    pub cut_off: bool,
    /// Whether every device that has to be moved back is known.
    pub reverts_known: bool,
    /// When new devices were last looked for, in a campaign of mode `CONTINUOUS`.
    pub joined_at: Option<i64>,
    /// What persons did since it was approved, the last ones.
    pub acts: Vec<DoneAct>,
    /// What began in the last minute.
    pub rate: RateFacts,
}

/// Devices of a wave that may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// The index of the wave.
    pub wave: usize,
    /// How many at most. They are counted as begun already: what does not begin is given back with
    /// [`RateFacts::give_back`].
    pub at_most: u64,
}

/// Devices of a wave that are to wait and be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The index of the wave.
    pub wave: usize,
    /// Those that ended so,
    pub outcome: Outcome,
    /// after exactly so many attempts.
    pub attempts: u32,
    /// Not before this time; milliseconds since 1970.
    pub not_before: i64,
}

/// Something that happened to a campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignEvent {
    /// One of [`CampaignEvent::TYPES`].
    pub kind: &'static str,
    /// An object.
    pub details: Value,
}

impl CampaignEvent {
    /// Every type that there is.
    pub const TYPES: [&'static str; 15] = [
        "campaignSubmitted",
        "campaignApproved",
        "campaignDenied",
        "campaignStarted",
        "campaignWaveBegan",
        "campaignWaveEnded",
        "campaignPaused",
        "campaignResumed",
        "campaignRetried",
        "campaignAborting",
        "campaignAborted",
        "campaignReverting",
        "campaignReverted",
        "campaignCompleted",
        "campaignExpired",
    ];
}

/// What is to be done. Whoever does it keeps state and facts in the same commit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// Devices that may begin now, by wave.
    pub begin: Vec<Begin>,
    /// Ended devices that become pending again.
    pub retry: Vec<Retry>,
    /// All pending devices of all waves, and devices that wait to be moved back, end so. Said again until none is left. A device
    /// that waits for another attempt ends like the attempt before.
    pub end_pending: Option<Outcome>,
    /// What runs and was not delivered to its device is withdrawn, and ends as `cancelled`. What was delivered goes on.
    /// Said again as long as something runs.
    pub withdraw_undelivered: bool,
    /// Every device that this campaign moved, and that has no revert yet, gets one that is pending.
    pub revert: bool,
    /// What happened.
    pub events: Vec<CampaignEvent>,
    /// When to come again, if no device ends before; milliseconds since 1970. `None`: only when a device ends or a
    /// person acts.
    pub look_again_at: Option<i64>,
}
