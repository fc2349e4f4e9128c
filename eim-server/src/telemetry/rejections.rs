//! Limits the log lines about requests and connections that are refused, so that a broken or hostile device can't fill the disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Allows one line a second and counts the rest.
#[derive(Debug)]
pub(crate) struct Rejections {
    started: Instant,
    /// The second since `started` in which the last line was written, plus one; 0 for none yet.
    last_second: AtomicU64,
    suppressed: AtomicU64,
}

impl Default for Rejections {
    fn default() -> Self {
        Self { started: Instant::now(), last_second: AtomicU64::new(0), suppressed: AtomicU64::new(0) }
    }
}

impl Rejections {
    /// Whether a line may be written now, and then how many were left out since the last one.
    pub(crate) fn may_log(&self) -> Option<u64> {
        self.may_log_in(self.started.elapsed().as_secs() + 1)
    }

    fn may_log_in(&self, second: u64) -> Option<u64> {
        let last = self.last_second.load(Ordering::Relaxed);
        let first_of_the_second = second > last
            && self.last_second.compare_exchange(last, second, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if first_of_the_second {
            Some(self.suppressed.swap(0, Ordering::Relaxed))
        } else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_tells_how_many_were_left_out() {
        let rejections = Rejections::default();
        assert_eq!(rejections.may_log_in(1), Some(0));
        assert_eq!(rejections.may_log_in(1), None);
        assert_eq!(rejections.may_log_in(1), None);
        assert_eq!(rejections.may_log_in(5), Some(2));
        assert_eq!(rejections.may_log_in(4), None);
        assert_eq!(rejections.may_log_in(6), Some(1));
    }
}
