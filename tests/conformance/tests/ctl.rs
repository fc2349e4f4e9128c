//! The command line client against a running server; what this server does not serve yet, against a scripted one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use eim_conformance::{Binding, Device, Mode, Role, World, each_store, run_with};
use eim_server::cli::ctl::{self, Console};
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

struct Ran {
    code: u8,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {}{}", self.out, self.err))
    }

    fn rows(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

async fn run(url: &str, key: Option<&str>, arguments: &[&str], input: &str, is_terminal: bool) -> Ran {
    let (out, err) = (Paper::default(), Paper::default());
    let mut console = Console {
        input: Box::new(Cursor::new(input.as_bytes().to_vec())),
        out: Box::new(out.clone()),
        err: Box::new(err.clone()),
        is_terminal,
    };
    let all = ["--url", url].iter().chain(arguments).map(OsString::from).collect::<Vec<_>>();
    let code = ctl::run(all, key.map(str::to_owned), &mut console).await;
    Ran { code, out: out.text(), err: err.text() }
}

async fn ctl_with(world: &World, role: Role, arguments: &[&str], input: &str) -> Ran {
    let url = format!("http://{}", world.server().api_addr);
    run(&url, world.key(role), arguments, input, false).await
}

async fn ctl(world: &World, arguments: &[&str]) -> Ran {
    ctl_with(world, Role::Operator, arguments, "").await
}

/// Waits for the command while the device has one session after the other: which of them meets what the command asks
/// for is not known.
async fn while_it_polls(device: &mut Device, command: impl Future<Output = Ran>) -> Ran {
    let ended = Cell::new(false);
    let command = async {
        let ran = command.await;
        ended.set(true);
        ran
    };
    let polls = async {
        while !ended.get() {
            device.session().await;
        }
    };
    tokio::join!(command, polls).0
}

fn eid(number: u32) -> String {
    format!("89990009{number:024}")
}

#[test]
fn devices_are_registered_listed_changed_and_shown() {
    each_store(async |world: &mut World| {
        let (one, two) = (eid(1), eid(2));
        let ran =
            ctl(world, &["devices", "register", &one, "--label", "\u{1b}[31mred", "--tag", "a", "--tag", "b"]).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
        let body = json!({"eid": two, "label": "from a file"}).to_string();
        let ran = ctl_with(world, Role::Operator, &["devices", "register", "--file", "-"], &body).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
        let ran = ctl(world, &["devices", "list"]).await;
        let lines: Vec<&str> = ran.out.lines().collect();
        assert_eq!((ran.code, lines.len()), (0, 3), "{}", ran.out);
        assert!(lines[0].starts_with("EID") && lines[1].contains(&one) && lines[1].contains("a,b"), "{}", ran.out);
        assert!(!ran.out.contains('\u{1b}'), "a label steers the terminal");
        let rows = ctl(world, &["--json", "devices", "list", "--tag", "a"]).await.rows();
        assert_eq!((rows.len(), &rows[0]["eid"]), (1, &json!(one)));
        let ran = ctl(world, &["devices", "list", "--limit", "1"]).await;
        assert_eq!(ran.out.lines().count(), 2);
        assert!(ran.err.contains("there are more"), "{}", ran.err);
        let ran = ctl(world, &["devices", "update", &two, "--label", "", "--tag", "x"]).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
        let shown = ctl(world, &["devices", "show", &two, "--json"]).await.json();
        assert_eq!((&shown["label"], &shown["tags"]), (&Value::Null, &json!(["x"])));
        assert_eq!(ctl(world, &["devices", "profiles", &two]).await.code, 0);
        let events = ctl(world, &["devices", "events", &two, "--json"]).await.rows();
        assert_eq!(events[0]["type"], "registered");
    });
}

#[test]
fn the_exit_code_says_who_is_to_blame() {
    run_with(
        &[Mode::EMBEDDED],
        &[Binding::Asn1],
        |_| {},
        async |world: &mut World| {
            let url = format!("http://{}", world.server().api_addr);
            let key = world.key(Role::Viewer);
            let folder = tempfile::tempdir().unwrap();
            // the server refuses, and says why
            let ran = ctl(world, &["devices", "show", &eid(9)]).await;
            assert_eq!(ran.code, 1);
            assert!(ran.err.contains("404 not-found"), "{}", ran.err);
            let ran = ctl(world, &["devices", "register", "123", "--label", &"x".repeat(200)]).await;
            assert_eq!(ran.code, 1);
            assert!(ran.err.contains("/eid: ") && ran.err.contains("/label: "), "{}", ran.err);
            let problem = ctl(world, &["--json", "devices", "register", "123"]).await;
            assert_eq!(serde_json::from_str::<Value>(&problem.err).unwrap()["errors"][0]["pointer"], "/eid");
            let ran = run(&url, key, &["devices", "register", &eid(1)], "", false).await;
            assert_eq!((ran.code, ran.err.contains("403 forbidden")), (1, true), "{}", ran.err);
            assert_eq!(run(&url, Some("eimk_wrong"), &["devices", "list"], "", false).await.code, 1);
            // an EID that is none stays one part of the path
            assert_eq!(ctl(world, &["devices", "show", "../operations"]).await.code, 1);
            assert_eq!(ctl(world, &["devices", "show", "x?y#z"]).await.code, 1);
            // the command can't be understood
            for arguments in [
                &["devices"][..],
                &["devices", "list", "--colour"],
                &["devices", "list", "--limit", "0"],
                &["devices", "register"],
                &["operations", "create", "x", "--file", "/there/is/none"],
                &["switches", "create", "x"],
                &["--key", "eimk_x", "devices", "list"],
                &["--ca-file", "/there/is/none", "devices", "list"],
                &["campaigns", "watch", "x", "--look-seconds", "0"],
            ] {
                let ran = run(&url, key, arguments, "", false).await;
                assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}: {}", ran.err);
                assert!(!ran.err.is_empty(), "{arguments:?}");
            }
            let ran =
                ctl_with(world, Role::Operator, &["operations", "create", "x", "--file", "-"], "{\"secret\": 1").await;
            assert_eq!((ran.code, ran.err.contains("secret")), (2, false), "{}", ran.err);
            for url in ["ftp://x", "x", "http://", "http://key@127.0.0.1"] {
                assert_eq!(run(url, key, &["devices", "list"], "", false).await.code, 2, "{url}");
            }
            assert_eq!(run(&url, None, &["devices", "list"], "", false).await.code, 2);
            // help is no failure
            assert_eq!(run(&url, None, &["--help"], "", false).await.code, 0);
            // nobody there
            let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let ran = run(&format!("http://{nobody}"), key, &["devices", "list"], "", false).await;
            assert_eq!((ran.code, ran.err.contains("not reached")), (3, true), "{}", ran.err);
            // the key from a file, which wins
            let key_file = folder.path().join("key");
            std::fs::write(&key_file, format!("{}\n", key.unwrap())).unwrap();
            let arguments = ["devices", "list", "--key-file", key_file.to_str().unwrap()];
            assert_eq!(run(&url, Some("eimk_wrong"), &arguments, "", false).await.code, 0);
            std::fs::write(&key_file, "x".repeat(5000)).unwrap();
            assert_eq!(run(&url, key, &arguments, "", false).await.code, 2);
        },
    );
}

