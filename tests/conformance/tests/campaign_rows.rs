//! What a campaign promises beside its waves, row by row, through the front door: who joins later, when it ends, how many at once,
//! windows over a change of the clock, attempts, ways back, priorities. A clock that is moved lets a week run in seconds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use chrono::{DateTime, TimeDelta, Utc};
use eim_conformance::{Device, Role, World, code_of, each_store, order};
use eim_simulator::euicc::{DeviceDescription, Euicc};
use eim_simulator::ipa::DownloadMode;
use serde_json::{Value, json};

/// A device whose list is known, with this tag.
async fn tagged(world: &World, index: u32, tag: &str) -> Device {
    let device = world.listed_device(index).await;
    world.patch(&device.eid(), json!({ "tags": [tag] })).await;
    device
}

async fn fleet(world: &World, first: u32, size: u32, tag: &str) -> Vec<Device> {
    let mut devices = Vec::new();
    for index in first..first + size {
        devices.push(tagged(world, index, tag).await);
    }
    devices
}

/// Starts a campaign that moves every device with the tag to the profile named "Two".
async fn started(world: &World, tag: &str, more: Value) -> String {
    let mut body = json!({
        "name": format!("{tag} to two"),
        "target": { "filter": { "tags": [tag] } },
        "plan": { "switch": { "to": { "profile": { "name": "Two" } }, "waive": ["fallback"] } },
        "approval": "none",
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let reply = world.send(Role::Admin, "POST", "/api/v1/campaigns", &[], body.to_string()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    for verb in ["submit", "start"] {
        let reply = world.post(&format!("/api/v1/campaigns/{id}/{verb}"), Value::Null).await;
        assert_eq!(reply.status, 200, "{verb}: {}", reply.text());
    }
    drive(world).await;
    id
}

async fn drive(world: &World) {
    world.advance(TimeDelta::seconds(3)).await;
}

async fn show(world: &World, id: &str) -> Value {
    world.get(&format!("/api/v1/campaigns/{id}")).await
}

async fn rows(world: &World, id: &str) -> Vec<Value> {
    world.get(&format!("/api/v1/campaigns/{id}/devices")).await["items"].as_array().unwrap().clone()
}

async fn row(world: &World, id: &str, device: &Device) -> Value {
    rows(world, id).await.into_iter().find(|row| row["eid"] == device.eid()).expect("it is in the campaign")
}

/// The devices in this state.
async fn in_state(world: &World, id: &str, state: &str) -> Vec<String> {
    let rows = rows(world, id).await.into_iter().filter(|row| row["state"] == state);
    rows.map(|row| row["eid"].as_str().unwrap().to_owned()).collect()
}

async fn sessions(devices: &mut [Device]) {
    for device in devices {
        device.session().await;
    }
}

fn rfc3339(time: DateTime<Utc>) -> Value {
    time.to_rfc3339().into()
}

/// Moves the clock to this time, at once.
async fn wait_until(world: &World, time: &str) {
    let time: DateTime<Utc> = time.parse().unwrap();
    assert!(time >= world.now(), "{time} is past");
    world.advance(time - world.now()).await;
}

#[test]
fn a_device_that_starts_to_match_later_joins_a_continuous_campaign() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 1, 1, "meters").await;
        let mut other = tagged(world, 5, "doors").await;
        let target = json!({ "filter": { "tags": ["meters"] }, "mode": "CONTINUOUS" });
        let ends = world.now() + TimeDelta::days(2);
        let id = started(world, "meters", json!({ "target": target, "endAt": rfc3339(ends) })).await;
        let snapshot = started(world, "doors", json!({})).await;
        sessions(&mut fleet).await;
        other.session().await;
        drive(world).await;
        let shown = show(world, &id).await;
        assert_eq!((&shown["state"], &shown["totals"]["devices"]), (&json!("running"), &json!(1)), "{shown}");

        // One is new, one only gets the tag, one is somebody else's.
        fleet.push(tagged(world, 2, "meters").await);
        fleet.push(tagged(world, 3, "garage").await);
        let late = tagged(world, 4, "doors").await;
        world.patch(&fleet[2].eid(), json!({ "tags": ["garage", "meters"] })).await;
        for _ in 0..3 {
            world.advance(TimeDelta::minutes(5)).await;
            sessions(&mut fleet).await;
        }
        drive(world).await;
        let shown = show(world, &id).await;
        assert_eq!(
            (&shown["state"], &shown["totals"]["outcomes"]),
            (&json!("running"), &json!({ "proven": 3 })),
            "{shown}"
        );
        for device in &fleet {
            assert_eq!(world.enabled(&device.eid()).await, [device.iccid(2)]);
        }
        assert_eq!(world.enabled(&late.eid()).await, [late.iccid(1)], "a snapshot takes nobody later");
        assert_eq!(show(world, &snapshot).await["totals"]["devices"], 1);

        world.advance(TimeDelta::days(2)).await;
        assert_eq!(show(world, &id).await["state"], "completed", "nothing was cut off");
        let after = tagged(world, 6, "meters").await;
        world.advance(TimeDelta::minutes(10)).await;
        assert_eq!(rows(world, &id).await.len(), 3, "it has ended");
        assert_eq!(world.enabled(&after.eid()).await, [after.iccid(1)]);
    });
}

