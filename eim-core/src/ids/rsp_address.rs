//! The address of an SM-DP+ or SM-DS (SGP.22 v2.5 4.1, 2.6.6).

use super::{IdError, serde_as_text};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

const ID: &str = "a server address";

/// A host name, with a port where it is not 443. Never an IP literal, since certificates and activation codes name
/// hosts; never a URL, user information or a path. Letter case does not matter, and the text is kept as written.
#[derive(Debug, Clone)]
pub struct RspAddress {
    text: String,
    host_len: usize,
    port: Option<u16>,
}

impl RspAddress {
    /// As it was written, port included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host name as it was written.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.text[..self.host_len]
    }

    /// The port: 443 unless one is named.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(443)
    }

    /// The address in lower case, without the usual port: what tells addresses apart.
    #[must_use]
    pub fn key(&self) -> String {
        let text = self.text.to_ascii_lowercase();
        text.strip_suffix(":443").map_or(text.clone(), str::to_owned)
    }
}

impl FromStr for RspAddress {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (host, port) = match text.split_once(':') {
            None => (text, None),
            Some((host, digits)) => {
                let port = digits.parse::<u16>().ok().filter(|port| *port != 0 && *digits == port.to_string());
                (host, Some(port.ok_or(IdError::Range { id: ID, expected: "with a port from 1 to 65535" })?))
            }
        };
        if host.is_empty() || host.len() > 253 {
            return Err(IdError::Length { id: ID, expected: "a host name of 1 to 253 octets", found: host.len() });
        }
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !host.split('.').all(is_label) {
            return Err(IdError::Character { id: ID, expected: "the labels of a host name, without a dot at the end" });
        }
        // What the resolver of an operating system may take for a number: 10.0.0.1, 1, 0x7f000001, 127.1.
        let last = host.rsplit('.').next().unwrap_or_default();
        if last.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(IdError::Range { id: ID, expected: "a host name and not an IP address" });
        }
        Ok(Self { text: text.to_owned(), host_len: host.len(), port })
    }
}

impl PartialEq for RspAddress {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for RspAddress {}

impl Hash for RspAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Display for RspAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

serde_as_text!(RspAddress);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_host_names_and_ports() {
        let plain: RspAddress = "SMDP.example".parse().unwrap();
        assert_eq!((plain.host(), plain.port(), plain.as_str()), ("SMDP.example", 443, "SMDP.example"));
        assert_eq!(plain, "smdp.EXAMPLE".parse().unwrap());
        let other: RspAddress = "localhost:8443".parse().unwrap();
        assert_eq!((other.host(), other.port()), ("localhost", 8443));
        assert_ne!(other, "localhost".parse().unwrap());
        assert_eq!(plain, "smdp.example:443".parse().unwrap());
        assert!("xn--bcher-kva.example".parse::<RspAddress>().is_ok());
        assert!("3gpp.example".parse::<RspAddress>().is_ok());
    }

    #[test]
    fn refuses_whatever_is_no_host_name() {
        for text in [
            "",
            "10.0.0.1",
            "127.1",
            "1",
            "0x7f000001",
            "smdp.0x7f",
            "[::1]",
            "::1",
            "smdp.example.",
            ".example",
            "a..b",
            "user@smdp.example",
            "user:pw@smdp.example",
            "https://smdp.example",
            "smdp.example/path",
            "smdp.example?x",
            "smdp.example#x",
            "smdp example",
            "b\u{fc}cher.example",
            "smdp.example:0",
            "smdp.example:65536",
            "smdp.example:+1",
            "smdp.example:",
            "smdp.example:1:2",
            "-a.example",
            "a-.example",
            "smdp.example\0",
            "smdp.example\r\n",
        ] {
            assert!(text.parse::<RspAddress>().is_err(), "{text:?}");
        }
        assert!(format!("{}.example", "a".repeat(64)).parse::<RspAddress>().is_err());
    }
}
