//! Switches through the front door: the guard before, the proof after, every outcome, on both databases and bindings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use chrono::TimeDelta;
use eim_conformance::{Device, Role, World, code_of, each_store, matrix, modes, new_iccid, order};
use eim_simulator::euicc::{DeviceDescription, Euicc, Profile, ProfileClass};
use eim_simulator::ipa::{DownloadMode, PollOptions};
use eim_simulator::rsp::{Refuse, RspFunction, SmdpFaults};
use eim_simulator::tlv::element;
use serde_json::{Value, json};

const FALLBACK_CAUSE: i64 = 1;

/// A device whose list is known, and that polls once an hour.
async fn hourly(world: &World, index: u32) -> Device {
    let mut device = world.listed_device(index).await;
    for _ in 0..2 {
        world.advance(TimeDelta::hours(1)).await;
        device.session().await;
    }
    world.advance(TimeDelta::minutes(1)).await;
    device
}

async fn ask(world: &World, eid: &str, body: Value) -> Value {
    let reply = world.post(&format!("/api/v1/euiccs/{eid}/switches"), body).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let switch = reply.json();
    assert_eq!(reply.header("location"), Some(format!("/api/v1/switches/{}", switch["id"].as_str().unwrap()).as_str()));
    switch
}

fn to(device: &Device, number: u8, more: Value) -> Value {
    let mut body = json!({ "to": { "iccid": device.iccid(number) }, "waive": ["fallback"] });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

async fn show(world: &World, switch: &Value) -> Value {
    world.get(&format!("/api/v1/switches/{}", switch["id"].as_str().unwrap())).await
}

fn outcome(switch: &Value) -> &str {
    switch["outcome"].as_str().unwrap_or_default()
}

#[test]
fn a_switch_is_proven_when_the_device_is_seen_again_with_the_new_profile() {
    matrix(async |world: &mut World| {
        let mut device = hourly(world, 1).await;
        let switch = ask(world, &device.eid(), to(&device, 2, json!({ "label": "to two" }))).await;
        assert_eq!(
            (&switch["state"], &switch["previous"]),
            (&json!("enabling"), &json!([device.iccid(1)])),
            "{switch}"
        );
        assert!(switch["nextPollExpectedAt"].is_string() && switch["deadline"].is_string(), "{switch}");
        assert_eq!(switch["pollIntervalAssumed"], false, "{switch}");
        let unseen = world.listed_device(9).await;
        let assumed = ask(world, &unseen.eid(), to(&unseen, 2, json!({}))).await;
        assert_eq!((&assumed["pollIntervalAssumed"], &assumed["pollIntervalSeconds"]), (&json!(true), &json!(86_400)));
        device.poll().await;
        let proving = show(world, &switch).await;
        assert_eq!((&proving["state"], outcome(&proving)), (&json!("proving"), ""), "{proving}");
        device.session().await;
        let proven = show(world, &switch).await;
        assert_eq!((outcome(&proven), &proven["state"]), ("proven", &json!("ended")), "{proven}");
        assert_eq!(world.enabled(&device.eid()).await, [device.iccid(2)]);
        let operation = world.operation(proven["operations"][0].as_str().unwrap()).await;
        assert_eq!((&operation["origin"], &operation["label"]), (&json!("switch"), &json!("to two")), "{operation}");
        assert_eq!(world.events_of(&device.eid(), "switchEnded").await.len(), 1);
    });
}

#[test]
fn the_old_profile_is_deleted_after_the_proof_and_not_before() {
    matrix(async |world: &mut World| {
        let mut device = hourly(world, 1).await;
        let eid = device.eid();
        let switch = ask(world, &eid, to(&device, 2, json!({ "deleteOld": "afterProof" }))).await;
        device.poll().await;
        assert_eq!(world.profiles(&eid).await.len(), 3, "nothing is deleted yet");
        device.session().await;
        let ended = show(world, &switch).await;
        assert_eq!((outcome(&ended), &ended["deleted"]), ("proven", &json!([device.iccid(1)])), "{ended}");
        let left: Vec<String> = world.profiles(&eid).await.into_iter().map(|(iccid, _)| iccid).collect();
        assert!(!left.contains(&device.iccid(1)), "{left:?}");
        assert_eq!(device.euicc.profiles().len(), 2);
    });
}

#[test]
fn a_device_that_rolls_back_is_shown_as_such_also_when_it_does_so_later() {
    matrix(async |world: &mut World| {
        let mut device = hourly(world, 1).await;
        device.ipa.behaviour.connectivity_lost = true;
        let switch = ask(world, &device.eid(), to(&device, 2, json!({}))).await;
        device.poll().await;
        assert_eq!(outcome(&show(world, &switch).await), "rolledBack");
        assert_eq!(world.enabled(&device.eid()).await, [device.iccid(1)]);

        let mut later = hourly(world, 2).await;
        later.ipa.behaviour.lose_acknowledgement = true;
        let switch = ask(world, &later.eid(), to(&later, 2, json!({}))).await;
        later.poll().await;
        later.poll().await;
        assert_eq!(outcome(&show(world, &switch).await), "proven");
        let rollback = Euicc::rollback_result(&later.euicc.profile_rollback().unwrap()).unwrap();
        later.ipa.behaviour.lose_acknowledgement = false;
        later.deliver(&rollback).await;
        let reversed = show(world, &switch).await;
        assert_eq!(
            (outcome(&reversed), &reversed["reason"]["name"]),
            ("rolledBack", &json!("rolledBackLater")),
            "{reversed}"
        );
        assert_eq!(world.events_of(&later.eid(), "switchReversed").await.len(), 1);
    });
}

#[test]
fn a_device_on_its_fallback_profile_is_not_proven() {
    matrix(async |world: &mut World| {
        for (index, tells) in [(1, true), (2, false)] {
            let mut device = hourly(world, index).await;
            let eid = device.eid();
            let set = json!({ "psmo": [{ "setFallbackAttribute": { "iccid": device.iccid(3) } }] });
            let id = world.queue(&eid, set).await;
            device.session().await;
            assert_eq!(world.operation(&id).await["state"], "succeeded");
            world.advance(TimeDelta::hours(1)).await;
            let switch = ask(world, &eid, json!({ "to": { "iccid": device.iccid(2) } })).await;
            device.poll().await;
            assert_eq!(show(world, &switch).await["state"], "proving");
            assert_eq!(device.euicc.execute_fallback(), 0);
            let cause = if tells { PollOptions::state_change(FALLBACK_CAUSE) } else { PollOptions::state_change(127) };
            device.poll_with(&cause).await;
            device.session().await;
            let ended = show(world, &switch).await;
            assert_eq!(outcome(&ended), "fellBack", "{ended}");
            assert_eq!(world.enabled(&eid).await, [device.iccid(3)]);
        }
    });
}

#[test]
fn deadlines_count_in_the_devices_own_poll_interval() {
    each_store(async |world: &mut World| {
        // Seen once an hour: after three hours without it the switch is lost, not before.
        let mut device = hourly(world, 1).await;
        let switch = ask(world, &device.eid(), to(&device, 2, json!({}))).await;
        device.poll().await;
        world.advance(TimeDelta::hours(2)).await;
        assert_eq!(show(world, &switch).await["state"], "proving");
        world.advance(TimeDelta::hours(2)).await;
        let lost = show(world, &switch).await;
        assert_eq!((outcome(&lost), &lost["reason"]["name"]), ("lostAfterSwitch", &json!("notSeenAgain")), "{lost}");

        // Seen once a day: the same hours mean nothing.
        let mut daily = world.listed_device(2).await;
        for _ in 0..3 {
            world.advance(TimeDelta::days(1)).await;
            daily.session().await;
        }
        world.advance(TimeDelta::minutes(1)).await;
        let switch = ask(world, &daily.eid(), to(&daily, 2, json!({ "proof": { "seenAgainWithin": 2 } }))).await;
        daily.poll().await;
        world.advance(TimeDelta::hours(30)).await;
        assert_eq!(show(world, &switch).await["state"], "proving");
        daily.session().await;
        assert_eq!(outcome(&show(world, &switch).await), "proven");
    });
}

#[test]
fn a_device_that_does_not_come_is_a_no_show_and_gets_nothing_afterwards() {
    each_store(async |world: &mut World| {
        let mut device = hourly(world, 1).await;
        let switch = ask(world, &device.eid(), to(&device, 2, json!({ "noShowAfter": 5 }))).await;
        world.advance(TimeDelta::hours(4)).await;
        assert_eq!(show(world, &switch).await["state"], "enabling");
        world.advance(TimeDelta::hours(3)).await;
        let ended = show(world, &switch).await;
        assert_eq!((outcome(&ended), &ended["reason"]["name"]), ("noShow", &json!("noShow")), "{ended}");
        let operation = world.operation(ended["operations"][0].as_str().unwrap()).await;
        assert_eq!(operation["state"], "cancelled", "{operation}");
        device.session().await;
        assert_eq!(world.enabled(&device.eid()).await, [device.iccid(1)], "it is too late");
    });
}

#[test]
fn a_reported_network_must_be_one_of_those_expected() {
    each_store(async |world: &mut World| {
        let reports = |plmn: &str| PollOptions { r_plmn: Some(plmn.parse().unwrap()), ..PollOptions::default() };
        let expecting = json!({ "proof": { "seenAgainWithin": 3, "expectedPlmns": ["26201", "26202"] } });
        for (index, plmn, expected) in [(1, "26202", "proven"), (2, "90101", "unconfirmed")] {
            let mut device = hourly(world, index).await;
            let switch = ask(world, &device.eid(), to(&device, 2, expecting.clone())).await;
            device.poll_with(&reports("90199")).await;
            device.poll_with(&reports(plmn)).await;
            world.advance(TimeDelta::hours(4)).await;
            let ended = show(world, &switch).await;
            assert_eq!((outcome(&ended), &ended["rPlmn"]), (expected, &json!(plmn)), "{ended}");
        }
        // Another network first, the right one in time.
        let mut device = hourly(world, 3).await;
        let switch = ask(world, &device.eid(), to(&device, 2, expecting.clone())).await;
        device.poll().await;
        device.poll_with(&reports("90101")).await;
        assert_eq!(show(world, &switch).await["state"], "proving");
        device.poll_with(&reports("26201")).await;
        assert_eq!(outcome(&show(world, &switch).await), "proven");
    });
}

#[test]
fn what_the_euicc_refuses_is_refused_with_its_reason() {
    matrix(async |world: &mut World| {
        let mut device = hourly(world, 1).await;
        device.euicc.faults.signed_error = Some(15);
        let switch = ask(world, &device.eid(), to(&device, 2, json!({}))).await;
        device.poll().await;
        let ended = show(world, &switch).await;
        assert_eq!(outcome(&ended), "refused", "{ended}");
        assert!(ended["reason"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{ended}");
    });
}

#[test]
fn a_switch_that_downloads_first_goes_all_the_way() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "NEW", 1));
        let features = [DeviceDescription::DIRECT_RSP_SERVER_COMMUNICATION];
        let mut device = world.downloading_device(1, DownloadMode::Direct, &features).await;
        world.list(&mut device).await;
        let code = code_of(&smdp, "NEW");
        let body = json!({ "to": { "activationCode": code }, "waive": ["fallback"], "deleteOld": "afterProof" });
        let switch = ask(world, &device.eid(), body).await;
        assert_eq!(switch["state"], "downloading");
        assert!(!switch.to_string().contains("NEW"), "the matchingId is a secret: {switch}");
        for _ in 0..3 {
            device.session().await;
        }
        let ended = show(world, &switch).await;
        let iccid = new_iccid(1).digits().unwrap();
        assert_eq!((outcome(&ended), &ended["target"]), ("proven", &json!(iccid)), "{ended}");
        assert_eq!(ended["operations"].as_array().unwrap().len(), 4, "download, enable, list, delete: {ended}");
        assert_eq!(world.enabled(&device.eid()).await, [iccid]);

        // And one that the server refuses ends with the server's reason.
        let refuse = Refuse::new(RspFunction::AuthenticateClient, "8.2.6", "3.8");
        smdp.set_faults(SmdpFaults { refuse: vec![refuse], ..SmdpFaults::none() });
        let mut device = world.downloading_device(2, DownloadMode::Indirect, &eim_conformance::THIN_IPA).await;
        world.list(&mut device).await;
        let body = json!({ "to": { "activationCode": code_of(&smdp, "GONE") }, "waive": ["fallback"] });
        let switch = ask(world, &device.eid(), body).await;
        for _ in 0..3 {
            device.session().await;
        }
        let ended = show(world, &switch).await;
        assert_eq!(
            (outcome(&ended), &ended["reason"]["name"]),
            ("downloadFailed", &json!("matchingIdRefused")),
            "{ended}"
        );
        smdp.stop().await;
    });
}

