//! Which devices of a fleet are meant: by number, tags, state, capabilities, network and when they were last seen.
//!
//! A filter never means everything by mistake: an object without members is refused, and `{"all": true}` says it in
//! words. What is written back is what was asked, lists sorted and without duplicates.

use crate::asn1::IpaFeatures;
use crate::domain::order::Capabilities;
use crate::domain::request::FieldError;
use crate::domain::request::fields::Fields;
use crate::domain::{Euicc, EuiccState};
use crate::ids::Eid;
use serde_json::{Map, Value, json};

/// The most EIDs that a list may name.
pub const EIDS_MAX: usize = 10_000;
/// The most tags, capabilities and networks of one member, each.
const WORDS_MAX: usize = 64;
const TAG_MAX: usize = 128;
const LABEL_MAX: usize = 128;
/// Ten years.
const SECONDS_MAX: i64 = 315_360_000;

/// Which devices are meant. Every member that is there must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceFilter {
    all: bool,
    eids: Option<Vec<Eid>>,
    tags: Vec<String>,
    any_tag: Vec<String>,
    not_tag: Vec<String>,
    state: Option<EuiccState>,
    capabilities: Vec<String>,
    plmns: Vec<String>,
    seen_within_seconds: Option<i64>,
    not_seen_for_seconds: Option<i64>,
    label: Option<String>,
}

impl DeviceFilter {
    /// Reads a filter. Members, each may be absent, at least one is needed:
    /// - `all`: true, and alone: every device
    /// - `eids`: one of these EIDs
    /// - `tags`: has all of them; `anyTag`: has one of them; `notTag`: has none of them
    /// - `state`: a word of [`EuiccState`]
    /// - `capabilities`: names of bits of ipaFeatures (SGP.32 v1.2 annex A), all of them reported
    /// - `plmns`: the rPLMN begins with one of these digits: an MCC (3), or MCC and MNC (5 or 6)
    /// - `seenWithinSeconds`: has polled within this time; `notSeenForSeconds`: has not polled for this time, or never
    /// - `label`: exactly this label
    ///
    /// Each value that can't be taken is noted in `errors` with its place below `pointer`, and the answer is `None`.
    pub fn from_api(value: &Value, pointer: &str, errors: &mut Vec<FieldError>) -> Option<Self> {
        let before = errors.len();
        if value.as_object().is_some_and(|members| members.values().all(Value::is_null)) {
            errors.push(FieldError::new(
                pointer,
                "a filter without members is not taken; {\"all\": true} means every device",
            ));
            return None;
        }
        let mut fields = Fields::of(value, pointer.to_owned(), errors)?;
        let is_tag = |text: &str| (1..=TAG_MAX).contains(&text.len()) && !text.contains('\0');
        let is_feature = |text: &str| IpaFeatures::named([text]).is_some();
        let is_plmn = |text: &str| [3, 5, 6].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let features = format!("names of ipaFeatures ({})", IpaFeatures::known_names().collect::<Vec<_>>().join(", "));
        let tags_expected = "tags of 1 to 128 octets";
        let states: Vec<(&str, EuiccState)> = EuiccState::ALL.iter().map(|state| (state.as_str(), *state)).collect();
        let filter = Self {
            all: fields.flag("all"),
            eids: eids(&mut fields, "eids"),
            tags: words(&mut fields, "tags", tags_expected, is_tag),
            any_tag: words(&mut fields, "anyTag", tags_expected, is_tag),
            not_tag: words(&mut fields, "notTag", tags_expected, is_tag),
            state: fields.one_of("state", &states),
            capabilities: words(&mut fields, "capabilities", &features, is_feature),
            plmns: words(&mut fields, "plmns", "an MCC of 3 digits, or MCC and MNC of 5 or 6", is_plmn),
            seen_within_seconds: fields.number("seenWithinSeconds", 1..=SECONDS_MAX),
            not_seen_for_seconds: fields.number("notSeenForSeconds", 1..=SECONDS_MAX),
            label: fields.parsed("label", "a text of 1 to 128 octets", |text| {
                (1..=LABEL_MAX).contains(&text.len()).then(|| text.to_owned())
            }),
        };
        let others = Self { all: false, ..filter.clone() } != Self::default();
        if fields.member("all").is_some() && (others || !filter.all) {
            fields.wrong("all", "true, and no other member beside it, is expected");
        }
        fields.finish();
        (errors.len() == before).then_some(filter)
    }

