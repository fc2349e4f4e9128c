//! Profile downloads through the front door: direct, indirect and by SM-DS, on both modes (SGP.32 v1.2 3.2.3, 3.9).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use diesel::{Connection, QueryableByName, RunQueryDsl, sql_query, sql_types::Text};
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use eim_conformance::{
    Answer, Backend, Binding, Device, Mode, Package, Role, THIN_IPA, World, code_of, each_mode, modes, new_iccid,
    order, run_with,
};
use eim_core::asn1::{NotificationEvent, PprIds};
use eim_core::pki::{Oid, hash_cc};
use eim_core::store::StoreUrl;
use eim_simulator::euicc::DeviceDescription as Features;
use eim_simulator::ipa::{Compact, CtxParams1Source, Delivery, DownloadMode, DownloadStep, Function, SmdpAddress};
use eim_simulator::rsp::{OrderState, SmdpFaults, SmdpOptions, SmdpServer, SmdsOptions, SmdsServer};
use eim_simulator::tlv::{Tlv, element, integer};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const DIRECT: u32 = Features::DIRECT_RSP_SERVER_COMMUNICATION;
const INDIRECT: u32 = Features::INDIRECT_RSP_SERVER_COMMUNICATION;
const HANDLING: u32 = Features::EIM_DOWNLOAD_DATA_HANDLING;
const CONTEXT: u32 = Features::EIM_CTX_PARAMS1_GENERATION;
const METADATA: u32 = Features::EIM_PROFILE_METADATA_VERIFICATION;
const MINIMIZE: u32 = Features::MINIMIZE_ESIPA_BYTES;

/// Embedded, ASN.1: for what has nothing to do with database, queue and binding.
fn embedded(test: impl AsyncFn(&mut World)) {
    run_with(&[Mode::EMBEDDED], &[Binding::Asn1], |_| {}, test);
}

/// A device whose IPA leaves everything to the eIM.
async fn thin(world: &World, index: u32) -> Device {
    world.downloading_device(index, DownloadMode::Indirect, &THIN_IPA).await
}

/// A device whose IPA downloads by itself.
async fn able(world: &World, index: u32) -> Device {
    world.downloading_device(index, DownloadMode::Direct, &[DIRECT]).await
}

/// Lets the device report addresses, EUICCInfo, capabilities and deviceInfo.
async fn introduce(world: &World, device: &mut Device) {
    let tags = json!({ "euiccData": { "tags": ["81", "BF20", "BF22", "83", "A8", "A9"] } });
    let id = world.queue(&device.eid(), tags).await;
    device.session().await;
    assert_eq!(world.operation(&id).await["state"], "succeeded");
}

fn indirect() -> Value {
    json!({ "indirect": true })
}

fn digits(number: u32) -> String {
    new_iccid(number).digits().unwrap()
}

async fn succeeded(world: &World, id: &str, device: &Device, number: u32) {
    let operation = world.operation(id).await;
    assert_eq!(operation["state"], "succeeded", "{operation} {:?}", device.ipa.last_download());
    assert_eq!(operation["verified"], true, "{operation}");
    assert_eq!(operation["results"][0]["value"]["iccid"], digits(number), "{operation}");
    let profiles = world.profiles(&device.eid()).await;
    assert!(profiles.contains(&(digits(number), "disabled".to_owned())), "{profiles:?}");
    assert!(device.euicc.profile(&new_iccid(number)).is_some_and(|profile| !profile.enabled));
}

fn functions(smdp: &SmdpServer) -> Vec<String> {
    smdp.calls().into_iter().map(|call| call.function).collect()
}

fn count(smdp: &SmdpServer, function: &str) -> usize {
    functions(smdp).iter().filter(|name| *name == function).count()
}

/// A member of the last call of a function, as octets.
fn received(smdp: &SmdpServer, function: &str, member: &str) -> Vec<u8> {
    let call = smdp.calls().into_iter().rfind(|call| call.function == function).expect("a call");
    STANDARD.decode(call.request[member].as_str().unwrap()).unwrap()
}

/// The trigger in a BF54: whether it says where the profile waits.
fn has_data(package: &Package) -> bool {
    let Package::DownloadTrigger(octets) = package else { panic!("no trigger: {package:?}") };
    Tlv::only(octets).unwrap().child(0xa0).is_some()
}

fn trigger(session: &eim_conformance::Session) -> &Package {
    let found = session.polls.iter().find(|poll| matches!(poll.package, Package::DownloadTrigger(_)));
    &found.expect("a trigger").package
}

/// The error code in an answer of ESipa, in ASN.1.
fn refused_with(answer: &[u8], tag: u32) -> i64 {
    let arm = Tlv::only(Tlv::only(answer).unwrap().content).unwrap();
    assert_eq!(arm.tag, tag, "no error: {}", hex::encode(answer));
    arm.integer().unwrap()
}

/// CT-ES9IA-01, CT-ES9AC-01, CT-ES9BPP-01, CT-ES9HN-01.
#[test]
fn an_indirect_download_installs_the_profile_and_brings_its_notifications_home() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "INDIRECT", 1));
        let mut device = world.downloading_device(1, DownloadMode::Indirect, &THIN_IPA).await;
        let id = world.download(&device, &code_of(&smdp, "INDIRECT"), json!({ "indirect": true })).await;
        device.session().await;
        let outcome = device.ipa.last_download().unwrap();
        assert_eq!(outcome.error, None, "{outcome:?}");
        assert!(outcome.steps.contains(&DownloadStep::Install));
        device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();

        let operation = world.operation(&id).await;
        assert_eq!(operation["state"], "succeeded", "{operation}");
        assert_eq!(operation["verified"], true);
        let iccid = new_iccid(1).digits().unwrap();
        assert_eq!(operation["results"][0]["value"]["iccid"], iccid);
        assert!(world.profiles(&device.eid()).await.contains(&(iccid, "disabled".to_owned())));
        world.forwarded().await;
        assert_eq!(smdp.order_state("INDIRECT"), Some(OrderState::Installed));
        assert_eq!(smdp.notifications().len(), 2, "the result and the notification of the installation");
        smdp.stop().await;
    });
}

// Triggers

/// Everything that an operator, or whoever reads the metrics, can see of a device and its operations.
async fn everything_shown(world: &World, device: &Device, ids: &[&str]) -> String {
    let eid = device.eid();
    let mut paths = vec![
        format!("/api/v1/operations?eid={eid}&limit=1000"),
        format!("/api/v1/euiccs/{eid}"),
        format!("/api/v1/euiccs/{eid}/profiles"),
        format!("/api/v1/euiccs/{eid}/events?limit=1000"),
        "/api/v1/euiccs?limit=1000".to_owned(),
        "/api/v1/notifications?limit=1000".to_owned(),
        "/metrics".to_owned(),
        "/readyz".to_owned(),
    ];
    paths.extend(ids.iter().map(|id| format!("/api/v1/operations/{id}")));
    let mut shown = String::new();
    for path in paths {
        shown.push_str(&world.send(Role::Admin, "GET", &path, &[], "").await.text());
    }
    shown
}

/// 05 5.6, CR-08.
#[test]
fn an_activation_code_works_with_and_without_prefix_and_is_never_shown_again() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        let mut device = thin(world, 1).await;
        introduce(world, &mut device).await;
        let path = format!("/api/v1/euiccs/{}/operations", device.eid());
        for (number, prefix) in [(1, ""), (2, "LPA:")] {
            let matching_id = format!("HUSH-MATCHING-{number}");
            smdp.add_order(order(&smdp, &matching_id, number).with_confirmation_code("hush-code-77"));
            let code = format!("{prefix}{}", code_of(&smdp, &matching_id));
            let body = json!({ "profileDownload": {
                "activationCode": code, "confirmationCode": "hush-code-77", "indirect": true,
            } });
            let reply = world.post(&path, body).await;
            assert_eq!(reply.status, 202, "{}", reply.text());
            let id = reply.json()["id"].as_str().unwrap().to_owned();
            let queued = everything_shown(world, &device, &[&id]).await;
            device.session().await;
            succeeded(world, &id, &device, number).await;
            device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
            let done = everything_shown(world, &device, &[&id]).await;
            for shown in [reply.text(), queued, done] {
                assert!(!shown.to_ascii_uppercase().contains("HUSH"), "a secret is shown: {shown}");
                assert!(!shown.contains(&STANDARD.encode(&matching_id)) && !shown.contains(&hex::encode(&matching_id)));
            }
        }
        // a code that can't be taken is not echoed either
        for code in ["1$$HUSH", "2$smdp.example$HUSH", "LPA:1$10.0.0.1$HUSH", "HUSH", "1$smdp.example$HU SH$x$7$HUSH"] {
            let reply = world.post(&path, json!({ "profileDownload": { "activationCode": code } })).await;
            assert_eq!(reply.pointers(422), ["/profileDownload/activationCode"], "{code}");
            assert!(!reply.text().contains("HUSH"), "{}", reply.text());
        }
        world.forwarded().await;
        smdp.stop().await;
    });
}

