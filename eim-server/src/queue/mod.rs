//! The job pipeline: who carries out calls to SM-DP+ and SM-DS, and who runs job rows.
//!
//! Two jobs. Calls with an answer go from the front to whoever makes them ([`eim_core::ports::RspTransport`]), with a
//! deadline. Job rows that are due are handed to a runner ([`JobSource`]). The row is the truth: a message only says "look
//! at this row", so a lost one is made up for by the sweep and a doubled one finds nothing to do.
//!
//! [`InProcess`] does both within one process. [`Broker`] does both over RabbitMQ between many. [`Queue`] is either.
//! Nothing here decides what a call says, what an answer means, or when a row is due.

mod broker;
mod in_process;
mod running;

pub use broker::{Broker, remove};
pub use in_process::InProcess;
pub use running::Running;

use eim_core::ids::TenantId;
use eim_core::ports::{PortFuture, RspTransport};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The longest key of a job row, in octets.
pub const MAX_KEY_BYTES: usize = 512;

/// Names a job row.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRef {
    /// The number of the tenant whose it is. One of the first tenant does not say so: workers of an older version read it.
    #[serde(default = "first_tenant", skip_serializing_if = "is_first_tenant")]
    pub tenant: i64,
    /// One of the fixed words given at start; the routing key.
    pub kind: String,
    /// Which row, at most [`MAX_KEY_BYTES`]. It may get into logs, so it holds no secret.
    pub key: String,
}

const fn first_tenant() -> i64 {
    TenantId::DEFAULT.value()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_first_tenant(tenant: &i64) -> bool {
    *tenant == TenantId::DEFAULT.value()
}

/// How a run of a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobRun {
    /// There is nothing more to do.
    Done,
    /// The row is not finished.
    Later {
        /// Look again after this time. The row says whether it is due then.
        after: Duration,
    },
}

/// The job rows of a store.
pub trait JobSource: Send + Sync + 'static {
    /// The rows that are due and were not handed out lately, bounded in number. A row whose run failed is due again when
    /// the row says so.
    fn due(&self) -> PortFuture<'_, anyhow::Result<Vec<JobRef>>>;

    /// These rows were handed out: with a broker, after it has confirmed that it keeps the messages.
    fn handed_out(&self, jobs: Vec<JobRef>) -> PortFuture<'_, anyhow::Result<()>>;

    /// Leases the row, runs it and finishes it. Called more than once for a row, it does nothing more.
    fn run(&self, job: JobRef) -> PortFuture<'_, anyhow::Result<JobRun>>;

    /// Nothing runs here any more: what is still leased, because its run was cut off, is given back. A source without leases has
    /// nothing to do.
    fn give_back(&self) -> PortFuture<'_, anyhow::Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// Resolves when rows may have become due. It may be dropped and called again.
    fn woken(&self) -> PortFuture<'_, ()>;
}

/// How the pipeline behaves. [`QueueOptions::default`] suits production.
#[derive(Debug, Clone)]
pub struct QueueOptions {
    /// The longest time of a call, from its beginning to its answer, waiting included.
    pub call_timeout: Duration,
    /// Jobs of one kind that a worker holds at once.
    pub prefetch: u16,
    /// Calls of one function that a worker holds at once.
    pub call_prefetch: u16,
    /// Jobs that run at once in a process without a broker.
    pub jobs_at_once: usize,
    /// Calls without an answer yet. One more is [`eim_core::ports::RspFailure::Busy`].
    pub outstanding: usize,
    /// What the names of queues and exchanges begin with. At most 64 letters, digits, `-`, `_` and dots.
    pub prefix: String,
    /// How often due rows are looked for although nobody woke the pipeline.
    pub sweep: Duration,
    /// How long a new call waits for a broker that is away before it fails.
    pub broker_wait: Duration,
    /// How often a job is tried before its message goes to the dead letters. Its row is not touched by that.
    pub delivery_limit: u32,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            call_timeout: Duration::from_secs(30),
            prefetch: 16,
            call_prefetch: 32,
            jobs_at_once: 32,
            outstanding: 10_000,
            prefix: "eim".into(),
            sweep: Duration::from_secs(2),
            broker_wait: Duration::from_secs(1),
            delivery_limit: 20,
        }
    }
}

/// What a process does for others over a broker. It may do both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// It publishes calls and awaits their answers.
    pub front: bool,
    /// It makes calls and runs jobs.
    pub worker: bool,
}

/// The pipeline, whichever it is.
pub enum Queue {
    /// Within this process.
    InProcess(InProcess),
    /// Over RabbitMQ.
    Broker(Broker),
}

impl Queue {
    /// What carries calls out.
    #[must_use]
    pub fn transport(&self) -> Arc<dyn RspTransport> {
        match self {
            Self::InProcess(queue) => queue.transport(),
            Self::Broker(queue) => queue.transport(),
        }
    }

    /// Begins to work. `outbound` makes the calls of other processes (in one process it was given already), `jobs` are
    /// the rows, and `kinds` are all kinds of jobs there are.
    ///
    /// # Errors
    /// When the broker refuses the queues, or work has begun already.
    pub async fn serve(
        &self,
        outbound: Option<Arc<dyn RspTransport>>,
        jobs: Option<Arc<dyn JobSource>>,
        kinds: &[&str],
    ) -> anyhow::Result<Running> {
        match self {
            Self::InProcess(queue) => Ok(queue.serve_if_any(jobs)),
            Self::Broker(queue) => queue.serve(outbound, jobs, kinds).await,
        }
    }

    /// Whether calls and jobs get through now, for readiness.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        match self {
            Self::InProcess(_) => true,
            Self::Broker(queue) => queue.is_connected(),
        }
    }
}
