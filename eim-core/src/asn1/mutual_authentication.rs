//! Common mutual authentication (SGP.22 v2.5 3.0.1).

use rasn::types::Tag;
use rasn::{AsnType, Encode};
use serde::{Deserialize, Serialize};

use super::bits::named_bits;
use super::certificate::Certificate;
use super::compact::CompactAuthenticateResponseOk;
use super::euicc_info::EUICCInfo2;
use super::primitive::{OctetString, Octets, TransactionId, VersionType};
use super::raw::{Lenient, Raw};
use super::wire::{application, choice, context, sequence, universal};

named_bits! {
    /// CatSupportedClasses: BIT STRING (SGP.22 v2.5 annex H).
    CatSupportedClasses, CatSupportedClassesNames {

    }
}

/// ServerSigned1, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct ServerSigned1 {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `81` OCTET STRING (16): must equal the challenge sent.
    #[rasn(tag(context, 1))]
    #[serde(rename = "euiccChallenge")]
    pub euicc_challenge: Octets<16, 16>,
    /// `83` UTF8String: compare case-insensitively with the contacted address.
    #[rasn(tag(context, 3))]
    #[serde(rename = "serverAddress")]
    pub server_address: String,
    /// `84` OCTET STRING (16).
    #[rasn(tag(context, 4))]
    #[serde(rename = "serverChallenge")]
    pub server_challenge: Octets<16, 16>,
}

sequence!(ServerSigned1 = Tag::SEQUENCE; {
    transaction_id: required(context(0)),
    euicc_challenge: required(context(1)),
    server_address: required(context(3)),
    server_challenge: required(context(4)),
});

/// EuiccSigned1, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct EuiccSigned1 {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `83` UTF8String.
    #[rasn(tag(context, 3))]
    #[serde(rename = "serverAddress")]
    pub server_address: String,
    /// `84` OCTET STRING (16).
    #[rasn(tag(context, 4))]
    #[serde(rename = "serverChallenge")]
    pub server_challenge: Octets<16, 16>,
    /// `BF22` EUICCInfo2.
    #[rasn(tag(context, 34))]
    #[serde(rename = "euiccInfo2")]
    pub euicc_info2: Raw<Lenient<EUICCInfo2>>,
    /// untagged CtxParams1: untagged CHOICE with one automatic arm: A0{..}.
    #[serde(rename = "ctxParams1")]
    pub ctx_params1: CtxParams1,
}

sequence!(EuiccSigned1 = Tag::SEQUENCE; {
    transaction_id: required(context(0)),
    server_address: required(context(3)),
    server_challenge: required(context(4)),
    euicc_info2: required(context(34)),
    ctx_params1: arm(),
});

/// CtxParams1, an untagged CHOICE (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum CtxParams1 {
    /// `A0` CtxParamsForCommonAuthentication.
    #[rasn(tag(context, 0))]
    CtxParamsForCommonAuthentication(CtxParamsForCommonAuthentication),
}

choice!(CtxParams1; {
    CtxParamsForCommonAuthentication: implicit(context(0)),
});

/// CtxParamsForCommonAuthentication, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct CtxParamsForCommonAuthentication {
    /// `80` UTF8String: activation-code token, EventID, or empty/absent.
    #[rasn(tag(context, 0))]
    #[serde(rename = "matchingId", default, skip_serializing_if = "Option::is_none")]
    pub matching_id: Option<String>,
    /// `A1` DeviceInfo.
    #[rasn(tag(context, 1))]
    #[serde(rename = "deviceInfo")]
    pub device_info: DeviceInfo,
}

sequence!(CtxParamsForCommonAuthentication = Tag::SEQUENCE; {
    matching_id: optional(context(0)),
    device_info: required(context(1)),
});

/// DeviceInfo, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// `80` OCTET STRING (4).
    #[rasn(tag(context, 0))]
    #[serde(rename = "tac")]
    pub tac: Octets<4, 4>,
    /// `A1` DeviceCapabilities.
    #[rasn(tag(context, 1))]
    #[serde(rename = "deviceCapabilities")]
    pub device_capabilities: DeviceCapabilities,
    /// `82` OCTET STRING (8): 8 octets, 23.003 BCD.
    #[rasn(tag(context, 2))]
    #[serde(rename = "imei", default, skip_serializing_if = "Option::is_none")]
    pub imei: Option<Octets<8, 8>>,
}

