//! PATCH of an eUICC.

use serde::Deserialize;
use utoipa::ToSchema;

/// What may be changed on an eUICC (JSON merge patch: absent stays, `null` clears).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EuiccPatch {
    /// The operator's own name for it.
    #[schema(example = "meter 4711")]
    pub label: Option<String>,
    /// The operator's tags; the whole list is replaced.
    #[schema(example = json!(["berlin", "meter"]))]
    pub tags: Option<Vec<String>>,
    /// How this eIM is associated with the eUICC.
    pub association: Option<AssociationPatch>,
    /// The EUM certificate, base64 of DER.
    pub eum_certificate: Option<String>,
    /// The eUICC certificate, base64 of DER.
    pub euicc_certificate: Option<String>,
    /// `verified`, or `lab`: results are taken unverified and marked so. `lab` needs the role `admin`.
    #[schema(example = "verified")]
    pub result_policy: Option<String>,
}

/// How this eIM is associated with an eUICC.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssociationPatch {
    /// The counter of the last package that the eUICC took.
    pub counter_value: Option<i64>,
    /// The association token, if the eUICC has one for this eIM.
    pub association_token: Option<i64>,
    /// The id of the signing key of this eIM that the eUICC trusts, as it is known from elsewhere: one that is loaded.
    pub signing_key: Option<String>,
}
