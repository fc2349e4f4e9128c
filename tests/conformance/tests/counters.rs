//! Counters that were used elsewhere: what an operator or an import says of them, and how other keys go on after that
//! (SGP.32 v1.2 3.3.1, 3.5.1.3; ST-19).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

mod key_support;

use chrono::TimeDelta;
use eim_conformance::{Device, Role, SentPackage, World, each_store};
use key_support::{
    abandon, add_key, forget_results, is_left_out, lose_for_good, rotate, rotation, settle, signing_key, works,
};
use serde_json::json;

/// Gives a device another key, and tells the counter of the first package under it.
async fn to(world: &World, device: &mut Device, key: &str) -> i64 {
    rotate(world, json!({ "filter": { "eids": [device.eid()] }, "to": key })).await;
    device.session().await;
    world.advance(TimeDelta::seconds(20)).await;
    assert_eq!(signing_key(world, &device.eid()).await, key);
    let id = works(world, device).await["id"].as_str().unwrap().to_owned();
    world.operation(&id).await["counterValue"].as_i64().unwrap()
}

/// Lets the eIM find out that its counter is too low, and find it again.
async fn recover(world: &World, device: &mut Device) {
    let path = format!("/api/v1/euiccs/{}/counter-recovery", device.eid());
    world.queue(&device.eid(), json!({ "psmo": [{ "getRAT": {} }] })).await;
    settle(world, device).await;
    assert_eq!(world.euicc(&device.eid()).await["state"], "counterLost");
    assert_eq!(world.post(&path, serde_json::Value::Null).await.status, 200);
    for _ in 0..5 {
        settle(world, device).await;
    }
    assert_eq!(world.euicc(&device.eid()).await["state"], "active");
}

/// A database restored, and the counter set by hand above what was used: what other keys have used since is not known.
#[test]
fn after_a_counter_was_set_by_hand_only_a_key_that_was_made_since_is_given_and_goes_on_far_above() {
    each_store(async |world: &mut World| {
        let (mut one, mut other, mut untouched) = (world.device(1).await, world.device(2).await, world.device(3).await);
        let second = add_key(world, "next.pem").await;
        let raise = json!({ "association": { "counterValue": 50 } });
        for device in [&mut one, &mut other, &mut untouched] {
            world.reconnect(device);
            works(world, device).await;
        }
        world.patch(&one.eid(), raise.clone()).await;
        // The same backup once more, three minutes later.
        world.advance(TimeDelta::minutes(3)).await;
        world.patch(&other.eid(), raise).await;
        let mut counters = vec![];
        for device in [&mut one, &mut other] {
            is_left_out(world, device, &second).await;
        }
        let third = add_key(world, "third.pem").await;
        for device in [&mut one, &mut other] {
            world.reconnect(device);
            counters.push(to(world, device, &third).await);
            is_left_out(world, device, &second).await;
        }
        let (first, again) = (counters[0], counters[1]);
        assert!((65_537..=327_680).contains(&first), "{first}");
        assert_eq!(
            (again - first).rem_euclid(1 << 18),
            45,
            "one in four seconds above the first time: {first}, {again}"
        );
        world.reconnect(&mut untouched);
        assert_eq!(to(world, &mut untouched, &second).await, 1, "nothing is in doubt there");
    });
}

