//! One measurement, and how rounds of two things are compared.

use crate::process::Process;
use crate::servers::Served;
use eim_core::ids::Eid;
use eim_simulator::ipa::Binding;
use eim_simulator::load::{
    HandshakeReport, Handshakes, LoadOptions, Mode, Report, run_handshakes, run_paced_polls, run_polls,
};
use std::fmt;
use std::time::Duration;

/// How the client works.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Connections at a time.
    pub connections: usize,
    /// How long one measurement takes.
    pub duration: Duration,
}

/// One measurement.
#[derive(Debug, Clone)]
pub struct Round {
    /// What the client saw.
    pub report: Report,
    /// Processor time of the server for each success, microseconds.
    pub cpu_us: f64,
}

impl Round {
    /// The 99th percentile, milliseconds.
    #[must_use]
    pub fn p99_ms(&self) -> f64 {
        f64::from(self.report.percentile_us(99)) / 1000.0
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |percent| f64::from(self.report.percentile_us(percent)) / 1000.0;
        write!(f, "{}/s (p50 {:.2}, p99 {:.2} ms)", grouped(self.report.per_second()), ms(50), ms(99))?;
        let failures = self.report.errors + self.report.unexpected;
        if failures == 0 {
            return Ok(());
        }
        let first = self.report.first_error.as_deref().unwrap_or("an answer that is not \"nothing\"");
        write!(f, ", FAILED {failures} ({first})")
    }
}

/// The middle of the rounds, or the mean of the two in the middle.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    if values.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.saturating_sub(1)), at(middle)) }
}

/// The median rate.
#[must_use]
pub fn rate(rounds: &[Round]) -> f64 {
    median(rounds.iter().map(|round| round.report.per_second()))
}

/// The median processor time of the server for each, microseconds.
#[must_use]
pub fn cpu_us(rounds: &[Round]) -> f64 {
    median(rounds.iter().map(|round| round.cpu_us))
}

/// What `of` reaches of `base`.
#[derive(Debug, Clone)]
pub struct Ratio {
    /// Of the median rates: 0.7 is 70%.
    pub rate: f64,
    /// Round by round.
    pub rounds: Vec<f64>,
    /// By the processor time of the servers alone: what `base` costs, divided by what `of` costs.
    pub cpu: f64,
}

impl Ratio {
    /// Compares rounds that were made by turns.
    #[must_use]
    pub fn of(of: &[Round], base: &[Round]) -> Self {
        let each = of.iter().zip(base).map(|(of, base)| of.report.per_second() / base.report.per_second());
        Self { rate: rate(of) / rate(base), rounds: each.collect(), cpu: cpu_us(base) / cpu_us(of) }
    }

    /// Whether rate and processor time both reach so much.
    #[must_use]
    pub fn reaches(&self, least: f64) -> bool {
        self.rate.min(self.cpu) >= least
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds: Vec<String> = self.rounds.iter().map(|ratio| percent(*ratio)).collect();
        let (rate, cpu) = (percent(self.rate), percent(self.cpu));
        write!(f, "{rate} (by round {}); {cpu} by the server's processor time", rounds.join(", "))
    }
}

/// 0.7 is "70%".
#[must_use]
pub fn percent(ratio: f64) -> String {
    format!("{:.0}%", ratio * 100.0)
}

