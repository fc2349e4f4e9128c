//! Signing keys that were ever in force, and rotations from one to another: rows and transactions.

use super::switch::SavedOnce;
use super::{Backend, IdempotencyKey, Store, StoreError, on, postgres, sqlite};
use crate::domain::keys::{RotatingState, RotationState};
use crate::domain::{Event, NewOperation};
use crate::ids::{Eid, EimId, KeyId, OperationId, TenantId};
use serde_json::Value;

/// A signing key that is or was in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// Its name.
    pub id: KeyId,
    /// The eIM that signs with it.
    pub eim_id: EimId,
    /// Its public half: a SubjectPublicKeyInfo in DER.
    pub public_key: Vec<u8>,
    /// When the store first saw it, milliseconds since 1970.
    pub first_seen_at: i64,
    /// Since when it is given to no eUICC any more, as a backup was restored and more may have been signed with it than this database
    /// knows; milliseconds since 1970. eUICCs that trust it stay with it.
    pub withheld_at: Option<i64>,
}

impl KnownKey {
    /// The first of these keys that another eIM has, by what is known.
    #[must_use]
    pub fn of_another_eim<'a>(keys: &'a [Self], known: &[Self]) -> Option<&'a Self> {
        let other = |key: &&Self| known.iter().any(|known| known.id == key.id && known.eim_id != key.eim_id);
        keys.iter().find(other)
    }
}

/// A rotation of keys as it is stored.
#[derive(Debug, Clone)]
pub struct StoredRotation {
    /// Its position.
    pub seq: i64,
    /// Its name for reference.
    pub id: OperationId,
    /// The key that devices are given.
    pub to: KeyId,
    /// Where it stands.
    pub state: RotationState,
    /// Grows with every change; a step decided on an older one is decided again.
    pub version: i64,
    /// What was asked for: `filter`, `ratePerMinute`, `label`.
    pub spec: Value,
    /// How far the inventory was looked through.
    pub swept_to: i64,
    /// Whether it was looked through as a whole.
    pub scanned: bool,
    /// When it is looked at next; `None` while nothing is to be done.
    pub look_at: Option<i64>,
    /// Who asked for it.
    pub created_by: Value,
    /// When it was asked for, milliseconds since 1970.
    pub created_at: i64,
    /// When it ended.
    pub ended_at: Option<i64>,
}

/// A device of a rotation.
#[derive(Debug, Clone)]
pub struct RotatingDevice {
    /// Its position.
    pub seq: i64,
    /// Its eUICC.
    pub eid: Eid,
    /// Where it stands.
    pub state: RotatingState,
    /// How often it was begun.
    pub attempts: i64,
    /// The operation that gives it the key.
    pub operation: Option<OperationId>,
    /// Why it stands so, where that is not plain.
    pub reason: Option<String>,
    /// Not begun before, milliseconds since 1970.
    pub not_before: i64,
    /// When it was last begun.
    pub begun_at: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
}

/// A device that joins a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    /// Its eUICC.
    pub eid: Eid,
    /// Why it can't be given the key; then it is named and not begun.
    pub left_out: Option<String>,
}

/// Which devices of a rotation to list.
#[derive(Debug, Clone)]
pub struct RotatingFilter {
    /// The rotation.
    pub rotation: OperationId,
    /// Only those that stand so.
    pub state: Option<RotatingState>,
    /// Only those after this position.
    pub after: i64,
    /// At most so many.
    pub limit: i64,
}

