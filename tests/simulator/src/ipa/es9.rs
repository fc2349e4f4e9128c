//! A client of ES9+ and ES11 for IPAs that download by themselves (SGP.22 v2.5 2.6.6, 6.5): JSON over TLS to servers
//! whose certificates chain to a CI.

use super::connection::Connection;
use super::tls::rsp_client_config;
use super::{Exchange, IpaError};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

const ADMIN_PROTOCOL: &str = "gsma/rsp/v2.5.0";
const USER_AGENT: &str = "gsma-rsp-lpad";

/// Which RSP servers are trusted and where they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Es9Config {
    /// CERT.CI.ECDSA of every CI, DER.
    pub trusted: Vec<Vec<u8>>,
    /// Where the servers of these addresses (`host` or `host:port`, lower case) are. `localhost:port` needs no entry.
    pub routes: HashMap<String, SocketAddr>,
}

impl Es9Config {
    fn route(&self, address: &str) -> Option<SocketAddr> {
        let routed = self.routes.get(&address.to_ascii_lowercase()).copied();
        routed.or_else(|| {
            let (host, port) = address.split_once(':')?;
            let port = port.parse().ok().filter(|_| host.eq_ignore_ascii_case("localhost"))?;
            Some((Ipv4Addr::LOCALHOST, port).into())
        })
    }
}

/// At most one connection, to the server that was called last.
#[derive(Debug)]
pub(super) struct Es9Client {
    config: Es9Config,
    tls: Arc<rustls::ClientConfig>,
    connection: Option<(String, Connection)>,
}

impl Es9Client {
    pub fn new(config: Es9Config) -> Result<Self, IpaError> {
        let tls = rsp_client_config(&config.trusted)?;
        Ok(Self { config, tls, connection: None })
    }

    /// Calls a function (the last part of its path).
    pub async fn call(
        &mut self,
        address: &str,
        function: &str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Exchange, IpaError> {
        let exchange = tokio::time::timeout(timeout, self.send(address, function, body)).await;
        exchange.map_err(|_| IpaError::Timeout { timeout_ms: timeout.as_millis() })?
    }

    async fn send(&mut self, address: &str, function: &str, body: Vec<u8>) -> Result<Exchange, IpaError> {
        let usable = match self.connection.take() {
            Some((known, connection)) if known == address => connection.ready().await,
            _ => None,
        };
        let mut connection = match usable {
            Some(connection) => connection,
            None => {
                let socket = self.config.route(address).ok_or(IpaError::Tls("no route to the server".to_owned()))?;
                let host = address.split_once(':').map_or(address, |(host, _)| host);
                Connection::open_to(socket, host, self.tls.clone()).await?
            }
        };
        let path = format!("/gsma/rsp2/es9plus/{function}");
        let headers = [
            ("host", address),
            ("x-admin-protocol", ADMIN_PROTOCOL),
            ("user-agent", USER_AGENT),
            ("content-type", "application/json"),
        ];
        let exchange = connection.exchange("POST", &path, &headers, body).await?;
        self.connection = Some((address.to_owned(), connection));
        Ok(exchange)
    }
}
