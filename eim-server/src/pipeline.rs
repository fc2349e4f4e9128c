//! The job pipeline of this process: what makes calls, what carries them here, and the job rows of the store.

use crate::config::{Config, QueueUrl};
use crate::outbound::HttpsOutbound;
use crate::queue::{Broker, InProcess, JobRef, JobRun, JobSource, Queue, QueueOptions, Roles, Running};
use anyhow::Context;
use eim_core::ids::TenantId;
use eim_core::metrics::Metrics;
use eim_core::pki::TrustStore;
use eim_core::ports::{Clock, PortFuture, RspCall, RspFailure, RspReply, RspTransport, WebhookCall, WebhookTransport};
use eim_core::store::DueJob;
use eim_core::{Eim, jobs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// For how long whoever was told of a job over a broker is expected to come, before somebody else is told.
const GRACE_MS: i64 = 60_000;

/// Which parts of the server run in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Everything.
    #[default]
    All,
    /// The listeners; calls and jobs are left to workers.
    Front,
    /// Calls and jobs; nobody is served but monitoring.
    Worker,
}

/// The pipeline before anything runs.
pub(crate) struct Pipeline {
    queue: Arc<Queue>,
    outbound: Option<Arc<dyn RspTransport>>,
    grace_ms: i64,
}

impl Pipeline {
    /// Prepares it: the client where this process makes calls, and the broker where there is one.
    ///
    /// # Errors
    /// When the broker can't be reached, or the role needs one and there is none.
    pub(crate) async fn prepare(
        config: &Config,
        role: Role,
        trust: TrustStore,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> anyhow::Result<Self> {
        let makes_calls = role != Role::Front;
        let outbound: Option<Arc<dyn RspTransport>> =
            if makes_calls { Some(Arc::new(client(config, trust, clock, metrics)?)) } else { None };
        // A call waits at the worker for a slot, too; whoever asked for it must not give up before the worker does.
        let call_timeout = config.outbound.options().timeout + Duration::from_secs(5);
        // What one server may hold, at work and waiting, must leave room for the others.
        let held = config.outbound.calls + config.outbound.waiting_per_server;
        let options = QueueOptions {
            call_timeout,
            prefix: config.queue.prefix.clone(),
            call_prefetch: u16::try_from(held).unwrap_or(u16::MAX),
            ..QueueOptions::default()
        };
        let (queue, grace_ms) = match (&config.queue.url, &outbound) {
            (QueueUrl::Broker(url), _) => {
                let roles = Roles { front: role != Role::Worker, worker: makes_calls };
                let broker = Broker::connect(url.reveal(), options, roles).await;
                (Queue::Broker(broker.with_context(|| format!("queue.url {url}"))?), GRACE_MS)
            }
            (QueueUrl::InProcess, Some(outbound)) => {
                (Queue::InProcess(InProcess::new(Arc::clone(outbound), options)), 0)
            }
            (QueueUrl::InProcess, None) => anyhow::bail!("a front without workers needs a broker (queue.url)"),
        };
        Ok(Self { queue: Arc::new(queue), outbound, grace_ms })
    }

    /// Looks whether the configuration can be used, and connects nothing.
    ///
    /// # Errors
    /// When it can't.
    pub(crate) fn rehearse(config: &Config, trust: TrustStore, clock: Arc<dyn Clock>) -> anyhow::Result<()> {
        HttpsOutbound::new(config.outbound.options(), trust, clock)?;
        Ok(())
    }

    /// What makes calls for the front.
    pub(crate) fn transport(&self) -> Arc<dyn RspTransport> {
        self.queue.transport()
    }

    /// Whether the broker is connected, for readiness.
    pub(crate) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    /// Begins to make calls, to hand out jobs and to run them, as the role wants.
    ///
    /// # Errors
    /// When the broker refuses.
    pub(crate) async fn run(self, eim: &Eim) -> anyhow::Result<Running> {
        let owner = hex::encode(eim.entropy().octets::<8>());
        let Self { queue, outbound, grace_ms } = self;
        let rows: Arc<dyn JobSource> =
            Arc::new(Rows { eim: eim.clone(), outbound: outbound.clone(), owner, grace_ms, found: Mutex::default() });
        queue.serve(outbound, Some(rows), &jobs::KINDS).await
    }
}

fn client(
    config: &Config,
    trust: TrustStore,
    clock: Arc<dyn Clock>,
    metrics: &Metrics,
) -> anyhow::Result<HttpsOutbound> {
    let seconds = metrics.es9_request_seconds.clone();
    let client = HttpsOutbound::new(config.outbound.options(), trust, clock)?;
    Ok(client.with_observer(Arc::new(move |function, outcome, time| {
        seconds.with_label_values(&[function.as_str(), outcome]).observe(time.as_secs_f64());
    })))
}

/// The job rows of the store.
struct Rows {
    eim: Eim,
    outbound: Option<Arc<dyn RspTransport>>,
    owner: String,
    grace_ms: i64,
    /// What was last found due: the pipeline looks and hands out by turns.
    found: Mutex<Vec<DueJob>>,
}

fn job_ref(due: &DueJob) -> JobRef {
    JobRef { tenant: due.tenant.value(), kind: due.kind.clone(), key: due.key.clone() }
}

impl JobSource for Rows {
    fn due(&self) -> PortFuture<'_, anyhow::Result<Vec<JobRef>>> {
        Box::pin(async {
            let due = jobs::due(&self.eim).await?;
            let refs = due.iter().map(job_ref).collect();
            *self.found.lock().unwrap_or_else(PoisonError::into_inner) = due;
            Ok(refs)
        })
    }

