//! Keys, owners of profiles, grants, decisions and totals.

use super::Connection;
use super::api_key::{KeyRow, insert_api_key};
use super::audit::insert_audit;
use super::decision::{claim_key, claim_once, free_key, free_once};
use super::desired::mark_refused;
use crate::domain::audit::AuditNote;
use crate::domain::authority::{Action, Grant, Owner, Rights};
use crate::domain::{NotificationState, rfc3339};
use crate::ids::TenantId;
use crate::store::authority::{Made, NewSecret, StoredDecision, StoredGrant, StoredOwner, Summary};
use crate::store::kept;
use crate::store::rows::text_of;
use crate::store::schema::{api_keys, decisions, euiccs, grants, notifications, operations, profile_owners as owners};
use crate::store::switch::SavedOnce;
use crate::store::{Enqueued, IdempotencyKey, StoreError, StoredApiKey};
use diesel::prelude::*;
use serde_json::json;

/// How many keys, owners and grants one tenant may have, each; and how many owners the server.
const EACH_MAX: i64 = 1_000;

fn claimed(
    conn: &mut Connection,
    once: Option<&IdempotencyKey>,
    resource: &str,
    tenant: TenantId,
    now: i64,
) -> Result<Option<Enqueued>, StoreError> {
    once.map_or(Ok(None), |key| claim_key(conn, key, resource, tenant, now))
}

fn freed(conn: &mut Connection, once: Option<&IdempotencyKey>, tenant: TenantId) -> Result<(), StoreError> {
    once.map_or(Ok(()), |key| free_key(conn, key, tenant))
}

