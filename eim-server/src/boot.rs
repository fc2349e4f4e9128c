//! The one composition root: from configuration to a running server. Tests and the demo come in here, too.
//!
//! Everything is passed in or made here; nothing is global. Port 0 takes a free port, and [`Server`] tells which.

use crate::api::{self, Api};
use crate::background::Background;
use crate::config::Config;
use crate::front::{self, Front, TlsSwitch};
use crate::identity::{DataDir, DataDirLock, Identity, TlsIdentity};
use crate::limits::Rate;
use crate::listener::Listener;
use crate::outbound::{HttpsWebhooks, WebhookOptions};
pub use crate::pipeline::Role;
use crate::pipeline::{NoCalls, Pipeline};
use crate::queue::{self, Queue};
use actix_web::App;
use actix_web::dev::{Server as HttpServer, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use anyhow::{Context, bail};
use eim_core::ids::{EimId, KeyId};
use eim_core::pki::{LabPolicy, TrustStore};
use eim_core::ports::{Clock, Entropy, KeyRing, RingKey, RspTransport, SystemClock, SystemEntropy, WebhookTransport};
use eim_core::store::keys::KnownKey;
use eim_core::store::{MigrationNumber, Store, StoreError, StoreUrl};
use eim_core::{Eim, EimParts};
use prometheus::Registry;
use std::collections::{BTreeSet, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Threads of the API listener when none are configured.
const API_WORKERS: usize = 2;

/// What a server takes from outside beside its configuration: time and randomness.
#[derive(Clone)]
pub struct BootPorts {
    /// The clock; the system's by default.
    pub clock: Arc<dyn Clock>,
    /// The random numbers, those of identifiers and API keys included; the system's by default. The generated signing and
    /// TLS keys always come from the system.
    pub entropy: Arc<dyn Entropy>,
}

impl Default for BootPorts {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) }
    }
}

/// A running server. Dropped without [`Server::stop`] it ends at once, as if it had crashed.
pub struct Server {
    /// Where the device front listens (HTTPS).
    pub esipa_addr: SocketAddr,
    /// Where the operator API listens (HTTP).
    pub api_addr: SocketAddr,
    /// The application behind both.
    pub eim: Eim,
    /// The DER certificate that a device trusts to accept the front.
    pub esipa_trust_der: Vec<u8>,
    /// Whether this was the first start with this data directory.
    pub first_start: bool,
    tls: Tls,
    running: Running,
}

struct Tls {
    switch: Arc<TlsSwitch>,
    config: Config,
}

/// The application without listeners, for commands.
pub struct Composition {
    /// The application.
    pub eim: Eim,
    /// The TLS identity of the device front.
    pub tls: TlsIdentity,
    /// Whether this was the first start with this data directory.
    pub first_start: bool,
    registry: Registry,
}

/// Starts a server: identity, store, both listeners, calls, jobs and the background task.
///
/// # Errors
/// When something of the configuration does not hold in reality; the message says what.
pub async fn start(config: Config, ports: BootPorts) -> anyhow::Result<Server> {
    start_as(Role::All, config, ports).await
}

/// Starts a server that may leave calls and jobs to workers. A worker has no listeners of its own: see [`start_worker`].
///
/// # Errors
/// Those of [`start`].
pub async fn start_as(role: Role, config: Config, ports: BootPorts) -> anyhow::Result<Server> {
    DataDir::open(&config.data.dir)?;
    let lock = match config.store_url() {
        StoreUrl::Sqlite(database) => Some(DataDirLock::of_database(&database)?),
        StoreUrl::Postgres(_) => None,
    };
    let (Composition { eim, tls, first_start, registry }, pipeline) = compose_as(role, &config, ports).await?;
    if lock.is_some() {
        // The lock says that nobody else is there; the leases are of a process that has died.
        let released = eim_core::jobs::give_back_all(&eim).await.context("jobs can't be given back")?;
        tracing::debug!(released, "leases of a process that ended were given back");
    }
    let pipeline = pipeline.run(&eim).await?;
    note_start(if role == Role::Front { "front" } else { "all" }, &eim).await?;
    let trust_der = tls.trust_der();
    let switch = Arc::new(TlsSwitch::new(&tls, &config)?);
    if let Err(error) = tls.check_dates() {
        tracing::error!(error = format!("{error:#}"), "devices that look at the dates will not connect");
    }
    let (esipa_addr, esipa) = listen_esipa(&config, &eim, Arc::clone(&switch))?;
    let streams = api::Streams::new(config.api.event_streams);
    let (api_addr, api) = match listen_api(&config, &eim, registry, streams.clone()) {
        Ok(listening) => listening,
        Err(error) => {
            esipa.handle.stop(false).await;
            return Err(error);
        }
    };
    tell_of_missing_keys(&eim).await?;
    let background = Background::start(eim.clone(), true);
    let tls_watch = tokio::spawn(watch_tls(Arc::clone(&switch), config.clone()));
    let running = Running {
        streams,
        listeners: vec![esipa, api],
        background: Some(background),
        pipeline: Some(pipeline),
        lock,
        tls_watch: Some(tls_watch),
    };
    let tls = Tls { switch, config };
    Ok(Server { esipa_addr, api_addr, eim, esipa_trust_der: trust_der, first_start, tls, running })
}

