//! `eim-server serve` as a process of its own, which can be killed and started again on the same data.
#![allow(dead_code, reason = "each test uses a part of it")]

use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use eim_core::jobs;
use eim_simulator::fleet::Fleet;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Far more than a start takes.
const START: Duration = Duration::from_secs(120);
const SIGKILL: i32 = 9;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// What the server keeps its data in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// A file in the data directory.
    Sqlite,
    /// A schema of its own.
    Postgres,
}

/// The data of a server.
pub struct Setup {
    folder: TempDir,
    schema: Option<Schema>,
    /// URL and prefix, where front and worker are processes of their own.
    broker: Option<(String, String)>,
    /// Keys of the configuration beside the usual ones, without `EIM__`.
    settings: Vec<(String, String)>,
}

struct Schema {
    server: String,
    name: String,
}

impl Schema {
    /// How many rows a condition holds for: `table WHERE ..`.
    async fn count(&self, rows: &str) -> i64 {
        #[derive(diesel::QueryableByName)]
        struct Count {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            count: i64,
        }
        let mut conn = AsyncPgConnection::establish(&self.url()).await.unwrap();
        let query = diesel::sql_query(format!("SELECT COUNT(*) AS count FROM {rows}"));
        diesel_async::RunQueryDsl::get_result::<Count>(query, &mut conn).await.unwrap().count
    }

    async fn run(&self, sql: &str) -> Result<(), String> {
        let mut conn = AsyncPgConnection::establish(&self.server).await.map_err(|error| error.to_string())?;
        conn.batch_execute(sql).await.map_err(|error| error.to_string())
    }

    fn url(&self) -> String {
        let separator = if self.server.contains('?') { '&' } else { '?' };
        format!("{}{separator}options=-csearch_path%3D{}", self.server, self.name)
    }
}

