//! Bodies that an eIM sends.

use serde_json::Value;

use super::body::{Body, Members, mandatory};
use super::status::{error_in, failed, failed_with, success};
use super::{EsipaFunction, JsonBindingError};
use crate::asn1::codes::{CodeTable, code};
use crate::asn1::error::EncodeError;
use crate::asn1::esipa_message::EsipaMessageFromEimToIpa;
use crate::asn1::esipa_package::{GetEimPackageResponse, ProvideEimPackageResultResponse};
use crate::asn1::esipa_relay::{
    AuthenticateClientOkDPEsipa, AuthenticateClientOkDSEsipa, AuthenticateClientResponseEsipa,
    CancelSessionResponseEsipa, GetBoundProfilePackageOkEsipa, GetBoundProfilePackageResponseEsipa,
    InitiateAuthenticationOkEsipa, InitiateAuthenticationResponseEsipa,
};
use crate::asn1::esipa_transfer::TransferEimPackageRequest;
use crate::asn1::primitive::Empty;

/// Writes the body that an eIM sends: the header, then the members of the function.
///
/// Errors of the relay functions become status Failed with a status code; errors of the eIM Package functions keep
/// their number in a member, and "nothing queued" is a success. TransferEimPackage, a request, has no header.
///
/// # Errors
/// [`EncodeError`] when a part has no encoding.
pub fn message_to_json_response(message: &EsipaMessageFromEimToIpa) -> Result<Value, EncodeError> {
    use EsipaMessageFromEimToIpa as Message;
    match message {
        Message::InitiateAuthenticationResponseEsipa(response) => initiate_authentication(response),
        Message::AuthenticateClientResponseEsipa(response) => authenticate_client(response),
        Message::GetBoundProfilePackageResponseEsipa(response) => Ok(get_bound_profile_package(response)),
        Message::CancelSessionResponseEsipa(response) => Ok(match response {
            CancelSessionResponseEsipa::CancelSessionOk(_) => ok().build(),
            CancelSessionResponseEsipa::CancelSessionError(code) => refused(CodeTable::CancelSessionError, *code),
        }),
        Message::GetEimPackageResponse(response) => get_eim_package(response),
        Message::ProvideEimPackageResultResponse(response) => provide_eim_package_result(response),
        Message::TransferEimPackageRequest(request) => transfer_eim_package(request),
    }
}

fn ok() -> Body {
    Body::new().put("header", success())
}

fn refused(table: CodeTable, code: i64) -> Value {
    Body::new().put("header", failed_with(table, code)).build()
}

fn initiate_authentication(response: &InitiateAuthenticationResponseEsipa) -> Result<Value, EncodeError> {
    let granted = match response {
        InitiateAuthenticationResponseEsipa::InitiateAuthenticationOkEsipa(granted) => granted,
        InitiateAuthenticationResponseEsipa::InitiateAuthenticationErrorEsipa(code) => {
            return Ok(refused(CodeTable::InitiateAuthenticationErrorEsipa, *code));
        }
    };
    Ok(ok()
        .id("transactionId", granted.transaction_id.as_ref())
        .octets("serverSigned1", granted.server_signed1.octets())
        .signature("serverSignature1", &granted.server_signature1)
        .key_id("euiccCiPKIdentifierToBeUsed", &granted.euicc_ci_pk_identifier_to_be_used)
        .octets("serverCertificate", granted.server_certificate.der())
        .put_some("matchingId", granted.matching_id.as_deref())
        .object_some("ctxParams1", granted.ctx_params1.as_ref())?
        .build())
}

