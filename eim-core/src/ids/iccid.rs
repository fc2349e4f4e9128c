//! ICCID: the number of a profile (ITU-T E.118, SGP.22).

use super::{IdError, serde_as_text};
use std::fmt;
use std::str::FromStr;

const ID: &str = "an ICCID";

/// The number of a profile, kept as the 10 octets of EF.ICCID: nibbles swapped, filled with F.
///
/// Some cards carry octets that are no digits at all; such an ICCID is kept, and [`Iccid::digits`] is `None`.
/// The text form is the digits as people read them (18 to 20), or the raw octets as 20 hexadecimal characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Iccid([u8; 10]);

impl Iccid {
    /// Reads the wire form; any ten octets are taken.
    ///
    /// # Errors
    /// When there are not 10 octets.
    pub fn from_octets(octets: &[u8]) -> Result<Self, IdError> {
        let found = octets.len();
        octets.try_into().map(Self).map_err(|_| IdError::Length { id: ID, expected: "10 octets", found })
    }

    /// Reads the raw hexadecimal form: 20 characters, the octets in wire order.
    ///
    /// # Errors
    /// When the length is not 20 or a character is not hexadecimal.
    pub fn from_raw_hex(text: &str) -> Result<Self, IdError> {
        if text.len() != 20 {
            return Err(IdError::Length {
                id: "a raw ICCID",
                expected: "20 hexadecimal characters",
                found: text.len(),
            });
        }
        let mut octets = [0; 10];
        hex::decode_to_slice(text, &mut octets)
            .map_err(|_| IdError::Character { id: "a raw ICCID", expected: "hexadecimal characters" })?;
        Ok(Self(octets))
    }

    /// The wire form.
    #[must_use]
    pub const fn octets(&self) -> &[u8; 10] {
        &self.0
    }

    /// The wire form as 20 upper-case hexadecimal characters.
    #[must_use]
    pub fn raw_hex(&self) -> String {
        hex::encode_upper(self.0)
    }

    /// The 18 to 20 digits as people read them, or `None` when the octets are no such digits.
    #[must_use]
    pub fn digits(&self) -> Option<String> {
        let nibbles: Vec<u8> = self.0.iter().flat_map(|octet| [octet & 0x0f, octet >> 4]).collect();
        let digits = nibbles.iter().take_while(|nibble| **nibble <= 9).count();
        let filled = nibbles[digits..].iter().all(|nibble| *nibble == 0x0f);
        (digits >= 18 && filled).then(|| nibbles[..digits].iter().map(|nibble| char::from(b'0' + nibble)).collect())
    }
}

impl FromStr for Iccid {
    type Err = IdError;

    /// Reads 18 to 20 digits as people write them. The Luhn digit is not enforced.
    fn from_str(text: &str) -> Result<Self, IdError> {
        if !(18..=20).contains(&text.len()) {
            return Err(IdError::Length { id: ID, expected: "18 to 20 digits", found: text.chars().count() });
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(IdError::Character { id: ID, expected: "decimal digits" });
        }
        let nibble = |index: usize| text.as_bytes().get(index).map_or(0x0f, |digit| digit - b'0');
        Ok(Self(std::array::from_fn(|index| nibble(2 * index + 1) << 4 | nibble(2 * index))))
    }
}

impl fmt::Display for Iccid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digits().unwrap_or_else(|| self.raw_hex()))
    }
}

impl fmt::Debug for Iccid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Iccid({self})")
    }
}

serde_as_text!(Iccid);
