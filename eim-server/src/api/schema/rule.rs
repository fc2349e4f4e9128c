//! Rules.

use super::{NewOperation, NewSwitch};
use serde::Deserialize;
use utoipa::ToSchema;

/// A rule. In a change, absent stays; `then` is set as a whole.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleSettings {
    /// The operator's name for it, 1 to 128 octets. Needed when it is made.
    #[schema(example = "back to home")]
    pub name: Option<String>,
    /// Whether it fires; true when nobody says.
    pub enabled: Option<bool>,
    /// For which devices, as of a campaign. Needed when it is made.
    #[schema(value_type = Object, example = json!({ "tags": ["meter"] }))]
    pub filter: Option<serde_json::Value>,
    /// When. Needed when it is made.
    pub when: Option<RuleCondition>,
    /// What is done, one after the other: 1 to 8 actions. Needed when it is made.
    pub then: Option<Vec<RuleAction>>,
    /// How long it is quiet for a device for which it fired; an hour when nobody says.
    pub cool_down: Option<RuleCoolDown>,
    /// How often it may fire within an hour for all devices together, 1 to 10000; one more stops it. 100 when nobody says.
    pub max_firings_per_hour: Option<i64>,
}

/// When a rule fires: exactly one member.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleCondition {
    /// The IPA reported one of these (names of StateChangeCause). Unsigned.
    #[schema(example = json!(["fallback"]))]
    pub state_change_cause: Option<Vec<String>>,
    /// The IPA reported another network. Unsigned.
    pub plmn: Option<RuleNetworks>,
    /// The device did not poll; once for each silence.
    pub no_poll_for: Option<RuleSilence>,
    /// A verified list of eIMs has one that the list before had not; an empty object.
    #[schema(value_type = Option<Object>)]
    pub foreign_eim: Option<serde_json::Value>,
    /// The IPA reported less free memory than this, and not before. Unsigned.
    pub memory_low: Option<RuleMemory>,
    /// An operation or a switch ended so.
    pub outcome: Option<RuleOutcome>,
}

/// Which change of the network; all that is given must hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleNetworks {
    /// Every change between two networks. Without it only one into the networks that are meant.
    pub changed: Option<bool>,
    /// Into one of these countries (MCC).
    pub countries: Option<Vec<String>>,
    /// Into one of these networks: MCC, or MCC and MNC.
    #[serde(rename = "in")]
    pub inside: Option<Vec<String>>,
    /// Into any but these.
    pub not_in: Option<Vec<String>>,
}

/// How long a device is silent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSilence {
    /// In its own poll intervals, 1 to 1000; at least ten minutes.
    pub intervals: i64,
}

/// How much memory is little.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleMemory {
    /// Octets of non-volatile memory.
    pub below_bytes: i64,
}

/// Which end of an operation or a switch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleOutcome {
    /// `switch`, or kinds of operations.
    #[schema(example = json!(["switch"]))]
    pub of: Vec<String>,
    /// States that an operation ends in, or outcomes of a switch.
    #[schema(example = json!(["rolledBack", "noShow"]))]
    pub outcomes: Vec<String>,
}

/// Something that a rule does: exactly one member.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleAction {
    /// Begins a switch, as one that is asked for, without label and notBefore.
    pub switch: Option<NewSwitch>,
    /// Asks for operations, one after the other: 1 to 16, downloads excepted.
    pub operations: Option<Vec<NewOperation>>,
    /// Changes the tags of the device.
    pub tag: Option<RuleTags>,
    /// Sends a webhook the event `eim.ruleFired`, whatever its filter.
    pub webhook: Option<RuleWebhook>,
}

/// How tags are changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleTags {
    /// Tags that the device gets.
    pub add: Option<Vec<String>>,
    /// Tags that it loses.
    pub remove: Option<Vec<String>>,
}

/// Which webhook.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleWebhook {
    /// Its id.
    pub id: String,
}

/// How long a rule is quiet for a device: exactly one member.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleCoolDown {
    /// In seconds, up to a year.
    pub seconds: Option<i64>,
    /// In poll intervals of the device, 1 to 1000.
    pub intervals: Option<i64>,
}
