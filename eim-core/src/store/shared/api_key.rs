//! API keys: only their digests are stored.

use super::Connection;
use super::audit::insert_audit;
use crate::domain::audit::AuditNote;
use crate::domain::rfc3339;
use crate::ids::TenantId;
use crate::store::rows::text_of;
use crate::store::schema::api_keys;
use crate::store::{StoreError, StoredApiKey};
use diesel::prelude::*;
use serde_json::json;

#[derive(Queryable, Selectable)]
#[diesel(table_name = api_keys)]
pub(in crate::store) struct KeyRow {
    seq: i64,
    id: String,
    tenant_id: i64,
    name: String,
    role: String,
    created_at: i64,
    scopes: String,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    last_used_at: Option<i64>,
    previous_until: Option<i64>,
}

impl KeyRow {
    pub(super) fn key(self) -> Result<StoredApiKey, StoreError> {
        Ok(StoredApiKey {
            seq: self.seq,
            id: self.id,
            name: self.name,
            role: self.role,
            tenant: TenantId::from_value(self.tenant_id),
            created_at: self.created_at,
            scopes: serde_json::from_str(&self.scopes)
                .map_err(|_| StoreError::Corrupt { column: "api_keys.scopes" })?,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            last_used_at: self.last_used_at,
            secret_until: None,
        })
    }
}

pub(in crate::store) fn insert_api_key(
    conn: &mut Connection,
    key: &StoredApiKey,
    digest: &[u8],
    by: &str,
) -> Result<(), StoreError> {
    let details = json!({
        "key": key.id,
        "name": key.name,
        "role": key.role,
        "scopes": key.scopes,
        "expiresAt": key.expires_at.map(rfc3339),
        "by": by,
    });
    insert_audit(conn, &AuditNote::new("apiKeyMade", details), key.tenant, key.created_at)?;
    diesel::insert_into(api_keys::table)
        .values((
            api_keys::id.eq(&key.id),
            api_keys::tenant_id.eq(key.tenant.value()),
            api_keys::name.eq(&key.name),
            api_keys::role.eq(&key.role),
            api_keys::key_digest.eq(digest),
            api_keys::created_at.eq(key.created_at),
            api_keys::scopes.eq(text_of(&key.scopes)),
            api_keys::expires_at.eq(key.expires_at),
        ))
        .execute(conn)?;
    Ok(())
}

pub(in crate::store) fn api_key(conn: &mut Connection, digest: &[u8]) -> Result<Option<StoredApiKey>, StoreError> {
    let row: Option<KeyRow> =
        api_keys::table.filter(api_keys::key_digest.eq(digest)).select(KeyRow::as_select()).first(conn).optional()?;
    if let Some(row) = row {
        return row.key().map(Some);
    }
    let row: Option<KeyRow> = api_keys::table
        .filter(api_keys::previous_digest.eq(digest))
        .select(KeyRow::as_select())
        .first(conn)
        .optional()?;
    let Some(row) = row else { return Ok(None) };
    // The secret before the last rotation, for a while.
    let secret_until = row.previous_until;
    Ok(Some(StoredApiKey { secret_until: secret_until.or(Some(0)), ..row.key()? }))
}
