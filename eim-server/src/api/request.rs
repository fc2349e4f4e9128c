//! Reads the parts of a request; what can't be read is a problem that names it.

use super::{Api, Problem};
use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::rt::time::timeout;
use actix_web::web::{Bytes, Payload, Query};
use serde_json::Value;
use std::collections::BTreeMap;

/// Longest Idempotency-Key.
const IDEMPOTENCY_KEY_MAX: usize = 255;

/// The body as JSON, whatever its media type says.
pub(super) async fn json(request: &HttpRequest, payload: Payload, api: &Api) -> Result<Value, Problem> {
    read_json(&octets(request, payload, api).await?)
}

/// The same where a body may be left out; then it is null.
pub(super) async fn json_or_nothing(request: &HttpRequest, payload: Payload, api: &Api) -> Result<Value, Problem> {
    let body = octets(request, payload, api).await?;
    if body.is_empty() { Ok(Value::Null) } else { read_json(&body) }
}

fn read_json(body: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::malformed(format!("the body is not JSON: {error}")))
}

/// The body as it is.
pub(super) async fn octets(request: &HttpRequest, payload: Payload, api: &Api) -> Result<Bytes, Problem> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|octets: u64| octets > api.body_bytes as u64) {
        return Err(Problem::too_large(api.body_bytes));
    }
    match timeout(api.body_timeout, payload.to_bytes_limited(api.body_bytes)).await {
        Ok(Ok(Ok(body))) => Ok(body),
        Ok(Ok(Err(_))) => Err(Problem::malformed("the request body broke off")),
        Ok(Err(_)) => Err(Problem::too_large(api.body_bytes)),
        Err(_) => Err(Problem::too_slow()),
    }
}

/// The key under which a repeated request is recognised.
pub(super) fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let Some(value) = request.headers().get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=IDEMPOTENCY_KEY_MAX).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Problem::malformed_parameter(
            "Idempotency-Key",
            format!("1 to {IDEMPOTENCY_KEY_MAX} visible ASCII characters"),
        )),
    }
}

/// The query parameters; each may be taken once, and none may be left over.
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    pub(super) fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let pairs = Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|_| Problem::malformed("the query can't be read"))?
            .into_inner();
        let mut parameters = BTreeMap::new();
        for (name, value) in pairs {
            if parameters.insert(name.clone(), value).is_some() {
                return Err(Problem::malformed_parameter(&name, "given once"));
            }
        }
        Ok(Self(parameters))
    }

    /// The text of a parameter; an empty one counts as absent.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    /// The same where an empty name is another than none.
    pub(super) fn given(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// A parameter that is true or false; absent is false.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        // Named without a value it is refused: who writes `?dryRun` does not mean false.
        match self.0.remove(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::malformed_parameter(name, "true or false")),
        }
    }

    /// The `limit` of a page.
    pub(super) fn limit(&mut self) -> Result<Option<u32>, Problem> {
        self.text("limit")
            .map(|text| text.parse().map_err(|_| Problem::malformed_parameter("limit", "a number from 1")))
            .transpose()
    }

    /// Refuses what nobody asked for: a mistyped filter must not look like "everything".
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(Problem::malformed_parameter(name, "there is no such query parameter")),
        }
    }
}

/// Does a change to its end, also when the client has gone: what was begun is finished.
pub(super) async fn to_the_end<T: 'static>(
    change: impl Future<Output = Result<T, eim_core::manage::ManageError>> + 'static,
) -> Result<T, Problem> {
    match actix_web::rt::spawn(change).await {
        Ok(outcome) => Ok(outcome?),
        Err(error) => {
            tracing::error!(%error, "an API request was cut off");
            Err(Problem::internal())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn query_parameters_are_known_and_given_once() {
        let of = |query: &str| Parameters::of(&TestRequest::with_uri(&format!("/x?{query}")).to_http_request());
        let mut parameters = of("tag=a%20b&limit=5&cursor=").unwrap();
        assert_eq!(parameters.text("tag").as_deref(), Some("a b"));
        assert_eq!((parameters.limit().unwrap(), parameters.text("cursor")), (Some(5), None));
        parameters.finish().unwrap();
        assert_eq!(of("stat=queued").unwrap().finish().unwrap_err().errors[0].pointer, "/stat");
        assert_eq!(of("limit=all").unwrap().limit().unwrap_err().errors[0].pointer, "/limit");
        assert!(of("tag=a&tag=b").is_err());
        assert_eq!(
            (of("dryRun=true").unwrap().flag("dryRun").unwrap(), of("").unwrap().flag("dryRun").unwrap()),
            (true, false)
        );
        assert!(of("dryRun=").unwrap().flag("dryRun").is_err() && of("dryRun").unwrap().flag("dryRun").is_err());
    }

    #[test]
    fn an_idempotency_key_has_a_limit() {
        let with = |key: &str| {
            idempotency_key(&TestRequest::default().insert_header(("Idempotency-Key", key)).to_http_request())
        };
        assert_eq!(with("abc").unwrap().as_deref(), Some("abc"));
        assert!(with(&"x".repeat(256)).is_err());
        assert_eq!(idempotency_key(&TestRequest::default().to_http_request()).unwrap(), None);
    }
}
