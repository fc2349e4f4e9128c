//! Structured logs on standard error, as text or JSON. No bodies, keys or codes: what is not given to a log line can't
//! leak from it.
//!
//! The subscriber is the one thing of the process that is global; only the command line sets it.

mod rejections;

pub(crate) use rejections::Rejections;

use crate::config::{Log, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Sends logs to standard error from now on.
///
/// # Errors
/// When the filter can't be read or logs are already sent somewhere.
pub fn init(log: &Log) -> anyhow::Result<()> {
    let filter = filter(&log.level).map_err(|reason| anyhow::anyhow!("log.level: {reason}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    }
    .map_err(|error| anyhow::anyhow!("logging could not be started: {error}"))
}

/// Reads a level or a filter. The listeners' own chatter about threads, and about each request
/// that is no HTTP, is left out unless it is asked for: a flood of them must not become one of lines.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, String> {
    // A lone word that is no level would be taken for the name of a part of the program, and silence all others.
    let is_level = |word: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&word);
    if let Some(word) = level.split(',').map(str::trim).find(|part| !part.contains('=') && !is_level(part)) {
        return Err(format!("{word:?} is no level; off, error, warn, info, debug or trace is expected"));
    }
    let quiet = if level.contains("actix") { "" } else { "actix_server=warn,actix_http=off," };
    // Its finer levels show whole frames, and with them what is sealed elsewhere; and it calls every end of a connection an error, also
    // one that was asked for. Where one is lost the queue says so.
    let capped = if level.trim() == "off" { "" } else { ",lapin=info,lapin::channels=off" };
    format!("{quiet}{level}{capped}").parse::<EnvFilter>().map_err(|error| format!("not a level or filter: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_broker_client_never_shows_frames_whatever_the_level() {
        for level in ["trace", "info,lapin=trace", "debug,lapin=debug,lapin::channels=debug"] {
            let shown = filter(level).unwrap().to_string();
            assert!(shown.contains("lapin=info") && !shown.contains("lapin=trace"), "{shown}");
            assert!(!shown.contains("lapin::channels=debug"), "{shown}");
        }
        assert!(!filter("off").unwrap().to_string().contains("lapin"));
    }
}
