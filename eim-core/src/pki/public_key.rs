//! Public keys on the two curves of SGP.22 2.6.7.1 and the verification of ECDSA values made with them.

use super::der::{self, Reader, tag};
use super::signature::{self, SignatureError, SignatureForm};
use bp256::r1::BrainpoolP256r1;
use ecdsa::signature::Verifier;
use std::fmt;

const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const BRAINPOOL_P256R1: &[u8] = &[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07];

/// An elliptic curve that keys may be on. The curve of the certificate decides, never that of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256, prime256v1, 1.2.840.10045.3.1.7.
    P256,
    /// brainpoolP256r1, 1.3.36.3.3.2.8.1.1.7.
    BrainpoolP256r1,
}

impl Curve {
    const fn oid(self) -> &'static [u8] {
        match self {
            Self::P256 => PRIME256V1,
            Self::BrainpoolP256r1 => BRAINPOOL_P256R1,
        }
    }

    pub(super) fn by_oid(oid: &[u8]) -> Option<Self> {
        [Self::P256, Self::BrainpoolP256r1].into_iter().find(|curve| curve.oid() == oid)
    }
}

/// Why a key can't be used. Never tells anything about the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The octets are no key of the expected form.
    #[error("not a usable key: {0}")]
    Structure(&'static str),
    /// The algorithm or curve is none of the two that are supported, or the curve is not given by its name.
    #[error("the key is on an unsupported curve")]
    UnsupportedCurve,
    /// The point is not on its curve.
    #[error("the public key is not a point of its curve")]
    Point,
    /// The source of randomness failed.
    #[error("no randomness for a new key")]
    Randomness,
}

/// A public key that is known to be a point of its curve.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    point: [u8; 65],
    parsed: Parsed,
}

/// What verification needs beyond the point; ring reads P-256 points by itself.
#[derive(Clone, PartialEq, Eq)]
enum Parsed {
    P256,
    BrainpoolP256r1(Box<ecdsa::VerifyingKey<BrainpoolP256r1>>),
}

impl PublicKey {
    /// Reads a complete SubjectPublicKeyInfo (RFC 5480): named curve, uncompressed point.
    ///
    /// # Errors
    /// When it is malformed, on another curve, compressed, or not on its curve.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        Self::read_spki(der).map_err(KeyError::Structure)?
    }

    fn read_spki(der: &[u8]) -> Result<Result<Self, KeyError>, der::Fault> {
        let mut info = Reader::new(der::single(der, tag::SEQUENCE)?.content);
        let mut algorithm = info.nested(tag::SEQUENCE)?;
        if algorithm.expect(tag::OID)?.content != EC_PUBLIC_KEY {
            return Ok(Err(KeyError::UnsupportedCurve));
        }
        let parameters = algorithm.any()?;
        algorithm.end()?;
        let point = der::whole_octets(info.expect(tag::BIT_STRING)?.content)?;
        info.end()?;
        let curve = if parameters.tag == tag::OID { Curve::by_oid(parameters.content) } else { None };
        Ok(curve.ok_or(KeyError::UnsupportedCurve).and_then(|curve| Self::from_point(curve, point)))
    }

    /// Reads an uncompressed point, `04 X Y`, 65 octets.
    ///
    /// # Errors
    /// When the form is another one or the point is not on the curve.
    pub fn from_point(curve: Curve, point: &[u8]) -> Result<Self, KeyError> {
        let point: [u8; 65] = point.try_into().map_err(|_| KeyError::Structure("a point is not 65 octets long"))?;
        if point[0] != 0x04 {
            return Err(KeyError::Structure("a point is not uncompressed"));
        }
        let parsed = match curve {
            Curve::P256 => {
                p256::PublicKey::from_sec1_bytes(&point).map_err(|_| KeyError::Point)?;
                Parsed::P256
            }
            Curve::BrainpoolP256r1 => Parsed::BrainpoolP256r1(Box::new(
                ecdsa::VerifyingKey::from_sec1_bytes(&point).map_err(|_| KeyError::Point)?,
            )),
        };
        Ok(Self { point, parsed })
    }

    /// The curve of the key.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        match self.parsed {
            Parsed::P256 => Curve::P256,
            Parsed::BrainpoolP256r1(_) => Curve::BrainpoolP256r1,
        }
    }

    /// The uncompressed point, `04 X Y`, 65 octets.
    #[must_use]
    pub const fn point(&self) -> &[u8; 65] {
        &self.point
    }

    /// The SubjectPublicKeyInfo in DER: `30 { 30 { 06 ecPublicKey, 06 curve }, 03 00 04 X Y }`.
    #[must_use]
    pub fn to_spki(&self) -> Vec<u8> {
        let algorithm = [der::element(tag::OID, EC_PUBLIC_KEY), der::element(tag::OID, self.curve().oid())].concat();
        let bits = [&[0x00], self.point.as_slice()].concat();
        der::element(
            tag::SEQUENCE,
            &[der::element(tag::SEQUENCE, &algorithm), der::element(tag::BIT_STRING, &bits)].concat(),
        )
    }

    /// Verifies an ECDSA value with SHA-256 over `message` (SGP.32 signatures: `r || s`, BSI TR-03111).
    ///
    /// There is no low-s rule. A DER value is taken and named in the answer; it is never produced.
    ///
    /// # Errors
    /// [`SignatureError::Format`] when the value is neither 64 octets nor DER, [`SignatureError::Mismatch`] when it
    /// does not verify; that includes r or s being zero or not below the group order.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<SignatureForm, SignatureError> {
        let (fixed, form) = match <&[u8; 64]>::try_from(signature) {
            Ok(fixed) => (*fixed, SignatureForm::Fixed),
            Err(_) => (signature::fixed_from_der(signature)?, SignatureForm::Der),
        };
        self.verify_fixed(message, &fixed).map(|()| form)
    }

    /// Verifies an ECDSA value in the DER form that certificates use (RFC 3279 2.2.3), and in no other.
    pub(super) fn verify_der(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        self.verify_fixed(message, &signature::fixed_from_der(signature)?)
    }

    fn verify_fixed(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), SignatureError> {
        // Both crates refuse r and s that are zero or not below the group order.
        match &self.parsed {
            Parsed::P256 => {
                ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, &self.point)
                    .verify(message, signature)
                    .map_err(|_| SignatureError::Mismatch)
            }
            Parsed::BrainpoolP256r1(key) => ecdsa::Signature::from_slice(signature)
                .and_then(|value| key.verify(message, &value))
                .map_err(|_| SignatureError::Mismatch),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?}, {})", self.curve(), hex::encode(self.point))
    }
}
