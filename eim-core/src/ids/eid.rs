//! EID: the number of an eUICC (SGP.29, SGP.02 2.2.2).

use super::{IdError, serde_as_text};
use std::fmt;
use std::str::FromStr;

const ID: &str = "an EID";

/// The number of an eUICC: 32 decimal digits, on the wire 16 octets with one digit per nibble, high nibble first.
///
/// Wrong check digits are not refused (field and test cards have them); ask [`Eid::check_digits_ok`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Eid([u8; 16]);

impl Eid {
    /// Reads the wire form.
    ///
    /// # Errors
    /// When there are not 16 octets or a nibble is not a decimal digit.
    pub fn from_octets(octets: &[u8]) -> Result<Self, IdError> {
        let found = octets.len();
        let octets: [u8; 16] =
            octets.try_into().map_err(|_| IdError::Length { id: ID, expected: "16 octets", found })?;
        if octets.iter().any(|octet| octet >> 4 > 9 || octet & 0x0f > 9) {
            return Err(IdError::Character { id: ID, expected: "decimal digits" });
        }
        Ok(Self(octets))
    }

    /// The wire form.
    #[must_use]
    pub const fn octets(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether the last two digits are right: the whole number modulo 97 is 1 (MOD 97-10).
    #[must_use]
    pub fn check_digits_ok(&self) -> bool {
        self.0
            .iter()
            .fold(0_u32, |rest, octet| (rest * 100 + u32::from(octet >> 4) * 10 + u32::from(octet & 0x0f)) % 97)
            == 1
    }
}

impl FromStr for Eid {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != 32 {
            return Err(IdError::Length { id: ID, expected: "32 digits", found: text.chars().count() });
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(IdError::Character { id: ID, expected: "decimal digits" });
        }
        let mut octets = [0_u8; 16];
        for (octet, pair) in octets.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *octet = (pair[0] - b'0') << 4 | (pair[1] - b'0');
        }
        Ok(Self(octets))
    }
}

impl fmt::Display for Eid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Eid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Eid({self})")
    }
}

serde_as_text!(Eid);
