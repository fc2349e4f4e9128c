//! What a poll means and what is sent to it (SGP.32 v1.2 3.1.1.1).

use super::lists::{self, Before, distrust_profiles, list_profiles};
use super::operation::{Kind, Operation, OperationError, OperationState, Purpose};
use super::order::Capabilities;
use super::work::Work;
use super::{EuiccState, association, codes, download, fleet, keys};
use crate::ids::{OperationId, Plmn};
use serde_json::json;

/// How often an unanswered data request is delivered before it is given up.
const DATA_ATTEMPTS: i64 = 3;

/// How long the data of IPA and eUICC are not asked for again after a state change.
const DATA_REFRESHED_EVERY_MS: i64 = 600_000;

/// What an IPA said when it polled.
#[derive(Debug, Clone, Copy, Default)]
pub struct Poll {
    /// notifyStateChange.
    pub notify_state_change: bool,
    /// stateChangeCause.
    pub state_change_cause: Option<i64>,
    /// rPLMN.
    pub r_plmn: Option<Plmn>,
}

impl Poll {
    /// Whether it says nothing but that the device is there.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        !self.notify_state_change && self.state_change_cause.is_none() && self.r_plmn.is_none()
    }
}

/// What the answer to a poll carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// noEimPackageAvailable, unless the decision queued something: then decide again once that is saved.
    Nothing,
    /// A package that is made now, for the first time.
    Make(OperationId),
    /// A package that was delivered before: the same octets again.
    Again(OperationId),
}

/// Takes note of what the poll says, and chooses what to send.
pub fn decide(work: &mut Work, poll: &Poll) -> Next {
    if work.state.euicc.state == EuiccState::Registered {
        work.euicc().state = EuiccState::Active;
        work.event("firstSeen", json!({}));
        if work.state.euicc.own_association.waits_for_proof() {
            association::ask_eims(work);
        }
    }
    note_state_change(work, poll);
    if work.state.euicc.state == EuiccState::AssociationLost && work.state.in_flight().is_none() {
        // One question at a time, and seldom, finds out whether the loss is one.
        association::ask_eims(work);
    }
    fleet::switch::saw(work, poll);
    confirm_switches(work);
    give_up_data_requests(work);
    prepare_download(work);
    keys::note_missing(work);
    keys::turn_questions(work);
    choose(work)
}

fn note_state_change(work: &mut Work, poll: &Poll) {
    let before = work.state.euicc.r_plmn;
    let moved = poll.r_plmn.is_some() && poll.r_plmn != work.state.euicc.r_plmn;
    if poll.notify_state_change || poll.state_change_cause.is_some() || moved {
        work.event(
            "stateChange",
            json!({
                "notifyStateChange": poll.notify_state_change,
                "stateChangeCause": poll.state_change_cause.map(codes::state_change_cause),
                "rPlmn": poll.r_plmn,
                "previousRPlmn": before,
            }),
        );
    }
    let euicc = work.euicc();
    euicc.r_plmn = poll.r_plmn.or(euicc.r_plmn);
    euicc.state_change_cause = poll.state_change_cause.or(euicc.state_change_cause);
    if poll.notify_state_change || poll.state_change_cause.is_some() {
        distrust_profiles(work);
    }
    if poll.notify_state_change {
        // Nobody signs the data, so whoever knows the EID could have them asked for without end.
        let lately =
            work.state.euicc.data_refreshed_at.is_some_and(|asked| work.now() - asked < DATA_REFRESHED_EVERY_MS);
        if !lately && !work.asks_already(Purpose::Refresh, Kind::EuiccData) {
            let now = work.now();
            work.euicc().data_refreshed_at = Some(now);
            let tags = json!({ "euiccData": { "tags": ["81", "BF20", "BF22", "83", "84", "A8", "A9"] } });
            work.ask(Purpose::Refresh, Kind::EuiccData, None, tags);
        }
        if let Some(cause) = poll.state_change_cause {
            association::state_changed(work, cause);
        }
    }
}

/// A switch whose result was believed is done once the device is seen again.
fn confirm_switches(work: &mut Work) {
    let now = work.now();
    let mut confirmed = Vec::new();
    for operation in &mut work.state.operations {
        if operation.state == OperationState::Unconfirmed && !operation.results.is_empty() {
            operation.end(OperationState::Succeeded, now);
            confirmed.push(operation.id);
        }
    }
    for id in confirmed {
        work.announce(id);
    }
}

