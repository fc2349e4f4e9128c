//! Keys, owners of profiles, grants, decisions and totals: rows and transactions.

use super::switch::SavedOnce;
use super::{Backend, Enqueued, IdempotencyKey, Store, StoreError, StoredApiKey, on, postgres, sqlite};
use crate::domain::audit::AuditNote;
use crate::domain::authority::{Action, Claims, Rights};
use crate::ids::TenantId;

/// What becomes of the secret of a key that gets another one.
#[derive(Debug, Clone)]
pub struct NewSecret {
    /// The key.
    pub id: String,
    /// The digest of its new secret.
    pub digest: Vec<u8>,
    /// Until when the secret before it is valid, too, milliseconds since 1970.
    pub previous_until: i64,
}

/// An owner of profiles as it is stored.
#[derive(Debug, Clone)]
pub struct StoredOwner {
    /// Its position.
    pub seq: i64,
    /// Its name for reference.
    pub id: String,
    /// The tenant that speaks for it.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// What it owns.
    pub claims: Claims,
    /// When whoever runs the server confirmed it, milliseconds since 1970; before that it counts for nothing.
    pub confirmed_at: Option<i64>,
    /// When it was made, milliseconds since 1970.
    pub created_at: i64,
}

/// A grant as it is stored.
#[derive(Debug, Clone)]
pub struct StoredGrant {
    /// Its position.
    pub seq: i64,
    /// Its name for reference.
    pub id: String,
    /// Who granted it.
    pub tenant: TenantId,
    /// Whom it was granted.
    pub grantee: TenantId,
    /// The owner, by its name for reference.
    pub owner: String,
    /// Only profiles of this class.
    pub profile_class: Option<i64>,
    /// What may be done.
    pub actions: Vec<Action>,
    /// When it was made, milliseconds since 1970.
    pub created_at: i64,
    /// When it was revoked, milliseconds since 1970.
    pub revoked_at: Option<i64>,
}

/// A decision: who asked for what, on whose authority, and what came of it.
#[derive(Debug, Clone)]
pub struct StoredDecision {
    /// Its position.
    pub seq: i64,
    /// When, milliseconds since 1970.
    pub at: i64,
    /// The key that asked, by its name for reference.
    pub key_id: String,
    /// The name given to the key.
    pub key_name: String,
    /// Method and route.
    pub action: String,
    /// The path of what it was about.
    pub subject: String,
    /// The role, and the grants that were used.
    pub authority: String,
    /// `done`, `rehearsed` (a dry run), `refused` or `failed`.
    pub outcome: String,
    /// The kind of problem.
    pub reason: Option<String>,
}

/// What became of a request to create something bounded in number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// Created and durable, or what the idempotency key says.
    Of(Enqueued),
    /// There are as many as there may be.
    TooMany,
}

/// Totals of one tenant.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// eUICCs by state.
    pub euiccs: Vec<(String, i64)>,
    /// Operations by state.
    pub operations: Vec<(String, i64)>,
    /// Notifications that their servers have not acknowledged yet.
    pub pending_notifications: i64,
}

