//! A switch: one device moves to another profile, or does a list of operations, as one durable job that ends with what
//! could be proven.
//!
//! A switch lives in the decisions about its eUICC: [`advance`] runs at the end of each, in the same transaction. It reads
//! the outcome of the operations that it asked for, and asks for the next one. Deadlines count in the poll interval that
//! was observed of the device.

use super::guard::{self, Check, Known, SmdpAddress, Subject};
use super::outcome::Outcome;
use super::policy;
use crate::asn1::Psmo;
use crate::asn1::code::state_change_cause::FALLBACK as CAUSE_FALLBACK;
use crate::domain::authority::{self, Action, Subject as Owned};
use crate::domain::changes::NewOperation;
use crate::domain::euicc::words;
use crate::domain::operation::{ABANDONED, Kind, Operation, OperationError, OperationState, Origin, Purpose};
use crate::domain::poll::{Poll, list_profiles};
use crate::domain::request::Request;
use crate::domain::work::Work;
use crate::domain::{Euicc, Profile, rfc3339};
use crate::ids::{Iccid, OperationId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

words!(
    /// Where a switch stands.
    SwitchState {
        /// It has not begun: it waits for its time.
        Waiting = "waiting",
        /// The profile is being downloaded.
        Downloading = "downloading",
        /// The profile is being enabled.
        Enabling = "enabling",
        /// The profile is enabled; the device has to be seen again.
        Proving = "proving",
        /// It is proven; the old profile is being deleted.
        Deleting = "deleting",
        /// A list of operations is being worked off.
        Running = "running",
        /// It has ended; the outcome says how.
        Ended = "ended",
    }
);

/// Which profile a device is to move to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// One that is installed.
    Iccid(#[serde(with = "raw_iccid")] Iccid),
    /// One that is downloaded first; the request without its secrets.
    Download(Value),
    /// One behind a code of this pool, which is chosen when the switch begins.
    Pool(String),
    /// The one installed profile that fits; which one is chosen when the switch begins.
    #[serde(rename_all = "camelCase")]
    Matching {
        /// serviceProviderName, compared without regard to case.
        service_provider: Option<String>,
        /// profileName.
        profile_name: Option<String>,
    },
}

/// An ICCID in its raw form, since not every one has digits.
mod raw_iccid {
    use crate::ids::Iccid;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(iccid: &Iccid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&iccid.raw_hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Iccid, D::Error> {
        Iccid::from_raw_hex(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The same for one that may be absent, or several.
mod raw_iccids {
    use crate::ids::Iccid;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<'a, S: Serializer>(
        iccids: impl IntoIterator<Item = &'a Iccid>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(iccids.into_iter().map(Iccid::raw_hex))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, C: FromIccids>(deserializer: D) -> Result<C, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let iccids: Result<Vec<Iccid>, _> = texts.iter().map(|text| Iccid::from_raw_hex(text)).collect();
        Ok(C::from_iccids(iccids.map_err(D::Error::custom)?))
    }

    pub(super) trait FromIccids {
        fn from_iccids(iccids: Vec<Iccid>) -> Self;
    }

    impl FromIccids for Vec<Iccid> {
        fn from_iccids(iccids: Vec<Iccid>) -> Self {
            iccids
        }
    }

    impl FromIccids for Option<Iccid> {
        fn from_iccids(iccids: Vec<Iccid>) -> Self {
            iccids.first().copied()
        }
    }
}

/// When the profile that was enabled before is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeleteOld {
    /// Not by the switch.
    Never,
    /// When the switch is proven.
    AfterProof,
}

/// What proves a switch, beside its verified result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// Within how many poll intervals the device must be seen again.
    pub seen_again_within: i64,
    /// The networks of which it must report one, where it reports any; MCC and MNC. Empty: any.
    pub expected_plmns: Vec<String>,
}

/// What a switch is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Plan {
    /// Move to a profile.
    Switch {
        /// Which one.
        to: Target,
        /// Whether the eUICC goes back when the new profile finds no network.
        rollback: bool,
        /// What becomes of the profile before.
        delete_old: DeleteOld,
        /// What proves it.
        proof: Proof,
        /// After how many poll intervals without a sign of the device it is a no-show.
        no_show_after: i64,
        /// Least free memory for a download, octets.
        memory_bytes: i64,
        /// Checks of the guard that were waived by name.
        waive: Vec<String>,
        /// Checks of the guard that an admin has overridden.
        overridden: Vec<String>,
    },
    /// Download a profile and leave it disabled.
    Download {
        /// How it is got: a download, or a code of a pool.
        from: Target,
        /// After how many poll intervals without a sign of the device it is a no-show.
        no_show_after: i64,
        /// Least free memory for it, octets.
        memory_bytes: i64,
        /// Checks of the guard that were waived by name.
        waive: Vec<String>,
    },
    /// Work off a list of operations, one after the other; the first that is not done ends it.
    Operations {
        /// Requests in the API's notation.
        requests: Vec<Value>,
        /// As above.
        no_show_after: i64,
    },
}

impl Plan {
    /// Whether it overrides checks of the guard, which only an admin may.
    #[must_use]
    pub const fn overrides(&self) -> bool {
        matches!(self, Self::Switch { overridden, .. } if !overridden.is_empty())
    }

    /// After how many of its own poll intervals a device that does not come is a no-show.
    pub(crate) const fn no_show_after(&self) -> i64 {
        match self {
            Self::Switch { no_show_after, .. }
            | Self::Download { no_show_after, .. }
            | Self::Operations { no_show_after, .. } => *no_show_after,
        }
    }
}

/// What a switch has come to know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SwitchFacts {
    /// Every operation that it asked for, in order.
    pub operations: Vec<OperationId>,
    /// Those that it waits for.
    pub awaiting: Vec<OperationId>,
    /// The profile to be enabled, once known.
    #[serde(with = "raw_iccids")]
    pub target: Option<Iccid>,
    /// The profiles that were enabled before.
    #[serde(with = "raw_iccids")]
    pub previous: Vec<Iccid>,
    /// Whether the device was seen again after the profile was enabled.
    pub seen_again: bool,
    /// The network that it reported then.
    pub plmn: Option<String>,
    /// The stateChangeCause that it reported then.
    pub cause: Option<i64>,
    /// How far into a list of operations it is.
    pub done: usize,
    /// How often the deadline was put off because the device was seen.
    pub put_off: i64,
    /// Old profiles that were deleted.
    #[serde(with = "raw_iccids")]
    pub deleted: Vec<Iccid>,
    /// Whether it moves a device back that a campaign has moved.
    pub reverts: bool,
    /// Whether the trigger with its activation code went out.
    pub code_delivered: bool,
    /// Why it ended as it did, or why an old profile stayed.
    pub reason: Option<OperationError>,
    /// The rules that caused it, one after the other; the last one asked for it.
    pub rules: Vec<OperationId>,
    /// Whether a list was asked for to tell whose the profile is that was downloaded.
    pub owner_asked: bool,
    /// The checks of the guard that would have refused it and were waived or overridden.
    pub set_aside: Vec<String>,
}

