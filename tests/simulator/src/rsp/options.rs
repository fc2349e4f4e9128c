//! What a simulated server is started with.

use super::faults::TlsFault;

/// The time at which certificates are checked, unless the options name another: 2026-01-01.
const NOW: &str = "2026-01-01T00:00:00Z";

/// How to start an SM-DP+.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmdpOptions {
    /// The host name in CERT.DP.TLS; it should resolve to 127.0.0.1.
    pub host: String,
    /// What the server believes its address to be; `<host>:<port>` if `None`.
    pub address: Option<String>,
    /// Its object identifier, dotted.
    pub oid: String,
    /// What everything random follows from.
    pub seed: u64,
    /// The time at which certificates are checked (RFC 3339).
    pub now: String,
    /// What is wrong with the TLS certificate.
    pub tls_fault: Option<TlsFault>,
    /// Speaks TLS 1.2 and nothing newer.
    pub only_tls12: bool,
}

impl Default for SmdpOptions {
    /// `localhost`, 2.999.10, seed 1, at 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            address: None,
            oid: "2.999.10".to_owned(),
            seed: 1,
            now: NOW.to_owned(),
            tls_fault: None,
            only_tls12: false,
        }
    }
}

/// How to start an SM-DS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmdsOptions {
    /// The host name in CERT.DS.TLS; it should resolve to 127.0.0.1.
    pub host: String,
    /// What the server believes its address to be; `<host>:<port>` if `None`.
    pub address: Option<String>,
    /// Its object identifier, dotted.
    pub oid: String,
    /// What everything random follows from.
    pub seed: u64,
    /// The time at which certificates are checked (RFC 3339).
    pub now: String,
    /// What is wrong with the TLS certificate.
    pub tls_fault: Option<TlsFault>,
    /// Speaks TLS 1.2 and nothing newer.
    pub only_tls12: bool,
}

impl Default for SmdsOptions {
    /// `localhost`, 2.999.15, seed 2, at 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            address: None,
            oid: "2.999.15".to_owned(),
            seed: 2,
            now: NOW.to_owned(),
            tls_fault: None,
            only_tls12: false,
        }
    }
}

impl From<SmdsOptions> for SmdpOptions {
    fn from(options: SmdsOptions) -> Self {
        let SmdsOptions { host, address, oid, seed, now, tls_fault, only_tls12 } = options;
        Self { host, address, oid, seed, now, tls_fault, only_tls12 }
    }
}
