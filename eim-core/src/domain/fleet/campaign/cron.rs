//! The five fields of cron: minute, hour, day of the month, month, day of the week, on the calendar of some place.
//!
//! It knows dates and minutes of the day only; what they are in UTC is the matter of [`super::window`]. No seconds, no
//! years, no `@daily`, no `L`, `W` and `#`.

use chrono::{Datelike, NaiveDate};

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const TEXT_MAX: usize = 256;

/// When something begins, each field as a set of bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether day of the month or day of the week is enough, since both are narrowed.
    either_day: bool,
    text: String,
}

/// What was expected where something else stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum CronError {
    /// In all of it.
    #[error("five fields of cron are expected: minute, hour, day, month, weekday")]
    Fields,
    /// In one field.
    #[error(
        "{name}s from {first} to {last} are expected in the field of the {name}: numbers, lists (1,5), ranges (1-5), steps (*/5)"
    )]
    Field {
        /// Which one.
        name: &'static str,
        /// Its least number.
        first: u32,
        /// Its greatest number.
        last: u32,
    },
}

impl Cron {
    /// Reads five fields with blanks between them.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn parse(text: &str) -> Result<Self, CronError> {
        if text.len() > TEXT_MAX {
            return Err(CronError::Fields);
        }
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else { return Err(CronError::Fields) };
        let read = |name, field: &str, first, last, names: &[&str]| {
            bits(field, first, last, names).ok_or(CronError::Field { name, first, last })
        };
        let minutes = read("minute", minute, 0, 59, &[])?;
        let hours = read("hour", hour, 0, 23, &[])?;
        let days = read("day", day, 1, 31, &[])?;
        let months = read("month", month, 1, 12, &MONTHS)?;
        let weekdays = read("weekday", weekday, 0, 7, &WEEKDAYS)?;
        Ok(Self {
            minutes,
            hours,
            days,
            months,
            // Sunday is 0 and 7.
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
            text: fields.join(" "),
        })
    }

    /// The five fields, one blank between two.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether something begins on this day.
    pub(super) fn is_on(&self, date: NaiveDate) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().num_days_from_sunday());
        has(self.months, date.month()) && if self.either_day { day || weekday } else { day && weekday }
    }

    /// The minutes of a day at which something begins, ascending.
    pub(super) fn minutes_of_day(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        (0..24_u32).filter(|hour| has(self.hours, *hour)).flat_map(move |hour| {
            (0..60_u32).filter(|minute| has(self.minutes, *minute)).map(move |minute| hour * 60 + minute)
        })
    }
}

const fn has(bits: u64, number: u32) -> bool {
    bits >> number & 1 == 1
}

/// A list of numbers, ranges and steps as bits.
fn bits(field: &str, first: u32, last: u32, names: &[&str]) -> Option<u64> {
    let mut bits = 0;
    for item in field.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(number(step)?).filter(|step| (1..=last).contains(step))?),
            None => (item, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (first, last),
            Some((from, to)) => (value(from, first, names)?, value(to, first, names)?),
            None => {
                let from = value(range, first, names)?;
                (from, if item.contains('/') { last } else { from })
            }
        };
        if from < first || to > last || from > to {
            return None;
        }
        bits = (from..=to).step_by(usize::try_from(step).ok()?).fold(bits, |bits, number| bits | 1 << number);
    }
    Some(bits)
}

fn value(text: &str, first: u32, names: &[&str]) -> Option<u32> {
    let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
    named.and_then(|index| u32::try_from(index).ok()).map(|index| index + first).or_else(|| number(text))
}

/// One or two digits, and nothing else.
fn number(text: &str) -> Option<u32> {
    let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn days_are_chosen_by_month_day_and_weekday() {
        // 2026-11-21 is a Saturday.
        for (cron, day, expected) in [
            ("0 2 * * *", "2026-11-21", true),
            ("0 2 * * 6", "2026-11-21", true),
            ("0 2 * * sat", "2026-11-21", true),
            ("0 2 * * MON-FRI", "2026-11-21", false),
            ("0 2 * * 0", "2026-11-22", true),
            ("0 2 * * 7", "2026-11-22", true),
            ("0 2 * * 5-7", "2026-11-22", true),
            ("0 2 * * 5-7", "2026-11-19", false),
            ("0 2 21 * *", "2026-11-21", true),
            ("0 2 21 nov *", "2026-11-21", true),
            ("0 2 21 1-10 *", "2026-11-21", false),
            ("0 2 */2 * *", "2026-11-21", true),
            ("0 2 */2 * *", "2026-11-22", false),
            // Both narrowed: one is enough. With a star in front both must hold.
            ("0 2 1 * 6", "2026-11-21", true),
            ("0 2 1 * 6", "2026-12-01", true),
            ("0 2 1 * 6", "2026-12-02", false),
            ("0 2 */2 * 6", "2026-11-21", true),
            ("0 2 */2 * 6", "2026-11-28", false),
            ("0 2 29 2 *", "2028-02-29", true),
        ] {
            assert_eq!(Cron::parse(cron).unwrap().is_on(date(day)), expected, "{cron} on {day}");
        }
    }

    #[test]
    fn minutes_come_from_lists_ranges_and_steps() {
        for (cron, expected) in [
            ("0 2 * * *", vec![120]),
            ("5,10 0,23 * * *", vec![5, 10, 1385, 1390]),
            ("*/30 1-2 * * *", vec![60, 90, 120, 150]),
            ("50/5 0 * * *", vec![50, 55]),
            ("10-20/5 0 * * *", vec![10, 15, 20]),
        ] {
            assert_eq!(Cron::parse(cron).unwrap().minutes_of_day().collect::<Vec<_>>(), expected, "{cron}");
        }
        assert_eq!(Cron::parse("* * * * *").unwrap().minutes_of_day().count(), 1440);
    }

    #[test]
    fn what_is_no_cron_is_refused() {
        for text in [
            "",
            "0 2 * *",
            "0 2 * * * *",
            "60 2 * * *",
            "0 24 * * *",
            "0 2 0 * *",
            "0 2 32 * *",
            "0 2 * 0 *",
            "0 2 * 13 *",
            "0 2 * * 8",
            "@daily",
            "0 2 L * *",
            "0 2 * * 1#2",
            "-1 2 * * *",
            "+1 2 * * *",
            "5-1 2 * * *",
            "*/0 2 * * *",
            "*/99 2 * * *",
            "1,,2 2 * * *",
            ", 2 * * *",
            "1- 2 * * *",
            "0 2 * foo *",
            "001 2 * * *",
            "99999999999999999999 2 * * *",
            "1/2/3 2 * * *",
            "*-5 2 * * *",
            "0 2 ? * *",
        ] {
            assert!(Cron::parse(text).is_err(), "{text}");
        }
        assert!(Cron::parse(&format!("0 2 * * 1{}", ",1".repeat(200))).is_err(), "too long");
        let expected = "hours from 0 to 23 are expected in the field of the hour: ";
        assert!(Cron::parse("0 99 * * *").unwrap_err().to_string().starts_with(expected));
        assert_eq!(Cron::parse(" 0  2 * * 1 ").unwrap().text(), "0 2 * * 1");
    }
}
