//! Owners of profiles, what they grant to other tenants, the record of decisions, and the totals of a tenant.

use super::api_key::Principal;
use super::register::{idempotency, key_taken};
use super::views::{DecisionView, GrantView, Page, ProfileOwnerView, SummaryView};
use super::{FieldError, ManageError, audit, page};
use crate::Eim;
use crate::asn1::Psmo;
use crate::domain::audit::AuditNote;
use crate::domain::authority::{Action, Authority, Claims, Refusal, Subject};
use crate::domain::fleet::guard::{default_smdp, displaced, fallback_holder};
use crate::domain::fleet::policy::{SERVICE_PROVIDER_MAX, is_service_provider};
use crate::domain::order::Source;
use crate::domain::{DownloadOrder, Kind, NewOperation, Request, rfc3339};
use crate::ids::{Eid, Iccid, RspAddress, TenantId};
use crate::store::Enqueued;
use crate::store::authority::{Made, StoredDecision, StoredGrant, StoredOwner};
use crate::store::switch::SavedOnce;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

const NAME_MAX: usize = 128;
const CLAIMS_MAX: usize = 64;
const CLASSES: [(&str, i64); 3] = [("test", 0), ("provisioning", 1), ("operational", 2)];
/// The longest subject or reason that is recorded, characters.
const RECORDED_MAX: usize = 512;

fn unknown(members: &Map<String, Value>, known: &[&str]) -> Vec<FieldError> {
    let strange = members.keys().filter(|name| !known.contains(&name.as_str()));
    strange.map(|name| FieldError::new(format!("/{name}"), "this member is not known here")).collect()
}

fn texts(
    members: &Map<String, Value>,
    name: &str,
    expected: &str,
    is_good: impl Fn(&str) -> bool,
    errors: &mut Vec<FieldError>,
) -> Vec<String> {
    let list = match members.get(name) {
        None | Some(Value::Null) => Some(vec![]),
        Some(Value::Array(list)) if list.len() <= CLAIMS_MAX => {
            list.iter().map(|item| item.as_str().filter(|text| is_good(text)).map(str::to_owned)).collect()
        }
        Some(_) => None,
    };
    list.unwrap_or_else(|| {
        errors.push(FieldError::new(
            format!("/{name}"),
            format!("a list of at most {CLAIMS_MAX} {expected} is expected"),
        ));
        vec![]
    })
}

fn too_many(what: &str) -> ManageError {
    ManageError::Conflict { slug: "too-many", message: format!("There are as many {what} as there may be.") }
}

/// Says that profiles are the tenant's: `name`, `serviceProviders`, `mccMnc`, `smdpAddresses`. It counts once whoever runs the
/// server has confirmed it; what these add themselves counts at once.
///
/// # Errors
/// What can't be taken; `Conflict` when there are too many.
pub async fn create_profile_owner(
    body: Value,
    idempotency_key: Option<&str>,
    principal: &Principal,
    eim: &Eim,
) -> Result<ProfileOwnerView, ManageError> {
    let now = eim.clock().now_ms();
    let once = idempotency_key.map(|key| idempotency(key, "profile owner", &body, eim)).transpose()?;
    let Value::Object(members) = &body else { return Err(ManageError::invalid("", "an object is expected")) };
    let mut errors = unknown(members, &["name", "serviceProviders", "mccMnc", "smdpAddresses"]);
    let is_text = |text: &str| !text.is_empty() && text.len() <= NAME_MAX && !text.chars().any(char::is_control);
    let name = members.get("name").and_then(Value::as_str).filter(|name| is_text(name)).unwrap_or_default();
    if name.is_empty() {
        errors.push(FieldError::new("/name", format!("a name of 1 to {NAME_MAX} octets is expected")));
    }
    let is_plmn = |text: &str| (5..=6).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
    let is_provider = |text: &str| is_text(text) && is_service_provider(text);
    let providers = format!("names of 1 to {SERVICE_PROVIDER_MAX} characters");
    let claims = Claims {
        service_providers: texts(members, "serviceProviders", &providers, is_provider, &mut errors),
        mcc_mnc: texts(members, "mccMnc", "numbers of 5 or 6 digits", is_plmn, &mut errors),
        smdp_addresses: texts(
            members,
            "smdpAddresses",
            "host names",
            |text| text.parse::<RspAddress>().is_ok(),
            &mut errors,
        ),
    };
    if errors.is_empty() && claims.values().next().is_none() {
        errors.push(FieldError::new("", "at least one of serviceProviders, mccMnc and smdpAddresses is expected"));
    }
    if !errors.is_empty() {
        return Err(ManageError::Invalid(errors));
    }
    let owner = StoredOwner {
        seq: 0,
        id: eim.entropy().operation_id(now).to_string(),
        tenant: eim.store().tenant(),
        name: name.to_owned(),
        claims,
        confirmed_at: principal.runs_the_server().then_some(now),
        created_at: now,
    };
    match eim.store().insert_owner(owner.clone(), once, now).await? {
        Made::Of(Enqueued::Done) => owner_view(owner, &names(eim).await?),
        Made::Of(Enqueued::Before { resource }) => {
            let found = eim.store().owners(false, 0, i64::from(i32::MAX)).await?;
            let found = found.into_iter().find(|owner| owner.id == resource).ok_or_else(|| no_owner(&resource))?;
            owner_view(found, &names(eim).await?)
        }
        Made::Of(_) => Err(key_taken()),
        Made::TooMany => Err(too_many("profile owners")),
    }
}

