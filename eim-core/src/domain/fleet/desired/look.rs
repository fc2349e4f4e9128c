//! What a look at a device comes to: what is told of it once, and what is tried next.

use super::drift::{Correction, Difference, Drift};
use super::spec::{DesiredSpec, Retry};
use crate::domain::Event;
use crate::domain::euicc::words;
use crate::domain::fleet::plan::{NO_SHOW_AFTER, SEEN_AGAIN_WITHIN};
use crate::domain::fleet::{DeleteOld, Outcome, Plan, Proof, Switch, Target};
use crate::ids::OperationId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

words!(
    /// How a device stands.
    DriftState {
        /// It was not looked at yet, or no desired state is for it.
        None = "none",
        /// As it is wanted.
        InLine = "inLine",
        /// Otherwise than it is wanted.
        Drifting = "drifting",
        /// It can't be said.
        Unknown = "unknown",
    }
);

words!(
    /// What is done about the drift of a device.
    Correcting {
        /// Nothing: there is none, it is not asked for, or nothing can be done.
        None = "none",
        /// A switch is under way.
        Correcting = "correcting",
        /// The next attempt waits for its time, or for something else that is under way.
        Waiting = "waiting",
        /// The guard refuses every correction.
        Refused = "refused",
        /// Every correction was tried as often as it may be.
        GivenUp = "givenUp",
    }
);

/// How often a wait after a failed attempt doubles at most, and how long it is at most.
const DOUBLED_MAX: i64 = 10;
const BACK_OFF_MAX_MS: i64 = 7 * 86_400_000;
/// How long a device must have been in line before it is forgotten how often it was brought back: what goes back again and again is
/// brought back ever less often.
const CALM_MS: i64 = 86_400_000;
/// How long until it is looked again when something else is under way, and when the guard refuses.
const BUSY_MS: i64 = 300_000;
/// When a device is looked at again for which there was no place, and the latest.
const PACED_MS: i64 = 60_000;
const PACED_MAX_MS: i64 = 1_800_000;
const REFUSED_MS: i64 = 3_600_000;
/// What stands for asking a device for its profile list among the attempts.
const LIST: &str = "listProfileInfo";

/// Why something is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable word.
    pub name: String,
    /// In a sentence.
    pub message: String,
}

impl Reason {
    /// A reason.
    #[must_use]
    pub fn new(name: &str, message: impl Into<String>) -> Self {
        Self { name: name.to_owned(), message: message.into() }
    }
}

/// What is known of a device and the desired state that counts for it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DriftFacts {
    /// The version of the desired state that the rest is about.
    pub state_version: i64,
    /// The differences as the API shows them.
    pub differences: Vec<Value>,
    /// Why it is unknown, waits or was refused.
    pub reason: Option<Reason>,
    /// What was told as found and is not cured.
    pub found: BTreeSet<String>,
    /// When it was found, milliseconds since 1970.
    pub found_at: Option<i64>,
    /// Whether it was told that it is given up.
    pub given_up: bool,
    /// How often each step was tried since the device was in line the last time.
    pub tries: BTreeMap<String, i64>,
    /// How often it was brought back since it was in line for a day.
    pub brought_back: i64,
    /// Not brought back again before, since it did not stay.
    pub not_again_before: Option<i64>,
    /// Since when it is in line.
    pub in_line_since: Option<i64>,
    /// Not tried before.
    pub next_try_at: Option<i64>,
    /// The switch that is under way for it.
    pub switch: Option<OperationId>,
    /// The last one that has ended, and how.
    pub last_switch: Option<OperationId>,
    /// The word of its outcome.
    pub last_outcome: Option<String>,
    /// Why it ended so.
    pub last_reason: Option<Reason>,
    /// Since when it is not known whether the device is reached where a correction has moved it.
    pub unproven_since: Option<i64>,
    /// When it was looked at.
    pub checked_at: i64,
}

impl DriftFacts {
    /// Before which time nothing is tried, milliseconds since 1970; `None` when nothing holds it up.
    #[must_use]
    pub fn waits_until(&self) -> Option<i64> {
        self.next_try_at.max(self.not_again_before)
    }

    /// Keeps what was tried when another state counts, or none: else a device could be had to and fro between two of them.
    pub fn keep_tries(&mut self, before: &mut Self) {
        self.tries = std::mem::take(&mut before.tries);
        self.brought_back = before.brought_back;
        self.not_again_before = before.not_again_before;
        self.in_line_since = before.in_line_since;
        self.next_try_at = before.next_try_at;
        // How the last one ended says whether it was brought back.
        self.last_outcome = before.last_outcome.take();
    }
}

