//! POST /api/v1/operations/{id}/cancel

use crate::api::request::{idempotency_key, to_the_end};
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::OperationView;

/// Takes an operation back that was not delivered yet.
#[utoipa::path(
    post, path = "/api/v1/operations/{id}/cancel", tag = "Operations", operation_id = "cancelOperation",
    params(
        ("id" = String, Path, description = "A UUID."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    responses(
        (status = 200, description = "Cancelled.", body = OperationView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was delivered, has ended, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn cancel(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let eim = caller.eim;
    let cancel = async move { manage::cancel_operation(&id, idempotency_key.as_deref(), &eim).await };
    Ok(HttpResponse::Ok().json(to_the_end(cancel).await?))
}
