//! Switches: moving a device to another profile as one durable job with proof.

use super::euicc::eid_of;
use super::operation::{label, time};
use super::register::{earlier, idempotency, key_taken};
use super::views::{Page, SwitchView};
use super::{FieldError, ManageError, Principal, Role, page, view};
use crate::Eim;
use crate::domain::fleet::plan::{self, Planned};
use crate::domain::fleet::{Check, Outcome, Plan, Switch, SwitchFacts, SwitchState, Target, guard, switch};
use crate::domain::{Changes, DownloadOrder, Euicc, Kind, NewOperation, Origin, Secrets, Work, order};
use crate::ids::{ActivationCode, Eid, OperationId};
use crate::store::ResultKeys;
use crate::store::switch::{SavedOnce, StoredSwitch, SwitchFilter as Filter};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

const ATTEMPTS: usize = 8;

/// Which switches to list.
#[derive(Debug, Clone, Default)]
pub struct SwitchFilter {
    /// Only those of this eUICC.
    pub eid: Option<String>,
    /// Only those in this state.
    pub state: Option<String>,
    /// Only those that ended so.
    pub outcome: Option<String>,
    /// Only those of this campaign.
    pub campaign: Option<String>,
    /// `newest` or `oldest` first; the oldest one unless said.
    pub order: Option<String>,
    /// The `nextCursor` of the page before.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// What the guard says about something that was not done.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    /// Whether it would be done.
    pub allowed: bool,
    /// Every check: `name`, `result` (`passed`, `failed`, `unknown`, `waived`, `overridden`), `message` and, where it did
    /// not pass, `cure`.
    #[schema(value_type = Vec<Object>)]
    pub checks: Vec<Check>,
}

/// What a switch that is asked for is made of.
#[derive(Debug, Clone)]
pub(crate) struct NewSwitch {
    pub(crate) id: OperationId,
    pub(crate) planned: Planned,
    pub(crate) label: Option<String>,
    pub(crate) not_before: Option<i64>,
    /// The desired state that it brings a device back to.
    pub(crate) desired_state: Option<OperationId>,
    pub(crate) campaign: Option<OperationId>,
    pub(crate) reverts: bool,
    /// The rules that cause it, the last one asking for it.
    pub(crate) rules: Vec<OperationId>,
}

/// Asks for a switch. It begins when the device polls.
///
/// # Errors
/// What can't be taken; `Guard` when the guard refuses; `Forbidden` when a check is overridden by anyone but an admin.
pub async fn create_switch(
    eid: &str,
    body: Value,
    idempotency_key: Option<&str>,
    principal: &Principal,
    eim: &Eim,
) -> Result<SwitchView, ManageError> {
    let eid = eid_of(eid)?;
    let now = eim.clock().now_ms();
    let key = idempotency_key.map(|key| idempotency(key, &format!("switch {eid}"), &body, eim)).transpose()?;
    let new = read(body, eim.entropy().operation_id(now), principal)?;
    // A repeated request has its answer, whatever the guard says now.
    if let Some(key) = &key {
        match eim.store().earlier_request(key.clone()).await? {
            Some(SavedOnce::Before { resource }) => return self::switch(&resource, eim).await,
            Some(_) => return Err(key_taken()),
            None => {}
        }
    }
    for _ in 0..ATTEMPTS {
        let now = eim.clock().now_ms();
        let (version, mut work) = load(eid, eim).await?;
        let (new, code) = with_code(&new, eim).await?;
        begin(&mut work, &new, Some(principal), eim)?;
        let once = (key.clone(), new.id.to_string());
        let changes = Changes { code, ..work.finish() };
        match eim.save_once(eid, version, changes, once, now).await? {
            SavedOnce::Done => return switch_view(new.id, eim).await,
            SavedOnce::Before { resource } => return self::switch(&resource, eim).await,
            SavedOnce::KeyTaken => return Err(key_taken()),
            SavedOnce::Conflict => {}
        }
    }
    Err(busy())
}

/// How many free codes are looked at: switches that begin at the same moment seldom want the same one.
const CODES_SEEN: i64 = 64;

