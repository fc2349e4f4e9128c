//! Desired states: what is wanted of a device or of all that a filter matches, and how devices stand to it.

mod views;

pub use views::{DesiredStateCounts, DesiredStateView, DeviceDesiredStateView, DriftView, NamedState};

use super::euicc::eid_of;
use super::page;
use super::register::{idempotency, key_taken};
use super::views::Page;
use super::{ManageError, Principal};
use crate::Eim;
use crate::domain::fleet::Target;
use crate::domain::fleet::desired::{
    Correcting, DesiredSpec, Drift, DriftFacts, DriftState, Read, Reason, drift, merge, unproven, winner,
};
use crate::domain::{Event, Secrets, rfc3339};
use crate::ids::{Eid, OperationId};
use crate::store::StoreError;
use crate::store::desired::{DeviceDrift, DriftFilter, StateAdded, StoredState};
use crate::store::switch::SavedOnce;
use serde_json::{Value, json};

/// How many desired states with a filter a tenant may have: each is compared with every device that changes.
const AT_MOST: i64 = 200;
const ATTEMPTS: usize = 8;

/// Which devices of a desired state to list.
#[derive(Debug, Clone, Default)]
pub struct DriftQuery {
    /// Only those that stand so.
    pub drift: Option<String>,
    /// Only those about which this is done.
    pub correcting: Option<String>,
    /// The `nextCursor` of the page before.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// A desired state with what it says read again.
#[derive(Debug, Clone)]
pub(crate) struct LoadedState {
    pub(crate) stored: StoredState,
    pub(crate) spec: DesiredSpec,
    pub(crate) obtain: Option<Target>,
}

impl LoadedState {
    /// The codes with which a missing profile is got; `None` when they can't be read with this key.
    pub(crate) fn secrets(&self, eim: &Eim) -> Option<Secrets> {
        let Some(sealed) = &self.stored.secret else { return Some(Secrets::default()) };
        Secrets::from_octets(&eim.sealing().open(sealed, self.stored.id.to_string().as_bytes()).ok()?)
    }