#[test]
fn the_guard_names_what_speaks_against_a_switch_and_the_cure() {
    each_store(async |world: &mut World| {
        let checks = async |device: &Device, body: Value| {
            let path = format!("/api/v1/euiccs/{}/switches?dryRun=true", device.eid());
            let reply = world.post(&path, body).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            reply.json()
        };
        let result = |answer: &Value, name: &str| {
            let list = answer["checks"].as_array().unwrap();
            list.iter().find(|check| check["name"] == name).map(|check| check["result"].as_str().unwrap().to_owned())
        };
        let refused = async |device: &Device, body: Value, name: &str| {
            let reply = world.post(&format!("/api/v1/euiccs/{}/switches", device.eid()), body).await;
            assert_eq!(reply.pointers(409), [format!("/checks/{name}")]);
            let problem = reply.json();
            assert_eq!(problem["type"], "urn:eim:problem:guard-refused");
        };
        let unlisted = world.device(1).await;
        let answer = checks(&unlisted, to(&unlisted, 2, json!({}))).await;
        assert_eq!(result(&answer, "profileList").as_deref(), Some("failed"), "{answer}");
        assert_eq!(answer["allowed"], false);

        let device = hourly(world, 2).await;
        let plain = json!({ "to": { "iccid": device.iccid(2) } });
        let answer = checks(&device, plain.clone()).await;
        assert_eq!(result(&answer, "fallback").as_deref(), Some("failed"), "{answer}");
        assert!(
            answer["checks"]
                .as_array()
                .unwrap()
                .iter()
                .all(|check| check["result"] == "passed" || check["cure"].is_string())
        );
        refused(&device, plain.clone(), "fallback").await;
        let answer = checks(&device, to(&device, 2, json!({}))).await;
        assert_eq!(
            (result(&answer, "fallback").as_deref(), &answer["allowed"]),
            (Some("waived"), &json!(true)),
            "{answer}"
        );
        refused(&device, json!({ "to": { "iccid": new_iccid(77).digits() }, "waive": ["fallback"] }), "target").await;

        // Nothing was made of all that; one switch at a time.
        assert!(world.get("/api/v1/switches").await["items"].as_array().unwrap().is_empty());
        ask(world, &device.eid(), to(&device, 2, json!({}))).await;
        refused(&device, to(&device, 3, json!({})), "nothingInFlight").await;

        // A list that nobody verified can be overridden by an admin only, and that is on the record.
        let path = format!("/api/v1/euiccs/{}/switches", unlisted.eid());
        let overriding = to(
            &unlisted,
            2,
            json!({ "override": ["profileList", "ownerPolicy"], "to": { "activationCode": "1$smdp.example$X" } }),
        );
        assert_eq!(world.post(&path, overriding.clone()).await.status, 403);
        let reply = world.send(Role::Admin, "POST", &path, &[], overriding.to_string()).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        let events = world.events_of(&unlisted.eid(), "guardSetAside").await;
        assert!(
            events.iter().any(|event| event["check"] == "profileList" && event["by"]["name"] == "test"),
            "{events:?}"
        );
        let absolute = to(&device, 2, json!({ "override": ["target"] }));
        assert_eq!(world.post(&path, absolute).await.pointers(422), ["/override"]);
    });
}

