//! What each signature covers, with objects made and signed here: one good, and a refusal each for tampered, wrong key,
//! wrong token and broken chain; and the lab policy beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod pki_support;

use eim_core::asn1::{
    EUICCSigned2, EuiccPackageResultSigned, NotificationMetadata, Raw, ServerSigned1, SmdpSigned2, decode,
};
use eim_core::ids::{AssociationToken, Eid};
use eim_core::pki::{
    Accepted, Binding, BindingMismatch, LabPolicy, Leniency, Oid, ServerExpectation, ServerRole, SigningKey,
    TrustError, VerifiedChain, VerifiedServer, accept_unverified, check_binding, verify_euicc_chain,
    verify_euicc_signed2, verify_notification_metadata, verify_package_result, verify_server_certificate,
    verify_server_signed1, verify_smdp_signed2,
};
use pki_support::{EID1, cert, dp_auth_draft, integer, key, policy, reference_time, seq, tlv, trust};

const TOKEN: Option<AssociationToken> = Some(AssociationToken::new(7));

/// `30 { 80 eimId, 81 counterValue, 83 seqNumber, 30 { 83 enableResult ok } }`.
fn result_data() -> Vec<u8> {
    seq(&[tlv(0x80, b"2.999.32.1"), tlv(0x81, &[10]), tlv(0x83, &[11]), seq(&[tlv(0x83, &[0])])])
}

/// `30 { data, 5F37 signature }`.
fn signed(data: &[u8], signature: &[u8]) -> EuiccPackageResultSigned {
    decode(&seq(&[data.to_vec(), vec![0x5f], tlv(0x37, signature)])).unwrap()
}

fn sign(key: &SigningKey, data: &[u8], token: Option<AssociationToken>) -> [u8; 64] {
    key.sign(&[data, &AssociationToken::suffix(token)].concat())
}

fn chain(curve: &str) -> VerifiedChain {
    let files = ["eum", "euicc1"].map(|name| cert(&format!("{curve}/{name}")));
    let eid: Eid = EID1.parse().unwrap();
    verify_euicc_chain(&trust(), &files[0], &files[1], reference_time(), &eid).unwrap()
}

#[test]
fn a_result_is_believed_over_its_octets_and_the_token_and_refused_otherwise() {
    for curve in ["nist", "brp"] {
        let (chain, card) = (chain(curve), key(&format!("{curve}/euicc1")));
        let data = result_data();
        let signature = sign(&card, &data, TOKEN);

        let verified = verify_package_result(&chain, &signed(&data, &signature), TOKEN).unwrap();
        assert_eq!(verified.octets(), data);
        assert_eq!(verified.value().counter_value, 10);
        assert_eq!(verified.signer(), chain.signer());
        assert!(verified.warnings().is_empty());

        let reason = |data: &[u8], signature: &[u8], token| {
            verify_package_result(&chain, &signed(data, signature), token).unwrap_err().reason()
        };
        let mut tampered = data.clone();
        *tampered.last_mut().unwrap() = 1;
        assert_eq!(reason(&tampered, &signature, TOKEN), "signature");
        let stranger = sign(&key(&format!("{curve}/euicc2")), &data, TOKEN);
        assert_eq!(reason(&data, &stranger, TOKEN), "signature");
        for token in [None, Some(AssociationToken::new(8)), Some(AssociationToken::ALLOCATE)] {
            assert_eq!(reason(&data, &signature, token), "signature");
        }
        assert_eq!(reason(&data, &signature[..63], TOKEN), "signature-format");
    }
}

#[test]
fn no_token_is_the_token_zero() {
    let (chain, data) = (chain("nist"), result_data());
    let signature = sign(&key("nist/euicc1"), &data, None);
    for token in [None, Some(AssociationToken::new(0))] {
        assert!(verify_package_result(&chain, &signed(&data, &signature), token).is_ok());
    }
}

#[test]
fn octets_are_covered_as_received_even_when_the_header_is_not_minimal() {
    let minimal = result_data();
    let data = [&[0x30, 0x81, minimal[1]], &minimal[2..]].concat();
    let signature = sign(&key("nist/euicc1"), &data, TOKEN);
    let verified = verify_package_result(&chain("nist"), &signed(&data, &signature), TOKEN).unwrap();
    assert_eq!(verified.octets(), data);
    let of_minimal = sign(&key("nist/euicc1"), &minimal, TOKEN);
    assert!(verify_package_result(&chain("nist"), &signed(&data, &of_minimal), TOKEN).is_err());
}