impl Store {
    /// The keys of the tenant, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn api_keys(&self, after: i64, limit: i64) -> Result<Vec<StoredApiKey>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("api_keys"), |conn| key_page(conn, after, limit, tenant))
    }

    /// A key of the tenant by its name for reference.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn api_key_named(&self, id: &str) -> Result<Option<StoredApiKey>, StoreError> {
        let (tenant, id) = (self.tenant, id.to_owned());
        on!(self.read("api_key_named"), |conn| key_named(conn, &id, tenant))
    }

    /// Keeps an API key by its digest, once for an idempotency key.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn make_api_key(
        &self,
        key: StoredApiKey,
        digest: Vec<u8>,
        once: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<Made, StoreError> {
        on!(self.write("make_api_key"), |conn| make_key(conn, &key, &digest, once.as_ref(), now))
    }

    /// Gives a key of the tenant another secret. `UnknownEuicc` never happens; `Exists` says that it is no valid key.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn rotate_api_key(
        &self,
        secret: NewSecret,
        once: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<Enqueued, StoreError> {
        let tenant = self.tenant;
        on!(self.write("rotate_api_key"), |conn| rotate_key(conn, &secret, once.as_ref(), tenant, now))
    }

    /// Ends a key of the tenant, once for an idempotency key; `Conflict` when there is none of this name. One that ended before
    /// stays as it is.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn revoke_api_key(
        &self,
        id: &str,
        once: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<SavedOnce, StoreError> {
        let (tenant, id) = (self.tenant, id.to_owned());
        on!(self.write("revoke_api_key"), |conn| revoke_key(conn, &id, once.as_ref(), tenant, now))
    }

    /// Notes that a key was used, unless somebody noted that since `not_since`.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn touch_api_key(&self, id: &str, now: i64, not_since: i64) -> Result<(), StoreError> {
        let id = id.to_owned();
        on!(self.write("touch_api_key"), |conn| touch_key(conn, &id, now, not_since))
    }

    /// Adds an owner of profiles.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_owner(
        &self,
        owner: StoredOwner,
        once: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<Made, StoreError> {
        on!(self.write("insert_owner"), |conn| insert_owner(conn, &owner, once.as_ref(), now))
    }

    /// Owners of the tenant, or of all tenants, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn owners(&self, all: bool, after: i64, limit: i64) -> Result<Vec<StoredOwner>, StoreError> {
        let tenant = (!all).then_some(self.tenant);
        on!(self.read("owners"), |conn| owner_page(conn, after, limit, tenant))
    }

    /// An owner of any tenant by name.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn owner_named(&self, id: &str) -> Result<Option<StoredOwner>, StoreError> {
        let id = id.to_owned();
        on!(self.read("owner_named"), |conn| owner_named(conn, &id))
    }

    /// Makes the claims of an owner of any tenant count, once for an idempotency key of the tenant; `Conflict` when there is none
    /// of this name.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn confirm_owner(
        &self,
        id: &str,
        once: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<SavedOnce, StoreError> {
        let (tenant, id) = (self.tenant, id.to_owned());
        on!(self.write("confirm_owner"), |conn| confirm_owner(conn, &id, once.as_ref(), tenant, now))
    }

    /// Makes what an owner claims count no more; only one of the tenant, unless of all. `Conflict` when there is none of this name.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn withdraw_owner(
        &self,
        id: &str,
        all: bool,
        once: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<SavedOnce, StoreError> {
        let (tenant, id) = (self.tenant, id.to_owned());
        let of = (!all).then_some(tenant);
        on!(self.write("withdraw_owner"), |conn| withdraw_owner(conn, &id, of, once.as_ref(), tenant, now))
    }

    /// Adds a grant of the tenant. `UnknownEuicc` when the owner is not the tenant's.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_grant(
        &self,
        grant: StoredGrant,
        once: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<Made, StoreError> {
        on!(self.write("insert_grant"), |conn| insert_grant(conn, &grant, once.as_ref(), now))
    }

    /// Grants that the tenant gave or was given, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn grants(&self, after: i64, limit: i64) -> Result<Vec<StoredGrant>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("grants"), |conn| grant_page(conn, after, limit, tenant))
    }

    /// A grant that the tenant gave or was given.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn grant(&self, id: &str) -> Result<Option<StoredGrant>, StoreError> {
        let (tenant, id) = (self.tenant, id.to_owned());
        on!(self.read("grant"), |conn| grant_named(conn, &id, tenant))
    }

    /// Takes back a grant that the tenant gave, once for an idempotency key; `Conflict` when there is none of this name.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn revoke_grant(
        &self,
        id: &str,
        once: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<SavedOnce, StoreError> {
        let (tenant, id) = (self.tenant, id.to_owned());
        on!(self.write("revoke_grant"), |conn| revoke_grant(conn, &id, once.as_ref(), tenant, now))
    }

    /// What decides about other owners' profiles: all confirmed owners, and the grants to the tenant that are in force.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn rights(&self) -> Result<Rights, StoreError> {
        let tenant = self.tenant;
        on!(self.read("rights"), |conn| rights(conn, tenant))
    }

    /// Records a decision of the tenant, in the audit log, too.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_decision(&self, decision: StoredDecision, note: AuditNote) -> Result<(), StoreError> {
        let tenant = self.tenant;
        on!(self.write("insert_decision"), |conn| insert_decision(conn, &decision, &note, tenant))
    }

    /// Decisions of the tenant, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn decisions(&self, after: i64, limit: i64) -> Result<Vec<StoredDecision>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("decisions"), |conn| decision_page(conn, after, limit, tenant))
    }

    /// The totals of the tenant.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn summary(&self) -> Result<Summary, StoreError> {
        let tenant = self.tenant;
        on!(self.read("summary"), |conn| summary(conn, tenant))
    }
}
