//! Webhooks.

pub mod create;
pub mod delete;
pub mod deliveries;
pub mod list;
pub mod replay;
pub mod rotate_secret;
pub mod show;
pub mod test;
pub mod update;
