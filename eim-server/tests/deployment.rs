//! The files of `deploy/` name metrics, variables, commands and routes: all of them exist (`deploy/check.py`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, missing_docs, reason = "a test")]

use std::path::Path;
use std::process::Command;

#[test]
fn the_files_of_deploy_fit_the_source() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/check.py");
    let Ok(run) = Command::new("python3").arg(&script).output() else {
        assert!(std::env::var_os("EIM_TEST_REQUIRE_SERVICES").is_none(), "python3 is needed");
        eprintln!("skipped: no python3");
        return;
    };
    let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{said}");
    eprint!("{said}");
}
