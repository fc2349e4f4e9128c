//! The store: a few coarse, named transactions over SQLite or PostgreSQL.
//!
//! The only room that knows diesel. DER is an opaque column here. Whatever is decided about one eUICC is saved on the
//! version that the decision was made for, or not at all ([`Saved::Conflict`]): two nodes never act on the same state.

mod error;
mod postgres;
mod quiet;
mod rows;
mod schema;
mod sqlite;
mod url;
mod workers;

pub use error::StoreError;
pub use quiet::Ticket;
pub use url::StoreUrl;

use crate::domain::{
    Changes, Euicc, EuiccState, Event, NewOperation, Operation, OperationState, Profile, Received, Snapshot,
};
use crate::ids::{Eid, EimTransactionId, OperationId, TenantId};
use quiet::Quiet;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What a received message names, to load with the snapshot.
#[derive(Debug, Clone, Default)]
pub struct ResultKeys {
    /// eimTransactionIds.
    pub transactions: Vec<EimTransactionId>,
    /// counterValues.
    pub counters: Vec<i64>,
    /// Operations by name.
    pub operations: Vec<OperationId>,
    /// Objects as they are kept, to tell whether they were received before.
    pub octets: Vec<Vec<u8>>,
    /// Their identities, see [`Received::identity`].
    pub identities: Vec<Vec<u8>>,
}

/// What became of a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// Written and durable.
    Done,
    /// Somebody else changed the eUICC since the snapshot; nothing was written. Load and decide again.
    Conflict,
}

/// What became of a request to create something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enqueued {
    /// Created and durable.
    Done,
    /// The same request was made before under the same idempotency key; this is what it made.
    Before {
        /// The name of what was made.
        resource: String,
    },
    /// The idempotency key was used for another request.
    KeyTaken,
    /// The eUICC is not known.
    UnknownEuicc,
    /// It exists already.
    Exists,
}

/// An idempotency key and what it stands for.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    /// The key as the caller chose it.
    pub key: String,
    /// A digest of the request.
    pub fingerprint: Vec<u8>,
}

/// Which eUICCs to list.
#[derive(Debug, Clone)]
pub struct EuiccFilter {
    /// Only those with this tag.
    pub tag: Option<String>,
    /// Only those in this state.
    pub state: Option<EuiccState>,
    /// Only those after this position.
    pub after: i64,
    /// At most so many.
    pub limit: i64,
}

/// An eUICC in a list.
#[derive(Debug, Clone)]
pub struct ListedEuicc {
    /// Its position.
    pub seq: i64,
    /// The eUICC.
    pub euicc: Euicc,
    /// How many of its results are held.
    pub held_results: i64,
}

/// Which operations to list.
#[derive(Debug, Clone)]
pub struct OperationFilter {
    /// Only those of this eUICC.
    pub eid: Option<Eid>,
    /// Only those in this state.
    pub state: Option<OperationState>,
    /// Only those after this position.
    pub after: i64,
    /// At most so many.
    pub limit: i64,
}

/// An entry of a timeline.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    /// Its position.
    pub seq: i64,
    /// When, milliseconds since 1970.
    pub at: i64,
    /// What happened.
    pub event_type: String,
    /// The other members.
    pub details: Map<String, Value>,
}

/// An API key without the key.
#[derive(Debug, Clone)]
pub struct StoredApiKey {
    /// Its name for reference.
    pub id: String,
    /// The name given to it.
    pub name: String,
    /// Its role.
    pub role: String,
    /// When it was made, milliseconds since 1970.
    pub created_at: i64,
}

/// How many operations of a kind are queued.
#[derive(Debug, Clone)]
pub struct QueueDepth {
    /// The kind.
    pub kind: String,
    /// How many.
    pub depth: i64,
    /// When the oldest was asked for, milliseconds since 1970.
    pub oldest_at: Option<i64>,
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    backend: Arc<Backend>,
    tenant: TenantId,
}

enum Backend {
    Sqlite(sqlite::Sqlite, Box<Quiet>),
    Postgres(postgres::Postgres),
}

