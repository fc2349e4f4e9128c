//! The audit log: records, their places in a tenant's chain, and checkpoints.
//!
//! A record is written in the transaction of its cause and takes part in no lock. Places are given afterwards, in the order
//! of the stream, by whoever moves the end of the chain on: the row of the chain is compared and changed first.

use super::{Connection, horizon};
use crate::domain::Event;
use crate::domain::audit::{self, AuditNote};
use crate::domain::statement::SignedStatement;
use crate::domain::{Received, ReceivedStatus};
use crate::ids::{Eid, TenantId};
use crate::store::StoreError;
use crate::store::audit::{
    AuditFilter, AuditStrays, AuditWaiting, ChainEnd, LinkedRecord, RecordColumns, StoredCheckpoint,
};
use crate::store::kept;
use crate::store::schema::{
    audit_chains as chains, audit_checkpoints as checkpoints, audit_links as links, audit_records as records, tenants,
};
use crate::store::stream::StreamPosition;
use diesel::prelude::*;
use serde_json::{Value, json};

/// Events that are not copied: they are told elsewhere in the log, or are of no matter to it.
const NOT_COPIED: [&str; 5] = ["firstSeen", "packageDelivered", "webhookFailing", "webhookRecovered", "webhookTest"];
/// How many results that are not believed are recorded in an hour, for an eUICC and for all that are not known here.
const NOT_BELIEVED_HOURLY: i64 = 20;
const UNATTRIBUTED_HOURLY: i64 = 200;
const HOUR_MS: i64 = 3_600_000;

pub(in crate::store) fn insert_audit(
    conn: &mut Connection,
    note: &AuditNote,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    let eid = note.eid.map(|eid| eid.to_string()).unwrap_or_default();
    let mut note = std::borrow::Cow::Borrowed(note);
    if let Some(at_most) = note.hourly_at_most {
        let lately: i64 = records::table
            .filter(records::tenant_id.eq(tenant.value()).and(records::eid.eq(&eid)))
            .filter(records::record_type.eq(note.record_type).and(records::at.gt(now - HOUR_MS)))
            .count()
            .get_result(conn)?;
        if lately >= at_most {
            return Ok(());
        }
        if lately + 1 == at_most {
            // Said in the record, so that silence behind it is not taken for peace.
            note.to_mut().details.insert("moreNotRecordedForAnHour".to_owned(), Value::Bool(true));
        }
    }
    put_record(conn, note.record_type, eid, note.text(now), tenant, now)
}

fn put_record(
    conn: &mut Connection,
    record_type: &str,
    eid: String,
    body: String,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    diesel::insert_into(records::table)
        .values((
            records::tenant_id.eq(tenant.value()),
            records::at.eq(now),
            records::record_type.eq(record_type),
            records::eid.eq(eid),
            records::body.eq(body),
        ))
        .execute(conn)?;
    Ok(())
}

/// Copies an event that is a matter of the log. What strangers can cause is told by the results themselves, in bounds.
pub(super) fn copy_event(
    conn: &mut Connection,
    event: &Event,
    eid: &str,
    subject: &str,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    // Of these the eUICC's signed word is a matter of the log; what nobody signed is not.
    let is_proven = event.event_type == "associationLost" && event.details["verified"] == true;
    if super::event::is_unproven(event) && !is_proven || NOT_COPIED.contains(&event.event_type) {
        return Ok(());
    }
    let body = audit::text(now, event.event_type, eid, subject, &event.details);
    put_record(conn, event.event_type, eid.to_owned(), body, tenant, now)
}

/// Records that something received is believed, or is not.
pub(super) fn record_received(
    conn: &mut Connection,
    received: &Received,
    eid: Option<&Eid>,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    let believed = received.status == ReceivedStatus::Verified;
    let details = json!({
        "kind": received.kind.as_str(),
        "status": received.status.as_str(),
        "reason": received.reason,
        "operation": received.operation,
        "seqNumber": received.seq_number.map(crate::ids::SeqNumber::value),
        "identity": hex::encode(&received.identity),
    });
    let mut note = AuditNote::new(if believed { "resultBelieved" } else { "resultNotBelieved" }, details);
    note.eid = eid.copied();
    note.hourly_at_most = (!believed).then_some(if eid.is_some() { NOT_BELIEVED_HOURLY } else { UNATTRIBUTED_HOURLY });
    insert_audit(conn, &note, tenant, now)
}

/// Position, and the cursor in the stream: xid and seq.
type Place = (i64, i64, i64);

