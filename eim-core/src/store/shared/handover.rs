//! Hand-overs to another eIM.
//!
//! The row of the hand-over is held by whatever begins a step of a device and by whatever calls it off, so that nothing is
//! begun behind a cancellation. A device moves on only from where it was seen to stand.

use super::Connection;
use super::decision::{claim_once, free_once, insert_operation};
use super::event::{insert_event, insert_tenant_event};
use crate::domain::handover::{HandoverDeviceState as Stand, HandoverState};
use crate::domain::{Event, OperationState, ReceivedKind, ReceivedStatus};
use crate::ids::{Eid, OperationId, TenantId};
use crate::store::handover::{
    CalledOff, DueHandover, HandoverDevice, HandoverMade, HandoverRetried, HandoverStep, StoredHandover,
};
use crate::store::kept;
use crate::store::schema::{euiccs, handover_devices as devices, handovers, operations, received};
use crate::store::switch::SavedOnce;
use crate::store::{IdempotencyKey, StoreError};
use diesel::prelude::*;
use serde_json::json;
use std::collections::HashSet;

/// States in which an operation has ended.
const ENDED: [&str; 5] = [
    OperationState::Succeeded.as_str(),
    OperationState::Failed.as_str(),
    OperationState::Expired.as_str(),
    OperationState::Cancelled.as_str(),
    OperationState::RolledBack.as_str(),
];
/// Where a device stands that is on its way.
const OPEN: [&str; 4] =
    [Stand::Queued.as_str(), Stand::Adding.as_str(), Stand::Added.as_str(), Stand::Deleting.as_str()];
/// How many devices are looked up or inserted with one statement.
const CHUNK: usize = 500;
/// States of a hand-over that is not over.
const NOT_OVER: [HandoverState; 2] = [HandoverState::Running, HandoverState::Paused];
/// The largest result that is given away as a proof, octets; lists may be larger, and there are others.
const PROOF_MAX_BYTES: usize = 16 * 1024;
/// How many results are looked at for one.
const RESULTS_LOOKED_AT: i64 = 50;

fn subject(id: OperationId) -> String {
    format!("handovers/{id}")
}

type HandoverColumns = (i64, String, String, String, bool, String, i64, i64, Option<i64>, i64);

macro_rules! handover_columns {
    () => {
        (
            handovers::seq,
            handovers::id,
            handovers::eim_id,
            handovers::configuration,
            handovers::delete_own,
            handovers::state,
            handovers::devices,
            handovers::created_at,
            handovers::ended_at,
            handovers::rate_per_minute,
        )
    };
}

macro_rules! this_handover {
    ($id:expr, $tenant:expr) => {
        handovers::table.filter(handovers::tenant_id.eq($tenant.value()).and(handovers::id.eq($id.to_string())))
    };
}

macro_rules! devices_of {
    ($id:expr, $tenant:expr) => {
        devices::table.filter(devices::tenant_id.eq($tenant.value()).and(devices::handover_id.eq($id.to_string())))
    };
}

fn stored(
    (seq, id, eim_id, configuration, delete_own, state, devices, created_at, ended_at, rate): HandoverColumns,
) -> Result<StoredHandover, StoreError> {
    Ok(StoredHandover {
        seq,
        id: id.parse().map_err(|_| StoreError::Corrupt { column: "handovers.id" })?,
        eim_id,
        configuration,
        delete_own,
        state: HandoverState::from_word(&state).ok_or(StoreError::Corrupt { column: "handovers.state" })?,
        devices,
        created_at,
        ended_at,
        rate_per_minute: rate,
    })
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = devices)]
struct DeviceRow {
    seq: i64,
    eid: String,
    state: String,
    operation_id: Option<String>,
    token: Option<i64>,
    proof: Option<String>,
    reason: Option<String>,
    changed_at: i64,
    begun_at: Option<i64>,
    added_at: Option<i64>,
    retry_to: Option<String>,
}

/// A device with where its operation stands.
type DeviceColumns = (DeviceRow, Option<String>);

macro_rules! device_columns {
    () => {
        (DeviceRow::as_select(), operations::state.nullable())
    };
}

