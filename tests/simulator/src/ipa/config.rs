//! Where the eIM is, how to talk to it, and what a poll says.

use super::{Binding, Es9Config, IpaError, TlsVersions, client_config};
use eim_core::ids::Plmn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Where the eIM is and how to talk to it. Clones share the TLS configuration, and with it resumable sessions.
#[derive(Debug, Clone)]
pub struct IpaConfig {
    /// Where to connect.
    pub address: SocketAddr,
    /// The host name: SNI, Host header, and what the certificate must be valid for.
    pub server_name: String,
    /// Which binding.
    pub binding: Binding,
    /// TLS versions and trusted certificates.
    pub tls: Arc<rustls::ClientConfig>,
    /// X-Admin-Protocol.
    pub admin_protocol: String,
    /// User-Agent.
    pub user_agent: String,
    /// How long one exchange may take, connecting included.
    pub timeout: Duration,
    /// The eimId of the eIM, for eUICCs with several; without it the first association is meant.
    pub eim_id: Option<String>,
    /// RSP servers for direct downloads; without it they fail.
    pub es9: Option<Es9Config>,
}

impl IpaConfig {
    /// A configuration with the headers of a usual IPA and both TLS versions.
    ///
    /// # Errors
    /// [`IpaError::Tls`] when none of the certificates (DER) can be trusted.
    pub fn new(
        address: SocketAddr,
        server_name: &str,
        trusted: &[Vec<u8>],
        binding: Binding,
    ) -> Result<Self, IpaError> {
        Ok(Self {
            address,
            server_name: server_name.to_owned(),
            binding,
            tls: client_config(trusted, TlsVersions::Both)?,
            admin_protocol: "gsma/rsp/v2.1.0".to_owned(),
            user_agent: "gsma-rsp-ipad".to_owned(),
            timeout: Duration::from_secs(30),
            eim_id: None,
            es9: None,
        })
    }

    /// The same with the other binding.
    #[must_use]
    pub const fn binding(mut self, binding: Binding) -> Self {
        self.binding = binding;
        self
    }
}

/// What a poll says beside the EID.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PollOptions {
    /// notifyStateChange.
    pub notify_state_change: bool,
    /// stateChangeCause.
    pub cause: Option<i64>,
    /// rPLMN.
    pub r_plmn: Option<Plmn>,
}

impl PollOptions {
    /// notifyStateChange with this cause.
    #[must_use]
    pub const fn state_change(cause: i64) -> Self {
        Self { notify_state_change: true, cause: Some(cause), r_plmn: None }
    }
}
