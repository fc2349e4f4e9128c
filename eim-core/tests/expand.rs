//! Compact forms become the octets that the eUICC signed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod pki_support;

use eim_core::asn1::{
    AuthenticateServerResponse, CancelSessionResponse, CompactAuthenticateResponseOk, CompactCancelSessionResponseOk,
    CompactFinalResult, CompactPrepareDownloadResponseOk, CompactProfileInstallationResult, CtxParams1, EUICCInfo2,
    EsipaMessageFromIpaToEim, EuiccCancelSessionSigned, EuiccSigned1, FinalResult, Lenient, PendingNotification,
    PrepareDownloadResponse, Raw, SignedData, decode, decode_from_ipa,
};
use eim_core::domain::expand::{
    ExpandError, InstallationContext, Signed1Context, authenticate_server_response, cancel_session_response,
    euicc_cancel_session_signed, euicc_signed1, euicc_signed2, installation_result, other_notification,
    prepare_download_response, sent_ctx_params1,
};
use eim_core::pki::{
    AuthenticationSession, Leniency, Oid, SignatureError, TrustError, VerifiedChain, verify_authenticate_response,
    verify_cancel_session, verify_euicc_chain, verify_euicc_signed2, verify_installation_result, verify_notification,
};
use pki_support::{EID1, cert, key, lines, octets, reference_time, trust};
use serde_json::Value;

const TRANSACTION_ID: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const SERVER_CHALLENGE: &str = "ffeeddccbbaa99887766554433221100";
const SERVER_ADDRESS: &str = "smdp.test.example";
const ICCID: &str = "98444738290120000010";

fn vector(file: &str, id: &str) -> Value {
    lines(file).into_iter().find(|vector| vector["id"] == id).unwrap_or_else(|| panic!("no vector {id}"))
}

fn oid() -> Oid {
    "2.999.10".parse().unwrap()
}

fn chain() -> VerifiedChain {
    verify_euicc_chain(&trust(), &cert("nist/eum"), &cert("nist/euicc1"), reference_time(), &EID1.parse().unwrap())
        .unwrap()
}

fn relayed(id: &str) -> EsipaMessageFromIpaToEim {
    decode_from_ipa(&octets(&vector("indirect_download.jsonl", id)["der"])).unwrap()
}

/// The AuthenticateServerResponse of a vector, as it was sent.
fn bf38(id: &str) -> Raw<AuthenticateServerResponse> {
    match relayed(id) {
        EsipaMessageFromIpaToEim::AuthenticateClientRequestEsipa(request) => request.authenticate_server_response,
        _ => panic!("{id}"),
    }
}

fn compact_authenticate(id: &str) -> CompactAuthenticateResponseOk {
    match bf38(id).into_parts().0 {
        AuthenticateServerResponse::CompactAuthenticateResponseOk(compact) => compact,
        _ => panic!("{id}"),
    }
}

fn full_signed1() -> Raw<EuiccSigned1> {
    match bf38("AC-REQ-01").into_parts().0 {
        AuthenticateServerResponse::AuthenticateResponseOk(response) => response.euicc_signed1,
        _ => panic!(),
    }
}

/// EUICCInfo2 as the eIM has it stored, from a moment when the eUICC had other resources.
fn stored_info2() -> Vec<u8> {
    let now = full_signed1().value().euicc_info2.octets().to_vec();
    let at = now.windows(2).position(|octets| octets == [0x84, 0x0d]).unwrap();
    let (before, after) = (&now[..at], &now[at + 15..]);
    let stored = [before, &[0x84, 0x03, 0x81, 0x01, 0x07], after].concat();
    let contents = &stored[4..];
    [&[0xbf, 0x22, contents.len() as u8][..], contents].concat()
}

fn context(info2: &[u8]) -> Signed1Context<'_> {
    static CHALLENGE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    Signed1Context {
        transaction_id: &TRANSACTION_ID,
        server_address: SERVER_ADDRESS,
        server_challenge: CHALLENGE.get_or_init(|| hex::decode(SERVER_CHALLENGE).unwrap()),
        euicc_info2: info2,
        ctx_params1: None,
        sent_ctx_params1: None,
    }
}

