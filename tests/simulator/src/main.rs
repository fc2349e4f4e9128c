//! The simulator as a program: a device that polls, load, and the bare server to compare with.
#![allow(clippy::print_stdout, reason = "this is the program's output")]

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Parser, Subcommand};
use eim_core::pki::{Certificate, Curve, SigningKey};
use eim_simulator::euicc::Euicc;
use eim_simulator::fleet::{Fleet, fleet_iccid};
use eim_simulator::ipa::{Binding, Ipa, IpaConfig, PollOptions, SessionOptions, TlsVersions, client_config};
use eim_simulator::load::{
    self, Api, CampaignOptions, DownloadsOptions, FloodOptions, LoadOptions, Mode, check_target,
};
use eim_simulator::pki::{EuiccIdentity, FleetPki};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Exercises an eIM: software eUICCs and IPAs over real TLS. For tests only: its keys can be computed.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One device that polls until the eIM has nothing more, once or for ever. Its state is lost when it ends.
    Ipa(Box<IpaArgs>),
    /// Measures empty polls or whole operations in a second.
    Load(Box<LoadArgs>),
    /// Downloads profiles from an SM-DP+ of its own to many devices, and compares what devices, SM-DP+ and API know then.
    Downloads(Box<DownloadsArgs>),
    /// Measures what the eIM adds to a call to an SM-DP+, beside the same call without it.
    Relay(Box<RelayArgs>),
    /// Campaigns over a fleet that keeps polling: how fast they are made and shown, and what polls do beside them.
    Campaigns(Box<CampaignsArgs>),
    /// Measures how much later devices are served while somebody floods the eIM with the EID of another one. Fails above twice.
    Flood(FloodArgs),
    /// Writes the devices of a fleet as an import takes them (NDJSON), associated with this eIM.
    Registrations(RegistrationsArgs),
    /// Writes the manufacturing file of a fleet (CSV), with the certificates of each eUICC.
    Manufacturing(ManufacturingArgs),
    /// A bare actix-web handler over rustls with answers of the same size: the baseline of `load --mode poll`.
    BareServer(BareArgs),
    /// Writes the CI certificate of a simulated fleet into a folder, for the eIM to trust.
    WriteCi {
        /// The fleet.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The folder; gets `ci.der`.
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Target {
    /// `https://host:port` of the eIM's device front.
    #[arg(long)]
    server: String,
    /// Certificate to trust, DER or PEM.
    #[arg(long)]
    trust: PathBuf,
    /// SNI and Host, when it is not the host of --server.
    #[arg(long)]
    server_name: Option<String>,
    /// asn1 or json.
    #[arg(long, default_value = "asn1")]
    binding: Binding,
    /// 1.2 or 1.3; both without it.
    #[arg(long)]
    tls: Option<String>,
    /// Allows targets that are not loopback.
    #[arg(long)]
    allow_remote: bool,
}

#[derive(Debug, Args)]
struct IpaArgs {
    #[command(flatten)]
    target: Target,
    /// The eIM's AddInitialEimRequest (BF57), DER file: what `eim-server eim config-data` gives.
    #[arg(long)]
    add_initial_eim: PathBuf,
    /// A device of the simulated fleet with this seed, unless certificate files are given.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Which device of the fleet.
    #[arg(long, default_value_t = 0)]
    device: u32,
    /// CERT.EUICC.ECDSA, DER.
    #[arg(long, requires = "euicc_key", requires = "eum_certificate", requires = "ci_certificate")]
    euicc_certificate: Option<PathBuf>,
    /// SK.EUICC.ECDSA, PEM.
    #[arg(long)]
    euicc_key: Option<PathBuf>,
    /// CERT.EUM.ECDSA, DER.
    #[arg(long)]
    eum_certificate: Option<PathBuf>,
    /// CERT.CI.ECDSA, DER.
    #[arg(long)]
    ci_certificate: Option<PathBuf>,
    /// The first poll says notifyStateChange with this stateChangeCause.
    #[arg(long)]
    cause: Option<i64>,
    /// Goes on for ever, with so many seconds between sessions.
    #[arg(long)]
    every_seconds: Option<u64>,
}

#[derive(Debug, Args)]
struct LoadArgs {
    #[command(flatten)]
    target: Target,
    /// `http://host:port` of the operator API.
    #[arg(long)]
    api: Option<String>,
    /// API key of an operator.
    #[arg(long, env = "EIM_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Devices that are registered and polled.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    devices: u32,
    /// TLS connections.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
    /// How long.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Ends earlier after so many polls or cycles.
    #[arg(long, default_value_t = 100_000_000)]
    max_count: u64,
    /// poll (nothing is pending) or cycle (whole operations).
    #[arg(long, default_value = "poll")]
    mode: Mode,
    /// The fleet; each has a CI of its own, which the server must trust (see write-ci).
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Index of the first device of the fleet: fresh devices below a CI that is already trusted.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100_000_000))]
    first_device: u32,
    /// First creates so many operations on other eUICCs.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    seed_operations: u32,
    /// How many of them on one eUICC.
    #[arg(long, default_value_t = 10)]
    operations_per_device: u32,
    /// Does not register the devices (they are, or the server is the bare one).
    #[arg(long)]
    no_register: bool,
    /// Threads of the client.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
}

