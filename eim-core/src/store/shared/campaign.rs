//! Campaigns and the devices in them.

use super::Connection;
use super::decision::{claim_once, free_once};
use super::event::{insert_event, insert_tenant_event};
use crate::domain::fleet::campaign::{CampaignState, Counts, WaveCounts};
use crate::domain::fleet::{Outcome, SwitchState};
use crate::domain::{Euicc, Event, OperationError};
use crate::ids::{Eid, OperationId, TenantId};
use crate::store::campaign::{
    CampaignChange, CampaignDevice, CampaignRow, DeviceFilter, DueCampaign, NewCampaignRow, NewDevice, StoredCampaign,
};
use crate::store::kept;
use crate::store::rows::{EuiccRow, text_of};
use crate::store::schema::{campaign_devices as devices, campaigns, euicc_tags, euiccs, switches};
use crate::store::switch::SavedOnce;
use crate::store::{IdempotencyKey, StoreError};
use diesel::dsl::exists;
use diesel::prelude::*;
use serde_json::json;

/// How many devices are inserted with one statement; PostgreSQL takes 65,535 values in one.
const INSERTED_AT_ONCE: usize = 2_000;

const PENDING: &str = "pending";
const RUNNING: &str = "running";
const ENDED: &str = "ended";

pub(in crate::store) fn scan_euiccs(
    conn: &mut Connection,
    tag: Option<&str>,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<(i64, Euicc)>, StoreError> {
    let mut query = euiccs::table
        .filter(euiccs::tenant_id.eq(tenant.value()).and(euiccs::seq.gt(after)))
        .order(euiccs::seq)
        .limit(limit)
        .select((euiccs::seq, EuiccRow::as_select()))
        .into_boxed();
    if let Some(tag) = tag {
        // Looked up for each eUICC: the list of all that have the tag would be made again for each page.
        let tagged = euicc_tags::table
            .filter(euicc_tags::tenant_id.eq(tenant.value()).and(euicc_tags::tag.eq(tag.to_owned())))
            .filter(euicc_tags::eid.eq(euiccs::eid));
        query = query.filter(exists(tagged));
    }
    let rows: Vec<(i64, EuiccRow)> = query.load(conn)?;
    rows.into_iter().map(|(seq, row)| Ok((seq, row.euicc()?))).collect()
}

fn subject(id: OperationId) -> String {
    format!("campaigns/{id}")
}

pub(in crate::store) fn insert_campaign(
    conn: &mut Connection,
    campaign: &StoredCampaign,
    joining: &[NewDevice],
    event: &Event,
    key: Option<&IdempotencyKey>,
    tenant: TenantId,
    now: i64,
) -> Result<SavedOnce, StoreError> {
    if let Some(earlier) = claim_once(conn, key, &campaign.id.to_string(), tenant, now)? {
        return Ok(earlier);
    }
    diesel::insert_into(campaigns::table).values(NewCampaignRow::new(campaign, tenant)).execute(conn)?;
    join_campaign(conn, campaign.id, campaign.priority, joining, tenant)?;
    insert_tenant_event(conn, event, &subject(campaign.id), tenant, now)?;
    Ok(SavedOnce::Done)
}

pub(in crate::store) fn join_campaign(
    conn: &mut Connection,
    campaign: OperationId,
    priority: i64,
    joining: &[NewDevice],
    tenant: TenantId,
) -> Result<usize, StoreError> {
    let campaign = campaign.to_string();
    let mut joined = 0;
    for chunk in joining.chunks(INSERTED_AT_ONCE) {
        let rows: Vec<_> = chunk
            .iter()
            .map(|device| {
                (
                    devices::campaign_id.eq(campaign.as_str()),
                    devices::eid.eq(device.eid.to_string()),
                    devices::tenant_id.eq(tenant.value()),
                    devices::priority.eq(priority),
                    devices::position.eq(device.position),
                    devices::wave.eq(device.wave),
                    devices::state.eq(PENDING),
                    devices::attempts.eq(0_i64),
                    devices::not_before.eq(0_i64),
                )
            })
            .collect();
        joined += diesel::insert_into(devices::table).values(&rows).on_conflict_do_nothing().execute(conn)?;
    }
    Ok(joined)
}

pub(in crate::store) fn campaign(
    conn: &mut Connection,
    id: OperationId,
    tenant: TenantId,
) -> Result<Option<StoredCampaign>, StoreError> {
    campaigns::table
        .filter(campaigns::tenant_id.eq(tenant.value()).and(campaigns::id.eq(id.to_string())))
        .select(CampaignRow::as_select())
        .first(conn)
        .optional()?
        .map(CampaignRow::campaign)
        .transpose()
}

pub(in crate::store) fn campaign_page(
    conn: &mut Connection,
    state: Option<&str>,
    after: i64,
    limit: i64,
    tenant: TenantId,
) -> Result<Vec<StoredCampaign>, StoreError> {
    let mut query = campaigns::table
        .filter(campaigns::tenant_id.eq(tenant.value()).and(campaigns::seq.gt(after)))
        .order(campaigns::seq)
        .limit(limit)
        .select(CampaignRow::as_select())
        .into_boxed();
    if let Some(state) = state {
        query = query.filter(campaigns::state.eq(state.to_owned()));
    }
    let rows: Vec<CampaignRow> = query.load(conn)?;
    rows.into_iter().map(CampaignRow::campaign).collect()
}

pub(in crate::store) fn campaign_counts(
    conn: &mut Connection,
    id: OperationId,
    now: i64,
) -> Result<Counts, StoreError> {
    let mine = || devices::table.filter(devices::campaign_id.eq(id.to_string()));
    let corrupt = |column: &'static str| StoreError::Corrupt { column };
    let rows: Vec<(i64, String, Option<String>, i64, i64)> = mine()
        .group_by((devices::wave, devices::state, devices::outcome, devices::attempts))
        .select((devices::wave, devices::state, devices::outcome, devices::attempts, diesel::dsl::count_star()))
        .load(conn)?;
    let mut counts = Counts::default();
    for (wave, state, outcome, attempts, n) in rows {
        let wave = wave_mut(&mut counts, wave).ok_or_else(|| corrupt("campaign_devices.wave"))?;
        let n = n.unsigned_abs();
        let outcome = match outcome.as_deref() {
            None => None,
            Some(word) => Some(Outcome::from_word(word).ok_or_else(|| corrupt("campaign_devices.outcome"))?),
        };
        match (state.as_str(), outcome) {
            (ENDED, Some(outcome)) => {
                let attempts = u32::try_from(attempts).map_err(|_| corrupt("campaign_devices.attempts"))?;
                wave.ended.push((outcome, attempts, n));
            }
            (PENDING | RUNNING, before) => {
                if state == PENDING {
                    wave.pending += n
                } else {
                    wave.running += n
                }
                wave.retrying.extend(before.map(|before| (before, n)));
            }
            _ => return Err(corrupt("campaign_devices.state")),
        }
    }
    // Wave by wave, so that the index leads to those alone that wait, instead of over all that are pending.
    for (index, wave) in counts.waves.iter_mut().enumerate().filter(|(_, wave)| wave.pending > 0) {
        let (n, next): (i64, Option<i64>) = mine()
            .filter(devices::state.eq(PENDING).and(devices::wave.eq(i64::try_from(index).unwrap_or(i64::MAX))))
            .filter(devices::not_before.gt(now))
            .select((diesel::dsl::count_star(), diesel::dsl::min(devices::not_before)))
            .first(conn)?;
        wave.not_due = n.unsigned_abs();
        wave.next_due_at = next;
    }
    let reverts: Vec<(Option<String>, i64)> = mine()
        .filter(devices::revert.is_not_null())
        .group_by(devices::revert)
        .select((devices::revert, diesel::dsl::count_star()))
        .load(conn)?;
    for (state, n) in reverts.into_iter().filter_map(|(state, n)| Some((state?, n.unsigned_abs()))) {
        match state.as_str() {
            PENDING => counts.reverts.pending = n,
            RUNNING => counts.reverts.running = n,
            word => {
                let outcome = Outcome::from_word(word).ok_or_else(|| corrupt("campaign_devices.revert"))?;
                counts.reverts.ended.push((outcome, n));
            }
        }
    }
    Ok(counts)
}

/// A campaign has a bounded number of waves; anything beyond was not written here.
fn wave_mut(counts: &mut Counts, wave: i64) -> Option<&mut WaveCounts> {
    let index = usize::try_from(wave).ok().filter(|index| *index < 1_024)?;
    if counts.waves.len() <= index {
        counts.waves.resize(index + 1, WaveCounts::default());
    }
    counts.waves.get_mut(index)
}

pub(in crate::store) fn campaign_device_page(
    conn: &mut Connection,
    filter: &DeviceFilter,
    tenant: TenantId,
) -> Result<Vec<CampaignDevice>, StoreError> {
    type Reason = (Option<String>, Option<String>);
    type Row = (String, i64, String, Option<String>, Reason, i64, i64, Option<String>, Option<i64>, Reason);
    let mut query = devices::table
        .filter(devices::tenant_id.eq(tenant.value()).and(devices::campaign_id.eq(filter.campaign.to_string())))
        .filter(devices::eid.gt(filter.after.clone()))
        .order(devices::eid)
        .limit(filter.limit)
        .select((
            devices::eid,
            devices::wave,
            devices::state,
            devices::outcome,
            (devices::reason, devices::reason_detail),
            devices::attempts,
            devices::not_before,
            devices::switch_id,
            devices::ended_at,
            (devices::revert, devices::revert_reason),
        ))
        .into_boxed();
    if let Some(wave) = filter.wave {
        query = query.filter(devices::wave.eq(wave));
    }
    if let Some(state) = &filter.state {
        query = query.filter(devices::state.eq(state.clone()));
    }
    if let Some(outcome) = filter.outcome {
        query = query.filter(devices::outcome.eq(outcome.as_str()));
    }
    let rows: Vec<Row> = query.load(conn)?;
    rows.into_iter()
        .map(|(eid, wave, state, outcome, reason, attempts, not_before, switch, ended_at, (revert, revert_reason))| {
            let outcome = outcome.as_deref().and_then(Outcome::from_word);
            Ok(CampaignDevice {
                eid: eid_of(&eid)?,
                wave,
                state,
                outcome,
                reason: reason_of(reason)?,
                attempts,
                not_before,
                switch,
                ended_at,
                revert,
                revert_reason: revert_reason.as_deref().map(detail).transpose()?,
            })
        })
        .collect()
}

/// A version before writes the name alone: what is told beside another name is about something else.
fn reason_of((name, told): (Option<String>, Option<String>)) -> Result<Option<OperationError>, StoreError> {
    let Some(name) = name else { return Ok(None) };
    let told = told.as_deref().map(detail).transpose()?;
    Ok(Some(told.filter(|told| told.name == name).unwrap_or_else(|| OperationError::named(&name, &name))))
}

/// Why a device of a campaign that ends was never begun with.
fn not_begun() -> OperationError {
    OperationError::named(
        "campaignEnded",
        "The campaign was given up, or its endAt came, before this device had its turn.",
    )
}

fn detail(text: &str) -> Result<OperationError, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt { column: "campaign_devices.reason_detail" })
}

