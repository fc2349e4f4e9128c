//! Desired states.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What is wanted of all devices that a filter matches.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewDesiredState {
    /// 1 to 128 octets.
    pub name: String,
    /// Which devices: the filter of a campaign.
    pub filter: Value,
    /// 0 to 100, default 50: of several that match a device the highest counts, of several of those the oldest.
    pub priority: Option<i64>,
    /// Whether devices are brought back; default false: drift is only shown.
    pub enforce: Option<bool>,
    /// What is wanted.
    pub state: DesiredProfiles,
    /// How a missing profile is got: `{"pool"}`, `{"activationCode"}`, `{"defaultSmdp": true}` or `{"smds": {"address"?}}`. It is
    /// downloaded and stays disabled, until `enabled` wants it.
    pub obtain: Option<Value>,
    /// How often and how fast.
    pub retry: Option<DesiredStateRetry>,
    /// Checks of the guard that are waived by name: `fallback`, `memory`.
    pub waive: Option<Vec<String>>,
    /// Least free memory for a download, octets; default 65536.
    pub memory_bytes: Option<i64>,
    /// How many devices are brought back at the same time at most, 1 to 100000; default 100.
    pub max_in_flight: Option<i64>,
    /// After so many corrections that ended badly (rolled back, fell back, lost, not proven) nothing more is begun until the state is
    /// changed, 1 to 100000; default 20.
    pub stop_after: Option<i64>,
}

/// What is wanted of one device.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OwnDesiredState {
    /// 1 to 128 octets; the EID when nobody says.
    pub name: Option<String>,
    /// Whether the device is brought back; default false: drift is only shown.
    pub enforce: Option<bool>,
    /// What is wanted.
    pub state: DesiredProfiles,
    /// How a missing profile is got, as above.
    pub obtain: Option<Value>,
    /// How often and how fast.
    pub retry: Option<DesiredStateRetry>,
    /// Checks of the guard that are waived by name: `fallback`, `memory`.
    pub waive: Option<Vec<String>>,
    /// Least free memory for a download, octets; default 65536.
    pub memory_bytes: Option<i64>,
}

/// What is wanted of the profiles of a device; at least one member. A profile is named by `{"iccid"}`, `{"rawIccid"}` or
/// `{"profile": {"serviceProvider"?, "name"?}}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DesiredProfiles {
    /// The profile that is enabled.
    pub enabled: Option<Value>,
    /// The Fallback Profile, or `{"none": true}`.
    pub fallback: Option<Value>,
    /// Which profiles are installed.
    pub installed: Option<DesiredInstalled>,
}

/// Which profiles are installed: `exactly`, or one or both of the others. 1 to 32 profiles each.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DesiredInstalled {
    /// Each of these.
    pub includes: Option<Vec<Value>>,
    /// None of these.
    pub excludes: Option<Vec<Value>>,
    /// These and no other operational profile.
    pub exactly: Option<Vec<Value>>,
}

/// How often a difference is tried before it is given up, and how fast.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DesiredStateRetry {
    /// 1 to 20, default 3.
    pub attempts: Option<i64>,
    /// The wait after the first attempt that failed: 60 to 604800 seconds, default 3600. It doubles.
    pub back_off_seconds: Option<i64>,
}
