//! Campaigns and the devices in them: rows, counts and transactions.

use super::rows::text_of;
use super::schema::campaigns;
use super::switch::SavedOnce;
use super::{Backend, IdempotencyKey, Store, StoreError, on, postgres, sqlite};
use crate::domain::fleet::Outcome;
use crate::domain::fleet::campaign::{Counts, Retry};
use crate::domain::{Euicc, Event, OperationError};
use crate::ids::{Eid, OperationId, TenantId};
use diesel::prelude::*;
use serde_json::Value;

/// A campaign as it is stored; what it says is read by the domain.
#[derive(Debug, Clone)]
pub struct StoredCampaign {
    /// Its position.
    pub seq: i64,
    /// Its name for reference.
    pub id: OperationId,
    /// The name given to it.
    pub name: String,
    /// Which of two campaigns goes first with a device: the higher.
    pub priority: i64,
    /// Where it stands.
    pub state: String,
    /// Grows with every change; a step decided on an older one is decided again.
    pub version: i64,
    /// What was asked for.
    pub spec: Value,
    /// What it has come to.
    pub facts: Value,
    /// When it is looked at next; `None` while nothing is to be done.
    pub look_at: Option<i64>,
    /// Activation code and confirmation code of its plan, sealed for its name.
    pub secret: Option<Vec<u8>>,
    /// When it was made, milliseconds since 1970.
    pub created_at: i64,
}

/// A device that joins a campaign.
#[derive(Debug, Clone, Copy)]
pub struct NewDevice {
    /// Its eUICC.
    pub eid: Eid,
    /// The order within its wave.
    pub position: i64,
    /// Its wave, from 0.
    pub wave: i64,
}

/// A device's part in a campaign.
#[derive(Debug, Clone)]
pub struct CampaignDevice {
    /// Its eUICC.
    pub eid: Eid,
    /// Its wave, from 0.
    pub wave: i64,
    /// `pending`, `running` or `ended`.
    pub state: String,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why.
    pub reason: Option<OperationError>,
    /// How often it was begun.
    pub attempts: i64,
    /// Not begun before, milliseconds since 1970.
    pub not_before: i64,
    /// The last switch made for it.
    pub switch: Option<String>,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// What became of moving it back: `pending`, `running`, or an outcome.
    pub revert: Option<String>,
    /// Why that ended so.
    pub revert_reason: Option<OperationError>,
}

/// Which devices of a campaign to list.
#[derive(Debug, Clone)]
pub struct DeviceFilter {
    /// The campaign.
    pub campaign: OperationId,
    /// Only those of this wave.
    pub wave: Option<i64>,
    /// Only those in this state.
    pub state: Option<String>,
    /// Only those that ended so.
    pub outcome: Option<Outcome>,
    /// Only those after this EID.
    pub after: String,
    /// At most so many.
    pub limit: i64,
}

/// What a step of a campaign changes.
#[derive(Debug, Clone, Default)]
pub struct CampaignChange {
    /// The state after it.
    pub state: String,
    /// The facts after it.
    pub facts: Value,
    /// When it is looked at next.
    pub look_at: Option<i64>,
    /// Ended devices that are tried again.
    pub retry: Vec<Retry>,
    /// How devices end that were not begun; those that wait for another attempt end like the one before.
    pub end_pending: Option<Outcome>,
    /// Whether devices that wait to be moved back stay where they are.
    pub end_reverts: bool,
    /// Whether every device that was moved, and has no revert yet, gets one.
    pub revert: bool,
    /// Whether devices that ended badly wait again as if for the first time.
    pub retry_failed: bool,
    /// What happened.
    pub events: Vec<Event>,
    /// The key of the request that asks for it; taken with the change.
    pub key: Option<IdempotencyKey>,
}

/// A campaign to be looked at.
#[derive(Debug, Clone, Copy)]
pub struct DueCampaign {
    /// Whose it is.
    pub tenant: TenantId,
    /// The campaign.
    pub id: OperationId,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = campaigns)]
pub(super) struct CampaignRow {
    seq: i64,
    id: String,
    name: String,
    priority: i64,
    state: String,
    version: i64,
    spec: String,
    facts: String,
    look_at: Option<i64>,
    secret: Option<Vec<u8>>,
    created_at: i64,
}

impl CampaignRow {
    pub(super) fn campaign(self) -> Result<StoredCampaign, StoreError> {
        let corrupt = |column: &'static str| StoreError::Corrupt { column };
        Ok(StoredCampaign {
            seq: self.seq,
            id: self.id.parse().map_err(|_| corrupt("campaigns.id"))?,
            name: self.name,
            priority: self.priority,
            state: self.state,
            version: self.version,
            spec: serde_json::from_str(&self.spec).map_err(|_| corrupt("campaigns.spec"))?,
            facts: serde_json::from_str(&self.facts).map_err(|_| corrupt("campaigns.facts"))?,
            look_at: self.look_at,
            secret: self.secret,
            created_at: self.created_at,
        })
    }
}

#[derive(Insertable)]
#[diesel(table_name = campaigns, treat_none_as_default_value = false)]
pub(super) struct NewCampaignRow {
    id: String,
    tenant_id: i64,
    name: String,
    priority: i64,
    state: String,
    version: i64,
    spec: String,
    facts: String,
    look_at: Option<i64>,
    secret: Option<Vec<u8>>,
    created_at: i64,
}