fn no_owner(id: &str) -> ManageError {
    ManageError::NotFound { what: "profile owner", id: id.chars().take(64).collect() }
}

/// The names of all tenants.
async fn names(eim: &Eim) -> Result<HashMap<TenantId, String>, ManageError> {
    let tenants = eim.store().tenants(0, i64::from(i32::MAX)).await?;
    Ok(tenants.into_iter().map(|tenant| (tenant.id, tenant.name)).collect())
}

fn name_of(tenant: TenantId, names: &HashMap<TenantId, String>) -> String {
    names.get(&tenant).cloned().unwrap_or_default()
}

fn owner_view(owner: StoredOwner, names: &HashMap<TenantId, String>) -> Result<ProfileOwnerView, ManageError> {
    Ok(ProfileOwnerView {
        id: owner.id,
        tenant: name_of(owner.tenant, names),
        name: owner.name,
        service_providers: owner.claims.service_providers,
        mcc_mnc: owner.claims.mcc_mnc,
        smdp_addresses: owner.claims.smdp_addresses,
        confirmed_at: owner.confirmed_at.map(rfc3339),
        created_at: rfc3339(owner.created_at),
    })
}

/// Lists owners of profiles, oldest first: the tenant's own; of all tenants for whoever runs the server.
///
/// # Errors
/// When the cursor can't be taken.
pub async fn list_profile_owners(
    cursor: Option<&str>,
    limit: Option<u32>,
    principal: &Principal,
    eim: &Eim,
) -> Result<Page<ProfileOwnerView>, ManageError> {
    let (after, limit) = page::bounds(cursor, limit)?;
    let mut found = eim.store().owners(principal.runs_the_server(), after, limit + 1).await?;
    let next_cursor = page::cut(&mut found, limit, |owner| owner.seq);
    let names = names(eim).await?;
    let items = found.into_iter().map(|owner| owner_view(owner, &names)).collect::<Result<Vec<_>, _>>()?;
    Ok(Page { items, next_cursor })
}

/// Makes what a tenant says it owns count. For whoever runs the server.
///
/// # Errors
/// When it is not known.
pub async fn confirm_profile_owner(
    id: &str,
    idempotency_key: Option<&str>,
    eim: &Eim,
) -> Result<ProfileOwnerView, ManageError> {
    let function = format!("confirm_owner {id}");
    let once = idempotency_key.map(|key| idempotency(key, &function, &Value::Null, eim)).transpose()?;
    match eim.store().confirm_owner(id, once, eim.clock().now_ms()).await? {
        SavedOnce::Done | SavedOnce::Before { .. } => {}
        SavedOnce::KeyTaken => return Err(key_taken()),
        SavedOnce::Conflict => return Err(no_owner(id)),
    }
    let found = eim.store().owner_named(id).await?;
    owner_view(found.ok_or_else(|| no_owner(id))?, &names(eim).await?)
}