/// A switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// Its row; zero until stored.
    pub seq: i64,
    /// Its name.
    pub id: OperationId,
    /// The campaign that it is part of.
    pub campaign: Option<OperationId>,
    /// The operator's name for it.
    pub label: Option<String>,
    /// What it is to do.
    pub plan: Plan,
    /// Where it stands.
    pub state: SwitchState,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What it has come to know.
    pub facts: SwitchFacts,
    /// When it is looked at if nothing happens, milliseconds since 1970.
    pub deadline: Option<i64>,
    /// When it was asked for.
    pub created_at: i64,
    /// When it began: not before its time.
    pub started_at: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
}

/// What is taken for the poll interval of a device of which none was observed: a day.
pub const INTERVAL_UNKNOWN_MS: i64 = 86_400_000;
/// Bounds of the interval that deadlines count in: a minute and 45 days.
const INTERVAL_MIN_MS: i64 = 60_000;
const INTERVAL_MAX_MS: i64 = 45 * 86_400_000;
/// No deadline is nearer than this, however often a device polls.
const DEADLINE_MIN_MS: i64 = 600_000;
/// How often a deadline is put off for a device that is seen and does not come to an end.
const PUT_OFF_MAX: i64 = 8;

/// The poll interval that deadlines of this eUICC count in, in milliseconds: as observed, in bounds.
#[must_use]
pub fn interval(euicc: &Euicc) -> i64 {
    euicc.poll_interval_ms.unwrap_or(INTERVAL_UNKNOWN_MS).clamp(INTERVAL_MIN_MS, INTERVAL_MAX_MS)
}

/// When the device is expected to poll next; `None` before it was ever seen.
#[must_use]
pub fn next_poll_expected_at(euicc: &Euicc) -> Option<i64> {
    euicc.last_seen_at.map(|seen| seen + interval(euicc))
}

/// So many poll intervals of the device, milliseconds; not less than the shortest deadline.
pub(crate) fn period(euicc: &Euicc, intervals: i64) -> i64 {
    (interval(euicc).saturating_mul(intervals)).max(DEADLINE_MIN_MS)
}