    fn named(&self) -> NamedState {
        NamedState {
            id: self.stored.id.to_string(),
            name: self.spec.name.clone(),
            own: self.stored.eid.is_some(),
            priority: self.spec.filter.as_ref().map(|_| self.spec.priority),
        }
    }
}

/// Reads what a stored desired state says.
///
/// # Errors
/// When this version can't read it.
pub(crate) fn read_stored(stored: StoredState) -> Result<LoadedState, StoreError> {
    let own = stored.eid.map(|eid| eid.to_string());
    let (spec, _) = DesiredSpec::from_api(&stored.spec, own.as_deref())
        .map_err(|_| StoreError::Corrupt { column: "desired_states.spec" })?;
    let obtain = stored.obtain.clone().map(serde_json::from_value).transpose();
    let obtain = obtain.map_err(|_| StoreError::Corrupt { column: "desired_states.obtain" })?;
    Ok(LoadedState { stored, spec, obtain })
}

async fn read(body: &Value, own: Option<&str>, eim: &Eim) -> Result<Read, ManageError> {
    let (spec, obtain) = DesiredSpec::from_api(body, own).map_err(ManageError::Invalid)?;
    if let Some((Target::Pool(name), _)) = &obtain
        && eim.store().pool(name).await?.is_none()
    {
        return Err(ManageError::invalid("/obtain/pool", "there is no such pool"));
    }
    Ok((spec, obtain))
}

impl LoadedState {
    /// How many corrections have ended badly, if those are as many as stop it.
    pub(crate) fn has_stopped(&self) -> Option<i64> {
        let bad = self.stored.bad_outcomes;
        (self.spec.filter.is_some() && bad >= self.spec.stop_after).then_some(bad)
    }
}

fn new_state(eid: Option<Eid>, (spec, obtain): &Read, eim: &Eim) -> StoredState {
    let now = eim.clock().now_ms();
    let mut state = StoredState {
        seq: 0,
        id: eim.entropy().operation_id(now),
        eid,
        version: 1,
        spec: spec.to_value(),
        obtain: None,
        secret: None,
        sweep_at: eid.is_none().then_some(now),
        swept_to: 0,
        bad_outcomes: 0,
        created_at: now,
        changed_at: now,
    };
    set_obtain(&mut state, obtain.as_ref(), eim);
    state
}

fn set_obtain(state: &mut StoredState, obtain: Option<&(Target, Secrets)>, eim: &Eim) {
    state.obtain = obtain.and_then(|(target, _)| serde_json::to_value(target).ok());
    state.secret = obtain.filter(|(_, secrets)| !secrets.is_empty()).map(|(_, secrets)| {
        let context = state.id.to_string();
        eim.sealing().seal(&secrets.to_octets(), context.as_bytes(), eim.entropy().octets())
    });
}

fn event(kind: &'static str, state: &StoredState, principal: &Principal) -> Event {
    let details = json!({ "desiredState": state.id, "name": state.spec["name"], "by": principal.name });
    Event::new(kind, details)
}

/// Makes a desired state for the devices that a filter matches.
///
/// # Errors
/// What can't be taken; `Conflict` when there are too many.
pub async fn create_desired_state(
    body: Value,
    key: Option<&str>,
    principal: &Principal,
    eim: &Eim,
) -> Result<DesiredStateView, ManageError> {
    let now = eim.clock().now_ms();
    let key = key.map(|key| idempotency(key, "desired state", &body, eim)).transpose()?;
    if let Some(key) = &key {
        match eim.store().earlier_request(key.clone()).await? {
            Some(SavedOnce::Before { resource }) => return desired_state(&resource, eim).await,
            Some(_) => return Err(key_taken()),
            None => {}
        }
    }
    let asked = read(&body, None, eim).await?;
    let state = new_state(None, &asked, eim);
    let id = state.id;
    let event = event("desiredStateCreated", &state, principal);
    match eim.store().insert_desired_state(state, event, key, AT_MOST, now).await? {
        StateAdded::Once(SavedOnce::Before { resource }) => desired_state(&resource, eim).await,
        StateAdded::Once(SavedOnce::KeyTaken) => Err(key_taken()),
        StateAdded::Once(SavedOnce::Done | SavedOnce::Conflict) | StateAdded::UnknownEuicc => {
            desired_state(&id.to_string(), eim).await
        }
        StateAdded::TooMany => {
            let message = format!("There are {AT_MOST} desired states with a filter already. Delete one first.");
            Err(ManageError::Conflict { slug: "too-many-desired-states", message })
        }
    }
}

/// Gives a device a desired state of its own, which takes the place of the one before. The second value says whether there
/// was none before. The same once more changes nothing.
///
/// # Errors
/// What can't be taken; `NotFound` when the device is not registered.
pub async fn put_own_desired_state(
    eid: &str,
    body: Value,
    principal: &Principal,
    eim: &Eim,
) -> Result<(DesiredStateView, bool), ManageError> {
    let eid = eid_of(eid)?;
    if eim.store().euicc(eid).await?.is_none() {
        return Err(ManageError::NotFound { what: "eUICC", id: eid.to_string() });
    }
    let asked = read(&body, Some(&eid.to_string()), eim).await?;
    for _ in 0..ATTEMPTS {
        let now = eim.clock().now_ms();
        let new = new_state(Some(eid), &asked, eim);
        let Some(before) = eim.store().own_desired_state(eid).await? else {
            let id = new.id;
            let event = event("desiredStateCreated", &new, principal);
            match eim.store().insert_desired_state(new, event, None, AT_MOST, now).await? {
                StateAdded::Once(SavedOnce::Done) => return Ok((desired_state(&id.to_string(), eim).await?, true)),
                StateAdded::UnknownEuicc => {
                    return Err(ManageError::NotFound { what: "eUICC", id: eid.to_string() });
                }
                StateAdded::Once(_) | StateAdded::TooMany => continue,
            }
        };
        let id = before.id.to_string();
        let no_secrets = before.secret.is_none() && new.secret.is_none();
        if no_secrets && before.spec == new.spec && before.obtain == new.obtain {
            return Ok((desired_state(&id, eim).await?, false));
        }
        let mut state = StoredState { spec: new.spec, ..before };
        set_obtain(&mut state, asked.1.as_ref(), eim);
        let event = event("desiredStateChanged", &state, principal);
        if eim.store().change_desired_state(state, event, now).await? {
            return Ok((desired_state(&id, eim).await?, false));
        }
    }
    Err(busy())
}

/// Changes a desired state by a JSON merge patch (RFC 7396). `obtain` is not merged, it takes the place of the one before.
/// Attempts are counted anew, also when nothing is different.
///
/// # Errors
/// What can't be taken; `NotFound`.
pub async fn update_desired_state(
    id: &str,
    patch: Value,
    principal: &Principal,
    eim: &Eim,
) -> Result<DesiredStateView, ManageError> {
    let Value::Object(mut patch) = patch else { return Err(ManageError::invalid("", "an object is expected")) };
    let obtain = patch.remove("obtain");
    for _ in 0..ATTEMPTS {
        let now = eim.clock().now_ms();
        let before = load(id, eim).await?;
        let mut body = before.spec.to_value();
        merge(&mut body, &Value::Object(patch.clone()));
        if let (Some(obtain), Some(members)) = (&obtain, body.as_object_mut()) {
            members.insert("obtain".to_owned(), obtain.clone());
        }
        let own = before.stored.eid.map(|eid| eid.to_string());
        let (spec, new_obtain) = read(&body, own.as_deref(), eim).await?;
        let mut state = StoredState { spec: spec.to_value(), ..before.stored };
        state.sweep_at = state.eid.is_none().then_some(now);
        if obtain.is_some() {
            set_obtain(&mut state, new_obtain.as_ref(), eim);
        }
        let event = event("desiredStateChanged", &state, principal);
        if eim.store().change_desired_state(state, event, now).await? {
            return desired_state(id, eim).await;
        }
    }
    Err(busy())
}

fn busy() -> ManageError {
    ManageError::Conflict {
        slug: "desired-state-busy",
        message: "the desired state was changed by others meanwhile; try again".to_owned(),
    }
}

/// Removes a desired state. A correction of which nothing was delivered is withdrawn; devices stay as they are.
///
/// # Errors
/// When it is not known.
pub async fn delete_desired_state(id: &str, principal: &Principal, eim: &Eim) -> Result<(), ManageError> {
    let state = load(id, eim).await?.stored;
    remove(&state, principal, eim).await
}

/// Removes the desired state of a device's own.
///
/// # Errors
/// When it has none, or is not registered.
pub async fn delete_own_desired_state(eid: &str, principal: &Principal, eim: &Eim) -> Result<(), ManageError> {
    let eid = eid_of(eid)?;
    let found = eim.store().own_desired_state(eid).await?;
    let state = found.ok_or_else(|| ManageError::NotFound { what: "desired state of", id: eid.to_string() })?;
    remove(&state, principal, eim).await
}

async fn remove(state: &StoredState, principal: &Principal, eim: &Eim) -> Result<(), ManageError> {
    let event = event("desiredStateDeleted", state, principal);
    if eim.store().delete_desired_state(state.id, event, eim.clock().now_ms()).await? {
        return Ok(());
    }
    Err(not_found(&state.id.to_string()))
}

fn not_found(id: &str) -> ManageError {
    ManageError::NotFound { what: "desired state", id: id.chars().take(64).collect() }
}

async fn load(id: &str, eim: &Eim) -> Result<LoadedState, ManageError> {
    let parsed: OperationId = id.parse().map_err(|_| not_found(id))?;
    let stored = eim.store().desired_state(parsed).await?.ok_or_else(|| not_found(id))?;
    Ok(read_stored(stored)?)
}

/// Shows a desired state with its counts.
///
/// # Errors
/// When it is not known.
pub async fn desired_state(id: &str, eim: &Eim) -> Result<DesiredStateView, ManageError> {
    view(load(id, eim).await?, eim).await
}

/// Lists desired states, oldest first, with their counts; those of devices' own among them.
///
/// # Errors
/// When the cursor can't be taken.
pub async fn list_desired_states(
    cursor: Option<&str>,
    limit: Option<u32>,
    eim: &Eim,
) -> Result<Page<DesiredStateView>, ManageError> {
    let (after, limit) = page::bounds(cursor, limit)?;
    let mut stored = eim.store().desired_states(false, after, limit + 1).await?;
    let next_cursor = page::cut(&mut stored, limit, |state| state.seq);
    let mut items = Vec::with_capacity(stored.len());
    for state in stored {
        items.push(view(read_stored(state)?, eim).await?);
    }
    Ok(Page { items, next_cursor })
}

async fn view(state: LoadedState, eim: &Eim) -> Result<DesiredStateView, ManageError> {
    let mut devices = DesiredStateCounts::default();
    for (drift, correcting, count) in eim.store().drift_counts(state.stored.id).await? {
        devices.governed += count;
        match drift {
            DriftState::InLine => devices.in_line += count,
            DriftState::Drifting => devices.drifting += count,
            DriftState::Unknown | DriftState::None => devices.unknown += count,
        }
        match correcting {
            Correcting::None => {}
            Correcting::Correcting => devices.correcting += count,
            Correcting::Waiting => devices.waiting += count,
            Correcting::Refused => devices.refused += count,
            Correcting::GivenUp => devices.given_up += count,
        }
    }
    let mut spec = state.spec.to_value();
    let mut member = |name: &str| spec.get_mut(name).map(Value::take);
    let now = eim.clock().now_ms();
    Ok(DesiredStateView {
        id: state.stored.id.to_string(),
        filter: member("filter"),
        state: member("state").unwrap_or_default(),
        retry: member("retry").unwrap_or_default(),
        priority: state.spec.filter.as_ref().map(|_| state.spec.priority),
        name: state.spec.name,
        eid: state.stored.eid.map(|eid| eid.to_string()),
        enforce: state.spec.enforce,
        obtain: state.obtain.as_ref().map(super::view::target),
        waive: state.spec.waive,
        memory_bytes: state.spec.memory_bytes,
        max_in_flight: state.spec.filter.as_ref().map(|_| state.spec.max_in_flight),
        stop_after: state.spec.filter.as_ref().map(|_| state.spec.stop_after),
        stopped: state.spec.filter.is_some() && state.stored.bad_outcomes >= state.spec.stop_after,
        devices,
        looking_through: state.stored.sweep_at.is_some_and(|at| at <= now),
        created_at: rfc3339(state.stored.created_at),
        changed_at: rfc3339(state.stored.changed_at),
    })
}

/// Lists the devices for which a desired state counts, by EID, as they stood when they were looked at last.
///
/// # Errors
/// When a filter can't be taken; `NotFound`.
pub async fn list_drifts(id: &str, query: DriftQuery, eim: &Eim) -> Result<Page<DriftView>, ManageError> {
    fn word<T>(
        name: &str,
        text: Option<&str>,
        found: impl Fn(&str) -> Option<T>,
        words: &[&str],
    ) -> Result<Option<T>, ManageError> {
        let expected = || ManageError::invalid(format!("/{name}"), format!("one of {} is expected", words.join(", ")));
        text.map(|text| found(text).ok_or_else(expected)).transpose()
    }
    let state = load(id, eim).await?.stored.id;
    let (_, limit) = page::bounds(None, query.limit)?;
    let after = match query.cursor.as_deref() {
        None => String::new(),
        Some(cursor) => {
            let eid: Result<Eid, _> = cursor.parse();
            eid.map_err(|_| ManageError::invalid("/cursor", "a nextCursor of an earlier page is expected"))?.to_string()
        }
    };
    let drifts: Vec<&str> = DriftState::ALL.iter().map(|state| state.as_str()).collect();
    let all: Vec<&str> = Correcting::ALL.iter().map(|state| state.as_str()).collect();
    let filter = DriftFilter {
        state,
        drift: word("drift", query.drift.as_deref(), DriftState::from_word, &drifts)?,
        correcting: word("correcting", query.correcting.as_deref(), Correcting::from_word, &all)?,
        after,
        limit: limit + 1,
    };
    let mut found = eim.store().drifts(filter).await?;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > size;
    found.truncate(size);
    let next_cursor = found.last().filter(|_| more).map(|last| last.eid.to_string());
    let items = found.into_iter().map(|row| standing(row.eid, row.drift, row.correcting, row.facts)).collect();
    Ok(Page { items, next_cursor })
}

fn standing(eid: Eid, drift: DriftState, correcting: Correcting, facts: DriftFacts) -> DriftView {
    let next_try_at = facts.waits_until().map(rfc3339);
    DriftView {
        eid: eid.to_string(),
        drift: drift.as_str().to_owned(),
        differences: facts.differences,
        correcting: correcting.as_str().to_owned(),
        reason: facts.reason,
        attempts: json!(facts.tries),
        brought_back: facts.brought_back,
        next_try_at,
        switch: facts.switch.map(|id| id.to_string()),
        last_switch: facts.last_switch.map(|id| id.to_string()),
        last_outcome: facts.last_outcome,
        last_reason: facts.last_reason,
        found_at: facts.found_at.map(rfc3339),
        in_line_since: facts.in_line_since.map(rfc3339),
    }
}

/// Shows what is desired of a device, where that comes from, and how the device stands now.
///
/// # Errors
/// When it is not registered.
pub async fn desired_state_of(eid: &str, eim: &Eim) -> Result<DeviceDesiredStateView, ManageError> {
    let eid = eid_of(eid)?;
    eim.flush_sightings().await?;
    let now = eim.clock().now_ms();
    let found = eim.store().euicc(eid).await?;
    let (euicc, _) = found.ok_or_else(|| ManageError::NotFound { what: "eUICC", id: eid.to_string() })?;
    let own = eim.store().own_desired_state(eid).await?.map(read_stored).transpose()?;
    let stored = eim.store().desired_states(true, 0, 1_000).await?;
    let mut filters: Vec<LoadedState> = stored.into_iter().map(read_stored).collect::<Result<_, _>>()?;
    filters.retain(|state| state.spec.filter.as_ref().is_some_and(|filter| filter.matches(&euicc, now)));
    let counts = winner(own.as_ref(), &filters, |state| &state.spec, &euicc, now);
    let mut applies: Vec<&LoadedState> = filters.iter().collect();
    applies.sort_by_key(|state| std::cmp::Reverse(state.spec.priority));
    let standing = match counts {
        None => standing(eid, DriftState::None, Correcting::None, DriftFacts::default()),
        Some(state) => {
            let row = eim.store().device_drift(eid).await?;
            let profiles = eim.store().profiles(eid).await?;
            let current = drift(&state.spec.wanted, state.obtain.is_some(), &euicc, &profiles);
            standing_now(eid, state, row, euicc.profiles_listed_at, current)
        }
    };
    Ok(DeviceDesiredStateView {
        from: counts.map(LoadedState::named),
        applies: own.iter().chain(applies).map(LoadedState::named).collect(),
        state: counts.and_then(|state| state.spec.to_value().get("state").cloned()),
        standing,
    })
}

/// How a device stands by what is known now, with what was noted at the last look if that was for the same state.
fn standing_now(
    eid: Eid,
    state: &LoadedState,
    row: Option<DeviceDrift>,
    listed_at: Option<i64>,
    current: Drift,
) -> DriftView {
    let same =
        |row: &DeviceDrift| row.state == Some(state.stored.id) && row.facts.state_version == state.stored.version;
    let (mut facts, correcting) =
        row.filter(same).map_or((DriftFacts::default(), Correcting::None), |row| (row.facts, row.correcting));
    let drift = match unproven(&mut facts, listed_at, current) {
        Drift::InLine => {
            facts.differences.clear();
            DriftState::InLine
        }
        Drift::Unknown { name, message } => {
            facts.differences.clear();
            facts.reason = Some(Reason::new(name, message));
            DriftState::Unknown
        }
        Drift::Drifting(differences) => {
            facts.differences = differences.iter().map(|difference| difference.to_value()).collect();
            DriftState::Drifting
        }
    };
    standing(eid, drift, correcting, facts)
}
