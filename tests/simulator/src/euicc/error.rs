//! Why the software eUICC could not answer at all.

use eim_core::asn1::EncodeError;

/// What a card would answer with a status word, not with data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EuiccError {
    /// The command is none that can be read.
    #[error("the command is not a {expected}")]
    Command {
        /// What it should have been, an ASN.1 type name.
        expected: &'static str,
    },
    /// The command is for a session that is not there.
    #[error("there is no session in which a download was prepared")]
    Session,
    /// The command was refused by a status word.
    #[error("the command was refused")]
    Refused,
    /// The answer has no encoding: a mistake in the state that a test made.
    #[error("the answer can't be written: {0}")]
    Answer(#[from] EncodeError),
}

/// Shortens `ok_or(EuiccError::Command {..})`.
pub(super) const fn command(expected: &'static str) -> EuiccError {
    EuiccError::Command { expected }
}
