//! Which key signs for a device, giving devices another one, and counters that are used up or lost (SGP.32 v1.2 3.5.1.3, 3.3.1;
//! CR-04, ST-08, ST-19).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

mod key_support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use eim_conformance::{Package, Role, SentPackage, World, each_store};
use eim_core::pki::{Curve, PublicKey};
use eim_simulator::euicc::{Euicc, UnsignedError};
use eim_simulator::pki::seeded_key;
use eim_simulator::tlv::integer;
use key_support::{
    act, change_key, id_of, key, listed, lose_for_good, pem, rotate, rotation, settle, signing_key, works,
};
use serde_json::{Value, json};

fn is_signed_by(package: &SentPackage, public: &PublicKey, token: i64) -> bool {
    let message = [package.signed.clone(), integer(0x84, token)].concat();
    public.verify(&message, &package.signature).is_ok()
}

#[test]
fn a_changed_key_never_signs_for_devices_that_trust_the_old_one() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let old = signing_key(world, &eid).await;
        let new = change_key(world, "next.pem", false).await;
        world.reconnect(&mut device);
        assert_eq!(signing_key(world, &eid).await, old);
        let id = world.queue(&eid, device.enable(2, false)).await;
        let asked = world.queue(&eid, json!({ "euiccData": { "tags": ["83"] } })).await;
        device.session().await;
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "queued", "nothing is signed with another key");
        assert_eq!(world.operation(&asked).await["state"], "succeeded", "what needs no key goes on");
        let euicc = world.euicc(&eid).await;
        assert_eq!(euicc["association"]["signingKeyLoaded"], false);
        assert!(euicc["warnings"].to_string().contains(&old), "{euicc}");
        let told = world.events_of(&eid, "signingKeyMissing").await;
        assert_eq!((told.len(), &told[0]["signingKey"]), (1, &json!(old)));
        let ready = world.send(Role::Nobody, "GET", "/readyz", &[], "").await;
        assert_eq!(ready.status, 200);
        assert!(ready.text().contains(&old), "{}", ready.text());
        assert!(world.metric("eim_euiccs_without_key", &[]).await > 0.5);
        // A device that is new gets the new key.
        let mut second = world.device(2).await;
        assert_eq!(signing_key(world, &second.eid()).await, id_of(&new));
        works(world, &mut second).await;
        let keys = world.get("/api/v1/signing-keys").await["items"].as_array().unwrap().clone();
        let shown = |id: &str| keys.iter().find(|key| key["id"] == id).unwrap().clone();
        assert_eq!((&shown(&old)["loaded"], &shown(&old)["devices"]), (&json!(false), &json!(1)));
        assert_eq!((&shown(&id_of(&new))["current"], &shown(&id_of(&new))["devices"]), (&json!(true), &json!(1)));

        change_key(world, "next.pem", true).await;
        world.reconnect(&mut device);
        device.session().await;
        assert_eq!(world.operation(&id).await["verified"], true, "with the old key again it goes out");
        let euicc = world.euicc(&eid).await;
        assert!(!euicc["warnings"].to_string().contains(&old), "{euicc}");
        let ready = world.send(Role::Nobody, "GET", "/readyz", &[], "").await;
        assert!(!ready.text().contains(&old), "{}", ready.text());
    });
}

/// CR-04.
#[test]
fn a_fleet_is_moved_to_another_key_and_each_device_says_so_itself() {
    each_store(async |world: &mut World| {
        let mut devices =
            vec![world.listed_device(1).await, world.listed_device(2).await, world.listed_device(3).await];
        let old_key = world.eim_key().await;
        let old = signing_key(world, &devices[0].eid()).await;
        let new = change_key(world, "next.pem", true).await;
        let new_key = world.eim_key().await;
        let id = rotate(world, json!({ "filter": { "all": true }, "label": "yearly" })).await;
        let shown = rotation(world, &id).await;
        assert_eq!((&shown["state"], &shown["devices"]["running"]), (&json!("running"), &json!(3)), "{shown}");
        assert_eq!(shown["to"], id_of(&new));
        for device in &mut devices {
            world.reconnect(device);
            let eid = device.eid();
            assert_eq!(signing_key(world, &eid).await, old, "until the device has said so");
            let package = SentPackage::read(&device.fetch().await);
            assert!(is_signed_by(&package, &old_key, world.token(device)), "signed with the key that it trusts");
            assert_eq!(world.euicc(&eid).await["association"]["nextSigningKey"], id_of(&new));
            device.session().await;
            let euicc = world.euicc(&eid).await;
            let association = &euicc["association"];
            assert_eq!(association["signingKey"], id_of(&new), "{euicc}");
            assert_eq!((&association["counterValue"], &association["nextSigningKey"]), (&json!(0), &Value::Null));
            let changed = world.events_of(&eid, "signingKeyChanged").await;
            assert_eq!((&changed[0]["from"], &changed[0]["verified"]), (&json!(old), &json!(true)));
            world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await;
            let next = SentPackage::read(&device.fetch().await);
            assert!(is_signed_by(&next, &new_key, world.token(device)) && next.counter == 1, "{}", next.counter);
            device.session().await;
            assert_eq!(works(world, device).await["counterValue"], 2);
        }
        world.advance(TimeDelta::seconds(20)).await;
        let shown = rotation(world, &id).await;
        assert_eq!((&shown["state"], &shown["devices"]["rotated"]), (&json!("completed"), &json!(3)), "{shown}");
        assert_eq!(listed(world, &id, "rotated").await.len(), 3);
        // The old key is not needed any more.
        change_key(world, "next.pem", false).await;
        world.reconnect(&mut devices[0]);
        works(world, &mut devices[0]).await;
        assert_eq!(world.eim_key().await, new_key);
    });
}

