//! Why an answer gives nothing to go on with.

use super::{ServerKind, ServerStatus};
use crate::ports::RspFunction;

/// An answer that is no success. Never holds a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RspError {
    /// The HTTP status is none of success, and the body does not say why.
    #[error("the server answered with HTTP status {status}")]
    Http {
        /// The HTTP status.
        status: u16,
    },
    /// The answer is not what the function answers with.
    #[error("the server's answer has no usable {what}")]
    Malformed {
        /// The member, or the part of the answer.
        what: &'static str,
    },
    /// It is of another session than what the server signed in it.
    #[error("the transactionId beside the server's signed data is another one")]
    Session,
    /// The server carried the function out and refused.
    #[error("the server refused with {0}")]
    Refused(ServerStatus),
}

impl RspError {
    /// The cause and the next step, a sentence or two for the operator.
    #[must_use]
    pub fn explain(&self, function: RspFunction, kind: ServerKind) -> String {
        let (server, function_name) = (kind.as_str(), function.as_str());
        match self {
            Self::Http { status: status @ (404 | 405) } => format!(
                "The {server} answered {function_name} with HTTP status {status}: nothing answers there. Check that \
                 the address is that of an {server}."
            ),
            Self::Http { status: status @ (401 | 403) } => format!(
                "The {server} answered {function_name} with HTTP status {status}: this eIM may not call it. Ask its \
                 provider to let the eIM in."
            ),
            Self::Http { status } => format!(
                "The {server} answered {function_name} with HTTP status {status} and gave no reason. Try again later; \
                 if it stays so, ask its provider."
            ),
            Self::Malformed { what } => format!(
                "The {server} answered {function_name} without a usable {what}. Ask its provider which version of \
                 SGP.22 it follows."
            ),
            Self::Session => format!(
                "The {server} answered {function_name} with the transactionId of another session. Nothing of it was used. \
                 Tell its provider."
            ),
            Self::Refused(status) => status.explain(function, kind),
        }
    }

    /// The ASN.1 name of the ESipa error that this becomes.
    #[must_use]
    pub fn name(&self, function: RspFunction, kind: ServerKind) -> &'static str {
        match self {
            Self::Refused(status) => status.name(function, kind),
            Self::Http { .. } | Self::Malformed { .. } | Self::Session => "undefinedError",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_to_do_about_an_http_status() {
        let explain = |status| {
            let error = RspError::Http { status };
            assert_eq!(error.name(RspFunction::CancelSession, ServerKind::SmDpPlus), "undefinedError");
            error.explain(RspFunction::InitiateAuthentication, ServerKind::SmDs)
        };
        assert!(explain(404).contains("address"));
        assert!(explain(403).contains("may not call"));
        assert!(explain(503).contains("Try again"));
        let malformed = RspError::Malformed { what: "serverSigned1" };
        let text = malformed.explain(RspFunction::InitiateAuthentication, ServerKind::SmDpPlus);
        assert!(text.contains("SM-DP+") && text.contains("serverSigned1"), "{text}");
    }
}