impl Setup {
    /// Empty data that trusts the CI of this fleet. `None`, said on standard error, without PostgreSQL where none is required.
    pub async fn new(database: Database, fleet: &Fleet) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        fleet.write_ci_dir(&folder.path().join("ci")).unwrap();
        let mut setup = Self { folder, schema: None, broker: None, settings: vec![] };
        if database == Database::Postgres {
            let server = std::env::var("EIM_TEST_POSTGRES_URL")
                .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/test".to_owned());
            let name = format!("eim_killed_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
            let schema = Schema { server, name };
            let fresh = format!("DROP SCHEMA IF EXISTS {0} CASCADE; CREATE SCHEMA {0}", schema.name);
            if let Err(error) = schema.run(&fresh).await {
                let required = std::env::var("EIM_TEST_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
                assert!(!required, "PostgreSQL is required and can't be reached: {error}");
                let _ = writeln!(std::io::stderr(), "SKIPPED on PostgreSQL, which can't be reached: {error}");
                return None;
            }
            setup.schema = Some(schema);
            assert!(setup.command().arg("migrate").output().unwrap().status.success(), "the schema is migrated");
        }
        Some(setup)
    }

    /// Gives the server another signing key from its next start on; the one from before stays loaded.
    #[allow(dead_code, reason = "not every test needs it")]
    pub fn change_key(&mut self, pem: &str) {
        let (new, old) = (self.folder.path().join("next.pem"), self.folder.path().join("data/signing-key.pem"));
        std::fs::write(&new, pem).unwrap();
        for (name, path) in [("EIM__SIGNING_KEY", new), ("EIM__FURTHER_SIGNING_KEYS", old)] {
            self.settings.push((name.to_owned(), path.display().to_string()));
        }
    }

    /// The same on PostgreSQL for fronts and workers, which share keys and RabbitMQ. `None`, said on standard error, where one of them is
    /// away and none is required.
    pub async fn production(fleet: &Fleet) -> Option<Self> {
        let mut setup = Self::new(Database::Postgres, fleet).await?;
        let url = std::env::var("EIM_TEST_AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672".to_owned());
        if let Err(error) = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await {
            let required = std::env::var("EIM_TEST_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
            assert!(!required, "RabbitMQ is required and can't be reached: {error}");
            let _ = writeln!(std::io::stderr(), "SKIPPED, because RabbitMQ can't be reached: {error}");
            setup.end().await;
            return None;
        }
        let made = setup.command().args(["eim", "config-data", "--format", "hex"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let name = setup.schema.as_ref().map(|schema| schema.name.replace('_', "-")).unwrap();
        setup.broker = Some((url, name));
        Some(setup)
    }

    /// The same with these keys of the configuration, without `EIM__`.
    pub fn with(mut self, settings: &[(&str, &str)]) -> Self {
        self.settings.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    /// How many rows of PostgreSQL a condition holds for: `table WHERE ..`.
    pub async fn count(&self, rows: &str) -> i64 {
        self.schema.as_ref().expect("it is on PostgreSQL").count(rows).await
    }

    fn command(&self) -> Command {
        let mut command = self.command_of("data");
        command.envs(self.settings.iter().map(|(name, value)| (format!("EIM__{name}"), value)));
        let Some((url, prefix)) = &self.broker else { return command };
        let keys = self.folder.path().join("data");
        let eim_id = std::fs::read_to_string(keys.join("eim-id")).unwrap();
        command.env("EIM__QUEUE__URL", url).env("EIM__QUEUE__PREFIX", prefix).env("EIM__EIM__ID", eim_id.trim());
        for (name, file) in [
            ("EIM__SIGNING_KEY", "signing-key.pem"),
            ("SECRETS__KEY", "secrets.key"),
            ("ESIPA__TLS_CERTIFICATE", "tls-certificate.pem"),
            ("ESIPA__TLS_KEY", "tls-key.pem"),
        ] {
            command.env(format!("EIM__{name}"), keys.join(file));
        }
        command
    }

    fn command_of(&self, data: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eim-server"));
        command.arg("--data-dir").arg(self.folder.path().join(data)).stdin(Stdio::null()).env_remove("EIM_CONFIG");
        for (name, value) in
            [("ESIPA__LISTEN", "127.0.0.1:0"), ("API__LISTEN", "127.0.0.1:0"), ("LIMITS__WORKERS", "1")]
        {
            command.env(format!("EIM__{name}"), value);
        }
        command.env("EIM__PKI__CI_DIR", self.folder.path().join("ci")).env("EIM__LOG__LEVEL", "info");
        // Devices poll many times in a second here, for as long as a test takes.
        command.env("EIM__LIMITS__EID_PER_SECOND", "1000").env("EIM__LIMITS__CONNECTION_PER_SECOND", "10000");
        match &self.schema {
            Some(schema) => command.env("EIM__STORE__URL", schema.url()).env("EIM__STORE__POOL_SIZE", "3"),
            None => command.env_remove("EIM__STORE__URL"),
        };
        command
    }

    /// Starts the server and waits until it listens.
    pub fn start(&self) -> Process {
        self.start_as("all")
    }

    /// Starts a part of it and waits until it listens.
    pub fn start_as(&self, role: &str) -> Process {
        let mut child = self
            .command()
            .args(["serve", "--role", role])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = child.stderr.take().unwrap();
        let (said, lines) = mpsc::channel();
        // It goes on reading, or the server would stand still before a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let child = Mutex::new(child);
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut process = Process { child, esipa: unknown, api: unknown, trusted: vec![] };
        let address = |line: &str, before: &str| -> Option<SocketAddr> {
            line.split_once(before)?.1.split('/').next()?.parse().ok()
        };
        let mut log = Vec::new();
        while (process.esipa == unknown && role != "worker") || process.api == unknown {
            let line = lines.recv_timeout(START).unwrap_or_else(|_| panic!("the server does not start: {log:#?}"));
            if let Some(esipa) = address(&line, "ESipa at https://") {
                process.esipa = esipa;
            }
            let api = if role == "worker" { "monitoring at http://" } else { "operator API at http://" };
            if let Some(api) = address(&line, api) {
                process.api = api;
            }
            log.push(line);
        }
        let certificate = self.folder.path().join("data/tls-certificate.pem");
        process.trusted = CertificateDer::from_pem_file(certificate).unwrap().to_vec();
        process
    }

    /// A key of the role admin.
    pub fn api_key(&self) -> String {
        let made = self.command().args(["api-key", "create", "--role", "admin", "--name", "test"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// Removes the schema; one of a test that failed is left for a look at it.
    pub async fn end(self) {
        if let Some((url, prefix)) = &self.broker {
            eim_server::queue::remove(url, prefix, &jobs::KINDS).await.unwrap();
        }
        if let Some(schema) = &self.schema {
            schema.run(&format!("DROP SCHEMA {} CASCADE", schema.name)).await.unwrap();
        }
    }
}

/// A server that runs.
pub struct Process {
    child: Mutex<Child>,
    /// Where devices find it.
    pub esipa: SocketAddr,
    api: SocketAddr,
    /// The certificate of its front, DER.
    pub trusted: Vec<u8>,
}

impl Process {
    /// Where the operator API is.
    pub fn api_url(&self) -> String {
        format!("http://{}", self.api)
    }

    /// SIGKILL.
    pub fn kill(&self) {
        self.child.lock().unwrap().kill().unwrap();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.lock().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Waits for its end, at most so long.
    pub async fn ended(&self, within: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + within;
        while Instant::now() < end {
            if let Some(status) = self.child.lock().unwrap().try_wait().unwrap() {
                return Some(status);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }

    /// Waits for its end, and says whether a SIGKILL was its cause.
    pub fn died_of_sigkill(&self) -> bool {
        self.child.lock().unwrap().wait().unwrap().signal() == Some(SIGKILL)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Whether it has ended already is all the same.
        let _ = child.kill();
        let _ = child.wait();
    }
}
