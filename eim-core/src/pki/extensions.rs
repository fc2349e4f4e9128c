//! The certificate extensions that the GSMA PKI uses (SGP.14, SGP.22 4.5.2.1).

use super::certificate::CertificateError;
use super::der::{self, Fault, Reader, tag};
use super::key_id::KeyId;
use super::name::Name;
use super::oid::Oid;

/// More than any certificate of this PKI has.
const MAX_EXTENSIONS: usize = 32;
const MAX_LIST: usize = 64;

/// The extensions that were present, read. An absent one is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    /// subjectKeyIdentifier.
    pub subject_key_id: Option<KeyId>,
    /// The key identifier inside authorityKeyIdentifier.
    pub authority_key_id: Option<KeyId>,
    /// keyUsage.
    pub key_usage: Option<KeyUsage>,
    /// extendedKeyUsage.
    pub extended_key_usage: Vec<Oid>,
    /// basicConstraints.
    pub basic_constraints: Option<BasicConstraints>,
    /// certificatePolicies: the role of the certificate (2.23.146.1.2.1.x).
    pub policies: Vec<Oid>,
    /// nameConstraints.
    pub name_constraints: Option<NameConstraints>,
    /// The registeredID entries of subjectAltName.
    pub registered_ids: Vec<Oid>,
    /// The dNSName entries of subjectAltName, as written.
    pub dns_names: Vec<String>,
}

/// What a key may be used for (RFC 5280 4.2.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUsage {
    /// Signing anything but certificates and revocation lists.
    pub digital_signature: bool,
    /// Signing certificates.
    pub key_cert_sign: bool,
}

/// Whether a certificate may issue others (RFC 5280 4.2.1.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasicConstraints {
    /// The CA flag.
    pub ca: bool,
    /// How many intermediate certificates may follow.
    pub path_len: Option<u8>,
}

/// Which subjects a certificate may issue for (RFC 5280 4.2.1.10, read as SGP.22 wants it).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameConstraints {
    /// The permitted subtrees that are directoryNames. Others say nothing about a subject name and are left out.
    pub permitted: Vec<Name>,
    /// Whether excluded subtrees are present. The GSMA PKI has none, so they are not interpreted.
    pub has_excluded: bool,
}

