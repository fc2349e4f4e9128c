//! The two bindings of ESipa, written and read by hand (SGP.32 v1.2 6.1, 6.3, 6.4).

use super::{Answer, IpaError, PollOptions};
use crate::tlv::{Tlv, element, integer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eim_core::ids::Eid;
use serde_json::{Map, Value};

/// How ESipa messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Binding {
    /// DER on one path.
    #[default]
    Asn1,
    /// JSON on one path per function.
    Json,
}

impl Binding {
    /// The media type of requests.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Asn1 => "application/x-gsma-rsp-asn1",
            Self::Json => "application/json;charset=UTF-8",
        }
    }
}

impl std::str::FromStr for Binding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "asn1" => Ok(Self::Asn1),
            "json" => Ok(Self::Json),
            _ => Err("asn1 or json".to_owned()),
        }
    }
}

/// The functions that an IPA calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// getEimPackage.
    GetEimPackage,
    /// provideEimPackageResult.
    ProvideEimPackageResult,
    /// handleNotification.
    HandleNotification,
    /// initiateAuthentication.
    InitiateAuthentication,
    /// authenticateClient.
    AuthenticateClient,
    /// getBoundProfilePackage.
    GetBoundProfilePackage,
    /// cancelSession.
    CancelSession,
}

impl Function {
    /// Its name in ES9+ and ES11, where there is one of that name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::GetEimPackage => "getEimPackage",
            Self::ProvideEimPackageResult => "provideEimPackageResult",
            Self::HandleNotification => "handleNotification",
            Self::InitiateAuthentication => "initiateAuthentication",
            Self::AuthenticateClient => "authenticateClient",
            Self::GetBoundProfilePackage => "getBoundProfilePackage",
            Self::CancelSession => "cancelSession",
        }
    }

    /// The path in a binding.
    #[must_use]
    pub const fn path(self, binding: Binding) -> &'static str {
        match (binding, self) {
            (Binding::Asn1, _) => "/gsma/rsp2/asn1",
            (Binding::Json, Self::GetEimPackage) => "/gsma/rsp2/esipa/getEimPackage",
            (Binding::Json, Self::ProvideEimPackageResult) => "/gsma/rsp2/esipa/provideEimPackageResult",
            (Binding::Json, Self::HandleNotification) => "/gsma/rsp2/esipa/handleNotification",
            (Binding::Json, Self::InitiateAuthentication) => "/gsma/rsp2/esipa/initiateAuthentication",
            (Binding::Json, Self::AuthenticateClient) => "/gsma/rsp2/esipa/authenticateClient",
            (Binding::Json, Self::GetBoundProfilePackage) => "/gsma/rsp2/esipa/getBoundProfilePackage",
            (Binding::Json, Self::CancelSession) => "/gsma/rsp2/esipa/cancelSession",
        }
    }
}

/// What an eIM gives to a poll, with its octets as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Package {
    /// `BF51`: an eUICC Package Request.
    EuiccPackage(Vec<u8>),
    /// `BF52`: an IpaEuiccDataRequest.
    IpaEuiccData(Vec<u8>),
    /// `BF54`: a ProfileDownloadTriggerRequest.
    DownloadTrigger(Vec<u8>),
    /// eimPackageError: noEimPackageAvailable(1), eidNotFound(2), invalidEid(3), missingEid(4), undefinedError(127).
    Error(i64),
}

/// The body of a getEimPackage request.
#[must_use]
pub fn get_eim_package(binding: Binding, eid: &Eid, options: &PollOptions) -> Vec<u8> {
    match binding {
        Binding::Asn1 => {
            let mut fields = element(0x5a, &[eid.octets()]);
            if options.notify_state_change {
                fields.extend(element(0x80, &[]));
            }
            fields.extend(options.cause.map(|cause| integer(0x81, cause)).unwrap_or_default());
            fields.extend(options.r_plmn.map(|plmn| element(0x82, &[plmn.octets()])).unwrap_or_default());
            element(0xbf4f, &[&fields])
        }
        Binding::Json => {
            let mut members = members_with_eid(Some(eid));
            if options.notify_state_change {
                members.insert("notifyStateChange".to_owned(), Value::Bool(true));
            }
            if let Some(cause) = options.cause {
                members.insert("stateChangeCause".to_owned(), cause.into());
            }
            if let Some(plmn) = options.r_plmn {
                members.insert("rPlmn".to_owned(), base64(plmn.octets()));
            }
            json(members)
        }
    }
}

/// The body of a provideEimPackageResult request; `whole` puts a whole BF50 into the JSON member.
pub(crate) fn provide_eim_package_result(binding: Binding, eid: Option<&Eid>, result: &[u8], whole: bool) -> Vec<u8> {
    match binding {
        Binding::Asn1 => bf50(eid, result),
        Binding::Json => {
            let mut members = members_with_eid(eid);
            let result = if whole { bf50(eid, result) } else { result.to_vec() };
            members.insert("eimPackageResult".to_owned(), base64(&result));
            json(members)
        }
    }
}

/// The body of a handleNotification request with a package result in it.
pub(super) fn handle_package_result(binding: Binding, eid: Option<&Eid>, result: &[u8]) -> Vec<u8> {
    let bf50 = bf50(eid, result);
    match binding {
        Binding::Asn1 => element(0xbf3d, &[&bf50]),
        Binding::Json => json(Map::from_iter([("provideEimPackageResult".to_owned(), base64(&bf50))])),
    }
}