/// A running worker. Dropped without [`Worker::stop`] it ends at once, as if it had crashed.
pub struct Worker {
    /// Where monitoring finds it (HTTP): /healthz, /readyz, /metrics.
    pub service_addr: SocketAddr,
    /// The application behind it.
    pub eim: Eim,
    running: Running,
}

/// Starts a worker: it makes the calls of fronts and runs jobs, and serves nobody but monitoring.
///
/// # Errors
/// Those of [`start`].
pub async fn start_worker(config: Config, ports: BootPorts) -> anyhow::Result<Worker> {
    let (Composition { eim, registry, .. }, pipeline) = compose_as(Role::Worker, &config, ports).await?;
    let queue = pipeline.queue();
    note_start("worker", &eim).await?;
    let pipeline = pipeline.run(&eim).await?;
    let (service_addr, service) = listen_service(&config, &eim, registry, queue)?;
    let background = Background::start(eim.clone(), false);
    let running = Running {
        streams: api::Streams::new(0),
        listeners: vec![service],
        background: Some(background),
        pipeline: Some(pipeline),
        lock: None,
        tls_watch: None,
    };
    Ok(Worker { service_addr, eim, running })
}

async fn note_start(role: &str, eim: &Eim) -> anyhow::Result<()> {
    let noted = eim_core::manage::audit::note_start(role, env!("CARGO_PKG_VERSION"), eim).await;
    noted.context("the start could not be written to the audit log")
}

impl Worker {
    /// Stops: calls and jobs under way are finished, then all is over.
    pub async fn stop(self) {
        self.running.stop(true).await;
    }

    /// Stops at once, as a crash would.
    pub async fn kill(self) {
        self.running.stop(false).await;
    }

    /// Returns when the listener has ended by itself, which it should not.
    pub async fn failed(&mut self) {
        self.running.failed().await;
    }
}

/// Builds the application for commands, which call nobody: identity, store (migrated, when it is SQLite), trust and metrics.
///
/// # Errors
/// When something of the configuration does not hold in reality, or PostgreSQL lacks migrations.
pub async fn compose(config: &Config, ports: BootPorts) -> anyhow::Result<Composition> {
    let parts = Parts::prepare(config, ports).await?;
    parts.record_keys().await?;
    Ok(parts.compose(config, Arc::new(NoCalls), Arc::new(NoCalls)))
}

/// The library without the signing keys and the TLS key of the eIM, for commands that sign nothing: they work while a hardware module
/// is away, and generate nothing in the data directory. Keys of the moment stand in their place, and so does the sealing key: what is
/// sealed can't be read, and nothing may be sealed.
///
/// # Errors
/// When the store can't be opened.
pub async fn compose_without_keys(config: &Config, ports: BootPorts) -> anyhow::Result<Composition> {
    let dir = match config.store_url() {
        StoreUrl::Sqlite(_) => DataDir::open(&config.data.dir)?,
        StoreUrl::Postgres(_) => DataDir::rehearsal(&config.data.dir)?,
    };
    let mut bare = config.clone();
    bare.eim.id = Identity::known_eim_id(config, &dir);
    bare.eim.signing_key = None;
    bare.eim.further_signing_keys = vec![];
    bare.eim.identities = None;
    bare.esipa.tls_key = None;
    bare.esipa.tls_certificate = None;
    let parts = Parts::prepare_in(&bare, &DataDir::rehearsal(&dir.path("no-such-directory"))?, ports).await?;
    Ok(parts.compose(&bare, Arc::new(NoCalls), Arc::new(NoCalls)))
}

