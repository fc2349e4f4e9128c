//! AuthenticateClient of ES9+' and ES11' (SGP.22 v2.5 5.6.3, 5.8.2, 6.5.2.8).

use super::json::{Answer, session_body};
use super::{RspError, ServerKind};
use crate::asn1::{AuthenticateClientOk, Raw, SmdpSigned2, TransactionId};
use crate::ports::RspReply;
use serde_json::Value;
use std::fmt;

/// More events than one eUICC ever waits for.
const MAX_EVENTS: usize = 64;

/// Octets of an eventId or an address, at most.
const MAX_TEXT_BYTES: usize = 255;

const EVENT_ENTRIES: &str = "eventEntries";

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one per call, taken apart at once")]
pub enum AuthenticateClientReply {
    /// The SM-DP+ has a profile.
    Dp(AuthenticateClientOk),
    /// The SM-DS has these events, perhaps none.
    Ds {
        /// The session, if it was stated.
        transaction_id: Option<TransactionId>,
        /// At most 64, in the order of the SM-DS.
        events: Vec<EventEntry>,
    },
}

/// An event at an SM-DS: where a profile waits, or where to ask further.
#[derive(Clone, PartialEq, Eq)]
pub struct EventEntry {
    /// eventId, 1 to 255 octets: the matchingId to use at `address`. Whoever has it can fetch the profile.
    pub event_id: String,
    /// rspServerAddress as received, 1 to 255 octets: of an SM-DP+, or of another SM-DS.
    pub address: String,
}

impl fmt::Debug for EventEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventEntry").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The request: `bf38` is the AuthenticateServerResponse in its full form, with its tag.
#[must_use]
pub fn body(transaction_id: &[u8], bf38: &[u8]) -> Vec<u8> {
    session_body(transaction_id, "authenticateServerResponse", bf38)
}

/// Reads the answer of a server of this kind.
///
/// # Errors
/// [`RspError`] for everything but a success with all its members.
pub fn read(reply: &RspReply, kind: ServerKind) -> Result<AuthenticateClientReply, RspError> {
    let answer = Answer::of(reply)?;
    match kind {
        ServerKind::SmDpPlus => profile(&answer).map(AuthenticateClientReply::Dp),
        ServerKind::SmDs => {
            let transaction_id = answer.transaction_id()?;
            Ok(AuthenticateClientReply::Ds { transaction_id, events: events(&answer)? })
        }
    }
}

fn profile(answer: &Answer) -> Result<AuthenticateClientOk, RspError> {
    let smdp_signed2: Raw<SmdpSigned2> = answer.object(&["smdpSigned2"])?;
    Ok(AuthenticateClientOk {
        transaction_id: answer.same_transaction_id(&smdp_signed2.value().transaction_id)?,
        profile_meta_data: answer.object(&["profileMetadata", "profileMetaData"])?,
        smdp_signed2,
        smdp_signature2: answer.signature("smdpSignature2")?,
        smdp_certificate: answer.certificate("smdpCertificate")?,
    })
}

fn events(answer: &Answer) -> Result<Vec<EventEntry>, RspError> {
    let malformed = RspError::Malformed { what: EVENT_ENTRIES };
    match answer.list(EVENT_ENTRIES)? {
        Some(entries) if entries.len() <= MAX_EVENTS => {
            entries.iter().map(event).collect::<Option<_>>().ok_or(malformed)
        }
        None if answer.executed => Ok(Vec::new()),
        _ => Err(malformed),
    }
}

fn event(entry: &Value) -> Option<EventEntry> {
    let text = |member: &str| {
        let text = entry.get(member)?.as_str()?;
        (1..=MAX_TEXT_BYTES).contains(&text.len()).then(|| text.to_owned())
    };
    Some(EventEntry { event_id: text("eventId")?, address: text("rspServerAddress")? })
}

#[cfg(test)]
mod tests {
    use super::super::json::tests::{executed, reply};
    use super::*;
    use serde_json::json;

    fn events_of(body: &Value) -> Result<usize, RspError> {
        match read(&reply(200, body), ServerKind::SmDs)? {
            AuthenticateClientReply::Ds { events, .. } => Ok(events.len()),
            AuthenticateClientReply::Dp(_) => panic!("no SM-DS"),
        }
    }

    #[test]
    fn reads_the_events_of_an_sm_ds() {
        let body = json!({ "header": executed(), "transactionId": "0A", "eventEntries": [
            { "eventId": "EVENT-1", "rspServerAddress": "smdp.example", "other": 1 },
        ] });
        let found = read(&reply(200, &body), ServerKind::SmDs).unwrap();
        let AuthenticateClientReply::Ds { transaction_id: Some(id), events } = &found else { panic!() };
        assert_eq!((id.as_slice(), events[0].event_id.as_str()), (&[0x0a][..], "EVENT-1"));
        assert_eq!(events[0].address, "smdp.example");
        assert!(!format!("{found:?}").contains("EVENT-1"));
    }

    #[test]
    fn no_event_is_no_error() {
        assert_eq!(events_of(&json!({ "header": executed(), "eventEntries": [] })), Ok(0));
        assert_eq!(events_of(&json!({ "header": executed() })), Ok(0));
        assert_eq!(events_of(&json!({})), Err(RspError::Malformed { what: "eventEntries" }));
    }

    #[test]
    fn refuses_events_without_bounds() {
        let entry = |id: String, address: String| json!({ "eventId": id, "rspServerAddress": address });
        let good = || entry("E".repeat(255), "smdp.example".to_owned());
        assert_eq!(events_of(&json!({ "eventEntries": vec![good(); 64] })), Ok(64));
        for entries in [
            vec![good(); 65],
            vec![good(), entry("E".repeat(256), "a".to_owned())],
            vec![entry(String::new(), "a".to_owned())],
            vec![entry("E".to_owned(), String::new())],
            vec![entry("E".to_owned(), "a".repeat(256))],
            vec![json!({ "eventId": "E" })],
            vec![json!("E")],
        ] {
            let wrong = events_of(&json!({ "eventEntries": entries }));
            assert_eq!(wrong, Err(RspError::Malformed { what: "eventEntries" }));
        }
        assert!(events_of(&json!({ "eventEntries": {} })).is_err());
    }
}
