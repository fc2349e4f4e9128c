//! Empty polls over kept-alive TLS: as fast as they are answered, or at a pace that answers do not change.

use super::raw::post;
use super::{Counts, LoadError, LoadOptions, RawConnection, Report};
use crate::ipa::{Binding, Function, PollOptions, get_eim_package, is_idle_response};
use eim_core::ids::Eid;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Polls these eUICCs by turns, each connection as fast as it is answered.
///
/// # Errors
/// [`LoadError`] when no connection can be opened; what fails later is counted.
pub async fn run_polls(eids: &[Eid], options: &LoadOptions) -> Result<Report, LoadError> {
    poll(eids, options, None).await
}

/// Polls these eUICCs by turns, so many in a second, spread evenly over the connections. A latency counts from the time the
/// poll was due, not from when it could be sent: an answer that is late does not hide that others had to wait for it. The
/// timer of the client wakes within a millisecond, which is counted as well.
///
/// # Errors
/// Those of [`run_polls`].
pub async fn run_paced_polls(eids: &[Eid], per_second: f64, options: &LoadOptions) -> Result<Report, LoadError> {
    poll(eids, options, Some(per_second.max(1.0))).await
}

/// When the polls of a connection are due.
#[derive(Clone, Copy)]
struct Pace {
    first: Instant,
    every: Duration,
}

async fn poll(eids: &[Eid], options: &LoadOptions, per_second: Option<f64>) -> Result<Report, LoadError> {
    let connections = options.connections.max(1);
    let mut workers = Vec::new();
    for index in 0..connections {
        workers.push((RawConnection::open_tls(options).await?, poll_requests(eids, index, options)?));
    }
    let most = options.max_count / connections as u64 + 1;
    let started = Instant::now();
    let deadline = started + options.duration;
    let tasks: Vec<_> = (0..)
        .zip(workers)
        .map(|(index, (connection, requests))| {
            let pace = per_second.map(|rate| Pace {
                first: started + Duration::from_secs_f64(f64::from(index) / rate),
                every: Duration::from_secs_f64(connections as f64 / rate),
            });
            tokio::spawn(work(connection, requests, options.binding, deadline, most, pace))
        })
        .collect();
    let mut counts = Vec::new();
    for task in tasks {
        counts.push(task.await.map_err(|error| LoadError::Setup { what: error.to_string() })?);
    }
    Ok(Report::new("polls", started.elapsed(), counts))
}

/// The polls of those eUICCs that a connection polls.
pub(super) fn poll_requests(eids: &[Eid], connection: usize, options: &LoadOptions) -> Result<Vec<Vec<u8>>, LoadError> {
    let mine = eids.iter().skip(connection % eids.len().max(1)).step_by(options.connections.max(1));
    let requests: Vec<Vec<u8>> = mine.map(|eid| poll_request(eid, options)).collect();
    if requests.is_empty() {
        return Err(LoadError::Setup { what: "there is no device to poll".to_owned() });
    }
    Ok(requests)
}

async fn work(
    mut connection: RawConnection<TlsStream<TcpStream>>,
    requests: Vec<Vec<u8>>,
    binding: Binding,
    deadline: Instant,
    most: u64,
    pace: Option<Pace>,
) -> Counts {
    let mut counts = Counts::default();
    for (sent, request) in (0_u64..).zip(requests.iter().cycle()) {
        let due = pace.map(|pace| pace.first + pace.every.mul_f64(sent as f64));
        let started = due.unwrap_or_else(Instant::now);
        if started >= deadline || sent >= most {
            break;
        }
        if due.is_some_and(|due| due > Instant::now()) {
            tokio::time::sleep_until(started.into()).await;
        }
        match connection.exchange(request).await {
            Ok((200, body)) if is_idle_response(binding, body) => counts.success(started),
            Ok((200, _)) => counts.unexpected += 1,
            Ok((status, _)) => counts.error(format_args!("status {status}")),
            Err(error) => {
                // the connection is lost, and with it this worker: a server that hangs up is seen in the report
                counts.error(error);
                break;
            }
        }
    }
    counts
}

/// A getEimPackage as octets of HTTP.
pub(super) fn poll_request(eid: &Eid, options: &LoadOptions) -> Vec<u8> {
    let body = get_eim_package(options.binding, eid, &PollOptions::default());
    esipa_request(Function::GetEimPackage, options, &body)
}

/// A call of an ESipa function as octets of HTTP.
pub(super) fn esipa_request(function: Function, options: &LoadOptions, body: &[u8]) -> Vec<u8> {
    let headers = [
        ("content-type", options.binding.content_type()),
        ("x-admin-protocol", "gsma/rsp/v2.1.0"),
        ("user-agent", "gsma-rsp-ipad"),
    ];
    post(function.path(options.binding), &options.server_name, &headers, body)
}
