//! DELETE /api/v1/desired-states/{id}

use crate::api::request::to_the_end;
use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage::desired_state;

/// Removes a desired state. Devices stay as they are; a correction of which nothing was delivered is withdrawn.
#[utoipa::path(
    delete, path = "/api/v1/desired-states/{id}", tag = "Desired states", operation_id = "deleteDesiredState",
    params(("id" = String, Path, description = "A UUID.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn delete(id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let (eim, principal) = (caller.eim, caller.principal);
    to_the_end(async move { desired_state::delete_desired_state(&id, &principal, &eim).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}
