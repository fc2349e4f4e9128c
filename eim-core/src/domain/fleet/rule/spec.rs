//! What a rule is, read from a request, and its form in the store.

use super::condition::Condition;
use crate::domain::Euicc;
use crate::domain::Secrets;
use crate::domain::fleet::filter::DeviceFilter;
use crate::domain::fleet::plan;
use crate::domain::fleet::switch::{Plan, interval};
use crate::domain::request::FieldError;
use crate::domain::request::fields::Fields;
use crate::ids::OperationId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const ACTIONS_MAX: usize = 8;
const TAGS_MAX: usize = 64;
const TEXT_MAX: usize = 128;
const SECONDS_MAX: i64 = 31_536_000;
const INTERVALS_MAX: i64 = 1_000;
const COOL_DOWN_S: i64 = 3_600;
const FIRINGS_PER_HOUR: i64 = 100;
const FIRINGS_PER_HOUR_MAX: i64 = 10_000;

/// A rule.
#[derive(Debug, Clone)]
pub struct RuleSpec {
    /// The operator's name for it.
    pub name: String,
    /// Whether it fires.
    pub enabled: bool,
    /// For which devices.
    pub filter: DeviceFilter,
    /// When.
    pub when: Condition,
    /// What is done then, in this order.
    pub then: Vec<Action>,
    /// How long it is quiet for a device for which it fired.
    pub cool_down: CoolDown,
    /// How often it may fire within an hour, for all devices together; one more stops it.
    pub max_firings_per_hour: i64,
}

/// Something that a rule does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Begins a switch. Its secrets are kept apart.
    Switch {
        /// What it is to do.
        plan: Plan,
    },
    /// Asks for operations, one after the other.
    Operations {
        /// Requests in the API's notation.
        requests: Vec<Value>,
    },
    /// Changes the tags of the device.
    Tag {
        /// Tags that it gets.
        add: Vec<String>,
        /// Tags that it loses.
        remove: Vec<String>,
    },
    /// Tells a webhook, whatever its filter.
    Webhook {
        /// Which one.
        id: OperationId,
    },
}

impl Action {
    /// The member that names it in a request.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Switch { .. } => "switch",
            Self::Operations { .. } => "operations",
            Self::Tag { .. } => "tag",
            Self::Webhook { .. } => "webhook",
        }
    }

    /// What it asks the device for; `None` for what is done here.
    #[must_use]
    pub fn plan(&self) -> Option<Plan> {
        match self {
            Self::Switch { plan } => Some(plan.clone()),
            Self::Operations { requests } => plan::operations(&json!(requests), None, "").ok(),
            Self::Tag { .. } | Self::Webhook { .. } => None,
        }
    }

    /// Whether it overrides checks of the guard.
    #[must_use]
    pub fn overrides(&self) -> bool {
        matches!(self, Self::Switch { plan } if plan.overrides())
    }
}

/// How long a rule is quiet for a device for which it fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CoolDown {
    /// So many seconds.
    Seconds(i64),
    /// So many poll intervals of the device.
    Intervals(i64),
}

impl CoolDown {
    /// In milliseconds, for this device.
    #[must_use]
    pub fn ms(self, euicc: &Euicc) -> i64 {
        match self {
            Self::Seconds(seconds) => seconds.saturating_mul(1_000),
            Self::Intervals(intervals) => interval(euicc).saturating_mul(intervals),
        }
    }
}

/// The actions of a rule that is changed and keeps them.
pub type KeptActions = Vec<(Action, Secrets)>;

/// A rule that was read.
#[derive(Debug, Clone)]
pub struct ReadRule {
    /// The rule.
    pub spec: RuleSpec,
    /// The secrets of each action.
    pub secrets: Vec<Secrets>,
}

