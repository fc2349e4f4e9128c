//! What is known of the profiles of a device that changes and says nothing: results that do not fit the list, lists that are old,
//! and the list before an old profile is deleted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use chrono::TimeDelta;
use eim_conformance::{Device, Role, World, each_store};
use eim_simulator::euicc::{Profile, ProfileClass};
use eim_simulator::ipa::PollOptions;
use serde_json::{Value, json};

/// A device whose list is known, with the fallback attribute on its third profile.
async fn with_fallback(world: &World, index: u32) -> Device {
    let mut device = world.listed_device(index).await;
    let set = json!({ "psmo": [{ "setFallbackAttribute": { "iccid": device.iccid(3) } }] });
    let id = world.queue(&device.eid(), set).await;
    device.session().await;
    assert_eq!(world.operation(&id).await["state"], "succeeded");
    world.list(&mut device).await;
    world.advance(TimeDelta::minutes(1)).await;
    device
}

fn lose_fallback(device: &mut Device) {
    let three = device.raw_iccid(3);
    device.euicc.profile_mut(&three).unwrap().fallback_attribute = false;
}

fn disable(device: &Device) -> Value {
    json!({ "psmo": [{ "disable": { "iccid": device.iccid(1) } }] })
}

/// How many lists of profiles were asked for of a device.
async fn lists(world: &World, eid: &str) -> usize {
    world.operations(eid).await.iter().filter(|one| one["request"].to_string().contains("listProfileInfo")).count()
}

async fn is_refused_as_the_only_one(world: &World, device: &Device, id: &str) {
    let ended = world.operation(id).await;
    let told = (&ended["state"], &ended["error"]["name"], &ended["attempts"]);
    assert_eq!(told, (&json!("failed"), &json!("notTheOnlyProfile"), &json!(0)), "{ended}");
    assert_eq!(device.euicc.enabled_iccid(), Some(device.raw_iccid(1)));
}

#[test]
fn a_result_that_does_not_fit_the_list_has_it_asked_for_before_anything_else_is_taken_away() {
    each_store(async |world: &mut World| {
        let mut device = with_fallback(world, 1).await;
        let eid = device.eid();
        lose_fallback(&mut device);
        // Both were asked for before the device told anything: the first shows that the list is wrong, the second waits for another.
        let unset = world.queue(&eid, json!({ "psmo": [{ "unsetFallbackAttribute": {} }] })).await;
        let last = world.queue(&eid, disable(&device)).await;
        for _ in 0..3 {
            device.session().await;
        }
        assert_eq!(world.operation(&unset).await["error"]["name"], "noFallbackAttribute");
        is_refused_as_the_only_one(world, &device, &last).await;
        let shown = world.get(&format!("/api/v1/euiccs/{eid}/profiles")).await;
        assert!(!shown.to_string().contains("\"fallback\":true"), "{shown}");

        // A profile that is listed and was not found, and one that is off already.
        let mut other = with_fallback(world, 2).await;
        let eid = other.eid();
        let two = other.raw_iccid(2);
        assert!(other.euicc.delete_locally(&two));
        world.queue(&eid, other.enable(2, false)).await;
        other.session().await;
        let known: Vec<String> = world.profiles(&eid).await.into_iter().map(|(iccid, _)| iccid).collect();
        assert!(!known.contains(&other.iccid(2)), "{known:?}");
        let three = other.raw_iccid(3);
        assert!(other.euicc.enable_locally(&three));
        world.queue(&eid, other.enable(3, false)).await;
        other.session().await;
        assert_eq!(world.enabled(&eid).await, [other.iccid(3)]);

        // What fits asks for nothing more.
        let before = lists(world, &eid).await;
        let again = world.queue(&eid, other.enable(3, false)).await;
        other.session().await;
        assert_eq!(world.operation(&again).await["error"]["name"], "profileNotInDisabledState");
        assert_eq!(lists(world, &eid).await, before);
    });
}

