//! What the eUICC does in a profile download, call by call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

#[path = "support/rsp.rs"]
mod rsp;

use eim_core::asn1::{
    self, AuthenticateResponseOk, AuthenticateServerResponse, CancelSessionResponse, CancelSessionResponseOk,
    OctetString, Octets, OperatorId, OtherSignedNotification, PprFlags, PprIds, PrepareDownloadResponse,
    PrepareDownloadResponseOk, ProfileInstallationResult, ProfilePolicyAuthorisationRule,
};
use eim_core::ids::Iccid;
use eim_core::pki::{self, AuthenticationSession, Curve, TrustStore, VerifiedChain};
use eim_simulator::euicc::{Euicc, EuiccError, Faults, NotificationKind, Profile, ProfileClass};
use eim_simulator::tlv::{Tlv, element};
use rsp::{Rsp, ci_key_id, der, key, metadata, signature};

const ADDRESS: &str = "smdp.test.example";
const CTX: [u8; 12] = [0xa0, 10, 0xa1, 8, 0x80, 4, 0x35, 0x20, 0x99, 0, 0xa1, 0];

fn iccid() -> Iccid {
    "8999000000000000042".parse().unwrap()
}

fn card() -> Euicc {
    Euicc::new(rsp::pki().euicc(Curve::P256, "euicc1").unwrap()).trusting(der("ci"))
}

fn server() -> Rsp {
    Rsp::new(ADDRESS, iccid().octets())
}

fn chain(euicc: &Euicc) -> VerifiedChain {
    let trust = TrustStore::from_certificates([der("ci")]).unwrap();
    let identity = euicc.identity();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    pki::verify_euicc_chain(&trust, &identity.eum_certificate, &identity.certificate, now, &identity.eid).unwrap()
}

fn authenticate(euicc: &mut Euicc, server: &mut Rsp) -> Vec<u8> {
    let challenge = euicc.get_euicc_challenge();
    let [signed, signature, certificate] = server.initiated(&challenge);
    let response = euicc.authenticate_server(&signed, &signature, &ci_key_id(), &certificate, &CTX).unwrap();
    server.note_response(&response);
    response
}

fn prepare(euicc: &mut Euicc, server: &mut Rsp) -> Vec<u8> {
    authenticate(euicc, server);
    let [signed, signature, certificate] = server.offer();
    euicc.prepare_download(&signed, &signature, &certificate, None).unwrap()
}

fn install(euicc: &mut Euicc, server: &mut Rsp) -> Vec<u8> {
    let response = prepare(euicc, server);
    let package = server.bound(&response);
    euicc.load_bound_profile_package(&package).unwrap()
}

fn authenticated(response: &[u8]) -> AuthenticateResponseOk {
    match asn1::decode(response).unwrap() {
        AuthenticateServerResponse::AuthenticateResponseOk(ok) => ok,
        other => panic!("{other:?}"),
    }
}

fn prepared(response: &[u8]) -> PrepareDownloadResponseOk {
    match asn1::decode(response).unwrap() {
        PrepareDownloadResponse::DownloadResponseOk(ok) => ok,
        other => panic!("{other:?}"),
    }
}

fn cancelled(response: &[u8]) -> CancelSessionResponseOk {
    match asn1::decode(response).unwrap() {
        CancelSessionResponse::CancelSessionResponseOk(ok) => ok,
        other => panic!("{other:?}"),
    }
}

/// The code of `tag { A1 { 80, 02 } }`.
fn code(response: &[u8]) -> Option<i64> {
    let arm = Tlv::only(Tlv::only(response)?.content).filter(|arm| arm.tag == 0xa1)?;
    assert_eq!(arm.child(0x80).unwrap().content, [0xaa; 16]);
    arm.child(0x02)?.integer()
}

