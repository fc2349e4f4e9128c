//! What the tests of the pipeline share: a server that answers as it is told, a store of rows, a broker with a prefix of
//! its own, and a wire that can be cut.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use eim_core::ports::{PortFuture, RspCall, RspFailure, RspFunction, RspReply, RspTransport};
use eim_server::queue::{Broker, InProcess, JobRef, JobRun, JobSource, Queue, QueueOptions, Roles};
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};

/// Long enough for a slow machine; nothing waits for all of it unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(40);
pub const KIND: &str = "notify";
pub const BOTH: Roles = Roles { front: true, worker: true };
pub const FRONT: Roles = Roles { front: true, worker: false };
pub const WORKER: Roles = Roles { front: false, worker: true };

pub fn url() -> String {
    std::env::var("EIM_TEST_AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672".into())
}

pub fn broker_addr() -> String {
    let uri: lapin::uri::AMQPUri = url().parse().expect("an amqp URL");
    format!("{}:{}", uri.authority.host, uri.authority.port)
}

/// Runs a test with a broker; skips it when there is none and none is required.
pub fn with_broker<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(QueueOptions) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let options = options();
    let case = test(options.clone());
    let failed = runtime.block_on(async move {
        if TcpStream::connect(broker_addr()).await.is_err() {
            assert!(std::env::var("EIM_TEST_REQUIRE_SERVICES").as_deref() != Ok("1"), "a broker is required");
            eprintln!("skipped: no broker");
            return None;
        }
        let outcome = tokio::spawn(case).await;
        clean(&options.prefix).await;
        outcome.err()
    });
    if let Some(error) = failed {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Runs a case on both pipelines.
pub fn on_both<F: Future<Output = ()> + Send + 'static>(case: impl Fn(Bench) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let future = case(Bench { over_broker: false, options: options() });
    runtime.block_on(async { tokio::spawn(future).await.expect("the case within one process") });
    with_broker(|options| case(Bench { over_broker: true, options }));
}

/// Makes pipelines of one sort.
pub struct Bench {
    pub over_broker: bool,
    pub options: QueueOptions,
}

impl Bench {
    pub async fn queue(&self, outbound: Arc<dyn RspTransport>) -> Queue {
        match self.over_broker {
            false => Queue::InProcess(InProcess::new(outbound, self.options.clone())),
            true => Queue::Broker(Broker::connect(&url(), self.options.clone(), BOTH).await.unwrap()),
        }
    }
}

pub fn options() -> QueueOptions {
    let prefix = format!("eimtest-{:016x}", RandomState::new().build_hasher().finish());
    let sweep = Duration::from_millis(200);
    QueueOptions { prefix, sweep, call_timeout: Duration::from_secs(20), ..QueueOptions::default() }
}

pub async fn clean(prefix: &str) {
    let connection = lapin::Connection::connect(&url(), Default::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut names: Vec<String> =
        RspFunction::ALL.iter().map(|function| format!("{prefix}.call.{}", function.as_str())).collect();
    names.extend([1, 10, 60, 600, 3600].map(|seconds| format!("{prefix}.delay.{seconds}")));
    names.extend([format!("{prefix}.job.{KIND}"), format!("{prefix}.dead")]);
    for name in &names {
        channel.queue_delete(name.as_str().into(), Default::default()).await.unwrap();
    }
    names.extend([format!("{prefix}.calls"), format!("{prefix}.jobs")]);
    for name in &names {
        channel.exchange_delete(name.as_str().into(), Default::default()).await.unwrap();
    }
    connection.close(200, "OK".into()).await.unwrap();
}

pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn call(function: RspFunction, body: &[u8]) -> RspCall {
    RspCall { address: "smdp.example.com".parse().unwrap(), function, body: body.to_vec() }
}

pub fn job(key: impl ToString) -> JobRef {
    JobRef { tenant: 1, kind: KIND.into(), key: key.to_string() }
}

/// Answers with the body it got, as the first octet of it tells.
pub struct Server {
    pub calls: AtomicUsize,
    pub begun: Notify,
    /// Calls that begin with `W` take a permit before they answer.
    pub gate: Semaphore,
}

impl Server {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { calls: AtomicUsize::new(0), begun: Notify::new(), gate: Semaphore::new(0) })
    }
}

impl RspTransport for Server {
    fn longest_call(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn call(&self, call: RspCall) -> PortFuture<'_, Result<RspReply, RspFailure>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            self.begun.notify_one();
            match call.body.first() {
                Some(b'F') => return Err(RspFailure::TooLarge(4711)),
                Some(b'P') => panic!("as it was told to"),
                Some(b'W') => self.gate.acquire().await.expect("an open gate").forget(),
                _ => {}
            }
            Ok(RspReply { status: 200, body: call.body })
        })
    }
}

/// Rows in memory.
#[derive(Default)]
pub struct Rows {
    rows: Mutex<HashMap<JobRef, Row>>,
    wake: Notify,
    pub script: Mutex<Option<Script>>,
    pub doubled: AtomicBool,
    running: Mutex<HashSet<JobRef>>,
    pub begun: Notify,
}

