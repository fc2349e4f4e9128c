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
        ("signingKey" = Option<String>, Query, description = "The id of the key that signs: the one that the other eIM was told (`signingKey` of the hand-over there), where the device's was rotated since. The one that the device trusts when nobody says."),
    ),
    responses(
        (status = 200, description = "The statement.", body = Statement),
        (status = 404, description = "The eUICC is not known.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The device has answered no package of this eIM yet.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The key is not loaded, or not one of this eIM.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn proof(request: HttpRequest, eid: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let named = parameters.text("handover").unwrap_or_default();
    let signing_key = parameters.text("signingKey");
    parameters.finish()?;
    Ok(HttpResponse::Ok().json(handover::handover_proof(&eid, &named, signing_key.as_deref(), &caller.eim).await?))
}
