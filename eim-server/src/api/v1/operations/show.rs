//! GET /api/v1/operations/{id}

use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage;
use eim_core::manage::views::OperationView;

/// One operation.
#[utoipa::path(
    get, path = "/api/v1/operations/{id}", tag = "Operations", operation_id = "showOperation",
    params(("id" = String, Path, description = "A UUID.")),
    responses(
        (status = 200, description = "The operation.", body = OperationView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn show(id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(manage::operation(&id, &caller.eim).await?))
}
