//! The IPA's downloads, through a fake eIM in both bindings and by itself at fake RSP servers, over real TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

#[path = "support/rsp.rs"]
mod rsp;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eim_core::asn1::{
    self, AuthenticateServerResponse, CancelSessionResponse, EsipaMessageFromIpaToEim, PendingNotification,
    PrepareDownloadResponse, ProfileDownloadTriggerResult,
};
use eim_core::ids::Iccid;
use eim_core::pki::{self, Curve, TrustStore, VerifiedChain};
use eim_simulator::euicc::{DeviceDescription, Euicc};
use eim_simulator::ipa::{
    Answer, Binding, Compact, CtxParams1Source, Delivery, DownloadError, DownloadMode, DownloadOutcome, DownloadStep,
    Es9Config, Ipa, IpaConfig, PollOptions, PollOutcome, SmdpAddress,
};
use eim_simulator::load::server_tls;
use eim_simulator::tlv::{Tlv, element, integer};
use rsp::{Rsp, der, gsma_tls, serve};
use std::sync::{Arc, Mutex};

const ADDRESS: &str = "smdp.test.example";
const BINDINGS: [Binding; 2] = [Binding::Asn1, Binding::Json];
const EIM_TX: [u8; 4] = [0xa1, 0xb2, 0xc3, 0xd4];
const ALL_STEPS: [DownloadStep; 7] = [
    DownloadStep::Trigger,
    DownloadStep::InitiateAuthentication,
    DownloadStep::AuthenticateServer,
    DownloadStep::AuthenticateClient,
    DownloadStep::PrepareDownload,
    DownloadStep::GetBoundProfilePackage,
    DownloadStep::Install,
];

fn iccid() -> Iccid {
    "8999000000000000042".parse().unwrap()
}

/// `BF54 { A0 { 80 code }?, 82 }`.
fn trigger(code: Option<&str>) -> Vec<u8> {
    let data = code.map(|code| element(0xa0, &[&element(0x80, &[code.as_bytes()])])).unwrap_or_default();
    element(0xbf54, &[&data, &element(0x82, &[&EIM_TX])])
}

struct Bench {
    rsp: Arc<Mutex<Rsp>>,
    euicc: Euicc,
    ipa: Ipa,
}

impl Bench {
    async fn new(binding: Binding) -> Self {
        let rsp = Arc::new(Mutex::new(Rsp::new(ADDRESS, iccid().octets())));
        rsp.lock().unwrap().trigger = trigger(Some("1$smdp.test.example$MATCH-1"));
        let (certificate, tls) = server_tls("localhost").unwrap();
        let eim = serve(tls, rsp.clone()).await;
        let mut ipa = Ipa::new(IpaConfig::new(eim, "localhost", &[certificate], binding).unwrap());
        ipa.behaviour.download = DownloadMode::Indirect;
        let euicc = Euicc::new(rsp::pki().euicc(Curve::P256, "euicc1").unwrap()).trusting(der("ci"));
        Self { rsp, euicc, ipa }
    }

    async fn poll(&mut self) -> PollOutcome {
        self.ipa.poll_once(&mut self.euicc, &PollOptions::default()).await.unwrap()
    }

    fn rsp(&self) -> std::sync::MutexGuard<'_, Rsp> {
        self.rsp.lock().unwrap()
    }

    fn outcome(&self) -> &DownloadOutcome {
        self.ipa.last_download().unwrap()
    }

    fn chain(&self) -> VerifiedChain {
        let trust = TrustStore::from_certificates([der("ci")]).unwrap();
        let identity = self.euicc.identity();
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let (eum, euicc) = (&identity.eum_certificate, &identity.certificate);
        pki::verify_euicc_chain(&trust, eum, euicc, now, &identity.eid).unwrap()
    }
}

fn result(poll: &PollOutcome) -> ProfileDownloadTriggerResult {
    asn1::decode(poll.result.as_deref().unwrap()).unwrap()
}