/// The eUICC took the key, and nobody heard it: neither the result nor what it stored can be had.
#[test]
fn a_lost_answer_to_a_new_key_is_found_out_by_a_harmless_question() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let new = change_key(world, "next.pem", true).await;
        world.reconnect(&mut device);
        let id = rotate(world, json!({ "filter": { "eids": [eid] } })).await;
        lose_for_good(&mut device).await;
        let waiting = world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await;
        settle(world, &mut device).await;
        let euicc = world.euicc(&eid).await;
        assert_eq!(euicc["association"]["signingKey"], id_of(&new), "{euicc}");
        let told = world.operations(&eid).await;
        let update = told.iter().find(|operation| operation["request"]["keyRotation"]["id"] == id).unwrap();
        assert_eq!((&update["state"], &update["verified"]), (&json!("succeeded"), &json!(true)), "{update}");
        assert_eq!(rotation(world, &id).await["state"], "completed");
        let waited = world.operation(&waiting).await;
        assert_eq!((&waited["state"], &waited["counterValue"]), (&json!("succeeded"), &json!(2)), "after the question");
        works(world, &mut device).await;
    });
}

/// A signed error tells of the key only if the eUICC says it after it has looked at the signature.
#[test]
fn what_an_euicc_may_say_before_it_looks_at_the_signature_proves_no_key() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let (eid, eim_id) = (device.eid(), world.eim_id().await);
        let old = signing_key(world, &eid).await;
        let new = change_key(world, "next.pem", true).await;
        world.reconnect(&mut device);
        rotate(world, json!({ "filter": { "eids": [eid] } })).await;
        lose_for_good(&mut device).await;
        device.euicc.faults.signed_error = Some(15);
        settle(world, &mut device).await;
        let euicc = world.euicc(&eid).await;
        assert_eq!(euicc["association"]["signingKey"], old, "sizeOverflow: {euicc}");
        assert_eq!(euicc["association"]["nextSigningKey"], id_of(&new));
        device.euicc.faults.signed_error = None;
        // It has seen a higher counter under the new key than we know of: that is said after the signature.
        device.euicc.association_mut(&eim_id).unwrap().counter = 5_000;
        for _ in 0..4 {
            world.advance(TimeDelta::hours(1)).await;
            device.session().await;
        }
        let euicc = world.euicc(&eid).await;
        assert_eq!(euicc["association"]["signingKey"], id_of(&new), "replayError: {euicc}");
        assert_eq!(euicc["state"], "counterLost", "the key is known, the counter is not");
        let path = format!("/api/v1/euiccs/{eid}/counter-recovery");
        assert_eq!(world.post(&path, Value::Null).await.status, 200);
        for _ in 0..4 {
            device.session().await;
        }
        assert_eq!(world.euicc(&eid).await["state"], "active");
        works(world, &mut device).await;
    });
}

/// The result is lost on its way, and the eUICC still has it.
#[test]
fn a_result_that_the_euicc_still_has_decides() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let new = change_key(world, "next.pem", true).await;
        world.reconnect(&mut device);
        let id = rotate(world, json!({ "filter": { "eids": [eid] } })).await;
        device.ipa.behaviour.lose_result = true;
        device.poll().await;
        device.ipa.behaviour.lose_result = false;
        settle(world, &mut device).await;
        assert_eq!(signing_key(world, &eid).await, id_of(&new));
        assert_eq!(rotation(world, &id).await["devices"]["rotated"], 1);
        works(world, &mut device).await;
    });
}

/// Somebody says that the eUICC did not take the package, and nobody signed that.
#[test]
fn an_unsigned_error_moves_no_device_to_another_key() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let old = signing_key(world, &eid).await;
        let new = change_key(world, "next.pem", true).await;
        world.reconnect(&mut device);
        let id = rotate(world, json!({ "filter": { "eids": [eid] } })).await;
        device.euicc.faults.unsigned_error = Some(UnsignedError::WithoutToken);
        for _ in 0..8 {
            device.poll().await;
        }
        let euicc = world.euicc(&eid).await;
        assert_eq!(euicc["association"]["signingKey"], old);
        assert_eq!(euicc["association"]["nextSigningKey"], id_of(&new), "it is in doubt: {euicc}");
        device.euicc.faults.unsigned_error = None;
        settle(world, &mut device).await;
        // The old key was found to count, and the new one was given once more.
        assert_eq!(world.events_of(&eid, "signingKeyKept").await.len(), 1);
        assert_eq!(signing_key(world, &eid).await, id_of(&new));
        let shown = rotation(world, &id).await;
        assert_eq!((&shown["state"], &shown["devices"]["rotated"]), (&json!("completed"), &json!(1)), "{shown}");
        assert_eq!(listed(world, &id, "rotated").await[0]["attempts"], 2);
        let packages: Vec<i64> =
            world.operations(&eid).await.iter().filter_map(|operation| operation["counterValue"].as_i64()).collect();
        assert!(packages.len() > 3, "{packages:?}");
        let next = works(world, &mut device).await["counterValue"].as_i64().unwrap();
        assert!(next > 1, "questions with the new key used counters of it: {next}");
    });
}