fn signed1(compact: &CompactAuthenticateResponseOk, context: &Signed1Context<'_>) -> Result<Vec<u8>, ExpandError> {
    match &compact.signed_data {
        SignedData::CompactEuiccSigned1(signed) => euicc_signed1(signed, context).map(|raw| raw.octets().to_vec()),
        SignedData::EuiccSigned1(_) => panic!("not compact"),
    }
}

fn believe(bf38: &[u8]) -> Vec<Leniency> {
    let AuthenticateServerResponse::AuthenticateResponseOk(response) = decode(bf38).unwrap() else { panic!() };
    let session = AuthenticationSession {
        server_challenge: &hex::decode(SERVER_CHALLENGE).unwrap(),
        transaction_id: &TRANSACTION_ID,
        server_address: Some(SERVER_ADDRESS),
    };
    let eid = EID1.parse().unwrap();
    verify_authenticate_response(&trust(), &response, &session, reference_time(), &eid).unwrap().warnings().to_vec()
}

#[test]
fn a_compact_authentication_becomes_what_was_signed() {
    let compact = compact_authenticate("AC-REQ-COMPACT-01");
    let info2 = stored_info2();
    assert!(decode::<EUICCInfo2>(&info2).is_ok());
    let sent = bf38("AC-REQ-COMPACT-01");
    for sent_ctx_params1 in [None, sent_ctx_params1(sent.octets())] {
        let context = Signed1Context { sent_ctx_params1, ..context(&info2) };
        let signed1 = signed1(&compact, &context).unwrap();
        assert_eq!(signed1, full_signed1().octets());
        let signed1 = decode::<Raw<EuiccSigned1>>(&signed1).unwrap();
        let response = authenticate_server_response(&compact, &signed1, None).unwrap();
        assert_eq!(hex::encode(&response), hex::encode(bf38("AC-REQ-01").octets()));
        assert_eq!(believe(&response), []);
    }
}

#[test]
fn what_was_left_out_comes_from_the_session_and_the_store() {
    let compact = compact_authenticate("AC-REQ-COMPACT-02");
    assert_eq!(sent_ctx_params1(bf38("AC-REQ-COMPACT-02").octets()), None);
    let info2 = stored_info2();
    let missing = signed1(&compact, &context(&info2));
    assert_eq!(missing, Err(ExpandError::Missing { what: "ctxParams1" }));

    let own = full_signed1().value().ctx_params1.clone();
    let octets = signed1(&compact, &Signed1Context { ctx_params1: Some(&own), ..context(&info2) }).unwrap();
    let full = decode::<Raw<EuiccSigned1>>(&octets).unwrap();
    assert_eq!(full, full_signed1());
    let none = authenticate_server_response(&compact, &full, None);
    assert_eq!(none, Err(ExpandError::Missing { what: "euiccCertificate" }));
    let (euicc, eum) = (cert("nist/euicc1"), cert("nist/eum"));
    let response = authenticate_server_response(&compact, &full, Some((&euicc, &eum))).unwrap();
    assert_eq!(response, bf38("AC-REQ-01").octets());
    assert_eq!(believe(&response), []);
    let broken = authenticate_server_response(&compact, &full, Some((b"no", &eum)));
    assert!(matches!(broken, Err(ExpandError::Form { .. })), "{broken:?}");
}

#[test]
fn certificates_that_were_sent_win_over_stored_ones() {
    let compact = compact_authenticate("AC-REQ-COMPACT-01");
    let (euicc, eum) = (cert("nist/euicc2"), cert("brp/eum"));
    let response = authenticate_server_response(&compact, &full_signed1(), Some((&euicc, &eum))).unwrap();
    assert_eq!(response, bf38("AC-REQ-01").octets());
}

#[test]
fn a_full_signed1_in_the_compact_arm_keeps_its_octets() {
    let compact = compact_authenticate("AC-REQ-COMPACT-03");
    let SignedData::EuiccSigned1(signed1) = &compact.signed_data else { panic!() };
    let (euicc, eum) = (cert("nist/euicc1"), cert("nist/eum"));
    let response = authenticate_server_response(&compact, signed1, Some((&euicc, &eum))).unwrap();
    assert_eq!(response, bf38("AC-REQ-01").octets());
}

