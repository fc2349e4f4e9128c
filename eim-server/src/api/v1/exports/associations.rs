//! GET /api/v1/exports/associations

use super::{answer, format};
use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::{self, EuiccFilter};

/// Every eIM on all eUICCs that a filter names, as far as it is known: for each eUICC this eIM first.
///
/// A line for each eIM on each eUICC, with the members of `GET /euiccs/{eid}/associations` and the EID. A record: no import takes
/// it.
#[utoipa::path(
    get, path = "/api/v1/exports/associations", tag = "Bulk", operation_id = "exportAssociations",
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
pub async fn associations(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let format = format(&mut parameters)?;
    let filter = EuiccFilter { tag: parameters.text("tag"), state: parameters.text("state"), ..EuiccFilter::default() };
    parameters.finish()?;
    Ok(answer(manage::export_associations(filter, format)?, format, "associations", caller.eim))
}
