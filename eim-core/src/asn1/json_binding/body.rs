//! Members of a JSON body: read with suspicion, written in one form.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rasn::Encode;
use rasn::types::Tag;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{JsonBindingError, MAX_JSON_BYTES};
use crate::asn1::door::{Component, decode, encode};
use crate::asn1::error::EncodeError;
use crate::asn1::primitive::{Null, OctetString, Octets, TransactionId};
use crate::asn1::tlv::{Tlv, assemble};
use crate::asn1::wire::{application, universal};

/// Standard alphabet; padding may be left out. The URL alphabet is refused.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The members of a body. A `null` member counts as absent, unknown members are ignored.
pub(super) struct Members(Map<String, Value>);

impl Members {
    /// Parses a body: one object, a byte order mark before it is skipped, no member twice on any level.
    pub(super) fn parse(body: &[u8]) -> Result<Self, JsonBindingError> {
        if body.len() > MAX_JSON_BYTES {
            return Err(JsonBindingError::TooLarge { bytes: body.len() });
        }
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        match serde_json::from_slice::<Strict>(body) {
            Ok(Strict(Value::Object(members))) => Ok(Self(members)),
            Ok(_) => Err(JsonBindingError::NotAnObject { reason: "another JSON type".to_owned() }),
            Err(error) => Err(JsonBindingError::NotAnObject { reason: error.to_string() }),
        }
    }

    pub(super) fn of(members: &Map<String, Value>) -> Self {
        Self(members.clone())
    }

    pub(super) fn value(&self, member: &str) -> Option<&Value> {
        self.0.get(member).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, member: &'static str) -> Result<Option<&str>, JsonBindingError> {
        match self.value(member) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(JsonBindingError::Member { member, reason: "not a string" }),
        }
    }

    pub(super) fn integer(&self, member: &'static str) -> Result<Option<i64>, JsonBindingError> {
        match self.value(member) {
            None => Ok(None),
            Some(value) => {
                let reason = "not an integer of 64 bits";
                value.as_i64().map(Some).ok_or(JsonBindingError::Member { member, reason })
            }
        }
    }

    /// NULL flags are booleans; false is the same as absent.
    pub(super) fn flag(&self, member: &'static str) -> Result<Option<Null>, JsonBindingError> {
        match self.value(member) {
            None | Some(Value::Bool(false)) => Ok(None),
            Some(Value::Bool(true)) => Ok(Some(Null)),
            Some(_) => Err(JsonBindingError::Member { member, reason: "not a boolean" }),
        }
    }

    /// transactionId and eimTransactionId: hex text, either case.
    pub(super) fn id(&self, member: &'static str) -> Result<Option<TransactionId>, JsonBindingError> {
        let Some(text) = self.text(member)? else { return Ok(None) };
        let wrong = JsonBindingError::Member { member, reason: "not 2 to 32 hex digits" };
        let octets = hex::decode(text).map_err(|_| wrong.clone())?;
        TransactionId::new(octets).map(Some).map_err(|_| wrong)
    }

    /// base64 of anything.
    pub(super) fn octets(&self, member: &'static str) -> Result<Option<Vec<u8>>, JsonBindingError> {
        self.text(member)?.map(|text| from_base64(member, text)).transpose()
    }

    /// base64 of the value of an OCTET STRING; its `04` TLV is accepted too.
    pub(super) fn octet_string<const MIN: usize, const MAX: usize>(
        &self,
        member: &'static str,
    ) -> Result<Option<Octets<MIN, MAX>>, JsonBindingError> {
        let read = |octets: Vec<u8>| {
            Octets::new(octets.as_slice())
                .or_else(|wrong| Octets::new(unwrapped(&octets, Tag::OCTET_STRING).ok_or(wrong)?))
                .map_err(|cause| JsonBindingError::Object { member, cause })
        };
        self.octets(member)?.map(read).transpose()
    }

    /// base64 of a `5F37` TLV (ES9+ practice) or of the bare signature.
    pub(super) fn signature(&self, member: &'static str) -> Result<Option<OctetString>, JsonBindingError> {
        self.tlv_or_bare(member, application(55))
    }

    /// base64 of a `04` TLV (ES9+ practice) or of the bare key identifier.
    pub(super) fn key_id(&self, member: &'static str) -> Result<Option<OctetString>, JsonBindingError> {
        self.tlv_or_bare(member, universal(4))
    }

    fn tlv_or_bare(&self, member: &'static str, tag: Tag) -> Result<Option<OctetString>, JsonBindingError> {
        let octets = self.octets(member)?;
        Ok(octets.map(|octets| OctetString::from_vec(unwrapped(&octets, tag).map_or(octets.clone(), <[u8]>::to_vec))))
    }

    /// base64 of an ASN.1 object.
    pub(super) fn object<T: Component>(&self, member: &'static str) -> Result<Option<T>, JsonBindingError> {
        let read = |octets: Vec<u8>| decode(&octets).map_err(|cause| JsonBindingError::Object { member, cause });
        self.octets(member)?.map(read).transpose()
    }
}

