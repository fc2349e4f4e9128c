//! What can go wrong in a use case, named by culprit.

pub use crate::domain::FieldError;
use crate::domain::fleet::{Check, guard};

fn refused(checks: &[Check]) -> String {
    guard::refusal(checks).map_or_else(String::new, |check| match &check.cure {
        Some(cure) => format!("{} {cure}", check.message),
        None => check.message.clone(),
    })
}

/// Why a use case was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// What was asked for does not exist.
    #[error("there is no {what} {id}")]
    NotFound {
        /// The kind of thing.
        what: &'static str,
        /// Its name as given.
        id: String,
    },
    /// The state does not allow it now.
    #[error("{message}")]
    Conflict {
        /// A stable word for the problem type, for example `operation-delivered`.
        slug: &'static str,
        /// Why, in a sentence.
        message: String,
    },
    /// The never-strand guard refuses it.
    #[error("{}", refused(.0))]
    Guard(Vec<Check>),
    /// The role of the caller does not reach.
    #[error("{0}")]
    Forbidden(String),
    /// Values of the request can't be taken.
    #[error("the request has {} value(s) that can't be taken", .0.len())]
    Invalid(Vec<FieldError>),
    /// The signing key could not be used.
    #[error(transparent)]
    Signer(#[from] crate::ports::SignerError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

impl ManageError {
    /// One value that can't be taken.
    #[must_use]
    pub fn invalid(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, message)])
    }
}
