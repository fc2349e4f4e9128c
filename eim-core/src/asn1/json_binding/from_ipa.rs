//! Bodies that an IPA sends.

use serde_json::Value;

use super::body::{Body, Members, from_base64, mandatory, to_base64};
use super::{EsipaFunction, JsonBindingError, status};
use crate::asn1::door::{decode, decode_eim_package_result, encode};
use crate::asn1::error::EncodeError;
use crate::asn1::esipa_message::EsipaMessageFromIpaToEim;
use crate::asn1::esipa_package::{EPRAndNotifications, GetEimPackageRequest, ProvideEimPackageResult};
use crate::asn1::esipa_relay::{
    AuthenticateClientRequestEsipa, CancelSessionRequestEsipa, GetBoundProfilePackageRequestEsipa,
    InitiateAuthenticationRequestEsipa,
};
use crate::asn1::esipa_transfer::TransferEimPackageResponse;
use crate::asn1::handle_notification::HandleNotificationEsipa;
use crate::asn1::notification::PendingNotification;
use crate::asn1::primitive::{Null, OctetString};
use crate::asn1::raw::{Lenient, Raw};
use crate::asn1::tlv::assemble;
use crate::asn1::wire::context;

/// Reads the body that an IPA wrote for a function.
///
/// An eidValue that is missing gives `None`, one that is not 32 digits an empty one: the functions answer missingEid(4)
/// and invalidEid(3) to them.
///
/// # Errors
/// [`JsonBindingError`] for a body that is no such message.
pub fn json_request_to_message(
    function: EsipaFunction,
    body: &[u8],
) -> Result<EsipaMessageFromIpaToEim, JsonBindingError> {
    use EsipaMessageFromIpaToEim as Message;
    let members = Members::parse(body)?;
    Ok(match function {
        EsipaFunction::InitiateAuthentication => {
            Message::InitiateAuthenticationRequestEsipa(InitiateAuthenticationRequestEsipa {
                euicc_challenge: mandatory("euiccChallenge", members.octet_string("euiccChallenge")?)?,
                smdp_address: members.text("smdpAddress")?.map(str::to_owned),
                euicc_info1: members.object("euiccInfo1")?,
                eim_transaction_id: members.id("eimTransactionId")?,
            })
        }
        EsipaFunction::AuthenticateClient => Message::AuthenticateClientRequestEsipa(AuthenticateClientRequestEsipa {
            transaction_id: mandatory("transactionId", members.id("transactionId")?)?,
            authenticate_server_response: mandatory(
                "authenticateServerResponse",
                members.object("authenticateServerResponse")?,
            )?,
        }),
        EsipaFunction::GetBoundProfilePackage => {
            Message::GetBoundProfilePackageRequestEsipa(GetBoundProfilePackageRequestEsipa {
                transaction_id: mandatory("transactionId", members.id("transactionId")?)?,
                prepare_download_response: mandatory(
                    "prepareDownloadResponse",
                    members.object("prepareDownloadResponse")?,
                )?,
            })
        }
        EsipaFunction::GetEimPackage => Message::GetEimPackageRequest(GetEimPackageRequest {
            eid_value: eid_value(&members),
            notify_state_change: members.flag("notifyStateChange")?,
            state_change_cause: members.integer("stateChangeCause")?,
            r_plmn: match members.octet_string("rPlmn")? {
                Some(plmn) => Some(plmn),
                None => members.octet_string("rPLMN")?,
            },
        }),
        EsipaFunction::ProvideEimPackageResult => Message::ProvideEimPackageResult(provided(&members)?),
        EsipaFunction::HandleNotification => Message::HandleNotificationEsipa(handled(&members)?),
        EsipaFunction::CancelSession => Message::CancelSessionRequestEsipa(CancelSessionRequestEsipa {
            transaction_id: mandatory("transactionId", members.id("transactionId")?)?,
            cancel_session_response: mandatory("cancelSessionResponse", members.object("cancelSessionResponse")?)?,
        }),
        EsipaFunction::TransferEimPackage => Message::TransferEimPackageResponse(transferred(&members)?),
    })
}

