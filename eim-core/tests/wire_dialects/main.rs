//! What the field and other versions send, read as the value of v1.2 (CX-03): a known answer per tolerance.
//!
//! The octets are written out by hand, one data object a line, `--` before its name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod data;
mod encoding;
mod kept;
mod notification;
mod result;

use eim_core::asn1::{self, *};
use serde::Serialize;
use serde_json::Value;

/// Octets from annotated hex.
pub fn octets(text: &str) -> Vec<u8> {
    let hex: String = text.lines().filter_map(|line| line.split("--").next()).flat_map(str::split_whitespace).collect();
    hex::decode(hex).unwrap()
}

/// The JSON value of a message.
pub fn json_of<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap()
}

/// The dialect has the value of the canonical form and is written as that.
pub fn reads_as<T>(dialect: &str, canonical: &str)
where
    T: Component + rasn::Encode + Serialize,
{
    let (dialect, canonical) = (octets(dialect), octets(canonical));
    let read: T = asn1::decode(&dialect).unwrap();
    assert_eq!(json_of(&read), json_of(&asn1::decode::<T>(&canonical).unwrap()));
    assert!(!json_of(&read).to_string().contains("unknown\":"), "{}", json_of(&read));
    assert_eq!(hex::encode(asn1::encode(&read).unwrap()), hex::encode(canonical));
}

/// The dialect has the value of the canonical form; it is inside signed data and so is written as received.
pub fn reads_inside_signed_data_as<T>(dialect: &str, canonical: &str)
where
    T: Component + rasn::Encode + Serialize,
{
    let (dialect, canonical) = (octets(dialect), octets(canonical));
    let read: T = asn1::decode(&dialect).unwrap();
    assert_eq!(json_of(&read), json_of(&asn1::decode::<T>(&canonical).unwrap()));
    assert!(!json_of(&read).to_string().contains("unknown\":"), "{}", json_of(&read));
    assert_eq!(hex::encode(asn1::encode(&read).unwrap()), hex::encode(dialect));
}

/// A signed result with one operation.
pub const RESULT: &str = "
    BF 51 1D -- EuiccPackageResult
        A0 1B -- euiccPackageResultSigned
            30 12 -- euiccPackageResultDataSigned
                80 01 65 -- eimId e
                81 01 0A -- counterValue 10
                82 02 A1 B2 -- eimTransactionId
                83 01 0B -- seqNumber 11
                30 03 -- euiccResult
                    83 01 00 -- enableResult ok(0)
            5F 37 04 01 02 03 04 -- euiccSignEPR
";

/// Its signed data.
pub const RESULT_DATA: &str = "
    30 12 -- euiccPackageResultDataSigned
        80 01 65 -- eimId e
        81 01 0A -- counterValue 10
        82 02 A1 B2 -- eimTransactionId
        83 01 0B -- seqNumber 11
        30 03 -- euiccResult
            83 01 00 -- enableResult ok(0)
";

/// The signed data of an error.
pub const ERROR_DATA: &str = "
    30 09 -- euiccPackageErrorDataSigned
        80 01 65 -- eimId e
        81 01 0A -- counterValue 10
        02 01 04 -- euiccPackageErrorCode replayError(4)
";

/// A Profile Installation Result.
pub const INSTALLATION_RESULT: &str = "
    BF 37 29 -- ProfileInstallationResult
        BF 27 1F -- ProfileInstallationResultData
            80 01 01 -- transactionId
            BF 2F 0A -- NotificationMetadata
                80 01 05 -- seqNumber 5
                81 02 07 80 -- install
                0C 01 61 -- notificationAddress a
            06 03 88 37 0A -- smdpOid 2.999.10
            A2 08 -- finalResult
                A1 06 -- errorResult
                    80 01 05 -- bppCommandId loadProfileElements(5)
                    81 01 0C -- errorReason 12
        5F 37 04 01 02 03 04 -- euiccSignPIR
";

/// A notification with its certificates.
pub const SIGNED_NOTIFICATION: &str = "
    30 34 -- OtherSignedNotification
        BF 2F 0A -- NotificationMetadata
            80 01 0C -- seqNumber 12
            81 02 06 40 -- enable
            0C 01 61 -- notificationAddress a
        5F 37 04 01 02 03 04 -- euiccNotificationSignature
        30 0E -- euiccCertificate
            30 03 02 01 02 -- tbsCertificate
            30 03 06 01 55 -- signatureAlgorithm
            03 02 00 AA -- signature
        30 0E -- eumCertificate
            30 03 02 01 02 -- tbsCertificate
            30 03 06 01 55 -- signatureAlgorithm
            03 02 00 AA -- signature
";

/// A compact notification.
pub const COMPACT_NOTIFICATION: &str = "
    A1 26 -- compactOtherSignedNotification
        5A 10 89 04 90 32 00 00 00 00 00 00 00 00 00 00 01 63 -- eidValue
        BF 2F 0A -- NotificationMetadata
            80 01 0C -- seqNumber 12
            81 02 06 40 -- enable
            0C 01 61 -- notificationAddress a
        5F 37 04 01 02 03 04 -- euiccNotificationSignature
";

/// A compact installation result.
pub const COMPACT_INSTALLATION_RESULT: &str = "
    A0 17 -- compactProfileInstallationResult
        A0 0E -- compactProfileInstallationResultData
            80 01 01 -- transactionId
            02 01 05 -- seqNumber 5
            A2 06 -- compactFinalResult
                A0 04 -- compactSuccessResult
                    4F 02 00 11 -- compactAid
        5F 37 04 01 02 03 04 -- euiccSignPIR
";

/// The three parts of something shaped like a certificate.
pub const CERTIFICATE_PARTS: &str = "
    30 03 02 01 02 -- tbsCertificate
    30 03 06 01 55 -- signatureAlgorithm
    03 02 00 AA -- signature
";
