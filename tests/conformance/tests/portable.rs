//! The portable export and its import: on the same server, on another one, and on one that has some of the devices.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

mod key_support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eim_conformance::{Device, Reply, Role, World, each_store};
use eim_core::domain::statement::key_id;
use eim_core::manage::portable::PortableCheck;
use serde_json::{Value, json};
use std::path::PathBuf;

const IMPORT: &str = "/api/v1/imports/portable";
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
/// An eIM that was added.
const ADDED: &str = "2.999.77";
/// An eIM that nobody here added.
const FOREIGN: &str = "1.3.6.1.4.1.99999.1";

async fn exported(world: &World) -> String {
    let reply = world.send(Role::Admin, "GET", "/api/v1/exports/portable", &[], "").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/x-ndjson")), "{}", reply.text());
    reply.text()
}

/// The id of the key that a server signs with, as its operator tells it.
async fn key_of(world: &World) -> String {
    key_id(&world.eim_key().await.to_spki())
}

async fn send(world: &World, file: impl Into<Vec<u8>>, signed_by: Option<&str>) -> Reply {
    let path = signed_by.map_or(IMPORT.to_owned(), |key| format!("{IMPORT}?signedBy={key}"));
    world.send(Role::Admin, "POST", &path, &[NDJSON], file).await
}

/// The reports on the devices, and how many were created, existed and failed.
fn report(reply: &Reply) -> (Vec<Value>, [u64; 3]) {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let mut lines: Vec<Value> = reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().expect("a summary")["summary"].clone();
    assert_eq!(summary.get("stopped"), None, "{summary}");
    (lines, ["created", "exists", "failed"].map(|name| summary[name].as_u64().unwrap()))
}

