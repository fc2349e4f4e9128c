//! `eim-server demo`: the real server with its real listeners, a simulated SM-DP+, and a small simulated fleet that a campaign
//! moves to other profiles.
//!
//! Everything goes through the front doors: devices poll over HTTPS, the operator's part over the REST API, the SM-DP+ over
//! ES9+'. A pool has an activation code for each device. A canary wave comes first, and somebody else than its author approves the
//! campaign. Not everybody gets there: one device rolls back, one falls back, one has no room for the profile, and of one, which signs
//! with a key that is not its own, nothing may be believed. In the end what each device holds is compared with what the server
//! says about it; the command fails on any difference.

mod campaign;
mod fleet;
mod outcome;
mod table;

use crate::boot::{self, BootPorts};
use crate::config::Config;
use anyhow::{Context, ensure};
use eim_core::manage::{self, Role};
use eim_simulator::fleet::Fleet;
use eim_simulator::load::Api;
use fleet::{Members, Part};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

const SEED: u64 = 32;
/// How long the last notifications may take to their server.
const FORWARDING: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How many devices are to be moved, beside the four that do not get there.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    devices: u32,
    /// Leaves the server running when the demo is over.
    #[arg(long)]
    keep: bool,
    // In place of the options of all commands, which would be listed: the demo has a configuration and a data directory of its own.
    #[arg(long, hide = true)]
    config: Option<PathBuf>,
    #[arg(long, hide = true)]
    data_dir: Option<PathBuf>,
}

impl Arguments {
    /// Whether it is given what it has of its own.
    pub(super) const fn names_a_configuration(&self) -> bool {
        self.config.is_some() || self.data_dir.is_some()
    }
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // A folder of its own: the demo must not mix with a real eIM's keys and devices.
    let folder = tempfile::Builder::new().prefix("eim-demo-").tempdir().context("a folder for the demo")?;
    let parts = Part::all(arguments.devices);
    let simulated = Fleet::generate(SEED, u32::try_from(parts.len())?).context("the simulated fleet")?;
    let ci_dir = folder.path().join("ci");
    simulated.write_ci_dir(&ci_dir).context("the CI certificate of the simulated fleet")?;
    let mut config = Config::ephemeral(folder.path().join("data"));
    config.pki.ci_dir = Some(ci_dir);
    // The simulated SM-DP+ is on this machine.
    config.outbound.allow_private = true;
    let server = boot::start(config, BootPorts::default()).await?;
    let smdp = fleet::smdp(&simulated).await?;
    let (_, key) = manage::create_api_key("demo", Role::Admin, &server.eim).await?;
    let (_, second) = manage::create_api_key("demo, second person", Role::Approver, &server.eim).await?;
    let url = format!("http://{}", server.api_addr);
    say(&format!("ESipa at https://{} (its own certificate), operator API at {url}/api/v1", server.esipa_addr));
    say(&format!("simulated SM-DP+ at {}", smdp.address()));

    let mut api = Api::connect(&url, &key, false).await?;
    let mut members = Members::connect(simulated, &parts, &server, &mut api).await?;
    say(&format!("{} devices are registered and asked for their profiles; {}", parts.len(), Part::summary()));
    members.list_profiles(&mut api).await?;
    fleet::fill_pool(&smdp, parts.len(), &mut api).await?;
    let mut approver = Api::connect(&url, &second, false).await?;
    let campaign = campaign::start(&mut api, &mut approver).await?;
    campaign::drive(&campaign, &mut members, &mut api).await?;
    members.deliver_notifications().await?;
    forwarded(&mut api).await?;
    say(&format!("{} notifications of the eUICCs have reached the SM-DP+", smdp.notifications().len()));

    let ended = outcome::read(&campaign, &members, &mut api).await?;
    super::print(&table::of(&ended))?;
    let verdict = ended.verdict();
    if verdict.is_ok() {
        say("what the server says of each device is what the device holds; of the impostor nothing is believed");
    }
    if arguments.keep {
        say(&format!("the server runs on until it is interrupted; reference at {url}/docs/, API key {key}"));
        tokio::signal::ctrl_c().await.context("waiting for an interrupt")?;
    }
    server.stop().await;
    verdict
}

/// Waits until every notification has reached its server.
async fn forwarded(api: &mut Api) -> anyhow::Result<()> {
    let pending = async {
        loop {
            let page = get(api, "/api/v1/notifications?state=pending&limit=1").await?;
            if page["items"].as_array().is_none_or(Vec::is_empty) {
                return Ok::<_, anyhow::Error>(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(FORWARDING, pending).await.context("the notifications did not reach the SM-DP+")?
}

/// What the API shows at a path.
async fn get(api: &mut Api, path: &str) -> anyhow::Result<Value> {
    let (status, body) = api.call("GET", path, None).await.context(path.to_owned())?;
    ensure!(status == 200, "GET {path} answered {status}");
    Ok(body)
}

/// What the API answers to a request that it should take.
async fn post(api: &mut Api, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
    let (status, answer) = api.call("POST", path, body).await.context(path.to_owned())?;
    ensure!((200..300).contains(&status), "POST {path} answered {status}: {answer}");
    Ok(answer)
}

/// The id of what the API has made.
fn id_of(made: &Value) -> anyhow::Result<String> {
    Ok(made["id"].as_str().context("the API made something without an id")?.to_owned())
}

/// What goes on is told on standard error; the final table alone goes to standard output.
fn say(text: &str) {
    // Progress that can't be shown is no failure of the demo.
    let _ = writeln!(std::io::stderr(), "{text}");
}
