//! Vectors, and certificates made in tests: a small writer that shares nothing with the reader under test.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use chrono::{DateTime, Utc};
use eim_core::pki::{Certificate, SigningKey, TrustStore};
use serde_json::Value;
use std::path::PathBuf;

pub const EID1: &str = "89049032000000000000000000000163";
pub const ORGANIZATION: &str = "Test EUM";

pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors").join(name)
}

pub fn lines(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn octets(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

/// A certificate of the test PKI: `nist/ci`.
pub fn cert(name: &str) -> Vec<u8> {
    std::fs::read(path(&format!("pki/{name}.der"))).unwrap()
}

/// A private key of the test PKI: `nist/ci`.
pub fn key(name: &str) -> SigningKey {
    SigningKey::from_pem(&std::fs::read_to_string(path(&format!("pki/{name}.key.pem"))).unwrap()).unwrap()
}

pub fn trust() -> TrustStore {
    TrustStore::from_certificates([cert("nist/ci"), cert("brp/ci")]).unwrap()
}

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The time for which the verdicts of the vectors hold.
pub fn reference_time() -> DateTime<Utc> {
    at("2026-01-01T00:00:00Z")
}

pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let header = match length {
        0..=127 => vec![tag, length as u8],
        128..=255 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length / 256) as u8, (length % 256) as u8],
    };
    [header, content.to_vec()].concat()
}

pub fn seq(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// One relative name: `attribute("550404", 0x0c, "text")`.
pub fn attribute(oid: &str, tag: u8, text: &str) -> Vec<u8> {
    tlv(0x31, &seq(&[tlv(0x06, &hex::decode(oid).unwrap()), tlv(tag, text.as_bytes())]))
}

pub fn organization(text: &str) -> Vec<u8> {
    attribute("55040a", 0x0c, text)
}

pub fn serial_number(text: &str) -> Vec<u8> {
    attribute("550405", 0x13, text)
}

pub fn country(text: &str) -> Vec<u8> {
    attribute("550406", 0x13, text)
}

pub fn extension(oid: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag = if critical { vec![0x01, 0x01, 0xff] } else { vec![] };
    seq(&[tlv(0x06, &hex::decode(oid).unwrap()), flag, tlv(0x04, value)])
}

/// nameConstraints with these permitted directoryNames.
pub fn permitted(subtrees: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let trees: Vec<_> = subtrees.iter().map(|names| seq(&[tlv(0xa4, &seq(names))])).collect();
    extension("551d1e", true, &seq(&[tlv(0xa0, &trees.concat())]))
}

pub fn key_usage(bits: [u8; 2]) -> Vec<u8> {
    extension("551d0f", true, &tlv(0x03, &bits))
}

pub fn policy(role: u8) -> Vec<u8> {
    extension("551d20", true, &seq(&[seq(&[tlv(0x06, &[0x67, 0x81, 0x12, 1, 2, 1, role])])]))
}

pub fn basic_constraints(path_len: Option<u8>) -> Vec<u8> {
    let path_len = path_len.map_or(vec![], |value| tlv(0x02, &[value]));
    extension("551d13", true, &seq(&[tlv(0x01, &[0xff]), path_len]))
}

pub fn subject_key_id(octets: &[u8]) -> Vec<u8> {
    extension("551d0e", false, &tlv(0x04, octets))
}

pub fn authority_key_id(octets: &[u8]) -> Vec<u8> {
    extension("551d23", false, &seq(&[tlv(0x80, octets)]))
}

pub const ECDSA_WITH_SHA256: &str = "2a8648ce3d040302";
pub const SIGN: [u8; 2] = [7, 0x80];
pub const CERT_SIGN: [u8; 2] = [2, 0x04];

/// A certificate to be signed.
#[derive(Clone)]
pub struct Draft {
    pub issuer: Vec<u8>,
    pub subject: Vec<u8>,
    pub not_before: Vec<u8>,
    pub not_after: Vec<u8>,
    pub spki: Vec<u8>,
    pub extensions: Vec<Vec<u8>>,
}

impl Draft {
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        self.sign_as(key, ECDSA_WITH_SHA256, ECDSA_WITH_SHA256)
    }

    /// Signs with ECDSA and SHA-256 under other names of the algorithm, inside and outside of what is signed.
    pub fn sign_as(&self, key: &SigningKey, inside: &str, outside: &str) -> Vec<u8> {
        let [inside, outside] = [inside, outside].map(|oid| seq(&[tlv(0x06, &hex::decode(oid).unwrap())]));
        let tbs = seq(&[
            tlv(0xa0, &tlv(0x02, &[2])),
            tlv(0x02, &[1]),
            inside,
            self.issuer.clone(),
            seq(&[self.not_before.clone(), self.not_after.clone()]),
            self.subject.clone(),
            self.spki.clone(),
            tlv(0xa3, &seq(&self.extensions)),
        ]);
        let value = key.sign_deterministic(&tbs);
        let signature = seq(&[integer(&value[..32]), integer(&value[32..])]);
        seq(&[tbs, outside, tlv(0x03, &[vec![0], signature].concat())])
    }

    /// Replaces the extension of the same kind, or adds it.
    pub fn with(mut self, extension: Vec<u8>) -> Self {
        self.extensions.retain(|other| kind(other) != kind(&extension));
        self.extensions.push(extension);
        self
    }

    /// Leaves the extension of this kind out: `without(0x0f)`.
    pub fn without(mut self, kind: u8) -> Self {
        self.extensions.retain(|other| self::kind(other) != [0x55, 0x1d, kind]);
        self
    }
}

