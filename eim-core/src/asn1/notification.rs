//! Notifications and the Profile Installation Result (SGP.22 v2.5 2.5.6, 3.5; SGP.32 v1.2 annex A).

use rasn::types::Tag;
use rasn::{AsnType, Encode, Encoder};
use serde::{Deserialize, Serialize};

use super::basic::NotificationEvent;
use super::certificate::Certificate;
use super::compact::{CompactOtherSignedNotification, CompactProfileInstallationResult};
use super::primitive::{Iccid, OctetString, Octets, Oid, TransactionId};
use super::raw::Raw;
use super::wire::{application, choice, context, sequence, universal};

/// PendingNotification, an untagged CHOICE (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum PendingNotification {
    /// `BF37` ProfileInstallationResult.
    #[rasn(tag(context, 55))]
    ProfileInstallationResult(ProfileInstallationResult),
    /// `30` OtherSignedNotification.
    #[rasn(tag(universal, 16))]
    OtherSignedNotification(OtherSignedNotification),
    /// `A0` CompactProfileInstallationResult.
    #[rasn(tag(context, 0))]
    CompactProfileInstallationResult(CompactProfileInstallationResult),
    /// `A1` CompactOtherSignedNotification.
    #[rasn(tag(context, 1))]
    CompactOtherSignedNotification(CompactOtherSignedNotification),
}

choice!(PendingNotification; {
    ProfileInstallationResult: implicit(context(55)),
    OtherSignedNotification: implicit(universal(16)),
    CompactProfileInstallationResult: implicit(context(0)),
    CompactOtherSignedNotification: implicit(context(1)),
});

/// NotificationMetadata, first octets `BF2F` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 47))]
pub struct NotificationMetadata {
    /// `80` INTEGER: acknowledge this.
    #[rasn(tag(context, 0))]
    #[serde(rename = "seqNumber")]
    pub seq_number: i64,
    /// `81` BIT STRING: exactly one bit.
    #[rasn(tag(context, 1))]
    #[serde(rename = "profileManagementOperation")]
    pub profile_management_operation: NotificationEvent,
    /// `0C` UTF8String: FQDN that must receive it.
    #[rasn(tag(universal, 12))]
    #[serde(rename = "notificationAddress")]
    pub notification_address: String,
    /// `5A` OCTET STRING (10): ICCID as in EF.ICCID: 10 octets, nibbles swapped, F-padded.
    #[rasn(tag(application, 26))]
    #[serde(rename = "iccid", default, skip_serializing_if = "Option::is_none")]
    pub iccid: Option<Iccid>,
}

sequence!(NotificationMetadata = context(47); {
    seq_number: required(context(0)),
    profile_management_operation: required(context(1)),
    notification_address: required(universal(12)),
    iccid: optional(application(26)),
});

/// OtherSignedNotification, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct OtherSignedNotification {
    /// `BF2F` NotificationMetadata.
    #[rasn(tag(context, 47))]
    #[serde(rename = "tbsOtherNotification")]
    pub tbs_other_notification: Raw<NotificationMetadata>,
    /// `5F37` OCTET STRING: over the BF2F TLV.
    #[rasn(tag(application, 55))]
    #[serde(rename = "euiccNotificationSignature")]
    pub euicc_notification_signature: OctetString,
    /// `30` Certificate.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "euiccCertificate")]
    pub euicc_certificate: Certificate,
    /// `30` Certificate.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "eumCertificate")]
    pub eum_certificate: Certificate,
}

sequence!(OtherSignedNotification = Tag::SEQUENCE; {
    tbs_other_notification: required(context(47)),
    euicc_notification_signature: required(application(55)),
    euicc_certificate: required(universal(16)),
    eum_certificate: required(universal(16)),
});

