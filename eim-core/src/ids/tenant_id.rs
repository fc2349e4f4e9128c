//! The tenant whose rows a query may see.

/// A tenant. There is one today; every row and every query already carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TenantId(i64);

impl TenantId {
    /// The only tenant of a server without tenants.
    pub const DEFAULT: Self = Self(1);

    /// The tenant with this number in the store.
    #[must_use]
    pub const fn from_value(value: i64) -> Self {
        Self(value)
    }

    /// The number in the store.
    #[must_use]
    pub const fn value(self) -> i64 {
        self.0
    }
}
