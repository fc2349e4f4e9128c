//! A TLS server for tests: it shows any certificate of the test PKI, records what it is sent, and answers as it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use eim_core::pki::SigningKey;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer};
use rustls::{ServerConfig, SignatureAlgorithm, SignatureScheme, SupportedProtocolVersion};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// What the server does with a request once it has read it.
#[derive(Clone)]
pub enum Does {
    /// Sends these octets and keeps the connection.
    Answers(Vec<u8>),
    /// Sends these octets when a permit comes.
    Waits(Arc<Semaphore>, Vec<u8>),
    /// Sends these octets and closes.
    Closes(Vec<u8>),
    /// Sends these octets and then nothing, until the client closes.
    FallsSilent(Vec<u8>),
}

/// An answer with a status, content type and body.
pub fn answer(status: u16, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} Some\r\nContent-Type: {content_type}\r\nX-Admin-Protocol: gsma/rsp/v2.5.0\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub fn json(body: &str) -> Does {
    Does::Answers(answer(200, "application/json", body.as_bytes()))
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

/// The certificate and key that a server shows.
#[derive(Clone)]
pub struct Identity {
    pub certificate: Vec<u8>,
    pub key: Arc<SigningKey>,
    pub scheme: SignatureScheme,
}

impl Identity {
    /// `nist/dp_tls` and its key `nist/dp_tls`.
    pub fn of(certificate: &str, key: &str) -> Self {
        let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
        Self { certificate: cert(certificate), key: Arc::new(self::key(key)), scheme }
    }

    pub fn server_config(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
        let certified = CertifiedKey::new(vec![CertificateDer::from(self.certificate.clone())], Arc::new(self.clone()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Shows(Arc::new(certified))));
        Arc::new(config)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

impl rustls::sign::SigningKey for Identity {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Identity {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(der_signature(&self.key.sign(message)))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

/// A server on a port of its own; it ends with the runtime of the test.
pub struct RspServer {
    pub port: u16,
    requests: watch::Receiver<Vec<Request>>,
    connections: Arc<Mutex<usize>>,
}

impl RspServer {
    /// Answers the request with number `n`, from 0, as `does(n)` says.
    pub async fn start(config: Arc<ServerConfig>, does: impl Fn(usize) -> Does + Send + Sync + 'static) -> Self {
        let acceptor = TlsAcceptor::from(config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, requests) = watch::channel(Vec::new());
        let connections = Arc::new(Mutex::new(0));
        let (seen, does, count) = (Arc::new(seen), Arc::new(does), connections.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *count.lock().unwrap() += 1;
                let (acceptor, seen, does) = (acceptor.clone(), seen.clone(), does.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, &seen, &*does).await;
                    }
                });
            }
        });
        Self { port, requests, connections }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.borrow().clone()
    }

    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    /// Waits until so many requests have come.
    pub async fn saw(&self, number: usize) {
        let mut requests = self.requests.clone();
        let seen = requests.wait_for(|requests| requests.len() >= number);
        tokio::time::timeout(std::time::Duration::from_secs(20), seen).await.expect("a request").unwrap();
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    seen: &watch::Sender<Vec<Request>>,
    does: &(impl Fn(usize) -> Does + Send + Sync),
) {
    let mut octets = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut octets).await {
        let mut number = 0;
        seen.send_modify(|requests| {
            number = requests.len();
            requests.push(request);
        });
        let sent = match does(number) {
            Does::Answers(octets) => stream.write_all(&octets).await,
            Does::Waits(gate, octets) => {
                gate.acquire().await.unwrap().forget();
                stream.write_all(&octets).await
            }
            Does::Closes(octets) => {
                let _ = stream.write_all(&octets).await;
                let _ = stream.shutdown().await;
                return;
            }
            Does::FallsSilent(octets) => {
                let _ = stream.write_all(&octets).await;
                let _ = stream.flush().await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
                return;
            }
        };
        if sent.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin), octets: &mut Vec<u8>) -> Option<Request> {
    loop {
        if let Some(end) = octets.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(octets[..end].to_vec()).ok()?;
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            let body = end + 4..end + 4 + length.unwrap_or(0_usize);
            if octets.len() >= body.end {
                let body = octets.drain(..body.end).skip(body.start).collect();
                return Some(Request { head, body });
            }
        }
        if stream.read_buf(octets).await.ok()? == 0 {
            return None;
        }
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/pki").join(name)
}

/// A certificate of the test PKI.
pub fn cert(name: &str) -> Vec<u8> {
    std::fs::read(path(&format!("{name}.der"))).unwrap()
}

/// A key of the test PKI.
pub fn key(name: &str) -> SigningKey {
    SigningKey::from_pem(&std::fs::read_to_string(path(&format!("{name}.key.pem"))).unwrap()).unwrap()
}

/// The certificate with its certificatePolicies made critical and the CI's signature made anew.
pub fn with_critical_policies(certificate: &[u8], ci: &SigningKey) -> Vec<u8> {
    let parts = elements(content(certificate));
    let mut fields = elements(content(parts[0]));
    let extensions = fields.pop().unwrap();
    let extensions = elements(content(content(extensions))).into_iter().map(|extension| {
        match content(extension).strip_prefix(&[0x06, 0x03, 0x55, 0x1d, 0x20]) {
            Some(rest) => tlv(0x30, &[&[0x06, 0x03, 0x55, 0x1d, 0x20, 0x01, 0x01, 0xff], rest].concat()),
            None => extension.to_vec(),
        }
    });
    let extensions = tlv(0xa3, &tlv(0x30, &extensions.collect::<Vec<_>>().concat()));
    let tbs = tlv(0x30, &[fields.concat(), extensions].concat());
    let signature = tlv(0x03, &[vec![0], der_signature(&ci.sign(&tbs))].concat());
    tlv(0x30, &[tbs, parts[1].to_vec(), signature].concat())
}

/// `30 { 02 r, 02 s }`.
fn der_signature(fixed: &[u8; 64]) -> Vec<u8> {
    let integer = |octets: &[u8]| {
        let start = octets.iter().position(|octet| *octet != 0).unwrap();
        let sign = if octets[start] & 0x80 == 0 { vec![] } else { vec![0] };
        tlv(0x02, &[sign, octets[start..].to_vec()].concat())
    };
    tlv(0x30, &[integer(&fixed[..32]), integer(&fixed[32..])].concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let header = match content.len() {
        0..=127 => vec![tag, low],
        128..=255 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&header, content].concat()
}

/// The lengths of the header and of the content of the first element.
fn lengths(octets: &[u8]) -> (usize, usize) {
    match octets[1] {
        0x82 => (4, usize::from(octets[2]) << 8 | usize::from(octets[3])),
        0x81 => (3, usize::from(octets[2])),
        short => (2, usize::from(short)),
    }
}

fn content(element: &[u8]) -> &[u8] {
    &element[lengths(element).0..]
}

fn elements(mut octets: &[u8]) -> Vec<&[u8]> {
    let mut elements = Vec::new();
    while !octets.is_empty() {
        let (header, content) = lengths(octets);
        let (element, rest) = octets.split_at(header + content);
        elements.push(element);
        octets = rest;
    }
    elements
}
