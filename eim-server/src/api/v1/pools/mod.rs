//! Pools of activation codes.

pub(in crate::api) mod codes;
pub(in crate::api) mod create;
pub(in crate::api) mod import;
pub(in crate::api) mod list;
pub(in crate::api) mod release;
pub(in crate::api) mod show;
