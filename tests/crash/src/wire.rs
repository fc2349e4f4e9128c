//! The wire between devices and fronts: it sees every exchange and lets the plan's accidents happen to them.
//!
//! It ends TLS with the fronts' own key, so that it sees each package that leaves a front, also those that no device gets. It passes HTTP messages on
//! octet by octet and understands no more of them than where they end.

use crate::plan::{Accident, Moment, Plan};
use crate::servers::{Servers, lock};
use anyhow::{Context, bail, ensure};
use eim_core::ids::Eid;
use eim_simulator::ipa::{Binding, Function, Package, TlsVersions, client_config, read_package};
use eim_simulator::tlv::Tlv;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// Far more than an exchange takes, a relayed call included.
const EXCHANGE: Duration = Duration::from_secs(20);
/// Longer messages are none.
const MESSAGE_MAX: usize = 4 * 1024 * 1024;

/// A package that left a front.
pub type Sent = HashMap<(Eid, i64), Vec<u8>>;

/// The wire of a run.
#[derive(Debug)]
pub struct Wire {
    /// Where devices connect.
    pub address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    servers: Arc<Servers>,
    tls: Arc<ClientConfig>,
    accidents: Mutex<BTreeMap<u64, Accident>>,
    /// What came of them, in words.
    happened: Mutex<Vec<String>>,
    exchanges: AtomicU64,
    /// The next front.
    turn: AtomicUsize,
    sent: Mutex<Sent>,
    /// Packages that can't be, and counters with two contents.
    complaints: Mutex<Vec<String>>,
}

impl Wire {
    /// Opens it before these servers.
    ///
    /// # Errors
    /// When their TLS key can't be read.
    pub async fn open(servers: &Arc<Servers>, plan: &Plan) -> anyhow::Result<Self> {
        let chain = vec![CertificateDer::from_pem_file(servers.path("keys/tls-certificate.pem"))?];
        let key = PrivateKeyDer::from_pem_file(servers.path("keys/tls-key.pem"))?;
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            servers: Arc::clone(servers),
            tls: client_config(std::slice::from_ref(&servers.trusted), TlsVersions::Both)?,
            accidents: Mutex::new(plan.accidents.clone()),
            happened: Mutex::default(),
            exchanges: AtomicU64::new(0),
            turn: AtomicUsize::new(0),
            sent: Mutex::default(),
            complaints: Mutex::default(),
        });
        let accepting = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((device, _)) = listener.accept().await {
                let (state, acceptor) = (Arc::clone(&accepting), acceptor.clone());
                // That a connection breaks is the business of this wire.
                tokio::spawn(async move { drop(state.carry(device, acceptor).await) });
            }
        });
        Ok(Self { address, state, task })
    }

    /// How many exchanges there were.
    #[must_use]
    pub fn exchanges(&self) -> u64 {
        self.state.exchanges.load(Ordering::SeqCst)
    }

    /// Whether every accident has happened.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        lock(&self.state.accidents).is_empty()
    }

    /// The accidents that happened.
    #[must_use]
    pub fn happened(&self) -> Vec<String> {
        lock(&self.state.happened).clone()
    }

    /// Every package that left a front, by EID and counter.
    #[must_use]
    pub fn sent(&self) -> Sent {
        lock(&self.state.sent).clone()
    }

    /// What must not leave a front.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        lock(&self.state.complaints).clone()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection to a front.
type Front = client::TlsStream<TcpStream>;

