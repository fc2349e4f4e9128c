//! Desired state: which profile is enabled, which one is the Fallback Profile and which ones are installed, for one device
//! or for all that a filter matches.
//!
//! Pure: [`DesiredSpec`] is what was asked, [`drift`](drift()) compares it with what the eUICC has told, and [`look`] says
//! what that means for a device: what is told of it, and what is tried next. It sends nothing; whoever calls it carries a
//! [`Correction`] out through the guard, as a switch.

mod drift;
mod look;
mod spec;
#[cfg(test)]
mod tests;

pub use drift::{Correction, Difference, Drift, drift};
pub use look::{
    Correcting, DriftFacts, DriftState, Force, Look, NEW_STATE, OTHER_STATE, Reason, busy, look, note_lost, paced,
    plan_of, refused, stopped, unproven,
};
pub use spec::{DesiredSpec, Installed, ProfileName, Read, Retry, Wanted, WantedFallback, merge, winner};
