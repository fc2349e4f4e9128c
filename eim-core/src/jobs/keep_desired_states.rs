//! Looks at devices for which a desired state counts: tells of drift, and brings them back where that is asked for.
//!
//! A device is looked at when a decision about it was saved that may have changed something, when a desired state was made,
//! changed or removed, and when an attempt is due; never all of them. A look is written on the version of the device's row
//! that it was made for, and a correction begins in the same transaction as its switch: of several nodes one begins it.

use super::count;
use crate::Eim;
use crate::domain::fleet::desired::{
    Correcting, Correction, DriftFacts, DriftState, Force, Look, NEW_STATE, OTHER_STATE, Reason, busy, drift, look,
    note_lost, paced, plan_of, refused, stopped, unproven, winner,
};
use crate::domain::fleet::plan::Planned;
use crate::domain::fleet::{guard, switch};
use crate::domain::lists::list_profiles;
use crate::domain::{Changes, DriftChange, Kind, Purpose, Secrets};
use crate::ids::{Eid, OperationId, TenantId};
use crate::manage::ManageError;
use crate::manage::desired_state::{LoadedState, read_stored};
use crate::manage::switch::{NewSwitch, begin, load, with_code};
use crate::store::desired::{DeviceDrift, DueSweep, SweptPage};
use crate::store::switch::StoredSwitch;
use crate::store::{Saved, StoreError};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::task::JoinSet;

/// How many desired states are looked through together, and how many devices of each at once.
const SWEEPS: i64 = 20;
const SWEPT_AT_ONCE: i64 = 2_000;
/// How often the devices of a state are looked through whose filter counts time, and of one whose filter does not.
const TIMED_MS: i64 = 3_600_000;
const SAFELY_MS: i64 = 86_400_000;
/// How many devices are looked at together, and how many at the same time.
const LOOKED_AT_ONCE: i64 = 512;
const SIDE_BY_SIDE: usize = 16;
/// The most desired states with a filter that a tenant has.
const STATES_MAX: i64 = 1_000;

/// Looks through devices that may match, and looks at those that are due, some hundreds at once; gives how many there were.
///
/// # Errors
/// When the store fails.
pub async fn keep_desired_states(eim: &Eim) -> Result<usize, StoreError> {
    let done = keep(eim).await;
    if !matches!(done, Ok(0)) {
        count("keep_desired_states", &done, eim);
    }
    done
}

async fn keep(eim: &Eim) -> Result<usize, StoreError> {
    let sweeps = eim.store().due_sweeps(eim.clock().now_ms(), SWEEPS).await?;
    let mut done = sweeps.len();
    for due in sweeps {
        let id = due.state.id;
        passing(sweep(due, eim).await, || format!("the devices of the desired state {id} can't be looked through"))?;
    }
    let due = eim.store().due_drifts(eim.clock().now_ms(), LOOKED_AT_ONCE).await?;
    if due.is_empty() {
        return Ok(done);
    }
    done += due.len();
    // When a device was seen last may decide whether a filter matches it.
    eim.flush_sightings().await?;
    let mut of_tenants: HashMap<TenantId, Vec<DeviceDrift>> = HashMap::new();
    for row in due {
        of_tenants.entry(row.tenant).or_default().push(row);
    }
    for (tenant, rows) in of_tenants {
        let looked = look_at_devices(rows, &eim.of(tenant)).await;
        passing(looked, || format!("the devices of tenant {} can't be looked at", tenant.value()))?;
    }
    Ok(done)
}

/// Passes over a row that this version can't read: it must not keep the others from their turn.
fn passing(done: Result<(), StoreError>, what: impl FnOnce() -> String) -> Result<(), StoreError> {
    match done {
        Err(error @ StoreError::Corrupt { .. }) => {
            tracing::error!(%error, "{}", what());
            Ok(())
        }
        done => done,
    }
}

/// Has a page of the devices looked at that match a state now.
async fn sweep(DueSweep { tenant, state }: DueSweep, eim: &Eim) -> Result<(), StoreError> {
    let (eim, now) = (&eim.of(tenant), eim.clock().now_ms());
    let loaded = read_stored(state)?;
    let Some(filter) = &loaded.spec.filter else { return Ok(()) };
    let mut eids: Vec<Eid> = Vec::new();
    let from = loaded.stored.swept_to;
    let goes_on = if let Some(named) = filter.eids() {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let page = usize::try_from(SWEPT_AT_ONCE).unwrap_or(usize::MAX);
        eids.extend(named.iter().skip(from).take(page));
        (named.len() > from.saturating_add(page)).then_some(loaded.stored.swept_to + SWEPT_AT_ONCE)
    } else {
        let found = eim.store().scan_euiccs(filter.tag_hint().map(str::to_owned), from, SWEPT_AT_ONCE).await?;
        let whole = i64::try_from(found.len()).unwrap_or(i64::MAX) >= SWEPT_AT_ONCE;
        let last = found.last().map(|(seq, _)| *seq).filter(|_| whole);
        eids.extend(found.iter().map(|(_, euicc)| euicc).filter(|euicc| filter.matches(euicc, now)).map(|one| one.eid));
        last
    };
    let period = if filter.counts_time() { TIMED_MS } else { SAFELY_MS };
    let (swept_to, sweep_at) = goes_on.map_or((0, now + period), |swept_to| (swept_to, now));
    // Somebody who was faster has marked the same devices.
    eim.store().save_sweep(&loaded.stored, SweptPage { eids, swept_to, sweep_at }, now).await?;
    Ok(())
}

