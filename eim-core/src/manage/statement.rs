//! Signing statements with a key of packages, see [`crate::domain::statement`].

use super::ManageError;
use crate::Eim;
use crate::domain::statement::{self, Purpose, SignedStatement};
use crate::ids::KeyId;
use serde::Serialize;

/// Signs what is said for this purpose, with the key that new associations get.
///
/// # Errors
/// When the key can't be used.
pub(crate) async fn sign(purpose: Purpose, says: &impl Serialize, eim: &Eim) -> Result<SignedStatement, ManageError> {
    sign_with(eim.current_key(&eim.identity().eim_id)?.id, purpose, says, eim).await
}

/// The same with this key, which has to be loaded.
///
/// # Errors
/// When it is not, or can't be used.
pub(crate) async fn sign_with(
    key: KeyId,
    purpose: Purpose,
    says: &impl Serialize,
    eim: &Eim,
) -> Result<SignedStatement, ManageError> {
    let text = statement::text(purpose, says);
    let signature = eim.sign(key, text.clone().into_bytes()).await?;
    let public_key = eim.keys().get(key).map(|key| key.signer.public_key().to_vec()).unwrap_or_default();
    Ok(SignedStatement::new(text, &public_key, &signature))
}

/// The name of the key that this eIM signs statements with; empty when there is none.
#[must_use]
pub fn own_key_id(eim: &Eim) -> String {
    eim.current_key(&eim.identity().eim_id).map(|key| key.id.to_string()).unwrap_or_default()
}
