//! What the suites share: a running server on each database, an API client, devices, and results signed to order.
//!
//! A test drives the server through its two listeners alone. Time stands still unless it is moved; nothing sleeps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a harness fails by panicking")]

mod api;
mod device;
mod downloads;
mod forge;
mod path;
pub mod plan;
mod postgres;
mod receiver;
mod world;

pub use api::{Reply, Role, Upload};
pub use device::{Device, FLEET_SEED};
pub use downloads::{THIN_IPA, code_of, new_iccid, order};
pub use eim_simulator::ipa::{Answer, Binding, Package, PollOptions, PollOutcome, Session};
pub use forge::{Forge, SentPackage};
pub use path::round;
pub use receiver::{Delivered, Receiver};
pub use world::{
    Backend, Mode, World, each_binding, each_mode, each_mode_with, each_store, front_with, matrix, matrix_with, modes,
    modes_with, run_with,
};
