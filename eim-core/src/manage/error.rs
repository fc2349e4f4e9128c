//! What can go wrong in a use case, named by culprit.

pub use crate::domain::FieldError;

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
    /// Values of the request can't be taken.
    #[error("the request has {} value(s) that can't be taken", .0.len())]
    Invalid(Vec<FieldError>),
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
