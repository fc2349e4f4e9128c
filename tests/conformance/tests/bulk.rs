//! Import and export in bulk: streamed both ways, with a report on each line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eim_conformance::{Binding, Mode, Reply, Role, Upload, World, each_store, run_with};
use eim_core::domain::statement::key_id;
use eim_core::pki::{Curve, SigningKey};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fmt::Write;

const EUICCS: &str = "/api/v1/imports/euiccs";
const OPERATIONS: &str = "/api/v1/imports/operations";
const CSV: (&str, &str) = ("content-type", "text/csv");
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

fn eid(number: u32) -> String {
    format!("89990009{number:024}")
}

/// The reports on each line, and the summary.
fn report(reply: &Reply) -> (Vec<Value>, Value) {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
    let mut lines: Vec<Value> = reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().expect("a summary")["summary"].clone();
    assert!(summary.is_object(), "{}", reply.text());
    (lines, summary)
}

async fn import(world: &World, path: &str, media_type: (&str, &str), body: &str) -> (Vec<Value>, Value) {
    report(&world.send(Role::Operator, "POST", path, &[media_type], body).await)
}

async fn export(world: &World, path: &str) -> Reply {
    let reply = world.send(Role::Viewer, "GET", path, &[], "").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply
}

fn outcomes(reports: &[Value]) -> Vec<(u64, &str)> {
    reports.iter().map(|report| (report["line"].as_u64().unwrap(), report["outcome"].as_str().unwrap())).collect()
}

