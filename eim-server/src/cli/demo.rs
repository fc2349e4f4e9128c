//! `eim-server demo`: the real server with its real listeners, a simulated SM-DP+ and SM-DS, and a small simulated fleet.
//! Each device downloads a profile and is switched to it.
//!
//! Everything goes through the front doors: devices poll over HTTPS, the operator's part over the REST API, the servers of
//! the mobile operator over ES9+' and ES11'. Some devices talk to the SM-DP+ themselves, some let the eIM do it, one asks an
//! SM-DS. One order belongs to another device and is refused, and a last device signs with a key that is not its own;
//! nothing it says may be believed. The command fails if any device does not end where it should.

mod outcome;

use crate::boot::{self, BootPorts, Server};
use crate::config::Config;
use anyhow::{Context, bail, ensure};
use eim_core::ids::Eid;
use eim_core::manage::{self, Role};
use eim_simulator::euicc::DeviceDescription;
use eim_simulator::fleet::{Fleet, fleet_iccid};
use eim_simulator::ipa::{Binding, DownloadMode, Es9Config, Ipa, IpaConfig, SessionOptions};
use eim_simulator::load::Api;
use eim_simulator::rsp::{Order, SmdpOptions, SmdpServer, SmdsOptions, SmdsServer};
use outcome::{Device, Part, Way};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

/// How many devices talk at once.
const CONCURRENCY: usize = 16;
const SEED: u64 = 32;
/// How long the last notifications may take to their server.
const FORWARDING: Duration = Duration::from_secs(30);
/// The number of a fleet device's profile that is downloaded; the first three are on it from the beginning.
const DOWNLOADED: u8 = 4;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How many devices are simulated, beside the one whose download fails and the impostor.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    devices: u32,
    /// Leaves the server running when the demo is over.
    #[arg(long)]
    keep: bool,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // A folder of its own: the demo must not mix with a real eIM's keys and devices.
    let folder = tempfile::Builder::new().prefix("eim-demo-").tempdir().context("a folder for the demo")?;
    let mut fleet = Fleet::generate(SEED, arguments.devices + 2).context("the simulated fleet")?;
    let ci_dir = folder.path().join("ci");
    fleet.write_ci_dir(&ci_dir).context("the CI certificate of the simulated fleet")?;
    let mut config = Config::ephemeral(folder.path().join("data"));
    config.pki.ci_dir = Some(ci_dir);
    // The simulated servers are on this machine.
    config.outbound.allow_private = true;
    let server = boot::start(config, BootPorts::default()).await?;
    let operator = Operator::start(&fleet).await?;
    let (_, key) = manage::create_api_key("demo", Role::Admin, &server.eim).await?;
    let url = format!("http://{}", server.api_addr);
    say(&format!("ESipa at https://{} (its own certificate), operator API at {url}/api/v1", server.esipa_addr));
    say(&format!("simulated SM-DP+ at {}, SM-DS at {}", operator.smdp.address(), operator.smds.address()));

    let mut api = Api::connect(&url, &key, false).await?;
    let mut devices = prepare(&mut fleet, &server, &operator, &mut api).await?;
    say(&format!(
        "{} devices are asked to download a profile, one more with an order that is not for it; and there is an impostor",
        arguments.devices
    ));
    poll(&mut fleet, devices.len(), "downloads").await?;
    switch(&mut devices, &mut api).await?;
    say("each device that has its profile is asked to switch to it");
    poll(&mut fleet, devices.len(), "switches").await?;
    let forwarded = forward(&mut fleet, &operator, &mut api).await?;
    say(&format!("{forwarded} notifications of the eUICCs have reached the SM-DP+"));
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

/// The servers of a mobile operator.
struct Operator {
    smdp: SmdpServer,
    smds: SmdsServer,
}

impl Operator {
    async fn start(fleet: &Fleet) -> anyhow::Result<Self> {
        let smdp = SmdpServer::start(fleet.pki(), SmdpOptions::default()).await.context("the simulated SM-DP+")?;
        let smds = SmdsServer::start(fleet.pki(), SmdsOptions::default()).await.context("the simulated SM-DS")?;
        Ok(Self { smdp, smds })
    }

    /// Orders a profile for a device and gives what the operator asks the eIM for.
    fn order(&self, part: Part, index: u32, eid: Eid, other: Eid) -> anyhow::Result<Value> {
        let matching_id = format!("DEMO-{index}");
        let address = self.smdp.address();
        let order = Order::new(&matching_id, fleet_iccid(index, DOWNLOADED)?, "Downloaded").notifying(&address);
        let owner = if part == Part::Refused { other } else { eid };
        self.smdp.add_order(order.for_eid(owner));
        Ok(match part {
            Part::Downloads(Way::Smds) => {
                self.smds.register_event(eid, &matching_id, &address);
                json!({ "smds": { "address": self.smds.address() }, "indirect": true })
            }
            _ => json!({ "activationCode": format!("1${address}${matching_id}"), "indirect": "auto" }),
        })
    }
}

fn part_of(index: usize, devices: usize) -> Part {
    match index {
        _ if index + 1 == devices => Part::Impostor,
        _ if index + 2 == devices => Part::Refused,
        1 => Part::Downloads(Way::Smds),
        _ if index.is_multiple_of(3) => Part::Downloads(Way::Direct),
        _ => Part::Downloads(Way::Indirect),
    }
}

