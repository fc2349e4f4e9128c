//! Making a package: what is signed, what is asked for, and the life of an operation when it is delivered.

use super::operation::{Kind, OperationState};
use super::request::Request;
use super::work::Work;
use super::{OperationError, keys};
use crate::asn1::{
    EimIdText, EuiccPackage, EuiccPackageSigned, IpaEuiccDataRequest, OctetString, Octets, TransactionId,
};
use crate::ids::{CounterValue, EimId, EimTransactionId, KeyId, OperationId};
use serde_json::json;

/// A package before it is signed or sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Draft {
    /// To be signed with this key and the token of the association.
    Signed(Box<EuiccPackageSigned>, KeyId),
    /// To be sent as it is.
    Data(IpaEuiccDataRequest),
}

/// Drafts the package of a queued operation. A signed package takes the next counter and the token of the association;
/// both are noted on the operation. `None` when the operation can't be sent now or ever: then its state says why.
pub fn draft(work: &mut Work, id: OperationId, eim_id: &EimId, transaction: &EimTransactionId) -> Option<Draft> {
    let now = work.now();
    let operation = work.operation(id)?;
    let Some(request) = operation.request.as_object().and_then(|body| Request::parse(body).ok()) else {
        // It was read when it was queued; a row that can't be read now must not stop the device's other operations.
        operation
            .fail(OperationError::named("unreadableRequest", "The stored request can't be read by this version."), now);
        return None;
    };
    let eim_transaction_id = TransactionId::new(transaction.octets()).ok();
    let draft = match request {
        Request::EuiccData(tags) => Draft::Data(IpaEuiccDataRequest {
            tag_list: OctetString::from_vec(tags),
            euicc_ci_pk_identifier_to_be_used: None,
            search_criteria_notification: None,
            search_criteria_euicc_package_result: None,
            eim_transaction_id,
        }),
        // Its trigger holds secrets and is made where they can be opened.
        Request::ProfileDownload(_) => return None,
        Request::Psmo(list) => signed(work, id, EuiccPackage::PsmoList(list), eim_id, eim_transaction_id)?,
        Request::Eco(list) => signed(work, id, EuiccPackage::EcoList(list), eim_id, eim_transaction_id)?,
    };
    work.operation(id)?.eim_transaction_id = Some(transaction.clone());
    Some(draft)
}

fn signed(
    work: &mut Work,
    id: OperationId,
    euicc_package: EuiccPackage,
    eim_id: &EimId,
    eim_transaction_id: Option<TransactionId>,
) -> Option<Draft> {
    let key = work.state.operation(id).and_then(|operation| keys::signs_with(work, operation))?;
    let counter = keys::take_counter(work, id)?;
    let (token, epoch) = (work.state.euicc.association_token, work.state.euicc.key_facts.epoch);
    let eid_value = Octets::from_array(*work.state.euicc.eid.octets());
    let operation = work.operation(id)?;
    operation.counter = Some(counter);
    operation.association_token = token;
    operation.epoch = Some(epoch);
    Some(Draft::Signed(
        Box::new(EuiccPackageSigned {
            eim_id: EimIdText::new(eim_id.as_str()).ok()?,
            eid_value,
            counter_value: counter.value(),
            eim_transaction_id,
            euicc_package,
        }),
        key,
    ))
}

/// Notes that the package was made and goes out now.
pub fn delivered(work: &mut Work, id: OperationId, package: Vec<u8>) {
    let now = work.now();
    let Some(operation) = work.operation(id) else { return };
    operation.package = Some(package);
    operation.state = OperationState::Delivered;
    operation.delivered_at = operation.delivered_at.or(Some(now));
    operation.attempts += 1;
    operation.again_after = None;
    operation.results_asked = false;
    operation.replayed = false;
    let details = json!({
        "operation": id,
        "kind": operation.kind.as_str(),
        "counterValue": operation.counter.map(CounterValue::value),
        "eimTransactionId": operation.eim_transaction_id,
    });
    work.event("packageDelivered", details);
}

/// The first wait before a package goes out for the third time; it doubles up to the last. A device that can't take it,
/// or an IPA that polls until there is nothing more, must not be kept busy with it.
const AGAIN_AFTER_MS: i64 = 60_000;
const AGAIN_AFTER_MAX_MS: i64 = 3_600_000;

/// Notes that the same octets go out again.
pub fn redelivered(work: &mut Work, id: OperationId) {
    let now = work.now();
    let Some(operation) = work.operation(id) else { return };
    operation.attempts += 1;
    if operation.kind != Kind::EuiccData {
        operation.results_asked = false;
        let wait = (AGAIN_AFTER_MS << (operation.attempts - 2).clamp(0, 10)).min(AGAIN_AFTER_MAX_MS);
        operation.again_after = Some(now + wait);
    }
}