/// What the database holds, in all forms in which a text may be in it.
fn stored(world: &World, folder: &std::path::Path, url: Option<String>) -> Vec<u8> {
    match world.backend {
        Backend::Sqlite => {
            let mut octets = Vec::new();
            for file in std::fs::read_dir(folder).unwrap().filter_map(Result::ok).filter(|file| file.path().is_file()) {
                octets.extend(std::fs::read(file.path()).unwrap());
            }
            assert!(!octets.is_empty());
            octets
        }
        Backend::Postgres => rows_of(url.expect("a database")),
    }
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// Every row of every table, bytea as it is, on a thread of its own since the blocking connection has a runtime inside.
fn rows_of(url: String) -> Vec<u8> {
    let dump = move || {
        let mut conn = AsyncConnectionWrapper::<AsyncPgConnection>::establish(&url).unwrap();
        conn.batch_execute("SET bytea_output = 'escape'").unwrap();
        let tables: Vec<Line> =
            sql_query("SELECT tablename::text AS line FROM pg_tables WHERE schemaname = current_schema()")
                .load(&mut conn)
                .unwrap();
        assert!(tables.len() > 5);
        let mut octets = Vec::new();
        for table in tables {
            let rows: Vec<Line> =
                sql_query(format!("SELECT t::text AS line FROM {} t", table.line)).load(&mut conn).unwrap();
            rows.into_iter().for_each(|row| octets.extend(row.line.into_bytes()));
        }
        octets
    };
    std::thread::spawn(dump).join().unwrap()
}

/// Issue point 1: encrypted at rest.
#[test]
fn neither_matching_id_nor_confirmation_code_is_in_the_database_in_clear() {
    let place = RefCell::new(None);
    let note = |config: &mut eim_server::config::Config| {
        let url = config.store.url.as_ref().and_then(|url| match url {
            StoreUrl::Postgres(url) => Some(url.clone()),
            StoreUrl::Sqlite(_) => None,
        });
        *place.borrow_mut() = Some((config.data.dir.clone(), url));
    };
    run_with(&[Mode::EMBEDDED, Mode::PRODUCTION], &[Binding::Asn1], note, async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "HUSH-MATCHING", 1).with_confirmation_code("hush-code-77"));
        let mut device = thin(world, 1).await;
        introduce(world, &mut device).await;
        let more = json!({ "confirmationCode": "hush-code-77", "indirect": true, "label": null });
        let mut download = json!({ "activationCode": code_of(&smdp, "HUSH-MATCHING") });
        for name in ["confirmationCode", "indirect"] {
            download[name] = more[name].clone();
        }
        let body = json!({ "profileDownload": download, "label": "seen-in-clear" });
        let id = world.queue(&device.eid(), body).await;
        let check = || {
            let (folder, url) = place.borrow().clone().unwrap();
            let octets = stored(world, &folder, url);
            let has =
                |text: &str| octets.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()));
            assert!(has("seen-in-clear"), "the search finds what is there");
            for secret in ["HUSH-MATCHING", "hush-code-77"] {
                let forms = [secret.to_owned(), hex::encode(secret), STANDARD.encode(secret)];
                forms.iter().for_each(|form| assert!(!has(form), "{secret} is stored"));
            }
        };
        check();
        device.ipa.behaviour.download_options.stop_after = Some(DownloadStep::GetBoundProfilePackage);
        device.session().await;
        check();
        device.ipa.behaviour.download_options.stop_after = None;
        world.advance(TimeDelta::minutes(11)).await;
        device.session().await;
        succeeded(world, &id, &device, 1).await;
        check();
        smdp.stop().await;
    });
}

#[test]
fn a_download_asked_for_twice_with_one_idempotency_key_is_one_operation() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "ONCE", 1));
        let mut device = thin(world, 1).await;
        let path = format!("/api/v1/euiccs/{}/operations", device.eid());
        let body = |code: &str| json!({ "profileDownload": { "activationCode": code, "indirect": true } }).to_string();
        let key = [("idempotency-key", "download-1")];
        let code = code_of(&smdp, "ONCE");
        let first = world.send(Role::Operator, "POST", &path, &key, body(&code)).await;
        let again = world.send(Role::Operator, "POST", &path, &key, body(&code)).await;
        assert_eq!((first.status, again.json()["id"].clone()), (202, first.json()["id"].clone()));
        let other = world.send(Role::Operator, "POST", &path, &key, body(&code_of(&smdp, "OTHER"))).await;
        assert_eq!(other.problem(409)["type"], "urn:eim:problem:idempotency-key-taken");
        assert!(!other.text().contains("OTHER"));
        device.session().await;
        succeeded(world, first.json()["id"].as_str().unwrap(), &device, 1).await;
        let late = world.send(Role::Operator, "POST", &path, &key, body(&code)).await;
        assert_eq!(late.json()["id"], first.json()["id"]);
        let downloads = world.operations(&device.eid()).await;
        assert_eq!(downloads.iter().filter(|operation| operation["kind"] == "profileDownload").count(), 1);
        assert_eq!(count(&smdp, "initiateAuthentication"), 1);
        smdp.stop().await;
    });
}

/// 01 1.1: what the capability bits change. What is not known is asked for before the trigger goes out.
#[test]
fn auto_asks_for_unknown_capabilities_and_goes_the_way_they_suggest() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        let rows: [(&[u32], DownloadMode, bool); 5] = [
            (&[DIRECT], DownloadMode::Direct, true),
            (&[INDIRECT], DownloadMode::Indirect, true),
            (&[DIRECT, INDIRECT], DownloadMode::Direct, true),
            (&[INDIRECT, HANDLING], DownloadMode::Indirect, false),
            (&THIN_IPA, DownloadMode::Indirect, false),
        ];
        for (number, (features, way, data)) in (1..).zip(rows) {
            let matching_id = format!("AUTO-{number}");
            smdp.add_order(order(&smdp, &matching_id, number));
            let mut device = world.downloading_device(number, DownloadMode::Auto, features).await;
            // left out is the same as "auto"
            let more = if number % 2 == 0 { json!({}) } else { json!({ "indirect": "auto" }) };
            let id = world.download(&device, &code_of(&smdp, &matching_id), more).await;
            let session = device.session().await;
            assert!(matches!(session.polls[0].package, Package::IpaEuiccData(_)), "{features:?} is asked for first");
            assert_eq!(has_data(trigger(&session)), data, "{features:?}");
            assert_eq!(device.ipa.last_download().unwrap().mode, way, "{features:?}");
            succeeded(world, &id, &device, number).await;
        }
        smdp.stop().await;
    });
}

#[test]
fn the_operator_decides_who_downloads_whatever_the_capabilities_are() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        for (number, asked, way) in [(1, false, DownloadMode::Direct), (2, true, DownloadMode::Indirect)] {
            let matching_id = format!("ASKED-{number}");
            smdp.add_order(order(&smdp, &matching_id, number));
            let mut device = world.downloading_device(number, way, &[DIRECT, INDIRECT, HANDLING]).await;
            introduce(world, &mut device).await;
            let id = world.download(&device, &code_of(&smdp, &matching_id), json!({ "indirect": asked })).await;
            let session = device.session().await;
            // eimDownloadDataHandling is for downloads that the eIM runs
            assert_eq!(has_data(trigger(&session)), !asked);
            succeeded(world, &id, &device, number).await;
        }
        smdp.stop().await;
    });
}

#[test]
fn a_profile_at_the_default_smdp_is_downloaded_both_ways() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        for (number, features) in [(1, &[DIRECT][..]), (2, &[INDIRECT]), (3, &THIN_IPA)] {
            let mut device = world.downloading_device(number, DownloadMode::Auto, features).await;
            device.euicc.default_dp_address = Some(smdp.address());
            let eid = device.euicc.eid();
            smdp.add_order(order(&smdp, &format!("DEFAULT-{number}"), number).as_default().for_eid(eid));
            let id = world.queue(&device.eid(), json!({ "profileDownload": { "defaultSmdp": true } })).await;
            device.session().await;
            succeeded(world, &id, &device, number).await;
            let context = device.ipa.last_download().unwrap().full_authenticate_server_response.clone().unwrap();
            let signed1 = Tlv::only(&context).unwrap().child(0xa0).unwrap().child(0x30).unwrap().octets.to_vec();
            let matching_id =
                Tlv::only(&signed1).unwrap().child(0xa0).unwrap().child(0x80).map(|tlv| tlv.content.len());
            assert!(matches!(matching_id, None | Some(0)), "the default SM-DP+ is named no matchingId");
        }
        smdp.stop().await;
    });
}

// Direct downloads

/// RL-08. The IPA tells the SM-DP+ itself; the eIM is told by either function.
#[test]
fn a_direct_download_is_reported_verified_and_not_forwarded() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        for (number, delivery) in [(1, Delivery::ProvideEimPackageResult), (2, Delivery::HandleNotification)] {
            let matching_id = format!("DIRECT-{number}");
            smdp.add_order(order(&smdp, &matching_id, number));
            let mut device = able(world, number).await;
            device.ipa.behaviour.delivery = delivery;
            let id = world.download(&device, &code_of(&smdp, &matching_id), json!({ "indirect": false })).await;
            let session = device.session().await;
            let poll = session.polls.iter().find(|poll| matches!(poll.package, Package::DownloadTrigger(_))).unwrap();
            let Package::DownloadTrigger(sent) = &poll.package else { unreachable!() };
            let data = Tlv::only(sent).unwrap().child(0xa0).unwrap();
            assert_eq!(data.child(0x80).unwrap().content, code_of(&smdp, &matching_id).as_bytes());
            // a trigger result has nothing to acknowledge (01 1.8)
            let expected = if number == 1 { Answer::Empty } else { Answer::NoContent };
            assert_eq!(poll.answer, Some(expected));
            succeeded(world, &id, &device, number).await;
            assert_eq!(smdp.order_state(&matching_id), Some(OrderState::Installed));
            let eid = device.eid();
            assert_eq!(world.notifications(&format!("eid={eid}")).await, Vec::<Value>::new(), "not forwarded");
            let pir = device.ipa.last_download().unwrap().pir.clone().unwrap();
            assert_eq!(smdp.notifications().iter().filter(|found| **found == pir).count(), 1, "by the IPA alone");
        }
        smdp.stop().await;
    });
}

#[test]
fn an_installation_result_signed_by_nobody_changes_nothing() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        for (number, mut device) in [(1, able(world, 1).await), (2, thin(world, 2).await)] {
            let matching_id = format!("FORGED-{number}");
            smdp.add_order(order(&smdp, &matching_id, number));
            device.euicc.faults.pir_wrong_key = true;
            let id = world.download(&device, &code_of(&smdp, &matching_id), json!({ "indirect": number == 2 })).await;
            device.session().await;
            let operation = world.operation(&id).await;
            assert_eq!(
                (&operation["state"], &operation["verified"]),
                (&json!("delivered"), &Value::Null),
                "{operation}"
            );
            assert!(world.profiles(&device.eid()).await.iter().all(|(iccid, _)| *iccid != digits(number)));
            assert_eq!(world.notifications(&format!("eid={}", device.eid())).await, Vec::<Value>::new());
        }
        smdp.stop().await;
    });
}

