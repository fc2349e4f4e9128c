//! `ctl switches`

use super::console::Column;
use super::resource::{self, Amount, id_of, query};
use super::wait::{Patience, judge, until_ended};
use super::{Context, Failure, input};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

const SWITCHES: [Column; 7] = [
    ("ID", "/id"),
    ("EID", "/eid"),
    ("STATE", "/state"),
    ("OUTCOME", "/outcome"),
    ("CREATED", "/createdAt"),
    ("DEADLINE", "/deadline"),
    ("REASON", "/reason/message"),
];
/// The outcomes that are what was wanted.
pub(super) const GOOD: [&str; 3] = ["proven", "unchanged", "succeeded"];

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists switches.
    List {
        /// Only those of this device.
        #[arg(long)]
        eid: Option<String>,
        /// Only those in this state.
        #[arg(long)]
        state: Option<String>,
        /// Only those that ended so.
        #[arg(long)]
        outcome: Option<String>,
        /// Only those of this campaign.
        #[arg(long)]
        campaign: Option<String>,
        /// The newest one first.
        #[arg(long)]
        newest: bool,
        #[command(flatten)]
        amount: Amount,
    },
    /// Shows a switch.
    Show {
        /// A UUID.
        id: String,
    },
    /// Moves a device to another profile.
    Create {
        #[command(flatten)]
        wanted: Box<Wanted>,
        /// Makes the request safe to repeat.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
        /// Waits until it has ended; the exit code is 0 only when it is proven.
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        patience: Patience,
    },
    /// Says what the guard would say, and does nothing.
    Plan {
        #[command(flatten)]
        wanted: Box<Wanted>,
    },
    /// Waits until a switch has ended; the exit code is 0 only when it is proven.
    Wait {
        /// A UUID.
        id: String,
        #[command(flatten)]
        patience: Patience,
    },
    /// Takes back what was not delivered.
    Cancel {
        /// A UUID.
        id: String,
    },
}

/// The switch that is wanted. Activation codes and confirmation codes come in a file.
#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    /// 32 digits.
    eid: String,
    /// A JSON object as the API takes it; `-` is standard input. Options beside it win.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// To this profile, which is on the device.
    #[arg(long, value_name = "ICCID", conflicts_with_all = ["to_default_smdp", "to_smds"])]
    to_iccid: Option<String>,
    /// To what the default SM-DP+ has for it.
    #[arg(long, conflicts_with = "to_smds")]
    to_default_smdp: bool,
    /// To what this SM-DS says; without an address the root SM-DS of the eUICC.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "")]
    to_smds: Option<String>,
    /// Whether the eUICC goes back by itself when the new profile has no network.
    #[arg(long, value_name = "BOOL")]
    rollback: Option<bool>,
    /// never or afterProof.
    #[arg(long, value_name = "WHEN")]
    delete_old: Option<String>,
    /// The device must be seen again within so many of its poll intervals.
    #[arg(long, value_name = "INTERVALS")]
    seen_again_within: Option<f64>,
    /// A network that the device may report afterwards; may be given several times.
    #[arg(long = "expected-plmn", value_name = "PLMN")]
    expected_plmns: Vec<String>,
    /// A check that need not pass; may be given several times.
    #[arg(long = "waive", value_name = "CHECK")]
    waived: Vec<String>,
    /// A check that is overridden, which needs the role admin; may be given several times.
    #[arg(long = "override", value_name = "CHECK")]
    overridden: Vec<String>,
    /// Not before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    not_before: Option<String>,
    /// Your own name for it.
    #[arg(long)]
    label: Option<String>,
}

