//! Sends events to webhooks over HTTPS (Standard Webhooks; CloudEvents 1.0 HTTP binding, structured mode).
//!
//! Their addresses come from users of the API, who must not reach the operator's network through the eIM: the guard is
//! that of calls to SM-DP+ and SM-DS. It holds when a webhook is made and at each call, for addresses in the URL and for
//! those that its name resolves to. Servers are trusted as on the web: the roots of the operating system, and those of a
//! file. Nothing of an answer is used but its status.

use super::addresses::{Resolver, is_public};
use super::{OutboundError, OutboundOptions, failure};
use crate::config::Config;
use anyhow::Context;
use eim_core::ports::{Clock, PortFuture, RspFailure, WebhookCall, WebhookTransport};
use reqwest::dns::{Name, Resolve};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Url};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How much of the body of an answer is read, so that the connection can be used again; the rest is not wanted.
const READ_BYTES: usize = 16 * 1024;
const IDLE_PER_WEBHOOK: usize = 1;
const IDLE: Duration = Duration::from_secs(20);

/// How webhooks are called.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// The guard of addresses and the time to connect are those of calls to servers.
    pub outbound: OutboundOptions,
    /// For the whole call.
    pub timeout: Duration,
    /// Calls under way to all webhooks together; one more is refused as busy.
    pub slots: usize,
    /// Certificates to trust, DER.
    pub roots: Vec<CertificateDer<'static>>,
}

impl WebhookOptions {
    /// Those of a configuration. Reads the certificates.
    ///
    /// # Errors
    /// When `webhooks.ca_file` can't be read or has no certificate.
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        let mut roots = rustls_native_certs::load_native_certs().certs;
        if let Some(path) = &config.webhooks.ca_file {
            let named = || format!("webhooks.ca_file {}", path.display());
            let found: Vec<_> = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .with_context(|| format!("{} can't be read", named()))?;
            anyhow::ensure!(!found.is_empty(), "{} has no certificate", named());
            roots.extend(found);
        }
        Ok(Self {
            outbound: config.outbound.options(),
            timeout: Duration::from_millis(config.webhooks.timeout_ms),
            slots: config.webhooks.calls,
            roots,
        })
    }
}

/// Calls webhooks directly. To be used inside a Tokio runtime.
pub struct HttpsWebhooks {
    client: Client,
    resolver: Arc<Resolver>,
    outbound: OutboundOptions,
    timeout: Duration,
    slots: Semaphore,
}

impl HttpsWebhooks {
    /// Sets the client up; nothing is connected yet. `clock` says whether certificates are valid.
    ///
    /// # Errors
    /// When an option can't be used.
    pub fn new(options: WebhookOptions, clock: Arc<dyn Clock>) -> Result<Self, OutboundError> {
        let resolver = Arc::new(Resolver::new(&options.outbound));
        let client = Client::builder()
            .tls_backend_preconfigured(client_config(options.roots, clock)?)
            .dns_resolver(Arc::clone(&resolver))
            .https_only(!options.outbound.allow_private)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent("eim-server")
            .connect_timeout(options.outbound.connect_timeout)
            .pool_max_idle_per_host(IDLE_PER_WEBHOOK)
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(OutboundError::Client)?;
        Ok(Self {
            client,
            resolver,
            outbound: options.outbound,
            timeout: options.timeout,
            slots: Semaphore::new(options.slots.min(Semaphore::MAX_PERMITS)),
        })
    }

    /// What can be said of an address before its name is resolved.
    fn judge(&self, text: &str) -> Result<Url, &'static str> {
        let url = Url::parse(text).map_err(|_| "an absolute https address is expected")?;
        let allow_private = self.outbound.allow_private;
        if url.scheme() != "https" && !(allow_private && url.scheme() == "http") {
            return Err("an https address is expected");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("no user name and no password may be in the address; deliveries are signed");
        }
        if url.fragment().is_some() {
            return Err("no fragment (#) may be in the address");
        }
        let host = url.host_str().ok_or("the address needs a host")?;
        let literal: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        if literal.is_some_and(|ip| !allow_private && !is_public(ip)) {
            return Err("the address is in a private range (outbound.allow_private)");
        }
        let port = url.port_or_known_default();
        let routed = || self.outbound.route(host).is_some_and(|route| Some(route.target().port()) == port);
        if !allow_private && port != Some(443) && !routed() {
            return Err("port 443 is expected (outbound.allow_private)");
        }
        Ok(url)
    }

    async fn admitted(&self, text: &str) -> Result<(), String> {
        let url = self.judge(text)?;
        // An address that is a number was judged already.
        let Some(name) = url.domain().and_then(|domain| domain.parse::<Name>().ok()) else { return Ok(()) };
        match timeout(self.outbound.connect_timeout, self.resolver.resolve(name)).await {
            Err(_) => Err("the name of the host could not be resolved in time".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(_)) => Ok(()),
        }
    }

    async fn exchange(&self, call: WebhookCall) -> Result<u16, RspFailure> {
        let url = self.judge(&call.url).map_err(|why| RspFailure::AddressRefused(why.to_owned()))?;
        let _slot = self.slots.try_acquire().map_err(|_| RspFailure::Busy)?;
        let header = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| RspFailure::Broken("a header can't be sent".to_owned()))
        };
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/cloudevents+json; charset=utf-8")
            .header("webhook-id", header(&call.id)?)
            .header("webhook-timestamp", call.timestamp_s)
            .header("webhook-signature", header(&call.signature)?)
            .body(call.body);
        let sending = async {
            let mut response = request.send().await.map_err(|error| failure::before_the_answer(&error))?;
            let status = response.status();
            if status.is_redirection() {
                return Err(RspFailure::Redirect(status.as_u16()));
            }
            let mut read = 0;
            // The status has been said; what comes after it changes nothing.
            while let Ok(Some(chunk)) = response.chunk().await {
                read += chunk.len();
                if read > READ_BYTES {
                    break;
                }
            }
            Ok(status.as_u16())
        };
        timeout(self.timeout, sending).await.unwrap_or(Err(RspFailure::Timeout))
    }
}