#[test]
fn a_der_value_and_wrong_check_digits_are_flagged_together() {
    let wrong: Eid = "89049032000000000000000000000164".parse().unwrap();
    let files = [cert("nist/eum"), cert("nist/euicc_bad_check")];
    let chain = verify_euicc_chain(&trust(), &files[0], &files[1], reference_time(), &wrong).unwrap();
    let data = result_data();
    let value = sign(&key("nist/euicc_badcheck"), &data, None);
    let der = seq(&[integer(&value[..32]), integer(&value[32..])]);
    let verified = verify_package_result(&chain, &signed(&data, &der), None).unwrap();
    assert_eq!(verified.warnings(), [Leniency::EidCheckDigits, Leniency::DerSignature]);
}

#[test]
fn a_compact_notification_verifies_with_a_stored_chain_and_without_token() {
    let metadata =
        [vec![0xbf], tlv(0x2f, &[tlv(0x80, &[21]), tlv(0x81, &[6, 0x40]), tlv(0x0c, b"smdp.test.example")].concat())];
    let metadata = decode::<Raw<NotificationMetadata>>(&metadata.concat()).unwrap();
    let card = key("nist/euicc1");
    let verify = |signature: &[u8]| verify_notification_metadata(&chain("nist"), &metadata, signature);
    assert_eq!(verify(&card.sign(metadata.octets())).unwrap().value().seq_number, 21);
    assert!(verify(&sign(&card, metadata.octets(), None)).is_err());
    assert!(verify(&key("nist/euicc2").sign(metadata.octets())).is_err());
}

#[test]
fn euicc_signature2_covers_the_data_object_of_smdp_signature2() {
    let signed2 = seq(&[tlv(0x80, &[1; 16]), vec![0x5f], tlv(0x49, &[4; 65])]);
    let object = decode::<Raw<EUICCSigned2>>(&signed2).unwrap();
    let smdp_signature2 = [9; 64];
    let signature = key("nist/euicc1").sign(&[&signed2[..], &[0x5f, 0x37, 0x40], &smdp_signature2].concat());
    let chain = chain("nist");
    assert!(verify_euicc_signed2(&chain, &object, &signature, &smdp_signature2).is_ok());
    assert!(verify_euicc_signed2(&chain, &object, &signature, &[8; 64]).is_err());
}

fn server(name: &str, role: ServerRole) -> VerifiedServer {
    verify_server_certificate(&trust(), &cert(name), role, reference_time()).unwrap()
}

#[test]
fn server_signed1_is_bound_to_role_address_identifier_and_session() {
    let octets = seq(&[tlv(0x80, &[1; 16]), tlv(0x81, &[2; 16]), tlv(0x83, b"smdp.test.example"), tlv(0x84, &[3; 16])]);
    let object = decode::<Raw<ServerSigned1>>(&octets).unwrap();
    let signature = key("nist/dp_auth").sign(&octets);
    let auth = server("nist/dp_auth", ServerRole::DpAuth);
    let (own, other): (Oid, Oid) = ("2.999.10".parse().unwrap(), "2.999.12".parse().unwrap());
    let good = ServerExpectation {
        address: "SMDP.test.example",
        oid: Some(&own),
        euicc_challenge: Some(&[2; 16]),
        transaction_id: Some(&[1; 16]),
    };
    let reason =
        |expected| verify_server_signed1(&auth, &object, &signature, &expected).map_err(|error| error.reason());
    assert_eq!(reason(good).unwrap().signer().oid.as_ref(), Some(&own));
    assert_eq!(reason(ServerExpectation { address: "x", ..good }).unwrap_err(), "smdpAddressMismatch");
    assert_eq!(reason(ServerExpectation { oid: Some(&other), ..good }).unwrap_err(), "smdpOidMismatch");
    assert_eq!(reason(ServerExpectation { euicc_challenge: Some(&[0; 16]), ..good }).unwrap_err(), "euiccChallenge");
    assert_eq!(reason(ServerExpectation { transaction_id: Some(&[0; 16]), ..good }).unwrap_err(), "transactionId");
    assert!(reason(ServerExpectation { oid: None, euicc_challenge: None, transaction_id: None, ..good }).is_ok());

    let binding = server("nist/dp_pb", ServerRole::DpPb);
    let by_binding = key("nist/dp_pb").sign(&octets);
    let error = verify_server_signed1(&binding, &object, &by_binding, &good).unwrap_err();
    assert_eq!(error.reason(), "certificate-policy");
    let stranger = key("nist/dp2_auth").sign(&octets);
    assert_eq!(verify_server_signed1(&auth, &object, &stranger, &good).unwrap_err().reason(), "signature");
}

