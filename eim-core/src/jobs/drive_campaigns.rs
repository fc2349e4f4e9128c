//! Takes campaigns a step further: waves, thresholds, pace, and devices that begin.
//!
//! A step is decided on counts and written under the campaign's version, so that of several nodes one takes it. Then its
//! devices are begun, each in a decision of its own; what does not come through waits for the next step.

use super::count;
use crate::Eim;
use crate::domain::fleet::campaign::{CampaignState, Place, Step, TargetMode, hold_back, place_later, starts, step};
use crate::domain::fleet::plan::Planned;
use crate::domain::fleet::{Check, Outcome, Plan, Target, guard, switch};
use crate::domain::lists::list_profiles;
use crate::domain::{Changes, Event, Kind, Operation, OperationError, OperationState, Profile, Purpose, Secrets, Work};
use crate::ids::{Eid, Iccid, OperationId};
use crate::manage::ManageError;
use crate::manage::campaign::{Loaded, enough_codes, load};
use crate::manage::switch::{NewSwitch, begin, load as load_euicc, with_code};
use crate::store::campaign::{CampaignChange, NewDevice};
use crate::store::switch::SavedOnce;
use crate::store::{Saved, StoreError};
use tokio::task::JoinSet;

/// How many campaigns are looked at together.
const CAMPAIGNS: i64 = 50;
/// How many steps one campaign is taken before others have their turn.
const STEPS: usize = 8;
/// How many devices one step begins at most; the next step follows at once.
const BEGUN_AT_ONCE: u64 = 1_000;
/// How many devices are begun at the same time.
const SIDE_BY_SIDE: usize = 32;
/// How long until a campaign is looked at again in which devices are under way, and one that is paused.
const LIVELY_MS: i64 = 2_000;
const PAUSED_MS: i64 = 60_000;
/// How long a device waits that something else is under way at.
const BUSY_MS: i64 = 300_000;
/// How often new devices are looked for that match a campaign of mode `CONTINUOUS`.
const JOINING_MS: i64 = 300_000;
/// How often a device is tried that others change meanwhile.
const ATTEMPTS: usize = 4;

/// Takes every campaign that is due a few steps further; gives how many there were.
///
/// # Errors
/// When the store fails.
pub async fn drive_campaigns(eim: &Eim) -> Result<usize, StoreError> {
    let done = drive(eim).await;
    if !matches!(done, Ok(0)) {
        count("drive_campaigns", &done, eim);
    }
    done
}

async fn drive(eim: &Eim) -> Result<usize, StoreError> {
    let due = eim.store().due_campaigns(eim.clock().now_ms(), CAMPAIGNS).await?;
    for campaign in &due {
        let eim = eim.of(campaign.tenant);
        for _ in 0..STEPS {
            match take_step(campaign.id, &eim).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(ManageError::Store(error)) => {
                    tracing::error!(campaign = %campaign.id, %error, "a campaign could not be taken further");
                    break;
                }
                Err(error) => {
                    tracing::warn!(campaign = %campaign.id, %error, "a campaign could not be taken further");
                    break;
                }
            }
        }
    }
    Ok(due.len())
}

