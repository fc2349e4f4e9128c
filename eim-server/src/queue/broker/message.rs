//! What stands in messages: a call, its answer, a job. Bodies of calls and answers travel raw and get into no log.

use crate::queue::{JobRef, MAX_KEY_BYTES};
use eim_core::ids::RspAddress;
use eim_core::ports::{RspCall, RspFailure, RspFunction, RspReply};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use std::time::Duration;

const ADDRESS: &str = "eim-address";
/// Clocks of nodes differ, so what travels is a duration, not a time.
const ALLOWED_MS: &str = "eim-allowed-ms";
const OUTCOME: &str = "eim-outcome";
const STATUS: &str = "eim-status";
const ATTEMPT: &str = "eim-attempt";
/// How long a job has to wait on, in milliseconds.
const REST_MS: &str = "rest-ms";

const TAKEN: &str = "taken";
const REPLY: &str = "reply";
const FAILURE: &str = "failure";

const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;

/// Why a message can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MessageError {
    #[error("the routing key names no function")]
    Function,
    #[error("the header {0} is missing or out of range")]
    Header(&'static str),
    #[error("the property {0} is missing")]
    Property(&'static str),
    #[error("the body is no job of this queue")]
    Job,
}

/// A call as a worker receives it.
pub(super) struct ReceivedCall {
    pub(super) call: RspCall,
    pub(super) allowed: Duration,
    pub(super) sender: Sender,
}

/// Who awaits an answer.
#[derive(Clone)]
pub(super) struct Sender {
    pub(super) reply_to: ShortString,
    correlation_id: ShortString,
}

/// What a worker tells the front.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A worker has the call: from now on silence is the server's, not the workers'.
    Taken,
    Outcome(Result<RspReply, RspFailure>),
}

pub(super) fn call_properties(call: &RspCall, remaining: Duration, correlation: u64) -> BasicProperties {
    let millis = u32::try_from(remaining.as_millis()).unwrap_or(u32::MAX).max(1);
    let mut headers = FieldTable::default();
    headers.insert(ADDRESS.into(), AMQPValue::LongString(call.address.as_str().into()));
    headers.insert(ALLOWED_MS.into(), AMQPValue::LongUInt(millis));
    BasicProperties::default()
        .with_delivery_mode(TRANSIENT)
        .with_headers(headers)
        .with_expiration(millis.to_string().into())
        .with_reply_to("amq.rabbitmq.reply-to".into())
        .with_correlation_id(correlation.to_string().into())
}

pub(super) fn read_sender(properties: &BasicProperties) -> Result<Sender, MessageError> {
    Ok(Sender {
        reply_to: properties.reply_to().clone().ok_or(MessageError::Property("reply-to"))?,
        correlation_id: properties.correlation_id().clone().ok_or(MessageError::Property("correlation-id"))?,
    })
}

pub(super) fn read_call(
    routing_key: &str,
    properties: &BasicProperties,
    body: Vec<u8>,
) -> Result<ReceivedCall, MessageError> {
    let function = RspFunction::from_word(routing_key).ok_or(MessageError::Function)?;
    let address = text(properties, ADDRESS).and_then(|text| text.parse::<RspAddress>().ok());
    let allowed = number(properties, ALLOWED_MS).and_then(|millis| u64::try_from(millis).ok());
    Ok(ReceivedCall {
        call: RspCall { address: address.ok_or(MessageError::Header(ADDRESS))?, function, body },
        allowed: Duration::from_millis(allowed.ok_or(MessageError::Header(ALLOWED_MS))?),
        sender: read_sender(properties)?,
    })
}

