//! `ctl desired-states`

use super::console::Column;
use super::resource::{self, Amount, query};
use super::{Context, Failure, input};
use reqwest::Method;
use std::path::PathBuf;

const STATES: [Column; 9] = [
    ("ID", "/id"),
    ("NAME", "/name"),
    ("EID", "/eid"),
    ("PRIORITY", "/priority"),
    ("ENFORCE", "/enforce"),
    ("DEVICES", "/devices/governed"),
    ("DRIFTING", "/devices/drifting"),
    ("GIVEN UP", "/devices/givenUp"),
    ("UNKNOWN", "/devices/unknown"),
];
const DEVICES: [Column; 6] = [
    ("EID", "/eid"),
    ("DRIFT", "/drift"),
    ("CORRECTING", "/correcting"),
    ("DIFFERENCE", "/differences/0/message"),
    ("REASON", "/reason/message"),
    ("NEXT TRY", "/nextTryAt"),
];

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists desired states, with how many devices stand how.
    List {
        #[command(flatten)]
        amount: Amount,
    },
    /// Shows a desired state.
    Show {
        /// Its id.
        id: String,
    },
    /// Makes a desired state for the devices that a filter matches.
    Create {
        /// A JSON object as the API takes it; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Makes the request safe to repeat.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Changes a desired state; devices that were given up are tried again.
    Update {
        /// Its id.
        id: String,
        /// A JSON merge patch; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Removes a desired state. Devices stay as they are.
    Delete {
        /// Its id.
        id: String,
    },
    /// Lists the devices for which a desired state counts.
    Devices {
        /// Its id.
        id: String,
        /// Only those that stand so: inLine, drifting, unknown.
        #[arg(long)]
        drift: Option<String>,
        /// Only those about which this is done: none, correcting, waiting, refused, givenUp.
        #[arg(long)]
        correcting: Option<String>,
        #[command(flatten)]
        amount: Amount,
    },
    /// Shows what is desired of a device, and how it stands.
    Device {
        /// Its EID.
        eid: String,
    },
    /// Gives a device a desired state of its own.
    Set {
        /// Its EID.
        eid: String,
        /// A JSON object as the API takes it; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Removes a device's own desired state.
    Unset {
        /// Its EID.
        eid: String,
    },
}

const NOUN: &str = "desired-states";

pub(super) async fn run(command: Command, context: &mut Context<'_>) -> Result<(), Failure> {
    match command {
        Command::List { amount } => resource::list(&[NOUN], &[], &STATES, &amount, context).await,
        Command::Show { id } => resource::show(&[NOUN, &id], context).await,
        Command::Create { file, idempotency_key } => {
            let body = input::json(&file, context)?;
            let key = idempotency_key.as_deref();
            resource::send(Method::POST, &[NOUN], Some(&body), key, context).await.map(drop)
        }
        Command::Update { id, file } => {
            let body = input::json(&file, context)?;
            resource::send(Method::PATCH, &[NOUN, &id], Some(&body), None, context).await.map(drop)
        }
        Command::Delete { id } => resource::send(Method::DELETE, &[NOUN, &id], None, None, context).await.map(drop),
        Command::Devices { id, drift, correcting, amount } => {
            let query = query(&[("drift", drift.as_deref()), ("correcting", correcting.as_deref())]);
            resource::list(&[NOUN, &id, "devices"], &query, &DEVICES, &amount, context).await
        }
        Command::Device { eid } => resource::show(&["euiccs", &eid, "desired-state"], context).await,
        Command::Set { eid, file } => {
            let body = input::json(&file, context)?;
            resource::send(Method::PUT, &["euiccs", &eid, "desired-state"], Some(&body), None, context).await.map(drop)
        }
        Command::Unset { eid } => {
            resource::send(Method::DELETE, &["euiccs", &eid, "desired-state"], None, None, context).await.map(drop)
        }
    }
}