#[test]
fn fields_that_nobody_can_name_survive() {
    // EUICCInfo2 of v1.3, and ctxParams1 whose device capabilities have fields 9F7E and 9F7F.
    let info2 = octets(&vector("v13_additions.jsonl", "V13-10")["der"]);
    let resource = decode::<Lenient<EUICCInfo2>>(&info2).unwrap().into_known().unwrap().ext_card_resource;
    let params = hex::decode("a011a10f800435290611a1079f7e01059f7f00").unwrap();
    let response = {
        let signed = [&[0x84, resource.len() as u8][..], &resource, &[0xa2, params.len() as u8], &params].concat();
        let compact = [&[0xa0, signed.len() as u8][..], &signed, &[0x5f, 0x37, 0x01, 0x00]].concat();
        let arm = [&[0xa2, compact.len() as u8][..], &compact].concat();
        [&[0xbf, 0x38, arm.len() as u8][..], &arm].concat()
    };
    assert_eq!(sent_ctx_params1(&response), Some(&params[..]));
    let AuthenticateServerResponse::CompactAuthenticateResponseOk(compact) = decode(&response).unwrap() else {
        panic!()
    };
    let context = Signed1Context { sent_ctx_params1: Some(&params), ..context(&info2) };
    let signed1 = signed1(&compact, &context).unwrap();
    assert!(signed1.ends_with(&[&info2[..], &params].concat()));
}

#[test]
fn a_session_of_nonsense_is_an_error() {
    let compact = compact_authenticate("AC-REQ-COMPACT-01");
    let info2 = stored_info2();
    let form = |context| matches!(signed1(&compact, &context), Err(ExpandError::Form { what: "euiccSigned1", .. }));
    assert!(form(Signed1Context { transaction_id: &[], ..context(&info2) }));
    assert!(form(Signed1Context { transaction_id: &[0; 17], ..context(&info2) }));
    assert!(form(Signed1Context { server_challenge: &[0; 15], ..context(&info2) }));
    assert_eq!(signed1(&compact, &context(&[])), Err(ExpandError::EuiccInfo2));
    assert_eq!(signed1(&compact, &context(&[0xbf, 0x22, 0x00])), Err(ExpandError::EuiccInfo2));
}

fn bf21(id: &str) -> Raw<PrepareDownloadResponse> {
    match relayed(id) {
        EsipaMessageFromIpaToEim::GetBoundProfilePackageRequestEsipa(request) => request.prepare_download_response,
        _ => panic!("{id}"),
    }
}

fn compact_download(id: &str) -> CompactPrepareDownloadResponseOk {
    match bf21(id).into_parts().0 {
        PrepareDownloadResponse::CompactDownloadResponseOk(compact) => compact,
        _ => panic!("{id}"),
    }
}

#[test]
fn a_compact_download_becomes_what_was_signed() {
    let PrepareDownloadResponse::DownloadResponseOk(plain) = bf21("GBPP-REQ-01").into_parts().0 else { panic!() };
    let otpk = plain.euicc_signed2.value().euicc_otpk.as_slice();
    let smdp_signature2 = octets(&vector("sgp22.jsonl", "S22-SS2")["signature"]);
    for (compact, full, bpp_euicc_otpk) in [
        ("GBPP-REQ-COMPACT-01", "GBPP-REQ-01", None),
        ("GBPP-REQ-COMPACT-01", "GBPP-REQ-01", Some(&[4; 65][..])),
        ("GBPP-REQ-COMPACT-02", "GBPP-REQ-02", None),
        ("GBPP-REQ-COMPACT-03", "GBPP-REQ-01", Some(otpk)),
    ] {
        let compact = compact_download(compact);
        let signed2 = euicc_signed2(&compact.compact_euicc_signed2, &TRANSACTION_ID, bpp_euicc_otpk, None).unwrap();
        let response = prepare_download_response(&compact, &signed2).unwrap();
        assert_eq!(hex::encode(response), hex::encode(bf21(full).octets()), "{full}");
        if full == "GBPP-REQ-01" {
            verify_euicc_signed2(&chain(), &signed2, &compact.euicc_signature2, &smdp_signature2).unwrap();
        }
    }
}

