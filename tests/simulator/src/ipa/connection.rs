//! One HTTPS connection: HTTP/1.1 over TLS, kept alive.

use super::{IpaConfig, IpaError};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

/// Responses larger than this are refused.
const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;

/// A request and its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Path of the request.
    pub path: String,
    /// Body of the request.
    pub request: Vec<u8>,
    /// Status of the response.
    pub status: u16,
    /// Headers of the response, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body of the response.
    pub response: Vec<u8>,
}

impl Exchange {
    /// The first response header of this name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    pub async fn open(config: &IpaConfig) -> Result<Self, IpaError> {
        Self::open_to(config.address, &config.server_name, config.tls.clone()).await
    }

    /// Connects to this address, to a server of this name.
    pub async fn open_to(address: SocketAddr, host: &str, tls: Arc<ClientConfig>) -> Result<Self, IpaError> {
        let tcp = TcpStream::connect(address).await.map_err(|cause| IpaError::Connect { address, cause })?;
        tcp.set_nodelay(true).map_err(|cause| IpaError::Connect { address, cause })?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| IpaError::Tls(error.to_string()))?;
        let tls = TlsConnector::from(tls).connect(name, tcp).await.map_err(|error| IpaError::Tls(error.to_string()))?;
        let (sender, connection) = http1::handshake(TokioIo::new(tls)).await.map_err(http)?;
        // an error of the connection is seen by the request that waits on it
        let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(Self { sender, driver })
    }

    /// This connection, if it can take another request.
    pub async fn ready(mut self) -> Option<Self> {
        match self.sender.ready().await {
            Ok(()) if !self.sender.is_closed() => Some(self),
            _ => None,
        }
    }

    pub async fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Exchange, IpaError> {
        let mut request = hyper::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request =
            request.body(Full::new(Bytes::from(body.clone()))).map_err(|error| IpaError::Http(error.to_string()))?;
        let response = self.sender.send_request(request).await.map_err(http)?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let response = Limited::new(response.into_body(), MAX_RESPONSE_BYTES)
            .collect()
            .await
            .map_err(|error| IpaError::Http(error.to_string()))?
            .to_bytes()
            .to_vec();
        Ok(Exchange { path: path.to_owned(), request: body, status, headers, response })
    }
}

fn http(error: hyper::Error) -> IpaError {
    IpaError::Http(error.to_string())
}
