//! The real server, killed with SIGKILL again and again in the middle of a campaign, and started again on the same data: every
//! device ends where it ends without that, as its eUICC has it, and nothing happens twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

mod process;

use eim_core::ids::{Eid, Iccid};
use eim_simulator::euicc::Euicc;
use eim_simulator::fleet::{Fleet, fleet_iccid};
use eim_simulator::ipa::{Binding, Exchange, Ipa, IpaConfig, IpaError, Package, PollOptions, PollOutcome};
use eim_simulator::load::Api;
use eim_simulator::tlv::Tlv;
use futures_util::StreamExt;
use process::{Database, Process, Setup};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const FLEET_SEED: u64 = 77;
const KILL_SEED: u64 = 32;
const DEVICES: u32 = 12;
/// The devices whose new profile finds no network at once, and later.
const ROLLS_BACK: u32 = 5;
const FALLS_BACK: u32 = 9;
/// How often the server is killed.
const KILLS: usize = 6;
/// How many devices talk at once, so that a kill meets requests that are being answered.
const SIDE_BY_SIDE: usize = 4;
/// Far more than anything takes; only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long devices rest between two rounds.
const REST: Duration = Duration::from_millis(50);
const CAUSE_FALLBACK: i64 = 1;

/// After how many results of the campaign's packages the server is killed: gaps of one to four, by a fixed seed. The first kill comes
/// before any, when the start of the campaign has just been answered.
fn kill_points() -> Vec<u64> {
    let (mut state, mut at) = (KILL_SEED, 0);
    let mut points = vec![0];
    while points.len() < KILLS {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        at += 1 + (state >> 33) % 4;
        points.push(at);
    }
    points
}

struct Device {
    euicc: Euicc,
    ipa: Ipa,
    rolls_back: bool,
    falls_back: bool,
    /// What it says in its next poll, until one is answered.
    says: PollOptions,
    /// Whether its last poll was answered with nothing.
    idle: bool,
}

/// Every counter of every device, with the package that came with it.
#[derive(Default)]
struct Counters(Mutex<HashMap<Counter, Vec<u8>>>);

/// The octets of counterValue.
type Counter = (Eid, Vec<u8>);

impl Counters {
    /// Takes note of the body of a getEimPackage response.
    fn note(&self, eid: Eid, response: &[u8]) {
        let counter = |package: &Tlv<'_>| Some(package.child(0x30)?.child(0x81)?.content.to_vec());
        let Some(package) = Tlv::only(response).and_then(|response| response.child(0xbf51)) else { return };
        let counter = counter(&package).expect("a package has a counter");
        let mut seen = self.0.lock().unwrap();
        let before = seen.entry((eid, counter)).or_insert_with(|| package.octets.to_vec());
        assert_eq!(before.as_slice(), package.octets, "{eid}: a counter came with two contents");
    }

    fn of(&self, eid: Eid) -> usize {
        self.0.lock().unwrap().keys().filter(|(other, _)| *other == eid).count()
    }
}

/// When the server is killed, counted in packages whose results it has taken.
struct Killer<'a> {
    process: &'a Process,
    points: &'a [u64],
    packages: &'a AtomicU64,
    killed: &'a AtomicBool,
    /// Polls that were not answered.
    cut_off: &'a AtomicU64,
}

impl Killer<'_> {
    fn answered(&self) {
        let packages = self.packages.fetch_add(1, Ordering::SeqCst) + 1;
        if self.points.contains(&packages) {
            self.killed.store(true, Ordering::SeqCst);
            self.process.kill();
        }
    }
}

impl Device {
    /// One poll, after what was not taken before. `None` when the server did not answer all of it.
    async fn poll(&mut self, counters: &Counters, killer: &Killer<'_>) -> Option<PollOutcome> {
        let before = self.euicc.enabled_iccid();
        let polled = self.delivered_and_polled(killer).await;
        let eid = self.euicc.eid();
        let fetched = self.ipa.last_exchange().filter(|exchange| is_get_eim_package(exchange));
        match (&polled, fetched) {
            (Ok(outcome), _) => counters.note(eid, &outcome.response),
            // The package came, and the server was gone before it got the result.
            (Err(_), Some(exchange)) => counters.note(eid, &exchange.response),
            (Err(_), None) => {}
        }
        if polled.is_ok() {
            self.says = PollOptions::default();
        }
        if self.falls_back && self.euicc.enabled_iccid() != before {
            assert_eq!(self.euicc.execute_fallback(), 0);
            self.says = PollOptions::state_change(CAUSE_FALLBACK);
        }
        self.idle = polled.as_ref().is_ok_and(PollOutcome::is_idle);
        polled.ok()
    }

    async fn delivered_and_polled(&mut self, killer: &Killer<'_>) -> Result<PollOutcome, IpaError> {
        if self.ipa.deliver_undelivered(&mut self.euicc).await?.is_some() {
            killer.answered();
        }
        let says = self.says.clone();
        let outcome = self.ipa.poll_once(&mut self.euicc, &says).await?;
        if !matches!(outcome.package, Package::Error(_)) {
            killer.answered();
        }
        Ok(outcome)
    }
}

