//! POST /api/v1/handovers/{id}/proofs

use crate::api::request::{idempotency_key, json, to_the_end};
use crate::api::schema::HandoverProofs;
use crate::api::{Api, Caller, Problem};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::handover::{self, HandoverView};

/// Takes proofs of the other side, all or none. A proof counts when it is signed with the key in the other eIM's configuration
/// and holds a result that the eUICC signed for that eIM with the token that it was given here.
#[utoipa::path(
    post, path = "/api/v1/handovers/{id}/proofs", tag = "Hand-overs", operation_id = "proveHandover",
    params(
        ("id" = String, Path, description = "The hand-over."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect."),
    ),
    request_body = HandoverProofs,
    responses(
        (status = 200, description = "All of them were taken.", body = HandoverView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The hand-over does not run, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "One of them proves nothing; none was taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn prove(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let body = json(&request, payload, &api).await?;
    let eim = caller.eim;
    let prove = async move { handover::prove_handover(&id, body, idempotency_key.as_deref(), &eim).await };
    Ok(HttpResponse::Ok().json(to_the_end(prove).await?))
}
