//! API keys: random, shown once, kept as digests.

use super::register::{idempotency, key_taken};
use super::views::{ApiKeyView, Page};
use super::{FieldError, ManageError, page};
use crate::Eim;
use crate::domain::rfc3339;
use crate::ids::TenantId;
use crate::store::authority::{Made, NewSecret};
use crate::store::switch::SavedOnce;
use crate::store::{Enqueued, StoredApiKey};
use chrono::DateTime;
use serde_json::Value;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

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
#[derive(Debug, Clone)]
pub struct Principal {
    /// The key's name for reference.
    pub key_id: String,
    /// The name given to it.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// Whose rows it opens.
    pub tenant: TenantId,
    /// The groups of routes that it opens; none: all that its role does.
    pub scopes: Vec<String>,
    /// What it was allowed by beside its role.
    pub used: GrantsUsed,
}

impl Principal {
    /// Whether this is whoever runs the server: an admin of the first tenant.
    #[must_use]
    pub fn runs_the_server(&self) -> bool {
        self.tenant == TenantId::DEFAULT && self.role == Role::Admin
    }

    /// Whether its scopes hold a group of routes.
    #[must_use]
    pub fn reaches(&self, group: Option<&str>) -> bool {
        self.scopes.is_empty() || group.is_some_and(|group| self.scopes.iter().any(|scope| scope == group))
    }
}

/// The grants that a request was allowed by, for the record of its decision. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub struct GrantsUsed(Arc<Mutex<Vec<String>>>);

impl GrantsUsed {
    /// Notes a grant, once.
    pub fn note(&self, grant: &str) {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !used.iter().any(|known| known == grant) {
            used.push(grant.to_owned());
        }
    }

    /// What was noted.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The groups of routes that a key may be limited to.
pub const SCOPES: [&str; 5] = ["devices", "operations", "campaigns", "events", "keys"];
/// How long a secret is valid beside the next one at most, milliseconds.
const OVERLAP_MAX_MS: i64 = 30 * 24 * 3_600_000;
const OVERLAP_MS: i64 = 24 * 3_600_000;
/// lastUsedAt is written at most so often.
const USED_NOTED_MS: i64 = 60_000;

/// What every key starts with, so that one that leaked is found by a search.
const PREFIX: &str = "eimk_";
const NAME_MAX: usize = 128;

/// Makes a key of the tenant that `eim` is of, without limits but its role. The second value is the key itself; it can't be
/// had again.
///
/// # Errors
/// When the name can't be taken, or the store fails.
pub async fn create_api_key(name: &str, role: Role, eim: &Eim) -> Result<(ApiKeyView, String), ManageError> {
    if let Some(error) = wrong_name(name) {
        return Err(ManageError::Invalid(vec![error]));
    }
    let (stored, secret) = fresh(name, role, eim);
    eim.store().insert_api_key(stored.clone(), digest(&secret)).await?;
    Ok((view(stored, None), secret))
}

fn wrong_name(name: &str) -> Option<FieldError> {
    let good = !name.is_empty() && name.len() <= NAME_MAX && !name.chars().any(char::is_control);
    (!good).then(|| FieldError::new("/name", format!("a name of 1 to {NAME_MAX} octets is expected")))
}

fn fresh(name: &str, role: Role, eim: &Eim) -> (StoredApiKey, String) {
    let id: [u8; 8] = eim.entropy().octets();
    let stored = StoredApiKey {
        seq: 0,
        id: hex::encode(id),
        name: name.to_owned(),
        role: role.to_string(),
        tenant: eim.store().tenant(),
        created_at: eim.clock().now_ms(),
        scopes: vec![],
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
        secret_until: None,
    };
    (stored, new_secret(eim))
}

fn new_secret(eim: &Eim) -> String {
    let secret: [u8; 32] = eim.entropy().octets();
    format!("{PREFIX}{}", hex::encode(secret))
}

fn view(stored: StoredApiKey, key: Option<String>) -> ApiKeyView {
    ApiKeyView {
        id: stored.id,
        name: stored.name,
        role: stored.role,
        scopes: stored.scopes,
        created_at: rfc3339(stored.created_at),
        expires_at: stored.expires_at.map(rfc3339),
        revoked_at: stored.revoked_at.map(rfc3339),
        last_used_at: stored.last_used_at.map(rfc3339),
        key,
    }
}

/// Makes a key as the API asks for it: `name`, `role`, `scopes`, `expiresAt`. The key itself is in the view, unless the same
/// request was made before.
///
/// # Errors
/// What can't be taken, more than the caller may do included; `Conflict` when there are too many.
pub async fn make_api_key(
    body: Value,
    idempotency_key: Option<&str>,
    principal: &Principal,
    eim: &Eim,
) -> Result<ApiKeyView, ManageError> {
    let now = eim.clock().now_ms();
    let once = idempotency_key.map(|key| idempotency(key, "api key", &body, eim)).transpose()?;
    let Value::Object(members) = &body else { return Err(ManageError::invalid("", "an object is expected")) };
    let mut errors: Vec<FieldError> = members
        .keys()
        .filter(|name| !["name", "role", "scopes", "expiresAt"].contains(&name.as_str()))
        .map(|name| FieldError::new(format!("/{name}"), "this member is not known here"))
        .collect();
    let name = members.get("name").and_then(Value::as_str).unwrap_or_default();
    errors.extend(wrong_name(name));
    let role = members.get("role").and_then(Value::as_str).and_then(|word| word.parse::<Role>().ok());
    if role.is_none() {
        errors.push(FieldError::new("/role", "viewer, operator, approver or admin is expected"));
    }
    let scopes = scopes(members.get("scopes"), principal, &mut errors);
    let expires_at = match members.get("expiresAt") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let time = value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
            let time = time.map(|time| time.timestamp_millis()).filter(|time| *time > now);
            if time.is_none() {
                errors.push(FieldError::new("/expiresAt", "a time to come as in RFC 3339 is expected"));
            }
            time
        }
    };
    let role = match role {
        Some(role) if errors.is_empty() => role,
        _ => return Err(ManageError::Invalid(errors)),
    };
    let (stored, secret) = fresh(name, role, eim);
    let stored = StoredApiKey { scopes, expires_at, ..stored };
    match eim.store().make_api_key(stored.clone(), digest(&secret), once, now).await? {
        Made::Of(Enqueued::Done) => Ok(view(stored, Some(secret))),
        Made::Of(Enqueued::Before { resource }) => api_key(&resource, eim).await,
        Made::Of(_) => Err(key_taken()),
        Made::TooMany => Err(ManageError::Conflict {
            slug: "too-many-keys",
            message: "There are as many API keys as there may be, those that were revoked included.".to_owned(),
        }),
    }
}

