//! Whether a server that keeps failing is left alone.

use std::time::Duration;

/// When a server is left alone and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Failures in a row; 0 for any number.
    pub failures: u32,
    pub pause_ms: i64,
}

impl Patience {
    pub(super) fn new(failures: u32, pause: Duration) -> Self {
        Self { failures, pause_ms: i64::try_from(pause.as_millis()).unwrap_or(i64::MAX) }
    }
}

/// The circuit to one server: closed, open since some time, or open with one call under way that tries again.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    opened_ms: Option<i64>,
    trial: bool,
}

/// A call is not to be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Open;

impl Breaker {
    /// Whether a call that would begin now would be let through.
    pub(super) fn lets_through(&self, now_ms: i64, patience: Patience) -> bool {
        self.opened_ms.is_none_or(|opened_ms| {
            // A clock that was set back must not leave the server alone for years.
            let elapsed = now_ms < opened_ms || now_ms.saturating_sub(opened_ms) >= patience.pause_ms;
            elapsed && !self.trial
        })
    }

    /// Whether nothing is held against the server.
    pub(super) const fn is_closed(&self) -> bool {
        self.failures == 0
    }

    /// A call begins; true when it is the one that tries again.
    pub(super) fn begin(&mut self, now_ms: i64, patience: Patience) -> Result<bool, Open> {
        if !self.lets_through(now_ms, patience) {
            return Err(Open);
        }
        self.trial = self.opened_ms.is_some();
        Ok(self.trial)
    }

    /// The server is alive.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A call failed. Those that had begun before the circuit opened don't prolong it.
    pub(super) fn failed(&mut self, was_trial: bool, now_ms: i64, patience: Patience) {
        self.failures = self.failures.saturating_add(1);
        if self.opened_ms.is_none() {
            if patience.failures != 0 && self.failures >= patience.failures {
                self.opened_ms = Some(now_ms);
            }
        } else if was_trial {
            self.opened_ms = Some(now_ms);
            self.trial = false;
        }
    }

    /// The call that tried again ended without saying anything about the server: the next may try.
    pub(super) const fn trial_was_dropped(&mut self) {
        self.trial = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { failures: 2, pause_ms: 100 };

    fn open_at_0() -> Breaker {
        let mut breaker = Breaker::default();
        breaker.failed(false, 0, PATIENCE);
        assert_eq!(breaker.begin(0, PATIENCE), Ok(false));
        breaker.failed(false, 0, PATIENCE);
        assert_eq!(breaker.begin(99, PATIENCE), Err(Open));
        breaker
    }

    #[test]
    fn one_trial_is_let_through_after_the_pause_and_decides() {
        let mut breaker = open_at_0();
        assert_eq!(breaker.begin(100, PATIENCE), Ok(true));
        assert_eq!(breaker.begin(100, PATIENCE), Err(Open));
        breaker.failed(true, 110, PATIENCE);
        assert_eq!(breaker.begin(209, PATIENCE), Err(Open));
        assert_eq!(breaker.begin(210, PATIENCE), Ok(true));
        breaker.succeeded();
        assert_eq!(breaker.begin(210, PATIENCE), Ok(false));
        breaker.failed(false, 210, PATIENCE);
        assert_eq!(breaker.begin(210, PATIENCE), Ok(false), "failures count from anew");
    }

    #[test]
    fn late_failures_do_not_prolong_the_pause_and_a_dropped_trial_is_repeated() {
        let mut breaker = open_at_0();
        breaker.failed(false, 90, PATIENCE);
        assert_eq!(breaker.begin(100, PATIENCE), Ok(true));
        breaker.failed(false, 100, PATIENCE);
        assert_eq!(breaker.begin(100, PATIENCE), Err(Open), "the trial is still under way");
        breaker.trial_was_dropped();
        assert_eq!(breaker.begin(100, PATIENCE), Ok(true));
    }

    #[test]
    fn a_success_in_between_and_a_clock_set_back_close_it_and_zero_never_opens_it() {
        let mut breaker = Breaker::default();
        breaker.failed(false, 0, PATIENCE);
        breaker.succeeded();
        breaker.failed(false, 0, PATIENCE);
        assert_eq!(breaker.begin(0, PATIENCE), Ok(false));
        assert_eq!(open_at_0().begin(-1, PATIENCE), Ok(true));
        let endless = Patience { failures: 0, pause_ms: 100 };
        let mut breaker = Breaker::default();
        (0..1000).for_each(|_| breaker.failed(false, 0, endless));
        assert_eq!(breaker.begin(0, endless), Ok(false));
    }
}
