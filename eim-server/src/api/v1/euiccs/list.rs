//! GET /api/v1/euiccs

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::views::{EuiccView, Page};
use eim_core::manage::{self, EuiccFilter};

/// The inventory, page by page.
#[utoipa::path(
    get, path = "/api/v1/euiccs", tag = "eUICCs", operation_id = "listEuiccs",
    params(
        ("tag" = Option<String>, Query, description = "Only eUICCs with this tag."),
        ("state" = Option<String>, Query, description = "Only eUICCs in this state."),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses((status = 200, description = "One page.", body = Page<EuiccView>)),
    security(("apiKey" = ["viewer"])),
)]
pub async fn list(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let filter = EuiccFilter {
        tag: parameters.text("tag"),
        state: parameters.text("state"),
        cursor: parameters.text("cursor"),
        limit: parameters.limit()?,
    };
    parameters.finish()?;
    Ok(HttpResponse::Ok().json(manage::list_euiccs(filter, &caller.eim).await?))
}