/// Everything that the API shows of the devices of a server, but for when they were last seen.
async fn sight(world: &World) -> Vec<Value> {
    let mut seen = vec![world.get("/api/v1/euiccs?limit=1000").await["items"].clone()];
    for eid in
        seen[0].as_array().unwrap().iter().map(|euicc| euicc["eid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    {
        for what in ["profiles", "associations", "events?limit=1000"] {
            seen.push(world.get(&format!("/api/v1/euiccs/{eid}/{what}")).await);
        }
    }
    seen
}

async fn associations(world: &World, eid: &str) -> Vec<Value> {
    world.get(&format!("/api/v1/euiccs/{eid}/associations")).await["items"].as_array().unwrap().clone()
}

/// Lets the eUICC tell of an eIM that this one never added.
async fn with_foreign_eim(world: &World, device: &mut Device) {
    let mut foreign = device.euicc.associations()[0].clone();
    foreign.eim_id = FOREIGN.to_owned();
    device.euicc.associate(foreign);
    world.queue(&device.eid(), json!({ "eco": [{ "listEim": {} }] })).await;
    device.session().await;
    assert_eq!(associations(world, &device.eid()).await[1]["state"], "foreign");
}

/// Gives a server name and signing key of another one: the same eIM, moved elsewhere.
async fn become_the_same(other: &mut World, world: &World) {
    let eim_id = world.eim_id().await;
    let key: PathBuf = world.data_dir().join("signing-key.pem");
    other
        .restart_with(|config| {
            config.eim.id = Some(eim_id);
            config.eim.signing_key = Some(key);
        })
        .await;
}

#[test]
fn devices_associations_profiles_and_history_come_to_another_eim_once() {
    each_store(async |world: &mut World| {
        let other = world.another().await;
        let mut devices = Vec::new();
        for index in 1..=3 {
            devices.push(world.listed_device(index).await);
        }
        world.patch(&devices[0].eid(), json!({ "label": "first", "tags": ["meters"] })).await;
        with_foreign_eim(world, &mut devices[1]).await;
        let file = exported(world).await;
        assert!(!file.contains("eimk_"));
        let key = key_of(world).await;
        assert!(send(&other, file.clone(), None).await.text().contains("not trusted here"));
        let (reports, counts) = report(&send(&other, file.clone(), Some(&key)).await);
        assert_eq!(counts, [3, 0, 0], "{reports:?}");
        assert!(reports.iter().all(|report| report["outcome"] == "created" && report["line"].is_u64()), "{reports:?}");
        let (from, ours) = (world.eim_id().await, other.eim_id().await);
        for device in &devices {
            let eid = device.eid();
            assert_eq!(other.profiles(&eid).await, world.profiles(&eid).await);
            let listed = other.get(&format!("/api/v1/euiccs/{eid}/profiles")).await;
            assert!(listed["items"].as_array().unwrap().iter().all(|profile| profile["verified"] == false), "hearsay");
            let shown = other.euicc(&eid).await;
            assert_eq!(shown["association"]["counterValue"], 0, "the counter is of the other eIM");
            assert!(shown["warnings"].to_string().contains("not associated yet"), "{shown}");
            assert_eq!(shown["state"], "unmanaged");
            let asked = json!({ "psmo": [{ "listProfileInfo": {} }] });
            let reply = other.post(&format!("/api/v1/euiccs/{eid}/operations"), asked).await;
            assert_eq!(reply.pointers(409), ["/checks/managed"], "nothing is signed for it");
            assert_eq!(shown["euiccCertificate"], world.euicc(&eid).await["euiccCertificate"]);
            let told = other.events_of(&eid, "historyImported").await;
            assert_eq!(told.len(), world.events(&eid).await.len());
            let known = associations(&other, &eid).await;
            assert_eq!((&known[0]["eimId"], &known[0]["own"]), (&json!(ours), &json!(true)));
            let exporting = known.iter().find(|eim| eim["eimId"] == from).expect("the eIM that made the export");
            assert_eq!(
                (&exporting["state"], &exporting["verified"], &exporting["learnedBy"]),
                (&json!("associated"), &json!(false), &json!("imported")),
                "{exporting}"
            );
        }
        let known = associations(&other, &devices[1].eid()).await;
        let foreign = known.iter().find(|eim| eim["eimId"] == FOREIGN).expect("the eIM that nobody added");
        assert_eq!((&foreign["state"], &foreign["verified"]), (&json!("foreign"), &json!(false)), "{foreign}");
        assert_eq!(associations(&other, &devices[2].eid()).await.len(), 2);
        assert_eq!(other.euicc(&devices[0].eid()).await["tags"], json!(["meters"]));

        let before = sight(&other).await;
        let (_, counts) = report(&send(&other, file, Some(&key)).await);
        assert_eq!(counts, [0, 3, 0], "nothing is done twice");
        assert_eq!(sight(&other).await, before);
        // The eUICC takes the other eIM, and its first answer to it is the proof.
        let device = &mut devices[0];
        let path = format!("/api/v1/euiccs/{}/associations", device.eid());
        let der = other.get("/api/v1/eim").await["eimConfigurationData"].as_str().unwrap().to_owned();
        let theirs = json!({ "eimConfigurationData": hex::encode(STANDARD.decode(der).unwrap()) });
        let added = world.queue(&device.eid(), json!({ "eco": [{ "addEim": theirs }] })).await;
        device.session().await;
        assert_eq!(world.operation(&added).await["state"], "succeeded", "{}", world.operation(&added).await);
        // As a line of the offer of a hand-over, or by hand.
        let association = json!({ "associationToken": null, "learnedBy": "handover", "toldBy": from });
        let line = json!({ "eid": device.eid(), "association": association }).to_string() + "\n";
        let headers = [("content-type", "application/x-ndjson")];
        let taken = other.send(Role::Operator, "POST", "/api/v1/imports/euiccs", &headers, line).await;
        assert!(taken.text().contains("\"associated\":1"), "{}", taken.text());
        assert_eq!(other.euicc(&device.eid()).await["state"], "active", "packages may be signed for it");
        let told = other.post(&path, association).await;
        assert_eq!(told.status, 200, "{}", told.text());
        assert!(
            other.euicc(&device.eid()).await["warnings"].to_string().contains("not associated yet"),
            "told, not proven"
        );
        other.reconnect(device);
        device.session().await;
        assert_eq!(other.euicc(&device.eid()).await["warnings"], json!([]));
    });
}

#[test]
fn what_a_server_exported_changes_nothing_on_itself() {
    each_store(async |world: &mut World| {
        let mut devices = [world.listed_device(1).await, world.device(2).await];
        with_foreign_eim(world, &mut devices[0]).await;
        let file = exported(world).await;
        let before = sight(world).await;
        let (reports, counts) = report(&send(world, file, None).await);
        assert_eq!(counts, [0, 2, 0], "its own key is trusted: {reports:?}");
        assert_eq!(sight(world).await, before);
        let id = world.queue(&devices[0].eid(), json!({ "psmo": [{ "getRAT": {} }] })).await;
        devices[0].session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
    });
}

/// The same eIM on another machine: it goes on where it was, with counters that were never used, and counts as associated when the
/// eUICC has said so.
#[test]
fn the_same_eim_goes_on_elsewhere_where_it_was() {
    each_store(async |world: &mut World| {
        let mut other = world.another().await;
        become_the_same(&mut other, world).await;
        let mut devices = Vec::new();
        for index in 1..=3 {
            devices.push(world.listed_device(index).await);
        }
        with_foreign_eim(world, &mut devices[0]).await;
        let key = STANDARD.encode(world.eim_key().await.to_spki());
        let add = json!({ "eimId": ADDED, "counterValue": 0, "eimPublicKeyData": { "eimPublicKey": key } });
        world.queue(&devices[0].eid(), json!({ "eco": [{ "addEim": add }] })).await;
        devices[0].session().await;
        let eids: Vec<String> = devices.iter().map(Device::eid).collect();
        world.sql(&format!("UPDATE euiccs SET state = 'counterLost' WHERE eid = '{}'", eids[1])).await;
        world.sql(&format!("UPDATE euiccs SET state = 'unmanaged' WHERE eid = '{}'", eids[2])).await;
        let file = exported(world).await;
        let (reports, counts) = report(&send(&other, file, None).await);
        assert_eq!(counts, [3, 0, 0], "the same key is its own: {reports:?}");
        for eid in &eids {
            let (there, here) = (world.euicc(eid).await, other.euicc(eid).await);
            for member in ["counterValue", "associationToken", "signingKey"] {
                assert_eq!(here["association"][member], there["association"][member], "{member}");
            }
        }
        for (eid, state) in [(&eids[1], "counterLost"), (&eids[2], "unmanaged")] {
            assert_eq!(other.euicc(eid).await["state"], state, "what stops packages stops them here, too");
        }
        let own = associations(&other, &eids[0]).await;
        assert_eq!((&own[0]["state"], &own[0]["learnedBy"]), (&json!("expected"), &json!("imported")));
        let of =
            |own: &[Value], eim_id: &str| own.iter().find(|eim| eim["eimId"] == eim_id).cloned().unwrap_or_default();
        for (eim_id, state) in [(FOREIGN, "foreign"), (ADDED, "associated")] {
            let eim = of(&own, eim_id);
            assert_eq!((&eim["state"], &eim["verified"]), (&json!(state), &json!(false)), "{eim}");
        }

        let last = world.euicc(&eids[0]).await["association"]["counterValue"].as_i64().unwrap();
        let id = other.queue(&eids[0], json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
        other.reconnect(&mut devices[0]);
        // What the eUICC leaves out of its list is no part of it, whatever somebody said before.
        let silent = devices[0].iccid(2).parse().unwrap();
        devices[0].euicc.profile_mut(&silent).unwrap().isdp_aid.clear();
        devices[0].session().await;
        let profiles = other.get(&format!("/api/v1/euiccs/{}/profiles", eids[0])).await;
        assert!(profiles["items"].as_array().unwrap().iter().all(|profile| profile["verified"] == true), "{profiles}");
        let operation = other.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("succeeded"), &json!(true)), "{operation}");
        assert!(operation["counterValue"].as_i64().unwrap() > last, "{operation}");
        let own = associations(&other, &eids[0]).await;
        assert_eq!((&own[0]["state"], &own[0]["verified"]), (&json!("associated"), &json!(true)));
        // Asked for its eIMs at its first poll, so that hearsay is known now. What was foreign to who made the export raises the
        // alarm here, too; what that one had added is nobody's surprise.
        for (eim_id, state) in [(FOREIGN, "foreign"), (ADDED, "associated")] {
            let eim = of(&own, eim_id);
            assert_eq!((&eim["state"], &eim["verified"]), (&json!(state), &json!(true)), "{eim}");
        }
        let told = other.events_of(&eids[0], "foreignEim").await;
        assert_eq!(
            (told.len(), &told[0]["new"], &told[0]["eims"]),
            (1, &json!([FOREIGN]), &json!([FOREIGN])),
            "{told:?}"
        );
        let warnings = other.euicc(&eids[0]).await["warnings"].to_string();
        assert!(warnings.contains(FOREIGN) && !warnings.contains(ADDED), "{warnings}");
    });
}

