//! POST /api/v1/campaigns

use crate::api::request::{idempotency_key, json, to_the_end};
use crate::api::schema::NewCampaign;
use crate::api::{Api, Caller, Problem};
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::CampaignView;

/// Makes a campaign as a draft, with the devices that match now. Nothing happens before it is submitted, approved by a second
/// person and started.
#[utoipa::path(
    post, path = "/api/v1/campaigns", tag = "Campaigns", operation_id = "createCampaign",
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has the same answer and no second effect.")),
    request_body = NewCampaign,
    responses(
        (status = 201, description = "The draft.", body = CampaignView, headers(("Location" = String, description = "The campaign."))),
        (status = 409, description = "The Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken; nothing was made.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn create(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let body = json(&request, payload, &api).await?;
    let Caller { principal, eim } = caller;
    let create = async move { manage::create_campaign(body, idempotency_key.as_deref(), &principal, &eim).await };
    let campaign = to_the_end(create).await?;
    let location = format!("/api/v1/campaigns/{}", campaign.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(campaign))
}
