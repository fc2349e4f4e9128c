//! Who may do what: bearer API keys of a tenant, with one of four roles.
//!
//! viewer reads; operator also registers and changes eUICCs and asks for operations; approver reads, and approves or denies what others
//! ask for; admin may do everything. The key is looked at before anything else of the request, the body included. A handler
//! works with the [`Caller`], which sees the rows of the key's tenant alone.

use super::{Api, Problem};
use crate::limits::{TooMany, UnderWay};
use actix_web::body::BoxBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest, ResponseError};
use eim_core::Eim;
use eim_core::manage::{self, NewDecision, Principal, Role};
use serde_json::Value;
use std::collections::HashMap;
use std::future::{Ready, ready};

/// Whose request it is.
#[derive(Clone)]
pub(super) struct Caller {
    /// Whose key it was.
    pub(super) principal: Principal,
    /// The application as the key's tenant has it.
    pub(super) eim: Eim,
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // A route without a role in front of it has no caller.
        ready(request.extensions().get::<Self>().cloned().ok_or_else(Problem::internal))
    }
}

impl Caller {
    /// The application as it acts for a tenant: the key's own unless another one is named, which only whoever runs the server
    /// may do.
    pub(super) async fn acting_for(&self, tenant: Option<&str>) -> Result<Eim, Problem> {
        match tenant {
            None => Ok(self.eim.clone()),
            Some(name) => {
                self.must_run_the_server()?;
                Ok(manage::as_tenant(name, &self.eim).await?)
            }
        }
    }

    /// Refuses everybody but an admin of the first tenant.
    pub(super) fn must_run_the_server(&self) -> Result<(), Problem> {
        if self.principal.runs_the_server() {
            return Ok(());
        }
        Err(Problem::forbidden("this is for whoever runs the server: an admin of the first tenant"))
    }
}

/// The group of each noun in a path, for keys that are limited to some groups. A noun without a group is closed to them.
const GROUPS: [(&str, &str); 33] = [
    ("euiccs", "devices"),
    ("profiles", "devices"),
    ("notifications", "devices"),
    ("summary", "devices"),
    ("eim", "devices"),
    ("associations", "devices"),
    ("eim-configuration", "devices"),
    ("manufacturing", "devices"),
    ("operations", "operations"),
    ("switches", "operations"),
    ("rules", "operations"),
    ("desired-state", "operations"),
    ("desired-states", "operations"),
    ("counter-recovery", "operations"),
    ("signing-keys", "devices"),
    ("key-rotations", "campaigns"),
    ("campaigns", "campaigns"),
    ("pools", "campaigns"),
    ("codes", "campaigns"),
    ("events", "events"),
    ("webhooks", "events"),
    ("webhook-deliveries", "events"),
    ("dead-letters", "events"),
    ("deliveries", "events"),
    ("api-keys", "keys"),
    ("tenants", "keys"),
    ("grants", "keys"),
    ("profile-owners", "keys"),
    ("owner-policies", "keys"),
    ("decisions", "keys"),
    ("audit", "keys"),
    ("handovers", "devices"),
    ("portable", "devices"),
];

/// The group of a route: that of the last noun in its path.
fn group(route: &str) -> Option<&'static str> {
    let known = |part: &str| GROUPS.iter().find(|(noun, _)| *noun == part).map(|(_, group)| *group);
    route.split('/').rev().find_map(known)
}

/// Lets a request through when its key has this role or one that includes it, and records what came of a change.
pub(super) async fn admit(
    role: Role,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some(api) = request.app_data::<Data<Api>>().cloned() else {
        return Ok(request.into_response(Problem::internal().error_response()));
    };
    // The store is asked whose key it is: that counts as work, too.
    let place = match api.gate.enter().await {
        Ok(place) => place,
        Err(retry_after_s) => {
            let problem = beyond(TooMany { reason: "busy", retry_after_s }, &api);
            return Ok(request.into_response(problem.error_response()));
        }
    };
    let (caller, under_way) = match authenticate(&request, &api).await {
        Ok(admitted) => admitted,
        Err(problem) => return Ok(request.into_response(problem.error_response())),
    };
    let route = request.match_pattern().unwrap_or_default();
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let action = format!("{} {route}", request.method());
    let path = request.path().to_owned();
    let is_rehearsal = actix_web::web::Query::<HashMap<String, String>>::from_query(request.query_string())
        .is_ok_and(|query| query.get("dryRun").is_some_and(|value| value == "true"));
    let known = |request: &ServiceRequest| match request.app_data::<Data<Api>>() {
        Some(api) if changes => api.queries.check(&route, request.request()),
        _ => Ok(()),
    };
    if let Err(problem) = check(role, &route, &caller.principal).and_then(|()| known(&request)) {
        if changes {
            record(action, path, ("refused", Some(reason(&problem))), None, &caller).await;
        }
        return Ok(request.into_response(problem.error_response()));
    }
    request.extensions_mut().insert(caller.clone());
    if !changes {
        // What leaves the server in bulk, or in its name, does not leave unnoticed.
        let leaves = route.contains("/exports/") || route.ends_with("/handover-proof") || route.ends_with("/offer");
        if leaves && let Err(error) = manage::audit::note_reading(&action, &path, &caller.principal, &caller.eim).await
        {
            return Ok(request.into_response(Problem::from(error).error_response()));
        }
        let response = next.call(request).await;
        drop((place, under_way));
        return response;
    }
    // Nothing is begun that the audit log does not know of.
    let command = match manage::audit::begin_command(&action, &path, &caller.principal, &caller.eim).await {
        Ok(command) => command,
        Err(error) => return Ok(request.into_response(Problem::from(error).error_response())),
    };
    // What was begun is recorded, also when the client has gone.
    let done = actix_web::rt::spawn(async move {
        let response = next.call(request).await;
        match &response {
            Ok(response) => {
                let status = response.status();
                let made = response.headers().get(header::LOCATION).and_then(|place| place.to_str().ok());
                let subject = made.map_or(path, str::to_owned);
                let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
                let outcome = match status {
                    status if status.is_server_error() => "failed",
                    status if status.is_client_error() => "refused",
                    _ if is_rehearsal => "rehearsed",
                    _ => "done",
                };
                let why = match problem {
                    Some(problem) => Some(reason(problem)),
                    None => (!["done", "rehearsed"].contains(&outcome)).then(|| status.as_u16().to_string()),
                };
                record(action, subject, (outcome, why), Some(command), &caller).await;
            }
            Err(_) => record(action, path, ("failed", None), Some(command), &caller).await,
        }
        drop((place, under_way));
        response
    });
    done.await.unwrap_or_else(|error| {
        tracing::error!(%error, "an API request was cut off");
        Err(Problem::internal().into())
    })
}

