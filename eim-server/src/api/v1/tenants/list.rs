//! GET /api/v1/tenants

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::{Page, TenantView};

/// The tenants. Only for whoever runs the server.
#[utoipa::path(
    get, path = "/api/v1/tenants", tag = "Tenants", operation_id = "listTenants",
    params(
        ("tenant" = Option<String>, Query, description = "Of this tenant; for whoever runs the server."),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses((status = 200, description = "One page.", body = Page<TenantView>)),
    security(("apiKey" = ["admin"])),
)]
pub async fn list(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.must_run_the_server()?;
    let mut parameters = Parameters::of(&request)?;
    let (tenant, cursor, limit) = (parameters.text("tenant"), parameters.text("cursor"), parameters.limit()?);
    parameters.finish()?;
    let eim = caller.acting_for(tenant.as_deref()).await?;
    Ok(HttpResponse::Ok().json(manage::list_tenants(cursor.as_deref(), limit, &eim).await?))
}
