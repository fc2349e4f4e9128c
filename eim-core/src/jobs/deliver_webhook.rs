//! Delivers events to one webhook, in the order of the stream and at least once (Standard Webhooks, CloudEvents 1.0).
//!
//! The webhook has a place in the stream, so an event needs no copy for each of them. One that is not taken is tried again
//! with growing waits and holds up the later ones of the same webhook alone; after three days it goes to the dead letters. A
//! run ends after a while, so that others get their turn, too.

use super::{JobRun, LEASE_MS};
use crate::Eim;
use crate::domain::rfc3339;
use crate::ids::{OperationId, TenantId};
use crate::manage::event_stream::{CloudEvent, cloud_event};
use crate::manage::webhook::secret_context;
use crate::ports::{RspFailure, WebhookCall};
use crate::store::stream::StreamEvent;
use crate::store::webhook::{Delivery, DeliveryState, FailedAttempt, NewDelivery, Reached, Step, Webhook};
use crate::store::{JobEnd, JobLease, Leased, StoreError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// The kind of the job; its key is the webhook's name.
pub const KIND: &str = "webhook";

/// How many events are looked at together.
const BATCH: i64 = 200;
/// How many tests and dead letters are sent together.
const LETTERS: i64 = 16;
/// The first wait after an event was not taken; it doubles up to the last.
const AGAIN_AFTER_MS: i64 = 10_000;
const AGAIN_AFTER_MAX_MS: i64 = 6 * 3_600_000;
/// How long an event is tried before it goes to the dead letters.
const KEPT_TRYING_MS: i64 = 3 * 24 * 3_600_000;
/// How long a run may take before others get their turn.
const TURN: Duration = Duration::from_secs(20);
/// How long a run waits for events that are committed while earlier ones may still come, and how long between two looks.
const UNSETTLED: Duration = Duration::from_secs(5);
const UNSETTLED_LOOK: Duration = Duration::from_millis(20);
/// When it is looked again when there was no room for a call, or events did not settle.
const SOON_MS: i64 = 1_000;
/// "The resource is gone, and it is for good" (RFC 9110 15.5.11).
const GONE: i64 = 410;

fn wait(times: i64) -> i64 {
    (AGAIN_AFTER_MS << times.clamp(0, 12)).min(AGAIN_AFTER_MAX_MS)
}

/// Makes sure that every webhook that the stream is ahead of has a job. Called when events were written, and now and then,
/// since other processes write, too.
///
/// # Errors
/// When the store fails.
pub async fn wake_webhooks(eim: &Eim) -> Result<(), StoreError> {
    let now = eim.clock().now_ms();
    let behind: Vec<(TenantId, OperationId)> = eim.store().webhooks_behind(now).await?;
    if !behind.is_empty() {
        eim.store().ensure_webhook_jobs(behind, now).await?;
        eim.wake_jobs();
    }
    Ok(())
}

/// Makes sure that tests and dead letters that are wanted again do not wait for a webhook that fails. Called now and then:
/// whoever asks for one makes the job due, but a run that fails meanwhile sets it back.
///
/// # Errors
/// When the store fails.
pub async fn hurry_letters(eim: &Eim) -> Result<(), StoreError> {
    let with_letters = eim.store().webhooks_with_letters().await?;
    if !with_letters.is_empty() {
        eim.store().hurry_webhook_jobs(with_letters, eim.clock().now_ms()).await?;
        eim.wake_jobs();
    }
    Ok(())
}

pub(super) async fn run(key: &str, owner: &str, grace_ms: i64, eim: &Eim) -> Result<JobRun, StoreError> {
    let now = eim.clock().now_ms();
    let lease = match eim.store().lease_job(KIND, key, owner, now, now + LEASE_MS).await? {
        Leased::Yes(lease) => lease,
        // Whoever made it due at another time has told of it.
        Leased::No | Leased::NotDue { .. } => return Ok(JobRun::Done),
    };
    let end = match key.parse() {
        Ok(id) => Run { id, lease: &lease, owner, renewed_at: now, began: Instant::now(), eim }.proceed().await?,
        Err(_) => JobEnd::Done,
    };
    let now = eim.clock().now_ms();
    let run = match &end {
        JobEnd::Done => JobRun::Done,
        JobEnd::Later { run_at } | JobEnd::Failed { run_at, .. } => JobRun::later(run_at - now),
    };
    let at_once = matches!(&end, JobEnd::Later { run_at } if *run_at <= now);
    let again = eim.store().finish_job(lease, owner, end, grace_ms, now).await?;
    if again || at_once {
        eim.wake_jobs();
    }
    Ok(if again { JobRun::Done } else { run })
}

struct Run<'a> {
    id: OperationId,
    lease: &'a JobLease,
    owner: &'a str,
    renewed_at: i64,
    began: Instant,
    eim: &'a Eim,
}

