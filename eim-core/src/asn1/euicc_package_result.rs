//! The eUICC Package Result: signed results, signed and unsigned errors (SGP.32 v1.2 2.11.2.1).

use rasn::types::Tag;
use rasn::{AsnType, Encode};
use serde::{Deserialize, Serialize};

use super::basic::ProfilePolicyAuthorisationRule;
use super::error::DecodeError;
use super::primitive::{EimIdText, OctetString, TransactionId};
use super::profile_info::ProfileInfoListResponse;
use super::raw::{Lenient, Raw};
use super::tlv::Tlv;
use super::wire::{Wire, application, choice, context, rasn_decode, sequence, universal};

/// EuiccPackageResult, first octets `BF51{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 81)))]
#[serde(rename_all = "camelCase")]
pub enum EuiccPackageResult {
    /// `A0` EuiccPackageResultSigned: package executed.
    #[rasn(tag(context, 0))]
    EuiccPackageResultSigned(EuiccPackageResultSigned),
    /// `A1` EuiccPackageErrorSigned: package authentic but refused.
    #[rasn(tag(context, 1))]
    EuiccPackageErrorSigned(EuiccPackageErrorSigned),
    /// `A2` EuiccPackageErrorUnsigned: signature/eimId/token could not be verified.
    #[rasn(tag(context, 2))]
    EuiccPackageErrorUnsigned(EuiccPackageErrorUnsigned),
}

impl Wire for EuiccPackageResult {
    const NAME: &'static str = "EuiccPackageResult";

    fn natural() -> Option<Tag> {
        Some(context(81))
    }

    /// `BF51{A0|A1|A2}`; also nested (T2), with 30 for the arm (T1), or a bare code (T3).
    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        let arm = tlv.peel(context(81)).child()?;
        if arm.tag == context(0) {
            Wire::read(arm).map(Self::EuiccPackageResultSigned)
        } else if arm.tag == context(1) {
            Wire::read(arm).map(Self::EuiccPackageErrorSigned)
        } else if arm.tag == context(2) {
            Wire::read(arm).map(Self::EuiccPackageErrorUnsigned)
        } else if arm.tag == Tag::SEQUENCE {
            Self::read_untagged_arm(arm)
        } else if arm.tag == Tag::INTEGER {
            Ok(Self::EuiccPackageErrorUnsigned(EuiccPackageErrorUnsigned {
                eim_id: None,
                eim_transaction_id: None,
                association_token: None,
                euicc_package_unsigned_error_code: Some(Wire::read(arm)?),
            }))
        } else {
            Err(DecodeError::UnexpectedTag { tag: arm.tag, expected: Self::NAME })
        }
    }
}
rasn_decode!(EuiccPackageResult);

impl EuiccPackageResult {
    /// T1: a seqNumber (83) makes the data a result, a code (02) at its end an error.
    fn read_untagged_arm(arm: Tlv<'_>) -> Result<Self, DecodeError> {
        let data = match arm.children()?.first() {
            Some(data) if data.tag == Tag::SEQUENCE => data.children()?,
            _ => return Err(DecodeError::Missing { structure: Self::NAME, field: "euiccPackageResultDataSigned" }),
        };
        if data.iter().any(|field| field.tag == context(3)) {
            Wire::read(arm).map(Self::EuiccPackageResultSigned)
        } else if data.last().is_some_and(|field| field.tag == Tag::INTEGER) {
            Wire::read(arm).map(Self::EuiccPackageErrorSigned)
        } else {
            Err(DecodeError::value("signed data is neither a result nor an error"))
        }
    }
}

/// EuiccPackageResultSigned, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct EuiccPackageResultSigned {
    /// `30` EuiccPackageResultDataSigned: signed octets.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "euiccPackageResultDataSigned")]
    pub euicc_package_result_data_signed: Raw<EuiccPackageResultDataSigned>,
    /// `5F37` OCTET STRING: r||s over data || 84-token TLV.
    #[rasn(tag(application, 55))]
    #[serde(rename = "euiccSignEPR")]
    pub euicc_sign_epr: OctetString,
}

