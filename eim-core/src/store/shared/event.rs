//! Events: the timeline of an eUICC, and what happened to anything else.

use super::Connection;
use super::audit::copy_event;
use crate::domain::Event;
use crate::ids::{Eid, TenantId};
use crate::store::rows::{EventRow, NewEventRow, text_of};
use crate::store::schema::events;
use crate::store::{StoreError, StoredEvent};
use diesel::prelude::*;

/// Writes an event of an eUICC.
pub(super) fn insert_event(
    conn: &mut Connection,
    event: &Event,
    eid: &Eid,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    put_event(conn, event, eid.to_string(), "", tenant, now)
}

/// Writes an event of something that is not one eUICC; the subject is its path, as `campaigns/01J...`, or empty.
pub(super) fn insert_tenant_event(
    conn: &mut Connection,
    event: &Event,
    subject: &str,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    put_event(conn, event, String::new(), subject, tenant, now)
}

fn put_event(
    conn: &mut Connection,
    event: &Event,
    eid: String,
    subject: &str,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    copy_event(conn, event, &eid, subject, tenant, now)?;
    diesel::insert_into(events::table)
        .values(NewEventRow {
            tenant_id: tenant.value(),
            eid,
            at: now,
            event_type: event.event_type,
            details: text_of(&event.details),
            subject: subject.to_owned(),
        })
        .execute(conn)?;
    Ok(())
}

/// Anybody who knows an EID can cause these events, so only the latest are kept. Others are never dropped.
const UNPROVEN_EVENTS: [&str; 19] = [
    "downloadRefused",
    "downloadInitiated",
    "downloadCancelled",
    "downloadInterrupted",
    "downloadPostponed",
    "stateChange",
    "resultRefused",
    "resultHeld",
    "foreignResult",
    "memoryReported",
    "unsignedError",
    "ipaError",
    "certificatesRefused",
    "notificationReceived",
    "dataError",
    "downloadResultReceived",
    "associationTokenReported",
    "associationLost",
    "associationRestored",
];
/// How many of them.
const UNPROVEN_KEPT: i64 = 1_000;

pub(super) fn is_unproven(event: &Event) -> bool {
    UNPROVEN_EVENTS.contains(&event.event_type)
}

pub(super) fn drop_oldest_unproven(conn: &mut Connection, eid: &Eid, tenant: TenantId) -> Result<(), StoreError> {
    let unproven = || {
        events::table
            .filter(events::tenant_id.eq(tenant.value()).and(events::eid.eq(eid.to_string())))
            .filter(events::event_type.eq_any(UNPROVEN_EVENTS))
    };
    let last_dropped: Option<i64> = unproven()
        .order(events::seq.desc())
        .select(events::seq)
        .limit(1)
        .offset(UNPROVEN_KEPT)
        .first(conn)
        .optional()?;
    if let Some(seq) = last_dropped {
        diesel::delete(unproven().filter(events::seq.le(seq))).execute(conn)?;
    }
    Ok(())
}

pub(in crate::store) fn event_page(
    conn: &mut Connection,
    eid: &Eid,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<StoredEvent>, StoreError> {
    events::table
        .filter(events::tenant_id.eq(tenant.value()).and(events::eid.eq(eid.to_string())))
        .filter(events::seq.gt(after))
        .order(events::seq)
        .limit(limit)
        .select(EventRow::as_select())
        .load(conn)?
        .into_iter()
        .map(|row| {
            let details =
                serde_json::from_str(&row.details).map_err(|_| StoreError::Corrupt { column: "events.details" })?;
            Ok(StoredEvent { seq: row.seq, at: row.at, event_type: row.event_type, details })
        })
        .collect()
}