/// A backup was restored before the export: the keys that were there are given to the device by nobody, wherever it went.
#[test]
fn a_restore_that_was_noted_is_not_lost_on_the_way_to_another_server() {
    each_store(async |world: &mut World| {
        let mut other = world.another().await;
        become_the_same(&mut other, world).await;
        let mut device = world.listed_device(1).await;
        let second = key_support::add_key(world, "second.pem").await;
        world.note_restore().await;
        let file = exported(world).await;
        let there = key_support::add_key(&mut other, "second.pem").await;
        assert_eq!(there, second, "it knows that key, and of no restore");
        // The export is signed by a key that is trusted here, as both have it.
        let (reports, counts) = report(&send(&other, file, None).await);
        assert_eq!(counts, [1, 0, 0], "{reports:?}");
        other.reconnect(&mut device);
        device.session().await;
        key_support::is_left_out(&other, &mut device, &second).await;
        let third = key_support::add_key(&mut other, "third.pem").await;
        other.reconnect(&mut device);
        key_support::rotate(&other, json!({ "filter": { "all": true }, "to": third })).await;
        device.session().await;
        assert_eq!(key_support::signing_key(&other, &device.eid()).await, third);
    });
}

#[test]
fn a_counter_near_its_end_is_told_where_it_goes_on() {
    each_store(async |world: &mut World| {
        let device = world.device(1).await;
        world.patch(&device.eid(), json!({ "association": { "counterValue": 8_000_500 } })).await;
        let file = exported(world).await;
        let mut same = world.another().await;
        become_the_same(&mut same, world).await;
        let (reports, counts) = report(&send(&same, file.clone(), None).await);
        assert_eq!(counts, [1, 0, 0], "{reports:?}");
        report(&send(&same, file, None).await);
        let told = same.events_of(&device.eid(), "counterNearlyExhausted").await;
        assert_eq!((told.len(), &told[0]["counterValue"]), (1, &json!(8_000_500)), "{told:?}");
    });
}

