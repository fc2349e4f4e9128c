//! GET /api/v1/rules/{id}/firings

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::rule::{self, FiringView};
use eim_core::manage::views::Page;

/// When a rule's condition held for a device and what came of it, oldest first, page by page.
#[utoipa::path(
    get, path = "/api/v1/rules/{id}/firings", tag = "Rules", operation_id = "listRuleFirings",
    params(
        ("id" = String, Path, description = "The rule."),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses(
        (status = 200, description = "One page.", body = Page<FiringView>),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn firings(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let (cursor, limit) = (parameters.text("cursor"), parameters.limit()?);
    parameters.finish()?;
    Ok(HttpResponse::Ok().json(rule::list_firings(&id, cursor.as_deref(), limit, &caller.eim).await?))
}