impl Switch {
    /// Whether it has not ended.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }

    fn end(&mut self, outcome: Outcome, reason: Option<OperationError>, now: i64) {
        self.outcome = Some(outcome);
        self.facts.reason = reason.or(self.facts.reason.take());
        self.facts.awaiting.clear();
        self.state = SwitchState::Ended;
        self.deadline = None;
        self.ended_at = Some(now);
    }
}

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

fn known<'a>(work: &'a Work, busy_with: Option<&'a str>) -> Known<'a> {
    Known {
        euicc: &work.state.euicc,
        profiles: &work.state.profiles,
        busy_with,
        policies: &work.state.policies,
        rights: work.state.rights.as_ref(),
    }
}

/// What a plan does, as far as the guard cares; a list of operations is looked at one by one.
fn subject<'a>(plan: &'a Plan, work: &Work) -> Option<Subject<'a>> {
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

/// Begins a switch that the guard has let through. `download` is the first operation of one that downloads, with its sealed
/// secrets.
pub fn begin(work: &mut Work, mut switch: Switch, download: Option<NewOperation>) {
    let now = work.now();
    switch.facts.previous = work
        .state
        .profiles
        .iter()
        .filter(|profile| profile.enabled == Some(true))
        .map(|profile| profile.iccid)
        .collect();
    let mut told = json!({ "switch": switch.id, "campaign": switch.campaign });
    let grants = grants_used(&switch.plan, work);
    if !grants.is_empty() {
        told["grants"] = json!(grants);
    }
    work.event("switchCreated", told);
    let waits = switch.started_at.is_some_and(|start| start > now);
    if switch.started_at.is_none() {
        switch.started_at = Some(now);
    }
    if let Plan::Switch { to: Target::Iccid(iccid), .. } = &switch.plan {
        switch.facts.target = Some(*iccid);
        if switch.facts.previous.contains(iccid) {
            switch.end(Outcome::Unchanged, None, now);
            announce(work, &switch);
            work.state.switch = Some(switch);
            return;
        }
    }
    match download {
        Some(download) => {
            switch.state = if waits { SwitchState::Waiting } else { SwitchState::Downloading };
            switch.facts.operations.push(download.id);
            switch.facts.awaiting = vec![download.id];
            queued(work, &download);
            work.enqueue(download);
            switch.deadline = if waits { switch.started_at } else { Some(no_show_at(work, &switch)) };
        }
        None if waits => {
            switch.state = SwitchState::Waiting;
            switch.deadline = switch.started_at;
        }
        None => proceed(work, &mut switch),
    }
    work.state.switch = Some(switch);
}

fn no_show_at(work: &Work, switch: &Switch) -> i64 {
    let begins = switch.started_at.unwrap_or_default().max(work.now());
    begins + period(&work.state.euicc, switch.plan.no_show_after())
}

fn queued(work: &mut Work, operation: &NewOperation) {
    let details = json!({ "operation": operation.id, "kind": operation.kind.as_str(), "subject": operation.subject });
    work.event("operationQueued", details);
}

fn ask(work: &mut Work, switch: &mut Switch, kind: Kind, request: Value) {
    let operation = NewOperation {
        id: work.fresh_id(),
        kind,
        origin: Origin::Switch,
        purpose: None,
        subject: Some(switch.id),
        request,
        label: switch.label.clone(),
        not_before: None,
        valid_until: None,
        secret: None,
        overridden: vec![],
    };
    switch.facts.operations.push(operation.id);
    switch.facts.awaiting = vec![operation.id];
    switch.facts.put_off = 0;
    queued(work, &operation);
    work.enqueue(operation);
}

/// The next operation of a switch: enabling its target, or the next of its list.
fn proceed(work: &mut Work, switch: &mut Switch) {
    let now = work.now();
    match switch.plan.clone() {
        Plan::Switch { rollback, .. } => {
            let Some(target) = switch.facts.target else {
                let reason =
                    OperationError::named("profileUnknown", "The download did not say which profile it brought.");
                switch.end(Outcome::DownloadFailed, Some(reason), now);
                announce(work, switch);
                return;
            };
            let request = json!({ "psmo": [{ "enable": { "rawIccid": target.raw_hex(), "rollback": rollback } }] });
            switch.state = SwitchState::Enabling;
            ask(work, switch, Kind::Psmo, request);
        }
        Plan::Download { .. } => {
            switch.end(Outcome::Succeeded, None, now);
            announce(work, switch);
            return;
        }
        Plan::Operations { requests, .. } => {
            let next = requests.get(switch.facts.done).cloned();
            let kind = next.as_ref().and_then(kind_of);
            match next.zip(kind) {
                Some((request, kind)) => {
                    switch.state = SwitchState::Running;
                    ask(work, switch, kind, request);
                }
                None => {
                    switch.end(Outcome::Succeeded, None, now);
                    announce(work, switch);
                    return;
                }
            }
        }
    }
    switch.deadline = Some(no_show_at(work, switch));
}

