//! When a rule fires: a condition on one event, or on how long a device has been silent.

use crate::asn1::{CodeTable, code_value};
use crate::domain::fleet::outcome::Outcome;
use crate::domain::operation::{Kind, OperationState};
use crate::domain::request::FieldError;
use crate::domain::request::fields::Fields;
use serde_json::{Map, Value, json};

const LIST_MAX: usize = 256;
const INTERVALS_MAX: i64 = 1_000;
const BYTES_MAX: i64 = 1 << 32;
const ABANDONED: &str = "abandoned";
const SWITCH: &str = "switch";
const KINDS_EXPECTED: &str = "exactly one of stateChangeCause, plmn, noPollFor, foreignEim, memoryLow and outcome";

/// When a rule fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The IPA reported one of these stateChangeCauses (SGP.32 v1.2 annex A), unsigned.
    StateChangeCause(Vec<String>),
    /// The IPA reported another network, unsigned.
    Plmn(Networks),
    /// The device did not poll for so many of its poll intervals.
    NoPollFor(i64),
    /// A verified list shows an eIM that the list before did not.
    ForeignEim,
    /// The IPA reported less free non-volatile memory than this many octets, and more before; unsigned.
    MemoryLow(i64),
    /// An operation or a switch came to one of these ends.
    Outcome(Outcomes),
}

/// Which change of the network is meant. A network is given by the beginning of its digits: MCC, or MCC and MNC.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks {
    /// Every change between two networks. Otherwise only one from a network that is not meant to one that is.
    pub changed: bool,
    /// Into one of these countries (MCC).
    pub countries: Vec<String>,
    /// Into one of these networks.
    pub inside: Vec<String>,
    /// Into any but these networks.
    pub outside: Vec<String>,
}

impl Networks {
    /// Whether it says which networks are meant.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        !(self.countries.is_empty() && self.inside.is_empty() && self.outside.is_empty())
    }

    fn means(&self, digits: &str) -> bool {
        let begins = |list: &[String]| list.iter().any(|prefix| digits.starts_with(prefix.as_str()));
        (self.countries.is_empty() || begins(&self.countries))
            && (self.inside.is_empty() || begins(&self.inside))
            && (self.outside.is_empty() || !begins(&self.outside))
    }

    fn holds(&self, now: &str, before: Option<&str>) -> bool {
        // Octets that are no network are shown with another form; nothing is known of where the device is then.
        let is_network = |text: &str| (5..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let before = before.filter(|before| is_network(before));
        if !is_network(now) || before == Some(now) || !self.means(now) {
            return false;
        }
        if self.changed { before.is_some() } else { before.is_none_or(|before| !self.means(before)) }
    }
}

/// Whose end is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeOf {
    /// A switch.
    Switch,
    /// An operation of this kind, also one that a switch asked for.
    Operation(Kind),
}

impl OutcomeOf {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Switch => SWITCH,
            Self::Operation(kind) => kind.as_str(),
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        if word == SWITCH { Some(Self::Switch) } else { Kind::from_word(word).map(Self::Operation) }
    }

    /// Whether it can end so.
    fn can_be(self, outcome: &str) -> bool {
        match self {
            Self::Switch => Outcome::from_word(outcome).is_some(),
            Self::Operation(_) => {
                let ends = |state: OperationState| state.is_final() || state == OperationState::Unconfirmed;
                outcome == ABANDONED || OperationState::from_word(outcome).is_some_and(ends)
            }
        }
    }
}

/// Ends of operations and switches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcomes {
    /// Of one of these.
    pub of: Vec<OutcomeOf>,
    /// One of these.
    pub outcomes: Vec<String>,
}

