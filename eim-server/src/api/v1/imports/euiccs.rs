//! POST /api/v1/imports/euiccs

use super::stream;
use crate::api::{Api, Caller, Problem};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::{ImportOf, Importer, LineReport};

/// Registers many eUICCs, one a line, and reports on each line while the rest is still being sent.
///
/// `text/csv` (RFC 4180, UTF-8, separated by commas) has a header row with the columns `eid` and any of `label`, `tags`
/// (separated by `;`), `counterValue`, `associationToken`, `euiccCertificate`, `eumCertificate`, `resultPolicy`, `eimId` and `signingKey`; an empty cell
/// says nothing. `application/x-ndjson` has on each line a body as for registering one. A line has at most 64 KiB, the whole
/// `limits.import_bytes`.
///
/// The answer has one object a line, in order, and a summary as the last. Each line is carried out or not, whatever becomes of
/// the others. An eUICC that is registered with the same values is `exists`, so an import may be repeated; values that the line
/// leaves out are not compared, nor is a counter that has grown since. In a cell, a `'` before `=`, `+`, `-`, `@`, a tab or a
/// carriage return is taken off: exports put it there so that a spreadsheet takes no cell for a formula.
///
/// Read the answer while you send: the server takes no more lines than it can report on. A summary with `stopped`, or none
/// at all, means that the import broke off; repeat it.
#[utoipa::path(
    post, path = "/api/v1/imports/euiccs", tag = "Bulk", operation_id = "importEuiccs",
    request_body(content((String = "text/csv"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "A report on each line (`LineReport`), and a last line with the summary (`SummaryLine`).", content((LineReport = "application/x-ndjson"))),
        (status = 413, description = "The body is announced as too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The media type is neither of the two.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The header row can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn euiccs(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let importer = Importer::new(ImportOf::Euiccs, &caller.principal, None);
    stream::import(ImportOf::Euiccs, importer, &request, payload, &api, caller.eim).await
}
