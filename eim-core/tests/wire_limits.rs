//! Edges of values and of octets: CX-05 to CX-11. Nothing panics, nothing grows without bound.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::LazyLock;

use eim_core::asn1::json_binding::{EsipaFunction, json_request_to_message, json_response_to_message};
use eim_core::asn1::{self, *};
use proptest::prelude::*;
use serde_json::Value;

fn octets(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

/// A data object of a one-octet tag in DER.
fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut octets = vec![tag];
    match contents.len() {
        length @ 0..=0x7F => octets.push(length as u8),
        length @ 0x80..=0xFF => octets.extend([0x81, length as u8]),
        length @ 0x100..=0xFFFF => octets.extend([0x82, (length >> 8) as u8, length as u8]),
        length => octets.extend([0x83, (length >> 16) as u8, (length >> 8) as u8, length as u8]),
    }
    octets.extend_from_slice(contents);
    octets
}

/// BF4F{5A, ..}: a poll with octets after its eidValue.
fn poll_with(extra: &[u8]) -> Vec<u8> {
    let mut contents = octets("5A 10 89049032000000000000000000000163");
    contents.extend_from_slice(extra);
    let mut message = vec![0xBF];
    message.extend(tlv(0x4F, &contents));
    message
}

#[test]
fn cx_05_integers_have_the_shortest_twos_complement() {
    let cases: [(i64, &str); 11] = [
        (0, "80 01 00"),
        (127, "80 01 7F"),
        (128, "80 02 00 80"),
        (255, "80 02 00 FF"),
        (256, "80 02 01 00"),
        (32767, "80 02 7F FF"),
        (32768, "80 03 00 80 00"),
        (2_147_483_647, "80 04 7F FF FF FF"),
        (-1, "80 01 FF"),
        (-128, "80 01 80"),
        (i64::MIN, "80 08 80 00 00 00 00 00 00 00"),
    ];
    for (number, expected) in cases {
        let expected = octets(expected);
        assert_eq!(asn1::encode(&SequenceNumber(number)).unwrap(), expected, "{number}");
        assert_eq!(asn1::decode::<SequenceNumber>(&expected).unwrap(), SequenceNumber(number));
    }
}

#[test]
fn cx_05_integers_beyond_64_bits_and_empty_ones_are_refused() {
    for wrong in [
        "80 00",
        "80 09 00 80 00 00 00 00 00 00 00",
        "80 09 FF 7F FF FF FF FF FF FF FF",
        "80 09 01 00 00 00 00 00 00 00 00",
    ] {
        assert!(asn1::decode::<SequenceNumber>(&octets(wrong)).is_err(), "{wrong}");
    }
    let padded = octets("80 0A 00 00 7F FF FF FF FF FF FF FF");
    assert_eq!(asn1::decode::<SequenceNumber>(&padded).unwrap(), SequenceNumber(i64::MAX));
}

#[test]
fn cx_06_an_eim_id_has_1_to_128_octets_of_utf_8() {
    let configuration = |eim_id: &[u8]| asn1::decode::<EimConfigurationData>(&tlv(0x30, &tlv(0x80, eim_id)));
    for length in [1, 128] {
        let read = configuration(&vec![b'x'; length]).unwrap();
        assert_eq!(read.eim_id.as_str().len(), length);
    }
    assert_eq!(configuration("ü".repeat(64).as_bytes()).unwrap().eim_id.as_str().chars().count(), 64);
    for wrong in [&b""[..], &[b'x'; 129], "ü".repeat(65).as_bytes(), b"\xFF", b"\xC3", b"\xED\xA0\x80"] {
        assert!(configuration(wrong).is_err(), "{}", hex::encode(wrong));
    }
}

