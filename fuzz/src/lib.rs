//! What is tried on foreign octets: a function for each fuzz target, which must return whatever it is given.
//!
//! The bodies stand here alone. `fuzz_targets/` gives them to libFuzzer, and `eim-core/tests/fuzz_corpus.rs` takes this file in
//! and runs what was kept in `fuzz/corpus` with every test run. Beside panics, overflows and endless loops they look for what
//! must hold of every decoder: what is written and read again stays the same; how octets are cut into parts makes no
//! difference; nothing that was made up is believed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target fails by panicking")]

use chrono::{DateTime, Utc};
use eim_core::asn1::json_binding::{
    EsipaFunction, json_request_to_message, json_response_to_message, message_to_json_request, message_to_json_response,
};
use eim_core::asn1::{self, *};
use eim_core::domain::expand::{self, InstallationContext, Signed1Context};
use eim_core::domain::fleet::OwnerPolicy;
use eim_core::domain::fleet::campaign::{CampaignSpec, next_opening};
use eim_core::domain::fleet::desired::DesiredSpec;
use eim_core::domain::fleet::filter::DeviceFilter;
use eim_core::domain::fleet::rule::RuleSpec;
use eim_core::domain::{FieldError, Request, TypePattern, interpret, order};
use eim_core::ids::{
    ActivationCode, AssociationToken, Eid, EimId, EimTransactionId, Iccid, KeyId, OperationId, Plmn, RspAddress,
    TransactionId,
};
use eim_core::manage::audit::{AuditFileCheck, kept_checkpoint};
use eim_core::manage::portable::PortableCheck;
use eim_core::manage::{BulkFormat, ImportOf, ImportReader, NewEuicc};
use eim_core::pki::{self, Certificate, PublicKey, SealingKey, SigningKey, TrustStore, VerifiedChain};
use eim_core::ports::{RspFunction, RspReply};
use eim_core::rsp::{
    RspError, ServerKind, authenticate_client, cancel_session, get_bound_profile_package, handle_notification,
    initiate_authentication,
};
use eim_core::store::stream::StreamPosition;
use rasn::Encode;
use serde_json::Value;
use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::sync::OnceLock;

/// A target: takes any octets, and panics when something is wrong with the library.
pub type Target = fn(&[u8]);

/// Every target by its name, which is that of its file in `fuzz_targets/` and of its folder in `corpus/`.
pub const TARGETS: [(&str, Target); 15] = [
    ("esipa_from_ipa", esipa_from_ipa),
    ("esipa_from_eim", esipa_from_eim),
    ("package_result", package_result),
    ("component", component),
    ("json_request", json_request),
    ("json_response", json_response),
    ("rsp_reply", rsp_reply),
    ("compact", compact),
    ("certificate", certificate),
    ("signed", signed),
    ("identifier", identifier),
    ("import", import),
    ("api_body", api_body),
    ("portable", portable),
    ("key_file", key_file),
];

const EID: &str = "89049032000000000000000000000163";

/// ESipa in ASN.1, from an IPA.
pub fn esipa_from_ipa(data: &[u8]) {
    let Ok(message) = asn1::decode_from_ipa(data) else { return };
    // Of a poll the tag 81 is told by its length, so a cause that is none may come back as a PLMN.
    if !matches!(message, EsipaMessageFromIpaToEim::GetEimPackageRequest(_)) {
        stable::<EsipaMessageFromIpaToEim>(data);
    }
    if let Ok((function, body)) = message_to_json_request(&message) {
        let _ = json_request_to_message(function, body.to_string().as_bytes());
    }
}

/// ESipa in ASN.1, from an eIM: what the simulated IPA and other clients of this library read.
pub fn esipa_from_eim(data: &[u8]) {
    stable::<EsipaMessageFromEimToIpa>(data);
}

/// EimPackageResult as the JSON binding carries it, and what becomes of each result in it.
pub fn package_result(data: &[u8]) {
    let _ = asn1::decode_eim_package_result(data);
    stable::<EuiccPackageResult>(data);
    if let Ok(EuiccPackageResult::EuiccPackageResultSigned(result)) = asn1::decode(data) {
        for entry in &result.euicc_package_result_data_signed.value().euicc_result {
            let result = interpret::result(entry);
            assert!(!result.name.is_empty() && !result.message.is_empty());
        }
    }
}

