//! GET /api/v1/key-rotations

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::key_rotation::{self, KeyRotationView};
use eim_core::manage::views::Page;

/// The rotations of signing keys, oldest first, page by page.
#[utoipa::path(
    get, path = "/api/v1/key-rotations", tag = "Signing keys", operation_id = "listKeyRotations",
    params(
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses((status = 200, description = "One page.", body = Page<KeyRotationView>)),
    security(("apiKey" = ["viewer"])),
)]
pub async fn list(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let (cursor, limit) = (parameters.text("cursor"), parameters.limit()?);
    parameters.finish()?;
    Ok(HttpResponse::Ok().json(key_rotation::list_key_rotations(cursor.as_deref(), limit, &caller.eim).await?))
}
