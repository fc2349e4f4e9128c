//! GET /api/v1/switches

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::views::{Page, SwitchView};
use eim_core::manage::{self, SwitchFilter};

/// The switches, page by page, oldest first unless asked otherwise.
#[utoipa::path(
    get, path = "/api/v1/switches", tag = "Switches", operation_id = "listSwitches",
    params(
        ("eid" = Option<String>, Query, description = "Only switches of this eUICC."),
        ("state" = Option<String>, Query, description = "Only switches in this state."),
        ("outcome" = Option<String>, Query, description = "Only switches that ended so."),
        ("campaign" = Option<String>, Query, description = "Only switches of this campaign."),
        ("order" = Option<String>, Query, description = "`oldest` (the default) or `newest` first."),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses((status = 200, description = "One page.", body = Page<SwitchView>)),
    security(("apiKey" = ["viewer"])),
)]
pub async fn list(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let filter = SwitchFilter {
        eid: parameters.text("eid"),
        state: parameters.text("state"),
        outcome: parameters.text("outcome"),
        campaign: parameters.text("campaign"),
        order: parameters.text("order"),
        cursor: parameters.text("cursor"),
        limit: parameters.limit()?,
    };
    parameters.finish()?;
    Ok(HttpResponse::Ok().json(manage::list_switches(filter, &caller.eim).await?))
}
