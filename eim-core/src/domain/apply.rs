//! What a believed answer changes, and what happens to one that is not believed (SGP.32 v1.2 3.3.1, 3.3.2).
//!
//! Only an [`Accepted`] value changes state, and only the verifier or the lab policy makes one.

mod contradiction;
mod effects;
mod settle;

use super::association::{self, TokenPolicy, UNSIGNED};
use super::changes::{Received, ReceivedKind, ReceivedStatus};
use super::operation::{Kind, OperationError, OperationState, Purpose};
use super::work::Work;
use super::{EuiccState, codes, keys};
use crate::asn1::CodeTable;
use crate::asn1::code::euicc_package_error_code::{COUNTER_VALUE_OUT_OF_RANGE, ECALL_ACTIVE, REPLAY_ERROR};
use crate::asn1::{
    EuiccPackageErrorDataSigned, EuiccPackageErrorUnsigned, EuiccPackageResultDataSigned, TransactionId,
};
use crate::ids::{Eid, EimId, OperationId, SeqNumber};
use crate::pki::Accepted;
use serde_json::json;

/// How long the certificates are not asked for again.
const CERTIFICATES_ASKED_EVERY_MS: i64 = 600_000;
/// The first wait after an emergency call; it doubles up to the last.
const ECALL_WAIT_MS: i64 = 60_000;
const ECALL_WAIT_MAX_MS: i64 = 6 * 3_600_000;

/// What is known of a signed answer before it is believed: enough to keep it and to find its operation.
#[derive(Debug, Clone)]
pub struct Answer<'a> {
    /// What it is.
    pub kind: ReceivedKind,
    /// The whole object as it is kept.
    pub raw: &'a [u8],
    /// What is signed of it, as received.
    pub signed: &'a [u8],
    /// The eUICC's number of it.
    pub seq_number: Option<SeqNumber>,
    /// eimTransactionId that it names.
    pub transaction: Option<&'a TransactionId>,
    /// counterValue that it names.
    pub counter: i64,
}

impl Answer<'_> {
    /// The operation that it answers: same counter and same transaction; the counter alone where no transaction is named, if it
    /// fits one package only that was not answered. Counters begin anew with another key or association, so it may fit several.
    #[must_use]
    pub fn operation(&self, work: &Work) -> Option<OperationId> {
        let matches = |operation: &&super::Operation| {
            operation.kind.is_euicc_package()
                && operation.counter.is_some_and(|counter| counter.value() == self.counter)
                && match (self.transaction, &operation.eim_transaction_id) {
                    (Some(named), Some(sent)) => **named == *sent.octets(),
                    (named, _) => named.is_none(),
                }
        };
        let found: Vec<&super::Operation> = work.state.operations.iter().rev().filter(matches).collect();
        if self.transaction.is_some() {
            return found.first().map(|operation| operation.id);
        }
        // An eUICC answers a package once.
        let unanswered =
            |operation: &&&super::Operation| operation.verified.is_none() && operation.late_result.is_none();
        match found.iter().filter(unanswered).collect::<Vec<_>>().as_slice() {
            [] => found.first().map(|operation| operation.id),
            [only] => Some(only.id),
            _ => None,
        }
    }

    fn keep(&self, work: &mut Work, status: ReceivedStatus, reason: Option<&str>, operation: Option<OperationId>) {
        let at = work.now();
        work.receive(Received {
            seq: 0,
            kind: self.kind,
            seq_number: self.seq_number,
            identity: Received::identity(self.kind, self.signed),
            raw: self.raw.to_vec(),
            status,
            reason: reason.map(str::to_owned),
            operation,
            at,
        });
    }
}

const fn believed<T>(accepted: &Accepted<T>) -> ReceivedStatus {
    if accepted.is_verified() { ReceivedStatus::Verified } else { ReceivedStatus::Unverified }
}

/// Applies a believed result. Gives the number to acknowledge; `None` when it belongs to another eIM.
pub fn package_result(
    work: &mut Work,
    accepted: &Accepted<EuiccPackageResultDataSigned>,
    answer: &Answer<'_>,
    eim_id: &EimId,
) -> Option<SeqNumber> {
    let data = accepted.value();
    if data.eim_id.as_str() != eim_id.as_str() {
        // Acknowledging it would make the device throw away what the other eIM is waiting for.
        refuse(work, answer, "eimId", true);
        return None;
    }
    let operation = answer.operation(work);
    answer.keep(work, believed(accepted), None, operation);
    if let Some(id) = operation.filter(|_| accepted.is_verified()) {
        association::proven(work, id);
    }
    match operation {
        Some(id) => settle::settle(work, id, &data.euicc_result, accepted.is_verified()),
        None => settle::orphan(work, &data.euicc_result, accepted.is_verified(), answer.counter),
    }
    Some(SeqNumber::new(data.seq_number))
}