sequence!(EuiccPackageResultSigned = Tag::SEQUENCE; {
    euicc_package_result_data_signed: required(universal(16)),
    euicc_sign_epr: required(application(55)),
});

/// EuiccPackageResultDataSigned, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct EuiccPackageResultDataSigned {
    /// `80` UTF8String (1..128): identifier of the eIM, 1..128 octets of UTF-8.
    #[rasn(tag(context, 0))]
    #[serde(rename = "eimId")]
    pub eim_id: EimIdText,
    /// `81` INTEGER: copy of the request's counter.
    #[rasn(tag(context, 1))]
    #[serde(rename = "counterValue")]
    pub counter_value: i64,
    /// `82` OCTET STRING (1..16): correlation id chosen by the eIM, 1..16 octets; echoed when it was sent.
    #[rasn(tag(context, 2))]
    #[serde(rename = "eimTransactionId", default, skip_serializing_if = "Option::is_none")]
    pub eim_transaction_id: Option<TransactionId>,
    /// `83` INTEGER: eUICC sequence number; acknowledge this.
    #[rasn(tag(context, 3))]
    #[serde(rename = "seqNumber")]
    pub seq_number: i64,
    /// `30` SEQUENCE OF EuiccResultData: one element per executed operation, in order.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "euiccResult")]
    pub euicc_result: Vec<Lenient<EuiccResultData>>,
}

sequence!(EuiccPackageResultDataSigned = Tag::SEQUENCE; {
    eim_id: required(context(0)),
    counter_value: required(context(1)),
    eim_transaction_id: optional(context(2)),
    seq_number: required(context(3)),
    euicc_result: required(universal(16)),
});

/// EuiccResultData, an untagged CHOICE (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum EuiccResultData {
    /// `83` INTEGER: ok(0), iccidOrAidNotFound(1), profileNotInDisabledState(2), disallowedByPolicy(3), catBusy(5),
    /// rollbackNotAvailable(20), undefinedError(127).
    #[rasn(tag(context, 3))]
    EnableResult(i64),
    /// `84` INTEGER: ok(0), iccidOrAidNotFound(1), profileNotInEnabledState(2), disallowedByPolicy(3), catBusy(5),
    /// undefinedError(127).
    #[rasn(tag(context, 4))]
    DisableResult(i64),
    /// `85` INTEGER: ok(0), iccidOrAidNotFound(1), profileNotInDisabledState(2), disallowedByPolicy(3),
    /// rollbackNotAvailable(20), returnFallbackProfile(21), undefinedError(127).
    #[rasn(tag(context, 5))]
    DeleteResult(i64),
    /// `BF2D{arm}` ProfileInfoListResponse.
    #[rasn(tag(context, 45))]
    ListProfileInfoResult(ProfileInfoListResponse),
    /// `A6` RulesAuthorisationTable = SEQUENCE OF ProfilePolicyAuthorisationRule: RulesAuthorisationTable.
    #[rasn(tag(context, 6))]
    GetRATResult(Vec<ProfilePolicyAuthorisationRule>),
    /// `87` INTEGER: ok(0), insufficientMemory(1), commandError(7), undefinedError(127).
    #[rasn(tag(context, 7))]
    ConfigureImmediateEnableResult(i64),
    /// `A8{arm}` AddEimResult.
    #[rasn(tag(explicit(context, 8)))]
    AddEimResult(AddEimResult),
    /// `89` INTEGER: ok(0), eimNotFound(1), lastEimDeleted(2), commandError(7), undefinedError(127).
    #[rasn(tag(context, 9))]
    DeleteEimResult(i64),
    /// `8A` INTEGER: ok(0), eimNotFound(1), ciPKUnknown(3), counterValueOutOfRange(6), commandError(7),
    /// undefinedError(127).
    #[rasn(tag(context, 10))]
    UpdateEimResult(i64),
    /// `AB{arm}` ListEimResult.
    #[rasn(tag(explicit(context, 11)))]
    ListEimResult(ListEimResult),
    /// `8C` INTEGER: only in the result after ProfileRollback; ok(0), undefinedError(127).
    #[rasn(tag(context, 12))]
    RollbackResult(i64),
    /// `8D` INTEGER: ok(0), iccidOrAidNotFound(1), fallbackNotAllowed(2), fallbackProfileEnabled(3),
    /// undefinedError(127).
    #[rasn(tag(context, 13))]
    SetFallbackAttributeResult(i64),
    /// `8E` INTEGER: ok(0), noFallbackAttribute(2), fallbackProfileEnabled(3), commandError(7), undefinedError(127).
    #[rasn(tag(context, 14))]
    UnsetFallbackAttributeResult(i64),
    /// `02` INTEGER: ends the list early; resultSizeOverflow(1), unknownOrDamagedCommand(2), interruption(3),
    /// undefinedError(127).
    #[rasn(tag(universal, 2))]
    ProcessingTerminated(i64),
    /// `BF65` SetDefaultDpAddressResponse.
    #[rasn(tag(context, 101))]
    SetDefaultDpAddressResult(SetDefaultDpAddressResponse),
}

