//! The use cases behind the operator API and the command line.

mod api_key;
mod eim;
mod error;
mod euicc;
pub mod event_stream;
mod notification;
mod operation;
mod page;
mod register;
mod update;
mod view;
pub mod views;
pub mod webhook;

pub use api_key::{Principal, Role, authenticate, create_api_key};
pub use eim::{EimConfiguration, eim_configuration, eim_view};
pub use error::{FieldError, ManageError};
pub use euicc::{EuiccFilter, euicc, events, list_euiccs, profiles};
pub use notification::{NotificationFilter, list_notifications};
pub use operation::{
    OperationFilter, abandon_operation, cancel_operation, create_operation, list_operations, operation,
};
pub use register::{NewAssociation, NewEuicc, register_euicc};
pub use update::update_euicc;
pub use views::{
    ApiKeyView, AssociationView, EimView, EuiccView, EventView, NotificationView, OperationView, Page, ProfileView,
    ProfilesView,
};
