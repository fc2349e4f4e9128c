//! POST /api/v1/key-rotations

use crate::api::request::{idempotency_key, json, to_the_end};
use crate::api::schema::NewKeyRotation;
use crate::api::{Api, Caller, Problem};
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::key_rotation::{self, KeyRotationView};

/// Begins to give devices another signing key, one after the other, each signed with the key that it trusts now.
///
/// The counter begins anew with the key. A device counts as rotated when its eUICC has said so in a signed answer; until then the old key
/// counts. One rotation at a time. Devices that nobody can give a key, as those that are `unmanaged`, are left out and named in
/// `notReachable`.
#[utoipa::path(
    post, path = "/api/v1/key-rotations", tag = "Signing keys", operation_id = "createKeyRotation",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has the same answer and no second effect."),
    ),
    request_body = NewKeyRotation,
    responses(
        (status = 201, description = "Begun.", body = KeyRotationView, headers(("Location" = String, description = "The rotation."))),
        (status = 409, description = "A rotation is under way, the key does not sign, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken, or no device matches the filter; nothing was begun.", body = Problem, content_type = "application/problem+json"),
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
    let Caller { principal, eim } = caller;
    let create =
        async move { key_rotation::create_key_rotation(body, idempotency_key.as_deref(), &principal, &eim).await };
    let made = to_the_end(create).await?;
    let location = format!("/api/v1/key-rotations/{}", made.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(made))
}
