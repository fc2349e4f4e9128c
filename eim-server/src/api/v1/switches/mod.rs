//! Switches: a device moves to another profile, with proof.

pub(in crate::api) mod cancel;
pub(in crate::api) mod create;
pub(in crate::api) mod list;
pub(in crate::api) mod show;
