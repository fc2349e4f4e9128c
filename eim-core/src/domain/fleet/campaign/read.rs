//! Reads a campaign from a request of the API, each mistake with its place.

use super::cron::{Cron, CronError};
use super::spec::{
    Approval, BACKOFF_MAX_SECONDS, CampaignSpec, EndBehavior, ErrorAction, ErrorThreshold, Rate, RetryRule, Share,
    SuccessAction, Target, TargetMode, Wave, WaveSize,
};
use super::window::{self, Window};
use crate::domain::FieldError;
use crate::domain::fleet::filter::{self, DeviceFilter};
use crate::domain::fleet::outcome::Outcome;
use crate::domain::request::fields::Fields;
use chrono::DateTime;
use chrono_tz::Tz;
use serde_json::{Value, json};

const NAME_MAX: usize = 128;
const DESCRIPTION_MAX: usize = 2_000;
const WAVES_MAX: usize = 64;
const WINDOWS_MAX: usize = 16;
const RETRIES_MAX: usize = 16;
const PRIORITY: i64 = 50;
/// What a wave must reach before the next one begins, percent, when nobody says.
const SUCCESS_THRESHOLD: i64 = 95;
const DEVICES_MAX: i64 = 10_000_000;
/// The most downloads at a time.
const CONCURRENT_MAX: i64 = 10_000;
const PER_MINUTE_MAX: i64 = 1_000_000;
const SOAK_MAX_SECONDS: i64 = 2_592_000;

type Errors = Vec<FieldError>;

/// Reads all of it.
pub(super) fn campaign(value: &Value, pointer: &str) -> Result<CampaignSpec, Errors> {
    let mut errors = Vec::new();
    let spec = read(value, pointer, &mut errors);
    spec.filter(|_| errors.is_empty()).ok_or(errors)
}

fn read(value: &Value, pointer: &str, errors: &mut Errors) -> Option<CampaignSpec> {
    let mut fields = Fields::of(value, pointer.to_owned(), errors)?;
    let at = |name: &str| format!("{pointer}/{name}");
    let name = text(&mut fields, "name", NAME_MAX);
    let description = text(&mut fields, "description", DESCRIPTION_MAX);
    let priority = fields.number("priority", 0..=100).unwrap_or(PRIORITY);
    let per_smdp_max_concurrent = fields.number("perSmdpMaxConcurrent", 1..=CONCURRENT_MAX);
    let approval = word(&mut fields, "approval", Approval::ALL, Approval::as_str).unwrap_or(Approval::Required);
    let (start_at, end_at) = (time(&mut fields, "startAt"), time(&mut fields, "endAt"));
    let end_behavior = word(&mut fields, "endBehavior", EndBehavior::ALL, EndBehavior::as_str);
    for needed in ["name", "target", "plan"] {
        fields.missing(needed);
    }
    if start_at.is_some_and(|start| end_at.is_some_and(|end| end <= start)) {
        fields.wrong("endAt", "a time after startAt is expected");
    }
    let [target, plan, waves, rate, retry, windows] =
        ["target", "plan", "waves", "rate", "retry", "maintenanceWindows"].map(|name| part(&mut fields, value, name));
    fields.finish();

    let target = target.and_then(|value| read_target(value, &at("target"), errors));
    let plan = plan.and_then(|value| read_plan(value, &at("plan"), errors));
    let only = [json!({ "rest": true })];
    let given = waves.and_then(|value| items(value, &at("waves"), 1..=WAVES_MAX, errors));
    let listed = given.unwrap_or(&only);
    let waves = read_waves(listed, &at("waves"), errors);
    // With a wave that could not be read, the places of those after it are not known.
    if waves.len() == listed.len() {
        let has_operations = plan.as_ref().is_some_and(|plan| plan.get("switch").is_none());
        compare_waves(&waves, has_operations, end_at, &at("waves"), errors);
    }
    let (rate, in_rate) = rate.map_or((None, None), |value| read_rate(value, &at("rate"), errors));
    if per_smdp_max_concurrent.is_some() && in_rate.is_some() {
        errors.push(FieldError::new(at("rate/perSmdpMaxConcurrent"), "given once, here or beside rate"));
    }
    let windows = windows.and_then(|value| items(value, &at("maintenanceWindows"), 0..=WINDOWS_MAX, errors));
    let retry = retry.and_then(|value| items(value, &at("retry"), 0..=RETRIES_MAX, errors));
    let maintenance_windows = each(windows, &at("maintenanceWindows"), errors, read_window);
    let retry = read_retry(retry, &at("retry"), errors);
    Some(CampaignSpec {
        maintenance_windows,
        retry,
        name: name?,
        description,
        priority,
        target: target?,
        plan: plan?,
        waves,
        rate: rate.unwrap_or(Rate::USUAL),
        per_smdp_max_concurrent: per_smdp_max_concurrent.or(in_rate),
        approval,
        start_at,
        end_at,
        end_behavior: end_behavior.unwrap_or(EndBehavior::Stop),
    })
}

