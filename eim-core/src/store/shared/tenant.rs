//! Tenants, and whose an eUICC is.

use super::Connection;
use super::audit::insert_audit;
use super::decision::{claim_once, free_once};
use crate::domain::audit::AuditNote;
use crate::ids::{Eid, TenantId};
use crate::store::schema::{euiccs, tenants};
use crate::store::switch::SavedOnce;
use crate::store::tenant::StoredTenant;
use crate::store::{IdempotencyKey, StoreError};
use diesel::prelude::*;
use serde_json::json;

fn stored((id, name, created_at): (i64, String, i64)) -> StoredTenant {
    StoredTenant { id: TenantId::from_value(id), name, created_at }
}

pub(in crate::store) fn tenant_of(conn: &mut Connection, eid: &Eid) -> Result<Option<TenantId>, StoreError> {
    let found = euiccs::table.filter(euiccs::eid.eq(eid.to_string())).select(euiccs::tenant_id).first(conn);
    Ok(found.optional()?.map(TenantId::from_value))
}

pub(in crate::store) fn insert_tenant(
    conn: &mut Connection,
    name: &str,
    key: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<SavedOnce, StoreError> {
    if let Some(earlier) = claim_once(conn, key, name, tenant, now)? {
        return Ok(earlier);
    }
    let inserted = diesel::insert_into(tenants::table)
        .values((tenants::name.eq(name), tenants::created_at.eq(now)))
        .on_conflict_do_nothing()
        .execute(conn)?;
    if inserted == 0 {
        free_once(conn, key, tenant)?;
        return Ok(SavedOnce::Conflict);
    }
    insert_audit(conn, &AuditNote::new("tenantMade", json!({ "tenant": name })), tenant, now)?;
    Ok(SavedOnce::Done)
}

pub(in crate::store) fn tenant_named(conn: &mut Connection, name: &str) -> Result<Option<StoredTenant>, StoreError> {
    let found: Option<(i64, String, i64)> = tenants::table
        .filter(tenants::name.eq(name))
        .select((tenants::id, tenants::name, tenants::created_at))
        .first(conn)
        .optional()?;
    Ok(found.map(stored))
}

pub(in crate::store) fn tenant_page(
    conn: &mut Connection,
    after: i64,
    limit: i64,
) -> Result<Vec<StoredTenant>, StoreError> {
    let rows: Vec<(i64, String, i64)> = tenants::table
        .filter(tenants::id.gt(after))
        .order(tenants::id)
        .limit(limit)
        .select((tenants::id, tenants::name, tenants::created_at))
        .load(conn)?;
    Ok(rows.into_iter().map(stored).collect())
}