#[test]
fn devices_that_are_there_stay_as_they_are_and_the_others_come() {
    each_store(async |world: &mut World| {
        let other = world.another().await;
        let devices = [world.listed_device(1).await, world.listed_device(2).await, world.listed_device(3).await];
        // One that the other server has commanded, and one that was only registered there.
        let mut known = other.device_of(world.pki.euicc(2).unwrap()).await;
        other.register(&known, true).await;
        other.list(&mut known).await;
        let bare = json!({ "eid": devices[2].eid(), "label": "theirs" });
        assert_eq!(other.post("/api/v1/euiccs", bare).await.status, 201);
        let before = sight(&other).await;
        let (reports, counts) = report(&send(&other, exported(world).await, Some(&key_of(world).await)).await);
        assert_eq!(counts, [1, 2, 0], "{reports:?}");
        let outcomes: Vec<(&Value, &Value)> =
            reports.iter().map(|report| (&report["eid"], &report["outcome"])).collect();
        let eids = devices.each_ref().map(|device| json!(device.eid()));
        let (created, exists) = (json!("created"), json!("exists"));
        assert_eq!(outcomes, [(&eids[0], &created), (&eids[1], &exists), (&eids[2], &exists)]);
        let after = sight(&other).await;
        let (listed, of_each) = (before[0].as_array().unwrap(), &before[1..]);
        assert_eq!(&after[0].as_array().unwrap()[..2], &listed[..], "those that were there");
        assert_eq!(&after[1..=of_each.len()], of_each);
        assert_eq!(other.profiles(&devices[0].eid()).await, world.profiles(&devices[0].eid()).await);
        assert_eq!(other.profiles(&devices[2].eid()).await, [], "a device that never polled was not filled, either");
    });
}

