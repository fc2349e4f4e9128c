//! `ctl pools`

use super::console::Column;
use super::resource::{self, Amount};
use super::{Context, Failure, input};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;

const POOLS: [Column; 5] = [
    ("ID", "/id"),
    ("NAME", "/name"),
    ("FREE", "/counts/free"),
    ("RESERVED", "/counts/reserved"),
    ("USED", "/counts/used"),
];
/// How many codes travel in one request.
const PART: usize = 500;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists pools.
    List {
        #[command(flatten)]
        amount: Amount,
    },
    /// Shows a pool. Codes are never shown.
    Show {
        /// Its id.
        id: String,
    },
    /// Makes a pool.
    Create {
        /// A JSON object as the API takes it; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Makes the request safe to repeat.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Adds activation codes, one on each line of a file. Codes that are in it already are passed over by the server.
    Import {
        /// The pool's id.
        id: String,
        /// The file; `-` is standard input.
        file: PathBuf,
    },
    /// Removes a pool.
    Delete {
        /// Its id.
        id: String,
    },
}

pub(super) async fn run(command: Command, context: &mut Context<'_>) -> Result<(), Failure> {
    match command {
        Command::List { amount } => resource::list(&["pools"], &[], &POOLS, &amount, context).await,
        Command::Show { id } => resource::show(&["pools", &id], context).await,
        Command::Create { file, idempotency_key } => {
            let body = input::json(&file, context)?;
            let key = idempotency_key.as_deref();
            resource::send(Method::POST, &["pools"], Some(&body), key, context).await.map(drop)
        }
        Command::Import { id, file } => {
            let text = input::text(&file, context)?;
            let codes: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let mut pool = Value::Null;
            for (index, part) in codes.chunks(PART).enumerate() {
                let body = json!({ "activationCodes": part });
                let sent = context.api.call(Method::POST, &["pools", &id, "codes"], &[], Some(&body), None).await;
                pool = sent.inspect_err(|_| {
                    let done = index * PART;
                    context.console.note(&format!("{done} of {} codes were added before", codes.len()));
                })?;
            }
            resource::print(&pool, context)
        }
        Command::Delete { id } => resource::send(Method::DELETE, &["pools", &id], None, None, context).await.map(drop),
    }
}
