//! EimConfigurationData: what an eUICC holds about an eIM (SGP.32 v1.2 annex A).

use rasn::types::Tag;
use rasn::{AsnType, Encode, Encoder};
use serde::{Deserialize, Serialize};

use super::bits::named_bits;
use super::certificate::{Certificate, SubjectPublicKeyInfo};
use super::primitive::{EimIdText, Null, SubjectKeyIdentifier, present};
use super::wire::{choice, context, sequence};

named_bits! {
    /// EimSupportedProtocol: BIT STRING (SGP.32 v1.2 annex A).
    EimSupportedProtocol, EimSupportedProtocolNames {
        "eimRetrieveHttps" = 0, "eimRetrieveCoaps" = 1, "eimInjectHttps" = 2, "eimInjectCoaps" = 3,
        "eimProprietary" = 4
    }
}

/// `eimPublicKeyData` of [`EimConfigurationData`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum EimPublicKeyData {
    /// `A0` SubjectPublicKeyInfo: A0 + components of SubjectPublicKeyInfo (30 alg, 03 bits).
    #[rasn(tag(context, 0))]
    EimPublicKey(SubjectPublicKeyInfo),
    /// `A1` Certificate: A1 + the three components of Certificate.
    #[rasn(tag(context, 1))]
    EimCertificate(Certificate),
}

choice!(EimPublicKeyData; {
    EimPublicKey: implicit(context(0)),
    EimCertificate: implicit(context(1)),
});

/// `trustedPublicKeyDataTls` of [`EimConfigurationData`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum TrustedPublicKeyDataTls {
    /// `A0` SubjectPublicKeyInfo: raw public key.
    #[rasn(tag(context, 0))]
    TrustedEimPkTls(SubjectPublicKeyInfo),
    /// `A1` Certificate: eIM TLS certificate or its CA.
    #[rasn(tag(context, 1))]
    TrustedCertificateTls(Certificate),
}

choice!(TrustedPublicKeyDataTls; {
    TrustedEimPkTls: implicit(context(0)),
    TrustedCertificateTls: implicit(context(1)),
});

/// EimConfigurationData, first octets `30` (SGP.32 v1.2 annex A). Universal SEQUENCE when standing alone or in a list;
/// under addEim/updateEim its tag is replaced by A8/AA.
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct EimConfigurationData {
    /// `80` UTF8String (1..128): identifier of the eIM, 1..128 octets of UTF-8.
    #[rasn(tag(context, 0))]
    #[serde(rename = "eimId")]
    pub eim_id: EimIdText,
    /// `81` UTF8String: host the IPA contacts; may be an intermediate server; absent when eimId is the FQDN.
    #[rasn(tag(context, 1))]
    #[serde(rename = "eimFqdn", default, skip_serializing_if = "Option::is_none")]
    pub eim_fqdn: Option<String>,
    /// `82` INTEGER: eimIdTypeOid(1), eimIdTypeFqdn(2), eimIdTypeProprietary(3).
    #[rasn(tag(context, 2))]
    #[serde(rename = "eimIdType", default, skip_serializing_if = "Option::is_none")]
    pub eim_id_type: Option<i64>,
    /// `83` INTEGER: initial counter.
    #[rasn(tag(context, 3))]
    #[serde(rename = "counterValue", default, skip_serializing_if = "Option::is_none")]
    pub counter_value: Option<i64>,
    /// `84` INTEGER: token value; -1 (84 01 FF) in addEim/AddInitialEim asks the eUICC to allocate one.
    #[rasn(tag(context, 4))]
    #[serde(rename = "associationToken", default, skip_serializing_if = "Option::is_none")]
    pub association_token: Option<i64>,
    /// `A5{arm}` CHOICE: key that verifies eimSignature.
    #[rasn(tag(explicit(context, 5)))]
    #[serde(rename = "eimPublicKeyData", default, skip_serializing_if = "Option::is_none")]
    pub eim_public_key_data: Option<EimPublicKeyData>,
    /// `A6{arm}` CHOICE: trust anchor for (D)TLS to the eIM.
    #[rasn(tag(explicit(context, 6)))]
    #[serde(rename = "trustedPublicKeyDataTls", default, skip_serializing_if = "Option::is_none")]
    pub trusted_public_key_data_tls: Option<TrustedPublicKeyDataTls>,
    /// `87` BIT STRING.
    #[rasn(tag(context, 7))]
    #[serde(rename = "eimSupportedProtocol", default, skip_serializing_if = "Option::is_none")]
    pub eim_supported_protocol: Option<EimSupportedProtocol>,
    /// `88` OCTET STRING: CI key id the eUICC must use for results to this eIM.
    #[rasn(tag(context, 8))]
    #[serde(rename = "euiccCiPKId", default, skip_serializing_if = "Option::is_none")]
    pub euicc_ci_pk_id: Option<SubjectKeyIdentifier>,
    /// `89` NULL: 89 00: eIM offers indirect download.
    #[rasn(tag(context, 9))]
    #[serde(
        rename = "indirectProfileDownload",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub indirect_profile_download: Option<Null>,
}

sequence!(EimConfigurationData = Tag::SEQUENCE; {
    eim_id: required(context(0)),
    eim_fqdn: optional(context(1)),
    eim_id_type: optional(context(2)),
    counter_value: optional(context(3)),
    association_token: optional(context(4)),
    eim_public_key_data: optional_explicit(context(5)),
    trusted_public_key_data_tls: optional_explicit(context(6)),
    eim_supported_protocol: optional(context(7)),
    euicc_ci_pk_id: optional(context(8)),
    indirect_profile_download: optional(context(9)),
});
