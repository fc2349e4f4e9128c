//! GET /api/v1/operations/{id}

use crate::api::{Api, Problem};
use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
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
pub async fn show(id: Path<String>, api: Data<Api>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(manage::operation(&id, &api.eim).await?))
}