fn eid_of(text: &str) -> Result<Eid, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt { column: "campaign_devices.eid" })
}

pub(in crate::store) fn due_campaigns(
    conn: &mut Connection,
    now: i64,
    limit: i64,
) -> Result<Vec<DueCampaign>, StoreError> {
    let rows: Vec<(i64, String)> = campaigns::table
        .filter(campaigns::look_at.le(now))
        .order((campaigns::priority.desc(), campaigns::seq))
        .limit(limit)
        .select((campaigns::tenant_id, campaigns::id))
        .load(conn)?;
    rows.into_iter()
        .map(|(tenant, id)| {
            let id = id.parse().map_err(|_| StoreError::Corrupt { column: "campaigns.id" })?;
            Ok(DueCampaign { tenant: TenantId::from_value(tenant), id })
        })
        .collect()
}

pub(in crate::store) fn save_campaign(
    conn: &mut Connection,
    id: OperationId,
    version: i64,
    change: &CampaignChange,
    tenant: TenantId,
    now: i64,
) -> Result<SavedOnce, StoreError> {
    let key = change.key.as_ref();
    if let Some(earlier) = claim_once(conn, key, &id.to_string(), tenant, now)? {
        return Ok(earlier);
    }
    let row = campaigns::table
        .filter(campaigns::tenant_id.eq(tenant.value()).and(campaigns::id.eq(id.to_string())))
        .filter(campaigns::version.eq(version));
    let written = kept::update(row)
        .set((
            campaigns::version.eq(version + 1),
            campaigns::state.eq(&change.state),
            campaigns::facts.eq(text_of(&change.facts)),
            campaigns::look_at.eq(change.look_at),
        ))
        .execute(conn)?;
    if written == 0 {
        free_once(conn, key, tenant)?;
        return Ok(SavedOnce::Conflict);
    }
    let mine = || devices::table.filter(devices::campaign_id.eq(id.to_string()));
    for retry in &change.retry {
        // How they ended stays beside them, so that they count as errors while they are tried again.
        let again = mine()
            .filter(devices::state.eq(ENDED).and(devices::outcome.eq(retry.outcome.as_str())))
            .filter(devices::wave.eq(i64::try_from(retry.wave).unwrap_or(i64::MAX)))
            .filter(devices::attempts.eq(i64::from(retry.attempts)));
        kept::update(again)
            .set((
                devices::state.eq(PENDING),
                devices::ended_at.eq(None::<i64>),
                devices::not_before.eq(retry.not_before),
            ))
            .execute(conn)?;
    }
    if change.retry_failed {
        let bad: Vec<&str> =
            Outcome::ALL.iter().filter(|outcome| outcome.is_bad()).map(|outcome| outcome.as_str()).collect();
        diesel::update(mine().filter(devices::state.eq(ENDED).and(devices::outcome.eq_any(bad))))
            .set((
                devices::state.eq(PENDING),
                devices::outcome.eq(None::<String>),
                devices::reason.eq(None::<String>),
                devices::reason_detail.eq(None::<String>),
                devices::ended_at.eq(None::<i64>),
                devices::attempts.eq(0),
                devices::not_before.eq(0),
            ))
            .execute(conn)?;
    }
    if change.revert {
        let moved = mine()
            .filter(devices::state.eq(ENDED).and(devices::outcome.eq(Outcome::Proven.as_str())))
            .filter(devices::revert.is_null());
        kept::update(moved).set(devices::revert.eq(PENDING)).execute(conn)?;
    }
    if change.end_reverts {
        kept::update(mine().filter(devices::revert.eq(PENDING)))
            .set((devices::revert.eq(Outcome::Cancelled.as_str()), devices::revert_reason.eq(text_of(&not_begun()))))
            .execute(conn)?;
    }
    if let Some(outcome) = change.end_pending {
        // Who waited for another attempt ended like the attempt before: what became of it must not be lost.
        kept::update(mine().filter(devices::state.eq(PENDING).and(devices::outcome.is_not_null())))
            .set((devices::state.eq(ENDED), devices::ended_at.eq(now)))
            .execute(conn)?;
        kept::update(mine().filter(devices::state.eq(PENDING)))
            .set((
                devices::state.eq(ENDED),
                devices::outcome.eq(outcome.as_str()),
                devices::reason.eq(not_begun().name),
                devices::reason_detail.eq(text_of(&not_begun())),
                devices::ended_at.eq(now),
            ))
            .execute(conn)?;
    }
    for event in &change.events {
        insert_tenant_event(conn, event, &subject(id), tenant, now)?;
    }
    Ok(SavedOnce::Done)
}