#[test]
fn at_its_end_nothing_begins_and_what_was_not_delivered_stays_or_is_withdrawn() {
    each_store(async |world: &mut World| {
        for (first, behavior, undelivered) in [(10, "STOP", "proven"), (20, "CANCEL", "cancelled")] {
            let mut fleet = fleet(world, first, 3, behavior).await;
            let ends = rfc3339(world.now() + TimeDelta::seconds(40));
            let more = json!({ "rate": { "maxPerMinute": 2 }, "endAt": ends, "endBehavior": behavior });
            let id = started(world, behavior, more).await;
            let running = in_state(world, &id, "running").await;
            let [pending] = <[String; 1]>::try_from(in_state(world, &id, "pending").await).unwrap();
            assert_eq!(running.len(), 2);
            fleet.iter_mut().find(|device| device.eid() == running[0]).unwrap().fetch().await;
            world.advance(TimeDelta::seconds(60)).await;
            drive(world).await;
            let outcome = async |eid: &str| {
                let row = rows(world, &id).await.into_iter().find(|row| row["eid"] == eid).unwrap();
                row["outcome"].as_str().unwrap_or("none").to_owned()
            };
            assert_eq!(outcome(&pending).await, "cancelled", "{behavior}");
            assert_eq!(show(world, &id).await["state"], "running", "{behavior}: what was delivered goes on");
            sessions(&mut fleet).await;
            drive(world).await;
            assert_eq!(outcome(&running[0]).await, "proven", "{behavior}");
            assert_eq!(outcome(&running[1]).await, undelivered, "{behavior}");
            assert_eq!(show(world, &id).await["state"], "expired", "{behavior}");
            for device in &fleet {
                let moved = device.eid() == running[0] || (device.eid() == running[1] && undelivered == "proven");
                let expected = if moved { device.iccid(2) } else { device.iccid(1) };
                assert_eq!(device.euicc.enabled_iccid().unwrap().digits(), Some(expected), "{behavior}");
            }
        }
    });
}

