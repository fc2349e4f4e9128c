//! PATCH /api/v1/desired-states/{id}

use crate::api::request::{json, to_the_end};
use crate::api::schema::NewDesiredState;
use crate::api::{Api, Caller, Problem};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::desired_state::{self, DesiredStateView};

/// Changes a desired state with a JSON merge patch (RFC 7396); `obtain` is not merged, it takes the place of the one before.
///
/// All its devices are looked at, and attempts are counted anew: also those that were given up are tried again.
#[utoipa::path(
    patch, path = "/api/v1/desired-states/{id}", tag = "Desired states", operation_id = "updateDesiredState",
    params(("id" = String, Path, description = "A UUID.")),
    request_body(content = NewDesiredState, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "The desired state as it is now.", body = DesiredStateView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken, or the state contradicts itself.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn update(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = json(&request, payload, &api).await?;
    let (eim, principal) = (caller.eim, caller.principal);
    let update = async move { desired_state::update_desired_state(&id, body, &principal, &eim).await };
    Ok(HttpResponse::Ok().json(to_the_end(update).await?))
}
