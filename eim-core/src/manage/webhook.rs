//! Webhooks: who is told of events, and what could not be delivered.

use super::event_stream::{CloudEvent, source};
use super::register::{idempotency, key_taken};
use super::views::Page;
use super::{FieldError, ManageError, page};
use crate::Eim;
use crate::domain::{EventFilter, TYPE_PREFIX, TypePattern, rfc3339};
use crate::ids::OperationId;
use crate::store::Enqueued;
use crate::store::webhook::{
    Delivery, DeliveryState, NewDelivery, NewWebhook, Replay, Webhook, WebhookAdded, WebhookSettings,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// How many webhooks a tenant may have: each is told of every event.
const AT_MOST: i64 = 100;
const TYPES_MAX: usize = 64;
const TAGS_MAX: usize = 64;
const TEXT_MAX: usize = 128;
const DESCRIPTION_MAX: usize = 512;
const URL_MAX: usize = 2_048;
const SECRET_BYTES: usize = 32;
/// What a secret begins with (Standard Webhooks).
const SECRET_PREFIX: &str = "whsec_";
const OVERLAP_S: i64 = 24 * 3_600;
const OVERLAP_MAX_S: i64 = 30 * 24 * 3_600;
const MEMBERS: [&str; 5] = ["url", "types", "filter", "description", "enabled"];

/// A webhook.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookView {
    /// A UUID.
    pub id: String,
    /// Where events are sent.
    pub url: String,
    /// Which types of events; all, when empty.
    pub types: Vec<String>,
    /// About which eUICCs.
    pub filter: WebhookFilterView,
    /// The operator's own words.
    pub description: Option<String>,
    /// Whether events are sent.
    pub enabled: bool,
    /// `active`, `failing` (the last attempt was in vain; it is tried again) or `disabled`.
    pub state: String,
    /// The secret that signs, `whsec_` and base64. Shown when it is made and when it is rotated, never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Until when the secret before it signs as well.
    pub old_secret_valid_until: Option<String>,
    /// How many events were taken.
    pub delivered: i64,
    /// How often it failed in a row.
    pub attempts: i64,
    /// Since when it fails.
    pub failing_since: Option<String>,
    /// When it is tried again.
    pub next_attempt_at: Option<String>,
    /// Why it failed.
    pub last_error: Option<String>,
    /// When it last took an event.
    pub last_success_at: Option<String>,
    /// The events of a time that are sent once more now.
    pub replay: Option<ReplayView>,
    /// When it was made.
    pub created_at: String,
}

/// About which eUICCs a webhook is told; all that is given must hold.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookFilterView {
    /// This one.
    pub eid: Option<String>,
    /// Those that have all of these tags when the event is sent.
    pub tags: Vec<String>,
}

/// A replay under way.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplayView {
    /// From this time on.
    pub from: String,
    /// Before this time.
    pub to: String,
}

/// What became of an event that was given up, tried again by request, or is a test.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookDeliveryView {
    /// A UUID.
    pub id: String,
    /// The webhook.
    pub webhook_id: String,
    /// `id` of the event.
    pub event_id: String,
    /// `type` of the event.
    pub event_type: String,
    /// `pending`, `delivered` or `dead`.
    pub state: String,
    /// How often it was sent in vain since it is here.
    pub attempts: i64,
    /// The HTTP status of the last answer.
    pub status: Option<i64>,
    /// Why it was not taken.
    pub last_error: Option<String>,
    /// The event.
    #[schema(value_type = Object)]
    pub event: Value,
    /// Since when it is here.
    pub created_at: String,
    /// When it was taken or given up.
    pub ended_at: Option<String>,
}

/// Makes a webhook; it is told of what happens from then on.
///
/// # Errors
/// What can't be taken; `Conflict` when there are too many.
pub async fn create_webhook(body: Value, key: Option<&str>, eim: &Eim) -> Result<WebhookView, ManageError> {
    let now = eim.clock().now_ms();
    let key = key.map(|key| idempotency(key, "webhook", &body, eim)).transpose()?;
    let blank =
        WebhookSettings { url: String::new(), filter: EventFilter::default(), description: None, enabled: true };
    let settings = read(body, blank, eim).await?;
    let id = eim.entropy().operation_id(now);
    let (_, sealed) = new_secret(id, eim);
    let new = NewWebhook { id, source: source(eim), settings, secret: sealed };
    let id = match eim.store().insert_webhook(new, key, AT_MOST, now).await? {
        WebhookAdded::TooMany => {
            let message = format!("there are {AT_MOST} webhooks already; delete one first");
            return Err(ManageError::Conflict { slug: "too-many-webhooks", message });
        }
        WebhookAdded::Enqueued(Enqueued::Before { resource }) => resource,
        WebhookAdded::Enqueued(Enqueued::KeyTaken) => return Err(key_taken()),
        WebhookAdded::Enqueued(Enqueued::Done | Enqueued::Exists | Enqueued::UnknownEuicc) => id.to_string(),
    };
    // The answer of a repeated request is the same: whoever has the key has made it.
    with_secret(load(&id, eim).await?, eim)
}

