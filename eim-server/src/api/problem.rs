//! Everything that goes wrong, in one form: problem details (RFC 9457) with a stable type.

use crate::limits::TooMany;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, ResponseError};
use eim_core::domain::fleet::CheckResult;
use eim_core::manage::ManageError;
use eim_core::store::StoreError;
use serde::Serialize;
use std::time::Instant;
use utoipa::ToSchema;

pub(super) const MEDIA_TYPE: &str = "application/problem+json";
const TYPE_PREFIX: &str = "urn:eim:problem:";

/// After how many seconds to come again when nothing else is known.
const RETRY_AFTER_S: u32 = 5;

/// What went wrong (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// The kind of problem, for programs: `urn:eim:problem:` and a word that stays the same.
    #[serde(rename = "type")]
    #[schema(example = "urn:eim:problem:invalid-value")]
    pub problem_type: String,
    /// The kind of problem, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The members of the request that can't be taken; empty when the request as a whole is the problem.
    pub errors: Vec<ProblemField>,
    /// After how many seconds to come again, for the header Retry-After.
    #[serde(skip)]
    #[schema(ignore)]
    pub retry_after_s: Option<u32>,
}

/// A member of the request that can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProblemField {
    /// A JSON pointer (RFC 6901) into the request body, or `/` and the name of a query parameter or header.
    #[schema(example = "/psmo/0/enable/iccid")]
    pub pointer: String,
    /// What was expected.
    pub message: String,
}

impl Problem {
    fn new(status: StatusCode, slug: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            problem_type: format!("{TYPE_PREFIX}{slug}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_s: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_S),
        }
    }

    fn at(mut self, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        self.errors.push(ProblemField { pointer: pointer.into(), message: message.into() });
        self
    }

    /// 400: the request can't be read.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed-request", "The request can't be read", detail)
    }

    /// 400: a query parameter or header can't be read.
    pub(super) fn malformed_parameter(name: &str, message: impl Into<String>) -> Self {
        Self::malformed(format!("{name} can't be taken")).at(format!("/{name}"), message)
    }

    /// 401: no key, or an unknown one.
    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "An API key is needed", detail)
    }

    /// 403: the key's role does not reach.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "The role of the API key does not reach", detail)
    }

    /// 413: the body is too large.
    pub(super) fn too_large(limit: usize) -> Self {
        Self::of_status(StatusCode::PAYLOAD_TOO_LARGE, format!("a request body may have {limit} octets"))
    }

    /// 413: the body of an import is too large.
    pub(super) fn import_too_large(limit: u64) -> Self {
        Self::of_status(StatusCode::PAYLOAD_TOO_LARGE, format!("the body of an import may have {limit} octets"))
    }

    /// 415: the body is in another notation.
    pub(super) fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// 408: the body did not arrive in time.
    pub(super) fn too_slow() -> Self {
        Self::of_status(StatusCode::REQUEST_TIMEOUT, "the request body did not arrive in time")
    }

    /// 500: our fault; the details are in the log.
    pub(super) fn internal() -> Self {
        Self::of_status(StatusCode::INTERNAL_SERVER_ERROR, "see the log of the server")
    }

    /// 503: not now.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::of_status(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// 429, or 503 when it is the server that has too much to do.
    pub(super) fn too_many(limit: TooMany) -> Self {
        let (status, detail) = match limit.reason {
            "key" => (StatusCode::TOO_MANY_REQUESTS, "more requests came with this API key than it may send"),
            "keyAtOnce" => {
                (StatusCode::TOO_MANY_REQUESTS, "as many requests of this API key are under way as it may have")
            }
            "strangers" => (StatusCode::TOO_MANY_REQUESTS, "too many API keys that are not known were tried"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "too many requests are under way"),
        };
        Self { retry_after_s: Some(limit.retry_after_s), ..Self::of_status(status, detail) }
    }

    /// A problem that its status says enough about.
    fn of_status(status: StatusCode, detail: impl Into<String>) -> Self {
        let (slug, title) = match status {
            StatusCode::BAD_REQUEST => ("malformed-request", "The request can't be read"),
            StatusCode::UNAUTHORIZED => ("unauthorized", "An API key is needed"),
            StatusCode::FORBIDDEN => ("forbidden", "The role of the API key does not reach"),
            StatusCode::NOT_FOUND => ("not-found", "There is no such thing"),
            StatusCode::METHOD_NOT_ALLOWED => ("method-not-allowed", "The method is not for this path"),
            StatusCode::REQUEST_TIMEOUT => ("request-timeout", "The request took too long"),
            StatusCode::PAYLOAD_TOO_LARGE => ("body-too-large", "The request body is too large"),
            StatusCode::TOO_MANY_REQUESTS => ("too-many-requests", "Too many requests"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ("unsupported-media-type", "The request is in another notation"),
            StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "Not available at the moment"),
            status if status.is_client_error() => ("malformed-request", "The request can't be taken"),
            _ => ("internal", "The server failed"),
        };
        Self::new(status, slug, title, detail)
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn json(&self) -> String {
        // Strings and numbers only: this can't fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status());
        response.content_type(MEDIA_TYPE);
        match self.status() {
            StatusCode::UNAUTHORIZED => {
                response.insert_header((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"eim\"")));
            }
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT => {
                // The rest of the body is not read: the connection can't serve another request.
                response.force_close();
            }
            _ => {}
        }
        if let Some(seconds) = self.retry_after_s {
            response.insert_header((header::RETRY_AFTER, HeaderValue::from(seconds)));
        }
        response.body(self.json())
    }
}

