//! Calls to SM-DP+ and SM-DS (ES9+', ES11'; SGP.22 v2.5 6.5): who carries them out is not known here.

use crate::ids::RspAddress;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A future behind a trait object.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A function of ES9+' or ES11'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RspFunction {
    /// InitiateAuthentication (SGP.22 5.6.1, 5.8.1).
    InitiateAuthentication,
    /// AuthenticateClient (SGP.22 5.6.3, 5.8.2).
    AuthenticateClient,
    /// GetBoundProfilePackage (SGP.22 5.6.2).
    GetBoundProfilePackage,
    /// HandleNotification (SGP.22 5.6.4).
    HandleNotification,
    /// CancelSession (SGP.22 5.6.5).
    CancelSession,
}

impl RspFunction {
    /// Every function.
    pub const ALL: [Self; 5] = [
        Self::InitiateAuthentication,
        Self::AuthenticateClient,
        Self::GetBoundProfilePackage,
        Self::HandleNotification,
        Self::CancelSession,
    ];

    /// Its name, as in its path and in metrics.
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

    /// The function with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.as_str() == word)
    }

    /// Whether the server gives the same to the same call a second time, so that a call whose answer was lost may be made
    /// again: InitiateAuthentication starts a new session, GetBoundProfilePackage binds again, HandleNotification is
    /// known to the server already.
    #[must_use]
    pub const fn is_repeatable(self) -> bool {
        matches!(self, Self::InitiateAuthentication | Self::GetBoundProfilePackage | Self::HandleNotification)
    }
}

/// A call to be made: POST of a JSON body to `https://<address>/gsma/rsp2/es9plus/<function>`.
#[derive(Clone, PartialEq, Eq)]
pub struct RspCall {
    /// The server.
    pub address: RspAddress,
    /// The function.
    pub function: RspFunction,
    /// The JSON body. It may hold a matching identifier, so it never goes to a log.
    pub body: Vec<u8>,
}

impl fmt::Debug for RspCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RspCall({} at {}, {} octets)", self.function.as_str(), self.address, self.body.len())
    }
}

/// What a server answered, whatever the status.
#[derive(Clone, PartialEq, Eq)]
pub struct RspReply {
    /// The HTTP status.
    pub status: u16,
    /// The body, bounded by the caller's configuration.
    pub body: Vec<u8>,
}

impl fmt::Debug for RspReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RspReply(status {}, {} octets)", self.status, self.body.len())
    }
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", tag = "failure", content = "detail")]
pub enum RspFailure {
    /// The address may not be called: not on the allow list, or its host is in a private range.
    #[error("the address may not be called: {0}")]
    AddressRefused(String),
    /// The name can't be resolved or nobody accepts the connection.
    #[error("the server can't be reached: {0}")]
    Unreachable(String),
    /// The server's certificate, its name or the handshake is not in order.
    #[error("the TLS connection was refused: {0}")]
    Tls(String),
    /// No answer within the time.
    #[error("the server did not answer in time")]
    Timeout,
    /// The answer broke off, or is no HTTP.
    #[error("the answer broke off: {0}")]
    Broken(String),
    /// The answer is larger than the limit.
    #[error("the answer is larger than {0} octets")]
    TooLarge(usize),
    /// The server sent a redirect, which is not followed.
    #[error("the server redirects with status {0}, which is not followed")]
    Redirect(u16),
    /// Too many calls wait for this server, or for any.
    #[error("too many calls are under way")]
    Busy,
    /// The server failed so often that it is left alone for a while.
    #[error("the server failed too often and is left alone for a while")]
    CircuitOpen,
    /// The worker that made the call ended before its answer came, and the call can't be made twice.
    #[error("the call was interrupted")]
    Interrupted,
    /// No worker took the call in time.
    #[error("no worker took the call")]
    NoWorker,
}

impl RspFailure {
    /// A stable word for metrics, logs and the API.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::AddressRefused(_) => "addressRefused",
            Self::Unreachable(_) => "unreachable",
            Self::Tls(_) => "tls",
            Self::Timeout => "timeout",
            Self::Broken(_) => "broken",
            Self::TooLarge(_) => "tooLarge",
            Self::Redirect(_) => "redirect",
            Self::Busy => "busy",
            Self::CircuitOpen => "circuitOpen",
            Self::Interrupted => "interrupted",
            Self::NoWorker => "noWorker",
        }
    }
}

/// Makes calls: directly over HTTPS, or through a broker and a worker that does.
pub trait RspTransport: Send + Sync + 'static {
    /// Makes a call. It ends within [`Self::longest_call`].
    fn call(&self, call: RspCall) -> PortFuture<'_, Result<RspReply, RspFailure>>;

    /// How long a call may take at most.
    fn longest_call(&self) -> Duration;
}
