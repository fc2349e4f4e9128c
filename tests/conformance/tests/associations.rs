//! Which eIMs an eUICC obeys: what is known of them, the ways in, loss and the way back (SGP.32 v1.2 3.5).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use eim_conformance::{Answer, Device, Forge, PollOptions, Role, SentPackage, World, each_store, run_with};
use eim_conformance::{Binding, Mode};
use eim_core::domain::TokenPolicy;
use eim_core::ids::AssociationToken;
use eim_core::pki::Curve;
use eim_simulator::euicc::{MemoryReset, UnsignedError};
use eim_simulator::pki::{FleetPki, seeded_key};
use eim_simulator::tlv::{element, integer};
use serde_json::{Value, json};

const OTHER: &str = "2.999.77";
const OTHER_EIM: i64 = 0;
const RESET: i64 = 4;

async fn associations(world: &World, eid: &str) -> Vec<Value> {
    world.get(&format!("/api/v1/euiccs/{eid}/associations")).await["items"].as_array().unwrap().clone()
}

async fn own(world: &World, eid: &str) -> Value {
    let all = associations(world, eid).await;
    assert_eq!(all[0]["own"], true, "ours comes first: {all:?}");
    all[0].clone()
}

async fn other(world: &World, eid: &str) -> Value {
    let all = associations(world, eid).await;
    all.into_iter().find(|eim| eim["eimId"] == OTHER).unwrap_or(Value::Null)
}

fn other_key() -> Vec<u8> {
    seeded_key(Curve::P256, 5, "other eIM").unwrap().public_key_spki()
}

fn add_other() -> Value {
    json!({ "eco": [{ "addEim": {
        "eimId": OTHER, "eimIdType": 1, "eimFqdn": "a.example", "counterValue": 4, "associationToken": -1,
        "eimSupportedProtocol": ["eimRetrieveHttps"],
        "eimPublicKeyData": { "eimPublicKey": STANDARD.encode(other_key()) },
    } }] })
}

fn list() -> Value {
    json!({ "eco": [{ "listEim": {} }] })
}

/// Puts another eIM on the eUICC, as somebody else would.
fn appear(device: &mut Device, eim_id: &str) {
    let mut association = device.euicc.associations()[0].clone();
    association.eim_id = eim_id.to_owned();
    device.euicc.associate(association);
}

async fn renew(world: &World, eid: &str, body: Value) -> eim_conformance::Reply {
    world.post(&format!("/api/v1/euiccs/{eid}/associations"), body).await
}

fn reset(device: &mut Device) {
    let everything = MemoryReset { eim_config_data: true, ..MemoryReset::default() };
    assert_eq!(device.euicc.memory_reset(&everything), 0);
}

/// Loads the device's fresh configuration and gives what the eUICC answered.
async fn load_again(world: &World, device: &mut Device) -> Vec<u8> {
    let path = format!("/api/v1/euiccs/{}/eim-configuration", device.eid());
    let request = world.send(Role::Viewer, "GET", &path, &[], "").await;
    assert_eq!(request.status, 200, "{}", request.text());
    device.euicc.add_initial_eim(&request.body).unwrap()
}