#[test]
fn the_guard_says_where_a_profile_that_is_not_installed_is_to_be_had() {
    each_store(async |world: &mut World| {
        let mut device = hourly(world, 1).await;
        let path = format!("/api/v1/euiccs/{}/switches?dryRun=true", device.eid());
        let target = async |world: &World, to: Value| {
            let answer = world.post(&path, json!({ "to": to, "waive": ["fallback"] })).await.json();
            let found: Vec<&Value> =
                answer["checks"].as_array().unwrap().iter().filter(|check| check["name"] == "target").collect();
            assert_eq!(found.len(), 1, "{answer}");
            let text = |name: &str| found[0][name].as_str().unwrap_or_default().to_owned();
            (text("result"), text("message"), text("cure"), answer["allowed"] == true)
        };
        let code = json!({ "activationCode": "1$smdp.example$SECRET-ID" });
        let (result, message, cure, allowed) = target(world, code).await;
        assert_eq!((result.as_str(), allowed), ("unknown", true), "{message}");
        assert!(message.contains("smdp.example") && !message.contains("SECRET-ID") && !cure.is_empty(), "{message}");
        let (result, message, ..) = target(world, json!({ "smds": { "address": "smds.example" } })).await;
        assert_eq!(result, "unknown");
        assert!(message.contains("smds.example"), "{message}");
        for (to, tag) in [(json!({ "defaultSmdp": true }), "tag 81"), (json!({ "smds": {} }), "tag 83")] {
            let (result, message, cure, _) = target(world, to).await;
            assert_eq!(result, "unknown", "nobody has told it: {message}");
            assert!(cure.contains(tag), "{cure}");
        }
        // What a verified result has set is known.
        world.queue(&device.eid(), json!({ "euiccData": { "tags": ["BF22"] } })).await;
        device.session().await;
        let set = json!({ "psmo": [{ "setDefaultDpAddress": { "defaultDpAddress": "smdp.default.example" } }] });
        world.queue(&device.eid(), set).await;
        device.session().await;
        let (result, message, _, allowed) = target(world, json!({ "defaultSmdp": true })).await;
        assert_eq!((result.as_str(), allowed), ("unknown", true), "{message}");
        assert!(message.contains("smdp.default.example"), "{message}");
        // The device says that there is none: nobody signed that, so it refuses nothing, and the cure is named.
        let id = world.queue(&device.eid(), json!({ "euiccData": { "tags": ["81"] } })).await;
        device.fetch().await;
        let transaction = hex::decode(world.operation(&id).await["eimTransactionId"].as_str().unwrap()).unwrap();
        let told = [element(0x81, &[b""]), element(0x87, &[&transaction])].concat();
        device.provide(Some(&device.euicc.eid()), &element(0xbf52, &[&element(0xa0, &[&told])])).await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
        let (result, message, cure, allowed) = target(world, json!({ "defaultSmdp": true })).await;
        assert_eq!((result.as_str(), allowed), ("unknown", true), "{message}");
        assert!(cure.contains("setDefaultDpAddress"), "{cure}");
        // An empty pool is known to be empty.
        assert_eq!(world.post("/api/v1/pools", json!({ "name": "bare" })).await.status, 201);
        let (result, message, cure, allowed) = target(world, json!({ "pool": "bare" })).await;
        assert_eq!((result.as_str(), allowed), ("failed", false), "{message}");
        assert!(cure.contains("Import"), "{cure}");
    });
}

/// Gives a profile the fallback attribute, and has the list told.
async fn with_fallback(world: &World, device: &mut Device, number: u8) {
    let set = json!({ "psmo": [{ "setFallbackAttribute": { "iccid": device.iccid(number) } }] });
    let id = world.queue(&device.eid(), set).await;
    device.session().await;
    assert_eq!(world.operation(&id).await["state"], "succeeded");
}

#[test]
fn operations_that_are_harmless_one_by_one_are_looked_at_again_before_they_are_signed() {
    each_store(async |world: &mut World| {
        let takes_fallback = |device: &Device| {
            [
                json!({ "delete": { "iccid": device.iccid(3) } }),
                json!({ "unsetFallbackAttribute": {} }),
                json!({ "setFallbackAttribute": { "iccid": device.iccid(1) } }),
            ]
        };
        for (number, kind) in [(1, 0), (2, 1), (3, 2)] {
            let mut device = world.listed_device(number).await;
            let eid = device.eid();
            with_fallback(world, &mut device, 3).await;
            let first = takes_fallback(&device)[kind].clone();
            let last = json!({ "disable": { "iccid": device.iccid(1) } });
            // Together they are refused at once.
            let path = format!("/api/v1/euiccs/{eid}/operations");
            let together = world.post(&path, json!({ "psmo": [first, last] })).await;
            assert_eq!(together.pointers(409), ["/checks/notTheOnlyProfile"]);
            // Each for itself is fine when it is asked for.
            let taken = world.queue(&eid, json!({ "psmo": [first] })).await;
            let refused = world.queue(&eid, json!({ "psmo": [last] })).await;
            device.session().await;
            device.session().await;
            // A fallback attribute on the enabled profile is refused by the eUICC; then disabling it leaves the device what it had.
            let ended = world.operation(&taken).await;
            if ended["state"] == "succeeded" {
                let ended = world.operation(&refused).await;
                assert_eq!(
                    (&ended["state"], &ended["error"]["name"], &ended["attempts"]),
                    (&json!("failed"), &json!("notTheOnlyProfile"), &json!(0)),
                    "nothing was signed: {ended}"
                );
                assert!(ended["error"]["message"].as_str().unwrap().contains("Enable another profile"), "{ended}");
                assert_eq!(world.enabled(&eid).await, [device.iccid(1)]);
            } else {
                assert_eq!(kind, 2, "{ended}");
                let ended = world.operation(&refused).await;
                assert_eq!(ended["state"], "succeeded", "the Fallback Profile is still there: {ended}");
            }
        }
    });
}

#[test]
fn a_list_is_refused_that_strands_the_device_where_the_euicc_refuses_one_of_its_operations() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let path = format!("/api/v1/euiccs/{}/operations", device.eid());
        let iccids: Vec<String> = (1..=3).map(|number| device.iccid(number)).collect();
        let enable = |number: usize| json!({ "enable": { "iccid": iccids[number - 1], "rollback": true } });
        let disable = |number: usize| json!({ "disable": { "iccid": iccids[number - 1] } });
        let delete = |number: usize| json!({ "delete": { "iccid": iccids[number - 1] } });
        let nobody = json!({ "enable": { "iccid": new_iccid(77).digits() } });
        for list in [
            vec![disable(1), enable(2)],
            vec![disable(1), nobody.clone()],
            vec![delete(2), disable(1), enable(2)],
            vec![json!({ "setFallbackAttribute": { "iccid": device.iccid(2) } }), disable(1)],
            vec![enable(2), disable(2), enable(3)],
            vec![delete(1)],
            // Whether the new profile finds a network is not known before the device is seen again.
            vec![enable(2), delete(1)],
            vec![nobody.clone(), delete(1)],
            vec![json!({ "setFallbackAttribute": { "iccid": device.iccid(2) } }), delete(1)],
        ] {
            let reply = world.post(&path, json!({ "psmo": list })).await;
            assert_eq!(reply.pointers(409), ["/checks/notTheOnlyProfile"], "{list:?}");
        }
        // One that is not enabled is not deleted instead: the eUICC refuses to delete an enabled profile.
        for list in [vec![enable(2), delete(3)], vec![delete(2), delete(3)], vec![enable(2)]] {
            let reply = world.post(&format!("{path}?dryRun=true"), json!({ "psmo": list })).await;
            assert_eq!(reply.json()["allowed"], true, "{list:?}: {}", reply.text());
        }
        // With a way back from the new profile the old one may go at once.
        with_fallback(world, &mut device, 3).await;
        let reply = world.post(&format!("{path}?dryRun=true"), json!({ "psmo": [enable(2), delete(1)] })).await;
        assert_eq!(reply.json()["allowed"], true, "{}", reply.text());
        world.queue(&device.eid(), json!({ "psmo": [{ "unsetFallbackAttribute": {} }] })).await;
        device.session().await;
        // A profile that is off in between is off, whatever comes behind.
        let shown = world.get(&format!("/api/v1/euiccs/{}/profiles", device.eid())).await;
        let provider = shown["items"][0]["serviceProvider"].as_str().unwrap().to_owned();
        let policy = json!({ "serviceProvider": provider, "disableAllowed": false }).to_string();
        assert_eq!(world.send(Role::Admin, "POST", "/api/v1/owner-policies", &[], policy).await.status, 201);
        for list in [vec![enable(2), enable(1)], vec![disable(1), enable(1)]] {
            let reply = world.post(&path, json!({ "psmo": list })).await;
            assert!(reply.pointers(409).contains(&"/checks/ownerPolicy".to_owned()), "{list:?}: {}", reply.text());
        }
        let policy = json!({ "serviceProvider": provider, "deleteAllowed": false }).to_string();
        assert_eq!(world.send(Role::Admin, "POST", "/api/v1/owner-policies", &[], policy).await.status, 201);
        let reply = world.post(&path, json!({ "psmo": [nobody, delete(1)] })).await;
        assert!(reply.pointers(409).contains(&"/checks/ownerPolicy".to_owned()), "{}", reply.text());
    });
}

