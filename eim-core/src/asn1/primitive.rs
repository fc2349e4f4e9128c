//! The simple types: octets, text, numbers, NULL, object identifiers.
//!
//! Readers take the BER liberties of T21: padded INTEGERs, TRUE other than FF. Sizes are enforced where the type says so.

use std::fmt;
use std::ops::Deref;

use rasn::types::{Constraints, Identifier, ObjectIdentifier, Tag};
use rasn::{AsnType, Encode, Encoder};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::error::DecodeError;
use super::tlv::{Tlv, assemble};
use super::wire::{Wire, rasn_decode};

/// OCTET STRING of `MIN` to `MAX` octets; hex text in JSON values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Octets<const MIN: usize, const MAX: usize>(Vec<u8>);

/// OCTET STRING of any length.
pub type OctetString = Octets<0, { usize::MAX }>;
/// TransactionId: 1 to 16 octets (SGP.22 v2.5 annex H; also eimTransactionId of SGP.32).
pub type TransactionId = Octets<1, 16>;
/// Iccid: the 10 octets of EF.ICCID, nibbles swapped, F-padded.
pub type Iccid = Octets<10, 10>;
/// VersionType: major, minor, revision.
pub type VersionType = Octets<3, 3>;
/// SubjectKeyIdentifier of a CI key, 20 octets in practice; a truncated one is a prefix.
pub type SubjectKeyIdentifier = OctetString;

impl<const MIN: usize, const MAX: usize> Octets<MIN, MAX> {
    /// Takes the octets if their number is within the bounds.
    ///
    /// # Errors
    /// [`DecodeError::Value`] for too few or too many octets.
    pub fn new(octets: impl Into<Vec<u8>>) -> Result<Self, DecodeError> {
        let octets = octets.into();
        if octets.len() < MIN || octets.len() > MAX {
            return Err(DecodeError::value("an OCTET STRING has the wrong size"));
        }
        Ok(Self(octets))
    }

    /// The octets.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The octets, owned.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl OctetString {
    /// Takes any octets.
    #[must_use]
    pub fn from_vec(octets: Vec<u8>) -> Self {
        Self(octets)
    }
}

impl<const N: usize> Octets<N, N> {
    /// Takes an array of the right size.
    #[must_use]
    pub fn from_array(octets: [u8; N]) -> Self {
        Self(octets.to_vec())
    }
}

impl<const MIN: usize, const MAX: usize> TryFrom<Vec<u8>> for Octets<MIN, MAX> {
    type Error = DecodeError;

    fn try_from(octets: Vec<u8>) -> Result<Self, DecodeError> {
        Self::new(octets)
    }
}

impl<const MIN: usize, const MAX: usize> TryFrom<&[u8]> for Octets<MIN, MAX> {
    type Error = DecodeError;

    fn try_from(octets: &[u8]) -> Result<Self, DecodeError> {
        Self::new(octets)
    }
}

impl<const MIN: usize, const MAX: usize> Deref for Octets<MIN, MAX> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> AsRef<[u8]> for Octets<MIN, MAX> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> fmt::Debug for Octets<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl<const MIN: usize, const MAX: usize> Serialize for Octets<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for Octets<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(hex_octets(deserializer)?).map_err(de::Error::custom)
    }
}

/// Octets from their hex text.
pub(crate) fn hex_octets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    hex::decode(text).map_err(de::Error::custom)
}

/// The hex text of octets.
pub(crate) fn hex_text<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(octets))
}

impl<const MIN: usize, const MAX: usize> AsnType for Octets<MIN, MAX> {
    const TAG: Tag = Tag::OCTET_STRING;
}

impl<const MIN: usize, const MAX: usize> Encode for Octets<MIN, MAX> {
    fn encode_with_tag_and_constraints<'b, E: Encoder<'b>>(
        &self,
        encoder: &mut E,
        tag: Tag,
        _: &Constraints,
        identifier: Identifier,
    ) -> Result<(), E::Error> {
        encoder.encode_octet_string(tag, &Constraints::NONE, &self.0, identifier).map(drop)
    }
}

