//! What the guard says of a switch, and of what else is asked for while one is open.

use super::{DeleteOld, Plan, Switch, SwitchState, Target};
use crate::asn1::Psmo;
use crate::domain::Profile;
use crate::domain::fleet::guard::{self, Check, Known, SmdpAddress, Subject};
use crate::domain::operation::{Operation, Origin};
use crate::domain::request::Request;
use crate::domain::work::Work;
use crate::ids::Iccid;
use std::collections::BTreeSet;

/// The checks before a switch, on what is known now.
#[must_use]
pub fn checks(plan: &Plan, work: &Work, busy_with: Option<&str>) -> Vec<Check> {
    let known = known(work, busy_with);
    let waived = match plan {
        Plan::Switch { waive, .. } | Plan::Download { waive, .. } => waive.as_slice(),
        Plan::Operations { .. } => &[],
    };
    let overridden = match plan {
        Plan::Switch { overridden, .. } => overridden.as_slice(),
        Plan::Download { .. } | Plan::Operations { .. } => &[],
    };
    match plan {
        Plan::Switch { .. } | Plan::Download { .. } => match subject(plan, work) {
            Some(subject) => guard::checks(subject, known, waived, overridden),
            None => vec![],
        },
        Plan::Operations { requests, .. } => {
            let nothing = Subject::Remove { disabled: &[], deleted: &[] };
            let general = guard::checks(nothing, known, &[], &[]).into_iter();
            let mut checks: Vec<Check> =
                general.filter(|check| [guard::MANAGED, guard::NOTHING_IN_FLIGHT].contains(&check.name)).collect();
            // What one leaves is what the next one finds, where it was done.
            let mut together = vec![];
            for request in requests {
                let read = request.as_object().and_then(|body| Request::parse(body).ok());
                match (read, work.own_eim_id()) {
                    (Some(Request::Psmo(list)), _) => together.push(list),
                    (Some(Request::Eco(list)), Some(own)) => {
                        checks.extend(guard::configuration_checks(&list, own, work.own_address(), &[]))
                    }
                    _ => {}
                }
            }
            if !together.is_empty() {
                checks.extend(guard::package_checks(&together, known, &[]));
            }
            checks
        }
    }
}

/// The open switch that a list of operations would disturb: it moves between two profiles and counts on the fallback attribute. Once
/// its package may be out, enabling the profile before stays possible, as the way back.
#[must_use]
pub fn disturbed<'a>(switch: Option<&'a Switch>, operations: &[Psmo]) -> Option<&'a Switch> {
    let switch = switch.filter(|switch| switch.is_open() && matches!(switch.plan, Plan::Switch { .. }))?;
    let may_be_out = !matches!(switch.state, SwitchState::Waiting | SwitchState::Downloading);
    let goes_back = |iccid: &[u8]| Iccid::from_octets(iccid).is_ok_and(|iccid| switch.facts.previous.contains(&iccid));
    let disturbs = |operation: &Psmo| match operation {
        Psmo::Enable(enable) => !(may_be_out && goes_back(&enable.iccid)),
        other => guard::takes(other),
    };
    operations.iter().any(disturbs).then_some(switch)
}

/// The checks that an admin has overridden for an operation, or for the switch that asks for it.
#[must_use]
pub fn overridden(work: &Work, operation: &Operation) -> Vec<String> {
    let of_switch = work.state.switch.as_ref().filter(|switch| operation.subject == Some(switch.id));
    match of_switch.map(|switch| &switch.plan) {
        Some(Plan::Switch { overridden, .. }) => overridden.clone(),
        _ => operation.overridden.clone(),
    }
}

/// The grants of other tenants' owners that a plan rests on.
#[must_use]
pub fn grants_used(plan: &Plan, work: &Work) -> Vec<String> {
    let known = known(work, None);
    match plan {
        Plan::Operations { requests, .. } => {
            let packages = requests.iter().filter_map(|request| Request::parse(request.as_object()?).ok());
            let used = packages.filter_map(|request| match request {
                Request::Psmo(list) => Some(guard::package_grants_used(&list, known)),
                _ => None,
            });
            let used: BTreeSet<String> = used.flatten().collect();
            used.into_iter().collect()
        }
        plan => subject(plan, work).map(|subject| guard::grants_used(subject, known)).unwrap_or_default(),
    }
}