#[test]
fn a_server_with_tls_is_judged_by_the_ca_file() {
    run_with(
        &[Mode::EMBEDDED],
        &[Binding::Asn1],
        |_| {},
        async |world: &mut World| {
            use base64::Engine;
            let folder = tempfile::tempdir().unwrap();
            let pem = |der: &[u8]| {
                let text = base64::engine::general_purpose::STANDARD.encode(der);
                format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
            };
            let (right, wrong) = (folder.path().join("right.pem"), folder.path().join("wrong.pem"));
            std::fs::write(&right, pem(&world.server().esipa_trust_der)).unwrap();
            std::fs::write(&wrong, pem(world.pki.ci_certificate())).unwrap();
            // the device front has TLS, and nothing under /api/v1: an answer at all says that it was trusted
            let url = format!("https://localhost:{}", world.server().esipa_addr.port());
            let with = async |ca: &std::path::Path| {
                run(&url, Some("eimk_x"), &["devices", "list", "--ca-file", ca.to_str().unwrap()], "", false).await
            };
            let ran = with(&right).await;
            assert_eq!(ran.code, 1, "{}", ran.err);
            let ran = with(&wrong).await;
            assert_eq!(ran.code, 3, "{}", ran.err);
            assert_eq!(run(&url, Some("eimk_x"), &["devices", "list"], "", false).await.code, 3);
            std::fs::write(&wrong, "no PEM").unwrap();
            assert_eq!(with(&wrong).await.code, 2);
        },
    );
}

