//! POST /api/v1/webhooks/{id}/rotate-secret

use crate::api::request::{idempotency_key, json_or_nothing, to_the_end};
use crate::api::schema::SecretRotation;
use crate::api::{Api, Caller, Problem};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::webhook::{self, WebhookView};

/// Gives a webhook another secret. Until `overlapSeconds` are over, deliveries carry the signatures of both.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/rotate-secret", tag = "Webhooks", operation_id = "rotateWebhookSecret",
    params(
        ("id" = String, Path, description = "A UUID."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has the same answer and no second effect."),
    ),
    request_body = Option<SecretRotation>,
    responses(
        (status = 200, description = "The webhook with its new secret.", body = WebhookView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn rotate_secret(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(&request)?;
    let body = json_or_nothing(&request, payload, &api).await?;
    let eim = caller.eim.clone();
    let rotated = to_the_end(async move { webhook::rotate_webhook(&id, body, key.as_deref(), &eim).await }).await?;
    Ok(HttpResponse::Ok().json(rotated))
}