#[test]
fn smdp_signed2_needs_both_certificates_of_one_server_in_their_roles() {
    let octets = seq(&[tlv(0x80, &[1; 16]), tlv(0x01, &[0])]);
    let object = decode::<Raw<SmdpSigned2>>(&octets).unwrap();
    let euicc_signature1 = [5; 64];
    let signature = key("nist/dp_pb").sign(&[&octets[..], &[0x5f, 0x37, 0x40], &euicc_signature1].concat());
    let auth = server("nist/dp_auth", ServerRole::DpAuth);
    let binding = server("nist/dp_pb", ServerRole::DpPb);
    let reason = |auth, binding, covered: &[u8; 64]| {
        verify_smdp_signed2(auth, binding, &object, &signature, covered)
            .map_or_else(|error| error.reason(), |_| "valid")
    };
    assert_eq!(reason(&auth, &binding, &euicc_signature1), "valid");
    assert_eq!(reason(&auth, &binding, &[6; 64]), "signature");
    assert_eq!(reason(&auth, &auth, &euicc_signature1), "certificate-policy");
    assert_eq!(reason(&binding, &binding, &euicc_signature1), "certificate-policy");
    // Certificates without an identifier are of no server.
    let nameless = |role, policy_arc| {
        let der = dp_auth_draft().with(policy(policy_arc)).without(0x11).sign(&key("nist/ci"));
        verify_server_certificate(&trust(), &der, role, reference_time()).unwrap()
    };
    let (no_auth, no_binding) = (nameless(ServerRole::DpAuth, 4), nameless(ServerRole::DpPb, 5));
    assert_eq!(reason(&no_auth, &no_binding, &euicc_signature1), "oid-mismatch");
    assert_eq!(reason(&auth, &server("nist/dp2_pb", ServerRole::DpPb), &euicc_signature1), "oid-mismatch");
}

#[test]
fn a_binding_is_exact_also_where_the_transaction_id_is_absent() {
    let id: &[u8] = &[1, 2];
    let package = Binding { eim_id: "eim", counter_value: 10, eim_transaction_id: Some(id) };
    assert_eq!(check_binding(&package, &package), Ok(()));
    for (found, mismatch) in [
        (Binding { eim_id: "EIM", ..package }, BindingMismatch::EimId),
        (Binding { counter_value: 9, ..package }, BindingMismatch::CounterValue),
        (Binding { eim_transaction_id: None, ..package }, BindingMismatch::EimTransactionId),
        (Binding { eim_transaction_id: Some(&[1]), ..package }, BindingMismatch::EimTransactionId),
    ] {
        assert_eq!(check_binding(&package, &found), Err(mismatch));
        assert_eq!(check_binding(&found, &package), Err(mismatch));
    }
}

#[test]
fn the_lab_takes_what_does_not_verify_and_it_stays_marked() {
    assert!(LabPolicy::enabled_by_configuration(false).is_none());
    let policy = LabPolicy::enabled_by_configuration(true).unwrap();
    let data = result_data();
    let forged = signed(&data, &[1; 64]);
    let taken = Accepted::from(accept_unverified(&policy, &forged.euicc_package_result_data_signed));
    assert!(!taken.is_verified());
    assert_eq!((taken.octets(), taken.value().seq_number), (&data[..], 11));
    // The policy changes nothing for the verifier.
    let error = verify_package_result(&chain("nist"), &forged, None).unwrap_err();
    assert!(matches!(error, TrustError::Signature { signature: "euiccSignEPR", .. }));
    let good = signed(&data, &sign(&key("nist/euicc1"), &data, None));
    let proven = Accepted::from(verify_package_result(&chain("nist"), &good, None).unwrap());
    assert!(proven.is_verified());
    assert_eq!((proven.octets(), proven.value()), (taken.octets(), taken.value()));
}

#[test]
fn refusals_name_the_culprit_and_the_cause() {
    let text = |eum: &str, euicc: &str| {
        let files = [cert(&format!("nist/{eum}")), cert(&format!("nist/{euicc}"))];
        let eid: Eid = EID1.parse().unwrap();
        verify_euicc_chain(&trust(), &files[0], &files[1], reference_time(), &eid).unwrap_err().to_string()
    };
    assert_eq!(
        text("eum_untrusted_ci", "euicc1"),
        "CERT.EUM: no trusted CI has the key 34d401d62540471fc6db280e47dda642775bdf8b"
    );
    assert_eq!(
        text("eum", "euicc_rogue_eum"),
        "CERT.EUICC: the authority key identifier is absent or not the issuer's"
    );
    assert_eq!(text("eum", "euicc1_expired"), "CERT.EUICC expired on 2020-01-01 00:00:00 UTC");
    assert_eq!(text("eum", "euicc_no_ds"), "CERT.EUICC lacks the key usage digitalSignature");
    assert_eq!(
        text("eum", "euicc2"),
        "CERT.EUICC is of EID 89049032001122334455667788990040, not 89049032000000000000000000000163"
    );
}
