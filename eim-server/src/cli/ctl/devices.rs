//! `ctl devices`

use super::bulk::{self, ExportTo, ImportFile};
use super::console::Column;
use super::resource::{self, Amount, query};
use super::{Context, Failure, input};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

const DEVICES: [Column; 7] = [
    ("EID", "/eid"),
    ("STATE", "/state"),
    ("LABEL", "/label"),
    ("TAGS", "/tags"),
    ("LAST SEEN", "/lastSeenAt"),
    ("NEXT POLL", "/nextPollExpectedAt"),
    ("PLMN", "/rPlmn"),
];
const ASSOCIATIONS: [Column; 7] = [
    ("EIM", "/eimId"),
    ("OWN", "/own"),
    ("STATE", "/state"),
    ("TOKEN", "/associationToken"),
    ("COUNTER", "/counterValue"),
    ("LEARNED BY", "/learnedBy"),
    ("CHANGED", "/changedAt"),
];
const PROFILES: [Column; 6] = [
    ("ICCID", "/iccid"),
    ("STATE", "/state"),
    ("CLASS", "/class"),
    ("NAME", "/name"),
    ("PROVIDER", "/serviceProvider"),
    ("FALLBACK", "/fallback"),
];

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Lists devices.
    List {
        /// Only those with this tag.
        #[arg(long)]
        tag: Option<String>,
        /// Only those in this state.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        amount: Amount,
    },
    /// Shows a device.
    Show {
        /// 32 digits.
        eid: String,
    },
    /// Searches for a counter that the device takes, where it was lost.
    RecoverCounter {
        /// 32 digits.
        eid: String,
        /// A counter that was used: the search begins above it.
        #[arg(long, value_name = "N")]
        above: Option<i64>,
    },
    /// Registers a device.
    Register {
        /// 32 digits; in place of it, --file.
        #[arg(required_unless_present = "file")]
        eid: Option<String>,
        #[command(flatten)]
        members: Members,
    },
    /// Changes what is known of a device. An empty text clears.
    Update {
        /// 32 digits.
        eid: String,
        #[command(flatten)]
        members: Members,
    },
    /// Registers many devices, with a report on each line.
    Import {
        /// The file is the manufacturer's (EUM): certificates whose CI is not trusted yet are kept.
        #[arg(long)]
        manufacturing: bool,
        #[command(flatten)]
        file: ImportFile,
    },
    /// Takes a portable export in, after a look at all of it, with a report on each device.
    ImportPortable {
        /// The id of the key of the eIM that made it, known from elsewhere. Keys of this eIM are trusted without it.
        #[arg(long, value_name = "KEY-ID")]
        signed_by: Option<String>,
        #[command(flatten)]
        file: ImportFile,
    },
    /// Writes devices, every association, profiles and history, with digests and a signature, for another server.
    ExportPortable {
        /// Writes to this file, which is there when the export is whole; standard output without it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Writes devices as an import takes them.
    Export {
        /// Only those with this tag.
        #[arg(long)]
        tag: Option<String>,
        /// Only those in this state.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        export: ExportTo,
    },
    /// Shows the profiles of a device as last reported.
    Profiles {
        /// 32 digits.
        eid: String,
    },
    /// Shows every eIM on a device, as far as it is known.
    Associations {
        /// 32 digits.
        eid: String,
    },
    /// Makes a new association of this eIM known: what the eUICC answered, or the token as it was told.
    Associate {
        /// 32 digits.
        eid: String,
        #[command(flatten)]
        told: Told,
    },
    /// Shows what happened to a device.
    Events {
        /// 32 digits.
        eid: String,
        #[command(flatten)]
        amount: Amount,
    },
}

/// What is known of a new association.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct Told {
    /// The AddInitialEimResponse, hexadecimal or base64.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["token", "no_token", "adopt_reported_token"])]
    response: Option<String>,
    /// The association token.
    #[arg(long, conflicts_with_all = ["no_token", "adopt_reported_token"])]
    token: Option<i64>,
    /// The association has no token.
    #[arg(long, conflicts_with = "adopt_reported_token")]
    no_token: bool,
    /// Takes the token that the eUICC told in an unsigned error.
    #[arg(long)]
    adopt_reported_token: bool,
    /// The counter that the association began with; 0 by default.
    #[arg(long, conflicts_with = "adopt_reported_token")]
    counter_value: Option<i64>,
    /// The eimId of the eIM that hands the device over.
    #[arg(long, conflicts_with_all = ["response", "adopt_reported_token"])]
    told_by: Option<String>,
}

impl Told {
    fn body(&self) -> Value {
        let mut body = Map::new();
        if let Some(response) = &self.response {
            body.insert("addInitialEimResponse".to_owned(), response.as_str().into());
        }
        if let Some(token) = self.token {
            body.insert("associationToken".to_owned(), token.into());
        }
        if self.no_token {
            body.insert("associationToken".to_owned(), Value::Null);
        }
        if self.adopt_reported_token {
            body.insert("adoptReportedToken".to_owned(), true.into());
        }
        if let Some(counter) = self.counter_value {
            body.insert("counterValue".to_owned(), counter.into());
        }
        if let Some(eim_id) = &self.told_by {
            body.insert("toldBy".to_owned(), eim_id.as_str().into());
        }
        body.into()
    }
}

