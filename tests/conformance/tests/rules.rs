//! Rules through the front door: every condition and action, what keeps a rule from going on without end, and a server that
//! dies in the middle; with simulated devices and a clock that is moved.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use chrono::TimeDelta;
use eim_conformance::{Device, Receiver, Reply, Role, World, each_store};
use eim_core::domain::fleet::rule::FiringOutcome;
use eim_core::store::Saved;
use eim_core::store::rule::FiringStep;
use eim_simulator::ipa::PollOptions;
use serde_json::{Value, json};

const FALLBACK: i64 = 1;
const LOCAL: i64 = 3;

/// A rule for all devices with a tag as its action, unless something else is said.
fn body(when: Value, more: Value) -> Value {
    let mut body = json!({
        "name": "rule",
        "filter": { "all": true },
        "when": when,
        "then": [{ "tag": { "add": ["fired"] } }],
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

async fn settled(world: &World) {
    // On PostgreSQL a rule fires on what the stream shows behind its making, which others may hold back for a moment.
    let end = async || {
        let page = world.get("/api/v1/events?limit=1000").await;
        page["items"].as_array().unwrap().iter().any(|event| event["type"] == "eim.ruleCreated")
    };
    world.until("the stream shows that the rule was made", end).await;
}

async fn create(world: &World, body: Value) -> String {
    // What happened before has happened earlier: the stream may show it only after the rule is made.
    world.clock.advance(TimeDelta::seconds(1));
    let reply = world.post("/api/v1/rules", body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let made = reply.json();
    let path = format!("/api/v1/rules/{}", made["id"].as_str().unwrap());
    assert_eq!(reply.header("location"), Some(path.as_str()));
    settled(world).await;
    path
}

async fn patch(world: &World, path: &str, body: Value) -> Reply {
    world.send(Role::Operator, "PATCH", path, &[], body.to_string()).await
}

async fn firings(world: &World, path: &str) -> Vec<Value> {
    world.get(&format!("{path}/firings?limit=1000")).await["items"].as_array().unwrap().clone()
}

/// Lets rules do what they have to, until the rule has as many firings, none of which waits.
async fn fired(world: &World, path: &str, count: usize) -> Vec<Value> {
    let enough = async || {
        world.rules().await;
        firings(world, path).await.len() >= count
    };
    world.until("the rule has fired", enough).await;
    world.rules().await;
    let fired = firings(world, path).await;
    assert_eq!(fired.len(), count, "{fired:?}");
    fired
}

/// Lets rules read all that has happened, so that what has not fired does not.
async fn read_all(world: &World, eid: &str) {
    let probe = create(
        world,
        body(json!({ "outcome": { "of": ["euiccData"], "outcomes": ["cancelled"] } }), json!({ "name": "probe" })),
    )
    .await;
    let id = world.queue(eid, json!({ "euiccData": {} })).await;
    assert_eq!(world.post(&format!("/api/v1/operations/{id}/cancel"), Value::Null).await.status, 200);
    fired(world, &probe, 1).await;
    assert_eq!(world.send(Role::Operator, "DELETE", &probe, &[], "").await.status, 204);
}

async fn tags(world: &World, eid: &str) -> Value {
    world.euicc(eid).await["tags"].clone()
}

fn in_network(plmn: &str) -> PollOptions {
    PollOptions { r_plmn: Some(plmn.parse().unwrap()), ..PollOptions::default() }
}

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

/// Makes a webhook and gives its id.
async fn webhook(world: &World, body: Value) -> Value {
    let reply = world.send(Role::Admin, "POST", "/api/v1/webhooks", &[], body.to_string()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["id"].clone()
}

#[test]
fn a_state_change_begins_a_switch_once_within_its_cool_down() {
    each_store(async |world: &mut World| {
        let mut device = hourly(world, 1).await;
        let eid = device.eid();
        let switch = json!([{ "switch": { "to": { "profile": { "name": "Two" } }, "waive": ["fallback"] } }]);
        let rule =
            body(json!({ "stateChangeCause": ["fallback"] }), json!({ "then": switch, "filter": { "eids": [eid] } }));
        let path = create(world, rule).await;
        device.poll_with(&PollOptions::state_change(LOCAL)).await;
        device.poll_with(&PollOptions::state_change(FALLBACK)).await;
        let fired_once = fired(world, &path, 1).await;
        assert_eq!(fired_once[0]["event"]["data"]["stateChangeCause"], "fallback", "{fired_once:?}");
        assert_eq!((&fired_once[0]["outcome"], &fired_once[0]["eid"]), (&json!("done"), &json!(eid)), "{fired_once:?}");
        let id = fired_once[0]["actions"][0]["switch"].as_str().unwrap().to_owned();
        device.session().await;
        device.session().await;
        let switch = world.get(&format!("/api/v1/switches/{id}")).await;
        assert_eq!((&switch["outcome"], &switch["label"]), (&json!("proven"), &json!("rule")), "{switch}");
        assert_eq!(world.enabled(&eid).await, [device.iccid(2)]);
        assert_eq!(world.events_of(&eid, "ruleFired").await.len(), 1);

        // What follows the rule's own switch is its own doing; what comes much later is not.
        device.poll_with(&PollOptions::state_change(FALLBACK)).await;
        device.poll_with(&PollOptions::state_change(FALLBACK)).await;
        let looped = fired(world, &path, 2).await;
        assert_eq!((&looped[1]["outcome"], &looped[1]["actions"]), (&json!("loopGuard"), &json!([])), "{looped:?}");
        world
            .until("both were seen", async || {
                world.rules().await;
                firings(world, &path).await[1]["repeats"] == 1
            })
            .await;
        assert_eq!(world.get("/api/v1/switches").await["items"].as_array().unwrap().len(), 1);
        for _ in 0..3 {
            world.advance(TimeDelta::hours(10)).await;
            device.session().await;
        }
        world.advance(TimeDelta::hours(10)).await;
        device.poll_with(&PollOptions::state_change(FALLBACK)).await;
        assert_eq!(fired(world, &path, 3).await[2]["outcome"], "done");
    });
}

#[test]
fn a_change_of_the_network_tags_the_device_and_the_cool_down_counts() {
    each_store(async |world: &mut World| {
        let mut device = world.device(1).await;
        let eid = device.eid();
        world.patch(&eid, json!({ "tags": ["home", "meter"] })).await;
        let then = json!([{ "tag": { "add": ["abroad"], "remove": ["home"] } }]);
        let when = json!({ "plmn": { "notIn": ["262"] } });
        let path = create(world, body(when, json!({ "then": then, "coolDown": { "seconds": 600 } }))).await;
        device.poll_with(&in_network("26201")).await;
        device.poll_with(&in_network("20801")).await;
        let first = fired(world, &path, 1).await;
        assert_eq!(
            (&first[0]["outcome"], &first[0]["actions"][0]["changed"]),
            (&json!("done"), &json!(true)),
            "{first:?}"
        );
        let data = &first[0]["event"]["data"];
        assert_eq!((&data["rPlmn"], &data["previousRPlmn"]), (&json!("20801"), &json!("26201")));
        assert_eq!(tags(world, &eid).await, json!(["abroad", "meter"]));
        device.poll_with(&in_network("20810")).await;
        device.poll_with(&in_network("26201")).await;
        device.poll_with(&in_network("20810")).await;
        let quiet = fired(world, &path, 2).await;
        assert_eq!((&quiet[1]["outcome"], &quiet[1]["actions"]), (&json!("coolDown"), &json!([])), "{quiet:?}");
        world.advance(TimeDelta::seconds(601)).await;
        device.poll_with(&in_network("26201")).await;
        device.poll_with(&in_network("20801")).await;
        let again = fired(world, &path, 3).await;
        assert_eq!(
            (&again[2]["outcome"], &again[2]["actions"][0]["changed"]),
            (&json!("done"), &json!(false)),
            "{again:?}"
        );
    });
}

#[test]
fn a_device_that_does_not_poll_fires_once_for_each_silence() {
    each_store(async |world: &mut World| {
        let mut device = hourly(world, 1).await;
        let (eid, registered) = (device.eid(), world.device(2).await.eid());
        let path = create(world, body(json!({ "noPollFor": { "intervals": 3 } }), json!({}))).await;
        world.advance(TimeDelta::minutes(150)).await;
        world.advance(TimeDelta::minutes(6)).await;
        assert_eq!(firings(world, &path).await, [] as [Value; 0], "three hours are not over");
        world.advance(TimeDelta::minutes(30)).await;
        let first = fired(world, &path, 1).await;
        assert_eq!((&first[0]["outcome"], &first[0]["eid"]), (&json!("done"), &json!(eid)), "{first:?}");
        assert_eq!(first[0]["event"]["type"], "silence");
        for _ in 0..5 {
            world.advance(TimeDelta::hours(10)).await;
        }
        assert_eq!(firings(world, &path).await.len(), 1, "it is the same silence");
        device.session().await;
        world.advance(TimeDelta::minutes(10)).await;
        assert_eq!(firings(world, &path).await.len(), 1, "it was seen");
        world.advance(TimeDelta::days(60)).await;
        world.advance(TimeDelta::minutes(6)).await;
        assert_eq!(fired(world, &path, 2).await[1]["outcome"], "done");
        assert_eq!(tags(world, &registered).await, json!([]), "one that was never seen is not silent");
    });
}

#[test]
fn an_outage_of_the_server_is_no_silence_of_its_devices() {
    each_store(async |world: &mut World| {
        let (mut polls, mut silent) = (world.listed_device(1).await, world.listed_device(2).await);
        for _ in 0..2 {
            world.advance(TimeDelta::hours(1)).await;
            polls.session().await;
            silent.session().await;
        }
        world.advance(TimeDelta::minutes(1)).await;
        let path = create(world, body(json!({ "noPollFor": { "intervals": 3 } }), json!({}))).await;
        world.crash_and_restart_after(TimeDelta::hours(10)).await;
        world.reconnect(&mut polls);
        world.advance(TimeDelta::minutes(6)).await;
        assert_eq!(firings(world, &path).await, [] as [Value; 0], "nobody could poll");
        let dry = body(json!({ "noPollFor": { "intervals": 3 } }), json!({ "name": "dry" }));
        let run = world.post("/api/v1/rules?dryRun=true", dry).await.json();
        assert_eq!(run["silentNow"], 0, "{run}");
        for _ in 0..2 {
            polls.session().await;
            world.advance(TimeDelta::minutes(80)).await;
        }
        assert_eq!(firings(world, &path).await, [] as [Value; 0], "three hours are not over");
        polls.session().await;
        world.advance(TimeDelta::minutes(20)).await;
        let first = fired(world, &path, 1).await;
        assert_eq!(first[0]["eid"], json!(silent.eid()), "{first:?}");
        // A silence that was told stays told.
        world.crash_and_restart_after(TimeDelta::hours(10)).await;
        world.reconnect(&mut polls);
        polls.session().await;
        world.advance(TimeDelta::minutes(190)).await;
        let told = firings(world, &path).await;
        assert_eq!(told.iter().filter(|firing| firing["eid"] == json!(silent.eid())).count(), 1, "{told:?}");
    });
}

#[test]
fn another_eim_tells_a_webhook_whatever_types_it_wants() {
    each_store(async |world: &mut World| {
        let receiver = Receiver::start().await;
        let hook = webhook(world, json!({ "url": receiver.url(), "types": ["eim.webhookTest"] })).await;
        let mut device = world.device(1).await;
        let eid = device.eid();
        let then = json!([{ "webhook": { "id": hook } }, { "tag": { "add": ["watched"] } }]);
        let path =
            create(world, body(json!({ "foreignEim": {} }), json!({ "then": then, "coolDown": { "seconds": 1 } })))
                .await;
        let list = json!({ "eco": [{ "listEim": {} }] });
        world.queue(&eid, list.clone()).await;
        device.session().await;
        let mut other = device.euicc.associations()[0].clone();
        other.eim_id = "2.999.7".to_owned();
        device.euicc.associate(other);
        for _ in 0..2 {
            world.advance(TimeDelta::seconds(5)).await;
            world.queue(&eid, list.clone()).await;
            device.session().await;
        }
        let fired = fired(world, &path, 1).await;
        assert_eq!(fired[0]["event"]["data"]["new"], json!(["2.999.7"]), "{fired:?}");
        assert_eq!((&fired[0]["outcome"], &fired[0]["actions"][0]["webhook"]), (&json!("done"), &hook), "{fired:?}");
        assert_eq!(tags(world, &eid).await, json!(["watched"]));
        assert_eq!(world.events_of(&eid, "foreignEim").await.len(), 1, "told when it is new");
        world.until("the webhook is told", async || !receiver.taken().is_empty()).await;
        assert_eq!(receiver.types(), ["eim.ruleFired"]);
        let told = receiver.taken()[0].event();
        assert_eq!(told["subject"], format!("euiccs/{eid}"));
        assert_eq!(
            (&told["data"]["name"], &told["data"]["cause"]["type"]),
            (&json!("rule"), &json!("foreignEim")),
            "{told}"
        );
    });
}

#[test]
fn a_rule_tells_a_webhook_of_no_device_that_its_filter_leaves_out() {
    each_store(async |world: &mut World| {
        let (all, tagged, one) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
        let mut meter = world.device(1).await;
        let mut other = world.device(2).await;
        let (left_out, meant) = (other.eid(), meter.eid());
        world.patch(&meant, json!({ "tags": ["meter"] })).await;
        let mut then = Vec::new();
        for (receiver, filter) in
            [(&all, json!({})), (&tagged, json!({ "tags": ["meter"] })), (&one, json!({ "eid": meant }))]
        {
            let hook = json!({ "url": receiver.url(), "types": ["eim.webhookTest"], "filter": filter });
            then.push(json!({ "webhook": { "id": webhook(world, hook).await } }));
        }
        let path = create(world, body(json!({ "stateChangeCause": ["local"] }), json!({ "then": then }))).await;
        // The one that is left out comes first, so that it would also be told first.
        other.poll_with(&PollOptions::state_change(LOCAL)).await;
        fired(world, &path, 1).await;
        meter.poll_with(&PollOptions::state_change(LOCAL)).await;
        fired(world, &path, 2).await;
        let subjects = |receiver: &Receiver| -> Vec<Value> {
            receiver.taken().iter().map(|one| one.event()["subject"].clone()).collect()
        };
        let about = |eid: &str| json!(format!("euiccs/{eid}"));
        for (receiver, expected) in
            [(&all, vec![about(&left_out), about(&meant)]), (&tagged, vec![about(&meant)]), (&one, vec![about(&meant)])]
        {
            world.until("the webhook is told", async || subjects(receiver).contains(&about(&meant))).await;
            assert_eq!(subjects(receiver), expected);
        }
    });
}

#[test]
fn little_memory_asks_for_operations() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let then = json!([{ "operations": [{ "psmo": [{ "listProfileInfo": {} }] }] }]);
        let when = json!({ "memoryLow": { "belowBytes": 100_000 } });
        let path = create(world, body(when, json!({ "then": then }))).await;
        let ask = json!({ "euiccData": { "tags": ["BF22"] } });
        for (room, told) in [(1_000_000, 1), (1_000_000, 1), (90_000, 2), (80_000, 3)] {
            device.euicc.limits.profile_bytes = room;
            world.queue(&eid, ask.clone()).await;
            device.session().await;
            let events = world.events_of(&eid, "memoryReported").await;
            assert_eq!(events.len(), told, "{events:?}");
        }
        let fired = fired(world, &path, 1).await;
        assert_eq!(fired[0]["event"]["data"]["verified"], false, "nobody signs it: {fired:?}");
        let switch = fired[0]["actions"][0]["switch"].as_str().unwrap();
        device.session().await;
        let done = world.get(&format!("/api/v1/switches/{switch}")).await;
        assert_eq!(done["outcome"], "succeeded", "{done}");
        read_all(world, &eid).await;
        assert_eq!(firings(world, &path).await.len(), 1, "it was low already");
    });
}

#[test]
fn an_outcome_fires_and_what_the_eim_asks_itself_does_not() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let when = json!({ "outcome": { "of": ["psmo"], "outcomes": ["failed", "succeeded"] } });
        let rule = body(when, json!({ "coolDown": { "seconds": 1 } }));
        let path = create(world, rule.clone()).await;
        // The eIM asks for the list by itself after this.
        device.poll_with(&PollOptions::state_change(LOCAL)).await;
        device.session().await;
        world.advance(TimeDelta::minutes(1)).await;
        let wrong = json!({ "psmo": [{ "disable": { "iccid": device.iccid(2) } }] });
        let id = world.queue(&eid, wrong).await;
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "failed");
        let fired = fired(world, &path, 1).await;
        assert_eq!(fired[0]["event"]["data"]["operation"], json!(id), "{fired:?}");
        let run = world.post("/api/v1/rules?dryRun=true", rule).await.json();
        // Beside it the list that was asked for before the rule was made.
        let told = (&run["wouldHaveFired"]["firings"], &run["wouldHaveFired"]["inCoolDown"]);
        assert_eq!(told, (&json!(2), &json!(0)), "{run}");
        let ended = json!({ "outcome": { "of": ["switch"], "outcomes": ["proven"] } });
        let path =
            create(world, body(ended, json!({ "name": "proven", "then": [{ "tag": { "add": ["moved"] } }] }))).await;
        let to = json!({ "to": { "iccid": device.iccid(2) }, "waive": ["fallback"] });
        let reply = world.post(&format!("/api/v1/euiccs/{eid}/switches"), to).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        device.session().await;
        device.session().await;
        self::fired(world, &path, 1).await;
        assert!(tags(world, &eid).await.as_array().unwrap().contains(&json!("moved")));
    });
}

