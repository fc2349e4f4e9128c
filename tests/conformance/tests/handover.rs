//! Handing devices over to another eIM: two servers and a simulated fleet.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use eim_conformance::{Device, Reply, Role, World, each_store};
use eim_core::ids::AssociationToken;
use serde_json::{Value, json};

async fn admin(world: &World, method: &str, path: &str, body: Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    world.send(Role::Admin, method, &format!("/api/v1{path}"), &[], body).await
}

/// The configuration of an eIM, as its operator gives it away.
async fn configuration(of: &World) -> Value {
    let der = of.get("/api/v1/eim").await["eimConfigurationData"].as_str().unwrap().to_owned();
    json!({ "eimConfigurationData": hex::encode(STANDARD.decode(der).unwrap()) })
}

async fn begin(from: &World, to: &World, devices: &[Device], delete_own: &str) -> String {
    let eids: Vec<String> = devices.iter().map(Device::eid).collect();
    let body = json!({ "configuration": configuration(to).await, "eids": eids, "deleteOwn": delete_own });
    let reply = admin(from, "POST", "/handovers", body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(reply.header("location"), Some(format!("/api/v1/handovers/{id}").as_str()));
    id
}

/// What time alone does.
async fn drive(world: &World) {
    world.advance(TimeDelta::zero()).await;
}

async fn states(world: &World, id: &str) -> Vec<String> {
    let devices = world.get(&format!("/api/v1/handovers/{id}/devices")).await;
    devices["items"].as_array().unwrap().iter().map(|it| it["state"].as_str().unwrap().to_owned()).collect()
}

async fn all_are(world: &World, id: &str, state: &str) {
    let found = states(world, id).await;
    assert!(found.iter().all(|it| it == state), "{found:?}");
}

/// Lets every device poll this eIM until there is nothing more.
async fn visit(world: &World, devices: &mut [Device]) {
    for device in devices {
        world.reconnect(device);
        device.session().await;
    }
}

/// The other eIM takes the offer in, and asks every device for its profiles.
async fn take_over(from: &World, to: &World, id: &str, devices: &mut [Device]) {
    let offer = admin(from, "GET", &format!("/handovers/{id}/offer"), Value::Null).await;
    assert_eq!(offer.text().lines().count(), devices.len(), "{}", offer.text());
    let headers = [("content-type", "application/x-ndjson")];
    let reply = to.send(Role::Operator, "POST", "/api/v1/imports/euiccs", &headers, offer.body).await;
    assert!(reply.text().contains(&format!("\"created\":{}", devices.len())), "{}", reply.text());
    for device in devices.iter() {
        to.queue(&device.eid(), json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
    }
    visit(to, devices).await;
}

async fn proof(of: &World, device: &Device, id: &str) -> Value {
    let path = format!("/euiccs/{}/handover-proof?handover={id}", device.eid());
    let reply = admin(of, "GET", &path, Value::Null).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

async fn prove(world: &World, id: &str, proofs: Vec<Value>) -> Reply {
    admin(world, "POST", &format!("/handovers/{id}/proofs"), json!({ "proofs": proofs })).await
}

async fn fleet(world: &World, count: u32) -> Vec<Device> {
    let mut devices = Vec::new();
    for index in 1..=count {
        devices.push(world.device(index).await);
    }
    devices
}

#[test]
fn a_fleet_is_handed_over_with_proof_and_the_old_eim_is_deleted_after_it() {
    each_store(async |world: &mut World| {
        let other = world.another().await;
        let mut devices = fleet(world, 4).await;
        let id = begin(world, &other, &devices, "afterProof").await;
        drive(world).await;
        all_are(world, &id, "adding").await;
        visit(world, &mut devices).await;
        drive(world).await;
        all_are(world, &id, "added").await;
        let theirs = other.eim_id().await;
        for device in &devices {
            let association = device.euicc.associations().iter().find(|it| it.eim_id == theirs).expect("it was added");
            assert!(association.token.is_some(), "the eUICC has allocated a token");
        }
        // Nothing is deleted before the proof, however long it takes.
        world.advance(TimeDelta::days(30)).await;
        visit(world, &mut devices).await;
        drive(world).await;
        all_are(world, &id, "added").await;
        assert!(devices.iter().all(|device| device.euicc.associations().len() == 2));

        // The proof is there once the device has answered the other eIM.
        let early = format!("/euiccs/{}/handover-proof?handover={id}", devices[0].eid());
        assert_eq!(admin(&other, "GET", &early, Value::Null).await.status, 404, "not taken over yet");
        take_over(world, &other, &id, &mut devices).await;
        let mut proofs = Vec::new();
        for device in &devices {
            proofs.push(proof(&other, device, &id).await);
        }
        assert_eq!(prove(world, &id, proofs).await.status, 200);
        drive(world).await;
        all_are(world, &id, "deleting").await;
        let shown = world.get(&format!("/api/v1/handovers/{id}/devices")).await;
        assert_eq!(shown["items"][0]["pastPointOfNoReturn"], false, "deleteEim was not delivered yet");
        visit(world, &mut devices).await;
        drive(world).await;
        all_are(world, &id, "handedOver").await;
        let shown = world.get(&format!("/api/v1/handovers/{id}")).await;
        assert_eq!((&shown["state"], &shown["totals"]), (&json!("ended"), &json!({ "handedOver": 4 })), "{shown}");

        for device in &mut devices {
            let ids: Vec<&str> = device.euicc.associations().iter().map(|it| it.eim_id.as_str()).collect();
            assert_eq!(ids, [theirs.as_str()], "the other eIM alone");
            assert_eq!(world.euicc(&device.eid()).await["state"], "unmanaged");
            let list = other.queue(&device.eid(), json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
            other.reconnect(device);
            device.session().await;
            assert_eq!(other.operation(&list).await["state"], "succeeded");
        }
    });
}

#[test]
fn what_proves_nothing_is_refused_with_its_place_and_nothing_changes() {
    each_store(async |world: &mut World| {
        let other = world.another().await;
        let third = world.another().await;
        let mut devices = fleet(world, 2).await;
        let id = begin(world, &other, &devices, "afterProof").await;
        drive(world).await;
        visit(world, &mut devices).await;
        drive(world).await;
        take_over(world, &other, &id, &mut devices).await;
        let good = proof(&other, &devices[0], &id).await;

        let mut flipped = good.clone();
        let signature = good["signature"].as_str().unwrap();
        let last = if signature.ends_with('0') { "1" } else { "0" };
        flipped["signature"] = json!(format!("{}{last}", &signature[..signature.len() - 1]));
        let mut restated = good.clone();
        let statement = good["statement"].as_str().unwrap();
        restated["statement"] = json!(statement.replace(&devices[0].eid(), &devices[1].eid()));
        let mut foreign = good.clone();
        foreign["publicKey"] = json!(hex::encode(third.eim_key().await.to_spki()));
        let elsewhere = proof(&other, &devices[0], "01J00000000000000000000000").await;
        for (bad, why) in [
            (flipped, "signature does not verify"),
            (restated, "signature does not verify"),
            (foreign, "not signed with the key in the configuration"),
            (elsewhere, "about another hand-over"),
            (json!({ "statement": "eim-handover-proof/1\n{}" }), "as the other eIM gives it"),
            (json!(7), "as the other eIM gives it"),
        ] {
            let reply = prove(world, &id, vec![good.clone(), bad]).await;
            assert_eq!(reply.pointers(422), ["/proofs/1"], "{why}");
            assert!(reply.text().contains(why), "{why}: {}", reply.text());
            all_are(world, &id, "added").await;
        }

        // A true signature of the other eIM over a result that the eUICC has not signed for it, or not with its token.
        let theirs = other.eim_id().await;
        let forged = |result: String| json!({ "eimId": theirs, "handover": id, "eid": devices[0].eid(), "at": "2026-01-01T00:00:00.000Z", "result": result });
        let says = |proof: &Value| -> Value {
            let text = proof["statement"].as_str().unwrap().split_once('\n').unwrap().1.to_owned();
            serde_json::from_str(&text).unwrap()
        };
        let of_second = says(&proof(&other, &devices[1], &id).await)["result"].as_str().unwrap().to_owned();
        for (result, why) in [(of_second, "the eUICC did not sign"), ("00".to_owned(), "can't be read")] {
            let text = format!("eim-handover-proof/1\n{}", forged(result));
            let eim = &other.server().eim;
            let signer = &eim.current_key(&eim.identity().eim_id).unwrap().signer;
            let signed = json!({
                "statement": text,
                "publicKey": hex::encode(signer.public_key()),
                "signature": hex::encode(signer.sign(text.as_bytes()).unwrap()),
            });
            let reply = prove(world, &id, vec![signed]).await;
            assert_eq!(reply.pointers(422), ["/proofs/0"]);
            assert!(reply.text().contains(why), "{why}: {}", reply.text());
        }
        all_are(world, &id, "added").await;
        drive(world).await;
        assert_eq!(prove(world, &id, vec![good.clone()]).await.status, 200);
        assert_eq!(prove(world, &id, vec![good]).await.pointers(422), ["/proofs/0"], "it waits for none any more");
    });
}

#[test]
fn a_hand_over_is_called_off_until_the_deletion_is_delivered() {
    each_store(async |world: &mut World| {
        let other = world.another().await;
        let mut devices = fleet(world, 3).await;
        let id = begin(world, &other, &devices, "afterProof").await;
        drive(world).await;
        visit(world, &mut devices).await;
        drive(world).await;
        let eids: Vec<String> = devices.iter().map(Device::eid).collect();
        let confirm = format!("/handovers/{id}/confirm");
        let body = json!({ "eids": eids });
        assert_eq!(world.post(&format!("/api/v1{confirm}"), body.clone()).await.status, 403, "for an admin");
        assert_eq!(admin(world, "POST", &confirm, body.clone()).await.status, 200);
        assert_eq!(admin(world, "POST", &confirm, body).await.status, 409, "once");
        drive(world).await;
        all_are(world, &id, "deleting").await;
        // The deletion goes out to the first device, and its answer is not there yet.
        devices[0].fetch().await;
        let shown = admin(world, "POST", &format!("/handovers/{id}/cancel"), Value::Null).await;
        assert_eq!((shown.status, &shown.json()["state"]), (200, &json!("cancelled")));
        assert_eq!(shown.json()["totals"], json!({ "deleting": 3 }), "as its view: {}", shown.text());
        assert_eq!(shown.json(), world.get(&format!("/api/v1/handovers/{id}")).await);
        drive(world).await;
        let shown = listed(world, &id).await;
        let past: Vec<(&str, bool)> = shown
            .iter()
            .map(|it| (it["state"].as_str().unwrap(), it["pastPointOfNoReturn"].as_bool().unwrap()))
            .collect();
        assert_eq!(past, [("deleting", true), ("proven", false), ("proven", false)]);
        visit(world, &mut devices).await;
        drive(world).await;
        assert_eq!(states(world, &id).await, ["handedOver", "proven", "proven"]);
        let kept: Vec<usize> = devices.iter().map(|device| device.euicc.associations().len()).collect();
        assert_eq!(kept, [1, 2, 2], "what was not delivered was withdrawn");
        let past: Vec<Value> =
            listed(world, &id).await.iter().map(|device| device["pastPointOfNoReturn"].clone()).collect();
        assert_eq!(past, [json!(true), json!(false), json!(false)]);
        let shown = world.get(&format!("/api/v1/handovers/{id}")).await;
        assert_eq!(shown["totals"], json!({ "handedOver": 1, "proven": 2 }), "{shown}");
        assert_eq!(admin(world, "POST", &format!("/handovers/{id}/cancel"), Value::Null).await.status, 409);
    });
}

#[test]
fn a_hand_over_goes_on_after_a_crash_and_a_device_that_refuses_is_told_apart() {
    each_store(async |world: &mut World| {
        let other = world.another().await;
        let mut devices = fleet(world, 3).await;
        // It has the other eIM already.
        let theirs = begin(world, &other, &devices[2..], "never").await;
        drive(world).await;
        visit(world, &mut devices[2..]).await;
        drive(world).await;
        let body = json!({ "configuration": configuration(&other).await, "eids": [devices[2].eid()] });
        assert_eq!(
            admin(world, "POST", "/handovers", body).await.problem(409)["type"],
            "urn:eim:problem:handover-open"
        );
        let eids = json!({ "eids": [devices[2].eid()] });
        assert_eq!(admin(world, "POST", &format!("/handovers/{theirs}/confirm"), eids).await.status, 200);
        assert_eq!(world.get(&format!("/api/v1/handovers/{theirs}")).await["state"], "ended", "nothing is deleted");

        let id = begin(world, &other, &devices, "never").await;
        drive(world).await;
        world.crash_and_restart().await;
        visit(world, &mut devices).await;
        world.crash_and_restart().await;
        drive(world).await;
        assert_eq!(states(world, &id).await, ["added", "added", "failed"]);
        let failed = world.get(&format!("/api/v1/handovers/{id}/devices?state=failed")).await;
        assert_eq!(failed["items"][0]["reason"], "associatedEimAlreadyExists", "{failed}");
        assert_eq!(failed["items"][0]["eid"], devices[2].eid());
    });
}

#[test]
fn a_hand_over_that_can_not_be_is_refused_with_the_member_that_is_wrong() {
    each_store(async |world: &mut World| {
        let device = world.device(1).await;
        let own = configuration(world).await;
        let eids = json!([device.eid()]);
        let key = STANDARD.encode(world.eim_key().await.to_spki());
        let good = json!({ "eimId": "1.2", "counterValue": 0, "eimPublicKeyData": { "eimPublicKey": key } });
        let with = |name: &str, value: Value| {
            let mut changed = good.clone();
            changed[name] = value;
            changed
        };
        for (body, pointer) in [
            (json!({ "eids": eids }), "/configuration"),
            (json!({ "configuration": own, "eids": eids }), "/configuration/eimId"),
            (json!({ "configuration": with("eimId", json!("")), "eids": eids }), "/configuration/eimId"),
            (json!({ "configuration": with("eimId", json!("x".repeat(129))), "eids": eids }), "/configuration/eimId"),
            (
                json!({ "configuration": with("counterValue", json!(8_388_608)), "eids": eids }),
                "/configuration/counterValue",
            ),
            // It could sign nothing.
            (
                json!({ "configuration": with("counterValue", json!(8_388_607)), "eids": eids }),
                "/configuration/counterValue",
            ),
            (json!({ "configuration": good, "eids": ["1"] }), "/eids/0"),
            (json!({ "configuration": good, "eids": ["89049032000000000000000000009999"] }), "/eids"),
            (json!({ "configuration": good, "filter": { "tags": ["nobody"] } }), "/filter"),
            (json!({ "configuration": good, "filter": { "eids": ["89049032000000000000000000009999"] } }), "/filter"),
            (json!({ "configuration": good, "filter": {} }), "/filter"),
            (json!({ "configuration": good, "filter": { "colour": "red" } }), "/filter/colour"),
            (json!({ "configuration": good, "filter": { "all": true }, "eids": eids }), ""),
            (json!({ "configuration": good, "eids": eids, "ratePerMinute": 0 }), "/ratePerMinute"),
            (json!({ "configuration": good, "eids": eids, "ratePerMinute": "many" }), "/ratePerMinute"),
            (json!({ "configuration": good, "eids": eids, "deleteOwn": "now" }), "/deleteOwn"),
            (json!({ "configuration": good, "eids": eids, "force": true }), "/force"),
            (json!({ "configuration": good }), ""),
        ] {
            let reply = admin(world, "POST", "/handovers", body.clone()).await;
            assert!(reply.pointers(422).contains(&pointer.to_owned()), "{body}: {}", reply.text());
        }
        assert_eq!(world.get("/api/v1/handovers").await["items"], json!([]));
        world.patch(&device.eid(), json!({ "tags": ["leaving"] })).await;
        // A device that this eIM does not command is not meant.
        let unmanaged = world.device(2).await;
        world.patch(&unmanaged.eid(), json!({ "tags": ["leaving"] })).await;
        world.sql(&format!("UPDATE euiccs SET state = 'unmanaged' WHERE eid = '{}'", unmanaged.eid())).await;
        let body = json!({ "configuration": good, "filter": { "tags": ["leaving"], "notTag": ["staying"] } });
        let made = admin(world, "POST", "/handovers", body).await;
        assert_eq!((made.status, &made.json()["devices"]), (201, &json!(1)), "{}", made.text());
    });
}

#[test]
fn an_eim_that_is_gone_again_is_not_left_alone_with_the_device() {
    each_store(async |world: &mut World| {
        let other = world.another().await;
        let mut devices = fleet(world, 1).await;
        let id = begin(world, &other, &devices, "afterProof").await;
        drive(world).await;
        visit(world, &mut devices).await;
        drive(world).await;
        take_over(world, &other, &id, &mut devices).await;
        let good = proof(&other, &devices[0], &id).await;
        // The proof is true, and out of date: the other eIM is deleted after it.
        let delete = json!({ "eco": [{ "deleteEim": { "eimId": other.eim_id().await } }] });
        let deleted = world.queue(&devices[0].eid(), delete).await;
        visit(world, &mut devices).await;
        assert_eq!(world.operation(&deleted).await["state"], "succeeded");
        assert_eq!(prove(world, &id, vec![good]).await.status, 200);
        drive(world).await;
        all_are(world, &id, "failed").await;
        let shown = world.get(&format!("/api/v1/handovers/{id}/devices")).await;
        assert_eq!(shown["items"][0]["reason"], "otherEimGone", "{shown}");
        visit(world, &mut devices).await;
        assert_eq!(devices[0].euicc.associations().len(), 1, "this eIM is there");
    });
}

async fn act(world: &World, id: &str, verb: &str) -> Reply {
    admin(world, "POST", &format!("/handovers/{id}/{verb}"), Value::Null).await
}

async fn count(world: &World, id: &str, state: &str) -> usize {
    states(world, id).await.iter().filter(|it| *it == state).count()
}

async fn listed(world: &World, id: &str) -> Vec<Value> {
    world.get(&format!("/api/v1/handovers/{id}/devices")).await["items"].as_array().unwrap().clone()
}

#[test]
fn devices_are_begun_at_the_pace_that_was_said_and_none_while_it_is_paused() {
    each_store(async |world: &mut World| {
        let other = world.another().await;
        let mut devices = fleet(world, 5).await;
        let configuration = configuration(&other).await;
        let body = json!({ "configuration": configuration, "filter": { "all": true }, "deleteOwn": "afterProof", "ratePerMinute": 2 });
        let made = admin(world, "POST", "/handovers", body).await.json();
        assert_eq!((&made["ratePerMinute"], &made["devices"]), (&json!(2), &json!(5)), "{made}");
        let id = made["id"].as_str().unwrap();
        drive(world).await;
        world.advance(TimeDelta::seconds(50)).await;
        assert_eq!(count(world, id, "adding").await, 2);
        assert_eq!(act(world, id, "pause").await.json()["state"], "paused");
        assert_eq!(act(world, id, "pause").await.status, 409);
        world.advance(TimeDelta::hours(1)).await;
        assert_eq!(count(world, id, "adding").await, 2, "nothing is begun");
        // What was begun is followed, and what is proven meanwhile waits.
        visit(world, &mut devices).await;
        drive(world).await;
        assert_eq!((count(world, id, "added").await, count(world, id, "queued").await), (2, 3));
        let added: Vec<Value> = listed(world, id).await.into_iter().filter(|it| it["state"] == "added").collect();
        let confirm = json!({ "eids": [added[0]["eid"]] });
        assert_eq!(admin(world, "POST", &format!("/handovers/{id}/confirm"), confirm).await.status, 200);
        drive(world).await;
        assert_eq!(count(world, id, "proven").await, 1, "deleteEim is not begun, either");
        // It is still the one hand-over of these devices.
        let again = json!({ "configuration": configuration, "filter": { "all": true } });
        assert_eq!(
            admin(world, "POST", "/handovers", again).await.problem(409)["type"],
            "urn:eim:problem:handover-open"
        );
        world.crash_and_restart().await;
        drive(world).await;
        assert_eq!(count(world, id, "proven").await, 1);
        assert_eq!(act(world, id, "resume").await.json()["state"], "running");
        assert_eq!(act(world, id, "resume").await.status, 409);
        drive(world).await;
        let (deleting, adding) = (count(world, id, "deleting").await, count(world, id, "adding").await);
        assert_eq!((deleting, adding), (1, 1), "those that are nearly there go first, and both count");
        world.advance(TimeDelta::seconds(61)).await;
        assert_eq!(count(world, id, "adding").await, 3);
        // Paused to the end: it ends when it is resumed.
        assert_eq!(act(world, id, "pause").await.status, 200);
        assert_eq!(act(world, id, "cancel").await.json()["state"], "cancelled", "also while it is paused");
        assert_eq!(act(world, id, "resume").await.status, 409);
        for told in ["eim.handoverPaused", "eim.handoverResumed"] {
            let found = world.get("/api/v1/events?limit=1000").await;
            assert!(found["items"].as_array().unwrap().iter().any(|event| event["type"] == told), "{told}");
        }
    });
}

#[test]
fn a_pace_of_one_hand_over_holds_up_no_other() {
    each_store(async |world: &mut World| {
        let (other, third) = (world.another().await, world.another().await);
        let devices = fleet(world, 4).await;
        let eids: Vec<String> = devices.iter().map(Device::eid).collect();
        let body = json!({ "configuration": configuration(&other).await, "eids": eids[..3], "ratePerMinute": 1 });
        let slow = admin(world, "POST", "/handovers", body).await.json()["id"].as_str().unwrap().to_owned();
        let second = begin(world, &third, &devices[3..], "never").await;
        drive(world).await;
        assert_eq!(count(world, &slow, "adding").await, 1);
        all_are(world, &second, "adding").await;
    });
}

#[test]
fn what_failed_before_the_point_of_no_return_is_tried_again() {
    each_store(async |world: &mut World| {
        let other = world.another().await;
        let theirs = other.eim_id().await;
        let mut devices = fleet(world, 3).await;
        // The first has the other eIM already, behind our back.
        let mut there = devices[0].euicc.associations()[0].clone();
        there.eim_id = theirs.clone();
        devices[0].euicc.associate(there);
        let id = begin(world, &other, &devices, "afterProof").await;
        assert_eq!(act(world, &id, "retryFailed").await.problem(409)["type"], "urn:eim:problem:nothing-to-retry");
        drive(world).await;
        visit(world, &mut devices).await;
        drive(world).await;
        assert_eq!(states(world, &id).await, ["failed", "added", "added"]);
        let first = listed(world, &id).await[0].clone();
        assert_eq!((&first["reason"], &first["mayBeRetried"]), (&json!("associatedEimAlreadyExists"), &json!(true)));
        assert_eq!(first["pastPointOfNoReturn"], false);
        let delete = json!({ "eco": [{ "deleteEim": { "eimId": theirs } }] });
        world.queue(&devices[0].eid(), delete.clone()).await;
        // The other eIM goes from the second one behind its proof.
        world.queue(&devices[1].eid(), delete).await;
        visit(world, &mut devices).await;
        let eids = json!({ "eids": [devices[1].eid(), devices[2].eid()] });
        assert_eq!(admin(world, "POST", &format!("/handovers/{id}/confirm"), eids).await.status, 200);
        drive(world).await;
        assert_eq!(states(world, &id).await, ["failed", "failed", "deleting"]);
        assert_eq!(listed(world, &id).await[1]["reason"], "otherEimGone");
        // The deletion of the third is withdrawn before it was delivered.
        let operation = listed(world, &id).await[2]["operation"].as_str().unwrap().to_owned();
        assert_eq!(world.post(&format!("/api/v1/operations/{operation}/cancel"), Value::Null).await.status, 200);
        drive(world).await;
        assert_eq!(states(world, &id).await, ["failed", "failed", "failed"]);
        let shown = world.get(&format!("/api/v1/handovers/{id}")).await;
        assert_eq!(shown["state"], "ended", "{shown}");

        let shown = act(world, &id, "retryFailed").await;
        assert_eq!(shown.status, 200, "{}", shown.text());
        let shown = shown.json();
        assert_eq!(shown["state"], "running", "it had ended: {shown}");
        assert_eq!(shown["totals"], json!({ "queued": 2, "proven": 1 }), "{shown}");
        assert_eq!(listed(world, &id).await[1].get("proof"), None, "another proof is needed");
        drive(world).await;
        assert_eq!(states(world, &id).await, ["adding", "adding", "deleting"]);
        // The deletion goes out, and its end is never told: behind the point of no return nothing is tried again.
        devices[2].fetch().await;
        let operation = listed(world, &id).await[2]["operation"].as_str().unwrap().to_owned();
        assert_eq!(world.post(&format!("/api/v1/operations/{operation}/abandon"), Value::Null).await.status, 200);
        visit(world, &mut devices[..2]).await;
        drive(world).await;
        assert_eq!(states(world, &id).await, ["added", "added", "failed"]);
        let last = listed(world, &id).await[2].clone();
        assert_eq!((&last["pastPointOfNoReturn"], &last["mayBeRetried"]), (&json!(true), &json!(false)), "{last}");
        assert_eq!(act(world, &id, "retryFailed").await.status, 409);

        // The two come to their end with the tokens of the second try.
        let offer = admin(world, "GET", &format!("/handovers/{id}/offer"), Value::Null).await;
        assert_eq!(offer.text().lines().count(), 2, "{}", offer.text());
        let reply = other
            .send(
                Role::Operator,
                "POST",
                "/api/v1/imports/euiccs",
                &[("content-type", "application/x-ndjson")],
                offer.body,
            )
            .await;
        assert!(reply.text().contains("\"created\":2"), "{}", reply.text());
        let mut proofs = Vec::new();
        for device in &mut devices[..2] {
            other.queue(&device.eid(), json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
            other.reconnect(device);
            device.session().await;
            proofs.push(proof(&other, device, &id).await);
        }
        assert_eq!(prove(world, &id, proofs).await.status, 200);
        drive(world).await;
        visit(world, &mut devices[..2]).await;
        drive(world).await;
        assert_eq!(states(world, &id).await, ["handedOver", "handedOver", "failed"]);
    });
}

/// The eIM that takes over gives the device another key before it has proven anything.
#[test]
fn a_key_that_was_rotated_before_the_proof_is_named_and_the_proof_is_taken() {
    each_store(async |world: &mut World| {
        let mut other = world.another().await;
        let mut devices = fleet(world, 1).await;
        let id = begin(world, &other, &devices, "afterProof").await;
        drive(world).await;
        visit(world, &mut devices).await;
        drive(world).await;
        take_over(world, &other, &id, &mut devices).await;
        let eid = devices[0].eid();
        let told = world.get(&format!("/api/v1/handovers/{id}")).await["signingKey"].as_str().unwrap().to_owned();
        let new = eim_core::pki::SigningKey::generate_p256(&ring::rand::SystemRandom::new()).unwrap();
        let (path, old) =
            (other.file("next.pem", &new.to_pkcs8_pem().unwrap()), other.data_dir().join("signing-key.pem"));
        other
            .restart_with(|config| {
                config.eim.signing_key = Some(path);
                config.eim.further_signing_keys = vec![eim_server::config::KeySource::File(old)];
            })
            .await;
        let rotation = admin(&other, "POST", "/key-rotations", json!({ "filter": { "all": true } })).await;
        assert_eq!(rotation.status, 201, "{}", rotation.text());
        other.advance(TimeDelta::seconds(1)).await;
        other.advance(TimeDelta::seconds(1)).await;
        visit(&other, &mut devices).await;
        assert_ne!(other.euicc(&eid).await["association"]["signingKey"], told.as_str(), "it was rotated");

        let late = proof(&other, &devices[0], &id).await;
        let reply = prove(world, &id, vec![late]).await;
        assert_eq!(reply.pointers(422), ["/proofs/0"]);
        assert!(reply.text().contains("signingKey"), "the cure is named: {}", reply.text());
        all_are(world, &id, "added").await;
        let path = format!("/euiccs/{eid}/handover-proof?handover={id}&signingKey");
        for key in ["no", &"ab".repeat(32)] {
            assert_eq!(
                admin(&other, "GET", &format!("{path}={key}"), Value::Null).await.pointers(422),
                ["/signingKey"]
            );
        }
        let good = admin(&other, "GET", &format!("{path}={told}"), Value::Null).await;
        assert_eq!(good.status, 200, "{}", good.text());
        assert_eq!(prove(world, &id, vec![good.json()]).await.status, 200);
        drive(world).await;
        visit(world, &mut devices).await;
        drive(world).await;
        all_are(world, &id, "handedOver").await;
    });
}

/// The eIM that takes over signs with another key by the time it takes the offer in.
#[test]
fn an_offer_names_the_key_that_the_devices_were_told() {
    each_store(async |world: &mut World| {
        let mut other = world.another().await;
        let mut devices = fleet(world, 2).await;
        let id = begin(world, &other, &devices, "never").await;
        drive(world).await;
        visit(world, &mut devices).await;
        drive(world).await;
        let told = world.get(&format!("/api/v1/handovers/{id}")).await["signingKey"].as_str().unwrap().to_owned();
        let new = eim_core::pki::SigningKey::generate_p256(&ring::rand::SystemRandom::new()).unwrap();
        let (path, old) =
            (other.file("next.pem", &new.to_pkcs8_pem().unwrap()), other.data_dir().join("signing-key.pem"));
        other
            .restart_with(|config| {
                config.eim.signing_key = Some(path);
                config.eim.further_signing_keys = vec![];
            })
            .await;
        let offer = admin(world, "GET", &format!("/handovers/{id}/offer"), Value::Null).await;
        let headers = [("content-type", "application/x-ndjson")];
        let reply = other.send(Role::Operator, "POST", "/api/v1/imports/euiccs", &headers, offer.body).await;
        assert!(reply.text().contains("\"failed\":2"), "{}", reply.text());
        assert!(reply.text().contains("/association/signingKey"), "{}", reply.text());
        other
            .restart_with(|config| config.eim.further_signing_keys = vec![eim_server::config::KeySource::File(old)])
            .await;
        take_over(world, &other, &id, &mut devices).await;
        for device in &devices {
            let shown = other.euicc(&device.eid()).await;
            assert_eq!(shown["association"]["signingKey"], told.as_str(), "{shown}");
            assert_eq!(association(&other, &device.eid(), &other.eim_id().await).await["state"], "associated");
        }
    });
}

/// The deletion went out, and nobody learns what became of it.
#[test]
fn a_device_that_deleted_this_eim_and_can_not_say_so_is_known_by_the_other_ones_list() {
    deletes_and_can_not_say_so(false);
}

#[test]
fn a_device_that_deleted_this_eim_is_known_by_the_other_ones_list_also_after_a_cancel() {
    deletes_and_can_not_say_so(true);
}

fn deletes_and_can_not_say_so(called_off: bool) {
    each_store(async |world: &mut World| {
        let other = world.another().await;
        let mut devices = fleet(world, 2).await;
        let id = begin(world, &other, &devices, "afterProof").await;
        drive(world).await;
        visit(world, &mut devices).await;
        drive(world).await;
        take_over(world, &other, &id, &mut devices).await;
        let mut proofs = Vec::new();
        for device in &devices {
            proofs.push(proof(&other, device, &id).await);
        }
        assert_eq!(prove(world, &id, proofs.clone()).await.status, 200);
        drive(world).await;
        // Nothing is taken on anybody's word before it was delivered.
        let eids = json!({ "eids": [devices[1].eid()] });
        let confirm = format!("/handovers/{id}/confirm");
        assert_eq!(admin(world, "POST", &confirm, eids.clone()).await.status, 409);
        for device in &mut devices {
            world.reconnect(device);
            device.ipa.behaviour.lose_result = true;
            device.session().await;
            device.ipa.behaviour.lose_result = false;
        }
        drive(world).await;
        all_are(world, &id, "deleting").await;
        if called_off {
            assert_eq!(act(world, &id, "cancel").await.status, 200);
        }
        let theirs = other.eim_id().await;
        assert!(devices.iter().all(|device| device.euicc.associations().iter().all(|it| it.eim_id == theirs)));
        // What it answered before proves nothing, a list does.
        let reply = prove(world, &id, proofs[..1].to_vec()).await;
        assert_eq!(reply.pointers(422), ["/proofs/0"]);
        assert!(reply.text().contains("listEim"), "{}", reply.text());
        other.queue(&devices[0].eid(), json!({ "eco": [{ "listEim": {} }] })).await;
        visit(&other, &mut devices).await;
        let listed_there = proof(&other, &devices[0], &id).await;
        assert_eq!(prove(world, &id, vec![listed_there]).await.status, 200);
        drive(world).await;
        assert_eq!(states(world, &id).await, ["handedOver", "deleting"]);
        // And of the other one an admin says so.
        assert_eq!(admin(world, "POST", &confirm, eids).await.status, 200);
        drive(world).await;
        all_are(world, &id, "handedOver").await;
        let state = if called_off { "cancelled" } else { "ended" };
        assert_eq!(world.get(&format!("/api/v1/handovers/{id}")).await["state"], state);
        for (device, verified) in devices.iter().zip([true, false]) {
            assert_eq!(world.euicc(&device.eid()).await["state"], "unmanaged");
            let told = world.events_of(&device.eid(), "associationEnded").await;
            assert_eq!((told.len(), &told[0]["verified"]), (1, &json!(verified)), "{told:?}");
        }
    });
}

#[test]
fn a_device_that_fails_behind_the_point_of_no_return_stays_there_after_a_cancel() {
    each_store(async |world: &mut World| {
        let other = world.another().await;
        let mut devices = fleet(world, 2).await;
        let id = begin(world, &other, &devices, "afterProof").await;
        drive(world).await;
        visit(world, &mut devices).await;
        drive(world).await;
        let eids: Vec<String> = devices.iter().map(Device::eid).collect();
        let confirm = format!("/handovers/{id}/confirm");
        assert_eq!(admin(world, "POST", &confirm, json!({ "eids": eids })).await.status, 200);
        drive(world).await;
        devices[0].fetch().await;
        assert_eq!(act(world, &id, "cancel").await.json()["state"], "cancelled");
        let operation = listed(world, &id).await[0]["operation"].as_str().unwrap().to_owned();
        assert_eq!(world.post(&format!("/api/v1/operations/{operation}/abandon"), Value::Null).await.status, 200);
        drive(world).await;
        let shown: Vec<(Value, Value, Value)> = listed(world, &id)
            .await
            .iter()
            .map(|it| (it["state"].clone(), it["pastPointOfNoReturn"].clone(), it["mayBeRetried"].clone()))
            .collect();
        assert_eq!(
            shown,
            [(json!("failed"), json!(true), json!(false)), (json!("proven"), json!(false), json!(false))],
            "the first may be gone, the second is not"
        );
        assert_eq!(act(world, &id, "retryFailed").await.status, 409);
    });
}

#[test]
fn a_device_that_this_eim_does_not_command_fails_with_its_reason() {
    each_store(async |world: &mut World| {
        let other = world.another().await;
        let mut devices = fleet(world, 2).await;
        let eid = devices[0].eid();
        world.queue_anyway(&eid, json!({ "eco": [{ "deleteEim": { "eimId": world.eim_id().await } }] })).await;
        visit(world, &mut devices).await;
        assert_eq!(world.euicc(&eid).await["state"], "unmanaged");
        // Named by its EID: it is taken, so that the others are not held up, and fails alone.
        let id = begin(world, &other, &devices, "afterProof").await;
        drive(world).await;
        drive(world).await;
        assert_eq!(states(world, &id).await, ["failed", "adding"]);
        let shown = listed(world, &id).await[0].clone();
        for (member, value) in
            [("reason", json!("unmanaged")), ("pastPointOfNoReturn", json!(false)), ("mayBeRetried", json!(true))]
        {
            assert_eq!(shown[member], value, "{member}: {shown}");
        }
        assert_eq!(shown.get("operation"), None, "nothing was asked of it: {shown}");
        let told = world.events_of(&eid, "handoverFailed").await;
        assert_eq!((told.len(), &told[0]["reason"]), (1, &json!("unmanaged")), "{told:?}");

        // Associated again, it is tried again.
        let path = format!("/api/v1/euiccs/{eid}/eim-configuration");
        let request = world.send(Role::Viewer, "GET", &path, &[], "").await.body;
        let response = STANDARD.encode(devices[0].euicc.add_initial_eim(&request).unwrap());
        let body = json!({ "addInitialEimResponse": response });
        assert_eq!(world.post(&format!("/api/v1/euiccs/{eid}/associations"), body).await.status, 200);
        assert_eq!(act(world, &id, "retryFailed").await.status, 200);
        drive(world).await;
        visit(world, &mut devices).await;
        visit(world, &mut devices).await;
        drive(world).await;
        all_are(world, &id, "added").await;
    });
}

async fn association(world: &World, eid: &str, eim_id: &str) -> Value {
    let all = world.get(&format!("/api/v1/euiccs/{eid}/associations")).await["items"].clone();
    all.as_array().unwrap().iter().find(|it| it["eimId"] == eim_id).cloned().unwrap_or_default()
}

/// To who takes over, the eIM that gives is no surprise: it is shown, and nobody is alarmed. Any other one is one, and so is this
/// one when it comes back.
#[test]
fn the_eim_that_handed_a_device_over_is_not_foreign() {
    each_store(async |world: &mut World| {
        let other = world.another().await;
        let giver = world.eim_id().await;
        let mut devices = fleet(world, 2).await;
        let (eid, second) = (devices[0].eid(), devices[1].eid());
        // Somebody else commands the second one, too.
        let mut third = devices[1].euicc.associations()[0].clone();
        third.eim_id = "2.999.3".to_owned();
        devices[1].euicc.associate(third);
        let id = begin(world, &other, &devices, "afterProof").await;
        drive(world).await;
        visit(world, &mut devices).await;
        drive(world).await;
        take_over(world, &other, &id, &mut devices).await;
        visit(&other, &mut devices).await;
        let known = association(&other, &eid, &giver).await;
        assert_eq!((&known["state"], &known["verified"]), (&json!("associated"), &json!(true)), "{known}");
        assert!(other.events_of(&eid, "foreignEim").await.is_empty());
        assert!(!other.euicc(&eid).await["warnings"].to_string().contains(&giver));
        let told = other.events_of(&second, "foreignEim").await;
        assert_eq!((told.len(), &told[0]["new"], &told[0]["eims"]), (1, &json!(["2.999.3"]), &json!(["2.999.3"])));

        let mut proofs = Vec::new();
        for device in &devices {
            proofs.push(proof(&other, device, &id).await);
        }
        assert_eq!(prove(world, &id, proofs).await.status, 200);
        drive(world).await;
        let before = devices[0].euicc.association(&giver).unwrap().clone();
        visit(world, &mut devices).await;
        drive(world).await;
        all_are(world, &id, "handedOver").await;
        let list = json!({ "eco": [{ "listEim": {} }] });
        other.queue(&eid, list.clone()).await;
        visit(&other, &mut devices).await;
        assert_eq!(association(&other, &eid, &giver).await["state"], "gone");
        devices[0].euicc.associate(before);
        other.queue(&eid, list).await;
        visit(&other, &mut devices).await;
        let told = other.events_of(&eid, "foreignEim").await;
        assert_eq!((told.len(), &told[0]["new"]), (1, &json!([giver])), "it came back behind our back");
        assert_eq!(association(&other, &eid, &giver).await["state"], "foreign");
        assert!(other.euicc(&eid).await["warnings"].to_string().contains(&giver));

        // Told of once more, it is none any more.
        other.advance(TimeDelta::minutes(1)).await;
        let theirs = other.eim_id().await;
        let there = devices[0].euicc.association_mut(&theirs).unwrap();
        let token = there.token.unwrap().value() + 1;
        there.token = Some(AssociationToken::new(token));
        let counter = other.euicc(&eid).await["association"]["counterValue"].clone();
        let body =
            json!({ "associationToken": token, "counterValue": counter, "learnedBy": "handover", "toldBy": giver });
        let reply = other.post(&format!("/api/v1/euiccs/{eid}/associations"), body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        visit(&other, &mut devices).await;
        assert_eq!(association(&other, &eid, &theirs).await["state"], "associated");
        assert_eq!(association(&other, &eid, &giver).await["state"], "associated");
        assert_eq!(other.events_of(&eid, "foreignEim").await.len(), 1);
        assert!(!other.euicc(&eid).await["warnings"].to_string().contains(&giver));
    });
}

/// Who takes over knows the device from the first try. It has another token now, which is told to it, and its old proof proves nothing.
#[test]
fn a_device_that_is_offered_again_needs_its_new_token_and_a_fresh_proof() {
    each_store(async |world: &mut World| {
        let other = world.another().await;
        let (giver, theirs) = (world.eim_id().await, other.eim_id().await);
        let mut devices = fleet(world, 2).await;
        let id = begin(world, &other, &devices, "afterProof").await;
        drive(world).await;
        visit(world, &mut devices).await;
        drive(world).await;
        take_over(world, &other, &id, &mut devices).await;
        let mut stale = Vec::new();
        for device in &devices {
            stale.push(proof(&other, device, &id).await);
            world.queue(&device.eid(), json!({ "eco": [{ "deleteEim": { "eimId": theirs } }] })).await;
        }
        visit(world, &mut devices).await;
        assert_eq!(prove(world, &id, stale.clone()).await.status, 200);
        drive(world).await;
        all_are(world, &id, "failed").await;
        assert_eq!(act(world, &id, "retryFailed").await.status, 200);
        drive(world).await;
        visit(world, &mut devices).await;
        drive(world).await;
        all_are(world, &id, "added").await;

        let reply = prove(world, &id, stale).await;
        assert_eq!(reply.pointers(422), ["/proofs/0", "/proofs/1"], "under the token before: {}", reply.text());
        let offer = admin(world, "GET", &format!("/handovers/{id}/offer"), Value::Null).await;
        let rows: Vec<Value> = offer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let headers = [("content-type", "application/x-ndjson")];
        let reply = other.send(Role::Operator, "POST", "/api/v1/imports/euiccs", &headers, offer.body).await;
        assert!(reply.text().contains("\"failed\":2"), "an import changes nothing that is known: {}", reply.text());
        assert!(reply.text().contains("/association/associationToken"), "and says why: {}", reply.text());

        // The first is told as an association, the second as a change of what is known.
        for (index, row) in rows.iter().enumerate() {
            let (eid, association) = (row["eid"].as_str().unwrap(), &row["association"]);
            assert_ne!(other.euicc(eid).await["association"]["associationToken"], association["associationToken"]);
            if index == 0 {
                let reply = other.post(&format!("/api/v1/euiccs/{eid}/associations"), association.clone()).await;
                assert_eq!(reply.status, 200, "{}", reply.text());
            } else {
                let members =
                    ["counterValue", "associationToken"].map(|name| (name.to_owned(), association[name].clone()));
                other.patch(eid, json!({ "association": Value::Object(members.into_iter().collect()) })).await;
                other.queue(eid, json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
            }
        }
        visit(&other, &mut devices).await;
        let told = association(&other, &devices[0].eid(), &theirs).await;
        assert_eq!((&told["state"], &told["toldBy"]), (&json!("associated"), &json!(giver)), "{told}");
        let mut fresh = Vec::new();
        for device in &devices {
            fresh.push(proof(&other, device, &id).await);
        }
        let reply = prove(world, &id, fresh).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        drive(world).await;
        visit(world, &mut devices).await;
        drive(world).await;
        all_are(world, &id, "handedOver").await;
    });
}