/// Objects that come alone or inside of others. The first octet says which.
pub fn component(data: &[u8]) {
    const READERS: &[Target] = &[
        stable::<AddInitialEimResponse>,
        stable::<AuthenticateServerResponse>,
        stable::<BoundProfilePackage>,
        stable::<CancelSessionResponse>,
        stable::<EUICCInfo1>,
        stable::<EUICCInfo2>,
        stable::<EimConfigurationData>,
        stable::<EuiccPackageRequest>,
        stable::<GetCertsResponse>,
        stable::<GetEimConfigurationDataResponse>,
        stable::<IpaCapabilities>,
        stable::<IpaEuiccDataResponse>,
        stable::<NotificationMetadata>,
        stable::<PendingNotification>,
        stable::<PrepareDownloadResponse>,
        stable::<ProfileDownloadTriggerRequest>,
        stable::<ProfileDownloadTriggerResult>,
        stable::<ProfileInfo>,
        stable::<ProfileInstallationResultData>,
        stable::<RemoteProfileProvisioningRequest>,
        stable::<RemoteProfileProvisioningResponse>,
        stable::<RetrieveNotificationsListResponse>,
        stable::<ServerSigned1>,
        stable::<SmdpSigned2>,
        stable::<StoreMetadataRequest>,
        stable::<Vec<ProfilePolicyAuthorisationRule>>,
        stable::<AddInitialEimRequest>,
    ];
    let Some((choice, rest)) = data.split_first() else { return };
    READERS[usize::from(*choice) % READERS.len()](rest);
}

/// A body of the JSON binding, from an IPA. The first octet says of which function.
pub fn json_request(data: &[u8]) {
    let Some((function, body)) = function(data) else { return };
    let Ok(message) = json_request_to_message(function, body) else { return };
    // What is no EID is read as none, so the first writing may differ; from then on nothing changes.
    let Ok((function, written)) = message_to_json_request(&message) else { return };
    let Ok(message) = json_request_to_message(function, written.to_string().as_bytes()) else { return };
    let written = message_to_json_request(&message).expect("it was written before");
    let again =
        json_request_to_message(function, written.1.to_string().as_bytes()).expect("what was written can be read");
    assert_eq!(message_to_json_request(&again).expect("it was written before"), written);
}

/// A body of the JSON binding, from an eIM. The first octet says of which function.
pub fn json_response(data: &[u8]) {
    let Some((function, body)) = function(data) else { return };
    let Ok(message) = json_response_to_message(function, body) else { return };
    let Ok(written) = message_to_json_response(&message) else { return };
    let again =
        json_response_to_message(function, written.to_string().as_bytes()).expect("what was written can be read");
    assert_eq!(message_to_json_response(&again).expect("and written"), written);
}

/// An answer of an SM-DP+ or SM-DS in JSON. The first octet says of which function, status and kind of server.
pub fn rsp_reply(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let kind = if choice & 0x80 == 0 { ServerKind::SmDpPlus } else { ServerKind::SmDs };
    let status = [200, 204, 404, 500][usize::from(choice >> 4) % 4];
    let function = RspFunction::ALL[usize::from(choice & 0x0f) % RspFunction::ALL.len()];
    let reply = RspReply { status, body: body.to_vec() };
    let refused: Option<RspError> = match function {
        RspFunction::InitiateAuthentication => initiate_authentication::read(&reply).err(),
        RspFunction::AuthenticateClient => authenticate_client::read(&reply, kind).err(),
        RspFunction::GetBoundProfilePackage => get_bound_profile_package::read(&reply).err(),
        RspFunction::HandleNotification => handle_notification::read(&reply).err(),
        RspFunction::CancelSession => cancel_session::read(&reply).err(),
    };
    if let Some(error) = refused {
        assert!(!error.explain(function, kind).is_empty());
        assert!(!error.name(function, kind).is_empty());
    }
}