impl Condition {
    /// Reads a condition: an object with one member.
    pub(super) fn from_api(value: &Value, pointer: &str, errors: &mut Vec<FieldError>) -> Option<Self> {
        let before = errors.len();
        let mut fields = Fields::of(value, pointer.to_owned(), errors)?;
        let names = ["stateChangeCause", "plmn", "noPollFor", "foreignEim", "memoryLow", "outcome"];
        let given: Vec<&str> = names.into_iter().filter(|name| fields.member(name).is_some()).collect();
        let condition = match given.as_slice() {
            ["stateChangeCause"] => causes(&mut fields),
            ["plmn"] => networks(&mut fields),
            ["noPollFor"] => fields.object("noPollFor").and_then(|mut inner| {
                inner.missing("intervals");
                let intervals = inner.number("intervals", 1..=INTERVALS_MAX);
                inner.finish();
                intervals.map(Self::NoPollFor)
            }),
            ["foreignEim"] => fields.object("foreignEim").map(|inner| {
                inner.finish();
                Self::ForeignEim
            }),
            ["memoryLow"] => fields.object("memoryLow").and_then(|mut inner| {
                inner.missing("belowBytes");
                let bytes = inner.number("belowBytes", 1..=BYTES_MAX);
                inner.finish();
                bytes.map(Self::MemoryLow)
            }),
            ["outcome"] => outcomes(&mut fields),
            _ => None,
        };
        fields.finish();
        if given.len() != 1 {
            errors.push(FieldError::new(pointer, format!("{KINDS_EXPECTED} is expected")));
        }
        condition.filter(|_| errors.len() == before)
    }

    /// The condition in the form that is read.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::StateChangeCause(causes) => json!({ "stateChangeCause": causes }),
            Self::Plmn(networks) => {
                let mut members = Map::new();
                if networks.changed {
                    members.insert("changed".to_owned(), json!(true));
                }
                for (name, list) in
                    [("countries", &networks.countries), ("in", &networks.inside), ("notIn", &networks.outside)]
                {
                    if !list.is_empty() {
                        members.insert(name.to_owned(), json!(list));
                    }
                }
                json!({ "plmn": members })
            }
            Self::NoPollFor(intervals) => json!({ "noPollFor": { "intervals": intervals } }),
            Self::ForeignEim => json!({ "foreignEim": {} }),
            Self::MemoryLow(bytes) => json!({ "memoryLow": { "belowBytes": bytes } }),
            Self::Outcome(outcomes) => {
                let of: Vec<&str> = outcomes.of.iter().map(|of| of.as_str()).collect();
                json!({ "outcome": { "of": of, "outcomes": outcomes.outcomes } })
            }
        }
    }

    /// Whether an event of a device is meant. Silence is no event.
    #[must_use]
    pub fn holds(&self, event_type: &str, details: &Map<String, Value>) -> bool {
        let text = |name: &str| details.get(name).and_then(Value::as_str);
        let number = |name: &str| details.get(name).and_then(Value::as_i64);
        match self {
            Self::StateChangeCause(causes) => {
                event_type == "stateChange"
                    && text("stateChangeCause").is_some_and(|cause| causes.iter().any(|known| known == cause))
            }
            Self::Plmn(networks) => {
                event_type == "stateChange"
                    && text("rPlmn").is_some_and(|now| networks.holds(now, text("previousRPlmn")))
            }
            Self::NoPollFor(_) => false,
            Self::ForeignEim => event_type == "foreignEim",
            Self::MemoryLow(below) => {
                event_type == "memoryReported"
                    && number("freeBytes").is_some_and(|free| free < *below)
                    && number("previousFreeBytes").is_none_or(|before| before >= *below)
            }
            Self::Outcome(wanted) => ended(event_type, details)
                .is_some_and(|(of, outcome)| wanted.of.contains(&of) && wanted.outcomes.contains(&outcome)),
        }
    }
}

/// Whose end an event tells, and which.
fn ended(event_type: &str, details: &Map<String, Value>) -> Option<(OutcomeOf, String)> {
    let text = |name: &str| details.get(name).and_then(Value::as_str);
    if event_type == "switchEnded" || event_type == "switchReversed" {
        // A list of operations is told by its operations.
        let is_switch = !matches!(text("plan"), Some("operations" | "download"));
        return Some((OutcomeOf::Switch, text("outcome")?.to_owned())).filter(|_| is_switch);
    }
    let state = match event_type {
        "operationSucceeded" => OperationState::Succeeded.as_str(),
        "operationFailed" => OperationState::Failed.as_str(),
        "operationUnconfirmed" => OperationState::Unconfirmed.as_str(),
        "operationRolledBack" => OperationState::RolledBack.as_str(),
        "operationCancelled" => OperationState::Cancelled.as_str(),
        "operationExpired" => OperationState::Expired.as_str(),
        "operationAbandoned" => ABANDONED,
        _ => return None,
    };
    Some((OutcomeOf::Operation(Kind::from_word(text("kind")?)?), state.to_owned()))
}

