//! Rules, how far they have read the stream, and what came of them: rows, filters and transactions.

use super::stream::StreamPosition;
use super::switch::StoredSwitch;
use super::{Backend, Enqueued, IdempotencyKey, Saved, Store, StoreError, on, postgres, sqlite};
use crate::domain::fleet::rule::FiringOutcome;
use crate::domain::{Changes, Euicc, Event};
use crate::ids::{Eid, OperationId, TenantId};
use serde_json::Value;
use std::sync::Arc;

/// A rule as it is stored.
#[derive(Debug, Clone)]
pub struct StoredRule {
    /// Its position.
    pub seq: i64,
    /// Its name for reference.
    pub id: OperationId,
    /// The operator's name for it.
    pub name: String,
    /// Whether it fires.
    pub enabled: bool,
    /// Grows with every change by somebody.
    pub version: i64,
    /// The rest of what it is.
    pub spec: Value,
    /// The secrets of its actions, sealed.
    pub secret: Option<Vec<u8>>,
    /// Who made it.
    pub created_by: Value,
    /// It fires on events behind this place alone.
    pub since: StreamPosition,
    /// And on none that happened before this time, milliseconds since 1970: with PostgreSQL one from shortly before may be
    /// behind the place.
    pub since_at: i64,
    /// When it stopped itself, milliseconds since 1970.
    pub stopped_at: Option<i64>,
    /// When devices are looked through for one that waits for silence.
    pub look_at: Option<i64>,
    /// How far they were looked through.
    pub scan_after: i64,
    /// When it was made.
    pub created_at: i64,
}

/// How far the rules of a tenant have read the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuleReader {
    /// Behind the last event that was looked at.
    pub cursor: StreamPosition,
    /// Grows with every change of any rule: what was decided on an older one is decided again.
    pub revision: i64,
}

/// What became of writing a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleSaved {
    /// Written.
    Done,
    /// Rules were changed since they were read; nothing was written.
    Conflict,
    /// There are as many as there may be.
    TooMany,
    /// As of any request under an idempotency key.
    Earlier(Enqueued),
}

/// A firing to be noted.
#[derive(Debug, Clone)]
pub struct NewFiring {
    /// Its name.
    pub id: OperationId,
    /// Of which rule.
    pub rule: OperationId,
    /// The version of the rule.
    pub rule_version: i64,
    /// For which device.
    pub eid: Eid,
    /// When what it answers happened, milliseconds since 1970.
    pub at: i64,
    /// What it answers, once for each rule: a second one is only counted.
    pub cause: String,
    /// The event that it answers.
    pub event: Value,
    /// The rules that caused it, this one last.
    pub chain: Vec<OperationId>,
    /// What came of it.
    pub outcome: FiringOutcome,
    /// What the timeline of the device is told.
    pub told: Option<Event>,
}

/// A firing.
#[derive(Debug, Clone)]
pub struct Firing {
    /// Its position.
    pub seq: i64,
    /// Its name.
    pub id: OperationId,
    /// Of which rule.
    pub rule: OperationId,
    /// The version of the rule.
    pub rule_version: i64,
    /// For which device.
    pub eid: Eid,
    /// When what it answers happened, milliseconds since 1970.
    pub at: i64,
    /// The event that it answers.
    pub event: Value,
    /// The rules that caused it, this one last.
    pub chain: Vec<OperationId>,
    /// What came of it.
    pub outcome: FiringOutcome,
    /// What came of each action, as far as they were carried out.
    pub steps: Vec<Value>,
    /// How often the same came again.
    pub repeats: i64,
    /// When it was noted.
    pub created_at: i64,
    /// When it ended.
    pub ended_at: Option<i64>,
}

/// A firing with the tenant whose it is.
#[derive(Debug, Clone)]
pub struct DueFiring {
    /// Whose it is.
    pub tenant: TenantId,
    /// The firing.
    pub firing: Firing,
}

/// Firings that are noted together.
#[derive(Debug, Clone, Default)]
pub struct Noted {
    /// The revision of the rules that it was decided on.
    pub revision: i64,
    /// The place of the reader, from and to; `None` for what is no event.
    pub step: Option<(StreamPosition, StreamPosition)>,
    /// The firings.
    pub firings: Vec<NewFiring>,
    /// Rules that stop, with what is told of it.
    pub stop: Vec<(OperationId, Event)>,
}

/// How a step of a firing came out.
#[derive(Debug, Clone)]
pub struct FiringStep {
    /// The firing.
    pub id: OperationId,
    /// How many steps it had taken.
    pub taken: usize,
    /// What came of the actions, the one of this step included.
    pub steps: Vec<Value>,
    /// Its outcome, when this was the last step.
    pub end: Option<FiringOutcome>,
}

/// How a device stands with a rule.
#[derive(Debug, Clone, Default)]
pub struct FiredBefore {
    /// The last firing for the device: name and when.
    pub last: Option<(OperationId, i64)>,
    /// How often the rule fired for any device since a time.
    pub since: i64,
}

