//! DELETE /api/v1/webhooks/{id}

use crate::api::request::to_the_end;
use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage::webhook;

/// Removes a webhook, with its dead letters.
#[utoipa::path(
    delete, path = "/api/v1/webhooks/{id}", tag = "Webhooks", operation_id = "deleteWebhook",
    params(("id" = String, Path, description = "A UUID.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn delete(id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let eim = caller.eim.clone();
    to_the_end(async move { webhook::delete_webhook(&id, &eim).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}
