//! Rules: what is done when something happens to a device, by itself.

mod rehearsal;

pub use rehearsal::{Rehearsed, RuleDryRun, SampledGuard};

use super::operation::own_rotations;
use super::register::{idempotency, key_taken};
use super::views::Page;
use super::{FieldError, ManageError, Principal, Role, page, view};
use crate::Eim;
use crate::domain::fleet::rule::feeds::{Link, cycle};
use crate::domain::fleet::rule::{Action, Condition, KeptActions, ReadRule, RuleSpec};
use crate::domain::fleet::{Plan, Target};
use crate::domain::{Event, Secrets, rfc3339};
use crate::ids::OperationId;
use crate::store::Enqueued;
use crate::store::rule::{Firing, RuleSaved, StoredRule};
use crate::store::stream::StreamPosition;
use crate::store::switch::SavedOnce;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use utoipa::ToSchema;

/// How many rules a tenant may have: each is compared with every event.
const AT_MOST: i64 = 100;
const ATTEMPTS: usize = 8;

/// A rule.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleView {
    /// A UUID.
    pub id: String,
    /// The operator's name for it.
    pub name: String,
    /// Whether it fires.
    pub enabled: bool,
    /// `active`, `disabled`, or `stopped` when it fired more often than it may.
    pub state: String,
    /// For which devices.
    #[schema(value_type = Object)]
    pub filter: Value,
    /// When.
    #[schema(value_type = Object)]
    pub when: Value,
    /// What is done then, without activation codes and confirmation codes.
    #[schema(value_type = Vec<Object>)]
    pub then: Vec<Value>,
    /// How long it is quiet for a device for which it fired: `seconds`, or poll `intervals`.
    #[schema(value_type = Object)]
    pub cool_down: Value,
    /// How often it may fire within an hour.
    pub max_firings_per_hour: i64,
    /// Who made it: `keyId` and `name`.
    #[schema(value_type = Object)]
    pub created_by: Value,
    /// When it was made.
    pub created_at: String,
    /// When it stopped itself.
    pub stopped_at: Option<String>,
}

/// A rule whose condition held for a device.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FiringView {
    /// A UUID.
    pub id: String,
    /// The device.
    pub eid: String,
    /// When what it answers happened.
    pub at: String,
    /// `pending`, `done`, `refused`, `coolDown`, `loopGuard` or `cancelled`.
    pub outcome: String,
    /// What it answers: `type`, `at`, `data`, and the `id` of the event.
    #[schema(value_type = Object)]
    pub event: Value,
    /// What came of each action: `action`, `outcome` (`done`, `refused`), the `switch` or `webhook`, or the `reason`.
    #[schema(value_type = Vec<Object>)]
    pub actions: Vec<Value>,
    /// The rules that caused what it answers, the first one first.
    pub caused_by: Vec<String>,
    /// How often the same came again within the cool-down, or by the same switch.
    pub repeats: i64,
    /// When it ended.
    pub ended_at: Option<String>,
}

/// Makes a rule.
///
/// # Errors
/// What can't be taken; `Conflict` when there are too many; `Forbidden` when a check is overridden by anyone but an admin.
pub async fn create_rule(
    body: Value,
    idempotency_key: Option<&str>,
    principal: &Principal,
    eim: &Eim,
) -> Result<RuleView, ManageError> {
    let key = idempotency_key.map(|key| idempotency(key, "rule", &body, eim)).transpose()?;
    // A repeated request has its answer, though it could not be made any more.
    if let Some(key) = &key {
        match eim.store().earlier_request(key.clone()).await? {
            Some(SavedOnce::Before { resource }) => return self::rule(&resource, eim).await,
            Some(_) => return Err(key_taken()),
            None => {}
        }
    }
    let ReadRule { spec, secrets } = RuleSpec::from_api(&body, None).map_err(ManageError::Invalid)?;
    may_override(&spec, principal)?;
    check_references(&spec, eim).await?;
    for _ in 0..ATTEMPTS {
        let revision = check_cycle(None, &spec, eim).await?;
        let now = eim.clock().now_ms();
        let id = eim.entropy().operation_id(now);
        let rule = StoredRule {
            seq: 0,
            id,
            name: spec.name.clone(),
            enabled: spec.enabled,
            version: 0,
            spec: spec.to_stored(),
            secret: seal(id, &secrets, eim),
            created_by: json!({ "keyId": principal.key_id, "name": principal.name }),
            since: StreamPosition::default(),
            since_at: now,
            stopped_at: None,
            look_at: look_at(&spec, now),
            scan_after: 0,
            created_at: now,
        };
        let event = told("ruleCreated", id, &spec.name, principal);
        match eim.store().insert_rule(rule, revision, event, key.clone(), AT_MOST).await? {
            RuleSaved::Done => return rule_view(id, eim).await,
            RuleSaved::Conflict => {}
            RuleSaved::TooMany => {
                let message = format!("there are {AT_MOST} rules already; delete one first");
                return Err(ManageError::Conflict { slug: "too-many-rules", message });
            }
            RuleSaved::Earlier(Enqueued::Before { resource }) => return self::rule(&resource, eim).await,
            RuleSaved::Earlier(_) => return Err(key_taken()),
        }
    }
    Err(busy())
}