#[test]
fn no_more_downloads_are_under_way_than_the_server_may_have() {
    each_store(async |world: &mut World| {
        let smdp = world.smdp().await;
        let features = [DeviceDescription::DIRECT_RSP_SERVER_COMMUNICATION];
        let mut fleet = Vec::new();
        let mut codes = Vec::new();
        for index in 1..=5 {
            let mut device = world.downloading_device(index, DownloadMode::Direct, &features).await;
            world.list(&mut device).await;
            world.patch(&device.eid(), json!({ "tags": ["meters"] })).await;
            fleet.push(device);
            smdp.add_order(order(&smdp, &format!("CODE-{index}"), index));
            codes.push(code_of(&smdp, &format!("CODE-{index}")));
        }
        let pool = world.post("/api/v1/pools", json!({ "name": "codes" })).await.json();
        let path = format!("/api/v1/pools/{}/codes", pool["id"].as_str().unwrap());
        assert_eq!(world.post(&path, json!({ "codes": codes })).await.status, 200);
        let plan = json!({ "switch": { "to": { "pool": "codes" }, "waive": ["fallback"] } });
        let id = started(world, "meters", json!({ "plan": plan, "perSmdpMaxConcurrent": 2 })).await;
        let downloading = async || {
            let switches = world.get("/api/v1/switches").await["items"].as_array().unwrap().clone();
            switches.iter().filter(|switch| switch["state"] == "downloading").count()
        };
        let mut most = 0;
        for _ in 0..20 {
            most = most.max(downloading().await);
            drive(world).await;
            most = most.max(downloading().await);
            let Some(running) = in_state(world, &id, "running").await.first().cloned() else { break };
            fleet.iter_mut().find(|device| device.eid() == running).unwrap().session().await;
        }
        assert_eq!(most, 2, "as many as there may be, and no more");
        sessions(&mut fleet).await;
        drive(world).await;
        let done = show(world, &id).await;
        assert_eq!(
            (&done["state"], &done["totals"]["outcomes"]),
            (&json!("completed"), &json!({ "proven": 5 })),
            "{done}"
        );
        smdp.stop().await;
    });
}

#[test]
fn windows_open_once_a_night_also_when_the_clock_is_changed() {
    each_store(async |world: &mut World| {
        // Berlin, 2026-03-29: 02:00 is followed by 03:00, which is 01:00 UTC. 2026-10-25: 02:30 comes at 00:30 and 01:30 UTC.
        // How many devices have begun at these times; one begins in a minute.
        let spring = [
            ("2026-03-29T00:59:50Z", 0),
            ("2026-03-29T01:00:30Z", 1),
            // An hour of real time, whatever the clock on the wall shows.
            ("2026-03-29T02:00:00Z", 1),
            ("2026-03-29T02:30:30Z", 1),
            ("2026-03-30T00:29:50Z", 1),
            ("2026-03-30T00:30:30Z", 2),
        ];
        let autumn = [
            ("2026-10-25T00:29:50Z", 0),
            ("2026-10-25T00:30:30Z", 1),
            // Not a second time when it is half past two again.
            ("2026-10-25T01:30:30Z", 1),
            ("2026-10-25T02:29:00Z", 1),
            ("2026-10-26T01:29:50Z", 1),
            ("2026-10-26T01:30:30Z", 2),
        ];
        for (night, first, noon, times) in
            [("spring", 1, "2026-03-28T12:00:00Z", spring), ("autumn", 4, "2026-10-24T12:00:00Z", autumn)]
        {
            wait_until(world, noon).await;
            let mut fleet = fleet(world, first, 3, night).await;
            let windows = json!([{ "cron": "30 2 * * *", "durationMinutes": 60, "zone": "Europe/Berlin" }]);
            let more = json!({ "maintenanceWindows": windows, "rate": { "maxPerMinute": 1 } });
            let id = started(world, night, more).await;
            for (time, begun) in times {
                wait_until(world, time).await;
                assert_eq!(show(world, &id).await["totals"]["running"], begun, "{night}, {time}");
            }
            world.advance(TimeDelta::seconds(70)).await;
            sessions(&mut fleet).await;
            drive(world).await;
            let done = show(world, &id).await;
            let outcomes = json!({ "proven": 3 });
            assert_eq!(
                (&done["state"], &done["totals"]["outcomes"]),
                (&json!("completed"), &outcomes),
                "{night}: {done}"
            );
        }
    });
}

