//! Rules.

pub(in crate::api) mod create;
pub(in crate::api) mod delete;
pub(in crate::api) mod firings;
pub(in crate::api) mod list;
pub(in crate::api) mod show;
pub(in crate::api) mod update;