fn device((row, operation_state): DeviceColumns) -> Result<HandoverDevice, StoreError> {
    let corrupt = |column: &'static str| StoreError::Corrupt { column };
    let operation = row.operation_id.map(|id| id.parse().map_err(|_| corrupt("handover_devices.operation_id")));
    let stand = |word: &str, column| Stand::from_word(word).ok_or_else(|| corrupt(column));
    Ok(HandoverDevice {
        seq: row.seq,
        eid: row.eid.parse().map_err(|_| corrupt("handover_devices.eid"))?,
        state: stand(&row.state, "handover_devices.state")?,
        operation: operation.transpose()?,
        operation_state: operation_state.as_deref().and_then(OperationState::from_word),
        token: row.token,
        proof: row.proof,
        reason: row.reason,
        changed_at: row.changed_at,
        begun_at: row.begun_at,
        added_at: row.added_at,
        retry_to: row.retry_to.map(|word| stand(&word, "handover_devices.retry_to")).transpose()?,
    })
}

/// One of these devices that is on its way in another hand-over: one way at a time, or two eIMs would each be told that the device
/// is theirs.
fn elsewhere(
    conn: &mut Connection,
    eids: &[String],
    id: OperationId,
    tenant: TenantId,
) -> Result<Option<String>, StoreError> {
    let not_over = handovers::table
        .filter(handovers::state.eq_any(NOT_OVER.map(HandoverState::as_str)))
        .filter(handovers::id.ne(id.to_string()))
        .select(handovers::id);
    Ok(devices::table
        .filter(devices::tenant_id.eq(tenant.value()).and(devices::eid.eq_any(eids)))
        .filter(devices::state.eq_any(OPEN).or(devices::state.eq(Stand::Proven.as_str())))
        .filter(devices::handover_id.eq_any(not_over))
        .select(devices::eid)
        .order(devices::eid)
        .first(conn)
        .optional()?)
}

pub(in crate::store) fn insert_handover(
    conn: &mut Connection,
    new: &StoredHandover,
    eids: &[Eid],
    once: Option<&IdempotencyKey>,
    tenant: TenantId,
) -> Result<HandoverMade, StoreError> {
    let now = new.created_at;
    if let Some(earlier) = claim_once(conn, once, &new.id.to_string(), tenant, now)? {
        return Ok(HandoverMade::Once(earlier));
    }
    let eids: Vec<String> = eids.iter().map(ToString::to_string).collect();
    for chunk in eids.chunks(CHUNK) {
        let mine = euiccs::table.filter(euiccs::tenant_id.eq(tenant.value()).and(euiccs::eid.eq_any(chunk)));
        let known: HashSet<String> = mine.select(euiccs::eid).load(conn)?.into_iter().collect();
        let refused = match chunk.iter().find(|eid| !known.contains(*eid)) {
            Some(unknown) => Some(HandoverMade::Unknown(unknown.clone())),
            None => elsewhere(conn, chunk, new.id, tenant)?.map(HandoverMade::Busy),
        };
        if let Some(refused) = refused {
            free_once(conn, once, tenant)?;
            return Ok(refused);
        }
    }
    diesel::insert_into(handovers::table)
        .values((
            handovers::id.eq(new.id.to_string()),
            handovers::tenant_id.eq(tenant.value()),
            handovers::eim_id.eq(&new.eim_id),
            handovers::configuration.eq(&new.configuration),
            handovers::delete_own.eq(new.delete_own),
            handovers::state.eq(new.state.as_str()),
            handovers::devices.eq(new.devices),
            handovers::created_at.eq(now),
            handovers::rate_per_minute.eq(new.rate_per_minute),
        ))
        .execute(conn)?;
    let id = new.id.to_string();
    for chunk in eids.chunks(CHUNK) {
        let row = |eid| {
            (
                devices::handover_id.eq(&id),
                devices::tenant_id.eq(tenant.value()),
                devices::eid.eq(eid),
                devices::state.eq(Stand::Queued.as_str()),
                devices::changed_at.eq(now),
            )
        };
        let rows: Vec<_> = chunk.iter().map(row).collect();
        diesel::insert_into(devices::table).values(&rows).execute(conn)?;
    }
    let details = json!({ "eimId": new.eim_id, "devices": new.devices, "deleteOwn": new.delete_own });
    insert_tenant_event(conn, &Event::new("handoverCreated", details), &subject(new.id), tenant, now)?;
    Ok(HandoverMade::Once(SavedOnce::Done))
}

