//! Campaigns through the front door, with simulated devices and a clock that is moved: a week runs in seconds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use chrono::TimeDelta;
use eim_conformance::{Device, Reply, Role, World, each_store};
use eim_core::manage;
use eim_simulator::ipa::PollOptions;
use serde_json::{Value, json};

/// Devices with known lists, tagged `meters`; the second profile of each is what a campaign moves them to.
async fn fleet(world: &World, size: u32) -> Vec<Device> {
    let mut devices = Vec::new();
    for index in 1..=size {
        let device = world.listed_device(index).await;
        world.patch(&device.eid(), json!({ "tags": ["meters"] })).await;
        devices.push(device);
    }
    devices
}

/// Moves every device to the profile named "Two".
fn campaign(more: Value) -> Value {
    let mut body = json!({
        "name": "to two",
        "target": { "filter": { "tags": ["meters"] } },
        "plan": { "switch": { "to": { "profile": { "name": "Two" } }, "waive": ["fallback"] } },
        "approval": "none",
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

async fn create(world: &World, body: Value) -> String {
    let reply = world.send(Role::Admin, "POST", "/api/v1/campaigns", &[], body.to_string()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let shown = reply.json();
    assert_eq!(shown["state"], "draft", "{shown}");
    shown["id"].as_str().unwrap().to_owned()
}

async fn verb(world: &World, id: &str, verb: &str) -> Reply {
    world.post(&format!("/api/v1/campaigns/{id}/{verb}"), Value::Null).await
}

async fn go(world: &World, id: &str, verbs: &[&str]) {
    for name in verbs {
        let reply = verb(world, id, name).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
    }
    drive(world).await;
}

async fn drive(world: &World) {
    world.advance(TimeDelta::seconds(3)).await;
}

async fn show(world: &World, id: &str) -> Value {
    world.get(&format!("/api/v1/campaigns/{id}")).await
}

async fn devices(world: &World, id: &str) -> Vec<Value> {
    world.get(&format!("/api/v1/campaigns/{id}/devices")).await["items"].as_array().unwrap().clone()
}

async fn sessions(devices: &mut [Device]) {
    for device in devices {
        device.session().await;
    }
}

async fn started(world: &World, more: Value) -> String {
    let id = create(world, campaign(more)).await;
    go(world, &id, &["submit", "start"]).await;
    id
}

#[test]
fn a_campaign_moves_its_devices_wave_by_wave() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 5).await;
        let waves = json!([{ "name": "canary", "count": 1, "soakSeconds": 3600 }, { "rest": true }]);
        let preview = world.post("/api/v1/campaigns/preview", campaign(json!({ "waves": waves }))).await.json();
        assert_eq!((&preview["devices"], &preview["waves"][0]["devices"]), (&json!(5), &json!(1)), "{preview}");
        assert!(
            world.get("/api/v1/campaigns").await["items"].as_array().unwrap().is_empty(),
            "a preview makes nothing"
        );
        let id = started(world, json!({ "waves": waves })).await;
        let running = show(world, &id).await;
        assert_eq!((&running["state"], &running["wave"]), (&json!("running"), &json!(0)), "{running}");
        assert_eq!((&running["totals"]["running"], &running["totals"]["pending"]), (&json!(1), &json!(4)), "{running}");

        // Only the canary moves, and it soaks for an hour.
        sessions(&mut fleet).await;
        drive(world).await;
        let soaking = show(world, &id).await;
        assert_eq!(soaking["waves"][0]["outcomes"], json!({ "proven": 1 }), "{soaking}");
        assert_eq!(soaking["waves"][1]["pending"], 4, "{soaking}");
        world.advance(TimeDelta::minutes(50)).await;
        assert_eq!(show(world, &id).await["wave"], 0);
        world.advance(TimeDelta::minutes(20)).await;
        assert_eq!(show(world, &id).await["waves"][1]["running"], 4);
        sessions(&mut fleet).await;
        drive(world).await;
        let done = show(world, &id).await;
        assert_eq!(
            (&done["state"], &done["totals"]["outcomes"]),
            (&json!("completed"), &json!({ "proven": 5 })),
            "{done}"
        );
        for device in &fleet {
            assert_eq!(world.enabled(&device.eid()).await, [device.iccid(2)]);
        }
        // On PostgreSQL the stream waits for whatever could still come before, transactions of others included.
        let told = async |event_type: &str| {
            let events = world.get("/api/v1/events?type=eim.campaign*").await;
            events["items"].as_array().unwrap().iter().any(|event| event["type"] == event_type)
        };
        for event_type in ["eim.campaignWaveBegan", "eim.campaignCompleted"] {
            world.until(event_type, async || told(event_type).await).await;
        }
        let ended: Vec<Value> = devices(world, &id).await;
        assert!(ended.iter().all(|device| device["outcome"] == "proven" && device["switch"].is_string()), "{ended:?}");
    });
}

