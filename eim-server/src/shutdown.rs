//! Waits for the wish to stop, or to load something again.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Returns on SIGINT or SIGTERM.
///
/// # Errors
/// When the signals can't be listened to.
pub async fn requested() -> std::io::Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => Ok("SIGINT"),
        _ = terminate.recv() => Ok("SIGTERM"),
    }
}

/// Tells of each SIGHUP: a wish to load again what may change while the server runs.
///
/// # Errors
/// When the signal can't be listened to.
pub fn hangup() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}
