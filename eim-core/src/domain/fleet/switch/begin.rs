//! How a switch begins, and what it asks for.

use super::judge::grants_used;
use super::{Plan, Switch, SwitchState, Target, period};
use crate::domain::changes::NewOperation;
use crate::domain::fleet::outcome::Outcome;
use crate::domain::lists;
use crate::domain::operation::{Kind, OperationError, Origin};
use crate::domain::work::Work;
use serde_json::{Value, json};

/// Begins a switch that the guard has let through. `download` is the first operation of one that downloads, with its sealed
/// secrets.
pub fn begin(work: &mut Work, mut switch: Switch, download: Option<NewOperation>) {
    let now = work.now();
    switch.facts.previous = work
        .state
        .profiles
        .iter()
        .filter(|profile| profile.enabled == Some(true))
        .map(|profile| profile.iccid)
        .collect();
    let mut told = json!({ "switch": switch.id, "campaign": switch.campaign });
    let grants = grants_used(&switch.plan, work);
    if !grants.is_empty() {
        told["grants"] = json!(grants);
    }
    work.event("switchCreated", told);
    let waits = switch.started_at.is_some_and(|start| start > now);
    if switch.started_at.is_none() {
        switch.started_at = Some(now);
    }
    if let Plan::Switch { to: Target::Iccid(iccid), .. } = &switch.plan {
        switch.facts.target = Some(*iccid);
        // By a list that may be wrong the eUICC has to say so itself.
        if switch.facts.previous.contains(iccid) && !lists::is_doubtful(&work.state.euicc, now) {
            switch.end(Outcome::Unchanged, None, now);
            announce(work, &switch);
            work.state.switch = Some(switch);
            return;
        }
    }
    match download {
        Some(download) => {
            switch.state = if waits { SwitchState::Waiting } else { SwitchState::Downloading };
            switch.facts.operations.push(download.id);
            switch.facts.awaiting = vec![download.id];
            queued(work, &download);
            work.enqueue(download);
            switch.deadline = if waits { switch.started_at } else { Some(no_show_at(work, &switch)) };
        }
        None if waits => {
            switch.state = SwitchState::Waiting;
            switch.deadline = switch.started_at;
        }
        None => proceed(work, &mut switch),
    }
    work.state.switch = Some(switch);
}

pub(super) fn no_show_at(work: &Work, switch: &Switch) -> i64 {
    let begins = switch.started_at.unwrap_or_default().max(work.now());
    begins + period(&work.state.euicc, switch.plan.no_show_after())
}

fn queued(work: &mut Work, operation: &NewOperation) {
    let details = json!({ "operation": operation.id, "kind": operation.kind.as_str(), "subject": operation.subject });
    work.event("operationQueued", details);
}

pub(super) fn ask(work: &mut Work, switch: &mut Switch, kind: Kind, request: Value) {
    let operation = NewOperation {
        id: work.fresh_id(),
        kind,
        origin: Origin::Switch,
        purpose: None,
        subject: Some(switch.id),
        request,
        label: switch.label.clone(),
        not_before: None,
        valid_until: None,
        secret: None,
        overridden: vec![],
    };
    switch.facts.operations.push(operation.id);
    switch.facts.awaiting = vec![operation.id];
    switch.facts.put_off = 0;
    queued(work, &operation);
    work.enqueue(operation);
}

/// The next operation of a switch: enabling its target, or the next of its list.
pub(super) fn proceed(work: &mut Work, switch: &mut Switch) {
    let now = work.now();
    match switch.plan.clone() {
        Plan::Switch { rollback, .. } => {
            let Some(target) = switch.facts.target else {
                let reason =
                    OperationError::named("profileUnknown", "The download did not say which profile it brought.");
                switch.end(Outcome::DownloadFailed, Some(reason), now);
                announce(work, switch);
                return;
            };
            let request = json!({ "psmo": [{ "enable": { "rawIccid": target.raw_hex(), "rollback": rollback } }] });
            switch.state = SwitchState::Enabling;
            ask(work, switch, Kind::Psmo, request);
        }
        Plan::Download { .. } => {
            switch.end(Outcome::Succeeded, None, now);
            announce(work, switch);
            return;
        }
        Plan::Operations { requests, .. } => {
            let next = requests.get(switch.facts.done).cloned();
            let kind = next.as_ref().and_then(kind_of);
            match next.zip(kind) {
                Some((request, kind)) => {
                    switch.state = SwitchState::Running;
                    ask(work, switch, kind, request);
                }
                None => {
                    switch.end(Outcome::Succeeded, None, now);
                    announce(work, switch);
                    return;
                }
            }
        }
    }
    switch.deadline = Some(no_show_at(work, switch));
}

/// The kind of a request in the API's notation.
#[must_use]
pub fn kind_of(request: &Value) -> Option<Kind> {
    request.as_object()?.keys().find_map(|name| Kind::from_word(name))
}

pub(super) fn announce(work: &mut Work, switch: &Switch) {
    let details = json!({
        "switch": switch.id,
        "campaign": switch.campaign,
        "plan": match switch.plan {
            Plan::Switch { .. } => "switch",
            Plan::Download { .. } => "download",
            Plan::Operations { .. } => "operations",
        },
        "outcome": switch.outcome.map(Outcome::as_str),
        "reason": switch.facts.reason.as_ref().map(|reason| &reason.name),
        "target": switch.facts.target,
    });
    work.event("switchEnded", details);
}
