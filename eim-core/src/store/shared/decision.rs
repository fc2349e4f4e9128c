//! Writing what a decision changed: all of it in one transaction, and only on the version it was made for.

use super::Connection;
use super::association::put_other_eims;
use super::audit::{insert_audit, record_received};
use super::campaign::begin_device;
use super::desired::{drift_stands, mark_changed, put_drift};
use super::download::put_sessions;
use super::event::{drop_oldest_unproven, insert_event, is_unproven};
use super::notification::insert_notification;
use super::pool::{reserve_code, unreserve_code};
use super::switch::put_switch;
use crate::domain::changes::ProfileChanges;
use crate::domain::{Changes, Event, NewOperation, Received, ReceivedKind, ReceivedStatus};
use crate::ids::{Eid, TenantId};
use crate::store::kept;
use crate::store::rows::{EuiccChange, NewOperationRow, NewReceivedRow, OperationChange, ProfileRow};
use crate::store::schema::{euicc_tags, euiccs, idempotency, operations, profiles, received};
use crate::store::switch::SavedOnce;
use crate::store::{Enqueued, IdempotencyKey, Saved, StoreError};
use diesel::prelude::*;

/// How many octet strings that were not believed are kept for one eUICC; the oldest refused go first.
const REFUSED_KEPT: i64 = 64;
/// The same for notifications, which a device forgets once they were answered.
const NOTIFICATIONS_KEPT: i64 = 512;
/// The same for all that belongs to no eUICC known here, together.
const UNATTRIBUTED_KEPT: i64 = 4_096;

/// Holds the row of an eUICC; `false` when it has another version.
fn hold(conn: &mut Connection, eid: &Eid, version: i64, tenant: TenantId) -> Result<bool, StoreError> {
    let row = euiccs::table
        .filter(euiccs::tenant_id.eq(tenant.value()).and(euiccs::eid.eq(eid.to_string())))
        .filter(euiccs::version.eq(version));
    Ok(kept::update(row).set(euiccs::version.eq(version)).execute(conn)? == 1)
}

pub(in crate::store) fn save_decision(
    conn: &mut Connection,
    eid: &Eid,
    version: i64,
    changes: &Changes,
    tenant: TenantId,
    now: i64,
) -> Result<Saved, StoreError> {
    let begins = changes
        .switch
        .as_ref()
        .filter(|switch| switch.seq == 0)
        .and_then(|switch| Some((switch.campaign?, (switch.id, switch.facts.reverts))));
    // Who takes more than the eUICC holds its row first, as by every decision: two that hold one each would wait for each other.
    let takes_more = begins.is_some() || changes.code.is_some() || changes.drift.is_some();
    if takes_more && !hold(conn, eid, version, tenant)? {
        return Ok(Saved::Conflict);
    }
    if let Some(drift) = &changes.drift
        && !drift_stands(conn, eid, drift, tenant)?
    {
        return Ok(Saved::Conflict);
    }
    if let Some((switch, code)) = changes.switch.as_ref().and_then(|switch| Some((switch, changes.code.as_ref()?)))
        && !reserve_code(conn, code, switch.id, eid, tenant, now)?
    {
        // Somebody else has it; another one is free, or the pool is empty.
        return Ok(Saved::Conflict);
    }
    // A switch of a campaign begins only where the campaign still waits for the device.
    if let Some((campaign, switch)) = begins
        && !begin_device(conn, campaign, eid, switch, tenant, now)?
    {
        if let Some(code) = &changes.code {
            unreserve_code(conn, code, tenant, now)?;
        }
        return Ok(Saved::Conflict);
    }
    let row = euiccs::table.filter(
        euiccs::tenant_id.eq(tenant.value()).and(euiccs::eid.eq(eid.to_string())).and(euiccs::version.eq(version)),
    );
    let written = match &changes.euicc {
        Some(euicc) => kept::update(row).set(EuiccChange::new(euicc, version + 1)).execute(conn)?,
        None => kept::update(row).set(euiccs::version.eq(version + 1)).execute(conn)?,
    };
    // Nothing was taken then: whoever takes more holds the row.
    if written == 0 {
        return Ok(Saved::Conflict);
    }
    if let Some(euicc) = &changes.euicc {
        put_tags(conn, eid, &euicc.tags, tenant)?;
    }
    for operation in &changes.operations {
        kept::update(operations::table.filter(operations::seq.eq(operation.seq)))
            .set(OperationChange::new(operation))
            .execute(conn)?;
    }
    for operation in &changes.queue {
        insert_operation(conn, operation, eid, tenant, now)?;
    }
    put_profiles(conn, eid, changes, tenant)?;
    put_other_eims(conn, eid, &changes.other_eims, tenant)?;
    for received in &changes.received {
        put_received(conn, received, &eid.to_string(), tenant)?;
        record_received(conn, received, Some(eid), tenant, now)?;
    }
    for note in &changes.audit {
        insert_audit(conn, note, tenant, now)?;
    }
    for event in &changes.events {
        insert_event(conn, event, eid, tenant, now)?;
    }
    put_sessions(conn, eid, &changes.sessions, tenant)?;
    for notification in &changes.notifications {
        insert_notification(conn, notification, eid, tenant, now)?;
    }
    if let Some(switch) = &changes.switch {
        put_switch(conn, eid, switch, tenant)?;
    }
    if changes.events.iter().any(is_unproven) {
        drop_oldest_unproven(conn, eid, tenant)?;
    }
    match &changes.drift {
        Some(drift) => put_drift(conn, eid, drift, tenant, now)?,
        None if may_change_drift(changes) => mark_changed(conn, eid, tenant, now)?,
        None => {}
    }
    Ok(Saved::Done)
}