#[test]
fn the_model_follows_what_verified_results_say_of_other_eims() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let eid = device.eid();
        let mine = own(world, &eid).await;
        assert_eq!(
            (&mine["state"], &mine["verified"], &mine["learnedBy"]),
            (&json!("expected"), &json!(false), &json!("registered")),
            "nothing is proven: {mine}"
        );
        let id = world.queue(&eid, add_other()).await;
        assert_eq!(other(world, &eid).await, Value::Null, "nothing is known before the result");
        device.session().await;
        let mine = own(world, &eid).await;
        assert_eq!(
            (&mine["state"], &mine["verified"], &mine["operation"]),
            (&json!("associated"), &json!(true), &json!(id))
        );
        assert_eq!(world.events_of(&eid, "associationProven").await.len(), 1);
        let token = device.euicc.association(OTHER).unwrap().token.unwrap().value();
        let known = other(world, &eid).await;
        let key = hex::encode_upper(ring::digest::digest(&ring::digest::SHA256, &other_key()).as_ref());
        for (name, value) in [
            ("state", json!("associated")),
            ("verified", json!(true)),
            ("associationToken", json!(token)),
            ("counterValue", json!(4)),
            ("eimIdType", json!("oid")),
            ("eimFqdn", json!("a.example")),
            ("supportedProtocol", json!(["eimRetrieveHttps"])),
            ("keySha256", json!(key)),
            ("learnedBy", json!("addEim")),
            ("operation", json!(id)),
        ] {
            assert_eq!(known[name], value, "{name}: {known}");
        }
        assert_eq!(world.events_of(&eid, "eimAdded").await[0]["associationToken"], token);

        // One that is there is not added again, and nothing is queued.
        let before = world.operations(&eid).await.len();
        let path = format!("/api/v1/euiccs/{eid}/operations");
        assert_eq!(world.post(&path, add_other()).await.pointers(422), ["/eco/0/addEim/eimId"]);
        let mut twice = add_other();
        let again = twice["eco"][0].clone();
        twice["eco"].as_array_mut().unwrap().extend([json!({ "deleteEim": { "eimId": OTHER } }), again.clone(), again]);
        assert_eq!(world.post(&path, twice).await.pointers(422), ["/eco/0/addEim/eimId", "/eco/3/addEim/eimId"]);
        let allocate = json!({ "eco": [{ "updateEim": { "eimId": OTHER, "associationToken": -1 } }] });
        assert_eq!(world.post(&path, allocate).await.pointers(422), ["/eco/0/updateEim/associationToken"]);
        assert_eq!(world.operations(&eid).await.len(), before);

        let id =
            world.queue(&eid, json!({ "eco": [{ "updateEim": { "eimId": OTHER, "eimFqdn": "b.example" } }] })).await;
        device.session().await;
        let known = other(world, &eid).await;
        assert_eq!(
            (&known["eimFqdn"], &known["counterValue"], &known["operation"]),
            (&json!("b.example"), &json!(4), &json!(id))
        );
        // Listed: it was added here, so nobody is alarmed.
        world.queue(&eid, list()).await;
        device.session().await;
        assert_eq!(other(world, &eid).await["state"], "associated");
        assert!(world.events_of(&eid, "foreignEim").await.is_empty());

        world.queue(&eid, json!({ "eco": [{ "deleteEim": { "eimId": OTHER } }] })).await;
        device.session().await;
        assert_eq!(other(world, &eid).await["state"], "gone");
        // It may come again, as a new association.
        let id = world.queue(&eid, add_other()).await;
        device.session().await;
        let known = other(world, &eid).await;
        assert_eq!((&known["state"], &known["operation"]), (&json!("associated"), &json!(id)));
        assert!(known["associationToken"].as_i64().unwrap() > token, "a token is never given twice: {known}");
    });
}

#[test]
fn an_eim_that_appears_or_vanishes_behind_our_back_is_told() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let eid = device.eid();
        let listed = async |world: &World, device: &mut Device| {
            world.queue(&device.eid(), list()).await;
            device.session().await;
        };
        listed(world, &mut device).await;
        appear(&mut device, OTHER);
        listed(world, &mut device).await;
        let known = other(world, &eid).await;
        assert_eq!((&known["state"], &known["learnedBy"]), (&json!("foreign"), &json!("listEim")), "{known}");
        let told = world.events_of(&eid, "foreignEim").await;
        assert_eq!((told.len(), &told[0]["new"]), (1, &json!([OTHER])));
        assert!(world.euicc(&eid).await["warnings"].to_string().contains(OTHER));
        listed(world, &mut device).await;
        assert_eq!(world.events_of(&eid, "foreignEim").await.len(), 1, "told when it is new");

        assert!(device.euicc.dissociate(OTHER));
        listed(world, &mut device).await;
        assert_eq!(other(world, &eid).await["state"], "gone");
        let told = world.events_of(&eid, "eimGone").await;
        assert_eq!((told.len(), &told[0]["eims"]), (1, &json!([OTHER])));
        assert!(!world.euicc(&eid).await["warnings"].to_string().contains(OTHER));
        assert!(world.get(&format!("/api/v1/euiccs/{eid}/associations")).await["eimsListedAt"].is_string());
        let second = world.device(2).await;
        let export = world.send(Role::Viewer, "GET", "/api/v1/exports/associations?format=ndjson", &[], "").await;
        let rows: Vec<Value> = export.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let shown: Vec<_> = rows.iter().map(|row| (&row["eid"], &row["own"], &row["state"])).collect();
        let (eid, second) = (json!(eid), json!(second.eid()));
        assert_eq!(
            shown,
            [
                (&eid, &json!(true), &json!("associated")),
                (&eid, &json!(false), &json!("gone")),
                (&second, &json!(true), &json!("expected"))
            ]
        );
        let csv =
            world.send(Role::Viewer, "GET", "/api/v1/exports/associations?state=registered", &[], "").await.text();
        assert_eq!(csv.lines().count(), 2, "{csv}");
    });
}

