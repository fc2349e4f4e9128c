//! Owner policies: what the owner of profiles allows on this server.

use super::register::{idempotency, key_taken};
use super::views::{OwnerPolicyView, Page};
use super::{ManageError, page, view};
use crate::Eim;
use crate::domain::fleet::OwnerPolicy;
use crate::store::switch::{SavedOnce, StoredPolicy};
use serde_json::Value;

/// Adds a policy. Once for an idempotency key: repeated, it gives the policy that was made.
///
/// # Errors
/// What can't be taken; `Conflict` when there are too many.
pub async fn create_owner_policy(
    body: Value,
    idempotency_key: Option<&str>,
    eim: &Eim,
) -> Result<OwnerPolicyView, ManageError> {
    let key = idempotency_key.map(|key| idempotency(key, "owner_policy", &body, eim)).transpose()?;
    let policy = OwnerPolicy::from_api(&body).map_err(ManageError::Invalid)?;
    let now = eim.clock().now_ms();
    let id = eim.entropy().operation_id(now).to_string();
    match eim.store().insert_policy(id.clone(), policy.clone(), key, now).await? {
        SavedOnce::Done => Ok(view::owner_policy(StoredPolicy { seq: 0, id, policy, created_at: now })),
        SavedOnce::Before { resource } => {
            let found = eim.store().policy(&resource).await?;
            found.map(view::owner_policy).ok_or_else(|| not_found(&resource))
        }
        SavedOnce::KeyTaken => Err(key_taken()),
        SavedOnce::Conflict => {
            let message = "There are as many owner policies as there may be. Delete one first.".to_owned();
            Err(ManageError::Conflict { slug: "too-many-policies", message })
        }
    }
}

fn not_found(id: &str) -> ManageError {
    ManageError::NotFound { what: "owner policy", id: id.chars().take(64).collect() }
}

/// Lists policies, oldest first.
///
/// # Errors
/// When the cursor can't be taken.
pub async fn list_owner_policies(
    cursor: Option<&str>,
    limit: Option<u32>,
    eim: &Eim,
) -> Result<Page<OwnerPolicyView>, ManageError> {
    let (after, limit) = page::bounds(cursor, limit)?;
    let mut found = eim.store().list_policies(after, limit + 1).await?;
    let next_cursor = page::cut(&mut found, limit, |stored| stored.seq);
    Ok(Page { items: found.into_iter().map(view::owner_policy).collect(), next_cursor })
}

/// Takes a policy away.
///
/// # Errors
/// When it is not known.
pub async fn delete_owner_policy(id: &str, eim: &Eim) -> Result<(), ManageError> {
    if eim.store().delete_policy(id.to_owned(), eim.clock().now_ms()).await? {
        return Ok(());
    }
    Err(not_found(id))
}
