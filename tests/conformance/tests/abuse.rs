//! Who asks for too much: they are told to come later, others are served, and nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use chrono::TimeDelta;
use eim_conformance::{
    Answer, Device, Forge, Package, PollOptions, Role, SentPackage, THIN_IPA, World, code_of, each_store, matrix_with,
    modes_with, order,
};
use eim_server::config::Config;
use eim_simulator::ipa::{DownloadMode, Exchange, Function, Ipa, get_eim_package, read_package};
use eim_simulator::tlv::integer;
use serde_json::json;

/// What one device may ask for here.
const BURST: u32 = 20;

fn narrow(config: &mut Config) {
    config.limits.eid_per_second = 1;
    config.limits.eid_burst = BURST;
}

/// A poll whatever the answer is, on the connection of this device, under an EID.
async fn poll_as(device: &mut Device, eid: &eim_core::ids::Eid) -> Exchange {
    let body = get_eim_package(device.ipa.config().binding, eid, &PollOptions::default());
    device.send(Function::GetEimPackage, &body).await
}

async fn poll(device: &mut Device) -> Exchange {
    let eid = device.euicc.eid();
    poll_as(device, &eid).await
}

/// 503 with a time to come again, and nothing else.
fn told_to_come_later(exchange: &Exchange) -> i64 {
    assert_eq!(exchange.status, 503, "{}", String::from_utf8_lossy(&exchange.response));
    assert_eq!(exchange.header("x-admin-protocol"), Some("gsma/rsp/v2.1.0"));
    assert!(exchange.response.is_empty());
    exchange.header("retry-after").expect("Retry-After").parse().expect("seconds")
}

#[test]
fn a_flooded_eid_is_told_to_come_later_while_others_are_served_and_comes_back() {
    matrix_with(narrow, async |world: &mut World| {
        let (mut flooded, mut other) = (world.listed_device(1).await, world.listed_device(2).await);
        world.advance(TimeDelta::minutes(5)).await;
        let mut served = 0;
        let refused = loop {
            let exchange = poll(&mut flooded).await;
            if exchange.status != 200 {
                break exchange;
            }
            served += 1;
            assert!(served <= BURST, "there is no limit");
        };
        assert_eq!((served, told_to_come_later(&refused)), (BURST, 1));
        let id = world.queue(&flooded.eid(), flooded.enable(2, false)).await;
        for _ in 0..20 {
            told_to_come_later(&poll(&mut flooded).await);
        }
        assert_eq!(world.operation(&id).await["state"], "queued", "who is refused is given nothing");
        assert_eq!(other.poll().await.package, Package::Error(1), "another device is served");
        let labels = ["listener=\"esipa\"", "reason=\"eid\""];
        assert_eq!(world.metric("eim_requests_refused_total", &labels).await, 21.0);
        // After the time that it was told, one more is served; refusals have not put it off.
        world.clock.advance(TimeDelta::seconds(1));
        assert_eq!(poll(&mut flooded).await.status, 200);
        told_to_come_later(&poll(&mut flooded).await);
        world.clock.advance(TimeDelta::seconds(i64::from(BURST)));
        flooded.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded", "nothing was lost");
    });
}

