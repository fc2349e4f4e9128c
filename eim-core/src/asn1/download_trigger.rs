//! Profile Download Trigger and its result (SGP.32 v1.2 2.11.1.3, 2.11.2.3).

use rasn::types::Tag;
use rasn::{AsnType, Encode, Encoder};
use serde::{Deserialize, Serialize};

use super::error::DecodeError;
use super::notification::ProfileInstallationResult;
use super::primitive::{Null, OctetString, Text, TransactionId};
use super::tlv::Tlv;
use super::wire::{Fields, Wire, choice, context, rasn_decode, sequence, universal};

/// ProfileDownloadTriggerRequest, first octets `BF54` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 84))]
pub struct ProfileDownloadTriggerRequest {
    /// `A0{arm}` ProfileDownloadData: A0{80 activation code}, A0{81 00}, A0{A2{80 addr}}; absent = eIM keeps the
    /// download data.
    #[rasn(tag(explicit(context, 0)))]
    #[serde(rename = "profileDownloadData", default, skip_serializing_if = "Option::is_none")]
    pub profile_download_data: Option<ProfileDownloadData>,
    /// `82` OCTET STRING (1..16): correlation id chosen by the eIM, 1..16 octets; echoed when it was sent.
    #[rasn(tag(context, 2))]
    #[serde(rename = "eimTransactionId", default, skip_serializing_if = "Option::is_none")]
    pub eim_transaction_id: Option<TransactionId>,
}

sequence!(ProfileDownloadTriggerRequest = context(84); {
    profile_download_data: optional_explicit(context(0)),
    eim_transaction_id: optional(context(2)),
});

/// `contactSmds` of [`ProfileDownloadData`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct ContactSmds {
    /// `80` UTF8String: absent = root SM-DS of the eUICC.
    #[rasn(tag(context, 0))]
    #[serde(rename = "smdsAddress", default, skip_serializing_if = "Option::is_none")]
    pub smds_address: Option<String>,
}

sequence!(ContactSmds = Tag::SEQUENCE; {
    smds_address: optional(context(0)),
});

/// ProfileDownloadData, an untagged CHOICE (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum ProfileDownloadData {
    /// `80` UTF8String (0..255): `1$addr$matchingId($oid($1))` without the LPA: prefix.
    #[rasn(tag(context, 0))]
    ActivationCode(Text<0, 255>),
    /// `81` NULL: 81 00.
    #[rasn(tag(context, 1))]
    ContactDefaultSmdp(Null),
    /// `A2` SEQUENCE.
    #[rasn(tag(context, 2))]
    ContactSmds(ContactSmds),
}

choice!(ProfileDownloadData; {
    ActivationCode: implicit(context(0)),
    ContactDefaultSmdp: implicit(context(1)),
    ContactSmds: implicit(context(2)),
});

/// `profileDownloadError` of [`ProfileDownloadTriggerResult`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct ProfileDownloadError {
    /// `80` INTEGER: ecallActive(104), undefinedError(127).
    #[rasn(tag(context, 0))]
    #[serde(rename = "profileDownloadErrorReason")]
    pub profile_download_error_reason: i64,
    /// `04` OCTET STRING: error object the IPA/eUICC met (opaque).
    #[rasn(tag(universal, 4))]
    #[serde(rename = "errorResponse", default, skip_serializing_if = "Option::is_none")]
    pub error_response: Option<OctetString>,
}

impl Wire for ProfileDownloadError {
    const NAME: &'static str = "ProfileDownloadError";

    fn natural() -> Option<Tag> {
        Some(Tag::SEQUENCE)
    }

    /// `30{80, 04?}`; v1.0 has no reason and is read as undefinedError(127).
    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        let mut fields = Fields::of(Self::NAME, tlv)?;
        let profile_download_error_reason = fields.default("profileDownloadErrorReason", context(0), 127)?;
        let error_response = fields.optional("errorResponse", universal(4))?;
        fields.finish()?;
        Ok(Self { profile_download_error_reason, error_response })
    }
}
rasn_decode!(ProfileDownloadError);

/// `profileDownloadTriggerResultData` of [`ProfileDownloadTriggerResult`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum ProfileDownloadTriggerResultData {
    /// `BF37` ProfileInstallationResult.
    #[rasn(tag(context, 55))]
    ProfileInstallationResult(ProfileInstallationResult),
    /// `30` SEQUENCE.
    #[rasn(tag(universal, 16))]
    ProfileDownloadError(ProfileDownloadError),
}

choice!(ProfileDownloadTriggerResultData; {
    ProfileInstallationResult: implicit(context(55)),
    ProfileDownloadError: implicit(universal(16)),
});

/// ProfileDownloadTriggerResult, first octets `BF54` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 84))]
pub struct ProfileDownloadTriggerResult {
    /// `82` OCTET STRING (1..16): correlation id chosen by the eIM, 1..16 octets; echoed when it was sent.
    #[rasn(tag(context, 2))]
    #[serde(rename = "eimTransactionId", default, skip_serializing_if = "Option::is_none")]
    pub eim_transaction_id: Option<TransactionId>,
    /// untagged CHOICE: BF37 or 30.
    #[serde(rename = "profileDownloadTriggerResultData")]
    pub profile_download_trigger_result_data: ProfileDownloadTriggerResultData,
}

sequence!(ProfileDownloadTriggerResult = context(84); {
    eim_transaction_id: optional(context(2)),
    profile_download_trigger_result_data: arm(),
});
