//! Profile metadata: ProfileInfo, its request, StoreMetadata (SGP.22 v2.5 5.7.15, SGP.32 v1.2 annex A).

use rasn::types::Tag;
use rasn::{AsnType, Encode, Encoder};
use serde::{Deserialize, Serialize};

use super::basic::{
    DpProprietaryData, NotificationConfigurationInformation, OperatorId, PprIds, VendorSpecificExtensionEntry,
};
use super::error::DecodeError;
use super::primitive::{Iccid, OctetString, Octets, Text, is_false, is_operational};
use super::raw::Lenient;
use super::tlv::Tlv;
use super::wire::{Wire, application, choice, context, private, rasn_decode, sequence};

/// ProfileInfo, first octets `E3` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(private, 3))]
pub struct ProfileInfo {
    /// `5A` OCTET STRING (10): ICCID as in EF.ICCID: 10 octets, nibbles swapped, F-padded.
    #[rasn(tag(application, 26))]
    #[serde(rename = "iccid", default, skip_serializing_if = "Option::is_none")]
    pub iccid: Option<Iccid>,
    /// `4F` OCTET STRING (1..16): AID of the ISD-P.
    #[rasn(tag(application, 15))]
    #[serde(rename = "isdpAid", default, skip_serializing_if = "Option::is_none")]
    pub isdp_aid: Option<Octets<1, 16>>,
    /// `9F70` INTEGER: disabled(0), enabled(1).
    #[rasn(tag(context, 112))]
    #[serde(rename = "profileState", default, skip_serializing_if = "Option::is_none")]
    pub profile_state: Option<i64>,
    /// `90` UTF8String (0..64).
    #[rasn(tag(context, 16))]
    #[serde(rename = "profileNickname", default, skip_serializing_if = "Option::is_none")]
    pub profile_nickname: Option<Text<0, 64>>,
    /// `91` UTF8String (0..32).
    #[rasn(tag(context, 17))]
    #[serde(rename = "serviceProviderName", default, skip_serializing_if = "Option::is_none")]
    pub service_provider_name: Option<Text<0, 32>>,
    /// `92` UTF8String (0..64).
    #[rasn(tag(context, 18))]
    #[serde(rename = "profileName", default, skip_serializing_if = "Option::is_none")]
    pub profile_name: Option<Text<0, 64>>,
    /// `93` INTEGER: jpg(0), png(1).
    #[rasn(tag(context, 19))]
    #[serde(rename = "iconType", default, skip_serializing_if = "Option::is_none")]
    pub icon_type: Option<i64>,
    /// `94` OCTET STRING (0..1024).
    #[rasn(tag(context, 20))]
    #[serde(rename = "icon", default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<Octets<0, 1024>>,
    /// `95` INTEGER: test(0), provisioning(1), operational(2).
    #[rasn(tag(context, 21))]
    #[serde(rename = "profileClass", default, skip_serializing_if = "Option::is_none")]
    pub profile_class: Option<i64>,
    /// `B6` SEQUENCE OF NotificationConfigurationInformation.
    #[rasn(tag(context, 22))]
    #[serde(rename = "notificationConfigurationInfo", default, skip_serializing_if = "Option::is_none")]
    pub notification_configuration_info: Option<Vec<NotificationConfigurationInformation>>,
    /// `B7` OperatorId.
    #[rasn(tag(context, 23))]
    #[serde(rename = "profileOwner", default, skip_serializing_if = "Option::is_none")]
    pub profile_owner: Option<OperatorId>,
    /// `B8` DpProprietaryData.
    #[rasn(tag(context, 24))]
    #[serde(rename = "dpProprietaryData", default, skip_serializing_if = "Option::is_none")]
    pub dp_proprietary_data: Option<DpProprietaryData>,
    /// `99` BIT STRING.
    #[rasn(tag(context, 25))]
    #[serde(rename = "profilePolicyRules", default, skip_serializing_if = "Option::is_none")]
    pub profile_policy_rules: Option<PprIds>,
    /// `BF22` VendorSpecificExtension = SEQUENCE OF SEQUENCE.
    #[rasn(tag(context, 34))]
    #[serde(rename = "serviceSpecificDataStoredInEuicc", default, skip_serializing_if = "Option::is_none")]
    pub service_specific_data_stored_in_euicc: Option<Vec<VendorSpecificExtensionEntry>>,
    /// `9F7B` BOOLEAN: Emergency Profile.
    #[rasn(tag(context, 123))]
    #[serde(rename = "ecallIndication", default, skip_serializing_if = "Option::is_none")]
    pub ecall_indication: Option<bool>,
    /// `9F26` BOOLEAN: 9F26 01 FF on the Fallback Profile; DER omits FALSE.
    #[rasn(tag(context, 38), default = "default_fallback_attribute")]
    #[serde(rename = "fallbackAttribute", default = "default_fallback_attribute", skip_serializing_if = "is_false")]
    pub fallback_attribute: bool,
    /// `9F67` BOOLEAN.
    #[rasn(tag(context, 103))]
    #[serde(rename = "fallbackAllowed", default, skip_serializing_if = "Option::is_none")]
    pub fallback_allowed: Option<bool>,
}

