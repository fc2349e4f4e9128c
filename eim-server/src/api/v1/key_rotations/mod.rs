//! Giving devices another signing key.

pub(in crate::api) mod act;
pub(in crate::api) mod create;
pub(in crate::api) mod devices;
pub(in crate::api) mod list;
pub(in crate::api) mod show;