/// A fleet that is registered for a run.
#[derive(Debug, Args)]
struct FleetArgs {
    #[command(flatten)]
    target: Target,
    /// `http://host:port` of the operator API.
    #[arg(long)]
    api: String,
    /// API key of an operator.
    #[arg(long, env = "EIM_API_KEY", hide_env_values = true)]
    api_key: String,
    /// Devices.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    devices: u32,
    /// The fleet; each has a CI of its own, which the server must trust (see write-ci).
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Index of the first device of the fleet: fresh devices below a CI that is already trusted.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100_000_000))]
    first_device: u32,
    /// Threads of devices and servers.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
}

#[derive(Debug, Args)]
struct DownloadsArgs {
    #[command(flatten)]
    fleet: FleetArgs,
    /// Octets of each profile.
    #[arg(long, default_value_t = 30 * 1024, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    profile_bytes: u32,
    /// Downloads at the same time; all at once without it.
    #[arg(long)]
    concurrency: Option<usize>,
    /// Whoever is not done after so many seconds gives up.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
}

#[derive(Debug, Args)]
struct RelayArgs {
    #[command(flatten)]
    fleet: FleetArgs,
    /// Calls of each sort.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
}

#[derive(Debug, Args)]
struct CampaignsArgs {
    #[command(flatten)]
    fleet: FleetArgs,
    /// The tag with which the devices were registered.
    #[arg(long, default_value = "load")]
    tag: String,
    /// TLS connections.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
    /// How long each measurement takes.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Devices in a minute, for each campaign that is measured and then aborted.
    #[arg(long, value_delimiter = ',', default_value = "600,6000")]
    paces: Vec<u32>,
    /// A last campaign without a pace moves all devices.
    #[arg(long)]
    to_the_end: bool,
}

#[derive(Debug, Args)]
struct FloodArgs {
    #[command(flatten)]
    fleet: FleetArgs,
    /// TLS connections of the others.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
    /// TLS connections of the flood.
    #[arg(long, default_value_t = 192, value_parser = clap::value_parser!(u32).range(3..=4096))]
    flood_connections: u32,
    /// Polls of the others in a second.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    polls_per_second: u32,
    /// How long each spell takes, with the flood and without.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// One in three connections of the flood tries EIDs that nobody knows.
    #[arg(long)]
    strangers: bool,
    /// Calm and flooded spells.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

#[derive(Debug, Args)]
struct RegistrationsArgs {
    /// The eIM's AddInitialEimRequest (BF57), DER file.
    #[arg(long)]
    add_initial_eim: PathBuf,
    /// The fleet.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Devices.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    devices: u32,
    /// Index of the first device.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100_000_000))]
    first_device: u32,
    /// The tag that they get.
    #[arg(long, default_value = "load")]
    tag: String,
    /// The file.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct ManufacturingArgs {
    /// The fleet.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Devices.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    devices: u32,
    /// This device, by its index, gets the certificate of the next one.
    #[arg(long)]
    bad: Option<u32>,
    /// The file.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct BareArgs {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:9443")]
    listen: SocketAddr,
    /// Gets the certificate that it shows, DER.
    #[arg(long)]
    certificate_out: PathBuf,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Allows listening elsewhere than on loopback.
    #[arg(long)]
    allow_remote: bool,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Ipa(args) => runtime(1)?.block_on(ipa(*args)),
        Command::Load(args) => runtime(args.threads as usize)?.block_on(load(*args)),
        Command::Downloads(args) => runtime(args.fleet.threads as usize)?.block_on(downloads(*args)),
        Command::Relay(args) => runtime(args.fleet.threads as usize)?.block_on(relay(*args)),
        Command::Campaigns(args) => runtime(args.fleet.threads as usize)?.block_on(campaigns(*args)),
        Command::Flood(args) => runtime(args.fleet.threads as usize)?.block_on(flood(args)),
        Command::Registrations(args) => registrations(&args),
        Command::Manufacturing(args) => manufacturing(&args),
        Command::BareServer(args) => bare(&args),
        Command::WriteCi { seed, out } => {
            println!("{}", FleetPki::generate(seed)?.write_ci_dir(&out)?.display());
            Ok(())
        }
    }
}

fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}

async fn ipa(args: IpaArgs) -> anyhow::Result<()> {
    let (address, server_name, tls) = resolve(&args.target)?;
    let mut config = IpaConfig::new(address, &server_name, &read_trust(&args.target.trust)?, args.target.binding)?;
    config.tls = tls;
    let mut euicc = device(&args)?;
    let answer = euicc.add_initial_eim(&read(&args.add_initial_eim)?)?;
    println!("EID {}  AddInitialEim {}", euicc.eid(), hex::encode_upper(answer));
    if euicc.associations().is_empty() {
        bail!("the eUICC did not take the eIM");
    }
    let mut ipa = Ipa::new(config);
    let mut options = SessionOptions {
        first_poll: args.cause.map_or_else(PollOptions::default, PollOptions::state_change),
        ..SessionOptions::default()
    };
    loop {
        match ipa.run_session(&mut euicc, &options).await {
            Ok(session) => {
                for poll in &session.polls {
                    println!("{}", describe(poll));
                }
                options.first_poll = PollOptions::default();
            }
            Err(error) if args.every_seconds.is_some() => println!("{error}"),
            Err(error) => return Err(error.into()),
        }
        let Some(pause) = args.every_seconds else { return Ok(()) };
        tokio::time::sleep(Duration::from_secs(pause.max(1))).await;
    }
}

fn describe(poll: &eim_simulator::ipa::PollOutcome) -> String {
    use eim_simulator::ipa::Package;
    let package = match &poll.package {
        Package::EuiccPackage(octets) => format!("eUICC package {}", hex::encode_upper(octets)),
        Package::IpaEuiccData(octets) => format!("data request {}", hex::encode_upper(octets)),
        Package::DownloadTrigger(octets) => format!("download trigger {}", hex::encode_upper(octets)),
        Package::Error(1) => "nothing".to_owned(),
        Package::Error(code) => format!("eimPackageError {code}"),
    };
    let result =
        poll.result.as_deref().map(|octets| format!("\n  -> {}", hex::encode_upper(octets))).unwrap_or_default();
    let answer = poll.answer.as_ref().map(|answer| format!("\n  <- {answer:?}")).unwrap_or_default();
    format!("{package}{result}{answer}")
}

fn device(args: &IpaArgs) -> anyhow::Result<Euicc> {
    let (Some(certificate), Some(key), Some(eum), Some(ci)) =
        (&args.euicc_certificate, &args.euicc_key, &args.eum_certificate, &args.ci_certificate)
    else {
        println!("profiles {} (enabled), {}", fleet_iccid(args.device, 1)?, fleet_iccid(args.device, 2)?);
        return Ok(Fleet::generate_device(args.seed, args.device)?);
    };
    let certificate = read(certificate)?;
    let ci = Certificate::parse(&read(ci)?)?;
    let identity = EuiccIdentity {
        eid: Certificate::parse(&certificate)?.eid()?,
        key: Arc::new(SigningKey::from_pem(&String::from_utf8(read(key)?)?)?),
        certificate,
        eum_certificate: read(eum)?,
        ci_key_id: ci.extensions().subject_key_id.as_ref().map(|id| id.octets().to_vec()).unwrap_or_default(),
    };
    println!("profiles {} (enabled), {}", fleet_iccid(args.device, 1)?, fleet_iccid(args.device, 2)?);
    Ok(Fleet::euicc_of(identity, args.device)?)
}