#[test]
fn where_no_profile_is_enabled_the_way_back_is_kept() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        with_fallback(world, &mut device, 3).await;
        let off = world.queue(&eid, json!({ "psmo": [{ "disable": { "iccid": device.iccid(1) } }] })).await;
        device.session().await;
        assert_eq!(world.operation(&off).await["state"], "succeeded", "the Fallback Profile is there");
        let path = format!("/api/v1/euiccs/{eid}/operations");
        for last in [json!({ "delete": { "iccid": device.iccid(3) } }), json!({ "unsetFallbackAttribute": {} })] {
            let reply = world.post(&path, json!({ "psmo": [last] })).await;
            assert_eq!(reply.pointers(409), ["/checks/notTheOnlyProfile"], "{last}");
        }
        assert_eq!(
            world.post(&path, json!({ "psmo": [{ "delete": { "iccid": device.iccid(2) } }] })).await.status,
            202
        );
    });
}

#[test]
fn nothing_is_disabled_or_deleted_where_the_profiles_were_never_told() {
    each_store(async |world: &mut World| {
        let device = world.device(1).await;
        let path = format!("/api/v1/euiccs/{}/operations", device.eid());
        for last in
            [json!({ "delete": { "iccid": device.iccid(3) } }), json!({ "disable": { "iccid": device.iccid(1) } })]
        {
            let mut body = json!({ "psmo": [last] });
            let reply = world.post(&path, body.clone()).await;
            assert_eq!(reply.pointers(409), ["/checks/profileList"], "{last}");
            assert!(reply.text().contains("listProfileInfo"), "{}", reply.text());
            body["override"] = json!(["profileList"]);
            assert_eq!(world.post(&path, body.clone()).await.status, 403);
            let reply = world.send(Role::Admin, "POST", &path, &[], body.to_string()).await;
            assert_eq!(reply.status, 202, "{}", reply.text());
        }
    });
}

#[test]
fn what_an_owner_says_since_counts_before_it_is_signed_and_what_an_admin_overrode_still_does() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let path = format!("/api/v1/euiccs/{eid}/operations");
        let delete = |number: u8| json!({ "psmo": [{ "delete": { "iccid": device.iccid(number) } }] });
        let mut overriding = delete(3);
        overriding["override"] = json!(["ownerPolicy"]);
        let (asked, anyway) = (world.queue(&eid, delete(2)).await, overriding);
        // An admin sets aside what nobody has said yet.
        let mut beforehand = json!({ "psmo": [{ "disable": { "iccid": device.iccid(2) } }] });
        beforehand["override"] = json!(["ownerPolicy"]);
        let beforehand = world.send(Role::Admin, "POST", &path, &[], beforehand.to_string()).await;
        assert_eq!(beforehand.status, 202, "{}", beforehand.text());
        let shown = world.get(&format!("/api/v1/euiccs/{eid}/profiles")).await;
        let provider = shown["items"][0]["serviceProvider"].as_str().unwrap().to_owned();
        let policy =
            json!({ "serviceProvider": provider, "deleteAllowed": false, "disableAllowed": false }).to_string();
        assert_eq!(world.send(Role::Admin, "POST", "/api/v1/owner-policies", &[], policy).await.status, 201);
        let anyway = world.send(Role::Admin, "POST", &path, &[], anyway.to_string()).await;
        assert_eq!(anyway.status, 202, "{}", anyway.text());
        world.crash_and_restart().await;
        world.reconnect(&mut device);
        device.session().await;
        device.session().await;
        let ended = world.operation(&asked).await;
        assert_eq!((&ended["state"], &ended["error"]["name"]), (&json!("failed"), &json!("ownerPolicy")), "{ended}");
        assert!(device.euicc.profile(&device.raw_iccid(2)).is_some(), "it is still there");
        let ended = world.operation(anyway.json()["id"].as_str().unwrap()).await;
        assert_eq!(ended["state"], "succeeded", "{ended}");
        let told = world.events_of(&eid, "guardSetAside").await;
        let beforehand = beforehand.json()["id"].clone();
        let of = told.iter().find(|event| event["operation"] == beforehand).unwrap();
        assert_eq!((&of["check"], &of["result"]), (&json!("ownerPolicy"), &json!("overridden")), "{told:?}");
    });
}

#[test]
fn the_guard_judges_by_a_list_that_is_asked_for_after_a_change_of_state() {
    each_store(async |world: &mut World| {
        let mut device = hourly(world, 1).await;
        let eid = device.eid();
        world.queue(&eid, device.enable(2, false)).await;
        device.session().await;
        assert_eq!(world.enabled(&eid).await, [device.iccid(2)]);
        world.advance(TimeDelta::minutes(1)).await;
        // The device goes back by itself, and what is asked for meanwhile looks harmless.
        assert!(device.euicc.enable_locally(&device.raw_iccid(1)));
        let last = json!({ "psmo": [{ "disable": { "iccid": device.iccid(1) } }, { "delete": { "iccid": device.iccid(1) } }] });
        let asked = world.queue(&eid, last).await;
        device.poll_with(&PollOptions::state_change(3)).await;
        for _ in 0..3 {
            device.session().await;
        }
        let ended = world.operation(&asked).await;
        let told = (&ended["state"], &ended["error"]["name"], &ended["attempts"]);
        assert_eq!(told, (&json!("failed"), &json!("notTheOnlyProfile"), &json!(0)), "{ended}");
        assert_eq!(world.enabled(&eid).await, [device.iccid(1)]);
        assert!(device.euicc.profile(&device.raw_iccid(1)).is_some());
        // A list that was there a moment before the device changed is no better.
        let mut other = hourly(world, 2).await;
        let eid = other.eid();
        with_fallback(world, &mut other, 3).await;
        world.list(&mut other).await;
        let asked = world.queue(&eid, json!({ "psmo": [{ "disable": { "iccid": other.iccid(1) } }] })).await;
        let (one, three) = (other.raw_iccid(1), other.raw_iccid(3));
        other.euicc.profile_mut(&three).unwrap().fallback_attribute = false;
        other.poll_with(&PollOptions::state_change(4)).await;
        for _ in 0..3 {
            other.session().await;
        }
        let ended = world.operation(&asked).await;
        let told = (&ended["state"], &ended["error"]["name"]);
        assert_eq!(told, (&json!("failed"), &json!("notTheOnlyProfile")), "{ended}");
        assert_eq!(other.euicc.enabled_iccid(), Some(one));
        // Whoever says so with every poll does not put everything off.
        let asked = world.queue(&eid, other.enable(2, false)).await;
        for _ in 0..4 {
            other.poll_with(&PollOptions::state_change(0)).await;
        }
        other.session().await;
        assert_eq!(world.operation(&asked).await["state"], "succeeded");
    });
}

