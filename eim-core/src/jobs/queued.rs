//! Jobs that are rows: written with what causes them, handed out to whoever may run them, and run under a lease.

use super::{deliver_webhook, forward_notifications};
use crate::Eim;
use crate::ports::RspTransport;
use crate::store::{DueJob, JobEnd, Leased, StoreError};
use std::time::Duration;

/// How long a lease lasts; a worker that dies holds a job up for so long.
pub(super) const LEASE_MS: i64 = 60_000;
/// How long a job of an unknown kind is left alone, for a node of another version to take it.
const UNKNOWN_AGAIN_AFTER_MS: i64 = 600_000;
/// How many jobs are handed out together.
const HANDED_OUT: i64 = 256;

/// Every kind of job.
pub const KINDS: [&str; 2] = [forward_notifications::KIND, deliver_webhook::KIND];

/// What is left after a job was run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobRun {
    /// Nothing now.
    Done,
    /// It is due after this time.
    Later {
        /// At least a millisecond.
        after: Duration,
    },
}

impl JobRun {
    pub(super) fn later(ms: i64) -> Self {
        Self::Later { after: Duration::from_millis(u64::try_from(ms).unwrap_or_default().max(1)) }
    }
}

/// The jobs of known kinds that are due and that nobody was told of.
///
/// # Errors
/// When the store fails.
pub async fn due(eim: &Eim) -> Result<Vec<DueJob>, StoreError> {
    eim.store().due_jobs(&KINDS, eim.clock().now_ms(), HANDED_OUT).await
}

/// Notes that somebody was told of these jobs; for so long nobody else need be.
///
/// # Errors
/// When the store fails.
pub async fn handed_out(jobs: Vec<DueJob>, grace_ms: i64, eim: &Eim) -> Result<(), StoreError> {
    if grace_ms == 0 {
        return Ok(());
    }
    let until = eim.clock().now_ms() + grace_ms;
    eim.store().hand_out_jobs(jobs, until).await
}

/// Gives back what a worker has leased that runs nothing any more, so that the next one need not wait for the end of the lease.
///
/// # Errors
/// When the store fails; then the leases end by themselves.
pub async fn give_back(owner: &str, eim: &Eim) -> Result<usize, StoreError> {
    eim.store().release_jobs(Some(owner)).await
}

/// Gives back every lease, for a process that has the store to itself and has just begun: whoever held one is dead.
///
/// # Errors
/// When the store fails.
pub async fn give_back_all(eim: &Eim) -> Result<usize, StoreError> {
    eim.store().release_jobs(None).await
}

/// Runs a job that somebody was told of, unless somebody else does. `eim` is of the tenant whose it is. `owner` names this worker; for `grace_ms` after a job is
/// due again, whoever was told of it is expected to come.
///
/// # Errors
/// When the store fails; the job is run again after its lease.
pub async fn run(
    kind: &str,
    key: &str,
    owner: &str,
    outbound: &dyn RspTransport,
    grace_ms: i64,
    eim: &Eim,
) -> Result<JobRun, StoreError> {
    if kind == deliver_webhook::KIND {
        let done = deliver_webhook::run(key, owner, grace_ms, eim).await;
        super::count("deliver_webhook", &done, eim);
        return done;
    }
    if kind != forward_notifications::KIND {
        tracing::warn!(kind, "a job of a kind that this version does not know is left to others");
        let now = eim.clock().now_ms();
        if let Leased::Yes(lease) = eim.store().lease_job(kind, key, owner, now, now + LEASE_MS).await? {
            let end = JobEnd::Later { run_at: now + UNKNOWN_AGAIN_AFTER_MS };
            eim.store().finish_job(lease, owner, end, grace_ms, now).await?;
        }
        return Ok(JobRun::Done);
    }
    let done = forward_notifications::run(key, owner, outbound, grace_ms, eim).await;
    super::count("forward_notifications", &done, eim);
    done
}
