//! Publishes rows that are due, and marks them as handed out once the broker has confirmed the messages.

use super::link::Link;
use super::message::{job_body, job_properties};
use super::topology::{Topology, is_word};
use crate::queue::{JobRef, JobSource, MAX_KEY_BYTES};
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long a broker may take to confirm.
pub(super) const CONFIRMING: Duration = Duration::from_secs(10);

/// Publishes what is due, and says whether more may be due.
pub(super) async fn relay(link: &Link, topology: &Topology, jobs: &dyn JobSource) -> anyhow::Result<bool> {
    let due = jobs.due().await?;
    if due.is_empty() {
        return Ok(false);
    }
    let all = due.len();
    let kept = publish_all(link, topology, due).await;
    let lacking = all - kept.len();
    if !kept.is_empty() {
        jobs.handed_out(kept).await?;
    }
    if lacking > 0 {
        tracing::warn!(lacking, all, "the broker did not take all due jobs; they are published again");
    }
    Ok(lacking == 0)
}

async fn publish_all(link: &Link, topology: &Topology, due: Vec<JobRef>) -> Vec<JobRef> {
    let deadline = Instant::now() + CONFIRMING;
    let mut published = Vec::with_capacity(due.len());
    for job in due {
        if !is_word(&job.kind) || job.key.len() > MAX_KEY_BYTES {
            tracing::error!(kind = %job.kind, "a job row can't be published: its kind or its key is out of bounds");
            continue;
        }
        let sending = send(&link.jobs, topology.jobs(), &job, job_properties(0, Duration::ZERO));
        let Ok(Some(Ok(confirm))) = timeout_at(deadline, link.on_it(sending)).await else { break };
        published.push((job, confirm));
    }
    let mut confirmed = Vec::with_capacity(published.len());
    // A returned message may be handed over with the confirm of another, so its body tells whose it is.
    let mut returned = HashSet::new();
    for (job, confirm) in published {
        match timeout_at(deadline, link.on_it(confirm)).await {
            Ok(Some(Ok(Confirmation::Ack(None)))) => confirmed.push(job),
            Ok(Some(Ok(Confirmation::Ack(Some(message))))) => {
                confirmed.push(job);
                returned.insert(message.delivery.data);
            }
            Ok(Some(Ok(confirmation))) => {
                returned.extend(confirmation.take_message().map(|message| message.delivery.data));
            }
            Ok(Some(Err(_)) | None) => {}
            Err(_) => {
                // Neither yes nor no: begin anew on another connection.
                link.fail();
                break;
            }
        }
    }
    confirmed.retain(|job| !returned.contains(&job_body(job)));
    confirmed
}

/// Sends a job to an exchange; its kind is the routing key.
pub(super) async fn send(
    channel: &Channel,
    exchange: ShortString,
    job: &JobRef,
    properties: BasicProperties,
) -> lapin::Result<PublisherConfirm> {
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    channel.basic_publish(exchange, job.kind.as_str().into(), options, &job_body(job), properties).await
}
