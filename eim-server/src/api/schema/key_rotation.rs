//! Signing keys and counters.

use serde::Deserialize;
use utoipa::ToSchema;

/// Which devices are to be given which signing key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewKeyRotation {
    /// For which devices, as of a campaign: `{"all": true}` for every one.
    #[schema(value_type = Object, example = json!({ "all": true }))]
    pub filter: serde_json::Value,
    /// The id of a key that is loaded; the one that new associations get when nobody says.
    pub to: Option<String>,
    /// How many devices are begun within a minute at most, 1 to 100000; 600 when nobody says.
    pub rate_per_minute: Option<i64>,
    /// Your name for it, up to 128 octets.
    pub label: Option<String>,
}

/// Where a lost counter is searched for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CounterRecovery {
    /// A counter that was used, as a newer log or backup shows: the search begins above it.
    pub above: Option<i64>,
}
