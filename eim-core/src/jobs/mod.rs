//! Background work: what happens by time alone. Each job may run on any node, any number of times.

mod expire_operations;
mod flush_sightings;

pub use expire_operations::expire_operations;
pub use flush_sightings::flush_sightings;

use crate::Eim;
use crate::store::StoreError;

fn count<T>(job: &str, done: &Result<T, StoreError>, eim: &Eim) {
    let outcome = if done.is_ok() { "done" } else { "failed" };
    eim.metrics().jobs_total.with_label_values(&[job, outcome]).inc();
}
