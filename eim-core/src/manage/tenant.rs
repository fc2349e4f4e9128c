//! Tenants: organisations that share the server and see nothing of each other.

use super::register::{idempotency, key_taken};
use super::views::{Page, TenantView};
use super::{ManageError, page};
use crate::Eim;
use crate::domain::rfc3339;
use crate::store::IdempotencyKey;
use crate::store::switch::SavedOnce;
use crate::store::tenant::StoredTenant;
use serde_json::Value;

const NAME_MAX: usize = 64;

/// Makes a tenant.
///
/// # Errors
/// When the name can't be taken or is taken, or the store fails.
pub async fn create_tenant(name: &str, eim: &Eim) -> Result<TenantView, ManageError> {
    create_once(name, None, eim).await
}

async fn create_once(name: &str, key: Option<IdempotencyKey>, eim: &Eim) -> Result<TenantView, ManageError> {
    let is_known = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || b"-._".contains(&octet);
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(is_known) {
        let message = format!("1 to {NAME_MAX} lower case letters, digits, -, . and _ are expected");
        return Err(ManageError::invalid("/name", message));
    }
    match eim.store().insert_tenant(name, key, eim.clock().now_ms()).await? {
        SavedOnce::Done | SavedOnce::Before { .. } => show_tenant(name, eim).await,
        SavedOnce::KeyTaken => Err(key_taken()),
        SavedOnce::Conflict => {
            Err(ManageError::Conflict { slug: "tenant-exists", message: format!("There is a tenant {name} already.") })
        }
    }
}

/// Makes a tenant as the API asks for it: `name`. Once for an idempotency key: repeated, it gives the tenant that was made.
///
/// # Errors
/// When the name can't be taken or is taken, or the store fails.
pub async fn make_tenant(body: &Value, idempotency_key: Option<&str>, eim: &Eim) -> Result<TenantView, ManageError> {
    let Value::Object(members) = body else { return Err(ManageError::invalid("", "an object is expected")) };
    if let Some(name) = members.keys().find(|name| *name != "name") {
        return Err(ManageError::invalid(format!("/{name}"), "this member is not known here"));
    }
    let name = members.get("name").and_then(Value::as_str).unwrap_or_default();
    let key = idempotency_key.map(|key| idempotency(key, "tenant", body, eim)).transpose()?;
    create_once(name, key, eim).await
}

/// The application as the tenant of this name has it.
///
/// # Errors
/// When there is none, or the store fails.
pub async fn as_tenant(name: &str, eim: &Eim) -> Result<Eim, ManageError> {
    let tenant = eim.store().tenant_named(name).await?;
    let tenant = tenant.ok_or_else(|| ManageError::NotFound { what: "tenant", id: name.chars().take(64).collect() })?;
    Ok(eim.of(tenant.id))
}

/// Shows one tenant.
///
/// # Errors
/// When there is none of this name.
pub async fn show_tenant(name: &str, eim: &Eim) -> Result<TenantView, ManageError> {
    let found = eim.store().tenant_named(name).await?;
    found.map(view).ok_or_else(|| ManageError::NotFound { what: "tenant", id: name.chars().take(64).collect() })
}

/// Lists the tenants, oldest first.
///
/// # Errors
/// When the cursor can't be taken.
pub async fn list_tenants(
    cursor: Option<&str>,
    limit: Option<u32>,
    eim: &Eim,
) -> Result<Page<TenantView>, ManageError> {
    let (after, limit) = page::bounds(cursor, limit)?;
    let mut found = eim.store().tenants(after, limit + 1).await?;
    let next_cursor = page::cut(&mut found, limit, |tenant| tenant.id.value());
    Ok(Page { items: found.into_iter().map(view).collect(), next_cursor })
}

fn view(tenant: StoredTenant) -> TenantView {
    TenantView { name: tenant.name, created_at: rfc3339(tenant.created_at) }
}
