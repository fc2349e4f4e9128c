//! ES10b functions about profiles: rollback, immediate enable, fallback, emergency, reset (SGP.32 v1.2 5.9).

use rasn::{AsnType, Encode};
use serde::{Deserialize, Serialize};

use super::bits::named_bits;
use super::euicc_package_result::EuiccPackageResult;
use super::primitive::{Null, Oid, present};
use super::wire::{context, sequence, universal};

named_bits! {
    /// ResetOptions: BIT STRING (SGP.32 v1.2 annex A).
    ResetOptions, ResetOptionsNames {
        "deleteOperationalProfiles" = 0, "deleteFieldLoadedTestProfiles" = 1, "resetDefaultSmdpAddress" = 2,
        "deletePreLoadedTestProfiles" = 3, "deleteProvisioningProfiles" = 4, "resetEimConfigData" = 5,
        "resetImmediateEnableConfig" = 6
    }
}

/// ProfileRollbackRequest, first octets `BF58` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 88))]
pub struct ProfileRollbackRequest {
    /// `80` BOOLEAN: TRUE: card issues REFRESH.
    #[rasn(tag(context, 0))]
    #[serde(rename = "refreshFlag")]
    pub refresh_flag: bool,
}

sequence!(ProfileRollbackRequest = context(88); {
    refresh_flag: required(context(0)),
});

/// ProfileRollbackResponse, first octets `BF58` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 88))]
pub struct ProfileRollbackResponse {
    /// `02` INTEGER: ok(0), rollbackNotAllowed(1), catBusy(5), commandError(7), undefinedError(127).
    #[rasn(tag(universal, 2))]
    #[serde(rename = "cmdResult")]
    pub cmd_result: i64,
    /// `BF51{arm}` EuiccPackageResult.
    #[rasn(tag(context, 81))]
    #[serde(rename = "eUICCPackageResult", default, skip_serializing_if = "Option::is_none")]
    pub euicc_package_result: Option<EuiccPackageResult>,
}

sequence!(ProfileRollbackResponse = context(88); {
    cmd_result: required(universal(2)),
    euicc_package_result: optional(context(81)),
});

/// ImmediateEnableRequest, first octets `BF5A` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 90))]
pub struct ImmediateEnableRequest {
    /// `80` BOOLEAN: TRUE: card issues REFRESH.
    #[rasn(tag(context, 0))]
    #[serde(rename = "refreshFlag")]
    pub refresh_flag: bool,
}

sequence!(ImmediateEnableRequest = context(90); {
    refresh_flag: required(context(0)),
});

/// ImmediateEnableResponse, first octets `BF5A` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 90))]
pub struct ImmediateEnableResponse {
    /// `80` INTEGER: ok(0), immediateEnableNotAvailable(1), noSessionContext(4), catBusy(5), undefinedError(127).
    #[rasn(tag(context, 0))]
    #[serde(rename = "immediateEnableResult")]
    pub immediate_enable_result: i64,
}

sequence!(ImmediateEnableResponse = context(90); {
    immediate_enable_result: required(context(0)),
});

/// ConfigureImmediateProfileEnablingRequest, first octets `BF59` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 89))]
pub struct ConfigureImmediateProfileEnablingRequest {
    /// `80` NULL.
    #[rasn(tag(context, 0))]
    #[serde(
        rename = "immediateEnableFlag",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub immediate_enable_flag: Option<Null>,
    /// `81` OBJECT IDENTIFIER.
    #[rasn(tag(context, 1))]
    #[serde(rename = "defaultSmdpOid", default, skip_serializing_if = "Option::is_none")]
    pub default_smdp_oid: Option<Oid>,
    /// `82` UTF8String.
    #[rasn(tag(context, 2))]
    #[serde(rename = "defaultSmdpAddress", default, skip_serializing_if = "Option::is_none")]
    pub default_smdp_address: Option<String>,
}

sequence!(ConfigureImmediateProfileEnablingRequest = context(89); {
    immediate_enable_flag: optional(context(0)),
    default_smdp_oid: optional(context(1)),
    default_smdp_address: optional(context(2)),
});

/// ConfigureImmediateProfileEnablingResponse, first octets `BF59` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 89))]
pub struct ConfigureImmediateProfileEnablingResponse {
    /// `80` INTEGER: ok(0), insufficientMemory(1), associatedEimAlreadyExists(2), undefinedError(127).
    #[rasn(tag(context, 0))]
    #[serde(rename = "configImmediateEnableResult")]
    pub config_immediate_enable_result: i64,
}

sequence!(ConfigureImmediateProfileEnablingResponse = context(89); {
    config_immediate_enable_result: required(context(0)),
});

/// EuiccMemoryResetRequest, first octets `BF64` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 100))]
pub struct EuiccMemoryResetRequest {
    /// `82` BIT STRING.
    #[rasn(tag(context, 2))]
    #[serde(rename = "resetOptions")]
    pub reset_options: ResetOptions,
}

sequence!(EuiccMemoryResetRequest = context(100); {
    reset_options: required(context(2)),
});

