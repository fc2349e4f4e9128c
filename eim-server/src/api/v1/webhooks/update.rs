//! PATCH /api/v1/webhooks/{id}

use crate::api::request::{json, to_the_end};
use crate::api::schema::WebhookSettings;
use crate::api::{Api, Caller, Problem};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::webhook::{self, WebhookView};

/// Changes a webhook with a JSON merge patch (RFC 7396), and tries it at once if it waits.
///
/// What happened while it was disabled is sent when it is enabled again.
#[utoipa::path(
    patch, path = "/api/v1/webhooks/{id}", tag = "Webhooks", operation_id = "updateWebhook",
    params(("id" = String, Path, description = "A UUID.")),
    request_body(content = WebhookSettings, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "The webhook as it is now.", body = WebhookView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn update(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = json(&request, payload, &api).await?;
    let eim = caller.eim.clone();
    Ok(HttpResponse::Ok().json(to_the_end(async move { webhook::update_webhook(&id, body, &eim).await }).await?))
}
