//! What comes in at the device front that is wrong, odd or of another dialect (02 2.9, 04, 6.6; "Bad input").
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use eim_conformance::{
    Answer, Device, Forge, PollOptions, Role, SentPackage, World, each_binding, matrix, matrix_with,
};
use eim_simulator::ipa::{Binding, Exchange, Function, Ipa};
use eim_simulator::tlv::{Tlv, element, integer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ASN1: &str = "/gsma/rsp2/asn1";
const FUNCTIONS: [&str; 8] = [
    "initiateAuthentication",
    "authenticateClient",
    "getBoundProfilePackage",
    "transferEimPackage",
    "getEimPackage",
    "provideEimPackageResult",
    "handleNotification",
    "cancelSession",
];

fn json_path(function: &str) -> String {
    format!("/gsma/rsp2/esipa/{function}")
}

async fn post(device: &mut Device, path: &str, body: &[u8]) -> Exchange {
    device.ipa.post_raw(path, &[], body).await.expect("an answer")
}

/// Everything an operator sees of a device.
async fn view(world: &World, eid: &str) -> Value {
    json!([
        world.euicc(eid).await,
        world.operations(eid).await,
        world.events(eid).await,
        world.get(&format!("/api/v1/euiccs/{eid}/profiles")).await
    ])
}

fn refused_with(exchange: &Exchange, status: u16, what: &str) {
    assert_eq!(exchange.status, status, "{what}");
    assert_eq!(exchange.header("x-admin-protocol"), Some("gsma/rsp/v2.1.0"), "{what}");
    assert!(exchange.response.is_empty(), "{what}: {}", String::from_utf8_lossy(&exchange.response));
}

/// CX-07 to -10 through the front door; "Undecodable ESipa: 400, nothing stored but a counted log line".
#[test]
fn octets_that_are_no_message_are_refused_with_400_and_leave_no_trace() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        world.queue(&device.eid(), device.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        let before = view(world, &device.eid()).await;
        let eid = element(0x5a, &[device.euicc.eid().octets()]);
        let poll = element(0xbf4f, &[&eid]);
        let good = Forge::of(&device).answer(&package, 500, &[&integer(0x83, 0)]);
        let result = element(0xbf50, &[&eid, &good]);
        let mut deep = vec![0x05, 0x00];
        for _ in 0..2_000 {
            deep = element(0x30, &[&deep]);
        }
        let bodies: Vec<Vec<u8>> = vec![
            vec![],
            vec![0x00],
            vec![0xff; 64],
            b"GET / HTTP/1.1".to_vec(),
            b"{}".to_vec(),
            b"\x16\x03\x01\x02\x00".to_vec(),
            poll[..poll.len() - 1].to_vec(),
            [&poll[..], &[0x00]].concat(),
            [&poll[..], &poll[..]].concat(),
            // indefinite length, lengths of 2^32 and 2^64, length past the parent
            [&[0xbf, 0x4f, 0x80], &eid[..], &[0x00, 0x00]].concat(),
            hex::decode("bf4f840100000000").unwrap(),
            hex::decode("bf4f88ffffffffffffffff").unwrap(),
            hex::decode("bf4f035a1089").unwrap(),
            element(0xbf4f, &[&deep]),
            element(0xbf50, &[&eid, &deep]),
            // a tag of a message from the eIM, an unknown one, a primitive one
            element(0xbf51, &[&[0xa0, 0x00]]),
            element(0xbf77, &[&eid]),
            element(0x9f4f, &[&eid]),
            // duplicate fields, a missing result, a missing signature, two results
            element(0xbf4f, &[&eid, &eid]),
            element(0xbf50, &[&eid]),
            element(0xbf50, &[&eid, &good, &good]),
            result[..result.len() - 10].to_vec(),
            element(0xbf3d, &[]),
        ];
        let count = bodies.len();
        for body in bodies {
            let what = format!("{} octets {}", body.len(), hex::encode(&body[..body.len().min(40)]));
            refused_with(&post(&mut device, ASN1, &body).await, 400, &what);
        }
        assert_eq!(view(world, &device.eid()).await, before);
        assert_eq!(world.metric("eim_esipa_rejected_total", &["binding=\"asn1\"", "undecodable"]).await, count as f64);
        let answer = device.deliver(&good).await;
        assert_eq!(answer, Answer::Acknowledged(vec![500]), "and the device is served as ever");
    });
}