/// The one place where failures of use cases become HTTP.
impl From<ManageError> for Problem {
    fn from(error: ManageError) -> Self {
        let detail = error.to_string();
        match error {
            ManageError::NotFound { .. } => Self::of_status(StatusCode::NOT_FOUND, detail),
            ManageError::Conflict { slug, message } => {
                Self::new(StatusCode::CONFLICT, slug, "The state does not allow it", message)
            }
            ManageError::Invalid(fields) => {
                let detail = match fields.as_slice() {
                    [field] => format!("{}: {}", field.pointer, field.message),
                    fields => format!("{} values of the request can't be taken", fields.len()),
                };
                let problem =
                    Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-value", "A value can't be taken", detail);
                fields.into_iter().fold(problem, |problem, field| problem.at(field.pointer, field.message))
            }
            ManageError::Guard(checks) => {
                let title = "A check of the guard refuses it";
                let problem = Self::new(StatusCode::CONFLICT, "guard-refused", title, detail);
                let failed = checks.into_iter().filter(|check| check.result == CheckResult::Failed);
                failed.fold(problem, |problem, check| {
                    let message = match check.cure {
                        Some(cure) => format!("{} {cure}", check.message),
                        None => check.message,
                    };
                    problem.at(format!("/checks/{}", check.name), message)
                })
            }
            ManageError::Forbidden(detail) => Self::forbidden(detail),
            ManageError::Signer(error) => {
                tracing::error!(%error, "an API request needed the signing key");
                Self::unavailable("the signing key could not be used; try again")
            }
            ManageError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "an API request failed in the store");
        if error.retryable() { Self::unavailable("the store did not answer; try again") } else { Self::internal() }
    }
}

/// Wraps the whole application: whatever answers with an error, the framework included, answers with a problem.
pub(crate) async fn as_problems(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let started = Instant::now();
    let method = request.method().clone();
    let response = next.call(request).await?.map_into_boxed_body();
    let status = response.status();
    tracing::debug!(
        %method,
        path = response.request().match_pattern().unwrap_or_default(),
        status = status.as_u16(),
        seconds = started.elapsed().as_secs_f64(),
        "API request"
    );
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == MEDIA_TYPE);
    if !(status.is_client_error() || status.is_server_error()) || is_problem {
        return Ok(response);
    }
    let detail = match status {
        StatusCode::METHOD_NOT_ALLOWED => format!("{method} is not allowed here"),
        StatusCode::NOT_FOUND => "there is nothing at this path".to_owned(),
        status => status.canonical_reason().unwrap_or("the request failed").to_owned(),
    };
    let mut problem = Problem::of_status(status, detail).error_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allow.clone());
    }
    Ok(response.into_response(problem))
}

/// The answer for paths that do not exist.
pub(super) async fn not_found() -> Problem {
    Problem::of_status(StatusCode::NOT_FOUND, "there is nothing at this path")
}

impl actix_web::Responder for Problem {
    type Body = BoxBody;

    fn respond_to(self, _: &actix_web::HttpRequest) -> HttpResponse {
        self.error_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eim_core::manage::FieldError;

    #[test]
    fn each_failure_of_a_use_case_has_its_status_and_type() {
        let conflict = ManageError::Conflict { slug: "operation-delivered", message: "too late".to_owned() };
        let invalid =
            ManageError::Invalid(vec![FieldError::new("/eid", "32 digits"), FieldError::new("/tags", "texts")]);
        for (error, status, slug) in [
            (ManageError::NotFound { what: "eUICC", id: "1".to_owned() }, 404, "not-found"),
            (conflict, 409, "operation-delivered"),
            (invalid, 422, "invalid-value"),
        ] {
            let problem = Problem::from(error);
            assert_eq!((problem.status, problem.problem_type), (status, format!("urn:eim:problem:{slug}")));
        }
    }

    #[test]
    fn the_offending_members_are_named() {
        let problem = Problem::from(ManageError::invalid("/psmo/0/enable/iccid", "18 to 20 digits"));
        assert_eq!(problem.errors.len(), 1);
        assert_eq!(problem.errors[0].pointer, "/psmo/0/enable/iccid");
        assert!(problem.detail.contains("18 to 20 digits"));
        let response = problem.error_response();
        assert_eq!(
            response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes),
            Some(MEDIA_TYPE.as_bytes())
        );
    }
}
