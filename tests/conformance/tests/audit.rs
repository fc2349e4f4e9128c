//! The audit log: what is in it, and that nobody changes it without a trace.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

use chrono::TimeDelta;
use eim_conformance::{Device, Forge, Role, SentPackage, World, each_store};
use eim_core::domain::audit::Report;
use eim_core::domain::statement::{Purpose, SignedStatement, digest, key_id};
use eim_core::ids::AssociationToken;
use eim_core::jobs;
use eim_core::manage::audit::{AuditFileCheck, kept_checkpoint, verify_audit};
use serde_json::{Value, json};

/// Links all that was written; on PostgreSQL a transaction of another test may hold that up for a moment.
async fn linked(world: &World) {
    let store = world.server().eim.store().clone();
    let none_waits = async || {
        jobs::seal_audit(&world.server().eim).await.unwrap();
        store.audit_waiting().await.unwrap().records == 0
    };
    world.until("every record has its place", none_waits).await;
}

async fn admin(world: &World, path: &str) -> Value {
    let reply = world.send(Role::Admin, "GET", path, &[], "").await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json()
}

async fn records(world: &World, query: &str) -> Vec<Value> {
    linked(world).await;
    admin(world, &format!("/api/v1/audit?limit=1000{query}")).await["items"].as_array().unwrap().clone()
}

async fn of_type(world: &World, record_type: &str) -> Vec<Value> {
    records(world, &format!("&type={record_type}")).await
}

async fn verified(world: &World) -> Report {
    verify_audit(vec![], None, &world.server().eim).await.unwrap()
}

fn messages(report: &Report) -> Vec<&str> {
    report.faults.iter().map(|fault| fault.message.as_str()).collect()
}

/// A device that was asked for its profiles and has answered; and a checkpoint on all of it.
async fn story(world: &World) -> Device {
    let device = world.listed_device(1).await;
    linked(world).await;
    world.clock.advance(TimeDelta::minutes(2));
    assert_eq!(world.post("/api/v1/euiccs", json!({ "eid": "1" })).await.status, 422);
    linked(world).await;
    jobs::close_audit(&world.server().eim).await.unwrap();
    let report = verified(world).await;
    assert!(report.is_good() && report.proven_to == report.last && report.last > 8, "{report:?}");
    device
}

#[test]
fn the_log_tells_who_asked_for_what_which_key_signed_it_and_what_was_believed() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let eid = device.eid();
        let id = world.queue(&eid, json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
        let package = SentPackage::read(&device.fetch().await);
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");

        let told = records(world, &format!("&eid={eid}")).await;
        let types: Vec<&str> = told.iter().filter_map(|record| record["type"].as_str()).collect();
        for expected in
            ["registered", "commandBegun", "operationQueued", "keyUsed", "resultBelieved", "operationSucceeded"]
        {
            assert!(types.contains(&expected), "{expected} is missing: {types:?}");
        }
        let used =
            told.iter().find(|record| record["type"] == "keyUsed" && record["details"]["operation"] == *id).unwrap();
        let token = AssociationToken::suffix(device.euicc.associations()[0].token);
        assert_eq!(used["details"]["digest"], digest(&[package.signed.clone(), token].concat()), "of what was signed");
        assert_eq!(used["details"]["key"], key_id(&world.eim_key().await.to_spki()));
        assert_eq!(used["details"]["counterValue"], package.counter);
        assert_eq!(used["details"]["asks"], json!(["listProfileInfo"]));

        // A command is noted before and after, with who asked and on whose authority.
        let begun = of_type(world, "commandBegun").await;
        let begun =
            begun.iter().find(|record| record["subject"] == format!("/api/v1/euiccs/{eid}/operations")).unwrap();
        let done = of_type(world, "command").await;
        let done = done.iter().find(|record| record["details"]["command"] == begun["details"]["command"]).unwrap();
        assert_eq!(done["subject"], format!("/api/v1/operations/{id}"));
        assert_eq!(
            (&done["details"]["outcome"], &done["details"]["authority"]),
            (&json!("done"), &json!("role operator"))
        );
        assert!(done["position"].as_i64() > begun["position"].as_i64());
        assert_eq!(of_type(world, "serverStarted").await[0]["details"]["eimId"], world.eim_id().await);
        assert_eq!(world.send(Role::Operator, "GET", "/api/v1/audit", &[], "").await.status, 403, "for admins");
    });
}