/// HT-06.
#[test]
fn text_that_is_no_message_is_refused_with_400_and_leaves_no_trace() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let before = view(world, &device.eid()).await;
        let eid = device.eid();
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let in_member = format!("{{\"eidValue\":\"{eid}\",\"x\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
        let texts: Vec<Vec<u8>> = vec![
            b"".to_vec(),
            b"null".to_vec(),
            b"[]".to_vec(),
            b"1".to_vec(),
            b"\"x\"".to_vec(),
            b"{".to_vec(),
            b"{\"a\":}".to_vec(),
            b"{} {}".to_vec(),
            b"\xff\xfe{\x00}\x00".to_vec(),
            deep.into_bytes(),
            in_member.into_bytes(),
            format!("{{\"eidValue\":\"{eid}\",\"eidValue\":\"{eid}\"}}").into_bytes(),
            [b"{\"eidValue\":\"".as_slice(), b"\xc3\x28", b"\"}"].concat(),
            format!("{{\"eidValue\":\"{eid}\",\"stateChangeCause\":1e99}}").into_bytes(),
            format!("{{\"eidValue\":\"{eid}\",\"stateChangeCause\":\"3\"}}").into_bytes(),
            format!("{{\"eidValue\":\"{eid}\",\"stateChangeCause\":3.5}}").into_bytes(),
            format!("{{\"eidValue\":\"{eid}\",\"stateChangeCause\":99999999999999999999999}}").into_bytes(),
            format!("{{\"eidValue\":\"{eid}\",\"notifyStateChange\":\"yes\"}}").into_bytes(),
            format!("{{\"eidValue\":\"{eid}\",\"rPlmn\":\"!!\"}}").into_bytes(),
            format!("{{\"eidValue\":\"{eid}\",\"rPlmn\":\"AAAAAAAA\"}}").into_bytes(),
            poll_in_utf16(&eid),
        ];
        for text in &texts {
            let what = String::from_utf8_lossy(&text[..text.len().min(80)]).into_owned();
            refused_with(&post(&mut device, &json_path("getEimPackage"), text).await, 400, &what);
        }
        for body in [
            json!({ "eidValue": eid }),
            json!({ "eidValue": eid, "eimPackageResult": 5 }),
            json!({ "eidValue": eid, "eimPackageResult": "" }),
            json!({ "eidValue": eid, "eimPackageResult": "%%%" }),
            json!({ "eidValue": eid, "eimPackageResult": STANDARD.encode([0xbf, 0x51, 0x05]) }),
            json!({ "eidValue": eid, "eimPackageResult": null }),
        ] {
            let text = body.to_string();
            refused_with(&post(&mut device, &json_path("provideEimPackageResult"), text.as_bytes()).await, 400, &text);
        }
        for body in [
            json!({}),
            json!({ "pendingNotification": "AAAA" }),
            json!({ "provideEimPackageResult": "AAAA" }),
            json!({ "pendingNotification": STANDARD.encode([0x30, 0x00]), "provideEimPackageResult": STANDARD.encode([0xbf, 0x50, 0x00]) }),
        ] {
            let text = body.to_string();
            refused_with(&post(&mut device, &json_path("handleNotification"), text.as_bytes()).await, 400, &text);
        }
        assert_eq!(view(world, &eid).await, before);
        assert_eq!(world.metric("eim_esipa_rejected_total", &["binding=\"json\""]).await, texts.len() as f64 + 10.0);
    });
}

fn poll_in_utf16(eid: &str) -> Vec<u8> {
    format!("{{\"eidValue\":\"{eid}\"}}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// HT-06, HT-07: what is taken all the same.
#[test]
fn liberties_of_json_are_taken() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let poll = json_path("getEimPackage");
        for text in [
            format!("\u{feff}{{\"eidValue\":\"{eid}\"}}"),
            format!(
                "  \r\n{{\"eidValue\" : \"{eid}\", \"notifyStateChange\": null, \"stateChangeCause\": null, \"rPlmn\": null}}\n"
            ),
            format!("{{\"eidValue\":\"{eid}\",\"notifyStateChange\":false,\"unknown\":{{\"a\":[1,null]}}}}"),
            format!("{{\"header\":{{\"functionRequesterIdentifier\":\"x\"}},\"eidValue\":\"{eid}\"}}"),
            format!("{{\"eidValue\":\"\\u0038{}\"}}", &eid[1..]),
        ] {
            let exchange = post(&mut device, &poll, text.as_bytes()).await;
            assert_eq!(exchange.status, 200, "{text}");
            let body: Value = serde_json::from_slice(&exchange.response).unwrap();
            assert_eq!(body["eimPackageError"], 1, "{text}");
        }
        // base64 without padding and with line breaks; the URL alphabet is another
        for (name, padded) in [("no padding", false), ("line breaks", true)] {
            let id = world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await;
            let package = SentPackage::read(&device.fetch().await);
            let seq = 500 + package.counter;
            let mut result = Forge::of(&device).answer(&package, seq, &[&[0xa6, 0x00]]);
            if !padded && result.len().is_multiple_of(3) {
                // make it need padding
                result = Forge::of(&device).answer(&package, seq + 10_000, &[&[0xa6, 0x00]]);
            }
            let text = STANDARD.encode(&result);
            let text = if padded {
                text.as_bytes()
                    .chunks(64)
                    .map(|line| String::from_utf8_lossy(line).into_owned())
                    .collect::<Vec<_>>()
                    .join("\r\n")
            } else {
                text.trim_end_matches('=').to_owned()
            };
            let body = json!({ "eidValue": eid, "eimPackageResult": text }).to_string();
            let exchange = post(&mut device, &json_path("provideEimPackageResult"), body.as_bytes()).await;
            assert_eq!(exchange.status, 200, "{name}");
            assert_eq!(world.operation(&id).await["verified"], true, "{name}");
        }
        let body = json!({ "eidValue": eid, "eimPackageResult": URL_SAFE.encode([0xff, 0xef, 0xbe]) }).to_string();
        assert_eq!(post(&mut device, &json_path("provideEimPackageResult"), body.as_bytes()).await.status, 400);
    });
}