sequence!(ProfileInfo = private(3); {
    iccid: optional(application(26)),
    isdp_aid: optional(application(15)),
    profile_state: optional(context(112)),
    profile_nickname: optional(context(16)),
    service_provider_name: optional(context(17)),
    profile_name: optional(context(18)),
    icon_type: optional(context(19)),
    icon: optional(context(20)),
    profile_class: optional(context(21)),
    notification_configuration_info: optional(context(22)),
    profile_owner: optional(context(23)),
    dp_proprietary_data: optional(context(24)),
    profile_policy_rules: optional(context(25)),
    service_specific_data_stored_in_euicc: optional(context(34)),
    ecall_indication: optional(context(123)),
    fallback_attribute: default(context(38), false),
    fallback_allowed: optional(context(103)),
});

fn default_fallback_attribute() -> bool {
    false
}

/// `searchCriteria` of [`ProfileInfoListRequest`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum ProfileInfoListRequestSearchCriteria {
    /// `4F` OCTET STRING (1..16).
    #[rasn(tag(application, 15))]
    IsdpAid(Octets<1, 16>),
    /// `5A` OCTET STRING (10): ICCID as in EF.ICCID: 10 octets, nibbles swapped, F-padded.
    #[rasn(tag(application, 26))]
    Iccid(Iccid),
    /// `95` INTEGER: test(0), provisioning(1), operational(2).
    #[rasn(tag(context, 21))]
    ProfileClass(i64),
}

choice!(ProfileInfoListRequestSearchCriteria; {
    IsdpAid: implicit(application(15)),
    Iccid: implicit(application(26)),
    ProfileClass: implicit(context(21)),
});

/// ProfileInfoListRequest, first octets `BF2D` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 45))]
pub struct ProfileInfoListRequest {
    /// `A0{arm}` CHOICE.
    #[rasn(tag(explicit(context, 0)))]
    #[serde(rename = "searchCriteria", default, skip_serializing_if = "Option::is_none")]
    pub search_criteria: Option<ProfileInfoListRequestSearchCriteria>,
    /// `5C` OCTET STRING.
    #[rasn(tag(application, 28))]
    #[serde(rename = "tagList", default, skip_serializing_if = "Option::is_none")]
    pub tag_list: Option<OctetString>,
}

sequence!(ProfileInfoListRequest = context(45); {
    search_criteria: optional_explicit(context(0)),
    tag_list: optional(application(28)),
});

/// ProfileInfoListResponse, first octets `BF2D{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 45)))]
#[serde(rename_all = "camelCase")]
pub enum ProfileInfoListResponse {
    /// `A0` SEQUENCE OF ProfileInfo: A0{E3.. E3..}.
    #[rasn(tag(context, 0))]
    ProfileInfoListOk(Vec<Lenient<ProfileInfo>>),
    /// `81` INTEGER: incorrectInputValues(1), profileChangeOngoing(11), undefinedError(127).
    #[rasn(tag(context, 1))]
    ProfileInfoListError(i64),
}

impl Wire for ProfileInfoListResponse {
    const NAME: &'static str = "ProfileInfoListResponse";

    fn natural() -> Option<Tag> {
        Some(context(45))
    }