/// The EID as octets; an empty one for anything but 32 decimal digits.
fn eid_value(members: &Members) -> Option<OctetString> {
    let digits = match members.value("eidValue")? {
        Value::String(text) if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit()) => text.as_str(),
        _ => "",
    };
    Some(OctetString::from_vec(hex::decode(digits).unwrap_or_default()))
}

/// The eidValue member wins over one inside a whole BF50 (T22).
fn provided(members: &Members) -> Result<ProvideEimPackageResult, JsonBindingError> {
    let member = "eimPackageResult";
    let octets = mandatory(member, members.octets(member)?)?;
    let result = decode_eim_package_result(&octets).map_err(|cause| JsonBindingError::Object { member, cause })?;
    Ok(ProvideEimPackageResult { eid_value: eid_value(members).or(result.eid_value), ..result })
}

fn handled(members: &Members) -> Result<HandleNotificationEsipa, JsonBindingError> {
    let (notification, result) = ("pendingNotification", "provideEimPackageResult");
    match (members.octets(notification)?, members.octets(result)?) {
        (Some(octets), None) => {
            read_notification(notification, &octets).map(HandleNotificationEsipa::PendingNotification)
        }
        (None, Some(octets)) => decode_eim_package_result(&octets)
            .map(HandleNotificationEsipa::ProvideEimPackageResult)
            .map_err(|cause| JsonBindingError::Object { member: result, cause }),
        (None, None) => Err(JsonBindingError::Missing { member: notification }),
        (Some(_), Some(_)) => {
            Err(JsonBindingError::Member { member: result, reason: "stands beside pendingNotification" })
        }
    }
}

fn read_notification(
    member: &'static str,
    octets: &[u8],
) -> Result<Lenient<Raw<PendingNotification>>, JsonBindingError> {
    decode(octets).map_err(|cause| JsonBindingError::Object { member, cause })
}

fn transferred(members: &Members) -> Result<Lenient<TransferEimPackageResponse>, JsonBindingError> {
    for member in ["euiccPackageResult", "ipaEuiccDataResponse"] {
        if let Some(octets) = members.octets(member)? {
            let whole = assemble(context(78), true, &octets);
            return decode(&whole).map_err(|cause| JsonBindingError::Object { member, cause });
        }
    }
    if let Some(Value::Object(both)) = members.value("ePRAndNotifications") {
        let both = Members::of(both);
        let result = EPRAndNotifications {
            euicc_package_result: mandatory("euiccPackageResult", both.object("euiccPackageResult")?)?,
            notification_list: notification_list(&both)?,
        };
        return Ok(TransferEimPackageResponse::EPRAndNotifications(result).into());
    }
    if let Some(both) = members.object("ePRAndNotifications")? {
        return Ok(TransferEimPackageResponse::EPRAndNotifications(both).into());
    }
    if let Some(code) = members.integer("eimPackageError")?.filter(|code| *code != 0) {
        return Ok(TransferEimPackageResponse::EimPackageError(code).into());
    }
    match members.value("eimPackageReceived") {
        None | Some(Value::Bool(false)) => Err(JsonBindingError::Missing { member: "euiccPackageResult" }),
        Some(_) => Ok(TransferEimPackageResponse::EimPackageReceived(Null).into()),
    }
}

/// A list of base64 texts, or one base64 text of the whole `A0`.
fn notification_list(members: &Members) -> Result<Vec<Lenient<Raw<PendingNotification>>>, JsonBindingError> {
    let member = "notificationList";
    let wrong = JsonBindingError::Member { member, reason: "not base64" };
    match members.value(member) {
        None => Ok(Vec::new()),
        Some(Value::Array(entries)) => entries
            .iter()
            .map(|entry| read_notification(member, &from_base64(member, entry.as_str().ok_or(wrong.clone())?)?))
            .collect(),
        Some(Value::String(text)) => {
            let octets = from_base64(member, text)?;
            crate::asn1::door::decode_contents(&octets).map_err(|cause| JsonBindingError::Object { member, cause })
        }
        Some(_) => Err(wrong),
    }
}

