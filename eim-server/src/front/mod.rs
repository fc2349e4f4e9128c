//! The device front: ESipa over HTTPS in both bindings, on the standard paths (SGP.32 v1.2 6.1, 6.4).
//!
//! Bytes, media types and status codes, and how much anybody may ask for. What a message means is decided in `eim_core::esipa`.

mod admin_protocol;
mod body;
mod esipa_asn1;
mod esipa_json;
mod function;
mod subject;
mod tls;
mod tls_switch;

pub use tls::server_config;
pub use tls_switch::TlsSwitch;

use crate::config::Limits;
use crate::limits::{Admitted, Devices, Gate, TooMany, Turn};
use crate::listener::Watch;
use crate::telemetry::Rejections;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use eim_core::Eim;
use eim_core::asn1::EsipaMessageFromIpaToEim;
use eim_core::esipa::{self, Caller, EsipaAnswer};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the handlers of the front share.
pub struct Front {
    eim: Eim,
    body_bytes: usize,
    body_timeout: Duration,
    rejections: Rejections,
    /// For faults of our own: when the store is away, every request has one.
    faults: Rejections,
    devices: Devices,
    /// Messages that the eIM answers by itself.
    own: Gate,
    /// Messages that wait for an SM-DP+ or SM-DS: a slow one must not hold up polls.
    relayed: Gate,
}

impl Front {
    /// A front over the application.
    #[must_use]
    pub fn new(eim: Eim, limits: &Limits) -> Self {
        Self {
            eim,
            body_bytes: limits.body_bytes,
            body_timeout: limits.request_timeout(),
            rejections: Rejections::default(),
            faults: Rejections::default(),
            devices: Devices::new(limits),
            own: Gate::new(limits.requests_at_once, limits.requests_waiting),
            relayed: Gate::new(limits.relayed_at_once, 0),
        }
    }
}

/// What a connection carries from one request to the next.
#[must_use]
pub fn connection_data() -> Arc<Caller> {
    Arc::default()
}

/// The routes of the front. `front` must be in the application data.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/gsma/rsp2/asn1")
                .route(web::post().to(esipa_asn1::serve))
                .default_service(web::to(method_not_allowed)),
        )
        .service(
            web::resource("/gsma/rsp2/esipa/{function}")
                .route(web::post().to(esipa_json::serve))
                .default_service(web::to(method_not_allowed)),
        )
        .default_service(web::to(not_found));
}

/// One of the two bindings, as metrics and logs name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binding {
    Asn1,
    Json,
}

impl Binding {
    const fn name(self) -> &'static str {
        match self {
            Self::Asn1 => "asn1",
            Self::Json => "json",
        }
    }
}

/// Why a request has no answer in the protocol.
enum Refusal {
    /// Larger than `limits.body_bytes`.
    TooLarge,
    /// The body did not arrive in time.
    TooSlow,
    /// The body broke off.
    Incomplete,
    /// No ESipa message.
    Undecodable(String),
    /// A message for which no answer exists.
    NotAccepted,
    /// A function that the JSON binding does not have.
    UnknownFunction,
    /// More than a limit allows.
    TooMany(TooMany),
    /// Our fault; already logged.
    Failed {
        /// Whether it may go well a moment later.
        retryable: bool,
    },
}

/// Hands a message to the core and waits for the answer, also when the device has gone: what was begun is finished.
async fn answer(
    message: EsipaMessageFromIpaToEim,
    function: &'static str,
    binding: Binding,
    request: &HttpRequest,
    front: &Data<Front>,
) -> Result<EsipaAnswer, Refusal> {
    let caller = request.conn_data::<Arc<Caller>>().cloned().unwrap_or_default();
    let admitted = admit(&message, &caller, request, front)?;
    let is_relayed = subject::is_relayed(&message);
    let turn = if is_relayed { None } else { turn(&message, &caller, request, front).await? };
    let gate = if is_relayed { &front.relayed } else { &front.own };
    let place = gate.enter().await.map_err(|retry_after_s| TooMany { reason: "busy", retry_after_s });
    let place = place.map_err(Refusal::TooMany)?;
    let started = Instant::now();
    let eim = front.eim.clone();
    let task = Arc::clone(&caller);
    let answered = actix_web::rt::spawn(async move {
        let answer = esipa::answer(message, &task, &eim).await;
        drop((place, turn));
        answer
    });
    let answered = answered.await;
    let seconds = started.elapsed().as_secs_f64();
    front.eim.metrics().esipa_request_seconds.with_label_values(&[function, binding.name()]).observe(seconds);
    tracing::debug!(function, binding = binding.name(), seconds, "ESipa request");
    match answered {
        Ok(Ok(answer)) => {
            note(&answer, admitted, caller.take_stranger(), request, front);
            Ok(answer)
        }
        Ok(Err(error)) => {
            if let Some(suppressed) = front.faults.may_log() {
                let binding = binding.name();
                tracing::error!(function, binding, %error, suppressed, "an ESipa request could not be answered");
            }
            Err(Refusal::Failed { retryable: error.retryable() })
        }
        Err(error) => {
            tracing::error!(function, binding = binding.name(), %error, "an ESipa request was cut off");
            Err(Refusal::Failed { retryable: false })
        }
    }
}

