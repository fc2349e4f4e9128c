//! The steps of a switch: each waits for an outcome, or comes to the next state.

use super::begin::{announce, no_show_at, proceed};
use super::deleting::{deleting, proven};
use super::downloading::downloading;
use super::ending::{overdue, withdraw};
use super::judge::{checks, plan_now};
use super::{Plan, Switch, SwitchState, period};
use crate::asn1::code::state_change_cause::FALLBACK as CAUSE_FALLBACK;
use crate::domain::Profile;
use crate::domain::fleet::guard;
use crate::domain::fleet::outcome::Outcome;
use crate::domain::lists;
use crate::domain::operation::{ABANDONED, Operation, OperationError, OperationState};
use crate::domain::poll::Poll;
use crate::domain::work::Work;
use crate::ids::{Iccid, OperationId};
use serde_json::json;

/// Takes note of a poll, which may be what proves a switch.
pub fn saw(work: &mut Work, poll: &Poll) {
    let Some(mut switch) = work.state.switch.take() else { return };
    if switch.is_open() && matches!(switch.state, SwitchState::Enabling | SwitchState::Proving | SwitchState::Deleting)
    {
        let enabled = switch.state == SwitchState::Deleting
            || switch.facts.awaiting.first().and_then(|id| work.state.operation(*id)).is_some_and(|operation| {
                (operation.state == OperationState::Unconfirmed && !operation.results.is_empty())
                    || operation.state == OperationState::Succeeded
            });
        // What a poll says before the profile is enabled is about another change.
        if enabled {
            switch.facts.seen_again = true;
            switch.facts.plmn = poll.r_plmn.map(|plmn| plmn.to_string()).or(switch.facts.plmn.take());
            switch.facts.cause = poll.state_change_cause.or(switch.facts.cause);
        }
    }
    work.state.switch = Some(switch);
}

/// Brings a switch as far as what is known allows. Runs at the end of every decision about its eUICC.
pub fn advance(work: &mut Work) {
    let Some(mut switch) = work.state.switch.take() else { return };
    if !switch.is_open() {
        reverse(work, &mut switch);
    }
    // Each step either waits or comes to another state, of which there are few.
    for _ in 0..SwitchState::ALL.len() {
        if !switch.is_open() || !step(work, &mut switch) {
            break;
        }
    }
    if switch.is_open() && switch.deadline.is_some_and(|deadline| deadline <= work.now()) {
        overdue(work, &mut switch);
    }
    work.state.switch = Some(switch);
}

/// A device that went back after its switch had ended: what was proven then is not so any more.
fn reverse(work: &mut Work, switch: &mut Switch) {
    let stood = matches!(switch.outcome, Some(Outcome::Proven | Outcome::Unconfirmed | Outcome::LostAfterSwitch));
    let went_back =
        |operation: &&Operation| operation.subject == Some(switch.id) && operation.state == OperationState::RolledBack;
    if stood && work.state.operations.iter().any(|operation| went_back(&operation)) {
        let message = "After the switch had ended the eUICC reported that it went back to the profile before.";
        switch.outcome = Some(Outcome::RolledBack);
        switch.facts.reason = Some(OperationError::named("rolledBackLater", message));
        let details = json!({ "switch": switch.id, "campaign": switch.campaign, "outcome": "rolledBack" });
        work.event("switchReversed", details);
    }
}

/// One step; `false` when nothing can be done now.
fn step(work: &mut Work, switch: &mut Switch) -> bool {
    match switch.state {
        SwitchState::Waiting => {
            let begins = switch.started_at.is_none_or(|start| start <= work.now());
            if begins && switch.facts.awaiting.is_empty() {
                guarded(work, switch);
            } else if begins {
                switch.state = SwitchState::Downloading;
                switch.deadline = Some(no_show_at(work, switch));
            }
            begins
        }
        SwitchState::Downloading => downloading(work, switch),
        SwitchState::Enabling => enabling(work, switch),
        SwitchState::Proving => proving(work, switch),
        SwitchState::Deleting => deleting(work, switch),
        SwitchState::Running => running(work, switch),
        SwitchState::Ended => false,
    }
}