/// A switch with a code of its pool, where it names one; the code is reserved in the transaction that makes the switch.
///
/// # Errors
/// When there is no such pool, or no code is free.
pub(crate) async fn with_code(new: &NewSwitch, eim: &Eim) -> Result<(NewSwitch, Option<String>), ManageError> {
    let (Plan::Switch { to: Target::Pool(name), .. } | Plan::Download { from: Target::Pool(name), .. }) =
        &new.planned.plan
    else {
        return Ok((new.clone(), None));
    };
    let Some(pool) = eim.store().pool(name).await? else {
        return Err(ManageError::invalid("/to/pool", "there is no such pool"));
    };
    let mut codes = eim.store().free_codes(pool.id, CODES_SEEN).await?;
    if codes.is_empty() {
        let message = "The pool has no free code. Import some.".to_owned();
        return Err(ManageError::Conflict { slug: "pool-empty", message });
    }
    let random: [u8; 2] = eim.entropy().octets();
    let code = codes.swap_remove(usize::from(u16::from_be_bytes(random)) % codes.len());
    let unreadable = || ManageError::Conflict {
        slug: "secret-unreadable",
        message: "A code of the pool can't be read with the key in secrets.key.".to_owned(),
    };
    let opened = eim.sealing().open(&code.secret, code.id.as_bytes()).map_err(|_| unreadable())?;
    let text = String::from_utf8(opened).map_err(|_| unreadable())?;
    let parsed: ActivationCode = text.parse().map_err(|_| unreadable())?;
    let (order, secrets) = order::of_code(&parsed).ok_or_else(unreadable)?;
    let mut new = new.clone();
    new.planned.secrets = secrets;
    if let Plan::Switch { to, .. } | Plan::Download { from: to, .. } = &mut new.planned.plan {
        *to = Target::Download(order.to_request());
    }
    Ok((new, Some(code.id)))
}

/// Says what the guard would say to a switch, and does nothing.
///
/// # Errors
/// What can't be taken.
pub async fn dry_run_switch(eid: &str, body: Value, principal: &Principal, eim: &Eim) -> Result<DryRun, ManageError> {
    let eid = eid_of(eid)?;
    let new = read(body, eim.entropy().operation_id(eim.clock().now_ms()), principal)?;
    let (_, work) = load(eid, eim).await?;
    // Nothing is reserved: which SM-DP+ a code leads to decides whether it is granted.
    let (new, empty) = match with_code(&new, eim).await {
        Ok((with_code, _)) => (with_code, None),
        Err(ManageError::Conflict { slug: "pool-empty", message }) => (new, Some(message)),
        Err(error) => return Err(error),
    };
    let mut checks = switch::checks(&new.planned.plan, &work, switch::busy_with(&work).as_deref());
    if let Some((message, target)) = empty.zip(checks.iter_mut().find(|check| check.name == guard::TARGET)) {
        *target = guard::nothing_to_download(message);
    }
    Ok(DryRun { allowed: guard::allows(&checks), checks })
}

/// The eUICC with what a switch is decided on.
pub(crate) async fn load(eid: Eid, eim: &Eim) -> Result<(i64, Work), ManageError> {
    eim.flush_sightings_of(&[eid]).await?;
    let now = eim.clock().now_ms();
    let keys = ResultKeys { without_held: true, ..ResultKeys::default() };
    let Some((mut snapshot, _)) = eim.store().result_snapshot(eid, keys, now).await? else {
        return Err(ManageError::NotFound { what: "eUICC", id: eid.to_string() });
    };
    snapshot.policies = eim.store().owner_policies().await?;
    snapshot.rights = Some(eim.store().rights().await?);
    let version = snapshot.euicc.version;
    Ok((version, eim.work(snapshot, now)))
}

/// Puts a switch into a decision, if the guard lets it through.
///
/// # Errors
/// `Guard` with every check.
pub(crate) fn begin(
    work: &mut Work,
    new: &NewSwitch,
    principal: Option<&Principal>,
    eim: &Eim,
) -> Result<(), ManageError> {
    let plan = &chosen(&new.planned.plan, work);
    let checks = switch::checks(plan, work, switch::busy_with(work).as_deref());
    if !guard::allows(&checks) {
        return Err(ManageError::Guard(checks));
    }
    if let Some(principal) = principal {
        switch::grants_used(plan, work).iter().for_each(|grant| principal.used.note(grant));
    }
    let set_aside = || checks.iter().filter(|check| check.is_set_aside());
    for check in set_aside() {
        let who = principal.map(|principal| json!({ "key": principal.key_id, "name": principal.name }));
        let details = json!({ "switch": new.id, "check": check.name, "result": check.result, "found": check.message,
            "by": who, "rule": new.rules.last(), "campaign": new.campaign, "desiredState": new.desired_state, "label": new.label });
        work.event("guardSetAside", details);
    }
    let now = work.now();
    let download = download_of(work, new, eim)?;
    let switch = Switch {
        seq: 0,
        id: new.id,
        campaign: new.campaign,
        label: new.label.clone(),
        plan: plan.clone(),
        state: SwitchState::Waiting,
        outcome: None,
        facts: SwitchFacts {
            reverts: new.reverts,
            rules: new.rules.clone(),
            set_aside: set_aside().map(|check| check.name.to_owned()).collect(),
            ..SwitchFacts::default()
        },
        deadline: None,
        created_at: now,
        started_at: new.not_before.filter(|at| *at > now),
        ended_at: None,
    };
    switch::begin(work, switch, download);
    Ok(())
}

