//! What is said of devices whose key is not configured, before a server is started.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use eim_core::manage::{NewEuicc, register_euicc};
use eim_core::pki::SigningKey;
use eim_server::boot::{self, BootPorts};
use eim_server::config::{Config, KeySource};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_without_a_key_that_devices_trust_is_found_out_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::ephemeral(folder.path().join("data"));
    assert!(boot::missing_keys(&config).await.unwrap().is_empty(), "nothing is there yet");
    assert!(!folder.path().join("data").exists(), "and nothing is made by looking");
    let server = boot::start(config.clone(), BootPorts::default()).await.unwrap();
    let device = NewEuicc::from_json(json!({ "eid": "89049032000000000000000000000163" })).unwrap();
    register_euicc(device, None, &server.eim).await.unwrap();
    let old = server.eim.keys().keys()[0].id;
    server.stop().await;
    assert!(boot::missing_keys(&config).await.unwrap().is_empty());

    let key = SigningKey::generate_p256(&ring::rand::SystemRandom::new()).unwrap();
    let path = folder.path().join("next.pem");
    std::fs::write(&path, key.to_pkcs8_pem().unwrap().as_bytes()).unwrap();
    config.eim.signing_key = Some(path.clone());
    assert_eq!(boot::missing_keys(&config).await.unwrap(), [(old, 1)]);
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
    assert_eq!(check(None).0, Some(0));
    config.eim.further_signing_keys = vec![KeySource::File(folder.path().join("data/signing-key.pem"))];
    assert!(boot::missing_keys(&config).await.unwrap().is_empty());
    // The same key twice, and a certificate of another key.
    config.eim.further_signing_keys = vec![KeySource::File(path)];
    let twice = boot::missing_keys(&config).await.unwrap_err();
    assert!(format!("{twice:#}").contains("configured twice"), "{twice:#}");
    config.eim.further_signing_keys = vec![];
    let other = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["eim".to_owned()]).unwrap().self_signed(&other).unwrap();
    let file = folder.path().join("certificate.pem");
    std::fs::write(&file, certificate.pem()).unwrap();
    config.eim.signing_certificate = Some(file);
    let foreign = boot::missing_keys(&config).await.unwrap_err();
    assert!(format!("{foreign:#}").contains("is not for eim.signing_key"), "{foreign:#}");
}
