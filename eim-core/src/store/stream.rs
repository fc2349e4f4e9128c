//! The stream of events: all events of a tenant in an order in which none is added behind a reader.
//!
//! With PostgreSQL a lower `seq` may be committed after a higher one. A reader therefore goes by the transaction that wrote
//! an event, then by `seq`, and only as far as every transaction has ended (`horizon`).

use super::{Backend, Store, StoreError, on, postgres, sqlite};
use serde_json::{Map, Value};
use std::fmt;
use std::str::FromStr;
use tokio::sync::watch;

/// A position in the stream; the next event is behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct StreamPosition {
    /// The number of the transaction that wrote the last event; always 0 with SQLite.
    pub xid: i64,
    /// The `seq` of the last event.
    pub seq: i64,
}

impl fmt::Display for StreamPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.xid, self.seq)
    }
}

/// A text that is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a nextCursor or event id that the stream gave is expected")]
pub struct NoPosition;

impl FromStr for StreamPosition {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let number = |text: &str| {
            text.parse::<i64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit())).ok_or(NoPosition)
        };
        let (xid, seq) = text.split_once('.').ok_or(NoPosition)?;
        Ok(Self { xid: number(xid)?, seq: number(seq)? })
    }
}

/// An event of the stream.
#[derive(Debug, Clone)]
pub struct StreamEvent {
    /// Where it is.
    pub position: StreamPosition,
    /// When, milliseconds since 1970.
    pub at: i64,
    /// What happened.
    pub event_type: String,
    /// The EID of the eUICC that it is about, or empty.
    pub eid: String,
    /// The path of what else it is about, as `campaigns/01J...`, or empty.
    pub subject: String,
    /// The other members.
    pub details: Map<String, Value>,
}

/// Some events of the stream, in its order.
#[derive(Debug, Clone)]
pub struct StreamPage {
    /// The events.
    pub events: Vec<StreamEvent>,
    /// Whether there may be more behind them now.
    pub more: bool,
    /// Whether there are events that are committed but wait for others, which may come before them.
    pub unsettled: bool,
    /// Whether the position asked for lies ahead of what this database has ever given.
    pub ahead: bool,
}

impl Store {
    /// Events behind a position, at most `limit`.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn stream(&self, after: StreamPosition, limit: i64) -> Result<StreamPage, StoreError> {
        let tenant = self.tenant;
        on!(self.read("stream"), |conn| stream_page(conn, after, limit, tenant))
    }

    /// The position behind all events that a reader may see now.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn stream_end(&self) -> Result<StreamPosition, StoreError> {
        on!(self.read("stream_end"), |conn| end_of_stream(conn))
    }

    /// Tags of these eUICCs, as pairs of EID and tag.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn tags_of(&self, eids: Vec<String>) -> Result<Vec<(String, String)>, StoreError> {
        let tenant = self.tenant;
        on!(self.read("tags_of"), |conn| tags_of(conn, &eids, tenant))
    }

    /// Changes when this process has committed events. A hint: other processes write, too.
    #[must_use]
    pub fn events_written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// To be called after a transaction that may have written events.
    pub(super) fn tell_of_events(&self) {
        self.written.send_modify(|count| *count = count.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written() {
        let position = StreamPosition { xid: 7, seq: i64::MAX };
        assert_eq!(position.to_string().parse(), Ok(position));
        for text in ["", "1", ".", "1.", "-1.2", "1.-2", "+1.2", "1.2.3", "9223372036854775808.1", "a.b", "1. 2"] {
            assert_eq!(text.parse::<StreamPosition>(), Err(NoPosition), "{text}");
        }
    }
}
