//! Benchmarks of the real server, each a ratio in one run: what is compared is measured by turns, on one machine.
//!
//! Starts release builds of the server, and a bare server beside it, on loopback with folders of their own, and writes what it
//! measured between two lines of docs/benchmarks.md. It asserts nothing about time, and ends no process that it did not start.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the program's output")]

mod crypto;
mod figures;
mod fleet;
mod machine;
mod measure;
mod process;
mod production;
mod scenario;
mod servers;

use anyhow::{Context, bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use figures::Section;
use fleet::Pollers;
use measure::Client;
use production::Shared;
use scenario::Sizes;
use servers::{Bench, Eim};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Measures the server: `eim-load all`.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Internal>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Internal {
    /// The server that is compared with; the benchmarks start it.
    #[command(hide = true)]
    BareServer {
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        #[arg(long)]
        certificate_out: PathBuf,
    },
}

#[derive(Debug, Args)]
struct RunArgs {
    /// What is measured.
    #[arg(value_enum, default_value = "all")]
    scenarios: Vec<Name>,
    /// Small sizes and short measurements: shows that all of it works, and measures nothing.
    #[arg(long)]
    quick: bool,
    /// How long one measurement takes, seconds [8; quick 1].
    #[arg(long)]
    seconds: Option<u64>,
    /// How often each of two things is measured, by turns [3; quick 1].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// TLS connections.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    connections: u32,
    /// Threads of the client; as many as there are cores without it.
    #[arg(long)]
    threads: Option<usize>,
    /// Devices that poll again and again [1000; quick 200].
    #[arg(long)]
    polling: Option<u32>,
    /// eUICCs of the large fleet [1000000; quick 5000].
    #[arg(long)]
    fleet: Option<u32>,
    /// How many of them poll once more after a restart, so that each poll asks the store [300000; quick 3000].
    #[arg(long)]
    spread: Option<u32>,
    /// How many of those in one measurement [20000; quick 500].
    #[arg(long)]
    cold: Option<u32>,
    /// Operations that are pending on eUICCs that do not poll [1000000; quick 2000].
    #[arg(long)]
    pending: Option<u32>,
    /// Devices that work through whole cycles [256; quick 64].
    #[arg(long)]
    cycling: Option<u32>,
    /// The `eim-server` to measure; without it the release build is made.
    #[arg(long)]
    server: Option<PathBuf>,
    /// PostgreSQL for two nodes; a schema of its own is made there.
    #[arg(long, env = "EIM_TEST_POSTGRES_URL", default_value = "postgres://postgres@127.0.0.1:5432/test")]
    postgres: String,
    /// RabbitMQ for two nodes; queues get a prefix of their own.
    #[arg(long, env = "EIM_TEST_AMQP_URL", default_value = "amqp://guest:guest@127.0.0.1:5672")]
    amqp: String,
    /// The file whose part between the two marked lines is written. Without it: docs/benchmarks.md where all scenarios ran
    /// with their full sizes, and standard output otherwise.
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// All of them.
    All,
    /// Empty polls beside the bare server.
    Polls,
    /// A connection for each poll, beside the bare server.
    Handshakes,
    /// Whole cycles beside the machine's ECDSA.
    Cycles,
    /// One node beside two on PostgreSQL and RabbitMQ.
    Nodes,
    /// A large fleet beside a small one; memory; latency at half load.
    Fleet,
    /// Pending operations beside none; needs the large fleet, and measures it as well.
    Pending,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if let Some(Internal::BareServer { listen, certificate_out }) = cli.command {
        ensure!(listen.ip().is_loopback(), "{listen} is not loopback");
        let served = eim_simulator::load::run_bare_server(listen, machine::cores(), &certificate_out);
        return Ok(actix_web::rt::System::new().block_on(served)?);
    }
    let threads = cli.run.threads.unwrap_or_else(machine::cores).max(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(run(cli.run, threads))
}

async fn run(args: RunArgs, threads: usize) -> anyhow::Result<()> {
    let sizes = args.sizes()?;
    let binary = match &args.server {
        Some(binary) => binary.clone(),
        None => build()?,
    };
    let folder = tempfile::tempdir()?;
    let bench = Bench {
        binary,
        folder: folder.path().to_owned(),
        pollers: Pollers::new()?,
        shared: Shared::new(&args.postgres, &args.amqp),
    };
    bench.pollers.write_ci(&folder.path().join("ci"))?;
    let about = machine::describe(&bench.binary, &args.postgres, &args.amqp).await;
    let mut terminated = signal(SignalKind::terminate())?;
    // Whatever ends it, the processes end with what is dropped here.
    let measured = tokio::select! {
        measured = measure(&args, &bench, &sizes) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        _ = terminated.recv() => Err(anyhow::anyhow!("terminated")),
    };
    if args.runs(Name::Nodes)
        && let Err(error) = bench.shared.remove().await
    {
        eprintln!("schema or queues {} are left behind: {error:#}", bench.shared.name);
    }
    let settings = format!("{}; {threads} client threads", sizes.describe());
    let text = figures::markdown(&about, &settings, &measured?);
    match args.out() {
        Some(file) => figures::write(&file, &text),
        None => {
            println!("{text}");
            Ok(())
        }
    }
}

async fn measure(args: &RunArgs, bench: &Bench, sizes: &Sizes) -> anyhow::Result<Vec<Section>> {
    let mut sections = Vec::new();
    if args.runs(Name::Polls) {
        sections.push(scenario::empty_polls(bench, sizes).await?);
    }
    if args.runs(Name::Handshakes) {
        sections.push(scenario::handshakes(bench, sizes).await?);
    }
    if args.runs(Name::Cycles) {
        sections.push(scenario::cycles(bench, sizes).await?);
    }
    if args.runs(Name::Nodes) {
        sections.push(scenario::nodes(bench, sizes).await?);
    }
    if args.runs(Name::Fleet) || args.runs(Name::Pending) {
        let (section, large): (Section, Eim) = scenario::fleet(bench, sizes).await?;
        sections.push(section);
        if args.runs(Name::Pending) {
            sections.push(scenario::pending(bench, sizes, large).await?);
        } else {
            large.stop().await?;
        }
    }
    Ok(sections)
}

impl RunArgs {
    fn runs(&self, name: Name) -> bool {
        self.scenarios.iter().any(|wanted| *wanted == name || *wanted == Name::All)
    }

    fn sizes(&self) -> anyhow::Result<Sizes> {
        let either = |given: Option<u32>, full: u32, quick: u32| given.unwrap_or(if self.quick { quick } else { full });
        let seconds = self.seconds.unwrap_or(if self.quick { 1 } else { 8 });
        let sizes = Sizes {
            client: Client { connections: self.connections as usize, duration: Duration::from_secs(seconds.max(1)) },
            rounds: either(self.rounds, 3, 1) as usize,
            polling: either(self.polling, 1_000, 200),
            fleet: either(self.fleet, 1_000_000, 5_000),
            spread: either(self.spread, 300_000, 3_000),
            cold: either(self.cold, 20_000, 500),
            pending: either(self.pending, 1_000_000, 2_000),
            cycling: either(self.cycling, 256, 64),
        };
        ensure!(sizes.polling >= self.connections, "there must be a polling device for each connection");
        ensure!(sizes.cold >= self.connections, "there must be a cold device for each connection");
        ensure!(sizes.polling + sizes.spread < sizes.fleet, "the fleet must be larger than those of it that poll");
        ensure!(sizes.cold * (sizes.rounds as u32 + 1) <= sizes.spread, "--spread is too small for so many cold polls");
        Ok(sizes)
    }

    fn out(&self) -> Option<PathBuf> {
        let whole = self.scenarios.contains(&Name::All) && !self.quick;
        self.out.clone().or_else(|| whole.then(|| PathBuf::from("docs/benchmarks.md")))
    }
}

/// Makes the release build of the server; it is beside this program then.
fn build() -> anyhow::Result<PathBuf> {
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    cargo.args(["build", "--release", "-q", "-p", "eim-server"]);
    ensure!(cargo.status().context("cargo")?.success(), "the server could not be built");
    let binary = std::env::current_exe()?.with_file_name("eim-server");
    if cfg!(debug_assertions) || !binary.is_file() {
        bail!("measure with a release build: cargo run --release -p eim-load");
    }
    Ok(binary)
}
