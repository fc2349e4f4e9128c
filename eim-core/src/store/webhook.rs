//! Webhooks and what they could not deliver: rows, filters and transactions.

use super::stream::{StreamEvent, StreamPosition};
use super::{Backend, Enqueued, IdempotencyKey, Store, StoreError, on, postgres, sqlite};
use crate::domain::EventFilter;
use crate::ids::{OperationId, TenantId};

/// A webhook. Its secrets are sealed.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Its position.
    pub seq: i64,
    /// Its name.
    pub id: OperationId,
    /// `source` of the events that it gets.
    pub source: String,
    /// Where it is.
    pub url: String,
    /// Which events it gets.
    pub filter: EventFilter,
    /// The operator's own words.
    pub description: Option<String>,
    /// Whether it gets any.
    pub enabled: bool,
    /// The secret that signs, sealed.
    pub secret: Vec<u8>,
    /// The one before, sealed.
    pub old_secret: Option<Vec<u8>>,
    /// Until when that one signs as well, milliseconds since 1970.
    pub old_secret_until: Option<i64>,
    /// Up to where it was told of the stream.
    pub cursor: StreamPosition,
    /// How often it failed in a row.
    pub attempts: i64,
    /// When it failed first since it last took an event.
    pub failing_since: Option<i64>,
    /// When the event failed first that is tried now.
    pub head_failed_at: Option<i64>,
    /// Not tried before.
    pub next_attempt_at: Option<i64>,
    /// Why it failed.
    pub last_error: Option<String>,
    /// When it last took an event.
    pub last_success_at: Option<i64>,
    /// How many events it took.
    pub delivered: i64,
    /// The events of a time that it gets once more.
    pub replay: Option<Replay>,
    /// When it was made.
    pub created_at: i64,
}

/// Events of a time that a webhook gets once more. Times in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// From this time on.
    pub from: i64,
    /// Before this time.
    pub to: i64,
    /// The time and the `seq` of the event that was looked at last.
    pub reached: (i64, i64),
}

/// What a change of a webhook writes.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Where it is.
    pub url: String,
    /// Which events it gets.
    pub filter: EventFilter,
    /// The operator's own words.
    pub description: Option<String>,
    /// Whether it gets any.
    pub enabled: bool,
}

/// A webhook to be made; it gets what happens from then on.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Its name.
    pub id: OperationId,
    /// `source` of the events that it gets.
    pub source: String,
    /// The rest of what it is.
    pub settings: WebhookSettings,
    /// The secret that signs, sealed.
    pub secret: Vec<u8>,
}

/// What became of a request to make a webhook.
#[derive(Debug, Clone)]
pub enum WebhookAdded {
    /// As of any request.
    Enqueued(Enqueued),
    /// There are as many as there may be.
    TooMany,
}

/// What became of one event for one webhook, outside of the order of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is sent soon.
    Pending,
    /// The webhook took it.
    Delivered,
    /// It was given up.
    Dead,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// Its name in the API and the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// An event that was given up, that is tried again because somebody asked for it, or that is a test.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its position.
    pub seq: i64,
    /// Its name.
    pub id: OperationId,
    /// The webhook.
    pub webhook: OperationId,
    /// `id` of the event.
    pub event_id: String,
    /// `type` of the event.
    pub event_type: String,
    /// The event as it is sent.
    pub body: String,
    /// What became of it.
    pub state: DeliveryState,
    /// How often it was sent in vain.
    pub attempts: i64,
    /// The HTTP status of the last answer.
    pub status: Option<i64>,
    /// Why it was sent in vain.
    pub last_error: Option<String>,
    /// When it was put here.
    pub created_at: i64,
    /// When it was delivered or given up.
    pub ended_at: Option<i64>,
}

/// A delivery to be put down.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Its name.
    pub id: OperationId,
    /// `id` of the event.
    pub event_id: String,
    /// `type` of the event.
    pub event_type: String,
    /// The event as it is sent.
    pub body: String,
}

