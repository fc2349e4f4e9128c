//! What a campaign is asked to do, and its form in store and API. Reading it is in [`super::read`].

use super::window::Window;
use crate::domain::euicc::words;
use crate::domain::fleet::filter::DeviceFilter;
use crate::domain::fleet::outcome::Outcome;
use crate::domain::{Euicc, FieldError, rfc3339};
use crate::ids::Eid;
use serde_json::{Map, Value, json};

words!(
    /// Whether devices that match later belong to a campaign, too.
    TargetMode {
        /// The devices that match when it is submitted.
        Snapshot = "SNAPSHOT",
        /// Also those that match later. Such a campaign ends at its `endAt`, or when it is aborted.
        Continuous = "CONTINUOUS",
    }
);

words!(
    /// What comes after a wave that reached its success threshold.
    SuccessAction {
        /// The next wave.
        Next = "NEXT",
        /// A person, who looks and goes on.
        Pause = "PAUSE",
    }
);

words!(
    /// What comes when an error threshold is reached.
    ErrorAction {
        /// Nothing new begins until a person goes on.
        Pause = "PAUSE",
        /// The campaign is aborted.
        Abort = "ABORT",
        /// The campaign is aborted, and devices that it moved are moved back.
        AbortAndRevert = "ABORT_AND_REVERT",
    }
);

words!(
    /// Whether a second person must approve.
    Approval {
        /// It waits for approval.
        Required = "required",
        /// Submitting it is enough.
        None = "none",
    }
);

words!(
    /// What happens at `endAt` with what runs.
    EndBehavior {
        /// It ends by itself.
        Stop = "STOP",
        /// What was not delivered to a device yet is withdrawn.
        Cancel = "CANCEL",
    }
);

/// Which devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What they have in common.
    pub filter: DeviceFilter,
    /// Whether later ones belong to it, too.
    pub mode: TargetMode,
    /// Those that are left out, sorted.
    pub exclude: Vec<Eid>,
    /// The most devices.
    pub max_devices: Option<i64>,
}

impl Target {
    /// Whether a device is meant at this time (milliseconds since 1970), `max_devices` aside.
    #[must_use]
    pub fn takes(&self, euicc: &Euicc, now_ms: i64) -> bool {
        self.exclude.binary_search(&euicc.eid).is_err() && self.filter.matches(euicc, now_ms)
    }
}

/// Which devices are in a wave, of those that no wave before it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaveSize {
    /// So many of a hundred of all devices of the campaign, 1 to 100, rounded up to whole devices.
    Percent(i64),
    /// So many devices, from 1.
    Count(i64),
    /// Those that match.
    Filter(DeviceFilter),
    /// All others.
    Rest,
}

/// One part of the devices, which begins when the part before it went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wave {
    /// The operator's name for it.
    pub name: Option<String>,
    /// Its devices.
    pub size: WaveSize,
    /// Before this time it does not begin; milliseconds since 1970.
    pub start_at: Option<i64>,
    /// How long to wait after its last device has ended, seconds.
    pub soak_seconds: i64,
    /// How many of a hundred must have succeeded, 0 to 100, of those that were not cancelled or superseded.
    pub success_threshold: i64,
    /// What comes when they have.
    pub success_action: SuccessAction,
    /// When there are too many errors.
    pub error_threshold: Option<ErrorThreshold>,
    /// What comes then.
    pub error_action: ErrorAction,
}

/// How much of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Of a hundred that were executed, 1 to 100.
    Percent(i64),
    /// So many, from 1.
    Count(i64),
}

/// When there are too many errors in a wave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorThreshold {
    /// From how many on.
    pub share: Share,
    /// How many devices must have been executed before it is looked at.
    pub min_executed: i64,
    /// Which outcomes are errors. Empty: all bad ones.
    pub outcomes: Vec<Outcome>,
}

impl ErrorThreshold {
    /// Whether an outcome is an error here.
    #[must_use]
    pub fn is_error(&self, outcome: Outcome) -> bool {
        if self.outcomes.is_empty() { outcome.is_bad() } else { self.outcomes.contains(&outcome) }
    }

