//! This eIM.

pub mod show;
