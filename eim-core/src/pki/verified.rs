//! The proof type: a value whose signature was verified, and that nothing else can make.

use super::error::TrustError;
use super::key_id::KeyId;
use super::public_key::PublicKey;
use super::signature::SignatureForm;
use crate::asn1::Raw;
use crate::ids::Eid;

/// A value whose signature verified, over the octets as received, with a key that is known to be the signer's.
///
/// Having one is the only evidence of verification that other rooms accept: it has no public fields, no `Default`, no
/// `Deserialize`, and only the `verify_*` functions of this room make it.
///
/// ```
/// fn read(verified: &eim_core::pki::Verified<u8, ()>) -> u8 {
///     *verified.value()
/// }
/// ```
///
/// ```compile_fail
/// let forged = eim_core::pki::Verified { value: 7, octets: Vec::new(), signer: (), warnings: Vec::new() };
/// ```
///
/// ```compile_fail
/// let forged: eim_core::pki::Verified<u8, ()> = Default::default();
/// ```
///
/// ```compile_fail
/// let forged: eim_core::pki::Verified<u8, ()> = serde_json::from_str("{}").unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Verified<T, S = Signer> {
    value: T,
    octets: Vec<u8>,
    signer: S,
    warnings: Vec<Leniency>,
}

/// The eUICC that signed, as its certificate chain proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The EID in the certificate.
    pub eid: Eid,
    /// The CI whose root the chain ends in.
    pub ci_key_id: KeyId,
    /// SHA-256 of the eUICC certificate: another value for a known EID is worth an event.
    pub euicc_certificate_sha256: [u8; 32],
}

/// Something that was tolerated. Worth recording, never a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leniency {
    /// The ECDSA value was a DER sequence instead of `r || s`.
    DerSignature,
    /// The check digits of the EID are wrong.
    EidCheckDigits,
}

impl Leniency {
    /// A stable word for metric labels and API texts.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::DerSignature => "der-signature",
            Self::EidCheckDigits => "eid-check-digits",
        }
    }
}

impl<T, S> Verified<T, S> {
    /// The value.
    #[must_use]
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// The octets of the signed object as received, without what is appended for signing (token, earlier signature).
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Who signed.
    #[must_use]
    pub const fn signer(&self) -> &S {
        &self.signer
    }

    /// What was tolerated, in the chain and in the signature.
    #[must_use]
    pub fn warnings(&self) -> &[Leniency] {
        &self.warnings
    }
}

/// A signed object and its signature, not yet believed.
pub(super) struct Claim<'a, T> {
    pub object: &'a Raw<T>,
    /// What is appended to the object before signing.
    pub appended: &'a [u8],
    /// The field that holds the signature, as the specification names it.
    pub field: &'static str,
    pub signature: &'a [u8],
}

impl<T: Clone> Claim<'_, T> {
    /// The one place where a [`Verified`] is made.
    pub(super) fn verify<S>(
        self,
        key: &PublicKey,
        signer: S,
        tolerated: &[Leniency],
    ) -> Result<Verified<T, S>, TrustError> {
        let message = [self.object.octets(), self.appended].concat();
        let form = key
            .verify(&message, self.signature)
            .map_err(|cause| TrustError::Signature { signature: self.field, cause })?;
        let mut warnings = tolerated.to_vec();
        if form == SignatureForm::Der {
            warnings.push(Leniency::DerSignature);
        }
        Ok(Verified { value: self.object.value().clone(), octets: self.object.octets().to_vec(), signer, warnings })
    }
}
