//! PATCH /api/v1/euiccs/{eid}

use crate::api::auth::check_lab;
use crate::api::request::{json, to_the_end};
use crate::api::schema::EuiccPatch;
use crate::api::{Api, Caller, Problem};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::EuiccView;

/// Changes an eUICC with a JSON merge patch (RFC 7396): members that are absent stay, `null` clears.
///
/// Setting `resultPolicy` to `lab` needs the role `admin`, and `[lab] enabled = true` on the server.
#[utoipa::path(
    patch, path = "/api/v1/euiccs/{eid}", tag = "eUICCs", operation_id = "updateEuicc",
    params(("eid" = String, Path, description = "32 digits.")),
    request_body(content = EuiccPatch, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "The eUICC as it is now.", body = EuiccView),
        (status = 404, description = "It is not registered.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A package is in flight that was signed under the association as it was and may have been carried out: wait for its result or abandon the operation that the problem names.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn update(
    request: HttpRequest,
    eid: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = json(&request, payload, &api).await?;
    check_lab(&body, &caller.principal)?;
    let eim = caller.eim;
    let euicc = to_the_end(async move { manage::update_euicc(&eid, body, &eim).await }).await?;
    Ok(HttpResponse::Ok().json(euicc))
}
