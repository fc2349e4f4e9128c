//! The servers that are measured: the eIM in its release build, and the bare server beside it.

use crate::fleet::Pollers;
use crate::process::{Process, output};
use crate::production::Shared;
use anyhow::Context;
use eim_simulator::ipa::{TlsVersions, client_config};
use eim_simulator::load::{Api, RawConnection};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Devices in one file: with their certificates it stays below `limits.import_bytes`.
const IN_ONE_FILE: u32 = 100_000;

/// Where devices find a server.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its device front.
    pub address: SocketAddr,
    /// Trust in its certificate.
    pub tls: Arc<ClientConfig>,
}

/// Something that answers polls, made of one or several processes.
pub trait Served {
    /// Where devices find it: one for each front.
    fn targets(&self) -> Vec<Target>;
    /// Its processes.
    fn processes(&self) -> Vec<&Process>;
}

/// What all servers of a run have in common.
#[derive(Debug)]
pub struct Bench {
    /// `eim-server`.
    pub binary: PathBuf,
    /// Data, logs and files of the run; removed in the end.
    pub folder: PathBuf,
    /// The devices.
    pub pollers: Pollers,
    /// PostgreSQL and RabbitMQ.
    pub shared: Shared,
}

/// The bare server.
#[derive(Debug)]
pub struct Bare {
    process: Process,
    target: Target,
}

impl Bare {
    /// Starts it: this program, with other arguments.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(bench: &Bench) -> anyhow::Result<Self> {
        let certificate = bench.folder.join("bare.der");
        let mut command = Command::new(std::env::current_exe()?);
        command.env_clear().arg("bare-server").arg("--certificate-out").arg(&certificate);
        let mut process = Process::start("the bare server", command, bench.folder.join("bare.log"))?;
        let address = process.address("https://").await?;
        let tls = client_config(&[std::fs::read(certificate)?], TlsVersions::Both)?;
        Ok(Self { process, target: Target { address, tls } })
    }
}

impl Served for Bare {
    fn targets(&self) -> Vec<Target> {
        vec![self.target.clone()]
    }

    fn processes(&self) -> Vec<&Process> {
        vec![&self.process]
    }
}

/// One eIM: a process, or a front with its worker.
#[derive(Debug)]
pub struct Eim {
    front: Process,
    worker: Option<Process>,
    target: Target,
    api: SocketAddr,
    key: String,
    binary: PathBuf,
    folder: PathBuf,
}

impl Eim {
    /// Starts one on SQLite in the folder of this name; it may have been used before.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn embedded(bench: &Bench, name: &str) -> anyhow::Result<Self> {
        let key = api_key(bench.command(name)).await?;
        let mut front = bench.serve(bench.command(name), name, "all")?;
        let target = Target { address: front.address("ESipa at https://").await?, tls: bench.trust(name)? };
        let api = front.address("operator API at http://").await?;
        let (binary, folder) = (bench.binary.clone(), bench.folder.clone());
        Ok(Self { front, worker: None, target, api, key, binary, folder })
    }

    /// Starts a front and a worker on the shared PostgreSQL and RabbitMQ. Their keys are in the folder `keys`.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn production(bench: &Bench, name: &str) -> anyhow::Result<Self> {
        let key = api_key(bench.production(name)?).await?;
        let mut front = bench.serve(bench.production(name)?, name, "front")?;
        let target = Target { address: front.address("ESipa at https://").await?, tls: bench.trust("keys")? };
        let api = front.address("operator API at http://").await?;
        let worker_name = format!("{name}-worker");
        let mut worker = bench.serve(bench.production(&worker_name)?, &worker_name, "worker")?;
        worker.address("monitoring at http://").await?;
        let (binary, folder) = (bench.binary.clone(), bench.folder.clone());
        Ok(Self { front, worker: Some(worker), target, api, key, binary, folder })
    }

    /// Stops it, worker first.
    ///
    /// # Errors
    /// When it does not stop well.
    pub async fn stop(self) -> anyhow::Result<()> {
        if let Some(worker) = self.worker {
            worker.stop().await?;
        }
        self.front.stop().await
    }

    /// The process that answers devices.
    #[must_use]
    pub const fn front(&self) -> &Process {
        &self.front
    }

    /// A connection to its API.
    ///
    /// # Errors
    /// When it can't be reached.
    pub async fn api(&self) -> anyhow::Result<Api> {
        Ok(Api::connect(&format!("http://{}", self.api), &self.key, false).await?)
    }

    /// Registers devices through the import of the API. The next file is written while one is imported.
    ///
    /// # Errors
    /// When a line is not taken.
    pub async fn import_devices(&self, pollers: &Pollers, devices: Range<u32>) -> anyhow::Result<()> {
        let pollers = pollers.clone();
        let write = move |part: Range<u32>, file: &Path| pollers.write_devices(part, file);
        self.import(&["devices", "import"], devices, write).await
    }

    /// Queues operations on these devices through the import of the API.
    ///
    /// # Errors
    /// When a line is not taken.
    pub async fn import_operations(&self, pollers: &Pollers, count: u32, on: Range<u32>) -> anyhow::Result<()> {
        let pollers = pollers.clone();
        let write = move |part: Range<u32>, file: &Path| pollers.write_operations(part, on.clone(), file);
        self.import(&["operations", "import"], 0..count, write).await
    }

    async fn import(
        &self,
        command: &[&str],
        lines: Range<u32>,
        write: impl Fn(Range<u32>, &Path) -> anyhow::Result<()> + Clone + Send + 'static,
    ) -> anyhow::Result<()> {
        let file_of = |start: u32| self.folder.join(format!("import-{start}.ndjson"));
        let begin = |start: u32| {
            let (write, file) = (write.clone(), file_of(start));
            let part = start..lines.end.min(start + IN_ONE_FILE);
            tokio::task::spawn_blocking(move || write(part, &file))
        };
        let mut written = begin(lines.start);
        for start in lines.clone().step_by(IN_ONE_FILE as usize) {
            written.await??;
            // Past the end this writes a file without lines, which nobody imports.
            written = begin(lines.end.min(start + IN_ONE_FILE));
            let file = file_of(start);
            let mut ctl = Command::new(&self.binary);
            ctl.env_clear().env("EIM_API_KEY", &self.key);
            // Far more than the usual patience: what else the machine does shall not end a run.
            ctl.args(["ctl", "--answer-seconds", "600", "--url", &format!("http://{}", self.api)]);
            ctl.args(command).arg(&file);
            output(ctl).await?;
            std::fs::remove_file(file)?;
        }
        written.await?
    }

    /// The counters of `/metrics`, by name with labels.
    ///
    /// # Errors
    /// When they can't be read.
    pub async fn counters(&self) -> anyhow::Result<BTreeMap<String, f64>> {
        let mut connection = RawConnection::open_plain(self.api).await?;
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {}\r\n\r\n", self.api);
        let (status, body) = connection.exchange(request.as_bytes()).await?;
        anyhow::ensure!(status == 200, "/metrics was answered with status {status}");
        let lines = std::str::from_utf8(body)?.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.rsplit_once(' '));
        Ok(pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }
}