impl NewCampaignRow {
    pub(super) fn new(campaign: &StoredCampaign, tenant: TenantId) -> Self {
        Self {
            id: campaign.id.to_string(),
            tenant_id: tenant.value(),
            name: campaign.name.clone(),
            priority: campaign.priority,
            state: campaign.state.clone(),
            version: campaign.version,
            spec: text_of(&campaign.spec),
            facts: text_of(&campaign.facts),
            look_at: campaign.look_at,
            secret: campaign.secret.clone(),
            created_at: campaign.created_at,
        }
    }
}

impl Store {
    /// eUICCs in the order in which they were registered, with their positions; only those with this tag, where one is
    /// given.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn scan_euiccs(
        &self,
        tag: Option<String>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, Euicc)>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("scan_euiccs"), |conn| scan_euiccs(conn, tag.as_deref(), after, limit, tenant))
    }

    /// Makes a campaign with its devices: all of it, or nothing.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_campaign(
        &self,
        new: StoredCampaign,
        devices: Vec<NewDevice>,
        event: Event,
        key: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<SavedOnce, StoreError> {
        let tenant = self.tenant;
        on!(self.write("insert_campaign"), |conn| insert_campaign(
            conn,
            &new,
            &devices,
            &event,
            key.as_ref(),
            tenant,
            now
        ))
    }

    /// Adds devices to a campaign; those that are in it already stay as they are. Gives how many were added.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn join_campaign(
        &self,
        id: OperationId,
        priority: i64,
        devices: Vec<NewDevice>,
    ) -> Result<usize, StoreError> {
        let tenant = self.tenant;
        on!(self.write("join_campaign"), |conn| join_campaign(conn, id, priority, &devices, tenant))
    }

    /// A campaign by name.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn campaign(&self, id: OperationId) -> Result<Option<StoredCampaign>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("campaign"), |conn| campaign(conn, id, tenant))
    }

    /// Campaigns, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn campaigns(
        &self,
        state: Option<String>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<StoredCampaign>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("campaigns"), |conn| campaign_page(conn, state.as_deref(), after, limit, tenant))
    }

    /// How many devices of a campaign are where.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn campaign_counts(&self, id: OperationId, now: i64) -> Result<Counts, StoreError> {
        on!(self.read("campaign_counts"), |conn| campaign_counts(conn, id, now))
    }

    /// Devices of a campaign by EID.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn campaign_devices(&self, filter: DeviceFilter) -> Result<Vec<CampaignDevice>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("campaign_devices"), |conn| campaign_device_page(conn, &filter, tenant))
    }

    /// Campaigns of all tenants that are to be looked at.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn due_campaigns(&self, now: i64, limit: i64) -> Result<Vec<DueCampaign>, StoreError> {
        on!(self.read("due_campaigns"), |conn| due_campaigns(conn, now, limit))
    }

    /// Writes a step of a campaign made on this version, once for its idempotency key; `Conflict` when somebody else was faster,
    /// and nothing was written.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn save_campaign(
        &self,
        id: OperationId,
        version: i64,
        change: CampaignChange,
        now: i64,
    ) -> Result<SavedOnce, StoreError> {
        let tenant = self.tenant;
        on!(self.write("save_campaign"), |conn| save_campaign(conn, id, version, &change, tenant, now))
    }

    /// Devices of a wave that may begin, at most so many.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn next_devices(&self, id: OperationId, wave: i64, now: i64, limit: i64) -> Result<Vec<Eid>, StoreError> {
        on!(self.read("next_devices"), |conn| next_devices(conn, id, wave, now, limit))
    }

    /// Devices that wait to be moved back, with the switch that moved them.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn next_reverts(&self, id: OperationId, limit: i64) -> Result<Vec<(Eid, Option<String>)>, StoreError> {
        on!(self.read("next_reverts"), |conn| next_reverts(conn, id, limit))
    }

    /// Ends the revert of a device that can't be begun.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn end_revert(
        &self,
        id: OperationId,
        eid: Eid,
        outcome: Outcome,
        reason: OperationError,
        now: i64,
    ) -> Result<(), StoreError> {
        let tenant = self.tenant;
        on!(self.write("end_revert"), |conn| end_revert(conn, id, &eid, (outcome, &reason), tenant, now))
    }

    /// Devices of a campaign that are under way.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn running_devices(&self, id: OperationId, after: &str, limit: i64) -> Result<Vec<Eid>, StoreError> {
        let after = after.to_owned();
        on!(self.read("running_devices"), |conn| running_devices(conn, id, &after, limit))
    }

    /// Whether a running campaign of higher priority waits for this device, too.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn is_wanted_elsewhere(&self, eid: Eid, id: OperationId, priority: i64) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        on!(self.read("is_wanted_elsewhere"), |conn| is_wanted_elsewhere(conn, &eid, id, priority, tenant))
    }

    /// Lets a device that was not begun wait.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn postpone_device(&self, id: OperationId, eid: Eid, not_before: i64) -> Result<(), StoreError> {
        on!(self.write("postpone_device"), |conn| postpone_device(conn, id, &eid, not_before))
    }

    /// Ends the part of a device that was not begun.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn end_device(
        &self,
        id: OperationId,
        eid: Eid,
        outcome: Outcome,
        reason: OperationError,
        now: i64,
    ) -> Result<(), StoreError> {
        let tenant = self.tenant;
        on!(self.write("end_device"), |conn| end_device(conn, id, &eid, (outcome, &reason), tenant, now))
    }

    /// How many downloads of a campaign are under way.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn downloads_under_way(&self, id: OperationId) -> Result<i64, StoreError> {
        let tenant = self.tenant;
        on!(self.read("downloads_under_way"), |conn| downloads_under_way(conn, id, tenant))
    }
}
