//! A software eUICC and an IPA that exercise an eIM over real TLS, an SM-DP+ and an SM-DS, and the PKI they need.
//!
//! Of the eIM's library it uses the identifiers, the wire types and the cryptography, never its decisions: what the eIM
//! gets wrong must not be got wrong here in the same way. Nothing here is fit for anything but tests.

pub mod bpp;
pub mod euicc;
pub mod fleet;
pub mod ipa;
pub mod load;
pub mod pki;
pub mod rsp;
pub mod tlv;
