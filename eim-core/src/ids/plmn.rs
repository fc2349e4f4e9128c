//! PLMN: a mobile network as an IPA reports it (3GPP TS 24.008 10.5.1.13).

use super::{IdError, serde_as_text};
use std::fmt;
use std::str::FromStr;

const ID: &str = "a PLMN";

/// A network: three octets on the wire; MCC and MNC, five or six digits, in text. Octets that are no digits are kept
/// and shown as six hexadecimal characters after `0x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Plmn([u8; 3]);

impl Plmn {
    /// Reads the wire form; any three octets are taken.
    ///
    /// # Errors
    /// When there are not 3 octets.
    pub fn from_octets(octets: &[u8]) -> Result<Self, IdError> {
        let found = octets.len();
        octets.try_into().map(Self).map_err(|_| IdError::Length { id: ID, expected: "3 octets", found })
    }

    /// The wire form.
    #[must_use]
    pub const fn octets(&self) -> &[u8; 3] {
        &self.0
    }

    fn digits(&self) -> Option<String> {
        let [first, second, third] = self.0;
        let mut nibbles = vec![first & 0x0f, first >> 4, second & 0x0f, third & 0x0f, third >> 4];
        if second >> 4 != 0x0f {
            nibbles.push(second >> 4);
        }
        nibbles
            .iter()
            .all(|nibble| *nibble <= 9)
            .then(|| nibbles.iter().map(|nibble| char::from(b'0' + nibble)).collect())
    }
}

impl FromStr for Plmn {
    type Err = IdError;

    /// Reads MCC and MNC: five or six digits.
    fn from_str(text: &str) -> Result<Self, IdError> {
        if !(5..=6).contains(&text.len()) {
            return Err(IdError::Length { id: ID, expected: "5 or 6 digits", found: text.chars().count() });
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(IdError::Character { id: ID, expected: "decimal digits" });
        }
        let digit = |index: usize| text.as_bytes().get(index).map_or(0x0f, |digit| digit - b'0');
        Ok(Self([digit(1) << 4 | digit(0), digit(5) << 4 | digit(2), digit(4) << 4 | digit(3)]))
    }
}

impl fmt::Display for Plmn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.digits() {
            Some(digits) => f.write_str(&digits),
            None => write!(f, "0x{}", hex::encode_upper(self.0)),
        }
    }
}

serde_as_text!(Plmn);
