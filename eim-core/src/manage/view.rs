//! From what is stored to what is shown.

use super::campaign::{Loaded, stored_plan};
use super::views::{
    AssociationView, CampaignDeviceView, CampaignView, CampaignWaitView, CampaignWaveView, CodeView, EuiccView,
    OperationView, OwnerPolicyView, PoolView, ProfileView, SwitchView,
};
use crate::Eim;
use crate::domain::OperationError;
use crate::domain::fleet::campaign::{CampaignSpec, CampaignState, TargetMode, WaveCounts, next_opening, waits_for};
use crate::domain::fleet::{Plan, Switch, Target, switch};
use crate::domain::{Euicc, Operation, Profile, codes, interpret, keys, rfc3339};
use crate::ids::{AssociationToken, CounterValue, Eid, Iccid};
use crate::pki;
use crate::store::campaign::CampaignDevice;
use crate::store::pool::{StoredCode, StoredPool};
use crate::store::switch::StoredPolicy;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub(super) fn euicc(euicc: Euicc, held_results: i64, eim: &Eim) -> EuiccView {
    let next_poll = euicc.last_seen_at.zip(euicc.poll_interval_ms).map(|(last, interval)| rfc3339(last + interval));
    let mut warnings = euicc.warnings.clone();
    if euicc.counter >= CounterValue::WARN_FROM {
        let warning = if keys::remedy(euicc.counter) == "keyRotation" {
            "the counter is nearly used up: renew the association, by a key rotation or by another eIM with a new token"
        } else {
            "the counter is used up to its end: another eIM must delete this one and add it with a new token"
        };
        warnings.push(warning.to_owned());
    }
    let known_as = eim.eim_id_of(&euicc).to_string();
    EuiccView {
        certificates_trusted: trusted(&euicc, eim),
        eid: euicc.eid.to_string(),
        label: euicc.label,
        tags: euicc.tags,
        result_policy: euicc.result_policy.as_str().to_owned(),
        state: euicc.state.as_str().to_owned(),
        association: AssociationView {
            eim_id: known_as,
            signing_key: euicc.signing_key.map(|key| key.to_string()),
            signing_key_loaded: euicc.signing_key.is_some_and(|key| eim.keys().get(key).is_some()),
            next_signing_key: euicc.key_facts.next.map(|key| key.to_string()),
            counter_value: euicc.counter.value(),
            association_token: euicc.association_token.map(AssociationToken::value),
        },
        euicc_certificate: euicc.euicc_certificate.map(|der| STANDARD.encode(der)),
        eum_certificate: euicc.eum_certificate.map(|der| STANDARD.encode(der)),
        capabilities: euicc.capabilities,
        last_seen_at: euicc.last_seen_at.map(rfc3339),
        next_poll_expected_at: next_poll,
        r_plmn: euicc.r_plmn.map(|plmn| plmn.to_string()),
        last_state_change_cause: euicc.state_change_cause.map(codes::state_change_cause),
        profiles_stale: euicc.profiles_stale,
        held_results,
        warnings,
        rules_authorisation_table: euicc.rules_authorisation_table,
        created_at: rfc3339(euicc.created_at),
    }
}

/// Whether the stored certificates chain to a trusted CI now.
pub(super) fn trusted(euicc: &Euicc, eim: &Eim) -> bool {
    euicc.eum_certificate.as_deref().zip(euicc.euicc_certificate.as_deref()).is_some_and(|(eum, certificate)| {
        pki::verify_euicc_chain(eim.trust(), eum, certificate, eim.clock().now(), &euicc.eid).is_ok()
    })
}