#[test]
fn the_guard_refuses_what_a_rule_asks_for_as_it_does_for_anybody() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let only = json!([{ "psmo": [{ "disable": { "iccid": device.iccid(1) } }] }]);
        let then = json!([{ "operations": only }, { "tag": { "add": ["tried"] } }]);
        let path = create(world, body(json!({ "stateChangeCause": ["local"] }), json!({ "then": then }))).await;
        device.poll_with(&PollOptions::state_change(LOCAL)).await;
        let fired = fired(world, &path, 1).await;
        assert_eq!(fired[0]["outcome"], "refused", "{fired:?}");
        assert_eq!(fired[0]["actions"][0]["reason"]["name"], "notTheOnlyProfile", "{fired:?}");
        assert_eq!(fired[0]["actions"][1]["outcome"], "done");
        assert_eq!(tags(world, &eid).await, json!(["tried"]));

        // Overriding a check is for admins, also in a rule, and a rule that does is theirs to change.
        let mut over = body(json!({ "stateChangeCause": ["reset"] }), json!({ "name": "over" }));
        over["then"] = json!([{ "switch": { "to": { "iccid": device.iccid(2) }, "override": ["fallback"] } }]);
        assert_eq!(world.post("/api/v1/rules", over.clone()).await.status, 403);
        let reply = world.send(Role::Admin, "POST", "/api/v1/rules", &[], over.to_string()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let over = format!("/api/v1/rules/{}", reply.json()["id"].as_str().unwrap());
        assert_eq!(patch(world, &over, json!({ "coolDown": { "seconds": 5 } })).await.status, 403);
        assert_eq!(patch(world, &over, json!({ "enabled": false })).await.status, 200);
        assert_eq!(patch(world, &over, json!({ "enabled": true })).await.status, 403);
    });
}

