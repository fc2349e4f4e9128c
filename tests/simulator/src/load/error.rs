//! Why a load run could not be made.

use crate::fleet::FleetError;
use crate::ipa::IpaError;

/// What went wrong, and where.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The target is not on this machine.
    #[error("{target} is not loopback; say --allow-remote to mean it")]
    Remote {
        /// As it was given.
        target: String,
    },
    /// A connection failed.
    #[error("{target}: {cause}")]
    Connection {
        /// Where to.
        target: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A response that can't be read.
    #[error("the server sent no HTTP/1.1 response with a length: {what}")]
    Response {
        /// What was wrong.
        what: &'static str,
    },
    /// The API answered with an error.
    #[error("{request} was answered with status {status}: {body}")]
    Api {
        /// Method and path.
        request: String,
        /// Status.
        status: u16,
        /// The start of the body.
        body: String,
    },
    /// Something that has to be there before the run is not.
    #[error("{what}")]
    Setup {
        /// What.
        what: String,
    },
    /// The fleet.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// TLS configuration.
    #[error(transparent)]
    Ipa(#[from] IpaError),
}
