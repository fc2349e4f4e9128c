//! Calls to webhooks over HTTPS, against a server on the loopback interface: what is sent, whom it trusts, and its limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod rsp_server;

use eim_core::ports::{MockClock, RspFailure, WebhookCall, WebhookTransport};
use eim_server::config::Config;
use eim_server::outbound::{HttpsWebhooks, OutboundOptions, WebhookOptions};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rsp_server::{Does, RspServer, answer};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use std::time::Duration;

const HOST: &str = "hooks.test.example";

/// A CA, and a server that shows a certificate of it.
struct Pki {
    ca: CertificateDer<'static>,
    server: Arc<ServerConfig>,
}

fn pki(name: &str) -> Pki {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.not_before = rcgen::date_time_ymd(2025, 1, 1);
    ca.not_after = rcgen::date_time_ymd(2035, 1, 1);
    let ca_der = ca.self_signed(&ca_key).unwrap().der().clone();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
    leaf.not_before = rcgen::date_time_ymd(2025, 1, 1);
    leaf.not_after = rcgen::date_time_ymd(2027, 1, 1);
    let leaf = leaf.signed_by(&key, &issuer).unwrap().der().clone();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    Pki { ca: ca_der, server: Arc::new(config) }
}

fn webhooks(port: u16, roots: Vec<CertificateDer<'static>>, now: &str) -> HttpsWebhooks {
    let outbound = OutboundOptions {
        routes: vec![format!("{HOST}=127.0.0.1:{port}").parse().unwrap()],
        ..OutboundOptions::default()
    };
    let options = WebhookOptions { outbound, timeout: Duration::from_millis(500), slots: 1, roots };
    HttpsWebhooks::new(options, Arc::new(MockClock::at(now.parse().unwrap()))).unwrap()
}

fn call() -> WebhookCall {
    WebhookCall {
        url: format!("https://{HOST}/in?from=eim"),
        id: "42".to_owned(),
        timestamp_s: 1_767_225_600,
        signature: "v1,AAAA v1,BBBB".to_owned(),
        body: br#"{"specversion":"1.0"}"#.to_vec(),
    }
}

const NOW: &str = "2026-01-01T00:00:00Z";

#[tokio::test]
async fn posts_an_event_to_a_server_below_a_trusted_root() {
    let pki = pki(HOST);
    let server =
        RspServer::start(Arc::clone(&pki.server), |_| Does::Answers(answer(200, "text/plain", b"thanks"))).await;
    let webhooks = webhooks(server.port, vec![pki.ca.clone()], NOW);
    assert_eq!(webhooks.admit(call().url).await, Ok(()));
    assert_eq!(webhooks.post(call()).await, Ok(200));
    assert_eq!(webhooks.post(call()).await, Ok(200));
    assert_eq!(server.connections(), 1, "the connection is used again");
    let request = &server.requests()[0];
    let head = request.head.to_lowercase();
    assert_eq!(head.lines().next(), Some("post /in?from=eim http/1.1"));
    for header in [
        "content-type: application/cloudevents+json; charset=utf-8",
        "webhook-id: 42",
        "webhook-timestamp: 1767225600",
        "webhook-signature: v1,aaaa v1,bbbb",
        "host: hooks.test.example",
    ] {
        assert!(head.lines().any(|line| line == header), "{header}: {head}");
    }
    assert_eq!(request.body, br#"{"specversion":"1.0"}"#);
}

#[tokio::test]
async fn sends_nothing_to_a_server_that_is_not_trusted() {
    let (good, other, misnamed) = (pki(HOST), pki(HOST), pki("other.example"));
    for (server, roots, now) in [
        (&good, vec![], NOW),
        (&good, vec![other.ca.clone()], NOW),
        (&misnamed, vec![misnamed.ca.clone()], NOW),
        (&good, vec![good.ca.clone()], "2028-01-01T00:00:00Z"),
    ] {
        let running =
            RspServer::start(Arc::clone(&server.server), |_| Does::Answers(answer(200, "text/plain", b""))).await;
        let outcome = webhooks(running.port, roots, now).post(call()).await;
        assert_eq!(outcome, Err(RspFailure::Tls("certificate".to_owned())));
        assert!(running.requests().is_empty());
    }
}

#[tokio::test]
async fn an_answer_is_judged_by_its_status_within_its_time() {
    let pki = pki(HOST);
    for (does, outcome) in [
        (Does::Answers(answer(500, "text/plain", b"no")), Ok(500)),
        (Does::Answers(answer(200, "text/plain", &vec![b'x'; 1_000_000])), Ok(200)),
        (
            Does::Closes(b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/\r\n\r\n".to_vec()),
            Err(RspFailure::Redirect(302)),
        ),
        (Does::FallsSilent(vec![]), Err(RspFailure::Timeout)),
        (Does::Closes(b"no HTTP".to_vec()), Err(RspFailure::Broken("no HTTP answer".to_owned()))),
    ] {
        let server = RspServer::start(Arc::clone(&pki.server), move |_| does.clone()).await;
        assert_eq!(webhooks(server.port, vec![pki.ca.clone()], NOW).post(call()).await, outcome);
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn one_call_more_than_there_are_places_is_refused_as_busy() {
    let pki = pki(HOST);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let held = Arc::clone(&gate);
    let server =
        RspServer::start(Arc::clone(&pki.server), move |_| Does::Waits(Arc::clone(&held), answer(200, "a/b", b"")))
            .await;
    let webhooks = webhooks(server.port, vec![pki.ca.clone()], NOW);
    let first = webhooks.post(call());
    let second = async {
        server.saw(1).await;
        let second = webhooks.post(call()).await;
        gate.add_permits(1);
        second
    };
    assert_eq!(tokio::join!(first, second), (Ok(200), Err(RspFailure::Busy)));
}

#[test]
fn a_file_of_certificates_is_read_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    let system = WebhookOptions::of(&config).unwrap().roots.len();
    let path = folder.path().join("ca.pem");
    config.webhooks.ca_file = Some(path.clone());
    let refused = |config: &Config| format!("{:#}", WebhookOptions::of(config).unwrap_err());
    assert!(refused(&config).contains("webhooks.ca_file"), "{}", refused(&config));
    std::fs::write(&path, "nothing").unwrap();
    assert!(refused(&config).contains("no certificate"), "{}", refused(&config));
    let ca_key = KeyPair::generate().unwrap();
    let ca = CertificateParams::new(vec![]).unwrap().self_signed(&ca_key).unwrap();
    std::fs::write(&path, ca.pem()).unwrap();
    assert_eq!(WebhookOptions::of(&config).unwrap().roots.len(), system + 1);
}
