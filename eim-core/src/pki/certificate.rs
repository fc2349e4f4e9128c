//! X.509 certificates of the GSMA PKI, read on their octets as received (RFC 5280, SGP.14, SGP.26).
//!
//! Reading proves nothing: a [`Certificate`] is what somebody sent. Generic X.509 libraries are not used because they
//! refuse or misjudge these chains (brainpool keys, registeredID under 2.999, the EUM's name constraint).

use super::der::{self, Fault, Reader, tag};
use super::extensions::Extensions;
use super::name::Name;
use super::oid::Oid;
use super::public_key::{KeyError, PublicKey};
use super::signature::SignatureError;
use super::validity::Validity;
use crate::ids::Eid;
use sha2::{Digest, Sha256};

/// Certificates of this PKI have some 600 octets; this leaves room for long names and lists.
pub const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;

const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// Why octets are no certificate that can be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// More than [`MAX_CERTIFICATE_BYTES`].
    #[error("a certificate of {bytes} octets is too large")]
    TooLarge {
        /// The size that was seen.
        bytes: usize,
    },
    /// Not the DER of a version 3 certificate.
    #[error("malformed {part}: {fault}")]
    Structure {
        /// The part of the certificate.
        part: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// Signed with something else than ecdsa-with-SHA256.
    #[error("the signature algorithm is not ecdsa-with-SHA256")]
    Algorithm,
    /// The subject's key can't be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A critical extension that this room doesn't know.
    #[error("unknown critical extension {extension}")]
    CriticalExtension {
        /// Which one.
        extension: Oid,
    },
    /// The subject of an eUICC certificate has no EID.
    #[error("the subject has no serialNumber of 32 digits")]
    NoEid,
}

/// A certificate as received, taken apart. It is not trusted by being here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: Vec<u8>,
    issuer: Name,
    subject: Name,
    validity: Validity,
    public_key: PublicKey,
    extensions: Extensions,
    signature: Vec<u8>,
}

impl Certificate {
    /// Reads a complete certificate, `30 { tbs, algorithm, signature }`.
    ///
    /// # Errors
    /// When it is too large, malformed, of another version or algorithm, has an unusable key, or has an unknown
    /// critical extension.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::TooLarge { bytes: der.len() });
        }
        let outer = Outer::read(der).map_err(|fault| CertificateError::Structure { part: "certificate", fault })?;
        let tbs =
            Tbs::read(outer.tbs).map_err(|fault| CertificateError::Structure { part: "TBSCertificate", fault })?;
        if outer.algorithm != tbs.algorithm || !is_ecdsa_with_sha256(outer.algorithm) {
            return Err(CertificateError::Algorithm);
        }
        let name = |part, octets| Name::parse(octets).map_err(|fault| CertificateError::Structure { part, fault });
        Ok(Self {
            der: der.to_vec(),
            tbs: outer.tbs.to_vec(),
            issuer: name("issuer", tbs.issuer)?,
            subject: name("subject", tbs.subject)?,
            validity: Validity::parse(tbs.validity)
                .map_err(|fault| CertificateError::Structure { part: "validity", fault })?,
            public_key: PublicKey::from_spki(tbs.public_key)?,
            extensions: tbs.extensions.map(Extensions::parse).transpose()?.unwrap_or_default(),
            signature: outer.signature.to_vec(),
        })
    }

    /// The complete certificate as received.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// What the issuer signed.
    #[must_use]
    pub fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// The name of the issuer.
    #[must_use]
    pub const fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// The name of the subject.
    #[must_use]
    pub const fn subject(&self) -> &Name {
        &self.subject
    }

    /// From when until when it is valid.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// The subject's key.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The extensions.
    #[must_use]
    pub const fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The issuer's ECDSA value, in DER.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// SHA-256 of the complete certificate, to recognise it again.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }

    /// The EID in the subject of an eUICC certificate (SGP.22 4.5.2.1.0.3).
    ///
    /// # Errors
    /// When the subject has no serialNumber, more than one, or one that is not 32 digits.
    pub fn eid(&self) -> Result<Eid, CertificateError> {
        self.subject.serial_number().and_then(|text| text.parse().ok()).ok_or(CertificateError::NoEid)
    }

    /// Whether `key` signed this certificate.
    pub(super) fn is_signed_by(&self, key: &PublicKey) -> Result<(), SignatureError> {
        key.verify_der(&self.tbs, &self.signature)
    }
}