pub(super) fn answer_message(sender: &Sender, answer: Answer) -> (BasicProperties, Vec<u8>) {
    let mut headers = FieldTable::default();
    let (outcome, body) = match answer {
        Answer::Taken => (TAKEN, Vec::new()),
        Answer::Outcome(Ok(reply)) => {
            headers.insert(STATUS.into(), AMQPValue::LongInt(i32::from(reply.status)));
            (REPLY, reply.body)
        }
        // A failure is plain data, which always has a JSON form.
        Answer::Outcome(Err(failure)) => (FAILURE, serde_json::to_vec(&failure).unwrap_or_default()),
    };
    headers.insert(OUTCOME.into(), AMQPValue::LongString(outcome.into()));
    let properties = BasicProperties::default()
        .with_delivery_mode(TRANSIENT)
        .with_headers(headers)
        .with_correlation_id(sender.correlation_id.clone());
    (properties, body)
}

pub(super) fn read_answer(properties: &BasicProperties, body: Vec<u8>) -> Result<(u64, Answer), MessageError> {
    let id = properties.correlation_id().as_ref().ok_or(MessageError::Property("correlation-id"))?;
    let id = id.as_str().parse().map_err(|_| MessageError::Property("correlation-id"))?;
    let answer = match text(properties, OUTCOME) {
        Some(TAKEN) => Answer::Taken,
        Some(REPLY) => {
            let status = number(properties, STATUS).and_then(|status| u16::try_from(status).ok());
            Answer::Outcome(Ok(RspReply { status: status.ok_or(MessageError::Header(STATUS))?, body }))
        }
        // A failure of a newer version is a failure nevertheless.
        Some(FAILURE) => Answer::Outcome(Err(serde_json::from_slice(&body).unwrap_or(RspFailure::Interrupted))),
        _ => return Err(MessageError::Header(OUTCOME)),
    };
    Ok((id, answer))
}

/// The properties of a job that was tried this often without success.
///
/// `rest` is how much longer it has to wait after the delay that it is sent to.
pub(super) fn job_properties(attempt: u32, rest: Duration) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(ATTEMPT.into(), AMQPValue::LongUInt(attempt));
    headers.insert(REST_MS.into(), AMQPValue::LongLongInt(i64::try_from(rest.as_millis()).unwrap_or(i64::MAX)));
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_headers(headers)
}

pub(super) fn job_body(job: &JobRef) -> Vec<u8> {
    // Two strings always have a JSON form.
    serde_json::to_vec(job).unwrap_or_default()
}

pub(super) fn read_job(routing_key: &str, body: &[u8]) -> Result<JobRef, MessageError> {
    serde_json::from_slice::<JobRef>(body)
        .ok()
        .filter(|job| job.kind == routing_key && job.key.len() <= MAX_KEY_BYTES)
        .ok_or(MessageError::Job)
}

pub(super) fn read_attempt(properties: &BasicProperties) -> u32 {
    number(properties, ATTEMPT).and_then(|attempt| u32::try_from(attempt).ok()).unwrap_or(0)
}

