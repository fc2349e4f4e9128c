//! Campaigns: a plan for many devices, in waves, at a pace, approved by a second person.

use super::operation::own_rotations;
use super::register::{earlier, idempotency, key_taken};
use super::views::{CampaignDeviceView, CampaignPreview, CampaignView, Page, PreviewedWave};
use super::{FieldError, ManageError, Principal, Role, page, view};
use crate::Eim;
use crate::domain::fleet::campaign::{
    Act, Actor, Approval, Assignment, CampaignFacts, CampaignSpec, CampaignState, Counts, Pause, Place, Verb, act,
    assign, cloned,
};
use crate::domain::fleet::{Outcome, Plan, Target, plan};
use crate::domain::{Euicc, Event, Secrets};
use crate::ids::{Eid, OperationId};
use crate::store::campaign::{CampaignChange, DeviceFilter, NewDevice, StoredCampaign};
use crate::store::switch::SavedOnce;
use serde_json::{Value, json};

const ATTEMPTS: usize = 8;
/// How many eUICCs are read at once.
const SCANNED: i64 = 2_000;
/// How many EIDs a preview names.
const SAMPLE: usize = 10;
/// The longest words that somebody adds to what they do.
const MESSAGE_MAX: usize = 1_000;

/// Which devices of a campaign to list.
#[derive(Debug, Clone, Default)]
pub struct CampaignDeviceFilter {
    /// Only those of this wave, from 0.
    pub wave: Option<String>,
    /// Only those in this state.
    pub state: Option<String>,
    /// Only those that ended so.
    pub outcome: Option<String>,
    /// The `nextCursor` of the page before.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// What a campaign is made of, read and checked.
struct Asked {
    spec: CampaignSpec,
    plan: Plan,
    secrets: Secrets,
    devices: Vec<Euicc>,
    assignment: Assignment,
}

/// Makes a campaign with its devices, as a draft.
///
/// # Errors
/// What can't be taken, a target without devices and a pool with too few codes included; then nothing was made.
pub async fn create_campaign(
    body: Value,
    idempotency_key: Option<&str>,
    principal: &Principal,
    eim: &Eim,
) -> Result<CampaignView, ManageError> {
    let key = idempotency_key.map(|key| idempotency(key, "campaign", &body, eim)).transpose()?;
    if let Some(made) = earlier(key.as_ref(), eim).await? {
        return campaign(&made, eim).await;
    }
    let asked = read(body, principal, eim).await?;
    may_go_alone(&asked.spec, principal)?;
    if asked.assignment.in_no_wave > 0 {
        let message = format!(
            "{} devices of the target are in no wave: add {{\"rest\": true}}, or bound the target by maxDevices",
            asked.assignment.in_no_wave
        );
        return Err(ManageError::invalid("/waves", message));
    }
    let stored = new_campaign(&asked.spec, &asked.plan, &asked.secrets, principal, eim);
    let places = asked.assignment.places.iter();
    let mut devices: Vec<NewDevice> = Vec::with_capacity(asked.devices.len());
    for (index, (euicc, place)) in asked.devices.iter().zip(places).enumerate() {
        if let Place::Wave(wave) = place {
            let position = i64::try_from(index).unwrap_or(i64::MAX);
            devices.push(NewDevice { eid: euicc.eid, position, wave: i64::try_from(*wave).unwrap_or(i64::MAX) });
        }
    }
    let details =
        json!({ "campaign": stored.id, "name": stored.name, "devices": devices.len(), "by": actor(principal) });
    let event = Event::new("campaignCreated", details);
    let id = stored.id;
    match eim.store().insert_campaign(stored, devices, event, key, eim.clock().now_ms()).await? {
        SavedOnce::Done | SavedOnce::Conflict => campaign(&id.to_string(), eim).await,
        SavedOnce::Before { resource } => campaign(&resource, eim).await,
        SavedOnce::KeyTaken => Err(key_taken()),
    }
}

fn new_campaign(
    spec: &CampaignSpec,
    plan: &Plan,
    secrets: &Secrets,
    principal: &Principal,
    eim: &Eim,
) -> StoredCampaign {
    let now = eim.clock().now_ms();
    let id = eim.entropy().operation_id(now);
    let mut spec = spec.clone();
    // What is stored of a switch is the plan as it was read, without its secrets.
    if let Plan::Switch { .. } = plan {
        spec.plan = serde_json::to_value(plan).unwrap_or_default();
    }
    let facts = CampaignFacts { created_by: Some(actor(principal)), created_at: Some(now), ..CampaignFacts::default() };
    StoredCampaign {
        seq: 0,
        id,
        name: spec.name.clone(),
        priority: spec.priority,
        state: CampaignState::Draft.as_str().to_owned(),
        version: 0,
        spec: spec.to_value(),
        facts: serde_json::to_value(&facts).unwrap_or_default(),
        look_at: None,
        secret: (!secrets.is_empty()).then(|| {
            let context = id.to_string();
            eim.sealing().seal(&secrets.to_octets(), context.as_bytes(), eim.entropy().octets())
        }),
        created_at: now,
    }
}

fn actor(principal: &Principal) -> Actor {
    Actor { key_id: principal.key_id.clone(), name: principal.name.clone() }
}

/// Says which devices a campaign would have, wave by wave, and makes nothing.
///
/// # Errors
/// What can't be taken.
pub async fn preview_campaign(body: Value, principal: &Principal, eim: &Eim) -> Result<CampaignPreview, ManageError> {
    let asked = read(body, principal, eim).await?;
    let in_wave = |wave: usize| {
        let places = asked.assignment.places.iter().zip(&asked.devices);
        places.filter(move |(place, _)| **place == Place::Wave(wave)).map(|(_, euicc)| euicc.eid.to_string())
    };
    let waves = asked.spec.waves.iter().enumerate().map(|(index, wave)| PreviewedWave {
        index,
        name: wave.name.clone(),
        devices: asked.assignment.by_wave.get(index).copied().unwrap_or(0),
        sample: in_wave(index).take(SAMPLE).collect(),
    });
    Ok(CampaignPreview {
        devices: asked.assignment.devices(),
        waves: waves.collect(),
        over_max: asked.assignment.over_max,
        in_no_wave: asked.assignment.in_no_wave,
        warnings: view::one_code_for_many(&asked.plan, asked.assignment.devices())
            .into_iter()
            .chain(view::never_judged(&asked.spec, |wave| asked.assignment.by_wave.get(wave).copied().unwrap_or(0)))
            .chain(view::never_open(&asked.spec, eim.clock().now_ms()))
            .collect(),
    })
}

async fn read(body: Value, principal: &Principal, eim: &Eim) -> Result<Asked, ManageError> {
    let spec = CampaignSpec::from_api(&body, "").map_err(ManageError::Invalid)?;
    let (plan, secrets) = read_plan(&spec, principal, eim)?;
    let now = eim.clock().now_ms();
    if spec.end_at.is_some_and(|end| end <= now) {
        return Err(ManageError::invalid("/endAt", "a time after now is expected"));
    }
    eim.flush_sightings().await?;
    let mut devices = Vec::new();
    let mut after = 0;
    loop {
        let tag = spec.target.filter.tag_hint().map(str::to_owned);
        let found = eim.store().scan_euiccs(tag, after, SCANNED).await?;
        let Some((last, _)) = found.last() else { break };
        after = *last;
        let slim = |mut euicc: Euicc| {
            (euicc.euicc_certificate, euicc.eum_certificate) = (None, None);
            euicc
        };
        devices
            .extend(found.into_iter().map(|(_, euicc)| euicc).filter(|euicc| spec.target.takes(euicc, now)).map(slim));
    }
    let assignment = assign(&spec, devices.iter(), now);
    let continuous = spec.target.mode == crate::domain::fleet::campaign::TargetMode::Continuous;
    if assignment.devices() == 0 && !continuous {
        let message = "no eUICC matches it now; a campaign of no device is refused (see preview)";
        return Err(ManageError::invalid("/target/filter", message));
    }
    if let Some(listed) = spec.target.filter.eids() {
        let unknown = listed.iter().find(|eid| devices.iter().all(|euicc| euicc.eid != **eid));
        if let Some(eid) = unknown.filter(|eid| !spec.target.exclude.contains(eid)) {
            let message = format!("{eid} is not registered here, or the other members do not match it");
            return Err(ManageError::invalid("/target/filter/eids", message));
        }
    }
    let empty: Vec<FieldError> = assignment
        .empty_waves()
        .iter()
        .filter(|_| !continuous)
        .map(|wave| FieldError::new(format!("/waves/{wave}"), "this wave has no device"))
        .collect();
    if !empty.is_empty() {
        return Err(ManageError::Invalid(empty));
    }
    check_pool(&plan, assignment.devices(), eim).await?;
    Ok(Asked { spec, plan, secrets, devices, assignment })
}

fn read_plan(spec: &CampaignSpec, principal: &Principal, eim: &Eim) -> Result<(Plan, Secrets), ManageError> {
    if let Some(operations) = spec.plan.get("operations") {
        let plan = plan::operations(operations, None, "/plan/operations").map_err(ManageError::Invalid)?;
        if let Plan::Operations { requests, .. } = &plan {
            let errors = own_rotations(requests, "/plan/operations", eim);
            if !errors.is_empty() {
                return Err(ManageError::Invalid(errors));
            }
        }
        return Ok((plan, Secrets::default()));
    }
    let switch = spec.plan.get("switch").unwrap_or(&Value::Null);
    if let Value::Object(members) = switch {
        let unknown = members.keys().filter(|name| !plan::MEMBERS.contains(&name.as_str()));
        let errors: Vec<FieldError> = unknown
            .map(|name| FieldError::new(format!("/plan/switch/{name}"), "this member is not known here"))
            .collect();
        if !errors.is_empty() {
            return Err(ManageError::Invalid(errors));
        }
    }
    let planned = plan::switch(switch, "/plan/switch").map_err(ManageError::Invalid)?;
    may_override(planned.overrides, principal)?;
    Ok((planned.plan, planned.secrets))
}

/// Leaving out the approval by a second person is for an admin.
fn may_go_alone(spec: &CampaignSpec, principal: &Principal) -> Result<(), ManageError> {
    if spec.approval == Approval::None && !principal.role.may(Role::Admin) {
        let message = "a campaign without approval by a second person (approval: none) needs the role admin";
        return Err(ManageError::Forbidden(message.to_owned()));
    }
    Ok(())
}

fn may_override(overrides: bool, principal: &Principal) -> Result<(), ManageError> {
    if overrides && !principal.role.may(Role::Admin) {
        return Err(ManageError::Forbidden("overriding a check of the guard needs the role admin".to_owned()));
    }
    Ok(())
}

async fn check_pool(plan: &Plan, devices: u64, eim: &Eim) -> Result<(), ManageError> {
    let Plan::Switch { to: Target::Pool(name), .. } = plan else { return Ok(()) };
    let place = "/plan/switch/to/pool";
    let Some(pool) = eim.store().pool(name).await? else {
        return Err(ManageError::invalid(place, "there is no such pool"));
    };
    if pool.free.unsigned_abs() < devices {
        let message = format!("the pool has {} free codes, and the campaign has {devices} devices", pool.free);
        return Err(ManageError::invalid(place, message));
    }
    Ok(())
}

/// A campaign begins when its pool has a code for each of its devices, beside those that other running campaigns are to have.
///
/// # Errors
/// `Conflict` when it has not, and nothing else is one.
pub(crate) async fn enough_codes(
    id: OperationId,
    spec: &CampaignSpec,
    pending: u64,
    eim: &Eim,
) -> Result<(), ManageError> {
    let pool_of = |spec: &CampaignSpec| match stored_plan(spec) {
        Some(Plan::Switch { to: Target::Pool(name), .. } | Plan::Download { from: Target::Pool(name), .. }) => {
            Some(name)
        }
        _ => None,
    };
    let Some(name) = pool_of(spec) else { return Ok(()) };
    let Some(pool) = eim.store().pool(&name).await? else { return Ok(()) };
    let mut others = 0;
    for state in [CampaignState::Running, CampaignState::Paused] {
        for stored in eim.store().campaigns(Some(state.as_str().to_owned()), 0, RUNNING_SEEN).await? {
            let Some(other) = load(stored.id, eim).await?.filter(|other| other.stored.id != id) else { continue };
            if pool_of(&other.spec).as_ref() == Some(&name) {
                others += other.counts.waves.iter().map(|wave| wave.pending).sum::<u64>();
            }
        }
    }
    if pool.free.unsigned_abs() >= pending + others {
        return Ok(());
    }
    let message = format!(
        "The pool {name} has {} free codes; {pending} devices of this campaign and {others} of other running ones are to have one each. \
         Import more.",
        pool.free
    );
    Err(ManageError::Conflict { slug: "pool-too-small", message })
}

/// How many running campaigns are looked at for those of the same pool.
const RUNNING_SEEN: i64 = 1_000;

/// A campaign with what it says read again.
pub(crate) struct Loaded {
    pub(crate) stored: StoredCampaign,
    pub(crate) spec: CampaignSpec,
    pub(crate) state: CampaignState,
    pub(crate) facts: CampaignFacts,
    pub(crate) counts: Counts,
}

impl Loaded {
    /// The plan, and the secrets of its download; `None` when they can't be read by this version or with this key.
    pub(crate) fn plan(&self, eim: &Eim) -> Option<(Plan, Secrets)> {
        let plan = stored_plan(&self.spec)?;
        let Some(sealed) = &self.stored.secret else { return Some((plan, Secrets::default())) };
        let opened = eim.sealing().open(sealed, self.stored.id.to_string().as_bytes()).ok()?;
        Some((plan, Secrets::from_octets(&opened)?))
    }
}

/// The plan as it is stored; `None` when this version can't read it.
pub(crate) fn stored_plan(spec: &CampaignSpec) -> Option<Plan> {
    match spec.plan.get("operations") {
        Some(operations) => plan::operations(operations, None, "").ok(),
        None => serde_json::from_value(spec.plan.clone()).ok(),
    }
}

/// Loads a campaign; `None` when there is none.
///
/// # Errors
/// When the store fails, or a row can't be read.
pub(crate) async fn load(id: OperationId, eim: &Eim) -> Result<Option<Loaded>, ManageError> {
    let Some(stored) = eim.store().campaign(id).await? else { return Ok(None) };
    let corrupt = |column| ManageError::Store(crate::store::StoreError::Corrupt { column });
    let counts = eim.store().campaign_counts(id, eim.clock().now_ms()).await?;
    Ok(Some(Loaded {
        spec: CampaignSpec::from_api(&stored.spec, "").map_err(|_| corrupt("campaigns.spec"))?,
        state: CampaignState::from_word(&stored.state).ok_or_else(|| corrupt("campaigns.state"))?,
        facts: serde_json::from_value(stored.facts.clone()).map_err(|_| corrupt("campaigns.facts"))?,
        counts,
        stored,
    }))
}

fn parse(id: &str) -> Result<OperationId, ManageError> {
    id.parse().map_err(|_| ManageError::NotFound { what: "campaign", id: id.chars().take(64).collect() })
}

async fn found(id: OperationId, eim: &Eim) -> Result<Loaded, ManageError> {
    load(id, eim).await?.ok_or_else(|| ManageError::NotFound { what: "campaign", id: id.to_string() })
}

/// Shows a campaign with its counts.
///
/// # Errors
/// When it is not known.
pub async fn campaign(id: &str, eim: &Eim) -> Result<CampaignView, ManageError> {
    Ok(view::campaign(&found(parse(id)?, eim).await?, eim.clock().now_ms()))
}

/// Lists campaigns, oldest first, with their counts.
///
/// # Errors
/// When a filter can't be taken.
pub async fn list_campaigns(
    state: Option<&str>,
    cursor: Option<&str>,
    limit: Option<u32>,
    eim: &Eim,
) -> Result<Page<CampaignView>, ManageError> {
    let (after, limit) = page::bounds(cursor, limit)?;
    if state.is_some_and(|word| CampaignState::from_word(word).is_none()) {
        let words: Vec<&str> = CampaignState::ALL.iter().map(|state| state.as_str()).collect();
        return Err(ManageError::invalid("/state", format!("one of {} is expected", words.join(", "))));
    }
    let mut stored = eim.store().campaigns(state.map(str::to_owned), after, limit + 1).await?;
    let next_cursor = page::cut(&mut stored, limit, |campaign| campaign.seq);
    let now = eim.clock().now_ms();
    let mut items = Vec::with_capacity(stored.len());
    for campaign in stored {
        items.push(view::campaign(&found(campaign.id, eim).await?, now));
    }
    Ok(Page { items, next_cursor })
}

/// Lists the devices of a campaign by EID.
///
/// # Errors
/// When a filter can't be taken.
pub async fn list_campaign_devices(
    id: &str,
    filter: CampaignDeviceFilter,
    eim: &Eim,
) -> Result<Page<CampaignDeviceView>, ManageError> {
    let id = parse(id)?;
    eim.store().campaign(id).await?.ok_or_else(|| ManageError::NotFound { what: "campaign", id: id.to_string() })?;
    let (_, limit) = page::bounds(None, filter.limit)?;
    let after = match filter.cursor.as_deref() {
        None => String::new(),
        Some(cursor) => {
            let eid: Result<Eid, _> = cursor.parse();
            eid.map_err(|_| ManageError::invalid("/cursor", "a nextCursor of an earlier page is expected"))?.to_string()
        }
    };
    let wave = match filter.wave.as_deref() {
        None => None,
        Some(text) => {
            let wave = text.parse::<i64>().ok().filter(|wave| *wave >= 0);
            Some(wave.ok_or_else(|| ManageError::invalid("/wave", "the index of a wave, from 0, is expected"))?)
        }
    };
    if filter.state.as_deref().is_some_and(|word| !["pending", "running", "ended"].contains(&word)) {
        return Err(ManageError::invalid("/state", "one of pending, running, ended is expected"));
    }
    let outcome = match filter.outcome.as_deref() {
        None => None,
        Some(word) => Some(Outcome::from_word(word).ok_or_else(|| {
            let words: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
            ManageError::invalid("/outcome", format!("one of {} is expected", words.join(", ")))
        })?),
    };
    let filter = DeviceFilter { campaign: id, wave, state: filter.state, outcome, after, limit: limit + 1 };
    let mut devices = eim.store().campaign_devices(filter).await?;
    let more = devices.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    devices.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next_cursor = devices.last().filter(|_| more).map(|last| last.eid.to_string());
    Ok(Page { items: devices.into_iter().map(view::campaign_device).collect(), next_cursor })
}

/// Does something with a campaign: submit, approve, deny, start, pause, resume, nextWave, abort, revert, retryFailed. Once for
/// an idempotency key: repeated, it gives the campaign as it is now.
///
/// # Errors
/// `Conflict` when its state does not allow it; approval by the one who made or submitted it included.
pub async fn act_on_campaign(
    id: &str,
    verb: Verb,
    body: Value,
    idempotency_key: Option<&str>,
    principal: &Principal,
    eim: &Eim,
) -> Result<CampaignView, ManageError> {
    let id = parse(id)?;
    let message = message(body)?;
    let asked = json!({ "message": message });
    let function = format!("campaign {id} {}", verb.as_str());
    let key = idempotency_key.map(|key| idempotency(key, &function, &asked, eim)).transpose()?;
    for _ in 0..ATTEMPTS {
        let Loaded { stored, spec, mut state, mut facts, counts } = found(id, eim).await?;
        if earlier(key.as_ref(), eim).await?.is_some() {
            return campaign(&id.to_string(), eim).await;
        }
        let now = eim.clock().now_ms();
        let by = actor(principal);
        let again = if verb == Verb::RetryFailed { counts.failed() } else { 0 };
        let was_held_back = facts.pause.as_ref().is_some_and(|pause| pause.name == Pause::POOL_TOO_SMALL);
        let takes_codes = match verb {
            Verb::Submit | Verb::Start => true,
            Verb::RetryFailed => again > 0,
            Verb::Resume | Verb::NextWave => was_held_back,
            _ => false,
        };
        if takes_codes && verb.allowed().contains(&state) {
            enough_codes(id, &spec, counts.pending() + again, eim).await?;
        }
        let done =
            act(&Act { verb, by: &by, message: message.as_deref(), now }, &spec, &mut state, &mut facts, &counts)
                .map_err(|error| ManageError::Conflict { slug: "campaign-state", message: format!("{error}.") })?;
        let change = CampaignChange {
            state: state.as_str().to_owned(),
            facts: serde_json::to_value(&facts).unwrap_or_default(),
            // A step is due after it.
            look_at: state.is_live().then_some(now),
            retry_failed: done.retry_failed,
            events: done.events.into_iter().map(|event| Event::new(event.kind, event.details)).collect(),
            key: key.clone(),
            ..CampaignChange::default()
        };
        match eim.store().save_campaign(id, stored.version, change, now).await? {
            SavedOnce::Done | SavedOnce::Before { .. } => return campaign(&id.to_string(), eim).await,
            SavedOnce::KeyTaken => return Err(key_taken()),
            SavedOnce::Conflict => {}
        }
    }
    Err(ManageError::Conflict {
        slug: "campaign-busy",
        message: "the campaign was changed by others meanwhile; try again".to_owned(),
    })
}

fn message(body: Value) -> Result<Option<String>, ManageError> {
    let Value::Object(mut members) = body else {
        return if body.is_null() { Ok(None) } else { Err(ManageError::invalid("", "an object is expected")) };
    };
    let message = match members.remove("message") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.len() <= MESSAGE_MAX && !text.contains('\0') => Some(text),
        Some(_) => {
            let message = format!("a text of at most {MESSAGE_MAX} octets is expected");
            return Err(ManageError::invalid("/message", message));
        }
    };
    match members.keys().next() {
        None => Ok(message),
        Some(name) => Err(ManageError::invalid(format!("/{name}"), "this member is not known here")),
    }
}

