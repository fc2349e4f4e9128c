//! Signing keys in a hardware module: SoftHSM2 stands for one.
//!
//! The module reads where its tokens are from the environment when it is loaded, so each test runs once more in a process of its own, with a
//! token of its own. `EIM_TEST_PKCS11_MODULE` names another place of the module.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use eim_conformance::{Device, Mode, PollOptions, Role, World, run_with};
use eim_core::ids::KeyId;
use eim_core::pki::{Curve, PublicKey};
use eim_core::ports::EimSigner;
use eim_server::config::KeySource;
use eim_server::signing::pkcs11::{Token, TokenOptions};
use eim_simulator::ipa::Binding;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const FOLDER: &str = "EIM_TEST_PKCS11_FOLDER";
const PIN: &str = "98765432";

fn module() -> Option<PathBuf> {
    let named = std::env::var_os("EIM_TEST_PKCS11_MODULE").map(PathBuf::from);
    let usual = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
    named.into_iter().chain(usual.map(PathBuf::from)).find(|path| path.exists())
}

/// Runs the test in a process of its own with a fresh token; there it gives the options of the token.
fn with_token(test: &str) -> Option<TokenOptions> {
    let Some(module) = module() else {
        assert!(std::env::var("EIM_TEST_REQUIRE_SERVICES").as_deref() != Ok("1"), "SoftHSM2 is required");
        eprintln!("skipped: there is no PKCS#11 module");
        return None;
    };
    if let Some(folder) = std::env::var_os(FOLDER) {
        let pin_file = Path::new(&folder).join("pin");
        return Some(TokenOptions { module, token: "eim".to_owned(), pin_file: Some(pin_file), sessions: 4 });
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir(path.join("tokens")).unwrap();
    std::fs::write(path.join("pin"), format!("{PIN}\n")).unwrap();
    let conf = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        path.join("tokens").display()
    );
    std::fs::write(path.join("softhsm2.conf"), conf).unwrap();
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "eim", "--pin", PIN, "--so-pin", "12345678"])
        .arg("--module")
        .arg(&module)
        .env("SOFTHSM2_CONF", path.join("softhsm2.conf"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let run = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env("SOFTHSM2_CONF", path.join("softhsm2.conf"))
        .env(FOLDER, path)
        .output()
        .unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && told.contains("1 passed"), "{told}");
    assert!(!told.contains(PIN), "the PIN is told nowhere");
    None
}

async fn works(world: &World, device: &mut Device) {
    let id = world.queue(&device.eid(), json!({ "psmo": [{ "getRAT": {} }] })).await;
    device.session().await;
    let operation = world.operation(&id).await;
    assert_eq!((&operation["state"], &operation["verified"]), (&json!("succeeded"), &json!(true)), "{operation}");
}

fn world(options: &TokenOptions, label: &str, test: impl AsyncFn(&mut World)) {
    let configure = |config: &mut eim_server::config::Config| {
        config.eim.signing_key = Some(format!("pkcs11:{label}").into());
        config.pkcs11.module = Some(options.module.clone());
        config.pkcs11.token.clone_from(&options.token);
        config.pkcs11.pin_file.clone_from(&options.pin_file);
        config.pkcs11.sessions = options.sessions;
    };
    run_with(&[Mode::EMBEDDED], &[Binding::Asn1], configure, test);
}

#[test]
fn a_key_in_the_module_signs_also_after_its_sessions_were_lost() {
    let Some(options) = with_token("a_key_in_the_module_signs_also_after_its_sessions_were_lost") else { return };
    let token = Token::open(options.clone()).unwrap();
    let id = KeyId::of_spki(token.generate("first", Curve::P256).unwrap().public_key());
    world(&options, "first", async |world| {
        let keys = world.get("/api/v1/signing-keys").await;
        assert_eq!((&keys["items"][0]["id"], &keys["items"][0]["custody"]), (&json!(id), &json!("pkcs11")));
        let mut devices = vec![world.device(1).await, world.device(2).await, world.device(3).await];
        for device in &mut devices {
            works(world, device).await;
        }
        token.lose_sessions();
        for device in &mut devices {
            works(world, device).await;
        }
    });
}