/// bppCommandId and errorReason of a result whose signature verifies.
fn refusal(euicc: &Euicc, pir: &[u8]) -> (i64, i64) {
    let result: ProfileInstallationResult = asn1::decode(pir).unwrap();
    pki::verify_installation_result(&chain(euicc), &result).unwrap();
    let data = Tlv::only(pir).unwrap().child(0xbf27).unwrap();
    let error = data.child(0xa2).unwrap().child(0xa1).unwrap();
    (error.child(0x80).unwrap().integer().unwrap(), error.child(0x81).unwrap().integer().unwrap())
}

#[test]
fn a_server_that_proves_itself_gets_a_signed_answer() {
    let (mut euicc, mut server) = (card(), server());
    let response = authenticated(&authenticate(&mut euicc, &mut server));
    let session = AuthenticationSession {
        server_challenge: &[0xcc; 16],
        transaction_id: &[0xaa; 16],
        server_address: Some("SMDP.test.example"),
    };
    let trust = TrustStore::from_certificates([der("ci")]).unwrap();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let verified = pki::verify_authenticate_response(&trust, &response, &session, now, &euicc.eid()).unwrap();
    assert_eq!(verified.value().euicc_info2.octets(), euicc.euicc_info2().unwrap());
    assert_eq!(Tlv::only(response.euicc_signed1.octets()).unwrap().child(0xa0).unwrap().octets, CTX);
    assert!(euicc.has_cancellable_session());

    // every session has its own challenge, and the same calls give the same
    let first = card().get_euicc_challenge();
    let mut again = card();
    assert_eq!(again.get_euicc_challenge(), first);
    assert_ne!(again.get_euicc_challenge(), first);

    euicc.faults.wrong_euicc_signature1 = true;
    let response = authenticated(&authenticate(&mut euicc, &mut server));
    assert!(pki::verify_authenticate_response(&trust, &response, &session, now, &euicc.eid()).is_err());

    let other = rsp::pki().euicc(Curve::P256, "euicc2").unwrap();
    euicc.faults = Faults { foreign: Some(Box::new(other.clone())), ..Faults::default() };
    let response = authenticated(&authenticate(&mut euicc, &mut server));
    assert!(pki::verify_authenticate_response(&trust, &response, &session, now, &euicc.eid()).is_err());
    assert!(pki::verify_authenticate_response(&trust, &response, &session, now, &other.eid).is_ok());
}

#[test]
fn a_server_that_does_not_prove_itself_is_refused_with_the_code_of_the_reason() {
    let server = server();
    let check = |expected, euicc: &mut Euicc, change: &dyn Fn(&mut [Vec<u8>; 3]), ci: &[u8]| {
        let challenge = euicc.get_euicc_challenge();
        let mut parts = server.initiated(&challenge);
        change(&mut parts);
        let [signed, signature, certificate] = parts;
        let response = euicc.authenticate_server(&signed, &signature, ci, &certificate, &CTX).unwrap();
        assert_eq!(code(&response), Some(expected));
        assert!(!euicc.has_cancellable_session());
    };
    let ci = ci_key_id();
    let certificate = |name: &'static str| move |parts: &mut [Vec<u8>; 3]| parts[2] = der(name);
    check(1, &mut card(), &certificate("dp_auth_untrusted"), &ci);
    check(1, &mut card(), &certificate("dp_pb"), &ci);
    check(2, &mut card(), &certificate("dp2_auth"), &ci);
    check(2, &mut card(), &|parts| *parts[1].last_mut().unwrap() ^= 1, &ci);
    check(7, &mut card(), &|_| {}, &[1; 20]);
    check(7, &mut Euicc::new(card().identity().clone()), &|_| {}, &ci);
    let other = |parts: &mut [Vec<u8>; 3]| {
        parts[0] = server.server_signed1(&[9; 16]);
        parts[1] = signature(&key("dp_auth"), &parts[0]);
    };
    check(6, &mut card(), &other, &ci);
    let mut euicc = card();
    euicc.faults.authenticate_error = Some(127);
    check(127, &mut euicc, &|_| {}, &ci);

    let [signed, signature, certificate] = server.initiated(&[0; 16]);
    let response = card().authenticate_server(&signed, &signature, &ci, &certificate, &CTX).unwrap();
    assert_eq!(code(&response), Some(4));
    let garbage = card().authenticate_server(&[0x30, 0], &signature, &ci, &certificate, &CTX);
    assert!(matches!(garbage, Err(EuiccError::Command { .. })));
}

