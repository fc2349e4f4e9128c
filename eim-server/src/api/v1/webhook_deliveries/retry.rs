//! POST /api/v1/webhook-deliveries/{id}/retry

use crate::api::request::{idempotency_key, to_the_end};
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::webhook::{self, WebhookDeliveryView};

/// Sends a dead letter once more.
#[utoipa::path(
    post, path = "/api/v1/webhook-deliveries/{id}/retry", tag = "Webhooks", operation_id = "retryWebhookDelivery",
    params(
        ("id" = String, Path, description = "A UUID."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has the same answer and no second effect."),
    ),
    responses(
        (status = 202, description = "Accepted.", body = WebhookDeliveryView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is no dead letter.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn retry(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(&request)?;
    let eim = caller.eim.clone();
    let begun = to_the_end(async move { webhook::retry_delivery(&id, key.as_deref(), &eim).await }).await?;
    Ok(HttpResponse::Accepted().json(begun))
}
