//! GET /api/v1/handovers/{id}/offer

use crate::api::{Caller, Problem};
use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Bytes, Path};
use eim_core::manage::ManageError;
use eim_core::manage::handover;
use futures_util::stream;

/// What the other side needs to command the devices to which it was added: EID, counter, the token that the eUICC allocated,
/// certificates. NDJSON, as `POST /api/v1/imports/euiccs` of the other side takes it.
#[utoipa::path(
    get, path = "/api/v1/handovers/{id}/offer", tag = "Hand-overs", operation_id = "offerHandover",
    params(("id" = String, Path, description = "The hand-over.")),
    responses(
        (status = 200, description = "A line for each device to which the other eIM was added.", content_type = "application/x-ndjson"),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["admin"])),
)]
pub async fn offer(id: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let offer = handover::offer_handover(&id, &caller.eim).await?;
    let parts = stream::try_unfold((offer, caller.eim), async |(mut offer, eim)| {
        let part = offer.next_part(&eim).await.inspect_err(|error| tracing::error!(%error, "an offer broke off"))?;
        Ok::<_, ManageError>(part.map(|part| (Bytes::from(part), (offer, eim))))
    });
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"offer.ndjson\""))
        .streaming(Box::pin(parts)))
}