#[test]
fn a_download_is_prepared_for_the_server_that_was_authenticated() {
    let (mut euicc, mut server) = (card(), server());
    let hash = pki::hash_cc("1234", &server.transaction);
    authenticate(&mut euicc, &mut server);
    let [signed, sign, certificate] = server.offer();
    let response = euicc.prepare_download(&signed, &sign, &certificate, Some(hash)).unwrap();
    let ok = prepared(&response);
    let smdp_signature2 = Tlv::only(&sign).unwrap().content;
    let signature2 = ok.euicc_signature2.to_vec();
    let verified = pki::verify_euicc_signed2(&chain(&euicc), &ok.euicc_signed2, &signature2, smdp_signature2).unwrap();
    let otpk = verified.value().euicc_otpk.to_vec();
    assert_eq!((otpk.len(), verified.value().hash_cc.as_deref()), (65, Some(&hash[..])));

    // the server still has a package for that key; another session has another one
    server.known_otpk = Some(otpk.clone());
    let again = prepared(&prepare(&mut euicc, &mut server));
    assert_eq!(again.euicc_signed2.value().euicc_otpk.to_vec(), otpk);
    server.known_otpk = None;
    let other = prepared(&prepare(&mut euicc, &mut server));
    assert_ne!(other.euicc_signed2.value().euicc_otpk.to_vec(), otpk);

    euicc.faults.wrong_euicc_signature2 = true;
    let wrong = prepared(&prepare(&mut euicc, &mut server));
    let [_, sign, _] = server.offer();
    let (signature2, smdp_signature2) = (wrong.euicc_signature2.to_vec(), Tlv::only(&sign).unwrap().content);
    let verdict = pki::verify_euicc_signed2(&chain(&euicc), &wrong.euicc_signed2, &signature2, smdp_signature2);
    assert!(verdict.is_err());
}

#[test]
fn a_download_that_is_not_in_order_is_not_prepared() {
    let check = |expected, change: &dyn Fn(&Rsp, &mut [Vec<u8>; 3])| {
        let (mut euicc, mut server) = (card(), server());
        authenticate(&mut euicc, &mut server);
        let mut parts = server.offer();
        change(&server, &mut parts);
        let [signed, signature, certificate] = parts;
        let response = euicc.prepare_download(&signed, &signature, &certificate, None).unwrap();
        let arm = Tlv::only(Tlv::only(&response).unwrap().content).unwrap();
        assert_eq!((arm.tag, arm.child(0x02).and_then(|code| code.integer())), (0xa1, Some(expected)));
        assert!(euicc.has_cancellable_session());
        assert_eq!(euicc.load_bound_profile_package(&server.package), Err(EuiccError::Session));
    };
    check(1, &|_, parts| parts[2] = der("dp2_pb"));
    check(1, &|_, parts| parts[2] = der("dp_auth"));
    check(2, &|_, parts| *parts[1].last_mut().unwrap() ^= 1);
    check(5, &|server, parts| {
        let other =
            Rsp { transaction: vec![1; 16], euicc_signature1: server.euicc_signature1.clone(), ..self::server() };
        *parts = other.offer();
    });
    let mut euicc = card();
    euicc.faults.prepare_error = Some(127);
    assert_eq!(code(&prepare(&mut euicc, &mut server())), Some(127));
    let [signed, signature, certificate] = server().offer();
    let response = card().prepare_download(&signed, &signature, &certificate, None).unwrap();
    assert_eq!(code(&response), Some(4));
}

