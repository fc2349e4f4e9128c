//! Webhooks.

use serde::Deserialize;
use utoipa::ToSchema;

/// What may be set on a webhook. In a change, absent stays and `null` clears.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Where events are sent: https, port 443, a public address, no user name or password. Needed when it is made.
    #[schema(example = "https://hooks.example/eim")]
    pub url: Option<String>,
    /// Which types of events, or beginnings of some with `*` behind; all, when empty.
    #[schema(example = json!(["eim.operation*", "eim.stateChange"]))]
    pub types: Option<Vec<String>>,
    /// About which eUICCs; with it, events about nothing of the kind are left out.
    pub filter: Option<WebhookFilter>,
    /// The operator's own words.
    pub description: Option<String>,
    /// Whether events are sent; true when nobody says.
    pub enabled: Option<bool>,
}

/// About which eUICCs a webhook is told; all that is given must hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookFilter {
    /// This one.
    pub eid: Option<String>,
    /// Those that have all of these tags when the event is sent.
    pub tags: Option<Vec<String>>,
}

/// How a secret is rotated.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRotation {
    /// How long the secret before signs as well, in seconds: 0 to 2592000, a day when nobody says.
    #[schema(example = 86400)]
    pub overlap_seconds: Option<i64>,
}

/// Which events are sent once more. Times as in RFC 3339.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReplay {
    /// From this time on.
    #[schema(example = "2026-01-01T00:00:00Z")]
    pub from: String,
    /// Before this time.
    #[schema(example = "2026-01-02T00:00:00Z")]
    pub to: String,
}
