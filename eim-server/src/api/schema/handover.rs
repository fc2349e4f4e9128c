//! Hand-overs and signed statements.

use super::EimConfiguration;
use serde::Deserialize;
use utoipa::ToSchema;

/// A hand-over. Either `eids` or `filter`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewHandover {
    /// The other eIM, as in addEim. Its associationToken is not used: the eUICC allocates it.
    pub configuration: EimConfiguration,
    /// The devices.
    pub eids: Option<Vec<String>>,
    /// The devices that a filter matches, as of a campaign: `{"all": true}` for every one. Those without this eIM are left out; one
    /// that matches none is refused.
    #[schema(value_type = Option<Object>, example = json!({ "tags": ["leaving"] }))]
    pub filter: Option<serde_json::Value>,
    /// `never` (default), or `afterProof`: deletes this eIM from a device once the other one has proven that it commands it.
    pub delete_own: Option<String>,
    /// How many devices are begun within a minute at most, 1 to 100000; 600 when nobody says.
    pub rate_per_minute: Option<i64>,
}

/// Proofs of the side that takes over.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandoverProofs {
    /// As `GET /euiccs/{eid}/handover-proof` of the other side gives them; 1 to 1,000.
    pub proofs: Vec<Statement>,
}

/// An operator's word in place of proofs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandoverConfirmation {
    /// The devices that the other eIM commands; 1 to 1,000.
    pub eids: Vec<String>,
}

/// A statement that an eIM has signed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// What was signed: a line that names the purpose, and a JSON object. To be passed on as it is.
    pub statement: String,
    /// The key: SubjectPublicKeyInfo, DER, hexadecimal.
    pub public_key: String,
    /// ECDSA with SHA-256, r || s, hexadecimal.
    pub signature: String,
}
