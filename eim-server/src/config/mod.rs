//! Configuration: typed values from the built-in default, a file and the environment.
//!
//! `default.toml` is default and manual at once, so a key that is not in it does not exist. Reading files that a value
//! points to is not done here: that is the work of [`boot`](crate::boot).

mod load;
mod show;
mod url;

pub use crate::signing::KeySource;
pub use load::{ConfigError, load};
pub use show::effective;
pub use url::{BrokerUrl, QueueUrl};

use crate::outbound::{HostPattern, OutboundOptions, Route};
use crate::signing::pkcs11::TokenOptions;
use eim_core::EimIdType;
use eim_core::domain::TokenPolicy;
use eim_core::rsp::initiate_authentication::AddressField;
use eim_core::store::StoreUrl;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Every value of the server. [`Config::default`] is `default.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The data directory.
    pub data: Data,
    /// Who we are for eUICCs.
    pub eim: Eim,
    /// The hardware module.
    pub pkcs11: Pkcs11,
    /// The device front.
    pub esipa: Esipa,
    /// The operator API.
    pub api: Api,
    /// The database.
    pub store: Store,
    /// The queue.
    pub queue: Queue,
    /// What keeps secrets in the database.
    pub secrets: Secrets,
    /// Whom we trust.
    pub pki: Pki,
    /// The lab policy.
    pub lab: Lab,
    /// Associations with eUICCs.
    pub associations: Associations,
    /// Calls to others.
    pub outbound: Outbound,
    /// Calls to webhooks.
    pub webhooks: Webhooks,
    /// Sizes, numbers and times.
    pub limits: Limits,
    /// Logging.
    pub log: Log,
}

/// `[associations]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Associations {
    /// What is done when an eUICC tells another token.
    pub reported_token: TokenPolicy,
    /// Every how many days a device is asked for its eIMs and profiles, 1 to 365; 0 for never.
    pub look_over_days: u16,
}

impl Associations {
    /// The most days between two looks.
    pub const LOOK_OVER_DAYS_MAX: u16 = 365;

    /// The time between two looks in milliseconds; `None` for never.
    #[must_use]
    pub fn look_over_ms(&self) -> Option<i64> {
        (self.look_over_days > 0).then(|| i64::from(self.look_over_days) * 86_400_000)
    }
}

/// `[data]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Folder of the SQLite file and of generated keys.
    pub dir: PathBuf,
}

/// `[eim]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eim {
    /// eimId; absent when it is derived or generated.
    #[serde(deserialize_with = "load::text_or_none")]
    pub id: Option<String>,
    /// eimFqdn.
    pub fqdn: String,
    /// eimIdType.
    #[serde(deserialize_with = "load::parsed")]
    pub id_type: EimIdType,
    /// Where the signing key of new associations is kept, see [`KeySource`]; absent when it is generated.
    #[serde(deserialize_with = "load::path_or_none")]
    pub signing_key: Option<PathBuf>,
    /// Where further signing keys are kept.
    #[serde(deserialize_with = "load::list")]
    pub further_signing_keys: Vec<KeySource>,
    /// PEM file of its certificate, if there is one.
    #[serde(deserialize_with = "load::path_or_none")]
    pub signing_certificate: Option<PathBuf>,
    /// TOML file with further identities, if there is one.
    #[serde(deserialize_with = "load::path_or_none")]
    pub identities: Option<PathBuf>,
}

/// `[pkcs11]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11 {
    /// The shared library of the module, if there is one.
    #[serde(deserialize_with = "load::path_or_none")]
    pub module: Option<PathBuf>,
    /// The label of the token.
    pub token: String,
    /// The file with the PIN; absent when the environment has it.
    #[serde(deserialize_with = "load::path_or_none")]
    pub pin_file: Option<PathBuf>,
    /// Sessions at most.
    pub sessions: usize,
}

