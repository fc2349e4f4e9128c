//! Data objects: a small reader and writer of our own, so that what the eIM's codec gets wrong does not go unnoticed.
//!
//! Tags are the numbers as they stand on the wire (`0x30`, `0x5F37`, `0xBF51`). Indefinite lengths are refused.

/// One data object inside octets that somebody else holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// The tag as on the wire, one to three octets.
    pub tag: u32,
    /// The contents.
    pub content: &'a [u8],
    /// Header and contents.
    pub octets: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// The only data object in these octets; `None` when there is none, more than one, or it is cut off.
    #[must_use]
    pub fn only(octets: &'a [u8]) -> Option<Self> {
        let (tlv, rest) = read(octets)?;
        rest.is_empty().then_some(tlv)
    }

    /// The data objects in the contents, in order; `None` when they do not fill it exactly.
    #[must_use]
    pub fn children(&self) -> Option<Vec<Self>> {
        children(self.content)
    }

    /// The first child with this tag.
    #[must_use]
    pub fn child(&self, tag: u32) -> Option<Self> {
        self.children()?.into_iter().find(|child| child.tag == tag)
    }

    /// The contents as a signed INTEGER of at most eight octets.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        let (first, _) = self.content.split_first().filter(|_| self.content.len() <= 8)?;
        let sign = if first & 0x80 == 0 { 0 } else { -1 };
        Some(self.content.iter().fold(sign, |value, octet| value << 8 | i64::from(*octet)))
    }
}

/// The data objects that fill these octets.
#[must_use]
pub fn children(mut octets: &[u8]) -> Option<Vec<Tlv<'_>>> {
    let mut found = Vec::new();
    while !octets.is_empty() {
        let (tlv, rest) = read(octets)?;
        found.push(tlv);
        octets = rest;
    }
    Some(found)
}

/// The first data object and what follows it.
#[must_use]
pub fn read(octets: &[u8]) -> Option<(Tlv<'_>, &[u8])> {
    let (tag, tag_len) = tag(octets)?;
    let first = *octets.get(tag_len)?;
    let (length, header) = match first {
        0..=0x7f => (usize::from(first), tag_len + 1),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let digits = octets.get(tag_len + 1..tag_len + 1 + count)?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), tag_len + 1 + count)
        }
        _ => return None,
    };
    let end = header.checked_add(length)?;
    let whole = octets.get(..end)?;
    Some((Tlv { tag, content: whole.get(header..)?, octets: whole }, octets.get(end..)?))
}

/// The tag at the start of these octets and how many octets it has.
#[must_use]
pub fn tag(octets: &[u8]) -> Option<(u32, usize)> {
    let first = *octets.first()?;
    if first & 0x1f != 0x1f {
        return Some((u32::from(first), 1));
    }
    let second = *octets.get(1)?;
    if second & 0x80 == 0 {
        return Some((u32::from(first) << 8 | u32::from(second), 2));
    }
    let third = *octets.get(2)?;
    Some((u32::from(first) << 16 | u32::from(second) << 8 | u32::from(third), 3))
}

/// Writes one data object of these parts, with a minimal length.
#[must_use]
pub fn element(tag: u32, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut octets = Vec::with_capacity(length + 8);
    octets.extend(tag.to_be_bytes().into_iter().skip_while(|octet| *octet == 0));
    let digits = length.to_be_bytes();
    let significant = digits.iter().skip_while(|octet| **octet == 0).copied();
    if length > 0x7f {
        octets.push(0x80 | significant.clone().count() as u8);
        octets.extend(significant);
    } else {
        octets.push(length as u8);
    }
    parts.iter().for_each(|part| octets.extend_from_slice(part));
    octets
}

/// Writes an INTEGER under this tag, minimal and signed.
#[must_use]
pub fn integer(tag: u32, value: i64) -> Vec<u8> {
    let octets = value.to_be_bytes();
    let redundant =
        octets.windows(2).take_while(|pair| matches!(pair, [0x00, 0x00..=0x7f] | [0xff, 0x80..=0xff])).count();
    element(tag, &[octets.get(redundant..).unwrap_or(&octets)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_tags_and_lengths_of_all_sizes() {
        for (tag, length) in
            [(0x30, 0_usize), (0x5f37, 0x7f), (0xbf51, 0x80), (0xbf2d, 0xff), (0x04, 0x100), (0x04, 70_000)]
        {
            let octets = element(tag, &[&vec![7; length]]);
            assert_eq!(Tlv::only(&octets).map(|tlv| (tlv.tag, tlv.content.len())), Some((tag, length)));
            assert_eq!(Tlv::only(octets.get(..octets.len() - 1).unwrap_or_default()), None);
        }
    }

    #[test]
    fn integers_are_minimal_and_signed() {
        for (value, hex) in [(0, "840100"), (-1, "8401ff"), (127, "84017f"), (128, "84020080"), (65536, "8403010000")] {
            let octets = integer(0x84, value);
            assert_eq!(hex::encode(&octets), hex);
            assert_eq!(Tlv::only(&octets).and_then(|tlv| tlv.integer()), Some(value));
        }
    }
}
