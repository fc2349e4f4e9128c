//! GET /api/v1/webhooks/{id}

use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage::webhook::{self, WebhookView};

/// One webhook, without its secret.
#[utoipa::path(
    get, path = "/api/v1/webhooks/{id}", tag = "Webhooks", operation_id = "showWebhook",
    params(("id" = String, Path, description = "A UUID.")),
    responses(
        (status = 200, description = "The webhook.", body = WebhookView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn show(id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(webhook::webhook(&id, &caller.eim).await?))
}
