//! The front's side of calls: publishes them and awaits their answers.

use super::keeper::Keeper;
use super::link::Link;
use super::message::call_properties;
use super::topology::Topology;
use crate::queue::QueueOptions;
use crate::queue::running::{Flag, Tasks};
use eim_core::ports::{PortFuture, RspCall, RspFailure, RspReply, RspTransport};
use lapin::Confirmation;
use lapin::options::BasicPublishOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

pub(super) struct Published {
    inner: Arc<Inner>,
    permits: Arc<Semaphore>,
    tasks: Tasks,
    stop: Flag,
    is_front: bool,
}

struct Inner {
    keeper: Arc<Keeper>,
    topology: Topology,
    next_id: AtomicU64,
    call_timeout: Duration,
    broker_wait: Duration,
}

impl Published {
    /// After `stop` nothing new is taken; what is under way is among the `tasks`.
    pub(super) fn new(
        keeper: Arc<Keeper>,
        topology: Topology,
        options: &QueueOptions,
        is_front: bool,
        (stop, tasks): (Flag, Tasks),
    ) -> Self {
        let next_id = AtomicU64::new(1);
        let (call_timeout, broker_wait) = (options.call_timeout, options.broker_wait);
        let inner = Arc::new(Inner { keeper, topology, next_id, call_timeout, broker_wait });
        Self { inner, permits: Arc::new(Semaphore::new(options.outstanding)), tasks, stop, is_front }
    }
}

impl RspTransport for Published {
    fn longest_call(&self) -> Duration {
        self.inner.call_timeout
    }

    fn call(&self, call: RspCall) -> PortFuture<'_, Result<RspReply, RspFailure>> {
        Box::pin(async move {
            if !self.is_front || self.stop.is_raised() {
                return Err(RspFailure::NoWorker);
            }
            let permit = self.permits.clone().try_acquire_owned().map_err(|_| RspFailure::Busy)?;
            let inner = self.inner.clone();
            // In a task of its own: a caller that goes away neither breaks a publication off nor frees a place early.
            let (answer, answered) = oneshot::channel();
            self.tasks.spawn(async move {
                let outcome = inner.carry_out(call).await;
                drop(permit);
                let _ = answer.send(outcome);
            });
            answered.await.unwrap_or(Err(RspFailure::Interrupted))
        })
    }
}

/// How one publication of a call ended.
enum Attempt {
    Ended(Result<RspReply, RspFailure>),
    /// The connection was gone before anything was sent.
    NotSent,
    /// The connection was lost, and a worker may have the call.
    Lost,
}

impl Inner {
    async fn carry_out(&self, call: RspCall) -> Result<RspReply, RspFailure> {
        let deadline = Instant::now() + self.call_timeout;
        let mut links = self.keeper.links();
        // Without a broker a new call fails soon; one that was under way is worth waiting for.
        let mut patience = deadline.min(Instant::now() + self.broker_wait);
        while let Ok(Some(link)) = timeout_at(patience, links.next()).await {
            match self.attempt(&link, &call, deadline).await {
                Attempt::Ended(outcome) => return outcome,
                Attempt::NotSent => {}
                Attempt::Lost if call.function.is_repeatable() => patience = deadline,
                Attempt::Lost => return Err(RspFailure::Interrupted),
            }
            link.fail();
        }
        Err(RspFailure::NoWorker)
    }

    async fn attempt(&self, link: &Arc<Link>, call: &RspCall, deadline: Instant) -> Attempt {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        if !link.calls.status().connected() {
            return Attempt::NotSent;
        }
        let Some(mut awaited) = link.expect(id) else { return Attempt::NotSent };
        let remaining = deadline.saturating_duration_since(Instant::now());
        let publishing = link.calls.basic_publish(
            self.topology.calls(),
            call.function.as_str().into(),
            // Not mandatory: the client library writes a returned message to the log with its body. The queues were
            // declared on this very connection, so only one deleted by hand would make a difference.
            BasicPublishOptions::default(),
            &call.body,
            call_properties(call, remaining, id),
        );
        let mut confirm = match timeout_at(deadline, link.on_it(publishing)).await {
            Ok(Some(Ok(confirm))) => Some(confirm),
            Ok(_) => return Attempt::Lost,
            Err(_) => return Attempt::Ended(Err(RspFailure::NoWorker)),
        };
        let attempt = loop {
            let confirmed = async {
                match confirm.as_mut() {
                    Some(confirm) => confirm.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                answer = &mut awaited.answer => break answer.map_or(Attempt::Lost, Attempt::Ended),
                confirmation = confirmed => {
                    confirm = None;
                    match confirmation {
                        Ok(Confirmation::Ack(None) | Confirmation::NotRequested) => {}
                        Ok(_) => break Attempt::Ended(Err(RspFailure::NoWorker)),
                        Err(_) => break Attempt::Lost,
                    }
                }
                () = sleep_until(deadline) => {
                    let failure = if awaited.is_taken() { RspFailure::Timeout } else { RspFailure::NoWorker };
                    break Attempt::Ended(Err(failure));
                }
            }
        };
        if let Some(confirm) = confirm {
            // The client library keeps a confirm that is dropped unread for ever.
            tokio::spawn(async move { drop(confirm.await) });
        }
        attempt
    }
}