/// Goes on if the guard still allows it, on what is known now.
pub(super) fn guarded(work: &mut Work, switch: &mut Switch) {
    let plan = plan_now(switch);
    let checks = checks(&plan, work, None);
    match guard::refusal(&checks) {
        None => {
            // What came up only now is on the record as well.
            for check in checks.iter().filter(|check| check.is_set_aside()) {
                if !switch.facts.set_aside.iter().any(|name| name == check.name) {
                    switch.facts.set_aside.push(check.name.to_owned());
                    let details = json!({ "switch": switch.id, "check": check.name, "result": check.result,
                        "found": check.message, "campaign": switch.campaign, "label": switch.label });
                    work.event("guardSetAside", details);
                }
            }
            proceed(work, switch);
        }
        Some(check) => {
            switch.end(Outcome::Refused, Some(check.reason()), work.now());
            announce(work, switch);
        }
    }
}

pub(super) fn end(work: &mut Work, switch: &mut Switch, outcome: Outcome, reason: Option<OperationError>) -> bool {
    switch.end(outcome, reason, work.now());
    announce(work, switch);
    true
}

/// How an operation ended that was given up, whatever it was for: `None` when it went its own way.
pub(super) fn given_up(operation: &Operation) -> Option<(Outcome, Option<OperationError>)> {
    let abandoned = operation.error.as_ref().is_some_and(|error| error.name == ABANDONED);
    match operation.state {
        OperationState::Cancelled if abandoned => Some((Outcome::Unconfirmed, operation.error.clone())),
        OperationState::Cancelled => Some((Outcome::Cancelled, operation.error.clone())),
        OperationState::Expired => Some((Outcome::NoShow, operation.error.clone())),
        _ => None,
    }
}

pub(super) fn awaited(work: &Work, switch: &Switch) -> Vec<Operation> {
    switch.facts.awaiting.iter().filter_map(|id| work.state.operation(*id)).cloned().collect()
}

pub(super) fn enabling(work: &mut Work, switch: &mut Switch) -> bool {
    let awaited = awaited(work, switch);
    let [operation] = awaited.as_slice() else { return false };
    if let Some((outcome, reason)) = given_up(operation) {
        return end(work, switch, outcome, reason);
    }
    if operation.state == OperationState::Queued && operation.counter.is_none() {
        return look_again(work, switch, operation.id);
    }
    match operation.state {
        OperationState::RolledBack => end(work, switch, Outcome::RolledBack, operation.error.clone()),
        OperationState::Failed => {
            let outcome = match operation.error.as_ref().map(|error| error.name.as_str()) {
                Some("outcomeUnknown") => Outcome::Unconfirmed,
                // The eUICC says itself that it is enabled.
                Some(NOT_DISABLED) if operation.verified.is_some() => {
                    return end(work, switch, Outcome::Unchanged, None);
                }
                _ => Outcome::Refused,
            };
            end(work, switch, outcome, operation.error.clone())
        }
        OperationState::Unconfirmed if operation.results.is_empty() => false,
        OperationState::Unconfirmed | OperationState::Succeeded => {
            switch.state = SwitchState::Proving;
            let intervals = match &switch.plan {
                Plan::Switch { proof, .. } => proof.seen_again_within,
                Plan::Download { .. } | Plan::Operations { .. } => 1,
            };
            switch.deadline = Some(work.now() + period(&work.state.euicc, intervals));
            switch.facts.put_off = 0;
            true
        }
        OperationState::Queued | OperationState::Delivered | OperationState::Expired | OperationState::Cancelled => {
            false
        }
    }
}