/// 1.2: missingEid(4), invalidEid(3); ID-02.
#[test]
fn an_eid_that_is_missing_or_none_has_its_own_error_in_each_function() {
    each_binding(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let good = Forge::of(&device).result("x", 1, None, 1, &[&integer(0x83, 0)]);
        let code = |exchange: &Exchange, member: &str| match world.binding {
            Binding::Asn1 => Tlv::only(Tlv::only(&exchange.response).unwrap().content).unwrap().integer(),
            Binding::Json => serde_json::from_slice::<Value>(&exchange.response).unwrap()[member].as_i64(),
        };
        let digits = device.eid();
        let cases: Vec<(i64, Vec<u8>, Vec<u8>)> = match world.binding {
            Binding::Asn1 => {
                let octets = *device.euicc.eid().octets();
                let mut hex_digit = octets;
                hex_digit[5] = 0x0a;
                let with = |eid: &[u8]| (element(0xbf4f, &[eid]), element(0xbf50, &[eid, &good]));
                [
                    (4, vec![]),
                    (3, element(0x5a, &[&octets[..15]])),
                    (3, element(0x5a, &[&octets, &[0]])),
                    (3, element(0x5a, &[])),
                    (3, element(0x5a, &[&hex_digit])),
                ]
                .into_iter()
                .map(|(code, eid)| (code, with(&eid).0, with(&eid).1))
                .collect()
            }
            Binding::Json => {
                let with = |eid: &Value| {
                    let mut poll = json!({});
                    let mut result = json!({ "eimPackageResult": STANDARD.encode(&good) });
                    if !eid.is_null() {
                        poll["eidValue"] = eid.clone();
                        result["eidValue"] = eid.clone();
                    }
                    (poll.to_string().into_bytes(), result.to_string().into_bytes())
                };
                [
                    (4, Value::Null),
                    (3, json!(&digits[..31])),
                    (3, json!(format!("{digits}0"))),
                    (3, json!("")),
                    (3, json!(format!("{}A", &digits[..31]))),
                    (3, json!(format!("{}\u{0665}", &digits[..31]))),
                    (3, json!(format!(" {}", &digits[..31]))),
                    (3, json!(format!("{digits} "))),
                ]
                .into_iter()
                .map(|(code, eid)| (code, with(&eid).0, with(&eid).1))
                .collect()
            }
        };
        for (expected, poll, result) in cases {
            let exchange = device.send(Function::GetEimPackage, &poll).await;
            assert_eq!(
                (exchange.status, code(&exchange, "eimPackageError")),
                (200, Some(expected)),
                "{}",
                hex::encode(&poll)
            );
            let exchange = device.send(Function::ProvideEimPackageResult, &result).await;
            assert_eq!(exchange.status, 200);
            assert_eq!(code(&exchange, "provideEimPackageResultError"), Some(expected), "{}", hex::encode(&result));
        }
    });
}

/// HT-04.
#[test]
fn a_body_beyond_the_limit_is_answered_with_413() {
    matrix_with(
        |config| config.limits.body_bytes = 4_000,
        async |world: &mut World| {
            let mut device = world.listed_device(1).await;
            let paths = [ASN1.to_owned(), json_path("getEimPackage"), json_path("provideEimPackageResult")];
            for path in &paths {
                // base64 makes the same objects a third longer
                let limit = if path == ASN1 { 4_000 } else { 6_000 };
                refused_with(&post(&mut device, path, &vec![b' '; limit + 1]).await, 413, path);
                refused_with(&post(&mut device, path, &vec![0x30; 300_000]).await, 413, path);
                let status = post(&mut device, path, &vec![b' '; limit]).await.status;
                assert_eq!(status, 400, "{path}: as many as allowed are read");
            }
            assert_eq!(world.metric("eim_esipa_rejected_total", &["too_large"]).await, 6.0);
            assert!(device.poll().await.is_idle());
        },
    );
}

/// HT-05, 4.1.
#[test]
fn other_methods_and_paths_are_refused_and_name_the_protocol_all_the_same() {
    each_binding(async |world: &mut World| {
        let device = world.device(1).await;
        let mut paths = vec![ASN1.to_owned()];
        paths.extend(FUNCTIONS.iter().map(|function| json_path(function)));
        for path in &paths {
            for method in ["GET", "PUT", "DELETE", "PATCH", "HEAD"] {
                let exchange = Ipa::new(world.ipa_config()).request_raw(method, path, &[], b"").await.unwrap();
                refused_with(&exchange, 405, &format!("{method} {path}"));
                assert_eq!(exchange.header("allow"), Some("POST"));
            }
        }
        for path in [
            "/",
            "/gsma/rsp2",
            "/gsma/rsp2/asn1/",
            "/gsma/rsp2/asn1/x",
            "/gsma/rsp2/esipa",
            "/gsma/rsp2/esipa/",
            "/gsma/rsp2/esipa/getEimPackages",
            "/gsma/rsp2/esipa/GetEimPackage",
            "/gsma/rsp2/esipa/getEimPackage/x",
            "/gsma/rsp2/es9plus/initiateAuthentication",
            "/api/v1/euiccs",
            "/metrics",
            "/gsma/rsp2/esipa/../asn1",
            "/%2e%2e/x",
        ] {
            let exchange = Ipa::new(world.ipa_config()).post_raw(path, &[], b"{}").await.unwrap();
            refused_with(&exchange, 404, path);
        }
        drop(device);
    });
}

