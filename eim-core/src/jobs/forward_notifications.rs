//! Forwards the notifications for one server (ES9+'.HandleNotification; SGP.32 v1.2 3.7, SGP.22 5.6.4).
//!
//! Those of one eUICC go out one after the other, in the order in which they arrived; those of different eUICCs side by
//! side. One that the server does not acknowledge holds up the later ones of the same eUICC to the same server and nothing
//! else; a server that can't be reached holds up its own alone.

use super::{JobRun, LEASE_MS};
use crate::Eim;
use crate::domain::{NotificationState, rfc3339};
use crate::ids::{Eid, RspAddress};
use crate::ports::{RspCall, RspFailure, RspFunction, RspTransport};
use crate::rsp;
use crate::store::{JobEnd, JobLease, Leased, StoreError, StoredNotification};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

/// The kind of the job; its key is the server's address.
pub const KIND: &str = "forwardNotifications";

/// How many notifications are looked at together.
const BATCH: i64 = 64;
/// How many eUICCs' notifications are under way to one server at the same time.
const AT_ONCE: usize = 4;
/// The first wait after a notification was not acknowledged, or a server not reached; it doubles up to the last.
const AGAIN_AFTER_MS: i64 = 30_000;
const AGAIN_AFTER_MAX_MS: i64 = 6 * 3_600_000;
/// How long the job waits when there was no room for its calls.
const BUSY_AGAIN_AFTER_MS: i64 = 5_000;
/// How long a notification is sent again before it is given up.
const KEPT_TRYING_MS: i64 = 14 * 24 * 3_600_000;

fn wait(times: i64) -> i64 {
    (AGAIN_AFTER_MS << times.clamp(0, 12)).min(AGAIN_AFTER_MAX_MS)
}

pub(super) async fn run(
    address: &str,
    owner: &str,
    outbound: &dyn RspTransport,
    grace_ms: i64,
    eim: &Eim,
) -> Result<JobRun, StoreError> {
    let now = eim.clock().now_ms();
    let lease = match eim.store().lease_job(KIND, address, owner, now, now + LEASE_MS).await? {
        Leased::Yes(lease) => lease,
        Leased::No => return Ok(JobRun::Done),
        // Whoever made it due at another time has told of it.
        Leased::NotDue { .. } => return Ok(JobRun::Done),
    };
    let end = forward(address, owner, &lease, outbound, eim).await?;
    let now = eim.clock().now_ms();
    let run = match &end {
        JobEnd::Done => JobRun::Done,
        JobEnd::Later { run_at } | JobEnd::Failed { run_at, .. } => JobRun::later(run_at - now),
    };
    if let JobEnd::Failed { run_at, error } = &end {
        tracing::warn!(address, error, again_at = rfc3339(*run_at), "notifications could not be forwarded");
    }
    let again = eim.store().finish_job(lease, owner, end, grace_ms, now).await?;
    if again {
        eim.wake_jobs();
        return Ok(JobRun::Done);
    }
    Ok(run)
}

async fn forward(
    address: &str,
    owner: &str,
    lease: &JobLease,
    outbound: &dyn RspTransport,
    eim: &Eim,
) -> Result<JobEnd, StoreError> {
    let Ok(server) = address.parse::<RspAddress>() else { return Ok(JobEnd::Done) };
    loop {
        let now = eim.clock().now_ms();
        let due = eim.store().due_notifications(address, now, BATCH).await?;
        if due.is_empty() {
            return Ok(match eim.store().next_notification(address).await? {
                None => JobEnd::Done,
                Some(run_at) => JobEnd::Later { run_at: run_at.max(now + 1) },
            });
        }
        let hold = Hold { lease, owner, renewed_at: AtomicI64::new(0), eim };
        if !hold.keep().await? {
            return Ok(JobEnd::Done);
        }
        let mut of_euicc: BTreeMap<Eid, Vec<StoredNotification>> = BTreeMap::new();
        for notification in due {
            of_euicc.entry(notification.eid).or_default().push(notification);
        }
        let mut lines: Vec<Vec<StoredNotification>> = of_euicc.into_values().collect();
        while !lines.is_empty() {
            let rest = lines.split_off(lines.len().min(AT_ONCE));
            let sending = lines.into_iter().map(|line| send_line(line, &server, outbound, &hold));
            for outcome in join_all(sending).await {
                match outcome? {
                    Line::Sent => {}
                    Line::TakenOver => return Ok(JobEnd::Done),
                    Line::Busy => return Ok(JobEnd::Later { run_at: eim.clock().now_ms() + BUSY_AGAIN_AFTER_MS }),
                    Line::Unreachable(failure) => {
                        let run_at = eim.clock().now_ms() + wait(lease.attempts);
                        not_reached(address, &failure, run_at, eim).await?;
                        return Ok(JobEnd::Failed { run_at, error: failure });
                    }
                }
            }
            lines = rest;
        }
    }
}

