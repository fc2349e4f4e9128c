//! eUICCs.

pub mod associations;
pub mod counter_recovery;
pub mod events;
pub mod list;
pub mod profiles;
pub mod register;
pub mod show;
pub mod update;