fn is_get_eim_package(exchange: &Exchange) -> bool {
    Tlv::only(&exchange.response).is_some_and(|response| response.tag == 0xbf4f)
}

/// One poll of every device. Only a server that was killed may leave one without an answer.
async fn round(devices: &mut [Device], counters: &Counters, killer: &Killer<'_>) {
    futures_util::stream::iter(devices)
        .for_each_concurrent(SIDE_BY_SIDE, |device| async move {
            // Whoever comes later finds nobody; it would only say so.
            if killer.killed.load(Ordering::SeqCst) {
                return;
            }
            if device.poll(counters, killer).await.is_none() {
                assert!(killer.killed.load(Ordering::SeqCst), "a server that runs did not answer");
                killer.cut_off.fetch_add(1, Ordering::SeqCst);
            }
        })
        .await;
}

async fn get(api: &mut Api, path: &str) -> Value {
    let (status, body) = api.call("GET", path, None).await.unwrap();
    assert_eq!(status, 200, "{path}: {body}");
    body
}

async fn post(api: &mut Api, path: &str, body: Option<&Value>) -> Value {
    let (status, answer) = api.call("POST", path, body).await.unwrap();
    assert!((200..300).contains(&status), "{path}: {status} {answer}");
    answer
}

fn connect(devices: &mut [Device], process: &Process) {
    let config =
        IpaConfig::new(process.esipa, "localhost", std::slice::from_ref(&process.trusted), Binding::Asn1).unwrap();
    devices.iter_mut().for_each(|device| device.ipa.reconfigure(config.clone()));
}

/// Registers the fleet and lets it tell its profiles.
async fn prepare(fleet: Fleet, api: &mut Api, process: &Process) -> Vec<Device> {
    let mut fleet = fleet;
    fleet.associate(&api.add_initial_eim_request().await.unwrap()).unwrap();
    let config =
        IpaConfig::new(process.esipa, "localhost", std::slice::from_ref(&process.trusted), Binding::Asn1).unwrap();
    let mut devices = Vec::new();
    for (index, registration) in (0..).zip(fleet.registrations()) {
        api.register(&registration, None).await.unwrap();
        let path = format!("/api/v1/euiccs/{}", registration.eid);
        let (status, _) = api.call("PATCH", &path, Some(&json!({ "tags": ["fleet"] }))).await.unwrap();
        assert_eq!(status, 200);
        let fallback = fleet_iccid(index, 3).unwrap().to_string();
        let list = json!({ "psmo": [{ "setFallbackAttribute": { "iccid": fallback } }, { "listProfileInfo": {} }] });
        api.create_operation(&registration.eid, &list).await.unwrap();
    }
    for (index, device) in (0..).zip(fleet.into_devices()) {
        let mut ipa = Ipa::new(config.clone());
        ipa.behaviour.connectivity_lost = index == ROLLS_BACK;
        devices.push(Device {
            euicc: device.euicc,
            ipa,
            rolls_back: index == ROLLS_BACK,
            falls_back: index == FALLS_BACK,
            says: PollOptions::default(),
            idle: false,
        });
    }
    devices
}

/// How a device ended, as the server says it and as the eUICC has it.
#[derive(Debug, PartialEq, Eq)]
struct End {
    wave: u64,
    outcome: String,
    enabled: Option<Iccid>,
    /// Each with its state, as the eUICC has them.
    profiles: BTreeMap<String, bool>,
}

/// Runs the campaign, kills the server at these points, and gives how each device ended. `None` without the database.
async fn run(database: Database, points: &[u64]) -> Option<BTreeMap<Eid, End>> {
    let fleet = Fleet::generate(FLEET_SEED, DEVICES).unwrap();
    let setup = Setup::new(database, &fleet).await?;
    let mut process = setup.start();
    let key = setup.api_key();
    let mut api = Api::connect(&process.api_url(), &key, false).await.unwrap();
    let mut devices = prepare(fleet, &mut api, &process).await;
    let (counters, killed) = (Counters::default(), AtomicBool::new(false));
    let (packages, cut_off) = (AtomicU64::new(0), AtomicU64::new(0));
    while devices.iter().any(|device| !device.idle) {
        let ignored = AtomicU64::new(0);
        let nobody = Killer { process: &process, points: &[], packages: &ignored, killed: &killed, cut_off: &cut_off };
        round(&mut devices, &counters, &nobody).await;
    }

    let body = json!({
        "name": "to the second profile",
        "target": { "filter": { "tags": ["fleet"] } },
        "plan": { "switch": { "to": { "profile": { "name": "Second" } }, "deleteOld": "afterProof" } },
        "waves": [{ "count": 4, "successThreshold": 0 }, { "rest": true }],
        "approval": "none",
    });
    let campaign = post(&mut api, "/api/v1/campaigns", Some(&body)).await["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/campaigns/{campaign}");
    post(&mut api, &format!("{path}/submit"), None).await;
    post(&mut api, &format!("{path}/start"), None).await;
    if points.contains(&0) {
        process.kill();
        killed.store(true, Ordering::SeqCst);
    }

    let (end, mut kills, mut completed) = (Instant::now() + PATIENCE, 0, false);
    while !completed || killed.load(Ordering::SeqCst) || devices.iter().any(|device| !device.idle) {
        assert!(Instant::now() < end, "the campaign does not end");
        if killed.swap(false, Ordering::SeqCst) {
            kills += 1;
            assert!(process.died_of_sigkill(), "it is the kill that ended the server");
            process = setup.start();
            api = Api::connect(&process.api_url(), &key, false).await.unwrap();
            connect(&mut devices, &process);
        }
        completed = get(&mut api, &path).await["state"] == "completed";
        let killer = Killer { process: &process, points, packages: &packages, killed: &killed, cut_off: &cut_off };
        round(&mut devices, &counters, &killer).await;
        tokio::time::sleep(REST).await;
    }
    // Devices come side by side, so two points may be passed before the one kill that both ask for.
    let least = points.len().div_ceil(2);
    assert!((least..=points.len()).contains(&kills), "the server was killed {kills} times, and not {least} or more");
    let cut_off = cut_off.into_inner();
    eprintln!("{database:?}: {kills} kills within {} packages, {cut_off} polls cut off", packages.into_inner());
    let ends = read(&mut api, &campaign, &devices, &counters).await;
    setup.end().await;
    Some(ends)
}

