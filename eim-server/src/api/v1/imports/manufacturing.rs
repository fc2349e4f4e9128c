//! POST /api/v1/imports/manufacturing

use super::stream;
use crate::api::{Api, Caller, Problem};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::{ImportOf, Importer, LineReport};

/// Registers the eUICCs of a manufacturing file, one a line, and reports on each line while the rest is still being sent.
///
/// Notations, columns and limits are those of the import of eUICCs; `counterValue` and `associationToken` are those that the
/// manufacturer (EUM) wrote into the eUICC, absent for 0 and none. Otherwise than there, certificates whose CI is not trusted
/// here (yet) are kept: nothing is believed by them until they chain to a trusted CI. The EUM must have issued the certificate
/// of the eUICC, and the EID in that must be the EID of the line; otherwise the line fails, and nothing of it is taken.
///
/// Each association is `expected` until the eUICC has answered a package of this eIM; it is asked for its eIMs at its first poll.
#[utoipa::path(
    post, path = "/api/v1/imports/manufacturing", tag = "Bulk", operation_id = "importManufacturing",
    request_body(content((String = "text/csv"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "A report on each line (`LineReport`), and a last line with the summary (`SummaryLine`).", content((LineReport = "application/x-ndjson"))),
        (status = 413, description = "The body is announced as too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The media type is neither of the two.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The header row can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn manufacturing(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let importer = Importer::new(ImportOf::Manufacturing, &caller.principal, None);
    stream::import(ImportOf::Manufacturing, importer, &request, payload, &api, caller.eim).await
}
