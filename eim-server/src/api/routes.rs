//! Every route of the operator API on one page, with the role it needs.

use super::auth::admit;
use super::v1::{api_keys, audit, decisions, grants, handovers, profile_owners, rules, summary, tenants};
use super::v1::{
    campaigns, desired_states, eim, euiccs, events, exports, imports, notifications, operations, owner_policies, pools,
    switches, webhook_deliveries, webhooks,
};
use super::v1::{key_rotations, signing_keys};
use super::{health, metrics, openapi, problem};
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig, delete, get, patch, post, put};
use actix_web::{FromRequest, Handler, Responder, Route};
use eim_core::manage::Role::{self, Admin, Approver, Operator, Viewer};

/// The routes. `Data<Api>` must be in the application data, and [`super::as_problems`] around the application.
///
/// Setting `resultPolicy` to `lab` needs the role admin beyond what stands here (see [`super::auth`]).
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::scope("/api/v1")
                .service(web::resource("/euiccs").route(allow(Viewer, get(), euiccs::list::list)).route(allow(
                    Operator,
                    post(),
                    euiccs::register::register,
                )))
                .service(web::resource("/euiccs/{eid}").route(allow(Viewer, get(), euiccs::show::show)).route(allow(
                    Operator,
                    patch(),
                    euiccs::update::update,
                )))
                .service(web::resource("/euiccs/{eid}/profiles").route(allow(
                    Viewer,
                    get(),
                    euiccs::profiles::profiles,
                )))
                .service(
                    web::resource("/euiccs/{eid}/associations")
                        .route(allow(Viewer, get(), euiccs::associations::list))
                        .route(allow(Operator, post(), euiccs::associations::renew)),
                )
                .service(web::resource("/euiccs/{eid}/eim-configuration").route(allow(
                    Viewer,
                    get(),
                    eim::configuration::of_device,
                )))
                .service(web::resource("/euiccs/{eid}/events").route(allow(Viewer, get(), euiccs::events::events)))
                .service(web::resource("/euiccs/{eid}/counter-recovery").route(allow(
                    Operator,
                    post(),
                    euiccs::counter_recovery::recover,
                )))
                .service(web::resource("/signing-keys").route(allow(Viewer, get(), signing_keys::list::list)))
                .service(
                    web::resource("/key-rotations")
                        .route(allow(Viewer, get(), key_rotations::list::list))
                        .route(allow(Admin, post(), key_rotations::create::create)),
                )
                .service(web::resource("/key-rotations/{id}").route(allow(Viewer, get(), key_rotations::show::show)))
                .service(web::resource("/key-rotations/{id}/devices").route(allow(
                    Viewer,
                    get(),
                    key_rotations::devices::devices,
                )))
                .service(web::resource("/key-rotations/{id}/pause").route(allow(
                    Admin,
                    post(),
                    key_rotations::act::pause,
                )))
                .service(web::resource("/key-rotations/{id}/resume").route(allow(
                    Admin,
                    post(),
                    key_rotations::act::resume,
                )))
                .service(web::resource("/key-rotations/{id}/cancel").route(allow(
                    Admin,
                    post(),
                    key_rotations::act::cancel,
                )))
                .service(web::resource("/key-rotations/{id}/close").route(allow(
                    Admin,
                    post(),
                    key_rotations::act::close,
                )))
                .service(web::resource("/euiccs/{eid}/operations").route(allow(
                    Operator,
                    post(),
                    operations::create::create,
                )))
                .service(web::resource("/operations").route(allow(Viewer, get(), operations::list::list)))
                .service(web::resource("/operations/{id}").route(allow(Viewer, get(), operations::show::show)))
                .service(web::resource("/operations/{id}/cancel").route(allow(
                    Operator,
                    post(),
                    operations::cancel::cancel,
                )))
                .service(web::resource("/operations/{id}/abandon").route(allow(
                    Operator,
                    post(),
                    operations::abandon::abandon,
                )))
                .service(web::resource("/imports/euiccs").route(allow(Operator, post(), imports::euiccs::euiccs)))
                .service(web::resource("/imports/manufacturing").route(allow(
                    Operator,
                    post(),
                    imports::manufacturing::manufacturing,
                )))
                .service(web::resource("/imports/operations").route(allow(
                    Operator,
                    post(),
                    imports::operations::operations,
                )))
                .service(web::resource("/imports/portable").route(allow(Admin, post(), imports::portable::portable)))
                .service(web::resource("/exports/euiccs").route(allow(Viewer, get(), exports::euiccs::euiccs)))
                .service(web::resource("/exports/associations").route(allow(
                    Viewer,
                    get(),
                    exports::associations::associations,
                )))
                .service(web::resource("/exports/operations").route(allow(
                    Viewer,
                    get(),
                    exports::operations::operations,
                )))
                .service(web::resource("/notifications").route(allow(Viewer, get(), notifications::list::list)))
                .service(web::resource("/euiccs/{eid}/switches").route(allow(
                    Operator,
                    post(),
                    switches::create::create,
                )))
                .service(web::resource("/switches").route(allow(Viewer, get(), switches::list::list)))
                .service(web::resource("/switches/{id}").route(allow(Viewer, get(), switches::show::show)))
                .service(web::resource("/switches/{id}/cancel").route(allow(
                    Operator,
                    post(),
                    switches::cancel::cancel,
                )))
                .service(
                    web::resource("/owner-policies")
                        .route(allow(Viewer, get(), owner_policies::list::list))
                        .route(allow(Admin, post(), owner_policies::create::create)),
                )
                .service(web::resource("/owner-policies/{id}").route(allow(
                    Admin,
                    delete(),
                    owner_policies::delete::delete,
                )))
                .service(web::resource("/rules").route(allow(Viewer, get(), rules::list::list)).route(allow(
                    Operator,
                    post(),
                    rules::create::create,
                )))
                .service(
                    web::resource("/rules/{id}")
                        .route(allow(Viewer, get(), rules::show::show))
                        .route(allow(Operator, patch(), rules::update::update))
                        .route(allow(Operator, delete(), rules::delete::delete)),
                )
                .service(web::resource("/rules/{id}/firings").route(allow(Viewer, get(), rules::firings::firings)))
                .service(web::resource("/pools").route(allow(Viewer, get(), pools::list::list)).route(allow(
                    Operator,
                    post(),
                    pools::create::create,
                )))
                .service(web::resource("/pools/{id}").route(allow(Viewer, get(), pools::show::show)))
                .service(
                    web::resource("/pools/{id}/codes").route(allow(Viewer, get(), pools::codes::codes)).route(allow(
                        Operator,
                        post(),
                        pools::import::import,
                    )),
                )
                .service(web::resource("/pools/{id}/codes/{code}/release").route(allow(
                    Operator,
                    post(),
                    pools::release::release,
                )))
                .service(web::resource("/tenants").route(allow(Admin, get(), tenants::list::list)).route(allow(
                    Admin,
                    post(),
                    tenants::create::create,
                )))
                .service(web::resource("/tenants/{name}").route(allow(Admin, get(), tenants::show::show)))
                .service(web::resource("/summary").route(allow(Viewer, get(), summary::show::show)))
                .service(web::resource("/api-keys").route(allow(Admin, get(), api_keys::list::list)).route(allow(
                    Admin,
                    post(),
                    api_keys::create::create,
                )))
                .service(web::resource("/api-keys/{id}/rotate").route(allow(Admin, post(), api_keys::rotate::rotate)))
                .service(web::resource("/api-keys/{id}/revoke").route(allow(Admin, post(), api_keys::revoke::revoke)))
                .service(
                    web::resource("/profile-owners")
                        .route(allow(Viewer, get(), profile_owners::list::list))
                        .route(allow(Admin, post(), profile_owners::create::create)),
                )
                .service(web::resource("/profile-owners/{id}/confirm").route(allow(
                    Admin,
                    post(),
                    profile_owners::confirm::confirm,
                )))
                .service(web::resource("/profile-owners/{id}/withdraw").route(allow(
                    Admin,
                    post(),
                    profile_owners::withdraw::withdraw,
                )))
                .service(web::resource("/grants").route(allow(Viewer, get(), grants::list::list)).route(allow(
                    Admin,
                    post(),
                    grants::create::create,
                )))
                .service(web::resource("/grants/{id}/revoke").route(allow(Admin, post(), grants::revoke::revoke)))
                .service(web::resource("/decisions").route(allow(Admin, get(), decisions::list::list)))
                .service(web::resource("/handovers").route(allow(Viewer, get(), handovers::list::list)).route(allow(
                    Admin,
                    post(),
                    handovers::create::create,
                )))
                .service(web::resource("/handovers/{id}").route(allow(Viewer, get(), handovers::show::show)))
                .service(web::resource("/handovers/{id}/devices").route(allow(
                    Viewer,
                    get(),
                    handovers::devices::devices,
                )))
                .service(web::resource("/handovers/{id}/offer").route(allow(Admin, get(), handovers::offer::offer)))
                .service(web::resource("/handovers/{id}/proofs").route(allow(Admin, post(), handovers::prove::prove)))
                .service(web::resource("/handovers/{id}/confirm").route(allow(
                    Admin,
                    post(),
                    handovers::confirm::confirm,
                )))
                .service(web::resource("/handovers/{id}/cancel").route(allow(Admin, post(), handovers::cancel::cancel)))
                .service(web::resource("/handovers/{id}/pause").route(allow(Admin, post(), handovers::act::pause)))
                .service(web::resource("/handovers/{id}/resume").route(allow(Admin, post(), handovers::act::resume)))
                .service(web::resource("/handovers/{id}/retryFailed").route(allow(
                    Admin,
                    post(),
                    handovers::act::retry_failed,
                )))
                .service(web::resource("/euiccs/{eid}/handover-proof").route(allow(
                    Operator,
                    get(),
                    handovers::proof::proof,
                )))
                .service(web::resource("/audit").route(allow(Admin, get(), audit::list::list)))
                .service(web::resource("/audit/checkpoints").route(allow(
                    Admin,
                    get(),
                    audit::checkpoints::checkpoints,
                )))
                .service(web::resource("/exports/portable").route(allow(Admin, get(), exports::portable::portable)))
                .service(web::resource("/exports/audit").route(allow(Admin, get(), exports::audit::audit)))
                .service(web::resource("/events").route(allow(Viewer, get(), events::list::list)))
                .service(web::resource("/webhooks").route(allow(Viewer, get(), webhooks::list::list)).route(allow(
                    Admin,
                    post(),
                    webhooks::create::create,
                )))
                .service(
                    web::resource("/webhooks/{id}")
                        .route(allow(Viewer, get(), webhooks::show::show))
                        .route(allow(Admin, patch(), webhooks::update::update))
                        .route(allow(Admin, delete(), webhooks::delete::delete)),
                )
                .service(web::resource("/webhooks/{id}/rotate-secret").route(allow(
                    Admin,
                    post(),
                    webhooks::rotate_secret::rotate_secret,
                )))
                .service(web::resource("/webhooks/{id}/replay").route(allow(Admin, post(), webhooks::replay::replay)))
                .service(web::resource("/webhooks/{id}/test").route(allow(Admin, post(), webhooks::test::test)))
                .service(web::resource("/webhooks/{id}/deliveries").route(allow(
                    Viewer,
                    get(),
                    webhooks::deliveries::deliveries,
                )))
                .service(web::resource("/webhook-deliveries/{id}").route(allow(
                    Viewer,
                    get(),
                    webhook_deliveries::show::show,
                )))
                .service(web::resource("/webhook-deliveries/{id}/retry").route(allow(
                    Admin,
                    post(),
                    webhook_deliveries::retry::retry,
                )))
                .service(web::resource("/campaigns").route(allow(Viewer, get(), campaigns::list::list)).route(allow(
                    Operator,
                    post(),
                    campaigns::create::create,
                )))
                .service(web::resource("/campaigns/preview").route(allow(
                    Operator,
                    post(),
                    campaigns::preview::preview,
                )))
                .service(web::resource("/campaigns/{id}").route(allow(Viewer, get(), campaigns::show::show)))
                .service(web::resource("/campaigns/{id}/devices").route(allow(
                    Viewer,
                    get(),
                    campaigns::devices::devices,
                )))
                .service(web::resource("/campaigns/{id}/submit").route(allow(Operator, post(), campaigns::act::submit)))
                .service(web::resource("/campaigns/{id}/approve").route(allow(
                    Approver,
                    post(),
                    campaigns::act::approve,
                )))
                .service(web::resource("/campaigns/{id}/deny").route(allow(Approver, post(), campaigns::act::deny)))
                .service(web::resource("/campaigns/{id}/start").route(allow(Operator, post(), campaigns::act::start)))
                .service(web::resource("/campaigns/{id}/pause").route(allow(Operator, post(), campaigns::act::pause)))
                .service(web::resource("/campaigns/{id}/resume").route(allow(Operator, post(), campaigns::act::resume)))
                .service(web::resource("/campaigns/{id}/nextWave").route(allow(
                    Operator,
                    post(),
                    campaigns::act::next_wave,
                )))
                .service(web::resource("/campaigns/{id}/abort").route(allow(Operator, post(), campaigns::act::abort)))
                .service(web::resource("/campaigns/{id}/revert").route(allow(Operator, post(), campaigns::act::revert)))
                .service(web::resource("/campaigns/{id}/retryFailed").route(allow(
                    Operator,
                    post(),
                    campaigns::act::retry_failed,
                )))
                .service(web::resource("/campaigns/{id}/clone").route(allow(Operator, post(), campaigns::act::clone)))
                .service(
                    web::resource("/euiccs/{eid}/desired-state")
                        .route(allow(Viewer, get(), desired_states::own::show))
                        .route(allow(Operator, put(), desired_states::own::put))
                        .route(allow(Operator, delete(), desired_states::own::delete)),
                )
                .service(
                    web::resource("/desired-states")
                        .route(allow(Viewer, get(), desired_states::list::list))
                        .route(allow(Operator, post(), desired_states::create::create)),
                )
                .service(
                    web::resource("/desired-states/{id}")
                        .route(allow(Viewer, get(), desired_states::show::show))
                        .route(allow(Operator, patch(), desired_states::update::update))
                        .route(allow(Operator, delete(), desired_states::delete::delete)),
                )
                .service(web::resource("/desired-states/{id}/devices").route(allow(
                    Viewer,
                    get(),
                    desired_states::devices::devices,
                )))
                .service(web::resource("/eim").route(allow(Viewer, get(), eim::show::show)))
                .service(web::resource("/eim/configuration").route(allow(Viewer, get(), eim::configuration::show))),
        )
        .service(web::resource("/healthz").route(get().to(health::healthz)))
        .service(web::resource("/readyz").route(get().to(health::readyz)))
        .service(web::resource("/metrics").route(get().to(metrics::metrics)))
        .service(web::resource("/openapi.json").route(get().to(openapi::openapi_json)))
        .service(web::redirect("/docs", "/docs/"))
        .service(openapi::docs())
        .default_service(web::to(problem::not_found));
}

/// What a worker shows: how it is. Nothing of the operator API.
pub fn service_routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/healthz").route(get().to(health::healthz)))
        .service(web::resource("/readyz").route(get().to(health::readyz)))
        .service(web::resource("/metrics").route(get().to(metrics::metrics)))
        .default_service(web::to(problem::not_found));
}

/// A route that needs a key with at least this role.
fn allow<F, Args>(role: Role, route: Route, handler: F) -> Route
where
    F: Handler<Args>,
    F::Output: Responder + 'static,
    Args: FromRequest + 'static,
{
    route.to(handler).wrap(from_fn(move |request, next| admit(role, request, next)))
}
