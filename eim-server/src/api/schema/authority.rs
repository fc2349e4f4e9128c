//! Tenants, keys, owners of profiles and grants.

use serde::Deserialize;
use utoipa::ToSchema;

/// A tenant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// 1 to 64 lower case letters, digits, `-`, `.` and `_`.
    pub name: String,
}

/// An API key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewApiKey {
    /// For whom or what it is; 1 to 128 octets.
    pub name: String,
    /// `viewer`, `operator`, `approver` or `admin`.
    pub role: String,
    /// `devices`, `operations`, `campaigns`, `events`, `keys`: the groups of routes that it opens. Absent: all that its role
    /// does.
    pub scopes: Option<Vec<String>>,
    /// RFC 3339; absent: never.
    pub expires_at: Option<String>,
}

/// How a key gets another secret.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyRotation {
    /// How long the secret before it stays valid, seconds, up to 30 days. Default a day.
    #[schema(minimum = 0, maximum = 2_592_000)]
    pub overlap_seconds: Option<i64>,
}

/// An owner of profiles. At least one of the lists has a value.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewProfileOwner {
    /// 1 to 128 octets.
    pub name: String,
    /// serviceProviderNames of its profiles.
    pub service_providers: Option<Vec<String>>,
    /// MCC and MNC in 5 or 6 digits.
    pub mcc_mnc: Option<Vec<String>>,
    /// SM-DP+ at which only its profiles wait.
    pub smdp_addresses: Option<Vec<String>>,
}

/// What the owner of profiles lets another tenant do.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewGrant {
    /// The owner, by its id.
    pub owner: String,
    /// The tenant that may, by its name.
    pub grantee: String,
    /// `enable`, `disable`, `delete`, `download`.
    pub actions: Vec<String>,
    /// `test`, `provisioning` or `operational`; absent for every class.
    pub profile_class: Option<String>,
}