/// A number with commas between thousands.
#[must_use]
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Client {
    /// How devices reach each front.
    fn options(self, served: &(impl Served + ?Sized), mode: Mode) -> Vec<LoadOptions> {
        let targets = served.targets();
        let connections = self.connections.div_ceil(targets.len().max(1));
        let options = targets.into_iter().map(|target| LoadOptions {
            server: target.address,
            server_name: "localhost".to_owned(),
            tls: target.tls,
            binding: Binding::Asn1,
            mode,
            connections,
            duration: self.duration,
            max_count: u64::MAX,
        });
        options.collect()
    }

    /// The options of each front for whole cycles.
    pub fn cycle_options(self, served: &(impl Served + ?Sized)) -> Vec<LoadOptions> {
        self.options(served, Mode::Cycle)
    }

    /// Polls of these devices by turns, as fast as they are answered; with several fronts each gets its share of devices.
    ///
    /// # Errors
    /// When no connection can be opened.
    pub async fn polls(self, served: &(impl Served + ?Sized), eids: &[Eid]) -> anyhow::Result<Round> {
        let options = self.options(served, Mode::Poll);
        measured(served, polls(eids, options)).await
    }

    /// Polls of each of these devices once.
    ///
    /// # Errors
    /// When no connection can be opened.
    pub async fn polls_once(self, served: &(impl Served + ?Sized), eids: &[Eid]) -> anyhow::Result<Round> {
        let mut options = self.options(served, Mode::Poll);
        for options in &mut options {
            options.duration = Duration::from_secs(3600);
            // A connection makes one poll more than its share of this, which is then each device's one.
            options.max_count = (eids.len() as u64).saturating_sub(options.connections as u64);
        }
        measured(served, polls(eids, options)).await
    }

    /// So many polls in a second, whatever the answers do.
    ///
    /// # Errors
    /// When no connection can be opened.
    pub async fn paced_polls(
        self,
        served: &(impl Served + ?Sized),
        eids: &[Eid],
        per_second: f64,
    ) -> anyhow::Result<Round> {
        let options = self.options(served, Mode::Poll);
        let first = options.first().cloned();
        let options = first.ok_or(anyhow::anyhow!("nothing serves"))?;
        measured(served, async { Ok(run_paced_polls(eids, per_second, &options).await?) }).await
    }

    /// A connection for each poll. Fails when a handshake was not as it was to be.
    ///
    /// # Errors
    /// When no connection can be opened, or more than one in a thousand handshakes were of the other kind.
    pub async fn handshakes(
        self,
        served: &(impl Served + ?Sized),
        eids: &[Eid],
        kind: Handshakes,
    ) -> anyhow::Result<Round> {
        let options = self.options(served, Mode::Poll);
        let first = options.first().cloned();
        let options = first.ok_or(anyhow::anyhow!("nothing serves"))?;
        measured(served, async {
            let HandshakeReport { report, full, resumed } = run_handshakes(eids, kind, &options).await?;
            let (right, wrong) = match kind {
                Handshakes::Full => (full, resumed),
                Handshakes::Resumed => (resumed, full),
            };
            anyhow::ensure!(wrong * 1000 <= right, "{kind:?}: {full} handshakes were full, {resumed} resumed");
            Ok(report)
        })
        .await
    }
}

async fn polls(eids: &[Eid], options: Vec<LoadOptions>) -> anyhow::Result<Report> {
    let many = options.len().max(1);
    let mut runs = Vec::new();
    for (index, options) in options.into_iter().enumerate() {
        let mine: Vec<Eid> = eids.iter().skip(index).step_by(many).copied().collect();
        runs.push(tokio::spawn(async move { run_polls(&mine, &options).await }));
    }
    let mut report: Option<Report> = None;
    for run in runs {
        let found = run.await??;
        report = Some(match report {
            Some(before) => before.beside(found),
            None => found,
        });
    }
    report.ok_or(anyhow::anyhow!("nothing serves"))
}

/// What comes of a run, with what it cost the server.
///
/// # Errors
/// Those of the run.
pub async fn measured(
    served: &(impl Served + ?Sized),
    run: impl Future<Output = anyhow::Result<Report>>,
) -> anyhow::Result<Round> {
    let cpu = || served.processes().into_iter().map(Process::cpu).sum::<anyhow::Result<Duration>>();
    let before = cpu()?;
    let report = run.await?;
    anyhow::ensure!(report.count > 0, "nothing succeeded: {report}");
    let used = cpu()?.saturating_sub(before);
    Ok(Round { cpu_us: used.as_secs_f64() * 1e6 / report.count as f64, report })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0]) - 2.5).abs() < 1e-9);
        assert!(median([]).abs() < 1e-9);
    }

    #[test]
    fn thousands_are_told_apart() {
        assert_eq!([1.0, 999.6, 12_345.0, 1e6].map(grouped), ["1", "1,000", "12,345", "1,000,000"]);
    }
}
