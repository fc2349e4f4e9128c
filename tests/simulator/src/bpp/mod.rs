//! Bound Profile Packages: how an SM-DP+ binds a profile to one eUICC, and how that eUICC opens it (SGP.22 v2.5 2.5,
//! 2.6.4, 5.5).
//!
//! ```text
//! BF36 { BF23 { 82 remoteOpId, 80 transactionId, A6 { 80 88, 81 10, 84 hostId }, 5F49 smdpOtpk, 5F37 smdpSign },
//!        A0 { 87 .. }   ConfigureISDP          encrypted, MAC
//!        A1 { 88 .. }   StoreMetadata          MAC
//!        A2 { 87 .. }   ReplaceSessionKeys     encrypted, MAC, where there are protection keys
//!        A3 { 86 .. } } profile elements       encrypted, MAC
//! ```
//!
//! Both ends are ours, and an eIM passes the octets on. Where the annex leaves room these are the choices:
//! one-time keys are on P-256 whatever the curve of the certificates; the block counter starts at 1, counts blocks that
//! are only MACed, too, and starts again at 1 when the keys are replaced; the length of a block includes its MAC and is
//! part of what is MACed; a StoreMetadata longer than one block is cut like everything else; blocks of plaintext have
//! at most 1007 octets, so that a whole block has at most 1020.

mod bind;
mod channel;
mod keys;
mod open;

pub use bind::{BindRequest, bind};
pub use keys::otpk;
pub use open::{OpenError, Opened, open};

/// Why a package can't be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BppError {
    /// The scalar is zero or not below the order of the group.
    #[error("the one-time secret is out of range")]
    Secret,
    /// The eUICC's one-time key is no uncompressed point of P-256.
    #[error("euiccOtpk is not a point of P-256")]
    Point,
}

#[cfg(test)]
mod tests;