/// The same as [`compose`], of a server that was started before: its keys are read, and none is generated.
///
/// # Errors
/// When something of it is not there.
pub async fn compose_existing(config: &Config, ports: BootPorts) -> anyhow::Result<Composition> {
    let parts = Parts::prepare_in(config, &DataDir::rehearsal(&config.data.dir)?, ports).await?;
    if parts.identity.first_start {
        bail!("the data directory {} (data.dir) is of no server yet", config.data.dir.display());
    }
    Ok(parts.compose(config, Arc::new(NoCalls), Arc::new(NoCalls)))
}

/// Notes that the store is a backup that was restored, with the keys of the configuration: they were there before, whether the backup knows
/// them or not. Gives all keys that are given to no device any more, each with the number of devices that trust it.
///
/// # Errors
/// When a server runs on the file of the store, the store is of another eIM or of none, or something is not there.
pub async fn note_restore(config: &Config, ports: BootPorts) -> anyhow::Result<Vec<(KeyId, i64)>> {
    let _lock = match config.store_url() {
        StoreUrl::Sqlite(database) => Some(DataDirLock::of_database(&database)?),
        StoreUrl::Postgres(_) => None,
    };
    let parts = Parts::prepare_in(config, &DataDir::rehearsal(&config.data.dir)?, ports).await?;
    // Keys that are configured need no data directory, as in a container.
    if parts.identity.first_start && config.eim.signing_key.is_none() {
        bail!("the data directory {} (data.dir) is of no server yet", config.data.dir.display());
    }
    let known = parts.store.known_keys().await.context("the signing keys can't be read in the store")?;
    let url = config.store_url();
    if known.is_empty() {
        bail!("the store {url} knows no signing key: it is no backup of a server, or not the whole of one");
    }
    let own = &parts.identity.eim.eim_id;
    if known.iter().all(|key| key.eim_id != *own) {
        let there: BTreeSet<&str> = known.iter().map(|key| key.eim_id.as_str()).collect();
        bail!("the store {url} is of the eIM {there:?}, and the configuration says {own} (eim.id)");
    }
    parts.record_keys().await?;
    let eim = parts.compose(config, Arc::new(NoCalls), Arc::new(NoCalls)).eim;
    let withheld = eim_core::manage::key_rotation::note_restore(&eim).await;
    let withheld = withheld.map_err(|error| anyhow::anyhow!("{error}"))?;
    let used = eim.store().key_usage().await.context("devices can't be counted")?;
    Ok(withheld
        .into_iter()
        .map(|key| (key, used.iter().find(|(id, _)| *id == key).map_or(0, |(_, count)| *count)))
        .collect())
}

async fn compose_as(role: Role, config: &Config, ports: BootPorts) -> anyhow::Result<(Composition, Pipeline)> {
    let parts = Parts::prepare(config, ports).await?;
    if role != Role::Worker {
        // A worker signs nothing; what keys it has are its own.
        parts.record_keys().await?;
    }
    let (trust, clock) = (parts.trust.clone(), Arc::clone(&parts.ports.clock));
    let pipeline = Pipeline::prepare(config, role, trust, clock, &parts.metrics).await?;
    // A front posts nothing, but judges the addresses that it is given.
    let webhooks = HttpsWebhooks::new(WebhookOptions::of(config)?, Arc::clone(&parts.ports.clock))?;
    let composition = parts.compose(config, pipeline.transport(), Arc::new(webhooks));
    Ok((composition, pipeline))
}

struct Parts {
    identity: Identity,
    store: Store,
    withheld: HashSet<KeyId>,
    trust: TrustStore,
    registry: Registry,
    metrics: eim_core::metrics::Metrics,
    ports: BootPorts,
}

impl Parts {
    async fn prepare(config: &Config, ports: BootPorts) -> anyhow::Result<Self> {
        Self::prepare_in(config, &DataDir::open(&config.data.dir)?, ports).await
    }