/// A device that can't be taken fails alone, with its reason and nothing of it left behind.
#[test]
fn a_device_that_can_not_be_taken_fails_alone_and_leaves_nothing() {
    each_store(async |world: &mut World| {
        let mut other = world.another().await;
        become_the_same(&mut other, world).await;
        let devices = [world.listed_device(1).await, world.listed_device(2).await];
        let gone = "ab".repeat(32);
        // It trusts a key that is not loaded there.
        world.sql(&format!("UPDATE euiccs SET signing_key = '{gone}' WHERE eid = '{}'", devices[0].eid())).await;
        let (reports, counts) = report(&send(&other, exported(world).await, None).await);
        assert_eq!(counts, [1, 0, 1], "{reports:?}");
        assert_eq!(reports[0]["errors"][0]["pointer"], "/association/signingKey", "{reports:?}");
        assert_eq!((&reports[0]["line"], &reports[0]["eid"]), (&json!(2), &json!(devices[0].eid())));
        let path = format!("/api/v1/euiccs/{}", devices[0].eid());
        assert_eq!(other.send(Role::Viewer, "GET", &path, &[], "").await.status, 404);
        // Of another tenant there: it is not shown whose.
        let theirs = other.tenant("theirs").await;
        let eid = devices[0].eid();
        assert_eq!(other.send_as(&theirs, "POST", "/api/v1/euiccs", json!({ "eid": eid })).await.status, 201);
        world
            .sql(&format!(
                "UPDATE euiccs SET signing_key = (SELECT signing_key FROM euiccs WHERE eid = '{}')",
                devices[1].eid()
            ))
            .await;
        let (reports, counts) = report(&send(&other, exported(world).await, None).await);
        assert_eq!((counts, &reports[0]["errors"][0]["pointer"]), ([0, 1, 1], &json!("/eid")), "{reports:?}");
    });
}

/// What an eUICC calls other eIMs is its own affair: a name that no database takes is left out with a warning, and the file is good.
#[test]
fn an_eim_with_an_odd_name_does_not_make_the_export_useless() {
    each_store(async |world: &mut World| {
        let device = world.device(1).await;
        let eid = device.eid();
        let named = |name: &str| {
            format!(
                "INSERT INTO other_eims (tenant_id, eid, eim_id, supported_protocol, learned_by, state, learned_at, changed_at) \
                 SELECT tenant_id, eid, {name}, '[]', 'listEim', 'foreign', 1, 1 FROM euiccs WHERE eid = '{eid}'"
            )
        };
        world.sql(&named(&format!("'{}'", "x".repeat(129)))).await;
        world.sql(&named(&format!("'{FOREIGN}'"))).await;
        let other = world.another().await;
        let (reports, counts) = report(&send(&other, exported(world).await, Some(&key_of(world).await)).await);
        assert_eq!(counts, [1, 0, 0], "{reports:?}");
        assert!(other.euicc(&eid).await["warnings"].to_string().contains("can't be kept"));
        let known = associations(&other, &eid).await;
        assert!(known.iter().any(|eim| eim["eimId"] == FOREIGN) && known.len() == 3, "{known:?}");
    });
}

fn look(file: &[u8], trusted: &[String]) -> Result<(), Vec<String>> {
    let mut check = PortableCheck::new(trusted.to_vec());
    check.push(file);
    check.finish().map(drop).map_err(|faults| faults.into_iter().map(|fault| fault.message).collect())
}

