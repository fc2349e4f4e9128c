//! `ctl handovers`

use super::bulk;
use super::console::Column;
use super::resource::{self, Amount, query};
use super::{Context, Failure, input};
use reqwest::Method;
use serde_json::json;
use std::path::PathBuf;

const HANDOVERS: [Column; 6] = [
    ("ID", "/id"),
    ("TO", "/eimId"),
    ("STATE", "/state"),
    ("DEVICES", "/devices"),
    ("DELETES OWN", "/deleteOwn"),
    ("CREATED", "/createdAt"),
];
const DEVICES: [Column; 6] = [
    ("EID", "/eid"),
    ("STATE", "/state"),
    ("NO RETURN", "/pastPointOfNoReturn"),
    ("MAY RETRY", "/mayBeRetried"),
    ("PROOF", "/proof"),
    ("REASON", "/reason"),
];

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists hand-overs.
    List {
        #[command(flatten)]
        amount: Amount,
    },
    /// Shows a hand-over with its totals.
    Show {
        /// Its id.
        id: String,
    },
    /// Begins to hand devices over to another eIM.
    Create {
        /// A JSON object as the API takes it; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Makes the request safe to repeat.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Lists the devices of a hand-over.
    Devices {
        /// Its id.
        id: String,
        /// Only devices in this state.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        amount: Amount,
    },
    /// Writes what the other eIM needs to command the devices, as its import of eUICCs takes it.
    Offer {
        /// Its id.
        id: String,
        /// Writes to this file, which is there when the offer is whole; standard output without it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Takes proofs of the other eIM.
    Prove {
        /// Its id.
        id: String,
        /// `{"proofs": [...]}`; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Says on your own word that the other eIM commands devices.
    Confirm {
        /// Its id.
        id: String,
        /// The devices.
        #[arg(required = true, value_name = "EID")]
        eids: Vec<String>,
    },
    /// Calls a hand-over off.
    Cancel {
        /// Its id.
        id: String,
    },
    /// Begins nothing more until it is resumed.
    Pause {
        /// Its id.
        id: String,
    },
    /// Goes on with a hand-over that was paused.
    Resume {
        /// Its id.
        id: String,
    },
    /// Tries the devices again that failed before the point of no return.
    RetryFailed {
        /// Its id.
        id: String,
    },
    /// For the eIM that takes over: its signed word that it commands a device.
    Proof {
        /// The device.
        eid: String,
        /// The hand-over, as the other eIM names it.
        #[arg(long, value_name = "ID")]
        handover: String,
        /// The id of the key that signs, where the device's was rotated since the other eIM was told.
        #[arg(long, value_name = "KEY-ID")]
        signing_key: Option<String>,
    },
}

pub(super) async fn run(command: Command, context: &mut Context<'_>) -> Result<(), Failure> {
    match command {
        Command::List { amount } => resource::list(&["handovers"], &[], &HANDOVERS, &amount, context).await,
        Command::Show { id } => resource::show(&["handovers", &id], context).await,
        Command::Create { file, idempotency_key } => {
            let body = input::json(&file, context)?;
            let key = idempotency_key.as_deref();
            resource::send(Method::POST, &["handovers"], Some(&body), key, context).await.map(drop)
        }
        Command::Devices { id, state, amount } => {
            let query = query(&[("state", state.as_deref())]);
            resource::list(&["handovers", &id, "devices"], &query, &DEVICES, &amount, context).await
        }
        Command::Offer { id, out } => bulk::download(&["handovers", &id, "offer"], &[], out, context).await,
        Command::Prove { id, file } => {
            let body = input::json(&file, context)?;
            resource::send(Method::POST, &["handovers", &id, "proofs"], Some(&body), None, context).await.map(drop)
        }
        Command::Confirm { id, eids } => {
            let body = json!({ "eids": eids });
            resource::send(Method::POST, &["handovers", &id, "confirm"], Some(&body), None, context).await.map(drop)
        }
        Command::Cancel { id } => resource::verb(&["handovers", &id, "cancel"], context).await,
        Command::Pause { id } => resource::verb(&["handovers", &id, "pause"], context).await,
        Command::Resume { id } => resource::verb(&["handovers", &id, "resume"], context).await,
        Command::RetryFailed { id } => resource::verb(&["handovers", &id, "retryFailed"], context).await,
        Command::Proof { eid, handover, signing_key } => {
            let named = query(&[("handover", Some(handover.as_str())), ("signingKey", signing_key.as_deref())]);
            let proof = context.api.get(&["euiccs", &eid, "handover-proof"], &named).await?;
            resource::print(&proof, context)
        }
    }
}
