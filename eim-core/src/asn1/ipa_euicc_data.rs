//! IpaEuiccData: what the IPA reads from the eUICC for the eIM (SGP.32 v1.2 2.11.1.2, 2.11.2.2).

use rasn::types::Tag;
use rasn::{AsnType, Encode, Encoder};
use serde::{Deserialize, Serialize};

use super::basic::NotificationEvent;
use super::bits::named_bits;
use super::certificate::Certificate;
use super::error::DecodeError;
use super::esipa_package::stored_notifications;
use super::euicc_info::{EUICCInfo1, EUICCInfo2};
use super::euicc_package_result::EuiccPackageResult;
use super::mutual_authentication::DeviceInfo;
use super::notification::PendingNotification;
use super::primitive::{OctetString, TransactionId};
use super::raw::{Lenient, Raw};
use super::tlv::Tlv;
use super::wire::{Fields, Wire, application, choice, context, rasn_decode, sequence, universal};

named_bits! {
    /// IpaFeatures: BIT STRING (SGP.32 v1.2 annex A).
    IpaFeatures, IpaFeaturesNames {
        "directRspServerCommunication" = 0, "indirectRspServerCommunication" = 1, "eimDownloadDataHandling" = 2,
        "eimCtxParams1Generation" = 3, "eimProfileMetadataVerification" = 4, "minimizeEsipaBytes" = 5
    }
}

named_bits! {
    /// IpaSupportedProtocols: BIT STRING (SGP.32 v1.2 annex A).
    IpaSupportedProtocols, IpaSupportedProtocolsNames {
        "ipaRetrieveHttps" = 0, "ipaRetrieveCoaps" = 1, "ipaInjectHttps" = 2, "ipaInjectCoaps" = 3,
        "ipaProprietary" = 4
    }
}

/// `searchCriteriaNotification` of [`IpaEuiccDataRequest`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum SearchCriteriaNotification {
    /// `80` INTEGER.
    #[rasn(tag(context, 0))]
    SeqNumber(i64),
    /// `81` BIT STRING.
    #[rasn(tag(context, 1))]
    ProfileManagementOperation(NotificationEvent),
}

choice!(SearchCriteriaNotification; {
    SeqNumber: implicit(context(0)),
    ProfileManagementOperation: implicit(context(1)),
});

/// `searchCriteriaEuiccPackageResult` of [`IpaEuiccDataRequest`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum SearchCriteriaEuiccPackageResult {
    /// `80` INTEGER.
    #[rasn(tag(context, 0))]
    SeqNumber(i64),
}

choice!(SearchCriteriaEuiccPackageResult; {
    SeqNumber: implicit(context(0)),
});

/// IpaEuiccDataRequest, first octets `BF52` (SGP.32 v1.2 annex A). Not signed; answered by the IPA.
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 82))]
pub struct IpaEuiccDataRequest {
    /// `5C` OCTET STRING: concatenated tags of the IpaEuiccData fields wanted: A0 81 A2 BF20 BF22 83 84 A5 A6 A8 A9.
    /// Never 5A or BF2D.
    #[rasn(tag(application, 28))]
    #[serde(rename = "tagList")]
    pub tag_list: OctetString,
    /// `04` OCTET STRING: SubjectKeyIdentifier of the CI key, may be truncated to a prefix.
    #[rasn(tag(universal, 4))]
    #[serde(rename = "euiccCiPKIdentifierToBeUsed", default, skip_serializing_if = "Option::is_none")]
    pub euicc_ci_pk_identifier_to_be_used: Option<OctetString>,
    /// `A1{arm}` CHOICE: which notifications.
    #[rasn(tag(explicit(context, 1)))]
    #[serde(rename = "searchCriteriaNotification", default, skip_serializing_if = "Option::is_none")]
    pub search_criteria_notification: Option<SearchCriteriaNotification>,
    /// `A2{arm}` CHOICE: which stored package results.
    #[rasn(tag(explicit(context, 2)))]
    #[serde(rename = "searchCriteriaEuiccPackageResult", default, skip_serializing_if = "Option::is_none")]
    pub search_criteria_euicc_package_result: Option<SearchCriteriaEuiccPackageResult>,
    /// `83` OCTET STRING (1..16): correlation id chosen by the eIM, 1..16 octets; echoed when it was sent.
    #[rasn(tag(context, 3))]
    #[serde(rename = "eimTransactionId", default, skip_serializing_if = "Option::is_none")]
    pub eim_transaction_id: Option<TransactionId>,
}

sequence!(IpaEuiccDataRequest = context(82); {
    tag_list: required(application(28)),
    euicc_ci_pk_identifier_to_be_used: optional(universal(4)),
    search_criteria_notification: optional_explicit(context(1)),
    search_criteria_euicc_package_result: optional_explicit(context(2)),
    eim_transaction_id: optional(context(3)),
});