#[test]
fn one_flipped_bit_is_refused_and_named_and_nothing_is_changed() {
    each_store(async |world: &mut World| {
        let device = world.listed_device(1).await;
        let file = exported(world).await;
        let key = [key_of(world).await];
        assert_eq!(look(file.as_bytes(), &key), Ok(()));
        let lines: Vec<&str> = file.lines().collect();
        assert!(lines.len() > 8, "{}", lines.len());
        let mut place = 0;
        for (index, line) in lines.iter().enumerate() {
            let named = format!("line {}", index + 1);
            let next = format!("line {}", index + 2);
            let outer = index == 0 || index + 1 == lines.len();
            // Every bit of the first and of the last line, line feeds included; of the others one of each octet.
            for octet in 0..=line.len() {
                for bit in if outer { 0..8 } else { octet % 8..octet % 8 + 1 } {
                    let mut changed = file.clone().into_bytes();
                    changed[place + octet] ^= 1 << bit;
                    let shown = String::from_utf8_lossy(&changed[place..=place + octet]).into_owned();
                    let faults = look(&changed, &key).expect_err(&shown);
                    let is_named = faults.iter().any(|fault| fault.starts_with(&named) || fault.starts_with(&next));
                    assert!(is_named, "{named}, octet {octet}, bit {bit}: {faults:?}");
                }
            }
            place += line.len() + 1;
        }
        let with = |index: usize, line: &str| {
            let mut changed = lines.clone();
            changed[index] = line;
            look(changed.join("\n").as_bytes(), &key)
        };
        let faults = with(2, &lines[2].replace("counterValue\":", "counterValue\":1")).unwrap_err();
        assert!(faults[0].contains("line 3") && faults[0].contains(&device.eid()), "{faults:?}");
        // Another spelling of the same, digit by digit, is none of the export.
        let last = lines.len() - 1;
        let (before, digits) = lines[last].split_once("\"signature\":\"").unwrap();
        let capitals = format!("{before}\"signature\":\"{}", digits.to_uppercase());
        assert!(with(last, &capitals).unwrap_err()[0].starts_with(&format!("line {}", last + 1)));
        assert!(look(file.replace('\n', "\r\n").as_bytes(), &key).is_err());
        assert!(look(file.as_bytes(), &[]).unwrap_err()[0].contains("not trusted"));

        // Through the door: the place is named, and nothing is there.
        let other = world.another().await;
        let mut changed = file.clone().into_bytes();
        let at = file.rfind("\"signature\":\"").unwrap() + 13;
        let at = at + file[at..].find(|digit: char| digit.is_ascii_lowercase()).unwrap();
        changed[at] ^= 0x20;
        let reply = send(&other, changed, Some(&key[0])).await;
        assert_eq!(reply.pointers(422), [format!("/lines/{}", last + 1)], "{}", reply.text());
        let mut changed = file.clone().into_bytes();
        let third: usize = lines[..3].iter().map(|line| line.len() + 1).sum();
        changed[third - 4] ^= 1;
        let reply = send(&other, changed, Some(&key[0])).await;
        assert!(reply.pointers(422).contains(&"/lines/3".to_owned()), "{}", reply.text());
        assert!(reply.text().contains(&device.eid()), "{}", reply.text());
        assert_eq!(other.get("/api/v1/euiccs").await["items"], Value::Array(vec![]), "nothing was changed");
    });
}

