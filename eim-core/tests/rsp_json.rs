//! Answers of SM-DP+ and SM-DS in JSON, made from the octets of the vectors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod pki_support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eim_core::asn1::{
    AuthenticateClientResponseEs9, EsipaMessageFromEimToIpa, GetBoundProfilePackageResponse,
    InitiateAuthenticationOkEs9, InitiateAuthenticationResponse, RemoteProfileProvisioningResponse, decode,
    decode_from_eim,
};
use eim_core::ports::RspReply;
use eim_core::rsp::authenticate_client::{self, AuthenticateClientReply};
use eim_core::rsp::{RspError, ServerKind, get_bound_profile_package, initiate_authentication};
use pki_support::{lines, octets};
use serde_json::{Value, json};

const TRANSACTION_ID: &str = "0102030405060708090A0B0C0D0E0F10";

fn vector(file: &str, id: &str) -> Vec<u8> {
    let found = lines(file).into_iter().find(|vector| vector["id"] == id);
    octets(&found.unwrap_or_else(|| panic!("no vector {id}"))["der"])
}

fn es9(id: &str) -> RemoteProfileProvisioningResponse {
    decode(&vector("sgp22.jsonl", id)).unwrap()
}

fn base64(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

fn tagged(tag: &[u8], value: &[u8]) -> String {
    base64(&[tag, &[value.len() as u8], value].concat())
}

/// With the line breaks of some servers.
fn broken(text: &str) -> String {
    text.as_bytes().chunks(76).map(|line| format!("{}\r\n", str::from_utf8(line).unwrap())).collect()
}

fn reply(body: &Value) -> RspReply {
    RspReply { status: 200, body: body.to_string().into_bytes() }
}

fn executed() -> Value {
    json!({ "functionExecutionStatus": { "status": "Executed-Success" } })
}

fn initiate_ok() -> InitiateAuthenticationOkEs9 {
    let RemoteProfileProvisioningResponse::InitiateAuthenticationResponse(
        InitiateAuthenticationResponse::InitiateAuthenticationOk(ok),
    ) = es9("ES9-IA-RSP")
    else {
        panic!()
    };
    ok
}

fn initiate_body(ok: &InitiateAuthenticationOkEs9) -> Value {
    json!({
        "header": executed(),
        "transactionId": TRANSACTION_ID,
        "serverSigned1": base64(ok.server_signed1.octets()),
        "serverSignature1": tagged(&[0x5f, 0x37], &ok.server_signature1),
        "euiccCiPKIdToBeUsed": tagged(&[0x04], &ok.euicc_ci_pk_id_to_be_used),
        "serverCertificate": base64(ok.server_certificate.der()),
        "another": { "member": [] },
    })
}

fn with(body: &Value, member: &str, value: Value) -> Value {
    let mut body = body.clone();
    body[member] = value;
    body
}

fn without(body: &Value, member: &str) -> Value {
    let mut body = body.clone();
    body.as_object_mut().unwrap().remove(member);
    body
}

#[test]
fn reads_an_initiated_authentication_in_every_tolerated_form() {
    let ok = initiate_ok();
    let body = initiate_body(&ok);
    let signed1 = body["serverSigned1"].as_str().unwrap();
    for body in [
        body.clone(),
        without(&body, "header"),
        without(&body, "transactionId"),
        with(&body, "transactionId", json!(TRANSACTION_ID.to_lowercase())),
        with(&body, "serverSigned1", json!(broken(signed1))),
        with(&body, "serverSigned1", json!(signed1.trim_end_matches('='))),
        with(&body, "serverSignature1", json!(base64(&ok.server_signature1))),
        with(&body, "euiccCiPKIdToBeUsed", json!(base64(&ok.euicc_ci_pk_id_to_be_used))),
        with(
            &without(&body, "euiccCiPKIdToBeUsed"),
            "euiccCiPKIdentifierToBeUsed",
            body["euiccCiPKIdToBeUsed"].clone(),
        ),
    ] {
        assert_eq!(initiate_authentication::read(&reply(&body)).unwrap(), ok, "{body}");
    }
}

#[test]
fn an_initiated_authentication_without_a_member_names_it() {
    let body = initiate_body(&initiate_ok());
    for what in ["serverSigned1", "serverSignature1", "euiccCiPKIdToBeUsed", "serverCertificate"] {
        for body in [
            without(&body, what),
            with(&body, what, Value::Null),
            with(&body, what, json!(7)),
            with(&body, what, json!("*")),
            with(&body, what, json!("")),
        ] {
            let wrong = initiate_authentication::read(&reply(&body));
            assert_eq!(wrong, Err(RspError::Malformed { what }), "{body}");
        }
    }
    let other = initiate_authentication::read(&reply(&with(&body, "transactionId", json!("01"))));
    assert_eq!(other, Err(RspError::Session));
    for id in [json!("x"), json!(1)] {
        let wrong = initiate_authentication::read(&reply(&with(&body, "transactionId", id)));
        assert_eq!(wrong, Err(RspError::Malformed { what: "transactionId" }));
    }
    let url_alphabet = with(&body, "serverCertificate", json!("MIIB_-=="));
    assert!(initiate_authentication::read(&reply(&url_alphabet)).is_err());
}

#[test]
fn a_refusal_says_which_status_code_it_has() {
    let body = json!({ "header": { "functionExecutionStatus": {
        "status": "Failed",
        "statusCodeData": { "subjectCode": "8.8.1", "reasonCode": "3.8", "subjectIdentifier": "x" },
    } } });
    let Err(error) = initiate_authentication::read(&reply(&body)) else { panic!() };
    assert_eq!(error.to_string(), "the server refused with status code 8.8.1/3.8");
    let RspError::Refused(status) = error else { panic!() };
    assert_eq!(status.initiate_authentication_code(), 1);
}

#[test]
fn reads_the_profile_of_an_sm_dp_plus() {
    let message = decode_from_eim(&vector("indirect_download.jsonl", "AC-RSP-02")).unwrap();
    let EsipaMessageFromEimToIpa::AuthenticateClientResponseEsipa(
        eim_core::asn1::AuthenticateClientResponseEsipa::AuthenticateClientOkDPEsipa(ok),
    ) = message
    else {
        panic!()
    };
    let metadata = ok.profile_meta_data.unwrap();
    let body = json!({
        "header": executed(),
        "transactionId": TRANSACTION_ID,
        "profileMetadata": broken(&base64(metadata.octets())),
        "smdpSigned2": base64(ok.smdp_signed2.octets()),
        "smdpSignature2": tagged(&[0x5f, 0x37], &ok.smdp_signature2),
        "smdpCertificate": base64(ok.smdp_certificate.der()),
    });
    for body in [body.clone(), without(&body, "transactionId"), without(&body, "header")] {
        let found = authenticate_client::read(&reply(&body), ServerKind::SmDpPlus).unwrap();
        let AuthenticateClientReply::Dp(found) = found else { panic!() };
        assert_eq!(hex::encode_upper(&found.transaction_id), TRANSACTION_ID);
        assert_eq!(found.profile_meta_data, metadata);
        assert_eq!((&found.smdp_signed2, &found.smdp_certificate), (&ok.smdp_signed2, &ok.smdp_certificate));
        assert_eq!(found.smdp_signature2, ok.smdp_signature2);
    }
    let other = authenticate_client::read(&reply(&with(&body, "transactionId", json!("01"))), ServerKind::SmDpPlus);
    assert_eq!(other, Err(RspError::Session));
    for what in ["profileMetadata", "smdpSigned2", "smdpSignature2", "smdpCertificate"] {
        let wrong = authenticate_client::read(&reply(&without(&body, what)), ServerKind::SmDpPlus);
        assert_eq!(wrong, Err(RspError::Malformed { what }));
    }
    assert!(matches!(
        es9("ES9-AC-RSP-ERR"),
        RemoteProfileProvisioningResponse::AuthenticateClientResponseEs9(
            AuthenticateClientResponseEs9::AuthenticateClientError(6)
        )
    ));
}

#[test]
fn a_bound_profile_package_keeps_its_octets() {
    let RemoteProfileProvisioningResponse::GetBoundProfilePackageResponse(
        GetBoundProfilePackageResponse::GetBoundProfilePackageOk(ok),
    ) = es9("ES9-GBPP-RSP")
    else {
        panic!()
    };
    let octets = ok.bound_profile_package.octets();
    let body = json!({
        "header": executed(), "transactionId": TRANSACTION_ID, "boundProfilePackage": broken(&base64(octets)),
    });
    let found = get_bound_profile_package::read(&reply(&body)).unwrap();
    assert_eq!(found.bound_profile_package.octets(), octets);
    assert_eq!(found.transaction_id, Some(ok.transaction_id));
    assert_eq!(format!("{found:?}"), format!("GetBoundProfilePackageReply({} octets)", octets.len()));
    let found = get_bound_profile_package::read(&reply(&without(&body, "transactionId"))).unwrap();
    assert_eq!(found.transaction_id, None);

    let mut long_form = vec![0xbf, 0x36, 0x83, 0x00];
    long_form.extend_from_slice(&octets[3..]);
    let body = with(&body, "boundProfilePackage", json!(base64(&long_form)));
    let found = get_bound_profile_package::read(&reply(&body)).unwrap();
    assert_eq!(found.bound_profile_package.octets(), long_form, "a header in BER stays as it came");
}

#[test]
fn what_is_no_bound_profile_package_is_malformed() {
    let bpp = vector("sgp22.jsonl", "S22-BPP");
    let mut other_tag = bpp.clone();
    other_tag[1] = 0x37;
    let trailing = [&bpp[..], &[0x00]].concat();
    for octets in [&bpp[..bpp.len() - 1], &other_tag, &trailing, &[], &[0xbf, 0x36, 0x00]] {
        let body = json!({ "header": executed(), "boundProfilePackage": base64(octets) });
        let wrong = get_bound_profile_package::read(&reply(&body));
        assert_eq!(wrong, Err(RspError::Malformed { what: "boundProfilePackage" }));
    }
}

#[test]
fn hostile_answers_give_errors_and_no_panic() {
    let body = initiate_body(&initiate_ok()).to_string().into_bytes();
    for at in (0..body.len()).step_by(7) {
        for octet in [b'"', b'{', b'\\', 0x00, 0xff, b'A'] {
            let mut body = body.clone();
            body[at] = octet;
            let changed = RspReply { status: 200, body };
            let _ = initiate_authentication::read(&changed);
            let _ = authenticate_client::read(&changed, ServerKind::SmDs);
            let _ = get_bound_profile_package::read(&changed);
        }
    }
}
