//! The eIM Package functions of ESipa (SGP.32 v1.2 6.4.1.5, 6.4.1.6).

use rasn::types::Tag;
use rasn::{AsnType, Encode};
use serde::{Deserialize, Serialize};

use super::download_trigger::{ProfileDownloadTriggerRequest, ProfileDownloadTriggerResult};
use super::error::DecodeError;
use super::euicc_package_request::EuiccPackageRequest;
use super::euicc_package_result::EuiccPackageResult;
use super::ipa_euicc_data::{IpaEuiccDataRequest, IpaEuiccDataResponse};
use super::notification::PendingNotification;
use super::primitive::{Empty, Null, OctetString, Octets, TransactionId, present};
use super::raw::{Lenient, Raw};
use super::tlv::Tlv;
use super::wire::{Fields, Wire, application, choice, context, rasn_decode, universal};

/// GetEimPackageRequest, first octets `BF4F` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 79))]
pub struct GetEimPackageRequest {
    /// `5A` OCTET STRING (16): EID, 16 octets, one decimal digit per nibble, high nibble first (NOT swapped); kept as
    /// received: the function answers missingEid(4) or invalidEid(3).
    #[rasn(tag(application, 26))]
    #[serde(rename = "eidValue", default, skip_serializing_if = "Option::is_none")]
    pub eid_value: Option<OctetString>,
    /// `80` NULL: 80 00: refresh what you know of this eUICC.
    #[rasn(tag(context, 0))]
    #[serde(
        rename = "notifyStateChange",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub notify_state_change: Option<Null>,
    /// `81` INTEGER: otherEim(0), fallback(1), emergencyProfile(2), local(3), reset(4), immediateEnableProfile(5),
    /// deviceChange(6), undefined(127).
    #[rasn(tag(context, 1))]
    #[serde(rename = "stateChangeCause", default, skip_serializing_if = "Option::is_none")]
    pub state_change_cause: Option<i64>,
    /// `82` OCTET STRING (3): 24.008 coded PLMN.
    #[rasn(tag(context, 2))]
    #[serde(rename = "rPLMN", default, skip_serializing_if = "Option::is_none")]
    pub r_plmn: Option<Octets<3, 3>>,
}

impl Wire for GetEimPackageRequest {
    const NAME: &'static str = "GetEimPackageRequest";

    fn natural() -> Option<Tag> {
        Some(context(79))
    }

    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        let mut fields = Fields::of(Self::NAME, tlv)?;
        let eid_value = fields.optional("eidValue", application(26))?;
        let notify_state_change = fields.optional("notifyStateChange", context(0))?;
        let (mut state_change_cause, mut r_plmn) = (None, fields.optional("rPLMN", context(2))?);
        if let Some(cause) = fields.take(context(1)) {
            // 81 03 xx xx xx without 82 is the rPLMN of v1.0 (T16)
            if cause.contents.len() == 3 && r_plmn.is_none() {
                r_plmn = Some(Wire::read(cause).map_err(|e| e.within(Self::NAME, "rPLMN"))?);
            } else {
                state_change_cause = Some(Wire::read(cause).map_err(|e| e.within(Self::NAME, "stateChangeCause"))?);
            }
        }
        fields.finish()?;
        Ok(Self { eid_value, notify_state_change, state_change_cause, r_plmn })
    }
}
rasn_decode!(GetEimPackageRequest);

/// GetEimPackageResponse, first octets `BF4F{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 79)))]
#[serde(rename_all = "camelCase")]
pub enum GetEimPackageResponse {
    /// `BF51` EuiccPackageRequest.
    #[rasn(tag(context, 81))]
    EuiccPackageRequest(EuiccPackageRequest),
    /// `BF52` IpaEuiccDataRequest.
    #[rasn(tag(context, 82))]
    IpaEuiccDataRequest(IpaEuiccDataRequest),
    /// `BF54` ProfileDownloadTriggerRequest.
    #[rasn(tag(context, 84))]
    ProfileDownloadTriggerRequest(ProfileDownloadTriggerRequest),
    /// `02` INTEGER: noEimPackageAvailable(1), eidNotFound(2), invalidEid(3), missingEid(4), undefinedError(127).
    #[rasn(tag(universal, 2))]
    EimPackageError(i64),
}

choice!(GetEimPackageResponse = context(79); {
    EuiccPackageRequest: implicit(context(81)),
    IpaEuiccDataRequest: implicit(context(82)),
    ProfileDownloadTriggerRequest: implicit(context(84)),
    EimPackageError: implicit(universal(2)),
});

/// ProvideEimPackageResult, first octets `BF50` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 80))]
pub struct ProvideEimPackageResult {
    /// `5A` OCTET STRING (16): may be absent: find the EID by certificate or eimTransactionId; kept as received.
    #[rasn(tag(application, 26))]
    #[serde(rename = "eidValue", default, skip_serializing_if = "Option::is_none")]
    pub eid_value: Option<OctetString>,
    /// untagged EimPackageResult.
    #[serde(rename = "eimPackageResult")]
    pub eim_package_result: Lenient<EimPackageResult>,
}

