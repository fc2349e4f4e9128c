//! A decision in the making: the snapshot it started from, the state it leads to, and what it adds.

use super::audit::AuditNote;
use super::changes::{
    Changes, Event, NewNotification, NewOperation, OtherEimChanges, ProfileChanges, Received, ReceivedStatus, Snapshot,
};
use super::euicc::Euicc;
use super::fleet;
use super::fleet::guard::OwnAddress;
use super::keys;
use super::operation::{ABANDONED, Kind, Operation, OperationState, Origin, Purpose};
use crate::ids::{KeyId, OperationId};
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

/// A decision in the making. Change the state through it, then [`Work::finish`] tells what changed.
#[derive(Debug)]
pub struct Work {
    before: Snapshot,
    /// The state that the decision leads to.
    pub state: Snapshot,
    queue: Vec<NewOperation>,
    received: Vec<Received>,
    events: Vec<Event>,
    audit: Vec<AuditNote>,
    notifications: Vec<NewNotification>,
    now: i64,
    random: [u8; 10],
    named: u16,
    own_eim_id: Option<String>,
    own_address: Arc<OwnAddress>,
    keys: Option<Arc<HashSet<KeyId>>>,
    withheld: Arc<HashSet<KeyId>>,
    eim_ids: Vec<String>,
}

impl Work {
    /// Starts from a snapshot. `now` is in milliseconds since 1970; `random` names the operations that are queued.
    #[must_use]
    pub fn new(snapshot: Snapshot, now: i64, random: [u8; 10]) -> Self {
        let state = snapshot.clone();
        Self {
            before: snapshot,
            state,
            queue: vec![],
            received: vec![],
            events: vec![],
            audit: vec![],
            notifications: vec![],
            now,
            random,
            named: 0,
            own_eim_id: None,
            own_address: Arc::default(),
            keys: None,
            withheld: Arc::default(),
            eim_ids: vec![],
        }
    }

    /// Says who we are, so that operations on our own association are told from those on others'.
    #[must_use]
    pub fn of_eim(mut self, eim_id: &crate::ids::EimId) -> Self {
        self.own_eim_id = Some(eim_id.as_str().to_owned());
        self
    }

    /// Says how devices reach us.
    #[must_use]
    pub fn reached_at(mut self, address: Arc<OwnAddress>) -> Self {
        self.own_address = address;
        self
    }

    /// How devices reach this eIM.
    #[must_use]
    pub fn own_address(&self) -> &OwnAddress {
        &self.own_address
    }

    /// Says every name that this eIM has, beside the one that the eUICC knows.
    #[must_use]
    pub fn with_names(mut self, eim_ids: Vec<String>) -> Self {
        self.eim_ids = eim_ids;
        self
    }

    /// Whether this is a name of this eIM, the one that the eUICC knows or another.
    #[must_use]
    pub fn is_own_name(&self, eim_id: &str) -> bool {
        self.own_eim_id() == Some(eim_id) || self.eim_ids.iter().any(|own| own == eim_id)
    }

