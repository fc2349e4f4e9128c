//! POST /api/v1/euiccs/{eid}/counter-recovery

use crate::api::request::{idempotency_key, json_or_nothing, to_the_end};
use crate::api::schema::CounterRecovery;
use crate::api::{Api, Caller, Problem};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::EuiccView;

/// Searches for a counter that an eUICC takes whose counter is lost: a harmless question for its profiles, in growing steps above the last
/// known counter, until one is answered.
///
/// Counters that are passed over are gone; at the end of the range the search stops with `counterExhausted`.
#[utoipa::path(
    post, path = "/api/v1/euiccs/{eid}/counter-recovery", tag = "eUICCs", operation_id = "recoverCounter",
    params(
        ("eid" = String, Path, description = "32 digits."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect and shows what is now."),
    ),
    request_body(content = Option<CounterRecovery>, description = "From where, if that is known."),
    responses(
        (status = 200, description = "The search is under way.", body = EuiccView),
        (status = 404, description = "The eUICC is not known.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Its counter is not lost, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn recover(
    request: HttpRequest,
    eid: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let body = json_or_nothing(&request, payload, &api).await?;
    let recover = async move { manage::recover_counter(&eid, body, idempotency_key.as_deref(), &caller.eim).await };
    Ok(HttpResponse::Ok().json(to_the_end(recover).await?))
}
