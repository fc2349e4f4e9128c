//! Desired states, and how devices stand to them, as the API shows them.

use crate::domain::fleet::desired::Reason;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A desired state.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DesiredStateView {
    /// A UUID.
    pub id: String,
    /// The operator's name for it.
    pub name: String,
    /// The device that it belongs to; absent where it has a filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eid: Option<String>,
    /// For which devices it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub filter: Option<Value>,
    /// Of several that match a device the one with the highest number counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// Whether devices are brought back.
    pub enforce: bool,
    /// What is wanted: `enabled`, `fallback`, `installed`.
    #[schema(value_type = Object)]
    pub state: Value,
    /// How a missing profile is got, without its codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub obtain: Option<Value>,
    /// How often each difference is tried, and how fast.
    #[schema(value_type = Object)]
    pub retry: Value,
    /// Checks of the guard that are waived.
    pub waive: Vec<String>,
    /// Least free memory for a download, octets.
    pub memory_bytes: i64,
    /// How many devices are brought back at the same time at most; absent for one of a device's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<i64>,
    /// After so many corrections that ended badly it stops; absent for one of a device's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<i64>,
    /// Whether it has stopped: nothing more is begun until it is changed.
    pub stopped: bool,
    /// How many devices stand how.
    pub devices: DesiredStateCounts,
    /// Whether devices are still being looked through that may match.
    pub looking_through: bool,
    /// When it was made.
    pub created_at: String,
    /// When it was changed last.
    pub changed_at: String,
}

/// How many of the devices for which a desired state counts stand how. A device that matches several counts for one alone.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DesiredStateCounts {
    /// All of them.
    pub governed: u64,
    /// As it is wanted.
    pub in_line: u64,
    /// Otherwise than it is wanted; the following are among them.
    pub drifting: u64,
    /// Of those: a correction is under way.
    pub correcting: u64,
    /// Of those: the next attempt waits.
    pub waiting: u64,
    /// Of those: the guard refuses the correction.
    pub refused: u64,
    /// Of those: it was tried as often as it may be.
    pub given_up: u64,
    /// It can't be said how they stand.
    pub unknown: u64,
}

/// A desired state by name.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedState {
    /// A UUID.
    pub id: String,
    /// The operator's name for it.
    pub name: String,
    /// Whether it belongs to the device.
    pub own: bool,
    /// Its priority, where it has a filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
}

/// How a device stands to the desired state that counts for it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftView {
    /// The eUICC.
    pub eid: String,
    /// `inLine`, `drifting`, `unknown`, or `none` where no desired state is for it.
    pub drift: String,
    /// Each difference: `member`, `message`, and either `correction` or, why there is none, `notCorrectable`.
    #[schema(value_type = Vec<Object>)]
    pub differences: Vec<Value>,
    /// `none`, `correcting`, `waiting`, `refused` or `givenUp`.
    pub correcting: String,
    /// Why it is unknown, waits or is refused: `name` and `message`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub reason: Option<Reason>,
    /// How often each correction was tried since the device was in line the last time.
    #[schema(value_type = Object)]
    pub attempts: Value,
    /// How often it was brought back since it was in line for a day.
    pub brought_back: i64,
    /// When the next one is tried at the earliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<String>,
    /// The switch that is under way for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch: Option<String>,
    /// The last one that has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_switch: Option<String>,
    /// How that one ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_outcome: Option<String>,
    /// Why that one ended so: `name` and `message`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub last_reason: Option<Reason>,
    /// Since when it drifts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_at: Option<String>,
    /// Since when it is in line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_line_since: Option<String>,
}

/// The desired state of a device.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceDesiredStateView {
    /// The desired state that counts; absent where none is for the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<NamedState>,
    /// All that are for it: its own first, then by priority and age.
    pub applies: Vec<NamedState>,
    /// What is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub state: Option<Value>,
    /// How the device stands now.
    #[serde(flatten)]
    pub standing: DriftView,
}