#[test]
fn an_odd_name_of_another_eim_is_kept_and_holds_nothing_up() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let eid = device.eid();
        appear(&mut device, "odd\0one");
        for _ in 0..2 {
            let id = world.queue(&eid, list()).await;
            device.session().await;
            assert_eq!(world.operation(&id).await["state"], "succeeded");
        }
        let shown = associations(world, &eid).await;
        assert_eq!((shown.len(), &shown[1]["eimId"]), (2, &json!("odd\u{fffd}one")), "{shown:?}");
        assert_eq!(world.events_of(&eid, "foreignEim").await.len(), 1, "told once");
        let path = format!("/api/v1/euiccs/{eid}/operations");
        let mut odd = add_other();
        odd["eco"][0]["addEim"]["eimId"] = json!("a\0b");
        assert_eq!(world.post(&path, odd).await.pointers(422), ["/eco/0/addEim/eimId"]);
        // What is there can be deleted, whatever it is called.
        let id = world.queue(&eid, json!({ "eco": [{ "deleteEim": { "eimId": "odd\0one" } }] })).await;
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
        assert_eq!(associations(world, &eid).await[1]["state"], "gone");
    });
}

#[test]
fn what_is_not_signed_by_the_euicc_tells_nothing_of_its_eims() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        world.queue(&eid, list()).await;
        let package = SentPackage::read(&device.fetch().await);
        let before = associations(world, &eid).await;
        let nobody = Forge { key: std::sync::Arc::new(seeded_key(Curve::P256, 1, "nobody").unwrap()), token: 0 };
        let listed = element(0xab, &[&element(0xa0, &[&element(0x30, &[&element(0x80, &[OTHER.as_bytes()])])])]);
        assert_eq!(device.deliver(&nobody.answer(&package, 9, &[&listed])).await, Answer::Empty);
        assert_eq!(associations(world, &eid).await, before);
        device.session().await;
        assert_eq!(associations(world, &eid).await.len(), 1, "the honest list has us alone");
    });
}

#[test]
fn deleting_ourselves_is_guarded_and_ends_the_association() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let eid = device.eid();
        let path = format!("/api/v1/euiccs/{eid}/operations");
        let mut body = json!({ "eco": [{ "deleteEim": { "eimId": world.eim_id().await } }] });
        let checks =
            world.send(Role::Operator, "POST", &format!("{path}?dryRun=true"), &[], body.to_string()).await.json();
        assert_eq!(
            (&checks["allowed"], &checks["checks"][0]["name"]),
            (&json!(false), &json!("keepsThisEim")),
            "{checks}"
        );
        let refused = world.post(&path, body.clone()).await.problem(409);
        assert!(refused.to_string().contains("lastEimDeleted"), "it says what would happen: {refused}");
        body["override"] = json!(["keepsThisEim"]);
        assert_eq!(world.send(Role::Operator, "POST", &path, &[], body.to_string()).await.status, 403);
        assert!(world.operations(&eid).await.is_empty());

        world.queue(&eid, add_other()).await;
        device.session().await;
        assert_eq!(world.send(Role::Admin, "POST", &path, &[], body.to_string()).await.status, 202);
        let poll = device.poll().await;
        assert!(matches!(poll.answer, Some(Answer::Acknowledged(_))), "ST-15: the last result is processed");
        assert_eq!(world.euicc(&eid).await["state"], "unmanaged");
        let mine = own(world, &eid).await;
        assert_eq!((&mine["state"], &mine["verified"]), (&json!("gone"), &json!(true)));
        assert!(mine["nextStep"].as_str().unwrap().contains("AddInitialEimRequest"), "{mine}");
        assert_eq!(other(world, &eid).await["state"], "associated", "the other one stays");
        assert!(device.poll().await.is_idle());
    });
}

/// ST-14, drift: a poll that says that others changed something has the eUICC asked, and not without end.
#[test]
fn the_eims_are_asked_for_after_another_eim_or_a_reset_and_once_an_hour_at_most() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let asked = async |world: &World| {
            let all = world.operations(&eid).await;
            all.iter().filter(|operation| operation["request"] == list()).count()
        };
        device.poll_with(&PollOptions::state_change(3)).await;
        device.session().await;
        assert_eq!(asked(world).await, 0, "a local change is none of eIMs");
        appear(&mut device, OTHER);
        device.poll_with(&PollOptions::state_change(OTHER_EIM)).await;
        device.session().await;
        assert_eq!(asked(world).await, 1);
        assert_eq!(world.events_of(&eid, "foreignEim").await.len(), 1);
        for _ in 0..5 {
            device.poll_with(&PollOptions::state_change(RESET)).await;
            device.session().await;
        }
        assert_eq!(asked(world).await, 1, "whoever knows the EID can poll");
        assert!(device.euicc.dissociate(OTHER));
        world.advance(TimeDelta::minutes(61)).await;
        device.poll_with(&PollOptions::state_change(OTHER_EIM)).await;
        device.session().await;
        assert_eq!(asked(world).await, 2);
        assert_eq!(world.events_of(&eid, "eimGone").await.len(), 1);
    });
}

