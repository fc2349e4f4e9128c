//! POST /api/v1/switches/{id}/cancel

use crate::api::request::{idempotency_key, to_the_end};
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::SwitchView;

/// Withdraws a switch of which nothing was delivered yet. What was delivered can't be called back.
#[utoipa::path(
    post, path = "/api/v1/switches/{id}/cancel", tag = "Switches", operation_id = "cancelSwitch",
    params(
        ("id" = String, Path, description = "The switch."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    responses(
        (status = 200, description = "The switch, cancelled.", body = SwitchView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A package of it was delivered, it has ended, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn cancel(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let eim = caller.eim;
    let cancel = async move { manage::cancel_switch(&id, idempotency_key.as_deref(), &eim).await };
    let switch = to_the_end(cancel).await?;
    Ok(HttpResponse::Ok().json(switch))
}
