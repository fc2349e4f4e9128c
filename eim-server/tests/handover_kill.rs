//! The real server A, killed with SIGKILL again and again while it hands devices over to B, and started again on the same data: every
//! device ends at B alone, none is lost, and none was given two tokens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

mod process;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eim_simulator::euicc::Euicc;
use eim_simulator::fleet::{Fleet, Registration};
use eim_simulator::ipa::{Binding, Ipa, IpaConfig, Package, PollOptions};
use eim_simulator::load::Api;
use futures_util::StreamExt;
use process::{Database, Process, Setup};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const FLEET_SEED: u64 = 78;
const DEVICES: u32 = 10;
/// After how many results A is killed: when it has just answered that the hand-over is there, while the other eIM is being added, while
/// proofs come, and while it deletes itself.
const KILLED_AT: [u64; 5] = [0, 3, 7, 12, 16];
/// How many devices talk at once, so that a kill meets requests that are being answered.
const SIDE_BY_SIDE: usize = 4;
/// Far more than anything takes; only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long devices rest between two rounds.
const REST: Duration = Duration::from_millis(100);

struct Device {
    euicc: Euicc,
    registration: Registration,
    /// One IPA for each eIM: what could not be delivered to the one is not for the other.
    to_a: Ipa,
    to_b: Ipa,
    /// Whether B has taken it in.
    at_b: bool,
}

/// When A is killed, counted in packages whose results it has taken.
struct Killer<'a> {
    process: &'a Process,
    results: &'a AtomicU64,
    killed: &'a AtomicBool,
}

impl Killer<'_> {
    fn answered(&self) {
        let results = self.results.fetch_add(1, Ordering::SeqCst) + 1;
        if KILLED_AT.contains(&results) {
            self.kill();
        }
    }

    fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        self.process.kill();
    }
}

impl Device {
    /// What it still has to say to A, and a poll. Only a server that was killed may leave it without an answer.
    async fn poll_a(&mut self, killer: &Killer<'_>) {
        if killer.killed.load(Ordering::SeqCst) {
            return;
        }
        let polled = async {
            if self.to_a.deliver_undelivered(&mut self.euicc).await?.is_some() {
                killer.answered();
            }
            self.to_a.poll_once(&mut self.euicc, &PollOptions::default()).await
        };
        match polled.await {
            Ok(outcome) if !matches!(outcome.package, Package::Error(_)) => killer.answered(),
            Ok(_) => {}
            Err(error) => assert!(killer.killed.load(Ordering::SeqCst), "a server that runs did not answer: {error}"),
        }
    }
}

fn ipa_config(process: &Process) -> IpaConfig {
    IpaConfig::new(process.esipa, "localhost", std::slice::from_ref(&process.trusted), Binding::Asn1).unwrap()
}

async fn get(api: &mut Api, path: &str) -> Value {
    let (status, body) = api.call("GET", path, None).await.unwrap();
    assert_eq!(status, 200, "{path}: {body}");
    body
}

async fn post(api: &mut Api, path: &str, body: &Value) -> Value {
    let (status, answer) = api.call("POST", path, Some(body)).await.unwrap();
    assert!((200..300).contains(&status), "{path}: {status} {answer}");
    answer
}

fn association(euicc: &Euicc, eim_id: &str) -> Option<i64> {
    euicc.association(eim_id)?.token.map(eim_core::ids::AssociationToken::value)
}

/// What the two operators do: B takes in what A has added it to, asks each device for its profiles, and gives A its proofs. Nothing
/// when A is away.
async fn operate(devices: &mut [Device], id: &str, a: &mut Api, b: &mut Api, killer: &Killer<'_>) {
    let Ok((200, listed)) = a.call("GET", &format!("/api/v1/handovers/{id}/devices?limit=100"), None).await else {
        assert!(killer.killed.load(Ordering::SeqCst), "a server that runs did not answer");
        return;
    };
    let mut proofs = Vec::new();
    for shown in listed["items"].as_array().unwrap().iter().filter(|shown| shown["state"] == "added") {
        let device = devices.iter_mut().find(|device| shown["eid"] == device.euicc.eid().to_string()).unwrap();
        let eid = device.euicc.eid();
        if !device.at_b {
            let told = json!({
                "eid": eid.to_string(),
                "association": { "associationToken": shown["associationToken"], "learnedBy": "handover" },
                "eumCertificate": STANDARD.encode(&device.registration.eum_certificate),
                "euiccCertificate": STANDARD.encode(&device.registration.euicc_certificate),
            });
            post(b, "/api/v1/euiccs", &told).await;
            b.create_operation(&eid, &json!({ "psmo": [{ "listProfileInfo": {} }] })).await.unwrap();
            device.at_b = true;
            while !device.to_b.poll_once(&mut device.euicc, &PollOptions::default()).await.unwrap().is_idle() {}
        }
        proofs.push(get(b, &format!("/api/v1/euiccs/{eid}/handover-proof?handover={id}")).await);
    }
    if proofs.is_empty() {
        return;
    }
    match a.call("POST", &format!("/api/v1/handovers/{id}/proofs"), Some(&json!({ "proofs": proofs }))).await {
        Ok((status, answer)) => assert_eq!(status, 200, "{answer}"),
        Err(error) => assert!(killer.killed.load(Ordering::SeqCst), "a server that runs did not answer: {error}"),
    }
}

