//! Whether the process lives and whether it can work.

use super::{Api, Problem};
use actix_web::HttpResponse;
use actix_web::web::Data;
use eim_core::domain::rfc3339;
use eim_core::ids::KeyId;
use eim_core::store::{MigrationNumber, StoreError};
use eim_core::{AuditLinking, Eim};
use serde::Serialize;
use utoipa::ToSchema;

/// All is well.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`.
    status: &'static str,
    /// What deserves attention though requests are served: keys that devices trust and that are not loaded, keys that are away, and
    /// an audit log that is not linked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Records of the audit log get their place within seconds; after so long that deserves attention.
const AUDIT_LATE_MS: i64 = 5 * 60_000;

const OK: Health = Health { status: "ok", warnings: vec![] };

/// Whether the process lives. Looks at nothing else: a store that is away is no reason to kill the process.
#[utoipa::path(
    get, path = "/healthz", tag = "Service", operation_id = "healthz",
    responses((status = 200, description = "The process lives.", body = Health)),
)]
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(OK)
}

/// Whether requests can be served: the store answers, its migrations have been run and none that this version can't live with, and the broker, where one is used, is
/// connected. Devices that wait for a key that is not loaded or away, and an audit log that is not linked, are no reason to serve
/// nobody: they stand in `warnings`.
#[utoipa::path(
    get, path = "/readyz", tag = "Service", operation_id = "readyz",
    responses(
        (status = 200, description = "Requests can be served.", body = Health),
        (status = 503, description = "The store or the broker is away, or migrations are missing.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn readyz(api: Data<Api>) -> Result<HttpResponse, Problem> {
    let store = api.eim.store();
    let looked = async {
        store.ping().await?;
        Ok::<_, StoreError>((store.pending_migrations().await?, store.unknown_migrations().await?))
    };
    match looked.await {
        Ok((_, unknown)) if unknown.iter().any(MigrationNumber::contracts) => {
            Err(Problem::unavailable("a newer version has taken away from the store what this version needs"))
        }
        Ok((pending, _)) if pending.is_empty() => {
            if api.queue.as_ref().is_some_and(|queue| !queue.is_connected()) {
                return Err(Problem::unavailable("the broker does not answer"));
            }
            Ok(HttpResponse::Ok().json(Health { warnings: warnings(&api.eim), ..OK }))
        }
        Ok((pending, _)) => Err(Problem::unavailable(format!("{} migration(s) have not been run", pending.len()))),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            Err(Problem::unavailable("the store does not answer"))
        }
    }
}

/// What deserves attention. Anybody may read it: why a key is away stands in the log.
fn warnings(eim: &Eim) -> Vec<String> {
    let missing = |(key, euiccs): (KeyId, i64)| {
        format!("the signing key {key}, which {euiccs} eUICC(s) trust, is not loaded: their packages wait")
    };
    let away = |(key, since): (KeyId, i64)| {
        let since = rfc3339(since);
        format!("the signing key {key} is away since {since}: packages of eUICCs that trust it wait")
    };
    let AuditLinking { failing_since, waiting } = eim.audit_linking();
    let failing = failing_since.map(|since| format!("the audit log can't be linked since {}", rfc3339(since)));
    let now = eim.clock().now_ms();
    let late = waiting.since.filter(|since| now - since > AUDIT_LATE_MS).map(|since| {
        let (records, since) = (waiting.records, rfc3339(since));
        format!("{records} record(s) of the audit log wait for their place in the chain, the first since {since}")
    });
    let keys = eim.missing_keys().into_iter().map(missing).chain(eim.keys_away().into_iter().map(away));
    keys.chain(failing).chain(late).collect()
}
