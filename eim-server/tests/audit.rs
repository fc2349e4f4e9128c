//! The binary on the data of a server: the audit log is verified and written out, devices are taken elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use eim_core::manage::{self, NewEuicc, Role};
use eim_server::boot::{self, BootPorts};
use eim_server::config::Config;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a command has printed, and its exit code.
fn run(data: &Path, arguments: &[&str]) -> (String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eim-server"));
    command.arg("--data-dir").arg(data).args(arguments).stdin(Stdio::null()).env_remove("EIM_CONFIG");
    let output = command.output().unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
}

/// A server that has started, registered a device and stopped.
async fn served(data: &Path) {
    let server = boot::start(Config::ephemeral(data.to_owned()), BootPorts::default()).await.unwrap();
    manage::create_api_key("ops", Role::Admin, &server.eim).await.unwrap();
    let device = NewEuicc::from_json(json!({ "eid": "89049032000000000000000000000012", "label": "one" })).unwrap();
    manage::register_euicc(device, None, &server.eim).await.unwrap();
    server.stop().await;
}

/// A file with the key that signed an export, as its last line names it.
fn key_file(folder: &Path, signed: &Value) -> PathBuf {
    let path = folder.join("key");
    fs::write(&path, signed["publicKey"].as_str().unwrap()).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_log_is_verified_in_the_database_and_as_a_file_and_a_change_is_told_by_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    tokio::runtime::Runtime::new().unwrap().block_on(served(&data));
    let (said, code) = run(&data, &["audit", "verify"]);
    assert_eq!(code, Some(0), "{said}");
    // The start, the key and the registration, all under the checkpoint of the end.
    assert!(said.starts_with("default: 3 records, ") && said.contains("proven to record 3 of 3"), "{said}");

    let file = folder.path().join("audit.ndjson");
    assert_eq!(run(&data, &["audit", "export", "--out", text(&file)]).1, Some(0));
    assert_eq!(run(&data, &["audit", "export", "--out", text(&file)]).1, Some(1), "a file that is there is kept");
    let exported = fs::read_to_string(&file).unwrap();
    let checkpoint = exported.lines().rev().find(|line| line.starts_with("{\"checkpoint\"")).unwrap();
    let checkpoint: Value = serde_json::from_str(checkpoint).unwrap();
    let key = key_file(folder.path(), &checkpoint["checkpoint"]);
    let nowhere = folder.path().join("nowhere");
    let mistyped = run(&nowhere, &["audit", "verify", "--public-key", text(&key)]);
    assert_eq!((mistyped.1, nowhere.exists()), (Some(1), false), "an empty log would look sound: {}", mistyped.0);
    let verify = |file: &Path| run(&nowhere, &["audit", "verify", "--file", text(file), "--public-key", text(&key)]);
    assert_eq!(verify(&file).1, Some(0), "{}", verify(&file).0);
    assert!(!nowhere.join("eim.db").exists(), "without any database");
    assert_eq!(run(&data, &["audit", "verify", "--file", text(&file)]).1, Some(2), "whose key is to be trusted?");

    let changed = folder.path().join("changed.ndjson");
    fs::write(&changed, exported.replace("\"role\":\"admin\"", "\"role\":\"viewer\"")).unwrap();
    let (said, code) = verify(&changed);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("record 2 was changed"), "{said}");
    let kept = folder.path().join("checkpoint.json");
    fs::write(&kept, checkpoint["checkpoint"].to_string()).unwrap();
    assert_eq!(run(&data, &["audit", "verify", "--checkpoint", text(&kept)]).1, Some(0));
}