/// The plan with the profile that fits now, where it names one by what it is.
fn chosen(plan: &Plan, work: &Work) -> Plan {
    let mut plan = plan.clone();
    if let Plan::Switch { to, .. } = &mut plan
        && let Target::Matching { service_provider, profile_name } = to
        && let Some(iccid) =
            switch::matching(&work.state.profiles, service_provider.as_deref(), profile_name.as_deref())
    {
        *to = Target::Iccid(iccid);
    }
    plan
}

/// The download that a switch begins with, its secrets sealed for it.
fn download_of(work: &mut Work, new: &NewSwitch, eim: &Eim) -> Result<Option<NewOperation>, ManageError> {
    let (Plan::Switch { to: Target::Download(request), .. } | Plan::Download { from: Target::Download(request), .. }) =
        &new.planned.plan
    else {
        return Ok(None);
    };
    let unreadable = || ManageError::invalid("/to", "the download can't be read");
    let order =
        request.get(Kind::ProfileDownload.as_str()).and_then(DownloadOrder::from_stored).ok_or_else(unreadable)?;
    let id = work.fresh_id();
    let secrets: &Secrets = &new.planned.secrets;
    let secret = (!secrets.is_empty()).then(|| {
        let context = id.to_string();
        eim.sealing().seal(&secrets.to_octets(), context.as_bytes(), eim.entropy().octets())
    });
    Ok(Some(NewOperation {
        id,
        kind: Kind::ProfileDownload,
        origin: Origin::Switch,
        purpose: None,
        subject: Some(new.id),
        request: order.to_request(),
        label: new.label.clone(),
        not_before: new.not_before.filter(|at| *at > work.now()),
        valid_until: None,
        secret,
        overridden: vec![],
    }))
}

fn read(body: Value, id: OperationId, principal: &Principal) -> Result<NewSwitch, ManageError> {
    let Value::Object(mut members) = body else { return Err(ManageError::invalid("", "an object is expected")) };
    let mut errors: Vec<FieldError> = Vec::new();
    let not_before = time(&mut members, "notBefore", &mut errors);
    let label = label(&mut members, &mut errors);
    let unknown = |members: &Map<String, Value>| -> Vec<FieldError> {
        let known = |name: &&String| !plan::MEMBERS.contains(&name.as_str());
        let refuse = |name: &String| FieldError::new(format!("/{name}"), "this member is not known here");
        members.keys().filter(known).map(refuse).collect()
    };
    errors.extend(unknown(&members));
    let planned = match plan::switch(&Value::Object(members), "") {
        Ok(planned) if errors.is_empty() => planned,
        Ok(_) => return Err(ManageError::Invalid(errors)),
        Err(wrong) => {
            errors.extend(wrong);
            return Err(ManageError::Invalid(errors));
        }
    };
    if planned.overrides && !principal.role.may(Role::Admin) {
        return Err(ManageError::Forbidden("overriding a check of the guard needs the role admin".to_owned()));
    }
    Ok(NewSwitch { id, planned, label, not_before, desired_state: None, campaign: None, reverts: false, rules: vec![] })
}

/// Shows one switch.
///
/// # Errors
/// When it is not known.
pub async fn switch(id: &str, eim: &Eim) -> Result<SwitchView, ManageError> {
    switch_view(parse(id)?, eim).await
}

fn parse(id: &str) -> Result<OperationId, ManageError> {
    id.parse().map_err(|_| ManageError::NotFound { what: "switch", id: id.chars().take(64).collect() })
}

async fn stored(id: OperationId, eim: &Eim) -> Result<StoredSwitch, ManageError> {
    let found = eim.store().switch(id).await?;
    found.ok_or_else(|| ManageError::NotFound { what: "switch", id: id.to_string() })
}

