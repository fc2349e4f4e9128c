//! SIGTERM on the real program while devices and an SM-DP+ are busy with it: it answers what is under way, ends within its limit, gives back
//! what it had leased, and nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

mod process;

use eim_simulator::euicc::Euicc;
use eim_simulator::fleet::{Fleet, fleet_iccid};
use eim_simulator::ipa::{Binding, Ipa, IpaConfig, IpaError, PollOptions};
use eim_simulator::load::{Api, prepare_devices};
use eim_simulator::rsp::{SmdpFaults, SmdpOptions, SmdpServer, TransportFault};
use futures_util::StreamExt;
use process::{Database, Process, Setup};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const DEVICES: u32 = 16;
/// Far more than anything takes; only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// What requests under way are given (`limits.shutdown_timeout_s`), with room for the rest of a stop that finds nothing to wait for.
const STOP: Duration = Duration::from_secs(8);

struct Device {
    euicc: Euicc,
    ipa: Ipa,
    /// A profile is enabled, and the eIM and the SM-DP+ have been told.
    done: bool,
}

fn config(front: &Process) -> IpaConfig {
    IpaConfig::new(front.esipa, "localhost", std::slice::from_ref(&front.trusted), Binding::Asn1).unwrap()
}

/// Registers the fleet, whose profiles tell the SM-DP+ of every change, and asks each device to enable its second profile.
async fn prepare(mut fleet: Fleet, api: &mut Api, front: &Process, smdp: &SmdpServer) -> Vec<Device> {
    prepare_devices(&mut fleet, api).await.unwrap();
    let mut devices = Vec::new();
    for (index, device) in (0..).zip(fleet.into_devices()) {
        let mut euicc = device.euicc.recording();
        for number in [1, 2] {
            let profile = euicc.profile_mut(&fleet_iccid(index, number).unwrap()).unwrap();
            *profile = profile.clone().notifying(&smdp.address());
        }
        let second = fleet_iccid(index, 2).unwrap().to_string();
        let body = json!({ "psmo": [{ "enable": { "iccid": second } }, { "listProfileInfo": {} }] });
        api.create_operation(&euicc.eid(), &body).await.unwrap();
        devices.push(Device { euicc, ipa: Ipa::new(config(front)), done: false });
    }
    devices
}

/// What belongs to a visit of a device.
async fn visit(device: &mut Device) -> Result<(), IpaError> {
    let Device { euicc, ipa, done } = device;
    ipa.deliver_undelivered(euicc).await?;
    let outcome = ipa.poll_once(euicc, &PollOptions::default()).await?;
    ipa.deliver_notifications(euicc).await?;
    *done = outcome.is_idle() && !euicc.history().unwrap().loaded.is_empty();
    Ok(())
}

/// A visit of every device that is not done, side by side. Gives how many broke off.
async fn round(devices: &mut [Device]) -> usize {
    let open = devices.iter_mut().filter(|device| !device.done);
    let visits = futures_util::stream::iter(open).map(visit).buffer_unordered(4);
    visits.filter(|visited| std::future::ready(visited.is_err())).count().await
}

async fn to_the_end(devices: &mut [Device]) {
    let end = Instant::now() + PATIENCE;
    while devices.iter().any(|device| !device.done) {
        assert!(Instant::now() < end, "the devices do not come to an end");
        round(devices).await;
    }
}

fn made(devices: &[Device]) -> BTreeSet<Vec<u8>> {
    let histories = devices.iter().map(|device| device.euicc.history().unwrap());
    histories.flat_map(|history| history.notifications.iter().map(|made| made.octets.clone())).collect()
}

