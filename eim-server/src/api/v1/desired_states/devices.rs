//! GET /api/v1/desired-states/{id}/devices

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::desired_state::{self, DriftQuery, DriftView};
use eim_core::manage::views::Page;

/// The devices for which a desired state counts by EID, page by page: how each stands, and what is done about it.
#[utoipa::path(
    get, path = "/api/v1/desired-states/{id}/devices", tag = "Desired states", operation_id = "listDesiredStateDevices",
    params(
        ("id" = String, Path, description = "A UUID."),
        ("drift" = Option<String>, Query, description = "Only devices that stand so: inLine, drifting, unknown."),
        ("correcting" = Option<String>, Query, description = "Only devices about which this is done: none, correcting, waiting, refused, givenUp."),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses(
        (status = 200, description = "One page.", body = Page<DriftView>),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn devices(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let query = DriftQuery {
        drift: parameters.text("drift"),
        correcting: parameters.text("correcting"),
        cursor: parameters.text("cursor"),
        limit: parameters.limit()?,
    };
    parameters.finish()?;
    Ok(HttpResponse::Ok().json(desired_state::list_drifts(&id, query, &caller.eim).await?))
}
