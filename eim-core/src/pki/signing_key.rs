//! Private keys in this process: the signer behind a key file, and behind simulators and tests.
//!
//! Keys in a token (PKCS#11) never come here. Nothing here shows a key: `Debug` gives the curve only, errors say nothing
//! of the input, and the secret is overwritten when it is dropped where the curve crates do that.

use super::pem;
use super::public_key::{Curve, KeyError, PublicKey};
use bp256::r1::BrainpoolP256r1;
use ecdsa::signature::Signer;
use elliptic_curve::zeroize::Zeroizing;
use p256::NistP256;
use p256::elliptic_curve::SecretKey;
use p256::pkcs8::{EncodePrivateKey, LineEnding};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use std::fmt;

/// A private key for ECDSA with SHA-256.
pub struct SigningKey {
    secret: Secret,
    public: PublicKey,
}

enum Secret {
    P256 { key: p256::ecdsa::SigningKey, pair: Box<EcdsaKeyPair>, random: SystemRandom },
    BrainpoolP256r1(ecdsa::SigningKey<BrainpoolP256r1>),
}

impl SigningKey {
    /// Reads a PKCS#8 (or SEC1) key in DER; the curve in it decides.
    ///
    /// # Errors
    /// When it is no private key on one of the two curves.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(secret) = SecretKey::<NistP256>::from_der(der) {
            return Self::from_p256(&secret);
        }
        let secret = SecretKey::<BrainpoolP256r1>::from_der(der)
            .map_err(|_| KeyError::Structure("no private key on P-256 or brainpoolP256r1"))?;
        Self::from_brainpool(&secret)
    }

    /// Reads the first `PRIVATE KEY` (PKCS#8) or `EC PRIVATE KEY` (SEC1, with a named curve) of a PEM file.
    ///
    /// # Errors
    /// When there is none, it is encrypted, or it is not on one of the two curves.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        for label in ["PRIVATE KEY", "EC PRIVATE KEY"] {
            let blocks = pem::blocks(text, label).ok_or(KeyError::Structure("broken PEM"))?;
            if let Some(der) = blocks.into_iter().map(Zeroizing::new).next() {
                return Self::from_pkcs8_der(&der);
            }
        }
        Err(KeyError::Structure("no unencrypted private key in the PEM file"))
    }

    /// The key with this scalar, 32 octets big endian. For simulators and tests with seeded keys.
    ///
    /// # Errors
    /// When the scalar is zero or not below the group order.
    pub fn from_scalar(curve: Curve, scalar: &[u8; 32]) -> Result<Self, KeyError> {
        const RANGE: KeyError = KeyError::Structure("the scalar is out of range");
        match curve {
            Curve::P256 => Self::from_p256(&SecretKey::from_slice(scalar).map_err(|_| RANGE)?),
            Curve::BrainpoolP256r1 => Self::from_brainpool(&SecretKey::from_slice(scalar).map_err(|_| RANGE)?),
        }
    }

    /// Makes a new key on P-256, from [`SystemRandom`] in production.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate_p256(random: &dyn SecureRandom) -> Result<Self, KeyError> {
        // Nearly every scalar is in range (all but one of 2^32); a source that never gives one is broken.
        for _ in 0..8 {
            let mut scalar = Zeroizing::new([0; 32]);
            random.fill(scalar.as_mut_slice()).map_err(|_| KeyError::Randomness)?;
            if let Ok(key) = Self::from_scalar(Curve::P256, &scalar) {
                return Ok(key);
            }
        }
        Err(KeyError::Randomness)
    }

    fn from_p256(secret: &SecretKey<NistP256>) -> Result<Self, KeyError> {
        let key = p256::ecdsa::SigningKey::from(secret.to_nonzero_scalar());
        let public = PublicKey::from_point(Curve::P256, key.verifying_key().to_sec1_point(false).as_bytes())?;
        let random = SystemRandom::new();
        let scalar = Zeroizing::new(<[u8; 32]>::from(secret.to_bytes()));
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            scalar.as_slice(),
            public.point(),
            &random,
        )
        .map_err(|_| KeyError::Structure("a key that the signer refuses"))?;
        Ok(Self { secret: Secret::P256 { key, pair: Box::new(pair), random }, public })
    }

    fn from_brainpool(secret: &SecretKey<BrainpoolP256r1>) -> Result<Self, KeyError> {
        let key = ecdsa::SigningKey::from(secret.to_nonzero_scalar());
        let public =
            PublicKey::from_point(Curve::BrainpoolP256r1, key.verifying_key().to_sec1_point(false).as_bytes())?;
        Ok(Self { secret: Secret::BrainpoolP256r1(key), public })
    }

    /// Signs `message` with ECDSA and SHA-256; the value is `r || s`, 64 octets. Safe to call from several threads.
    ///
    /// P-256 values differ from call to call. Should the system have no randomness, the deterministic value is given,
    /// which needs none; brainpool values are always deterministic.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        if let Secret::P256 { pair, random, .. } = &self.secret
            && let Ok(value) = pair.sign(random, message)
            && let Ok(value) = value.as_ref().try_into()
        {
            return value;
        }
        self.sign_deterministic(message)
    }

    /// Signs like [`Self::sign`], always with the same value for the same message (RFC 6979).
    #[must_use]
    pub fn sign_deterministic(&self, message: &[u8]) -> [u8; 64] {
        match &self.secret {
            Secret::P256 { key, .. } => {
                let value: p256::ecdsa::Signature = key.sign(message);
                value.to_bytes().into()
            }
            Secret::BrainpoolP256r1(key) => {
                let value: ecdsa::Signature<BrainpoolP256r1> = key.sign(message);
                value.to_bytes().into()
            }
        }
    }

    /// The public half.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The SubjectPublicKeyInfo of the public half, in DER.
    #[must_use]
    pub fn public_key_spki(&self) -> Vec<u8> {
        self.public.to_spki()
    }

    /// The key as a PKCS#8 PEM file, overwritten in memory when it is dropped.
    ///
    /// # Errors
    /// When the encoder fails, which a key that was read or made here does not cause.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        match &self.secret {
            Secret::P256 { key, .. } => {
                SecretKey::<NistP256>::from(key.as_nonzero_scalar()).to_pkcs8_pem(LineEnding::LF)
            }
            Secret::BrainpoolP256r1(key) => {
                SecretKey::<BrainpoolP256r1>::from(key.as_nonzero_scalar()).to_pkcs8_pem(LineEnding::LF)
            }
        }
        .map_err(|_| KeyError::Structure("the key could not be written"))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("curve", &self.public.curve()).finish_non_exhaustive()
    }
}