/// Compact forms, made whole with what a session holds.
pub fn compact(data: &[u8]) {
    const TRANSACTION: [u8; 16] = [7; 16];
    let sent = expand::sent_ctx_params1(data);
    let smdp_oid: pki::Oid = "2.999.10".parse().expect("an OID");
    let Ok(message) = asn1::decode_from_ipa(data) else { return };
    match message {
        EsipaMessageFromIpaToEim::AuthenticateClientRequestEsipa(request) => {
            let octets = request.authenticate_server_response.octets().to_vec();
            let sent = expand::sent_ctx_params1(&octets).or(sent);
            if let AuthenticateServerResponse::CompactAuthenticateResponseOk(compact) =
                request.authenticate_server_response.value()
            {
                let session = Signed1Context {
                    transaction_id: &TRANSACTION,
                    server_address: "smdp.test.example",
                    server_challenge: &TRANSACTION,
                    euicc_info2: &[0xbf, 0x22, 0x00],
                    ctx_params1: None,
                    sent_ctx_params1: sent,
                };
                let stored = (EUM, EUICC);
                if let SignedData::CompactEuiccSigned1(signed) = &compact.signed_data
                    && let Ok(signed) = expand::euicc_signed1(signed, &session)
                {
                    let _ = expand::authenticate_server_response(compact, &signed, Some(stored));
                }
            }
        }
        EsipaMessageFromIpaToEim::GetBoundProfilePackageRequestEsipa(request) => {
            if let PrepareDownloadResponse::CompactDownloadResponseOk(compact) =
                request.prepare_download_response.value()
                && let Ok(signed) =
                    expand::euicc_signed2(&compact.compact_euicc_signed2, &TRANSACTION, None, Some([1; 32]))
            {
                let _ = expand::prepare_download_response(compact, &signed);
            }
        }
        EsipaMessageFromIpaToEim::CancelSessionRequestEsipa(request) => {
            if let CancelSessionResponse::CompactCancelSessionResponseOk(compact) =
                request.cancel_session_response.value()
            {
                let _ = expand::cancel_session_response(compact, &TRANSACTION, &smdp_oid, Some(1));
            }
        }
        EsipaMessageFromIpaToEim::HandleNotificationEsipa(HandleNotificationEsipa::PendingNotification(
            notification,
        )) => match notification.value() {
            Some(PendingNotification::CompactProfileInstallationResult(compact)) => {
                let session = InstallationContext {
                    notification_address: "smdp.test.example",
                    iccid: Some(&[0x98; 10]),
                    smdp_oid: &smdp_oid,
                };
                let _ = expand::installation_result(compact, &session);
            }
            Some(PendingNotification::CompactOtherSignedNotification(compact)) => {
                let _ = expand::other_notification(compact, EUICC, EUM);
            }
            _ => {}
        },
        _ => {}
    }
}

/// Certificates of eUICC and EUM, one behind the other: read, and judged below roots that have signed none of them but the
/// test PKI's.
pub fn certificate(data: &[u8]) {
    let _ = pki::euicc_certificate_eid(data);
    let _ = PublicKey::from_spki(data);
    if let Ok(certificate) = Certificate::parse(data) {
        let _ = certificate.eid();
        let _ = pki::verify_server_certificate(trust(), data, pki::ServerRole::DpAuth, now());
    }
    let eid: Eid = EID.parse().expect("an EID");
    let at = data.len() / 2;
    for (eum, euicc) in [(data, EUICC), (EUM, data), data.split_at(at)] {
        let _ = pki::check_below_ci(eum, euicc, &eid);
        if let Ok(chain) = pki::verify_euicc_chain(trust(), eum, euicc, now(), &eid) {
            assert!(chain.is_valid_at(now()));
        }
    }
    let _ = TrustStore::from_certificates([data]);
}

/// Signed objects of an eUICC whose chain is known.
pub fn signed(data: &[u8]) {
    let token = data.last().map(|last| AssociationToken::new(i64::from(*last)));
    match asn1::decode(data) {
        Ok(EuiccPackageResult::EuiccPackageResultSigned(result)) => {
            let _ = pki::verify_package_result(chain(), &result, token);
        }
        Ok(EuiccPackageResult::EuiccPackageErrorSigned(error)) => {
            let _ = pki::verify_package_error(chain(), &error, token);
        }
        _ => {}
    }
    match asn1::decode(data) {
        Ok(PendingNotification::ProfileInstallationResult(result)) => {
            let _ = pki::verify_installation_result(chain(), &result);
        }
        Ok(PendingNotification::OtherSignedNotification(notification)) => {
            let _ = pki::verify_notification(trust(), &notification, now(), &EID.parse().expect("an EID"));
        }
        _ => {}
    }
}