#[test]
fn an_old_list_is_asked_for_again_before_a_profile_is_disabled_or_deleted() {
    each_store(async |world: &mut World| {
        let mut device = with_fallback(world, 1).await;
        let eid = device.eid();
        lose_fallback(&mut device);
        world.advance(TimeDelta::hours(1)).await;
        let asked = world.queue(&eid, disable(&device)).await;
        device.session().await;
        is_refused_as_the_only_one(world, &device, &asked).await;

        // Enabling with the way back takes nothing for good, and a new list is good for an hour.
        let before = lists(world, &eid).await;
        world.advance(TimeDelta::minutes(59)).await;
        let delete = world.queue(&eid, json!({ "psmo": [{ "delete": { "iccid": device.iccid(3) } }] })).await;
        device.session().await;
        assert_eq!(world.operation(&delete).await["state"], "succeeded");
        world.advance(TimeDelta::days(2)).await;
        let enable = world.queue(&eid, device.enable(2, true)).await;
        device.session().await;
        assert_eq!(world.operation(&enable).await["state"], "succeeded");
        assert_eq!(lists(world, &eid).await, before);

        // Of a device that can't tell its list nobody knows what it would be left with.
        device.euicc.faults.undefined_errors = true;
        let delete = world.queue(&eid, json!({ "psmo": [{ "delete": { "iccid": device.iccid(1) } }] })).await;
        device.session().await;
        device.session().await;
        let ended = world.operation(&delete).await;
        let told = (&ended["state"], &ended["error"]["name"], &ended["attempts"]);
        assert_eq!(told, (&json!("failed"), &json!("profileList"), &json!(0)), "{ended}");
        assert_eq!(lists(world, &eid).await, before + 3, "asked for three times");

        // Without the way back a day counts.
        device.euicc.faults.undefined_errors = false;
        let before = lists(world, &eid).await;
        let enable = world.queue(&eid, device.enable(1, false)).await;
        device.session().await;
        assert_eq!(world.operation(&enable).await["state"], "succeeded");
        assert_eq!(lists(world, &eid).await, before + 1);
    });
}

#[test]
fn a_list_that_tells_too_little_or_how_it_was_before_makes_no_end_of_doubts() {
    each_store(async |world: &mut World| {
        // Without the fallback attribute and the classes.
        let short = json!({ "psmo": [{ "listProfileInfo": { "tags": ["5A", "9F70"] } }] });
        let mut device = with_fallback(world, 1).await;
        let eid = device.eid();
        lose_fallback(&mut device);
        world.queue(&eid, json!({ "psmo": [{ "unsetFallbackAttribute": {} }] })).await;
        world.queue(&eid, short.clone()).await;
        let last = world.queue(&eid, disable(&device)).await;
        for _ in 0..4 {
            device.session().await;
        }
        is_refused_as_the_only_one(world, &device, &last).await;
        // The same in one package: the list is asked for once more.
        let mut other = with_fallback(world, 2).await;
        let both = json!({ "psmo": [{ "unsetFallbackAttribute": {} }, short["psmo"][0].clone()] });
        world.queue(&other.eid(), both).await;
        lose_fallback(&mut other);
        other.session().await;
        let last = world.post(&format!("/api/v1/euiccs/{}/operations", other.eid()), disable(&other)).await;
        assert_eq!(last.pointers(409), ["/checks/notTheOnlyProfile"]);

        // One that was executed before the device changed, and whose result came after.
        for own in [false, true] {
            let mut device = with_fallback(world, if own { 3 } else { 4 }).await;
            let eid = device.eid();
            if own {
                let full = eim_core::domain::lists::list_profiles();
                world.queue(&eid, full).await;
            }
            let first = if own { PollOptions::default() } else { PollOptions::state_change(0) };
            device.ipa.behaviour.lose_result = true;
            device.poll_with(&first).await;
            device.ipa.behaviour.lose_result = false;
            lose_fallback(&mut device);
            world.advance(TimeDelta::minutes(1)).await;
            let last = world.queue(&eid, disable(&device)).await;
            device.poll_with(&PollOptions::state_change(0)).await;
            for _ in 0..4 {
                device.session().await;
            }
            is_refused_as_the_only_one(world, &device, &last).await;
        }
    });
}

