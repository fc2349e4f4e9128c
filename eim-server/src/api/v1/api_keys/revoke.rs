//! POST /api/v1/api-keys/{id}/revoke

use crate::api::request::{Parameters, to_the_end};
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::ApiKeyView;

/// Ends a key at once.
#[utoipa::path(
    post, path = "/api/v1/api-keys/{id}/revoke", tag = "API keys", operation_id = "revokeApiKey",
    params(
        ("id" = String, Path, description = "The id."),
        ("tenant" = Option<String>, Query, description = "Of this tenant; for whoever runs the server."),
    ),
    responses(
        (status = 200, description = "As it is now.", body = ApiKeyView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn revoke(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let tenant = parameters.text("tenant");
    parameters.finish()?;
    let eim = caller.acting_for(tenant.as_deref()).await?;
    Ok(HttpResponse::Ok().json(to_the_end(async move { manage::revoke_api_key(&id, &eim).await }).await?))
}
