//! `ctl key-rotations`

use super::console::Column;
use super::resource::{self, Amount, query};
use super::{Context, Failure};
use reqwest::Method;
use serde_json::{Value, json};

const ROTATIONS: [Column; 8] = [
    ("ID", "/id"),
    ("STATE", "/state"),
    ("PENDING", "/devices/pending"),
    ("RUNNING", "/devices/running"),
    ("ROTATED", "/devices/rotated"),
    ("FAILED", "/devices/failed"),
    ("NOT REACHABLE", "/devices/notReachable"),
    ("TO", "/to"),
];
const DEVICES: [Column; 5] =
    [("EID", "/eid"), ("STATE", "/state"), ("ATTEMPTS", "/attempts"), ("SEEN", "/lastSeenAt"), ("REASON", "/reason")];
const KEYS: [Column; 5] =
    [("ID", "/id"), ("EIM", "/eimId"), ("LOADED", "/loaded"), ("CURRENT", "/current"), ("DEVICES", "/devices")];

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists the signing keys, with how many devices trust each.
    Keys,
    /// Lists rotations.
    List {
        #[command(flatten)]
        amount: Amount,
    },
    /// Shows a rotation with its progress.
    Show {
        /// Its id.
        id: String,
    },
    /// Begins to give devices another signing key.
    Start {
        /// Every device.
        #[arg(long, required_unless_present_any = ["tag", "eid"])]
        all: bool,
        /// Those with all of these tags.
        #[arg(long, conflicts_with = "all")]
        tag: Vec<String>,
        /// Those with one of these EIDs.
        #[arg(long, conflicts_with = "all")]
        eid: Vec<String>,
        /// The id of the key, in place of the one that new associations get.
        #[arg(long, value_name = "KEY-ID")]
        to: Option<String>,
        /// How many devices are begun within a minute.
        #[arg(long, value_name = "N")]
        rate: Option<i64>,
        /// A name for it.
        #[arg(long)]
        label: Option<String>,
        /// Makes the request safe to repeat.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Lists the devices of a rotation.
    Devices {
        /// Its id.
        id: String,
        /// Only those in this state; those that lag behind are `running`, `failed` or `notReachable`.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        amount: Amount,
    },
    /// Begins no more devices.
    Pause {
        /// Its id.
        id: String,
    },
    /// Goes on.
    Resume {
        /// Its id.
        id: String,
    },
    /// Withdraws what was not delivered, and waits for the rest.
    Cancel {
        /// Its id.
        id: String,
    },
    /// Ends it; who has not answered is named as not reachable.
    Close {
        /// Its id.
        id: String,
    },
}

pub(super) async fn run(command: Command, context: &mut Context<'_>) -> Result<(), Failure> {
    const NOUN: &str = "key-rotations";
    match command {
        Command::Keys => {
            let page = context.api.get(&["signing-keys"], &[]).await?;
            let items = page["items"].as_array().cloned().unwrap_or_default();
            resource::print_items(&items, &KEYS, true, context)
        }
        Command::List { amount } => resource::list(&[NOUN], &[], &ROTATIONS, &amount, context).await,
        Command::Show { id } => resource::show(&[NOUN, &id], context).await,
        Command::Start { all, tag, eid, to, rate, label, idempotency_key } => {
            let mut filter = json!({});
            if all {
                filter["all"] = true.into();
            }
            for (name, list) in [("tags", tag), ("eids", eid)] {
                if !list.is_empty() {
                    filter[name] = json!(list);
                }
            }
            let mut body = json!({ "filter": filter });
            for (name, value) in [
                ("to", to.map(Value::from)),
                ("ratePerMinute", rate.map(Value::from)),
                ("label", label.map(Value::from)),
            ] {
                if let Some(value) = value {
                    body[name] = value;
                }
            }
            let key = idempotency_key.as_deref();
            resource::send(Method::POST, &[NOUN], Some(&body), key, context).await.map(drop)
        }
        Command::Devices { id, state, amount } => {
            let query = query(&[("state", state.as_deref())]);
            resource::list(&[NOUN, &id, "devices"], &query, &DEVICES, &amount, context).await
        }
        Command::Pause { id } => resource::verb(&[NOUN, &id, "pause"], context).await,
        Command::Resume { id } => resource::verb(&[NOUN, &id, "resume"], context).await,
        Command::Cancel { id } => resource::verb(&[NOUN, &id, "cancel"], context).await,
        Command::Close { id } => resource::verb(&[NOUN, &id, "close"], context).await,
    }
}
