//! A running server with its database, its clock, and the PKI of its devices.

use crate::api::{self, Reply, Role, Upload};
use crate::device::{Device, FLEET_SEED};
use crate::postgres::Schema;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use eim_core::ids::AssociationToken;
use eim_core::manage::{self, create_api_key};
use eim_core::pki::{Curve, PublicKey};
use eim_core::ports::{Clock, MockClock, SeededEntropy};
use eim_core::store::StoreUrl;
use eim_server::boot::{self, BootPorts, Server, Worker};
use eim_server::config::Config;
use eim_simulator::euicc::{Euicc, Profile};
use eim_simulator::ipa::{Binding, Ipa, IpaConfig};
use eim_simulator::pki::{EuiccIdentity, FleetPki, TestPki};
use eim_simulator::tlv::{Tlv, element, integer};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Which database the server of a world has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file.
    Sqlite,
    /// A schema of its own.
    Postgres,
}

/// Database and queue together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// The database.
    pub backend: Backend,
    /// Whether calls and jobs go through RabbitMQ.
    pub broker: bool,
}

impl Mode {
    /// Nothing to install: a file and a queue in the process.
    pub const EMBEDDED: Self = Self { backend: Backend::Sqlite, broker: false };
    /// PostgreSQL and RabbitMQ.
    pub const PRODUCTION: Self = Self { backend: Backend::Postgres, broker: true };
}

/// How many servers beside others were started.
static OTHERS: AtomicU32 = AtomicU32::new(0);

/// A running server and all around it.
pub struct World {
    /// Its database.
    pub backend: Backend,
    /// The binding that its devices speak.
    pub binding: Binding,
    /// Its clock, which stands at 2026-01-01T00:00:00Z at first.
    pub clock: Arc<MockClock>,
    /// The PKI of the usual devices, on P-256.
    pub pki: FleetPki,
    /// The test PKI of the shared vectors; its CI is trusted, too.
    pub test_pki: TestPki,
    /// Whether calls and jobs go through RabbitMQ.
    pub broker: bool,
    /// What the server of the world does itself.
    role: boot::Role,
    config: Config,
    keys: [String; 3],
    starts: u64,
    server: Option<Server>,
    // Dropped last: the server uses them.
    _schema: Option<Schema>,
    _folder: TempDir,
}

/// Runs the test on both databases in both bindings.
pub fn matrix(test: impl AsyncFn(&mut World)) {
    matrix_with(|_| {}, test);
}

/// The same with another configuration.
pub fn matrix_with(configure: impl Fn(&mut Config), test: impl AsyncFn(&mut World)) {
    run(&[Backend::Sqlite, Backend::Postgres], &[Binding::Asn1, Binding::Json], configure, test);
}

/// Runs the test on both databases, in the ASN.1 binding.
pub fn each_store(test: impl AsyncFn(&mut World)) {
    run(&[Backend::Sqlite, Backend::Postgres], &[Binding::Asn1], |_| {}, test);
}

/// Runs the test in both bindings, on SQLite: for what has nothing to do with the database.
pub fn each_binding(test: impl AsyncFn(&mut World)) {
    run(&[Backend::Sqlite], &[Binding::Asn1, Binding::Json], |_| {}, test);
}

/// Runs the test embedded and in production mode, in both bindings.
pub fn modes(test: impl AsyncFn(&mut World)) {
    modes_with(|_| {}, test);
}

/// The same with another configuration.
pub fn modes_with(configure: impl Fn(&mut Config), test: impl AsyncFn(&mut World)) {
    run_with(&[Mode::EMBEDDED, Mode::PRODUCTION], &[Binding::Asn1, Binding::Json], configure, test);
}

/// Runs the test embedded and in production mode, in the ASN.1 binding.
pub fn each_mode(test: impl AsyncFn(&mut World)) {
    each_mode_with(|_| {}, test);
}