#[test]
fn keys_that_are_made_and_logins_that_are_refused_are_in_the_log_and_no_secret_is() {
    each_store(async |world: &mut World| {
        let body = json!({ "name": "robot", "role": "operator" }).to_string();
        let made = world.send(Role::Admin, "POST", "/api/v1/api-keys", &[], body).await.json();
        let (id, key) = (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned());
        let verb = async |verb: &str| {
            let path = format!("/api/v1/api-keys/{id}/{verb}");
            let reply = world.send(Role::Admin, "POST", &path, &[], "{}").await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        };
        verb("rotate").await;
        verb("revoke").await;
        for record_type in ["apiKeyMade", "apiKeyRotated", "apiKeyRevoked"] {
            let told = of_type(world, record_type).await;
            assert!(told.iter().any(|record| record["details"]["key"] == *id), "{record_type}: {told:?}");
        }
        let by: Vec<Value> =
            of_type(world, "apiKeyMade").await.iter().map(|made| made["details"]["by"].clone()).collect();
        assert_eq!(by, ["process", "process", "process", "api"], "the command line, and the API");

        // A hundred refusals are a record or two, not a hundred.
        for _ in 0..100 {
            assert_eq!(world.send_as(&key, "GET", "/api/v1/euiccs", Value::Null).await.status, 401);
        }
        assert_eq!(world.send_as("eimk_nobody", "GET", "/api/v1/euiccs", Value::Null).await.status, 401);
        assert_eq!(world.send(Role::Nobody, "GET", "/api/v1/euiccs", &[], "").await.status, 401);
        world.clock.advance(TimeDelta::minutes(2));
        let refused = of_type(world, "loginRefused").await;
        let times = |reason: &str| {
            let of_reason = refused.iter().filter(|record| record["details"]["reason"] == reason);
            (of_reason.clone().filter_map(|record| record["details"]["times"].as_u64()).sum::<u64>(), of_reason.count())
        };
        assert_eq!(times("revokedKey").0, 100, "{refused:?}");
        assert!(times("revokedKey").1 <= 3, "{refused:?}");
        assert_eq!((times("unknownKey").0, times("noKey").0), (1, 1));
        assert!(refused.iter().any(|record| record["details"]["key"] == *id));
        let all = Value::from(records(world, "").await).to_string();
        assert!(!all.contains("eimk_") && !all.contains(&key));
    });
}

#[test]
fn results_that_nobody_believes_are_recorded_in_bounds_and_the_last_record_says_so() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        world.queue(&device.eid(), json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
        let package = SentPackage::read(&device.fetch().await);
        let stranger = Forge::of(&world.device_of(world.pki.euicc(2).unwrap()).await);
        let eid = device.euicc.eid();
        for seq in 0..40 {
            device.provide(Some(&eid), &stranger.answer(&package, seq, &[])).await;
        }
        let refused = of_type(world, "resultNotBelieved").await;
        assert_eq!(refused.len(), 20);
        assert!(refused[0]["details"]["reason"].is_string());
        assert_eq!(refused[19]["details"]["moreNotRecordedForAnHour"], true);
        assert_eq!(refused[18]["details"].get("moreNotRecordedForAnHour"), None);
    });
}

