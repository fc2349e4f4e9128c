//! Keys, ECDSA values, the token's data object and hashCc (SGP.32 v1.2 2.11.1.1, SGP.22 2.6.7.1; CR-02, CR-03, CR-08).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod pki_support;

use eim_core::ids::AssociationToken;
use eim_core::pki::{
    Certificate, Curve, KeyError, PublicKey, SignatureError, SignatureForm, SigningKey, hash_cc,
    package_signature_input,
};
use pki_support::{cert, integer, key, lines, octets, path, seq, tlv};

const CURVES: [&str; 2] = ["nist", "brp"];

#[test]
fn every_test_key_belongs_to_its_certificate() {
    let index: serde_json::Value = serde_json::from_slice(&std::fs::read(path("pki/index.json")).unwrap()).unwrap();
    let certificates = index["certs"].as_array().unwrap();
    for entry in certificates {
        let der = std::fs::read(path(&format!("pki/{}", entry["file"].as_str().unwrap()))).unwrap();
        let pem = std::fs::read_to_string(path(&format!("pki/{}", entry["key"].as_str().unwrap()))).unwrap();
        let certificate = Certificate::parse(&der).unwrap();
        let key = SigningKey::from_pem(&pem).unwrap();
        assert_eq!(key.public_key(), certificate.public_key(), "{}", entry["file"]);
        let ski = certificate.extensions().subject_key_id.as_ref().map(ToString::to_string);
        assert_eq!(ski.as_deref(), entry["ski"].as_str(), "{}", entry["file"]);
        assert_eq!(certificate.eid().ok().map(|eid| eid.to_string()).as_deref(), entry["eid"].as_str());
        let not_after = entry["not_after"].as_str().unwrap();
        assert_eq!(certificate.validity().not_after.to_rfc3339(), not_after);
    }
    assert_eq!(certificates.len(), CERTIFICATES);
}

const CERTIFICATES: usize = 66;

#[test]
fn deterministic_signing_reproduces_the_request_vectors() {
    let mut signed = 0;
    for vector in lines("esep_request.jsonl") {
        let (Some(signer), value) = (vector["signedBy"].as_str(), &vector["value"]) else { continue };
        let token = vector["associationToken"].as_i64().map(AssociationToken::new);
        let input = package_signature_input(package_signed(&octets(&vector["der"])), token);
        let key = key(signer);
        let signature = octets(&value["eimSignature"]);
        assert_eq!(hex::encode(key.sign_deterministic(&input)), hex::encode(&signature), "{}", vector["id"]);
        assert_eq!(key.public_key().verify(&input, &signature), Ok(SignatureForm::Fixed));
        signed += 1;
    }
    assert_eq!(signed, 40);
}

/// The first element inside BF51, found without the decoder: `BF51 len 30 len ..`, with DER lengths.
fn package_signed(der: &[u8]) -> &[u8] {
    fn content(at: &[u8]) -> (usize, usize) {
        match at[0] {
            0x81 => (2, usize::from(at[1])),
            0x82 => (3, usize::from(at[1]) * 256 + usize::from(at[2])),
            short => (1, usize::from(short)),
        }
    }
    assert_eq!(der[..2], [0xbf, 0x51]);
    let inner = &der[2 + content(&der[2..]).0..];
    assert_eq!(inner[0], 0x30);
    let (header, length) = content(&inner[1..]);
    &inner[..1 + header + length]
}

#[test]
fn signs_and_verifies_on_both_curves_and_refuses_another_message_or_key() {
    for curve in CURVES {
        let key = key(&format!("{curve}/eim_sign"));
        let other = pki_support::key(&format!("{curve}/eim_sign_next"));
        let signature = key.sign(b"message");
        assert_eq!(key.public_key().verify(b"message", &signature), Ok(SignatureForm::Fixed));
        assert_eq!(key.public_key().verify(b"massage", &signature), Err(SignatureError::Mismatch));
        assert_eq!(other.public_key().verify(b"message", &signature), Err(SignatureError::Mismatch));
    }
    let brainpool = key("brp/eim_sign").sign(b"message");
    assert_eq!(key("nist/eim_sign").public_key().verify(b"message", &brainpool), Err(SignatureError::Mismatch));
}