#[test]
fn files_are_imported_and_exported() {
    each_store(async |world: &mut World| {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let lines: String = (0..3000).map(|number| format!("{},\"meter, {number}\"\n", eid(number))).collect();
        std::fs::write(path("devices.csv"), format!("eid,label\n{}bad,x\n", lines)).unwrap();
        let ran = ctl(world, &["devices", "import", &path("devices.csv")]).await;
        assert_eq!(ran.code, 1, "one line failed: {}", ran.err);
        assert_eq!(ran.out.lines().count(), 2, "the title and the bad line: {}", ran.out);
        assert!(ran.out.contains("3002") && ran.out.contains("/eid"), "{}", ran.out);
        assert!(ran.err.contains("3001 lines: 3000 created, 0 existed, 1 failed"), "{}", ran.err);
        let ran = ctl(world, &["devices", "export", "--format", "ndjson", "--out", &path("all.ndjson")]).await;
        assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
        let exported = std::fs::read_to_string(path("all.ndjson")).unwrap();
        assert_eq!(exported.lines().count(), 3000);
        assert!(!std::path::Path::new(&path("all.ndjson.part")).exists());
        // the name says what it is; every line is there already
        let ran = ctl(world, &["devices", "import", &path("all.ndjson"), "--json"]).await;
        assert_eq!((ran.code, ran.rows().len()), (0, 1), "{}", ran.err);
        assert_eq!(ran.rows()[0]["summary"]["exists"], 3000);
        let ran = ctl(world, &["devices", "export", "--tag", "none"]).await;
        assert_eq!((ran.code, ran.out.lines().count()), (0, 1));
        // from standard input, with a report on every line
        let operations = json!({"eid": eid(1), "euiccData": {"tags": ["BF20"]}}).to_string();
        let arguments = ["operations", "import", "-", "--format", "ndjson", "--idempotency-key", "k", "--every-line"];
        for outcome in ["created", "exists"] {
            let ran = ctl_with(world, Role::Operator, &arguments, &operations).await;
            assert_eq!(ran.code, 0, "{}", ran.err);
            assert!(ran.out.contains(outcome), "{}", ran.out);
        }
        assert!(ctl(world, &["operations", "export"]).await.out.contains(&eid(1)));
        // a header that can't be taken, and a file that is not there
        let ran = ctl_with(world, Role::Operator, &["devices", "import", "-"], "eid,colour\n").await;
        assert_eq!((ran.code, ran.err.contains("/colour")), (1, true), "{}", ran.err);
        // Without a telling name the first character decides.
        let line = json!({ "eid": eid(77) }).to_string() + "\n";
        assert_eq!(ctl_with(world, Role::Operator, &["devices", "import", "-"], &line).await.code, 0);
        std::fs::write(path("list.txt"), &line).unwrap();
        let ran = ctl(world, &["devices", "import", &path("list.txt")]).await;
        assert_eq!((ran.code, ran.err.contains("1 existed")), (0, true), "{}", ran.err);
        std::fs::write(path("marked.txt"), format!("\u{feff}{line}")).unwrap();
        let ran = ctl(world, &["devices", "import", &path("marked.txt")]).await;
        assert_eq!((ran.code, ran.err.contains("1 existed")), (0, true), "{}", ran.err);
        assert_eq!(ctl(world, &["devices", "import", &path("nothing.csv")]).await.code, 2);
        assert_eq!(ctl_with(world, Role::Viewer, &["devices", "import", &path("devices.csv")], "").await.code, 1);
    });
}

#[test]
fn an_operation_is_awaited_to_its_end() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let list = json!({"psmo": [{"listProfileInfo": {}}]});
        let missing = json!({"psmo": [{"enable": {"iccid": "89880000000000000001"}}]});
        for (body, code) in [(list, 0), (missing, 4)] {
            let arguments = ["operations", "create", &eid, "--file", "-", "--wait", "--look-seconds", "0.01", "--json"];
            let body = body.to_string();
            let waiting = ctl_with(world, Role::Operator, &arguments, &body);
            let ran = while_it_polls(&mut device, waiting).await;
            assert_eq!(ran.code, code, "{}", ran.err);
            // The state that is told first depends on how fast the device is.
            assert!(ran.err.starts_with("operation "), "{}", ran.err);
            let operation = ran.json();
            assert_eq!(operation["state"] == "succeeded", code == 0, "{operation}");
            let id = operation["id"].as_str().unwrap();
            assert_eq!(ctl(world, &["operations", "wait", id]).await.code, code);
            assert_eq!(ctl(world, &["operations", "cancel", id]).await.code, 1, "it has ended");
        }
        let id = world.queue(&eid, json!({"euiccData": {"tags": ["BF20"]}})).await;
        let ran = ctl(world, &["operations", "wait", &id, "--wait-seconds", "1", "--look-seconds", "0.01"]).await;
        assert_eq!((ran.code, ran.err.contains("has not ended after 1 s")), (4, true), "{}", ran.err);
        assert_eq!(ctl(world, &["operations", "cancel", &id]).await.code, 0);
        let rows = ctl(world, &["operations", "list", "--eid", &eid, "--state", "cancelled", "--json"]).await.rows();
        assert_eq!(rows[0]["id"], id.as_str());
    });
}