/// profileDownloadErrorReason, and whether errorResponse is there.
fn failure(poll: &PollOutcome) -> (i64, bool) {
    let result = Tlv::only(poll.result.as_deref().unwrap()).unwrap();
    assert_eq!(result.child(0x82).unwrap().content, EIM_TX);
    let error = result.child(0x30).unwrap();
    (error.child(0x80).unwrap().integer().unwrap(), error.child(0x04).is_some())
}

fn member(body: &[u8], name: &str) -> serde_json::Value {
    serde_json::from_slice::<serde_json::Value>(body).unwrap()[name].clone()
}

#[tokio::test]
async fn an_indirect_download_installs_and_reports_through_the_eim() {
    for binding in BINDINGS {
        let mut bench = Bench::new(binding).await;
        let poll = bench.poll().await;
        assert_eq!((poll.result, poll.answer, poll.removed), (None, Some(Answer::NoContent), vec![1]));
        let mut steps = ALL_STEPS.to_vec();
        steps.push(DownloadStep::HandleNotification);
        assert_eq!(bench.outcome().steps, steps, "{:?}", bench.outcome());
        assert_eq!((bench.outcome().iccid, bench.outcome().error.clone()), (Some(iccid()), None));
        assert!(bench.euicc.profile(&iccid()).is_some());

        // everything that the eIM got can be read, and is what the eUICC gave
        {
            let rsp = bench.rsp();
            let names = rsp.names();
            let expected = ["getEimPackage", "initiateAuthentication", "authenticateClient", "getBoundProfilePackage"];
            assert_eq!((&names[..4], names.last()), (&expected[..], Some(&"handleNotification")));
            let outcome = bench.ipa.last_download().unwrap();
            let initiate = rsp.call("initiateAuthentication");
            if binding == Binding::Asn1 {
                for (name, body) in &rsp.calls {
                    assert!(asn1::decode::<EsipaMessageFromIpaToEim>(body).is_ok(), "{name}");
                }
                let request = Tlv::only(&initiate).unwrap();
                assert_eq!(request.child(0x83).unwrap().content, ADDRESS.as_bytes());
                assert_eq!(request.child(0x82).unwrap().content, EIM_TX);
                assert_eq!(request.child(0xbf20).unwrap().octets, bench.euicc.euicc_info1().unwrap());
            } else {
                assert_eq!(member(&initiate, "smdpAddress"), ADDRESS);
                assert_eq!(member(&initiate, "eimTransactionId"), "A1B2C3D4");
                let sent = member(&rsp.call("authenticateClient"), "authenticateServerResponse");
                assert_eq!(sent, STANDARD.encode(outcome.authenticate_server_response.as_deref().unwrap()));
                let sent = member(&rsp.call("handleNotification"), "pendingNotification");
                assert_eq!(sent, STANDARD.encode(outcome.pir.as_deref().unwrap()));
            }
            // the matchingId of the activation code
            let response = Tlv::only(outcome.authenticate_server_response.as_deref().unwrap()).unwrap();
            let signed1 = response.child(0xa0).unwrap().child(0x30).unwrap();
            assert_eq!(signed1.child(0xa0).unwrap().child(0x80).unwrap().content, b"MATCH-1");
            assert_eq!(outcome.metadata.as_ref(), Some(&rsp.metadata));
            assert_eq!(outcome.bound_profile_package.as_ref(), Some(&rsp.package));
        }

        // the other notification of the installation is still to be brought
        assert_eq!(bench.euicc.notifications().len(), 1);
        assert_eq!(bench.ipa.deliver_notifications(&mut bench.euicc).await.unwrap(), 1);
        assert!(bench.euicc.notifications().is_empty());
    }
}

