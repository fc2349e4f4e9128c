//! Switches and owner policies.

use super::Connection;
use super::authority::rights;
use super::decision::{claim_once, free_once, save_decision};
use super::desired::mark_refused;
use super::pool::settle_code;
use crate::domain::Changes;
use crate::domain::fleet::{OwnerPolicy, Switch};
use crate::ids::{Eid, TenantId};
use crate::store::kept;
use crate::store::schema::{campaign_devices, euiccs, idempotency, owner_policies as policies, switches};
use crate::store::switch::{DueSwitch, NewSwitchRow, SavedOnce, StoredPolicy, StoredSwitch, SwitchFilter, SwitchRow};
use crate::store::{IdempotencyKey, Saved, StoreError, rows::text_of};
use diesel::prelude::*;

/// How many policies one tenant may have.
pub(in crate::store) const POLICIES_MAX: i64 = 1_000;

/// Writes a switch, and whether its eUICC has one open. Called within the decision about the eUICC.
pub(super) fn put_switch(
    conn: &mut Connection,
    eid: &Eid,
    switch: &Switch,
    tenant: TenantId,
) -> Result<(), StoreError> {
    if switch.seq == 0 {
        diesel::insert_into(switches::table).values(NewSwitchRow::new(switch, eid, tenant)).execute(conn)?;
    } else {
        kept::update(switches::table.filter(switches::seq.eq(switch.seq)))
            .set((
                switches::state.eq(switch.state.as_str()),
                switches::outcome.eq(switch.outcome.map(|outcome| outcome.as_str())),
                switches::facts.eq(text_of(&switch.facts)),
                switches::deadline.eq(switch.deadline),
                switches::started_at.eq(switch.started_at),
                switches::ended_at.eq(switch.ended_at),
            ))
            .execute(conn)?;
    }
    if !switch.is_open() {
        settle_code(conn, switch, tenant, switch.ended_at.unwrap_or_default())?;
    }
    let open = switch.is_open().then(|| switch.id.to_string());
    kept::update(euiccs::table.filter(euiccs::tenant_id.eq(tenant.value()).and(euiccs::eid.eq(eid.to_string()))))
        .set(euiccs::open_switch.eq(open))
        .execute(conn)?;
    if let (Some(campaign), Some(outcome), true) = (switch.campaign, switch.outcome, switch.facts.reverts) {
        let part = campaign_devices::table
            .filter(campaign_devices::campaign_id.eq(campaign.to_string()))
            .filter(campaign_devices::eid.eq(eid.to_string()))
            .filter(campaign_devices::revert_switch_id.eq(switch.id.to_string()));
        let reason = switch.facts.reason.as_ref().map(text_of);
        kept::update(part)
            .set((campaign_devices::revert.eq(outcome.as_str()), campaign_devices::revert_reason.eq(reason)))
            .execute(conn)?;
    } else if let (Some(campaign), Some(outcome)) = (switch.campaign, switch.outcome) {
        let part = campaign_devices::table
            .filter(campaign_devices::campaign_id.eq(campaign.to_string()))
            .filter(campaign_devices::eid.eq(eid.to_string()))
            .filter(campaign_devices::switch_id.eq(switch.id.to_string()));
        kept::update(part)
            .set((
                campaign_devices::state.eq("ended"),
                campaign_devices::outcome.eq(outcome.as_str()),
                campaign_devices::reason.eq(switch.facts.reason.as_ref().map(|reason| reason.name.clone())),
                campaign_devices::reason_detail.eq(switch.facts.reason.as_ref().map(text_of)),
                campaign_devices::ended_at.eq(switch.ended_at),
            ))
            .execute(conn)?;
    }
    Ok(())
}