impl Served for Eim {
    fn targets(&self) -> Vec<Target> {
        vec![self.target.clone()]
    }

    fn processes(&self) -> Vec<&Process> {
        std::iter::once(&self.front).chain(&self.worker).collect()
    }
}

impl Served for [&Eim] {
    fn targets(&self) -> Vec<Target> {
        self.iter().flat_map(|eim| eim.targets()).collect()
    }

    fn processes(&self) -> Vec<&Process> {
        self.iter().flat_map(|eim| eim.processes()).collect()
    }
}

impl Bench {
    /// The server's command line with the data directory of this name. The environment is not handed on: it may configure
    /// another server.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().arg("--data-dir").arg(self.folder.join(name));
        command.env("EIM__ESIPA__LISTEN", "127.0.0.1:0").env("EIM__API__LISTEN", "127.0.0.1:0");
        command.env("EIM__PKI__CI_DIR", self.folder.join("ci"));
        // Its addresses are told at info.
        command.env("EIM__LOG__LEVEL", "warn,eim_server::cli::serve=info");
        // A few devices on a few connections ask as fast as they can here, which is what the limits are against.
        for rate in ["CONNECTION", "EID", "API_KEY"] {
            for bound in ["PER_SECOND", "BURST"] {
                command.env(format!("EIM__LIMITS__{rate}_{bound}"), "1000000");
            }
        }
        command.env("EIM__LIMITS__API_KEY_AT_ONCE", "4096");
        command
    }

    fn production(&self, name: &str) -> anyhow::Result<Command> {
        let keys = self.folder.join("keys");
        let eim_id = std::fs::read_to_string(keys.join("eim-id")).context("the keys of the fronts")?;
        let mut command = self.command(name);
        command.env("EIM__EIM__ID", eim_id.trim()).env("EIM__EIM__SIGNING_KEY", keys.join("signing-key.pem"));
        command.env("EIM__SECRETS__KEY", keys.join("secrets.key"));
        command.env("EIM__ESIPA__TLS_CERTIFICATE", keys.join("tls-certificate.pem"));
        command.env("EIM__ESIPA__TLS_KEY", keys.join("tls-key.pem"));
        command.env("EIM__STORE__URL", self.shared.store_url());
        command.env("EIM__QUEUE__URL", &self.shared.amqp).env("EIM__QUEUE__PREFIX", &self.shared.name);
        Ok(command)
    }

    /// Makes schema, tables and keys for [`Eim::production`].
    ///
    /// # Errors
    /// When PostgreSQL can't be reached, or the server refuses.
    pub async fn prepare_production(&self) -> anyhow::Result<()> {
        let mut keys = self.command("keys");
        keys.args(["eim", "config-data", "--format", "der", "--out"]).arg(self.folder.join("eim.der"));
        output(keys).await?;
        self.shared.create().await?;
        let mut migrate = self.production("node-1")?;
        migrate.arg("migrate");
        output(migrate).await.map(drop)
    }

    fn serve(&self, mut command: Command, name: &str, role: &str) -> anyhow::Result<Process> {
        command.args(["serve", "--role", role]);
        Process::start(name, command, self.folder.join(format!("{name}.log")))
    }

    fn trust(&self, name: &str) -> anyhow::Result<Arc<ClientConfig>> {
        let certificate = CertificateDer::from_pem_file(self.folder.join(name).join("tls-certificate.pem"))?;
        Ok(client_config(&[certificate.to_vec()], TlsVersions::Both)?)
    }
}

async fn api_key(mut command: Command) -> anyhow::Result<String> {
    command.args(["api-key", "create", "--role", "admin", "--name", "load"]);
    Ok(output(command).await?.trim().to_owned())
}
