//! Waits for the wish to stop.

use tokio::signal::unix::{SignalKind, signal};

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
