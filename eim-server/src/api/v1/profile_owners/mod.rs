//! Owners of profiles.

pub mod confirm;
pub mod create;
pub mod list;
pub mod withdraw;
