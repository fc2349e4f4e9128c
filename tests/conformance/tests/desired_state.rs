//! Desired states through the front door: drift is shown, told once, and brought back through the guard where that is asked
//! for; on both databases, with simulated devices and a clock that is moved.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use chrono::TimeDelta;
use eim_conformance::{Device, Reply, Role, World, code_of, each_mode, each_store, new_iccid, order};
use eim_simulator::euicc::DeviceDescription;
use eim_simulator::ipa::{DownloadMode, PollOptions};
use serde_json::{Value, json};

const STATES: &str = "/api/v1/desired-states";

/// A listed device with these tags.
async fn tagged(world: &World, index: u32, tags: &[&str]) -> Device {
    let device = world.listed_device(index).await;
    world.patch(&device.eid(), json!({ "tags": tags })).await;
    device
}

fn with(mut body: Value, more: Value) -> Value {
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

/// Every device tagged `meters` is to have its profile "Two" enabled.
fn two(more: Value) -> Value {
    let body = json!({
        "name": "two",
        "filter": { "tags": ["meters"] },
        "state": { "enabled": { "profile": { "name": "Two" } } },
        "waive": ["fallback"],
        "retry": { "attempts": 2, "backOffSeconds": 60 },
    });
    with(body, more)
}

async fn create(world: &World, body: Value) -> String {
    let reply = world.post(STATES, body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(reply.header("location"), Some(format!("{STATES}/{id}").as_str()));
    tick(world).await;
    id
}

async fn put(world: &World, eid: &str, body: Value) -> Reply {
    let path = format!("/api/v1/euiccs/{eid}/desired-state");
    world.send(Role::Operator, "PUT", &path, &[], body.to_string()).await
}

/// Gives a device a state of its own.
async fn own(world: &World, device: &Device, body: Value) {
    let reply = put(world, &device.eid(), body).await;
    assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
    tick(world).await;
}

async fn patch(world: &World, id: &str, body: Value) -> Value {
    let reply = world.send(Role::Operator, "PATCH", &format!("{STATES}/{id}"), &[], body.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    tick(world).await;
    reply.json()
}

async fn delete(world: &World, path: &str) {
    let reply = world.send(Role::Operator, "DELETE", path, &[], "").await;
    assert_eq!(reply.status, 204, "{}", reply.text());
    tick(world).await;
}

async fn tick(world: &World) {
    world.advance(TimeDelta::seconds(3)).await;
}

async fn of(world: &World, eid: &str) -> Value {
    world.get(&format!("/api/v1/euiccs/{eid}/desired-state")).await
}

async fn counts(world: &World, id: &str) -> Value {
    world.get(&format!("{STATES}/{id}")).await["devices"].clone()
}

async fn switches(world: &World, eid: &str) -> Vec<Value> {
    world.get(&format!("/api/v1/switches?eid={eid}")).await["items"].as_array().unwrap().clone()
}

/// `(found, corrected, given up)` on the timeline.
async fn told(world: &World, eid: &str) -> (usize, usize, usize) {
    let count = async |event: &str| world.events_of(eid, event).await.len();
    (count("driftFound").await, count("driftCorrected").await, count("driftGivenUp").await)
}

#[test]
fn drift_is_shown_for_each_member_and_told_once_and_nothing_is_done() {
    each_store(async |world: &mut World| {
        let device = world.listed_device(1).await;
        let eid = device.eid();
        let before = world.operations(&eid).await.len();
        let missing = new_iccid(9).digits().unwrap();
        for (index, (state, member, correction)) in [
            (json!({ "enabled": { "iccid": device.iccid(2) } }), "enabled", json!("enable")),
            (json!({ "enabled": { "profile": { "name": "three" } } }), "enabled", json!("enable")),
            (json!({ "fallback": { "iccid": device.iccid(3) } }), "fallback", json!("setFallbackAttribute")),
            (json!({ "installed": { "includes": [{ "iccid": missing }] } }), "installed", Value::Null),
            (json!({ "installed": { "excludes": [{ "profile": { "name": "Two" } }] } }), "installed", json!("delete")),
            (json!({ "installed": { "excludes": [{ "iccid": device.iccid(1) }] } }), "installed", Value::Null),
            (
                json!({ "installed": { "exactly": [{ "iccid": device.iccid(1) }, { "iccid": device.iccid(2) }] } }),
                "installed",
                json!("delete"),
            ),
        ]
        .into_iter()
        .enumerate()
        {
            own(world, &device, json!({ "state": state })).await;
            for _ in 0..3 {
                tick(world).await;
            }
            let shown = of(world, &eid).await;
            assert_eq!((&shown["drift"], &shown["correcting"]), (&json!("drifting"), &json!("none")), "{shown}");
            let difference = &shown["differences"][0];
            assert_eq!((&difference["member"], &difference["correction"]), (&json!(member), &correction), "{shown}");
            assert!(difference["message"].as_str().is_some_and(|message| message.len() > 20), "{shown}");
            assert_eq!(difference["correction"].is_null(), difference["notCorrectable"].is_string(), "{shown}");
            assert!(shown["foundAt"].is_string() && shown["from"]["own"] == true, "{shown}");
            assert_eq!(told(world, &eid).await, (index + 1, 0, 0), "{state}: once each");
        }
        for state in [
            json!({ "enabled": { "profile": { "name": "ONE" } } }),
            json!({ "fallback": { "none": true } }),
            json!({ "installed": { "includes": [{ "iccid": device.iccid(2) }], "excludes": [{ "iccid": missing }] } }),
        ] {
            own(world, &device, json!({ "state": state })).await;
            let shown = of(world, &eid).await;
            assert_eq!((&shown["drift"], &shown["differences"]), (&json!("inLine"), &json!([])), "{state}: {shown}");
        }
        assert_eq!(world.operations(&eid).await.len(), before, "nothing was asked of the device");
        assert_eq!(world.metric("eim_drift_total", &["outcome=\"found\""]).await, 7.0);
    });
}

#[test]
fn what_is_not_known_is_unknown_and_not_guessed() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let eid = device.eid();
        own(world, &device, json!({ "state": { "enabled": { "iccid": device.iccid(1) } } })).await;
        let shown = of(world, &eid).await;
        assert_eq!((&shown["drift"], &shown["reason"]["name"]), (&json!("unknown"), &json!("profileList")), "{shown}");
        assert!(world.operations(&eid).await.is_empty(), "who does not enforce does not ask either");
        world.list(&mut device).await;
        tick(world).await;
        assert_eq!(of(world, &eid).await["drift"], "inLine");
        // The device says that something has changed, and what it is gets lost on the way.
        device.euicc.enable_locally(&device.raw_iccid(2));
        device.ipa.behaviour.lose_result = true;
        device.poll_with(&PollOptions::state_change(127)).await;
        device.ipa.behaviour.lose_result = false;
        tick(world).await;
        let shown = of(world, &eid).await;
        assert_eq!((&shown["drift"], &shown["reason"]["name"]), (&json!("unknown"), &json!("profileList")), "{shown}");
        assert_eq!(told(world, &eid).await, (0, 0, 0));
        device.session().await;
        tick(world).await;
        assert_eq!(of(world, &eid).await["drift"], "drifting");
        assert_eq!(told(world, &eid).await, (1, 0, 0));
    });
}

