//! Operations.

pub mod abandon;
pub mod cancel;
pub mod create;
pub mod list;
pub mod show;