async fn look_at_devices(rows: Vec<DeviceDrift>, eim: &Eim) -> Result<(), StoreError> {
    // Read after the rows: a state that is made later marks them once more.
    let stored = eim.store().desired_states(true, 0, STATES_MAX).await?;
    let filters: Vec<LoadedState> = stored.into_iter().map(read_stored).collect::<Result<_, _>>()?;
    let filters = Arc::new(filters);
    let places = Arc::new(Places::count(&filters, eim).await?);
    let mut rows = rows.into_iter();
    let mut looking = JoinSet::new();
    loop {
        while looking.len() < SIDE_BY_SIDE
            && let Some(row) = rows.next()
        {
            let (filters, places, eim) = (Arc::clone(&filters), Arc::clone(&places), eim.clone());
            looking.spawn(async move {
                let eid = row.eid;
                look_at(row, &filters, &places, &eim).await.map_err(|error| (eid, error))
            });
        }
        match looking.join_next().await {
            None => return Ok(()),
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err((eid, ManageError::Store(error))))) => {
                passing(Err(error), || format!("the device {eid} can't be looked at"))?;
            }
            Some(Ok(Err((eid, error)))) => {
                tracing::warn!(%eid, %error, "a device could not be compared with its desired state")
            }
            Some(Err(error)) => tracing::error!(%error, "a look at a device was cut off"),
        }
    }
}

/// How many more devices may be brought back at the same time, for each state with a filter, and how many wait. Counted before
/// a round, so several nodes may together begin a round's worth more.
struct Places(HashMap<OperationId, (AtomicI64, i64)>);

impl Places {
    async fn count(states: &[LoadedState], eim: &Eim) -> Result<Self, StoreError> {
        let mut places = HashMap::new();
        for state in states.iter().filter(|state| state.spec.enforce) {
            let of = |wanted: Correcting, counts: &[(DriftState, Correcting, u64)]| {
                let n: u64 = counts.iter().filter(|(_, is, _)| *is == wanted).map(|(_, _, n)| n).sum();
                i64::try_from(n).unwrap_or(i64::MAX)
            };
            let counts = eim.store().drift_counts(state.stored.id).await?;
            let free = state.spec.max_in_flight - of(Correcting::Correcting, &counts);
            places.insert(state.stored.id, (AtomicI64::new(free), of(Correcting::Waiting, &counts)));
        }
        Ok(Self(places))
    }

    /// Takes a place; `Err` with how many wait when none is left.
    fn take(&self, state: OperationId) -> Result<(), i64> {
        match self.0.get(&state) {
            Some((free, waiting)) if free.fetch_sub(1, Ordering::SeqCst) <= 0 => {
                free.fetch_add(1, Ordering::SeqCst);
                Err(*waiting)
            }
            _ => Ok(()),
        }
    }

    fn give_back(&self, state: OperationId) {
        if let Some((free, _)) = self.0.get(&state) {
            free.fetch_add(1, Ordering::SeqCst);
        }
    }
}