#[test]
fn a_result_of_an_unknown_euicc_certificate_is_held_until_the_certificates_come() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "HELD", 1));
        let mut device = world.bare_device(1).await;
        let full = able(world, 2).await;
        device.ipa.reconfigure(full.ipa.config().clone());
        device.ipa.behaviour.download = DownloadMode::Direct;
        let id = world.download(&device, &code_of(&smdp, "HELD"), json!({ "indirect": false })).await;
        let poll = device.poll().await;
        assert!(matches!(poll.package, Package::DownloadTrigger(_)));
        assert_eq!(world.operation(&id).await["state"], "delivered");
        assert!(world.profiles(&device.eid()).await.is_empty());
        let poll = device.poll().await;
        assert!(matches!(poll.package, Package::IpaEuiccData(_)), "the certificates are asked for first");
        succeeded(world, &id, &device, 1).await;
        assert_eq!(world.notifications("").await, Vec::<Value>::new(), "a direct result is not forwarded later either");
        smdp.stop().await;
    });
}

// Indirect downloads: what an IPA may leave out or say otherwise

/// 01 1.6, steps 1 to 5.
#[test]
fn an_ipa_may_leave_out_transaction_address_and_euicc_info() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        let mut number = 0;
        for transaction in [true, false] {
            for info in [true, false] {
                for address in [SmdpAddress::FromTrigger, SmdpAddress::Absent] {
                    number += 1;
                    let matching_id = format!("VARIANT-{number}");
                    smdp.add_order(order(&smdp, &matching_id, number));
                    let features: &[u32] = if number % 2 == 0 { &THIN_IPA } else { &[INDIRECT] };
                    let mut device = world.downloading_device(number, DownloadMode::Indirect, features).await;
                    introduce(world, &mut device).await;
                    let options = &mut device.ipa.behaviour.download_options;
                    options.send_eim_transaction_id = transaction;
                    options.send_euicc_info1 = info;
                    options.smdp_address = address.clone();
                    let id = world.download(&device, &code_of(&smdp, &matching_id), indirect()).await;
                    device.session().await;
                    succeeded(world, &id, &device, number).await;
                }
            }
        }
        smdp.stop().await;
    });
}

/// Letter case does not matter in an address; another one is smdpAddressMismatch(50), and nobody is called.
#[test]
fn another_smdp_address_than_that_of_the_order_is_refused_and_nobody_is_called() {
    embedded(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "ADDRESS", 1));
        let mut device = thin(world, 1).await;
        let id = world.download(&device, &code_of(&smdp, "ADDRESS"), indirect()).await;
        let options = &mut device.ipa.behaviour.download_options;
        (options.smdp_address, options.report_failure) = (SmdpAddress::Other("other.example".to_owned()), false);
        device.session().await;
        let outcome = device.ipa.last_download().unwrap();
        assert_eq!(outcome.error_code(), Some((DownloadStep::InitiateAuthentication, 50)), "{outcome:?}");
        assert_eq!(functions(&smdp), Vec::<String>::new());
        assert_eq!(world.operation(&id).await["state"], "delivered");
        device.ipa.behaviour.download_options.smdp_address = SmdpAddress::Other(smdp.address().to_ascii_uppercase());
        world.advance(TimeDelta::minutes(11)).await;
        device.session().await;
        succeeded(world, &id, &device, 1).await;
        smdp.stop().await;
    });
}

/// 01 1.6, step 2.
#[test]
fn an_unknown_eim_transaction_id_is_refused() {
    embedded(async |world: &mut World| {
        let smdp = world.smdp().await;
        let mut device = thin(world, 1).await;
        introduce(world, &mut device).await;
        world.download(&device, &code_of(&smdp, "ANY"), indirect()).await;
        device.fetch().await;
        let info = device.euicc.euicc_info1().unwrap();
        let body = element(0xbf39, &[&element(0x81, &[&[7; 16]]), &info, &element(0x82, &[&[9; 16]])]);
        let answer = device.send(Function::InitiateAuthentication, &body).await;
        assert_eq!(refused_with(&answer.response, 0x81), 52);
        assert_eq!(functions(&smdp), Vec::<String>::new());
        smdp.stop().await;
    });
}

/// The bits eimDownloadDataHandling, eimCtxParams1Generation and eimProfileMetadataVerification.
#[test]
fn the_eim_adds_what_the_ipa_leaves_to_it_and_nothing_else() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        let rows: [&[u32]; 6] = [
            &[INDIRECT],
            &[INDIRECT, HANDLING],
            &[INDIRECT, CONTEXT],
            &[INDIRECT, HANDLING, CONTEXT],
            &[INDIRECT, METADATA],
            &[INDIRECT, METADATA, MINIMIZE],
        ];
        for (number, features) in (1..).zip(rows) {
            let matching_id = format!("ADDS-{number}");
            smdp.add_order(order(&smdp, &matching_id, number));
            let mut device = world.downloading_device(number, DownloadMode::Indirect, features).await;
            introduce(world, &mut device).await;
            let id = world.download(&device, &code_of(&smdp, &matching_id), indirect()).await;
            let session = device.session().await;
            let has = |feature| features.contains(&feature);
            assert_eq!(has_data(trigger(&session)), !has(HANDLING), "{features:?}");
            let outcome = device.ipa.last_download().unwrap();
            let given = outcome.eim_matching_id.as_deref();
            assert_eq!(given, has(HANDLING).then_some(matching_id.as_str()), "{features:?}");
            assert_eq!(outcome.eim_ctx_params1.is_some(), has(CONTEXT), "{features:?}");
            if let Some(context) = &outcome.eim_ctx_params1 {
                let context = Tlv::only(context).unwrap();
                assert_eq!(context.child(0x80).unwrap().content, matching_id.as_bytes());
                assert!(context.child(0xa1).is_some(), "deviceInfo");
            }
            // only who leaves the verification to the eIM can do without the metadata
            assert_eq!(outcome.metadata.is_none(), has(METADATA) && has(MINIMIZE), "{features:?}");
            succeeded(world, &id, &device, number).await;
        }
        smdp.stop().await;
    });
}

/// 01 1.1: open IPAs disagree on the bit, so one that the IPA makes itself is always taken.
#[test]
fn ctx_params1_of_the_ipa_are_taken_although_the_eim_gives_some() {
    embedded(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "OWN", 1));
        let mut device = thin(world, 1).await;
        introduce(world, &mut device).await;
        device.ipa.behaviour.download_options.ctx_params1 = CtxParams1Source::Own;
        let id = world.download(&device, &code_of(&smdp, "OWN"), indirect()).await;
        device.session().await;
        succeeded(world, &id, &device, 1).await;
        smdp.stop().await;
    });
}

/// RL-01: no octet of what eUICC and server signed changes on its way, either way.
#[test]
fn signed_objects_pass_octet_by_octet() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "OCTETS", 1).with_size(30_000));
        let mut device = thin(world, 1).await;
        world.download(&device, &code_of(&smdp, "OCTETS"), indirect()).await;
        device.session().await;
        let outcome = device.ipa.last_download().unwrap().clone();
        let bf38 = received(&smdp, "authenticateClient", "authenticateServerResponse");
        assert_eq!(Some(bf38), outcome.authenticate_server_response);
        let bf21 = received(&smdp, "getBoundProfilePackage", "prepareDownloadResponse");
        assert_eq!(Some(bf21), outcome.prepare_download_response);
        let challenge = received(&smdp, "initiateAuthentication", "euiccChallenge");
        assert_eq!(Some(&challenge[..]), outcome.euicc_challenge.as_ref().map(|challenge| &challenge[..]));
        assert_eq!(received(&smdp, "initiateAuthentication", "euiccInfo1"), device.euicc.euicc_info1().unwrap());
        // every octet of the package is under a MAC that the eUICC checks
        assert!(outcome.is_installed() && outcome.bound_profile_package.as_ref().unwrap().len() > 30_000);
        let mut sent = vec![outcome.pir.clone().unwrap()];
        sent.extend(device.euicc.notifications().iter().map(|found| found.octets.clone()));
        device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
        world.forwarded().await;
        assert_eq!(smdp.notifications(), sent);

        smdp.add_order(order(&smdp, "CANCELLED", 2));
        device.ipa.behaviour.download_options.cancel_with = Some(0);
        world.download(&device, &code_of(&smdp, "CANCELLED"), indirect()).await;
        device.session().await;
        let bf41 = received(&smdp, "cancelSession", "cancelSessionResponse");
        assert_eq!(bf41, device.ipa.last_download().unwrap().cancellation.as_ref().unwrap().response);
        smdp.stop().await;
    });
}