/// Writes the body that an IPA sends, and names its function.
///
/// # Errors
/// [`EncodeError`] when a part has no encoding.
pub fn message_to_json_request(message: &EsipaMessageFromIpaToEim) -> Result<(EsipaFunction, Value), EncodeError> {
    use EsipaMessageFromIpaToEim as Message;
    let body = Body::new();
    Ok(match message {
        Message::InitiateAuthenticationRequestEsipa(request) => (
            EsipaFunction::InitiateAuthentication,
            body.octets("euiccChallenge", &request.euicc_challenge)
                .put_some("smdpAddress", request.smdp_address.as_deref())
                .object_some("euiccInfo1", request.euicc_info1.as_ref())?
                .id("eimTransactionId", request.eim_transaction_id.as_ref())
                .build(),
        ),
        Message::AuthenticateClientRequestEsipa(request) => (
            EsipaFunction::AuthenticateClient,
            body.id("transactionId", Some(&request.transaction_id))
                .octets("authenticateServerResponse", request.authenticate_server_response.octets())
                .build(),
        ),
        Message::GetBoundProfilePackageRequestEsipa(request) => (
            EsipaFunction::GetBoundProfilePackage,
            body.id("transactionId", Some(&request.transaction_id))
                .octets("prepareDownloadResponse", request.prepare_download_response.octets())
                .build(),
        ),
        Message::CancelSessionRequestEsipa(request) => (
            EsipaFunction::CancelSession,
            body.id("transactionId", Some(&request.transaction_id))
                .octets("cancelSessionResponse", request.cancel_session_response.octets())
                .build(),
        ),
        Message::GetEimPackageRequest(request) => (
            EsipaFunction::GetEimPackage,
            body.put_some("eidValue", request.eid_value.as_ref().map(hex::encode))
                .put_some("notifyStateChange", request.notify_state_change.map(|_| true))
                .put_some("stateChangeCause", request.state_change_cause)
                .put_some("rPlmn", request.r_plmn.as_ref().map(|plmn| to_base64(plmn)))
                .build(),
        ),
        Message::ProvideEimPackageResult(provided) => (
            EsipaFunction::ProvideEimPackageResult,
            body.put_some("eidValue", provided.eid_value.as_ref().map(hex::encode))
                .object("eimPackageResult", &provided.eim_package_result)?
                .build(),
        ),
        Message::HandleNotificationEsipa(handled) => (
            EsipaFunction::HandleNotification,
            match handled {
                HandleNotificationEsipa::PendingNotification(notification) => {
                    body.object("pendingNotification", notification)?
                }
                HandleNotificationEsipa::ProvideEimPackageResult(result) => {
                    body.object("provideEimPackageResult", result)?
                }
            }
            .build(),
        ),
        Message::TransferEimPackageResponse(response) => {
            (EsipaFunction::TransferEimPackage, transfer_response(body.put("header", status::success()), response)?)
        }
    })
}

fn transfer_response(body: Body, response: &Lenient<TransferEimPackageResponse>) -> Result<Value, EncodeError> {
    use TransferEimPackageResponse as Response;
    let Some(response) = response.known() else {
        return Err(EncodeError { reason: "an unknown arm has no member in JSON".to_owned() });
    };
    Ok(match response {
        Response::EuiccPackageResult(result) => body.object("euiccPackageResult", result)?,
        Response::EPRAndNotifications(both) => {
            let list: Result<Vec<Value>, EncodeError> =
                both.notification_list.iter().map(|entry| encode(entry).map(|der| to_base64(&der).into())).collect();
            let inside =
                Body::new().object("euiccPackageResult", &both.euicc_package_result)?.put("notificationList", list?);
            body.put("ePRAndNotifications", inside.build())
        }
        Response::IpaEuiccDataResponse(data) => body.object("ipaEuiccDataResponse", data)?,
        Response::EimPackageReceived(Null) | Response::EimPackageReceivedWithCid(_) => {
            body.put("eimPackageReceived", true)
        }
        Response::EimPackageError(code) => body.put("eimPackageError", *code),
        Response::EimPackageErrorWithCid(error) => body.put("eimPackageError", error.eim_package_error),
    }
    .build())
}
