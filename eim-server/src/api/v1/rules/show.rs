//! GET /api/v1/rules/{id}

use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage::rule::{self, RuleView};

/// One rule, without activation codes and confirmation codes.
#[utoipa::path(
    get, path = "/api/v1/rules/{id}", tag = "Rules", operation_id = "showRule",
    params(("id" = String, Path, description = "A UUID.")),
    responses(
        (status = 200, description = "The rule.", body = RuleView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn show(id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(rule::rule(&id, &caller.eim).await?))
}
