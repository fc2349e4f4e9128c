//! Results that come late, keys and tokens that somebody says, rotations that devices hold up: what is believed of which package
//! (SGP.32 v1.2 3.3.1, 3.5.1.3).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

mod key_support;

use chrono::TimeDelta;
use eim_conformance::{Answer, Forge, Role, SentPackage, World, each_store};
use eim_core::EimIdType;
use eim_core::ids::AssociationToken;
use eim_core::pki::Curve;
use eim_simulator::euicc::UnsignedError;
use eim_simulator::pki::seeded_key;
use eim_simulator::tlv::integer;
use key_support::{
    abandon, act, change_key, forget_results, id_of, listed, lose_for_good, pem, rotate, rotation, settle, signing_key,
    works,
};
use serde_json::{Value, json};

async fn counter(world: &World, eid: &str) -> i64 {
    world.euicc(eid).await["association"]["counterValue"].as_i64().unwrap()
}

/// Whether the eIM waits for the profile list.
async fn asks_for_the_list(world: &World, eid: &str) -> bool {
    let asks = |operation: &Value| operation["origin"] == "eim" && operation["state"] == "queued";
    world.operations(eid).await.iter().any(asks)
}

/// The counter begins anew with the key, so it comes to the same number a second time.
#[test]
fn a_result_from_before_the_key_changed_is_kept_as_a_late_one_though_its_counter_fits_again() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let before = world.queue(&eid, device.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        let result = device.euicc.load_euicc_package(&package.octets).unwrap();
        forget_results(&mut device);
        assert_eq!(abandon(world, &before).await.status, 200);
        device.session().await;
        let new = change_key(world, "next.pem", true).await;
        world.reconnect(&mut device);
        rotate(world, json!({ "filter": { "eids": [eid] } })).await;
        device.session().await;
        assert_eq!(signing_key(world, &eid).await, id_of(&new));
        let other = world.queue(&eid, device.enable(3, false)).await;
        device.session().await;
        assert_eq!(world.operation(&other).await["state"], "succeeded");
        while counter(world, &eid).await < package.counter {
            works(world, &mut device).await;
        }
        assert_eq!(counter(world, &eid).await, package.counter, "it fits again");
        assert!(matches!(device.deliver(&result).await, Answer::Acknowledged(_)));
        let late = world.operation(&before).await;
        assert_eq!((&late["state"], &late["lateResult"]["verified"]), (&json!("cancelled"), &json!(true)), "{late}");
        assert_eq!(world.enabled(&eid).await, [device.iccid(3)], "what it says was true before the key changed");
        assert!(asks_for_the_list(world, &eid).await, "the eUICC is asked");
        device.session().await;
        assert_eq!(world.enabled(&eid).await, [device.iccid(3)]);
    });
}

/// This eIM was deleted and added again by somebody; the answer to its own deleteEim comes then.
#[test]
fn a_late_deletion_of_ourselves_does_not_end_the_association_that_came_after_it() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let (eid, eim_id) = (device.eid(), world.eim_id().await);
        for _ in 0..6 {
            works(world, &mut device).await;
        }
        let delete = world.queue_anyway(&eid, json!({ "eco": [{ "deleteEim": { "eimId": eim_id } }] })).await;
        let package = SentPackage::read(&device.fetch().await);
        let result = device.euicc.load_euicc_package(&package.octets).unwrap();
        forget_results(&mut device);
        assert_eq!(abandon(world, &delete).await.status, 200);
        let path = format!("/api/v1/euiccs/{eid}/eim-configuration");
        let request = world.send(Role::Viewer, "GET", &path, &[], "").await;
        let answer = device.euicc.add_initial_eim(&request.body).unwrap();
        let told = json!({ "addInitialEimResponse": hex::encode(answer) });
        let reply = world.post(&format!("/api/v1/euiccs/{eid}/associations"), told).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        device.session().await;
        while counter(world, &eid).await < package.counter {
            works(world, &mut device).await;
        }
        assert_eq!(counter(world, &eid).await, package.counter, "it fits again");
        device.deliver(&result).await;
        assert_eq!(world.euicc(&eid).await["state"], "active");
        assert_eq!(world.operation(&delete).await["lateResult"]["verified"], true);
        works(world, &mut device).await;
    });
}

