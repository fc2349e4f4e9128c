//! Both listeners through their front doors: status codes, headers, keys, roles and problems.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod client;

use client::{Answer, Connection};
use eim_core::manage::{Role, create_api_key};
use eim_server::boot::{self, BootPorts, Server};
use eim_server::config::Config;
use serde_json::{Value, json};

struct Place {
    _dir: tempfile::TempDir,
    config: Config,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::ephemeral(dir.path().join("data"));
        Self { _dir: dir, config }
    }

    async fn start(&self) -> Server {
        boot::start(self.config.clone(), BootPorts::default()).await.unwrap()
    }
}

fn assert_problem(answer: &Answer, status: u16, slug: &str) {
    assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    assert_eq!(problem["type"], format!("urn:eim:problem:{slug}"));
    assert_eq!(problem["status"], status);
    assert!(problem["title"].is_string() && problem["detail"].is_string() && problem["errors"].is_array());
}

async fn bearer(role: Role, server: &Server) -> String {
    format!("Bearer {}", create_api_key("test", role, &server.eim).await.unwrap().1)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_document_needs_a_key_and_its_role() {
    let place = Place::new();
    let server = place.start().await;
    let mut api = Connection::plain(server.api_addr);
    let document = api.send("GET", "/openapi.json", &[], b"").json();
    let viewer = bearer(Role::Viewer, &server).await;
    let mut walked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase();
            let path = path.replace("{eid}", &"0".repeat(32)).replace("{id}", "00000000-0000-7000-8000-000000000000");
            let Some(role) = operation["security"][0]["apiKey"][0].as_str() else {
                assert_eq!(api.send(&method, &path, &[], b"").status, 200, "{method} {path}");
                continue;
            };
            walked += 1;
            let send = |headers: &[(&str, &str)]| Connection::plain(server.api_addr).send(&method, &path, headers, b"");
            for headers in [&[][..], &[("Authorization", "Bearer nonsense")], &[("Authorization", "Basic eDp5")]] {
                let answer = send(headers);
                assert_problem(&answer, 401, "unauthorized");
                assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
            }
            let answer = send(&[("Authorization", &viewer)]);
            if role == "viewer" {
                assert!(![401, 403, 405, 500].contains(&answer.status), "{method} {path}: {}", answer.status);
            } else {
                assert_problem(&answer, 403, "forbidden");
            }
        }
    }
    assert!(walked >= 12, "{walked}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_in_the_api_is_a_problem() {
    let mut place = Place::new();
    place.config.limits.body_bytes = 2_000;
    let server = place.start().await;
    let key = bearer(Role::Operator, &server).await;
    let key = ("Authorization", key.as_str());
    let send =
        |method: &str, path: &str, body: &[u8]| Connection::plain(server.api_addr).send(method, path, &[key], body);
    assert_problem(&send("GET", "/nowhere", b""), 404, "not-found");
    assert_problem(&send("GET", "/api/v1/nowhere", b""), 404, "not-found");
    let answer = send("DELETE", "/api/v1/euiccs", b"");
    assert_problem(&answer, 405, "method-not-allowed");
    assert!(answer.header("allow").unwrap().contains("GET"));
    assert_problem(&send("POST", "/api/v1/euiccs", b"{"), 400, "malformed-request");
    assert_problem(&send("POST", "/api/v1/euiccs", &[b' '; 3_000]), 413, "body-too-large");
    let chunked = format!(
        "POST /api/v1/euiccs HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        key.1,
        3_000,
        " ".repeat(3_000)
    );
    assert_problem(&Connection::plain(server.api_addr).send_raw(chunked.as_bytes()), 413, "body-too-large");
    let answer = send("GET", "/api/v1/operations?stat=queued", b"");
    assert_problem(&answer, 400, "malformed-request");
    assert_eq!(answer.json()["errors"][0]["pointer"], "/stat");
    let lab = json!({"eid": "89044045930000000000001492294428", "resultPolicy": "lab"}).to_string();
    assert_problem(&send("POST", "/api/v1/euiccs", lab.as_bytes()), 403, "forbidden");
    let lab = json!({"resultPolicy": "lab"}).to_string();
    assert_problem(&send("PATCH", "/api/v1/euiccs/89044045930000000000001492294428", lab.as_bytes()), 403, "forbidden");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_registers_an_euicc_and_asks_for_operations() {
    const EUICC: &str = "/api/v1/euiccs/89044045930000000000001492294428";
    let place = Place::new();
    let server = place.start().await;
    let key = bearer(Role::Operator, &server).await;
    let mut api = Connection::plain(server.api_addr);
    let mut send = |method: &str, path: &str, idempotency_key: &str, body: Value| {
        let headers = [("Authorization", key.as_str()), ("Idempotency-Key", idempotency_key)];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        api.send(method, path, &headers[..if idempotency_key.is_empty() { 1 } else { 2 }], body.as_bytes())
    };

    let euicc = json!({"eid": "89044045930000000000001492294428", "label": "meter", "tags": ["berlin"]});
    let answer = send("POST", "/api/v1/euiccs", "", euicc.clone());
    assert_eq!((answer.status, answer.header("location")), (201, Some(EUICC)));
    assert_problem(&send("POST", "/api/v1/euiccs", "", euicc), 409, "euicc-exists");
    let answer = send("POST", "/api/v1/euiccs", "", json!({"eid": "123"}));
    assert_problem(&answer, 422, "invalid-value");
    assert_eq!(answer.json()["errors"][0]["pointer"], "/eid");
    assert_eq!(send("PATCH", EUICC, "", json!({"label": "gate"})).json()["label"], "gate");
    assert_eq!(send("GET", "/api/v1/euiccs?tag=berlin", "", Value::Null).json()["items"][0]["label"], "gate");
    assert_eq!(send("GET", "/api/v1/euiccs?tag=paris", "", Value::Null).json()["items"], json!([]));
    for part in ["profiles", "events"] {
        assert!(send("GET", &format!("{EUICC}/{part}"), "", Value::Null).json()["items"].is_array());
    }

    let operations = format!("{EUICC}/operations");
    let answer = send("POST", &operations, "", json!({"psmo": [{"enable": {"iccid": "8"}}]}));
    assert_problem(&answer, 422, "invalid-value");
    assert!(answer.json()["errors"][0]["pointer"].as_str().unwrap().starts_with("/psmo/0/enable"));
    let request = json!({"psmo": [{"listProfileInfo": {}}], "label": "look"});
    let answer = send("POST", &operations, "once", request.clone());
    assert_eq!(answer.status, 202);
    let location = answer.header("location").unwrap().to_owned();
    assert_eq!(send("POST", &operations, "once", request).header("location"), Some(location.as_str()));
    assert_eq!(send("GET", &location, "", Value::Null).json()["state"], "queued");
    assert_eq!(send("GET", "/api/v1/operations?state=queued", "", Value::Null).json()["items"][0]["label"], "look");
    assert_eq!(send("POST", &format!("{location}/cancel"), "", Value::Null).json()["state"], "cancelled");
    assert_eq!(send("POST", &format!("{location}/cancel"), "", Value::Null).status, 409);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lab_policy_needs_an_admin_and_the_configuration() {
    let mut place = Place::new();
    let lab = json!({"eid": "89044045930000000000001492294428", "resultPolicy": "lab"}).to_string();
    for (enabled, role, status) in [(false, Role::Admin, 422), (true, Role::Operator, 403), (true, Role::Admin, 201)] {
        place.config.lab.enabled = enabled;
        let server = place.start().await;
        let key = bearer(role, &server).await;
        let headers = [("Authorization", key.as_str())];
        let answer = Connection::plain(server.api_addr).send("POST", "/api/v1/euiccs", &headers, lab.as_bytes());
        assert_eq!(answer.status, status, "{enabled} {role}: {}", String::from_utf8_lossy(&answer.body));
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_loads_nothing_from_elsewhere() {
    let place = Place::new();
    let server = place.start().await;
    let mut api = Connection::plain(server.api_addr);
    assert_eq!(api.send("GET", "/docs", &[], b"").header("location"), Some("/docs/"));
    let page = String::from_utf8(api.send("GET", "/docs/", &[], b"").body).unwrap();
    assert!(page.contains("swagger-ui"));
    for attribute in ["src=\"", "href=\""] {
        for (at, _) in page.match_indices(attribute) {
            let target = page[at + attribute.len()..].split('"').next().unwrap();
            assert!(!target.contains("//"), "{target} is loaded from elsewhere");
            assert_eq!(api.send("GET", &format!("/docs/{}", target.trim_start_matches("./")), &[], b"").status, 200);
        }
    }
    let script = String::from_utf8(api.send("GET", "/docs/swagger-initializer.js", &[], b"").body).unwrap();
    assert!(script.contains("/openapi.json") && !script.contains("https://"), "{script}");
    assert!(script.contains(r#""validatorUrl": "none""#), "the validator is off: {script}");
    assert!(!page.contains("<script>"), "the content security policy allows no inline script");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_device_front_speaks_tls_1_2_and_1_3_and_keeps_connections() {
    let place = Place::new();
    let server = place.start().await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut front = Connection::tls(server.esipa_addr, &server.esipa_trust_der, version);
        for _ in 0..3 {
            let answer = front.send("POST", "/gsma/rsp2/asn1", &[("X-Admin-Protocol", "gsma/rsp/v2.5.0")], b"\x01\x00");
            assert_eq!((answer.status, answer.header("x-admin-protocol")), (400, Some("gsma/rsp/v2.5.0")));
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_to_a_device_carries_x_admin_protocol() {
    let mut place = Place::new();
    place.config.limits.body_bytes = 2_000;
    let server = place.start().await;
    for (method, path, body, status) in [
        ("GET", "/gsma/rsp2/asn1", &b""[..], 405),
        ("PUT", "/gsma/rsp2/esipa/getEimPackage", b"", 405),
        ("POST", "/nowhere", b"", 404),
        ("POST", "/gsma/rsp2/esipa/noSuchFunction", b"{}", 404),
        ("POST", "/gsma/rsp2/asn1", b"", 400),
        ("POST", "/gsma/rsp2/asn1", b"\x30\x80", 400),
        ("POST", "/gsma/rsp2/asn1", &[0; 3_000], 413),
        ("POST", "/gsma/rsp2/esipa/getEimPackage", b"not json", 400),
        ("POST", "/gsma/rsp2/esipa/getEimPackage", b"[]", 400),
    ] {
        let mut front = Connection::tls(server.esipa_addr, &server.esipa_trust_der, &rustls::version::TLS13);
        let answer = front.send(method, path, &[("X-Admin-Protocol", "else")], body);
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("x-admin-protocol"), Some("gsma/rsp/v2.1.0"), "{method} {path}");
        assert!(answer.body.is_empty());
    }
    let metrics = Connection::plain(server.api_addr).send("GET", "/metrics", &[], b"").body;
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(metrics.contains("reason=\"undecodable\"") && metrics.contains("reason=\"too_large\""), "{metrics}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_of_an_unknown_device_is_answered_in_both_bindings() {
    let place = Place::new();
    let server = place.start().await;
    let mut front = Connection::tls(server.esipa_addr, &server.esipa_trust_der, &rustls::version::TLS12);
    // BF4F 12: getEimPackageRequest { 5A 10: eidValue }
    let poll = hex::decode("bf4f125a1089044045930000000000001492294428").unwrap();
    let answer = front.send("POST", "/gsma/rsp2/asn1", &[], &poll);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-gsma-rsp-asn1")));
    // BF4F 03 { 02 01 02: eidNotFound }
    assert_eq!(answer.body, hex::decode("bf4f03020102").unwrap());
    let poll = json!({"eidValue": "89044045930000000000001492294428"}).to_string();
    let answer = front.send("POST", "/gsma/rsp2/esipa/getEimPackage", &[("Content-Type", "text/odd")], poll.as_bytes());
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.json()["eimPackageError"], 2);
    assert!(answer.json()["header"]["functionExecutionStatus"]["status"].is_string());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunked_expecting_and_pipelined_requests_are_served() {
    let place = Place::new();
    let server = place.start().await;
    let mut front = Connection::tls(server.esipa_addr, &server.esipa_trust_der, &rustls::version::TLS13);
    let poll = r#"{"eidValue":"89044045930000000000001492294428"}"#;
    let head = "POST /gsma/rsp2/esipa/getEimPackage HTTP/1.1\r\nHost: localhost\r\n";
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{poll}\r\n0\r\n\r\n", poll.len());
    assert_eq!(front.send_raw(chunked.as_bytes()).status, 200);
    let plain = format!("{head}Content-Length: {}\r\n\r\n{poll}", poll.len());
    assert_eq!(front.send_raw(format!("{plain}{plain}").as_bytes()).status, 200);
    assert_eq!(front.read().status, 200);
    let expecting = format!("{head}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", poll.len());
    assert_eq!(front.send_raw(expecting.as_bytes()).status, 100);
    assert_eq!(front.send_raw(poll.as_bytes()).status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_without_a_key() {
    let place = Place::new();
    let server = place.start().await;
    let mut api = Connection::plain(server.api_addr);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(api.send("GET", path, &[], b"").json(), json!({"status": "ok"}));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_frees_its_data_directory_and_comes_back_as_itself() {
    let place = Place::new();
    let first = place.start().await;
    let refused = boot::start(place.config.clone(), BootPorts::default()).await.err().expect("a refusal");
    assert!(refused.to_string().contains("another server"));
    let (trust, first_start) = (first.esipa_trust_der.clone(), first.first_start);
    // A connection that is kept must not hold the server up.
    let mut idle = Connection::plain(first.api_addr);
    idle.send("GET", "/healthz", &[], b"");
    first.stop().await;
    let second = place.start().await;
    assert!(first_start && !second.first_start);
    assert_eq!(second.esipa_trust_der, trust);
    drop(second);
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_servers_run_in_one_process() {
    let places: Vec<Place> = (0..4).map(|_| Place::new()).collect();
    let mut ids: Vec<Value> = Vec::new();
    let mut servers = Vec::new();
    for place in &places {
        let server = place.start().await;
        let key = bearer(Role::Viewer, &server).await;
        let answer = Connection::plain(server.api_addr).send("GET", "/api/v1/eim", &[("Authorization", &key)], b"");
        ids.push(answer.json()["eimId"].clone());
        servers.push(server);
    }
    ids.sort_by_key(Value::to_string);
    ids.dedup();
    assert_eq!(ids.len(), 4);
    for server in servers {
        server.kill().await;
    }
}