    /// Whether so many errors of so many executed devices are too many.
    #[must_use]
    pub const fn is_reached(&self, errors: u64, executed: u64) -> bool {
        let enough = executed >= self.min_executed.unsigned_abs();
        enough
            && errors > 0
            && match self.share {
                Share::Count(count) => errors >= count.unsigned_abs(),
                Share::Percent(percent) => errors * 100 >= executed * percent.unsigned_abs(),
            }
    }
}

/// How many devices may begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// So many in any 60 seconds.
    Constant {
        /// How many, from 1.
        max_per_minute: i64,
    },
    /// More and more, the more succeed.
    Exponential {
        /// In any 60 seconds at first, from 1.
        base_per_minute: i64,
        /// By what it is multiplied, 1.1 to 10.
        factor: f64,
        /// After how many successes each.
        every_succeeded: i64,
        /// In any 60 seconds at most.
        max_per_minute: i64,
    },
}

impl Rate {
    /// What holds where no pace is said: with 6,000 devices a minute polls keep most of their rate on a small machine
    /// (docs/benchmarks.md).
    pub const USUAL: Self = Self::Constant { max_per_minute: 6_000 };
}

/// How often and when a device is tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryRule {
    /// After which outcomes.
    pub outcomes: Vec<Outcome>,
    /// How often, 1 to 100.
    pub max_retries: i64,
    /// How long after the first failure, seconds.
    pub backoff_seconds: i64,
    /// By what the time is multiplied for each further one, 1 to 10.
    pub factor: f64,
}

/// The longest time until a device is tried again: 30 days.
pub(super) const BACKOFF_MAX_SECONDS: i64 = 2_592_000;

impl RetryRule {
    /// How long to wait after so many attempts (from 1), milliseconds; `None` when that were all.
    #[must_use]
    pub fn delay_ms(&self, attempts: u32) -> Option<i64> {
        let retries = i64::from(attempts.max(1)) - 1;
        if retries >= self.max_retries {
            return None;
        }
        let power = self.factor.powi(i32::try_from(retries).unwrap_or(i32::MAX));
        // Both are small whole numbers or capped here, so that nothing is lost.
        let seconds = (self.backoff_seconds as f64 * power).min(BACKOFF_MAX_SECONDS as f64);
        Some((seconds * 1000.0) as i64)
    }
}

/// What a campaign is to do.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignSpec {
    /// Its name, 1 to 128 octets.
    pub name: String,
    /// What it is for, up to 2,000 octets.
    pub description: Option<String>,
    /// Which campaign gets a device that two want: the higher one, 0 to 100.
    pub priority: i64,
    /// Its devices.
    pub target: Target,
    /// `{"switch": {..}}` or `{"operations": [..]}`; what is in them is read by others.
    pub plan: Value,
    /// Its parts, 1 to 64.
    pub waves: Vec<Wave>,
    /// How many devices may begin.
    pub rate: Rate,
    /// How many downloads may run at one SM-DP+ at a time.
    pub per_smdp_max_concurrent: Option<i64>,
    /// When devices may begin; empty for always.
    pub maintenance_windows: Vec<Window>,
    /// Which devices are tried again.
    pub retry: Vec<RetryRule>,
    /// Whether a second person must approve.
    pub approval: Approval,
    /// Before this time nothing begins; milliseconds since 1970.
    pub start_at: Option<i64>,
    /// From this time on nothing begins; milliseconds since 1970.
    pub end_at: Option<i64>,
    /// What happens then with what runs.
    pub end_behavior: EndBehavior,
}

impl CampaignSpec {
    /// Reads what was asked, or what [`Self::to_value`] wrote.
    ///
    /// # Errors
    /// Every value that can't be taken, with its place below `pointer`.
    pub fn from_api(value: &Value, pointer: &str) -> Result<Self, Vec<FieldError>> {
        super::read::campaign(value, pointer)
    }