choice!(EuiccResultData; {
    EnableResult: implicit(context(3)),
    DisableResult: implicit(context(4)),
    DeleteResult: implicit(context(5)),
    ListProfileInfoResult: implicit(context(45)),
    GetRATResult: implicit(context(6)),
    ConfigureImmediateEnableResult: implicit(context(7)),
    AddEimResult: explicit(context(8)),
    DeleteEimResult: implicit(context(9)),
    UpdateEimResult: implicit(context(10)),
    ListEimResult: explicit(context(11)),
    RollbackResult: implicit(context(12)),
    SetFallbackAttributeResult: implicit(context(13)),
    UnsetFallbackAttributeResult: implicit(context(14)),
    ProcessingTerminated: implicit(universal(2)),
    SetDefaultDpAddressResult: implicit(context(101)),
});

/// AddEimResult, an untagged CHOICE (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum AddEimResult {
    /// `84` INTEGER: success with token: A8{84 ..}.
    #[rasn(tag(context, 4))]
    AssociationToken(i64),
    /// `02` INTEGER: A8{02 01 xx}; ok(0), insufficientMemory(1), associatedEimAlreadyExists(2), ciPKUnknown(3),
    /// invalidAssociationToken(5), counterValueOutOfRange(6), commandError(7), undefinedError(127).
    #[rasn(tag(universal, 2))]
    AddEimResultCode(i64),
}

choice!(AddEimResult; {
    AssociationToken: implicit(context(4)),
    AddEimResultCode: implicit(universal(2)),
});

/// ListEimResult, an untagged CHOICE (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum ListEimResult {
    /// `A0` SEQUENCE OF EimIdInfo: AB{A0{30{80..}..}}.
    #[rasn(tag(context, 0))]
    EimIdList(Vec<EimIdInfo>),
    /// `81` INTEGER: undefinedError(127).
    #[rasn(tag(context, 1))]
    ListEimError(i64),
}

choice!(ListEimResult; {
    EimIdList: implicit(context(0)),
    ListEimError: implicit(context(1)),
});

/// EimIdInfo, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct EimIdInfo {
    /// `80` UTF8String (1..128): identifier of the eIM, 1..128 octets of UTF-8.
    #[rasn(tag(context, 0))]
    #[serde(rename = "eimId")]
    pub eim_id: EimIdText,
    /// `82` INTEGER: present for OID and FQDN types; eimIdTypeOid(1), eimIdTypeFqdn(2), eimIdTypeProprietary(3).
    #[rasn(tag(context, 2))]
    #[serde(rename = "eimIdType", default, skip_serializing_if = "Option::is_none")]
    pub eim_id_type: Option<i64>,
}

sequence!(EimIdInfo = Tag::SEQUENCE; {
    eim_id: required(context(0)),
    eim_id_type: optional(context(2)),
});

/// SetDefaultDpAddressResponse, first octets `BF65` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 101))]
pub struct SetDefaultDpAddressResponse {
    /// `80` INTEGER: ok(0), undefinedError(127).
    #[rasn(tag(context, 0))]
    #[serde(rename = "setDefaultDpAddressResult")]
    pub set_default_dp_address_result: i64,
}