#[test]
fn the_eims_own_hash_cc_fills_in_and_a_missing_key_is_an_error() {
    let PrepareDownloadResponse::DownloadResponseOk(full) = bf21("GBPP-REQ-02").into_parts().0 else { panic!() };
    let hash_cc = full.euicc_signed2.value().hash_cc.clone().unwrap();
    let mut compact = compact_download("GBPP-REQ-COMPACT-02").compact_euicc_signed2;
    compact.hash_cc = None;
    let own = <[u8; 32]>::try_from(hash_cc.as_slice()).unwrap();
    assert_eq!(euicc_signed2(&compact, &TRANSACTION_ID, None, Some(own)).unwrap(), full.euicc_signed2);
    compact.euicc_otpk = None;
    let missing = euicc_signed2(&compact, &TRANSACTION_ID, None, Some(own));
    assert_eq!(missing, Err(ExpandError::Missing { what: "euiccOtpk" }));
}

fn bf41(id: &str) -> Raw<CancelSessionResponse> {
    match relayed(id) {
        EsipaMessageFromIpaToEim::CancelSessionRequestEsipa(request) => request.cancel_session_response,
        _ => panic!("{id}"),
    }
}

fn compact_cancel(id: &str) -> CompactCancelSessionResponseOk {
    match bf41(id).into_parts().0 {
        CancelSessionResponse::CompactCancelSessionResponseOk(compact) => compact,
        _ => panic!("{id}"),
    }
}

#[test]
fn a_compact_cancelled_session_becomes_what_was_signed() {
    for (id, reason) in [("CS-REQ-COMPACT-01", None), ("CS-REQ-COMPACT-01", Some(3)), ("CS-REQ-COMPACT-02", Some(1))] {
        let compact = compact_cancel(id);
        let response = cancel_session_response(&compact, &TRANSACTION_ID, &oid(), reason).unwrap();
        assert_eq!(hex::encode(response), hex::encode(bf41("CS-REQ-1").octets()), "{id}");
        let signed = &compact.compact_euicc_cancel_session_signed;
        let signed = euicc_cancel_session_signed(signed, &TRANSACTION_ID, &oid(), reason).unwrap();
        let verified = verify_cancel_session(&chain(), &signed, &compact.euicc_cancel_session_signature).unwrap();
        assert_eq!((verified.value().reason, verified.signer().eid), (1, EID1.parse().unwrap()));
    }
    let missing = cancel_session_response(&compact_cancel("CS-REQ-COMPACT-02"), &TRANSACTION_ID, &oid(), None);
    assert_eq!(missing, Err(ExpandError::Missing { what: "reason" }));
}

#[test]
fn a_cancelled_session_is_believed_only_as_it_was_signed() {
    for reason in [0, 1, 2, 3, 4, 5, 127] {
        let response = bf41(&format!("CS-REQ-{reason}")).into_parts().0;
        let CancelSessionResponse::CancelSessionResponseOk(response) = response else { panic!() };
        let signature = &response.euicc_cancel_session_signature;
        let verified = verify_cancel_session(&chain(), &response.euicc_cancel_session_signed, signature).unwrap();
        assert_eq!(verified.value().reason, reason);
    }
    let compact = compact_cancel("CS-REQ-COMPACT-01");
    let good = &compact.euicc_cancel_session_signature;
    let signed = &compact.compact_euicc_cancel_session_signed;
    let signed_with =
        |id: &[u8], oid: &str| euicc_cancel_session_signed(signed, id, &oid.parse().unwrap(), None).unwrap();
    let verdict = |signed: &Raw<EuiccCancelSessionSigned>, signature: &[u8]| {
        verify_cancel_session(&chain(), signed, signature).map(|_| ())
    };
    let refused = |cause| Err(TrustError::Signature { signature: "euiccCancelSessionSignature", cause });
    let right = signed_with(&TRANSACTION_ID, "2.999.10");
    assert_eq!(verdict(&right, good), Ok(()));
    assert_eq!(verdict(&signed_with(&[1], "2.999.10"), good), refused(SignatureError::Mismatch));
    assert_eq!(verdict(&signed_with(&TRANSACTION_ID, "2.999.11"), good), refused(SignatureError::Mismatch));
    assert_eq!(verdict(&right, &good[..63]), refused(SignatureError::Format { octets: 63 }));
    let other = key("nist/euicc2").sign_deterministic(right.octets());
    assert_eq!(verdict(&right, &other), refused(SignatureError::Mismatch));
}

