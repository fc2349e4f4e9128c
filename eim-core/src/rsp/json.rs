//! JSON members of ES9+' and ES11': written in one form, read with the liberties of deployed servers (SGP.22 v2.5 6.5).

use super::{RspError, ServerStatus};
use crate::asn1::{self, Certificate, Component, Limits, OctetString, TransactionId};
use crate::ports::RspReply;
use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

/// Standard alphabet; padding may be left out. The URL alphabet is refused.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const TRANSACTION_ID: &str = "transactionId";

/// Standard base64 with padding.
pub(super) fn base64(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// Writes a body.
pub(super) fn body<const N: usize>(members: [(&str, String); N]) -> Vec<u8> {
    let members: Map<String, Value> =
        members.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect();
    Value::Object(members).to_string().into_bytes()
}

/// Writes a body of a transactionId and one object.
pub(super) fn session_body(transaction_id: &[u8], member: &str, object: &[u8]) -> Vec<u8> {
    body([(TRANSACTION_ID, hex::encode_upper(transaction_id)), (member, base64(object))])
}

/// The members of an answer that was no refusal.
pub(super) struct Answer {
    members: Map<String, Value>,
    /// Whether its header says that the function was executed.
    pub(super) executed: bool,
}

impl Answer {
    /// Judges status and header. An answer without a header counts if its members are there.
    pub(super) fn of(reply: &RspReply) -> Result<Self, RspError> {
        let body = reply.body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&reply.body);
        let members = match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Some(members),
            _ => None,
        };
        let status = members.as_ref().and_then(execution_status);
        let word = status.and_then(|status| status.get("status")).and_then(Value::as_str).map(str::trim);
        if let (Some("Failed" | "Expired"), Some(status)) = (word, status) {
            return Err(RspError::Refused(ServerStatus::of(status)));
        }
        if !is_success(reply) {
            return Err(RspError::Http { status: reply.status });
        }
        let executed = match word {
            Some("Executed-Success" | "Executed-WithWarning") => true,
            Some(_) => return Err(RspError::Malformed { what: "status" }),
            None => false,
        };
        members.map(|members| Self { members, executed }).ok_or(RspError::Malformed { what: "body" })
    }

    fn member(&self, names: &[&'static str]) -> Option<&Value> {
        names.iter().find_map(|name| self.members.get(*name)).filter(|value| !value.is_null())
    }

    pub(super) fn list(&self, name: &'static str) -> Result<Option<&[Value]>, RspError> {
        match self.member(&[name]) {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(_) => Err(RspError::Malformed { what: name }),
        }
    }

    /// transactionId: hex text, either case.
    pub(super) fn transaction_id(&self) -> Result<Option<TransactionId>, RspError> {
        let wrong = || RspError::Malformed { what: TRANSACTION_ID };
        let Some(value) = self.member(&[TRANSACTION_ID]) else { return Ok(None) };
        let octets = hex::decode(value.as_str().ok_or_else(wrong)?.trim()).map_err(|_| wrong())?;
        TransactionId::new(octets).map(Some).map_err(|_| wrong())
    }

    /// transactionId, which stands inside what the server signed too: there alone, or the same in both places.
    pub(super) fn same_transaction_id(&self, signed: &TransactionId) -> Result<TransactionId, RspError> {
        match self.transaction_id()? {
            Some(stated) if stated != *signed => Err(RspError::Session),
            _ => Ok(signed.clone()),
        }
    }

    /// base64 in a member of the first of these names that is there; white space in it is skipped.
    pub(super) fn octets(&self, names: &[&'static str]) -> Result<Vec<u8>, RspError> {
        let wrong = || RspError::Malformed { what: names.first().copied().unwrap_or("member") };
        let text = self.member(names).and_then(Value::as_str).ok_or_else(wrong)?;
        let dense: Vec<u8> = text.bytes().filter(|octet| !octet.is_ascii_whitespace()).collect();
        LENIENT.decode(dense).map_err(|_| wrong())
    }

    /// base64 of an ASN.1 object. The caller's transport has bounded its size.
    pub(super) fn object<T: Component>(&self, names: &[&'static str]) -> Result<T, RspError> {
        let octets = self.octets(names)?;
        let limits = Limits { max_bytes: octets.len(), ..Limits::default() };
        let what = names.first().copied().unwrap_or("member");
        asn1::decode_within(&octets, &limits).map_err(|_| RspError::Malformed { what })
    }

    /// base64 of a certificate.
    pub(super) fn certificate(&self, name: &'static str) -> Result<Certificate, RspError> {
        Certificate::from_der(&self.octets(&[name])?).map_err(|_| RspError::Malformed { what: name })
    }

    /// base64 of a `5F37` TLV, or of the bare 64 octets.
    pub(super) fn signature(&self, name: &'static str) -> Result<OctetString, RspError> {
        let octets = self.octets(&[name])?;
        let value = match octets.as_slice() {
            bare if bare.len() == 64 => bare,
            [0x5f, 0x37, length, value @ ..] if *length < 0x80 && usize::from(*length) == value.len() => value,
            _ => return Err(RspError::Malformed { what: name }),
        };
        Ok(OctetString::from_vec(value.to_vec()))
    }

    /// base64 of a `04` TLV, or of the bare key identifier.
    pub(super) fn key_id(&self, names: &[&'static str]) -> Result<OctetString, RspError> {
        let octets = self.octets(names)?;
        let value = match octets.as_slice() {
            [0x04, length, value @ ..] if octets.len() != 20 && usize::from(*length) == value.len() => value,
            bare => bare,
        };
        if value.is_empty() {
            return Err(RspError::Malformed { what: names.first().copied().unwrap_or("member") });
        }
        Ok(OctetString::from_vec(value.to_vec()))
    }
}

/// Judges the answer of a function that returns nothing: an empty body of success, or a header that says so.
pub(super) fn nothing(reply: &RspReply) -> Result<(), RspError> {
    if is_success(reply) && reply.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    if Answer::of(reply)?.executed { Ok(()) } else { Err(RspError::Malformed { what: "header" }) }
}

const fn is_success(reply: &RspReply) -> bool {
    matches!(reply.status, 200..=299)
}

fn execution_status(members: &Map<String, Value>) -> Option<&Value> {
    members.get("header")?.get("functionExecutionStatus")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn reply(status: u16, body: &Value) -> RspReply {
        RspReply { status, body: body.to_string().into_bytes() }
    }

    pub(crate) fn executed() -> Value {
        json!({ "functionExecutionStatus": { "status": "Executed-Success" } })
    }

    fn header(status: &str) -> Value {
        json!({ "header": { "functionExecutionStatus": { "status": status } } })
    }

    fn answer(body: &Value) -> Answer {
        Answer::of(&reply(200, body)).unwrap()
    }

    #[test]
    fn takes_success_with_and_without_a_warning_and_an_answer_without_a_header() {
        assert!(answer(&header("Executed-Success")).executed);
        assert!(answer(&header("Executed-WithWarning")).executed);
        assert!(!answer(&json!({ "transactionId": "01" })).executed);
    }

    #[test]
    fn a_refusal_counts_whatever_the_http_status() {
        let body = json!({ "header": { "functionExecutionStatus": {
            "status": "Failed",
            "statusCodeData": { "subjectCode": "8.2.6", "reasonCode": "3.8", "message": "no\n such" }
        } } });
        for status in [200, 400, 500] {
            let Err(RspError::Refused(refused)) = Answer::of(&reply(status, &body)) else { panic!("{status}") };
            assert_eq!((refused.subject.as_str(), refused.reason.as_str()), ("8.2.6", "3.8"));
            assert_eq!(refused.message.as_deref(), Some("no such"));
        }
        let Err(RspError::Refused(expired)) = Answer::of(&reply(200, &header("Expired"))) else { panic!() };
        assert_eq!((expired.subject.as_str(), expired.message), ("", None));
    }

    #[test]
    fn an_http_error_without_a_reason_is_just_that() {
        for body in [json!({}), header("Executed-Success"), header("odd"), json!("text")] {
            assert_eq!(Answer::of(&reply(503, &body)).err(), Some(RspError::Http { status: 503 }));
        }
        let page = RspReply { status: 404, body: b"<html>".to_vec() };
        assert_eq!(Answer::of(&page).err(), Some(RspError::Http { status: 404 }));
    }

    #[test]
    fn refuses_what_is_no_object_or_has_an_unknown_status() {
        let malformed = |what| Some(RspError::Malformed { what });
        for body in [&b"<html>"[..], b"", b"[]", b"\xFF", b"{\"a\":"] {
            assert_eq!(Answer::of(&RspReply { status: 200, body: body.to_vec() }).err(), malformed("body"));
        }
        assert_eq!(Answer::of(&reply(200, &header("Done"))).err(), malformed("status"));
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        assert_eq!(Answer::of(&RspReply { status: 200, body: deep.into_bytes() }).err(), malformed("body"));
    }

    #[test]
    fn a_byte_order_mark_and_line_breaks_in_base64_do_no_harm() {
        let body = [&b"\xEF\xBB\xBF"[..], br#"{"a":"AQ\r\n ID\n"}"#].concat();
        let answer = Answer::of(&RspReply { status: 200, body }).unwrap();
        assert_eq!(answer.octets(&["b", "a"]).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn takes_signatures_and_key_identifiers_with_and_without_their_tag() {
        let value = [0x5f; 64];
        let tagged = [&[0x5f, 0x37, 0x40][..], &value].concat();
        for octets in [&value[..], &tagged] {
            let answer = answer(&json!({ "s": base64(octets) }));
            assert_eq!(answer.signature("s").unwrap().as_slice(), value);
        }
        for octets in [&value[..63], &tagged[..66], &[]] {
            let answer = answer(&json!({ "s": base64(octets) }));
            assert_eq!(answer.signature("s").err(), Some(RspError::Malformed { what: "s" }));
        }
        let bare = [&[0x04, 0x12][..], &[9; 18]].concat();
        let tagged = [&[0x04, 0x14][..], &bare].concat();
        for octets in [&bare, &tagged] {
            assert_eq!(answer(&json!({ "k": base64(octets) })).key_id(&["k"]).unwrap().as_slice(), bare);
        }
        assert!(answer(&json!({ "k": "" })).key_id(&["k"]).is_err());
    }

    #[test]
    fn transaction_ids_are_hex_of_either_case() {
        for text in ["0a0B", " 0A0B "] {
            let id = answer(&json!({ "transactionId": text })).transaction_id().unwrap().unwrap();
            assert_eq!(id.as_slice(), [0x0a, 0x0b]);
        }
        for id in [json!(""), json!("0"), json!("xy"), json!("00".repeat(17)), json!(1)] {
            let wrong = answer(&json!({ "transactionId": id })).transaction_id();
            assert_eq!(wrong, Err(RspError::Malformed { what: "transactionId" }));
        }
        assert_eq!(answer(&json!({ "transactionId": null })).transaction_id(), Ok(None));
    }

    #[test]
    fn nothing_is_an_empty_success_or_a_header_that_says_so() {
        for status in [200, 202, 204] {
            assert_eq!(nothing(&RspReply { status, body: b"\r\n".to_vec() }), Ok(()));
        }
        assert_eq!(nothing(&reply(200, &header("Executed-Success"))), Ok(()));
        assert_eq!(nothing(&reply(200, &header("Executed-WithWarning"))), Ok(()));
        assert_eq!(nothing(&reply(200, &json!({}))), Err(RspError::Malformed { what: "header" }));
        let page = RspReply { status: 200, body: b"<html>".to_vec() };
        assert_eq!(nothing(&page), Err(RspError::Malformed { what: "body" }));
        assert_eq!(nothing(&RspReply { status: 500, body: vec![] }), Err(RspError::Http { status: 500 }));
        assert!(matches!(nothing(&reply(200, &header("Failed"))), Err(RspError::Refused(_))));
    }
}