/// Makes what a tenant says it owns count no more, until it is confirmed again: for the tenant itself, and for whoever runs the
/// server. Its grants stay, and count again with it.
///
/// # Errors
/// When it is not known, or another tenant's.
pub async fn withdraw_profile_owner(
    id: &str,
    idempotency_key: Option<&str>,
    principal: &Principal,
    eim: &Eim,
) -> Result<ProfileOwnerView, ManageError> {
    let function = format!("withdraw_owner {id}");
    let once = idempotency_key.map(|key| idempotency(key, &function, &Value::Null, eim)).transpose()?;
    match eim.store().withdraw_owner(id, principal.runs_the_server(), once, eim.clock().now_ms()).await? {
        SavedOnce::Done | SavedOnce::Before { .. } => {}
        SavedOnce::KeyTaken => return Err(key_taken()),
        SavedOnce::Conflict => return Err(no_owner(id)),
    }
    let found = eim.store().owner_named(id).await?;
    owner_view(found.ok_or_else(|| no_owner(id))?, &names(eim).await?)
}

/// Lets another tenant do something to an owner's profiles: `owner`, `grantee`, `actions`, `profileClass`.
///
/// # Errors
/// What can't be taken; `Conflict` when there are too many.
pub async fn create_grant(body: Value, idempotency_key: Option<&str>, eim: &Eim) -> Result<GrantView, ManageError> {
    let now = eim.clock().now_ms();
    let once = idempotency_key.map(|key| idempotency(key, "grant", &body, eim)).transpose()?;
    let Value::Object(members) = &body else { return Err(ManageError::invalid("", "an object is expected")) };
    let mut errors = unknown(members, &["owner", "grantee", "actions", "profileClass"]);
    let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default();
    let grantee = eim.store().tenant_named(text("grantee")).await?.map(|tenant| tenant.id);
    let grantee = grantee.filter(|grantee| *grantee != eim.store().tenant());
    if grantee.is_none() {
        errors.push(FieldError::new("/grantee", "the name of another tenant is expected"));
    }
    let profile_class = match members.get("profileClass") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let class = CLASSES.iter().find(|(word, _)| value.as_str() == Some(word)).map(|(_, class)| *class);
            if class.is_none() {
                errors.push(FieldError::new("/profileClass", "one of test, provisioning, operational is expected"));
            }
            class
        }
    };
    let actions: Option<Vec<Action>> = members
        .get("actions")
        .and_then(Value::as_array)
        .filter(|list| (1..=Action::ALL.len()).contains(&list.len()))
        .and_then(|list| list.iter().map(|word| word.as_str().and_then(Action::from_word)).collect());
    if actions.is_none() {
        errors.push(FieldError::new("/actions", "a list of enable, disable, delete, download is expected"));
    }
    let (Some(grantee), Some(actions), true) = (grantee, actions, errors.is_empty()) else {
        return Err(ManageError::Invalid(errors));
    };
    let grant = StoredGrant {
        seq: 0,
        id: eim.entropy().operation_id(now).to_string(),
        tenant: eim.store().tenant(),
        grantee,
        owner: text("owner").to_owned(),
        profile_class,
        actions,
        created_at: now,
        revoked_at: None,
    };
    match eim.store().insert_grant(grant.clone(), once, now).await? {
        Made::Of(Enqueued::Done) => Ok(grant_view(grant, &names(eim).await?)),
        Made::Of(Enqueued::Before { resource }) => grant_named(&resource, eim).await,
        Made::Of(Enqueued::UnknownEuicc) => {
            Err(ManageError::invalid("/owner", "the id of a profile owner of this tenant is expected"))
        }
        Made::Of(_) => Err(key_taken()),
        Made::TooMany => Err(too_many("grants")),
    }
}

async fn grant_named(id: &str, eim: &Eim) -> Result<GrantView, ManageError> {
    let found = eim.store().grant(id).await?.ok_or_else(|| no_grant(id))?;
    Ok(grant_view(found, &names(eim).await?))
}

