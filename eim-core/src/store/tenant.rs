//! Tenants, and whose an eUICC is.

use super::switch::SavedOnce;
use super::{Backend, IdempotencyKey, Store, StoreError, on, postgres, sqlite};
use crate::ids::{Eid, TenantId};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A tenant as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTenant {
    /// Its number.
    pub id: TenantId,
    /// Its name, which nobody else has.
    pub name: String,
    /// When it was made, milliseconds since 1970.
    pub created_at: i64,
}

const SHARDS: usize = 64;
/// How many eUICCs a shard remembers; when it is full it is emptied.
const REMEMBERED: usize = 16_384;

/// Whose the eUICCs are that polled lately. That never changes, so nothing here is ever wrong.
pub(super) struct Homes([Mutex<HashMap<Eid, TenantId>>; SHARDS]);

impl Default for Homes {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Homes {
    fn shard(&self, eid: &Eid) -> MutexGuard<'_, HashMap<Eid, TenantId>> {
        let index =
            eid.octets().iter().fold(0_usize, |sum, octet| sum.wrapping_mul(31).wrapping_add(usize::from(*octet)));
        self.0[index % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, eid: &Eid) -> Option<TenantId> {
        self.shard(eid).get(eid).copied()
    }

    fn remember(&self, eid: &Eid, tenant: TenantId) {
        let mut shard = self.shard(eid);
        if shard.len() >= REMEMBERED {
            shard.clear();
        }
        shard.insert(*eid, tenant);
    }
}

impl Store {
    /// The same store, as this tenant sees it.
    #[must_use]
    pub fn of(&self, tenant: TenantId) -> Self {
        Self { tenant, ..self.clone() }
    }

    /// Whose rows it sees.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Whose an eUICC is; `None` when nobody has registered it. Mostly from memory.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn tenant_of(&self, eid: &Eid) -> Result<Option<TenantId>, StoreError> {
        if let Some(tenant) = self.homes.find(eid) {
            return Ok(Some(tenant));
        }
        let wanted = *eid;
        let found = on!(self.read("tenant_of"), |conn| tenant_of(conn, &wanted))?;
        if let Some(tenant) = found {
            self.homes.remember(eid, tenant);
        }
        Ok(found)
    }

    /// Adds a tenant, once for an idempotency key of the tenant that asks; `Conflict` when the name is taken.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_tenant(
        &self,
        name: &str,
        key: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<SavedOnce, StoreError> {
        let (tenant, name) = (self.tenant, name.to_owned());
        on!(self.write("insert_tenant"), |conn| insert_tenant(conn, &name, key.as_ref(), tenant, now))
    }

    /// The tenant of this name.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn tenant_named(&self, name: &str) -> Result<Option<StoredTenant>, StoreError> {
        let name = name.to_owned();
        on!(self.read("tenant_named"), |conn| tenant_named(conn, &name))
    }

    /// Tenants after a position, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn tenants(&self, after: i64, limit: i64) -> Result<Vec<StoredTenant>, StoreError> {
        on!(self.read("tenants"), |conn| tenant_page(conn, after, limit))
    }
}
