//! The totals of a tenant.

pub mod show;