#[test]
fn a_disabled_rule_is_changed_under_the_same_checks() {
    each_store(async |world: &mut World| {
        let device = world.listed_device(1).await;
        let mut over = body(json!({ "stateChangeCause": ["reset"] }), json!({ "enabled": false }));
        over["then"] = json!([{ "switch": { "to": { "iccid": device.iccid(2) }, "override": ["fallback"] } }]);
        let reply = world.send(Role::Admin, "POST", "/api/v1/rules", &[], over.to_string()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let made = reply.json();
        let path = format!("/api/v1/rules/{}", made["id"].as_str().unwrap());
        let mut other = over["then"].clone();
        other[0]["switch"]["to"]["iccid"] = json!(device.iccid(3));
        for change in [
            json!({ "then": other }),
            json!({ "then": [{ "tag": { "add": ["mine"] } }] }),
            json!({ "filter": { "all": null, "tags": ["others"] } }),
            json!({ "when": { "stateChangeCause": ["local"] } }),
            json!({ "name": "mine" }),
            json!({}),
        ] {
            assert_eq!(patch(world, &path, change.clone()).await.status, 403, "{change}");
        }
        assert_eq!(world.get(&path).await, made, "nothing was changed");
        assert_eq!(patch(world, &path, json!({ "enabled": false })).await.status, 200);
        let change = json!({ "name": "theirs" }).to_string();
        assert_eq!(world.send(Role::Admin, "PATCH", &path, &[], change).await.status, 200);

        // What such a rule names must be there, too.
        let plain = body(json!({ "stateChangeCause": ["reset"] }), json!({ "enabled": false, "name": "plain" }));
        let path = create(world, plain).await;
        let gone = json!([{ "webhook": { "id": "00000000-0000-7000-8000-000000000000" } }]);
        assert_eq!(patch(world, &path, json!({ "then": gone })).await.pointers(422), ["/then/0/webhook/id"]);
    });
}

#[test]
fn a_repeated_request_for_a_rule_has_the_same_answer_when_it_could_not_be_made_any_more() {
    each_store(async |world: &mut World| {
        let receiver = Receiver::start().await;
        let hook = webhook(world, json!({ "url": receiver.url() })).await;
        let then = json!([{ "webhook": { "id": hook } }]);
        let rule = body(json!({ "stateChangeCause": ["local"] }), json!({ "then": then }));
        let post = async |key: &str| {
            world.send(Role::Operator, "POST", "/api/v1/rules", &[("idempotency-key", key)], rule.to_string()).await
        };
        let made = post("one").await;
        assert_eq!(made.status, 201, "{}", made.text());
        let path = format!("/api/v1/webhooks/{}", hook.as_str().unwrap());
        assert_eq!(world.send(Role::Admin, "DELETE", &path, &[], "").await.status, 204);
        let again = post("one").await;
        assert_eq!((again.status, &again.json()["id"]), (201, &made.json()["id"]), "{}", again.text());
        assert_eq!(post("two").await.pointers(422), ["/then/0/webhook/id"]);
        assert_eq!(world.get("/api/v1/rules").await["items"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn a_rule_that_is_disabled_while_it_is_carried_out_does_no_more() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let then = json!([{ "operations": [{ "psmo": [{ "listProfileInfo": {} }] }] }]);
        let path = create(world, body(json!({ "stateChangeCause": ["undefined"] }), json!({ "then": then }))).await;
        let later =
            json!({ "to": { "iccid": device.iccid(2) }, "waive": ["fallback"], "notBefore": "2026-01-01T01:00:00Z" });
        assert_eq!(world.post(&format!("/api/v1/euiccs/{eid}/switches"), later).await.status, 202);
        device.poll_with(&PollOptions::state_change(127)).await;
        assert_eq!(fired(world, &path, 1).await[0]["outcome"], "pending");
        // A node has loaded it and decided; before it writes, the rule is disabled.
        let store = world.server().eim.store().clone();
        let rule = path.rsplit('/').next().unwrap().parse().unwrap();
        let firing = store.firings(rule, 0, 1).await.unwrap().remove(0);
        assert_eq!(patch(world, &path, json!({ "enabled": false })).await.status, 200);
        let done = vec![json!({ "action": "operations", "outcome": "done" })];
        let step = FiringStep { id: firing.id, taken: 0, steps: done, end: Some(FiringOutcome::Done) };
        let now = world.now().timestamp_millis();
        assert_eq!(store.save_firing_step(firing.eid, step, None, now).await.unwrap(), Saved::Conflict);
        world.advance(TimeDelta::minutes(6)).await;
        let ended = fired(world, &path, 1).await;
        assert_eq!((&ended[0]["outcome"], &ended[0]["actions"]), (&json!("cancelled"), &json!([])), "{ended:?}");
    });
}

#[test]
fn a_rule_that_fires_too_often_stops_itself() {
    each_store(async |world: &mut World| {
        let mut devices = Vec::new();
        for index in 1..=3 {
            devices.push(world.device(index).await);
        }
        let path =
            create(world, body(json!({ "stateChangeCause": ["local"] }), json!({ "maxFiringsPerHour": 2 }))).await;
        for device in &mut devices {
            device.poll_with(&PollOptions::state_change(LOCAL)).await;
        }
        world
            .until("it stops", async || {
                world.rules().await;
                world.get(&path).await["state"] == "stopped"
            })
            .await;
        world.rules().await;
        let log = firings(world, &path).await;
        assert!(log.len() == 2 && log.iter().all(|firing| firing["outcome"] == "done"), "{log:?}");
        world
            .until("that is told", async || {
                let events = world.get("/api/v1/events?limit=1000").await;
                events["items"].as_array().unwrap().iter().any(|event| event["type"] == "eim.ruleStopped")
            })
            .await;
        // Enabled again it fires on what happens from then on.
        let enabled = patch(world, &path, json!({ "enabled": true, "maxFiringsPerHour": 10 })).await;
        assert_eq!((enabled.status, &enabled.json()["state"]), (200, &json!("active")), "{}", enabled.text());
        read_all(world, &devices[0].eid()).await;
        assert_eq!(firings(world, &path).await.len(), 2);
        // What it fired before it was started again counts no more, within the hour too.
        world.advance(TimeDelta::minutes(1)).await;
        let slow = patch(world, &path, json!({ "enabled": false })).await;
        assert_eq!(slow.status, 200);
        let slow = patch(world, &path, json!({ "enabled": true, "maxFiringsPerHour": 1 })).await;
        assert_eq!(slow.json()["state"], "active", "{}", slow.text());
        world.advance(TimeDelta::minutes(10)).await;
        devices[0].poll_with(&PollOptions::state_change(LOCAL)).await;
        world
            .until("it fires again", async || {
                world.rules().await;
                firings(world, &path).await.len() == 3
            })
            .await;
        assert_eq!(world.get(&path).await["state"], "active");
    });
}

#[test]
fn a_rule_that_feeds_itself_is_refused_alone_and_with_others() {
    each_store(async |world: &mut World| {
        let failed = |of: &str| json!({ "outcome": { "of": [of], "outcomes": ["failed"] } });
        let switch = json!([{ "tag": { "add": ["a"] } }, { "switch": { "to": { "profile": { "name": "Two" } } } }]);
        let list = json!([{ "operations": [{ "eco": [{ "listEim": {} }] }] }]);
        let itself = world.post("/api/v1/rules", body(failed("switch"), json!({ "then": switch }))).await;
        assert_eq!(itself.pointers(422), ["/then/1"]);
        let moves =
            world.post("/api/v1/rules", body(json!({ "plmn": { "changed": true } }), json!({ "then": switch }))).await;
        assert_eq!(moves.pointers(422), ["/then/1"]);
        assert_eq!(world.get("/api/v1/rules").await["items"], json!([]), "nothing was made");
        let first = create(world, body(failed("switch"), json!({ "name": "first", "then": list }))).await;
        let second = body(failed("eco"), json!({ "name": "second", "then": switch }));
        let refused = world.post("/api/v1/rules", second.clone()).await;
        assert_eq!(refused.pointers(422), ["/then/1"]);
        assert!(refused.text().contains("second, first"), "{}", refused.text());
        assert_eq!(world.post("/api/v1/rules?dryRun=true", second).await.pointers(422), ["/then/1"]);
        let calm = create(world, body(failed("euiccData"), json!({ "name": "calm", "then": switch }))).await;
        let closes = patch(world, &first, json!({ "then": [{ "operations": [{ "euiccData": {} }] }] })).await;
        assert_eq!(closes.pointers(422), ["/then/0"]);
        assert!(closes.text().contains("first, calm"), "{}", closes.text());
        assert_eq!(patch(world, &calm, json!({ "enabled": false })).await.status, 200);
        assert_eq!(
            patch(world, &first, json!({ "then": [{ "operations": [{ "euiccData": {} }] }] })).await.status,
            200
        );
        assert_eq!(patch(world, &calm, json!({ "enabled": true })).await.pointers(422), ["/then/1"]);
        assert_eq!(world.get(&calm).await["enabled"], false);
    });
}

#[test]
fn a_dry_run_tells_what_would_be_and_makes_nothing() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        world.device(2).await;
        let eid = device.eid();
        for plmn in ["26201", "20801", "26201", "20801"] {
            device.poll_with(&in_network(plmn)).await;
            world.advance(TimeDelta::minutes(20)).await;
        }
        let mut rule = body(json!({ "plmn": { "countries": ["208"] } }), json!({ "coolDown": { "seconds": 60 } }));
        rule["then"] = json!([{ "switch": { "to": { "iccid": device.iccid(2) } } }]);
        let reply = world.post("/api/v1/rules?dryRun=true", rule.clone()).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let run = reply.json();
        assert_eq!((&run["devices"], &run["wouldHaveFired"]["firings"]), (&json!(2), &json!(2)), "{run}");
        assert_eq!(
            (&run["wouldHaveFired"]["inCoolDown"], &run["wouldHaveFired"]["truncated"]),
            (&json!(0), &json!(false))
        );
        let says = run["guard"].as_array().unwrap().iter().find(|says| says["eid"] == json!(eid)).unwrap();
        assert_eq!((&says["action"], &says["allowed"]), (&json!(0), &json!(false)), "{says}");
        assert!(
            says["checks"]
                .as_array()
                .unwrap()
                .iter()
                .any(|check| check["name"] == "fallback" && check["cure"].is_string())
        );
        rule["coolDown"] = json!({ "seconds": 7200 });
        let run = world.post("/api/v1/rules?dryRun=true", rule).await.json();
        assert_eq!(
            (&run["wouldHaveFired"]["firings"], &run["wouldHaveFired"]["inCoolDown"]),
            (&json!(1), &json!(1)),
            "{run}"
        );
        world.advance(TimeDelta::days(30)).await;
        let silent = body(json!({ "noPollFor": { "intervals": 2 } }), json!({}));
        let run = world.post("/api/v1/rules?dryRun=true", silent).await.json();
        assert_eq!((&run["silentNow"], &run["wouldHaveFired"]), (&json!(1), &Value::Null), "{run}");
        assert_eq!(world.get("/api/v1/rules").await["items"], json!([]));
    });
}

