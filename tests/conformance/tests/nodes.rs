//! Several servers on one PostgreSQL, with and without RabbitMQ: whichever of them a device, an operator or the clock comes to, there is
//! one truth. Whoever dies holds nothing up for long, and whoever comes back late does nothing again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use eim_conformance::{
    Answer, Backend, Binding, Device, Mode, PollOptions, Receiver, Role, SentPackage, World, front_with, round,
    run_with,
};
use eim_core::domain::handover::HandoverDeviceState;
use eim_core::domain::{Changes, Event};
use eim_core::ids::{Eid, OperationId};
use eim_core::jobs::{self, JobRun};
use eim_core::manage::audit::verify_audit;
use eim_core::ports::{PortFuture, RspCall, RspFailure, RspReply, RspTransport};
use eim_core::store::campaign::CampaignChange;
use eim_core::store::handover::HandoverStep;
use eim_core::store::switch::SavedOnce;
use eim_core::store::{JobEnd, Leased, Saved};
use eim_core::{Eim, pki::Curve};
use eim_server::boot::Server;
use eim_server::config::KeySource;
use eim_simulator::ipa::{Ipa, IpaConfig};
use eim_simulator::pki::seeded_key;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const ON_POSTGRES: Mode = Mode { backend: Backend::Postgres, broker: false };

/// Runs the test where there may be several servers.
fn several(bindings: &[Binding], test: impl AsyncFn(&mut World)) {
    run_with(&[ON_POSTGRES], bindings, |_| {}, test);
}

fn is_package(body: &[u8]) -> bool {
    hex::encode(body).contains("bf51") || String::from_utf8_lossy(body).contains("euiccPackageRequest")
}

async fn poll(config: IpaConfig, eid: Eid) -> Vec<u8> {
    Ipa::new(config).get_eim_package_raw(&eid, &PollOptions::default()).await.unwrap()
}

/// Lets a device go to one of the servers.
fn go_to(device: &mut Device, config: &IpaConfig) {
    device.ipa.reconfigure(config.clone());
}

async fn queue_at(world: &World, node: &Server, eid: &str, body: Value) -> String {
    let reply = world.send_to(node, "POST", &format!("/api/v1/euiccs/{eid}/operations"), body).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    reply.json()["id"].as_str().unwrap().to_owned()
}

fn rat() -> Value {
    json!({ "psmo": [{ "getRAT": {} }] })
}

