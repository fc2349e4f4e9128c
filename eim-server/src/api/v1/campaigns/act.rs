//! POST /api/v1/campaigns/{id}/{verb}

use crate::api::request::{idempotency_key, json_or_nothing, to_the_end};
use crate::api::schema::CampaignMessage;
use crate::api::{Api, Caller, Problem};
use actix_web::http::header;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::domain::fleet::campaign::Verb;
use eim_core::manage;
use eim_core::manage::views::CampaignView;

async fn act(
    verb: Verb,
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let body = json_or_nothing(&request, payload, &api).await?;
    let Caller { principal, eim } = caller;
    let act =
        async move { manage::act_on_campaign(&id, verb, body, idempotency_key.as_deref(), &principal, &eim).await };
    Ok(HttpResponse::Ok().json(to_the_end(act).await?))
}

/// Hands a draft in for approval; one that needs none is approved at once.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{id}/submit", tag = "Campaigns", operation_id = "submitCampaign",
    params(
        ("id" = String, Path, description = "The campaign."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    request_body(content = Option<CampaignMessage>, description = "Why, in your words."),
    responses(
        (status = 200, description = "The campaign as it is now.", body = CampaignView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its state does not allow it, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn submit(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    act(Verb::Submit, request, id, payload, caller, api).await
}

/// Approves it: by another person than the one who made or submitted it.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{id}/approve", tag = "Campaigns", operation_id = "approveCampaign",
    params(
        ("id" = String, Path, description = "The campaign."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    request_body(content = Option<CampaignMessage>, description = "Why, in your words."),
    responses(
        (status = 200, description = "The campaign as it is now.", body = CampaignView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its state does not allow it, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["approver"])),
)]
pub async fn approve(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    act(Verb::Approve, request, id, payload, caller, api).await
}

/// Denies it.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{id}/deny", tag = "Campaigns", operation_id = "denyCampaign",
    params(
        ("id" = String, Path, description = "The campaign."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    request_body(content = Option<CampaignMessage>, description = "Why, in your words."),
    responses(
        (status = 200, description = "The campaign as it is now.", body = CampaignView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its state does not allow it, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["approver"])),
)]
pub async fn deny(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    act(Verb::Deny, request, id, payload, caller, api).await
}

/// Starts it; a `startAt` still holds.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{id}/start", tag = "Campaigns", operation_id = "startCampaign",
    params(
        ("id" = String, Path, description = "The campaign."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    request_body(content = Option<CampaignMessage>, description = "Why, in your words."),
    responses(
        (status = 200, description = "The campaign as it is now.", body = CampaignView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its state does not allow it, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn start(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    act(Verb::Start, request, id, payload, caller, api).await
}

/// No further device begins. What runs goes on.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{id}/pause", tag = "Campaigns", operation_id = "pauseCampaign",
    params(
        ("id" = String, Path, description = "The campaign."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    request_body(content = Option<CampaignMessage>, description = "Why, in your words."),
    responses(
        (status = 200, description = "The campaign as it is now.", body = CampaignView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its state does not allow it, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn pause(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    act(Verb::Pause, request, id, payload, caller, api).await
}

/// It goes on, whatever paused it.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{id}/resume", tag = "Campaigns", operation_id = "resumeCampaign",
    params(
        ("id" = String, Path, description = "The campaign."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    request_body(content = Option<CampaignMessage>, description = "Why, in your words."),
    responses(
        (status = 200, description = "The campaign as it is now.", body = CampaignView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its state does not allow it, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn resume(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    act(Verb::Resume, request, id, payload, caller, api).await
}

/// The next wave begins now; windows still hold for its devices. Refused before the `startAt` of the campaign.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{id}/nextWave", tag = "Campaigns", operation_id = "nextWaveCampaign",
    params(
        ("id" = String, Path, description = "The campaign."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    request_body(content = Option<CampaignMessage>, description = "Why, in your words."),
    responses(
        (status = 200, description = "The campaign as it is now.", body = CampaignView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its state does not allow it, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn next_wave(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    act(Verb::NextWave, request, id, payload, caller, api).await
}

/// Gives it up: what was not delivered is withdrawn. A package that was delivered to a device can't be recalled.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{id}/abort", tag = "Campaigns", operation_id = "abortCampaign",
    params(
        ("id" = String, Path, description = "The campaign."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    request_body(content = Option<CampaignMessage>, description = "Why, in your words."),
    responses(
        (status = 200, description = "The campaign as it is now.", body = CampaignView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its state does not allow it, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn abort(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    act(Verb::Abort, request, id, payload, caller, api).await
}

/// Gives it up, and moves back the devices that it moved. A package that was delivered can't be recalled.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{id}/revert", tag = "Campaigns", operation_id = "revertCampaign",
    params(
        ("id" = String, Path, description = "The campaign."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    request_body(content = Option<CampaignMessage>, description = "Why, in your words."),
    responses(
        (status = 200, description = "The campaign as it is now.", body = CampaignView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its state does not allow it, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn revert(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    act(Verb::Revert, request, id, payload, caller, api).await
}

/// Devices that ended badly are tried again.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{id}/retryFailed", tag = "Campaigns", operation_id = "retryFailedCampaign",
    params(
        ("id" = String, Path, description = "The campaign."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    request_body(content = Option<CampaignMessage>, description = "Why, in your words."),
    responses(
        (status = 200, description = "The campaign as it is now.", body = CampaignView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its state does not allow it, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn retry_failed(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    act(Verb::RetryFailed, request, id, payload, caller, api).await
}

/// Makes a draft like it, with the devices that match now.
#[utoipa::path(
    post, path = "/api/v1/campaigns/{id}/clone", tag = "Campaigns", operation_id = "cloneCampaign",
    params(
        ("id" = String, Path, description = "The campaign."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has the same answer and no second effect."),
    ),
    responses(
        (status = 201, description = "The draft.", body = CampaignView, headers(("Location" = String, description = "The campaign."))),
        (status = 403, description = "Its plan overrides a check of the guard, which needs the role admin.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key was used for another request, or its codes can't be read.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn clone(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let Caller { principal, eim } = caller;
    let clone = async move { manage::clone_campaign(&id, idempotency_key.as_deref(), &principal, &eim).await };
    let campaign = to_the_end(clone).await?;
    let location = format!("/api/v1/campaigns/{}", campaign.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(campaign))
}