#[test]
fn a_second_person_approves_and_nothing_happens_before() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 1).await;
        let alone = world.post("/api/v1/campaigns", campaign(json!({}))).await;
        assert_eq!(alone.status, 403, "{}", alone.text());
        assert!(alone.text().contains("role admin"), "{}", alone.text());
        let id = create(world, campaign(json!({ "approval": "required" }))).await;
        assert_eq!(verb(world, &id, "start").await.status, 409);
        go(world, &id, &["submit"]).await;
        assert_eq!(verb(world, &id, "start").await.status, 409);
        assert_eq!(verb(world, &id, "approve").await.status, 403, "an operator does not approve");
        let path = format!("/api/v1/campaigns/{id}/approve");
        // The keys of a world have one name: the same person.
        let same = world.send(Role::Admin, "POST", &path, &[], "").await;
        assert_eq!(same.status, 409, "{}", same.text());
        sessions(&mut fleet).await;
        assert_eq!(world.enabled(&fleet[0].eid()).await, [fleet[0].iccid(1)]);
        let eim = &world.server().eim;
        let (_, second) = manage::create_api_key("second", manage::Role::Approver, eim).await.unwrap();
        let reply = world.send_as(&second, "POST", &path, json!({ "message": "as agreed" })).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let history = reply.json()["history"].clone();
        assert_eq!(
            (&history["approvedBy"]["name"], &history["approvedMessage"]),
            (&json!("second"), &json!("as agreed"))
        );
        let told =
            async || world.get("/api/v1/events?type=eim.campaignCreated").await["items"].as_array().unwrap().clone();
        world.until("eim.campaignCreated", async || !told().await.is_empty()).await;
        let event = told().await.remove(0);
        assert!(event["data"]["by"]["keyId"].is_string() && event["data"]["by"]["name"] == "test", "{event}");
        go(world, &id, &["start"]).await;
        sessions(&mut fleet).await;
        drive(world).await;
        assert_eq!(show(world, &id).await["state"], "completed");
    });
}

#[test]
fn a_wave_that_fails_pauses_aborts_or_goes_back() {
    each_store(async |world: &mut World| {
        for (index, action, state) in
            [(1, "PAUSE", "paused"), (2, "ABORT", "aborted"), (3, "ABORT_AND_REVERT", "reverted")]
        {
            let tag = format!("group{index}");
            let mut fleet = Vec::new();
            for number in 0..4 {
                let device = world.listed_device(10 * index + number).await;
                world.patch(&device.eid(), json!({ "tags": [tag] })).await;
                fleet.push(device);
            }
            let threshold = json!({ "count": 1, "outcomes": ["rolledBack"] });
            let more = json!({
                "target": { "filter": { "tags": [tag] } },
                "waves": [{ "count": 2, "errorThreshold": threshold, "errorAction": action }, { "rest": true }],
            });
            let id = started(world, more).await;
            let first: Vec<String> = devices(world, &id)
                .await
                .iter()
                .filter(|device| device["wave"] == 0)
                .map(|device| device["eid"].as_str().unwrap().to_owned())
                .collect();
            // One of the first wave moves, the other one goes back by itself.
            for device in &mut fleet {
                device.ipa.behaviour.connectivity_lost = device.eid() == first[1];
                device.session().await;
                device.ipa.behaviour.connectivity_lost = false;
            }
            drive(world).await;
            let shown = show(world, &id).await;
            assert_eq!(shown["waves"][0]["outcomes"], json!({ "proven": 1, "rolledBack": 1 }), "{action}: {shown}");
            for _ in 0..3 {
                sessions(&mut fleet).await;
                drive(world).await;
            }
            let shown = show(world, &id).await;
            assert_eq!(shown["state"], state, "{action}: {shown}");
            let moved = fleet.iter().find(|device| device.eid() == first[0]).unwrap();
            let expected = if action == "ABORT_AND_REVERT" { moved.iccid(1) } else { moved.iccid(2) };
            assert_eq!(world.enabled(&moved.eid()).await, [expected], "{action}");
            let pending = shown["totals"]["pending"].as_u64().unwrap();
            assert_eq!(pending, if action == "PAUSE" { 2 } else { 0 }, "{shown}");
            assert_eq!(shown["stopped"]["name"] == "errorThreshold", action != "PAUSE", "{shown}");
            if action != "PAUSE" {
                let left = devices(world, &id).await.into_iter().find(|device| device["wave"] == 1).unwrap();
                let told = (&left["outcome"], &left["reason"]["name"]);
                assert_eq!(told, (&json!("cancelled"), &json!("campaignEnded")), "{left}");
            }
            if action == "PAUSE" {
                assert_eq!(shown["pause"]["name"], "errorThreshold", "{shown}");
                go(world, &id, &["resume"]).await;
                assert_eq!(show(world, &id).await["pause"]["name"], "successThreshold", "half of the wave is not 95%");
                go(world, &id, &["resume"]).await;
                sessions(&mut fleet).await;
                drive(world).await;
                assert_eq!(show(world, &id).await["state"], "completed");
            }
            if action == "ABORT_AND_REVERT" {
                let back = devices(world, &id).await.into_iter().find(|device| device["eid"] == first[0]).unwrap();
                assert_eq!((&back["outcome"], &back["revert"]), (&json!("proven"), &json!("proven")), "{back}");
            }
        }
    });
}