impl RuleSpec {
    /// Reads a rule. `kept` are the actions of one that is changed, when the request names none.
    ///
    /// # Errors
    /// Every value that can't be taken, with its place.
    pub fn from_api(body: &Value, kept: Option<KeptActions>) -> Result<ReadRule, Vec<FieldError>> {
        let mut errors = Vec::new();
        let (mut filter, mut when, mut then) = (None, None, kept);
        let read = Fields::of(body, String::new(), &mut errors).map(|mut fields| {
            fields.missing("name");
            let name =
                fields.parsed("name", "a text of 1 to 128 octets", |text| is_text(text).then(|| text.to_owned()));
            let enabled = fields.flag_or("enabled", true);
            let given = ["filter", "when", "then"].map(|member| {
                if member != "then" || then.is_none() {
                    fields.missing(member);
                }
                fields.member(member).cloned()
            });
            let cool_down = fields.object("coolDown").map_or(Some(CoolDown::Seconds(COOL_DOWN_S)), read_cool_down);
            let most = fields.number("maxFiringsPerHour", 1..=FIRINGS_PER_HOUR_MAX).unwrap_or(FIRINGS_PER_HOUR);
            fields.finish();
            (name, enabled, given, cool_down, most)
        });
        let Some((name, enabled, given, cool_down, max_firings_per_hour)) = read else { return Err(errors) };
        let [given_filter, given_when, given_then] = given;
        if let Some(value) = given_filter {
            filter = DeviceFilter::from_api(&value, "/filter", &mut errors);
        }
        if let Some(value) = given_when {
            when = Condition::from_api(&value, "/when", &mut errors);
        }
        if let Some(value) = given_then {
            then = read_actions(&value, &mut errors);
        }
        match (name, filter, when, then, cool_down) {
            (Some(name), Some(filter), Some(when), Some(then), Some(cool_down)) if errors.is_empty() => {
                let (then, secrets) = then.into_iter().unzip();
                let spec = Self { name, enabled, filter, when, then, cool_down, max_firings_per_hour };
                Ok(ReadRule { spec, secrets })
            }
            _ => Err(errors),
        }
    }

    /// The rule without name, actions and whether it is enabled, as a request has it.
    #[must_use]
    pub fn settings(&self) -> Value {
        json!({
            "filter": self.filter.to_value(),
            "when": self.when.to_value(),
            "coolDown": self.cool_down,
            "maxFiringsPerHour": self.max_firings_per_hour,
        })
    }

    /// What the store keeps beside name and state.
    #[must_use]
    pub fn to_stored(&self) -> Value {
        let mut stored = self.settings();
        stored["then"] = serde_json::to_value(&self.then).unwrap_or_default();
        stored
    }

    /// Reads what the store keeps; `None` when this version can't.
    #[must_use]
    pub fn from_stored(name: String, enabled: bool, stored: &Value) -> Option<Self> {
        let mut errors = Vec::new();
        Some(Self {
            name,
            enabled,
            filter: DeviceFilter::from_api(stored.get("filter")?, "", &mut errors)?,
            when: Condition::from_api(stored.get("when")?, "", &mut errors)?,
            then: serde_json::from_value(stored.get("then")?.clone()).ok()?,
            cool_down: serde_json::from_value(stored.get("coolDown")?.clone()).ok()?,
            max_firings_per_hour: stored.get("maxFiringsPerHour")?.as_i64()?,
        })
    }
}

fn is_text(text: &str) -> bool {
    (1..=TEXT_MAX).contains(&text.len()) && !text.contains('\0')
}

fn read_cool_down(mut fields: Fields<'_>) -> Option<CoolDown> {
    let seconds = fields.number("seconds", 1..=SECONDS_MAX);
    let intervals = fields.number("intervals", 1..=INTERVALS_MAX);
    let both = fields.member("seconds").is_some() && fields.member("intervals").is_some();
    let none = fields.member("seconds").is_none() && fields.member("intervals").is_none();
    if both || none {
        fields.wrong("seconds", "exactly one of seconds and intervals is expected");
    }
    fields.finish();
    match (seconds, intervals) {
        (Some(seconds), None) => Some(CoolDown::Seconds(seconds)),
        (None, Some(intervals)) => Some(CoolDown::Intervals(intervals)),
        _ => None,
    }
}

fn read_actions(value: &Value, errors: &mut Vec<FieldError>) -> Option<KeptActions> {
    let Some(list) = value.as_array().filter(|list| (1..=ACTIONS_MAX).contains(&list.len())) else {
        errors.push(FieldError::new("/then", format!("a list of 1 to {ACTIONS_MAX} actions is expected")));
        return None;
    };
    let read = list.iter().enumerate().map(|(index, value)| action(value, &format!("/then/{index}"), errors));
    let read: Vec<Option<(Action, Secrets)>> = read.collect();
    read.into_iter().collect()
}

fn action(value: &Value, pointer: &str, errors: &mut Vec<FieldError>) -> Option<(Action, Secrets)> {
    let known = ["switch", "operations", "tag", "webhook"];
    let members = value.as_object().filter(|members| members.len() == 1);
    let member = members.and_then(|members| members.iter().next());
    let Some((name, inner)) = member.filter(|(name, _)| known.contains(&name.as_str())) else {
        errors.push(FieldError::new(pointer, "an object with one of switch, operations, tag and webhook is expected"));
        return None;
    };
    let place = format!("{pointer}/{name}");
    match name.as_str() {
        "switch" => switch(inner, &place, errors),
        "operations" => operations(inner, &place, errors).map(|action| (action, Secrets::default())),
        "tag" => tag(inner, place, errors).map(|action| (action, Secrets::default())),
        _ => {
            let mut fields = Fields::of(inner, place, errors)?;
            fields.missing("id");
            let id = fields.parsed("id", "the id of a webhook", |text| text.parse().ok());
            fields.finish();
            Some((Action::Webhook { id: id? }, Secrets::default()))
        }
    }
}

