//! The broker of a run: the line to it, messages that come once more, and what is left there in the end.

use crate::line::{Line, Verdict};
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
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Every kind of call that may be made twice, as a lost connection makes it.
const REPEATABLE: [&str; 3] = ["initiateAuthentication", "getBoundProfilePackage", "handleNotification"];
const CALLS: [&str; 5] =
    ["initiateAuthentication", "authenticateClient", "getBoundProfilePackage", "handleNotification", "cancelSession"];
const JOBS: [&str; 2] = ["forwardNotifications", "webhook"];
const DELAYS_S: [u32; 5] = [1, 10, 60, 600, 3600];
/// Says that a message is here for the second time.
const MARK: &str = "x-eim-crash";

/// A line before the broker, and the URL for servers.
///
/// # Errors
/// When the URL is none, or there is no port.
pub async fn line(broker: &str) -> anyhow::Result<(Line, String)> {
    let uri: AMQPUri = broker.parse().map_err(|_| anyhow::anyhow!("the URL of the broker is no amqp URL"))?;
    let target = format!("{}:{}", uri.authority.host, uri.authority.port);
    let address = tokio::net::lookup_host(&target).await?.next().context("the broker has no address")?;
    let line = Line::open(address, Arc::new(|| Verdict::Pass)).await?;
    let url = broker.replacen(&target, &line.address.to_string(), 1);
    anyhow::ensure!(url != broker, "the URL of the broker must name its port: {target}");
    Ok((line, url))
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
