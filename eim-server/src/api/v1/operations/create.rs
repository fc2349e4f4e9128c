//! POST /api/v1/euiccs/{eid}/operations

use crate::api::request::{Parameters, idempotency_key, json, to_the_end};
use crate::api::schema::NewOperation;
use crate::api::{Api, Caller, Problem};
use actix_web::http::header;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::views::OperationView;
use eim_core::manage::{self, DryRun};

/// Asks a device to do something when it polls next.
///
/// The guard refuses what would leave a device without a profile that it can use, as far as its profiles are known, and what an
/// owner policy forbids.
///
/// With `dryRun=true` nothing is done, and every check that the guard makes of it is explained.
///
/// The body has exactly one of `psmo`, `eco`, `euiccData` and `profileDownload`. Several entries of one list travel in one package.
#[utoipa::path(
    post, path = "/api/v1/euiccs/{eid}/operations", tag = "Operations", operation_id = "createOperation",
    params(
        ("eid" = String, Path, description = "32 digits."),
        ("dryRun" = Option<bool>, Query, description = "Only say what the guard says."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has the same answer and no second effect."),
    ),
    request_body = NewOperation,
    responses(
        (status = 200, description = "With dryRun: what the guard says.", body = DryRun),
        (status = 202, description = "Accepted; see the operation for what becomes of it.", body = OperationView, headers(("Location" = String, description = "The operation."))),
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
    let Caller { principal, eim } = caller;
    if dry_run {
        return Ok(HttpResponse::Ok().json(manage::dry_run_operation(&eid, body, &principal, &eim).await?));
    }
    let create =
        async move { manage::create_operation(&eid, body, idempotency_key.as_deref(), &principal, &eim).await };
    let operation = to_the_end(create).await?;
    let location = format!("/api/v1/operations/{}", operation.id);
    Ok(HttpResponse::Accepted().insert_header((header::LOCATION, location)).json(operation))
}
