//! The stream of events as others read it: CloudEvents 1.0 in the order of commits.

use super::{ManageError, page};
use crate::Eim;
use crate::domain::{EventFilter, TYPE_PREFIX, TypePattern, rfc3339};
use crate::ids::Eid;
use crate::store::stream::{StreamEvent, StreamPosition};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// How many events are read together.
const CHUNK: i64 = 500;
/// How many are looked at for one page; a filter that lets few through gets a short page and a cursor further on.
const LOOKED_AT: usize = 10;
const SUBJECT_MAX: usize = 256;

/// An event as others know it (CloudEvents 1.0, JSON format).
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CloudEvent {
    /// `1.0`.
    pub specversion: &'static str,
    /// Together with `source` unique; the same whenever the same event is given.
    pub id: String,
    /// `/eims/` and the eimId, percent-encoded.
    pub source: String,
    /// `eim.` and what happened.
    #[serde(rename = "type")]
    #[schema(example = "eim.operationSucceeded")]
    pub event_type: String,
    /// When, RFC 3339 in UTC.
    pub time: String,
    /// What it is about: `euiccs/` and the EID, `campaigns/` and its id. Absent when it is about the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `application/json`.
    pub datacontenttype: &'static str,
    /// The members of this type of event.
    #[schema(value_type = Object)]
    pub data: Map<String, Value>,
}

/// Some events of the stream.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamView {
    /// The events, in the order of the stream; none when the filter let none through.
    pub items: Vec<CloudEvent>,
    /// What to pass as `after` to go on. Always given.
    pub next_cursor: String,
    /// Whether there may be more now; without it, ask again later.
    pub more: bool,
}

/// Which events to read.
#[derive(Debug, Clone, Default)]
pub struct StreamFilter {
    /// The `nextCursor` of the page before, `end` for what happens from now on; the whole stream without it.
    pub after: Option<String>,
    /// A type, or the beginning of some and `*`.
    pub event_type: Option<String>,
    /// Only events about this.
    pub subject: Option<String>,
    /// Only events about this eUICC.
    pub eid: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// Reads the stream from a position on.
#[derive(Debug, Clone)]
pub struct StreamReader {
    filter: EventFilter,
    subject: Option<String>,
    after: StreamPosition,
    limit: usize,
    source: String,
}

/// What a look into the stream gave.
#[derive(Debug, Clone)]
pub struct StreamLook {
    /// The events with their positions, which can be gone on from.
    pub events: Vec<(StreamPosition, CloudEvent)>,
    /// Whether there may be more now.
    pub more: bool,
    /// Whether there are some that can be given in a moment.
    pub unsettled: bool,
}

impl StreamReader {
    /// A reader that begins where the filter says.
    ///
    /// # Errors
    /// When the filter can't be taken, or the store fails.
    pub async fn new(filter: StreamFilter, eim: &Eim) -> Result<Self, ManageError> {
        let (_, limit) = page::bounds(None, filter.limit)?;
        let types = match filter.event_type {
            None => vec![],
            Some(text) => {
                vec![TypePattern::try_from(text).map_err(|error| ManageError::invalid("/type", error.to_string()))?]
            }
        };
        let eid = match filter.eid.as_deref() {
            None => None,
            Some(text) => Some(text.parse::<Eid>().map_err(|error| ManageError::invalid("/eid", format!("{error}")))?),
        };
        if filter.subject.as_ref().is_some_and(|subject| subject.len() > SUBJECT_MAX) {
            return Err(ManageError::invalid("/subject", format!("at most {SUBJECT_MAX} octets are expected")));
        }
        let after = match filter.after.as_deref() {
            None => StreamPosition::default(),
            Some("end") => eim.store().stream_end().await?,
            Some(text) => text
                .parse()
                .map_err(|error: crate::store::stream::NoPosition| ManageError::invalid("/after", error.to_string()))?,
        };
        Ok(Self {
            filter: EventFilter { types, eid, tags: vec![] },
            subject: filter.subject,
            after,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            source: source(eim),
        })
    }

    /// Where the next look begins.
    #[must_use]
    pub const fn position(&self) -> StreamPosition {
        self.after
    }

    /// The next events, as many as a page may have.
    ///
    /// # Errors
    /// When the position is not one of this stream, or the store fails.
    pub async fn look(&mut self, eim: &Eim) -> Result<StreamLook, ManageError> {
        let mut events = Vec::new();
        for _ in 0..LOOKED_AT {
            let found = eim.store().stream(self.after, CHUNK).await?;
            if found.ahead {
                let message = "this position lies ahead of the stream: it was given by another database";
                return Err(ManageError::invalid("/after", message));
            }
            for event in found.events {
                self.after = event.position;
                if self.wants(&event) {
                    events.push((event.position, cloud_event(&self.source, event)));
                    if events.len() >= self.limit {
                        return Ok(StreamLook { events, more: true, unsettled: false });
                    }
                }
            }
            if !found.more {
                return Ok(StreamLook { events, more: false, unsettled: found.unsettled });
            }
        }
        Ok(StreamLook { events, more: true, unsettled: false })
    }

    fn wants(&self, event: &StreamEvent) -> bool {
        let about = self.subject.as_ref().is_none_or(|wanted| subject(event).as_ref() == Some(wanted));
        about && self.filter.matches(&event.event_type, &event.eid, |_| false)
    }
}

/// Reads one page of the stream.
///
/// # Errors
/// When the filter can't be taken, or the store fails.
pub async fn stream_page(filter: StreamFilter, eim: &Eim) -> Result<StreamView, ManageError> {
    let mut reader = StreamReader::new(filter, eim).await?;
    let look = reader.look(eim).await?;
    Ok(StreamView {
        items: look.events.into_iter().map(|(_, event)| event).collect(),
        next_cursor: reader.position().to_string(),
        more: look.more,
    })
}

/// `source` of this eIM's events: a path, so that it needs no host name that may change.
#[must_use]
pub(crate) fn source(eim: &Eim) -> String {
    let mut source = "/eims/".to_owned();
    for byte in eim.identity().eim_id.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            source.push(char::from(byte));
        } else {
            source.push_str(&format!("%{byte:02X}"));
        }
    }
    source
}

fn subject(event: &StreamEvent) -> Option<String> {
    match (event.eid.as_str(), event.subject.as_str()) {
        ("", "") => None,
        ("", subject) => Some(subject.to_owned()),
        (eid, _) => Some(format!("euiccs/{eid}")),
    }
}

pub(crate) fn cloud_event(source: &str, event: StreamEvent) -> CloudEvent {
    CloudEvent {
        specversion: "1.0",
        id: event.position.seq.to_string(),
        source: source.to_owned(),
        event_type: format!("{TYPE_PREFIX}{}", event.event_type),
        time: rfc3339(event.at),
        subject: subject(&event),
        datacontenttype: "application/json",
        data: event.details,
    }
}