#[test]
fn each_outcome_is_tried_again_by_its_own_rule_and_after_its_own_time() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 1, 3, "meters").await;
        fleet[0].ipa.behaviour.connectivity_lost = true;
        let retry = json!([
            { "outcomes": ["rolledBack"], "maxRetries": 2, "backoffSeconds": 3600, "factor": 3 },
            { "outcomes": ["noShow"], "maxRetries": 1, "backoffSeconds": 600 },
        ]);
        let to = json!({ "profile": { "name": "Two" } });
        let plan = json!({ "switch": { "to": to, "waive": ["fallback"], "noShowAfter": 1 } });
        let id = started(world, "meters", json!({ "plan": plan, "retry": retry })).await;
        fleet[1].session().await;
        // An hour after the first attempt, and three hours after the second one.
        for (attempts, wait) in [(1, 60), (2, 180)] {
            fleet[0].session().await;
            drive(world).await;
            let shown = row(world, &id, &fleet[0]).await;
            assert_eq!((&shown["state"], &shown["attempts"]), (&json!("pending"), &json!(attempts)), "{shown}");
            assert_eq!(shown["outcome"], "rolledBack", "{shown}");
            world.advance(TimeDelta::minutes(wait - 2)).await;
            assert_eq!(row(world, &id, &fleet[0]).await["attempts"], attempts, "not before its time");
            assert_eq!(show(world, &id).await["state"], "running");
            world.advance(TimeDelta::minutes(3)).await;
            let shown = row(world, &id, &fleet[0]).await;
            assert_eq!((&shown["state"], &shown["attempts"]), (&json!("running"), &json!(attempts + 1)), "{shown}");
        }
        fleet[0].session().await;
        drive(world).await;
        let shown = row(world, &id, &fleet[0]).await;
        assert_eq!((&shown["state"], &shown["attempts"]), (&json!("ended"), &json!(3)), "no fourth attempt: {shown}");
        // The third device does not come: of it one poll was seen, so a day is taken for its interval.
        let absent = async || {
            let shown = row(world, &id, &fleet[2]).await;
            (shown["state"].as_str().unwrap().to_owned(), shown["attempts"].as_i64().unwrap())
        };
        assert_eq!(absent().await, ("running".to_owned(), 1));
        world.advance(TimeDelta::hours(20)).await;
        drive(world).await;
        assert_eq!(absent().await, ("pending".to_owned(), 1), "a no-show, and ten minutes until it is tried again");
        world.advance(TimeDelta::minutes(8)).await;
        assert_eq!(absent().await, ("pending".to_owned(), 1));
        world.advance(TimeDelta::minutes(3)).await;
        assert_eq!(absent().await, ("running".to_owned(), 2));
        world.advance(TimeDelta::hours(25)).await;
        drive(world).await;
        assert_eq!(absent().await, ("ended".to_owned(), 2), "no third attempt");
        let done = show(world, &id).await;
        let outcomes = json!({ "noShow": 1, "proven": 1, "rolledBack": 1 });
        assert_eq!((&done["state"], &done["totals"]["outcomes"]), (&json!("completed"), &outcomes), "{done}");
        assert_eq!(row(world, &id, &fleet[1]).await["attempts"], 1);
        let switches = world.get(&format!("/api/v1/switches?eid={}", fleet[0].eid())).await;
        assert_eq!(switches["items"].as_array().unwrap().len(), 3, "one for each attempt: {switches}");
    });
}

