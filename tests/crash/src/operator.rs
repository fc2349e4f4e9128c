//! Who asks for things through the API, as a careful client does: with an Idempotency-Key, and again until there is an answer.

use crate::plan::Errand;
use crate::servers::Servers;
use crate::wire::Wire;
use anyhow::{Context, bail};
use eim_simulator::load::RawConnection;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Before a request is sent again.
const AGAIN: Duration = Duration::from_millis(20);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(15);

/// What the API said to an errand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The operation with this identifier was made.
    Made(String),
    /// It was not, for this reason.
    Refused(String),
}

/// The API of a run, whichever fronts are there.
#[derive(Debug, Clone)]
pub struct Operator {
    servers: Arc<Servers>,
    end: Instant,
}

impl Operator {
    /// Gives up at `end`.
    #[must_use]
    pub const fn new(servers: Arc<Servers>, end: Instant) -> Self {
        Self { servers, end }
    }

    /// GET, which must succeed.
    ///
    /// # Errors
    /// When there is no answer in time, or another than 200.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        match self.call("GET", path, None, None).await? {
            (200, body) => Ok(body),
            (status, body) => bail!("GET {path} was answered with {status}: {body}"),
        }
    }

    /// A call, sent again until it is answered with something that is not the server's trouble.
    ///
    /// # Errors
    /// When that does not come in time.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        idempotency_key: Option<&str>,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let mut turn = 0;
        let mut last = anyhow::anyhow!("no front ran, or there was no time left");
        while Instant::now() < self.end {
            let fronts = self.servers.api();
            turn += 1;
            if let Some(front) = fronts.get(turn % fronts.len().max(1)) {
                match tokio::time::timeout(ANSWER, self.try_to_call(*front, method, path, idempotency_key, body)).await
                {
                    // Whoever is told that it is too much comes again, as after a clock that was set back.
                    Ok(Ok((status, answer))) if status < 500 && status != 429 => return Ok((status, answer)),
                    Ok(Ok((status, answer))) => last = anyhow::anyhow!("{status}: {answer}"),
                    Ok(Err(error)) => last = error,
                    Err(_) => last = anyhow::anyhow!("no answer in {ANSWER:?}"),
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
        Err(last.context(format!("{method} {path}")))
    }

    async fn try_to_call(
        &self,
        front: SocketAddr,
        method: &str,
        path: &str,
        idempotency_key: Option<&str>,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let key = idempotency_key.map(|key| format!("idempotency-key: {key}\r\n")).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {front}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n{key}\
             content-length: {}\r\n\r\n{body}",
            self.servers.api_key,
            body.len()
        );
        let mut connection = RawConnection::new(TcpStream::connect(front).await?);
        let (status, answer) = connection.exchange(request.as_bytes()).await?;
        Ok((status, serde_json::from_slice(answer).unwrap_or_default()))
    }

    /// Does the errands one after the other, each at its time. Gives the answers by label.
    ///
    /// # Errors
    /// When one is not answered in time, or a request that made something is answered in two ways.
    pub async fn work(
        self,
        errands: Vec<(String, Errand)>,
        wire: Arc<Wire>,
    ) -> anyhow::Result<BTreeMap<String, Answer>> {
        let mut answers = BTreeMap::new();
        for (eid, errand) in errands {
            while wire.exchanges() < errand.after && Instant::now() < self.end {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let mut answer = self.ask(&eid, &errand).await?;
            if errand.twice {
                let second = self.ask(&eid, &errand).await?;
                // A refusal made nothing, so the repeat is judged anew, by what the device has told since.
                anyhow::ensure!(
                    answer == second || matches!(answer, Answer::Refused(_)),
                    "{} was answered with {answer:?}, then with {second:?}",
                    errand.label
                );
                answer = second;
            }
            answers.insert(errand.label, answer);
        }
        Ok(answers)
    }

    async fn ask(&self, eid: &str, errand: &Errand) -> anyhow::Result<Answer> {
        let path = format!("/api/v1/euiccs/{eid}/operations");
        let (status, body) = self.call("POST", &path, Some(&errand.label), Some(&errand.body)).await?;
        if status == 202 {
            let id = body.get("id").and_then(Value::as_str).context("an operation without an identifier")?;
            return Ok(Answer::Made(id.to_owned()));
        }
        Ok(Answer::Refused(format!("{status} {body}")))
    }
}