#[test]
fn cx_07_impossible_lengths_are_refused() {
    let cases = [
        ("", "empty"),
        ("BF", "tag cut off"),
        ("BF 4F", "no length"),
        ("BF 4F 12 5A 10 89", "value cut off"),
        ("BF 4F 82 00", "length cut off"),
        ("BF 4F 84 FF FF FF FF", "2^32 - 1"),
        ("BF 4F 85 01 00 00 00 00", "2^32"),
        ("BF 4F 88 FF FF FF FF FF FF FF FF", "2^64 - 1"),
        ("BF 4F 89 01 00 00 00 00 00 00 00 00", "2^64"),
        ("BF 4F FE", "126 octets of length, none there"),
        ("BF 4F FF 00", "reserved"),
        ("BF 4F 80 5A 00 00 00", "indefinite"),
        ("BF 4F 04 80 80 00 00", "indefinite inside"),
        ("BF 4F 02 5A 10", "inner past its parent"),
        ("BF 4F 03 A0 02 80", "inner past its parent, input ends there too"),
        ("BF 4F 05 A0 01 80 05 00", "innermost past its parent"),
        ("BF FF FF FF FF 7F 00", "a tag number beyond 32 bits"),
        ("BF 4F 00 00", "an octet behind it"),
        ("BF 4F 00 BF 4F 00", "a second message behind it"),
    ];
    for (hex, what) in cases {
        let octets = octets(hex);
        assert!(asn1::decode_from_ipa(&octets).is_err(), "{what}");
        assert!(asn1::decode_from_eim(&octets).is_err(), "{what}");
        assert!(asn1::decode_eim_package_result(&octets).is_err(), "{what}");
        assert!(asn1::decode::<Lenient<PendingNotification>>(&octets).is_err(), "{what}");
    }
    let every_cut = poll_with(&[]);
    for cut in 0..every_cut.len() {
        assert!(asn1::decode_from_ipa(&every_cut[..cut]).is_err(), "cut at {cut}");
    }
    // 128 octets of leading zeros in a length are long, not wrong
    let long = octets("BF 4F 8A 00 00 00 00 00 00 00 00 00 00");
    assert!(asn1::decode_from_ipa(&long).is_ok());
}

/// A poll with an unknown field of so many levels; the poll itself is one more.
fn nested(levels: usize) -> Vec<u8> {
    let mut inner = Vec::new();
    for _ in 0..levels {
        inner = tlv(0xB0, &inner);
    }
    poll_with(&inner)
}

#[test]
fn cx_08_sixteen_levels_are_read_and_more_than_64_refused() {
    assert!(asn1::decode_from_ipa(&nested(15)).is_ok());
    assert!(asn1::decode_from_ipa(&nested(31)).is_ok());
    assert_eq!(asn1::decode_from_ipa(&nested(32)), Err(DecodeError::TooDeep { limit: 32 }));
    assert!(asn1::decode_from_ipa(&nested(64)).is_err());
    assert!(asn1::decode_from_ipa(&nested(20_000)).is_err());
    let limits = Limits { max_depth: 64, ..Limits::default() };
    assert!(asn1::decode_within::<EsipaMessageFromIpaToEim>(&nested(63), &limits).is_ok());
    assert!(asn1::decode_within::<EsipaMessageFromIpaToEim>(&nested(64), &limits).is_err());
}

#[test]
fn cx_08_size_and_number_of_data_objects_are_limited() {
    let big = poll_with(&tlv(0x9E, &vec![0; (1 << 20) + 1]));
    assert!(matches!(asn1::decode_from_ipa(&big), Err(DecodeError::TooLarge { .. })));
    let fits = poll_with(&tlv(0x9E, &vec![0; 1 << 19]));
    assert!(asn1::decode_from_ipa(&fits).is_ok());
    let many = poll_with(&[0x9E, 0x00].repeat(20_000));
    assert_eq!(asn1::decode_from_ipa(&many), Err(DecodeError::TooManyElements { limit: 20_000 }));
}

#[test]
fn cx_09_octets_after_the_message_are_refused() {
    let mut message = poll_with(&[]);
    assert!(asn1::decode_from_ipa(&message).is_ok());
    message.push(0);
    assert_eq!(asn1::decode_from_ipa(&message), Err(DecodeError::Trailing { octets: 1 }));
    message.extend([0xBF; 9]);
    assert_eq!(asn1::decode_from_ipa(&message), Err(DecodeError::Trailing { octets: 10 }));
    // a second arm in a CHOICE is no extension
    assert!(asn1::decode_from_eim(&octets("BF 50 06 02 01 02 02 01 03")).is_err());
}

#[test]
fn cx_10_a_field_twice_is_refused_wherever_it_stands() {
    for extra in ["80 00 80 00", "81 01 00 82 03 09F107 81 01 00", "5A 00"] {
        let error = asn1::decode_from_ipa(&poll_with(&octets(extra))).unwrap_err();
        assert!(error.to_string().contains("twice"), "{extra}: {error}");
    }
}