/// What nothing here knows of: the device got another key after the backup, so no counter is found too low, and back under the first key
/// the eUICC would take whatever was signed with it before.
#[test]
fn a_key_that_a_device_got_after_the_backup_leaves_the_first_one_aside() {
    each_store(async |world: &mut World| {
        let mut devices = [world.device(1).await, world.device(2).await];
        let first = signing_key(world, &devices[0].eid()).await;
        let second = add_key(world, "next.pem").await;
        for device in &mut devices {
            world.reconnect(device);
            works(world, device).await;
            to(world, device, &second).await;
            // As the backup from before the rotation has it.
            let back = format!(
                "UPDATE euiccs SET signing_key = '{first}', counter_value = 0, key_facts = '{{}}' WHERE eid = '{}'",
                device.eid()
            );
            world.sql(&back).await;
        }
        let [by_hand, by_rotation] = &mut devices;
        // The operator knows the key and says so; its counter is found again by replayError and a recovery.
        world.patch(&by_hand.eid(), json!({ "association": { "signingKey": second, "counterValue": 90 } })).await;
        works(world, by_hand).await;
        // The rotation is simply begun again: the package of the first key is refused, and a question proves the second.
        rotate(world, json!({ "filter": { "eids": [by_rotation.eid()] }, "to": second })).await;
        settle(world, by_rotation).await;
        if world.euicc(&by_rotation.eid()).await["state"] == "counterLost" {
            let path = format!("/api/v1/euiccs/{}/counter-recovery", by_rotation.eid());
            assert_eq!(world.post(&path, serde_json::Value::Null).await.status, 200);
            settle(world, by_rotation).await;
        }
        assert_eq!(signing_key(world, &by_rotation.eid()).await, second);
        for device in [&mut *by_hand, &mut *by_rotation] {
            is_left_out(world, device, &first).await;
        }
        let third = add_key(world, "third.pem").await;
        for device in [by_hand, by_rotation] {
            world.reconnect(device);
            let far = to(world, device, &third).await;
            assert!((65_537..=1_000_000).contains(&far), "{far}");
            // By taking the third one it has shown that it knows no higher counter of the second; of the first it has shown nothing.
            to(world, device, &second).await;
            is_left_out(world, device, &first).await;
        }
    });
}

/// The same backup restored twice, with a counter searched for in between: what was signed between is nowhere known, and what somebody
/// recorded of it must never be carried out again.
#[test]
fn what_was_signed_between_two_restores_is_not_carried_out_again() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let (eid, eim_id) = (device.eid(), world.eim_id().await);
        let first = signing_key(world, &eid).await;
        works(world, &mut device).await;
        let backup = world.euicc(&eid).await["association"]["counterValue"].as_i64().unwrap();
        let restore = format!(
            "UPDATE euiccs SET signing_key = '{first}', counter_value = {backup}, key_facts = NULL, state = 'active' \
             WHERE eid = '{eid}'"
        );
        // The first time: far more was used than the backup knows.
        device.euicc.association_mut(&eim_id).unwrap().counter += 100_000;
        recover(world, &mut device).await;
        let id = world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await;
        let recorded = SentPackage::read(&device.fetch().await);
        device.session().await;
        let between = world.operation(&id).await["counterValue"].as_i64().unwrap();
        assert!(between > 100_000, "{between}");
        let second = add_key(world, "second.pem").await;
        world.reconnect(&mut device);
        to(world, &mut device, &second).await;
        // The second time the operator knows which key it has.
        world.sql(&restore).await;
        world.patch(&eid, json!({ "association": { "signingKey": second } })).await;
        recover(world, &mut device).await;
        is_left_out(world, &mut device, &first).await;
        let third = add_key(world, "third.pem").await;
        world.reconnect(&mut device);
        to(world, &mut device, &third).await;
        is_left_out(world, &mut device, &first).await;
        let before = device.euicc.association(&eim_id).unwrap().counter;
        assert!(recorded.counter > 100_000);
        let again = device.euicc.load_euicc_package(&recorded.octets).unwrap();
        assert_eq!(device.euicc.association(&eim_id).unwrap().counter, before, "{again:?}");
    });
}

