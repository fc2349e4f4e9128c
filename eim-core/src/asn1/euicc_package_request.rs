//! The eUICC Package Request: the one message an eIM signs (SGP.32 v1.2 2.11.1.1).

use rasn::types::Tag;
use rasn::{AsnType, Encode};
use serde::{Deserialize, Serialize};

use super::eim_configuration::EimConfigurationData;
use super::primitive::{EimIdText, Empty, Iccid, Null, OctetString, Octets, Oid, TransactionId, present};
use super::profile_info::ProfileInfoListRequest;
use super::raw::Raw;
use super::wire::{application, choice, context, sequence, universal};

/// EuiccPackageRequest, first octets `BF51` (SGP.32 v1.2 annex A). The only signed message an eIM sends.
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 81))]
pub struct EuiccPackageRequest {
    /// `30` EuiccPackageSigned: universal SEQUENCE 30; these octets (header included) are signed.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "euiccPackageSigned")]
    pub euicc_package_signed: Raw<EuiccPackageSigned>,
    /// `5F37` OCTET STRING: r||s, 64 octets, over euiccPackageSigned || 84-token TLV.
    #[rasn(tag(application, 55))]
    #[serde(rename = "eimSignature")]
    pub eim_signature: OctetString,
}

sequence!(EuiccPackageRequest = context(81); {
    euicc_package_signed: required(universal(16)),
    eim_signature: required(application(55)),
});

/// EuiccPackageSigned, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct EuiccPackageSigned {
    /// `80` UTF8String (1..128): identifier of the eIM, 1..128 octets of UTF-8.
    #[rasn(tag(context, 0))]
    #[serde(rename = "eimId")]
    pub eim_id: EimIdText,
    /// `5A` OCTET STRING (16): target eUICC; the eUICC answers invalidEid(3) if not its own.
    #[rasn(tag(application, 26))]
    #[serde(rename = "eidValue")]
    pub eid_value: Octets<16, 16>,
    /// `81` INTEGER: anti-replay counter of this eIM on this eUICC.
    #[rasn(tag(context, 1))]
    #[serde(rename = "counterValue")]
    pub counter_value: i64,
    /// `82` OCTET STRING (1..16): correlation id chosen by the eIM, 1..16 octets; echoed when it was sent.
    #[rasn(tag(context, 2))]
    #[serde(rename = "eimTransactionId", default, skip_serializing_if = "Option::is_none")]
    pub eim_transaction_id: Option<TransactionId>,
    /// untagged EuiccPackage: A0 = psmoList, A1 = ecoList; one of the two.
    #[serde(rename = "euiccPackage")]
    pub euicc_package: EuiccPackage,
}

sequence!(EuiccPackageSigned = Tag::SEQUENCE; {
    eim_id: required(context(0)),
    eid_value: required(application(26)),
    counter_value: required(context(1)),
    eim_transaction_id: optional(context(2)),
    euicc_package: arm(),
});

/// EuiccPackage, an untagged CHOICE (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum EuiccPackage {
    /// `A0` SEQUENCE OF Psmo: profile operations, executed in order.
    #[rasn(tag(context, 0))]
    PsmoList(Vec<Psmo>),
    /// `A1` SEQUENCE OF Eco: eIM configuration operations, executed in order.
    #[rasn(tag(context, 1))]
    EcoList(Vec<Eco>),
}

choice!(EuiccPackage; {
    PsmoList: implicit(context(0)),
    EcoList: implicit(context(1)),
});

/// `enable` of [`Psmo`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct PsmoEnable {
    /// `5A` OCTET STRING (10): ICCID as in EF.ICCID: 10 octets, nibbles swapped, F-padded.
    #[rasn(tag(application, 26))]
    #[serde(rename = "iccid")]
    pub iccid: Iccid,
    /// `05` NULL: 05 00 = IPA may roll back.
    #[rasn(tag(universal, 5))]
    #[serde(rename = "rollbackFlag", default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub rollback_flag: Option<Null>,
}

sequence!(PsmoEnable = Tag::SEQUENCE; {
    iccid: required(application(26)),
    rollback_flag: optional(universal(5)),
});

/// `disable` of [`Psmo`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct PsmoDisable {
    /// `5A` OCTET STRING (10): ICCID as in EF.ICCID: 10 octets, nibbles swapped, F-padded.
    #[rasn(tag(application, 26))]
    #[serde(rename = "iccid")]
    pub iccid: Iccid,
}

sequence!(PsmoDisable = Tag::SEQUENCE; {
    iccid: required(application(26)),
});

/// `delete` of [`Psmo`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct PsmoDelete {
    /// `5A` OCTET STRING (10): ICCID as in EF.ICCID: 10 octets, nibbles swapped, F-padded.
    #[rasn(tag(application, 26))]
    #[serde(rename = "iccid")]
    pub iccid: Iccid,
}

sequence!(PsmoDelete = Tag::SEQUENCE; {
    iccid: required(application(26)),
});