/// Applies a believed refusal of a whole package. There is nothing to acknowledge.
pub fn package_error(
    work: &mut Work,
    accepted: &Accepted<EuiccPackageErrorDataSigned>,
    answer: &Answer<'_>,
    eim_id: &EimId,
) {
    let data = accepted.value();
    if data.eim_id.as_str() != eim_id.as_str() {
        refuse(work, answer, "eimId", true);
        return;
    }
    let code = data.euicc_package_error_code;
    let matched = answer.operation(work);
    answer.keep(work, believed(accepted), None, matched);
    let error = codes::error(CodeTable::EuiccPackageErrorCode, code);
    let now = work.now();
    let verified = accepted.is_verified();
    if let Some(id) = matched.filter(|_| verified) {
        association::proven(work, id);
    }
    let current = matched.is_some_and(|id| keys::is_current_id(work, id));
    let Some(operation) = matched.and_then(|id| work.operation(id)) else {
        work.event("orphanError", json!({ "code": code, "name": error.name, "counterValue": answer.counter }));
        return;
    };
    let (id, purpose, attempts) = (operation.id, operation.purpose, operation.attempts);
    if !current || operation.state != OperationState::Delivered {
        work.event("lateError", json!({ "operation": id, "code": code, "name": error.name }));
        return;
    }
    work.event("packageRefused", json!({ "operation": id, "code": code, "name": error.name, "verified": verified }));
    let Some(operation) = work.operation(id) else { return };
    operation.verified = Some(verified);
    if keys::refused(work, id, code, &error, verified) {
        return;
    }
    let Some(operation) = work.operation(id) else { return };
    match code {
        // Its counter is fresh and it went out once, so the card has seen a higher one that was not made here.
        REPLAY_ERROR if purpose == Some(Purpose::Reconcile) && attempts == 1 => {
            operation.fail(error, now);
            keys::lost(work, Some(answer.counter), verified);
        }
        REPLAY_ERROR => {
            // No outcome yet, so there is nothing that could be verified.
            operation.verified = None;
            operation.replayed = true;
            operation.results_asked = false;
        }
        ECALL_ACTIVE => {
            let wait = (ECALL_WAIT_MS << operation.retries.clamp(0, 10)).min(ECALL_WAIT_MAX_MS);
            operation.state = OperationState::Queued;
            operation.retries += 1;
            operation.attempts = 0;
            operation.not_before = Some(now + wait);
            operation.package = None;
            operation.verified = None;
            // A list that comes later is worth waiting for.
            work.euicc().list_facts.forced = 0;
        }
        COUNTER_VALUE_OUT_OF_RANGE => {
            operation.fail(error, now);
            work.euicc().state = EuiccState::CounterExhausted;
            work.event("counterExhausted", json!({ "counterValue": answer.counter, "verified": verified }));
        }
        _ => operation.fail(error, now),
    }
    work.announce(id);
    keys::after_refusal(work, id);
    settle::reconcile(work, id);
}

/// Decides the outcome that an ended [`Purpose::Reconcile`] operation was asked for.
pub fn reconcile(work: &mut Work, id: OperationId) {
    settle::reconcile(work, id);
}

/// euiccPackageUnsignedErrorCode of v1.3: the package was too large. It says nothing about the association.
const UNSIGNED_SIZE_OVERFLOW: i64 = 15;

