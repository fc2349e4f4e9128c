//! What the eUICC says about itself: EUICCInfo1, EUICCInfo2 (SGP.22 v2.5 5.7.8, SGP.32 v1.2 annex A).

use rasn::types::Tag;
use rasn::{AsnType, Encode};
use serde::{Deserialize, Serialize};

use super::basic::{CertificationDataObject, PprIds};
use super::bits::named_bits;
use super::primitive::{Null, OctetString, Octets, SubjectKeyIdentifier, Text, VersionType, present};
use super::wire::{context, sequence, universal};

named_bits! {
    /// UICCCapability: BIT STRING (SGP.32 v1.2 annex A).
    UICCCapability, UICCCapabilityNames {
        "contactlessSupport" = 0, "usimSupport" = 1, "isimSupport" = 2, "csimSupport" = 3, "akaMilenage" = 4,
        "akaCave" = 5, "akaTuak128" = 6, "akaTuak256" = 7, "usimTestAlgorithm" = 8, "rfu2" = 9,
        "gbaAuthenUsim" = 10, "gbaAuthenISim" = 11, "mbmsAuthenUsim" = 12, "eapClient" = 13, "javacard" = 14,
        "multos" = 15, "multipleUsimSupport" = 16, "multipleIsimSupport" = 17, "multipleCsimSupport" = 18,
        "berTlvFileSupport" = 19, "dfLinkSupport" = 20, "catTp" = 21, "getIdentity" = 22, "profile-a-x25519" = 23,
        "profile-b-p256" = 24, "suciCalculatorApi" = 25, "dns-resolution" = 26, "scp11ac" = 27,
        "scp11c-authorization-mechanism" = 28, "s16mode" = 29, "eaka" = 30, "iotminimal" = 31
    }
}

named_bits! {
    /// RspCapability: BIT STRING (SGP.32 v1.2 annex A).
    RspCapability, RspCapabilityNames {
        "additionalProfile" = 0, "crlSupport" = 1, "rpmSupport" = 2, "testProfileSupport" = 3,
        "deviceInfoExtensibilitySupport" = 4, "serviceSpecificDataSupport" = 5,
        "osUpdateSupport" = 19, "iotSpecificMetadataSupport" = 26, "mslCheckSupport" = 27,
        "rspServerTestProfileAllowlistCheckSupport" = 28
    }
}

named_bits! {
    /// TreProperties: BIT STRING (SGP.32 v1.2 annex A).
    TreProperties, TrePropertiesNames {
        "isDiscrete" = 0, "isIntegrated" = 1, "usesRemoteMemory" = 2
    }
}

/// EUICCInfo1, first octets `BF20` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 32))]
pub struct EUICCInfo1 {
    /// `82` OCTET STRING (3): SGP.22 version.
    #[rasn(tag(context, 2))]
    #[serde(rename = "svn")]
    pub svn: VersionType,
    /// `A9` SEQUENCE OF SubjectKeyIdentifier: A9{04 14 ski..}.
    #[rasn(tag(context, 9))]
    #[serde(rename = "euiccCiPKIdListForVerification")]
    pub euicc_ci_pk_id_list_for_verification: Vec<SubjectKeyIdentifier>,
    /// `AA` SEQUENCE OF SubjectKeyIdentifier: AA{04 14 ski..}.
    #[rasn(tag(context, 10))]
    #[serde(rename = "euiccCiPKIdListForSigning")]
    pub euicc_ci_pk_id_list_for_signing: Vec<SubjectKeyIdentifier>,
}

sequence!(EUICCInfo1 = context(32); {
    svn: required(context(2)),
    euicc_ci_pk_id_list_for_verification: required(context(9)),
    euicc_ci_pk_id_list_for_signing: required(context(10)),
});