fn authenticate_client(response: &AuthenticateClientResponseEsipa) -> Result<Value, EncodeError> {
    Ok(match response {
        AuthenticateClientResponseEsipa::AuthenticateClientOkDPEsipa(granted) => ok()
            .id("transactionId", granted.transaction_id.as_ref())
            .object_some("profileMetadata", granted.profile_meta_data.as_ref())?
            .octets("smdpSigned2", granted.smdp_signed2.octets())
            .signature("smdpSignature2", &granted.smdp_signature2)
            .octets("smdpCertificate", granted.smdp_certificate.der())
            .put_some("hashCc", granted.hash_cc.as_ref().map(|hash| super::body::to_base64(hash)))
            .build(),
        AuthenticateClientResponseEsipa::AuthenticateClientOkDSEsipa(granted) => ok()
            .id("transactionId", Some(&granted.transaction_id))
            .object_some("profileDownloadTrigger", granted.profile_download_trigger.as_ref())?
            .build(),
        AuthenticateClientResponseEsipa::AuthenticateClientErrorEsipa(code) => {
            refused(CodeTable::AuthenticateClientErrorEsipa, *code)
        }
    })
}

fn get_bound_profile_package(response: &GetBoundProfilePackageResponseEsipa) -> Value {
    match response {
        GetBoundProfilePackageResponseEsipa::GetBoundProfilePackageOkEsipa(granted) => ok()
            .id("transactionId", granted.transaction_id.as_ref())
            .octets("boundProfilePackage", granted.bound_profile_package.octets())
            .build(),
        GetBoundProfilePackageResponseEsipa::GetBoundProfilePackageErrorEsipa(code) => {
            refused(CodeTable::GetBoundProfilePackageErrorEsipa, *code)
        }
    }
}

fn get_eim_package(response: &GetEimPackageResponse) -> Result<Value, EncodeError> {
    Ok(match response {
        GetEimPackageResponse::EuiccPackageRequest(request) => ok().object("euiccPackageRequest", request)?,
        GetEimPackageResponse::IpaEuiccDataRequest(request) => ok().object("ipaEuiccDataRequest", request)?,
        GetEimPackageResponse::ProfileDownloadTriggerRequest(request) => {
            ok().object("profileDownloadTriggerRequest", request)?
        }
        GetEimPackageResponse::EimPackageError(error) => {
            let nothing_queued = *error == code::get_eim_package_error::NO_EIM_PACKAGE_AVAILABLE;
            let header = if nothing_queued { success() } else { failed() };
            Body::new().put("header", header).put("eimPackageError", *error)
        }
    }
    .build())
}

fn provide_eim_package_result(response: &ProvideEimPackageResultResponse) -> Result<Value, EncodeError> {
    Ok(match response {
        ProvideEimPackageResultResponse::EimAcknowledgements(list) => ok().object("eimAcknowledgements", list)?,
        ProvideEimPackageResultResponse::EmptyResponse(_) => ok(),
        ProvideEimPackageResultResponse::ProvideEimPackageResultError(code) => {
            Body::new().put("header", failed()).put("provideEimPackageResultError", *code)
        }
    }
    .build())
}

fn transfer_eim_package(request: &TransferEimPackageRequest) -> Result<Value, EncodeError> {
    let body = Body::new();
    Ok(match request {
        TransferEimPackageRequest::EuiccPackageRequest(request) => body.object("euiccPackageRequest", request)?,
        TransferEimPackageRequest::IpaEuiccDataRequest(request) => body.object("ipaEuiccDataRequest", request)?,
        TransferEimPackageRequest::EimAcknowledgements(list) => body.object("eimAcknowledgements", list)?,
        TransferEimPackageRequest::ProfileDownloadTriggerRequest(request) => {
            body.object("profileDownloadTriggerRequest", request)?
        }
    }
    .build())
}