/// The body of a handleNotification request with a notification in it.
pub(super) fn handle_notification(binding: Binding, notification: &[u8]) -> Vec<u8> {
    match binding {
        Binding::Asn1 => element(0xbf3d, &[&element(0xa0, &[notification])]),
        Binding::Json => json(Map::from_iter([("pendingNotification".to_owned(), base64(notification))])),
    }
}

/// Reads a getEimPackage response.
///
/// # Errors
/// [`IpaError::Protocol`] when it is none.
pub fn read_package(binding: Binding, body: &[u8]) -> Result<Package, IpaError> {
    match binding {
        Binding::Asn1 => asn1_package(body),
        Binding::Json => json_package(body),
    }
    .ok_or(IpaError::Protocol { what: "a getEimPackage response" })
}

/// Whether a getEimPackage response says noEimPackageAvailable(1); JSON is looked at only as far as needed.
pub(crate) fn is_idle_response(binding: Binding, body: &[u8]) -> bool {
    match binding {
        Binding::Asn1 => body == [0xbf, 0x4f, 0x03, 0x02, 0x01, 0x01],
        Binding::Json => {
            let found =
                |end: &[u8]| body.windows(20).any(|window| window.strip_suffix(end) == Some(b"\"eimPackageError\":1"));
            body.len() < 512 && (found(b"}") || found(b","))
        }
    }
}

fn asn1_package(body: &[u8]) -> Option<Package> {
    let response = Tlv::only(body).filter(|tlv| tlv.tag == 0xbf4f)?;
    let arm = Tlv::only(response.content)?;
    package(arm.octets).or_else(|| arm.integer().filter(|_| arm.tag == 0x02).map(Package::Error))
}

fn package(octets: &[u8]) -> Option<Package> {
    let octets = Tlv::only(octets)?;
    let kind = match octets.tag {
        0xbf51 => Package::EuiccPackage,
        0xbf52 => Package::IpaEuiccData,
        0xbf54 => Package::DownloadTrigger,
        _ => return None,
    };
    Some(kind(octets.octets.to_vec()))
}

fn json_package(body: &[u8]) -> Option<Package> {
    let members = successful(body)?;
    if let Some(code) = members.get("eimPackageError").and_then(Value::as_i64).filter(|code| *code != 0) {
        return Some(Package::Error(code));
    }
    let names = ["euiccPackageRequest", "ipaEuiccDataRequest", "profileDownloadTriggerRequest"];
    names.iter().find_map(|name| package(&octets(members.get(*name)?)?))
}

/// Reads a provideEimPackageResult response.
pub(crate) fn read_answer(binding: Binding, body: &[u8]) -> Result<Answer, IpaError> {
    match binding {
        Binding::Asn1 => asn1_answer(body),
        Binding::Json => json_answer(body),
    }
    .ok_or(IpaError::Protocol { what: "a provideEimPackageResult response" })
}

fn asn1_answer(body: &[u8]) -> Option<Answer> {
    let response = Tlv::only(body).filter(|tlv| tlv.tag == 0xbf50)?;
    let arm = Tlv::only(response.content)?;
    match arm.tag {
        0xbf53 => acknowledged(&arm),
        0x30 => Some(Answer::Empty),
        0x02 => arm.integer().map(Answer::Error),
        _ => None,
    }
}

fn json_answer(body: &[u8]) -> Option<Answer> {
    let members = successful(body)?;
    let error = ["provideEimPackageResultError", "eimPackageError"];
    if let Some(code) = error.iter().find_map(|name| members.get(*name)?.as_i64()).filter(|code| *code != 0) {
        return Some(Answer::Error(code));
    }
    match members.get("eimAcknowledgements") {
        Some(list) => acknowledged(&Tlv::only(&octets(list)?)?),
        None => Some(Answer::Empty),
    }
}

/// `BF53 { 80 seqNumber .. }`.
fn acknowledged(list: &Tlv<'_>) -> Option<Answer> {
    let numbers: Option<Vec<i64>> =
        list.children()?.iter().map(|number| number.integer().filter(|_| number.tag == 0x80)).collect();
    numbers.filter(|_| list.tag == 0xbf53).map(Answer::Acknowledged)
}

/// The members of a response with a header; a status is required, whatever it is.
fn successful(body: &[u8]) -> Option<Map<String, Value>> {
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else { return None };
    let status = members.get("header")?.get("functionExecutionStatus")?.get("status")?.as_str();
    status.is_some().then_some(members)
}

fn members_with_eid(eid: Option<&Eid>) -> Map<String, Value> {
    eid.map(|eid| ("eidValue".to_owned(), eid.to_string().into())).into_iter().collect()
}

fn bf50(eid: Option<&Eid>, result: &[u8]) -> Vec<u8> {
    let eid = eid.map(|eid| element(0x5a, &[eid.octets()])).unwrap_or_default();
    element(0xbf50, &[&eid, result])
}

fn base64(octets: &[u8]) -> Value {
    STANDARD.encode(octets).into()
}

fn octets(value: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(value.as_str()?).ok()
}

pub(super) fn json(members: Map<String, Value>) -> Vec<u8> {
    Value::Object(members).to_string().into_bytes()
}