async fn handed_over_in_spite_of_kills(database: Database) {
    let mut fleet = Fleet::generate(FLEET_SEED, DEVICES).unwrap();
    let Some(setup_a) = Setup::new(database, &fleet).await else { return };
    let Some(setup_b) = Setup::new(database, &fleet).await else { return };
    let (mut a, b) = (setup_a.start(), setup_b.start());
    let key_a = setup_a.api_key();
    let mut api_a = Api::connect(&a.api_url(), &key_a, false).await.unwrap();
    let mut api_b = Api::connect(&b.api_url(), &setup_b.api_key(), false).await.unwrap();
    fleet.associate(&api_a.add_initial_eim_request().await.unwrap()).unwrap();
    let registrations = fleet.registrations();
    for registration in &registrations {
        api_a.register(registration, None).await.unwrap();
    }
    let mut devices: Vec<Device> = fleet
        .into_devices()
        .into_iter()
        .zip(registrations)
        .map(|(device, registration)| Device {
            euicc: device.euicc,
            registration,
            to_a: Ipa::new(ipa_config(&a)),
            to_b: Ipa::new(ipa_config(&b)),
            at_b: false,
        })
        .collect();

    let eim_b = get(&mut api_b, "/api/v1/eim").await;
    let configuration = STANDARD.decode(eim_b["eimConfigurationData"].as_str().unwrap()).unwrap();
    let body = json!({
        "configuration": { "eimConfigurationData": hex::encode(configuration) },
        "filter": { "all": true },
        "deleteOwn": "afterProof",
    });
    let id = post(&mut api_a, "/api/v1/handovers", &body).await["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/handovers/{id}");
    let (results, killed) = (AtomicU64::new(0), AtomicBool::new(false));
    Killer { process: &a, results: &results, killed: &killed }.kill();

    let (end, mut kills) = (Instant::now() + PATIENCE, 0);
    loop {
        assert!(Instant::now() < end, "the hand-over does not end");
        if killed.swap(false, Ordering::SeqCst) {
            kills += 1;
            assert!(a.died_of_sigkill(), "it is the kill that ended the server");
            a = setup_a.start();
            api_a = Api::connect(&a.api_url(), &key_a, false).await.unwrap();
            let config = ipa_config(&a);
            devices.iter_mut().for_each(|device| device.to_a.reconfigure(config.clone()));
        }
        if get(&mut api_a, &path).await["state"] == "ended" {
            break;
        }
        let killer = Killer { process: &a, results: &results, killed: &killed };
        futures_util::stream::iter(&mut devices)
            .for_each_concurrent(SIDE_BY_SIDE, |device| device.poll_a(&killer))
            .await;
        operate(&mut devices, &id, &mut api_a, &mut api_b, &killer).await;
        tokio::time::sleep(REST).await;
    }
    // Devices come side by side, so two points may be passed before the one kill that both ask for.
    assert!((3..=KILLED_AT.len()).contains(&kills), "the server was killed {kills} times");
    eprintln!("{database:?}: {kills} kills within {} results", results.into_inner());
    settle(&id, &mut devices, &mut api_a, &mut api_b).await;
    drop((a, b));
    setup_a.end().await;
    setup_b.end().await;
}

/// Compares what both servers say with each eUICC.
async fn settle(id: &str, devices: &mut [Device], api_a: &mut Api, api_b: &mut Api) {
    let b = get(api_b, "/api/v1/eim").await["eimId"].as_str().unwrap().to_owned();
    let shown = get(api_a, &format!("/api/v1/handovers/{id}")).await;
    assert_eq!(shown["totals"], json!({ "handedOver": DEVICES }), "{shown}");
    let listed = get(api_a, &format!("/api/v1/handovers/{id}/devices?limit=100")).await;
    for device in devices {
        let eid = device.euicc.eid();
        let names: Vec<&str> = device.euicc.associations().iter().map(|it| it.eim_id.as_str()).collect();
        assert_eq!(names, [b.as_str()], "{eid}: B alone");
        let token = association(&device.euicc, &b).expect("the eUICC allocated one");
        let told = listed["items"].as_array().unwrap().iter().find(|it| it["eid"] == eid.to_string()).unwrap();
        assert_eq!(told["associationToken"], token, "{eid}: the one that A knows");
        let at_b = get(api_b, &format!("/api/v1/euiccs/{eid}")).await;
        assert_eq!(at_b["association"]["associationToken"], token, "{eid}: the one that B was told");
        assert_eq!(get(api_a, &format!("/api/v1/euiccs/{eid}")).await["state"], "unmanaged", "{eid}");
        let operations = get(api_a, &format!("/api/v1/operations?eid={eid}&limit=100")).await;
        let asked = |eco: &str| {
            let items = operations["items"].as_array().unwrap().iter();
            items.filter(|operation| operation["request"]["eco"][0].get(eco).is_some()).count()
        };
        assert_eq!((asked("addEim"), asked("deleteEim")), (1, 1), "{eid}: once: {operations}");
        let events = get(api_a, &format!("/api/v1/euiccs/{eid}/events?limit=500")).await;
        for event_type in ["handoverAdded", "handoverProven", "handoverDone"] {
            let told = events["items"].as_array().unwrap().iter().filter(|event| event["type"] == event_type).count();
            assert_eq!(told, 1, "{eid}: {event_type}");
        }
        let id =
            api_b.create_operation(&eid, &json!({ "psmo": [{ "listProfileInfo": {} }] })).await.unwrap()["id"].clone();
        while !device.to_b.poll_once(&mut device.euicc, &PollOptions::default()).await.unwrap().is_idle() {}
        let operation = get(api_b, &format!("/api/v1/operations/{}", id.as_str().unwrap())).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("succeeded"), &json!(true)), "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_on_sqlite_survives_kills() {
    handed_over_in_spite_of_kills(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_on_postgresql_survives_kills() {
    handed_over_in_spite_of_kills(Database::Postgres).await;
}
