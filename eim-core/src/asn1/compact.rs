//! Compact forms of minimizeEsipaBytes (SGP.32 v1.2 annex A).

use rasn::types::Tag;
use rasn::{AsnType, Encode, Encoder};
use serde::{Deserialize, Serialize};

use super::certificate::Certificate;
use super::mutual_authentication::{CtxParams1, EuiccSigned1};
use super::notification::{ErrorResult, NotificationMetadata};
use super::primitive::{OctetString, Octets, TransactionId, is_true};
use super::raw::Raw;
use super::wire::{application, choice, context, sequence, universal};

/// CompactProfileInstallationResult, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct CompactProfileInstallationResult {
    /// `A0` CompactProfileInstallationResultData.
    #[rasn(tag(context, 0))]
    #[serde(rename = "compactProfileInstallationResultData")]
    pub compact_profile_installation_result_data: CompactProfileInstallationResultData,
    /// `5F37` OCTET STRING.
    #[rasn(tag(application, 55))]
    #[serde(rename = "euiccSignPIR")]
    pub euicc_sign_pir: OctetString,
}

sequence!(CompactProfileInstallationResult = Tag::SEQUENCE; {
    compact_profile_installation_result_data: required(context(0)),
    euicc_sign_pir: required(application(55)),
});

/// `compactFinalResult` of [`CompactProfileInstallationResultData`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum CompactFinalResult {
    /// `A0` CompactSuccessResult.
    #[rasn(tag(context, 0))]
    CompactSuccessResult(CompactSuccessResult),
    /// `A1` ErrorResult.
    #[rasn(tag(context, 1))]
    ErrorResult(ErrorResult),
}

choice!(CompactFinalResult; {
    CompactSuccessResult: implicit(context(0)),
    ErrorResult: implicit(context(1)),
});

/// CompactProfileInstallationResultData, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct CompactProfileInstallationResultData {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `02` INTEGER.
    #[rasn(tag(universal, 2))]
    #[serde(rename = "seqNumber")]
    pub seq_number: i64,
    /// `01` BOOLEAN: DER omits TRUE; FALSE = metadata had no iccid.
    #[rasn(tag(universal, 1), default = "default_iccid_present")]
    #[serde(rename = "iccidPresent", default = "default_iccid_present", skip_serializing_if = "is_true")]
    pub iccid_present: bool,
    /// `A2{arm}` CHOICE.
    #[rasn(tag(explicit(context, 2)))]
    #[serde(rename = "compactFinalResult")]
    pub compact_final_result: CompactFinalResult,
}

sequence!(CompactProfileInstallationResultData = Tag::SEQUENCE; {
    transaction_id: required(context(0)),
    seq_number: required(universal(2)),
    iccid_present: default(universal(1), true),
    compact_final_result: required_explicit(context(2)),
});

fn default_iccid_present() -> bool {
    true
}

/// CompactSuccessResult, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct CompactSuccessResult {
    /// `4F` OCTET STRING (2): octets 14 and 15 (1-based) of the ISD-P AID.
    #[rasn(tag(application, 15))]
    #[serde(rename = "compactAid")]
    pub compact_aid: Octets<2, 2>,
    /// `04` OCTET STRING: absent = 3007A0053003800100.
    #[rasn(tag(universal, 4))]
    #[serde(rename = "simaResponse", default, skip_serializing_if = "Option::is_none")]
    pub sima_response: Option<OctetString>,
}

sequence!(CompactSuccessResult = Tag::SEQUENCE; {
    compact_aid: required(application(15)),
    sima_response: optional(universal(4)),
});

/// CompactOtherSignedNotification, first octets `30` (SGP.32 v1.2 annex A). No certificates: the eIM adds the stored
/// ones when forwarding. On ES9+ only the SGP.22 form is allowed.
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct CompactOtherSignedNotification {
    /// `5A` OCTET STRING (16): EID, 16 octets, one decimal digit per nibble, high nibble first (NOT swapped).
    #[rasn(tag(application, 26))]
    #[serde(rename = "eidValue", default, skip_serializing_if = "Option::is_none")]
    pub eid_value: Option<Octets<16, 16>>,
    /// `BF2F` NotificationMetadata.
    #[rasn(tag(context, 47))]
    #[serde(rename = "tbsOtherNotification")]
    pub tbs_other_notification: Raw<NotificationMetadata>,
    /// `5F37` OCTET STRING.
    #[rasn(tag(application, 55))]
    #[serde(rename = "euiccNotificationSignature")]
    pub euicc_notification_signature: OctetString,
    /// `04` OCTET STRING: v1.3: CI key of the certificates to append; never sent.
    #[rasn(tag(universal, 4))]
    #[serde(rename = "euiccCiPKIdentifierToBeUsed", default, skip_serializing_if = "Option::is_none")]
    pub euicc_ci_pk_identifier_to_be_used: Option<OctetString>,
}

sequence!(CompactOtherSignedNotification = Tag::SEQUENCE; {
    eid_value: optional(application(26)),
    tbs_other_notification: required(context(47)),
    euicc_notification_signature: required(application(55)),
    euicc_ci_pk_identifier_to_be_used: optional(universal(4)),
});

