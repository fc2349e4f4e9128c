//! API keys: only their digests are stored.

use super::Connection;
use crate::ids::TenantId;
use crate::store::schema::api_keys;
use crate::store::{StoreError, StoredApiKey};
use diesel::prelude::*;

pub(in crate::store) fn insert_api_key(
    conn: &mut Connection,
    key: &StoredApiKey,
    digest: &[u8],
) -> Result<(), StoreError> {
    diesel::insert_into(api_keys::table)
        .values((
            api_keys::id.eq(&key.id),
            api_keys::tenant_id.eq(key.tenant.value()),
            api_keys::name.eq(&key.name),
            api_keys::role.eq(&key.role),
            api_keys::key_digest.eq(digest),
            api_keys::created_at.eq(key.created_at),
            api_keys::scopes.eq("[]"),
        ))
        .execute(conn)?;
    Ok(())
}

pub(in crate::store) fn api_key(conn: &mut Connection, digest: &[u8]) -> Result<Option<StoredApiKey>, StoreError> {
    let row: Option<(String, i64, String, String, i64)> = api_keys::table
        .filter(api_keys::key_digest.eq(digest))
        .select((api_keys::id, api_keys::tenant_id, api_keys::name, api_keys::role, api_keys::created_at))
        .first(conn)
        .optional()?;
    let key = |(id, tenant, name, role, created_at)| StoredApiKey {
        id,
        name,
        role,
        tenant: TenantId::from_value(tenant),
        created_at,
    };
    Ok(row.map(key))
}
