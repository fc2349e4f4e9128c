//! `ctl rules`

use super::console::Column;
use super::resource::{self, Amount};
use super::{Context, Failure, input};
use reqwest::Method;
use std::path::PathBuf;

const RULES: [Column; 4] = [("ID", "/id"), ("NAME", "/name"), ("STATE", "/state"), ("CREATED", "/createdAt")];
const FIRINGS: [Column; 4] = [("AT", "/at"), ("EID", "/eid"), ("OUTCOME", "/outcome"), ("EVENT", "/event/type")];

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists rules.
    List {
        #[command(flatten)]
        amount: Amount,
    },
    /// Shows a rule.
    Show {
        /// Its id.
        id: String,
    },
    /// Makes a rule.
    Create {
        /// A JSON object as the API takes it; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Says what it would do, and makes nothing.
        #[arg(long)]
        dry_run: bool,
        /// Makes the request safe to repeat.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Changes a rule.
    Update {
        /// Its id.
        id: String,
        /// A JSON merge patch; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Removes a rule.
    Delete {
        /// Its id.
        id: String,
    },
    /// Lists when a rule fired and what came of it.
    Firings {
        /// Its id.
        id: String,
        #[command(flatten)]
        amount: Amount,
    },
}

pub(super) async fn run(command: Command, context: &mut Context<'_>) -> Result<(), Failure> {
    match command {
        Command::List { amount } => resource::list(&["rules"], &[], &RULES, &amount, context).await,
        Command::Show { id } => resource::show(&["rules", &id], context).await,
        Command::Create { file, dry_run, idempotency_key } => {
            let body = input::json(&file, context)?;
            let query: &[(&str, &str)] = if dry_run { &[("dryRun", "true")] } else { &[] };
            let key = idempotency_key.as_deref();
            let rule = context.api.call(Method::POST, &["rules"], query, Some(&body), key).await?;
            resource::print(&rule, context)
        }
        Command::Update { id, file } => {
            let body = input::json(&file, context)?;
            resource::send(Method::PATCH, &["rules", &id], Some(&body), None, context).await.map(drop)
        }
        Command::Delete { id } => resource::send(Method::DELETE, &["rules", &id], None, None, context).await.map(drop),
        Command::Firings { id, amount } => {
            resource::list(&["rules", &id, "firings"], &[], &FIRINGS, &amount, context).await
        }
    }
}
