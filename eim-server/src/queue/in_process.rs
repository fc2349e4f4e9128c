//! The pipeline within one process: calls are made here, and rows are run here.

use super::running::{Entered, Flag, Running, Tasks, UnderWay, locked};
use super::{JobRef, JobRun, JobSource, QueueOptions};
use eim_core::ports::{PortFuture, RspCall, RspFailure, RspReply, RspTransport};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The pipeline of a process that needs no other.
pub struct InProcess {
    transport: Arc<Direct>,
    options: QueueOptions,
}

impl InProcess {
    /// Calls are made with `outbound`.
    #[must_use]
    pub fn new(outbound: Arc<dyn RspTransport>, options: QueueOptions) -> Self {
        let transport = Arc::new(Direct {
            outbound,
            permits: Arc::new(Semaphore::new(options.outstanding)),
            tasks: Tasks::default(),
            stop: Mutex::new(Flag::new()),
            options: options.clone(),
        });
        Self { transport, options }
    }

    /// What carries calls out: at once, in this process.
    #[must_use]
    pub fn transport(&self) -> Arc<dyn RspTransport> {
        self.transport.clone()
    }

    /// Begins to run the rows of `jobs`.
    #[must_use]
    pub fn serve(&self, jobs: Arc<dyn JobSource>) -> Running {
        self.serve_if_any(Some(jobs))
    }

    pub(super) fn serve_if_any(&self, jobs: Option<Arc<dyn JobSource>>) -> Running {
        let stop = Flag::new();
        *locked(&self.transport.stop) = stop.clone();
        let tasks = self.transport.tasks.clone();
        let rows = jobs.clone();
        let main = jobs.map(|jobs| {
            let runner = Runner {
                jobs,
                under_way: UnderWay::default(),
                tasks: tasks.clone(),
                stop: stop.clone(),
                options: self.options.clone(),
            };
            tokio::spawn(runner.rounds())
        });
        Running { stop, main, tasks, patience: self.options.call_timeout, keeper: None, jobs: rows }
    }
}

struct Direct {
    outbound: Arc<dyn RspTransport>,
    permits: Arc<Semaphore>,
    tasks: Tasks,
    stop: Mutex<Flag>,
    options: QueueOptions,
}

impl RspTransport for Direct {
    fn longest_call(&self) -> Duration {
        self.options.call_timeout
    }

    fn call(&self, call: RspCall) -> PortFuture<'_, Result<RspReply, RspFailure>> {
        Box::pin(async move {
            if locked(&self.stop).is_raised() {
                return Err(RspFailure::NoWorker);
            }
            let permit = self.permits.clone().try_acquire_owned().map_err(|_| RspFailure::Busy)?;
            let (answer, answered) = tokio::sync::oneshot::channel();
            let outbound = self.outbound.clone();
            let allowed = self.options.call_timeout;
            // In a task of its own, so that a caller that goes away does not break a call off half-way.
            self.tasks.spawn(async move {
                let outcome = made(outbound.as_ref(), call, allowed).await;
                drop(permit);
                let _ = answer.send(outcome);
            });
            answered.await.unwrap_or(Err(RspFailure::Interrupted))
        })
    }
}

/// Makes a call within the time; a panic is an interruption.
pub(super) async fn made(
    outbound: &dyn RspTransport,
    call: RspCall,
    allowed: std::time::Duration,
) -> Result<RspReply, RspFailure> {
    let call = AssertUnwindSafe(async { outbound.call(call).await }).catch_unwind();
    match tokio::time::timeout(allowed, call).await {
        Err(_) => Err(RspFailure::Timeout),
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => {
            tracing::error!("a call ended in a panic");
            Err(RspFailure::Interrupted)
        }
    }
}

/// Runs a row; a failure or a panic is logged here and leaves nothing.
pub(super) async fn run(jobs: &dyn JobSource, job: &JobRef) -> Option<JobRun> {
    match AssertUnwindSafe(async { jobs.run(job.clone()).await }).catch_unwind().await {
        Ok(Ok(run)) => Some(run),
        Ok(Err(error)) => {
            tracing::error!(kind = %job.kind, key = %job.key, error = format!("{error:#}"), "a job failed");
            None
        }
        Err(_) => {
            tracing::error!(kind = %job.kind, key = %job.key, "a job ended in a panic");
            None
        }
    }
}

struct Runner {
    jobs: Arc<dyn JobSource>,
    under_way: UnderWay,
    tasks: Tasks,
    stop: Flag,
    options: QueueOptions,
}

impl Runner {
    async fn rounds(self) {
        let mut is_full = false;
        while !self.stop.is_raised() {
            match self.round().await {
                Ok(full) => is_full = full,
                Err(error) => tracing::error!(error = format!("{error:#}"), "due jobs could not be taken"),
            }
            tokio::select! {
                () = self.stop.raised() => {}
                () = self.jobs.woken() => {}
                () = self.under_way.fewer(), if is_full => {}
                () = tokio::time::sleep(self.options.sweep) => {}
            }
        }
    }

    /// Takes what is due, and says whether more may wait for a place.
    async fn round(&self) -> anyhow::Result<bool> {
        let room = self.options.jobs_at_once.saturating_sub(self.under_way.len());
        if room == 0 {
            return Ok(true);
        }
        let mut fresh = self.jobs.due().await?;
        fresh.retain(|job| !self.under_way.contains(job));
        let may_be_more = !fresh.is_empty();
        fresh.truncate(room);
        let taken: Vec<(JobRef, Entered)> =
            fresh.into_iter().filter_map(|job| self.under_way.enter(&job).map(|entered| (job, entered))).collect();
        if taken.is_empty() {
            return Ok(may_be_more);
        }
        self.jobs.handed_out(taken.iter().map(|(job, _)| job.clone()).collect()).await?;
        for (job, entered) in taken {
            let jobs = self.jobs.clone();
            self.tasks.spawn(async move {
                // Done, later or failed: the row says when it is due.
                let _ = run(jobs.as_ref(), &job).await;
                drop(entered);
            });
        }
        Ok(may_be_more)
    }
}