/// Reads the body that an eIM wrote for a function.
///
/// # Errors
/// [`JsonBindingError`] for a body that is no such message; [`JsonBindingError::NoBody`] for HandleNotification.
pub fn json_response_to_message(
    function: EsipaFunction,
    body: &[u8],
) -> Result<EsipaMessageFromEimToIpa, JsonBindingError> {
    use EsipaMessageFromEimToIpa as Message;
    if function == EsipaFunction::HandleNotification {
        return Err(JsonBindingError::NoBody { function });
    }
    let members = Members::parse(body)?;
    Ok(match function {
        EsipaFunction::InitiateAuthentication => {
            Message::InitiateAuthenticationResponseEsipa(read_initiate_authentication(&members)?)
        }
        EsipaFunction::AuthenticateClient => {
            Message::AuthenticateClientResponseEsipa(read_authenticate_client(&members)?)
        }
        EsipaFunction::GetBoundProfilePackage => {
            Message::GetBoundProfilePackageResponseEsipa(read_get_bound_profile_package(&members)?)
        }
        EsipaFunction::CancelSession => Message::CancelSessionResponseEsipa(
            match error_in(members.value("header"), CodeTable::CancelSessionError) {
                Some(code) => CancelSessionResponseEsipa::CancelSessionError(code),
                None => CancelSessionResponseEsipa::CancelSessionOk(Empty {}),
            },
        ),
        EsipaFunction::GetEimPackage => Message::GetEimPackageResponse(read_get_eim_package(&members)?),
        EsipaFunction::ProvideEimPackageResult => {
            Message::ProvideEimPackageResultResponse(read_provide_eim_package_result(&members)?)
        }
        EsipaFunction::TransferEimPackage => Message::TransferEimPackageRequest(read_transfer_eim_package(&members)?),
        EsipaFunction::HandleNotification => return Err(JsonBindingError::NoBody { function }),
    })
}

fn read_initiate_authentication(members: &Members) -> Result<InitiateAuthenticationResponseEsipa, JsonBindingError> {
    if let Some(code) = error_in(members.value("header"), CodeTable::InitiateAuthenticationErrorEsipa) {
        return Ok(InitiateAuthenticationResponseEsipa::InitiateAuthenticationErrorEsipa(code));
    }
    let key_id = match members.key_id("euiccCiPKIdentifierToBeUsed")? {
        Some(key_id) => Some(key_id),
        None => members.key_id("euiccCiPKIdToBeUsed")?,
    };
    Ok(InitiateAuthenticationResponseEsipa::InitiateAuthenticationOkEsipa(InitiateAuthenticationOkEsipa {
        transaction_id: members.id("transactionId")?,
        server_signed1: mandatory("serverSigned1", members.object("serverSigned1")?)?,
        server_signature1: mandatory("serverSignature1", members.signature("serverSignature1")?)?,
        euicc_ci_pk_identifier_to_be_used: mandatory("euiccCiPKIdentifierToBeUsed", key_id)?,
        server_certificate: mandatory("serverCertificate", members.object("serverCertificate")?)?,
        matching_id: members.text("matchingId")?.map(str::to_owned),
        ctx_params1: members.object("ctxParams1")?,
    }))
}

fn read_authenticate_client(members: &Members) -> Result<AuthenticateClientResponseEsipa, JsonBindingError> {
    if let Some(code) = error_in(members.value("header"), CodeTable::AuthenticateClientErrorEsipa) {
        return Ok(AuthenticateClientResponseEsipa::AuthenticateClientErrorEsipa(code));
    }
    let transaction_id = members.id("transactionId")?;
    if members.value("smdpSigned2").is_none() {
        return Ok(AuthenticateClientResponseEsipa::AuthenticateClientOkDSEsipa(AuthenticateClientOkDSEsipa {
            transaction_id: mandatory("transactionId", transaction_id)?,
            profile_download_trigger: members.object("profileDownloadTrigger")?,
        }));
    }
    let profile_meta_data = match members.object("profileMetadata")? {
        Some(metadata) => Some(metadata),
        None => members.object("profileMetaData")?,
    };
    Ok(AuthenticateClientResponseEsipa::AuthenticateClientOkDPEsipa(AuthenticateClientOkDPEsipa {
        transaction_id,
        profile_meta_data,
        smdp_signed2: mandatory("smdpSigned2", members.object("smdpSigned2")?)?,
        smdp_signature2: mandatory("smdpSignature2", members.signature("smdpSignature2")?)?,
        smdp_certificate: mandatory("smdpCertificate", members.object("smdpCertificate")?)?,
        hash_cc: members.octet_string("hashCc")?,
    }))
}