    async fn prepare_in(config: &Config, dir: &DataDir, ports: BootPorts) -> anyhow::Result<Self> {
        let (identity, trust) = groundwork(config, dir, ports.entropy.as_ref())?;
        let store = open_store(config).await?;
        let known = store.known_keys().await.context("the signing keys can't be read in the store")?;
        let withheld = known.iter().filter(|key| key.withheld_at.is_some()).map(|key| key.id).collect();
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let metrics = eim_core::metrics::Metrics::new(&registry)?;
        Ok(Self { identity, store, withheld, trust, registry, metrics, ports })
    }

    /// Notes which keys there are: devices that were registered before keys were noted trust the first one.
    async fn record_keys(&self) -> anyhow::Result<()> {
        let keys = own_keys(&self.identity.keys, self.ports.clock.now_ms());
        let other = self.store.record_keys(keys).await.context("the signing keys can't be noted in the store")?;
        other.map_or(Ok(()), |other| Err(belongs_elsewhere(other)))
    }

    fn compose(self, config: &Config, rsp: Arc<dyn RspTransport>, webhooks: Arc<dyn WebhookTransport>) -> Composition {
        let Self { identity, store, withheld, trust, registry, metrics, ports } = self;
        let Identity { eim: identity, others, keys, tls, first_start, sealing } = identity;
        let identities = std::iter::once(identity).chain(others).collect();
        let eim = Eim::new(EimParts {
            identities,
            store,
            clock: ports.clock,
            entropy: ports.entropy,
            keys,
            withheld: Arc::new(withheld),
            trust,
            lab: LabPolicy::enabled_by_configuration(config.lab.enabled),
            metrics,
            rsp,
            webhooks,
            sealing,
            smds_address_field: config.outbound.smds_address_field,
            reported_token: config.associations.reported_token,
            look_over_ms: config.associations.look_over_ms(),
        });
        Composition { eim, tls, first_start, registry }
    }
}

impl Server {
    /// Loads the TLS certificate and key of the device front again. Gives whether it is another certificate.
    ///
    /// # Errors
    /// When they can't be used; then those from before stay.
    pub fn reload_tls(&self) -> anyhow::Result<bool> {
        self.tls.switch.reload(&self.tls.config)
    }

    /// Stops: no new connections, requests under way are answered (up to `limits.shutdown_timeout_s`), then all is over.
    pub async fn stop(self) {
        self.running.stop(true).await;
    }

    /// Stops at once, as a crash would; requests under way get no answer.
    pub async fn kill(self) {
        self.running.stop(false).await;
    }

    /// Returns when a listener has ended by itself, which it should not.
    pub async fn failed(&mut self) {
        self.running.failed().await;
    }
}

struct Running {
    streams: api::Streams,
    listeners: Vec<Listening>,
    background: Option<Background>,
    pipeline: Option<queue::Running>,
    lock: Option<DataDirLock>,
    tls_watch: Option<JoinHandle<()>>,
}

struct Listening {
    handle: ServerHandle,
    task: JoinHandle<io::Result<()>>,
}

impl Running {
    async fn failed(&mut self) {
        let tasks = self.listeners.iter_mut().map(|listener| &mut listener.task);
        let (outcome, index, _) = futures_util::future::select_all(tasks).await;
        // A finished task can't be waited for a second time.
        self.listeners.remove(index);
        tracing::error!(?outcome, "a listener ended by itself");
    }

    async fn stop(mut self, gracefully: bool) {
        self.streams.end();
        let handles = self.listeners.iter().map(|listener| listener.handle.stop(gracefully));
        futures_util::future::join_all(handles).await;
        for listener in self.listeners.drain(..) {
            if let Ok(Err(error)) = listener.task.await {
                tracing::error!(%error, "a listener ended with an error");
            }
        }
        if let Some(background) = self.background.take() {
            background.stop(gracefully).await;
        }
        if let Some(pipeline) = self.pipeline.take() {
            pipeline.stop(gracefully).await;
        }
        drop(self.lock.take());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(watch) = &self.tls_watch {
            watch.abort();
        }
        for listener in &self.listeners {
            // The order is sent by the call; the future only waits for it to be carried out.
            drop(listener.handle.stop(false));
        }
    }
}

