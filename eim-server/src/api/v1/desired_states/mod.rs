//! Desired states.

pub mod create;
pub mod delete;
pub mod devices;
pub mod list;
pub mod own;
pub mod show;
pub mod update;
