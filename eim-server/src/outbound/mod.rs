//! Calls to SM-DP+ and SM-DS over HTTPS: ES9+' and ES11' (SGP.32 v1.2 3.2, SGP.22 v2.5 5.6, 5.8, 6.2, 6.5, 6.6).
//!
//! [`HttpsOutbound`] carries a call out and judges nothing of what comes back: a POST of a body that others made, and the
//! status and body of the answer. Devices decide which address is called, so this is the place that keeps them from
//! using the eIM as a way into the operator's network ([`OutboundOptions::allow_private`]), and one slow or broken
//! server from taking all resources (concurrency, a bounded queue, a circuit breaker, and one time limit for the whole
//! call).
//!
//! Servers are trusted through the CI certificates alone, never through the web PKI: the certificate must be a
//! CERT.DP.TLS or CERT.DS.TLS of a trusted CI, valid now, with the host name among its dNSNames.
//!
//! TLS 1.3 and 1.2 with `ECDHE_ECDSA` and AES-GCM, on secp256r1. Certificates with a brainpoolP256r1 key are verified, and
//! so are handshakes that are signed with it (TLS 1.2 `ecdsa` with SHA-256, TLS 1.3 `ecdsa_brainpoolP256r1tls13_sha256`).
//! Not possible are key exchange on brainpoolP256r1 (hence no handshake with a server that has no other curve, nor with
//! one that refuses to show a brainpool certificate to a client whose supported groups lack that curve, as RFC 8422 5.1
//! has it for TLS 1.2), the AES-CBC suites, intermediate CAs (variants A to C of SGP.22 v3), revocation lists and client
//! certificates. Redirects, cookies, proxies and compressed answers are never used.
//!
//! [`HttpsWebhooks`] sends events to webhooks: the same guard of addresses, and the trust of the web.

mod addresses;
mod breaker;
mod failure;
mod options;
mod servers;
mod tls;
mod webhooks;

pub use options::{HostPattern, OutboundError, OutboundOptions, Route};
pub use webhooks::{HttpsWebhooks, WebhookOptions};

use addresses::Resolver;
use eim_core::ids::RspAddress;
use eim_core::pki::TrustStore;
use eim_core::ports::{Clock, PortFuture, RspCall, RspFailure, RspFunction, RspReply, RspTransport};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, Url};
use rustls::pki_types::ServerName;
use servers::Servers;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// How many idle connections to one server are kept, and for how long.
const IDLE_PER_SERVER: usize = 8;
const IDLE: Duration = Duration::from_secs(20);