fn give_up_data_requests(work: &mut Work) {
    let now = work.now();
    let waiting = |operation: &Operation| {
        operation.kind == Kind::EuiccData
            && operation.state == OperationState::Delivered
            && operation.attempts >= DATA_ATTEMPTS
    };
    let mut given_up = Vec::new();
    for operation in work.state.operations.iter_mut().filter(|operation| waiting(operation)) {
        let message = "The IPA took the data request three times and did not answer it. The device may not support it.";
        operation.fail(OperationError::named("noAnswer", message), now);
        given_up.push(operation.id);
    }
    for id in given_up {
        work.announce(id);
    }
}

/// What is asked for before a download, so that its trigger suits the device: addresses, EUICCInfo, ipaCapabilities,
/// deviceInfo.
#[must_use]
pub fn download_data() -> serde_json::Value {
    json!({ "euiccData": { "tags": ["81", "BF20", "BF22", "83", "A8", "A9"] } })
}

fn is_due(work: &Work, operation: &Operation) -> bool {
    operation.state == OperationState::Queued
        && operation.not_before.is_none_or(|not_before| not_before <= work.now())
        && operation.valid_until.is_none_or(|valid_until| valid_until > work.now())
}

/// Asks, once for each download, for what must be known before its trigger goes out.
fn prepare_download(work: &mut Work) {
    if !may_start_download(work) {
        return;
    }
    let next = work
        .state
        .operations
        .iter()
        .find(|operation| {
            operation.kind == Kind::ProfileDownload && is_due(work, operation) && !operation.results_asked
        })
        .map(|operation| operation.id);
    let Some(id) = next.filter(|id| lacks_data(work, *id)) else { return };
    if let Some(operation) = work.operation(id) {
        operation.results_asked = true;
    }
    if !work.asks_already(Purpose::Refresh, Kind::EuiccData) {
        work.ask(Purpose::Refresh, Kind::EuiccData, None, download_data());
    }
}

fn lacks_data(work: &Work, id: OperationId) -> bool {
    let capabilities = Capabilities(work.state.euicc.capabilities.as_ref());
    let order = work.state.operation(id).and_then(download::order);
    order.is_some_and(|order| order.needs_data(capabilities))
}

/// One download at a time: the eUICC has one session at a time.
fn may_start_download(work: &Work) -> bool {
    work.state.euicc.state != EuiccState::Unmanaged && download::under_way(&work.state.operations).is_none()
}

fn choose(work: &mut Work) -> Next {
    let in_flight = work.state.in_flight().map(|operation| operation.id);
    let queued = |operation: &&Operation, kinds: fn(Kind) -> bool| kinds(operation.kind) && is_due(work, operation);
    let operations = &work.state.operations;
    // Certificates come first: without them the result of the package in flight can't be believed.
    if let Some(certificates) = operations
        .iter()
        .find(|operation| operation.purpose == Some(Purpose::Certificates) && queued(operation, |_| true))
    {
        return Next::Make(certificates.id);
    }
    let may_sign = |operation: &Operation| in_flight.is_none() && keys::may_be_signed(work, operation);
    let lost = work.state.euicc.state == EuiccState::AssociationLost && in_flight.is_none();
    let has_key = |operation: &Operation| keys::signs_with(work, operation).is_some_and(|key| work.has_key(key));
    let probes =
        |operation: &&Operation| association::is_probe(operation) && is_due(work, operation) && has_key(operation);
    if let Some(probe) = operations.iter().filter(|_| lost).find(probes) {
        return Next::Make(probe.id);
    }
    // The list that decides an unknown outcome goes before whatever would change what it shows.
    let reconcile = |operation: &&Operation| {
        keys::goes_first(operation.purpose) && queued(operation, |_| true) && may_sign(operation)
    };
    if let Some(reconcile) = operations.iter().find(reconcile) {
        return Next::Make(reconcile.id);
    }
    let may_start_download = may_start_download(work);
    let waits_for_data = work.asks_already(Purpose::Refresh, Kind::EuiccData);
    let next = operations.iter().find(|operation| {
        queued(operation, |kind| kind == Kind::EuiccData)
            || (queued(operation, Kind::is_euicc_package) && may_sign(operation))
            || (may_start_download
                && queued(operation, |kind| kind == Kind::ProfileDownload)
                && !(waits_for_data && lacks_data(work, operation.id)))
    });
    if let Some((next, wants_a_list)) = next.map(|next| (next.id, lists::goes_before(work, next))) {
        if wants_a_list {
            let is_list = |operation: &&Operation| {
                operation.purpose == Some(Purpose::Refresh) && queued(operation, |kind| kind == Kind::Psmo)
            };
            let list = operations.iter().find(is_list).filter(|list| may_sign(list)).map(|list| list.id);
            match lists::put_first(work, next, list) {
                Before::List(list) => return Next::Make(list),
                Before::Wait => return Next::Nothing,
                Before::Nothing => {}
            }
        }
        return Next::Make(next);
    }
    let next = match in_flight {
        Some(id) => pursue(work, id),
        None => operations
            .iter()
            .find(|operation| operation.kind == Kind::EuiccData && operation.state == OperationState::Delivered)
            .map_or(Next::Nothing, |operation| Next::Again(operation.id)),
    };
    let waiting = download::under_way(&work.state.operations).map(|operation| operation.id);
    match (next, waiting) {
        (Next::Nothing, Some(id)) if download::pursue(work, id) => Next::Again(id),
        (next, _) => next,
    }
}

