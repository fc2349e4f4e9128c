//! GET /api/v1/key-rotations/{id}

use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage::key_rotation::{self, KeyRotationView};

/// One rotation with its progress.
#[utoipa::path(
    get, path = "/api/v1/key-rotations/{id}", tag = "Signing keys", operation_id = "showKeyRotation",
    params(("id" = String, Path, description = "A UUID.")),
    responses(
        (status = 200, description = "The rotation.", body = KeyRotationView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn show(id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(key_rotation::key_rotation(&id, &caller.eim).await?))
}
