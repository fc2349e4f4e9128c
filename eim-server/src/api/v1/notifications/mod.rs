//! Notifications on their way to SM-DP+ and SM-DS.

pub mod list;