/// EUICCInfo2, first octets `BF22` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 34))]
pub struct EUICCInfo2 {
    /// `81` OCTET STRING (3).
    #[rasn(tag(context, 1))]
    #[serde(rename = "profileVersion")]
    pub profile_version: VersionType,
    /// `82` OCTET STRING (3): SGP.22 version, e.g. 02 05 00.
    #[rasn(tag(context, 2))]
    #[serde(rename = "svn")]
    pub svn: VersionType,
    /// `83` OCTET STRING (3).
    #[rasn(tag(context, 3))]
    #[serde(rename = "euiccFirmwareVer")]
    pub euicc_firmware_ver: VersionType,
    /// `84` OCTET STRING.
    #[rasn(tag(context, 4))]
    #[serde(rename = "extCardResource")]
    pub ext_card_resource: OctetString,
    /// `85` BIT STRING.
    #[rasn(tag(context, 5))]
    #[serde(rename = "uiccCapability")]
    pub uicc_capability: UICCCapability,
    /// `86` OCTET STRING (3).
    #[rasn(tag(context, 6))]
    #[serde(rename = "ts102241Version", default, skip_serializing_if = "Option::is_none")]
    pub ts102241_version: Option<VersionType>,
    /// `87` OCTET STRING (3).
    #[rasn(tag(context, 7))]
    #[serde(rename = "globalplatformVersion", default, skip_serializing_if = "Option::is_none")]
    pub globalplatform_version: Option<VersionType>,
    /// `88` BIT STRING.
    #[rasn(tag(context, 8))]
    #[serde(rename = "rspCapability")]
    pub rsp_capability: RspCapability,
    /// `A9` SEQUENCE OF SubjectKeyIdentifier.
    #[rasn(tag(context, 9))]
    #[serde(rename = "euiccCiPKIdListForVerification")]
    pub euicc_ci_pk_id_list_for_verification: Vec<SubjectKeyIdentifier>,
    /// `AA` SEQUENCE OF SubjectKeyIdentifier.
    #[rasn(tag(context, 10))]
    #[serde(rename = "euiccCiPKIdListForSigning")]
    pub euicc_ci_pk_id_list_for_signing: Vec<SubjectKeyIdentifier>,
    /// `8B` INTEGER: other(0), basicEuicc(1), mediumEuicc(2), contactlessEuicc(3).
    #[rasn(tag(context, 11))]
    #[serde(rename = "euiccCategory", default, skip_serializing_if = "Option::is_none")]
    pub euicc_category: Option<i64>,
    /// `99` BIT STRING: PPRs this eUICC refuses.
    #[rasn(tag(context, 25))]
    #[serde(rename = "forbiddenProfilePolicyRules", default, skip_serializing_if = "Option::is_none")]
    pub forbidden_profile_policy_rules: Option<PprIds>,
    /// `04` OCTET STRING (3).
    #[rasn(tag(universal, 4))]
    #[serde(rename = "ppVersion")]
    pub pp_version: VersionType,
    /// `0C` UTF8String (0..64).
    #[rasn(tag(universal, 12))]
    #[serde(rename = "sasAcreditationNumber")]
    pub sas_acreditation_number: Text<0, 64>,
    /// `AC` CertificationDataObject.
    #[rasn(tag(context, 12))]
    #[serde(rename = "certificationDataObject", default, skip_serializing_if = "Option::is_none")]
    pub certification_data_object: Option<CertificationDataObject>,
    /// `8D` BIT STRING.
    #[rasn(tag(context, 13))]
    #[serde(rename = "treProperties", default, skip_serializing_if = "Option::is_none")]
    pub tre_properties: Option<TreProperties>,
    /// `8E` UTF8String.
    #[rasn(tag(context, 14))]
    #[serde(rename = "treProductReference", default, skip_serializing_if = "Option::is_none")]
    pub tre_product_reference: Option<String>,
    /// `AF` SEQUENCE OF VersionType.
    #[rasn(tag(context, 15))]
    #[serde(rename = "additionalEuiccProfilePackageVersions", default, skip_serializing_if = "Option::is_none")]
    pub additional_euicc_profile_package_versions: Option<Vec<VersionType>>,
    /// `90` INTEGER: mandatory for SGP.32; ipad(0), ipae(1).
    #[rasn(tag(context, 16))]
    #[serde(rename = "ipaMode", default, skip_serializing_if = "Option::is_none")]
    pub ipa_mode: Option<i64>,
    /// `B1` SEQUENCE OF SubjectKeyIdentifier.
    #[rasn(tag(context, 17))]
    #[serde(rename = "euiccCiPKIdListForSigningV3", default, skip_serializing_if = "Option::is_none")]
    pub euicc_ci_pk_id_list_for_signing_v3: Option<Vec<SubjectKeyIdentifier>>,
    /// `92` OCTET STRING (0..32).
    #[rasn(tag(context, 18))]
    #[serde(rename = "additionalEuiccInfo", default, skip_serializing_if = "Option::is_none")]
    pub additional_euicc_info: Option<Octets<0, 32>>,
    /// `93` OCTET STRING (3).
    #[rasn(tag(context, 19))]
    #[serde(rename = "highestSvn", default, skip_serializing_if = "Option::is_none")]
    pub highest_svn: Option<VersionType>,
    /// `B4` IoTSpecificInfo: mandatory for SGP.32.
    #[rasn(tag(context, 20))]
    #[serde(rename = "iotSpecificInfo", default, skip_serializing_if = "Option::is_none")]
    pub iot_specific_info: Option<IoTSpecificInfo>,
}

sequence!(EUICCInfo2 = context(34); {
    profile_version: required(context(1)),
    svn: required(context(2)),
    euicc_firmware_ver: required(context(3)),
    ext_card_resource: required(context(4)),
    uicc_capability: required(context(5)),
    ts102241_version: optional(context(6)),
    globalplatform_version: optional(context(7)),
    rsp_capability: required(context(8)),
    euicc_ci_pk_id_list_for_verification: required(context(9)),
    euicc_ci_pk_id_list_for_signing: required(context(10)),
    euicc_category: optional(context(11)),
    forbidden_profile_policy_rules: optional(context(25)),
    pp_version: required(universal(4)),
    sas_acreditation_number: required(universal(12)),
    certification_data_object: optional(context(12)),
    tre_properties: optional(context(13)),
    tre_product_reference: optional(context(14)),
    additional_euicc_profile_package_versions: optional(context(15)),
    ipa_mode: optional(context(16)),
    euicc_ci_pk_id_list_for_signing_v3: optional(context(17)),
    additional_euicc_info: optional(context(18)),
    highest_svn: optional(context(19)),
    iot_specific_info: optional(context(20)),
});

/// IoTSpecificInfo, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct IoTSpecificInfo {
    /// `A0` SEQUENCE OF VersionType: list of 04 03 vv vv vv: choose behaviour by this.
    #[rasn(tag(context, 0))]
    #[serde(rename = "iotVersion")]
    pub iot_version: Vec<VersionType>,
    /// `81` NULL.
    #[rasn(tag(context, 1))]
    #[serde(rename = "ecallSupported", default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub ecall_supported: Option<Null>,
    /// `82` NULL.
    #[rasn(tag(context, 2))]
    #[serde(
        rename = "fallbackSupported",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub fallback_supported: Option<Null>,
}

sequence!(IoTSpecificInfo = Tag::SEQUENCE; {
    iot_version: required(context(0)),
    ecall_supported: optional(context(1)),
    fallback_supported: optional(context(2)),
});