/// Notes what does not fit the rest of the campaign.
fn compare_waves(waves: &[Wave], has_operations: bool, end_at: Option<i64>, pointer: &str, errors: &mut Errors) {
    for (index, wave) in waves.iter().enumerate() {
        if has_operations && wave.error_action == ErrorAction::AbortAndRevert {
            errors.push(FieldError::new(format!("{pointer}/{index}/errorAction"), NO_REVERT));
        }
        if wave.start_at.is_some_and(|start| end_at.is_some_and(|end| start >= end)) {
            errors.push(FieldError::new(format!("{pointer}/{index}/startAt"), "a time before endAt is expected"));
        }
    }
}

/// Why a list of operations is not reverted.
pub(super) const NO_REVERT: &str = "a list of operations can't be reverted; only a switch can";

fn read_target(value: &Value, pointer: &str, errors: &mut Errors) -> Option<Target> {
    let mut fields = Fields::of(value, pointer.to_owned(), errors)?;
    let mode = word(&mut fields, "mode", TargetMode::ALL, TargetMode::as_str).unwrap_or(TargetMode::Snapshot);
    let exclude = match fields.member("exclude").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        true => vec![],
        false => filter::eids(&mut fields, "exclude").unwrap_or_default(),
    };
    let max_devices = fields.number("maxDevices", 1..=DEVICES_MAX);
    fields.missing("filter");
    let filter = part(&mut fields, value, "filter");
    fields.finish();
    let filter = DeviceFilter::from_api(filter?, &format!("{pointer}/filter"), errors)?;
    Some(Target { filter, mode, exclude, max_devices })
}

fn read_plan(value: &Value, pointer: &str, errors: &mut Errors) -> Option<Value> {
    let mut fields = Fields::of(value, pointer.to_owned(), errors)?;
    let plan = match (fields.member("switch"), fields.member("operations")) {
        (Some(switch), None) if switch.is_object() => Some(json!({ "switch": switch })),
        (None, Some(list)) if list.is_array() => Some(json!({ "operations": list })),
        (Some(_), None) => {
            fields.wrong("switch", "an object is expected");
            None
        }
        (None, Some(_)) => {
            fields.wrong("operations", "a list of operations is expected");
            None
        }
        _ => {
            fields.wrong("switch", "exactly one of switch and operations is expected");
            None
        }
    };
    fields.finish();
    plan
}

