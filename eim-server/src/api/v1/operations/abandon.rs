//! POST /api/v1/operations/{id}/abandon

use crate::api::request::{idempotency_key, to_the_end};
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::OperationView;

/// Gives up waiting for the result of an operation that was delivered, and makes way for the next one.
///
/// The device may have executed it all the same: the profile list is asked for before anything else is sent.
#[utoipa::path(
    post, path = "/api/v1/operations/{id}/abandon", tag = "Operations", operation_id = "abandonOperation",
    params(
        ("id" = String, Path, description = "A UUID."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    responses(
        (status = 200, description = "Abandoned.", body = OperationView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was not delivered, has ended, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn abandon(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let eim = caller.eim;
    let abandon = async move { manage::abandon_operation(&id, idempotency_key.as_deref(), &eim).await };
    Ok(HttpResponse::Ok().json(to_the_end(abandon).await?))
}