    /// The filter in the form that [`Self::from_api`] reads.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut members = Map::new();
        if self.all {
            members.insert("all".to_owned(), json!(true));
        }
        if let Some(eids) = &self.eids {
            members.insert("eids".to_owned(), json!(eids));
        }
        let lists = [
            ("tags", &self.tags),
            ("anyTag", &self.any_tag),
            ("notTag", &self.not_tag),
            ("capabilities", &self.capabilities),
            ("plmns", &self.plmns),
        ];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            members.insert(name.to_owned(), json!(list));
        }
        let others = [
            ("state", self.state.map(|state| json!(state.as_str()))),
            ("seenWithinSeconds", self.seen_within_seconds.map(Value::from)),
            ("notSeenForSeconds", self.not_seen_for_seconds.map(Value::from)),
            ("label", self.label.clone().map(Value::from)),
        ];
        members.extend(others.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Value::Object(members)
    }

    /// Whether a device is meant, at this time (milliseconds since 1970).
    #[must_use]
    pub fn matches(&self, euicc: &Euicc, now_ms: i64) -> bool {
        let has = |tag: &String| euicc.tags.contains(tag);
        let seen_since = |seconds: i64| {
            euicc.last_seen_at.is_some_and(|seen| seen >= now_ms.saturating_sub(seconds.saturating_mul(1000)))
        };
        let capabilities = Capabilities(euicc.capabilities.as_ref());
        self.eids.as_ref().is_none_or(|eids| eids.binary_search(&euicc.eid).is_ok())
            && self.state.is_none_or(|state| euicc.state == state)
            && self.label.as_ref().is_none_or(|label| euicc.label.as_ref() == Some(label))
            && self.seen_within_seconds.is_none_or(seen_since)
            && self.not_seen_for_seconds.is_none_or(|seconds| !seen_since(seconds))
            && self.tags.iter().all(has)
            && (self.any_tag.is_empty() || self.any_tag.iter().any(has))
            && !self.not_tag.iter().any(has)
            && self.capabilities.iter().all(|name| capabilities.has(name))
            && (self.plmns.is_empty() || self.is_in_network(euicc))
    }

    /// A tag that every match has, for the query that looks for them.
    #[must_use]
    pub fn tag_hint(&self) -> Option<&str> {
        let only = self.any_tag.first().filter(|_| self.any_tag.len() == 1);
        self.tags.first().or(only).map(String::as_str)
    }

    /// The EIDs that every match is one of, sorted; `None` when the filter names none.
    #[must_use]
    pub fn eids(&self) -> Option<&[Eid]> {
        self.eids.as_deref()
    }

    /// Whether time alone may change which devices match.
    #[must_use]
    pub const fn counts_time(&self) -> bool {
        self.seen_within_seconds.is_some() || self.not_seen_for_seconds.is_some()
    }

    fn is_in_network(&self, euicc: &Euicc) -> bool {
        let reported = euicc.r_plmn.map(|plmn| plmn.to_string());
        reported.is_some_and(|digits| self.plmns.iter().any(|prefix| digits.starts_with(prefix.as_str())))
    }
}

/// A list of EIDs, sorted and without duplicates; one without EIDs is a mistake.
pub(super) fn eids(fields: &mut Fields<'_>, name: &str) -> Option<Vec<Eid>> {
    let texts = fields.texts(name, "EIDs of 32 digits", EIDS_MAX, |text| text.parse::<Eid>().is_ok())?;
    if texts.is_empty() {
        fields.wrong(name, "at least one EID is expected");
    }
    let mut eids: Vec<Eid> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    eids.sort_unstable();
    eids.dedup();
    Some(eids)
}

