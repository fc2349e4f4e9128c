//! The JSON binding of ES9+' and ES11': bodies to send to SM-DP+ and SM-DS, and how their answers are judged
//! (SGP.22 v2.5 6.5, 5.6, 5.8).
//!
//! One module per function, each with the `body` of its request and a `read` of the answer. Nothing here makes a call
//! (that is [`RspTransport`](crate::ports::RspTransport)), verifies a signature, or knows a session: what servers signed
//! comes out with its octets as received. Bodies and answers hold matching identifiers, so nothing here shows them.

pub mod authenticate_client;
pub mod cancel_session;
mod error;
mod failure;
pub mod get_bound_profile_package;
pub mod handle_notification;
pub mod initiate_authentication;
mod json;
mod status;

pub use error::RspError;
pub use failure::explain_failure;
pub use status::ServerStatus;

/// What kind of server a session is with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerKind {
    /// An SM-DP+: ES9+'.
    SmDpPlus,
    /// An SM-DS: ES11'.
    SmDs,
}

impl ServerKind {
    /// The name of the kind.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SmDpPlus => "SM-DP+",
            Self::SmDs => "SM-DS",
        }
    }
}
