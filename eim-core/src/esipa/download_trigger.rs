//! The profile download trigger (SGP.32 v1.2 2.11.1.3): made from the order and its sealed secrets each time, with the
//! same eimTransactionId, so that the same octets go out again.

use crate::Eim;
use crate::asn1::{ProfileDownloadTriggerRequest, TransactionId};
use crate::domain::download::SECRET_UNREADABLE;
use crate::domain::{Capabilities, Operation, OperationError, OperationState, Secrets, Work, download};
use crate::ids::{EimTransactionId, OperationId};

/// What to do about an activation code that can't be read.
pub(super) const SECRET_UNREADABLE_TEXT: &str =
    "The stored activation code can't be read with the key in secrets.key. Put the right key back.";

/// The trigger of an operation, noted as delivered now. `None` when it is not wanted any more or can't be made: the
/// operation has ended then, or is set aside where another key may help.
pub(super) fn deliver(work: &mut Work, id: OperationId, eim: &Eim) -> Option<ProfileDownloadTriggerRequest> {
    let operation = work.operation(id)?;
    if !matches!(operation.state, OperationState::Queued | OperationState::Delivered) {
        return None;
    }
    if operation.eim_transaction_id.is_none() {
        let random: [u8; 16] = eim.entropy().octets();
        operation.eim_transaction_id = EimTransactionId::from_octets(&random).ok();
    }
    let operation = operation.clone();
    let capabilities = work.state.euicc.capabilities.clone();
    let Some(secrets) = secrets(&operation, eim) else {
        // The operator may put the right key back, or another node may have it.
        tracing::error!(operation = %id, "the activation code of a download can't be read; is secrets.key the right one?");
        let message = format!("{SECRET_UNREADABLE_TEXT} It is tried again.");
        download::set_aside(work, id, OperationError::named(SECRET_UNREADABLE, &message));
        return None;
    };
    let transaction = operation.eim_transaction_id.as_ref().and_then(|named| TransactionId::new(named.octets()).ok());
    let trigger = download::order(&operation)
        .and_then(|order| order.trigger(&secrets, Capabilities(capabilities.as_ref()), transaction));
    download::delivered(work, id);
    if trigger.is_none() {
        let message = "The stored request can't be read by this version. Ask for the download again.";
        download::fail(work, id, OperationError::named("unreadableRequest", message));
    }
    trigger
}

/// The secrets of an operation; empty ones where it has none. `None` when they can't be opened.
pub(super) fn secrets(operation: &Operation, eim: &Eim) -> Option<Secrets> {
    let Some(sealed) = &operation.secret else { return Some(Secrets::default()) };
    let opened = eim.sealing().open(sealed, operation.id.to_string().as_bytes()).ok()?;
    Secrets::from_octets(&opened)
}