pub(super) fn profile(profile: Profile) -> ProfileView {
    ProfileView {
        iccid: profile.iccid.digits(),
        raw_iccid: profile.iccid.raw_hex(),
        state: profile.enabled.map(|enabled| if enabled { "enabled" } else { "disabled" }.to_owned()),
        profile_class: profile.profile_class.map(interpret::class_name),
        name: profile.name,
        service_provider: profile.service_provider.filter(|provider| !provider.is_empty()),
        fallback: profile.fallback,
        aid: profile.aid.map(hex::encode_upper),
        verified: profile.verified,
        updated_at: rfc3339(profile.updated_at),
        policy_rules: profile.rules.map(|rules| {
            let named = [("ppr1", rules.ppr1), ("ppr2", rules.ppr2)];
            named.into_iter().filter(|(_, set)| *set).map(|(name, _)| name.to_owned()).collect()
        }),
        owner_mcc_mnc: profile.owner_mcc_mnc.filter(|owner| !owner.is_empty()),
    }
}

pub(super) fn operation(operation: Operation) -> OperationView {
    OperationView {
        id: operation.id.to_string(),
        eid: operation.eid.to_string(),
        kind: operation.kind.as_str().to_owned(),
        origin: operation.origin.as_str().to_owned(),
        purpose: operation.purpose.map(|purpose| purpose.as_str().to_owned()),
        request: operation.request,
        state: operation.state.as_str().to_owned(),
        counter_value: operation.counter.map(CounterValue::value),
        eim_transaction_id: operation.eim_transaction_id.map(|transaction| transaction.to_string()),
        attempts: operation.attempts,
        verified: operation.verified,
        results: operation.results,
        error: operation.error,
        refusals: operation.refusals,
        late_result: operation.late_result,
        created_at: rfc3339(operation.created_at),
        delivered_at: operation.delivered_at.map(rfc3339),
        completed_at: operation.completed_at.map(rfc3339),
        not_before: operation.not_before.map(rfc3339),
        valid_until: operation.valid_until.map(rfc3339),
        label: operation.label,
    }
}

/// A switch; with the eUICC also when the device is expected.
pub(super) fn switch(eid: Eid, switch: Switch, euicc: Option<&Euicc>) -> SwitchView {
    let iccids = |iccids: &[Iccid]| iccids.iter().map(ToString::to_string).collect();
    let facts = switch.facts;
    SwitchView {
        id: switch.id.to_string(),
        eid: eid.to_string(),
        plan: plan(&switch.plan),
        state: switch.state.as_str().to_owned(),
        outcome: switch.outcome.map(|outcome| outcome.as_str().to_owned()),
        reason: facts.reason,
        target: facts.target.map(|iccid| iccid.to_string()),
        previous: iccids(&facts.previous),
        deleted: iccids(&facts.deleted),
        r_plmn: facts.plmn,
        operations: facts.operations.iter().map(ToString::to_string).collect(),
        deadline: switch.deadline.map(rfc3339),
        next_poll_expected_at: euicc.and_then(switch::next_poll_expected_at).map(rfc3339),
        poll_interval_seconds: euicc.map(|euicc| switch::interval(euicc) / 1_000),
        poll_interval_assumed: euicc.map(|euicc| euicc.poll_interval_ms.is_none()),
        campaign: switch.campaign.map(|id| id.to_string()),
        rules: facts.rules.iter().map(ToString::to_string).collect(),
        label: switch.label,
        created_at: rfc3339(switch.created_at),
        started_at: switch.started_at.map(rfc3339),
        ended_at: switch.ended_at.map(rfc3339),
    }
}

pub(super) fn plan(plan: &Plan) -> Value {
    match plan {
        Plan::Switch { to, rollback, delete_old, proof, no_show_after, memory_bytes, waive, overridden } => {
            json!({ "switch": {
                "to": target(to),
                "rollback": rollback,
                "deleteOld": delete_old,
                "proof": proof,
                "noShowAfter": no_show_after,
                "memoryBytes": memory_bytes,
                "waive": waive,
                "override": overridden,
            } })
        }
        Plan::Download { from, no_show_after, memory_bytes, waive } => json!({ "download": {
            "from": target(from),
            "noShowAfter": no_show_after,
            "memoryBytes": memory_bytes,
            "waive": waive,
        } }),
        Plan::Operations { requests, no_show_after } => {
            json!({ "operations": requests, "noShowAfter": no_show_after })
        }
    }
}