#[test]
fn a_switch_that_has_lost_its_way_back_before_it_is_signed_is_refused() {
    each_store(async |world: &mut World| {
        for (index, waive, expected) in [(1, json!([]), "refused"), (2, json!(["fallback"]), "proven")] {
            let mut device = hourly(world, index).await;
            with_fallback(world, &mut device, 3).await;
            let body = json!({ "to": { "iccid": device.iccid(2) }, "waive": waive, "deleteOld": "afterProof" });
            let switch = ask(world, &device.eid(), body).await;
            let three = device.raw_iccid(3);
            device.euicc.profile_mut(&three).unwrap().fallback_attribute = false;
            device.poll_with(&PollOptions::state_change(5)).await;
            for _ in 0..3 {
                device.session().await;
            }
            let ended = show(world, &switch).await;
            assert_eq!(outcome(&ended), expected, "{ended}");
            if expected == "refused" {
                assert_eq!(ended["reason"]["name"], "fallback", "{ended}");
                assert_eq!(device.euicc.enabled_iccid(), Some(device.raw_iccid(1)));
            }
        }
    });
}

#[test]
fn a_test_profile_is_not_what_a_device_is_left_with() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let iccid = device.raw_iccid(2);
        let profile = device.euicc.profile_mut(&iccid).unwrap();
        profile.class = ProfileClass::Test;
        world.list(&mut device).await;
        let path = format!("/api/v1/euiccs/{}/switches", device.eid());
        let body = to(&device, 2, json!({}));
        assert_eq!(world.post(&path, body.clone()).await.pointers(409), ["/checks/notTheOnlyProfile"]);
        with_fallback(world, &mut device, 3).await;
        assert_eq!(world.post(&path, body).await.status, 202, "it can go back from there");
    });
}

#[test]
fn a_fallback_profile_that_the_switch_deletes_is_none() {
    each_store(async |world: &mut World| {
        let mut device = hourly(world, 1).await;
        // The device is on the profile that it falls back to, as after it fell back.
        with_fallback(world, &mut device, 3).await;
        let id = world.queue(&device.eid(), device.enable(3, false)).await;
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
        let path = format!("/api/v1/euiccs/{}/switches", device.eid());
        let mut body = json!({ "to": { "iccid": device.iccid(2) }, "deleteOld": "afterProof" });
        let reply = world.post(&path, body.clone()).await;
        assert_eq!(reply.pointers(409), ["/checks/fallback"]);
        assert!(reply.text().contains("deleted when the switch is proven"), "{}", reply.text());
        // The same where its owner's policy deletes it; without either it stays, and is a way back.
        let kept = json!({ "to": { "iccid": device.iccid(2) } });
        let dry = format!("{path}?dryRun=true");
        assert_eq!(world.post(&dry, kept.clone()).await.json()["allowed"], true);
        let shown = world.get(&format!("/api/v1/euiccs/{}/profiles", device.eid())).await;
        let provider = shown["items"][0]["serviceProvider"].as_str().unwrap().to_owned();
        let policy = json!({ "serviceProvider": provider, "deleteWhenDisabled": true }).to_string();
        assert_eq!(world.send(Role::Admin, "POST", "/api/v1/owner-policies", &[], policy).await.status, 201);
        assert_eq!(world.post(&path, kept).await.pointers(409), ["/checks/fallback"]);
        // Who says so by name has it.
        body["waive"] = json!(["fallback"]);
        assert_eq!(world.post(&path, body).await.status, 202);
    });
}

#[test]
fn a_policy_that_is_made_meanwhile_does_not_delete_the_fallback_profile() {
    each_store(async |world: &mut World| {
        // A waiver of a check that passes waives nothing.
        for (index, waive) in [(1, json!([])), (2, json!(["fallback"]))] {
            let mut device = hourly(world, index).await;
            let eid = device.eid();
            with_fallback(world, &mut device, 3).await;
            world.queue(&eid, device.enable(3, false)).await;
            device.session().await;
            let switch = ask(world, &eid, json!({ "to": { "iccid": device.iccid(2) }, "waive": waive })).await;
            // Before the package goes out the guard refuses the switch instead.
            device.poll().await;
            let shown = world.get(&format!("/api/v1/euiccs/{eid}/profiles")).await;
            let provider = shown["items"][0]["serviceProvider"].as_str().unwrap().to_owned();
            let policy = json!({ "serviceProvider": provider, "deleteWhenDisabled": true }).to_string();
            assert_eq!(world.send(Role::Admin, "POST", "/api/v1/owner-policies", &[], policy).await.status, 201);
            device.session().await;
            device.session().await;
            let ended = show(world, &switch).await;
            assert_eq!((outcome(&ended), &ended["reason"]["name"]), ("proven", &json!("oldProfileKept")), "{ended}");
            assert!(ended["reason"]["message"].as_str().unwrap().contains("setFallbackAttribute"), "{ended}");
            assert!(device.euicc.profile(&device.raw_iccid(3)).is_some(), "it is still there");
            // Another one that is not needed goes, as the policy says.
            let switch = ask(world, &eid, json!({ "to": { "iccid": device.iccid(1) } })).await;
            device.session().await;
            device.session().await;
            let ended = show(world, &switch).await;
            assert_eq!((outcome(&ended), &ended["deleted"]), ("proven", &json!([device.iccid(2)])), "{ended}");
            let listed = world.send(Role::Admin, "GET", "/api/v1/owner-policies", &[], "").await.json();
            let policy = format!("/api/v1/owner-policies/{}", listed["items"][0]["id"].as_str().unwrap());
            assert_eq!(world.send(Role::Admin, "DELETE", &policy, &[], "").await.status, 204);
        }
    });
}

#[test]
fn what_an_open_switch_counts_on_is_not_taken_away() {
    each_store(async |world: &mut World| {
        let mut device = hourly(world, 1).await;
        let eid = device.eid();
        with_fallback(world, &mut device, 3).await;
        let path = format!("/api/v1/euiccs/{eid}/operations");
        let delete = |number: u8| json!({ "psmo": [{ "delete": { "iccid": device.iccid(number) } }] });
        let taking = [
            delete(1),
            delete(2),
            delete(3),
            json!({ "psmo": [{ "unsetFallbackAttribute": {} }] }),
            json!({ "psmo": [{ "setFallbackAttribute": { "iccid": device.iccid(2) } }] }),
            json!({ "psmo": [{ "disable": { "iccid": device.iccid(2) } }] }),
            device.enable(3, false),
        ];
        let waiting = json!({ "to": { "iccid": device.iccid(2) }, "notBefore": "2027-01-01T00:00:00Z" });
        let waiting = ask(world, &eid, waiting).await["id"].as_str().unwrap().to_owned();
        for body in [json!({ "psmo": [{ "disable": { "iccid": device.iccid(1) } }] }), device.enable(1, false)] {
            let reply = world.post(&path, body.clone()).await;
            assert!(reply.text().contains(&waiting), "{body}: {}", reply.text());
        }
        assert_eq!(world.post(&format!("/api/v1/switches/{waiting}/cancel"), Value::Null).await.status, 200);
        let switch = ask(world, &eid, json!({ "to": { "iccid": device.iccid(2) } })).await;
        for body in &taking {
            let reply = world.post(&path, body.clone()).await;
            let checks = reply.pointers(409);
            assert!(checks.contains(&"/checks/nothingInFlight".to_owned()), "{body}: {}", reply.text());
            assert!(reply.text().contains(switch["id"].as_str().unwrap()), "{}", reply.text());
        }
        // The way back stays open, and so does everything once the switch has ended.
        let dry = format!("{path}?dryRun=true");
        assert_eq!(world.post(&dry, device.enable(1, false)).await.json()["allowed"], true);
        device.session().await;
        device.session().await;
        assert_eq!(outcome(&show(world, &switch).await), "proven");
        assert_eq!(world.post(&dry, taking[0].clone()).await.json()["allowed"], true);
    });
}

