//! Key agreement: ECDH on P-256, then the X9.63 derivation with SHA-256 (SGP.22 v2.5 2.6.4.1; BSI TR-03111 4.3.3).

use super::BppError;
use eim_core::pki::{Curve, SigningKey};
use sha2::{Digest, Sha256};

/// keyType: AES.
pub(super) const KEY_TYPE: u8 = 0x88;
/// keyLen: 16 octets.
pub(super) const KEY_LEN: u8 = 0x10;

/// What protects blocks. The names are those of ReplaceSessionKeysRequest.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub initial_mac_chaining_value: [u8; 16],
    pub enc: [u8; 16],
    pub cmac: [u8; 16],
}

impl Keys {
    /// The first 48 of these octets.
    pub fn of(octets: &[u8; 64]) -> Self {
        let part = |index: usize| std::array::from_fn(|at| octets.get(16 * index + at).copied().unwrap_or_default());
        Self { initial_mac_chaining_value: part(0), enc: part(1), cmac: part(2) }
    }
}

/// The public point of a one-time secret on P-256, `04 X Y`.
///
/// # Errors
/// [`BppError::Secret`] when the scalar is out of range.
pub fn otpk(secret: &[u8; 32]) -> Result<[u8; 65], BppError> {
    let key = SigningKey::from_scalar(Curve::P256, secret).map_err(|_| BppError::Secret)?;
    Ok(*key.public_key().point())
}

/// The session keys of two one-time keys: `SHA256( Z || counter || 88 10 LV(hostId) LV(EID) )`.
pub(super) fn agree(secret: &[u8; 32], otpk: &[u8], host_id: &[u8], eid: &[u8; 16]) -> Result<Keys, BppError> {
    let secret = p256::SecretKey::from_slice(secret).map_err(|_| BppError::Secret)?;
    let public =
        Some(otpk).filter(|point| point.len() == 65).and_then(|point| p256::PublicKey::from_sec1_bytes(point).ok());
    let public = public.ok_or(BppError::Point)?;
    let shared = p256::ecdh::diffie_hellman(secret.to_nonzero_scalar(), public.as_affine());
    let host_id_len = [host_id.len() as u8];
    let info = [&[KEY_TYPE, KEY_LEN], host_id_len.as_slice(), host_id, &[16], eid].concat();
    let block = |counter: u32| -> [u8; 32] {
        Sha256::new_with_prefix(shared.raw_secret_bytes())
            .chain_update(counter.to_be_bytes())
            .chain_update(&info)
            .finalize()
            .into()
    };
    let (first, second) = (block(1), block(2));
    let octets = std::array::from_fn(|at| first.iter().chain(&second).nth(at).copied().unwrap_or_default());
    Ok(Keys::of(&octets))
}