pub(in crate::store) fn switch_by_id(
    conn: &mut Connection,
    id: &str,
    tenant: TenantId,
) -> Result<Option<(Eid, Switch)>, StoreError> {
    switches::table
        .filter(switches::tenant_id.eq(tenant.value()).and(switches::id.eq(id)))
        .select(SwitchRow::as_select())
        .first(conn)
        .optional()?
        .map(SwitchRow::switch)
        .transpose()
}

pub(in crate::store) fn switch_page(
    conn: &mut Connection,
    filter: &SwitchFilter,
    tenant: TenantId,
) -> Result<Vec<StoredSwitch>, StoreError> {
    let mut query = switches::table
        .filter(switches::tenant_id.eq(tenant.value()))
        .limit(filter.limit)
        .select(SwitchRow::as_select())
        .into_boxed();
    query = match filter.newest {
        true => query.filter(switches::seq.lt(filter.after)).order(switches::seq.desc()),
        false => query.filter(switches::seq.gt(filter.after)).order(switches::seq),
    };
    if let Some(eid) = &filter.eid {
        query = query.filter(switches::eid.eq(eid.to_string()));
    }
    if let Some(state) = filter.state {
        query = query.filter(switches::state.eq(state.as_str()));
    }
    if let Some(outcome) = filter.outcome {
        query = query.filter(switches::outcome.eq(outcome.as_str()));
    }
    if let Some(campaign) = filter.campaign {
        query = query.filter(switches::campaign_id.eq(campaign.to_string()));
    }
    let rows: Vec<SwitchRow> = query.load(conn)?;
    rows.into_iter().map(|row| row.switch().map(|(eid, switch)| StoredSwitch { eid, switch })).collect()
}

pub(in crate::store) fn due_switches(
    conn: &mut Connection,
    now: i64,
    limit: i64,
) -> Result<Vec<DueSwitch>, StoreError> {
    let rows: Vec<(i64, String)> = switches::table
        .filter(switches::deadline.le(now))
        .order(switches::deadline)
        .limit(limit)
        .select((switches::tenant_id, switches::eid))
        .load(conn)?;
    rows.into_iter()
        .map(|(tenant, eid)| {
            let eid = eid.parse().map_err(|_| StoreError::Corrupt { column: "switches.eid" })?;
            Ok(DueSwitch { tenant: TenantId::from_value(tenant), eid })
        })
        .collect()
}

pub(in crate::store) fn owner_policies(
    conn: &mut Connection,
    tenant: TenantId,
) -> Result<Vec<OwnerPolicy>, StoreError> {
    let mut policies: Vec<OwnerPolicy> =
        policy_page(conn, 0, POLICIES_MAX, tenant)?.into_iter().map(|stored| stored.policy).collect();
    // A profile's owner decides wherever the profile is, whatever was granted; but only on profiles that are confirmed as theirs.
    let mut owners = rights(conn, tenant)?.owners;
    owners.retain(|owner| owner.tenant != tenant);
    let mut tenants: Vec<TenantId> = owners.iter().map(|owner| owner.tenant).collect();
    tenants.sort_unstable();
    tenants.dedup();
    for other in tenants {
        let claimed = |policy: &OwnerPolicy| {
            let mut claims = owners.iter().filter(|owner| owner.tenant == other).map(|owner| &owner.claims);
            let wanted = policy.service_provider.to_lowercase();
            claims.any(|claims| claims.service_providers.iter().any(|provider| provider.to_lowercase() == wanted))
        };
        let theirs = policy_page(conn, 0, POLICIES_MAX, other)?.into_iter().map(|stored| stored.policy);
        policies.extend(theirs.filter(claimed).map(|policy| OwnerPolicy { foreign: true, ..policy }));
    }
    Ok(policies)
}

