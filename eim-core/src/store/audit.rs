//! The audit log: rows and transactions.

use super::stream::StreamPosition;
use super::{Backend, Store, StoreError, on, postgres, sqlite};
use crate::domain::audit::{AuditNote, Link};
use crate::domain::statement::SignedStatement;
use crate::ids::TenantId;

/// A record with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedRecord {
    /// Its position, from 1.
    pub position: i64,
    /// Its link as it is stored.
    pub link: Vec<u8>,
    /// Its text.
    pub text: String,
    /// The columns beside the text, which must say the same.
    pub columns: RecordColumns,
}

/// What is kept of a record beside its text, to find it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordColumns {
    /// When, milliseconds since 1970.
    pub at: i64,
    /// What happened.
    pub record_type: String,
    /// The EID, or empty.
    pub eid: String,
}

/// A checkpoint as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// Counted from 1.
    pub number: i64,
    /// The record that it is about.
    pub position: i64,
    /// When it was made, milliseconds since 1970.
    pub at: i64,
    /// The statement.
    pub signed: SignedStatement,
}

/// The end of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainEnd {
    /// The name of the tenant.
    pub tenant: String,
    /// The last record that has its place; 0 for none.
    pub position: i64,
    /// Its link.
    pub link: Link,
    /// How far records have got their place.
    pub cursor: StreamPosition,
    /// The last checkpoint.
    pub checkpoint: Option<StoredCheckpoint>,
}

/// Which records to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only those about this eUICC.
    pub eid: Option<String>,
    /// Only those of this type.
    pub record_type: Option<String>,
    /// Only those after this position.
    pub after: i64,
    /// At most so many.
    pub limit: i64,
}

impl Store {
    /// Writes a record that belongs to no other transaction.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_audit(&self, note: AuditNote, now: i64) -> Result<(), StoreError> {
        let tenant = self.tenant;
        on!(self.write("insert_audit"), |conn| insert_audit(conn, &note, tenant, now))
    }

    /// The tenants whose log has records without a place, or records that no checkpoint covers.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn audit_behind(&self, own_keys: Vec<String>) -> Result<Vec<TenantId>, StoreError> {
        on!(self.read("audit_behind"), |conn| audit_behind(conn, &own_keys))
    }

    /// Gives the next records of the tenant their places, at most `limit`; gives how many. Whoever comes second does nothing.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn link_audit(&self, limit: i64) -> Result<usize, StoreError> {
        let tenant = self.tenant;
        on!(self.write("link_audit"), |conn| link_audit(conn, limit, tenant))
    }

    /// The end of the tenant's chain.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn chain_end(&self) -> Result<ChainEnd, StoreError> {
        let tenant = self.tenant;
        on!(self.read("chain_end"), |conn| chain_end(conn, tenant))
    }

    /// Keeps a checkpoint; `false` when there is one of this number.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_checkpoint(&self, checkpoint: StoredCheckpoint) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        on!(self.write("insert_checkpoint"), |conn| insert_checkpoint(conn, &checkpoint, tenant))
    }

    /// Records of the tenant that have their place, in its order.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn audit_records(&self, filter: AuditFilter) -> Result<Vec<LinkedRecord>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("audit_records"), |conn| audit_page(conn, &filter, tenant))
    }

    /// Checkpoints of the tenant after this number, in their order.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn checkpoints(&self, after: i64, limit: i64) -> Result<Vec<StoredCheckpoint>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("checkpoints"), |conn| checkpoint_page(conn, after, limit, tenant))
    }

    /// Records of the tenant that wait for their place.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn audit_waiting(&self) -> Result<AuditWaiting, StoreError> {
        let tenant = self.tenant;
        on!(self.read("audit_waiting"), |conn| audit_waiting(conn, tenant))
    }

    /// Records of the tenant that should have their place and have none, and places whose record is gone: first of each.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn audit_strays(&self) -> Result<AuditStrays, StoreError> {
        let tenant = self.tenant;
        on!(self.read("audit_strays"), |conn| audit_strays(conn, tenant))
    }
}

/// Records that wait for their place in the chain: a second or two while a server that links runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuditWaiting {
    /// How many.
    pub records: i64,
    /// When the first of them was made, milliseconds since 1970.
    pub since: Option<i64>,
}

/// What stands outside of a chain and should not, and what waits for its place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditStrays {
    /// How many records lie behind the place that was reached, and have none.
    pub without_place: i64,
    /// What waits for its place.
    pub waiting: AuditWaiting,
    /// How many places lie behind the end of the chain.
    pub behind_the_end: i64,
}
