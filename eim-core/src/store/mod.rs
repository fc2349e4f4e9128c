//! The store: a few coarse, named transactions over SQLite or PostgreSQL.
//!
//! The only room that knows diesel. DER is an opaque column here. Whatever is decided about one eUICC is saved on the
//! version that the decision was made for, or not at all ([`Saved::Conflict`]): two nodes never act on the same state.

pub mod audit;
pub mod authority;
pub mod campaign;
pub mod desired;
mod error;
pub mod handover;
mod kept;
pub mod keys;
mod migration;
pub mod pool;
mod postgres;
mod quiet;
mod rows;
pub mod rule;
mod schema;
mod sqlite;
pub mod stream;
pub mod switch;
pub mod tenant;
mod url;
pub mod webhook;
mod workers;

pub use error::StoreError;
pub use migration::MigrationNumber;
pub use quiet::Ticket;
pub use url::StoreUrl;

use crate::domain::{
    Changes, Euicc, EuiccState, Event, NewOperation, NotificationState, Operation, OperationState, OtherEim, Profile,
    Received, Snapshot,
};
use crate::ids::{Eid, EimTransactionId, Iccid, OperationId, RspAddress, SeqNumber, TenantId, TransactionId};
use quiet::Quiet;
use serde_json::{Map, Value};
use std::sync::Arc;
use tenant::Homes;
use tokio::sync::watch;

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
    /// transactionIds of download sessions.
    pub sessions: Vec<TransactionId>,
    /// Whether held results are of no interest.
    pub without_held: bool,
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
    /// Only those after this position, in the order of the list.
    pub after: i64,
    /// Whether the newest one comes first.
    pub newest: bool,
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
    /// Its position.
    pub seq: i64,
    /// Its name for reference.
    pub id: String,
    /// The name given to it.
    pub name: String,
    /// Its role.
    pub role: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// When it was made, milliseconds since 1970.
    pub created_at: i64,
    /// The groups of routes that it opens; none: all that its role does.
    pub scopes: Vec<String>,
    /// From when it opens nothing, milliseconds since 1970.
    pub expires_at: Option<i64>,
    /// When it was revoked, milliseconds since 1970.
    pub revoked_at: Option<i64>,
    /// When it was used, a minute more or less, milliseconds since 1970.
    pub last_used_at: Option<i64>,
    /// Of a key found by the secret before its last rotation: until when that one is valid, milliseconds since 1970.
    pub secret_until: Option<i64>,
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

/// A notification on its way to its server.
#[derive(Debug, Clone)]
pub struct StoredNotification {
    /// Its position.
    pub seq: i64,
    /// Its name.
    pub id: OperationId,
    /// The eUICC that signed it.
    pub eid: Eid,
    /// The eUICC's number of it.
    pub seq_number: SeqNumber,
    /// `install`, `enable`, `disable` or `delete`.
    pub event: String,
    /// The profile that it is about.
    pub iccid: Option<Iccid>,
    /// The server that must get it, in lower case.
    pub address: RspAddress,
    /// As the server takes it.
    pub octets: Vec<u8>,
    /// What became of it.
    pub state: NotificationState,
    /// How often it was sent in vain.
    pub attempts: i64,
    /// Not sent before, milliseconds since 1970.
    pub next_attempt_at: i64,
    /// Why it was sent in vain.
    pub last_error: Option<String>,
    /// When it arrived.
    pub created_at: i64,
    /// When it was acknowledged or given up.
    pub ended_at: Option<i64>,
}

/// Which notifications to list.
#[derive(Debug, Clone)]
pub struct NotificationFilter {
    /// Only those of this eUICC.
    pub eid: Option<Eid>,
    /// Only those in this state.
    pub state: Option<NotificationState>,
    /// Only those for this server.
    pub address: Option<RspAddress>,
    /// Only those after this position.
    pub after: i64,
    /// At most so many.
    pub limit: i64,
}

/// A job that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueJob {
    /// Its row.
    pub seq: i64,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its version when it was found due; whatever became due since is not meant.
    pub version: i64,
    /// What kind of job.
    pub kind: String,
    /// Which one.
    pub key: String,
}

/// The right to run a job for a while.
#[derive(Debug, Clone)]
pub struct JobLease {
    /// Its row.
    pub seq: i64,
    /// Its version when it was taken; work that came since made it another.
    pub version: i64,
    /// How often it failed in a row.
    pub attempts: i64,
}

/// How a run of a job ended.
#[derive(Debug, Clone)]
pub enum JobEnd {
    /// There is nothing more to do, unless something came meanwhile.
    Done,
    /// There is something left that is due at this time.
    Later {
        /// Milliseconds since 1970.
        run_at: i64,
    },
    /// It failed as a whole and is tried again at this time.
    Failed {
        /// Milliseconds since 1970.
        run_at: i64,
        /// Why.
        error: String,
    },
}

