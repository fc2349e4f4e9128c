//! `eim-server demo`: the real server with its real listeners, and a small simulated fleet that switches profiles.
//!
//! Everything goes through the front doors: devices poll over HTTPS, the operator's part over the REST API. A last device
//! signs with a key that is not its own; nothing it says may be believed. The command fails if any device does not end
//! where it should.

mod outcome;

use crate::boot::{self, BootPorts, Server};
use crate::config::Config;
use anyhow::{Context, bail, ensure};
use eim_core::ids::Eid;
use eim_core::manage::{self, Role};
use eim_simulator::fleet::{Fleet, fleet_iccid};
use eim_simulator::ipa::{Binding, Ipa, IpaConfig, SessionOptions};
use eim_simulator::load::Api;
use outcome::Device;
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::sync::Arc;

/// How many devices talk at once.
const CONCURRENCY: usize = 16;
const SEED: u64 = 32;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How many devices are simulated, beside the impostor.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    devices: u32,
    /// Leaves the server running when the demo is over.
    #[arg(long)]
    keep: bool,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // A folder of its own: the demo must not mix with a real eIM's keys and devices.
    let folder = tempfile::Builder::new().prefix("eim-demo-").tempdir().context("a folder for the demo")?;
    let mut fleet = Fleet::generate(SEED, arguments.devices + 1).context("the simulated fleet")?;
    let ci_dir = folder.path().join("ci");
    fleet.write_ci_dir(&ci_dir).context("the CI certificate of the simulated fleet")?;
    let mut config = Config::ephemeral(folder.path().join("data"));
    config.pki.ci_dir = Some(ci_dir);
    let server = boot::start(config, BootPorts::default()).await?;
    let (_, key) = manage::create_api_key("demo", Role::Admin, &server.eim).await?;
    let url = format!("http://{}", server.api_addr);
    say(&format!("ESipa at https://{} (its own certificate), operator API at {url}/api/v1", server.esipa_addr));

    let mut api = Api::connect(&url, &key, false).await?;
    let devices = prepare(&mut fleet, &server, &mut api).await?;
    say(&format!(
        "{} devices and an impostor registered; each is asked to switch to its second profile",
        arguments.devices
    ));
    poll(&mut fleet, devices.len()).await?;
    let outcomes = outcome::read(&mut api, &fleet, &devices).await?;
    super::print(&outcome::table(&outcomes))?;
    let wrong = outcomes.iter().filter(|outcome| !outcome.is_as_it_should_be).count();
    if wrong == 0 {
        say("every device is where it should be, with a verified outcome; of the impostor nothing is believed");
    }
    if arguments.keep {
        say(&format!("the server runs on until it is interrupted; reference at {url}/docs/, API key {key}"));
        tokio::signal::ctrl_c().await.context("waiting for an interrupt")?;
    }
    server.stop().await;
    ensure!(wrong == 0, "{wrong} device(s) did not end where they should");
    Ok(())
}

/// Associates, connects and registers the fleet, and asks each device to switch. Every third device is registered
/// without certificates, so that the eIM has to ask for them; every second one speaks JSON.
async fn prepare(fleet: &mut Fleet, server: &Server, api: &mut Api) -> anyhow::Result<Vec<Device>> {
    fleet.associate(&api.add_initial_eim_request().await?).context("the initial association")?;
    let ipa =
        IpaConfig::new(server.esipa_addr, "localhost", std::slice::from_ref(&server.esipa_trust_der), Binding::Asn1)?;
    let registrations = fleet.registrations();
    let stranger = fleet.pki().euicc(u32::try_from(registrations.len())?)?;
    let mut devices = Vec::new();
    for (index, (device, registration)) in fleet.devices_mut().iter_mut().zip(&registrations).enumerate() {
        let binding = if index % 2 == 0 { Binding::Asn1 } else { Binding::Json };
        device.ipa = Some(Ipa::new(ipa.clone().binding(binding)));
        let impostor = index + 1 == registrations.len();
        if impostor {
            device.euicc.faults.signing_key = Some(Arc::clone(&stranger.key));
        }
        if index % 3 == 0 && !impostor {
            api.register_eid(&registration.eid).await?;
        } else {
            api.register(registration, None).await?;
        }
        let number = u32::try_from(index)?;
        let (from, to) = (fleet_iccid(number, 1)?, fleet_iccid(number, 2)?);
        let request = json!({ "psmo": [
            { "enable": { "iccid": to.to_string(), "rollback": true } },
            { "listProfileInfo": {} },
        ] });
        let operation = api.create_operation(&registration.eid, &request).await?;
        let operation = operation["id"].as_str().context("the API gave an operation without an id")?.to_owned();
        devices.push(Device { eid: registration.eid, operation, from, to, binding, impostor });
    }
    Ok(devices)
}

/// Lets every device poll until the eIM has nothing more for it, with a line of progress.
async fn poll(fleet: &mut Fleet, total: usize) -> anyhow::Result<()> {
    let mut done = 0;
    let live = std::io::stderr().is_terminal();
    // The impostor's answers are never believed, so its package stays open: its session ends by the bound.
    let options = SessionOptions { max_polls: 12, ..SessionOptions::default() };
    let mut broken: Vec<(Eid, String)> = Vec::new();
    fleet
        .run_sessions(CONCURRENCY, &options, |report| {
            done += 1;
            let said = match &report.session {
                Ok(session) => format!("{} polls", session.polls.len()),
                Err(error) => {
                    broken.push((report.eid, error.to_string()));
                    "broke off".to_owned()
                }
            };
            let mut out = std::io::stderr();
            let end = if live { "\r" } else { "\n" };
            // Progress that can't be shown is no failure of the demo.
            let _ = write!(out, "  [{done:>5}/{total}] {} {said}          {end}", report.eid);
            let _ = out.flush();
        })
        .await?;
    if let Some((eid, error)) = broken.first() {
        bail!("{} session(s) broke off; the first, of {eid}: {error}", broken.len());
    }
    Ok(())
}

/// What goes on is told on standard error; the final table alone goes to standard output.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
