//! The functions that relay to SM-DP+ and SM-DS. No download session exists in this version, so each answers that it
//! does not know the session (SGP.32 v1.2 5.14.1 to 5.14.3, 5.14.8).

use crate::asn1::{
    AuthenticateClientResponseEsipa, CancelSessionResponseEsipa, EsipaMessageFromEimToIpa, EsipaMessageFromIpaToEim,
    GetBoundProfilePackageResponseEsipa, InitiateAuthenticationResponseEsipa,
};

const INVALID_EIM_TRANSACTION_ID: i64 = 52;
const AUTHENTICATE_CLIENT_INVALID_TRANSACTION_ID: i64 = 10;
const GET_BPP_INVALID_TRANSACTION_ID: i64 = 95;
const CANCEL_SESSION_INVALID_TRANSACTION_ID: i64 = 1;
const UNDEFINED_ERROR: i64 = 127;

/// The error that fits the function.
pub(super) fn answer(message: &EsipaMessageFromIpaToEim) -> EsipaMessageFromEimToIpa {
    use EsipaMessageFromEimToIpa as Answer;
    use EsipaMessageFromIpaToEim as Message;
    match message {
        Message::AuthenticateClientRequestEsipa(_) => Answer::AuthenticateClientResponseEsipa(
            AuthenticateClientResponseEsipa::AuthenticateClientErrorEsipa(AUTHENTICATE_CLIENT_INVALID_TRANSACTION_ID),
        ),
        Message::GetBoundProfilePackageRequestEsipa(_) => Answer::GetBoundProfilePackageResponseEsipa(
            GetBoundProfilePackageResponseEsipa::GetBoundProfilePackageErrorEsipa(GET_BPP_INVALID_TRANSACTION_ID),
        ),
        Message::CancelSessionRequestEsipa(_) => Answer::CancelSessionResponseEsipa(
            CancelSessionResponseEsipa::CancelSessionError(CANCEL_SESSION_INVALID_TRANSACTION_ID),
        ),
        Message::InitiateAuthenticationRequestEsipa(request) => {
            let code = if request.eim_transaction_id.is_some() { INVALID_EIM_TRANSACTION_ID } else { UNDEFINED_ERROR };
            Answer::InitiateAuthenticationResponseEsipa(
                InitiateAuthenticationResponseEsipa::InitiateAuthenticationErrorEsipa(code),
            )
        }
        _ => Answer::InitiateAuthenticationResponseEsipa(
            InitiateAuthenticationResponseEsipa::InitiateAuthenticationErrorEsipa(UNDEFINED_ERROR),
        ),
    }
}