async fn switch_view(id: OperationId, eim: &Eim) -> Result<SwitchView, ManageError> {
    let StoredSwitch { eid, switch } = stored(id, eim).await?;
    eim.flush_sightings_of(&[eid]).await?;
    let euicc: Option<Euicc> = eim.store().euicc(eid).await?.map(|(euicc, _)| euicc);
    Ok(view::switch(eid, switch, euicc.as_ref()))
}

/// Lists switches, oldest first unless asked otherwise.
///
/// # Errors
/// When a filter can't be taken.
pub async fn list_switches(filter: SwitchFilter, eim: &Eim) -> Result<Page<SwitchView>, ManageError> {
    fn word<T: Copy>(name: &str, text: Option<&str>, words: &[(&str, T)]) -> Result<Option<T>, ManageError> {
        let Some(text) = text else { return Ok(None) };
        words.iter().find(|(word, _)| *word == text).map(|(_, value)| Some(*value)).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            ManageError::invalid(format!("/{name}"), format!("one of {} is expected", words.join(", ")))
        })
    }
    let (after, limit, newest) = page::ordered_bounds(filter.order.as_deref(), filter.cursor.as_deref(), filter.limit)?;
    let states: Vec<_> = SwitchState::ALL.iter().map(|state| (state.as_str(), *state)).collect();
    let outcomes: Vec<_> = Outcome::ALL.iter().map(|outcome| (outcome.as_str(), *outcome)).collect();
    let eid = filter.eid.as_deref().map(str::parse::<Eid>).transpose();
    let campaign = filter.campaign.as_deref().map(str::parse::<OperationId>).transpose();
    let filter = Filter {
        eid: eid.map_err(|error| ManageError::invalid("/eid", error.to_string()))?,
        state: word("state", filter.state.as_deref(), &states)?,
        outcome: word("outcome", filter.outcome.as_deref(), &outcomes)?,
        campaign: campaign.map_err(|error| ManageError::invalid("/campaign", error.to_string()))?,
        after,
        newest,
        limit: limit + 1,
    };
    let mut found = eim.store().switches(filter).await?;
    let next_cursor = page::cut(&mut found, limit, |stored| stored.switch.seq);
    let items = found.into_iter().map(|stored| view::switch(stored.eid, stored.switch, None)).collect();
    Ok(Page { items, next_cursor })
}

/// Withdraws a switch of which nothing was delivered yet. Once for an idempotency key: repeated, it gives the switch as it is
/// now.
///
/// # Errors
/// `Conflict` when a package is out already or it has ended.
pub async fn cancel_switch(id: &str, idempotency_key: Option<&str>, eim: &Eim) -> Result<SwitchView, ManageError> {
    let id = parse(id)?;
    let function = format!("switch {id} cancel");
    let key = idempotency_key.map(|key| idempotency(key, &function, &Value::Null, eim)).transpose()?;
    for _ in 0..ATTEMPTS {
        let StoredSwitch { eid, switch } = stored(id, eim).await?;
        if earlier(key.as_ref(), eim).await?.is_some() {
            return switch_view(id, eim).await;
        }
        if let Some(outcome) = switch.outcome {
            let message = format!("The switch has ended: {}.", outcome.as_str());
            return Err(ManageError::Conflict { slug: "switch-ended", message });
        }
        let now = eim.clock().now_ms();
        let (version, mut work) = load(eid, eim).await?;
        if work.state.switch.as_ref().is_none_or(|open| open.id != id) {
            continue;
        }
        if !switch::cancel(&mut work) {
            let message =
                "A package of the switch was delivered: the device may have carried it out already, so it can't be \
                           called back. Wait for its outcome."
                    .to_owned();
            return Err(ManageError::Conflict { slug: "switch-delivered", message });
        }
        let once = (key.clone(), id.to_string());
        match eim.save_once(eid, version, work.finish(), once, now).await? {
            SavedOnce::Done | SavedOnce::Before { .. } => return switch_view(id, eim).await,
            SavedOnce::KeyTaken => return Err(key_taken()),
            SavedOnce::Conflict => {}
        }
    }
    Err(busy())
}

fn busy() -> ManageError {
    ManageError::Conflict {
        slug: "euicc-busy",
        message: "the eUICC was changed by others meanwhile; try again".to_owned(),
    }
}
