//! Forgets what is over: sessions that did not move for long, notifications, deliveries to webhooks and firings of rules that ended.

use crate::Eim;
use crate::store::StoreError;

/// Long enough for an installation result that a device brings late.
const SESSIONS_KEPT_MS: i64 = 90 * 24 * 3_600_000;
const NOTIFICATIONS_KEPT_MS: i64 = 90 * 24 * 3_600_000;
const DELIVERIES_KEPT_MS: i64 = 90 * 24 * 3_600_000;
const FIRINGS_KEPT_MS: i64 = 90 * 24 * 3_600_000;

/// Forgets some hundreds of each at once, and gives how many.
///
/// # Errors
/// When the store fails.
pub async fn forget_old(eim: &Eim) -> Result<usize, StoreError> {
    let now = eim.clock().now_ms();
    let done = async {
        let sessions = eim.store().forget_sessions(now - SESSIONS_KEPT_MS).await?;
        let deliveries = eim.store().forget_deliveries(now - DELIVERIES_KEPT_MS).await?;
        let firings = eim.store().forget_firings(now - FIRINGS_KEPT_MS).await?;
        Ok(sessions + deliveries + firings + eim.store().forget_notifications(now - NOTIFICATIONS_KEPT_MS).await?)
    };
    let done: Result<usize, StoreError> = done.await;
    super::count("forget_old", &done, eim);
    done
}
