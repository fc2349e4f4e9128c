//! Reading one eUICC with what a decision needs.

use super::Connection;
use super::association::other_eims_of;
use super::authority::rights;
use super::download::{last_session, sessions_named};
use super::switch::{owner_policies, switch_by_id};
use crate::domain::{Kind, Operation, OperationState, Origin, Profile, Received, ReceivedStatus, Snapshot};
use crate::ids::{Eid, OperationId, TenantId};
use crate::store::rows::{EuiccRow, OperationRow, ProfileRow, ReceivedRow, digest};
use crate::store::schema::{euiccs, operations, profiles, received};
use crate::store::{ResultKeys, StoreError};
use diesel::prelude::*;

/// How many queued operations a decision looks at: the oldest due ones.
const QUEUED_SEEN: i64 = 8;
/// How many delivered or unconfirmed operations a decision looks at.
const OPEN_SEEN: i64 = 64;
/// How many held results are verified again at once.
const HELD_SEEN: i64 = 64;

pub(in crate::store) fn poll_snapshot(
    conn: &mut Connection,
    eid: &Eid,
    tenant: TenantId,
    now: i64,
) -> Result<Option<Snapshot>, StoreError> {
    // The eUICC comes first: whatever changes between the two queries makes the save of the decision fail.
    let row = euiccs::table
        .filter(euiccs::tenant_id.eq(tenant.value()).and(euiccs::eid.eq(eid.to_string())))
        .select((EuiccRow::as_select(), euiccs::open_switch))
        .first::<(EuiccRow, Option<String>)>(conn)
        .optional()?;
    let Some((row, open_switch)) = row else { return Ok(None) };
    let euicc = row.euicc()?;
    let is_idle = open_switch.is_none() && !has_open_operations(conn, eid, tenant)?;
    let mut operations = if is_idle { vec![] } else { open_operations(conn, eid, tenant, now)? };
    let (mut switch, mut policies, mut profiles, mut owned) = (None, vec![], vec![], None);
    if let Some(id) = open_switch {
        switch = switch_by_id(conn, &id, tenant)?.map(|(_, switch)| switch);
        policies = owner_policies(conn, tenant)?;
        owned = Some(rights(conn, tenant)?);
        profiles = euicc_profiles(conn, eid, tenant)?;
        let awaiting = switch.as_ref().map(|switch| switch.facts.awaiting.clone()).unwrap_or_default();
        operations.extend(operations_named(conn, eid, &awaiting, &operations, tenant)?);
        operations.sort_by_key(|operation| operation.seq);
    }
    Ok(Some(Snapshot {
        euicc,
        is_idle,
        operations,
        profiles,
        held: vec![],
        sessions: vec![],
        last_session: None,
        switch,
        policies,
        rights: owned,
        other_eims: vec![],
    }))
}

/// Operations of an eUICC by name, but for those that are at hand.
fn operations_named(
    conn: &mut Connection,
    eid: &Eid,
    ids: &[OperationId],
    at_hand: &[Operation],
    tenant: TenantId,
) -> Result<Vec<Operation>, StoreError> {
    let missing: Vec<String> =
        ids.iter().filter(|id| at_hand.iter().all(|operation| operation.id != **id)).map(ToString::to_string).collect();
    if missing.is_empty() {
        return Ok(vec![]);
    }
    operations::table
        .filter(operations::tenant_id.eq(tenant.value()).and(operations::eid.eq(eid.to_string())))
        .filter(operations::id.eq_any(missing))
        .select(OperationRow::as_select())
        .load(conn)?
        .into_iter()
        .map(OperationRow::operation)
        .collect()
}

