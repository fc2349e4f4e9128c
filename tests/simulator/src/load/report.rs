//! What a run measured.

use std::fmt;
use std::time::{Duration, Instant};

/// What one connection counted.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Latency of each success, microseconds.
    pub latencies_us: Vec<u32>,
    /// Answers that were none of those that are counted: for polls, another answer than "nothing".
    pub unexpected: u64,
    /// Exchanges that failed: connection, status, refusal.
    pub errors: u64,
    /// The first failure, in words.
    pub first_error: Option<String>,
}

impl Counts {
    pub(super) fn success(&mut self, started: Instant) {
        self.latencies_us.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
    }

    pub(super) fn error(&mut self, error: impl fmt::Display) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }
}

/// The sum of all connections.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// `polls` or `cycles`.
    pub unit: &'static str,
    /// How long it took.
    pub elapsed: Duration,
    /// Successes.
    pub count: u64,
    /// See [`Counts::unexpected`].
    pub unexpected: u64,
    /// See [`Counts::errors`].
    pub errors: u64,
    /// The first failure, in words.
    pub first_error: Option<String>,
    /// Latencies in microseconds, ascending.
    latencies_us: Vec<u32>,
}

impl Report {
    pub(super) fn new(unit: &'static str, elapsed: Duration, parts: Vec<Counts>) -> Self {
        let mut report = Self { unit, elapsed, ..Self::default() };
        for part in parts {
            report.count += part.latencies_us.len() as u64;
            report.unexpected += part.unexpected;
            report.errors += part.errors;
            report.first_error = report.first_error.or(part.first_error);
            report.latencies_us.extend(part.latencies_us);
        }
        report.latencies_us.sort_unstable();
        report
    }

    /// This run and another one that was under way at the same time, as one.
    #[must_use]
    pub fn beside(mut self, other: Self) -> Self {
        self.elapsed = self.elapsed.max(other.elapsed);
        self.count += other.count;
        self.unexpected += other.unexpected;
        self.errors += other.errors;
        self.first_error = self.first_error.or(other.first_error);
        self.latencies_us.extend(other.latencies_us);
        self.latencies_us.sort_unstable();
        self
    }

    /// Successes in a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// The latency that so many of a hundred successes did not exceed, microseconds; 0 without any.
    #[must_use]
    pub fn percentile_us(&self, percent: usize) -> u32 {
        let last = self.latencies_us.len().saturating_sub(1);
        self.latencies_us.get(last * percent.min(100) / 100).copied().unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |percent| f64::from(self.percentile_us(percent)) / 1000.0;
        write!(
            f,
            "{:.0} {}/s ({} in {:.1} s)  p50 {:.2} ms  p95 {:.2} ms  p99 {:.2} ms  max {:.2} ms  unexpected {}  errors {}",
            self.per_second(),
            self.unit,
            self.count,
            self.elapsed.as_secs_f64(),
            ms(50),
            ms(95),
            ms(99),
            ms(100),
            self.unexpected,
            self.errors
        )?;
        self.first_error.as_ref().map_or(Ok(()), |error| write!(f, " (first: {error})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_all_connections_and_runs() {
        let part = |from: u32| Counts { latencies_us: (from..from + 50).collect(), ..Counts::default() };
        let report = Report::new("polls", Duration::from_secs(2), vec![part(51), part(1)]);
        assert_eq!(
            (report.count, report.percentile_us(50), report.percentile_us(99), report.percentile_us(100)),
            (100, 50, 99, 100)
        );
        assert!((report.per_second() - 50.0).abs() < 1e-9);
        assert_eq!(Report::new("polls", Duration::ZERO, Vec::new()).percentile_us(99), 0);
        let both = report.beside(Report::new("polls", Duration::from_secs(4), vec![part(101)]));
        assert_eq!((both.count, both.percentile_us(100), both.elapsed), (150, 150, Duration::from_secs(4)));
    }
}