#[test]
fn a_record_that_is_changed_removed_or_inserted_is_found() {
    each_store(async |world: &mut World| {
        story(world).await;
        world.sql("CREATE TABLE kept_links AS SELECT * FROM audit_links").await;
        world.sql("CREATE TABLE kept_records AS SELECT * FROM audit_records").await;
        let seq = "(SELECT record_seq FROM kept_links WHERE tenant_id = 1 AND position = 5)";
        let restore = [
            "DELETE FROM audit_records".to_owned(),
            "DELETE FROM audit_links".to_owned(),
            "INSERT INTO audit_records SELECT * FROM kept_records".to_owned(),
            "INSERT INTO audit_links SELECT * FROM kept_links".to_owned(),
        ];
        for (change, expected) in [
            (format!("UPDATE audit_records SET body = replace(body, 'test', 'best') WHERE seq = {seq} OR seq = (SELECT record_seq FROM kept_links WHERE tenant_id = 1 AND position = 2)"), "was changed"),
            (format!("UPDATE audit_records SET at = at + 1 WHERE seq = {seq}"), "beside record 5 says otherwise"),
            (format!("UPDATE audit_records SET eid = 'x' WHERE seq = {seq}"), "beside record 5 says otherwise"),
            (format!("UPDATE audit_records SET record_type = 'x' WHERE seq = {seq}"), "beside record 5 says otherwise"),
            (format!("UPDATE audit_records SET tenant_id = 2 WHERE seq = {seq}"), "record 5 is missing"),
            ("UPDATE audit_links SET tenant_id = 2 WHERE tenant_id = 1 AND position = 5".to_owned(), "record 5 is missing"),
            (format!("DELETE FROM audit_records WHERE seq = {seq}"), "record 5 is missing"),
            ("DELETE FROM audit_links WHERE tenant_id = 1 AND position = 5".to_owned(), "record 5 is missing"),
            ("DELETE FROM audit_links WHERE tenant_id = 1 AND position = 5".to_owned(), "outside of the chain"),
            // Between two others, with all places behind it moved on.
            (
                "UPDATE audit_links SET position = -position WHERE position > 5; \
                 UPDATE audit_links SET position = 1 - position WHERE position < 0; \
                 INSERT INTO audit_records (seq, xid, tenant_id, at, record_type, eid, body) SELECT -1, xid, tenant_id, at, record_type, eid, body FROM kept_records WHERE seq = \
                 (SELECT record_seq FROM kept_links WHERE position = 2); \
                 INSERT INTO audit_links (tenant_id, position, record_seq, link) SELECT 1, 6, -1, link FROM kept_links WHERE position = 5".to_owned(),
                "does not fit",
            ),
            // The end, while the checkpoint still tells of it.
            ("DELETE FROM audit_links WHERE tenant_id = 1 AND position > 6".to_owned(), "the end was cut off"),
        ] {
            world.sql(&change).await;
            let report = verified(world).await;
            assert!(messages(&report).iter().any(|message| message.contains(expected)), "{change}: {report:?}");
            for sql in &restore {
                world.sql(sql).await;
            }
            assert!(verified(world).await.is_good(), "as it was");
        }
    });
}

#[test]
fn links_computed_anew_do_not_fit_the_checkpoint_and_a_cut_end_does_not_fit_one_that_was_kept() {
    each_store(async |world: &mut World| {
        story(world).await;
        let last = admin(world, "/api/v1/audit/checkpoints").await["items"].as_array().unwrap().last().unwrap().clone();
        let kept = kept_checkpoint(&last.to_string()).unwrap();
        // Whoever has the database, but not the key: the end is cut off with its checkpoint, and noted as the end.
        let first = admin(world, "/api/v1/audit/checkpoints?limit=1").await["items"][0].clone();
        let (number, position) = (first["number"].as_i64().unwrap(), first["position"].as_i64().unwrap());
        for sql in [
            format!("DELETE FROM audit_checkpoints WHERE tenant_id = 1 AND number > {number}"),
            format!(
                "DELETE FROM audit_records WHERE seq IN (SELECT record_seq FROM audit_links WHERE tenant_id = 1 AND position > {position})"
            ),
            format!("DELETE FROM audit_links WHERE tenant_id = 1 AND position > {position}"),
            format!(
                "UPDATE audit_chains SET position = {position}, link = (SELECT link FROM audit_links WHERE tenant_id = 1 AND position = {position}), cursor_seq = (SELECT record_seq FROM audit_links WHERE tenant_id = 1 AND position = {position}), cursor_xid = (SELECT xid FROM audit_records WHERE seq = (SELECT record_seq FROM audit_links WHERE tenant_id = 1 AND position = {position})) WHERE tenant_id = 1"
            ),
        ] {
            world.sql(&sql).await;
        }
        assert!(verified(world).await.is_good(), "nothing in the database tells of it");
        let report = verify_audit(vec![], Some(kept), &world.server().eim).await.unwrap();
        assert!(messages(&report)[0].contains("the checkpoint that was kept"), "{report:?}");

        // Links have no key; the signature of a checkpoint has one.
        world.sql("UPDATE audit_checkpoints SET statement = replace(statement, '\"number\":1', '\"number\":1 ') WHERE tenant_id = 1 AND number = 1").await;
        let report = verified(world).await;
        assert!(messages(&report).iter().any(|message| message.contains("signature does not verify")), "{report:?}");
    });
}