impl Store {
    /// How far the rules of the tenant have read.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn rule_reader(&self) -> Result<RuleReader, StoreError> {
        let tenant = self.tenant;
        on!(self.read("rule_reader"), |conn| rule_reader(conn, tenant))
    }

    /// Adds a rule, unless the tenant has `at_most` already, or rules were changed since `revision`.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn insert_rule(
        &self,
        rule: StoredRule,
        revision: i64,
        event: Event,
        key: Option<IdempotencyKey>,
        at_most: i64,
    ) -> Result<RuleSaved, StoreError> {
        let tenant = self.tenant;
        let done = on!(self.write("insert_rule"), |conn| {
            insert_rule(conn, &rule, revision, &event, key.as_ref(), at_most, tenant)
        });
        self.tell_of_events();
        done
    }

    /// Changes a rule, unless rules were changed since `revision`. One that is enabled anew fires on what happens from now on.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn change_rule(
        &self,
        rule: StoredRule,
        revision: i64,
        anew: bool,
        event: Event,
        now: i64,
    ) -> Result<RuleSaved, StoreError> {
        let tenant = self.tenant;
        let done =
            on!(self.write("change_rule"), |conn| { change_rule(conn, &rule, revision, anew, &event, tenant, now) });
        self.tell_of_events();
        done
    }

    /// Removes a rule with its firings. `false` when there is none.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn delete_rule(&self, id: OperationId, event: Event, now: i64) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        let done = on!(self.write("delete_rule"), |conn| delete_rule(conn, id, &event, tenant, now));
        self.tell_of_events();
        done
    }

    /// A rule by name.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn rule(&self, id: OperationId) -> Result<Option<StoredRule>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("rule"), |conn| rule_by_id(conn, id, tenant))
    }

    /// Rules, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn rules(&self, after: i64, limit: i64) -> Result<Vec<StoredRule>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("rules"), |conn| rule_page(conn, after, limit, tenant))
    }

    /// Firings of a rule, oldest first.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn firings(&self, rule: OperationId, after: i64, limit: i64) -> Result<Vec<Firing>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("firings"), |conn| firing_page(conn, rule, after, limit, tenant))
    }

    /// The tenants that have rules and that the stream is ahead of.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn rules_behind(&self) -> Result<Vec<TenantId>, StoreError> {
        on!(self.read("rules_behind"), |conn| rules_behind(conn))
    }

    /// How a device stands with a rule, and how often that fired between two times.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn fired_before(
        &self,
        rule: OperationId,
        eid: Eid,
        from: i64,
        until: i64,
    ) -> Result<FiredBefore, StoreError> {
        let tenant = self.tenant;
        on!(self.read("fired_before"), |conn| fired_before(conn, rule, &eid, from, until, tenant))
    }

    /// Notes firings and moves the reader on, together. `false` when somebody else was faster, or rules were changed; nothing
    /// was written then.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn note_firings(&self, noted: Noted, now: i64) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        let done = on!(self.write("note_firings"), |conn| note_firings(conn, &noted, tenant, now));
        self.tell_of_events();
        done
    }

    /// Firings of all tenants that are to be carried out now.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn due_firings(&self, now: i64, limit: i64) -> Result<Vec<DueFiring>, StoreError> {
        on!(self.read("due_firings"), |conn| due_firings(conn, now, limit))
    }

    /// Lets a firing wait.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn postpone_firing(&self, id: OperationId, until: i64) -> Result<(), StoreError> {
        let tenant = self.tenant;
        on!(self.write("postpone_firing"), |conn| postpone_firing(conn, id, until, tenant))
    }

    /// Writes a step of a firing, with the decision about the eUICC that it consists of. `Conflict` when the eUICC or the
    /// firing was changed by others, or the rule since the firing was noted; nothing was written then. That a firing is
    /// cancelled is written whatever became of the rule.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn save_firing_step(
        &self,
        eid: Eid,
        step: FiringStep,
        decision: Option<(i64, Arc<Changes>)>,
        now: i64,
    ) -> Result<Saved, StoreError> {
        let tenant = self.tenant;
        let saved = on!(self.write("save_firing_step"), |conn| {
            save_firing_step(
                conn,
                &eid,
                &step,
                decision.as_ref().map(|(version, changes)| (*version, &**changes)),
                tenant,
                now,
            )
        });
        self.disturb(&eid);
        saved
    }

    /// Rules of all tenants for which devices are to be looked through.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn due_rules(&self, now: i64) -> Result<Vec<(TenantId, OperationId)>, StoreError> {
        on!(self.read("due_rules"), |conn| due_rules(conn, now))
    }

    /// Takes the next page of devices for a rule. `false` when somebody else has taken it.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn claim_scan(&self, id: OperationId, from: (i64, i64), to: (i64, i64)) -> Result<bool, StoreError> {
        let tenant = self.tenant;
        on!(self.write("claim_scan"), |conn| claim_scan(conn, id, from, to, tenant))
    }

    /// Devices behind a position that did not poll for so many of their intervals, and for which the rule did not fire since
    /// they were last seen. What is silent counts between the two times, served since and now.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn silent_euiccs(
        &self,
        rule: OperationId,
        intervals: i64,
        between: (i64, i64),
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, Euicc)>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("silent_euiccs"), |conn| silent_euiccs(conn, rule, intervals, between, after, limit, tenant))
    }

    /// The switch of an eUICC that was asked for last.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn last_switch(&self, eid: Eid) -> Result<Option<StoredSwitch>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("last_switch"), |conn| last_switch(conn, &eid, tenant))
    }

    /// Forgets firings that ended before this time, some hundreds at once.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn forget_firings(&self, before: i64) -> Result<usize, StoreError> {
        on!(self.write("forget_firings"), |conn| forget_firings(conn, before))
    }
}