fn read_waves(list: &[Value], pointer: &str, errors: &mut Errors) -> Vec<Wave> {
    let mut waves = Vec::new();
    let mut percents = 0;
    for (index, value) in list.iter().enumerate() {
        let place = format!("{pointer}/{index}");
        let is_last = index + 1 == list.len();
        let Some(wave) = read_wave(value, &place, is_last, errors) else { continue };
        match wave.size {
            WaveSize::Rest if !is_last => {
                errors.push(FieldError::new(format!("{place}/rest"), "only the last wave can be of all others"));
            }
            WaveSize::Percent(percent) => {
                percents += percent;
                if percents > 100 {
                    let message =
                        format!("at most 100 percent in all waves together are expected, here are {percents}");
                    errors.push(FieldError::new(format!("{place}/percent"), message));
                }
            }
            _ => {}
        }
        waves.push(wave);
    }
    waves
}

fn read_wave(value: &Value, pointer: &str, is_last: bool, errors: &mut Errors) -> Option<Wave> {
    const SIZES: &str = "exactly one of percent, count, filter and rest is expected";
    let mut fields = Fields::of(value, pointer.to_owned(), errors)?;
    let name = text(&mut fields, "name", NAME_MAX);
    let start_at = time(&mut fields, "startAt");
    let soak_seconds = fields.number("soakSeconds", 0..=SOAK_MAX_SECONDS).unwrap_or(0);
    // After the last wave nothing waits for its success, unless that is asked for.
    let absent = if is_last { 0 } else { SUCCESS_THRESHOLD };
    let success_threshold = fields.number("successThreshold", 0..=100).unwrap_or(absent);
    let success_action = word(&mut fields, "successAction", SuccessAction::ALL, SuccessAction::as_str);
    let error_action = word(&mut fields, "errorAction", ErrorAction::ALL, ErrorAction::as_str);
    let threshold = part(&mut fields, value, "errorThreshold");
    if fields.member("errorAction").is_some() && threshold.is_none() {
        fields.wrong("errorAction", "an errorThreshold is expected beside it");
    }
    let (percent, count) = (fields.number("percent", 1..=100), fields.number("count", 1..=DEVICES_MAX));
    let (filter, rest) = (part(&mut fields, value, "filter"), fields.flag("rest"));
    let named = ["percent", "count", "filter", "rest"].into_iter().filter(|name| fields.member(name).is_some()).count();
    if named != 1 {
        fields.wrong_as_a_whole(SIZES);
    } else if fields.member("rest").is_some_and(|value| *value == json!(false)) {
        fields.wrong("rest", "true is expected");
    }
    fields.finish();
    let error_threshold =
        threshold.and_then(|value| read_error_threshold(value, &format!("{pointer}/errorThreshold"), errors));
    let filter = filter.and_then(|value| DeviceFilter::from_api(value, &format!("{pointer}/filter"), errors));
    let size = match (percent, count, filter) {
        (Some(percent), ..) => Some(WaveSize::Percent(percent)),
        (_, Some(count), _) => Some(WaveSize::Count(count)),
        (.., Some(filter)) => Some(WaveSize::Filter(filter)),
        _ => rest.then_some(WaveSize::Rest),
    };
    Some(Wave {
        name,
        size: size?,
        start_at,
        soak_seconds,
        success_threshold,
        success_action: success_action.unwrap_or(SuccessAction::Next),
        error_threshold,
        error_action: error_action.unwrap_or(ErrorAction::Pause),
    })
}

fn read_error_threshold(value: &Value, pointer: &str, errors: &mut Errors) -> Option<ErrorThreshold> {
    let mut fields = Fields::of(value, pointer.to_owned(), errors)?;
    let (percent, count) = (fields.number("percent", 1..=100), fields.number("count", 1..=DEVICES_MAX));
    if fields.member("percent").is_some() == fields.member("count").is_some() {
        fields.wrong("percent", "exactly one of percent and count is expected");
    }
    let min_executed = fields.number("minExecuted", 1..=DEVICES_MAX).unwrap_or(1);
    let outcomes = bad_outcomes(&mut fields, "outcomes");
    fields.finish();
    let share = percent.map(Share::Percent).or(count.map(Share::Count))?;
    Some(ErrorThreshold { share, min_executed, outcomes })
}

