//! X-Admin-Protocol on answers (SGP.32 v1.2 6.1.1): the request's value where it makes sense, else ours.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

const NAME: HeaderName = HeaderName::from_static("x-admin-protocol");
const DEFAULT: HeaderValue = HeaderValue::from_static("gsma/rsp/v2.1.0");
/// Far longer than any version; nobody gets more of his own octets back.
const LENGTH_MAX: usize = 32;

/// The header for the answer to a request with these headers.
pub(super) fn answer_header(request: &HeaderMap) -> (HeaderName, HeaderValue) {
    let value = request.get(NAME).filter(|value| may_be_echoed(value.as_bytes())).cloned().unwrap_or(DEFAULT);
    (NAME, value)
}

fn may_be_echoed(value: &[u8]) -> bool {
    value.starts_with(b"gsma/rsp/")
        && value.len() <= LENGTH_MAX
        && value.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'/' | b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn answered(value: Option<&[u8]>) -> String {
        let mut request = HeaderMap::new();
        if let Some(value) = value {
            request.insert(NAME, HeaderValue::from_bytes(value).unwrap());
        }
        answer_header(&request).1.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_version_of_rsp_is_echoed_and_anything_else_is_not() {
        for version in ["gsma/rsp/v1.0.0", "gsma/rsp/v1.3.0", "gsma/rsp/v2.5.0"] {
            assert_eq!(answered(Some(version.as_bytes())), version);
        }
        let long = format!("gsma/rsp/{}", "9".repeat(100));
        for other in [None, Some(&b"gsma/m2m/v1"[..]), Some(b""), Some(long.as_bytes()), Some(b"gsma/rsp/v2 <b>\xff")] {
            assert_eq!(answered(other), "gsma/rsp/v2.1.0");
        }
    }
}