/// `configureImmediateEnable` of [`Psmo`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct PsmoConfigureImmediateEnable {
    /// `80` NULL.
    #[rasn(tag(context, 0))]
    #[serde(
        rename = "immediateEnableFlag",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub immediate_enable_flag: Option<Null>,
    /// `81` OBJECT IDENTIFIER.
    #[rasn(tag(context, 1))]
    #[serde(rename = "defaultSmdpOid", default, skip_serializing_if = "Option::is_none")]
    pub default_smdp_oid: Option<Oid>,
    /// `82` UTF8String.
    #[rasn(tag(context, 2))]
    #[serde(rename = "defaultSmdpAddress", default, skip_serializing_if = "Option::is_none")]
    pub default_smdp_address: Option<String>,
}

sequence!(PsmoConfigureImmediateEnable = Tag::SEQUENCE; {
    immediate_enable_flag: optional(context(0)),
    default_smdp_oid: optional(context(1)),
    default_smdp_address: optional(context(2)),
});

/// `setFallbackAttribute` of [`Psmo`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct PsmoSetFallbackAttribute {
    /// `5A` OCTET STRING (10): ICCID as in EF.ICCID: 10 octets, nibbles swapped, F-padded.
    #[rasn(tag(application, 26))]
    #[serde(rename = "iccid")]
    pub iccid: Iccid,
}

sequence!(PsmoSetFallbackAttribute = Tag::SEQUENCE; {
    iccid: required(application(26)),
});

/// Psmo, an untagged CHOICE (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum Psmo {
    /// `A3` SEQUENCE: enable; implicitly disables the enabled profile.
    #[rasn(tag(context, 3))]
    Enable(PsmoEnable),
    /// `A4` SEQUENCE.
    #[rasn(tag(context, 4))]
    Disable(PsmoDisable),
    /// `A5` SEQUENCE.
    #[rasn(tag(context, 5))]
    Delete(PsmoDelete),
    /// `BF2D` ProfileInfoListRequest: BF2D 00 = all profiles with default tags.
    #[rasn(tag(context, 45))]
    ListProfileInfo(ProfileInfoListRequest),
    /// `A6` SEQUENCE: A6 00.
    #[rasn(tag(context, 6))]
    GetRAT(Empty),
    /// `A7` SEQUENCE: all fields absent = switch off.
    #[rasn(tag(context, 7))]
    ConfigureImmediateEnable(PsmoConfigureImmediateEnable),
    /// `A8` SEQUENCE: A8 here; addEim uses A8 under ecoList.
    #[rasn(tag(context, 8))]
    SetFallbackAttribute(PsmoSetFallbackAttribute),
    /// `A9` SEQUENCE: A9 00.
    #[rasn(tag(context, 9))]
    UnsetFallbackAttribute(Empty),
    /// `BF65` SetDefaultDpAddressRequest: BF65{80 addr}.
    #[rasn(tag(context, 101))]
    SetDefaultDpAddress(SetDefaultDpAddressRequest),
}

choice!(Psmo; {
    Enable: implicit(context(3)),
    Disable: implicit(context(4)),
    Delete: implicit(context(5)),
    ListProfileInfo: implicit(context(45)),
    GetRAT: implicit(context(6)),
    ConfigureImmediateEnable: implicit(context(7)),
    SetFallbackAttribute: implicit(context(8)),
    UnsetFallbackAttribute: implicit(context(9)),
    SetDefaultDpAddress: implicit(context(101)),
});

/// SetDefaultDpAddressRequest, first octets `BF65` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 101))]
pub struct SetDefaultDpAddressRequest {
    /// `80` UTF8String.
    #[rasn(tag(context, 0))]
    #[serde(rename = "defaultDpAddress")]
    pub default_dp_address: String,
}

sequence!(SetDefaultDpAddressRequest = context(101); {
    default_dp_address: required(context(0)),
});

/// `deleteEim` of [`Eco`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct EcoDeleteEim {
    /// `80` UTF8String: identifier of the eIM, 1..128 octets of UTF-8.
    #[rasn(tag(context, 0))]
    #[serde(rename = "eimId")]
    pub eim_id: EimIdText,
}

sequence!(EcoDeleteEim = Tag::SEQUENCE; {
    eim_id: required(context(0)),
});

/// Eco, an untagged CHOICE (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum Eco {
    /// `A8` EimConfigurationData.
    #[rasn(tag(context, 8))]
    AddEim(EimConfigurationData),
    /// `A9` SEQUENCE: A9{80 eimId}.
    #[rasn(tag(context, 9))]
    DeleteEim(EcoDeleteEim),
    /// `AA` EimConfigurationData: only the fields to change.
    #[rasn(tag(context, 10))]
    UpdateEim(EimConfigurationData),
    /// `AB` SEQUENCE: AB 00.
    #[rasn(tag(context, 11))]
    ListEim(Empty),
}

choice!(Eco; {
    AddEim: implicit(context(8)),
    DeleteEim: implicit(context(9)),
    UpdateEim: implicit(context(10)),
    ListEim: implicit(context(11)),
});
