//! The client of the operator API: one server, one key.

use super::Failure;
use actix_web::web::Bytes;
use http_body_util::channel::Channel;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Client, Method, RequestBuilder, Response, Url};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(10);
/// The largest answer that is taken as a whole; lists are read in pages and exports as streams.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// A body that is made while it is sent.
pub(super) type Upload = Channel<Bytes, io::Error>;

/// Talks to one server.
pub(super) struct Api {
    client: Client,
    base: Url,
    authorization: HeaderValue,
}

impl Api {
    /// Nothing is connected yet. `silence` is how long the server may say nothing in an answer.
    pub(super) fn new(url: &str, key: &str, ca_file: Option<&Path>, silence: Duration) -> Result<Self, Failure> {
        let base = Url::parse(url).map_err(|error| Failure::Usage(format!("--url {url:?} is no URL: {error}")))?;
        if !["http", "https"].contains(&base.scheme()) || base.host().is_none() || base.query().is_some() {
            return Err(Failure::Usage("--url: http://host:port or https://host:port is expected".to_owned()));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(Failure::Usage("--url: the key belongs in EIM_API_KEY or in a file".to_owned()));
        }
        let mut authorization = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| Failure::Usage("the API key has characters that no key has".to_owned()))?;
        authorization.set_sensitive(true);
        let client = Client::builder();
        // A server that takes in nothing for a while is not dead: how long it may be silent is said.
        #[cfg(target_os = "linux")]
        let client = client.tcp_user_timeout(silence);
        let client = client
            .tls_backend_preconfigured(tls(base.scheme() == "https", ca_file)?)
            .http1_only()
            .no_proxy()
            // The key goes to the server that was named and to no other.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(concat!("eim-server-ctl/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .read_timeout(silence)
            .build()
            .map_err(|error| Failure::Usage(format!("the client can't be set up: {}", chain(&error))))?;
        Ok(Self { client, base, authorization })
    }

    /// Whether the key travels in the clear to another machine.
    pub(super) fn is_unprotected(&self) -> bool {
        let loopback = match self.base.host_str() {
            Some(host) if host.eq_ignore_ascii_case("localhost") => true,
            Some(host) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
            None => false,
        };
        self.base.scheme() == "http" && !loopback
    }

    /// The JSON of an answer to a request; `null` where there is none.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
        idempotency_key: Option<&str>,
    ) -> Result<Value, Failure> {
        let mut request = self.request(method, path, query)?;
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        let mut response = accepted(request).await?;
        let octets = whole(&mut response).await?;
        if octets.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&octets).map_err(|_| Failure::Unreachable("the answer is not JSON".to_owned()))
    }

    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Failure> {
        self.call(Method::GET, path, query, None, None).await
    }

    /// An answer that is read as it comes.
    pub(super) async fn download(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Response, Failure> {
        accepted(self.request(Method::GET, path, query)?).await
    }

    /// Sends a body while it is made; the answer is read as it comes.
    pub(super) async fn upload(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        media_type: &'static str,
        body: Upload,
        idempotency_key: Option<&str>,
    ) -> Result<Response, Failure> {
        let mut request = self.request(Method::POST, path, query)?;
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        accepted(request.header(CONTENT_TYPE, media_type).body(Body::wrap(body))).await
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> Result<RequestBuilder, Failure> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::Usage("--url: a URL with a path is expected".to_owned()))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(self.client.request(method, url).header(AUTHORIZATION, self.authorization.clone()))
    }
}

/// The next part of an answer; `None` at its end.
pub(super) async fn next_part(response: &mut Response) -> Result<Option<Bytes>, Failure> {
    response.chunk().await.map_err(|error| Failure::Unreachable(format!("the answer broke off: {}", chain(&error))))
}

async fn accepted(request: RequestBuilder) -> Result<Response, Failure> {
    let mut response = request.send().await.map_err(|error| Failure::Unreachable(chain(&error.without_url())))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let octets = whole(&mut response).await.unwrap_or_default();
    let problem = serde_json::from_slice(&octets).ok().filter(Value::is_object);
    Err(match problem {
        _ if !status.is_client_error() && !status.is_server_error() => {
            Failure::Unreachable(format!("the server answered {status}, which is no answer of an eIM"))
        }
        problem => Failure::Answer { status: status.as_u16(), problem: problem.unwrap_or(Value::Null) },
    })
}

async fn whole(response: &mut Response) -> Result<Vec<u8>, Failure> {
    let mut octets = Vec::new();
    while let Some(part) = next_part(response).await? {
        if octets.len() + part.len() > ANSWER_MAX {
            return Err(Failure::Unreachable("the answer is too large".to_owned()));
        }
        octets.extend_from_slice(&part);
    }
    Ok(octets)
}

fn tls(wanted: bool, ca_file: Option<&Path>) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        let unusable = |why: String| Failure::Usage(format!("--ca-file {}: {why}", path.display()));
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(unusable("there is no certificate in it".to_owned()));
        }
    } else if wanted {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::Usage(format!("TLS can't be set up: {error}")))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// An error with its causes, which hold what a person needs to know.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