/// Waits until the SM-DP+ has every notification.
async fn all_forwarded(devices: &[Device], smdp: &SmdpServer) {
    let (made, end) = (made(devices), Instant::now() + PATIENCE);
    assert_eq!(made.len(), 2 * devices.len());
    while !made.is_subset(&smdp.notifications().into_iter().collect()) {
        assert!(Instant::now() < end, "the notifications do not come to the SM-DP+");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Every operation has succeeded, each in one package.
async fn all_succeeded(devices: &[Device], front: &Process, key: &str) {
    let mut api = Api::connect(&front.api_url(), key, false).await.unwrap();
    let (status, list) = api.call("GET", "/api/v1/operations?limit=1000", None).await.unwrap();
    let operations = list["items"].as_array().unwrap();
    assert_eq!((status, operations.len()), (200, devices.len()), "{list}");
    assert!(operations.iter().all(|operation| operation["state"] == "succeeded"), "{list}");
    for device in devices {
        assert_eq!(device.euicc.history().unwrap().loaded.len(), 1, "{}", device.euicc.eid());
        assert!(device.euicc.stored_results().is_empty() && device.euicc.notifications().is_empty());
    }
}

/// Ends a process by SIGTERM while devices talk to it; it must end well and in time.
async fn terminated(process: &Process, devices: &mut [Device]) {
    let begun = Instant::now();
    let (_, ended) = tokio::join!(round(devices), async {
        process.terminate();
        process.ended(STOP).await
    });
    let status = ended.unwrap_or_else(|| panic!("it did not end within {STOP:?}"));
    assert!(status.success(), "{status} after {:?}", begun.elapsed());
}

const SETTINGS: [(&str, &str); 4] = [
    ("OUTBOUND__ALLOW_PRIVATE", "true"),
    ("OUTBOUND__TIMEOUT_MS", "1000"),
    ("OUTBOUND__BREAKER_FAILURES", "100000"),
    ("LIMITS__SHUTDOWN_TIMEOUT_S", "5"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_server_drains_and_goes_on_after_the_next_start() {
    let fleet = Fleet::generate(91, DEVICES).unwrap();
    let smdp = SmdpServer::start(fleet.pki(), SmdpOptions::default()).await.unwrap();
    let setup = Setup::new(Database::Sqlite, &fleet).await.unwrap().with(&SETTINGS);
    let key = setup.api_key();
    let mut server = setup.start();
    let mut api = Api::connect(&server.api_url(), &key, false).await.unwrap();
    let mut devices = prepare(fleet, &mut api, &server, &smdp).await;
    // Connections of devices and of the operator stay open meanwhile: idle ones must not hold it up.
    for _ in 0..3 {
        terminated(&server, &mut devices).await;
        server = setup.start();
        let config = config(&server);
        devices.iter_mut().for_each(|device| device.ipa.reconfigure(config.clone()));
        round(&mut devices[..4]).await;
    }
    to_the_end(&mut devices).await;
    all_forwarded(&devices, &smdp).await;
    all_succeeded(&devices, &server, &key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_and_a_worker_drain_one_after_the_other() {
    let fleet = Fleet::generate(92, DEVICES).unwrap();
    let smdp = SmdpServer::start(fleet.pki(), SmdpOptions::default()).await.unwrap();
    let Some(setup) = Setup::production(&fleet).await else { return };
    let setup = setup.with(&SETTINGS);
    let key = setup.api_key();
    let (mut front, mut worker) = (setup.start_as("front"), setup.start_as("worker"));
    let mut api = Api::connect(&front.api_url(), &key, false).await.unwrap();
    let mut devices = prepare(fleet, &mut api, &front, &smdp).await;
    for _ in 0..2 {
        // As a reload of all units sends it: it would end who does not take it.
        worker.hang_up();
        terminated(&worker, &mut devices[..6]).await;
        assert_eq!(setup.count("jobs WHERE lease_owner IS NOT NULL").await, 0, "a worker that ended holds nothing");
        worker = setup.start_as("worker");
        terminated(&front, &mut devices).await;
        front = setup.start_as("front");
        let config = config(&front);
        devices.iter_mut().for_each(|device| device.ipa.reconfigure(config.clone()));
    }
    to_the_end(&mut devices).await;
    all_forwarded(&devices, &smdp).await;
    all_succeeded(&devices, &front, &key).await;
    drop((front, worker));
    setup.end().await;
}

/// More to forward to a server that says nothing than a worker may take to stop: it is cut off, and the next worker goes on at once instead of
/// waiting for the end of the lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_has_to_cut_off_a_job_gives_it_back() {
    let fleet = Fleet::generate(93, 60).unwrap();
    let smdp = SmdpServer::start(fleet.pki(), SmdpOptions::default()).await.unwrap();
    let Some(setup) = Setup::production(&fleet).await else { return };
    let setup = setup.with(&SETTINGS);
    let key = setup.api_key();
    let front = setup.start_as("front");
    let mut api = Api::connect(&front.api_url(), &key, false).await.unwrap();
    let mut devices = prepare(fleet, &mut api, &front, &smdp).await;
    to_the_end(&mut devices).await;
    assert_eq!(setup.count("notifications WHERE state = 'pending'").await, 120, "nobody forwards yet");

    // Four eUICCs at a time and a second for each: 15 seconds, and a stop takes 6 at most.
    smdp.set_faults(SmdpFaults { transport: Some(TransportFault::Silence), ..SmdpFaults::none() });
    let worker = setup.start_as("worker");
    let end = Instant::now() + PATIENCE;
    while smdp.calls().is_empty() {
        assert!(Instant::now() < end, "the worker does not begin");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(setup.count("jobs WHERE lease_owner IS NOT NULL").await, 1);
    let begun = Instant::now();
    worker.terminate();
    let status = worker.ended(Duration::from_secs(12)).await.expect("it ends within its limit");
    assert!(status.success(), "{status}");
    assert!(begun.elapsed() > Duration::from_secs(5), "it tried to finish the job");
    assert_eq!(setup.count("jobs WHERE lease_owner IS NOT NULL").await, 0, "the lease is given back");
    let postponed = setup.count("notifications WHERE state = 'pending' AND attempts > 0").await;
    assert!((1..60).contains(&postponed), "{postponed}");

    smdp.set_faults(SmdpFaults::none());
    let begun = Instant::now();
    let _worker = setup.start_as("worker");
    // What was tried waits for its time; all the rest goes out now.
    while setup.count("notifications WHERE state = 'pending'").await > 2 * postponed {
        assert!(begun.elapsed() < Duration::from_secs(20), "the next worker waits for the lease to end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(setup.count("notifications WHERE state NOT IN ('pending', 'delivered')").await, 0);
    drop(front);
    setup.end().await;
}
