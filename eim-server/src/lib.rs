//! The eIM server: everything that touches the outside. The decisions are in `eim-core`.
//!
//! [`boot`] puts the parts together, [`config`] says with which values, [`front`] serves devices (ESipa), [`api`] serves
//! operators, and [`cli`] is the command line over all of them. There are no globals: several servers can run in one
//! process, each with its own ports, clock, store and metrics.

pub mod api;
mod background;
pub mod boot;
pub mod cli;
pub mod config;
pub mod front;
pub mod identity;
mod limits;
mod listener;
pub mod outbound;
mod pipeline;
pub mod provisioning;
pub mod queue;
pub mod shutdown;
pub mod signing;
pub mod telemetry;
