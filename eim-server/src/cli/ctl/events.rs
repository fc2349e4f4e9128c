//! `ctl events`

use super::console::Column;
use super::resource::{print_items, query};
use super::wait::Patience;
use super::{Context, Failure};

const EVENTS: [Column; 4] = [("TIME", "/time"), ("TYPE", "/type"), ("SUBJECT", "/subject"), ("DATA", "/data")];

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Prints events as they happen, or those from a position on. Ends by an interrupt, or with --no-follow at the end.
    Tail {
        /// From this position on, as an earlier `tail` told it; `start` for the whole stream, `end` (the default) for what
        /// happens from now on.
        #[arg(long, default_value = "end", value_name = "CURSOR")]
        after: String,
        /// Only this type, or what it begins with and `*`.
        #[arg(long = "type", value_name = "TYPE")]
        event_type: Option<String>,
        /// Only what is about this, for example campaigns/ID.
        #[arg(long)]
        subject: Option<String>,
        /// Only what is about this device.
        #[arg(long)]
        eid: Option<String>,
        /// Ends where the stream ends now.
        #[arg(long)]
        no_follow: bool,
        #[command(flatten)]
        patience: Patience,
    },
}

pub(super) async fn run(command: Command, context: &mut Context<'_>) -> Result<(), Failure> {
    let Command::Tail { after, event_type, subject, eid, no_follow, patience } = command;
    let filter = query(&[("type", event_type.as_deref()), ("subject", subject.as_deref()), ("eid", eid.as_deref())]);
    let mut after = Some(after).filter(|after| after != "start");
    let mut with_titles = true;
    let mut told = String::new();
    loop {
        let mut query = filter.clone();
        if let Some(after) = &after {
            query.push(("after", after));
        }
        let page = match context.api.get(&["events"], &query).await {
            Ok(page) => page,
            // A tail goes on where it was when the server comes back.
            Err(failure) if failure.may_pass() && !no_follow => {
                failure.tell(context.json, context.console);
                tokio::time::sleep(patience.interval()).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let items = page["items"].as_array().cloned().unwrap_or_default();
        if !items.is_empty() {
            print_items(&items, &EVENTS, with_titles, context)?;
            with_titles = false;
        }
        let Some(next) = page["nextCursor"].as_str() else {
            return Err(Failure::Unreachable("the answer has no nextCursor".to_owned()));
        };
        after = Some(next.to_owned());
        if page["more"] == true || (page["more"].is_null() && !items.is_empty()) {
            continue;
        }
        if no_follow {
            context.console.note(&format!("to go on: --after {next}"));
            return Ok(());
        }
        if told.is_empty() {
            next.clone_into(&mut told);
            context.console.note(&format!("following from {next}"));
        }
        tokio::time::sleep(patience.interval()).await;
    }
}
