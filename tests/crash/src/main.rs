//! Kills real servers while a simulated fleet works, and compares afterwards what devices, SM-DP+ and eIM know.
//!
//! Every run has a plan that follows from its seed (see `plan.rs`). The same seed gives the same plan; which instruction a process dies at is up to the
//! machine, so a failure may need several runs of its seed to come again.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the program's output")]

mod amqp;
mod check;
mod clock;
mod database;
mod device;
mod far;
mod line;
mod operator;
mod plan;
mod proof;
mod run;
mod servers;
mod wire;

use anyhow::{Context, ensure};
use clap::Parser;
use plan::{Mode, Plan};
use run::{BROKE_OFF, Facts, Outcome, run};
use servers::Common;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// The runs that found something once.
const SEEDS: &str = include_str!("../seeds.txt");

/// Crash tests of the real server binary. Exit code 1 when a run shows a difference.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// How many runs, those of kept seeds included.
    #[arg(long, default_value_t = 20)]
    runs: usize,
    /// embedded, production, or both by turns.
    #[arg(long, default_value = "both", value_parser = modes)]
    mode: Modes,
    /// The seed of the first run; each further one has the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Begins no run after this time: 90s, 10m, 2h.
    #[arg(long, value_parser = time)]
    at_most: Option<Duration>,
    /// Runs side by side; they wait most of the time.
    #[arg(long, default_value_t = 3)]
    side_by_side: usize,
    /// What has not settled after this time fails.
    #[arg(long, default_value = "120s", value_parser = time)]
    limit: Duration,
    /// How much faster the servers' calendar clock runs.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Leaves out the kept seeds.
    #[arg(long)]
    only_new: bool,
    /// Makes no other runs but some whose database is lied to before the comparison, which must find every lie.
    #[arg(long)]
    prove: bool,
    /// Prints the plan of each run.
    #[arg(long)]
    show: bool,
    /// Keeps data and logs of runs that fail.
    #[arg(long)]
    keep: bool,
    /// eim-server; the one beside this program unless said.
    #[arg(long)]
    server: Option<PathBuf>,
    /// eim-server of the version before: every second front and every second worker of production runs is of it, on the schema of the
    /// present one. Production runs then have two of each.
    #[arg(long, env = "EIM_PREVIOUS_SERVER")]
    previous: Option<PathBuf>,
    /// PostgreSQL of production runs, in which each has a schema of its own.
    #[arg(long, env = "EIM_TEST_POSTGRES_URL", default_value = "postgres://postgres@127.0.0.1:5432/test")]
    postgres: String,
    /// RabbitMQ of production runs, at which each has a prefix of its own. The URL names the port.
    #[arg(long, env = "EIM_TEST_AMQP_URL", default_value = "amqp://guest:guest@127.0.0.1:5672")]
    amqp: String,
}

#[derive(Debug, Clone)]
struct Modes(Vec<Mode>);

fn modes(text: &str) -> Result<Modes, String> {
    match text {
        "both" => Ok(Modes(vec![Mode::Embedded, Mode::Production])),
        one => one.parse().map(|mode| Modes(vec![mode])).map_err(|expected: String| format!("both, {expected}")),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number with s, m or h".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().map(|number| Duration::from_secs(number * seconds)).map_err(|_| wrong())
}

/// The plans that are to be carried out: kept ones first.
fn plans(arguments: &Arguments) -> anyhow::Result<Vec<(Mode, u64)>> {
    let mut plans = Vec::new();
    if !arguments.only_new {
        for line in SEEDS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let mode: Mode =
                words.next().unwrap_or_default().parse().map_err(|error| anyhow::anyhow!("{error}: {line}"))?;
            let seed = words.next().and_then(|seed| seed.parse().ok()).with_context(|| format!("no seed: {line}"))?;
            plans.push((mode, seed));
        }
        plans.retain(|(mode, _)| arguments.mode.0.contains(mode));
    }
    let seeds = (arguments.seed..).flat_map(|seed| arguments.mode.0.iter().map(move |mode| (*mode, seed)));
    let lacking = arguments.runs.saturating_sub(plans.len());
    plans.extend(seeds.take(lacking));
    Ok(plans)
}

fn server(arguments: &Arguments) -> anyhow::Result<PathBuf> {
    let found = match &arguments.server {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("eim-server"),
    };
    ensure!(found.is_file(), "{} is not there: build the workspace, or name it with --server", found.display());
    Ok(found.canonicalize()?)
}

