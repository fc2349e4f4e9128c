//! /api/v1/handovers

pub mod act;
pub mod cancel;
pub mod confirm;
pub mod create;
pub mod devices;
pub mod list;
pub mod offer;
pub mod proof;
pub mod prove;
pub mod show;
