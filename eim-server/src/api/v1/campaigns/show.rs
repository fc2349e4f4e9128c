//! GET /api/v1/campaigns/{id}

use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage;
use eim_core::manage::views::CampaignView;

/// One campaign with its counts, as they are now.
#[utoipa::path(
    get, path = "/api/v1/campaigns/{id}", tag = "Campaigns", operation_id = "showCampaign",
    params(("id" = String, Path, description = "The campaign.")),
    responses(
        (status = 200, description = "The campaign.", body = CampaignView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn show(id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(manage::campaign(&id, &caller.eim).await?))
}