/// Changes a rule by a JSON merge patch (RFC 7396). `then` is set as a whole; without it the actions stay with their secrets.
/// What has fired and was not carried out yet is withdrawn. Enabled again, it fires on what happens from then on.
///
/// # Errors
/// What can't be taken; `NotFound`; `Forbidden` when a check is overridden by anyone but an admin.
pub async fn update_rule(id: &str, patch: Value, principal: &Principal, eim: &Eim) -> Result<RuleView, ManageError> {
    let id = parse(id)?;
    let Value::Object(patch) = patch else { return Err(ManageError::invalid("", "an object is expected")) };
    for _ in 0..ATTEMPTS {
        let revision = eim.store().rule_reader().await?.revision;
        let (mut stored, before) = load(id, eim).await?;
        let mut merged = before.settings();
        merged["name"] = json!(before.name);
        merged["enabled"] = json!(before.enabled);
        merge(&mut merged, &Value::Object(patch.clone()));
        let kept = match patch.get("then") {
            Some(_) => None,
            None => Some(kept(&stored, &before, eim)?),
        };
        let ReadRule { spec, secrets } = RuleSpec::from_api(&merged, kept).map_err(ManageError::Invalid)?;
        let only_disables = patch.len() == 1 && patch.get("enabled") == Some(&json!(false));
        if !only_disables {
            may_override(&before, principal)?;
            may_override(&spec, principal)?;
            check_references(&spec, eim).await?;
            if check_cycle(Some(id), &spec, eim).await? != revision {
                continue;
            }
        }
        let now = eim.clock().now_ms();
        let anew = spec.enabled && (!before.enabled || spec.when != before.when);
        stored.name.clone_from(&spec.name);
        stored.enabled = spec.enabled;
        stored.version += 1;
        stored.spec = spec.to_stored();
        stored.secret = seal(id, &secrets, eim);
        stored.stopped_at = stored.stopped_at.filter(|_| !spec.enabled);
        stored.look_at = look_at(&spec, now);
        let mut event = told("ruleChanged", id, &spec.name, principal);
        event.details.insert("members".to_owned(), json!(patch.keys().collect::<Vec<_>>()));
        if eim.store().change_rule(stored, revision, anew, event, now).await? == RuleSaved::Done {
            return rule_view(id, eim).await;
        }
    }
    Err(busy())
}

/// Removes a rule with the log of its firings. What it has asked for already goes on.
///
/// # Errors
/// When it is not known.
pub async fn delete_rule(id: &str, principal: &Principal, eim: &Eim) -> Result<(), ManageError> {
    let id = parse(id)?;
    let Some(stored) = eim.store().rule(id).await? else { return Err(not_found(&id.to_string())) };
    let event = told("ruleDeleted", id, &stored.name, principal);
    if eim.store().delete_rule(id, event, eim.clock().now_ms()).await? {
        Ok(())
    } else {
        Err(not_found(&id.to_string()))
    }
}

/// Shows a rule.
///
/// # Errors
/// When it is not known.
pub async fn rule(id: &str, eim: &Eim) -> Result<RuleView, ManageError> {
    rule_view(parse(id)?, eim).await
}

async fn rule_view(id: OperationId, eim: &Eim) -> Result<RuleView, ManageError> {
    let (stored, spec) = load(id, eim).await?;
    Ok(shown(&stored, &spec))
}

/// Lists rules, oldest first.
///
/// # Errors
/// When the cursor can't be taken.
pub async fn list_rules(cursor: Option<&str>, limit: Option<u32>, eim: &Eim) -> Result<Page<RuleView>, ManageError> {
    let (after, limit) = page::bounds(cursor, limit)?;
    let mut found = eim.store().rules(after, limit + 1).await?;
    let next_cursor = page::cut(&mut found, limit, |rule| rule.seq);
    let items: Result<Vec<RuleView>, ManageError> =
        found.into_iter().map(|stored| Ok(shown(&stored, &read_stored(&stored)?))).collect();
    Ok(Page { items: items?, next_cursor })
}