impl Pkcs11 {
    /// The token, if one is configured.
    #[must_use]
    pub fn options(&self) -> Option<TokenOptions> {
        let module = self.module.clone()?;
        Some(TokenOptions {
            module,
            token: self.token.clone(),
            pin_file: self.pin_file.clone(),
            sessions: self.sessions,
        })
    }
}

/// `[esipa]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Esipa {
    /// Address to listen on; port 0 takes a free one.
    #[serde(deserialize_with = "load::parsed")]
    pub listen: SocketAddr,
    /// PEM file of the TLS certificate chain; absent when it is generated.
    #[serde(deserialize_with = "load::path_or_none")]
    pub tls_certificate: Option<PathBuf>,
    /// PEM file of the TLS key; absent when it is generated.
    #[serde(deserialize_with = "load::path_or_none")]
    pub tls_key: Option<PathBuf>,
}

/// `[api]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Address to listen on; port 0 takes a free one.
    #[serde(deserialize_with = "load::parsed")]
    pub listen: SocketAddr,
    /// Streams of events that may be open at the same time.
    pub event_streams: usize,
}

/// `[store]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// The database; absent for a SQLite file in the data directory.
    #[serde(deserialize_with = "load::parsed_or_none")]
    pub url: Option<StoreUrl>,
    /// Connections to PostgreSQL at most.
    pub pool_size: usize,
}

/// `[queue]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Where work waits.
    #[serde(deserialize_with = "load::parsed")]
    pub url: QueueUrl,
    /// What the names of queues and exchanges at the broker begin with.
    pub prefix: String,
}

/// `[secrets]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// File with the key that seals activation codes and confirmation codes; absent when it is generated.
    #[serde(deserialize_with = "load::path_or_none")]
    pub key: Option<PathBuf>,
}

/// `[pki]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pki {
    /// Folder of trusted CI certificates, if any.
    #[serde(deserialize_with = "load::path_or_none")]
    pub ci_dir: Option<PathBuf>,
}

/// `[lab]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lab {
    /// Whether the result policy "lab" may be used.
    pub enabled: bool,
}

/// `[outbound]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outbound {
    /// Whether we may call private addresses.
    pub allow_private: bool,
    /// The only hosts that we may call; empty for all.
    #[serde(deserialize_with = "load::list")]
    pub allow_hosts: Vec<HostPattern>,
    /// Hosts with a fixed address.
    #[serde(deserialize_with = "load::list")]
    pub routes: Vec<Route>,
    /// Time to connect, TLS included.
    pub connect_timeout_ms: u64,
    /// Time for a whole call.
    pub timeout_ms: u64,
    /// Largest answer in octets.
    pub response_bytes: usize,
    /// Calls to one server at the same time.
    pub calls_per_server: usize,
    /// Calls that may wait for one server.
    pub waiting_per_server: usize,
    /// Calls at the same time, to all servers together.
    pub calls: usize,
    /// Failures in a row after which a server is left alone for a while.
    pub breaker_failures: u32,
    /// How long it is left alone.
    pub breaker_pause_ms: u64,
    /// The member that carries the address of an SM-DS.
    #[serde(deserialize_with = "load::smds_address_field")]
    pub smds_address_field: AddressField,
}

impl Outbound {
    /// What the client that makes the calls is given.
    #[must_use]
    pub fn options(&self) -> OutboundOptions {
        OutboundOptions {
            allow_private: self.allow_private,
            allow_hosts: self.allow_hosts.clone(),
            routes: self.routes.clone(),
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            timeout: Duration::from_millis(self.timeout_ms),
            response_bytes: self.response_bytes,
            per_server: self.calls_per_server,
            waiting_per_server: self.waiting_per_server,
            slots: self.calls,
            breaker_failures: self.breaker_failures,
            breaker_pause: Duration::from_millis(self.breaker_pause_ms),
            ..OutboundOptions::default()
        }
    }
}

/// `[webhooks]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// PEM file of certificates to trust beside those of the system, if any.
    #[serde(deserialize_with = "load::path_or_none")]
    pub ca_file: Option<PathBuf>,
    /// Time for a whole call.
    pub timeout_ms: u64,
    /// Calls at the same time, to all webhooks together.
    pub calls: usize,
}

