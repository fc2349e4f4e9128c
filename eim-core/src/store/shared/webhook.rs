//! Webhooks: each has a place in the stream of events, and a few deliveries outside of its order.

use super::decision::{claim_key, free_key};
use super::event::insert_tenant_event;
use super::job::{ensure_job, hurry_job};
use super::{Connection, stream_end};
use crate::domain::{Event, EventFilter};
use crate::ids::{OperationId, TenantId};
use crate::store::kept;
use crate::store::rows::text_of;
use crate::store::schema::{events, jobs, webhook_deliveries, webhooks};
use crate::store::stream::StreamPosition;
use crate::store::webhook::{
    Delivery, DeliveryState, FailedAttempt, NewDelivery, NewWebhook, Reached, Replay, Step, Webhook, WebhookAdded,
    WebhookSettings,
};
use crate::store::{Enqueued, IdempotencyKey, StoreError};
use diesel::prelude::*;
use serde_json::json;
use std::collections::{HashMap, HashSet};

/// The kind of the job that delivers to one webhook; its key is the webhook's name.
pub(in crate::store) const WEBHOOK: &str = "webhook";
/// How many dead letters a webhook keeps; the oldest go first.
const DEAD_KEPT: i64 = 10_000;
const FORGOTTEN_AT_ONCE: i64 = 500;
const LETTERS_AT_ONCE: i64 = 256;

#[derive(Queryable, Selectable)]
#[diesel(table_name = webhooks)]
struct WebhookRow {
    seq: i64,
    id: String,
    source: String,
    url: String,
    types: String,
    eid: Option<String>,
    tags: String,
    description: Option<String>,
    enabled: bool,
    secret: Vec<u8>,
    old_secret: Option<Vec<u8>>,
    old_secret_until: Option<i64>,
    cursor_xid: i64,
    cursor_seq: i64,
    attempts: i64,
    failing_since: Option<i64>,
    head_failed_at: Option<i64>,
    next_attempt_at: Option<i64>,
    last_error: Option<String>,
    last_success_at: Option<i64>,
    delivered: i64,
    replay_from: Option<i64>,
    replay_to: Option<i64>,
    replay_at: Option<i64>,
    replay_seq: Option<i64>,
    created_at: i64,
}