/// The pace, and how many downloads at a time, which may be said here, too.
fn read_rate(value: &Value, pointer: &str, errors: &mut Errors) -> (Option<Rate>, Option<i64>) {
    let Some(mut fields) = Fields::of(value, pointer.to_owned(), errors) else { return (None, None) };
    let concurrent = fields.number("perSmdpMaxConcurrent", 1..=CONCURRENT_MAX);
    let constant = fields.number("maxPerMinute", 1..=PER_MINUTE_MAX);
    let exponential = part(&mut fields, value, "exponential");
    let is_constant = fields.member("maxPerMinute").is_some();
    let only_concurrent = !is_constant && exponential.is_none() && fields.member("perSmdpMaxConcurrent").is_some();
    if is_constant == exponential.is_some() && !only_concurrent {
        fields.wrong("maxPerMinute", "exactly one of maxPerMinute and exponential is expected");
    }
    fields.finish();
    let rate = match exponential {
        None => constant.map(|max_per_minute| Rate::Constant { max_per_minute }),
        Some(exponential) => read_exponential(exponential, &format!("{pointer}/exponential"), errors),
    };
    (rate, concurrent)
}

fn read_exponential(value: &Value, pointer: &str, errors: &mut Errors) -> Option<Rate> {
    let mut fields = Fields::of(value, pointer.to_owned(), errors)?;
    for needed in ["basePerMinute", "factor", "everySucceeded", "maxPerMinute"] {
        fields.missing(needed);
    }
    let base_per_minute = fields.number("basePerMinute", 1..=PER_MINUTE_MAX);
    let factor = factor(&mut fields, 1.1);
    let every_succeeded = fields.number("everySucceeded", 1..=DEVICES_MAX);
    let max_per_minute = fields.number("maxPerMinute", 1..=PER_MINUTE_MAX);
    if max_per_minute < base_per_minute && max_per_minute.is_some() {
        fields.wrong("maxPerMinute", "not less than basePerMinute is expected");
    }
    fields.finish();
    Some(Rate::Exponential {
        base_per_minute: base_per_minute?,
        factor: factor?,
        every_succeeded: every_succeeded?,
        max_per_minute: max_per_minute?,
    })
}

fn read_window(value: &Value, pointer: &str, errors: &mut Errors) -> Option<Window> {
    let mut fields = Fields::of(value, pointer.to_owned(), errors)?;
    for needed in ["cron", "durationMinutes", "zone"] {
        fields.missing(needed);
    }
    let cron = fields.text("cron").and_then(|text| {
        let wrong = |error: CronError| fields.wrong("cron", &error.to_string());
        Cron::parse(&text).map_err(wrong).ok()
    });
    let minutes = fields.number("durationMinutes", 1..=window::MINUTES_MAX);
    let zone =
        fields.parsed("zone", "a time zone of the IANA database, like Europe/Berlin,", |text| text.parse::<Tz>().ok());
    let window = cron.zip(minutes).zip(zone).map(|((cron, minutes), zone)| Window::new(cron, minutes, zone));
    if window == Some(None) {
        fields.wrong("cron", "a day that comes is expected");
    }
    fields.finish();
    window.flatten()
}

fn read_retry(list: Option<&[Value]>, pointer: &str, errors: &mut Errors) -> Vec<RetryRule> {
    let rules = each(list, pointer, errors, |value, pointer, errors| {
        let mut fields = Fields::of(value, pointer.to_owned(), errors)?;
        for needed in ["outcomes", "maxRetries", "backoffSeconds"] {
            fields.missing(needed);
        }
        let outcomes = bad_outcomes(&mut fields, "outcomes");
        let max_retries = fields.number("maxRetries", 1..=100);
        let backoff_seconds = fields.number("backoffSeconds", 0..=BACKOFF_MAX_SECONDS);
        let factor = if fields.member("factor").is_some() { factor(&mut fields, 1.0) } else { Some(1.0) };
        fields.finish();
        Some(RetryRule { outcomes, max_retries: max_retries?, backoff_seconds: backoff_seconds?, factor: factor? })
    });
    // With a rule that could not be read, the places of those after it are not known.
    let all_read = rules.len() == list.unwrap_or_default().len();
    for (index, rule) in rules.iter().enumerate().filter(|_| all_read) {
        let earlier = |outcome: &&Outcome| rules.iter().take(index).any(|before| before.outcomes.contains(outcome));
        if let Some(outcome) = rule.outcomes.iter().find(earlier) {
            let message = format!("{} has a rule already", outcome.as_str());
            errors.push(FieldError::new(format!("{pointer}/{index}/outcomes"), message));
        }
    }
    rules
}