/// A list that is sorted, without duplicates, and not empty.
fn list(fields: &mut Fields<'_>, name: &str, expected: &str, is_good: impl Fn(&str) -> bool) -> Vec<String> {
    let Some(mut list) = fields.texts(name, expected, LIST_MAX, is_good) else { return vec![] };
    if list.is_empty() {
        fields.wrong(name, &format!("at least one of {expected} is expected"));
    }
    list.sort();
    list.dedup();
    list
}

fn causes(fields: &mut Fields<'_>) -> Option<Condition> {
    let is_cause = |text: &str| code_value(CodeTable::StateChangeCause, text).is_some();
    let names: Vec<&str> = CodeTable::StateChangeCause.entries().iter().map(|(_, name)| *name).collect();
    let expected = format!("names of StateChangeCause ({})", names.join(", "));
    let causes = list(fields, "stateChangeCause", &expected, is_cause);
    Some(Condition::StateChangeCause(causes))
}

fn networks(fields: &mut Fields<'_>) -> Option<Condition> {
    let mut inner = fields.object("plmn")?;
    let digits =
        |text: &str, lengths: &[usize]| lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let networks = Networks {
        changed: inner.flag("changed"),
        countries: list(&mut inner, "countries", "an MCC of 3 digits", |text| digits(text, &[3])),
        inside: list(&mut inner, "in", "an MCC, or MCC and MNC of 5 or 6 digits", |text| digits(text, &[3, 5, 6])),
        outside: list(&mut inner, "notIn", "an MCC, or MCC and MNC of 5 or 6 digits", |text| digits(text, &[3, 5, 6])),
    };
    if !networks.changed && !networks.is_narrow() {
        inner.wrong("changed", "true, or one of countries, in and notIn is expected");
    }
    inner.finish();
    Some(Condition::Plmn(networks))
}

