//! GET /api/v1/exports/euiccs

use super::{answer, format};
use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::{self, EuiccFilter};

/// All eUICCs that a filter names, in the notation that the import takes.
///
/// Columns or members: EID, label, tags, counter and token as they are now, certificates and result policy. A cell of CSV that
/// a spreadsheet would take for a formula begins with `'`; the import takes that off.
#[utoipa::path(
    get, path = "/api/v1/exports/euiccs", tag = "Bulk", operation_id = "exportEuiccs",
    params(
        ("format" = Option<String>, Query, description = "csv (the default) or ndjson."),
        ("tag" = Option<String>, Query, description = "Only eUICCs with this tag."),
        ("state" = Option<String>, Query, description = "Only eUICCs in this state."),
    ),
    responses(
        (status = 200, description = "Every row. An answer that breaks off is not whole.", content((String = "text/csv"), (String = "application/x-ndjson"))),
        (status = 422, description = "A filter can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn euiccs(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let format = format(&mut parameters)?;
    let filter = EuiccFilter { tag: parameters.text("tag"), state: parameters.text("state"), ..EuiccFilter::default() };
    parameters.finish()?;
    Ok(answer(manage::export_euiccs(filter, format)?, format, "euiccs", caller.eim))
}