#[tokio::test]
async fn compact_forms_hold_what_is_needed_to_rebuild_what_was_signed() {
    for (compact, certificates) in [(Compact::Yes, false), (Compact::WithCertificates, true)] {
        let mut bench = Bench::new(Binding::Asn1).await;
        bench.ipa.behaviour.download_options.compact = compact;
        bench.rsp().code_required = true;
        bench.ipa.behaviour.download_options.confirmation_code = Some("1234".into());
        bench.poll().await;
        assert!(bench.outcome().is_installed());
        for (name, body) in &bench.rsp().calls {
            assert!(asn1::decode::<EsipaMessageFromIpaToEim>(body).is_ok(), "{name}");
        }
        let outcome = bench.outcome();
        let full = |octets: &Option<Vec<u8>>| octets.clone().unwrap();

        let sent = asn1::decode(&full(&outcome.authenticate_server_response)).unwrap();
        let AuthenticateServerResponse::CompactAuthenticateResponseOk(sent) = sent else { panic!("{sent:?}") };
        assert_eq!(sent.euicc_certificate.is_some() && sent.eum_certificate.is_some(), certificates);
        let whole = asn1::decode(&full(&outcome.full_authenticate_server_response)).unwrap();
        let AuthenticateServerResponse::AuthenticateResponseOk(whole) = whole else { panic!("{whole:?}") };
        assert_eq!(sent.euicc_signature1, whole.euicc_signature1);

        let sent = asn1::decode(&full(&outcome.prepare_download_response)).unwrap();
        let PrepareDownloadResponse::CompactDownloadResponseOk(sent) = sent else { panic!("{sent:?}") };
        let hash = pki::hash_cc("1234", &[0xaa; 16]);
        assert_eq!(sent.compact_euicc_signed2.hash_cc.as_deref(), Some(&hash[..]));
        assert_eq!(sent.compact_euicc_signed2.euicc_otpk.as_ref().map(|otpk| otpk.len()), Some(65));

        // the Profile Installation Result, rebuilt from its compact form
        let octets = full(&outcome.sent_notification);
        let sent: PendingNotification = asn1::decode(&octets).unwrap();
        let PendingNotification::CompactProfileInstallationResult(_) = sent else { panic!("{sent:?}") };
        let arm = Tlv::only(&octets).unwrap();
        let data = arm.child(0xa0).unwrap();
        let part = data.child(0xa2).unwrap().child(0xa0).unwrap().child(0x4f).unwrap().content;
        let mut aid = hex::decode("a0000005591010ffffffff8900000000").unwrap();
        aid[13..15].copy_from_slice(part);
        let success = [element(0x4f, &[&aid]), element(0x04, &[&hex::decode("3007a0053003800100").unwrap()])].concat();
        let metadata = element(
            0xbf2f,
            &[
                &element(0x80, &[data.child(0x02).unwrap().content]),
                &element(0x81, &[&[7, 0x80]]),
                &element(0x0c, &[ADDRESS.as_bytes()]),
                &element(0x5a, &[iccid().octets()]),
            ],
        );
        let oid = element(0x06, &[&[0x88, 0x37, 10]]);
        let finale = element(0xa2, &[&element(0xa0, &[&success])]);
        let rebuilt = element(0xbf27, &[data.child(0x80).unwrap().octets, &metadata, &oid, &finale]);
        let signature = arm.child(0x5f37).unwrap().content;
        bench.chain().key().verify(&rebuilt, signature).unwrap();

        // another notification
        bench.ipa.deliver_notifications(&mut bench.euicc).await.unwrap();
        let body = bench.rsp().calls.last().unwrap().1.clone();
        let pending = Tlv::only(&body).unwrap().child(0xa0).unwrap();
        assert!(matches!(
            asn1::decode::<PendingNotification>(pending.content).unwrap(),
            PendingNotification::CompactOtherSignedNotification(_)
        ));

        // and what is cancelled; the key of the session before was used up
        bench.ipa.behaviour.download_options.cancel_with = Some(1);
        let poll = bench.poll().await;
        assert_eq!(failure(&poll), (127, false));
        let response = &bench.outcome().cancellation.as_ref().unwrap().response;
        assert!(matches!(
            asn1::decode::<CancelSessionResponse>(response).unwrap(),
            CancelSessionResponse::CompactCancelSessionResponseOk(_)
        ));
    }
}