/// What a timeline tells of an operation, each type with how often.
async fn told_of(world: &World, eid: &str, operation: &str) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for event in world.events(eid).await {
        if event["operation"] == operation || event["details"]["operation"] == operation {
            *told.entry(event["type"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    told
}

#[test]
fn polls_of_one_eid_on_three_nodes_at_once_get_the_same_octets_and_one_counter() {
    several(&[Binding::Asn1, Binding::Json], async |world: &mut World| {
        let nodes = [world.node().await, world.node().await];
        let mut ways = vec![world.ipa_config()];
        ways.extend(nodes.iter().map(|node| world.ipa_config_of(node)));
        for index in 1..=5 {
            let device = world.listed_device(index).await;
            let (eid, shown) = (device.euicc.eid(), device.eid());
            let id = world.queue(&shown, device.enable(2, false)).await;
            let second = world.queue(&shown, device.enable(3, false)).await;
            let polls: JoinSet<_> = ways.iter().cycle().take(6).map(|way| poll(way.clone(), eid)).collect();
            let bodies = polls.join_all().await;
            // Some may get the question for stored results, as for polls one after another.
            let packages: Vec<_> = bodies.iter().filter(|body| is_package(body)).collect();
            assert!(packages.len() >= 2, "{} packages", packages.len());
            assert!(packages.windows(2).all(|pair| pair[0] == pair[1]), "device {index}");
            let operation = world.operation(&id).await;
            assert_eq!((&operation["state"], &operation["counterValue"]), (&json!("delivered"), &json!(2)));
            assert_eq!(operation["attempts"], packages.len());
            assert_eq!(world.operation(&second).await["state"], "queued", "one in flight");
            assert_eq!(world.euicc(&shown).await["association"]["counterValue"], 2);
        }
        for node in nodes {
            node.stop().await;
        }
    });
}

#[test]
fn while_operations_are_asked_for_at_one_node_and_fetched_at_others_no_counter_stands_for_two_packages() {
    several(&[Binding::Asn1], async |world: &mut World| {
        let node = world.node().await;
        let ways = [world.ipa_config(), world.ipa_config_of(&node)];
        let mut device = world.listed_device(1).await;
        let (eid, shown) = (device.euicc.eid(), device.eid());
        let mut of_counter: BTreeMap<i64, BTreeSet<Vec<u8>>> = BTreeMap::new();
        let mut asked = Vec::new();
        for number in 0..4_usize {
            asked.push(world.queue(&shown, rat()).await);
            let polls: JoinSet<_> = ways.iter().cycle().take(4).map(|way| poll(way.clone(), eid)).collect();
            let asking = async {
                let mut made = Vec::new();
                for _ in 0..2 {
                    made.push(queue_at(world, &node, &shown, rat()).await);
                    made.push(world.queue(&shown, rat()).await);
                }
                made
            };
            let (bodies, made) = tokio::join!(polls.join_all(), asking);
            asked.extend(made);
            for package in bodies.iter().filter(|body| is_package(body)).map(|body| SentPackage::read(body)) {
                of_counter.entry(package.counter).or_default().insert(package.octets);
            }
            // The device carries out all of it at one of them, and at another one the next time.
            go_to(&mut device, &ways[number % 2]);
            device.session().await;
        }
        // What was delivered and not carried out is offered again after a while.
        for _ in 0..8 {
            world.advance(TimeDelta::minutes(11)).await;
            device.session().await;
        }
        assert!(!of_counter.is_empty());
        assert!(of_counter.values().all(|packages| packages.len() == 1), "{of_counter:?}");
        let mut counters = BTreeSet::new();
        for id in &asked {
            let operation = world.operation(id).await;
            assert_eq!(
                (&operation["state"], &operation["verified"]),
                (&json!("succeeded"), &json!(true)),
                "{operation}"
            );
            assert!(counters.insert(operation["counterValue"].as_i64().unwrap()), "{operation}");
        }
        assert_eq!(counters.len(), 20);
        node.stop().await;
    });
}

#[test]
fn one_result_at_two_nodes_at_once_is_applied_once_and_acknowledged_alike() {
    several(&[Binding::Asn1, Binding::Json], async |world: &mut World| {
        let node = world.node().await;
        let ways = [world.ipa_config(), world.ipa_config_of(&node)];
        for index in 1..=4 {
            let mut device = world.listed_device(index).await;
            let (eid, shown) = (device.euicc.eid(), device.eid());
            let id = world.queue(&shown, rat()).await;
            device.ipa.behaviour.lose_result = true;
            let result = device.poll().await.result.unwrap();
            let deliveries: JoinSet<_> = ways
                .iter()
                .cycle()
                .take(6)
                .map(|way| {
                    let (mut ipa, result) = (Ipa::new(way.clone()), result.clone());
                    async move { ipa.deliver(&eid, &result).await.unwrap() }
                })
                .collect();
            let answers = deliveries.join_all().await;
            assert!(matches!(&answers[0], Answer::Acknowledged(numbers) if numbers.len() == 1), "{answers:?}");
            assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
            let operation = world.operation(&id).await;
            assert_eq!((&operation["state"], operation["results"].as_array().unwrap().len()), (&json!("succeeded"), 1));
            assert_eq!(operation["lateResult"], Value::Null);
            let told = told_of(world, &shown, &id).await;
            assert_eq!(told.get("operationSucceeded"), Some(&1), "{told:?}");
            assert!(world.events_of(&shown, "lateResult").await.is_empty());
        }
        node.stop().await;
    });
}

#[test]
fn an_operation_that_is_cancelled_at_one_node_while_another_is_polled_is_withdrawn_or_delivered_and_never_both() {
    several(&[Binding::Asn1], async |world: &mut World| {
        let node = world.node().await;
        let mut outcomes = BTreeSet::new();
        for index in 1..=12_u32 {
            let mut device = world.listed_device(index).await;
            let (eid, shown) = (device.euicc.eid(), device.eid());
            let id = world.queue(&shown, rat()).await;
            let cancel = format!("/api/v1/operations/{id}/cancel");
            let cancelling = async {
                // Not always the same one first.
                for _ in 0..index % 4 {
                    world.operation(&id).await;
                }
                world.send_to(&node, "POST", &cancel, Value::Null).await
            };
            let (body, cancelled) = tokio::join!(poll(world.ipa_config(), eid), cancelling);
            outcomes.insert(cancelled.status);
            match cancelled.status {
                200 => {
                    assert!(!is_package(&body), "it left a node and is withdrawn");
                    assert!(device.session().await.packages() == 0);
                    assert_eq!(world.operation(&id).await["state"], "cancelled");
                }
                409 => {
                    assert!(is_package(&body), "it is said to be delivered");
                    go_to(&mut device, &world.ipa_config_of(&node));
                    device.session().await;
                    assert_eq!(world.operation(&id).await["state"], "succeeded");
                }
                _ => panic!("{}", cancelled.text()),
            }
        }
        eprintln!("seen: {outcomes:?}");
        node.stop().await;
    });
}

/// What one process knows of polls that found nothing would be wrong as soon as another one writes.
#[test]
fn what_is_asked_for_or_withdrawn_at_one_node_is_known_to_the_next_poll_at_another() {
    several(&[Binding::Asn1, Binding::Json], async |world: &mut World| {
        let node = world.node().await;
        let mut device = world.listed_device(1).await;
        let (eid, shown) = (device.euicc.eid(), device.eid());
        let way = world.ipa_config_of(&node);
        go_to(&mut device, &way);
        for _ in 0..3 {
            assert!(device.poll().await.is_idle());
            assert!(device.poll().await.is_idle());
            let id = world.queue(&shown, rat()).await;
            assert!(is_package(&poll(way.clone(), eid).await), "asked for at the other node");
            device.session().await;
            assert_eq!(world.operation(&id).await["state"], "succeeded");
            assert!(device.poll().await.is_idle());
            let id = world.queue(&shown, rat()).await;
            assert_eq!(world.post(&format!("/api/v1/operations/{id}/cancel"), Value::Null).await.status, 200);
            assert!(device.poll().await.is_idle(), "withdrawn at the other node");
        }
        node.stop().await;
    });
}

/// A second server on a SQLite file would make such knowledge wrong.
#[test]
fn a_second_server_on_the_same_file_is_refused() {
    run_with(
        &[Mode::EMBEDDED],
        &[Binding::Asn1],
        |_| {},
        async |world: &mut World| {
            let refused = world.try_node().await.err().expect("it must not start");
            let said = format!("{refused:#}");
            assert!(said.contains("eim.db"), "{said}");
        },
    );
}

#[test]
fn when_devices_were_seen_by_several_nodes_the_latest_time_stays() {
    several(&[Binding::Asn1], async |world: &mut World| {
        let node = world.node().await;
        let mut device = world.listed_device(1).await;
        let shown = device.eid();
        device.poll().await;
        let first = world.server().eim.clone();
        world.clock.advance(TimeDelta::minutes(5));
        go_to(&mut device, &world.ipa_config_of(&node));
        device.poll().await;
        let seen = world.now();
        // The later one is written first.
        node.eim.flush_sightings().await.unwrap();
        first.flush_sightings().await.unwrap();
        let written =
            world.euicc(&shown).await["lastSeenAt"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>();
        assert_eq!(written.unwrap(), seen);
        node.stop().await;
    });
}

/// A way to servers on which the first calls wait.
struct Line {
    calls: AtomicUsize,
    held: Option<Arc<Semaphore>>,
}

impl Line {
    fn open() -> Self {
        Self { calls: AtomicUsize::new(0), held: None }
    }

    fn held(by: &Arc<Semaphore>) -> Self {
        Self { calls: AtomicUsize::new(0), held: Some(Arc::clone(by)) }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl RspTransport for Line {
    fn call(&self, _: RspCall) -> PortFuture<'_, Result<RspReply, RspFailure>> {
        Box::pin(async {
            self.calls.fetch_add(1, Ordering::SeqCst);
            if let Some(held) = &self.held {
                held.acquire().await.unwrap().forget();
            }
            Ok(RspReply { status: 204, body: vec![] })
        })
    }

    fn longest_call(&self) -> Duration {
        Duration::from_secs(30)
    }
}

const FORWARD: &str = "forwardNotifications";
const DELIVER: &str = "webhook";
const SMDP: &str = "smdp.example";

/// Longer than a lease.
fn over_a_lease() -> TimeDelta {
    TimeDelta::seconds(61)
}

/// Fronts alone: jobs run when a test says so, and nowhere else.
#[test]
fn a_worker_that_comes_back_after_its_lease_forwards_nothing_that_another_one_has_forwarded() {
    front_with(
        |_| {},
        async |world: &mut World| {
            let node = world.node().await;
            let mut device = world.listed_device(1).await;
            for number in [2, 1] {
                world.queue(&device.eid(), device.enable(number, false)).await;
                device.session().await;
                device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
            }
            assert_eq!(world.notifications("state=pending").await.len(), 2);
            let (one, two) = (world.server().eim.clone(), node.eim.clone());
            let gate = Arc::new(Semaphore::new(0));
            let (first, second) = (Arc::new(Line::held(&gate)), Line::open());
            let late = tokio::spawn({
                let (one, first) = (one.clone(), Arc::clone(&first));
                async move { jobs::run(FORWARD, SMDP, "one", &*first, 0, &one).await.unwrap() }
            });
            world.until("the first one is at it", async || first.calls() == 1).await;
            let run_second = async || jobs::run(FORWARD, SMDP, "two", &second, 0, &two).await.unwrap();
            run_second().await;
            assert_eq!(second.calls(), 0, "while the lease lasts");
            world.clock.advance(TimeDelta::seconds(59));
            run_second().await;
            assert_eq!(second.calls(), 0, "while the lease lasts");
            world.clock.advance(TimeDelta::seconds(2));
            assert_eq!(run_second().await, JobRun::Done);
            assert_eq!(second.calls(), 2, "all that is left is taken over");
            assert!(world.notifications("state=pending").await.is_empty());
            let before = world.notifications("").await;
            world.clock.advance(over_a_lease());
            gate.add_permits(100);
            late.await.unwrap();
            assert_eq!(first.calls(), 1, "the second notification is not its matter any more");
            assert_eq!(world.notifications("").await, before, "and what it learnt changes nothing");
            // A job of its own making is not left behind, and a new notification finds its way.
            assert!(jobs::due(&one).await.unwrap().iter().all(|job| job.kind != FORWARD));
            world.queue(&device.eid(), device.enable(3, false)).await;
            device.session().await;
            device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
            run_second().await;
            assert_eq!(second.calls(), 3);
            node.stop().await;
        },
    );
}

/// How many operations the stream says were asked for.
async fn asked_for(world: &World) -> usize {
    world.get("/api/v1/events?type=eim.operationQueued").await["items"].as_array().unwrap().len()
}

#[test]
fn a_worker_that_comes_back_after_its_lease_does_not_move_a_webhook_that_another_one_has_moved() {
    front_with(
        |_| {},
        async |world: &mut World| {
            let node = world.node().await;
            let receiver = Receiver::start().await;
            let device = world.listed_device(1).await;
            // A webhook begins where the stream has settled, so what happened before has to be in it.
            world.until("the list is in the stream", async || asked_for(world).await == 1).await;
            let body = json!({ "url": receiver.url(), "types": ["eim.operationQueued"] }).to_string();
            let reply = world.send(Role::Admin, "POST", "/api/v1/webhooks", &[], body).await;
            assert_eq!(reply.status, 201, "{}", reply.text());
            let id = reply.json()["id"].as_str().unwrap().to_owned();
            for _ in 0..3 {
                world.queue(&device.eid(), rat()).await;
            }
            let (one, two) = (world.server().eim.clone(), node.eim.clone());
            // Until no transaction of another test holds the events back.
            let has_job = async || {
                jobs::wake_webhooks(&one).await.unwrap();
                asked_for(world).await >= 4
            };
            world.until("the events are in the stream", has_job).await;
            jobs::wake_webhooks(&one).await.unwrap();
            let none = Arc::new(Line::open());
            receiver.hold_next();
            let late = tokio::spawn({
                let (one, none, id) = (one.clone(), Arc::clone(&none), id.clone());
                async move { jobs::run(DELIVER, &id, "one", &*none, 0, &one).await.unwrap() }
            });
            world.until("the first one is at it", async || receiver.all().len() == 1).await;
            jobs::run(DELIVER, &id, "two", &*none, 0, &two).await.unwrap();
            assert_eq!(receiver.all().len(), 1, "while the lease lasts");
            world.clock.advance(over_a_lease());
            let taken_over = async || {
                jobs::run(DELIVER, &id, "two", &*none, 0, &two).await.unwrap();
                receiver.all().len() >= 4
            };
            world.until("the second one takes over", taken_over).await;
            let path = format!("/api/v1/webhooks/{id}");
            let delivered = world.get(&path).await["delivered"].clone();
            receiver.release();
            late.await.unwrap();
            let events: Vec<Value> = receiver.all().iter().map(|one| one.event()["id"].clone()).collect();
            assert_eq!(events.len(), 4, "{events:?}");
            assert_eq!(events[0], events[1], "the one that was held came again, under the same id");
            assert_eq!(BTreeSet::from_iter(events.iter().map(Value::to_string)).len(), 3);
            assert_eq!(world.get(&path).await["delivered"], delivered, "the late one moves nothing");
            jobs::run(DELIVER, &id, "two", &*none, 0, &two).await.unwrap();
            assert_eq!(receiver.all().len(), 4);
            assert_eq!(none.calls(), 0);
            node.stop().await;
        },
    );
}

#[test]
fn a_lease_that_was_taken_over_can_neither_be_renewed_nor_ended_by_who_had_it() {
    front_with(
        |_| {},
        async |world: &mut World| {
            let node = world.node().await;
            let mut device = world.listed_device(1).await;
            world.queue(&device.eid(), device.enable(2, false)).await;
            device.session().await;
            device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
            let (one, two) = (world.server().eim.store().clone(), node.eim.store().clone());
            let now = || world.now().timestamp_millis();
            let lease = async |store: &eim_core::store::Store, owner: &str| {
                store.lease_job(FORWARD, SMDP, owner, now(), now() + 60_000).await.unwrap()
            };
            // Of many at once one has it.
            let all: JoinSet<_> = (0..8)
                .map(|number| {
                    let (store, now) = (if number % 2 == 0 { one.clone() } else { two.clone() }, now());
                    async move {
                        let owner = format!("owner-{number}");
                        (store.lease_job(FORWARD, SMDP, &owner, now, now + 60_000).await.unwrap(), owner)
                    }
                })
                .collect();
            let mut had = all.join_all().await;
            had.retain(|(leased, _)| matches!(leased, Leased::Yes(_)));
            let [(Leased::Yes(old), owner)] = &had[..] else { panic!("{had:?}") };
            assert!(matches!(lease(&two, "later").await, Leased::No));
            world.clock.advance(over_a_lease());
            let Leased::Yes(new) = lease(&two, "later").await else { panic!("the lease is over") };
            assert!(!one.renew_job(old.clone(), owner, now() + 60_000).await.unwrap());
            for end in [JobEnd::Done, JobEnd::Later { run_at: 0 }, JobEnd::Failed { run_at: 0, error: "late".into() }] {
                assert!(!one.finish_job(old.clone(), owner, end, 0, now()).await.unwrap());
            }
            assert_eq!(one.release_jobs(Some(owner)).await.unwrap(), 0);
            assert!(matches!(lease(&one, "third").await, Leased::No), "it is still the second one's");
            assert!(two.renew_job(new.clone(), "later", now() + 60_000).await.unwrap());
            two.finish_job(new, "later", JobEnd::Later { run_at: now() }, 0, now()).await.unwrap();
            assert!(matches!(lease(&one, "third").await, Leased::Yes(_)));
            node.stop().await;
        },
    );
}

/// All that time alone does, on all nodes at once, a few times, after a few seconds.
async fn rounds(world: &World, nodes: &[&Eim]) {
    world.clock.advance(TimeDelta::seconds(3));
    for _ in 0..3 {
        let all: JoinSet<_> = nodes
            .iter()
            .map(|eim| {
                let eim = (*eim).clone();
                async move { round(&eim).await }
            })
            .collect();
        all.join_all().await;
    }
}

async fn fleet(world: &World, count: u32) -> Vec<Device> {
    let mut fleet = Vec::new();
    for index in 1..=count {
        let device = world.listed_device(index).await;
        world.patch(&device.eid(), json!({ "tags": ["meters"] })).await;
        fleet.push(device);
    }
    fleet
}

/// Devices come to the nodes by turns.
async fn visit(fleet: &mut [Device], ways: &[IpaConfig]) {
    for (index, device) in fleet.iter_mut().enumerate() {
        go_to(device, &ways[index % ways.len()]);
        device.session().await;
    }
}

async fn switches(world: &World, eid: &str) -> Vec<Value> {
    world.get(&format!("/api/v1/switches?eid={eid}")).await["items"].as_array().unwrap().clone()
}

async fn made(world: &World, path: &str, body: Value) -> String {
    let reply = world.send(Role::Admin, "POST", path, &[], body.to_string()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn three_nodes_take_a_campaign_through_and_begin_with_each_device_once() {
    several(&[Binding::Asn1], async |world: &mut World| {
        let nodes = [world.node().await, world.node().await];
        let eims = [&world.server().eim, &nodes[0].eim, &nodes[1].eim];
        let ways = [world.ipa_config(), world.ipa_config_of(&nodes[0]), world.ipa_config_of(&nodes[1])];
        let mut fleet = fleet(world, 6).await;
        let id = made(
            world,
            "/api/v1/campaigns",
            json!({
                "name": "to two",
                "target": { "filter": { "tags": ["meters"] } },
                "plan": { "switch": { "to": { "profile": { "name": "Two" } }, "waive": ["fallback"] } },
                "waves": [{ "count": 2, "soakSeconds": 1 }, { "rest": true }],
                "approval": "none",
            }),
        )
        .await;
        let path = format!("/api/v1/campaigns/{id}");
        for verb in ["submit", "start"] {
            assert_eq!(world.post(&format!("{path}/{verb}"), Value::Null).await.status, 200);
        }
        // One that has looked and comes back when others have taken the step.
        let looked = eims[0].store().campaign(id.parse().unwrap()).await.unwrap().unwrap();
        for _ in 0..6 {
            rounds(world, &eims).await;
            visit(&mut fleet, &ways).await;
        }
        let shown = world.get(&path).await;
        assert_eq!(
            (&shown["state"], &shown["totals"]["outcomes"]),
            (&json!("completed"), &json!({ "proven": 6 })),
            "{shown}"
        );
        for device in &fleet {
            assert_eq!(switches(world, &device.eid()).await.len(), 1);
            assert_eq!(world.enabled(&device.eid()).await, [device.iccid(2)]);
        }
        let late = CampaignChange { state: "running".into(), facts: looked.facts.clone(), ..CampaignChange::default() };
        let now = world.now().timestamp_millis();
        let saved = eims[0].store().save_campaign(looked.id, looked.version, late, now).await.unwrap();
        assert_eq!(saved, SavedOnce::Conflict);
        assert_eq!(world.get(&path).await["state"], "completed");
        // All of them have written and linked one audit log.
        world
            .until("every record has its place", async || {
                jobs::seal_audit(eims[1]).await.unwrap();
                eims[1].store().audit_waiting().await.unwrap().records == 0
            })
            .await;
        let report = verify_audit(vec![], None, eims[2]).await.unwrap();
        assert!(report.is_good(), "{:?}", report.faults);
        for node in nodes {
            node.stop().await;
        }
    });
}

#[test]
fn three_nodes_carry_a_rule_out_once_and_keep_a_desired_state_once() {
    several(&[Binding::Asn1], async |world: &mut World| {
        let nodes = [world.node().await, world.node().await];
        let eims = [&world.server().eim, &nodes[0].eim, &nodes[1].eim];
        let ways = [world.ipa_config(), world.ipa_config_of(&nodes[0]), world.ipa_config_of(&nodes[1])];
        let mut fleet = fleet(world, 4).await;
        let then = json!([{ "tag": { "add": ["fired"] } }, { "operations": [rat()] }]);
        let rule = json!({ "name": "told", "when": { "stateChangeCause": ["local"] }, "filter": { "tags": ["meters"] }, "then": then });
        let rule = made(world, "/api/v1/rules", rule).await;
        for (index, device) in fleet.iter_mut().enumerate() {
            go_to(device, &ways[index % 3]);
            device.poll_with(&PollOptions::state_change(3)).await;
            device.session().await;
        }
        let path = format!("/api/v1/rules/{rule}/firings");
        let all_done = async || {
            rounds(world, &eims).await;
            let firings = world.get(&path).await["items"].as_array().unwrap().clone();
            firings.len() == 4 && firings.iter().all(|firing| firing["outcome"] == "done")
        };
        world.until("each device was answered", all_done).await;
        for device in &mut fleet {
            let eid = device.eid();
            assert_eq!(world.events_of(&eid, "ruleFired").await.len(), 1);
            assert_eq!(switches(world, &eid).await.len(), 1);
            assert!(world.euicc(&eid).await["tags"].to_string().contains("fired"));
        }
        visit(&mut fleet, &ways).await;
        rounds(world, &eims).await;
        let state = json!({
            "name": "two",
            "filter": { "tags": ["meters"] },
            "state": { "enabled": { "profile": { "name": "Two" } } },
            "waive": ["fallback"],
            "enforce": true,
        });
        made(world, "/api/v1/desired-states", state).await;
        for _ in 0..4 {
            rounds(world, &eims).await;
            visit(&mut fleet, &ways).await;
        }
        rounds(world, &eims).await;
        for device in &fleet {
            let eid = device.eid();
            assert_eq!(world.enabled(&eid).await, [device.iccid(2)]);
            assert_eq!(switches(world, &eid).await.len(), 2, "that of the rule and that of the desired state");
            assert_eq!(world.events_of(&eid, "driftFound").await.len(), 1);
            assert_eq!(world.events_of(&eid, "driftCorrected").await.len(), 1);
        }
        for node in nodes {
            node.stop().await;
        }
    });
}

/// Starts the server anew with a key that devices can be given.
async fn next_key(world: &mut World) {
    let new = seeded_key(Curve::P256, 17, "next").unwrap();
    let (path, old) = (world.file("next.pem", &new.to_pkcs8_pem().unwrap()), world.data_dir().join("signing-key.pem"));
    world
        .restart_with(|config| {
            config.eim.signing_key = Some(path);
            config.eim.further_signing_keys = vec![KeySource::File(old)];
        })
        .await;
}

/// The configuration of an eIM, as its operator gives it away.
async fn configuration(of: &World) -> String {
    let der = of.get("/api/v1/eim").await["eimConfigurationData"].as_str().unwrap().to_owned();
    hex::encode(STANDARD.decode(der).unwrap())
}

#[test]
fn three_nodes_rotate_a_key_and_each_device_is_asked_once() {
    several(&[Binding::Asn1], async |world: &mut World| {
        let mut fleet = fleet(world, 4).await;
        next_key(world).await;
        let nodes = [world.node().await, world.node().await];
        let eims = [&world.server().eim, &nodes[0].eim, &nodes[1].eim];
        let ways = [world.ipa_config(), world.ipa_config_of(&nodes[0]), world.ipa_config_of(&nodes[1])];
        let id = made(world, "/api/v1/key-rotations", json!({ "filter": { "all": true } })).await;
        for _ in 0..4 {
            rounds(world, &eims).await;
            world.clock.advance(TimeDelta::seconds(11));
            visit(&mut fleet, &ways).await;
        }
        world.clock.advance(TimeDelta::seconds(11));
        rounds(world, &eims).await;
        let shown = world.get(&format!("/api/v1/key-rotations/{id}")).await;
        assert_eq!((&shown["state"], &shown["devices"]["rotated"]), (&json!("completed"), &json!(4)), "{shown}");
        for device in &fleet {
            let operations = world.operations(&device.eid()).await;
            assert_eq!(operations.iter().filter(|operation| operation["kind"] == "eco").count(), 1, "{operations:?}");
            assert_eq!(world.events_of(&device.eid(), "signingKeyChanged").await.len(), 1);
        }
        for node in nodes {
            node.stop().await;
        }
    });
}

#[test]
fn three_nodes_hand_a_fleet_over_and_a_step_of_yesterday_is_not_taken_again() {
    several(&[Binding::Asn1], async |world: &mut World| {
        let other = world.another().await;
        let nodes = [world.node().await, world.node().await];
        let eims = [&world.server().eim, &nodes[0].eim, &nodes[1].eim];
        let ways = [world.ipa_config(), world.ipa_config_of(&nodes[0]), world.ipa_config_of(&nodes[1])];
        let mut fleet = fleet(world, 4).await;
        let configuration = configuration(&other).await;
        let eids: Vec<String> = fleet.iter().map(Device::eid).collect();
        let body = json!({ "configuration": { "eimConfigurationData": configuration }, "eids": eids, "deleteOwn": "afterProof" });
        let id = made(world, "/api/v1/handovers", body).await;
        let since = world.now().timestamp_millis() - 60_000;
        let due = eims[0].store().due_handovers(since, 10).await.unwrap();
        rounds(world, &eims).await;
        visit(&mut fleet, &ways).await;
        rounds(world, &eims).await;
        let path = format!("/api/v1/handovers/{id}/devices");
        let shown = world.get(&path).await;
        assert!(shown["items"].as_array().unwrap().iter().all(|device| device["state"] == "added"), "{shown}");
        for device in &fleet {
            let operations = world.operations(&device.eid()).await;
            assert_eq!(operations.iter().filter(|operation| operation["kind"] == "eco").count(), 1, "{operations:?}");
        }
        for due in due {
            let event = Event::new("handoverFailed", json!({}));
            let to = HandoverDeviceState::Failed;
            let step = HandoverStep { to, queue: None, token: None, reason: None, retry_to: None, event };
            assert!(!eims[0].store().step_handover(due, step, world.now().timestamp_millis()).await.unwrap());
        }
        assert_eq!(world.get(&path).await, shown);
        // The same of any decision about an eUICC.
        let (eid, store) = (fleet[0].euicc.eid(), eims[1].store());
        let (euicc, _) = store.euicc(eid).await.unwrap().unwrap();
        let now = world.now().timestamp_millis();
        let late = Arc::new(Changes { euicc: Some(euicc.clone()), ..Changes::default() });
        assert_eq!(store.save_decision(eid, euicc.version - 1, Arc::clone(&late), now).await.unwrap(), Saved::Conflict);
        for node in nodes {
            node.stop().await;
        }
    });
}

/// How many devices of a hand-over or a rotation were begun: those with an operation on eIMs.
async fn begun(world: &World, fleet: &[Device]) -> usize {
    let mut begun = 0;
    for device in fleet {
        let operations = world.operations(&device.eid()).await;
        begun += operations.iter().filter(|operation| operation["kind"] == "eco").count();
    }
    begun
}

#[test]
fn three_nodes_together_keep_the_pace_that_was_said() {
    several(&[Binding::Asn1], async |world: &mut World| {
        let other = world.another().await;
        let mut fleet = fleet(world, 8).await;
        next_key(world).await;
        let nodes = [world.node().await, world.node().await];
        let eims = [&world.server().eim, &nodes[0].eim, &nodes[1].eim];
        fleet.iter_mut().for_each(|device| world.reconnect(device));
        made(world, "/api/v1/key-rotations", json!({ "filter": { "all": true }, "ratePerMinute": 3 })).await;
        for minute in 1..=2 {
            rounds(world, &eims).await;
            assert_eq!(begun(world, &fleet).await, 3 * minute, "in each minute as many as were said");
            world.clock.advance(TimeDelta::minutes(1));
        }
        let eids: Vec<String> = fleet.iter().map(Device::eid).collect();
        let body = json!({
            "configuration": { "eimConfigurationData": configuration(&other).await },
            "eids": eids, "deleteOwn": "afterProof", "ratePerMinute": 2,
        });
        // The rest of the rotation goes out in its last minute.
        rounds(world, &eims).await;
        assert_eq!(begun(world, &fleet).await, 8);
        made(world, "/api/v1/handovers", body).await;
        for minute in 1..=3 {
            rounds(world, &eims).await;
            assert_eq!(begun(world, &fleet).await, 8 + 2 * minute, "in each minute as many as were said");
            world.clock.advance(TimeDelta::minutes(1));
        }
        for node in nodes {
            node.stop().await;
        }
    });
}

/// `OperationId`s are made by every node from its own randomness.
#[test]
fn what_several_nodes_make_at_the_same_moment_has_different_names() {
    several(&[Binding::Asn1], async |world: &mut World| {
        let node = world.node().await;
        let device = world.listed_device(1).await;
        let shown = device.eid();
        let mut ids: HashSet<OperationId> = HashSet::new();
        for _ in 0..5 {
            let (one, two) = tokio::join!(world.queue(&shown, rat()), queue_at(world, &node, &shown, rat()));
            assert!(ids.insert(one.parse().unwrap()) && ids.insert(two.parse().unwrap()));
        }
        node.stop().await;
    });
}
