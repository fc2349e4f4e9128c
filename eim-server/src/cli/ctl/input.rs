//! Bodies from files: what is asked for may hold codes, which don't belong on a command line.

use super::{Context, Failure};
use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// The largest body that is read as a whole.
const BODY_MAX: u64 = 16 * 1024 * 1024;

/// The JSON of a file; `-` is standard input.
pub(super) fn json(path: &Path, context: &mut Context<'_>) -> Result<Value, Failure> {
    let unusable = |why: String| Failure::Usage(format!("--file {}: {why}", path.display()));
    let text = text(path, context)?;
    serde_json::from_str(&text)
        .map_err(|error| unusable(format!("no JSON at line {}, column {}", error.line(), error.column())))
}

/// The text of a file; `-` is standard input.
pub(super) fn text(path: &Path, context: &mut Context<'_>) -> Result<String, Failure> {
    let unusable = |why: String| Failure::Usage(format!("--file {}: {why}", path.display()));
    let mut octets = Vec::new();
    let read = if path.as_os_str() == "-" {
        (&mut context.console.input).take(BODY_MAX + 1).read_to_end(&mut octets)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(BODY_MAX + 1).read_to_end(&mut octets))
    };
    read.map_err(|error| unusable(error.to_string()))?;
    if octets.len() as u64 > BODY_MAX {
        return Err(unusable(format!("more than {BODY_MAX} octets")));
    }
    String::from_utf8(octets).map_err(|_| unusable("no UTF-8".to_owned()))
}
