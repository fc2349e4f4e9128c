//! POST /api/v1/handovers/{id}/cancel

use crate::api::request::{idempotency_key, to_the_end};
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::handover::{self, HandoverView};

/// Calls a hand-over off: nothing more is begun, and what was not delivered is withdrawn.
///
/// The point of no return of a device is the delivery of deleteEim of this eIM; a device behind it goes on to its end. Where the
/// other eIM was added it stays: delete it with deleteEim if it should not.
#[utoipa::path(
    post, path = "/api/v1/handovers/{id}/cancel", tag = "Hand-overs", operation_id = "cancelHandover",
    params(
        ("id" = String, Path, description = "The hand-over."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect."),
    ),
    responses(
        (status = 200, description = "The hand-over.", body = HandoverView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has ended, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn cancel(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let eim = caller.eim;
    let cancel = async move { handover::cancel_handover(&id, idempotency_key.as_deref(), &eim).await };
    Ok(HttpResponse::Ok().json(to_the_end(cancel).await?))
}
