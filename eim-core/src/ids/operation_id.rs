//! The local name of an operation.

use super::{IdError, serde_as_text};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The name of an operation in the API and the store: a UUID of version 7, so that names sort by time of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperationId(Uuid);

impl OperationId {
    /// Builds the name from the time of creation (milliseconds since 1970) and ten random octets.
    #[must_use]
    pub fn new(created_at_ms: i64, random: [u8; 10]) -> Self {
        let millis = u64::try_from(created_at_ms).unwrap_or_default();
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}

impl FromStr for OperationId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Uuid::try_parse(text).map(Self).map_err(|_| IdError::Character { id: "an operation id", expected: "a UUID" })
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

serde_as_text!(OperationId);
