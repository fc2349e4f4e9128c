//! GET /api/v1/eim

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::EimView;

/// This eIM as eUICCs know it.
///
/// What a factory or a device maker needs: the EimConfigurationData, and the AddInitialEimRequest around it.
#[utoipa::path(
    get, path = "/api/v1/eim", tag = "eIM", operation_id = "showEim",
    params(("eimId" = Option<String>, Query, description = "Another eimId of this server, where it has several.")),
    responses(
        (status = 200, description = "This eIM.", body = EimView),
        (status = 404, description = "The server has no such eimId.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn show(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let eim_id = parameters.given("eimId");
    parameters.finish()?;
    Ok(HttpResponse::Ok().json(manage::eim_view(eim_id.as_deref(), &caller.eim)?))
}
