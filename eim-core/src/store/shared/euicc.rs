//! The inventory: registering, listing, sightings and timelines of eUICCs.

use super::Connection;
use super::decision::{claim_key, free_key, put_tags, save_decision};
use super::desired::mark_changed;
use super::event::insert_event;
use crate::domain::keys::nearly_exhausted;
use crate::domain::{Changes, Euicc, Event, ReceivedStatus};
use crate::ids::{Eid, TenantId};
use crate::store::kept;
use crate::store::rows::EuiccRow;
use crate::store::schema::{euicc_tags, euiccs, received};
use crate::store::{Enqueued, EuiccFilter, IdempotencyKey, ListedEuicc, StoreError};
use diesel::dsl::case_when;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use std::collections::HashMap;

/// Two polls further apart than this belong to two visits of the device; their distance is one poll interval.
const NEW_VISIT_AFTER_MS: i64 = 30_000;

pub(in crate::store) fn insert_euicc(
    conn: &mut Connection,
    euicc: &Euicc,
    event: &Event,
    key: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<Enqueued, StoreError> {
    if let Some(key) = key
        && let Some(earlier) = claim_key(conn, key, &euicc.eid.to_string(), tenant, now)?
    {
        return Ok(earlier);
    }
    let inserted = diesel::insert_into(euiccs::table)
        .values(EuiccRow::new(euicc, tenant))
        .on_conflict_do_nothing()
        .execute(conn)?;
    if inserted == 0 {
        if let Some(key) = key {
            // The key made nothing, so it stands for nothing.
            free_key(conn, key, tenant)?;
        }
        return Ok(Enqueued::Exists);
    }
    put_tags(conn, &euicc.eid, &euicc.tags, tenant)?;
    insert_event(conn, event, &euicc.eid, tenant, now)?;
    if let Some(warning) = nearly_exhausted(None, euicc) {
        insert_event(conn, &warning, &euicc.eid, tenant, now)?;
    }
    mark_changed(conn, &euicc.eid, tenant, now)?;
    Ok(Enqueued::Done)
}

/// Adds an eUICC with all that is told of it, or nothing.
pub(in crate::store) fn import_euicc(
    conn: &mut Connection,
    euicc: &Euicc,
    event: &Event,
    changes: &Changes,
    tenant: TenantId,
    now: i64,
) -> Result<Enqueued, StoreError> {
    let made = insert_euicc(conn, euicc, event, None, tenant, now)?;
    if made == Enqueued::Done {
        // It was made in this transaction, so nobody else has changed it.
        save_decision(conn, &euicc.eid, euicc.version, changes, tenant, now)?;
    }
    Ok(made)
}

pub(in crate::store) fn euicc_page(
    conn: &mut Connection,
    filter: &EuiccFilter,
    tenant: TenantId,
) -> Result<Vec<ListedEuicc>, StoreError> {
    let mut query = euiccs::table
        .filter(euiccs::tenant_id.eq(tenant.value()))
        .filter(euiccs::seq.gt(filter.after))
        .order(euiccs::seq)
        .limit(filter.limit)
        .select((euiccs::seq, EuiccRow::as_select()))
        .into_boxed();
    if let Some(state) = filter.state {
        query = query.filter(euiccs::state.eq(state.as_str()));
    }
    if let Some(tag) = &filter.tag {
        let tagged = euicc_tags::table
            .filter(euicc_tags::tenant_id.eq(tenant.value()).and(euicc_tags::tag.eq(tag.clone())))
            .select(euicc_tags::eid);
        query = query.filter(euiccs::eid.eq_any(tagged));
    }
    let rows: Vec<(i64, EuiccRow)> = query.load(conn)?;
    let found = rows.into_iter().map(|(seq, row)| Ok((seq, row.euicc()?))).collect::<Result<Vec<_>, StoreError>>()?;
    let held: Vec<(String, i64)> = received::table
        .filter(received::tenant_id.eq(tenant.value()))
        .filter(received::eid.eq_any(found.iter().map(|(_, euicc)| euicc.eid.to_string())))
        .filter(received::status.eq(ReceivedStatus::Held.as_str()))
        .group_by(received::eid)
        .select((received::eid, diesel::dsl::count_star()))
        .load(conn)?;
    let held: HashMap<String, i64> = held.into_iter().collect();
    let listed = |(seq, euicc): (i64, Euicc)| {
        let held_results = held.get(&euicc.eid.to_string()).copied().unwrap_or(0);
        ListedEuicc { seq, euicc, held_results }
    };
    Ok(found.into_iter().map(listed).collect())
}

pub(in crate::store) fn euicc(
    conn: &mut Connection,
    eid: &Eid,
    tenant: TenantId,
) -> Result<Option<(Euicc, i64)>, StoreError> {
    let row = euiccs::table
        .filter(euiccs::tenant_id.eq(tenant.value()).and(euiccs::eid.eq(eid.to_string())))
        .select(EuiccRow::as_select())
        .first(conn)
        .optional()?;
    let Some(row) = row else { return Ok(None) };
    let held = received::table
        .filter(received::tenant_id.eq(tenant.value()).and(received::eid.eq(eid.to_string())))
        .filter(received::status.eq(ReceivedStatus::Held.as_str()))
        .count()
        .get_result(conn)?;
    Ok(Some((row.euicc()?, held)))
}

pub(in crate::store) fn record_sightings(conn: &mut Connection, sightings: &[(Eid, i64)]) -> Result<(), StoreError> {
    for (eid, at) in sightings {
        let gap = || at.into_sql::<Nullable<BigInt>>() - euiccs::last_seen_at;
        let same_visit = euiccs::last_seen_at.is_null().or(euiccs::last_seen_at.gt(at - NEW_VISIT_AFTER_MS));
        let interval = case_when(same_visit, euiccs::poll_interval_ms)
            .when(euiccs::poll_interval_ms.is_null(), gap())
            .otherwise((euiccs::poll_interval_ms * 3 + gap()) / 4);
        let older = euiccs::last_seen_at.is_null().or(euiccs::last_seen_at.lt(at));
        kept::update(euiccs::table.filter(euiccs::eid.eq(eid.to_string())).filter(older))
            .set((euiccs::last_seen_at.eq(at), euiccs::poll_interval_ms.eq(interval)))
            .execute(conn)?;
    }
    Ok(())
}
