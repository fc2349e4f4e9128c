//! Object identifiers, compared as the octets they were received in.

use std::fmt;
use std::str::FromStr;

/// The longest content that is taken.
const MAX_OCTETS: usize = 64;

/// An OBJECT IDENTIFIER. `Display` and `FromStr` use the dotted form, `2.999.10`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid(Vec<u8>);

/// Why a text or octets are no object identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an object identifier")]
pub struct OidError;

impl Oid {
    /// Reads the content octets, without tag and length.
    ///
    /// # Errors
    /// When they are empty, longer than 64 octets, cut off, not minimal, or have an arc above 2^64 - 1.
    pub fn from_octets(octets: &[u8]) -> Result<Self, OidError> {
        if octets.len() > MAX_OCTETS {
            return Err(OidError);
        }
        arcs(octets).map(|_| Self(octets.to_vec()))
    }

    /// The content octets, without tag and length.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// The sub-identifiers; the first one still joins the first two arcs.
fn arcs(octets: &[u8]) -> Result<Vec<u64>, OidError> {
    let mut arcs = Vec::new();
    let mut arc: Option<u64> = None;
    for octet in octets {
        if arc.is_none() && *octet == 0x80 {
            return Err(OidError);
        }
        let value = arc.unwrap_or(0).checked_mul(128).ok_or(OidError)? | u64::from(octet & 0x7f);
        arc = if octet & 0x80 == 0 {
            arcs.push(value);
            None
        } else {
            Some(value)
        };
    }
    if arc.is_some() || arcs.is_empty() { Err(OidError) } else { Ok(arcs) }
}

impl FromStr for Oid {
    type Err = OidError;

    fn from_str(text: &str) -> Result<Self, OidError> {
        let mut numbers = Vec::new();
        for part in text.split('.') {
            let canonical = part.bytes().all(|byte| byte.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
            if !canonical {
                return Err(OidError);
            }
            numbers.push(part.parse::<u64>().map_err(|_| OidError)?);
        }
        let [first, second, rest @ ..] = numbers.as_slice() else { return Err(OidError) };
        if *first > 2 || (*first < 2 && *second > 39) {
            return Err(OidError);
        }
        let mut octets = Vec::new();
        push_arc(&mut octets, second.checked_add(first * 40).ok_or(OidError)?);
        for arc in rest {
            push_arc(&mut octets, *arc);
        }
        Self::from_octets(&octets)
    }
}

fn push_arc(octets: &mut Vec<u8>, arc: u64) {
    let groups = (64 - arc.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let more = if group == 0 { 0x00 } else { 0x80 };
        octets.push((arc >> (7 * group)) as u8 & 0x7f | more);
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arcs = arcs(&self.0).map_err(|_| fmt::Error)?;
        for (index, arc) in arcs.iter().enumerate() {
            if index == 0 {
                let first = (arc / 40).min(2);
                write!(f, "{first}.{}", arc - first * 40)?;
            } else {
                write!(f, ".{arc}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({self})")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn dotted_text_and_octets_agree() {
        // X.690 8.19.5 gives 2.999.3 = 88 37 03; 2.23.146.1.2.1.1 is the eUICC role of SGP.14.
        for (text, octets) in
            [("2.999.3", "883703"), ("2.23.146.1.2.1.1", "67811201020101"), ("0.0", "00"), ("1.39", "4f")]
        {
            let oid: Oid = text.parse().unwrap();
            assert_eq!((hex::encode(oid.octets()).as_str(), oid.to_string().as_str()), (octets, text));
            assert_eq!(Oid::from_octets(oid.octets()), Ok(oid));
        }
    }

    #[test]
    fn refuses_texts_and_octets_that_are_none() {
        for text in ["", "2", "3.1", "1.40", "2..1", "2.01", "2.+1", "2.x", "2.18446744073709551615"] {
            assert!(text.parse::<Oid>().is_err(), "{text}");
        }
        for octets in ["", "80", "8001", "88", "0181", "ffffffffffffffffffff7f"] {
            assert!(Oid::from_octets(&hex::decode(octets).unwrap()).is_err(), "{octets}");
        }
    }
}
