//! GET /api/v1/signing-keys

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::key_rotation::{self, SigningKeyView};
use eim_core::manage::views::Page;

/// The public halves of the signing keys that are or were in force, with how many devices trust each.
#[utoipa::path(
    get, path = "/api/v1/signing-keys", tag = "Signing keys", operation_id = "listSigningKeys",
    responses((status = 200, description = "All of them.", body = Page<SigningKeyView>)),
    security(("apiKey" = ["viewer"])),
)]
pub async fn list(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    Parameters::of(&request)?.finish()?;
    Ok(HttpResponse::Ok().json(key_rotation::list_signing_keys(&caller.eim).await?))
}
