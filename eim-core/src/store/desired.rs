//! Desired states and how devices stand to them: rows, counts and transactions.

use super::schema::{desired_devices, desired_states};
use super::switch::SavedOnce;
use super::{Backend, IdempotencyKey, Store, StoreError, on, postgres, sqlite};
use crate::domain::fleet::desired::{Correcting, DriftFacts, DriftState};
use crate::domain::{DriftChange, Event};
use crate::ids::{Eid, OperationId, TenantId};
use diesel::prelude::*;
use serde_json::Value;

/// A desired state as it is stored; what it says is read by the domain.
#[derive(Debug, Clone)]
pub struct StoredState {
    /// Its position.
    pub seq: i64,
    /// Its name for reference.
    pub id: OperationId,
    /// The device that it belongs to; `None` for one with a filter.
    pub eid: Option<Eid>,
    /// Grows with every change.
    pub version: i64,
    /// What was asked for.
    pub spec: Value,
    /// How a missing profile is got, without its secrets.
    pub obtain: Option<Value>,
    /// The secrets of that, sealed for the name of the state.
    pub secret: Option<Vec<u8>>,
    /// When devices are looked through that may match; `None` where that is not needed.
    pub sweep_at: Option<i64>,
    /// How far that has come.
    pub swept_to: i64,
    /// How many corrections have ended badly since it was made or changed.
    pub bad_outcomes: i64,
    /// When it was made, milliseconds since 1970.
    pub created_at: i64,
    /// When it was changed last.
    pub changed_at: i64,
}

/// What became of a request to make a desired state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateAdded {
    /// As of any request.
    Once(SavedOnce),
    /// There are as many as there may be.
    TooMany,
    /// The device is not registered here.
    UnknownEuicc,
}

/// A desired state whose devices are to be looked through.
#[derive(Debug, Clone)]
pub struct DueSweep {
    /// Whose it is.
    pub tenant: TenantId,
    /// The state.
    pub state: StoredState,
}

/// A page of devices that was looked through.
#[derive(Debug, Clone)]
pub struct SweptPage {
    /// The devices that match.
    pub eids: Vec<Eid>,
    /// How far it has come.
    pub swept_to: i64,
    /// When it goes on, or begins anew.
    pub sweep_at: i64,
}

/// How a device stands to the desired state that counts for it.
#[derive(Debug, Clone)]
pub struct DeviceDrift {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its eUICC.
    pub eid: Eid,
    /// Grows with every change, and whenever something came that is to be looked at.
    pub version: i64,
    /// The state that counts.
    pub state: Option<OperationId>,
    /// How it stands.
    pub drift: DriftState,
    /// What is done about it.
    pub correcting: Correcting,
    /// When it is looked at again if nothing happens.
    pub look_at: Option<i64>,
    /// The rest.
    pub facts: DriftFacts,
}

/// Which devices of a desired state to list.
#[derive(Debug, Clone)]
pub struct DriftFilter {
    /// The state.
    pub state: OperationId,
    /// Only those that stand so.
    pub drift: Option<DriftState>,
    /// Only those about which this is done.
    pub correcting: Option<Correcting>,
    /// Only those after this EID.
    pub after: String,
    /// At most so many.
    pub limit: i64,
}

/// How many devices stand how.
pub type DriftCounts = Vec<(DriftState, Correcting, u64)>;

#[derive(Queryable, Selectable)]
#[diesel(table_name = desired_states)]
pub(super) struct StateRow {
    seq: i64,
    id: String,
    eid: Option<String>,
    version: i64,
    spec: String,
    obtain: Option<String>,
    secret: Option<Vec<u8>>,
    sweep_at: Option<i64>,
    swept_to: i64,
    bad_outcomes: i64,
    created_at: i64,
    changed_at: i64,
}

