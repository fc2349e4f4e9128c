//! Desired states, and how devices stand to them.

use super::Connection;
use super::decision::{claim_key, free_key};
use super::event::{insert_event, insert_tenant_event};
use crate::domain::fleet::campaign::CampaignState;
use crate::domain::fleet::desired::{Correcting, DriftState};
use crate::domain::{DriftChange, Event};
use crate::ids::{Eid, OperationId, TenantId};
use crate::store::desired::{
    DeviceDrift, DriftCounts, DriftFilter, DriftRow, DueSweep, StateAdded, StateRow, StoredState, SweptPage,
};
use crate::store::kept;
use crate::store::rows::text_of;
use crate::store::schema::{campaign_devices, campaigns, desired_devices as devices, desired_states as states, euiccs};
use crate::store::switch::SavedOnce;
use crate::store::{Enqueued, IdempotencyKey, StoreError};
use diesel::prelude::*;
use serde_json::json;

/// How many devices are marked with one statement.
const MARKED_AT_ONCE: usize = 2_000;

fn subject(id: OperationId) -> String {
    format!("desired-states/{id}")
}

/// A desired state of this tenant.
macro_rules! this_state {
    ($id:expr, $tenant:expr) => {
        states::table.filter(states::tenant_id.eq($tenant.value()).and(states::id.eq($id.to_string())))
    };
}

/// The row of a device.
macro_rules! this_device {
    ($eid:expr, $tenant:expr) => {
        devices::table.filter(devices::tenant_id.eq($tenant.value()).and(devices::eid.eq($eid.to_string())))
    };
}

