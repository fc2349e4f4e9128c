//! eimId: the name by which eUICCs know an eIM (SGP.32 v1.2 2.11.1.1.1).

use super::{IdError, RspAddress, serde_as_text};
use std::fmt;
use std::str::FromStr;

/// The name of an eIM: 1 to 128 octets of UTF-8. Compared octet by octet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EimId(String);

impl EimId {
    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What an eimId of this eimIdType has to be, where this text is not that: a dotted OID for oid(1), a host name for fqdn(2).
    /// Of proprietary(3), and of types that are not known, nothing is expected.
    #[must_use]
    pub fn expected_of_type(text: &str, eim_id_type: i64) -> Option<&'static str> {
        match eim_id_type {
            1 if !is_dotted_oid(text) => Some("a dotted OID, as eimIdType is oid (1),"),
            2 if !is_host_name(text) => Some("a host name, as eimIdType is fqdn (2),"),
            _ => None,
        }
    }
}

/// Whether this is an OID in its one dotted spelling. Arcs may be of any length: 2.25 has a UUID below it.
fn is_dotted_oid(text: &str) -> bool {
    let is_number = |arc: &str| {
        !arc.is_empty() && arc.bytes().all(|octet| octet.is_ascii_digit()) && (arc == "0" || !arc.starts_with('0'))
    };
    let mut arcs = text.split('.');
    let (root, second) = (arcs.next().unwrap_or_default(), arcs.next().unwrap_or_default());
    // Below 0 and 1 there are 40 (X.660).
    let has_root = match root {
        "0" | "1" => second.parse::<u8>().is_ok_and(|second| second < 40),
        "2" => true,
        _ => false,
    };
    has_root && is_number(second) && arcs.all(is_number)
}

fn is_host_name(text: &str) -> bool {
    text.parse::<RspAddress>().is_ok_and(|address| address.host() == text)
}

impl FromStr for EimId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if (1..=128).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::Length { id: "an eimId", expected: "1 to 128 octets", found: text.len() })
        }
    }
}

impl fmt::Display for EimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(EimId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_held_to_its_type() {
        let uuid = format!("2.25.{}", u128::MAX);
        for (text, eim_id_type) in [
            ("2.999.1", 1),
            ("1.39", 1),
            ("0.0", 1),
            (&uuid, 1),
            ("eim.example", 2),
            ("localhost", 2),
            ("a b", 3),
            ("x", 9),
        ] {
            assert_eq!(EimId::expected_of_type(text, eim_id_type), None, "{text} {eim_id_type}");
        }
        for text in
            ["x", "2", "", "2.", ".2", "2..1", "3.1", "1.40", "2.01", "2.1 ", "+2.1", "2.+1", "2.a", "eim.example"]
        {
            assert!(EimId::expected_of_type(text, 1).is_some(), "{text}");
        }
        for text in ["", "a b", "-a.example", "a..b", "a.example:443", "10.0.0.1", "https://a.example", "2.999.1"] {
            assert!(EimId::expected_of_type(text, 2).is_some(), "{text}");
        }
    }
}
