//! ESipa in the JSON binding: a path for each function (SGP.32 v1.2 6.4.1).

use super::{Binding, Front, Refusal, answer, body, refuse, respond};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::asn1::json_binding::{
    EsipaFunction, JsonBindingError, json_request_to_message, message_to_json_response,
};
use eim_core::esipa::EsipaAnswer;
use serde_json::json;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/json");

/// POST /gsma/rsp2/esipa/{function}
pub(super) async fn serve(
    request: HttpRequest,
    function: Path<String>,
    payload: Payload,
    front: Data<Front>,
) -> HttpResponse {
    match exchange(&request, &function, payload, &front).await {
        Ok(Some(text)) => {
            respond(&request, StatusCode::OK).insert_header((header::CONTENT_TYPE, CONTENT_TYPE)).body(text)
        }
        Ok(None) => respond(&request, StatusCode::NO_CONTENT).finish(),
        Err(refusal) => refuse(&request, &refusal, Binding::Json, &front),
    }
}

/// The text of the answer; none for an empty one.
async fn exchange(
    request: &HttpRequest,
    function: &str,
    payload: Payload,
    front: &Data<Front>,
) -> Result<Option<String>, Refusal> {
    let function = EsipaFunction::from_path_suffix(function).ok_or(Refusal::UnknownFunction)?;
    // The same objects take a third more in base64.
    let max_bytes = front.body_bytes.saturating_mul(3) / 2;
    let body = body::read(request, payload, max_bytes, front).await?;
    let message = json_request_to_message(function, &body).map_err(|error| match error {
        JsonBindingError::TooLarge { .. } => Refusal::TooLarge,
        // The words of the parser may quote the body, which has no place in a log.
        JsonBindingError::NotAnObject { .. } => Refusal::Undecodable("not a JSON object".to_owned()),
        error => Refusal::Undecodable(error.to_string()),
    })?;
    match answer(message, function.path_suffix(), Binding::Json, request, front).await? {
        EsipaAnswer::Message(message) => {
            message_to_json_response(&message).map(|json| Some(json.to_string())).map_err(|error| {
                tracing::error!(function = function.path_suffix(), %error, "an ESipa answer could not be encoded");
                Refusal::Failed { retryable: false }
            })
        }
        EsipaAnswer::Empty => Ok(None),
        EsipaAnswer::NotAccepted(reason) => Ok(Some(not_accepted(reason).to_string())),
    }
}

/// The envelope can say what the ASN.1 binding has no message for.
fn not_accepted(reason: &str) -> serde_json::Value {
    json!({ "header": { "functionExecutionStatus": {
        "status": "Failed",
        "statusCodeData": {
            "subjectCode": "8.10",
            "reasonCode": "4.2",
            "message": reason,
        },
    } } })
}
