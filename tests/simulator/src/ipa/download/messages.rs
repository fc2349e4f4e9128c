//! The messages of a download in the two bindings of ESipa and in the JSON of ES9+ and ES11 (SGP.32 v1.2 6.3.2, 6.4.1;
//! SGP.22 v2.5 6.5.2), written and read by hand.

use super::outcome::DownloadError;
use crate::ipa::binding::{Binding, json};
use crate::tlv::{Tlv, element};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

type Read<T> = Result<T, DownloadError>;

/// InitiateAuthentication as it is asked for.
#[derive(Clone, Copy)]
pub(super) struct Initiate<'a> {
    pub challenge: &'a [u8],
    pub address: Option<&'a str>,
    pub info1: Option<&'a [u8]>,
    pub eim_transaction_id: Option<&'a [u8]>,
}

/// What it gives.
pub(super) struct Initiated {
    pub transaction_id: Option<Vec<u8>>,
    pub server_signed1: Vec<u8>,
    pub server_signature1: Vec<u8>,
    pub ci_pk_id: Vec<u8>,
    pub server_certificate: Vec<u8>,
    pub matching_id: Option<String>,
    /// `A0`.
    pub ctx_params1: Option<Vec<u8>>,
}

/// What AuthenticateClient gives.
pub(super) enum Authenticated {
    Download(Offer),
    /// An SM-DS through the eIM: the trigger made of an event, if there is one.
    Trigger(Option<Vec<u8>>),
    /// An SM-DS: EventID and server of each event.
    Events(Vec<(String, String)>),
}

/// A profile that can be downloaded.
pub(super) struct Offer {
    pub metadata: Option<Vec<u8>>,
    pub smdp_signed2: Vec<u8>,
    pub smdp_signature2: Vec<u8>,
    pub smdp_certificate: Vec<u8>,
    pub hash_cc: Option<[u8; 32]>,
}

pub(super) fn initiate(binding: Binding, request: &Initiate<'_>) -> Vec<u8> {
    match binding {
        Binding::Asn1 => element(
            0xbf39,
            &[
                &element(0x81, &[request.challenge]),
                &request.address.map(|address| element(0x83, &[address.as_bytes()])).unwrap_or_default(),
                request.info1.unwrap_or_default(),
                &request.eim_transaction_id.map(|id| element(0x82, &[id])).unwrap_or_default(),
            ],
        ),
        Binding::Json => {
            let mut members = Map::new();
            members.insert("euiccChallenge".to_owned(), base64(request.challenge));
            let mut some = |name: &str, value: Option<Value>| value.map(|value| members.insert(name.to_owned(), value));
            some("euiccInfo1", request.info1.map(base64));
            some("smdpAddress", request.address.map(Value::from));
            some("eimTransactionId", request.eim_transaction_id.map(hex));
            json(members)
        }
    }
}

/// AuthenticateClient with `BF38`, GetBoundProfilePackage with `BF21`.
pub(super) fn with_response(binding: Binding, transaction_id: &[u8], response: &[u8]) -> Vec<u8> {
    let authenticate = Tlv::only(response).is_some_and(|tlv| tlv.tag == 0xbf38);
    let (tag, member) = match authenticate {
        true => (0xbf3b, "authenticateServerResponse"),
        false => (0xbf3a, "prepareDownloadResponse"),
    };
    match binding {
        Binding::Asn1 => element(tag, &[&element(0x80, &[transaction_id]), response]),
        Binding::Json => transaction_and(transaction_id, member, response),
    }
}

/// CancelSession with the `BF41` of the eUICC.
pub(super) fn cancel(binding: Binding, transaction_id: &[u8], response: &[u8]) -> Vec<u8> {
    match binding {
        Binding::Asn1 => {
            let content = Tlv::only(response).map_or(response, |tlv| tlv.content);
            element(0xbf41, &[&element(0x80, &[transaction_id]), &element(0xa1, &[content])])
        }
        Binding::Json => transaction_and(transaction_id, "cancelSessionResponse", response),
    }
}

fn transaction_and(transaction_id: &[u8], member: &str, octets: &[u8]) -> Vec<u8> {
    json(Map::from_iter([("transactionId".to_owned(), hex(transaction_id)), (member.to_owned(), base64(octets))]))
}

