//! POST /api/v1/key-rotations/{id}/{verb}

use crate::api::request::{idempotency_key, to_the_end};
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::key_rotation::{self, KeyRotationView};

async fn act(
    verb: &'static str,
    request: HttpRequest,
    id: Path<String>,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let Caller { principal, eim } = caller;
    let act =
        async move { key_rotation::act_on_key_rotation(&id, verb, idempotency_key.as_deref(), &principal, &eim).await };
    Ok(HttpResponse::Ok().json(to_the_end(act).await?))
}

/// Begins no more devices until it is resumed. What was asked for already goes on.
#[utoipa::path(
    post, path = "/api/v1/key-rotations/{id}/pause", tag = "Signing keys", operation_id = "pauseKeyRotation",
    params(
        ("id" = String, Path, description = "The rotation."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    responses(
        (status = 200, description = "The rotation as it is now.", body = KeyRotationView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its state does not allow it, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn pause(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    act("pause", request, id, caller).await
}

/// Goes on with a rotation that was paused.
#[utoipa::path(
    post, path = "/api/v1/key-rotations/{id}/resume", tag = "Signing keys", operation_id = "resumeKeyRotation",
    params(
        ("id" = String, Path, description = "The rotation."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    responses(
        (status = 200, description = "The rotation as it is now.", body = KeyRotationView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its state does not allow it, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn resume(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    act("resume", request, id, caller).await
}

/// Withdraws what was not delivered to devices. Those to which it was are waited for, since it can't be called back.
#[utoipa::path(
    post, path = "/api/v1/key-rotations/{id}/cancel", tag = "Signing keys", operation_id = "cancelKeyRotation",
    params(
        ("id" = String, Path, description = "The rotation."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    responses(
        (status = 200, description = "The rotation as it is now.", body = KeyRotationView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its state does not allow it, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn cancel(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    act("cancel", request, id, caller).await
}

/// Ends a rotation without waiting any longer. What was not delivered is withdrawn; devices to which it was, and that have not answered,
/// are named as `notReachable` with the reason. They do not count as rotated, and their key is found out about all the same. The next
/// rotation can begin.
#[utoipa::path(
    post, path = "/api/v1/key-rotations/{id}/close", tag = "Signing keys", operation_id = "closeKeyRotation",
    params(
        ("id" = String, Path, description = "The rotation."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    responses(
        (status = 200, description = "The rotation as it is now.", body = KeyRotationView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its state does not allow it, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn close(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    act("close", request, id, caller).await
}
