//! Functional errors of the relay functions as status codes (SGP.32 v1.2 5.2.6; SGP.22 v2.5 5.2.6).
//!
//! The published tables do not cover the codes that SGP.32 added; their pairs are this project's reading, see
//! docs/interpretations.md. The ASN.1 name goes along as `message`, so that no code is lost on the way.

use serde_json::{Value, json};

use crate::asn1::codes::{CodeTable, code_name, code_value};

/// A subject and a reason code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusCode {
    /// Dotted subject code, such as `8.10.1`.
    pub subject: &'static str,
    /// Dotted reason code, such as `3.9`.
    pub reason: &'static str,
}

const fn pair(subject: &'static str, reason: &'static str) -> StatusCode {
    StatusCode { subject, reason }
}

/// What a code of no entry, and 127, is shown as.
const UNDEFINED: StatusCode = pair("8.10", "4.2");

const INITIATE_AUTHENTICATION: &[(i64, StatusCode)] = &[
    (1, pair("8.8.1", "3.8")),
    (2, pair("8.8.3", "3.1")),
    (3, pair("8.8.2", "3.1")),
    (3, pair("8.8.4", "3.7")),
    (50, pair("8.8.1", "3.8")),
    (51, pair("8.8", "3.10")),
    (52, pair("8.10.1", "3.9")),
];

const AUTHENTICATE_CLIENT: &[(i64, StatusCode)] = &[
    (1, pair("8.1.2", "6.1")),
    (2, pair("8.1.2", "6.3")),
    (3, pair("8.1.3", "6.1")),
    (4, pair("8.1.3", "6.3")),
    (5, pair("8.1", "6.1")),
    (6, pair("8.2.6", "3.8")),
    (7, pair("8.1.1", "3.8")),
    (8, pair("8.2.5", "4.3")),
    (8, pair("8.2", "1.2")),
    (9, pair("8.11.1", "3.9")),
    (10, pair("8.10.1", "3.9")),
    (11, pair("8.1", "4.8")),
    (18, pair("8.8.5", "4.10")),
    (50, pair("8.2.8", "3.8")),
    (56, pair("8.9.5", "3.9")),
];

const GET_BOUND_PROFILE_PACKAGE: &[(i64, StatusCode)] = &[
    (1, pair("8.1", "6.1")),
    (2, pair("8.2.7", "2.2")),
    (3, pair("8.2.7", "3.8")),
    (4, pair("8.2.7", "6.4")),
    (5, pair("8.2", "3.7")),
    (6, pair("8.8.5", "4.10")),
    (50, pair("8.2.9", "3.8")),
    (95, pair("8.10.1", "3.9")),
];

const CANCEL_SESSION: &[(i64, StatusCode)] = &[(1, pair("8.10.1", "3.9")), (2, pair("8.1", "6.1"))];

const EIM_PACKAGE: &[(i64, StatusCode)] =
    &[(2, pair("8.1.1", "3.9")), (3, pair("8.1.1", "2.1")), (4, pair("8.1.1", "2.2"))];

fn entries(table: CodeTable) -> &'static [(i64, StatusCode)] {
    match table {
        CodeTable::InitiateAuthenticationErrorEsipa => INITIATE_AUTHENTICATION,
        CodeTable::AuthenticateClientErrorEsipa => AUTHENTICATE_CLIENT,
        CodeTable::GetBoundProfilePackageErrorEsipa => GET_BOUND_PROFILE_PACKAGE,
        CodeTable::CancelSessionError => CANCEL_SESSION,
        CodeTable::GetEimPackageError | CodeTable::ProvideEimPackageResultError => EIM_PACKAGE,
        _ => &[],
    }
}

impl StatusCode {
    /// The status code of an ESipa error code; undefined execution error for one that has none.
    #[must_use]
    pub fn of(table: CodeTable, code: i64) -> Self {
        entries(table).iter().find(|(known, _)| *known == code).map_or(UNDEFINED, |(_, status)| *status)
    }
}

/// Header of an answer without an error.
pub(super) fn success() -> Value {
    json!({"functionExecutionStatus": {"status": "Executed-Success"}})
}

/// Header of an answer whose error code stands in a member of the body.
pub(super) fn failed() -> Value {
    json!({"functionExecutionStatus": {"status": "Failed"}})
}

/// Header of an answer whose error has no member of its own.
pub(super) fn failed_with(table: CodeTable, code: i64) -> Value {
    let status = StatusCode::of(table, code);
    let message = code_name(table, code).map_or_else(|| code.to_string(), str::to_owned);
    json!({"functionExecutionStatus": {
        "status": "Failed",
        "statusCodeData": {"subjectCode": status.subject, "reasonCode": status.reason, "message": message},
    }})
}

/// The error code in the header of an answer; `None` for a success or without a header.
///
/// The ASN.1 name in `message` decides, if it is one of the table; else the first code with this subject and reason.
pub(super) fn error_in(header: Option<&Value>, table: CodeTable) -> Option<i64> {
    let execution = header?.get("functionExecutionStatus")?;
    if matches!(execution.get("status")?.as_str()?, "Executed-Success" | "Executed-WithWarning") {
        return None;
    }
    let member = |name: &str| execution.get("statusCodeData")?.get(name)?.as_str();
    let named = member("message").and_then(|name| code_value(table, name));
    let found = || {
        let (subject, reason) = (member("subjectCode")?, member("reasonCode")?);
        let status = entries(table).iter().find(|(_, status)| status.subject == subject && status.reason == reason);
        status.map(|(code, _)| *code)
    };
    Some(named.or_else(found).unwrap_or(127))
}
