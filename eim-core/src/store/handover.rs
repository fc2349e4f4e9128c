//! Hand-overs to another eIM: rows and transactions.

use super::switch::SavedOnce;
use super::{Backend, IdempotencyKey, Store, StoreError, on, postgres, sqlite};
use crate::domain::handover::{HandoverDeviceState, HandoverState};
use crate::domain::{Event, NewOperation, OperationState};
use crate::ids::{Eid, OperationId, TenantId};

/// A hand-over as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredHandover {
    /// Its position.
    pub seq: i64,
    /// Its name.
    pub id: OperationId,
    /// The eIM that takes over.
    pub eim_id: String,
    /// Its EimConfigurationData with the token -1, DER in hexadecimal.
    pub configuration: String,
    /// Whether this eIM is deleted from a device once the other one has proven itself.
    pub delete_own: bool,
    /// Where it stands.
    pub state: HandoverState,
    /// How many devices it has.
    pub devices: i64,
    /// When it was made, milliseconds since 1970.
    pub created_at: i64,
    /// When it ended or was called off.
    pub ended_at: Option<i64>,
    /// How many devices are begun within a minute at most: a step that adds the other eIM or deletes this one.
    pub rate_per_minute: i64,
}

/// A device of a hand-over.
#[derive(Debug, Clone, PartialEq)]
pub struct HandoverDevice {
    /// Its position.
    pub seq: i64,
    /// The device.
    pub eid: Eid,
    /// Where it stands.
    pub state: HandoverDeviceState,
    /// The operation that it is at, or was at last.
    pub operation: Option<OperationId>,
    /// Where that operation stands.
    pub operation_state: Option<OperationState>,
    /// The token that the eUICC has given to the other eIM.
    pub token: Option<i64>,
    /// What proves that the other eIM commands it.
    pub proof: Option<String>,
    /// Why it ended otherwise.
    pub reason: Option<String>,
    /// When it came to where it stands, milliseconds since 1970.
    pub changed_at: i64,
    /// When a step was last begun, milliseconds since 1970.
    pub begun_at: Option<i64>,
    /// When the other eIM was added, milliseconds since 1970.
    pub added_at: Option<i64>,
    /// Where another try leads, for one that failed before the point of no return.
    pub retry_to: Option<HandoverDeviceState>,
}

/// A device with something to do.
#[derive(Debug, Clone, PartialEq)]
pub struct DueHandover {
    /// Whose it is.
    pub tenant: TenantId,
    /// The hand-over.
    pub handover: StoredHandover,
    /// The device.
    pub device: HandoverDevice,
}

/// A step of a device.
#[derive(Debug, Clone)]
pub struct HandoverStep {
    /// Where it leads.
    pub to: HandoverDeviceState,
    /// The operation that is queued with it.
    pub queue: Option<NewOperation>,
    /// The token that was learned.
    pub token: Option<i64>,
    /// Why it ended otherwise.
    pub reason: Option<String>,
    /// Where another try leads from there.
    pub retry_to: Option<HandoverDeviceState>,
    /// What is told of it.
    pub event: Event,
}

/// What became of a new hand-over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandoverMade {
    /// As of any request under an idempotency key.
    Once(SavedOnce),
    /// This device is not known.
    Unknown(String),
    /// This device is in a hand-over already.
    Busy(String),
}

/// What became of another try of the devices that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandoverRetried {
    /// As of any request under an idempotency key; `Conflict` when the hand-over was called off.
    Once(SavedOnce),
    /// None has failed before the point of no return.
    Nothing,
    /// This device is in another hand-over meanwhile.
    Busy(String),
}

/// What became of calling off a hand-over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalledOff {
    /// As of any request under an idempotency key; `Conflict` when it does not run.
    pub saved: SavedOnce,
    /// Operations that may not be delivered yet.
    pub operations: Vec<String>,
}

