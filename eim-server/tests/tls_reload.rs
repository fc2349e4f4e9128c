//! The TLS certificate of the device front changes while the server runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod client;

use client::Connection;
use eim_server::boot::{self, BootPorts};
use eim_server::config::Config;
use eim_server::front::TlsSwitch;
use eim_server::identity::TlsIdentity;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Writes a key and a certificate for localhost, and gives the certificate in DER.
fn write_pair(folder: &Path) -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    std::fs::write(folder.join("certificate.pem"), certificate.pem()).unwrap();
    certificate.der().to_vec()
}

fn answers(server: &boot::Server, trust: &[u8]) -> u16 {
    Connection::tls(server.esipa_addr, trust, &rustls::version::TLS12).send("GET", "/", &[], b"").status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_without_a_restart_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::ephemeral(folder.path().join("data"));
    config.esipa.tls_certificate = Some(folder.path().join("certificate.pem"));
    config.esipa.tls_key = Some(folder.path().join("key.pem"));
    let first = write_pair(folder.path());
    let server = boot::start(config, BootPorts::default()).await.unwrap();
    assert_eq!(answers(&server, &first), 404);
    let mut open = Connection::tls(server.esipa_addr, &first, &rustls::version::TLS13);
    assert_eq!(open.send("GET", "/", &[], b"").status, 404);

    let second = write_pair(folder.path());
    assert!(server.reload_tls().unwrap(), "another one");
    assert_eq!(answers(&server, &second), 404);
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| answers(&server, &first)));
    assert!(refused.is_err(), "the first one is not shown any more");
    assert_eq!(open.send("GET", "/", &[], b"").status, 404, "a connection that was open goes on");
    assert!(!server.reload_tls().unwrap(), "the same again");

    // Half of a pair, and no certificate at all.
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    let error = format!("{:#}", server.reload_tls().unwrap_err());
    assert!(error.contains("does not belong"), "{error}");
    std::fs::write(folder.path().join("certificate.pem"), "garbage").unwrap();
    assert!(server.reload_tls().is_err());
    // What no device takes any more, or not yet.
    for (from, to, says) in [(2024, 2025, "expired"), (4000, 4001, "not valid before")] {
        let mut dates = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        dates.not_before = rcgen::date_time_ymd(from, 1, 1);
        dates.not_after = rcgen::date_time_ymd(to, 1, 1);
        std::fs::write(folder.path().join("certificate.pem"), dates.self_signed(&key).unwrap().pem()).unwrap();
        let error = format!("{:#}", server.reload_tls().unwrap_err());
        assert!(error.contains(says), "{error}");
    }
    assert_eq!(answers(&server, &second), 404, "the one from before stays");
    server.stop().await;
}

#[test]
fn changed_files_are_noticed_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::ephemeral(folder.path().join("data"));
    config.esipa.tls_certificate = Some(folder.path().join("certificate.pem"));
    config.esipa.tls_key = Some(folder.path().join("key.pem"));
    write_pair(folder.path());
    let switch = TlsSwitch::new(&TlsIdentity::load(&config, vec![]).unwrap(), &config).unwrap();
    assert!(!switch.is_outdated());
    std::fs::write(folder.path().join("certificate.pem"), "garbage").unwrap();
    assert!(switch.is_outdated());
    assert!(switch.reload(&config).is_err());
    assert!(!switch.is_outdated(), "a broken file is told of once");
    write_pair(folder.path());
    assert!(switch.is_outdated());
    assert!(switch.reload(&config).unwrap());
    assert!(!switch.is_outdated());
}

/// A wish that comes as a signal. Files that are the same are said to be so, which their being looked at now and then does not say.
#[test]
fn the_program_loads_them_again_at_sighup() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_eim-server"))
        .arg("--data-dir")
        .arg(folder.path().join("data"))
        .arg("serve")
        .env_remove("EIM_CONFIG")
        .env("EIM__ESIPA__LISTEN", "127.0.0.1:0")
        .env("EIM__API__LISTEN", "127.0.0.1:0")
        .env("EIM__LIMITS__WORKERS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = server.stderr.take().unwrap();
    let (said, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            let _ = said.send(line);
        }
    });
    let waits_for = |text: &str| loop {
        match lines.recv_timeout(Duration::from_secs(60)) {
            Ok(line) if line.contains(text) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    };
    let started = waits_for("operator API at");
    let asked = Command::new("kill").args(["-HUP", &server.id().to_string()]).status().unwrap().success();
    let told = waits_for("is still the same");
    let goes_on = server.try_wait().unwrap().is_none();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(started && asked && told && goes_on, "{started} {asked} {told} {goes_on}");
}