sequence!(DeviceInfo = Tag::SEQUENCE; {
    tac: required(context(0)),
    device_capabilities: required(context(1)),
    imei: optional(context(2)),
});

/// DeviceCapabilities, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct DeviceCapabilities {
    /// `80` OCTET STRING (3).
    #[rasn(tag(context, 0))]
    #[serde(rename = "gsmSupportedRelease", default, skip_serializing_if = "Option::is_none")]
    pub gsm_supported_release: Option<VersionType>,
    /// `81` OCTET STRING (3).
    #[rasn(tag(context, 1))]
    #[serde(rename = "utranSupportedRelease", default, skip_serializing_if = "Option::is_none")]
    pub utran_supported_release: Option<VersionType>,
    /// `82` OCTET STRING (3).
    #[rasn(tag(context, 2))]
    #[serde(rename = "cdma2000onexSupportedRelease", default, skip_serializing_if = "Option::is_none")]
    pub cdma2000onex_supported_release: Option<VersionType>,
    /// `83` OCTET STRING (3).
    #[rasn(tag(context, 3))]
    #[serde(rename = "cdma2000hrpdSupportedRelease", default, skip_serializing_if = "Option::is_none")]
    pub cdma2000hrpd_supported_release: Option<VersionType>,
    /// `84` OCTET STRING (3).
    #[rasn(tag(context, 4))]
    #[serde(rename = "cdma2000ehrpdSupportedRelease", default, skip_serializing_if = "Option::is_none")]
    pub cdma2000ehrpd_supported_release: Option<VersionType>,
    /// `85` OCTET STRING (3).
    #[rasn(tag(context, 5))]
    #[serde(rename = "eutranEpcSupportedRelease", default, skip_serializing_if = "Option::is_none")]
    pub eutran_epc_supported_release: Option<VersionType>,
    /// `86` OCTET STRING (3).
    #[rasn(tag(context, 6))]
    #[serde(rename = "contactlessSupportedRelease", default, skip_serializing_if = "Option::is_none")]
    pub contactless_supported_release: Option<VersionType>,
    /// `87` OCTET STRING (3).
    #[rasn(tag(context, 7))]
    #[serde(rename = "rspCrlSupportedVersion", default, skip_serializing_if = "Option::is_none")]
    pub rsp_crl_supported_version: Option<VersionType>,
    /// `88` OCTET STRING (3).
    #[rasn(tag(context, 8))]
    #[serde(rename = "nrEpcSupportedRelease", default, skip_serializing_if = "Option::is_none")]
    pub nr_epc_supported_release: Option<VersionType>,
    /// `89` OCTET STRING (3).
    #[rasn(tag(context, 9))]
    #[serde(rename = "nr5gcSupportedRelease", default, skip_serializing_if = "Option::is_none")]
    pub nr5gc_supported_release: Option<VersionType>,
    /// `8A` OCTET STRING (3).
    #[rasn(tag(context, 10))]
    #[serde(rename = "eutran5gcSupportedRelease", default, skip_serializing_if = "Option::is_none")]
    pub eutran5gc_supported_release: Option<VersionType>,
    /// `8B` OCTET STRING (3).
    #[rasn(tag(context, 11))]
    #[serde(rename = "lpaSvn", default, skip_serializing_if = "Option::is_none")]
    pub lpa_svn: Option<VersionType>,
    /// `8C` BIT STRING.
    #[rasn(tag(context, 12))]
    #[serde(rename = "catSupportedClasses", default, skip_serializing_if = "Option::is_none")]
    pub cat_supported_classes: Option<CatSupportedClasses>,
    /// `8D` INTEGER.
    #[rasn(tag(context, 13))]
    #[serde(rename = "euiccFormFactorType", default, skip_serializing_if = "Option::is_none")]
    pub euicc_form_factor_type: Option<i64>,
    /// `AE` DeviceAdditionalFeatureSupport.
    #[rasn(tag(context, 14))]
    #[serde(rename = "deviceAdditionalFeatureSupport", default, skip_serializing_if = "Option::is_none")]
    pub device_additional_feature_support: Option<DeviceAdditionalFeatureSupport>,
}

