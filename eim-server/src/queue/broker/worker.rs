//! The worker's side: consumes calls and jobs on each connection that there is, one after the other.

use super::keeper::Keeper;
use super::link::Link;
use super::message::{
    Answer, MessageError, ReceivedCall, Sender, answer_message, job_properties, read_attempt, read_call, read_job,
    read_rest,
};
use super::relay::{CONFIRMING, relay, send};
use super::topology::Topology;
use crate::queue::in_process::{made, run};
use crate::queue::running::{Flag, Tasks, UnderWay};
use crate::queue::{JobRef, JobRun, JobSource, QueueOptions};
use eim_core::ports::{RspFailure, RspFunction, RspTransport};
use futures_util::StreamExt;
use futures_util::future::join_all;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions,
    BasicRejectOptions, ConfirmSelectOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Consumer};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// What a process does for others.
pub(super) struct Work {
    pub(super) keeper: Weak<Keeper>,
    pub(super) topology: Topology,
    pub(super) outbound: Option<Arc<dyn RspTransport>>,
    pub(super) jobs: Option<Arc<dyn JobSource>>,
    pub(super) kinds: Vec<String>,
    pub(super) is_worker: bool,
    pub(super) options: QueueOptions,
    pub(super) under_way: UnderWay,
    pub(super) tasks: Tasks,
    pub(super) stop: Flag,
}

/// The consumers on one connection.
struct Attached {
    calls: Option<Channel>,
    jobs: Option<Channel>,
    call_consumers: Vec<Consumer>,
    job_consumers: Vec<Consumer>,
}

/// The channel that a message came on, with its connection.
struct Line {
    link: Arc<Link>,
    channel: Channel,
}

impl Work {
    /// Works until it is to stop. How the first beginning went is told to `ready`.
    pub(super) async fn sessions(self: Arc<Self>, ready: oneshot::Sender<lapin::Result<()>>) {
        let mut ready = Some(ready);
        let Some(mut links) = self.keeper.upgrade().map(|keeper| keeper.links()) else { return };
        while !self.stop.is_raised() {
            let link = tokio::select! {
                () = self.stop.raised() => return,
                link = links.next() => link,
            };
            let Some(link) = link else { return };
            match link.on_it(self.attach(&link)).await {
                None => {}
                Some(Ok(attached)) => {
                    let _ = ready.take().map(|ready| ready.send(Ok(())));
                    self.session(&link, attached).await;
                }
                Some(Err(error)) => {
                    if let Some(ready) = ready.take() {
                        let _ = ready.send(Err(error));
                        return;
                    }
                    tracing::warn!(%error, "work could not begin on a new connection to the broker");
                    link.fail();
                }
            }
        }
    }

    async fn attach(&self, link: &Link) -> lapin::Result<Attached> {
        let channel = link.channel().await?;
        self.topology.declare_jobs(&channel, &self.kinds).await?;
        let mut attached = Attached { calls: None, jobs: None, call_consumers: Vec::new(), job_consumers: Vec::new() };
        if self.outbound.is_some() {
            channel.basic_qos(self.options.call_prefetch, BasicQosOptions::default()).await?;
            for function in RspFunction::ALL {
                attached.call_consumers.push(consumer(&channel, self.topology.call_queue(function)).await?);
            }
            attached.calls = Some(channel);
        }
        if self.is_worker && self.jobs.is_some() {
            let channel = link.channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            channel.basic_qos(self.options.prefetch, BasicQosOptions::default()).await?;
            for kind in &self.kinds {
                attached.job_consumers.push(consumer(&channel, self.topology.job_queue(kind)).await?);
            }
            attached.jobs = Some(channel);
        }
        Ok(attached)
    }

    /// Works on one connection until it is lost, or all that was taken has at least begun.
    async fn session(self: &Arc<Self>, link: &Arc<Link>, attached: Attached) {
        let calls = attached.calls.iter().flat_map(|channel| {
            attached.call_consumers.iter().map(move |consumer| {
                let work = self.clone();
                self.consume(link, channel, consumer.clone(), move |delivery| {
                    let (worker, line) = (work.clone(), Line { link: link.clone(), channel: channel.clone() });
                    work.tasks.spawn(async move { worker.take_call(&line, delivery).await });
                })
            })
        });
        let jobs = attached.jobs.iter().flat_map(|channel| {
            attached.job_consumers.iter().map(move |consumer| {
                let work = self.clone();
                self.consume(link, channel, consumer.clone(), move |delivery| {
                    let (worker, line) = (work.clone(), Line { link: link.clone(), channel: channel.clone() });
                    work.tasks.spawn(async move { worker.take_job(&line, delivery).await });
                })
            })
        });
        tokio::join!(join_all(calls), join_all(jobs), self.relay(link));
    }

