//! The pipeline in production: a front and workers as servers of their own, which share PostgreSQL and RabbitMQ. Whoever
//! ends, and however, no download and no notification is lost, and none is done twice to effect.
//!
//! The front can't reach any SM-DP+: their names are known to workers alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use chrono::TimeDelta;
use eim_conformance::{Device, Role, THIN_IPA, World, front_with, new_iccid};
use eim_server::boot::Worker;
use eim_server::config::Config;
use eim_simulator::ipa::{DownloadMode, SessionOptions};
use eim_simulator::load::Api;
use eim_simulator::pki::FleetPki;
use eim_simulator::rsp::{Order, OrderState, RspFunction, SmdpFaults, SmdpOptions, SmdpServer, TransportFault};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::OnceLock;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// No name server knows it.
const SMDP: &str = "smdp.example";

/// What fronts must share, and an outbound side as it is with real devices: no private address is called.
fn front(config: &mut Config) {
    let folder = config.data.dir.parent().unwrap().to_owned();
    let key = FleetPki::generate(99).unwrap().euicc(0).unwrap().key;
    std::fs::write(folder.join("signing.pem"), key.to_pkcs8_pem().unwrap()).unwrap();
    std::fs::write(folder.join("secrets.key"), "5a".repeat(32)).unwrap();
    config.eim.signing_key = Some(folder.join("signing.pem"));
    config.secrets.key = Some(folder.join("secrets.key"));
    config.outbound.allow_private = false;
}

/// An SM-DP+ that workers alone can find.
async fn hidden_smdp(world: &World) -> SmdpServer {
    let options = SmdpOptions { host: SMDP.to_owned(), address: Some(SMDP.to_owned()), ..SmdpOptions::default() };
    world.smdp_with(options).await
}

async fn worker(world: &mut World, smdp: &SmdpServer) -> Worker {
    worker_with(world, smdp, |_| {}).await
}

async fn worker_with(world: &mut World, smdp: &SmdpServer, configure: impl FnOnce(&mut Config)) -> Worker {
    let route = format!("{SMDP}={}", smdp.socket()).parse().unwrap();
    world
        .worker(|config| {
            config.outbound.routes = vec![route];
            configure(config);
        })
        .await
}

/// A device with a download ordered at the SM-DP+ and asked for at the API.
struct Download {
    device: Device,
    operation: String,
    number: u32,
    /// What the SM-DP+ has to get.
    notifications: BTreeSet<Vec<u8>>,
}

impl Download {
    async fn prepare(world: &World, smdp: &SmdpServer, number: u32) -> Self {
        let mut device = world.downloading_device(number, DownloadMode::Indirect, &THIN_IPA).await;
        // What the device had to say before is not for this SM-DP+ to get.
        let waiting: Vec<i64> = device.euicc.notifications().iter().map(|found| found.seq_number).collect();
        for number in waiting {
            device.euicc.remove_notification(number);
        }
        let matching_id = format!("PIPELINE-{number}");
        smdp.add_order(Order::new(&matching_id, new_iccid(number), "Downloaded").notifying(SMDP));
        let operation = world.download(&device, &format!("1${SMDP}${matching_id}"), json!({ "indirect": true })).await;
        Self { device, operation, number, notifications: BTreeSet::new() }
    }

    fn matching_id(&self) -> String {
        format!("PIPELINE-{}", self.number)
    }

    /// One session, and whatever the device has to tell. A device that gets an error tries again the next time.
    async fn session(mut self) -> Self {
        let Device { euicc, ipa } = &mut self.device;
        let outcome = ipa.run_session(euicc, &SessionOptions::default()).await;
        self.notifications.extend(ipa.last_download().and_then(|download| download.pir.clone()));
        self.notifications.extend(euicc.notifications().iter().map(|found| found.octets.clone()));
        if outcome.is_err() || ipa.deliver_notifications(euicc).await.is_err() {
            ipa.disconnect();
        }
        self
    }
}