#[test]
fn a_device_that_waits_for_another_attempt_keeps_its_outcome_when_the_campaign_ends() {
    each_store(async |world: &mut World| {
        for (first, how, state) in [(10, "abort", "aborted"), (20, "endAt", "expired")] {
            let mut fleet = fleet(world, first, 2, how).await;
            fleet[0].ipa.behaviour.connectivity_lost = true;
            let retry = json!([{ "outcomes": ["rolledBack"], "maxRetries": 3, "backoffSeconds": 86_400 }]);
            let ends = rfc3339(world.now() + TimeDelta::hours(1));
            let id = started(world, how, json!({ "retry": retry, "endAt": ends })).await;
            sessions(&mut fleet).await;
            drive(world).await;
            let waits = row(world, &id, &fleet[0]).await;
            assert_eq!((&waits["state"], &waits["outcome"]), (&json!("pending"), &json!("rolledBack")), "{waits}");
            if how == "abort" {
                let reply = world.post(&format!("/api/v1/campaigns/{id}/abort"), Value::Null).await;
                assert_eq!(reply.status, 200, "{}", reply.text());
            } else {
                world.advance(TimeDelta::hours(1)).await;
            }
            drive(world).await;
            let done = show(world, &id).await;
            let outcomes = json!({ "proven": 1, "rolledBack": 1 });
            assert_eq!((&done["state"], &done["totals"]["outcomes"]), (&json!(state), &outcomes), "{done}");
            let ended = row(world, &id, &fleet[0]).await;
            assert_eq!((&ended["state"], &ended["attempts"]), (&json!("ended"), &json!(1)), "{ended}");
            assert!(ended["endedAt"].is_string(), "{ended}");
        }
    });
}

#[test]
fn a_device_that_goes_back_after_its_end_is_counted_where_it_is() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 1, 2, "meters").await;
        let id = started(world, "meters", json!({})).await;
        fleet[0].ipa.behaviour.lose_acknowledgement = true;
        sessions(&mut fleet).await;
        drive(world).await;
        let done = show(world, &id).await;
        assert_eq!(
            (&done["state"], &done["totals"]["outcomes"]),
            (&json!("completed"), &json!({ "proven": 2 })),
            "{done}"
        );
        fleet[0].ipa.behaviour.lose_acknowledgement = false;
        let rollback = Euicc::rollback_result(&fleet[0].euicc.profile_rollback().unwrap()).unwrap();
        fleet[0].deliver(&rollback).await;
        drive(world).await;
        let done = show(world, &id).await;
        let outcomes = json!({ "proven": 1, "rolledBack": 1 });
        assert_eq!((&done["state"], &done["totals"]["outcomes"]), (&json!("completed"), &outcomes), "{done}");
        let shown = row(world, &id, &fleet[0]).await;
        let told = (&shown["outcome"], &shown["reason"]["name"]);
        assert_eq!(told, (&json!("rolledBack"), &json!("rolledBackLater")), "{shown}");
        assert!(shown["reason"]["message"].as_str().unwrap().len() > 20, "{shown}");
    });
}

#[test]
fn a_device_that_can_not_be_moved_back_says_why() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 1, 1, "meters").await;
        let switch =
            json!({ "to": { "profile": { "name": "Two" } }, "waive": ["fallback"], "deleteOld": "afterProof" });
        let id = started(world, "meters", json!({ "plan": { "switch": switch } })).await;
        for _ in 0..3 {
            sessions(&mut fleet).await;
            drive(world).await;
        }
        assert_eq!(show(world, &id).await["state"], "completed");
        let reply = world.post(&format!("/api/v1/campaigns/{id}/revert"), Value::Null).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        drive(world).await;
        let shown = row(world, &id, &fleet[0]).await;
        assert_eq!((&shown["outcome"], &shown["revert"]), (&json!("proven"), &json!("refused")), "{shown}");
        assert_eq!(shown["revertReason"]["name"], "target", "{shown}");
        assert!(shown["revertReason"]["message"].as_str().unwrap().contains("not on the profile list"), "{shown}");
    });
}

