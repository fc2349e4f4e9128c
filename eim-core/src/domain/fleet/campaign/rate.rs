//! How many devices may begin now.
//!
//! The limit holds for any 60 seconds, not for minutes of the clock. What began is remembered by the second, and a
//! second counts until all of it is over a minute old: rather too few than too many. A larger limit is spread: ten seconds
//! take a fifth of it, so that a minute's devices don't go to a server at once.

use super::spec::Rate;
use serde::{Deserialize, Serialize};

const WINDOW_MS: i64 = 60_000;
const SECOND_MS: i64 = 1_000;
/// Limits from this on are spread over the minute, a fifth in any ten seconds: more than a sixth, because seconds are counted as
/// above and campaigns are looked at every two.
const SPREAD_FROM: u64 = 60;
const SHORT_WINDOW_MS: i64 = 10_000;

/// What began in the last minute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateFacts {
    /// Seconds since 1970 and how many began in them, ascending; at most those of a minute.
    begun: Vec<(i64, u64)>,
}

impl RateFacts {
    /// How many may begin now (milliseconds since 1970), when so many have succeeded.
    #[must_use]
    pub fn allowance(&self, rate: Rate, succeeded: u64, now: i64) -> u64 {
        let left = |(window, limit): (i64, u64)| {
            let counts = |second: i64| free_at(second, window) > now;
            let counted = self.begun.iter().filter(|(second, _)| counts(*second)).map(|(_, n)| n).sum();
            limit.saturating_sub(counted)
        };
        windows(rate.limit(succeeded)).map(left).min().unwrap_or(0)
    }

    /// When one more may begin, if none may now.
    #[must_use]
    pub fn next_at(&self, rate: Rate, succeeded: u64, now: i64) -> i64 {
        let next = |(window, limit): (i64, u64)| {
            let counting = || self.begun.iter().filter(|(second, _)| free_at(*second, window) > now);
            let mut counted: u64 = counting().map(|(_, n)| n).sum();
            if counted < limit {
                return now;
            }
            for (second, n) in counting() {
                counted = counted.saturating_sub(*n);
                if counted < limit {
                    return free_at(*second, window);
                }
            }
            now
        };
        windows(rate.limit(succeeded)).map(next).max().unwrap_or(now)
    }

    /// Remembers that so many begin now.
    pub fn begin(&mut self, n: u64, now: i64) {
        self.begun.retain(|(second, _)| free_at(*second, WINDOW_MS) > now);
        if n == 0 {
            return;
        }
        // A clock that was put back does not make an older entry younger.
        let second = self.begun.last().map_or(i64::MIN, |(last, _)| *last).max(now.div_euclid(SECOND_MS));
        match self.begun.last_mut() {
            Some((last, count)) if *last == second => *count += n,
            _ => self.begun.push((second, n)),
        }
    }

    /// Takes back that so many began: they could not, since another limit was in the way.
    pub fn give_back(&mut self, mut n: u64) {
        for (_, count) in self.begun.iter_mut().rev() {
            let taken = n.min(*count);
            *count -= taken;
            n -= taken;
        }
        self.begun.retain(|(_, count)| *count > 0);
    }
}

impl Rate {
    /// How many may begin in any 60 seconds, when so many have succeeded.
    #[must_use]
    pub fn limit(self, succeeded: u64) -> u64 {
        match self {
            Self::Constant { max_per_minute } => max_per_minute.unsigned_abs(),
            Self::Exponential { base_per_minute, factor, every_succeeded, max_per_minute } => {
                let times = succeeded / every_succeeded.unsigned_abs().max(1);
                let grown = base_per_minute as f64 * factor.powi(i32::try_from(times).unwrap_or(i32::MAX));
                // At most a million, by the door; a power beyond every number is cut here.
                grown.min(max_per_minute as f64) as u64
            }
        }
    }
}

/// How many may begin in any so many milliseconds.
fn windows(limit: u64) -> impl Iterator<Item = (i64, u64)> {
    let short = (limit >= SPREAD_FROM).then_some((SHORT_WINDOW_MS, limit.div_ceil(5)));
    [(WINDOW_MS, limit)].into_iter().chain(short)
}

const fn free_at(second: i64, window: i64) -> i64 {
    second.saturating_add(1).saturating_mul(SECOND_MS).saturating_add(window)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEN: Rate = Rate::Constant { max_per_minute: 10 };
    const GROWING: Rate =
        Rate::Exponential { base_per_minute: 5, factor: 2.0, every_succeeded: 10, max_per_minute: 1_000 };

    #[test]
    fn an_exponential_rate_grows_with_what_succeeds_up_to_its_limit() {
        for (succeeded, limit) in [(0, 5), (9, 5), (10, 10), (20, 20), (35, 40), (80, 1_000), (u64::MAX, 1_000)] {
            assert_eq!(GROWING.limit(succeeded), limit, "{succeeded}");
        }
    }

    #[test]
    fn what_is_used_up_is_free_again_a_minute_later() {
        let mut facts = RateFacts::default();
        assert_eq!(facts.allowance(TEN, 0, 1_500), 10);
        facts.begin(6, 1_500);
        facts.begin(4, 30_000);
        assert_eq!(facts.allowance(TEN, 0, 61_999), 0);
        assert_eq!(facts.next_at(TEN, 0, 30_000), 62_000);
        assert_eq!(facts.allowance(TEN, 0, 62_000), 6);
        assert_eq!(facts.allowance(TEN, 0, 91_000), 10);
        facts.give_back(5);
        assert_eq!(facts.allowance(TEN, 0, 30_000), 5, "all of the later and one of the earlier");
    }

    #[test]
    fn a_large_limit_is_spread_over_the_minute() {
        let rate = Rate::Constant { max_per_minute: 600 };
        let mut facts = RateFacts::default();
        let (mut now, mut begun) = (0, 0);
        while now < 60_000 {
            let allowed = facts.allowance(rate, 0, now);
            assert!(allowed <= 120, "{allowed} at {now}");
            facts.begin(allowed, now);
            begun += allowed;
            let next = facts.next_at(rate, 0, now);
            assert!(next > now);
            now = next;
        }
        assert_eq!(begun, 600, "all of it is used");
        let mut facts = RateFacts::default();
        facts.begin(80, 500);
        assert_eq!(facts.allowance(rate, 0, 900), 40);
        facts.begin(40, 900);
        assert_eq!((facts.next_at(rate, 0, 900), facts.allowance(rate, 0, 11_000)), (11_000, 120));
    }

    proptest! {
        #[test]
        fn no_minute_has_more_than_the_limit(gaps in proptest::collection::vec((0_i64..20_000, 0_u64..15), 1..120)) {
            let mut facts = RateFacts::default();
            let mut now = 0;
            let mut log: Vec<(i64, u64)> = Vec::new();
            for (gap, wanted) in gaps {
                now += gap;
                let n = facts.allowance(TEN, 0, now).min(wanted);
                facts.begin(n, now);
                log.push((now, n));
                prop_assert!(facts.begun.len() <= 62);
                let minute: u64 = log.iter().filter(|(at, _)| *at > now - WINDOW_MS).map(|(_, n)| n).sum();
                prop_assert!(minute <= 10, "{minute} in the minute before {now}");
                if facts.allowance(TEN, 0, now) == 0 {
                    let next = facts.next_at(TEN, 0, now);
                    prop_assert!(next > now && facts.allowance(TEN, 0, next) > 0);
                }
            }
        }
    }
}
