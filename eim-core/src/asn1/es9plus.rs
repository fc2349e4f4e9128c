//! The ASN.1 binding of ES9+' and ES11' (SGP.22 v2.5 6.6, annex H).

use rasn::types::Tag;
use rasn::{AsnType, Encode, Encoder};
use serde::{Deserialize, Serialize};

use super::bound_profile_package::BoundProfilePackage;
use super::cancel_session::CancelSessionResponse;
use super::certificate::Certificate;
use super::error::DecodeError;
use super::euicc_info::EUICCInfo1;
use super::mutual_authentication::{AuthenticateServerResponse, ServerSigned1};
use super::notification::PendingNotification;
use super::prepare_download::{PrepareDownloadResponse, SmdpSigned2};
use super::primitive::{Empty, OctetString, Octets, SubjectKeyIdentifier, TransactionId};
use super::profile_info::StoreMetadataRequest;
use super::raw::Raw;
use super::tlv::Tlv;
use super::wire::{
    Fields, Wire, application, choice, context, rasn_decode, read_any, read_explicit, sequence, universal,
};

/// RemoteProfileProvisioningRequest, first octets `A2{arm}` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 2)))]
#[serde(rename_all = "camelCase")]
pub enum RemoteProfileProvisioningRequest {
    /// `BF39` InitiateAuthenticationRequest.
    #[rasn(tag(context, 57))]
    InitiateAuthenticationRequest(InitiateAuthenticationRequest),
    /// `BF3B` AuthenticateClientRequest.
    #[rasn(tag(context, 59))]
    AuthenticateClientRequest(AuthenticateClientRequest),
    /// `BF3A` GetBoundProfilePackageRequest.
    #[rasn(tag(context, 58))]
    GetBoundProfilePackageRequest(GetBoundProfilePackageRequest),
    /// `BF41` CancelSessionRequestEs9.
    #[rasn(tag(context, 65))]
    CancelSessionRequestEs9(CancelSessionRequestEs9),
    /// `BF3D` HandleNotification.
    #[rasn(tag(context, 61))]
    HandleNotification(HandleNotification),
}

choice!(RemoteProfileProvisioningRequest = context(2); {
    InitiateAuthenticationRequest: implicit(context(57)),
    AuthenticateClientRequest: implicit(context(59)),
    GetBoundProfilePackageRequest: implicit(context(58)),
    CancelSessionRequestEs9: implicit(context(65)),
    HandleNotification: implicit(context(61)),
});

/// RemoteProfileProvisioningResponse, first octets `A2{arm}` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 2)))]
#[serde(rename_all = "camelCase")]
pub enum RemoteProfileProvisioningResponse {
    /// `BF39{arm}` InitiateAuthenticationResponse.
    #[rasn(tag(context, 57))]
    InitiateAuthenticationResponse(InitiateAuthenticationResponse),
    /// `BF3B{arm}` AuthenticateClientResponseEs9.
    #[rasn(tag(context, 59))]
    AuthenticateClientResponseEs9(AuthenticateClientResponseEs9),
    /// `BF3A{arm}` GetBoundProfilePackageResponse.
    #[rasn(tag(context, 58))]
    GetBoundProfilePackageResponse(GetBoundProfilePackageResponse),
    /// `BF41{arm}` CancelSessionResponseEs9.
    #[rasn(tag(context, 65))]
    CancelSessionResponseEs9(CancelSessionResponseEs9),
    /// `BF40{arm}` AuthenticateClientResponseEs11.
    #[rasn(tag(context, 64))]
    AuthenticateClientResponseEs11(AuthenticateClientResponseEs11),
}

choice!(RemoteProfileProvisioningResponse = context(2); {
    InitiateAuthenticationResponse: implicit(context(57)),
    AuthenticateClientResponseEs9: implicit(context(59)),
    GetBoundProfilePackageResponse: implicit(context(58)),
    CancelSessionResponseEs9: implicit(context(65)),
    AuthenticateClientResponseEs11: implicit(context(64)),
});

