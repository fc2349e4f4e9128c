//! GET /api/v1/switches/{id}

use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage;
use eim_core::manage::views::SwitchView;

/// One switch.
#[utoipa::path(
    get, path = "/api/v1/switches/{id}", tag = "Switches", operation_id = "showSwitch",
    params(("id" = String, Path, description = "The switch.")),
    responses(
        (status = 200, description = "The switch as it stands.", body = SwitchView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn show(id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(manage::switch(&id, &caller.eim).await?))
}