/// ST-10 with the policy `ask`: shown, and adopted by an operator; the operation is sent again with a new counter.
#[test]
fn a_token_that_the_euicc_tells_waits_for_an_operator() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let eim_id = world.eim_id().await;
        assert_eq!(renew(world, &eid, json!({ "adoptReportedToken": true })).await.status, 409, "none was told");
        device.euicc.association_mut(&eim_id).unwrap().token = Some(AssociationToken::new(5));
        let id = world.queue(&eid, device.enable(2, false)).await;
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "delivered");
        let mine = own(world, &eid).await;
        assert_eq!(
            (&mine["reportedToken"], &mine["associationToken"], &mine["tokenPolicy"]),
            (&json!(5), &Value::Null, &json!("ask")),
            "{mine}"
        );
        assert!(mine["nextStep"].as_str().unwrap().contains("adoptReportedToken"), "{mine}");
        let first = world.operation(&id).await["counterValue"].as_i64().unwrap();
        let reply = renew(world, &eid, json!({ "adoptReportedToken": true })).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(
            (&reply.json()["items"][0]["state"], &reply.json()["items"][0]["associationToken"]),
            (&json!("expected"), &json!(5))
        );
        device.session().await;
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("succeeded"), &json!(true)), "{operation}");
        assert!(operation["counterValue"].as_i64().unwrap() > first, "a new counter");
        let mine = own(world, &eid).await;
        assert_eq!(
            (&mine["state"], &mine["learnedBy"], &mine["reportedToken"]),
            (&json!("associated"), &json!("reportedToken"), &Value::Null)
        );
    });
}

/// ST-10 with the policy `adopt`, of the server and of the eUICC.
#[test]
fn a_token_is_adopted_where_the_policy_says_so_and_in_bounds() {
    let modes = [Mode { backend: eim_conformance::Backend::Postgres, broker: false }, Mode::EMBEDDED];
    run_with(
        &modes,
        &[Binding::Asn1],
        |config| config.associations.reported_token = TokenPolicy::Adopt,
        async |world: &mut World| {
            let eim_id = world.eim_id().await;
            let mut device = world.listed_device(1).await;
            let eid = device.eid();
            device.euicc.association_mut(&eim_id).unwrap().token = Some(AssociationToken::new(5));
            let id = world.queue(&eid, device.enable(2, false)).await;
            device.session().await;
            let operation = world.operation(&id).await;
            assert_eq!(
                (&operation["state"], &operation["verified"]),
                (&json!("succeeded"), &json!(true)),
                "{operation}"
            );
            assert_eq!(world.euicc(&eid).await["association"]["associationToken"], 5);
            let renewed = world.events_of(&eid, "associationRenewed").await;
            assert_eq!((renewed.len(), &renewed[0]["operation"]), (1, &json!(id)));

            // An eUICC with a policy of its own is asked about.
            let mut asking = world.listed_device(2).await;
            let policy = json!({ "association": { "tokenPolicy": "ask" } });
            world.patch(&asking.eid(), policy).await;
            asking.euicc.association_mut(&eim_id).unwrap().token = Some(AssociationToken::new(5));
            world.queue(&asking.eid(), asking.enable(2, false)).await;
            asking.session().await;
            assert_eq!(world.euicc(&asking.eid()).await["association"]["associationToken"], Value::Null);
            assert_eq!(own(world, &asking.eid()).await["reportedToken"], 5);

            // Whoever knows the EID tells one token after the other: three a day are followed.
            let mut hounded = world.listed_device(3).await;
            world.queue(&hounded.eid(), hounded.enable(2, false)).await;
            for token in 50..=53 {
                let package = SentPackage::read(&hounded.fetch().await);
                let error = element(
                    0xbf51,
                    &[&element(
                        0xa2,
                        &[
                            &element(0x80, &[package.eim_id.as_bytes()]),
                            &element(0x82, &[&package.transaction]),
                            &integer(0x84, token),
                        ],
                    )],
                );
                assert_eq!(hounded.deliver(&error).await, Answer::Empty);
            }
            let mine = own(world, &hounded.eid()).await;
            assert_eq!((&mine["associationToken"], &mine["reportedToken"]), (&json!(52), &json!(53)), "{mine}");
            assert_eq!(world.events_of(&hounded.eid(), "associationRenewed").await.len(), 3);
            // The real eUICC tells its own in the end, and an operator follows.
            assert_eq!(renew(world, &hounded.eid(), json!({ "associationToken": null })).await.status, 200);
            hounded.session().await;
            assert_eq!(own(world, &hounded.eid()).await["state"], "associated");
        },
    );
}

