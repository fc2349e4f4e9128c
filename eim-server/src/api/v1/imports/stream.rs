//! The stream of an import: lines in, reports out, a small group at a time.
//!
//! No more than a group of lines and a part of the body is held. Reports that the client does not take hold up the reading of
//! further lines.

use crate::api::{Api, Problem};
use actix_web::http::header;
use actix_web::rt::time::timeout;
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::Eim;
use eim_core::manage::{BulkFormat, ImportOf, ImportReader, ImportSummary, Importer, Stopped, SummaryLine};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use std::convert::Infallible;
use std::time::Duration;

/// How many lines are carried out side by side; SQLite commits them together.
const GROUP: usize = 64;
/// How many octets are read and thrown away after an import stopped, so that the client can still read why.
const DRAIN_BYTES: u64 = 1024 * 1024;

pub(super) async fn import(
    of: ImportOf,
    importer: Importer,
    request: &HttpRequest,
    payload: Payload,
    api: &Api,
    eim: Eim,
) -> Result<HttpResponse, Problem> {
    let format = format(request)?;
    let body = Body::new(request, payload, api)?;
    let mut import = Import {
        reader: ImportReader::new(of, format),
        importer,
        eim,
        body,
        summary: ImportSummary::default(),
        last_line: 0,
        body_ended: false,
        over: false,
    };
    // What is wrong with the header is wrong with every line: it is said before anything is done.
    while !import.reader.header()? {
        match import.body.next().await {
            Ok(Some(octets)) => import.reader.push(&octets),
            Ok(None) => {
                import.body_ended = true;
                import.reader.end();
            }
            Err(error) => return Err(import.body.problem(&error)),
        }
    }
    let parts = stream::unfold(import, async |mut import| {
        let part = import.next_part().await?;
        Some((Ok::<_, Infallible>(part), import))
    });
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(Box::pin(parts)))
}

/// What the media type says of the notation.
pub(super) fn format(request: &HttpRequest) -> Result<BulkFormat, Problem> {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    let charset = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    if charset.is_some_and(|charset| !["utf-8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known))) {
        return Err(Problem::unsupported_media_type("the charset utf-8 is expected"));
    }
    match essence.trim().to_ascii_lowercase().as_str() {
        "text/csv" => Ok(BulkFormat::Csv),
        "application/x-ndjson" => Ok(BulkFormat::Ndjson),
        _ => Err(Problem::unsupported_media_type("Content-Type text/csv or application/x-ndjson is expected")),
    }
}

struct Import {
    reader: ImportReader,
    importer: Importer,
    eim: Eim,
    body: Body,
    summary: ImportSummary,
    last_line: u64,
    body_ended: bool,
    over: bool,
}

impl Import {
    /// The reports on the next group of lines, then the summary; `None` after it.
    async fn next_part(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        loop {
            let lines: Vec<_> = std::iter::from_fn(|| self.reader.next_line()).take(GROUP).collect();
            if let Some(last) = lines.last() {
                self.last_line = last.line;
                let done = self.importer.carry_out(lines, &self.eim).await;
                self.summary.count(&done.reports);
                let mut part = Vec::new();
                done.reports.iter().for_each(|report| put(&mut part, report));
                if done.store_failed {
                    part.extend(self.end(Some("the store failed; see the log of the server")));
                }
                return Some(part.into());
            }
            if self.body_ended {
                return Some(self.end(None).into());
            }
            let stopped = match self.body.next().await {
                Ok(Some(octets)) => {
                    self.reader.push(&octets);
                    continue;
                }
                Ok(None) => {
                    self.body_ended = true;
                    self.reader.end();
                    continue;
                }
                Err(BodyError::TooLarge) => {
                    self.body.drain().await;
                    format!("a body may have {} octets", self.body.limit)
                }
                Err(BodyError::TooSlow) => "the next part of the body did not arrive in time".to_owned(),
                Err(BodyError::Broken) => "the body broke off".to_owned(),
            };
            return Some(self.end(Some(&stopped)).into());
        }
    }

    fn end(&mut self, stopped: Option<&str>) -> Vec<u8> {
        self.over = true;
        let message = stopped.map(str::to_owned);
        self.summary.stopped = message.map(|message| Stopped { after_line: self.last_line, message });
        let mut part = Vec::new();
        put(&mut part, &SummaryLine { summary: self.summary.clone() });
        part
    }
}

pub(super) fn put(part: &mut Vec<u8>, row: &impl Serialize) {
    // Texts and numbers only, into memory: this can't fail.
    let _ = serde_json::to_writer(&mut *part, row);
    part.push(b'\n');
}

pub(super) struct Body {
    payload: Payload,
    left: u64,
    limit: u64,
    /// How long the next part may take.
    timeout: Duration,
}

pub(super) enum BodyError {
    TooLarge,
    TooSlow,
    Broken,
}

impl Body {
    /// The body of a request that may be as large as an import.
    pub(super) fn new(request: &HttpRequest, payload: Payload, api: &Api) -> Result<Self, Problem> {
        let announced =
            request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if announced.is_some_and(|octets: u64| octets > api.import_bytes) {
            return Err(Problem::import_too_large(api.import_bytes));
        }
        Ok(Self { payload, left: api.import_bytes, limit: api.import_bytes, timeout: api.body_timeout })
    }

    /// The problem of a request that ends with it.
    pub(super) fn problem(&self, error: &BodyError) -> Problem {
        match error {
            BodyError::TooLarge => Problem::import_too_large(self.limit),
            BodyError::TooSlow => Problem::too_slow(),
            BodyError::Broken => Problem::malformed("the request body broke off"),
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        match timeout(self.timeout, self.payload.next()).await {
            Err(_) => Err(BodyError::TooSlow),
            Ok(None) => Ok(None),
            Ok(Some(Err(_))) => Err(BodyError::Broken),
            Ok(Some(Ok(octets))) => {
                self.left = self.left.checked_sub(octets.len() as u64).ok_or(BodyError::TooLarge)?;
                Ok(Some(octets))
            }
        }
    }

    async fn drain(&mut self) {
        self.left = DRAIN_BYTES;
        while let Ok(Some(_)) = self.next().await {}
    }
}
