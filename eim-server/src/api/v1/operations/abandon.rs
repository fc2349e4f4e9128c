//! POST /api/v1/operations/{id}/abandon

use crate::api::request::to_the_end;
use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage;
use eim_core::manage::views::OperationView;

/// Gives up waiting for the result of an operation that was delivered, and makes way for the next one.
///
/// The device may have executed it all the same: the profile list is asked for before anything else is sent.
#[utoipa::path(
    post, path = "/api/v1/operations/{id}/abandon", tag = "Operations", operation_id = "abandonOperation",
    params(("id" = String, Path, description = "A UUID.")),
    responses(
        (status = 200, description = "Abandoned.", body = OperationView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was not delivered, or has ended.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn abandon(id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let eim = caller.eim;
    Ok(HttpResponse::Ok().json(to_the_end(async move { manage::abandon_operation(&id, &eim).await }).await?))
}