#[test]
fn a_device_that_has_moved_on_since_is_not_moved_back() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 1, 3, "meters").await;
        let id = started(world, "meters", json!({})).await;
        sessions(&mut fleet).await;
        drive(world).await;
        assert_eq!(show(world, &id).await["state"], "completed");
        // The first one goes on to another profile, the second one back, the third one stays.
        for (device, number) in fleet.iter().zip([3, 1]) {
            let switch = json!({ "to": { "iccid": device.iccid(number) }, "waive": ["fallback"] });
            let reply = world.post(&format!("/api/v1/euiccs/{}/switches", device.eid()), switch).await;
            assert_eq!(reply.status, 202, "{}", reply.text());
        }
        for _ in 0..2 {
            sessions(&mut fleet).await;
            drive(world).await;
        }
        assert_eq!(world.enabled(&fleet[0].eid()).await, [fleet[0].iccid(3)]);
        let reply = world.post(&format!("/api/v1/campaigns/{id}/revert"), Value::Null).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        for _ in 0..3 {
            drive(world).await;
            sessions(&mut fleet).await;
        }
        drive(world).await;
        assert_eq!(show(world, &id).await["state"], "reverted");
        let moved_on = row(world, &id, &fleet[0]).await;
        let told = (&moved_on["outcome"], &moved_on["revert"], &moved_on["revertReason"]["name"]);
        assert_eq!(told, (&json!("proven"), &json!("refused"), &json!("movedSince")), "{moved_on}");
        let says = moved_on["revertReason"]["message"].as_str().unwrap();
        assert!(says.starts_with("The device has moved on since: ") && says.contains(&fleet[0].iccid(3)), "{says}");
        for (device, revert) in [(&fleet[1], "unchanged"), (&fleet[2], "proven")] {
            assert_eq!(row(world, &id, device).await["revert"], revert);
        }
        for (device, number) in fleet.iter().zip([3, 1, 1]) {
            assert_eq!(world.enabled(&device.eid()).await, [device.iccid(number)]);
        }
    });
}

#[test]
fn devices_that_were_under_way_when_a_campaign_is_reverted_are_moved_back_when_they_have_ended() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 1, 4, "meters").await;
        let threshold = json!({ "count": 1, "outcomes": ["rolledBack"] });
        let waves = json!([{ "rest": true, "errorThreshold": threshold, "errorAction": "ABORT_AND_REVERT" }]);
        let id = started(world, "meters", json!({ "waves": waves })).await;
        // One moved, one on its way, one that goes back by itself, one that has fetched nothing.
        fleet[0].session().await;
        fleet[1].fetch().await;
        fleet[2].ipa.behaviour.connectivity_lost = true;
        fleet[2].session().await;
        fleet[2].ipa.behaviour.connectivity_lost = false;
        drive(world).await;
        assert_eq!(show(world, &id).await["state"], "reverting");
        for _ in 0..4 {
            sessions(&mut fleet).await;
            drive(world).await;
        }
        let done = show(world, &id).await;
        assert_eq!(done["state"], "reverted", "{done}");
        let back: u64 = done["reverts"]["outcomes"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
        let told = world.get(&format!("/api/v1/campaigns/{id}/devices")).await;
        let tried = told["items"].as_array().unwrap().iter().filter(|part| part["revert"].is_string()).count();
        assert_eq!(usize::try_from(back).unwrap(), tried, "each that was to be moved back is counted: {done}");
        let expected =
            [("proven", Some("proven")), ("proven", Some("proven")), ("rolledBack", None), ("cancelled", None)];
        for (device, (outcome, revert)) in fleet.iter().zip(expected) {
            let shown = row(world, &id, device).await;
            assert_eq!((shown["outcome"].as_str(), shown["revert"].as_str()), (Some(outcome), revert), "{shown}");
            assert!(shown["revertReason"].is_null(), "{shown}");
            assert_eq!(world.enabled(&device.eid()).await, [device.iccid(1)], "{shown}");
            assert_eq!(device.euicc.enabled_iccid(), Some(device.raw_iccid(1)));
        }
    });
}