async fn prepare(world: &World, smdp: &SmdpServer, count: u32) -> Vec<Download> {
    let mut downloads = Vec::new();
    for number in 1..=count {
        downloads.push(Download::prepare(world, smdp, number).await);
    }
    downloads
}

fn begin(downloads: Vec<Download>) -> JoinSet<Download> {
    downloads.into_iter().map(Download::session).collect()
}

/// Lets the devices come again, later each time, until every download has ended and every notification is at the SM-DP+.
async fn come_again(world: &World, smdp: &SmdpServer, mut downloads: Vec<Download>) -> Vec<Download> {
    for round in 0..8 {
        let mut open = 0;
        for download in &downloads {
            let state = world.operation(&download.operation).await["state"].clone();
            open += usize::from(["queued", "delivered"].contains(&state.as_str().unwrap()));
        }
        eprintln!("round {round}: {open} open, {} notifications arrived", smdp.notifications().len());
        if open == 0 && downloads.iter().all(|download| download.device.euicc.notifications().is_empty()) {
            break;
        }
        world.advance(TimeDelta::minutes(10)).await;
        downloads = begin(downloads).join_all().await;
    }
    // Leases and pauses of jobs run out, too.
    world.advance(TimeDelta::minutes(10)).await;
    world.forwarded().await;
    downloads
}

