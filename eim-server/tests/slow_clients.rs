//! Clients that are slow on purpose, too many or too fast: their connections end or wait, and others are served.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod client;

use client::Connection;
use eim_core::manage::{Role, create_api_key};
use eim_server::boot::{self, BootPorts, Server};
use eim_server::config::{Config, Limits};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const POLL: &str = r#"{"eidValue":"89044045930000000000001492294428"}"#;
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// A server that waits so long; a client that is let wait longer than its own 20 seconds fails the test.
const PATIENCE_MS: u64 = 1_500;

struct Place {
    _dir: tempfile::TempDir,
    server: Server,
}

async fn place(configure: impl FnOnce(&mut Limits)) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::ephemeral(dir.path().join("data"));
    configure(&mut config.limits);
    let server = boot::start(config, BootPorts::default()).await.unwrap();
    Place { _dir: dir, server }
}

fn impatient(limits: &mut Limits) {
    limits.request_timeout_ms = PATIENCE_MS;
    limits.handshake_timeout_ms = PATIENCE_MS;
    limits.write_timeout_ms = PATIENCE_MS;
}

impl Place {
    fn front(&self) -> Connection {
        Connection::tls(self.server.esipa_addr, &self.server.esipa_trust_der, &rustls::version::TLS13)
    }

    fn api(&self) -> Connection {
        Connection::plain(self.server.api_addr)
    }

    async fn bearer(&self) -> String {
        format!("Bearer {}", create_api_key("test", Role::Operator, &self.server.eim).await.unwrap().1)
    }

    /// The sum of a metric over the series with these labels.
    fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let answer = self.api().send("GET", "/metrics", &[], b"");
        assert_eq!(answer.status, 200);
        let text = String::from_utf8(answer.body).unwrap();
        let of_it = |line: &&str| line.starts_with(name) && labels.iter().all(|label| line.contains(label));
        text.lines().filter(of_it).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    fn others_are_served(&self) {
        assert_eq!(self.front().send("POST", "/gsma/rsp2/esipa/getEimPackage", &[], POLL.as_bytes()).status, 200);
        assert_eq!(self.api().send("GET", "/healthz", &[], b"").status, 200);
    }
}