fn no_grant(id: &str) -> ManageError {
    ManageError::NotFound { what: "grant", id: id.chars().take(64).collect() }
}

fn grant_view(grant: StoredGrant, names: &HashMap<TenantId, String>) -> GrantView {
    let class = |class: i64| CLASSES.iter().find(|(_, known)| *known == class).map(|(word, _)| (*word).to_owned());
    GrantView {
        id: grant.id,
        owner: grant.owner,
        grantor: name_of(grant.tenant, names),
        grantee: name_of(grant.grantee, names),
        profile_class: grant.profile_class.and_then(class),
        actions: grant.actions.iter().map(|action| action.as_str().to_owned()).collect(),
        created_at: rfc3339(grant.created_at),
        revoked_at: grant.revoked_at.map(rfc3339),
    }
}

/// Lists grants that the tenant gave or was given, oldest first.
///
/// # Errors
/// When the cursor can't be taken.
pub async fn list_grants(cursor: Option<&str>, limit: Option<u32>, eim: &Eim) -> Result<Page<GrantView>, ManageError> {
    let (after, limit) = page::bounds(cursor, limit)?;
    let mut found = eim.store().grants(after, limit + 1).await?;
    let next_cursor = page::cut(&mut found, limit, |grant| grant.seq);
    let names = names(eim).await?;
    Ok(Page { items: found.into_iter().map(|grant| grant_view(grant, &names)).collect(), next_cursor })
}

/// Takes back a grant that the tenant gave. What is queued on its authority stays queued.
///
/// # Errors
/// When it is not known.
pub async fn revoke_grant(id: &str, idempotency_key: Option<&str>, eim: &Eim) -> Result<GrantView, ManageError> {
    let function = format!("revoke_grant {id}");
    let once = idempotency_key.map(|key| idempotency(key, &function, &Value::Null, eim)).transpose()?;
    match eim.store().revoke_grant(id, once, eim.clock().now_ms()).await? {
        SavedOnce::Done | SavedOnce::Before { .. } => grant_named(id, eim).await,
        SavedOnce::KeyTaken => Err(key_taken()),
        SavedOnce::Conflict => Err(no_grant(id)),
    }
}