#[test]
fn a_device_that_refuses_the_key_keeps_the_old_one() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let old = signing_key(world, &eid).await;
        change_key(world, "next.pem", true).await;
        world.reconnect(&mut device);
        let id = rotate(world, json!({ "filter": { "eids": [eid] } })).await;
        device.euicc.faults.undefined_errors = true;
        device.session().await;
        device.euicc.faults.undefined_errors = false;
        world.advance(TimeDelta::seconds(20)).await;
        assert_eq!(signing_key(world, &eid).await, old);
        let shown = rotation(world, &id).await;
        assert_eq!((&shown["state"], &shown["devices"]["failed"]), (&json!("completed"), &json!(1)), "{shown}");
        let failed = listed(world, &id, "failed").await;
        assert!(failed[0]["reason"].as_str().unwrap().contains("undefinedError"), "{failed:?}");
        works(world, &mut device).await;
    });
}

#[test]
fn a_result_of_a_package_from_before_is_believed_after_the_key_has_changed() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let before = world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await;
        let package = SentPackage::read(&device.fetch().await);
        let result = device.euicc.load_euicc_package(&package.octets).unwrap();
        let reply = world.post(&format!("/api/v1/operations/{before}/abandon"), Value::Null).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let new = change_key(world, "next.pem", true).await;
        world.reconnect(&mut device);
        rotate(world, json!({ "filter": { "eids": [eid] } })).await;
        device.session().await;
        assert_eq!(signing_key(world, &eid).await, id_of(&new));
        device.deliver(&result).await;
        let late = world.operation(&before).await;
        assert_eq!(late["lateResult"]["verified"], true, "{late}");
        assert_eq!(signing_key(world, &eid).await, id_of(&new));
        works(world, &mut device).await;
    });
}

#[test]
fn a_rotation_goes_on_after_a_crash_and_keeps_its_pace() {
    each_store(async |world: &mut World| {
        let mut devices =
            vec![world.listed_device(1).await, world.listed_device(2).await, world.listed_device(3).await];
        change_key(world, "next.pem", true).await;
        let id = rotate(world, json!({ "filter": { "all": true }, "ratePerMinute": 1 })).await;
        assert_eq!(rotation(world, &id).await["devices"]["running"], 1, "one a minute");
        world.crash_and_restart().await;
        world.advance(TimeDelta::seconds(30)).await;
        assert_eq!(rotation(world, &id).await["devices"]["running"], 1);
        // The first one's package is under way when the server goes down again.
        let begun = listed(world, &id, "running").await[0]["eid"].as_str().unwrap().to_owned();
        for device in &mut devices {
            world.reconnect(device);
        }
        let first = devices.iter_mut().find(|device| device.eid() == begun).unwrap();
        first.fetch().await;
        world.crash_and_restart().await;
        for device in &mut devices {
            world.reconnect(device);
        }
        for _ in 0..3 {
            world.advance(TimeDelta::seconds(61)).await;
            world.advance(TimeDelta::seconds(1)).await;
        }
        assert_eq!(rotation(world, &id).await["devices"]["running"], 3);
        for device in &mut devices {
            device.session().await;
            works(world, device).await;
        }
        world.advance(TimeDelta::seconds(20)).await;
        let shown = rotation(world, &id).await;
        assert_eq!((&shown["state"], &shown["devices"]["rotated"]), (&json!("completed"), &json!(3)), "{shown}");
    });
}

