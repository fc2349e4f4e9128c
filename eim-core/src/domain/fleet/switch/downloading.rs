//! The download with which a switch begins.

use super::steps::{awaited, end, given_up, guarded};
use super::{Plan, Switch};
use crate::domain::authority::{self, Action, Subject as Owned};
use crate::domain::fleet::outcome::Outcome;
use crate::domain::lists::distrust_profiles;
use crate::domain::operation::{Operation, OperationState};
use crate::domain::work::Work;
use crate::ids::{Iccid, OperationId};

pub(super) fn downloading(work: &mut Work, switch: &mut Switch) -> bool {
    let awaited = awaited(work, switch);
    switch.facts.code_delivered |= awaited.iter().any(|operation| operation.delivered_at.is_some());
    // An SM-DS names the downloads that wait; they take the place of the one that asked.
    if let [asked] = awaited.as_slice()
        && asked.state == OperationState::Succeeded
        && let Some(named) = named_by_smds(asked)
    {
        switch.facts.operations.extend(&named);
        switch.facts.awaiting = named;
        return true;
    }
    let arrived = awaited.iter().filter(|operation| operation.state == OperationState::Succeeded).find_map(iccid_of);
    if let Some(iccid) = arrived {
        switch.facts.target = Some(iccid);
        if let Plan::Download { .. } = &switch.plan {
            return end(work, switch, Outcome::Succeeded, None);
        }
        if waits_for_owner(work, switch, iccid) {
            return false;
        }
        guarded(work, switch);
        return true;
    }
    if awaited.len() < switch.facts.awaiting.len() || awaited.iter().any(|operation| !operation.state.is_final()) {
        return false;
    }
    let Some(last) = awaited.last() else { return false };
    match given_up(last) {
        Some((Outcome::Unconfirmed, reason)) => end(work, switch, Outcome::DownloadFailed, reason),
        Some((outcome, reason)) => end(work, switch, outcome, reason),
        None => end(work, switch, Outcome::DownloadFailed, last.error.clone()),
    }
}

/// Whose a profile is that has just come a list has to tell, where other tenants own profiles: it is asked for, once.
fn waits_for_owner(work: &mut Work, switch: &mut Switch, iccid: Iccid) -> bool {
    let Some(rights) = work.state.rights.as_ref() else { return false };
    let profile = work.state.profiles.iter().find(|profile| profile.iccid == iccid);
    let untold = profile
        .is_some_and(|profile| rights.permits(Action::Enable, &Owned::of(profile)) == Err(authority::Refusal::Unknown));
    if !untold || switch.facts.owner_asked {
        return untold && work.state.euicc.profiles_stale;
    }
    switch.facts.owner_asked = true;
    distrust_profiles(work);
    true
}

fn named_by_smds(operation: &Operation) -> Option<Vec<OperationId>> {
    let value = operation.results.first()?.value.as_ref()?.get("operations")?;
    serde_json::from_value(value.clone()).ok()
}

/// The profile that a download brought.
fn iccid_of(operation: &Operation) -> Option<Iccid> {
    let value = operation.results.first()?.value.as_ref()?;
    Iccid::from_raw_hex(value.get("rawIccid")?.as_str()?).ok()
}
