//! A TLS connection for each poll, as devices make them that poll once an hour: with a whole handshake, or resumed.

use super::poll::poll_requests;
use super::{Counts, LoadError, LoadOptions, RawConnection, Report};
use crate::ipa::{Binding, is_idle_response};
use eim_core::ids::Eid;
use rustls::HandshakeKind;
use rustls::client::Resumption;
use std::sync::Arc;
use std::time::Instant;

/// Tickets that a client keeps: a server sends two with each handshake.
const TICKETS: usize = 8;

/// How connections begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshakes {
    /// With a whole handshake: certificate, signature, key agreement.
    Full,
    /// With a ticket of the connection before.
    Resumed,
}

/// What was measured: a success is a connection with a poll in it.
#[derive(Debug, Clone, Default)]
pub struct HandshakeReport {
    /// From the first octet of TCP to the answer of the poll.
    pub report: Report,
    /// Handshakes that were whole, as TLS says itself.
    pub full: u64,
    /// Handshakes that resumed a session, as TLS says itself.
    pub resumed: u64,
}

/// Polls these eUICCs by turns, each poll over a connection of its own; `options.connections` are open at a time.
///
/// # Errors
/// [`LoadError`] when the first connections can't be opened; what fails later is counted.
pub async fn run_handshakes(
    eids: &[Eid],
    handshakes: Handshakes,
    options: &LoadOptions,
) -> Result<HandshakeReport, LoadError> {
    let mut clients = Vec::new();
    for index in 0..options.connections.max(1) {
        let client = Client::new(handshakes, options.clone(), poll_requests(eids, index, options)?);
        if handshakes == Handshakes::Resumed {
            // The first ticket comes from a whole handshake, before the clock starts.
            client.poll(0).await?;
        }
        clients.push(client);
    }
    let most = options.max_count / clients.len().max(1) as u64 + 1;
    let started = Instant::now();
    let deadline = started + options.duration;
    let tasks: Vec<_> = clients.into_iter().map(|client| tokio::spawn(client.work(deadline, most))).collect();
    let (mut counts, mut full, mut resumed) = (Vec::new(), 0, 0);
    for task in tasks {
        let done = task.await.map_err(|error| LoadError::Setup { what: error.to_string() })?;
        counts.push(done.counts);
        full += done.full;
        resumed += done.resumed;
    }
    Ok(HandshakeReport { report: Report::new("connections", started.elapsed(), counts), full, resumed })
}

#[derive(Default)]
struct Done {
    counts: Counts,
    full: u64,
    resumed: u64,
}

struct Client {
    options: LoadOptions,
    requests: Vec<Vec<u8>>,
}

impl Client {
    /// A client with tickets of its own: those of a device do not help another one.
    fn new(handshakes: Handshakes, mut options: LoadOptions, requests: Vec<Vec<u8>>) -> Self {
        let mut tls = rustls::ClientConfig::clone(&options.tls);
        tls.resumption = match handshakes {
            Handshakes::Full => Resumption::disabled(),
            Handshakes::Resumed => Resumption::in_memory_sessions(TICKETS),
        };
        options.tls = Arc::new(tls);
        Self { options, requests }
    }

    async fn work(self, deadline: Instant, most: u64) -> Done {
        let mut done = Done::default();
        for sent in 0..most {
            let started = Instant::now();
            if started >= deadline {
                break;
            }
            match self.poll(sent as usize).await {
                Ok((kind, idle)) => {
                    match kind {
                        Some(HandshakeKind::Resumed) => done.resumed += 1,
                        _ => done.full += 1,
                    }
                    if idle { done.counts.success(started) } else { done.counts.unexpected += 1 }
                }
                Err(error) => done.counts.error(error),
            }
        }
        done
    }

    /// One connection: how it began, and whether the answer was "nothing".
    async fn poll(&self, number: usize) -> Result<(Option<HandshakeKind>, bool), LoadError> {
        let binding: Binding = self.options.binding;
        let mut connection = RawConnection::open_tls(&self.options).await?;
        let kind = connection.handshake_kind();
        let request = self.requests.get(number % self.requests.len().max(1)).map(Vec::as_slice).unwrap_or_default();
        let (status, body) = connection.exchange(request).await?;
        let idle = status == 200 && is_idle_response(binding, body);
        Ok((kind, idle))
    }
}