/// The key went there and elsewhere, and is on its way there again when the answer to the first change comes.
#[test]
fn a_late_answer_to_an_earlier_change_of_the_key_does_not_answer_a_later_one() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let old = signing_key(world, &eid).await;
        let new = id_of(&change_key(world, "next.pem", true).await);
        world.reconnect(&mut device);
        let id = rotate(world, json!({ "filter": { "all": true } })).await;
        let package = SentPackage::read(&device.fetch().await);
        let result = device.euicc.load_euicc_package(&package.octets).unwrap();
        forget_results(&mut device);
        let update = listed(world, &id, "running").await[0]["operation"].as_str().unwrap().to_owned();
        assert_eq!(abandon(world, &update).await.status, 200);
        settle(world, &mut device).await;
        assert_eq!(signing_key(world, &eid).await, new, "found out by a question");
        key_support::is_left_out(world, &mut device, &old).await;
        let other = key_support::add_key(world, "other.pem").await;
        world.reconnect(&mut device);
        let back = rotate(world, json!({ "filter": { "all": true }, "to": other })).await;
        settle(world, &mut device).await;
        assert_eq!(rotation(world, &back).await["state"], "completed");
        assert_eq!(signing_key(world, &eid).await, other);
        let third = rotate(world, json!({ "filter": { "all": true }, "to": new })).await;
        device.fetch().await;
        assert_eq!(world.euicc(&eid).await["association"]["nextSigningKey"], json!(new));
        device.deliver(&result).await;
        let euicc = world.euicc(&eid).await;
        assert_eq!(euicc["association"]["signingKey"], json!(other), "it has not answered this one: {euicc}");
        assert_eq!(world.operation(&update).await["lateResult"]["verified"], true);
        settle(world, &mut device).await;
        assert_eq!(signing_key(world, &eid).await, new);
        assert_eq!(rotation(world, &third).await["devices"]["rotated"], 1);
        works(world, &mut device).await;
    });
}

/// An eUICC that leaves eimTransactionId out is known by the counter alone, and that fits two packages.
#[test]
fn a_result_without_a_transaction_is_nobodys_where_the_counter_fits_two_packages() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let (eid, eim_id) = (device.eid(), world.eim_id().await);
        let before = world.queue(&eid, device.enable(2, false)).await;
        let first = SentPackage::read(&device.fetch().await);
        assert_eq!(abandon(world, &before).await.status, 200);
        device.session().await;
        change_key(world, "next.pem", true).await;
        world.reconnect(&mut device);
        rotate(world, json!({ "filter": { "all": true } })).await;
        device.session().await;
        while counter(world, &eid).await < first.counter - 1 {
            works(world, &mut device).await;
        }
        let now = world.queue(&eid, device.enable(3, false)).await;
        let second = SentPackage::read(&device.fetch().await);
        assert_eq!(second.counter, first.counter, "two packages with one counter, under two keys");
        let forge = Forge::of(&device);
        device.deliver(&forge.result(&eim_id, first.counter, None, 900, &[&integer(0x83, 0)])).await;
        assert_eq!(world.operation(&now).await["state"], "delivered");
        assert_eq!(world.events_of(&eid, "orphanResult").await.len(), 1);
        device.session().await;
        assert_eq!(world.operation(&now).await["state"], "succeeded", "by its own answer");
        // Where all others are answered, the counter is enough.
        let last = world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await;
        let third = SentPackage::read(&device.fetch().await);
        let empty = [0xa6, 0x00];
        device.deliver(&forge.result(&eim_id, third.counter, None, 901, &[&empty])).await;
        assert_eq!(world.operation(&last).await["state"], "succeeded");
    });
}

