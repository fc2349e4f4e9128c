//! Background work: what happens by time alone. Each job may run on any node, any number of times.

mod carry_out_rules;
mod deliver_webhook;
mod drive_campaigns;
mod drive_handovers;
mod drive_key_rotations;
mod drive_rules;
mod drive_switches;
mod expire_operations;
mod flush_sightings;
mod forget_idempotency_keys;
mod forget_old;
mod forward_notifications;
mod keep_desired_states;
mod queued;
mod seal_audit;

pub use carry_out_rules::carry_out_rules;
pub use deliver_webhook::{hurry_letters, wake_webhooks};
pub use drive_campaigns::drive_campaigns;
pub use drive_handovers::drive_handovers;
pub use drive_key_rotations::drive_key_rotations;
pub use drive_rules::{look_for_silence, note_firings};
pub use drive_switches::drive_switches;
pub use expire_operations::expire_operations;
pub use flush_sightings::flush_sightings;
pub use forget_idempotency_keys::forget_idempotency_keys;
pub use forget_old::forget_old;
pub use keep_desired_states::keep_desired_states;
pub use queued::{JobRun, KINDS, due, give_back, give_back_all, handed_out, run};
pub use seal_audit::{close_audit, seal_audit};

use queued::LEASE_MS;

use crate::Eim;
use crate::store::StoreError;

fn count<T>(job: &str, done: &Result<T, StoreError>, eim: &Eim) {
    let outcome = if done.is_ok() { "done" } else { "failed" };
    eim.metrics().jobs_total.with_label_values(&[job, outcome]).inc();
}
