//! POST /api/v1/pools

use crate::api::request::{idempotency_key, json, to_the_end};
use crate::api::schema::NewPool;
use crate::api::{Api, Caller, Problem};
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::PoolView;

/// Makes an empty pool of activation codes, from which switches and campaigns give each device its own.
#[utoipa::path(
    post, path = "/api/v1/pools", tag = "Pools", operation_id = "createPool",
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has the same answer and no second effect.")),
    request_body = NewPool,
    responses(
        (status = 201, description = "The pool.", body = PoolView, headers(("Location" = String, description = "The pool."))),
        (status = 409, description = "There is a pool of this name, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn create(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let body = json(&request, payload, &api).await?;
    let eim = caller.eim;
    let create = async move { manage::create_pool(body, idempotency_key.as_deref(), &eim).await };
    let pool = to_the_end(create).await?;
    let location = format!("/api/v1/pools/{}", pool.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(pool))
}