/// `[limits]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Largest request body in octets.
    pub body_bytes: usize,
    /// Largest body of an import in octets.
    pub import_bytes: u64,
    /// Threads for each listener; 0 lets the server choose.
    pub workers: usize,
    /// Open connections per listener and thread.
    pub max_connections: usize,
    /// TLS handshakes under way per thread.
    pub max_handshakes: usize,
    /// Connections waiting to be accepted.
    pub backlog: u32,
    /// Time for a TLS handshake.
    pub handshake_timeout_ms: u64,
    /// Time for the head of a request, and again for its body.
    pub request_timeout_ms: u64,
    /// Time for a client to take something of its answer.
    pub write_timeout_ms: u64,
    /// Time that an idle connection is kept.
    pub keep_alive_ms: u64,
    /// Time for requests under way when the server stops.
    pub shutdown_timeout_s: u64,
    /// Open connections of one address, per listener.
    pub connections_per_address: usize,
    /// TLS handshakes of one address that are under way.
    pub handshakes_per_address: usize,
    /// Requests in a second on one connection of a device; further ones wait.
    pub connection_per_second: u32,
    /// How many of them may come at once.
    pub connection_burst: u32,
    /// Requests in a second under one EID, and in one session with an SM-DP+.
    pub eid_per_second: u32,
    /// How many of them may come at once.
    pub eid_burst: u32,
    /// Requests of one address under one EID that are under way at once.
    pub eid_at_once: usize,
    /// EIDs and API keys in a second that turn out to be unknown.
    pub strangers_per_second: u32,
    /// How many of them may come at once.
    pub strangers_burst: u32,
    /// Requests of devices that are worked on at once.
    pub requests_at_once: usize,
    /// Requests of devices that may wait for that.
    pub requests_waiting: usize,
    /// Requests of devices that are relayed to an SM-DP+ or SM-DS at once.
    pub relayed_at_once: usize,
    /// Requests to the API that are worked on at once.
    pub api_requests_at_once: usize,
    /// Requests to the API that may wait for that.
    pub api_requests_waiting: usize,
    /// Requests in a second with one API key.
    pub api_key_per_second: u32,
    /// How many of them may come at once.
    pub api_key_burst: u32,
    /// Requests with one API key that are under way at once.
    pub api_key_at_once: usize,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The shape of a line.
    #[serde(deserialize_with = "load::parsed")]
    pub format: LogFormat,
    /// A level or a filter.
    pub level: String,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl Config {
    /// The defaults for a server beside others, in tests and rehearsals: its own data directory, free ports, one thread
    /// for each listener, a quick stop.
    #[must_use]
    pub fn ephemeral(data_dir: PathBuf) -> Self {
        let mut config = Self::default();
        config.data.dir = data_dir;
        config.esipa.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.api.listen = config.esipa.listen;
        config.limits.workers = 1;
        config.limits.shutdown_timeout_s = 1;
        config
    }

    /// The database in force: the configured one, or a SQLite file in the data directory.
    #[must_use]
    pub fn store_url(&self) -> StoreUrl {
        self.store.url.clone().unwrap_or_else(|| StoreUrl::Sqlite(self.data.dir.join("eim.db")))
    }
}

impl Default for Config {
    #[allow(clippy::expect_used, reason = "default.toml is part of the program and read by a test")]
    fn default() -> Self {
        load(None, []).expect("default.toml can be read")
    }
}

impl Limits {
    /// Time for a TLS handshake.
    #[must_use]
    pub const fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms)
    }

    /// Time for the head of a request, and again for its body.
    #[must_use]
    pub const fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// Time for a client to take something of its answer.
    #[must_use]
    pub const fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms)
    }

    /// Time that an idle connection is kept.
    #[must_use]
    pub const fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive_ms)
    }
}

impl std::str::FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected \"text\" or \"json\""),
        }
    }
}

impl std::fmt::Display for LogFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}
