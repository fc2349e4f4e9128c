//! GET /api/v1/tenants/{name}

use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage;
use eim_core::manage::views::TenantView;

/// A tenant. Only for whoever runs the server.
#[utoipa::path(
    get, path = "/api/v1/tenants/{name}", tag = "Tenants", operation_id = "showTenant",
    params(("name" = String, Path, description = "Its name.")),
    responses(
        (status = 200, description = "The tenant.", body = TenantView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn show(name: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.must_run_the_server()?;
    Ok(HttpResponse::Ok().json(manage::show_tenant(&name, &caller.eim).await?))
}
