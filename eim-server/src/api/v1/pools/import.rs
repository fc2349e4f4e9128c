//! POST /api/v1/pools/{id}/codes

use crate::api::request::{idempotency_key, json, to_the_end};
use crate::api::schema::NewCodes;
use crate::api::{Api, Caller, Problem};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::CodesImported;

/// Puts activation codes into a pool: all of them, or none when one can't be taken. Codes that are known already are left as
/// they are, so a repeated request does no harm.
#[utoipa::path(
    post, path = "/api/v1/pools/{id}/codes", tag = "Pools", operation_id = "importPoolCodes",
    params(
        ("id" = String, Path, description = "The pool, by its id or its name."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has the same answer and no second effect."),
    ),
    request_body = NewCodes,
    responses(
        (status = 200, description = "How many were new.", body = CodesImported),
        (status = 404, description = "There is no such pool.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A code can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn import(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let body = json(&request, payload, &api).await?;
    let eim = caller.eim;
    let import = async move { manage::import_codes(&id, body, idempotency_key.as_deref(), &eim).await };
    let imported = to_the_end(import).await?;
    Ok(HttpResponse::Ok().json(imported))
}
