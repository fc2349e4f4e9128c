//! The queues and exchanges. Every role declares all of them, so that nothing depends on who starts first.
//!
//! ```text
//! <prefix>.calls       direct -> <prefix>.call.<function>   expired calls are dropped
//! <prefix>.jobs        direct -> <prefix>.job.<kind>        refused jobs -> <prefix>.dead
//! <prefix>.delay.<s>   fanout -> <prefix>.delay.<s>         after s seconds -> <prefix>.jobs, routing key kept
//! <prefix>.dead        fanout -> <prefix>.dead
//! ```

use eim_core::ports::RspFunction;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use std::time::Duration;

/// How long the delay queues keep a job, in seconds.
const DELAYS_S: [u32; 5] = [1, 10, 60, 600, 3600];

/// Dead letters are for people to look at; beyond this number the oldest go.
const DEAD_LETTERS: i32 = 100_000;

/// The longest name of a kind of jobs.
const MAX_KIND_BYTES: usize = 64;

#[derive(Debug, Clone)]
pub(super) struct Topology {
    prefix: String,
    delivery_limit: u32,
}

impl Topology {
    pub(super) fn new(prefix: &str, delivery_limit: u32) -> anyhow::Result<Self> {
        anyhow::ensure!(is_word(prefix), "the prefix of queues must be 1 to 64 letters, digits, '-', '_' or dots");
        Ok(Self { prefix: prefix.into(), delivery_limit })
    }

    pub(super) fn calls(&self) -> ShortString {
        format!("{}.calls", self.prefix).into()
    }

    pub(super) fn call_queue(&self, function: RspFunction) -> ShortString {
        format!("{}.call.{}", self.prefix, function.as_str()).into()
    }

    pub(super) fn jobs(&self) -> ShortString {
        format!("{}.jobs", self.prefix).into()
    }

    pub(super) fn job_queue(&self, kind: &str) -> ShortString {
        format!("{}.job.{kind}", self.prefix).into()
    }

    pub(super) fn dead(&self) -> ShortString {
        format!("{}.dead", self.prefix).into()
    }

    /// The exchange for a job that is to come back after this time: the longest delay that is not longer. And how much
    /// longer it then has to wait.
    pub(super) fn delay(&self, after: Duration) -> (ShortString, Duration) {
        let tier = DELAYS_S.into_iter().rev().find(|tier| u64::from(*tier) <= after.as_secs());
        let tier = tier.unwrap_or(DELAYS_S[0]);
        (self.delay_tier(tier), after.saturating_sub(Duration::from_secs(u64::from(tier))))
    }

    fn delay_tier(&self, seconds: u32) -> ShortString {
        format!("{}.delay.{seconds}", self.prefix).into()
    }

    /// Declares all but the queues of jobs.
    pub(super) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        exchange(channel, self.dead(), ExchangeKind::Fanout).await?;
        queue(channel, self.dead(), &[("x-max-length", AMQPValue::LongInt(DEAD_LETTERS))]).await?;
        bind(channel, self.dead(), self.dead(), "").await?;

        exchange(channel, self.calls(), ExchangeKind::Direct).await?;
        for function in RspFunction::ALL {
            queue(channel, self.call_queue(function), &[]).await?;
            bind(channel, self.call_queue(function), self.calls(), function.as_str()).await?;
        }

        exchange(channel, self.jobs(), ExchangeKind::Direct).await?;
        for seconds in DELAYS_S {
            exchange(channel, self.delay_tier(seconds), ExchangeKind::Fanout).await?;
            let arguments = [
                ("x-message-ttl", AMQPValue::LongLongInt(i64::from(seconds) * 1000)),
                ("x-dead-letter-exchange", AMQPValue::LongString(self.jobs().as_str().into())),
            ];
            queue(channel, self.delay_tier(seconds), &arguments).await?;
            bind(channel, self.delay_tier(seconds), self.delay_tier(seconds), "").await?;
        }
        Ok(())
    }

    /// Declares the queues of these kinds of jobs.
    pub(super) async fn declare_jobs(&self, channel: &Channel, kinds: &[String]) -> lapin::Result<()> {
        for kind in kinds {
            let arguments = [
                ("x-delivery-limit", AMQPValue::LongLongInt(i64::from(self.delivery_limit))),
                ("x-dead-letter-exchange", AMQPValue::LongString(self.dead().as_str().into())),
            ];
            queue(channel, self.job_queue(kind), &arguments).await?;
            bind(channel, self.job_queue(kind), self.jobs(), kind).await?;
        }
        Ok(())
    }
}

/// Removes everything of a prefix from the broker, with what is in it: for a prefix that is not used any more.
///
/// # Errors
/// When the broker can't be reached or refuses.
pub async fn remove(url: &str, prefix: &str, kinds: &[&str]) -> anyhow::Result<()> {
    let topology = Topology::new(prefix, 0)?;
    let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let delays = DELAYS_S.map(|seconds| topology.delay_tier(seconds));
    let calls = RspFunction::ALL.map(|function| topology.call_queue(function));
    let jobs = kinds.iter().map(|kind| topology.job_queue(kind));
    for queue in calls.into_iter().chain(jobs).chain(delays.clone()).chain([topology.dead()]) {
        channel.queue_delete(queue, lapin::options::QueueDeleteOptions::default()).await?;
    }
    for exchange in [topology.calls(), topology.jobs(), topology.dead()].into_iter().chain(delays) {
        channel.exchange_delete(exchange, lapin::options::ExchangeDeleteOptions::default()).await?;
    }
    connection.close(200, "OK".into()).await?;
    Ok(())
}

/// Whether a name may be part of the name of a queue.
pub(super) fn is_word(name: &str) -> bool {
    let is_fine = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    (1..=MAX_KIND_BYTES).contains(&name.len()) && name.bytes().all(is_fine)
}

async fn exchange(channel: &Channel, name: ShortString, kind: ExchangeKind) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel.exchange_declare(name, kind, options, FieldTable::default()).await
}

async fn queue(channel: &Channel, name: ShortString, arguments: &[(&str, AMQPValue)]) -> lapin::Result<()> {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    for (key, value) in arguments {
        table.insert((*key).into(), value.clone());
    }
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name, options, table).await.map(drop)
}

async fn bind(channel: &Channel, queue: ShortString, exchange: ShortString, key: &str) -> lapin::Result<()> {
    channel.queue_bind(queue, exchange, key.into(), QueueBindOptions::default(), FieldTable::default()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_the_longest_that_is_not_longer_and_at_least_a_second() {
        let topology = Topology::new("eim", 20).unwrap();
        for (after_ms, seconds) in
            [(0, 1), (999, 1), (1000, 1), (9_999, 1), (10_000, 10), (599_000, 60), (3_600_000, 3600), (1 << 40, 3600)]
        {
            let (name, rest) = topology.delay(Duration::from_millis(after_ms));
            assert_eq!(name.as_str(), format!("eim.delay.{seconds}"), "{after_ms} ms");
            assert_eq!(rest, Duration::from_millis(after_ms).saturating_sub(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn a_prefix_that_is_no_word_is_refused() {
        for prefix in ["", "a b", "a#", "ä", &"x".repeat(65)] {
            assert!(Topology::new(prefix, 20).is_err(), "{prefix:?}");
        }
    }
}
