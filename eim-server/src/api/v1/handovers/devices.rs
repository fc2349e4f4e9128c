//! GET /api/v1/handovers/{id}/devices

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::handover::{self, HandoverDeviceView};
use eim_core::manage::views::Page;

/// The devices of a hand-over, and whether each has passed the point of no return.
#[utoipa::path(
    get, path = "/api/v1/handovers/{id}/devices", tag = "Hand-overs", operation_id = "listHandoverDevices",
    params(
        ("id" = String, Path, description = "The hand-over."),
        ("state" = Option<String>, Query, description = "Only devices in this state."),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses(
        (status = 200, description = "One page.", body = Page<HandoverDeviceView>),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn devices(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let (state, cursor, limit) = (parameters.text("state"), parameters.text("cursor"), parameters.limit()?);
    parameters.finish()?;
    let page = handover::list_handover_devices(&id, state.as_deref(), cursor.as_deref(), limit, &caller.eim).await?;
    Ok(HttpResponse::Ok().json(page))
}