    fn handed_out(&self, jobs: Vec<JobRef>) -> PortFuture<'_, anyhow::Result<()>> {
        Box::pin(async move {
            let found = std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner));
            let told = |found: &DueJob| jobs.contains(&job_ref(found));
            let jobs = found.into_iter().filter(told).collect();
            Ok(jobs::handed_out(jobs, self.grace_ms, &self.eim).await?)
        })
    }

    fn run(&self, job: JobRef) -> PortFuture<'_, anyhow::Result<JobRun>> {
        Box::pin(async move {
            let outbound = self.outbound.as_ref().context("this process makes no calls")?;
            let eim = self.eim.of(TenantId::from_value(job.tenant));
            let run = jobs::run(&job.kind, &job.key, &self.owner, &**outbound, self.grace_ms, &eim).await?;
            Ok(match run {
                jobs::JobRun::Done => JobRun::Done,
                jobs::JobRun::Later { after } => JobRun::Later { after },
            })
        })
    }

    fn give_back(&self) -> PortFuture<'_, anyhow::Result<()>> {
        Box::pin(async {
            let released = jobs::give_back(&self.owner, &self.eim).await?;
            if released > 0 {
                tracing::info!(released, "jobs that were cut off are given back");
            }
            Ok(())
        })
    }

    fn woken(&self) -> PortFuture<'_, ()> {
        Box::pin(self.eim.jobs_woken())
    }
}

/// For commands, which call nobody.
pub(crate) struct NoCalls;

impl RspTransport for NoCalls {
    fn call(&self, _: RspCall) -> PortFuture<'_, Result<RspReply, RspFailure>> {
        Box::pin(std::future::ready(Err(RspFailure::NoWorker)))
    }

    fn longest_call(&self) -> Duration {
        Duration::ZERO
    }
}

impl WebhookTransport for NoCalls {
    fn admit(&self, _: String) -> PortFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Err("this process calls nobody".to_owned())))
    }

    fn post(&self, _: WebhookCall) -> PortFuture<'_, Result<u16, RspFailure>> {
        Box::pin(std::future::ready(Err(RspFailure::NoWorker)))
    }
}
