//! POST /api/v1/webhooks/{id}/replay

use crate::api::request::{idempotency_key, json, to_the_end};
use crate::api::schema::NewReplay;
use crate::api::{Api, Caller, Problem};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::webhook::{self, WebhookView};

/// Sends a webhook the events of a time once more, in the order of time, behind those that wait.
///
/// They have the same ids as before. `replay` of the webhook is there until all are sent.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/replay", tag = "Webhooks", operation_id = "replayWebhook",
    params(
        ("id" = String, Path, description = "A UUID."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has the same answer and no second effect."),
    ),
    request_body = NewReplay,
    responses(
        (status = 202, description = "Accepted.", body = WebhookView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another replay is under way.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn replay(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(&request)?;
    let body = json(&request, payload, &api).await?;
    let eim = caller.eim.clone();
    let begun = to_the_end(async move { webhook::replay_webhook(&id, body, key.as_deref(), &eim).await }).await?;
    Ok(HttpResponse::Accepted().json(begun))
}
