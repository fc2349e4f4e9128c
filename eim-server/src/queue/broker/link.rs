//! One connection, from its beginning to its loss, with the calls that await their answers on it.

use super::message::{Answer, read_answer};
use super::topology::Topology;
use crate::queue::running::{CLOSING, Flag, locked};
use anyhow::Context;
use eim_core::ports::{RspFailure, RspReply};
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, ConfirmSelectOptions};
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, Consumer, Event};
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;

const CONNECTING: Duration = Duration::from_secs(15);
/// How often the state of a connection is looked at beside its events.
const LOOK: Duration = Duration::from_millis(250);
/// A peer that is silent for twice this time is gone.
const HEARTBEAT_S: u16 = 10;

/// Makes connections to one broker.
pub(super) struct Connector {
    uri: AMQPUri,
    topology: Topology,
    is_front: bool,
    place: String,
}

impl Connector {
    pub(super) fn new(url: &str, topology: Topology, is_front: bool) -> anyhow::Result<Self> {
        // The reason could quote the URL, and with it the password.
        let mut uri: AMQPUri = url.parse().map_err(|_| anyhow::anyhow!("the URL of the broker is no amqp URL"))?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
        let place = format!("{}:{}/{}", uri.authority.host, uri.authority.port, uri.vhost.trim_start_matches('/'));
        Ok(Self { uri, topology, is_front, place })
    }

    /// Where the broker is, without credentials.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// A new connection with the topology declared.
    pub(super) async fn connect(&self) -> anyhow::Result<Arc<Link>> {
        let connecting = tokio::time::timeout(CONNECTING, self.open());
        connecting.await.with_context(|| format!("the broker at {} did not answer in time", self.place))?
    }

    async fn open(&self) -> anyhow::Result<Arc<Link>> {
        let properties = ConnectionProperties::default().with_connection_name("eim".into());
        let connection = Connection::connect_uri(self.uri.clone(), properties)
            .await
            .with_context(|| format!("the broker at {} can't be reached", self.place))?;
        let setup = async {
            let (calls, jobs) = (connection.create_channel().await?, connection.create_channel().await?);
            self.topology.declare(&jobs).await?;
            jobs.confirm_select(ConfirmSelectOptions::default()).await?;
            calls.confirm_select(ConfirmSelectOptions::default()).await?;
            let answers = if self.is_front { Some(answers(&calls).await?) } else { None };
            lapin::Result::Ok((calls, jobs, answers))
        };
        let (calls, jobs, answers) =
            setup.await.with_context(|| format!("the broker at {} refused the queues", self.place))?;
        let waiting = Mutex::new(Some(HashMap::new()));
        let link = Arc::new(Link { connection, calls, jobs, waiting, lost: Flag::new() });
        if let Some(answers) = answers {
            tokio::spawn(link.clone().take_answers(answers));
        }
        Ok(link)
    }
}

/// Answers come directly to the channel that published the call.
async fn answers(channel: &Channel) -> lapin::Result<Consumer> {
    let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
    channel.basic_consume("amq.rabbitmq.reply-to".into(), "".into(), options, FieldTable::default()).await
}

/// A connection.
pub(super) struct Link {
    connection: Connection,
    /// Publishes calls, with confirms, and takes their answers.
    pub(super) calls: Channel,
    /// Publishes jobs, with confirms.
    pub(super) jobs: Channel,
    /// By correlation identifier, until the connection is lost.
    waiting: Mutex<Option<HashMap<u64, Waiting>>>,
    lost: Flag,
}

struct Waiting {
    answer: oneshot::Sender<Result<RspReply, RspFailure>>,
    is_taken: Arc<AtomicBool>,
}

/// Awaits the answer to one call.
pub(super) struct Awaited {
    link: Arc<Link>,
    id: u64,
    /// Fails when the connection is lost.
    pub(super) answer: oneshot::Receiver<Result<RspReply, RspFailure>>,
    is_taken: Arc<AtomicBool>,
}

impl Awaited {
    /// Whether a worker said that it has the call.
    pub(super) fn is_taken(&self) -> bool {
        self.is_taken.load(Ordering::SeqCst)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(waiting) = locked(&self.link.waiting).as_mut() {
            waiting.remove(&self.id);
        }
    }
}

impl Link {
    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_raised()
    }

    pub(super) async fn lost(&self) {
        self.lost.raised().await;
    }

    /// Does something on the connection, for as long as it is there; none when it is lost before the end. What a client
    /// library awaits on a dead connection need not end by itself.
    pub(super) async fn on_it<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.lost() => None,
        }
    }

    /// Gives the connection up: whoever waits for something on it stops to wait.
    pub(super) fn fail(&self) {
        self.lost.raise();
        locked(&self.waiting).take();
    }

    /// Returns when the connection does not work any more.
    pub(super) async fn watch(&self) {
        let mut events = std::pin::pin!(self.connection.events_listener());
        while self.connection.status().connected()
            && self.calls.status().connected()
            && self.jobs.status().connected()
            && !self.is_lost()
        {
            tokio::select! {
                () = self.lost() => return,
                event = events.next() => match event {
                    Some(Event::Error(_)) | None => return,
                    Some(_) => {}
                },
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    pub(super) async fn close(&self) {
        self.fail();
        // A broker that does not answer drops the connection in its own time.
        let _ = tokio::time::timeout(CLOSING, self.connection.close(200, "OK".into())).await;
    }

    pub(super) async fn channel(&self) -> lapin::Result<Channel> {
        self.connection.create_channel().await
    }

    /// A place for the answer to the call with this identifier; none on a lost connection.
    pub(super) fn expect(self: &Arc<Self>, id: u64) -> Option<Awaited> {
        let (sender, answer) = oneshot::channel();
        let is_taken = Arc::new(AtomicBool::new(false));
        let waiting = Waiting { answer: sender, is_taken: is_taken.clone() };
        locked(&self.waiting).as_mut()?.insert(id, waiting);
        Some(Awaited { link: self.clone(), id, answer, is_taken })
    }

    async fn take_answers(self: Arc<Self>, mut answers: Consumer) {
        loop {
            let next = tokio::select! {
                () = self.lost() => return,
                next = answers.next() => next,
            };
            let Some(Ok(delivery)) = next else { break self.fail() };
            match read_answer(&delivery.properties, delivery.data) {
                Ok((id, answer)) => self.settle(id, answer),
                Err(error) => tracing::warn!(%error, "an answer from a worker can't be read"),
            }
        }
    }

    /// An answer nobody waits for any more is dropped.
    fn settle(&self, id: u64, answer: Answer) {
        let mut waiting = locked(&self.waiting);
        let Some(waiting) = waiting.as_mut() else { return };
        match answer {
            Answer::Taken => {
                if let Some(call) = waiting.get(&id) {
                    call.is_taken.store(true, Ordering::SeqCst);
                }
            }
            Answer::Outcome(outcome) => {
                if let Some(call) = waiting.remove(&id) {
                    let _ = call.answer.send(outcome);
                }
            }
        }
    }
}
