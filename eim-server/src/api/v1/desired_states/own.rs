//! /api/v1/euiccs/{eid}/desired-state

use crate::api::request::{json, to_the_end};
use crate::api::schema::OwnDesiredState;
use crate::api::{Api, Caller, Problem};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::desired_state::{self, DesiredStateView, DeviceDesiredStateView};

/// What is desired of a device: which states are for it, which one counts, and each difference in words.
#[utoipa::path(
    get, path = "/api/v1/euiccs/{eid}/desired-state", tag = "Desired states", operation_id = "showDeviceDesiredState",
    params(("eid" = String, Path, description = "32 digits.")),
    responses(
        (status = 200, description = "How the device stands now.", body = DeviceDesiredStateView),
        (status = 404, description = "The eUICC is not registered.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn show(eid: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(desired_state::desired_state_of(&eid, &caller.eim).await?))
}

/// Gives a device a desired state of its own, in place of the one before. It counts before any with a filter.
///
/// The same once more changes nothing.
#[utoipa::path(
    put, path = "/api/v1/euiccs/{eid}/desired-state", tag = "Desired states", operation_id = "putDeviceDesiredState",
    params(("eid" = String, Path, description = "32 digits.")),
    request_body = OwnDesiredState,
    responses(
        (status = 200, description = "The desired state as it is now.", body = DesiredStateView),
        (status = 201, description = "Made.", body = DesiredStateView),
        (status = 404, description = "The eUICC is not registered.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken, or the state contradicts itself.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn put(
    request: HttpRequest,
    eid: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = json(&request, payload, &api).await?;
    let (eim, principal) = (caller.eim, caller.principal);
    let put = async move { desired_state::put_own_desired_state(&eid, body, &principal, &eim).await };
    let (state, made) = to_the_end(put).await?;
    let mut answer = if made { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(state))
}

/// Removes the desired state of a device's own. One with a filter counts again, where there is one.
#[utoipa::path(
    delete, path = "/api/v1/euiccs/{eid}/desired-state", tag = "Desired states", operation_id = "deleteDeviceDesiredState",
    params(("eid" = String, Path, description = "32 digits.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn delete(eid: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let (eim, principal) = (caller.eim, caller.principal);
    to_the_end(async move { desired_state::delete_own_desired_state(&eid, &principal, &eim).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}
