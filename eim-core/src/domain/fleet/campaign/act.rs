//! What a person does with a campaign. Whether the key may do it at all is judged by who calls.

use super::counts::Counts;
use super::read::NO_REVERT;
use super::spec::CampaignSpec;
use super::state::{Actor, CampaignEvent, CampaignFacts, CampaignState, DoneAct, Pause};
use crate::domain::euicc::words;
use serde_json::{Value, json};

words!(
    /// What can be done with a campaign.
    Verb {
        /// A draft is handed in; without approval by a second person it is approved at once.
        Submit = "submit",
        /// A second person approves it.
        Approve = "approve",
        /// It is denied.
        Deny = "deny",
        /// It starts. A `startAt` still holds.
        Start = "start",
        /// No further device begins.
        Pause = "pause",
        /// It goes on, whatever paused it.
        Resume = "resume",
        /// The next wave begins now, whether the one before it has ended or not; windows still hold for its devices. Not before the
        /// campaign's own `startAt`.
        NextWave = "nextWave",
        /// It is given up. What was delivered to a device can't be recalled.
        Abort = "abort",
        /// It is given up, and devices that it moved are moved back.
        Revert = "revert",
        /// Devices that ended badly are tried again, as if for the first time.
        RetryFailed = "retryFailed",
    }
);

/// How many of them are kept with the campaign; the event stream and the audit log have them all.
const ACTS_KEPT: usize = 50;

/// Who does what, and when (milliseconds since 1970).
#[derive(Debug, Clone, Copy)]
pub struct Act<'a> {
    /// What.
    pub verb: Verb,
    /// Who.
    pub by: &'a Actor,
    /// Why, in their words.
    pub message: Option<&'a str>,
    /// When.
    pub now: i64,
}

/// What comes of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Acted {
    /// Devices that ended badly become pending, due now, without attempts and without an outcome.
    pub retry_failed: bool,
    /// What happened.
    pub events: Vec<CampaignEvent>,
}

/// Why it is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// Not in this state.
    #[error("{} is not possible while the campaign is {}; it must be {allowed}", verb.as_str(), state.as_str())]
    State {
        /// What was wanted.
        verb: Verb,
        /// The state that it is in.
        state: CampaignState,
        /// The states in which it is possible.
        allowed: String,
    },
    /// The one who made or submitted it approves it.
    #[error("approval by another person is needed than the one who created or submitted the campaign")]
    SamePerson,
    /// Its end has come.
    #[error("the endAt of the campaign has passed")]
    PastEnd,
    /// Its beginning has not come.
    #[error("the startAt of the campaign has not come, and nothing begins before it")]
    BeforeStart,
    /// There is no wave after this one.
    #[error("the last wave has begun already")]
    LastWave,
    /// Only a switch is reverted.
    #[error("{NO_REVERT}")]
    NoRevert,
    /// No device ended badly.
    #[error("no device has failed")]
    NothingFailed,
}

impl Verb {
    /// The states in which it is possible.
    #[must_use]
    pub const fn allowed(self) -> &'static [CampaignState] {
        use CampaignState::{
            Aborted, Aborting, Approved, Completed, Draft, Expired, Paused, Reverting, Running, Submitted,
        };
        match self {
            Self::Submit => &[Draft],
            Self::Approve | Self::Deny => &[Submitted],
            Self::Start => &[Approved],
            Self::Pause => &[Running],
            Self::Resume => &[Paused],
            Self::NextWave => &[Running, Paused],
            Self::Abort => &[Submitted, Approved, Running, Paused, Reverting],
            Self::Revert => &[Running, Paused, Aborting, Aborted, Completed, Expired],
            Self::RetryFailed => &[Running, Paused, Completed],
        }
    }
}