#[test]
fn a_rotation_is_paused_resumed_and_cancelled_and_each_request_counts_once() {
    each_store(async |world: &mut World| {
        let mut devices =
            vec![world.listed_device(1).await, world.listed_device(2).await, world.listed_device(3).await];
        let old = signing_key(world, &devices[0].eid()).await;
        change_key(world, "next.pem", true).await;
        let body = json!({ "filter": { "all": true }, "ratePerMinute": 1 }).to_string();
        let keyed = [("idempotency-key", "one")];
        let first = world.send(Role::Admin, "POST", "/api/v1/key-rotations", &keyed, body.clone()).await;
        let again = world.send(Role::Admin, "POST", "/api/v1/key-rotations", &keyed, body.clone()).await;
        assert_eq!((first.status, again.status), (201, 201), "{}", again.text());
        let id = first.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(again.json()["id"], id);
        let other = json!({ "filter": { "all": true } }).to_string();
        let taken = world.send(Role::Admin, "POST", "/api/v1/key-rotations", &keyed, other.clone()).await;
        assert_eq!(taken.problem(409)["type"], "urn:eim:problem:idempotency-key-taken");
        let second = world.send(Role::Admin, "POST", "/api/v1/key-rotations", &[], other).await;
        assert_eq!(second.problem(409)["type"], "urn:eim:problem:key-rotation-open");
        let operator = world.send(Role::Operator, "POST", "/api/v1/key-rotations", &[], body).await;
        assert_eq!(operator.status, 403, "only an admin moves a fleet to another key");

        world.advance(TimeDelta::seconds(1)).await;
        world.advance(TimeDelta::seconds(1)).await;
        let keyed = [("idempotency-key", "two")];
        let path = format!("/api/v1/key-rotations/{id}/pause");
        for _ in 0..2 {
            let reply = world.send(Role::Admin, "POST", &path, &keyed, "").await;
            assert_eq!((reply.status, &reply.json()["state"]), (200, &json!("paused")), "{}", reply.text());
        }
        world.advance(TimeDelta::minutes(5)).await;
        assert_eq!(rotation(world, &id).await["devices"]["pending"], 2, "none is begun while it is paused");
        assert_eq!(act(world, &id, "pause").await.problem(409)["type"], "urn:eim:problem:key-rotation-state");
        assert_eq!(act(world, &id, "resume").await.json()["state"], "running");
        world.advance(TimeDelta::seconds(1)).await;
        let running = listed(world, &id, "running").await;
        assert_eq!(running.len(), 2);
        // One of the two has its package already when the rotation is withdrawn.
        let delivered = running[0]["eid"].as_str().unwrap().to_owned();
        for device in &mut devices {
            world.reconnect(device);
            if device.eid() == delivered {
                device.fetch().await;
            }
        }
        assert_eq!(act(world, &id, "cancel").await.json()["state"], "cancelling");
        world.advance(TimeDelta::seconds(20)).await;
        world.advance(TimeDelta::seconds(20)).await;
        let shown = rotation(world, &id).await;
        assert_eq!((&shown["devices"]["running"], &shown["devices"]["cancelled"]), (&json!(1), &json!(2)), "{shown}");
        for device in &mut devices {
            device.session().await;
            let rotated = device.eid() == delivered;
            assert_eq!(
                signing_key(world, &device.eid()).await != old,
                rotated,
                "what was delivered can't be called back"
            );
            works(world, device).await;
        }
        world.advance(TimeDelta::seconds(20)).await;
        let shown = rotation(world, &id).await;
        assert_eq!((&shown["state"], &shown["devices"]["rotated"]), (&json!("cancelled"), &json!(1)), "{shown}");
    });
}

#[test]
fn a_rotation_that_would_strand_devices_is_not_begun() {
    each_store(async |world: &mut World| {
        let device = world.device(1).await;
        for (body, pointer) in [
            (json!({}), "/filter"),
            (json!({ "filter": {} }), "/filter"),
            (json!({ "filter": { "all": true }, "to": "00" }), "/to"),
            (json!({ "filter": { "all": true }, "to": id_of(&key("nobody's")) }), "/to"),
            (json!({ "filter": { "all": true }, "ratePerMinute": 0 }), "/ratePerMinute"),
            (json!({ "filter": { "all": true }, "from": "x" }), "/from"),
            (json!({ "filter": { "tags": ["nobody"] } }), "/filter"),
            (json!({ "filter": { "eids": ["89049032000000000000000000009999"] } }), "/filter"),
        ] {
            let reply = world.send(Role::Admin, "POST", "/api/v1/key-rotations", &[], body.to_string()).await;
            assert_eq!(reply.pointers(422), [pointer], "{body}");
        }
        // By hand it is refused, and the job is named.
        let update = json!({ "eco": [{ "updateEim": {
            "eimId": world.eim_id().await,
            "counterValue": 0,
            "eimPublicKeyData": { "eimPublicKey": STANDARD.encode(key("x").public_key_spki()) },
        } }] });
        let reply = world.post(&format!("/api/v1/euiccs/{}/operations", device.eid()), update).await;
        assert!(reply.text().contains("/api/v1/key-rotations"), "{}", reply.text());
        assert_eq!(reply.status, 422);
        assert!(world.get("/api/v1/key-rotations").await["items"].as_array().unwrap().is_empty());
    });
}

