//! The faster calendar clock that servers are given: see `clock.c`.

use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Compiles it into this folder, with the C compiler that building the server needs as well.
///
/// # Errors
/// Without a C compiler.
pub fn compile(folder: &Path) -> anyhow::Result<PathBuf> {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(&source, include_str!("clock.c"))?;
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut compiling = Command::new(&compiler);
    compiling.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    let output = compiling.output().with_context(|| format!("{compiler} can't be started"))?;
    ensure!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(library)
}

/// What the clock of a run is given, so that it runs `rate` times as fast from now on.
#[must_use]
pub fn begun_now(rate: u32) -> String {
    #[allow(clippy::disallowed_methods, reason = "the clock of the machine is what the servers' is derived from")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{} {rate}", now.as_millis())
}
