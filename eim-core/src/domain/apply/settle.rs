//! The outcome of an operation from its believed result.

use super::effects;
use super::mismatch;
use crate::asn1::{EuiccResultData, Lenient, Psmo};
use crate::domain::codes::UNKNOWN_RESULT;
use crate::domain::interpret::{self, not_executed};
use crate::domain::keys;
use crate::domain::lists::{ask_profiles, distrust_profiles};
use crate::domain::operation::{Operation, OperationError, OperationResult, OperationState, Purpose};
use crate::domain::request::Request;
use crate::domain::work::Work;
use crate::ids::{Iccid, OperationId};
use serde_json::json;

/// Ends the operation by its result, or keeps the result beside an operation that has ended already.
pub(super) fn settle(work: &mut Work, id: OperationId, entries: &[Lenient<EuiccResultData>], verified: bool) {
    let results: Vec<OperationResult> = entries.iter().map(interpret::result).collect();
    let Some(operation) = work.operation(id) else { return };
    let request = operation.request.as_object().and_then(|body| Request::parse(body).ok());
    if results.iter().any(|result| result.operation == "rollback") {
        rolled_back(work, id, request.as_ref(), results, verified);
        return;
    }
    let waits = match operation.state {
        OperationState::Delivered => true,
        OperationState::Unconfirmed => operation.results.is_empty(),
        // An emergency call was reported for one copy of the package, and another copy was executed after all.
        OperationState::Queued => operation.counter.is_some(),
        _ => false,
    };
    let counter = operation.counter;
    // Under another association, or signed for another key, it says nothing of what is now, even if its counter fits again.
    let current = keys::is_current_id(work, id);
    let open = waits && current;
    let mut again = false;
    // A key that the eUICC has taken is taken, however late that is heard.
    if open || (current && counter == Some(work.state.euicc.counter)) || keys::in_doubt(work, id) {
        again = effects::apply(work, Some(id), request.as_ref(), entries, verified);
    }
    if !open {
        // Newer packages may have changed since what this one reports, so the card is asked.
        distrust_profiles(work);
        keep_late(work, id, &results, verified);
        if verified && !current && results.iter().all(OperationResult::is_ok) {
            keys::told_late(work, id);
        }
        return;
    }
    let now = work.now();
    let names = request.as_ref().map(Request::operation_names).unwrap_or_default();
    let (results, error) = compare(&names, results);
    let is_switch = request.as_ref().is_some_and(Request::is_switch);
    if error.as_ref().is_some_and(|error| error.name == "resultMismatch") {
        distrust_profiles(work);
    }
    let Some(operation) = work.operation(id) else { return };
    operation.results = results;
    operation.verified = Some(verified);
    match error {
        Some(error) => operation.fail(error, now),
        None if is_switch => operation.state = OperationState::Unconfirmed,
        None => operation.end(OperationState::Succeeded, now),
    }
    work.announce(id);
    keys::after_result(work, id, verified);
    reconcile(work, id);
    if again {
        ask_profiles(work);
    }
}

/// Keeps a result beside an operation that has ended without it.
fn keep_late(work: &mut Work, id: OperationId, results: &[OperationResult], verified: bool) {
    let late = json!({ "at": work.now_text(), "verified": verified, "results": results });
    if let Some(operation) = work.operation(id) {
        operation.late_result = Some(late);
    }
    work.event("lateResult", json!({ "operation": id, "verified": verified }));
}

/// Fits what was reported to what was asked, operation by operation, and gives the first cause of failure.
fn compare(names: &[&str], mut results: Vec<OperationResult>) -> (Vec<OperationResult>, Option<OperationError>) {
    let mut error = None;
    for (index, result) in results.iter_mut().enumerate() {
        let asked = names.get(index).copied();
        let terminated = result.operation == "processingTerminated";
        if terminated
            && names.len() == 1
            && let Some(code) = result.code
        {
            // Some eUICCs report an operation's own code in this form.
            let own = interpret::own_code(names[0], code);
            result.message = format!("{} Or, if the eUICC meant the code of {}: {own}.", result.message, names[0]);
        }
        let fits = asked == Some(result.operation.as_str()) || terminated || result.operation == UNKNOWN_RESULT;
        if error.is_none() && !fits {
            error = Some(mismatch(format!(
                "The eUICC reported {} where {} was expected. The profile list is asked for again.",
                result.operation,
                asked.unwrap_or("nothing more"),
            )));
        }
        if error.is_none() && !result.is_ok() {
            error =
                Some(OperationError { code: result.code, name: result.name.clone(), message: result.message.clone() });
        }
    }
    let executed = results.iter().filter(|result| result.operation != "processingTerminated").count();
    for name in names.iter().skip(executed) {
        let missing = not_executed(name);
        error = error.or_else(|| Some(OperationError::named(&missing.name, &missing.message)));
        results.push(missing);
    }
    (results, error)
}

