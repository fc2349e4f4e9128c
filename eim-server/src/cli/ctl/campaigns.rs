//! `ctl campaigns`

use super::console::{Column, Console, cell, printable, table};
use super::resource::{self, Amount, query};
use super::switches::GOOD;
use super::wait::{Patience, judge, until_ended};
use super::{Context, Failure, input};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;

const CAMPAIGNS: [Column; 6] = [
    ("ID", "/id"),
    ("NAME", "/name"),
    ("STATE", "/state"),
    ("WAVE", "/wave"),
    ("WAITS FOR", "/waitsFor/name"),
    ("CREATED", "/createdAt"),
];
const DEVICES: [Column; 7] = [
    ("EID", "/eid"),
    ("WAVE", "/wave"),
    ("STATE", "/state"),
    ("OUTCOME", "/outcome"),
    ("ATTEMPTS", "/attempts"),
    ("REVERT", "/revert"),
    ("REASON", "/reason/message"),
];
const WAVES: [Column; 6] = [
    ("WAVE", "/index"),
    ("DEVICES", "/devices"),
    ("PENDING", "/pending"),
    ("RUNNING", "/running"),
    ("ENDED", "/ended"),
    ("OUTCOMES", "/shown"),
];
const ENDED: [&str; 5] = ["completed", "aborted", "reverted", "expired", "denied"];
const BAR: u64 = 40;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists campaigns.
    List {
        /// Only those in this state.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        amount: Amount,
    },
    /// Shows a campaign.
    Show {
        /// A UUID.
        id: String,
    },
    /// Makes a draft of a specification.
    Create {
        /// The specification, JSON; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Makes the request safe to repeat.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Says which devices a specification would reach, and makes nothing.
    Preview {
        /// The specification, JSON; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Asks for approval.
    Submit(Verb),
    /// Approves what somebody else submitted.
    Approve(Verb),
    /// Refuses what was submitted.
    Deny(Verb),
    /// Starts.
    Start(Awaited),
    /// Begins nothing new.
    Pause(Verb),
    /// Goes on.
    Resume(Awaited),
    /// Begins the next wave now.
    NextWave(Verb),
    /// Ends; what was delivered can't be called back.
    Abort(Verb),
    /// Brings the devices back to the profiles that they had.
    Revert(Awaited),
    /// Tries those again that did not end well.
    RetryFailed(Awaited),
    /// Makes a new draft of the same specification.
    Clone(Verb),
    /// Lists the devices of a campaign.
    Devices {
        /// A UUID.
        id: String,
        /// Only those of this wave.
        #[arg(long)]
        wave: Option<String>,
        /// Only those in this state.
        #[arg(long)]
        state: Option<String>,
        /// Only those that ended so.
        #[arg(long)]
        outcome: Option<String>,
        #[command(flatten)]
        amount: Amount,
    },
    /// Shows the progress until the campaign has ended; the exit code is 0 only when every device ended well.
    Watch {
        /// A UUID.
        id: String,
        #[command(flatten)]
        patience: Patience,
    },
}

/// A verb on a campaign.
#[derive(Debug, clap::Args)]
pub(super) struct Verb {
    /// A UUID.
    id: String,
    /// A word to those who read the record.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

/// A verb on a campaign whose end may be waited for.
#[derive(Debug, clap::Args)]
pub(super) struct Awaited {
    #[command(flatten)]
    verb: Verb,
    /// Shows the progress until it has ended; the exit code is 0 only when every device ended well.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    patience: Patience,
}

pub(super) async fn run(command: Command, context: &mut Context<'_>) -> Result<(), Failure> {
    match command {
        Command::List { state, amount } => {
            let query = query(&[("state", state.as_deref())]);
            resource::list(&["campaigns"], &query, &CAMPAIGNS, &amount, context).await
        }
        Command::Show { id } => {
            let campaign = context.api.get(&["campaigns", &id], &[]).await?;
            resource::print(&campaign, context)
        }
        Command::Create { file, idempotency_key } => {
            let body = input::json(&file, context)?;
            resource::send(Method::POST, &["campaigns"], Some(&body), idempotency_key.as_deref(), context)
                .await
                .map(drop)
        }
        Command::Preview { file } => {
            let body = input::json(&file, context)?;
            resource::send(Method::POST, &["campaigns", "preview"], Some(&body), None, context).await.map(drop)
        }
        Command::Submit(verb) => act("submit", verb, context).await,
        Command::Approve(verb) => act("approve", verb, context).await,
        Command::Deny(verb) => act("deny", verb, context).await,
        Command::Start(awaited) => act_and_watch("start", awaited, context).await,
        Command::Pause(verb) => act("pause", verb, context).await,
        Command::Resume(awaited) => act_and_watch("resume", awaited, context).await,
        Command::NextWave(verb) => act("nextWave", verb, context).await,
        Command::Abort(verb) => act("abort", verb, context).await,
        Command::Revert(awaited) => act_and_watch("revert", awaited, context).await,
        Command::RetryFailed(awaited) => act_and_watch("retryFailed", awaited, context).await,
        Command::Clone(verb) => act("clone", verb, context).await,
        Command::Devices { id, wave, state, outcome, amount } => {
            let query =
                query(&[("wave", wave.as_deref()), ("state", state.as_deref()), ("outcome", outcome.as_deref())]);
            resource::list(&["campaigns", &id, "devices"], &query, &DEVICES, &amount, context).await
        }
        Command::Watch { id, patience } => watch(&id, &patience, context).await,
    }
}

async fn act(name: &str, verb: Verb, context: &mut Context<'_>) -> Result<(), Failure> {
    let body = verb.comment.map(|comment| json!({ "message": comment }));
    resource::send(Method::POST, &["campaigns", &verb.id, name], body.as_ref(), None, context).await.map(drop)
}

async fn act_and_watch(name: &str, awaited: Awaited, context: &mut Context<'_>) -> Result<(), Failure> {
    let Awaited { verb, wait, patience } = awaited;
    if !wait {
        return act(name, verb, context).await;
    }
    let body = verb.comment.as_ref().map(|comment| json!({ "message": comment }));
    context.api.call(Method::POST, &["campaigns", &verb.id, name], &[], body.as_ref(), None).await?;
    watch(&verb.id, &patience, context).await
}

async fn watch(id: &str, patience: &Patience, context: &mut Context<'_>) -> Result<(), Failure> {
    let mut display = Display::default();
    let path = ["campaigns", id];
    let campaign = until_ended(&path, patience, context, |campaign, context| {
        display.show(campaign, context)?;
        Ok(ENDED.contains(&state_of(campaign)))
    });
    let campaign = campaign.await?;
    let (state, all_good) = (state_of(&campaign), outcomes(&campaign).iter().all(|(outcome, _)| is_good(outcome)));
    let what = format!("campaign {id}");
    judge(&what, state, state == "completed", &campaign)?;
    judge(&what, "completed, and not every device as it should be", all_good, &campaign)
}

fn state_of(campaign: &Value) -> &str {
    campaign["state"].as_str().unwrap_or_default()
}

fn is_good(outcome: &str) -> bool {
    GOOD.contains(&outcome)
}

fn waves(campaign: &Value) -> impl Iterator<Item = &Value> {
    campaign["waves"].as_array().into_iter().flatten()
}

/// How many devices ended how, over all waves.
fn outcomes(campaign: &Value) -> Vec<(String, u64)> {
    let mut counts = std::collections::BTreeMap::new();
    for wave in waves(campaign) {
        for (outcome, count) in wave["outcomes"].as_object().into_iter().flatten() {
            *counts.entry(outcome.clone()).or_insert(0) += count.as_u64().unwrap_or(0);
        }
    }
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn listed(outcomes: &[(String, u64)]) -> String {
    let texts: Vec<String> =
        outcomes.iter().map(|(outcome, count)| format!("{} {count}", printable(outcome))).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(", ") }
}

/// The progress: on a terminal in place, else a line for each change.
#[derive(Default)]
struct Display {
    last: String,
    lines: usize,
}

impl Display {
    fn show(&mut self, campaign: &Value, context: &mut Context<'_>) -> Result<(), Failure> {
        let text = match (context.json, context.console.is_terminal) {
            (true, _) => format!("{campaign}\n"),
            (false, true) => progress(campaign),
            (false, false) => line(campaign),
        };
        if text == self.last {
            return Ok(());
        }
        if context.console.is_terminal && !context.json {
            self.wipe(context.console)?;
        }
        context.console.out.write_all(text.as_bytes())?;
        context.console.out.flush()?;
        self.lines = text.lines().count();
        self.last = text;
        Ok(())
    }

    /// Goes back to where the last picture began.
    fn wipe(&self, console: &mut Console) -> Result<(), Failure> {
        if self.lines > 0 {
            write!(console.out, "\u{1b}[{}A\u{1b}[J", self.lines)?;
        }
        Ok(())
    }
}

fn totals(campaign: &Value) -> (u64, u64) {
    let sum = |name: &str| waves(campaign).map(|wave| wave[name].as_u64().unwrap_or(0)).sum();
    (sum("ended"), sum("devices"))
}

fn line(campaign: &Value) -> String {
    let (ended, devices) = totals(campaign);
    let waits_for = campaign.pointer("/waitsFor/message").and_then(Value::as_str).map(printable);
    format!(
        "{} wave {}: {ended} of {devices} ended, {}{}\n",
        printable(state_of(campaign)),
        cell(&campaign["wave"]),
        listed(&outcomes(campaign)),
        waits_for.map(|what| format!("; {what}")).unwrap_or_default()
    )
}

fn progress(campaign: &Value) -> String {
    let rows: Vec<Value> = waves(campaign)
        .map(|wave| {
            let mut row = wave.clone();
            let own: Vec<(String, u64)> = wave["outcomes"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(outcome, count)| (outcome.clone(), count.as_u64().unwrap_or(0)))
                .collect();
            row["shown"] = listed(&own).into();
            row
        })
        .collect();
    let (ended, devices) = totals(campaign);
    let share = |of: u64| (ended * of).checked_div(devices).unwrap_or(0).min(of);
    let done = usize::try_from(share(BAR)).unwrap_or(0);
    let bar = format!("{}{}", "#".repeat(done), ".".repeat(usize::try_from(BAR).unwrap_or(0) - done));
    format!(
        "{}  {}\n{}[{bar}] {}%  {ended} of {devices}\n",
        cell(&campaign["name"]),
        line(campaign).trim_end(),
        table(&WAVES, &rows, true),
        share(100)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn campaign() -> Value {
        json!({ "id": "x", "name": "move\u{1b}[2J", "state": "running", "wave": 1, "waves": [
            { "index": 0, "devices": 10, "pending": 0, "running": 0, "ended": 10, "outcomes": { "proven": 9, "rolledBack": 1 } },
            { "index": 1, "devices": 30, "pending": 20, "running": 0, "ended": 10, "outcomes": { "proven": 10, "noShow": 0 } },
        ] })
    }

    #[test]
    fn progress_counts_over_all_waves() {
        assert_eq!(line(&campaign()), "running wave 1: 20 of 40 ended, proven 19, rolledBack 1\n");
        let mut waiting = campaign();
        waiting["waitsFor"] = json!({ "name": "window", "message": "No maintenance window is open." });
        let told = "running wave 1: 20 of 40 ended, proven 19, rolledBack 1; No maintenance window is open.\n";
        assert_eq!(line(&waiting), told);
        let text = progress(&campaign());
        assert!(text.ends_with("] 50%  20 of 40\n"), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert_eq!(text.matches('#').count(), 20);
    }

    #[test]
    fn a_campaign_without_waves_is_shown_all_the_same() {
        for campaign in [json!({}), json!({ "state": "draft", "waves": [] })] {
            assert!(progress(&campaign).contains("0 of 0"));
        }
    }
}
