//! The simulated SM-DP+ and SM-DS: what they give, what they check, and how they misbehave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

#[path = "support/lpa.rs"]
mod lpa;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eim_core::asn1::{self, BoundProfilePackage, PprIds, StoreMetadataRequest};
use eim_core::pki::{Curve, Oid, ServerRole, TrustStore, verify_server_certificate};
use eim_simulator::ipa::{TlsVersions, client_config};
use eim_simulator::pki::{FleetPki, ServerCertificateFault, ServerCertificateRole};
use eim_simulator::rsp::{
    Order, OrderState, Refuse, RspFunction, SmdpFaults, SmdpOptions, SmdpServer, SmdsOptions, SmdsServer, TlsFault,
    TransportFault,
};
use lpa::{Lpa, NOW, octets, refusal, transaction_id};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const ICCID: &str = "8944748392100200000";

fn order(matching_id: &str) -> Order {
    Order::new(matching_id, ICCID.parse().unwrap(), "Profile 1")
}

fn oid(server: &SmdpServer) -> Vec<u8> {
    server.oid().parse::<Oid>().unwrap().octets().to_vec()
}

struct Bench {
    pki: FleetPki,
    server: SmdpServer,
    lpa: Lpa,
}

impl Bench {
    async fn new() -> Self {
        Self::on(Curve::P256).await
    }

    async fn on(curve: Curve) -> Self {
        let pki = FleetPki::generate_on(curve, 21).unwrap();
        let server = SmdpServer::start(&pki, SmdpOptions::default()).await.unwrap();
        let lpa = Lpa::new(&pki, 0, server.socket(), server.address(), false);
        Self { pki, server, lpa }
    }

    fn lpa(&self, index: u32) -> Lpa {
        Lpa::new(&self.pki, index, self.server.socket(), self.server.address(), false)
    }

    fn state(&self, matching_id: &str) -> OrderState {
        self.server.order_state(matching_id).unwrap()
    }

    /// The refusal that AuthenticateClient with this matching identifier gives.
    async fn refused(&self, matching_id: Option<&str>) -> String {
        refusal(&self.lpa.authenticate(&self.lpa.initiate().await, matching_id).await.0)
    }
}

#[test]
fn server_certificates_pass_in_their_role_and_their_faults_are_refused() {
    use ServerCertificateFault::{Expired, OtherOid, UntrustedCi, WrongRole};
    for curve in [Curve::P256, Curve::BrainpoolP256r1] {
        let pki = FleetPki::generate_on(curve, 7).unwrap();
        let trust = TrustStore::from_certificates([pki.ci_certificate()]).unwrap();
        for (role, stated) in [
            (ServerCertificateRole::DpAuth, ServerRole::DpAuth),
            (ServerCertificateRole::DpPb, ServerRole::DpPb),
            (ServerCertificateRole::DpTls, ServerRole::DpTls),
            (ServerCertificateRole::DsAuth, ServerRole::DsAuth),
            (ServerCertificateRole::DsTls, ServerRole::DsTls),
        ] {
            let good = pki.server(role, "smdp.example", "2.999.10").unwrap();
            let verify = |der: &[u8]| verify_server_certificate(&trust, der, stated, NOW.parse().unwrap());
            let server = verify(&good.certificate).unwrap();
            assert_eq!(server.key(), good.key.public_key());
            assert_eq!(server.signer().oid.as_ref().unwrap().to_string(), "2.999.10");
            let names: &[&str] = if stated.is_tls() { &["smdp.example"] } else { &[] };
            assert_eq!(server.dns_names(), names);
            let bad = |fault| {
                let bad = pki.faulty_server(role, "smdp.example", "2.999.10", fault).unwrap();
                assert_eq!(bad.key.public_key(), good.key.public_key());
                verify(&bad.certificate)
            };
            assert_eq!(bad(Expired).unwrap_err().reason(), "certificate-expired");
            assert_eq!(bad(UntrustedCi).unwrap_err().reason(), "chain");
            assert_eq!(bad(WrongRole).unwrap_err().reason(), "certificate-policy");
            assert_eq!(bad(OtherOid).unwrap().signer().oid.as_ref().unwrap().to_string(), "2.999.10.99");
        }
        assert!(pki.server(ServerCertificateRole::DpTls, "smdp.example", "no oid").is_err());
    }
}