/// One step; `true` when there may be another one at once.
async fn take_step(id: OperationId, eim: &Eim) -> Result<bool, ManageError> {
    let Some(mut loaded) = load(id, eim).await? else { return Ok(false) };
    let now = eim.clock().now_ms();
    if loaded.state == CampaignState::Running && loaded.spec.target.mode == TargetMode::Continuous {
        join(&mut loaded, now, eim).await?;
    }
    let Loaded { stored, spec, mut state, mut facts, counts } = loaded;
    let before = state;
    // As when a person starts it.
    let short_of_codes = match starts(&spec, state, now) {
        true => match enough_codes(id, &spec, counts.pending(), eim).await {
            Err(ManageError::Conflict { message, .. }) => Some(message),
            other => other.map(|()| None)?,
        },
        false => None,
    };
    let mut next = match short_of_codes {
        Some(message) => hold_back(&spec, &mut state, &mut facts, message),
        None => step(&spec, &mut state, &mut facts, &counts, now),
    };
    let asked: u64 = next.begin.iter().map(|begin| begin.at_most).sum();
    let room = match spec.per_smdp_max_concurrent {
        None => BEGUN_AT_ONCE,
        Some(max) if asked > 0 => {
            let under_way = eim.store().downloads_under_way(id).await?;
            BEGUN_AT_ONCE.min((max - under_way).max(0).unsigned_abs())
        }
        Some(_) => 0,
    };
    let begun = cut(&mut next, room);
    facts.rate.give_back(asked - begun);
    let left = asked > begun && spec.per_smdp_max_concurrent.is_none();
    let change = CampaignChange {
        state: state.as_str().to_owned(),
        facts: serde_json::to_value(&facts).unwrap_or_default(),
        look_at: look_at(state, &next, left, now),
        retry: next.retry.clone(),
        end_pending: next.end_pending,
        end_reverts: next.end_pending.is_some() && state != CampaignState::Reverting,
        revert: next.revert,
        retry_failed: false,
        events: next.events.iter().map(|event| Event::new(event.kind, event.details.clone())).collect(),
        key: None,
    };
    let moved = state != before || begun > 0 || !next.events.is_empty() || !next.retry.is_empty() || next.revert;
    if eim.store().save_campaign(id, stored.version, change, now).await? != SavedOnce::Done {
        return Ok(false);
    }
    let loaded = Loaded { stored, spec, state, facts, counts };
    for wave in &next.begin {
        let wave_index = i64::try_from(wave.wave).unwrap_or(i64::MAX);
        let limit = i64::try_from(wave.at_most).unwrap_or(i64::MAX);
        let eids = eim.store().next_devices(id, wave_index, now, limit).await?;
        begin_devices(&loaded, eids, eim).await?;
    }
    if next.withdraw_undelivered {
        withdraw(id, eim).await?;
    }
    if state == CampaignState::Reverting {
        begin_reverts(&loaded, eim).await?;
    }
    Ok(moved)
}

/// Lets no more devices begin than there is room for; gives how many that are.
fn cut(step: &mut Step, mut room: u64) -> u64 {
    let mut begun = 0;
    for begin in &mut step.begin {
        begin.at_most = begin.at_most.min(room);
        room -= begin.at_most;
        begun += begin.at_most;
    }
    step.begin.retain(|begin| begin.at_most > 0);
    begun
}

fn look_at(state: CampaignState, step: &Step, left: bool, now: i64) -> Option<i64> {
    let own = match state {
        _ if left => Some(now),
        CampaignState::Running | CampaignState::Aborting | CampaignState::Reverting => Some(now + LIVELY_MS),
        CampaignState::Paused => Some(now + PAUSED_MS),
        CampaignState::Submitted | CampaignState::Approved => None,
        _ => return None,
    };
    [own, step.look_again_at].into_iter().flatten().min()
}

/// Devices that match a campaign of mode `CONTINUOUS` and are not in it yet join it.
async fn join(loaded: &mut Loaded, now: i64, eim: &Eim) -> Result<(), ManageError> {
    let period = |at: i64| at.div_euclid(JOINING_MS);
    if loaded.facts.joined_at.is_some_and(|at| period(at) == period(now)) {
        return Ok(());
    }
    loaded.facts.joined_at = Some(now);
    eim.flush_sightings().await?;
    let (id, priority) = (loaded.stored.id, loaded.stored.priority);
    let mut devices: u64 = loaded.counts.waves.iter().map(crate::domain::fleet::campaign::WaveCounts::total).sum();
    let mut after = 0;
    loop {
        let tag = loaded.spec.target.filter.tag_hint().map(str::to_owned);
        let found = eim.store().scan_euiccs(tag, after, 2_000).await?;
        let Some((last, _)) = found.last() else { break };
        after = *last;
        let mut joining = Vec::new();
        for (position, euicc) in &found {
            if let Place::Wave(wave) = place_later(&loaded.spec, euicc, devices, now) {
                let wave = i64::try_from(wave).unwrap_or(i64::MAX);
                joining.push(NewDevice { eid: euicc.eid, position: *position, wave });
            }
        }
        devices += eim.store().join_campaign(id, priority, joining).await? as u64;
    }
    loaded.counts = eim.store().campaign_counts(id, now).await?;
    Ok(())
}