/// The version of facts that are about another desired state than the one that counts now.
pub const OTHER_STATE: i64 = -1;
/// The same where the one that counts now was made since: what was tried before does not hold it up.
pub const NEW_STATE: i64 = -2;

/// Takes note of a correction that came to no proof.
pub fn note_lost(facts: &mut DriftFacts, switch: Option<&Switch>) {
    let lost = |switch: &&Switch| {
        matches!(switch.outcome, Some(Outcome::LostAfterSwitch | Outcome::Unconfirmed)) && !switch.is_open()
    };
    if let Some(ended_at) = switch.filter(lost).and_then(|switch| switch.ended_at) {
        facts.unproven_since = Some(ended_at);
    }
}

/// What is known of the profiles, after a correction that came to no proof: the device took the package and was not seen again, or
/// not as it should. Nothing counts as corrected, and nothing else is taken from it, until it tells its profiles again.
pub fn unproven(facts: &mut DriftFacts, listed_at: Option<i64>, drift: Drift) -> Drift {
    let Some(since) = facts.unproven_since else { return drift };
    if listed_at.is_some_and(|at| at > since) {
        facts.unproven_since = None;
        return drift;
    }
    let message = "The last correction was not proven, and the device has not told its profiles since.".to_owned();
    Drift::Unknown { name: "notProven", message }
}

/// A desired state in force.
#[derive(Debug, Clone, Copy)]
pub struct Force<'a> {
    /// Its name for reference.
    pub id: OperationId,
    /// The operator's name for it.
    pub name: &'a str,
    /// Its version.
    pub version: i64,
    /// Whether devices are brought back.
    pub enforce: bool,
    /// How often and how fast.
    pub retry: Retry,
}

/// What a look comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// How the device stands.
    pub drift: DriftState,
    /// What is done about it.
    pub correcting: Correcting,
    /// When it is looked at again if nothing happens.
    pub look_at: Option<i64>,
    /// What happened.
    pub events: Vec<Event>,
    /// What may be tried now, the first first, each with its key among the attempts.
    pub steps: Vec<(String, Correction)>,
    /// Whether the device is to be asked for its profile list.
    pub list: bool,
    /// Whether a correction has ended so that the device may be worse off.
    pub bad: bool,
}

/// Looks at a device. `before` is how it stood; `switch` is the one that the facts name.
pub fn look(
    facts: &mut DriftFacts,
    mut before: DriftState,
    force: &Force<'_>,
    drift: Drift,
    switch: Option<&Switch>,
    now: i64,
) -> Look {
    facts.checked_at = now;
    if facts.state_version != force.version {
        let mut fresh =
            DriftFacts { state_version: force.version, switch: facts.switch, checked_at: now, ..DriftFacts::default() };
        fresh.unproven_since = facts.unproven_since;
        if facts.state_version == OTHER_STATE {
            // Another state counts now. What was tried is not forgotten: else two of them could have a device to and fro.
            fresh.keep_tries(facts);
        }
        *facts = fresh;
        before = DriftState::None;
    }
    let mut look = Look {
        drift: before,
        correcting: Correcting::None,
        look_at: None,
        events: vec![],
        steps: vec![],
        list: false,
        bad: false,
    };
    if switch.is_some_and(Switch::is_open) {
        look.correcting = Correcting::Correcting;
        return look;
    }
    if facts.switch.is_some() {
        use Outcome::{FellBack, LostAfterSwitch, RolledBack, Unconfirmed};
        let outcome = switch.and_then(|switch| switch.outcome);
        look.bad = matches!(outcome, Some(FellBack | LostAfterSwitch | RolledBack | Unconfirmed));
    }
    ended(facts, force, switch, now);
    facts.reason = None;
    facts.differences.clear();
    match drift {
        Drift::Unknown { name, message } => {
            look.drift = DriftState::Unknown;
            facts.reason = Some(Reason::new(name, message));
            unknown(facts, force, &mut look, now);
        }
        Drift::InLine => {
            look.drift = DriftState::InLine;
            if !facts.found.is_empty() {
                let details = json!({
                    "desiredState": force.id,
                    "name": force.name,
                    "switch": facts.last_switch,
                    "foundAt": facts.found_at.map(crate::domain::rfc3339),
                });
                look.events.push(Event::new("driftCorrected", details));
            }
            facts.found.clear();
            facts.found_at = None;
            // Asking for the list moves nothing.
            facts.tries.remove(LIST);
            let last = facts.last_outcome.as_deref().and_then(Outcome::from_word);
            if !facts.tries.is_empty() && last.is_none_or(Outcome::is_success) {
                facts.brought_back += 1;
            }
            facts.given_up = false;
            facts.next_try_at = None;
            facts.last_switch = None;
            (facts.last_outcome, facts.last_reason) = (None, None);
            facts.tries.clear();
            facts.not_again_before = None;
            facts.in_line_since.get_or_insert(now);
        }
        Drift::Drifting(differences) => {
            look.drift = DriftState::Drifting;
            drifting(facts, force, &differences, &mut look, now);
        }
    }
    look
}