fn scopes(value: Option<&Value>, principal: &Principal, errors: &mut Vec<FieldError>) -> Vec<String> {
    let list = match value {
        None | Some(Value::Null) => vec![],
        // None at all would open everything, as a key without the member does.
        Some(Value::Array(list)) if (1..=SCOPES.len()).contains(&list.len()) => {
            list.iter().map(Value::as_str).collect()
        }
        Some(_) => vec![None],
    };
    let read: Option<Vec<String>> =
        list.into_iter().map(|word| word.filter(|word| SCOPES.contains(word)).map(str::to_owned)).collect();
    let Some(mut scopes) = read else {
        errors.push(FieldError::new(
            "/scopes",
            format!("a list of at least one of {} is expected; without the member a key opens all", SCOPES.join(", ")),
        ));
        return vec![];
    };
    scopes.sort();
    scopes.dedup();
    let reaches = |scope: &String| principal.scopes.contains(scope);
    if !principal.scopes.is_empty() && (scopes.is_empty() || !scopes.iter().all(reaches)) {
        let message = "a key can't open more than the one that makes it: name some of its scopes";
        errors.push(FieldError::new("/scopes", message));
    }
    scopes
}

/// Shows one key.
///
/// # Errors
/// When it is not known.
pub async fn api_key(id: &str, eim: &Eim) -> Result<ApiKeyView, ManageError> {
    let found = eim.store().api_key_named(id).await?;
    found.map(|stored| view(stored, None)).ok_or_else(|| no_key(id))
}

fn no_key(id: &str) -> ManageError {
    ManageError::NotFound { what: "API key", id: id.chars().take(64).collect() }
}

/// Lists the keys of the tenant, oldest first.
///
/// # Errors
/// When the cursor can't be taken.
pub async fn list_api_keys(
    cursor: Option<&str>,
    limit: Option<u32>,
    eim: &Eim,
) -> Result<Page<ApiKeyView>, ManageError> {
    let (after, limit) = page::bounds(cursor, limit)?;
    let mut found = eim.store().api_keys(after, limit + 1).await?;
    let next_cursor = page::cut(&mut found, limit, |stored| stored.seq);
    Ok(Page { items: found.into_iter().map(|stored| view(stored, None)).collect(), next_cursor })
}

