//! eimId: the name by which eUICCs know an eIM (SGP.32 v1.2 2.11.1.1.1).

use super::{IdError, serde_as_text};
use std::fmt;
use std::str::FromStr;

/// The name of an eIM: 1 to 128 octets of UTF-8. Compared octet by octet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EimId(String);

impl EimId {
    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EimId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if (1..=128).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::Length { id: "an eimId", expected: "1 to 128 octets", found: text.len() })
        }
    }
}

impl fmt::Display for EimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(EimId);