async fn begin_devices(loaded: &Loaded, eids: Vec<Eid>, eim: &Eim) -> Result<(), ManageError> {
    let Some((plan, secrets)) = loaded.plan(eim) else {
        tracing::error!(campaign = %loaded.stored.id, "the plan of a campaign can't be read; is secrets.key the right one?");
        return Ok(());
    };
    // In one transaction, instead of one each.
    eim.flush_sightings_of(&eids).await?;
    for chunk in eids.chunks(SIDE_BY_SIDE) {
        let mut beginning = JoinSet::new();
        for eid in chunk {
            let part = Part {
                id: loaded.stored.id,
                priority: loaded.stored.priority,
                name: loaded.spec.name.clone(),
                since: loaded.facts.started_at.unwrap_or(loaded.stored.created_at),
                plan: plan.clone(),
                secrets: secrets.clone(),
            };
            let (eim, eid) = (eim.clone(), *eid);
            beginning.spawn(async move { begin_device(part, eid, &eim).await });
        }
        while let Some(done) = beginning.join_next().await {
            match done {
                Ok(done) => done?,
                Err(error) => tracing::error!(%error, "beginning with a device was cut off"),
            }
        }
    }
    Ok(())
}

/// What a campaign brings to each of its devices.
struct Part {
    id: OperationId,
    priority: i64,
    name: String,
    /// When it started, milliseconds since 1970.
    since: i64,
    plan: Plan,
    secrets: Secrets,
}

async fn begin_device(part: Part, eid: Eid, eim: &Eim) -> Result<(), ManageError> {
    let Part { id, priority, name, since, plan, secrets } = part;
    let now = eim.clock().now_ms();
    if eim.store().is_wanted_elsewhere(eid, id, priority).await? {
        return Ok(eim.store().postpone_device(id, eid, now + BUSY_MS).await?);
    }
    let no_show_after = plan.no_show_after();
    let new = NewSwitch {
        id: eim.entropy().operation_id(now),
        planned: Planned { plan, secrets, overrides: false },
        label: Some(name),
        not_before: None,
        desired_state: None,
        campaign: Some(id),
        reverts: false,
        rules: vec![],
    };
    match save(&new, None, eid, eim).await {
        Ok(()) => Ok(()),
        Err(ManageError::Guard(checks)) => match guard::refusal(&checks) {
            Some(check) if check.name == guard::NOTHING_IN_FLIGHT => {
                Ok(eim.store().postpone_device(id, eid, now + BUSY_MS).await?)
            }
            Some(check)
                if check.name == guard::PROFILE_LIST && ask_for_list(eid, since, no_show_after, eim).await? =>
            {
                Ok(eim.store().postpone_device(id, eid, now + BUSY_MS).await?)
            }
            check => {
                let reason =
                    check.map_or_else(|| OperationError::named("refused", "The guard refuses it."), Check::reason);
                Ok(eim.store().end_device(id, eid, Outcome::Refused, reason, now).await?)
            }
        },
        Err(ManageError::NotFound { .. }) => {
            Ok(eim.store().end_device(id, eid, Outcome::Cancelled, not_registered(), now).await?)
        }
        Err(error) => {
            let reason = not_begun(error)?;
            Ok(eim.store().end_device(id, eid, Outcome::Refused, reason, now).await?)
        }
    }
}

