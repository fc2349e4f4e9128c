//! Looks at switches whose deadline has come: what did not happen decides them, too.

use super::count;
use crate::Eim;
use crate::store::{ResultKeys, Saved, StoreError};

/// How many are looked at together.
const AT_ONCE: i64 = 200;

/// Decides switches whose deadline has come, some hundreds at once, and gives how many there were.
///
/// # Errors
/// When the store fails.
pub async fn drive_switches(eim: &Eim) -> Result<usize, StoreError> {
    let done = drive(eim).await;
    if !matches!(done, Ok(0)) {
        count("drive_switches", &done, eim);
    }
    done
}

async fn drive(eim: &Eim) -> Result<usize, StoreError> {
    let due = eim.store().due_switches(eim.clock().now_ms(), AT_ONCE).await?;
    if due.is_empty() {
        return Ok(0);
    }
    // Whether a device was seen decides, so it must be known.
    eim.flush_sightings().await?;
    let found = due.len();
    for due in due {
        let (now, eim) = (eim.clock().now_ms(), &eim.of(due.tenant));
        let keys = ResultKeys { without_held: true, ..ResultKeys::default() };
        let Some((snapshot, _)) = eim.store().result_snapshot(due.eid, keys, now).await? else { continue };
        let version = snapshot.euicc.version;
        let work = eim.work(snapshot, now);
        let changes = work.finish();
        // Whoever was faster has looked at it, too.
        if !changes.is_empty() && eim.save(due.eid, version, changes, now).await? == Saved::Conflict {
            tracing::debug!(eid = %due.eid, "a switch was decided by somebody else");
        }
    }
    Ok(found)
}