/// A package is out and its result did not come: the same octets once more, then by turns the question for stored
/// results and the package, since either of the two may be what the device can't handle. From the third delivery on the
/// package waits a while each time.
fn pursue(work: &mut Work, id: OperationId) -> Next {
    let now = work.now();
    let Some(operation) = work.operation(id) else { return Next::Nothing };
    let (attempts, asked, replayed) = (operation.attempts, operation.results_asked, operation.replayed);
    if !replayed && (attempts < 2 || asked) {
        let waits = attempts >= 2 && operation.again_after.is_some_and(|after| now < after);
        return if waits { Next::Nothing } else { Next::Again(id) };
    }
    let question = |purpose| {
        work.state.operations.iter().find(|operation| {
            operation.purpose == Some(purpose)
                && operation.state == OperationState::Delivered
                && (purpose == Purpose::Certificates || operation.subject == Some(id))
        })
    };
    let open = question(Purpose::Certificates).or_else(|| question(Purpose::StoredResults)).map(|question| question.id);
    if open.is_none() && replayed && asked {
        // The eUICC executed it, and what came of it can't be had: the profile list will tell.
        outcome_unknown(work, id);
        return choose(work);
    }
    if let Some(operation) = work.operation(id) {
        operation.results_asked = true;
    }
    if let Some(open) = open {
        return Next::Again(open);
    }
    work.ask(Purpose::StoredResults, Kind::EuiccData, Some(id), json!({ "euiccData": { "tags": ["A2"] } }));
    Next::Nothing
}

/// Frees the slot of an operation whose outcome can't be learned from its result, and asks for the profile list.
pub fn outcome_unknown(work: &mut Work, id: OperationId) {
    keys::note_foreign_counter(work, id);
    if keys::outcome_unknown(work, id) {
        return;
    }
    let now = work.now();
    let mut subject = id;
    let mut lists_lost = 0;
    if let Some(operation) = work.operation(id) {
        match (operation.purpose, operation.subject) {
            // The list itself was lost: it is asked for again, for the same operation.
            (Some(Purpose::Reconcile), Some(unknown)) => {
                subject = unknown;
                lists_lost = 1;
                operation
                    .fail(OperationError::named("outcomeUnknown", "Its result was lost. It is asked for again."), now);
            }
            _ => operation.state = OperationState::Unconfirmed,
        }
    }
    lists::doubted_now(work);
    work.announce(id);
    if lists_lost > 0 {
        let facts = &mut work.euicc().list_facts;
        facts.lost = facts.lost.saturating_add(lists_lost);
        if facts.lost >= lists::LOST_MAX {
            let message = "The device tells neither its result nor, as often as it was asked, its profiles.";
            if let Some(operation) = work.operation(subject) {
                operation.fail(OperationError::named("outcomeUnknown", message), now);
            }
            work.announce(subject);
            return;
        }
    }
    work.ask(Purpose::Reconcile, Kind::Psmo, Some(subject), list_profiles());
}