/// Why a request was refused, without any value of it.
fn reason(problem: &Problem) -> String {
    let kind = problem.problem_type.rsplit(':').next().unwrap_or_default();
    let places: Vec<&str> = problem.errors.iter().take(8).map(|error| error.pointer.as_str()).collect();
    if places.is_empty() { kind.to_owned() } else { format!("{kind}: {}", places.join(", ")) }
}

async fn record(
    action: String,
    subject: String,
    (outcome, reason): (&'static str, Option<String>),
    command: Option<String>,
    caller: &Caller,
) {
    let decision = NewDecision { action, subject, outcome, reason, command };
    if let Err(error) = manage::record_decision(decision, &caller.principal, &caller.eim).await {
        tracing::error!(%error, key = %caller.principal.key_id, "a decision could not be recorded");
    }
}

/// Refuses a change to the result policy "lab" by anyone but an admin: it makes the eIM believe without proof.
pub(super) fn check_lab(body: &Value, principal: &Principal) -> Result<(), Problem> {
    let lab = body.get("resultPolicy").and_then(Value::as_str) == Some("lab");
    if lab && !principal.role.may(Role::Admin) {
        return Err(Problem::forbidden("setting resultPolicy to lab needs the role admin"));
    }
    Ok(())
}

async fn authenticate(request: &ServiceRequest, api: &Api) -> Result<(Caller, UnderWay), Problem> {
    let key = bearer_key(request).ok_or_else(|| {
        manage::audit::note_missing_key(&api.eim);
        Problem::unauthorized("an API key is needed: Authorization: Bearer KEY (see `eim-server api-key create`)")
    })?;
    let now = api.eim.clock().now_ms();
    let name = api.keys.may_try(key, now).map_err(|limit| beyond(limit, api))?;
    let principal = manage::authenticate(key, &api.eim).await?;
    api.keys.tried(name, principal.is_some(), now);
    let principal = principal.ok_or_else(|| Problem::unauthorized("the API key is not known or no longer valid"))?;
    let under_way = api.keys.admit(&principal.key_id, now).map_err(|limit| beyond(limit, api))?;
    let eim = api.eim.of(principal.tenant);
    Ok((Caller { principal, eim }, under_way))
}

/// A refusal for a limit, counted. It is not a decision: a flood must not become one of records.
fn beyond(limit: TooMany, api: &Api) -> Problem {
    api.eim.metrics().requests_refused_total.with_label_values(&["api", limit.reason]).inc();
    if let Some(suppressed) = api.rejections.may_log() {
        tracing::warn!(reason = limit.reason, suppressed, "an API request was beyond a limit");
    }
    Problem::too_many(limit)
}

fn check(role: Role, route: &str, principal: &Principal) -> Result<(), Problem> {
    if !principal.role.may(role) {
        return Err(Problem::forbidden(format!(
            "this needs the role {role}, and the key has the role {}",
            principal.role
        )));
    }
    if !principal.reaches(group(route)) {
        let scopes = principal.scopes.join(", ");
        return Err(Problem::forbidden(format!("the key is limited to {scopes}")));
    }
    Ok(())
}

fn bearer_key(request: &ServiceRequest) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim()).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_route_belongs_to_a_group_that_a_key_may_be_limited_to() {
        let document = serde_json::to_value(crate::api::document()).unwrap();
        let paths = document["paths"].as_object().unwrap().keys().filter(|path| path.starts_with("/api/v1/"));
        for path in paths {
            assert!(group(path).is_some_and(|group| manage::SCOPES.contains(&group)), "{path}");
        }
        assert_eq!(group("/api/v1/euiccs/{eid}/operations"), Some("operations"));
        assert_eq!(group("/api/v1/api-keys/{id}/rotate"), Some("keys"));
        assert_eq!(group("/api/v1/unheard-of"), None);
    }
}