#[test]
fn several_nodes_find_and_correct_a_device_once() {
    each_store(async |world: &mut World| {
        let mut fleet = Vec::new();
        for index in 1..=4 {
            fleet.push(tagged(world, index, &["meters"]).await);
        }
        let reply = world.post(STATES, two(json!({ "enforce": true }))).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let node = async || {
            let eim = &world.server().eim;
            while eim_core::jobs::keep_desired_states(eim).await.unwrap() > 0 {}
        };
        tokio::join!(node(), node(), node());
        for device in &mut fleet {
            assert_eq!(switches(world, &device.eid()).await.len(), 1);
            device.session().await;
            device.session().await;
        }
        tokio::join!(node(), node(), node());
        for device in &fleet {
            assert_eq!(told(world, &device.eid()).await, (1, 1, 0));
            assert_eq!(switches(world, &device.eid()).await.len(), 1);
        }
    });
}

#[test]
fn a_device_that_never_told_its_profiles_is_asked_for_them_and_then_brought_back() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let eid = device.eid();
        let state = json!({ "enabled": { "iccid": device.iccid(2) } });
        own(world, &device, json!({ "enforce": true, "state": state, "waive": ["fallback"] })).await;
        let asked = world.operations(&eid).await;
        assert_eq!((asked.len(), &asked[0]["origin"]), (1, &json!("eim")), "{asked:?}");
        for _ in 0..3 {
            device.session().await;
            tick(world).await;
        }
        assert_eq!(of(world, &eid).await["drift"], "inLine");
        assert_eq!(world.enabled(&eid).await, [device.iccid(2)]);
        assert_eq!(told(world, &eid).await, (1, 1, 0));
    });
}

#[test]
fn a_drifting_device_is_brought_back_by_a_proven_switch() {
    each_store(async |world: &mut World| {
        let mut device = tagged(world, 1, &["meters"]).await;
        let eid = device.eid();
        let id = create(world, two(json!({ "enforce": true }))).await;
        let shown = of(world, &eid).await;
        assert_eq!((&shown["drift"], &shown["correcting"]), (&json!("drifting"), &json!("correcting")), "{shown}");
        assert_eq!(shown["from"]["id"], json!(id));
        assert_eq!(counts(world, &id).await["correcting"], 1);
        let switch = &switches(world, &eid).await[0];
        assert_eq!((&switch["id"], &switch["label"]), (&shown["switch"], &json!("two")), "{switch}");
        assert_eq!(switch["plan"]["switch"]["rollback"], true);
        device.poll().await;
        tick(world).await;
        assert_eq!(counts(world, &id).await["correcting"], 1, "enabled, and not yet proven");
        device.session().await;
        tick(world).await;
        assert_eq!(switches(world, &eid).await[0]["outcome"], "proven");
        assert_eq!(of(world, &eid).await["drift"], "inLine");
        let devices = counts(world, &id).await;
        assert_eq!((&devices["governed"], &devices["inLine"]), (&json!(1), &json!(1)), "{devices}");
        for _ in 0..3 {
            device.session().await;
            tick(world).await;
        }
        assert_eq!(told(world, &eid).await, (1, 1, 0));
        assert_eq!(switches(world, &eid).await.len(), 1, "one was enough");
        let listed = world.get(&format!("{STATES}/{id}/devices?drift=inLine&limit=1")).await;
        assert_eq!(
            (&listed["items"][0]["eid"], listed["items"].as_array().unwrap().len()),
            (&json!(eid), 1),
            "{listed}"
        );
        let listed = world.get(&format!("{STATES}/{id}/devices?drift=drifting")).await;
        assert_eq!(listed["items"], json!([]));
    });
}

