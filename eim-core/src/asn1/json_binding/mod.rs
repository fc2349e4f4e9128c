//! The JSON binding of ESipa: the same messages in JSON bodies (SGP.32 v1.2 6.4).
//!
//! Objects are base64 of their DER including the tag, identifiers are text, answers begin with a `header`. What comes
//! out of a body goes through the same doors as the ASN.1 binding. The binding knows no HTTP: paths, status codes and
//! media types are the caller's.
//!
//! TransferEimPackage turns the roles round: the eIM sends its request, the IPA its response. Here a message counts by
//! its sender: [`json_request_to_message`] reads every body an IPA writes, [`message_to_json_response`] writes every
//! body an eIM sends.

mod body;
mod from_eim;
mod from_ipa;
mod status;

pub use from_eim::{json_response_to_message, message_to_json_response};
pub use from_ipa::{json_request_to_message, message_to_json_request};
pub use status::StatusCode;

use super::error::{DecodeError, EncodeError};

/// Longest body that is read: a message of 1 MiB in base64 and some members around it.
pub const MAX_JSON_BYTES: usize = 3 << 19;

/// The ESipa functions of the JSON binding, each a path `/gsma/rsp2/esipa/<suffix>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EsipaFunction {
    /// 6.4.1.1.
    InitiateAuthentication,
    /// 6.4.1.2.
    AuthenticateClient,
    /// 6.4.1.3.
    GetBoundProfilePackage,
    /// 6.4.1.4; the eIM sends the request.
    TransferEimPackage,
    /// 6.4.1.5.
    GetEimPackage,
    /// 6.4.1.6.
    ProvideEimPackageResult,
    /// 6.4.1.7; has no response body.
    HandleNotification,
    /// 6.4.1.8.
    CancelSession,
}

impl EsipaFunction {
    /// Every function, in the order of the specification.
    pub const ALL: [Self; 8] = [
        Self::InitiateAuthentication,
        Self::AuthenticateClient,
        Self::GetBoundProfilePackage,
        Self::TransferEimPackage,
        Self::GetEimPackage,
        Self::ProvideEimPackageResult,
        Self::HandleNotification,
        Self::CancelSession,
    ];

    /// The function of a path's last segment; exact, as deployed IPAs write it.
    #[must_use]
    pub fn from_path_suffix(suffix: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.path_suffix() == suffix)
    }

    /// The last segment of the function's path.
    #[must_use]
    pub const fn path_suffix(self) -> &'static str {
        match self {
            Self::InitiateAuthentication => "initiateAuthentication",
            Self::AuthenticateClient => "authenticateClient",
            Self::GetBoundProfilePackage => "getBoundProfilePackage",
            Self::TransferEimPackage => "transferEimPackage",
            Self::GetEimPackage => "getEimPackage",
            Self::ProvideEimPackageResult => "provideEimPackageResult",
            Self::HandleNotification => "handleNotification",
            Self::CancelSession => "cancelSession",
        }
    }
}

/// A body that is no message of the function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonBindingError {
    /// The body is longer than [`MAX_JSON_BYTES`].
    #[error("{bytes} octets of JSON are more than the {MAX_JSON_BYTES} that are read")]
    TooLarge {
        /// Length of the body.
        bytes: usize,
    },
    /// Not one JSON object in UTF-8; also a member that occurs twice, or nesting beyond 128 levels.
    #[error("not a JSON object: {reason}")]
    NotAnObject {
        /// What the parser said.
        reason: String,
    },
    /// A mandatory member is absent or null.
    #[error("{member} is missing")]
    Missing {
        /// Name of the member.
        member: &'static str,
    },
    /// A member has the wrong type or is not base64, hex or a number where it should be.
    #[error("{member}: {reason}")]
    Member {
        /// Name of the member.
        member: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The octets of a member are not the object they should be.
    #[error("{member}: {cause}")]
    Object {
        /// Name of the member.
        member: &'static str,
        /// What was wrong with the octets.
        cause: DecodeError,
    },
    /// The function has no body in this direction.
    #[error("{} has no body in this direction", .function.path_suffix())]
    NoBody {
        /// The function.
        function: EsipaFunction,
    },
    /// A value has no encoding.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
