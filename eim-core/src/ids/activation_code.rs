//! Activation code: how a device is told where its profile waits (SGP.22 4.1).

use super::IdError;
use std::fmt;
use std::str::FromStr;

const ID: &str = "an activation code";

/// An activation code: `1$<SM-DP+ address>$<matchingId>[$<SM-DP+ OID>[$1]]`, with or without `LPA:` before it, at most
/// 255 octets. It is a secret: `Debug` shows the address alone, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct ActivationCode {
    text: String,
    address: String,
    matching_id: String,
    oid: Option<String>,
    confirmation_code_required: bool,
}

impl ActivationCode {
    /// The code without the `LPA:` prefix, as it stands in tag 80 of a download trigger. Never log it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The SM-DP+ address: a host name, perhaps with a port.
    #[must_use]
    pub fn smdp_address(&self) -> &str {
        &self.address
    }

    /// The matchingId; may be empty. A secret as the code is.
    #[must_use]
    pub fn matching_id(&self) -> &str {
        &self.matching_id
    }

    /// The OID that the SM-DP+ must show in its certificate, dotted.
    #[must_use]
    pub fn smdp_oid(&self) -> Option<&str> {
        self.oid.as_deref()
    }

    /// Whether a confirmation code is needed.
    #[must_use]
    pub const fn confirmation_code_required(&self) -> bool {
        self.confirmation_code_required
    }
}

impl FromStr for ActivationCode {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let code = text.strip_prefix("LPA:").unwrap_or(text);
        if code.len() > 255 {
            return Err(IdError::Length { id: ID, expected: "at most 255 octets", found: code.len() });
        }
        let mut fields = code.split('$');
        if fields.next() != Some("1") {
            return Err(IdError::Range { id: ID, expected: "of format 1 (1$address$matchingId)" });
        }
        let address = fields.next().unwrap_or_default();
        if address.is_empty() || !address.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:_".contains(&byte)) {
            return Err(IdError::Character { id: ID, expected: "an SM-DP+ host name after the format" });
        }
        let matching_id = fields.next().ok_or(IdError::Range { id: ID, expected: "with a matchingId field" })?;
        if !matching_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(IdError::Character { id: ID, expected: "letters, digits and - in the matchingId" });
        }
        let oid = fields.next().filter(|oid| !oid.is_empty());
        if oid.is_some_and(|oid| !dotted_oid(oid)) {
            return Err(IdError::Character { id: ID, expected: "a dotted OID in the fourth field" });
        }
        Ok(Self {
            text: code.to_owned(),
            address: address.to_owned(),
            matching_id: matching_id.to_owned(),
            oid: oid.map(str::to_owned),
            confirmation_code_required: fields.next() == Some("1"),
        })
    }
}

fn dotted_oid(text: &str) -> bool {
    text.split('.').count() >= 2
        && text.split('.').all(|arc| !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()))
}

impl fmt::Debug for ActivationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActivationCode(at {})", self.address)
    }
}
