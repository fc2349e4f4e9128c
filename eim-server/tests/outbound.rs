//! Calls to SM-DP+ and SM-DS over HTTPS, against a server on the loopback interface: what is sent, whom it trusts, which
//! addresses it refuses, and its limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod rsp_server;

use eim_core::pki::TrustStore;
use eim_core::ports::{Clock, MockClock, RspCall, RspFailure, RspFunction, RspReply, RspTransport};
use eim_server::outbound::{HttpsOutbound, OutboundError, OutboundOptions};
use rsp_server::{Does, Identity, RspServer, answer, cert, json, key, with_critical_policies};
use rustls::version::{TLS12, TLS13};
use rustls::{SignatureScheme, SupportedProtocolVersion};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Semaphore;

const HOST: &str = "smdp.test.example";
/// The time for which the verdicts of the vectors hold.
const REFERENCE: &str = "2026-01-01T00:00:00Z";
const BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

type Outcome = Result<RspReply, RspFailure>;

fn clock() -> Arc<MockClock> {
    Arc::new(MockClock::at(REFERENCE.parse().unwrap()))
}

fn trust() -> TrustStore {
    TrustStore::from_certificates([cert("nist/ci"), cert("brp/ci")]).unwrap()
}

/// Options with routes of the hosts in the certificates to a port on the loopback interface.
fn options(port: u16) -> OutboundOptions {
    let routes = [HOST, "smds.test.example"].map(|host| format!("{host}=127.0.0.1:{port}").parse().unwrap());
    OutboundOptions { routes: routes.into(), timeout: Duration::from_secs(20), ..OutboundOptions::default() }
}

fn outbound(options: OutboundOptions) -> HttpsOutbound {
    HttpsOutbound::new(options, trust(), clock()).unwrap()
}

fn call_to(address: &str) -> RspCall {
    let body = br#"{"transactionId":"01"}"#.to_vec();
    RspCall { address: address.parse().unwrap(), function: RspFunction::AuthenticateClient, body }
}

async fn call(outbound: &HttpsOutbound) -> Outcome {
    outbound.call(call_to(HOST)).await
}

/// A server with a good certificate.
async fn good_server(does: impl Fn(usize) -> Does + Send + Sync + 'static) -> RspServer {
    RspServer::start(Identity::of("nist/dp_tls", "nist/dp_tls").server_config(&BOTH), does).await
}

/// What a call gets from a server with a good certificate that does this.
async fn against(does: Does, change: impl FnOnce(&mut OutboundOptions)) -> Outcome {
    let server = good_server(move |_| does.clone()).await;
    let mut options = options(server.port);
    change(&mut options);
    call(&outbound(options)).await
}

