//! The audit log: what a record says, how records hang together, and how a log is checked.
//!
//! Each tenant has a chain of its own. A record is written with its cause and gets its place in the chain a little later
//! (docs/adr/0021); from then on its link covers it and everything before it. A checkpoint is a statement of this eIM about a link.

mod check;

pub use check::{Check, Fault, Report, UNLINKED_MAX_MS};

use super::rfc3339;
use crate::ids::Eid;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a record hangs on: SHA-256 over it and everything before it.
pub type Link = [u8; 32];

/// Something for the audit log. It holds no secret: no keys, PINs, tokens of webhooks, activation or confirmation codes.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditNote {
    /// What happened, as a stable word.
    pub record_type: &'static str,
    /// The eUICC that it is about.
    pub eid: Option<Eid>,
    /// The path of what it is about, or empty.
    pub subject: String,
    /// The other members.
    pub details: Map<String, Value>,
    /// Of what strangers can cause, at most so many in an hour for an eUICC; the last one says so.
    pub hourly_at_most: Option<i64>,
}

impl AuditNote {
    /// A note with its members; pass an object.
    #[must_use]
    pub fn new(record_type: &'static str, details: Value) -> Self {
        let details = match details {
            Value::Object(details) => details,
            _ => Map::new(),
        };
        Self { record_type, eid: None, subject: String::new(), details, hourly_at_most: None }
    }

    /// The same about an eUICC.
    #[must_use]
    pub fn of_eid(self, eid: Eid) -> Self {
        Self { eid: Some(eid), ..self }
    }

    /// The same about something else, by its path.
    #[must_use]
    pub fn about(self, subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), ..self }
    }

    /// The text that is kept and linked.
    #[must_use]
    pub fn text(&self, at_ms: i64) -> String {
        text(
            at_ms,
            self.record_type,
            &self.eid.map(|eid| eid.to_string()).unwrap_or_default(),
            &self.subject,
            &self.details,
        )
    }
}

/// The text of a record, as it is kept and linked.
#[must_use]
pub fn text(at_ms: i64, record_type: &str, eid: &str, subject: &str, details: &Map<String, Value>) -> String {
    let record = RecordText { at: rfc3339(at_ms), record_type, eid, subject, details };
    // Texts, numbers and lists only: this can't fail.
    serde_json::to_string(&record).unwrap_or_default()
}

#[derive(Serialize)]
struct RecordText<'a> {
    at: String,
    #[serde(rename = "type")]
    record_type: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    eid: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subject: &'a str,
    details: &'a Map<String, Value>,
}

/// A record as it is read.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// When, RFC 3339.
    pub at: String,
    /// What happened.
    #[serde(rename = "type")]
    pub record_type: String,
    /// The eUICC that it is about, or empty.
    #[serde(default)]
    pub eid: String,
    /// The path of what it is about, or empty.
    #[serde(default)]
    pub subject: String,
    /// The other members.
    pub details: Map<String, Value>,
}

/// What the first record of a tenant hangs on.
#[must_use]
pub fn beginning(tenant: &str) -> Link {
    sha256(&[b"eim-audit-log/1\n", tenant.as_bytes()])
}

/// The link of a record: SHA-256 over a word, the link before it, its position as 8 octets and its text.
#[must_use]
pub fn link(before: &Link, position: i64, text: &str) -> Link {
    sha256(&[b"eim-audit-link/1\n", before, &position.to_be_bytes(), text.as_bytes()])
}

fn sha256(parts: &[&[u8]]) -> Link {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut link = [0; 32];
    link.copy_from_slice(context.finish().as_ref());
    link
}

/// What a checkpoint says: as far as `position` the log has this link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkpoint {
    /// The eIM.
    pub eim_id: String,
    /// Whose log.
    pub tenant: String,
    /// The checkpoints of a log are counted from 1.
    pub number: i64,
    /// The record that it is about.
    pub position: i64,
    /// The link of that record, hexadecimal.
    pub link: String,
    /// When, RFC 3339.
    pub at: String,
    /// The digest of the checkpoint before, hexadecimal; empty in the first.
    pub before: String,
}