#[test]
fn takes_der_values_and_refuses_other_lengths_and_values_out_of_range() {
    for (curve, order) in [
        ("nist", "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
        ("brp", "a9fb57dba1eea9bc3e660a909d838d718c397aa3b561a6f7901e0e82974856a7"),
    ] {
        let signer = key(&format!("{curve}/eim_sign"));
        let key = signer.public_key();
        let fixed = signer.sign(b"message");
        let (r, s) = fixed.split_at(32);
        let der = seq(&[integer(r), integer(s)]);
        assert_eq!(key.verify(b"message", &der), Ok(SignatureForm::Der));
        assert_eq!(key.verify(b"massage", &der), Err(SignatureError::Mismatch));
        let format = |octets| Err(SignatureError::Format { octets });
        assert_eq!(key.verify(b"message", &[der.clone(), vec![0]].concat()), format(der.len() + 1));
        assert_eq!(key.verify(b"message", &[]), format(0));
        assert_eq!(key.verify(b"message", r), format(32));
        let order = hex::decode(order).unwrap();
        let zero = [0; 32];
        for (r, s) in [(r, &zero[..]), (&zero[..], s), (&zero[..], &zero[..]), (r, &order[..]), (&order[..], s)] {
            assert_eq!(key.verify(b"message", &[r, s].concat()), Err(SignatureError::Mismatch));
            assert_eq!(key.verify(b"message", &seq(&[integer(r), integer(s)])), Err(SignatureError::Mismatch));
        }
    }
}

#[test]
fn a_high_s_verifies_on_both_curves_because_there_is_no_low_s_rule() {
    for curve in CURVES {
        let key = key(&format!("{curve}/eim_sign"));
        let highs = (0..32_u8).filter(|message| key.sign_deterministic(&[*message])[32] >= 0x80).count();
        assert!(highs > 0, "{curve}: no message with a high s");
        for message in 0..32_u8 {
            let signature = key.sign_deterministic(&[message]);
            assert_eq!(key.public_key().verify(&[message], &signature), Ok(SignatureForm::Fixed));
        }
    }
}

#[test]
fn keys_survive_pem_and_are_never_shown() {
    for curve in CURVES {
        let name = format!("{curve}/eim_sign");
        let key = key(&name);
        let pem = key.to_pkcs8_pem().unwrap();
        let again = SigningKey::from_pem(&pem).unwrap();
        assert_eq!(again.public_key_spki(), key.public_key_spki());
        assert_eq!(again.sign_deterministic(b"m"), key.sign_deterministic(b"m"));
        let shown = format!("{key:?}");
        assert!(shown.starts_with("SigningKey { curve: ") && shown.len() < 48, "{shown}");
        assert_eq!(PublicKey::from_spki(&key.public_key_spki()).as_ref(), Ok(key.public_key()));
    }
}

#[test]
fn reads_a_sec1_key_behind_its_parameters() {
    // RFC 6979 A.2.5, key of P-256.
    let scalar = hex::decode("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721").unwrap();
    let curve = tlv(0x06, &hex::decode("2a8648ce3d030107").unwrap());
    let sec1 = seq(&[tlv(0x02, &[1]), tlv(0x04, &scalar), tlv(0xa0, &curve)]);
    let base64 = |octets: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, octets);
    let pem = format!(
        "-----BEGIN EC PARAMETERS-----\n{}\n-----END EC PARAMETERS-----\n-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----\n",
        base64(&curve),
        base64(&sec1)
    );
    let key = SigningKey::from_pem(&pem).unwrap();
    assert_eq!(key.public_key().curve(), Curve::P256);
    let known = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
                 f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
    assert_eq!(hex::encode(key.sign_deterministic(b"sample")), known);
}

