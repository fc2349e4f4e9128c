//! GET /api/v1/desired-states/{id}

use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage::desired_state::{self, DesiredStateView};

/// One desired state, with how many devices stand how.
#[utoipa::path(
    get, path = "/api/v1/desired-states/{id}", tag = "Desired states", operation_id = "showDesiredState",
    params(("id" = String, Path, description = "A UUID.")),
    responses(
        (status = 200, description = "The desired state.", body = DesiredStateView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn show(id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(desired_state::desired_state(&id, &caller.eim).await?))
}
