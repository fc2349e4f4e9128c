//! POST /api/v1/tenants

use crate::api::request::{Parameters, idempotency_key, json, to_the_end};
use crate::api::schema::NewTenant;
use crate::api::{Api, Caller, Problem};
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::TenantView;

/// Makes a tenant. Only for whoever runs the server.
#[utoipa::path(
    post, path = "/api/v1/tenants", tag = "Tenants", operation_id = "createTenant",
    params(
        ("tenant" = Option<String>, Query, description = "For this tenant; for whoever runs the server."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect."),
    ),
    request_body = NewTenant,
    responses(
        (status = 201, description = "Made.", body = TenantView, headers(("Location" = String, description = "Where it is."))),
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
    caller.must_run_the_server()?;
    let idempotency_key = idempotency_key(&request)?;
    let mut parameters = Parameters::of(&request)?;
    let tenant = parameters.text("tenant");
    parameters.finish()?;
    let eim = caller.acting_for(tenant.as_deref()).await?;
    let body = json(&request, payload, &api).await?;
    let made = to_the_end(async move { manage::make_tenant(&body, idempotency_key.as_deref(), &eim).await }).await?;
    let location = format!("/api/v1/tenants/{}", made.name);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(made))
}
