//! The eIMs on an eUICC: names that can't be taken, which one is foreign, and looking them over from time to time (SGP.32 v1.2 3.5).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use eim_conformance::{Device, Forge, Role, SentPackage, World, each_store};
use eim_core::pki::Curve;
use eim_simulator::pki::seeded_key;
use eim_simulator::tlv::{element, integer};
use serde_json::{Value, json};

const OTHER: &str = "2.999.77";
const SIZE: &str = "eimId: an eimId has 1 to 128 octets";

fn other_key() -> Vec<u8> {
    seeded_key(Curve::P256, 5, "other eIM").unwrap().public_key_spki()
}

fn add(change: Value) -> Value {
    let mut data = json!({
        "eimId": OTHER, "counterValue": 0, "associationToken": -1,
        "eimPublicKeyData": { "eimPublicKey": STANDARD.encode(other_key()) },
    });
    data.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    json!({ "eco": [{ "addEim": data }] })
}

fn list() -> Value {
    json!({ "eco": [{ "listEim": {} }] })
}

/// `30 { 80 eimId 82? 83 A5 { A0 key } }`
fn configuration(eim_id: &str, eim_id_type: Option<i64>) -> String {
    let id_type = eim_id_type.map(|id_type| integer(0x82, id_type)).unwrap_or_default();
    // The key's own header gives way to the tag.
    let key = element(0xa0, &[&other_key()[2..]]);
    hex::encode(element(
        0x30,
        &[&element(0x80, &[eim_id.as_bytes()]), &id_type, &integer(0x83, 0), &element(0xa5, &[&key])],
    ))
}

async fn associations(world: &World, eid: &str) -> Vec<Value> {
    world.get(&format!("/api/v1/euiccs/{eid}/associations")).await["items"].as_array().unwrap().clone()
}

/// Puts another eIM on the eUICC, as somebody else would.
fn appear(device: &mut Device, eim_id: &str) {
    let mut association = device.euicc.associations()[0].clone();
    association.eim_id = eim_id.to_owned();
    device.euicc.associate(association);
}

/// Behind a deleteEim of ourselves it would begin at counter 0 again under a key that was used: whatever was recorded would be carried out.
#[test]
fn no_operation_adds_an_eim_of_this_server_not_even_behind_its_deletion() {
    each_store(async |world: &mut World| {
        let device = world.device(1).await;
        let own = world.eim_id().await;
        let path = format!("/api/v1/euiccs/{}/operations", device.eid());
        let add = json!({ "addEim": { "eimId": own, "counterValue": 0, "eimPublicKeyData": { "eimPublicKey":
            STANDARD.encode(world.eim_key().await.to_spki()) } } });
        let list = json!([{ "deleteEim": { "eimId": own } }, add]);
        let body = json!({ "eco": list, "override": ["keepsThisEim"] }).to_string();
        let reply = world.send(Role::Admin, "POST", &path, &[], body).await;
        assert_eq!(reply.pointers(422), ["/eco/1/addEim/eimId"]);
        let campaign = json!({ "name": "c", "target": { "filter": { "all": true } }, "waves": [{ "percent": 100 }],
            "plan": { "operations": [{ "eco": list }] } });
        let reply = world.post("/api/v1/campaigns", campaign).await;
        assert_eq!(reply.pointers(422), ["/plan/operations/0/eco/1/addEim/eimId"]);
        assert!(world.operations(&device.eid()).await.is_empty());
    });
}

