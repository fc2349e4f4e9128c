//! Switches and owner policies: rows, filters and transactions.

use super::rows::text_of;
use super::schema::switches;
use super::{Backend, IdempotencyKey, Store, StoreError, on, postgres, sqlite};
use crate::domain::Changes;
use crate::domain::fleet::{Outcome, OwnerPolicy, Switch, SwitchState};
use crate::ids::{Eid, OperationId, TenantId};
use diesel::prelude::*;
use std::sync::Arc;

/// Which switches to list.
#[derive(Debug, Clone, Default)]
pub struct SwitchFilter {
    /// Only those of this eUICC.
    pub eid: Option<Eid>,
    /// Only those in this state.
    pub state: Option<SwitchState>,
    /// Only those that ended so.
    pub outcome: Option<Outcome>,
    /// Only those of this campaign.
    pub campaign: Option<OperationId>,
    /// Only those after this position, in the order of the list.
    pub after: i64,
    /// Whether the newest one comes first.
    pub newest: bool,
    /// At most so many.
    pub limit: i64,
}

/// A switch with the eUICC that it is of.
#[derive(Debug, Clone)]
pub struct StoredSwitch {
    /// The eUICC.
    pub eid: Eid,
    /// The switch.
    pub switch: Switch,
}

/// An eUICC whose switch is to be looked at.
#[derive(Debug, Clone, Copy)]
pub struct DueSwitch {
    /// Whose it is.
    pub tenant: TenantId,
    /// The eUICC.
    pub eid: Eid,
}

/// What became of a decision that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SavedOnce {
    /// Written and durable.
    Done,
    /// Somebody else changed the eUICC since the snapshot; nothing was written.
    Conflict,
    /// The same request was made before under the same idempotency key; this is what it made.
    Before {
        /// The name of what was made.
        resource: String,
    },
    /// The idempotency key was used for another request.
    KeyTaken,
}

/// An owner policy as it is stored.
#[derive(Debug, Clone)]
pub struct StoredPolicy {
    /// Its position.
    pub seq: i64,
    /// Its name.
    pub id: String,
    /// What it says.
    pub policy: OwnerPolicy,
    /// When it was made, milliseconds since 1970.
    pub created_at: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = switches)]
pub(super) struct SwitchRow {
    seq: i64,
    id: String,
    eid: String,
    campaign_id: Option<String>,
    label: Option<String>,
    plan: String,
    state: String,
    outcome: Option<String>,
    facts: String,
    deadline: Option<i64>,
    created_at: i64,
    started_at: Option<i64>,
    ended_at: Option<i64>,
}

impl SwitchRow {
    pub(super) fn switch(self) -> Result<(Eid, Switch), StoreError> {
        let corrupt = |column: &'static str| StoreError::Corrupt { column };
        let outcome = match self.outcome.as_deref() {
            None => None,
            Some(word) => Some(Outcome::from_word(word).ok_or_else(|| corrupt("switches.outcome"))?),
        };
        let campaign = match self.campaign_id.as_deref() {
            None => None,
            Some(id) => Some(id.parse().map_err(|_| corrupt("switches.campaign_id"))?),
        };
        let switch = Switch {
            seq: self.seq,
            id: self.id.parse().map_err(|_| corrupt("switches.id"))?,
            campaign,
            label: self.label,
            plan: serde_json::from_str(&self.plan).map_err(|_| corrupt("switches.plan"))?,
            state: SwitchState::from_word(&self.state).ok_or_else(|| corrupt("switches.state"))?,
            outcome,
            facts: serde_json::from_str(&self.facts).map_err(|_| corrupt("switches.facts"))?,
            deadline: self.deadline,
            created_at: self.created_at,
            started_at: self.started_at,
            ended_at: self.ended_at,
        };
        Ok((self.eid.parse().map_err(|_| corrupt("switches.eid"))?, switch))
    }
}