fn not_registered() -> OperationError {
    OperationError::named("notRegistered", "The eUICC is not registered any more.")
}

/// Why a device could not be begun with, where that is more than a failure of this server.
fn not_begun(error: ManageError) -> Result<OperationError, ManageError> {
    match error {
        ManageError::Conflict { slug, message } => Ok(OperationError::named(slug, &message)),
        ManageError::Invalid(errors) => {
            let wrong = errors.first().map_or("", |error| error.message.as_str());
            Ok(OperationError::named(
                "plan",
                &format!("The plan of the campaign can't be carried out any more: {wrong}."),
            ))
        }
        error => Err(error),
    }
}

/// Asks a device for its profile list that never told it. `false` when that is of no use: the list was told and is not believed, or
/// the device did not come for as long as it may stay away from the campaign.
async fn ask_for_list(eid: Eid, since: i64, no_show_after: i64, eim: &Eim) -> Result<bool, ManageError> {
    let now = eim.clock().now_ms();
    let (version, mut work) = load_euicc(eid, eim).await?;
    let euicc = &work.state.euicc;
    // It has a package and no answer to it is believed: asking once more is of no use.
    let unanswered =
        |operation: &Operation| operation.kind == Kind::Psmo && operation.state == OperationState::Delivered;
    if euicc.profiles_listed_at.is_some()
        || work.state.operations.iter().any(unanswered)
        || !euicc.state.takes_packages()
        || now >= since + switch::period(euicc, no_show_after)
    {
        return Ok(false);
    }
    let asked = [Purpose::Refresh, Purpose::Reconcile].iter().any(|purpose| work.asks_already(*purpose, Kind::Psmo));
    if !asked {
        work.ask(Purpose::Refresh, Kind::Psmo, None, list_profiles());
        // Somebody who was faster is seen when the device has its turn again.
        eim.save(eid, version, work.finish(), now).await?;
    }
    Ok(true)
}

/// Makes a switch, on the newest version of its eUICC; one that takes back an earlier move only where the device has not moved on
/// since. One that others keep changing waits for the next step.
async fn save(new: &NewSwitch, taken_back: Option<&Moved>, eid: Eid, eim: &Eim) -> Result<(), ManageError> {
    for _ in 0..ATTEMPTS {
        let now = eim.clock().now_ms();
        let (version, mut work) = load_euicc(eid, eim).await?;
        if let Some(message) = taken_back.and_then(|moved| moved.on_since(&work)) {
            return Err(ManageError::Conflict { slug: "movedSince", message });
        }
        let (new, code) = with_code(new, eim).await?;
        begin(&mut work, &new, None, eim)?;
        let changes = Changes { code, ..work.finish() };
        if eim.save(eid, version, changes, now).await? == Saved::Done {
            break;
        }
    }
    Ok(())
}

/// What a campaign did with a device.
struct Moved {
    from: Iccid,
    to: Iccid,
}

impl Moved {
    /// Why it is not to be taken back any more: somebody has moved the device on since, as far as its profile list tells. While
    /// something is under way nothing is said: it may come back.
    fn on_since(&self, work: &Work) -> Option<String> {
        let is_on = |iccid: Iccid| {
            let enabled = |profile: &Profile| profile.iccid == iccid && profile.enabled != Some(false);
            work.state.profiles.iter().any(enabled)
        };
        // Back where it was already there is nothing to do, which the switch finds.
        if switch::busy_with(work).is_some() || is_on(self.to) || is_on(self.from) {
            return None;
        }
        let found = work.state.profiles.iter().find(|profile| profile.enabled == Some(true));
        let found = found.map_or_else(|| "no profile".to_owned(), |profile| format!("the profile {}", profile.iccid));
        let to = self.to;
        Some(format!(
            "The device has moved on since: {found} is enabled, and not {to}, to which the campaign moved it. It stays where it \
             is."
        ))
    }
}