#[test]
fn a_campaign_tells_who_did_what_and_what_deserves_a_second_look() {
    each_store(async |world: &mut World| {
        fleet(world, 2).await;
        let code = json!({ "plan": { "switch": { "to": { "activationCode": "1$smdp.example$FOR-ONE" }, "waive": ["fallback"] } } });
        let preview = async |body: Value| {
            let reply = world.send(Role::Admin, "POST", "/api/v1/campaigns/preview", &[], body.to_string()).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            reply.json()["warnings"].as_array().unwrap().clone()
        };
        let warnings = preview(campaign(code.clone())).await;
        assert!(warnings[0].as_str().unwrap().contains("2 devices"), "{warnings:?}");
        assert!(!warnings[0].as_str().unwrap().contains("FOR-ONE"));
        assert!(preview(campaign(json!({}))).await.is_empty());
        let threshold = json!({ "count": 1, "minExecuted": 3 });
        let waves = json!([{ "rest": true, "errorThreshold": threshold, "errorAction": "PAUSE" }]);
        let warnings = preview(campaign(json!({ "waves": waves }))).await;
        assert!(warnings[0].as_str().unwrap().contains("minExecuted is 3"), "{warnings:?}");
        let id = create(world, campaign(code)).await;
        assert_eq!(show(world, &id).await["warnings"].as_array().unwrap().len(), 1);

        let id = started(world, json!({ "name": "second" })).await;
        let path = format!("/api/v1/campaigns/{id}/pause");
        assert_eq!(world.post(&path, json!({ "message": "storm" })).await.status, 200);
        go(world, &id, &["resume", "abort"]).await;
        let acts = show(world, &id).await["history"]["acts"].as_array().unwrap().clone();
        let told: Vec<(&str, &str)> = acts
            .iter()
            .map(|act| (act["verb"].as_str().unwrap(), act["message"].as_str().unwrap_or_default()))
            .collect();
        assert_eq!(told, [("start", ""), ("pause", "storm"), ("resume", ""), ("abort", "")]);
        assert!(acts.iter().all(|act| act["by"]["name"] == "test" && act["at"].is_string()), "{acts:?}");
    });
}

#[test]
fn what_was_delivered_goes_on_when_a_campaign_is_aborted() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 2).await;
        let id = started(world, json!({})).await;
        fleet[0].fetch().await;
        let aborted = verb(world, &id, "abort").await.json();
        assert_eq!(aborted["waitsFor"]["name"], "devices", "{aborted}");
        let says = aborted["waitsFor"]["message"].as_str().unwrap();
        assert!(says.contains("what was delivered can't be recalled"), "the answer itself says so: {says}");
        drive(world).await;
        let shown = show(world, &id).await;
        assert_eq!(
            (&shown["state"], &shown["totals"]["outcomes"]),
            (&json!("aborting"), &json!({ "cancelled": 1 })),
            "{shown}"
        );
        sessions(&mut fleet).await;
        drive(world).await;
        let shown = show(world, &id).await;
        let outcomes = json!({ "cancelled": 1, "proven": 1 });
        assert_eq!((&shown["state"], &shown["totals"]["outcomes"]), (&json!("aborted"), &outcomes), "{shown}");
        assert_eq!(world.enabled(&fleet[1].eid()).await, [fleet[1].iccid(1)]);
    });
}

#[test]
fn devices_that_do_not_come_are_tried_again_and_then_left() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 2).await;
        let retry = json!([{ "outcomes": ["noShow"], "maxRetries": 1, "backoffSeconds": 3600 }]);
        let id = started(world, json!({ "retry": retry })).await;
        // One comes, the other one does not.
        fleet[0].session().await;
        for _ in 0..12 {
            world.advance(TimeDelta::days(1)).await;
        }
        let shown = devices(world, &id).await;
        let absent = shown.iter().find(|device| device["eid"] == fleet[1].eid()).unwrap();
        assert_eq!(
            (&absent["attempts"], &absent["outcome"]),
            (&json!(2), &json!("noShow")),
            "it is tried again: {absent}"
        );
        assert_ne!(absent["state"], "ended", "{absent}");
        for _ in 0..12 {
            world.advance(TimeDelta::days(1)).await;
        }
        let done = show(world, &id).await;
        let outcomes = json!({ "noShow": 1, "proven": 1 });
        assert_eq!((&done["state"], &done["totals"]["outcomes"]), (&json!("completed"), &outcomes), "{done}");
        // Later somebody asks for those that failed once more, and now it is there.
        go(world, &id, &["retryFailed"]).await;
        sessions(&mut fleet).await;
        drive(world).await;
        assert_eq!(show(world, &id).await["totals"]["outcomes"], json!({ "proven": 2 }));
    });
}

