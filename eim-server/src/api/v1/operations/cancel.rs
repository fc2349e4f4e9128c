//! POST /api/v1/operations/{id}/cancel

use crate::api::request::to_the_end;
use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage;
use eim_core::manage::views::OperationView;

/// Takes an operation back that was not delivered yet.
#[utoipa::path(
    post, path = "/api/v1/operations/{id}/cancel", tag = "Operations", operation_id = "cancelOperation",
    params(("id" = String, Path, description = "A UUID.")),
    responses(
        (status = 200, description = "Cancelled.", body = OperationView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was delivered, or has ended.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn cancel(id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let eim = caller.eim;
    Ok(HttpResponse::Ok().json(to_the_end(async move { manage::cancel_operation(&id, &eim).await }).await?))
}