impl WebhookRow {
    fn webhook(self) -> Result<Webhook, StoreError> {
        let corrupt = |column| move |_| StoreError::Corrupt { column };
        let eid = self.eid.map(|eid| eid.parse().map_err(|_| StoreError::Corrupt { column: "webhooks.eid" }));
        let replay = match (self.replay_from, self.replay_to, self.replay_at, self.replay_seq) {
            (Some(from), Some(to), Some(at), Some(seq)) => Some(Replay { from, to, reached: (at, seq) }),
            _ => None,
        };
        Ok(Webhook {
            seq: self.seq,
            id: self.id.parse().map_err(|_| StoreError::Corrupt { column: "webhooks.id" })?,
            source: self.source,
            url: self.url,
            filter: EventFilter {
                types: serde_json::from_str(&self.types).map_err(corrupt("webhooks.types"))?,
                eid: eid.transpose()?,
                tags: serde_json::from_str(&self.tags).map_err(corrupt("webhooks.tags"))?,
            },
            description: self.description,
            enabled: self.enabled,
            secret: self.secret,
            old_secret: self.old_secret,
            old_secret_until: self.old_secret_until,
            cursor: StreamPosition { xid: self.cursor_xid, seq: self.cursor_seq },
            attempts: self.attempts,
            failing_since: self.failing_since,
            head_failed_at: self.head_failed_at,
            next_attempt_at: self.next_attempt_at,
            last_error: self.last_error,
            last_success_at: self.last_success_at,
            delivered: self.delivered,
            replay,
            created_at: self.created_at,
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = webhook_deliveries)]
struct DeliveryRow {
    seq: i64,
    id: String,
    webhook_id: String,
    event_id: String,
    event_type: String,
    body: String,
    state: String,
    attempts: i64,
    status: Option<i64>,
    last_error: Option<String>,
    created_at: i64,
    ended_at: Option<i64>,
}

impl DeliveryRow {
    fn delivery(self) -> Result<Delivery, StoreError> {
        let corrupt = |column| StoreError::Corrupt { column };
        Ok(Delivery {
            seq: self.seq,
            id: self.id.parse().map_err(|_| corrupt("webhook_deliveries.id"))?,
            webhook: self.webhook_id.parse().map_err(|_| corrupt("webhook_deliveries.webhook_id"))?,
            event_id: self.event_id,
            event_type: self.event_type,
            body: self.body,
            state: DeliveryState::from_word(&self.state).ok_or_else(|| corrupt("webhook_deliveries.state"))?,
            attempts: self.attempts,
            status: self.status,
            last_error: self.last_error,
            created_at: self.created_at,
            ended_at: self.ended_at,
        })
    }
}

/// A webhook of this tenant.
macro_rules! this_webhook {
    ($id:expr, $tenant:expr) => {
        webhooks::table.filter(webhooks::tenant_id.eq($tenant.value()).and(webhooks::id.eq($id.to_string())))
    };
}

/// A webhook that has not gone on from where it was.
macro_rules! still_at {
    ($id:expr, $tenant:expr, $xid:expr, $seq:expr) => {
        this_webhook!($id, $tenant).filter(webhooks::cursor_xid.eq($xid).and(webhooks::cursor_seq.eq($seq)))
    };
}

macro_rules! still_replaying_at {
    ($id:expr, $tenant:expr, $at:expr, $seq:expr) => {
        this_webhook!($id, $tenant).filter(webhooks::replay_at.eq($at).and(webhooks::replay_seq.eq($seq)))
    };
}

pub(in crate::store) fn insert_webhook(
    conn: &mut Connection,
    new: &NewWebhook,
    key: Option<&IdempotencyKey>,
    at_most: i64,
    tenant: TenantId,
    now: i64,
) -> Result<WebhookAdded, StoreError> {
    if let Some(key) = key
        && let Some(earlier) = claim_key(conn, key, &new.id.to_string(), tenant, now)?
    {
        return Ok(WebhookAdded::Enqueued(earlier));
    }
    let there: i64 = webhooks::table.filter(webhooks::tenant_id.eq(tenant.value())).count().get_result(conn)?;
    if there >= at_most {
        if let Some(key) = key {
            free_key(conn, key, tenant)?;
        }
        return Ok(WebhookAdded::TooMany);
    }
    let cursor = stream_end(conn)?;
    let settings = &new.settings;
    diesel::insert_into(webhooks::table)
        .values((
            webhooks::id.eq(new.id.to_string()),
            webhooks::tenant_id.eq(tenant.value()),
            webhooks::source.eq(&new.source),
            webhooks::url.eq(&settings.url),
            webhooks::types.eq(text_of(&settings.filter.types)),
            webhooks::eid.eq(settings.filter.eid.map(|eid| eid.to_string())),
            webhooks::tags.eq(text_of(&settings.filter.tags)),
            webhooks::description.eq(settings.description.as_deref()),
            webhooks::enabled.eq(settings.enabled),
            webhooks::secret.eq(&new.secret),
            webhooks::cursor_xid.eq(cursor.xid),
            webhooks::cursor_seq.eq(cursor.seq),
            webhooks::attempts.eq(0),
            webhooks::delivered.eq(0),
            webhooks::created_at.eq(now),
        ))
        .execute(conn)?;
    Ok(WebhookAdded::Enqueued(Enqueued::Done))
}

pub(in crate::store) fn webhook(
    conn: &mut Connection,
    id: OperationId,
    tenant: TenantId,
) -> Result<Option<Webhook>, StoreError> {
    let row: Option<WebhookRow> = this_webhook!(id, tenant).select(WebhookRow::as_select()).first(conn).optional()?;
    row.map(WebhookRow::webhook).transpose()
}

pub(in crate::store) fn webhook_page(
    conn: &mut Connection,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<Webhook>, StoreError> {
    webhooks::table
        .filter(webhooks::tenant_id.eq(tenant.value()).and(webhooks::seq.gt(after)))
        .order(webhooks::seq)
        .limit(limit)
        .select(WebhookRow::as_select())
        .load(conn)?
        .into_iter()
        .map(WebhookRow::webhook)
        .collect()
}

pub(in crate::store) fn change_webhook(
    conn: &mut Connection,
    id: OperationId,
    settings: &WebhookSettings,
    tenant: TenantId,
    now: i64,
) -> Result<bool, StoreError> {
    let changed = kept::update(this_webhook!(id, tenant))
        .set((
            webhooks::url.eq(&settings.url),
            webhooks::types.eq(text_of(&settings.filter.types)),
            webhooks::eid.eq(settings.filter.eid.map(|eid| eid.to_string())),
            webhooks::tags.eq(text_of(&settings.filter.tags)),
            webhooks::description.eq(settings.description.as_deref()),
            webhooks::enabled.eq(settings.enabled),
            webhooks::attempts.eq(0),
            webhooks::next_attempt_at.eq(None::<i64>),
        ))
        .execute(conn)?;
    if changed == 1 {
        hurry_job(conn, WEBHOOK, &id.to_string(), tenant, now)?;
    }
    Ok(changed == 1)
}

pub(in crate::store) fn delete_webhook(
    conn: &mut Connection,
    id: OperationId,
    tenant: TenantId,
) -> Result<bool, StoreError> {
    if diesel::delete(this_webhook!(id, tenant)).execute(conn)? == 0 {
        return Ok(false);
    }
    let id = id.to_string();
    let left = webhook_deliveries::table
        .filter(webhook_deliveries::tenant_id.eq(tenant.value()).and(webhook_deliveries::webhook_id.eq(&id)));
    diesel::delete(left).execute(conn)?;
    let job = jobs::table.filter(jobs::tenant_id.eq(tenant.value()).and(jobs::kind.eq(WEBHOOK)).and(jobs::key.eq(&id)));
    diesel::delete(job).execute(conn)?;
    Ok(true)
}

pub(in crate::store) fn rotate_webhook(
    conn: &mut Connection,
    id: OperationId,
    secret: &[u8],
    old_until: i64,
    key: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<Option<Enqueued>, StoreError> {
    let before: Option<Vec<u8>> = this_webhook!(id, tenant).select(webhooks::secret).first(conn).optional()?;
    let Some(before) = before else { return Ok(None) };
    if let Some(key) = key
        && let Some(earlier) = claim_key(conn, key, &id.to_string(), tenant, now)?
    {
        return Ok(Some(earlier));
    }
    kept::update(this_webhook!(id, tenant))
        .set((
            webhooks::secret.eq(secret),
            webhooks::old_secret.eq((old_until > now).then_some(before)),
            webhooks::old_secret_until.eq((old_until > now).then_some(old_until)),
        ))
        .execute(conn)?;
    Ok(Some(Enqueued::Done))
}

pub(in crate::store) fn replay_webhook(
    conn: &mut Connection,
    id: OperationId,
    from: i64,
    to: i64,
    key: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<Option<Enqueued>, StoreError> {
    let under_way: Option<Option<i64>> =
        this_webhook!(id, tenant).select(webhooks::replay_to).first(conn).optional()?;
    let Some(under_way) = under_way else { return Ok(None) };
    if let Some(key) = key
        && let Some(earlier) = claim_key(conn, key, &id.to_string(), tenant, now)?
    {
        return Ok(Some(earlier));
    }
    // The condition once more in the change: two requests may have looked at the same time.
    let free = this_webhook!(id, tenant).filter(webhooks::replay_to.is_null());
    let begun = kept::update(free)
        .set((
            webhooks::replay_from.eq(from),
            webhooks::replay_to.eq(to),
            webhooks::replay_at.eq(from - 1),
            webhooks::replay_seq.eq(i64::MAX),
        ))
        .execute(conn)?;
    if under_way.is_some() || begun == 0 {
        if let Some(key) = key {
            free_key(conn, key, tenant)?;
        }
        return Ok(Some(Enqueued::Exists));
    }
    ensure_job(conn, WEBHOOK, &id.to_string(), tenant, now)?;
    Ok(Some(Enqueued::Done))
}

pub(in crate::store) fn insert_delivery(
    conn: &mut Connection,
    webhook: OperationId,
    new: &NewDelivery,
    key: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<Option<Enqueued>, StoreError> {
    let known: Option<i64> = this_webhook!(webhook, tenant).select(webhooks::seq).first(conn).optional()?;
    if known.is_none() {
        return Ok(None);
    }
    if let Some(key) = key
        && let Some(earlier) = claim_key(conn, key, &new.id.to_string(), tenant, now)?
    {
        return Ok(Some(earlier));
    }
    put_delivery(conn, webhook, new, DeliveryState::Pending, None, tenant, now)?;
    hurry_job(conn, WEBHOOK, &webhook.to_string(), tenant, now)?;
    Ok(Some(Enqueued::Done))
}

fn put_delivery(
    conn: &mut Connection,
    webhook: OperationId,
    new: &NewDelivery,
    state: DeliveryState,
    failure: Option<&FailedAttempt>,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    diesel::insert_into(webhook_deliveries::table)
        .values((
            webhook_deliveries::id.eq(new.id.to_string()),
            webhook_deliveries::tenant_id.eq(tenant.value()),
            webhook_deliveries::webhook_id.eq(webhook.to_string()),
            webhook_deliveries::event_id.eq(&new.event_id),
            webhook_deliveries::event_type.eq(&new.event_type),
            webhook_deliveries::body.eq(&new.body),
            webhook_deliveries::state.eq(state.as_str()),
            webhook_deliveries::attempts.eq(0),
            webhook_deliveries::status.eq(failure.and_then(|failure| failure.status)),
            webhook_deliveries::last_error.eq(failure.map(|failure| failure.error.as_str())),
            webhook_deliveries::created_at.eq(now),
            webhook_deliveries::ended_at.eq((state != DeliveryState::Pending).then_some(now)),
        ))
        .execute(conn)?;
    Ok(())
}

pub(in crate::store) fn delivery(
    conn: &mut Connection,
    id: OperationId,
    tenant: TenantId,
) -> Result<Option<Delivery>, StoreError> {
    let row: Option<DeliveryRow> = webhook_deliveries::table
        .filter(webhook_deliveries::tenant_id.eq(tenant.value()).and(webhook_deliveries::id.eq(id.to_string())))
        .select(DeliveryRow::as_select())
        .first(conn)
        .optional()?;
    row.map(DeliveryRow::delivery).transpose()
}

pub(in crate::store) fn delivery_page(
    conn: &mut Connection,
    webhook: OperationId,
    state: Option<DeliveryState>,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<Delivery>, StoreError> {
    let mut query = webhook_deliveries::table
        .filter(webhook_deliveries::tenant_id.eq(tenant.value()))
        .filter(webhook_deliveries::webhook_id.eq(webhook.to_string()).and(webhook_deliveries::seq.gt(after)))
        .order(webhook_deliveries::seq)
        .limit(limit)
        .select(DeliveryRow::as_select())
        .into_boxed();
    if let Some(state) = state {
        query = query.filter(webhook_deliveries::state.eq(state.as_str()));
    }
    query.load(conn)?.into_iter().map(DeliveryRow::delivery).collect()
}

pub(in crate::store) fn retry_delivery(
    conn: &mut Connection,
    id: OperationId,
    key: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<Enqueued, StoreError> {
    if let Some(key) = key
        && let Some(earlier) = claim_key(conn, key, &id.to_string(), tenant, now)?
    {
        return Ok(earlier);
    }
    let dead = webhook_deliveries::table
        .filter(webhook_deliveries::tenant_id.eq(tenant.value()).and(webhook_deliveries::id.eq(id.to_string())))
        .filter(webhook_deliveries::state.eq(DeliveryState::Dead.as_str()));
    let again = kept::update(dead)
        .set((
            webhook_deliveries::state.eq(DeliveryState::Pending.as_str()),
            webhook_deliveries::ended_at.eq(None::<i64>),
        ))
        .execute(conn)?;
    let found = if again == 1 { delivery(conn, id, tenant)? } else { None };
    let Some(found) = found else {
        if let Some(key) = key {
            free_key(conn, key, tenant)?;
        }
        return Ok(Enqueued::Exists);
    };
    hurry_job(conn, WEBHOOK, &found.webhook.to_string(), tenant, now)?;
    Ok(Enqueued::Done)
}

pub(in crate::store) fn end_delivery(
    conn: &mut Connection,
    id: OperationId,
    status: Option<i64>,
    failure: Option<&FailedAttempt>,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    let pending = webhook_deliveries::table
        .filter(webhook_deliveries::tenant_id.eq(tenant.value()).and(webhook_deliveries::id.eq(id.to_string())))
        .filter(webhook_deliveries::state.eq(DeliveryState::Pending.as_str()));
    let state = if failure.is_none() { DeliveryState::Delivered } else { DeliveryState::Dead };
    kept::update(pending)
        .set((
            webhook_deliveries::state.eq(state.as_str()),
            webhook_deliveries::status.eq(failure.map_or(status, |failure| failure.status)),
            webhook_deliveries::last_error.eq(failure.map(|failure| failure.error.as_str())),
            webhook_deliveries::attempts.eq(webhook_deliveries::attempts + i64::from(failure.is_some())),
            webhook_deliveries::ended_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

pub(in crate::store) fn skip_events(
    conn: &mut Connection,
    id: OperationId,
    step: &Step,
    tenant: TenantId,
) -> Result<bool, StoreError> {
    let gone_on = match (step.from, step.to) {
        (Reached::Stream(from), Reached::Stream(to)) => kept::update(still_at!(id, tenant, from.xid, from.seq))
            .set((webhooks::cursor_xid.eq(to.xid), webhooks::cursor_seq.eq(to.seq)))
            .execute(conn)?,
        (Reached::Replay(at, seq), Reached::Replay(to_at, to_seq)) => {
            kept::update(still_replaying_at!(id, tenant, at, seq))
                .set((webhooks::replay_at.eq(to_at), webhooks::replay_seq.eq(to_seq)))
                .execute(conn)?
        }
        (Reached::Stream(_), Reached::Replay(..)) | (Reached::Replay(..), Reached::Stream(_)) => 0,
    };
    Ok(gone_on == 1)
}

pub(in crate::store) fn took_event(
    conn: &mut Connection,
    id: OperationId,
    step: &Step,
    tenant: TenantId,
    now: i64,
) -> Result<bool, StoreError> {
    if !skip_events(conn, id, step, tenant)? {
        return Ok(false);
    }
    let failing: Option<i64> = this_webhook!(id, tenant).select(webhooks::failing_since).first(conn)?;
    kept::update(this_webhook!(id, tenant))
        .set((
            webhooks::attempts.eq(0),
            webhooks::failing_since.eq(None::<i64>),
            webhooks::head_failed_at.eq(None::<i64>),
            webhooks::next_attempt_at.eq(None::<i64>),
            webhooks::last_error.eq(None::<String>),
            webhooks::last_success_at.eq(now),
            webhooks::delivered.eq(webhooks::delivered + 1),
        ))
        .execute(conn)?;
    if failing.is_some() {
        let event = Event::new("webhookRecovered", json!({ "webhook": id }));
        insert_tenant_event(conn, &event, &format!("webhooks/{id}"), tenant, now)?;
    }
    Ok(true)
}

/// Notes the failure on the webhook; the first one since it last took an event is an event itself.
fn note_failure(
    conn: &mut Connection,
    id: OperationId,
    failure: &FailedAttempt,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    let first = this_webhook!(id, tenant).filter(webhooks::failing_since.is_null());
    if kept::update(first).set(webhooks::failing_since.eq(now)).execute(conn)? == 1 {
        let event = Event::new("webhookFailing", json!({ "webhook": id, "reason": failure.error }));
        insert_tenant_event(conn, &event, &format!("webhooks/{id}"), tenant, now)?;
    }
    kept::update(this_webhook!(id, tenant))
        .set((webhooks::attempts.eq(webhooks::attempts + 1), webhooks::last_error.eq(&failure.error)))
        .execute(conn)?;
    Ok(())
}

pub(in crate::store) fn missed_event(
    conn: &mut Connection,
    id: OperationId,
    failure: &FailedAttempt,
    next: i64,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    note_failure(conn, id, failure, tenant, now)?;
    let first = this_webhook!(id, tenant).filter(webhooks::head_failed_at.is_null());
    kept::update(first).set(webhooks::head_failed_at.eq(now)).execute(conn)?;
    kept::update(this_webhook!(id, tenant)).set(webhooks::next_attempt_at.eq(next)).execute(conn)?;
    Ok(())
}

pub(in crate::store) fn bury_event(
    conn: &mut Connection,
    id: OperationId,
    letter: &NewDelivery,
    failure: &FailedAttempt,
    step: &Step,
    tenant: TenantId,
    now: i64,
) -> Result<bool, StoreError> {
    if !skip_events(conn, id, step, tenant)? {
        return Ok(false);
    }
    note_failure(conn, id, failure, tenant, now)?;
    kept::update(this_webhook!(id, tenant))
        .set((webhooks::head_failed_at.eq(None::<i64>), webhooks::next_attempt_at.eq(None::<i64>)))
        .execute(conn)?;
    put_delivery(conn, id, letter, DeliveryState::Dead, Some(failure), tenant, now)?;
    let dead = || {
        webhook_deliveries::table
            .filter(webhook_deliveries::tenant_id.eq(tenant.value()))
            .filter(webhook_deliveries::webhook_id.eq(id.to_string()))
            .filter(webhook_deliveries::state.eq(DeliveryState::Dead.as_str()))
    };
    let last_dropped: Option<i64> = dead()
        .order(webhook_deliveries::seq.desc())
        .select(webhook_deliveries::seq)
        .limit(1)
        .offset(DEAD_KEPT)
        .first(conn)
        .optional()?;
    if let Some(seq) = last_dropped {
        diesel::delete(dead().filter(webhook_deliveries::seq.le(seq))).execute(conn)?;
    }
    Ok(true)
}

pub(in crate::store) fn end_replay(
    conn: &mut Connection,
    id: OperationId,
    reached: Reached,
    tenant: TenantId,
) -> Result<(), StoreError> {
    let Reached::Replay(at, seq) = reached else { return Ok(()) };
    kept::update(still_replaying_at!(id, tenant, at, seq))
        .set((
            webhooks::replay_from.eq(None::<i64>),
            webhooks::replay_to.eq(None::<i64>),
            webhooks::replay_at.eq(None::<i64>),
            webhooks::replay_seq.eq(None::<i64>),
        ))
        .execute(conn)?;
    Ok(())
}

pub(in crate::store) fn webhooks_behind(
    conn: &mut Connection,
    now: i64,
) -> Result<Vec<(TenantId, OperationId)>, StoreError> {
    let waiting: Vec<(i64, String, i64, i64)> = webhooks::table
        .filter(webhooks::enabled.eq(true))
        .filter(webhooks::next_attempt_at.is_null().or(webhooks::next_attempt_at.le(now)))
        .select((webhooks::tenant_id, webhooks::id, webhooks::cursor_xid, webhooks::cursor_seq))
        .order(webhooks::seq)
        .load(conn)?;
    let mut ends: HashMap<i64, (i64, i64)> = HashMap::new();
    let mut behind = Vec::new();
    for (tenant, id, xid, seq) in waiting {
        let end = match ends.get(&tenant) {
            Some(end) => *end,
            None => {
                let last: Option<(i64, i64)> = events::table
                    .filter(events::tenant_id.eq(tenant))
                    .order((events::xid.desc(), events::seq.desc()))
                    .select((events::xid, events::seq))
                    .first(conn)
                    .optional()?;
                *ends.entry(tenant).or_insert(last.unwrap_or_default())
            }
        };
        if (xid, seq) < end {
            behind.push((tenant, id));
        }
    }
    named(behind)
}

fn named(rows: Vec<(i64, String)>) -> Result<Vec<(TenantId, OperationId)>, StoreError> {
    let name = |(tenant, id): (i64, String)| {
        let id = id.parse().map_err(|_| StoreError::Corrupt { column: "webhooks.id" })?;
        Ok((TenantId::from_value(tenant), id))
    };
    rows.into_iter().map(name).collect()
}

/// The webhooks with deliveries to be sent soon.
pub(in crate::store) fn webhooks_with_letters(
    conn: &mut Connection,
) -> Result<Vec<(TenantId, OperationId)>, StoreError> {
    let pending: Vec<(i64, String)> = webhook_deliveries::table
        .filter(webhook_deliveries::state.eq(DeliveryState::Pending.as_str()))
        .order(webhook_deliveries::seq)
        .limit(LETTERS_AT_ONCE)
        .select((webhook_deliveries::tenant_id, webhook_deliveries::webhook_id))
        .load(conn)?;
    let mut seen = HashSet::new();
    named(pending.into_iter().filter(|webhook| seen.insert(webhook.clone())).collect())
}

/// Makes sure that these have a job that is due at once, also where the webhook waits because it failed.
pub(in crate::store) fn hurry_webhook_jobs(
    conn: &mut Connection,
    with_letters: &[(TenantId, OperationId)],
    now: i64,
) -> Result<(), StoreError> {
    for (tenant, id) in with_letters {
        hurry_job(conn, WEBHOOK, &id.to_string(), *tenant, now)?;
    }
    Ok(())
}

pub(in crate::store) fn ensure_webhook_jobs(
    conn: &mut Connection,
    behind: &[(TenantId, OperationId)],
    now: i64,
) -> Result<(), StoreError> {
    for (tenant, id) in behind {
        ensure_job(conn, WEBHOOK, &id.to_string(), *tenant, now)?;
    }
    Ok(())
}

pub(in crate::store) fn forget_deliveries(conn: &mut Connection, before: i64) -> Result<usize, StoreError> {
    let old: Vec<i64> = webhook_deliveries::table
        .filter(webhook_deliveries::ended_at.lt(before))
        .select(webhook_deliveries::seq)
        .limit(FORGOTTEN_AT_ONCE)
        .load(conn)?;
    Ok(diesel::delete(webhook_deliveries::table.filter(webhook_deliveries::seq.eq_any(old))).execute(conn)?)
}