/// IpaEuiccDataResponse, first octets `BF52{arm}` (SGP.32 v1.2 annex A). BF52{A0{IpaEuiccData fields}} or BF52{A1{80
/// tx, 02 code}}.
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 82)))]
#[serde(rename_all = "camelCase")]
pub enum IpaEuiccDataResponse {
    /// `A0` IpaEuiccData.
    #[rasn(tag(context, 0))]
    IpaEuiccData(IpaEuiccData),
    /// `A1` IpaEuiccDataResponseError.
    #[rasn(tag(context, 1))]
    IpaEuiccDataResponseError(IpaEuiccDataResponseError),
}

impl Wire for IpaEuiccDataResponse {
    const NAME: &'static str = "IpaEuiccDataResponse";

    fn natural() -> Option<Tag> {
        Some(context(82))
    }

    /// `BF52{A0{data}|A1{error}}`; also the data fields directly (T5), the notifications without their list tag (T6),
    /// a bare code (T7).
    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        let tlv = tlv.peel(context(82));
        let children = tlv.children()?;
        match children.as_slice() {
            [arm] if is_bare_code(arm) => Ok(Self::IpaEuiccDataResponseError(IpaEuiccDataResponseError {
                eim_transaction_id: None,
                ipa_euicc_data_error_code: Wire::read(*arm)?,
            })),
            [arm] if arm.tag == context(1) && arm.constructed => Wire::read(*arm).map(Self::IpaEuiccDataResponseError),
            [arm] if arm.tag == context(0) && arm.constructed => {
                if is_notification_list(&arm.children()?) {
                    let notifications_list = Some(Wire::read(*arm)?);
                    Ok(Self::IpaEuiccData(IpaEuiccData { notifications_list, ..IpaEuiccData::default() }))
                } else {
                    Wire::read(*arm).map(Self::IpaEuiccData)
                }
            }
            [] => Ok(Self::IpaEuiccData(IpaEuiccData::default())),
            fields if fields.iter().any(|field| is_data_tag(field.tag)) => Wire::read(tlv).map(Self::IpaEuiccData),
            [first, ..] => Err(DecodeError::UnexpectedTag { tag: first.tag, expected: Self::NAME }),
        }
    }
}
rasn_decode!(IpaEuiccDataResponse);

/// `02 01 xx`, or the `81 01 xx` of v1.0; an address under 81 is longer.
fn is_bare_code(tlv: &Tlv<'_>) -> bool {
    tlv.tag == Tag::INTEGER || (tlv.tag == context(1) && !tlv.constructed && tlv.contents.len() == 1)
}

