//! `ctl webhooks`

use super::console::Column;
use super::resource::{self, Amount, query};
use super::{Context, Failure, input};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

const WEBHOOKS: [Column; 6] = [
    ("ID", "/id"),
    ("STATE", "/state"),
    ("URL", "/url"),
    ("TYPES", "/types"),
    ("LAST SUCCESS", "/lastSuccessAt"),
    ("LAST ERROR", "/lastError"),
];
const DELIVERIES: [Column; 6] = [
    ("ID", "/id"),
    ("STATE", "/state"),
    ("TYPE", "/eventType"),
    ("ATTEMPTS", "/attempts"),
    ("CREATED", "/createdAt"),
    ("LAST ERROR", "/lastError"),
];

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists webhooks.
    List {
        #[command(flatten)]
        amount: Amount,
    },
    /// Shows a webhook.
    Show {
        /// Its id.
        id: String,
    },
    /// Makes a webhook. Its secret is shown once.
    Create {
        /// A JSON object as the API takes it; `-` is standard input. Options beside it win.
        #[arg(long, value_name = "FILE", required_unless_present = "to")]
        file: Option<PathBuf>,
        /// The address that is called.
        #[arg(long = "to", value_name = "URL")]
        to: Option<String>,
        /// A type of events, or the beginning of some and `*`; may be given several times.
        #[arg(long = "type", value_name = "TYPE")]
        types: Vec<String>,
        /// Makes the request safe to repeat.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Changes a webhook.
    Update {
        /// Its id.
        id: String,
        /// A JSON merge patch; `-` is standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Removes a webhook.
    Delete {
        /// Its id.
        id: String,
    },
    /// Gives it a new secret; the old one is valid for a while.
    RotateSecret {
        /// Its id.
        id: String,
        /// How long the old one is valid.
        #[arg(long, value_name = "SECONDS")]
        overlap_seconds: Option<u64>,
    },
    /// Sends the events of a time again.
    Replay {
        /// Its id.
        id: String,
        /// From this time on (RFC 3339).
        #[arg(long, value_name = "TIME")]
        from: String,
        /// Up to this time (RFC 3339).
        #[arg(long, value_name = "TIME")]
        to: String,
    },
    /// Sends an event to try it.
    Test {
        /// Its id.
        id: String,
    },
    /// Lists deliveries.
    Deliveries {
        /// The webhook's id.
        id: String,
        /// Only those in this state.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        amount: Amount,
    },
    /// Tries a delivery again that was given up.
    Retry {
        /// The delivery's id.
        delivery: String,
    },
}

pub(super) async fn run(command: Command, context: &mut Context<'_>) -> Result<(), Failure> {
    let post = Method::POST;
    match command {
        Command::List { amount } => resource::list(&["webhooks"], &[], &WEBHOOKS, &amount, context).await,
        Command::Show { id } => resource::show(&["webhooks", &id], context).await,
        Command::Create { file, to, types, idempotency_key } => {
            let mut body = match file {
                None => Map::new(),
                Some(path) => match input::json(&path, context)? {
                    Value::Object(members) => members,
                    _ => return Err(Failure::Usage("--file: a JSON object is expected".to_owned())),
                },
            };
            if let Some(to) = to {
                body.insert("url".to_owned(), to.into());
            }
            if !types.is_empty() {
                body.insert("types".to_owned(), json!(types));
            }
            resource::send(post, &["webhooks"], Some(&body.into()), idempotency_key.as_deref(), context).await.map(drop)
        }
        Command::Update { id, file } => {
            let body = input::json(&file, context)?;
            resource::send(Method::PATCH, &["webhooks", &id], Some(&body), None, context).await.map(drop)
        }
        Command::Delete { id } => {
            resource::send(Method::DELETE, &["webhooks", &id], None, None, context).await.map(drop)
        }
        Command::RotateSecret { id, overlap_seconds } => {
            let body = overlap_seconds.map_or_else(|| json!({}), |seconds| json!({ "overlapSeconds": seconds }));
            resource::send(post, &["webhooks", &id, "rotate-secret"], Some(&body), None, context).await.map(drop)
        }
        Command::Replay { id, from, to } => {
            let body = json!({ "from": from, "to": to });
            resource::send(post, &["webhooks", &id, "replay"], Some(&body), None, context).await.map(drop)
        }
        Command::Test { id } => resource::verb(&["webhooks", &id, "test"], context).await,
        Command::Deliveries { id, state, amount } => {
            let query = query(&[("state", state.as_deref())]);
            resource::list(&["webhooks", &id, "deliveries"], &query, &DELIVERIES, &amount, context).await
        }
        Command::Retry { delivery } => resource::verb(&["webhook-deliveries", &delivery, "retry"], context).await,
    }
}