#[test]
fn fallback_and_surplus_profiles_are_corrected_one_after_the_other() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let [one, three] = [1, 3].map(|number| json!({ "iccid": device.iccid(number) }));
        let state = json!({ "fallback": three, "installed": { "exactly": [one, three] } });
        own(world, &device, json!({ "enforce": true, "state": state })).await;
        for _ in 0..2 {
            let open = switches(world, &eid).await.into_iter().filter(|switch| switch["outcome"].is_null()).count();
            assert_eq!(open, 1, "one thing at a time");
            device.session().await;
            tick(world).await;
        }
        let shown = of(world, &eid).await;
        assert_eq!(shown["drift"], "inLine", "{shown}");
        let left: Vec<String> = world.profiles(&eid).await.into_iter().map(|(iccid, _)| iccid).collect();
        assert_eq!(left, [device.iccid(1), device.iccid(3)]);
        assert_eq!(told(world, &eid).await, (1, 1, 0));
        let asked: Vec<Value> = switches(world, &eid)
            .await
            .iter()
            .map(|switch| switch["plan"]["operations"][0]["psmo"][0].clone())
            .collect();
        assert!(asked[0]["setFallbackAttribute"].is_object() && asked[1]["delete"].is_object(), "{asked:?}");

        // And back: no Fallback Profile.
        own(world, &device, json!({ "enforce": true, "state": { "fallback": { "none": true } } })).await;
        device.session().await;
        tick(world).await;
        assert_eq!(of(world, &eid).await["drift"], "inLine");
    });
}

#[test]
fn a_missing_profile_comes_from_a_pool_and_is_enabled_then() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "POOLED", 1));
        let pool = world.post("/api/v1/pools", json!({ "name": "codes" })).await.json();
        let codes = format!("/api/v1/pools/{}/codes", pool["id"].as_str().unwrap());
        let features = [DeviceDescription::DIRECT_RSP_SERVER_COMMUNICATION];
        let mut device = world.downloading_device(1, DownloadMode::Direct, &features).await;
        world.list(&mut device).await;
        let eid = device.eid();
        let wanted = json!({ "iccid": new_iccid(1).digits().unwrap() });
        let state = json!({ "enabled": wanted, "installed": { "includes": [wanted] } });
        let body = json!({ "enforce": true, "state": state, "obtain": { "pool": "codes" }, "waive": ["fallback"] });
        own(world, &device, body).await;
        let shown = of(world, &eid).await;
        assert_eq!(
            (&shown["correcting"], &shown["reason"]["name"]),
            (&json!("refused"), &json!("pool-empty")),
            "{shown}"
        );
        let filled = world.post(&codes, json!({ "codes": [code_of(&smdp, "POOLED")] })).await;
        assert_eq!(filled.status, 200, "{}", filled.text());
        world.advance(TimeDelta::minutes(61)).await;
        for _ in 0..4 {
            device.session().await;
            tick(world).await;
        }
        let shown = of(world, &eid).await;
        assert_eq!(shown["drift"], "inLine", "{shown} {:?}", switches(world, &eid).await);
        let made = switches(world, &eid).await;
        let outcomes: Vec<&str> = made.iter().map(|switch| switch["outcome"].as_str().unwrap()).collect();
        assert_eq!(outcomes, ["succeeded", "proven"], "a download, and then a switch: {made:?}");
        assert!(made[0]["plan"]["download"].is_object() && !made[0].to_string().contains("POOLED"), "{made:?}");
        assert_eq!(world.enabled(&eid).await, [new_iccid(1).digits().unwrap()]);
        assert_eq!(world.get(&codes).await["items"][0]["state"], "used");
        smdp.stop().await;
    });
}

#[test]
fn what_the_guard_refuses_is_shown_and_nothing_is_sent() {
    each_store(async |world: &mut World| {
        let mut device = tagged(world, 1, &["meters"]).await;
        let eid = device.eid();
        let id = create(world, two(json!({ "enforce": true, "waive": [] }))).await;
        let shown = of(world, &eid).await;
        assert_eq!(
            (&shown["correcting"], &shown["reason"]["name"]),
            (&json!("refused"), &json!("fallback")),
            "{shown}"
        );
        assert!(switches(world, &eid).await.is_empty());
        assert_eq!(counts(world, &id).await["refused"], 1);
        // Waived by name, as with a switch.
        patch(world, &id, json!({ "waive": ["fallback"] })).await;
        assert_eq!(of(world, &eid).await["correcting"], "correcting");
        device.session().await;
        device.session().await;
        tick(world).await;
        assert_eq!(of(world, &eid).await["drift"], "inLine");
        // Nothing may leave a device without a profile that it can use.
        let state = json!({ "installed": { "excludes": [{ "iccid": device.iccid(2) }] } });
        own(world, &device, json!({ "enforce": true, "state": state })).await;
        let shown = of(world, &eid).await;
        assert!(shown["differences"][0]["notCorrectable"].as_str().unwrap().contains("enabled"), "{shown}");
        assert_eq!(shown["correcting"], "none");
    });
}

#[test]
fn an_owner_policy_holds_for_corrections_as_for_switches() {
    each_store(async |world: &mut World| {
        let device = tagged(world, 1, &["meters"]).await;
        let profiles = world.get(&format!("/api/v1/euiccs/{}/profiles", device.eid())).await;
        let owner = profiles["items"][0]["serviceProvider"].as_str().unwrap().to_owned();
        let policy = json!({ "serviceProvider": owner, "disableAllowed": false }).to_string();
        let made = world.send(Role::Admin, "POST", "/api/v1/owner-policies", &[], policy).await;
        assert_eq!(made.status, 201, "{}", made.text());
        create(world, two(json!({ "enforce": true }))).await;
        let shown = of(world, &device.eid()).await;
        assert_eq!(
            (&shown["correcting"], &shown["reason"]["name"]),
            (&json!("refused"), &json!("ownerPolicy")),
            "{shown}"
        );
        assert!(switches(world, &device.eid()).await.is_empty());
        // Without the policy the refusal does not stay for its hour.
        let path = format!("/api/v1/owner-policies/{}", made.json()["id"].as_str().unwrap());
        assert_eq!(world.send(Role::Admin, "DELETE", &path, &[], String::new()).await.status, 204);
        tick(world).await;
        assert_eq!(of(world, &device.eid()).await["correcting"], "correcting");
        assert_eq!(switches(world, &device.eid()).await.len(), 1);
    });
}

