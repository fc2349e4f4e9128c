//! Ends operations that were not delivered in time.

use crate::Eim;
use crate::store::StoreError;

/// Ends queued operations whose validUntil has passed. Gives how many; some hundreds at once.
///
/// # Errors
/// When the store fails.
pub async fn expire_operations(eim: &Eim) -> Result<usize, StoreError> {
    let done = eim.store().expire_operations(eim.clock().now_ms()).await;
    super::count("expire_operations", &done, eim);
    let expired = done?;
    for kind in &expired {
        eim.metrics().count_package(kind, "expired");
    }
    Ok(expired.len())
}
