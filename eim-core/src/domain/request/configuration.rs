//! EimConfigurationData in the API's notation: the ASN.1 member names, or one DER object in hexadecimal.

use super::fields::Fields;
use crate::asn1::{
    self, Certificate, EimConfigurationData, EimIdText, EimPublicKeyData, Null, OctetString, SubjectPublicKeyInfo,
    TrustedPublicKeyDataTls,
};
use crate::ids::{CounterValue, EimId};
use crate::pki;
use serde_json::Value;

/// The highest token that may be set.
const TOKEN_MAX: i64 = i32::MAX as i64;

/// Reads the configuration of an eIM. `eimId` is always needed.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<EimConfigurationData> {
    if fields.member("eimConfigurationData").is_some() {
        let octets = fields.parsed("eimConfigurationData", DER_EXPECTED, |text| hex::decode(text).ok())?;
        let why = match asn1::decode::<EimConfigurationData>(&octets) {
            Ok(data) => match fault(&data) {
                None => return Some(data),
                Some((member, expected)) => format!("{member} in it can't be taken: {expected} is expected"),
            },
            Err(error) => format!("{DER_EXPECTED} is expected: {error}"),
        };
        fields.wrong("eimConfigurationData", &why);
        return None;
    }
    let eim_id = fields.parsed("eimId", "an eimId of 1 to 128 octets, none of them zero", |text| {
        EimIdText::new(text).ok().filter(|_| !text.contains('\0'))
    });
    let eim_id_type = fields.number("eimIdType", 1..=3);
    if let (Some(eim_id), Some(eim_id_type)) = (&eim_id, eim_id_type)
        && let Some(expected) = EimId::expected_of_type(eim_id, eim_id_type)
    {
        fields.wrong("eimId", &format!("{expected} is expected"));
    }
    if fields.member("eimId").is_none() {
        fields.wrong("eimId", "the eimId is expected");
    }
    let eim_public_key_data = fields.object("eimPublicKeyData").and_then(|mut keys| {
        let data = eim_key(&mut keys);
        keys.finish();
        data
    });
    let trusted_public_key_data_tls = fields.object("trustedPublicKeyDataTls").and_then(|mut keys| {
        let (key, certificate) = (spki(&mut keys, "trustedEimPkTls"), certificate(&mut keys, "trustedCertificateTls"));
        let data = one_of(
            &mut keys,
            ["trustedEimPkTls", "trustedCertificateTls"],
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
    let eim_fqdn = fields.parsed("eimFqdn", HOST_EXPECTED, |text| is_host(text).then(|| text.to_owned()));
    Some(EimConfigurationData {
        eim_fqdn,
        eim_id_type,
        counter_value: fields.number("counterValue", 0..=CounterValue::MAX.value()),
        association_token: fields.number("associationToken", -1..=TOKEN_MAX),
        eim_public_key_data,
        trusted_public_key_data_tls,
        eim_supported_protocol,
        euicc_ci_pk_id: fields
            .parsed("euiccCiPKId", "a key identifier of 1 to 64 octets in hexadecimal", |text| {
                hex::decode(text).ok().filter(|id| (1..=KEY_ID_MAX).contains(&id.len()))
            })
            .map(OctetString::from_vec),
        indirect_profile_download: fields.flag("indirectProfileDownload").then_some(Null),
        eim_id: eim_id?,
    })
}

/// Whether it says nothing beside the eimId.
pub(super) fn is_empty(data: &EimConfigurationData) -> bool {
    let nothing = EimConfigurationData {
        eim_id: data.eim_id.clone(),
        eim_fqdn: None,
        eim_id_type: None,
        counter_value: None,
        association_token: None,
        eim_public_key_data: None,
        trusted_public_key_data_tls: None,
        eim_supported_protocol: None,
        euicc_ci_pk_id: None,
        indirect_profile_download: None,
    };
    *data == nothing
}

const DER_EXPECTED: &str = "hexadecimal DER of an EimConfigurationData";
const HOST_EXPECTED: &str = "a host name of 1 to 255 octets";
const KEY_ID_MAX: usize = 64;

fn is_host(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic())
}

/// eimPublicKeyData. The choice has one of the two; who gives both gets the certificate checked against the key.
fn eim_key(keys: &mut Fields<'_>) -> Option<EimPublicKeyData> {
    let both = keys.member("eimPublicKey").is_some() && keys.member("eimCertificate").is_some();
    let key = spki(keys, "eimPublicKey");
    let certificate = certificate(keys, "eimCertificate");
    let parsed = certificate.as_ref().and_then(|certificate| pki::Certificate::parse(certificate.der()).ok());
    if certificate.is_some() && parsed.is_none() {
        keys.wrong("eimCertificate", "a certificate with a P-256 or brainpoolP256r1 key is expected");
        return None;
    }
    if both {
        let (key, parsed) = (pki::PublicKey::from_spki(key?.der()).ok()?, parsed?);
        if *parsed.public_key() != key {
            keys.wrong("eimCertificate", "the certificate is not of the key in eimPublicKey");
            return None;
        }
        return certificate.map(EimPublicKeyData::EimCertificate);
    }
    one_of(
        keys,
        ["eimPublicKey", "eimCertificate"],
        key.map(EimPublicKeyData::EimPublicKey),
        certificate.map(EimPublicKeyData::EimCertificate),
    )
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

/// The one of the two that was given. One that could not be read was told of already.
fn one_of<T>(fields: &mut Fields<'_>, names: [&str; 2], key: Option<T>, certificate: Option<T>) -> Option<T> {
    let given = names.map(|name| fields.member(name).is_some());
    if given[0] == given[1] {
        fields.wrong(names[0], "exactly one of a public key and a certificate is expected");
        return None;
    }
    key.or(certificate)
}

/// What can't be taken in a configuration that comes as one object: the member, and what was expected.
fn fault(data: &EimConfigurationData) -> Option<(&'static str, &'static str)> {
    let key = match &data.eim_public_key_data {
        None => true,
        Some(EimPublicKeyData::EimPublicKey(key)) => pki::PublicKey::from_spki(key.der()).is_ok(),
        Some(EimPublicKeyData::EimCertificate(certificate)) => pki::Certificate::parse(certificate.der()).is_ok(),
    };
    let counter = data.counter_value.is_none_or(|counter| (0..=CounterValue::MAX.value()).contains(&counter));
    let token = data.association_token.is_none_or(|token| (-1..=TOKEN_MAX).contains(&token));
    let id_type = data.eim_id_type.is_none_or(|id_type| (1..=3).contains(&id_type));
    let eim_id_expected = data.eim_id_type.and_then(|id_type| EimId::expected_of_type(&data.eim_id, id_type));
    let ci = data.euicc_ci_pk_id.as_ref().is_none_or(|id| (1..=KEY_ID_MAX).contains(&id.len()));
    [
        (!data.eim_id.contains('\0'), "eimId", "an eimId without a zero octet"),
        (eim_id_expected.is_none(), "eimId", eim_id_expected.unwrap_or_default()),
        (data.eim_fqdn.as_deref().is_none_or(is_host), "eimFqdn", HOST_EXPECTED),
        (id_type, "eimIdType", "1 to 3"),
        (counter, "counterValue", "0 to 8388607"),
        (token, "associationToken", "-1 to 2147483647"),
        (key, "eimPublicKeyData", "a P-256 or brainpoolP256r1 key"),
        (ci, "euiccCiPKId", "1 to 64 octets"),
    ]
    .into_iter()
    .find(|(good, ..)| !good)
    .map(|(_, member, expected)| (member, expected))
}
