//! GET /api/v1/campaigns/{id}/devices

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::views::{CampaignDeviceView, Page};
use eim_core::manage::{self, CampaignDeviceFilter};

/// The devices of a campaign by EID, page by page: who ended where and why.
#[utoipa::path(
    get, path = "/api/v1/campaigns/{id}/devices", tag = "Campaigns", operation_id = "listCampaignDevices",
    params(
        ("id" = String, Path, description = "The campaign."),
        ("wave" = Option<u32>, Query, description = "Only devices of this wave, from 0."),
        ("state" = Option<String>, Query, description = "Only devices in this state: pending, running, ended."),
        ("outcome" = Option<String>, Query, description = "Only devices that ended so."),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses(
        (status = 200, description = "One page.", body = Page<CampaignDeviceView>),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn devices(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let filter = CampaignDeviceFilter {
        wave: parameters.text("wave"),
        state: parameters.text("state"),
        outcome: parameters.text("outcome"),
        cursor: parameters.text("cursor"),
        limit: parameters.limit()?,
    };
    parameters.finish()?;
    Ok(HttpResponse::Ok().json(manage::list_campaign_devices(&id, filter, &caller.eim).await?))
}