#[test]
fn a_name_that_does_not_fit_its_type_is_refused_with_its_place() {
    each_store(async |world: &mut World| {
        let device = world.device(1).await;
        let path = format!("/api/v1/euiccs/{}/operations", device.eid());
        for (eim_id, id_type) in [("not.an.oid", 1), ("2.999.077", 1), ("3.1", 1), ("a b", 2), (OTHER, 2)] {
            let body = add(json!({ "eimId": eim_id, "eimIdType": id_type }));
            assert_eq!(world.post(&path, body).await.pointers(422), ["/eco/0/addEim/eimId"], "{eim_id}");
            let update = json!({ "eco": [{ "updateEim": { "eimId": eim_id, "eimIdType": id_type } }] });
            assert_eq!(world.post(&path, update).await.pointers(422), ["/eco/0/updateEim/eimId"], "{eim_id}");
            let der =
                json!({ "eco": [{ "addEim": { "eimConfigurationData": configuration(eim_id, Some(id_type)) } }] });
            let reply = world.post(&path, der).await;
            assert_eq!(reply.pointers(422), ["/eco/0/addEim/eimConfigurationData"], "{eim_id}");
            assert!(reply.text().contains("eimId in it can't be taken"), "{}", reply.text());
        }
        for (eim_id, id_type) in [(OTHER, 1), ("eim.example", 2), ("whatever it is", 3)] {
            let body = add(json!({ "eimId": eim_id, "eimIdType": id_type }));
            let reply = world.send(Role::Operator, "POST", &format!("{path}?dryRun=true"), &[], body.to_string()).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        assert!(world.operations(&device.eid()).await.is_empty());
    });
}

#[test]
fn a_name_of_no_octets_or_too_many_is_named_also_inside_der() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let path = format!("/api/v1/euiccs/{eid}/operations");
        for eim_id in [String::new(), "x".repeat(129)] {
            let der = configuration(&eim_id, None);
            let reply = world.post(&path, json!({ "eco": [{ "addEim": { "eimConfigurationData": der } }] })).await;
            assert_eq!(reply.pointers(422), ["/eco/0/addEim/eimConfigurationData"]);
            assert!(reply.text().contains(&format!("EimConfigurationData.{SIZE}")), "{}", reply.text());
            let body = json!({ "configuration": { "eimConfigurationData": der }, "eids": [eid] }).to_string();
            let reply = world.send(Role::Admin, "POST", "/api/v1/handovers", &[], body).await;
            assert_eq!(reply.pointers(422), ["/configuration/eimConfigurationData"]);
            assert!(reply.text().contains(SIZE), "{}", reply.text());
            let delete = json!({ "eco": [{ "deleteEim": { "eimId": eim_id } }] });
            assert_eq!(world.post(&path, delete).await.pointers(422), ["/eco/0/deleteEim/eimId"], "once");

            // In a list that the eUICC has signed: it is no list, and nothing is learnt from it.
            let id = world.queue(&eid, list()).await;
            let package = SentPackage::read(&device.fetch().await);
            let forge = Forge { token: world.token(&device), ..Forge::of(&device) };
            let entry = element(0x30, &[&element(0x80, &[eim_id.as_bytes()])]);
            let listed = element(0xab, &[&element(0xa0, &[&entry])]);
            device.deliver(&forge.answer(&package, 900 + i64::try_from(eim_id.len()).unwrap(), &[&listed])).await;
            let operation = world.operation(&id).await;
            let message = operation["error"]["message"].as_str().unwrap_or_default();
            assert_eq!((&operation["state"], &operation["verified"]), (&json!("failed"), &json!(true)), "{operation}");
            assert!(message.contains(&format!("EimIdInfo.{SIZE}")), "{operation}");
            assert_eq!(associations(world, &eid).await.len(), 1);

            // In the head of a result: nobody can say whose it is.
            world.queue(&eid, list()).await;
            let package = SentPackage::read(&device.fetch().await);
            let odd = forge.result(&eim_id, package.counter, Some(&package.transaction), 990, &[&listed]);
            device.deliver(&odd).await;
            let refused = world.events_of(&eid, "resultRefused").await;
            let last = refused.last().expect("it is on record");
            assert_eq!(last["reason"], "structure", "{last}");
            assert!(last["detail"].as_str().unwrap_or_default().contains(SIZE), "{last}");
            device.session().await;
        }
        // What the device's maker brings has no eimId; the member that is wrong is named all the same.
        let body = json!({ "addInitialEimResponse": "BF5706A0048402FF" });
        let reply = world.post(&format!("/api/v1/euiccs/{eid}/associations"), body).await;
        assert_eq!(reply.pointers(422), ["/addInitialEimResponse"]);
        let reply = world
            .post(&format!("/api/v1/euiccs/{eid}/associations"), json!({ "addInitialEimResponse": "BF5705A003840900" }))
            .await;
        assert_eq!(reply.pointers(422), ["/addInitialEimResponse"]);
        assert!(reply.text().contains("BF57) in hexadecimal or base64 is expected: "), "{}", reply.text());
    });
}

#[test]
fn a_key_that_can_not_be_used_is_told_once() {
    each_store(async |world: &mut World| {
        let device = world.device(1).await;
        let path = format!("/api/v1/euiccs/{}/operations", device.eid());
        // ecPublicKey on secp384r1: a key, and none that an eUICC verifies with.
        let algorithm = hex::decode("301006072a8648ce3d020106052b81040022").unwrap();
        let p384 = element(0x30, &[&algorithm, &element(0x03, &[&[0, 4], &[7; 96]])]);
        let place = "/eco/0/addEim/eimPublicKeyData";
        let wrong = |keys: Value| add(json!({ "eimPublicKeyData": keys }));
        for (keys, member) in [
            (json!({ "eimPublicKey": STANDARD.encode(&p384) }), "/eimPublicKey"),
            (json!({ "eimPublicKey": "no base64" }), "/eimPublicKey"),
            (json!({ "eimCertificate": STANDARD.encode(&p384) }), "/eimCertificate"),
            (json!({}), "/eimPublicKey"),
        ] {
            let reply = world.post(&path, wrong(keys.clone())).await;
            assert_eq!(reply.pointers(422), [format!("{place}{member}")], "{keys}: {}", reply.text());
        }
        for (tls, member) in [
            (json!({ "trustedEimPkTls": "AAAA" }), "trustedEimPkTls"),
            (json!({ "trustedCertificateTls": "AAAA" }), "trustedCertificateTls"),
            (json!({}), "trustedEimPkTls"),
        ] {
            let reply = world.post(&path, add(json!({ "trustedPublicKeyDataTls": tls }))).await;
            assert_eq!(reply.pointers(422), [format!("/eco/0/addEim/trustedPublicKeyDataTls/{member}")], "{tls}");
        }
    });
}