/// Associates, connects and registers the fleet, and asks each device for its part. Every third device is registered without
/// certificates, so that the eIM has to ask for them; every second one speaks JSON.
async fn prepare(
    fleet: &mut Fleet,
    server: &Server,
    operator: &Operator,
    api: &mut Api,
) -> anyhow::Result<Vec<Device>> {
    fleet.associate(&api.add_initial_eim_request().await?).context("the initial association")?;
    let mut ipa =
        IpaConfig::new(server.esipa_addr, "localhost", std::slice::from_ref(&server.esipa_trust_der), Binding::Asn1)?;
    ipa.es9 = Some(Es9Config { trusted: vec![fleet.ci_certificate().to_vec()], routes: HashMap::new() });
    let registrations = fleet.registrations();
    let stranger = fleet.pki().euicc(u32::try_from(registrations.len())?)?;
    let mut devices = Vec::new();
    for (index, (device, registration)) in fleet.devices_mut().iter_mut().zip(&registrations).enumerate() {
        let binding = if index % 2 == 0 { Binding::Asn1 } else { Binding::Json };
        let part = part_of(index, registrations.len());
        let mut connected = Ipa::new(ipa.clone().binding(binding));
        connected.behaviour.download = DownloadMode::Auto;
        connected.behaviour.device = DeviceDescription::default().features(match part {
            Part::Downloads(Way::Direct) => &[DeviceDescription::DIRECT_RSP_SERVER_COMMUNICATION],
            _ => &[DeviceDescription::INDIRECT_RSP_SERVER_COMMUNICATION, DeviceDescription::EIM_DOWNLOAD_DATA_HANDLING],
        });
        device.ipa = Some(connected);
        if part == Part::Impostor {
            device.euicc.faults.signing_key = Some(Arc::clone(&stranger.key));
        }
        if index % 3 == 0 && part != Part::Impostor {
            api.register_eid(&registration.eid).await?;
        } else {
            api.register(registration, None).await?;
        }
        let number = u32::try_from(index)?;
        let from = fleet_iccid(number, 1)?;
        let (to, request) = if part == Part::Impostor {
            let to = fleet_iccid(number, 2)?;
            (to, enable(&to.to_string()))
        } else {
            let other = registrations.first().context("a fleet has devices")?.eid;
            let download = operator.order(part, number, registration.eid, other)?;
            (fleet_iccid(number, DOWNLOADED)?, json!({ "profileDownload": download }))
        };
        let asked = id_of(&api.create_operation(&registration.eid, &request).await?)?;
        let switched = (part == Part::Impostor).then(|| asked.clone());
        devices.push(Device { eid: registration.eid, part, asked, switched, from, to, binding });
    }
    Ok(devices)
}

fn enable(iccid: &str) -> Value {
    json!({ "psmo": [{ "enable": { "iccid": iccid, "rollback": true } }, { "listProfileInfo": {} }] })
}

fn id_of(operation: &Value) -> anyhow::Result<String> {
    Ok(operation["id"].as_str().context("the API gave an operation without an id")?.to_owned())
}

/// Reads from each download which profile came of it, and asks for the switch to that one.
async fn switch(devices: &mut [Device], api: &mut Api) -> anyhow::Result<()> {
    for device in devices.iter_mut().filter(|device| device.switched.is_none()) {
        let mut download = outcome::get(api, &format!("/api/v1/operations/{}", device.asked)).await?;
        if let Some(found) = download["results"][0]["value"]["operations"][0].as_str().map(str::to_owned) {
            // An SM-DS named the download; that is an operation of its own.
            download = outcome::get(api, &format!("/api/v1/operations/{found}")).await?;
            device.asked = found;
        }
        if download["state"] == "succeeded"
            && let Some(iccid) = download["results"][0]["value"]["iccid"].as_str()
        {
            device.switched = Some(id_of(&api.create_operation(&device.eid, &enable(iccid)).await?)?);
        }
    }
    Ok(())
}

/// Lets every device bring its notifications, waits until they have arrived, and gives how many.
async fn forward(fleet: &mut Fleet, operator: &Operator, api: &mut Api) -> anyhow::Result<usize> {
    for device in fleet.devices_mut() {
        if let Some(ipa) = &mut device.ipa {
            ipa.deliver_notifications(&mut device.euicc).await?;
        }
    }
    let pending = async {
        loop {
            let page = outcome::get(api, "/api/v1/notifications?state=pending&limit=1").await?;
            if page["items"].as_array().is_none_or(Vec::is_empty) {
                return Ok::<_, anyhow::Error>(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(FORWARDING, pending).await.context("the notifications did not reach the SM-DP+")??;
    Ok(operator.smdp.notifications().len())
}

/// Lets every device poll until the eIM has nothing more for it, with a line of progress.
async fn poll(fleet: &mut Fleet, total: usize, what: &str) -> anyhow::Result<()> {
    let mut done = 0;
    let live = std::io::stderr().is_terminal();
    // The impostor's answers are never believed, so its package stays open: its session ends by the bound.
    let options = SessionOptions { max_polls: 16, ..SessionOptions::default() };
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
            let _ = write!(out, "  {what} [{done:>5}/{total}] {} {said}          {end}", report.eid);
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