fn status_of(octets: &[u8]) -> Option<&str> {
    std::str::from_utf8(octets.get(9..12)?).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_stalls_is_ended() {
    let place = place(impatient).await;
    // A ClientHello that announces more than comes.
    for hello in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut stalled = TcpStream::connect(place.server.esipa_addr).unwrap();
        stalled.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stalled.write_all(hello).unwrap();
        assert_eq!(stalled.read(&mut [0; 64]).unwrap_or(0), 0);
    }
    assert_eq!(place.metric("eim_connections_ended_total", &["esipa", "slow_handshake"]), 3.0);
    place.others_are_served();
    place.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_the_first_and_of_every_later_request_has_its_time() {
    let place = place(impatient).await;
    let whole = format!(
        "POST /gsma/rsp2/esipa/getEimPackage HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{POLL}",
        POLL.len()
    );
    for requests in [0, 1, 3] {
        for (is_api, request) in [(false, whole.as_str()), (true, HEALTH)] {
            let mut connection = if is_api { place.api() } else { place.front() };
            for _ in 0..requests {
                assert_eq!(connection.send_raw(request.as_bytes()).status, 200);
            }
            // An octet now and then, for as long as it is let.
            let mut head = b"POST /gsma/rsp2/asn1 HTTP/1.1\r\nX-Slow: ".iter().copied().chain(std::iter::repeat(b'x'));
            let begun = Instant::now();
            while connection.write(&[head.next().unwrap()]) && begun.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(PATIENCE_MS / 6));
            }
            assert!(
                begun.elapsed() < Duration::from_secs(15),
                "after {requests} requests it has all the time in the world"
            );
            let last = connection.read_to_the_end();
            assert!(last.is_empty(), "{}", String::from_utf8_lossy(&last));
        }
    }
    for listener in ["esipa", "api"] {
        assert_eq!(place.metric("eim_connections_ended_total", &[listener, "slow_request"]), 3.0);
    }
    place.others_are_served();
    place.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_nothing_comes_is_ended() {
    let place = place(impatient).await;
    for (mut connection, listener) in [(place.front(), "esipa"), (place.api(), "api")] {
        assert!(connection.read_to_the_end().is_empty());
        assert_eq!(place.metric("eim_connections_ended_total", &[listener, "slow_request"]), 1.0);
    }
    place.others_are_served();
    place.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_is_answered_with_408_and_its_connection_ended() {
    let place = place(impatient).await;
    let key = place.bearer().await;
    let api = format!("Authorization: {key}\r\nContent-Length: 100000\r\n");
    for (path, headers) in [
        ("/gsma/rsp2/asn1", "Content-Length: 100000\r\n"),
        ("/gsma/rsp2/asn1", "Transfer-Encoding: chunked\r\n"),
        ("/gsma/rsp2/esipa/getEimPackage", "Transfer-Encoding: chunked\r\n"),
        ("/api/v1/euiccs", api.as_str()),
    ] {
        let mut connection = if path.starts_with("/api") { place.api() } else { place.front() };
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        assert!(connection.write(head.as_bytes()));
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(PATIENCE_MS + 400) && connection.write(b"1\r\n \r\n") {
            std::thread::sleep(Duration::from_millis(PATIENCE_MS / 6));
        }
        let last = connection.read_to_the_end();
        assert_eq!(status_of(&last), Some("408"), "{path}: {}", String::from_utf8_lossy(&last));
    }
    place.others_are_served();
    place.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nobody_reads_keeps_no_connection() {
    let place = place(impatient).await;
    for path in ["/nowhere", "/api/v1/euiccs"] {
        let mut connection = if path.starts_with("/api") { place.api() } else { place.front() };
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert!(connection.write(head.as_bytes()));
        assert!([404, 401].contains(&connection.read().status));
        let begun = Instant::now();
        while connection.write(b"1\r\n \r\n") && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(PATIENCE_MS / 6));
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "{path}: it may send for ever");
    }
    place.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_take_its_answers_is_left() {
    let place = place(impatient).await;
    let mut deaf = TcpStream::connect(place.server.api_addr).unwrap();
    deaf.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    while place.metric("eim_connections_ended_total", &["api", "slow_reader"]) == 0.0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the server waits for ever");
        // More than the buffers of both sides hold; what does not fit is left out.
        for _ in 0..16 {
            let _ = deaf.write(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    place.others_are_served();
    place.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_takes_longer_than_a_request_may_is_not_cut_off() {
    let place = place(impatient).await;
    let key = place.bearer().await;
    let mut connection = place.api();
    let head = format!(
        "POST /api/v1/imports/euiccs HTTP/1.1\r\nHost: localhost\r\nAuthorization: {key}\r\nContent-Type: application/x-ndjson\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    assert!(connection.write(head.as_bytes()));
    // Blank lines, each within the time that the next part may take, and all of them beyond what a head may.
    for _ in 0..8 {
        assert!(connection.write(b"1\r\n\n\r\n"));
        std::thread::sleep(Duration::from_millis(PATIENCE_MS / 4));
    }
    assert!(connection.write(b"0\r\n\r\n"));
    assert_eq!(connection.read().status, 200);
    place.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_connections_and_one_more_is_closed() {
    let place = place(|limits| limits.connections_per_address = 2).await;
    let is_closed = |addr: SocketAddr| {
        let mut tcp = TcpStream::connect(addr).unwrap();
        tcp.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        matches!(tcp.read(&mut [0; 1]), Ok(0))
    };
    let mut first = place.front();
    assert_eq!(first.send("POST", "/gsma/rsp2/esipa/getEimPackage", &[], POLL.as_bytes()).status, 200);
    let mut second = place.front();
    assert_eq!(second.send("POST", "/gsma/rsp2/esipa/getEimPackage", &[], POLL.as_bytes()).status, 200);
    assert!(is_closed(place.server.esipa_addr));
    assert_eq!(first.send("POST", "/gsma/rsp2/esipa/getEimPackage", &[], POLL.as_bytes()).status, 200);
    assert_eq!(place.metric("eim_connections_ended_total", &["esipa", "address"]), 1.0);
    drop(second);
    let begun = Instant::now();
    while is_closed(place.server.esipa_addr) {
        assert!(begun.elapsed() < Duration::from_secs(15), "the place is not given back");
    }
    place.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_too_fast_waits_and_is_refused_nothing() {
    let place = place(|limits| (limits.connection_per_second, limits.connection_burst) = (2, 2)).await;
    let mut front = place.front();
    // Known, so that the strangers' part does not count.
    let eid = serde_json::json!({ "eid": "89044045930000000000001492294428" }).to_string();
    let key = place.bearer().await;
    assert_eq!(place.api().send("POST", "/api/v1/euiccs", &[("Authorization", &key)], eid.as_bytes()).status, 201);
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(front.send("POST", "/gsma/rsp2/esipa/getEimPackage", &[], POLL.as_bytes()).status, 200);
    }
    assert!(begun.elapsed() >= Duration::from_millis(1_400), "{:?}", begun.elapsed());
    assert!(place.metric("eim_requests_paced_total", &["esipa"]) >= 1.0);
    place.server.stop().await;
}
