//! POST /api/v1/handovers/{id}/confirm

use crate::api::request::{idempotency_key, json, to_the_end};
use crate::api::schema::HandoverConfirmation;
use crate::api::{Api, Caller, Problem};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::handover::{self, HandoverView};

/// Says on the caller's own word that the other eIM commands devices, where it can give no proof. Recorded with the key.
#[utoipa::path(
    post, path = "/api/v1/handovers/{id}/confirm", tag = "Hand-overs", operation_id = "confirmHandover",
    params(
        ("id" = String, Path, description = "The hand-over."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect."),
    ),
    request_body = HandoverConfirmation,
    responses(
        (status = 200, description = "Noted for all of them.", body = HandoverView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The hand-over does not run, a device does not wait for it, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn confirm(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let body = json(&request, payload, &api).await?;
    let Caller { principal, eim } = caller;
    let confirm =
        async move { handover::confirm_handover(&id, body, idempotency_key.as_deref(), &principal, &eim).await };
    Ok(HttpResponse::Ok().json(to_the_end(confirm).await?))
}