/// A database from before a rotation: an operator says which key the device trusts.
#[test]
fn an_operator_who_knows_better_sets_the_key_and_no_counter_comes_back() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let old = signing_key(world, &eid).await;
        let new = change_key(world, "next.pem", true).await;
        world.reconnect(&mut device);
        rotate(world, json!({ "filter": { "all": true } })).await;
        device.session().await;
        let last = works(world, &mut device).await["counterValue"].as_i64().unwrap();
        let before = world.patch(&eid, json!({ "association": { "signingKey": old } })).await;
        assert!(before["association"]["counterValue"].as_i64().unwrap() > last, "the counter of the old key goes on");
        let lost = world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await;
        device.session().await;
        assert_eq!(world.operation(&lost).await["state"], "delivered", "the device does not take it");
        let refused = json!({ "association": { "signingKey": id_of(&key("nobody's")) } }).to_string();
        let reply = world.send(Role::Operator, "PATCH", &format!("/api/v1/euiccs/{eid}"), &[], refused).await;
        assert_eq!(reply.pointers(422), ["/association/signingKey"]);
        let now = world.patch(&eid, json!({ "association": { "signingKey": id_of(&new) } })).await;
        assert!(now["association"]["counterValue"].as_i64().unwrap() >= last, "above where it was left");
        // The eUICC had refused it, so it is made again with the right key.
        device.session().await;
        let again = world.operation(&lost).await;
        assert_eq!((&again["state"], &again["verified"]), (&json!("succeeded"), &json!(true)), "{again}");
        assert!(again["counterValue"].as_i64().unwrap() > last, "{again}");
        assert!(works(world, &mut device).await["counterValue"].as_i64().unwrap() > last);
        // A device that is exported with a key that is not the usual one keeps it.
        world.patch(&eid, json!({ "association": { "signingKey": old } })).await;
        let out = world.send(Role::Viewer, "GET", "/api/v1/exports/euiccs", &[("accept", "text/csv")], "").await;
        assert!(out.text().contains(&old), "{}", out.text());
    });
}

/// The key of a rotation is in doubt, and an operator says which one counts.
#[test]
fn a_doubt_that_an_operator_settles_leaves_no_question_behind() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let old = signing_key(world, &eid).await;
        change_key(world, "next.pem", true).await;
        world.reconnect(&mut device);
        let id = rotate(world, json!({ "filter": { "all": true } })).await;
        device.euicc.faults.unsigned_error = Some(UnsignedError::WithoutToken);
        for _ in 0..8 {
            device.poll().await;
        }
        device.euicc.faults.unsigned_error = None;
        let update = listed(world, &id, "running").await[0]["operation"].as_str().unwrap().to_owned();
        assert_eq!(world.post(&format!("/api/v1/operations/{update}/abandon"), Value::Null).await.status, 200);
        world.patch(&eid, json!({ "association": { "signingKey": old } })).await;
        works(world, &mut device).await;
        let open = |operation: &Value| ["queued", "delivered"].iter().any(|state| operation["state"] == *state);
        let left: Vec<Value> = world.operations(&eid).await.into_iter().filter(open).collect();
        assert!(left.is_empty(), "{left:?}");
        world.advance(TimeDelta::seconds(20)).await;
        world.advance(TimeDelta::seconds(20)).await;
        let shown = rotation(world, &id).await;
        assert_eq!((&shown["state"], &shown["devices"]["cancelled"]), (&json!("completed"), &json!(1)), "{shown}");
    });
}

