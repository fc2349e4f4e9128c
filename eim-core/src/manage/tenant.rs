//! Tenants: organisations that share the server and see nothing of each other.

use super::ManageError;
use super::views::TenantView;
use crate::Eim;
use crate::domain::rfc3339;
use crate::store::tenant::StoredTenant;

const NAME_MAX: usize = 64;

/// Makes a tenant.
///
/// # Errors
/// When the name can't be taken or is taken, or the store fails.
pub async fn create_tenant(name: &str, eim: &Eim) -> Result<TenantView, ManageError> {
    let is_known = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || b"-._".contains(&octet);
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(is_known) {
        let message = format!("1 to {NAME_MAX} lower case letters, digits, -, . and _ are expected");
        return Err(ManageError::invalid("/name", message));
    }
    let made = eim.store().insert_tenant(name, eim.clock().now_ms()).await?;
    made.map(view).ok_or_else(|| ManageError::Conflict {
        slug: "tenant-exists",
        message: format!("There is a tenant {name} already."),
    })
}

/// The application as the tenant of this name has it.
///
/// # Errors
/// When there is none, or the store fails.
pub async fn as_tenant(name: &str, eim: &Eim) -> Result<Eim, ManageError> {
    let tenant = eim.store().tenant_named(name).await?;
    let tenant = tenant.ok_or_else(|| ManageError::NotFound { what: "tenant", id: name.to_owned() })?;
    Ok(eim.of(tenant.id))
}

fn view(tenant: StoredTenant) -> TenantView {
    TenantView { name: tenant.name, created_at: rfc3339(tenant.created_at) }
}