async fn load(args: LoadArgs) -> anyhow::Result<()> {
    let (server, server_name, tls) = resolve(&args.target)?;
    let mut fleet = Fleet::generate_range(Curve::P256, args.seed, args.first_device..args.first_device + args.devices)?;
    let mut api = match &args.api {
        Some(url) => {
            let key = args.api_key.as_deref().context("--api needs --api-key or EIM_API_KEY")?;
            Some(Api::connect(url, key, args.target.allow_remote).await?)
        }
        None => None,
    };
    match &mut api {
        Some(api) if !args.no_register => {
            load::prepare_devices(&mut fleet, api).await?;
            println!("{} devices registered", args.devices);
        }
        Some(api) => fleet.associate(&api.add_initial_eim_request().await?)?,
        None if args.mode == Mode::Cycle || args.seed_operations > 0 || !args.no_register => {
            bail!("--api is needed, unless devices are only polled with --no-register");
        }
        None => {}
    }
    if let Some(api) = api.as_ref().filter(|_| args.seed_operations > 0) {
        load::seed_operations(&fleet, api, args.seed_operations, args.operations_per_device, args.connections).await?;
        println!("{} operations are pending on other eUICCs", args.seed_operations);
    }
    let options = LoadOptions {
        server,
        server_name,
        tls,
        binding: args.target.binding,
        mode: args.mode,
        connections: args.connections as usize,
        duration: Duration::from_secs(args.seconds),
        max_count: args.max_count,
    };
    let report = load::run(fleet, api.as_ref(), &options).await?;
    println!("{report}");
    if report.count == 0 { bail!("nothing succeeded") } else { Ok(()) }
}

impl FleetArgs {
    async fn prepare(&self) -> anyhow::Result<(Fleet, Api, IpaConfig)> {
        let (address, server_name, tls) = resolve(&self.target)?;
        let mut ipa = IpaConfig::new(address, &server_name, &read_trust(&self.target.trust)?, self.target.binding)?;
        ipa.tls = tls;
        let devices = self.first_device..self.first_device + self.devices;
        let fleet = Fleet::generate_range(Curve::P256, self.seed, devices)?;
        let api = Api::connect(&self.api, &self.api_key, self.target.allow_remote).await?;
        Ok((fleet, api, ipa))
    }
}

async fn downloads(args: DownloadsArgs) -> anyhow::Result<()> {
    let (fleet, mut api, ipa) = args.fleet.prepare().await?;
    let options = DownloadsOptions {
        ipa,
        first_device: args.fleet.first_device,
        profile_bytes: args.profile_bytes as usize,
        concurrency: args.concurrency.unwrap_or(args.fleet.devices as usize),
        deadline: Duration::from_secs(args.seconds),
    };
    let report = load::run_downloads(fleet, &mut api, &options, |installed| println!("installed {installed}")).await?;
    println!("{report}");
    if report.differences.is_empty() { Ok(()) } else { bail!("{} differences", report.differences.len()) }
}

async fn relay(args: RelayArgs) -> anyhow::Result<()> {
    let (fleet, mut api, ipa) = args.fleet.prepare().await?;
    let report = load::run_relay(fleet, &mut api, &ipa, args.fleet.first_device, args.rounds as usize).await?;
    println!("{report}");
    Ok(())
}

async fn campaigns(args: CampaignsArgs) -> anyhow::Result<()> {
    let target = &args.fleet.target;
    let (server, server_name, tls) = resolve(target)?;
    let (mut fleet, mut api, _) = args.fleet.prepare().await?;
    fleet.associate(&api.add_initial_eim_request().await?)?;
    let load = LoadOptions {
        server,
        server_name,
        tls,
        binding: target.binding,
        mode: Mode::Poll,
        connections: args.connections as usize,
        duration: Duration::from_secs(args.seconds),
        max_count: u64::MAX,
    };
    let options = CampaignOptions { load, tag: args.tag, paces: args.paces, to_the_end: args.to_the_end };
    let report = load::run_campaigns(&fleet, &mut api, &options, |line| println!("{line}")).await?;
    println!("{report}");
    if report.differences.is_empty() { Ok(()) } else { bail!("{} differences", report.differences.len()) }
}

