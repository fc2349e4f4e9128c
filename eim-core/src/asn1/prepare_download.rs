//! PrepareDownload (SGP.22 v2.5 5.7.5).

use rasn::types::Tag;
use rasn::{AsnType, Encode};
use serde::{Deserialize, Serialize};

use super::compact::CompactPrepareDownloadResponseOk;
use super::primitive::{OctetString, Octets, TransactionId};
use super::raw::Raw;
use super::wire::{application, choice, context, sequence, universal};

/// SmdpSigned2, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct SmdpSigned2 {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `01` BOOLEAN: 01 01 FF / 01 01 00.
    #[rasn(tag(universal, 1))]
    #[serde(rename = "ccRequiredFlag")]
    pub cc_required_flag: bool,
    /// `5F49` OCTET STRING: retry with the same otPK.
    #[rasn(tag(application, 73))]
    #[serde(rename = "bppEuiccOtpk", default, skip_serializing_if = "Option::is_none")]
    pub bpp_euicc_otpk: Option<OctetString>,
}

sequence!(SmdpSigned2 = Tag::SEQUENCE; {
    transaction_id: required(context(0)),
    cc_required_flag: required(universal(1)),
    bpp_euicc_otpk: optional(application(73)),
});

/// PrepareDownloadResponse, first octets `BF21{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 33)))]
#[serde(rename_all = "camelCase")]
pub enum PrepareDownloadResponse {
    /// `A0` PrepareDownloadResponseOk.
    #[rasn(tag(context, 0))]
    DownloadResponseOk(PrepareDownloadResponseOk),
    /// `A1` PrepareDownloadResponseError.
    #[rasn(tag(context, 1))]
    DownloadResponseError(PrepareDownloadResponseError),
    /// `A2` CompactPrepareDownloadResponseOk.
    #[rasn(tag(context, 2))]
    CompactDownloadResponseOk(CompactPrepareDownloadResponseOk),
}

choice!(PrepareDownloadResponse = context(33); {
    DownloadResponseOk: implicit(context(0)),
    DownloadResponseError: implicit(context(1)),
    CompactDownloadResponseOk: implicit(context(2)),
});

/// PrepareDownloadResponseOk, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct PrepareDownloadResponseOk {
    /// `30` EUICCSigned2.
    #[rasn(tag(universal, 16))]
    #[serde(rename = "euiccSigned2")]
    pub euicc_signed2: Raw<EUICCSigned2>,
    /// `5F37` OCTET STRING: over euiccSigned2 || 5F37 TLV of smdpSignature2.
    #[rasn(tag(application, 55))]
    #[serde(rename = "euiccSignature2")]
    pub euicc_signature2: OctetString,
}

sequence!(PrepareDownloadResponseOk = Tag::SEQUENCE; {
    euicc_signed2: required(universal(16)),
    euicc_signature2: required(application(55)),
});

/// EUICCSigned2, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct EUICCSigned2 {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `5F49` OCTET STRING: 65 octets, uncompressed point.
    #[rasn(tag(application, 73))]
    #[serde(rename = "euiccOtpk")]
    pub euicc_otpk: OctetString,
    /// `04` OCTET STRING (32): SHA256(SHA256(confirmation code) || transactionId).
    #[rasn(tag(universal, 4))]
    #[serde(rename = "hashCc", default, skip_serializing_if = "Option::is_none")]
    pub hash_cc: Option<Octets<32, 32>>,
}

sequence!(EUICCSigned2 = Tag::SEQUENCE; {
    transaction_id: required(context(0)),
    euicc_otpk: required(application(73)),
    hash_cc: optional(universal(4)),
});

/// PrepareDownloadResponseError, first octets `30` (SGP.22 v2.5 annex H).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct PrepareDownloadResponseError {
    /// `80` OCTET STRING (1..16): RSP session id chosen by the SM-DP+/SM-DS, 1..16 octets.
    #[rasn(tag(context, 0))]
    #[serde(rename = "transactionId")]
    pub transaction_id: TransactionId,
    /// `02` INTEGER: invalidCertificate(1), invalidSignature(2), unsupportedCurve(3), noSessionContext(4),
    /// invalidTransactionId(5), undefinedError(127).
    #[rasn(tag(universal, 2))]
    #[serde(rename = "downloadErrorCode")]
    pub download_error_code: i64,
}

sequence!(PrepareDownloadResponseError = Tag::SEQUENCE; {
    transaction_id: required(context(0)),
    download_error_code: required(universal(2)),
});