#[derive(Insertable)]
#[diesel(table_name = switches, treat_none_as_default_value = false)]
pub(super) struct NewSwitchRow {
    id: String,
    tenant_id: i64,
    eid: String,
    campaign_id: Option<String>,
    label: Option<String>,
    plan: String,
    state: &'static str,
    outcome: Option<&'static str>,
    facts: String,
    deadline: Option<i64>,
    created_at: i64,
    started_at: Option<i64>,
    ended_at: Option<i64>,
}

impl NewSwitchRow {
    pub(super) fn new(switch: &Switch, eid: &Eid, tenant: TenantId) -> Self {
        Self {
            id: switch.id.to_string(),
            tenant_id: tenant.value(),
            eid: eid.to_string(),
            campaign_id: switch.campaign.map(|id| id.to_string()),
            label: switch.label.clone(),
            plan: text_of(&switch.plan),
            state: switch.state.as_str(),
            outcome: switch.outcome.map(Outcome::as_str),
            facts: text_of(&switch.facts),
            deadline: switch.deadline,
            created_at: switch.created_at,
            started_at: switch.started_at,
            ended_at: switch.ended_at,
        }
    }
}

impl Store {
    /// What an idempotency key stands for already; `None` for a new one.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn earlier_request(&self, key: IdempotencyKey) -> Result<Option<SavedOnce>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("earlier_request"), |conn| earlier_request(conn, &key, tenant))
    }

    /// Writes a decision that somebody asked for, once for an idempotency key. See [`Store::save_decision`].
    ///
    /// # Errors
    /// When the transaction fails; then nothing was written.
    pub async fn save_once(
        &self,
        eid: Eid,
        version: i64,
        changes: Arc<Changes>,
        (key, resource): (Option<IdempotencyKey>, String),
        now: i64,
    ) -> Result<SavedOnce, StoreError> {
        let tenant = self.tenant;
        let saved = on!(self.write("save_once"), |conn| save_once(
            conn,
            &eid,
            version,
            &changes,
            key.as_ref(),
            &resource,
            tenant,
            now
        ));
        self.disturb(&eid);
        saved
    }

    /// A switch by name.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn switch(&self, id: OperationId) -> Result<Option<StoredSwitch>, StoreError> {
        let tenant = self.tenant;
        let id = id.to_string();
        let found = on!(self.read("switch"), |conn| switch_by_id(conn, &id, tenant))?;
        Ok(found.map(|(eid, switch)| StoredSwitch { eid, switch }))
    }

    /// Switches, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn switches(&self, filter: SwitchFilter) -> Result<Vec<StoredSwitch>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("switches"), |conn| switch_page(conn, &filter, tenant))
    }

    /// Switches of all tenants whose deadline has come.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn due_switches(&self, now: i64, limit: i64) -> Result<Vec<DueSwitch>, StoreError> {
        on!(self.read("due_switches"), |conn| due_switches(conn, now, limit))
    }

    /// The owners' policies that count for a decision.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn owner_policies(&self) -> Result<Vec<OwnerPolicy>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("owner_policies"), |conn| owner_policies(conn, tenant))
    }

    /// The owners' policies, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn list_policies(&self, after: i64, limit: i64) -> Result<Vec<StoredPolicy>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("list_policies"), |conn| policy_page(conn, after, limit, tenant))
    }

    /// A policy by name.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn policy(&self, id: &str) -> Result<Option<StoredPolicy>, StoreError> {
        let (tenant, id) = (self.tenant, id.to_owned());
        on!(self.read("policy"), |conn| policy_named(conn, &id, tenant))
    }

    /// Adds a policy, once for an idempotency key; `Conflict` when there are too many.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_policy(
        &self,
        id: String,
        policy: OwnerPolicy,
        key: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<SavedOnce, StoreError> {
        let tenant = self.tenant;
        on!(self.write("insert_policy"), |conn| insert_policy(conn, &id, &policy, key.as_ref(), tenant, now))
    }

    /// Takes a policy away; `false` when there is none of this name.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn delete_policy(&self, id: String, now: i64) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        on!(self.write("delete_policy"), |conn| delete_policy(conn, &id, tenant, now))
    }
}