impl ProvideEimPackageResult {
    /// A result without its BF50, as the JSON binding carries it (SGP.32 v1.2 6.4.1.6).
    pub(crate) fn of_bare(tlv: Tlv<'_>) -> Self {
        let known = if EimPackageResult::matches(tlv.tag) { EimPackageResult::read(tlv).ok() } else { None };
        Self { eid_value: None, eim_package_result: Lenient::of(known, tlv) }
    }
}

impl Wire for ProvideEimPackageResult {
    const NAME: &'static str = "ProvideEimPackageResult";

    fn natural() -> Option<Tag> {
        Some(context(80))
    }

    /// `BF50{5A?, arm}`; v1.0 has the arm alone. An arm that can't be named or read is kept as it is, but for a second BF50 that is
    /// not alone: kept, it would be read as another object than it was.
    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        let mut fields = Fields::of(Self::NAME, tlv.peel(context(80)))?;
        let eid_value = fields.optional("eidValue", application(26))?;
        let result = fields.take_matching(EimPackageResult::matches).or_else(|| fields.take_any());
        let Some(result) = result.filter(|result| result.tag != context(80)) else {
            return Err(DecodeError::Missing { structure: Self::NAME, field: "eimPackageResult" });
        };
        fields.finish()?;
        Ok(Self { eid_value, ..Self::of_bare(result) })
    }
}
rasn_decode!(ProvideEimPackageResult);

/// `ePRAndNotifications` of [`EimPackageResult`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct EPRAndNotifications {
    /// `BF51{arm}` EuiccPackageResult: result of one eUICC package.
    #[rasn(tag(context, 81))]
    #[serde(rename = "euiccPackageResult")]
    pub euicc_package_result: Lenient<EuiccPackageResult>,
    /// `A0` PendingNotificationList = SEQUENCE OF PendingNotification.
    #[rasn(tag(context, 0))]
    #[serde(rename = "notificationList")]
    pub notification_list: Vec<Lenient<Raw<PendingNotification>>>,
}

impl Wire for EPRAndNotifications {
    const NAME: &'static str = "EPRAndNotifications";

    fn natural() -> Option<Tag> {
        Some(Tag::SEQUENCE)
    }

    /// `30{BF51, A0{..}}`; v1.0 has `BF2B{A0{..}}`, an answer of ES10b, for the list (T13). An absent list is empty:
    /// the result beside it must not be lost.
    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        let mut fields = Fields::of(Self::NAME, tlv)?;
        let euicc_package_result = fields.required("euiccPackageResult", context(81))?;
        let mut notification_list = fields.optional("notificationList", context(0))?;
        if let Some(answer) = fields.take(context(43)) {
            notification_list = notification_list.or(Some(stored_notifications(answer)?));
        }
        fields.finish()?;
        Ok(Self { euicc_package_result, notification_list: notification_list.unwrap_or_default() })
    }
}
rasn_decode!(EPRAndNotifications);

/// The list in `BF2B{A0{..}}`; an error in its place is an empty list.
pub(crate) fn stored_notifications(answer: Tlv<'_>) -> Result<Vec<Lenient<Raw<PendingNotification>>>, DecodeError> {
    match answer.children()?.as_slice() {
        [list] if list.tag == context(0) => Wire::read(*list),
        _ => Ok(Vec::new()),
    }
}

/// EimPackageResult, an untagged CHOICE (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum EimPackageResult {
    /// `BF51{arm}` EuiccPackageResult: result of one eUICC package.
    #[rasn(tag(context, 81))]
    EuiccPackageResult(EuiccPackageResult),
    /// `30` SEQUENCE: 30{BF51, A0{..}}.
    #[rasn(tag(universal, 16))]
    EPRAndNotifications(EPRAndNotifications),
    /// `BF52{arm}` IpaEuiccDataResponse.
    #[rasn(tag(context, 82))]
    IpaEuiccDataResponse(IpaEuiccDataResponse),
    /// `BF54` ProfileDownloadTriggerResult.
    #[rasn(tag(context, 84))]
    ProfileDownloadTriggerResult(ProfileDownloadTriggerResult),
    /// `A0` EimPackageResultResponseError: A0{80 tx?, 02 code}: the IPA could not use the package.
    #[rasn(tag(context, 0))]
    EimPackageResultResponseError(EimPackageResultResponseError),
}

impl Wire for EimPackageResult {
    const NAME: &'static str = "EimPackageResult";

    fn natural() -> Option<Tag> {
        None
    }