/// Gives a key another secret; the one before it stays valid for `overlapSeconds` (a day unless said). The secret is in the
/// view, unless the same request was made before. A rotation again ends the secret before the last one at once.
///
/// # Errors
/// What can't be taken; `NotFound`; `Conflict` when the key was revoked or has expired.
pub async fn rotate_api_key(
    id: &str,
    body: Value,
    idempotency_key: Option<&str>,
    principal: &Principal,
    eim: &Eim,
) -> Result<ApiKeyView, ManageError> {
    let now = eim.clock().now_ms();
    let once = idempotency_key.map(|key| idempotency(key, &format!("rotate {id}"), &body, eim)).transpose()?;
    let Value::Object(members) = &body else { return Err(ManageError::invalid("", "an object is expected")) };
    if let Some(name) = members.keys().find(|name| *name != "overlapSeconds") {
        return Err(ManageError::invalid(format!("/{name}"), "this member is not known here"));
    }
    let overlap = match members.get("overlapSeconds") {
        None | Some(Value::Null) => Some(OVERLAP_MS),
        Some(value) => value.as_i64().filter(|seconds| (0..=OVERLAP_MAX_MS / 1000).contains(seconds)).map(|s| s * 1000),
    };
    let Some(overlap) = overlap else {
        let message = format!("a whole number from 0 to {} is expected", OVERLAP_MAX_MS / 1000);
        return Err(ManageError::invalid("/overlapSeconds", message));
    };
    let known = eim.store().api_key_named(id).await?.ok_or_else(|| no_key(id))?;
    if !principal.scopes.is_empty()
        && (known.scopes.is_empty() || !known.scopes.iter().all(|scope| principal.reaches(Some(scope))))
    {
        return Err(ManageError::Forbidden("the key opens more than the one that asks".to_owned()));
    }
    let secret = new_secret(eim);
    let new = NewSecret { id: known.id, digest: digest(&secret), previous_until: now + overlap };
    match eim.store().rotate_api_key(new, once, now).await? {
        Enqueued::Done => Ok(ApiKeyView { key: Some(secret), ..api_key(id, eim).await? }),
        Enqueued::Before { .. } => api_key(id, eim).await,
        Enqueued::KeyTaken => Err(key_taken()),
        Enqueued::Exists | Enqueued::UnknownEuicc => Err(ManageError::Conflict {
            slug: "key-ended",
            message: "The key was revoked or has expired. Make another one.".to_owned(),
        }),
    }
}

/// Ends a key at once.
///
/// # Errors
/// When it is not known.
pub async fn revoke_api_key(id: &str, idempotency_key: Option<&str>, eim: &Eim) -> Result<ApiKeyView, ManageError> {
    let function = format!("revoke_api_key {id}");
    let once = idempotency_key.map(|key| idempotency(key, &function, &Value::Null, eim)).transpose()?;
    match eim.store().revoke_api_key(id, once, eim.clock().now_ms()).await? {
        SavedOnce::Done | SavedOnce::Before { .. } => api_key(id, eim).await,
        SavedOnce::KeyTaken => Err(key_taken()),
        SavedOnce::Conflict => Err(no_key(id)),
    }
}

/// Whose key this is; `None` when it is nobody's, was revoked or has expired. Notes that it was used.
///
/// # Errors
/// When the store fails.
pub async fn authenticate(key: &str, eim: &Eim) -> Result<Option<Principal>, ManageError> {
    let unknown = || eim.refuse_login(TenantId::DEFAULT, "", "unknownKey");
    if !key.starts_with(PREFIX) || key.len() > 128 {
        unknown();
        return Ok(None);
    }
    // The key is found by its digest, so the time that takes tells nothing about a key that exists.
    let Some(stored) = eim.store().api_key(digest(key)).await? else {
        unknown();
        return Ok(None);
    };
    let Ok(role) = stored.role.parse() else { return Ok(None) };
    let now = eim.clock().now_ms();
    let over = |until: Option<i64>| until.is_some_and(|until| until <= now);
    if stored.revoked_at.is_some() || over(stored.expires_at) || over(stored.secret_until) {
        let reason = if stored.revoked_at.is_some() { "revokedKey" } else { "expiredKey" };
        eim.refuse_login(stored.tenant, &stored.id, reason);
        return Ok(None);
    }
    let noted = now - USED_NOTED_MS;
    if stored.last_used_at.is_none_or(|at| at <= noted)
        && let Err(error) = eim.store().touch_api_key(&stored.id, now, noted).await
    {
        tracing::warn!(%error, "when an API key was used could not be noted");
    }
    let used = GrantsUsed::default();
    let StoredApiKey { id, name, tenant, scopes, .. } = stored;
    Ok(Some(Principal { key_id: id, name, role, tenant, scopes, used }))
}

/// A fast digest is enough: the key has 256 random bits.
fn digest(key: &str) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, key.as_bytes()).as_ref().to_vec()
}
