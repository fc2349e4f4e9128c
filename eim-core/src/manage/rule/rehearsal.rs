//! What a rule would do and would have done: devices that match now, firings in the events of the last days, and what the
//! guard says for some devices. Nothing is made.

use crate::Eim;
use crate::domain::fleet::rule::{Condition, RuleSpec, silent_since};
use crate::domain::fleet::{guard, switch};
use crate::domain::{Euicc, Origin, rfc3339};
use crate::ids::Eid;
use crate::manage::ManageError;
use crate::manage::switch::{DryRun, load};
use crate::store::stream::StreamEvent;
use crate::store::webhook::Replay;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use utoipa::ToSchema;

/// How many eUICCs are read at once.
const SCANNED: i64 = 2_000;
/// How many EIDs are named, and for how many the guard is asked.
const SAMPLE: usize = 10;
const GUARDED: usize = 3;
const DAYS: i64 = 7;
const DAY_MS: i64 = 86_400_000;
/// How many events are looked at.
const EVENTS_MAX: i64 = 20_000;
const EVENTS_AT_ONCE: i64 = 2_000;
/// How many operations are looked up to tell who asked for them.
const LOOKED_UP_MAX: usize = 2_000;

/// What a rule would do.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleDryRun {
    /// How many devices the filter means now.
    pub devices: u64,
    /// Some of their EIDs.
    pub sample: Vec<String>,
    /// Of a rule that waits for silence: for how many it would fire now.
    pub silent_now: Option<u64>,
    /// How often it would have fired in the last days; absent of a rule that waits for silence, which is no event.
    pub would_have_fired: Option<Rehearsed>,
    /// What the guard says for some devices.
    pub guard: Vec<SampledGuard>,
}

/// What a rule would have done in the events that are stored, with the devices as they are now and without the loop guard.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsed {
    /// Events from this time on were looked at.
    pub from: String,
    /// How many.
    pub events: u64,
    /// Whether there was more than is looked at.
    pub truncated: bool,
    /// How often it would have fired.
    pub firings: u64,
    /// How often its condition held within its cool-down.
    pub in_cool_down: u64,
}

/// What the guard says to one action for one device.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SampledGuard {
    /// The device.
    pub eid: String,
    /// The action, from 0.
    pub action: usize,
    /// What the guard says.
    #[serde(flatten)]
    pub says: DryRun,
}

pub(super) async fn rehearse(spec: &RuleSpec, eim: &Eim) -> Result<RuleDryRun, ManageError> {
    let now = eim.clock().now_ms();
    eim.flush_sightings().await?;
    let silence = match &spec.when {
        Condition::NoPollFor(intervals) => Some(*intervals),
        _ => None,
    };
    let mut run = RuleDryRun {
        devices: 0,
        sample: vec![],
        silent_now: silence.map(|_| 0),
        would_have_fired: None,
        guard: vec![],
    };
    let mut sampled: Vec<Eid> = Vec::new();
    let mut after = 0;
    loop {
        let tag = spec.filter.tag_hint().map(str::to_owned);
        let found = eim.store().scan_euiccs(tag, after, SCANNED).await?;
        let Some((last, _)) = found.last() else { break };
        after = *last;
        for (_, euicc) in found.iter().filter(|(_, euicc)| spec.filter.matches(euicc, now)) {
            run.devices += 1;
            if let (Some(intervals), Some(count)) = (silence, run.silent_now.as_mut()) {
                *count += u64::from(silent_since(euicc, intervals, eim.started_at(), now).is_some());
            }
            if sampled.len() < SAMPLE {
                sampled.push(euicc.eid);
            }
        }
    }
    run.sample = sampled.iter().map(ToString::to_string).collect();
    if silence.is_none() {
        run.would_have_fired = Some(replay(spec, now, eim).await?);
    }
    for eid in sampled.into_iter().take(GUARDED) {
        for (action, plan) in spec.then.iter().enumerate().filter_map(|(index, done)| Some((index, done.plan()?))) {
            let (_, work) = load(eid, eim).await?;
            let checks = switch::checks(&plan, &work, switch::busy_with(&work).as_deref());
            let says = DryRun { allowed: guard::allows(&checks), checks };
            run.guard.push(SampledGuard { eid: eid.to_string(), action, says });
        }
    }
    Ok(run)
}

/// Whether an event is about what the eIM asks on its own account, on which no rule fires.
async fn is_of_the_eim(event: &StreamEvent, eim: &Eim) -> Result<bool, ManageError> {
    let named = event.details.get("operation").and_then(Value::as_str).and_then(|id| id.parse().ok());
    let Some(id) = named else { return Ok(true) };
    Ok(eim.store().operation(id).await?.is_none_or(|operation| operation.origin == Origin::Eim))
}

async fn replay(spec: &RuleSpec, now: i64, eim: &Eim) -> Result<Rehearsed, ManageError> {
    let from = now - DAYS * DAY_MS;
    let mut seen = Rehearsed { from: rfc3339(from), events: 0, truncated: false, firings: 0, in_cool_down: 0 };
    let mut euiccs: HashMap<String, Option<Euicc>> = HashMap::new();
    let mut fired: HashMap<String, i64> = HashMap::new();
    let mut reached = (from, 0);
    let mut left = EVENTS_MAX;
    let mut looked_up = 0;
    while left > 0 {
        let part = Replay { from, to: now + 1, reached };
        let events = eim.store().replayed_events(part, EVENTS_AT_ONCE.min(left)).await?;
        let Some(last) = events.last() else { return Ok(seen) };
        reached = (last.at, last.position.seq);
        left -= i64::try_from(events.len()).unwrap_or(left);
        seen.events += events.len() as u64;
        for event in events.iter().filter(|event| spec.when.holds(&event.event_type, &event.details)) {
            let Ok(eid) = event.eid.parse::<Eid>() else { continue };
            if !euiccs.contains_key(&event.eid) {
                let euicc = eim.store().euicc(eid).await?.map(|(euicc, _)| euicc);
                euiccs.insert(event.eid.clone(), euicc.filter(|euicc| spec.filter.matches(euicc, now)));
            }
            let Some(Some(euicc)) = euiccs.get(&event.eid) else { continue };
            if event.event_type.starts_with("operation") {
                if looked_up >= LOOKED_UP_MAX {
                    seen.truncated = true;
                    return Ok(seen);
                }
                looked_up += 1;
                if is_of_the_eim(event, eim).await? {
                    continue;
                }
            }
            let is_quiet =
                fired.get(&event.eid).is_some_and(|at| event.at < at.saturating_add(spec.cool_down.ms(euicc)));
            if is_quiet {
                seen.in_cool_down += 1;
            } else {
                seen.firings += 1;
                fired.insert(event.eid.clone(), event.at);
            }
        }
    }
    seen.truncated = true;
    Ok(seen)
}