#[tokio::test]
async fn a_compact_form_leaves_out_what_the_eim_gave() {
    for binding in BINDINGS {
        let mut bench = Bench::new(binding).await;
        bench.ipa.behaviour.download_options.compact = Compact::Yes;
        let hash = pki::hash_cc("5678", &[0xaa; 16]);
        let context = hex::decode("a00aa1088004352099 00a100".replace(' ', "")).unwrap();
        {
            let mut rsp = bench.rsp();
            rsp.code_required = true;
            rsp.hash_cc = Some(hash);
            rsp.ctx_params1 = Some(context.clone());
        }
        bench.poll().await;
        let outcome = bench.outcome();
        assert!(outcome.is_installed(), "{outcome:?}");
        assert_eq!((outcome.eim_hash_cc, outcome.eim_ctx_params1.as_ref()), (Some(hash), Some(&context)));
        let arm = |octets: &Option<Vec<u8>>| Tlv::only(octets.as_deref().unwrap()).unwrap().content.to_vec();
        let sent = arm(&outcome.authenticate_server_response);
        let signed = Tlv::only(&sent).unwrap().child(0xa0).unwrap();
        assert!(signed.child(0x84).is_some() && signed.child(0xa2).is_none());
        let whole = arm(&outcome.full_authenticate_server_response);
        assert_eq!(Tlv::only(&whole).unwrap().child(0x30).unwrap().child(0xa0).unwrap().octets, context);
        let sent = arm(&outcome.prepare_download_response);
        assert_eq!(Tlv::only(&sent).unwrap().child(0x30).unwrap().child(0x04), None);
        let whole = arm(&outcome.full_prepare_download_response);
        assert_eq!(Tlv::only(&whole).unwrap().child(0x30).unwrap().child(0x04).unwrap().content, hash);
    }
}

#[tokio::test]
async fn the_options_say_what_the_eim_is_told() {
    let mut bench = Bench::new(Binding::Asn1).await;
    let options = &mut bench.ipa.behaviour.download_options;
    (options.send_eim_transaction_id, options.send_euicc_info1) = (false, false);
    options.smdp_address = SmdpAddress::Absent;
    options.ctx_params1 = CtxParams1Source::Own;
    bench.rsp().ctx_params1 = Some(hex::decode("a00aa108800435209900a100").unwrap());
    bench.rsp().matching_id = Some("EIM-MATCH".to_owned());
    bench.rsp().trigger = trigger(None);
    bench.poll().await;
    assert_eq!(bench.rsp().call("initiateAuthentication").len(), 3 + 18);
    let response = bench.outcome().authenticate_server_response.clone().unwrap();
    let signed1 = Tlv::only(&response).unwrap().child(0xa0).unwrap().child(0x30).unwrap();
    let context = signed1.child(0xa0).unwrap();
    assert_eq!(context.child(0x80).unwrap().content, b"EIM-MATCH");
    assert!(context.child(0xa1).unwrap().child(0x82).is_some());

    let mut bench = Bench::new(Binding::Asn1).await;
    bench.ipa.behaviour.download_options.smdp_address = SmdpAddress::Other("other.example".to_owned());
    bench.poll().await;
    let initiate = bench.rsp().call("initiateAuthentication");
    assert_eq!(Tlv::only(&initiate).unwrap().child(0x83).unwrap().content, b"other.example");
}

