//! Pure decisions: what to send, what a verified answer changes, how an operation lives. No async, no clock, no store.
//!
//! Every decision takes a [`Snapshot`] of one eUICC as the store holds it and gives [`Changes`]: the store writes them in
//! one transaction, and only if nobody else changed that eUICC meanwhile.

pub mod apply;
pub mod association;
pub mod audit;
pub mod authority;
pub mod changes;
pub mod codes;
pub mod data;
pub mod download;
pub mod euicc;
pub mod event_filter;
pub mod expand;
pub mod fleet;
pub mod handover;
pub mod interpret;
pub mod keys;
pub mod lists;
pub mod operation;
pub mod order;
pub mod package;
pub mod policy_rules;
pub mod poll;
pub mod request;
pub mod session;
pub mod statement;
pub mod work;

pub use association::{AssociationState, LearnedBy, OtherEim, OwnAssociation, TokenPolicy};
pub use changes::{Changes, Event, NewOperation, Received, ReceivedKind, ReceivedStatus, Snapshot};
pub use changes::{DriftChange, NewNotification, NotificationState};
pub use euicc::{Euicc, EuiccState, InstalledRules, Profile, ResultPolicy};
pub use event_filter::{EVENT_TYPES, EventFilter, NoSuchType, TYPE_PREFIX, TypePattern};
pub use operation::{Kind, Operation, OperationError, OperationResult, OperationState, Origin, Purpose, Refusal};
pub use order::{Capabilities, DownloadOrder, Secrets};
pub use request::{FieldError, Request};
pub use session::{Der, DownloadSession, Phase, SessionFacts};
pub use work::{Work, rfc3339};