/// A second name with a key on the other curve.
#[test]
fn a_device_may_know_the_server_by_another_name_and_on_another_curve() {
    each_store(async |world: &mut World| {
        let mut usual = world.device(1).await;
        let brainpool = seeded_key(Curve::BrainpoolP256r1, 17, "other").unwrap();
        let next = seeded_key(Curve::BrainpoolP256r1, 17, "other next").unwrap();
        let (path, later) = (world.file("other.pem", &pem(&brainpool)), world.file("later.pem", &pem(&next)));
        let identities = format!(
            "[[identity]]\nid = 'other.example'\nid_type = 'fqdn'\nfqdn = 'localhost'\nsigning_key = '{}'\n\
             further_signing_keys = ['{}']\n",
            path.display(),
            later.display(),
        );
        let file = world.file("identities.toml", &identities);
        world.restart_with(|config| config.eim.identities = Some(file)).await;
        world.reconnect(&mut usual);
        works(world, &mut usual).await;

        let shown = world.get("/api/v1/eim?eimId=other.example").await;
        let given = |more: &str| format!("/api/v1/eim/configuration?format=base64{more}");
        let named = world.send(Role::Viewer, "GET", &given("&eimId=other.example"), &[], "").await;
        assert_eq!(named.text().trim(), shown["addInitialEimRequest"].as_str().unwrap());
        assert_ne!(world.send(Role::Viewer, "GET", &given(""), &[], "").await.text(), named.text());
        let asking = world.send(Role::Viewer, "GET", &given("&eimId=other.example&token=allocate"), &[], "").await;
        assert_ne!(asking.text(), named.text());
        for name in ["nobody.example", ""] {
            let nobody = world.send(Role::Viewer, "GET", &given(&format!("&eimId={name}")), &[], "").await;
            assert_eq!(nobody.status, 404, "{name:?}");
        }
        let request = STANDARD.decode(shown["addInitialEimRequest"].as_str().unwrap()).unwrap();
        let mut device = world.device_of(world.pki.euicc(2).unwrap()).await;
        device.euicc = Euicc::new(device.euicc.identity().clone()).trusting(world.pki.ci_certificate());
        device.euicc.add_initial_eim(&request).unwrap();
        assert_eq!(device.euicc.associations()[0].eim_id, "other.example");
        let mut body = world.registration(&device, true);
        body["association"]["eimId"] = json!("nobody.example");
        assert_eq!(world.post("/api/v1/euiccs", body.clone()).await.pointers(422), ["/association/eimId"]);
        body["association"]["eimId"] = json!("other.example");
        let reply = world.post("/api/v1/euiccs", body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let association = reply.json()["association"].clone();
        assert_eq!(
            (&association["eimId"], &association["signingKey"]),
            (&json!("other.example"), &json!(id_of(&brainpool)))
        );
        works(world, &mut device).await;
        // Its keys are its own: a rotation of the usual eIM leaves it alone, and one of its own reaches it.
        let reply = world.send(Role::Viewer, "GET", "/api/v1/eim?eimId=nobody.example", &[], "").await;
        assert_eq!(reply.status, 404);
        let id = rotate(world, json!({ "filter": { "all": true }, "to": id_of(&next) })).await;
        device.session().await;
        usual.session().await;
        world.advance(TimeDelta::seconds(20)).await;
        assert_eq!(rotation(world, &id).await["devices"]["rotated"], 1);
        assert_eq!(signing_key(world, &device.eid()).await, id_of(&next));
        works(world, &mut device).await;
        works(world, &mut usual).await;
    });
}

/// ST-08: the counter ends, and the association is renewed by another key.
#[test]
fn a_counter_that_is_used_up_is_renewed_with_a_new_key() {
    each_store(async |world: &mut World| {
        let eim_id = world.eim_id().await;
        let mut device = world.device_of(world.pki.euicc(1).unwrap()).await;
        device.euicc.association_mut(&eim_id).unwrap().counter = 8_388_607 - 65;
        world.register(&device, true).await;
        let eid = device.eid();
        assert!(world.euicc(&eid).await["warnings"].to_string().contains("key rotation"), "the procedure is named");
        works(world, &mut device).await;
        let waiting = world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await;
        device.session().await;
        assert_eq!(world.euicc(&eid).await["state"], "counterExhausted");
        let told = world.events_of(&eid, "counterExhausted").await;
        assert_eq!((told.len(), &told[0]["remedy"]), (1, &json!("keyRotation")));
        // At the very end nothing of ours helps, and nobody says that it would.
        let last = world.device(2).await;
        world.patch(&last.eid(), json!({ "association": { "counterValue": 8_388_607 } })).await;
        let warnings = world.euicc(&last.eid()).await["warnings"].to_string();
        assert!(warnings.contains("another eIM must delete") && !warnings.contains("rotation"), "{warnings}");
        let told = world.events_of(&last.eid(), "counterNearlyExhausted").await;
        assert_eq!(told[0]["remedy"], "newAssociation", "{told:?}");
        world.patch(&last.eid(), json!({ "association": { "associationToken": 0 } })).await;
        assert_eq!(world.events_of(&last.eid(), "counterNearlyExhausted").await.len(), 1);
        assert_eq!(world.operation(&waiting).await["state"], "queued");
        // The key that it has is no remedy, and whoever asked for it hears so.
        let vain = rotate(world, json!({ "filter": { "eids": [eid] } })).await;
        let left = rotation(world, &vain).await["notReachable"].clone();
        assert!(left[0]["eid"] == eid.as_str() && left[0]["reason"].to_string().contains("already"), "{left}");
        world.advance(TimeDelta::seconds(20)).await;
        assert_eq!(rotation(world, &vain).await["state"], "completed");
        change_key(world, "next.pem", true).await;
        world.reconnect(&mut device);
        rotate(world, json!({ "filter": { "eids": [eid] } })).await;
        device.session().await;
        let waited = world.operation(&waiting).await;
        // It was registered with a counter that was used elsewhere, so the other keys may have been used there as well.
        assert_eq!(waited["state"], "succeeded", "{waited}");
        assert!((65_537..=327_680).contains(&waited["counterValue"].as_i64().unwrap()), "{waited}");
        let euicc = world.euicc(&eid).await;
        assert_eq!((&euicc["state"], &euicc["warnings"]), (&json!("active"), &json!([])), "{euicc}");
    });
}

async fn nearly_exhausted(world: &World, eid: &str) -> Vec<i64> {
    let told = world.events_of(eid, "counterNearlyExhausted").await;
    told.iter().map(|event| event["counterValue"].as_i64().unwrap()).collect()
}

#[test]
fn a_counter_near_its_end_is_told_once_however_it_came_there() {
    each_store(async |world: &mut World| {
        let eim_id = world.eim_id().await;
        // Registered so, and by packages.
        for (index, counter, expected) in [(1, 8_000_000, 8_000_000), (2, 7_999_999, 8_000_000)] {
            let mut device = world.device_of(world.pki.euicc(index).unwrap()).await;
            device.euicc.association_mut(&eim_id).unwrap().counter = counter;
            world.register(&device, true).await;
            works(world, &mut device).await;
            works(world, &mut device).await;
            assert_eq!(nearly_exhausted(world, &device.eid()).await, [expected], "from {counter}");
        }
        // By hand, and higher later.
        let device = world.device(3).await;
        for counter in [7_999_999, 8_100_000, 8_200_000] {
            world.patch(&device.eid(), json!({ "association": { "counterValue": counter } })).await;
        }
        assert_eq!(nearly_exhausted(world, &device.eid()).await, [8_100_000]);
        // By what another eIM tells of a new association, and by one more, whose counter is another one.
        let path = format!("/api/v1/euiccs/{}/associations", device.eid());
        for (token, counter) in [(5, 8_000_005), (6, 0), (7, 8_000_007)] {
            let reply = world.post(&path, json!({ "associationToken": token, "counterValue": counter })).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        assert_eq!(nearly_exhausted(world, &device.eid()).await, [8_100_000, 8_000_005, 8_000_007]);
        // In bulk.
        let eids = [1, 2].map(|number| format!("8999000{number}000000000000000000000001"));
        let file = format!("eid,counterValue\n{},8000001\n{},7999999\n", eids[0], eids[1]);
        let csv = [("content-type", "text/csv")];
        let reply = world.send(Role::Operator, "POST", "/api/v1/imports/euiccs", &csv, file).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(nearly_exhausted(world, &eids[0]).await, [8_000_001]);
        assert_eq!(nearly_exhausted(world, &eids[1]).await, [0_i64; 0]);
        // By a search for one that was lost.
        let mut device = world.device(4).await;
        let eid = device.eid();
        device.euicc.association_mut(&eim_id).unwrap().counter = 8_000_100;
        world.queue(&eid, device.enable(2, false)).await;
        device.session().await;
        let reply = world.post(&format!("/api/v1/euiccs/{eid}/counter-recovery"), json!({ "above": 7_999_990 })).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        for _ in 0..20 {
            device.poll().await;
        }
        assert_eq!(world.events_of(&eid, "counterRecovered").await.len(), 1);
        assert_eq!(nearly_exhausted(world, &eid).await.len(), 1);
    });
}

/// A key that was used up on a device is not given to it again; one with few counters left is, and that is told.
#[test]
fn a_rotation_leaves_out_whom_the_key_has_no_counters_for() {
    each_store(async |world: &mut World| {
        let (mut spent, mut few) = (world.device(1).await, world.device(2).await);
        let old = signing_key(world, &spent.eid()).await;
        let new = id_of(&change_key(world, "next.pem", true).await);
        // The last usual counter is 8 388 543: with that none is left, with the one before it one is.
        for (device, counter) in [(&mut spent, 8_388_543), (&mut few, 8_388_542)] {
            world.reconnect(device);
            let had = format!("{{\"counters\":{{\"{new}\":{counter}}}}}");
            world.sql(&format!("UPDATE euiccs SET key_facts = '{had}' WHERE eid = '{}'", device.eid())).await;
            works(world, device).await;
        }
        let id = rotate(world, json!({ "filter": { "all": true }, "to": new })).await;
        let left = listed(world, &id, "notReachable").await;
        assert_eq!((left.len(), &left[0]["eid"]), (1, &json!(spent.eid())), "{left:?}");
        assert!(left[0]["reason"].as_str().unwrap().contains("no counters left"), "{left:?}");
        assert!(
            world.operations(&spent.eid()).await.iter().all(|operation| operation["kind"] != "eco"),
            "nothing is sent"
        );
        few.session().await;
        world.advance(TimeDelta::seconds(20)).await;
        let shown = rotation(world, &id).await;
        assert_eq!((&shown["state"], &shown["devices"]["rotated"]), (&json!("completed"), &json!(1)), "{shown}");
        assert_eq!(signing_key(world, &few.eid()).await, new);
        assert_eq!(nearly_exhausted(world, &few.eid()).await, [8_388_542], "told for the key that it has now");
        assert_eq!(signing_key(world, &spent.eid()).await, old);
        works(world, &mut spent).await;
    });
}

/// ST-19: the database knows of fewer packages than the eUICC.
#[test]
fn a_lost_counter_is_found_again_in_growing_steps_and_no_counter_is_used_twice() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let (eid, eim_id) = (device.eid(), world.eim_id().await);
        let path = format!("/api/v1/euiccs/{eid}/counter-recovery");
        let reply = world.post(&path, Value::Null).await;
        assert_eq!(reply.problem(409)["type"], "urn:eim:problem:counter-not-lost");
        device.euicc.association_mut(&eim_id).unwrap().counter = 5_000;
        world.queue(&eid, device.enable(2, false)).await;
        device.session().await;
        assert_eq!(world.euicc(&eid).await["state"], "counterLost");
        let waiting = world.queue(&eid, device.enable(3, false)).await;
        assert!(device.poll().await.is_idle(), "nothing is signed until somebody says so");
        for (body, pointer) in
            [(json!({ "above": -1 }), "/above"), (json!({ "above": 8_388_607 }), "/above"), (json!({ "x": 1 }), "/x")]
        {
            assert_eq!(world.post(&path, body).await.pointers(422), [pointer]);
        }
        let keyed = [("idempotency-key", "recover")];
        for _ in 0..2 {
            let reply = world.send(Role::Operator, "POST", &path, &keyed, "").await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        assert_eq!(world.events_of(&eid, "counterRecoveryStarted").await.len(), 1);
        let mut counters = Vec::new();
        for _ in 0..40 {
            let poll = device.poll().await;
            if let Package::EuiccPackage(octets) = &poll.package {
                counters.push(SentPackage::read(octets).counter);
            }
        }
        assert!(counters.is_sorted_by(|one, next| one < next), "a counter stands for one package: {counters:?}");
        let euicc = world.euicc(&eid).await;
        assert_eq!(euicc["state"], "active", "{euicc}");
        let found = world.events_of(&eid, "counterRecovered").await[0]["counterValue"].as_i64().unwrap();
        assert!(found > 5_000 && found < 11_000, "at most twice as far: {found}");
        let waited = world.operation(&waiting).await;
        assert_eq!((&waited["state"], &waited["verified"]), (&json!("succeeded"), &json!(true)), "{waited}");
        works(world, &mut device).await;
    });
}

