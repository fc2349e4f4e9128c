//! The real server binary as processes that can be killed and started again on the same data.

use crate::line::Line;
use crate::plan::{Mode, Plan};
use crate::{amqp, database};
use anyhow::{Context, bail, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::watch;

/// Far more than a start takes, with what it waits for.
const START: Duration = Duration::from_secs(60);
/// How often the log is looked at while a server starts.
const LOOK: Duration = Duration::from_millis(5);
/// Longer than the server allows itself (`limits.shutdown_timeout_s`).
const STOP: Duration = Duration::from_secs(20);
const SIGKILL: i32 = 9;
/// The address of the SM-DP+.
pub const SMDP: &str = "smdp.crash.test";

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all runs have in common.
#[derive(Debug)]
pub struct Common {
    /// `eim-server`.
    pub binary: PathBuf,
    /// That of the version before, for half of the processes of a production run.
    pub previous: Option<PathBuf>,
    /// The clock that it is preloaded with.
    pub clock: PathBuf,
    /// How much faster that clock is.
    pub rate: u32,
    /// A data directory that was used once: identity, keys, an empty database.
    pub template: PathBuf,
    /// An API key of the embedded database in the template.
    pub api_key: String,
    /// The PostgreSQL of production runs.
    pub postgres: String,
    /// The RabbitMQ of production runs.
    pub amqp: String,
    /// Whether all runs are to end now.
    pub end: watch::Sender<bool>,
}

impl Common {
    /// Makes the template in this folder.
    ///
    /// # Errors
    /// When the clock can't be compiled, or the server refuses.
    pub fn prepare(
        (binary, previous): (PathBuf, Option<PathBuf>),
        folder: &Path,
        rate: u32,
        postgres: String,
        amqp: String,
    ) -> anyhow::Result<Self> {
        let clock = crate::clock::compile(folder)?;
        let template = folder.join("template");
        let mut common = Self {
            binary,
            previous,
            clock,
            rate,
            template,
            api_key: String::new(),
            postgres,
            amqp,
            end: watch::Sender::new(false),
        };
        let clock = crate::clock::begun_now(rate);
        // Keys and certificate, which the servers of production runs share.
        output(common.command(&common.binary, &common.template, &clock).args(["eim", "config-data"]))?;
        common.api_key = api_key(&mut common.command(&common.binary, &common.template, &clock))?;
        Ok(common)
    }

    /// The command line of a server's binary with this data directory, under the faster clock. The environment is not handed on: it may configure another server.
    fn command(&self, binary: &Path, data: &Path, clock: &str) -> Command {
        let mut command = Command::new(binary);
        command.arg("--data-dir").arg(data).stdin(Stdio::null()).env_clear();
        command.env("LD_PRELOAD", &self.clock).env("EIM_CRASH_CLOCK", clock);
        command
    }
}

fn api_key(command: &mut Command) -> anyhow::Result<String> {
    Ok(output(command.args(["api-key", "create", "--role", "admin", "--name", "crash"]))?.trim().to_owned())
}

/// Standard output of a command that succeeds.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().context("the server's binary can't be started")?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The servers of a run and what they work on.
#[derive(Debug)]
pub struct Servers {
    common: Arc<Common>,
    folder: TempDir,
    clock: String,
    schema: Option<database::Schema>,
    /// The way to the broker and its URL, in production mode.
    pub broker: Option<(Line, String)>,
    /// Where servers find the SM-DP+.
    smdp: SocketAddr,
    /// What the names at the broker begin with.
    pub prefix: String,
    processes: Vec<Process>,
    /// Kills and starts that are under way.
    under_way: AtomicUsize,
    /// What must not happen to a process.
    complaints: Mutex<Vec<String>>,
    /// An API key of the role admin.
    pub api_key: String,
    /// The certificate of the fronts, DER.
    pub trusted: Vec<u8>,
}

#[derive(Debug)]
struct Process {
    name: String,
    role: &'static str,
    child: Mutex<Option<Child>>,
    addresses: Mutex<Option<Addresses>>,
}

#[derive(Debug, Clone, Copy)]
struct Addresses {
    /// Of a front.
    esipa: Option<SocketAddr>,
    /// Of a worker: its monitoring.
    api: SocketAddr,
}

impl Servers {
    /// Prepares the data of a run; nothing is started yet.
    ///
    /// # Errors
    /// When PostgreSQL or RabbitMQ can't be reached, or the server refuses.
    pub async fn prepare(common: &Arc<Common>, plan: &Plan, ci: &[u8], smdp: SocketAddr) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        copy(&common.template, &folder.path().join("keys"))?;
        std::fs::create_dir(folder.path().join("ci"))?;
        std::fs::write(folder.path().join("ci/ci.der"), ci)?;
        let trusted = CertificateDer::from_pem_file(folder.path().join("keys/tls-certificate.pem"))?.to_vec();
        let process = |name: String, role| Process { name, role, child: Mutex::default(), addresses: Mutex::default() };
        let processes = match plan.mode {
            Mode::Embedded => vec![process("embedded".to_owned(), "all")],
            Mode::Production => {
                let fronts = (1..=plan.fronts).map(|number| process(format!("front-{number}"), "front"));
                fronts.chain((1..=plan.workers).map(|number| process(format!("worker-{number}"), "worker"))).collect()
            }
        };
        let prefix = format!("eimcrash.{}.{}", std::process::id(), database::number());
        let mut servers = Self {
            common: Arc::clone(common),
            clock: crate::clock::begun_now(common.rate),
            schema: None,
            broker: None,
            smdp,
            prefix,
            processes,
            under_way: AtomicUsize::new(0),
            complaints: Mutex::default(),
            api_key: common.api_key.clone(),
            trusted,
            folder,
        };
        if plan.mode == Mode::Production
            && let Err(error) = servers.share().await
        {
            servers.remove().await;
            return Err(error);
        }
        Ok(servers)
    }

    /// Prepares what the processes of a production run share.
    async fn share(&mut self) -> anyhow::Result<()> {
        self.broker = Some(amqp::line(&self.common.amqp).await?);
        self.schema = Some(database::Schema::create(&self.common.postgres).await?);
        output(self.command("front-1").arg("migrate"))?;
        self.api_key = api_key(&mut self.command("front-1"))?;
        Ok(())
    }

    /// Where something of the run is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The schema, in production mode.
    #[must_use]
    pub const fn schema(&self) -> Option<&database::Schema> {
        self.schema.as_ref()
    }

    /// Every second front and every second worker is of the version before, where there is one. Migrations and other commands are of the
    /// present one: its schema comes first.
    fn binary(&self, name: &str) -> &Path {
        let number = name.rsplit_once('-').and_then(|(_, number)| number.parse::<u32>().ok());
        match (&self.common.previous, number) {
            (Some(previous), Some(number)) if number.is_multiple_of(2) => previous,
            _ => &self.common.binary,
        }
    }

    fn command(&self, name: &str) -> Command {
        let keys = self.path("keys");
        let data = if self.schema.is_some() { self.path(name) } else { keys.clone() };
        let mut command = self.common.command(self.binary(name), &data, &self.clock);
        for (key, value) in [
            ("ESIPA__LISTEN", "127.0.0.1:0"),
            ("API__LISTEN", "127.0.0.1:0"),
            ("LIMITS__WORKERS", "1"),
            // The calendar runs faster here, the pace of connections does not.
            ("LIMITS__CONNECTION_PER_SECOND", "10000"),
            ("LIMITS__API_KEY_PER_SECOND", "10000"),
            ("LOG__LEVEL", "info"),
        ] {
            command.env(format!("EIM__{key}"), value);
        }
        command.env("EIM__PKI__CI_DIR", self.path("ci")).env("EIM__OUTBOUND__ROUTES", format!("{SMDP}={}", self.smdp));
        if let (Some(schema), Some((_, broker))) = (&self.schema, &self.broker) {
            let eim_id = std::fs::read_to_string(keys.join("eim-id")).unwrap_or_default();
            command.env("EIM__EIM__ID", eim_id.trim()).env("EIM__EIM__SIGNING_KEY", keys.join("signing-key.pem"));
            command.env("EIM__SECRETS__KEY", keys.join("secrets.key"));
            command.env("EIM__ESIPA__TLS_CERTIFICATE", keys.join("tls-certificate.pem"));
            command.env("EIM__ESIPA__TLS_KEY", keys.join("tls-key.pem"));
            command.env("EIM__STORE__URL", schema.url()).env("EIM__STORE__POOL_SIZE", "4");
            command.env("EIM__QUEUE__URL", broker).env("EIM__QUEUE__PREFIX", &self.prefix);
        }
        command
    }

    /// Starts all that do not run.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn start(&self) -> anyhow::Result<()> {
        for index in 0..self.processes.len() {
            self.start_one(index).await?;
        }
        Ok(())
    }

    /// Starts one, again and again as a supervisor would, until it listens: it may not while its database or its broker is away.
    async fn start_one(&self, index: usize) -> anyhow::Result<()> {
        let Some(process) = self.processes.get(index) else { return Ok(()) };
        let end = Instant::now() + START;
        while Instant::now() < end {
            if let Some(addresses) = self.try_to_start(process, end).await? {
                *lock(&process.addresses) = Some(addresses);
                return Ok(());
            }
            tokio::time::sleep(LOOK * 10).await;
        }
        let child = lock(&process.child).as_ref().map(Child::id);
        bail!("{} does not start: {}", process.name, child.map(threads).unwrap_or_default())
    }

    async fn try_to_start(&self, process: &Process, end: Instant) -> anyhow::Result<Option<Addresses>> {
        let log = self.path(&format!("{}.log", process.name));
        let written = std::fs::metadata(&log).map_or(0, |found| found.len() as usize);
        let file = File::options().create(true).append(true).open(&log)?;
        let mut command = self.command(&process.name);
        command.args(["serve", "--role", process.role]).stdout(Stdio::null()).stderr(file);
        *lock(&process.child) = Some(command.spawn()?);
        while Instant::now() < end {
            let text = String::from_utf8_lossy(&std::fs::read(&log)?).into_owned();
            let said = text.get(written..).unwrap_or_default();
            if let Some(addresses) = addresses(said, process.role) {
                return Ok(Some(addresses));
            }
            if let Some(child) = lock(&process.child).as_mut()
                && child.try_wait()?.is_some()
            {
                return Ok(None);
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(None)
    }

    /// Where the fronts that run are for devices.
    #[must_use]
    pub fn esipa(&self) -> Vec<SocketAddr> {
        self.running().filter_map(|addresses| addresses.esipa).collect()
    }

    /// Where the fronts that run are for operators.
    #[must_use]
    pub fn api(&self) -> Vec<SocketAddr> {
        self.running().filter(|addresses| addresses.esipa.is_some()).map(|addresses| addresses.api).collect()
    }

    fn running(&self) -> impl Iterator<Item = Addresses> {
        self.processes.iter().filter_map(|process| *lock(&process.addresses))
    }

    /// Kills a server at once, and starts it again after a while in the background. False when it does not run.
    pub fn kill(self: &Arc<Self>, index: usize, rest: Duration) -> bool {
        let Some(process) = self.processes.get(index) else { return false };
        // From here on nobody else kills it.
        if lock(&process.addresses).take().is_none() {
            return false;
        }
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let ended = lock(&process.child).take().map(killed);
        match ended {
            Some(Ok(status)) if status.signal() == Some(SIGKILL) => {}
            ended => self.complain(format!("{} had ended by itself: {ended:?}", process.name)),
        }
        let servers = Arc::clone(self);
        tokio::spawn(async move { servers.come_back(index, rest).await });
        true
    }

    /// Stops a server by SIGTERM and starts it again after a while, in the background. False when it does not run.
    pub fn restart(self: &Arc<Self>, index: usize, rest: Duration) -> bool {
        let Some(process) = self.processes.get(index) else { return false };
        if lock(&process.addresses).take().is_none() {
            return false;
        }
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let servers = Arc::clone(self);
        tokio::spawn(async move {
            match servers.stop_one(index).await {
                Ok(None) => {}
                Ok(Some(wrong)) => servers.complain(wrong),
                Err(error) => servers.complain(format!("{error:#}")),
            }
            servers.come_back(index, rest).await;
        });
        true
    }

    async fn come_back(&self, index: usize, rest: Duration) {
        tokio::time::sleep(rest).await;
        if let Err(error) = self.start_one(index).await {
            self.complain(format!("{error:#}"));
        }
        self.under_way.fetch_sub(1, Ordering::SeqCst);
    }

    fn complain(&self, what: String) {
        lock(&self.complaints).push(what);
    }

    /// Whether no server is being started.
    #[must_use]
    pub fn are_up(&self) -> bool {
        self.under_way.load(Ordering::SeqCst) == 0
    }

    /// What went wrong with processes, and is no accident of the plan.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = lock(&self.complaints).clone();
        for process in &self.processes {
            let log = std::fs::read_to_string(self.path(&format!("{}.log", process.name))).unwrap_or_default();
            let panics = log.lines().filter(|line| line.contains("panicked at"));
            complaints.extend(panics.map(|line| format!("{}: {line}", process.name)));
        }
        complaints
    }

    /// Stops all with SIGTERM, workers first. Gives what is wrong with how they ended.
    ///
    /// # Errors
    /// When the signal can't be sent.
    pub async fn stop(&self) -> anyhow::Result<Vec<String>> {
        let mut wrong = Vec::new();
        for index in (0..self.processes.len()).rev() {
            wrong.extend(self.stop_one(index).await?);
        }
        Ok(wrong)
    }

    async fn stop_one(&self, index: usize) -> anyhow::Result<Option<String>> {
        let Some(process) = self.processes.get(index) else { return Ok(None) };
        *lock(&process.addresses) = None;
        let Some(mut child) = lock(&process.child).take() else { return Ok(None) };
        let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        let end = Instant::now() + STOP;
        let status = loop {
            match child.try_wait()? {
                Some(status) => break Some(status),
                None if Instant::now() > end => break None,
                None => tokio::time::sleep(LOOK).await,
            }
        };
        if sent.success() && status.is_some_and(|status| status.success()) {
            return Ok(None);
        }
        let _ = killed(child);
        Ok(Some(format!("{} did not stop well: {status:?}", process.name)))
    }

    /// Kills whatever still runs.
    pub fn end(&self) {
        for process in &self.processes {
            if let Some(child) = lock(&process.child).take() {
                // Whether it has ended already is all the same.
                let _ = killed(child);
            }
        }
    }

    /// Whether the audit log holds together, as the server's own command says. None when it does.
    ///
    /// # Errors
    /// When the command can't be started.
    pub fn audit(&self) -> anyhow::Result<Option<String>> {
        let found = self.command("front-1").args(["audit", "verify"]).output()?;
        let text = || format!("{}{}", String::from_utf8_lossy(&found.stdout), String::from_utf8_lossy(&found.stderr));
        Ok((!found.status.success()).then(text))
    }

    /// The last lines of every log.
    #[must_use]
    pub fn logs(&self, lines: usize) -> String {
        let mut all = String::new();
        for process in &self.processes {
            let text = std::fs::read_to_string(self.path(&format!("{}.log", process.name))).unwrap_or_default();
            let skipped = text.lines().count().saturating_sub(lines);
            all.push_str(&format!("== {}\n", process.name));
            text.lines().skip(skipped).for_each(|line| all.push_str(&format!("{line}\n")));
        }
        all
    }

    /// Removes schema and queues.
    pub async fn remove(&self) {
        if let Some(schema) = &self.schema
            && let Err(error) = schema.remove().await
        {
            eprintln!("the schema of the run was not removed: {error:#}");
        }
        if self.broker.is_some()
            && let Err(error) = amqp::remove(&self.common.amqp, &self.prefix).await
        {
            eprintln!("the queues of the run were not removed: {error:#}");
        }
    }

    /// Keeps the folder of the run, and gives where it is.
    #[must_use]
    pub fn keep(&self) -> PathBuf {
        let kept = std::env::temp_dir().join(format!("eim-crash-{}", self.prefix));
        match copy(self.folder.path(), &kept) {
            Ok(()) => kept,
            Err(_) => self.folder.path().to_owned(),
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the threads of a process are at, as the kernel says: name, state, and what they wait for in it.
fn threads(pid: u32) -> String {
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().map(|thread| {
        let stat = read(thread.path().join("stat"));
        let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim().chars().take(1).collect::<String>());
        format!(
            "{} {} {}",
            read(thread.path().join("comm")).trim(),
            state.unwrap_or_default(),
            read(thread.path().join("wchan"))
        )
    });
    threads.collect::<Vec<_>>().join(", ")
}

fn killed(mut child: Child) -> std::io::Result<ExitStatus> {
    child.kill()?;
    child.wait()
}

fn addresses(log: &str, role: &str) -> Option<Addresses> {
    let address = |before: &str| -> Option<SocketAddr> { log.split_once(before)?.1.split('/').next()?.parse().ok() };
    if role == "worker" {
        return Some(Addresses { esipa: None, api: address("monitoring at http://")? });
    }
    Some(Addresses { esipa: Some(address("ESipa at https://")?), api: address("operator API at http://")? })
}

/// Copies a folder with what is in it.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
