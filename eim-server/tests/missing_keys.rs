//! What `check-config` says of a configuration before a server is started with it: what `serve` would refuse, and devices whose key is
//! not configured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use eim_core::manage::{NewEuicc, register_euicc};
use eim_core::pki::SigningKey;
use eim_server::boot::{self, BootPorts};
use eim_server::config::{Config, KeySource};
use serde_json::json;
use std::path::{Path, PathBuf};

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_without_a_key_that_devices_trust_is_found_out_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::ephemeral(folder.path().join("data"));
    assert!(boot::rehearse(boot::Role::All, &config).await.unwrap().is_empty(), "nothing is there yet");
    assert!(!folder.path().join("data").exists(), "and nothing is made by looking");
    let server = boot::start(config.clone(), BootPorts::default()).await.unwrap();
    let device = NewEuicc::from_json(json!({ "eid": "89049032000000000000000000000163" })).unwrap();
    register_euicc(device, None, &server.eim).await.unwrap();
    let old = server.eim.keys().keys()[0].id;
    server.stop().await;
    assert!(boot::rehearse(boot::Role::All, &config).await.unwrap().is_empty());

    let key = SigningKey::generate_p256(&ring::rand::SystemRandom::new()).unwrap();
    let path = folder.path().join("next.pem");
    std::fs::write(&path, key.to_pkcs8_pem().unwrap().as_bytes()).unwrap();
    config.eim.signing_key = Some(path.clone());
    let missing = boot::rehearse(boot::Role::All, &config).await.unwrap();
    assert_eq!(missing.iter().map(|missing| (missing.key, missing.euiccs)).collect::<Vec<_>>(), [(old, 1)]);
    let check = |key: Option<&std::path::Path>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_eim-server"));
        command.arg("--data-dir").arg(&config.data.dir).arg("check-config").env_remove("EIM_CONFIG");
        if let Some(key) = key {
            command.env("EIM__EIM__SIGNING_KEY", key);
        }
        let ran = command.output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
    };
    let (code, said) = check(Some(&path));
    assert!(code == Some(1) && said.contains(&old.to_string()), "{code:?} {said}");
    assert!(said.contains("eim.further_signing_keys"), "{said}");
    assert_eq!(check(None).0, Some(0));
    config.eim.further_signing_keys = vec![KeySource::File(folder.path().join("data/signing-key.pem"))];
    assert!(boot::rehearse(boot::Role::All, &config).await.unwrap().is_empty());
    // The same key twice, and a certificate of another key.
    config.eim.further_signing_keys = vec![KeySource::File(path)];
    let twice = boot::rehearse(boot::Role::All, &config).await.unwrap_err();
    assert!(format!("{twice:#}").contains("configured twice"), "{twice:#}");
    config.eim.further_signing_keys = vec![];
    let other = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["eim".to_owned()]).unwrap().self_signed(&other).unwrap();
    let file = folder.path().join("certificate.pem");
    std::fs::write(&file, certificate.pem()).unwrap();
    config.eim.signing_certificate = Some(file);
    let foreign = boot::rehearse(boot::Role::All, &config).await.unwrap_err();
    assert!(format!("{foreign:#}").contains("is not for eim.signing_key"), "{foreign:#}");
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn key(&self, name: &str) -> PathBuf {
        let key = SigningKey::generate_p256(&ring::rand::SystemRandom::new()).unwrap();
        self.file(name, &key.to_pkcs8_pem().unwrap())
    }

    fn config(&self) -> Config {
        Config::ephemeral(self.folder.path().join("data"))
    }

    /// A file of further identities with one: this eimId, host and key.
    fn identity(&self, eim_id: &str, host: &str, key: &Path) -> PathBuf {
        let key = key.display();
        let text = format!("[[identity]]\nid = '{eim_id}'\nid_type = 'fqdn'\nfqdn = '{host}'\nsigning_key = '{key}'\n");
        self.file("identities.toml", &text)
    }
}

/// What a start and a rehearsal say, which has to be the same; empty where both take the configuration.
async fn verdict(config: &Config) -> String {
    let before = files(&config.data.dir);
    let rehearsed = boot::rehearse(boot::Role::All, config).await.map(drop).map_err(|error| format!("{error:#}"));
    assert_eq!(files(&config.data.dir), before, "a rehearsal changes nothing");
    let served = match boot::start(config.clone(), BootPorts::default()).await {
        Ok(server) => {
            server.kill().await;
            Ok(())
        }
        Err(error) => Err(format!("{error:#}")),
    };
    assert_eq!(rehearsed, served);
    served.err().unwrap_or_default()
}

fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(path) else { return vec![] };
    let generated = |path: &PathBuf| !path.to_string_lossy().contains("eim.db");
    let read = |path: PathBuf| (path.clone(), std::fs::read(path).unwrap());
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(generated).map(read).collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_refuses_what_a_start_refuses_with_the_same_words() {
    let place = Place::new();
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let mut config = place.config();
    // On a data directory that was never used.
    config.eim.signing_key = Some(place.file("p384.pem", &p384.serialize_pem()));
    let said = verdict(&config).await;
    assert!(said.contains("p384.pem") && said.contains("P-256 or brainpoolP256r1"), "{said}");
    config.eim.signing_key = None;
    config.pki.ci_dir = Some(place.folder.path().join("nowhere"));
    assert!(verdict(&config).await.contains("pki.ci_dir"));
    config.pki.ci_dir = None;
    config.outbound.routes = vec![];
    let other = place.key("other.pem");
    config.eim.identities = Some(place.identity("eim.other", "not a host", &other));
    assert!(verdict(&config).await.contains("host name"));
    config.eim.identities = Some(place.file("identities.toml", "[[identity]]\nid = 'eim.other'\n"));
    assert!(verdict(&config).await.contains("eim.identities"));
    config.eim.identities = None;
    assert_eq!(verdict(&config).await, "");
    // On one that was used.
    config.eim.identities = Some(place.identity("eim.other", "other.example", &other));
    let said = verdict(&config).await;
    assert!(said.contains("other.example") && said.contains("eim.other"), "the certificate is for localhost: {said}");
    config.eim.identities = Some(place.identity("eim.other", "localhost", &other));
    assert_eq!(verdict(&config).await, "");
    // Its key is noted as that of eim.other, and stays that.
    config.eim.identities = None;
    config.eim.further_signing_keys = vec![KeySource::File(other)];
    assert!(verdict(&config).await.contains("belongs to another eimId"));
    config.eim.further_signing_keys = vec![];
    std::fs::remove_file(config.data.dir.join("signing-key.pem")).unwrap();
    let said = verdict(&config).await;
    assert!(said.contains(config.data.dir.join("signing-key.pem").to_str().unwrap()), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_devices_know_and_that_is_taken_out_is_named_with_the_cure() {
    let place = Place::new();
    let mut config = place.config();
    let (other, next) = (place.key("other.pem"), place.key("next.pem"));
    config.eim.identities = Some(place.identity("eim.other", "localhost", &other));
    let server = boot::start(config.clone(), BootPorts::default()).await.unwrap();
    let body = json!({ "eid": "89049032000000000000000000000163", "association": { "eimId": "eim.other" } });
    register_euicc(NewEuicc::from_json(body).unwrap(), None, &server.eim).await.unwrap();
    server.stop().await;
    assert_eq!(boot::rehearse(boot::Role::All, &config).await.unwrap(), []);
    let check = |identities: Option<&Path>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_eim-server"));
        command.arg("--data-dir").arg(&config.data.dir).arg("check-config").env_remove("EIM_CONFIG");
        if let Some(identities) = identities {
            command.env("EIM__EIM__IDENTITIES", identities);
        }
        let ran = command.output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
    };
    let (code, said) = check(None);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("\"eim.other\"") && said.contains("eim.identities"), "{said}");
    assert!(!said.contains("further_signing_keys"), "a key of another eimId is refused there: {said}");
    // With another key it is the further keys of that identity where the old one belongs.
    let identities = place.identity("eim.other", "localhost", &next);
    let (code, said) = check(Some(&identities));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("further_signing_keys of the identity \"eim.other\""), "{said}");
    let identities = place.identity("eim.other", "localhost", &other);
    assert_eq!(check(Some(&identities)).0, Some(0));
    // A worker signs nothing, so it misses no key.
    config.eim.identities = None;
    assert_eq!(boot::rehearse(boot::Role::All, &config).await.unwrap().len(), 1);
    assert_eq!(boot::rehearse(boot::Role::Worker, &config).await.unwrap(), []);
}

#[test]
fn a_role_that_serve_refuses_is_refused() {
    let place = Place::new();
    let check = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_eim-server"));
        command.arg("--data-dir").arg(place.folder.path().join("data")).args(arguments).env_remove("EIM_CONFIG");
        let ran = command.output().unwrap();
        (ran.status.success(), String::from_utf8(ran.stderr).unwrap())
    };
    assert_eq!(check(&["check-config"]), (true, String::new()));
    let (good, said) = check(&["check-config", "--role", "worker"]);
    assert!(!good && said.contains("queue.url"), "{said}");
    assert_eq!(check(&["serve", "--role", "worker"]).1, said, "in the same words");
}
