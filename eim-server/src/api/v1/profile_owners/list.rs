//! GET /api/v1/profile-owners

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::{Page, ProfileOwnerView};

/// Owners of profiles: those of the tenant; of all tenants for whoever runs the server.
#[utoipa::path(
    get, path = "/api/v1/profile-owners", tag = "Authority", operation_id = "listProfileOwners",
    params(
        ("tenant" = Option<String>, Query, description = "Of this tenant; for whoever runs the server."),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses((status = 200, description = "One page.", body = Page<ProfileOwnerView>)),
    security(("apiKey" = ["viewer"])),
)]
pub async fn list(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let (tenant, cursor, limit) = (parameters.text("tenant"), parameters.text("cursor"), parameters.limit()?);
    parameters.finish()?;
    let eim = caller.acting_for(tenant.as_deref()).await?;
    Ok(HttpResponse::Ok().json(manage::list_profile_owners(cursor.as_deref(), limit, &caller.principal, &eim).await?))
}