pub(in crate::store) fn next_devices(
    conn: &mut Connection,
    id: OperationId,
    wave: i64,
    now: i64,
    limit: i64,
) -> Result<Vec<Eid>, StoreError> {
    let eids: Vec<String> = devices::table
        .filter(devices::campaign_id.eq(id.to_string()).and(devices::state.eq(PENDING)))
        .filter(devices::wave.eq(wave).and(devices::not_before.le(now)))
        .order((devices::not_before, devices::position))
        .limit(limit)
        .select(devices::eid)
        .load(conn)?;
    eids.iter().map(|eid| eid_of(eid)).collect()
}

pub(in crate::store) fn next_reverts(
    conn: &mut Connection,
    id: OperationId,
    limit: i64,
) -> Result<Vec<(Eid, Option<String>)>, StoreError> {
    let rows: Vec<(String, Option<String>)> = devices::table
        .filter(devices::campaign_id.eq(id.to_string()).and(devices::revert.eq(PENDING)))
        .order(devices::eid)
        .limit(limit)
        .select((devices::eid, devices::switch_id))
        .load(conn)?;
    rows.into_iter().map(|(eid, switch)| Ok((eid_of(&eid)?, switch))).collect()
}

pub(in crate::store) fn end_revert(
    conn: &mut Connection,
    id: OperationId,
    eid: &Eid,
    (outcome, reason): (Outcome, &OperationError),
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    let mine = devices::table
        .filter(devices::tenant_id.eq(tenant.value()).and(devices::campaign_id.eq(id.to_string())))
        .filter(devices::eid.eq(eid.to_string()).and(devices::revert.eq(PENDING)));
    let told = (devices::revert.eq(outcome.as_str()), devices::revert_reason.eq(text_of(reason)));
    if kept::update(mine).set(told).execute(conn)? == 0 {
        return Ok(());
    }
    insert_event(conn, &device_ended(&id.to_string(), outcome, reason, true), eid, tenant, now)
}