/// EuiccMemoryResetResponse, first octets `BF64` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 100))]
pub struct EuiccMemoryResetResponse {
    /// `80` INTEGER: ok(0), nothingToDelete(1), catBusy(5), ecallActive(104), undefinedError(127).
    #[rasn(tag(context, 0))]
    #[serde(rename = "resetResult")]
    pub reset_result: i64,
    /// `81` INTEGER: ok(0), nothingToDelete(1), eimResetNotSupported(2), undefinedError(127).
    #[rasn(tag(context, 1))]
    #[serde(rename = "resetEimResult", default, skip_serializing_if = "Option::is_none")]
    pub reset_eim_result: Option<i64>,
    /// `82` INTEGER: ok(0), resetIECNotSupported(1), undefinedError(127).
    #[rasn(tag(context, 2))]
    #[serde(rename = "resetImmediateEnableConfigResult", default, skip_serializing_if = "Option::is_none")]
    pub reset_immediate_enable_config_result: Option<i64>,
}

sequence!(EuiccMemoryResetResponse = context(100); {
    reset_result: required(context(0)),
    reset_eim_result: optional(context(1)),
    reset_immediate_enable_config_result: optional(context(2)),
});

/// ExecuteFallbackMechanismRequest, first octets `BF5D` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 93))]
pub struct ExecuteFallbackMechanismRequest {
    /// `80` BOOLEAN: TRUE: card issues REFRESH.
    #[rasn(tag(context, 0))]
    #[serde(rename = "refreshFlag")]
    pub refresh_flag: bool,
}

sequence!(ExecuteFallbackMechanismRequest = context(93); {
    refresh_flag: required(context(0)),
});

/// ExecuteFallbackMechanismResponse, first octets `BF5D` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 93))]
pub struct ExecuteFallbackMechanismResponse {
    /// `80` INTEGER: ok(0), profileNotInDisabledState(2), catBusy(5), fallbackNotAvailable(6), commandError(7),
    /// ecallActive(104), undefinedError(127).
    #[rasn(tag(context, 0))]
    #[serde(rename = "executeFallbackMechanismResult")]
    pub execute_fallback_mechanism_result: i64,
}

sequence!(ExecuteFallbackMechanismResponse = context(93); {
    execute_fallback_mechanism_result: required(context(0)),
});

/// ReturnFromFallbackRequest, first octets `BF5E` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 94))]
pub struct ReturnFromFallbackRequest {
    /// `80` BOOLEAN: TRUE: card issues REFRESH.
    #[rasn(tag(context, 0))]
    #[serde(rename = "refreshFlag")]
    pub refresh_flag: bool,
}

sequence!(ReturnFromFallbackRequest = context(94); {
    refresh_flag: required(context(0)),
});

/// ReturnFromFallbackResponse, first octets `BF5E` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 94))]
pub struct ReturnFromFallbackResponse {
    /// `80` INTEGER: ok(0), catBusy(5), fallbackNotAvailable(6), commandError(7), undefinedError(127).
    #[rasn(tag(context, 0))]
    #[serde(rename = "returnFromFallbackResult")]
    pub return_from_fallback_result: i64,
}

sequence!(ReturnFromFallbackResponse = context(94); {
    return_from_fallback_result: required(context(0)),
});

/// EnableEmergencyProfileRequest, first octets `BF5B` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 91))]
pub struct EnableEmergencyProfileRequest {
    /// `80` BOOLEAN: TRUE: card issues REFRESH.
    #[rasn(tag(context, 0))]
    #[serde(rename = "refreshFlag")]
    pub refresh_flag: bool,
}

sequence!(EnableEmergencyProfileRequest = context(91); {
    refresh_flag: required(context(0)),
});

/// EnableEmergencyProfileResponse, first octets `BF5B` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 91))]
pub struct EnableEmergencyProfileResponse {
    /// `80` INTEGER: ok(0), profileNotInDisabledState(2), catBusy(5), ecallNotAvailable(8), undefinedError(127).
    #[rasn(tag(context, 0))]
    #[serde(rename = "enableEmergencyProfileResult")]
    pub enable_emergency_profile_result: i64,
}

sequence!(EnableEmergencyProfileResponse = context(91); {
    enable_emergency_profile_result: required(context(0)),
});

/// DisableEmergencyProfileRequest, first octets `BF5C` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 92))]
pub struct DisableEmergencyProfileRequest {
    /// `80` BOOLEAN: TRUE: card issues REFRESH.
    #[rasn(tag(context, 0))]
    #[serde(rename = "refreshFlag")]
    pub refresh_flag: bool,
}

sequence!(DisableEmergencyProfileRequest = context(92); {
    refresh_flag: required(context(0)),
});

/// DisableEmergencyProfileResponse, first octets `BF5C` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 92))]
pub struct DisableEmergencyProfileResponse {
    /// `80` INTEGER: ok(0), profileNotInEnabledState(2), catBusy(5), undefinedError(127).
    #[rasn(tag(context, 0))]
    #[serde(rename = "disableEmergencyProfileResult")]
    pub disable_emergency_profile_result: i64,
}

sequence!(DisableEmergencyProfileResponse = context(92); {
    disable_emergency_profile_result: required(context(0)),
});
