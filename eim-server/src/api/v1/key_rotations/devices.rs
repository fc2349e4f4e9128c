//! GET /api/v1/key-rotations/{id}/devices

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::key_rotation::{self, RotatingDeviceView};
use eim_core::manage::views::Page;

/// The devices of a rotation, page by page. Those that are `running`, `failed` or `notReachable` lag behind, each with a reason.
#[utoipa::path(
    get, path = "/api/v1/key-rotations/{id}/devices", tag = "Signing keys", operation_id = "listRotatingDevices",
    params(
        ("id" = String, Path, description = "The rotation."),
        ("state" = Option<String>, Query, description = "Only those that are `pending`, `running`, `rotated`, `failed`, `notReachable` or `cancelled`."),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses(
        (status = 200, description = "One page.", body = Page<RotatingDeviceView>),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn devices(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let (state, cursor, limit) = (parameters.text("state"), parameters.text("cursor"), parameters.limit()?);
    parameters.finish()?;
    let (state, cursor) = (state.as_deref(), cursor.as_deref());
    Ok(HttpResponse::Ok().json(key_rotation::list_rotating_devices(&id, state, cursor, limit, &caller.eim).await?))
}
