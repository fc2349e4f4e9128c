//! `ctl operations`

use super::bulk::{self, ExportTo, ImportFile};
use super::console::Column;
use super::resource::{self, Amount, id_of, query};
use super::wait::{Patience, judge, until_ended};
use super::{Context, Failure, input};
use reqwest::Method;
use serde_json::Value;
use std::path::PathBuf;

const OPERATIONS: [Column; 8] = [
    ("ID", "/id"),
    ("EID", "/eid"),
    ("KIND", "/kind"),
    ("STATE", "/state"),
    ("VERIFIED", "/verified"),
    ("CREATED", "/createdAt"),
    ("LABEL", "/label"),
    ("ERROR", "/error/name"),
];
const ENDED: [&str; 5] = ["succeeded", "failed", "expired", "cancelled", "rolledBack"];

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists operations.
    List {
        /// Only those for this device.
        #[arg(long)]
        eid: Option<String>,
        /// Only those in this state.
        #[arg(long)]
        state: Option<String>,
        /// The newest one first.
        #[arg(long)]
        newest: bool,
        #[command(flatten)]
        amount: Amount,
    },
    /// Shows an operation.
    Show {
        /// A UUID.
        id: String,
    },
    /// Asks a device for something.
    Create {
        /// 32 digits.
        eid: String,
        /// A JSON object as the API takes it; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Makes the request safe to repeat.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
        /// Waits until it has ended; the exit code is 0 only when it succeeded.
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        patience: Patience,
    },
    /// Says what the guard would say of it, and does nothing.
    Plan {
        /// 32 digits.
        eid: String,
        /// A JSON object as the API takes it; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Waits until an operation has ended; the exit code is 0 only when it succeeded.
    Wait {
        /// A UUID.
        id: String,
        #[command(flatten)]
        patience: Patience,
    },
    /// Takes back one that was not delivered.
    Cancel {
        /// A UUID.
        id: String,
    },
    /// Gives up waiting for one that was delivered.
    Abandon {
        /// A UUID.
        id: String,
    },
    /// Queues many operations, with a report on each line.
    Import {
        #[command(flatten)]
        import: ImportFile,
        /// Makes the whole import safe to repeat.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Writes operations and what became of them.
    Export {
        /// Only those for this device.
        #[arg(long)]
        eid: Option<String>,
        /// Only those in this state.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        export: ExportTo,
    },
}

pub(super) async fn run(command: Command, context: &mut Context<'_>) -> Result<(), Failure> {
    match command {
        Command::List { eid, state, newest, amount } => {
            let order = newest.then_some("newest");
            let query = query(&[("eid", eid.as_deref()), ("state", state.as_deref()), ("order", order)]);
            resource::list(&["operations"], &query, &OPERATIONS, &amount, context).await
        }
        Command::Show { id } => resource::show(&["operations", &id], context).await,
        Command::Create { eid, file, idempotency_key, wait, patience } => {
            let body = input::json(&file, context)?;
            let path = ["euiccs", &eid, "operations"];
            let key = idempotency_key.as_deref();
            if !wait {
                return resource::send(Method::POST, &path, Some(&body), key, context).await.map(drop);
            }
            let operation = context.api.call(Method::POST, &path, &[], Some(&body), key).await?;
            wait_for(&id_of(&operation)?, &patience, context).await
        }
        Command::Plan { eid, file } => {
            let body = input::json(&file, context)?;
            resource::plan(&["euiccs", &eid, "operations"], &body, context).await
        }
        Command::Wait { id, patience } => wait_for(&id, &patience, context).await,
        Command::Cancel { id } => resource::verb(&["operations", &id, "cancel"], context).await,
        Command::Abandon { id } => resource::verb(&["operations", &id, "abandon"], context).await,
        Command::Import { import, idempotency_key } => {
            bulk::import(&["imports", "operations"], &[], import, idempotency_key.as_deref(), context).await
        }
        Command::Export { eid, state, export } => {
            let query = query(&[("eid", eid.as_deref()), ("state", state.as_deref())]);
            bulk::export(&["exports", "operations"], &query, export, context).await
        }
    }
}

async fn wait_for(id: &str, patience: &Patience, context: &mut Context<'_>) -> Result<(), Failure> {
    let mut before = String::new();
    let path = ["operations", id];
    let operation = until_ended(&path, patience, context, |operation, context| {
        let state = state_of(operation);
        if state != before {
            context.console.note(&format!("operation {id}: {state}"));
            state.clone_into(&mut before);
        }
        Ok(ENDED.contains(&state))
    });
    let operation = operation.await?;
    resource::print(&operation, context)?;
    let state = state_of(&operation);
    judge(&format!("operation {id}"), state, state == "succeeded", &operation)
}

fn state_of(operation: &Value) -> &str {
    operation["state"].as_str().unwrap_or_default()
}