/// Makes a draft like another campaign, with the devices that match now.
///
/// # Errors
/// When it is not known, or what it asks for can't be taken any more; `Forbidden` when its plan overrides a check and the
/// caller is no admin.
pub async fn clone_campaign(
    id: &str,
    idempotency_key: Option<&str>,
    principal: &Principal,
    eim: &Eim,
) -> Result<CampaignView, ManageError> {
    let id = parse(id)?;
    let request = json!({ "campaign": id });
    let key = idempotency_key.map(|key| idempotency(key, "cloneCampaign", &request, eim)).transpose()?;
    if let Some(made) = earlier(key.as_ref(), eim).await? {
        return campaign(&made, eim).await;
    }
    let loaded = found(id, eim).await?;
    let unreadable = || ManageError::Conflict {
        slug: "secret-unreadable",
        message: "The campaign's plan can't be read with the key in secrets.key.".to_owned(),
    };
    let (plan, secrets) = loaded.plan(eim).ok_or_else(unreadable)?;
    may_override(plan.overrides(), principal)?;
    may_go_alone(&loaded.spec, principal)?;
    let spec = cloned(&loaded.spec, eim.clock().now_ms());
    let now = eim.clock().now_ms();
    eim.flush_sightings().await?;
    let mut devices = Vec::new();
    let mut after = 0;
    loop {
        let tag = spec.target.filter.tag_hint().map(str::to_owned);
        let found = eim.store().scan_euiccs(tag, after, SCANNED).await?;
        let Some((last, _)) = found.last() else { break };
        after = *last;
        devices.extend(found.into_iter().map(|(_, euicc)| euicc).filter(|euicc| spec.target.takes(euicc, now)));
    }
    let assignment = assign(&spec, devices.iter(), now);
    check_pool(&plan, assignment.devices(), eim).await?;
    let stored = new_campaign(&spec, &plan, &secrets, principal, eim);
    let mut joining = Vec::new();
    for (index, (euicc, place)) in devices.iter().zip(&assignment.places).enumerate() {
        if let Place::Wave(wave) = place {
            let position = i64::try_from(index).unwrap_or(i64::MAX);
            joining.push(NewDevice { eid: euicc.eid, position, wave: i64::try_from(*wave).unwrap_or(i64::MAX) });
        }
    }
    let details = json!({ "campaign": stored.id, "name": stored.name, "devices": joining.len(), "clonedFrom": loaded.stored.id,
        "by": actor(principal) });
    let new = stored.id;
    match eim.store().insert_campaign(stored, joining, Event::new("campaignCreated", details), key, now).await? {
        SavedOnce::Done | SavedOnce::Conflict => campaign(&new.to_string(), eim).await,
        SavedOnce::Before { resource } => campaign(&resource, eim).await,
        SavedOnce::KeyTaken => Err(key_taken()),
    }
}
