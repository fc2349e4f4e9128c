//! Tag, length, value: the only place that reads headers (X.690 8.1, definite lengths only).
//!
//! [`check`] walks a whole input with an explicit stack before any type looks at it, so that the readers of types can
//! trust lengths and nesting. Long-form lengths are accepted (T21), indefinite ones are not.

use rasn::types::{Class, Tag};

use super::error::DecodeError;

/// What an input may cost. Checked before a single field is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of the whole input.
    pub max_bytes: usize,
    /// Levels of nesting; the outermost data object is level 1.
    pub max_depth: usize,
    /// Data objects on all levels together.
    pub max_elements: usize,
}

impl Default for Limits {
    /// 1 MiB, 32 levels, 20 000 data objects. The deepest message of SGP.32 v1.2 has fewer than 16 levels.
    fn default() -> Self {
        Self { max_bytes: 1 << 20, max_depth: 32, max_elements: 20_000 }
    }
}

/// One data object as received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tlv<'a> {
    pub(crate) tag: Tag,
    pub(crate) constructed: bool,
    /// Header and contents.
    pub(crate) octets: &'a [u8],
    pub(crate) contents: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// The first data object and what follows it.
    pub(crate) fn first(input: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let header = Header::read(input)?;
        let end = header.len.checked_add(header.length).ok_or(DecodeError::OutOfRange)?;
        let octets = input.get(..end).ok_or(DecodeError::Truncated)?;
        let contents = octets.get(header.len..).ok_or(DecodeError::Truncated)?;
        let rest = input.get(end..).unwrap_or_default();
        Ok((Self { tag: header.tag, constructed: header.constructed, octets, contents }, rest))
    }

    /// The one data object that fills `input`.
    pub(crate) fn only(input: &'a [u8]) -> Result<Self, DecodeError> {
        match Self::first(input)? {
            (tlv, []) => Ok(tlv),
            (_, rest) => Err(DecodeError::Trailing { octets: rest.len() }),
        }
    }

    /// The data objects inside a constructed one.
    pub(crate) fn children(&self) -> Result<Vec<Tlv<'a>>, DecodeError> {
        if !self.constructed {
            return Err(DecodeError::value("a constructed data object is needed here"));
        }
        series(self.contents)
    }

    /// The only data object inside a constructed one.
    pub(crate) fn child(&self) -> Result<Tlv<'a>, DecodeError> {
        match self.children()?.as_slice() {
            [one] => Ok(*one),
            [] => Err(DecodeError::value("an arm is missing")),
            [_, more @ ..] => Err(DecodeError::Trailing { octets: more.iter().map(|t| t.octets.len()).sum() }),
        }
    }

    /// Enters data objects that hold nothing but one of tag `natural`: the collapse of T2 and T20.
    ///
    /// `BF51{BF51{A0..}}` becomes the inner `BF51`; `BF51{A0{BF51..}}` stays as it is (CX-12).
    pub(crate) fn peel(self, natural: Tag) -> Tlv<'a> {
        let mut tlv = self;
        while tlv.constructed {
            match Tlv::only(tlv.contents) {
                Ok(inner) if inner.tag == natural && inner.constructed => tlv = inner,
                _ => break,
            }
        }
        tlv
    }

    /// The octets with the tag put in place of the own one; the contents stay byte for byte.
    pub(crate) fn retagged(&self, tag: Tag) -> Vec<u8> {
        if tag == self.tag { self.octets.to_vec() } else { assemble(tag, self.constructed, self.contents) }
    }
}

/// The data objects one after the other in `input`.
pub(crate) fn series(input: &[u8]) -> Result<Vec<Tlv<'_>>, DecodeError> {
    let mut found = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        let (tlv, after) = Tlv::first(rest)?;
        found.push(tlv);
        rest = after;
    }
    Ok(found)
}