pub(in crate::store) fn insert_desired_state(
    conn: &mut Connection,
    new: &StoredState,
    event: &Event,
    key: Option<&IdempotencyKey>,
    at_most: i64,
    tenant: TenantId,
    now: i64,
) -> Result<StateAdded, StoreError> {
    if let Some(key) = key
        && let Some(earlier) = claim_key(conn, key, &new.id.to_string(), tenant, now)?
    {
        return Ok(StateAdded::Once(match earlier {
            Enqueued::Before { resource } => SavedOnce::Before { resource },
            _ => SavedOnce::KeyTaken,
        }));
    }
    let refused = match &new.eid {
        Some(eid) => {
            let mine = euiccs::table.filter(euiccs::tenant_id.eq(tenant.value()).and(euiccs::eid.eq(eid.to_string())));
            let known: bool = diesel::select(diesel::dsl::exists(mine)).get_result(conn)?;
            (!known).then_some(StateAdded::UnknownEuicc)
        }
        None => {
            let there = states::table.filter(states::tenant_id.eq(tenant.value()).and(states::eid.is_null()));
            let there: i64 = there.count().get_result(conn)?;
            (there >= at_most).then_some(StateAdded::TooMany)
        }
    };
    if let Some(refused) = refused {
        if let Some(key) = key {
            free_key(conn, key, tenant)?;
        }
        return Ok(refused);
    }
    let inserted = diesel::insert_into(states::table)
        .values((
            states::id.eq(new.id.to_string()),
            states::tenant_id.eq(tenant.value()),
            states::eid.eq(new.eid.map(|eid| eid.to_string())),
            states::version.eq(new.version),
            states::spec.eq(text_of(&new.spec)),
            states::obtain.eq(new.obtain.as_ref().map(text_of)),
            states::secret.eq(new.secret.as_deref()),
            states::sweep_at.eq(new.sweep_at),
            states::swept_to.eq(new.swept_to),
            states::created_at.eq(now),
            states::changed_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    if inserted == 0 {
        if let Some(key) = key {
            free_key(conn, key, tenant)?;
        }
        return Ok(StateAdded::Once(SavedOnce::Conflict));
    }
    tell(conn, new, event, tenant, now)?;
    Ok(StateAdded::Once(SavedOnce::Done))
}

/// Writes what happened to a desired state, and has its own device looked at.
fn tell(
    conn: &mut Connection,
    state: &StoredState,
    event: &Event,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    match &state.eid {
        Some(eid) => {
            mark(conn, &[*eid], tenant, now)?;
            insert_event(conn, event, eid, tenant, now)
        }
        None => insert_tenant_event(conn, event, &subject(state.id), tenant, now),
    }
}

pub(in crate::store) fn desired_state(
    conn: &mut Connection,
    id: OperationId,
    tenant: TenantId,
) -> Result<Option<StoredState>, StoreError> {
    let row: Option<StateRow> = this_state!(id, tenant).select(StateRow::as_select()).first(conn).optional()?;
    row.map(StateRow::state).transpose()
}

pub(in crate::store) fn own_desired_state(
    conn: &mut Connection,
    eid: &Eid,
    tenant: TenantId,
) -> Result<Option<StoredState>, StoreError> {
    let row: Option<StateRow> = states::table
        .filter(states::tenant_id.eq(tenant.value()).and(states::eid.eq(eid.to_string())))
        .select(StateRow::as_select())
        .first(conn)
        .optional()?;
    row.map(StateRow::state).transpose()
}

pub(in crate::store) fn desired_state_page(
    conn: &mut Connection,
    with_filter: bool,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<StoredState>, StoreError> {
    let mut query = states::table
        .filter(states::tenant_id.eq(tenant.value()).and(states::seq.gt(after)))
        .order(states::seq)
        .limit(limit)
        .select(StateRow::as_select())
        .into_boxed();
    if with_filter {
        query = query.filter(states::eid.is_null());
    }
    let rows: Vec<StateRow> = query.load(conn)?;
    rows.into_iter().map(StateRow::state).collect()
}

pub(in crate::store) fn change_desired_state(
    conn: &mut Connection,
    state: &StoredState,
    event: &Event,
    tenant: TenantId,
    now: i64,
) -> Result<bool, StoreError> {
    let changed = kept::update(this_state!(state.id, tenant).filter(states::version.eq(state.version)))
        .set((
            states::version.eq(state.version + 1),
            states::spec.eq(text_of(&state.spec)),
            states::obtain.eq(state.obtain.as_ref().map(text_of)),
            states::secret.eq(state.secret.as_deref()),
            states::sweep_at.eq(state.sweep_at),
            states::swept_to.eq(0),
            states::bad_outcomes.eq(0),
            states::changed_at.eq(now),
        ))
        .execute(conn)?;
    if changed == 0 {
        return Ok(false);
    }
    mark_governed(conn, state.id, tenant, now)?;
    tell(conn, state, event, tenant, now)?;
    Ok(true)
}

pub(in crate::store) fn delete_desired_state(
    conn: &mut Connection,
    id: OperationId,
    event: &Event,
    tenant: TenantId,
    now: i64,
) -> Result<bool, StoreError> {
    let Some(state) = desired_state(conn, id, tenant)? else { return Ok(false) };
    if diesel::delete(this_state!(id, tenant)).execute(conn)? == 0 {
        return Ok(false);
    }
    mark_governed(conn, id, tenant, now)?;
    tell(conn, &state, event, tenant, now)?;
    Ok(true)
}

/// Has the devices looked at for which a state counts.
fn mark_governed(conn: &mut Connection, id: OperationId, tenant: TenantId, now: i64) -> Result<(), StoreError> {
    let governed =
        devices::table.filter(devices::tenant_id.eq(tenant.value()).and(devices::state_id.eq(id.to_string())));
    kept::update(governed).set((devices::look_at.eq(now), devices::version.eq(devices::version + 1))).execute(conn)?;
    Ok(())
}

/// Has the devices looked at, of every tenant, whose correction something spoke against: that may have changed.
pub(super) fn mark_refused(conn: &mut Connection, now: i64) -> Result<(), StoreError> {
    let refused = devices::table.filter(devices::correcting.eq(Correcting::Refused.as_str()));
    kept::update(refused).set((devices::look_at.eq(now), devices::version.eq(devices::version + 1))).execute(conn)?;
    Ok(())
}

/// Has devices looked at, whether or not they were before.
fn mark(conn: &mut Connection, eids: &[Eid], tenant: TenantId, now: i64) -> Result<(), StoreError> {
    for chunk in eids.chunks(MARKED_AT_ONCE) {
        let texts: Vec<String> = chunk.iter().map(ToString::to_string).collect();
        let rows: Vec<_> = texts
            .iter()
            .map(|eid| {
                (
                    devices::tenant_id.eq(tenant.value()),
                    devices::eid.eq(eid),
                    devices::version.eq(0_i64),
                    devices::drift.eq(DriftState::None.as_str()),
                    devices::correcting.eq(Correcting::None.as_str()),
                    devices::look_at.eq(now),
                    devices::facts.eq("{}"),
                )
            })
            .collect();
        diesel::insert_into(devices::table).values(&rows).on_conflict_do_nothing().execute(conn)?;
        let these = devices::table.filter(devices::tenant_id.eq(tenant.value()).and(devices::eid.eq_any(&texts)));
        diesel::update(these)
            .set((devices::look_at.eq(now), devices::version.eq(devices::version + 1)))
            .execute(conn)?;
    }
    Ok(())
}

/// Has a device looked at about which something has changed. Costs two looks at an index where a tenant has no desired
/// states.
pub(super) fn mark_changed(conn: &mut Connection, eid: &Eid, tenant: TenantId, now: i64) -> Result<(), StoreError> {
    let known = kept::update(this_device!(eid, tenant))
        .set((devices::look_at.eq(now), devices::version.eq(devices::version + 1)))
        .execute(conn)?;
    if known > 0 {
        return Ok(());
    }
    let any = states::table.filter(states::tenant_id.eq(tenant.value()));
    if diesel::select(diesel::dsl::exists(any)).get_result(conn)? {
        mark(conn, &[*eid], tenant, now)?;
    }
    Ok(())
}

pub(in crate::store) fn due_sweeps(conn: &mut Connection, now: i64, limit: i64) -> Result<Vec<DueSweep>, StoreError> {
    let rows: Vec<(i64, StateRow)> = states::table
        .filter(states::sweep_at.le(now))
        .order(states::sweep_at)
        .limit(limit)
        .select((states::tenant_id, StateRow::as_select()))
        .load(conn)?;
    rows.into_iter()
        .map(|(tenant, row)| Ok(DueSweep { tenant: TenantId::from_value(tenant), state: row.state()? }))
        .collect()
}

pub(in crate::store) fn save_sweep(
    conn: &mut Connection,
    id: OperationId,
    version: i64,
    from: i64,
    page: &SweptPage,
    tenant: TenantId,
    now: i64,
) -> Result<bool, StoreError> {
    let still = this_state!(id, tenant)
        .filter(states::version.eq(version).and(states::swept_to.eq(from)))
        .filter(states::sweep_at.le(now));
    let moved = kept::update(still)
        .set((states::swept_to.eq(page.swept_to), states::sweep_at.eq(page.sweep_at)))
        .execute(conn)?;
    if moved == 0 {
        return Ok(false);
    }
    if from == 0 {
        mark_governed(conn, id, tenant, now)?;
    }
    mark(conn, &page.eids, tenant, now)?;
    Ok(true)
}

pub(in crate::store) fn due_drifts(
    conn: &mut Connection,
    now: i64,
    limit: i64,
) -> Result<Vec<DeviceDrift>, StoreError> {
    devices::table
        .filter(devices::look_at.le(now))
        .order(devices::look_at)
        .limit(limit)
        .select(DriftRow::as_select())
        .load(conn)?
        .into_iter()
        .map(DriftRow::drift)
        .collect()
}

pub(in crate::store) fn device_drift(
    conn: &mut Connection,
    eid: &Eid,
    tenant: TenantId,
) -> Result<Option<DeviceDrift>, StoreError> {
    let row: Option<DriftRow> = this_device!(eid, tenant).select(DriftRow::as_select()).first(conn).optional()?;
    row.map(DriftRow::drift).transpose()
}

/// Whether what was decided about a device's drift still stands: row and state are of the versions that it was decided on. Holds
/// the row until the end of the transaction, so that a change of the state has the device looked at after it.
pub(super) fn drift_stands(
    conn: &mut Connection,
    eid: &Eid,
    change: &DriftChange,
    tenant: TenantId,
) -> Result<bool, StoreError> {
    let held = kept::update(this_device!(eid, tenant).filter(devices::version.eq(change.version)))
        .set(devices::version.eq(change.version))
        .execute(conn)?;
    if held == 0 {
        return Ok(false);
    }
    let Some((id, version)) = change.state else { return Ok(true) };
    let same = this_state!(id, tenant).filter(states::version.eq(version));
    Ok(diesel::select(diesel::dsl::exists(same)).get_result(conn)?)
}

/// Writes how a device stands, within the decision that brings it back.
pub(super) fn put_drift(
    conn: &mut Connection,
    eid: &Eid,
    change: &DriftChange,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    count_bad(conn, change, tenant, now)?;
    kept::update(this_device!(eid, tenant))
        .set((
            devices::version.eq(devices::version + 1),
            devices::state_id.eq(change.state.map(|(id, _)| id.to_string())),
            devices::drift.eq(change.drift.as_str()),
            devices::correcting.eq(change.correcting.as_str()),
            devices::look_at.eq(change.look_at),
            devices::facts.eq(text_of(&change.facts)),
        ))
        .execute(conn)?;
    Ok(())
}

/// Counts a correction that ended badly, and tells when those are as many as stop the desired state.
fn count_bad(conn: &mut Connection, change: &DriftChange, tenant: TenantId, now: i64) -> Result<(), StoreError> {
    let (Some((id, _)), Some(stop_after)) = (change.state, change.bad_of) else { return Ok(()) };
    kept::update(this_state!(id, tenant)).set(states::bad_outcomes.eq(states::bad_outcomes + 1)).execute(conn)?;
    let bad: Option<i64> = this_state!(id, tenant).select(states::bad_outcomes).first(conn).optional()?;
    if bad == Some(stop_after) {
        let event = Event::new("desiredStateStopped", json!({ "desiredState": id, "badOutcomes": bad }));
        insert_tenant_event(conn, &event, &subject(id), tenant, now)?;
    }
    Ok(())
}

pub(in crate::store) fn save_drift(
    conn: &mut Connection,
    eid: &Eid,
    change: &DriftChange,
    events: &[Event],
    tenant: TenantId,
    now: i64,
) -> Result<bool, StoreError> {
    let written = kept::update(this_device!(eid, tenant).filter(devices::version.eq(change.version)))
        .set((
            devices::version.eq(change.version + 1),
            devices::state_id.eq(change.state.map(|(id, _)| id.to_string())),
            devices::drift.eq(change.drift.as_str()),
            devices::correcting.eq(change.correcting.as_str()),
            devices::look_at.eq(change.look_at),
            devices::facts.eq(text_of(&change.facts)),
        ))
        .execute(conn)?;
    if written == 0 {
        return Ok(false);
    }
    count_bad(conn, change, tenant, now)?;
    for event in events {
        insert_event(conn, event, eid, tenant, now)?;
    }
    Ok(true)
}

pub(in crate::store) fn forget_drift(conn: &mut Connection, eid: &Eid, tenant: TenantId) -> Result<(), StoreError> {
    diesel::delete(this_device!(eid, tenant)).execute(conn)?;
    Ok(())
}

pub(in crate::store) fn drift_counts(
    conn: &mut Connection,
    id: OperationId,
    tenant: TenantId,
) -> Result<DriftCounts, StoreError> {
    let rows: Vec<(String, String, i64)> = devices::table
        .filter(devices::tenant_id.eq(tenant.value()).and(devices::state_id.eq(id.to_string())))
        .group_by((devices::drift, devices::correcting))
        .select((devices::drift, devices::correcting, diesel::dsl::count_star()))
        .load(conn)?;
    rows.into_iter()
        .map(|(drift, correcting, count)| {
            let drift = DriftState::from_word(&drift);
            let correcting = Correcting::from_word(&correcting);
            let (drift, correcting) =
                drift.zip(correcting).ok_or(StoreError::Corrupt { column: "desired_devices.drift" })?;
            Ok((drift, correcting, count.unsigned_abs()))
        })
        .collect()
}

pub(in crate::store) fn drift_page(
    conn: &mut Connection,
    filter: &DriftFilter,
    tenant: TenantId,
) -> Result<Vec<DeviceDrift>, StoreError> {
    let mut query = devices::table
        .filter(devices::tenant_id.eq(tenant.value()).and(devices::state_id.eq(filter.state.to_string())))
        .filter(devices::eid.gt(filter.after.clone()))
        .order(devices::eid)
        .limit(filter.limit)
        .select(DriftRow::as_select())
        .into_boxed();
    if let Some(drift) = filter.drift {
        query = query.filter(devices::drift.eq(drift.as_str()));
    }
    if let Some(correcting) = filter.correcting {
        query = query.filter(devices::correcting.eq(correcting.as_str()));
    }
    let rows: Vec<DriftRow> = query.load(conn)?;
    rows.into_iter().map(DriftRow::drift).collect()
}

pub(in crate::store) fn live_campaign(
    conn: &mut Connection,
    eid: &Eid,
    tenant: TenantId,
) -> Result<Option<String>, StoreError> {
    let waiting: Vec<String> = campaign_devices::table
        .filter(campaign_devices::tenant_id.eq(tenant.value()).and(campaign_devices::eid.eq(eid.to_string())))
        .select(campaign_devices::campaign_id)
        .load(conn)?;
    if waiting.is_empty() {
        return Ok(None);
    }
    let live = [CampaignState::Running, CampaignState::Paused, CampaignState::Aborting, CampaignState::Reverting];
    let live = campaigns::table
        .filter(campaigns::id.eq_any(waiting))
        .filter(campaigns::state.eq_any(live.map(CampaignState::as_str)))
        .order(campaigns::id)
        .select(campaigns::id);
    Ok(live.first(conn).optional()?)
}
