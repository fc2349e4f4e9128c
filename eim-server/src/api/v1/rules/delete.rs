//! DELETE /api/v1/rules/{id}

use crate::api::request::to_the_end;
use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage::rule;

/// Removes a rule with the log of its firings. What it has asked devices for already goes on.
#[utoipa::path(
    delete, path = "/api/v1/rules/{id}", tag = "Rules", operation_id = "deleteRule",
    params(("id" = String, Path, description = "A UUID.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn delete(id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let Caller { principal, eim } = caller;
    to_the_end(async move { rule::delete_rule(&id, &principal, &eim).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}
