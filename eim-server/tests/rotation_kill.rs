//! The real server, killed with SIGKILL again and again in the middle of a rotation of its signing key, and started again on the same
//! data: every device ends on the new key, by its own word, and no counter ever stands for two packages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

mod process;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eim_core::ids::{AssociationToken, Eid, KeyId};
use eim_core::pki::{Curve, PublicKey};
use eim_simulator::euicc::Euicc;
use eim_simulator::fleet::Fleet;
use eim_simulator::ipa::{Binding, Ipa, IpaConfig, IpaError, Package, PollOptions};
use eim_simulator::load::Api;
use eim_simulator::pki::seeded_key;
use eim_simulator::tlv::{Tlv, integer};
use futures_util::StreamExt;
use process::{Database, Process, Setup};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const FLEET_SEED: u64 = 78;
const DEVICES: u32 = 20;
/// Of these devices the answer to the new key is lost, with what the eUICC keeps of it.
const LOSE_THE_ANSWER: [u32; 3] = [4, 11, 17];
/// After how many results of packages since the rotation began the server is killed; 0 is at once.
const KILLED_AFTER: [u64; 6] = [0, 2, 7, 11, 17, 24];
const SIDE_BY_SIDE: usize = 4;
/// Far more than anything takes; only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(120);
const REST: Duration = Duration::from_millis(50);

struct Device {
    euicc: Euicc,
    ipa: Ipa,
    loses: bool,
    idle: bool,
}

/// The eUICC, the place of the key, the octets of counterValue.
type Counter = (Eid, usize, Vec<u8>);

/// Every counter that was seen, with the package that came with it: counters begin anew with a key.
struct Counters {
    keys: [PublicKey; 2],
    seen: Mutex<HashMap<Counter, Vec<u8>>>,
}

impl Counters {
    /// Takes note of the body of a getEimPackage response to a device with this token.
    fn note(&self, eid: Eid, token: Option<AssociationToken>, response: &[u8]) {
        let Some(package) = Tlv::only(response).and_then(|response| response.child(0xbf51)) else { return };
        let parts = package.children().unwrap();
        let [signed, signature] = parts.as_slice() else { panic!("{eid}: not a package and its signature") };
        let message = [signed.octets.to_vec(), integer(0x84, token.map_or(0, AssociationToken::value))].concat();
        let signer = self.keys.iter().position(|key| key.verify(&message, signature.content).is_ok());
        let signer = signer.unwrap_or_else(|| panic!("{eid}: nobody's signature"));
        let counter = signed.child(0x81).unwrap().content.to_vec();
        let mut seen = self.seen.lock().unwrap();
        let before = seen.entry((eid, signer, counter)).or_insert_with(|| package.octets.to_vec());
        assert_eq!(before.as_slice(), package.octets, "{eid}: a counter came with two contents");
    }
}

/// When the server is killed.
struct Killer<'a> {
    process: &'a Process,
    points: &'a [u64],
    results: &'a AtomicU64,
    killed: &'a AtomicBool,
}

impl Killer<'_> {
    fn answered(&self) {
        let results = self.results.fetch_add(1, Ordering::SeqCst) + 1;
        if self.points.contains(&results) {
            self.kill();
        }
    }

    fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        self.process.kill();
    }
}

impl Device {
    fn token(&self) -> Option<AssociationToken> {
        self.euicc.associations()[0].token
    }

    async fn poll(&mut self, counters: &Counters, killer: &Killer<'_>) -> Result<(), IpaError> {
        if self.ipa.deliver_undelivered(&mut self.euicc).await?.is_some() {
            killer.answered();
        }
        let (eid, token, key) = (self.euicc.eid(), self.token(), self.euicc.associations()[0].key.clone());
        self.ipa.behaviour.lose_result = self.loses;
        let polled = self.ipa.poll_once(&mut self.euicc, &PollOptions::default()).await;
        if let Some(exchange) = self.ipa.last_exchange().filter(|exchange| is_get_eim_package(&exchange.response)) {
            counters.note(eid, token, &exchange.response);
        }
        if self.loses && self.euicc.associations()[0].key != key {
            self.loses = false;
            let kept: Vec<i64> = self.euicc.stored_results().iter().map(|stored| stored.seq_number).collect();
            for number in kept {
                self.euicc.remove_notification(number);
            }
        }
        let outcome = polled?;
        counters.note(eid, token, &outcome.response);
        self.idle = outcome.is_idle();
        if !matches!(outcome.package, Package::Error(_)) {
            killer.answered();
        }
        Ok(())
    }
}