/// What stands beside a checkpoint to find it by.
#[test]
fn a_checkpoint_whose_columns_are_changed_is_found() {
    each_store(async |world: &mut World| {
        story(world).await;
        let last = "tenant_id = 1 AND number = (SELECT max(number) FROM audit_checkpoints WHERE tenant_id = 1)";
        for (change, back) in [("at = at + 1", "at = at - 1"), ("number = number + 1", "number = number - 1")] {
            world.sql(&format!("UPDATE audit_checkpoints SET {change} WHERE {last}")).await;
            let report = verified(world).await;
            assert!(
                messages(&report).iter().any(|message| message.contains("says otherwise than it")),
                "{change}: {report:?}"
            );
            world.sql(&format!("UPDATE audit_checkpoints SET {back} WHERE {last}")).await;
            assert!(verified(world).await.is_good(), "as it was");
        }
    });
}

async fn warnings(world: &World) -> String {
    let ready = world.send(Role::Nobody, "GET", "/readyz", &[], "").await;
    assert_eq!(ready.status, 200, "{}", ready.text());
    ready.json()["warnings"].to_string()
}

/// A record that nobody can link yet, as one behind a transaction that stays open.
#[test]
fn records_without_a_place_are_counted_and_told_and_are_a_fault_after_an_hour() {
    each_store(async |world: &mut World| {
        story(world).await;
        let report = verified(world).await;
        assert_eq!((report.waiting, &report.waiting_since), (0, &None));
        let at = world.now().timestamp_millis();
        for later in [0, 1_000] {
            world
                .sql(&format!(
                    "INSERT INTO audit_records (xid, tenant_id, at, record_type, eid, body) \
                     VALUES (9000000000000000000, 1, {}, 'test', '', '{{}}')",
                    at + later
                ))
                .await;
        }
        let eim = world.server().eim.clone();
        jobs::seal_audit(&eim).await.unwrap();
        let report = verified(world).await;
        assert!(report.is_good(), "{report:?}");
        let since = world.now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        assert_eq!((report.waiting, report.waiting_since), (2, Some(since.clone())));
        assert!(!warnings(world).await.contains("audit log"));
        world.clock.advance(TimeDelta::minutes(6));
        jobs::seal_audit(&eim).await.unwrap();
        let told = warnings(world).await;
        assert!(told.contains("2 record(s) of the audit log wait") && told.contains(&since), "{told}");
        assert!(world.metric("eim_audit_unlinked_seconds", &[]).await > 359.5);
        assert!(verified(world).await.is_good(), "a warning");
        world.clock.advance(TimeDelta::minutes(55));
        let report = verified(world).await;
        assert!(messages(&report).iter().any(|message| message.contains("have no place in the chain")), "{report:?}");
        world.sql("DELETE FROM audit_records WHERE record_type = 'test'").await;
        jobs::seal_audit(&eim).await.unwrap();
        assert!(!warnings(world).await.contains("audit log"));
        assert!(verified(world).await.is_good());
    });
}

/// Somebody has put a place where the next record would get its own.
#[test]
fn a_log_that_can_not_be_linked_is_told_and_does_not_hold_up_those_of_other_tenants() {
    each_store(async |world: &mut World| {
        story(world).await;
        let key = world.tenant("acme").await;
        linked(world).await;
        world.sql("INSERT INTO audit_links (tenant_id, position, record_seq, link) SELECT 1, max(position) + 1, -1, (SELECT link FROM audit_links WHERE tenant_id = 1 AND position = 1) FROM audit_links WHERE tenant_id = 1").await;
        assert_eq!(world.post("/api/v1/euiccs", json!({ "eid": "1" })).await.status, 422);
        let body = json!({ "name": "more", "role": "viewer" });
        assert_eq!(world.send_as(&key, "POST", "/api/v1/api-keys", body).await.status, 201);
        let eim = world.server().eim.clone();
        let acme = eim_core::manage::as_tenant("acme", &eim).await.unwrap();
        let others = async || {
            // On PostgreSQL a record waits as long as transactions of others do that began before it.
            jobs::seal_audit(&eim).await.is_err() && acme.store().audit_waiting().await.unwrap().records == 0
        };
        world.until("the other tenant's records have their place", others).await;
        let told = warnings(world).await;
        assert!(told.contains("the audit log can't be linked since"), "{told}");
        assert!(world.metric("eim_jobs_total", &["seal_audit", "failed"]).await > 0.5);
        world.sql("DELETE FROM audit_links WHERE tenant_id = 1 AND record_seq = -1").await;
        linked(world).await;
        assert!(!warnings(world).await.contains("audit log"));
        assert!(verified(world).await.is_good());
    });
}