impl StateRow {
    pub(super) fn state(self) -> Result<StoredState, StoreError> {
        let corrupt = |column: &'static str| StoreError::Corrupt { column };
        let eid = self.eid.map(|eid| eid.parse().map_err(|_| corrupt("desired_states.eid"))).transpose()?;
        let obtain = self.obtain.map(|text| serde_json::from_str(&text)).transpose();
        Ok(StoredState {
            seq: self.seq,
            id: self.id.parse().map_err(|_| corrupt("desired_states.id"))?,
            eid,
            version: self.version,
            spec: serde_json::from_str(&self.spec).map_err(|_| corrupt("desired_states.spec"))?,
            obtain: obtain.map_err(|_| corrupt("desired_states.obtain"))?,
            secret: self.secret,
            sweep_at: self.sweep_at,
            swept_to: self.swept_to,
            bad_outcomes: self.bad_outcomes,
            created_at: self.created_at,
            changed_at: self.changed_at,
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = desired_devices)]
pub(super) struct DriftRow {
    tenant_id: i64,
    eid: String,
    version: i64,
    state_id: Option<String>,
    drift: String,
    correcting: String,
    look_at: Option<i64>,
    facts: String,
}

impl DriftRow {
    pub(super) fn drift(self) -> Result<DeviceDrift, StoreError> {
        let corrupt = |column: &'static str| StoreError::Corrupt { column };
        let state = self.state_id.map(|id| id.parse().map_err(|_| corrupt("desired_devices.state_id"))).transpose()?;
        Ok(DeviceDrift {
            tenant: TenantId::from_value(self.tenant_id),
            eid: self.eid.parse().map_err(|_| corrupt("desired_devices.eid"))?,
            version: self.version,
            state,
            drift: DriftState::from_word(&self.drift).ok_or_else(|| corrupt("desired_devices.drift"))?,
            correcting: Correcting::from_word(&self.correcting).ok_or_else(|| corrupt("desired_devices.correcting"))?,
            look_at: self.look_at,
            facts: serde_json::from_str(&self.facts).map_err(|_| corrupt("desired_devices.facts"))?,
        })
    }
}

impl Store {
    /// Makes a desired state, unless the tenant has `at_most` with a filter already. One of a device's own takes the place of
    /// the one before only by [`Self::change_desired_state`]; here it is a conflict.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_desired_state(
        &self,
        new: StoredState,
        event: Event,
        key: Option<IdempotencyKey>,
        at_most: i64,
        now: i64,
    ) -> Result<StateAdded, StoreError> {
        let tenant = self.tenant;
        let done = on!(self.write("insert_desired_state"), |conn| insert_desired_state(
            conn,
            &new,
            &event,
            key.as_ref(),
            at_most,
            tenant,
            now
        ));
        self.tell_of_events();
        done
    }

    /// A desired state by name.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn desired_state(&self, id: OperationId) -> Result<Option<StoredState>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("desired_state"), |conn| desired_state(conn, id, tenant))
    }

    /// The desired state of a device's own.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn own_desired_state(&self, eid: Eid) -> Result<Option<StoredState>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("own_desired_state"), |conn| own_desired_state(conn, &eid, tenant))
    }

    /// Desired states after a position, oldest first; only those with a filter, where that is asked for.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn desired_states(
        &self,
        with_filter: bool,
        after: i64,
        limit: i64,
    ) -> Result<Vec<StoredState>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("desired_states"), |conn| desired_state_page(conn, with_filter, after, limit, tenant))
    }

    /// Changes a desired state decided on this version, and has its devices looked at. `false` when there is none of this
    /// version.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn change_desired_state(&self, state: StoredState, event: Event, now: i64) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        let done =
            on!(self.write("change_desired_state"), |conn| change_desired_state(conn, &state, &event, tenant, now));
        self.tell_of_events();
        done
    }

    /// Removes a desired state, and has its devices looked at. `false` when there is none.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn delete_desired_state(&self, id: OperationId, event: Event, now: i64) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        let done = on!(self.write("delete_desired_state"), |conn| delete_desired_state(conn, id, &event, tenant, now));
        self.tell_of_events();
        done
    }

    /// Desired states of all tenants whose devices are to be looked through.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn due_sweeps(&self, now: i64, limit: i64) -> Result<Vec<DueSweep>, StoreError> {
        on!(self.read("due_sweeps"), |conn| due_sweeps(conn, now, limit))
    }

    /// Has a page of devices looked at, and notes how far this has come. `false` when somebody else was faster.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn save_sweep(&self, state: &StoredState, page: SweptPage, now: i64) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        let (id, version, from) = (state.id, state.version, state.swept_to);
        on!(self.write("save_sweep"), |conn| save_sweep(conn, id, version, from, &page, tenant, now))
    }

    /// Devices of all tenants that are to be looked at.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn due_drifts(&self, now: i64, limit: i64) -> Result<Vec<DeviceDrift>, StoreError> {
        on!(self.read("due_drifts"), |conn| due_drifts(conn, now, limit))
    }

    /// How a device stands; `None` when it was never looked at.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn device_drift(&self, eid: Eid) -> Result<Option<DeviceDrift>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("device_drift"), |conn| device_drift(conn, &eid, tenant))
    }

    /// Writes how a device stands, with what happened; `false` when somebody else was faster, and nothing was written.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn save_drift(
        &self,
        eid: Eid,
        change: DriftChange,
        events: Vec<Event>,
        now: i64,
    ) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        let told = !events.is_empty();
        let done = on!(self.write("save_drift"), |conn| save_drift(conn, &eid, &change, &events, tenant, now));
        if told {
            self.tell_of_events();
        }
        done
    }

    /// Forgets a device that is not registered.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn forget_drift(&self, eid: Eid) -> Result<(), StoreError> {
        let tenant = self.tenant;
        on!(self.write("forget_drift"), |conn| forget_drift(conn, &eid, tenant))
    }

    /// How many devices for which a desired state counts stand how.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn drift_counts(&self, id: OperationId) -> Result<DriftCounts, StoreError> {
        let tenant = self.tenant;
        on!(self.read("drift_counts"), |conn| drift_counts(conn, id, tenant))
    }

    /// Devices for which a desired state counts, by EID.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn drifts(&self, filter: DriftFilter) -> Result<Vec<DeviceDrift>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("drifts"), |conn| drift_page(conn, &filter, tenant))
    }

    /// The campaign that this device belongs to and that has not ended.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn live_campaign(&self, eid: Eid) -> Result<Option<String>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("live_campaign"), |conn| live_campaign(conn, &eid, tenant))
    }
}
