//! GET and POST /api/v1/euiccs/{eid}/associations

use crate::api::request::{idempotency_key, json, octets, to_the_end};
use crate::api::schema::NewAssociationOf;
use crate::api::{Api, Caller, Problem};
use actix_web::http::header;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage;
use eim_core::manage::views::AssociationsView;
use serde_json::json;

/// Every eIM on an eUICC, as far as it is known: this one first.
///
/// What stands here of other eIMs comes from verified results alone (addEim, updateEim, deleteEim, listEim), or, not `verified`, from
/// a portable export. This eIM counts as
/// `associated` when the eUICC has answered a package of it.
#[utoipa::path(
    get, path = "/api/v1/euiccs/{eid}/associations", tag = "Associations", operation_id = "listAssociations",
    params(("eid" = String, Path, description = "32 digits.")),
    responses(
        (status = 200, description = "The eIMs.", body = AssociationsView),
        (status = 404, description = "It is not registered.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn list(eid: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(manage::associations(&eid, &caller.eim).await?))
}

/// Makes a new association of this eIM known.
///
/// The body has exactly one of `addInitialEimResponse` (what the eUICC answered to the AddInitialEimRequest, in hexadecimal or
/// base64; as `application/octet-stream` the body is that object itself), `associationToken` (the token as somebody tells it,
/// null for none) and `adoptReportedToken` (the one that the eUICC told in an unsigned error).
///
/// Nothing of it is proven: the association is `expected` until the eUICC has answered a package under it. What the eUICC had
/// refused with an unsigned error is made again with a fresh counter; profiles and eIMs are asked for. Under a token that does
/// not change the counter goes on, it never goes back.
#[utoipa::path(
    post, path = "/api/v1/euiccs/{eid}/associations", tag = "Associations", operation_id = "renewAssociation",
    params(
        ("eid" = String, Path, description = "32 digits."),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key has no second effect."),
    ),
    request_body(content((NewAssociationOf = "application/json"), (Vec<u8> = "application/octet-stream"))),
    responses(
        (status = 200, description = "The eIMs on the eUICC.", body = AssociationsView),
        (status = 404, description = "It is not registered.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The association with this token is in force, no token was reported, or the Idempotency-Key was used for another request.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value can't be taken, or the eUICC had refused the request; the code is named, and `addInitialEimRefused` on the timeline keeps it.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["operator"])),
)]
pub async fn renew(
    request: HttpRequest,
    eid: Path<String>,
    payload: Payload,
    caller: Caller,
    api: Data<Api>,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let body =
        if media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/octet-stream")) {
            json!({ "addInitialEimResponse": hex::encode_upper(octets(&request, payload, &api).await?) })
        } else {
            json(&request, payload, &api).await?
        };
    let eim = caller.eim;
    let renew = async move { manage::renew_association(&eid, body, idempotency_key.as_deref(), &eim).await };
    Ok(HttpResponse::Ok().json(to_the_end(renew).await?))
}
