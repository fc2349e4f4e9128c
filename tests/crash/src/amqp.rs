//! The way between servers and broker: connections that break or stand still, and messages that come once more.

use crate::plan::Rng;
use anyhow::Context;
use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Every kind of call that may be made twice, as a lost connection makes it.
const REPEATABLE: [&str; 3] = ["initiateAuthentication", "getBoundProfilePackage", "handleNotification"];
const CALLS: [&str; 5] =
    ["initiateAuthentication", "authenticateClient", "getBoundProfilePackage", "handleNotification", "cancelSession"];
const JOBS: [&str; 2] = ["forwardNotifications", "webhook"];
const DELAYS_S: [u32; 5] = [1, 10, 60, 600, 3600];
/// Says that a message is here for the second time.
const MARK: &str = "x-eim-crash";

/// A port before the broker.
#[derive(Debug)]
pub struct Line {
    url: String,
    /// Counts how often connections were cut.
    cuts: watch::Sender<u64>,
    /// Nothing passes before this time, in milliseconds since `begun`.
    stalled_until: Arc<AtomicU64>,
    begun: Instant,
    task: JoinHandle<()>,
}

impl Line {
    /// Opens it before the broker with this URL.
    ///
    /// # Errors
    /// When the URL is none, or there is no port.
    pub async fn open(broker: &str) -> anyhow::Result<Self> {
        let uri: AMQPUri = broker.parse().map_err(|_| anyhow::anyhow!("the URL of the broker is no amqp URL"))?;
        let target = format!("{}:{}", uri.authority.host, uri.authority.port);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = broker.replacen(&target, &listener.local_addr()?.to_string(), 1);
        anyhow::ensure!(url != broker, "the URL of the broker must name its port: {target}");
        let (cuts, stalled_until, begun) = (watch::Sender::new(0), Arc::new(AtomicU64::new(0)), Instant::now());
        let (cut, stalled) = (cuts.clone(), Arc::clone(&stalled_until));
        let task = tokio::spawn(async move {
            while let Ok((server, _)) = listener.accept().await {
                let (target, stall) = (target.clone(), Stall { until: Arc::clone(&stalled), begun });
                let mut cut = cut.subscribe();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = pass(server, &target, stall) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Ok(Self { url, cuts, stalled_until, begun, task })
    }

    /// The URL for servers.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Breaks every connection.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Lets nothing pass for a while.
    pub fn stall(&self, time: Duration) {
        self.stalled_until.store((self.begun.elapsed() + time).as_millis() as u64, Ordering::SeqCst);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

#[derive(Clone)]
struct Stall {
    until: Arc<AtomicU64>,
    begun: Instant,
}

async fn pass(server: TcpStream, target: &str, stall: Stall) -> std::io::Result<()> {
    let address: SocketAddr = tokio::net::lookup_host(target).await?.next().ok_or(std::io::ErrorKind::NotFound)?;
    let broker = TcpStream::connect(address).await?;
    server.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let ((from_server, to_server), (from_broker, to_broker)) = (server.into_split(), broker.into_split());
    tokio::select! {
        ended = copy(from_server, to_broker, stall.clone()) => ended,
        ended = copy(from_broker, to_server, stall) => ended,
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, stall: Stall) -> std::io::Result<()> {
    let mut octets = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut octets).await?;
        if read == 0 {
            return Ok(());
        }
        tokio::time::sleep_until(stall.begun + Duration::from_millis(stall.until.load(Ordering::SeqCst))).await;
        to.write_all(octets.get(..read).unwrap_or_default()).await?;
    }
}

/// Sends some of the messages of a run once more, some of them later. Dropped, it ends.
#[derive(Debug)]
pub struct Repeater {
    task: JoinHandle<()>,
}

impl Repeater {
    /// Begins, once the servers have declared their exchanges. Calls that the eIM itself does not repeat are not repeated here.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn begin(broker: &str, prefix: &str, percent: u64, seed: u64) -> anyhow::Result<Self> {
        let connection = Connection::connect(broker, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
        let queue = channel.queue_declare("".into(), options, FieldTable::default()).await?.name().clone();
        let routes = REPEATABLE.map(|function| ("calls", function)).into_iter().chain(JOBS.map(|kind| ("jobs", kind)));
        for (exchange, key) in routes {
            let exchange = format!("{prefix}.{exchange}").into();
            let options = QueueBindOptions::default();
            channel.queue_bind(queue.clone(), exchange, key.into(), options, FieldTable::default()).await?;
        }
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let mut messages = channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?;
        let mut rng = Rng::new(seed);
        let task = tokio::spawn(async move {
            // It lives as long as its channel is used.
            let _connection = connection;
            while let Some(Ok(message)) = messages.next().await {
                let mut headers = message.properties.headers().clone().unwrap_or_default();
                let again = rng.chance(percent);
                let wait = Duration::from_millis(if rng.chance(50) { 0 } else { rng.below(400) });
                if !again || headers.contains_key(MARK) {
                    continue;
                }
                headers.insert(MARK.into(), AMQPValue::Boolean(true));
                let channel = channel.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    let properties = message.properties.clone().with_headers(headers);
                    let options = BasicPublishOptions::default();
                    let (exchange, key) = (message.exchange.clone(), message.routing_key.clone());
                    // After the end of the run there is nothing to repeat.
                    let _ = channel.basic_publish(exchange, key, options, &message.data, properties).await;
                });
            }
        });
        Ok(Self { task })
    }
}

impl Drop for Repeater {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Removes the queues and exchanges of a run.
///
/// # Errors
/// When the broker can't be reached or refuses.
pub async fn remove(broker: &str, prefix: &str) -> anyhow::Result<()> {
    let connection = Connection::connect(broker, ConnectionProperties::default()).await.context("the broker")?;
    let channel: Channel = connection.create_channel().await?;
    let name = |rest: String| -> ShortString { format!("{prefix}.{rest}").into() };
    let queues = CALLS.map(|function| format!("call.{function}")).into_iter();
    let queues = queues.chain(JOBS.map(|kind| format!("job.{kind}")));
    let queues = queues.chain(DELAYS_S.map(|seconds| format!("delay.{seconds}"))).chain(["dead".to_owned()]);
    for queue in queues {
        channel.queue_delete(name(queue), QueueDeleteOptions::default()).await?;
    }
    let delays = DELAYS_S.map(|seconds| format!("delay.{seconds}"));
    for exchange in ["calls", "jobs", "dead"].map(str::to_owned).into_iter().chain(delays) {
        channel.exchange_delete(name(exchange), ExchangeDeleteOptions::default()).await?;
    }
    connection.close(200, "OK".into()).await?;
    Ok(())
}
