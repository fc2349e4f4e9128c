//! POST /api/v1/profile-owners/{id}/withdraw

use crate::api::request::{Parameters, idempotency_key, to_the_end};
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::ProfileOwnerView;

/// Makes what a tenant says it owns count no more, until it is confirmed again: other tenants need no grant. For the tenant itself,
/// and for whoever runs the server.
#[utoipa::path(
    post, path = "/api/v1/profile-owners/{id}/withdraw", tag = "Authority", operation_id = "withdrawProfileOwner",
    params(
        ("id" = String, Path, description = "The id."),
        ("tenant" = Option<String>, Query, description = "Of this tenant; for whoever runs the server."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    responses(
        (status = 200, description = "As it is now.", body = ProfileOwnerView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn withdraw(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let mut parameters = Parameters::of(&request)?;
    let tenant = parameters.text("tenant");
    parameters.finish()?;
    let eim = caller.acting_for(tenant.as_deref()).await?;
    let principal = caller.principal;
    let withdraw =
        async move { manage::withdraw_profile_owner(&id, idempotency_key.as_deref(), &principal, &eim).await };
    Ok(HttpResponse::Ok().json(to_the_end(withdraw).await?))
}