/// ST-16, ST-17: after a reset every package is refused unsigned; the loss is told, and the device is led back.
#[test]
fn a_reset_is_recognised_and_led_back_to_an_association() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let before = device.euicc.stored_results().len();
        assert_eq!(before, 0, "everything was acknowledged");
        reset(&mut device);
        let id = world.queue(&eid, device.enable(2, false)).await;
        let waiting = world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await;
        device.session().await;
        assert_eq!(world.euicc(&eid).await["state"], "active", "two unsigned errors are not enough");
        world.advance(TimeDelta::hours(2)).await;
        device.session().await;
        let euicc = world.euicc(&eid).await;
        assert_eq!(euicc["state"], "associationLost");
        assert!(euicc["warnings"].to_string().contains("association"), "{euicc}");
        let told = world.events_of(&eid, "associationLost").await;
        assert_eq!((told.len(), &told[0]["cause"], &told[0]["verified"]), (1, &json!("unsignedErrors"), &json!(false)));
        assert_eq!(world.operation(&waiting).await["state"], "queued", "nothing is lost, nothing else is signed");
        let mine = own(world, &eid).await;
        assert_eq!((&mine["state"], &mine["lostCause"]), (&json!("lost"), &json!("unsignedErrors")));
        assert!(mine["nextStep"].as_str().unwrap().contains("eim-configuration"), "{mine}");
        let path = format!("/api/v1/euiccs/{eid}/switches?dryRun=true");
        let guard = world.post(&path, json!({ "to": { "iccid": device.iccid(2) } })).await.json();
        assert_eq!(guard["allowed"], false);
        assert!(guard.to_string().contains("did not know this eIM"), "{guard}");

        let response = load_again(world, &mut device).await;
        let token = device.euicc.associations()[0].token.expect("the eUICC allocated one").value();
        let first = world.operation(&id).await["counterValue"].as_i64().unwrap();
        let reply = renew(world, &eid, json!({ "addInitialEimResponse": hex::encode(&response) })).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let mine = reply.json()["items"][0].clone();
        assert_eq!(
            (&mine["state"], &mine["associationToken"], &mine["counterValue"], &mine["learnedBy"]),
            (&json!("expected"), &json!(token), &json!(0), &json!("addInitialEim")),
            "{mine}"
        );
        device.session().await;
        for id in [&id, &waiting] {
            let operation = world.operation(id).await;
            assert_eq!(
                (&operation["state"], &operation["verified"]),
                (&json!("succeeded"), &json!(true)),
                "{operation}"
            );
        }
        assert!(first > 1, "{first}");
        let mine = own(world, &eid).await;
        assert_eq!((&mine["state"], &mine["verified"]), (&json!("associated"), &json!(true)), "{mine}");
        assert!(!world.euicc(&eid).await["warnings"].to_string().contains("association"));
        assert_eq!(world.euicc(&eid).await["state"], "active");
    });
}

#[test]
fn a_reset_that_the_device_reports_needs_one_unsigned_error() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        reset(&mut device);
        device.poll_with(&PollOptions::state_change(RESET)).await;
        device.session().await;
        let told = world.events_of(&eid, "associationLost").await;
        assert_eq!((told.len(), &told[0]["cause"]), (1, &json!("reset")), "{told:?}");
        // The new association has no token: the counter goes on, so that no old package fits.
        let counter = world.euicc(&eid).await["association"]["counterValue"].as_i64().unwrap();
        let path = format!("/api/v1/euiccs/{eid}/eim-configuration?token=none");
        let request = world.send(Role::Viewer, "GET", &path, &[], "").await.body;
        let response = device.euicc.add_initial_eim(&request).unwrap();
        let path = format!("/api/v1/euiccs/{eid}/associations");
        let der = [("content-type", "application/octet-stream")];
        let reply = world.send(Role::Operator, "POST", &path, &der, response).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["items"][0]["counterValue"], counter);
        device.session().await;
        assert_eq!(own(world, &eid).await["state"], "associated");
        // In force now: it is not taken back by a form that somebody sends again.
        let again = renew(world, &eid, json!({ "associationToken": null })).await;
        assert_eq!(again.problem(409)["type"], "urn:eim:problem:association-in-force");
    });
}

/// ADR 19: nobody signed the errors, so the next signed answer undoes what they made.
#[test]
fn a_loss_that_was_forged_is_undone_by_the_next_signed_answer() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        device.euicc.faults.unsigned_error = Some(UnsignedError::WithoutToken);
        let id = world.queue(&eid, device.enable(2, false)).await;
        for _ in 0..3 {
            device.session().await;
            world.advance(TimeDelta::hours(2)).await;
        }
        assert_eq!(world.euicc(&eid).await["state"], "associationLost");
        device.euicc.faults.unsigned_error = None;
        device.session().await;
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("succeeded"), &json!(true)), "{operation}");
        assert_eq!(world.euicc(&eid).await["state"], "active");
        assert_eq!(world.events_of(&eid, "associationRestored").await.len(), 1);
        // The same where nothing is in flight: one question an hour finds out.
        device.euicc.faults.unsigned_error = Some(UnsignedError::WithoutToken);
        let id = world.queue(&eid, device.enable(1, false)).await;
        for _ in 0..3 {
            device.session().await;
            world.advance(TimeDelta::hours(2)).await;
        }
        assert_eq!(world.euicc(&eid).await["state"], "associationLost");
        assert_eq!(world.post(&format!("/api/v1/operations/{id}/abandon"), Value::Null).await.status, 200);
        device.euicc.faults.unsigned_error = None;
        device.session().await;
        assert_eq!(world.euicc(&eid).await["state"], "active", "the question was answered");
    });
}