#[test]
fn records_that_wait_for_their_place_are_a_warning_and_after_an_hour_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    tokio::runtime::Runtime::new().unwrap().block_on(served(&data));
    let mut database = SqliteConnection::establish(text(&data.join("eim.db"))).unwrap();
    database.batch_execute("PRAGMA busy_timeout = 10000").unwrap();
    // On SQLite all records are of transaction 0, so nobody links one of a later one.
    let mut waits = |minutes: i64| {
        let sql = format!(
            "DELETE FROM audit_records WHERE record_type = 'test'; \
             INSERT INTO audit_records (xid, tenant_id, at, record_type, eid, body) \
             VALUES (7, 1, (strftime('%s', 'now') - {minutes} * 60) * 1000, 'test', '', '{{}}')"
        );
        database.batch_execute(&sql).unwrap();
        run(&data, &["audit", "verify"])
    };
    let (said, code) = waits(50);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("default: warning: 1 record(s) have no place in the chain yet, the first of 2"), "{said}");
    let (said, code) = run(&data, &["audit", "verify", "--json"]);
    let reports: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &reports[0]["waiting"], &reports[0]["faults"]), (Some(0), &json!(1), &json!([])), "{said}");
    assert!(reports[0]["waitingSince"].is_string() && reports[0]["tenant"] == "default", "{said}");
    let (said, code) = waits(-70);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("a time that has not come"), "{said}");
    let (said, code) = waits(70);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("default: 1 record(s) have no place in the chain"), "{said}");
    let (said, code) = run(&data, &["audit", "verify", "--json"]);
    let reports: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, reports[0]["faults"].as_array().unwrap().len()), (Some(1), 1), "{said}");
}

#[test]
fn devices_are_taken_to_another_server_by_a_file_and_a_flipped_bit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (data, other) = (folder.path().join("data"), folder.path().join("other"));
    tokio::runtime::Runtime::new().unwrap().block_on(served(&data));
    let file = folder.path().join("portable.ndjson");
    assert_eq!(run(&data, &["portable", "export", "--out", text(&file)]).1, Some(0));
    let exported = fs::read_to_string(&file).unwrap();
    let last: Value = serde_json::from_str(exported.lines().last().unwrap()).unwrap();
    let key = key_file(folder.path(), &last["signed"]);
    let import = |file: &Path| run(&other, &["portable", "import", text(file), "--public-key", text(&key)]);

    let flipped = folder.path().join("flipped.ndjson");
    fs::write(&flipped, exported.replace("\"label\":\"one\"", "\"label\":\"ong\"")).unwrap();
    let (said, code) = import(&flipped);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("line 2 (eUICC 89049032000000000000000000000012)"), "{said}");
    assert!(!other.join("eim.db").exists(), "nothing was changed, nor made");

    assert_eq!(import(&file), ("1 imported, 0 here before, 0 failed\n".to_owned(), Some(0)));
    assert_eq!(import(&file), ("0 imported, 1 here before, 0 failed\n".to_owned(), Some(0)));
}

#[test]
fn a_restore_is_noted_with_the_server_stopped_on_its_own_data_and_stands_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (data, nowhere) = (folder.path().join("data"), folder.path().join("nowhere"));
    assert_eq!(run(&nowhere, &["note-restore"]).1, Some(1), "there is no store");
    assert!(!nowhere.exists());
    fs::create_dir(&nowhere).unwrap();
    fs::write(nowhere.join("eim.db"), "").unwrap();
    assert_eq!(run(&nowhere, &["note-restore"]).1, Some(1), "a database in which nothing is");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(boot::start(Config::ephemeral(data.clone()), BootPorts::default())).unwrap();
    let key = server.eim.keys().keys()[0].id.to_string();
    assert_eq!(run(&data, &["note-restore"]).1, Some(1), "a server runs, and would not know of it");
    runtime.block_on(server.stop());
    let (said, code) = run(&data, &["note-restore"]);
    assert_eq!((said.trim(), code), (format!("{key} (0 devices)").as_str(), Some(0)));
    // A server gives records their places.
    let server = runtime.block_on(boot::start(Config::ephemeral(data.clone()), BootPorts::default())).unwrap();
    runtime.block_on(server.stop());
    assert_eq!(run(&data, &["audit", "verify"]).1, Some(0));
    let (said, code) = run(&data, &["audit", "export"]);
    assert_eq!(code, Some(0));
    let noted: Vec<&str> = said.lines().filter(|line| line.contains("backupRestored")).collect();
    assert!(noted.len() == 1 && noted[0].contains(&key), "{said}");
}