/// Lets an operation through that the owners of the profiles permit, and notes the grants on `principal`.
///
/// # Errors
/// `Conflict` (`not-granted`) when an owner does not.
pub(super) async fn check_owners(
    eid: Eid,
    operation: &NewOperation,
    principal: &Principal,
    eim: &Eim,
) -> Result<(), ManageError> {
    let is_download = operation.kind == Kind::ProfileDownload;
    let request = operation.request.as_object().and_then(|body| Request::parse(body).ok());
    let list = match &request {
        Some(Request::Psmo(list)) => list.as_slice(),
        _ if is_download => &[],
        _ => return Ok(()),
    };
    let rights = eim.store().rights().await?;
    if !rights.has_foreign_owners() {
        return Ok(());
    }
    let permit = |action: Action, subject: &Subject<'_>| match rights.permits(action, subject) {
        Ok(Authority::Granted(grants)) => {
            grants.iter().for_each(|grant| principal.used.note(grant));
            Ok(())
        }
        Ok(Authority::Own | Authority::Free) => Ok(()),
        Err(Refusal::Unknown) => {
            let message = format!(
                "Not permitted: {}. Ask the device for them (listProfileInfo with the tags 91 and B7 among them).",
                Refusal::Unknown
            );
            Err(ManageError::Conflict { slug: "owner-unknown", message })
        }
        Err(refusal @ Refusal::NotGranted { .. }) => {
            let message = format!("Not permitted: {refusal}. Ask for a grant.");
            Err(ManageError::Conflict { slug: "not-granted", message })
        }
    };
    let from = |address: &str| permit(Action::Download, &Subject { smdp_address: Some(address), ..Subject::default() });
    let leads_to = |address: &str| match address.parse::<RspAddress>() {
        _ if address.is_empty() || !rights.foreign_addresses() => Ok(()),
        Ok(address) => from(address.host()),
        Err(_) => {
            let message = "It can't be told whose server this is: the host name of an SM-DP+ is expected.".to_owned();
            Err(ManageError::Conflict { slug: "owner-unknown", message })
        }
    };
    let euicc = eim.store().euicc(eid).await?.map(|(euicc, _)| euicc);
    let from_default = || match euicc.as_ref().and_then(default_smdp) {
        Some(address) => from(&address),
        None if !rights.foreign_addresses() => Ok(()),
        None => {
            let message =
                "It is not known which SM-DP+ is the default one of this device, and so whose its profiles are. \
                           Ask for it (euiccData with the tag 81)."
                    .to_owned();
            Err(ManageError::Conflict { slug: "owner-unknown", message })
        }
    };
    let profiles = eim.store().profiles(eid).await?;
    if is_download {
        let order = operation.request.get(Kind::ProfileDownload.as_str()).and_then(DownloadOrder::from_stored);
        // What is enabled as soon as it is there takes the place of what is enabled now.
        let off = |order: &DownloadOrder| {
            let euicc = euicc.as_ref()?;
            Some(displaced(order.source.smdp(), euicc, &profiles))
        };
        for profile in order.as_ref().and_then(off).unwrap_or_default() {
            permit(Action::Disable, &Subject::of(profile))?;
        }
        return match order.map(|order| order.source) {
            Some(Source::ActivationCode { address, .. }) => from(&address.key()),
            Some(Source::DefaultSmdp) => from_default(),
            // Which server has the profile is in what the SM-DS holds for this device.
            Some(Source::Smds { .. }) | None => Ok(()),
        };
    }
    let mut enabled: Vec<Iccid> =
        profiles.iter().filter(|profile| profile.enabled == Some(true)).map(|profile| profile.iccid).collect();
    let is_listed = euicc.as_ref().is_some_and(|euicc| euicc.profiles_listed_at.is_some());
    let fallback_taken = |but: Option<&[u8]>| {
        let but = but.and_then(|octets| Iccid::from_octets(octets).ok());
        let Some(holder) = fallback_holder(&profiles, but).ok().filter(|_| is_listed) else {
            let message =
                "It is not known whose profile has the fallback attribute now. Ask the device for its profiles \
                           first (listProfileInfo)."
                    .to_owned();
            return Err(ManageError::Conflict { slug: "owner-unknown", message });
        };
        holder.map_or(Ok(()), |profile| permit(Action::Enable, &Subject::of(profile)))
    };
    let unknown_enabled = || {
        let message =
            "It is not known whose profile is enabled now. Ask the device for its profiles first (listProfileInfo).";
        ManageError::Conflict { slug: "owner-unknown", message: message.to_owned() }
    };
    for psmo in list {
        let (action, octets) = match psmo {
            Psmo::Enable(enable) => (Action::Enable, &enable.iccid),
            Psmo::Disable(disable) => (Action::Disable, &disable.iccid),
            Psmo::Delete(delete) => (Action::Delete, &delete.iccid),
            // It says which profile a device without network falls back to.
            Psmo::SetFallbackAttribute(set) => {
                fallback_taken(Some(&set.iccid))?;
                (Action::Enable, &set.iccid)
            }
            Psmo::UnsetFallbackAttribute(_) => {
                fallback_taken(None)?;
                continue;
            }
            Psmo::SetDefaultDpAddress(set) => {
                leads_to(&set.default_dp_address)?;
                continue;
            }
            Psmo::ConfigureImmediateEnable(set) => {
                match &set.default_smdp_address {
                    Some(address) => leads_to(address)?,
                    // What is downloaded from the one that the eUICC has is enabled at once.
                    None if set.immediate_enable_flag.is_some() => from_default()?,
                    None => {}
                }
                if set.immediate_enable_flag.is_some() {
                    if !is_listed {
                        return Err(unknown_enabled());
                    }
                    // What is downloaded then takes the place of what is enabled.
                    for profile in profiles.iter().filter(|profile| enabled.contains(&profile.iccid)) {
                        permit(Action::Disable, &Subject::of(profile))?;
                    }
                }
                continue;
            }
            _ => continue,
        };
        let Ok(iccid) = Iccid::from_octets(octets) else { continue };
        let Some(profile) = profiles.iter().find(|profile| profile.iccid == iccid) else {
            let message =
                "It is not known whose the profile is, since the profile list does not hold it. Ask the device for \
                           its profiles first (listProfileInfo)."
                    .to_owned();
            return Err(ManageError::Conflict { slug: "owner-unknown", message });
        };
        permit(action, &Subject::of(profile))?;
        if matches!(psmo, Psmo::Enable(_)) {
            for other in enabled.iter().filter(|other| **other != iccid) {
                if let Some(other) = profiles.iter().find(|profile| profile.iccid == *other) {
                    permit(Action::Disable, &Subject::of(other))?;
                }
            }
            enabled = vec![iccid];
        }
    }
    Ok(())
}

