//! GET /api/v1/eim

use crate::api::{Api, Problem};
use actix_web::HttpResponse;
use actix_web::web::Data;
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
pub async fn show(api: Data<Api>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(manage::eim_view(&api.eim)?))
}
