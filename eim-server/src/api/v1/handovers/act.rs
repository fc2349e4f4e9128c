//! POST /api/v1/handovers/{id}/{verb}

use crate::api::request::{idempotency_key, to_the_end};
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::handover::{self, HandoverVerb, HandoverView};

async fn act(
    verb: HandoverVerb,
    request: HttpRequest,
    id: Path<String>,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let Caller { principal, eim } = caller;
    let act = async move { handover::act_on_handover(&id, verb, idempotency_key.as_deref(), &principal, &eim).await };
    Ok(HttpResponse::Ok().json(to_the_end(act).await?))
}

/// Begins nothing more until it is resumed. What was begun goes on, and proofs are taken meanwhile.
#[utoipa::path(
    post, path = "/api/v1/handovers/{id}/pause", tag = "Hand-overs", operation_id = "pauseHandover",
    params(
        ("id" = String, Path, description = "The hand-over."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    responses(
        (status = 200, description = "The hand-over as it is now.", body = HandoverView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It does not run, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn pause(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    act(HandoverVerb::Pause, request, id, caller).await
}

/// Goes on with a hand-over that was paused.
#[utoipa::path(
    post, path = "/api/v1/handovers/{id}/resume", tag = "Hand-overs", operation_id = "resumeHandover",
    params(
        ("id" = String, Path, description = "The hand-over."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    responses(
        (status = 200, description = "The hand-over as it is now.", body = HandoverView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is not paused, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn resume(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    act(HandoverVerb::Resume, request, id, caller).await
}

/// Tries the devices again that failed before the point of no return (`mayBeRetried`). A hand-over that had ended runs again.
///
/// Those to which the other eIM could not be added, or on which it was found gone, begin anew with another token; those of which
/// deleteEim was not delivered have it queued again. A device that answered associatedEimAlreadyExists answers so again until the
/// other eIM is deleted from it.
#[utoipa::path(
    post, path = "/api/v1/handovers/{id}/retryFailed", tag = "Hand-overs", operation_id = "retryFailedOfHandover",
    params(
        ("id" = String, Path, description = "The hand-over."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    responses(
        (status = 200, description = "The hand-over with its totals.", body = HandoverView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was called off, no device may be tried again, one is in another hand-over, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn retry_failed(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let eim = caller.eim;
    let retry = async move { handover::retry_handover(&id, idempotency_key.as_deref(), &eim).await };
    Ok(HttpResponse::Ok().json(to_the_end(retry).await?))
}