async fn flood(args: FloodArgs) -> anyhow::Result<()> {
    let (server, server_name, tls) = resolve(&args.fleet.target)?;
    let (mut fleet, mut api, _) = args.fleet.prepare().await?;
    load::prepare_devices(&mut fleet, &mut api).await?;
    let load = LoadOptions {
        server,
        server_name,
        tls,
        binding: args.fleet.target.binding,
        mode: Mode::Poll,
        connections: args.connections as usize,
        duration: Duration::from_secs(args.seconds),
        max_count: u64::MAX,
    };
    let options = FloodOptions {
        load,
        flood_connections: args.flood_connections as usize,
        strangers: args.strangers,
        polls_per_second: args.polls_per_second,
        rounds: args.rounds,
    };
    let report = load::run_flood(&mut fleet, &mut api, &options).await?;
    println!("{report}");
    if report.calm.errors + report.flooded.errors > 0 {
        bail!("polls of others failed");
    }
    if report.ratio() > 2.0 { bail!("more than twice") } else { Ok(()) }
}

fn registrations(args: &RegistrationsArgs) -> anyhow::Result<()> {
    let devices = args.first_device..args.first_device + args.devices;
    let mut fleet = Fleet::generate_range(Curve::P256, args.seed, devices)?;
    fleet.associate(&read(&args.add_initial_eim)?)?;
    let mut out = BufWriter::new(std::fs::File::create(&args.out).with_context(|| args.out.display().to_string())?);
    for (device, registration) in fleet.devices().iter().zip(fleet.registrations()) {
        let mut body = load::registration(&registration, load::association_of(&device.euicc));
        if let Some(members) = body.as_object_mut() {
            members.insert("tags".to_owned(), serde_json::json!([args.tag]));
        }
        writeln!(out, "{body}")?;
    }
    Ok(out.flush()?)
}

fn manufacturing(args: &ManufacturingArgs) -> anyhow::Result<()> {
    let pki = FleetPki::generate(args.seed)?;
    let eum = STANDARD.encode(pki.eum_certificate());
    let mut out = BufWriter::new(std::fs::File::create(&args.out).with_context(|| args.out.display().to_string())?);
    writeln!(out, "eid,counterValue,associationToken,euiccCertificate,eumCertificate\r")?;
    for index in 0..args.devices {
        let of = if args.bad == Some(index) { index + 1 } else { index };
        let certificate = STANDARD.encode(&pki.euicc(of)?.certificate);
        writeln!(out, "{},0,,{certificate},{eum}\r", pki.eid(index))?;
    }
    Ok(out.flush()?)
}

fn bare(args: &BareArgs) -> anyhow::Result<()> {
    if !args.listen.ip().is_loopback() && !args.allow_remote {
        bail!("{} is not loopback; say --allow-remote to mean it", args.listen);
    }
    let served = load::run_bare_server(args.listen, args.workers, &args.certificate_out);
    Ok(actix_web::rt::System::new().block_on(served)?)
}

fn resolve(target: &Target) -> anyhow::Result<(SocketAddr, String, Arc<rustls::ClientConfig>)> {
    let host = target.server.strip_prefix("https://").context("--server must start with https://")?;
    let host = host.trim_end_matches('/');
    let address = check_target(host, target.allow_remote)?;
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    let versions = match target.tls.as_deref() {
        None => TlsVersions::Both,
        Some("1.2") => TlsVersions::Tls12,
        Some("1.3") => TlsVersions::Tls13,
        Some(other) => bail!("--tls {other}: 1.2 or 1.3"),
    };
    let tls = client_config(&read_trust(&target.trust)?, versions)?;
    Ok((address, target.server_name.clone().unwrap_or_else(|| name.to_owned()), tls))
}

/// The certificates of a DER or PEM file.
fn read_trust(path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let octets = read(path)?;
    if octets.first() == Some(&0x30) {
        return Ok(vec![octets]);
    }
    CertificateDer::pem_slice_iter(&octets)
        .map(|certificate| Ok(certificate.map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?.to_vec()))
        .collect()
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}