pub(super) fn read_initiated(binding: Binding, body: &[u8]) -> Read<Initiated> {
    const WHAT: DownloadError = DownloadError::Protocol("an initiateAuthentication response");
    match binding {
        Binding::Asn1 => {
            let ok = asn1_ok(body, 0xbf39, 0x81, WHAT)?;
            initiated_fields(&ok).ok_or(WHAT)
        }
        Binding::Json => {
            let members = executed(body, WHAT)?;
            initiated_members(&members).ok_or(WHAT)
        }
    }
}

fn initiated_fields(ok: &Tlv<'_>) -> Option<Initiated> {
    let mut fields = ok.children()?.into_iter().peekable();
    let transaction_id = fields.next_if(|tlv| tlv.tag == 0x80).map(|tlv| tlv.content.to_vec());
    let mut next = |tag| fields.next_if(|tlv| tlv.tag == tag);
    Some(Initiated {
        transaction_id,
        server_signed1: next(0x30)?.octets.to_vec(),
        server_signature1: next(0x5f37)?.octets.to_vec(),
        ci_pk_id: next(0x04)?.content.to_vec(),
        server_certificate: next(0x30)?.octets.to_vec(),
        matching_id: match next(0x0c) {
            Some(id) => Some(String::from_utf8(id.content.to_vec()).ok()?),
            None => None,
        },
        ctx_params1: next(0xa2).map(|arm| arm.content.to_vec()),
    })
}

fn initiated_members(members: &Map<String, Value>) -> Option<Initiated> {
    let key_id = members.get("euiccCiPKIdentifierToBeUsed").or_else(|| members.get("euiccCiPKIdToBeUsed"))?;
    let key_id = octets(key_id)?;
    let ctx_params1 = optional(members, "ctxParams1")?;
    Some(Initiated {
        transaction_id: transaction_in(members)?,
        server_signed1: octets(members.get("serverSigned1")?)?,
        server_signature1: octets(members.get("serverSignature1")?)?,
        ci_pk_id: Tlv::only(&key_id).filter(|tlv| tlv.tag == 0x04).map_or(key_id.clone(), |tlv| tlv.content.to_vec()),
        server_certificate: octets(members.get("serverCertificate")?)?,
        matching_id: members.get("matchingId").and_then(Value::as_str).map(str::to_owned),
        ctx_params1: ctx_params1.map(|octets| match Tlv::only(&octets) {
            Some(tlv) if tlv.tag == 0xa2 => tlv.content.to_vec(),
            _ => octets,
        }),
    })
}

pub(super) fn read_authenticated(binding: Binding, body: &[u8]) -> Read<Authenticated> {
    const WHAT: DownloadError = DownloadError::Protocol("an authenticateClient response");
    match binding {
        Binding::Asn1 => {
            let ok = asn1_ok(body, 0xbf3b, 0x82, WHAT)?;
            match ok.tag {
                0xa1 => Some(Authenticated::Trigger(ok.child(0xbf54).map(|tlv| tlv.octets.to_vec()))),
                _ => offer_fields(&ok).map(Authenticated::Download),
            }
        }
        Binding::Json => {
            let members = executed(body, WHAT)?;
            if let Some(events) = members.get("eventEntries") {
                read_events(events).map(Authenticated::Events)
            } else if members.contains_key("smdpSigned2") {
                offer_members(&members).map(Authenticated::Download)
            } else {
                optional(&members, "profileDownloadTrigger").map(Authenticated::Trigger)
            }
        }
    }
    .ok_or(WHAT)
}

fn offer_fields(ok: &Tlv<'_>) -> Option<Offer> {
    let mut fields = ok.children()?.into_iter().peekable();
    let mut next = |tag| fields.next_if(|tlv| tlv.tag == tag);
    next(0x80);
    Some(Offer {
        metadata: next(0xbf25).map(|tlv| tlv.octets.to_vec()),
        smdp_signed2: next(0x30)?.octets.to_vec(),
        smdp_signature2: next(0x5f37)?.octets.to_vec(),
        smdp_certificate: next(0x30)?.octets.to_vec(),
        hash_cc: match next(0x04) {
            Some(hash) => Some(hash.content.try_into().ok()?),
            None => None,
        },
    })
}