#[test]
fn a_campaign_of_higher_priority_takes_devices_that_wait_and_not_those_under_way() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 1, 2, "meters").await;
        let low =
            started(world, "meters", json!({ "name": "low", "priority": 10, "rate": { "maxPerMinute": 1 } })).await;
        let [begun] = <[String; 1]>::try_from(in_state(world, &low, "running").await).unwrap();
        let high = started(world, "meters", json!({ "name": "high", "priority": 90 })).await;
        drive(world).await;
        for device in &fleet {
            let (mine, theirs) = (row(world, &low, device).await, row(world, &high, device).await);
            if device.eid() == begun {
                assert_eq!(
                    (&mine["state"], &theirs["state"]),
                    (&json!("running"), &json!("pending")),
                    "{mine} {theirs}"
                );
            } else {
                assert_eq!((&mine["outcome"], &theirs["state"]), (&json!("superseded"), &json!("running")), "{mine}");
            }
        }
        sessions(&mut fleet).await;
        drive(world).await;
        assert_eq!(show(world, &low).await["totals"]["outcomes"], json!({ "proven": 1, "superseded": 1 }));
        // The other one has its turn when the first is through with the device, which then is where it should be.
        world.advance(TimeDelta::minutes(6)).await;
        sessions(&mut fleet).await;
        drive(world).await;
        let done = show(world, &high).await;
        assert_eq!(
            (&done["state"], &done["totals"]["outcomes"]),
            (&json!("completed"), &json!({ "proven": 1, "unchanged": 1 })),
            "{done}"
        );
    });
}

#[test]
fn the_campaign_in_the_runbook_is_taken_as_it_stands_there() {
    const RUNBOOK: &str = include_str!("../../../docs/operations.md");
    each_store(async |world: &mut World| {
        fleet(world, 1, 2, "meters").await;
        let examples = RUNBOOK.split("```json").skip(1).filter_map(|part| part.split("```").next());
        let campaigns: Vec<Value> = examples
            .map(|example| serde_json::from_str::<Value>(example).expect("an example of the runbook is JSON"))
            .filter(|example| example.get("plan").is_some())
            .collect();
        assert_eq!(campaigns.len(), 1);
        let reply = world.post("/api/v1/campaigns", campaigns[0].clone()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        assert_eq!(reply.json()["waves"].as_array().unwrap().len(), 2, "{}", reply.text());
    });
}

#[test]
fn a_campaign_of_a_week_begins_at_night_wave_by_wave() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 1, 6, "meters").await;
        let more = json!({
            "waves": [
                { "name": "canary", "count": 1, "soakSeconds": 86_400 },
                { "name": "some", "percent": 50, "soakSeconds": 172_800 },
                { "name": "rest", "rest": true },
            ],
            "maintenanceWindows": [{ "cron": "0 2 * * *", "durationMinutes": 120, "zone": "Europe/Berlin" }],
            "rate": { "maxPerMinute": 1 },
        });
        let begins = world.now();
        let id = started(world, "meters", more).await;
        for _ in 0..7 * 24 * 2 {
            world.advance(TimeDelta::minutes(30)).await;
            sessions(&mut fleet).await;
            if show(world, &id).await["state"] == "completed" {
                break;
            }
        }
        let done = show(world, &id).await;
        assert_eq!(
            (&done["state"], &done["totals"]["outcomes"]),
            (&json!("completed"), &json!({ "proven": 6 })),
            "{done}"
        );
        assert!(world.now() - begins > TimeDelta::days(4), "two soaks of a day and of two, between nights");
        let switches = world.get("/api/v1/switches").await["items"].as_array().unwrap().clone();
        let mut begun: Vec<(i64, DateTime<Utc>)> = Vec::new();
        for switch in &switches {
            let at: DateTime<Utc> = switch["startedAt"].as_str().unwrap().parse().unwrap();
            // Berlin is an hour ahead in January.
            let minute = (at.timestamp() / 60 + 60) % 1440;
            assert!((120..240).contains(&minute), "{at} is not at night");
            let wave = rows(world, &id).await.into_iter().find(|row| row["switch"] == switch["id"]).unwrap();
            begun.push((wave["wave"].as_i64().unwrap(), at));
        }
        begun.sort();
        assert_eq!(begun.iter().map(|(wave, _)| *wave).collect::<Vec<_>>(), [0, 1, 1, 1, 2, 2]);
        assert!(
            begun[1].1 - begun[0].1 >= TimeDelta::days(1) && begun[4].1 - begun[3].1 >= TimeDelta::days(2),
            "{begun:?}"
        );
        assert!(begun.is_sorted_by_key(|(_, at)| *at), "wave by wave: {begun:?}");
    });
}