pub(in crate::store) fn policy_page(
    conn: &mut Connection,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<StoredPolicy>, StoreError> {
    let rows: Vec<(i64, String, String, i64)> = policies::table
        .filter(policies::tenant_id.eq(tenant.value()).and(policies::seq.gt(after)))
        .order(policies::seq)
        .limit(limit)
        .select((policies::seq, policies::id, policies::policy, policies::created_at))
        .load(conn)?;
    rows.into_iter().map(stored_policy).collect()
}

fn stored_policy((seq, id, policy, created_at): (i64, String, String, i64)) -> Result<StoredPolicy, StoreError> {
    let policy = serde_json::from_str(&policy).map_err(|_| StoreError::Corrupt { column: "owner_policies.policy" })?;
    Ok(StoredPolicy { seq, id, policy, created_at })
}

pub(in crate::store) fn policy_named(
    conn: &mut Connection,
    id: &str,
    tenant: TenantId,
) -> Result<Option<StoredPolicy>, StoreError> {
    let row: Option<(i64, String, String, i64)> = policies::table
        .filter(policies::tenant_id.eq(tenant.value()).and(policies::id.eq(id)))
        .select((policies::seq, policies::id, policies::policy, policies::created_at))
        .first(conn)
        .optional()?;
    row.map(stored_policy).transpose()
}

/// `Conflict` when there are too many.
pub(in crate::store) fn insert_policy(
    conn: &mut Connection,
    id: &str,
    policy: &OwnerPolicy,
    key: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<SavedOnce, StoreError> {
    if let Some(earlier) = claim_once(conn, key, id, tenant, now)? {
        return Ok(earlier);
    }
    let known: i64 = policies::table.filter(policies::tenant_id.eq(tenant.value())).count().get_result(conn)?;
    if known >= POLICIES_MAX {
        free_once(conn, key, tenant)?;
        return Ok(SavedOnce::Conflict);
    }
    diesel::insert_into(policies::table)
        .values((
            policies::id.eq(id),
            policies::tenant_id.eq(tenant.value()),
            policies::policy.eq(text_of(policy)),
            policies::created_at.eq(now),
        ))
        .execute(conn)?;
    Ok(SavedOnce::Done)
}

pub(in crate::store) fn delete_policy(
    conn: &mut Connection,
    id: &str,
    tenant: TenantId,
    now: i64,
) -> Result<bool, StoreError> {
    let mine = policies::table.filter(policies::tenant_id.eq(tenant.value()).and(policies::id.eq(id)));
    if diesel::delete(mine).execute(conn)? == 0 {
        return Ok(false);
    }
    mark_refused(conn, now)?;
    Ok(true)
}

/// What an idempotency key stands for already.
pub(in crate::store) fn earlier_request(
    conn: &mut Connection,
    key: &IdempotencyKey,
    tenant: TenantId,
) -> Result<Option<SavedOnce>, StoreError> {
    let found: Option<(Vec<u8>, String)> = idempotency::table
        .filter(idempotency::tenant_id.eq(tenant.value()).and(idempotency::key.eq(&key.key)))
        .select((idempotency::fingerprint, idempotency::resource))
        .first(conn)
        .optional()?;
    Ok(found.map(
        |(fingerprint, resource)| {
            if fingerprint == key.fingerprint { SavedOnce::Before { resource } } else { SavedOnce::KeyTaken }
        },
    ))
}

/// Writes a decision that somebody asked for under an idempotency key.
#[allow(clippy::too_many_arguments, reason = "a decision and the name of what it makes")]
pub(in crate::store) fn save_once(
    conn: &mut Connection,
    eid: &Eid,
    version: i64,
    changes: &Changes,
    key: Option<&IdempotencyKey>,
    resource: &str,
    tenant: TenantId,
    now: i64,
) -> Result<SavedOnce, StoreError> {
    if let Some(earlier) = claim_once(conn, key, resource, tenant, now)? {
        return Ok(earlier);
    }
    if save_decision(conn, eid, version, changes, tenant, now)? == Saved::Done {
        return Ok(SavedOnce::Done);
    }
    free_once(conn, key, tenant)?;
    Ok(SavedOnce::Conflict)
}