sequence!(DeviceCapabilities = Tag::SEQUENCE; {
    gsm_supported_release: optional(context(0)),
    utran_supported_release: optional(context(1)),
    cdma2000onex_supported_release: optional(context(2)),
    cdma2000hrpd_supported_release: optional(context(3)),
    cdma2000ehrpd_supported_release: optional(context(4)),
    eutran_epc_supported_release: optional(context(5)),
    contactless_supported_release: optional(context(6)),
    rsp_crl_supported_version: optional(context(7)),
    nr_epc_supported_release: optional(context(8)),
    nr5gc_supported_release: optional(context(9)),
    eutran5gc_supported_release: optional(context(10)),
    lpa_svn: optional(context(11)),
    cat_supported_classes: optional(context(12)),
    euicc_form_factor_type: optional(context(13)),
    device_additional_feature_support: optional(context(14)),
});

/// DeviceAdditionalFeatureSupport, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct DeviceAdditionalFeatureSupport {
    /// `80` OCTET STRING (3): version of NAI support.
    #[rasn(tag(context, 0))]
    #[serde(rename = "naiSupport", default, skip_serializing_if = "Option::is_none")]
    pub nai_support: Option<Octets<3, 3>>,
}

sequence!(DeviceAdditionalFeatureSupport = Tag::SEQUENCE; {
    nai_support: optional(context(0)),
});

/// AuthenticateServerResponse, first octets `BF38{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 56)))]
#[serde(rename_all = "camelCase")]
pub enum AuthenticateServerResponse {
    /// `A0` AuthenticateResponseOk.
    #[rasn(tag(context, 0))]
    AuthenticateResponseOk(AuthenticateResponseOk),
    /// `A1` AuthenticateResponseError.
    #[rasn(tag(context, 1))]
    AuthenticateResponseError(AuthenticateResponseError),
    /// `A2` CompactAuthenticateResponseOk.
    #[rasn(tag(context, 2))]
    CompactAuthenticateResponseOk(CompactAuthenticateResponseOk),
}

choice!(AuthenticateServerResponse = context(56); {
    AuthenticateResponseOk: implicit(context(0)),
    AuthenticateResponseError: implicit(context(1)),
    CompactAuthenticateResponseOk: implicit(context(2)),
});

/// AuthenticateResponseOk, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct AuthenticateResponseOk {
    /// `30` EuiccSigned1.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "euiccSigned1")]
    pub euicc_signed1: Raw<EuiccSigned1>,
    /// `5F37` OCTET STRING: over euiccSigned1.
    #[rasn(tag(application, 55))]
    #[serde(rename = "euiccSignature1")]
    pub euicc_signature1: OctetString,
    /// `30` Certificate: first certificate 30.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "euiccCertificate")]
    pub euicc_certificate: Certificate,
    /// `30` Certificate: second certificate 30.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "eumCertificate")]
    pub eum_certificate: Certificate,
}

sequence!(AuthenticateResponseOk = Tag::SEQUENCE; {
    euicc_signed1: required(universal(16)),
    euicc_signature1: required(application(55)),
    euicc_certificate: required(universal(16)),
    eum_certificate: required(universal(16)),
});

/// AuthenticateResponseError, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct AuthenticateResponseError {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `02` INTEGER: invalidCertificate(1), invalidSignature(2), unsupportedCurve(3), noSessionContext(4),
    /// invalidOid(5), euiccChallengeMismatch(6), ciPKUnknown(7), undefinedError(127).
    #[rasn(tag(universal, 2))]
    #[serde(rename = "authenticateErrorCode")]
    pub authenticate_error_code: i64,
}

sequence!(AuthenticateResponseError = Tag::SEQUENCE; {
    transaction_id: required(context(0)),
    authenticate_error_code: required(universal(2)),
});