/// Shows a webhook.
///
/// # Errors
/// When it is not known.
pub async fn webhook(id: &str, eim: &Eim) -> Result<WebhookView, ManageError> {
    Ok(view(load(id, eim).await?, eim))
}

/// Lists webhooks, oldest first.
///
/// # Errors
/// When the cursor can't be taken.
pub async fn list_webhooks(
    cursor: Option<&str>,
    limit: Option<u32>,
    eim: &Eim,
) -> Result<Page<WebhookView>, ManageError> {
    let (after, limit) = page::bounds(cursor, limit)?;
    let mut found = eim.store().webhooks(after, limit + 1).await?;
    let next_cursor = page::cut(&mut found, limit, |webhook| webhook.seq);
    Ok(Page { items: found.into_iter().map(|webhook| view(webhook, eim)).collect(), next_cursor })
}

/// Changes a webhook by a JSON merge patch (RFC 7396). It is tried at once, if it waits. What happened while it was
/// disabled is sent when it is enabled again.
///
/// # Errors
/// What can't be taken; `NotFound`.
pub async fn update_webhook(id: &str, patch: Value, eim: &Eim) -> Result<WebhookView, ManageError> {
    let now = eim.clock().now_ms();
    let Webhook { id, url, filter, description, enabled, .. } = load(id, eim).await?;
    let settings = read(patch, WebhookSettings { url, filter, description, enabled }, eim).await?;
    if !eim.store().change_webhook(id, settings, now).await? {
        return Err(not_found(&id.to_string()));
    }
    eim.wake_jobs();
    webhook(&id.to_string(), eim).await
}

/// Removes a webhook, with its dead letters.
///
/// # Errors
/// When it is not known.
pub async fn delete_webhook(id: &str, eim: &Eim) -> Result<(), ManageError> {
    let parsed = id.parse().map_err(|_| not_found(id))?;
    if eim.store().delete_webhook(parsed).await? { Ok(()) } else { Err(not_found(id)) }
}

/// Gives a webhook another secret. The one before signs as well for `overlapSeconds`, a day when nobody says.
///
/// # Errors
/// What can't be taken; `NotFound`.
pub async fn rotate_webhook(id: &str, body: Value, key: Option<&str>, eim: &Eim) -> Result<WebhookView, ManageError> {
    let now = eim.clock().now_ms();
    let id = load(id, eim).await?.id;
    let key = key.map(|key| idempotency(key, &format!("rotate {id}"), &body, eim)).transpose()?;
    let mut body = members(body, &["overlapSeconds"])?;
    let overlap_s = match body.remove("overlapSeconds") {
        None | Some(Value::Null) => OVERLAP_S,
        Some(value) => value.as_i64().filter(|seconds| (0..=OVERLAP_MAX_S).contains(seconds)).ok_or_else(|| {
            ManageError::invalid("/overlapSeconds", format!("a number from 0 to {OVERLAP_MAX_S} is expected"))
        })?,
    };
    let (_, sealed) = new_secret(id, eim);
    let rotated = eim.store().rotate_webhook(id, sealed, now + overlap_s * 1_000, key, now).await?;
    done(rotated, &id.to_string())?;
    with_secret(load(&id.to_string(), eim).await?, eim)
}