fn read_get_bound_profile_package(members: &Members) -> Result<GetBoundProfilePackageResponseEsipa, JsonBindingError> {
    if let Some(code) = error_in(members.value("header"), CodeTable::GetBoundProfilePackageErrorEsipa) {
        return Ok(GetBoundProfilePackageResponseEsipa::GetBoundProfilePackageErrorEsipa(code));
    }
    Ok(GetBoundProfilePackageResponseEsipa::GetBoundProfilePackageOkEsipa(GetBoundProfilePackageOkEsipa {
        transaction_id: members.id("transactionId")?,
        bound_profile_package: mandatory("boundProfilePackage", members.object("boundProfilePackage")?)?,
    }))
}

/// `eimPackageError` 0 beside a package is no error: one implementation sends it.
fn read_get_eim_package(members: &Members) -> Result<GetEimPackageResponse, JsonBindingError> {
    if let Some(code) = members.integer("eimPackageError")?.filter(|code| *code != 0) {
        return Ok(GetEimPackageResponse::EimPackageError(code));
    }
    if let Some(request) = members.object("euiccPackageRequest")? {
        return Ok(GetEimPackageResponse::EuiccPackageRequest(request));
    }
    if let Some(request) = members.object("ipaEuiccDataRequest")? {
        return Ok(GetEimPackageResponse::IpaEuiccDataRequest(request));
    }
    if let Some(request) = members.object("profileDownloadTriggerRequest")? {
        return Ok(GetEimPackageResponse::ProfileDownloadTriggerRequest(request));
    }
    error_in(members.value("header"), CodeTable::GetEimPackageError)
        .map(GetEimPackageResponse::EimPackageError)
        .ok_or(JsonBindingError::Missing { member: "euiccPackageRequest" })
}

/// `eimPackageError` is accepted for `provideEimPackageResultError`: one implementation sends it.
fn read_provide_eim_package_result(members: &Members) -> Result<ProvideEimPackageResultResponse, JsonBindingError> {
    let error = match members.integer("provideEimPackageResultError")? {
        Some(code) => Some(code),
        None => members.integer("eimPackageError")?,
    };
    let error = error
        .filter(|code| *code != 0)
        .or_else(|| error_in(members.value("header"), CodeTable::ProvideEimPackageResultError));
    if let Some(code) = error {
        return Ok(ProvideEimPackageResultResponse::ProvideEimPackageResultError(code));
    }
    Ok(match members.object("eimAcknowledgements")? {
        Some(list) => ProvideEimPackageResultResponse::EimAcknowledgements(list),
        None => ProvideEimPackageResultResponse::EmptyResponse(Empty {}),
    })
}

fn read_transfer_eim_package(members: &Members) -> Result<TransferEimPackageRequest, JsonBindingError> {
    if let Some(request) = members.object("euiccPackageRequest")? {
        return Ok(TransferEimPackageRequest::EuiccPackageRequest(request));
    }
    if let Some(request) = members.object("ipaEuiccDataRequest")? {
        return Ok(TransferEimPackageRequest::IpaEuiccDataRequest(request));
    }
    if let Some(list) = members.object("eimAcknowledgements")? {
        return Ok(TransferEimPackageRequest::EimAcknowledgements(list));
    }
    match members.object("profileDownloadTriggerRequest")? {
        Some(request) => Ok(TransferEimPackageRequest::ProfileDownloadTriggerRequest(request)),
        None => Err(JsonBindingError::Missing { member: "euiccPackageRequest" }),
    }
}