/// InitiateAuthenticationRequest, first octets `BF39` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 57))]
pub struct InitiateAuthenticationRequest {
    /// `81` OCTET STRING (16).
    #[rasn(tag(context, 1))]
    #[serde(rename = "euiccChallenge")]
    pub euicc_challenge: Octets<16, 16>,
    /// `83` UTF8String.
    #[rasn(tag(context, 3))]
    #[serde(rename = "smdpAddress")]
    pub smdp_address: String,
    /// `BF20` EUICCInfo1.
    #[rasn(tag(context, 32))]
    #[serde(rename = "euiccInfo1")]
    pub euicc_info1: Raw<EUICCInfo1>,
}

sequence!(InitiateAuthenticationRequest = context(57); {
    euicc_challenge: required(context(1)),
    smdp_address: required(context(3)),
    euicc_info1: required(context(32)),
});

/// InitiateAuthenticationResponse, first octets `BF39{arm}` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 57)))]
#[serde(rename_all = "camelCase")]
pub enum InitiateAuthenticationResponse {
    /// `A0` InitiateAuthenticationOkEs9.
    #[rasn(tag(context, 0))]
    InitiateAuthenticationOk(InitiateAuthenticationOkEs9),
    /// `81` INTEGER: invalidDpAddress(1), euiccVersionNotSupportedByDp(2), ciPKNotSupported(3).
    #[rasn(tag(context, 1))]
    InitiateAuthenticationError(i64),
}

choice!(InitiateAuthenticationResponse = context(57); {
    InitiateAuthenticationOk: implicit(context(0)),
    InitiateAuthenticationError: implicit(context(1)),
});

/// InitiateAuthenticationOkEs9, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct InitiateAuthenticationOkEs9 {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `30` ServerSigned1.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "serverSigned1")]
    pub server_signed1: Raw<ServerSigned1>,
    /// `5F37` OCTET STRING.
    #[rasn(tag(application, 55))]
    #[serde(rename = "serverSignature1")]
    pub server_signature1: OctetString,
    /// `04` OCTET STRING.
    #[rasn(tag(universal, 4))]
    #[serde(rename = "euiccCiPKIdToBeUsed")]
    pub euicc_ci_pk_id_to_be_used: SubjectKeyIdentifier,
    /// `30` Certificate.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "serverCertificate")]
    pub server_certificate: Certificate,
}

sequence!(InitiateAuthenticationOkEs9 = Tag::SEQUENCE; {
    transaction_id: required(context(0)),
    server_signed1: required(universal(16)),
    server_signature1: required(application(55)),
    euicc_ci_pk_id_to_be_used: required(universal(4)),
    server_certificate: required(universal(16)),
});

/// AuthenticateClientRequest, first octets `BF3B` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 59))]
pub struct AuthenticateClientRequest {
    /// `80` OCTET STRING (1..16): RSP session id.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `BF38{arm}` AuthenticateServerResponse.
    #[rasn(tag(context, 56))]
    #[serde(rename = "authenticateServerResponse")]
    pub authenticate_server_response: Raw<AuthenticateServerResponse>,
}

sequence!(AuthenticateClientRequest = context(59); {
    transaction_id: required(context(0)),
    authenticate_server_response: required(context(56)),
});

/// AuthenticateClientResponseEs9, first octets `BF3B{arm}` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 59)))]
#[serde(rename_all = "camelCase")]
pub enum AuthenticateClientResponseEs9 {
    /// `A0` AuthenticateClientOk.
    #[rasn(tag(context, 0))]
    AuthenticateClientOk(AuthenticateClientOk),
    /// `81` INTEGER: eumCertificateInvalid(1), eumCertificateExpired(2), euiccCertificateInvalid(3),
    /// euiccCertificateExpired(4), euiccSignatureInvalid(5), matchingIdRefused(6), eidMismatch(7),
    /// noEligibleProfile(8), ciPKUnknown(9), invalidTransactionId(10), insufficientMemory(11), undefinedError(127).
    #[rasn(tag(context, 1))]
    AuthenticateClientError(i64),
}