    /// `BF2D{A0{..}|81}`; also 30 for the list and 02 for the error (T4).
    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        let arm = tlv.peel(context(45)).child()?;
        if arm.tag == context(0) || arm.tag == Tag::SEQUENCE {
            Wire::read(arm).map(Self::ProfileInfoListOk)
        } else if arm.tag == context(1) || arm.tag == Tag::INTEGER {
            Wire::read(arm).map(Self::ProfileInfoListError)
        } else {
            Err(DecodeError::UnexpectedTag { tag: arm.tag, expected: Self::NAME })
        }
    }
}
rasn_decode!(ProfileInfoListResponse);

/// StoreMetadataRequest, first octets `BF25` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 37))]
pub struct StoreMetadataRequest {
    /// `5A` OCTET STRING (10).
    #[rasn(tag(application, 26))]
    #[serde(rename = "iccid")]
    pub iccid: Iccid,
    /// `91` UTF8String (0..32).
    #[rasn(tag(context, 17))]
    #[serde(rename = "serviceProviderName")]
    pub service_provider_name: Text<0, 32>,
    /// `92` UTF8String (0..64).
    #[rasn(tag(context, 18))]
    #[serde(rename = "profileName")]
    pub profile_name: Text<0, 64>,
    /// `93` INTEGER: jpg(0), png(1).
    #[rasn(tag(context, 19))]
    #[serde(rename = "iconType", default, skip_serializing_if = "Option::is_none")]
    pub icon_type: Option<i64>,
    /// `94` OCTET STRING (0..1024).
    #[rasn(tag(context, 20))]
    #[serde(rename = "icon", default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<Octets<0, 1024>>,
    /// `95` INTEGER: DER omits operational(2); test(0), provisioning(1), operational(2).
    #[rasn(tag(context, 21), default = "default_profile_class")]
    #[serde(rename = "profileClass", default = "default_profile_class", skip_serializing_if = "is_operational")]
    pub profile_class: i64,
    /// `B6` SEQUENCE OF NotificationConfigurationInformation.
    #[rasn(tag(context, 22))]
    #[serde(rename = "notificationConfigurationInfo", default, skip_serializing_if = "Option::is_none")]
    pub notification_configuration_info: Option<Vec<NotificationConfigurationInformation>>,
    /// `B7` OperatorId.
    #[rasn(tag(context, 23))]
    #[serde(rename = "profileOwner", default, skip_serializing_if = "Option::is_none")]
    pub profile_owner: Option<OperatorId>,
    /// `99` BIT STRING.
    #[rasn(tag(context, 25))]
    #[serde(rename = "profilePolicyRules", default, skip_serializing_if = "Option::is_none")]
    pub profile_policy_rules: Option<PprIds>,
    /// `BF22` VendorSpecificExtension = SEQUENCE OF SEQUENCE.
    #[rasn(tag(context, 34))]
    #[serde(rename = "serviceSpecificDataStoredInEuicc", default, skip_serializing_if = "Option::is_none")]
    pub service_specific_data_stored_in_euicc: Option<Vec<VendorSpecificExtensionEntry>>,
    /// `BF23` VendorSpecificExtension = SEQUENCE OF SEQUENCE.
    #[rasn(tag(context, 35))]
    #[serde(rename = "serviceSpecificDataNotStoredInEuicc", default, skip_serializing_if = "Option::is_none")]
    pub service_specific_data_not_stored_in_euicc: Option<Vec<VendorSpecificExtensionEntry>>,
    /// `9F7B` BOOLEAN.
    #[rasn(tag(context, 123))]
    #[serde(rename = "ecallIndication", default, skip_serializing_if = "Option::is_none")]
    pub ecall_indication: Option<bool>,
    /// `9F67` BOOLEAN.
    #[rasn(tag(context, 103))]
    #[serde(rename = "fallbackAllowed", default, skip_serializing_if = "Option::is_none")]
    pub fallback_allowed: Option<bool>,
}

sequence!(StoreMetadataRequest = context(37); {
    iccid: required(application(26)),
    service_provider_name: required(context(17)),
    profile_name: required(context(18)),
    icon_type: optional(context(19)),
    icon: optional(context(20)),
    profile_class: default(context(21), 2),
    notification_configuration_info: optional(context(22)),
    profile_owner: optional(context(23)),
    profile_policy_rules: optional(context(25)),
    service_specific_data_stored_in_euicc: optional(context(34)),
    service_specific_data_not_stored_in_euicc: optional(context(35)),
    ecall_indication: optional(context(123)),
    fallback_allowed: optional(context(103)),
});

fn default_profile_class() -> i64 {
    2
}
