//! CancelSession of the eUICC (SGP.22 v2.5 5.7.14).

use rasn::types::Tag;
use rasn::{AsnType, Encode};
use serde::{Deserialize, Serialize};

use super::compact::CompactCancelSessionResponseOk;
use super::primitive::{OctetString, Oid, TransactionId};
use super::raw::Raw;
use super::wire::{application, choice, context, sequence, universal};

/// CancelSessionRequest, first octets `BF41` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 65))]
pub struct CancelSessionRequest {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `81` INTEGER: endUserRejection(0), postponed(1), timeout(2), pprNotAllowed(3), metadataMismatch(4),
    /// loadBppExecutionError(5), undefinedReason(127).
    #[rasn(tag(context, 1))]
    #[serde(rename = "reason")]
    pub reason: i64,
}

sequence!(CancelSessionRequest = context(65); {
    transaction_id: required(context(0)),
    reason: required(context(1)),
});

/// CancelSessionResponse, first octets `BF41{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 65)))]
#[serde(rename_all = "camelCase")]
pub enum CancelSessionResponse {
    /// `A0` CancelSessionResponseOk.
    #[rasn(tag(context, 0))]
    CancelSessionResponseOk(CancelSessionResponseOk),
    /// `81` INTEGER: invalidTransactionId(5), undefinedError(127).
    #[rasn(tag(context, 1))]
    CancelSessionResponseError(i64),
    /// `A2` CompactCancelSessionResponseOk.
    #[rasn(tag(context, 2))]
    CompactCancelSessionResponseOk(CompactCancelSessionResponseOk),
}

choice!(CancelSessionResponse = context(65); {
    CancelSessionResponseOk: implicit(context(0)),
    CancelSessionResponseError: implicit(context(1)),
    CompactCancelSessionResponseOk: implicit(context(2)),
});

/// CancelSessionResponseOk, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct CancelSessionResponseOk {
    /// `30` EuiccCancelSessionSigned.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "euiccCancelSessionSigned")]
    pub euicc_cancel_session_signed: Raw<EuiccCancelSessionSigned>,
    /// `5F37` OCTET STRING.
    #[rasn(tag(application, 55))]
    #[serde(rename = "euiccCancelSessionSignature")]
    pub euicc_cancel_session_signature: OctetString,
}

sequence!(CancelSessionResponseOk = Tag::SEQUENCE; {
    euicc_cancel_session_signed: required(universal(16)),
    euicc_cancel_session_signature: required(application(55)),
});

/// EuiccCancelSessionSigned, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct EuiccCancelSessionSigned {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `81` OBJECT IDENTIFIER: OID from CERT.DPauth.
    #[rasn(tag(context, 1))]
    #[serde(rename = "smdpOid")]
    pub smdp_oid: Oid,
    /// `82` INTEGER: endUserRejection(0), postponed(1), timeout(2), pprNotAllowed(3), metadataMismatch(4),
    /// loadBppExecutionError(5), undefinedReason(127).
    #[rasn(tag(context, 2))]
    #[serde(rename = "reason")]
    pub reason: i64,
}

sequence!(EuiccCancelSessionSigned = Tag::SEQUENCE; {
    transaction_id: required(context(0)),
    smdp_oid: required(context(1)),
    reason: required(context(2)),
});
