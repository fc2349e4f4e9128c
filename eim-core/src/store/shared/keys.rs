//! Signing keys and rotations.

use super::Connection;
use super::audit::insert_audit;
use super::decision::{claim_once, enqueue, free_once};
use super::event::insert_tenant_event;
use crate::domain::audit::AuditNote;
use crate::domain::keys::{RotatingState, RotationState};
use crate::domain::{EuiccState, Event, NewOperation, OperationState};
use crate::ids::{CounterValue, Eid, KeyId, OperationId, TenantId};
use crate::store::kept;
use crate::store::keys::{Joining, KnownKey, RotatingDevice, RotatingFilter, StoredRotation};
use crate::store::rows::text_of;
use crate::store::schema::{
    euiccs, key_rotation_devices as devices, key_rotations as rotations, operations, signing_keys,
};
use crate::store::switch::SavedOnce;
use crate::store::{Enqueued, IdempotencyKey, StoreError};
use diesel::dsl::{count_star, exists, not};
use diesel::prelude::*;
use serde_json::json;

/// How many devices are inserted with one statement.
const INSERTED_AT_ONCE: usize = 2_000;

pub(in crate::store) fn record_keys(conn: &mut Connection, keys: &[KnownKey]) -> Result<Option<KeyId>, StoreError> {
    // What is refused is not noted: the same key may be meant for another eIM the next time.
    if let Some(other) = KnownKey::of_another_eim(keys, &known_keys(conn)?) {
        return Ok(Some(other.id));
    }
    for key in keys {
        diesel::insert_into(signing_keys::table)
            .values((
                signing_keys::key_id.eq(key.id.to_string()),
                signing_keys::eim_id.eq(key.eim_id.as_str()),
                signing_keys::public_key.eq(&key.public_key),
                signing_keys::first_seen_at.eq(key.first_seen_at),
            ))
            .on_conflict_do_nothing()
            .execute(conn)?;
    }
    let known = known_keys(conn)?;
    if let Some(first) = known.first() {
        kept::update(euiccs::table.filter(euiccs::signing_key.is_null()))
            .set(euiccs::signing_key.eq(first.id.to_string()))
            .execute(conn)?;
    }
    // Rows of earlier versions that meant the first identity by saying none: whose key they trust tells which one that was, whatever
    // the order of identities is now.
    for key in &known {
        let unsaid = euiccs::table.filter(euiccs::eim_id.is_null().and(euiccs::signing_key.eq(key.id.to_string())));
        kept::update(unsaid).set(euiccs::eim_id.eq(key.eim_id.as_str())).execute(conn)?;
    }
    Ok(None)
}

/// The columns of a key but for its position.
type KeyRow = (String, String, Vec<u8>, i64, Option<i64>);

pub(in crate::store) fn known_keys(conn: &mut Connection) -> Result<Vec<KnownKey>, StoreError> {
    let rows: Vec<KeyRow> = signing_keys::table
        .order(signing_keys::seq)
        .select((
            signing_keys::key_id,
            signing_keys::eim_id,
            signing_keys::public_key,
            signing_keys::first_seen_at,
            signing_keys::withheld_at,
        ))
        .load(conn)?;
    rows.into_iter()
        .map(|(id, eim_id, public_key, first_seen_at, withheld_at)| {
            Ok(KnownKey {
                id: id.parse().map_err(|_| StoreError::Corrupt { column: "signing_keys.key_id" })?,
                eim_id: eim_id.parse().map_err(|_| StoreError::Corrupt { column: "signing_keys.eim_id" })?,
                public_key,
                first_seen_at,
                withheld_at,
            })
        })
        .collect()
}

pub(in crate::store) fn withhold_keys(
    conn: &mut Connection,
    tenant: TenantId,
    now: i64,
) -> Result<Vec<KeyId>, StoreError> {
    let given = signing_keys::table.filter(signing_keys::withheld_at.is_null());
    diesel::update(given).set(signing_keys::withheld_at.eq(now)).execute(conn)?;
    let keys: Vec<KeyId> = known_keys(conn)?.iter().map(|key| key.id).collect();
    insert_audit(conn, &AuditNote::new("backupRestored", json!({ "signingKeys": keys })), tenant, now)?;
    Ok(keys)
}