/// The token is pulled out, and comes back.
#[test]
fn nothing_is_lost_while_the_module_is_away() {
    let Some(options) = with_token("nothing_is_lost_while_the_module_is_away") else { return };
    let token = Token::open(options.clone()).unwrap();
    token.generate("first", Curve::P256).unwrap();
    let folder = options.pin_file.as_deref().unwrap().parent().unwrap().to_owned();
    world(&options, "first", async |world| {
        let mut device = world.device(1).await;
        works(world, &mut device).await;
        std::fs::rename(folder.join("tokens"), folder.join("away")).unwrap();
        std::fs::create_dir(folder.join("tokens")).unwrap();
        token.lose_sessions();
        let id = world.queue(&device.eid(), json!({ "psmo": [{ "getRAT": {} }] })).await;
        for _ in 0..2 {
            assert!(device.ipa.poll_once(&mut device.euicc, &PollOptions::default()).await.is_err());
        }
        assert!(warnings(world).await.contains("is away since"), "{}", warnings(world).await);
        assert!(world.metric("eim_signing_keys_away", &[]).await > 0.5);
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["attempts"]), (&json!("queued"), &json!(0)), "{operation}");
        std::fs::remove_dir(folder.join("tokens")).unwrap();
        std::fs::rename(folder.join("away"), folder.join("tokens")).unwrap();
        device.session().await;
        let operation = world.operation(&id).await;
        assert_eq!((&operation["state"], &operation["counterValue"]), (&json!("succeeded"), &json!(2)), "{operation}");
        assert_eq!(warnings(world).await, "null");
        assert!(world.metric("eim_signing_keys_away", &[]).await < 0.5);
    });
}

async fn warnings(world: &World) -> String {
    let ready = world.send(Role::Nobody, "GET", "/readyz", &[], "").await;
    assert_eq!(ready.status, 200, "{}", ready.text());
    ready.json()["warnings"].to_string()
}

/// Moves the files of the token away, or back: the module is told nothing of it, and its sessions stay open.
fn move_objects(options: &TokenOptions, from: &str, to: &str) {
    let folder = options.pin_file.as_deref().unwrap().parent().unwrap();
    std::fs::create_dir_all(folder.join(to)).unwrap();
    for entry in std::fs::read_dir(folder.join(from)).unwrap() {
        let entry = entry.unwrap();
        std::fs::rename(entry.path(), folder.join(to).join(entry.file_name())).unwrap();
    }
}

/// The sessions do not fail, but the key is not there: the module is started anew, and finds it when it has come back. Nobody polls
/// meanwhile: the server looks by itself.
#[test]
fn a_key_that_is_gone_has_the_module_started_anew_and_is_found_when_it_is_back() {
    let test = "a_key_that_is_gone_has_the_module_started_anew_and_is_found_when_it_is_back";
    let Some(options) = with_token(test) else { return };
    let token = Token::open(options.clone()).unwrap();
    token.generate("first", Curve::P256).unwrap();
    world(&options, "first", async |world| {
        let mut device = world.device(1).await;
        works(world, &mut device).await;
        assert!(world.server().eim.look_for_keys_away().await.is_empty());
        move_objects(&options, "tokens", "away");
        assert_eq!(world.server().eim.look_for_keys_away().await.len(), 1);
        assert!(warnings(world).await.contains("is away since"), "{}", warnings(world).await);
        let id = world.queue(&device.eid(), json!({ "psmo": [{ "getRAT": {} }] })).await;
        assert!(device.ipa.poll_once(&mut device.euicc, &PollOptions::default()).await.is_err());
        move_objects(&options, "away", "tokens");
        assert!(world.server().eim.look_for_keys_away().await.is_empty(), "it has signed again");
        assert_eq!(warnings(world).await, "null");
        device.session().await;
        assert_eq!(world.operation(&id).await["state"], "succeeded");
        works(world, &mut device).await;
    });
}

/// One session is in a call while the connection that it belongs to is given up and a key is missed on the next one.
#[test]
fn the_module_is_not_ended_beside_a_call_of_an_earlier_connection() {
    let Some(options) = with_token("the_module_is_not_ended_beside_a_call_of_an_earlier_connection") else { return };
    let token = Token::open(options).unwrap();
    let first = token.generate("first", Curve::P256).unwrap();
    let survived = token.outlives(|| {
        first.sign(b"on the next connection").unwrap();
        assert!(!token.start_anew(), "a session is in use, though none of this connection");
        first.sign(b"still there").unwrap();
    });
    assert!(survived, "the module was ended beside a call");
    assert!(token.start_anew(), "now nobody uses it");
    first.sign(b"found anew").unwrap();
    assert!(!token.start_anew(), "not again at once");
}