pub(in crate::store) fn handover(
    conn: &mut Connection,
    id: OperationId,
    tenant: TenantId,
) -> Result<Option<StoredHandover>, StoreError> {
    let row: Option<HandoverColumns> = this_handover!(id, tenant).select(handover_columns!()).first(conn).optional()?;
    row.map(stored).transpose()
}

pub(in crate::store) fn handover_page(
    conn: &mut Connection,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<StoredHandover>, StoreError> {
    let rows: Vec<HandoverColumns> = handovers::table
        .filter(handovers::tenant_id.eq(tenant.value()).and(handovers::seq.gt(after)))
        .order(handovers::seq)
        .limit(limit)
        .select(handover_columns!())
        .load(conn)?;
    rows.into_iter().map(stored).collect()
}

pub(in crate::store) fn handover_device_page(
    conn: &mut Connection,
    id: OperationId,
    state: Option<Stand>,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<HandoverDevice>, StoreError> {
    let mut query = devices::table
        .left_join(operations::table.on(operations::id.nullable().eq(devices::operation_id)))
        .filter(devices::tenant_id.eq(tenant.value()).and(devices::handover_id.eq(id.to_string())))
        .filter(devices::seq.gt(after))
        .order(devices::seq)
        .limit(limit)
        .select(device_columns!())
        .into_boxed();
    if let Some(state) = state {
        query = query.filter(devices::state.eq(state.as_str()));
    }
    let rows: Vec<DeviceColumns> = query.load(conn)?;
    rows.into_iter().map(device).collect()
}

pub(in crate::store) fn handover_device(
    conn: &mut Connection,
    id: OperationId,
    eid: &Eid,
    tenant: TenantId,
) -> Result<Option<HandoverDevice>, StoreError> {
    let row: Option<DeviceColumns> = devices::table
        .left_join(operations::table.on(operations::id.nullable().eq(devices::operation_id)))
        .filter(devices::tenant_id.eq(tenant.value()).and(devices::handover_id.eq(id.to_string())))
        .filter(devices::eid.eq(eid.to_string()))
        .select(device_columns!())
        .first(conn)
        .optional()?;
    row.map(device).transpose()
}

pub(in crate::store) fn handover_counts(
    conn: &mut Connection,
    id: OperationId,
    tenant: TenantId,
) -> Result<Vec<(String, i64)>, StoreError> {
    Ok(devices_of!(id, tenant)
        .group_by(devices::state)
        .select((devices::state, diesel::dsl::count_star()))
        .load(conn)?)
}

pub(in crate::store) fn due_handovers(
    conn: &mut Connection,
    since: i64,
    limit: i64,
) -> Result<Vec<DueHandover>, StoreError> {
    let mut found: Vec<(i64, HandoverColumns, DeviceColumns)> = Vec::new();
    let running: Vec<(i64, HandoverColumns)> = handovers::table
        .filter(handovers::state.eq(HandoverState::Running.as_str()))
        .order(handovers::seq)
        .select((handovers::tenant_id, handover_columns!()))
        .load(conn)?;
    for (tenant, handover) in running {
        let (id, delete_own, rate) = (handover.1.clone(), handover.4, handover.9);
        let of_it = || devices::table.filter(devices::handover_id.eq(&id).and(devices::tenant_id.eq(tenant)));
        let begun: i64 = of_it().filter(devices::begun_at.gt(since)).count().get_result(conn)?;
        let mut allowed = (rate - begun).clamp(0, limit);
        // Those that are nearly there go first.
        let stands: &[Stand] = if delete_own { &[Stand::Proven, Stand::Queued] } else { &[Stand::Queued] };
        for stand in stands {
            if allowed == 0 {
                break;
            }
            let rows: Vec<DeviceRow> = of_it()
                .filter(devices::state.eq(stand.as_str()))
                .order(devices::seq)
                .limit(allowed)
                .select(DeviceRow::as_select())
                .load(conn)?;
            allowed -= i64::try_from(rows.len()).unwrap_or(allowed);
            found.extend(rows.into_iter().map(|row| (tenant, handover.clone(), (row, None))));
        }
    }
    // An operation that has ended, also of a hand-over that was paused or called off.
    found.extend(
        devices::table
            .inner_join(handovers::table.on(handovers::id.eq(devices::handover_id)))
            .left_join(operations::table.on(operations::id.nullable().eq(devices::operation_id)))
            .filter(devices::state.eq_any([Stand::Adding.as_str(), Stand::Deleting.as_str()]))
            .filter(operations::state.eq_any(ENDED))
            .order(devices::seq)
            .limit(limit)
            .select((devices::tenant_id, handover_columns!(), device_columns!()))
            .load::<(i64, HandoverColumns, DeviceColumns)>(conn)?,
    );
    found
        .into_iter()
        .map(|(tenant, handover, of)| {
            Ok(DueHandover { tenant: TenantId::from_value(tenant), handover: stored(handover)?, device: device(of)? })
        })
        .collect()
}

/// Holds a hand-over that stands so until the transaction ends; `false` when it does not.
fn hold(
    conn: &mut Connection,
    id: OperationId,
    states: &[HandoverState],
    tenant: TenantId,
) -> Result<bool, StoreError> {
    let words = states.iter().map(|state| state.as_str());
    let standing = this_handover!(id, tenant).filter(handovers::state.eq_any(words));
    Ok(kept::update(standing).set(handovers::state.eq(handovers::state)).execute(conn)? == 1)
}

/// The span in which the rate of a hand-over is counted.
const PACE_MS: i64 = 60_000;

pub(in crate::store) fn step_handover(
    conn: &mut Connection,
    due: &DueHandover,
    step: &HandoverStep,
    tenant: TenantId,
    now: i64,
) -> Result<bool, StoreError> {
    if step.queue.is_some() {
        if !hold(conn, due.handover.id, &[HandoverState::Running], tenant)? {
            return Ok(false);
        }
        // Other nodes begin devices of it, too; who holds it counts them all.
        let begun: i64 = devices_of!(due.handover.id, tenant)
            .filter(devices::begun_at.gt(now - PACE_MS))
            .count()
            .get_result(conn)?;
        if begun >= due.handover.rate_per_minute {
            return Ok(false);
        }
    }
    let there = devices::table
        .filter(devices::seq.eq(due.device.seq).and(devices::tenant_id.eq(tenant.value())))
        .filter(devices::state.eq(due.device.state.as_str()));
    let operation = step.queue.as_ref().map(|queued| queued.id).or(due.device.operation);
    let moved = kept::update(there)
        .set((
            devices::state.eq(step.to.as_str()),
            devices::operation_id.eq(operation.map(|id| id.to_string())),
            devices::token.eq(step.token.or(due.device.token)),
            devices::reason.eq(step.reason.as_deref()),
            devices::changed_at.eq(now),
            devices::begun_at.eq(step.queue.as_ref().map(|_| now).or(due.device.begun_at)),
            devices::added_at.eq(Some(now).filter(|_| step.to == Stand::Added).or(due.device.added_at)),
            devices::retry_to.eq(step.retry_to.map(Stand::as_str)),
        ))
        .execute(conn)?;
    if moved == 0 {
        return Ok(false);
    }
    if let Some(operation) = &step.queue {
        insert_operation(conn, operation, &due.device.eid, tenant, now)?;
    }
    insert_event(conn, &step.event, &due.device.eid, tenant, now)?;
    Ok(true)
}

pub(in crate::store) fn end_handover(
    conn: &mut Connection,
    id: OperationId,
    tenant: TenantId,
    now: i64,
) -> Result<bool, StoreError> {
    if !hold(conn, id, &[HandoverState::Running], tenant)? {
        return Ok(false);
    }
    let Some(found) = handover(conn, id, tenant)? else { return Ok(false) };
    let open: i64 = devices_of!(id, tenant).filter(devices::state.eq_any(OPEN)).count().get_result(conn)?;
    let proven: i64 =
        devices_of!(id, tenant).filter(devices::state.eq(Stand::Proven.as_str())).count().get_result(conn)?;
    if open > 0 || (found.delete_own && proven > 0) {
        return Ok(false);
    }
    kept::update(this_handover!(id, tenant))
        .set((handovers::state.eq(HandoverState::Ended.as_str()), handovers::ended_at.eq(now)))
        .execute(conn)?;
    let counts: serde_json::Map<_, _> =
        handover_counts(conn, id, tenant)?.into_iter().map(|(state, count)| (state, json!(count))).collect();
    let event = Event::new("handoverEnded", json!({ "eimId": found.eim_id, "totals": counts }));
    insert_tenant_event(conn, &event, &subject(id), tenant, now)?;
    Ok(true)
}

pub(in crate::store) fn prove_handover(
    conn: &mut Connection,
    id: OperationId,
    proven: &[(Eid, String)],
    once: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<SavedOnce, StoreError> {
    if let Some(earlier) = claim_once(conn, once, &id.to_string(), tenant, now)? {
        return Ok(earlier);
    }
    let stand = || devices::state.eq(Stand::Added.as_str());
    // What was delivered before it was called off is still followed to its end; nobody is proven anew.
    let called_off = proven.is_empty() && hold(conn, id, &[HandoverState::Cancelled], tenant)?;
    let mut fits = called_off || hold(conn, id, &NOT_OVER, tenant)?;
    for (eid, _) in proven {
        let waiting = devices_of!(id, tenant).filter(devices::eid.eq(eid.to_string())).filter(stand());
        fits = fits && diesel::select(diesel::dsl::exists(waiting)).get_result::<bool>(conn)?;
    }
    if !fits {
        free_once(conn, once, tenant)?;
        return Ok(SavedOnce::Conflict);
    }
    for (eid, proof) in proven {
        let waiting = devices_of!(id, tenant).filter(devices::eid.eq(eid.to_string())).filter(stand());
        kept::update(waiting)
            .set((
                devices::state.eq(Stand::Proven.as_str()),
                devices::proof.eq(proof),
                devices::reason.eq(None::<String>),
                devices::changed_at.eq(now),
            ))
            .execute(conn)?;
        let event = Event::new("handoverProven", json!({ "handover": id, "proof": proof }));
        insert_event(conn, &event, eid, tenant, now)?;
    }
    Ok(SavedOnce::Done)
}

pub(in crate::store) fn call_off_handover(
    conn: &mut Connection,
    id: OperationId,
    once: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<CalledOff, StoreError> {
    let operations_of = |conn: &mut Connection| -> Result<Vec<String>, StoreError> {
        let under_way = devices_of!(id, tenant)
            .filter(devices::state.eq_any([Stand::Adding.as_str(), Stand::Deleting.as_str()]))
            .select(devices::operation_id);
        Ok(under_way.load::<Option<String>>(conn)?.into_iter().flatten().collect())
    };
    if let Some(saved) = claim_once(conn, once, &id.to_string(), tenant, now)? {
        // What broke off behind the first request is done by the second one.
        return Ok(CalledOff { saved, operations: operations_of(conn)? });
    }
    if !hold(conn, id, &NOT_OVER, tenant)? {
        free_once(conn, once, tenant)?;
        return Ok(CalledOff { saved: SavedOnce::Conflict, operations: vec![] });
    }
    kept::update(this_handover!(id, tenant))
        .set((handovers::state.eq(HandoverState::Cancelled.as_str()), handovers::ended_at.eq(now)))
        .execute(conn)?;
    let waiting = devices_of!(id, tenant).filter(devices::state.eq(Stand::Queued.as_str()));
    kept::update(waiting)
        .set((devices::state.eq(Stand::Cancelled.as_str()), devices::changed_at.eq(now)))
        .execute(conn)?;
    let event = Event::new("handoverCancelled", json!({}));
    insert_tenant_event(conn, &event, &subject(id), tenant, now)?;
    Ok(CalledOff { saved: SavedOnce::Done, operations: operations_of(conn)? })
}

pub(in crate::store) fn move_handover(
    conn: &mut Connection,
    id: OperationId,
    to: HandoverState,
    event: &Event,
    once: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<SavedOnce, StoreError> {
    if let Some(earlier) = claim_once(conn, once, &id.to_string(), tenant, now)? {
        return Ok(earlier);
    }
    let from = if to == HandoverState::Paused { HandoverState::Running } else { HandoverState::Paused };
    let standing = this_handover!(id, tenant).filter(handovers::state.eq(from.as_str()));
    if kept::update(standing).set(handovers::state.eq(to.as_str())).execute(conn)? == 0 {
        free_once(conn, once, tenant)?;
        return Ok(SavedOnce::Conflict);
    }
    insert_tenant_event(conn, event, &subject(id), tenant, now)?;
    Ok(SavedOnce::Done)
}

pub(in crate::store) fn retry_handover(
    conn: &mut Connection,
    id: OperationId,
    once: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<HandoverRetried, StoreError> {
    if let Some(earlier) = claim_once(conn, once, &id.to_string(), tenant, now)? {
        return Ok(HandoverRetried::Once(earlier));
    }
    let not_called_off = [HandoverState::Running, HandoverState::Paused, HandoverState::Ended];
    if !hold(conn, id, &not_called_off, tenant)? {
        free_once(conn, once, tenant)?;
        return Ok(HandoverRetried::Once(SavedOnce::Conflict));
    }
    let failed = || devices_of!(id, tenant).filter(devices::state.eq(Stand::Failed.as_str()));
    let eids: Vec<String> = failed().filter(devices::retry_to.is_not_null()).select(devices::eid).load(conn)?;
    let mut refused = eids.is_empty().then_some(HandoverRetried::Nothing);
    for chunk in eids.chunks(CHUNK) {
        refused = refused.or(elsewhere(conn, chunk, id, tenant)?.map(HandoverRetried::Busy));
    }
    if let Some(refused) = refused {
        free_once(conn, once, tenant)?;
        return Ok(refused);
    }
    let none = None::<String>;
    let again = |to: Stand| {
        (
            devices::state.eq(to.as_str()),
            devices::operation_id.eq(&none),
            devices::reason.eq(&none),
            devices::retry_to.eq(&none),
            devices::changed_at.eq(now),
        )
    };
    let leads_to = |to: Stand| devices::retry_to.eq(to.as_str());
    kept::update(failed().filter(leads_to(Stand::Proven))).set(again(Stand::Proven)).execute(conn)?;
    // From the beginning: another token will be given, and another proof is needed.
    kept::update(failed().filter(leads_to(Stand::Queued)))
        .set((again(Stand::Queued), devices::token.eq(None::<i64>), devices::proof.eq(&none)))
        .execute(conn)?;
    kept::update(this_handover!(id, tenant).filter(handovers::state.eq(HandoverState::Ended.as_str())))
        .set((handovers::state.eq(HandoverState::Running.as_str()), handovers::ended_at.eq(None::<i64>)))
        .execute(conn)?;
    let event = Event::new("handoverRetried", json!({ "devices": eids.len() }));
    insert_tenant_event(conn, &event, &subject(id), tenant, now)?;
    Ok(HandoverRetried::Once(SavedOnce::Done))
}

pub(in crate::store) fn last_believed_result(
    conn: &mut Connection,
    eid: &Eid,
    tenant: TenantId,
) -> Result<Option<Vec<u8>>, StoreError> {
    let latest: Vec<Vec<u8>> = received::table
        .filter(received::tenant_id.eq(tenant.value()).and(received::eid.eq(eid.to_string())))
        .filter(received::status.eq(ReceivedStatus::Verified.as_str()))
        .filter(received::kind.eq(ReceivedKind::PackageResult.as_str()))
        .order(received::seq.desc())
        .limit(RESULTS_LOOKED_AT)
        .select(received::raw)
        .load(conn)?;
    Ok(latest.into_iter().find(|raw| raw.len() <= PROOF_MAX_BYTES))
}
