//! Waiting for something to end, by looking at it again and again.

use super::{Context, Failure};
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often in a row a server may fail while something is waited for.
const FAILURES_MAX: u32 = 10;

/// How long to wait, and how often to look.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Patience {
    /// Wait at most so many seconds; 0 for as long as it takes.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    wait_seconds: u64,
    /// Look every so many seconds.
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS", value_parser = interval)]
    look_seconds: f64,
}

fn interval(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number is expected".to_owned())?;
    if (0.01..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("0.01 to 3600 is expected".to_owned()) }
}

impl Patience {
    pub(super) fn interval(&self) -> Duration {
        Duration::from_secs_f64(self.look_seconds)
    }
}

/// Looks at a thing until it has ended, and shows it to `seen` each time.
pub(super) async fn until_ended(
    path: &[&str],
    patience: &Patience,
    context: &mut Context<'_>,
    mut seen: impl FnMut(&Value, &mut Context<'_>) -> Result<bool, Failure>,
) -> Result<Value, Failure> {
    let begun = Instant::now();
    let mut failures = 0;
    loop {
        match context.api.get(path, &[]).await {
            Ok(thing) => {
                failures = 0;
                if seen(&thing, context)? {
                    return Ok(thing);
                }
            }
            Err(failure) if failure.may_pass() && failures < FAILURES_MAX => {
                failures += 1;
                failure.tell(context.json, context.console);
            }
            Err(failure) => return Err(failure),
        }
        if patience.wait_seconds > 0 && begun.elapsed() >= Duration::from_secs(patience.wait_seconds) {
            let seconds = patience.wait_seconds;
            return Err(Failure::EndedBadly(format!("{} has not ended after {seconds} s", path.join("/"))));
        }
        sleep(patience.interval()).await;
    }
}

/// Says what became of a thing, and fails where that is not what was wanted.
pub(super) fn judge(what: &str, outcome: &str, is_good: bool, thing: &Value) -> Result<(), Failure> {
    if is_good {
        return Ok(());
    }
    let reason = ["/reason/message", "/error/message"].iter().find_map(|place| thing.pointer(place)?.as_str());
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    Err(Failure::EndedBadly(format!("{what} ended as {outcome}{reason}")))
}
