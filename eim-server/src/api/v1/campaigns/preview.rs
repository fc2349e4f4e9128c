//! POST /api/v1/campaigns/preview

use crate::api::request::json;
use crate::api::schema::NewCampaign;
use crate::api::{Api, Caller, Problem};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::CampaignPreview;

/// Says which devices a campaign would have, wave by wave, and makes nothing.
#[utoipa::path(
    post, path = "/api/v1/campaigns/preview", tag = "Campaigns", operation_id = "previewCampaign",
    request_body = NewCampaign,
    responses(
        (status = 200, description = "What it would be.", body = CampaignPreview),
        (status = 422, description = "A value can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn preview(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = json(&request, payload, &api).await?;
    let preview = manage::preview_campaign(body, &caller.principal, &caller.eim).await?;
    Ok(HttpResponse::Ok().json(preview))
}