#[test]
fn other_keys_are_left_aside_where_a_database_was_older_than_its_devices() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let (eid, eim_id) = (device.eid(), world.eim_id().await);
        let first = signing_key(world, &eid).await;
        let second = id_of(&change_key(world, "next.pem", true).await);
        world.reconnect(&mut device);
        let to = async |world: &World, device: &mut eim_conformance::Device, key: &str| {
            rotate(world, json!({ "filter": { "eids": [eid] }, "to": key })).await;
            device.session().await;
            world.advance(TimeDelta::seconds(20)).await;
            assert_eq!(signing_key(world, &eid).await, key);
            let id = works(world, device).await["id"].as_str().unwrap().to_owned();
            world.operation(&id).await["counterValue"].as_i64().unwrap()
        };
        assert_eq!(to(world, &mut device, &second).await, 1, "nothing was signed with it");
        let used = to(world, &mut device, &first).await;
        assert!(used > 1 && used < 100, "it goes on above what was signed: {used}");
        // More was signed than is known here: of this key the eUICC says so, of the other one it can't.
        device.euicc.association_mut(&eim_id).unwrap().counter += 40;
        world.queue(&eid, device.enable(2, false)).await;
        device.session().await;
        assert_eq!(world.euicc(&eid).await["state"], "counterLost");
        let recovery = format!("/api/v1/euiccs/{eid}/counter-recovery");
        assert_eq!(world.post(&recovery, Value::Null).await.status, 200);
        for _ in 0..10 {
            device.poll().await;
        }
        assert_eq!(world.euicc(&eid).await["state"], "active");
        key_support::is_left_out(world, &mut device, &second).await;
        let third = key_support::add_key(world, "third.pem").await;
        world.reconnect(&mut device);
        let far = to(world, &mut device, &third).await;
        assert!(far > 65_536, "{far}");
        let back = to(world, &mut device, &first).await;
        assert!(back > 65_536, "the eUICC has shown where it was, and more may have been signed than it took: {back}");
    });
}