/// Runs a shared transaction on the backend at hand. The body is compiled for each backend's connection.
macro_rules! on {
    ($self:ident.$mode:ident($name:literal), |$conn:ident| $body:expr) => {
        match &*$self.backend {
            Backend::Sqlite(db, _) => {
                #[allow(unused_imports)]
                use sqlite::shared::*;
                db.$mode($name, move |$conn| $body).await
            }
            Backend::Postgres(db) => {
                #[allow(unused_imports)]
                use postgres::shared::*;
                db.$mode($name, move |$conn| $body).await
            }
        }
    };
}

impl Store {
    /// Opens the store; does not migrate it. `connections` counts for PostgreSQL.
    ///
    /// # Errors
    /// When a SQLite file can't be opened. A PostgreSQL server is reached at the first transaction.
    pub async fn open(url: &StoreUrl, connections: usize) -> Result<Self, StoreError> {
        let backend = match url {
            StoreUrl::Sqlite(path) => Backend::Sqlite(sqlite::Sqlite::open(path)?, Box::default()),
            StoreUrl::Postgres(url) => Backend::Postgres(postgres::Postgres::open(url, connections)?),
        };
        Ok(Self { backend: Arc::new(backend), tenant: TenantId::DEFAULT })
    }

    /// Runs the migrations that are missing and gives their names.
    ///
    /// # Errors
    /// When one fails; those before it stay.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        match &*self.backend {
            Backend::Sqlite(db, _) => db.migrate().await,
            Backend::Postgres(db) => db.migrate().await,
        }
    }

    /// The names of the migrations that are missing.
    ///
    /// # Errors
    /// When the store can't be reached.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        match &*self.backend {
            Backend::Sqlite(db, _) => db.pending_migrations().await,
            Backend::Postgres(db) => db.pending_migrations().await,
        }
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on!(self.read("ping"), |conn| api_key(conn, &[])).map(|_| ())
    }

    /// Adds an eUICC to the inventory.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_euicc(
        &self,
        euicc: Euicc,
        event: Event,
        key: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<Enqueued, StoreError> {
        let tenant = self.tenant;
        let (eid, new) = (euicc.eid, euicc);
        let done = on!(self.write("insert_euicc"), |conn| insert_euicc(conn, &new, &event, key.as_ref(), tenant, now));
        self.disturb(&eid);
        done
    }

    /// The eUICC and how many results it has that are held; `None` when it is not known.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn euicc(&self, eid: Eid) -> Result<Option<(Euicc, i64)>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("euicc"), |conn| euicc(conn, &eid, tenant))
    }

    /// eUICCs in the order in which they were registered.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn euiccs(&self, filter: EuiccFilter) -> Result<Vec<ListedEuicc>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("euiccs"), |conn| euicc_page(conn, &filter, tenant))
    }

    /// The profiles of an eUICC as last reported.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn profiles(&self, eid: Eid) -> Result<Vec<Profile>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("profiles"), |conn| euicc_profiles(conn, &eid, tenant))
    }

    /// The timeline of an eUICC after a position, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn events(&self, eid: Eid, after: i64, limit: i64) -> Result<Vec<StoredEvent>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("events"), |conn| event_page(conn, &eid, after, limit, tenant))
    }

    /// What a poll needs to know; `None` when the eUICC is not known.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn poll_snapshot(&self, eid: Eid, now: i64) -> Result<Option<Snapshot>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("poll_snapshot"), |conn| poll_snapshot(conn, &eid, tenant, now))
    }

    /// What a received result needs to know, and which of its signed objects were received before; `None` when the
    /// eUICC is not known.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn result_snapshot(
        &self,
        eid: Eid,
        keys: ResultKeys,
        now: i64,
    ) -> Result<Option<(Snapshot, Vec<Received>)>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("result_snapshot"), |conn| result_snapshot(conn, &eid, &keys, tenant, now))
    }

    /// The one eUICC with an operation of this transaction.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn eid_of_transaction(&self, transaction: &EimTransactionId) -> Result<Option<Eid>, StoreError> {
        let tenant = self.tenant;
        let transaction = transaction.to_string();
        on!(self.read("eid_of_transaction"), |conn| eid_of_transaction(conn, &transaction, tenant))
    }

    /// Writes a decision made on this version of the eUICC. What is done is on disk.
    ///
    /// # Errors
    /// When the transaction fails; then nothing was written.
    pub async fn save_decision(
        &self,
        eid: Eid,
        version: i64,
        changes: Arc<Changes>,
        now: i64,
    ) -> Result<Saved, StoreError> {
        let tenant = self.tenant;
        let saved = on!(self.write("save_decision"), |conn| save_decision(conn, &eid, version, &changes, tenant, now));
        self.disturb(&eid);
        saved
    }

    /// Keeps something received that belongs to no eUICC known here.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn keep_unattributed(&self, received: Received) -> Result<(), StoreError> {
        let tenant = self.tenant;
        on!(self.write("keep_unattributed"), |conn| put_received(conn, &received, "", tenant))
    }

    /// Queues an operation.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn enqueue(
        &self,
        eid: Eid,
        new: NewOperation,
        event: Event,
        key: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<Enqueued, StoreError> {
        let tenant = self.tenant;
        let done = on!(self.write("enqueue"), |conn| enqueue(conn, &eid, &new, &event, key.as_ref(), tenant, now));
        self.disturb(&eid);
        done
    }

    /// An operation by name.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn operation(&self, id: OperationId) -> Result<Option<Operation>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("operation"), |conn| operation(conn, id, tenant))
    }

    /// Operations, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn operations(&self, filter: OperationFilter) -> Result<Vec<Operation>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("operations"), |conn| operation_page(conn, &filter, tenant))
    }

    /// Ends queued operations whose time to be delivered has passed, some hundreds at once, and gives their kinds.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn expire_operations(&self, now: i64) -> Result<Vec<String>, StoreError> {
        let expired = on!(self.write("expire_operations"), |conn| expire_operations(conn, now))?;
        expired.iter().for_each(|(eid, _)| self.disturb(eid));
        Ok(expired.into_iter().map(|(_, kind)| kind).collect())
    }

    /// Forgets idempotency keys that were taken before this time.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn forget_idempotency_keys(&self, before: i64) -> Result<usize, StoreError> {
        on!(self.write("forget_idempotency_keys"), |conn| forget_keys(conn, before))
    }

    /// How many operations are queued, by kind.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn queue_depths(&self) -> Result<Vec<QueueDepth>, StoreError> {
        on!(self.read("queue_depths"), |conn| queue_depths(conn))
    }

    /// Records when devices were last seen. Not part of any decision.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn record_sightings(&self, sightings: Vec<(Eid, i64)>) -> Result<(), StoreError> {
        let tenant = self.tenant;
        on!(self.write("record_sightings"), |conn| record_sightings(conn, &sightings, tenant))
    }

    /// Keeps an API key by its digest.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_api_key(&self, key: StoredApiKey, digest: Vec<u8>) -> Result<(), StoreError> {
        let tenant = self.tenant;
        on!(self.write("insert_api_key"), |conn| insert_api_key(conn, &key, &digest, tenant))
    }

    /// The API key with this digest.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn api_key(&self, digest: Vec<u8>) -> Result<Option<StoredApiKey>, StoreError> {
        on!(self.read("api_key"), |conn| api_key(conn, &digest))
    }

    /// Whether a poll of this eUICC is known to have nothing to say or do. Only where this process alone writes.
    #[must_use]
    pub fn is_quiet(&self, eid: &Eid, now: i64) -> bool {
        match &*self.backend {
            Backend::Sqlite(_, quiet) => quiet.holds(eid, now),
            Backend::Postgres(_) => false,
        }
    }

    /// Take before a poll's snapshot is read, to say afterwards that the eUICC is quiet.
    #[must_use]
    pub fn quiet_ticket(&self, eid: &Eid) -> Option<Ticket> {
        match &*self.backend {
            Backend::Sqlite(_, quiet) => Some(quiet.ticket(eid)),
            Backend::Postgres(_) => None,
        }
    }

    /// Says that the poll behind the ticket found no open operation. Holds until something is written.
    pub fn mark_quiet(&self, eid: &Eid, ticket: Ticket, now: i64) {
        if let Backend::Sqlite(_, quiet) = &*self.backend {
            quiet.mark(eid, ticket, now);
        }
    }

    fn disturb(&self, eid: &Eid) {
        if let Backend::Sqlite(_, quiet) = &*self.backend {
            quiet.disturb(eid);
        }
    }
}