/// Sends a webhook the events of a time once more, in the order of time.
///
/// # Errors
/// What can't be taken; `NotFound`; `Conflict` while another replay is under way.
pub async fn replay_webhook(id: &str, body: Value, key: Option<&str>, eim: &Eim) -> Result<WebhookView, ManageError> {
    let now = eim.clock().now_ms();
    let id = load(id, eim).await?.id;
    let key = key.map(|key| idempotency(key, &format!("replay {id}"), &body, eim)).transpose()?;
    let body = members(body, &["from", "to"])?;
    let mut errors = Vec::new();
    let mut time = |name: &str| {
        let time = body.get(name).and_then(Value::as_str).and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        if time.is_none() {
            errors.push(FieldError::new(format!("/{name}"), "a time as in RFC 3339 is expected"));
        }
        time.map_or(0, |time| time.timestamp_millis())
    };
    let (from, to) = (time("from"), time("to"));
    if errors.is_empty() && to <= from {
        errors.push(FieldError::new("/to", "a time after from is expected"));
    }
    if errors.is_empty() && from > now {
        errors.push(FieldError::new("/from", "a time in the past is expected"));
    }
    if !errors.is_empty() {
        return Err(ManageError::Invalid(errors));
    }
    // What happens from now on is sent anyway.
    let begun = eim.store().replay_webhook(id, (from, to.min(now + 1)), key, now).await?;
    if begun == Some(Enqueued::Exists) {
        let message = "another replay of this webhook is under way".to_owned();
        return Err(ManageError::Conflict { slug: "replay-under-way", message });
    }
    done(begun, &id.to_string())?;
    eim.wake_jobs();
    webhook(&id.to_string(), eim).await
}