/// Makes an absent member an error.
pub(super) fn mandatory<T>(member: &'static str, value: Option<T>) -> Result<T, JsonBindingError> {
    value.ok_or(JsonBindingError::Missing { member })
}

/// Octets from base64 text; white space in it, such as line breaks, is skipped.
pub(super) fn from_base64(member: &'static str, text: &str) -> Result<Vec<u8>, JsonBindingError> {
    let dense: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    LENIENT.decode(dense).map_err(|_| JsonBindingError::Member { member, reason: "not base64" })
}

/// The contents, if the octets are one primitive TLV of this tag.
fn unwrapped(octets: &[u8], tag: Tag) -> Option<&[u8]> {
    Tlv::only(octets).ok().filter(|tlv| tlv.tag == tag && !tlv.constructed).map(|tlv| tlv.contents)
}

/// A body being written.
pub(super) struct Body(Map<String, Value>);

impl Body {
    pub(super) fn new() -> Self {
        Self(Map::new())
    }

    pub(super) fn put(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.insert(member.to_owned(), value.into());
        self
    }

    pub(super) fn put_some<V: Into<Value>>(self, member: &str, value: Option<V>) -> Self {
        match value {
            Some(value) => self.put(member, value),
            None => self,
        }
    }

    pub(super) fn octets(self, member: &str, octets: &[u8]) -> Self {
        self.put(member, to_base64(octets))
    }

    pub(super) fn object<T: Encode>(self, member: &str, value: &T) -> Result<Self, EncodeError> {
        let der = encode(value)?;
        Ok(self.octets(member, &der))
    }

    pub(super) fn object_some<T: Encode>(self, member: &str, value: Option<&T>) -> Result<Self, EncodeError> {
        match value {
            Some(value) => self.object(member, value),
            None => Ok(self),
        }
    }

    pub(super) fn id(self, member: &str, id: Option<&TransactionId>) -> Self {
        self.put_some(member, id.map(|id| hex::encode_upper(id.as_slice())))
    }

    pub(super) fn signature(self, member: &str, signature: &[u8]) -> Self {
        self.octets(member, &assemble(application(55), false, signature))
    }

    pub(super) fn key_id(self, member: &str, key_id: &[u8]) -> Self {
        self.octets(member, &assemble(universal(4), false, key_id))
    }

    pub(super) fn build(self) -> Value {
        Value::Object(self.0)
    }
}

/// Standard base64 with padding.
pub(super) fn to_base64(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// A JSON value none of whose objects has a member twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((member, Strict(value))) = map.next_entry::<String, Strict>()? {
            if members.insert(member, value).is_some() {
                return Err(de::Error::custom("a member occurs twice"));
            }
        }
        Ok(Value::Object(members))
    }
}
