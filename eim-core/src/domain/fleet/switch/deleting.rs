//! What becomes of the old profile once a switch is proven.

use super::begin::{ask, no_show_at};
use super::ending::{not_listed, other_network, withdraw};
use super::judge::known;
use super::steps::{Proven, awaited, end, proof};
use super::{DeleteOld, Plan, Switch, SwitchState};
use crate::asn1::Psmo;
use crate::domain::fleet::guard::{self, Subject};
use crate::domain::fleet::outcome::Outcome;
use crate::domain::fleet::policy;
use crate::domain::lists::list_profiles;
use crate::domain::operation::{Kind, Operation, OperationError, OperationState};
use crate::domain::request::Request;
use crate::domain::work::Work;
use crate::ids::Iccid;
use serde_json::{Value, json};

pub(super) fn proven(work: &mut Work, switch: &mut Switch) {
    if let Some(reason) = stays(work, switch) {
        end(work, switch, Outcome::Proven, reason);
        return;
    }
    // A device may have changed and said nothing, and what is deleted is gone: the list is had first, if it is not newer than the proof.
    let enabled_at = awaited(work, switch).first().and_then(|operation| operation.completed_at);
    let listed_at = work.state.euicc.profiles_listed_at;
    if enabled_at.zip(listed_at).is_some_and(|(enabled, listed)| listed > enabled) {
        delete_old(work, switch);
        return;
    }
    switch.state = SwitchState::Deleting;
    ask(work, switch, Kind::Psmo, list_profiles());
    switch.deadline = Some(no_show_at(work, switch));
}

/// The profiles from which the switch has moved and that are to be deleted: because it was asked for, or by their owner's policy.
fn old_profiles(work: &Work, switch: &Switch) -> Vec<Iccid> {
    let wants = matches!(&switch.plan, Plan::Switch { delete_old: DeleteOld::AfterProof, .. });
    let is_deleted = |iccid: &&Iccid| {
        let profile = work.state.profiles.iter().find(|profile| profile.iccid == **iccid);
        Some(**iccid) != switch.facts.target
            && profile.is_some_and(|profile| wants || policy::deletes_when_disabled(&work.state.policies, profile))
    };
    switch.facts.previous.iter().filter(is_deleted).copied().collect()
}

/// Whether nothing is deleted, as far as is known now: with the reason, or without one where nothing is to be.
fn stays(work: &Work, switch: &Switch) -> Option<Option<OperationError>> {
    let old = old_profiles(work, switch);
    if old.is_empty() {
        return Some(None);
    }
    let overridden = match &switch.plan {
        Plan::Switch { overridden, .. } => overridden.as_slice(),
        Plan::Download { .. } | Plan::Operations { .. } => &[],
    };
    let remove = Subject::Remove { disabled: &[], deleted: &old };
    let refused = || {
        let checks = guard::checks(remove, known(work, None), &[], overridden);
        guard::refusal(&checks).map(|refused| refused.message.clone())
    };
    let message = kept_back(work, switch, &old).or_else(refused)?;
    Some(Some(OperationError::named("oldProfileKept", &message)))
}

/// Deletes the old profiles of a switch that is proven.
pub(super) fn delete_old(work: &mut Work, switch: &mut Switch) {
    if let Some(reason) = stays(work, switch) {
        end(work, switch, Outcome::Proven, reason);
        return;
    }
    let old = old_profiles(work, switch);
    let deletes: Vec<Value> = old.iter().map(|iccid| json!({ "delete": { "rawIccid": iccid.raw_hex() } })).collect();
    switch.state = SwitchState::Deleting;
    ask(work, switch, Kind::Psmo, json!({ "psmo": deletes }));
    switch.deadline = Some(no_show_at(work, switch));
}

/// Why old profiles are not deleted, though the switch is proven.
fn kept_back(work: &Work, switch: &Switch, old: &[Iccid]) -> Option<String> {
    // What the switch was let through with must be there still, also where a policy was made since.
    let holder = guard::fallback_holder(&work.state.profiles, switch.facts.target).ok().flatten();
    let was_set_aside = switch.facts.set_aside.iter().any(|name| name == guard::FALLBACK);
    if let Some(holder) = holder.filter(|holder| !was_set_aside && old.contains(&holder.iccid)) {
        return Some(format!(
            "The profile {} has the fallback attribute, and that the device can do without was not waived when the switch began: it \
             stays. Move the attribute first (psmo setFallbackAttribute), then delete it.",
            holder.iccid
        ));
    }
    // It may take the device from the profile that was proven.
    let moves = |operation: &&Operation| {
        let request = operation.request.as_object().and_then(|body| Request::parse(body).ok());
        operation.subject != Some(switch.id)
            && !operation.state.is_final()
            && matches!(request, Some(Request::Psmo(list)) if guard::takes_away(&list))
    };
    let other = work.state.operations.iter().find(moves)?;
    Some(format!("The operation {} is under way, which may move the device again: the old profile stays.", other.id))
}