#[test]
fn devices_begin_at_the_pace_and_in_the_windows_that_were_asked_for() {
    each_store(async |world: &mut World| {
        fleet(world, 5).await;
        // The clock of a world begins at midnight UTC.
        let windows = json!([{ "cron": "0 2 * * *", "durationMinutes": 60, "zone": "Etc/UTC" }]);
        let more = json!({ "rate": { "maxPerMinute": 2 }, "maintenanceWindows": windows });
        let id = started(world, more).await;
        let shown = show(world, &id).await;
        assert_eq!(shown["totals"]["running"], 0, "it is not two yet");
        assert_eq!(shown["waitsFor"]["name"], "window", "{shown}");
        assert!(shown["waitsFor"]["until"].as_str().unwrap().contains("T02:00:00"), "{shown}");
        world.advance(TimeDelta::hours(2)).await;
        let shown = show(world, &id).await;
        assert_eq!((&shown["totals"]["running"], &shown["waitsFor"]["name"]), (&json!(2), &json!("rate")), "{shown}");
        world.advance(TimeDelta::seconds(30)).await;
        assert_eq!(show(world, &id).await["totals"]["running"], 2);
        world.advance(TimeDelta::seconds(40)).await;
        assert_eq!(show(world, &id).await["totals"]["running"], 4);
        world.advance(TimeDelta::minutes(70)).await;
        let shown = show(world, &id).await;
        assert_eq!(shown["totals"]["running"], 4, "the window has closed");
        assert_eq!(shown["waitsFor"]["name"], "window", "{shown}");
    });
}

#[test]
fn the_campaign_of_higher_priority_has_the_device() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 1).await;
        let windows = json!([{ "cron": "0 6 * * *", "durationMinutes": 60, "zone": "Etc/UTC" }]);
        let low = started(world, json!({ "name": "low", "priority": 10, "maintenanceWindows": windows })).await;
        let high = started(world, json!({ "name": "high", "priority": 90 })).await;
        assert_eq!(show(world, &high).await["totals"]["running"], 1);
        drive(world).await;
        let shown = show(world, &low).await;
        assert_eq!(shown["totals"]["outcomes"], json!({ "superseded": 1 }), "{shown}");
        let part = devices(world, &low).await.remove(0);
        assert_eq!(part["reason"]["name"], "priority", "{part}");
        let told = world.events_of(&fleet[0].eid(), "campaignDeviceEnded").await;
        assert_eq!((&told[0]["campaign"], &told[0]["outcome"]), (&json!(low), &json!("superseded")), "{told:?}");
        sessions(&mut fleet).await;
        drive(world).await;
        assert_eq!(show(world, &high).await["state"], "completed");
    });
}

#[test]
fn a_list_of_operations_is_a_plan_too() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 2).await;
        let plan = json!({ "operations": [{ "psmo": [{ "listProfileInfo": {} }] }, { "psmo": [{ "getRAT": {} }] }] });
        let id = started(world, json!({ "plan": plan })).await;
        sessions(&mut fleet).await;
        sessions(&mut fleet).await;
        drive(world).await;
        let done = show(world, &id).await;
        assert_eq!(
            (&done["state"], &done["totals"]["outcomes"]),
            (&json!("completed"), &json!({ "succeeded": 2 })),
            "{done}"
        );
    });
}

#[test]
fn a_crash_in_the_middle_changes_no_outcome() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 4).await;
        let id = started(world, json!({ "waves": [{ "count": 2 }, { "rest": true }] })).await;
        for _ in 0..4 {
            world.crash_and_restart().await;
            for device in &mut fleet {
                world.reconnect(device);
                device.poll_with(&PollOptions::default()).await;
            }
            drive(world).await;
        }
        for device in &mut fleet {
            world.reconnect(device);
            device.session().await;
        }
        drive(world).await;
        let done = show(world, &id).await;
        assert_eq!(
            (&done["state"], &done["totals"]["outcomes"]),
            (&json!("completed"), &json!({ "proven": 4 })),
            "{done}"
        );
    });
}

#[test]
fn a_clone_is_a_draft_and_a_repeated_request_makes_one_campaign() {
    each_store(async |world: &mut World| {
        fleet(world, 1).await;
        let body = campaign(json!({})).to_string();
        let send = async |body: &str| {
            world.send(Role::Admin, "POST", "/api/v1/campaigns", &[("idempotency-key", "c1")], body).await
        };
        let (first, again) = (send(&body).await, send(&body).await);
        assert_eq!((first.status, again.status), (201, 201), "{}", again.text());
        assert_eq!(first.json()["id"], again.json()["id"]);
        assert_eq!(send(&campaign(json!({ "name": "other" })).to_string()).await.status, 409);
        let id = first.json()["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/campaigns/{id}/clone");
        assert_eq!(world.post(&path, Value::Null).await.status, 403, "an operator alone makes none without approval");
        let copy = world.send(Role::Admin, "POST", &path, &[], "").await;
        assert_eq!(copy.status, 201, "{}", copy.text());
        assert_eq!((&copy.json()["name"], &copy.json()["state"]), (&json!("to two (copy)"), &json!("draft")));
        assert_eq!(world.get("/api/v1/campaigns?state=draft").await["items"].as_array().unwrap().len(), 2);
    });
}

