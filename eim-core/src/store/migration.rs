//! Migrations that a newer version has run. One that only expands the schema leaves this version at work beside the newer one; one that
//! contracts it does not, and says so in its number, which is all that a database keeps of it.

use super::StoreError;
use diesel::migration::MigrationVersion;
use std::fmt;

/// How the last six digits of a migration begin that contracts the schema.
const CONTRACTS: &str = "9";

/// The number of a migration as a database keeps it: the day and six digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MigrationNumber(String);

impl MigrationNumber {
    pub(super) fn of(version: &MigrationVersion<'_>) -> Self {
        Self(version.to_string())
    }

    /// Whether it takes away what versions before still use.
    #[must_use]
    pub fn contracts(&self) -> bool {
        self.0.get(8..).is_some_and(|rest| rest.starts_with(CONTRACTS))
    }
}

impl MigrationNumber {
    /// Refuses to migrate where a newer version has contracted the schema: what is missing there is not missed.
    pub(super) fn refuse_contracted(unknown: &[Self]) -> Result<(), StoreError> {
        let Some(contracting) = unknown.iter().find(|number| number.contracts()) else { return Ok(()) };
        let told = format!("a newer version has taken away what this version needs (migration {contracting})");
        Err(StoreError::Migration(told))
    }
}

impl fmt::Display for MigrationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contracts_is_known_by_its_number() {
        let contracts = |text: &str| MigrationNumber::of(&MigrationVersion::from(text)).contracts();
        assert!(contracts("20270301900001"));
        assert!(!contracts("20270301000090"));
        assert!(!contracts("20279999099999"));
        assert!(!contracts("9"));
    }
}