/// Compares what the server says with each eUICC, and that nothing happened twice.
async fn read(api: &mut Api, campaign: &str, devices: &[Device], counters: &Counters) -> BTreeMap<Eid, End> {
    let listed = get(api, &format!("/api/v1/campaigns/{campaign}/devices?limit=100")).await;
    let switches = get(api, "/api/v1/switches?limit=100").await;
    let mut ends = BTreeMap::new();
    for device in devices {
        let eid = device.euicc.eid();
        let of_device = |list: &Value| -> Vec<Value> {
            let items = list["items"].as_array().unwrap().iter();
            items.filter(|item| item["eid"] == eid.to_string()).cloned().collect()
        };
        let [shown] = <[Value; 1]>::try_from(of_device(&listed)).expect("it is in the campaign once");
        let [switch] = <[Value; 1]>::try_from(of_device(&switches)).expect("its switch exists once");
        assert_eq!((&switch["campaign"], &switch["id"]), (&json!(campaign), &shown["switch"]), "{shown} {switch}");
        assert_eq!((&shown["attempts"], &shown["outcome"]), (&json!(1), &switch["outcome"]), "{shown} {switch}");
        let events = get(api, &format!("/api/v1/euiccs/{eid}/events?limit=500")).await;
        for event_type in ["switchCreated", "switchEnded"] {
            let told = events["items"].as_array().unwrap().iter().filter(|event| event["type"] == event_type).count();
            assert_eq!(told, 1, "{eid}: {event_type}");
        }
        let record = get(api, &format!("/api/v1/euiccs/{eid}/profiles")).await;
        assert_eq!((&record["verified"], &record["stale"]), (&json!(true), &json!(false)), "{record}");
        let items = record["items"].as_array().unwrap().iter();
        let recorded: BTreeMap<String, bool> = items
            .map(|profile| (profile["iccid"].as_str().unwrap().to_owned(), profile["state"] == "enabled"))
            .collect();
        let profiles: BTreeMap<String, bool> =
            device.euicc.profiles().iter().map(|profile| (profile.iccid.to_string(), profile.enabled)).collect();
        assert_eq!(recorded, profiles, "{eid}: the server's record is what the eUICC has");
        // Every package that the eIM made came to the device; none was made and thrown away.
        let operations = get(api, &format!("/api/v1/operations?eid={eid}&limit=100")).await;
        let sent: Vec<&Value> = operations["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|operation| operation.get("counterValue").filter(|counter| counter.is_number()))
            .collect();
        assert_eq!(sent.len(), counters.of(eid), "{eid}: a counter for each package: {operations}");
        assert!(sent.len() >= 2, "{eid}: the list, and the switch at least: {operations}");
        let outcome = shown["outcome"].as_str().unwrap().to_owned();
        let expected = match (device.rolls_back, device.falls_back) {
            (true, _) => "rolledBack",
            (_, true) => "fellBack",
            _ => "proven",
        };
        assert_eq!(outcome, expected, "{shown} {switch}");
        let wave = shown["wave"].as_u64().unwrap();
        ends.insert(eid, End { wave, outcome, enabled: device.euicc.enabled_iccid(), profiles });
    }
    ends
}

async fn killed_and_not(database: Database) {
    let points = kill_points();
    let (undisturbed, killed) = tokio::join!(run(database, &[]), run(database, &points));
    // The waves are dealt by a hash of name and EID: they are the same in both.
    assert_eq!(undisturbed, killed);
    assert!(killed.is_none_or(|ends| ends.len() == DEVICES as usize));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_on_sqlite_survives_kills() {
    killed_and_not(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_on_postgresql_survives_kills() {
    killed_and_not(Database::Postgres).await;
}
