//! GET /api/v1/pools/{id}

use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage;
use eim_core::manage::views::PoolView;

/// One pool.
#[utoipa::path(
    get, path = "/api/v1/pools/{id}", tag = "Pools", operation_id = "showPool",
    params(("id" = String, Path, description = "The pool, by its id or its name.")),
    responses(
        (status = 200, description = "The pool.", body = PoolView),
        (status = 404, description = "There is no such pool.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn show(id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(manage::pool(&id, &caller.eim).await?))
}
