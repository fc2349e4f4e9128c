//! POST /api/v1/webhooks

use crate::api::request::{idempotency_key, json, to_the_end};
use crate::api::schema::WebhookSettings;
use crate::api::{Api, Caller, Problem};
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::webhook::{self, WebhookView};

/// Makes a webhook. It is sent each event that happens from then on, one after the other, at least once.
///
/// The answer has the secret that signs deliveries as Standard Webhooks has it: HMAC-SHA256 of
/// `webhook-id.webhook-timestamp.body` in `webhook-signature`. What is not taken with a 2xx is sent again, for three days.
#[utoipa::path(
    post, path = "/api/v1/webhooks", tag = "Webhooks", operation_id = "createWebhook",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has the same answer and no second effect."),
    ),
    request_body = WebhookSettings,
    responses(
        (status = 201, description = "Made. The answer with the secret; only a repeat with the same Idempotency-Key shows it once more.", body = WebhookView, headers(("Location" = String, description = "The webhook."))),
        (status = 409, description = "There are too many, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn create(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let body = json(&request, payload, &api).await?;
    let eim = caller.eim.clone();
    let made = to_the_end(async move { webhook::create_webhook(body, idempotency_key.as_deref(), &eim).await }).await?;
    let location = format!("/api/v1/webhooks/{}", made.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(made))
}