fn pointers(report: &Value) -> Vec<&str> {
    report["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}

#[test]
fn a_line_is_reported_while_the_rest_is_still_being_sent() {
    each_store(async |world: &mut World| {
        let first = format!("eid,label\r\n{},one\r\n", eid(1));
        let mut upload = world.upload(Role::Operator, EUICCS, &[CSV], &first).await;
        assert_eq!(upload.status, 200);
        assert_eq!(upload.line().await.unwrap(), json!({"line": 2, "eid": eid(1), "outcome": "created", "errors": []}));
        assert_eq!(world.euicc(&eid(1)).await["label"], "one");
        // half a line is no line
        upload.send(format!("{},tw", eid(2))).await;
        upload.send(format!("o\r\nbad,\"\r\n{},three", eid(3))).await;
        assert_eq!(upload.line().await.unwrap()["outcome"], "created");
        assert_eq!(world.euicc(&eid(2)).await["label"], "two");
        upload.end();
        let bad = upload.line().await.unwrap();
        assert_eq!((&bad["line"], &bad["outcome"]), (&json!(4), &json!("failed")), "{bad}");
        assert_eq!(upload.line().await.unwrap()["line"], 5);
        let summary = upload.line().await.unwrap();
        assert_eq!(summary, json!({"summary": {"lines": 4, "created": 3, "exists": 0, "failed": 1}}));
        assert_eq!(upload.line().await, None);
    });
}

#[test]
fn twenty_thousand_lines_pass_and_a_bad_one_among_them_stops_nobody() {
    const LINES: u32 = 20_000;
    const PART: u32 = 500;
    each_store(async |world: &mut World| {
        let mut upload = world.upload(Role::Operator, EUICCS, &[NDJSON], "\n").await;
        let mut created = 0;
        for part in 0..LINES / PART {
            let mut lines = String::new();
            for number in part * PART..(part + 1) * PART {
                let eid = if number == LINES / 2 { "8999".to_owned() } else { eid(number) };
                writeln!(lines, "{}", json!({"eid": eid, "tags": ["many"], "label": format!("meter {number}")}))
                    .unwrap();
            }
            upload.send(lines).await;
            // what was sent is reported on before more is sent: neither side holds the file
            for number in part * PART..(part + 1) * PART {
                let report = upload.line().await.unwrap();
                assert_eq!(report["line"], number + 2, "{report}");
                if number == LINES / 2 {
                    assert_eq!((&report["outcome"], pointers(&report)), (&json!("failed"), vec!["/eid"]), "{report}");
                } else {
                    assert_eq!(report["outcome"], "created", "{report}");
                    created += 1;
                }
            }
        }
        upload.end();
        let summary = upload.line().await.unwrap()["summary"].clone();
        assert_eq!(summary, json!({"lines": LINES, "created": created, "exists": 0, "failed": 1}));
        let text = export(world, "/api/v1/exports/euiccs?tag=many").await.text();
        assert_eq!(text.lines().count(), LINES as usize, "a header, and every line but the bad one");
        let (eim_id, key) = identity(world).await;
        let last = format!("\r\n{},meter {},many,0,,,,verified,{eim_id},{key}\r\n", eid(LINES - 1), LINES - 1);
        assert!(text.contains(&last), "{}", text.lines().last().unwrap());
    });
}

/// As an EUM sends them, with the certificates of each eUICC: every line is judged, and the bad one leaves nothing behind.
#[test]
fn two_thousand_eums_lines_with_certificates_and_a_bad_one_among_them() {
    const LINES: u32 = 2_000;
    each_store(async |world: &mut World| {
        let eum = STANDARD.encode(world.pki.eum_certificate());
        let bad = LINES / 2;
        let mut csv = "eid,counterValue,associationToken,euiccCertificate,eumCertificate\r\n".to_owned();
        for index in 0..LINES {
            // The certificate of another eUICC.
            let of = if index == bad { bad + LINES } else { index };
            let certificate = STANDARD.encode(&world.pki.euicc(of).unwrap().certificate);
            writeln!(csv, "{},{index},,{certificate},{eum}\r", world.pki.eid(index)).unwrap();
        }
        for outcome in ["created", "exists"] {
            let (reports, summary) = import(world, "/api/v1/imports/manufacturing", CSV, &csv).await;
            assert_eq!((&summary["lines"], &summary["failed"]), (&json!(LINES), &json!(1)));
            assert_eq!(summary[outcome], LINES - 1);
            assert!(reports.iter().map(|report| report["line"].as_u64().unwrap()).eq(2..u64::from(LINES) + 2));
            assert_eq!(pointers(&reports[bad as usize]), ["/euiccCertificate"]);
        }
        let path = format!("/api/v1/euiccs/{}", world.pki.eid(bad));
        assert_eq!(world.send(Role::Viewer, "GET", &path, &[], "").await.status, 404);
        let last = world.euicc(&world.pki.eid(LINES - 1).to_string()).await;
        assert_eq!(
            (&last["certificatesTrusted"], &last["association"]["counterValue"]),
            (&json!(true), &json!(LINES - 1))
        );
        let text = export(world, "/api/v1/exports/euiccs?format=ndjson").await.text();
        assert_eq!(text.lines().count(), LINES as usize - 1);
    });
}

/// eimId and the id of the key that new associations get.
async fn identity(world: &World) -> (String, String) {
    (world.eim_id().await, key_id(&world.eim_key().await.to_spki()))
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// Each server takes what the one before it gave; the last has what the first had.
fn handed_on(path: &str, media_type: (&str, &str)) {
    let carried: RefCell<Option<String>> = RefCell::new(None);
    // The same eIM each time: its devices trust no other key.
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("signing-key.pem");
    let fresh = SigningKey::generate_p256(&ring::rand::SystemRandom::new()).unwrap();
    std::fs::write(&key, fresh.to_pkcs8_pem().unwrap().as_bytes()).unwrap();
    let postgres = Mode { broker: false, ..Mode::PRODUCTION };
    run_with(
        &[Mode::EMBEDDED, postgres, Mode::EMBEDDED],
        &[Binding::Asn1],
        |config| {
            config.eim.id = Some("2.25.77".to_owned());
            config.eim.signing_key = Some(key.clone());
        },
        async |world: &mut World| {
            let before = carried.borrow().clone();
            match &before {
                None => {
                    let der = |name: &str| STANDARD.encode(world.test_pki.certificate(Curve::P256, name).unwrap());
                    for body in [
                        json!({"eid": "89049032000000000000000000000163", "eumCertificate": der("eum"),
                        "euiccCertificate": der("euicc1"), "association": {"counterValue": 7, "associationToken": 3}}),
                        json!({"eid": eid(1), "label": "=HYPERLINK(\"http://x\")", "tags": ["+a", "b;c", "d\\e"]}),
                        json!({"eid": eid(2), "label": "two\r\nlines, \"quoted\"", "tags": [" x "]}),
                        json!({"eid": eid(3), "label": "'=already", "tags": ["Zähler", "\u{1F4E1}"]}),
                        json!({"eid": eid(4), "label": "''"}),
                        json!({"eid": eid(5), "label": "@cmd", "association": {"associationToken": 0}}),
                        json!({"eid": eid(6)}),
                    ] {
                        let reply = world.post("/api/v1/euiccs", body).await;
                        assert_eq!(reply.status, 201, "{}", reply.text());
                    }
                }
                Some(text) => {
                    let (reports, summary) = import(world, EUICCS, media_type, text).await;
                    assert_eq!((&summary["created"], &summary["failed"]), (&json!(7), &json!(0)), "{reports:?}");
                }
            }
            let text = export(world, path).await.text();
            if let Some(before) = before {
                // lines of one group are carried out side by side, so their order may be another
                assert_eq!(sorted(&text), sorted(&before));
                // and a second time it changes nothing
                let (_, summary) = import(world, EUICCS, media_type, &text).await;
                assert_eq!((&summary["exists"], &summary["lines"]), (&json!(7), &json!(7)));
            }
            let euicc = world.euicc("89049032000000000000000000000163").await;
            assert_eq!(euicc["certificatesTrusted"], true);
            assert_eq!(euicc["association"]["counterValue"], 7);
            assert_eq!(world.euicc(&eid(1)).await["label"], "=HYPERLINK(\"http://x\")");
            assert_eq!(world.euicc(&eid(1)).await["tags"], json!(["+a", "b;c", "d\\e"]));
            assert_eq!(world.euicc(&eid(2)).await["label"], "two\r\nlines, \"quoted\"");
            assert_eq!(world.euicc(&eid(3)).await["label"], "'=already");
            assert_eq!(world.euicc(&eid(5)).await["association"]["associationToken"], 0);
            *carried.borrow_mut() = Some(text);
        },
    );
    let text = carried.into_inner().unwrap();
    if media_type == CSV {
        for cell in text.replace("\"\"", "").split(['\r', '\n', ',']) {
            let cell = cell.trim_start_matches('"');
            assert!(!cell.starts_with(['=', '+', '-', '@']), "a spreadsheet takes {cell} for a formula");
        }
    }
}

#[test]
fn what_one_server_exports_as_csv_another_takes() {
    handed_on("/api/v1/exports/euiccs", CSV);
}

#[test]
fn what_one_server_exports_as_ndjson_another_takes() {
    handed_on("/api/v1/exports/euiccs?format=ndjson", NDJSON);
}

/// The key that devices trust is named also where it is the usual one, so that no other server takes its own for it.
#[test]
fn an_export_names_the_key_that_devices_trust_and_another_eim_refuses_it() {
    each_store(async |world: &mut World| {
        let other = world.another().await;
        assert_eq!(world.post("/api/v1/euiccs", json!({ "eid": eid(1) })).await.status, 201);
        let (eim_id, key) = identity(world).await;
        for (format, media_type) in [("csv", CSV), ("ndjson", NDJSON)] {
            let text = export(world, &format!("/api/v1/exports/euiccs?format={format}")).await.text();
            assert!(text.contains(&eim_id) && text.contains(&key), "{text}");
            let (reports, summary) = import(&other, EUICCS, media_type, &text).await;
            assert_eq!(summary["failed"], 1, "{reports:?}");
            let expected = if format == "csv" {
                ["/eimId", "/signingKey"]
            } else {
                ["/association/eimId", "/association/signingKey"]
            };
            assert_eq!(pointers(&reports[0]), expected, "{reports:?}");
            // On the same server it is what is there.
            assert_eq!(import(world, EUICCS, media_type, &text).await.1["exists"], 1);
        }
        assert_eq!(other.get("/api/v1/euiccs").await["items"], json!([]));
    });
}

#[test]
fn an_import_may_be_repeated_and_never_changes_a_device() {
    each_store(async |world: &mut World| {
        let header = "eid,label,tags,counterValue,associationToken";
        let file = format!("{header}\n{},one,a;b,5,9\n{},two,,,\n", eid(1), eid(2));
        let (reports, _) = import(world, EUICCS, CSV, &file).await;
        assert_eq!(outcomes(&reports), [(2, "created"), (3, "created")]);
        let before = world.get("/api/v1/euiccs").await;
        let (reports, summary) = import(world, EUICCS, CSV, &file).await;
        assert_eq!(outcomes(&reports), [(2, "exists"), (3, "exists")]);
        assert_eq!(summary, json!({"lines": 2, "created": 0, "exists": 2, "failed": 0}));
        let other = format!(
            "{header}\n{0},other,a,6,8\n{0},,b;a,4,\n{1},,,,\n{1},,,,7\n{2},twice,,,\n{2},twice,,,\n{2},once,,,\n",
            eid(1),
            eid(2),
            eid(3)
        );
        let (reports, _) = import(world, EUICCS, CSV, &other).await;
        let expected = ["failed", "exists", "exists", "failed", "created", "exists", "failed"];
        assert_eq!(outcomes(&reports).into_iter().map(|(_, outcome)| outcome).collect::<Vec<_>>(), expected);
        assert_eq!(pointers(&reports[0]), ["/label", "/tags", "/counterValue", "/associationToken"]);
        assert_eq!(pointers(&reports[3]), ["/associationToken"]);
        assert_eq!(pointers(&reports[6]), ["/label"]);
        let after = world.get("/api/v1/euiccs").await;
        assert_eq!(after["items"].as_array().unwrap()[..2], before["items"].as_array().unwrap()[..]);
    });
}

#[test]
fn a_line_that_cannot_be_taken_names_its_values_and_does_nothing() {
    each_store(async |world: &mut World| {
        let lines = [
            ("{\"eid\": 5}", vec!["/eid"]),
            ("{}", vec!["/eid"]),
            ("[]", vec![""]),
            ("{", vec![""]),
            ("\u{0}", vec![""]),
            (r#"{"eid":"89990009000000000000000000000001","colour":"red"}"#, vec!["/colour"]),
            (
                r#"{"eid":"89990009000000000000000000000001","association":{"counterValue":-1}}"#,
                vec!["/association/counterValue"],
            ),
            (r#"{"eid":"89990009000000000000000000000001","resultPolicy":"lab"}"#, vec!["/resultPolicy"]),
            (r#"{"eid":"89990009000000000000000000000001","eumCertificate":"AAAA"}"#, vec!["/euiccCertificate"]),
        ];
        let body: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
        let (reports, summary) = import(world, EUICCS, NDJSON, &body).await;
        for (report, (line, expected)) in reports.iter().zip(&lines) {
            assert_eq!((&report["outcome"], &pointers(report)), (&json!("failed"), expected), "{line}: {report}");
        }
        assert_eq!(summary, json!({"lines": 9, "created": 0, "exists": 0, "failed": 9}));
        let rows = [
            ("1", vec!["/eid"]),
            ("89990009000000000000000000000001,,x", vec!["/counterValue"]),
            ("89990009000000000000000000000001,,-5", vec!["/counterValue"]),
            ("89990009000000000000000000000001", vec![""]),
            ("89990009000000000000000000000001,a,1,2", vec![""]),
        ];
        let body: String = rows.iter().map(|(row, _)| format!("{row}\n")).collect();
        let (reports, _) =
            import(world, EUICCS, CSV, &format!("eid,label,counterValue\n{}", body.replacen("1\n", "1,,\n", 1))).await;
        for (report, (row, expected)) in reports.iter().zip(&rows) {
            assert_eq!((&report["outcome"], &pointers(report)), (&json!("failed"), expected), "{row}: {report}");
        }
        let long = format!("eid,label\n{},{}\n{},ok\n", eid(1), "x".repeat(70_000), eid(2));
        let (reports, _) = import(world, EUICCS, CSV, &long).await;
        assert_eq!(outcomes(&reports), [(2, "failed"), (3, "created")]);
        assert_eq!(world.get("/api/v1/euiccs").await["items"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn an_import_as_a_whole_is_judged_before_its_lines() {
    run_with(
        &[Mode::EMBEDDED],
        &[Binding::Asn1],
        |config| config.limits.import_bytes = 5_000,
        async |world: &mut World| {
            let send = async |role, media_type: &str, body: &str| {
                world.send(role, "POST", EUICCS, &[("content-type", media_type)], body).await
            };
            let good = format!("eid\n{}\n", eid(1));
            assert_eq!(send(Role::Viewer, "text/csv", &good).await.status, 403);
            assert_eq!(send(Role::Nobody, "text/csv", &good).await.status, 401);
            for media_type in ["application/json", "", "text/csvx", "text/csv; charset=iso-8859-1"] {
                let problem = send(Role::Operator, media_type, &good).await.problem(415);
                assert_eq!(problem["type"], "urn:eim:problem:unsupported-media-type");
            }
            for (header, expected) in [
                ("", vec![""]),
                ("\n\n", vec![""]),
                ("\"eid\n", vec![""]),
                ("label\n", vec!["/eid"]),
                ("eid,eid\n", vec!["/eid"]),
                ("eid,Label,=x\n", vec!["/Label", "/=x"]),
                ("eid;label\n", vec!["/eid;label", "/eid"]),
            ] {
                assert_eq!(send(Role::Operator, "text/csv", header).await.pointers(422), expected, "{header:?}");
            }
            let problem = send(Role::Operator, "text/csv", &format!("{good}{}", " ".repeat(5_000))).await.problem(413);
            assert!(problem["detail"].as_str().unwrap().contains("5000"));
            assert_eq!(world.get("/api/v1/euiccs").await["items"], json!([]), "nothing was done");
            // one that does not announce its size is cut off where it becomes too large
            let mut upload: Upload =
                world.upload(Role::Operator, EUICCS, &[("content-type", "Text/CSV; Charset=\"UTF-8\"")], &good).await;
            assert_eq!(upload.line().await.unwrap()["outcome"], "created");
            upload.send(format!("{}\n{}", eid(2), "\n".repeat(6_000))).await;
            upload.end();
            let mut last = upload.line().await.unwrap();
            while let Some(next) = upload.line().await {
                last = next;
            }
            let stopped = &last["summary"]["stopped"];
            assert!(stopped["message"].as_str().unwrap().contains("5000"), "{last}");
            // both forms of a query that can't be taken
            for (query, status) in [("format=xml", 400), ("tga=x", 400), ("state=gone", 422)] {
                let reply = world.send(Role::Viewer, "GET", &format!("/api/v1/exports/euiccs?{query}"), &[], "").await;
                assert_eq!(reply.pointers(status), [format!("/{}", query.split('=').next().unwrap())], "{query}");
            }
        },
    );
}

#[test]
fn a_body_that_breaks_off_leaves_what_was_reported_and_no_half_line() {
    each_store(async |world: &mut World| {
        let first = format!("eid,label\n{},one\n", eid(1));
        let mut upload = world.upload(Role::Operator, EUICCS, &[CSV], &first).await;
        assert_eq!(upload.line().await.unwrap()["outcome"], "created");
        upload.send(format!("{},tw", eid(2))).await;
        upload.break_off().await;
        // the same import again, as a whole
        let (reports, _) = import(world, EUICCS, CSV, &format!("{first}{},two\n", eid(2))).await;
        assert_eq!(outcomes(&reports), [(2, "exists"), (3, "created")]);
    });
}

#[test]
fn operations_are_queued_line_by_line_and_in_their_order() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let other = world.device(2).await;
        let code = "1$smdp.example$SECRET-CODE";
        let quoted = |value: Value| format!("\"{}\"", value.to_string().replace('"', "\"\""));
        let enable = |number: u8| quoted(json!([{ "enable": { "iccid": device.iccid(number), "rollback": true } }]));
        let file = [
            "eid,psmo,euiccData,profileDownload,activationCode,confirmationCode,label,idempotencyKey".to_owned(),
            format!("{},{},,,,,first,k1", device.eid(), enable(2)),
            format!("{},{},,,,,second,k2", device.eid(), enable(1)),
            format!("{},,,,,,nothing,", device.eid()),
            format!("{},[],,,,,empty,", device.eid()),
            format!("{},[,,,,,no JSON,", device.eid()),
            format!("{},,,,{code},1234,download,k3", other.eid()),
            format!("{},,,\"{{\"\"activationCode\"\":\"\"x\"\"}}\",{code},,both,", other.eid()),
            format!("{},,,,1$nonsense,,bad code,", other.eid()),
            format!("{},,\"{{\"\"tags\"\":[\"\"BF20\"\"]}}\",,,,unknown,", eid(7)),
            format!("{},,\"{{\"\"tags\"\":[\"\"BF20\"\"]}}\",,,,data,k4", other.eid()),
        ]
        .join("\n");
        let reply = world.send(Role::Operator, "POST", OPERATIONS, &[CSV], file.clone()).await;
        let (reports, summary) = report(&reply);
        let expected =
            ["created", "created", "failed", "failed", "failed", "created", "failed", "failed", "failed", "created"];
        let found: Vec<&str> = outcomes(&reports).into_iter().map(|(_, outcome)| outcome).collect();
        assert_eq!(found, expected, "{}", reply.text());
        assert_eq!((&summary["created"], &summary["failed"]), (&json!(4), &json!(6)));
        assert_eq!(pointers(&reports[4]), ["/psmo"]);
        assert_eq!(pointers(&reports[6]), ["/activationCode"]);
        assert_eq!(pointers(&reports[7]), ["/activationCode"]);
        assert_eq!(pointers(&reports[8]), ["/eid"]);
        assert!(!reply.text().contains("SECRET-CODE"), "a code is in the report");
        // again: lines with a key are what they were, those without failed before and fail again
        let (again, summary) = import(world, OPERATIONS, CSV, &file).await;
        assert_eq!((&summary["created"], &summary["exists"]), (&json!(0), &json!(4)));
        assert_eq!(again[0]["id"], reports[0]["id"]);
        // the same key for something else
        let taken = json!({"eid": other.eid(), "euiccData": {"tags": ["BF22"]}, "idempotencyKey": "k4"}).to_string();
        let (reports_of_taken, _) = import(world, OPERATIONS, NDJSON, &taken).await;
        assert_eq!(pointers(&reports_of_taken[0]), ["/idempotencyKey"]);

        let labels: Vec<Value> = world.operations(&device.eid()).await.iter().map(|one| one["label"].clone()).collect();
        let position = |label: &str| labels.iter().position(|one| one == label).unwrap();
        assert!(position("first") < position("second"), "{labels:?}");
        device.session().await;
        let first = world.operation(reports[0]["id"].as_str().unwrap()).await;
        assert_ne!(first["state"], "queued", "the device got it");

        let text = export(world, &format!("/api/v1/exports/operations?eid={}", other.eid())).await.text();
        assert!(text.starts_with("id,eid,kind,origin,state,") && !text.contains("SECRET-CODE"), "{text}");
        let ndjson = export(world, "/api/v1/exports/operations?format=ndjson&state=queued").await.text();
        let rows: Vec<Value> = ndjson.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(rows.iter().all(|row| row["state"] == "queued"));
        assert!(rows.iter().any(|row| row["label"] == "data"));
    });
}

#[test]
fn one_key_makes_a_whole_import_of_operations_safe_to_repeat() {
    each_store(async |world: &mut World| {
        let device = world.bare_device(1).await;
        let lines = |labels: &[&str]| -> String {
            let line =
                |label| json!({"eid": device.eid(), "euiccData": {"tags": ["BF20"]}, "label": label}).to_string();
            labels.iter().map(|label| line(label) + "\n").collect()
        };
        let send = async |body: String| {
            let headers = [NDJSON, ("idempotency-key", "tuesday's import")];
            report(&world.send(Role::Operator, "POST", OPERATIONS, &headers, body).await)
        };
        // it broke off after two lines; then the whole
        let (first, _) = send(lines(&["a", "b"])).await;
        assert_eq!(outcomes(&first), [(1, "created"), (2, "created")]);
        let (second, _) = send(lines(&["a", "b", "c"])).await;
        assert_eq!(outcomes(&second), [(1, "exists"), (2, "exists"), (3, "created")]);
        assert_eq!(first[1]["id"], second[1]["id"]);
        // another file under the same key
        let (third, _) = send(lines(&["a", "x"])).await;
        assert_eq!(outcomes(&third), [(1, "exists"), (2, "failed")]);
        assert_eq!(pointers(&third[1]), ["/idempotencyKey"]);
        let labels: Vec<Value> = world.operations(&device.eid()).await.iter().map(|one| one["label"].clone()).collect();
        assert_eq!(labels, ["a", "b", "c"]);
    });
}