/// RL-02: the SM-DP+, which takes no compact form and checks every signature, is given the full one.
#[test]
fn compact_forms_are_expanded_to_what_was_signed() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        let mut number = 0;
        for compact in [Compact::Yes, Compact::WithCertificates] {
            for code in [None, Some("by-the-eim"), Some("by-the-ipa")] {
                number += 1;
                let matching_id = format!("COMPACT-{number}");
                let plain = order(&smdp, &matching_id, number);
                smdp.add_order(code.map_or(plain.clone(), |code| plain.with_confirmation_code(code)));
                let features: Vec<u32> = THIN_IPA.into_iter().chain([MINIMIZE]).collect();
                let mut device = world.downloading_device(number, DownloadMode::Indirect, &features).await;
                introduce(world, &mut device).await;
                device.ipa.behaviour.download_options.compact = compact;
                let mut more = indirect();
                match code {
                    Some("by-the-eim") => more["confirmationCode"] = json!("by-the-eim"),
                    Some(code) => device.ipa.behaviour.download_options.confirmation_code = Some(code.into()),
                    None => {}
                }
                let id = world.download(&device, &code_of(&smdp, &matching_id), more).await;
                device.session().await;
                let outcome = device.ipa.last_download().unwrap().clone();
                assert_eq!(outcome.error, None, "{compact:?} {code:?}: {}", world.operation(&id).await);
                assert_ne!(outcome.authenticate_server_response, outcome.full_authenticate_server_response);
                let bf38 = received(&smdp, "authenticateClient", "authenticateServerResponse");
                assert_eq!(Some(bf38), outcome.full_authenticate_server_response);
                let bf21 = received(&smdp, "getBoundProfilePackage", "prepareDownloadResponse");
                assert_eq!(Some(bf21), outcome.full_prepare_download_response);
                succeeded(world, &id, &device, number).await;
                device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
                world.forwarded().await;
                assert!(smdp.notifications().contains(&outcome.pir.unwrap()), "the full result");
                assert_eq!(smdp.notifications().len(), 2 * number as usize);
            }
        }
        // a compact cancellation
        smdp.add_order(order(&smdp, "COMPACT-CANCEL", 20));
        let mut device = thin(world, 20).await;
        introduce(world, &mut device).await;
        let options = &mut device.ipa.behaviour.download_options;
        (options.compact, options.cancel_with) = (Compact::Yes, Some(0));
        world.download(&device, &code_of(&smdp, "COMPACT-CANCEL"), indirect()).await;
        device.session().await;
        assert_eq!(smdp.order_state("COMPACT-CANCEL"), Some(OrderState::Cancelled(0)));
        smdp.stop().await;
    });
}

/// RL-02. Certificates and EUICCInfo2 that the eIM does not have are asked for, and the download goes on.
#[test]
fn what_is_missing_to_expand_a_compact_form_is_asked_for() {
    embedded(async |world: &mut World| {
        let smdp = world.smdp().await;
        // certificates are missing; both; EUICCInfo2 is missing
        for (number, compact, introduced) in
            [(1, Compact::Yes, true), (2, Compact::Yes, false), (3, Compact::WithCertificates, false)]
        {
            let matching_id = format!("UNKNOWN-{number}");
            smdp.add_order(order(&smdp, &matching_id, number));
            let mut device = world.bare_device(number).await;
            device.ipa.behaviour.download = DownloadMode::Indirect;
            device.ipa.behaviour.device = Features::default().features(&[INDIRECT, MINIMIZE]);
            if introduced {
                introduce(world, &mut device).await;
            }
            device.ipa.behaviour.download_options.compact = compact;
            let id = world.download(&device, &code_of(&smdp, &matching_id), indirect()).await;
            for _ in 0..4 {
                device.session().await;
                world.advance(TimeDelta::hours(1)).await;
            }
            succeeded(world, &id, &device, number).await;
        }
        smdp.stop().await;
    });
}

/// The installation result of a download that the eIM ran, inside BF54: the IPA has not talked to the SM-DP+.
#[test]
fn an_installation_result_in_the_trigger_result_of_an_indirect_download_is_forwarded() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "IN-RESULT", 1));
        let mut device = thin(world, 1).await;
        device.ipa.behaviour.download_options.pir_in_result = true;
        let id = world.download(&device, &code_of(&smdp, "IN-RESULT"), indirect()).await;
        device.session().await;
        succeeded(world, &id, &device, 1).await;
        world.forwarded().await;
        assert_eq!(smdp.notifications(), [device.ipa.last_download().unwrap().pir.clone().unwrap()]);
        assert_eq!(smdp.order_state("IN-RESULT"), Some(OrderState::Installed));
        smdp.stop().await;
    });
}

#[test]
fn a_download_broken_off_after_any_step_is_resumed_at_a_later_poll() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        let steps = [
            DownloadStep::Trigger,
            DownloadStep::InitiateAuthentication,
            DownloadStep::AuthenticateServer,
            DownloadStep::AuthenticateClient,
            DownloadStep::PrepareDownload,
            DownloadStep::GetBoundProfilePackage,
        ];
        for (number, step) in (1..).zip(steps) {
            let matching_id = format!("BROKEN-{number}");
            smdp.add_order(order(&smdp, &matching_id, number));
            let mut device = thin(world, number).await;
            introduce(world, &mut device).await;
            let id = world.download(&device, &code_of(&smdp, &matching_id), indirect()).await;
            device.ipa.behaviour.download_options.stop_after = Some(step);
            let first = trigger(&device.session().await).clone();
            assert!(device.ipa.last_download().unwrap().stopped);
            assert_eq!(world.operation(&id).await["state"], "delivered", "{step:?}");
            device.ipa.behaviour.download_options.stop_after = None;
            device.ipa.disconnect();
            world.advance(TimeDelta::minutes(11)).await;
            let again = trigger(&device.session().await).clone();
            assert_eq!(first, again, "the same octets, so the same eimTransactionId");
            succeeded(world, &id, &device, number).await;
        }
        // installed, and the result comes late
        smdp.add_order(order(&smdp, "BROKEN-LATE", 20));
        let mut device = thin(world, 20).await;
        let id = world.download(&device, &code_of(&smdp, "BROKEN-LATE"), indirect()).await;
        device.ipa.behaviour.download_options.stop_after = Some(DownloadStep::Install);
        device.session().await;
        world.advance(TimeDelta::seconds(30)).await;
        device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
        succeeded(world, &id, &device, 20).await;
        world.forwarded().await;
        assert_eq!(smdp.order_state("BROKEN-LATE"), Some(OrderState::Installed));
        smdp.stop().await;
    });
}

/// 01 1.7: the reason goes to the SM-DP+; postponed(1) and timeout(2) leave the order downloadable, the others end it.
#[test]
fn a_cancelled_session_ends_or_postpones_the_download_by_its_reason() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        for (number, reason) in (1..).zip([0, 1, 2, 3, 4, 5, 127]) {
            let matching_id = format!("CANCEL-{number}");
            smdp.add_order(order(&smdp, &matching_id, number));
            let mut device = thin(world, number).await;
            let id = world.download(&device, &code_of(&smdp, &matching_id), indirect()).await;
            device.ipa.behaviour.download_options.cancel_with = Some(reason);
            device.session().await;
            let cancellation = device.ipa.last_download().unwrap().cancellation.clone().unwrap();
            assert_eq!((cancellation.reason, cancellation.error), (reason, None));
            assert_eq!(smdp.order_state(&matching_id), Some(OrderState::Cancelled(reason)));
            let operation = world.operation(&id).await;
            if matches!(reason, 1 | 2) {
                assert_eq!(operation["state"], "queued", "{reason}: {operation}");
                device.ipa.behaviour.download_options.cancel_with = None;
                world.advance(TimeDelta::hours(7)).await;
                device.session().await;
                succeeded(world, &id, &device, number).await;
                assert_eq!(world.operation(&id).await["error"], Value::Null);
            } else {
                assert_eq!(operation["state"], "failed", "{reason}: {operation}");
                assert_eq!(operation["error"]["code"], reason, "{operation}");
                world.advance(TimeDelta::hours(7)).await;
                assert_eq!(device.session().await.polls.len(), 1, "nothing is sent again");
            }
            assert_eq!(count(&smdp, "cancelSession") as u32, number);
        }
        smdp.stop().await;
    });
}

/// CT-ES9BPP-01..04, CT-ES9AC-02, RL-12: with and without PPK, without a confirmation code, with one of the eIM or the IPA.
#[test]
fn packages_with_and_without_ppk_and_confirmation_code_are_installed() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        let mut number = 0;
        for keys in [false, true] {
            for (by_eim, by_ipa) in [(None, None), (Some("12 34"), None), (None, Some("12 34"))] {
                number += 1;
                let matching_id = format!("BPP-{number}");
                let mut order = order(&smdp, &matching_id, number);
                order.protection_keys = keys;
                order.confirmation_code = by_eim.or(by_ipa).map(str::to_owned);
                smdp.add_order(order);
                let mut device = thin(world, number).await;
                device.ipa.behaviour.download_options.confirmation_code = by_ipa.map(Into::into);
                let mut more = indirect();
                if let Some(code) = by_eim {
                    more["confirmationCode"] = json!(code);
                }
                let id = world.download(&device, &code_of(&smdp, &matching_id), more).await;
                device.session().await;
                succeeded(world, &id, &device, number).await;
                let outcome = device.ipa.last_download().unwrap();
                let expected = by_eim.map(|code| hash_cc(code, outcome.transaction_id.as_ref().unwrap()));
                assert_eq!(outcome.eim_hash_cc, expected, "hashCc of the eIM where it holds the code, and only there");
            }
        }
        smdp.stop().await;
    });
}

/// RL-12: a code of the eIM is for an order that asks for one; a wrong and a missing one are refused with 3 and 2.
#[test]
fn a_wrong_or_missing_confirmation_code_is_told_to_the_device_and_to_the_operator() {
    embedded(async |world: &mut World| {
        let smdp = world.smdp().await;
        for (number, code, expected) in [(1, Some("wrong"), 3), (2, None, 2)] {
            let matching_id = format!("CC-{number}");
            smdp.add_order(order(&smdp, &matching_id, number).with_confirmation_code("right"));
            let mut device = thin(world, number).await;
            let mut more = indirect();
            if let Some(code) = code {
                more["confirmationCode"] = json!(code);
            }
            let id = world.download(&device, &code_of(&smdp, &matching_id), more).await;
            device.session().await;
            let outcome = device.ipa.last_download().unwrap();
            assert_eq!(outcome.error_code(), Some((DownloadStep::GetBoundProfilePackage, expected)), "{outcome:?}");
            let operation = world.operation(&id).await;
            assert_eq!((&operation["state"], &operation["error"]["code"]), (&json!("failed"), &json!(expected)));
            assert!(!operation.to_string().contains("\"wrong\""), "{operation}");
        }
        smdp.add_order(order(&smdp, "CC-UNASKED", 9));
        let mut device = thin(world, 9).await;
        let more = json!({ "indirect": true, "confirmationCode": "unasked" });
        let id = world.download(&device, &code_of(&smdp, "CC-UNASKED"), more).await;
        device.session().await;
        assert_eq!(device.ipa.last_download().unwrap().eim_hash_cc, None);
        succeeded(world, &id, &device, 9).await;
        smdp.stop().await;
    });
}

