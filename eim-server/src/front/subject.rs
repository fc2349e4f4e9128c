//! Whose request a message is, as far as it says so itself: for limits alone, since nobody has proven it.

use crate::limits::Subject;
use eim_core::asn1::{
    self, EsipaMessageFromEimToIpa, EsipaMessageFromIpaToEim, HandleNotificationEsipa,
    InitiateAuthenticationResponseEsipa, ProvideEimPackageResult,
};
use eim_core::ids::Eid;

/// Whose it is: the EID or the session that it names, else the EID that its connection named last. None without either.
pub(super) fn of(message: &EsipaMessageFromIpaToEim, last_named: Option<Eid>) -> Option<Subject<'_>> {
    named_in(message).or_else(|| last_named.map(Subject::Eid))
}

fn named_in(message: &EsipaMessageFromIpaToEim) -> Option<Subject<'_>> {
    use EsipaMessageFromIpaToEim as Message;
    match message {
        Message::GetEimPackageRequest(request) => eid(request.eid_value.as_deref()?),
        Message::ProvideEimPackageResult(result)
        | Message::HandleNotificationEsipa(HandleNotificationEsipa::ProvideEimPackageResult(result)) => {
            of_result(result)
        }
        Message::AuthenticateClientRequestEsipa(request) => Some(Subject::Session(&request.transaction_id)),
        Message::GetBoundProfilePackageRequestEsipa(request) => Some(Subject::Session(&request.transaction_id)),
        Message::CancelSessionRequestEsipa(request) => Some(Subject::Session(&request.transaction_id)),
        Message::HandleNotificationEsipa(_)
        | Message::InitiateAuthenticationRequestEsipa(_)
        | Message::TransferEimPackageResponse(_) => None,
    }
}

fn of_result(result: &ProvideEimPackageResult) -> Option<Subject<'_>> {
    match result.eid_value.as_deref() {
        Some(named) => eid(named),
        None => eid(&asn1::eid_hint(result)?),
    }
}

fn eid(octets: &[u8]) -> Option<Subject<'static>> {
    Eid::from_octets(octets).ok().map(Subject::Eid)
}

/// Whether an answer needs an SM-DP+ or SM-DS.
pub(super) const fn is_relayed(message: &EsipaMessageFromIpaToEim) -> bool {
    use EsipaMessageFromIpaToEim as Message;
    matches!(
        message,
        Message::InitiateAuthenticationRequestEsipa(_)
            | Message::AuthenticateClientRequestEsipa(_)
            | Message::GetBoundProfilePackageRequestEsipa(_)
            | Message::CancelSessionRequestEsipa(_)
    )
}

/// The session that an answer begins.
pub(super) fn begun_by(answer: &EsipaMessageFromEimToIpa) -> Option<Subject<'_>> {
    match answer {
        EsipaMessageFromEimToIpa::InitiateAuthenticationResponseEsipa(
            InitiateAuthenticationResponseEsipa::InitiateAuthenticationOkEsipa(begun),
        ) => Some(Subject::Session(&begun.server_signed1.value().transaction_id)),
        _ => None,
    }
}
