//! Maintenance windows: when a campaign may begin with devices, in the time of a place.
//!
//! A window opens at a minute of the local calendar and stays open for a length of real time. Where the clock is put
//! forward over an opening, the window opens when the gap ends; where it is put back, it opens at the first of the two.

use super::cron::Cron;
use chrono::{DateTime, Duration, LocalResult, NaiveDate, TimeZone};
use chrono_tz::Tz;

/// The longest window: a week.
pub(super) const MINUTES_MAX: i64 = 10_080;
const MINUTE_MS: i64 = 60_000;
/// How many days are looked through for the next opening: over one leap day in any case, also around 2100.
const DAYS_AHEAD: usize = 366 * 9;
/// The longest time that a clock ever jumped forward is a day (Samoa, 2011), in minutes.
const GAP_MAX: i64 = 1_500;

/// A window that opens again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    cron: Cron,
    minutes: i64,
    zone: Tz,
}

impl Window {
    /// A window; `None` when it would never open (30 February) or the length is not from 1 to 10,080 minutes.
    pub(super) fn new(cron: Cron, minutes: i64, zone: Tz) -> Option<Self> {
        let opens = days_from(NaiveDate::from_ymd_opt(2024, 1, 1)?).take(DAYS_AHEAD).any(|day| cron.is_on(day));
        (opens && (1..=MINUTES_MAX).contains(&minutes)).then_some(Self { cron, minutes, zone })
    }

    /// When it opens: the five fields of cron.
    #[must_use]
    pub fn cron(&self) -> &str {
        self.cron.text()
    }

    /// How long it stays open, minutes.
    #[must_use]
    pub const fn minutes(&self) -> i64 {
        self.minutes
    }

    /// The name of its zone in the IANA database.
    #[must_use]
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    fn is_open(&self, now: i64) -> bool {
        let Some(today) = self.local_date(now) else { return false };
        let length = self.minutes * MINUTE_MS;
        // One day more on each side, since a gap may have moved an opening.
        let days = usize::try_from(self.minutes / 1440 + 3).unwrap_or(3);
        std::iter::successors(today.succ_opt(), NaiveDate::pred_opt).take(days).filter(|day| self.cron.is_on(*day)).any(
            |day| {
                let starts = self.cron.minutes_of_day().rev().filter_map(|minute| self.utc(day, minute));
                starts.take_while(|start| start + length > now).any(|start| start <= now)
            },
        )
    }

    fn next_start(&self, now: i64) -> Option<i64> {
        let first = self.local_date(now)?.pred_opt()?.pred_opt()?;
        days_from(first).take(DAYS_AHEAD).filter(|day| self.cron.is_on(*day)).find_map(|day| {
            self.cron.minutes_of_day().filter_map(|minute| self.utc(day, minute)).find(|start| *start > now)
        })
    }

    fn local_date(&self, now: i64) -> Option<NaiveDate> {
        Some(DateTime::from_timestamp_millis(now)?.with_timezone(&self.zone).date_naive())
    }

    /// The time of a minute of a local day, milliseconds since 1970.
    fn utc(&self, day: NaiveDate, minute: u32) -> Option<i64> {
        let local = day.and_hms_opt(minute / 60, minute % 60, 0)?;
        (0..=GAP_MAX).find_map(|later| match self.zone.from_local_datetime(&(local + Duration::minutes(later))) {
            LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => Some(time.timestamp_millis()),
            LocalResult::None => None,
        })
    }
}

/// Whether something may begin now (milliseconds since 1970); always, when there are no windows.
#[must_use]
pub fn is_open(windows: &[Window], now: i64) -> bool {
    windows.is_empty() || windows.iter().any(|window| window.is_open(now))
}

/// When something may begin next: now, or when the first of the windows opens. `None` when none does in the years ahead.
#[must_use]
pub fn next_opening(windows: &[Window], now: i64) -> Option<i64> {
    if is_open(windows, now) { Some(now) } else { windows.iter().filter_map(|window| window.next_start(now)).min() }
}