impl Store {
    /// Notes the keys that are loaded, the usual one first. eUICCs of which no key is known trust the key that was noted first of all, and
    /// those that say no eimId know this eIM by the one of their key.
    /// Gives a key that was noted for another eIM; then nothing was written.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn record_keys(&self, keys: Vec<KnownKey>) -> Result<Option<KeyId>, StoreError> {
        on!(self.write("record_keys"), |conn| record_keys(conn, &keys))
    }

    /// All keys that were ever noted, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn known_keys(&self) -> Result<Vec<KnownKey>, StoreError> {
        on!(self.read("known_keys"), |conn| known_keys(conn))
    }

    /// Withholds every key that was ever noted, and notes it in the audit log of the tenant. Gives their names, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn withhold_keys(&self, now: i64) -> Result<Vec<KeyId>, StoreError> {
        let tenant = self.tenant;
        on!(self.write("withhold_keys"), |conn| withhold_keys(conn, tenant, now))
    }

    /// How many eUICCs of all tenants trust which key.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn key_usage(&self) -> Result<Vec<(KeyId, i64)>, StoreError> {
        on!(self.read("key_usage"), |conn| key_usage(conn, None))
    }

    /// How many eUICCs of the tenant trust which key.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn own_key_usage(&self) -> Result<Vec<(KeyId, i64)>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("own_key_usage"), |conn| key_usage(conn, Some(tenant)))
    }

    /// Adds a rotation, unless one of the tenant is open: then `None`.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_rotation(
        &self,
        changed: StoredRotation,
        event: Event,
        key: Option<IdempotencyKey>,
    ) -> Result<Option<SavedOnce>, StoreError> {
        let tenant = self.tenant;
        let done =
            on!(self.write("insert_rotation"), |conn| insert_rotation(conn, &changed, &event, key.as_ref(), tenant));
        self.tell_of_events();
        done
    }

    /// A rotation by name.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn rotation(&self, id: OperationId) -> Result<Option<StoredRotation>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("rotation"), |conn| rotation(conn, id, tenant))
    }

    /// Rotations after a position, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn rotations(&self, after: i64, limit: i64) -> Result<Vec<StoredRotation>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("rotations"), |conn| rotation_page(conn, after, limit, tenant))
    }

    /// How many devices of a rotation stand how.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn rotation_counts(&self, id: OperationId) -> Result<Vec<(RotatingState, i64)>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("rotation_counts"), |conn| rotation_counts(conn, id, tenant))
    }

    /// Devices of a rotation.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn rotating_devices(&self, filter: RotatingFilter) -> Result<Vec<RotatingDevice>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("rotating_devices"), |conn| rotating_page(conn, &filter, tenant))
    }

    /// Rotations of all tenants that are to be looked at.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn due_rotations(&self, now: i64, limit: i64) -> Result<Vec<(TenantId, OperationId)>, StoreError> {
        on!(self.read("due_rotations"), |conn| due_rotations(conn, now, limit))
    }

    /// Writes how a rotation stands, decided on this version, with devices that join it. `false` when somebody else was faster.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn save_rotation(
        &self,
        changed: StoredRotation,
        joining: Vec<Joining>,
        event: Option<Event>,
        now: i64,
    ) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        let done = on!(self.write("save_rotation"), |conn| {
            save_rotation(conn, &changed, &joining, event.as_ref(), tenant, now)
        });
        self.tell_of_events();
        done
    }

    /// The same for a verb that somebody asked for, once for an idempotency key.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn act_on_rotation(
        &self,
        changed: StoredRotation,
        event: Event,
        key: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<SavedOnce, StoreError> {
        let tenant = self.tenant;
        let done = on!(self.write("act_on_rotation"), |conn| {
            act_on_rotation(conn, &changed, &event, key.as_ref(), tenant, now)
        });
        self.tell_of_events();
        done
    }

    /// Devices of a rotation that wait for their turn and may have it.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn pending_rotating(
        &self,
        id: OperationId,
        now: i64,
        limit: i64,
    ) -> Result<Vec<RotatingDevice>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("pending_rotating"), |conn| pending_rotating(conn, id, now, limit, tenant))
    }

    /// Devices of a rotation that were begun and whose operation is not open any more, behind a position.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn answered_rotating(
        &self,
        id: OperationId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<RotatingDevice>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("answered_rotating"), |conn| answered_rotating(conn, id, after, limit, tenant))
    }

    /// Devices of a rotation that were begun and to which nothing can be sent by the state of their eUICC, behind a position.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn stranded_rotating(
        &self,
        id: OperationId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<RotatingDevice>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("stranded_rotating"), |conn| stranded_rotating(conn, id, after, limit, tenant))
    }

    /// How many devices of a rotation were begun since a time.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn rotating_since(&self, id: OperationId, since: i64) -> Result<i64, StoreError> {
        let tenant = self.tenant;
        on!(self.read("rotating_since"), |conn| rotating_since(conn, id, since, tenant))
    }

    /// Begins a device: its row and its operation in one transaction. `false` when it does not wait any more, the rotation does not run,
    /// or as many devices as `pace` says were begun since the time that it says.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn begin_rotating(
        &self,
        id: OperationId,
        eid: Eid,
        new: NewOperation,
        event: Event,
        pace: (i64, i64),
        now: i64,
    ) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        let done =
            on!(self.write("begin_rotating"), |conn| begin_rotating(conn, id, &eid, (&new, &event), pace, tenant, now));
        self.disturb(&eid);
        done
    }

    /// Writes where a device of a rotation stands now, if it stood as it was read.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn move_rotating(
        &self,
        id: OperationId,
        was: RotatingState,
        device: RotatingDevice,
    ) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        on!(self.write("move_rotating"), |conn| move_rotating(conn, id, was, &device, tenant))
    }

    /// Withdraws all devices of a rotation that were not begun.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn withdraw_rotating(&self, id: OperationId, now: i64) -> Result<usize, StoreError> {
        let tenant = self.tenant;
        on!(self.write("withdraw_rotating"), |conn| withdraw_rotating(conn, id, tenant, now))
    }
}
