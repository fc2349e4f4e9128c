//! `ctl pools`

use super::console::Column;
use super::resource::{self, Amount, query};
use super::{Context, Failure, input};
use reqwest::Method;
use serde_json::json;
use std::path::PathBuf;

const POOLS: [Column; 5] =
    [("ID", "/id"), ("NAME", "/name"), ("FREE", "/free"), ("LOW WATER", "/lowWater"), ("CREATED", "/createdAt")];
const CODES: [Column; 6] = [
    ("ID", "/id"),
    ("STATE", "/state"),
    ("SM-DP+", "/smdpAddress"),
    ("EID", "/eid"),
    ("SWITCH", "/switch"),
    ("CHANGED", "/changedAt"),
];
/// How many codes travel in one request.
const PART: usize = 1000;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists pools.
    List {
        #[command(flatten)]
        amount: Amount,
    },
    /// Shows a pool.
    Show {
        /// Its id or name.
        pool: String,
    },
    /// Makes an empty pool.
    Create {
        /// A name, one of a kind.
        name: String,
        /// Below so many free codes an event says so.
        #[arg(long, value_name = "N")]
        low_water: Option<i64>,
    },
    /// Adds activation codes, one on each line of a file. Codes that are known already are left as they are.
    Import {
        /// The pool's id or name.
        pool: String,
        /// The file; `-` is standard input.
        file: PathBuf,
    },
    /// Lists the codes of a pool. The codes themselves are never shown.
    Codes {
        /// The pool's id or name.
        pool: String,
        /// Only those in this state.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        amount: Amount,
    },
    /// Puts a spent code back.
    Release {
        /// The pool's id or name.
        pool: String,
        /// The id of the code, as `codes` lists it.
        code: String,
    },
}

pub(super) async fn run(command: Command, context: &mut Context<'_>) -> Result<(), Failure> {
    match command {
        Command::List { amount } => resource::list(&["pools"], &[], &POOLS, &amount, context).await,
        Command::Show { pool } => resource::show(&["pools", &pool], context).await,
        Command::Create { name, low_water } => {
            let mut body = json!({ "name": name });
            if let Some(low_water) = low_water {
                body["lowWater"] = low_water.into();
            }
            resource::send(Method::POST, &["pools"], Some(&body), None, context).await.map(drop)
        }
        Command::Import { pool, file } => import(&pool, &input::text(&file, context)?, context).await,
        Command::Codes { pool, state, amount } => {
            let query = query(&[("state", state.as_deref())]);
            resource::list(&["pools", &pool, "codes"], &query, &CODES, &amount, context).await
        }
        Command::Release { pool, code } => resource::verb(&["pools", &pool, "codes", &code, "release"], context).await,
    }
}

async fn import(pool: &str, text: &str, context: &mut Context<'_>) -> Result<(), Failure> {
    let codes: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let (mut imported, mut known) = (0, 0);
    for (index, part) in codes.chunks(PART).enumerate() {
        let body = json!({ "codes": part });
        let sent = context.api.call(Method::POST, &["pools", pool, "codes"], &[], Some(&body), None).await;
        let answer = sent.inspect_err(|_| {
            let before = index * PART;
            context
                .console
                .note(&format!("the first {before} codes are in the pool; the refused ones count from there"));
        })?;
        imported += answer["imported"].as_u64().unwrap_or(0);
        known += answer["knownAlready"].as_u64().unwrap_or(0);
    }
    resource::print(&json!({ "imported": imported, "knownAlready": known }), context)
}
