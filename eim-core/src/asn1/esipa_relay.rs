//! The RSP relay functions of ESipa: indirect download (SGP.32 v1.2 6.4.1.1 to 6.4.1.3, 6.4.1.8).

use rasn::types::Tag;
use rasn::{AsnType, Encode, Encoder};
use serde::{Deserialize, Serialize};

use super::bound_profile_package::BoundProfilePackage;
use super::cancel_session::CancelSessionResponse;
use super::certificate::Certificate;
use super::download_trigger::ProfileDownloadTriggerRequest;
use super::error::DecodeError;
use super::euicc_info::EUICCInfo1;
use super::mutual_authentication::{AuthenticateServerResponse, CtxParams1, ServerSigned1};
use super::prepare_download::{PrepareDownloadResponse, SmdpSigned2};
use super::primitive::{Empty, OctetString, Octets, TransactionId};
use super::profile_info::StoreMetadataRequest;
use super::raw::Raw;
use super::tlv::Tlv;
use super::wire::{Fields, Wire, application, choice, context, rasn_decode, sequence, universal};

/// InitiateAuthenticationRequestEsipa, first octets `BF39` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 57))]
pub struct InitiateAuthenticationRequestEsipa {
    /// `81` OCTET STRING (16).
    #[rasn(tag(context, 1))]
    #[serde(rename = "euiccChallenge")]
    pub euicc_challenge: Octets<16, 16>,
    /// `83` UTF8String: absent when the eIM holds the download data.
    #[rasn(tag(context, 3))]
    #[serde(rename = "smdpAddress", default, skip_serializing_if = "Option::is_none")]
    pub smdp_address: Option<String>,
    /// `BF20` EUICCInfo1: may be absent if the eIM has it.
    #[rasn(tag(context, 32))]
    #[serde(rename = "euiccInfo1", default, skip_serializing_if = "Option::is_none")]
    pub euicc_info1: Option<Raw<EUICCInfo1>>,
    /// `82` OCTET STRING (1..16): AFTER BF20.
    #[rasn(tag(context, 2))]
    #[serde(rename = "eimTransactionId", default, skip_serializing_if = "Option::is_none")]
    pub eim_transaction_id: Option<TransactionId>,
}

sequence!(InitiateAuthenticationRequestEsipa = context(57); {
    euicc_challenge: required(context(1)),
    smdp_address: optional(context(3)),
    euicc_info1: optional(context(32)),
    eim_transaction_id: optional(context(2)),
});

/// InitiateAuthenticationResponseEsipa, first octets `BF39{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 57)))]
#[serde(rename_all = "camelCase")]
pub enum InitiateAuthenticationResponseEsipa {
    /// `A0` InitiateAuthenticationOkEsipa.
    #[rasn(tag(context, 0))]
    InitiateAuthenticationOkEsipa(InitiateAuthenticationOkEsipa),
    /// `81` INTEGER: invalidDpAddress(1), euiccVersionNotSupportedByDp(2), ciPKIdNotSupported(3),
    /// smdpAddressMismatch(50), smdpOidMismatch(51), invalidEimTransactionId(52), undefinedError(127).
    #[rasn(tag(context, 1))]
    InitiateAuthenticationErrorEsipa(i64),
}

choice!(InitiateAuthenticationResponseEsipa = context(57); {
    InitiateAuthenticationOkEsipa: implicit(context(0)),
    InitiateAuthenticationErrorEsipa: implicit(context(1)),
});

/// InitiateAuthenticationOkEsipa, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct InitiateAuthenticationOkEsipa {
    /// `80` OCTET STRING (1..16): may be dropped with minimizeEsipaBytes (it is inside serverSigned1).
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId", default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<TransactionId>,
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
    #[serde(rename = "euiccCiPKIdentifierToBeUsed")]
    pub euicc_ci_pk_identifier_to_be_used: OctetString,
    /// `30` Certificate.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "serverCertificate")]
    pub server_certificate: Certificate,
    /// `0C` UTF8String: given when the eIM keeps the activation code.
    #[rasn(tag(universal, 12))]
    #[serde(rename = "matchingId", default, skip_serializing_if = "Option::is_none")]
    pub matching_id: Option<String>,
    /// `A2{arm}` CtxParams1: A2{A0{..}}: eIM built it (eimCtxParams1Generation).
    #[rasn(tag(explicit(context, 2)))]
    #[serde(rename = "ctxParams1", default, skip_serializing_if = "Option::is_none")]
    pub ctx_params1: Option<CtxParams1>,
}