#[test]
fn a_server_that_dies_between_noting_and_doing_loses_nothing_and_repeats_nothing() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let then = json!([
            { "tag": { "add": ["first"] } },
            { "switch": { "to": { "profile": { "name": "Two" } }, "waive": ["fallback"] } },
            { "tag": { "add": ["last"] } },
        ]);
        let path = create(world, body(json!({ "stateChangeCause": ["local"] }), json!({ "then": then }))).await;
        device.poll_with(&PollOptions::state_change(LOCAL)).await;
        let noted = async || {
            let (one, other) = (world.server().eim.clone(), world.server().eim.clone());
            let (one, other) = tokio::join!(eim_core::jobs::note_firings(&one), eim_core::jobs::note_firings(&other));
            one.unwrap();
            other.unwrap();
            firings(world, &path).await.len() == 1
        };
        world.until("it is noted", noted).await;
        world.crash_and_restart().await;
        world.reconnect(&mut device);
        // Two nodes do the same at the same time.
        let (one, other) = (world.server().eim.clone(), world.server().eim.clone());
        let both = async || {
            let (one, other) =
                tokio::join!(eim_core::jobs::carry_out_rules(&one), eim_core::jobs::carry_out_rules(&other));
            one.unwrap();
            other.unwrap();
            firings(world, &path).await[0]["outcome"] == "done"
        };
        world.until("it is done", both).await;
        world.crash_and_restart().await;
        world.reconnect(&mut device);
        world.rules().await;
        let done = firings(world, &path).await;
        assert_eq!((done.len(), done[0]["actions"].as_array().unwrap().len()), (1, 3), "{done:?}");
        let switches = world.get("/api/v1/switches").await["items"].as_array().unwrap().clone();
        assert_eq!(switches.len(), 1, "{switches:?}");
        assert_eq!(done[0]["actions"][1]["switch"], switches[0]["id"]);
        assert_eq!(tags(world, &eid).await, json!(["first", "last"]));
        assert_eq!(world.events_of(&eid, "ruleFired").await.len(), 1);
        assert_eq!(world.events_of(&eid, "changed").await.len(), 2);
        device.session().await;
        device.session().await;
        assert_eq!(world.enabled(&eid).await, [device.iccid(2)]);
    });
}