/// What speaks against the proof since it was had: where the device has gone, or the network that it reports.
fn against(work: &Work, switch: &Switch) -> Option<(Outcome, OperationError)> {
    match proof(work, switch) {
        Proven::Gone(outcome, reason) => Some((outcome, reason)),
        Proven::OtherNetwork(plmn) => Some((Outcome::Unconfirmed, other_network(&plmn))),
        Proven::Yes | Proven::NotSeen | Proven::NotListed => None,
    }
}

/// Why the old profile is not deleted any more where that was asked for: the device is not where the proof found it.
#[must_use]
pub fn not_proven_any_more(switch: &Switch, work: &Work) -> Option<OperationError> {
    let deletes = switch.is_open() && switch.state == SwitchState::Deleting;
    Some(switch).filter(|_| deletes).and_then(|switch| against(work, switch)).map(|(_, reason)| reason)
}

pub(super) fn deleting(work: &mut Work, switch: &mut Switch) -> bool {
    let awaited = awaited(work, switch);
    let [operation] = awaited.as_slice() else { return false };
    let against = against(work, switch);
    if !operation.state.is_final() {
        return match against {
            Some((outcome, reason)) if operation.state == OperationState::Queued => {
                withdraw(work, operation.id, false);
                end(work, switch, outcome, Some(reason))
            }
            _ => false,
        };
    }
    let done = operation.state == OperationState::Succeeded;
    let deleted = deleted_by(operation);
    if done {
        switch.facts.deleted.extend(&deleted);
    } else if !deleted.is_empty() {
        switch.facts.reason = Some(kept(operation.error.as_ref()));
    }
    match against {
        Some((outcome, reason)) if !(done && outcome == Outcome::Unconfirmed && !deleted.is_empty()) => {
            end(work, switch, outcome, Some(reason))
        }
        // It may be that the device has moved: a list tells.
        None if work.state.euicc.profiles_stale && done == deleted.is_empty() => {
            ask(work, switch, Kind::Psmo, list_profiles());
            switch.deadline = Some(no_show_at(work, switch));
            true
        }
        None if done && deleted.is_empty() && switch.facts.reason.is_some() => {
            // What was thought to have failed may have been done.
            let is_gone = |iccid: &&Iccid| {
                Some(**iccid) != switch.facts.target
                    && work.state.profiles.iter().all(|profile| profile.iccid != **iccid)
            };
            let gone: Vec<Iccid> = switch.facts.previous.iter().filter(is_gone).copied().collect();
            if old_profiles(work, switch).is_empty() && !gone.is_empty() {
                switch.facts.reason = None;
            }
            switch.facts.deleted.extend(gone);
            end(work, switch, Outcome::Proven, None)
        }
        None if !done && deleted.is_empty() && work.state.euicc.profiles_stale => {
            end(work, switch, Outcome::Unconfirmed, Some(not_listed()))
        }
        None if !done && deleted.is_empty() => {
            let reason = switch.facts.reason.take().unwrap_or_else(|| kept(operation.error.as_ref()));
            end(work, switch, Outcome::Proven, Some(reason))
        }
        None if deleted.is_empty() && switch.facts.reason.is_none() => {
            delete_old(work, switch);
            true
        }
        _ => end(work, switch, Outcome::Proven, None),
    }
}

/// The profiles that an operation of a switch deletes; none where it asks for the list.
fn deleted_by(operation: &Operation) -> Vec<Iccid> {
    match operation.request.as_object().and_then(|body| Request::parse(body).ok()) {
        Some(Request::Psmo(list)) => list
            .iter()
            .filter_map(|psmo| match psmo {
                Psmo::Delete(delete) => Iccid::from_octets(&delete.iccid).ok(),
                _ => None,
            })
            .collect(),
        _ => vec![],
    }
}

pub(super) fn kept(cause: Option<&OperationError>) -> OperationError {
    let cause = cause.map_or("it was withdrawn.", |error| error.message.as_str());
    OperationError::named(
        "oldProfileKept",
        &format!("The switch is proven, and the old profile was not deleted: {cause}"),
    )
}
