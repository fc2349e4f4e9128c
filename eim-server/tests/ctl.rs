//! The binary as a script meets it: exit codes, and that the key comes from the environment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

fn ctl(arguments: &[&str], key: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eim-server"));
    command.arg("ctl").args(arguments).stdin(Stdio::null()).env_remove("EIM_API_KEY").env_remove("EIM_URL");
    // Whatever the server of this machine is configured with is nothing to ctl.
    command.env("EIM_CONFIG", "/there/is/none.toml");
    if let Some(key) = key {
        command.env("EIM_API_KEY", key);
    }
    command.output().unwrap()
}

#[test]
fn scripts_can_tell_why_a_command_failed() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}");
    let code = |arguments: &[&str], key| ctl(arguments, key).status.code();
    assert_eq!(code(&["--url", &url, "devices", "list"], Some("eimk_x")), Some(3));
    assert_eq!(code(&["--url", &url, "devices", "list"], None), Some(2), "no key");
    assert_eq!(code(&["--url", &url, "devices", "lift"], Some("eimk_x")), Some(2));
    let help = ctl(&["--help"], None);
    assert_eq!(help.status.code(), Some(0));
    let output = ctl(&["--url", &url, "devices", "list"], Some("eimk_leaked"));
    assert!(output.stdout.is_empty());
    assert!(!String::from_utf8_lossy(&output.stderr).contains("eimk_leaked"));
}

#[test]
fn a_completion_script_needs_no_server() {
    let output = ctl(&["completion", "bash"], None);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("complete "));
}