/// The right to go on, renewed while the job takes long.
struct Hold<'a> {
    lease: &'a JobLease,
    owner: &'a str,
    renewed_at: AtomicI64,
    eim: &'a Eim,
}

impl Hold<'_> {
    /// Whether the job is still ours. Another worker that has taken over sends the rest; what is sent twice is known to the
    /// server by its seqNumber.
    async fn keep(&self) -> Result<bool, StoreError> {
        let now = self.eim.clock().now_ms();
        if now - self.renewed_at.load(Ordering::Relaxed) < LEASE_MS / 4 {
            return Ok(true);
        }
        self.renewed_at.store(now, Ordering::Relaxed);
        self.eim.store().renew_job(self.lease.clone(), self.owner, now + LEASE_MS).await
    }
}

/// How the notifications of one eUICC fared.
enum Line {
    /// All were sent, or one was not taken and the rest waits behind it.
    Sent,
    /// Another worker goes on.
    TakenOver,
    /// We had no room for the call, which says nothing about the server.
    Busy,
    /// The server could not be reached, for this reason.
    Unreachable(String),
}

/// Waits for all of a few futures.
async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(move |context| {
        let mut open = false;
        for (future, done) in &mut waiting {
            if done.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *done = Some(value),
                    std::task::Poll::Pending => open = true,
                }
            }
        }
        if open {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(waiting.iter_mut().filter_map(|(_, done)| done.take()).collect())
        }
    })
    .await
}

/// Sends the notifications of one eUICC in order.
async fn send_line(
    line: Vec<StoredNotification>,
    server: &RspAddress,
    outbound: &dyn RspTransport,
    hold: &Hold<'_>,
) -> Result<Line, StoreError> {
    let eim = hold.eim;
    for notification in line {
        if !hold.keep().await? {
            return Ok(Line::TakenOver);
        }
        let body = rsp::handle_notification::body(&notification.octets);
        let call = RspCall { address: server.clone(), function: RspFunction::HandleNotification, body };
        let error = match outbound.call(call).await {
            Ok(reply) => match rsp::handle_notification::read(&reply) {
                Ok(()) => None,
                Err(error) => Some(error.to_string()),
            },
            Err(RspFailure::Busy | RspFailure::Interrupted | RspFailure::NoWorker) => return Ok(Line::Busy),
            // These may lie in this one notification. A server that fails with all of them is soon left alone by the client.
            Err(
                failure @ (RspFailure::Timeout
                | RspFailure::Broken(_)
                | RspFailure::TooLarge(_)
                | RspFailure::Redirect(_)),
            ) => Some(failure.reason().to_owned()),
            Err(failure) => return Ok(Line::Unreachable(failure.reason().to_owned())),
        };
        let now = eim.clock().now_ms();
        match error {
            None => {
                eim.store().end_notification(notification.seq, NotificationState::Delivered, None, now).await?;
                eim.metrics().notifications_forwarded_total.with_label_values(&["delivered"]).inc();
            }
            Some(error) if now - notification.created_at >= KEPT_TRYING_MS => {
                give_up(&notification, error, now, eim).await?;
            }
            Some(error) => {
                let eid = notification.eid;
                tracing::warn!(%eid, address = %server, error, "a notification was not acknowledged");
                eim.metrics().notifications_forwarded_total.with_label_values(&["refused"]).inc();
                let until = now + wait(notification.attempts);
                eim.store().postpone_notification(notification, error, until).await?;
                return Ok(Line::Sent);
            }
        }
    }
    Ok(Line::Sent)
}

async fn give_up(notification: &StoredNotification, error: String, now: i64, eim: &Eim) -> Result<(), StoreError> {
    let eid = notification.eid;
    tracing::error!(%eid, address = %notification.address, "a notification is given up after two weeks");
    eim.metrics().notifications_forwarded_total.with_label_values(&["givenUp"]).inc();
    eim.store().end_notification(notification.seq, NotificationState::GivenUp, Some(error), now).await
}

/// Notes on each notification why it did not go out. What could not for two weeks is given up, the rest waits on.
async fn not_reached(address: &str, failure: &str, until: i64, eim: &Eim) -> Result<(), StoreError> {
    let now = eim.clock().now_ms();
    for notification in eim.store().due_notifications(address, now, BATCH).await? {
        if now - notification.created_at >= KEPT_TRYING_MS {
            give_up(&notification, failure.to_owned(), now, eim).await?;
        }
    }
    eim.store().note_not_reached(address, failure.to_owned(), now, until).await?;
    eim.metrics().notifications_forwarded_total.with_label_values(&["unreachable"]).inc();
    Ok(())
}