impl WebhookTransport for HttpsWebhooks {
    fn admit(&self, url: String) -> PortFuture<'_, Result<(), String>> {
        Box::pin(async move { self.admitted(&url).await })
    }

    fn post(&self, call: WebhookCall) -> PortFuture<'_, Result<u16, RspFailure>> {
        Box::pin(self.exchange(call))
    }
}

fn client_config(roots: Vec<CertificateDer<'static>>, clock: Arc<dyn Clock>) -> Result<ClientConfig, OutboundError> {
    let mut store = RootCertStore::empty();
    // Roots of the system that can't be read are left out, as by any other program.
    store.add_parsable_certificates(roots);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_details(provider, Arc::new(ClockTime(clock)))
        .with_safe_default_protocol_versions()
        .map_err(OutboundError::Tls)?
        .with_root_certificates(store)
        .with_no_client_auth())
}

/// The time of our clock, for TLS.
struct ClockTime(Arc<dyn Clock>);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let ms = u64::try_from(self.0.now_ms()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_millis(ms)))
    }
}

/// `TimeProvider` must be printable, a clock is not.
impl fmt::Debug for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClockTime")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use eim_core::ports::SystemClock;

    fn webhooks(allow_private: bool) -> HttpsWebhooks {
        let outbound = OutboundOptions {
            allow_private,
            routes: vec!["routed.example=10.0.0.1:8443".parse().unwrap()],
            ..OutboundOptions::default()
        };
        let options = WebhookOptions { outbound, timeout: Duration::from_secs(1), slots: 1, roots: vec![] };
        HttpsWebhooks::new(options, Arc::new(SystemClock)).unwrap()
    }

    #[test]
    fn addresses_are_judged_before_they_are_called() {
        let strict = webhooks(false);
        for url in [
            "https://hooks.example/a?b=c",
            "https://hooks.example:443/",
            "https://1.1.1.1/",
            "https://routed.example:8443/",
        ] {
            assert!(strict.judge(url).is_ok(), "{url}");
        }
        for (url, reason) in [
            ("", "absolute"),
            ("/path", "absolute"),
            ("http://hooks.example/", "https"),
            ("ftp://hooks.example/", "https"),
            ("file:///etc/passwd", "https"),
            ("https://user@hooks.example/", "user name"),
            ("https://:secret@hooks.example/", "user name"),
            ("https://hooks.example/#a", "fragment"),
            ("https://127.0.0.1/", "private"),
            ("https://2130706433/", "private"),
            ("https://0x7f.1/", "private"),
            ("https://[::1]/", "private"),
            ("https://[::ffff:10.0.0.1]/", "private"),
            ("https://169.254.169.254/latest/meta-data", "private"),
            ("https://hooks.example:8443/", "443"),
        ] {
            let refused = strict.judge(url).unwrap_err();
            assert!(refused.contains(reason), "{url}: {refused}");
        }
        let lax = webhooks(true);
        for url in ["http://127.0.0.1:8080/", "https://[::1]:1/"] {
            assert!(lax.judge(url).is_ok(), "{url}");
        }
        assert!(lax.judge("https://user@127.0.0.1/").is_err());
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_a_private_address_is_refused() {
        let refused = webhooks(false).admit("https://localhost/".to_owned()).await.unwrap_err();
        assert!(refused.contains("private"), "{refused}");
        assert_eq!(webhooks(true).admit("https://localhost/".to_owned()).await, Ok(()));
        let call = WebhookCall {
            url: "https://localhost/".to_owned(),
            id: "1".to_owned(),
            timestamp_s: 0,
            signature: "v1,".to_owned(),
            body: vec![],
        };
        assert!(matches!(webhooks(false).post(call).await, Err(RspFailure::AddressRefused(_))));
    }
}
