//! GET /api/v1/eim

use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use eim_core::manage;
use eim_core::manage::views::EimView;

/// This eIM as eUICCs know it.
///
/// What a factory or a device maker needs: the EimConfigurationData, and the AddInitialEimRequest around it.
#[utoipa::path(
    get, path = "/api/v1/eim", tag = "eIM", operation_id = "showEim",
    responses((status = 200, description = "This eIM.", body = EimView)),
    security(("apiKey" = ["viewer"])),
)]
pub async fn show(caller: Caller) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(manage::eim_view(&caller.eim)?))
}