#[test]
fn two_orders_for_one_device_are_carried_out_one_after_the_other() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        let mut device = thin(world, 1).await;
        let mut ids = Vec::new();
        for number in [1, 2] {
            smdp.add_order(order(&smdp, &format!("SEQUENCE-{number}"), number));
            ids.push(world.download(&device, &code_of(&smdp, &format!("SEQUENCE-{number}")), indirect()).await);
        }
        device.ipa.behaviour.download_options.stop_after = Some(DownloadStep::AuthenticateClient);
        device.session().await;
        assert_eq!(world.operation(&ids[1]).await["state"], "queued", "one at a time");
        device.ipa.behaviour.download_options.stop_after = None;
        world.advance(TimeDelta::minutes(11)).await;
        device.session().await;
        for (id, number) in ids.iter().zip([1, 2]) {
            succeeded(world, id, &device, number).await;
        }
        device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
        world.forwarded().await;
        assert_eq!(smdp.notifications().len(), 4);
        smdp.stop().await;
    });
}

#[test]
fn a_package_in_flight_and_a_download_do_not_hold_each_other_up() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        let mut device = thin(world, 1).await;
        introduce(world, &mut device).await;
        smdp.add_order(order(&smdp, "BESIDE-1", 1));
        let package = world.queue(&device.eid(), device.enable(2, false)).await;
        let sent = device.fetch().await;
        let id = world.download(&device, &code_of(&smdp, "BESIDE-1"), indirect()).await;
        let poll = device.poll().await;
        assert!(matches!(poll.package, Package::DownloadTrigger(_)), "{:?}", poll.package);
        succeeded(world, &id, &device, 1).await;
        let session = device.session().await;
        let package_sent = Tlv::only(&sent).unwrap().content;
        assert_eq!(session.polls[0].request(), Some(package_sent), "the same octets again");
        assert_eq!(world.operation(&package).await["state"], "succeeded");

        smdp.add_order(order(&smdp, "BESIDE-2", 2));
        let id = world.download(&device, &code_of(&smdp, "BESIDE-2"), indirect()).await;
        device.ipa.behaviour.download_options.stop_after = Some(DownloadStep::AuthenticateClient);
        device.session().await;
        let package = world.queue(&device.eid(), device.enable(3, false)).await;
        device.ipa.behaviour.download_options.stop_after = None;
        device.session().await;
        assert_eq!(world.operation(&package).await["state"], "succeeded");
        world.advance(TimeDelta::minutes(11)).await;
        device.session().await;
        succeeded(world, &id, &device, 2).await;
        smdp.stop().await;
    });
}

// Sessions

/// The same transactionId at two servers whose object identifiers differ.
async fn colliding(world: &World) -> [SmdpServer; 2] {
    let options = |oid: &str, seed| SmdpOptions { oid: oid.to_owned(), seed, ..SmdpOptions::default() };
    let servers = [world.smdp_with(options("2.999.10", 1)).await, world.smdp_with(options("2.999.11", 3)).await];
    for server in &servers {
        server.set_faults(SmdpFaults { fixed_transaction_id: Some(vec![0xab; 16]), ..SmdpFaults::none() });
    }
    servers
}

/// RL-03.
#[test]
fn one_transaction_id_of_two_servers_means_two_sessions_of_two_devices() {
    modes(async |world: &mut World| {
        let [one, two] = colliding(world).await;
        one.add_order(order(&one, "COLLISION-1", 1));
        two.add_order(order(&two, "COLLISION-2", 2));
        let (mut first, mut second) = (thin(world, 1).await, thin(world, 2).await);
        let id_1 = world.download(&first, &code_of(&one, "COLLISION-1"), indirect()).await;
        let id_2 = world.download(&second, &code_of(&two, "COLLISION-2"), indirect()).await;
        first.ipa.behaviour.download_options.stop_after = Some(DownloadStep::AuthenticateServer);
        first.session().await;
        // the first has a session, and nothing but its transactionId tells the second's from it
        second.ipa.behaviour.download_options.stop_after = Some(DownloadStep::Install);
        second.session().await;
        assert!(second.ipa.last_download().unwrap().is_installed());
        assert_eq!(count(&one, "authenticateClient"), 0);
        assert_eq!(count(&two, "getBoundProfilePackage"), 1);
        first.ipa.behaviour.download_options.stop_after = None;
        world.advance(TimeDelta::minutes(11)).await;
        first.session().await;
        succeeded(world, &id_1, &first, 1).await;
        assert_eq!(world.operation(&id_2).await["state"], "delivered");
        // on a connection on which nobody has polled
        second.ipa.disconnect();
        second.ipa.deliver_notifications(&mut second.euicc).await.unwrap();
        succeeded(world, &id_2, &second, 2).await;
        first.ipa.deliver_notifications(&mut first.euicc).await.unwrap();
        world.forwarded().await;
        assert_eq!((one.notifications().len(), two.notifications().len()), (2, 2));
        one.stop().await;
        two.stop().await;
    });
}

/// RL-03: also where one device meets both servers. The OID in the result tells whose it is.
#[test]
fn one_transaction_id_of_two_servers_means_two_sessions_of_one_device() {
    each_mode(async |world: &mut World| {
        let [one, two] = colliding(world).await;
        one.add_order(order(&one, "COLLISION-1", 1));
        two.add_order(order(&two, "COLLISION-2", 2));
        let mut device = thin(world, 1).await;
        let id_1 = world.download(&device, &code_of(&one, "COLLISION-1"), indirect()).await;
        device.ipa.behaviour.download_options.stop_after = Some(DownloadStep::Install);
        device.session().await;
        let late = device.ipa.last_download().unwrap().pir.clone().unwrap();
        // the result did not come, and the operator gives the first one up
        let reply = world.post(&format!("/api/v1/operations/{id_1}/abandon"), Value::Null).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let id_2 = world.download(&device, &code_of(&two, "COLLISION-2"), indirect()).await;
        device.ipa.behaviour.download_options.stop_after = Some(DownloadStep::AuthenticateClient);
        device.session().await;
        assert!(device.ipa.last_download().unwrap().stopped);
        device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
        let operation = world.operation(&id_2).await;
        assert_eq!(
            operation["state"], "delivered",
            "the result of the other server's profile is not its own: {operation}"
        );
        let first = world.operation(&id_1).await;
        assert_eq!(first["lateResult"]["results"][0]["value"]["iccid"], digits(1), "{first}");
        device.ipa.behaviour.download_options.stop_after = None;
        world.advance(TimeDelta::minutes(11)).await;
        device.session().await;
        succeeded(world, &id_2, &device, 2).await;
        device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
        world.forwarded().await;
        assert!(one.notifications().contains(&late), "forwarded by its address");
        assert_eq!((one.notifications().len(), two.notifications().len()), (2, 2));
        one.stop().await;
        two.stop().await;
    });
}

/// RL-04.
#[test]
fn a_session_is_of_no_use_to_another_euicc() {
    embedded(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "MINE", 1));
        let (mut owner, mut thief) = (thin(world, 1).await, thin(world, 2).await);
        thief.session().await;
        let id = world.download(&owner, &code_of(&smdp, "MINE"), indirect()).await;
        let key = thief.euicc.identity().key.clone();
        let identity = thief.euicc.identity().clone();
        let sign = |message: &[u8]| element(0x5f37, &[&key.sign_deterministic(message)]);

        owner.ipa.behaviour.download_options.stop_after = Some(DownloadStep::AuthenticateServer);
        owner.session().await;
        let outcome = owner.ipa.last_download().unwrap().clone();
        let transaction = element(0x80, &[outcome.transaction_id.as_ref().unwrap()]);
        let bf38 = outcome.full_authenticate_server_response.clone().unwrap();
        let signed1 = Tlv::only(&bf38).unwrap().child(0xa0).unwrap().child(0x30).unwrap().octets.to_vec();
        let parts = [&signed1[..], &sign(&signed1), &identity.certificate, &identity.eum_certificate];
        let stolen = element(0xbf38, &[&element(0xa0, &parts)]);
        let answer = thief.send(Function::AuthenticateClient, &element(0xbf3b, &[&transaction, &stolen])).await;
        assert_eq!(refused_with(&answer.response, 0x82), 10, "invalidTransactionId");
        assert_eq!(count(&smdp, "authenticateClient"), 0, "nothing reaches the SM-DP+");

        owner.ipa.behaviour.download_options.stop_after = Some(DownloadStep::PrepareDownload);
        world.advance(TimeDelta::minutes(11)).await;
        owner.session().await;
        let outcome = owner.ipa.last_download().unwrap().clone();
        let transaction_id = outcome.transaction_id.clone().unwrap();
        let transaction = element(0x80, &[&transaction_id]);
        let bf21 = outcome.prepare_download_response.clone().unwrap();
        let signed2 = Tlv::only(&bf21).unwrap().child(0xa0).unwrap().child(0x30).unwrap().octets.to_vec();
        let stolen = element(0xbf21, &[&element(0xa0, &[&signed2, &sign(&signed2)])]);
        let answer = thief.send(Function::GetBoundProfilePackage, &element(0xbf3a, &[&transaction, &stolen])).await;
        let package = refused_with(&answer.response, 0x81);
        let oid: Oid = smdp.oid().parse().unwrap();
        let signed = element(0x30, &[&transaction, &element(0x81, &[oid.octets()]), &integer(0x82, 0)]);
        let arm = element(0xa1, &[&element(0xa0, &[&signed, &sign(&signed)])]);
        let answer = thief.send(Function::CancelSession, &element(0xbf41, &[&transaction, &arm])).await;
        let cancel = refused_with(&answer.response, 0x81);
        assert_eq!((count(&smdp, "getBoundProfilePackage"), count(&smdp, "cancelSession")), (0, 0));

        owner.ipa.behaviour.download_options.stop_after = None;
        world.advance(TimeDelta::minutes(21)).await;
        owner.session().await;
        succeeded(world, &id, &owner, 1).await;
        assert_eq!((package, cancel), (95, 1), "invalidTransactionId in the words of each function");
        smdp.stop().await;
    });
}

