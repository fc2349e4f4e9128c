//! Campaigns: a plan for many devices.

pub(in crate::api) mod act;
pub(in crate::api) mod create;
pub(in crate::api) mod devices;
pub(in crate::api) mod list;
pub(in crate::api) mod preview;
pub(in crate::api) mod show;