pub(in crate::store) fn running_devices(
    conn: &mut Connection,
    id: OperationId,
    after: &str,
    limit: i64,
) -> Result<Vec<Eid>, StoreError> {
    let eids: Vec<String> = devices::table
        .filter(devices::campaign_id.eq(id.to_string()).and(devices::state.eq(RUNNING)))
        .filter(devices::eid.gt(after))
        .order(devices::eid)
        .limit(limit)
        .select(devices::eid)
        .load(conn)?;
    eids.iter().map(|eid| eid_of(eid)).collect()
}

pub(in crate::store) fn is_wanted_elsewhere(
    conn: &mut Connection,
    eid: &Eid,
    id: OperationId,
    priority: i64,
    tenant: TenantId,
) -> Result<bool, StoreError> {
    let others: Vec<String> = devices::table
        .filter(devices::tenant_id.eq(tenant.value()).and(devices::eid.eq(eid.to_string())))
        .filter(devices::state.eq(PENDING).and(devices::priority.gt(priority)))
        .filter(devices::campaign_id.ne(id.to_string()))
        .select(devices::campaign_id)
        .load(conn)?;
    if others.is_empty() {
        return Ok(false);
    }
    let running: i64 = campaigns::table
        .filter(campaigns::id.eq_any(others).and(campaigns::state.eq(RUNNING)))
        .count()
        .get_result(conn)?;
    Ok(running > 0)
}

