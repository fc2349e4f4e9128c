//! Octets kept as received beside, or instead of, the decoded value.
//!
//! What someone else signed is verified over, stored and forwarded as these octets, never as a re-encoding.

use rasn::types::{Any, Constraints, Identifier, Tag, TagTree};
use rasn::{AsnType, Encode, Encoder, enc::Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::error::{DecodeError, EncodeError};
use super::primitive::{hex_octets, hex_text};
use super::tlv::Tlv;
use super::wire::{Wire, rasn_decode};

/// A value and the octets it was read from, header included.
///
/// The header is that of the type standing alone: where an implicit tag had replaced it (A1 for BF41 in CancelSession)
/// it is put back, the contents stay byte for byte. Encoding writes these octets, under the field's tag if it has one.
/// In JSON values only the value shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw<T> {
    value: T,
    octets: Vec<u8>,
}

impl<T> Raw<T> {
    /// The value.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The octets as received, header included.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Both parts.
    pub fn into_parts(self) -> (T, Vec<u8>) {
        (self.value, self.octets)
    }
}

impl<T: Encode> Raw<T> {
    /// Encodes a value of our own in DER, once.
    ///
    /// # Errors
    /// [`EncodeError`] when the value has no encoding.
    pub fn encode_new(value: T) -> Result<Self, EncodeError> {
        let octets = super::door::encode(&value)?;
        Ok(Self { value, octets })
    }
}

impl<T: AsnType> AsnType for Raw<T> {
    const TAG: Tag = T::TAG;
    const TAG_TREE: TagTree = T::TAG_TREE;
    const IS_CHOICE: bool = T::IS_CHOICE;
}

impl<T: Encode> Encode for Raw<T> {
    fn encode<'b, E: Encoder<'b>>(&self, encoder: &mut E) -> Result<(), E::Error> {
        write_octets(encoder, &self.octets, Tag::EOC)
    }

    fn encode_with_tag_and_constraints<'b, E: Encoder<'b>>(
        &self,
        encoder: &mut E,
        tag: Tag,
        _: &Constraints,
        _: Identifier,
    ) -> Result<(), E::Error> {
        write_octets(encoder, &self.octets, tag)
    }
}

/// Writes a whole data object, its tag replaced unless `tag` is EOC.
pub(crate) fn write_octets<'b, E: Encoder<'b>>(encoder: &mut E, octets: &[u8], tag: Tag) -> Result<(), E::Error> {
    let tagged = match Tlv::only(octets) {
        Ok(tlv) if tag != Tag::EOC => tlv.retagged(tag),
        Ok(_) => octets.to_vec(),
        Err(error) => return Err(E::Error::custom(error, encoder.codec())),
    };
    encoder.encode_any(Tag::EOC, &Any::new(tagged), Identifier::EMPTY).map(drop)
}

impl<T: Wire> Wire for Raw<T> {
    const NAME: &'static str = T::NAME;

    fn natural() -> Option<Tag> {
        T::natural()
    }

    fn matches(tag: Tag) -> bool {
        T::matches(tag)
    }

    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        let (tlv, octets) = match T::natural() {
            Some(natural) => {
                let inner = if T::COLLAPSES { tlv.peel(natural) } else { tlv };
                (inner, inner.retagged(natural))
            }
            None => (tlv, tlv.octets.to_vec()),
        };
        Ok(Self { value: T::read(tlv)?, octets })
    }
}
rasn_decode!(@generic [T: Wire + AsnType] Raw<T>);

impl<T: Serialize> Serialize for Raw<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de> + Encode> Deserialize<'de> for Raw<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::encode_new(T::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// A data object that could not be named or read, kept whole.
///
/// EXTENSIBILITY IMPLIED lets a later version add arms; a card's mistake in one arm must not lose the rest (T18).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// Header and contents as received.
    #[serde(rename = "unknown", serialize_with = "hex_text", deserialize_with = "hex_octets")]
    octets: Vec<u8>,
}

impl Unknown {
    pub(crate) fn of(tlv: Tlv<'_>) -> Self {
        Self { octets: tlv.octets.to_vec() }
    }

    /// Header and contents as received.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

/// `T`, or what stood in its place and could not be read as one.
///
/// Reading never fails. In JSON values the known one shows as itself, the other as `{"unknown": hex}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Lenient<T> {
    /// Read as a `T`.
    Known(T),
    /// Kept as received.
    Unknown(Unknown),
}

impl<T> Lenient<Raw<T>> {
    /// The value, if it could be read.
    pub fn value(&self) -> Option<&T> {
        self.known().map(Raw::value)
    }

    /// The octets as received, whether they could be read or not.
    pub fn octets(&self) -> &[u8] {
        match self {
            Self::Known(raw) => raw.octets(),
            Self::Unknown(unknown) => unknown.octets(),
        }
    }
}

impl<T> Lenient<T> {
    /// The value, if it could be read.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// The value, owned, if it could be read.
    pub fn into_known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

impl<T> Lenient<T> {
    pub(crate) fn of(known: Option<T>, tlv: Tlv<'_>) -> Self {
        known.map_or_else(|| Self::Unknown(Unknown::of(tlv)), Self::Known)
    }
}

impl<T> From<T> for Lenient<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T: AsnType> AsnType for Lenient<T> {
    const TAG: Tag = T::TAG;
    const TAG_TREE: TagTree = T::TAG_TREE;
    const IS_CHOICE: bool = T::IS_CHOICE;
}

impl<T: Encode> Encode for Lenient<T> {
    fn encode<'b, E: Encoder<'b>>(&self, encoder: &mut E) -> Result<(), E::Error> {
        match self {
            Self::Known(value) => value.encode(encoder),
            Self::Unknown(unknown) => write_octets(encoder, &unknown.octets, Tag::EOC),
        }
    }

    fn encode_with_tag_and_constraints<'b, E: Encoder<'b>>(
        &self,
        encoder: &mut E,
        tag: Tag,
        constraints: &Constraints,
        identifier: Identifier,
    ) -> Result<(), E::Error> {
        match self {
            Self::Known(value) => value.encode_with_tag_and_constraints(encoder, tag, constraints, identifier),
            Self::Unknown(unknown) => write_octets(encoder, &unknown.octets, Tag::EOC),
        }
    }
}

impl<T: Wire> Wire for Lenient<T> {
    const NAME: &'static str = T::NAME;

    fn natural() -> Option<Tag> {
        T::natural()
    }

    fn matches(_: Tag) -> bool {
        true
    }

    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        Ok(Self::of(T::read(tlv).ok(), tlv))
    }
}
rasn_decode!(@generic [T: Wire + AsnType] Lenient<T>);