#[tokio::test]
async fn what_is_refused_is_cancelled_with_the_reason_and_reported() {
    let authenticate = DownloadStep::AuthenticateClient;
    let get = DownloadStep::GetBoundProfilePackage;
    let cases = [
        (("initiateAuthentication", 52, "8.10.1", "3.9"), DownloadStep::InitiateAuthentication, None),
        (("authenticateClient", 50, "8.2.8", "3.8"), authenticate, Some(3)),
        (("authenticateClient", 6, "8.2.6", "3.8"), authenticate, Some(127)),
        (("getBoundProfilePackage", 50, "8.2.9", "3.8"), get, Some(4)),
        (("getBoundProfilePackage", 3, "8.2.7", "3.8"), get, Some(127)),
    ];
    for binding in BINDINGS {
        for (refuse, step, reason) in cases {
            let mut bench = Bench::new(binding).await;
            bench.rsp().refuse = Some(refuse);
            let poll = bench.poll().await;
            assert_eq!((failure(&poll), &poll.answer), ((127, false), &Some(Answer::Empty)));
            let (found, error) = bench.outcome().error.clone().unwrap();
            let expected = match binding {
                Binding::Asn1 => DownloadError::Refused(refuse.1),
                Binding::Json => {
                    DownloadError::Status { subject: refuse.2.to_owned(), reason: refuse.3.to_owned(), message: None }
                }
            };
            assert_eq!((found, error), (step, expected));
            let cancelled = bench.outcome().cancellation.clone();
            assert_eq!(cancelled.as_ref().map(|found| (found.reason, found.error.clone())), reason.map(|r| (r, None)));
            assert!(bench.euicc.profiles().is_empty() && !bench.euicc.has_cancellable_session());
        }
        let mut bench = Bench::new(binding).await;
        bench.rsp().status = Some(("authenticateClient", 500));
        assert_eq!(failure(&bench.poll().await), (127, false));
        assert_eq!(bench.outcome().error_code(), Some((authenticate, 500)));
    }
}

#[tokio::test]
async fn errors_of_the_card_are_forwarded_and_reported() {
    let mut bench = Bench::new(Binding::Asn1).await;
    bench.euicc.faults.authenticate_error = Some(2);
    assert_eq!(failure(&bench.poll().await), (127, true));
    assert_eq!(bench.outcome().error_code(), Some((DownloadStep::AuthenticateServer, 2)));
    assert!(bench.rsp().names().contains(&"authenticateClient"));

    let mut bench = Bench::new(Binding::Json).await;
    bench.euicc.faults.prepare_error = Some(1);
    assert_eq!(failure(&bench.poll().await), (127, true));
    assert_eq!(bench.outcome().error_code(), Some((DownloadStep::PrepareDownload, 1)));
    assert!(bench.rsp().names().contains(&"getBoundProfilePackage"));

    // a failed installation is said by the result of the installation alone
    let mut bench = Bench::new(Binding::Asn1).await;
    bench.euicc.faults.install_error = Some((5, 12));
    let poll = bench.poll().await;
    assert_eq!((poll.result, poll.removed), (None, vec![1]));
    let installation = DownloadError::Installation { command: 5, reason: 12 };
    assert_eq!(bench.outcome().error, Some((DownloadStep::Install, installation)));
    assert!(bench.outcome().pir.is_some() && !bench.outcome().is_installed());

    // what is no package can't be given to the card
    let mut bench = Bench::new(Binding::Json).await;
    bench.rsp().cut_off = true;
    assert_eq!(failure(&bench.poll().await), (127, false));
    assert_eq!(bench.outcome().cancellation.as_ref().map(|found| found.reason), Some(5));

    let mut bench = Bench::new(Binding::Asn1).await;
    bench.euicc.set_ecall_active(true);
    assert_eq!(failure(&bench.poll().await), (104, false));
    assert_eq!(bench.rsp().names(), ["getEimPackage", "provideEimPackageResult"]);
}

#[tokio::test]
async fn a_download_that_broke_off_can_be_done_again() {
    for step in ALL_STEPS {
        let mut bench = Bench::new(Binding::Asn1).await;
        bench.ipa.behaviour.download_options.stop_after = Some(step);
        let poll = bench.poll().await;
        assert_eq!((poll.result, poll.answer), (None, None));
        assert_eq!((bench.outcome().stopped, bench.outcome().steps.last()), (true, Some(&step)));
        assert_ne!(bench.rsp().names().last(), Some(&"handleNotification"));
        bench.ipa.behaviour.download_options.stop_after = None;
        bench.poll().await;
        let reason = if step == DownloadStep::Install { Some((DownloadStep::Install, 9)) } else { None };
        assert_eq!(bench.outcome().error_code(), reason);
        assert!(bench.euicc.profile(&iccid()).is_some());
    }
}