#[test]
fn the_old_profile_stays_where_the_device_goes_back_to_it_before_it_is_deleted() {
    each_store(async |world: &mut World| {
        let mut device = hourly(world, 1).await;
        let eid = device.eid();
        let switch = ask(world, &eid, to(&device, 2, json!({ "deleteOld": "afterProof" }))).await;
        let back = world.queue(&eid, device.enable(1, false)).await;
        for _ in 0..4 {
            device.session().await;
        }
        let ended = show(world, &switch).await;
        assert_eq!((outcome(&ended), &ended["reason"]["name"]), ("proven", &json!("oldProfileKept")), "{ended}");
        assert!(ended["reason"]["message"].as_str().unwrap().contains(&back), "{ended}");
        assert_eq!(world.operation(&back).await["state"], "succeeded");
        assert_eq!(world.enabled(&eid).await, [device.iccid(1)]);
        // Asked for while the deletion waits already, it goes first or behind; the profile that is enabled then is not deleted.
        let switch = ask(world, &eid, to(&device, 2, json!({ "deleteOld": "afterProof" }))).await;
        device.poll().await;
        device.fetch().await;
        let deleting = show(world, &switch).await;
        assert!(device.euicc.enable_locally(&device.raw_iccid(1)), "{deleting}");
        world.advance(TimeDelta::minutes(1)).await;
        device.poll_with(&PollOptions::state_change(3)).await;
        for _ in 0..4 {
            device.session().await;
        }
        assert!(device.euicc.profile(&device.raw_iccid(1)).is_some(), "{}", show(world, &switch).await);
        assert_eq!(device.euicc.enabled_iccid(), Some(device.raw_iccid(1)));
    });
}

#[test]
fn an_owner_policy_holds_where_the_profiles_were_never_told_and_for_what_comes_by_itself() {
    each_store(async |world: &mut World| {
        let listed = world.listed_device(1).await;
        let unlisted = world.device(2).await;
        let ask = async |world: &World, device: &Device, psmo: Value| {
            let path = format!("/api/v1/euiccs/{}/operations?dryRun=true", device.eid());
            let shown = world.post(&path, json!({ "psmo": [psmo] })).await.json();
            let failed = shown["checks"].as_array().unwrap().iter().filter(|check| check["result"] == "failed");
            let failed: Vec<String> = failed.map(|check| check["name"].as_str().unwrap().to_owned()).collect();
            failed
        };
        let enable = |device: &Device| json!({ "enable": { "iccid": device.iccid(2), "rollback": true } });
        let at_once = json!({ "configureImmediateEnable": { "immediateEnableFlag": true } });
        for device in [&listed, &unlisted] {
            assert!(ask(world, device, enable(device)).await.is_empty());
            assert!(ask(world, device, at_once.clone()).await.is_empty());
        }
        let shown = world.get(&format!("/api/v1/euiccs/{}/profiles", listed.eid())).await;
        let provider = shown["items"][0]["serviceProvider"].as_str().unwrap().to_owned();
        let policy = json!({ "serviceProvider": provider, "disableAllowed": false }).to_string();
        assert_eq!(world.send(Role::Admin, "POST", "/api/v1/owner-policies", &[], policy).await.status, 201);
        for device in [&listed, &unlisted] {
            assert_eq!(ask(world, device, enable(device)).await, ["ownerPolicy"]);
            assert_eq!(ask(world, device, at_once.clone()).await, ["ownerPolicy"]);
        }
        // A profile that the list does not hold may be there all the same, and anybody's.
        for psmo in ["enable", "disable"] {
            let unknown = json!({ psmo: { "iccid": new_iccid(77).digits() } });
            assert_eq!(ask(world, &listed, unknown).await, ["ownerPolicy"], "{psmo}");
        }
        let path = format!("/api/v1/euiccs/{}/operations?dryRun=true", listed.eid());
        let unknown = json!({ "enable": { "iccid": new_iccid(77).digits() } });
        let to_and_fro = world.post(&path, json!({ "psmo": [unknown, enable(&listed)] })).await.json();
        assert_eq!(to_and_fro["allowed"], false, "{to_and_fro}");
        let policy = json!({ "serviceProvider": provider, "deleteAllowed": false }).to_string();
        assert_eq!(world.send(Role::Admin, "POST", "/api/v1/owner-policies", &[], policy).await.status, 201);
        let unknown = json!({ "delete": { "iccid": new_iccid(77).digits() } });
        assert_eq!(ask(world, &listed, unknown).await, ["ownerPolicy"]);
    });
}

#[test]
fn a_download_that_is_enabled_at_once_takes_the_place_of_no_profile_that_its_owner_keeps_on() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let set = |flag: bool| {
            json!({ "psmo": [
            { "setDefaultDpAddress": { "defaultDpAddress": "smdp.default.example" } },
            { "configureImmediateEnable": { "immediateEnableFlag": flag } } ] })
        };
        let id = world.queue(&eid, set(true)).await;
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
        let path = format!("/api/v1/euiccs/{eid}/operations?dryRun=true");
        let asked = async |world: &World, download: Value| {
            world.post(&path, json!({ "profileDownload": download })).await.json()["allowed"].clone()
        };
        let default = json!({ "defaultSmdp": true });
        assert_eq!(asked(world, default.clone()).await, true);
        let shown = world.get(&format!("/api/v1/euiccs/{eid}/profiles")).await;
        let provider = shown["items"][0]["serviceProvider"].as_str().unwrap().to_owned();
        let policy = json!({ "serviceProvider": provider, "disableAllowed": false }).to_string();
        assert_eq!(world.send(Role::Admin, "POST", "/api/v1/owner-policies", &[], policy).await.status, 201);
        assert_eq!(asked(world, default.clone()).await, false);
        assert_eq!(asked(world, json!({ "activationCode": "1$SMDP.default.example$X" })).await, false);
        assert_eq!(asked(world, json!({ "activationCode": "1$other.example$X" })).await, true);
        let off = world.queue(&eid, set(false)).await;
        device.session().await;
        assert_eq!(world.operation(&off).await["state"], "succeeded");
        assert_eq!(asked(world, default).await, true, "switched off again");
    });
}

#[test]
fn a_device_that_is_on_the_profile_already_needs_no_way_back() {
    each_store(async |world: &mut World| {
        let mut device = hourly(world, 1).await;
        let body = json!({ "to": { "iccid": device.iccid(1) } });
        let switch = ask(world, &device.eid(), body).await;
        device.session().await;
        assert_eq!(outcome(&show(world, &switch).await), "unchanged");
    });
}

