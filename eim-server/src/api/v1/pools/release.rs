//! POST /api/v1/pools/{id}/codes/{code}/release

use crate::api::request::{idempotency_key, to_the_end};
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::PoolView;

/// Puts a spent code back into its pool, after somebody found out that the SM-DP+ still has the profile for it.
#[utoipa::path(
    post, path = "/api/v1/pools/{id}/codes/{code}/release", tag = "Pools", operation_id = "releasePoolCode",
    params(
        ("id" = String, Path, description = "The pool, by its id or its name."),
        ("code" = String, Path, description = "The code, by its id."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    responses(
        (status = 200, description = "The pool.", body = PoolView),
        (status = 404, description = "There is no such pool.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There is no spent code of this id, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn release(
    request: HttpRequest,
    path: Path<(String, String)>,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let (pool, code) = path.into_inner();
    let eim = caller.eim;
    let release = async move { manage::release_code(&pool, &code, idempotency_key.as_deref(), &eim).await };
    Ok(HttpResponse::Ok().json(to_the_end(release).await?))
}