sequence!(InitiateAuthenticationOkEsipa = Tag::SEQUENCE; {
    transaction_id: optional(context(0)),
    server_signed1: required(universal(16)),
    server_signature1: required(application(55)),
    euicc_ci_pk_identifier_to_be_used: required(universal(4)),
    server_certificate: required(universal(16)),
    matching_id: optional(universal(12)),
    ctx_params1: optional_explicit(context(2)),
});

/// AuthenticateClientRequestEsipa, first octets `BF3B` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 59))]
pub struct AuthenticateClientRequestEsipa {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `BF38{arm}` AuthenticateServerResponse.
    #[rasn(tag(context, 56))]
    #[serde(rename = "authenticateServerResponse")]
    pub authenticate_server_response: Raw<AuthenticateServerResponse>,
}

sequence!(AuthenticateClientRequestEsipa = context(59); {
    transaction_id: required(context(0)),
    authenticate_server_response: required(context(56)),
});

/// AuthenticateClientResponseEsipa, first octets `BF3B{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 59)))]
#[serde(rename_all = "camelCase")]
pub enum AuthenticateClientResponseEsipa {
    /// `A0` AuthenticateClientOkDPEsipa.
    #[rasn(tag(context, 0))]
    AuthenticateClientOkDPEsipa(AuthenticateClientOkDPEsipa),
    /// `A1` AuthenticateClientOkDSEsipa.
    #[rasn(tag(context, 1))]
    AuthenticateClientOkDSEsipa(AuthenticateClientOkDSEsipa),
    /// `82` INTEGER: eumCertificateInvalid(1), eumCertificateExpired(2), euiccCertificateInvalid(3),
    /// euiccCertificateExpired(4), euiccSignatureInvalid(5), matchingIdRefused(6), eidMismatch(7),
    /// noEligibleProfile(8), ciPKUnknown(9), invalidTransactionId(10), insufficientMemory(11), pprNotAllowed(50),
    /// eventIdUnknown(56), undefinedError(127).
    #[rasn(tag(context, 2))]
    AuthenticateClientErrorEsipa(i64),
}

choice!(AuthenticateClientResponseEsipa = context(59); {
    AuthenticateClientOkDPEsipa: implicit(context(0)),
    AuthenticateClientOkDSEsipa: implicit(context(1)),
    AuthenticateClientErrorEsipa: implicit(context(2)),
});

/// AuthenticateClientOkDPEsipa, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct AuthenticateClientOkDPEsipa {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId", default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<TransactionId>,
    /// `BF25` StoreMetadataRequest: may be dropped when the eIM verifies metadata.
    #[rasn(tag(context, 37))]
    #[serde(rename = "profileMetaData", default, skip_serializing_if = "Option::is_none")]
    pub profile_meta_data: Option<Raw<StoreMetadataRequest>>,
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
    /// `04` OCTET STRING (32): eIM supplies the confirmation-code hash.
    #[rasn(tag(universal, 4))]
    #[serde(rename = "hashCc", default, skip_serializing_if = "Option::is_none")]
    pub hash_cc: Option<Octets<32, 32>>,
}

sequence!(AuthenticateClientOkDPEsipa = Tag::SEQUENCE; {
    transaction_id: optional(context(0)),
    profile_meta_data: optional(context(37)),
    smdp_signed2: required(universal(16)),
    smdp_signature2: required(application(55)),
    smdp_certificate: required(universal(16)),
    hash_cc: optional(universal(4)),
});