fn days_from(first: NaiveDate) -> impl Iterator<Item = NaiveDate> {
    std::iter::successors(Some(first), NaiveDate::succ_opt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    fn window(cron: &str, minutes: i64, zone: &str) -> Window {
        Window::new(Cron::parse(cron).unwrap(), minutes, zone.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_window_is_open_from_its_minute_on_for_its_length() {
        for (cron, minutes, zone, now, expected) in [
            ("0 2 * * *", 120, "UTC", "2026-11-21T01:59:59.999Z", false),
            ("0 2 * * *", 120, "UTC", "2026-11-21T02:00:00Z", true),
            ("0 2 * * *", 120, "UTC", "2026-11-21T03:59:59.999Z", true),
            ("0 2 * * *", 120, "UTC", "2026-11-21T04:00:00Z", false),
            // Over midnight, and over a week.
            ("0 22 * * 6", 480, "UTC", "2026-11-22T05:59:00Z", true),
            ("0 22 * * 6", 480, "UTC", "2026-11-22T06:00:00Z", false),
            ("0 0 * * 0", 10_080, "UTC", "2026-11-21T23:59:59Z", true),
            ("30 12 1 * *", 10_080, "UTC", "2026-11-08T12:29:00Z", true),
            ("30 12 1 * *", 10_080, "UTC", "2026-11-08T12:30:00Z", false),
            ("* * * * *", 1, "UTC", "2026-11-21T02:00:59Z", true),
            // Berlin is an hour ahead in winter and two in summer; the local day is not the day of UTC.
            ("0 2 * * *", 60, "Europe/Berlin", "2026-11-21T01:30:00Z", true),
            ("0 2 * * *", 60, "Europe/Berlin", "2026-07-21T01:30:00Z", false),
            ("0 2 * * *", 60, "Europe/Berlin", "2026-07-21T00:30:00Z", true),
            ("0 8 * * 6", 60, "Asia/Tokyo", "2026-11-20T23:30:00Z", true),
            ("0 20 * * 5", 60, "America/Los_Angeles", "2026-11-21T04:30:00Z", true),
        ] {
            assert_eq!(is_open(&[window(cron, minutes, zone)], ms(now)), expected, "{cron} {minutes} {zone} {now}");
        }
    }

    #[test]
    fn an_opening_that_the_clock_jumps_over_comes_when_the_gap_ends() {
        // Berlin, 2026-03-29: 02:00 CET is followed by 03:00 CEST, 01:00 UTC.
        let windows = [window("30 2 * * *", 60, "Europe/Berlin")];
        assert_eq!(next_opening(&windows, ms("2026-03-29T00:00:00Z")), Some(ms("2026-03-29T01:00:00Z")));
        assert!(is_open(&windows, ms("2026-03-29T01:59:59Z")));
        assert!(!is_open(&windows, ms("2026-03-29T02:00:00Z")), "one hour of real time");
        // Samoa had no 30 December 2011.
        let lost = [window("0 12 30 12 *", 60, "Pacific/Apia")];
        assert_eq!(next_opening(&lost, ms("2011-12-29T00:00:00Z")), Some(ms("2011-12-30T10:00:00Z")));
        assert!(is_open(&lost, ms("2011-12-30T10:59:00Z")));
        assert!(!is_open(&lost, ms("2011-12-30T11:00:00Z")));
    }

    #[test]
    fn an_opening_that_comes_twice_counts_once() {
        // Berlin, 2026-10-25: 02:30 comes at 00:30 UTC and again at 01:30 UTC.
        let windows = [window("30 2 * * *", 60, "Europe/Berlin")];
        assert_eq!(next_opening(&windows, ms("2026-10-25T00:00:00Z")), Some(ms("2026-10-25T00:30:00Z")));
        assert!(is_open(&windows, ms("2026-10-25T01:29:59Z")));
        assert!(!is_open(&windows, ms("2026-10-25T01:30:00Z")));
        assert_eq!(next_opening(&windows, ms("2026-10-25T01:30:00Z")), Some(ms("2026-10-26T01:30:00Z")));
    }

    #[test]
    fn the_next_opening_is_the_first_of_all_windows() {
        let windows = [window("0 2 * * 1", 60, "UTC"), window("0 3 29 2 *", 60, "UTC")];
        // 2028-02-29 is a Tuesday, 2028-02-28 a Monday.
        assert_eq!(next_opening(&windows, ms("2028-02-28T02:10:00Z")), Some(ms("2028-02-28T02:10:00Z")), "open");
        assert_eq!(next_opening(&windows, ms("2028-02-28T03:00:00Z")), Some(ms("2028-02-29T03:00:00Z")));
        assert_eq!(next_opening(&windows, ms("2028-02-29T04:00:00Z")), Some(ms("2028-03-06T02:00:00Z")));
        assert_eq!(next_opening(&windows[1..], ms("2026-01-01T00:00:00Z")), Some(ms("2028-02-29T03:00:00Z")));
        // 2100 is no leap year.
        assert_eq!(next_opening(&windows[1..], ms("2096-03-01T00:00:00Z")), Some(ms("2104-02-29T03:00:00Z")));
    }

    #[test]
    fn without_windows_it_is_always_open() {
        assert!(is_open(&[], 5));
        assert_eq!(next_opening(&[], 5), Some(5));
    }

    #[test]
    fn a_window_that_never_opens_is_none() {
        let never = |cron, minutes| Window::new(Cron::parse(cron).unwrap(), minutes, Tz::UTC);
        assert!(never("0 0 30 2 *", 60).is_none());
        assert!(never("0 0 * * *", 0).is_none());
        assert!(never("0 0 * * *", 10_081).is_none());
        assert!(never("0 0 30 2 1", 60).is_some(), "on Mondays of February");
        assert!(!is_open(&[window("* * * * *", 1, "UTC")], i64::MAX), "beyond every calendar");
        assert_eq!(next_opening(&[window("* * * * *", 1, "UTC")], i64::MAX), None);
    }
}
