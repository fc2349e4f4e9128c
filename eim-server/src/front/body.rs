//! Reads a request body within its limits of size and time.

use super::{Front, Refusal};
use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::rt::time::timeout;
use actix_web::web::{Bytes, Payload};

/// The whole body, chunked or not.
pub(super) async fn read(
    request: &HttpRequest,
    payload: Payload,
    max_bytes: usize,
    front: &Front,
) -> Result<Bytes, Refusal> {
    // One that announces too much is told so before it sends it.
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|octets: u64| octets > max_bytes as u64) {
        return Err(Refusal::TooLarge);
    }
    match timeout(front.body_timeout, payload.to_bytes_limited(max_bytes)).await {
        Ok(Ok(Ok(body))) => Ok(body),
        Ok(Ok(Err(_))) => Err(Refusal::Incomplete),
        Ok(Err(_)) => Err(Refusal::TooLarge),
        Err(_) => Err(Refusal::TooSlow),
    }
}
