//! GET /api/v1/notifications

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::views::{NotificationView, Page};
use eim_core::manage::{self, NotificationFilter};

/// The notifications that are on their way to SM-DP+ and SM-DS, or have arrived there, page by page.
#[utoipa::path(
    get, path = "/api/v1/notifications", tag = "Notifications", operation_id = "listNotifications",
    params(
        ("eid" = Option<String>, Query, description = "Only notifications of this eUICC."),
        ("state" = Option<String>, Query, description = "Only notifications in this state: pending, delivered, givenUp."),
        ("address" = Option<String>, Query, description = "Only notifications for this server."),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses((status = 200, description = "One page.", body = Page<NotificationView>)),
    security(("apiKey" = ["viewer"])),
)]
pub async fn list(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let filter = NotificationFilter {
        eid: parameters.text("eid"),
        state: parameters.text("state"),
        address: parameters.text("address"),
        cursor: parameters.text("cursor"),
        limit: parameters.limit()?,
    };
    parameters.finish()?;
    Ok(HttpResponse::Ok().json(manage::list_notifications(filter, &caller.eim).await?))
}