/// The device went back: the profiles are as they were before.
fn rolled_back(
    work: &mut Work,
    id: OperationId,
    request: Option<&Request>,
    results: Vec<OperationResult>,
    verified: bool,
) {
    let now = work.now();
    if !keys::is_current_id(work, id) {
        distrust_profiles(work);
        keep_late(work, id, &results, verified);
        return;
    }
    let done = results.iter().all(OperationResult::is_ok);
    let enabled_before = work.operation(id).map(|operation| operation.enabled_before.clone()).unwrap_or_default();
    let enabled_here: Vec<Iccid> = match request {
        Some(Request::Psmo(list)) => list
            .iter()
            .filter_map(|psmo| match psmo {
                Psmo::Enable(enable) => Iccid::from_octets(&enable.iccid).ok(),
                _ => None,
            })
            .collect(),
        _ => vec![],
    };
    if done {
        for profile in &mut work.state.profiles {
            let enabled = if enabled_before.contains(&profile.iccid) {
                Some(true)
            } else if enabled_here.contains(&profile.iccid) {
                Some(false)
            } else {
                continue;
            };
            profile.enabled = enabled;
            profile.verified &= verified;
            profile.updated_at = now;
        }
    }
    if !verified {
        work.euicc().profiles_verified = false;
    }
    distrust_profiles(work);
    if work.operation(id).is_some_and(|operation| operation.state.was_given_up()) {
        keep_late(work, id, &results, verified);
        return;
    }
    let Some(operation) = work.operation(id) else { return };
    operation.verified = Some(verified);
    let failure = results.iter().find(|result| !result.is_ok()).map(|result| OperationError {
        code: result.code,
        name: result.name.clone(),
        message: result.message.clone(),
    });
    operation.results.extend(results);
    match failure {
        Some(error) => operation.fail(error, now),
        None => operation.end(OperationState::RolledBack, now),
    }
    work.announce(id);
}

/// A believed result of a package that is not known here: the card's truth all the same, unless packages made since may
/// have changed it, or counters began anew: then it can't be told when it was made.
pub(super) fn orphan(work: &mut Work, entries: &[Lenient<EuiccResultData>], verified: bool, counter: i64) {
    let results: Vec<OperationResult> = entries.iter().map(interpret::result).collect();
    let euicc = &work.state.euicc;
    let highest = euicc.key_facts.counters.values().copied().max().unwrap_or(0);
    let known = euicc.counter.value().max(euicc.own_association.highest_counter).max(highest);
    if euicc.key_facts.epoch == 0 && counter >= euicc.counter.value() {
        // Whatever it tells, the list is asked for below.
        let _ = effects::apply(work, None, None, entries, verified);
    }
    if verified && counter > known {
        // Signed by whom, and with which key, is not known here.
        let now = work.now();
        work.euicc().key_facts.doubt(now);
    }
    work.event("orphanResult", json!({ "counterValue": counter, "verified": verified, "results": results }));
    distrust_profiles(work);
}

/// A profile list that was asked for because an outcome is unknown decides that outcome, also by not being had.
pub(in crate::domain) fn reconcile(work: &mut Work, id: OperationId) {
    let Some(operation) = work.operation(id).filter(|operation| operation.state.is_final()) else { return };
    let (Some(Purpose::Reconcile), Some(subject)) = (operation.purpose, operation.subject) else { return };
    let listed = operation.state == OperationState::Succeeded;
    let verified = operation.verified.filter(|_| listed);
    let undecided =
        |operation: &&mut Operation| operation.state == OperationState::Unconfirmed && operation.results.is_empty();
    let Some(request) = work.operation(subject).filter(undecided).map(|operation| operation.request.clone()) else {
        return;
    };
    let results: Vec<OperationResult> = match request.as_object().and_then(|body| Request::parse(body).ok()) {
        Some(Request::Psmo(list)) if listed => list.iter().map(|psmo| outcome(work, psmo)).collect(),
        _ => vec![],
    };
    let now = work.now();
    let Some(operation) = work.operation(subject) else { return };
    operation.verified = verified;
    if !results.is_empty() && results.iter().all(OperationResult::is_ok) {
        operation.end(OperationState::Succeeded, now);
    } else {
        let message = "The result was lost and the profile list does not show that it was done. Ask for it again.";
        operation.fail(OperationError::named("outcomeUnknown", message), now);
    }
    operation.results = results;
    work.announce(subject);
}

/// What the profile list tells about an operation whose result was lost.
fn outcome(work: &Work, psmo: &Psmo) -> OperationResult {
    let find = |iccid: &[u8]| work.state.profiles.iter().find(|profile| profile.iccid.octets() == iccid);
    let done = match psmo {
        Psmo::Enable(enable) => Some(find(&enable.iccid).is_some_and(|profile| profile.enabled == Some(true))),
        Psmo::Disable(disable) => Some(find(&disable.iccid).is_none_or(|profile| profile.enabled == Some(false))),
        Psmo::Delete(delete) => Some(find(&delete.iccid).is_none()),
        _ => None,
    };
    let (name, message) = match done {
        Some(true) => ("ok", "The result was lost; the profile list shows that it was done."),
        Some(false) => ("notDone", "The result was lost; the profile list shows that it was not done."),
        None => ("unknown", "The result was lost, and the profile list does not tell."),
    };
    OperationResult {
        operation: crate::domain::request::psmo_name(psmo).to_owned(),
        code: None,
        name: name.to_owned(),
        message: message.to_owned(),
        value: None,
    }
}
