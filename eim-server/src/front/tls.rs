//! TLS of the device front: 1.2 and 1.3, ECDSA only, the suites that IPAs have.

use super::TlsSwitch;
use anyhow::Context;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ServerSessionMemoryCache;
use std::sync::Arc;

/// Sessions kept for resumption without tickets (TLS 1.2 session ids).
const SESSIONS: usize = 10_000;

/// The configuration of the listener.
///
/// # Errors
/// When TLS can't be set up.
pub fn server_config(tls: Arc<TlsSwitch>) -> anyhow::Result<ServerConfig> {
    // The provider is passed and not installed: nothing in the process may depend on which one came first.
    let provider = CryptoProvider {
        cipher_suites: vec![
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
            ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        ],
        ..ring::default_provider()
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .context("TLS could not be set up")?
        .with_no_client_auth()
        .with_cert_resolver(tls);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed TLS 1.2 session spares device and server the costly half of the handshake.
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    config.ticketer = ring::Ticketer::new().context("TLS session tickets could not be set up")?;
    Ok(config)
}
