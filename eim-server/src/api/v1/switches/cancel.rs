//! POST /api/v1/switches/{id}/cancel

use crate::api::request::to_the_end;
use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage;
use eim_core::manage::views::SwitchView;

/// Withdraws a switch of which nothing was delivered yet. What was delivered can't be called back.
#[utoipa::path(
    post, path = "/api/v1/switches/{id}/cancel", tag = "Switches", operation_id = "cancelSwitch",
    params(("id" = String, Path, description = "The switch.")),
    responses(
        (status = 200, description = "The switch, cancelled.", body = SwitchView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A package of it was delivered, or it has ended.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn cancel(id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let eim = caller.eim;
    let switch = to_the_end(async move { manage::cancel_switch(&id, &eim).await }).await?;
    Ok(HttpResponse::Ok().json(switch))
}
