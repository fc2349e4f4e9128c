//! Which query parameters a request that changes something takes: those that the OpenAPI document names, and no others.
//!
//! A `?dryRun=true` that nobody reads would do what somebody only wanted to look at.

use super::Problem;
use super::request::Parameters;
use actix_web::HttpRequest;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Names of query parameters by method (lower case) and path of a route.
pub(super) struct Queries(BTreeMap<(String, String), BTreeSet<String>>);

impl Queries {
    /// Those of an OpenAPI document.
    pub(super) fn of(document: &Value) -> Self {
        let mut names = BTreeMap::new();
        for (path, item) in document.get("paths").and_then(Value::as_object).into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
                let query = parameters.filter(|parameter| parameter.get("in").is_some_and(|place| place == "query"));
                let taken: BTreeSet<String> =
                    query.filter_map(|parameter| Some(parameter.get("name")?.as_str()?.to_owned())).collect();
                names.insert((method.clone(), path.clone()), taken);
            }
        }
        Self(names)
    }

    /// Refuses a parameter that the route does not take.
    pub(super) fn check(&self, route: &str, request: &HttpRequest) -> Result<(), Problem> {
        if request.query_string().is_empty() {
            return Ok(());
        }
        let mut parameters = Parameters::of(request)?;
        let key = (request.method().as_str().to_lowercase(), route.to_owned());
        for name in self.0.get(&key).into_iter().flatten() {
            parameters.text(name);
        }
        parameters.finish()
    }
}