/// The device may have executed what was signed for the association as it was known.
#[test]
fn a_package_in_flight_is_not_left_behind_by_a_patch_of_key_or_token() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let (eid, eim_id) = (device.eid(), world.eim_id().await);
        let old = signing_key(world, &eid).await;
        let new = id_of(&change_key(world, "next.pem", true).await);
        world.reconnect(&mut device);
        let path = format!("/api/v1/euiccs/{eid}");
        let patch = async |members: Value| {
            let body = json!({ "association": members }).to_string();
            world.send(Role::Operator, "PATCH", &path, &[], body).await
        };
        let id = world.queue(&eid, device.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        let before = world.euicc(&eid).await["association"].clone();
        for members in [json!({ "associationToken": 5 }), json!({ "signingKey": new })] {
            let problem = patch(members).await.problem(409);
            assert_eq!(problem["type"], "urn:eim:problem:package-in-flight");
            assert!(problem["detail"].as_str().unwrap().contains(&id), "it names what to abandon: {problem}");
        }
        assert_eq!(world.euicc(&eid).await["association"], before, "nothing has changed");
        assert_eq!(patch(json!({ "signingKey": old })).await.status, 200, "that is no change");
        // A counter that goes up is of the same association: the same octets stay good.
        assert_eq!(patch(json!({ "counterValue": package.counter + 10 })).await.status, 200);
        assert_eq!(SentPackage::read(&device.fetch().await).octets, package.octets);
        let result = device.euicc.load_euicc_package(&package.octets).unwrap();
        device.deliver(&result).await;
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");

        let id = world.queue(&eid, device.enable(3, false)).await;
        device.fetch().await;
        assert_eq!(abandon(world, &id).await.status, 200);
        // The list that is asked for in its place is a question of ours and changes nothing: it is made again.
        let question = SentPackage::read(&device.fetch().await);
        assert!(question.is_own_list());
        device.euicc.association_mut(&eim_id).unwrap().token = Some(AssociationToken::new(5));
        assert_eq!(patch(json!({ "associationToken": 5 })).await.status, 200);
        let again = SentPackage::read(&device.fetch().await);
        assert!(again.is_own_list() && again.counter > question.counter, "{} {}", again.counter, question.counter);
        assert_eq!(world.events_of(&eid, "packageWithdrawn").await.len(), 1);
        device.session().await;
        works(world, &mut device).await;
    });
}

/// The first question is refused by nobody's word, and the key of the other one has no counter left.
#[test]
fn at_the_last_counter_the_question_that_can_be_signed_is_asked() {
    each_store(async |world: &mut World| {
        let eim_id = world.eim_id().await;
        let mut device = world.device_of(world.pki.euicc(1).unwrap()).await;
        device.euicc.association_mut(&eim_id).unwrap().counter = 8_388_606;
        world.register(&device, true).await;
        let eid = device.eid();
        let new = key_support::add_key(world, "next.pem").await;
        world.reconnect(&mut device);
        let id = rotate(world, json!({ "filter": { "all": true } })).await;
        lose_for_good(&mut device).await;
        assert_eq!(counter(world, &eid).await, 8_388_607, "the updateEim has taken the last one");
        device.euicc.faults.unsigned_error = Some(UnsignedError::WithoutToken);
        let refused = |operation: &Value| operation["purpose"] == "probeNextKey" && operation["state"] == "failed";
        for _ in 0..12 {
            device.poll().await;
            world.advance(TimeDelta::minutes(2)).await;
            if world.operations(&eid).await.iter().any(refused) {
                break;
            }
        }
        assert!(world.operations(&eid).await.iter().any(refused), "{:?}", world.operations(&eid).await);
        device.euicc.faults.unsigned_error = None;
        settle(world, &mut device).await;
        assert_eq!(signing_key(world, &eid).await, new, "{:?}", world.operations(&eid).await);
        assert_eq!(rotation(world, &id).await["devices"]["rotated"], 1);
        works(world, &mut device).await;
    });
}