/// Whatever tells that a device is further than the database: the keys that were there before are given to it no more.
#[test]
fn each_sign_of_an_older_database_leaves_the_earlier_keys_aside() {
    each_store(async |world: &mut World| {
        let eim_id = world.eim_id().await;
        let mut fleet = vec![];
        for index in 1..=7 {
            fleet.push(world.device(index).await);
        }
        let second = add_key(world, "second.pem").await;
        fleet.iter_mut().for_each(|device| world.reconnect(device));
        let [ahead, answer_lost, change_lost, orphan, posted, token, usual] = &mut fleet[..] else { panic!() };
        for device in [&mut *ahead, &mut *answer_lost, &mut *change_lost, &mut *orphan, &mut *token] {
            works(world, device).await;
        }
        // Further by one: the next package is a replay of which the eUICC knows no result, and the one after that is taken.
        ahead.euicc.association_mut(&eim_id).unwrap().counter += 1;
        world.queue(&ahead.eid(), json!({ "psmo": [{ "getRAT": {} }] })).await;
        settle(world, ahead).await;
        assert_eq!(world.euicc(&ahead.eid()).await["state"], "active");
        // The same, and the first answer is lost, so that the package goes out twice; or it is the one that gives the other key.
        for (device, change) in [(&mut *answer_lost, false), (&mut *change_lost, true)] {
            device.euicc.association_mut(&eim_id).unwrap().counter += 1;
            if change {
                rotate(world, json!({ "filter": { "eids": [device.eid()] }, "to": second })).await;
            } else {
                world.queue(&device.eid(), json!({ "psmo": [{ "getRAT": {} }] })).await;
            }
            device.ipa.behaviour.lose_result = true;
            device.poll().await;
            device.ipa.behaviour.lose_result = false;
            for _ in 0..4 {
                settle(world, device).await;
            }
            assert_eq!(world.euicc(&device.eid()).await["state"], "active");
        }
        // A result of a package that is not known.
        let (eid, before) = (orphan.eid(), counter(world, orphan).await);
        let id = world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await;
        let package = SentPackage::read(&orphan.fetch().await);
        let result = orphan.euicc.load_euicc_package(&package.octets).unwrap();
        world.sql(&format!("UPDATE operations SET state = 'failed', counter_value = NULL WHERE id = '{id}'")).await;
        world.sql(&format!("UPDATE euiccs SET counter_value = {before} WHERE eid = '{eid}'")).await;
        orphan.deliver(&result).await;
        assert_eq!(world.events_of(&eid, "orphanResult").await.len(), 1);
        // The counter told by another door than PATCH, where nothing was answered yet.
        let path = format!("/api/v1/euiccs/{}/associations", posted.eid());
        let key = signing_key(world, &posted.eid()).await;
        let told = json!({ "associationToken": null, "counterValue": 700, "signingKey": key });
        let reply = world.post(&path, told).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        world.patch(&token.eid(), json!({ "association": { "associationToken": 9 } })).await;
        for device in [ahead, answer_lost, orphan, posted, token] {
            is_left_out(world, device, &second).await;
        }
        // It was begun again by itself, and left out.
        assert_ne!(signing_key(world, &change_lost.eid()).await, second);
        is_left_out(world, change_lost, &second).await;
        to(world, usual, &second).await;
    });
}

/// An updateEim that the eUICC has put off, and whose counter is out of date when it would take it.
#[test]
fn a_change_of_the_key_that_is_out_of_date_when_its_turn_comes_again_is_found_out() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let eid = device.eid();
        let second = add_key(world, "second.pem").await;
        world.reconnect(&mut device);
        works(world, &mut device).await;
        device.euicc.set_ecall_active(true);
        rotate(world, json!({ "filter": { "eids": [eid] }, "to": second })).await;
        device.session().await;
        device.euicc.set_ecall_active(false);
        assert_eq!(world.euicc(&eid).await["association"]["nextSigningKey"], json!(second));
        world.patch(&eid, json!({ "association": { "counterValue": 300 } })).await;
        world.advance(TimeDelta::hours(1)).await;
        settle(world, &mut device).await;
        assert_eq!(world.euicc(&eid).await["association"]["nextSigningKey"], json!(null));
        works(world, &mut device).await;
    });
}