// Policy rules

/// `[{"pprIds", "allowedOperators", "pprFlags"}]` with one rule.
fn rule(pprs: &[&str], operator: &Value) -> Value {
    json!({ "pprIds": pprs, "allowedOperators": [operator], "pprFlags": [] })
}

/// RL-11, CT-ES9CS-01: with a table that is known the eIM refuses before the bound package travels, and the IPA cancels.
#[test]
fn policy_rules_are_checked_against_the_table_before_the_package_travels() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        let own = json!({ "mccMnc": "09f107" });
        let any = json!({ "mccMnc": "eeeeee" });
        let group = json!({ "mccMnc": "09f107", "gid1": "01" });
        let rows = [
            ("the owner", vec![rule(&["ppr2"], &own)], true),
            ("any operator", vec![rule(&["ppr2"], &any)], true),
            ("a wildcard digit", vec![rule(&["ppr2"], &json!({ "mccMnc": "e9fee8" }))], false),
            ("wildcard digits", vec![rule(&["ppr2"], &json!({ "mccMnc": "0ef1e7" }))], true),
            ("the second rule", vec![rule(&["ppr1"], &any), rule(&["ppr1", "ppr2"], &own)], true),
            ("another rule", vec![rule(&["ppr1"], &any)], false),
            ("another owner", vec![rule(&["ppr2"], &json!({ "mccMnc": "130014" }))], false),
            ("a group", vec![rule(&["ppr2"], &group)], false),
            ("an empty table", vec![], false),
        ];
        for (number, (what, table, allowed)) in (1..).zip(rows) {
            let matching_id = format!("PPR-{number}");
            let rules = PprIds::of([2]).unwrap();
            smdp.add_order(order(&smdp, &matching_id, number).with_rules(rules, [0x09, 0xf1, 0x07]));
            let mut device = thin(world, number).await;
            device.euicc.rules_authorisation_table = serde_json::from_value(json!(table)).unwrap();
            introduce(world, &mut device).await;
            let rat = world.queue(&device.eid(), json!({ "psmo": [{ "getRAT": {} }] })).await;
            device.session().await;
            assert_eq!(world.operation(&rat).await["state"], "succeeded");
            let before = count(&smdp, "getBoundProfilePackage");
            let id = world.download(&device, &code_of(&smdp, &matching_id), indirect()).await;
            device.session().await;
            if allowed {
                succeeded(world, &id, &device, number).await;
                continue;
            }
            refused_for_policy(world, &smdp, &device, &matching_id, &id, what).await;
            assert_eq!(count(&smdp, "getBoundProfilePackage"), before, "{what}");
        }
        smdp.stop().await;
    });
}

async fn refused_for_policy(
    world: &World,
    smdp: &SmdpServer,
    device: &Device,
    matching_id: &str,
    id: &str,
    what: &str,
) {
    let outcome = device.ipa.last_download().unwrap();
    assert_eq!(outcome.error_code(), Some((DownloadStep::AuthenticateClient, 50)), "{what}: {outcome:?}");
    assert_eq!(smdp.order_state(matching_id), Some(OrderState::Cancelled(3)), "{what}");
    let operation = world.operation(id).await;
    assert_eq!(
        (&operation["state"], &operation["error"]["name"]),
        (&json!("failed"), &json!("pprNotAllowed")),
        "{what}"
    );
}

/// RL-11: forbidden by EUICCInfo2; PPR1 beside an operational profile. Both need no table.
#[test]
fn forbidden_rules_and_ppr1_beside_an_operational_profile_are_refused() {
    embedded(async |world: &mut World| {
        let smdp = world.smdp().await;
        for (number, ppr) in [(1, 2), (2, 1)] {
            let matching_id = format!("FORBIDDEN-{number}");
            let rules = PprIds::of([ppr]).unwrap();
            smdp.add_order(order(&smdp, &matching_id, number).with_rules(rules, [0x09, 0xf1, 0x07]));
            let mut device = thin(world, number).await;
            let table = json!([rule(&["ppr1", "ppr2"], &json!({ "mccMnc": "eeeeee" }))]);
            device.euicc.rules_authorisation_table = serde_json::from_value(table).unwrap();
            if ppr == 2 {
                device.euicc.forbidden_profile_policy_rules = PprIds::of([2]).unwrap();
            }
            introduce(world, &mut device).await;
            world.list(&mut device).await;
            let id = world.download(&device, &code_of(&smdp, &matching_id), indirect()).await;
            device.session().await;
            refused_for_policy(world, &smdp, &device, &matching_id, &id, "without a table").await;
            assert_eq!(count(&smdp, "getBoundProfilePackage"), 0);
        }
        smdp.stop().await;
    });
}

/// RL-11: a table that was never read. An IPA that leaves the check to the eIM gets no package; the eUICC of another one
/// decides by itself, and its word is passed on.
#[test]
fn an_unknown_table_is_decided_by_who_verifies_the_metadata() {
    embedded(async |world: &mut World| {
        let smdp = world.smdp().await;
        let any = json!([rule(&["ppr2"], &json!({ "mccMnc": "eeeeee" }))]);
        for (number, features, table) in
            [(1, &THIN_IPA[..], &any), (2, &[INDIRECT], &any), (3, &[INDIRECT], &json!([]))]
        {
            let matching_id = format!("UNREAD-{number}");
            let rules = PprIds::of([2]).unwrap();
            smdp.add_order(order(&smdp, &matching_id, number).with_rules(rules, [0x09, 0xf1, 0x07]));
            let mut device = world.downloading_device(number, DownloadMode::Indirect, features).await;
            device.euicc.rules_authorisation_table = serde_json::from_value(table.clone()).unwrap();
            introduce(world, &mut device).await;
            let id = world.download(&device, &code_of(&smdp, &matching_id), indirect()).await;
            device.session().await;
            match number {
                1 => refused_for_policy(world, &smdp, &device, &matching_id, &id, "not read").await,
                2 => succeeded(world, &id, &device, number).await,
                _ => {
                    let operation = world.operation(&id).await;
                    assert_eq!((&operation["state"], &operation["error"]["code"]), (&json!("failed"), &json!(15)));
                    assert_eq!(operation["verified"], true, "{operation}");
                    world.forwarded().await;
                    assert_eq!(smdp.order_state(&matching_id), Some(OrderState::Failed));
                }
            }
        }
        smdp.stop().await;
    });
}

/// CT-ES9CS-02, 03: what the IPA cannot load is cancelled with its reason; CT-ES9HN-06, what the eUICC does not install is
/// reported and forwarded.
#[test]
fn a_package_that_is_not_installed_fails_the_download_and_the_server_learns_it() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "BAD-MAC", 1));
        let mut device = thin(world, 1).await;
        smdp.set_faults(SmdpFaults { corrupt_bpp_mac: true, ..SmdpFaults::none() });
        let id = world.download(&device, &code_of(&smdp, "BAD-MAC"), indirect()).await;
        device.session().await;
        smdp.set_faults(SmdpFaults::none());
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["verified"]), (&json!("failed"), &json!(true)), "{operation}");
        world.forwarded().await;
        assert_eq!(smdp.order_state("BAD-MAC"), Some(OrderState::Failed));

        smdp.add_order(order(&smdp, "NO-ROOM", 2));
        let mut device = thin(world, 2).await;
        device.euicc.faults.install_error = Some((5, 10));
        let id = world.download(&device, &code_of(&smdp, "NO-ROOM"), indirect()).await;
        device.session().await;
        assert!(device.euicc.notifications().is_empty(), "nothing was installed");
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["error"]["code"]), (&json!("failed"), &json!(10)), "{operation}");
        assert!(world.profiles(&device.eid()).await.is_empty());
        world.forwarded().await;
        assert_eq!(smdp.order_state("NO-ROOM"), Some(OrderState::Failed));
        assert_eq!(smdp.notifications().len(), 2, "one failed result of each, and nothing else");

        smdp.add_order(order(&smdp, "LOAD-ERROR", 3));
        let mut device = thin(world, 3).await;
        device.ipa.behaviour.download_options.cancel_with = Some(5);
        world.download(&device, &code_of(&smdp, "LOAD-ERROR"), indirect()).await;
        device.session().await;
        assert_eq!(smdp.order_state("LOAD-ERROR"), Some(OrderState::Cancelled(5)));
        smdp.stop().await;
    });
}

// SM-DS

/// A second, third, .. SM-DS of the world.
async fn further_smds(world: &World, seed: u64) -> SmdsServer {
    let options = SmdsOptions { oid: format!("2.999.{}", 15 + seed), seed, ..SmdsOptions::default() };
    SmdsServer::start(&world.pki, options).await.unwrap()
}

