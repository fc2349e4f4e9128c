//! GET /api/v1/summary

use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use eim_core::manage;
use eim_core::manage::views::SummaryView;

/// The totals of the tenant. `/metrics` counts all tenants together.
#[utoipa::path(
    get, path = "/api/v1/summary", tag = "Tenants", operation_id = "showSummary",
    responses((status = 200, description = "The totals.", body = SummaryView)),
    security(("apiKey" = ["viewer"])),
)]
pub async fn show(caller: Caller) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(manage::summary(&caller.eim).await?))
}