/// Most polls find nothing: one look at the index tells.
fn has_open_operations(conn: &mut Connection, eid: &Eid, tenant: TenantId) -> Result<bool, StoreError> {
    let open = [OperationState::Queued, OperationState::Delivered, OperationState::Unconfirmed];
    let found: Option<i64> = operations::table
        .filter(operations::tenant_id.eq(tenant.value()).and(operations::eid.eq(eid.to_string())))
        .filter(operations::state.eq_any(open.map(OperationState::as_str)))
        .select(operations::seq)
        .first(conn)
        .optional()?;
    Ok(found.is_some())
}

fn open_operations(conn: &mut Connection, eid: &Eid, tenant: TenantId, now: i64) -> Result<Vec<Operation>, StoreError> {
    let mine = || {
        operations::table
            .filter(operations::tenant_id.eq(tenant.value()).and(operations::eid.eq(eid.to_string())))
            .order(operations::seq)
            .select(OperationRow::as_select())
    };
    let open = || {
        mine().filter(
            operations::state
                .eq(OperationState::Delivered.as_str())
                .or(operations::state.eq(OperationState::Unconfirmed.as_str())),
        )
    };
    let due = || {
        mine()
            .filter(operations::state.eq(OperationState::Queued.as_str()))
            .filter(operations::not_before.is_null().or(operations::not_before.le(now)))
            .filter(operations::valid_until.is_null().or(operations::valid_until.gt(now)))
            .limit(QUEUED_SEEN)
    };
    let mut rows: Vec<OperationRow> = open().limit(OPEN_SEEN).load(conn)?;
    if rows.len() as i64 == OPEN_SEEN {
        // However many data requests are out, the one package in flight must be seen.
        rows.extend(open().filter(operations::kind.ne(Kind::EuiccData.as_str())).limit(OPEN_SEEN).load(conn)?);
    }
    let queued: Vec<OperationRow> = due().load(conn)?;
    if queued.len() as i64 == QUEUED_SEEN {
        // A long queue of one kind must not hide the other.
        for kind in [Kind::EuiccData, Kind::ProfileDownload] {
            rows.extend(due().filter(operations::kind.eq(kind.as_str())).load(conn)?);
        }
        let packages = [Kind::Psmo, Kind::Eco].map(Kind::as_str);
        rows.extend(due().filter(operations::kind.eq_any(packages)).load(conn)?);
    }
    rows.extend(queued);
    // The eIM's own questions must be seen also before they are due, or they would be asked twice.
    let own = mine()
        .filter(operations::state.eq(OperationState::Queued.as_str()))
        .filter(operations::origin.eq(Origin::Eim.as_str()))
        .limit(QUEUED_SEEN)
        .load(conn)?;
    rows.extend(own);
    let mut operations = rows.into_iter().map(OperationRow::operation).collect::<Result<Vec<_>, _>>()?;
    operations.sort_by_key(|operation| operation.seq);
    operations.dedup_by_key(|operation| operation.seq);
    Ok(operations)
}