sequence!(SetDefaultDpAddressResponse = context(101); {
    set_default_dp_address_result: required(context(0)),
});

/// EuiccPackageErrorSigned, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct EuiccPackageErrorSigned {
    /// `30` EuiccPackageErrorDataSigned.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "euiccPackageErrorDataSigned")]
    pub euicc_package_error_data_signed: Raw<EuiccPackageErrorDataSigned>,
    /// `5F37` OCTET STRING: r||s over data || 84-token TLV.
    #[rasn(tag(application, 55))]
    #[serde(rename = "euiccSignEPE")]
    pub euicc_sign_epe: OctetString,
}

sequence!(EuiccPackageErrorSigned = Tag::SEQUENCE; {
    euicc_package_error_data_signed: required(universal(16)),
    euicc_sign_epe: required(application(55)),
});

/// EuiccPackageErrorDataSigned, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct EuiccPackageErrorDataSigned {
    /// `80` UTF8String (1..128): identifier of the eIM, 1..128 octets of UTF-8.
    #[rasn(tag(context, 0))]
    #[serde(rename = "eimId")]
    pub eim_id: EimIdText,
    /// `81` INTEGER: anti-replay counter of this eIM on this eUICC.
    #[rasn(tag(context, 1))]
    #[serde(rename = "counterValue")]
    pub counter_value: i64,
    /// `82` OCTET STRING (1..16): correlation id chosen by the eIM, 1..16 octets; echoed when it was sent.
    #[rasn(tag(context, 2))]
    #[serde(rename = "eimTransactionId", default, skip_serializing_if = "Option::is_none")]
    pub eim_transaction_id: Option<TransactionId>,
    /// `02` INTEGER: invalidEid(3), replayError(4), counterValueOutOfRange(6), sizeOverflow(15), ecallActive(104),
    /// undefinedError(127).
    #[rasn(tag(universal, 2))]
    #[serde(rename = "euiccPackageErrorCode")]
    pub euicc_package_error_code: i64,
}

sequence!(EuiccPackageErrorDataSigned = Tag::SEQUENCE; {
    eim_id: required(context(0)),
    counter_value: required(context(1)),
    eim_transaction_id: optional(context(2)),
    euicc_package_error_code: required(universal(2)),
});

/// EuiccPackageErrorUnsigned, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct EuiccPackageErrorUnsigned {
    /// `80` UTF8String (1..128): identifier of the eIM, 1..128 octets of UTF-8; absent only in the form of T3.
    #[rasn(tag(context, 0))]
    #[serde(rename = "eimId", default, skip_serializing_if = "Option::is_none")]
    pub eim_id: Option<EimIdText>,
    /// `82` OCTET STRING (1..16): correlation id chosen by the eIM, 1..16 octets; echoed when it was sent.
    #[rasn(tag(context, 2))]
    #[serde(rename = "eimTransactionId", default, skip_serializing_if = "Option::is_none")]
    pub eim_transaction_id: Option<TransactionId>,
    /// `84` INTEGER: token the eUICC holds, when the mismatch was the token (lets the eIM resynchronise).
    #[rasn(tag(context, 4))]
    #[serde(rename = "associationToken", default, skip_serializing_if = "Option::is_none")]
    pub association_token: Option<i64>,
    /// `8F` INTEGER: v1.3, and the code of T3; sizeOverflow(15), undefinedError(127); never sent.
    #[rasn(tag(context, 15))]
    #[serde(rename = "euiccPackageUnsignedErrorCode", default, skip_serializing_if = "Option::is_none")]
    pub euicc_package_unsigned_error_code: Option<i64>,
}

sequence!(EuiccPackageErrorUnsigned = Tag::SEQUENCE; {
    eim_id: optional(context(0)),
    eim_transaction_id: optional(context(2)),
    association_token: optional(context(4)),
    euicc_package_unsigned_error_code: optional(context(15)),
});