/// Which profile is meant, or how it is got, without its codes.
pub(super) fn target(target: &Target) -> Value {
    match target {
        Target::Iccid(iccid) => json!({ "iccid": iccid, "rawIccid": iccid.raw_hex() }),
        Target::Matching { service_provider, profile_name } => {
            json!({ "profile": { "serviceProvider": service_provider, "name": profile_name } })
        }
        Target::Pool(pool) => json!({ "pool": pool }),
        Target::Download(request) => request.get("profileDownload").cloned().unwrap_or_default(),
    }
}

pub(super) fn pool(pool: StoredPool) -> PoolView {
    PoolView {
        id: pool.id,
        name: pool.name,
        low_water: pool.low_water,
        free: pool.free,
        created_at: rfc3339(pool.created_at),
    }
}

pub(super) fn code(code: StoredCode) -> CodeView {
    CodeView {
        id: code.id,
        state: code.state.as_str().to_owned(),
        smdp_address: code.address,
        eid: code.eid.map(|eid| eid.to_string()),
        switch: code.switch,
        changed_at: rfc3339(code.changed_at),
    }
}

/// As a rule a code with a matchingId is used up by the first device that takes it.
pub(super) fn one_code_for_many(plan: &Plan, devices: u64) -> Option<String> {
    let (Plan::Switch { to: Target::Download(request), .. } | Plan::Download { from: Target::Download(request), .. }) =
        plan
    else {
        return None;
    };
    let has_code = request["profileDownload"]["activationCode"].is_object();
    (has_code && devices > 1).then(|| {
        format!(
            "one activation code is given to {devices} devices; most codes are for one device, so the SM-DP+ may refuse it to all but \
             the first. A pool gives each device its own ({{\"to\": {{\"pool\": ...}}}})"
        )
    })
}

/// Thresholds that can't act.
pub(super) fn never_judged<'a>(
    spec: &'a CampaignSpec,
    devices: impl Fn(usize) -> u64 + 'a,
) -> impl Iterator<Item = String> + 'a {
    let joins = spec.target.mode == TargetMode::Continuous;
    spec.waves.iter().enumerate().filter_map(move |(index, wave)| {
        let least = wave.error_threshold.as_ref()?.min_executed;
        let has = devices(index);
        (!joins && least.unsigned_abs() > has).then(|| {
            format!("errorThreshold of wave {index} never acts: minExecuted is {least}, and the wave has {has} devices")
        })
    })
}

/// Windows in which nothing can begin: none opens before the end.
pub(super) fn never_open(spec: &CampaignSpec, now: i64) -> Option<String> {
    let end = spec.end_at.filter(|end| *end > now && !spec.maintenance_windows.is_empty())?;
    let opens = next_opening(&spec.maintenance_windows, spec.start_at.unwrap_or(now).max(now));
    opens.is_none_or(|opens| opens >= end).then(|| {
        format!("no device can begin: none of the maintenanceWindows opens before the endAt, {}", rfc3339(end))
    })
}

