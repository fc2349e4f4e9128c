//! Switches and owner policies.

use super::Smds;
use serde::Deserialize;
use utoipa::ToSchema;

/// A switch to another profile.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewSwitch {
    /// Where to.
    pub to: SwitchTarget,
    /// Whether the eUICC goes back when the new profile finds no network. Default true.
    pub rollback: Option<bool>,
    /// `never` (default) or `afterProof`: whether the profile before is deleted once the switch is proven.
    pub delete_old: Option<String>,
    /// What proves it, beside its verified result.
    pub proof: Option<SwitchProof>,
    /// After how many poll intervals without a sign of the device it is a no-show. Default 10.
    #[schema(minimum = 1, maximum = 1000)]
    pub no_show_after: Option<i64>,
    /// Least free memory for a download, octets. Default 65536.
    pub memory_bytes: Option<i64>,
    /// Checks of the guard that are waived by name: `fallback`, `memory`.
    pub waive: Option<Vec<String>>,
    /// Checks of the guard that are overridden; needs the role admin.
    #[serde(rename = "override")]
    pub overridden: Option<Vec<String>>,
    /// Does not begin before (RFC 3339).
    #[schema(format = DateTime)]
    pub not_before: Option<String>,
    /// The operator's own name for it.
    pub label: Option<String>,
}

/// The profile to switch to: exactly one of `iccid`, `rawIccid`, `activationCode`, `pool`,
/// `defaultSmdp` and `smds`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SwitchTarget {
    /// An installed profile, 18 to 20 digits.
    pub iccid: Option<String>,
    /// The same, 20 hexadecimal characters.
    pub raw_iccid: Option<String>,
    /// The one installed profile that fits: `{"serviceProvider"?, "name"?}`.
    #[schema(value_type = Option<Object>)]
    pub profile: Option<serde_json::Value>,
    /// A profile that is downloaded first.
    pub activation_code: Option<String>,
    /// A profile behind a code of this pool, by its id or its name.
    pub pool: Option<String>,
    /// `true`: from the default SM-DP+ of the eUICC.
    pub default_smdp: Option<bool>,
    /// From where an SM-DS says.
    pub smds: Option<Smds>,
    /// As in a download.
    pub confirmation_code: Option<String>,
    /// As in a download: `true`, `false` or `"auto"`.
    pub indirect: Option<serde_json::Value>,
}

/// What proves a switch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SwitchProof {
    /// Within how many of its own poll intervals the device must be seen again. Default 3.
    #[schema(minimum = 1, maximum = 1000)]
    pub seen_again_within: Option<i64>,
    /// The networks (MCC and MNC) of which it must report one, where it reports any.
    #[schema(example = json!(["26201"]))]
    pub expected_plmns: Option<Vec<String>>,
}

/// What the owner of profiles allows.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewOwnerPolicy {
    /// serviceProviderName of the profiles.
    pub service_provider: String,
    /// `test`, `provisioning` or `operational`; absent for every class.
    pub profile_class: Option<String>,
    /// Default true.
    pub disable_allowed: Option<bool>,
    /// Default true.
    pub delete_allowed: Option<bool>,
    /// Default false.
    pub delete_when_disabled: Option<bool>,
}

/// A pool of activation codes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewPool {
    /// A name of 1 to 128 octets, one of a kind.
    pub name: String,
    /// Below so many free codes the event `poolLow` says so. Default 0: never.
    pub low_water: Option<i64>,
}

/// Activation codes for a pool.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewCodes {
    /// 1 to 10,000 activation codes.
    pub codes: Vec<String>,
}