#[test]
fn what_was_wanted_before_does_not_hold_up_what_is_wanted_now() {
    each_store(async |world: &mut World| {
        let mut device = tagged(world, 1, &["meters"]).await;
        let eid = device.eid();
        own(
            world,
            &device,
            json!({ "enforce": true, "waive": ["fallback"], "state": { "enabled": { "iccid": device.iccid(2) } } }),
        )
        .await;
        device.session().await;
        device.session().await;
        tick(world).await;
        assert_eq!(of(world, &eid).await["drift"], "inLine");
        let path = format!("/api/v1/euiccs/{eid}/desired-state");
        assert_eq!(world.send(Role::Operator, "DELETE", &path, &[], String::new()).await.status, 204);
        tick(world).await;
        own(
            world,
            &device,
            json!({ "enforce": true, "waive": ["fallback"], "state": { "enabled": { "iccid": device.iccid(1) } } }),
        )
        .await;
        let shown = of(world, &eid).await;
        assert_eq!((&shown["drift"], &shown["correcting"]), (&json!("drifting"), &json!("correcting")), "{shown}");
    });
}

#[test]
fn a_device_that_goes_back_is_given_up_and_told_once() {
    each_store(async |world: &mut World| {
        let mut device = tagged(world, 1, &["meters"]).await;
        let eid = device.eid();
        device.ipa.behaviour.connectivity_lost = true;
        let id = create(world, two(json!({ "enforce": true }))).await;
        device.session().await;
        tick(world).await;
        let shown = of(world, &eid).await;
        assert_eq!((&shown["correcting"], &shown["lastOutcome"]), (&json!("waiting"), &json!("rolledBack")), "{shown}");
        assert!(shown["nextTryAt"].is_string(), "{shown}");
        device.session().await;
        tick(world).await;
        assert_eq!(switches(world, &eid).await.len(), 1, "it waits for its time");
        world.advance(TimeDelta::seconds(70)).await;
        assert_eq!(switches(world, &eid).await.len(), 2);
        device.session().await;
        tick(world).await;
        for _ in 0..5 {
            world.advance(TimeDelta::hours(5)).await;
            device.session().await;
        }
        let shown = of(world, &eid).await;
        assert_eq!((&shown["drift"], &shown["correcting"]), (&json!("drifting"), &json!("givenUp")), "{shown}");
        assert_eq!(switches(world, &eid).await.len(), 2, "not more often than asked");
        assert_eq!(told(world, &eid).await, (1, 0, 1));
        assert_eq!(counts(world, &id).await["givenUp"], 1);
        // A change of the state begins anew.
        device.ipa.behaviour.connectivity_lost = false;
        patch(world, &id, json!({})).await;
        device.session().await;
        device.session().await;
        tick(world).await;
        assert_eq!(of(world, &eid).await["drift"], "inLine");
        assert_eq!(world.enabled(&eid).await, [device.iccid(2)]);
    });
}

#[test]
fn a_device_that_does_not_stay_is_brought_back_ever_less_often() {
    each_store(async |world: &mut World| {
        let mut device = tagged(world, 1, &["meters"]).await;
        let eid = device.eid();
        create(world, two(json!({ "enforce": true }))).await;
        let mut begun = vec![];
        for _ in 0..24 {
            for _ in 0..2 {
                device.session().await;
                tick(world).await;
            }
            // Somebody at the device puts it back.
            device.euicc.enable_locally(&device.raw_iccid(1));
            device.poll_with(&PollOptions::state_change(127)).await;
            device.session().await;
            world.advance(TimeDelta::minutes(10)).await;
            begun.push(switches(world, &eid).await.len());
        }
        let shown = of(world, &eid).await;
        assert_eq!(begun[0], 2, "the first time it is brought back at once: {begun:?}");
        // 60 seconds, then twice as long each time: of four hours most are spent waiting.
        let last = begun[23];
        assert!((7..=11).contains(&last), "{begun:?}");
        assert!(last - begun[11] <= begun[11] / 2, "the last waits are the longest: {begun:?}");
        if shown["correcting"] == "waiting" {
            assert_eq!(shown["reason"]["name"], "didNotStay", "{shown}");
        }
        assert!(shown["broughtBack"].as_u64().unwrap() + 1 >= last as u64, "{shown}");
        assert_eq!(told(world, &eid).await.2, 0, "nothing failed, so nothing is given up");
    });
}

#[test]
fn one_state_counts_its_own_before_the_highest_before_the_oldest() {
    each_store(async |world: &mut World| {
        let device = tagged(world, 1, &["meters"]).await;
        let eid = device.eid();
        let from = async || of(world, &eid).await["from"]["name"].clone();
        assert_eq!(of(world, &eid).await["drift"], "none");
        let first = create(world, two(json!({ "name": "first" }))).await;
        create(world, two(json!({ "name": "second" }))).await;
        assert_eq!(from().await, "first");
        let high = create(world, two(json!({ "name": "high", "priority": 60 }))).await;
        assert_eq!(from().await, "high");
        assert_eq!(
            (counts(world, &high).await["governed"].clone(), counts(world, &first).await["governed"].clone()),
            (json!(1), json!(0))
        );
        own(world, &device, json!({ "state": { "enabled": { "iccid": device.iccid(1) } } })).await;
        let shown = of(world, &eid).await;
        assert_eq!((&shown["from"]["name"], &shown["from"]["own"]), (&json!(eid), &json!(true)), "{shown}");
        assert_eq!(shown["drift"], "inLine");
        let names: Vec<&str> =
            shown["applies"].as_array().unwrap().iter().map(|state| state["name"].as_str().unwrap()).collect();
        assert_eq!(names, [eid.as_str(), "high", "first", "second"]);
        delete(world, &format!("/api/v1/euiccs/{eid}/desired-state")).await;
        assert_eq!(from().await, "high");
        delete(world, &format!("{STATES}/{high}")).await;
        assert_eq!(from().await, "first");
        assert_eq!(counts(world, &first).await["governed"], 1);
        patch(world, &first, json!({ "priority": 10 })).await;
        assert_eq!(from().await, "second");
    });
}

