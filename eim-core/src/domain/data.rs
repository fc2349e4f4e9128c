//! What an IPA reports about itself and its eUICC. Nobody signs it: it is shown as reported and moves no profile state.

use super::codes;
use super::fleet::guard::free_memory;
use super::interpret::plain;
use super::operation::{Kind, OperationResult, OperationState, Purpose};
use super::poll;
use super::work::Work;
use crate::asn1::{self, CodeTable, IpaEuiccData, TransactionId, code};
use crate::ids::OperationId;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// What came of the certificates in a data response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificates {
    /// There were none, or not both.
    Absent,
    /// They chain to a trusted CI and are of this EID.
    Trusted {
        /// The EUM certificate, DER.
        eum: Vec<u8>,
        /// The eUICC certificate, DER.
        euicc: Vec<u8>,
    },
    /// They do not.
    Refused {
        /// Why.
        reason: &'static str,
    },
}

/// The first wait after an emergency call before data are asked for again.
const ECALL_WAIT_MS: i64 = 60_000;

/// Takes over what was reported, and ends the data request that it answers.
pub fn report(work: &mut Work, data: &IpaEuiccData, certificates: Certificates) {
    let capabilities = capabilities(data);
    let free_before = free_memory(&work.state.euicc);
    let reported_at = work.now_text();
    if !capabilities.is_empty() {
        let known = work.euicc().capabilities.get_or_insert_with(|| json!({}));
        if let Value::Object(known) = known {
            known.extend(capabilities);
            known.insert("verified".to_owned(), json!(false));
            known.insert("reportedAt".to_owned(), json!(reported_at));
        }
    }
    let free = free_memory(&work.state.euicc);
    if free.is_some() && free != free_before {
        let details = json!({ "freeBytes": free, "previousFreeBytes": free_before, "verified": false });
        work.event("memoryReported", details);
    }
    if let Some(token) = data.association_token
        && work.state.euicc.association_token.map_or(0, crate::ids::AssociationToken::value) != token
    {
        work.event("associationTokenReported", json!({ "associationToken": token, "verified": false }));
    }
    take_certificates(work, certificates);
    if let Some(id) = answered(work, data.eim_transaction_id.as_ref()) {
        complete(work, id, data);
    }
}

/// Keeps certificates that chain to a trusted CI.
pub fn take_certificates(work: &mut Work, certificates: Certificates) {
    match certificates {
        Certificates::Absent => {}
        Certificates::Refused { reason } => work.event("certificatesRefused", json!({ "reason": reason })),
        Certificates::Trusted { eum, euicc } => {
            let known = work.state.euicc.euicc_certificate.as_ref();
            let changed = known.is_some_and(|known| *known != euicc);
            if known.is_none() || changed || work.state.euicc.eum_certificate.as_ref() != Some(&eum) {
                work.euicc().euicc_certificate = Some(euicc);
                work.euicc().eum_certificate = Some(eum);
                work.event("certificatesTrusted", json!({ "changed": changed }));
            }
        }
    }
}

/// The data request that a response answers: by its transaction, else the oldest delivered one.
fn answered(work: &Work, transaction: Option<&TransactionId>) -> Option<OperationId> {
    let mut open = work
        .state
        .operations
        .iter()
        .filter(|operation| operation.kind == Kind::EuiccData && operation.state == OperationState::Delivered);
    let operation = match transaction {
        Some(named) => {
            open.find(|operation| operation.eim_transaction_id.as_ref().is_some_and(|sent| **named == *sent.octets()))
        }
        None => open.next(),
    };
    operation.map(|operation| operation.id)
}

fn complete(work: &mut Work, id: OperationId, data: &IpaEuiccData) {
    let now = work.now();
    let Some(operation) = work.operation(id) else { return };
    operation.results = vec![OperationResult {
        operation: "euiccData".to_owned(),
        code: None,
        name: "ok".to_owned(),
        message: "Reported by the IPA, unsigned.".to_owned(),
        value: Some(Value::Object(everything(data))),
    }];
    operation.verified = Some(false);
    operation.end(OperationState::Succeeded, now);
    let (purpose, subject) = (operation.purpose, operation.subject);
    work.announce(id);
    let Some(subject) = subject.filter(|_| purpose == Some(Purpose::StoredResults)) else { return };
    let lost =
        work.operation(subject).is_some_and(|subject| subject.state == OperationState::Delivered && subject.replayed);
    // A result that is held until certificates come is not lost.
    if lost && !work.holds_result_of(subject) {
        poll::outcome_unknown(work, subject);
    }
}

