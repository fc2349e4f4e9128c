//! Writes when devices were last seen.

use crate::Eim;
use crate::store::StoreError;

/// Writes the sightings that wait in memory.
///
/// # Errors
/// When the store fails; then they wait on.
pub async fn flush_sightings(eim: &Eim) -> Result<(), StoreError> {
    let done = eim.flush_sightings().await;
    super::count("flush_sightings", &done, eim);
    done
}