#[test]
fn an_installed_profile_is_what_its_metadata_says_and_is_reported() {
    let (mut euicc, mut server) = (card(), server());
    let rest = [element(0xb7, &[&element(0x80, &[&[9, 0xf1, 7]])]), element(0x9f67, &[&[0xff]])].concat();
    server.metadata = metadata(iccid().octets(), ADDRESS, &rest);
    server.size = 5000;
    let pir = install(&mut euicc, &mut server);
    let result: ProfileInstallationResult = asn1::decode(&pir).unwrap();
    let verified = pki::verify_installation_result(&chain(&euicc), &result).unwrap();
    let metadata = verified.value().notification_metadata.value();
    assert_eq!((&*metadata.notification_address, metadata.seq_number), (ADDRESS, 1));
    assert_eq!(verified.value().smdp_oid.to_string(), "2.999.10");
    let data = Tlv::only(&pir).unwrap().child(0xbf27).unwrap();
    let success = data.child(0xa2).unwrap().child(0xa0).unwrap();
    assert_eq!(hex::encode(success.child(0x4f).unwrap().content), "a0000005591010ffffffff8900001100");
    assert_eq!(hex::encode(success.child(0x04).unwrap().content), "3007a0053003800100");

    let profile = euicc.profile(&iccid()).unwrap();
    assert_eq!((profile.name.as_str(), profile.service_provider.as_str()), ("Plan", "Operator"));
    assert!(!profile.enabled && profile.fallback_allowed && profile.class == ProfileClass::Operational);
    assert_eq!(
        (profile.size, profile.owner.as_ref().map(|owner| owner.mcc_mnc.to_vec())),
        (5000, Some(vec![9, 0xf1, 7]))
    );

    // the result first, then the notification that its configuration asks for
    let pending: Vec<_> =
        euicc.notifications().iter().map(|found| (found.seq_number, found.event, found.kind)).collect();
    assert_eq!(pending, [(1, 0, NotificationKind::InstallationResult), (2, 0, NotificationKind::OtherSigned)]);
    euicc.enable_locally(&iccid());
    let enabled = euicc.notifications().last().unwrap();
    let notification: OtherSignedNotification = asn1::decode(&enabled.octets).unwrap();
    assert_eq!(&*notification.tbs_other_notification.value().notification_address, "other.example");
    assert_eq!((enabled.event, euicc.notifications().len()), (1, 3));
    assert!(!euicc.has_cancellable_session());

    let mut wrong = card();
    wrong.faults.pir_wrong_key = true;
    let result: ProfileInstallationResult = asn1::decode(&install(&mut wrong, &mut server)).unwrap();
    assert!(pki::verify_installation_result(&chain(&wrong), &result).is_err());
}

#[test]
fn a_profile_that_may_not_be_is_refused_with_the_reason() {
    let mut euicc = card().with_profile(Profile::operational(iccid(), "there already"));
    let pir = install(&mut euicc, &mut server());
    assert_eq!(refusal(&euicc, &pir), (2, 9));
    assert_eq!((euicc.profiles().len(), euicc.notifications().len()), (1, 1));

    let mut euicc = card();
    euicc.limits.profile_bytes = 999;
    let pir = install(&mut euicc, &mut server());
    assert_eq!(refusal(&euicc, &pir), (5, 10));

    // a package for another key
    let mut euicc = card();
    let mut other = server();
    let response = prepare(&mut euicc, &mut other);
    let package = other.bound(&response);
    euicc.get_euicc_challenge();
    prepare(&mut euicc, &mut other);
    let pir = euicc.load_bound_profile_package(&package).unwrap();
    assert_eq!(refusal(&euicc, &pir).0, 0);
    let metadata = Tlv::only(&pir).unwrap().child(0xbf27).unwrap().child(0xbf2f).unwrap();
    assert_eq!(metadata.child(0x5a), None);

    euicc.faults.install_error = Some((5, 12));
    let pir = install(&mut euicc, &mut server());
    assert_eq!(refusal(&euicc, &pir), (5, 12));
    assert!(euicc.profiles().is_empty());
}