#[test]
fn what_one_rule_causes_another_one_may_answer_and_the_log_tells_both() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let switch = json!([{ "switch": { "to": { "profile": { "name": "Two" } }, "waive": ["fallback"] } }]);
        let moves =
            create(world, body(json!({ "stateChangeCause": ["local"] }), json!({ "name": "moves", "then": switch })))
                .await;
        let when = json!({ "outcome": { "of": ["switch"], "outcomes": ["proven"] } });
        let tells = create(world, body(when, json!({ "name": "tells" }))).await;
        device.poll_with(&PollOptions::state_change(LOCAL)).await;
        let first = fired(world, &moves, 1).await;
        let by = moves.rsplit('/').next().unwrap();
        let switch = format!("/api/v1/switches/{}", first[0]["actions"][0]["switch"].as_str().unwrap());
        assert_eq!(world.get(&switch).await["rules"], json!([by]));
        device.session().await;
        device.session().await;
        let second = fired(world, &tells, 1).await;
        assert_eq!((&second[0]["outcome"], &second[0]["causedBy"]), (&json!("done"), &json!([by])), "{second:?}");
        assert_eq!(tags(world, &eid).await, json!(["fired"]));
    });
}

#[test]
fn an_action_waits_for_what_is_under_way_at_the_device() {
    each_store(async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        let eid = device.eid();
        let then = json!([{ "operations": [{ "psmo": [{ "listProfileInfo": {} }] }] }]);
        let path = create(world, body(json!({ "stateChangeCause": ["undefined"] }), json!({ "then": then }))).await;
        let later =
            json!({ "to": { "iccid": device.iccid(2) }, "waive": ["fallback"], "notBefore": "2026-01-01T01:00:00Z" });
        let reply = world.post(&format!("/api/v1/euiccs/{eid}/switches"), later).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        let id = reply.json()["id"].as_str().unwrap().to_owned();
        device.poll_with(&PollOptions::state_change(127)).await;
        assert_eq!(fired(world, &path, 1).await[0]["outcome"], "pending");
        world.advance(TimeDelta::minutes(6)).await;
        assert_eq!(fired(world, &path, 1).await[0]["outcome"], "pending");
        assert_eq!(world.post(&format!("/api/v1/switches/{id}/cancel"), Value::Null).await.status, 200);
        world.advance(TimeDelta::minutes(6)).await;
        assert_eq!(fired(world, &path, 1).await[0]["outcome"], "done");
    });
}