#[test]
fn a_device_that_never_told_its_profiles_is_asked_for_them_first() {
    each_store(async |world: &mut World| {
        let mut comes = world.device(1).await;
        let absent = world.device(2).await;
        for device in [&comes, &absent] {
            world.patch(&device.eid(), json!({ "tags": ["meters"] })).await;
        }
        let id = started(world, json!({})).await;
        comes.session().await;
        world.advance(TimeDelta::minutes(6)).await;
        comes.session().await;
        comes.session().await;
        drive(world).await;
        assert_eq!(world.enabled(&comes.eid()).await, [comes.iccid(2)]);
        let shown = show(world, &id).await;
        assert_eq!(
            (&shown["state"], &shown["totals"]["outcomes"]),
            (&json!("running"), &json!({ "proven": 1 })),
            "{shown}"
        );
        for _ in 0..30 {
            world.advance(TimeDelta::hours(12)).await;
        }
        let ended = devices(world, &id).await;
        let left = ended.iter().find(|device| device["eid"] == absent.eid()).unwrap();
        assert_eq!((&left["outcome"], &left["reason"]["name"]), (&json!("refused"), &json!("profileList")), "{left}");
        assert!(left["reason"]["message"].as_str().unwrap().contains("listProfileInfo"), "with the cure: {left}");
        assert_eq!(show(world, &id).await["state"], "completed");
        assert_eq!(world.operations(&absent.eid()).await.len(), 1, "asked once");
    });
}

#[test]
fn a_device_that_the_guard_refuses_says_why_and_what_to_do() {
    each_store(async |world: &mut World| {
        let fleet = fleet(world, 2).await;
        let nowhere = json!({ "switch": { "to": { "profile": { "name": "Nowhere" } }, "waive": ["fallback"] } });
        let id = started(world, json!({ "plan": nowhere })).await;
        drive(world).await;
        for part in devices(world, &id).await {
            assert_eq!((&part["outcome"], &part["reason"]["name"]), (&json!("refused"), &json!("target")), "{part}");
            let says = part["reason"]["message"].as_str().unwrap();
            assert!(says.contains("No installed profile fits") && says.contains("Name a profile"), "{says}");
        }
        for device in &fleet {
            let told = world.events_of(&device.eid(), "campaignDeviceEnded").await;
            assert_eq!(told.len(), 1, "{told:?}");
            assert_eq!((&told[0]["campaign"], &told[0]["outcome"]), (&json!(id), &json!("refused")), "{told:?}");
            assert_eq!(told[0]["reason"]["name"], "target", "{told:?}");
        }
        let stream = async || world.get("/api/v1/events?type=eim.campaignDeviceEnded").await["items"].clone();
        world.until("eim.campaignDeviceEnded", async || stream().await.as_array().unwrap().len() == 2).await;
        // Tried again they are refused again; what was said before is not left standing meanwhile.
        assert_eq!(verb(world, &id, "retryFailed").await.status, 200);
        assert!(devices(world, &id).await.iter().all(|part| part["reason"].is_null()));
    });
}

#[test]
fn a_list_of_operations_that_strands_its_devices_together_is_refused() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 1).await;
        let set = json!({ "psmo": [{ "setFallbackAttribute": { "iccid": fleet[0].iccid(3) } }] });
        world.queue(&fleet[0].eid(), set).await;
        sessions(&mut fleet).await;
        let plan = json!({ "operations": [
            { "psmo": [{ "unsetFallbackAttribute": {} }] },
            { "psmo": [{ "disable": { "iccid": fleet[0].iccid(1) } }] },
        ] });
        let id = started(world, json!({ "plan": plan })).await;
        sessions(&mut fleet).await;
        drive(world).await;
        let part = devices(world, &id).await.remove(0);
        let told = (&part["outcome"], &part["reason"]["name"]);
        assert_eq!(told, (&json!("refused"), &json!("notTheOnlyProfile")), "{part}");
        // Where the next operation follows only on one that was done, it may count on it.
        world.queue(&fleet[0].eid(), json!({ "psmo": [{ "unsetFallbackAttribute": {} }] })).await;
        sessions(&mut fleet).await;
        let plan = json!({ "operations": [
            { "psmo": [{ "setFallbackAttribute": { "iccid": fleet[0].iccid(3) } }] },
            { "psmo": [{ "delete": { "iccid": fleet[0].iccid(2) } }, { "disable": { "iccid": fleet[0].iccid(1) } }] },
        ] });
        let id = started(world, json!({ "name": "with a way back", "plan": plan })).await;
        sessions(&mut fleet).await;
        sessions(&mut fleet).await;
        drive(world).await;
        let part = devices(world, &id).await.remove(0);
        assert_eq!(part["outcome"], "succeeded", "{part}");
        assert!(fleet[0].euicc.enabled_iccid().is_none());
    });
}