/// Does it: moves state and facts on. A [`super::step`] is due after it.
///
/// # Errors
/// Why it is not done; nothing has changed then.
pub fn act(
    act: &Act<'_>,
    spec: &CampaignSpec,
    state: &mut CampaignState,
    facts: &mut CampaignFacts,
    counts: &Counts,
) -> Result<Acted, ActError> {
    refuse(act, spec, *state, facts, counts)?;
    let Act { verb, by, message, now } = *act;
    let who = json!({ "by": by, "message": message });
    if !matches!(verb, Verb::Submit | Verb::Approve | Verb::Deny) {
        let superfluous = (facts.acts.len() + 1).saturating_sub(ACTS_KEPT);
        facts.acts.drain(..superfluous);
        facts.acts.push(DoneAct {
            verb: verb.as_str().to_owned(),
            by: by.clone(),
            at: now,
            message: message.map(str::to_owned),
        });
    }
    let mut acted = Acted::default();
    let mut event = |kind, details: Value| acted.events.push(CampaignEvent { kind, details });
    match verb {
        Verb::Submit => {
            facts.submitted_by = Some(by.clone());
            facts.submitted_at = Some(now);
            facts.submitted_message = message.map(str::to_owned);
            event("campaignSubmitted", who);
            *state = match spec.approval {
                super::spec::Approval::Required => CampaignState::Submitted,
                super::spec::Approval::None => CampaignState::Approved,
            };
        }
        Verb::Approve => {
            facts.approved_by = Some(by.clone());
            facts.approved_at = Some(now);
            facts.approved_message = message.map(str::to_owned);
            event("campaignApproved", who);
            *state = CampaignState::Approved;
        }
        Verb::Deny => {
            facts.denied_by = Some(by.clone());
            facts.denied_at = Some(now);
            facts.denied_message = message.map(str::to_owned);
            facts.ended_at = Some(now);
            event("campaignDenied", who);
            *state = CampaignState::Denied;
        }
        Verb::Start => {
            facts.started_at = Some(now);
            event("campaignStarted", who);
            *state = CampaignState::Running;
        }
        Verb::Pause => {
            let message = message.map_or_else(|| format!("{} paused it", by.name), str::to_owned);
            event(
                "campaignPaused",
                json!({ "reason": Pause::OPERATOR, "message": &message, "by": by, "wave": facts.wave }),
            );
            facts.pause = Some(Pause { name: Pause::OPERATOR.to_owned(), message });
            *state = CampaignState::Paused;
        }
        Verb::Resume => {
            let of_wave = |pause: &Pause| [Pause::WAVE_DONE, Pause::SUCCESS_THRESHOLD].contains(&pause.name.as_str());
            facts.wave_accepted |= facts.pause.as_ref().is_some_and(of_wave);
            go_on(spec, state, facts, counts, now);
            event("campaignResumed", who);
        }
        Verb::NextWave => {
            let next = facts.wave.map_or(0, |wave| wave + 1);
            if *state == CampaignState::Paused {
                event("campaignResumed", who);
            }
            go_on(spec, state, facts, counts, now);
            facts.begin_wave(next, now);
            let details = json!({ "wave": next, "devices": counts.wave(next).total(), "by": by });
            event("campaignWaveBegan", details);
        }
        Verb::Abort => {
            facts.pause = None;
            event("campaignAborting", who);
            *state = CampaignState::Aborting;
        }
        Verb::Revert => {
            facts.pause = None;
            facts.ended_at = None;
            facts.reverts_known = false;
            event("campaignReverting", who);
            *state = CampaignState::Reverting;
        }
        Verb::RetryFailed => {
            go_on(spec, state, facts, counts, now);
            facts.errors_seen.clear();
            facts.soak_until = None;
            facts.wave_accepted = false;
            facts.ended_at = None;
            event("campaignRetried", json!({ "by": by, "message": message, "devices": counts.failed() }));
            acted.retry_failed = true;
        }
    }
    Ok(acted)
}

fn refuse(
    act: &Act<'_>,
    spec: &CampaignSpec,
    state: CampaignState,
    facts: &CampaignFacts,
    counts: &Counts,
) -> Result<(), ActError> {
    let verb = act.verb;
    if !verb.allowed().contains(&state) {
        let words: Vec<&str> = verb.allowed().iter().map(|state| state.as_str()).collect();
        return Err(ActError::State { verb, state, allowed: words.join(" or ") });
    }
    let begins =
        matches!(verb, Verb::Submit | Verb::Approve | Verb::Start | Verb::Resume | Verb::NextWave | Verb::RetryFailed);
    if begins && spec.end_at.is_some_and(|end| end <= act.now) {
        return Err(ActError::PastEnd);
    }
    match verb {
        Verb::Approve if is_same_person(act.by, facts) => Err(ActError::SamePerson),
        Verb::NextWave if spec.start_at.is_some_and(|start| start > act.now) => Err(ActError::BeforeStart),
        Verb::NextWave if facts.wave.is_some_and(|wave| wave + 1 >= spec.waves.len()) => Err(ActError::LastWave),
        Verb::Revert if !spec.is_switch() => Err(ActError::NoRevert),
        Verb::RetryFailed if counts.failed() == 0 => Err(ActError::NothingFailed),
        _ => Ok(()),
    }
}

/// By the key, or by its name: a key that was rotated belongs to the same person.
fn is_same_person(by: &Actor, facts: &CampaignFacts) -> bool {
    let others = [&facts.created_by, &facts.submitted_by];
    others.into_iter().flatten().any(|other| other.key_id == by.key_id || other.name == by.name)
}

/// It goes on, or starts, where it was held back at its `startAt`. If errors had paused it, a person has seen those there are until
/// now.
fn go_on(spec: &CampaignSpec, state: &mut CampaignState, facts: &mut CampaignFacts, counts: &Counts, now: i64) {
    facts.started_at = facts.started_at.or(Some(now));
    if facts.pause.as_ref().is_some_and(|pause| pause.name == Pause::ERROR_THRESHOLD) {
        facts.errors_seen = counts.errors_by_wave(spec);
    }
    facts.pause = None;
    *state = CampaignState::Running;
}

/// A draft of the same campaign: with a name of its own and without times that have passed.
#[must_use]
pub fn cloned(spec: &CampaignSpec, now: i64) -> CampaignSpec {
    const SUFFIX: &str = " (copy)";
    let mut copy = spec.clone();
    let room = 128 - SUFFIX.len();
    let end = (0..=room).rev().find(|end| copy.name.is_char_boundary(*end)).unwrap_or(0);
    copy.name.truncate(end);
    copy.name.push_str(SUFFIX);
    let ahead = |time: Option<i64>| time.filter(|time| *time > now);
    copy.start_at = ahead(copy.start_at);
    copy.end_at = ahead(copy.end_at);
    for wave in &mut copy.waves {
        wave.start_at = ahead(wave.start_at);
    }
    copy
}

#[cfg(test)]
mod tests;
