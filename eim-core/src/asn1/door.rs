//! The doors: octets in, values out, and back.
//!
//! Limits are checked on the whole input first; then the types read it, tolerating what [`super`] lists. Encoding
//! writes one form only: the DER of SGP.32 v1.2.

use rasn::Encode;

use super::error::{DecodeError, EncodeError};
use super::tlv::{Limits, Tlv, check};
use super::wire::{Wire, read_any};
use super::{EsipaMessageFromEimToIpa, EsipaMessageFromIpaToEim, ProvideEimPackageResult};

/// Reads a message that an IPA sent.
///
/// # Errors
/// [`DecodeError`] for octets that are no ESipa message; a result inside that can't be read is a
/// [`Lenient::Unknown`](super::Lenient), not an error.
pub fn decode_from_ipa(bytes: &[u8]) -> Result<EsipaMessageFromIpaToEim, DecodeError> {
    decode(bytes)
}

/// Reads a message that an eIM sent.
///
/// # Errors
/// [`DecodeError`] for octets that are no ESipa message.
pub fn decode_from_eim(bytes: &[u8]) -> Result<EsipaMessageFromEimToIpa, DecodeError> {
    decode(bytes)
}

/// Reads the `eimPackageResult` member of the JSON binding: a bare EimPackageResult (BF51, 30, BF52, BF54, A0) or a
/// whole BF50 (T22).
///
/// # Errors
/// [`DecodeError`] for octets that are not one data object.
pub fn decode_eim_package_result(bytes: &[u8]) -> Result<ProvideEimPackageResult, DecodeError> {
    check(bytes, &Limits::default())?;
    let tlv = Tlv::only(bytes)?;
    if ProvideEimPackageResult::matches(tlv.tag) {
        ProvideEimPackageResult::read(tlv)
    } else {
        Ok(ProvideEimPackageResult::of_bare(tlv))
    }
}

/// A type that [`decode`] reads: the types of this room, and no others.
pub trait Component: sealed::Sealed {}

impl<T: sealed::Sealed> Component for T {}

mod sealed {
    use super::{DecodeError, Tlv, Wire, read_any};

    pub trait Sealed: Sized {
        fn read_whole(octets: &[u8]) -> Result<Self, DecodeError>;
    }

    impl<T: Wire> Sealed for T {
        fn read_whole(octets: &[u8]) -> Result<Self, DecodeError> {
            read_any(Tlv::only(octets)?)
        }
    }
}

/// Reads one component, with the default [`Limits`]. Octets after it are refused.
///
/// # Errors
/// [`DecodeError`] for octets that are no `T`.
pub fn decode<T: Component>(bytes: &[u8]) -> Result<T, DecodeError> {
    decode_within(bytes, &Limits::default())
}

/// Reads one component within the given limits. Octets after it are refused.
///
/// # Errors
/// [`DecodeError`] for octets that are no `T`, or exceed the limits.
pub fn decode_within<T: Component>(bytes: &[u8], limits: &Limits) -> Result<T, DecodeError> {
    check(bytes, limits)?;
    T::read_whole(bytes)
}

/// Writes a value in DER.
///
/// # Errors
/// [`EncodeError`] when the value has no encoding.
pub fn encode<T: Encode>(value: &T) -> Result<Vec<u8>, EncodeError> {
    rasn::der::encode(value).map_err(|error| EncodeError { reason: error.to_string() })
}

/// Reads a value whose tag an implicit one has replaced, whatever it is: a list of the JSON binding.
pub(crate) fn decode_contents<T: Wire>(bytes: &[u8]) -> Result<T, DecodeError> {
    check(bytes, &Limits::default())?;
    T::read(Tlv::only(bytes)?)
}
