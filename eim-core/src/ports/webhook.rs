//! Calls to webhooks: who carries them out is not known here.

use super::{PortFuture, RspFailure};
use std::fmt;

/// An event on its way to a webhook: a POST.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookCall {
    /// Where it goes.
    pub url: String,
    /// `webhook-id` (Standard Webhooks), the same whenever the same event is sent.
    pub id: String,
    /// `webhook-timestamp`: seconds since 1970.
    pub timestamp_s: i64,
    /// `webhook-signature`: one or more signatures between spaces.
    pub signature: String,
    /// The event as JSON (CloudEvents 1.0, structured mode).
    pub body: Vec<u8>,
}

/// The address may hold what only its owner should know, so it never goes to a log.
impl fmt::Debug for WebhookCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookCall({}, {} octets)", self.id, self.body.len())
    }
}

/// Calls webhooks: over HTTPS, or not at all.
pub trait WebhookTransport: Send + Sync + 'static {
    /// Judges an address that somebody wants events at; the error says what is wrong with it. The same is judged again at
    /// each call.
    fn admit(&self, url: String) -> PortFuture<'_, Result<(), String>>;

    /// Sends an event and gives the HTTP status of the answer, whatever it is.
    fn post(&self, call: WebhookCall) -> PortFuture<'_, Result<u16, RspFailure>>;
}