/// 4.1, HT-02; 07 reading 20.
#[test]
fn x_admin_protocol_is_echoed_on_every_answer_and_headers_decide_nothing() {
    each_binding(async |world: &mut World| {
        let mut device = world.device(1).await;
        let eid = device.euicc.eid();
        let body = eim_simulator::ipa::get_eim_package(world.binding, &eid, &PollOptions::default());
        let path = Function::GetEimPackage.path(world.binding);
        let long = format!("gsma/rsp/v{}", "1".repeat(500));
        for (sent, expected) in [
            ("gsma/rsp/v1.0.0", "gsma/rsp/v1.0.0"),
            ("gsma/rsp/v2.1.0", "gsma/rsp/v2.1.0"),
            ("gsma/rsp/v2.5.0", "gsma/rsp/v2.5.0"),
            ("", "gsma/rsp/v2.1.0"),
            ("gsma/m2m/v1", "gsma/rsp/v2.1.0"),
            ("GSMA/RSP/v2.5.0", "gsma/rsp/v2.1.0"),
            ("x gsma/rsp/v9", "gsma/rsp/v2.1.0"),
            (&long, "gsma/rsp/v2.1.0"),
        ] {
            let headers = [("x-admin-protocol", sent)];
            for (path, body, status) in [(path, &body[..], 200), (path, b"\x00", 400), ("/nowhere", b"", 404)] {
                let exchange = device.ipa.post_raw(path, &headers, body).await.unwrap();
                assert_eq!((exchange.status, exchange.header("x-admin-protocol")), (status, Some(expected)), "{sent}");
            }
        }
        for content_type in [
            "",
            "text/plain",
            "application/json",
            "application/x-gsma-rsp-asn1",
            "application/JSON; charset=latin1",
            "x",
            ";;;",
            "multipart/form-data; boundary=x",
        ] {
            for user_agent in ["", "curl/8", "gsma-rsp-ipae; vendor", "GSMA-RSP-IPAD"] {
                let headers = [("content-type", content_type), ("user-agent", user_agent)];
                let exchange = device.ipa.post_raw(path, &headers, &body).await.unwrap();
                assert_eq!(exchange.status, 200, "{content_type} {user_agent}");
                let answered = exchange.header("content-type").unwrap().to_owned();
                match world.binding {
                    Binding::Asn1 => assert_eq!(answered, "application/x-gsma-rsp-asn1"),
                    Binding::Json => assert!(answered.starts_with("application/json"), "{answered}"),
                }
            }
        }
    });
}

/// Issue point 4: "The other functions answer their spec error, not a 404".
#[test]
fn functions_without_a_session_answer_their_own_error() {
    each_binding(async |world: &mut World| {
        let mut device = world.device(1).await;
        let file = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../vectors/indirect_download.jsonl");
        let text = std::fs::read_to_string(file).unwrap();
        let vectors = |prefix: &str| {
            let found: Vec<Vec<u8>> = text
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap())
                .filter(|vector| vector["id"].as_str().unwrap().starts_with(prefix))
                .map(|vector| hex::decode(vector["der"].as_str().unwrap()).unwrap())
                .collect();
            assert!(found.len() > 5, "{} vectors {prefix}", found.len());
            found
        };
        // BF39 { 81 euiccChallenge, 82 eimTransactionId? }; the errors are BF39 { 81 code } and so on
        let challenge = element(0x81, &[&[7; 16]]);
        let cancel = element(0xbf41, &[&element(0x80, &[&[1; 4]]), &element(0xa1, &[&integer(0x81, 5)])]);
        match world.binding {
            Binding::Asn1 => {
                let known = element(0xbf39, &[&challenge, &element(0x82, &[&[1, 2, 3]])]);
                assert_eq!(
                    hex::encode(post(&mut device, ASN1, &known).await.response),
                    "bf3903810134",
                    "invalidEimTransactionId(52)"
                );
                let none = element(0xbf39, &[&challenge]);
                assert_eq!(hex::encode(post(&mut device, ASN1, &none).await.response), "bf390381017f");
                assert_eq!(
                    hex::encode(post(&mut device, ASN1, &cancel).await.response),
                    "bf4103810101",
                    "invalidTransactionId(1)"
                );
                for (name, answer) in
                    [("AC-REQ-", "bf3b0382010a"), ("GBPP-REQ-", "bf3a0381015f"), ("CS-REQ-", "bf4103810101")]
                {
                    for octets in vectors(name) {
                        assert_eq!(hex::encode(post(&mut device, ASN1, &octets).await.response), answer, "{name}");
                    }
                }
            }
            Binding::Json => {
                let mut cases = vec![
                    (
                        "initiateAuthentication",
                        json!({ "euiccChallenge": STANDARD.encode([7; 16]), "eimTransactionId": "0A0B" }),
                    ),
                    ("initiateAuthentication", json!({ "euiccChallenge": STANDARD.encode([7; 16]) })),
                ];
                for (prefix, function, member) in [
                    ("AC-REQ-", "authenticateClient", "authenticateServerResponse"),
                    ("GBPP-REQ-", "getBoundProfilePackage", "prepareDownloadResponse"),
                    ("CS-REQ-", "cancelSession", "cancelSessionResponse"),
                ] {
                    for octets in vectors(prefix) {
                        let message = Tlv::only(&octets).unwrap();
                        let parts = message.children().unwrap();
                        let object = if function == "cancelSession" {
                            element(0xbf41, &[parts[1].content])
                        } else {
                            parts[1].octets.to_vec()
                        };
                        cases.push((function, json!({ "transactionId": hex::encode_upper(parts[0].content), member: STANDARD.encode(object) })));
                    }
                }
                for (function, body) in cases {
                    let exchange = post(&mut device, &json_path(function), body.to_string().as_bytes()).await;
                    assert_eq!(exchange.status, 200, "{function}");
                    let answer: Value = serde_json::from_slice(&exchange.response).unwrap();
                    let status = &answer["header"]["functionExecutionStatus"];
                    assert_eq!(status["status"], "Failed", "{answer}");
                    assert!(
                        status["statusCodeData"]["subjectCode"].is_string()
                            && status["statusCodeData"]["reasonCode"].is_string(),
                        "{answer}"
                    );
                }
                for name in FUNCTIONS {
                    let status = post(&mut device, &json_path(name), b"{}").await.status;
                    assert!(status == 200 || status == 400, "{name} exists: {status}");
                }
            }
        }
        assert!(device.poll().await.is_idle());
    });
}