/// Ends the data request that the IPA answered with an error.
pub fn error(work: &mut Work, transaction: Option<&TransactionId>, code: i64) {
    let error = codes::error(CodeTable::IpaEuiccDataErrorCode, code);
    let matched = answered(work, transaction);
    work.event("dataError", json!({ "operation": matched, "code": code, "name": error.name }));
    let now = work.now();
    let Some(operation) = matched.and_then(|id| work.operation(id)) else { return };
    let id = operation.id;
    if code == code::ipa_euicc_data_error_code::ECALL_ACTIVE {
        operation.state = OperationState::Queued;
        operation.not_before = Some(now + (ECALL_WAIT_MS << operation.retries.clamp(0, 8)));
        operation.retries += 1;
        operation.attempts = 0;
        operation.package = None;
        return;
    }
    operation.fail(error, now);
    work.announce(id);
}

/// The longest address that is kept: that of a host name.
const ADDRESS_MAX: usize = 255;
/// The largest EUICCInfo that is kept, in octets; real ones have a few hundred.
const INFO_MAX_BYTES: usize = 4_096;

/// Whether a member is of a size that a real one may have.
fn is_small(value: &Value) -> bool {
    value.to_string().len() <= 2 * INFO_MAX_BYTES
}

/// What is kept as the capabilities of the eUICC and its IPA. Nobody signs it, so what is too large for what it should be
/// is left out.
fn capabilities(data: &IpaEuiccData) -> Map<String, Value> {
    let mut members = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    };
    let address = |address: &Option<String>| {
        address.as_ref().filter(|address| address.len() <= ADDRESS_MAX).map(|address| json!(address))
    };
    put("defaultSmdpAddress", address(&data.default_smdp_address));
    put("rootSmdsAddress", address(&data.root_smds_address));
    put("associationToken", data.association_token.map(|token| json!(token)));
    put(
        "euiccInfo1",
        data.euicc_info1
            .as_ref()
            .filter(|info| info.octets().len() <= INFO_MAX_BYTES)
            .map(|info| upper_hex(plain(info))),
    );
    let euicc_info2 = data.euicc_info2.as_ref().filter(|info| info.octets().len() <= INFO_MAX_BYTES);
    let euicc_info1 = data.euicc_info1.as_ref().filter(|info| info.octets().len() <= INFO_MAX_BYTES);
    put("euiccInfo1Der", euicc_info1.map(|info| json!(STANDARD.encode(info.octets()))));
    let device_info = data.device_info.as_ref().and_then(|info| asn1::encode(info).ok());
    let device_info = device_info.filter(|octets| octets.len() <= INFO_MAX_BYTES);
    put("deviceInfoDer", device_info.map(|octets| json!(STANDARD.encode(octets))));
    put("euiccInfo2", euicc_info2.map(|info| upper_hex(plain(info))));
    put("euiccInfo2Der", euicc_info2.map(|info| json!(STANDARD.encode(info.octets()))));
    put("ipaCapabilities", data.ipa_capabilities.as_ref().map(plain).filter(is_small));
    put("deviceInfo", data.device_info.as_ref().map(|info| upper_hex(plain(info))).filter(is_small));
    members
}

fn everything(data: &IpaEuiccData) -> Map<String, Value> {
    let mut members = capabilities(data);
    let certificate = |certificate: &crate::asn1::Certificate| {
        let kept = certificate.der().len() <= crate::pki::MAX_CERTIFICATE_BYTES;
        if kept { json!(STANDARD.encode(certificate.der())) } else { json!("too large") }
    };
    for (name, value) in [
        ("eumCertificate", data.eum_certificate.as_ref().map(certificate)),
        ("euiccCertificate", data.euicc_certificate.as_ref().map(certificate)),
        ("notifications", data.notifications_list.as_ref().map(|list| json!(list.len()))),
        ("euiccPackageResults", data.euicc_package_result_list.as_ref().map(|list| json!(list.len()))),
    ] {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    }
    members
}

/// Members that hold octets, which the API shows in upper case.
const OCTET_MEMBERS: [&str; 14] = [
    "svn",
    "profileVersion",
    "euiccFirmwareVer",
    "extCardResource",
    "ts102241Version",
    "globalplatformVersion",
    "ppVersion",
    "euiccCiPKIdListForVerification",
    "euiccCiPKIdListForSigning",
    "euiccCiPKIdListForSigningV3",
    "additionalEuiccInfo",
    "highestSvn",
    "tac",
    "imei",
];

fn upper_hex(mut value: Value) -> Value {
    fn raise(value: &mut Value) {
        match value {
            Value::String(text) => text.make_ascii_uppercase(),
            Value::Array(list) => list.iter_mut().for_each(raise),
            _ => {}
        }
    }
    fn walk(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    if OCTET_MEMBERS.contains(&name.as_str()) { raise(value) } else { walk(value) }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut value);
    value
}