/// ST-17: the eUICC numbers its results from the start again; they are other results.
#[test]
fn a_number_that_comes_again_after_a_reset_is_another_result() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let id = world.queue(&eid, device.enable(2, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        let answer = Forge::of(&device).answer(&package, 1, &[&integer(0x83, 0)]);
        assert_eq!(device.deliver(&answer).await, Answer::Acknowledged(vec![1]));
        device.poll().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
        reset(&mut device);
        let response = load_again(world, &mut device).await;
        let reply = renew(world, &eid, json!({ "addInitialEimResponse": STANDARD.encode(response) })).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        device.session().await;
        let id = world.queue(&eid, device.enable(1, false)).await;
        let package = SentPackage::read(&device.fetch().await);
        let forge = Forge { token: world.token(&device), ..Forge::of(&device) };
        assert_eq!(
            device.deliver(&forge.answer(&package, 1, &[&integer(0x83, 0)])).await,
            Answer::Acknowledged(vec![1])
        );
        let operation = world.operation(&id).await;
        assert_eq!(operation["verified"], true, "not taken for the result of that number before: {operation}");
    });
}

#[test]
fn what_the_device_maker_brings_is_checked_and_a_refusal_of_the_euicc_is_named() {
    each_store(async |world: &mut World| {
        let device = world.device(1).await;
        let eid = device.eid();
        let before = own(world, &eid).await;
        for (body, pointer) in [
            (json!({ "addInitialEimResponse": "BF5703810102" }), "/addInitialEimResponse"),
            (json!({ "addInitialEimResponse": "BF57" }), "/addInitialEimResponse"),
            (json!({ "addInitialEimResponse": 7 }), "/addInitialEimResponse"),
            (json!({ "addInitialEimResponse": "BF5705A003840107", "counterValue": -1 }), "/counterValue"),
            (json!({ "addInitialEimResponse": "BF5705A003840107", "toldBy": "x" }), "/toldBy"),
            (json!({ "associationToken": "7" }), "/associationToken"),
            (json!({ "associationToken": 7, "learnedBy": "hearsay" }), "/learnedBy"),
            (json!({ "associationToken": 7, "toldBy": "" }), "/toldBy"),
            (json!({}), ""),
            (json!([]), ""),
        ] {
            let reply = renew(world, &eid, body.clone()).await;
            assert_eq!(reply.pointers(422), [pointer], "{body}");
        }
        assert_eq!(own(world, &eid).await, before);
        let path = "/api/v1/euiccs/89049032000000000000000000009999/associations";
        assert_eq!(world.post(path, json!({ "associationToken": 7 })).await.status, 404);
        assert_eq!(world.send(Role::Viewer, "GET", path, &[], "").await.status, 404);
    });
}

/// What the eUICC refused is kept with device, time and the name of the code, and nothing else changes.
#[test]
fn a_refused_add_initial_eim_is_recorded_and_changes_nothing() {
    each_store(async |world: &mut World| {
        let device = world.device(1).await;
        let eid = device.eid();
        let before = (own(world, &eid).await, world.operations(&eid).await);
        // BF57 { 81 01 02 }: associatedEimAlreadyExists; BF57 { 81 01 63 }: 99.
        let refused = json!({ "addInitialEimResponse": "BF5703810102" });
        let reply = renew(world, &eid, refused.clone()).await;
        assert_eq!(reply.pointers(422), ["/addInitialEimResponse"]);
        assert!(reply.text().contains("associatedEimAlreadyExists (2)"), "{}", reply.text());
        let path = format!("/api/v1/euiccs/{eid}/associations");
        let octets = hex::decode("BF5703810163").unwrap();
        let media_type = [("content-type", "application/octet-stream")];
        let reply = world.send(Role::Operator, "POST", &path, &media_type, octets).await;
        assert_eq!(reply.pointers(422), ["/addInitialEimResponse"]);
        let told = world.events_of(&eid, "addInitialEimRefused").await;
        let shown: Vec<(&Value, &Value)> = told.iter().map(|event| (&event["code"], &event["error"])).collect();
        let unknown = json!("a code that is not in the specification");
        assert_eq!(shown, [(&json!(2), &json!("associatedEimAlreadyExists")), (&json!(99), &unknown)]);
        assert!(told.iter().all(|event| event["at"].is_string()), "{told:?}");
        // The same request again is one refusal, and the same answer.
        for _ in 0..2 {
            let headers = [("idempotency-key", "once")];
            let reply = world.send(Role::Operator, "POST", &path, &headers, refused.to_string()).await;
            assert_eq!(reply.pointers(422), ["/addInitialEimResponse"]);
        }
        assert_eq!(world.events_of(&eid, "addInitialEimRefused").await.len(), 3);
        assert_eq!((own(world, &eid).await, world.operations(&eid).await), before);
        // Nothing is noted of a device that nobody knows, nor of what is no response.
        let path = "/api/v1/euiccs/89049032000000000000000000009999/associations";
        assert_eq!(world.post(path, refused).await.status, 404);
    });
}