impl State {
    async fn carry(self: Arc<Self>, device: TcpStream, acceptor: TlsAcceptor) -> anyhow::Result<()> {
        device.set_nodelay(true)?;
        let mut device: server::TlsStream<TcpStream> = acceptor.accept(device).await?;
        let mut front: Option<Front> = None;
        let mut buffer = Vec::new();
        while let Some(request) = read_message(&mut device, &mut buffer).await? {
            let number = self.exchanges.fetch_add(1, Ordering::SeqCst) + 1;
            // Connections are kept alive; now and then the next exchange comes to another front.
            if number.is_multiple_of(3) {
                front = None;
            }
            let accident = lock(&self.accidents).remove(&number);
            if let Some(accident) = accident {
                lock(&self.happened).push(format!("{number}: {accident:?}"));
            }
            let exchange = self.exchange(&mut front, &request, accident);
            let response = tokio::time::timeout(EXCHANGE, exchange).await.context("no answer in time")??;
            device.write_all(&response).await?;
            device.flush().await?;
        }
        Ok(())
    }

    async fn exchange(
        self: &Arc<Self>,
        front: &mut Option<Front>,
        request: &[u8],
        accident: Option<Accident>,
    ) -> anyhow::Result<Vec<u8>> {
        match accident {
            None => self.through(front, request).await,
            Some(Accident::LoseRequest) => bail!("the request is lost"),
            Some(Accident::LoseResponse) => {
                self.through(front, request).await?;
                bail!("the response is lost")
            }
            Some(Accident::Twice) => {
                self.through(front, request).await?;
                self.through(front, request).await
            }
            Some(Accident::AtOnce) => {
                let mut other = None;
                let (first, second) = tokio::join!(self.through(front, request), self.through(&mut other, request));
                second.or(first)
            }
            Some(Accident::Kill { server, gently, moment, rest_ms }) => {
                let (servers, rest) = (Arc::clone(&self.servers), Duration::from_millis(rest_ms));
                let kill = move || {
                    if gently {
                        servers.restart(server, rest)
                    } else {
                        servers.kill(server, rest)
                    };
                };
                self.kill(front, request, kill, moment).await
            }
            Some(Accident::EndDatabaseConnections) => {
                let servers = Arc::clone(&self.servers);
                tokio::spawn(async move {
                    if let Some(schema) = servers.schema()
                        && let Err(error) = schema.end_connections().await
                    {
                        eprintln!("connections to the database could not be ended: {error:#}");
                    }
                });
                self.through(front, request).await
            }
            Some(Accident::CutBroker) => {
                self.servers.broker.iter().for_each(|(line, _)| line.cut());
                self.through(front, request).await
            }
            Some(Accident::StallBroker { ms }) => {
                self.servers.broker.iter().for_each(|(line, _)| line.stall(Duration::from_millis(ms)));
                self.through(front, request).await
            }
        }
    }

    async fn kill(
        self: &Arc<Self>,
        front: &mut Option<Front>,
        request: &[u8],
        kill: impl FnOnce() + Send + 'static,
        moment: Moment,
    ) -> anyhow::Result<Vec<u8>> {
        match moment {
            Moment::BeforeRequest => {
                kill();
                self.through(front, request).await
            }
            Moment::During { after_us } => {
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_micros(after_us)).await;
                    kill();
                });
                self.through(front, request).await
            }
            Moment::AfterResponse => {
                self.through(front, request).await?;
                kill();
                bail!("the response is lost")
            }
        }
    }

    /// One exchange with a front; whatever it answers is noted.
    async fn through(&self, kept: &mut Option<Front>, request: &[u8]) -> anyhow::Result<Vec<u8>> {
        // A connection that breaks in the middle is not used again.
        let mut front = match kept.take() {
            Some(front) => front,
            None => self.connect().await?,
        };
        front.write_all(request).await?;
        front.flush().await?;
        let response = read_message(&mut front, &mut Vec::new()).await?.context("the front hung up")?;
        *kept = Some(front);
        self.note(request, &response);
        Ok(response)
    }

    async fn connect(&self) -> anyhow::Result<Front> {
        let fronts = self.servers.esipa();
        ensure!(!fronts.is_empty(), "no front runs");
        let turn = self.turn.fetch_add(1, Ordering::SeqCst);
        let address = fronts.get(turn % fronts.len()).context("no front runs")?;
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(TlsConnector::from(Arc::clone(&self.tls)).connect(ServerName::try_from("localhost")?, tcp).await?)
    }

    fn note(&self, request: &[u8], response: &[u8]) {
        let path = |binding| format!("POST {} ", Function::GetEimPackage.path(binding)).into_bytes();
        let binding = match (request.starts_with(&path(Binding::Asn1)), request.starts_with(&path(Binding::Json))) {
            (true, _) if body(request).starts_with(&[0xbf, 0x4f]) => Binding::Asn1,
            (_, true) => Binding::Json,
            _ => return,
        };
        let Ok(Package::EuiccPackage(package)) = read_package(binding, body(response)) else { return };
        let complaint = remember(&mut lock(&self.sent), package);
        lock(&self.complaints).extend(complaint);
    }
}