#[tokio::test]
async fn the_result_of_an_installation_may_travel_in_the_result_of_the_trigger() {
    for delivery in [Delivery::ProvideEimPackageResult, Delivery::HandleNotification] {
        let mut bench = Bench::new(Binding::Json).await;
        bench.ipa.behaviour.delivery = delivery;
        bench.ipa.behaviour.download_options.pir_in_result = true;
        let poll = bench.poll().await;
        assert_eq!(poll.removed, [1]);
        assert_eq!(result(&poll).eim_transaction_id.as_deref(), Some(&EIM_TX[..]));
        let pir = Tlv::only(poll.result.as_deref().unwrap()).unwrap().child(0xbf37).unwrap().octets.to_vec();
        assert_eq!(Some(pir), bench.outcome().pir);
    }
}

#[tokio::test]
async fn an_event_of_an_sm_ds_leads_to_the_server_that_has_the_profile() {
    for binding in BINDINGS {
        let mut bench = Bench::new(binding).await;
        bench.rsp().trigger = element(0xbf54, &[&element(0xa0, &[&element(0xa2, &[])]), &element(0x82, &[&EIM_TX])]);
        bench.rsp().smds = Some(Some(trigger(Some("1$smdp.test.example$EVENT-1"))));
        bench.poll().await;
        assert!(bench.outcome().is_installed(), "{:?}", bench.outcome());
        let bodies: Vec<Vec<u8>> = {
            let rsp = bench.rsp();
            rsp.calls.iter().filter(|(name, _)| name == "initiateAuthentication").map(|call| call.1.clone()).collect()
        };
        let holds = |body: &[u8], text: &str| body.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds(&bodies[0], "rootsmds.example") && holds(&bodies[1], ADDRESS) && bodies.len() == 2);

        let mut bench = Bench::new(binding).await;
        bench.rsp().smds = Some(None);
        assert_eq!(failure(&bench.poll().await), (127, false));
        assert_eq!(bench.outcome().error, Some((DownloadStep::AuthenticateClient, DownloadError::NoEvent)));
        assert_eq!(bench.outcome().cancellation, None);
    }
}

async fn direct_bench(tls: &str) -> (Bench, Arc<Mutex<Rsp>>) {
    let mut bench = Bench::new(Binding::Asn1).await;
    let server = Arc::new(Mutex::new(Rsp::new(ADDRESS, iccid().octets())));
    let socket = serve(gsma_tls(tls), server.clone()).await;
    let routes = [(ADDRESS.to_owned(), socket)].into();
    let es9 = Es9Config { trusted: vec![der("ci")], routes };
    let config = IpaConfig { es9: Some(es9), ..bench.ipa.config().clone() };
    bench.ipa.reconfigure(config);
    bench.ipa.behaviour.download = DownloadMode::Auto;
    (bench, server)
}

#[tokio::test]
async fn a_direct_download_talks_to_the_server_and_tells_the_eim_in_the_end() {
    let (mut bench, server) = direct_bench("dp_tls").await;
    let poll = bench.poll().await;
    assert!(bench.outcome().is_installed(), "{:?}", bench.outcome());
    assert_eq!((bench.outcome().mode, &bench.outcome().servers[..]), (DownloadMode::Direct, &[ADDRESS.to_owned()][..]));
    assert_eq!(bench.rsp().names(), ["getEimPackage", "provideEimPackageResult"]);
    assert!(Tlv::only(poll.result.as_deref().unwrap()).unwrap().child(0xbf37).is_some());
    // the result and the notification of the installation are with the SM-DP+
    assert_eq!((poll.removed, bench.euicc.notifications().len()), (vec![1, 2], 0));
    let expected = [
        "initiateAuthentication",
        "authenticateClient",
        "getBoundProfilePackage",
        "handleNotification",
        "handleNotification",
    ];
    assert_eq!(server.lock().unwrap().names(), expected);

    // without data, or without the capability, the eIM is in between
    bench.rsp().trigger = trigger(None);
    bench.poll().await;
    assert_eq!(bench.outcome().mode, DownloadMode::Indirect);
    bench.rsp().trigger = trigger(Some("1$smdp.test.example$MATCH-1"));
    let device = DeviceDescription::default().features(&[DeviceDescription::INDIRECT_RSP_SERVER_COMMUNICATION]);
    bench.ipa.behaviour.device = device;
    bench.poll().await;
    assert_eq!(bench.outcome().mode, DownloadMode::Indirect);
}

