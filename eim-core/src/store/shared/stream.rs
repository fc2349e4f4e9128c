//! Reading the stream of events.

use super::{Connection, horizon, stream_end};
use crate::ids::TenantId;
use crate::store::StoreError;
use crate::store::schema::{euicc_tags, events};
use crate::store::stream::{StreamEvent, StreamPage, StreamPosition};
use diesel::prelude::*;

#[derive(Queryable, Selectable)]
#[diesel(table_name = events)]
struct StreamRow {
    xid: i64,
    seq: i64,
    at: i64,
    event_type: String,
    eid: String,
    subject: String,
    details: String,
}

impl StreamRow {
    fn event(self) -> Result<StreamEvent, StoreError> {
        Ok(StreamEvent {
            position: StreamPosition { xid: self.xid, seq: self.seq },
            at: self.at,
            event_type: self.event_type,
            eid: self.eid,
            subject: self.subject,
            details: serde_json::from_str(&self.details)
                .map_err(|_| StoreError::Corrupt { column: "events.details" })?,
        })
    }
}

pub(in crate::store) fn stream_page(
    conn: &mut Connection,
    after: StreamPosition,
    limit: i64,
    tenant: TenantId,
) -> Result<StreamPage, StoreError> {
    // Before the events are read: what had ended by then is seen whole.
    let horizon = horizon(conn)?;
    let mine = || events::table.filter(events::tenant_id.eq(tenant.value())).select(StreamRow::as_select());
    // Two questions, so that each is a walk along the index.
    let mut rows: Vec<StreamRow> = mine()
        .filter(events::xid.eq(after.xid).and(events::xid.lt(horizon)).and(events::seq.gt(after.seq)))
        .order(events::seq)
        .limit(limit)
        .load(conn)?;
    let rest = limit.saturating_sub(i64::try_from(rows.len()).unwrap_or(limit));
    if rest > 0 {
        rows.extend(
            mine()
                .filter(events::xid.gt(after.xid).and(events::xid.lt(horizon)))
                .order((events::xid, events::seq))
                .limit(rest)
                .load::<StreamRow>(conn)?,
        );
    }
    let more = i64::try_from(rows.len()).unwrap_or(limit) >= limit;
    let unsettled = !more && {
        let waiting = events::table.filter(events::tenant_id.eq(tenant.value()).and(events::xid.ge(horizon)));
        diesel::select(diesel::dsl::exists(waiting)).get_result(conn)?
    };
    let events = rows.into_iter().map(StreamRow::event).collect::<Result<_, _>>()?;
    Ok(StreamPage { events, more, unsettled, ahead: after.xid >= horizon })
}

pub(in crate::store) fn end_of_stream(conn: &mut Connection) -> Result<StreamPosition, StoreError> {
    stream_end(conn)
}

/// Events of a time, from one that was read last; in the order of time, then of `seq`.
pub(in crate::store) fn events_between(
    conn: &mut Connection,
    (at, seq): (i64, i64),
    until: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<StreamEvent>, StoreError> {
    let mine = || events::table.filter(events::tenant_id.eq(tenant.value())).select(StreamRow::as_select());
    let mut rows: Vec<StreamRow> = mine()
        .filter(events::at.eq(at).and(events::at.lt(until)).and(events::seq.gt(seq)))
        .order(events::seq)
        .limit(limit)
        .load(conn)?;
    let rest = limit.saturating_sub(i64::try_from(rows.len()).unwrap_or(limit));
    if rest > 0 {
        rows.extend(
            mine()
                .filter(events::at.gt(at).and(events::at.lt(until)))
                .order((events::at, events::seq))
                .limit(rest)
                .load::<StreamRow>(conn)?,
        );
    }
    rows.into_iter().map(StreamRow::event).collect()
}

pub(in crate::store) fn tags_of(
    conn: &mut Connection,
    eids: &[String],
    tenant: TenantId,
) -> Result<Vec<(String, String)>, StoreError> {
    Ok(euicc_tags::table
        .filter(euicc_tags::tenant_id.eq(tenant.value()).and(euicc_tags::eid.eq_any(eids)))
        .select((euicc_tags::eid, euicc_tags::tag))
        .load(conn)?)
}
