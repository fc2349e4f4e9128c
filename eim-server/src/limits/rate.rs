//! How often something may happen: a steady rate with a burst (a token bucket, kept as one number).
//!
//! It reads no clock. A clock that is set back gives and takes nothing: what is left of the burst is at most used up.

use std::time::Duration;

/// A bucket: the time, in microseconds, at which all that was taken is made up for. One in the past is full.
pub(crate) type Bucket = i64;

/// A rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Microseconds that make up for one.
    interval_us: i64,
    /// What may be ahead of the steady rate, in microseconds: the burst.
    burst_us: i64,
}

impl Rate {
    /// So many in a second in the long run, and so many at once.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let interval_us = (1_000_000 / i64::from(per_second.max(1))).max(1);
        Self { interval_us, burst_us: interval_us.saturating_mul(i64::from(burst.max(1))) }
    }

    /// Takes one, or tells how long it takes until there is one.
    pub(crate) fn take(&self, bucket: &mut Bucket, now_us: i64) -> Result<(), Duration> {
        self.has(bucket, now_us)?;
        *bucket = bucket.saturating_add(self.interval_us);
        Ok(())
    }

    /// Whether there is one, or how long it takes until there is.
    pub(crate) fn has(&self, bucket: &mut Bucket, now_us: i64) -> Result<(), Duration> {
        *bucket = self.begin(*bucket, now_us);
        let after = bucket.saturating_add(self.interval_us);
        match after.saturating_sub(now_us).saturating_sub(self.burst_us) {
            ..=0 => Ok(()),
            wait => Err(micros(wait)),
        }
    }

    /// Takes so many, also those that are not there yet, up to a second's worth: for what is known only afterwards.
    pub(crate) fn charge(&self, bucket: &mut Bucket, count: u32, now_us: i64) {
        let after = self.begin(*bucket, now_us).saturating_add(self.interval_us.saturating_mul(i64::from(count)));
        *bucket = after.min(now_us.saturating_add(self.burst_us).saturating_add(1_000_000));
    }

    /// Takes one that may not be there yet, and tells how long to wait for it.
    pub(crate) fn reserve(&self, bucket: &mut Bucket, now_us: i64) -> Duration {
        *bucket = self.begin(*bucket, now_us).saturating_add(self.interval_us);
        micros(bucket.saturating_sub(now_us).saturating_sub(self.burst_us))
    }

    /// Where the bucket stands. One far ahead was filled under another time.
    fn begin(&self, bucket: Bucket, now_us: i64) -> i64 {
        bucket.clamp(now_us, now_us.saturating_add(self.burst_us).saturating_add(1_000_000))
    }
}

fn micros(wait: i64) -> Duration {
    Duration::from_micros(u64::try_from(wait).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn a_burst_is_taken_at_once_and_then_the_steady_rate() {
        let rate = Rate::new(10, 5);
        let mut bucket = 0;
        let taken = |bucket: &mut Bucket, now| (0..100).take_while(|_| rate.take(bucket, now).is_ok()).count();
        assert_eq!(taken(&mut bucket, SECOND), 5);
        assert_eq!(rate.take(&mut bucket, SECOND), Err(Duration::from_millis(100)));
        assert_eq!(taken(&mut bucket, SECOND + SECOND / 5), 2);
        assert_eq!(taken(&mut bucket, 100 * SECOND), 5, "no more than the burst is saved up");
    }

    #[test]
    fn a_refused_one_takes_nothing() {
        let rate = Rate::new(1, 1);
        let mut bucket = 0;
        assert!(rate.take(&mut bucket, 0).is_ok());
        for _ in 0..1_000 {
            assert!(rate.take(&mut bucket, 0).is_err());
        }
        assert!(rate.take(&mut bucket, SECOND).is_ok());
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let rate = Rate::new(10, 5);
        let mut bucket = 0;
        assert!(rate.take(&mut bucket, 1_000_000 * SECOND).is_ok());
        // An hour back: the bucket is empty at worst, and fills from there.
        let now = 996_400 * SECOND;
        assert!(rate.take(&mut bucket, now).is_err_and(|wait| wait <= Duration::from_secs(2)));
        assert!(rate.take(&mut bucket, now + 2 * SECOND).is_ok());
    }

    #[test]
    fn a_debt_is_a_second_at_most() {
        let rate = Rate::new(10, 5);
        let mut bucket = 0;
        rate.charge(&mut bucket, 1_000_000, 0);
        assert_eq!(rate.reserve(&mut bucket, 0), Duration::from_millis(1_100));
        assert_eq!(rate.reserve(&mut bucket, 100 * SECOND), Duration::ZERO);
    }
}
