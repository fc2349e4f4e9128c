//! Whole cycles beside what the machine can sign and verify.

use super::Sizes;
use crate::crypto;
use crate::figures::Section;
use crate::fleet::SEED;
use crate::machine::cores;
use crate::measure::{Round, cpu_us, grouped, measured, percent, rate};
use crate::servers::{Bench, Eim, Served};
use eim_core::pki::Curve;
use eim_simulator::fleet::Fleet;
use eim_simulator::load::{self, LoadOptions, Report, prepare_devices};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long each rate of the libraries is measured.
const RATE: Duration = Duration::from_secs(2);
/// Signatures of certificates that a result is believed by: the EUM's by the CI, the eUICC's by the EUM.
const CHAIN: f64 = 2.0;

/// Devices that are registered and ready for cycles, with a connection to the API that they get operations by.
pub struct Cycling {
    fleet: Fleet,
    api: load::Api,
}

impl Cycling {
    /// The devices from this index on.
    ///
    /// # Errors
    /// When they are not taken.
    pub async fn prepare(eim: &Eim, first: u32, devices: u32) -> anyhow::Result<Self> {
        let mut fleet = Fleet::generate_range(Curve::P256, SEED, first..first + devices)?;
        let mut api = eim.api().await?;
        prepare_devices(&mut fleet, &mut api).await?;
        Ok(Self { fleet, api })
    }

    /// Cycles until the time is over.
    ///
    /// # Errors
    /// When no connection can be opened.
    pub async fn run(self, options: LoadOptions) -> anyhow::Result<Report> {
        Ok(load::run(self.fleet, Some(&self.api), &options).await?)
    }
}

/// # Errors
/// When a server does not start.
pub async fn cycles(bench: &Bench, sizes: &Sizes) -> anyhow::Result<Section> {
    let mut section = Section::begin("Whole cycles and the machine's cryptography");
    let eim = Eim::embedded(bench, "cycles").await?;
    let (mut rounds, mut own, mut counts) = (Vec::new(), Vec::new(), Counts::default());
    for number in 0..sizes.rounds {
        own.push(crypto::of_the_server(RATE)?);
        let devices = Cycling::prepare(&eim, number as u32 * sizes.cycling, sizes.cycling).await?;
        let before = eim.counters().await?;
        let options = sizes.client.cycle_options(&eim).pop().ok_or(anyhow::anyhow!("nothing serves"))?;
        let round = measured(&eim, devices.run(options)).await?;
        counts.add(&before, &eim.counters().await?, &round);
        rounds.push(round);
    }
    let p256 = crypto::of_p256(RATE)?;
    eim.stop().await?;
    section.row("operation created, polled, executed, reported, verified, acknowledged", &rounds);

    let (signs, verifies) = counts.of_the_server();
    let median = |of: fn(&crypto::Rates) -> f64| crate::measure::median(own.iter().map(of));
    let own = crypto::Rates { sign: median(|r| r.sign), verify: median(|r| r.verify), both: median(|r| r.both) };
    for (name, rates) in [("ring, which the server signs and verifies P-256 with", own), ("the crate p256", p256)] {
        section.note(format!(
            "ECDSA P-256 on all {} cores, {name}: {} signatures/s, {} verifications/s, {}/s of both one after the other.",
            cores(),
            grouped(rates.sign),
            grouped(rates.verify),
            grouped(rates.both)
        ));
    }
    section.note(format!(
        "A cycle has {:.2} packages and {:.2} notifications by the server's counters: {signs:.2} signatures and {verifies:.2} \
         verifications of the server (each result and notification is verified, and the {CHAIN:.0} certificates behind a result), and \
         about {:.2} signatures and {:.2} verifications of the simulated eUICC on the same cores.",
        counts.packages(),
        counts.notifications(),
        counts.packages() + counts.notifications(),
        counts.packages(),
    ));
    let device = (counts.packages() + counts.notifications(), counts.packages());
    let (cycles, limit) = (rate(&rounds), own.limit(signs, verifies));
    let with_device = own.limit(signs + device.0, verifies + device.1);
    section.note(format!(
        "With the server's cryptography alone the machine could do {} cycles/s, with the eUICC's as well {}. Of the {:.0} µs of \
         processor time that a cycle costs the server, {:.0} µs ({}) are its signatures and verifications.",
        grouped(limit),
        grouped(with_device),
        cpu_us(&rounds),
        own.cpu_us(signs, verifies),
        percent(own.cpu_us(signs, verifies) / cpu_us(&rounds)),
    ));
    let text = format!(
        "{} of the server's own cryptography in a cycle ({} of it with the eUICC's, which shares the cores); {} of one signature and \
         one verification each, {} by the crate p256",
        percent(cycles / limit),
        percent(cycles / with_device),
        percent(cycles / own.both),
        percent(cycles / p256.both)
    );
    section.aim("cycles reach 50% of what the machine's ECDSA allows", text, cycles / limit >= 0.5);
    Ok(section)
}

/// What the counters of the server say of the cycles.
#[derive(Default)]
struct Counts {
    cycles: f64,
    packages: f64,
    notifications: f64,
}

impl Counts {
    fn add(&mut self, before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, round: &Round) {
        let grown = |wanted: &[&str]| -> f64 {
            let of = |counters: &BTreeMap<String, f64>| -> f64 {
                let named = counters.iter().filter(|(name, _)| wanted.iter().all(|part| name.contains(part)));
                named.map(|(_, value)| value).sum()
            };
            of(after) - of(before)
        };
        self.cycles += round.report.count as f64;
        // Data requests are not signed.
        self.packages += ["psmo", "eco"]
            .map(|kind| grown(&["eim_packages_total", &format!("kind=\"{kind}\""), "outcome=\"delivered\""]))
            .iter()
            .sum::<f64>();
        self.notifications += grown(&["eim_notifications_total", "outcome=\"verified\""]);
    }

    fn packages(&self) -> f64 {
        self.packages / self.cycles.max(1.0)
    }

    fn notifications(&self) -> f64 {
        self.notifications / self.cycles.max(1.0)
    }

    /// Signatures and verifications in a cycle.
    fn of_the_server(&self) -> (f64, f64) {
        (self.packages(), self.packages() * (1.0 + CHAIN) + self.notifications())
    }
}

/// The processes whose time is counted, for several servers at once.
pub async fn measured_cycles(
    served: &(impl Served + ?Sized),
    devices: Vec<Cycling>,
    options: Vec<LoadOptions>,
) -> anyhow::Result<Round> {
    let run = async {
        let runs: Vec<_> =
            devices.into_iter().zip(options).map(|(devices, options)| tokio::spawn(devices.run(options))).collect();
        let mut report: Option<Report> = None;
        for run in runs {
            let found = run.await??;
            report = Some(match report {
                Some(before) => before.beside(found),
                None => found,
            });
        }
        report.ok_or(anyhow::anyhow!("nothing serves"))
    };
    measured(served, run).await
}
