//! GET /api/v1/decisions

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::{DecisionView, Page};

/// Who asked for what, on whose authority, and what came of it: every request of the tenant's keys that changes something.
#[utoipa::path(
    get, path = "/api/v1/decisions", tag = "Authority", operation_id = "listDecisions",
    params(
        ("tenant" = Option<String>, Query, description = "Of this tenant; for whoever runs the server."),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses((status = 200, description = "One page.", body = Page<DecisionView>)),
    security(("apiKey" = ["admin"])),
)]
pub async fn list(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let (tenant, cursor, limit) = (parameters.text("tenant"), parameters.text("cursor"), parameters.limit()?);
    parameters.finish()?;
    let eim = caller.acting_for(tenant.as_deref()).await?;
    Ok(HttpResponse::Ok().json(manage::list_decisions(cursor.as_deref(), limit, &eim).await?))
}