#[test]
fn a_switch_is_planned_asked_for_and_awaited() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let (eid, one, two) = (device.eid(), device.iccid(1), device.iccid(2));
        let ran = ctl(world, &["switches", "plan", &eid, "--to-iccid", "89880000000000000001"]).await;
        assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
        assert!(ran.out.starts_with("CHECK") && ran.out.contains("failed"), "{}", ran.out);
        let ran = ctl(world, &["switches", "create", &eid, "--to-iccid", "89880000000000000001"]).await;
        assert_eq!((ran.code, ran.err.contains("409")), (1, true), "{}", ran.err);
        let overriding = ["switches", "create", &eid, "--to-iccid", &two, "--override", "fallback"];
        let ran = ctl(world, &overriding).await;
        assert_eq!((ran.code, ran.err.contains("admin")), (1, true), "{}", ran.err);
        // The same for a single operation.
        for (psmo, code) in [(json!({ "enable": { "iccid": two } }), 0), (json!({ "disable": { "iccid": one } }), 1)] {
            let operation = json!({ "psmo": [psmo] }).to_string();
            let plan = ["operations", "plan", &eid, "--file", "-"];
            let ran = ctl_with(world, Role::Operator, &plan, &operation).await;
            assert_eq!(ran.code, code, "{}{}", ran.out, ran.err);
            assert!(ran.out.starts_with("CHECK") && ran.out.contains("notTheOnlyProfile"), "{}", ran.out);
        }
        let ran =
            ctl_with(world, Role::Operator, &["operations", "plan", &eid, "--file", "-"], "{\"euiccData\":{}}").await;
        assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
        assert!(ran.err.contains("nothing of it"), "{}", ran.err);
        let wanted = [&eid, "--to-iccid", &two, "--waive", "fallback", "--seen-again-within", "3"];
        let ran = ctl(world, &[&["switches", "plan"][..], &wanted].concat()).await;
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        let arguments =
            [&["switches", "create"][..], &wanted, &["--wait", "--look-seconds", "0.01", "--json"]].concat();
        let waiting = ctl(world, &arguments);
        let ran = while_it_polls(&mut device, waiting).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(ran.json()["outcome"], "proven");
        let rows = ctl(world, &["switches", "list", "--outcome", "proven", "--json"]).await.rows();
        assert_eq!(rows.len(), 1);
        let id = rows[0]["id"].as_str().unwrap();
        assert_eq!(ctl(world, &["switches", "wait", id]).await.code, 0);
        // one that is taken back did not end as it should
        let one = device_iccid(world, &eid, 1).await;
        let ran = ctl(world, &["--json", "switches", "create", &eid, "--to-iccid", &one, "--waive", "fallback"]).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
        let id = ran.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(ctl(world, &["switches", "cancel", &id]).await.code, 0);
        assert_eq!(ctl(world, &["switches", "wait", &id]).await.code, 4);
    });
}

