//! A small blocking HTTP client over TCP or TLS, so that tests see the octets that a device or an operator sees.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

/// A connection that is kept.
pub struct Connection(BufReader<Box<dyn Stream>>);

trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

impl Connection {
    pub fn plain(addr: SocketAddr) -> Self {
        Self(BufReader::new(Box::new(tcp(addr))))
    }

    pub fn tls(addr: SocketAddr, trust_der: &[u8], version: &'static SupportedProtocolVersion) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(trust_der.to_vec())).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
        Self(BufReader::new(Box::new(StreamOwned::new(client, tcp(addr)))))
    }

    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head.push_str("\r\n");
        self.send_raw(&[head.as_bytes(), body].concat())
    }

    /// Sends octets as they are and reads one answer.
    pub fn send_raw(&mut self, octets: &[u8]) -> Answer {
        self.0.get_mut().write_all(octets).unwrap();
        self.0.get_mut().flush().unwrap();
        self.read()
    }

    /// Reads one more answer.
    pub fn read(&mut self) -> Answer {
        let status = self.line().split(' ').nth(1).expect("a status line").parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let length = usize::from_str_radix(&self.line(), 16).unwrap();
                let mut chunk = vec![0; length + 2];
                self.0.read_exact(&mut chunk).unwrap();
                if length == 0 {
                    break;
                }
                answer.body.extend_from_slice(&chunk[..length]);
            }
        } else if let Some(length) = answer.header("content-length").map(|length| length.parse().unwrap()) {
            answer.body = vec![0; length];
            self.0.read_exact(&mut answer.body).unwrap();
        }
        answer
    }

    /// Sends octets as they are, and waits for nothing. False when the connection has ended.
    pub fn write(&mut self, octets: &[u8]) -> bool {
        self.0.get_mut().write_all(octets).and_then(|()| self.0.get_mut().flush()).is_ok()
    }

    /// Everything that comes until the server ends the connection; panics when it does not.
    pub fn read_to_the_end(&mut self) -> Vec<u8> {
        let mut octets = Vec::new();
        loop {
            let mut part = [0; 4096];
            match self.0.read(&mut part) {
                Ok(0) => return octets,
                Ok(count) => octets.extend_from_slice(&part[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("the server keeps the connection")
                }
                // Reset, or closed without the farewell of TLS.
                Err(_) => return octets,
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

fn tcp(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}
