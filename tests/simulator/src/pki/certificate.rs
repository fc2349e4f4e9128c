//! Writes the certificates of a GSMA PKI in DER: CI, EUM, eUICC, and a self-signed one for TLS (SGP.14, SGP.22 4.5.2.1).

use crate::tlv::{element, integer};
use eim_core::pki::SigningKey;
use sha2::{Digest, Sha256};

const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// 2.23.146.1.2.1; the role follows as one more arc.
const ROLES: [u8; 6] = [0x67, 0x81, 0x12, 0x01, 0x02, 0x01];
/// 1.3.6.1.5.5.7.3; serverAuth(1) or clientAuth(2) follows.
const PURPOSES: [u8; 7] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03];
const NOT_BEFORE: &[u8] = b"240101000000Z";
/// When certificates end, if nothing else is asked for.
pub(super) const NOT_AFTER: &[u8] = b"20590101000000Z";
/// The end of a certificate that has expired: before the reference time of the tests, 2026-01-01.
pub(super) const EXPIRED: &[u8] = b"250101000000Z";

/// The key identifier of a key: the first 20 octets of the SHA-256 of its point.
pub(super) fn key_id(key: &SigningKey) -> Vec<u8> {
    Sha256::digest(key.public_key().point()).iter().take(20).copied().collect()
}

/// A distinguished name of these attributes: (last arc of 2.5.4, string tag, text).
pub(super) fn name(attributes: &[(u8, u32, &str)]) -> Vec<u8> {
    let rdns: Vec<Vec<u8>> = attributes
        .iter()
        .map(|(arc, tag, text)| {
            let kind = element(0x06, &[&[0x55, 0x04, *arc]]);
            element(0x31, &[&element(0x30, &[&kind, &element(*tag, &[text.as_bytes()])])])
        })
        .collect();
    element(0x30, &[&rdns.concat()])
}

/// countryName, PrintableString.
pub(super) const COUNTRY: (u8, u32) = (6, 0x13);
/// organizationName, UTF8String.
pub(super) const ORGANIZATION: (u8, u32) = (10, 0x0c);
/// serialNumber, PrintableString.
pub(super) const SERIAL_NUMBER: (u8, u32) = (5, 0x13);
/// commonName, UTF8String.
pub(super) const COMMON_NAME: (u8, u32) = (3, 0x0c);

/// What goes into a certificate beside its extensions.
pub(super) struct Contents<'a> {
    pub issuer: &'a [u8],
    pub subject: &'a [u8],
    pub subject_key: &'a SigningKey,
    pub issuer_key: &'a SigningKey,
    pub extensions: &'a [Vec<u8>],
    /// UTCTime (13 octets) or GeneralizedTime (15 octets).
    pub not_after: &'a [u8],
}

/// Writes and signs a certificate; the signature is deterministic.
pub(super) fn certificate(contents: &Contents<'_>) -> Vec<u8> {
    let algorithm = element(0x30, &[&element(0x06, &[ECDSA_WITH_SHA256])]);
    let end_tag = if contents.not_after.len() == 13 { 0x17 } else { 0x18 };
    let validity = element(0x30, &[&element(0x17, &[NOT_BEFORE]), &element(end_tag, &[contents.not_after])]);
    let extensions = element(0xa3, &[&element(0x30, &[&contents.extensions.concat()])]);
    let tbs = element(
        0x30,
        &[
            &element(0xa0, &[&integer(0x02, 2)]),
            &serial(contents),
            &algorithm,
            contents.issuer,
            &validity,
            contents.subject,
            &contents.subject_key.public_key_spki(),
            &extensions,
        ],
    );
    let signature = signature_to_der(&contents.issuer_key.sign_deterministic(&tbs));
    element(0x30, &[&tbs, &algorithm, &element(0x03, &[&[0], &signature])])
}

/// Eight octets that no other certificate of the PKI has, and the same in every run.
fn serial(contents: &Contents<'_>) -> Vec<u8> {
    let digest =
        Sha256::new().chain_update(contents.subject).chain_update(contents.subject_key.public_key().point()).finalize();
    let mut octets: Vec<u8> = digest.iter().take(8).copied().collect();
    if let Some(first) = octets.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    element(0x02, &[&octets])
}

/// `30 { 02 r, 02 s }` of `r || s`.
#[must_use]
pub fn signature_to_der(signature: &[u8; 64]) -> Vec<u8> {
    let (r, s) = signature.split_at(32);
    element(0x30, &[&unsigned(r), &unsigned(s)])
}