/// Whether what A0 holds can only be notifications: nothing else, and not the single A0 of "arm and list" (T6).
fn is_notification_list(inside: &[Tlv<'_>]) -> bool {
    let all = |allowed: &[Tag]| inside.iter().all(|tlv| tlv.constructed && allowed.contains(&tlv.tag));
    match inside {
        [] => false,
        [one] if one.tag == context(0) => false,
        _ => all(&[context(55), Tag::SEQUENCE, context(0), context(1)]),
    }
}

fn is_data_tag(tag: Tag) -> bool {
    [0, 1, 2, 32, 34, 3, 4, 5, 6, 7, 8, 9, 43].map(context).contains(&tag)
}

/// IpaEuiccData, first octets `30` (SGP.32 v1.2 annex A). Fields in declaration order: note BF20, BF22 come before 83.
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct IpaEuiccData {
    /// `A0` PendingNotificationList = SEQUENCE OF PendingNotification: pending notifications.
    #[rasn(tag(context, 0))]
    #[serde(rename = "notificationsList", default, skip_serializing_if = "Option::is_none")]
    pub notifications_list: Option<Vec<Lenient<Raw<PendingNotification>>>>,
    /// `81` UTF8String: FQDN.
    #[rasn(tag(context, 1))]
    #[serde(rename = "defaultSmdpAddress", default, skip_serializing_if = "Option::is_none")]
    pub default_smdp_address: Option<String>,
    /// `A2` EuiccPackageResultList = SEQUENCE OF EuiccPackageResult: elements are BF51.
    #[rasn(tag(context, 2))]
    #[serde(rename = "euiccPackageResultList", default, skip_serializing_if = "Option::is_none")]
    pub euicc_package_result_list: Option<Vec<Lenient<EuiccPackageResult>>>,
    /// `BF20` EUICCInfo1.
    #[rasn(tag(context, 32))]
    #[serde(rename = "euiccInfo1", default, skip_serializing_if = "Option::is_none")]
    pub euicc_info1: Option<Raw<Lenient<EUICCInfo1>>>,
    /// `BF22` EUICCInfo2.
    #[rasn(tag(context, 34))]
    #[serde(rename = "euiccInfo2", default, skip_serializing_if = "Option::is_none")]
    pub euicc_info2: Option<Raw<Lenient<EUICCInfo2>>>,
    /// `83` UTF8String: FQDN.
    #[rasn(tag(context, 3))]
    #[serde(rename = "rootSmdsAddress", default, skip_serializing_if = "Option::is_none")]
    pub root_smds_address: Option<String>,
    /// `84` INTEGER: token of the requesting eIM.
    #[rasn(tag(context, 4))]
    #[serde(rename = "associationToken", default, skip_serializing_if = "Option::is_none")]
    pub association_token: Option<i64>,
    /// `A5` Certificate: A5 + three components of Certificate (no inner 30).
    #[rasn(tag(context, 5))]
    #[serde(rename = "eumCertificate", default, skip_serializing_if = "Option::is_none")]
    pub eum_certificate: Option<Certificate>,
    /// `A6` Certificate: A6 + three components.
    #[rasn(tag(context, 6))]
    #[serde(rename = "euiccCertificate", default, skip_serializing_if = "Option::is_none")]
    pub euicc_certificate: Option<Certificate>,
    /// `87` OCTET STRING (1..16).
    #[rasn(tag(context, 7))]
    #[serde(rename = "eimTransactionId", default, skip_serializing_if = "Option::is_none")]
    pub eim_transaction_id: Option<TransactionId>,
    /// `A8` IpaCapabilities.
    #[rasn(tag(context, 8))]
    #[serde(rename = "ipaCapabilities", default, skip_serializing_if = "Option::is_none")]
    pub ipa_capabilities: Option<Lenient<IpaCapabilities>>,
    /// `A9` DeviceInfo.
    #[rasn(tag(context, 9))]
    #[serde(rename = "deviceInfo", default, skip_serializing_if = "Option::is_none")]
    pub device_info: Option<Lenient<DeviceInfo>>,
}

impl Wire for IpaEuiccData {
    const NAME: &'static str = "IpaEuiccData";

    fn natural() -> Option<Tag> {
        Some(Tag::SEQUENCE)
    }

    /// The fields of v1.2; also the `80` address and the `BF2B` list of v1.0.
    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        let mut fields = Fields::of(Self::NAME, tlv)?;
        let mut notifications_list = None;
        let mut default_smdp_address = fields.optional("defaultSmdpAddress", context(1))?;
        match fields.take(context(0)) {
            Some(list) if list.constructed => {
                notifications_list = Some(Wire::read(list).map_err(|e| e.within(Self::NAME, "notificationsList"))?);
            }
            Some(address) if default_smdp_address.is_none() => {
                let read = Wire::read(address).map_err(|e| e.within(Self::NAME, "defaultSmdpAddress"))?;
                default_smdp_address = Some(read);
            }
            _ => {}
        }
        if let Some(answer) = fields.take(context(43)) {
            notifications_list = notifications_list.or(Some(stored_notifications(answer)?));
        }
        let value = Self {
            notifications_list,
            default_smdp_address,
            euicc_package_result_list: fields.optional("euiccPackageResultList", context(2))?,
            euicc_info1: fields.optional("euiccInfo1", context(32))?,
            euicc_info2: fields.optional("euiccInfo2", context(34))?,
            root_smds_address: fields.optional("rootSmdsAddress", context(3))?,
            association_token: fields.optional("associationToken", context(4))?,
            eum_certificate: fields.optional("eumCertificate", context(5))?,
            euicc_certificate: fields.optional("euiccCertificate", context(6))?,
            eim_transaction_id: fields.optional("eimTransactionId", context(7))?,
            ipa_capabilities: fields.optional("ipaCapabilities", context(8))?,
            device_info: fields.optional("deviceInfo", context(9))?,
        };
        fields.finish()?;
        Ok(value)
    }
}
rasn_decode!(IpaEuiccData);

/// IpaEuiccDataResponseError, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct IpaEuiccDataResponseError {
    /// `80` OCTET STRING (1..16): correlation id chosen by the eIM, 1..16 octets; echoed when it was sent.
    #[rasn(tag(context, 0))]
    #[serde(rename = "eimTransactionId", default, skip_serializing_if = "Option::is_none")]
    pub eim_transaction_id: Option<TransactionId>,
    /// `02` INTEGER: incorrectTagList(1), euiccCiPKIdNotFound(5), ecallActive(104), undefinedError(127).
    #[rasn(tag(universal, 2))]
    #[serde(rename = "ipaEuiccDataErrorCode")]
    pub ipa_euicc_data_error_code: i64,
}

sequence!(IpaEuiccDataResponseError = Tag::SEQUENCE; {
    eim_transaction_id: optional(context(0)),
    ipa_euicc_data_error_code: required(universal(2)),
});

/// IpaCapabilities, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct IpaCapabilities {
    /// `80` BIT STRING.
    #[rasn(tag(context, 0))]
    #[serde(rename = "ipaFeatures")]
    pub ipa_features: IpaFeatures,
    /// `81` BIT STRING.
    #[rasn(tag(context, 1))]
    #[serde(rename = "ipaSupportedProtocols", default, skip_serializing_if = "Option::is_none")]
    pub ipa_supported_protocols: Option<IpaSupportedProtocols>,
}

sequence!(IpaCapabilities = Tag::SEQUENCE; {
    ipa_features: required(context(0)),
    ipa_supported_protocols: optional(context(1)),
});