/// The ICCID of the profile that is not enabled, or the first.
#[test]
fn a_rule_is_rehearsed_made_changed_and_removed() {
    each_store(async |world: &mut World| {
        let rule = json!({
            "name": "silent",
            "filter": { "all": true },
            "when": { "noPollFor": { "intervals": 3 } },
            "then": [{ "tag": { "add": ["silent"] } }],
        })
        .to_string();
        let create = ["rules", "create", "--file", "-", "--json"];
        let ran = ctl_with(world, Role::Operator, &[&create[..], &["--dry-run"]].concat(), &rule).await;
        assert_eq!((ran.code, &ran.json()["devices"]), (0, &json!(0)), "{}", ran.err);
        assert_eq!(ctl(world, &["rules", "list", "--json"]).await.out, "", "nothing was made");
        let ran = ctl_with(world, Role::Operator, &create, &rule).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
        let id = ran.json()["id"].as_str().unwrap().to_owned();
        let listed = ctl(world, &["rules", "list"]).await;
        assert!(listed.out.contains("silent") && listed.out.contains("active"), "{}", listed.out);
        let patch = json!({ "enabled": false }).to_string();
        let ran = ctl_with(world, Role::Operator, &["rules", "update", &id, "--file", "-"], &patch).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(ctl(world, &["rules", "show", &id, "--json"]).await.json()["state"], "disabled");
        assert_eq!(ctl(world, &["rules", "firings", &id]).await.code, 0);
        assert_eq!(ctl(world, &["rules", "delete", &id]).await.code, 0);
        assert_eq!(ctl(world, &["rules", "show", &id]).await.code, 1);
    });
}

async fn device_iccid(world: &World, eid: &str, number: usize) -> String {
    let enabled = world.enabled(eid).await;
    let all: Vec<String> = world.profiles(eid).await.into_iter().map(|(iccid, _)| iccid).collect();
    all.into_iter().filter(|iccid| !enabled.contains(iccid)).nth(number - 1).expect("a disabled profile")
}

#[test]
fn codes_go_into_a_pool_and_are_never_printed() {
    each_store(async |world: &mut World| {
        assert_eq!(ctl(world, &["pools", "create", "spring", "--low-water", "2"]).await.code, 0);
        let codes = "1$smdp.example$SECRET-1\n\n 1$smdp.example$SECRET-2 \n";
        let ran = ctl_with(world, Role::Operator, &["--json", "pools", "import", "spring", "-"], codes).await;
        assert_eq!((ran.code, ran.json()), (0, json!({"imported": 2, "knownAlready": 0})), "{}", ran.err);
        let ran = ctl_with(world, Role::Operator, &["--json", "pools", "import", "spring", "-"], codes).await;
        assert_eq!(ran.json()["knownAlready"], 2);
        let ran = ctl_with(world, Role::Operator, &["pools", "import", "spring", "-"], "SECRET-3 is no code\n").await;
        assert_eq!((ran.code, ran.err.contains("SECRET-3")), (1, false), "{}", ran.err);
        for arguments in [&["pools", "codes", "spring"][..], &["pools", "show", "spring"], &["pools", "list"]] {
            let ran = ctl(world, arguments).await;
            assert_eq!((ran.code, ran.out.contains("SECRET")), (0, false), "{}", ran.err);
        }
    });
}

#[test]
fn desired_states_are_made_listed_changed_and_removed() {
    each_store(async |world: &mut World| {
        let device = world.listed_device(1).await;
        let eid = device.eid();
        let body = json!({
            "name": "all on two",
            "filter": { "all": true },
            "state": { "enabled": { "iccid": device.iccid(2) } },
        });
        let arguments = ["--json", "desired-states", "create", "--file", "-", "--idempotency-key", "k"];
        let made = ctl_with(world, Role::Operator, &arguments, &body.to_string()).await;
        assert_eq!(made.code, 0, "{}", made.err);
        let id = made.json()["id"].as_str().unwrap().to_owned();
        world.advance(chrono::TimeDelta::seconds(3)).await;
        let listed = ctl(world, &["desired-states", "list"]).await;
        assert!(listed.out.contains("all on two") && listed.out.contains("DRIFTING"), "{}", listed.out);
        let rows = ctl(world, &["--json", "desired-states", "devices", &id, "--drift", "drifting"]).await.rows();
        assert_eq!((rows.len(), &rows[0]["eid"]), (1, &json!(eid)));
        let own = json!({ "state": { "enabled": { "iccid": device.iccid(1) } } }).to_string();
        let set = ctl_with(world, Role::Operator, &["desired-states", "set", &eid, "--file", "-"], &own).await;
        assert_eq!(set.code, 0, "{}", set.err);
        let shown = ctl(world, &["--json", "desired-states", "device", &eid]).await.json();
        assert_eq!((&shown["from"]["own"], &shown["drift"]), (&json!(true), &json!("inLine")), "{shown}");
        let patch = json!({ "name": "renamed" }).to_string();
        let changed = ctl_with(world, Role::Operator, &["desired-states", "update", &id, "--file", "-"], &patch).await;
        assert_eq!(changed.code, 0, "{}", changed.err);
        assert!(ctl(world, &["desired-states", "show", &id]).await.out.contains("renamed"));
        assert_eq!(ctl(world, &["desired-states", "unset", &eid]).await.code, 0);
        assert_eq!(ctl(world, &["desired-states", "unset", &eid]).await.code, 1);
        assert_eq!(ctl(world, &["desired-states", "delete", &id]).await.code, 0);
        assert_eq!(ctl(world, &["desired-states", "show", &id]).await.code, 1);
    });
}