/// Devices, SM-DP+ and API agree: everything happened, and once.
async fn nothing_is_lost(world: &World, smdp: &SmdpServer, downloads: &[Download]) {
    let received: BTreeSet<Vec<u8>> = smdp.notifications().into_iter().collect();
    let mut wrong = Vec::new();
    for download in downloads {
        let (eid, number) = (download.device.eid(), download.number);
        let iccid = new_iccid(number);
        let operation = world.operation(&download.operation).await;
        let results = operation["results"].as_array().map_or(0, Vec::len);
        let of_api: Vec<_> = world.profiles(&eid).await;
        let listed = of_api.iter().filter(|(listed, _)| *listed == iccid.digits().unwrap()).count();
        let results_seen = world.events_of(&eid, "profileInstallationResult").await.len();
        let facts = json!({
            "state": operation["state"],
            "results": results,
            "resultsSeen": results_seen,
            "late": world.events_of(&eid, "lateResult").await.len(),
            "listed": listed,
            "onDevice": download.device.euicc.profile(&iccid).is_some(),
            "kept": download.device.euicc.notifications().len(),
            "order": smdp.order_state(&download.matching_id()) == Some(OrderState::Installed),
            "made": download.notifications.len(),
            "arrived": download.notifications.iter().filter(|octets| received.contains(*octets)).count(),
        });
        let right = json!({
            "state": "succeeded", "results": 1, "resultsSeen": 1, "late": 0, "listed": 1, "onDevice": true, "kept": 0,
            "order": true, "made": 2, "arrived": 2,
        });
        if facts != right {
            let interrupted: Vec<Value> = world
                .events(&eid)
                .await
                .iter()
                .map(|event| json!([event["type"], event["details"]["reason"], event["details"]["function"]]))
                .collect();
            wrong.push(format!("device {number}: {facts} {} {interrupted:?}", operation["error"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {} downloads:\n{}", wrong.len(), downloads.len(), wrong.join("\n"));
}

async fn ready(api: &mut Api) -> u16 {
    api.call("GET", "/readyz", None).await.unwrap().0
}

fn calls(worker: &Worker) -> u64 {
    let seconds = &worker.eim.metrics().es9_request_seconds;
    eim_core::ports::RspFunction::ALL
        .iter()
        .map(|function| seconds.with_label_values(&[function.as_str(), "ok"]).get_sample_count())
        .sum()
}

fn calls_of(smdp: &SmdpServer, function: RspFunction) -> usize {
    smdp.calls().iter().filter(|call| call.function == function.as_str()).count()
}

#[test]
fn a_front_without_a_way_out_downloads_through_its_workers() {
    front_with(front, async |world: &mut World| {
        let smdp = hidden_smdp(world).await;
        let (one, two) = (worker(world, &smdp).await, worker(world, &smdp).await);
        let downloads = begin(prepare(world, &smdp, 30).await).join_all().await;
        world.forwarded().await;
        nothing_is_lost(world, &smdp, &downloads).await;
        assert!(calls(&one) > 0 && calls(&two) > 0, "{} and {}", calls(&one), calls(&two));
        assert_eq!(world.metric("eim_es9_request_seconds_count", &[]).await, 0.0, "the front called nobody");
        assert_eq!(smdp.notifications().len(), 60, "each notification came once");
        one.stop().await;
        two.stop().await;
    });
}

/// Thirty downloads, five of which are in this call when their worker dies. The calls are carried out at the SM-DP+.
fn killed_among_thirty_downloads(stuck_in: RspFunction) {
    front_with(front, async |world: &mut World| {
        let smdp = hidden_smdp(world).await;
        let downloads = prepare(world, &smdp, 30).await;
        let one = worker(world, &smdp).await;
        smdp.set_faults(SmdpFaults {
            transport: Some(TransportFault::Silence),
            transport_on: Some(stuck_in),
            transport_times: Some(5),
            ..SmdpFaults::none()
        });
        let devices = begin(downloads);
        world.until("calls are in hand", async || calls_of(&smdp, stuck_in) >= 5).await;
        one.kill().await;
        let two = worker(world, &smdp).await;
        let downloads = devices.join_all().await;
        let downloads = come_again(world, &smdp, downloads).await;
        nothing_is_lost(world, &smdp, &downloads).await;
        two.stop().await;
    });
}

#[test]
fn a_worker_killed_in_initiate_authentication_among_thirty_downloads_loses_none() {
    killed_among_thirty_downloads(RspFunction::InitiateAuthentication);
}

#[test]
fn a_worker_killed_in_authenticate_client_among_thirty_downloads_loses_none() {
    killed_among_thirty_downloads(RspFunction::AuthenticateClient);
}

#[test]
fn a_worker_killed_in_get_bound_profile_package_among_thirty_downloads_loses_none() {
    killed_among_thirty_downloads(RspFunction::GetBoundProfilePackage);
}

#[test]
fn a_worker_that_is_killed_while_it_forwards_notifications_loses_none_and_its_job_is_taken_over() {
    front_with(front, async |world: &mut World| {
        let smdp = hidden_smdp(world).await;
        let one = worker(world, &smdp).await;
        smdp.set_faults(SmdpFaults {
            transport: Some(TransportFault::Silence),
            transport_on: Some(RspFunction::HandleNotification),
            transport_times: Some(1),
            ..SmdpFaults::none()
        });
        let downloads = begin(prepare(world, &smdp, 4).await).join_all().await;
        let forwarding = async || calls_of(&smdp, RspFunction::HandleNotification) >= 1;
        world.until("the worker forwards", forwarding).await;
        one.kill().await;
        assert!(!world.notifications("state=pending").await.is_empty());
        let two = worker(world, &smdp).await;
        // The lease of the dead one, and the time that whoever was told of the job has, run out.
        world.advance(TimeDelta::minutes(3)).await;
        world.forwarded().await;
        nothing_is_lost(world, &smdp, &downloads).await;
        two.stop().await;
    });
}

#[test]
fn notifications_that_come_while_no_worker_runs_are_forwarded_when_one_starts() {
    front_with(front, async |world: &mut World| {
        let smdp = hidden_smdp(world).await;
        // Its first profile tells smdp.example about whatever becomes of it.
        let mut device = world.device(1).await;
        world.queue(&device.eid(), device.enable(2, false)).await;
        device.session().await;
        let made: Vec<Vec<u8>> = device.euicc.notifications().iter().map(|found| found.octets.clone()).collect();
        assert!(!made.is_empty());
        device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
        assert_eq!(world.notifications("state=pending").await.len(), made.len());
        assert!(smdp.calls().is_empty());
        let worker = worker(world, &smdp).await;
        // With no clock moved: nobody has failed, so nobody waits.
        world.forwarded().await;
        assert_eq!(smdp.notifications(), made);
        worker.stop().await;
    });
}

#[test]
fn without_a_worker_a_download_waits_and_the_device_is_answered() {
    let quick = |config: &mut Config| {
        front(config);
        config.outbound.timeout_ms = 1;
    };
    front_with(quick, async |world: &mut World| {
        let smdp = hidden_smdp(world).await;
        let downloads = begin(prepare(world, &smdp, 2).await).join_all().await;
        for download in &downloads {
            let operation = world.operation(&download.operation).await;
            assert!(["queued", "delivered"].contains(&operation["state"].as_str().unwrap()), "{operation}");
            assert_eq!(operation["error"]["name"], "noWorker", "{operation}");
        }
        assert!(smdp.calls().is_empty());
        let worker = worker_with(world, &smdp, |config| config.outbound.timeout_ms = 30_000).await;
        let downloads = come_again(world, &smdp, downloads).await;
        nothing_is_lost(world, &smdp, &downloads).await;
        worker.stop().await;
    });
}

#[test]
fn a_cut_wire_to_the_broker_loses_no_download_and_is_told_to_who_asks_for_readiness() {
    let wire: OnceLock<Wire> = OnceLock::new();
    let wired = |config: &mut Config| {
        front(config);
        let wire = wire.get_or_init(|| Wire::new(&broker_url()));
        config.queue.url = wire.url(&broker_url()).parse().unwrap();
    };
    front_with(wired, async |world: &mut World| {
        let wire = wire.get().unwrap();
        let smdp = hidden_smdp(world).await;
        let one = worker(world, &smdp).await;
        let mut of_worker = Api::connect(&format!("http://{}", one.service_addr), "none", false).await.unwrap();
        let mut of_front = Api::connect(&format!("http://{}", world.server().api_addr), "none", false).await.unwrap();
        assert_eq!((ready(&mut of_front).await, ready(&mut of_worker).await), (200, 200));

        let devices = begin(prepare(world, &smdp, 20).await);
        world.until("calls are on their way", async || smdp.calls().len() >= 20).await;
        wire.cut();
        // A front goes on to answer polls without a broker, so devices must still be sent to it; a worker has nothing to do.
        let workers = async |wanted: u16| {
            let mut seen = (0, 0);
            for _ in 0..3_000 {
                seen = (
                    ready(&mut of_front.another().await.unwrap()).await,
                    ready(&mut of_worker.another().await.unwrap()).await,
                );
                if seen == (200, wanted) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            panic!("readiness is {seen:?} and not (200, {wanted})");
        };
        workers(503).await;
        assert_eq!(world.send(Role::Nobody, "GET", "/healthz", &[], "").await.status, 200, "it lives");
        let downloads = devices.join_all().await;
        wire.mend();
        workers(200).await;
        assert_eq!((ready(&mut of_front).await, ready(&mut of_worker).await), (200, 200));
        let downloads = come_again(world, &smdp, downloads).await;
        nothing_is_lost(world, &smdp, &downloads).await;
        one.stop().await;
    });
}

fn broker_url() -> String {
    std::env::var("EIM_TEST_AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672".to_owned())
}

/// A wire to the broker that can be cut and mended.
struct Wire {
    addr: SocketAddr,
    open: watch::Sender<bool>,
}

fn authority(url: &str) -> String {
    let rest = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap().to_owned()
}

impl Wire {
    /// To be called within a runtime.
    fn new(url: &str) -> Self {
        let far = authority(url);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let open = watch::Sender::new(true);
        let is_open = open.subscribe();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (mut is_open, far) = (is_open.clone(), far.clone());
                if !*is_open.borrow_and_update() {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(far).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = is_open.wait_for(|open| !*open) => {}
                    }
                });
            }
        });
        Self { addr, open }
    }

    fn url(&self, url: &str) -> String {
        url.replace(&authority(url), &self.addr.to_string())
    }

    fn cut(&self) {
        self.open.send_replace(false);
    }

    fn mend(&self) {
        self.open.send_replace(true);
    }
}