/// Identifiers, activation codes and addresses, as text and as octets.
pub fn identifier(data: &[u8]) {
    let _ = Eid::from_octets(data).map(|eid| same(&eid));
    // Any octets of the right length are taken; those that are no digits are shown in another form.
    let _ = Plmn::from_octets(data).map(|plmn| plmn.to_string());
    if let Ok(iccid) = Iccid::from_octets(data) {
        assert_eq!(Iccid::from_raw_hex(&iccid.raw_hex()), Ok(iccid));
        let _ = iccid.digits().map(|_| same(&iccid));
    }
    let _ = TransactionId::from_octets(data).map(|id| same(&id));
    let _ = EimTransactionId::from_octets(data).map(|id| same(&id));
    let _ = pki::Oid::from_octets(data).map(|oid| same(&oid));
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = text.parse::<Eid>().map(|eid| same(&eid));
    let _ = text.parse::<Iccid>().map(|iccid| same(&iccid));
    let _ = Iccid::from_raw_hex(text).map(|iccid| iccid.to_string());
    let _ = text.parse::<Plmn>().map(|plmn| same(&plmn));
    let _ = text.parse::<EimId>().map(|id| same(&id));
    let _ = text.parse::<KeyId>().map(|id| same(&id));
    let _ = text.parse::<OperationId>().map(|id| same(&id));
    let _ = text.parse::<TransactionId>().map(|id| same(&id));
    let _ = text.parse::<EimTransactionId>().map(|id| same(&id));
    let _ = text.parse::<pki::Oid>().map(|oid| same(&oid));
    let _ = text.parse::<StreamPosition>().map(|position| same(&position));
    if let Ok(address) = text.parse::<RspAddress>() {
        assert_eq!(address.to_string().parse::<RspAddress>().expect("an address").to_string(), address.to_string());
    }
    if let Ok(code) = text.parse::<ActivationCode>() {
        let again: ActivationCode = code.reveal().parse().expect("an activation code");
        assert!(again == code);
        assert!(code.matching_id().is_empty() || !format!("{code:?}").contains(&format!("${}", code.matching_id())));
    }
    if let Ok(pattern) = TypePattern::try_from(text.to_owned()) {
        let _ = pattern.matches("operationFailed");
    }
}

/// A file of an import. The first octet says of what and in which notation, the second in parts of which size it arrives; the
/// parts make no difference.
pub fn import(data: &[u8]) {
    let [choice, part, file @ ..] = data else { return };
    let of = [ImportOf::Euiccs, ImportOf::Manufacturing, ImportOf::Operations][usize::from(choice >> 1) % 3];
    let format = if choice & 1 == 0 { BulkFormat::Csv } else { BulkFormat::Ndjson };
    let whole = lines_of(file, file.len().max(1), of, format);
    let parts = lines_of(file, usize::from(*part).max(1), of, format);
    assert_eq!(whole, parts);
}

fn lines_of(file: &[u8], part: usize, of: ImportOf, format: BulkFormat) -> Vec<String> {
    let mut reader = ImportReader::new(of, format);
    let mut parts = file.chunks(part);
    let mut lines = Vec::new();
    let (mut header, mut ended) = (false, false);
    loop {
        match reader.header() {
            Err(error) => {
                lines.push(format!("{error:?}"));
                return lines;
            }
            Ok(read) => header |= read,
        }
        while header && let Some(line) = reader.next_line() {
            lines.push(format!("{line:?}"));
        }
        match parts.next() {
            Some(part) => reader.push(part),
            None if ended => return lines,
            None => {
                reader.end();
                ended = true;
            }
        }
    }
}