/// RL-13, CT-ES11IA-01, CT-ES11AC-01: none, one, many events; with an address and with that of the root SM-DS.
#[test]
fn each_event_of_an_sm_ds_becomes_a_download() {
    modes(async |world: &mut World| {
        let (smdp, smds) = (world.smdp().await, world.smds().await);
        let mut profile = 0;
        for (index, events, features, named) in
            [(1, 0, &THIN_IPA[..], true), (2, 1, &THIN_IPA, false), (3, 3, &THIN_IPA, true), (4, 3, &[INDIRECT], false)]
        {
            let mut device = world.downloading_device(index, DownloadMode::Indirect, features).await;
            device.euicc.root_smds_address = Some(smds.address());
            introduce(world, &mut device).await;
            let mut expected = Vec::new();
            for _ in 0..events {
                profile += 1;
                let event = format!("EVENT-{profile}");
                smdp.add_order(order(&smdp, &event, profile));
                smds.register_event(device.euicc.eid(), &event, &smdp.address());
                expected.push(digits(profile));
            }
            let source = if named { json!({ "address": smds.address() }) } else { json!({}) };
            let body = json!({ "profileDownload": { "smds": source, "indirect": true } });
            let id = world.queue(&device.eid(), body).await;
            device.session().await;
            let operation = world.operation(&id).await;
            if events == 0 {
                assert_eq!((&operation["state"], &operation["error"]["name"]), (&json!("failed"), &json!("noEvent")));
                continue;
            }
            assert_eq!(operation["state"], "succeeded", "{operation}");
            let downloads = operation["results"][0]["value"]["operations"].as_array().unwrap().clone();
            assert_eq!(downloads.len(), events);
            for download in &downloads {
                let download = world.operation(download.as_str().unwrap()).await;
                assert_eq!(download["state"], "succeeded", "{download}");
                assert!(!download.to_string().contains("EVENT-"), "an event identifier is as secret as a code");
            }
            let disabled: Vec<String> =
                world.profiles(&device.eid()).await.into_iter().map(|(iccid, _)| iccid).collect();
            assert!(expected.iter().all(|iccid| disabled.contains(iccid)), "{disabled:?}");
        }
        smdp.stop().await;
        smds.stop().await;
    });
}

/// 1.5: the IPA asks the SM-DS itself.
#[test]
fn an_sm_ds_is_asked_directly_by_an_ipa_that_can() {
    each_mode(async |world: &mut World| {
        let (smdp, smds) = (world.smdp().await, world.smds().await);
        for (number, source) in [(1, json!({ "address": smds.address() })), (2, json!({}))] {
            let mut device = able(world, number).await;
            device.euicc.root_smds_address = Some(smds.address());
            let event = format!("DIRECT-EVENT-{number}");
            smdp.add_order(order(&smdp, &event, number));
            smds.register_event(device.euicc.eid(), &event, &smdp.address());
            let body = json!({ "profileDownload": { "smds": source, "indirect": false } });
            let id = world.queue(&device.eid(), body).await;
            device.session().await;
            succeeded(world, &id, &device, number).await;
            assert_eq!(world.notifications(&format!("eid={}", device.eid())).await, Vec::<Value>::new());
        }
        smdp.stop().await;
        smds.stop().await;
    });
}

/// CT-ES11AC-02 and RL-13: an event that points to another SM-DS is looked up there by its EventID.
#[test]
fn an_event_at_another_sm_ds_is_followed() {
    each_mode(async |world: &mut World| {
        let (smdp, one, two) = (world.smdp().await, world.smds().await, further_smds(world, 3).await);
        let mut device = thin(world, 1).await;
        introduce(world, &mut device).await;
        let eid = device.euicc.eid();
        one.register_event(eid, "CASCADE", &two.address());
        two.register_event(eid, "CASCADE", &smdp.address());
        two.register_event(eid, "NOT-MEANT", "unrelated.example");
        smdp.add_order(order(&smdp, "CASCADE", 1));
        let body = json!({ "profileDownload": { "smds": { "address": one.address() }, "indirect": true } });
        world.queue(&device.eid(), body).await;
        device.session().await;
        let operations = world.operations(&device.eid()).await;
        assert!(device.euicc.profile(&new_iccid(1)).is_some(), "{operations:#?}");
        let states: Vec<&Value> = operations.iter().map(|operation| &operation["state"]).collect();
        assert!(states.iter().all(|state| **state == "succeeded"), "{operations:#?}");
        assert_eq!(operations.iter().filter(|operation| operation["kind"] == "profileDownload").count(), 3);
        smdp.stop().await;
        one.stop().await;
        two.stop().await;
    });
}

/// RL-13: a loop and an endless chain end, and say so.
#[test]
fn a_circle_and_a_long_chain_of_sm_ds_end() {
    embedded(async |world: &mut World| {
        let mut chain = vec![world.smds().await];
        for seed in 3..9 {
            chain.push(further_smds(world, seed).await);
        }
        for (index, circle) in [(1, true), (2, false)] {
            let mut device = thin(world, index).await;
            introduce(world, &mut device).await;
            let eid = device.euicc.eid();
            for at in 0..chain.len() {
                let next = if circle { &chain[(at + 1) % 2] } else { &chain[(at + 1).min(chain.len() - 1)] };
                chain[at].register_event(eid, "ROUND", &next.address());
            }
            let before: usize = chain.iter().map(|smds| smds.calls().len()).sum();
            let body = json!({ "profileDownload": { "smds": { "address": chain[0].address() }, "indirect": true } });
            world.queue(&device.eid(), body).await;
            device.session().await;
            world.advance(TimeDelta::days(2)).await;
            device.session().await;
            let calls: usize = chain.iter().map(|smds| smds.calls().len()).sum::<usize>() - before;
            assert!(calls <= 10, "bounded: {calls} calls");
            let operations = world.operations(&device.eid()).await;
            let last = operations.iter().rfind(|operation| operation["kind"] == "profileDownload").unwrap();
            assert_eq!(last["state"], "failed", "{last}");
            assert!(last["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
        }
        for smds in chain {
            smds.stop().await;
        }
    });
}

// Notifications

/// CT-ES9HN-02, 03, 05, 09: installation, enabling, disabling and deletion to the addresses of the profile, in order.
#[test]
fn every_notification_goes_once_and_in_order_to_its_own_address() {
    modes(async |world: &mut World| {
        let (a, b, c) = (world.smdp().await, world.smdp().await, world.smdp().await);
        let of = |event, server: &SmdpServer| (NotificationEvent::of([event]).unwrap(), server.address());
        let mut order_ = order(&a, "ADDRESSES", 1);
        order_.notification_addresses = vec![of(0, &b), of(1, &b), of(2, &c), of(3, &a), of(3, &c)];
        a.add_order(order_);
        let mut device = thin(world, 1).await;
        device.euicc.profile_mut(&device.raw_iccid(1)).unwrap().notification_targets.clear();
        world.list(&mut device).await;
        let id = world.download(&device, &code_of(&a, "ADDRESSES"), indirect()).await;
        device.session().await;
        succeeded(world, &id, &device, 1).await;
        let pir = device.ipa.last_download().unwrap().pir.clone().unwrap();
        let mut given = Vec::new();
        for command in [
            json!({ "enable": { "iccid": digits(1) } }),
            json!({ "disable": { "iccid": digits(1) } }),
            json!({ "delete": { "iccid": digits(1) } }),
        ] {
            given.extend(device.euicc.notifications().iter().map(|found| found.octets.clone()));
            device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
            let id = world.queue_anyway(&device.eid(), json!({ "psmo": [command] })).await;
            device.session().await;
            assert_eq!(world.operation(&id).await["state"], "succeeded");
        }
        given.extend(device.euicc.notifications().iter().map(|found| found.octets.clone()));
        device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
        assert_eq!(given.len(), 5, "install, enable, disable, and delete twice");
        world.forwarded().await;
        assert_eq!(a.notifications(), [pir, given[3].clone()]);
        assert_eq!(b.notifications(), [given[0].clone(), given[1].clone()]);
        assert_eq!(c.notifications(), [given[2].clone(), given[4].clone()]);
        for server in [a, b, c] {
            server.stop().await;
        }
    });
}

/// CT-BEH-EN-03, 04, CT-ES9HN-04: two notifications to two addresses, by either function, beside the result or alone.
#[test]
fn a_switch_tells_both_profiles_servers() {
    modes(async |world: &mut World| {
        let (old, new) = (world.smdp().await, world.smdp().await);
        for (number, delivery, beside) in [
            (1, Delivery::ProvideEimPackageResult, true),
            (2, Delivery::ProvideEimPackageResult, false),
            (3, Delivery::HandleNotification, false),
        ] {
            let matching_id = format!("SWITCH-{number}");
            new.add_order(order(&new, &matching_id, number));
            let mut device = thin(world, number).await;
            let target = &mut device.euicc.profile_mut(&device.raw_iccid(1)).unwrap().notification_targets[0];
            target.address = old.address();
            world.list(&mut device).await;
            world.download(&device, &code_of(&new, &matching_id), indirect()).await;
            device.session().await;
            device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
            world.forwarded().await;
            let (before_old, before_new) = (old.notifications().len(), new.notifications().len());
            device.ipa.behaviour.delivery = delivery;
            device.ipa.behaviour.with_notifications = beside;
            let id = world.queue(&device.eid(), json!({ "psmo": [{ "enable": { "iccid": digits(number) } }] })).await;
            let package = device.poll().await;
            if beside {
                let Some(Answer::Acknowledged(numbers)) = &package.answer else { panic!("{:?}", package.answer) };
                assert_eq!(numbers.len(), 3, "the result and two notifications: {numbers:?}");
            } else {
                device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
            }
            assert!(device.euicc.notifications().is_empty());
            device.poll().await;
            assert_eq!(world.operation(&id).await["state"], "succeeded");
            assert_eq!(world.enabled(&device.eid()).await, [digits(number)]);
            world.forwarded().await;
            assert_eq!(old.notifications().len(), before_old + 1, "disabled");
            assert_eq!(new.notifications().len(), before_new + 1, "enabled");
        }
        old.stop().await;
        new.stop().await;
    });
}

/// CT-ES9HN-08 and the row "no acknowledge of the result": nothing further is sent before it is taken.
#[test]
fn a_notification_that_is_not_acknowledged_holds_up_the_later_ones_of_its_euicc() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "UNTAKEN", 1));
        let mut device = thin(world, 1).await;
        smdp.set_faults(SmdpFaults { unacknowledged_notifications: 1, ..SmdpFaults::none() });
        world.download(&device, &code_of(&smdp, "UNTAKEN"), indirect()).await;
        device.session().await;
        let eid = device.eid();
        let first = async || world.notifications(&format!("eid={eid}")).await.remove(0);
        world.until("the first attempt", async || first().await["attempts"] == 1).await;
        let seen = first().await;
        assert_eq!(seen["state"], "pending");
        assert!(seen["lastError"].is_string() && seen["nextAttemptAt"].is_string(), "{seen}");
        let mut expected = vec![device.ipa.last_download().unwrap().pir.clone().unwrap()];
        expected.extend(device.euicc.notifications().iter().map(|found| found.octets.clone()));
        device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
        assert_eq!(count(&smdp, "handleNotification"), 1, "nothing overtakes it");
        assert_eq!(world.notifications(&format!("eid={eid}&state=pending")).await.len(), 2);
        world.advance(TimeDelta::minutes(10)).await;
        world.forwarded().await;
        assert_eq!(smdp.notifications(), expected);
        smdp.stop().await;
    });
}