/// What is recorded of a request that changes something.
#[derive(Debug, Clone)]
pub struct NewDecision {
    /// Method and route, as `POST /api/v1/euiccs`.
    pub action: String,
    /// The path of what it was about.
    pub subject: String,
    /// `done`, `rehearsed` (a dry run), `refused` or `failed`.
    pub outcome: &'static str,
    /// The kind of problem.
    pub reason: Option<String>,
    /// The name under which it was begun, see [`super::audit::begin_command`]; `None` where it was refused before.
    pub command: Option<String>,
}

/// Records who asked for what, on whose authority, and what came of it.
///
/// # Errors
/// When the store fails.
pub async fn record_decision(decision: NewDecision, principal: &Principal, eim: &Eim) -> Result<(), ManageError> {
    let short = |text: &str| text.chars().take(RECORDED_MAX).filter(|c| *c != '\0').collect::<String>();
    let grants = principal.used.list();
    let authority = match grants.as_slice() {
        [] => format!("role {}", principal.role),
        grants => format!("role {}, grant {}", principal.role, grants.join(", grant ")),
    };
    let command = decision.command.clone();
    let decision = StoredDecision {
        seq: 0,
        at: eim.clock().now_ms(),
        key_id: principal.key_id.clone(),
        key_name: principal.name.clone(),
        action: short(&decision.action),
        subject: short(&decision.subject),
        authority,
        outcome: decision.outcome.to_owned(),
        reason: decision.reason.as_deref().map(short),
    };
    let details = json!({
        "command": command,
        "action": decision.action,
        "key": decision.key_id,
        "keyName": decision.key_name,
        "authority": decision.authority,
        "outcome": decision.outcome,
        "reason": decision.reason,
    });
    let note = AuditNote {
        eid: audit::eid_in(&decision.subject),
        ..AuditNote::new("command", details).about(decision.subject.clone())
    };
    Ok(eim.store().insert_decision(decision, note).await?)
}

/// Lists the decisions of the tenant, oldest first.
///
/// # Errors
/// When the cursor can't be taken.
pub async fn list_decisions(
    cursor: Option<&str>,
    limit: Option<u32>,
    eim: &Eim,
) -> Result<Page<DecisionView>, ManageError> {
    let (after, limit) = page::bounds(cursor, limit)?;
    let mut found = eim.store().decisions(after, limit + 1).await?;
    let next_cursor = page::cut(&mut found, limit, |decision| decision.seq);
    let view = |decision: StoredDecision| DecisionView {
        at: rfc3339(decision.at),
        key_id: decision.key_id,
        key_name: decision.key_name,
        action: decision.action,
        subject: decision.subject,
        authority: decision.authority,
        outcome: decision.outcome,
        reason: decision.reason,
    };
    Ok(Page { items: found.into_iter().map(view).collect(), next_cursor })
}

/// The totals of the tenant.
///
/// # Errors
/// When the store fails.
pub async fn summary(eim: &Eim) -> Result<SummaryView, ManageError> {
    let found = eim.store().summary().await?;
    Ok(SummaryView {
        euiccs: found.euiccs.into_iter().collect(),
        operations: found.operations.into_iter().collect(),
        pending_notifications: found.pending_notifications,
    })
}