#[test]
fn a_key_rotation_is_started_paused_cancelled_and_listed() {
    each_store(async |world: &mut World| {
        let keys = ctl(world, &["--json", "key-rotations", "keys"]).await.rows();
        assert_eq!((keys.len(), &keys[0]["current"]), (1, &json!(true)));
        let nobody = ctl(world, &["key-rotations", "start", "--all"]).await;
        assert_eq!(nobody.code, 1, "only an admin: {}", nobody.err);
        assert_eq!(ctl_with(world, Role::Admin, &["key-rotations", "start"], "").await.code, 2, "which devices?");
        let nobody = ctl_with(world, Role::Admin, &["key-rotations", "start", "--tag", "nobody"], "").await;
        assert_eq!(nobody.code, 1);
        assert!(nobody.err.contains("no device matches it"), "{}", nobody.err);
        let device = world.device(2).await;
        world.patch(&device.eid(), json!({ "tags": ["meters"] })).await;
        let start = ["--json", "key-rotations", "start", "--tag", "meters", "--rate", "5", "--label", "yearly"];
        let begun = ctl_with(world, Role::Admin, &start, "").await;
        assert_eq!((begun.code, &begun.json()["filter"]), (0, &json!({ "tags": ["meters"] })), "{}", begun.err);
        let id = begun.json()["id"].as_str().unwrap().to_owned();
        world.advance(chrono::TimeDelta::seconds(1)).await;
        let shown = ctl(world, &["--json", "key-rotations", "show", &id]).await.json();
        assert_eq!((&shown["state"], &shown["label"]), (&json!("completed"), &json!("yearly")));
        for verb in ["pause", "resume", "cancel", "close"] {
            let refused = ctl_with(world, Role::Admin, &["key-rotations", verb, &id], "").await;
            assert_eq!(refused.code, 1, "{verb}: it has ended");
        }
        assert_eq!(ctl(world, &["--json", "key-rotations", "list"]).await.rows().len(), 1);
        assert!(ctl(world, &["--json", "key-rotations", "devices", &id]).await.rows().is_empty());
        let refused = ctl(world, &["devices", "recover-counter", &eid(1), "--above", "7"]).await;
        assert_eq!(refused.code, 1, "there is no such device");
    });
}

#[test]
fn every_shell_gets_a_completion_script_without_a_key() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for shell in ["bash", "zsh", "fish"] {
            let ran = run("http://127.0.0.1:1", None, &["completion", shell], "", false).await;
            assert_eq!(ran.code, 0, "{}", ran.err);
            for word in ["eim-server", "campaigns", "next-wave", "key-file"] {
                assert!(ran.out.contains(word), "{shell} does not know {word}");
            }
        }
    });
}

/// A server that gives these answers, one after the other, and tells what it was asked.
struct Script {
    url: String,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Script {
    async fn start(answers: Vec<(u16, Value)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(vec![]));
        let mut answers = VecDeque::from(answers);
        let told = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Some((status, answer)) = answers.pop_front() {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = BufReader::new(stream);
                let mut first = String::new();
                stream.read_line(&mut first).await.unwrap();
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).await.unwrap();
                    let line = line.trim().to_ascii_lowercase();
                    if let Some(text) = line.strip_prefix("content-length: ") {
                        length = text.parse().unwrap();
                    }
                    if line.is_empty() {
                        break;
                    }
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).await.unwrap();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let first = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
                told.lock().unwrap().push((first, body));
                let text = answer.to_string();
                let head =
                    format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", text.len());
                stream.write_all((head + &text).as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap().clone()
    }
}

async fn scripted(answers: Vec<(u16, Value)>, arguments: &[&str], is_terminal: bool) -> (Ran, Vec<(String, Value)>) {
    let script = Script::start(answers).await;
    let ran = run(&script.url, Some("eimk_x"), arguments, "{\"a\": 1}", is_terminal).await;
    let asked = script.asked();
    (ran, asked)
}

