//! A scripted eIM over TLS: answers come from a queue, requests are kept.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use eim_simulator::load::server_tls;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[derive(Clone, Debug)]
pub struct Received {
    pub head: String,
    pub path: String,
    pub body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into() }
    }

    pub fn status(status: u16) -> Self {
        Self { status, body: Vec::new() }
    }
}

#[derive(Default)]
pub struct Script {
    pub replies: VecDeque<Reply>,
    /// When the queue is empty.
    pub otherwise: Option<Reply>,
    pub received: Vec<Received>,
    pub connections: usize,
}

#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    pub certificate: Vec<u8>,
    pub script: Arc<Mutex<Script>>,
}

impl Server {
    pub async fn start() -> Self {
        Self::listen(true).await
    }

    /// Without TLS.
    pub async fn start_plain() -> Self {
        Self::listen(false).await
    }

    async fn listen(tls: bool) -> Self {
        let (certificate, config) = server_tls("localhost").unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let shared = script.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, script) = (acceptor.clone(), shared.clone());
                tokio::spawn(async move {
                    if !tls {
                        script.lock().unwrap().connections += 1;
                        serve(tcp, script).await;
                    } else if let Ok(tls) = acceptor.accept(tcp).await {
                        script.lock().unwrap().connections += 1;
                        serve(tls, script).await;
                    }
                });
            }
        });
        Self { address, certificate, script }
    }

    pub fn reply(&self, reply: Reply) {
        self.script.lock().unwrap().replies.push_back(reply);
    }

    pub fn otherwise(&self, reply: Reply) {
        self.script.lock().unwrap().otherwise = Some(reply);
    }

    pub fn received(&self) -> Vec<Received> {
        self.script.lock().unwrap().received.clone()
    }

    pub fn connections(&self) -> usize {
        self.script.lock().unwrap().connections
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, script: Arc<Mutex<Script>>) {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8(buffer[..end].to_vec()).unwrap().to_ascii_lowercase();
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .map_or(0, |value| value.trim().parse().unwrap());
        while buffer.len() < end + 4 + length {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body = buffer[end + 4..end + 4 + length].to_vec();
        buffer.drain(..end + 4 + length);
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let reply = {
            let mut script = script.lock().unwrap();
            script.received.push(Received { head, path, body });
            script.replies.pop_front().or_else(|| script.otherwise.clone()).unwrap_or(Reply::status(500))
        };
        let mut response = format!("HTTP/1.1 {} x\r\n", reply.status);
        if reply.status != 204 {
            response.push_str(&format!("content-length: {}\r\n", reply.body.len()));
        }
        response.push_str("x-admin-protocol: gsma/rsp/v2.1.0\r\n\r\n");
        if stream.write_all(&[response.as_bytes(), &reply.body].concat()).await.is_err() {
            return;
        }
    }
}
