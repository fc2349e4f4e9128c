//! POST /api/v1/rules

use crate::api::request::{Parameters, idempotency_key, json, to_the_end};
use crate::api::schema::RuleSettings;
use crate::api::{Api, Caller, Problem};
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::rule::{self, RuleDryRun, RuleView};

/// Makes a rule: when this happens to a device, that is done with it. It fires on what happens from then on.
///
/// A rule that feeds itself, alone or by others, is refused. With `dryRun=true` nothing is made: the answer says which devices
/// are meant, how often it would have fired in the last seven days, and what the guard says for some devices. Overriding
/// checks needs the role `admin`.
#[utoipa::path(
    post, path = "/api/v1/rules", tag = "Rules", operation_id = "createRule",
    params(
        ("dryRun" = Option<bool>, Query, description = "Only say what it would do."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has the same answer and no second effect."),
    ),
    request_body = RuleSettings,
    responses(
        (status = 200, description = "With dryRun: what it would do.", body = RuleDryRun),
        (status = 201, description = "Made.", body = RuleView, headers(("Location" = String, description = "The rule."))),
        (status = 409, description = "There are too many, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken, or rules would feed each other; nothing was made.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn create(
    request: HttpRequest,
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
        return Ok(HttpResponse::Ok().json(rule::dry_run_rule(body, &principal, &eim).await?));
    }
    let create = async move { rule::create_rule(body, idempotency_key.as_deref(), &principal, &eim).await };
    let made = to_the_end(create).await?;
    let location = format!("/api/v1/rules/{}", made.id);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(made))
}
