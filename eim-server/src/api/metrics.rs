//! What Prometheus reads.

use super::{Api, Problem};
use actix_web::HttpResponse;
use actix_web::web::Data;
use prometheus::{TEXT_FORMAT, TextEncoder};

/// The metrics of the server in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "Service", operation_id = "metrics",
    responses((status = 200, description = "All metrics.", body = String, content_type = "text/plain")),
)]
pub(super) async fn metrics(api: Data<Api>) -> Result<HttpResponse, Problem> {
    if let Err(error) = eim_core::metrics::refresh_queue_gauges(&api.eim).await {
        // Everything else is still worth reading, most of all when the store is away.
        tracing::warn!(%error, "the queue metrics could not be refreshed");
    }
    let text = TextEncoder::new().encode_to_string(&api.registry.gather()).map_err(|error| {
        tracing::error!(%error, "the metrics could not be written");
        Problem::internal()
    })?;
    Ok(HttpResponse::Ok().content_type(TEXT_FORMAT).body(text))
}