/// The forms of one signed result.
fn forms(result: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let arm = Tlv::only(result).unwrap().content;
    let fields = Tlv::only(arm).unwrap().content;
    let long = |tag: &[u8], content: &[u8]| {
        [tag, &[0x83, 0x00, (content.len() >> 8) as u8, content.len() as u8], content].concat()
    };
    vec![
        ("T1", element(0xbf51, &[&element(0x30, &[fields])])),
        ("T2", element(0xbf51, &[result])),
        ("T2 twice", element(0xbf51, &[&element(0xbf51, &[result])])),
        ("T13", element(0x30, &[result, &element(0xbf2b, &[&[0xa0, 0x00]])])),
        ("ePRAndNotifications with nothing in it", element(0x30, &[result, &[0xa0, 0x00]])),
        ("T21", long(&[0xbf, 0x51], &long(&[0xa0], fields))),
        ("in data", element(0xbf52, &[&element(0xa0, &[&element(0xa2, &[result])])])),
        ("T5 in data", element(0xbf52, &[&element(0xa2, &[result])])),
        ("T2 in data", element(0xbf52, &[&element(0xbf52, &[&element(0xa0, &[&element(0xa2, &[result])])])])),
        ("T18 unknown field behind", element(0xbf51, &[&element(0xa0, &[fields, &[0x9f, 0x21, 0x01, 0x05]])])),
    ]
}

/// 02 2.9: "a result that cannot be named must not make the message fail".
#[test]
fn dialects_of_a_result_are_understood_verified_and_acknowledged() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let count = forms(&Forge::of(&device).result("x", 1, None, 1, &[])).len();
        for index in 0..count {
            let id = world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await;
            let package = SentPackage::read(&device.fetch().await);
            let seq = 500 + package.counter;
            let result = Forge::of(&device).answer(&package, seq, &[&[0xa6, 0x00]]);
            let (name, form) = forms(&result).remove(index);
            let answer = device.deliver(&form).await;
            assert_eq!(answer, Answer::Acknowledged(vec![seq]), "{name}");
            let operation = world.operation(&id).await;
            assert_eq!(
                (&operation["state"], &operation["verified"]),
                (&json!("succeeded"), &json!(true)),
                "{name}: {operation}"
            );
            // In the usual form it is the same result: acknowledged again, and no news.
            let events = world.events(&eid).await.len();
            assert_eq!(device.deliver(&result).await, Answer::Acknowledged(vec![seq]), "{name}");
            assert_eq!(world.events(&eid).await.len(), events, "{name}: a duplicate in another dress is a duplicate");
        }
        assert_eq!(world.metric("eim_esipa_rejected_total", &[]).await, 0.0);
        assert_eq!(world.metric("eim_verification_failures_total", &[]).await, 0.0);
    });
}

/// CX-12, and T1 for signed errors.
#[test]
fn a_signed_error_without_its_arm_stays_an_error() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        let error = Forge::of(&device).error(&package, 15);
        let fields = Tlv::only(Tlv::only(&error).unwrap().content).unwrap().content;
        let answer = device.deliver(&element(0xbf51, &[&element(0x30, &[fields])])).await;
        assert_eq!(answer, Answer::Empty);
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["error"]["name"]), (&json!("failed"), &json!("sizeOverflow")));
        // BF51 { A0 { BF51 .. } } is no result
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        let result = Forge::of(&device).answer(&package, 500, &[&integer(0x83, 0)]);
        device.provide(Some(&device.euicc.eid()), &element(0xbf51, &[&element(0xa0, &[&result])])).await;
        assert_eq!(world.operation(&id).await["verified"], Value::Null);
        assert_eq!(world.operation(&id).await["state"], "delivered");
    });
}

/// T10, T11, T24.
#[test]
fn dialects_of_handle_notification_are_understood() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let path = Function::HandleNotification.path(world.binding);
        // T10: BF3D { 30 .. } without A0; in JSON the notification stands alone anyway
        device.euicc.enable_locally(&device.raw_iccid(2));
        let notification = device.euicc.notifications()[0].octets.clone();
        let body = match world.binding {
            Binding::Asn1 => element(0xbf3d, &[&notification]),
            Binding::Json => json!({ "pendingNotification": STANDARD.encode(&notification) }).to_string().into_bytes(),
        };
        assert_eq!(post(&mut device, path, &body).await.status, 204);
        let received = world.events_of(&eid, "notificationReceived").await;
        assert_eq!((received.len(), &received[0]["status"]), (1, &json!("verified")));
        // T11: BF3D { A1 { BF51 .. } }, no EID in it; T24: BF3D { BF50 { BF51 .. } }
        for form in ["T11", "T24 with EID", "T24 without EID"] {
            let id = world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await;
            let package = SentPackage::read(&device.fetch().await);
            let result = Forge::of(&device).answer(&package, 500 + package.counter, &[&[0xa6, 0x00]]);
            let with_eid = element(0xbf50, &[&element(0x5a, &[device.euicc.eid().octets()]), &result]);
            let bf50 = if form == "T24 with EID" { with_eid } else { element(0xbf50, &[&result]) };
            let body = match (world.binding, form) {
                (Binding::Asn1, "T11") => element(0xbf3d, &[&element(0xa1, &[&result])]),
                (Binding::Asn1, _) => element(0xbf3d, &[&bf50]),
                (Binding::Json, _) => {
                    json!({ "provideEimPackageResult": STANDARD.encode(&bf50) }).to_string().into_bytes()
                }
            };
            let exchange = post(&mut device, path, &body).await;
            assert_eq!(
                (exchange.status, exchange.response.len(), exchange.header("content-type")),
                (204, 0, None),
                "{form}"
            );
            assert_eq!(world.operation(&id).await["verified"], true, "{form}");
        }
    });
}