/// `signedData` of [`CompactAuthenticateResponseOk`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum SignedData {
    /// `30` EuiccSigned1.
    #[rasn(tag(universal, 16))]
    EuiccSigned1(Raw<EuiccSigned1>),
    /// `A0` CompactEuiccSigned1.
    #[rasn(tag(context, 0))]
    CompactEuiccSigned1(CompactEuiccSigned1),
}

choice!(SignedData; {
    EuiccSigned1: implicit(universal(16)),
    CompactEuiccSigned1: implicit(context(0)),
});

/// CompactAuthenticateResponseOk, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct CompactAuthenticateResponseOk {
    /// untagged CHOICE: 30 full or A0 compact.
    #[serde(rename = "signedData")]
    pub signed_data: SignedData,
    /// `5F37` OCTET STRING: still over the FULL euiccSigned1: rebuild before forwarding.
    #[rasn(tag(application, 55))]
    #[serde(rename = "euiccSignature1")]
    pub euicc_signature1: OctetString,
    /// `A1` Certificate.
    #[rasn(tag(context, 1))]
    #[serde(rename = "euiccCertificate", default, skip_serializing_if = "Option::is_none")]
    pub euicc_certificate: Option<Certificate>,
    /// `A2` Certificate.
    #[rasn(tag(context, 2))]
    #[serde(rename = "eumCertificate", default, skip_serializing_if = "Option::is_none")]
    pub eum_certificate: Option<Certificate>,
}

sequence!(CompactAuthenticateResponseOk = Tag::SEQUENCE; {
    signed_data: arm(),
    euicc_signature1: required(application(55)),
    euicc_certificate: optional(context(1)),
    eum_certificate: optional(context(2)),
});

/// CompactEuiccSigned1, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct CompactEuiccSigned1 {
    /// `84` OCTET STRING: only part of euiccInfo2 that changes.
    #[rasn(tag(context, 4))]
    #[serde(rename = "extCardResource")]
    pub ext_card_resource: OctetString,
    /// `A2{arm}` CtxParams1: A2{A0{..}}.
    #[rasn(tag(explicit(context, 2)))]
    #[serde(rename = "ctxParams1", default, skip_serializing_if = "Option::is_none")]
    pub ctx_params1: Option<CtxParams1>,
}

sequence!(CompactEuiccSigned1 = Tag::SEQUENCE; {
    ext_card_resource: required(context(4)),
    ctx_params1: optional_explicit(context(2)),
});

/// CompactPrepareDownloadResponseOk, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct CompactPrepareDownloadResponseOk {
    /// `30` CompactEuiccSigned2.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "compactEuiccSigned2")]
    pub compact_euicc_signed2: CompactEuiccSigned2,
    /// `5F37` OCTET STRING.
    #[rasn(tag(application, 55))]
    #[serde(rename = "euiccSignature2")]
    pub euicc_signature2: OctetString,
}

sequence!(CompactPrepareDownloadResponseOk = Tag::SEQUENCE; {
    compact_euicc_signed2: required(universal(16)),
    euicc_signature2: required(application(55)),
});

/// CompactEuiccSigned2, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct CompactEuiccSigned2 {
    /// `5F49` OCTET STRING: absent only when bppEuiccOtpk of smdpSigned2 was reused.
    #[rasn(tag(application, 73))]
    #[serde(rename = "euiccOtpk", default, skip_serializing_if = "Option::is_none")]
    pub euicc_otpk: Option<OctetString>,
    /// `04` OCTET STRING (32): SHA256(SHA256(confirmation code) || transactionId).
    #[rasn(tag(universal, 4))]
    #[serde(rename = "hashCc", default, skip_serializing_if = "Option::is_none")]
    pub hash_cc: Option<Octets<32, 32>>,
}

sequence!(CompactEuiccSigned2 = Tag::SEQUENCE; {
    euicc_otpk: optional(application(73)),
    hash_cc: optional(universal(4)),
});

/// CompactCancelSessionResponseOk, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct CompactCancelSessionResponseOk {
    /// `30` CompactEuiccCancelSessionSigned.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "compactEuiccCancelSessionSigned")]
    pub compact_euicc_cancel_session_signed: CompactEuiccCancelSessionSigned,
    /// `5F37` OCTET STRING.
    #[rasn(tag(application, 55))]
    #[serde(rename = "euiccCancelSessionSignature")]
    pub euicc_cancel_session_signature: OctetString,
}

sequence!(CompactCancelSessionResponseOk = Tag::SEQUENCE; {
    compact_euicc_cancel_session_signed: required(universal(16)),
    euicc_cancel_session_signature: required(application(55)),
});

/// CompactEuiccCancelSessionSigned, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct CompactEuiccCancelSessionSigned {
    /// `80` INTEGER: absent: the reason of the eIM's own context holds; endUserRejection(0), postponed(1), timeout(2),
    /// pprNotAllowed(3), metadataMismatch(4), loadBppExecutionError(5), undefinedReason(127).
    #[rasn(tag(context, 0))]
    #[serde(rename = "reason", default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<i64>,
}

sequence!(CompactEuiccCancelSessionSigned = Tag::SEQUENCE; {
    reason: optional(context(0)),
});
