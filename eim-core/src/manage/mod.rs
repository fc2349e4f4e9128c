//! The use cases behind the operator API and the command line.

mod api_key;
mod association;
pub mod audit;
mod authority;
mod bulk;
pub(crate) mod campaign;
mod counter;
pub mod desired_state;
mod eim;
mod error;
mod euicc;
pub mod event_stream;
pub mod handover;
pub mod key_rotation;
mod notification;
mod operation;
mod owner_policy;
mod page;
mod pool;
pub mod portable;
mod register;
pub mod rule;
pub(crate) mod statement;
pub(crate) mod switch;
mod tenant;
mod update;
mod view;
pub mod views;
pub mod webhook;

pub use api_key::{
    GrantsUsed, Principal, Role, SCOPES, api_key, authenticate, create_api_key, list_api_keys, make_api_key,
    revoke_api_key, rotate_api_key,
};
pub use association::{associations, renew_association};
pub use authority::{
    NewDecision, confirm_profile_owner, create_grant, create_profile_owner, list_decisions, list_grants,
    list_profile_owners, record_decision, revoke_grant, summary, withdraw_profile_owner,
};
pub use bulk::{
    BulkFormat, Export, ImportLine, ImportOf, ImportReader, ImportSummary, Imported, Importer, LineError, LineOutcome,
    LineReport, Stopped, SummaryLine, export_associations, export_euiccs, export_operations,
};
pub use campaign::{
    CampaignDeviceFilter, act_on_campaign, campaign, clone_campaign, create_campaign, list_campaign_devices,
    list_campaigns, preview_campaign,
};
pub use counter::recover_counter;
pub use eim::{EimConfiguration, TokenRequest, device_configuration, eim_configuration, eim_view};
pub use error::{FieldError, ManageError};
pub use euicc::{EuiccFilter, euicc, events, list_euiccs, profiles};
pub use notification::{NotificationFilter, list_notifications};
pub(crate) use operation::CONFIRMED;
pub use operation::{
    OperationFilter, abandon_operation, cancel_operation, create_operation, dry_run_operation, list_operations,
    operation,
};
pub use owner_policy::{create_owner_policy, delete_owner_policy, list_owner_policies};
pub use pool::{create_pool, import_codes, list_codes, list_pools, pool, release_code};
pub use register::{NewAssociation, NewEuicc, register_euicc};
pub use statement::own_key_id;
pub use switch::{DryRun, SwitchFilter, cancel_switch, create_switch, dry_run_switch, list_switches, switch};
pub use tenant::{as_tenant, create_tenant, list_tenants, make_tenant, show_tenant};
pub use update::update_euicc;
pub use views::{
    ApiKeyView, AssociationView, DecisionView, EimView, EuiccView, EventView, GrantView, NotificationView,
    OperationView, OwnerPolicyView, Page, PoolView, ProfileOwnerView, ProfileView, ProfilesView, SummaryView,
    SwitchView, TenantView,
};
