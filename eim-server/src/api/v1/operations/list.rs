//! GET /api/v1/operations

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::views::{OperationView, Page};
use eim_core::manage::{self, OperationFilter};

/// The operations, page by page, oldest first unless asked otherwise.
#[utoipa::path(
    get, path = "/api/v1/operations", tag = "Operations", operation_id = "listOperations",
    params(
        ("eid" = Option<String>, Query, description = "Only operations for this eUICC."),
        ("state" = Option<String>, Query, description = "Only operations in this state."),
        ("order" = Option<String>, Query, description = "`oldest` (the default) or `newest` first."),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses((status = 200, description = "One page.", body = Page<OperationView>)),
    security(("apiKey" = ["viewer"])),
)]
pub async fn list(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let filter = OperationFilter {
        eid: parameters.text("eid"),
        state: parameters.text("state"),
        order: parameters.text("order"),
        cursor: parameters.text("cursor"),
        limit: parameters.limit()?,
    };
    parameters.finish()?;
    Ok(HttpResponse::Ok().json(manage::list_operations(filter, &caller.eim).await?))
}
