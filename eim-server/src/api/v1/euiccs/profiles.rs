//! GET /api/v1/euiccs/{eid}/profiles

use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage;
use eim_core::manage::views::ProfilesView;

/// The profiles of an eUICC as last reported.
#[utoipa::path(
    get, path = "/api/v1/euiccs/{eid}/profiles", tag = "eUICCs", operation_id = "listProfiles",
    params(("eid" = String, Path, description = "32 digits.")),
    responses(
        (status = 200, description = "The profiles.", body = ProfilesView),
        (status = 404, description = "It is not registered.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn profiles(eid: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(manage::profiles(&eid, &caller.eim).await?))
}