fn offer_members(members: &Map<String, Value>) -> Option<Offer> {
    Some(Offer {
        metadata: match optional(members, "profileMetadata")? {
            Some(metadata) => Some(metadata),
            None => optional(members, "profileMetaData")?,
        },
        smdp_signed2: octets(members.get("smdpSigned2")?)?,
        smdp_signature2: octets(members.get("smdpSignature2")?)?,
        smdp_certificate: octets(members.get("smdpCertificate")?)?,
        hash_cc: match optional(members, "hashCc")? {
            Some(hash) => Some(hash.try_into().ok()?),
            None => None,
        },
    })
}

fn read_events(events: &Value) -> Option<Vec<(String, String)>> {
    let text = |event: &Value, name: &str| event.get(name).and_then(Value::as_str).map(str::to_owned);
    events.as_array()?.iter().map(|event| text(event, "eventId").zip(text(event, "rspServerAddress"))).collect()
}

/// The `BF36` of a GetBoundProfilePackage response.
pub(super) fn read_package(binding: Binding, body: &[u8]) -> Read<Vec<u8>> {
    const WHAT: DownloadError = DownloadError::Protocol("a getBoundProfilePackage response");
    match binding {
        Binding::Asn1 => asn1_ok(body, 0xbf3a, 0x81, WHAT)?.child(0xbf36).map(|tlv| tlv.octets.to_vec()),
        Binding::Json => executed(body, WHAT)?.get("boundProfilePackage").and_then(octets),
    }
    .ok_or(WHAT)
}

/// Whether a CancelSession was taken.
pub(super) fn read_cancelled(binding: Binding, body: &[u8]) -> Read<()> {
    const WHAT: DownloadError = DownloadError::Protocol("a cancelSession response");
    match binding {
        Binding::Asn1 => asn1_ok(body, 0xbf41, 0x81, WHAT).map(drop),
        Binding::Json => executed(body, WHAT).map(drop),
    }
}

/// The arm of a response that is no error.
fn asn1_ok(body: &[u8], tag: u32, error: u32, what: DownloadError) -> Read<Tlv<'_>> {
    let response = Tlv::only(body).filter(|tlv| tlv.tag == tag);
    let arm = response.and_then(|tlv| Tlv::only(tlv.content)).ok_or(what.clone())?;
    if arm.tag == error { Err(arm.integer().map_or(what, DownloadError::Refused)) } else { Ok(arm) }
}

/// The members of a response whose header says that the function was executed.
fn executed(body: &[u8], what: DownloadError) -> Read<Map<String, Value>> {
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else { return Err(what) };
    let execution = members.get("header").and_then(|header| header.get("functionExecutionStatus"));
    let status = execution.and_then(|execution| execution.get("status")).and_then(Value::as_str);
    match status {
        None => Err(what),
        Some("Executed-Success" | "Executed-WithWarning") => Ok(members),
        Some(_) => {
            let data = execution.and_then(|execution| execution.get("statusCodeData"));
            let text = |name| data.and_then(|data| data.get(name)).and_then(Value::as_str).map(str::to_owned);
            Err(DownloadError::Status {
                subject: text("subjectCode").unwrap_or_default(),
                reason: text("reasonCode").unwrap_or_default(),
                message: text("message"),
            })
        }
    }
}

/// transactionId of a response; the outer `None` when it is there and unreadable.
fn transaction_in(members: &Map<String, Value>) -> Option<Option<Vec<u8>>> {
    match members.get("transactionId") {
        None => Some(None),
        Some(id) => ::hex::decode(id.as_str()?).ok().map(Some),
    }
}

fn optional(members: &Map<String, Value>, name: &str) -> Option<Option<Vec<u8>>> {
    members.get(name).map_or(Some(None), |value| octets(value).map(Some))
}

fn base64(octets: &[u8]) -> Value {
    STANDARD.encode(octets).into()
}

/// Some servers break the lines of base64.
fn octets(value: &Value) -> Option<Vec<u8>> {
    let digits: String = value.as_str()?.split_ascii_whitespace().collect();
    STANDARD.decode(digits).ok()
}

fn hex(octets: &[u8]) -> Value {
    ::hex::encode_upper(octets).into()
}