pub(in crate::store) fn key_page(
    conn: &mut Connection,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<StoredApiKey>, StoreError> {
    let rows: Vec<KeyRow> = api_keys::table
        .filter(api_keys::tenant_id.eq(tenant.value()).and(api_keys::seq.gt(after)))
        .order(api_keys::seq)
        .limit(limit)
        .select(KeyRow::as_select())
        .load(conn)?;
    rows.into_iter().map(KeyRow::key).collect()
}

pub(in crate::store) fn key_named(
    conn: &mut Connection,
    id: &str,
    tenant: TenantId,
) -> Result<Option<StoredApiKey>, StoreError> {
    let row: Option<KeyRow> = api_keys::table
        .filter(api_keys::tenant_id.eq(tenant.value()).and(api_keys::id.eq(id)))
        .select(KeyRow::as_select())
        .first(conn)
        .optional()?;
    row.map(KeyRow::key).transpose()
}

pub(in crate::store) fn make_key(
    conn: &mut Connection,
    key: &StoredApiKey,
    digest: &[u8],
    once: Option<&IdempotencyKey>,
    now: i64,
) -> Result<Made, StoreError> {
    if let Some(earlier) = claimed(conn, once, &key.id, key.tenant, now)? {
        return Ok(Made::Of(earlier));
    }
    // Those that ended long ago count, too: they are what the record of decisions refers to.
    let known: i64 = api_keys::table.filter(api_keys::tenant_id.eq(key.tenant.value())).count().get_result(conn)?;
    if known >= EACH_MAX {
        freed(conn, once, key.tenant)?;
        return Ok(Made::TooMany);
    }
    insert_api_key(conn, key, digest, "api")?;
    Ok(Made::Of(Enqueued::Done))
}

pub(in crate::store) fn rotate_key(
    conn: &mut Connection,
    secret: &NewSecret,
    once: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<Enqueued, StoreError> {
    if let Some(earlier) = claimed(conn, once, &secret.id, tenant, now)? {
        return Ok(earlier);
    }
    let valid = || {
        api_keys::table
            .filter(api_keys::tenant_id.eq(tenant.value()).and(api_keys::id.eq(&secret.id)))
            .filter(api_keys::revoked_at.is_null())
            .filter(api_keys::expires_at.is_null().or(api_keys::expires_at.gt(now)))
    };
    let before: Option<Vec<u8>> = valid().select(api_keys::key_digest).first(conn).optional()?;
    let Some(before) = before else {
        freed(conn, once, tenant)?;
        return Ok(Enqueued::Exists);
    };
    kept::update(valid())
        .set((
            api_keys::key_digest.eq(&secret.digest),
            api_keys::previous_digest.eq(before),
            api_keys::previous_until.eq(secret.previous_until),
        ))
        .execute(conn)?;
    let details = json!({ "key": secret.id, "previousUntil": rfc3339(secret.previous_until) });
    insert_audit(conn, &AuditNote::new("apiKeyRotated", details), tenant, now)?;
    Ok(Enqueued::Done)
}

/// `Conflict` when there is none of this name.
pub(in crate::store) fn revoke_key(
    conn: &mut Connection,
    id: &str,
    once: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<SavedOnce, StoreError> {
    if let Some(earlier) = claim_once(conn, once, id, tenant, now)? {
        return Ok(earlier);
    }
    let mine = || api_keys::table.filter(api_keys::tenant_id.eq(tenant.value()).and(api_keys::id.eq(id)));
    let open = mine().filter(api_keys::revoked_at.is_null());
    if kept::update(open).set(api_keys::revoked_at.eq(now)).execute(conn)? > 0 {
        insert_audit(conn, &AuditNote::new("apiKeyRevoked", json!({ "key": id })), tenant, now)?;
    }
    let known: i64 = mine().count().get_result(conn)?;
    done_if_known(conn, known, once, tenant)
}

pub(in crate::store) fn touch_key(conn: &mut Connection, id: &str, now: i64, not_since: i64) -> Result<(), StoreError> {
    let old = api_keys::last_used_at.is_null().or(api_keys::last_used_at.le(not_since));
    kept::update(api_keys::table.filter(api_keys::id.eq(id)).filter(old))
        .set(api_keys::last_used_at.eq(now))
        .execute(conn)?;
    Ok(())
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = owners)]
pub(in crate::store) struct OwnerRow {
    seq: i64,
    id: String,
    tenant_id: i64,
    name: String,
    claims: String,
    confirmed_at: Option<i64>,
    created_at: i64,
}

impl OwnerRow {
    fn owner(self) -> Result<StoredOwner, StoreError> {
        Ok(StoredOwner {
            seq: self.seq,
            id: self.id,
            tenant: TenantId::from_value(self.tenant_id),
            name: self.name,
            claims: serde_json::from_str(&self.claims)
                .map_err(|_| StoreError::Corrupt { column: "profile_owners.claims" })?,
            confirmed_at: self.confirmed_at,
            created_at: self.created_at,
        })
    }
}

pub(in crate::store) fn owner_page(
    conn: &mut Connection,
    after: i64,
    limit: i64,
    tenant: Option<TenantId>,
) -> Result<Vec<StoredOwner>, StoreError> {
    let mut query = owners::table
        .filter(owners::seq.gt(after))
        .order(owners::seq)
        .limit(limit)
        .select(OwnerRow::as_select())
        .into_boxed();
    if let Some(tenant) = tenant {
        query = query.filter(owners::tenant_id.eq(tenant.value()));
    }
    let rows: Vec<OwnerRow> = query.load(conn)?;
    rows.into_iter().map(OwnerRow::owner).collect()
}

pub(in crate::store) fn insert_owner(
    conn: &mut Connection,
    owner: &StoredOwner,
    once: Option<&IdempotencyKey>,
    now: i64,
) -> Result<Made, StoreError> {
    if let Some(earlier) = claimed(conn, once, &owner.id, owner.tenant, now)? {
        return Ok(Made::Of(earlier));
    }
    let known = owner_page(conn, 0, EACH_MAX, None)?;
    // One tenant alone can't use up the room of all.
    let own = known.iter().filter(|other| other.tenant == owner.tenant).count();
    if known.len() as i64 >= EACH_MAX || own as i64 >= EACH_MAX / 10 {
        freed(conn, once, owner.tenant)?;
        return Ok(Made::TooMany);
    }
    diesel::insert_into(owners::table)
        .values((
            owners::id.eq(&owner.id),
            owners::tenant_id.eq(owner.tenant.value()),
            owners::name.eq(&owner.name),
            owners::claims.eq(text_of(&owner.claims)),
            owners::confirmed_at.eq(owner.confirmed_at),
            owners::created_at.eq(now),
        ))
        .execute(conn)?;
    Ok(Made::Of(Enqueued::Done))
}

/// `Conflict` when there is none of this name.
pub(in crate::store) fn confirm_owner(
    conn: &mut Connection,
    id: &str,
    once: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<SavedOnce, StoreError> {
    if let Some(earlier) = claim_once(conn, once, id, tenant, now)? {
        return Ok(earlier);
    }
    let open = owners::table.filter(owners::id.eq(id).and(owners::confirmed_at.is_null()));
    kept::update(open).set(owners::confirmed_at.eq(now)).execute(conn)?;
    let known: i64 = owners::table.filter(owners::id.eq(id)).count().get_result(conn)?;
    done_if_known(conn, known, once, tenant)
}

/// What an owner claims counts no more. Of this tenant alone, where one is named; `Conflict` when there is none of this name.
pub(in crate::store) fn withdraw_owner(
    conn: &mut Connection,
    id: &str,
    of: Option<TenantId>,
    once: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<SavedOnce, StoreError> {
    if let Some(earlier) = claim_once(conn, once, id, tenant, now)? {
        return Ok(earlier);
    }
    let mut meant = owners::table.filter(owners::id.eq(id)).into_boxed();
    if let Some(of) = of {
        meant = meant.filter(owners::tenant_id.eq(of.value()));
    }
    let known: i64 = meant.count().get_result(conn)?;
    if known > 0 {
        kept::update(owners::table.filter(owners::id.eq(id)))
            .set(owners::confirmed_at.eq(None::<i64>))
            .execute(conn)?;
    }
    done_if_known(conn, known, once, tenant)
}

fn done_if_known(
    conn: &mut Connection,
    known: i64,
    once: Option<&IdempotencyKey>,
    tenant: TenantId,
) -> Result<SavedOnce, StoreError> {
    if known == 0 {
        free_once(conn, once, tenant)?;
        return Ok(SavedOnce::Conflict);
    }
    Ok(SavedOnce::Done)
}

/// An owner of any tenant.
pub(in crate::store) fn owner_named(conn: &mut Connection, id: &str) -> Result<Option<StoredOwner>, StoreError> {
    let row: Option<OwnerRow> =
        owners::table.filter(owners::id.eq(id)).select(OwnerRow::as_select()).first(conn).optional()?;
    row.map(OwnerRow::owner).transpose()
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = grants)]
pub(in crate::store) struct GrantRow {
    seq: i64,
    id: String,
    tenant_id: i64,
    grantee_id: i64,
    owner_id: String,
    profile_class: Option<String>,
    actions: String,
    created_at: i64,
    revoked_at: Option<i64>,
}

impl GrantRow {
    fn grant(self) -> Result<StoredGrant, StoreError> {
        let corrupt = |column: &'static str| StoreError::Corrupt { column };
        let class = self.profile_class.map(|class| class.parse().map_err(|_| corrupt("grants.profile_class")));
        let actions: Option<Vec<Action>> = self.actions.split(' ').map(Action::from_word).collect();
        Ok(StoredGrant {
            seq: self.seq,
            id: self.id,
            tenant: TenantId::from_value(self.tenant_id),
            grantee: TenantId::from_value(self.grantee_id),
            owner: self.owner_id,
            profile_class: class.transpose()?,
            actions: actions.ok_or_else(|| corrupt("grants.actions"))?,
            created_at: self.created_at,
            revoked_at: self.revoked_at,
        })
    }
}

pub(in crate::store) fn insert_grant(
    conn: &mut Connection,
    grant: &StoredGrant,
    once: Option<&IdempotencyKey>,
    now: i64,
) -> Result<Made, StoreError> {
    if let Some(earlier) = claimed(conn, once, &grant.id, grant.tenant, now)? {
        return Ok(Made::Of(earlier));
    }
    let owned: i64 = owners::table
        .filter(owners::tenant_id.eq(grant.tenant.value()).and(owners::id.eq(&grant.owner)))
        .count()
        .get_result(conn)?;
    if owned == 0 {
        freed(conn, once, grant.tenant)?;
        return Ok(Made::Of(Enqueued::UnknownEuicc));
    }
    let known: i64 = grants::table.filter(grants::tenant_id.eq(grant.tenant.value())).count().get_result(conn)?;
    if known >= EACH_MAX {
        freed(conn, once, grant.tenant)?;
        return Ok(Made::TooMany);
    }
    let actions: Vec<&str> = grant.actions.iter().map(|action| action.as_str()).collect();
    diesel::insert_into(grants::table)
        .values((
            grants::id.eq(&grant.id),
            grants::tenant_id.eq(grant.tenant.value()),
            grants::grantee_id.eq(grant.grantee.value()),
            grants::owner_id.eq(&grant.owner),
            grants::profile_class.eq(grant.profile_class.map(|class| class.to_string())),
            grants::actions.eq(actions.join(" ")),
            grants::created_at.eq(now),
        ))
        .execute(conn)?;
    mark_refused(conn, now)?;
    Ok(Made::Of(Enqueued::Done))
}

pub(in crate::store) fn grant_page(
    conn: &mut Connection,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<StoredGrant>, StoreError> {
    let rows: Vec<GrantRow> = grants::table
        .filter(grants::tenant_id.eq(tenant.value()).or(grants::grantee_id.eq(tenant.value())))
        .filter(grants::seq.gt(after))
        .order(grants::seq)
        .limit(limit)
        .select(GrantRow::as_select())
        .load(conn)?;
    rows.into_iter().map(GrantRow::grant).collect()
}

pub(in crate::store) fn grant_named(
    conn: &mut Connection,
    id: &str,
    tenant: TenantId,
) -> Result<Option<StoredGrant>, StoreError> {
    let row: Option<GrantRow> = grants::table
        .filter(grants::tenant_id.eq(tenant.value()).or(grants::grantee_id.eq(tenant.value())))
        .filter(grants::id.eq(id))
        .select(GrantRow::as_select())
        .first(conn)
        .optional()?;
    row.map(GrantRow::grant).transpose()
}

/// `Conflict` when there is none of this name.
pub(in crate::store) fn revoke_grant(
    conn: &mut Connection,
    id: &str,
    once: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<SavedOnce, StoreError> {
    if let Some(earlier) = claim_once(conn, once, id, tenant, now)? {
        return Ok(earlier);
    }
    let mine = || grants::table.filter(grants::tenant_id.eq(tenant.value()).and(grants::id.eq(id)));
    kept::update(mine().filter(grants::revoked_at.is_null())).set(grants::revoked_at.eq(now)).execute(conn)?;
    let known: i64 = mine().count().get_result(conn)?;
    done_if_known(conn, known, once, tenant)
}

pub(in crate::store) fn rights(conn: &mut Connection, tenant: TenantId) -> Result<Rights, StoreError> {
    let confirmed = owner_page(conn, 0, EACH_MAX, None)?.into_iter().filter(|owner| owner.confirmed_at.is_some());
    let owners: Vec<Owner> = confirmed
        .map(|owner| Owner { id: owner.id, tenant: owner.tenant, name: owner.name, claims: owner.claims })
        .collect();
    let rows: Vec<GrantRow> = grants::table
        .filter(grants::grantee_id.eq(tenant.value()).and(grants::revoked_at.is_null()))
        .order(grants::seq)
        .select(GrantRow::as_select())
        .load(conn)?;
    let mut granted = Vec::with_capacity(rows.len());
    for row in rows {
        let grant = row.grant()?;
        let StoredGrant { id, owner, profile_class, actions, .. } = grant;
        granted.push(Grant { id, owner, profile_class, actions });
    }
    Ok(Rights { tenant, owners, grants: granted })
}

pub(in crate::store) fn insert_decision(
    conn: &mut Connection,
    decision: &StoredDecision,
    note: &AuditNote,
    tenant: TenantId,
) -> Result<(), StoreError> {
    insert_audit(conn, note, tenant, decision.at)?;
    diesel::insert_into(decisions::table)
        .values((
            decisions::tenant_id.eq(tenant.value()),
            decisions::at.eq(decision.at),
            decisions::key_id.eq(&decision.key_id),
            decisions::key_name.eq(&decision.key_name),
            decisions::action.eq(&decision.action),
            decisions::subject.eq(&decision.subject),
            decisions::authority.eq(&decision.authority),
            decisions::outcome.eq(&decision.outcome),
            decisions::reason.eq(decision.reason.as_ref()),
        ))
        .execute(conn)?;
    Ok(())
}

type DecisionColumns = (i64, i64, String, String, String, String, String, String, Option<String>);

pub(in crate::store) fn decision_page(
    conn: &mut Connection,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<StoredDecision>, StoreError> {
    let rows: Vec<DecisionColumns> = decisions::table
        .filter(decisions::tenant_id.eq(tenant.value()).and(decisions::seq.gt(after)))
        .order(decisions::seq)
        .limit(limit)
        .select((
            decisions::seq,
            decisions::at,
            decisions::key_id,
            decisions::key_name,
            decisions::action,
            decisions::subject,
            decisions::authority,
            decisions::outcome,
            decisions::reason,
        ))
        .load(conn)?;
    let decision = |(seq, at, key_id, key_name, action, subject, authority, outcome, reason)| StoredDecision {
        seq,
        at,
        key_id,
        key_name,
        action,
        subject,
        authority,
        outcome,
        reason,
    };
    Ok(rows.into_iter().map(decision).collect())
}

pub(in crate::store) fn summary(conn: &mut Connection, tenant: TenantId) -> Result<Summary, StoreError> {
    let euiccs = euiccs::table
        .filter(euiccs::tenant_id.eq(tenant.value()))
        .group_by(euiccs::state)
        .select((euiccs::state, diesel::dsl::count_star()))
        .load(conn)?;
    let operations = operations::table
        .filter(operations::tenant_id.eq(tenant.value()))
        .group_by(operations::state)
        .select((operations::state, diesel::dsl::count_star()))
        .load(conn)?;
    let pending_notifications = notifications::table
        .filter(notifications::tenant_id.eq(tenant.value()))
        .filter(notifications::state.eq(NotificationState::Pending.as_str()))
        .count()
        .get_result(conn)?;
    Ok(Summary { euiccs, operations, pending_notifications })
}
