//! Reads the stream of events for rules, and looks for devices that are silent; notes which rule fires for which device.
//!
//! What is noted is written together with the place in the stream, so that no event is passed over and none counts twice. It
//! is carried out by [`super::carry_out_rules`].

use super::count;
use crate::Eim;
use crate::domain::fleet::rule::{Action, CHAIN_MAX, Condition, FiringOutcome, RuleSpec, silent_since};
use crate::domain::fleet::switch::interval;
use crate::domain::{Euicc, Event, Origin, rfc3339};
use crate::ids::{Eid, OperationId};
use crate::store::StoreError;
use crate::store::rule::{NewFiring, Noted, StoredRule};
use crate::store::stream::{StreamEvent, StreamPosition};
use crate::store::switch::StoredSwitch;
use serde_json::{Value, json};
use std::str::FromStr;

/// How many events are read together, and how many times before other tenants have their turn.
const EVENTS: i64 = 500;
const PAGES: usize = 20;
/// More rules than a tenant may have.
pub(super) const RULES_MAX: i64 = 1_000;
/// How many silent devices are looked at together.
const DEVICES: i64 = 500;
/// How often devices are looked through.
const LOOKED_THROUGH_EVERY_MS: i64 = 300_000;
const HOUR_MS: i64 = 3_600_000;
/// For how many poll intervals after a switch what the device reports counts as caused by it.
const AFTERMATH_INTERVALS: i64 = 3;

/// A rule with what it says read.
struct Rule {
    stored: StoredRule,
    spec: RuleSpec,
}

impl Rule {
    /// `None` for one that this version can't read; it does not fire.
    fn read(stored: StoredRule) -> Option<Self> {
        let spec = RuleSpec::from_stored(stored.name.clone(), stored.enabled, &stored.spec);
        if spec.is_none() {
            tracing::error!(rule = %stored.id, "a rule can't be read and does not fire");
        }
        Some(Self { spec: spec?, stored })
    }
}

/// Something that a rule may answer.
struct Happened {
    at: i64,
    cause: String,
    event: Value,
    by: Option<BySwitch>,
}

/// The switch that something is caused by.
struct BySwitch {
    id: OperationId,
    /// The rules that caused the switch.
    rules: Vec<OperationId>,
}

impl BySwitch {
    fn new(stored: StoredSwitch) -> Self {
        Self { id: stored.switch.id, rules: stored.switch.facts.rules }
    }
}

/// What an event comes from.
enum Cause {
    /// What this eIM asks on its own account, which is no matter of rules.
    Eim,
    /// Something else; where it is known, the switch.
    Other(Option<BySwitch>),
}

/// What a rule does about it.
enum Verdict {
    Note(Box<NewFiring>),
    Stop(Event),
    /// It is quiet for the device for a while.
    Quiet(Box<NewFiring>),
}

/// Notes what rules answer to the events that are new to them; gives how many tenants had any.
///
/// # Errors
/// When the store fails.
pub async fn note_firings(eim: &Eim) -> Result<usize, StoreError> {
    let behind = eim.store().rules_behind().await?;
    let mut done = Ok(());
    for tenant in &behind {
        let eim = eim.of(*tenant);
        for _ in 0..PAGES {
            match read_on(&eim).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    // Others' events are not held up by it.
                    tracing::error!(tenant = tenant.value(), %error, "events could not be looked at for rules");
                    done = Err(error);
                    break;
                }
            }
        }
    }
    if !behind.is_empty() {
        count("note_firings", &done, eim);
    }
    done.map(|()| behind.len())
}

/// Looks at some events; `true` when there may be more at once.
async fn read_on(eim: &Eim) -> Result<bool, StoreError> {
    let reader = eim.store().rule_reader().await?;
    let stored = eim.store().rules(0, RULES_MAX).await?;
    let rules: Vec<Rule> = stored.into_iter().filter(|rule| rule.enabled).filter_map(Rule::read).collect();
    let page = eim.store().stream(reader.cursor, EVENTS).await?;
    let (mut at, mut last) = (reader.cursor, reader.cursor);
    for event in page.events {
        last = event.position;
        let mut noted = Noted { revision: reader.revision, ..Noted::default() };
        for rule in rules.iter().filter(|rule| is_meant(rule, &event)) {
            answer(rule, &event, &mut noted, eim).await?;
        }
        if noted.firings.is_empty() && noted.stop.is_empty() {
            continue;
        }
        let stops = !noted.stop.is_empty();
        noted.step = Some((at, last));
        if !eim.store().note_firings(noted, eim.clock().now_ms()).await? {
            return Ok(false);
        }
        if stops {
            return Ok(true);
        }
        at = last;
    }
    let moved = at == last || skip(reader.revision, at, last, eim).await?;
    Ok(moved && page.more)
}