pub(super) fn read_rest(properties: &BasicProperties) -> Duration {
    Duration::from_millis(number(properties, REST_MS).and_then(|rest| u64::try_from(rest).ok()).unwrap_or(0))
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

fn text<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a str> {
    match header(properties, name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    }
}

fn number(properties: &BasicProperties, name: &str) -> Option<i64> {
    match header(properties, name)? {
        AMQPValue::LongUInt(number) => Some(i64::from(*number)),
        AMQPValue::LongInt(number) => Some(i64::from(*number)),
        AMQPValue::LongLongInt(number) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(function: RspFunction) -> RspCall {
        RspCall { address: "smdp.example.com:8443".parse().unwrap(), function, body: b"secret".to_vec() }
    }

    #[test]
    fn a_call_is_read_as_it_was_written() {
        let call = call(RspFunction::CancelSession);
        let properties = call_properties(&call, Duration::from_millis(1234), 7);
        assert_eq!(properties.expiration().as_ref().unwrap().as_str(), "1234");
        let read = read_call("cancelSession", &properties, call.body.clone()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((read.call, read.allowed), (call, Duration::from_millis(1234)));
    }

    #[test]
    fn a_call_without_address_time_function_or_sender_is_refused() {
        let call = call(RspFunction::CancelSession);
        let good = call_properties(&call, Duration::from_secs(1), 7);
        let refusal = |key: &str, properties: &BasicProperties| read_call(key, properties, Vec::new()).err();
        assert_eq!(refusal("deleteEverything", &good), Some(MessageError::Function));
        assert_eq!(refusal("cancelSession", &BasicProperties::default()), Some(MessageError::Header(ADDRESS)));
        let mut headers = FieldTable::default();
        headers.insert(ADDRESS.into(), AMQPValue::LongString("10.0.0.1".into()));
        assert_eq!(refusal("cancelSession", &good.clone().with_headers(headers)), Some(MessageError::Header(ADDRESS)));
        let mut headers = FieldTable::default();
        headers.insert(ADDRESS.into(), AMQPValue::LongString("smdp.example.com".into()));
        headers.insert(ALLOWED_MS.into(), AMQPValue::LongInt(-1));
        let negative = good.clone().with_headers(headers.clone());
        assert_eq!(refusal("cancelSession", &negative), Some(MessageError::Header(ALLOWED_MS)));
        headers.insert(ALLOWED_MS.into(), AMQPValue::LongInt(1));
        let nobody = BasicProperties::default().with_headers(headers);
        assert_eq!(refusal("cancelSession", &nobody), Some(MessageError::Property("reply-to")));
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let properties = call_properties(&call(RspFunction::HandleNotification), Duration::from_secs(1), 41);
        let sender = read_sender(&properties).unwrap_or_else(|error| panic!("{error}"));
        let answers = [
            || Answer::Taken,
            || Answer::Outcome(Ok(RspReply { status: 204, body: vec![0, 255, 1] })),
            || Answer::Outcome(Err(RspFailure::TooLarge(77))),
            || Answer::Outcome(Err(RspFailure::Unreachable("no such name".into()))),
        ];
        for answer in answers {
            let (properties, body) = answer_message(&sender, answer());
            assert_eq!(read_answer(&properties, body), Ok((41, answer())));
        }
    }

    /// Nodes of a newer version say more (docs/adr/0024).
    #[test]
    fn what_a_newer_version_says_beside_it_does_not_matter_and_a_failure_that_it_alone_knows_is_an_interruption() {
        let call = call(RspFunction::HandleNotification);
        let mut properties = call_properties(&call, Duration::from_secs(1), 41);
        let mut headers = properties.headers().clone().unwrap_or_default();
        headers.insert("eim-hurry".into(), AMQPValue::Boolean(true));
        properties = properties.with_headers(headers);
        let read = read_call("handleNotification", &properties, call.body.clone());
        assert_eq!(read.map(|read| read.call).map_err(|error| error.to_string()), Ok(call));
        let sender = read_sender(&properties).unwrap_or_else(|error| panic!("{error}"));
        let (properties, _) = answer_message(&sender, Answer::Outcome(Err(RspFailure::Busy)));
        let newer = br#"{"failure":"tooEarly","detail":{"until":7}}"#.to_vec();
        let interrupted = Answer::Outcome(Err(RspFailure::Interrupted));
        assert_eq!(read_answer(&properties, newer), Ok((41, interrupted)));
    }

    #[test]
    fn a_job_of_another_queue_with_a_long_key_or_more_fields_is_refused() {
        let job = JobRef { tenant: 1, kind: "notify".into(), key: "k".repeat(MAX_KEY_BYTES) };
        assert_eq!(read_job("notify", &job_body(&job)), Ok(job.clone()));
        assert_eq!(read_job("other", &job_body(&job)), Err(MessageError::Job));
        let long = JobRef { key: "k".repeat(MAX_KEY_BYTES + 1), ..job };
        assert_eq!(read_job("notify", &job_body(&long)), Err(MessageError::Job));
        assert_eq!(read_job("notify", br#"{"kind":"notify","key":"1","run":"x"}"#), Err(MessageError::Job));
        assert_eq!(read_job("notify", b"\xff"), Err(MessageError::Job));
        let waiting = job_properties(9, Duration::from_secs(77));
        assert_eq!((read_attempt(&waiting), read_rest(&waiting)), (9, Duration::from_secs(77)));
    }
}
