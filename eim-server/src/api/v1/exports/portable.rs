//! GET /api/v1/exports/portable

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::ManageError;
use eim_core::manage::portable::export_portable;
use futures_util::stream;

/// Everything that another eIM needs to know of the tenant's devices: associations with counters and tokens, profiles, history.
/// NDJSON with a digest in each line and the eIM's signature in the last one.
///
/// `eim-server portable import` takes it on another server and refuses one flipped bit. The key alone commands a device, and it
/// is not in here: see hand-overs.
#[utoipa::path(
    get, path = "/api/v1/exports/portable", tag = "Bulk", operation_id = "exportPortable",
    responses((status = 200, description = "Every line. An answer that breaks off has no last line.", content_type = "application/x-ndjson")),
    security(("apiKey" = ["admin"])),
)]
pub async fn portable(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    Parameters::of(&request)?.finish()?;
    let export = export_portable(&caller.eim).await?;
    let parts = stream::try_unfold((export, caller.eim), async |(mut export, eim)| {
        let part = export.next_part(&eim).await.inspect_err(|error| tracing::error!(%error, "an export broke off"))?;
        Ok::<_, ManageError>(part.map(|part| (Bytes::from(part), (export, eim))))
    });
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"portable.ndjson\""))
        .streaming(Box::pin(parts)))
}