    /// Whether its plan is a switch, which can be reverted; else it is a list of operations.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        self.plan.get("switch").is_some()
    }

    /// The rule for devices that ended so.
    #[must_use]
    pub fn retry_rule(&self, outcome: Outcome) -> Option<&RetryRule> {
        self.retry.iter().find(|rule| rule.outcomes.contains(&outcome))
    }

    /// The campaign in the form that [`Self::from_api`] reads, with what was not said filled in.
    #[must_use]
    pub fn to_value(&self) -> Value {
        object([
            ("name", Some(json!(self.name))),
            ("description", self.description.clone().map(Value::from)),
            ("priority", Some(json!(self.priority))),
            ("target", Some(self.target.to_value())),
            ("plan", Some(self.plan.clone())),
            ("waves", Some(self.waves.iter().map(Wave::to_value).collect())),
            ("rate", Some(rate(self.rate))),
            ("perSmdpMaxConcurrent", self.per_smdp_max_concurrent.map(Value::from)),
            ("maintenanceWindows", list(self.maintenance_windows.iter().map(window))),
            ("retry", list(self.retry.iter().map(retry))),
            ("approval", Some(json!(self.approval.as_str()))),
            ("startAt", self.start_at.map(rfc3339).map(Value::from)),
            ("endAt", self.end_at.map(rfc3339).map(Value::from)),
            ("endBehavior", Some(json!(self.end_behavior.as_str()))),
        ])
    }
}

impl Target {
    fn to_value(&self) -> Value {
        object([
            ("filter", Some(self.filter.to_value())),
            ("mode", Some(json!(self.mode.as_str()))),
            ("exclude", list(self.exclude.iter().map(|eid| json!(eid)))),
            ("maxDevices", self.max_devices.map(Value::from)),
        ])
    }
}

impl Wave {
    fn to_value(&self) -> Value {
        let (size, value) = match &self.size {
            WaveSize::Percent(percent) => ("percent", json!(percent)),
            WaveSize::Count(count) => ("count", json!(count)),
            WaveSize::Filter(filter) => ("filter", filter.to_value()),
            WaveSize::Rest => ("rest", json!(true)),
        };
        object([
            ("name", self.name.clone().map(Value::from)),
            (size, Some(value)),
            ("startAt", self.start_at.map(rfc3339).map(Value::from)),
            ("soakSeconds", Some(json!(self.soak_seconds))),
            ("successThreshold", Some(json!(self.success_threshold))),
            ("successAction", Some(json!(self.success_action.as_str()))),
            ("errorThreshold", self.error_threshold.as_ref().map(error_threshold)),
            ("errorAction", self.error_threshold.as_ref().map(|_| json!(self.error_action.as_str()))),
        ])
    }
}

fn error_threshold(threshold: &ErrorThreshold) -> Value {
    let (share, value) = match threshold.share {
        Share::Percent(percent) => ("percent", percent),
        Share::Count(count) => ("count", count),
    };
    object([
        (share, Some(json!(value))),
        ("minExecuted", Some(json!(threshold.min_executed))),
        ("outcomes", outcomes(&threshold.outcomes)),
    ])
}

fn rate(rate: Rate) -> Value {
    match rate {
        Rate::Constant { max_per_minute } => json!({ "maxPerMinute": max_per_minute }),
        Rate::Exponential { base_per_minute, factor, every_succeeded, max_per_minute } => json!({ "exponential": {
            "basePerMinute": base_per_minute, "factor": factor, "everySucceeded": every_succeeded,
            "maxPerMinute": max_per_minute,
        } }),
    }
}

fn window(window: &Window) -> Value {
    json!({ "cron": window.cron(), "durationMinutes": window.minutes(), "zone": window.zone() })
}

fn retry(rule: &RetryRule) -> Value {
    object([
        ("outcomes", outcomes(&rule.outcomes)),
        ("maxRetries", Some(json!(rule.max_retries))),
        ("backoffSeconds", Some(json!(rule.backoff_seconds))),
        ("factor", Some(json!(rule.factor))),
    ])
}

fn outcomes(outcomes: &[Outcome]) -> Option<Value> {
    list(outcomes.iter().map(|outcome| json!(outcome.as_str())))
}

fn list(items: impl Iterator<Item = Value>) -> Option<Value> {
    let items: Vec<Value> = items.collect();
    (!items.is_empty()).then_some(Value::Array(items))
}

fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(members.collect::<Map<String, Value>>())
}