#[test]
fn a_campaign_says_what_it_waits_for() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 2).await;
        // The clock of a world begins at midnight UTC.
        let now = chrono::DateTime::from_timestamp_millis(world.server().eim.clock().now_ms()).unwrap();
        let at = |hours: i64| (now + TimeDelta::hours(hours)).to_rfc3339();
        let waves = json!([{ "count": 1, "soakSeconds": 3600 }, { "rest": true, "startAt": at(6) }]);
        let id = create(world, campaign(json!({ "waves": waves, "startAt": at(2) }))).await;
        let waits = async |world: &World| show(world, &id).await["waitsFor"]["name"].clone();
        assert_eq!(waits(world).await, "submit");
        go(world, &id, &["submit"]).await;
        assert_eq!(waits(world).await, "startAt");
        go(world, &id, &["start"]).await;
        let shown = show(world, &id).await;
        assert_eq!((&shown["state"], &shown["waitsFor"]["name"]), (&json!("running"), &json!("startAt")), "{shown}");
        let early = verb(world, &id, "nextWave").await;
        assert_eq!(early.problem(409)["type"], "urn:eim:problem:campaign-state");
        assert_eq!(show(world, &id).await["wave"], Value::Null, "no wave has begun");
        world.advance(TimeDelta::hours(2)).await;
        assert_eq!(waits(world).await, "devices");
        sessions(&mut fleet).await;
        drive(world).await;
        assert_eq!(waits(world).await, "soak");
        world.advance(TimeDelta::minutes(61)).await;
        assert_eq!(waits(world).await, "waveStartAt");
        go(world, &id, &["pause"]).await;
        assert_eq!(waits(world).await, "resume");
        go(world, &id, &["resume", "nextWave"]).await;
        assert_eq!(waits(world).await, "devices");
        sessions(&mut fleet).await;
        drive(world).await;
        let done = show(world, &id).await;
        assert_eq!((&done["state"], &done["waitsFor"]), (&json!("completed"), &Value::Null), "{done}");
    });
}

#[test]
fn a_clone_needs_the_role_of_its_plan_and_is_made_once_for_a_key() {
    each_store(async |world: &mut World| {
        fleet(world, 1).await;
        let switch = json!({ "to": { "profile": { "name": "Two" } }, "override": ["fallback"] });
        let body = campaign(json!({ "plan": { "switch": switch }, "approval": "required" })).to_string();
        assert_eq!(world.send(Role::Operator, "POST", "/api/v1/campaigns", &[], body.as_str()).await.status, 403);
        let over = world.send(Role::Admin, "POST", "/api/v1/campaigns", &[], body).await;
        assert_eq!(over.status, 201, "{}", over.text());
        let path = format!("/api/v1/campaigns/{}/clone", over.json()["id"].as_str().unwrap());
        assert_eq!(world.post(&path, Value::Null).await.status, 403);
        let count = async || world.get("/api/v1/campaigns").await["items"].as_array().unwrap().len();
        assert_eq!(count().await, 1, "nothing was made");

        let clone = async |path: &str| world.send(Role::Admin, "POST", path, &[("idempotency-key", "k1")], "").await;
        let (first, again) = (clone(&path).await, clone(&path).await);
        assert_eq!((first.status, again.status), (201, 201), "{}", again.text());
        assert_eq!(first.json()["id"], again.json()["id"]);
        assert_eq!(first.header("location"), again.header("location"));
        assert_eq!(count().await, 2);
        let other = format!("/api/v1/campaigns/{}/clone", first.json()["id"].as_str().unwrap());
        assert_eq!(clone(&other).await.status, 409);
        assert_eq!(world.post(&other, Value::Null).await.status, 403);
        assert_eq!(count().await, 2);
    });
}

#[test]
fn a_pool_has_a_code_for_each_device_of_all_campaigns_that_run() {
    each_store(async |world: &mut World| {
        fleet(world, 2).await;
        let pool = world.post("/api/v1/pools", json!({ "name": "small" })).await.json();
        let path = format!("/api/v1/pools/{}/codes", pool["id"].as_str().unwrap());
        world.post(&path, json!({ "codes": ["1$smdp.example$ONE"] })).await;
        let mut made = Vec::new();
        for name in ["first", "second"] {
            let target = json!({ "filter": { "tags": ["meters"] }, "maxDevices": 1 });
            let plan = json!({ "switch": { "to": { "pool": "small" }, "waive": ["fallback"] } });
            // Nothing begins before, so both have their device still before them.
            let more = json!({ "name": name, "target": target, "plan": plan, "startAt": "2027-01-01T00:00:00Z" });
            made.push(create(world, campaign(more)).await);
        }
        for id in &made {
            go(world, id, &["submit"]).await;
        }
        go(world, &made[0], &["start"]).await;
        let second = verb(world, &made[1], "start").await;
        assert_eq!(second.problem(409)["type"], "urn:eim:problem:pool-too-small", "{}", second.text());
        world.post(&path, json!({ "codes": ["1$smdp.example$TWO"] })).await;
        go(world, &made[1], &["start"]).await;
    });
}

#[test]
fn only_campaigns_that_have_started_lose_devices_to_one_of_higher_priority() {
    each_store(async |world: &mut World| {
        let mut fleet = fleet(world, 1).await;
        let low = |name: &str, approval: &str| campaign(json!({ "name": name, "priority": 10, "approval": approval }));
        let draft = create(world, low("draft", "none")).await;
        let approved = create(world, low("approved", "none")).await;
        let denied = create(world, low("denied", "required")).await;
        for id in [&approved, &denied] {
            assert_eq!(verb(world, id, "submit").await.status, 200);
        }
        let path = format!("/api/v1/campaigns/{denied}/deny");
        let reply = world.send(Role::Admin, "POST", &path, &[], "").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let windows = json!([{ "cron": "0 6 * * *", "durationMinutes": 60, "zone": "Etc/UTC" }]);
        let paused = started(world, json!({ "name": "paused", "priority": 10, "maintenanceWindows": windows })).await;
        go(world, &paused, &["pause"]).await;

        let high = started(world, json!({ "name": "high", "priority": 90 })).await;
        assert_eq!(show(world, &high).await["totals"]["running"], 1);
        for (id, state) in [(&draft, "draft"), (&approved, "approved"), (&denied, "denied")] {
            let shown = show(world, id).await;
            assert_eq!((&shown["state"], &shown["totals"]["pending"]), (&json!(state), &json!(1)), "{shown}");
        }
        assert_eq!(show(world, &paused).await["totals"]["outcomes"], json!({ "superseded": 1 }));
        sessions(&mut fleet).await;
        drive(world).await;
        assert_eq!(show(world, &high).await["state"], "completed");
        // Whoever starts later has the device, which is where it should be.
        go(world, &approved, &["start"]).await;
        sessions(&mut fleet).await;
        drive(world).await;
        assert_eq!(show(world, &approved).await["totals"]["outcomes"], json!({ "unchanged": 1 }));
    });
}

