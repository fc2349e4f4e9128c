//! GET /api/v1/events

use super::sse;
use crate::api::request::Parameters;
use crate::api::{Api, Caller, Problem};
use actix_web::http::header::{ACCEPT, HeaderMap};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::event_stream::{self, StreamFilter, StreamView};

/// Everything that happened, oldest first, as CloudEvents 1.0: the timelines of all eUICCs and whatever else changed.
///
/// Nothing is given that something could still come before: whoever goes on from `nextCursor` misses nothing. With `Accept:
/// text/event-stream` the same comes as server-sent events as it happens; the `id` of each is where to go on, with `after`
/// or `Last-Event-ID`. A stream is ended after an hour, and the client comes back.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "Events", operation_id = "readEvents",
    params(
        ("after" = Option<String>, Query, description = "`nextCursor` of the page before, or `end` for what happens from now on. Without it, from the beginning."),
        ("type" = Option<String>, Query, description = "Only events of this type, or with `*` behind it of those that begin so: `eim.operation*`."),
        ("subject" = Option<String>, Query, description = "Only events about this: `euiccs/89...`, `campaigns/...`."),
        ("eid" = Option<String>, Query, description = "Only events about this eUICC."),
        ("limit" = Option<u32>, Query, description = "How many items a page may have."),
        ("Last-Event-ID" = Option<String>, Header, description = "For server-sent events: the `id` of the last one; goes before `after`."),
    ),
    responses(
        (status = 200, description = "Some events.", body = StreamView),
        (status = 422, description = "A value can't be taken.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many streams are open.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn list(request: HttpRequest, caller: Caller, api: Data<Api>) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let mut filter = StreamFilter {
        after: parameters.text("after"),
        event_type: parameters.text("type"),
        subject: parameters.text("subject"),
        eid: parameters.text("eid"),
        limit: parameters.limit()?,
    };
    parameters.finish()?;
    let eim = caller.eim.clone();
    if !wants_stream(request.headers()) {
        return Ok(HttpResponse::Ok().json(event_stream::stream_page(filter, &eim).await?));
    }
    if let Some(last) = request.headers().get("last-event-id") {
        let text = last.to_str().map_err(|_| Problem::malformed_parameter("Last-Event-ID", "an id of the stream"))?;
        filter.after = Some(text.to_owned()).filter(|text| !text.is_empty()).or(filter.after);
    }
    sse::stream(filter, eim, &api.streams).await
}

fn wants_stream(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|kind| kind.split(';').next().unwrap_or_default().trim() == "text/event-stream")
    })
}