/// ProfileInstallationResult, first octets `BF37` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 55))]
pub struct ProfileInstallationResult {
    /// `BF27` ProfileInstallationResultData.
    #[rasn(tag(context, 39))]
    #[serde(rename = "profileInstallationResultData")]
    pub profile_installation_result_data: Raw<ProfileInstallationResultData>,
    /// `5F37` OCTET STRING: over the BF27 TLV.
    #[rasn(tag(application, 55))]
    #[serde(rename = "euiccSignPIR")]
    pub euicc_sign_pir: OctetString,
}

sequence!(ProfileInstallationResult = context(55); {
    profile_installation_result_data: required(context(39)),
    euicc_sign_pir: required(application(55)),
});

/// `finalResult` of [`ProfileInstallationResultData`] (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum FinalResult {
    /// `A0` SuccessResult.
    #[rasn(tag(context, 0))]
    SuccessResult(SuccessResult),
    /// `A1` ErrorResult.
    #[rasn(tag(context, 1))]
    ErrorResult(ErrorResult),
}

choice!(FinalResult; {
    SuccessResult: implicit(context(0)),
    ErrorResult: implicit(context(1)),
});

/// ProfileInstallationResultData, first octets `BF27` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 39))]
pub struct ProfileInstallationResultData {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `BF2F` NotificationMetadata.
    #[rasn(tag(context, 47))]
    #[serde(rename = "notificationMetadata")]
    pub notification_metadata: Raw<NotificationMetadata>,
    /// `06` OBJECT IDENTIFIER.
    #[rasn(tag(universal, 6))]
    #[serde(rename = "smdpOid")]
    pub smdp_oid: Oid,
    /// `A2{arm}` CHOICE: A2{A0|A1}.
    #[rasn(tag(explicit(context, 2)))]
    #[serde(rename = "finalResult")]
    pub final_result: FinalResult,
}

sequence!(ProfileInstallationResultData = context(39); {
    transaction_id: required(context(0)),
    notification_metadata: required(context(47)),
    smdp_oid: required(universal(6)),
    final_result: required_explicit(context(2)),
});

/// SuccessResult, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct SuccessResult {
    /// `4F` OCTET STRING (5..16).
    #[rasn(tag(application, 15))]
    #[serde(rename = "aid")]
    pub aid: Octets<5, 16>,
    /// `04` OCTET STRING: EUICCResponse, 3007A0053003800100 = ok.
    #[rasn(tag(universal, 4))]
    #[serde(rename = "simaResponse")]
    pub sima_response: OctetString,
}

sequence!(SuccessResult = Tag::SEQUENCE; {
    aid: required(application(15)),
    sima_response: required(universal(4)),
});

/// ErrorResult, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct ErrorResult {
    /// `80` INTEGER: initialiseSecureChannel(0), configureISDP(1), storeMetadata(2), storeMetadata2(3),
    /// replaceSessionKeys(4), loadProfileElements(5).
    #[rasn(tag(context, 0))]
    #[serde(rename = "bppCommandId")]
    pub bpp_command_id: i64,
    /// `81` INTEGER: incorrectInputValues(1), invalidSignature(2), invalidTransactionId(3), unsupportedCrtValues(4),
    /// unsupportedRemoteOperationType(5), unsupportedProfileClass(6), scp03tStructureError(7), scp03tSecurityError(8),
    /// installFailedDueToIccidAlreadyExistsOnEuicc(9), installFailedDueToInsufficientMemoryForProfile(10),
    /// installFailedDueToInterruption(11), installFailedDueToPEProcessingError(12), installFailedDueToDataMismatch(13),
    /// testProfileInstallFailedDueToInvalidNaaKey(14), pprNotAllowed(15), installFailedDueToUnknownError(127).
    #[rasn(tag(context, 1))]
    #[serde(rename = "errorReason")]
    pub error_reason: i64,
    /// `82` OCTET STRING.
    #[rasn(tag(context, 2))]
    #[serde(rename = "simaResponse", default, skip_serializing_if = "Option::is_none")]
    pub sima_response: Option<OctetString>,
}

sequence!(ErrorResult = Tag::SEQUENCE; {
    bpp_command_id: required(context(0)),
    error_reason: required(context(1)),
    sima_response: optional(context(2)),
});
