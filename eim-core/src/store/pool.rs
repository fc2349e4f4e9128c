//! Pools of activation codes, each of which is handed out once.

use super::switch::SavedOnce;
use super::{Backend, IdempotencyKey, Store, StoreError, on, postgres, sqlite};
use crate::domain::euicc::words;
use crate::ids::Eid;

words!(
    /// Where a code of a pool stands.
    CodeState {
        /// To be handed out.
        Free = "free",
        /// Handed out to a device; not used yet, or under way.
        Reserved = "reserved",
        /// The profile behind it was installed.
        Used = "used",
        /// It went to a device, and what became of it is not known to be nothing.
        Spent = "spent",
    }
);

/// A pool.
#[derive(Debug, Clone)]
pub struct StoredPool {
    /// Its position.
    pub seq: i64,
    /// Its name for reference.
    pub id: String,
    /// The name given to it, one of a kind.
    pub name: String,
    /// Below so many free codes an event says so.
    pub low_water: i64,
    /// How many codes are free.
    pub free: i64,
    /// When it was made, milliseconds since 1970.
    pub created_at: i64,
}

/// A code to be put into a pool.
#[derive(Debug, Clone)]
pub struct NewCode {
    /// Its name for reference.
    pub id: String,
    /// The SM-DP+ that it leads to.
    pub address: String,
    /// A keyed digest of the order that it stands for, to know it again.
    pub digest: Vec<u8>,
    /// The code, sealed for its name.
    pub secret: Vec<u8>,
}

/// A code as it is stored, without the code.
#[derive(Debug, Clone)]
pub struct StoredCode {
    /// Its position.
    pub seq: i64,
    /// Its name for reference.
    pub id: String,
    /// Where it stands.
    pub state: CodeState,
    /// The SM-DP+ that it leads to.
    pub address: String,
    /// The device that it went to.
    pub eid: Option<Eid>,
    /// The switch that it went to.
    pub switch: Option<String>,
    /// When its state changed, milliseconds since 1970.
    pub changed_at: i64,
}

/// A free code, to be reserved.
#[derive(Debug, Clone)]
pub struct FreeCode {
    /// Its name for reference.
    pub id: String,
    /// The code, sealed for its name.
    pub secret: Vec<u8>,
}

impl Store {
    /// Makes a pool, once for an idempotency key; `Conflict` when the name is taken.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_pool(&self, pool: StoredPool, key: Option<IdempotencyKey>) -> Result<SavedOnce, StoreError> {
        let tenant = self.tenant;
        on!(self.write("insert_pool"), |conn| insert_pool(conn, &pool, key.as_ref(), tenant))
    }

    /// Pools, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn pools(&self, after: i64, limit: i64) -> Result<Vec<StoredPool>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("pools"), |conn| pool_page(conn, after, limit, tenant))
    }

    /// A pool by its reference or by the name given to it.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn pool(&self, name: &str) -> Result<Option<StoredPool>, StoreError> {
        let tenant = self.tenant;
        let name = name.to_owned();
        on!(self.read("pool"), |conn| pool_named(conn, &name, tenant))
    }

    /// Puts codes into a pool, once for an idempotency key, and gives how many were new the first time; `None` when the key was
    /// used for another request.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_codes(
        &self,
        pool: String,
        codes: Vec<NewCode>,
        key: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<Option<usize>, StoreError> {
        let tenant = self.tenant;
        on!(self.write("insert_codes"), |conn| insert_codes(conn, &pool, &codes, key.as_ref(), tenant, now))
    }

    /// Codes of a pool, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn codes(
        &self,
        pool: String,
        state: Option<CodeState>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<StoredCode>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("codes"), |conn| code_page(conn, &pool, state, after, limit, tenant))
    }

    /// The first free codes of a pool; several, so that whoever reserves at the same time may take another one.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn free_codes(&self, pool: String, limit: i64) -> Result<Vec<FreeCode>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("free_codes"), |conn| free_codes(conn, &pool, limit, tenant))
    }

    /// Puts a spent code back into its pool, once for an idempotency key; `Conflict` when there is no spent code of this name.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn release_code(
        &self,
        pool: String,
        id: String,
        key: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<SavedOnce, StoreError> {
        let tenant = self.tenant;
        on!(self.write("release_code"), |conn| release_code(conn, &pool, &id, key.as_ref(), tenant, now))
    }
}