/// The configuration names keys between commas, and leaves spaces out.
#[test]
fn a_key_is_not_made_under_a_label_that_the_configuration_can_not_name() {
    let Some(options) = with_token("a_key_is_not_made_under_a_label_that_the_configuration_can_not_name") else {
        return;
    };
    let token = Token::open(options).unwrap();
    for (label, why) in [("", "empty"), ("a,b", "comma"), (" a", "space")] {
        let refused = format!("{:#}", token.generate(label, Curve::P256).unwrap_err());
        assert!(refused.contains(why), "{label:?}: {refused}");
        assert!(token.signer(label).is_err(), "nothing was made");
    }
    token.generate("a b-c", Curve::P256).unwrap();
}

/// A wrong PIN must not lock the token.
#[test]
fn a_refused_pin_is_tried_once() {
    let Some(options) = with_token("a_refused_pin_is_tried_once") else { return };
    let wrong = options.pin_file.as_deref().unwrap().with_file_name("wrong");
    std::fs::write(&wrong, "11112222").unwrap();
    let refused = Token::open(TokenOptions { pin_file: Some(wrong), ..options.clone() }).unwrap_err();
    let told = format!("{refused:#}");
    assert!(told.contains("incorrect") && !told.contains("11112222"), "{told}");
    let none = TokenOptions { pin_file: Some(options.module.with_file_name("no such file")), ..options.clone() };
    assert!(format!("{:#}", Token::open(none).unwrap_err()).contains("pkcs11.pin_file"));
    let elsewhere = TokenOptions { module: "/no/such/module.so".into(), ..options.clone() };
    assert!(Token::open(elsewhere).is_err());
    Token::open(options).unwrap().generate("first", Curve::P256).unwrap();
}

#[test]
fn devices_are_moved_from_a_file_into_the_module() {
    let Some(options) = with_token("devices_are_moved_from_a_file_into_the_module") else { return };
    let token = Token::open(options.clone()).unwrap();
    let id = KeyId::of_spki(token.generate("second", Curve::P256).unwrap().public_key());
    run_with(
        &[Mode::EMBEDDED],
        &[Binding::Asn1],
        |_| {},
        async |world: &mut World| {
            let mut device = world.device(1).await;
            works(world, &mut device).await;
            let (old, options) = (world.data_dir().join("signing-key.pem"), options.clone());
            world
                .restart_with(|config| {
                    config.eim.signing_key = Some("pkcs11:second".into());
                    config.eim.further_signing_keys = vec![KeySource::File(old)];
                    config.pkcs11.module = Some(options.module);
                    config.pkcs11.token = options.token;
                    config.pkcs11.pin_file = options.pin_file;
                })
                .await;
            world.reconnect(&mut device);
            let body = json!({ "filter": { "all": true } }).to_string();
            let reply = world.send(Role::Admin, "POST", "/api/v1/key-rotations", &[], body).await;
            assert_eq!(reply.status, 201, "{}", reply.text());
            world.advance(chrono::TimeDelta::seconds(1)).await;
            world.advance(chrono::TimeDelta::seconds(1)).await;
            device.session().await;
            assert_eq!(world.euicc(&device.eid()).await["association"]["signingKey"], json!(id));
            works(world, &mut device).await;
        },
    );
}

#[test]
fn both_curves_sign_side_by_side_and_a_label_is_one_key() {
    let Some(options) = with_token("both_curves_sign_side_by_side_and_a_label_is_one_key") else { return };
    let token = Token::open(options.clone()).unwrap();
    for (label, curve) in [("nist", Curve::P256), ("brainpool", Curve::BrainpoolP256r1)] {
        let signer = Arc::new(token.generate(label, curve).unwrap());
        let public = PublicKey::from_spki(signer.public_key()).unwrap();
        assert_eq!(public.curve(), curve);
        // More threads than sessions.
        let threads: Vec<_> = (0..16_u8)
            .map(|number| {
                let (signer, public) = (Arc::clone(&signer), public.clone());
                std::thread::spawn(move || {
                    for round in 0..8_u8 {
                        let value = signer.sign(&[number, round]).unwrap();
                        public.verify(&[number, round], &value).unwrap();
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let again = format!("{:#}", token.generate(label, curve).unwrap_err());
        assert!(again.contains("already"), "{again}");
        assert_eq!(token.signer(label).unwrap().public_key(), signer.public_key(), "the same key is found again");
    }
    let none = format!("{:#}", token.signer("nobody").unwrap_err());
    assert!(none.contains("nobody"), "{none}");
    let wrong = TokenOptions { token: "another".to_owned(), ..options.clone() };
    assert!(Token::open(wrong).is_err());
}
