//! GET /api/v1/desired-states

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::desired_state::{self, DesiredStateView};
use eim_core::manage::views::Page;

/// The desired states, page by page; those of devices' own among them.
#[utoipa::path(
    get, path = "/api/v1/desired-states", tag = "Desired states", operation_id = "listDesiredStates",
    params(
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses((status = 200, description = "One page.", body = Page<DesiredStateView>)),
    security(("apiKey" = ["viewer"])),
)]
pub async fn list(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let (cursor, limit) = (parameters.text("cursor"), parameters.limit()?);
    parameters.finish()?;
    Ok(HttpResponse::Ok().json(desired_state::list_desired_states(cursor.as_deref(), limit, &caller.eim).await?))
}
