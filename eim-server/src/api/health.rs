//! Whether the process lives and whether it can work.

use super::{Api, Problem};
use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use utoipa::ToSchema;

/// All is well.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`.
    status: &'static str,
    /// What deserves attention though requests are served: keys that devices trust and that are not loaded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

const OK: Health = Health { status: "ok", warnings: vec![] };

/// Whether the process lives. Looks at nothing else: a store that is away is no reason to kill the process.
#[utoipa::path(
    get, path = "/healthz", tag = "Service", operation_id = "healthz",
    responses((status = 200, description = "The process lives.", body = Health)),
)]
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(OK)
}

/// Whether requests can be served: the store answers, its migrations have been run, and the broker, where one is used, is
/// connected. Devices that wait for a key that is not loaded are no reason to serve nobody: they stand in `warnings`.
#[utoipa::path(
    get, path = "/readyz", tag = "Service", operation_id = "readyz",
    responses(
        (status = 200, description = "Requests can be served.", body = Health),
        (status = 503, description = "The store or the broker is away, or migrations are missing.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn readyz(api: Data<Api>) -> Result<HttpResponse, Problem> {
    let store = api.eim.store();
    let pending = async {
        store.ping().await?;
        store.pending_migrations().await
    };
    match pending.await {
        Ok(pending) if pending.is_empty() => {
            if api.queue.as_ref().is_some_and(|queue| !queue.is_connected()) {
                return Err(Problem::unavailable("the broker does not answer"));
            }
            let missing = |(key, euiccs): (eim_core::ids::KeyId, i64)| {
                format!("the signing key {key}, which {euiccs} eUICC(s) trust, is not loaded: their packages wait")
            };
            let warnings = api.eim.missing_keys().into_iter().map(missing).collect();
            Ok(HttpResponse::Ok().json(Health { warnings, ..OK }))
        }
        Ok(pending) => Err(Problem::unavailable(format!("{} migration(s) have not been run", pending.len()))),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            Err(Problem::unavailable("the store does not answer"))
        }
    }
}