pub(in crate::store) fn key_usage(
    conn: &mut Connection,
    tenant: Option<TenantId>,
) -> Result<Vec<(KeyId, i64)>, StoreError> {
    let rows: Vec<(Option<String>, i64)> = match tenant {
        None => euiccs::table.group_by(euiccs::signing_key).select((euiccs::signing_key, count_star())).load(conn)?,
        Some(tenant) => euiccs::table
            .filter(euiccs::tenant_id.eq(tenant.value()))
            .group_by(euiccs::signing_key)
            .select((euiccs::signing_key, count_star()))
            .load(conn)?,
    };
    rows.into_iter()
        .filter_map(|(key, count)| Some((key?, count)))
        .map(|(key, count)| Ok((key.parse().map_err(|_| StoreError::Corrupt { column: "euiccs.signing_key" })?, count)))
        .collect()
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = rotations)]
struct RotationRow {
    seq: i64,
    id: String,
    to_key: String,
    state: String,
    version: i64,
    spec: String,
    swept_to: i64,
    scanned: bool,
    look_at: Option<i64>,
    created_by: String,
    created_at: i64,
    ended_at: Option<i64>,
}

impl RotationRow {
    fn rotation(self) -> Result<StoredRotation, StoreError> {
        let corrupt = |column| StoreError::Corrupt { column };
        Ok(StoredRotation {
            seq: self.seq,
            id: self.id.parse().map_err(|_| corrupt("key_rotations.id"))?,
            to: self.to_key.parse().map_err(|_| corrupt("key_rotations.to_key"))?,
            state: RotationState::from_word(&self.state).ok_or_else(|| corrupt("key_rotations.state"))?,
            version: self.version,
            spec: serde_json::from_str(&self.spec).map_err(|_| corrupt("key_rotations.spec"))?,
            swept_to: self.swept_to,
            scanned: self.scanned,
            look_at: self.look_at,
            created_by: serde_json::from_str(&self.created_by).map_err(|_| corrupt("key_rotations.created_by"))?,
            created_at: self.created_at,
            ended_at: self.ended_at,
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = devices)]
struct RotatingRow {
    seq: i64,
    eid: String,
    state: String,
    attempts: i64,
    operation_id: Option<String>,
    reason: Option<String>,
    not_before: i64,
    begun_at: Option<i64>,
    ended_at: Option<i64>,
}

impl RotatingRow {
    fn device(self) -> Result<RotatingDevice, StoreError> {
        let corrupt = |column| StoreError::Corrupt { column };
        let operation =
            self.operation_id.map(|id| id.parse().map_err(|_| corrupt("key_rotation_devices.operation_id")));
        Ok(RotatingDevice {
            seq: self.seq,
            eid: self.eid.parse().map_err(|_| corrupt("key_rotation_devices.eid"))?,
            state: RotatingState::from_word(&self.state).ok_or_else(|| corrupt("key_rotation_devices.state"))?,
            attempts: self.attempts,
            operation: operation.transpose()?,
            reason: self.reason,
            not_before: self.not_before,
            begun_at: self.begun_at,
            ended_at: self.ended_at,
        })
    }
}

macro_rules! this_rotation {
    ($id:expr, $tenant:expr) => {
        rotations::table.filter(rotations::tenant_id.eq($tenant.value()).and(rotations::id.eq($id.to_string())))
    };
}

macro_rules! of_rotation {
    ($id:expr, $tenant:expr) => {
        devices::table.filter(devices::rotation_id.eq($id.to_string()).and(devices::tenant_id.eq($tenant.value())))
    };
}

fn subject(id: OperationId) -> String {
    format!("key-rotations/{id}")
}

pub(in crate::store) fn insert_rotation(
    conn: &mut Connection,
    rotation: &StoredRotation,
    event: &Event,
    key: Option<&IdempotencyKey>,
    tenant: TenantId,
) -> Result<Option<SavedOnce>, StoreError> {
    let now = rotation.created_at;
    if let Some(earlier) = claim_once(conn, key, &rotation.id.to_string(), tenant, now)? {
        return Ok(Some(earlier));
    }
    // An index allows one that is open.
    let inserted = diesel::insert_into(rotations::table)
        .values((
            rotations::id.eq(rotation.id.to_string()),
            rotations::tenant_id.eq(tenant.value()),
            rotations::to_key.eq(rotation.to.to_string()),
            rotations::state.eq(rotation.state.as_str()),
            rotations::version.eq(rotation.version),
            rotations::spec.eq(text_of(&rotation.spec)),
            rotations::swept_to.eq(rotation.swept_to),
            rotations::scanned.eq(rotation.scanned),
            rotations::look_at.eq(rotation.look_at),
            rotations::created_by.eq(text_of(&rotation.created_by)),
            rotations::created_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(conn)?;
    if inserted == 0 {
        free_once(conn, key, tenant)?;
        return Ok(None);
    }
    insert_tenant_event(conn, event, &subject(rotation.id), tenant, now)?;
    Ok(Some(SavedOnce::Done))
}

pub(in crate::store) fn rotation(
    conn: &mut Connection,
    id: OperationId,
    tenant: TenantId,
) -> Result<Option<StoredRotation>, StoreError> {
    let found = this_rotation!(id, tenant).select(RotationRow::as_select()).first(conn).optional()?;
    found.map(RotationRow::rotation).transpose()
}

pub(in crate::store) fn rotation_page(
    conn: &mut Connection,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<StoredRotation>, StoreError> {
    let rows: Vec<RotationRow> = rotations::table
        .filter(rotations::tenant_id.eq(tenant.value()).and(rotations::seq.gt(after)))
        .order(rotations::seq)
        .limit(limit)
        .select(RotationRow::as_select())
        .load(conn)?;
    rows.into_iter().map(RotationRow::rotation).collect()
}

pub(in crate::store) fn rotation_counts(
    conn: &mut Connection,
    id: OperationId,
    tenant: TenantId,
) -> Result<Vec<(RotatingState, i64)>, StoreError> {
    let rows: Vec<(String, i64)> =
        of_rotation!(id, tenant).group_by(devices::state).select((devices::state, count_star())).load(conn)?;
    rows.into_iter()
        .map(|(state, count)| {
            let corrupt = StoreError::Corrupt { column: "key_rotation_devices.state" };
            Ok((RotatingState::from_word(&state).ok_or(corrupt)?, count))
        })
        .collect()
}

pub(in crate::store) fn rotating_page(
    conn: &mut Connection,
    filter: &RotatingFilter,
    tenant: TenantId,
) -> Result<Vec<RotatingDevice>, StoreError> {
    let mut query = of_rotation!(filter.rotation, tenant)
        .filter(devices::seq.gt(filter.after))
        .order(devices::seq)
        .limit(filter.limit)
        .select(RotatingRow::as_select())
        .into_boxed();
    if let Some(state) = filter.state {
        query = query.filter(devices::state.eq(state.as_str()));
    }
    query.load(conn)?.into_iter().map(RotatingRow::device).collect()
}

pub(in crate::store) fn due_rotations(
    conn: &mut Connection,
    now: i64,
    limit: i64,
) -> Result<Vec<(TenantId, OperationId)>, StoreError> {
    let rows: Vec<(i64, String)> = rotations::table
        .filter(rotations::look_at.le(now))
        .order(rotations::look_at)
        .limit(limit)
        .select((rotations::tenant_id, rotations::id))
        .load(conn)?;
    rows.into_iter()
        .map(|(tenant, id)| {
            let id = id.parse().map_err(|_| StoreError::Corrupt { column: "key_rotations.id" })?;
            Ok((TenantId::from_value(tenant), id))
        })
        .collect()
}

fn write_rotation(conn: &mut Connection, rotation: &StoredRotation, tenant: TenantId) -> Result<bool, StoreError> {
    let same = this_rotation!(rotation.id, tenant).filter(rotations::version.eq(rotation.version));
    let written = kept::update(same)
        .set((
            rotations::version.eq(rotation.version + 1),
            rotations::state.eq(rotation.state.as_str()),
            rotations::swept_to.eq(rotation.swept_to),
            rotations::scanned.eq(rotation.scanned),
            rotations::look_at.eq(rotation.look_at),
            rotations::ended_at.eq(rotation.ended_at),
        ))
        .execute(conn)?;
    Ok(written == 1)
}

pub(in crate::store) fn save_rotation(
    conn: &mut Connection,
    rotation: &StoredRotation,
    joining: &[Joining],
    event: Option<&Event>,
    tenant: TenantId,
    now: i64,
) -> Result<bool, StoreError> {
    if !write_rotation(conn, rotation, tenant)? {
        return Ok(false);
    }
    let id = rotation.id.to_string();
    for chunk in joining.chunks(INSERTED_AT_ONCE) {
        let rows: Vec<_> = chunk
            .iter()
            .map(|device| {
                let reason = device.left_out.as_deref();
                let state = if reason.is_some() { RotatingState::NotReachable } else { RotatingState::Pending };
                (
                    devices::rotation_id.eq(id.as_str()),
                    devices::eid.eq(device.eid.to_string()),
                    devices::tenant_id.eq(tenant.value()),
                    devices::state.eq(state.as_str()),
                    devices::attempts.eq(0_i64),
                    devices::not_before.eq(0_i64),
                    devices::reason.eq(reason),
                    devices::ended_at.eq(reason.map(|_| now)),
                )
            })
            .collect();
        diesel::insert_into(devices::table).values(&rows).on_conflict_do_nothing().execute(conn)?;
    }
    if let Some(event) = event {
        insert_tenant_event(conn, event, &subject(rotation.id), tenant, now)?;
    }
    Ok(true)
}

pub(in crate::store) fn act_on_rotation(
    conn: &mut Connection,
    rotation: &StoredRotation,
    event: &Event,
    key: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<SavedOnce, StoreError> {
    if let Some(earlier) = claim_once(conn, key, &rotation.id.to_string(), tenant, now)? {
        return Ok(earlier);
    }
    if !write_rotation(conn, rotation, tenant)? {
        free_once(conn, key, tenant)?;
        return Ok(SavedOnce::Conflict);
    }
    insert_tenant_event(conn, event, &subject(rotation.id), tenant, now)?;
    Ok(SavedOnce::Done)
}

pub(in crate::store) fn pending_rotating(
    conn: &mut Connection,
    id: OperationId,
    now: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<RotatingDevice>, StoreError> {
    of_rotation!(id, tenant)
        .filter(devices::state.eq(RotatingState::Pending.as_str()).and(devices::not_before.le(now)))
        .order((devices::not_before, devices::seq))
        .limit(limit)
        .select(RotatingRow::as_select())
        .load(conn)?
        .into_iter()
        .map(RotatingRow::device)
        .collect()
}

pub(in crate::store) fn answered_rotating(
    conn: &mut Connection,
    id: OperationId,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<RotatingDevice>, StoreError> {
    let open =
        [OperationState::Queued, OperationState::Delivered, OperationState::Unconfirmed].map(|state| state.as_str());
    let still_open = operations::table
        .filter(operations::id.nullable().eq(devices::operation_id))
        .filter(operations::state.eq_any(open));
    of_rotation!(id, tenant)
        .filter(devices::state.eq(RotatingState::Running.as_str()).and(devices::seq.gt(after)))
        .filter(not(exists(still_open)))
        .order(devices::seq)
        .limit(limit)
        .select(RotatingRow::as_select())
        .load(conn)?
        .into_iter()
        .map(RotatingRow::device)
        .collect()
}

pub(in crate::store) fn stranded_rotating(
    conn: &mut Connection,
    id: OperationId,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<RotatingDevice>, StoreError> {
    let has_counters =
        euiccs::state.ne(EuiccState::CounterExhausted.as_str()).or(euiccs::counter_value.lt(CounterValue::MAX.value()));
    let reachable = euiccs::table
        .filter(euiccs::tenant_id.eq(tenant.value()).and(euiccs::eid.eq(devices::eid)))
        .filter(euiccs::state.ne(EuiccState::Unmanaged.as_str()).and(has_counters));
    of_rotation!(id, tenant)
        .filter(devices::state.eq(RotatingState::Running.as_str()).and(devices::seq.gt(after)))
        .filter(not(exists(reachable)))
        .order(devices::seq)
        .limit(limit)
        .select(RotatingRow::as_select())
        .load(conn)?
        .into_iter()
        .map(RotatingRow::device)
        .collect()
}

pub(in crate::store) fn rotating_since(
    conn: &mut Connection,
    id: OperationId,
    since: i64,
    tenant: TenantId,
) -> Result<i64, StoreError> {
    Ok(of_rotation!(id, tenant).filter(devices::begun_at.gt(since)).count().get_result(conn)?)
}

pub(in crate::store) fn begin_rotating(
    conn: &mut Connection,
    id: OperationId,
    eid: &Eid,
    (operation, event): (&NewOperation, &Event),
    (rate, since): (i64, i64),
    tenant: TenantId,
    now: i64,
) -> Result<bool, StoreError> {
    // Held until the end: other nodes begin devices of it, too, and somebody may pause it.
    let running = this_rotation!(id, tenant).filter(rotations::state.eq(RotationState::Running.as_str()));
    let is_running = kept::update(running).set(rotations::state.eq(RotationState::Running.as_str())).execute(conn)?;
    if is_running == 0 || rotating_since(conn, id, since, tenant)? >= rate {
        return Ok(false);
    }
    let waits = of_rotation!(id, tenant)
        .filter(devices::eid.eq(eid.to_string()).and(devices::state.eq(RotatingState::Pending.as_str())));
    let begun = kept::update(waits)
        .set((
            devices::state.eq(RotatingState::Running.as_str()),
            devices::attempts.eq(devices::attempts + 1),
            devices::operation_id.eq(operation.id.to_string()),
            devices::reason.eq(None::<String>),
            devices::begun_at.eq(now),
        ))
        .execute(conn)?;
    // A device that is not registered any more is found when its operation is looked for.
    Ok(begun == 1 && enqueue(conn, eid, operation, event, None, tenant, now)? == Enqueued::Done)
}

pub(in crate::store) fn move_rotating(
    conn: &mut Connection,
    id: OperationId,
    was: RotatingState,
    device: &RotatingDevice,
    tenant: TenantId,
) -> Result<bool, StoreError> {
    let same = of_rotation!(id, tenant)
        .filter(devices::eid.eq(device.eid.to_string()).and(devices::state.eq(was.as_str())))
        .filter(devices::attempts.eq(device.attempts));
    let moved = kept::update(same)
        .set((
            devices::state.eq(device.state.as_str()),
            devices::reason.eq(device.reason.as_deref()),
            devices::not_before.eq(device.not_before),
            devices::ended_at.eq(device.ended_at),
        ))
        .execute(conn)?;
    Ok(moved == 1)
}

pub(in crate::store) fn withdraw_rotating(
    conn: &mut Connection,
    id: OperationId,
    tenant: TenantId,
    now: i64,
) -> Result<usize, StoreError> {
    let waiting = of_rotation!(id, tenant).filter(devices::state.eq(RotatingState::Pending.as_str()));
    let withdrawn = kept::update(waiting)
        .set((devices::state.eq(RotatingState::Cancelled.as_str()), devices::ended_at.eq(now)))
        .execute(conn)?;
    Ok(withdrawn)
}