pub(in crate::store) fn postpone_device(
    conn: &mut Connection,
    id: OperationId,
    eid: &Eid,
    not_before: i64,
) -> Result<(), StoreError> {
    let mine = devices::table
        .filter(devices::campaign_id.eq(id.to_string()).and(devices::eid.eq(eid.to_string())))
        .filter(devices::state.eq(PENDING));
    kept::update(mine).set(devices::not_before.eq(not_before)).execute(conn)?;
    Ok(())
}

pub(in crate::store) fn end_device(
    conn: &mut Connection,
    id: OperationId,
    eid: &Eid,
    (outcome, reason): (Outcome, &OperationError),
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    end_part(conn, &id.to_string(), eid, (outcome, reason), tenant, now)
}

pub(in crate::store) fn downloads_under_way(
    conn: &mut Connection,
    id: OperationId,
    tenant: TenantId,
) -> Result<i64, StoreError> {
    Ok(switches::table
        .filter(switches::tenant_id.eq(tenant.value()).and(switches::campaign_id.eq(id.to_string())))
        .filter(switches::state.eq(SwitchState::Downloading.as_str()))
        .count()
        .get_result(conn)?)
}

/// Takes a device for a campaign that begins with it, from those of lower priority that have started and that it waits in, too;
/// `false` when it is not waiting there. Whoever calls holds the row of the eUICC.
pub(super) fn begin_device(
    conn: &mut Connection,
    campaign: OperationId,
    eid: &Eid,
    (switch, reverts): (OperationId, bool),
    tenant: TenantId,
    now: i64,
) -> Result<bool, StoreError> {
    let mine =
        || devices::table.filter(devices::campaign_id.eq(campaign.to_string()).and(devices::eid.eq(eid.to_string())));
    if reverts {
        let taken = kept::update(mine().filter(devices::revert.eq(PENDING)))
            .set((devices::revert.eq(RUNNING), devices::revert_switch_id.eq(switch.to_string())))
            .execute(conn)?;
        return Ok(taken == 1);
    }
    let taken = kept::update(mine().filter(devices::state.eq(PENDING)))
        .set((
            devices::state.eq(RUNNING),
            devices::switch_id.eq(switch.to_string()),
            devices::attempts.eq(devices::attempts + 1),
        ))
        .execute(conn)?;
    if taken == 0 {
        return Ok(false);
    }
    let priority: i64 = mine().select(devices::priority).first(conn)?;
    let lower: Vec<String> = devices::table
        .filter(devices::tenant_id.eq(tenant.value()).and(devices::eid.eq(eid.to_string())))
        .filter(devices::state.eq(PENDING).and(devices::priority.lt(priority)))
        .filter(devices::campaign_id.ne(campaign.to_string()))
        .select(devices::campaign_id)
        .load(conn)?;
    if lower.is_empty() {
        return Ok(true);
    }
    // One that has not started, or has ended, waits for no device.
    let started: Vec<String> = campaigns::table
        .filter(campaigns::tenant_id.eq(tenant.value()).and(campaigns::id.eq_any(lower)))
        .filter(campaigns::state.eq_any([CampaignState::Running.as_str(), CampaignState::Paused.as_str()]))
        .order(campaigns::id)
        .select(campaigns::id)
        .load(conn)?;
    let reason =
        OperationError::named("priority", &format!("The campaign {campaign} of higher priority took the device."));
    for other in started {
        end_part(conn, &other, eid, (Outcome::Superseded, &reason), tenant, now)?;
    }
    Ok(true)
}

