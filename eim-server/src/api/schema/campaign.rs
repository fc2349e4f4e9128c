//! Campaigns.

use super::NewSwitch;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A campaign.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewCampaign {
    /// 1 to 128 octets.
    pub name: String,
    /// Up to 2,000 octets.
    pub description: Option<String>,
    /// 0 to 100, default 50: of two campaigns that wait for a device the higher one goes first, and the lower one loses it
    /// (`superseded`) when that happens.
    pub priority: Option<i64>,
    /// Which devices.
    pub target: CampaignTarget,
    /// What is done to each of them.
    pub plan: CampaignPlan,
    /// In which order; without it all at once.
    pub waves: Option<Vec<CampaignWave>>,
    /// How many devices may begin in any 60 seconds; 6,000 unless said. `{"maxPerMinute": n}` (up to 1,000,000) or `{"exponential": {"basePerMinute", "factor", "everySucceeded", "maxPerMinute"}}`.
    pub rate: Option<Value>,
    /// How many downloads of this campaign may be under way at the same time.
    pub per_smdp_max_concurrent: Option<i64>,
    /// When devices may begin: `{"cron": "0 2 * * *", "durationMinutes": 120, "zone": "Europe/Berlin"}`.
    pub maintenance_windows: Option<Vec<Value>>,
    /// What is tried again: `{"outcomes": ["noShow"], "maxRetries": 2, "backoffSeconds": 3600, "factor": 2}`.
    pub retry: Option<Vec<Value>>,
    /// `required` (default) or `none`: whether a second person has to approve it.
    pub approval: Option<String>,
    /// Starts by itself then, once it is approved.
    #[schema(format = DateTime)]
    pub start_at: Option<String>,
    /// Nothing begins from then on.
    #[schema(format = DateTime)]
    pub end_at: Option<String>,
    /// `STOP` (default): what runs at `endAt` ends by itself; `CANCEL`: what was not delivered is withdrawn.
    pub end_behavior: Option<String>,
}

/// The devices of a campaign.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CampaignTarget {
    /// All members must hold: `eids`, `tags`, `anyTag`, `notTag`, `state`, `capabilities`, `plmns`, `seenWithinSeconds`,
    /// `notSeenForSeconds`, `label`; or `{"all": true}`.
    #[schema(value_type = Object)]
    pub filter: Value,
    /// `SNAPSHOT` (default): the devices that match now; `CONTINUOUS`: also those that match later.
    pub mode: Option<String>,
    /// EIDs that are left out.
    pub exclude: Option<Vec<String>>,
    /// At most so many.
    pub max_devices: Option<i64>,
}

/// What is done to each device: exactly one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CampaignPlan {
    /// A switch without `notBefore` and `label`. Its `to` may also be `{"profile": {"serviceProvider"?, "name"?}}`, the one
    /// installed profile that fits, or `{"pool": "..."}`.
    pub switch: Option<NewSwitch>,
    /// Operations as for one device, one after the other.
    pub operations: Option<Vec<Value>>,
}

/// A wave: exactly one of `percent`, `count`, `filter` and `rest`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CampaignWave {
    /// Its name.
    pub name: Option<String>,
    /// So many percent of all devices.
    pub percent: Option<i64>,
    /// So many devices.
    pub count: Option<i64>,
    /// The devices that match.
    #[schema(value_type = Option<Object>)]
    pub filter: Option<Value>,
    /// `true`: all that are left.
    pub rest: Option<bool>,
    /// Not before.
    #[schema(format = DateTime)]
    pub start_at: Option<String>,
    /// How long it is watched after its last device has ended, before the next wave begins.
    pub soak_seconds: Option<i64>,
    /// Percent of its devices that must have succeeded. Default 95, for the last wave 0.
    pub success_threshold: Option<i64>,
    /// `NEXT` (default) or `PAUSE`.
    pub success_action: Option<String>,
    /// `{"percent" | "count", "minExecuted", "outcomes"}`: acts as soon as it is reached.
    #[schema(value_type = Option<Object>)]
    pub error_threshold: Option<Value>,
    /// `PAUSE` (default), `ABORT` or `ABORT_AND_REVERT`.
    pub error_action: Option<String>,
}

/// Why something is done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CampaignMessage {
    /// Up to 1,000 octets.
    pub message: Option<String>,
}
