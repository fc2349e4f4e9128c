//! Moves devices of hand-overs on: adds the other eIM, takes its token from the believed result, and deletes this eIM from a
//! device where the other one has proven that it commands it. Never before.

use super::count;
use crate::Eim;
use crate::domain::handover::{HandoverDeviceState as Stand, HandoverState};
use crate::domain::{Euicc, EuiccState, Event, Kind, NewOperation, Operation, OperationState, Origin, OtherEim};
use crate::ids::{EimId, OperationId};
use crate::manage::CONFIRMED;
use crate::store::StoreError;
use crate::store::handover::{DueHandover, HandoverStep};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How many devices are looked at together.
const AT_ONCE: i64 = 200;
/// The span in which the rate is counted.
const MINUTE_MS: i64 = 60_000;

/// Takes the steps that are due, some hundreds at once, and gives how many were taken.
///
/// # Errors
/// When the store fails.
pub async fn drive_handovers(eim: &Eim) -> Result<usize, StoreError> {
    let done = drive(eim).await;
    if !matches!(done, Ok(0)) {
        count("drive_handovers", &done, eim);
    }
    done
}

async fn drive(eim: &Eim) -> Result<usize, StoreError> {
    let mut touched = BTreeSet::new();
    let mut taken = 0;
    for due in eim.store().due_handovers(eim.clock().now_ms() - MINUTE_MS, AT_ONCE).await? {
        let eim = eim.of(due.tenant);
        let handover = due.handover.id;
        let step = match due.device.state {
            Stand::Queued => match eim.store().euicc(due.device.eid).await? {
                Some((euicc, _)) if euicc.state == EuiccState::Unmanaged => Some(failed(&due, "unmanaged")),
                _ => Some(begin(Stand::Adding, add_eim(&due), &due, &eim)),
            },
            Stand::Proven => {
                let Some((euicc, _)) = eim.store().euicc(due.device.eid).await? else { continue };
                let others = eim.store().other_eims(due.device.eid).await?;
                let step = match stale(&due, &euicc, &others) {
                    Some(reason) => failed(&due, reason),
                    None => begin(Stand::Deleting, delete_own(eim.eim_id_of(&euicc)), &due, &eim),
                };
                Some(step)
            }
            Stand::Adding | Stand::Deleting => match due.device.operation {
                Some(operation) => eim.store().operation(operation).await?.map(|operation| conclude(&due, &operation)),
                None => None,
            },
            Stand::Added | Stand::HandedOver | Stand::Failed | Stand::Cancelled => None,
        };
        let Some(step) = step else { continue };
        // Whoever was faster has taken it.
        if eim.store().step_handover(due.clone(), step, eim.clock().now_ms()).await? {
            taken += 1;
            touched.insert((due.tenant, handover.to_string()));
        }
    }
    for (tenant, handover) in touched {
        let Ok(handover) = handover.parse::<OperationId>() else { continue };
        let eim = eim.of(tenant);
        eim.store().end_handover(handover, eim.clock().now_ms()).await?;
    }
    Ok(taken)
}

/// Why what proved that the other eIM commands the device may not be so any more, by what the eUICC has said since.
fn stale(due: &DueHandover, euicc: &Euicc, others: &[OtherEim]) -> Option<&'static str> {
    let same_token = |eim: &OtherEim| match (eim.association_token, due.device.token) {
        (Some(known), Some(added)) => known == added,
        _ => true,
    };
    let is_there = others.iter().any(|eim| eim.eim_id == due.handover.eim_id && eim.is_there() && same_token(eim));
    if !is_there {
        return Some("otherEimGone");
    }
    let since = due.device.added_at.unwrap_or(due.handover.created_at);
    let renewed = euicc.own_association.renewed_at.is_some_and(|at| at > since);
    renewed.then_some("associationRenewed")
}