#[test]
fn a_search_begins_above_what_the_operator_knows_and_ends_before_the_last_counter() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let (eid, eim_id) = (device.eid(), world.eim_id().await);
        device.euicc.association_mut(&eim_id).unwrap().counter = 8_388_600;
        world.queue(&eid, device.enable(2, false)).await;
        device.session().await;
        let path = format!("/api/v1/euiccs/{eid}/counter-recovery");
        let reply = world.post(&path, json!({ "above": 8_000_000 })).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let first = loop {
            let poll = device.poll().await;
            if let Package::EuiccPackage(octets) = &poll.package {
                break SentPackage::read(octets).counter;
            }
        };
        assert!(first > 8_000_000, "{first}");
        for _ in 0..40 {
            device.poll().await;
        }
        assert_eq!(world.euicc(&eid).await["state"], "counterExhausted");
        let counter = world.euicc(&eid).await["association"]["counterValue"].as_i64().unwrap();
        assert!(counter <= 8_388_607 - 64, "the last ones are kept for a new key: {counter}");
    });
}

#[test]
fn campaigns_and_rules_can_not_change_our_own_key() {
    each_store(async |world: &mut World| {
        let own = world.eim_id().await;
        world.listed_device(1).await;
        let campaign = |request: Value| {
            json!({ "name": "x", "target": { "filter": { "all": true } }, "plan": { "operations": [request] },
                    "waves": [{ "percent": 100 }] })
        };
        let update = json!({ "eco": [{ "updateEim": { "eimId": own, "counterValue": 0, "associationToken": 9 } }] });
        let mut pointers = world.post("/api/v1/campaigns", campaign(update)).await.pointers(422);
        pointers.sort();
        let place = "/plan/operations/0/eco/0/updateEim";
        assert_eq!(pointers, [format!("{place}/associationToken"), format!("{place}/counterValue")]);
        let smuggled = json!({
            "eco": [{ "updateEim": { "eimId": own, "eimFqdn": "x.example" } }],
            "keyRotation": { "to": "00".repeat(32), "counterValue": 0 },
        });
        let pointers = world.post("/api/v1/campaigns", campaign(smuggled)).await.pointers(422);
        assert_eq!(pointers, ["/plan/operations/0/keyRotation"]);
    });
}