    /// Says which keys can sign. Where nobody says, all can.
    #[must_use]
    pub fn with_keys(mut self, keys: Arc<HashSet<KeyId>>) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Whether this key can sign.
    #[must_use]
    pub fn has_key(&self, key: KeyId) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.contains(&key))
    }

    /// Says which keys are given to no eUICC any more.
    #[must_use]
    pub fn with_withheld(mut self, keys: Arc<HashSet<KeyId>>) -> Self {
        self.withheld = keys;
        self
    }

    /// Whether this key is given to no eUICC any more.
    #[must_use]
    pub fn withholds(&self, key: KeyId) -> bool {
        self.withheld.contains(&key)
    }

    /// The eimId of this eIM, where it was said.
    #[must_use]
    pub fn own_eim_id(&self) -> Option<&str> {
        self.own_eim_id.as_deref()
    }

    /// The time of the decision, milliseconds since 1970.
    #[must_use]
    pub const fn now(&self) -> i64 {
        self.now
    }

    /// The time of the decision as people read it.
    #[must_use]
    pub fn now_text(&self) -> String {
        rfc3339(self.now)
    }

    /// The eUICC.
    pub const fn euicc(&mut self) -> &mut Euicc {
        &mut self.state.euicc
    }

    /// The operation with this name.
    pub fn operation(&mut self, id: OperationId) -> Option<&mut Operation> {
        self.state.operations.iter_mut().find(|operation| operation.id == id)
    }

    /// Notes something about the eUICC that deserves attention, once.
    pub fn warn(&mut self, warning: &str) {
        if !self.state.euicc.warnings.iter().any(|known| known == warning) {
            self.state.euicc.warnings.push(warning.to_owned());
        }
    }

    /// Adds to the timeline.
    pub fn event(&mut self, event_type: &'static str, details: Value) {
        self.events.push(Event::new(event_type, details));
    }

    /// Adds to the audit log, about this eUICC.
    pub fn audit(&mut self, note: AuditNote) {
        self.audit.push(note.of_eid(self.state.euicc.eid));
    }

    /// Puts the state that an operation has reached on the timeline, from where it is also counted.
    pub fn announce(&mut self, id: OperationId) {
        let Some(operation) = self.operation(id) else { return };
        let error = operation.error.as_ref().map(|error| error.name.clone());
        let event = match operation.state {
            OperationState::Succeeded => "operationSucceeded",
            OperationState::Failed => "operationFailed",
            OperationState::Unconfirmed => "operationUnconfirmed",
            OperationState::RolledBack => "operationRolledBack",
            OperationState::Cancelled if error.as_deref() == Some(ABANDONED) => "operationAbandoned",
            OperationState::Cancelled => "operationCancelled",
            OperationState::Queued | OperationState::Delivered | OperationState::Expired => return,
        };
        let details = json!({
            "operation": id,
            "kind": operation.kind.as_str(),
            "verified": operation.verified,
            "error": error,
        });
        self.event(event, details);
    }

    /// Keeps something received: new, or changed.
    pub fn receive(&mut self, received: Received) {
        self.received.push(received);
    }

    /// What the decision keeps of what was received.
    #[must_use]
    pub fn received(&self) -> &[Received] {
        &self.received
    }

    /// Whether a result of this operation is held until it can be verified.
    #[must_use]
    pub fn holds_result_of(&self, id: OperationId) -> bool {
        let held = |received: &Received| received.status == ReceivedStatus::Held && received.operation == Some(id);
        self.state.held.iter().any(held) || self.received.iter().any(held)
    }

    /// Whether the eIM waits already for what an operation with this purpose asks.
    #[must_use]
    pub fn asks_already(&self, purpose: Purpose, kind: Kind) -> bool {
        let waiting = |operation: &Operation| {
            operation.purpose == Some(purpose) && operation.kind == kind && !operation.state.is_final()
        };
        self.state.operations.iter().any(waiting) || self.asks_now(purpose, kind)
    }

    /// Whether this decision queues such an operation, which the next one may choose.
    #[must_use]
    pub fn asks_now(&self, purpose: Purpose, kind: Kind) -> bool {
        self.queue.iter().any(|operation| operation.purpose == Some(purpose) && operation.kind == kind)
    }

    /// Queues an operation on the eIM's own account.
    pub fn ask(&mut self, purpose: Purpose, kind: Kind, subject: Option<OperationId>, request: Value) {
        let id = self.fresh_id();
        self.queue.push(NewOperation {
            id,
            kind,
            origin: Origin::Eim,
            purpose: Some(purpose),
            subject,
            request,
            label: None,
            not_before: None,
            valid_until: None,
            secret: None,
            overridden: vec![],
        });
    }

    /// Queues an operation that somebody else than the eIM is the cause of.
    pub fn enqueue(&mut self, operation: NewOperation) {
        self.queue.push(operation);
    }

    /// Sends a notification on its way, once.
    pub fn forward(&mut self, notification: NewNotification) {
        if self.notifications.iter().all(|known| known.identity != notification.identity) {
            self.notifications.push(notification);
        }
    }

    /// A fresh name, for an operation or a notification.
    pub fn fresh_id(&mut self) -> OperationId {
        let mut random = self.random;
        // Names made in one decision differ in the last two octets.
        let last = u16::from_be_bytes([random[8], random[9]]).wrapping_add(self.named);
        [random[8], random[9]] = last.to_be_bytes();
        self.named = self.named.wrapping_add(1);
        OperationId::new(self.now, random)
    }

    /// What the decision changed, with what it means for the eUICC's switch.
    #[must_use]
    pub fn finish(mut self) -> Changes {
        fleet::switch::advance(&mut self);
        self.events.extend(keys::nearly_exhausted(Some(&self.before.euicc), &self.state.euicc));
        let Self { before, state, queue, received, events, audit, notifications, .. } = self;
        let operations = state
            .operations
            .into_iter()
            .filter(|operation| before.operation(operation.id) != Some(operation))
            .collect();
        let gone = before
            .profiles
            .iter()
            .filter(|old| state.profiles.iter().all(|new| new.iccid != old.iccid))
            .map(|old| old.iccid)
            .collect();
        let put = state.profiles.into_iter().filter(|new| !before.profiles.contains(new)).collect();
        let forgotten = before
            .other_eims
            .iter()
            .filter(|old| state.other_eims.iter().all(|new| new.eim_id != old.eim_id))
            .map(|old| old.eim_id.clone())
            .collect();
        let put_eims = state.other_eims.into_iter().filter(|new| !before.other_eims.contains(new)).collect();
        let other_eims = OtherEimChanges { put: put_eims, forgotten };
        let euicc = (state.euicc != before.euicc).then_some(state.euicc);
        let sessions = state.sessions.into_iter().filter(|new| !before.sessions.contains(new)).collect();
        let profiles = ProfileChanges { put, gone };
        let switch = state.switch.filter(|new| before.switch.as_ref() != Some(new)).map(Box::new);
        Changes {
            euicc,
            operations,
            queue,
            profiles,
            other_eims,
            received,
            events,
            sessions,
            notifications,
            switch,
            code: None,
            drift: None,
            audit,
        }
    }
}

/// A time as people and scripts read it: RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn rfc3339(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}
