//! What both pipelines need to run and to end: a flag, a set of tasks, the rows under way.

use super::broker::Keeper;
use super::{JobRef, JobSource};
use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

/// How long the last strokes of an end may take: to await aborted tasks, to close a connection.
pub(super) const CLOSING: Duration = Duration::from_secs(2);

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something that happens once and can be awaited by many.
#[derive(Debug, Clone)]
pub(super) struct Flag(Arc<watch::Sender<bool>>);

impl Flag {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub(super) fn raise(&self) {
        self.0.send_replace(true);
    }

    pub(super) fn is_raised(&self) -> bool {
        *self.0.borrow()
    }

    pub(super) async fn raised(&self) {
        // The sender is kept by self, so this ends only when the flag is up.
        let _ = self.0.subscribe().wait_for(|up| *up).await;
    }
}

/// Tasks that outlive whoever started them, until the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = locked(&self.0);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Returns when all are done.
    pub(super) async fn idle(&self) {
        loop {
            let mut tasks = std::mem::take(&mut *locked(&self.0));
            if tasks.is_empty() {
                return;
            }
            while tasks.join_next().await.is_some() {}
        }
    }

    pub(super) fn abort(&self) {
        locked(&self.0).abort_all();
    }
}

/// The rows that run in this process, so that none runs twice at once.
#[derive(Debug, Clone, Default)]
pub(super) struct UnderWay(Arc<UnderWayInner>);

#[derive(Debug, Default)]
struct UnderWayInner {
    jobs: Mutex<HashSet<JobRef>>,
    fewer: Notify,
}

impl UnderWay {
    /// A permit to run this row, unless it runs already.
    pub(super) fn enter(&self, job: &JobRef) -> Option<Entered> {
        let is_new = locked(&self.0.jobs).insert(job.clone());
        is_new.then(|| Entered { under_way: self.clone(), job: job.clone() })
    }

    pub(super) fn contains(&self, job: &JobRef) -> bool {
        locked(&self.0.jobs).contains(job)
    }

    pub(super) fn len(&self) -> usize {
        locked(&self.0.jobs).len()
    }

    /// Returns when a row has ended since the last call.
    pub(super) async fn fewer(&self) {
        self.0.fewer.notified().await;
    }
}

/// A row that runs. Dropped, it does not any more.
#[derive(Debug)]
pub(super) struct Entered {
    under_way: UnderWay,
    job: JobRef,
}

impl Drop for Entered {
    fn drop(&mut self) {
        locked(&self.under_way.0.jobs).remove(&self.job);
        self.under_way.0.fewer.notify_one();
    }
}

/// A pipeline at work. Dropped, it ends at once.
pub struct Running {
    pub(super) stop: Flag,
    pub(super) main: Option<JoinHandle<()>>,
    pub(super) tasks: Tasks,
    pub(super) patience: Duration,
    pub(super) keeper: Option<Arc<Keeper>>,
    pub(super) jobs: Option<Arc<dyn JobSource>>,
}

impl Running {
    /// Ends the work. Gracefully: takes nothing more, finishes what is under way within the time of a call, acknowledges
    /// it, gives back what had to be cut off and closes the connection. Otherwise at once: what is under way is cut off, and another
    /// worker gets it.
    pub async fn stop(mut self, gracefully: bool) {
        self.stop.raise();
        if gracefully && tokio::time::timeout(self.patience, self.finish()).await.is_err() {
            tracing::warn!("what was under way did not end in time and is cut off");
            self.cut_off();
            let _ = tokio::time::timeout(CLOSING, self.finish()).await;
            // Before the connection is closed: then the broker hands the message to another worker, who asks for the lease at once.
            self.give_back().await;
        }
        self.cut_off();
        if let Some(keeper) = &self.keeper {
            keeper.close().await;
        }
        let _ = tokio::time::timeout(CLOSING, self.finish()).await;
    }

    /// A store that is away keeps the leases, which then end by themselves.
    async fn give_back(&self) {
        let Some(jobs) = &self.jobs else { return };
        match tokio::time::timeout(CLOSING, jobs.give_back()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = format!("{error:#}"), "jobs could not be given back"),
            Err(_) => tracing::warn!("jobs could not be given back in time"),
        }
    }

    async fn finish(&mut self) {
        if let Some(main) = self.main.as_mut() {
            // Cut off or ended, it is over.
            let _ = main.await;
            self.main = None;
        }
        self.tasks.idle().await;
    }

    fn cut_off(&self) {
        if let Some(main) = &self.main {
            main.abort();
        }
        self.tasks.abort();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.raise();
        self.cut_off();
    }
}
