//! `ctl audit`

use super::bulk;
use super::console::Column;
use super::resource::{self, Amount, query};
use super::{Context, Failure};
use std::path::PathBuf;

const RECORDS: [Column; 5] =
    [("POSITION", "/position"), ("AT", "/at"), ("TYPE", "/type"), ("EID", "/eid"), ("SUBJECT", "/subject")];
const CHECKPOINTS: [Column; 3] = [("NUMBER", "/number"), ("POSITION", "/position"), ("AT", "/at")];

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists records of the audit log, oldest first.
    List {
        /// Only records about this eUICC.
        #[arg(long)]
        eid: Option<String>,
        /// Only records of this type.
        #[arg(long = "type", value_name = "TYPE")]
        record_type: Option<String>,
        #[command(flatten)]
        amount: Amount,
    },
    /// Lists checkpoints. Keep the last one somewhere else (`--json`).
    Checkpoints {
        #[command(flatten)]
        amount: Amount,
    },
    /// Writes the whole log as NDJSON, which `eim-server audit verify --file` takes.
    Export {
        /// Writes to this file, which is there when the export is whole; standard output without it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub(super) async fn run(command: Command, context: &mut Context<'_>) -> Result<(), Failure> {
    match command {
        Command::List { eid, record_type, amount } => {
            let query = query(&[("eid", eid.as_deref()), ("type", record_type.as_deref())]);
            resource::list(&["audit"], &query, &RECORDS, &amount, context).await
        }
        Command::Checkpoints { amount } => {
            resource::list(&["audit", "checkpoints"], &[], &CHECKPOINTS, &amount, context).await
        }
        Command::Export { out } => bulk::download(&["exports", "audit"], &[], out, context).await,
    }
}
