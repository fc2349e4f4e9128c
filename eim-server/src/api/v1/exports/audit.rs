//! GET /api/v1/exports/audit

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::ManageError;
use eim_core::manage::audit::AuditExport;
use futures_util::stream;

/// The tenant's whole audit log with its checkpoints, as NDJSON.
///
/// `eim-server audit verify --file FILE --public-key KEY` verifies it without the database. The octets of each line are what
/// was linked: a file that is written anew, members in another order or spaces between them, does not verify.
#[utoipa::path(
    get, path = "/api/v1/exports/audit", tag = "Audit", operation_id = "exportAudit",
    responses((status = 200, description = "A heading, every record and checkpoint, and a last line. An answer that breaks off is not whole.", content_type = "application/x-ndjson")),
    security(("apiKey" = ["admin"])),
)]
pub async fn audit(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    Parameters::of(&request)?.finish()?;
    let parts = stream::try_unfold((AuditExport::default(), caller.eim), async |(mut export, eim)| {
        let part = export.next_part(&eim).await.inspect_err(|error| tracing::error!(%error, "an export broke off"))?;
        Ok::<_, ManageError>(part.map(|part| (Bytes::from(part), (export, eim))))
    });
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"audit.ndjson\""))
        .streaming(Box::pin(parts)))
}
