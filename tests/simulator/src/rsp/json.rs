//! The JSON binding of ES9+ and ES11: names, members, status (SGP.22 v2.5 6.5).

use super::core::Refusal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A function of ES9+ or ES11.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RspFunction {
    /// ES9+ and ES11 InitiateAuthentication.
    InitiateAuthentication,
    /// ES9+ and ES11 AuthenticateClient.
    AuthenticateClient,
    /// ES9+ GetBoundProfilePackage.
    GetBoundProfilePackage,
    /// ES9+ HandleNotification.
    HandleNotification,
    /// ES9+ CancelSession.
    CancelSession,
}

impl RspFunction {
    const ALL: [Self; 5] = [
        Self::InitiateAuthentication,
        Self::AuthenticateClient,
        Self::GetBoundProfilePackage,
        Self::HandleNotification,
        Self::CancelSession,
    ];

    /// The last part of its path.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InitiateAuthentication => "initiateAuthentication",
            Self::AuthenticateClient => "authenticateClient",
            Self::GetBoundProfilePackage => "getBoundProfilePackage",
            Self::HandleNotification => "handleNotification",
            Self::CancelSession => "cancelSession",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.as_str() == word)
    }
}

/// The text of a member.
pub(super) fn text<'a>(request: &'a Value, member: &str) -> Result<&'a str, Refusal> {
    request.get(member).and_then(Value::as_str).ok_or(Refusal::MISSING)
}

/// The octets of a member in base64.
pub(super) fn octets(request: &Value, member: &str) -> Result<Vec<u8>, Refusal> {
    STANDARD.decode(text(request, member)?).map_err(|_| Refusal::INVALID)
}

/// The octets of the member transactionId.
pub(super) fn transaction_id(request: &Value) -> Result<Vec<u8>, Refusal> {
    hex::decode(text(request, "transactionId")?).map_err(|_| Refusal::INVALID)
}

/// Base64, in lines of 76 characters where that is asked for.
pub(super) fn base64(octets: &[u8], line_breaks: bool) -> String {
    let text = STANDARD.encode(octets);
    if !line_breaks {
        return text;
    }
    let mut lines = String::new();
    for (at, character) in text.chars().enumerate() {
        if at > 0 && at % 76 == 0 {
            lines.push_str("\r\n");
        }
        lines.push(character);
    }
    lines
}

/// The header of a success.
pub(super) fn success() -> Value {
    json!({ "functionExecutionStatus": { "status": "Executed-Success" } })
}

/// The whole answer of a refusal.
pub(super) fn failure(refusal: &Refusal) -> Value {
    json!({ "header": { "functionExecutionStatus": {
        "status": "Failed",
        "statusCodeData": { "subjectCode": refusal.subject, "reasonCode": refusal.reason },
    } } })
}