/// Many requests under one EID at the same moment: whoever is served is given the same package, and whoever is not is told to come later. How many
/// are refused is up to the machine; `limits/turns.rs` has a test of the places and turns themselves.
#[test]
fn requests_under_one_eid_at_the_same_moment_are_given_one_package_and_another_device_is_served() {
    let few = |config: &mut Config| config.limits.eid_at_once = Config::default().limits.eid_at_once;
    matrix_with(few, async |world: &mut World| {
        let (device, mut other) = (world.listed_device(1).await, world.listed_device(2).await);
        world.queue(&device.eid(), device.enable(2, false)).await;
        let (eid, config) = (device.euicc.eid(), world.ipa_config());
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..24 {
            let body = get_eim_package(config.binding, &eid, &PollOptions::default());
            let mut ipa = Ipa::new(config.clone());
            let path = Function::GetEimPackage.path(config.binding);
            crowd.spawn(async move { ipa.post_raw(path, &[], &body).await.unwrap() });
        }
        assert_eq!(other.poll().await.package, Package::Error(1));
        let (mut given, mut refused) = (std::collections::BTreeSet::new(), 0.0);
        for exchange in crowd.join_all().await {
            if exchange.status != 200 {
                assert_eq!(told_to_come_later(&exchange), 1);
                refused += 1.0;
            } else if let Ok(Package::EuiccPackage(octets)) = read_package(config.binding, &exchange.response) {
                given.insert(octets);
            }
        }
        assert_eq!(given.len(), 1, "one package for all");
        let labels = ["listener=\"esipa\"", "reason=\"eidAtOnce\""];
        assert_eq!(world.metric("eim_requests_refused_total", &labels).await, refused, "each under its own reason");
    });
}

#[test]
fn results_count_under_the_eid_that_they_name_and_are_kept_by_the_device_until_they_are_taken() {
    matrix_with(narrow, async |world: &mut World| {
        let mut device = world.listed_device(1).await;
        world.advance(TimeDelta::minutes(5)).await;
        while poll(&mut device).await.status == 200 {}
        let id = world.queue(&device.eid(), device.enable(2, false)).await;
        world.clock.advance(TimeDelta::seconds(1));
        let package = SentPackage::read(&device.fetch().await);
        let good = Forge::of(&device).answer(&package, 500, &[&integer(0x83, 0)]);
        let eid = device.euicc.eid();
        told_to_come_later(&device.provide(Some(&eid), &good).await);
        assert_eq!(world.operation(&id).await["state"], "delivered");
        world.clock.advance(TimeDelta::seconds(5));
        assert_eq!(device.deliver(&good).await, Answer::Acknowledged(vec![500]));
        assert_eq!(world.operation(&id).await["verified"], true);
    });
}

#[test]
fn eids_that_nobody_knows_are_tried_so_often_and_devices_that_are_known_are_served_meanwhile() {
    let few = |config: &mut Config| {
        config.limits.strangers_per_second = 1;
        config.limits.strangers_burst = 10;
    };
    matrix_with(few, async |world: &mut World| {
        let mut known = world.listed_device(1).await;
        let mut fresh = world.device(2).await;
        let mut stranger = world.device_of(world.pki.euicc(9).unwrap()).await;
        let mut tried = 0;
        let refused = loop {
            let exchange = poll_as(&mut stranger, &world.pki.eid(10_000 + tried)).await;
            if exchange.status != 200 {
                break exchange;
            }
            tried += 1;
            assert!(tried <= 10, "there is no limit");
        };
        assert_eq!((tried, told_to_come_later(&refused)), (10, 1));
        known.poll().await;
        // One that this server has not seen yet can't be told from those who try. It comes again.
        told_to_come_later(&poll(&mut fresh).await);
        world.clock.advance(TimeDelta::seconds(1));
        fresh.poll().await;
        assert!(poll(&mut fresh).await.status == 200, "and is known from then on");
        let polls = world.metric("eim_polls_total", &["eidNotFound"]).await;
        assert_eq!(polls, 10.0);
    });
}

#[test]
fn a_download_comes_through_under_the_limits_as_they_are_set_unless_said_otherwise() {
    let usual = |config: &mut Config| config.limits = Config::ephemeral(config.data.dir.clone()).limits;
    modes_with(usual, async |world: &mut World| {
        let smdp = world.smdp().await;
        let mut device = world.downloading_device(1, DownloadMode::Indirect, &THIN_IPA).await;
        for number in 1..=3 {
            let matching_id = format!("WITHIN-{number}");
            smdp.add_order(order(&smdp, &matching_id, number));
            let id = world.download(&device, &code_of(&smdp, &matching_id), json!({ "indirect": true })).await;
            device.session().await;
            device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
            assert_eq!(world.operation(&id).await["state"], "succeeded", "{number}");
        }
        assert_eq!(world.metric("eim_requests_refused_total", &[]).await, 0.0);
    });
}

