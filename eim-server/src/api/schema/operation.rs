//! What a device can be asked to do.

use super::{Eco, Psmo};
use serde::Deserialize;
use utoipa::ToSchema;

/// An operation. Exactly one of `psmo`, `eco`, `euiccData` and `profileDownload` must be present.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"psmo": [{"enable": {"iccid": "8988303000000000017", "rollback": true}}], "label": "switch"}))]
pub struct NewOperation {
    /// Profile state management operations, executed in this order in one signed package.
    #[schema(min_items = 1)]
    pub psmo: Option<Vec<Psmo>>,
    /// eIM configuration operations, executed in this order in one signed package.
    #[schema(min_items = 1)]
    pub eco: Option<Vec<Eco>>,
    /// Data to ask of the eUICC and the IPA, unsigned.
    pub euicc_data: Option<EuiccDataRequest>,
    /// A profile to download. Activation code and confirmation code are sealed in the store and never shown again.
    pub profile_download: Option<ProfileDownload>,
    /// Not delivered before (RFC 3339).
    #[schema(format = DateTime)]
    pub not_before: Option<String>,
    /// Not delivered after (RFC 3339); an operation that was delivered in time ends by its result.
    #[schema(format = DateTime)]
    pub valid_until: Option<String>,
    /// The operator's own name for it.
    pub label: Option<String>,
    /// Checks of the guard that are overridden (`notTheOnlyProfile`, `ownerPolicy`, `policyRules`, `keepsThisEim`); needs the role admin.
    #[serde(rename = "override")]
    pub overridden: Option<Vec<String>>,
}

/// IpaEuiccDataRequest (SGP.32 v1.2 2.11.1.2).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EuiccDataRequest {
    /// The tags of the fields that are wanted, hexadecimal: `BF20` EUICCInfo1, `BF22` EUICCInfo2, `A5` EUM certificate,
    /// `A6` eUICC certificate, and the other tags of IpaEuiccData.
    #[schema(min_items = 1, example = json!(["BF20", "BF22", "A5", "A6"]))]
    pub tags: Vec<String>,
}

/// A profile download (SGP.32 v1.2 3.2.3). Exactly one of `activationCode`, `defaultSmdp` and `smds` must be present.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileDownload {
    /// `1$<SM-DP+ address>$<matchingId>[$<SM-DP+ OID>[$1]]`, with or without `LPA:` before it.
    #[schema(example = "1$smdp.example$MATCHING-ID")]
    pub activation_code: Option<String>,
    /// `true`: from the default SM-DP+ of the eUICC.
    pub default_smdp: Option<bool>,
    /// From where an SM-DS says.
    pub smds: Option<Smds>,
    /// The code that the SM-DP+ may ask for; only for an indirect download. Needed where the activation code says that it asks for
    /// one, unless `indirect` is `false`.
    pub confirmation_code: Option<String>,
    /// Who talks to the servers: `true` the eIM, `false` the IPA, `"auto"` (default) whoever the capabilities of the IPA
    /// suggest.
    #[schema(example = json!("auto"))]
    pub indirect: Option<serde_json::Value>,
}

/// An SM-DS.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Smds {
    /// Its host name; absent for the root SM-DS of the eUICC.
    pub address: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use serde_json::json;

    #[test]
    fn the_bodies_of_the_contract_fit_the_schema() {
        for body in [
            json!({"psmo": [{"enable": {"iccid": "8988", "rollback": true}}, {"disable": {"rawIccid": "98"}}]}),
            json!({"psmo": [{"delete": {"iccid": "8988"}}, {"listProfileInfo": {"class": "operational", "tags": ["5A"]}}]}),
            json!({"psmo": [{"getRAT": {}}, {"unsetFallbackAttribute": {}}, {"setFallbackAttribute": {"iccid": "8"}}]}),
            json!({"psmo": [{"configureImmediateEnable": {"immediateEnableFlag": true, "defaultSmdpOid": "1.2", "defaultSmdpAddress": "a"}}]}),
            json!({"psmo": [{"setDefaultDpAddress": {"defaultDpAddress": "dp.example"}}], "notBefore": "2026-01-01T00:00:00Z"}),
            json!({"eco": [{"addEim": {"eimId": "1.2", "counterValue": 1, "eimPublicKeyData": {"eimPublicKey": "AA=="}}}]}),
            json!({"eco": [{"updateEim": {"eimConfigurationData": "3000"}}, {"deleteEim": {"eimId": "1"}}, {"listEim": {}}]}),
            json!({"profileDownload": {"activationCode": "1$a.example$X", "confirmationCode": "1", "indirect": "auto"}}),
            json!({"profileDownload": {"defaultSmdp": true, "indirect": false}}),
            json!({"profileDownload": {"smds": {"address": "smds.example"}, "indirect": true}}),
            json!({"euiccData": {"tags": ["BF20"]}, "label": "x", "validUntil": "2026-01-01T00:00:00Z"}),
        ] {
            serde_json::from_value::<NewOperation>(body).unwrap();
        }
    }
}
