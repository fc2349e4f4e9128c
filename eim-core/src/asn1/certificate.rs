//! X.509 objects, kept as octets: their contents are read elsewhere.
//!
//! Under an implicit tag (A5, A6, A0, A1) the outer 30 is not on the wire. It is put back on reading and taken off on
//! writing. A whole object inside the tag is accepted (T8, T9) and never written.

use std::fmt;

use rasn::types::{Constraints, Identifier, Tag};
use rasn::{AsnType, Encode, Encoder};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::error::DecodeError;
use super::primitive::hex_octets;
use super::raw::write_octets;
use super::tlv::Tlv;
use super::wire::{Wire, rasn_decode};

macro_rules! x509_object {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $type(Vec<u8>);

        impl $type {
            /// Takes a complete DER object, `30 ..`.
            ///
            /// # Errors
            /// [`DecodeError`] unless `der` is one SEQUENCE and nothing else.
            pub fn from_der(der: &[u8]) -> Result<Self, DecodeError> {
                let tlv = Tlv::only(der)?;
                if tlv.tag != Tag::SEQUENCE || !tlv.constructed {
                    return Err(DecodeError::UnexpectedTag { tag: tlv.tag, expected: stringify!($type) });
                }
                Ok(Self(der.to_vec()))
            }

            /// The complete DER object, `30 ..`.
            #[must_use]
            pub fn der(&self) -> &[u8] {
                &self.0
            }
        }

        impl AsnType for $type {
            const TAG: Tag = Tag::SEQUENCE;
        }

        impl Encode for $type {
            fn encode_with_tag_and_constraints<'b, E: Encoder<'b>>(
                &self,
                encoder: &mut E,
                tag: Tag,
                _: &Constraints,
                _: Identifier,
            ) -> Result<(), E::Error> {
                write_octets(encoder, &self.0, tag)
            }
        }

        impl Wire for $type {
            const NAME: &'static str = stringify!($type);

            fn natural() -> Option<Tag> {
                Some(Tag::SEQUENCE)
            }

            fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
                Ok(Self(complete(tlv)?))
            }
        }
        rasn_decode!($type);

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(&self.0))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&hex::encode(&self.0))
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::from_der(&hex_octets(deserializer)?).map_err(de::Error::custom)
            }
        }
    };
}

x509_object! {
    /// An X.509 certificate as received: the complete DER object; hex in JSON values.
    Certificate
}
x509_object! {
    /// A SubjectPublicKeyInfo as received: the complete DER object; hex in JSON values.
    SubjectPublicKeyInfo
}

/// The complete object: both have two or three components, so a single SEQUENCE inside is the whole object (T8, T9).
fn complete(tlv: Tlv<'_>) -> Result<Vec<u8>, DecodeError> {
    match tlv.children()?.as_slice() {
        [] => Err(DecodeError::value("an X.509 object is empty")),
        [whole] if whole.tag == Tag::SEQUENCE && whole.constructed => Ok(whole.octets.to_vec()),
        _ => Ok(tlv.retagged(Tag::SEQUENCE)),
    }
}