#[test]
fn what_takes_away_waits_for_a_list_that_does_not_come_at_once() {
    each_store(async |world: &mut World| {
        // An emergency call puts the list off, and what waits behind it as well.
        let mut device = with_fallback(world, 1).await;
        lose_fallback(&mut device);
        device.euicc.set_ecall_active(true);
        let last = world.queue(&device.eid(), disable(&device)).await;
        device.poll_with(&PollOptions::state_change(0)).await;
        device.euicc.set_ecall_active(false);
        device.session().await;
        assert_eq!(world.operation(&last).await["state"], "queued");
        world.advance(TimeDelta::minutes(3)).await;
        device.session().await;
        is_refused_as_the_only_one(world, &device, &last).await;

        // One that fails is asked for three times; then nobody knows what would be left.
        let mut device = with_fallback(world, 2).await;
        let eid = device.eid();
        lose_fallback(&mut device);
        device.poll_with(&PollOptions::state_change(0)).await;
        device.session().await;
        device.euicc.faults.undefined_errors = true;
        world.advance(TimeDelta::minutes(3)).await;
        device.poll_with(&PollOptions::state_change(0)).await;
        let mut overriding = disable(&device);
        overriding["override"] = json!(["notTheOnlyProfile"]);
        let path = format!("/api/v1/euiccs/{eid}/operations");
        let ask = async |world: &World, body: &Value| {
            let reply = world.send(Role::Admin, "POST", &path, &[], body.to_string()).await;
            assert_eq!(reply.status, 202, "{}", reply.text());
            reply.json()["id"].as_str().unwrap().to_owned()
        };
        let last = ask(world, &overriding).await;
        for _ in 0..3 {
            device.session().await;
        }
        let ended = world.operation(&last).await;
        let told = (&ended["state"], &ended["error"]["name"], &ended["attempts"]);
        assert_eq!(told, (&json!("failed"), &json!("profileList"), &json!(0)), "{ended}");
        // An admin may say that it does not matter.
        overriding["override"] = json!(["notTheOnlyProfile", "profileList"]);
        let last = ask(world, &overriding).await;
        for _ in 0..3 {
            device.session().await;
        }
        let ended = world.operation(&last).await;
        assert_eq!((&ended["error"]["name"], &ended["attempts"]), (&json!("undefinedError"), &json!(1)), "{ended}");
    });
}

#[test]
fn each_change_that_the_device_tells_has_its_list_and_nobody_takes_that_back() {
    each_store(async |world: &mut World| {
        // It changes a moment after the list, and says so.
        let mut device = with_fallback(world, 1).await;
        let last = world.queue(&device.eid(), disable(&device)).await;
        device.poll_with(&PollOptions::state_change(0)).await;
        lose_fallback(&mut device);
        world.advance(TimeDelta::seconds(2)).await;
        device.poll_with(&PollOptions::state_change(0)).await;
        for _ in 0..3 {
            device.session().await;
        }
        is_refused_as_the_only_one(world, &device, &last).await;

        // Where it says so after every list nobody knows what it would be left with.
        let mut device = with_fallback(world, 3).await;
        let eid = device.eid();
        let (last, enable) = (disable(&device), device.enable(2, true));
        let last = world.queue(&eid, last).await;
        for _ in 0..3 {
            device.poll_with(&PollOptions::state_change(0)).await;
            world.advance(TimeDelta::seconds(2)).await;
        }
        lose_fallback(&mut device);
        let enable = world.queue(&eid, enable).await;
        for _ in 0..9 {
            device.poll_with(&PollOptions::state_change(0)).await;
            world.advance(TimeDelta::seconds(2)).await;
        }
        let ended = world.operation(&last).await;
        assert_eq!((&ended["error"]["name"], &ended["attempts"]), (&json!("profileList"), &json!(0)), "{ended}");
        assert_eq!(world.operation(&enable).await["state"], "succeeded", "what can be had back is not held up");

        // A cause alone says it as well; and whoever cancels the list does not get past it.
        let mut device = with_fallback(world, 2).await;
        let eid = device.eid();
        lose_fallback(&mut device);
        device.ipa.behaviour.lose_result = true;
        let cause = PollOptions { cause: Some(1), ..PollOptions::default() };
        let waiting = world.queue(&eid, json!({ "euiccData": { "tags": ["81"] } })).await;
        device.poll_with(&cause).await;
        device.ipa.behaviour.lose_result = false;
        let shown = world.get(&format!("/api/v1/euiccs/{eid}/profiles")).await;
        assert_eq!(shown["stale"], true, "{shown}");
        let asked = world.operations(&eid).await;
        for list in asked.iter().filter(|one| one["state"] == "queued") {
            let path = format!("/api/v1/operations/{}/cancel", list["id"].as_str().unwrap());
            assert_eq!(world.post(&path, Value::Null).await.status, 200, "{list}");
        }
        let last = world.queue(&eid, disable(&device)).await;
        for _ in 0..4 {
            device.session().await;
        }
        assert_ne!(world.operation(&waiting).await["state"], "queued");
        is_refused_as_the_only_one(world, &device, &last).await;
    });
}

