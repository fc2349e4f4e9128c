//! GET /api/v1/euiccs/{eid}

use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::web::Path;
use eim_core::manage;
use eim_core::manage::views::EuiccView;

/// One eUICC.
#[utoipa::path(
    get, path = "/api/v1/euiccs/{eid}", tag = "eUICCs", operation_id = "showEuicc",
    params(("eid" = String, Path, description = "32 digits.")),
    responses(
        (status = 200, description = "The eUICC.", body = EuiccView),
        (status = 404, description = "It is not registered.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn show(eid: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(manage::euicc(&eid, &caller.eim).await?))
}