/// The same with another configuration.
pub fn each_mode_with(configure: impl Fn(&mut Config), test: impl AsyncFn(&mut World)) {
    run_with(&[Mode::EMBEDDED, Mode::PRODUCTION], &[Binding::Asn1], configure, test);
}

/// Runs the test with a front alone, in production mode: calls and jobs wait for [`World::worker`].
pub fn front_with(configure: impl Fn(&mut Config), test: impl AsyncFn(&mut World)) {
    run_as(boot::Role::Front, &[Mode::PRODUCTION], &[Binding::Asn1], configure, test);
}

fn run(backends: &[Backend], bindings: &[Binding], configure: impl Fn(&mut Config), test: impl AsyncFn(&mut World)) {
    let modes: Vec<Mode> = backends.iter().map(|backend| Mode { backend: *backend, broker: false }).collect();
    run_with(&modes, bindings, configure, test);
}

/// A test that waits for something that never comes fails after this time of the machine's own clock, in place of holding up all others.
const LASTS_AT_MOST: Duration = Duration::from_secs(600);

/// Runs the test in these modes and bindings.
pub fn run_with(modes: &[Mode], bindings: &[Binding], configure: impl Fn(&mut Config), test: impl AsyncFn(&mut World)) {
    run_as(boot::Role::All, modes, bindings, configure, test);
}

fn run_as(
    role: boot::Role,
    modes: &[Mode],
    bindings: &[Binding],
    configure: impl Fn(&mut Config),
    test: impl AsyncFn(&mut World),
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for mode in modes {
        for binding in bindings {
            runtime.block_on(async {
                let Some(mut world) = World::start(role, *mode, *binding, &configure).await else { return };
                eprintln!("on {mode:?}, {binding:?}");
                assert!(
                    tokio::time::timeout(LASTS_AT_MOST, test(&mut world)).await.is_ok(),
                    "the test on {mode:?}, {binding:?} has not ended after {LASTS_AT_MOST:?}"
                );
                if let Some(server) = world.server.take() {
                    server.kill().await;
                }
                if mode.broker {
                    let (url, prefix) = (broker_url(), &world.config.queue.prefix);
                    eim_server::queue::remove(&url, prefix, &eim_core::jobs::KINDS).await.unwrap();
                }
            });
        }
    }
}

fn broker_url() -> String {
    std::env::var("EIM_TEST_AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672".to_owned())
}

/// Whether there is a broker; without one a test is skipped, unless the services are required.
async fn broker_answers() -> bool {
    let url = broker_url();
    let authority = url.rsplit_once('@').map_or(url.as_str(), |(_, authority)| authority);
    let authority = authority.split('/').next().unwrap_or_default();
    let answers = tokio::net::TcpStream::connect(authority).await.is_ok();
    assert!(answers || std::env::var("EIM_TEST_REQUIRE_SERVICES").as_deref() != Ok("1"), "a broker is required");
    answers
}

fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../vectors")
}

