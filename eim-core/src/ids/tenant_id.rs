//! The tenant whose rows a query may see.

/// A tenant: an organisation whose devices, keys and campaigns no other one sees. Every row and every query carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(i64);

impl TenantId {
    /// The first tenant, that of whoever runs the server; the only one of a server without tenants.
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
