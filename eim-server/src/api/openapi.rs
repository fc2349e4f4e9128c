//! The OpenAPI 3.1 document, generated from the handlers, and the reference that shows it.

use super::v1::{api_keys, audit, decisions, grants, handovers, profile_owners, rules, summary, tenants};
use super::v1::{
    campaigns, desired_states, eim, euiccs, events, exports, imports, notifications, operations, owner_policies, pools,
    switches, webhook_deliveries, webhooks,
};
use super::v1::{key_rotations, signing_keys};
use super::{Api, Problem, health, metrics, problem, schema};
use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Data;
use eim_core::manage::{LineReport, SummaryLine};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Document, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The name of the security scheme in the document.
const API_KEY: &str = "apiKey";

/// The document.
#[must_use]
pub fn document() -> Document {
    EimApi::openapi()
}

/// GET /openapi.json
pub(super) async fn openapi_json(api: Data<Api>) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, "application/json")).body(api.openapi_json.clone())
}

/// The reference under `/docs/`; everything it needs is in the binary. The validator, which would be asked over the network,
/// is off.
pub(super) fn docs() -> SwaggerUi {
    SwaggerUi::new("/docs/{_:.*}").config(Config::from("/openapi.json").validator_url("none"))
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "eIM operator API",
        description = "Manages eUICCs through an eSIM IoT remote Manager (GSMA SGP.32 v1.2).\n\n\
            Every request under `/api/v1` needs an API key: `Authorization: Bearer KEY`. Roles: `viewer` reads; \
            `operator` also registers and changes eUICCs and asks for operations; `approver` reads, and approves or denies \
            what others ask for; `admin` may do everything, setting \
            `resultPolicy` to `lab` included.\n\n\
            What a device must do is accepted with 202 and a `Location`; the operation shows what became of it. Times \
            are RFC 3339 in UTC, certificates and other DER base64, short octets upper-case hexadecimal. Problems are \
            RFC 9457 documents with a stable `type`. Lists are read page by page with `cursor`.",
    ),
    paths(
        euiccs::list::list,
        euiccs::register::register,
        euiccs::show::show,
        euiccs::update::update,
        euiccs::profiles::profiles,
        euiccs::events::events,
        euiccs::counter_recovery::recover,
        signing_keys::list::list,
        key_rotations::create::create,
        key_rotations::list::list,
        key_rotations::show::show,
        key_rotations::devices::devices,
        key_rotations::act::pause,
        key_rotations::act::resume,
        key_rotations::act::cancel,
        key_rotations::act::close,
        euiccs::associations::list,
        euiccs::associations::renew,
        eim::configuration::of_device,
        operations::create::create,
        operations::list::list,
        operations::show::show,
        operations::cancel::cancel,
        operations::abandon::abandon,
        notifications::list::list,
        switches::create::create,
        switches::list::list,
        switches::show::show,
        switches::cancel::cancel,
        campaigns::create::create,
        campaigns::preview::preview,
        campaigns::list::list,
        campaigns::show::show,
        campaigns::devices::devices,
        campaigns::act::submit,
        campaigns::act::approve,
        campaigns::act::deny,
        campaigns::act::start,
        campaigns::act::pause,
        campaigns::act::resume,
        campaigns::act::next_wave,
        campaigns::act::abort,
        campaigns::act::revert,
        campaigns::act::retry_failed,
        campaigns::act::clone,
        rules::create::create,
        rules::list::list,
        rules::show::show,
        rules::update::update,
        rules::delete::delete,
        rules::firings::firings,
        desired_states::create::create,
        desired_states::list::list,
        desired_states::show::show,
        desired_states::update::update,
        desired_states::delete::delete,
        desired_states::devices::devices,
        desired_states::own::show,
        desired_states::own::put,
        desired_states::own::delete,
        pools::create::create,
        pools::list::list,
        pools::show::show,
        pools::codes::codes,
        pools::import::import,
        pools::release::release,
        owner_policies::create::create,
        owner_policies::list::list,
        owner_policies::delete::delete,
        tenants::create::create,
        tenants::list::list,
        tenants::show::show,
        summary::show::show,
        api_keys::create::create,
        api_keys::list::list,
        api_keys::rotate::rotate,
        api_keys::revoke::revoke,
        profile_owners::create::create,
        profile_owners::list::list,
        profile_owners::confirm::confirm,
        profile_owners::withdraw::withdraw,
        grants::create::create,
        grants::list::list,
        grants::revoke::revoke,
        decisions::list::list,
        handovers::create::create,
        handovers::list::list,
        handovers::show::show,
        handovers::devices::devices,
        handovers::offer::offer,
        handovers::prove::prove,
        handovers::confirm::confirm,
        handovers::cancel::cancel,
        handovers::act::pause,
        handovers::act::resume,
        handovers::act::retry_failed,
        handovers::proof::proof,
        audit::list::list,
        audit::checkpoints::checkpoints,
        exports::audit::audit,
        exports::portable::portable,
        events::list::list,
        webhooks::create::create,
        webhooks::list::list,
        webhooks::show::show,
        webhooks::update::update,
        webhooks::delete::delete,
        webhooks::rotate_secret::rotate_secret,
        webhooks::replay::replay,
        webhooks::test::test,
        webhooks::deliveries::deliveries,
        webhook_deliveries::show::show,
        webhook_deliveries::retry::retry,
        eim::show::show,
        eim::configuration::show,
        imports::euiccs::euiccs,
        imports::manufacturing::manufacturing,
        imports::operations::operations,
        imports::portable::portable,
        exports::euiccs::euiccs,
        exports::associations::associations,
        exports::operations::operations,
        health::healthz,
        health::readyz,
        metrics::metrics,
    ),
    components(schemas(
        Problem,
        schema::NewOperation,
        schema::EuiccPatch,
        schema::NewAssociationOf,
        schema::WebhookSettings,
        schema::NewReplay,
        schema::SecretRotation,
        LineReport,
        SummaryLine,
        schema::NewSwitch,
        schema::NewKeyRotation,
        schema::CounterRecovery,
        schema::NewOwnerPolicy,
        schema::NewTenant,
        schema::NewApiKey,
        schema::KeyRotation,
        schema::NewProfileOwner,
        schema::NewGrant,
        schema::NewPool,
        schema::NewCampaign,
        schema::RuleSettings,
        schema::CampaignMessage,
        schema::NewDesiredState,
        schema::OwnDesiredState,
        schema::NewCodes,
        schema::NewHandover,
        schema::HandoverProofs,
        schema::HandoverConfirmation,
        schema::Statement,
    )),
    tags(
        (name = "eUICCs", description = "The inventory."),
        (name = "Associations", description = "Which eIMs each eUICC obeys, and the ways in."),
        (name = "Operations", description = "What devices are asked to do, and what became of it."),
        (name = "Notifications", description = "What eUICCs have to tell SM-DP+ and SM-DS, on its way there."),
        (name = "Bulk", description = "Many devices or operations in one request, and all of them in one answer."),
        (name = "Switches", description = "Moving a device to another profile, with proof."),
        (name = "Campaigns", description = "A plan for many devices: in waves, at a pace, approved by a second person."),
        (name = "Rules", description = "What is done by itself when something happens to a device."),
        (name = "Desired states", description = "What is wanted of devices, how they stand to it, and what brings them back."),
        (name = "Pools", description = "Activation codes to hand out, one for each device."),
        (name = "Signing keys", description = "The keys that devices trust, and giving them another one."),
        (name = "Owner policies", description = "What the owner of profiles allows."),
        (name = "Tenants", description = "Organisations that share the server and see nothing of each other."),
        (name = "API keys", description = "Who may use the API, and for what."),
        (name = "Authority", description = "Whose profiles are whose, what owners grant, and the record of decisions."),
        (name = "Hand-overs", description = "Devices that go to another eIM, or come from one."),
        (name = "Audit", description = "A log of everything that counts, which can't be changed without a trace."),
        (name = "Events", description = "Everything that happened, in one stream."),
        (name = "Webhooks", description = "Who is sent events, and what could not be delivered."),
        (name = "eIM", description = "This eIM as eUICCs know it."),
        (name = "Service", description = "For monitoring; no key needed."),
    ),
    modifiers(&Security),
)]
struct EimApi;