fn outcomes(fields: &mut Fields<'_>) -> Option<Condition> {
    let mut inner = fields.object("outcome")?;
    inner.missing("of");
    inner.missing("outcomes");
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    let expected = format!("{SWITCH} or kinds of operations ({})", kinds.join(", "));
    let of = list(&mut inner, "of", &expected, |text| OutcomeOf::from_word(text).is_some());
    let of: Vec<OutcomeOf> = of.iter().filter_map(|word| OutcomeOf::from_word(word)).collect();
    if of.is_empty() {
        // What is wrong with it is said; which ends there are is not known without it.
        inner.member("outcomes");
        inner.finish();
        return None;
    }
    let all = Outcome::ALL.iter().map(|outcome| outcome.as_str());
    let all = all.chain(OperationState::ALL.iter().map(|state| state.as_str())).chain([ABANDONED]);
    let mut possible: Vec<&str> = all.filter(|word| of.iter().any(|of| of.can_be(word))).collect();
    possible.sort_unstable();
    possible.dedup();
    let expected = format!("ends that those under of can come to ({})", possible.join(", "));
    let outcomes = list(&mut inner, "outcomes", &expected, |text| of.iter().any(|of| of.can_be(text)));
    inner.finish();
    Some(Condition::Outcome(Outcomes { of, outcomes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Value) -> Result<Condition, Vec<String>> {
        let mut errors = Vec::new();
        let read = Condition::from_api(value, "/when", &mut errors);
        read.ok_or_else(|| errors.into_iter().map(|error| error.pointer).collect())
    }

    fn holds(condition: &Value, event_type: &str, details: Value) -> bool {
        let Value::Object(details) = details else { panic!("an object") };
        read(condition).unwrap().holds(event_type, &details)
    }

    #[test]
    fn a_network_is_meant_when_the_device_comes_into_it() {
        let germany = json!({ "plmn": { "countries": ["262"] } });
        let moved = |now: &str, before: Option<&str>| json!({ "rPlmn": now, "previousRPlmn": before });
        assert!(holds(&germany, "stateChange", moved("26201", Some("20801"))));
        assert!(holds(&germany, "stateChange", moved("26201", None)));
        assert!(!holds(&germany, "stateChange", moved("26202", Some("26201"))), "it was there before");
        assert!(!holds(&germany, "stateChange", moved("20801", Some("26201"))));
        let abroad = json!({ "plmn": { "notIn": ["262"] } });
        assert!(holds(&abroad, "stateChange", moved("20801", Some("26201"))));
        assert!(!holds(&abroad, "stateChange", moved("0xFFFFFF", Some("26201"))), "that is no network");
        let any = json!({ "plmn": { "changed": true } });
        assert!(holds(&any, "stateChange", moved("26202", Some("26201"))));
        assert!(!holds(&any, "stateChange", moved("26202", Some("26202"))));
        assert!(!holds(&any, "stateChange", moved("26202", None)), "nothing is known of before");
        assert!(!holds(&any, "changed", moved("26202", Some("26201"))));
    }

    #[test]
    fn memory_is_low_once_it_has_fallen_below() {
        let low = json!({ "memoryLow": { "belowBytes": 1000 } });
        let told = |free: i64, before: Option<i64>| json!({ "freeBytes": free, "previousFreeBytes": before });
        assert!(holds(&low, "memoryReported", told(999, Some(1000))));
        assert!(holds(&low, "memoryReported", told(999, None)));
        assert!(!holds(&low, "memoryReported", told(998, Some(999))));
        assert!(!holds(&low, "memoryReported", told(1000, None)));
    }

    #[test]
    fn an_end_is_of_its_kind() {
        let failed = json!({ "outcome": { "of": ["psmo"], "outcomes": ["failed", "expired"] } });
        assert!(holds(&failed, "operationFailed", json!({ "kind": "psmo" })));
        assert!(holds(&failed, "operationExpired", json!({ "kind": "psmo" })));
        assert!(!holds(&failed, "operationFailed", json!({ "kind": "eco" })));
        assert!(!holds(&failed, "operationSucceeded", json!({ "kind": "psmo" })));
        let lost = json!({ "outcome": { "of": ["switch"], "outcomes": ["failed", "noShow"] } });
        assert!(holds(&lost, "switchEnded", json!({ "outcome": "noShow", "plan": "switch" })));
        assert!(!holds(&lost, "switchEnded", json!({ "outcome": "failed", "plan": "operations" })));
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for value in [
            json!({ "stateChangeCause": ["fallback", "local"] }),
            json!({ "plmn": { "changed": true } }),
            json!({ "plmn": { "countries": ["262"], "in": ["26201"], "notIn": ["26207"] } }),
            json!({ "noPollFor": { "intervals": 3 } }),
            json!({ "foreignEim": {} }),
            json!({ "memoryLow": { "belowBytes": 65536 } }),
            json!({ "outcome": { "of": ["switch"], "outcomes": ["noShow", "rolledBack"] } }),
        ] {
            assert_eq!(read(&value).unwrap().to_value(), value);
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_with_its_place() {
        for (value, place) in [
            (json!({}), "/when"),
            (json!([]), "/when"),
            (json!({ "foreignEim": {}, "noPollFor": { "intervals": 1 } }), "/when"),
            (json!({ "foreignEim": { "x": 1 } }), "/when/foreignEim/x"),
            (json!({ "stateChangeCause": ["weather"] }), "/when/stateChangeCause"),
            (json!({ "stateChangeCause": [] }), "/when/stateChangeCause"),
            (json!({ "plmn": {} }), "/when/plmn/changed"),
            (json!({ "plmn": { "countries": ["2620"] } }), "/when/plmn/countries"),
            (json!({ "noPollFor": {} }), "/when/noPollFor/intervals"),
            (json!({ "noPollFor": { "intervals": 0 } }), "/when/noPollFor/intervals"),
            (json!({ "memoryLow": { "belowBytes": -1 } }), "/when/memoryLow/belowBytes"),
            (json!({ "outcome": { "of": ["tea"], "outcomes": ["failed"] } }), "/when/outcome/of"),
        ] {
            assert!(read(&value).unwrap_err().contains(&place.to_owned()), "{value}");
        }
        let wrong = json!({ "outcome": { "of": "psmo", "outcomes": ["failed"] } });
        assert_eq!(read(&wrong).unwrap_err(), ["/when/outcome/of"], "and nothing of the outcomes");
        let wrong = json!({ "outcome": { "of": ["psmo"], "outcomes": ["noShow"] } });
        assert_eq!(read(&wrong).unwrap_err(), ["/when/outcome/outcomes"], "an operation has no such end");
    }
}