#[test]
fn codes_of_a_rule_are_sealed_and_stay_when_something_else_is_changed() {
    each_store(async |world: &mut World| {
        let mut rule = body(json!({ "stateChangeCause": ["local"] }), json!({}));
        rule["then"] = json!([{ "switch": { "to": { "activationCode": "LPA:1$smdp.example$TOPSECRET" }, "waive": ["fallback", "memory"] } }]);
        let post = async |key: &str, body: &Value| {
            world.send(Role::Operator, "POST", "/api/v1/rules", &[("idempotency-key", key)], body.to_string()).await
        };
        let made = post("one", &rule).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let path = format!("/api/v1/rules/{}", made.json()["id"].as_str().unwrap());
        assert_eq!(post("one", &rule).await.json()["id"], made.json()["id"], "the same request");
        let mut other = rule.clone();
        other["name"] = json!("other");
        assert_eq!(post("one", &other).await.status, 409);
        assert_eq!(world.get("/api/v1/rules").await["items"].as_array().unwrap().len(), 1);
        let renamed = patch(world, &path, json!({ "name": "renamed", "coolDown": { "seconds": 60 } })).await;
        assert_eq!((renamed.status, &renamed.json()["name"]), (200, &json!("renamed")), "{}", renamed.text());
        let seen = [made.text(), renamed.text(), world.get("/api/v1/rules").await.to_string()];
        assert!(seen.iter().all(|text| !text.contains("TOPSECRET")), "{seen:?}");
        assert_eq!(renamed.json()["then"], made.json()["then"]);
        let mut device = world.listed_device(1).await;
        settled(world).await;
        device.poll_with(&PollOptions::state_change(LOCAL)).await;
        let fired = fired(world, &path, 1).await;
        assert!(!json!(fired).to_string().contains("TOPSECRET"));
        assert_eq!(world.send(Role::Viewer, "DELETE", &path, &[], "").await.status, 403);
        assert_eq!(world.send(Role::Operator, "DELETE", &path, &[], "").await.status, 204);
        assert_eq!(world.send(Role::Operator, "GET", &path, &[], "").await.status, 404);
        assert_eq!(world.send(Role::Operator, "GET", &format!("{path}/firings"), &[], "").await.status, 404);
    });
}