#[test]
fn a_campaign_whose_pool_has_become_too_small_is_held_back_at_its_start() {
    each_store(async |world: &mut World| {
        let fleet = fleet(world, 2).await;
        let pool = world.post("/api/v1/pools", json!({ "name": "small" })).await.json();
        let path = format!("/api/v1/pools/{}/codes", pool["id"].as_str().unwrap());
        world.post(&path, json!({ "codes": ["1$smdp.example$ONE"] })).await;
        let at = |hours: i64| (world.now() + TimeDelta::hours(hours)).to_rfc3339();
        let plan = json!({ "switch": { "to": { "pool": "small" }, "waive": ["fallback"] } });
        let mut made = Vec::new();
        for (device, start) in fleet.iter().zip([1, 2]) {
            let target = json!({ "filter": { "eids": [device.eid()] } });
            // The device of the first one still waits when the second one is to start.
            let waves = json!([{ "rest": true, "startAt": at(20) }]);
            let more = json!({ "target": target, "plan": plan, "waves": waves, "startAt": at(start) });
            let id = create(world, campaign(more)).await;
            go(world, &id, &["submit"]).await;
            made.push(id);
        }
        world.advance(TimeDelta::hours(1)).await;
        drive(world).await;
        assert_eq!(show(world, &made[0]).await["state"], "running");
        world.advance(TimeDelta::hours(1)).await;
        drive(world).await;
        let shown = show(world, &made[1]).await;
        let told = (&shown["state"], &shown["pause"]["name"], &shown["waitsFor"]["name"]);
        assert_eq!(told, (&json!("paused"), &json!("poolTooSmall"), &json!("resume")), "{shown}");
        assert!(shown["pause"]["message"].as_str().unwrap().contains("1 free codes"), "{shown}");
        assert!(shown["startedAt"].is_null(), "{shown}");
        let told = async || {
            let events = world.get("/api/v1/events?type=eim.campaignPaused").await;
            events["items"].as_array().unwrap().iter().any(|event| event["data"]["reason"] == "poolTooSmall")
        };
        world.until("eim.campaignPaused", async || told().await).await;
        for name in ["resume", "nextWave"] {
            let reply = verb(world, &made[1], name).await;
            assert_eq!(reply.problem(409)["type"], "urn:eim:problem:pool-too-small", "{name}: {}", reply.text());
        }
        world.post(&path, json!({ "codes": ["1$smdp.example$TWO"] })).await;
        go(world, &made[1], &["resume"]).await;
        let shown = show(world, &made[1]).await;
        assert_eq!((&shown["state"], shown["startedAt"].is_string()), (&json!("running"), true), "{shown}");
    });
}

#[test]
fn devices_that_failed_are_tried_again_only_where_the_pool_has_a_code_for_each() {
    each_store(async |world: &mut World| {
        let fleet = fleet(world, 2).await;
        let pool = world.post("/api/v1/pools", json!({ "name": "small" })).await.json();
        let path = format!("/api/v1/pools/{}/codes", pool["id"].as_str().unwrap());
        world.post(&path, json!({ "codes": ["1$smdp.example$ONE"] })).await;
        let plan = json!({ "switch": { "to": { "pool": "small" }, "waive": ["fallback"], "noShowAfter": 1 } });
        let on = |device: &Device| json!({ "filter": { "eids": [device.eid()] } });
        let first = started(world, json!({ "name": "first", "target": on(&fleet[0]), "plan": plan })).await;
        for _ in 0..4 {
            world.advance(TimeDelta::days(1)).await;
        }
        let ended = show(world, &first).await;
        assert_eq!(ended["state"], "completed", "{ended}");
        let free = async || world.get("/api/v1/pools").await["items"][0]["free"].clone();
        assert_eq!(free().await, 1, "the code that nobody got is back: {ended}");
        // Another campaign counts on it meanwhile.
        let later = (world.now() + TimeDelta::days(1)).to_rfc3339();
        let more = json!({ "name": "second", "target": on(&fleet[1]), "plan": plan, "waves": [{ "rest": true, "startAt": later }] });
        started(world, more).await;
        let refused = verb(world, &first, "retryFailed").await;
        assert_eq!(refused.problem(409)["type"], "urn:eim:problem:pool-too-small", "{}", refused.text());
        assert_eq!(show(world, &first).await["state"], "completed");
        world.post(&path, json!({ "codes": ["1$smdp.example$TWO"] })).await;
        go(world, &first, &["retryFailed"]).await;
        assert_eq!(show(world, &first).await["state"], "running");
    });
}

