//! The hashed confirmation code (SGP.22 5.7.5, 4.7).

use sha2::{Digest, Sha256};

/// `SHA256( SHA256( confirmation code as UTF-8 ) || transactionId )`, as hashCc carries it.
#[must_use]
pub fn hash_cc(confirmation_code: &str, transaction_id: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix(Sha256::digest(confirmation_code)).chain_update(transaction_id).finalize().into()
}
