//! POST /api/v1/api-keys/{id}/rotate

use crate::api::request::{Parameters, idempotency_key, json, to_the_end};
use crate::api::schema::KeyRotation;
use crate::api::{Api, Caller, Problem};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::ApiKeyView;

/// Gives a key another secret, which is in the first answer alone. The secret before it stays valid for `overlapSeconds`, a day
/// unless said. A second rotation ends the secret before the last one at once.
#[utoipa::path(
    post, path = "/api/v1/api-keys/{id}/rotate", tag = "API keys", operation_id = "rotateApiKey",
    params(
        ("id" = String, Path, description = "The id."),
        ("tenant" = Option<String>, Query, description = "Of this tenant; for whoever runs the server."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect."),
    ),
    request_body = KeyRotation,
    responses(
        (status = 200, description = "As it is now, with the key.", body = ApiKeyView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was revoked or has expired.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn rotate(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let mut parameters = Parameters::of(&request)?;
    let tenant = parameters.text("tenant");
    parameters.finish()?;
    let eim = caller.acting_for(tenant.as_deref()).await?;
    let body = json(&request, payload, &api).await?;
    let principal = caller.principal;
    let rotate = async move { manage::rotate_api_key(&id, body, idempotency_key.as_deref(), &principal, &eim).await };
    Ok(HttpResponse::Ok().json(to_the_end(rotate).await?))
}