/// What a start reads of the configuration before it opens anything; a rehearsal reads the same.
fn groundwork(config: &Config, dir: &DataDir, entropy: &dyn Entropy) -> anyhow::Result<(Identity, TrustStore)> {
    let identity = Identity::prepare(config, dir, entropy)?;
    let trust = match &config.pki.ci_dir {
        Some(path) => TrustStore::from_dir(path).with_context(|| format!("pki.ci_dir {}", path.display()))?,
        None => TrustStore::empty(),
    };
    Ok((identity, trust))
}

fn own_keys(ring: &KeyRing, first_seen_at: i64) -> Vec<KnownKey> {
    let known = |key: &RingKey| KnownKey {
        id: key.id,
        eim_id: key.eim_id.clone(),
        public_key: key.signer.public_key().to_vec(),
        first_seen_at,
        withheld_at: None,
    };
    ring.keys().iter().map(known).collect()
}

fn belongs_elsewhere(key: KeyId) -> anyhow::Error {
    anyhow::anyhow!("the signing key {key} belongs to another eimId in this database; a key has one eIM")
}

/// A signing key that eUICCs trust and that is not loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingKey {
    /// Its name.
    pub key: KeyId,
    /// How many eUICCs trust it.
    pub euiccs: i64,
    /// The eIM that signs with it, where the store knows.
    pub eim_id: Option<EimId>,
    /// Where the key has to be named.
    remedy: Remedy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// It is of the first identity.
    Further,
    /// It is of another one.
    FurtherOfIdentity,
    /// It is of an identity that is not configured any more.
    Identity,
}

impl std::fmt::Display for MissingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, euiccs, eim_id, remedy } = self;
        let eim_id = eim_id.as_ref().map(EimId::as_str).unwrap_or_default();
        write!(f, "{key} ({euiccs} eUICCs): ")?;
        match remedy {
            Remedy::Further => f.write_str("name it in eim.further_signing_keys"),
            Remedy::FurtherOfIdentity => {
                write!(f, "name it in further_signing_keys of the identity {eim_id:?} (eim.identities)")
            }
            Remedy::Identity => write!(
                f,
                "it belongs to the eimId {eim_id:?}, by which they know this eIM and which is not configured; put that identity \
                 back with this key (eim.identities, or eim.id)"
            ),
        }
    }
}

/// The keys that eUICCs trust and that are not in the ring. `eim_ids` are the configured ones, the first identity first.
async fn missing_keys(store: &Store, ring: &KeyRing, eim_ids: &[&EimId]) -> Result<Vec<MissingKey>, StoreError> {
    let used = store.key_usage().await?;
    let known = store.known_keys().await?;
    let missing = used.into_iter().filter(|(key, _)| ring.get(*key).is_none()).map(|(key, euiccs)| {
        let eim_id = known.iter().find(|known| known.id == key).map(|known| known.eim_id.clone());
        let remedy = match eim_id.as_ref().map(|eim_id| eim_ids.iter().position(|own| *own == eim_id)) {
            None | Some(Some(0)) => Remedy::Further,
            Some(Some(_)) => Remedy::FurtherOfIdentity,
            Some(None) => Remedy::Identity,
        };
        MissingKey { key, euiccs, eim_id, remedy }
    });
    Ok(missing.collect())
}

/// Says which devices wait for a key. A server is started all the same: it serves the others.
async fn tell_of_missing_keys(eim: &Eim) -> anyhow::Result<()> {
    eim.look_for_missing_keys().await?;
    for key in eim.withheld_current_keys() {
        tracing::warn!(
            %key,
            "eim.signing_key is from before a backup was restored: name a new key there before devices are associated anew"
        );
    }
    let eim_ids: Vec<&EimId> = eim.identities().iter().map(|identity| &identity.eim_id).collect();
    for missing in missing_keys(eim.store(), eim.keys(), &eim_ids).await? {
        let MissingKey { key, euiccs, .. } = &missing;
        tracing::error!(%key, euiccs, "a signing key that eUICCs trust is not loaded: their packages wait. {missing}");
    }
    Ok(())
}