/// How far a webhook has come with one event.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Where it was; elsewhere, somebody else has gone on.
    pub from: Reached,
    /// Where it is now.
    pub to: Reached,
}

/// A place in the stream, or in a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// In the stream.
    Stream(StreamPosition),
    /// In the replay: time and `seq`.
    Replay(i64, i64),
}

/// Why an attempt failed.
#[derive(Debug, Clone)]
pub struct FailedAttempt {
    /// In a sentence.
    pub error: String,
    /// The HTTP status, where there was an answer.
    pub status: Option<i64>,
}

impl Store {
    /// Makes a webhook, unless the tenant has `at_most` already.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_webhook(
        &self,
        new: NewWebhook,
        key: Option<IdempotencyKey>,
        at_most: i64,
        now: i64,
    ) -> Result<WebhookAdded, StoreError> {
        let tenant = self.tenant;
        on!(self.write("insert_webhook"), |conn| insert_webhook(conn, &new, key.as_ref(), at_most, tenant, now))
    }

    /// A webhook by name.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn webhook(&self, id: OperationId) -> Result<Option<Webhook>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("webhook"), |conn| webhook(conn, id, tenant))
    }

    /// Webhooks, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn webhooks(&self, after: i64, limit: i64) -> Result<Vec<Webhook>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("webhooks"), |conn| webhook_page(conn, after, limit, tenant))
    }

    /// Changes a webhook, and lets it be tried at once. `false` when there is none.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn change_webhook(
        &self,
        id: OperationId,
        settings: WebhookSettings,
        now: i64,
    ) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        on!(self.write("change_webhook"), |conn| change_webhook(conn, id, &settings, tenant, now))
    }

    /// Removes a webhook with all that it did not deliver. `false` when there is none.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn delete_webhook(&self, id: OperationId) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        on!(self.write("delete_webhook"), |conn| delete_webhook(conn, id, tenant))
    }

    /// Gives a webhook another secret; the one before signs as well until `old_until`.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn rotate_webhook(
        &self,
        id: OperationId,
        secret: Vec<u8>,
        old_until: i64,
        key: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<Option<Enqueued>, StoreError> {
        let tenant = self.tenant;
        on!(self.write("rotate_webhook"), |conn| {
            rotate_webhook(conn, id, &secret, old_until, key.as_ref(), tenant, now)
        })
    }

    /// Lets a webhook have the events of a time once more. `Exists` while another replay is under way, `None` when there is
    /// no such webhook.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn replay_webhook(
        &self,
        id: OperationId,
        (from, to): (i64, i64),
        key: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<Option<Enqueued>, StoreError> {
        let tenant = self.tenant;
        on!(self.write("replay_webhook"), |conn| replay_webhook(conn, id, from, to, key.as_ref(), tenant, now))
    }

    /// Puts down a delivery to be sent soon; `None` when there is no such webhook.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_delivery(
        &self,
        of: OperationId,
        new: NewDelivery,
        key: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<Option<Enqueued>, StoreError> {
        let tenant = self.tenant;
        on!(self.write("insert_delivery"), |conn| insert_delivery(conn, of, &new, key.as_ref(), tenant, now))
    }

    /// A delivery by name.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn delivery(&self, id: OperationId) -> Result<Option<Delivery>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("delivery"), |conn| delivery(conn, id, tenant))
    }

    /// Deliveries of a webhook, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn deliveries(
        &self,
        of: OperationId,
        state: Option<DeliveryState>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Delivery>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("deliveries"), |conn| delivery_page(conn, of, state, after, limit, tenant))
    }

    /// Lets a delivery that was given up be sent once more. `Exists` when it was not given up.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn retry_delivery(
        &self,
        id: OperationId,
        key: Option<IdempotencyKey>,
        now: i64,
    ) -> Result<Enqueued, StoreError> {
        let tenant = self.tenant;
        on!(self.write("retry_delivery"), |conn| retry_delivery(conn, id, key.as_ref(), tenant, now))
    }

    /// Writes how a delivery ended: `failure` says why it did in vain.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn end_delivery(
        &self,
        id: OperationId,
        status: Option<i64>,
        failure: Option<FailedAttempt>,
        now: i64,
    ) -> Result<(), StoreError> {
        let tenant = self.tenant;
        on!(self.write("end_delivery"), |conn| end_delivery(conn, id, status, failure.as_ref(), tenant, now))
    }

    /// Writes that a webhook went past events that are not for it. `false` when somebody else has gone on, or it is gone.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn skip_events(&self, id: OperationId, step: Step) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        on!(self.write("skip_events"), |conn| skip_events(conn, id, &step, tenant))
    }

    /// Writes that a webhook took an event. `false` when somebody else has gone on, or it is gone.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn took_event(&self, id: OperationId, step: Step, now: i64) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        let done = on!(self.write("took_event"), |conn| took_event(conn, id, &step, tenant, now));
        self.tell_of_events();
        done
    }

    /// Writes that a webhook did not take an event and is tried again at `next`.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn missed_event(
        &self,
        id: OperationId,
        failure: FailedAttempt,
        next: i64,
        now: i64,
    ) -> Result<(), StoreError> {
        let tenant = self.tenant;
        let done = on!(self.write("missed_event"), |conn| missed_event(conn, id, &failure, next, tenant, now));
        self.tell_of_events();
        done
    }

    /// Puts an event to the dead letters of a webhook, which goes on behind it. `false` when somebody else has gone on, or it
    /// is gone.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn bury_event(
        &self,
        id: OperationId,
        letter: NewDelivery,
        failure: FailedAttempt,
        step: Step,
        now: i64,
    ) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        let done = on!(self.write("bury_event"), |conn| bury_event(conn, id, &letter, &failure, &step, tenant, now));
        self.tell_of_events();
        done
    }

    /// Ends the replay of a webhook that has reached its end.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn end_replay(&self, id: OperationId, reached: Reached) -> Result<(), StoreError> {
        let tenant = self.tenant;
        on!(self.write("end_replay"), |conn| end_replay(conn, id, reached, tenant))
    }

    /// Events of a replay, behind what it has reached.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn replayed_events(&self, replay: Replay, limit: i64) -> Result<Vec<StreamEvent>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("replayed_events"), |conn| events_between(conn, replay.reached, replay.to, limit, tenant))
    }

    /// The webhooks of all tenants that may be tried now and that the stream is ahead of.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn webhooks_behind(&self, now: i64) -> Result<Vec<(TenantId, OperationId)>, StoreError> {
        on!(self.read("webhooks_behind"), |conn| webhooks_behind(conn, now))
    }

    /// The webhooks of all tenants with tests or dead letters to be sent soon.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn webhooks_with_letters(&self) -> Result<Vec<(TenantId, OperationId)>, StoreError> {
        on!(self.read("webhooks_with_letters"), |conn| webhooks_with_letters(conn))
    }

    /// Makes sure that these webhooks have a job that is due at once.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn hurry_webhook_jobs(&self, webhooks: Vec<(TenantId, OperationId)>, now: i64) -> Result<(), StoreError> {
        on!(self.write("hurry_webhook_jobs"), |conn| hurry_webhook_jobs(conn, &webhooks, now))
    }

    /// Makes sure that these webhooks have a job.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn ensure_webhook_jobs(
        &self,
        webhooks: Vec<(TenantId, OperationId)>,
        now: i64,
    ) -> Result<(), StoreError> {
        on!(self.write("ensure_webhook_jobs"), |conn| ensure_webhook_jobs(conn, &webhooks, now))
    }

    /// Forgets deliveries that ended before this time, some hundreds at once.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn forget_deliveries(&self, before: i64) -> Result<usize, StoreError> {
        on!(self.write("forget_deliveries"), |conn| forget_deliveries(conn, before))
    }
}