/// One was left before the rotation, one leaves in its middle, one is lost with the package, and one rotates.
#[test]
fn devices_that_can_not_be_reached_are_named_and_do_not_hold_up_the_next_rotation() {
    each_store(async |world: &mut World| {
        let own = world.eim_id().await;
        let delete = json!({ "eco": [{ "deleteEim": { "eimId": own } }] });
        let mut devices = vec![];
        for number in 1..=4 {
            devices.push(world.listed_device(number).await);
        }
        let eids: Vec<String> = devices.iter().map(eim_conformance::Device::eid).collect();
        world.queue_anyway(&eids[0], delete.clone()).await;
        devices[0].session().await;
        assert_eq!(world.euicc(&eids[0]).await["state"], "unmanaged");
        let old = signing_key(world, &eids[3]).await;
        let new = id_of(&change_key(world, "next.pem", true).await);
        devices.iter_mut().for_each(|device| world.reconnect(device));

        let nobody = json!({ "filter": { "eids": [eids[0]] } }).to_string();
        let reply = world.send(Role::Admin, "POST", "/api/v1/key-rotations", &[], nobody).await;
        assert_eq!(reply.pointers(422), ["/filter"]);
        assert!(reply.text().contains("unmanaged"), "{}", reply.text());

        world.queue_anyway(&eids[1], delete).await;
        let body = json!({ "filter": { "all": true } }).to_string();
        let begun = world.send(Role::Admin, "POST", "/api/v1/key-rotations", &[], body.clone()).await.json();
        let left_out = &begun["notReachable"][0];
        assert_eq!((&left_out["eid"], &begun["devices"]["notReachable"]), (&json!(eids[0]), &json!(1)), "{begun}");
        assert!(left_out["reason"].as_str().unwrap().contains("unmanaged"), "{begun}");
        let id = begun["id"].as_str().unwrap().to_owned();
        world.advance(TimeDelta::seconds(1)).await;
        world.advance(TimeDelta::seconds(1)).await;
        devices[1].session().await;
        devices[2].fetch().await;
        devices[3].session().await;
        world.advance(TimeDelta::seconds(20)).await;
        world.advance(TimeDelta::seconds(20)).await;
        let shown = rotation(world, &id).await;
        assert_eq!(shown["devices"]["notReachable"], 2, "{shown}");
        assert_eq!((&shown["state"], &shown["devices"]["rotated"]), (&json!("running"), &json!(1)), "{shown}");
        let lagging = listed(world, &id, "running").await;
        assert_eq!((lagging.len(), &lagging[0]["eid"]), (1, &json!(eids[2])));
        assert!(lagging[0]["reason"].as_str().unwrap().contains("has not answered"), "{lagging:?}");
        let open = world.send(Role::Admin, "POST", "/api/v1/key-rotations", &[], body.clone()).await;
        assert_eq!(open.problem(409)["type"], "urn:eim:problem:key-rotation-open");

        assert_eq!(act(world, &id, "cancel").await.json()["state"], "cancelling");
        world.advance(TimeDelta::hours(48)).await;
        assert_eq!(rotation(world, &id).await["state"], "cancelling", "what was delivered is waited for");
        let path = format!("/api/v1/key-rotations/{id}/close");
        assert_eq!(world.send(Role::Operator, "POST", &path, &[], "").await.status, 403);
        let keyed = [("idempotency-key", "close")];
        assert_eq!(world.send(Role::Admin, "POST", &path, &keyed, "").await.json()["state"], "closing");
        world.advance(TimeDelta::seconds(1)).await;
        let closed = world.send(Role::Admin, "POST", &path, &keyed, "").await.json();
        assert_eq!((&closed["state"], &closed["devices"]["rotated"]), (&json!("closed"), &json!(1)), "{closed}");
        assert_eq!(closed["devices"]["notReachable"], 3, "{closed}");
        let named = listed(world, &id, "notReachable").await;
        assert!(named.iter().all(|device| device["reason"].is_string()), "{named:?}");
        assert_eq!(signing_key(world, &eids[2]).await, old, "nobody pretends that it was rotated");
        assert_eq!(act(world, &id, "close").await.problem(409)["type"], "urn:eim:problem:key-rotation-state");

        let next = rotate(world, json!({ "filter": { "all": true } })).await;
        settle(world, &mut devices[2]).await;
        assert_eq!(signing_key(world, &eids[2]).await, new, "it comes back, and says so itself");
        world.advance(TimeDelta::seconds(20)).await;
        let shown = rotation(world, &next).await;
        assert_eq!((&shown["state"], &shown["devices"]["rotated"]), (&json!("completed"), &json!(1)), "{shown}");
        works(world, &mut devices[2]).await;
        works(world, &mut devices[3]).await;
    });
}

/// What was not begun, and what was begun and not delivered, never goes out after the end.
#[test]
fn a_rotation_that_is_closed_withdraws_what_was_not_delivered() {
    each_store(async |world: &mut World| {
        let mut devices = vec![world.listed_device(1).await, world.listed_device(2).await];
        let old = signing_key(world, &devices[0].eid()).await;
        change_key(world, "next.pem", true).await;
        let id = rotate(world, json!({ "filter": { "all": true }, "ratePerMinute": 1 })).await;
        let waits = listed(world, &id, "running").await;
        assert!(waits[0]["reason"].as_str().unwrap().contains("has not polled"), "{waits:?}");
        let waits = listed(world, &id, "pending").await;
        assert!(waits[0]["reason"].as_str().unwrap().contains("turn"), "{waits:?}");
        assert_eq!(act(world, &id, "close").await.json()["state"], "closing");
        world.advance(TimeDelta::seconds(1)).await;
        let closed = rotation(world, &id).await;
        assert_eq!((&closed["state"], &closed["devices"]["cancelled"]), (&json!("closed"), &json!(2)), "{closed}");
        for device in &mut devices {
            world.reconnect(device);
            device.session().await;
            assert_eq!(signing_key(world, &device.eid()).await, old);
            works(world, device).await;
        }
    });
}

