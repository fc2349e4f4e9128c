//! What a fleet operator asks for beyond single packages: switches with proof, the guard before them, owner policies,
//! campaigns, desired states.
//!
//! All of it is decided on the [`Snapshot`](super::Snapshot) of one eUICC, in the decision that also takes the device's
//! message: a switch never lags behind what a verified result has shown.

pub mod campaign;
pub mod desired;
pub mod filter;
pub mod guard;
pub mod outcome;
mod outlook;
pub mod plan;
pub mod policy;
pub mod rule;
pub mod switch;

pub use guard::{Check, CheckResult, Subject};
pub use outcome::Outcome;
pub use policy::OwnerPolicy;
pub use switch::{DeleteOld, Plan, Proof, Switch, SwitchFacts, SwitchState, Target};