/// What can be said of a device.
#[derive(Debug, clap::Args)]
pub(super) struct Members {
    /// A JSON object as the API takes it; `-` is standard input. Options beside it win.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Your own name for it.
    #[arg(long)]
    label: Option<String>,
    /// A tag; may be given several times, and replaces those it has.
    #[arg(long = "tag")]
    tags: Vec<String>,
    /// The counter of the last package that the eUICC took.
    #[arg(long)]
    counter_value: Option<i64>,
    /// The association token.
    #[arg(long)]
    association_token: Option<i64>,
    /// File with the eUICC certificate, PEM or DER.
    #[arg(long, value_name = "FILE")]
    euicc_certificate: Option<PathBuf>,
    /// File with the EUM certificate, PEM or DER.
    #[arg(long, value_name = "FILE")]
    eum_certificate: Option<PathBuf>,
    /// verified or lab.
    #[arg(long)]
    result_policy: Option<String>,
}

pub(super) async fn run(command: Command, context: &mut Context<'_>) -> Result<(), Failure> {
    match command {
        Command::List { tag, state, amount } => {
            let query = query(&[("tag", tag.as_deref()), ("state", state.as_deref())]);
            resource::list(&["euiccs"], &query, &DEVICES, &amount, context).await
        }
        Command::RecoverCounter { eid, above } => {
            let body = above.map(|above| json!({ "above": above }));
            resource::send(Method::POST, &["euiccs", &eid, "counter-recovery"], body.as_ref(), None, context)
                .await
                .map(drop)
        }
        Command::Show { eid } => resource::show(&["euiccs", &eid], context).await,
        Command::Register { eid, members } => {
            let mut body = members.body(context)?;
            if let Some(eid) = eid {
                body.insert("eid".to_owned(), eid.into());
            }
            resource::send(Method::POST, &["euiccs"], Some(&body.into()), None, context).await.map(drop)
        }
        Command::Update { eid, members } => {
            let mut body = members.body(context)?;
            for value in body.values_mut().filter(|value| value.as_str() == Some("")) {
                *value = Value::Null;
            }
            resource::send(Method::PATCH, &["euiccs", &eid], Some(&body.into()), None, context).await.map(drop)
        }
        Command::Import { manufacturing, file } => {
            let of = if manufacturing { "manufacturing" } else { "euiccs" };
            bulk::import(&["imports", of], &[], file, None, context).await
        }
        Command::ImportPortable { signed_by, file } => {
            let query = query(&[("signedBy", signed_by.as_deref())]);
            bulk::import(&["imports", "portable"], &query, file, None, context).await
        }
        Command::ExportPortable { out } => bulk::download(&["exports", "portable"], &[], out, context).await,
        Command::Associations { eid } => {
            let known = context.api.get(&["euiccs", &eid, "associations"], &[]).await?;
            show_associations(&known, context)
        }
        Command::Associate { eid, told } => {
            let path = ["euiccs", &eid, "associations"];
            resource::send(Method::POST, &path, Some(&told.body()), None, context).await.map(drop)
        }
        Command::Export { tag, state, export } => {
            let query = query(&[("tag", tag.as_deref()), ("state", state.as_deref())]);
            bulk::export(&["exports", "euiccs"], &query, export, context).await
        }
        Command::Profiles { eid } => {
            let profiles = context.api.get(&["euiccs", &eid, "profiles"], &[]).await?;
            if context.json {
                return resource::print(&profiles, context);
            }
            let items = profiles["items"].as_array().cloned().unwrap_or_default();
            context.console.table(&PROFILES, &items, true)?;
            if profiles["stale"] == true {
                context.console.note("the list is known to be out of date");
            }
            Ok(())
        }
        Command::Events { eid, amount } => {
            let columns = [("AT", "/at"), ("TYPE", "/type"), ("DETAILS", "")];
            resource::list(&["euiccs", &eid, "events"], &[], &columns, &amount, context).await
        }
    }
}

fn show_associations(known: &Value, context: &mut Context<'_>) -> Result<(), Failure> {
    if context.json {
        return resource::print(known, context);
    }
    let items = known["items"].as_array().cloned().unwrap_or_default();
    context.console.table(&ASSOCIATIONS, &items, true)?;
    for step in items.iter().filter_map(|item| item["nextStep"].as_str()) {
        context.console.note(step);
    }
    Ok(())
}

impl Members {
    fn body(&self, context: &mut Context<'_>) -> Result<Map<String, Value>, Failure> {
        let mut body = match &self.file {
            None => Map::new(),
            Some(path) => match input::json(path, context)? {
                Value::Object(members) => members,
                _ => return Err(Failure::Usage("--file: a JSON object is expected".to_owned())),
            },
        };
        let texts = [("label", &self.label), ("resultPolicy", &self.result_policy)];
        for (name, text) in texts {
            if let Some(text) = text {
                body.insert(name.to_owned(), text.as_str().into());
            }
        }
        if !self.tags.is_empty() {
            let tags: Vec<&String> = self.tags.iter().filter(|tag| !tag.is_empty()).collect();
            body.insert("tags".to_owned(), json!(tags));
        }
        let numbers = [("counterValue", self.counter_value), ("associationToken", self.association_token)];
        for (name, number) in numbers {
            if let Some(number) = number {
                let association = body.entry("association").or_insert_with(|| json!({}));
                let members = association.as_object_mut();
                let members = members.ok_or_else(|| Failure::Usage("--file: association is no object".to_owned()))?;
                members.insert(name.to_owned(), number.into());
            }
        }
        let files = [("euiccCertificate", &self.euicc_certificate), ("eumCertificate", &self.eum_certificate)];
        for (name, path) in files {
            if let Some(path) = path {
                body.insert(name.to_owned(), certificate(path)?.into());
            }
        }
        Ok(body)
    }
}

/// A certificate as the API takes it.
fn certificate(path: &Path) -> Result<String, Failure> {
    let octets = std::fs::read(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    let der = match CertificateDer::from_pem_slice(&octets) {
        Ok(certificate) => certificate.to_vec(),
        // Whether it is DER is for the server to say.
        Err(_) => octets,
    };
    Ok(STANDARD.encode(der))
}