/// Bodies of the operator API that the library reads.
pub fn api_body(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    if let Value::Object(members) = &value
        && let Ok(request) = Request::parse(members)
    {
        let _ = (request.operation_names(), request.is_switch());
    }
    let _ = NewEuicc::from_json(value.clone());
    let _ = order::from_api(&value);
    if let Ok(campaign) = CampaignSpec::from_api(&value, "") {
        assert_eq!(CampaignSpec::from_api(&campaign.to_value(), "").as_ref(), Ok(&campaign));
        let now = now().timestamp_millis();
        assert!(next_opening(&campaign.maintenance_windows, now).is_none_or(|opening| opening >= now));
    }
    let _ = DesiredSpec::from_api(&value, None);
    let _ = RuleSpec::from_api(&value, None);
    let _ = OwnerPolicy::from_api(&value);
    let mut errors: Vec<FieldError> = Vec::new();
    let filter = DeviceFilter::from_api(&value, "", &mut errors);
    match filter {
        Some(filter) => {
            let again = DeviceFilter::from_api(&filter.to_value(), "", &mut errors);
            assert_eq!(again, Some(filter));
        }
        None => assert!(!errors.is_empty(), "refused without a reason"),
    }
}

/// Files that others say this or another eIM has signed: a portable export, an audit log, a checkpoint. None is believed, since
/// no key is trusted.
pub fn portable(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut export = PortableCheck::new(vec![]);
    export.push(data);
    let mut log = Some(AuditFileCheck::new(vec![], None));
    for line in text.lines() {
        if log.as_mut().is_some_and(|log| log.line(line).is_err()) {
            log = None;
        }
    }
    assert!(export.finish().is_err(), "an export was believed");
    let _ = log.map(AuditFileCheck::finish);
    let _ = kept_checkpoint(text);
}

/// Files that an operator gives, and what lies sealed in the database.
pub fn key_file(data: &[u8]) {
    static KEY: OnceLock<SealingKey> = OnceLock::new();
    let key = KEY.get_or_init(|| SealingKey::from_octets([1; 32]));
    assert!(key.open(data, b"context").is_err(), "something was opened that nobody sealed");
    if let Ok(key) = SigningKey::from_pkcs8_der(data) {
        let _ = key.sign(b"octets");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = SealingKey::from_text(text);
    if let Ok(key) = SigningKey::from_pem(text) {
        let signature = key.sign(b"octets");
        let public = PublicKey::from_spki(&key.public_key_spki()).expect("a key of its own");
        assert!(public.verify(b"octets", &signature).is_ok());
    }
}

/// What is written of a value and read again is written the same. It can't always be read: of an empty certificate in the
/// tolerated form with two tags the one that is written is refused.
fn stable<T: Component + Encode + Debug>(data: &[u8]) {
    let Ok(value) = asn1::decode::<T>(data) else { return };
    let Ok(written) = asn1::encode(&value) else { return };
    let Ok(again) = asn1::decode::<T>(&written) else { return };
    assert_eq!(asn1::encode(&again).expect("it was written before"), written);
}

/// What is shown of a value is read as the same value.
fn same<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(value: &T) {
    assert_eq!(&value.to_string().parse::<T>().expect("what is shown can be read"), value);
}

fn function(data: &[u8]) -> Option<(EsipaFunction, &[u8])> {
    let (choice, body) = data.split_first()?;
    Some((EsipaFunction::ALL[usize::from(*choice) % EsipaFunction::ALL.len()], body))
}

const CI: &[u8] = include_bytes!("../../tests/vectors/pki/nist/ci.der");
const EUM: &[u8] = include_bytes!("../../tests/vectors/pki/nist/eum.der");
const EUICC: &[u8] = include_bytes!("../../tests/vectors/pki/nist/euicc1.der");

fn trust() -> &'static TrustStore {
    static TRUST: OnceLock<TrustStore> = OnceLock::new();
    TRUST.get_or_init(|| TrustStore::from_certificates([CI]).expect("the CI of the test PKI"))
}

fn chain() -> &'static VerifiedChain {
    static CHAIN: OnceLock<VerifiedChain> = OnceLock::new();
    CHAIN.get_or_init(|| {
        pki::verify_euicc_chain(trust(), EUM, EUICC, now(), &EID.parse().expect("an EID"))
            .expect("the chain of the test PKI")
    })
}

fn now() -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse().expect("a time")
}
