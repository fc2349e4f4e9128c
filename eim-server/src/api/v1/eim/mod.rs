//! This eIM.

pub mod configuration;
pub mod show;
