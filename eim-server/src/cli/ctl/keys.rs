//! `ctl keys`

use super::console::Column;
use super::resource::{self, Amount};
use super::{Context, Failure};
use reqwest::Method;
use serde_json::{Map, Value, json};

const KEYS: [Column; 7] = [
    ("ID", "/id"),
    ("NAME", "/name"),
    ("ROLE", "/role"),
    ("SCOPES", "/scopes"),
    ("CREATED", "/createdAt"),
    ("EXPIRES", "/expiresAt"),
    ("LAST USED", "/lastUsedAt"),
];

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists keys.
    List {
        #[command(flatten)]
        amount: Amount,
    },
    /// Makes a key. It is shown once.
    Create {
        /// viewer, operator, approver or admin.
        #[arg(long)]
        role: String,
        /// For whom or what the key is.
        #[arg(long)]
        name: String,
        /// A group of routes that it is good for; may be given several times. Without it all of the role.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Good until this time (RFC 3339).
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        /// For this tenant.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Makes a new secret for a key; the old one is good for a while.
    Rotate {
        /// Its id.
        id: String,
        /// How long the old one is good.
        #[arg(long, value_name = "SECONDS")]
        overlap_seconds: Option<u64>,
    },
    /// Makes a key good for nothing.
    Revoke {
        /// Its id.
        id: String,
    },
}

pub(super) async fn run(command: Command, context: &mut Context<'_>) -> Result<(), Failure> {
    let post = Method::POST;
    match command {
        Command::List { amount } => resource::list(&["api-keys"], &[], &KEYS, &amount, context).await,
        Command::Create { role, name, scopes, expires_at, tenant } => {
            let mut body = Map::new();
            let texts = [("role", Some(role)), ("name", Some(name)), ("expiresAt", expires_at), ("tenant", tenant)];
            for (member, text) in texts {
                if let Some(text) = text {
                    body.insert(member.to_owned(), text.into());
                }
            }
            if !scopes.is_empty() {
                body.insert("scopes".to_owned(), json!(scopes));
            }
            resource::send(post, &["api-keys"], Some(&Value::Object(body)), None, context).await.map(drop)
        }
        Command::Rotate { id, overlap_seconds } => {
            let body = overlap_seconds.map_or_else(|| json!({}), |seconds| json!({ "overlapSeconds": seconds }));
            resource::send(post, &["api-keys", &id, "rotate"], Some(&body), None, context).await.map(drop)
        }
        Command::Revoke { id } => resource::verb(&["api-keys", &id, "revoke"], context).await,
    }
}
