//! POST /api/v1/handovers

use crate::api::request::{idempotency_key, json, to_the_end};
use crate::api::schema::NewHandover;
use crate::api::{Api, Caller, Problem};
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::handover::{self, HandoverView};

/// Hands devices over to another eIM: adds it to each device with a token that the eUICC allocates, waits for the proof that it
/// commands the device, and with `deleteOwn: afterProof` deletes this eIM from the device then.
///
/// This eIM is never deleted before the proof. The point of no return of a device is the delivery of deleteEim; until then the
/// hand-over can be cancelled.
#[utoipa::path(
    post, path = "/api/v1/handovers", tag = "Hand-overs", operation_id = "createHandover",
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has the same answer and no second effect.")),
    request_body = NewHandover,
    responses(
        (status = 201, description = "Begun.", body = HandoverView, headers(("Location" = String, description = "The hand-over."))),
        (status = 409, description = "A device is in another hand-over, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken; nothing was begun.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn create(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let body = json(&request, payload, &api).await?;
    let eim = caller.eim;
    let create = async move { handover::create_handover(body, idempotency_key.as_deref(), &eim).await };
    let made = to_the_end(create).await?;
    let location = format!("/api/v1/handovers/{}", made.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(made))
}