#[test]
fn a_place_behind_the_end_is_found() {
    each_store(async |world: &mut World| {
        story(world).await;
        let copied = "INSERT INTO audit_records (tenant_id, at, record_type, eid, body) SELECT tenant_id, at, record_type, eid, body FROM audit_records WHERE tenant_id = 1 AND seq = (SELECT min(seq) FROM audit_records WHERE tenant_id = 1)";
        world.sql(copied).await;
        world.sql("INSERT INTO audit_links (tenant_id, position, record_seq, link) SELECT 1, max(position) + 1, (SELECT max(seq) FROM audit_records), (SELECT link FROM audit_links WHERE tenant_id = 1 AND position = 1) FROM audit_links WHERE tenant_id = 1").await;
        let report = verified(world).await;
        assert!(messages(&report).iter().any(|message| message.contains("behind the noted end")), "{report:?}");
    });
}

#[test]
fn checkpoints_that_were_all_removed_are_missed() {
    each_store(async |world: &mut World| {
        story(world).await;
        world.clock.advance(TimeDelta::minutes(15));
        assert_eq!(world.post("/api/v1/euiccs", json!({ "eid": "2" })).await.status, 422);
        linked(world).await;
        jobs::close_audit(&world.server().eim).await.unwrap();
        assert!(verified(world).await.is_good());
        world.sql("DELETE FROM audit_checkpoints WHERE tenant_id = 1").await;
        let report = verified(world).await;
        assert!(messages(&report)[0].contains("no checkpoint covers them"), "{report:?}");
    });
}

#[test]
fn an_exported_log_is_verified_without_the_database_and_one_flipped_bit_is_found() {
    each_store(async |world: &mut World| {
        story(world).await;
        let there = records(world, "").await.len();
        let reply = world.send(Role::Admin, "GET", "/api/v1/exports/audit", &[], "").await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/x-ndjson")));
        let file = reply.text();
        let key = key_id(&world.eim_key().await.to_spki());
        let check = |file: &str, keys: Vec<String>| {
            let mut check = AuditFileCheck::new(keys, None);
            file.lines().try_for_each(|line| check.line(line)).map(|()| check.finish().unwrap())
        };
        let report = check(&file, vec![key.clone()]).unwrap();
        assert!(report.is_good() && report.proven_to == report.last, "{report:?}");
        assert_eq!(report.records, i64::try_from(there).unwrap());
        let fetched = of_type(world, "fetched").await;
        assert_eq!(fetched.len(), 1, "that it was fetched is in the log, too: {fetched:?}");
        assert!(fetched[0]["details"]["key"].is_string(), "and by whom: {fetched:?}");
        assert!(!check(&file, vec![]).unwrap().is_good(), "nobody's key is not trusted");

        // A bit in every line: none goes unnoticed.
        let lines: Vec<&str> = file.lines().collect();
        for (index, line) in lines.iter().enumerate().skip(1).take(lines.len() - 2) {
            let mut octets = line.as_bytes().to_vec();
            let middle = octets.len() / 2;
            octets[middle] ^= 1;
            let Ok(flipped) = String::from_utf8(octets) else { continue };
            let mut changed = lines.clone();
            changed[index] = &flipped;
            assert!(!check(&changed.join("\n"), vec![key.clone()]).is_ok_and(|report| report.is_good()), "{flipped}");
            changed.remove(index);
            assert!(
                !check(&changed.join("\n"), vec![key.clone()]).is_ok_and(|report| report.is_good()),
                "removed {index}"
            );
        }
        // One spelling: the same value in other letters is none of this server.
        let upper = |line: &str, member: &str| {
            let (head, rest) = line.split_once(&format!("\"{member}\":\"")).unwrap();
            let (value, tail) = rest.split_once('"').unwrap();
            assert!(value.bytes().any(|octet| octet.is_ascii_lowercase()), "{value}");
            format!("{head}\"{member}\":\"{}\"{tail}", value.to_ascii_uppercase())
        };
        let first = |begins: &str| lines.iter().position(|line| line.starts_with(begins)).unwrap();
        let (record, checkpoint) = (first("{\"position\""), first("{\"checkpoint\""));
        let padded = lines[record].replacen("\"position\":", "\"position\":0", 1);
        for (index, changed) in [
            (record, upper(lines[record], "link")),
            (record, padded),
            (checkpoint, upper(lines[checkpoint], "publicKey")),
            (checkpoint, upper(lines[checkpoint], "signature")),
        ] {
            let mut file = lines.clone();
            file[index] = &changed;
            let checked = check(&file.join("\n"), vec![key.clone()]);
            assert!(!checked.is_ok_and(|report| report.is_good()), "{changed}");
        }
        let shown = admin(world, "/api/v1/audit/checkpoints").await["items"][0].clone();
        assert!(kept_checkpoint(&shown.to_string()).is_ok());
        for member in ["publicKey", "signature"] {
            let mut shown = shown.clone();
            shown[member] = shown[member].as_str().unwrap().to_ascii_uppercase().into();
            assert!(kept_checkpoint(&shown.to_string()).is_err(), "{member}");
        }
        let cut = lines[..lines.len() - 1].join("\n");
        assert!(messages(&check(&cut, vec![key]).unwrap()).iter().any(|message| message.contains("not whole")));
    });
}