#[test]
fn a_device_that_begins_to_match_is_looked_at_by_itself() {
    each_store(async |world: &mut World| {
        let id = create(world, two(json!({}))).await;
        let device = world.listed_device(1).await;
        tick(world).await;
        assert_eq!(counts(world, &id).await["governed"], 0);
        world.patch(&device.eid(), json!({ "tags": ["meters"] })).await;
        tick(world).await;
        assert_eq!(counts(world, &id).await["drifting"], 1);
        assert_eq!(told(world, &device.eid()).await.0, 1);
        world.patch(&device.eid(), json!({ "tags": [] })).await;
        tick(world).await;
        assert_eq!(counts(world, &id).await["governed"], 0);
        // One that is registered with the tag.
        let newcomer = world.device_of(world.pki.euicc(2).unwrap()).await;
        let body = with(world.registration(&newcomer, true), json!({ "tags": ["meters"] }));
        assert_eq!(world.post("/api/v1/euiccs", body).await.status, 201);
        tick(world).await;
        assert_eq!(counts(world, &id).await["unknown"], 1);
        // Time alone decides: seen within an hour, and then not any more.
        let recent = create(world, two(json!({ "filter": { "seenWithinSeconds": 3600 }, "priority": 90 }))).await;
        assert_eq!(counts(world, &recent).await["governed"], 1);
        world.advance(TimeDelta::hours(3)).await;
        assert_eq!(counts(world, &recent).await["governed"], 0);
    });
}

#[test]
fn a_server_that_dies_in_the_middle_changes_no_outcome() {
    each_store(async |world: &mut World| {
        let mut device = tagged(world, 1, &["meters"]).await;
        let eid = device.eid();
        // Made, and never looked at before the crash.
        let reply = world.post(STATES, two(json!({ "enforce": true }))).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let id = reply.json()["id"].as_str().unwrap().to_owned();
        let mut steps = 0;
        while of(world, &eid).await["drift"] != "inLine" {
            world.crash_and_restart().await;
            world.reconnect(&mut device);
            tick(world).await;
            world.crash_and_restart().await;
            world.reconnect(&mut device);
            device.poll().await;
            steps += 1;
            assert!(steps < 10, "{}", of(world, &eid).await);
        }
        for _ in 0..2 {
            device.session().await;
            tick(world).await;
        }
        assert_eq!(switches(world, &eid).await.len(), 1);
        assert_eq!(switches(world, &eid).await[0]["outcome"], "proven");
        assert_eq!(told(world, &eid).await, (1, 1, 0));
        assert_eq!(counts(world, &id).await["inLine"], 1);
    });
}

