//! Why an IPA could not do its work.

use crate::euicc::EuiccError;

/// Names the culprit: the network, the eIM, or the eUICC.
#[derive(Debug, thiserror::Error)]
pub enum IpaError {
    /// No TCP connection.
    #[error("can't connect to {address}: {cause}")]
    Connect {
        /// Where to.
        address: std::net::SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// No TLS session: also when the certificate is not trusted.
    #[error("TLS: {0}")]
    Tls(String),
    /// The HTTP exchange broke off.
    #[error("HTTP: {0}")]
    Http(String),
    /// No answer in time.
    #[error("no answer within {timeout_ms} ms")]
    Timeout {
        /// How long it waited.
        timeout_ms: u128,
    },
    /// Another status than 200 or 204.
    #[error("the eIM answered with status {status}")]
    Status {
        /// Which one.
        status: u16,
    },
    /// An answer that is none.
    #[error("the eIM answered with something else than {what}")]
    Protocol {
        /// What was expected.
        what: &'static str,
    },
    /// The eUICC refused the command.
    #[error("eUICC: {0}")]
    Euicc(#[from] EuiccError),
}
