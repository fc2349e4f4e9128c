//! GET /api/v1/audit

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::audit::{self, AuditListFilter, AuditRecordView};
use eim_core::manage::views::Page;

/// The tenant's audit log in its order: every command, what came of it, every result that was believed or not, every use of the
/// signing key, and what happened to API keys.
///
/// A record is listed once it has its place in the chain, a few seconds after it was written. What strangers can cause is
/// recorded in bounds, and the last record within them says so.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "Audit", operation_id = "listAudit",
    params(
        ("eid" = Option<String>, Query, description = "Only records about this eUICC."),
        ("type" = Option<String>, Query, description = "Only records of this type."),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of the page before."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
    ),
    responses(
        (status = 200, description = "One page.", body = Page<AuditRecordView>),
        (status = 422, description = "A filter can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn list(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let filter = AuditListFilter {
        eid: parameters.text("eid"),
        record_type: parameters.text("type"),
        cursor: parameters.text("cursor"),
        limit: parameters.limit()?,
    };
    parameters.finish()?;
    Ok(HttpResponse::Ok().json(audit::list_audit(filter, &caller.eim).await?))
}
