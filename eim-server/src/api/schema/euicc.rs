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
    /// What is done when the eUICC tells another token in an unsigned error: `ask` or `adopt`; null: as the server's
    /// configuration says.
    pub token_policy: Option<String>,
}

/// A new association of this eIM. Exactly one of `addInitialEimResponse`, `associationToken` and `adoptReportedToken`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewAssociationOf {
    /// AddInitialEimResponse (BF57) as the eUICC gave it, hexadecimal or base64 of DER.
    #[schema(example = "BF5705A003840107")]
    pub add_initial_eim_response: Option<String>,
    /// The place of this eIM in the request, from 0; needed where that had several configurations.
    pub entry: Option<u32>,
    /// The token that the eUICC holds for this eIM, as somebody tells it; null for none.
    pub association_token: Option<i64>,
    /// The counterValue that the association began with: 0 unless said otherwise. Not with `adoptReportedToken`.
    pub counter_value: Option<i64>,
    /// With `associationToken`: how it became known: `registered` (default), `manufacturing`, `addInitialEim`, `handover`.
    pub learned_by: Option<String>,
    /// With `associationToken`: the eimId of the eIM that hands the eUICC over.
    pub told_by: Option<String>,
    /// With `associationToken`: the id of the key that the eUICC was told for this eIM, one that is loaded; the present one unless said.
    pub signing_key: Option<String>,
    /// With `associationToken`: the eimId by which the eUICC knows this eIM; it must be that of the registration.
    pub eim_id: Option<String>,
    /// `true`: the token that the eUICC told in an unsigned error is taken.
    pub adopt_reported_token: Option<bool>,
}