/// T15, T14, T3 and what cannot be named at all: never a 400, never an acknowledgement.
#[test]
fn errors_of_the_ipa_in_every_form_are_answered_with_empty_response_and_shown() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let id = world.queue(&eid, device.enable(2, false)).await;
        device.fetch().await;
        let before = world.believed(&eid).await;
        for (name, octets) in [
            ("T15 primitive", hex::decode("8005300302017f").unwrap()),
            ("T15 wrapped", element(0xa0, &[&element(0x30, &[&integer(0x02, 127)])])),
            ("A0", element(0xa0, &[&integer(0x02, 2)])),
            ("T14", integer(0x02, 127)),
            ("T3", element(0xbf51, &[&integer(0x02, 127)])),
            ("T7", element(0xbf52, &[&integer(0x02, 1)])),
            ("T7 v1.0", element(0xbf52, &[&integer(0x81, 1)])),
            ("download error", element(0xbf54, &[&element(0x30, &[&integer(0x80, 13)])])),
            ("an arm of tomorrow", element(0xbf7d, &[&integer(0x80, 1)])),
        ] {
            let exchange = device.provide(Some(&device.euicc.eid()), &octets).await;
            assert_eq!(exchange.status, 200, "{name}");
            match world.binding {
                Binding::Asn1 => assert_eq!(hex::encode(&exchange.response), "bf50023000", "{name}"),
                Binding::Json => {
                    let body: Value = serde_json::from_slice(&exchange.response).unwrap();
                    assert_eq!(body["header"]["functionExecutionStatus"]["status"], "Executed-Success", "{name}");
                    assert!(
                        body.get("eimAcknowledgements").is_none() && body.get("provideEimPackageResultError").is_none(),
                        "{name}: {body}"
                    );
                }
            }
            assert_eq!(world.believed(&eid).await, before, "{name}");
        }
        assert!(!world.events_of(&eid, "ipaError").await.is_empty());
        assert_eq!(world.operation(&id).await["state"], "delivered");
    });
}

/// T5, T6, T8: data without its arm, certificates that were not made implicit.
#[test]
fn dialects_of_data_bring_certificates_that_verify_a_held_result() {
    matrix(async |world: &mut World| {
        for (index, form) in (1..).zip(["T5", "T8", "T5 and T8", "as specified"]) {
            let mut device = world.bare_device(index).await;
            let id = world.queue(&device.eid(), device.enable(2, false)).await;
            assert_eq!(device.poll().await.answer, Some(Answer::Empty));
            device.fetch().await;
            let identity = device.euicc.identity().clone();
            let certificate = |tag: u32, der: &[u8]| {
                if form.contains("T8") {
                    element(tag, &[der])
                } else {
                    element(tag, &[Tlv::only(der).unwrap().content])
                }
            };
            let fields =
                [certificate(0xa5, &identity.eum_certificate), certificate(0xa6, &identity.certificate)].concat();
            let data = if form.contains("T5") {
                element(0xbf52, &[&fields])
            } else {
                element(0xbf52, &[&element(0xa0, &[&fields])])
            };
            assert!(matches!(device.deliver(&data).await, Answer::Acknowledged(_)), "{form}");
            assert_eq!(world.operation(&id).await["verified"], true, "{form}");
        }
    });
}

/// T16: rPLMN of v1.0 stands at [1].
#[test]
fn a_poll_of_v1_0_tells_its_network() {
    each_binding(async |world: &mut World| {
        let mut device = world.device(1).await;
        let eid = device.euicc.eid();
        let body = element(0xbf4f, &[&element(0x5a, &[eid.octets()]), &element(0x81, &[&[0x62, 0xf2, 0x10]])]);
        let body = match world.binding {
            Binding::Asn1 => body,
            Binding::Json => json!({ "eidValue": eid.to_string(), "rPLMN": STANDARD.encode([0x62, 0xf2, 0x10]) })
                .to_string()
                .into_bytes(),
        };
        assert_eq!(device.send(Function::GetEimPackage, &body).await.status, 200);
        let euicc = world.euicc(&device.eid()).await;
        assert_eq!((&euicc["rPlmn"], &euicc["lastStateChangeCause"]), (&json!("26201"), &Value::Null));
    });
}