/// Whoever is away is told apart from whoever polls and has something else to do first.
#[test]
fn what_a_straggler_waits_for_is_one_cause() {
    each_store(async |world: &mut World| {
        let mut devices = [world.listed_device(1).await, world.listed_device(2).await, world.listed_device(3).await];
        let eids: Vec<String> = devices.iter().map(eim_conformance::Device::eid).collect();
        change_key(world, "next.pem", true).await;
        devices.iter_mut().for_each(|device| world.reconnect(device));
        // The second one took a package and its result is not there yet.
        let busy = world.queue(&eids[1], json!({ "psmo": [{ "getRAT": {} }] })).await;
        devices[1].fetch().await;
        let id = rotate(world, json!({ "filter": { "all": true } })).await;
        world.advance(TimeDelta::seconds(5)).await;
        devices[1].fetch().await;
        let reason = async |world: &World, eid: &str| {
            let waits = listed(world, &id, "running").await;
            let device = waits.into_iter().find(|device| device["eid"] == eid).expect("it is running");
            device["reason"].as_str().unwrap().to_owned()
        };
        assert_eq!(reason(world, &eids[0]).await, "It has not polled since its turn came.");
        let under_way = format!("It has polled, and the package of the operation {busy} is under way.");
        assert_eq!(reason(world, &eids[1]).await, under_way);
        // The third one polls, and gets what was asked for before.
        assert_eq!(reason(world, &eids[2]).await, "It has not polled since its turn came.");
        devices[2].fetch().await;
        assert!(reason(world, &eids[2]).await.contains("has not answered"));
        settle(world, &mut devices[1]).await;
        assert_eq!(world.operation(&busy).await["state"], "succeeded");
    });
}

/// Every use of a key is in the audit log, also that before anything goes to a device.
#[test]
fn the_proof_of_a_key_before_a_rotation_is_in_the_audit_log() {
    each_store(async |world: &mut World| {
        let device = world.device(1).await;
        let new = id_of(&change_key(world, "next.pem", true).await);
        rotate(world, json!({ "filter": { "eids": [device.eid()] } })).await;
        let store = world.server().eim.store().clone();
        let linked = async || {
            eim_core::jobs::seal_audit(&world.server().eim).await.unwrap();
            store.audit_waiting().await.unwrap().records == 0
        };
        world.until("every record has its place", linked).await;
        let log = world.send(Role::Admin, "GET", "/api/v1/audit?type=keyUsed&limit=100", &[], "").await.json();
        let of_rotation = |record: &&Value| record["details"]["purpose"] == "keyRotationCheck";
        let records: Vec<&Value> = log["items"].as_array().unwrap().iter().filter(of_rotation).collect();
        assert_eq!(records.len(), 1, "{log}");
        let expected = eim_core::domain::statement::digest(b"eim signing key check");
        assert_eq!((&records[0]["details"]["key"], &records[0]["details"]["digest"]), (&json!(new), &json!(expected)));
    });
}

/// Rows of earlier versions name no eimId, and meant the first one of then.
#[test]
fn devices_keep_their_eim_when_the_identities_change_places() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let (eid, eim_id) = (device.eid(), world.eim_id().await);
        works(world, &mut device).await;
        world.sql("UPDATE euiccs SET eim_id = NULL").await;
        let other = seeded_key(Curve::P256, 17, "other").unwrap();
        let (path, old) = (world.file("other.pem", &pem(&other)), world.data_dir().join("signing-key.pem"));
        let identities = format!(
            "[[identity]]\nid = '{eim_id}'\nid_type = 'oid'\nfqdn = 'localhost'\nsigning_key = '{}'\n",
            old.display()
        );
        let file = world.file("identities.toml", &identities);
        world
            .restart_with(|config| {
                config.eim.id = Some("other.example".to_owned());
                config.eim.id_type = EimIdType::Fqdn;
                config.eim.signing_key = Some(path);
                config.eim.identities = Some(file);
            })
            .await;
        world.reconnect(&mut device);
        assert_eq!(world.eim_id().await, "other.example");
        assert_eq!(world.euicc(&eid).await["association"]["eimId"], json!(eim_id), "the one that it knows");
        works(world, &mut device).await;
        // A rotation of the other one does not mean it.
        let body = json!({ "filter": { "all": true } }).to_string();
        let reply = world.send(Role::Admin, "POST", "/api/v1/key-rotations", &[], body).await;
        assert_eq!(reply.pointers(422), ["/filter"], "{}", reply.text());
        assert!(reply.text().contains("other.example"), "{}", reply.text());
    });
}
