//! GET /api/v1/campaigns

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::{CampaignView, Page};

/// The campaigns with their counts, page by page.
#[utoipa::path(
    get, path = "/api/v1/campaigns", tag = "Campaigns", operation_id = "listCampaigns",
    params(
        ("state" = Option<String>, Query, description = "Only campaigns in this state."),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses((status = 200, description = "One page.", body = Page<CampaignView>)),
    security(("apiKey" = ["viewer"])),
)]
pub async fn list(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let (state, cursor, limit) = (parameters.text("state"), parameters.text("cursor"), parameters.limit()?);
    parameters.finish()?;
    let page = manage::list_campaigns(state.as_deref(), cursor.as_deref(), limit, &caller.eim).await?;
    Ok(HttpResponse::Ok().json(page))
}
