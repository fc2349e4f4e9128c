//! POST /api/v1/imports/operations

use super::stream;
use crate::api::request::idempotency_key;
use crate::api::{Api, Caller, Problem};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::{ImportOf, Importer, LineReport};

/// Queues many operations, one a line, and reports on each line while the rest is still being sent.
///
/// `text/csv` has a header row with the columns `eid` and any of `psmo`, `eco`, `euiccData`, `profileDownload` (JSON, as in the
/// body of one operation), `activationCode`, `confirmationCode` (short for a `profileDownload` with these members), `label`,
/// `notBefore`, `validUntil` and `idempotencyKey`. `application/x-ndjson` has on each line a body as for one operation, with `eid`
/// and, where wanted, `idempotencyKey` beside its members. Otherwise as for the import of eUICCs.
///
/// A line with an `idempotencyKey` is safe to repeat: it is `exists` with the `id` of the operation that was queued before. With
/// the header `Idempotency-Key` every line has a key of its own, made of that one and the number of the line, where it names
/// none; so the same file may be sent again with the same header. Lines of one eUICC are queued in their order.
#[utoipa::path(
    post, path = "/api/v1/imports/operations", tag = "Bulk", operation_id = "importOperations",
    params(("Idempotency-Key" = Option<String>, Header, description = "With it the same file may be sent again: a line that was queued before is `exists`.")),
    request_body(content((String = "text/csv"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "A report on each line (`LineReport`), and a last line with the summary (`SummaryLine`).", content((LineReport = "application/x-ndjson"))),
        (status = 413, description = "The body is announced as too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The media type is neither of the two.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The header row can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn operations(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(&request)?;
    let importer = Importer::new(ImportOf::Operations, &caller.principal, key.as_deref());
    stream::import(ImportOf::Operations, importer, &request, payload, &api, caller.eim).await
}
