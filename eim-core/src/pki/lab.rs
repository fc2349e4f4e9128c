//! Lab acceptance: taking results of test cards whose certificates chain to no trusted CI, visibly unverified.
//!
//! It is a capability that configuration gives, not a switch in the verifiers: nothing becomes [`Verified`] by it, and
//! whoever handles such a value sees from its type what it is.

use super::verified::Verified;
use crate::asn1::Raw;

/// The permission to take unverified values. Without configuration there is no value of this type.
///
/// ```compile_fail
/// let policy = eim_core::pki::LabPolicy(());
/// ```
#[derive(Debug, Clone)]
pub struct LabPolicy(());

impl LabPolicy {
    /// The permission, when the configuration enables it. Only the composition root calls this.
    #[must_use]
    pub fn enabled_by_configuration(enabled: bool) -> Option<Self> {
        enabled.then_some(Self(()))
    }
}

/// A value that was taken without proof. There is no way from here to [`Verified`].
///
/// ```compile_fail
/// fn forge(unverified: eim_core::pki::Unverified<u8>) -> eim_core::pki::Verified<u8> {
///     unverified.into()
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Unverified<T> {
    value: T,
    octets: Vec<u8>,
}

impl<T> Unverified<T> {
    /// The value, as somebody sent it.
    #[must_use]
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// The octets of the object as received.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

/// Takes an object without verifying anything, under the lab policy.
#[must_use]
pub fn accept_unverified<T: Clone>(_policy: &LabPolicy, object: &Raw<T>) -> Unverified<T> {
    Unverified { value: object.value().clone(), octets: object.octets().to_vec() }
}

/// A value that may be acted upon: proven, or taken under the lab policy and marked so.
#[derive(Debug, Clone)]
pub enum Accepted<T> {
    /// Its signature verified.
    Verified(Verified<T>),
    /// It was taken without proof.
    Lab(Unverified<T>),
}

impl<T> Accepted<T> {
    /// The value.
    #[must_use]
    pub const fn value(&self) -> &T {
        match self {
            Self::Verified(verified) => verified.value(),
            Self::Lab(unverified) => unverified.value(),
        }
    }

    /// The octets of the object as received.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        match self {
            Self::Verified(verified) => verified.octets(),
            Self::Lab(unverified) => unverified.octets(),
        }
    }

    /// Whether there is proof.
    #[must_use]
    pub const fn is_verified(&self) -> bool {
        matches!(self, Self::Verified(_))
    }
}

impl<T> From<Verified<T>> for Accepted<T> {
    fn from(verified: Verified<T>) -> Self {
        Self::Verified(verified)
    }
}

impl<T> From<Unverified<T>> for Accepted<T> {
    fn from(unverified: Unverified<T>) -> Self {
        Self::Lab(unverified)
    }
}
