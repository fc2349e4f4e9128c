//! A plain client of the operator API.

use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Whose key a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// admin
    Admin,
    /// operator
    Operator,
    /// viewer
    Viewer,
    /// None at all.
    Nobody,
}

/// An answer of the API.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of this name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The problem in this reply, whose form is checked (RFC 9457).
    #[must_use]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["status"], status);
        for member in ["type", "title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "no {member} in {problem}");
        }
        problem
    }

    /// The pointers of the errors in the problem in this reply.
    #[must_use]
    pub fn pointers(&self, status: u16) -> Vec<String> {
        let problem = self.problem(status);
        let errors = problem["errors"].as_array().expect("errors").clone();
        errors.iter().for_each(|error| assert!(error["message"].as_str().is_some_and(|text| !text.is_empty())));
        errors.iter().map(|error| error["pointer"].as_str().expect("a pointer").to_owned()).collect()
    }
}

/// A request whose body is still being sent while the answer is read.
pub struct Upload {
    /// HTTP status.
    pub status: u16,
    body: Option<Sender<Bytes>>,
    answer: Incoming,
    read: Vec<u8>,
    driver: JoinHandle<()>,
}

impl Upload {
    /// Sends a part of the body; it waits while the server takes no more.
    pub async fn send(&mut self, part: impl Into<Bytes>) {
        self.body.as_mut().expect("the body has not ended").send_data(part.into()).await.expect("the server reads");
    }

    /// Ends the body.
    pub fn end(&mut self) {
        self.body = None;
    }

    /// Breaks the connection in the middle of the body.
    pub async fn break_off(mut self) {
        self.driver.abort();
        // The body must not come to its end before the connection is gone.
        drop((&mut self.driver).await);
    }

    /// The next line of the answer as JSON; `None` at its end.
    pub async fn line(&mut self) -> Option<Value> {
        loop {
            if let Some(at) = self.read.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.read.drain(..=at).collect();
                return Some(serde_json::from_slice(&line).expect("a line is JSON"));
            }
            match self.answer.frame().await {
                Some(frame) => self.read.extend(frame.expect("the answer goes on").into_data().unwrap_or_default()),
                None => return None,
            }
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Begins a request on a connection of its own; `first` is what of the body is sent before the head of the answer comes.
pub(crate) async fn upload(addr: SocketAddr, path: &str, headers: &[(&str, &str)], first: &str) -> Upload {
    let tcp = TcpStream::connect(addr).await.expect("the API listens");
    let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await.expect("HTTP");
    let driver = tokio::spawn(async move { drop(connection.await) });
    let mut request = hyper::Request::builder().method("POST").uri(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (mut body, channel) = Channel::<Bytes>::new(4);
    body.send_data(Bytes::from(first.to_owned())).await.expect("there is room");
    let response = sender.send_request(request.body(channel).unwrap()).await.expect("an answer");
    let status = response.status().as_u16();
    Upload { status, body: Some(body), answer: response.into_body(), read: vec![], driver }
}

/// Sends one request on a connection of its own.
pub(crate) async fn send(addr: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
    let tcp = TcpStream::connect(addr).await.expect("the API listens");
    let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await.expect("HTTP");
    let driver = tokio::spawn(async move { drop(connection.await) });
    let mut request = hyper::Request::builder().method(method).uri(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.expect("an answer");
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let body = response.into_body().collect().await.expect("a body").to_bytes().to_vec();
    driver.abort();
    Reply { status, headers, body }
}
