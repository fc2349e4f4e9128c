//! Empty polls over kept-alive TLS.

use super::raw::post;
use super::{Counts, LoadError, LoadOptions, RawConnection, Report};
use crate::ipa::{Binding, Function, PollOptions, get_eim_package, is_idle_response};
use eim_core::ids::Eid;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub(super) async fn run(eids: &[Eid], options: &LoadOptions) -> Result<Report, LoadError> {
    let mut workers = Vec::new();
    for index in 0..options.connections.max(1) {
        let requests: Vec<Vec<u8>> = eids
            .iter()
            .skip(index % eids.len().max(1))
            .step_by(options.connections.max(1))
            .map(|eid| poll_request(eid, options))
            .collect();
        if requests.is_empty() {
            return Err(LoadError::Setup { what: "there is no device to poll".to_owned() });
        }
        workers.push((RawConnection::open_tls(options).await?, requests));
    }
    let most = options.max_count / workers.len().max(1) as u64 + 1;
    let started = Instant::now();
    let deadline = started + options.duration;
    let tasks: Vec<_> = workers
        .into_iter()
        .map(|(connection, requests)| tokio::spawn(work(connection, requests, options.binding, deadline, most)))
        .collect();
    let mut counts = Vec::new();
    for task in tasks {
        counts.push(task.await.map_err(|error| LoadError::Setup { what: error.to_string() })?);
    }
    Ok(Report::new("polls", started.elapsed(), counts))
}

async fn work(
    mut connection: RawConnection<TlsStream<TcpStream>>,
    requests: Vec<Vec<u8>>,
    binding: Binding,
    deadline: Instant,
    most: u64,
) -> Counts {
    let mut counts = Counts::default();
    for (sent, request) in (0_u64..).zip(requests.iter().cycle()) {
        let started = Instant::now();
        if started >= deadline || sent >= most {
            break;
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
