//! What can go wrong in the store.

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address of the store can't be read.
    #[error("{0}")]
    Url(String),
    /// The store could not be reached or opened.
    #[error("the store could not be opened: {0}")]
    Open(String),
    /// A named transaction failed.
    #[error("transaction {name} failed: {source}")]
    Transaction {
        /// The transaction.
        name: &'static str,
        /// Why.
        source: diesel::result::Error,
    },
    /// A stored value can't be read back: the row was changed by something else, or by a newer version.
    #[error("column {column} holds a value that this version can't read")]
    Corrupt {
        /// The column.
        column: &'static str,
    },
    /// Too many transactions wait already.
    #[error("the store is overloaded")]
    Overloaded,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A migration failed.
    #[error("a migration failed: {0}")]
    Migration(String),
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        !matches!(self, Self::Corrupt { .. } | Self::Url(_) | Self::Migration(_))
    }
}

impl From<diesel::result::Error> for StoreError {
    fn from(source: diesel::result::Error) -> Self {
        Self::Transaction { name: "", source }
    }
}
