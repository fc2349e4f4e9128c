//! GET /api/v1/exports/operations

use super::{answer, format};
use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::{self, OperationFilter};

/// All operations that a filter names, and what became of them.
///
/// NDJSON has the members of an operation as it is shown, CSV its main ones in columns, with `request` and `results` as JSON.
/// This is a record and no import: activation codes and confirmation codes are never shown.
#[utoipa::path(
    get, path = "/api/v1/exports/operations", tag = "Bulk", operation_id = "exportOperations",
    params(
        ("format" = Option<String>, Query, description = "csv (the default) or ndjson."),
        ("eid" = Option<String>, Query, description = "Only operations for this eUICC."),
        ("state" = Option<String>, Query, description = "Only operations in this state."),
    ),
    responses(
        (status = 200, description = "Every row. An answer that breaks off is not whole.", content((String = "text/csv"), (String = "application/x-ndjson"))),
        (status = 422, description = "A filter can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn operations(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let format = format(&mut parameters)?;
    let filter =
        OperationFilter { eid: parameters.text("eid"), state: parameters.text("state"), ..OperationFilter::default() };
    parameters.finish()?;
    Ok(answer(manage::export_operations(filter, format)?, format, "operations", caller.eim))
}