/// Does with the configuration what a start in this role does before it listens, generates and changes nothing, and gives the keys
/// that eUICCs trust and that are not configured. Nobody is called: neither a broker nor other servers. Where the database was never
/// used, is away or lacks migrations, no key is known, and a worker needs none.
///
/// # Errors
/// When a start would refuse the configuration.
pub async fn rehearse(role: Role, config: &Config) -> anyhow::Result<Vec<MissingKey>> {
    let dir = DataDir::rehearsal(&config.data.dir)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (identity, trust) = groundwork(config, &dir, &SystemEntropy)?;
    front::server_config(Arc::new(TlsSwitch::new(&identity.tls, config)?))?;
    if role != Role::Worker {
        identity.tls.check_dates().context("devices that look at the dates would not connect")?;
    }
    Pipeline::rehearse(config, trust, Arc::clone(&clock))?;
    HttpsWebhooks::new(WebhookOptions::of(config)?, clock)?;
    let url = config.store_url();
    if role == Role::Worker || matches!(&url, StoreUrl::Sqlite(path) if !path.exists()) {
        return Ok(vec![]);
    }
    let looked = async {
        let store = connect(config).await?;
        let pending = store.pending_migrations().await?;
        if !pending.is_empty() {
            return Ok(None);
        }
        let eim_ids: Vec<&EimId> =
            std::iter::once(&identity.eim).chain(&identity.others).map(|identity| &identity.eim_id).collect();
        let missing = missing_keys(&store, &identity.keys, &eim_ids).await?;
        Ok::<_, anyhow::Error>(Some((missing, store.known_keys().await?)))
    };
    match looked.await {
        Ok(Some((missing, known))) => {
            let own = own_keys(&identity.keys, 0);
            KnownKey::of_another_eim(&own, &known).map_or(Ok(missing), |other| Err(belongs_elsewhere(other.id)))
        }
        Ok(None) => {
            tracing::warn!("which keys eUICCs trust can't be seen: the store {url} lacks migrations");
            Ok(vec![])
        }
        Err(error) => {
            tracing::warn!(
                error = format!("{error:#}"),
                "which keys eUICCs trust can't be seen: the store {url} is away"
            );
            Ok(vec![])
        }
    }
}

/// Opens the database without looking at its migrations.
///
/// # Errors
/// When it can't be reached or opened.
pub async fn connect(config: &Config) -> anyhow::Result<Store> {
    let url = config.store_url();
    let opened = Store::open(&url, config.store.pool_size).await;
    opened.with_context(|| format!("the store {url} can't be opened (store.url)"))
}

/// SQLite gives its companion files the rights of the database, so that one file decides.
fn keep_private(database: &std::path::Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let owner_only = std::fs::Permissions::from_mode(0o600);
    for suffix in ["", "-wal", "-shm"] {
        let mut name = database.as_os_str().to_owned();
        name.push(suffix);
        if std::path::Path::new(&name).exists() {
            std::fs::set_permissions(&name, owner_only.clone())
                .with_context(|| format!("the rights of {} can't be set", database.display()))?;
        }
    }
    Ok(())
}

/// Fails where a newer version has contracted the store; gives the migrations of newer versions that are there.
async fn refuse_contracted(store: &Store, url: &StoreUrl) -> anyhow::Result<Vec<MigrationNumber>> {
    let unknown = store.unknown_migrations().await.with_context(|| format!("the store {url} can't be read"))?;
    if let Some(contracting) = unknown.iter().find(|migration| migration.contracts()) {
        bail!(
            "a newer version has taken away from the store {url} what this version needs (migration {contracting}); start the \
             newer version, or restore the backup from before it"
        );
    }
    Ok(unknown)
}

async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let url = config.store_url();
    let store = connect(config).await?;
    if let StoreUrl::Sqlite(path) = &url {
        keep_private(path)?;
    }
    let unknown = refuse_contracted(&store, &url).await?;
    if !unknown.is_empty() {
        tracing::info!(
            migrations = unknown.len(),
            "the store was expanded by a newer version, beside which this one runs"
        );
    }
    match &url {
        StoreUrl::Sqlite(_) => {
            let run = async {
                let mut run = store.migrate().await?;
                // Nobody else uses the file.
                run.extend(store.contract().await?);
                Ok::<_, StoreError>(run)
            };
            let run = run.await.with_context(|| format!("the store {url} can't be migrated"))?;
            if !run.is_empty() {
                tracing::info!(migrations = run.len(), "the store was migrated");
            }
        }
        StoreUrl::Postgres(_) => {
            let pending = store.pending_migrations().await.with_context(|| format!("the store {url} can't be read"))?;
            if !pending.is_empty() {
                bail!(
                    "the store {url} lacks {} migration(s) ({}); run `eim-server migrate`",
                    pending.len(),
                    pending.join(", ")
                );
            }
        }
    }
    Ok(store)
}

