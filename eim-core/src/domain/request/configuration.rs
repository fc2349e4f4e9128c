//! EimConfigurationData in the API's notation: the ASN.1 member names, or one DER object in hexadecimal.

use super::fields::Fields;
use crate::asn1::{
    self, Certificate, EimConfigurationData, EimIdText, EimPublicKeyData, Null, OctetString, SubjectPublicKeyInfo,
    TrustedPublicKeyDataTls,
};
use crate::ids::CounterValue;
use crate::pki;
use serde_json::Value;

/// The highest token that may be set.
const TOKEN_MAX: i64 = i32::MAX as i64;

/// Reads the configuration of an eIM. `eimId` is always needed.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<EimConfigurationData> {
    if fields.member("eimConfigurationData").is_some() {
        return fields.parsed("eimConfigurationData", "hexadecimal DER of a usable EimConfigurationData", |text| {
            asn1::decode::<EimConfigurationData>(&hex::decode(text).ok()?).ok().filter(is_usable)
        });
    }
    let eim_id = fields.parsed("eimId", "an eimId of 1 to 128 octets", |text| EimIdText::new(text).ok());
    if eim_id.is_none() {
        fields.wrong("eimId", "the eimId is expected");
    }
    let eim_public_key_data = fields.object("eimPublicKeyData").and_then(|mut keys| {
        let (key, certificate) = (spki(&mut keys, "eimPublicKey"), certificate(&mut keys, "eimCertificate"));
        let data = one_of(
            &mut keys,
            "eimPublicKey",
            key.map(EimPublicKeyData::EimPublicKey),
            certificate.map(EimPublicKeyData::EimCertificate),
        );
        keys.finish();
        data
    });
    let trusted_public_key_data_tls = fields.object("trustedPublicKeyDataTls").and_then(|mut keys| {
        let (key, certificate) = (spki(&mut keys, "trustedEimPkTls"), certificate(&mut keys, "trustedCertificateTls"));
        let data = one_of(
            &mut keys,
            "trustedEimPkTls",
            key.map(TrustedPublicKeyDataTls::TrustedEimPkTls),
            certificate.map(TrustedPublicKeyDataTls::TrustedCertificateTls),
        );
        keys.finish();
        data
    });
    let eim_supported_protocol = match fields.member("eimSupportedProtocol") {
        None => None,
        Some(names @ Value::Array(_)) => match serde_json::from_value(names.clone()) {
            Ok(protocols) => Some(protocols),
            Err(_) => {
                fields.wrong("eimSupportedProtocol", "a list of protocol names as in the ASN.1 is expected");
                None
            }
        },
        Some(_) => {
            fields.wrong("eimSupportedProtocol", "a list of protocol names as in the ASN.1 is expected");
            None
        }
    };
    Some(EimConfigurationData {
        eim_fqdn: fields.text("eimFqdn"),
        eim_id_type: fields.number("eimIdType", 1..=3),
        counter_value: fields.number("counterValue", 0..=CounterValue::MAX.value()),
        association_token: fields.number("associationToken", -1..=TOKEN_MAX),
        eim_public_key_data,
        trusted_public_key_data_tls,
        eim_supported_protocol,
        euicc_ci_pk_id: fields
            .parsed("euiccCiPKId", "a key identifier in hexadecimal", |text| hex::decode(text).ok())
            .map(OctetString::from_vec),
        indirect_profile_download: fields.flag("indirectProfileDownload").then_some(Null),
        eim_id: eim_id?,
    })
}

/// A key that the eUICC could not use would leave it with an eIM that nobody can be.
fn spki(fields: &mut Fields<'_>, name: &str) -> Option<SubjectPublicKeyInfo> {
    let der = fields.base64(name)?;
    let read = pki::PublicKey::from_spki(&der).ok().and_then(|_| SubjectPublicKeyInfo::from_der(&der).ok());
    if read.is_none() {
        fields.wrong(name, "a SubjectPublicKeyInfo with a P-256 or brainpoolP256r1 key is expected");
    }
    read
}

fn certificate(fields: &mut Fields<'_>, name: &str) -> Option<Certificate> {
    let der = fields.base64(name)?;
    let read = Certificate::from_der(&der).ok();
    if read.is_none() {
        fields.wrong(name, "a certificate is expected");
    }
    read
}

fn one_of<T>(fields: &mut Fields<'_>, name: &str, key: Option<T>, certificate: Option<T>) -> Option<T> {
    match (key, certificate) {
        (Some(data), None) | (None, Some(data)) => Some(data),
        _ => {
            fields.wrong(name, "exactly one of a public key and a certificate is expected");
            None
        }
    }
}

/// What the members are held to, for a configuration that comes as one object.
fn is_usable(data: &EimConfigurationData) -> bool {
    let key = match &data.eim_public_key_data {
        None => true,
        Some(EimPublicKeyData::EimPublicKey(key)) => pki::PublicKey::from_spki(key.der()).is_ok(),
        Some(EimPublicKeyData::EimCertificate(certificate)) => pki::Certificate::parse(certificate.der()).is_ok(),
    };
    key && data.counter_value.is_none_or(|counter| (0..=CounterValue::MAX.value()).contains(&counter))
        && data.association_token.is_none_or(|token| (-1..=TOKEN_MAX).contains(&token))
}
