//! POST /api/v1/owner-policies

use crate::api::request::{idempotency_key, json, to_the_end};
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
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has the same answer and no second effect.")),
    request_body = NewOwnerPolicy,
    responses(
        (status = 201, description = "The policy.", body = OwnerPolicyView, headers(("Location" = String, description = "The policy."))),
        (status = 409, description = "There are too many, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
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
    let idempotency_key = idempotency_key(&request)?;
    let body = json(&request, payload, &api).await?;
    let eim = caller.eim;
    let create = async move { manage::create_owner_policy(body, idempotency_key.as_deref(), &eim).await };
    let policy = to_the_end(create).await?;
    let location = format!("/api/v1/owner-policies/{}", policy.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(policy))
}