pub(in crate::store) fn result_snapshot(
    conn: &mut Connection,
    eid: &Eid,
    keys: &ResultKeys,
    tenant: TenantId,
    now: i64,
) -> Result<Option<(Snapshot, Vec<Received>)>, StoreError> {
    let Some(mut snapshot) = poll_snapshot(conn, eid, tenant, now)? else { return Ok(None) };
    let mine = || {
        operations::table
            .filter(operations::tenant_id.eq(tenant.value()).and(operations::eid.eq(eid.to_string())))
            .order(operations::seq.desc())
            .limit(OPEN_SEEN)
            .select(OperationRow::as_select())
    };
    snapshot.sessions = sessions_named(conn, eid, &keys.sessions, tenant)?;
    if !keys.sessions.is_empty() {
        snapshot.last_session = last_session(conn, eid, tenant)?;
    }
    // Up to three questions, since no index answers their disjunction.
    let mut named: Vec<OperationRow> = Vec::new();
    if !keys.transactions.is_empty() {
        let transactions = keys.transactions.iter().map(ToString::to_string);
        named.extend(mine().filter(operations::eim_transaction_id.eq_any(transactions)).load::<OperationRow>(conn)?);
    }
    if !keys.counters.is_empty() {
        named
            .extend(mine().filter(operations::counter_value.eq_any(keys.counters.clone())).load::<OperationRow>(conn)?);
    }
    let served = snapshot.sessions.iter().map(|session| session.operation);
    let ids: Vec<String> = keys.operations.iter().copied().chain(served).map(|id| id.to_string()).collect();
    if !ids.is_empty() {
        named.extend(mine().filter(operations::id.eq_any(ids)).load::<OperationRow>(conn)?);
    }
    for row in named {
        let operation = row.operation()?;
        if snapshot.operation(operation.id).is_none() {
            snapshot.operations.push(operation);
        }
    }
    snapshot.operations.sort_by_key(|operation| operation.seq);
    if snapshot.switch.is_none() {
        // A device may go back after its switch has ended, and then that was not its end.
        let asked_by_switch = |operation: &&Operation| operation.origin == Origin::Switch;
        let served = snapshot.operations.iter().rev().find(asked_by_switch).and_then(|operation| operation.subject);
        if let Some(id) = served {
            snapshot.switch = switch_by_id(conn, &id.to_string(), tenant)?.map(|(_, switch)| switch);
        }
    }
    snapshot.profiles = euicc_profiles(conn, eid, tenant)?;
    snapshot.other_eims = other_eims_of(conn, eid, tenant)?;
    if !keys.without_held {
        snapshot.held = received_rows(conn, eid, tenant, None)?;
    }
    let before = received_rows(conn, eid, tenant, Some(keys))?;
    Ok(Some((snapshot, before)))
}

/// The held ones, or those that are named.
fn received_rows(
    conn: &mut Connection,
    eid: &Eid,
    tenant: TenantId,
    keys: Option<&ResultKeys>,
) -> Result<Vec<Received>, StoreError> {
    let mine = || {
        received::table
            .filter(received::tenant_id.eq(tenant.value()).and(received::eid.eq(eid.to_string())))
            .order(received::seq)
            .select(ReceivedRow::as_select())
    };
    let mut rows: Vec<ReceivedRow> = Vec::new();
    match keys {
        None => {
            let held = mine().filter(received::status.eq(ReceivedStatus::Held.as_str())).limit(HELD_SEEN);
            rows.extend(held.load(conn)?);
        }
        Some(keys) => {
            if !keys.octets.is_empty() {
                let digests: Vec<Vec<u8>> = keys.octets.iter().map(|octets| digest(octets)).collect();
                rows.extend(mine().filter(received::digest.eq_any(digests)).load(conn)?);
            }
            if !keys.identities.is_empty() {
                rows.extend(mine().filter(received::identity.eq_any(keys.identities.clone())).load(conn)?);
            }
        }
    }
    rows.into_iter().map(ReceivedRow::received).collect()
}

pub(in crate::store) fn euicc_profiles(
    conn: &mut Connection,
    eid: &Eid,
    tenant: TenantId,
) -> Result<Vec<Profile>, StoreError> {
    profiles::table
        .filter(profiles::tenant_id.eq(tenant.value()).and(profiles::eid.eq(eid.to_string())))
        .order(profiles::iccid)
        .select(ProfileRow::as_select())
        .load(conn)?
        .into_iter()
        .map(ProfileRow::profile)
        .collect()
}

pub(in crate::store) fn eid_of_transaction(
    conn: &mut Connection,
    transaction: &str,
) -> Result<Option<Eid>, StoreError> {
    let eids: Vec<String> = operations::table
        .filter(operations::eim_transaction_id.eq(transaction))
        .select(operations::eid)
        .distinct()
        .limit(2)
        .load(conn)?;
    // Two eUICCs with the same transaction can't be told apart by it.
    match eids.as_slice() {
        [eid] => eid.parse().map(Some).map_err(|_| StoreError::Corrupt { column: "operations.eid" }),
        _ => Ok(None),
    }
}
