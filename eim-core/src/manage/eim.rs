//! This eIM as eUICCs get to know it (SGP.32 v1.2 2.11.1.1.1, 3.5.2).

use super::ManageError;
use super::views::EimView;
use crate::asn1::{
    self, AddInitialEimRequest, Certificate, EimConfigurationData, EimIdText, EimPublicKeyData, OctetString,
    SubjectPublicKeyInfo, TrustedPublicKeyDataTls,
};
use crate::ids::AssociationToken;
use crate::{Eim, EimIdentity};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a factory or an IPA needs to associate this eIM with an eUICC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EimConfiguration {
    /// EimConfigurationData, DER.
    pub eim_configuration_data: Vec<u8>,
    /// AddInitialEimRequest with that one configuration, DER.
    pub add_initial_eim_request: Vec<u8>,
}

/// Whether the eUICC is to give the association a token (SGP.32 v1.2 2.11.1.1.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TokenRequest {
    /// No token.
    #[default]
    None,
    /// The eUICC allocates one: associationToken -1. Packages of an association before can't be replayed then.
    Allocate,
}

impl TokenRequest {
    /// The words for it, and what they mean.
    pub const WORDS: [(&'static str, Self); 2] = [("none", Self::None), ("allocate", Self::Allocate)];
}

/// The configuration for a fresh association: counter 0.
///
/// # Errors
/// When the identity has no encoding, for example a key that is none.
pub fn eim_configuration(
    eim_id: Option<&str>,
    token: TokenRequest,
    eim: &Eim,
) -> Result<EimConfiguration, ManageError> {
    configuration_of(identity_of(eim_id, eim)?, token, eim)
}

/// The identity of this name; without one the first.
fn identity_of<'a>(eim_id: Option<&str>, eim: &'a Eim) -> Result<&'a EimIdentity, ManageError> {
    match eim_id {
        None => Ok(eim.identity()),
        Some(eim_id) => eim
            .identity_named(eim_id)
            .ok_or_else(|| ManageError::NotFound { what: "identity", id: eim_id.chars().take(128).collect() }),
    }
}

fn configuration_of(identity: &EimIdentity, token: TokenRequest, eim: &Eim) -> Result<EimConfiguration, ManageError> {
    let key = current_key(identity, eim)?;
    let mut data = configuration_data(identity, key).ok_or_else(|| {
        ManageError::invalid("/eim", "the identity of this eIM has no encoding; check eim.id and its key")
    })?;
    if token == TokenRequest::Allocate {
        data.association_token = Some(AssociationToken::ALLOCATE.value());
    }
    let unencodable = |_| ManageError::invalid("/eim", "the identity of this eIM has no encoding");
    Ok(EimConfiguration {
        eim_configuration_data: asn1::encode(&data).map_err(unencodable)?,
        add_initial_eim_request: asn1::encode(&AddInitialEimRequest { eim_configuration_data_list: vec![data] })
            .map_err(unencodable)?,
    })
}

/// The same for one eUICC that is registered.
///
/// # Errors
/// `NotFound` when it is not; those of [`eim_configuration`].
pub async fn device_configuration(eid: &str, token: TokenRequest, eim: &Eim) -> Result<EimConfiguration, ManageError> {
    let eid = super::euicc::eid_of(eid)?;
    let found = eim.store().euicc(eid).await?;
    let (euicc, _) = found.ok_or_else(|| ManageError::NotFound { what: "eUICC", id: eid.to_string() })?;
    let identity = eim.identity_named(eim.eim_id_of(&euicc).as_str()).unwrap_or_else(|| eim.identity());
    configuration_of(identity, token, eim)
}

fn current_key<'a>(identity: &EimIdentity, eim: &'a Eim) -> Result<&'a [u8], ManageError> {
    let key = eim.keys().current(&identity.eim_id);
    Ok(key.ok_or_else(|| ManageError::invalid("/eim", "this eIM has no signing key"))?.signer.public_key())
}

fn configuration_data(identity: &EimIdentity, public_key: &[u8]) -> Option<EimConfigurationData> {
    let eim_public_key_data = match &identity.signing_certificate {
        Some(certificate) => EimPublicKeyData::EimCertificate(Certificate::from_der(certificate).ok()?),
        None => EimPublicKeyData::EimPublicKey(SubjectPublicKeyInfo::from_der(public_key).ok()?),
    };
    let trusted_public_key_data_tls = match &identity.tls_trust {
        Some(certificate) => {
            Some(TrustedPublicKeyDataTls::TrustedCertificateTls(Certificate::from_der(certificate).ok()?))
        }
        None => None,
    };
    Some(EimConfigurationData {
        eim_id: EimIdText::new(identity.eim_id.as_str()).ok()?,
        eim_fqdn: Some(identity.eim_fqdn.clone()),
        eim_id_type: Some(identity.eim_id_type.code()),
        counter_value: Some(0),
        association_token: None,
        eim_public_key_data: Some(eim_public_key_data),
        trusted_public_key_data_tls,
        eim_supported_protocol: serde_json::from_value(serde_json::json!(["eimRetrieveHttps"])).ok(),
        euicc_ci_pk_id: identity.euicc_ci_pk_id.clone().map(OctetString::from_vec),
        indirect_profile_download: None,
    })
}

/// Shows this eIM, by one of its names where it has several.
///
/// # Errors
/// Those of [`eim_configuration`]; `NotFound` when it has no such name.
pub fn eim_view(eim_id: Option<&str>, eim: &Eim) -> Result<EimView, ManageError> {
    let identity = identity_of(eim_id, eim)?;
    let configuration = configuration_of(identity, TokenRequest::None, eim)?;
    Ok(EimView {
        eim_id: identity.eim_id.to_string(),
        eim_fqdn: identity.eim_fqdn.clone(),
        eim_id_type: identity.eim_id_type.to_string(),
        public_key: STANDARD.encode(current_key(identity, eim)?),
        certificate: identity.signing_certificate.as_ref().map(|der| STANDARD.encode(der)),
        eim_configuration_data: STANDARD.encode(configuration.eim_configuration_data),
        add_initial_eim_request: STANDARD.encode(configuration.add_initial_eim_request),
        trusted_ci_key_ids: eim.trust().key_ids().map(|key_id| hex::encode_upper(key_id.octets())).collect(),
        lab_enabled: eim.lab().is_some(),
    })
}
