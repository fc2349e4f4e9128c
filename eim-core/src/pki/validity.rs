//! Validity of certificates: UTCTime up to 2049, GeneralizedTime beyond it, as far as the year 9999 (RFC 5280 4.1.2.5).

use super::der::{Fault, Reader, Tlv, tag};
use chrono::{DateTime, NaiveDate, Utc};

/// From when until when a certificate is valid, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: DateTime<Utc>,
    /// The last moment; far away in eUICC certificates (the year 7500 in the SGP.26 set).
    pub not_after: DateTime<Utc>,
}

impl Validity {
    pub(super) fn parse(content: &[u8]) -> Result<Self, Fault> {
        let mut times = Reader::new(content);
        let validity = Self { not_before: time(times.any()?)?, not_after: time(times.any()?)? };
        times.end()?;
        Ok(validity)
    }
}

/// `YYMMDDhhmmssZ` (UTCTime, 1950 to 2049) or `YYYYMMDDhhmmssZ` (GeneralizedTime).
fn time(tlv: Tlv<'_>) -> Result<DateTime<Utc>, Fault> {
    let Some((b'Z', digits)) = tlv.content.split_last() else { return Err("a time that is not in UTC") };
    let (year, rest) = match (tlv.tag, digits.len()) {
        (tag::UTC_TIME, 12) => {
            let year = number(&digits[..2])?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (tag::GENERALIZED_TIME, 14) => (number(&digits[..4])?, &digits[4..]),
        _ => return Err("a time of another form"),
    };
    let part = |at: usize| number(&rest[at..at + 2]);
    let year = i32::try_from(year).map_err(|_| "a time out of range")?;
    NaiveDate::from_ymd_opt(year, part(0)?, part(2)?)
        .and_then(|date| {
            let (hour, minute, second) = (part(4).ok()?, part(6).ok()?, part(8).ok()?);
            date.and_hms_opt(hour, minute, second)
        })
        .map(|moment| moment.and_utc())
        .ok_or("a moment that does not exist")
}

fn number(digits: &[u8]) -> Result<u32, Fault> {
    digits.iter().try_fold(0, |number, digit| match digit {
        b'0'..=b'9' => Ok(number * 10 + u32::from(digit - b'0')),
        _ => Err("a time with something else than digits"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, text: &str) -> Option<String> {
        time(Tlv { tag, content: text.as_bytes(), octets: &[] }).ok().map(|moment| moment.to_rfc3339())
    }

    #[test]
    fn the_century_of_utc_time_turns_at_50_and_generalized_time_goes_on() {
        assert_eq!(read(tag::UTC_TIME, "491231235959Z").as_deref(), Some("2049-12-31T23:59:59+00:00"));
        assert_eq!(read(tag::UTC_TIME, "500101000000Z").as_deref(), Some("1950-01-01T00:00:00+00:00"));
        assert_eq!(read(tag::GENERALIZED_TIME, "20500101000000Z").as_deref(), Some("2050-01-01T00:00:00+00:00"));
        assert_eq!(read(tag::GENERALIZED_TIME, "75001231235959Z").as_deref(), Some("7500-12-31T23:59:59+00:00"));
        assert_eq!(read(tag::GENERALIZED_TIME, "99991231235959Z").as_deref(), Some("9999-12-31T23:59:59+00:00"));
    }

    #[test]
    fn refuses_moments_and_forms_that_do_not_exist() {
        for text in [
            "",
            "Z",
            "2401010000Z",
            "240101000000",
            "240101000000+0100",
            "241301000000Z",
            "240230000000Z",
            "24010a000000Z",
            "240101246000Z",
        ] {
            assert_eq!(read(tag::UTC_TIME, text), None, "{text}");
        }
        assert_eq!(read(tag::GENERALIZED_TIME, "20240101000000.5Z"), None);
        assert_eq!(read(tag::UTF8_STRING, "240101000000Z"), None);
    }
}