/// What a call gets from a server that shows this.
async fn from_identity(identity: &Identity, versions: &[&'static SupportedProtocolVersion]) -> Outcome {
    let server = RspServer::start(identity.server_config(versions), |_| json("{}")).await;
    let outcome = call(&outbound(options(server.port))).await;
    assert_eq!(
        server.requests().len(),
        usize::from(outcome.is_ok()),
        "nothing is sent to a server that isn't believed"
    );
    outcome
}

fn tls(reason: &str) -> Outcome {
    Err(RspFailure::Tls(reason.to_owned()))
}

fn reply(status: u16, body: &str) -> Outcome {
    Ok(RspReply { status, body: body.as_bytes().to_vec() })
}

#[tokio::test]
async fn posts_the_body_with_the_headers_of_es9plus_and_gives_back_the_answer() {
    let server = good_server(|_| json(r#"{"header":{}}"#)).await;
    let outbound = outbound(options(server.port));
    assert_eq!(call(&outbound).await, reply(200, r#"{"header":{}}"#));
    assert_eq!(outbound.call(call_to("SMDP.Test.Example:443")).await, reply(200, r#"{"header":{}}"#));
    let requests = server.requests();
    let head = requests[0].head.to_lowercase();
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("post /gsma/rsp2/es9plus/authenticateclient http/1.1"));
    let mut headers: Vec<&str> = lines.collect();
    headers.sort_unstable();
    let expected = [
        "accept: */*",
        "content-length: 22",
        "content-type: application/json",
        "host: smdp.test.example",
        "user-agent: gsma-rsp-lpad",
        "x-admin-protocol: gsma/rsp/v2.5.0",
    ];
    assert_eq!(headers, expected);
    assert!(requests[0].head.starts_with("POST /gsma/rsp2/es9plus/authenticateClient "));
    assert_eq!(requests[0].body, br#"{"transactionId":"01"}"#);
    assert_eq!(server.connections(), 1, "the connection is used again");
}

#[tokio::test]
async fn believes_the_tls_certificates_of_both_server_kinds_on_both_curves_and_versions() {
    for version in [&TLS12, &TLS13] {
        let dp = Identity::of("nist/dp_tls", "nist/dp_tls");
        assert_eq!(from_identity(&dp, &[version]).await, reply(200, "{}"));
        let mut brainpool = Identity::of("brp/dp_tls", "brp/dp_tls");
        if version == &TLS13 {
            assert_eq!(from_identity(&brainpool, &[version]).await, tls("handshake"), "its scheme is another one");
            brainpool.scheme = SignatureScheme::Unknown(0x081a);
        }
        assert_eq!(from_identity(&brainpool, &[version]).await, reply(200, "{}"));
        let ds = Identity::of("nist/ds_tls", "nist/ds_tls").server_config(&[version]);
        let server = RspServer::start(ds, |_| json("{}")).await;
        let outbound = outbound(options(server.port));
        assert_eq!(outbound.call(call_to("smds.test.example")).await, reply(200, "{}"));
        assert_eq!(call(&outbound).await, tls("name"));
    }
}

#[tokio::test]
async fn believes_a_certificate_with_critical_policies() {
    for curve in ["nist", "brp"] {
        let mut identity = Identity::of(&format!("{curve}/dp_tls"), &format!("{curve}/dp_tls"));
        let certificate = with_critical_policies(&identity.certificate, &key(&format!("{curve}/ci")));
        assert!(certificate.windows(8).any(|octets| octets == [0x06, 0x03, 0x55, 0x1d, 0x20, 0x01, 0x01, 0xff]));
        // The reason for a verification of our own: the usual one can't read it.
        assert!(rustls::server::ParsedCertificate::try_from(&certificate.clone().into()).is_err());
        identity.certificate = certificate;
        assert_eq!(from_identity(&identity, &[&TLS12]).await, reply(200, "{}"));
    }
    let mut forged = Identity::of("nist/dp_tls", "nist/dp_tls");
    forged.certificate = with_critical_policies(&forged.certificate, &key("nist/ci_untrusted"));
    assert_eq!(from_identity(&forged, &[&TLS12]).await, tls("chain"));
}

#[tokio::test]
async fn refuses_every_certificate_that_is_not_the_servers() {
    for version in [&TLS12, &TLS13] {
        for (certificate, key, reason) in [
            ("nist/dp_tls_wrong_name", "nist/dp_tls", "name"),
            ("nist/dp2_tls", "nist/dp2_tls", "name"),
            ("nist/dp_tls_expired", "nist/dp_tls", "certificate-expired"),
            ("nist/dp_auth", "nist/dp_auth", "certificate-policy"),
            ("nist/eim_tls", "nist/eim_tls", "certificate-policy"),
            ("nist/dp_auth_untrusted", "nist/dp_auth", "chain"),
            ("nist/eum_untrusted_ci", "nist/eum", "chain"),
            ("nist/dp_tls", "nist/dp2_tls", "signature"),
        ] {
            let outcome = from_identity(&Identity::of(certificate, key), &[version]).await;
            assert_eq!(outcome, tls(reason), "{certificate} with the key {key}");
        }
    }
}

#[tokio::test]
async fn a_ci_that_is_not_trusted_or_not_valid_yet_vouches_for_nobody() {
    let server = good_server(|_| json("{}")).await;
    let with = |roots: TrustStore, now: &str| {
        let clock = Arc::new(MockClock::at(now.parse().unwrap()));
        HttpsOutbound::new(options(server.port), roots, clock).unwrap()
    };
    let other = TrustStore::from_certificates([cert("nist/ci_untrusted")]).unwrap();
    assert_eq!(call(&with(other, REFERENCE)).await, tls("chain"));
    assert_eq!(call(&with(TrustStore::empty(), REFERENCE)).await, tls("chain"));
    assert_eq!(call(&with(trust(), "2020-01-01T00:00:00Z")).await, tls("certificate-not-yet-valid"));
    assert_eq!(call(&with(trust(), "2040-01-01T00:00:00Z")).await, tls("certificate-expired"));
    assert_eq!(call(&with(trust(), REFERENCE)).await, reply(200, "{}"));
}

#[tokio::test]
async fn gives_back_any_status_and_body_but_never_follows_a_redirect() {
    let html = Does::Answers(answer(503, "text/html", b"<html>down</html>"));
    assert_eq!(against(html, |_| ()).await, reply(503, "<html>down</html>"));
    let empty = b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
    assert_eq!(against(Does::Answers(empty), |_| ()).await, reply(204, ""));
    let server = good_server(|_| {
        Does::Answers(
            b"HTTP/1.1 307 Moved\r\nLocation: https://smds.test.example/\r\nContent-Length: 0\r\n\r\n".to_vec(),
        )
    })
    .await;
    assert_eq!(call(&outbound(options(server.port))).await, Err(RspFailure::Redirect(307)));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_not_read() {
    const LIMIT: usize = 2 * 1024 * 1024;
    let too_large = Err(RspFailure::TooLarge(LIMIT));
    let huge = Does::Answers(answer(200, "application/json", &vec![b' '; 10 * 1024 * 1024]));
    assert_eq!(against(huge, |_| ()).await, too_large);
    // Announced but never sent.
    let announced = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec();
    assert_eq!(against(Does::FallsSilent(announced), |_| ()).await, too_large);
    let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
    let chunked = |chunks: usize| {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        Does::FallsSilent([head, chunk.repeat(chunks), b"0\r\n\r\n".to_vec()].concat())
    };
    assert_eq!(against(chunked(LIMIT / 0x10000 + 1), |_| ()).await, too_large);
    assert_eq!(against(chunked(LIMIT / 0x10000), |_| ()).await.unwrap().body.len(), LIMIT);
}

#[tokio::test]
async fn silence_at_any_point_ends_with_the_time_of_the_call() {
    let short = |options: &mut OutboundOptions| options.timeout = Duration::from_millis(200);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n".to_vec();
    for octets in [b"".to_vec(), b"HTTP/1.1 20".to_vec(), head.clone(), [head, b"12345".to_vec()].concat()] {
        assert_eq!(against(Does::FallsSilent(octets), short).await, Err(RspFailure::Timeout));
    }
    // Nobody speaks TLS: the system accepts the connection and that is all.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut silent = options(port);
    short(&mut silent);
    assert_eq!(call(&outbound(silent)).await, Err(RspFailure::Timeout));
    let connecting = OutboundOptions { connect_timeout: Duration::from_millis(200), ..options(port) };
    assert_eq!(call(&outbound(connecting)).await, Err(RspFailure::Timeout));
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_is_no_http_is_broken() {
    for (octets, detail) in [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345".as_slice(), "the body is not whole"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", "the body is not whole"),
        (b"HTTP/1.1 200 OK\r\nConte", "no HTTP answer"),
        (b"", "no HTTP answer"),
        (b"220 smtp.test.example ESMTP secret\r\n", "no HTTP answer"),
    ] {
        let outcome = against(Does::Closes(octets.to_vec()), |_| ()).await;
        assert_eq!(outcome, Err(RspFailure::Broken(detail.to_owned())));
    }
}

#[tokio::test]
async fn a_server_without_tls_or_that_hangs_up_or_is_not_there_is_told_apart() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let speaks_http = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        drop(stream);
    });
    let outbound = outbound(options(port));
    assert_eq!(call(&outbound).await, tls("not-tls"));
    assert_eq!(call(&outbound).await, tls("closed"));
    speaks_http.await.unwrap();
    assert_eq!(call(&outbound).await, Err(RspFailure::Unreachable("connection refused".to_owned())));
}

fn refused(why: &str) -> Outcome {
    Err(RspFailure::AddressRefused(why.to_owned()))
}

#[tokio::test]
async fn private_addresses_and_other_ports_need_a_route_or_permission() {
    let server = good_server(|_| json("{}")).await;
    let strict = outbound(options(server.port));
    let private = "all addresses of the host are in private ranges";
    assert_eq!(strict.call(call_to("localhost")).await, refused(private));
    for address in ["localhost".to_owned(), HOST.to_owned()] {
        let outcome = strict.call(call_to(&format!("{address}:22"))).await;
        assert_eq!(outcome, refused("a port other than 443"));
    }
    assert_eq!(strict.call(call_to("xn--a.example")).await, refused("not a usable host name"));
    assert_eq!(server.connections(), 0);
    // A routed host: without a port, or with that of the route.
    assert_eq!(call(&strict).await, reply(200, "{}"));
    assert_eq!(strict.call(call_to(&format!("{HOST}:{}", server.port))).await, reply(200, "{}"));

    let lenient = outbound(OutboundOptions { allow_private: true, ..options(server.port) });
    let local = format!("localhost:{}", server.port);
    // It is reached; that the certificate is another host's comes after that.
    assert_eq!(lenient.call(call_to(&local)).await, tls("name"));
}

#[tokio::test]
async fn only_allowed_hosts_are_called_if_any_are_named() {
    let server = good_server(|_| json("{}")).await;
    let with = |pattern: &str| {
        outbound(OutboundOptions { allow_hosts: vec![pattern.parse().unwrap()], ..options(server.port) })
    };
    let not_allowed = "not on the list of allowed hosts";
    assert_eq!(call(&with("smdp.operator.example")).await, refused(not_allowed));
    assert_eq!(with("*.test.example").call(call_to("host.that.does.not.exist.invalid")).await, refused(not_allowed));
    assert_eq!(server.connections(), 0);
    assert_eq!(call(&with("*.test.example")).await, reply(200, "{}"));
    assert_eq!(call(&with("SMDP.test.example")).await, reply(200, "{}"));
}

/// Polls a call once, so that it is in its queue.
async fn pends(call: &mut eim_core::ports::PortFuture<'_, Outcome>) -> bool {
    poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())).await
}

#[tokio::test]
async fn so_many_calls_go_to_a_server_at_a_time_so_many_wait_and_the_next_is_refused() {
    for limit in ["per_server", "slots"] {
        let gate = Arc::new(Semaphore::new(0));
        let does = Does::Waits(gate.clone(), answer(200, "application/json", b"{}"));
        let server = good_server(move |_| does.clone()).await;
        let mut options = options(server.port);
        (options.per_server, options.waiting_per_server) = (1, 1);
        if limit == "slots" {
            (options.slots, options.per_server, options.waiting_per_server) = (1, 2, 0);
        }
        let outbound = Arc::new(outbound(options));
        let first = tokio::spawn({
            let outbound = outbound.clone();
            async move { call(&outbound).await }
        });
        server.saw(1).await;
        let mut second = outbound.call(call_to(HOST));
        assert!(pends(&mut second).await);
        assert_eq!(call(&outbound).await, Err(RspFailure::Busy), "{limit}");
        let mut elsewhere = outbound.call(call_to("localhost"));
        assert!(pends(&mut elsewhere).await, "another server has a queue of its own");
        drop(elsewhere);
        gate.add_permits(2);
        assert_eq!(first.await.unwrap(), reply(200, "{}"));
        assert_eq!(second.await, reply(200, "{}"));
        assert_eq!(call_after(&outbound, &gate).await, reply(200, "{}"), "there is room again");
    }
}

async fn call_after(outbound: &HttpsOutbound, gate: &Semaphore) -> Outcome {
    gate.add_permits(1);
    call(outbound).await
}

#[tokio::test]
async fn a_call_that_its_caller_drops_gives_its_place_back() {
    let gate = Arc::new(Semaphore::new(0));
    let does = Does::Waits(gate.clone(), answer(200, "application/json", b"{}"));
    let server = good_server(move |_| does.clone()).await;
    let outbound = outbound(OutboundOptions { per_server: 1, waiting_per_server: 0, ..options(server.port) });
    tokio::select! {
        _ = call(&outbound) => panic!("the gate is closed"),
        () = server.saw(1) => {}
    }
    gate.add_permits(2);
    assert_eq!(call(&outbound).await, reply(200, "{}"));
}

#[tokio::test]
async fn a_server_that_keeps_failing_is_left_alone_until_one_call_succeeds() {
    let server = good_server(|number| if number < 3 { Does::Closes(Vec::new()) } else { json("{}") }).await;
    let clock = clock();
    let options = OutboundOptions { breaker_failures: 2, ..options(server.port) };
    let outbound = HttpsOutbound::new(options, trust(), clock.clone()).unwrap();
    let broken = || Err(RspFailure::Broken("no HTTP answer".to_owned()));
    let later = |time: &str| clock.advance(MockClock::at(time.parse().unwrap()).now() - clock.now());
    assert_eq!(call(&outbound).await, broken());
    assert_eq!(call(&outbound).await, broken());
    assert_eq!(call(&outbound).await, Err(RspFailure::CircuitOpen));
    later("2026-01-01T00:00:29Z");
    assert_eq!(call(&outbound).await, Err(RspFailure::CircuitOpen));
    later("2026-01-01T00:00:30Z");
    assert_eq!(call(&outbound).await, broken(), "the trial");
    assert_eq!(call(&outbound).await, Err(RspFailure::CircuitOpen));
    assert_eq!(server.requests().len(), 3);
    later("2026-01-01T00:01:00Z");
    assert_eq!(call(&outbound).await, reply(200, "{}"));
    assert_eq!(call(&outbound).await, reply(200, "{}"));
}

#[tokio::test]
async fn http_errors_are_signs_of_life() {
    let server = good_server(|_| Does::Answers(answer(500, "text/plain", b"no"))).await;
    let outbound = outbound(OutboundOptions { breaker_failures: 1, ..options(server.port) });
    for _ in 0..3 {
        assert_eq!(call(&outbound).await, reply(500, "no"));
    }
}

#[tokio::test]
async fn the_observer_is_told_of_every_call_once() {
    let server = good_server(|number| match number {
        0 => json("{}"),
        1 => Does::Answers(answer(404, "text/plain", b"")),
        _ => Does::Closes(Vec::new()),
    })
    .await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let outbound = outbound(OutboundOptions { breaker_failures: 1, ..options(server.port) }).with_observer({
        let told = told.clone();
        Arc::new(move |function, outcome, duration| {
            assert!(function == RspFunction::AuthenticateClient && duration < Duration::from_secs(20));
            told.lock().unwrap().push(outcome);
        })
    });
    for _ in 0..4 {
        let _ = call(&outbound).await;
    }
    let _ = outbound.call(call_to("localhost")).await;
    assert_eq!(*told.lock().unwrap(), ["ok", "httpError", "broken", "circuitOpen", "addressRefused"]);
}

#[test]
fn options_that_can_not_be_used_are_refused_and_nothing_secret_is_printed() {
    let with = |options| HttpsOutbound::new(options, trust(), clock());
    let header = with(OutboundOptions { user_agent: "a\r\nb".into(), ..OutboundOptions::default() });
    assert!(matches!(header, Err(OutboundError::Header { name: "user_agent" })));
    let zero = with(OutboundOptions { slots: 0, ..OutboundOptions::default() });
    assert!(matches!(zero, Err(OutboundError::Zero { name: "slots" })));
    assert!(format!("{:?}", with(OutboundOptions::default()).unwrap()).starts_with("HttpsOutbound"));
}