pub(in crate::store) fn audit_behind(conn: &mut Connection, own_keys: &[String]) -> Result<Vec<TenantId>, StoreError> {
    let all: Vec<(i64, Option<Place>)> = tenants::table
        .left_join(chains::table.on(chains::tenant_id.eq(tenants::id)))
        .select((tenants::id, (chains::position, chains::cursor_xid, chains::cursor_seq).nullable()))
        .order(tenants::id)
        .load(conn)?;
    let mut behind = Vec::new();
    for (tenant, chain) in all {
        let (position, xid, seq) = chain.unwrap_or_default();
        let last: Option<(i64, i64)> = records::table
            .filter(records::tenant_id.eq(tenant))
            .order((records::xid.desc(), records::seq.desc()))
            .select((records::xid, records::seq))
            .first(conn)
            .optional()?;
        let covered: Option<(i64, String)> = checkpoints::table
            .filter(checkpoints::tenant_id.eq(tenant))
            .order(checkpoints::number.desc())
            .select((checkpoints::position, checkpoints::public_key))
            .first(conn)
            .optional()?;
        let is_covered = covered
            .map_or(position == 0, |(covered, key)| covered >= position && own_keys.contains(&key.to_lowercase()));
        if last.is_some_and(|last| (xid, seq) < last) || !is_covered {
            behind.push(TenantId::from_value(tenant));
        }
    }
    Ok(behind)
}

/// The chain of the tenant; its first record is not there yet when there is none.
fn chain(conn: &mut Connection, tenant: TenantId) -> Result<(ChainEnd, bool), StoreError> {
    let name: String = tenants::table.filter(tenants::id.eq(tenant.value())).select(tenants::name).first(conn)?;
    let found: Option<(i64, Vec<u8>, i64, i64)> = chains::table
        .filter(chains::tenant_id.eq(tenant.value()))
        .select((chains::position, chains::link, chains::cursor_xid, chains::cursor_seq))
        .first(conn)
        .optional()?;
    let exists = found.is_some();
    let (position, link, xid, seq) = found.unwrap_or_else(|| (0, audit::beginning(&name).to_vec(), 0, 0));
    let link = link.try_into().map_err(|_| StoreError::Corrupt { column: "audit_chains.link" })?;
    let end = ChainEnd { tenant: name, position, link, cursor: StreamPosition { xid, seq }, checkpoint: None };
    Ok((end, exists))
}

pub(in crate::store) fn link_audit(conn: &mut Connection, limit: i64, tenant: TenantId) -> Result<usize, StoreError> {
    let (end, exists) = chain(conn, tenant)?;
    // Before the records are read: what had ended by then is seen whole.
    let horizon = horizon(conn)?;
    let mine = || {
        records::table.filter(records::tenant_id.eq(tenant.value())).select((records::xid, records::seq, records::body))
    };
    let StreamPosition { xid, seq } = end.cursor;
    let mut found: Vec<(i64, i64, String)> = mine()
        .filter(records::xid.eq(xid).and(records::xid.lt(horizon)).and(records::seq.gt(seq)))
        .order(records::seq)
        .limit(limit)
        .load(conn)?;
    let rest = limit.saturating_sub(i64::try_from(found.len()).unwrap_or(limit));
    if rest > 0 {
        found.extend(
            mine()
                .filter(records::xid.gt(xid).and(records::xid.lt(horizon)))
                .order((records::xid, records::seq))
                .limit(rest)
                .load::<(i64, i64, String)>(conn)?,
        );
    }
    let Some((last_xid, last_seq)) = found.last().map(|(xid, seq, _)| (*xid, *seq)) else { return Ok(0) };
    let (mut position, mut link) = (end.position, end.link);
    let mut rows = Vec::with_capacity(found.len());
    for (_, seq, body) in &found {
        position += 1;
        link = audit::link(&link, position, body);
        rows.push((
            links::tenant_id.eq(tenant.value()),
            links::position.eq(position),
            links::record_seq.eq(*seq),
            links::link.eq(link.to_vec()),
        ));
    }
    if !exists {
        diesel::insert_into(chains::table)
            .values((
                chains::tenant_id.eq(tenant.value()),
                chains::position.eq(0),
                chains::link.eq(end.link.to_vec()),
                chains::cursor_xid.eq(0),
                chains::cursor_seq.eq(0),
            ))
            .on_conflict_do_nothing()
            .execute(conn)?;
    }
    // Another node may have moved on meanwhile; then it has linked these records.
    let same = chains::table
        .filter(chains::tenant_id.eq(tenant.value()).and(chains::position.eq(end.position)))
        .filter(chains::cursor_xid.eq(xid).and(chains::cursor_seq.eq(seq)));
    let moved = kept::update(same)
        .set((
            chains::position.eq(position),
            chains::link.eq(link.to_vec()),
            chains::cursor_xid.eq(last_xid),
            chains::cursor_seq.eq(last_seq),
        ))
        .execute(conn)?;
    if moved == 0 {
        return Ok(0);
    }
    let linked = rows.len();
    diesel::insert_into(links::table).values(rows).execute(conn)?;
    Ok(linked)
}

type CheckpointColumns = (i64, i64, i64, String, String, String);

fn stored((number, position, at, statement, public_key, signature): CheckpointColumns) -> StoredCheckpoint {
    StoredCheckpoint { number, position, at, signed: SignedStatement { statement, public_key, signature } }
}

macro_rules! checkpoint_columns {
    () => {
        (
            checkpoints::number,
            checkpoints::position,
            checkpoints::at,
            checkpoints::statement,
            checkpoints::public_key,
            checkpoints::signature,
        )
    };
}

