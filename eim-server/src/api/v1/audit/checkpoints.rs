//! GET /api/v1/audit/checkpoints

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::audit::{self, CheckpointView};
use eim_core::manage::views::Page;

/// Checkpoints of the tenant's audit log, oldest first: statements about how far the log went, signed with the eIM's key.
///
/// Keep the last one somewhere else: only it can tell that the end of the log was cut off together with its checkpoints.
#[utoipa::path(
    get, path = "/api/v1/audit/checkpoints", tag = "Audit", operation_id = "listAuditCheckpoints",
    params(
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses((status = 200, description = "One page.", body = Page<CheckpointView>)),
    security(("apiKey" = ["admin"])),
)]
pub async fn checkpoints(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let (cursor, limit) = (parameters.text("cursor"), parameters.limit()?);
    parameters.finish()?;
    Ok(HttpResponse::Ok().json(audit::list_checkpoints(cursor.as_deref(), limit, &caller.eim).await?))
}
