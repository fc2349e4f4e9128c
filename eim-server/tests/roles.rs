//! `serve --role front` and `serve --role worker` with the real program: what they need is said before anything starts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Command, Output};

/// Runs `serve` in a role with these keys of the configuration; it must end by itself.
fn serve(role: &str, settings: &[(&str, &str)]) -> (Output, bool) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut command = Command::new(env!("CARGO_BIN_EXE_eim-server"));
    command.args(["serve", "--role", role, "--data-dir"]).arg(&data).env_clear().envs(settings.iter().copied());
    let output = command.output().unwrap();
    let touched = data.exists();
    (output, touched)
}

/// The text of a refusal: status 2, nothing begun, one line on standard error.
fn refusal(role: &str, settings: &[(&str, &str)]) -> String {
    let (output, touched) = serve(role, settings);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{role} {settings:?}: {text}");
    assert!(output.stdout.is_empty() && !touched, "{role} {settings:?}: something was begun");
    assert_eq!(text.trim().lines().count(), 1, "{text}");
    text
}

const BROKER: (&str, &str) = ("EIM__QUEUE__URL", "amqp://user:tell-nobody@127.0.0.1:1/");
const POSTGRES: (&str, &str) = ("EIM__STORE__URL", "postgres://user:tell-nobody@127.0.0.1:1/eim");
const SIGNING_KEY: (&str, &str) = ("EIM__EIM__SIGNING_KEY", "/nowhere/signing.pem");
const SECRETS_KEY: (&str, &str) = ("EIM__SECRETS__KEY", "/nowhere/secrets.key");

#[test]
fn a_role_without_a_broker_is_refused() {
    for role in ["front", "worker"] {
        for settings in [&[][..], &[POSTGRES, SIGNING_KEY, SECRETS_KEY]] {
            let text = refusal(role, settings);
            assert!(text.contains("queue.url") && text.contains("amqp://"), "{text}");
        }
    }
}

#[test]
fn a_role_without_a_database_that_others_reach_is_refused() {
    for role in ["front", "worker"] {
        let text = refusal(role, &[BROKER, SIGNING_KEY, SECRETS_KEY]);
        assert!(text.contains("store.url") && text.contains("postgres://"), "{text}");
    }
}

#[test]
fn a_front_without_shared_keys_is_refused() {
    for keys in [&[][..], &[SIGNING_KEY], &[SECRETS_KEY]] {
        let text = refusal("front", &[&[BROKER, POSTGRES], keys].concat());
        assert!(text.contains("eim.signing_key") && text.contains("secrets.key"), "{text}");
    }
}

/// Two fronts with generated identifiers would be two eIMs to the eUICCs: associations, eimConfigurationData and tokens
/// are all by eimId.
#[test]
fn a_front_that_would_make_up_an_eim_id_of_its_own_is_refused() {
    let text = refusal("front", &[BROKER, POSTGRES, SIGNING_KEY, SECRETS_KEY]);
    assert!(text.contains("eim.id"), "{text}");
}

#[test]
fn a_database_that_can_not_be_reached_is_named_without_its_password() {
    let (output, _) = serve("worker", &[BROKER, POSTGRES]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("the store") && text.contains("127.0.0.1:1") && !text.contains("tell-nobody"), "{text}");
}