#[test]
fn policy_rules_of_installed_profiles_are_known_and_predict_the_euiccs_refusal() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        for (number, ppr1, ppr2) in [(1, true, false), (2, false, true)] {
            let iccid = device.raw_iccid(number);
            let profile = device.euicc.profile_mut(&iccid).unwrap();
            *profile = profile.clone().rules(ppr1, ppr2);
        }
        let path = format!("/api/v1/euiccs/{}/switches", device.eid());
        let rules = async |device: &Device| {
            let reply = world.post(&format!("{path}?dryRun=true"), to(device, 2, json!({}))).await;
            let checks = reply.json()["checks"].as_array().unwrap().clone();
            let check = checks.into_iter().find(|check| check["name"] == "policyRules").unwrap();
            check["result"].as_str().unwrap().to_owned()
        };
        // The usual members of a list don't tell of them; the list that this eIM asks for does.
        assert_eq!(rules(&device).await, "unknown");
        device.poll_with(&PollOptions::state_change(0)).await;
        device.session().await;
        let shown = world.get(&format!("/api/v1/euiccs/{}/profiles", device.eid())).await;
        let told = |number: u8| {
            let mut items = shown["items"].as_array().unwrap().iter();
            items.find(|item| item["iccid"] == device.iccid(number)).unwrap()["policyRules"].clone()
        };
        assert_eq!((told(1), told(2), told(3)), (json!(["ppr1"]), json!(["ppr2"]), json!([])), "{shown}");
        assert_eq!(rules(&device).await, "failed");
        let reply = world.post(&path, to(&device, 2, json!({}))).await;
        assert_eq!(reply.pointers(409), ["/checks/policyRules"]);
        assert!(reply.text().contains("PPR1") && reply.text().contains("disallowedByPolicy"), "{}", reply.text());

        // A dry run of an operation does nothing, and a parameter that nobody reads is refused instead of being passed over.
        let operations = format!("/api/v1/euiccs/{}/operations", device.eid());
        let before = world.operations(&device.eid()).await.len();
        let reply = world.post(&format!("{operations}?dryRun=true"), device.enable(2, true)).await;
        assert_eq!((reply.status, &reply.json()["allowed"]), (200, &json!(false)), "{}", reply.text());
        assert!(reply.json()["checks"].to_string().contains("PPR1"), "{}", reply.text());
        let reply = world.post(&format!("{operations}?dryrun=true"), device.enable(2, true)).await;
        assert_eq!(reply.pointers(400), ["/dryrun"]);
        let reply = world.post("/api/v1/desired-states?dryRun=true", json!({})).await;
        assert_eq!(reply.pointers(400), ["/dryRun"]);
        assert_eq!(world.operations(&device.eid()).await.len(), before);

        // Single operations, too; and who overrides it learns what the eUICC says.
        let operations = format!("/api/v1/euiccs/{}/operations", device.eid());
        let delete = json!({ "psmo": [{ "delete": { "iccid": device.iccid(2) } }] });
        assert_eq!(world.post(&operations, delete.clone()).await.pointers(409), ["/checks/policyRules"]);
        let mut overriding = delete;
        overriding["override"] = json!(["policyRules"]);
        assert_eq!(world.post(&operations, overriding.clone()).await.status, 403);
        let reply = world.send(Role::Admin, "POST", &operations, &[], overriding.to_string()).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        device.session().await;
        let ended = world.operation(reply.json()["id"].as_str().unwrap()).await;
        assert_eq!(ended["state"], "failed", "{ended}");
        assert!(ended.to_string().contains("disallowedByPolicy"), "{ended}");
        // A profile without rules may go.
        let third = json!({ "psmo": [{ "delete": { "iccid": device.iccid(3) } }] });
        assert_eq!(world.post(&operations, third).await.status, 202);
    });
}

#[test]
fn owner_policies_are_checked_before_anything_is_signed() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let dry = format!("/api/v1/euiccs/{}/operations?dryRun=true", device.eid());
        let unlisted = world.post(&dry, device.enable(2, true)).await.json();
        let result = |name: &str| {
            let mut checks = unlisted["checks"].as_array().unwrap().iter();
            checks.find(|check| check["name"] == name).unwrap()["result"].clone()
        };
        assert_eq!((result("ownerPolicy"), result("policyRules")), (json!("unknown"), json!("unknown")), "{unlisted}");
        let locked = Profile::operational(new_iccid(50), "Locked");
        device.euicc = device.euicc.clone().with_profile(locked);
        world.list(&mut device).await;
        let shown = world.get(&format!("/api/v1/euiccs/{}/profiles", device.eid())).await;
        let provider = shown["items"][0]["serviceProvider"].as_str().unwrap().to_owned();
        let admin = async |method: &str, path: &str, body: Value| {
            let text = if body.is_null() { String::new() } else { body.to_string() };
            world.send(Role::Admin, method, path, &[], text).await
        };
        let policy = json!({ "serviceProvider": provider.to_uppercase(), "disableAllowed": false });
        assert_eq!(world.post("/api/v1/owner-policies", policy.clone()).await.status, 403);
        let reply = admin("POST", "/api/v1/owner-policies", policy).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let id = reply.json()["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/euiccs/{}/switches", device.eid());
        let reply = world.post(&path, to(&device, 2, json!({}))).await;
        assert_eq!(reply.pointers(409), ["/checks/ownerPolicy"]);
        assert!(reply.text().contains("does not allow to disable"), "{}", reply.text());
        let delete = format!("/api/v1/owner-policies/{id}");
        assert_eq!(admin("DELETE", &delete, Value::Null).await.status, 204);
        assert_eq!(admin("DELETE", &delete, Value::Null).await.status, 404);

        // What a switch is to delete in the end is looked at before it begins.
        let kept = json!({ "serviceProvider": provider, "deleteAllowed": false });
        let made = admin("POST", "/api/v1/owner-policies", kept).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let deleting = to(&device, 2, json!({ "deleteOld": "afterProof" }));
        let plan = world.post(&format!("{path}?dryRun=true"), deleting.clone()).await.json();
        assert_eq!(plan["allowed"], false, "{plan}");
        let reply = world.post(&path, deleting).await;
        assert_eq!(reply.pointers(409), ["/checks/ownerPolicy"]);
        assert!(reply.text().contains("does not allow to delete"), "{}", reply.text());
        let plan = world.post(&format!("{path}?dryRun=true"), to(&device, 2, json!({}))).await.json();
        assert_eq!(plan["allowed"], true, "{plan}");
        let gone = format!("/api/v1/owner-policies/{}", made.json()["id"].as_str().unwrap());
        assert_eq!(admin("DELETE", &gone, Value::Null).await.status, 204);

        // deleteWhenDisabled deletes the old profile after the proof, without being asked.
        let policy = json!({ "serviceProvider": provider, "profileClass": "operational", "deleteWhenDisabled": true });
        assert_eq!(admin("POST", "/api/v1/owner-policies", policy).await.status, 201);
        let plan = world.post(&format!("{path}?dryRun=true"), to(&device, 2, json!({}))).await;
        assert!(
            plan.text().contains("deleteWhenDisabled") && plan.text().contains(&device.iccid(1)),
            "{}",
            plan.text()
        );
        let switch = ask(world, &device.eid(), to(&device, 2, json!({}))).await;
        device.session().await;
        device.session().await;
        let ended = show(world, &switch).await;
        assert_eq!((outcome(&ended), &ended["deleted"]), ("proven", &json!([device.iccid(1)])), "{ended}");
        let bad = json!({ "serviceProvider": "X", "deleteAllowed": false, "deleteWhenDisabled": true, "colour": 1, "profileClass": "big" });
        let mut pointers = admin("POST", "/api/v1/owner-policies", bad).await.pointers(422);
        pointers.sort();
        assert_eq!(pointers, ["/colour", "/deleteWhenDisabled", "/profileClass"]);
        // No profile has a longer serviceProviderName: characters, not octets.
        for (length, status) in [(32, 201), (33, 422)] {
            let policy = json!({ "serviceProvider": "é".repeat(length) });
            let reply = admin("POST", "/api/v1/owner-policies", policy).await;
            assert_eq!(reply.status, status, "{}", reply.text());
            let owner = json!({ "name": format!("{length}"), "serviceProviders": ["é".repeat(length)] });
            let reply = admin("POST", "/api/v1/profile-owners", owner).await;
            assert_eq!(reply.status, status, "{}", reply.text());
        }
    });
}

#[test]
fn a_switch_can_be_withdrawn_until_it_is_delivered() {
    each_store(async |world: &mut World| {
        let mut device = hourly(world, 1).await;
        let switch = ask(world, &device.eid(), to(&device, 2, json!({}))).await;
        let cancel = format!("/api/v1/switches/{}/cancel", switch["id"].as_str().unwrap());
        let reply = world.post(&cancel, Value::Null).await;
        assert_eq!((reply.status, outcome(&reply.json())), (200, "cancelled"), "{}", reply.text());
        assert_eq!(world.post(&cancel, Value::Null).await.status, 409);
        device.session().await;
        assert_eq!(world.enabled(&device.eid()).await, [device.iccid(1)]);

        let switch = ask(world, &device.eid(), to(&device, 2, json!({}))).await;
        device.fetch().await;
        let cancel = format!("/api/v1/switches/{}/cancel", switch["id"].as_str().unwrap());
        let problem = world.post(&cancel, Value::Null).await.problem(409);
        assert_eq!(problem["type"], "urn:eim:problem:switch-delivered");
    });
}

