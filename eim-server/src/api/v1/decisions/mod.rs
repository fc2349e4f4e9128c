//! The record of decisions.

pub mod list;