/// The EID that a certificate claims, not verified: a hint for a look-up, never a fact.
///
/// # Errors
/// When the octets are no certificate or its subject has no EID.
pub fn euicc_certificate_eid(der: &[u8]) -> Result<Eid, CertificateError> {
    Certificate::parse(der)?.eid()
}

/// From when until when a certificate is valid, whatever key it has and whoever signed it.
///
/// # Errors
/// When the octets are no certificate.
pub fn certificate_validity(der: &[u8]) -> Result<Validity, CertificateError> {
    let structure = |fault| CertificateError::Structure { part: "certificate", fault };
    let outer = Outer::read(der).map_err(structure)?;
    let tbs = Tbs::read(outer.tbs).map_err(structure)?;
    Validity::parse(tbs.validity).map_err(|fault| CertificateError::Structure { part: "validity", fault })
}

/// The three parts of a certificate.
struct Outer<'a> {
    tbs: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Outer<'a> {
    fn read(der: &'a [u8]) -> Result<Self, Fault> {
        let mut parts = Reader::new(der::single(der, tag::SEQUENCE)?.content);
        let tbs = parts.expect(tag::SEQUENCE)?.octets;
        let algorithm = parts.expect(tag::SEQUENCE)?.octets;
        let signature = der::whole_octets(parts.expect(tag::BIT_STRING)?.content)?;
        parts.end()?;
        Ok(Self { tbs, algorithm, signature })
    }
}

/// The fields of a TBSCertificate that matter here.
struct Tbs<'a> {
    algorithm: &'a [u8],
    issuer: &'a [u8],
    validity: &'a [u8],
    subject: &'a [u8],
    public_key: &'a [u8],
    extensions: Option<&'a [u8]>,
}

impl<'a> Tbs<'a> {
    /// `30 { A0 { 02 01 02 }, 02 serial, 30 algorithm, 30 issuer, 30 validity, 30 subject, 30 key, A3 { .. } }`.
    fn read(octets: &'a [u8]) -> Result<Self, Fault> {
        let mut fields = Reader::new(der::single(octets, tag::SEQUENCE)?.content);
        if fields.expect(0xa0)?.content != [0x02, 0x01, 0x02] {
            return Err("not version 3");
        }
        if fields.expect(tag::INTEGER)?.content.is_empty() {
            return Err("an empty serial number");
        }
        let tbs = Self {
            algorithm: fields.expect(tag::SEQUENCE)?.octets,
            issuer: fields.expect(tag::SEQUENCE)?.octets,
            validity: fields.expect(tag::SEQUENCE)?.content,
            subject: fields.expect(tag::SEQUENCE)?.octets,
            public_key: fields.expect(tag::SEQUENCE)?.octets,
            extensions: {
                // The unique identifiers of old; the GSMA PKI has none.
                fields.optional(0x81)?;
                fields.optional(0x82)?;
                fields.optional(0xa3)?.map(|tlv| tlv.content)
            },
        };
        fields.end()?;
        Ok(tbs)
    }
}

/// `30 { 06 ecdsa-with-SHA256 }`; parameters are absent (RFC 5758 3.2), NULL is tolerated.
fn is_ecdsa_with_sha256(octets: &[u8]) -> bool {
    let read = || -> Result<bool, Fault> {
        let mut fields = Reader::new(der::single(octets, tag::SEQUENCE)?.content);
        let matches = fields.expect(tag::OID)?.content == ECDSA_WITH_SHA256;
        fields.optional(0x05)?;
        fields.end()?;
        Ok(matches)
    };
    read().unwrap_or(false)
}
