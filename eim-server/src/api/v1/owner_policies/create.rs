//! POST /api/v1/owner-policies

use crate::api::request::{json, to_the_end};
use crate::api::schema::NewOwnerPolicy;
use crate::api::{Api, Caller, Problem};
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::OwnerPolicyView;

/// Says what the owner of profiles allows: whether they may be disabled and deleted. Checked before anything is signed.
#[utoipa::path(
    post, path = "/api/v1/owner-policies", tag = "Owner policies", operation_id = "createOwnerPolicy",
    request_body = NewOwnerPolicy,
    responses(
        (status = 201, description = "The policy.", body = OwnerPolicyView, headers(("Location" = String, description = "The policy."))),
        (status = 409, description = "There are too many.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn create(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = json(&request, payload, &api).await?;
    let eim = caller.eim;
    let policy = to_the_end(async move { manage::create_owner_policy(body, &eim).await }).await?;
    let location = format!("/api/v1/owner-policies/{}", policy.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(policy))
}
