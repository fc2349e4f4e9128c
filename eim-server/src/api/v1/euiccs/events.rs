//! GET /api/v1/euiccs/{eid}/events

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::{EventView, Page};

/// The timeline of an eUICC, page by page.
#[utoipa::path(
    get, path = "/api/v1/euiccs/{eid}/events", tag = "eUICCs", operation_id = "listEvents",
    params(
        ("eid" = String, Path, description = "32 digits."),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses(
        (status = 200, description = "One page.", body = Page<EventView>),
        (status = 404, description = "It is not registered.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn events(request: HttpRequest, eid: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let (cursor, limit) = (parameters.text("cursor"), parameters.limit()?);
    parameters.finish()?;
    Ok(HttpResponse::Ok().json(manage::events(&eid, cursor.as_deref(), limit, &caller.eim).await?))
}
