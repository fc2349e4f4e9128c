//! PATCH /api/v1/rules/{id}

use crate::api::request::{json, to_the_end};
use crate::api::schema::RuleSettings;
use crate::api::{Api, Caller, Problem};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::rule::{self, RuleView};

/// Changes a rule with a JSON merge patch (RFC 7396). `then` is set as a whole; without it the actions stay.
///
/// What fired and was not carried out yet is withdrawn. Enabled again, it fires on what happens from then on.
#[utoipa::path(
    patch, path = "/api/v1/rules/{id}", tag = "Rules", operation_id = "updateRule",
    params(("id" = String, Path, description = "A UUID.")),
    request_body(content = RuleSettings, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "The rule as it is now.", body = RuleView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken, or rules would feed each other.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn update(
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let body = json(&request, payload, &api).await?;
    let Caller { principal, eim } = caller;
    let update = async move { rule::update_rule(&id, body, &principal, &eim).await };
    Ok(HttpResponse::Ok().json(to_the_end(update).await?))
}