#[test]
fn rules_see_their_own_tenant_alone() {
    each_store(async |world: &mut World| {
        let ours = world.tenant("ours").await;
        let rule = body(json!({ "stateChangeCause": ["local"] }), json!({}));
        let reply = world.send_as(&ours, "POST", "/api/v1/rules", rule.clone()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let theirs = format!("/api/v1/rules/{}", reply.json()["id"].as_str().unwrap());
        let mut device = world.device(1).await;
        let path = create(world, rule).await;
        device.poll_with(&PollOptions::state_change(LOCAL)).await;
        fired(world, &path, 1).await;
        let log = world.send_as(&ours, "GET", &format!("{theirs}/firings"), Value::Null).await.json();
        assert_eq!(log["items"], json!([]));
    });
}

#[test]
fn what_can_t_be_taken_is_named_and_nothing_is_made() {
    each_store(async |world: &mut World| {
        let when = json!({ "foreignEim": {} });
        let nowhere = "01890000-0000-7000-8000-000000000000";
        for (wrong, place) in [
            (json!({ "name": "" }), "/name"),
            (json!({ "name": "x".repeat(129) }), "/name"),
            (json!({ "filter": {} }), "/filter"),
            (json!({ "filter": { "eids": ["1"] } }), "/filter/eids"),
            (json!({ "when": {} }), "/when"),
            (json!({ "when": { "stateChangeCause": ["weather"] } }), "/when/stateChangeCause"),
            (json!({ "when": { "noPollFor": { "intervals": 1001 } } }), "/when/noPollFor/intervals"),
            (json!({ "when": { "outcome": { "of": ["psmo"], "outcomes": ["noShow"] } } }), "/when/outcome/outcomes"),
            (
                json!({ "then": [{ "switch": { "to": { "activationCode": "1$smdp.example$X$$1" } } }] }),
                "/then/0/switch/to/confirmationCode",
            ),
            (json!({ "then": [] }), "/then"),
            (json!({ "then": vec![json!({ "tag": { "add": ["a"] } }); 9] }), "/then"),
            (json!({ "then": [{ "tag": { "add": [] } }] }), "/then/0/tag/add"),
            (json!({ "then": [{ "webhook": { "id": nowhere } }] }), "/then/0/webhook/id"),
            (json!({ "then": [{ "switch": { "to": { "pool": "none" } } }] }), "/then/0/switch/to/pool"),
            (json!({ "then": [{ "switch": {} }] }), "/then/0/switch/to"),
            (json!({ "then": [{ "operations": [{ "psmo": [] }] }] }), "/then/0/operations/0/psmo"),
            (json!({ "coolDown": { "seconds": 0 } }), "/coolDown/seconds"),
            (json!({ "coolDown": {} }), "/coolDown/seconds"),
            (json!({ "maxFiringsPerHour": 10_001 }), "/maxFiringsPerHour"),
            (json!({ "enabled": "yes" }), "/enabled"),
            (json!({ "surprise": 1 }), "/surprise"),
        ] {
            let reply = world.post("/api/v1/rules", body(when.clone(), wrong.clone())).await;
            assert!(reply.pointers(422).contains(&place.to_owned()), "{wrong}: {}", reply.text());
        }
        let text_for_list = json!({ "outcome": { "of": "psmo", "outcomes": ["failed"] } });
        assert_eq!(
            world.post("/api/v1/rules", body(text_for_list, json!({}))).await.pointers(422),
            ["/when/outcome/of"],
            "once, and nothing of the outcomes"
        );
        // The refusal names what is taken.
        for (wrong, named) in [
            (json!({ "stateChangeCause": ["weather"] }), "fallback"),
            (json!({ "outcome": { "of": ["cat"], "outcomes": ["failed"] } }), "switch or kinds of operations (psmo"),
            (json!({ "outcome": { "of": ["psmo"], "outcomes": ["noShow"] } }), "rolledBack"),
        ] {
            let reply = world.post("/api/v1/rules", body(wrong, json!({}))).await;
            assert_eq!(reply.status, 422);
            assert!(reply.text().contains(named), "{}", reply.text());
        }
        assert_eq!(world.get("/api/v1/rules").await["items"], json!([]));
        let path = create(world, body(when, json!({}))).await;
        let before = world.get(&path).await;
        for (wrong, place) in [
            (json!({ "filter": null }), "/filter"),
            (json!({ "when": { "noPollFor": { "intervals": 1 } } }), "/when"),
            (json!({ "id": "x" }), "/id"),
        ] {
            assert!(patch(world, &path, wrong.clone()).await.pointers(422).contains(&place.to_owned()), "{wrong}");
        }
        assert_eq!(world.get(&path).await, before);
        let changed =
            patch(world, &path, json!({ "when": { "foreignEim": null, "noPollFor": { "intervals": 2 } } })).await;
        assert_eq!(changed.json()["when"], json!({ "noPollFor": { "intervals": 2 } }));
    });
}
