//! GET /api/v1/euiccs/{eid}/handover-proof

use crate::api::request::Parameters;
use crate::api::schema::Statement;
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::handover;

/// For the side that takes over: the signed word of this eIM that it commands a device, with a result that the eUICC signed for
/// it. To be given to the side that hands over.
#[utoipa::path(
    get, path = "/api/v1/euiccs/{eid}/handover-proof", tag = "Hand-overs", operation_id = "proveTakenOver",
    params(
        ("eid" = String, Path, description = "The device."),
        ("handover" = String, Query, description = "The hand-over, as the other eIM names it."),
    ),
    responses(
        (status = 200, description = "The statement.", body = Statement),
        (status = 404, description = "The eUICC is not known.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The device has answered no package of this eIM yet.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn proof(request: HttpRequest, eid: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let named = parameters.text("handover").unwrap_or_default();
    parameters.finish()?;
    Ok(HttpResponse::Ok().json(handover::handover_proof(&eid, &named, &caller.eim).await?))
}