async fn counter(world: &World, device: &Device) -> i64 {
    world.euicc(&device.eid()).await["association"]["counterValue"].as_i64().unwrap()
}

/// What is registered with its key, or with a counter, was known elsewhere, where other keys may have signed for it.
#[test]
fn a_device_that_is_registered_with_its_key_goes_on_far_above_with_one_that_is_made_since() {
    each_store(async |world: &mut World| {
        let second = add_key(world, "next.pem").await;
        let (mut named, mut usual) =
            (world.device_of(world.pki.euicc(1).unwrap()).await, world.device_of(world.pki.euicc(2).unwrap()).await);
        let mut body = world.registration(&named, true);
        assert_eq!(body["association"]["counterValue"], 0, "{body}");
        assert_eq!(world.post("/api/v1/euiccs", world.registration(&usual, true)).await.status, 201);
        let key = signing_key(world, &usual.eid()).await;
        assert_eq!(key, second, "a new one has the present key");
        body["association"]["signingKey"] = key.into();
        assert_eq!(world.post("/api/v1/euiccs", body).await.status, 201);
        let keys = world.get("/api/v1/signing-keys").await["items"].as_array().unwrap().clone();
        let first = keys.iter().find(|key| key["id"] != second.as_str()).unwrap()["id"].as_str().unwrap().to_owned();
        assert_eq!(to(world, &mut usual, &first).await, 1);
        is_left_out(world, &mut named, &first).await;
        let third = add_key(world, "third.pem").await;
        world.reconnect(&mut named);
        assert!(to(world, &mut named, &third).await > 65_536);
    });
}

/// D30: whatever became of the association, only a new token says that it is another one.
#[test]
fn a_counter_is_not_set_lower_without_a_new_token_where_packages_were_signed() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        works(world, &mut device).await;
        let path = format!("/api/v1/euiccs/{eid}");
        let patch = async |world: &World, body: serde_json::Value| {
            world.send(Role::Operator, "PATCH", &path, &[], body.to_string()).await
        };
        world.queue_anyway(&eid, json!({ "eco": [{ "deleteEim": { "eimId": world.eim_id().await } }] })).await;
        device.session().await;
        assert_eq!(world.euicc(&eid).await["state"], "unmanaged");
        let lower = json!({ "association": { "counterValue": 1 } });
        for state in ["unmanaged", "counterExhausted", "counterLost", "active"] {
            world.sql(&format!("UPDATE euiccs SET state = '{state}' WHERE eid = '{eid}'")).await;
            assert_eq!(patch(world, lower.clone()).await.pointers(422), ["/association/counterValue"], "{state}");
            assert_eq!(world.euicc(&eid).await["state"], state, "nothing was changed");
        }
        let renewed = json!({ "association": { "counterValue": 1, "associationToken": 7 } });
        world.sql(&format!("UPDATE euiccs SET state = 'unmanaged' WHERE eid = '{eid}'")).await;
        let taken = patch(world, renewed).await;
        assert_eq!(taken.status, 200, "{}", taken.text());
        let shown = world.euicc(&eid).await;
        assert_eq!((&shown["state"], &shown["association"]["counterValue"]), (&json!("active"), &json!(1)), "{shown}");
    });
}

