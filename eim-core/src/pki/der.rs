//! A bounded DER reader for certificates (X.690): it walks one flat level at a time and never recurses.
//!
//! Certificates are foreign octets. Everything here returns an error instead of panicking, refuses what DER forbids
//! (indefinite or non-minimal lengths, tag numbers above 30) and hands out slices of the input, so that what was signed
//! can be verified as received. It is not a general ASN.1 decoder; the wire messages have their own room.

/// Universal tags as they stand on the wire.
pub(super) mod tag {
    pub const BOOLEAN: u8 = 0x01;
    pub const INTEGER: u8 = 0x02;
    pub const BIT_STRING: u8 = 0x03;
    pub const OCTET_STRING: u8 = 0x04;
    pub const OID: u8 = 0x06;
    pub const UTF8_STRING: u8 = 0x0c;
    pub const PRINTABLE_STRING: u8 = 0x13;
    pub const IA5_STRING: u8 = 0x16;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;
}

/// What is wrong with the octets, in words without any of the octets.
pub(super) type Fault = &'static str;

/// One element: its tag, its content and the whole of it with the header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tlv<'a> {
    pub tag: u8,
    pub content: &'a [u8],
    pub octets: &'a [u8],
}

/// Reads elements one after another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets }
    }

    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next element, when there is one.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, whatever it is.
    pub fn any(&mut self) -> Result<Tlv<'a>, Fault> {
        let tag = *self.rest.first().ok_or("an element is missing")?;
        if tag & 0x1f == 0x1f {
            return Err("a tag number above 30");
        }
        let first = *self.rest.get(1).ok_or("a length is missing")?;
        let (header, length) = match first {
            0..=0x7f => (2, usize::from(first)),
            0x81 | 0x82 => self.long_length(first)?,
            _ => return Err("a length that DER or the size limit forbids"),
        };
        let end = header + length;
        let octets = self.rest.get(..end).ok_or("an element is longer than what surrounds it")?;
        self.rest = &self.rest[end..];
        Ok(Tlv { tag, content: &octets[header..], octets })
    }

    fn long_length(&self, first: u8) -> Result<(usize, usize), Fault> {
        let count = usize::from(first & 0x7f);
        let digits = self.rest.get(2..2 + count).ok_or("a length is cut off")?;
        let length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
        let minimal = if count == 1 { 0x80 } else { 0x100 };
        if length < minimal { Err("a length that is not minimal") } else { Ok((2 + count, length)) }
    }

    /// The next element, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Result<Tlv<'a>, Fault> {
        let tlv = self.any()?;
        if tlv.tag == tag { Ok(tlv) } else { Err("an element of another type was expected") }
    }

    /// The next element if it has this tag.
    pub fn optional(&mut self, tag: u8) -> Result<Option<Tlv<'a>>, Fault> {
        if self.peek() == Some(tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// The content of the next element, which must have this tag, for reading on.
    pub fn nested(&mut self, tag: u8) -> Result<Self, Fault> {
        Ok(Self::new(self.expect(tag)?.content))
    }

    /// Confirms that nothing follows.
    pub const fn end(&self) -> Result<(), Fault> {
        if self.is_empty() { Ok(()) } else { Err("octets after the last element") }
    }
}

/// The only element in these octets, which must have this tag.
pub(super) fn single(octets: &[u8], tag: u8) -> Result<Tlv<'_>, Fault> {
    let mut reader = Reader::new(octets);
    let tlv = reader.expect(tag)?;
    reader.end()?;
    Ok(tlv)
}

/// A BOOLEAN, which DER allows as 00 and FF only.
pub(super) const fn boolean(content: &[u8]) -> Result<bool, Fault> {
    match content {
        [0x00] => Ok(false),
        [0xff] => Ok(true),
        _ => Err("a BOOLEAN that is neither 00 nor FF"),
    }
}

/// A BIT STRING of whole octets.
pub(super) fn whole_octets(content: &[u8]) -> Result<&[u8], Fault> {
    match content.split_first() {
        Some((0, octets)) => Ok(octets),
        _ => Err("a BIT STRING that does not end with an octet"),
    }
}

/// A small INTEGER that is not negative, at most 255.
pub(super) const fn small(content: &[u8]) -> Result<u8, Fault> {
    match content {
        [value] if *value < 0x80 => Ok(*value),
        [0, value] if *value >= 0x80 => Ok(*value),
        _ => Err("an INTEGER that is too large, negative or not minimal"),
    }
}

/// Writes one element with a minimal length. Only for lengths below 65 536.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut octets = Vec::with_capacity(length + 4);
    octets.push(tag);
    match length {
        0..=0x7f => octets.push(length as u8),
        0x80..=0xff => octets.extend_from_slice(&[0x81, length as u8]),
        _ => octets.extend_from_slice(&[0x82, (length >> 8) as u8, length as u8]),
    }
    octets.extend_from_slice(content);
    octets
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn reads_lengths_of_one_to_three_octets_and_writes_them_the_same() {
        for length in [0_usize, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff] {
            let octets = element(tag::OCTET_STRING, &vec![7; length]);
            let tlv = single(&octets, tag::OCTET_STRING).unwrap();
            assert_eq!((tlv.content.len(), tlv.octets), (length, octets.as_slice()));
        }
    }

    #[test]
    fn refuses_what_der_forbids() {
        for octets in ["", "30", "3080", "308100", "30820001", "3083000001", "3001", "30820100", "1f0100", "300000"] {
            assert!(single(&hex::decode(octets).unwrap(), tag::SEQUENCE).is_err(), "{octets}");
        }
    }

    #[test]
    fn a_boolean_is_00_or_ff_and_a_small_integer_is_minimal() {
        assert_eq!((boolean(&[0]), boolean(&[0xff])), (Ok(false), Ok(true)));
        assert!(boolean(&[1]).is_err() && boolean(&[]).is_err());
        assert_eq!((small(&[0]), small(&[0, 0x80])), (Ok(0), Ok(128)));
        assert!(small(&[0x80]).is_err() && small(&[0, 1]).is_err() && small(&[1, 0]).is_err() && small(&[]).is_err());
    }
}
