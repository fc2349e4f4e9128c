//! POST /api/v1/imports/portable

use super::stream::{Body, format, put};
use crate::api::request::Parameters;
use crate::api::{Api, Caller, Problem};
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::Eim;
use eim_core::ids::KeyId;
use eim_core::manage::portable::{ExportStatement, PortableCheck, PortableImport, own_keys};
use eim_core::manage::{BulkFormat, ImportSummary, LineReport, ManageError, Stopped, SummaryLine};
use futures_util::stream;
use std::convert::Infallible;
use std::io::SeekFrom;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;

/// How many octets are read back at once.
const PART_BYTES: usize = 64 * 1024;

/// Takes in a portable export of this or another eIM (NDJSON as `GET /exports/portable` gives it), and reports on each device.
///
/// The whole file is looked at first: one flipped bit, a line that is missing, in another place or too much, or another key than
/// one that is trusted is 422, and nothing is changed. The pointer is `/lines/` and the number of the line in the file at which it
/// shows, and the message says which lines of the export are missing before it or which one it is. Then each device is taken whole
/// or not at all, whatever becomes of the others; those that are here already stay as they are (`exists`), so an import may be
/// repeated. `line` of a report is the first line of the device.
///
/// What comes in is hearsay: profiles and other eIMs are shown as unverified, history as `historyImported`. Counter, token and key
/// are taken over where the file was made by this same eIM (its eimId), which must be stopped there; the association is `expected`
/// until the eUICC has answered from here. `limits.import_bytes` bounds the file; two imports of this kind may run at a time.
#[utoipa::path(
    post, path = "/api/v1/imports/portable", tag = "Bulk", operation_id = "importPortable",
    params(("signedBy" = Option<String>, Query, description = "The id of the key of the eIM that made the file, known from elsewhere: SHA-256 of its SubjectPublicKeyInfo, hexadecimal, as `GET /signing-keys` there shows it. Keys of this eIM are trusted without it.")),
    request_body(content((String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "A report on each device (`LineReport`), and a last line with the summary (`SummaryLine`).", content((LineReport = "application/x-ndjson"))),
        (status = 413, description = "The body is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The media type is another one.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The file does not fit; every line that was changed, is missing or stands elsewhere is named, the first hundred. Nothing was changed.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Two imports of this kind are under way.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn portable(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let signed_by = parameters.text("signedBy").map(|text| text.to_lowercase().parse::<KeyId>());
    parameters.finish()?;
    let signed_by =
        signed_by.transpose().map_err(|_| Problem::malformed_parameter("signedBy", "64 hexadecimal digits"))?;
    if format(&request)? != BulkFormat::Ndjson {
        return Err(Problem::unsupported_media_type("Content-Type application/x-ndjson is expected"));
    }
    let permit = api.spool.take().ok_or_else(|| Problem::unavailable("two of these imports are under way"))?;
    let mut body = Body::new(&request, payload, &api)?;
    let mut trusted = own_keys(&caller.eim);
    trusted.extend(signed_by.map(|key| key.to_string()));
    let mut file = api.spool.file().map_err(|error| spool_failed(&error))?;
    let mut check = PortableCheck::new(trusted);
    loop {
        match body.next().await {
            Ok(Some(octets)) => {
                check.push(&octets);
                file.write_all(&octets).await.map_err(|error| spool_failed(&error))?;
            }
            Ok(None) => break,
            Err(error) => return Err(body.problem(&error)),
        }
    }
    let says = check.finish().map_err(ManageError::Invalid)?;
    file.flush().await.map_err(|error| spool_failed(&error))?;
    file.seek(SeekFrom::Start(0)).await.map_err(|error| spool_failed(&error))?;
    let parts = stream::unfold(Some(Import::new(says, file, caller.eim, permit)), async |import| {
        let (part, import) = import?.next_part().await;
        Some((Ok::<_, Infallible>(Bytes::from(part)), import))
    });
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(Box::pin(parts)))
}

fn spool_failed(error: &std::io::Error) -> Problem {
    tracing::error!(%error, "the file of an import can't be kept in the data directory");
    Problem::internal()
}

struct Import {
    import: PortableImport,
    /// What was reported so far, for an import that breaks off.
    told: ImportSummary,
    last_line: u64,
    file: File,
    eim: Eim,
    _permit: OwnedSemaphorePermit,
}

impl Import {
    fn new(says: ExportStatement, file: File, eim: Eim, permit: OwnedSemaphorePermit) -> Self {
        let import = PortableImport::new(says);
        Self { import, told: ImportSummary::default(), last_line: 0, file, eim, _permit: permit }
    }

    /// The reports on the next devices, in the end with the summary.
    async fn next_part(mut self) -> (Vec<u8>, Option<Self>) {
        let mut out = Vec::new();
        let mut part = vec![0; PART_BYTES];
        while out.is_empty() {
            let read = match self.file.read(&mut part).await {
                Ok(read) => read,
                Err(error) => {
                    tracing::error!(%error, "the file of an import can't be read again");
                    return (self.stopped(out), None);
                }
            };
            if read == 0 {
                return self.finish().await;
            }
            match self.import.push(part.get(..read).unwrap_or_default(), &self.eim).await {
                Ok(reports) => self.report(&reports, &mut out),
                Err(error) => {
                    tracing::error!(%error, "a portable import broke off");
                    return (self.stopped(out), None);
                }
            }
        }
        (out, Some(self))
    }

    fn report(&mut self, reports: &[LineReport], out: &mut Vec<u8>) {
        self.told.count(reports);
        self.last_line = reports.last().map_or(self.last_line, |report| report.line);
        reports.iter().for_each(|report| put(out, report));
    }

    async fn finish(mut self) -> (Vec<u8>, Option<Self>) {
        let mut out = Vec::new();
        match self.import.finish(&self.eim).await {
            Ok((reports, summary)) => {
                self.report(&reports, &mut out);
                put(&mut out, &SummaryLine { summary });
                (out, None)
            }
            Err(error) => {
                tracing::error!(%error, "a portable import broke off");
                (self.stopped(out), None)
            }
        }
    }

    /// The summary of an import that broke off.
    fn stopped(mut self, mut out: Vec<u8>) -> Vec<u8> {
        let message = "the server failed, see its log; import the file again for the rest".to_owned();
        self.told.stopped = Some(Stopped { after_line: self.last_line, message });
        put(&mut out, &SummaryLine { summary: self.told });
        out
    }
}
