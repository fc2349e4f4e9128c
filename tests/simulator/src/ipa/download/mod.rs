//! Profile downloads of an IPA (SGP.32 v1.2 3.2.3): by itself over ES9+ and ES11, or through the eIM.
//!
//! Both ways share the order of the steps. Who carries a message, in which binding, is the only difference, beside what
//! is left to the eIM when it is in between: the comparison of address and OID of the server.

mod compact;
mod flow;
mod messages;
mod options;
mod outcome;
mod report;
mod target;
mod trigger;

pub(super) use compact::notification as compact_notification;
pub use options::{
    Compact, ConfirmationCode, CtxParams1Source, DownloadMode, DownloadOptions, DownloadStep, SmdpAddress,
};
pub use outcome::{Cancellation, DownloadError, DownloadOutcome};
pub(super) use report::Report;