#[test]
fn the_end_of_an_association_has_its_time() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let proven = associations(world, &eid).await[0]["changedAt"].clone();
        world.advance(TimeDelta::days(3)).await;
        world.queue_anyway(&eid, json!({ "eco": [{ "deleteEim": { "eimId": world.eim_id().await } }] })).await;
        device.poll().await;
        let own = associations(world, &eid).await[0].clone();
        let ended = world.events(&eid).await.into_iter().find(|event| event["type"] == "associationEnded").unwrap();
        assert_eq!((&own["state"], &own["changedAt"]), (&json!("gone"), &ended["at"]), "lastEimDeleted: {own}");
        assert_ne!(own["changedAt"], proven);

        // And so has what comes after it.
        world.advance(TimeDelta::days(1)).await;
        let path = format!("/api/v1/euiccs/{eid}/eim-configuration");
        let request = world.send(Role::Viewer, "GET", &path, &[], "").await.body;
        let response = STANDARD.encode(device.euicc.add_initial_eim(&request).unwrap());
        let path = format!("/api/v1/euiccs/{eid}/associations");
        let reply = world.post(&path, json!({ "addInitialEimResponse": response })).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let own = associations(world, &eid).await[0].clone();
        assert_eq!(own["state"], "expected");
        assert_ne!(own["changedAt"], ended["at"], "{own}");
        assert_eq!(own["changedAt"], own["learnedAt"], "{own}");
    });
}

/// How often a device was asked for its eIMs and its profiles on our own account.
async fn asked(world: &World, eid: &str) -> (usize, usize) {
    let all = world.operations(eid).await;
    let of = |name: &str| {
        let ours = all.iter().filter(|operation| operation["origin"] == "eim");
        ours.filter(|operation| operation["request"].to_string().contains(name)).count()
    };
    (of("listEim"), of("listProfileInfo"))
}

#[test]
fn a_fleet_is_looked_over_every_so_many_days_each_device_in_its_turn() {
    each_store(async |world: &mut World| {
        let mut devices = Vec::new();
        for index in 1..=8 {
            devices.push(world.listed_device(index).await);
        }
        let mut away = world.listed_device(9).await;
        let before = (asked(world, &devices[0].eid()).await, asked(world, &away.eid()).await);
        for device in &mut devices {
            device.session().await;
        }
        world.advance(TimeDelta::days(40)).await;
        for device in &mut devices {
            device.session().await;
            assert_eq!(asked(world, &device.eid()).await, before.0, "nobody asked for it");
        }

        world.restart_with(|config| config.associations.look_over_days = 8).await;
        devices.iter_mut().chain([&mut away]).for_each(|device| world.reconnect(device));
        let (ours, eims) = (before.0, before.0.0);
        let mut days = Vec::new();
        for day in 0..24 {
            for (index, device) in devices.iter_mut().enumerate() {
                let was = asked(world, &device.eid()).await.0;
                // As often as a device polls, it is asked once.
                device.session().await;
                device.session().await;
                let is = asked(world, &device.eid()).await.0;
                assert!(is - was <= 1, "{index} on day {day}");
                if is > was {
                    days.push((index, day));
                }
            }
            assert!(day > 0 || days.is_empty(), "nobody at once, though the last look was long ago: {days:?}");
            world.advance(TimeDelta::days(1)).await;
        }
        for (index, device) in devices.iter().enumerate() {
            let turns: Vec<i32> = days.iter().filter(|(of, _)| *of == index).map(|(_, day)| *day).collect();
            assert!((2..=3).contains(&turns.len()), "{index}: {turns:?}");
            assert!(turns.windows(2).all(|pair| pair[1] - pair[0] == 8), "{index}: {turns:?}");
            assert_eq!(asked(world, &device.eid()).await, (eims + turns.len(), ours.1 + turns.len()));
        }
        let mut first: Vec<i32> =
            (0..8).filter_map(|of| days.iter().find(|(index, _)| *index == of)).map(|it| it.1).collect();
        first.sort_unstable();
        first.dedup();
        assert!(first.len() >= 3, "spread over the span: {first:?}");
        assert_eq!(asked(world, &away.eid()).await, before.1, "who does not poll is not asked");

        // What nobody told is found.
        appear(&mut devices[0], OTHER);
        for _ in 0..9 {
            world.advance(TimeDelta::days(1)).await;
            devices[0].session().await;
        }
        assert_eq!(world.events_of(&devices[0].eid(), "foreignEim").await.len(), 1);

        // Taken away, and back: nobody is asked at once again.
        world.restart_with(|config| config.associations.look_over_days = 0).await;
        devices.iter_mut().for_each(|device| world.reconnect(device));
        let before = asked(world, &devices[2].eid()).await;
        world.advance(TimeDelta::days(20)).await;
        devices[2].session().await;
        world.restart_with(|config| config.associations.look_over_days = 8).await;
        world.reconnect(&mut devices[2]);
        world.advance(TimeDelta::days(20)).await;
        devices[2].session().await;
        assert_eq!(asked(world, &devices[2].eid()).await, before);
    });
}
