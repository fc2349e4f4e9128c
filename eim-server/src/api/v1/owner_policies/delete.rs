//! DELETE /api/v1/owner-policies/{id}

use crate::api::request::to_the_end;
use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage;

/// Takes a policy away.
#[utoipa::path(
    delete, path = "/api/v1/owner-policies/{id}", tag = "Owner policies", operation_id = "deleteOwnerPolicy",
    params(("id" = String, Path, description = "The policy.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn delete(id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let eim = caller.eim;
    to_the_end(async move { manage::delete_owner_policy(&id, &eim).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}
