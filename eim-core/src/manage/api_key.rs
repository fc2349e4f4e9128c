//! API keys: random, shown once, kept as digests.

use super::ManageError;
use super::views::ApiKeyView;
use crate::Eim;
use crate::domain::rfc3339;
use crate::ids::TenantId;
use crate::store::StoredApiKey;
use std::fmt;
use std::str::FromStr;

/// What a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// May look.
    Viewer,
    /// May look, and ask devices for something.
    Operator,
    /// May look, and approve or deny what others ask for; a second person, so it may not ask itself.
    Approver,
    /// May do everything.
    Admin,
}

impl Role {
    /// Whether a key of this role may do what `needed` is needed for.
    #[must_use]
    pub const fn may(self, needed: Self) -> bool {
        match needed {
            Self::Viewer => true,
            Self::Operator => matches!(self, Self::Operator | Self::Admin),
            Self::Approver => matches!(self, Self::Approver | Self::Admin),
            Self::Admin => matches!(self, Self::Admin),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "operator" => Ok(Self::Operator),
            "approver" => Ok(Self::Approver),
            "admin" => Ok(Self::Admin),
            _ => Err("viewer, operator, approver or admin is expected"),
        }
    }
}

/// Whose key it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The key's name for reference.
    pub key_id: String,
    /// The name given to it.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// Whose rows it opens.
    pub tenant: TenantId,
}

/// What every key starts with, so that one that leaked is found by a search.
const PREFIX: &str = "eimk_";
const NAME_MAX: usize = 128;

/// Makes a key of the tenant that `eim` is of. The second value is the key itself; it can't be had again.
///
/// # Errors
/// When the name can't be taken, or the store fails.
pub async fn create_api_key(name: &str, role: Role, eim: &Eim) -> Result<(ApiKeyView, String), ManageError> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(ManageError::invalid("/name", format!("a name of 1 to {NAME_MAX} octets is expected")));
    }
    let secret: [u8; 32] = eim.entropy().octets();
    let id: [u8; 8] = eim.entropy().octets();
    let key = format!("{PREFIX}{}", hex::encode(secret));
    let stored = StoredApiKey {
        id: hex::encode(id),
        name: name.to_owned(),
        role: role.to_string(),
        tenant: eim.store().tenant(),
        created_at: eim.clock().now_ms(),
    };
    let view = ApiKeyView {
        id: stored.id.clone(),
        name: stored.name.clone(),
        role: stored.role.clone(),
        created_at: rfc3339(stored.created_at),
    };
    eim.store().insert_api_key(stored, digest(&key)).await?;
    Ok((view, key))
}

/// Whose key this is; `None` when it is nobody's.
///
/// # Errors
/// When the store fails.
pub async fn authenticate(key: &str, eim: &Eim) -> Result<Option<Principal>, ManageError> {
    if !key.starts_with(PREFIX) || key.len() > 128 {
        return Ok(None);
    }
    // The key is found by its digest, so the time that takes tells nothing about a key that exists.
    let Some(stored) = eim.store().api_key(digest(key)).await? else { return Ok(None) };
    let Ok(role) = stored.role.parse() else { return Ok(None) };
    Ok(Some(Principal { key_id: stored.id, name: stored.name, role, tenant: stored.tenant }))
}

/// A fast digest is enough: the key has 256 random bits.
fn digest(key: &str) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, key.as_bytes()).as_ref().to_vec()
}
