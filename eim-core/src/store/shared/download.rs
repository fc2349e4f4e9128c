//! Sessions of downloads.

use super::Connection;
use crate::domain::{DownloadSession, Kind, OperationState, Phase};
use crate::ids::{Eid, TenantId, TransactionId};
use crate::store::StoreError;
use crate::store::kept;
use crate::store::rows::{NewSessionRow, SessionRow, text_of};
use crate::store::schema::{download_sessions as sessions, operations};
use diesel::prelude::*;

/// How many sessions of one eUICC are kept; the oldest go first. A device runs one at a time.
const KEPT: i64 = 16;
/// How many eUICCs may share a transactionId before further ones are not looked at.
const SHARED_MAX: i64 = 16;
const FORGOTTEN_AT_ONCE: i64 = 500;

pub(super) fn put_sessions(
    conn: &mut Connection,
    eid: &Eid,
    changed: &[DownloadSession],
    tenant: TenantId,
) -> Result<(), StoreError> {
    let mine = || sessions::table.filter(sessions::tenant_id.eq(tenant.value()).and(sessions::eid.eq(eid.to_string())));
    for session in changed {
        if session.seq == 0 {
            diesel::insert_into(sessions::table).values(NewSessionRow::new(session, eid, tenant)).execute(conn)?;
            drop_oldest(conn, eid, tenant)?;
        } else {
            kept::update(mine().filter(sessions::seq.eq(session.seq)))
                .set((
                    sessions::phase.eq(session.phase.as_str()),
                    sessions::facts.eq(text_of(&session.facts)),
                    sessions::touched_at.eq(session.touched_at),
                ))
                .execute(conn)?;
        }
    }
    Ok(())
}

/// Sessions in which a profile may be on its way are the last to go.
fn drop_oldest(conn: &mut Connection, eid: &Eid, tenant: TenantId) -> Result<(), StoreError> {
    let mine = || sessions::table.filter(sessions::tenant_id.eq(tenant.value()).and(sessions::eid.eq(eid.to_string())));
    let beyond = |kept: i64, phases: Vec<&'static str>| {
        mine()
            .filter(sessions::phase.eq_any(phases))
            .order(sessions::seq.desc())
            .select(sessions::seq)
            .offset(kept)
            .limit(FORGOTTEN_AT_ONCE)
    };
    let early = vec![Phase::Initiated.as_str(), Phase::Ended.as_str()];
    let every = Phase::ALL.iter().map(|phase| phase.as_str()).collect();
    for query in [beyond(KEPT, early), beyond(2 * KEPT, every)] {
        let old: Vec<i64> = query.load(conn)?;
        if !old.is_empty() {
            diesel::delete(mine().filter(sessions::seq.eq_any(old))).execute(conn)?;
        }
    }
    Ok(())
}

pub(super) fn last_session(conn: &mut Connection, eid: &Eid, tenant: TenantId) -> Result<Option<i64>, StoreError> {
    Ok(sessions::table
        .filter(sessions::tenant_id.eq(tenant.value()).and(sessions::eid.eq(eid.to_string())))
        .select(diesel::dsl::max(sessions::seq))
        .first(conn)?)
}

pub(super) fn sessions_named(
    conn: &mut Connection,
    eid: &Eid,
    transactions: &[TransactionId],
    tenant: TenantId,
) -> Result<Vec<DownloadSession>, StoreError> {
    if transactions.is_empty() {
        return Ok(vec![]);
    }
    sessions::table
        .filter(sessions::tenant_id.eq(tenant.value()).and(sessions::eid.eq(eid.to_string())))
        .filter(sessions::transaction_id.eq_any(transactions.iter().map(ToString::to_string)))
        .order(sessions::seq.desc())
        .select(SessionRow::as_select())
        .load(conn)?
        .into_iter()
        .map(SessionRow::session)
        .collect()
}

pub(in crate::store) fn eids_of_session(conn: &mut Connection, transaction: &str) -> Result<Vec<Eid>, StoreError> {
    let eids: Vec<String> = sessions::table
        .filter(sessions::transaction_id.eq(transaction))
        .select(sessions::eid)
        .distinct()
        .limit(SHARED_MAX)
        .load(conn)?;
    eids.iter().map(|eid| eid.parse().map_err(|_| StoreError::Corrupt { column: "download_sessions.eid" })).collect()
}

pub(in crate::store) fn eids_of_downloads(conn: &mut Connection) -> Result<Vec<Eid>, StoreError> {
    let eids: Vec<String> = operations::table
        .filter(operations::state.eq(OperationState::Delivered.as_str()))
        .filter(operations::kind.eq(Kind::ProfileDownload.as_str()))
        .select(operations::eid)
        .limit(2)
        .load(conn)?;
    eids.iter().map(|eid| eid.parse().map_err(|_| StoreError::Corrupt { column: "operations.eid" })).collect()
}

pub(in crate::store) fn forget_sessions(conn: &mut Connection, before: i64) -> Result<usize, StoreError> {
    let old: Vec<i64> = sessions::table
        .filter(sessions::touched_at.lt(before))
        .select(sessions::seq)
        .limit(FORGOTTEN_AT_ONCE)
        .load(conn)?;
    Ok(diesel::delete(sessions::table.filter(sessions::seq.eq_any(old))).execute(conn)?)
}