/// Takes note of how the last correction ended.
fn ended(facts: &mut DriftFacts, force: &Force<'_>, switch: Option<&Switch>, now: i64) {
    if facts.switch.take().is_none() {
        return;
    }
    let Some(switch) = switch else { return };
    facts.last_switch = Some(switch.id);
    facts.last_outcome = switch.outcome.map(|outcome| outcome.as_str().to_owned());
    facts.last_reason = switch.facts.reason.as_ref().map(|reason| Reason::new(&reason.name, reason.message.clone()));
    if switch.outcome.is_some_and(|outcome| outcome.is_success()) {
        return;
    }
    let worst = facts.tries.values().copied().max().unwrap_or(1);
    facts.next_try_at = Some(switch.ended_at.unwrap_or(now) + back_off(force.retry, worst));
}

fn back_off(retry: Retry, tried: i64) -> i64 {
    let first = retry.back_off_seconds.saturating_mul(1_000);
    (first << (tried - 1).clamp(0, DOUBLED_MAX)).min(BACK_OFF_MAX_MS.max(first))
}

fn unknown(facts: &mut DriftFacts, force: &Force<'_>, look: &mut Look, now: i64) {
    if !force.enforce {
        return;
    }
    let tried = facts.tries.get(LIST).copied().unwrap_or(0);
    if tried >= force.retry.attempts {
        return;
    }
    match facts.next_try_at.filter(|at| *at > now) {
        Some(at) => look.look_at = Some(at),
        None => {
            look.list = true;
            facts.tries.insert(LIST.to_owned(), tried + 1);
            let at = now + back_off(force.retry, tried + 1);
            facts.next_try_at = Some(at);
            look.look_at = Some(at);
        }
    }
}

fn drifting(facts: &mut DriftFacts, force: &Force<'_>, differences: &[Difference], look: &mut Look, now: i64) {
    if facts.tries.remove(LIST).is_some() {
        facts.next_try_at = None;
    }
    facts.differences = differences.iter().map(Difference::to_value).collect();
    let found: BTreeSet<String> = differences.iter().map(|difference| difference.finding.clone()).collect();
    if !found.is_subset(&facts.found) {
        facts.found_at.get_or_insert(now);
        let details = json!({ "desiredState": force.id, "name": force.name, "differences": facts.differences });
        look.events.push(Event::new("driftFound", details));
    }
    facts.found = found;
    let mut steps: Vec<(String, Correction)> = differences.iter().filter_map(Difference::step).collect();
    steps.sort_by_key(|(_, correction)| *correction);
    steps.dedup();
    let tried = |facts: &DriftFacts| steps.iter().filter_map(|(step, _)| facts.tries.get(step).copied()).max();
    match facts.in_line_since.take() {
        Some(since) if since + CALM_MS <= now => {
            facts.tries.clear();
            facts.brought_back = 0;
        }
        // Once is an accident, and is mended at once. Who is put back again and again waits, longer each time.
        Some(_) => {
            facts.next_try_at = None;
            facts.not_again_before =
                (facts.brought_back > 1).then(|| now + back_off(force.retry, facts.brought_back - 1));
        }
        // What was tried before was for another state.
        None if tried(facts).is_none() => facts.next_try_at = None,
        None => {}
    }
    if !force.enforce || steps.is_empty() {
        return;
    }
    steps.retain(|(step, _)| facts.tries.get(step).is_none_or(|tried| *tried < force.retry.attempts));
    // Done as asked, and it was not what is wanted: not at once again.
    if facts.next_try_at.is_none()
        && let Some(tried) = steps.first().and_then(|(step, _)| facts.tries.get(step))
    {
        facts.next_try_at = Some(now + back_off(force.retry, *tried));
    }
    if steps.is_empty() {
        look.correcting = Correcting::GivenUp;
        if !std::mem::replace(&mut facts.given_up, true) {
            let details = json!({
                "desiredState": force.id,
                "name": force.name,
                "attempts": force.retry.attempts,
                "lastOutcome": facts.last_outcome,
                "reason": facts.last_reason.as_ref().map(|reason| &reason.name),
            });
            look.events.push(Event::new("driftGivenUp", details));
        }
        return;
    }
    facts.given_up = false;
    if let Some(at) = facts.waits_until().filter(|at| *at > now) {
        facts.reason = Some(match facts.not_again_before == Some(at) {
            true => {
                let message = format!(
                    "It was brought back {} times and did not stay; the next time has to wait.",
                    facts.brought_back
                );
                Reason::new("didNotStay", message)
            }
            false => Reason::new("retry", "It was tried before; the next attempt has to wait (retry)."),
        });
        look.correcting = Correcting::Waiting;
        look.look_at = Some(at);
        return;
    }
    look.steps = steps;
}