/// AuthenticateClientOkDSEsipa, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct AuthenticateClientOkDSEsipa {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `BF54` ProfileDownloadTriggerRequest: trigger made from the event record.
    #[rasn(tag(context, 84))]
    #[serde(rename = "profileDownloadTrigger", default, skip_serializing_if = "Option::is_none")]
    pub profile_download_trigger: Option<ProfileDownloadTriggerRequest>,
}

sequence!(AuthenticateClientOkDSEsipa = Tag::SEQUENCE; {
    transaction_id: required(context(0)),
    profile_download_trigger: optional(context(84)),
});

/// GetBoundProfilePackageRequestEsipa, first octets `BF3A` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 58))]
pub struct GetBoundProfilePackageRequestEsipa {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `BF21{arm}` PrepareDownloadResponse.
    #[rasn(tag(context, 33))]
    #[serde(rename = "prepareDownloadResponse")]
    pub prepare_download_response: Raw<PrepareDownloadResponse>,
}

sequence!(GetBoundProfilePackageRequestEsipa = context(58); {
    transaction_id: required(context(0)),
    prepare_download_response: required(context(33)),
});

/// GetBoundProfilePackageResponseEsipa, first octets `BF3A{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 58)))]
#[serde(rename_all = "camelCase")]
pub enum GetBoundProfilePackageResponseEsipa {
    /// `A0` GetBoundProfilePackageOkEsipa.
    #[rasn(tag(context, 0))]
    GetBoundProfilePackageOkEsipa(GetBoundProfilePackageOkEsipa),
    /// `81` INTEGER: euiccSignatureInvalid(1), confirmationCodeMissing(2), confirmationCodeRefused(3),
    /// confirmationCodeRetriesExceeded(4), bppRebindingRefused(5), downloadOrderExpired(6), metadataMismatch(50),
    /// invalidTransactionId(95), undefinedError(127).
    #[rasn(tag(context, 1))]
    GetBoundProfilePackageErrorEsipa(i64),
}

choice!(GetBoundProfilePackageResponseEsipa = context(58); {
    GetBoundProfilePackageOkEsipa: implicit(context(0)),
    GetBoundProfilePackageErrorEsipa: implicit(context(1)),
});

/// GetBoundProfilePackageOkEsipa, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct GetBoundProfilePackageOkEsipa {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId", default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<TransactionId>,
    /// `BF36` BoundProfilePackage.
    #[rasn(tag(context, 54))]
    #[serde(rename = "boundProfilePackage")]
    pub bound_profile_package: Raw<BoundProfilePackage>,
}

sequence!(GetBoundProfilePackageOkEsipa = Tag::SEQUENCE; {
    transaction_id: optional(context(0)),
    bound_profile_package: required(context(54)),
});

/// CancelSessionRequestEsipa, first octets `BF41` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 65))]
pub struct CancelSessionRequestEsipa {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `A1{arm}` CancelSessionResponse: A1 REPLACES the inner BF41: A1{A0|81|A2}.
    #[rasn(tag(context, 1))]
    #[serde(rename = "cancelSessionResponse")]
    pub cancel_session_response: Raw<CancelSessionResponse>,
}

impl Wire for CancelSessionRequestEsipa {
    const NAME: &'static str = "CancelSessionRequestEsipa";

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
rasn_decode!(CancelSessionRequestEsipa);

/// CancelSessionResponseEsipa, first octets `BF41{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 65)))]
#[serde(rename_all = "camelCase")]
pub enum CancelSessionResponseEsipa {
    /// `A0` CancelSessionOk.
    #[rasn(tag(context, 0))]
    CancelSessionOk(Empty),
    /// `81` INTEGER: invalidTransactionId(1), euiccSignatureInvalid(2), undefinedError(127).
    #[rasn(tag(context, 1))]
    CancelSessionError(i64),
}

choice!(CancelSessionResponseEsipa = context(65); {
    CancelSessionOk: implicit(context(0)),
    CancelSessionError: implicit(context(1)),
});
