//! GET /api/v1/handovers/{id}

use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage::handover::{self, HandoverView};

/// A hand-over, with how many devices are in each state.
#[utoipa::path(
    get, path = "/api/v1/handovers/{id}", tag = "Hand-overs", operation_id = "showHandover",
    params(("id" = String, Path, description = "The hand-over.")),
    responses(
        (status = 200, description = "The hand-over.", body = HandoverView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn show(id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(handover::handover(&id, &caller.eim).await?))
}