/// T22.
#[test]
fn json_takes_a_bare_result_and_a_whole_bf50() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        if world.binding == Binding::Asn1 {
            return;
        }
        for (number, whole) in [(2, true), (1, false)] {
            device.ipa.behaviour.json_whole_result = whole;
            let id = world.queue(&device.eid(), device.enable(number, false)).await;
            let poll = device.poll().await;
            assert!(matches!(poll.answer, Some(Answer::Acknowledged(_))), "{whole}: {:?}", poll.answer);
            device.session().await;
            assert_eq!(world.operation(&id).await["state"], "succeeded");
        }
        // a BF50 that names another EID than the member beside it: the two do not agree, nothing is applied
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        let result = Forge::of(&device).answer(&package, 900, &[&integer(0x83, 0)]);
        let other = world.pki.eid(77);
        let bf50 = element(0xbf50, &[&element(0x5a, &[other.octets()]), &result]);
        let body = json!({ "eidValue": other.to_string(), "eimPackageResult": STANDARD.encode(&bf50) }).to_string();
        let exchange = post(&mut device, &json_path("provideEimPackageResult"), body.as_bytes()).await;
        let answer: Value = serde_json::from_slice(&exchange.response).unwrap();
        assert_eq!(answer["provideEimPackageResultError"], 2);
        assert_eq!(world.operation(&id).await["state"], "delivered");
    });
}

/// HT-03: many polls on one connection, one after another and all at once.
#[test]
fn thirty_polls_are_served_on_one_connection_kept_alive_and_pipelined() {
    each_binding(async |world: &mut World| {
        let mut device = world.device(1).await;
        for _ in 0..30 {
            assert!(device.poll().await.is_idle());
            let exchange = device.ipa.last_exchange().unwrap();
            assert_ne!(exchange.header("connection"), Some("close"));
        }
        let config = world.ipa_config();
        let body = eim_simulator::ipa::get_eim_package(world.binding, &device.euicc.eid(), &PollOptions::default());
        let path = Function::GetEimPackage.path(world.binding);
        let mut request =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        request.extend(&body);
        let tcp = tokio::net::TcpStream::connect(config.address).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let mut tls = tokio_rustls::TlsConnector::from(config.tls.clone()).connect(name, tcp).await.unwrap();
        tls.write_all(&request.repeat(30)).await.unwrap();
        tls.flush().await.unwrap();
        let answer: &[u8] = match world.binding {
            Binding::Asn1 => &[0xbf, 0x4f, 0x03, 0x02, 0x01, 0x01],
            Binding::Json => b"\"eimPackageError\":1",
        };
        let mut seen = Vec::new();
        let count = |seen: &[u8]| seen.windows(answer.len()).filter(|window| *window == answer).count();
        while count(&seen) < 30 {
            let mut buffer = [0; 4_096];
            let read = tls.read(&mut buffer).await.unwrap();
            assert!(read > 0, "closed after {} answers", count(&seen));
            seen.extend_from_slice(&buffer[..read]);
        }
        let ok = seen.windows(15).filter(|window| *window == b"HTTP/1.1 200 OK").count();
        assert_eq!((ok, count(&seen)), (30, 30));
        assert_eq!(world.metric("eim_polls_total", &["outcome=\"none\""]).await, 60.0);
    });
}

/// CT-BEH-EN-E2 and the size of what nobody proves: a flood of forged results neither grows the view without end nor
/// hides the truth.
#[test]
fn a_flood_of_forged_results_does_not_hide_the_true_one() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let mut bare = world.bare_device(2).await;
        let key = std::sync::Arc::new(eim_simulator::pki::seeded_key(eim_core::pki::Curve::P256, 1, "nobody").unwrap());
        let forge = Forge { key, token: 0 };
        for device in [&mut device, &mut bare] {
            let id = world.queue(&device.eid(), device.enable(2, false)).await;
            let package = SentPackage::read(&device.fetch().await);
            for seq in 0..80 {
                assert_eq!(device.deliver(&forge.answer(&package, seq, &[&integer(0x83, 0)])).await, Answer::Empty);
            }
            let refusals = world.operation(&id).await["refusals"].as_array().unwrap().len();
            assert!(refusals <= 20, "{refusals} refusals are shown");
            let honest = Forge::of(device).answer(&package, 900, &[&integer(0x83, 0)]);
            device.deliver(&honest).await;
            device.session().await;
            if world.operation(&id).await["state"] == "delivered" {
                // it was dropped for the others: it was not acknowledged, so the device brings it again
                assert_eq!(device.deliver(&honest).await, Answer::Acknowledged(vec![900]));
                device.session().await;
            }
            let operation = world.operation(&id).await;
            assert_eq!(
                (&operation["state"], &operation["verified"]),
                (&json!("succeeded"), &json!(true)),
                "{operation}"
            );
        }
        assert_eq!(world.send(Role::Nobody, "GET", "/healthz", &[], "").await.status, 200);
    });
}

