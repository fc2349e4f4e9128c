//! Which events somebody wants: by type, by eUICC, by its tags.

use crate::ids::Eid;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What the type of every event begins with outside of this eIM (CloudEvents 1.0, `type`).
pub const TYPE_PREFIX: &str = "eim.";

/// The type of every event that there is, without the prefix. A test looks for what is missing here.
pub const EVENT_TYPES: &[&str] = &[
    "addInitialEimRefused",
    "associationEnded",
    "associationLost",
    "associationProven",
    "associationRenewed",
    "associationRestored",
    "associationTokenReported",
    "associationUpdated",
    "campaignAborted",
    "campaignAborting",
    "campaignApproved",
    "campaignCompleted",
    "campaignCreated",
    "campaignDenied",
    "campaignDeviceEnded",
    "campaignExpired",
    "campaignPaused",
    "campaignResumed",
    "campaignRetried",
    "campaignReverted",
    "campaignReverting",
    "campaignStarted",
    "campaignSubmitted",
    "campaignWaveBegan",
    "campaignWaveEnded",
    "certificatesRefused",
    "certificatesTrusted",
    "changed",
    "counterExhausted",
    "counterLost",
    "counterNearlyExhausted",
    "counterRecovered",
    "counterRecoveryStarted",
    "dataError",
    "desiredStateChanged",
    "desiredStateCreated",
    "desiredStateDeleted",
    "desiredStateStopped",
    "downloadAuthenticated",
    "downloadBound",
    "downloadCancelled",
    "downloadInitiated",
    "downloadInterrupted",
    "downloadPostponed",
    "downloadRefused",
    "downloadResultReceived",
    "driftCorrected",
    "driftFound",
    "driftGivenUp",
    "eimAdded",
    "eimGone",
    "firstSeen",
    "foreignEim",
    "foreignResult",
    "guardSetAside",
    "handoverAdded",
    "handoverCancelled",
    "handoverCreated",
    "handoverDone",
    "handoverEnded",
    "handoverFailed",
    "handoverPaused",
    "handoverProven",
    "handoverResumed",
    "handoverRetried",
    "historyImported",
    "ipaError",
    "keyRotationCancelled",
    "keyRotationCancelling",
    "keyRotationClosed",
    "keyRotationClosing",
    "keyRotationCompleted",
    "keyRotationPaused",
    "keyRotationResumed",
    "keyRotationStarted",
    "lateError",
    "lateResult",
    "memoryReported",
    "notificationReceived",
    "notificationUndeliverable",
    "operationAbandoned",
    "operationCancelled",
    "operationExpired",
    "operationFailed",
    "operationQueued",
    "operationRolledBack",
    "operationSucceeded",
    "operationUnconfirmed",
    "orphanError",
    "orphanResult",
    "packageDelivered",
    "packageRefused",
    "packageWithdrawn",
    "poolLow",
    "profileInstallationResult",
    "registered",
    "resultHeld",
    "resultRefused",
    "ruleChanged",
    "ruleCreated",
    "ruleDeleted",
    "ruleFired",
    "ruleStopped",
    "signingKeyChanged",
    "signingKeyKept",
    "signingKeyMissing",
    "stateChange",
    "switchCreated",
    "switchEnded",
    "switchReversed",
    "unsignedError",
    "webhookFailing",
    "webhookRecovered",
    "webhookTest",
];

/// A type of events, or all types that begin with something: `eim.operationFailed`, `eim.operation*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TypePattern(String);

/// A text that no type of events matches.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no such type of events; a type as eim.operationFailed is expected, or the beginning of some and *")]
pub struct NoSuchType;

impl TypePattern {
    /// Whether the type, without its prefix, is meant.
    #[must_use]
    pub fn matches(&self, event_type: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => match start.strip_prefix(TYPE_PREFIX) {
                Some(start) => event_type.starts_with(start),
                None => TYPE_PREFIX.starts_with(start),
            },
            None => self.0.strip_prefix(TYPE_PREFIX) == Some(event_type),
        }
    }
}

impl TryFrom<String> for TypePattern {
    type Error = NoSuchType;

    fn try_from(text: String) -> Result<Self, NoSuchType> {
        let pattern = Self(text);
        if EVENT_TYPES.iter().any(|event_type| pattern.matches(event_type)) { Ok(pattern) } else { Err(NoSuchType) }
    }
}

impl From<TypePattern> for String {
    fn from(pattern: TypePattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which events somebody wants; all that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Of one of these types; of any, when empty.
    pub types: Vec<TypePattern>,
    /// About this eUICC.
    pub eid: Option<Eid>,
    /// About an eUICC that has all of these tags.
    pub tags: Vec<String>,
}

impl EventFilter {
    /// Whether an event is wanted. `eid` is empty for what is about no eUICC, `tagged` tells whether the eUICC has a tag.
    pub fn matches(&self, event_type: &str, eid: &str, tagged: impl Fn(&str) -> bool) -> bool {
        let of_type = self.types.is_empty() || self.types.iter().any(|pattern| pattern.matches(event_type));
        of_type && self.matches_euicc(eid, tagged)
    }

    /// The same whatever the type is: whether events about this eUICC are wanted at all.
    pub fn matches_euicc(&self, eid: &str, tagged: impl Fn(&str) -> bool) -> bool {
        let of_euicc = self.eid.is_none_or(|wanted| wanted.to_string() == eid);
        of_euicc && (self.tags.is_empty() || (!eid.is_empty() && self.tags.iter().all(|tag| tagged(tag))))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Result<TypePattern, NoSuchType> {
        text.to_owned().try_into()
    }

    #[test]
    fn a_pattern_means_one_type_or_all_that_begin_with_it() {
        assert!(pattern("eim.operationFailed").unwrap().matches("operationFailed"));
        assert!(!pattern("eim.operationFailed").unwrap().matches("operationFailedTwice"));
        let operations = pattern("eim.operation*").unwrap();
        assert!(operations.matches("operationFailed") && !operations.matches("registered"));
        for all in ["*", "eim.*", "ei*"] {
            assert!(EVENT_TYPES.iter().all(|event_type| pattern(all).unwrap().matches(event_type)), "{all}");
        }
        for none in
            ["", "operationFailed", "eim.", "eim.nothing", "eim.nothing*", "eim.*Failed", "x*", "eim.operation**"]
        {
            assert_eq!(pattern(none), Err(NoSuchType), "{none}");
        }
    }

    #[test]
    fn all_of_a_filter_must_hold() {
        let eid = "89049032000000000000000000000163";
        let filter = EventFilter {
            types: vec![pattern("eim.registered").unwrap()],
            eid: Some(eid.parse().unwrap()),
            tags: vec!["a".into(), "b".into()],
        };
        let tags = |have: &'static [&str]| move |tag: &str| have.contains(&tag);
        assert!(filter.matches("registered", eid, tags(&["a", "b", "c"])));
        assert!(!filter.matches("registered", eid, tags(&["a"])));
        assert!(!filter.matches("changed", eid, tags(&["a", "b"])));
        assert!(!filter.matches("registered", "", tags(&["a", "b"])));
        assert!(EventFilter::default().matches("registered", "", tags(&[])));
    }
}