impl Store {
    /// Makes a hand-over of these devices, all or none.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_handover(
        &self,
        new: StoredHandover,
        eids: Vec<Eid>,
        once: Option<IdempotencyKey>,
    ) -> Result<HandoverMade, StoreError> {
        let tenant = self.tenant;
        let made = on!(self.write("insert_handover"), |conn| insert_handover(conn, &new, &eids, once.as_ref(), tenant));
        self.tell_of_events();
        made
    }

    /// A hand-over by name.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn handover(&self, id: OperationId) -> Result<Option<StoredHandover>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("handover"), |conn| handover(conn, id, tenant))
    }

    /// Hand-overs after a position, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn handovers(&self, after: i64, limit: i64) -> Result<Vec<StoredHandover>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("handovers"), |conn| handover_page(conn, after, limit, tenant))
    }

    /// Devices of a hand-over after a position, perhaps in one state alone.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn handover_devices(
        &self,
        id: OperationId,
        state: Option<HandoverDeviceState>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<HandoverDevice>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("handover_devices"), |conn| handover_device_page(conn, id, state, after, limit, tenant))
    }

    /// One device of a hand-over.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn handover_device(&self, id: OperationId, eid: Eid) -> Result<Option<HandoverDevice>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("handover_device"), |conn| handover_device(conn, id, &eid, tenant))
    }

    /// How many devices of a hand-over are in each state.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn handover_counts(&self, id: OperationId) -> Result<Vec<(String, i64)>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("handover_counts"), |conn| handover_counts(conn, id, tenant))
    }

    /// Devices of any tenant with something to do: a step to begin, as many of each hand-over as its rate allows since this time and
    /// no more than `limit`; or an operation that has ended, `limit` in all.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn due_handovers(&self, since: i64, limit: i64) -> Result<Vec<DueHandover>, StoreError> {
        on!(self.read("due_handovers"), |conn| due_handovers(conn, since, limit))
    }

    /// Pauses or resumes a hand-over; `Conflict` when it does not stand so that this can be.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn move_handover(
        &self,
        id: OperationId,
        to: HandoverState,
        event: Event,
        once: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<SavedOnce, StoreError> {
        let tenant = self.tenant;
        let moved =
            on!(self.write("move_handover"), |conn| move_handover(conn, id, to, &event, once.as_ref(), tenant, now));
        self.tell_of_events();
        moved
    }

    /// Tries the devices of a hand-over again that failed before the point of no return, all or none. One that had ended runs
    /// again.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn retry_handover(
        &self,
        id: OperationId,
        once: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<HandoverRetried, StoreError> {
        let tenant = self.tenant;
        let retried = on!(self.write("retry_handover"), |conn| retry_handover(conn, id, once.as_ref(), tenant, now));
        self.tell_of_events();
        retried
    }

    /// Takes a step of a device, with the operation that it queues; `false` when it no longer stands where it stood, or the
    /// hand-over was called off before a step that begins something.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn step_handover(&self, due: DueHandover, step: HandoverStep, now: i64) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        let eid = due.device.eid;
        let done = on!(self.write("step_handover"), |conn| step_handover(conn, &due, &step, tenant, now));
        self.disturb(&eid);
        done
    }

    /// Ends a hand-over that runs and has no device on its way; `true` when it did.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn end_handover(&self, id: OperationId, now: i64) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        let done = on!(self.write("end_handover"), |conn| end_handover(conn, id, tenant, now));
        self.tell_of_events();
        done
    }

    /// Notes that the other eIM commands these devices, all or none: `Conflict` when one of them is not waiting for that.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn prove_handover(
        &self,
        id: OperationId,
        proven: Vec<(Eid, String)>,
        once: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<SavedOnce, StoreError> {
        let tenant = self.tenant;
        let done =
            on!(self.write("prove_handover"), |conn| { prove_handover(conn, id, &proven, once.as_ref(), tenant, now) });
        self.tell_of_events();
        done
    }

    /// Calls a hand-over off: nothing more is begun.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn call_off_handover(
        &self,
        id: OperationId,
        once: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<CalledOff, StoreError> {
        let tenant = self.tenant;
        let done = on!(self.write("call_off_handover"), |conn| call_off_handover(conn, id, once.as_ref(), tenant, now));
        self.tell_of_events();
        done
    }

    /// The latest believed euiccPackageResult of an eUICC of at most so many octets, as received.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn last_believed_result(&self, eid: Eid) -> Result<Option<Vec<u8>>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("last_believed_result"), |conn| last_believed_result(conn, &eid, tenant))
    }
}