/// What a verified eUICC says must be storable, whatever it is: else the device can't ever bring its result.
#[test]
fn odd_but_signed_profile_lists_are_taken() {
    matrix(async |world: &mut World| {
        let info = |device: &Device, number: u8, name: &[u8]| {
            element(
                0xe3,
                &[
                    &element(0x5a, &[device.raw_iccid(number).octets()]),
                    &[0x9f, 0x70, 0x01, 0x01],
                    &element(0x92, &[name]),
                ],
            )
        };
        for (index, what) in (1..).zip([
            "a zero octet in a name",
            "the same profile twice",
            "no profile",
            "no ICCID",
            "an unknown entry",
            "an odd state",
        ]) {
            let mut device = world.device(index).await;
            let id = world.queue(&device.eid(), json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
            let package = SentPackage::read(&device.fetch().await);
            let entries = match what {
                "a zero octet in a name" => info(&device, 1, b"a\0b"),
                "the same profile twice" => [info(&device, 1, b"a"), info(&device, 1, b"b")].concat(),
                "no profile" => vec![],
                "no ICCID" => element(0xe3, &[&element(0x92, &[b"x"])]),
                "an unknown entry" => [info(&device, 1, b"a"), vec![0xe4, 0x00]].concat(),
                _ => element(
                    0xe3,
                    &[
                        &element(0x5a, &[device.raw_iccid(1).octets()]),
                        &[0x9f, 0x70, 0x01, 0x09],
                        &[0x95, 0x02, 0x7f, 0xff],
                    ],
                ),
            };
            let list = element(0xbf2d, &[&element(0xa0, &[&entries])]);
            let result = Forge::of(&device).answer(&package, 500, &[&list]);
            let exchange = device.provide(Some(&device.euicc.eid()), &result).await;
            assert_eq!(exchange.status, 200, "{what} on {:?}", world.backend);
            let operation = world.operation(&id).await;
            assert_eq!(operation["verified"], true, "{what}: {operation}");
            world.get(&format!("/api/v1/euiccs/{}/profiles", device.eid())).await;
        }
    });
}

/// Numbers at their ends, in what anybody may send.
#[test]
fn numbers_at_their_ends_do_no_harm() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        for cause in [-1, 128, 65_536, i64::MAX, i64::MIN] {
            let body = device
                .ipa
                .get_eim_package_raw(&device.euicc.eid(), &PollOptions { cause: Some(cause), ..PollOptions::default() })
                .await;
            assert!(body.is_ok(), "cause {cause}: {body:?}");
            assert!(world.euicc(&eid).await["lastStateChangeCause"].is_string(), "cause {cause}");
        }
        let forge = Forge::of(&device);
        let eim_id = world.eim_id().await;
        for number in [-1, 0, i64::MAX, i64::MIN] {
            let result = forge.result(&eim_id, number, None, number, &[&integer(0x83, number)]);
            let exchange = device.provide(Some(&device.euicc.eid()), &result).await;
            assert_eq!(exchange.status, 200, "{number}");
        }
        // wider than 64 bits: a message that can't be read, or a result that can't be named, never a failure of ours
        let wide = element(0x83, &[&[0x7f; 12]]);
        let data = [element(0x80, &[eim_id.as_bytes()]), integer(0x81, 1), wide, element(0x30, &[])].concat();
        let result = element(0xbf51, &[&element(0xa0, &[&element(0x30, &[&data]), &element(0x5f37, &[&[1; 64]])])]);
        let status = device.provide(Some(&device.euicc.eid()), &result).await.status;
        assert!(status == 200 || status == 400, "{status}");
        assert!(matches!(world.send(Role::Nobody, "GET", "/readyz", &[], "").await.status, 200));
        assert_eq!(world.enabled(&eid).await, [device.iccid(1)]);
    });
}

/// An IPA says about itself what it likes; it must be shown, or refused, and never stop the device.
#[test]
fn odd_data_of_an_ipa_are_taken() {
    matrix(async |world: &mut World| {
        let mut device = world.device(1).await;
        let eid = device.eid();
        for fields in [
            element(0x81, &[b"a\0b"]),
            element(0x83, &["\u{202e}x".as_bytes()]),
            element(0x81, &[&[b'x'; 5_000]]),
            vec![0xbf, 0x20, 0x00],
            vec![0xbf, 0x22, 0x00],
            vec![0xa8, 0x00],
            vec![0xa9, 0x00],
            integer(0x84, -1),
            integer(0x84, i64::MAX),
            vec![0x9f, 0x77, 0x00],
            vec![],
        ] {
            let id = world.queue(&eid, json!({ "euiccData": { "tags": ["81"] } })).await;
            device.fetch().await;
            let transaction = hex::decode(world.operation(&id).await["eimTransactionId"].as_str().unwrap()).unwrap();
            let data = element(0xbf52, &[&element(0xa0, &[&fields, &element(0x87, &[&transaction])])]);
            let exchange = device.provide(Some(&device.euicc.eid()), &data).await;
            assert!(
                exchange.status == 200 || exchange.status == 400,
                "{}: {} on {:?}",
                hex::encode(&fields[..fields.len().min(20)]),
                exchange.status,
                world.backend
            );
            world.euicc(&eid).await;
            if world.operation(&id).await["state"] == "delivered" {
                world.post(&format!("/api/v1/operations/{id}/abandon"), Value::Null).await;
            }
        }
        assert_eq!(
            world.euicc(&eid).await["association"]["associationToken"],
            Value::Null,
            "unsigned, so never adopted"
        );
    });
}

/// Every result costs a verification and a row, so one message holds a bounded number of them; what is refused is not
/// stored.
#[test]
fn a_message_with_more_results_than_a_device_has_is_refused_whole() {
    matrix(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        let result = Forge::of(&device).answer(&package, 80, &[&integer(0x83, 0)]);
        let eid = device.euicc.eid();
        let list = |count: usize| element(0xbf52, &[&element(0xa0, &[&element(0xa2, &[&result.repeat(count)])])]);
        let exchange = device.provide(Some(&eid), &list(65)).await;
        match device.ipa.config().binding {
            Binding::Asn1 => assert_eq!(exchange.status, 400),
            Binding::Json => {
                let answer: Value = serde_json::from_slice(&exchange.response).unwrap();
                assert_eq!(answer["header"]["functionExecutionStatus"]["status"], "Failed", "{answer}");
            }
        }
        assert_eq!(world.operation(&id).await["state"], "delivered");
        assert_eq!(device.deliver(&list(64)).await, Answer::Acknowledged(vec![80]));
        assert_eq!(world.operation(&id).await["state"], "unconfirmed");
    });
}