/// A way to a server that can be closed: then every connection breaks off at once.
struct Gate {
    address: String,
    open: Arc<AtomicBool>,
    turned_away: Arc<AtomicUsize>,
}

impl Gate {
    /// A closed gate before this server.
    async fn before(smdp: &SmdpServer) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("localhost:{}", listener.local_addr().unwrap().port());
        let (open, turned_away) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (is_open, turned, socket) = (open.clone(), turned_away.clone(), smdp.socket());
        tokio::spawn(async move {
            while let Ok((mut inside, _)) = listener.accept().await {
                if !is_open.load(Ordering::SeqCst) {
                    turned.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                tokio::spawn(async move {
                    let mut outside = tokio::net::TcpStream::connect(socket).await.unwrap();
                    drop(tokio::io::copy_bidirectional(&mut inside, &mut outside).await);
                });
            }
        });
        Self { address, open, turned_away }
    }

    fn attempts(&self) -> usize {
        self.turned_away.load(Ordering::SeqCst)
    }
}

/// RL-07.
#[test]
fn notifications_for_an_unreachable_address_wait_for_days_and_hold_up_nobody() {
    each_mode(async |world: &mut World| {
        let (smdp, far) = (world.smdp().await, world.smdp().await);
        let gate = Gate::before(&far).await;
        let mut order_ = order(&smdp, "FAR", 1);
        order_.notification_addresses = vec![(NotificationEvent::of([0]).unwrap(), gate.address.clone())];
        smdp.add_order(order_);
        let mut device = thin(world, 1).await;
        world.download(&device, &code_of(&smdp, "FAR"), indirect()).await;
        device.session().await;
        let sent: Vec<Vec<u8>> = device.euicc.notifications().iter().map(|found| found.octets.clone()).collect();
        device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
        world.until("the other address has its own", async || smdp.notifications().len() == 1).await;
        world.until("the first attempt", async || gate.attempts() > 0).await;
        for day in 1..=3 {
            let before = gate.attempts();
            world.advance(TimeDelta::days(1)).await;
            world.until("it is tried again", async || gate.attempts() > before).await;
            let waiting = world.notifications("state=pending").await;
            assert_eq!(waiting.len(), 1, "day {day}");
            assert_eq!(waiting[0]["notificationAddress"], gate.address);
        }
        assert!(gate.attempts() < 20, "with back-off: {}", gate.attempts());
        let waiting = world.notifications("state=pending").await.remove(0);
        assert!(waiting["lastError"].is_string(), "why it waits is visible: {waiting}");
        assert!(waiting["attempts"].as_i64().unwrap() >= 3, "attempts are counted: {waiting}");
        gate.open.store(true, Ordering::SeqCst);
        world.advance(TimeDelta::days(1)).await;
        world.forwarded().await;
        assert_eq!(far.notifications(), sent);
        smdp.stop().await;
        far.stop().await;
    });
}

/// RL-07: two weeks, and no longer.
#[test]
fn a_notification_is_given_up_after_two_weeks_and_says_so() {
    each_mode(async |world: &mut World| {
        let (smdp, far) = (world.smdp().await, world.smdp().await);
        let gate = Gate::before(&far).await;
        let mut order_ = order(&smdp, "GONE", 1);
        order_.notification_addresses = vec![(NotificationEvent::of([0]).unwrap(), gate.address.clone())];
        smdp.add_order(order_);
        let mut device = thin(world, 1).await;
        world.download(&device, &code_of(&smdp, "GONE"), indirect()).await;
        device.session().await;
        device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
        world.until("the first attempt", async || gate.attempts() > 0).await;
        let before = gate.attempts();
        world.advance(TimeDelta::days(13)).await;
        world.until("it is tried again", async || gate.attempts() > before).await;
        assert_eq!(world.notifications("state=pending").await.len(), 1, "not yet");
        world.advance(TimeDelta::days(2)).await;
        world.until("it is given up", async || world.notifications("state=pending").await.is_empty()).await;
        let given_up = world.notifications("state=givenUp").await;
        assert_eq!(given_up.len(), 1);
        assert!(given_up[0]["lastError"].is_string() && given_up[0]["endedAt"].is_string(), "{given_up:?}");
        assert_eq!(far.notifications(), Vec::<Vec<u8>>::new());
        smdp.stop().await;
        far.stop().await;
    });
}

/// RL-09: the session is forgotten, and the result has its address in it.
#[test]
fn an_installation_result_without_a_session_is_forwarded_by_its_address() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "LATE", 1));
        let mut device = thin(world, 1).await;
        let id = world.download(&device, &code_of(&smdp, "LATE"), indirect()).await;
        device.ipa.behaviour.download_options.stop_after = Some(DownloadStep::Install);
        device.session().await;
        world.advance(TimeDelta::days(91)).await;
        eim_core::jobs::forget_old(&world.server().eim).await.unwrap();
        device.ipa.disconnect();
        // the device is known by its poll on the same connection
        device.ipa.behaviour.download = DownloadMode::Refuse;
        drop(device.fetch().await);
        device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
        world.forwarded().await;
        let pir = device.ipa.last_download().unwrap().pir.clone().unwrap();
        assert!(smdp.notifications().contains(&pir));
        succeeded(world, &id, &device, 1).await;
        smdp.stop().await;
    });
}

/// RL-10.
#[test]
fn a_notification_of_an_unknown_euicc_is_not_forwarded() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        let mut stranger = world.device_of(world.pki.euicc(9).unwrap()).await;
        stranger.euicc.profile_mut(&stranger.raw_iccid(1)).unwrap().notification_targets[0].address = smdp.address();
        // locally switched, which nobody ordered
        let profile = stranger.euicc.profile_mut(&stranger.raw_iccid(2)).unwrap();
        profile.fallback_attribute = true;
        assert_eq!(stranger.euicc.execute_fallback(), 0);
        assert_eq!(stranger.ipa.deliver_notifications(&mut stranger.euicc).await.unwrap(), 1);
        assert_eq!(world.notifications("").await, Vec::<Value>::new());
        assert_eq!(functions(&smdp), Vec::<String>::new());
        smdp.stop().await;
    });
}

/// 01 1.8: the same once, whichever way and form it takes, and acknowledged each time.
#[test]
fn a_notification_that_comes_again_in_any_form_is_not_forwarded_again() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "TWICE", 1));
        let mut device = thin(world, 1).await;
        introduce(world, &mut device).await;
        device.ipa.behaviour.lose_acknowledgement = true;
        world.download(&device, &code_of(&smdp, "TWICE"), indirect()).await;
        device.session().await;
        assert_eq!(device.euicc.notifications().len(), 2, "the eUICC keeps both");
        let kept = device.euicc.clone();
        for compact in [Compact::No, Compact::Yes] {
            device.euicc = kept.clone();
            device.ipa.behaviour.download_options.compact = compact;
            assert_eq!(device.ipa.deliver_notifications(&mut device.euicc).await.unwrap(), 2);
        }
        device.euicc = kept.clone();
        device.ipa.behaviour.download_options.compact = Compact::No;
        device.ipa.behaviour.lose_acknowledgement = false;
        let id = world.queue(&device.eid(), json!({ "euiccData": { "tags": ["A0"] } })).await;
        let poll = device.poll().await;
        let Some(Answer::Acknowledged(numbers)) = &poll.answer else { panic!("{:?}", poll.answer) };
        assert_eq!(numbers.len(), 2, "{numbers:?}");
        assert_eq!(world.operation(&id).await["state"], "succeeded");
        world.forwarded().await;
        let mut expected: Vec<Vec<u8>> = kept.notifications().iter().map(|found| found.octets.clone()).collect();
        let mut found = smdp.notifications();
        expected.sort();
        found.sort();
        assert_eq!(found.len(), 2, "each once");
        assert_eq!(found, expected);
        smdp.stop().await;
    });
}

/// A notification that can't be verified is kept and not forwarded; once it can be, it goes out.
#[test]
fn a_held_notification_is_forwarded_once_it_is_verified() {
    each_mode(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "HELD", 1));
        // the IPA downloads by itself, and leaves the notifications to the eIM
        let mut device = world.bare_device(1).await;
        device.ipa.reconfigure(able(world, 2).await.ipa.config().clone());
        device.ipa.behaviour.download = DownloadMode::Direct;
        smdp.set_faults(SmdpFaults { unacknowledged_notifications: 2, ..SmdpFaults::none() });
        world.download(&device, &code_of(&smdp, "HELD"), json!({ "indirect": false })).await;
        device.ipa.behaviour.lose_result = true;
        device.poll().await;
        device.ipa.behaviour.lose_result = false;
        assert_eq!(device.euicc.notifications().len(), 2, "the SM-DP+ took none");
        let pir = device.euicc.notifications()[0].octets.clone();
        let notification = device.euicc.notifications()[1].octets.clone();
        // the result names no certificates; the other one has them in it, but is of a device without any on this side
        let mut only = device.euicc.clone();
        only.remove_notification(device.euicc.notifications()[1].seq_number);
        device.ipa.deliver_notifications(&mut only).await.unwrap();
        assert_eq!(world.notifications("").await, Vec::<Value>::new(), "held");
        device.session().await;
        world.until("it is on its way", async || !world.notifications("").await.is_empty()).await;
        device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
        world.forwarded().await;
        assert_eq!(smdp.notifications(), [pir, notification]);
        smdp.stop().await;
    });
}