/// A list of texts, sorted and without duplicates; one without texts is a mistake.
fn words(fields: &mut Fields<'_>, name: &str, expected: &str, is_good: impl Fn(&str) -> bool) -> Vec<String> {
    let Some(mut words) = fields.texts(name, expected, WORDS_MAX, is_good) else { return vec![] };
    if words.is_empty() {
        fields.wrong(name, &format!("at least one of {expected} is expected"));
    }
    words.sort();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::super::campaign::test_fleet::{eid, euicc};
    use super::*;

    fn read(value: &Value) -> Result<DeviceFilter, Vec<FieldError>> {
        let mut errors = Vec::new();
        DeviceFilter::from_api(value, "/target/filter", &mut errors).ok_or(errors)
    }

    #[test]
    fn every_member_narrows_the_choice() {
        let now = 1_000_000_000;
        let mut device = euicc(7);
        device.tags = vec!["meter".to_owned(), "north".to_owned()];
        device.label = Some("cellar".to_owned());
        device.last_seen_at = Some(now - 60_000);
        device.r_plmn = "262011".parse().ok();
        device.capabilities = Some(json!({ "ipaCapabilities": { "ipaFeatures": ["directRspServerCommunication"] } }));
        for (filter, expected) in [
            (json!({ "all": true }), true),
            (json!({ "eids": [eid(3), eid(7)] }), true),
            (json!({ "eids": [eid(3)] }), false),
            (json!({ "tags": ["meter", "north"] }), true),
            (json!({ "tags": ["meter", "south"] }), false),
            (json!({ "anyTag": ["south", "north"] }), true),
            (json!({ "anyTag": ["south", "west"] }), false),
            (json!({ "notTag": ["south"] }), true),
            (json!({ "notTag": ["south", "north"] }), false),
            (json!({ "state": "active" }), true),
            (json!({ "state": "unmanaged" }), false),
            (json!({ "plmns": ["001", "262"] }), true),
            (json!({ "plmns": ["26201"] }), true),
            (json!({ "plmns": ["26202"] }), false),
            (json!({ "seenWithinSeconds": 60 }), true),
            (json!({ "seenWithinSeconds": 59 }), false),
            (json!({ "notSeenForSeconds": 59 }), true),
            (json!({ "notSeenForSeconds": 60 }), false),
            (json!({ "label": "cellar" }), true),
            (json!({ "label": "cell" }), false),
            (json!({ "capabilities": ["directRspServerCommunication"] }), true),
            (json!({ "capabilities": ["indirectRspServerCommunication"] }), false),
            (json!({ "tags": ["meter"], "state": "registered" }), false),
        ] {
            assert_eq!(read(&filter).unwrap().matches(&device, now), expected, "{filter}");
        }
    }

    #[test]
    fn a_device_never_seen_is_not_seen_for_any_time() {
        let mut device = euicc(1);
        device.last_seen_at = None;
        assert!(read(&json!({ "notSeenForSeconds": 1 })).unwrap().matches(&device, 0));
        assert!(!read(&json!({ "seenWithinSeconds": 315_360_000 })).unwrap().matches(&device, 0));
        assert!(!read(&json!({ "plmns": ["262"] })).unwrap().matches(&device, 0), "no network was reported");
    }

    #[test]
    fn what_means_everything_by_mistake_is_refused() {
        for (value, place) in [
            (json!({}), "/target/filter"),
            (json!({ "tags": null }), "/target/filter"),
            (json!({ "tags": [] }), "/target/filter/tags"),
            (json!({ "eids": [] }), "/target/filter/eids"),
            (json!({ "all": false }), "/target/filter/all"),
            (json!({ "all": true, "tags": ["a"] }), "/target/filter/all"),
            (json!({ "tag": ["a"] }), "/target/filter/tag"),
            (json!([]), "/target/filter"),
            (json!({ "eids": ["12"] }), "/target/filter/eids"),
            (json!({ "plmns": ["26"] }), "/target/filter/plmns"),
            (json!({ "plmns": ["26x"] }), "/target/filter/plmns"),
            (json!({ "state": "asleep" }), "/target/filter/state"),
            (json!({ "capabilities": ["flying"] }), "/target/filter/capabilities"),
            (json!({ "seenWithinSeconds": 0 }), "/target/filter/seenWithinSeconds"),
            (json!({ "notSeenForSeconds": 1.5 }), "/target/filter/notSeenForSeconds"),
            (json!({ "label": "" }), "/target/filter/label"),
            (json!({ "tags": vec!["a"; 65] }), "/target/filter/tags"),
        ] {
            let errors = read(&value).unwrap_err();
            assert_eq!(errors.len(), 1, "{value}: {errors:?}");
            assert_eq!(errors[0].pointer, place, "{value}");
        }
    }

    #[test]
    fn is_written_sorted_and_reads_back_the_same() {
        let asked = json!({
            "eids": [eid(2), eid(1), eid(2)], "tags": ["b", "a", "b"], "anyTag": ["x"], "notTag": ["z"],
            "state": "active", "plmns": ["262", "001"], "seenWithinSeconds": 5, "notSeenForSeconds": 2, "label": "l",
        });
        let filter = read(&asked).unwrap();
        let written = filter.to_value();
        assert_eq!(written["tags"], json!(["a", "b"]));
        assert_eq!(written["eids"], json!([eid(1), eid(2)]));
        assert_eq!(read(&written).unwrap(), filter);
        assert_eq!(filter.tag_hint(), Some("a"));
        assert_eq!(read(&json!({ "anyTag": ["x"] })).unwrap().tag_hint(), Some("x"));
        assert_eq!(read(&json!({ "anyTag": ["x", "y"] })).unwrap().tag_hint(), None);
        assert_eq!(read(&json!({ "all": true })).unwrap().to_value(), json!({ "all": true }));
    }
}
