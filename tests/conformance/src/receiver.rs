//! What a webhook calls: a plain HTTP server that keeps what it is sent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// A request that a receiver got.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// What it was answered.
    pub status: u16,
}

impl Delivered {
    /// The header of this name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str()).expect(name)
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// How many of its signatures this secret has made (Standard Webhooks).
    #[must_use]
    pub fn signed_with(&self, secret: &str) -> usize {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("a secret")).expect("base64");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let head = format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp"));
        let signed = [head.as_bytes(), &self.body].concat();
        let signatures = self.header("webhook-signature").split(' ').map(|signature| {
            let (version, tag) = signature.split_once(',').expect("a version");
            assert_eq!(version, "v1");
            STANDARD.decode(tag).expect("base64")
        });
        signatures.filter(|tag| hmac::verify(&key, &signed, tag).is_ok()).count()
    }
}

#[derive(Debug, Default)]
struct State {
    delivered: Vec<Delivered>,
    status: u16,
    /// How many of the next requests wait for their answer.
    held: usize,
}

/// A receiver of events. Ends when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    released: Arc<Semaphore>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Starts one that takes everything.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { delivered: vec![], status: 204, held: 0 }));
        let released = Arc::new(Semaphore::new(0));
        let (kept, gate) = (Arc::clone(&state), Arc::clone(&released));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&kept), Arc::clone(&gate)));
            }
        });
        Self { address, state, released, task }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook?of=eim", self.address)
    }

    /// From now on it answers this.
    pub fn answer(&self, status: u16) {
        self.state.lock().unwrap().status = status;
    }

    /// The next request is not answered before [`Self::release`].
    pub fn hold_next(&self) {
        self.state.lock().unwrap().held += 1;
    }

    /// Answers a request that is held.
    pub fn release(&self) {
        self.released.add_permits(1);
    }

    /// What it was sent, whatever it answered.
    #[must_use]
    pub fn all(&self) -> Vec<Delivered> {
        self.state.lock().unwrap().delivered.clone()
    }

    /// What it took.
    #[must_use]
    pub fn taken(&self) -> Vec<Delivered> {
        self.all().into_iter().filter(|delivered| delivered.status < 300).collect()
    }

    /// The types of the events that it took.
    #[must_use]
    pub fn types(&self) -> Vec<String> {
        self.taken().iter().map(|delivered| delivered.event()["type"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>, released: Arc<Semaphore>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or_default() == 0 {
            return;
        }
        assert_eq!(line.trim_end(), "POST /hook?of=eim HTTP/1.1");
        let mut headers: Vec<(String, String)> = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or_default() == 0 {
                return;
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length").unwrap().1.parse().unwrap();
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let (status, is_held) = {
            let mut state = state.lock().unwrap();
            let status = state.status;
            state.delivered.push(Delivered { headers, body, status });
            let is_held = state.held > 0;
            state.held = state.held.saturating_sub(1);
            (status, is_held)
        };
        if is_held {
            released.acquire().await.unwrap().forget();
        }
        let location = if (300..400).contains(&status) { "location: http://127.0.0.1:9/\r\n" } else { "" };
        let answer = format!("HTTP/1.1 {status} Said\r\n{location}content-length: 0\r\n\r\n");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