#[test]
fn an_api_key_has_a_rate_of_its_own_and_wrong_keys_hold_up_nobody() {
    each_store(async |world: &mut World| {
        world
            .restart_with(|config| {
                (config.limits.api_key_per_second, config.limits.api_key_burst) = (1, 5);
                (config.limits.strangers_per_second, config.limits.strangers_burst) = (1, 5);
            })
            .await;
        let operator = world.bearer(Role::Operator).unwrap();
        let operator = operator.trim_start_matches("Bearer ").to_owned();
        for _ in 0..5 {
            assert_eq!(world.send_as(&operator, "GET", "/api/v1/euiccs", json!(null)).await.status, 200);
        }
        let refused =
            world.send_as(&operator, "POST", "/api/v1/euiccs", json!({ "eid": world.pki.eid(7).to_string() })).await;
        assert_eq!(refused.problem(429)["type"], "urn:eim:problem:too-many-requests");
        assert_eq!(refused.header("retry-after"), Some("1"));
        let viewed = world.send(Role::Viewer, "GET", "/api/v1/euiccs", &[], "").await;
        assert_eq!(viewed.json()["items"], json!([]), "nothing was done, and another key is served");
        for _ in 0..5 {
            assert_eq!(world.send_as("nonsense", "GET", "/api/v1/euiccs", json!(null)).await.status, 401);
        }
        // The same wrong key again is as unknown as any other.
        assert_eq!(world.send_as("nonsense", "GET", "/api/v1/euiccs", json!(null)).await.status, 429);
        assert_eq!(world.send(Role::Viewer, "GET", "/api/v1/euiccs", &[], "").await.status, 200);
        assert_eq!(world.send(Role::Nobody, "GET", "/readyz", &[], "").await.status, 200, "monitoring needs no key");
        world.clock.advance(TimeDelta::seconds(1));
        assert_eq!(world.send_as(&operator, "GET", "/api/v1/euiccs", json!(null)).await.status, 200);
        assert_eq!(world.metric("eim_requests_refused_total", &["listener=\"api\""]).await, 2.0);
    });
}

#[test]
fn a_full_queue_is_told_with_503_and_every_device_comes_through_when_it_comes_again() {
    let one = |config: &mut Config| {
        config.limits.requests_at_once = 1;
        config.limits.requests_waiting = 0;
    };
    matrix_with(one, async |world: &mut World| {
        let mut devices = Vec::new();
        let mut ids = Vec::new();
        for index in 1..=12 {
            let device = world.device(index).await;
            ids.push(world.queue(&device.eid(), json!({ "psmo": [{ "listProfileInfo": {} }] })).await);
            devices.push(device);
        }
        // All at once, each until it is served.
        let polls = devices.iter_mut().map(async |device| {
            let mut refused = 0;
            loop {
                let exchange = poll(device).await;
                if exchange.status == 200 {
                    return refused;
                }
                assert!((5..=30).contains(&told_to_come_later(&exchange)));
                refused += 1;
            }
        });
        let refused: u32 = futures_join(polls).await.into_iter().sum();
        let labels = ["listener=\"esipa\"", "reason=\"busy\""];
        assert_eq!(world.metric("eim_requests_refused_total", &labels).await, f64::from(refused));
        for (device, id) in devices.iter_mut().zip(&ids) {
            device.session().await;
            assert_eq!(world.operation(id).await["state"], "succeeded");
        }
    });
}

/// All of them side by side.
async fn futures_join<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in waiting.iter_mut().filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(cx) {
                *done = Some(value);
            }
        }
        if waiting.iter().all(|(_, done)| done.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    waiting.into_iter().filter_map(|(_, done)| done).collect()
}