pub(super) fn known<'a>(work: &'a Work, busy_with: Option<&'a str>) -> Known<'a> {
    Known {
        euicc: &work.state.euicc,
        profiles: &work.state.profiles,
        busy_with,
        policies: &work.state.policies,
        rights: work.state.rights.as_ref(),
    }
}

/// What a plan does, as far as the guard cares; a list of operations is looked at one by one.
pub(super) fn subject<'a>(plan: &'a Plan, work: &Work) -> Option<Subject<'a>> {
    Some(match plan {
        Plan::Switch { to, delete_old, memory_bytes, .. } => {
            let deletes_old = *delete_old == DeleteOld::AfterProof;
            let enabling = |iccid| Subject::Enable { iccid, deletes_old };
            match to {
                Target::Iccid(iccid) => enabling(*iccid),
                Target::Matching { service_provider, profile_name } => {
                    matching(&work.state.profiles, service_provider.as_deref(), profile_name.as_deref())
                        .map_or(Subject::NoProfile, enabling)
                }
                from => {
                    Subject::DownloadAndEnable { deletes_old, memory_bytes: *memory_bytes, smdp: smdp_address(from) }
                }
            }
        }
        Plan::Download { from, memory_bytes, .. } => {
            Subject::Download { memory_bytes: *memory_bytes, smdp: smdp_address(from) }
        }
        Plan::Operations { .. } => return None,
    })
}

fn smdp_address(from: &Target) -> SmdpAddress<'_> {
    let Target::Download(request) = from else { return SmdpAddress::Pool };
    let download = &request["profileDownload"];
    match download["activationCode"]["smdpAddress"].as_str() {
        Some(address) => SmdpAddress::Known(address),
        None if download["defaultSmdp"] == true => SmdpAddress::Default,
        None => SmdpAddress::Smds(download["smds"]["address"].as_str()),
    }
}

/// The one installed profile that fits; `None` when there is none, or several.
#[must_use]
pub fn matching(profiles: &[Profile], service_provider: Option<&str>, profile_name: Option<&str>) -> Option<Iccid> {
    let same = |wanted: Option<&str>, found: Option<&str>| {
        wanted.is_none_or(|wanted| found.is_some_and(|found| found.to_lowercase() == wanted.to_lowercase()))
    };
    let fits = |profile: &&Profile| {
        same(service_provider, profile.service_provider.as_deref()) && same(profile_name, profile.name.as_deref())
    };
    let mut fitting = profiles.iter().filter(fits);
    let first = fitting.next()?;
    fitting.next().is_none().then_some(first.iccid)
}

/// What is under way at an eUICC that a switch must not meet; the eIM's own questions do not count.
#[must_use]
pub fn busy_with(work: &Work) -> Option<String> {
    if let Some(switch) = work.state.switch.as_ref().filter(|switch| switch.is_open()) {
        return Some(format!("the switch {}", switch.id));
    }
    let open = |operation: &&Operation| operation.origin != Origin::Eim && !operation.state.is_final();
    work.state.operations.iter().find(open).map(|operation| format!("the operation {}", operation.id))
}

/// What a switch is to do now: enable its target, once that is known.
pub(super) fn plan_now(switch: &Switch) -> Plan {
    match (&switch.plan, switch.facts.target) {
        (
            Plan::Switch { rollback, delete_old, proof, no_show_after, memory_bytes, waive, overridden, .. },
            Some(target),
        ) => Plan::Switch {
            to: Target::Iccid(target),
            rollback: *rollback,
            delete_old: *delete_old,
            proof: proof.clone(),
            no_show_after: *no_show_after,
            memory_bytes: *memory_bytes,
            waive: waive.clone(),
            overridden: overridden.clone(),
        },
        (plan, _) => plan.clone(),
    }
}

/// The checks of an open switch whose target is about to be enabled, on what is known now; none where it does something else.
#[must_use]
pub fn checks_before_enabling(switch: &Switch, work: &Work) -> Vec<Check> {
    match switch.state {
        SwitchState::Enabling => checks(&plan_now(switch), work, None),
        _ => vec![],
    }
}