/// How some events fared.
enum Progress {
    /// All of them are behind us.
    On,
    /// The run ends.
    End(JobEnd),
}

/// Why there was no success.
enum Vain {
    /// We had no room for the call, which says nothing about the webhook.
    Busy,
    /// The webhook did not take it.
    Failed(FailedAttempt),
}

/// The event at hand and where it stands.
struct Head {
    event: CloudEvent,
    step: Step,
}

impl Run<'_> {
    async fn proceed(mut self) -> Result<JobEnd, StoreError> {
        let mut unsettled_since: Option<Instant> = None;
        loop {
            let Some(webhook) = self.eim.store().webhook(self.id).await? else { return Ok(JobEnd::Done) };
            if !self.keep().await? {
                return Ok(JobEnd::Done);
            }
            if let Progress::End(end) = self.letters(&webhook).await? {
                return Ok(end);
            }
            if !webhook.enabled {
                return Ok(JobEnd::Done);
            }
            let now = self.eim.clock().now_ms();
            if let Some(run_at) = webhook.next_attempt_at.filter(|next| *next > now) {
                let error = webhook.last_error.unwrap_or_default();
                return Ok(JobEnd::Failed { run_at, error });
            }
            let page = self.eim.store().stream(webhook.cursor, BATCH).await?;
            if !page.events.is_empty() {
                unsettled_since = None;
                if let Progress::End(end) = self.stream(&webhook, page.events).await? {
                    return Ok(end);
                }
            } else if page.unsettled {
                // Another transaction is open, perhaps of another database: these events may be given in a moment.
                if unsettled_since.get_or_insert_with(Instant::now).elapsed() > UNSETTLED {
                    return Ok(JobEnd::Later { run_at: now + SOON_MS });
                }
                tokio::time::sleep(UNSETTLED_LOOK).await;
            } else if webhook.replay.is_some() {
                if let Progress::End(end) = self.replay(&webhook).await? {
                    return Ok(end);
                }
            } else {
                return Ok(JobEnd::Done);
            }
            if self.began.elapsed() > TURN {
                return Ok(JobEnd::Later { run_at: self.eim.clock().now_ms() });
            }
        }
    }

    /// Whether the job is still ours. Another worker that has taken over goes on; what is sent twice has the same id.
    async fn keep(&mut self) -> Result<bool, StoreError> {
        let now = self.eim.clock().now_ms();
        if now - self.renewed_at < LEASE_MS / 4 {
            return Ok(true);
        }
        self.renewed_at = now;
        self.eim.store().renew_job(self.lease.clone(), self.owner, now + LEASE_MS).await
    }

    /// Tests, and dead letters that somebody wants to be tried again: once each.
    async fn letters(&mut self, webhook: &Webhook) -> Result<Progress, StoreError> {
        loop {
            let pending: Vec<Delivery> =
                self.eim.store().deliveries(self.id, Some(DeliveryState::Pending), 0, LETTERS).await?;
            if pending.is_empty() {
                return Ok(Progress::On);
            }
            for letter in pending {
                if !self.keep().await? {
                    return Ok(Progress::End(JobEnd::Done));
                }
                let sent = self.send(webhook, letter.event_id, letter.body.into_bytes()).await;
                let now = self.eim.clock().now_ms();
                let (status, failure) = match sent {
                    Ok(status) => (Some(status), None),
                    Err(Vain::Failed(failure)) => (failure.status, Some(failure)),
                    Err(Vain::Busy) => return Ok(Progress::End(JobEnd::Later { run_at: now + SOON_MS })),
                };
                self.eim.store().end_delivery(letter.id, status, failure, now).await?;
            }
            if self.began.elapsed() > TURN {
                return Ok(Progress::End(JobEnd::Later { run_at: self.eim.clock().now_ms() }));
            }
        }
    }

    async fn stream(&mut self, webhook: &Webhook, events: Vec<StreamEvent>) -> Result<Progress, StoreError> {
        let wanted = self.wanted(webhook, &events).await?;
        let (mut at, mut last) = (Reached::Stream(webhook.cursor), Reached::Stream(webhook.cursor));
        for event in events {
            last = Reached::Stream(event.position);
            if !wanted.contains(&event.position.seq) {
                continue;
            }
            let head = Head { event: cloud_event(&webhook.source, event), step: Step { from: at, to: last } };
            if let Progress::End(end) = self.deliver(webhook, head).await? {
                return Ok(Progress::End(end));
            }
            at = last;
        }
        self.skip(at, last).await
    }

    async fn replay(&mut self, webhook: &Webhook) -> Result<Progress, StoreError> {
        let Some(replay) = webhook.replay else { return Ok(Progress::On) };
        let events = self.eim.store().replayed_events(replay, BATCH).await?;
        let mut at = Reached::Replay(replay.reached.0, replay.reached.1);
        if events.is_empty() {
            self.eim.store().end_replay(self.id, at).await?;
            return Ok(Progress::On);
        }
        let wanted = self.wanted(webhook, &events).await?;
        let mut last = at;
        for event in events {
            last = Reached::Replay(event.at, event.position.seq);
            if !wanted.contains(&event.position.seq) {
                continue;
            }
            let head = Head { event: cloud_event(&webhook.source, event), step: Step { from: at, to: last } };
            if let Progress::End(end) = self.deliver(webhook, head).await? {
                return Ok(Progress::End(end));
            }
            at = last;
        }
        self.skip(at, last).await
    }

    /// The `seq` of those events that the webhook wants.
    async fn wanted(&self, webhook: &Webhook, events: &[StreamEvent]) -> Result<HashSet<i64>, StoreError> {
        let mut tags: HashMap<String, Vec<String>> = HashMap::new();
        if !webhook.filter.tags.is_empty() {
            let eids: HashSet<&String> = events.iter().map(|event| &event.eid).filter(|eid| !eid.is_empty()).collect();
            for (eid, tag) in self.eim.store().tags_of(eids.into_iter().cloned().collect()).await? {
                tags.entry(eid).or_default().push(tag);
            }
        }
        let wanted = events.iter().filter(|event| {
            let tagged = |tag: &str| tags.get(&event.eid).is_some_and(|tags| tags.iter().any(|other| other == tag));
            if named_by_rule(webhook, event) {
                webhook.filter.matches_euicc(&event.eid, tagged)
            } else {
                webhook.filter.matches(&event.event_type, &event.eid, tagged)
            }
        });
        Ok(wanted.map(|event| event.position.seq).collect())
    }

    async fn skip(&self, from: Reached, to: Reached) -> Result<Progress, StoreError> {
        let is_ours = from == to || self.eim.store().skip_events(self.id, Step { from, to }).await?;
        Ok(if is_ours { Progress::On } else { Progress::End(JobEnd::Done) })
    }

    async fn deliver(&mut self, webhook: &Webhook, head: Head) -> Result<Progress, StoreError> {
        if !self.keep().await? {
            return Ok(Progress::End(JobEnd::Done));
        }
        let store = self.eim.store();
        let body = serde_json::to_vec(&head.event).unwrap_or_default();
        let sent = self.send(webhook, head.event.id.clone(), body.clone()).await;
        let now = self.eim.clock().now_ms();
        let failure = match sent {
            Ok(_) => {
                let is_ours = store.took_event(self.id, head.step, now).await?;
                let gone_on = self.began.elapsed() <= TURN;
                return Ok(match (is_ours, gone_on) {
                    (true, true) => Progress::On,
                    (true, false) => Progress::End(JobEnd::Later { run_at: now }),
                    (false, _) => Progress::End(JobEnd::Done),
                });
            }
            Err(Vain::Busy) => return Ok(Progress::End(JobEnd::Later { run_at: now + SOON_MS })),
            Err(Vain::Failed(failure)) => failure,
        };
        // The webhook may have been changed meanwhile, and it was another event that failed when it was loaded.
        let Some(current) = store.webhook(self.id).await? else { return Ok(Progress::End(JobEnd::Done)) };
        let tried_long = current.head_failed_at.is_some_and(|first| now - first >= KEPT_TRYING_MS);
        if tried_long || failure.status == Some(GONE) {
            let letter = NewDelivery {
                id: self.eim.entropy().operation_id(now),
                event_id: head.event.id,
                event_type: head.event.event_type,
                body: String::from_utf8(body).unwrap_or_default(),
            };
            tracing::warn!(webhook = %self.id, error = failure.error, "an event goes to the dead letters of a webhook");
            self.count("dead");
            let is_ours = store.bury_event(self.id, letter, failure, head.step, now).await?;
            return Ok(if is_ours { Progress::On } else { Progress::End(JobEnd::Done) });
        }
        let run_at = now + wait(current.attempts);
        tracing::warn!(
            webhook = %self.id, error = failure.error, again_at = rfc3339(run_at), "a webhook did not take an event"
        );
        store.missed_event(self.id, failure.clone(), run_at, now).await?;
        Ok(Progress::End(JobEnd::Failed { run_at, error: failure.error }))
    }

    /// Signs and sends; gives the status of a success.
    async fn send(&self, webhook: &Webhook, id: String, body: Vec<u8>) -> Result<i64, Vain> {
        let timestamp_s = self.eim.clock().now_ms().div_euclid(1_000);
        let failed = |error: String, status| Vain::Failed(FailedAttempt { error, status });
        let signature = self
            .signatures(webhook, &id, timestamp_s, &body)
            .map_err(|error| failed(format!("its secret can't be read here (secrets.key): {error}"), None))?;
        let call = WebhookCall { url: webhook.url.clone(), id, timestamp_s, signature, body };
        let outcome = match self.eim.webhooks().post(call).await {
            Ok(status @ 200..=299) => Ok(i64::from(status)),
            Ok(status) => Err(failed(format!("it answered with the HTTP status {status}"), Some(i64::from(status)))),
            Err(RspFailure::Busy | RspFailure::Interrupted | RspFailure::NoWorker) => Err(Vain::Busy),
            Err(failure) => Err(failed(failure.to_string(), None)),
        };
        self.count(match &outcome {
            Ok(_) => "delivered",
            Err(Vain::Busy) => "busy",
            Err(Vain::Failed(_)) => "failed",
        });
        outcome
    }

    fn count(&self, outcome: &str) {
        self.eim.metrics().webhook_deliveries_total.with_label_values(&[outcome]).inc();
    }

    /// One signature for each secret that is valid now, the newest first.
    fn signatures(
        &self,
        webhook: &Webhook,
        id: &str,
        timestamp_s: i64,
        body: &[u8],
    ) -> Result<String, crate::pki::SealedError> {
        let old = webhook
            .old_secret
            .as_ref()
            .filter(|_| webhook.old_secret_until.is_some_and(|until| until > self.eim.clock().now_ms()));
        let signed = [id.as_bytes(), b".", timestamp_s.to_string().as_bytes(), b".", body].concat();
        let mut signatures = Vec::new();
        for sealed in [Some(&webhook.secret), old].into_iter().flatten() {
            let secret = self.eim.sealing().open(sealed, secret_context(webhook.id).as_bytes())?;
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), &signed);
            signatures.push(format!("v1,{}", STANDARD.encode(tag.as_ref())));
        }
        Ok(signatures.join(" "))
    }
}

/// Whether a rule that fired tells this webhook by name, which the types that it wants do not stop. Who makes a rule may do
/// less than who makes a webhook, so the devices that the webhook is for still hold.
fn named_by_rule(webhook: &Webhook, event: &StreamEvent) -> bool {
    let named = event.details.get("webhooks").and_then(serde_json::Value::as_array);
    let id = webhook.id.to_string();
    event.event_type == "ruleFired" && named.is_some_and(|named| named.iter().any(|name| *name == id.as_str()))
}