/// Takes note of an unsigned error. Nobody signed it, so it ends no operation; several in a row, or one after a reset, make
/// the association a suspected loss, and a token that it tells is adopted where the policy says so.
pub fn unsigned_error(work: &mut Work, error: &EuiccPackageErrorUnsigned, policy: TokenPolicy) {
    let named = |operation: &&super::Operation| {
        operation.in_flight()
            && match (&error.eim_transaction_id, &operation.eim_transaction_id) {
                (Some(named), Some(sent)) => **named == *sent.octets(),
                (named, _) => named.is_none(),
            }
    };
    let matched = work.state.operations.iter().find(named).map(|operation| operation.id);
    let at = work.now_text();
    if let Some(operation) = matched.and_then(|id| work.operation(id)) {
        operation.refuse(UNSIGNED, at);
    }
    work.event(
        "unsignedError",
        json!({ "operation": matched, "associationToken": error.association_token, "code": error.euicc_package_unsigned_error_code }),
    );
    let of_size = error.euicc_package_unsigned_error_code == Some(UNSIGNED_SIZE_OVERFLOW);
    let named = error.eim_id.as_ref().map(crate::asn1::EimIdText::as_str);
    let foreign = named.is_some_and(|named| work.own_eim_id() != Some(named));
    // While it is in question which key the eUICC trusts, that explains it, and is found out first.
    let key_in_doubt = work.state.euicc.key_facts.next.is_some();
    if let Some(id) = matched {
        keys::unsigned(work, id);
    }
    if let Some(id) = matched.filter(|_| !of_size && !foreign && !key_in_doubt) {
        association::refused(work, id, error.association_token, policy);
    }
}

/// Takes note that the IPA could not use a package. The IPA signs nothing, so an eUICC package stays where it is; a data
/// request is the IPA's own matter and fails.
pub fn ipa_error(work: &mut Work, transaction: Option<&TransactionId>, code: i64) {
    let error = codes::error(CodeTable::EimPackageResultErrorCode, code);
    let named = |operation: &&super::Operation| {
        operation.state == OperationState::Delivered
            && match (transaction, &operation.eim_transaction_id) {
                (Some(named), Some(sent)) => **named == *sent.octets(),
                (named, _) => named.is_none() && operation.kind.is_euicc_package(),
            }
    };
    let matched = work.state.operations.iter().find(named).map(|operation| operation.id);
    let (at, now) = (work.now_text(), work.now());
    work.event("ipaError", json!({ "operation": matched, "code": code, "name": error.name }));
    let Some(operation) = matched.and_then(|id| work.operation(id)) else { return };
    let id = operation.id;
    operation.refuse(&format!("ipaError {}", error.name), at);
    if operation.kind == Kind::EuiccData {
        operation.fail(error, now);
        work.announce(id);
    }
}

/// Keeps an answer that can't be verified yet, and asks for the certificates that could.
pub fn hold(work: &mut Work, answer: &Answer<'_>, reason: &str, held_before: bool) {
    let operation = answer.operation(work);
    answer.keep(work, ReceivedStatus::Held, Some(reason), operation);
    if !held_before {
        work.event("resultHeld", json!({ "operation": operation, "reason": reason }));
    }
    ask_certificates(work);
}

/// Asks for the eUICC's certificates, unless that was done a moment ago.
pub fn ask_certificates(work: &mut Work) {
    let now = work.now();
    let lately = work.state.euicc.certificates_asked_at.is_some_and(|asked| now - asked < CERTIFICATES_ASKED_EVERY_MS);
    if lately || work.asks_already(Purpose::Certificates, Kind::EuiccData) {
        return;
    }
    work.euicc().certificates_asked_at = Some(now);
    work.ask(Purpose::Certificates, Kind::EuiccData, None, json!({ "euiccData": { "tags": ["A5", "A6"] } }));
}

/// Takes note that an answer came under the EID of one eUICC and names the package of another: a mix-up, or an attempt.
pub fn foreign(work: &mut Work, answer: &Answer<'_>, eid: Eid) {
    work.event("foreignResult", json!({ "security": true, "eid": eid, "counterValue": answer.counter }));
}

/// Keeps an answer that is not believed, and says so. It changes no state.
pub fn refuse(work: &mut Work, answer: &Answer<'_>, reason: &str, first: bool) {
    let matched = answer.operation(work);
    answer.keep(work, ReceivedStatus::Refused, Some(reason), matched);
    let at = work.now_text();
    if let Some(operation) = matched.and_then(|id| work.operation(id)) {
        operation.refuse(reason, at);
    }
    if first {
        work.event("resultRefused", json!({ "operation": matched, "reason": reason, "counterValue": answer.counter }));
    }
}

/// The error of an operation that was not carried out as asked.
fn mismatch(message: String) -> OperationError {
    OperationError { code: None, name: "resultMismatch".to_owned(), message }
}