choice!(AuthenticateClientResponseEs9 = context(59); {
    AuthenticateClientOk: implicit(context(0)),
    AuthenticateClientError: implicit(context(1)),
});

/// AuthenticateClientOk, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct AuthenticateClientOk {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `BF25` StoreMetadataRequest.
    #[rasn(tag(context, 37))]
    #[serde(rename = "profileMetaData")]
    pub profile_meta_data: Raw<StoreMetadataRequest>,
    /// `30` SmdpSigned2.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "smdpSigned2")]
    pub smdp_signed2: Raw<SmdpSigned2>,
    /// `5F37` OCTET STRING.
    #[rasn(tag(application, 55))]
    #[serde(rename = "smdpSignature2")]
    pub smdp_signature2: OctetString,
    /// `30` Certificate.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "smdpCertificate")]
    pub smdp_certificate: Certificate,
}

sequence!(AuthenticateClientOk = Tag::SEQUENCE; {
    transaction_id: required(context(0)),
    profile_meta_data: required(context(37)),
    smdp_signed2: required(universal(16)),
    smdp_signature2: required(application(55)),
    smdp_certificate: required(universal(16)),
});

/// GetBoundProfilePackageRequest, first octets `BF3A` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 58))]
pub struct GetBoundProfilePackageRequest {
    /// `80` OCTET STRING (1..16): RSP session id.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `BF21{arm}` PrepareDownloadResponse.
    #[rasn(tag(context, 33))]
    #[serde(rename = "prepareDownloadResponse")]
    pub prepare_download_response: Raw<PrepareDownloadResponse>,
}

sequence!(GetBoundProfilePackageRequest = context(58); {
    transaction_id: required(context(0)),
    prepare_download_response: required(context(33)),
});

/// GetBoundProfilePackageResponse, first octets `BF3A{arm}` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 58)))]
#[serde(rename_all = "camelCase")]
pub enum GetBoundProfilePackageResponse {
    /// `A0` GetBoundProfilePackageOk.
    #[rasn(tag(context, 0))]
    GetBoundProfilePackageOk(GetBoundProfilePackageOk),
    /// `81` INTEGER: euiccSignatureInvalid(1), confirmationCodeMissing(2), confirmationCodeRefused(3),
    /// confirmationCodeRetriesExceeded(4), bppRebindingRefused(5), downloadOrderExpired(6), invalidTransactionId(95),
    /// undefinedError(127).
    #[rasn(tag(context, 1))]
    GetBoundProfilePackageError(i64),
}

choice!(GetBoundProfilePackageResponse = context(58); {
    GetBoundProfilePackageOk: implicit(context(0)),
    GetBoundProfilePackageError: implicit(context(1)),
});

/// GetBoundProfilePackageOk, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct GetBoundProfilePackageOk {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `BF36` BoundProfilePackage.
    #[rasn(tag(context, 54))]
    #[serde(rename = "boundProfilePackage")]
    pub bound_profile_package: Raw<BoundProfilePackage>,
}

sequence!(GetBoundProfilePackageOk = Tag::SEQUENCE; {
    transaction_id: required(context(0)),
    bound_profile_package: required(context(54)),
});

/// HandleNotification, first octets `BF3D` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 61))]
pub struct HandleNotification {
    /// `A0{arm}` PendingNotification.
    #[rasn(tag(explicit(context, 0)))]
    #[serde(rename = "pendingNotification")]
    pub pending_notification: PendingNotification,
}

impl Wire for HandleNotification {
    const NAME: &'static str = "HandleNotification";

    fn natural() -> Option<Tag> {
        Some(context(61))
    }

