//! The signing keys of this eIM.

pub(in crate::api) mod list;
