//! GET /api/v1/pools/{id}/codes

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::{CodeView, Page};

/// The codes of a pool, page by page, without the codes: they are sealed and never shown again.
#[utoipa::path(
    get, path = "/api/v1/pools/{id}/codes", tag = "Pools", operation_id = "listPoolCodes",
    params(
        ("id" = String, Path, description = "The pool, by its id or its name."),
        ("state" = Option<String>, Query, description = "Only codes in this state: free, reserved, used, spent."),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses(
        (status = 200, description = "One page.", body = Page<CodeView>),
        (status = 404, description = "There is no such pool.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn codes(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let (state, cursor, limit) = (parameters.text("state"), parameters.text("cursor"), parameters.limit()?);
    parameters.finish()?;
    let page = manage::list_codes(&id, state.as_deref(), cursor.as_deref(), limit, &caller.eim).await?;
    Ok(HttpResponse::Ok().json(page))
}