#[test]
fn policy_rules_need_an_entry_for_the_owner_and_must_not_be_forbidden() {
    let operator = |digits: [u8; 3], gid1: Option<&[u8]>| OperatorId {
        mcc_mnc: Octets::from_array(digits),
        gid1: gid1.map(|gid1| OctetString::from_vec(gid1.to_vec())),
        gid2: None,
    };
    let rule = |bit, operator| ProfilePolicyAuthorisationRule {
        ppr_ids: PprIds::of([bit]).unwrap(),
        allowed_operators: vec![operator],
        ppr_flags: PprFlags::none(),
    };
    let owner = element(0xb7, &[&element(0x80, &[&[9, 0xf1, 7]])]);
    // PPR2
    let rules = element(0x99, &[&[5, 0x20]]);
    let check = |expected: bool, table: Vec<ProfilePolicyAuthorisationRule>, rest: &[&[u8]], forbidden: &[u32]| {
        let (mut euicc, mut server) = (card(), server());
        euicc.rules_authorisation_table = table;
        euicc.forbidden_profile_policy_rules = PprIds::of(forbidden.iter().copied()).unwrap();
        server.metadata = metadata(iccid().octets(), ADDRESS, &rest.concat());
        let pir = install(&mut euicc, &mut server);
        assert_eq!(euicc.profile(&iccid()).map(|profile| profile.ppr2), expected.then_some(true));
        if !expected {
            assert_eq!(refusal(&euicc, &pir), (2, 15));
        }
    };
    check(false, vec![], &[&owner, &rules], &[]);
    check(true, vec![rule(2, operator([9, 0xf1, 7], None))], &[&owner, &rules], &[]);
    check(true, vec![rule(2, operator([0xee; 3], None))], &[&owner, &rules], &[]);
    check(true, vec![rule(2, operator([9, 0xf1, 7], Some(&[])))], &[&owner, &rules], &[]);
    check(false, vec![rule(2, operator([9, 0xf1, 7], Some(&[1])))], &[&owner, &rules], &[]);
    check(false, vec![rule(2, operator([9, 0xf1, 8], None))], &[&owner, &rules], &[]);
    check(false, vec![rule(1, operator([0xee; 3], None))], &[&owner, &rules], &[]);
    check(false, vec![rule(2, operator([0xee; 3], None))], &[&rules], &[]);
    check(false, vec![rule(2, operator([0xee; 3], None))], &[&owner, &rules], &[2]);
}

#[test]
fn a_cancelled_session_is_signed_for_the_server_and_over() {
    let (mut euicc, mut server) = (card(), server());
    prepare(&mut euicc, &mut server);
    let unknown = euicc.cancel_session(&[1], 0);
    assert_eq!(
        asn1::decode::<CancelSessionResponse>(&unknown).unwrap(),
        CancelSessionResponse::CancelSessionResponseError(5)
    );
    let ok = cancelled(&euicc.cancel_session(&server.transaction, 3));
    let signed = ok.euicc_cancel_session_signed;
    chain(&euicc).key().verify(signed.octets(), &ok.euicc_cancel_session_signature).unwrap();
    assert_eq!((signed.value().reason, signed.value().smdp_oid.to_string()), (3, "2.999.10".to_owned()));
    assert_eq!(euicc.load_bound_profile_package(&server.package), Err(EuiccError::Session));

    euicc.faults.wrong_cancel_signature = true;
    authenticate(&mut euicc, &mut server);
    let wrong = cancelled(&euicc.cancel_session(&server.transaction, 0));
    let signed = wrong.euicc_cancel_session_signed;
    assert!(chain(&euicc).key().verify(signed.octets(), &wrong.euicc_cancel_session_signature).is_err());
}
