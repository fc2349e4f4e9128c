//! ESipa in the ASN.1 binding: one path for every function (SGP.32 v1.2 6.1.1).

use super::{Binding, Front, Refusal, answer, body, function, refuse, respond};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use eim_core::asn1;
use eim_core::esipa::EsipaAnswer;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/x-gsma-rsp-asn1");

/// POST /gsma/rsp2/asn1
pub(super) async fn serve(request: HttpRequest, payload: Payload, front: Data<Front>) -> HttpResponse {
    match exchange(&request, payload, &front).await {
        Ok(Some(octets)) => {
            respond(&request, StatusCode::OK).insert_header((header::CONTENT_TYPE, CONTENT_TYPE)).body(octets)
        }
        Ok(None) => respond(&request, StatusCode::NO_CONTENT).finish(),
        Err(refusal) => refuse(&request, &refusal, Binding::Asn1, &front),
    }
}

/// The octets of the answer; none for an empty one.
async fn exchange(request: &HttpRequest, payload: Payload, front: &Data<Front>) -> Result<Option<Vec<u8>>, Refusal> {
    let body = body::read(request, payload, front.body_bytes, front).await?;
    let function = function::of_asn1(&body);
    let message = asn1::decode_from_ipa(&body).map_err(|error| Refusal::Undecodable(error.to_string()))?;
    match answer(message, function, Binding::Asn1, request, front).await? {
        EsipaAnswer::Message(message) => asn1::encode(message.as_ref()).map(Some).map_err(|error| {
            tracing::error!(function, %error, "an ESipa answer could not be encoded");
            Refusal::Failed { retryable: false }
        }),
        EsipaAnswer::Empty => Ok(None),
        EsipaAnswer::NotAccepted(_) => Err(Refusal::NotAccepted),
    }
}