    async fn relay(&self, link: &Link) {
        let Some(jobs) = self.jobs.as_deref() else {
            // Without rows there is nothing to publish; the connection is still worth keeping for the calls.
            tokio::select! {
                () = self.stop.raised() => return,
                () = link.lost() => return,
            }
        };
        while !self.stop.is_raised() && !link.is_lost() {
            // Never dropped half-way: it writes to the store.
            match relay(link, &self.topology, jobs).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::error!(error = format!("{error:#}"), "due jobs could not be handed out"),
            }
            tokio::select! {
                () = self.stop.raised() => {}
                () = link.lost() => {}
                () = jobs.woken() => {}
                () = tokio::time::sleep(self.options.sweep) => {}
            }
        }
    }

    /// Takes messages until the connection is lost; asked to stop, takes what the broker has sent already and ends.
    async fn consume(&self, link: &Link, channel: &Channel, mut consumer: Consumer, take: impl Fn(Delivery)) {
        let mut is_cancelled = false;
        loop {
            tokio::select! {
                () = link.lost() => return,
                () = self.stop.raised(), if !is_cancelled => {
                    is_cancelled = true;
                    let cancelling = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
                    if !matches!(link.on_it(cancelling).await, Some(Ok(()))) {
                        return;
                    }
                }
                next = consumer.next() => match next {
                    Some(Ok(delivery)) => take(delivery),
                    // Without being asked: the channel or the queue is gone, and all begins anew.
                    _ if !is_cancelled => return link.fail(),
                    _ => return,
                },
            }
        }
    }

    async fn take_call(&self, line: &Line, delivery: Delivery) {
        let Delivery { routing_key, properties, data, redelivered, acker, .. } = delivery;
        match read_call(routing_key.as_str(), &properties, data) {
            Err(error) => drop(line.link.on_it(self.bury_call(&line.channel, routing_key, &error)).await),
            // Waited too long: nobody awaits the answer any more.
            Ok(received) if received.allowed.is_zero() => {}
            Ok(received) if redelivered && !received.call.function.is_repeatable() => {
                answer(line, &received.sender, Answer::Outcome(Err(RspFailure::Interrupted))).await;
            }
            Ok(received) => self.make_call(line, received).await,
        }
        // Not acknowledged on a lost connection, it comes again, here or elsewhere.
        let _ = line.link.on_it(acker.ack(BasicAckOptions::default())).await;
    }

    async fn make_call(&self, line: &Line, received: ReceivedCall) {
        let Some(outbound) = self.outbound.as_deref() else { return };
        let ReceivedCall { call, allowed, sender } = received;
        answer(line, &sender, Answer::Taken).await;
        let outcome = made(outbound, call, allowed.min(self.options.call_timeout)).await;
        answer(line, &sender, Answer::Outcome(outcome)).await;
    }

    /// A call that can't be read goes to the dead letters without its body, which may be confidential.
    async fn bury_call(&self, channel: &Channel, routing_key: ShortString, error: &MessageError) {
        tracing::warn!(%error, "a call can't be read and goes to the dead letters");
        let properties = BasicProperties::default().with_delivery_mode(2).with_type(error.to_string().into());
        let burying =
            channel.basic_publish(self.topology.dead(), routing_key, BasicPublishOptions::default(), &[], properties);
        if let Ok(confirm) = burying.await {
            let _ = confirm.await;
        }
    }

    async fn take_job(&self, line: &Line, delivery: Delivery) {
        let attempt = read_attempt(&delivery.properties);
        let job = match read_job(delivery.routing_key.as_str(), &delivery.data) {
            Ok(job) => job,
            Err(error) => {
                tracing::warn!(%error, "a job can't be read and goes to the dead letters");
                let _ = line.link.on_it(delivery.acker.reject(BasicRejectOptions { requeue: false })).await;
                return;
            }
        };
        let rest = read_rest(&delivery.properties);
        if !rest.is_zero() {
            // No delay is as long as it has to wait.
            return self.later(line, &delivery, &job, rest, attempt).await;
        }
        let Some(jobs) = self.jobs.as_deref() else { return };
        let Some(entered) = self.under_way.enter(&job) else {
            // It runs here already. Should that run not be its last, this message looks at it again.
            return self.later(line, &delivery, &job, Duration::ZERO, attempt).await;
        };
        let outcome = run(jobs, &job).await;
        drop(entered);
        match outcome {
            Some(JobRun::Done) => drop(line.link.on_it(delivery.acker.ack(BasicAckOptions::default())).await),
            Some(JobRun::Later { after }) => self.later(line, &delivery, &job, after, 0).await,
            None if attempt + 1 >= self.options.delivery_limit => {
                tracing::error!(kind = %job.kind, key = %job.key, "a job failed too often; its message goes to the dead letters");
                let _ = line.link.on_it(delivery.acker.reject(BasicRejectOptions { requeue: false })).await;
            }
            None => self.later(line, &delivery, &job, pause_after(attempt), attempt + 1).await,
        }
    }

    /// Lets a job come back after this time, and acknowledges it once that is certain.
    async fn later(&self, line: &Line, delivery: &Delivery, job: &JobRef, after: Duration, attempt: u32) {
        let (delay, rest) = self.topology.delay(after);
        let sending = async { send(&line.channel, delay, job, job_properties(attempt, rest)).await?.await };
        let settling = async {
            match timeout(CONFIRMING, sending).await {
                Ok(Ok(Confirmation::Ack(None))) => delivery.acker.ack(BasicAckOptions::default()).await,
                _ => delivery.acker.nack(BasicNackOptions { requeue: true, ..Default::default() }).await,
            }
        };
        let _ = line.link.on_it(settling).await;
    }
}

/// How long a job rests after it has failed this often before.
fn pause_after(attempt: u32) -> Duration {
    Duration::from_secs(match attempt {
        0..=2 => 1,
        3..=5 => 10,
        _ => 60,
    })
}

async fn consumer(channel: &Channel, queue: ShortString) -> lapin::Result<Consumer> {
    channel.basic_consume(queue, "".into(), BasicConsumeOptions::default(), FieldTable::default()).await
}

/// On a lost connection there is nobody to answer.
async fn answer(line: &Line, sender: &Sender, answer: Answer) {
    let (properties, body) = answer_message(sender, answer);
    let options = BasicPublishOptions::default();
    let _ = line
        .link
        .on_it(line.channel.basic_publish("".into(), sender.reply_to.clone(), options, &body, properties))
        .await;
}
