//! Requests as people write them, and what is wrong with bad ones.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

fn parse(body: &Value) -> Result<Request, Vec<FieldError>> {
    Request::parse(body.as_object().unwrap())
}

fn pointers(body: &Value) -> Vec<String> {
    parse(body).unwrap_err().into_iter().map(|error| error.pointer).collect()
}

#[test]
fn reads_several_operations_in_order() {
    let request = parse(&json!({ "psmo": [
        { "enable": { "iccid": "89447483921002000001", "rollback": true } },
        { "listProfileInfo": {} },
        { "delete": { "rawIccid": "98444738290120000028" } },
    ] }))
    .unwrap();
    assert_eq!(request.operation_names(), ["enable", "listProfileInfo", "delete"]);
    assert!(request.is_switch());
    let Request::Psmo(list) = request else { panic!("not psmo") };
    assert_eq!(
        list[0],
        Psmo::Enable(PsmoEnable { iccid: asn1_iccid("98444738290120000010"), rollback_flag: Some(Null) })
    );
}

fn asn1_iccid(hex: &str) -> crate::asn1::Iccid {
    crate::asn1::Octets::new(hex::decode(hex).unwrap()).unwrap()
}

#[test]
fn names_the_place_of_each_mistake() {
    let body = json!({ "psmo": [
        { "enable": { "iccid": "1", "rolback": true } },
        { "explode": {} },
        { "disable": {} },
        { "enable": {}, "disable": {} },
        { "listProfileInfo": { "class": "wrong" } },
    ] });
    assert_eq!(
        pointers(&body),
        [
            "/psmo/0/enable/iccid",
            "/psmo/0/enable/rolback",
            "/psmo/1/explode",
            "/psmo/2/disable/iccid",
            "/psmo/3",
            "/psmo/4/listProfileInfo/class"
        ]
    );
}

#[test]
fn takes_exactly_one_kind() {
    assert_eq!(pointers(&json!({})), [""]);
    assert_eq!(pointers(&json!({ "psmo": [{ "getRAT": {} }], "eco": [{ "listEim": {} }] })), [""]);
    assert_eq!(pointers(&json!({ "psmo": [] })), ["/psmo"]);
    assert_eq!(pointers(&json!({ "psmo": "enable" })), ["/psmo"]);
    assert_eq!(pointers(&json!({ "psmo": vec![json!({ "getRAT": {} }); OPERATIONS_MAX + 1] })), ["/psmo"]);
}

#[test]
fn an_eim_to_be_added_needs_counter_and_key() {
    let body = json!({ "eco": [{ "addEim": { "eimId": "2.999.1" } }] });
    assert_eq!(pointers(&body), ["/eco/0/addEim/counterValue", "/eco/0/addEim/eimPublicKeyData"]);
    assert!(parse(&json!({ "eco": [{ "updateEim": { "eimId": "2.999.1", "eimFqdn": "eim.example" } }] })).is_ok());
}

#[test]
fn a_configuration_names_the_member_that_cant_be_taken() {
    let key = include_bytes!("../../../../tests/vectors/pki/nist/eim_sign.der");
    let add = |change: Value| {
        let mut configuration =
            json!({ "eimId": "x", "counterValue": 0, "eimPublicKeyData": { "eimCertificate": STANDARD.encode(key) } });
        configuration.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({ "eco": [{ "addEim": configuration }] })
    };
    assert!(parse(&add(json!({}))).is_ok());
    for (change, member) in [
        (json!({ "eimId": "" }), "eimId"),
        (json!({ "eimId": "x".repeat(129) }), "eimId"),
        (json!({ "counterValue": -1 }), "counterValue"),
        (json!({ "counterValue": 8_388_608 }), "counterValue"),
        (json!({ "associationToken": -2 }), "associationToken"),
        (json!({ "associationToken": 2_147_483_648_i64 }), "associationToken"),
        (json!({ "eimIdType": 4 }), "eimIdType"),
        (json!({ "eimFqdn": "" }), "eimFqdn"),
        (json!({ "eimFqdn": "a b" }), "eimFqdn"),
        (json!({ "euiccCiPKId": "" }), "euiccCiPKId"),
    ] {
        assert_eq!(pointers(&add(change.clone())), [format!("/eco/0/addEim/{member}")], "{change}");
    }
}

#[test]
fn a_certificate_is_held_to_the_key_beside_it() {
    let certificate = include_bytes!("../../../../tests/vectors/pki/nist/eim_sign.der");
    let own = crate::pki::Certificate::parse(certificate).unwrap().public_key().to_spki();
    let other = include_bytes!("../../../../tests/vectors/pki/nist/eum.der");
    let other = crate::pki::Certificate::parse(other).unwrap().public_key().to_spki();
    let keys = |spki: &[u8]| {
        json!({ "eco": [{ "updateEim": { "eimId": "x", "eimPublicKeyData": {
            "eimPublicKey": STANDARD.encode(spki), "eimCertificate": STANDARD.encode(certificate) } } }] })
    };
    assert!(parse(&keys(&own)).is_ok());
    assert_eq!(pointers(&keys(&other)), ["/eco/0/updateEim/eimPublicKeyData/eimCertificate"]);
}

#[test]
fn only_tags_of_the_data_may_be_asked_for() {
    assert_eq!(
        parse(&json!({ "euiccData": { "tags": ["BF20", "a5"] } })).unwrap(),
        Request::EuiccData(vec![0xbf, 0x20, 0xa5])
    );
    assert_eq!(pointers(&json!({ "euiccData": { "tags": ["5A"] } })), ["/euiccData/tags/0"]);
    let Request::EuiccData(all) = parse(&json!({ "euiccData": {} })).unwrap() else { panic!("not data") };
    assert_eq!(hex::encode_upper(all), DATA_TAGS.concat());
}
