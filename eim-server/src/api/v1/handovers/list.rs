//! GET /api/v1/handovers

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::handover::{self, HandoverView};
use eim_core::manage::views::Page;

/// The hand-overs, oldest first.
#[utoipa::path(
    get, path = "/api/v1/handovers", tag = "Hand-overs", operation_id = "listHandovers",
    params(
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses((status = 200, description = "One page.", body = Page<HandoverView>)),
    security(("apiKey" = ["viewer"])),
)]
pub async fn list(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let (cursor, limit) = (parameters.text("cursor"), parameters.limit()?);
    parameters.finish()?;
    Ok(HttpResponse::Ok().json(handover::list_handovers(cursor.as_deref(), limit, &caller.eim).await?))
}