#[test]
fn whether_a_switch_changes_anything_the_euicc_says_where_the_list_may_be_wrong() {
    each_store(async |world: &mut World| {
        for (index, moved, old) in [(1, true, false), (2, false, false), (3, true, true), (4, false, true)] {
            let mut device = with_fallback(world, index).await;
            let eid = device.eid();
            if moved {
                assert_eq!(device.euicc.execute_fallback(), 0);
            }
            if old {
                world.advance(TimeDelta::days(2)).await;
            } else {
                // The list that is asked for then is lost.
                device.ipa.behaviour.lose_result = true;
                device.poll_with(&PollOptions::state_change(1)).await;
                device.ipa.behaviour.lose_result = false;
            }
            let body = json!({ "to": { "iccid": device.iccid(1) } });
            let reply = world.post(&format!("/api/v1/euiccs/{eid}/switches"), body).await;
            assert_eq!((reply.status, &reply.json()["outcome"]), (202, &Value::Null), "{}", reply.text());
            for _ in 0..6 {
                device.session().await;
            }
            let ended = world.get(&format!("/api/v1/switches/{}", reply.json()["id"].as_str().unwrap())).await;
            let expected = if moved { "proven" } else { "unchanged" };
            assert_eq!(ended["outcome"], expected, "{ended}");
            assert_eq!(device.euicc.enabled_iccid(), Some(device.raw_iccid(1)));
        }
    });
}

#[test]
fn a_test_profile_with_the_fallback_attribute_is_no_way_back() {
    each_store(async |world: &mut World| {
        let mut device = with_fallback(world, 1).await;
        let three = device.raw_iccid(3);
        device.euicc.profile_mut(&three).unwrap().class = ProfileClass::Test;
        world.list(&mut device).await;
        let body = json!({ "to": { "iccid": device.iccid(2) }, "deleteOld": "afterProof" });
        let reply = world.post(&format!("/api/v1/euiccs/{}/switches", device.eid()), body).await;
        assert_eq!(reply.pointers(409), ["/checks/fallback"]);
        assert!(reply.text().contains("test profile"), "{}", reply.text());
    });
}

#[test]
fn what_a_device_tells_while_the_old_profile_is_to_go_counts_against_the_proof() {
    const FALLBACK_CAUSE: i64 = 1;
    each_store(async |world: &mut World| {
        // What happens between the list and the deletion, and how the switch ends.
        for (index, happens, expected) in [
            (1, "cause", "fellBack"),
            (2, "notified", "fellBack"),
            (3, "network", "unconfirmed"),
            (4, "silent", "rolledBack"),
            (5, "early cause", "fellBack"),
        ] {
            let mut device = with_fallback(world, index).await;
            let eid = device.eid();
            let mut body = json!({ "to": { "iccid": device.iccid(2) }, "deleteOld": "afterProof" });
            body["proof"] = json!({ "seenAgainWithin": 3, "expectedPlmns": ["26201"] });
            let reply = world.post(&format!("/api/v1/euiccs/{eid}/switches"), body).await;
            let switch = format!("/api/v1/switches/{}", reply.json()["id"].as_str().unwrap());
            let home = PollOptions { r_plmn: Some("26201".parse().unwrap()), ..PollOptions::default() };
            device.ipa.behaviour.lose_result = happens == "early cause";
            device.poll_with(&home).await;
            device.ipa.behaviour.lose_result = false;
            world.advance(TimeDelta::seconds(10)).await;
            if happens == "early cause" {
                assert_eq!(device.euicc.execute_fallback(), 0);
                device.poll_with(&PollOptions { cause: Some(FALLBACK_CAUSE), ..home }).await;
            } else {
                device.poll_with(&home).await;
                let listed = world.get(&switch).await;
                assert_eq!((&listed["state"], &listed["deleted"]), (&json!("deleting"), &json!([])), "{listed}");
                world.advance(TimeDelta::seconds(10)).await;
            }
            match happens {
                "cause" | "notified" => {
                    assert_eq!(device.euicc.execute_fallback(), 0);
                    let notify_state_change = happens == "notified";
                    let told = PollOptions { notify_state_change, cause: Some(FALLBACK_CAUSE), ..home };
                    device.poll_with(&told).await;
                }
                "network" => {
                    device.poll_with(&PollOptions { r_plmn: Some("26202".parse().unwrap()), ..home }).await;
                }
                // The eUICC refuses to delete what is enabled, and the list tells why.
                "silent" => assert!(device.euicc.enable_locally(&device.raw_iccid(1))),
                _ => {}
            }
            for _ in 0..4 {
                device.session().await;
            }
            let ended = world.get(&switch).await;
            assert_eq!(ended["outcome"], expected, "{happens}: {ended}");
            assert_eq!(ended["deleted"], json!([]), "{happens}: {ended}");
            assert!(device.euicc.profile(&device.raw_iccid(1)).is_some(), "{happens}: {ended}");
        }
    });
}