/// Lists when a rule fired and what came of it, oldest first.
///
/// # Errors
/// When the cursor can't be taken; `NotFound`.
pub async fn list_firings(
    id: &str,
    cursor: Option<&str>,
    limit: Option<u32>,
    eim: &Eim,
) -> Result<Page<FiringView>, ManageError> {
    let id = parse(id)?;
    let (after, limit) = page::bounds(cursor, limit)?;
    eim.store().rule(id).await?.ok_or_else(|| not_found(&id.to_string()))?;
    let mut found = eim.store().firings(id, after, limit + 1).await?;
    let next_cursor = page::cut(&mut found, limit, |firing| firing.seq);
    Ok(Page { items: found.into_iter().map(firing_view).collect(), next_cursor })
}

/// Says what a rule would do and would have done, and makes nothing.
///
/// # Errors
/// As for making it.
pub async fn dry_run_rule(body: Value, principal: &Principal, eim: &Eim) -> Result<RuleDryRun, ManageError> {
    let ReadRule { spec, secrets: _ } = RuleSpec::from_api(&body, None).map_err(ManageError::Invalid)?;
    may_override(&spec, principal)?;
    check_references(&spec, eim).await?;
    check_cycle(None, &spec, eim).await?;
    rehearsal::rehearse(&spec, eim).await
}

/// The secrets of a rule's actions by their index; `None` when they can't be read with the key at hand.
pub(crate) fn secrets_of(rule: &StoredRule, eim: &Eim) -> Option<HashMap<usize, Secrets>> {
    let Some(sealed) = &rule.secret else { return Some(HashMap::new()) };
    let opened = eim.sealing().open(sealed, secret_context(rule.id).as_bytes()).ok()?;
    serde_json::from_slice(&opened).ok()
}

fn secret_context(id: OperationId) -> String {
    format!("rule {id}")
}

fn seal(id: OperationId, secrets: &[Secrets], eim: &Eim) -> Option<Vec<u8>> {
    let hidden: HashMap<usize, &Secrets> =
        secrets.iter().enumerate().filter(|(_, secrets)| !secrets.is_empty()).collect();
    if hidden.is_empty() {
        return None;
    }
    let octets = serde_json::to_vec(&hidden).unwrap_or_default();
    Some(eim.sealing().seal(&octets, secret_context(id).as_bytes(), eim.entropy().octets()))
}

fn kept(stored: &StoredRule, spec: &RuleSpec, eim: &Eim) -> Result<KeptActions, ManageError> {
    let unreadable = || ManageError::Conflict {
        slug: "secret-unreadable",
        message: "The secrets of the rule can't be read with the key in secrets.key; set then anew.".to_owned(),
    };
    let mut secrets = secrets_of(stored, eim).ok_or_else(unreadable)?;
    let with_secrets = |(index, action): (usize, &Action)| (action.clone(), secrets.remove(&index).unwrap_or_default());
    Ok(spec.then.iter().enumerate().map(with_secrets).collect())
}

/// JSON merge patch (RFC 7396). The depth is that of a request that was read, which is bounded.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

fn look_at(spec: &RuleSpec, now: i64) -> Option<i64> {
    (spec.enabled && matches!(spec.when, Condition::NoPollFor(_))).then_some(now)
}

fn told(event_type: &'static str, id: OperationId, name: &str, by: &Principal) -> Event {
    let details = json!({ "rule": id, "name": name, "by": { "key": by.key_id, "name": by.name } });
    match event_type {
        "ruleCreated" => Event::new("ruleCreated", details),
        "ruleDeleted" => Event::new("ruleDeleted", details),
        _ => Event::new("ruleChanged", details),
    }
}

fn may_override(spec: &RuleSpec, principal: &Principal) -> Result<(), ManageError> {
    if spec.then.iter().any(Action::overrides) && !principal.role.may(Role::Admin) {
        return Err(ManageError::Forbidden("overriding a check of the guard needs the role admin".to_owned()));
    }
    Ok(())
}

