//! POST /api/v1/grants/{id}/revoke

use crate::api::request::{Parameters, idempotency_key, to_the_end};
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::GrantView;

/// Takes back a grant that the tenant gave.
#[utoipa::path(
    post, path = "/api/v1/grants/{id}/revoke", tag = "Authority", operation_id = "revokeGrant",
    params(
        ("id" = String, Path, description = "The id."),
        ("tenant" = Option<String>, Query, description = "Of this tenant; for whoever runs the server."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    responses(
        (status = 200, description = "As it is now.", body = GrantView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn revoke(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let mut parameters = Parameters::of(&request)?;
    let tenant = parameters.text("tenant");
    parameters.finish()?;
    let eim = caller.acting_for(tenant.as_deref()).await?;
    let revoke = async move { manage::revoke_grant(&id, idempotency_key.as_deref(), &eim).await };
    Ok(HttpResponse::Ok().json(to_the_end(revoke).await?))
}
