//! POST /api/v1/euiccs

use crate::api::auth::check_lab;
use crate::api::request::{idempotency_key, json, to_the_end};
use crate::api::{Api, Caller, Problem};
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::views::EuiccView;
use eim_core::manage::{self, NewEuicc};

/// Registers an eUICC, so that its device may poll.
///
/// Wrong check digits in the EID are a warning, a wrong length is refused. Setting `resultPolicy` to `lab` needs the
/// role `admin`, and `[lab] enabled = true` on the server.
#[utoipa::path(
    post, path = "/api/v1/euiccs", tag = "eUICCs", operation_id = "registerEuicc",
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has the same answer and no second effect.")),
    request_body = NewEuicc,
    responses(
        (status = 201, description = "Registered.", body = EuiccView, headers(("Location" = String, description = "The eUICC."))),
        (status = 409, description = "It is registered already.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn register(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let body = json(&request, payload, &api).await?;
    check_lab(&body, &caller.principal)?;
    let new = NewEuicc::from_json(body)?;
    let eim = caller.eim;
    let euicc = to_the_end(async move { manage::register_euicc(new, idempotency_key.as_deref(), &eim).await }).await?;
    let location = format!("/api/v1/euiccs/{}", euicc.eid);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(euicc))
}
