//! Signing statements with the key of packages, see [`crate::domain::statement`].

use super::ManageError;
use crate::Eim;
use crate::domain::statement::{self, Purpose, SignedStatement};
use serde::Serialize;

/// Signs what is said for this purpose.
///
/// # Errors
/// When the key can't be used.
pub(crate) fn sign(purpose: Purpose, says: &impl Serialize, eim: &Eim) -> Result<SignedStatement, ManageError> {
    let text = statement::text(purpose, says);
    let signature = eim.signer().sign(text.as_bytes())?;
    Ok(SignedStatement::new(text, eim.signer().public_key(), &signature))
}

/// The name of the key that this eIM signs with.
#[must_use]
pub fn own_key_id(eim: &Eim) -> String {
    statement::key_id(eim.signer().public_key())
}
