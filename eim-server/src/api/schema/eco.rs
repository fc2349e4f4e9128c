//! eIM configuration operations (SGP.32 v1.2 2.11.1.1.2, Eco).

use super::NoParameters;
use serde::Deserialize;
use utoipa::ToSchema;

/// One eIM configuration operation: an object with one member, which names it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Eco {
    /// Lets another eIM manage the eUICC. `counterValue` and a key are needed.
    AddEim(EimConfiguration),
    /// Changes what the eUICC knows of an eIM; only the members that are given.
    UpdateEim(EimConfiguration),
    /// Takes an eIM away from the eUICC.
    DeleteEim(NamedEim),
    /// Asks which eIMs manage the eUICC.
    ListEim(NoParameters),
}

/// An eIM, by its name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamedEim {
    /// eimId.
    pub eim_id: String,
}

/// The configuration of an eIM: member by member, or whole as the other eIM gave it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum EimConfiguration {
    /// Whole.
    Whole {
        /// EimConfigurationData, hexadecimal of DER.
        #[serde(rename = "eimConfigurationData")]
        eim_configuration_data: String,
    },
    /// Member by member.
    Members(Box<EimConfigurationData>),
}

/// EimConfigurationData (SGP.32 v1.2 2.11.1.1.1), with the names of the specification.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EimConfigurationData {
    /// The name of the eIM, 1 to 128 octets.
    #[schema(example = "2.25.163515617134229325012063345786451936017")]
    pub eim_id: String,
    /// The host that the IPA contacts.
    #[schema(example = "eim.example.com")]
    pub eim_fqdn: Option<String>,
    /// What eimId is: 1 an OID, 2 a host name, 3 proprietary.
    #[schema(minimum = 1, maximum = 3)]
    pub eim_id_type: Option<i64>,
    /// The initial counter.
    #[schema(minimum = 0)]
    pub counter_value: Option<i64>,
    /// The association token; -1 asks the eUICC to make one.
    #[schema(minimum = -1)]
    pub association_token: Option<i64>,
    /// The key that verifies packages of the eIM.
    pub eim_public_key_data: Option<EimPublicKeyData>,
    /// What the IPA trusts for TLS to the eIM.
    pub trusted_public_key_data_tls: Option<TrustedPublicKeyDataTls>,
    /// The protocols of the eIM by name: `eimRetrieveHttps`, `eimRetrieveCoaps`, `eimInjectHttps`, `eimInjectCoaps`,
    /// `eimProprietary`.
    #[schema(example = json!(["eimRetrieveHttps"]))]
    pub eim_supported_protocol: Option<Vec<String>>,
    /// The CI key identifier that the eUICC must use for results to this eIM, hexadecimal.
    #[serde(rename = "euiccCiPKId")]
    pub euicc_ci_pk_id: Option<String>,
    /// Whether the eIM offers indirect profile download.
    pub indirect_profile_download: Option<bool>,
}

/// The key that verifies packages of an eIM.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum EimPublicKeyData {
    /// SubjectPublicKeyInfo, base64 of DER.
    EimPublicKey(String),
    /// Certificate, base64 of DER.
    EimCertificate(String),
}

/// What an IPA trusts for TLS to an eIM.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum TrustedPublicKeyDataTls {
    /// SubjectPublicKeyInfo, base64 of DER.
    TrustedEimPkTls(String),
    /// Certificate, base64 of DER.
    TrustedCertificateTls(String),
}
