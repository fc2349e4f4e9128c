//! Who may do what: bearer API keys of a tenant, with one of four roles.
//!
//! viewer reads; operator also registers and changes eUICCs and asks for operations; approver reads, and approves or denies what others
//! ask for; admin may do everything. The key is looked at before anything else of the request, the body included. A handler
//! works with the [`Caller`], which sees the rows of the key's tenant alone.

use super::{Api, Problem};
use actix_web::body::BoxBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest, ResponseError};
use eim_core::Eim;
use eim_core::manage::{self, Principal, Role};
use serde_json::Value;
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

/// Lets a request through when its key has at least this role.
pub(super) async fn admit(
    role: Role,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    match check(role, &request).await {
        Ok((principal, eim)) => {
            let eim = eim.of(principal.tenant);
            request.extensions_mut().insert(Caller { principal, eim });
            next.call(request).await
        }
        Err(problem) => Ok(request.into_response(problem.error_response())),
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

async fn check(role: Role, request: &ServiceRequest) -> Result<(Principal, Eim), Problem> {
    let api = request.app_data::<Data<Api>>().ok_or_else(Problem::internal)?;
    let key = bearer_key(request).ok_or_else(|| {
        Problem::unauthorized("an API key is needed: Authorization: Bearer KEY (see `eim-server api-key create`)")
    })?;
    let principal = manage::authenticate(key, &api.eim)
        .await?
        .ok_or_else(|| Problem::unauthorized("the API key is not known or no longer valid"))?;
    if !principal.role.may(role) {
        return Err(Problem::forbidden(format!(
            "this needs the role {role}, and the key has the role {}",
            principal.role
        )));
    }
    Ok((principal, api.eim.clone()))
}

fn bearer_key(request: &ServiceRequest) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim()).filter(|key| !key.is_empty())
}