/// None of the steps could be begun, since something else is under way at the device.
pub fn busy(facts: &mut DriftFacts, look: &mut Look, reason: Reason, now: i64) {
    facts.reason = Some(reason);
    look.correcting = Correcting::Waiting;
    look.look_at = Some(now + BUSY_MS);
}

/// None of the steps is begun, since as many other devices are being brought back as may be. So many wait in all; the more,
/// the later this one is looked at again. `spread` is any number of the device's own.
pub fn paced(facts: &mut DriftFacts, look: &mut Look, (waiting, max): (i64, i64), spread: u64, now: i64) {
    let message = format!("{max} other devices are being brought back (maxInFlight); this one has its turn later.");
    facts.reason = Some(Reason::new("maxInFlight", message));
    look.correcting = Correcting::Waiting;
    let wait = (waiting / max.max(1)).saturating_mul(PACED_MS).clamp(PACED_MS, PACED_MAX_MS);
    // Not all of them at the same moment.
    look.look_at = Some(now + wait + i64::try_from(spread % PACED_MS.unsigned_abs()).unwrap_or(0));
}

/// None of the steps is begun, since the desired state has stopped. A change of it has the device looked at again.
pub fn stopped(facts: &mut DriftFacts, look: &mut Look, bad: i64) {
    let message =
        format!("{bad} corrections have ended badly (stopAfter). Look at them, then change the state to go on.");
    facts.reason = Some(Reason::new("stopped", message));
    look.correcting = Correcting::Waiting;
    look.look_at = None;
}

/// None of the steps could be begun, since the guard or something else speaks against it.
pub fn refused(facts: &mut DriftFacts, look: &mut Look, reason: Reason, now: i64) {
    facts.reason = Some(reason);
    look.correcting = Correcting::Refused;
    look.look_at = Some(now + REFUSED_MS);
}

/// What a switch is to do that carries a correction out; `None` where it is not said how a profile is got.
#[must_use]
pub fn plan_of(correction: Correction, spec: &DesiredSpec, obtain: Option<&Target>) -> Option<Plan> {
    let operation = |request: Value| Plan::Operations {
        requests: vec![json!({ "psmo": [request] })],
        no_show_after: NO_SHOW_AFTER,
    };
    Some(match correction {
        Correction::Obtain => Plan::Download {
            from: obtain?.clone(),
            no_show_after: NO_SHOW_AFTER,
            memory_bytes: spec.memory_bytes,
            waive: spec.waive.clone(),
        },
        Correction::Enable(iccid) => Plan::Switch {
            to: Target::Iccid(iccid),
            rollback: true,
            delete_old: DeleteOld::Never,
            proof: Proof { seen_again_within: SEEN_AGAIN_WITHIN, expected_plmns: vec![] },
            no_show_after: NO_SHOW_AFTER,
            memory_bytes: spec.memory_bytes,
            waive: spec.waive.clone(),
            overridden: vec![],
        },
        Correction::SetFallback(iccid) => operation(json!({ "setFallbackAttribute": { "rawIccid": iccid.raw_hex() } })),
        Correction::UnsetFallback => operation(json!({ "unsetFallbackAttribute": {} })),
        Correction::Delete(iccid) => operation(json!({ "delete": { "rawIccid": iccid.raw_hex() } })),
    })
}