/// Keeps a package that left a front. Says what is wrong with it.
fn remember(sent: &mut Sent, package: Vec<u8>) -> Option<String> {
    let Some((eid, counter)) = named(&package) else {
        return Some(format!("a package that can't be read: {}", hex::encode(package)));
    };
    match sent.entry((eid, counter)) {
        Entry::Vacant(place) => drop(place.insert(package)),
        Entry::Occupied(before) if *before.get() == package => {}
        Entry::Occupied(_) => return Some(format!("{eid}: counter {counter} was used for two contents")),
    }
    None
}

/// EID and counter of an eUICC Package Request, `BF51 { 30 { 80 eimId, 5A eid, 81 counter, .. }, 5F37 }`.
#[must_use]
pub fn named(package: &[u8]) -> Option<(Eid, i64)> {
    let signed = Tlv::only(package)?.child(0x30)?;
    let eid = Eid::from_octets(signed.child(0x5a)?.content).ok()?;
    Some((eid, signed.child(0x81)?.integer()?))
}

/// What follows the empty line.
fn body(message: &[u8]) -> &[u8] {
    head_end(message).and_then(|end| message.get(end..)).unwrap_or_default()
}

fn head_end(message: &[u8]) -> Option<usize> {
    message.windows(4).position(|window| window == b"\r\n\r\n").map(|position| position + 4)
}

/// The next HTTP message as it came, whose length is in its head. None at the end of the stream. What was read beyond it stays in the buffer.
async fn read_message<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> anyhow::Result<Option<Vec<u8>>> {
    loop {
        if let Some(end) = head_end(buffer) {
            let head = String::from_utf8_lossy(buffer.get(..end).unwrap_or_default()).into_owned();
            let length = head.lines().filter_map(|line| line.split_once(':'));
            let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length: usize = length.map(|(_, value)| value.trim().parse()).next().unwrap_or(Ok(0))?;
            ensure!(length <= MESSAGE_MAX, "a message of {length} octets");
            if buffer.len() >= end + length {
                let rest = buffer.split_off(end + length);
                return Ok(Some(std::mem::replace(buffer, rest)));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            ensure!(buffer.is_empty(), "the stream ended within a message");
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Sent, remember};
    use eim_simulator::tlv::element;

    fn package(counter: u8, operations: &[u8]) -> Vec<u8> {
        let eid = element(0x5a, &[&[0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10]]);
        let signed = element(0x30, &[&element(0x80, &[b"1.2"]), &eid, &element(0x81, &[&[counter]]), operations]);
        element(0xbf51, &[&signed, &element(0x5f37, &[&[0; 64]])])
    }

    #[test]
    fn a_counter_with_two_contents_is_noticed() {
        let mut sent = Sent::new();
        assert_eq!(remember(&mut sent, package(1, &[0xa0, 0])), None);
        assert_eq!(remember(&mut sent, package(1, &[0xa0, 0])), None);
        assert_eq!(remember(&mut sent, package(2, &[0xa0, 0])), None);
        assert!(remember(&mut sent, package(1, &[0xa1, 0])).is_some());
        assert!(remember(&mut sent, vec![0xbf, 0x51, 0]).is_some());
    }
}