async fn look_at(row: DeviceDrift, filters: &[LoadedState], places: &Places, eim: &Eim) -> Result<(), ManageError> {
    let now = eim.clock().now_ms();
    let eid = row.eid;
    let Some((euicc, _)) = eim.store().euicc(eid).await? else { return Ok(eim.store().forget_drift(eid).await?) };
    let profiles = eim.store().profiles(eid).await?;
    let own = eim.store().own_desired_state(eid).await?.map(read_stored).transpose()?;
    let counts = winner(own.as_ref(), filters, |state| &state.spec, &euicc, now);
    let mut facts = row.facts.clone();
    let mut under_way = match facts.switch {
        Some(id) => eim.store().switch(id).await?,
        None => None,
    };
    let same = counts.is_some_and(|state| {
        Some(state.stored.id) == row.state && state.stored.version == facts.state_version && state.spec.enforce
    });
    // Also of one that no state wants any more: where the device is, is not known.
    note_lost(&mut facts, under_way.as_ref().map(|stored| &stored.switch));
    if let Some(open) = under_way.as_ref().filter(|stored| stored.switch.is_open() && !same) {
        // Nobody wants it any more. What was delivered can't be called back, and is waited for.
        if withdraw(open, eim).await? {
            return Ok(());
        }
    } else if !same && under_way.is_some() {
        (facts.switch, under_way) = (None, None);
    }
    let Some(state) = counts else {
        let change = DriftChange {
            version: row.version,
            state: None,
            drift: DriftState::None,
            correcting: Correcting::None,
            look_at: None,
            facts: {
                let mut rest = DriftFacts {
                    checked_at: now,
                    switch: facts.switch,
                    unproven_since: facts.unproven_since,
                    ..DriftFacts::default()
                };
                rest.keep_tries(&mut facts);
                rest
            },
            bad_of: None,
        };
        eim.store().save_drift(eid, change, vec![], now).await?;
        return Ok(());
    };
    if row.state != Some(state.stored.id) {
        // What was known is about another state. One that was made since the last look is a person's word, and begins anew.
        let is_new = state.stored.created_at >= facts.checked_at;
        facts.state_version = if is_new { NEW_STATE } else { OTHER_STATE };
    }
    let found = drift(&state.spec.wanted, state.obtain.is_some(), &euicc, &profiles);
    let switch = under_way.as_ref().map(|stored| &stored.switch);
    let found = unproven(&mut facts, euicc.profiles_listed_at, found);
    let force = Force {
        id: state.stored.id,
        name: &state.spec.name,
        version: state.stored.version,
        enforce: state.spec.enforce,
        retry: state.spec.retry,
    };
    let looked = look(&mut facts, row.drift, &force, found, switch, now);
    Device { eid, version: row.version, state, places, now, eim }.act(facts, looked).await
}

/// Withdraws a correction of which nothing was delivered; the end of it has the device looked at again. `false` when it goes
/// on.
async fn withdraw(open: &StoredSwitch, eim: &Eim) -> Result<bool, ManageError> {
    let now = eim.clock().now_ms();
    let (version, mut work) = load(open.eid, eim).await?;
    let ours = work.state.switch.as_ref().is_some_and(|switch| switch.id == open.switch.id);
    if !ours || !switch::cancel(&mut work) {
        return Ok(false);
    }
    // On a conflict the device is still due.
    eim.save(open.eid, version, work.finish(), now).await?;
    Ok(true)
}

/// What a step came to.
enum Begun {
    /// It is under way, or somebody else changed something meanwhile and the device is still due.
    Yes,
    /// Something else is under way.
    Busy(Reason),
    /// Something speaks against it.
    Refused(Reason),
}

struct Device<'a> {
    eid: Eid,
    version: i64,
    state: &'a LoadedState,
    places: &'a Places,
    now: i64,
    eim: &'a Eim,
}