fn is_get_eim_package(response: &[u8]) -> bool {
    Tlv::only(response).is_some_and(|response| response.tag == 0xbf4f)
}

/// One poll of every device. Only a server that was killed may leave one without an answer.
async fn round(devices: &mut [Device], counters: &Counters, killer: &Killer<'_>) {
    futures_util::stream::iter(devices)
        .for_each_concurrent(SIDE_BY_SIDE, |device| async move {
            if killer.killed.load(Ordering::SeqCst) {
                return;
            }
            device.idle = false;
            if let Err(error) = device.poll(counters, killer).await {
                assert!(killer.killed.load(Ordering::SeqCst), "a server that runs did not answer: {error}");
            }
        })
        .await;
}

async fn until_idle(devices: &mut [Device], counters: &Counters, process: &Process) {
    let (results, killed) = (AtomicU64::new(0), AtomicBool::new(false));
    let nobody = Killer { process, points: &[], results: &results, killed: &killed };
    let end = Instant::now() + PATIENCE;
    loop {
        round(devices, counters, &nobody).await;
        if devices.iter().all(|device| device.idle) {
            return;
        }
        assert!(Instant::now() < end, "the devices do not come to rest");
    }
}

async fn get(api: &mut Api, path: &str) -> Value {
    let (status, body) = api.call("GET", path, None).await.unwrap();
    assert_eq!(status, 200, "{path}: {body}");
    body
}

async fn current_key(api: &mut Api) -> PublicKey {
    let shown = get(api, "/api/v1/eim").await;
    PublicKey::from_spki(&STANDARD.decode(shown["publicKey"].as_str().unwrap()).unwrap()).unwrap()
}

fn connect(devices: &mut [Device], process: &Process) {
    let config =
        IpaConfig::new(process.esipa, "localhost", std::slice::from_ref(&process.trusted), Binding::Asn1).unwrap();
    devices.iter_mut().for_each(|device| device.ipa.reconfigure(config.clone()));
}

async fn prepare(mut fleet: Fleet, api: &mut Api, process: &Process) -> Vec<Device> {
    fleet.associate(&api.add_initial_eim_request().await.unwrap()).unwrap();
    for registration in fleet.registrations() {
        api.register(&registration, None).await.unwrap();
        let list = json!({ "psmo": [{ "listProfileInfo": {} }] });
        api.create_operation(&registration.eid, &list).await.unwrap();
    }
    let config =
        IpaConfig::new(process.esipa, "localhost", std::slice::from_ref(&process.trusted), Binding::Asn1).unwrap();
    let device = |(index, device): (u32, eim_simulator::fleet::Device)| Device {
        euicc: device.euicc,
        ipa: Ipa::new(config.clone()),
        loses: LOSE_THE_ANSWER.contains(&index),
        idle: false,
    };
    (0..).zip(fleet.into_devices()).map(device).collect()
}