fn campaign(state: &str, ended: u64, outcomes: Value) -> (u16, Value) {
    let wave =
        json!({"index": 0, "devices": 4, "pending": 4 - ended, "running": 0, "ended": ended, "outcomes": outcomes});
    (200, json!({"id": "c", "name": "move", "state": state, "wave": 0, "waves": [wave]}))
}

#[test]
fn a_campaign_is_watched_to_its_end() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let watch = ["campaigns", "watch", "c", "--look-seconds", "0.01"];
        let seen = vec![
            campaign("running", 0, json!({})),
            campaign("running", 0, json!({})),
            (503, json!({"detail": "not now"})),
            campaign("running", 2, json!({"proven": 2})),
            campaign("completed", 4, json!({"proven": 3, "unchanged": 1})),
        ];
        let (ran, asked) = scripted(seen.clone(), &watch, false).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
        let lines: Vec<&str> = ran.out.lines().collect();
        assert_eq!(lines.len(), 3, "a line for each change: {lines:?}");
        assert_eq!(lines[2], "completed wave 0: 4 of 4 ended, proven 3, unchanged 1");
        assert!(ran.err.contains("not now"), "{}", ran.err);
        assert!(asked.iter().all(|(line, _)| line == "GET /api/v1/campaigns/c"));
        // on a terminal the picture is drawn over the one before
        let (ran, _) = scripted(seen, &watch, true).await;
        assert_eq!((ran.code, ran.out.matches("\u{1b}[4A\u{1b}[J").count()), (0, 2), "{:?}", ran.out);
        for (last, code) in [
            (campaign("completed", 4, json!({"proven": 3, "rolledBack": 1})), 4),
            (campaign("aborted", 1, json!({"proven": 1})), 4),
            (campaign("expired", 0, json!({})), 4),
            ((404, json!({"detail": "none"})), 1),
        ] {
            let (ran, _) = scripted(vec![campaign("running", 0, json!({})), last.clone()], &watch, false).await;
            assert_eq!(ran.code, code, "{last:?}: {}", ran.err);
        }
        let (ran, asked) = scripted(
            vec![(200, json!({})), campaign("completed", 4, json!({"proven": 4}))],
            &["campaigns", "start", "c", "--wait", "--comment", "go", "--json"],
            false,
        )
        .await;
        assert_eq!((ran.code, ran.json()["state"].as_str()), (0, Some("completed")), "{}", ran.err);
        assert_eq!(asked[0], ("POST /api/v1/campaigns/c/start".to_owned(), json!({"message": "go"})));
    });
}

#[test]
fn events_are_followed_from_where_they_were_left() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let event = |id: &str| json!({"id": id, "type": "eim.x", "time": "t", "subject": "s", "data": {"n": id}});
        let pages = vec![
            (200, json!({"items": [event("1"), event("2")], "nextCursor": "2", "more": true})),
            (200, json!({"items": [event("3")], "nextCursor": "3", "more": false})),
        ];
        let arguments = ["--json", "events", "tail", "--after", "start", "--type", "eim.*", "--no-follow"];
        let (ran, asked) = scripted(pages, &arguments, false).await;
        assert_eq!((ran.code, ran.rows().len()), (0, 3), "{}", ran.err);
        assert_eq!(asked[0].0, "GET /api/v1/events?type=eim.*");
        assert_eq!(asked[1].0, "GET /api/v1/events?type=eim.*&after=2");
        assert!(ran.err.contains("--after 3"), "{}", ran.err);
    });
}