/// A line that is missing, stands elsewhere or twice is named by its number in the export and its place in the file, and nothing else is.
#[test]
fn a_line_that_is_missing_or_moved_is_named_and_nothing_is_changed() {
    each_store(async |world: &mut World| {
        let devices = [world.listed_device(1).await, world.listed_device(2).await];
        let file = exported(world).await;
        let key = [key_of(world).await];
        let lines: Vec<&str> = file.lines().collect();
        let last = lines.len() - 1;
        let told = |lines: &[&str]| look(lines.join("\n").as_bytes(), &key).expect_err("it does not fit");
        for gone in 0..=last {
            let mut fewer = lines.clone();
            fewer.remove(gone);
            let (faults, at) = (told(&fewer), gone + 1);
            let expected = match gone {
                0 => "line 1: it is not the first line".to_owned(),
                _ if gone == last => format!("line {at}: the export is not whole"),
                _ => format!("line {at}"),
            };
            assert!(faults[0].starts_with(&expected), "{at}: {faults:?}");
            if gone > 0 && gone < last {
                let missing = format!("it is line {} of the export, and line {at} of the export is missing", at + 1);
                assert!(faults[0].contains(&missing), "{at}: {faults:?}");
            }
            assert_eq!(faults.len(), 1, "one line, one fault: {faults:?}");
        }
        for first in 1..last - 1 {
            let mut swapped = lines.clone();
            swapped.swap(first, first + 1);
            let faults = told(&swapped);
            let (at, next) = (first + 1, first + 2);
            assert!(faults[0].starts_with(&format!("line {at}")), "{faults:?}");
            assert!(faults[0].contains(&format!("line {at} of the export is missing")), "{faults:?}");
            let moved =
                format!("it is line {at} of the export, which stands before, and line {} is expected", next + 1);
            assert!(faults[1].starts_with(&format!("line {next}")) && faults[1].contains(&moved), "{faults:?}");
        }
        let mut twice = lines.clone();
        twice.insert(5, lines[4]);
        let faults = told(&twice);
        assert!(faults.len() == 1 && faults[0].contains("it is line 5 of the export"), "{faults:?}");
        let faults = told(&[&lines[..3], &lines[9..]].concat());
        assert!(faults[0].contains("lines 4 to 9 of the export are missing before it"), "{faults:?}");
        // All of the second device, and the tail of it.
        let second =
            lines.iter().position(|line| line.contains("\"device\"") && line.contains(&devices[1].eid())).unwrap();
        for from in [second, second + 2] {
            let faults = told(&[&lines[..from], &lines[last..]].concat());
            let missing = format!("lines {} to {last} of the export are missing before it", from + 1);
            assert!(faults.len() == 1 && faults[0].contains(&missing), "{faults:?}");
        }
        // A number that was changed to hide it is not what the digest was made of.
        let mut hidden = lines.clone();
        hidden.remove(4);
        let renumbered = hidden[4].replacen("\"line\":6", "\"line\":5", 1);
        hidden[4] = &renumbered;
        assert!(told(&hidden)[0].contains("its digest does not fit"), "{:?}", told(&hidden));

        // Through the door.
        let other = world.another().await;
        let mut fewer = lines.clone();
        fewer.remove(6);
        let reply = send(&other, fewer.join("\n"), Some(&key[0])).await;
        assert_eq!(reply.pointers(422), ["/lines/7"], "{}", reply.text());
        assert!(reply.text().contains("line 7 of the export is missing before it"), "{}", reply.text());
        let before = file.replacen("\"eimExport\":2", "\"eimExport\":1", 1);
        let reply = send(&other, before, Some(&key[0])).await;
        assert_eq!(reply.pointers(422), ["/lines/1"]);
        assert!(reply.text().contains("notation 1"), "{}", reply.text());
        assert_eq!(other.get("/api/v1/euiccs").await["items"], Value::Array(vec![]), "nothing was changed");
    });
}

#[test]
fn an_import_as_a_whole_is_judged_at_the_door() {
    each_store(async |world: &mut World| {
        world.restart_with(|config| config.limits.import_bytes = 4_000).await;
        let send = async |role, path: &str, media_type: &str, body: String| {
            world.send(role, "POST", path, &[("content-type", media_type)], body).await
        };
        let good = exported(world).await;
        assert_eq!(send(Role::Operator, IMPORT, NDJSON.1, good.clone()).await.status, 403);
        assert_eq!(send(Role::Nobody, IMPORT, NDJSON.1, good.clone()).await.status, 401);
        assert_eq!(send(Role::Admin, IMPORT, "text/csv", good.clone()).await.status, 415);
        for query in ["signedBy=1", "signedBy=zz", "signed=1"] {
            assert_eq!(send(Role::Admin, &format!("{IMPORT}?{query}"), NDJSON.1, good.clone()).await.status, 400);
        }
        assert_eq!(send(Role::Admin, IMPORT, NDJSON.1, "x".repeat(4_001)).await.status, 413);
        for body in ["", "\n", "{}\n", "\u{feff}"] {
            assert_eq!(send(Role::Admin, IMPORT, NDJSON.1, body.to_owned()).await.status, 422, "{body:?}");
        }
        assert_eq!(report(&send(Role::Admin, IMPORT, NDJSON.1, good).await).1, [0, 0, 0], "an empty one is one");
    });
}