impl<const MIN: usize, const MAX: usize> Wire for Octets<MIN, MAX> {
    const NAME: &'static str = "OCTET STRING";

    fn natural() -> Option<Tag> {
        Some(Tag::OCTET_STRING)
    }

    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        Self::new(primitive(&tlv)?)
    }
}
rasn_decode!(@generic [const MIN: usize, const MAX: usize] Octets<MIN, MAX>);

/// The contents of a data object that must be primitive.
pub(crate) fn primitive<'a>(tlv: &Tlv<'a>) -> Result<&'a [u8], DecodeError> {
    if tlv.constructed {
        return Err(DecodeError::value("a primitive data object is needed here"));
    }
    Ok(tlv.contents)
}

fn utf8(tlv: &Tlv<'_>) -> Result<String, DecodeError> {
    match std::str::from_utf8(primitive(tlv)?) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(DecodeError::value("a text is not UTF-8")),
    }
}

impl Wire for String {
    const NAME: &'static str = "UTF8String";

    fn natural() -> Option<Tag> {
        Some(Tag::UTF8_STRING)
    }

    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        utf8(&tlv)
    }
}

/// UTF8String of `MIN` to `MAX` characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Text<const MIN: usize, const MAX: usize>(String);

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    /// Takes the text if its number of characters is within the bounds.
    ///
    /// # Errors
    /// [`DecodeError::Value`] for too few or too many characters.
    pub fn new(text: impl Into<String>) -> Result<Self, DecodeError> {
        let text = text.into();
        let characters = text.chars().count();
        if characters < MIN || characters > MAX {
            return Err(DecodeError::value("a UTF8String has the wrong size"));
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// eimId on the wire: 1 to 128 octets of UTF-8 (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct EimIdText(String);

impl EimIdText {
    /// Takes the text if it has 1 to 128 octets.
    ///
    /// # Errors
    /// [`DecodeError::Value`] for an empty or too long text.
    pub fn new(text: impl Into<String>) -> Result<Self, DecodeError> {
        let text = text.into();
        if text.is_empty() || text.len() > 128 {
            return Err(DecodeError::value("an eimId has 1 to 128 octets"));
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text_type {
    ([$($generics:tt)*] $type:ty) => {
        impl<'de, $($generics)*> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }

        impl<$($generics)*> Deref for $type {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl<$($generics)*> fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<$($generics)*> AsnType for $type {
            const TAG: Tag = Tag::UTF8_STRING;
        }

        impl<$($generics)*> Encode for $type {
            fn encode_with_tag_and_constraints<'b, E: Encoder<'b>>(
                &self,
                encoder: &mut E,
                tag: Tag,
                _: &Constraints,
                identifier: Identifier,
            ) -> Result<(), E::Error> {
                encoder.encode_utf8_string(tag, &Constraints::NONE, &self.0, identifier).map(drop)
            }
        }

        impl<$($generics)*> Wire for $type {
            const NAME: &'static str = "UTF8String";

            fn natural() -> Option<Tag> {
                Some(Tag::UTF8_STRING)
            }

            fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
                Self::new(utf8(&tlv)?)
            }
        }
        rasn_decode!(@generic [$($generics)*] $type);
    };
}
text_type!([const MIN: usize, const MAX: usize] Text<MIN, MAX>);
text_type!([] EimIdText);

impl Wire for i64 {
    const NAME: &'static str = "INTEGER";

    fn natural() -> Option<Tag> {
        Some(Tag::INTEGER)
    }

    /// Two's complement, any number of leading sign octets.
    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        let octets = primitive(&tlv)?;
        let Some(leading) = octets.first() else {
            return Err(DecodeError::value("an INTEGER has no octets"));
        };
        let sign = if leading & 0x80 == 0 { 0x00 } else { 0xFF };
        let padding = octets.len().saturating_sub(8);
        let (padded, significant) = octets.split_at(padding);
        let mut bytes = [sign; 8];
        bytes[8 - significant.len()..].copy_from_slice(significant);
        let value = i64::from_be_bytes(bytes);
        if padded.iter().any(|octet| *octet != sign) || (value < 0) != (sign == 0xFF) {
            return Err(DecodeError::value("an INTEGER is beyond 64 bits"));
        }
        Ok(value)
    }
}

impl Wire for bool {
    const NAME: &'static str = "BOOLEAN";

    fn natural() -> Option<Tag> {
        Some(Tag::BOOL)
    }

    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        match primitive(&tlv)? {
            [octet] => Ok(*octet != 0),
            _ => Err(DecodeError::value("a BOOLEAN has one octet")),
        }
    }
}

/// NULL: a flag or an arm without a value; `null` in JSON values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Null;

impl AsnType for Null {
    const TAG: Tag = Tag::NULL;
}

impl Encode for Null {
    fn encode_with_tag_and_constraints<'b, E: Encoder<'b>>(
        &self,
        encoder: &mut E,
        tag: Tag,
        _: &Constraints,
        identifier: Identifier,
    ) -> Result<(), E::Error> {
        encoder.encode_null(tag, identifier).map(drop)
    }
}

impl Wire for Null {
    const NAME: &'static str = "NULL";

    fn natural() -> Option<Tag> {
        Some(Tag::NULL)
    }

    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        if primitive(&tlv)?.is_empty() { Ok(Self) } else { Err(DecodeError::value("a NULL has no octets")) }
    }
}
rasn_decode!(Null);

/// Lets a present `null` be told from an absent member.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Null>, D::Error> {
    Null::deserialize(deserializer).map(Some)
}

/// OBJECT IDENTIFIER; dotted text in JSON values.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Oid(ObjectIdentifier);

impl Oid {
    /// Reads dotted text such as `2.999.10`.
    ///
    /// # Errors
    /// [`DecodeError::Value`] for anything but two or more numbers with a valid root.
    pub fn parse(dotted: &str) -> Result<Self, DecodeError> {
        let arcs: Option<Vec<u32>> = dotted.split('.').map(arc).collect();
        arcs.and_then(ObjectIdentifier::new).map(Self).ok_or(DecodeError::value("not an object identifier"))
    }
}

fn arc(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, arc) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            write!(f, "{arc}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Oid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Oid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl AsnType for Oid {
    const TAG: Tag = Tag::OBJECT_IDENTIFIER;
}

impl Encode for Oid {
    fn encode_with_tag_and_constraints<'b, E: Encoder<'b>>(
        &self,
        encoder: &mut E,
        tag: Tag,
        _: &Constraints,
        identifier: Identifier,
    ) -> Result<(), E::Error> {
        encoder.encode_object_identifier(tag, &self.0, identifier).map(drop)
    }
}

impl Wire for Oid {
    const NAME: &'static str = "OBJECT IDENTIFIER";

    fn natural() -> Option<Tag> {
        Some(Tag::OBJECT_IDENTIFIER)
    }

    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        let octets = assemble(Tag::OBJECT_IDENTIFIER, false, primitive(&tlv)?);
        rasn::ber::decode(&octets).map(Self).map_err(|_| DecodeError::value("not an object identifier"))
    }
}
rasn_decode!(Oid);

/// A SEQUENCE without fields, such as `emptyResponse` or `listEim`; `{}` in JSON values.
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct Empty {}

super::wire::sequence!(Empty = Tag::SEQUENCE; {});

/// Lets DEFAULT TRUE be left out of JSON values.
pub(crate) fn is_true(flag: &bool) -> bool {
    *flag
}

/// Lets DEFAULT FALSE be left out of JSON values.
pub(crate) fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Lets DEFAULT operational(2) be left out of JSON values.
pub(crate) fn is_operational(class: &i64) -> bool {
    *class == 2
}