/// A backup that was restored, and the one answer that would have told so is lost and the operation given up: what the operator has noted
/// keeps every key from before aside.
#[test]
fn after_a_restore_was_noted_no_key_from_before_it_is_given_though_nothing_told_of_it() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let (eid, eim_id) = (device.eid(), world.eim_id().await);
        let first = signing_key(world, &eid).await;
        let second = add_key(world, "second.pem").await;
        world.reconnect(&mut device);
        works(world, &mut device).await;
        let backup = counter(world, &device).await;
        // After the backup.
        let id = world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await;
        let recorded = SentPackage::read(&device.fetch().await);
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
        forget_results(&mut device);
        world.sql(&format!("UPDATE euiccs SET counter_value = {backup} WHERE eid = '{eid}'")).await;
        world.note_restore().await;
        world.reconnect(&mut device);
        // The counter is used once more, the eUICC says so, and nobody hears it.
        let replay = world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await;
        lose_for_good(&mut device).await;
        assert_eq!(abandon(world, &replay).await.status, 200);
        let third = add_key(world, "third.pem").await;
        world.reconnect(&mut device);
        to(world, &mut device, &third).await;
        for key in [&first, &second] {
            let body = json!({ "filter": { "eids": [eid] }, "to": key });
            let reply = world.send(Role::Admin, "POST", "/api/v1/key-rotations", &[], body.to_string()).await;
            assert_eq!(reply.status, 409, "{}", reply.text());
            assert!(reply.json()["type"].as_str().unwrap().ends_with(":signing-key-withheld"), "{}", reply.text());
        }
        let keys = world.get("/api/v1/signing-keys").await;
        let is_withheld = |key: &serde_json::Value| key["withheldSince"].is_string();
        let withheld: Vec<bool> = keys["items"].as_array().unwrap().iter().map(is_withheld).collect();
        assert_eq!(withheld, [true, true, false], "{keys}");
        let before = device.euicc.association(&eim_id).unwrap().counter;
        let again = device.euicc.load_euicc_package(&recorded.octets).unwrap();
        assert_eq!(device.euicc.association(&eim_id).unwrap().counter, before, "{again:?}");
        works(world, &mut device).await;
    });
}

/// A rotation that was under way at the backup: nothing of it that had not gone out goes out after the restore.
#[test]
fn a_rotation_from_before_a_restore_that_was_noted_gives_its_key_to_nobody_any_more() {
    each_store(async |world: &mut World| {
        let mut devices = [world.device(1).await, world.device(2).await];
        let first = signing_key(world, &devices[0].eid()).await;
        let second = add_key(world, "second.pem").await;
        devices.iter_mut().for_each(|device| world.reconnect(device));
        let body = json!({ "filter": { "all": true }, "to": second, "ratePerMinute": 1 });
        let id = rotate(world, body).await;
        let begun = rotation(world, &id).await["devices"].clone();
        assert_eq!((&begun["pending"], &begun["running"]), (&json!(1), &json!(1)), "{begun}");
        world.note_restore().await;
        devices.iter_mut().for_each(|device| world.reconnect(device));
        for device in &mut devices {
            settle(world, device).await;
            assert_eq!(signing_key(world, &device.eid()).await, first);
            assert_eq!(device.euicc.association(&world.eim_id().await).unwrap().counter, counter(world, device).await);
        }
        let ended = rotation(world, &id).await;
        assert_eq!((&ended["state"], &ended["devices"]["notReachable"]), (&json!("completed"), &json!(2)), "{ended}");
        for left in ended["notReachable"].as_array().unwrap() {
            assert!(left["reason"].as_str().unwrap().contains("a backup was restored"), "{left}");
        }
        for device in &mut devices {
            works(world, device).await;
        }
    });
}

/// What had gone out before the backup is sent again as it was, octet for octet: it may have been executed, and nothing new is signed.
#[test]
fn a_change_of_the_key_that_had_gone_out_before_a_restore_is_followed_to_its_end() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let second = add_key(world, "second.pem").await;
        world.reconnect(&mut device);
        let id = rotate(world, json!({ "filter": { "all": true }, "to": second })).await;
        let before = SentPackage::read(&device.fetch().await);
        world.note_restore().await;
        world.reconnect(&mut device);
        let after = SentPackage::read(&device.fetch().await);
        assert_eq!(before.octets, after.octets);
        settle(world, &mut device).await;
        assert_eq!(signing_key(world, &device.eid()).await, second);
        assert_eq!(rotation(world, &id).await["devices"]["rotated"], 1);
        works(world, &mut device).await;
    });
}
