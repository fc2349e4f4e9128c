//! POST /api/v1/euiccs/{eid}/switches

use crate::api::request::{Parameters, idempotency_key, json, to_the_end};
use crate::api::schema::NewSwitch;
use crate::api::{Api, Caller, Problem};
use actix_web::http::header;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::views::SwitchView;
use eim_core::manage::{self, DryRun};

/// Moves a device to another profile as one durable job: the guard's checks, a download where one is needed, enabling, proof,
/// and deleting the old profile where that is wanted.
///
/// With `dryRun=true` nothing is done, and every check of the guard is explained. Overriding checks needs the role `admin`.
#[utoipa::path(
    post, path = "/api/v1/euiccs/{eid}/switches", tag = "Switches", operation_id = "createSwitch",
    params(
        ("eid" = String, Path, description = "32 digits."),
        ("dryRun" = Option<bool>, Query, description = "Only say what the guard says."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has the same answer and no second effect."),
    ),
    request_body = NewSwitch,
    responses(
        (status = 200, description = "With dryRun: what the guard says.", body = DryRun),
        (status = 202, description = "Accepted; see the switch for what becomes of it.", body = SwitchView, headers(("Location" = String, description = "The switch."))),
        (status = 404, description = "The eUICC is not registered.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The guard refuses it (`errors` names the checks, with the cure), or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn create(
    request: HttpRequest,
    eid: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let dry_run = parameters.flag("dryRun")?;
    parameters.finish()?;
    let idempotency_key = idempotency_key(&request)?;
    let body = json(&request, payload, &api).await?;
    let eim = caller.eim;
    let principal = caller.principal;
    if dry_run {
        return Ok(HttpResponse::Ok().json(manage::dry_run_switch(&eid, body, &principal, &eim).await?));
    }
    let create = async move { manage::create_switch(&eid, body, idempotency_key.as_deref(), &principal, &eim).await };
    let switch = to_the_end(create).await?;
    let location = format!("/api/v1/switches/{}", switch.id);
    Ok(HttpResponse::Accepted().insert_header((header::LOCATION, location)).json(switch))
}
