//! The eIM library: the wire, trust, decisions, the store and the ESipa functions of an SGP.32 eSIM IoT remote Manager.
//!
//! It knows no HTTP, no message broker and no configuration files; whoever embeds it composes an [`Eim`] and hands it
//! decoded ESipa messages. Rooms and what each may use: see ARCHITECTURE.md; `tests/rooms.rs` holds them to it.

#![allow(clippy::duplicate_mod, reason = "the store's transactions are compiled once for each backend's connection")]

pub mod asn1;
pub mod domain;
mod eim;
pub mod esipa;
pub mod ids;
pub mod jobs;
pub mod manage;
pub mod metrics;
pub mod pki;
pub mod ports;
pub mod rsp;
pub mod store;

pub use eim::{AuditLinking, Eim, EimIdType, EimIdentity, EimParts};