    /// `BF3D{A0{notification}}`; also without A0, as deployed clients send it.
    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        let child = tlv.child()?;
        let wrapped = child.tag == context(0) && child.children()?.len() == 1;
        let pending_notification = if wrapped { read_explicit(child)? } else { read_any(child)? };
        Ok(Self { pending_notification })
    }
}
rasn_decode!(HandleNotification);

/// CancelSessionRequestEs9, first octets `BF41` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 65))]
pub struct CancelSessionRequestEs9 {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `A1{arm}` CancelSessionResponse.
    #[rasn(tag(context, 1))]
    #[serde(rename = "cancelSessionResponse")]
    pub cancel_session_response: Raw<CancelSessionResponse>,
}

impl Wire for CancelSessionRequestEs9 {
    const NAME: &'static str = "CancelSessionRequestEs9";

    fn natural() -> Option<Tag> {
        Some(context(65))
    }

    /// `BF41{80, A1{..}}`; also with the inner BF41 left in or in place of A1 (T20).
    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        let mut fields = Fields::of(Self::NAME, tlv)?;
        let transaction_id = fields.required("transactionId", context(0))?;
        let cancel_session_response = match fields.optional("cancelSessionResponse", context(65))? {
            Some(response) => response,
            None => fields.required("cancelSessionResponse", context(1))?,
        };
        fields.finish()?;
        Ok(Self { transaction_id, cancel_session_response })
    }
}
rasn_decode!(CancelSessionRequestEs9);

/// CancelSessionResponseEs9, first octets `BF41{arm}` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 65)))]
#[serde(rename_all = "camelCase")]
pub enum CancelSessionResponseEs9 {
    /// `A0` CancelSessionOk.
    #[rasn(tag(context, 0))]
    CancelSessionOk(Empty),
    /// `81` INTEGER: invalidTransactionId(1), euiccSignatureInvalid(2), undefinedError(127).
    #[rasn(tag(context, 1))]
    CancelSessionError(i64),
}

choice!(CancelSessionResponseEs9 = context(65); {
    CancelSessionOk: implicit(context(0)),
    CancelSessionError: implicit(context(1)),
});

/// AuthenticateClientResponseEs11, first octets `BF40{arm}` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 64)))]
#[serde(rename_all = "camelCase")]
pub enum AuthenticateClientResponseEs11 {
    /// `A0` AuthenticateClientOkEs11.
    #[rasn(tag(context, 0))]
    AuthenticateClientOk(AuthenticateClientOkEs11),
    /// `81` INTEGER: eumCertificateInvalid(1), eumCertificateExpired(2), euiccCertificateInvalid(3),
    /// euiccCertificateExpired(4), euiccSignatureInvalid(5), eventIdUnknown(6), invalidTransactionId(7),
    /// undefinedError(127).
    #[rasn(tag(context, 1))]
    AuthenticateClientError(i64),
}

choice!(AuthenticateClientResponseEs11 = context(64); {
    AuthenticateClientOk: implicit(context(0)),
    AuthenticateClientError: implicit(context(1)),
});

/// AuthenticateClientOkEs11, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct AuthenticateClientOkEs11 {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `A1` SEQUENCE OF EventEntries.
    #[rasn(tag(context, 1))]
    #[serde(rename = "eventEntries")]
    pub event_entries: Vec<EventEntries>,
}

sequence!(AuthenticateClientOkEs11 = Tag::SEQUENCE; {
    transaction_id: required(context(0)),
    event_entries: required(context(1)),
});

/// EventEntries, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct EventEntries {
    /// `80` UTF8String.
    #[rasn(tag(context, 0))]
    #[serde(rename = "eventId")]
    pub event_id: String,
    /// `81` UTF8String: SM-DP+ (or SM-DS) to contact with eventId as matchingId.
    #[rasn(tag(context, 1))]
    #[serde(rename = "rspServerAddress")]
    pub rsp_server_address: String,
}

sequence!(EventEntries = Tag::SEQUENCE; {
    event_id: required(context(0)),
    rsp_server_address: required(context(1)),
});