#[test]
fn each_command_asks_for_its_route() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for (command, line, body) in [
            ("campaigns preview --file -", "POST /api/v1/campaigns/preview", json!({"a": 1})),
            ("campaigns create --file -", "POST /api/v1/campaigns", json!({"a": 1})),
            ("campaigns next-wave c", "POST /api/v1/campaigns/c/nextWave", Value::Null),
            ("campaigns retry-failed c", "POST /api/v1/campaigns/c/retryFailed", Value::Null),
            ("switches list --newest", "GET /api/v1/switches?order=newest&limit=100", Value::Null),
            ("operations list --newest --eid 1", "GET /api/v1/operations?eid=1&order=newest&limit=100", Value::Null),
            ("campaigns devices c --wave 1", "GET /api/v1/campaigns/c/devices?wave=1&limit=100", Value::Null),
            (
                "webhooks create --to https://x --type eim.*",
                "POST /api/v1/webhooks",
                json!({"url": "https://x", "types": ["eim.*"]}),
            ),
            (
                "webhooks rotate-secret w --overlap-seconds 5",
                "POST /api/v1/webhooks/w/rotate-secret",
                json!({"overlapSeconds": 5}),
            ),
            ("webhooks replay w --from a --to b", "POST /api/v1/webhooks/w/replay", json!({"from": "a", "to": "b"})),
            ("webhooks delete w", "DELETE /api/v1/webhooks/w", Value::Null),
            (
                "webhooks deliveries w --state failed",
                "GET /api/v1/webhooks/w/deliveries?state=failed&limit=100",
                Value::Null,
            ),
            ("webhooks retry d", "POST /api/v1/webhook-deliveries/d/retry", Value::Null),
            ("rules create --file - --dry-run", "POST /api/v1/rules?dryRun=true", json!({"a": 1})),
            ("rules update r --file -", "PATCH /api/v1/rules/r", json!({"a": 1})),
            ("rules firings r", "GET /api/v1/rules/r/firings?limit=100", Value::Null),
            (
                "keys create --role viewer --name n --scope events",
                "POST /api/v1/api-keys",
                json!({"role": "viewer", "name": "n", "scopes": ["events"]}),
            ),
            ("keys rotate k --overlap-seconds 60", "POST /api/v1/api-keys/k/rotate", json!({"overlapSeconds": 60})),
            ("handovers create --file -", "POST /api/v1/handovers", json!({"a": 1})),
            ("handovers devices h --state added", "GET /api/v1/handovers/h/devices?state=added&limit=100", Value::Null),
            ("handovers prove h --file -", "POST /api/v1/handovers/h/proofs", json!({"a": 1})),
            ("handovers confirm h 1 2", "POST /api/v1/handovers/h/confirm", json!({"eids": ["1", "2"]})),
            ("handovers cancel h", "POST /api/v1/handovers/h/cancel", Value::Null),
            ("handovers offer h", "GET /api/v1/handovers/h/offer", Value::Null),
            ("handovers proof 1 --handover h", "GET /api/v1/euiccs/1/handover-proof?handover=h", Value::Null),
            ("audit list --eid 1 --type command", "GET /api/v1/audit?eid=1&type=command&limit=100", Value::Null),
            ("audit checkpoints", "GET /api/v1/audit/checkpoints?limit=100", Value::Null),
            ("audit export", "GET /api/v1/exports/audit", Value::Null),
            ("keys revoke k", "POST /api/v1/api-keys/k/revoke", Value::Null),
        ] {
            let arguments: Vec<&str> = command.split(' ').collect();
            let answer = json!({"items": [{"id": 1}], "id": "x"});
            let (ran, asked) = scripted(vec![(200, answer)], &arguments, false).await;
            assert_eq!(ran.code, 0, "{command}: {}", ran.err);
            assert_eq!(asked, [(line.to_owned(), body)], "{command}");
        }
    });
}

#[test]
fn associations_are_shown_and_renewed() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let shown = ctl(world, &["devices", "associations", &eid]).await;
        assert_eq!((shown.code, shown.out.contains("associated")), (0, true), "{}{}", shown.out, shown.err);
        assert_eq!(ctl(world, &["devices", "associate", &eid, "--json", "--no-token"]).await.code, 1, "in force");
        let eim_id = world.eim_id().await;
        device.euicc.association_mut(&eim_id).unwrap().token = Some(eim_core::ids::AssociationToken::new(3));
        let renewed =
            ctl(world, &["devices", "associate", &eid, "--json", "--token", "3", "--counter-value", "1"]).await;
        assert_eq!((renewed.code, &renewed.json()["items"][0]["state"]), (0, &json!("expected")), "{}", renewed.err);
        let shown = ctl(world, &["devices", "associations", &eid]).await;
        assert!(shown.out.contains("expected") && shown.err.contains("listEim"), "{}{}", shown.out, shown.err);
        device.session().await;
        let shown = ctl(world, &["devices", "associations", &eid, "--json"]).await;
        assert_eq!(shown.json()["items"][0]["state"], "associated");
        let file = format!("eid,associationToken\n{},4\n", world.pki.eid(9));
        let imported = ["devices", "import", "-", "--manufacturing", "--json", "--every-line"];
        let imported = ctl_with(world, Role::Operator, &imported, &file).await;
        assert_eq!((imported.code, &imported.rows()[0]["outcome"]), (0, &json!("created")), "{}", imported.err);
    });
}