/// What became of asking for a job.
#[derive(Debug, Clone)]
pub enum Leased {
    /// It is ours for a while.
    Yes(JobLease),
    /// Nothing is left of it, or somebody else runs it.
    No,
    /// It is not due.
    NotDue {
        /// When it is, milliseconds since 1970.
        run_at: i64,
    },
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    backend: Arc<Backend>,
    tenant: TenantId,
    homes: Arc<Homes>,
    written: Arc<watch::Sender<u64>>,
}

enum Backend {
    Sqlite(sqlite::Sqlite, Box<Quiet>),
    Postgres(postgres::Postgres),
}

/// Runs a shared transaction on the backend at hand. Whoever uses it names `Backend`, `postgres` and `sqlite`. The body is compiled for each backend's connection.
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

use on;

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
        Ok(Self {
            backend: Arc::new(backend),
            tenant: TenantId::DEFAULT,
            homes: Arc::default(),
            written: Arc::new(watch::Sender::new(0)),
        })
    }

    /// Runs the migrations that are missing, but for those that contract the schema, and gives their numbers.
    ///
    /// # Errors
    /// When one fails; those before it stay.
    pub async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        self.run_migrations(false).await
    }

    /// Runs the migrations that are missing and contract the schema: only this version and later ones can use it then.
    ///
    /// # Errors
    /// When one fails; those before it stay.
    pub async fn contract(&self) -> Result<Vec<String>, StoreError> {
        self.run_migrations(true).await
    }

    async fn run_migrations(&self, contracting: bool) -> Result<Vec<String>, StoreError> {
        match &*self.backend {
            Backend::Sqlite(db, _) => db.migrate(contracting).await,
            Backend::Postgres(db) => db.migrate(contracting).await,
        }
    }

    /// The names of the migrations that are missing. Those that contract the schema are never missed: this version works before and
    /// after them.
    ///
    /// # Errors
    /// When the store can't be reached.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        match &*self.backend {
            Backend::Sqlite(db, _) => db.pending_migrations().await,
            Backend::Postgres(db) => db.pending_migrations().await,
        }
    }

    /// The numbers of the migrations that a newer version has run here and that this one does not know.
    ///
    /// # Errors
    /// When the store can't be reached.
    pub async fn unknown_migrations(&self) -> Result<Vec<MigrationNumber>, StoreError> {
        match &*self.backend {
            Backend::Sqlite(db, _) => db.unknown_migrations().await,
            Backend::Postgres(db) => db.unknown_migrations().await,
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

    /// Adds an eUICC with all that is told of it, in one transaction. `changes` are of it alone, and not of its row.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn import_euicc(
        &self,
        euicc: Euicc,
        event: Event,
        changes: Changes,
        now: i64,
    ) -> Result<Enqueued, StoreError> {
        let tenant = self.tenant;
        let (eid, new) = (euicc.eid, euicc);
        let done = on!(self.write("import_euicc"), |conn| import_euicc(conn, &new, &event, &changes, tenant, now));
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

    /// The other eIMs on an eUICC, in the order in which they became known.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn other_eims(&self, eid: Eid) -> Result<Vec<OtherEim>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("other_eims"), |conn| other_eims_of(conn, &eid, tenant))
    }

    /// The other eIMs on several eUICCs.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn other_eims_among(&self, eids: Vec<Eid>) -> Result<Vec<(Eid, OtherEim)>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("other_eims_among"), |conn| other_eims_among(conn, &eids, tenant))
    }

    /// The one eUICC with an operation of this transaction, whosever it is.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn eid_of_transaction(&self, transaction: &EimTransactionId) -> Result<Option<Eid>, StoreError> {
        let transaction = transaction.to_string();
        on!(self.read("eid_of_transaction"), |conn| eid_of_transaction(conn, &transaction))
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

    /// The eUICCs that have a session of this transactionId, whosever they are.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn eids_of_session(&self, transaction: &TransactionId) -> Result<Vec<Eid>, StoreError> {
        let transaction = transaction.to_string();
        on!(self.read("eids_of_session"), |conn| eids_of_session(conn, &transaction))
    }

    /// The eUICCs of all tenants with a download under way, at most two: more than one can't be told apart.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn eids_of_downloads(&self) -> Result<Vec<Eid>, StoreError> {
        on!(self.read("eids_of_downloads"), |conn| eids_of_downloads(conn))
    }

    /// Forgets sessions that did not move since this time, some hundreds at once.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn forget_sessions(&self, before: i64) -> Result<usize, StoreError> {
        on!(self.write("forget_sessions"), |conn| forget_sessions(conn, before))
    }

    /// Notifications, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn notifications(&self, filter: NotificationFilter) -> Result<Vec<StoredNotification>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("notifications"), |conn| notification_page(conn, &filter, tenant))
    }

    /// Notifications for this server that are due, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn due_notifications(
        &self,
        address: &str,
        now: i64,
        limit: i64,
    ) -> Result<Vec<StoredNotification>, StoreError> {
        let tenant = self.tenant;
        let address = address.to_owned();
        on!(self.read("due_notifications"), |conn| due_notifications(conn, &address, tenant, now, limit))
    }

    /// When the next notification for this server is due; `None` when none waits.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn next_notification(&self, address: &str) -> Result<Option<i64>, StoreError> {
        let tenant = self.tenant;
        let address = address.to_owned();
        on!(self.read("next_notification"), |conn| next_notification(conn, &address, tenant))
    }

    /// Writes that a notification was acknowledged or is given up.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn end_notification(
        &self,
        seq: i64,
        state: NotificationState,
        error: Option<String>,
        now: i64,
    ) -> Result<(), StoreError> {
        let tenant = self.tenant;
        on!(self.write("end_notification"), |conn| end_notification(conn, seq, state, error.as_deref(), tenant, now))
    }

    /// Writes that a notification was sent in vain: it and the later ones of the same eUICC to the same server wait.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn postpone_notification(
        &self,
        notification: StoredNotification,
        error: String,
        until: i64,
    ) -> Result<(), StoreError> {
        let tenant = self.tenant;
        on!(self.write("postpone_notification"), |conn| {
            postpone_notification(conn, &notification, &error, until, tenant)
        })
    }

    /// Writes on the due notifications for this server why it was not reached, and when it is tried again.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn note_not_reached(&self, address: &str, error: String, now: i64, until: i64) -> Result<(), StoreError> {
        let tenant = self.tenant;
        let address = address.to_owned();
        on!(self.write("note_not_reached"), |conn| note_not_reached(conn, &address, &error, tenant, now, until))
    }

    /// How many notifications are pending.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn pending_notifications(&self) -> Result<i64, StoreError> {
        on!(self.read("pending_notifications"), |conn| pending_notifications(conn))
    }

    /// Forgets notifications that ended before this time, some hundreds at once.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn forget_notifications(&self, before: i64) -> Result<usize, StoreError> {
        on!(self.write("forget_notifications"), |conn| forget_notifications(conn, before))
    }

    /// Jobs of these kinds that are due and that nobody was told of lately. Others are of a newer version, whose nodes find them: here they
    /// would only stand in the way.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn due_jobs(
        &self,
        kinds: &'static [&'static str],
        now: i64,
        limit: i64,
    ) -> Result<Vec<DueJob>, StoreError> {
        on!(self.read("due_jobs"), |conn| due_jobs(conn, kinds, now, limit))
    }

    /// Notes that somebody was told of these jobs, so that nobody else need be before this time.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn hand_out_jobs(&self, jobs: Vec<DueJob>, until: i64) -> Result<(), StoreError> {
        on!(self.write("hand_out_jobs"), |conn| hand_out_jobs(conn, &jobs, until))
    }

    /// Asks for a job until a time.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn lease_job(
        &self,
        kind: &str,
        key: &str,
        owner: &str,
        now: i64,
        until: i64,
    ) -> Result<Leased, StoreError> {
        let tenant = self.tenant;
        let (kind, key, owner) = (kind.to_owned(), key.to_owned(), owner.to_owned());
        on!(self.write("lease_job"), |conn| lease_job(conn, &kind, &key, &owner, now, until, tenant))
    }

    /// Prolongs a lease; `false` when it was lost.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn renew_job(&self, lease: JobLease, owner: &str, until: i64) -> Result<bool, StoreError> {
        let owner = owner.to_owned();
        on!(self.write("renew_job"), |conn| renew_job(conn, &lease, &owner, until))
    }

    /// Gives back what an owner has leased, or, without one, what anybody has; it is due again as if nobody had been told of it.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn release_jobs(&self, owner: Option<&str>) -> Result<usize, StoreError> {
        let owner = owner.map(str::to_owned);
        on!(self.write("release_jobs"), |conn| release_jobs(conn, owner.as_deref()))
    }

    /// Ends a run of a job. Gives whether it is due again at once, because something came meanwhile.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn finish_job(
        &self,
        lease: JobLease,
        owner: &str,
        end: JobEnd,
        grace: i64,
        now: i64,
    ) -> Result<bool, StoreError> {
        let owner = owner.to_owned();
        on!(self.write("finish_job"), |conn| finish_job(conn, &lease, &owner, &end, grace, now))
    }

    /// Keeps something received that belongs to no eUICC known here.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn keep_unattributed(&self, received: Received) -> Result<(), StoreError> {
        let tenant = self.tenant;
        on!(self.write("keep_unattributed"), |conn| keep_unattributed(conn, &received, tenant, received.at))
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

    /// Records when devices were last seen, whosever they are. Not part of any decision.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn record_sightings(&self, sightings: Vec<(Eid, i64)>) -> Result<(), StoreError> {
        on!(self.write("record_sightings"), |conn| record_sightings(conn, &sightings))
    }

    /// Keeps an API key by its digest, for the tenant that it names.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_api_key(&self, key: StoredApiKey, digest: Vec<u8>) -> Result<(), StoreError> {
        on!(self.write("insert_api_key"), |conn| insert_api_key(conn, &key, &digest, "process"))
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

    /// To be called after a transaction that may have changed something of an eUICC.
    fn disturb(&self, eid: &Eid) {
        if let Backend::Sqlite(_, quiet) = &*self.backend {
            quiet.disturb(eid);
        }
        self.tell_of_events();
    }
}