#[test]
fn each_operation_has_its_own_lists_and_a_list_is_as_old_as_its_package() {
    each_store(async |world: &mut World| {
        // Operations that were cancelled after their list leave none for the next one to do without.
        let mut device = with_fallback(world, 1).await;
        let eid = device.eid();
        for _ in 0..3 {
            world.advance(TimeDelta::hours(2)).await;
            let id = world.queue(&eid, disable(&device)).await;
            device.poll().await;
            assert_eq!(world.post(&format!("/api/v1/operations/{id}/cancel"), Value::Null).await.status, 200);
        }
        world.advance(TimeDelta::days(30)).await;
        lose_fallback(&mut device);
        let last = world.queue(&eid, disable(&device)).await;
        device.session().await;
        is_refused_as_the_only_one(world, &device, &last).await;

        // A list whose result was on its way for days tells how it was then.
        let mut device = with_fallback(world, 2).await;
        let eid = device.eid();
        world.advance(TimeDelta::hours(2)).await;
        let last = world.queue(&eid, disable(&device)).await;
        device.ipa.behaviour.lose_result = true;
        device.poll().await;
        device.ipa.behaviour.lose_result = false;
        world.advance(TimeDelta::days(10)).await;
        lose_fallback(&mut device);
        for _ in 0..4 {
            device.session().await;
        }
        is_refused_as_the_only_one(world, &device, &last).await;

        // An emergency call puts off what is only old as well.
        let mut device = with_fallback(world, 3).await;
        world.advance(TimeDelta::hours(2)).await;
        lose_fallback(&mut device);
        device.euicc.set_ecall_active(true);
        let last = world.queue(&device.eid(), disable(&device)).await;
        device.poll().await;
        device.euicc.set_ecall_active(false);
        device.session().await;
        assert_eq!(world.operation(&last).await["state"], "queued");
        world.advance(TimeDelta::minutes(3)).await;
        device.session().await;
        is_refused_as_the_only_one(world, &device, &last).await;
    });
}

#[test]
fn the_old_profile_is_the_one_that_the_list_before_the_switch_shows() {
    each_store(async |world: &mut World| {
        let mut device = with_fallback(world, 1).await;
        let eid = device.eid();
        let fourth = Profile::operational(eim_conformance::new_iccid(9), "Fourth");
        let four = fourth.iccid;
        device.euicc = device.euicc.clone().with_profile(fourth);
        world.list(&mut device).await;
        world.advance(TimeDelta::minutes(1)).await;
        // It moves by itself, and says so in the poll that would have taken the package.
        assert!(device.euicc.enable_locally(&four));
        let body = json!({ "to": { "iccid": device.iccid(2) }, "deleteOld": "afterProof" });
        let reply = world.post(&format!("/api/v1/euiccs/{eid}/switches"), body).await;
        device.poll_with(&PollOptions::state_change(3)).await;
        for _ in 0..4 {
            device.session().await;
        }
        let ended = world.get(&format!("/api/v1/switches/{}", reply.json()["id"].as_str().unwrap())).await;
        assert_eq!(ended["outcome"], "proven", "{ended}");
        assert_eq!(ended["previous"], ended["deleted"], "{ended}");
        assert!(device.euicc.profile(&four).is_none() && device.euicc.profile(&device.raw_iccid(1)).is_some());
    });
}

#[test]
fn a_switch_has_the_list_once_more_before_it_deletes_the_old_profile() {
    each_store(async |world: &mut World| {
        // What the device does between the proof and the deletion, and says nothing of.
        for (index, moves) in [(1, "back"), (2, "attribute"), (3, "nothing")] {
            let mut device = with_fallback(world, index).await;
            let eid = device.eid();
            let path = format!("/api/v1/euiccs/{eid}/switches");
            let body = json!({ "to": { "iccid": device.iccid(2) }, "deleteOld": "afterProof" });
            let reply = world.post(&path, body).await;
            assert_eq!(reply.status, 202, "{}", reply.text());
            device.poll().await;
            let one = device.raw_iccid(1);
            match moves {
                "back" => assert!(device.euicc.enable_locally(&one)),
                "attribute" => {
                    lose_fallback(&mut device);
                    device.euicc.profile_mut(&one).unwrap().fallback_attribute = true;
                }
                _ => {}
            }
            for _ in 0..3 {
                device.session().await;
            }
            let ended = world.get(&format!("/api/v1/switches/{}", reply.json()["id"].as_str().unwrap())).await;
            let told = (ended["outcome"].as_str().unwrap(), ended["reason"]["name"].as_str());
            let expected = match moves {
                "back" => ("rolledBack", Some("notEnabled")),
                "attribute" => ("proven", Some("oldProfileKept")),
                _ => ("proven", None),
            };
            assert_eq!(told, expected, "{moves}: {ended}");
            assert_eq!(device.euicc.profile(&one).is_none(), moves == "nothing", "{moves}: {ended}");
        }
    });
}
