//! Statements of this eIM that it signs with the key of its packages: what they say, and that none is ever a package.
//!
//! What is signed begins with the purpose in letters, `eim-`. What an eUICC verifies begins with the SEQUENCE tag 30 of
//! EuiccPackageSigned (SGP.32 v1.2 2.11.1.1), and `e` is 65: no signature of the one kind verifies for the other, and none of one
//! purpose for another.

use crate::pki::PublicKey;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest statement that is read, octets.
const STATEMENT_MAX_BYTES: usize = 64 * 1024;

/// What a statement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// How far the audit log goes.
    AuditCheckpoint,
    /// That this eIM commands a device.
    HandoverProof,
    /// What a portable export holds.
    Export,
}

impl Purpose {
    /// The first line of what is signed, line feed included.
    #[must_use]
    pub const fn heading(self) -> &'static str {
        match self {
            Self::AuditCheckpoint => "eim-audit-checkpoint/1\n",
            Self::HandoverProof => "eim-handover-proof/1\n",
            Self::Export => "eim-export/1\n",
        }
    }
}

/// Why a statement is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// It is not of the purpose asked for, or not readable.
    #[error("it is no statement of this kind")]
    Form,
    /// The key in it can't be used.
    #[error("the key that it names can't be used")]
    Key,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
}

/// A statement, its signature, and the key that is said to have made it. Octets are never encoded again: the text is kept as it
/// was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedStatement {
    /// The heading and a JSON object.
    pub statement: String,
    /// The key as SubjectPublicKeyInfo in DER, hexadecimal.
    pub public_key: String,
    /// ECDSA with SHA-256, `r || s`, hexadecimal.
    pub signature: String,
}

/// The text to sign for something of this purpose.
#[must_use]
pub fn text(purpose: Purpose, says: &impl Serialize) -> String {
    // Texts and numbers only: this can't fail.
    format!("{}{}", purpose.heading(), serde_json::to_string(says).unwrap_or_default())
}

/// The name of a key: SHA-256 of its SubjectPublicKeyInfo, hexadecimal.
#[must_use]
pub fn key_id(public_key: &[u8]) -> String {
    digest(public_key)
}

/// SHA-256, hexadecimal.
#[must_use]
pub fn digest(octets: &[u8]) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, octets))
}

impl SignedStatement {
    /// A statement with the signature that was made over `statement`.
    #[must_use]
    pub fn new(statement: String, public_key: &[u8], signature: &[u8]) -> Self {
        Self { statement, public_key: hex::encode(public_key), signature: hex::encode(signature) }
    }

    /// The name of the key that is said to have made it, see [`key_id`].
    ///
    /// # Errors
    /// When the key is no hexadecimal text.
    pub fn key_id(&self) -> Result<String, StatementError> {
        Ok(key_id(&hex::decode(&self.public_key).map_err(|_| StatementError::Key)?))
    }

    /// What it says, when the signature verifies under the key that it names. Whether that key is to be trusted is the
    /// caller's to say.
    ///
    /// # Errors
    /// When it is of another purpose, can't be read, or does not verify.
    pub fn open<T: DeserializeOwned>(&self, purpose: Purpose) -> Result<T, StatementError> {
        if self.statement.len() > STATEMENT_MAX_BYTES {
            return Err(StatementError::Form);
        }
        // One spelling, so that no octet of a file that holds it can be changed unseen.
        if [&self.public_key, &self.signature].iter().any(|hex| hex.bytes().any(|octet| octet.is_ascii_uppercase())) {
            return Err(StatementError::Form);
        }
        let says = self.statement.strip_prefix(purpose.heading()).ok_or(StatementError::Form)?;
        let spki = hex::decode(&self.public_key).map_err(|_| StatementError::Key)?;
        let key = PublicKey::from_spki(&spki).map_err(|_| StatementError::Key)?;
        let signature = hex::decode(&self.signature).map_err(|_| StatementError::Signature)?;
        key.verify(self.statement.as_bytes(), &signature).map_err(|_| StatementError::Signature)?;
        serde_json::from_str(says).map_err(|_| StatementError::Form)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::pki::SigningKey;
    use serde_json::{Value, json};

    fn signed(purpose: Purpose, key: &SigningKey) -> SignedStatement {
        let text = text(purpose, &json!({ "position": 1 }));
        let signature = key.sign(text.as_bytes());
        SignedStatement::new(text, &key.public_key_spki(), &signature)
    }

    fn key() -> SigningKey {
        SigningKey::generate_p256(&ring::rand::SystemRandom::new()).unwrap()
    }

    #[test]
    fn a_statement_is_believed_for_its_own_purpose_alone() {
        let statement = signed(Purpose::AuditCheckpoint, &key());
        assert_eq!(statement.open::<Value>(Purpose::AuditCheckpoint).unwrap()["position"], 1);
        assert_eq!(statement.open::<Value>(Purpose::Export), Err(StatementError::Form));
        let mut retitled = statement.clone();
        retitled.statement = statement.statement.replace("eim-audit-checkpoint", "eim-export");
        assert_eq!(retitled.open::<Value>(Purpose::Export), Err(StatementError::Signature));
        for upper in [
            SignedStatement { public_key: statement.public_key.to_uppercase(), ..statement.clone() },
            SignedStatement { signature: statement.signature.to_uppercase(), ..statement.clone() },
        ] {
            assert_eq!(upper.open::<Value>(Purpose::AuditCheckpoint), Err(StatementError::Form), "one spelling");
        }
        let mut changed = statement;
        changed.statement = changed.statement.replace('1', "2");
        assert!(changed.open::<Value>(Purpose::AuditCheckpoint).is_err());
    }

    #[test]
    fn what_is_signed_never_begins_as_a_package_does() {
        for purpose in [Purpose::AuditCheckpoint, Purpose::HandoverProof, Purpose::Export] {
            assert!(purpose.heading().starts_with("eim-") && purpose.heading().ends_with('\n'));
            assert_ne!(purpose.heading().as_bytes()[0], 0x30, "the SEQUENCE of EuiccPackageSigned");
        }
    }
}