#[test]
fn generates_keys_that_differ() {
    let random = ring::rand::SystemRandom::new();
    let (one, two) = (SigningKey::generate_p256(&random).unwrap(), SigningKey::generate_p256(&random).unwrap());
    assert_ne!(one.public_key(), two.public_key());
    assert_eq!(one.public_key().verify(b"m", &one.sign(b"m")), Ok(SignatureForm::Fixed));
}

#[test]
fn refuses_scalars_points_and_curves_that_are_none() {
    for curve in [Curve::P256, Curve::BrainpoolP256r1] {
        for scalar in [[0; 32], [0xff; 32]] {
            assert!(SigningKey::from_scalar(curve, &scalar).is_err());
        }
        let key = SigningKey::from_scalar(curve, &[1; 32]).unwrap();
        let mut point = *key.public_key().point();
        point[64] ^= 1;
        assert_eq!(PublicKey::from_point(curve, &point).err(), Some(KeyError::Point));
        assert!(PublicKey::from_point(curve, &point[..33]).is_err());
        point[0] = 0x05;
        assert!(PublicKey::from_point(curve, &point).is_err());
    }
    // A point of the other curve.
    let p256 = SigningKey::from_scalar(Curve::P256, &[1; 32]).unwrap();
    assert_eq!(PublicKey::from_point(Curve::BrainpoolP256r1, p256.public_key().point()).err(), Some(KeyError::Point));
    // secp384r1, RSA, explicit parameters.
    let point = tlv(0x03, &[&[0], p256.public_key().point().as_slice()].concat());
    let ec = tlv(0x06, &hex::decode("2a8648ce3d0201").unwrap());
    let rsa = tlv(0x06, &hex::decode("2a864886f70d010101").unwrap());
    let p384 = tlv(0x06, &hex::decode("2b81040022").unwrap());
    for algorithm in [seq(&[ec.clone(), p384]), seq(&[rsa, tlv(0x05, &[])]), seq(&[ec, seq(&[])])] {
        assert_eq!(PublicKey::from_spki(&seq(&[algorithm, point.clone()])).err(), Some(KeyError::UnsupportedCurve));
    }
}

#[test]
fn refuses_pem_without_a_usable_key() {
    let certificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----";
    let empty = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----";
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----";
    for text in ["", certificate, empty, encrypted, "-----BEGIN PRIVATE KEY-----\nMAA="] {
        assert!(SigningKey::from_pem(text).is_err(), "{text}");
    }
}

#[test]
fn the_token_data_object_is_that_of_the_vectors() {
    let vectors = lines("token_tlv.jsonl");
    for vector in &vectors {
        let token = vector["associationToken"].as_i64().map(AssociationToken::new);
        assert_eq!(hex::encode(AssociationToken::suffix(token)), vector["tlv"].as_str().unwrap());
        let input = package_signature_input(&[0x30, 0x00], token);
        assert_eq!(hex::encode(input), format!("3000{}", vector["tlv"].as_str().unwrap()));
    }
    assert_eq!(vectors.len(), 12);
}

#[test]
fn hash_cc_is_that_of_the_vectors() {
    let vectors = lines("hashcc.jsonl");
    for vector in &vectors {
        let hash = hash_cc(vector["cc"].as_str().unwrap(), &octets(&vector["transactionId"]));
        assert_eq!(hex::encode(hash), vector["hashCc"].as_str().unwrap());
    }
    assert_eq!(vectors.len(), 3);
}

#[test]
fn certificates_without_eid_give_no_hint() {
    assert!(eim_core::pki::euicc_certificate_eid(&cert("nist/eum")).is_err());
    assert!(eim_core::pki::euicc_certificate_eid(b"").is_err());
    let hint = eim_core::pki::euicc_certificate_eid(&cert("nist/euicc1")).unwrap();
    assert_eq!(hint.to_string(), pki_support::EID1);
}