/// Sends a webhook an event of the type `eim.webhookTest`, once. The delivery shows what became of it.
///
/// # Errors
/// When it is not known.
pub async fn test_webhook(id: &str, key: Option<&str>, eim: &Eim) -> Result<WebhookDeliveryView, ManageError> {
    let now = eim.clock().now_ms();
    let webhook = load(id, eim).await?;
    let key = key.map(|key| idempotency(key, &format!("test {}", webhook.id), &Value::Null, eim)).transpose()?;
    let id = eim.entropy().operation_id(now);
    let event = CloudEvent {
        specversion: "1.0",
        id: id.to_string(),
        source: webhook.source,
        event_type: format!("{TYPE_PREFIX}webhookTest"),
        time: rfc3339(now),
        subject: Some(format!("webhooks/{}", webhook.id)),
        datacontenttype: "application/json",
        data: Map::new(),
    };
    let new = NewDelivery {
        id,
        event_id: event.id.clone(),
        event_type: event.event_type.clone(),
        body: json!(event).to_string(),
    };
    let id = done(eim.store().insert_delivery(webhook.id, new, key, now).await?, &id.to_string())?;
    eim.wake_jobs();
    delivery(&id, eim).await
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Only those in this state.
    pub state: Option<String>,
    /// The `nextCursor` of the page before.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// Lists what a webhook was not simply told in order: dead letters, those that were tried again, and tests; oldest first.
///
/// # Errors
/// When a filter can't be taken; `NotFound`.
pub async fn list_deliveries(
    id: &str,
    filter: DeliveryFilter,
    eim: &Eim,
) -> Result<Page<WebhookDeliveryView>, ManageError> {
    let (after, limit) = page::bounds(filter.cursor.as_deref(), filter.limit)?;
    let state = match filter.state.as_deref() {
        None => None,
        Some(word) => Some(
            DeliveryState::from_word(word)
                .ok_or_else(|| ManageError::invalid("/state", "one of pending, delivered and dead is expected"))?,
        ),
    };
    let id = load(id, eim).await?.id;
    let mut found = eim.store().deliveries(id, state, after, limit + 1).await?;
    let next_cursor = page::cut(&mut found, limit, |delivery| delivery.seq);
    Ok(Page { items: found.into_iter().map(delivery_view).collect(), next_cursor })
}

/// Sends a dead letter once more.
///
/// # Errors
/// When it is not known; `Conflict` when it is no dead letter.
pub async fn retry_delivery(id: &str, key: Option<&str>, eim: &Eim) -> Result<WebhookDeliveryView, ManageError> {
    let found = load_delivery(id, eim).await?;
    let now = eim.clock().now_ms();
    let key = key.map(|key| idempotency(key, &format!("retry {}", found.id), &Value::Null, eim)).transpose()?;
    match eim.store().retry_delivery(found.id, key, now).await? {
        Enqueued::Done | Enqueued::Before { .. } => {}
        Enqueued::KeyTaken => return Err(key_taken()),
        Enqueued::Exists | Enqueued::UnknownEuicc => {
            let message = format!("the delivery is {} and no dead letter", found.state.as_str());
            return Err(ManageError::Conflict { slug: "delivery-not-dead", message });
        }
    }
    eim.wake_jobs();
    delivery(id, eim).await
}

/// Shows a delivery.
///
/// # Errors
/// When it is not known.
pub async fn delivery(id: &str, eim: &Eim) -> Result<WebhookDeliveryView, ManageError> {
    Ok(delivery_view(load_delivery(id, eim).await?))
}

async fn load_delivery(id: &str, eim: &Eim) -> Result<Delivery, ManageError> {
    let not_found = || ManageError::NotFound { what: "delivery", id: id.chars().take(64).collect() };
    let parsed: OperationId = id.parse().map_err(|_| not_found())?;
    eim.store().delivery(parsed).await?.ok_or_else(not_found)
}

fn done(outcome: Option<Enqueued>, id: &str) -> Result<String, ManageError> {
    match outcome {
        None => Err(not_found(id)),
        Some(Enqueued::KeyTaken) => Err(key_taken()),
        Some(Enqueued::Before { resource }) => Ok(resource),
        Some(Enqueued::Done | Enqueued::Exists | Enqueued::UnknownEuicc) => Ok(id.to_owned()),
    }
}

fn not_found(id: &str) -> ManageError {
    ManageError::NotFound { what: "webhook", id: id.chars().take(64).collect() }
}

async fn load(id: &str, eim: &Eim) -> Result<Webhook, ManageError> {
    let parsed: OperationId = id.parse().map_err(|_| not_found(id))?;
    eim.store().webhook(parsed).await?.ok_or_else(|| not_found(id))
}

/// What a secret is sealed for.
pub(crate) fn secret_context(id: OperationId) -> String {
    format!("webhook {id}")
}

fn new_secret(id: OperationId, eim: &Eim) -> ([u8; SECRET_BYTES], Vec<u8>) {
    let secret: [u8; SECRET_BYTES] = eim.entropy().octets();
    let sealed = eim.sealing().seal(&secret, secret_context(id).as_bytes(), eim.entropy().octets());
    (secret, sealed)
}

fn with_secret(webhook: Webhook, eim: &Eim) -> Result<WebhookView, ManageError> {
    let context = secret_context(webhook.id);
    let secret = eim.sealing().open(&webhook.secret, context.as_bytes()).map_err(|error| ManageError::Conflict {
        slug: "secret-unreadable",
        message: format!("the secret of the webhook can't be shown: {error}"),
    })?;
    let mut view = view(webhook, eim);
    view.secret = Some(format!("{SECRET_PREFIX}{}", STANDARD.encode(secret)));
    Ok(view)
}

fn view(webhook: Webhook, eim: &Eim) -> WebhookView {
    let state = match (webhook.enabled, webhook.failing_since) {
        (false, _) => "disabled",
        (true, Some(_)) => "failing",
        (true, None) => "active",
    };
    let now = eim.clock().now_ms();
    let old_until = webhook.old_secret_until.filter(|until| *until > now);
    WebhookView {
        id: webhook.id.to_string(),
        url: webhook.url,
        types: webhook.filter.types.iter().map(ToString::to_string).collect(),
        filter: WebhookFilterView { eid: webhook.filter.eid.map(|eid| eid.to_string()), tags: webhook.filter.tags },
        description: webhook.description,
        enabled: webhook.enabled,
        state: state.to_owned(),
        secret: None,
        old_secret_valid_until: old_until.map(rfc3339),
        delivered: webhook.delivered,
        attempts: webhook.attempts,
        failing_since: webhook.failing_since.map(rfc3339),
        next_attempt_at: webhook.next_attempt_at.filter(|_| webhook.enabled).map(rfc3339),
        last_error: webhook.last_error,
        last_success_at: webhook.last_success_at.map(rfc3339),
        replay: webhook.replay.map(|Replay { from, to, .. }| ReplayView { from: rfc3339(from), to: rfc3339(to) }),
        created_at: rfc3339(webhook.created_at),
    }
}

fn delivery_view(delivery: Delivery) -> WebhookDeliveryView {
    WebhookDeliveryView {
        id: delivery.id.to_string(),
        webhook_id: delivery.webhook.to_string(),
        event_id: delivery.event_id,
        event_type: delivery.event_type,
        state: delivery.state.as_str().to_owned(),
        attempts: delivery.attempts,
        status: delivery.status,
        last_error: delivery.last_error,
        event: serde_json::from_str(&delivery.body).unwrap_or_default(),
        created_at: rfc3339(delivery.created_at),
        ended_at: delivery.ended_at.map(rfc3339),
    }
}

/// The members of a body, none of them unknown; no body is an empty one.
fn members(body: Value, known: &[&str]) -> Result<Map<String, Value>, ManageError> {
    let body = match body {
        Value::Object(body) => body,
        Value::Null => Map::new(),
        _ => return Err(ManageError::invalid("", "an object is expected")),
    };
    let unknown = body.keys().filter(|name| !known.contains(&name.as_str()));
    let errors: Vec<FieldError> =
        unknown.map(|name| FieldError::new(format!("/{name}"), "this member is not known here")).collect();
    if errors.is_empty() { Ok(body) } else { Err(ManageError::Invalid(errors)) }
}

/// Reads settings over those there are.
async fn read(body: Value, mut settings: WebhookSettings, eim: &Eim) -> Result<WebhookSettings, ManageError> {
    let Value::Object(body) = body else { return Err(ManageError::invalid("", "an object is expected")) };
    let mut errors = Vec::new();
    for name in body.keys().filter(|name| !MEMBERS.contains(&name.as_str())) {
        errors.push(FieldError::new(format!("/{name}"), "this member can't be set or is not known"));
    }
    match body.get("url") {
        None if !settings.url.is_empty() => {}
        None | Some(Value::Null) if settings.url.is_empty() => {
            errors.push(FieldError::new("/url", "this member is needed"));
        }
        Some(Value::String(url)) if url.len() <= URL_MAX && !url.contains('\0') => {
            if let Err(reason) = eim.webhooks().admit(url.clone()).await {
                errors.push(FieldError::new("/url", reason));
            }
            settings.url.clone_from(url);
        }
        _ => errors.push(FieldError::new("/url", format!("an address of at most {URL_MAX} octets is expected"))),
    }
    match body.get("types") {
        None => {}
        Some(Value::Null) => settings.filter.types.clear(),
        Some(Value::Array(types)) if types.len() <= TYPES_MAX => {
            settings.filter.types.clear();
            for (index, word) in types.iter().enumerate() {
                match word.as_str().map(|word| TypePattern::try_from(word.to_owned())) {
                    Some(Ok(pattern)) => settings.filter.types.push(pattern),
                    Some(Err(error)) => errors.push(FieldError::new(format!("/types/{index}"), error.to_string())),
                    None => errors.push(FieldError::new(format!("/types/{index}"), "a text is expected")),
                }
            }
        }
        Some(_) => errors.push(FieldError::new("/types", format!("a list of at most {TYPES_MAX} types is expected"))),
    }
    match body.get("filter") {
        None => {}
        Some(Value::Null) => (settings.filter.eid, settings.filter.tags) = (None, vec![]),
        Some(Value::Object(filter)) => read_filter(filter, &mut settings.filter, &mut errors),
        Some(_) => errors.push(FieldError::new("/filter", "an object is expected")),
    }
    match body.get("description") {
        None => {}
        Some(Value::Null) => settings.description = None,
        Some(Value::String(text)) if text.len() <= DESCRIPTION_MAX && !text.contains('\0') => {
            settings.description = Some(text.clone()).filter(|text| !text.is_empty());
        }
        Some(_) => {
            let message = format!("a text of at most {DESCRIPTION_MAX} octets, none of them zero, is expected");
            errors.push(FieldError::new("/description", message));
        }
    }
    match body.get("enabled") {
        None => {}
        Some(Value::Bool(enabled)) => settings.enabled = *enabled,
        Some(_) => errors.push(FieldError::new("/enabled", "true or false is expected")),
    }
    if errors.is_empty() { Ok(settings) } else { Err(ManageError::Invalid(errors)) }
}

fn read_filter(given: &Map<String, Value>, filter: &mut EventFilter, errors: &mut Vec<FieldError>) {
    for (name, value) in given {
        match (name.as_str(), value) {
            ("eid", Value::Null) => filter.eid = None,
            ("eid", Value::String(text)) => match text.parse() {
                Ok(eid) => filter.eid = Some(eid),
                Err(error) => errors.push(FieldError::new("/filter/eid", format!("{error}"))),
            },
            ("eid", _) => errors.push(FieldError::new("/filter/eid", "32 digits are expected")),
            ("tags", Value::Null) => filter.tags.clear(),
            ("tags", Value::Array(tags)) if tags.len() <= TAGS_MAX => {
                filter.tags.clear();
                for (index, tag) in tags.iter().enumerate() {
                    match tag.as_str().filter(|tag| (1..=TEXT_MAX).contains(&tag.len()) && !tag.contains('\0')) {
                        Some(tag) => filter.tags.push(tag.to_owned()),
                        None => {
                            let message = format!("a tag of 1 to {TEXT_MAX} octets, none of them zero, is expected");
                            errors.push(FieldError::new(format!("/filter/tags/{index}"), message));
                        }
                    }
                }
                filter.tags.sort();
                filter.tags.dedup();
            }
            ("tags", _) => {
                errors.push(FieldError::new("/filter/tags", format!("a list of at most {TAGS_MAX} tags is expected")));
            }
            _ => errors.push(FieldError::new(format!("/filter/{name}"), "this member is not known here")),
        }
    }
}
