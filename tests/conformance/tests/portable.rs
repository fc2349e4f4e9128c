//! The portable export and its import on another server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

use eim_conformance::{Role, World, each_store};
use eim_core::domain::statement::key_id;
use eim_core::manage::portable::{ExportStatement, PortableCheck, PortableImport, PortableSummary};
use serde_json::{Value, json};

async fn exported(world: &World) -> String {
    let reply = world.send(Role::Admin, "GET", "/api/v1/exports/portable", &[], "").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/x-ndjson")), "{}", reply.text());
    reply.text()
}

fn look(file: &str, trusted: &[String]) -> Result<ExportStatement, Vec<String>> {
    let mut check = PortableCheck::new(trusted.to_vec());
    file.lines().for_each(|line| check.line(line));
    check.finish()
}

async fn import(world: &World, file: &str, says: ExportStatement) -> PortableSummary {
    let eim = &world.server().eim;
    let mut import = PortableImport::new(says);
    for line in file.lines() {
        import.line(line, eim).await.unwrap();
    }
    import.finish(eim).await.unwrap()
}

#[test]
fn devices_profiles_and_history_come_to_another_server_once() {
    each_store(async |world: &mut World| {
        let other = world.another().await;
        let mut devices = Vec::new();
        for index in 1..=3 {
            devices.push(world.listed_device(index).await);
        }
        world.patch(&devices[0].eid(), json!({ "label": "first", "tags": ["meters"] })).await;
        let file = exported(world).await;
        let key = key_id(&world.eim_key().await.to_spki());
        let says = look(&file, std::slice::from_ref(&key)).unwrap();
        assert_eq!((says.devices, says.eim_id.clone()), (3, world.eim_id().await));
        let done = import(&other, &file, says.clone()).await;
        assert_eq!((done.imported, done.exists, done.failed), (3, 0, 0));
        for device in &devices {
            let eid = device.eid();
            assert_eq!(other.profiles(&eid).await, world.profiles(&eid).await);
            let listed = other.get(&format!("/api/v1/euiccs/{eid}/profiles")).await;
            assert!(listed["items"].as_array().unwrap().iter().all(|profile| profile["verified"] == false), "hearsay");
            let shown = other.euicc(&eid).await;
            assert_eq!(shown["association"]["counterValue"], 0, "the counter is of the other eIM");
            assert!(shown["warnings"].to_string().contains("not associated yet"), "{shown}");
            assert_eq!(shown["euiccCertificate"], world.euicc(&eid).await["euiccCertificate"]);
            let told = other.events_of(&eid, "historyImported").await;
            assert_eq!(told.len(), world.events(&eid).await.len());
        }
        assert_eq!(other.euicc(&devices[0].eid()).await["tags"], json!(["meters"]));
        let again = import(&other, &file, says).await;
        assert_eq!((again.imported, again.exists), (0, 3), "nothing is done twice");
        assert!(!file.contains("eimk_"));
    });
}

#[test]
fn one_flipped_bit_is_refused_and_named_and_nothing_is_changed() {
    each_store(async |world: &mut World| {
        let device = world.listed_device(1).await;
        let file = exported(world).await;
        let key = [key_id(&world.eim_key().await.to_spki())];
        assert!(look(&file, &key).is_ok());
        let lines: Vec<&str> = file.lines().collect();
        assert!(lines.len() > 8, "{}", lines.len());
        let with = |index: usize, line: &str| {
            let mut changed = lines.clone();
            changed[index] = line;
            look(&changed.join("\n"), &key)
        };
        for (index, line) in lines.iter().enumerate() {
            // At several places of each line.
            for place in [line.len() / 4, line.len() / 2, line.len() - 3] {
                let mut octets = line.as_bytes().to_vec();
                octets[place] ^= 1;
                let Ok(flipped) = String::from_utf8(octets) else { continue };
                let faults = with(index, &flipped).expect_err(&flipped);
                let inner = (1..lines.len() - 1).contains(&index);
                let named = format!("line {}", index + 1);
                assert!(!inner || faults.iter().any(|fault| fault.contains(&named)), "{named}: {faults:?}");
            }
        }
        let faults = with(2, &lines[2].replace("counterValue\":", "counterValue\":1")).unwrap_err();
        assert!(faults[0].contains("line 3") && faults[0].contains(&device.eid()), "{faults:?}");
        assert!(look(&lines[..lines.len() - 1].join("\n"), &key).unwrap_err()[0].contains("not whole"));
        let mut fewer = lines.clone();
        fewer.remove(4);
        assert!(look(&fewer.join("\n"), &key).is_err(), "a line that was taken out");
        let mut swapped = lines.clone();
        swapped.swap(4, 5);
        assert!(look(&swapped.join("\n"), &key).is_err(), "lines that changed places");
        assert!(look(&file, &[]).unwrap_err()[0].contains("not trusted"));
        let other = world.another().await;
        assert_eq!(other.get("/api/v1/euiccs").await["items"], Value::Array(vec![]), "nothing was changed");
    });
}