/// Whether a decision may have changed how a device stands to what is desired of it, or what speaks against correcting it.
fn may_change_drift(changes: &Changes) -> bool {
    changes.euicc.is_some()
        || changes.profiles != ProfileChanges::default()
        || changes.switch.as_ref().is_some_and(|switch| !switch.is_open())
        || changes.operations.iter().any(|operation| operation.state.is_final())
}

pub(super) fn put_tags(conn: &mut Connection, eid: &Eid, tags: &[String], tenant: TenantId) -> Result<(), StoreError> {
    let mine =
        || euicc_tags::table.filter(euicc_tags::tenant_id.eq(tenant.value()).and(euicc_tags::eid.eq(eid.to_string())));
    let stored: Vec<String> = mine().select(euicc_tags::tag).order(euicc_tags::tag).load(conn)?;
    if stored == tags {
        return Ok(());
    }
    diesel::delete(mine()).execute(conn)?;
    for tag in tags {
        diesel::insert_into(euicc_tags::table)
            .values((
                euicc_tags::tenant_id.eq(tenant.value()),
                euicc_tags::eid.eq(eid.to_string()),
                euicc_tags::tag.eq(tag),
            ))
            .execute(conn)?;
    }
    Ok(())
}

pub(super) fn insert_operation(
    conn: &mut Connection,
    operation: &NewOperation,
    eid: &Eid,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    diesel::insert_into(operations::table).values(NewOperationRow::new(operation, eid, tenant, now)).execute(conn)?;
    Ok(())
}

fn put_profiles(conn: &mut Connection, eid: &Eid, changes: &Changes, tenant: TenantId) -> Result<(), StoreError> {
    let mine = || profiles::table.filter(profiles::tenant_id.eq(tenant.value()).and(profiles::eid.eq(eid.to_string())));
    for iccid in &changes.profiles.gone {
        diesel::delete(mine().filter(profiles::iccid.eq(iccid.octets().to_vec()))).execute(conn)?;
    }
    for profile in &changes.profiles.put {
        let row = ProfileRow::new(profile, eid, tenant);
        let this = mine().filter(profiles::iccid.eq(profile.iccid.octets().to_vec()));
        // An upsert would be planned anew each time.
        if kept::update(this).set(&row).execute(conn)? == 0 {
            diesel::insert_into(profiles::table).values(&row).execute(conn)?;
        }
    }
    Ok(())
}

/// Keeps something that belongs to no eUICC known here.
pub(in crate::store) fn keep_unattributed(
    conn: &mut Connection,
    item: &Received,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    put_received(conn, item, "", tenant)?;
    record_received(conn, item, None, tenant, now)
}

pub(super) fn put_received(
    conn: &mut Connection,
    item: &Received,
    eid: &str,
    tenant: TenantId,
) -> Result<(), StoreError> {
    let row = NewReceivedRow::new(item, eid, tenant);
    let inserted = diesel::insert_into(received::table)
        .values(&row)
        .on_conflict((received::tenant_id, received::eid, received::digest))
        .do_nothing()
        .execute(conn)?;
    if inserted == 0 {
        let this = received::table.filter(received::tenant_id.eq(tenant.value()).and(received::eid.eq(eid)));
        kept::update(this.filter(received::digest.eq(&row.digest)))
            .set((
                received::status.eq(item.status.as_str()),
                received::reason.eq(item.reason.as_deref()),
                received::operation_id.eq(item.operation.map(|id| id.to_string())),
            ))
            .execute(conn)?;
    }
    if item.status == ReceivedStatus::Refused || item.status == ReceivedStatus::Held {
        drop_oldest(conn, item, eid, tenant)?;
    }
    Ok(())
}