/// Whether whoever the message says that it is from may ask for more.
fn admit(
    message: &EsipaMessageFromIpaToEim,
    caller: &Caller,
    request: &HttpRequest,
    front: &Front,
) -> Result<Admitted, Refusal> {
    let subject = subject::of(message, caller.last_named());
    let from = request.peer_addr().map(|peer| peer.ip());
    front.devices.admit(subject, from, front.eim.clock().now_ms()).map_err(Refusal::TooMany)
}

/// Waits for the turn of the EID that a message names.
async fn turn(
    message: &EsipaMessageFromIpaToEim,
    caller: &Caller,
    request: &HttpRequest,
    front: &Front,
) -> Result<Option<Turn>, Refusal> {
    let subject = subject::of(message, caller.last_named());
    let from = request.peer_addr().map(|peer| peer.ip());
    let Some(place) = front.devices.line_up(subject, from).map_err(Refusal::TooMany)? else { return Ok(None) };
    let busy = || Refusal::TooMany(TooMany { reason: "busy", retry_after_s: front.own.later() });
    place.turn().await.map(Some).ok_or_else(busy)
}

/// Notes what came of a message, for the limits of those that follow.
fn note(answer: &EsipaAnswer, admitted: Admitted, is_stranger: bool, request: &HttpRequest, front: &Front) {
    front.devices.answered(admitted, is_stranger, front.eim.clock().now_ms());
    if is_stranger {
        slow_down(request);
    }
    if let EsipaAnswer::Message(message) = answer
        && let Some(session) = subject::begun_by(message)
    {
        front.devices.introduce(session);
    }
}

/// What led nowhere costs more of the pace of its connection.
fn slow_down(request: &HttpRequest) {
    if let Some(watch) = request.conn_data::<Rc<Watch>>() {
        watch.refused();
    }
}

/// Starts an answer; every one carries X-Admin-Protocol.
fn respond(request: &HttpRequest, status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header(admin_protocol::answer_header(request.headers()));
    response
}

/// The one place where refusals become HTTP.
fn refuse(request: &HttpRequest, refusal: &Refusal, binding: Binding, front: &Front) -> HttpResponse {
    let (status, reason, details) = match refusal {
        Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", ""),
        Refusal::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too_slow", ""),
        Refusal::Incomplete => (StatusCode::BAD_REQUEST, "incomplete", ""),
        Refusal::Undecodable(details) => (StatusCode::BAD_REQUEST, "undecodable", details.as_str()),
        Refusal::NotAccepted => (StatusCode::BAD_REQUEST, "not_accepted", ""),
        Refusal::UnknownFunction => return respond(request, StatusCode::NOT_FOUND).finish(),
        Refusal::Failed { retryable: true } => return later(request, front.own.later()),
        Refusal::Failed { retryable: false } => return respond(request, StatusCode::INTERNAL_SERVER_ERROR).finish(),
        Refusal::TooMany(TooMany { reason, retry_after_s }) => {
            front.eim.metrics().requests_refused_total.with_label_values(&["esipa", *reason]).inc();
            if let Some(suppressed) = front.rejections.may_log() {
                let peer = request.peer_addr().map(|peer| peer.ip());
                tracing::warn!(
                    ?peer,
                    binding = binding.name(),
                    reason,
                    suppressed,
                    "an ESipa request was beyond a limit"
                );
            }
            if *reason != "busy" {
                slow_down(request);
            }
            return later(request, *retry_after_s);
        }
    };
    slow_down(request);
    front.eim.metrics().esipa_rejected_total.with_label_values(&[binding.name(), reason]).inc();
    if let Some(suppressed) = front.rejections.may_log() {
        let peer = request.peer_addr().map(|peer| peer.ip());
        tracing::warn!(?peer, binding = binding.name(), reason, details, suppressed, "an ESipa request was rejected");
    }
    let mut response = respond(request, status);
    if matches!(refusal, Refusal::TooLarge | Refusal::TooSlow | Refusal::Incomplete) {
        // The rest of the body is not read: the connection can't serve another request.
        response.force_close();
    }
    response.finish()
}

/// 503 with the time after which to come again. Also where a limit is the device's own: IPAs know 503, keep what they have and come again,
/// and whether it was this device that asked too often is not proven.
fn later(request: &HttpRequest, retry_after_s: u32) -> HttpResponse {
    respond(request, StatusCode::SERVICE_UNAVAILABLE)
        .insert_header((header::RETRY_AFTER, HeaderValue::from(retry_after_s)))
        .finish()
}

async fn not_found(request: HttpRequest) -> HttpResponse {
    respond(&request, StatusCode::NOT_FOUND).finish()
}

async fn method_not_allowed(request: HttpRequest) -> HttpResponse {
    respond(&request, StatusCode::METHOD_NOT_ALLOWED)
        .insert_header((header::ALLOW, HeaderValue::from_static("POST")))
        .finish()
}