/// A campaign with its counts.
pub(super) fn campaign(loaded: &Loaded, now: i64) -> CampaignView {
    let Loaded { stored, spec, state, facts, counts } = loaded;
    let waits_for = waits_for(spec, *state, facts, counts, now).map(|wait| CampaignWaitView {
        name: wait.what.as_str(),
        message: wait.message,
        until: wait.until.map(rfc3339),
    });
    let is_to_begin = match state {
        CampaignState::Draft | CampaignState::Submitted | CampaignState::Approved => true,
        CampaignState::Running | CampaignState::Paused => counts.pending() > 0,
        _ => false,
    };
    let waves: Vec<CampaignWaveView> = spec
        .waves
        .iter()
        .enumerate()
        .map(|(index, wave)| {
            let mut shown = CampaignWaveView { index: Some(index), name: wave.name.clone(), ..Default::default() };
            add_counts(&mut shown, &counts.wave(index));
            shown
        })
        .collect();
    let mut totals = CampaignWaveView::default();
    counts.waves.iter().for_each(|wave| add_counts(&mut totals, wave));
    let mut specification = stored.spec.clone();
    if let Some(read) = stored_plan(spec) {
        specification["plan"] = plan(&read);
    }
    let time = |at: Option<i64>| at.map(rfc3339);
    let devices = counts.waves.iter().map(WaveCounts::total).sum();
    CampaignView {
        id: stored.id.to_string(),
        name: stored.name.clone(),
        state: state.as_str().to_owned(),
        priority: stored.priority,
        pause: facts.pause.as_ref().map(|pause| OperationError::named(&pause.name, &pause.message)),
        stopped: facts.stopped.as_ref().map(|stopped| OperationError::named(&stopped.name, &stopped.message)),
        waits_for,
        warnings: stored_plan(spec)
            .and_then(|read| one_code_for_many(&read, devices))
            .into_iter()
            .chain(never_judged(spec, |wave| counts.wave(wave).total()))
            .chain(never_open(spec, now).filter(|_| is_to_begin))
            .collect(),
        wave: facts.wave,
        soak_until: time(facts.soak_until),
        waves,
        totals,
        reverts: {
            let outcomes: std::collections::BTreeMap<&str, u64> =
                counts.reverts.ended.iter().map(|(outcome, n)| (outcome.as_str(), *n)).collect();
            json!({ "pending": counts.reverts.pending, "running": counts.reverts.running, "outcomes": outcomes })
        },
        specification,
        history: json!({
            "createdBy": facts.created_by, "createdAt": time(facts.created_at),
            "submittedBy": facts.submitted_by, "submittedAt": time(facts.submitted_at),
            "submittedMessage": facts.submitted_message,
            "approvedBy": facts.approved_by, "approvedAt": time(facts.approved_at),
            "approvedMessage": facts.approved_message,
            "deniedBy": facts.denied_by, "deniedAt": time(facts.denied_at), "deniedMessage": facts.denied_message,
            "acts": facts.acts.iter().map(|act| json!({
                "verb": act.verb, "by": act.by, "at": rfc3339(act.at), "message": act.message,
            })).collect::<Vec<_>>(),
        }),
        created_at: rfc3339(stored.created_at),
        started_at: time(facts.started_at),
        ended_at: time(facts.ended_at),
    }
}

fn add_counts(shown: &mut CampaignWaveView, counts: &WaveCounts) {
    shown.devices += counts.total();
    shown.pending += counts.pending;
    shown.running += counts.running;
    for (outcome, _, n) in &counts.ended {
        shown.ended += n;
        *shown.outcomes.entry(outcome.as_str().to_owned()).or_default() += n;
    }
}

pub(super) fn campaign_device(device: CampaignDevice) -> CampaignDeviceView {
    CampaignDeviceView {
        eid: device.eid.to_string(),
        wave: device.wave,
        state: device.state,
        outcome: device.outcome.map(|outcome| outcome.as_str().to_owned()),
        reason: device.reason,
        attempts: device.attempts,
        not_before: Some(device.not_before).filter(|at| *at > 0).map(rfc3339),
        switch: device.switch,
        ended_at: device.ended_at.map(rfc3339),
        revert: device.revert,
        revert_reason: device.revert_reason,
    }
}

pub(super) fn owner_policy(stored: StoredPolicy) -> OwnerPolicyView {
    OwnerPolicyView {
        id: stored.id,
        service_provider: stored.policy.service_provider,
        profile_class: stored.policy.profile_class.map(interpret::class_name),
        disable_allowed: stored.policy.disable_allowed,
        delete_allowed: stored.policy.delete_allowed,
        delete_when_disabled: stored.policy.delete_when_disabled,
        created_at: rfc3339(stored.created_at),
    }
}
