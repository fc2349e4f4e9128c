//! /api/v1/audit

pub mod checkpoints;
pub mod list;