/// The text of the QR code in a PNG image.
fn qr_text(image: &[u8]) -> String {
    let mut reader = png::Decoder::new(std::io::Cursor::new(image)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Grayscale, png::BitDepth::Eight));
    let (width, height) = (info.width as usize, info.height as usize);
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| pixels[y * width + x]);
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1, "one QR code");
    grids[0].decode().unwrap().1
}

#[test]
fn the_configuration_is_had_in_every_notation() {
    each_store(async |world: &mut World| {
        let eim = world.get("/api/v1/eim").await;
        let get = async |query: &str| {
            let reply = world.send(Role::Viewer, "GET", &format!("/api/v1/eim/configuration{query}"), &[], "").await;
            assert_eq!(reply.status, 200, "{query}: {}", reply.text());
            reply
        };
        let der = get("").await;
        assert_eq!(STANDARD.encode(&der.body), eim["addInitialEimRequest"]);
        assert_eq!(der.header("content-type"), Some("application/octet-stream"));
        assert_eq!(
            STANDARD.encode(&get("?object=eimConfigurationData").await.body),
            eim["eimConfigurationData"].as_str().unwrap()
        );
        assert_eq!(get("?format=hex").await.text().trim(), hex::encode_upper(&der.body));
        assert_eq!(get("?format=base64").await.text().trim(), eim["addInitialEimRequest"]);
        let png = get("?format=png").await;
        assert_eq!(png.header("content-type"), Some("image/png"));
        assert_eq!(qr_text(&png.body), hex::encode_upper(&der.body), "read by another's reader");
        for query in ["?format=png&token=allocate", "?format=png&object=eimConfigurationData"] {
            let octets = get(&query.replace("png", "der")).await.body;
            assert_eq!(qr_text(&get(query).await.body), hex::encode_upper(octets), "{query}");
        }
        let c = get("?format=c&object=eimConfigurationData").await.text();
        let octets: Vec<u8> =
            c.split("0x").skip(1).map(|rest| u8::from_str_radix(&rest[..2], 16).expect("an octet")).collect();
        assert_eq!(STANDARD.encode(octets), eim["eimConfigurationData"].as_str().unwrap());
        // With a token asked for, one octet of 84 01 FF more than without.
        let allocating = get("?token=allocate").await;
        assert!(hex::encode(&allocating.body).contains("8401ff"), "{}", hex::encode(&allocating.body));
        for query in ["?format=jpeg", "?object=x", "?token=some", "?tokens=none"] {
            let reply = world.send(Role::Viewer, "GET", &format!("/api/v1/eim/configuration{query}"), &[], "").await;
            assert_eq!(reply.status, 400, "{query}: {}", reply.text());
        }
    });
}

/// The third way in: another eIM has added us and told the token. Its word is no proof.
#[test]
fn a_device_that_another_eim_hands_over_counts_when_it_has_answered() {
    each_store(async |world: &mut World| {
        let eim = world.get("/api/v1/eim").await;
        let mut device = world.device_of(world.pki.euicc(1).unwrap()).await;
        let eim_id = eim["eimId"].as_str().unwrap().to_owned();
        device.euicc.association_mut(&eim_id).unwrap().token = Some(AssociationToken::new(9));
        appear(&mut device, OTHER);
        let mut body = world.registration(&device, true);
        body["association"]["learnedBy"] = json!("handover");
        body["association"]["toldBy"] = json!(OTHER);
        let eid = device.eid();
        assert_eq!(world.post("/api/v1/euiccs", body).await.status, 201);
        let mine = own(world, &eid).await;
        assert_eq!(
            (&mine["state"], &mine["learnedBy"], &mine["toldBy"]),
            (&json!("expected"), &json!("handover"), &json!(OTHER)),
            "{mine}"
        );
        device.session().await;
        let mine = own(world, &eid).await;
        assert_eq!(
            (&mine["state"], &mine["verified"]),
            (&json!("associated"), &json!(true)),
            "asked at its first poll"
        );
        let giver = other(world, &eid).await;
        assert_eq!(
            (&giver["state"], &giver["verified"]),
            (&json!("associated"), &json!(true)),
            "and who else may: {giver}"
        );
        assert!(world.events_of(&eid, "foreignEim").await.is_empty(), "that one was told of");

        // A token that was told wrong: refused by the eUICC, never associated.
        let mut wrong = world.device_of(world.pki.euicc(2).unwrap()).await;
        wrong.euicc.association_mut(&eim_id).unwrap().token = Some(AssociationToken::new(9));
        let mut body = world.registration(&wrong, true);
        body["association"] = json!({ "associationToken": 8, "toldBy": OTHER });
        assert_eq!(world.post("/api/v1/euiccs", body).await.status, 201);
        wrong.session().await;
        let mine = own(world, &wrong.eid()).await;
        assert_eq!((&mine["state"], &mine["reportedToken"]), (&json!("expected"), &json!(9)), "{mine}");
        let bad = json!({ "eid": world.pki.eid(3).to_string(), "association": { "learnedBy": "registered", "toldBy": OTHER } });
        assert_eq!(world.post("/api/v1/euiccs", bad).await.pointers(422), ["/association/toldBy"]);
    });
}