pub type Script = Arc<dyn Fn(usize) -> PortFuture<'static, anyhow::Result<JobRun>> + Send + Sync>;

#[derive(Clone)]
pub struct Row {
    due: Instant,
    pub runs: usize,
    pub done: bool,
    pub handed_out: usize,
}

impl Rows {
    pub fn new(
        script: impl Fn(usize) -> PortFuture<'static, anyhow::Result<JobRun>> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let rows = Self::default();
        *rows.script.lock().unwrap() = Some(Arc::new(script));
        Arc::new(rows)
    }

    pub fn done() -> Arc<Self> {
        Self::new(|_| Box::pin(async { Ok(JobRun::Done) }))
    }

    pub fn insert(&self, jobs: impl IntoIterator<Item = JobRef>) {
        let row = Row { due: Instant::now(), runs: 0, done: false, handed_out: 0 };
        self.rows.lock().unwrap().extend(jobs.into_iter().map(|job| (job, row.clone())));
        self.wake.notify_one();
    }

    pub fn row(&self, job: &JobRef) -> Row {
        self.rows.lock().unwrap()[job].clone()
    }

    pub fn open(&self) -> usize {
        self.rows.lock().unwrap().values().filter(|row| !row.done).count()
    }

    pub fn runs(&self) -> Vec<usize> {
        self.rows.lock().unwrap().values().map(|row| row.runs).collect()
    }
}

/// A view of the rows that one worker has, so that it can be told who ran what.
pub struct Seen {
    pub rows: Arc<Rows>,
    pub runs: AtomicUsize,
}

impl JobSource for Seen {
    fn due(&self) -> PortFuture<'_, anyhow::Result<Vec<JobRef>>> {
        self.rows.due()
    }
    fn handed_out(&self, jobs: Vec<JobRef>) -> PortFuture<'_, anyhow::Result<()>> {
        self.rows.handed_out(jobs)
    }
    fn run(&self, job: JobRef) -> PortFuture<'_, anyhow::Result<JobRun>> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.rows.run(job)
    }
    fn woken(&self) -> PortFuture<'_, ()> {
        self.rows.woken()
    }
}

impl JobSource for Rows {
    fn due(&self) -> PortFuture<'_, anyhow::Result<Vec<JobRef>>> {
        let now = Instant::now();
        let rows = self.rows.lock().unwrap();
        let due =
            rows.iter().filter(|(_, row)| !row.done && row.due <= now).map(|(job, _)| job.clone()).take(64).collect();
        Box::pin(async move { Ok(due) })
    }

    fn handed_out(&self, jobs: Vec<JobRef>) -> PortFuture<'_, anyhow::Result<()>> {
        let mut rows = self.rows.lock().unwrap();
        for job in jobs {
            let row = rows.get_mut(&job).expect("a row");
            row.handed_out += 1;
            row.due = Instant::now() + Duration::from_secs(5);
        }
        Box::pin(async { Ok(()) })
    }

    fn run(&self, job: JobRef) -> PortFuture<'_, anyhow::Result<JobRun>> {
        Box::pin(async move {
            let Some(row) = self.rows.lock().unwrap().get(&job).cloned() else { return Ok(JobRun::Done) };
            if row.done {
                return Ok(JobRun::Done);
            }
            if !self.running.lock().unwrap().insert(job.clone()) {
                self.doubled.store(true, Ordering::SeqCst);
            }
            let _lease = Lease(self, job.clone());
            let runs = {
                let mut rows = self.rows.lock().unwrap();
                let row = rows.get_mut(&job).expect("a row");
                row.runs += 1;
                row.runs
            };
            self.begun.notify_one();
            let script = self.script.lock().unwrap().clone().expect("a script");
            let outcome = script(runs).await;
            let mut rows = self.rows.lock().unwrap();
            let row = rows.get_mut(&job).expect("a row");
            match &outcome {
                Ok(JobRun::Done) => row.done = true,
                Ok(JobRun::Later { after }) => row.due = Instant::now() + *after,
                Err(_) => row.due = Instant::now() + Duration::from_millis(300),
            }
            outcome
        })
    }

    fn woken(&self) -> PortFuture<'_, ()> {
        Box::pin(self.wake.notified())
    }
}

struct Lease<'a>(&'a Rows, JobRef);

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.0.running.lock().unwrap().remove(&self.1);
    }
}

/// A wire to the broker that can be cut, for a while or for good.
pub struct Wire {
    addr: SocketAddr,
    open: watch::Sender<bool>,
}

impl Wire {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let open = watch::Sender::new(true);
        let is_open = open.subscribe();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut is_open = is_open.clone();
                if !*is_open.borrow_and_update() {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(broker_addr()).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = is_open.wait_for(|open| !*open) => {}
                    }
                });
            }
        });
        Self { addr, open }
    }

    pub fn url(&self) -> String {
        let url = url();
        url.replace(&broker_addr(), &self.addr.to_string())
    }

    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}