fn unsigned(digits: &[u8]) -> Vec<u8> {
    let significant: Vec<u8> = digits.iter().skip_while(|octet| **octet == 0).copied().collect();
    let padding: &[u8] = if significant.first().is_none_or(|first| first & 0x80 != 0) { &[0] } else { &[] };
    element(0x02, &[padding, &significant])
}

fn extension(last_arc: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[0x01, 0x01, 0xff] } else { &[] };
    element(0x30, &[&element(0x06, &[&[0x55, 0x1d, last_arc]]), flag, &element(0x04, &[value])])
}

pub(super) fn subject_key_id(key: &SigningKey) -> Vec<u8> {
    extension(0x0e, false, &element(0x04, &[&key_id(key)]))
}

pub(super) fn authority_key_id(issuer: &SigningKey) -> Vec<u8> {
    extension(0x23, false, &element(0x30, &[&element(0x80, &[&key_id(issuer)])]))
}

/// keyCertSign, and cRLSign for a CI.
pub(super) fn key_usage_ca(revocation_lists: bool) -> Vec<u8> {
    let (unused, bits) = if revocation_lists { (1, 0x06) } else { (2, 0x04) };
    extension(0x0f, true, &element(0x03, &[&[unused, bits]]))
}

pub(super) fn key_usage_digital_signature() -> Vec<u8> {
    extension(0x0f, true, &element(0x03, &[&[7, 0x80]]))
}

/// certificatePolicies with the role 2.23.146.1.2.1.`role`, critical.
pub(super) fn role(role: u8) -> Vec<u8> {
    extension(0x20, true, &policies(role))
}

/// The same, not critical: so that TLS libraries, which do not know the role, take the certificate.
pub(super) fn tls_role(role: u8) -> Vec<u8> {
    extension(0x20, false, &policies(role))
}

fn policies(role: u8) -> Vec<u8> {
    element(0x30, &[&element(0x30, &[&element(0x06, &[&ROLES, &[role]])])])
}

pub(super) fn basic_constraints_ca(path_len: Option<i64>) -> Vec<u8> {
    let path_len = path_len.map(|most| integer(0x02, most)).unwrap_or_default();
    extension(0x13, true, &element(0x30, &[&[0x01, 0x01, 0xff], &path_len]))
}

/// permitted directoryName {O, serialNumber}: the EUM's organization and the digits its EIDs begin with.
pub(super) fn name_constraints(organization: &str, eid_prefix: &str) -> Vec<u8> {
    let (o, sn) = (ORGANIZATION, SERIAL_NUMBER);
    let subtree = name(&[(o.0, o.1, organization), (sn.0, sn.1, eid_prefix)]);
    let permitted = element(0xa0, &[&element(0x30, &[&element(0xa4, &[&subtree])])]);
    extension(0x1e, true, &element(0x30, &[&permitted]))
}

/// subjectAltName registeredID 2.999.`arc`.
pub(super) fn registered_id(arc: u8) -> Vec<u8> {
    extension(0x11, false, &element(0x30, &[&element(0x88, &[&[0x88, 0x37, arc]])]))
}

/// extendedKeyUsage serverAuth and clientAuth, critical.
pub(super) fn tls_purposes() -> Vec<u8> {
    let purpose = |arc: u8| element(0x06, &[&PURPOSES, &[arc]]);
    extension(0x25, true, &element(0x30, &[&purpose(1), &purpose(2)]))
}

/// subjectAltName dNSName, where there is one, and registeredID with these content octets.
pub(super) fn server_names(host: Option<&str>, oid: &[u8]) -> Vec<u8> {
    let dns = host.map(|host| element(0x82, &[host.as_bytes()])).unwrap_or_default();
    extension(0x11, false, &element(0x30, &[&dns, &element(0x88, &[oid])]))
}

/// A self-signed certificate for a TLS server under this host name (and 127.0.0.1), to be trusted as it is.
#[must_use]
pub fn self_signed_tls(key: &SigningKey, host: &str) -> Vec<u8> {
    let subject = name(&[(COMMON_NAME.0, COMMON_NAME.1, "eIM simulator TLS")]);
    let names = element(0x30, &[&element(0x82, &[host.as_bytes()]), &element(0x87, &[&[127, 0, 0, 1]])]);
    let purpose = element(0x30, &[&element(0x06, &[&PURPOSES, &[1]])]);
    let extensions = [
        subject_key_id(key),
        key_usage_digital_signature(),
        extension(0x25, false, &purpose),
        extension(0x11, false, &names),
    ];
    certificate(&Contents {
        issuer: &subject,
        subject: &subject,
        subject_key: key,
        issuer_key: key,
        extensions: &extensions,
        not_after: NOT_AFTER,
    })
}