/// Withdraws what was not delivered. What was delivered can't be called back.
async fn withdraw(id: OperationId, eim: &Eim) -> Result<(), ManageError> {
    let mut after = String::new();
    loop {
        let eids = eim.store().running_devices(id, &after, 500).await?;
        let Some(last) = eids.last() else { return Ok(()) };
        after = last.to_string();
        for eid in eids {
            let now = eim.clock().now_ms();
            let (version, mut work) = load_euicc(eid, eim).await?;
            let ours = work.state.switch.as_ref().is_some_and(|open| open.campaign == Some(id) && !open.facts.reverts);
            if ours && switch::cancel(&mut work) {
                // Somebody who was faster is seen in the next step.
                eim.save(eid, version, work.finish(), now).await?;
            }
        }
    }
}

/// Moves devices back to the profile that they had before.
async fn begin_reverts(loaded: &Loaded, eim: &Eim) -> Result<(), ManageError> {
    let id = loaded.stored.id;
    let waiting = eim.store().next_reverts(id, i64::try_from(BEGUN_AT_ONCE).unwrap_or(i64::MAX)).await?;
    for (eid, moved_by) in waiting {
        let moved_by: Option<OperationId> = moved_by.and_then(|id| id.parse().ok());
        let stored = match moved_by {
            Some(switch) => eim.store().switch(switch).await?,
            None => None,
        };
        let previous = stored.as_ref().and_then(|stored| stored.switch.facts.previous.first().copied());
        let moved_to = stored.as_ref().and_then(|stored| stored.switch.facts.target);
        let moved = previous.zip(moved_to).map(|(from, to)| Moved { from, to });
        let plan = stored.zip(previous).and_then(|(stored, previous)| match stored.switch.plan {
            Plan::Switch { rollback, proof, no_show_after, memory_bytes, overridden, .. } => Some(Plan::Switch {
                to: Target::Iccid(previous),
                rollback,
                delete_old: switch::DeleteOld::Never,
                proof: switch::Proof { expected_plmns: vec![], ..proof },
                no_show_after,
                memory_bytes,
                // The way back is to where the device was reached before.
                waive: guard::WAIVABLE.iter().map(ToString::to_string).collect(),
                overridden,
            }),
            Plan::Download { .. } | Plan::Operations { .. } => None,
        });
        let now = eim.clock().now_ms();
        let Some(plan) = plan else {
            let message = "It is not known which profile the device had before, so it stays where it is.";
            let reason = OperationError::named("noProfileBefore", message);
            eim.store().end_revert(id, eid, Outcome::Refused, reason, now).await?;
            continue;
        };
        let new = NewSwitch {
            id: eim.entropy().operation_id(now),
            planned: Planned { plan, secrets: Secrets::default(), overrides: false },
            label: Some(format!("back: {}", loaded.spec.name.chars().take(100).collect::<String>())),
            not_before: None,
            desired_state: None,
            campaign: Some(id),
            reverts: true,
            rules: vec![],
        };
        match save(&new, moved.as_ref(), eid, eim).await {
            Ok(()) => {}
            Err(ManageError::Guard(checks)) => {
                // What is under way ends, and then the next step has its turn.
                let refusal = guard::refusal(&checks).filter(|check| check.name != guard::NOTHING_IN_FLIGHT);
                if let Some(check) = refusal {
                    eim.store().end_revert(id, eid, Outcome::Refused, check.reason(), now).await?;
                }
            }
            Err(ManageError::Store(error)) => return Err(error.into()),
            Err(ManageError::NotFound { .. }) => {
                eim.store().end_revert(id, eid, Outcome::Refused, not_registered(), now).await?;
            }
            Err(error) => {
                let reason =
                    not_begun(error).unwrap_or_else(|error| OperationError::named("refused", &error.to_string()));
                eim.store().end_revert(id, eid, Outcome::Refused, reason, now).await?;
            }
        }
    }
    Ok(())
}