#[test]
fn a_switch_to_the_profile_that_is_enabled_changes_nothing() {
    each_store(async |world: &mut World| {
        let device = hourly(world, 1).await;
        let switch = ask(world, &device.eid(), to(&device, 1, json!({}))).await;
        assert_eq!((outcome(&switch), &switch["operations"]), ("unchanged", &json!([])), "{switch}");
    });
}

#[test]
fn a_switch_waits_for_its_time_and_survives_a_crash() {
    each_store(async |world: &mut World| {
        let mut device = hourly(world, 1).await;
        let begins = (world.now() + TimeDelta::hours(3)).to_rfc3339();
        let switch = ask(world, &device.eid(), to(&device, 2, json!({ "notBefore": begins }))).await;
        assert_eq!(switch["state"], "waiting", "{switch}");
        device.session().await;
        assert_eq!(world.enabled(&device.eid()).await, [device.iccid(1)]);
        world.crash_and_restart().await;
        world.reconnect(&mut device);
        world.advance(TimeDelta::hours(4)).await;
        assert_eq!(show(world, &switch).await["state"], "enabling");
        device.poll().await;
        world.crash_and_restart().await;
        world.reconnect(&mut device);
        device.session().await;
        assert_eq!(outcome(&show(world, &switch).await), "proven");
    });
}

#[test]
fn a_repeated_request_makes_one_switch() {
    each_store(async |world: &mut World| {
        let device = hourly(world, 1).await;
        let path = format!("/api/v1/euiccs/{}/switches", device.eid());
        let body = to(&device, 2, json!({})).to_string();
        let send =
            async |body: String| world.send(Role::Operator, "POST", &path, &[("idempotency-key", "k1")], body).await;
        let first = send(body.clone()).await;
        let again = send(body).await;
        assert_eq!((first.status, again.status), (202, 202), "{}", again.text());
        assert_eq!(first.json()["id"], again.json()["id"]);
        assert_eq!(send(to(&device, 3, json!({})).to_string()).await.status, 409);
        assert_eq!(world.get("/api/v1/switches").await["items"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn switches_are_listed_in_the_order_that_is_asked_for() {
    each_store(async |world: &mut World| {
        let mut made = Vec::new();
        for index in 1..=3 {
            let device = world.listed_device(index).await;
            made.push(ask(world, &device.eid(), to(&device, 2, json!({}))).await["id"].clone());
        }
        let walked = async |order: &str| {
            let mut found: Vec<Value> = Vec::new();
            let mut cursor = String::new();
            for _ in 0..4 {
                let page = world.get(&format!("/api/v1/switches?limit=1{order}{cursor}")).await;
                found.extend(page["items"].as_array().unwrap().iter().map(|switch| switch["id"].clone()));
                let Some(next) = page["nextCursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            found
        };
        assert_eq!(walked("").await, made);
        assert_eq!(walked("&order=oldest").await, made);
        made.reverse();
        assert_eq!(walked("&order=newest").await, made);
    });
}

#[test]
fn bad_switches_are_refused_with_their_place() {
    each_store(async |world: &mut World| {
        let device = world.device(1).await;
        let path = format!("/api/v1/euiccs/{}/switches", device.eid());
        for (body, pointer) in [
            (json!({}), "/to"),
            (json!({ "to": {} }), "/to/activationCode"),
            (json!({ "to": { "iccid": "12" } }), "/to/iccid"),
            (json!({ "to": { "iccid": device.iccid(2), "rawIccid": "98" } }), "/to/iccid"),
            (json!({ "to": { "activationCode": "nonsense" } }), "/to/activationCode"),
            (json!({ "to": { "activationCode": "1$smdp.example$X$$1" } }), "/to/confirmationCode"),
            (json!({ "to": { "iccid": device.iccid(2), "pool": "p" } }), "/to"),
            (json!({ "to": { "profile": { "name": "Two" }, "smds": {} } }), "/to"),
            (json!({ "to": { "profile": {} } }), "/to/profile"),
            (json!({ "to": { "profile": { "name": 5 } } }), "/to/profile/name"),
            (json!({ "to": { "defaultSmdp": false } }), "/to/defaultSmdp"),
            (json!({ "to": { "defaultSmdp": true }, "proof": { "seenAgainWithin": 0 } }), "/proof/seenAgainWithin"),
            (json!({ "to": { "defaultSmdp": true }, "proof": { "expectedPlmns": ["1"] } }), "/proof/expectedPlmns"),
            (json!({ "to": { "defaultSmdp": true }, "deleteOld": "now" }), "/deleteOld"),
            (json!({ "to": { "defaultSmdp": true }, "waive": ["managed"] }), "/waive"),
            (json!({ "to": { "defaultSmdp": true }, "rollback": "yes" }), "/rollback"),
            (json!({ "to": { "defaultSmdp": true }, "noShowAfter": 100_000 }), "/noShowAfter"),
            (json!({ "to": { "defaultSmdp": true }, "memoryBytes": -1 }), "/memoryBytes"),
            (json!({ "to": { "defaultSmdp": true }, "colour": "red" }), "/colour"),
            (json!({ "to": { "defaultSmdp": true }, "notBefore": "soon" }), "/notBefore"),
        ] {
            let reply = world.post(&path, body.clone()).await;
            assert_eq!(reply.pointers(422), [pointer], "{body}");
        }
        for (to, says) in [
            (json!({ "iccid": device.iccid(2), "pool": "p" }), "exactly one of iccid"),
            (json!({ "profile": {} }), "at least one of serviceProvider and name is needed"),
        ] {
            let reply = world.post(&path, json!({ "to": to })).await;
            assert!(reply.text().contains(says), "{}", reply.text());
        }
        let body = json!({ "to": { "defaultSmdp": true } });
        let unknown = "/api/v1/euiccs/89049032000000000000000000000099/switches";
        assert_eq!(world.post(unknown, body.clone()).await.status, 404);
        assert_eq!(world.post(&format!("{path}?dryRun=perhaps"), body).await.status, 400);
        assert_eq!(
            world.send(Role::Viewer, "GET", "/api/v1/switches?outcome=great", &[], "").await.pointers(422),
            ["/outcome"]
        );
        let reply = world.send(Role::Viewer, "GET", "/api/v1/switches?order=random", &[], "").await;
        assert_eq!(reply.pointers(422), ["/order"]);
    });
}

/// The guard stands before single operations, too.
#[test]
fn an_operation_that_would_leave_no_usable_profile_is_refused() {
    each_store(async |world: &mut World| {
        let device = world.listed_device(1).await;
        let path = format!("/api/v1/euiccs/{}/operations", device.eid());
        let (one, two) = (device.iccid(1), device.iccid(2));
        let disable = json!({ "psmo": [{ "disable": { "iccid": one } }] });
        let delete = json!({ "psmo": [{ "disable": { "iccid": one } }, { "delete": { "iccid": one } }] });
        for body in [
            disable.clone(),
            delete,
            json!({ "psmo": [{ "enable": { "iccid": two } }, { "disable": { "iccid": two } }] }),
        ] {
            assert_eq!(world.post(&path, body.clone()).await.pointers(409), ["/checks/notTheOnlyProfile"], "{body}");
        }
        let swap = json!({ "psmo": [{ "enable": { "iccid": two } }, { "delete": { "iccid": one } }] });
        assert_eq!(world.post(&path, swap).await.pointers(409), ["/checks/notTheOnlyProfile"], "two was never proven");
        let mut overriding = disable;
        overriding["override"] = json!(["notTheOnlyProfile"]);
        assert_eq!(world.post(&path, overriding.clone()).await.status, 403);
        let reply = world.send(Role::Admin, "POST", &path, &[], overriding.to_string()).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        let queued = world.events_of(&device.eid(), "operationQueued").await;
        assert!(queued.iter().any(|event| event["overridden"] == json!(["notTheOnlyProfile"])), "{queued:?}");
        overriding["override"] = json!(["managed"]);
        assert_eq!(world.post(&path, overriding).await.pointers(422), ["/override"]);
    });
}