#[test]
fn a_checkpoint_is_no_package_and_a_package_no_checkpoint() {
    each_store(async |world: &mut World| {
        let mut device = story(world).await;
        let checkpoint = admin(world, "/api/v1/audit/checkpoints").await["items"][0].clone();
        let member = |name: &str| checkpoint[name].as_str().unwrap().to_owned();
        let signed = SignedStatement {
            statement: member("statement"),
            public_key: member("publicKey"),
            signature: member("signature"),
        };
        assert!(signed.open::<Value>(Purpose::AuditCheckpoint).is_ok());
        assert_ne!(signed.statement.as_bytes()[0], 0x30);
        world.queue(&device.eid(), json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
        let package = SentPackage::read(&device.fetch().await);
        let with_its_signature = SignedStatement { signature: hex::encode(&package.signature), ..signed };
        assert!(with_its_signature.open::<Value>(Purpose::AuditCheckpoint).is_err());
    });
}

#[test]
fn the_log_goes_on_after_a_crash_and_no_record_is_linked_twice() {
    each_store(async |world: &mut World| {
        story(world).await;
        let before = records(world, "").await;
        world.crash_and_restart().await;
        // Several nodes at once: whoever comes second does nothing.
        for index in 0..10 {
            let refused = world.post("/api/v1/euiccs", json!({ "eid": format!("{index}") })).await;
            assert_eq!(refused.status, 422);
        }
        let eim = &world.server().eim;
        let (one, two, three) = tokio::join!(jobs::seal_audit(eim), jobs::seal_audit(eim), jobs::seal_audit(eim));
        assert!(one.is_ok() && two.is_ok() && three.is_ok());
        let after = records(world, "").await;
        assert_eq!(after[..before.len()], before[..]);
        assert!(after.len() > before.len() + 10);
        let positions: Vec<i64> = after.iter().map(|record| record["position"].as_i64().unwrap()).collect();
        assert_eq!(positions, (1..=i64::try_from(after.len()).unwrap()).collect::<Vec<_>>());
        assert!(verified(world).await.is_good());
    });
}

/// Nobody has to know the keys of times past for the log of a tenant that has done nothing since.
#[test]
fn the_log_of_an_idle_tenant_verifies_by_the_key_that_came_after() {
    each_store(async |world: &mut World| {
        let eim = world.server().eim.clone();
        eim_core::manage::create_tenant("idle", &eim).await.unwrap();
        let idle = eim_core::manage::as_tenant("idle", &eim).await.unwrap();
        eim_core::manage::create_api_key("x", eim_core::manage::Role::Admin, &idle).await.unwrap();
        linked(world).await;
        world.clock.advance(TimeDelta::minutes(2));
        jobs::seal_audit(&eim).await.unwrap();
        let report = verify_audit(vec![], None, &idle).await.unwrap();
        assert!(report.is_good() && report.proven_to > 0, "{report:?}");
        drop((eim, idle));
        let new = eim_core::pki::SigningKey::generate_p256(&ring::rand::SystemRandom::new()).unwrap();
        let path = world.file("next.pem", &new.to_pkcs8_pem().unwrap());
        world.restart_with(|config| config.eim.signing_key = Some(path)).await;
        let idle = eim_core::manage::as_tenant("idle", &world.server().eim).await.unwrap();
        world.clock.advance(TimeDelta::minutes(2));
        linked(world).await;
        let report = verify_audit(vec![], None, &idle).await.unwrap();
        assert!(report.is_good() && report.proven_to == report.last, "{report:?}");
        let made = report.checkpoints;
        world.clock.advance(TimeDelta::minutes(2));
        jobs::seal_audit(&world.server().eim).await.unwrap();
        assert_eq!(verify_audit(vec![], None, &idle).await.unwrap().checkpoints, made, "one, and no more");
    });
}