/// The kind of a request in the API's notation.
#[must_use]
pub fn kind_of(request: &Value) -> Option<Kind> {
    request.as_object()?.keys().find_map(|name| Kind::from_word(name))
}

fn announce(work: &mut Work, switch: &Switch) {
    let details = json!({
        "switch": switch.id,
        "campaign": switch.campaign,
        "plan": match switch.plan {
            Plan::Switch { .. } => "switch",
            Plan::Download { .. } => "download",
            Plan::Operations { .. } => "operations",
        },
        "outcome": switch.outcome.map(Outcome::as_str),
        "reason": switch.facts.reason.as_ref().map(|reason| &reason.name),
        "target": switch.facts.target,
    });
    work.event("switchEnded", details);
}

/// Takes note of a poll, which may be what proves a switch.
pub fn saw(work: &mut Work, poll: &Poll) {
    let Some(mut switch) = work.state.switch.take() else { return };
    if switch.is_open() && matches!(switch.state, SwitchState::Enabling | SwitchState::Proving) {
        let enabled = switch.facts.awaiting.first().and_then(|id| work.state.operation(*id)).is_some_and(|operation| {
            (operation.state == OperationState::Unconfirmed && !operation.results.is_empty())
                || operation.state == OperationState::Succeeded
        });
        // What a poll says before the profile is enabled is about another change.
        if enabled {
            switch.facts.seen_again = true;
            switch.facts.plmn = poll.r_plmn.map(|plmn| plmn.to_string()).or(switch.facts.plmn.take());
            switch.facts.cause = poll.state_change_cause.or(switch.facts.cause);
        }
    }
    work.state.switch = Some(switch);
}

/// Brings a switch as far as what is known allows. Runs at the end of every decision about its eUICC.
pub fn advance(work: &mut Work) {
    let Some(mut switch) = work.state.switch.take() else { return };
    if !switch.is_open() {
        reverse(work, &mut switch);
    }
    // Each step either waits or comes to another state, of which there are few.
    for _ in 0..SwitchState::ALL.len() {
        if !switch.is_open() || !step(work, &mut switch) {
            break;
        }
    }
    if switch.is_open() && switch.deadline.is_some_and(|deadline| deadline <= work.now()) {
        overdue(work, &mut switch);
    }
    work.state.switch = Some(switch);
}

/// A device that went back after its switch had ended: what was proven then is not so any more.
fn reverse(work: &mut Work, switch: &mut Switch) {
    let stood = matches!(switch.outcome, Some(Outcome::Proven | Outcome::Unconfirmed | Outcome::LostAfterSwitch));
    let went_back =
        |operation: &&Operation| operation.subject == Some(switch.id) && operation.state == OperationState::RolledBack;
    if stood && work.state.operations.iter().any(|operation| went_back(&operation)) {
        let message = "After the switch had ended the eUICC reported that it went back to the profile before.";
        switch.outcome = Some(Outcome::RolledBack);
        switch.facts.reason = Some(OperationError::named("rolledBackLater", message));
        let details = json!({ "switch": switch.id, "campaign": switch.campaign, "outcome": "rolledBack" });
        work.event("switchReversed", details);
    }
}

/// One step; `false` when nothing can be done now.
fn step(work: &mut Work, switch: &mut Switch) -> bool {
    match switch.state {
        SwitchState::Waiting => {
            let begins = switch.started_at.is_none_or(|start| start <= work.now());
            if begins && switch.facts.awaiting.is_empty() {
                guarded(work, switch);
            } else if begins {
                switch.state = SwitchState::Downloading;
                switch.deadline = Some(no_show_at(work, switch));
            }
            begins
        }
        SwitchState::Downloading => downloading(work, switch),
        SwitchState::Enabling => enabling(work, switch),
        SwitchState::Proving => proving(work, switch),
        SwitchState::Deleting => deleting(work, switch),
        SwitchState::Running => running(work, switch),
        SwitchState::Ended => false,
    }
}