impl Device<'_> {
    async fn act(&self, mut facts: DriftFacts, mut looked: Look) -> Result<(), ManageError> {
        let steps = std::mem::take(&mut looked.steps);
        let campaign = if steps.is_empty() { None } else { self.eim.store().live_campaign(self.eid).await? };
        if let Some(campaign) = campaign {
            let message =
                format!("It belongs to the campaign {campaign}, until that one has ended (by its endAt, or abort).");
            busy(&mut facts, &mut looked, Reason::new("campaign", message), self.now);
        } else if let Some(bad) = self.state.has_stopped().filter(|_| !steps.is_empty()) {
            stopped(&mut facts, &mut looked, bad);
        } else if let Some(waiting) =
            (!steps.is_empty()).then(|| self.places.take(self.state.stored.id).err()).flatten()
        {
            let spread =
                self.eid.octets().iter().fold(0_u64, |sum, octet| sum.wrapping_mul(31).wrapping_add((*octet).into()));
            paced(&mut facts, &mut looked, (waiting, self.state.spec.max_in_flight), spread, self.now);
        } else if !steps.is_empty() {
            let mut against = None;
            for (key, correction) in &steps {
                match self.begin(key, *correction, &facts, &looked).await? {
                    Begun::Yes => return Ok(()),
                    Begun::Busy(reason) => {
                        busy(&mut facts, &mut looked, reason, self.now);
                        against = None;
                        break;
                    }
                    Begun::Refused(reason) => against = against.or(Some(reason)),
                }
            }
            self.places.give_back(self.state.stored.id);
            if let Some(reason) = against {
                refused(&mut facts, &mut looked, reason, self.now);
            }
        }
        if looked.list {
            return self.ask_for_list(facts, looked).await;
        }
        let change = self.change(facts, &looked);
        let events = looked.events;
        if self.eim.store().save_drift(self.eid, change, events.clone(), self.now).await? {
            self.eim.metrics().count_drift(&events);
        }
        Ok(())
    }

    fn change(&self, facts: DriftFacts, looked: &Look) -> DriftChange {
        DriftChange {
            version: self.version,
            state: Some((self.state.stored.id, self.state.stored.version)),
            drift: looked.drift,
            correcting: looked.correcting,
            look_at: looked.look_at,
            facts,
            bad_of: looked.bad.then_some(self.state.spec.stop_after).filter(|_| self.state.spec.filter.is_some()),
        }
    }

    /// Asks the device which profiles it has, once.
    async fn ask_for_list(&self, facts: DriftFacts, looked: Look) -> Result<(), ManageError> {
        let (version, mut work) = load(self.eid, self.eim).await?;
        for event in &looked.events {
            work.event(event.event_type, Value::Object(event.details.clone()));
        }
        let asked =
            [Purpose::Refresh, Purpose::Reconcile].iter().any(|purpose| work.asks_already(*purpose, Kind::Psmo));
        if !asked && work.state.euicc.state.takes_packages() {
            work.ask(Purpose::Refresh, Kind::Psmo, None, list_profiles());
        }
        let drift = Some(Box::new(self.change(facts, &looked)));
        // On a conflict the device is still due.
        self.eim.save(self.eid, version, Changes { drift, ..work.finish() }, self.now).await?;
        Ok(())
    }

    /// Begins a correction, if the guard lets it through.
    async fn begin(
        &self,
        key: &str,
        correction: Correction,
        facts: &DriftFacts,
        looked: &Look,
    ) -> Result<Begun, ManageError> {
        let eim = self.eim;
        let obtain = self.state.obtain.as_ref();
        let Some(plan) = plan_of(correction, &self.state.spec, obtain) else {
            return Ok(Begun::Refused(Reason::new("obtain", "It is not said how a missing profile is got.")));
        };
        let secrets = match self.state.secrets(eim) {
            Some(secrets) if correction == Correction::Obtain => secrets,
            None if correction == Correction::Obtain => {
                let message = "The codes can't be read with the key in secrets.key.";
                return Ok(Begun::Refused(Reason::new("secret-unreadable", message)));
            }
            _ => Secrets::default(),
        };
        let new = NewSwitch {
            id: eim.entropy().operation_id(self.now),
            planned: Planned { plan, secrets, overrides: false },
            label: Some(self.state.spec.name.clone()),
            not_before: None,
            desired_state: Some(self.state.stored.id),
            campaign: None,
            reverts: false,
            rules: vec![],
        };
        let (version, mut work) = load(self.eid, eim).await?;
        let (new, code) = match with_code(&new, eim).await {
            Ok(new) => new,
            Err(ManageError::Conflict { slug, message }) => return Ok(Begun::Refused(Reason::new(slug, message))),
            Err(ManageError::Invalid(_)) => {
                return Ok(Begun::Refused(Reason::new("pool", "There is no such pool any more.")));
            }
            Err(error) => return Err(error),
        };
        match begin(&mut work, &new, None, eim) {
            Ok(()) => {}
            Err(ManageError::Guard(checks)) => {
                let Some(check) = guard::refusal(&checks) else { return Ok(Begun::Yes) };
                let reason = Reason::new(check.name, check.reason().message);
                let busy = check.name == guard::NOTHING_IN_FLIGHT;
                return Ok(if busy { Begun::Busy(reason) } else { Begun::Refused(reason) });
            }
            Err(ManageError::Invalid(_)) => {
                return Ok(Begun::Refused(Reason::new("plan", "This version can't read how the profile is got.")));
            }
            Err(error) => return Err(error),
        }
        for event in &looked.events {
            work.event(event.event_type, Value::Object(event.details.clone()));
        }
        let mut facts = facts.clone();
        *facts.tries.entry(key.to_owned()).or_default() += 1;
        facts.switch = Some(new.id);
        facts.next_try_at = None;
        let changes = work.finish();
        let mut change = self.change(facts, looked);
        change.correcting = Correcting::Correcting;
        // One that had nothing to do has ended already.
        let ended = changes.switch.as_ref().is_some_and(|switch| !switch.is_open());
        change.look_at = ended.then_some(self.now);
        // On a conflict the device is still due.
        let saved =
            eim.save(self.eid, version, Changes { code, drift: Some(Box::new(change)), ..changes }, self.now).await?;
        if saved == Saved::Conflict {
            tracing::debug!(eid = %self.eid, "a device was changed while a correction began");
        }
        Ok(Begun::Yes)
    }
}