async fn skip(revision: i64, from: StreamPosition, to: StreamPosition, eim: &Eim) -> Result<bool, StoreError> {
    let noted = Noted { revision, step: Some((from, to)), ..Noted::default() };
    eim.store().note_firings(noted, eim.clock().now_ms()).await
}

fn is_meant(rule: &Rule, event: &StreamEvent) -> bool {
    !event.eid.is_empty()
        && event.position > rule.stored.since
        && event.at >= rule.stored.since_at
        && rule.spec.when.holds(&event.event_type, &event.details)
}

async fn answer(rule: &Rule, event: &StreamEvent, noted: &mut Noted, eim: &Eim) -> Result<(), StoreError> {
    let Ok(eid) = Eid::from_str(&event.eid) else { return Ok(()) };
    let Some((euicc, _)) = eim.store().euicc(eid).await? else { return Ok(()) };
    if !rule.spec.filter.matches(&euicc, eim.clock().now_ms()) {
        return Ok(());
    }
    let Cause::Other(by) = cause_of(event, &euicc, eim).await? else { return Ok(()) };
    let happened = Happened {
        at: event.at,
        cause: format!("event:{}", event.position.seq),
        event: json!({
            "id": event.position.seq.to_string(),
            "type": event.event_type,
            "at": rfc3339(event.at),
            "data": event.details,
        }),
        by,
    };
    match weigh(rule, &euicc, happened, eim).await? {
        Verdict::Note(firing) | Verdict::Quiet(firing) => noted.firings.push(*firing),
        Verdict::Stop(event) => noted.stop.push((rule.stored.id, event)),
    }
    Ok(())
}

async fn cause_of(event: &StreamEvent, euicc: &Euicc, eim: &Eim) -> Result<Cause, StoreError> {
    let named = |name: &str| event.details.get(name).and_then(Value::as_str).and_then(|id| id.parse().ok());
    if let Some(id) = named("switch") {
        return Ok(Cause::Other(eim.store().switch(id).await?.map(BySwitch::new)));
    }
    if event.event_type.starts_with("operation") {
        let Some(operation) = named("operation") else { return Ok(Cause::Eim) };
        let Some(operation) = eim.store().operation(operation).await? else { return Ok(Cause::Eim) };
        return Ok(match (operation.origin, operation.subject) {
            (Origin::Eim, _) => Cause::Eim,
            (Origin::Switch, Some(switch)) => Cause::Other(eim.store().switch(switch).await?.map(BySwitch::new)),
            (Origin::Switch | Origin::Operator, _) => Cause::Other(None),
        });
    }
    Ok(Cause::Other(aftermath(euicc, event.at, eim).await?))
}

/// The latest switch of a device, while what the device does may be caused by it.
async fn aftermath(euicc: &Euicc, at: i64, eim: &Eim) -> Result<Option<BySwitch>, StoreError> {
    let Some(stored) = eim.store().last_switch(euicc.eid).await? else { return Ok(None) };
    let after = interval(euicc).saturating_mul(AFTERMATH_INTERVALS);
    let over = stored.switch.ended_at.map(|ended| ended.saturating_add(after));
    let is_cause = stored.switch.created_at <= at && over.is_none_or(|over| at <= over);
    Ok(is_cause.then(|| BySwitch::new(stored)))
}