/// Is told of every call once: its function, `ok` (2xx), `httpError` (another status) or the failure's reason, and how
/// long it took.
pub type Observer = Arc<dyn Fn(RspFunction, &'static str, Duration) + Send + Sync>;

/// Makes calls to SM-DP+ and SM-DS directly. To be used inside a Tokio runtime.
pub struct HttpsOutbound {
    client: Client,
    options: OutboundOptions,
    admin_protocol: HeaderValue,
    servers: Servers,
    slots: Semaphore,
    clock: Arc<dyn Clock>,
    observer: Option<Observer>,
}

impl HttpsOutbound {
    /// Sets the client up; nothing is connected yet. `clock` says whether certificates are valid and when a server that
    /// was left alone is tried again; the time limits of a call are those of the runtime.
    ///
    /// # Errors
    /// When an option can't be used.
    pub fn new(options: OutboundOptions, trust: TrustStore, clock: Arc<dyn Clock>) -> Result<Self, OutboundError> {
        options.check()?;
        let header = |name, value: &str| HeaderValue::from_str(value).map_err(|_| OutboundError::Header { name });
        let client = Client::builder()
            .tls_backend_preconfigured(tls::client_config(trust, clock.clone())?)
            .dns_resolver(Arc::new(Resolver::new(&options)))
            .https_only(true)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(header("user_agent", &options.user_agent)?)
            .connect_timeout(options.connect_timeout)
            .pool_max_idle_per_host(options.per_server.min(IDLE_PER_SERVER))
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(OutboundError::Client)?;
        Ok(Self {
            client,
            admin_protocol: header("admin_protocol", &options.admin_protocol)?,
            servers: Servers::new(&options),
            slots: Semaphore::new(options.slots.min(Semaphore::MAX_PERMITS)),
            options,
            clock,
            observer: None,
        })
    }

    /// Tells `f` of every call that ends. A call that its caller drops is not told of.
    #[must_use]
    pub fn with_observer(mut self, f: Observer) -> Self {
        self.observer = Some(f);
        self
    }

    async fn observed(&self, call: RspCall) -> Result<RspReply, RspFailure> {
        let (function, started) = (call.function, Instant::now());
        let result = self.limited(call, started).await;
        if let Some(observer) = &self.observer {
            let outcome = match &result {
                Ok(reply) if (200..300).contains(&reply.status) => "ok",
                Ok(_) => "httpError",
                Err(failure) => failure.reason(),
            };
            observer(function, outcome, started.elapsed());
        }
        result
    }

    /// Waits for its turn, then makes the call; all of it within the time of the call.
    async fn limited(&self, call: RspCall, started: Instant) -> Result<RspReply, RspFailure> {
        let url = self.url(&call)?;
        let left = || self.options.timeout.saturating_sub(started.elapsed());
        let mut visit = self.servers.enter(&call.address, self.clock.now_ms())?;
        let permits = visit.permits();
        let turn = async { (permits.acquire().await, self.slots.acquire().await) };
        // Neither semaphore is ever closed.
        let (Ok(_permit), Ok(_slot)) = timeout(left(), turn).await.map_err(|_| RspFailure::Busy)? else {
            return Err(RspFailure::Busy);
        };
        visit.begin(self.clock.now_ms())?;
        let exchange = self.exchange(url, call.body);
        let result = timeout(left(), exchange).await.unwrap_or(Err(RspFailure::Timeout));
        visit.settle(&result, self.clock.now_ms());
        result
    }

    /// The URL of a call to an address that may be called.
    fn url(&self, call: &RspCall) -> Result<Url, RspFailure> {
        self.check_address(&call.address)?;
        let text = format!("https://{}/gsma/rsp2/es9plus/{}", call.address, call.function.as_str());
        // What the URL parser makes of the host must be the host that was checked and that the certificate must name.
        Url::parse(&text)
            .ok()
            .filter(|url| url.domain().is_some_and(|domain| domain.eq_ignore_ascii_case(call.address.host())))
            .filter(|_| ServerName::try_from(call.address.host()).is_ok())
            .ok_or_else(|| refused("not a usable host name"))
    }

    /// What can be said before any name is resolved.
    fn check_address(&self, address: &RspAddress) -> Result<(), RspFailure> {
        let options = &self.options;
        if !options.allow_hosts.is_empty() && !options.allow_hosts.iter().any(|host| host.matches(address.host())) {
            return Err(refused("not on the list of allowed hosts"));
        }
        let routed = || options.route(address.host()).is_some_and(|route| route.target().port() == address.port());
        if !options.allow_private && address.port() != 443 && !routed() {
            return Err(refused("a port other than 443"));
        }
        Ok(())
    }

    async fn exchange(&self, url: Url, body: Vec<u8>) -> Result<RspReply, RspFailure> {
        let response = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("X-Admin-Protocol", self.admin_protocol.clone())
            .body(body)
            .send()
            .await
            .map_err(|error| failure::before_the_answer(&error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(RspFailure::Redirect(status.as_u16()));
        }
        Ok(RspReply { status: status.as_u16(), body: self.body(response).await? })
    }

    /// Reads the body up to the limit. What is announced as longer is not read at all.
    async fn body(&self, mut response: Response) -> Result<Vec<u8>, RspFailure> {
        let limit = self.options.response_bytes;
        let too_large = || RspFailure::TooLarge(limit);
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure::within_the_answer(&error))? {
            if chunk.len() > limit - body.len() {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

impl RspTransport for HttpsOutbound {
    fn call(&self, call: RspCall) -> PortFuture<'_, Result<RspReply, RspFailure>> {
        Box::pin(self.observed(call))
    }

    fn longest_call(&self) -> Duration {
        self.options.timeout
    }
}

impl std::fmt::Debug for HttpsOutbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpsOutbound").field("options", &self.options).finish_non_exhaustive()
    }
}

fn refused(why: &str) -> RspFailure {
    RspFailure::AddressRefused(why.to_owned())
}