/// What a switch is to do now: enable its target, once that is known.
fn plan_now(switch: &Switch) -> Plan {
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

/// Goes on if the guard still allows it, on what is known now.
fn guarded(work: &mut Work, switch: &mut Switch) {
    let plan = plan_now(switch);
    let checks = checks(&plan, work, None);
    match guard::refusal(&checks) {
        None => {
            // What came up only now is on the record as well.
            for check in checks.iter().filter(|check| check.is_set_aside()) {
                if !switch.facts.set_aside.iter().any(|name| name == check.name) {
                    switch.facts.set_aside.push(check.name.to_owned());
                    let details = json!({ "switch": switch.id, "check": check.name, "result": check.result,
                        "found": check.message, "campaign": switch.campaign, "label": switch.label });
                    work.event("guardSetAside", details);
                }
            }
            proceed(work, switch);
        }
        Some(check) => {
            switch.end(Outcome::Refused, Some(check.reason()), work.now());
            announce(work, switch);
        }
    }
}

fn end(work: &mut Work, switch: &mut Switch, outcome: Outcome, reason: Option<OperationError>) -> bool {
    switch.end(outcome, reason, work.now());
    announce(work, switch);
    true
}

/// How an operation ended that was given up, whatever it was for: `None` when it went its own way.
fn given_up(operation: &Operation) -> Option<(Outcome, Option<OperationError>)> {
    let abandoned = operation.error.as_ref().is_some_and(|error| error.name == ABANDONED);
    match operation.state {
        OperationState::Cancelled if abandoned => Some((Outcome::Unconfirmed, operation.error.clone())),
        OperationState::Cancelled => Some((Outcome::Cancelled, operation.error.clone())),
        OperationState::Expired => Some((Outcome::NoShow, operation.error.clone())),
        _ => None,
    }
}

fn awaited(work: &Work, switch: &Switch) -> Vec<Operation> {
    switch.facts.awaiting.iter().filter_map(|id| work.state.operation(*id)).cloned().collect()
}

fn downloading(work: &mut Work, switch: &mut Switch) -> bool {
    let awaited = awaited(work, switch);
    switch.facts.code_delivered |= awaited.iter().any(|operation| operation.delivered_at.is_some());
    // An SM-DS names the downloads that wait; they take the place of the one that asked.
    if let [asked] = awaited.as_slice()
        && asked.state == OperationState::Succeeded
        && let Some(named) = named_by_smds(asked)
    {
        switch.facts.operations.extend(&named);
        switch.facts.awaiting = named;
        return true;
    }
    let arrived = awaited.iter().filter(|operation| operation.state == OperationState::Succeeded).find_map(iccid_of);
    if let Some(iccid) = arrived {
        switch.facts.target = Some(iccid);
        if let Plan::Download { .. } = &switch.plan {
            return end(work, switch, Outcome::Succeeded, None);
        }
        if waits_for_owner(work, switch, iccid) {
            return false;
        }
        guarded(work, switch);
        return true;
    }
    if awaited.len() < switch.facts.awaiting.len() || awaited.iter().any(|operation| !operation.state.is_final()) {
        return false;
    }
    let Some(last) = awaited.last() else { return false };
    match given_up(last) {
        Some((Outcome::Unconfirmed, reason)) => end(work, switch, Outcome::DownloadFailed, reason),
        Some((outcome, reason)) => end(work, switch, outcome, reason),
        None => end(work, switch, Outcome::DownloadFailed, last.error.clone()),
    }
}

/// Whose a profile is that has just come a list has to tell, where other tenants own profiles: it is asked for, once.
fn waits_for_owner(work: &mut Work, switch: &mut Switch, iccid: Iccid) -> bool {
    let Some(rights) = work.state.rights.as_ref() else { return false };
    let profile = work.state.profiles.iter().find(|profile| profile.iccid == iccid);
    let untold = profile
        .is_some_and(|profile| rights.permits(Action::Enable, &Owned::of(profile)) == Err(authority::Refusal::Unknown));
    if !untold || switch.facts.owner_asked {
        return untold && work.state.euicc.profiles_stale;
    }
    switch.facts.owner_asked = true;
    work.euicc().profiles_stale = true;
    if !work.asks_already(Purpose::Refresh, Kind::Psmo) {
        work.ask(Purpose::Refresh, Kind::Psmo, None, list_profiles());
    }
    true
}

fn named_by_smds(operation: &Operation) -> Option<Vec<OperationId>> {
    let value = operation.results.first()?.value.as_ref()?.get("operations")?;
    serde_json::from_value(value.clone()).ok()
}

/// The profile that a download brought.
fn iccid_of(operation: &Operation) -> Option<Iccid> {
    let value = operation.results.first()?.value.as_ref()?;
    Iccid::from_raw_hex(value.get("rawIccid")?.as_str()?).ok()
}

fn enabling(work: &mut Work, switch: &mut Switch) -> bool {
    let awaited = awaited(work, switch);
    let [operation] = awaited.as_slice() else { return false };
    if let Some((outcome, reason)) = given_up(operation) {
        return end(work, switch, outcome, reason);
    }
    match operation.state {
        OperationState::RolledBack => end(work, switch, Outcome::RolledBack, operation.error.clone()),
        OperationState::Failed => {
            let unknown = operation.error.as_ref().is_some_and(|error| error.name == "outcomeUnknown");
            let outcome = if unknown { Outcome::Unconfirmed } else { Outcome::Refused };
            end(work, switch, outcome, operation.error.clone())
        }
        OperationState::Unconfirmed if operation.results.is_empty() => false,
        OperationState::Unconfirmed | OperationState::Succeeded => {
            switch.state = SwitchState::Proving;
            let intervals = match &switch.plan {
                Plan::Switch { proof, .. } => proof.seen_again_within,
                Plan::Download { .. } | Plan::Operations { .. } => 1,
            };
            switch.deadline = Some(work.now() + period(&work.state.euicc, intervals));
            switch.facts.put_off = 0;
            true
        }
        OperationState::Queued | OperationState::Delivered | OperationState::Expired | OperationState::Cancelled => {
            false
        }
    }
}

/// What stands between a switch and its proof.
enum Proven {
    Yes,
    /// The device was not seen again.
    NotSeen,
    /// It was seen, and the profile list that was asked for is not there yet.
    NotListed,
    /// It reported another network.
    OtherNetwork(String),
    /// It did not stay: where it went.
    Gone(Outcome, OperationError),
}

fn proving(work: &mut Work, switch: &mut Switch) -> bool {
    let awaited = awaited(work, switch);
    if let [operation] = awaited.as_slice() {
        if operation.state == OperationState::RolledBack {
            return end(work, switch, Outcome::RolledBack, operation.error.clone());
        }
        if operation.state == OperationState::Failed {
            return end(work, switch, Outcome::Unconfirmed, operation.error.clone());
        }
        if let Some((outcome, reason)) = given_up(operation) {
            return end(work, switch, outcome, reason);
        }
    }
    match proof(work, switch) {
        Proven::Yes => {
            proven(work, switch);
            true
        }
        Proven::Gone(outcome, reason) => end(work, switch, outcome, Some(reason)),
        Proven::NotSeen | Proven::NotListed | Proven::OtherNetwork(_) => false,
    }
}

fn proof(work: &Work, switch: &Switch) -> Proven {
    if switch.facts.cause == Some(CAUSE_FALLBACK) {
        let message = "The device reported that it went to its Fallback Profile: the new one found no network.";
        return Proven::Gone(Outcome::FellBack, OperationError::named("fallback", message));
    }
    if !switch.facts.seen_again {
        return Proven::NotSeen;
    }
    if work.state.euicc.profiles_stale {
        return Proven::NotListed;
    }
    let profiles = &work.state.profiles;
    let target = profiles.iter().find(|profile| Some(profile.iccid) == switch.facts.target);
    if target.is_none_or(|profile| profile.enabled != Some(true)) {
        let on_fallback =
            profiles.iter().any(|profile| profile.enabled == Some(true) && profile.fallback == Some(true));
        let (outcome, message) = if on_fallback {
            (Outcome::FellBack, "The profile list shows that the Fallback Profile is enabled again.")
        } else {
            (Outcome::RolledBack, "The profile list shows that the new profile is not enabled any more.")
        };
        return Proven::Gone(outcome, OperationError::named("notEnabled", message));
    }
    let Plan::Switch { proof, .. } = &switch.plan else { return Proven::Yes };
    match &switch.facts.plmn {
        Some(reported) if !proof.expected_plmns.is_empty() && !proof.expected_plmns.contains(reported) => {
            Proven::OtherNetwork(reported.clone())
        }
        _ => Proven::Yes,
    }
}

fn proven(work: &mut Work, switch: &mut Switch) {
    let wants = matches!(&switch.plan, Plan::Switch { delete_old: DeleteOld::AfterProof, .. });
    let old: Vec<Iccid> = switch
        .facts
        .previous
        .iter()
        .filter(|iccid| Some(**iccid) != switch.facts.target)
        .filter(|iccid| {
            let profile = work.state.profiles.iter().find(|profile| profile.iccid == **iccid);
            profile.is_some_and(|profile| wants || policy::deletes_when_disabled(&work.state.policies, profile))
        })
        .copied()
        .collect();
    if old.is_empty() {
        end(work, switch, Outcome::Proven, None);
        return;
    }
    let known = known(work, None);
    let overridden = match &switch.plan {
        Plan::Switch { overridden, .. } => overridden.clone(),
        Plan::Download { .. } | Plan::Operations { .. } => vec![],
    };
    if let Some(message) = kept_back(work, switch, &old) {
        let reason = OperationError::named("oldProfileKept", &message);
        end(work, switch, Outcome::Proven, Some(reason));
        return;
    }
    let checks = guard::checks(Subject::Remove { disabled: &[], deleted: &old }, known, &[], &overridden);
    if let Some(refused) = guard::refusal(&checks) {
        let reason = OperationError::named("oldProfileKept", &refused.message);
        end(work, switch, Outcome::Proven, Some(reason));
        return;
    }
    let deletes: Vec<Value> = old.iter().map(|iccid| json!({ "delete": { "rawIccid": iccid.raw_hex() } })).collect();
    switch.state = SwitchState::Deleting;
    ask(work, switch, Kind::Psmo, json!({ "psmo": deletes }));
    switch.facts.deleted = old;
    switch.deadline = Some(no_show_at(work, switch));
}

/// Why old profiles are not deleted, though the switch is proven.
fn kept_back(work: &Work, switch: &Switch, old: &[Iccid]) -> Option<String> {
    // What the switch was let through with must be there still, also where a policy was made since.
    let holder = guard::fallback_holder(&work.state.profiles, switch.facts.target).ok().flatten();
    let was_set_aside = switch.facts.set_aside.iter().any(|name| name == guard::FALLBACK);
    if let Some(holder) = holder.filter(|holder| !was_set_aside && old.contains(&holder.iccid)) {
        return Some(format!(
            "The profile {} has the fallback attribute, and that the device can do without was not waived when the switch began: it \
             stays. Move the attribute first (psmo setFallbackAttribute), then delete it.",
            holder.iccid
        ));
    }
    // It may take the device from the profile that was proven.
    let moves = |operation: &&Operation| {
        let request = operation.request.as_object().and_then(|body| Request::parse(body).ok());
        operation.subject != Some(switch.id)
            && !operation.state.is_final()
            && matches!(request, Some(Request::Psmo(list)) if guard::takes_away(&list))
    };
    let other = work.state.operations.iter().find(moves)?;
    Some(format!("The operation {} is under way, which may move the device again: the old profile stays.", other.id))
}

/// Why the old profile is not deleted any more where that was asked for: the device is not on the profile that was proven.
#[must_use]
pub fn not_on_target(switch: &Switch, profiles: &[Profile]) -> Option<OperationError> {
    let is_on = |profile: &Profile| Some(profile.iccid) == switch.facts.target && profile.enabled == Some(true);
    let deletes = switch.is_open() && switch.state == SwitchState::Deleting;
    (deletes && !profiles.iter().any(is_on)).then(|| {
        let message = "The profile that was proven is not enabled any more, so the old one is not deleted.";
        OperationError::named(guard::TARGET, message)
    })
}

fn deleting(work: &mut Work, switch: &mut Switch) -> bool {
    let awaited = awaited(work, switch);
    let [operation] = awaited.as_slice() else { return false };
    if !operation.state.is_final() {
        return false;
    }
    let reason = (operation.state != OperationState::Succeeded).then(|| kept(operation.error.as_ref()));
    if reason.is_some() {
        switch.facts.deleted.clear();
    }
    end(work, switch, Outcome::Proven, reason)
}

fn kept(cause: Option<&OperationError>) -> OperationError {
    let cause = cause.map_or("it was withdrawn.", |error| error.message.as_str());
    OperationError::named(
        "oldProfileKept",
        &format!("The switch is proven, and the old profile was not deleted: {cause}"),
    )
}

fn running(work: &mut Work, switch: &mut Switch) -> bool {
    let awaited = awaited(work, switch);
    let [operation] = awaited.as_slice() else { return false };
    if let Some((outcome, reason)) = given_up(operation) {
        return end(work, switch, outcome, reason);
    }
    match operation.state {
        OperationState::Succeeded => {
            switch.facts.done += 1;
            proceed(work, switch);
            true
        }
        OperationState::RolledBack => end(work, switch, Outcome::RolledBack, operation.error.clone()),
        OperationState::Failed => end(work, switch, Outcome::Failed, operation.error.clone()),
        _ => false,
    }
}

/// The time that a switch was given is over.
fn overdue(work: &mut Work, switch: &mut Switch) {
    let now = work.now();
    let last_seen_at = work.state.euicc.last_seen_at;
    let seen_since = |since: i64| last_seen_at.is_some_and(|seen| seen >= since);
    if switch.state == SwitchState::Proving {
        let (outcome, reason) = match proof(work, switch) {
            Proven::NotSeen => (
                Outcome::LostAfterSwitch,
                OperationError::named(
                    "notSeenAgain",
                    "The device was not seen again after it had enabled the profile.",
                ),
            ),
            Proven::NotListed => (
                Outcome::Unconfirmed,
                OperationError::named(
                    "notListed",
                    "The device was seen again and did not tell which profile is enabled.",
                ),
            ),
            Proven::OtherNetwork(plmn) => (
                Outcome::Unconfirmed,
                OperationError::named(
                    "otherNetwork",
                    &format!("The device reports the network {plmn}, not one of those expected."),
                ),
            ),
            Proven::Yes | Proven::Gone(..) => return,
        };
        end(work, switch, outcome, Some(reason));
        return;
    }
    let undelivered: Vec<OperationId> = awaited(work, switch)
        .iter()
        .filter(|operation| operation.state == OperationState::Queued)
        .map(|operation| operation.id)
        .collect();
    let started = switch.started_at.unwrap_or(switch.created_at);
    let period = period(&work.state.euicc, switch.plan.no_show_after());
    let was_delivered = undelivered.len() < switch.facts.awaiting.len();
    if seen_since(now - period) && switch.facts.put_off < PUT_OFF_MAX {
        // It is there and works, or waits for something that may pass: its operations have bounds of their own.
        switch.facts.put_off += 1;
        switch.deadline = Some(now + period);
        return;
    }
    for id in &undelivered {
        withdraw(work, *id, false);
    }
    let last = last_seen_at.map_or_else(|| "never".to_owned(), rfc3339);
    let reason =
        |name: &str, what: &str| Some(OperationError::named(name, &format!("{what} It was last seen: {last}.")));
    match switch.state {
        SwitchState::Deleting => {
            let reason = Some(kept(Some(&OperationError::named("noShow", "the device did not come to fetch it."))));
            switch.facts.deleted.clear();
            end(work, switch, Outcome::Proven, reason);
        }
        _ if !seen_since(started) => {
            end(
                work,
                switch,
                Outcome::NoShow,
                reason("noShow", "The device did not poll in the time that it was given."),
            );
        }
        SwitchState::Downloading => {
            for operation in awaited(work, switch).iter().filter(|operation| !operation.state.is_final()) {
                withdraw(work, operation.id, true);
            }
            let what = "The download was not finished in the time that it was given.";
            end(work, switch, Outcome::DownloadFailed, reason("deviceLost", what));
        }
        SwitchState::Enabling if was_delivered => {
            let what = "The device took the package and told no result.";
            end(work, switch, Outcome::LostAfterSwitch, reason("noResult", what));
        }
        _ if was_delivered => {
            end(
                work,
                switch,
                Outcome::Unconfirmed,
                reason("noResult", "The device took the package and told no result."),
            );
        }
        _ => {
            end(
                work,
                switch,
                Outcome::NoShow,
                reason("notFetched", "The device polled and did not fetch the package."),
            );
        }
    }
}

/// Takes an operation back that is not wanted any more.
fn withdraw(work: &mut Work, id: OperationId, delivered: bool) {
    let now = work.now();
    let Some(operation) = work.operation(id) else { return };
    if delivered {
        let message = "The switch that asked for it has ended. The device may have carried it out.";
        operation.error = Some(OperationError::named(ABANDONED, message));
    }
    operation.end(OperationState::Cancelled, now);
    work.announce(id);
}

/// Withdraws a switch of which nothing was delivered; `false` when a package is out already, which can't be called back.
pub fn cancel(work: &mut Work) -> bool {
    let Some(mut switch) = work.state.switch.take() else { return false };
    let awaited = awaited(work, &switch);
    let out = awaited.iter().any(|operation| !operation.state.is_final() && operation.state != OperationState::Queued);
    let past = matches!(switch.state, SwitchState::Proving | SwitchState::Deleting);
    let withdrawn = switch.is_open() && !out && !past;
    if withdrawn {
        for operation in awaited.iter().filter(|operation| operation.state == OperationState::Queued) {
            withdraw(work, operation.id, false);
        }
        let reason =
            OperationError::named("cancelled", "An operator or the campaign withdrew it before it was delivered.");
        end(work, &mut switch, Outcome::Cancelled, Some(reason));
    }
    work.state.switch = Some(switch);
    withdrawn
}