/// The object identifier of an extension: `30 len 06 len ..`.
fn kind(extension: &[u8]) -> &[u8] {
    let start = if extension[1] & 0x80 == 0 { 2 } else { 2 + usize::from(extension[1] & 0x7f) };
    &extension[start + 2..start + 2 + usize::from(extension[start + 1])]
}

pub fn integer(magnitude: &[u8]) -> Vec<u8> {
    let start = magnitude.iter().position(|octet| *octet != 0).unwrap_or(magnitude.len() - 1);
    let digits = &magnitude[start..];
    if digits[0] & 0x80 != 0 { tlv(0x02, &[&[0], digits].concat()) } else { tlv(0x02, digits) }
}

fn key_id(der: &[u8]) -> Vec<u8> {
    Certificate::parse(der).unwrap().extensions().subject_key_id.clone().unwrap().octets().to_vec()
}

/// A CI certificate for the key of `nist/ci`.
pub fn ci_draft() -> Draft {
    let ci = Certificate::parse(&cert("nist/ci")).unwrap();
    Draft {
        issuer: ci.subject().octets().to_vec(),
        subject: ci.subject().octets().to_vec(),
        not_before: tlv(0x17, b"240101000000Z"),
        not_after: tlv(0x18, b"20590101000000Z"),
        spki: ci.public_key().to_spki(),
        extensions: vec![
            subject_key_id(&key_id(&cert("nist/ci"))),
            basic_constraints(None),
            key_usage([1, 0x06]),
            policy(0),
        ],
    }
}

/// An EUM certificate for the key of `nist/eum`, to be signed by `nist/ci`.
pub fn eum_draft() -> Draft {
    let eum = Certificate::parse(&cert("nist/eum")).unwrap();
    Draft {
        issuer: eum.issuer().octets().to_vec(),
        subject: eum.subject().octets().to_vec(),
        not_before: tlv(0x17, b"240101000000Z"),
        not_after: tlv(0x18, b"99991231235959Z"),
        spki: eum.public_key().to_spki(),
        extensions: vec![
            authority_key_id(&key_id(&cert("nist/ci"))),
            subject_key_id(&key_id(&cert("nist/eum"))),
            basic_constraints(Some(0)),
            key_usage(CERT_SIGN),
            policy(2),
            permitted(&[vec![organization(ORGANIZATION), serial_number("89049032")]]),
        ],
    }
}

/// An eUICC certificate for the key of `nist/euicc1`, to be signed by `nist/eum`.
pub fn euicc_draft(eid: &str) -> Draft {
    let eum = Certificate::parse(&cert("nist/eum")).unwrap();
    Draft {
        issuer: eum.subject().octets().to_vec(),
        subject: seq(&[country("ES"), organization(ORGANIZATION), serial_number(eid)]),
        not_before: tlv(0x17, b"240101000000Z"),
        not_after: tlv(0x18, b"99991231235959Z"),
        spki: key("nist/euicc1").public_key_spki(),
        extensions: vec![
            authority_key_id(&key_id(&cert("nist/eum"))),
            subject_key_id(&[7; 20]),
            key_usage(SIGN),
            policy(1),
        ],
    }
}

/// A DPauth certificate for the key of `nist/dp_auth`, to be signed by `nist/ci`.
pub fn dp_auth_draft() -> Draft {
    let auth = Certificate::parse(&cert("nist/dp_auth")).unwrap();
    Draft {
        issuer: auth.issuer().octets().to_vec(),
        subject: auth.subject().octets().to_vec(),
        not_before: tlv(0x17, b"240101000000Z"),
        not_after: tlv(0x18, b"99991231235959Z"),
        spki: auth.public_key().to_spki(),
        extensions: vec![
            authority_key_id(&key_id(&cert("nist/ci"))),
            key_usage(SIGN),
            policy(4),
            extension("551d11", false, &seq(&[tlv(0x88, &[0x88, 0x37, 10])])),
        ],
    }
}