#[test]
fn messages_of_the_other_side_and_components_are_no_messages() {
    for foreign in ["BF 51 03 02 01 7F", "A2 03 BF 4F 00", "30 00", "BF 4E 00", "02 01 01"] {
        let read = asn1::decode_from_ipa(&octets(foreign));
        assert!(
            matches!(read, Err(_) | Ok(EsipaMessageFromIpaToEim::TransferEimPackageResponse(Lenient::Unknown(_)))),
            "{foreign}: {read:?}"
        );
    }
}

/// Every shared vector with octets.
static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let files =
        ["esep_result", "esipa_package", "ipa_euicc_data", "notification", "indirect_download", "v13_additions"];
    let mut seeds = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(directory.join(file).with_extension("jsonl")).unwrap();
        for line in text.lines() {
            let vector: Value = serde_json::from_str(line).unwrap();
            seeds.push(hex::decode(vector["der"].as_str().unwrap()).unwrap());
        }
    }
    assert!(seeds.len() > 250);
    seeds
});

/// Puts octets through every door. What is read must have an encoding, which is read again and stays as it is.
fn through_every_door(octets: &[u8]) {
    let _ = asn1::decode_eim_package_result(octets);
    let _ = asn1::decode::<EuiccPackageRequest>(octets);
    let _ = asn1::decode::<EuiccPackageResult>(octets);
    let _ = asn1::decode::<IpaEuiccDataResponse>(octets);
    let _ = asn1::decode::<Lenient<PendingNotification>>(octets);
    let _ = asn1::decode::<RemoteProfileProvisioningResponse>(octets);
    let _ = asn1::decode::<Raw<BoundProfilePackage>>(octets);
    let _ = asn1::decode::<Raw<EUICCInfo2>>(octets);
    let _ = asn1::decode::<Certificate>(octets);
    let _ = rasn::der::decode::<EuiccPackageResult>(octets);
    let _ = rasn::ber::decode::<EsipaMessageFromIpaToEim>(octets);
    if let Ok(message) = asn1::decode_from_eim(octets) {
        let _ = asn1::encode(&message).unwrap();
    }
    if let Ok(message) = asn1::decode_from_ipa(octets) {
        let _ = serde_json::to_value(&message).unwrap();
        let first = asn1::encode(&message).unwrap();
        let again = asn1::decode_from_ipa(&first).unwrap();
        assert_eq!(hex::encode(asn1::encode(&again).unwrap()), hex::encode(first));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cx_11_random_octets_never_panic(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        through_every_door(&octets);
    }

    #[test]
    fn cx_11_random_contents_of_messages_never_panic(
        tag in prop::sample::select(vec![0x39u8, 0x3A, 0x3B, 0x3D, 0x41, 0x4E, 0x4F, 0x50, 0x51, 0x52, 0x54]),
        fields in proptest::collection::vec(
            (prop::sample::select(vec![0x02u8, 0x04, 0x05, 0x30, 0x80, 0x81, 0x82, 0x83, 0x84, 0xA0, 0xA1, 0xA2, 0xA6, 0x5A]),
             proptest::collection::vec(any::<u8>(), 0..12)), 0..6),
    ) {
        let contents: Vec<u8> = fields.iter().flat_map(|(tag, value)| tlv(*tag, value)).collect();
        let mut message = vec![0xBF];
        message.extend(tlv(tag, &contents));
        through_every_door(&message);
    }

    #[test]
    fn cx_11_mutated_vectors_never_panic(
        seed in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..5),
    ) {
        let mut octets = SEEDS[seed.index(SEEDS.len())].clone();
        for (at, value, kind) in changes {
            if octets.is_empty() {
                break;
            }
            let at = at.index(octets.len().min(120));
            match kind {
                0 => octets[at] = value,
                1 => octets.insert(at, value),
                _ => { octets.remove(at); }
            }
        }
        through_every_door(&octets);
    }

    #[test]
    fn cx_11_random_json_never_panics(body in "\\PC{0,200}", octets in proptest::collection::vec(any::<u8>(), 0..60)) {
        for function in EsipaFunction::ALL {
            let _ = json_request_to_message(function, body.as_bytes());
            let _ = json_response_to_message(function, &octets);
            let member = serde_json::json!({
                "eimPackageResult": body, "pendingNotification": body, "euiccChallenge": body, "transactionId": body,
                "authenticateServerResponse": body, "eidValue": body, "ePRAndNotifications": {"notificationList": [body]},
            });
            let _ = json_request_to_message(function, member.to_string().as_bytes());
            let _ = json_response_to_message(function, member.to_string().as_bytes());
        }
    }
}
