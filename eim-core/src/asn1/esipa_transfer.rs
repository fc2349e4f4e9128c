//! TransferEimPackage: the injecting function of ESipa (SGP.32 v1.2 6.4.1.4).

use rasn::{AsnType, Encode, Encoder};
use serde::{Deserialize, Serialize};

use super::download_trigger::ProfileDownloadTriggerRequest;
use super::esipa_package::{EPRAndNotifications, EimAcknowledgements};
use super::euicc_package_request::EuiccPackageRequest;
use super::euicc_package_result::EuiccPackageResult;
use super::ipa_euicc_data::{IpaEuiccDataRequest, IpaEuiccDataResponse};
use super::primitive::{Null, Octets, TransactionId};
use super::wire::{application, choice, context, sequence, universal};

/// TransferEimPackageRequest, first octets `BF4E{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 78)))]
#[serde(rename_all = "camelCase")]
pub enum TransferEimPackageRequest {
    /// `BF51` EuiccPackageRequest.
    #[rasn(tag(context, 81))]
    EuiccPackageRequest(EuiccPackageRequest),
    /// `BF52` IpaEuiccDataRequest.
    #[rasn(tag(context, 82))]
    IpaEuiccDataRequest(IpaEuiccDataRequest),
    /// `BF53` EimAcknowledgements = SEQUENCE OF SequenceNumber.
    #[rasn(tag(context, 83))]
    EimAcknowledgements(EimAcknowledgements),
    /// `BF54` ProfileDownloadTriggerRequest.
    #[rasn(tag(context, 84))]
    ProfileDownloadTriggerRequest(ProfileDownloadTriggerRequest),
}

choice!(TransferEimPackageRequest = context(78); {
    EuiccPackageRequest: implicit(context(81)),
    IpaEuiccDataRequest: implicit(context(82)),
    EimAcknowledgements: implicit(context(83)),
    ProfileDownloadTriggerRequest: implicit(context(84)),
});

/// TransferEimPackageResponse, first octets `BF4E{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 78)))]
#[serde(rename_all = "camelCase")]
pub enum TransferEimPackageResponse {
    /// `BF51{arm}` EuiccPackageResult: result of one eUICC package.
    #[rasn(tag(context, 81))]
    EuiccPackageResult(EuiccPackageResult),
    /// `30` SEQUENCE.
    #[rasn(tag(universal, 16))]
    EPRAndNotifications(EPRAndNotifications),
    /// `BF52{arm}` IpaEuiccDataResponse.
    #[rasn(tag(context, 82))]
    IpaEuiccDataResponse(IpaEuiccDataResponse),
    /// `05` NULL: 05 00.
    #[rasn(tag(universal, 5))]
    EimPackageReceived(Null),
    /// `02` INTEGER: invalidPackageFormat(1), unknownPackage(2), undefinedError(127).
    #[rasn(tag(universal, 2))]
    EimPackageError(i64),
    /// `BF60` EimPackageReceivedWithCid: v1.3: received.
    #[rasn(tag(context, 96))]
    EimPackageReceivedWithCid(EimPackageReceivedWithCid),
    /// `BF61` EimPackageErrorWithCid: v1.3: refused.
    #[rasn(tag(context, 97))]
    EimPackageErrorWithCid(EimPackageErrorWithCid),
}

choice!(TransferEimPackageResponse = context(78); {
    EuiccPackageResult: implicit(context(81)),
    EPRAndNotifications: implicit(universal(16)),
    IpaEuiccDataResponse: implicit(context(82)),
    EimPackageReceived: implicit(universal(5)),
    EimPackageError: implicit(universal(2)),
    EimPackageReceivedWithCid: implicit(context(96)),
    EimPackageErrorWithCid: implicit(context(97)),
});

/// EimPackageReceivedWithCid, first octets `BF60` (SGP.32 v1.3 annex A). Sent by peers of v1.3 only.
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 96))]
pub struct EimPackageReceivedWithCid {
    /// `A0{arm}` EimTransactionCorrelation: which package.
    #[rasn(tag(explicit(context, 0)))]
    #[serde(rename = "correlationId", default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<EimTransactionCorrelation>,
}

sequence!(EimPackageReceivedWithCid = context(96); {
    correlation_id: optional_explicit(context(0)),
});

/// EimPackageErrorWithCid, first octets `BF61` (SGP.32 v1.3 annex A). Sent by peers of v1.3 only.
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 97))]
pub struct EimPackageErrorWithCid {
    /// `A0{arm}` EimTransactionCorrelation: which package.
    #[rasn(tag(explicit(context, 0)))]
    #[serde(rename = "correlationId", default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<EimTransactionCorrelation>,
    /// `81` INTEGER: invalidPackageFormat(1), unknownPackage(2), undefinedError(127).
    #[rasn(tag(context, 1))]
    #[serde(rename = "eimPackageError")]
    pub eim_package_error: i64,
}

sequence!(EimPackageErrorWithCid = context(97); {
    correlation_id: optional_explicit(context(0)),
    eim_package_error: required(context(1)),
});

/// EimTransactionCorrelation, an untagged CHOICE (SGP.32 v1.3 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum EimTransactionCorrelation {
    /// `80` OCTET STRING (1..16): id the eIM gave.
    #[rasn(tag(context, 0))]
    EimTransactionId(TransactionId),
    /// `5A` OCTET STRING (16): EID of the eUICC.
    #[rasn(tag(application, 26))]
    EidValue(Octets<16, 16>),
}

choice!(EimTransactionCorrelation; {
    EimTransactionId: implicit(context(0)),
    EidValue: implicit(application(26)),
});