/// Whether a rule whose condition holds fires: not on what it caused itself, not within its cool-down, not too often.
async fn weigh(rule: &Rule, euicc: &Euicc, happened: Happened, eim: &Eim) -> Result<Verdict, StoreError> {
    let now = eim.clock().now_ms();
    let id = rule.stored.id;
    let mut firing = NewFiring {
        id: eim.entropy().operation_id(now),
        rule: id,
        rule_version: rule.stored.version,
        eid: euicc.eid,
        at: happened.at,
        cause: happened.cause,
        event: happened.event,
        chain: vec![id],
        outcome: FiringOutcome::Pending,
        told: None,
    };
    if let Some(by) = happened.by {
        let loops = by.rules.contains(&id) || by.rules.len() >= CHAIN_MAX;
        firing.chain = by.rules;
        firing.chain.push(id);
        if loops {
            firing.cause = format!("loopGuard:{}", by.id);
            firing.outcome = FiringOutcome::LoopGuard;
            return Ok(Verdict::Note(Box::new(firing)));
        }
    }
    // Who starts a stopped rule again, or changes what it waits for, begins to count anew.
    let counted = (happened.at - HOUR_MS).max(rule.stored.since_at - 1);
    let before = eim.store().fired_before(id, euicc.eid, counted, happened.at).await?;
    if let Some((last, at)) = before.last
        && happened.at < at.saturating_add(rule.spec.cool_down.ms(euicc))
    {
        firing.cause = format!("coolDown:{last}");
        firing.outcome = FiringOutcome::CoolDown;
        return Ok(Verdict::Quiet(Box::new(firing)));
    }
    if before.since >= rule.spec.max_firings_per_hour {
        let details = json!({
            "rule": id,
            "name": rule.stored.name,
            "maxFiringsPerHour": rule.spec.max_firings_per_hour,
        });
        return Ok(Verdict::Stop(Event::new("ruleStopped", details)));
    }
    let webhooks: Vec<&OperationId> = rule
        .spec
        .then
        .iter()
        .filter_map(|action| match action {
            Action::Webhook { id } => Some(id),
            Action::Switch { .. } | Action::Operations { .. } | Action::Tag { .. } => None,
        })
        .collect();
    let details = json!({
        "rule": id,
        "name": rule.stored.name,
        "firing": firing.id,
        "cause": firing.event,
        "webhooks": webhooks,
    });
    firing.told = Some(Event::new("ruleFired", details));
    Ok(Verdict::Note(Box::new(firing)))
}

/// Notes which rules fire for devices that did not poll; gives how many rules were looked at.
///
/// # Errors
/// When the store fails.
pub async fn look_for_silence(eim: &Eim) -> Result<usize, StoreError> {
    let due = eim.store().due_rules(eim.clock().now_ms()).await?;
    if due.is_empty() {
        return Ok(0);
    }
    // Whether a device was seen decides, so it must be known.
    eim.flush_sightings().await?;
    let mut done = Ok(());
    for (tenant, id) in &due {
        let eim = eim.of(*tenant);
        for _ in 0..PAGES {
            match look_on(*id, &eim).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(rule = %id, %error, "silent devices could not be looked for");
                    done = Err(error);
                    break;
                }
            }
        }
    }
    count("look_for_silence", &done, eim);
    done.map(|()| due.len())
}

/// Looks at some devices; `true` when there are more.
async fn look_on(id: OperationId, eim: &Eim) -> Result<bool, StoreError> {
    let now = eim.clock().now_ms();
    let reader = eim.store().rule_reader().await?;
    let Some(rule) = eim.store().rule(id).await?.filter(|rule| rule.enabled).and_then(Rule::read) else {
        return Ok(false);
    };
    let (Condition::NoPollFor(intervals), Some(look_at)) = (&rule.spec.when, rule.stored.look_at) else {
        return Ok(false);
    };
    if look_at > now {
        return Ok(false);
    }
    let after = rule.stored.scan_after;
    let silent = eim.store().silent_euiccs(id, *intervals, (eim.started_at(), now), after, DEVICES).await?;
    let more = i64::try_from(silent.len()).unwrap_or(DEVICES) >= DEVICES;
    let next = match silent.last() {
        Some((last, _)) if more => (look_at, *last),
        _ => (now + LOOKED_THROUGH_EVERY_MS, 0),
    };
    // Of several nodes one takes the page. What it does not come to is silent the next time, too.
    if !eim.store().claim_scan(id, (look_at, after), next).await? {
        return Ok(false);
    }
    for (_, euicc) in silent {
        let Some(seen) = silent_since(&euicc, *intervals, eim.started_at(), now) else { continue };
        if !rule.spec.filter.matches(&euicc, now) {
            continue;
        }
        let happened = Happened {
            at: now,
            cause: format!("silence:{}:{seen}", euicc.eid),
            event: json!({ "type": "silence", "at": rfc3339(now), "data": { "lastSeenAt": rfc3339(seen) } }),
            by: aftermath(&euicc, now, eim).await?,
        };
        let mut noted = Noted { revision: reader.revision, ..Noted::default() };
        match weigh(&rule, &euicc, happened, eim).await? {
            Verdict::Note(firing) => noted.firings.push(*firing),
            Verdict::Stop(event) => noted.stop.push((id, event)),
            // It is silent still when that is over.
            Verdict::Quiet(_) => continue,
        }
        let stops = !noted.stop.is_empty();
        if !eim.store().note_firings(noted, now).await? || stops {
            return Ok(false);
        }
    }
    Ok(more)
}