pub(in crate::store) fn chain_end(conn: &mut Connection, tenant: TenantId) -> Result<ChainEnd, StoreError> {
    let (end, _) = chain(conn, tenant)?;
    let last: Option<CheckpointColumns> = checkpoints::table
        .filter(checkpoints::tenant_id.eq(tenant.value()))
        .order(checkpoints::number.desc())
        .select(checkpoint_columns!())
        .first(conn)
        .optional()?;
    Ok(ChainEnd { checkpoint: last.map(stored), ..end })
}

pub(in crate::store) fn insert_checkpoint(
    conn: &mut Connection,
    checkpoint: &StoredCheckpoint,
    tenant: TenantId,
) -> Result<bool, StoreError> {
    let SignedStatement { statement, public_key, signature } = &checkpoint.signed;
    let inserted = diesel::insert_into(checkpoints::table)
        .values((
            checkpoints::tenant_id.eq(tenant.value()),
            checkpoints::number.eq(checkpoint.number),
            checkpoints::position.eq(checkpoint.position),
            checkpoints::at.eq(checkpoint.at),
            checkpoints::statement.eq(statement),
            checkpoints::public_key.eq(public_key),
            checkpoints::signature.eq(signature),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    Ok(inserted == 1)
}

pub(in crate::store) fn audit_page(
    conn: &mut Connection,
    filter: &AuditFilter,
    tenant: TenantId,
) -> Result<Vec<LinkedRecord>, StoreError> {
    let mut query = links::table
        .inner_join(records::table.on(records::seq.eq(links::record_seq)))
        .filter(links::tenant_id.eq(tenant.value()).and(links::position.gt(filter.after)))
        .filter(records::tenant_id.eq(tenant.value()))
        .order(links::position)
        .limit(filter.limit)
        .select((links::position, links::link, records::body, records::at, records::record_type, records::eid))
        .into_boxed();
    if let Some(eid) = &filter.eid {
        query = query.filter(records::eid.eq(eid));
    }
    if let Some(record_type) = &filter.record_type {
        query = query.filter(records::record_type.eq(record_type));
    }
    let rows: Vec<(i64, Vec<u8>, String, i64, String, String)> = query.load(conn)?;
    let record = |(position, link, text, at, record_type, eid)| LinkedRecord {
        position,
        link,
        text,
        columns: RecordColumns { at, record_type, eid },
    };
    Ok(rows.into_iter().map(record).collect())
}

pub(in crate::store) fn checkpoint_page(
    conn: &mut Connection,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<StoredCheckpoint>, StoreError> {
    let rows: Vec<CheckpointColumns> = checkpoints::table
        .filter(checkpoints::tenant_id.eq(tenant.value()).and(checkpoints::number.gt(after)))
        .order(checkpoints::number)
        .limit(limit)
        .select(checkpoint_columns!())
        .load(conn)?;
    Ok(rows.into_iter().map(stored).collect())
}

pub(in crate::store) fn audit_waiting(conn: &mut Connection, tenant: TenantId) -> Result<AuditWaiting, StoreError> {
    let (end, _) = chain(conn, tenant)?;
    let StreamPosition { xid, seq } = end.cursor;
    let mine = || records::table.filter(records::tenant_id.eq(tenant.value()));
    // Two ranges of the index: as one condition the whole log would be read.
    let same = || mine().filter(records::xid.eq(xid).and(records::seq.gt(seq)));
    let later = || mine().filter(records::xid.gt(xid));
    let counts: [i64; 2] = [same().count().get_result(conn)?, later().count().get_result(conn)?];
    let firsts: [Option<i64>; 2] = [
        same().order(records::seq).select(records::at).first(conn).optional()?,
        later().order((records::xid, records::seq)).select(records::at).first(conn).optional()?,
    ];
    Ok(AuditWaiting { records: counts.iter().sum(), since: firsts.into_iter().flatten().min() })
}

pub(in crate::store) fn audit_strays(conn: &mut Connection, tenant: TenantId) -> Result<AuditStrays, StoreError> {
    let (end, _) = chain(conn, tenant)?;
    let StreamPosition { xid, seq } = end.cursor;
    let mine = || records::table.filter(records::tenant_id.eq(tenant.value()));
    let behind = || records::xid.lt(xid).or(records::xid.eq(xid).and(records::seq.le(seq)));
    let linked = links::table.filter(links::record_seq.eq(records::seq).and(links::tenant_id.eq(tenant.value())));
    let without_place: i64 =
        mine().filter(behind()).filter(diesel::dsl::not(diesel::dsl::exists(linked))).count().get_result(conn)?;
    let waiting = audit_waiting(conn, tenant)?;
    // In one statement: the end moves on meanwhile.
    let behind_the_end: i64 = links::table
        .inner_join(chains::table.on(chains::tenant_id.eq(links::tenant_id)))
        .filter(links::tenant_id.eq(tenant.value()).and(links::position.gt(chains::position)))
        .count()
        .get_result(conn)?;
    Ok(AuditStrays { without_place, waiting, behind_the_end })
}
