//! POST /api/v1/webhooks/{id}/test

use crate::api::request::{idempotency_key, to_the_end};
use crate::api::{Caller, Problem};
use actix_web::http::header;
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::webhook::{self, WebhookDeliveryView};

/// Sends a webhook an event of the type `eim.webhookTest`, once, also when it is disabled. The delivery shows what becomes
/// of it.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/test", tag = "Webhooks", operation_id = "testWebhook",
    params(
        ("id" = String, Path, description = "A UUID."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has the same answer and no second effect."),
    ),
    responses(
        (status = 202, description = "Accepted.", body = WebhookDeliveryView, headers(("Location" = String, description = "The delivery."))),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn test(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(&request)?;
    let eim = caller.eim.clone();
    let begun = to_the_end(async move { webhook::test_webhook(&id, key.as_deref(), &eim).await }).await?;
    let location = format!("/api/v1/webhook-deliveries/{}", begun.id);
    Ok(HttpResponse::Accepted().insert_header((header::LOCATION, location)).json(begun))
}
