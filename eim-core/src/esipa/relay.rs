//! The functions that relay to SM-DP+ and SM-DS. No download session exists in this version, so each answers that it
//! does not know the session (SGP.32 v1.2 6.4.1.1 to 6.4.1.3, 6.4.1.8).

use crate::asn1::code::{
    authenticate_client_error_esipa, cancel_session_error, get_bound_profile_package_error_esipa,
    initiate_authentication_error_esipa,
};
use crate::asn1::{
    AuthenticateClientResponseEsipa, CancelSessionResponseEsipa, EsipaMessageFromEimToIpa, EsipaMessageFromIpaToEim,
    GetBoundProfilePackageResponseEsipa, InitiateAuthenticationResponseEsipa,
};

/// The error that fits the function.
pub(super) fn answer(message: &EsipaMessageFromIpaToEim) -> EsipaMessageFromEimToIpa {
    use EsipaMessageFromEimToIpa as Answer;
    use EsipaMessageFromIpaToEim as Message;
    match message {
        Message::AuthenticateClientRequestEsipa(_) => {
            Answer::AuthenticateClientResponseEsipa(AuthenticateClientResponseEsipa::AuthenticateClientErrorEsipa(
                authenticate_client_error_esipa::INVALID_TRANSACTION_ID,
            ))
        }
        Message::GetBoundProfilePackageRequestEsipa(_) => Answer::GetBoundProfilePackageResponseEsipa(
            GetBoundProfilePackageResponseEsipa::GetBoundProfilePackageErrorEsipa(
                get_bound_profile_package_error_esipa::INVALID_TRANSACTION_ID,
            ),
        ),
        Message::CancelSessionRequestEsipa(_) => Answer::CancelSessionResponseEsipa(
            CancelSessionResponseEsipa::CancelSessionError(cancel_session_error::INVALID_TRANSACTION_ID),
        ),
        Message::InitiateAuthenticationRequestEsipa(request) => {
            let code = if request.eim_transaction_id.is_some() {
                initiate_authentication_error_esipa::INVALID_EIM_TRANSACTION_ID
            } else {
                initiate_authentication_error_esipa::UNDEFINED_ERROR
            };
            Answer::InitiateAuthenticationResponseEsipa(
                InitiateAuthenticationResponseEsipa::InitiateAuthenticationErrorEsipa(code),
            )
        }
        _ => Answer::InitiateAuthenticationResponseEsipa(
            InitiateAuthenticationResponseEsipa::InitiateAuthenticationErrorEsipa(
                initiate_authentication_error_esipa::UNDEFINED_ERROR,
            ),
        ),
    }
}
