//! Reading the members of a JSON object one by one, noting each mistake with its place and every member left over.

use super::FieldError;
use crate::asn1;
use crate::ids::Iccid;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// The longest text that a member may hold.
const TEXT_MAX: usize = 255;

/// An object being read.
pub(in crate::domain) struct Fields<'a> {
    object: &'a Map<String, Value>,
    pointer: String,
    errors: &'a mut Vec<FieldError>,
    seen: HashSet<String>,
}

impl<'a> Fields<'a> {
    /// Starts to read; a value that is no object is a mistake.
    pub(in crate::domain) fn of(value: &'a Value, pointer: String, errors: &'a mut Vec<FieldError>) -> Option<Self> {
        match value {
            Value::Object(object) => Some(Self { object, pointer, errors, seen: HashSet::new() }),
            _ => {
                errors.push(FieldError::new(pointer, "an object is expected"));
                None
            }
        }
    }

    /// A member, unless absent or null.
    pub(in crate::domain) fn member(&mut self, name: &str) -> Option<&'a Value> {
        self.seen.insert(name.to_owned());
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// Notes a mistake in a member.
    pub(in crate::domain) fn wrong(&mut self, name: &str, message: &str) {
        self.errors.push(FieldError::new(format!("{}/{name}", self.pointer), message));
    }

    /// Notes a mistake of the object as a whole.
    pub(in crate::domain) fn wrong_as_a_whole(&mut self, message: &str) {
        self.errors.push(FieldError::new(self.pointer.clone(), message));
    }

    /// Whether a mistake in the object was noted.
    pub(in crate::domain) fn has_mistakes(&self) -> bool {
        self.errors.iter().any(|error| error.pointer.starts_with(&self.pointer))
    }

    /// Notes that the object's own name is no operation.
    pub(in crate::domain) fn unknown_operation(&mut self, known: &str) {
        self.errors.push(FieldError::new(self.pointer.clone(), format!("one of {known} is expected")));
        self.seen.extend(self.object.keys().cloned());
    }

    /// Notes members that nobody asked for.
    pub(in crate::domain) fn finish(self) {
        for name in self.object.keys().filter(|name| !self.seen.contains(*name)) {
            let pointer = format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1"));
            self.errors.push(FieldError::new(pointer, "this member is not known here"));
        }
    }

    /// A nested object.
    pub(in crate::domain) fn object(&mut self, name: &str) -> Option<Fields<'_>> {
        let value = self.member(name)?;
        Fields::of(value, format!("{}/{name}", self.pointer), self.errors)
    }

    /// A text of a bounded length.
    pub(in crate::domain) fn text(&mut self, name: &str) -> Option<String> {
        match self.member(name)? {
            Value::String(text) if (1..=TEXT_MAX).contains(&text.len()) && !text.contains('\0') => Some(text.clone()),
            _ => {
                self.wrong(name, "a text of 1 to 255 octets, none of them zero, is expected");
                None
            }
        }
    }

    /// A text that must be readable as something.
    pub(in crate::domain) fn parsed<T>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.member(name)?;
        let parsed = value.as_str().and_then(parse);
        if parsed.is_none() {
            self.wrong(name, &format!("{expected} is expected"));
        }
        parsed
    }

    /// A boolean; absent is false.
    pub(in crate::domain) fn flag(&mut self, name: &str) -> bool {
        match self.member(name) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.wrong(name, "true or false is expected");
                false
            }
        }
    }

    /// A boolean with a value where it is absent.
    pub(in crate::domain) fn flag_or(&mut self, name: &str, absent: bool) -> bool {
        if self.member(name).is_none() { absent } else { self.flag(name) }
    }

    /// Notes that a member is wanted.
    pub(in crate::domain) fn missing(&mut self, name: &str) {
        if self.object.get(name).is_none_or(Value::is_null) {
            self.wrong(name, "this member is needed");
        }
    }

    /// One of some words, each with what it stands for.
    pub(in crate::domain) fn one_of<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let value = self.member(name)?;
        let found = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(name, &format!("one of {} is expected", known.join(", ")));
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// A list of different texts that must be readable as something; at most so many.
    pub(in crate::domain) fn texts(
        &mut self,
        name: &str,
        expected: &str,
        at_most: usize,
        is_good: impl Fn(&str) -> bool,
    ) -> Option<Vec<String>> {
        let value = self.member(name)?;
        let Some(items) = value.as_array().filter(|list| list.len() <= at_most) else {
            self.wrong(name, &format!("a list of at most {at_most} of {expected} is expected"));
            return None;
        };
        let mut list = Vec::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            let Some(text) = item.as_str().filter(|text| is_good(text)) else {
                self.wrong(
                    name,
                    &format!(
                        "a list of at most {at_most} of {expected} is expected; its item {place} is none (from 0)"
                    ),
                );
                return None;
            };
            list.push(text.to_owned());
        }
        Some(list)
    }

    /// A whole number in a range.
    pub(in crate::domain) fn number(&mut self, name: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let value = self.member(name)?;
        let number = value.as_i64().filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong(name, &format!("a whole number from {} to {} is expected", range.start(), range.end()));
        }
        number
    }

    /// Octets in base64.
    pub(in crate::domain) fn base64(&mut self, name: &str) -> Option<Vec<u8>> {
        self.parsed(name, "base64 of DER", |text| STANDARD.decode(text).ok())
    }

    /// Whether the object names a profile.
    pub(in crate::domain) fn has_iccid(&self) -> bool {
        self.object.contains_key("iccid") || self.object.contains_key("rawIccid")
    }

    /// The profile: `iccid` in digits, or `rawIccid` in hexadecimal.
    pub(in crate::domain) fn iccid(&mut self) -> Option<asn1::Iccid> {
        let digits = self.member("iccid");
        let raw = self.member("rawIccid");
        let iccid = match (digits, raw) {
            (Some(_), None) => self.parsed("iccid", "an ICCID of 18 to 20 digits", |text| text.parse::<Iccid>().ok()),
            (None, Some(_)) => self
                .parsed("rawIccid", "a raw ICCID of 20 hexadecimal characters", |text| Iccid::from_raw_hex(text).ok()),
            _ => {
                self.wrong("iccid", "exactly one of iccid and rawIccid is expected");
                None
            }
        };
        iccid.map(|iccid| asn1::Octets::from_array(*iccid.octets()))
    }

    /// A list of texts in hexadecimal, concatenated.
    pub(in crate::domain) fn hex_list(&mut self, name: &str) -> Option<Vec<u8>> {
        let value = self.member(name)?;
        let octets: Option<Vec<u8>> = value.as_array().filter(|list| (1..=64).contains(&list.len())).and_then(|list| {
            let tags: Option<Vec<Vec<u8>>> = list
                .iter()
                .map(|tag| hex::decode(tag.as_str()?).ok().filter(|tag| tag.len() <= 4 && is_tag(tag)))
                .collect();
            tags.map(|tags| tags.concat())
        });
        if octets.is_none() {
            self.wrong(name, "a list of tags in hexadecimal is expected");
        }
        octets
    }
}

/// Whether these octets are one tag and nothing more (X.690 8.1.2).
fn is_tag(octets: &[u8]) -> bool {
    first_tag(octets).is_some_and(|(_, rest)| rest.is_empty())
}

/// The first tag of a tag list, and what follows it.
pub(in crate::domain) fn first_tag(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = match octets.first()? {
        leading if leading & 0x1f == 0x1f => 2 + octets.iter().skip(1).position(|octet| octet & 0x80 == 0)?,
        _ => 1,
    };
    octets.split_at_checked(length)
}