/// Ends the part of a device that waits in a campaign, if it still does, and tells it.
fn end_part(
    conn: &mut Connection,
    campaign: &str,
    eid: &Eid,
    (outcome, reason): (Outcome, &OperationError),
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    let mine = devices::table
        .filter(devices::tenant_id.eq(tenant.value()).and(devices::campaign_id.eq(campaign)))
        .filter(devices::eid.eq(eid.to_string()).and(devices::state.eq(PENDING)));
    // To be taken by another campaign is no attempt of this one.
    let tried = i64::from(outcome != Outcome::Superseded);
    let ended = kept::update(mine)
        .set((
            devices::state.eq(ENDED),
            devices::outcome.eq(outcome.as_str()),
            devices::reason.eq(&reason.name),
            devices::reason_detail.eq(text_of(reason)),
            devices::attempts.eq(devices::attempts + tried),
            devices::ended_at.eq(now),
        ))
        .execute(conn)?;
    if ended == 0 {
        return Ok(());
    }
    insert_event(conn, &device_ended(campaign, outcome, reason, false), eid, tenant, now)
}

/// A device's part in a campaign, or its way back, ended without a switch of it.
fn device_ended(campaign: &str, outcome: Outcome, reason: &OperationError, reverts: bool) -> Event {
    let details = json!({ "campaign": campaign, "outcome": outcome.as_str(), "reason": reason, "reverts": reverts });
    Event::new("campaignDeviceEnded", details)
}
