//! Operations as the API and the background work see them.

use super::Connection;
use super::event::insert_event;
use crate::domain::{Event, Operation, OperationState};
use crate::ids::{Eid, OperationId, TenantId};
use crate::store::kept;
use crate::store::rows::OperationRow;
use crate::store::schema::{euiccs, operations};
use crate::store::{OperationFilter, QueueDepth, StoreError};
use diesel::prelude::*;

/// How many operations expire in one transaction.
const EXPIRED_AT_ONCE: i64 = 500;

pub(in crate::store) fn operation(
    conn: &mut Connection,
    id: OperationId,
    tenant: TenantId,
) -> Result<Option<Operation>, StoreError> {
    operations::table
        .filter(operations::tenant_id.eq(tenant.value()).and(operations::id.eq(id.to_string())))
        .select(OperationRow::as_select())
        .first(conn)
        .optional()?
        .map(OperationRow::operation)
        .transpose()
}

pub(in crate::store) fn operation_page(
    conn: &mut Connection,
    filter: &OperationFilter,
    tenant: TenantId,
) -> Result<Vec<Operation>, StoreError> {
    let mut query = operations::table
        .filter(operations::tenant_id.eq(tenant.value()))
        .limit(filter.limit)
        .select(OperationRow::as_select())
        .into_boxed();
    query = match filter.newest {
        true => query.filter(operations::seq.lt(filter.after)).order(operations::seq.desc()),
        false => query.filter(operations::seq.gt(filter.after)).order(operations::seq),
    };
    if let Some(eid) = filter.eid {
        query = query.filter(operations::eid.eq(eid.to_string()));
    }
    if let Some(state) = filter.state {
        query = query.filter(operations::state.eq(state.as_str()));
    }
    query.load(conn)?.into_iter().map(OperationRow::operation).collect()
}

pub(in crate::store) fn expire_operations(conn: &mut Connection, now: i64) -> Result<Vec<(Eid, String)>, StoreError> {
    let due: Vec<(i64, i64, String, String, String)> = operations::table
        .filter(operations::state.eq(OperationState::Queued.as_str()))
        .filter(operations::valid_until.is_not_null().and(operations::valid_until.le(now)))
        .order(operations::valid_until)
        .limit(EXPIRED_AT_ONCE)
        .select((operations::seq, operations::tenant_id, operations::eid, operations::id, operations::kind))
        .load(conn)?;
    let mut expired_ones = Vec::with_capacity(due.len());
    for (seq, tenant, eid, id, kind) in due {
        let expired = kept::update(
            operations::table
                .filter(operations::seq.eq(seq).and(operations::state.eq(OperationState::Queued.as_str()))),
        )
        .set((
            operations::state.eq(OperationState::Expired.as_str()),
            operations::completed_at.eq(now),
            operations::secret.eq(None::<Vec<u8>>),
        ))
        .execute(conn)?;
        if expired == 1 {
            let eid: Eid = eid.parse().map_err(|_| StoreError::Corrupt { column: "operations.eid" })?;
            let event = Event::new("operationExpired", serde_json::json!({ "operation": id, "kind": kind }));
            insert_event(conn, &event, &eid, TenantId::from_value(tenant), now)?;
            // Whoever decided on the operation as a queued one decides again.
            kept::update(euiccs::table.filter(euiccs::tenant_id.eq(tenant).and(euiccs::eid.eq(eid.to_string()))))
                .set(euiccs::version.eq(euiccs::version + 1))
                .execute(conn)?;
            expired_ones.push((eid, kind));
        }
    }
    Ok(expired_ones)
}

pub(in crate::store) fn queue_depths(conn: &mut Connection) -> Result<Vec<QueueDepth>, StoreError> {
    let rows: Vec<(String, i64, Option<i64>)> = operations::table
        .filter(operations::state.eq(OperationState::Queued.as_str()))
        .group_by(operations::kind)
        .select((operations::kind, diesel::dsl::count_star(), diesel::dsl::min(operations::created_at)))
        .load(conn)?;
    Ok(rows.into_iter().map(|(kind, depth, oldest_at)| QueueDepth { kind, depth, oldest_at }).collect())
}
