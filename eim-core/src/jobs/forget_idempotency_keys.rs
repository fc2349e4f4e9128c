//! Forgets old idempotency keys.

use crate::Eim;
use crate::store::StoreError;

/// How long a key stands for its request.
const KEPT_MS: i64 = 7 * 24 * 3_600_000;

/// Forgets idempotency keys that are older than a week.
///
/// # Errors
/// When the store fails.
pub async fn forget_idempotency_keys(eim: &Eim) -> Result<usize, StoreError> {
    let done = eim.store().forget_idempotency_keys(eim.clock().now_ms() - KEPT_MS).await;
    super::count("forget_idempotency_keys", &done, eim);
    done
}
