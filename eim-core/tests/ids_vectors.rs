//! Identifiers against the shared vectors: EID, ICCID, PLMN, activation code, token, notification event.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

use eim_core::asn1::{self, NotificationEvent};
use eim_core::ids::{ActivationCode, AssociationToken, Eid, Iccid, Plmn};
use serde_json::Value;

fn vectors(file: &str, expected: usize) -> Vec<Value> {
    let path = format!("{}/../tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let vectors: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(vectors.len(), expected, "{file}");
    vectors
}

fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
    vector[name].as_str().unwrap_or_else(|| panic!("{}: no {name}", vector["id"]))
}

#[test]
fn eids_are_read_and_their_check_digits_told() {
    for vector in vectors("eid.jsonl", 13) {
        let eid = text(&vector, "eid").parse::<Eid>();
        match (text(&vector, "expect"), text(&vector, "description")) {
            ("valid", _) => {
                let eid = eid.unwrap();
                assert!(eid.check_digits_ok(), "{}", vector["id"]);
                assert_eq!(hex::encode(eid.octets()), text(&vector, "hex"));
                assert_eq!(Eid::from_octets(eid.octets()), Ok(eid));
                assert_eq!(eid.to_string(), text(&vector, "eid"));
            }
            // Wrong check digits are a warning, not a refusal.
            (_, why) if why.starts_with("check-digits") => assert!(!eid.unwrap().check_digits_ok(), "{}", vector["id"]),
            _ => assert!(eid.is_err(), "{}", vector["id"]),
        }
    }
}

#[test]
fn iccids_are_shown_as_people_read_them() {
    for vector in vectors("iccid.jsonl", 6) {
        let iccid = Iccid::from_octets(&hex::decode(text(&vector, "wire")).unwrap());
        if text(&vector, "expect") == "valid" {
            let iccid = iccid.unwrap();
            assert_eq!(iccid.digits().as_deref(), Some(text(&vector, "text")), "{}", vector["id"]);
            assert_eq!(text(&vector, "text").parse::<Iccid>().unwrap(), iccid);
        } else {
            // Ten octets that are no digits are kept for cards that have them, but are no digits.
            assert!(iccid.is_err() || iccid.unwrap().digits().is_none(), "{}", vector["id"]);
        }
    }
}

#[test]
fn plmns_are_swapped_both_ways() {
    for vector in vectors("plmn.jsonl", 5) {
        let plmn: Plmn = text(&vector, "plmn").parse().unwrap();
        assert_eq!(hex::encode(plmn.octets()), text(&vector, "wire"));
        assert_eq!(Plmn::from_octets(plmn.octets()).unwrap().to_string(), text(&vector, "plmn"));
    }
    assert_eq!(Plmn::from_octets(&[0xab, 0xcd, 0xef]).unwrap().to_string(), "0xABCDEF");
}

#[test]
fn activation_codes_are_taken_apart() {
    for vector in vectors("activation_code.jsonl", 17) {
        let code = text(&vector, "ac").parse::<ActivationCode>();
        if text(&vector, "expect") == "valid" {
            let (code, parsed) = (code.unwrap(), &vector["parsed"]);
            assert_eq!(code.smdp_address(), text(parsed, "smdp"), "{}", vector["id"]);
            assert_eq!(code.matching_id(), text(parsed, "matchingId"));
            assert_eq!(code.smdp_oid(), parsed["oid"].as_str());
            assert_eq!(code.confirmation_code_required(), parsed["ccRequired"].as_bool().unwrap());
            assert!(!code.reveal().starts_with("LPA:"));
            assert!(!format!("{code:?}").contains(code.matching_id()) || code.matching_id().len() < 2);
        } else {
            assert!(code.is_err(), "{}", vector["id"]);
        }
    }
}

#[test]
fn tokens_are_appended_minimal_and_signed() {
    for vector in vectors("token_tlv.jsonl", 12) {
        let token = vector["associationToken"].as_i64().map(AssociationToken::new);
        assert_eq!(hex::encode(AssociationToken::suffix(token)), text(&vector, "tlv"), "{}", vector["id"]);
    }
}

#[test]
fn notification_events_are_trimmed_bit_strings() {
    for vector in vectors("notification_event.jsonl", 4) {
        let event: NotificationEvent = serde_json::from_value(vector["events"].clone()).unwrap();
        let der = asn1::encode(&event).unwrap();
        assert_eq!(hex::encode(&der[2..]), text(&vector, "content"), "{}", vector["id"]);
        assert_eq!(asn1::decode::<NotificationEvent>(&der).unwrap(), event);
    }
}