fn pending(id: &str) -> PendingNotification {
    decode(&octets(&vector("notification.jsonl", id)["der"])).unwrap()
}

fn compact_installation(id: &str) -> CompactProfileInstallationResult {
    match pending(id) {
        PendingNotification::CompactProfileInstallationResult(compact) => compact,
        _ => panic!("{id}"),
    }
}

#[test]
fn a_compact_installation_result_becomes_what_was_signed() {
    let (iccid, oid) = (hex::decode(ICCID).unwrap(), oid());
    let session = InstallationContext { notification_address: SERVER_ADDRESS, iccid: Some(&iccid), smdp_oid: &oid };
    for (compact, full) in [("PN-10-compact-pir", "PN-01-pir-ok"), ("PN-12-compact-pir-err", "PN-02-pir-err")] {
        let result = installation_result(&compact_installation(compact), &session).unwrap();
        assert_eq!(hex::encode(result.octets()), vector("notification.jsonl", full)["der"].as_str().unwrap());
        verify_installation_result(&chain(), result.value()).unwrap();
    }
}

#[test]
fn an_installation_result_without_iccid_or_with_another_response() {
    let (iccid, oid) = (hex::decode(ICCID).unwrap(), oid());
    let session = InstallationContext { notification_address: SERVER_ADDRESS, iccid: Some(&iccid), smdp_oid: &oid };
    let without = installation_result(&compact_installation("PN-11-compact-pir-noiccid"), &session).unwrap();
    let data = without.value().profile_installation_result_data.value();
    assert_eq!(data.notification_metadata.value().iccid, None);

    let compact = compact_installation("PN-13-compact-pir-sima");
    let other = installation_result(&compact, &session).unwrap();
    let data = other.value().profile_installation_result_data.value();
    let FinalResult::SuccessResult(success) = &data.final_result else { panic!() };
    assert_eq!(hex::encode(&success.aid), "a0000005591010ffffffff8900001100");
    assert_eq!(hex::encode(&success.sima_response), "3007a0053003800101");
    // The vector is a structure example: its signature is that of the other response.
    assert!(verify_installation_result(&chain(), other.value()).is_err());
    assert!(matches!(
        compact.compact_profile_installation_result_data.compact_final_result,
        CompactFinalResult::CompactSuccessResult(_)
    ));

    let unknown = InstallationContext { iccid: None, ..session };
    let missing = installation_result(&compact, &unknown);
    assert_eq!(missing, Err(ExpandError::Missing { what: "iccid" }));
}

#[test]
fn a_compact_notification_gets_the_stored_certificates() {
    for id in ["PN-14-compact-other", "PN-15-compact-other-noeid"] {
        let PendingNotification::CompactOtherSignedNotification(compact) = pending(id) else { panic!("{id}") };
        let full = other_notification(&compact, &cert("nist/euicc1"), &cert("nist/eum")).unwrap();
        assert_eq!(full.octets()[0], 0x30);
        verify_notification(&trust(), full.value(), reference_time(), &EID1.parse().unwrap()).unwrap();
        assert_eq!(decode::<PendingNotification>(full.octets()).unwrap(), {
            PendingNotification::OtherSignedNotification(full.value().clone())
        });
        assert!(other_notification(&compact, b"", &cert("nist/eum")).is_err());
    }
}

#[test]
fn ctx_params1_are_found_only_where_they_belong() {
    let full = bf38("AC-REQ-01");
    assert_eq!(sent_ctx_params1(full.octets()), None);
    let sent = bf38("AC-REQ-COMPACT-01");
    let found = sent_ctx_params1(sent.octets()).unwrap();
    assert_eq!(decode::<CtxParams1>(found).unwrap(), full_signed1().value().ctx_params1);
}