#[tokio::test]
async fn a_profile_is_downloaded_opened_and_reported_as_installed() {
    for curve in [Curve::P256, Curve::BrainpoolP256r1] {
        let Bench { server, lpa, .. } = Bench::on(curve).await;
        let rules = PprIds::of([1]).unwrap();
        let mut wanted = order("MATCH-1").for_eid(lpa.euicc.eid).notifying("notify.example").with_size(5000);
        wanted.protection_keys = true;
        server.add_order(wanted.with_rules(rules.clone(), [0x62, 0xf2, 0x10]));

        let initiated = lpa.initiate().await;
        let auth = lpa.check_server(&initiated).unwrap();
        let id = transaction_id(&initiated);
        assert_eq!(id.len(), 16);
        assert_eq!(server.order_state("MATCH-1"), Some(OrderState::Released));

        let (answer, signature1) = lpa.authenticate(&initiated, Some("MATCH-1")).await;
        let (pb, signed2) = lpa.check_smdp(&auth, &answer, &signature1).unwrap();
        assert!(!signed2.cc_required_flag);
        assert_eq!(signed2.transaction_id.as_slice(), id);
        let metadata_octets = octets(&answer, "profileMetadata");
        let metadata: StoreMetadataRequest = asn1::decode(&metadata_octets).unwrap();
        assert_eq!(metadata.profile_policy_rules, Some(rules));
        assert_eq!(metadata.notification_configuration_info.unwrap()[0].notification_address, "notify.example");
        assert_eq!(server.order_state("MATCH-1"), Some(OrderState::Authenticated));

        let bound = lpa.prepare(&id, &answer, None).await;
        asn1::decode::<BoundProfilePackage>(&octets(&bound, "boundProfilePackage")).unwrap();
        let opened = lpa.open(&id, &bound, &pb).unwrap();
        assert_eq!((opened.metadata, opened.profile.len()), (metadata_octets, 5000));
        assert_eq!(server.order_state("MATCH-1"), Some(OrderState::Bound));
        assert_eq!(lpa.prepare(&id, &answer, None).await, bound, "rebinding gives the same package");

        let result = lpa.installation_result(&id, &oid(&server), true);
        for _ in 0..2 {
            let reply = lpa.notify(&result).await;
            assert_eq!((reply.status, reply.body.as_slice()), (204, &[][..]));
        }
        assert_eq!(lpa.notify(&lpa.other_notification()).await.status, 204);
        assert_eq!(server.notifications(), [result.clone(), result, lpa.other_notification()]);
        assert_eq!(server.order_state("MATCH-1"), Some(OrderState::Installed));
        assert_eq!(refusal(&lpa.prepare(&id, &answer, None).await), "8.10.1/3.9", "the session has ended");

        let calls = server.calls();
        assert_eq!(calls.len(), 8);
        assert_eq!(calls[0].function, "initiateAuthentication");
        assert_eq!(calls[0].request["smdpAddress"], json!(lpa.address));
        assert_eq!(calls[0].x_admin_protocol.as_deref(), Some("gsma/rsp/v2.5.0"));
        assert_eq!(calls[0].user_agent.as_deref(), Some("gsma-rsp-lpad"));
        assert_eq!(calls.iter().map(|call| call.status).collect::<Vec<_>>(), [200, 200, 200, 200, 204, 204, 204, 200]);
        assert_eq!(calls[7].refused, Some(("8.10.1".to_owned(), "3.9".to_owned())));
        server.stop().await;
        assert!(lpa.post("initiateAuthentication", &lpa.initiate_request()).await.is_err());
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_session() {
    let (one, other) = (Bench::new().await, Bench::new().await);
    let (first, second) = (one.lpa.initiate().await, one.lpa.initiate().await);
    assert_ne!(transaction_id(&first), transaction_id(&second));
    assert_eq!(transaction_id(&other.lpa.initiate().await), transaction_id(&first));
}

#[tokio::test]
async fn a_confirmation_code_is_asked_for_checked_and_used_up() {
    let bench = Bench::new().await;
    let Bench { server, lpa, .. } = &bench;
    for matching_id in ["GOOD", "BAD"] {
        server.add_order(order(matching_id).with_confirmation_code("1234"));
    }
    let initiated = lpa.initiate().await;
    let id = transaction_id(&initiated);
    let (answer, signature1) = lpa.authenticate(&initiated, Some("GOOD")).await;
    let (pb, signed2) = lpa.check_smdp(&lpa.check_server(&initiated).unwrap(), &answer, &signature1).unwrap();
    assert!(signed2.cc_required_flag);
    assert_eq!(refusal(&lpa.prepare(&id, &answer, None).await), "8.2.7/2.2");
    assert_eq!(refusal(&lpa.prepare(&id, &answer, Some("4321")).await), "8.2.7/3.8");
    let bound = lpa.prepare(&id, &answer, Some("1234")).await;
    assert_eq!(lpa.open(&id, &bound, &pb).unwrap().profile.len(), 4000);

    let initiated = lpa.initiate().await;
    let id = transaction_id(&initiated);
    let (answer, _) = lpa.authenticate(&initiated, Some("BAD")).await;
    for expected in ["8.2.7/3.8", "8.2.7/3.8", "8.2.7/6.4"] {
        assert_eq!(refusal(&lpa.prepare(&id, &answer, Some("4321")).await), expected);
    }
    assert_eq!(refusal(&lpa.prepare(&id, &answer, Some("1234")).await), "8.2.7/6.4");
    assert_eq!(bench.state("BAD"), OrderState::Failed);
    assert_eq!(bench.refused(Some("BAD")).await, "8.8.5/6.4");
}

#[tokio::test]
async fn a_default_order_is_found_by_its_eid_without_a_matching_identifier() {
    let bench = Bench::new().await;
    assert_eq!(bench.refused(None).await, "8.2.6/3.8");
    bench.server.add_order(order("").for_eid(bench.lpa(1).euicc.eid).as_default());
    assert_eq!(bench.refused(Some("")).await, "8.2.6/3.8", "it is another eUICC's");
    bench.server.add_order(order("HIDDEN").for_eid(bench.lpa.euicc.eid).as_default());
    assert_eq!(bench.refused(Some("")).await, "");
    assert_eq!(bench.refused(None).await, "");
}

#[tokio::test]
async fn what_an_euicc_must_not_say_is_refused_with_its_code() {
    let bench = Bench::new().await;
    let Bench { server, lpa, .. } = &bench;
    server.add_order(order("MINE").for_eid(bench.lpa.euicc.eid));
    server.add_order(order("OTHERS").for_eid(bench.lpa(1).euicc.eid));
    let with = |member: &str, value| {
        let mut request = lpa.initiate_request();
        request[member] = value;
        request
    };
    let mut foreign_info = octets(&lpa.initiate_request(), "euiccInfo1");
    *foreign_info.last_mut().unwrap() ^= 1;
    let foreign_info = with("euiccInfo1", json!(STANDARD.encode(foreign_info)));
    for (request, expected) in [
        (with("smdpAddress", json!("other.example")), "8.8.1/3.8"),
        (foreign_info, "8.8.2/3.1"),
        (with("euiccChallenge", json!("AAAA")), "1.2.1/2.1"),
        (with("euiccInfo1", json!("?")), "1.2.1/2.1"),
        (json!({}), "1.2.1/2.2"),
    ] {
        assert_eq!(refusal(&lpa.call("initiateAuthentication", &request).await), expected);
    }

    assert_eq!(bench.refused(Some("UNKNOWN")).await, "8.2.6/3.8");
    assert_eq!(bench.refused(Some("OTHERS")).await, "8.1.1/3.8");
    let foreign_pki = FleetPki::generate(22).unwrap();
    let mut foreign = lpa.clone();
    foreign.euicc = foreign_pki.euicc(0).unwrap();
    assert_eq!(refusal(&foreign.authenticate(&lpa.initiate().await, Some("MINE")).await.0), "8.11.1/3.9");
    let mut forger = lpa.clone();
    forger.euicc.key = bench.lpa(1).euicc.key;
    assert_eq!(refusal(&forger.authenticate(&lpa.initiate().await, Some("MINE")).await.0), "8.1/6.1");
    // signed for one session, sent in another
    let (mut request, _) = lpa.authenticate_request(&lpa.initiate().await, Some("MINE"));
    request["transactionId"] = lpa.initiate().await["transactionId"].clone();
    assert_eq!(refusal(&lpa.call("authenticateClient", &request).await), "8.1/6.1");
    request["transactionId"] = json!("00");
    assert_eq!(refusal(&lpa.call("authenticateClient", &request).await), "8.10.1/3.9");

    let initiated = lpa.initiate().await;
    let id = transaction_id(&initiated);
    let early = lpa.prepare_request(&id, &json!({ "smdpSignature2": "XzcBAA==" }), None);
    assert_eq!(refusal(&lpa.call("getBoundProfilePackage", &early).await), "8.10.1/3.9");
    let (answer, _) = lpa.authenticate(&initiated, Some("MINE")).await;
    assert_eq!(refusal(&forger.prepare(&id, &answer, None).await), "8.1/6.1");

    let refused_notification = |octets: Vec<u8>| async move { refusal(&lpa.notify(&octets).await.json()) };
    let oid = oid(server);
    assert_eq!(refused_notification(forger.installation_result(&id, &oid, true)).await, "8.1/6.1");
    assert_eq!(refused_notification(lpa.installation_result(&id, &oid[1..], true)).await, "8.8/3.10");
    assert_eq!(refused_notification(lpa.installation_result(&[1], &oid, true)).await, "8.10.1/3.9");
    assert_eq!(refused_notification(forger.other_notification()).await, "8.1/6.1");
    assert_eq!(refused_notification(foreign.other_notification()).await, "8.1/6.1");
    assert!(server.notifications().is_empty());
    assert_eq!(bench.state("MINE"), OrderState::Authenticated);
    assert_eq!(lpa.notify(&lpa.installation_result(&id, &oid, false)).await.status, 204);
    assert_eq!(bench.state("MINE"), OrderState::Failed);
    assert_eq!(bench.refused(Some("MINE")).await, "8.2.6/3.8");
}

#[tokio::test]
async fn a_session_is_cancelled_by_who_signs_for_it() {
    let bench = Bench::new().await;
    let Bench { server, lpa, .. } = &bench;
    server.add_order(order("MINE"));
    let oid = oid(server);
    let cancel = |request| async move { refusal(&lpa.call("cancelSession", &request).await) };
    for (reason, is_final) in [(1, false), (2, false), (3, true)] {
        let initiated = lpa.initiate().await;
        let id = transaction_id(&initiated);
        assert_eq!(cancel(lpa.cancel_request(&id, &oid, reason)).await, "8.1/6.1", "nobody is authenticated yet");
        lpa.authenticate(&initiated, Some("MINE")).await;
        let mut forger = lpa.clone();
        forger.euicc.key = bench.lpa(1).euicc.key;
        assert_eq!(cancel(forger.cancel_request(&id, &oid, reason)).await, "8.1/6.1");
        assert_eq!(cancel(lpa.cancel_request(&id, &oid[1..], reason)).await, "8.8/3.10");
        assert_eq!(cancel(lpa.cancel_request(&id, &oid, reason)).await, "");
        assert_eq!(bench.state("MINE"), OrderState::Cancelled(reason));
        assert_eq!(cancel(lpa.cancel_request(&id, &oid, reason)).await, "8.10.1/3.9");
        let expected = if is_final { "8.2.6/3.8" } else { "" };
        assert_eq!(bench.refused(Some("MINE")).await, expected);
    }
}

#[tokio::test]
async fn each_fault_of_the_signed_data_is_what_it_says() {
    use ServerCertificateFault::{Expired, OtherOid, UntrustedCi, WrongRole};
    let bench = Bench::new().await;
    let Bench { server, lpa, .. } = &bench;
    server.add_order(order("MINE"));
    let auth = |fault| SmdpFaults { auth_certificate: Some(fault), ..SmdpFaults::none() };
    let wrong_id = |function| SmdpFaults { wrong_transaction_id: Some(function), ..SmdpFaults::none() };
    for (faults, expected) in [
        (auth(Expired), "certificate-expired"),
        (auth(UntrustedCi), "chain"),
        (auth(WrongRole), "certificate-policy"),
        (SmdpFaults { bad_server_signature1: true, ..SmdpFaults::none() }, "signature"),
        (SmdpFaults { wrong_server_address: true, ..SmdpFaults::none() }, "smdpAddressMismatch"),
        (SmdpFaults { wrong_euicc_challenge: true, ..SmdpFaults::none() }, "euiccChallenge"),
        (wrong_id(RspFunction::InitiateAuthentication), "transactionId"),
    ] {
        server.set_faults(faults);
        assert_eq!(lpa.check_server(&lpa.initiate().await).unwrap_err().reason(), expected);
    }
    server.set_faults(SmdpFaults { unknown_ci_key_id: true, ..SmdpFaults::none() });
    let shown = octets(&lpa.initiate().await, "euiccCiPKIdToBeUsed");
    assert_eq!(shown[..2], [0x04, 20]);
    assert_ne!(shown[2..], lpa.euicc.ci_key_id);

    let pb = |fault| SmdpFaults { pb_certificate: Some(fault), ..SmdpFaults::none() };
    for (faults, expected) in [
        (pb(Expired), "certificate-expired"),
        (pb(UntrustedCi), "chain"),
        (pb(WrongRole), "certificate-policy"),
        (pb(OtherOid), "oid-mismatch"),
        (auth(OtherOid), "oid-mismatch"),
        (SmdpFaults { bad_smdp_signature2: true, ..SmdpFaults::none() }, "signature"),
    ] {
        server.set_faults(faults);
        let initiated = lpa.initiate().await;
        let verified = lpa.check_server(&initiated).unwrap();
        let (answer, signature1) = lpa.authenticate(&initiated, Some("MINE")).await;
        assert_eq!(lpa.check_smdp(&verified, &answer, &signature1).unwrap_err().reason(), expected);
    }

    let opened = async |faults: SmdpFaults| {
        server.set_faults(faults);
        let initiated = lpa.initiate().await;
        let id = transaction_id(&initiated);
        let verified = lpa.check_server(&initiated).unwrap();
        let (answer, signature1) = lpa.authenticate(&initiated, Some("MINE")).await;
        let (pb, signed2) = lpa.check_smdp(&verified, &answer, &signature1).unwrap();
        let bound = lpa.prepare(&id, &answer, None).await;
        let opened = lpa.open(&id, &bound, &pb).map(|_| ()).map_err(|e| (e.bpp_command_id, e.error_reason));
        let same =
            [signed2.transaction_id.as_slice() == id, transaction_id(&answer) == id, transaction_id(&bound) == id];
        (opened, same)
    };
    let all = [true; 3];
    assert_eq!(opened(SmdpFaults::none()).await, (Ok(()), all));
    assert_eq!(opened(SmdpFaults { line_breaks: true, ..SmdpFaults::none() }).await, (Ok(()), all));
    assert_eq!(opened(SmdpFaults { corrupt_bpp_mac: true, ..SmdpFaults::none() }).await, (Err((5, 8)), all));
    assert_eq!(opened(SmdpFaults { truncated_bpp: true, ..SmdpFaults::none() }).await, (Err((5, 7)), all));
    assert_eq!(opened(SmdpFaults { wrong_bpp_transaction_id: true, ..SmdpFaults::none() }).await, (Err((0, 3)), all));
    let signed2 = SmdpFaults { wrong_signed2_transaction_id: true, ..SmdpFaults::none() };
    assert_eq!(opened(signed2).await, (Ok(()), [false, true, true]));
    assert_eq!(opened(wrong_id(RspFunction::AuthenticateClient)).await, (Ok(()), [true, false, true]));
    assert_eq!(opened(wrong_id(RspFunction::GetBoundProfilePackage)).await, (Ok(()), [true, true, false]));
    server.set_faults(SmdpFaults { line_breaks: true, ..SmdpFaults::none() });
    assert!(lpa.initiate().await["serverCertificate"].as_str().unwrap().contains("\r\n"));
    server.set_faults(SmdpFaults { fixed_transaction_id: Some(vec![0xab; 4]), ..SmdpFaults::none() });
    for _ in 0..2 {
        assert_eq!(lpa.initiate().await["transactionId"], "ABABABAB");
    }
    let refuse = Refuse::new(RspFunction::InitiateAuthentication, "8.8.4", "3.7");
    server.set_faults(SmdpFaults { refuse: vec![refuse], ..SmdpFaults::none() });
    assert_eq!(refusal(&lpa.initiate().await), "8.8.4/3.7");
}

#[tokio::test]
async fn each_fault_of_the_transport_is_what_it_says() {
    let Bench { server, lpa, .. } = Bench::new().await;
    let set = |fault| server.set_faults(SmdpFaults { transport: Some(fault), ..SmdpFaults::none() });
    let post = async || lpa.post("initiateAuthentication", &lpa.initiate_request()).await;
    set(TransportFault::HttpStatus(500));
    assert_eq!(post().await.unwrap().status, 500);
    set(TransportFault::Html);
    let page = post().await.unwrap();
    assert_eq!((page.status, page.content_type.as_str()), (200, "text/html"));
    set(TransportFault::Redirect);
    assert_eq!(post().await.unwrap().status, 307);
    set(TransportFault::GarbageJson);
    assert!(serde_json::from_slice::<serde_json::Value>(&post().await.unwrap().body).is_err());
    set(TransportFault::AnswerBytes(10 * 1024 * 1024));
    assert_eq!(post().await.unwrap().body.len(), 10 * 1024 * 1024);
    set(TransportFault::CloseMidAnswer);
    assert!(post().await.is_err());
    let other = SmdpFaults {
        transport: Some(TransportFault::HttpStatus(502)),
        transport_on: Some(RspFunction::InitiateAuthentication),
        transport_times: Some(1),
        unacknowledged_notifications: 2,
        ..SmdpFaults::none()
    };
    server.set_faults(other);
    let notification = lpa.other_notification();
    for expected in [503, 503, 204] {
        assert_eq!(lpa.notify(&notification).await.status, expected);
    }
    assert_eq!(server.notifications().len(), 1);
    assert_eq!(post().await.unwrap().status, 502);
    assert_eq!(refusal(&post().await.unwrap().json()), "");
    assert_eq!(lpa.request("GET", "/gsma/rsp2/es9plus/initiateAuthentication", b"").await.unwrap().status, 405);
    assert_eq!(lpa.request("POST", "/gsma/rsp2/es9plus/other", b"{}").await.unwrap().status, 404);
    assert_eq!(lpa.request("POST", "/gsma/rsp2/es9plus/cancelSession", b"{").await.unwrap().status, 400);

    set(TransportFault::Silence);
    let before = server.calls().len();
    let waiting = tokio::spawn({
        let lpa = lpa.clone();
        async move { lpa.post("initiateAuthentication", &lpa.initiate_request()).await }
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.calls().len() == before {
        assert!(Instant::now() < deadline, "the call did not arrive");
        tokio::task::yield_now().await;
    }
    assert_eq!(server.calls()[before].status, 0);
    assert!(!waiting.is_finished());
    server.stop().await;
    assert!(waiting.await.unwrap().is_err());
}

#[tokio::test]
async fn each_fault_of_tls_is_refused_by_a_client_that_checks() {
    let pki = FleetPki::generate(21).unwrap();
    for (fault, expected) in [
        (TlsFault::Expired, "certificate-expired"),
        (TlsFault::UntrustedCi, "chain"),
        (TlsFault::WrongName, "NotValidForName"),
    ] {
        let options = SmdpOptions { tls_fault: Some(fault), ..SmdpOptions::default() };
        let server = SmdpServer::start(&pki, options).await.unwrap();
        let lpa = Lpa::new(&pki, 0, server.socket(), server.address(), false);
        let error = lpa.post("initiateAuthentication", &lpa.initiate_request()).await.unwrap_err();
        assert!(error.starts_with("tls: ") && error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_web_pki_client_that_trusts_the_ci_takes_the_tls_certificate() {
    let pki = FleetPki::generate(21).unwrap();
    let server = SmdpServer::start(&pki, SmdpOptions::default()).await.unwrap();
    let config = client_config(&[pki.ci_certificate().to_vec()], TlsVersions::Both).unwrap();
    for (name, is_taken) in [("localhost", true), ("other.example", false)] {
        let tcp = TcpStream::connect(server.socket()).await.unwrap();
        let connected = TlsConnector::from(config.clone()).connect(name.try_into().unwrap(), tcp).await;
        assert_eq!(connected.is_ok(), is_taken, "{name}");
    }
}

#[tokio::test]
async fn certificates_are_checked_at_the_time_of_the_options() {
    let pki = FleetPki::generate(21).unwrap();
    let options = SmdpOptions { now: "2060-01-01T00:00:00Z".to_owned(), ..SmdpOptions::default() };
    let server = SmdpServer::start(&pki, options).await.unwrap();
    let lpa = Lpa::new(&pki, 0, server.socket(), server.address(), false);
    let (answer, _) = lpa.authenticate(&lpa.initiate().await, Some("MINE")).await;
    assert_eq!(refusal(&answer), "8.11.1/3.9", "the CI has expired");
}

#[tokio::test]
async fn an_smds_gives_the_events_of_an_euicc() {
    let pki = FleetPki::generate(21).unwrap();
    let server = SmdsServer::start(&pki, SmdsOptions::default()).await.unwrap();
    let lpa = Lpa::new(&pki, 0, server.socket(), server.address(), true);
    let ask = async |event_id: Option<&str>| {
        let initiated = lpa.initiate().await;
        lpa.check_server(&initiated).unwrap();
        let (answer, _) = lpa.authenticate(&initiated, event_id).await;
        (refusal(&answer), answer["eventEntries"].clone())
    };
    let event = |id: &str, address: &str| json!({ "eventId": id, "rspServerAddress": address });
    assert_eq!(ask(None).await, (String::new(), json!([])));
    server.register_event(lpa.euicc.eid, "EVENT-1", "smdp1.example");
    server.register_event(pki.eid(1), "EVENT-9", "smdp9.example");
    assert_eq!(ask(Some("")).await, (String::new(), json!([event("EVENT-1", "smdp1.example")])));
    server.register_event(lpa.euicc.eid, "EVENT-2", "smdp2.example:8443");
    let both = json!([event("EVENT-1", "smdp1.example"), event("EVENT-2", "smdp2.example:8443")]);
    assert_eq!(ask(None).await, (String::new(), both));
    assert_eq!(ask(Some("EVENT-2")).await, (String::new(), json!([event("EVENT-2", "smdp2.example:8443")])));
    for unknown in ["EVENT-3", "EVENT-9"] {
        assert_eq!(ask(Some(unknown)).await, ("8.9.5/3.9".to_owned(), json!(null)));
    }
    server.delete_event(lpa.euicc.eid, "EVENT-1");
    assert_eq!(ask(None).await.1.as_array().unwrap().len(), 1);

    let mut request = lpa.initiate_request();
    request["smdpAddress"] = json!("other.example");
    assert_eq!(refusal(&lpa.call("initiateAuthentication", &request).await), "8.9.1/3.8");
    request["smdsAddress"] = json!(server.address());
    assert_eq!(refusal(&lpa.call("initiateAuthentication", &request).await), "");
    assert_eq!(lpa.post("cancelSession", &json!({})).await.unwrap().status, 404);
    server.set_faults(SmdpFaults { bad_server_signature1: true, ..SmdpFaults::none() });
    assert_eq!(lpa.check_server(&lpa.initiate().await).unwrap_err().reason(), "signature");
    assert!(server.calls().iter().all(|call| call.status == 200));
}
