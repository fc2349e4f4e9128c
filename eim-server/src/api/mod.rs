//! The operator API: its own listener, plain HTTP, loopback by default.
//!
//! [`routes`] is the page that shows everything. Handlers are thin: they read the request, call one use case of
//! `eim_core::manage` and show what comes back. Everything that goes wrong becomes a [`Problem`].

mod auth;
mod health;
mod metrics;
mod openapi;
mod problem;
mod queries;
mod request;
pub mod routes;
pub mod schema;
mod spool;
mod streams;
mod v1;

use auth::Caller;
pub use openapi::document;
pub(crate) use problem::as_problems;
pub use problem::{Problem, ProblemField};
use queries::Queries;
pub use spool::Spool;
pub(crate) use streams::Streams;

use crate::config::Limits;
use crate::limits::{Gate, Keys};
use crate::queue::Queue;
use crate::telemetry::Rejections;
use actix_web::middleware::DefaultHeaders;
use eim_core::Eim;
use prometheus::Registry;
use std::sync::Arc;
use std::time::Duration;

/// What the handlers of the API share.
pub struct Api {
    eim: Eim,
    registry: Registry,
    body_bytes: usize,
    import_bytes: u64,
    body_timeout: Duration,
    openapi_json: String,
    queries: Queries,
    queue: Option<Arc<Queue>>,
    streams: Streams,
    spool: Spool,
    keys: Keys,
    gate: Gate,
    rejections: Rejections,
}

impl Api {
    /// An API over the application. `registry` is what `/metrics` shows, `queue` what readiness asks beside the store, `spool` where
    /// files lie while they are looked at.
    ///
    /// # Errors
    /// When the OpenAPI document can't be written, which a test excludes.
    pub fn new(
        eim: Eim,
        registry: Registry,
        limits: &Limits,
        queue: Option<Arc<Queue>>,
        spool: Spool,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            eim,
            registry,
            body_bytes: limits.body_bytes,
            import_bytes: limits.import_bytes,
            body_timeout: limits.request_timeout(),
            openapi_json: document().to_json()?,
            queries: Queries::of(&serde_json::to_value(document())?),
            queue,
            streams: Streams::new(0),
            spool,
            keys: Keys::new(limits),
            gate: Gate::new(limits.api_requests_at_once, limits.api_requests_waiting),
            rejections: Rejections::default(),
        })
    }

    /// Lets streams of events be opened; none are otherwise.
    #[must_use]
    pub(crate) fn with_streams(mut self, streams: Streams) -> Self {
        self.streams = streams;
        self
    }
}

/// Headers of every answer. Pages may load and call this server only, and what a key opened is not kept by caches.
pub(crate) fn security_headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((
            "Content-Security-Policy",
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
        ))
        .add(("X-Content-Type-Options", "nosniff"))
        .add(("Cache-Control", "no-store"))
}
