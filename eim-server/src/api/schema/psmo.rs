//! Profile state management operations (SGP.32 v1.2 2.11.1.1.3, Psmo).

use super::NoParameters;
use serde::Deserialize;
use utoipa::ToSchema;

/// One profile state management operation: an object with one member, which names it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Psmo {
    /// Enables a profile; the enabled one is disabled.
    Enable(EnableProfile),
    /// Disables a profile.
    Disable(Profile),
    /// Deletes a disabled profile.
    Delete(Profile),
    /// Asks for the profiles.
    ListProfileInfo(ListProfileInfo),
    /// Asks for the Rules Authorisation Table.
    #[serde(rename = "getRAT")]
    GetRat(NoParameters),
    /// Lets the IPA enable a profile right after its download, or stops that when every member is absent.
    ConfigureImmediateEnable(ConfigureImmediateEnable),
    /// Makes a profile the Fallback Profile.
    SetFallbackAttribute(Profile),
    /// Leaves no Fallback Profile.
    UnsetFallbackAttribute(NoParameters),
    /// Sets the default SM-DP+ address.
    SetDefaultDpAddress(SetDefaultDpAddress),
}

/// A profile, by `iccid` or by `rawIccid`: one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// As people read it, 18 to 20 digits.
    #[schema(example = "8988303000000000017", pattern = "^[0-9]{18,20}$")]
    pub iccid: Option<String>,
    /// The 10 octets of EF.ICCID, for cards whose ICCID is not digits.
    #[schema(pattern = "^[0-9A-Fa-f]{20}$")]
    pub raw_iccid: Option<String>,
}

/// A profile to enable, by `iccid` or by `rawIccid`: one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnableProfile {
    /// As people read it, 18 to 20 digits.
    #[schema(example = "8988303000000000017", pattern = "^[0-9]{18,20}$")]
    pub iccid: Option<String>,
    /// The 10 octets of EF.ICCID, for cards whose ICCID is not digits.
    #[schema(pattern = "^[0-9A-Fa-f]{20}$")]
    pub raw_iccid: Option<String>,
    /// Whether the device may go back when the new profile gives it no connection.
    pub rollback: Option<bool>,
}

/// Which profiles are asked for, and what about them. Without members: all, with the default fields.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListProfileInfo {
    /// Only this profile: as people read it, 18 to 20 digits.
    #[schema(pattern = "^[0-9]{18,20}$")]
    pub iccid: Option<String>,
    /// Only this profile: the 10 octets of EF.ICCID.
    #[schema(pattern = "^[0-9A-Fa-f]{20}$")]
    pub raw_iccid: Option<String>,
    /// Only profiles of this class.
    pub class: Option<ProfileClass>,
    /// The tags of the fields that are wanted, hexadecimal.
    #[schema(example = json!(["5A", "9F70", "92"]))]
    pub tags: Option<Vec<String>>,
}

/// The class of a profile.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProfileClass {
    /// For tests.
    Test,
    /// For the way to an operational one.
    Provisioning,
    /// For service.
    Operational,
}

/// How a profile may be enabled right after its download.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigureImmediateEnable {
    /// Whether the IPA may.
    pub immediate_enable_flag: Option<bool>,
    /// Only for this SM-DP+: its object identifier.
    pub default_smdp_oid: Option<String>,
    /// Only for this SM-DP+: its address.
    pub default_smdp_address: Option<String>,
}

/// The default SM-DP+ address.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetDefaultDpAddress {
    /// A host name.
    #[schema(example = "smdp.example.com")]
    pub default_dp_address: String,
}