fn drop_oldest(conn: &mut Connection, item: &Received, eid: &str, tenant: TenantId) -> Result<(), StoreError> {
    let mine = || {
        received::table
            .filter(received::tenant_id.eq(tenant.value()).and(received::eid.eq(eid)))
            .filter(received::status.eq(item.status.as_str()).and(received::kind.eq(item.kind.as_str())))
    };
    let kept = match item.kind {
        _ if eid.is_empty() => UNATTRIBUTED_KEPT,
        ReceivedKind::Notification => NOTIFICATIONS_KEPT,
        _ => REFUSED_KEPT,
    };
    let last_dropped: Option<i64> =
        mine().order(received::seq.desc()).select(received::seq).limit(1).offset(kept).first(conn).optional()?;
    if let Some(seq) = last_dropped {
        diesel::delete(mine().filter(received::seq.le(seq))).execute(conn)?;
    }
    Ok(())
}

pub(in crate::store) fn enqueue(
    conn: &mut Connection,
    eid: &Eid,
    operation: &NewOperation,
    event: &Event,
    key: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<Enqueued, StoreError> {
    let known: Option<i64> = euiccs::table
        .filter(euiccs::tenant_id.eq(tenant.value()).and(euiccs::eid.eq(eid.to_string())))
        .select(euiccs::version)
        .first(conn)
        .optional()?;
    if known.is_none() {
        return Ok(Enqueued::UnknownEuicc);
    }
    if let Some(key) = key
        && let Some(earlier) = claim_key(conn, key, &operation.id.to_string(), tenant, now)?
    {
        return Ok(earlier);
    }
    insert_operation(conn, operation, eid, tenant, now)?;
    insert_event(conn, event, eid, tenant, now)?;
    Ok(Enqueued::Done)
}

/// Takes the key for this resource, or tells what it was taken for before.
pub(super) fn claim_key(
    conn: &mut Connection,
    key: &IdempotencyKey,
    resource: &str,
    tenant: TenantId,
    now: i64,
) -> Result<Option<Enqueued>, StoreError> {
    let taken = diesel::insert_into(idempotency::table)
        .values((
            idempotency::tenant_id.eq(tenant.value()),
            idempotency::key.eq(&key.key),
            idempotency::fingerprint.eq(&key.fingerprint),
            idempotency::resource.eq(resource),
            idempotency::created_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    if taken == 1 {
        return Ok(None);
    }
    let (fingerprint, resource): (Vec<u8>, String) = idempotency::table
        .filter(idempotency::tenant_id.eq(tenant.value()).and(idempotency::key.eq(&key.key)))
        .select((idempotency::fingerprint, idempotency::resource))
        .first(conn)?;
    Ok(Some(if fingerprint == key.fingerprint { Enqueued::Before { resource } } else { Enqueued::KeyTaken }))
}

/// The same where there may be no key: `None` when the thing is to be done now.
pub(super) fn claim_once(
    conn: &mut Connection,
    key: Option<&IdempotencyKey>,
    resource: &str,
    tenant: TenantId,
    now: i64,
) -> Result<Option<SavedOnce>, StoreError> {
    let Some(key) = key else { return Ok(None) };
    Ok(claim_key(conn, key, resource, tenant, now)?.map(|earlier| match earlier {
        Enqueued::Before { resource } => SavedOnce::Before { resource },
        _ => SavedOnce::KeyTaken,
    }))
}

/// Says what a key stands for that was taken in the same transaction, where that is known only at the end.
pub(super) fn set_claimed(
    conn: &mut Connection,
    key: &IdempotencyKey,
    resource: &str,
    tenant: TenantId,
) -> Result<(), StoreError> {
    let mine = idempotency::table.filter(idempotency::tenant_id.eq(tenant.value()).and(idempotency::key.eq(&key.key)));
    kept::update(mine).set(idempotency::resource.eq(resource)).execute(conn)?;
    Ok(())
}

/// Gives back what [`claim_once`] took, in the same transaction.
pub(super) fn free_once(
    conn: &mut Connection,
    key: Option<&IdempotencyKey>,
    tenant: TenantId,
) -> Result<(), StoreError> {
    key.map_or(Ok(()), |key| free_key(conn, key, tenant))
}

pub(super) fn free_key(conn: &mut Connection, key: &IdempotencyKey, tenant: TenantId) -> Result<(), StoreError> {
    diesel::delete(
        idempotency::table.filter(idempotency::tenant_id.eq(tenant.value()).and(idempotency::key.eq(&key.key))),
    )
    .execute(conn)?;
    Ok(())
}

pub(in crate::store) fn forget_keys(conn: &mut Connection, before: i64) -> Result<usize, StoreError> {
    Ok(diesel::delete(idempotency::table.filter(idempotency::created_at.lt(before))).execute(conn)?)
}
