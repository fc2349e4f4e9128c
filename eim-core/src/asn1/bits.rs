//! BIT STRINGs with named bits.
//!
//! Trailing zero bits have no meaning in them (X.680 22.7): they are dropped on reading (T21) and never written. Bits
//! without a name are kept.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use rasn::types::{BitString, Constraints, Identifier, Tag};
use rasn::{AsnType, Encode, Encoder};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::error::DecodeError;
use super::primitive::primitive;
use super::tlv::Tlv;
use super::wire::{Wire, rasn_decode};

/// More bits than any version of the specifications names; a longer string is refused.
const MAX_OCTETS: usize = 64;

/// The names of a BIT STRING's bits.
pub trait BitNames: 'static {
    /// Name and number of each named bit, in order of number.
    const NAMES: &'static [(&'static str, u32)];
}

/// BIT STRING with the named bits `N`: a set of bit numbers.
///
/// In JSON values a list of names, or `{"hex","len"}` when a set bit has no name.
pub struct Bits<N> {
    set: BTreeSet<u32>,
    names: PhantomData<fn() -> N>,
}

impl<N: BitNames> Bits<N> {
    /// No bit set.
    #[must_use]
    pub fn none() -> Self {
        Self { set: BTreeSet::new(), names: PhantomData }
    }

    /// The bits of these numbers.
    ///
    /// # Errors
    /// [`DecodeError::Value`] for a number above 511.
    pub fn of(numbers: impl IntoIterator<Item = u32>) -> Result<Self, DecodeError> {
        let set: BTreeSet<u32> = numbers.into_iter().collect();
        if set.last().is_some_and(|last| *last as usize >= MAX_OCTETS * 8) {
            return Err(DecodeError::value("a BIT STRING is too long"));
        }
        Ok(Self { set, names: PhantomData })
    }

    /// The bits of these names; an unknown name gives `None`.
    #[must_use]
    pub fn named<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<Self> {
        let set = names.into_iter().map(number_of::<N>).collect::<Option<BTreeSet<u32>>>()?;
        Some(Self { set, names: PhantomData })
    }

    /// The names of all bits that have one, in order of number.
    pub fn known_names() -> impl Iterator<Item = &'static str> {
        N::NAMES.iter().map(|(name, _)| *name)
    }

    /// Whether the bit of this number is set.
    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        self.set.contains(&number)
    }

    /// Whether the bit of this name is set.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        number_of::<N>(name).is_some_and(|number| self.contains(number))
    }

    /// The numbers of the set bits, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.set.iter().copied()
    }

    /// The names of the set bits that have one, in order of number.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.numbers().filter_map(name_of::<N>)
    }

    /// Whether no bit is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Octets without trailing zero bits, and the number of bits in them.
    fn octets(&self) -> (Vec<u8>, usize) {
        let len = self.set.last().map_or(0, |last| *last as usize + 1);
        let mut octets = vec![0u8; len.div_ceil(8)];
        for number in &self.set {
            if let Some(octet) = octets.get_mut(*number as usize / 8) {
                *octet |= 0x80 >> (number % 8);
            }
        }
        (octets, len)
    }

    fn from_octets(octets: &[u8], len: usize) -> Result<Self, DecodeError> {
        if octets.len() > MAX_OCTETS {
            return Err(DecodeError::value("a BIT STRING is too long"));
        }
        let is_set = |number: usize| octets.get(number / 8).is_some_and(|octet| octet & (0x80 >> (number % 8)) != 0);
        Self::of((0..len).filter(|number| is_set(*number)).map(|number| number as u32))
    }
}

fn number_of<N: BitNames>(name: &str) -> Option<u32> {
    N::NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

fn name_of<N: BitNames>(number: u32) -> Option<&'static str> {
    N::NAMES.iter().find(|(_, known)| *known == number).map(|(name, _)| *name)
}

impl<N> Clone for Bits<N> {
    fn clone(&self) -> Self {
        Self { set: self.set.clone(), names: PhantomData }
    }
}

impl<N> PartialEq for Bits<N> {
    fn eq(&self, other: &Self) -> bool {
        self.set == other.set
    }
}

impl<N> Eq for Bits<N> {}

impl<N: BitNames> Default for Bits<N> {
    fn default() -> Self {
        Self::none()
    }
}

impl<N: BitNames> fmt::Debug for Bits<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.set).finish()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Notation {
    Names(Vec<String>),
    Octets { hex: String, len: usize },
}

impl<N: BitNames> Serialize for Bits<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names: Option<Vec<String>> = self.numbers().map(|n| name_of::<N>(n).map(str::to_owned)).collect();
        match names {
            Some(names) => Notation::Names(names),
            None => {
                let (octets, len) = self.octets();
                Notation::Octets { hex: hex::encode(octets), len }
            }
        }
        .serialize(serializer)
    }
}

impl<'de, N: BitNames> Deserialize<'de> for Bits<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Notation::deserialize(deserializer)? {
            Notation::Names(names) => Self::named(names.iter().map(String::as_str))
                .ok_or_else(|| de::Error::custom(format!("unknown bit in {names:?}"))),
            Notation::Octets { hex, len } => {
                let octets = hex::decode(hex).map_err(de::Error::custom)?;
                Self::from_octets(&octets, len.min(octets.len() * 8)).map_err(de::Error::custom)
            }
        }
    }
}

impl<N: BitNames> AsnType for Bits<N> {
    const TAG: Tag = Tag::BIT_STRING;
}

impl<N: BitNames> Encode for Bits<N> {
    fn encode_with_tag_and_constraints<'b, E: Encoder<'b>>(
        &self,
        encoder: &mut E,
        tag: Tag,
        _: &Constraints,
        identifier: Identifier,
    ) -> Result<(), E::Error> {
        let (octets, len) = self.octets();
        let mut bits = BitString::from_vec(octets);
        bits.truncate(len);
        encoder.encode_bit_string(tag, &Constraints::NONE, &bits, identifier).map(drop)
    }
}

impl<N: BitNames> Wire for Bits<N> {
    const NAME: &'static str = "BIT STRING";

    fn natural() -> Option<Tag> {
        Some(Tag::BIT_STRING)
    }

    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        match primitive(&tlv)?.split_first() {
            Some((unused, octets)) if *unused < 8 && (*unused == 0 || !octets.is_empty()) => {
                Self::from_octets(octets, octets.len() * 8 - usize::from(*unused))
            }
            _ => Err(DecodeError::value("a BIT STRING has a wrong number of unused bits")),
        }
    }
}
rasn_decode!(@generic [N: BitNames] Bits<N>);

/// Declares the names of a BIT STRING and the type with them.
macro_rules! named_bits {
    ($(#[$doc:meta])* $type:ident, $names:ident { $($name:literal = $number:literal),* $(,)? }) => {
        #[doc = concat!("The bits of [`", stringify!($type), "`].")]
        #[derive(Clone, Copy, Debug)]
        pub struct $names;

        impl $crate::asn1::bits::BitNames for $names {
            const NAMES: &'static [(&'static str, u32)] = &[$(($name, $number)),*];
        }

        $(#[$doc])*
        pub type $type = $crate::asn1::bits::Bits<$names>;
    };
}
pub(crate) use named_bits;
