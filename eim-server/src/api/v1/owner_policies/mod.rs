//! Owner policies: what the owner of profiles allows.

pub(in crate::api) mod create;
pub(in crate::api) mod delete;
pub(in crate::api) mod list;