/// Adds what is the same for every operation that needs a key.
struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key from `eim-server api-key create`."))
            .build();
        document.components.get_or_insert_default().add_security_scheme(API_KEY, SecurityScheme::Http(scheme));
        for item in document.paths.paths.values_mut() {
            for operation in
                [&mut item.get, &mut item.post, &mut item.patch, &mut item.put, &mut item.delete].into_iter().flatten()
            {
                complete(operation);
            }
        }
    }
}

fn complete(operation: &mut Operation) {
    let Some(role) = required_role(operation) else { return };
    let description = operation.description.take().unwrap_or_default();
    operation.description =
        Some(format!("{description}\n\nNeeds the role `{role}` or a higher one.").trim().to_owned());
    for (status, text) in [
        ("400", "The request can't be read."),
        ("401", "No API key, or one that is not known."),
        ("403", "The role of the API key does not reach."),
        ("429", "Too many requests came with this API key; Retry-After says when to come again."),
        ("default", "Any other problem."),
    ] {
        let response = ResponseBuilder::new()
            .description(text)
            .content(problem::MEDIA_TYPE, Content::new(Some(Ref::from_schema_name("Problem"))))
            .build();
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| response.into());
    }
}

/// The role that stands in the security requirement (OpenAPI 3.1 allows role names there).
fn required_role(operation: &Operation) -> Option<String> {
    let requirements = serde_json::to_value(operation.security.as_ref()?).ok()?;
    Some(requirements.get(0)?.get(API_KEY)?.get(0)?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_document_is_openapi_3_1_and_resolves_all_its_references() {
        let document = serde_json::to_value(document()).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let text = document.to_string();
        for (at, _) in text.match_indices("\"$ref\":\"#") {
            let pointer = text[at + 9..].split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer} does not resolve");
        }
    }

    #[test]
    fn every_operation_under_api_names_its_role() {
        let document = serde_json::to_value(document()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        assert!(paths.keys().filter(|path| path.starts_with("/api/v1/")).count() >= 9);
        for (path, item) in paths.iter().filter(|(path, _)| path.starts_with("/api/v1/")) {
            for (method, operation) in item.as_object().unwrap() {
                let role = operation["security"][0]["apiKey"][0].as_str().unwrap();
                let known = ["viewer", "operator", "approver", "admin"];
                assert!(known.contains(&role) && (role != "viewer" || method == "get"), "{method} {path}: {role}");
                assert!(operation["responses"]["403"].is_object());
            }
        }
    }
}