    fn matches(tag: Tag) -> bool {
        [context(81), Tag::SEQUENCE, context(82), context(84), context(0), Tag::INTEGER].contains(&tag)
    }

    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        if tlv.tag == context(81) {
            Wire::read(tlv).map(Self::EuiccPackageResult)
        } else if tlv.tag == Tag::SEQUENCE {
            Wire::read(tlv).map(Self::EPRAndNotifications)
        } else if tlv.tag == context(82) {
            Wire::read(tlv).map(Self::IpaEuiccDataResponse)
        } else if tlv.tag == context(84) {
            Wire::read(tlv).map(Self::ProfileDownloadTriggerResult)
        } else if tlv.tag == context(0) {
            Wire::read(tlv).map(Self::EimPackageResultResponseError)
        } else if tlv.tag == Tag::INTEGER {
            // 02 01 xx is the error arm of v1.0 (T14)
            let eim_package_result_error_code = Wire::read(tlv)?;
            let error = EimPackageResultResponseError { eim_transaction_id: None, eim_package_result_error_code };
            Ok(Self::EimPackageResultResponseError(error))
        } else {
            Err(DecodeError::UnexpectedTag { tag: tlv.tag, expected: Self::NAME })
        }
    }
}
rasn_decode!(EimPackageResult);

/// EimPackageResultResponseError, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct EimPackageResultResponseError {
    /// `80` OCTET STRING (1..16): correlation id chosen by the eIM, 1..16 octets; echoed when it was sent.
    #[rasn(tag(context, 0))]
    #[serde(rename = "eimTransactionId", default, skip_serializing_if = "Option::is_none")]
    pub eim_transaction_id: Option<TransactionId>,
    /// `02` INTEGER: invalidPackageFormat(1), unknownPackage(2), undefinedError(127).
    #[rasn(tag(universal, 2))]
    #[serde(rename = "eimPackageResultErrorCode")]
    pub eim_package_result_error_code: i64,
}

impl Wire for EimPackageResultResponseError {
    const NAME: &'static str = "EimPackageResultResponseError";

    fn natural() -> Option<Tag> {
        Some(Tag::SEQUENCE)
    }

    /// `A0{80?, 02}`; also with the SEQUENCE left inside, `A0{30{..}}` or `80{30{..}}` (T15).
    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        let inner = match Tlv::only(tlv.contents) {
            Ok(inner) if inner.tag == Tag::SEQUENCE => inner,
            _ => tlv,
        };
        let mut fields = Fields::of(Self::NAME, inner)?;
        let eim_transaction_id = fields.optional("eimTransactionId", context(0))?;
        let eim_package_result_error_code = fields.required("eimPackageResultErrorCode", Tag::INTEGER)?;
        fields.finish()?;
        Ok(Self { eim_transaction_id, eim_package_result_error_code })
    }
}
rasn_decode!(EimPackageResultResponseError);

/// ProvideEimPackageResultResponse, first octets `BF50{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 80)))]
#[serde(rename_all = "camelCase")]
pub enum ProvideEimPackageResultResponse {
    /// `BF53` EimAcknowledgements = SEQUENCE OF SequenceNumber.
    #[rasn(tag(context, 83))]
    EimAcknowledgements(EimAcknowledgements),
    /// `30` SEQUENCE: 30 00: nothing to acknowledge.
    #[rasn(tag(universal, 16))]
    EmptyResponse(Empty),
    /// `02` INTEGER: eidNotFound(2), invalidEid(3), missingEid(4), undefinedError(127).
    #[rasn(tag(universal, 2))]
    ProvideEimPackageResultError(i64),
}

impl Wire for ProvideEimPackageResultResponse {
    const NAME: &'static str = "ProvideEimPackageResultResponse";

    fn natural() -> Option<Tag> {
        Some(context(80))
    }

    /// `BF50{arm}`; `BF50 00` is the "nothing to acknowledge" of v1.0.
    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        let tlv = tlv.peel(context(80));
        if tlv.constructed && tlv.contents.is_empty() {
            return Ok(Self::EmptyResponse(Empty {}));
        }
        let arm = tlv.child()?;
        if arm.tag == context(83) {
            Wire::read(arm).map(Self::EimAcknowledgements)
        } else if arm.tag == Tag::SEQUENCE {
            Wire::read(arm).map(Self::EmptyResponse)
        } else if arm.tag == Tag::INTEGER {
            Wire::read(arm).map(Self::ProvideEimPackageResultError)
        } else {
            Err(DecodeError::UnexpectedTag { tag: arm.tag, expected: Self::NAME })
        }
    }
}
rasn_decode!(ProvideEimPackageResultResponse);

/// EimAcknowledgements, `BF53{80 80 ..}`: sequence numbers that the IPA may delete on the eUICC; notifications and
/// package results share one number space (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(delegate, tag(context, 83))]
pub struct EimAcknowledgements(pub Vec<SequenceNumber>);

impl Wire for EimAcknowledgements {
    const NAME: &'static str = "EimAcknowledgements";

    fn natural() -> Option<Tag> {
        Some(context(83))
    }

    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        Wire::read(tlv).map(Self)
    }
}
rasn_decode!(EimAcknowledgements);

/// SequenceNumber, `80`: a number the eUICC gave to a notification or a package result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, AsnType, Encode, Serialize, Deserialize)]
#[rasn(delegate, tag(context, 0))]
pub struct SequenceNumber(pub i64);

impl Wire for SequenceNumber {
    const NAME: &'static str = "SequenceNumber";

    fn natural() -> Option<Tag> {
        Some(context(0))
    }

    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        Wire::read(tlv).map(Self)
    }
}
rasn_decode!(SequenceNumber);
