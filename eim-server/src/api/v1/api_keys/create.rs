//! POST /api/v1/api-keys

use crate::api::request::{Parameters, idempotency_key, json, to_the_end};
use crate::api::schema::NewApiKey;
use crate::api::{Api, Caller, Problem};
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::ApiKeyView;

/// Makes an API key. The key itself is in the first answer alone: a request that is repeated under the same Idempotency-Key does
/// not show it again.
#[utoipa::path(
    post, path = "/api/v1/api-keys", tag = "API keys", operation_id = "createApiKey",
    params(
        ("tenant" = Option<String>, Query, description = "For this tenant; for whoever runs the server."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect."),
    ),
    request_body = NewApiKey,
    responses(
        (status = 201, description = "Made.", body = ApiKeyView, headers(("Location" = String, description = "Where it is."))),
        (status = 409, description = "The state does not allow it.", body = Problem, content_type = "application/problem+json"),
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
    let mut parameters = Parameters::of(&request)?;
    let tenant = parameters.text("tenant");
    parameters.finish()?;
    let eim = caller.acting_for(tenant.as_deref()).await?;
    let body = json(&request, payload, &api).await?;
    let principal = caller.principal;
    let made =
        to_the_end(async move { manage::make_api_key(body, idempotency_key.as_deref(), &principal, &eim).await })
            .await?;
    let location = format!("/api/v1/api-keys/{}", made.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(made))
}
