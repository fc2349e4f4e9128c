//! GET /api/v1/webhooks/{id}/deliveries

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::views::Page;
use eim_core::manage::webhook::{self, DeliveryFilter, WebhookDeliveryView};

/// What a webhook was not simply sent in order: dead letters, those that were tried again by request, and tests.
#[utoipa::path(
    get, path = "/api/v1/webhooks/{id}/deliveries", tag = "Webhooks", operation_id = "listWebhookDeliveries",
    params(
        ("id" = String, Path, description = "A UUID."),
        ("state" = Option<String>, Query, description = "Only deliveries in this state: pending, delivered, dead."),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses(
        (status = 200, description = "One page.", body = Page<WebhookDeliveryView>),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn deliveries(request: HttpRequest, id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let filter = DeliveryFilter {
        state: parameters.text("state"),
        cursor: parameters.text("cursor"),
        limit: parameters.limit()?,
    };
    parameters.finish()?;
    Ok(HttpResponse::Ok().json(webhook::list_deliveries(&id, filter, &caller.eim).await?))
}