fn failed(due: &DueHandover, reason: &str) -> HandoverStep {
    let details = json!({ "handover": due.handover.id, "eimId": due.handover.eim_id, "reason": reason });
    HandoverStep {
        to: Stand::Failed,
        queue: None,
        token: None,
        reason: Some(reason.to_owned()),
        // Nothing was deleted: the other eIM is added again.
        retry_to: Some(Stand::Queued),
        event: Event::new("handoverFailed", details),
    }
}

fn add_eim(due: &DueHandover) -> Value {
    json!({ "eco": [{ "addEim": { "eimConfigurationData": due.handover.configuration } }] })
}

fn delete_own(eim_id: &EimId) -> Value {
    json!({ "eco": [{ "deleteEim": { "eimId": eim_id.as_str() } }] })
}

/// A step that queues an operation.
fn begin(to: Stand, request: Value, due: &DueHandover, eim: &Eim) -> HandoverStep {
    let id = eim.entropy().operation_id(eim.clock().now_ms());
    let handover = due.handover.id;
    let operation = NewOperation {
        id,
        kind: Kind::Eco,
        origin: Origin::Operator,
        purpose: None,
        subject: None,
        request,
        label: Some(format!("handover {handover}")),
        not_before: None,
        valid_until: None,
        secret: None,
        overridden: vec![],
    };
    let details = json!({ "operation": id, "kind": Kind::Eco.as_str(), "handover": handover });
    let event = Event::new("operationQueued", details);
    HandoverStep { to, queue: Some(operation), token: None, reason: None, retry_to: None, event }
}

/// What the end of an operation means.
fn conclude(due: &DueHandover, operation: &Operation) -> HandoverStep {
    let (handover, eim_id) = (due.handover.id, &due.handover.eim_id);
    let believed = operation.state == OperationState::Succeeded && operation.verified == Some(true);
    // On an operator's word, where the eUICC's did not come.
    let confirmed = operation.state == OperationState::Succeeded
        && operation.results.first().is_some_and(|result| result.name == CONFIRMED);
    let step = |to, token, event: Event| HandoverStep { to, queue: None, token, reason: None, retry_to: None, event };
    let told = |more: Value| {
        let mut details = json!({ "handover": handover, "eimId": eim_id, "operation": operation.id });
        for (name, value) in more.as_object().into_iter().flatten() {
            details[name] = value.clone();
        }
        details
    };
    match due.device.state {
        Stand::Adding if believed => {
            let value = operation.results.first().and_then(|result| result.value.as_ref());
            let token = value.and_then(|value| value.get("associationToken")).and_then(Value::as_i64);
            step(Stand::Added, token, Event::new("handoverAdded", told(json!({ "associationToken": token }))))
        }
        Stand::Deleting if believed || confirmed => {
            step(Stand::HandedOver, None, Event::new("handoverDone", told(json!({}))))
        }
        from => {
            let called_off = due.handover.state == HandoverState::Cancelled;
            let withdrawn =
                called_off && operation.state == OperationState::Cancelled && operation.delivered_at.is_none();
            let to = match from {
                Stand::Deleting if withdrawn => Stand::Proven,
                _ if withdrawn => Stand::Cancelled,
                _ => Stand::Failed,
            };
            let reason = match &operation.error {
                Some(error) => error.name.clone(),
                None if operation.state == OperationState::Succeeded => "unverified".to_owned(),
                None => operation.state.as_str().to_owned(),
            };
            let event_type = if withdrawn { "handoverCancelled" } else { "handoverFailed" };
            let event = Event::new(event_type, told(json!({ "reason": reason })));
            let retry_to = match from {
                _ if to != Stand::Failed => None,
                Stand::Adding => Some(Stand::Queued),
                // Once deleteEim was delivered there is no way back.
                _ => operation.delivered_at.is_none().then_some(Stand::Proven),
            };
            HandoverStep { to, queue: None, token: None, reason: Some(reason), retry_to, event }
        }
    }
}