fn previous(arguments: &Arguments) -> anyhow::Result<Option<PathBuf>> {
    let Some(path) = &arguments.previous else { return Ok(None) };
    ensure!(path.is_file(), "{} is not there (--previous)", path.display());
    Ok(Some(path.canonicalize()?))
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir()?;
    let (postgres, amqp) = (arguments.postgres.clone(), arguments.amqp.clone());
    let binaries = (server(&arguments)?, previous(&arguments)?);
    let common = Arc::new(Common::prepare(binaries, folder.path(), arguments.rate, postgres, amqp)?);
    tokio::spawn(end_on_signal(Arc::clone(&common)));
    if arguments.prove {
        return prove(&common, arguments.seed, arguments.limit).await;
    }
    let begun = Instant::now();
    let mut plans = plans(&arguments)?.into_iter();
    let (mut running, mut results) = (JoinSet::new(), Results::default());
    loop {
        let in_time = arguments.at_most.is_none_or(|at_most| begun.elapsed() < at_most) && !*common.end.borrow();
        if in_time
            && running.len() < arguments.side_by_side.max(1)
            && let Some((mode, seed)) = plans.next()
        {
            let (common, limit, keep) = (Arc::clone(&common), arguments.limit, arguments.keep);
            // With the version before, two of each: one of either version.
            let plan = Plan::with(seed, mode, arguments.previous.is_some());
            if arguments.show {
                print!("{plan}");
            }
            running.spawn(async move {
                let outcome = run(&common, &plan, limit, keep, None).await;
                (plan, outcome)
            });
            continue;
        }
        let Some(ended) = running.join_next().await else { break };
        let (plan, outcome) = ended?;
        results.add(&plan, outcome);
    }
    let left = plans.len();
    println!("{results} in {:.0} s", begun.elapsed().as_secs_f64());
    if left > 0 {
        println!("{left} runs were not begun: the time was over");
    }
    if results.failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    // Once more, where who reads only the end finds it.
    results.differences.iter().for_each(|difference| println!("{difference}"));
    println!("FAILED: {}", results.failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// Whether every lie is found.
async fn prove(common: &Arc<Common>, seed: u64, limit: Duration) -> anyhow::Result<ExitCode> {
    let plan = Plan::of(seed, Mode::Embedded);
    let truth = run(common, &plan, limit, false, None).await?.differences;
    ensure!(truth.is_empty(), "without a lie: {truth:?}");
    let mut unseen = 0;
    for (what, lie) in proof::LIES {
        let differences = run(common, &plan, limit, false, Some(lie)).await?.differences;
        match differences.first().filter(|difference| !difference.starts_with(BROKE_OFF)) {
            Some(difference) => println!("{what}: {}", difference.chars().take(160).collect::<String>()),
            None => {
                println!("NOT FOUND: {what}: {differences:?}");
                unseen += 1;
            }
        }
    }
    Ok(if unseen == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A run that is ended cleans up behind itself.
async fn end_on_signal(common: Arc<Common>) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    common.end.send_replace(true);
    Ok(())
}

#[derive(Debug, Default)]
struct Results {
    runs: [usize; 2],
    kills: usize,
    accidents: usize,
    operations: usize,
    failed: Vec<String>,
    /// Of all runs that failed.
    differences: Vec<String>,
}

impl Results {
    fn add(&mut self, plan: &Plan, outcome: anyhow::Result<Outcome>) {
        let name = format!("{} {}", plan.mode, plan.seed);
        let Outcome { differences, was_ended, logs, facts } = outcome.unwrap_or_else(|error| Outcome {
            differences: vec![format!("the run could not be made: {error:#}")],
            ..Outcome::default()
        });
        if was_ended {
            return println!("{name}: ended from outside");
        }
        self.note(plan.mode, facts);
        if differences.is_empty() {
            println!("{name}: {facts}");
            return;
        }
        println!("{name}: FAILED: {facts}");
        print!("{plan}{logs}");
        for difference in differences {
            let line = format!("DIFFERENCE {name}: {difference}");
            println!("{line}");
            self.differences.push(line);
        }
        self.failed.push(name);
    }

    fn note(&mut self, mode: Mode, facts: Facts) {
        if let Some(runs) = self.runs.get_mut(usize::from(mode == Mode::Production)) {
            *runs += 1;
        }
        self.kills += facts.kills;
        self.accidents += facts.accidents + facts.far;
        self.operations += facts.operations;
    }
}

impl std::fmt::Display for Results {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [embedded, production] = self.runs;
        write!(
            f,
            "{embedded} embedded and {production} production runs: {} kills, {} other accidents, {} operations; {} failed",
            self.kills,
            self.accidents,
            self.operations,
            self.failed.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{SEEDS, time};
    use std::time::Duration;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(time("10m"), Ok(Duration::from_secs(600)));
        assert!(["", "10", "m", "-1s", "1.5h"].into_iter().all(|text| time(text).is_err()));
    }

    #[test]
    fn kept_seeds_can_be_read() {
        for line in SEEDS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            assert!(words.next().unwrap().parse::<super::Mode>().is_ok(), "{line}");
            assert!(words.next().unwrap().parse::<u64>().is_ok(), "{line}");
            assert!(words.next().is_some(), "what it found: {line}");
        }
    }
}