impl World {
    async fn start(role: boot::Role, mode: Mode, binding: Binding, configure: impl Fn(&mut Config)) -> Option<Self> {
        let backend = mode.backend;
        if mode.broker && !broker_answers().await {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let pki = FleetPki::generate(FLEET_SEED).unwrap();
        let test_pki = TestPki::load(&vectors().join("pki")).unwrap();
        let mut config = Config::ephemeral(folder.path().join("data"));
        let ci_dir = folder.path().join("ci");
        pki.write_ci_dir(&ci_dir).unwrap();
        for (name, curve) in [("nist", Curve::P256), ("brp", Curve::BrainpoolP256r1)] {
            std::fs::write(ci_dir.join(format!("{name}.der")), test_pki.certificate(curve, "ci").unwrap()).unwrap();
        }
        config.pki.ci_dir = Some(ci_dir);
        config.store.pool_size = 3;
        // Time stands still here, so what a limit allows in a second is all that it ever does; tests of limits set their own.
        config.limits.connection_burst = 1_000_000;
        config.limits.eid_burst = 1_000_000;
        config.limits.eid_at_once = 1_000_000;
        config.limits.strangers_burst = 1_000_000;
        config.limits.api_key_burst = 1_000_000;
        // Simulated servers are on this machine; what a real one may not call is tested with the default.
        config.outbound.allow_private = true;
        if mode.broker {
            config.queue.url = broker_url().parse().unwrap();
            let random = folder.path().file_name().unwrap().to_string_lossy();
            config.queue.prefix = format!("eimtest-{}", random.replace('.', ""));
        }
        let schema = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => {
                let schema = Schema::create()?;
                config.store.url = Some(schema.url().parse().unwrap());
                Some(schema)
            }
        };
        configure(&mut config);
        if backend == Backend::Postgres {
            boot::connect(&config).await.unwrap().migrate().await.unwrap();
        }
        let clock = Arc::new(MockClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
        let mut world = Self {
            backend,
            binding,
            clock,
            pki,
            test_pki,
            broker: mode.broker,
            role,
            config,
            keys: Default::default(),
            starts: 0,
            server: None,
            _schema: schema,
            _folder: folder,
        };
        world.boot().await;
        let roles = [manage::Role::Admin, manage::Role::Operator, manage::Role::Viewer];
        for (index, role) in roles.into_iter().enumerate() {
            world.keys[index] = create_api_key("test", role, &world.server().eim).await.unwrap().1;
        }
        Some(world)
    }

    async fn boot(&mut self) {
        self.starts += 1;
        let ports = self.ports();
        self.server = Some(boot::start_as(self.role, self.config.clone(), ports).await.unwrap());
    }

    fn ports(&self) -> BootPorts {
        BootPorts { clock: self.clock.clone(), entropy: Arc::new(SeededEntropy::new(self.starts)) }
    }

    /// Starts a worker beside the server, with a data directory of its own and this change of the configuration.
    pub async fn worker(&mut self, configure: impl FnOnce(&mut Config)) -> Worker {
        self.starts += 1;
        let mut config = self.config.clone();
        config.data.dir.set_file_name(format!("worker-{}", self.starts));
        configure(&mut config);
        boot::start_worker(config, self.ports()).await.unwrap()
    }

    /// Starts another server of the same kind beside the first, on the same database and queue: from a copy of its data directory,
    /// so with the same keys, certificate and eimId.
    pub async fn node(&mut self) -> Server {
        self.try_node().await.expect("it starts")
    }

    /// The same, where it may refuse to start.
    ///
    /// # Errors
    /// Whatever a server says that does not start.
    pub async fn try_node(&mut self) -> anyhow::Result<Server> {
        self.starts += 1;
        let mut config = self.config.clone();
        config.data.dir.set_file_name(format!("node-{}", self.starts));
        let (from, to) = (&self.config.data.dir, &config.data.dir);
        std::fs::create_dir(to)?;
        std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            // A copy of the database would be another one.
            if entry.file_type()?.is_file() && !entry.file_name().to_string_lossy().contains("eim.db") {
                std::fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        config.store.url = Some(self.config.store_url());
        boot::start_as(self.role, config, self.ports()).await
    }

    /// The server, for what time alone does.
    #[must_use]
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    /// Ends the server as a crash would, and starts it again on the same data. Devices must be reconnected.
    pub async fn crash_and_restart(&mut self) {
        self.crash_and_restart_after(TimeDelta::zero()).await;
    }

    /// The same, and nobody serves for a while.
    pub async fn crash_and_restart_after(&mut self, outage: TimeDelta) {
        self.server.take().expect("it runs").kill().await;
        self.clock.advance(outage);
        self.boot().await;
    }

    /// Ends the server, and starts it again on the same data with this change of the configuration. Devices must be reconnected.
    pub async fn restart_with(&mut self, configure: impl FnOnce(&mut Config)) {
        self.server.take().expect("it runs").kill().await;
        configure(&mut self.config);
        self.boot().await;
    }

    /// Ends the server, notes that its database was restored as `eim-server note-restore` does, and starts it again.
    pub async fn note_restore(&mut self) {
        self.server.take().expect("it runs").kill().await;
        self.starts += 1;
        let mut config = self.config.clone();
        if self.backend == Backend::Postgres {
            // As in a container: the data directory has nothing in it, and the keys are given.
            let given = || config.data.dir.join("signing-key.pem");
            config.eim.signing_key = Some(config.eim.signing_key.clone().unwrap_or_else(given));
            config.eim.id = Some(std::fs::read_to_string(config.data.dir.join("eim-id")).unwrap().trim().to_owned());
            config.data.dir = self._folder.path().join("empty");
        }
        boot::note_restore(&config, self.ports()).await.unwrap();
        self.boot().await;
    }

    /// The data directory of the server.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.config.data.dir.clone()
    }

    /// Puts a file beside the data directory, and gives its path.
    #[must_use]
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self._folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// Tells a device where the server is now.
    pub fn reconnect(&self, device: &mut Device) {
        device.ipa.reconfigure(self.ipa_config());
    }

    /// Where the server is, in the binding of this world.
    #[must_use]
    pub fn ipa_config(&self) -> IpaConfig {
        self.ipa_config_of(self.server())
    }

    /// Where a server beside the first is, in the binding of this world.
    #[must_use]
    pub fn ipa_config_of(&self, server: &Server) -> IpaConfig {
        IpaConfig::new(server.esipa_addr, "localhost", std::slice::from_ref(&server.esipa_trust_der), self.binding)
            .unwrap()
    }

    /// The address of its PostgreSQL schema, when it has one.
    #[must_use]
    pub fn postgres_url(&self) -> Option<String> {
        self._schema.as_ref().map(Schema::url)
    }

    /// Ends every connection to its PostgreSQL, as a failover does; nothing on SQLite.
    pub fn end_connections(&self) {
        self._schema.iter().for_each(Schema::end_connections);
    }

    /// Where its database is.
    pub(crate) fn store_url(&self) -> StoreUrl {
        self.config.store_url()
    }

    /// Changes the database past the server, as somebody might who has got hold of it.
    pub async fn sql(&self, sql: &str) {
        match self.config.store_url() {
            StoreUrl::Sqlite(path) => {
                let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
                conn.batch_execute("PRAGMA busy_timeout = 10000").unwrap();
                conn.batch_execute(sql).unwrap();
            }
            StoreUrl::Postgres(url) => crate::postgres::run(&url, sql.to_owned()).unwrap(),
        }
    }

    /// A second server of the same kind beside this one, with a database, keys and an eimId of its own. Its devices are of the
    /// same PKI. It keeps its own clock.
    pub async fn another(&self) -> Self {
        let mode = Mode { backend: self.backend, broker: self.broker };
        // Its numbers come from the same seed, and would give it the same eimId.
        let eim_id = format!("2.25.{}", 1_000 + OTHERS.fetch_add(1, Ordering::Relaxed));
        let named = |config: &mut Config| config.eim.id = Some(eim_id.clone());
        Self::start(self.role, mode, self.binding, named).await.expect("there is a database, as for the first")
    }

    /// The bearer token of this role.
    #[must_use]
    pub fn bearer(&self, role: Role) -> Option<String> {
        let key = match role {
            Role::Admin => &self.keys[0],
            Role::Operator => &self.keys[1],
            Role::Viewer => &self.keys[2],
            Role::Nobody => return None,
        };
        Some(format!("Bearer {key}"))
    }

    /// Moves the clock, and does what time alone does.
    pub async fn advance(&self, by: TimeDelta) {
        self.clock.advance(by);
        eim_core::jobs::expire_operations(&self.server().eim).await.unwrap();
        eim_core::jobs::flush_sightings(&self.server().eim).await.unwrap();
        eim_core::jobs::drive_switches(&self.server().eim).await.unwrap();
        eim_core::jobs::drive_campaigns(&self.server().eim).await.unwrap();
        eim_core::jobs::drive_key_rotations(&self.server().eim).await.unwrap();
        while eim_core::jobs::keep_desired_states(&self.server().eim).await.unwrap() > 0 {}
        while eim_core::jobs::drive_handovers(&self.server().eim).await.unwrap() > 0 {}
        self.rules().await;
    }

    /// Does what rules do by time alone.
    pub async fn rules(&self) {
        eim_core::jobs::note_firings(&self.server().eim).await.unwrap();
        eim_core::jobs::look_for_silence(&self.server().eim).await.unwrap();
        eim_core::jobs::carry_out_rules(&self.server().eim).await.unwrap();
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.clock.now()
    }

    /// A request to the API.
    pub async fn send(
        &self,
        role: Role,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Reply {
        let bearer = self.key(role).map(|key| format!("Bearer {key}"));
        let mut all = headers.to_vec();
        if let Some(bearer) = &bearer {
            all.push(("authorization", bearer));
        }
        api::send(self.server().api_addr, method, path, &all, body.into()).await
    }

    /// A request by an operator to the API of a server beside the first.
    pub async fn send_to(&self, server: &Server, method: &str, path: &str, body: Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let bearer = self.bearer(Role::Operator).unwrap_or_default();
        api::send(server.api_addr, method, path, &[("authorization", &bearer)], body.into()).await
    }

    /// A POST whose body is still being sent while the answer is read.
    pub async fn upload(&self, role: Role, path: &str, headers: &[(&str, &str)], first: &str) -> Upload {
        let bearer = self.key(role).map(|key| format!("Bearer {key}")).unwrap_or_default();
        let mut all = headers.to_vec();
        all.push(("authorization", &bearer));
        api::upload(self.server().api_addr, path, &all, first).await
    }

    /// The API key of a role.
    #[must_use]
    pub fn key(&self, role: Role) -> Option<&str> {
        match role {
            Role::Admin => Some(&self.keys[0]),
            Role::Operator => Some(&self.keys[1]),
            Role::Viewer => Some(&self.keys[2]),
            Role::Nobody => None,
        }
    }

    /// What a viewer gets; it must be there.
    pub async fn get(&self, path: &str) -> Value {
        let reply = self.send(Role::Viewer, "GET", path, &[], "").await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    /// What an operator posts.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(Role::Operator, "POST", path, &[], body).await
    }

    /// A change of an eUICC by an operator; it must be taken.
    pub async fn patch(&self, eid: &str, body: Value) -> Value {
        let reply = self.send(Role::Operator, "PATCH", &format!("/api/v1/euiccs/{eid}"), &[], body.to_string()).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    /// Asks for an operation; it must be taken. Gives its id.
    pub async fn queue(&self, eid: &str, body: Value) -> String {
        let reply = self.post(&format!("/api/v1/euiccs/{eid}/operations"), body).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        let operation = reply.json();
        let id = operation["id"].as_str().unwrap().to_owned();
        assert_eq!(reply.header("location"), Some(format!("/api/v1/operations/{id}").as_str()));
        assert_eq!(operation["state"], "queued");
        id
    }

    /// The same by an admin who overrides the checks that the profiles are known, that the device keeps a usable one, and that we keep
    /// the device.
    pub async fn queue_anyway(&self, eid: &str, mut body: Value) -> String {
        body["override"] = json!(["profileList", "notTheOnlyProfile", "keepsThisEim"]);
        let path = format!("/api/v1/euiccs/{eid}/operations");
        let reply = self.send(Role::Admin, "POST", &path, &[], body.to_string()).await;
        assert_eq!(reply.status, 202, "{}", reply.text());
        reply.json()["id"].as_str().unwrap().to_owned()
    }

    /// An operation as the operator sees it.
    pub async fn operation(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/operations/{id}")).await
    }

    /// All operations of an eUICC.
    pub async fn operations(&self, eid: &str) -> Vec<Value> {
        self.get(&format!("/api/v1/operations?eid={eid}&limit=1000")).await["items"].as_array().unwrap().clone()
    }

    /// An eUICC as the operator sees it.
    pub async fn euicc(&self, eid: &str) -> Value {
        self.get(&format!("/api/v1/euiccs/{eid}")).await
    }

    /// `(iccid, state)` of every profile, as the operator sees them.
    pub async fn profiles(&self, eid: &str) -> Vec<(String, String)> {
        let profiles = self.get(&format!("/api/v1/euiccs/{eid}/profiles")).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        profiles["items"].as_array().unwrap().iter().map(|item| (text(&item["iccid"]), text(&item["state"]))).collect()
    }

    /// The ICCIDs of the enabled profiles, as the operator sees them.
    pub async fn enabled(&self, eid: &str) -> Vec<String> {
        let enabled = |(iccid, state): (String, String)| (state == "enabled").then_some(iccid);
        self.profiles(eid).await.into_iter().filter_map(enabled).collect()
    }

    /// The timeline of an eUICC.
    pub async fn events(&self, eid: &str) -> Vec<Value> {
        self.get(&format!("/api/v1/euiccs/{eid}/events?limit=1000")).await["items"].as_array().unwrap().clone()
    }

    /// The entries of this type on the timeline.
    pub async fn events_of(&self, eid: &str, event_type: &str) -> Vec<Value> {
        self.events(eid).await.into_iter().filter(|event| event["type"] == event_type).collect()
    }

    /// Everything that only a believed result may change: the profiles, the association, the state of the eUICC, and of
    /// each operation its state, results and whether they are verified.
    pub async fn believed(&self, eid: &str) -> Value {
        let euicc = self.euicc(eid).await;
        let operations: Vec<Value> = self
            .operations(eid)
            .await
            .iter()
            .filter(|operation| operation["origin"] == "operator" && operation["kind"] != "euiccData")
            .map(|operation| {
                let member = |name: &str| operation[name].clone();
                json!([
                    member("id"),
                    member("state"),
                    member("results"),
                    member("verified"),
                    member("error"),
                    member("counterValue"),
                    member("completedAt"),
                    member("lateResult")
                ])
            })
            .collect();
        json!({
            "profiles": self.get(&format!("/api/v1/euiccs/{eid}/profiles")).await["items"],
            "state": euicc["state"],
            "association": euicc["association"],
            "certificates": [euicc["euiccCertificate"], euicc["eumCertificate"], euicc["certificatesTrusted"]],
            "operations": operations,
        })
    }

    /// The sum of a metric over the series whose labels contain all of these.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.send(Role::Nobody, "GET", "/metrics", &[], "").await.text();
        let series = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// eimId.
    pub async fn eim_id(&self) -> String {
        self.get("/api/v1/eim").await["eimId"].as_str().unwrap().to_owned()
    }

    /// The eIM's public key, as the API gives it to a factory.
    pub async fn eim_key(&self) -> PublicKey {
        let key = self.get("/api/v1/eim").await["publicKey"].as_str().unwrap().to_owned();
        PublicKey::from_spki(&STANDARD.decode(key).unwrap()).unwrap()
    }

    /// Whether a package is signed by this eIM for a token.
    pub async fn signed_by_us(&self, package: &crate::SentPackage, token: i64) -> bool {
        let message = [package.signed.clone(), integer(0x84, token)].concat();
        self.eim_key().await.verify(&message, &package.signature).is_ok()
    }

    /// A device of the fleet: three profiles, the first enabled and with notifications, the third may be the Fallback
    /// Profile. Associated with the AddInitialEimRequest of the API; registered with its certificates.
    pub async fn device(&self, index: u32) -> Device {
        let device = self.device_of(self.pki.euicc(index).unwrap()).await;
        self.register(&device, true).await;
        device
    }

    /// The same, and the operator has seen its profile list.
    pub async fn listed_device(&self, index: u32) -> Device {
        let mut device = self.device(index).await;
        self.list(&mut device).await;
        device
    }

    /// The same without certificates on the eIM's side.
    pub async fn bare_device(&self, index: u32) -> Device {
        let device = self.device_of(self.pki.euicc(index).unwrap()).await;
        self.register(&device, false).await;
        device
    }

    /// Asks for the profile list and lets the device answer.
    pub async fn list(&self, device: &mut Device) {
        let id = self.queue(&device.eid(), json!({ "psmo": [{ "listProfileInfo": {} }] })).await;
        device.session().await;
        assert_eq!(self.operation(&id).await["state"], "succeeded");
    }

    /// A device with this identity, associated and not registered.
    pub async fn device_of(&self, identity: EuiccIdentity) -> Device {
        let eim = self.get("/api/v1/eim").await;
        let request = STANDARD.decode(eim["addInitialEimRequest"].as_str().unwrap()).unwrap();
        let mut device = Device {
            euicc: Euicc::new(identity).trusting(self.pki.ci_certificate()),
            ipa: Ipa::new(self.ipa_config()),
        };
        let profile = |number, name| Profile::operational(device.raw_iccid(number), name);
        let (one, two, three) = (profile(1, "One"), profile(2, "Two"), profile(3, "Three"));
        device.euicc = device
            .euicc
            .with_profile(one.enabled().notifying("smdp.example"))
            .with_profile(two)
            .with_profile(three.fallback_allowed());
        device.euicc.add_initial_eim(&request).unwrap();
        assert_eq!(device.euicc.associations().len(), 1, "the initial configuration was taken");
        device
    }

    /// Registers a device.
    pub async fn register(&self, device: &Device, with_certificates: bool) {
        let reply = self.post("/api/v1/euiccs", self.registration(device, with_certificates)).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }

    /// What an operator registers about a device.
    #[must_use]
    pub fn registration(&self, device: &Device, with_certificates: bool) -> Value {
        let association = &device.euicc.associations()[0];
        let mut body = json!({
            "eid": device.eid(),
            "association": {
                "counterValue": association.counter,
                "associationToken": association.token.map(AssociationToken::value),
            },
        });
        if with_certificates {
            let identity = device.euicc.identity();
            body["euiccCertificate"] = STANDARD.encode(&identity.certificate).into();
            body["eumCertificate"] = STANDARD.encode(&identity.eum_certificate).into();
        }
        body
    }

    /// A request to the API with a key of its own.
    pub async fn send_as(&self, key: &str, method: &str, path: &str, body: Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/x-ndjson")];
        api::send(self.server().api_addr, method, path, &headers, body.into()).await
    }

    /// Makes a tenant and gives the key of its admin.
    pub async fn tenant(&self, name: &str) -> String {
        let reply = self.send(Role::Admin, "POST", "/api/v1/tenants", &[], json!({ "name": name }).to_string()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let body = json!({ "name": "first", "role": "admin" }).to_string();
        let reply = self.send(Role::Admin, "POST", &format!("/api/v1/api-keys?tenant={name}"), &[], body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()["key"].as_str().expect("the key").to_owned()
    }

    /// The token of a device's association, 0 for none.
    #[must_use]
    pub fn token(&self, device: &Device) -> i64 {
        device.euicc.associations()[0].token.map_or(0, AssociationToken::value)
    }
}

/// The ASN.1 form of a getEimPackage response in JSON.
pub(crate) fn asn1_of_get_eim_package(members: &Value) -> Vec<u8> {
    let inner = ["euiccPackageRequest", "ipaEuiccDataRequest", "profileDownloadTriggerRequest"]
        .iter()
        .find_map(|name| STANDARD.decode(members[*name].as_str()?).ok())
        .unwrap_or_else(|| integer(0x02, members["eimPackageError"].as_i64().expect("a package or an error")));
    assert!(Tlv::only(&inner).is_some());
    element(0xbf4f, &[&inner])
}