#[test]
fn windows_that_do_not_open_before_the_end_are_told() {
    each_store(async |world: &mut World| {
        fleet(world, 1).await;
        // The clock of a world begins at midnight UTC.
        let at = |hours: i64| (world.now() + TimeDelta::hours(hours)).to_rfc3339();
        let windows = json!([{ "cron": "0 2 * * *", "durationMinutes": 60, "zone": "Etc/UTC" }]);
        for (start, end, warned) in [(0, 1, true), (0, 5, false), (4, 20, true), (4, 30, false)] {
            let mut more = json!({ "maintenanceWindows": windows, "endAt": at(end) });
            if start > 0 {
                more["startAt"] = json!(at(start));
            }
            let preview = world.post("/api/v1/campaigns/preview", campaign(more.clone())).await.json();
            let id = create(world, campaign(more)).await;
            for shown in [preview, show(world, &id).await] {
                let warnings = shown["warnings"].as_array().cloned().unwrap_or_default();
                let found = warnings.iter().any(|warning| warning.as_str().unwrap().contains("maintenanceWindows"));
                assert_eq!(found, warned, "from {start} to {end}: {warnings:?}");
            }
        }
    });
}

#[test]
fn bad_campaigns_are_refused_with_their_place_and_nothing_is_made() {
    each_store(async |world: &mut World| {
        let fleet = fleet(world, 2).await;
        let wave = |wave: Value| json!({ "waves": [wave] });
        for (more, pointer) in [
            (wave(json!({ "percent": 100, "successThreshold": 101 })), "/waves/0/successThreshold"),
            (wave(json!({ "count": 0 })), "/waves/0/count"),
            (
                json!({ "maintenanceWindows": [{ "cron": "0 2 * * *", "durationMinutes": 5, "zone": "Mars/Base" }] }),
                "/maintenanceWindows/0/zone",
            ),
            (json!({ "target": { "filter": { "tags": ["nobody"] } } }), "/target/filter"),
            (json!({ "target": { "filter": {} } }), "/target/filter"),
            (json!({ "target": { "filter": { "eids": ["89049032000000000000000000000099"] } } }), "/target/filter"),
            (json!({ "plan": { "switch": { "to": { "pool": "none" } } } }), "/plan/switch/to/pool"),
            (json!({ "plan": { "switch": { "to": {} } } }), "/plan/switch/to/activationCode"),
            (
                json!({ "plan": { "switch": { "to": { "activationCode": "1$smdp.example$X$$1" } } } }),
                "/plan/switch/to/confirmationCode",
            ),
            (wave(json!({ "count": 1, "percent": 50 })), "/waves/0"),
            (
                json!({ "plan": { "operations": [{ "psmo": [{ "explode": {} }] }] } }),
                "/plan/operations/0/psmo/0/explode",
            ),
            (json!({ "plan": {} }), "/plan/switch"),
            (json!({ "waves": [{ "count": 2 }, { "filter": { "tags": ["nobody"] } }] }), "/waves/1"),
            (json!({ "waves": [{ "count": 1 }] }), "/waves"),
            (json!({ "endAt": "2020-01-01T00:00:00Z" }), "/endAt"),
            (json!({ "colour": 1 }), "/colour"),
        ] {
            let reply =
                world.send(Role::Admin, "POST", "/api/v1/campaigns", &[], campaign(more.clone()).to_string()).await;
            assert_eq!(reply.pointers(422), [pointer], "{more}");
        }
        let pool = world.post("/api/v1/pools", json!({ "name": "small" })).await.json();
        let codes = json!({ "codes": ["1$smdp.example$ONE"] });
        world.post(&format!("/api/v1/pools/{}/codes", pool["id"].as_str().unwrap()), codes).await;
        let small = campaign(json!({ "plan": { "switch": { "to": { "pool": "small" } } } }));
        let reply = world.send(Role::Admin, "POST", "/api/v1/campaigns", &[], small.to_string()).await;
        assert_eq!(reply.pointers(422), ["/plan/switch/to/pool"]);
        assert!(reply.text().contains("1 free codes") && reply.text().contains("2 devices"), "{}", reply.text());
        assert!(world.get("/api/v1/campaigns").await["items"].as_array().unwrap().is_empty());
        assert_eq!(fleet.len(), 2);

        // A secret in a plan is sealed.
        let secret = json!({ "plan": { "switch": { "to": { "activationCode": "1$smdp.example$HIDDEN-ID" }, "waive": ["fallback"] } } });
        let id = create(world, campaign(secret)).await;
        assert!(!show(world, &id).await.to_string().contains("HIDDEN-ID"));
        assert_eq!(verb(world, &id, "nextWave").await.status, 409);
        assert_eq!(verb(world, "nonsense", "start").await.status, 404);
        let path = format!("/api/v1/campaigns/{id}/devices?outcome=great");
        assert_eq!(world.send(Role::Viewer, "GET", &path, &[], "").await.pointers(422), ["/outcome"]);
    });
}