/// Until the package is signed a list may tell that the device is on another profile than it was believed to be.
fn look_again(work: &mut Work, switch: &mut Switch, enabling: OperationId) -> bool {
    let is_on = |profile: &&Profile| profile.enabled == Some(true);
    let enabled: Vec<Iccid> = work.state.profiles.iter().filter(is_on).map(|profile| profile.iccid).collect();
    let is_there = switch.facts.target.is_some_and(|target| enabled.contains(&target));
    switch.facts.previous = enabled;
    if is_there && !lists::is_doubtful(&work.state.euicc, work.now()) {
        withdraw(work, enabling, false);
        return end(work, switch, Outcome::Unchanged, None);
    }
    false
}

/// The code of an eUICC that has the profile enabled already.
const NOT_DISABLED: &str = "profileNotInDisabledState";

/// What stands between a switch and its proof.
pub(super) enum Proven {
    Yes,
    /// The device was not seen again.
    NotSeen,
    /// It was seen, and the profile list that was asked for is not there yet.
    NotListed,
    /// It reported another network.
    OtherNetwork(String),
    /// It did not stay: where it went.
    Gone(Outcome, OperationError),
}

fn proving(work: &mut Work, switch: &mut Switch) -> bool {
    let awaited = awaited(work, switch);
    if let [operation] = awaited.as_slice() {
        if operation.state == OperationState::RolledBack {
            return end(work, switch, Outcome::RolledBack, operation.error.clone());
        }
        if operation.state == OperationState::Failed {
            return end(work, switch, Outcome::Unconfirmed, operation.error.clone());
        }
        if let Some((outcome, reason)) = given_up(operation) {
            return end(work, switch, outcome, reason);
        }
    }
    match proof(work, switch) {
        Proven::Yes => {
            proven(work, switch);
            true
        }
        Proven::Gone(outcome, reason) => end(work, switch, outcome, Some(reason)),
        Proven::NotSeen | Proven::NotListed | Proven::OtherNetwork(_) => false,
    }
}

pub(super) fn proof(work: &Work, switch: &Switch) -> Proven {
    if switch.facts.cause == Some(CAUSE_FALLBACK) {
        let message = "The device reported that it went to its Fallback Profile: the new one found no network.";
        return Proven::Gone(Outcome::FellBack, OperationError::named("fallback", message));
    }
    if !switch.facts.seen_again {
        return Proven::NotSeen;
    }
    if work.state.euicc.profiles_stale {
        return Proven::NotListed;
    }
    let profiles = &work.state.profiles;
    let target = profiles.iter().find(|profile| Some(profile.iccid) == switch.facts.target);
    if target.is_none_or(|profile| profile.enabled != Some(true)) {
        let on_fallback =
            profiles.iter().any(|profile| profile.enabled == Some(true) && profile.fallback == Some(true));
        let (outcome, message) = if on_fallback {
            (Outcome::FellBack, "The profile list shows that the Fallback Profile is enabled again.")
        } else {
            (Outcome::RolledBack, "The profile list shows that the new profile is not enabled any more.")
        };
        return Proven::Gone(outcome, OperationError::named("notEnabled", message));
    }
    let Plan::Switch { proof, .. } = &switch.plan else { return Proven::Yes };
    match &switch.facts.plmn {
        Some(reported) if !proof.expected_plmns.is_empty() && !proof.expected_plmns.contains(reported) => {
            Proven::OtherNetwork(reported.clone())
        }
        _ => Proven::Yes,
    }
}

fn running(work: &mut Work, switch: &mut Switch) -> bool {
    let awaited = awaited(work, switch);
    let [operation] = awaited.as_slice() else { return false };
    if let Some((outcome, reason)) = given_up(operation) {
        return end(work, switch, outcome, reason);
    }
    match operation.state {
        OperationState::Succeeded => {
            switch.facts.done += 1;
            proceed(work, switch);
            true
        }
        OperationState::RolledBack => end(work, switch, Outcome::RolledBack, operation.error.clone()),
        OperationState::Failed => end(work, switch, Outcome::Failed, operation.error.clone()),
        _ => false,
    }
}