fn switch(value: &Value, place: &str, errors: &mut Vec<FieldError>) -> Option<(Action, Secrets)> {
    if let Some(members) = value.as_object() {
        let unknown = members.keys().filter(|name| !plan::MEMBERS.contains(&name.as_str()));
        errors.extend(unknown.map(|name| FieldError::new(format!("{place}/{name}"), "this member is not known here")));
    }
    match plan::switch(value, place) {
        Ok(planned) => Some((Action::Switch { plan: planned.plan }, planned.secrets)),
        Err(wrong) => {
            errors.extend(wrong);
            None
        }
    }
}

fn operations(value: &Value, place: &str, errors: &mut Vec<FieldError>) -> Option<Action> {
    match plan::operations(value, None, place) {
        Ok(Plan::Operations { requests, .. }) => Some(Action::Operations { requests }),
        Ok(Plan::Switch { .. } | Plan::Download { .. }) => None,
        Err(wrong) => {
            errors.extend(wrong);
            None
        }
    }
}

fn tag(value: &Value, place: String, errors: &mut Vec<FieldError>) -> Option<Action> {
    let before = errors.len();
    let mut fields = Fields::of(value, place, errors)?;
    let mut tags = |name: &str| {
        let mut list = fields.texts(name, "tags of 1 to 128 octets", TAGS_MAX, is_text).unwrap_or_default();
        list.sort();
        list.dedup();
        list
    };
    let (add, remove) = (tags("add"), tags("remove"));
    if add.is_empty() && remove.is_empty() {
        fields.wrong("add", "at least one tag under add or remove is expected");
    }
    if add.iter().any(|tag| remove.contains(tag)) {
        fields.wrong("remove", "no tag that is added is expected here");
    }
    fields.finish();
    (errors.len() == before).then_some(Action::Tag { add, remove })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(then: Value) -> Value {
        json!({ "name": "r", "filter": { "all": true }, "when": { "foreignEim": {} }, "then": then })
    }

    #[test]
    fn what_is_stored_is_read_again_without_its_secrets() {
        let webhook = OperationId::new(1, [7; 10]);
        let read = RuleSpec::from_api(
            &body(json!([
                { "switch": { "to": { "activationCode": "LPA:1$smdp.example$SECRET" }, "waive": ["memory"] } },
                { "operations": [{ "psmo": [{ "listProfileInfo": {} }] }] },
                { "tag": { "add": ["b", "a", "a"], "remove": ["c"] } },
                { "webhook": { "id": webhook } },
            ])),
            None,
        )
        .unwrap();
        let stored = read.spec.to_stored();
        assert!(!stored.to_string().contains("SECRET"));
        let again = RuleSpec::from_stored("r".to_owned(), true, &stored).unwrap();
        assert_eq!((&again.then, again.cool_down), (&read.spec.then, CoolDown::Seconds(3_600)));
        assert_eq!(again.then[2], Action::Tag { add: vec!["a".into(), "b".into()], remove: vec!["c".into()] });
        assert_eq!(read.secrets.iter().filter(|secrets| !secrets.is_empty()).count(), 1);
        assert!(again.then[1].plan().is_some() && again.then[3].plan().is_none());
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        let mut wrong = body(json!([
            { "tag": {} },
            { "tag": { "add": ["a"], "remove": ["a"] } },
            { "dance": {} },
            { "webhook": { "id": "x" } },
            { "operations": [{ "psmo": [{ "listProfileInfo": {} }], "label": "x" }] },
            { "switch": { "to": { "pool": "p" }, "label": "x" } },
            { "operations": [{ "profileDownload": {} }] },
        ]));
        wrong["coolDown"] = json!({ "seconds": 1, "intervals": 1 });
        wrong["maxFiringsPerHour"] = json!(0);
        wrong["speed"] = json!(1);
        let errors = RuleSpec::from_api(&wrong, None).unwrap_err();
        let mut places: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        places.sort_unstable();
        assert_eq!(
            places,
            [
                "/coolDown/seconds",
                "/maxFiringsPerHour",
                "/speed",
                "/then/0/tag/add",
                "/then/1/tag/remove",
                "/then/2",
                "/then/3/webhook/id",
                "/then/4/operations/0/label",
                "/then/5/switch/label",
                "/then/6/operations/0",
            ]
        );
        let errors = RuleSpec::from_api(&json!({}), None).unwrap_err();
        let places: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(places, ["/name", "/filter", "/when", "/then"]);
    }
}