#[tokio::test]
async fn a_direct_download_goes_where_the_trigger_and_the_events_point_to() {
    let (mut bench, server) = direct_bench("dp_tls").await;
    bench.rsp().trigger = element(0xbf54, &[&element(0xa0, &[&element(0x81, &[])])]);
    bench.poll().await;
    assert_eq!(bench.outcome().error, Some((DownloadStep::InitiateAuthentication, DownloadError::NoAddress)));
    bench.euicc.default_dp_address = Some(ADDRESS.to_owned());
    server.lock().unwrap().smds = Some(Some(ADDRESS.as_bytes().to_vec()));
    bench.poll().await;
    assert!(bench.outcome().is_installed(), "{:?}", bench.outcome());
    assert_eq!(bench.outcome().events, [("EVENT-1".to_owned(), ADDRESS.to_owned())]);
    let response = Tlv::only(bench.outcome().authenticate_server_response.as_deref().unwrap()).unwrap();
    let context = response.child(0xa0).unwrap().child(0x30).unwrap().child(0xa0).unwrap();
    assert_eq!(context.child(0x80).unwrap().content, b"EVENT-1");
}

#[tokio::test]
async fn a_direct_download_trusts_only_the_right_server() {
    for tls in ["dp_tls_expired", "dp_tls_wrong_name", "dp_auth"] {
        let key = if tls == "dp_auth" { "dp_auth" } else { "dp_tls" };
        let (mut bench, server) = direct_bench(key).await;
        let config = rsp::gsma_tls_with(tls, key);
        let socket = serve(config, server.clone()).await;
        let es9 = Es9Config { trusted: vec![der("ci")], routes: [(ADDRESS.to_owned(), socket)].into() };
        let config = IpaConfig { es9: Some(es9), ..bench.ipa.config().clone() };
        bench.ipa.reconfigure(config);
        assert_eq!(failure(&bench.poll().await), (127, false));
        let error = bench.outcome().error.clone();
        let unreachable = matches!(error, Some((DownloadStep::InitiateAuthentication, DownloadError::Unreachable(_))));
        assert!(unreachable, "{tls}: {error:?}");
        assert!(server.lock().unwrap().calls.is_empty());
    }
    let wrong = Some((DownloadStep::AuthenticateServer, DownloadError::WrongServer));
    let (mut bench, server) = direct_bench("dp_tls").await;
    server.lock().unwrap().address = "other.example".to_owned();
    bench.poll().await;
    assert_eq!(bench.outcome().error, wrong);
    let (mut bench, _server) = direct_bench("dp_tls").await;
    bench.rsp().trigger = trigger(Some("1$smdp.test.example$MATCH-1$2.999.11"));
    bench.poll().await;
    assert_eq!(bench.outcome().error, wrong);
    bench.rsp().trigger = trigger(Some("1$smdp.test.example$MATCH-1$2.999.10"));
    bench.poll().await;
    assert!(bench.outcome().is_installed());
}

#[tokio::test]
async fn nothing_secret_is_shown_and_a_refusing_ipa_stays_as_it_was() {
    let mut bench = Bench::new(Binding::Asn1).await;
    bench.ipa.behaviour.download_options.confirmation_code = Some("987654".into());
    bench.poll().await;
    let shown = format!("{:?} {:?}", bench.outcome(), bench.ipa.behaviour);
    assert!(!shown.contains("987654") && !shown.contains("MATCH-1"));
    bench.ipa.behaviour.download = DownloadMode::Refuse;
    let poll = bench.poll().await;
    assert_eq!(
        poll.result,
        Some(element(0xbf54, &[&element(0x82, &[&EIM_TX]), &element(0x30, &[&integer(0x80, 127)])]))
    );
    assert_eq!(bench.ipa.last_download(), None);
}