/// Outcomes after which something is wrong, each once.
fn bad_outcomes(fields: &mut Fields<'_>, name: &str) -> Vec<Outcome> {
    let bad = |text: &str| Outcome::from_word(text).is_some_and(Outcome::is_bad);
    let known: Vec<&str> =
        Outcome::ALL.iter().filter(|outcome| outcome.is_bad()).map(|outcome| outcome.as_str()).collect();
    let Some(texts) = fields.texts(name, &format!("outcomes ({})", known.join(", ")), known.len(), bad) else {
        return vec![];
    };
    if texts.is_empty() {
        fields.wrong(name, "at least one outcome is expected");
    }
    Outcome::ALL.iter().copied().filter(|outcome| texts.iter().any(|text| text == outcome.as_str())).collect()
}

/// A member that is read after the object that it is in, unless absent or null.
fn part<'v>(fields: &mut Fields<'_>, value: &'v Value, name: &str) -> Option<&'v Value> {
    fields.member(name)?;
    value.get(name)
}

fn factor(fields: &mut Fields<'_>, least: f64) -> Option<f64> {
    let factor = fields.member("factor")?.as_f64().filter(|factor| (least..=10.0).contains(factor));
    if factor.is_none() {
        fields.wrong("factor", &format!("a number from {least} to 10 is expected"));
    }
    factor
}

fn text(fields: &mut Fields<'_>, name: &str, octets_max: usize) -> Option<String> {
    fields.parsed(name, &format!("a text of 1 to {octets_max} octets, none of them zero,"), |text| {
        ((1..=octets_max).contains(&text.len()) && !text.contains('\0')).then(|| text.to_owned())
    })
}

/// A time, milliseconds since 1970.
fn time(fields: &mut Fields<'_>, name: &str) -> Option<i64> {
    fields.parsed(name, "a time like 2027-01-31T02:00:00Z (RFC 3339, from 1970 on)", |text| {
        DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis()).filter(|ms| *ms >= 0)
    })
}

fn word<T: Copy>(fields: &mut Fields<'_>, name: &str, all: &[T], as_str: fn(T) -> &'static str) -> Option<T> {
    let words: Vec<(&str, T)> = all.iter().map(|value| (as_str(*value), *value)).collect();
    fields.one_of(name, &words)
}

fn items<'a>(
    value: &'a Value,
    pointer: &str,
    length: std::ops::RangeInclusive<usize>,
    errors: &mut Errors,
) -> Option<&'a [Value]> {
    let list = value.as_array().filter(|list| length.contains(&list.len()));
    if list.is_none() {
        let message = format!("a list of {} to {} is expected", length.start(), length.end());
        errors.push(FieldError::new(pointer, message));
    }
    list.map(Vec::as_slice)
}

fn each<T>(
    list: Option<&[Value]>,
    pointer: &str,
    errors: &mut Errors,
    read: impl Fn(&Value, &str, &mut Errors) -> Option<T>,
) -> Vec<T> {
    let list = list.unwrap_or_default();
    list.iter().enumerate().filter_map(|(index, item)| read(item, &format!("{pointer}/{index}"), errors)).collect()
}

#[cfg(test)]
mod tests;