/// The first way in: the file of the manufacturer. A bad line costs that line alone.
#[test]
fn a_manufacturing_file_is_taken_line_by_line() {
    each_store(async |world: &mut World| {
        let unknown = FleetPki::generate(77).unwrap();
        let base64 = |octets: &[u8]| STANDARD.encode(octets);
        let line = |pki: &FleetPki, index: u32| {
            let euicc = pki.euicc(index).unwrap();
            format!("{},3,{},{}\r\n", euicc.eid, base64(&euicc.certificate), base64(&euicc.eum_certificate))
        };
        let mut csv = "eid,counterValue,euiccCertificate,eumCertificate\r\n".to_owned();
        csv += &line(&world.pki, 1);
        // Its CI is not trusted here: kept.
        csv += &line(&unknown, 2);
        // The certificate of another eUICC.
        csv += &line(&unknown, 3).replace(&unknown.eid(3).to_string(), &unknown.eid(4).to_string());
        // Issued by another EUM.
        csv += &line(&unknown, 5).replace(&base64(unknown.eum_certificate()), &base64(world.pki.eum_certificate()));
        csv += "not an EID,3,,\r\n";
        csv += &format!("{},8388608,,\r\n", unknown.eid(6));
        csv += &format!("{},7,,\r\n", unknown.eid(7));
        let send = async |body: &str, media_type: &str| {
            let headers = [("content-type", media_type)];
            let reply = world.send(Role::Operator, "POST", "/api/v1/imports/manufacturing", &headers, body).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let lines: Vec<Value> = reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            lines
        };
        let report = send(&csv, "text/csv").await;
        let outcomes: Vec<&str> = report.iter().filter_map(|line| line["outcome"].as_str()).collect();
        assert_eq!(outcomes, ["created", "created", "failed", "failed", "failed", "failed", "created"], "{report:?}");
        let pointers: Vec<&str> =
            report.iter().filter_map(|line| line.pointer("/errors/0/pointer")?.as_str()).collect();
        assert_eq!(pointers, ["/euiccCertificate", "/euiccCertificate", "/eid", "/counterValue"], "{report:?}");
        assert_eq!(report[7]["summary"]["failed"], 4);
        for (eid, trusted) in [(world.pki.eid(1), true), (unknown.eid(2), false)] {
            let euicc = world.euicc(&eid.to_string()).await;
            assert_eq!(euicc["certificatesTrusted"], trusted, "{euicc}");
            assert!(euicc["euiccCertificate"].is_string(), "kept: {euicc}");
            let mine = own(world, &eid.to_string()).await;
            assert_eq!(
                (&mine["state"], &mine["learnedBy"], &mine["counterValue"]),
                (&json!("expected"), &json!("manufacturing"), &json!(3)),
                "{mine}"
            );
        }
        for missing in [3, 4, 5, 6] {
            let path = format!("/api/v1/euiccs/{}", unknown.eid(missing));
            assert_eq!(world.send(Role::Viewer, "GET", &path, &[], "").await.status, 404, "{missing}");
        }
        // The same again is `exists`; as NDJSON, too.
        let again = send(&csv, "text/csv").await;
        assert_eq!(again[0]["outcome"], "exists", "{again:?}");
        let ndjson = json!({ "eid": unknown.eid(8).to_string(), "association": { "associationToken": 4 } }).to_string();
        assert_eq!(send(&ndjson, "application/x-ndjson").await[0]["outcome"], "created");
        assert_eq!(own(world, &unknown.eid(8).to_string()).await["associationToken"], 4);

        // Nothing is believed by certificates that do not chain.
        let mut stranger = world.device_of(unknown.euicc(2).unwrap()).await;
        let id = world.queue(&stranger.eid(), list()).await;
        stranger.session().await;
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("delivered"), &Value::Null), "{operation}");
        assert_eq!(own(world, &stranger.eid()).await["state"], "expected");
    });
}