/// What a rule names must be there.
async fn check_references(spec: &RuleSpec, eim: &Eim) -> Result<(), ManageError> {
    let mut errors = Vec::new();
    for (index, action) in spec.then.iter().enumerate() {
        match action {
            Action::Webhook { id } if eim.store().webhook(*id).await?.is_none() => {
                errors.push(FieldError::new(format!("/then/{index}/webhook/id"), "there is no such webhook"));
            }
            Action::Switch { plan: Plan::Switch { to: Target::Pool(name), .. } }
                if eim.store().pool(name).await?.is_none() =>
            {
                errors.push(FieldError::new(format!("/then/{index}/switch/to/pool"), "there is no such pool"));
            }
            Action::Operations { requests } => {
                errors.extend(own_rotations(requests, &format!("/then/{index}/operations"), eim));
            }
            Action::Webhook { .. } | Action::Switch { .. } | Action::Tag { .. } => {}
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(ManageError::Invalid(errors)) }
}

/// Refuses a rule that feeds itself, alone or by others that are enabled; gives the revision of the rules that it was
/// compared with.
async fn check_cycle(id: Option<OperationId>, spec: &RuleSpec, eim: &Eim) -> Result<i64, ManageError> {
    let revision = eim.store().rule_reader().await?.revision;
    let mut others = Vec::new();
    for stored in eim.store().rules(0, AT_MOST).await? {
        if stored.enabled && Some(stored.id) != id {
            others.push((stored.id, read_stored(&stored)?));
        }
    }
    let link = |id: OperationId, spec| {
        let RuleSpec { name, when, then, .. }: &RuleSpec = spec;
        (id, name.as_str(), when, then.as_slice())
    };
    let as_link = |(id, name, when, then)| Link { id, name, when, then };
    let links: Vec<Link<'_>> = others.iter().map(|(id, spec)| as_link(link(*id, spec))).collect();
    // A rule that is made has no name for reference yet, and is none of the others.
    let own = id.unwrap_or_else(|| eim.entropy().operation_id(eim.clock().now_ms()));
    match cycle(as_link(link(own, spec)), &links) {
        None => Ok(revision),
        Some(found) => {
            let message = if found.names.len() == 1 {
                "the rule would feed itself: what it does here is what it waits for".to_owned()
            } else {
                format!("these rules would feed each other without end: {}", found.names.join(", "))
            };
            Err(ManageError::invalid(format!("/then/{}", found.action), message))
        }
    }
}

fn read_stored(stored: &StoredRule) -> Result<RuleSpec, ManageError> {
    RuleSpec::from_stored(stored.name.clone(), stored.enabled, &stored.spec)
        .ok_or(ManageError::Store(crate::store::StoreError::Corrupt { column: "rules.spec" }))
}

async fn load(id: OperationId, eim: &Eim) -> Result<(StoredRule, RuleSpec), ManageError> {
    let stored = eim.store().rule(id).await?.ok_or_else(|| not_found(&id.to_string()))?;
    let spec = read_stored(&stored)?;
    Ok((stored, spec))
}

fn parse(id: &str) -> Result<OperationId, ManageError> {
    id.parse().map_err(|_| not_found(id))
}

fn not_found(id: &str) -> ManageError {
    ManageError::NotFound { what: "rule", id: id.chars().take(64).collect() }
}

fn busy() -> ManageError {
    ManageError::Conflict {
        slug: "rules-busy",
        message: "rules were changed by others meanwhile; try again".to_owned(),
    }
}

fn shown(stored: &StoredRule, spec: &RuleSpec) -> RuleView {
    let state = match (stored.enabled, stored.stopped_at) {
        (true, _) => "active",
        (false, Some(_)) => "stopped",
        (false, None) => "disabled",
    };
    let mut settings = spec.settings();
    RuleView {
        id: stored.id.to_string(),
        name: stored.name.clone(),
        enabled: stored.enabled,
        state: state.to_owned(),
        filter: settings["filter"].take(),
        when: settings["when"].take(),
        then: spec.then.iter().map(action_view).collect(),
        cool_down: settings["coolDown"].take(),
        max_firings_per_hour: spec.max_firings_per_hour,
        created_by: stored.created_by.clone(),
        created_at: rfc3339(stored.created_at),
        stopped_at: stored.stopped_at.map(rfc3339),
    }
}

fn action_view(action: &Action) -> Value {
    match action {
        Action::Switch { plan } => view::plan(plan),
        Action::Operations { requests } => json!({ "operations": requests }),
        Action::Tag { add, remove } => json!({ "tag": { "add": add, "remove": remove } }),
        Action::Webhook { id } => json!({ "webhook": { "id": id } }),
    }
}

fn firing_view(firing: Firing) -> FiringView {
    let caused_by = firing.chain.iter().take(firing.chain.len().saturating_sub(1)).map(ToString::to_string).collect();
    FiringView {
        id: firing.id.to_string(),
        eid: firing.eid.to_string(),
        at: rfc3339(firing.at),
        outcome: firing.outcome.as_str().to_owned(),
        event: firing.event,
        actions: firing.steps,
        caused_by,
        repeats: firing.repeats,
        ended_at: firing.ended_at.map(rfc3339),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_sets_clears_and_replaces() {
        let mut target = json!({ "a": { "b": 1, "c": 2 }, "d": [1, 2], "e": 3 });
        merge(&mut target, &json!({ "a": { "b": null, "x": { "y": 1 } }, "d": [3], "e": null }));
        assert_eq!(target, json!({ "a": { "c": 2, "x": { "y": 1 } }, "d": [3] }));
    }
}
