//! The use cases behind the operator API and the command line.

mod api_key;
mod bulk;
mod eim;
mod error;
mod euicc;
mod notification;
mod operation;
mod page;
mod register;
mod update;
mod view;
pub mod views;

pub use api_key::{Principal, Role, authenticate, create_api_key};
pub use bulk::{
    BulkFormat, Export, ImportLine, ImportOf, ImportReader, ImportSummary, Imported, Importer, LineError, LineOutcome,
    LineReport, Stopped, SummaryLine, export_euiccs, export_operations,
};
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
