//! The use cases behind the operator API and the command line.

mod api_key;
mod eim;
mod error;
mod euicc;
mod notification;
mod operation;
mod owner_policy;
mod page;
mod pool;
mod register;
pub(crate) mod switch;
mod tenant;
mod update;
mod view;
pub mod views;

pub use api_key::{Principal, Role, authenticate, create_api_key};
pub use eim::{EimConfiguration, eim_configuration, eim_view};
pub use error::{FieldError, ManageError};
pub use euicc::{EuiccFilter, euicc, events, list_euiccs, profiles};
pub use notification::{NotificationFilter, list_notifications};
pub use operation::{
    OperationFilter, abandon_operation, cancel_operation, create_operation, list_operations, operation,
};
pub use owner_policy::{create_owner_policy, delete_owner_policy, list_owner_policies};
pub use pool::{create_pool, import_codes, list_codes, list_pools, pool, release_code};
pub use register::{NewAssociation, NewEuicc, register_euicc};
pub use switch::{DryRun, SwitchFilter, cancel_switch, create_switch, dry_run_switch, list_switches, switch};
pub use tenant::{as_tenant, create_tenant};
pub use update::update_euicc;
pub use views::{
    ApiKeyView, AssociationView, EimView, EuiccView, EventView, NotificationView, OperationView, OwnerPolicyView, Page,
    PoolView, ProfileView, ProfilesView, SwitchView,
};