/// How often the files of the TLS certificate are looked at.
const TLS_LOOKED_AT_EVERY: Duration = Duration::from_secs(10);

/// Takes another TLS certificate when its files have changed.
async fn watch_tls(switch: Arc<TlsSwitch>, config: Config) {
    loop {
        tokio::time::sleep(TLS_LOOKED_AT_EVERY).await;
        if switch.is_outdated() {
            tell_of_tls(switch.reload(&config));
        }
    }
}

/// Says what became of loading the TLS certificate again.
pub fn tell_of_tls(reloaded: anyhow::Result<bool>) {
    match reloaded {
        Ok(true) => tracing::info!("the device front has another TLS certificate"),
        Ok(false) => tracing::info!("the TLS certificate of the device front is still the same"),
        Err(error) => tracing::error!(error = format!("{error:#}"), "the TLS certificate could not be taken"),
    }
}

fn listen_esipa(config: &Config, eim: &Eim, tls: Arc<TlsSwitch>) -> anyhow::Result<(SocketAddr, Listening)> {
    let limits = &config.limits;
    let shared = Data::new(Front::new(eim.clone(), limits));
    let listener = Listener {
        name: "esipa",
        tls: Some(Arc::new(front::server_config(tls)?)),
        workers: limits.workers,
        pace: Some(Rate::new(limits.connection_per_second, limits.connection_burst)),
        limits: limits.clone(),
        metrics: eim.metrics().clone(),
    };
    let app = move || App::new().app_data(shared.clone()).configure(front::routes);
    let bound = listener.run(config.esipa.listen, app, front::connection_data);
    Ok(listening(bound.with_context(|| format!("esipa.listen {} can't be bound", config.esipa.listen))?))
}

fn listening((addr, server): (SocketAddr, HttpServer)) -> (SocketAddr, Listening) {
    (addr, Listening { handle: server.handle(), task: tokio::spawn(server) })
}

fn listen_api(
    config: &Config,
    eim: &Eim,
    registry: Registry,
    streams: api::Streams,
) -> anyhow::Result<(SocketAddr, Listening)> {
    if !config.api.listen.ip().is_loopback() {
        tracing::warn!(listen = %config.api.listen, "the operator API is plain HTTP and listens beyond loopback");
    }
    let limits = &config.limits;
    let spool = api::Spool::new(config.data.dir.clone());
    let api = Api::new(eim.clone(), registry, limits, None, spool).context("the OpenAPI document can't be written")?;
    let shared = Data::new(api.with_streams(streams));
    let app = move || {
        App::new()
            .app_data(shared.clone())
            .wrap(api::security_headers())
            .wrap(from_fn(api::as_problems))
            .configure(api::routes::routes)
    };
    let workers = if limits.workers == 0 { API_WORKERS } else { limits.workers };
    let bound = plain(workers, config, eim).run(config.api.listen, app, || ());
    Ok(listening(bound.with_context(|| format!("api.listen {} can't be bound", config.api.listen))?))
}

/// The listener of a worker, for monitoring.
fn listen_service(
    config: &Config,
    eim: &Eim,
    registry: Registry,
    queue: Arc<Queue>,
) -> anyhow::Result<(SocketAddr, Listening)> {
    let limits = &config.limits;
    let spool = api::Spool::new(config.data.dir.clone());
    let shared = Data::new(
        Api::new(eim.clone(), registry, limits, Some(queue), spool).context("the OpenAPI document can't be written")?,
    );
    let app = move || {
        App::new()
            .app_data(shared.clone())
            .wrap(api::security_headers())
            .wrap(from_fn(api::as_problems))
            .configure(api::routes::service_routes)
    };
    let bound = plain(1, config, eim).run(config.api.listen, app, || ());
    Ok(listening(bound.with_context(|| format!("api.listen {} can't be bound", config.api.listen))?))
}

/// A listener without TLS. Whose requests they are is told by their keys, so connections have no pace.
fn plain(workers: usize, config: &Config, eim: &Eim) -> Listener {
    Listener {
        name: "api",
        tls: None,
        workers,
        pace: None,
        limits: config.limits.clone(),
        metrics: eim.metrics().clone(),
    }
}
