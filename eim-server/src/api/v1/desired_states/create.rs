//! POST /api/v1/desired-states

use crate::api::request::{idempotency_key, json, to_the_end};
use crate::api::schema::NewDesiredState;
use crate::api::{Api, Caller, Problem};
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::desired_state::{self, DesiredStateView};

/// Says what is wanted of the profiles of all devices that a filter matches, now and later.
///
/// Each device is compared with it whenever something about it changes. With `enforce` a device that drifts is brought back
/// through the same guard as any switch. Of several that match a device one counts as a whole: the device's own, or the one with
/// the highest priority, of several the oldest.
#[utoipa::path(
    post, path = "/api/v1/desired-states", tag = "Desired states", operation_id = "createDesiredState",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has the same answer and no second effect."),
    ),
    request_body = NewDesiredState,
    responses(
        (status = 201, description = "Made.", body = DesiredStateView, headers(("Location" = String, description = "The desired state."))),
        (status = 409, description = "There are too many, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken, or the state contradicts itself.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn create(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(&request)?;
    let body = json(&request, payload, &api).await?;
    let (eim, principal) = (caller.eim, caller.principal);
    let create = async move { desired_state::create_desired_state(body, key.as_deref(), &principal, &eim).await };
    let made = to_the_end(create).await?;
    let location = format!("/api/v1/desired-states/{}", made.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(made))
}