const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const POLICIES: &[u8] = &[0x55, 0x1d, 0x20];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Why reading stopped: malformed octets, or a critical extension that isn't understood.
enum Stop {
    Fault(Fault),
    Critical(Oid),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Extensions {
    /// Reads the content of the `[3]` element of a TBS certificate.
    pub(super) fn parse(content: &[u8]) -> Result<Self, CertificateError> {
        Self::read(content).map_err(|stop| match stop {
            Stop::Fault(fault) => CertificateError::Structure { part: "extensions", fault },
            Stop::Critical(extension) => CertificateError::CriticalExtension { extension },
        })
    }

    fn read(content: &[u8]) -> Result<Self, Stop> {
        let mut list = Reader::new(der::single(content, tag::SEQUENCE)?.content);
        let mut extensions = Self::default();
        let mut seen: Vec<&[u8]> = Vec::new();
        while !list.is_empty() {
            let mut extension = list.nested(tag::SEQUENCE)?;
            let kind = extension.expect(tag::OID)?.content;
            let critical = match extension.optional(tag::BOOLEAN)? {
                Some(flag) => der::boolean(flag.content)?,
                None => false,
            };
            let value = extension.expect(tag::OCTET_STRING)?.content;
            extension.end()?;
            if seen.contains(&kind) {
                return Err(Stop::Fault("an extension that is there twice"));
            }
            seen.push(kind);
            if seen.len() > MAX_EXTENSIONS {
                return Err(Stop::Fault("too many extensions"));
            }
            if !extensions.take(kind, value)? && critical {
                return Err(Stop::Critical(oid(kind)?));
            }
        }
        Ok(extensions)
    }

    /// Reads one extension; false when it is none that we know.
    fn take(&mut self, kind: &[u8], value: &[u8]) -> Result<bool, Fault> {
        match kind {
            AUTHORITY_KEY_ID => self.authority_key_id = authority_key_id(value)?,
            SUBJECT_KEY_ID => {
                self.subject_key_id = Some(KeyId::new(der::single(value, tag::OCTET_STRING)?.content));
            }
            KEY_USAGE => self.key_usage = Some(key_usage(value)?),
            EXTENDED_KEY_USAGE => {
                let mut purposes = Reader::new(der::single(value, tag::SEQUENCE)?.content);
                self.extended_key_usage = list(&mut purposes, |tlv| {
                    if tlv.tag == tag::OID {
                        oid(tlv.content).map(Some)
                    } else {
                        Err("a purpose that is no identifier")
                    }
                })?;
            }
            BASIC_CONSTRAINTS => self.basic_constraints = Some(basic_constraints(value)?),
            POLICIES => {
                let mut policies = Reader::new(der::single(value, tag::SEQUENCE)?.content);
                self.policies = list(&mut policies, |tlv| match tlv.tag {
                    tag::SEQUENCE => oid(Reader::new(tlv.content).expect(tag::OID)?.content).map(Some),
                    _ => Err("a policy that is no sequence"),
                })?;
            }
            NAME_CONSTRAINTS => self.name_constraints = Some(name_constraints(value)?),
            SUBJECT_ALT_NAME => self.subject_alt_name(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// GeneralNames: registeredID `[8]` and dNSName `[2]` are kept.
    fn subject_alt_name(&mut self, value: &[u8]) -> Result<(), Fault> {
        let names = Reader::new(der::single(value, tag::SEQUENCE)?.content);
        self.registered_ids =
            list(&mut names.clone(), |tlv| if tlv.tag == 0x88 { oid(tlv.content).map(Some) } else { Ok(None) })?;
        self.dns_names = list(&mut names.clone(), |tlv| match std::str::from_utf8(tlv.content) {
            _ if tlv.tag != 0x82 => Ok(None),
            Ok(name) if name.is_ascii() => Ok(Some(name.to_owned())),
            _ => Err("a host name that is not ASCII"),
        })?;
        Ok(())
    }
}

/// Reads a bounded list, leaving out what `read` doesn't want.
fn list<'a, T>(
    reader: &mut Reader<'a>,
    read: impl Fn(der::Tlv<'a>) -> Result<Option<T>, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut items = Vec::new();
    for _ in 0..MAX_LIST {
        if reader.is_empty() {
            return Ok(items);
        }
        items.extend(read(reader.any()?)?);
    }
    if reader.is_empty() { Ok(items) } else { Err("a list with too many entries") }
}

fn oid(content: &[u8]) -> Result<Oid, Fault> {
    Oid::from_octets(content).map_err(|_| "a malformed object identifier")
}

/// `30 { 80 keyIdentifier OPTIONAL, A1 issuer OPTIONAL, 82 serial OPTIONAL }`.
fn authority_key_id(value: &[u8]) -> Result<Option<KeyId>, Fault> {
    let mut fields = Reader::new(der::single(value, tag::SEQUENCE)?.content);
    let key_id = fields.optional(0x80)?.map(|tlv| KeyId::new(tlv.content));
    fields.optional(0xa1)?;
    fields.optional(0x82)?;
    fields.end()?;
    Ok(key_id)
}

/// A named BIT STRING: digitalSignature is bit 0, keyCertSign bit 5.
fn key_usage(value: &[u8]) -> Result<KeyUsage, Fault> {
    let bits = der::single(value, tag::BIT_STRING)?.content;
    match bits {
        [0..=7, first, rest @ ..] if rest.len() <= 1 => {
            Ok(KeyUsage { digital_signature: first & 0x80 != 0, key_cert_sign: first & 0x04 != 0 })
        }
        _ => Err("a key usage that is no short BIT STRING"),
    }
}

fn basic_constraints(value: &[u8]) -> Result<BasicConstraints, Fault> {
    let mut fields = Reader::new(der::single(value, tag::SEQUENCE)?.content);
    let ca = match fields.optional(tag::BOOLEAN)? {
        Some(flag) => der::boolean(flag.content)?,
        None => false,
    };
    let path_len = fields.optional(tag::INTEGER)?.map(|tlv| der::small(tlv.content)).transpose()?;
    fields.end()?;
    Ok(BasicConstraints { ca, path_len })
}

/// `30 { A0 permitted OPTIONAL, A1 excluded OPTIONAL }`, each a list of `30 { GeneralName, .. }`; a directoryName is
/// `A4 { Name }`.
fn name_constraints(value: &[u8]) -> Result<NameConstraints, Fault> {
    let mut fields = Reader::new(der::single(value, tag::SEQUENCE)?.content);
    let permitted = match fields.optional(0xa0)? {
        Some(subtrees) => list(&mut Reader::new(subtrees.content), |tlv| {
            if tlv.tag == tag::SEQUENCE { directory_name(tlv.content) } else { Err("a subtree that is no sequence") }
        })?,
        None => Vec::new(),
    };
    let has_excluded = fields.optional(0xa1)?.is_some();
    fields.end()?;
    Ok(NameConstraints { permitted, has_excluded })
}

fn directory_name(subtree: &[u8]) -> Result<Option<Name>, Fault> {
    let mut fields = Reader::new(subtree);
    let base = fields.any()?;
    // RFC 5280 4.2.1.10: minimum is zero, hence absent in DER, and maximum is absent.
    fields.end()?;
    if base.tag == 0xa4 { Name::parse(base.content).map(Some) } else { Ok(None) }
}