/// Walks all levels of the one data object that `input` must be.
///
/// Needs memory for the open levels only, which [`Limits::max_depth`] bounds.
pub(crate) fn check(input: &[u8], limits: &Limits) -> Result<(), DecodeError> {
    if input.len() > limits.max_bytes {
        return Err(DecodeError::TooLarge { bytes: input.len(), limit: limits.max_bytes });
    }
    let mut ends: Vec<usize> = Vec::new();
    let mut at = 0;
    let mut elements = 0;
    loop {
        while ends.last() == Some(&at) {
            ends.pop();
        }
        let limit = match ends.last() {
            Some(end) => *end,
            None if at == 0 => input.len(),
            None if at == input.len() => return Ok(()),
            None => return Err(DecodeError::Trailing { octets: input.len() - at }),
        };
        elements += 1;
        if elements > limits.max_elements {
            return Err(DecodeError::TooManyElements { limit: limits.max_elements });
        }
        if ends.len() >= limits.max_depth {
            return Err(DecodeError::TooDeep { limit: limits.max_depth });
        }
        let header = Header::read(input.get(at..limit).ok_or(DecodeError::Truncated)?)?;
        let start = at + header.len;
        let end = start.checked_add(header.length).ok_or(DecodeError::OutOfRange)?;
        if end > limit {
            return Err(DecodeError::Truncated);
        }
        if header.constructed {
            ends.push(end);
            at = start;
        } else {
            at = end;
        }
    }
}

/// A data object in DER from its tag and contents.
pub(crate) fn assemble(tag: Tag, constructed: bool, contents: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(contents.len() + 8);
    write_tag(tag, constructed, &mut octets);
    write_length(contents.len(), &mut octets);
    octets.extend_from_slice(contents);
    octets
}

fn write_tag(tag: Tag, constructed: bool, octets: &mut Vec<u8>) {
    let class = match tag.class {
        Class::Universal => 0x00,
        Class::Application => 0x40,
        Class::Context => 0x80,
        Class::Private => 0xC0,
    };
    let leading = class | if constructed { 0x20 } else { 0 };
    if tag.value < 31 {
        octets.push(leading | (tag.value as u8));
        return;
    }
    octets.push(leading | 0x1F);
    let groups = (32 - tag.value.leading_zeros()).div_ceil(7);
    for group in (0..groups).rev() {
        let more = if group == 0 { 0 } else { 0x80 };
        octets.push(((tag.value >> (7 * group)) as u8 & 0x7F) | more);
    }
}

fn write_length(length: usize, octets: &mut Vec<u8>) {
    if length < 0x80 {
        octets.push(length as u8);
        return;
    }
    let bytes = length.to_be_bytes();
    let significant = bytes.iter().position(|b| *b != 0).map_or(&bytes[..0], |first| &bytes[first..]);
    octets.push(0x80 | significant.len() as u8);
    octets.extend_from_slice(significant);
}

struct Header {
    tag: Tag,
    constructed: bool,
    /// Octets of tag and length.
    len: usize,
    /// The length they announce.
    length: usize,
}

impl Header {
    fn read(input: &[u8]) -> Result<Self, DecodeError> {
        let mut octets = input.iter().copied();
        let mut next = || octets.next().ok_or(DecodeError::Truncated);
        let leading = next()?;
        let mut len = 2;
        let class = match leading >> 6 {
            0 => Class::Universal,
            1 => Class::Application,
            2 => Class::Context,
            _ => Class::Private,
        };
        let mut value = u32::from(leading & 0x1F);
        if value == 0x1F {
            value = 0;
            loop {
                let octet = next()?;
                len += 1;
                if value > u32::MAX >> 7 {
                    return Err(DecodeError::OutOfRange);
                }
                value = (value << 7) | u32::from(octet & 0x7F);
                if octet & 0x80 == 0 {
                    break;
                }
            }
        }
        let first = next()?;
        let length = match first {
            0..=0x7F => usize::from(first),
            0x80 => return Err(DecodeError::IndefiniteLength),
            0xFF => return Err(DecodeError::OutOfRange),
            _ => {
                let mut length: usize = 0;
                for _ in 0..(first & 0x7F) {
                    let octet = next()?;
                    len += 1;
                    if length > usize::MAX >> 8 {
                        return Err(DecodeError::OutOfRange);
                    }
                    length = (length << 8) | usize::from(octet);
                }
                length
            }
        };
        Ok(Self { tag: Tag::new(class, value), constructed: leading & 0x20 != 0, len, length })
    }
}