async fn survives(database: Database) {
    let fleet = Fleet::generate(FLEET_SEED, DEVICES).unwrap();
    let Some(mut setup) = Setup::new(database, &fleet).await else { return };
    let mut process = setup.start();
    let key = setup.api_key();
    let mut api = Api::connect(&process.api_url(), &key, false).await.unwrap();
    let old = current_key(&mut api).await;
    let next = seeded_key(Curve::P256, 19, "next").unwrap();
    let new = PublicKey::from_spki(&next.public_key_spki()).unwrap();
    let counters = Counters { keys: [old, new.clone()], seen: Mutex::default() };
    let mut devices = prepare(fleet, &mut api, &process).await;
    let losing: Vec<bool> = devices.iter_mut().map(|device| std::mem::take(&mut device.loses)).collect();
    until_idle(&mut devices, &counters, &process).await;
    devices.iter_mut().zip(losing).for_each(|(device, loses)| device.loses = loses);

    process.kill();
    assert!(process.died_of_sigkill());
    setup.change_key(&next.to_pkcs8_pem().unwrap());
    process = setup.start();
    api = Api::connect(&process.api_url(), &key, false).await.unwrap();
    connect(&mut devices, &process);
    let body = json!({ "filter": { "all": true }, "ratePerMinute": 100_000 });
    let (status, rotation) = api.call("POST", "/api/v1/key-rotations", Some(&body)).await.unwrap();
    assert_eq!(status, 201, "{rotation}");
    let path = format!("/api/v1/key-rotations/{}", rotation["id"].as_str().unwrap());

    let (results, killed, mut kills) = (AtomicU64::new(0), AtomicBool::new(false), 0);
    if KILLED_AFTER.contains(&0) {
        Killer { process: &process, points: &[], results: &results, killed: &killed }.kill();
    }
    let end = Instant::now() + PATIENCE;
    let mut shown = Value::Null;
    while shown["state"] != "completed" || killed.load(Ordering::SeqCst) || devices.iter().any(|device| !device.idle) {
        assert!(Instant::now() < end, "the rotation does not end: {shown}");
        if killed.swap(false, Ordering::SeqCst) {
            kills += 1;
            assert!(process.died_of_sigkill(), "it is the kill that ended the server");
            process = setup.start();
            api = Api::connect(&process.api_url(), &key, false).await.unwrap();
            connect(&mut devices, &process);
        }
        shown = get(&mut api, &path).await;
        let killer = Killer { process: &process, points: &KILLED_AFTER, results: &results, killed: &killed };
        round(&mut devices, &counters, &killer).await;
        tokio::time::sleep(REST).await;
    }
    // Devices come side by side, so two points may be passed before the one kill that both ask for.
    assert!((KILLED_AFTER.len().div_ceil(2)..=KILLED_AFTER.len()).contains(&kills), "killed {kills} times");
    assert_eq!(shown["devices"]["rotated"], DEVICES, "{shown}");
    let name = KeyId::of_spki(&new.to_spki()).to_string();
    for device in &devices {
        let eid = device.euicc.eid();
        assert!(!device.loses, "{eid}: its answer was lost");
        assert!(device.euicc.associations()[0].key == new, "{eid}: as the eUICC has it");
        let euicc = get(&mut api, &format!("/api/v1/euiccs/{eid}")).await;
        let association = &euicc["association"];
        assert_eq!(
            (&association["signingKey"], &association["nextSigningKey"]),
            (&json!(name), &Value::Null),
            "{euicc}"
        );
        let changes = get(&mut api, &format!("/api/v1/euiccs/{eid}/events?limit=500")).await;
        let changes = changes["items"].as_array().unwrap().iter();
        let changes = changes.filter(|event| event["type"] == "signingKeyChanged").count();
        assert_eq!(changes, 1, "{eid}: it changed its key once");
        api.create_operation(&eid, &json!({ "psmo": [{ "getRAT": {} }] })).await.unwrap();
    }
    until_idle(&mut devices, &counters, &process).await;
    for device in &devices {
        let path = format!("/api/v1/operations?eid={}&limit=100", device.euicc.eid());
        let operations = get(&mut api, &path).await;
        let last = operations["items"].as_array().unwrap().iter().rfind(|one| one["origin"] == "operator").unwrap();
        assert_eq!((&last["state"], &last["verified"]), (&json!("succeeded"), &json!(true)), "{last}");
    }
    eprintln!("{database:?}: {kills} kills within {} results", results.into_inner());
    setup.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_on_sqlite_survives_kills() {
    survives(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_on_postgresql_survives_kills() {
    survives(Database::Postgres).await;
}