#[test]
fn campaigns_and_what_is_in_flight_go_first() {
    each_store(async |world: &mut World| {
        let mut device = tagged(world, 1, &["meters"]).await;
        let eid = device.eid();
        let campaign = json!({
            "name": "three",
            "target": { "filter": { "tags": ["meters"] } },
            "plan": { "switch": { "to": { "profile": { "name": "Three" } }, "waive": ["fallback"] } },
            "approval": "none",
        });
        let campaign =
            world.send(Role::Admin, "POST", "/api/v1/campaigns", &[], campaign.to_string()).await.json()["id"]
                .as_str()
                .unwrap()
                .to_owned();
        for verb in ["submit", "start", "pause"] {
            let reply = world.post(&format!("/api/v1/campaigns/{campaign}/{verb}"), Value::Null).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        create(world, two(json!({ "enforce": true }))).await;
        let shown = of(world, &eid).await;
        assert_eq!(
            (&shown["correcting"], &shown["reason"]["name"]),
            (&json!("waiting"), &json!("campaign")),
            "{shown}"
        );
        assert_eq!(world.post(&format!("/api/v1/campaigns/{campaign}/abort"), Value::Null).await.status, 200);
        tick(world).await;
        // An operation of an operator's is in flight.
        world.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await;
        world.advance(TimeDelta::minutes(6)).await;
        let shown = of(world, &eid).await;
        assert_eq!(shown["reason"]["name"], "nothingInFlight", "{shown}");
        device.session().await;
        tick(world).await;
        assert_eq!(of(world, &eid).await["correcting"], "correcting");
        device.session().await;
        device.session().await;
        tick(world).await;
        assert_eq!(world.enabled(&eid).await, [device.iccid(2)]);
    });
}

#[test]
fn a_running_campaign_is_not_undone_device_by_device() {
    each_store(async |world: &mut World| {
        let mut first = tagged(world, 1, &["meters"]).await;
        tagged(world, 2, &["meters"]).await;
        let campaign = json!({
            "name": "three",
            "target": { "filter": { "tags": ["meters"] } },
            "plan": { "switch": { "to": { "profile": { "name": "Three" } }, "waive": ["fallback"] } },
            "approval": "none",
        });
        let campaign =
            world.send(Role::Admin, "POST", "/api/v1/campaigns", &[], campaign.to_string()).await.json()["id"]
                .as_str()
                .unwrap()
                .to_owned();
        for verb in ["submit", "start"] {
            assert_eq!(world.post(&format!("/api/v1/campaigns/{campaign}/{verb}"), Value::Null).await.status, 200);
        }
        create(world, two(json!({ "enforce": true }))).await;
        // The first one has been moved, the second one did not come yet: the campaign has both.
        first.session().await;
        first.session().await;
        for _ in 0..4 {
            world.advance(TimeDelta::minutes(6)).await;
        }
        let shown = of(world, &first.eid()).await;
        assert_eq!((&shown["drift"], &shown["reason"]["name"]), (&json!("drifting"), &json!("campaign")), "{shown}");
        assert_eq!(world.enabled(&first.eid()).await, [first.iccid(3)]);
        assert_eq!(switches(world, &first.eid()).await.len(), 1, "that of the campaign");
    });
}

#[test]
fn a_device_that_is_lost_is_not_taken_for_corrected_and_keeps_its_old_profile() {
    each_store(async |world: &mut World| {
        let mut device = tagged(world, 1, &["meters"]).await;
        let eid = device.eid();
        let state = json!({
            "enabled": { "iccid": device.iccid(2) },
            "installed": { "exactly": [{ "iccid": device.iccid(2) }, { "iccid": device.iccid(3) }] },
        });
        create(world, two(json!({ "state": state, "enforce": true }))).await;
        // It takes the package and answers, and is not seen again.
        device.poll().await;
        for _ in 0..40 {
            world.advance(TimeDelta::hours(12)).await;
        }
        assert_eq!(switches(world, &eid).await[0]["outcome"], "lostAfterSwitch");
        let shown = of(world, &eid).await;
        assert_eq!((&shown["drift"], &shown["reason"]["name"]), (&json!("unknown"), &json!("notProven")), "{shown}");
        assert_eq!(told(world, &eid).await.1, 0, "nothing was corrected");
        assert_eq!(switches(world, &eid).await.len(), 1, "nothing is deleted");
        // When it tells its profiles again, it goes on.
        device.session().await;
        world.advance(TimeDelta::days(8)).await;
        for _ in 0..4 {
            device.session().await;
            world.advance(TimeDelta::hours(2)).await;
        }
        assert_eq!(of(world, &eid).await["drift"], "inLine", "{}", of(world, &eid).await);
        assert_eq!(world.profiles(&eid).await.len(), 2);
    });
}

#[test]
fn two_states_do_not_have_a_device_to_and_fro_without_end() {
    each_store(async |world: &mut World| {
        let mut device = tagged(world, 1, &["a"]).await;
        let eid = device.eid();
        for (name, profile) in [("a", "Two"), ("b", "Three")] {
            let more = json!({ "name": name, "filter": { "tags": [name] }, "enforce": true, "state": { "enabled": { "profile": { "name": profile } } } });
            create(world, two(more)).await;
        }
        // Something outside changes with each switch which of the two counts, at first at once and then over a time without any.
        for (rounds, gap) in [(12, false), (12, true)] {
            let before = switches(world, &eid).await.len();
            for round in 0..rounds {
                device.session().await;
                device.session().await;
                if gap {
                    world.patch(&eid, json!({ "tags": [] })).await;
                    tick(world).await;
                }
                world.patch(&eid, json!({ "tags": [if round % 2 == 0 { "b" } else { "a" }] })).await;
                world.advance(TimeDelta::minutes(10)).await;
            }
            let made = switches(world, &eid).await.len() - before;
            assert!(made <= 6, "each waits longer than the one before: {made} and not {rounds}");
            assert_eq!(made == 0, gap, "what was tried is not forgotten over a time without a state: {made}");
        }
    });
}

#[test]
fn a_correction_that_nobody_wants_any_more_is_withdrawn() {
    each_store(async |world: &mut World| {
        let mut device = tagged(world, 1, &["meters"]).await;
        let eid = device.eid();
        let id = create(world, two(json!({ "enforce": true }))).await;
        assert_eq!(of(world, &eid).await["correcting"], "correcting");
        patch(world, &id, json!({ "enforce": false })).await;
        assert_eq!(switches(world, &eid).await[0]["outcome"], "cancelled");
        patch(world, &id, json!({ "enforce": true })).await;
        assert_eq!(switches(world, &eid).await.len(), 2, "begun at once: the one before was no attempt that failed");
        delete(world, &format!("{STATES}/{id}")).await;
        assert_eq!(switches(world, &eid).await[1]["outcome"], "cancelled");
        device.session().await;
        assert_eq!(world.enabled(&eid).await, [device.iccid(1)]);
        assert_eq!(of(world, &eid).await["drift"], "none");
    });
}

#[test]
fn a_repeated_request_makes_one_state() {
    each_store(async |world: &mut World| {
        let device = tagged(world, 1, &["meters"]).await;
        let key = [("idempotency-key", "once")];
        let send = async |body: Value| world.send(Role::Operator, "POST", STATES, &key, body.to_string()).await;
        let (first, again) = (send(two(json!({}))).await, send(two(json!({}))).await);
        assert_eq!((first.status, again.status), (201, 201));
        assert_eq!(first.json()["id"], again.json()["id"]);
        assert_eq!(send(two(json!({ "name": "other" }))).await.status, 409);
        assert_eq!(world.get(STATES).await["items"].as_array().unwrap().len(), 1);
        // A PUT is safe to repeat by itself.
        let body = json!({ "state": { "enabled": { "iccid": device.iccid(1) } } });
        let made = put(world, &device.eid(), body.clone()).await;
        let same = put(world, &device.eid(), body).await;
        assert_eq!((made.status, same.status), (201, 200));
        assert_eq!(made.json()["changedAt"], same.json()["changedAt"]);
        assert_eq!(world.events_of(&device.eid(), "desiredStateChanged").await.len(), 0);
        let viewer = world.send(Role::Viewer, "POST", STATES, &[], two(json!({})).to_string()).await;
        assert_eq!(viewer.status, 403);
    });
}

#[test]
fn tenants_are_apart() {
    each_store(async |world: &mut World| {
        let ours = world.tenant("ours").await;
        let mine = tagged(world, 1, &["meters"]).await;
        let body = two(json!({ "enforce": true, "filter": { "all": true } }));
        let reply = world.send_as(&ours, "POST", STATES, body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        tick(world).await;
        assert_eq!(of(world, &mine.eid()).await["applies"], json!([]), "it is for devices of its own tenant");
        assert!(switches(world, &mine.eid()).await.is_empty());
        assert_eq!(world.get(STATES).await["items"], json!([]));
        let path = format!("{STATES}/{}", reply.json()["id"].as_str().unwrap());
        assert_eq!(world.send(Role::Admin, "GET", &path, &[], "").await.status, 404);
        let shown = world.send_as(&ours, "GET", &path, Value::Null).await.json();
        assert_eq!(shown["devices"]["governed"], 0, "{shown}");
    });
}

#[test]
fn codes_are_sealed_and_kept_when_something_else_is_changed() {
    each_store(async |world: &mut World| {
        let device = world.listed_device(1).await;
        let state = json!({ "installed": { "includes": [{ "iccid": new_iccid(3).digits().unwrap() }] } });
        let body = json!({ "state": state, "obtain": { "activationCode": "1$smdp.example$SECRET" } });
        let made = put(world, &device.eid(), body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        assert!(!made.text().contains("SECRET"), "{}", made.text());
        let id = made.json()["id"].as_str().unwrap().to_owned();
        let changed = patch(world, &id, json!({ "name": "renamed" })).await;
        assert_eq!((&changed["name"], &changed["obtain"]), (&json!("renamed"), &made.json()["obtain"]), "{changed}");
        assert!(!changed["obtain"].is_null(), "{changed}");
        let changed = patch(world, &id, json!({ "obtain": null })).await;
        assert!(changed.get("obtain").is_none(), "{changed}");
    });
}

#[test]
fn no_more_devices_than_wanted_are_brought_back_at_the_same_time() {
    each_store(async |world: &mut World| {
        let mut devices = Vec::new();
        for index in 1..=4 {
            devices.push(tagged(world, index, &["meters"]).await);
        }
        let id = create(world, two(json!({ "enforce": true, "maxInFlight": 1 }))).await;
        assert_eq!(world.get(&format!("{STATES}/{id}")).await["maxInFlight"], 1);
        for ended in 0..4 {
            let now = counts(world, &id).await;
            assert_eq!(
                (&now["inLine"], &now["correcting"], &now["waiting"]),
                (&json!(ended), &json!(1), &json!(3 - ended)),
                "{now}"
            );
            let listed = world.get(&format!("{STATES}/{id}/devices")).await;
            let waits = listed["items"].as_array().unwrap().iter().filter(|one| one["reason"]["name"] == "maxInFlight");
            assert_eq!(waits.count(), 3 - ended, "{listed}");
            for device in &mut devices {
                device.session().await;
            }
            tick(world).await;
            world.advance(TimeDelta::minutes(30)).await;
        }
        assert_eq!(counts(world, &id).await["inLine"], 4);
        for device in &devices {
            assert_eq!(world.enabled(&device.eid()).await, [device.iccid(2)]);
            assert_eq!(switches(world, &device.eid()).await.len(), 1);
        }
    });
}

#[test]
fn a_state_stops_when_too_many_corrections_end_badly() {
    each_store(async |world: &mut World| {
        let mut devices = Vec::new();
        for index in 1..=5 {
            let mut device = tagged(world, index, &["meters"]).await;
            device.ipa.behaviour.connectivity_lost = true;
            devices.push(device);
        }
        let id = create(world, two(json!({ "enforce": true, "maxInFlight": 2, "stopAfter": 2 }))).await;
        for _ in 0..6 {
            for device in &mut devices {
                device.session().await;
            }
            tick(world).await;
            world.advance(TimeDelta::hours(2)).await;
        }
        let mut tried = 0;
        for device in &devices {
            tried += switches(world, &device.eid()).await.len();
            assert_eq!(world.enabled(&device.eid()).await, [device.iccid(1)]);
        }
        assert!((2..=3).contains(&tried), "{tried}: what was under way when it stopped, and nothing more");
        let shown = world.get(&format!("{STATES}/{id}")).await;
        assert_eq!(shown["stopped"], true, "{shown}");
        let listed = world.get(&format!("{STATES}/{id}/devices")).await;
        assert!(listed["items"].as_array().unwrap().iter().all(|one| one["reason"]["name"] == "stopped"), "{listed}");
        let told =
            async || world.get("/api/v1/events?type=eim.desiredStateStopped").await["items"].as_array().unwrap().len();
        world.until("desiredStateStopped", async || told().await == 1).await;

        // Somebody has looked at it, and goes on.
        for device in &mut devices {
            device.ipa.behaviour.connectivity_lost = false;
        }
        assert_eq!(patch(world, &id, json!({})).await["stopped"], false);
        for _ in 0..6 {
            for device in &mut devices {
                device.session().await;
            }
            tick(world).await;
            world.advance(TimeDelta::hours(2)).await;
        }
        assert_eq!(counts(world, &id).await["inLine"], 5);
    });
}

#[test]
fn what_contradicts_itself_or_can_not_be_taken_is_refused_with_its_place() {
    each_store(async |world: &mut World| {
        let device = world.listed_device(1).await;
        let [one, two, three] = [1, 2, 3].map(|number| json!({ "iccid": device.iccid(number) }));
        let named = |name: &str| json!({ "profile": { "name": name } });
        let base = json!({ "name": "n", "filter": { "all": true }, "state": { "enabled": one } });
        let states = [
            (json!({}), "/state"),
            (json!([]), "/state"),
            (json!({ "enabled": {} }), "/state/enabled/iccid"),
            (json!({ "enabled": { "iccid": "12" } }), "/state/enabled/iccid"),
            (json!({ "enabled": { "profile": {} } }), "/state/enabled/profile/serviceProvider"),
            (json!({ "enabled": { "iccid": device.iccid(1), "profile": { "name": "x" } } }), "/state/enabled/profile"),
            (json!({ "enabled": one, "enable": true }), "/state/enable"),
            (json!({ "fallback": { "none": false } }), "/state/fallback/none"),
            (json!({ "fallback": { "none": true, "iccid": device.iccid(1) } }), "/state/fallback/iccid"),
            (json!({ "installed": {} }), "/state/installed/includes"),
            (json!({ "installed": { "exactly": [] } }), "/state/installed/exactly"),
            (json!({ "installed": { "includes": [] } }), "/state/installed/includes"),
            (json!({ "installed": { "excludes": "all" } }), "/state/installed/excludes"),
            (json!({ "installed": { "includes": [one, one] } }), "/state/installed/includes/1"),
            (json!({ "installed": { "includes": vec![one.clone(); 33] } }), "/state/installed/includes"),
            (json!({ "installed": { "exactly": [one], "includes": [one] } }), "/state/installed/exactly"),
            (json!({ "installed": { "includes": [two, one], "excludes": [one] } }), "/state/installed/includes/1"),
            (json!({ "enabled": one, "installed": { "exactly": [two, three] } }), "/state/enabled"),
            (json!({ "enabled": one, "installed": { "excludes": [one] } }), "/state/enabled"),
            (json!({ "fallback": one, "installed": { "exactly": [two] } }), "/state/fallback"),
            (json!({ "enabled": named("A"), "installed": { "exactly": [named("B")] } }), "/state/enabled"),
            (json!({ "enabled": named("A"), "installed": { "excludes": [named("a")] } }), "/state/enabled"),
        ];
        let others = [
            (json!({ "name": null }), "/name"),
            (json!({ "name": "x".repeat(129) }), "/name"),
            (json!({ "name": 7 }), "/name"),
            (json!({ "filter": null }), "/filter"),
            (json!({ "filter": {} }), "/filter"),
            (json!({ "filter": { "tag": ["x"] } }), "/filter/tag"),
            (json!({ "priority": 101 }), "/priority"),
            (json!({ "maxInFlight": 0 }), "/maxInFlight"),
            (json!({ "stopAfter": 0 }), "/stopAfter"),
            (json!({ "enforce": "yes" }), "/enforce"),
            (json!({ "retry": { "attempts": 0 } }), "/retry/attempts"),
            (json!({ "retry": { "backOffSeconds": 59 } }), "/retry/backOffSeconds"),
            (json!({ "retry": { "forever": true } }), "/retry/forever"),
            (json!({ "waive": ["notTheOnlyProfile"] }), "/waive"),
            (json!({ "override": ["ownerPolicy"] }), "/override"),
            (json!({ "memoryBytes": -1 }), "/memoryBytes"),
            (json!({ "obtain": { "pool": "nowhere" } }), "/obtain/pool"),
            (json!({ "obtain": { "iccid": device.iccid(1) } }), "/obtain/iccid"),
            (json!({ "obtain": { "activationCode": "x" } }), "/obtain/activationCode"),
            (json!({ "obtain": { "activationCode": "1$smdp.example$X$$1" } }), "/obtain/confirmationCode"),
            (json!({ "obtain": {} }), "/obtain/activationCode"),
            (json!({ "eid": device.eid() }), "/eid"),
            (json!({ "state": null }), "/state"),
        ];
        let states = states.into_iter().map(|(state, place)| (with(base.clone(), json!({ "state": state })), place));
        let others = others.into_iter().map(|(more, place)| (with(base.clone(), more), place));
        for (body, place) in states.chain(others) {
            let problem = world.post(STATES, body.clone()).await.problem(422);
            let places: Vec<&Value> =
                problem["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
            assert_eq!(places, [&json!(place)], "{body}: {problem}");
        }
        assert_eq!(world.get(STATES).await["items"], json!([]), "nothing half-made");
        for (body, place) in [
            (json!({ "state": { "enabled": one }, "filter": { "all": true } }), "/filter"),
            (json!({ "state": { "enabled": one }, "priority": 3 }), "/priority"),
            (json!({}), "/state"),
        ] {
            let problem = put(world, &device.eid(), body).await.problem(422);
            assert_eq!(problem["errors"][0]["pointer"], place, "{problem}");
        }
        // A patch must leave a state that can be taken.
        let id = create(world, base.clone()).await;
        let path = format!("{STATES}/{id}");
        for (body, place) in [
            (json!({ "state": { "enabled": null } }), "/state"),
            (json!({ "state": { "installed": { "excludes": [one] } } }), "/state/enabled"),
            (json!({ "name": null }), "/name"),
            (json!({ "version": 3 }), "/version"),
        ] {
            let problem = world.send(Role::Operator, "PATCH", &path, &[], body.to_string()).await.problem(422);
            assert_eq!(problem["errors"][0]["pointer"], place, "{problem}");
        }
        for (query, place) in [("drift=lost", "/drift"), ("correcting=x", "/correcting"), ("cursor=x", "/cursor")] {
            let problem =
                world.send(Role::Viewer, "GET", &format!("{path}/devices?{query}"), &[], "").await.problem(422);
            assert_eq!(problem["errors"][0]["pointer"], place, "{problem}");
        }
        assert_eq!(put(world, "89049032000000000000000000009999", json!({ "state": {} })).await.status, 404);
        assert_eq!(world.send(Role::Operator, "DELETE", &format!("{STATES}/nothing"), &[], "").await.status, 404);
    });
}