pub(super) async fn run(command: Command, context: &mut Context<'_>) -> Result<(), Failure> {
    match command {
        Command::List { eid, state, outcome, campaign, newest, amount } => {
            let query = query(&[
                ("eid", eid.as_deref()),
                ("state", state.as_deref()),
                ("outcome", outcome.as_deref()),
                ("campaign", campaign.as_deref()),
                ("order", newest.then_some("newest")),
            ]);
            resource::list(&["switches"], &query, &SWITCHES, &amount, context).await
        }
        Command::Show { id } => resource::show(&["switches", &id], context).await,
        Command::Create { wanted, idempotency_key, wait, patience } => {
            let body = wanted.body(context)?;
            let path = ["euiccs", &wanted.eid, "switches"];
            let key = idempotency_key.as_deref();
            if !wait {
                return resource::send(Method::POST, &path, Some(&body), key, context).await.map(drop);
            }
            let switch = context.api.call(Method::POST, &path, &[], Some(&body), key).await?;
            wait_for(&id_of(&switch)?, &patience, context).await
        }
        Command::Plan { wanted } => {
            let body = wanted.body(context)?;
            let path = ["euiccs", &wanted.eid, "switches"];
            resource::plan(&path, &body, context).await
        }
        Command::Wait { id, patience } => wait_for(&id, &patience, context).await,
        Command::Cancel { id } => resource::verb(&["switches", &id, "cancel"], context).await,
    }
}

async fn wait_for(id: &str, patience: &Patience, context: &mut Context<'_>) -> Result<(), Failure> {
    let mut before = String::new();
    let path = ["switches", id];
    let switch = until_ended(&path, patience, context, |switch, context| {
        let state = switch["state"].as_str().unwrap_or_default();
        if state != before {
            let next = switch["nextPollExpectedAt"].as_str().filter(|_| state != "ended");
            let next = next.map(|next| format!(", next poll expected at {next}")).unwrap_or_default();
            context.console.note(&format!("switch {id}: {state}{next}"));
            state.clone_into(&mut before);
        }
        Ok(state == "ended")
    });
    let switch = switch.await?;
    resource::print(&switch, context)?;
    let outcome = switch["outcome"].as_str().unwrap_or_default();
    judge(&format!("switch {id}"), outcome, GOOD.contains(&outcome), &switch)
}

impl Wanted {
    fn body(&self, context: &mut Context<'_>) -> Result<Value, Failure> {
        let mut body = match &self.file {
            None => Map::new(),
            Some(path) => match input::json(path, context)? {
                Value::Object(members) => members,
                _ => return Err(Failure::Usage("--file: a JSON object is expected".to_owned())),
            },
        };
        let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
        match (&self.to_iccid, self.to_default_smdp, self.to_smds.as_deref()) {
            (Some(iccid), ..) => put("to", json!({ "iccid": iccid })),
            (None, true, _) => put("to", json!({ "defaultSmdp": true })),
            (None, false, Some("")) => put("to", json!({ "smds": {} })),
            (None, false, Some(address)) => put("to", json!({ "smds": { "address": address } })),
            (None, false, None) => {}
        }
        if let Some(rollback) = self.rollback {
            put("rollback", rollback.into());
        }
        for (name, text) in [("deleteOld", &self.delete_old), ("notBefore", &self.not_before), ("label", &self.label)] {
            if let Some(text) = text {
                put(name, text.as_str().into());
            }
        }
        if !self.waived.is_empty() {
            put("waive", json!(self.waived));
        }
        if !self.overridden.is_empty() {
            put("override", json!(self.overridden));
        }
        let mut proof = Map::new();
        if let Some(intervals) = self.seen_again_within {
            // A whole number is written as one.
            let whole = (intervals.fract() == 0.0).then(|| format!("{intervals:.0}").parse::<i64>().ok()).flatten();
            proof.insert("seenAgainWithin".to_owned(), whole.map_or_else(|| json!(intervals), Value::from));
        }
        if !self.expected_plmns.is_empty() {
            proof.insert("expectedPlmns".to_owned(), json!(self.expected_plmns));
        }
        if !proof.is_empty() {
            put("proof", proof.into());
        }
        if !body.contains_key("to") {
            return Err(Failure::Usage(
                "where to? --to-iccid, --to-default-smdp, --to-smds, or \"to\" in --file".to_owned(),
            ));
        }
        Ok(body.into())
    }
}
