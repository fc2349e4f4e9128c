//! Notifications on their way to their servers.

use super::Connection;
use super::job::ensure_job;
use crate::domain::{NewNotification, NotificationState};
use crate::ids::{Eid, TenantId};
use crate::store::kept;
use crate::store::rows::{NewNotificationRow, NotificationRow};
use crate::store::schema::notifications;
use crate::store::{NotificationFilter, StoreError, StoredNotification};
use diesel::prelude::*;

/// The kind of the job that forwards the notifications of one server; its key is the server's address.
pub(in crate::store) const FORWARD_NOTIFICATIONS: &str = "forwardNotifications";
const FORGOTTEN_AT_ONCE: i64 = 500;

/// Writes a notification, unless it was written before, and the job that forwards it.
pub(super) fn insert_notification(
    conn: &mut Connection,
    notification: &NewNotification,
    eid: &Eid,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    let address = notification.address.key();
    // One that comes after others that are not taken yet does not overtake them.
    let not_before: Option<i64> = notifications::table
        .filter(notifications::tenant_id.eq(tenant.value()).and(notifications::eid.eq(eid.to_string())))
        .filter(notifications::address.eq(&address))
        .filter(notifications::state.eq(NotificationState::Pending.as_str()))
        .select(diesel::dsl::max(notifications::next_attempt_at))
        .first(conn)?;
    let not_before = not_before.unwrap_or(now).max(now);
    let written = diesel::insert_into(notifications::table)
        .values(NewNotificationRow::new(notification, eid, tenant, now, not_before))
        .on_conflict_do_nothing()
        .execute(conn)?;
    if written == 1 { ensure_job(conn, FORWARD_NOTIFICATIONS, &address, tenant, now) } else { Ok(()) }
}

pub(in crate::store) fn notification_page(
    conn: &mut Connection,
    filter: &NotificationFilter,
    tenant: TenantId,
) -> Result<Vec<StoredNotification>, StoreError> {
    let mut query = notifications::table
        .filter(notifications::tenant_id.eq(tenant.value()).and(notifications::seq.gt(filter.after)))
        .order(notifications::seq)
        .limit(filter.limit)
        .select(NotificationRow::as_select())
        .into_boxed();
    if let Some(eid) = filter.eid {
        query = query.filter(notifications::eid.eq(eid.to_string()));
    }
    if let Some(state) = filter.state {
        query = query.filter(notifications::state.eq(state.as_str()));
    }
    if let Some(address) = &filter.address {
        query = query.filter(notifications::address.eq(address.key()));
    }
    query.load(conn)?.into_iter().map(NotificationRow::notification).collect()
}

pub(in crate::store) fn due_notifications(
    conn: &mut Connection,
    address: &str,
    tenant: TenantId,
    now: i64,
    limit: i64,
) -> Result<Vec<StoredNotification>, StoreError> {
    // One that was written while an earlier one of its eUICC was being postponed still stands behind it.
    let earlier = diesel::alias!(notifications as earlier);
    let ahead = earlier
        .filter(earlier.field(notifications::tenant_id).eq(notifications::tenant_id))
        .filter(earlier.field(notifications::address).eq(notifications::address))
        .filter(earlier.field(notifications::eid).eq(notifications::eid))
        .filter(earlier.field(notifications::seq).lt(notifications::seq))
        .filter(earlier.field(notifications::state).eq(NotificationState::Pending.as_str()))
        .filter(earlier.field(notifications::next_attempt_at).gt(now));
    notifications::table
        .filter(notifications::tenant_id.eq(tenant.value()).and(notifications::address.eq(address)))
        .filter(notifications::state.eq(NotificationState::Pending.as_str()))
        .filter(notifications::next_attempt_at.le(now))
        .filter(diesel::dsl::not(diesel::dsl::exists(ahead)))
        .order(notifications::seq)
        .limit(limit)
        .select(NotificationRow::as_select())
        .load(conn)?
        .into_iter()
        .map(NotificationRow::notification)
        .collect()
}

pub(in crate::store) fn next_notification(
    conn: &mut Connection,
    address: &str,
    tenant: TenantId,
) -> Result<Option<i64>, StoreError> {
    let earlier = diesel::alias!(notifications as earlier);
    let ahead = earlier
        .filter(earlier.field(notifications::tenant_id).eq(notifications::tenant_id))
        .filter(earlier.field(notifications::address).eq(notifications::address))
        .filter(earlier.field(notifications::eid).eq(notifications::eid))
        .filter(earlier.field(notifications::seq).lt(notifications::seq))
        .filter(earlier.field(notifications::state).eq(NotificationState::Pending.as_str()))
        .filter(earlier.field(notifications::next_attempt_at).gt(notifications::next_attempt_at));
    Ok(notifications::table
        .filter(notifications::tenant_id.eq(tenant.value()).and(notifications::address.eq(address)))
        .filter(notifications::state.eq(NotificationState::Pending.as_str()))
        .filter(diesel::dsl::not(diesel::dsl::exists(ahead)))
        .select(diesel::dsl::min(notifications::next_attempt_at))
        .first(conn)?)
}

pub(in crate::store) fn end_notification(
    conn: &mut Connection,
    seq: i64,
    state: NotificationState,
    error: Option<&str>,
    tenant: TenantId,
    now: i64,
) -> Result<(), StoreError> {
    let mine = notifications::table.filter(
        notifications::seq
            .eq(seq)
            .and(notifications::tenant_id.eq(tenant.value()))
            .and(notifications::state.eq(NotificationState::Pending.as_str())),
    );
    kept::update(mine)
        .set((
            notifications::state.eq(state.as_str()),
            notifications::last_error.eq(error),
            notifications::ended_at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

pub(in crate::store) fn postpone_notification(
    conn: &mut Connection,
    notification: &StoredNotification,
    error: &str,
    until: i64,
    tenant: TenantId,
) -> Result<(), StoreError> {
    let pending = || notifications::state.eq(NotificationState::Pending.as_str());
    kept::update(notifications::table.filter(notifications::seq.eq(notification.seq).and(pending())))
        .set((notifications::attempts.eq(notifications::attempts + 1), notifications::last_error.eq(error)))
        .execute(conn)?;
    let same_way = notifications::table
        .filter(notifications::tenant_id.eq(tenant.value()).and(notifications::eid.eq(notification.eid.to_string())))
        .filter(notifications::address.eq(notification.address.key()))
        .filter(pending())
        .filter(notifications::seq.ge(notification.seq));
    kept::update(same_way).set(notifications::next_attempt_at.eq(until)).execute(conn)?;
    Ok(())
}

pub(in crate::store) fn note_not_reached(
    conn: &mut Connection,
    address: &str,
    error: &str,
    tenant: TenantId,
    now: i64,
    until: i64,
) -> Result<(), StoreError> {
    let due = notifications::table
        .filter(notifications::tenant_id.eq(tenant.value()).and(notifications::address.eq(address)))
        .filter(notifications::state.eq(NotificationState::Pending.as_str()))
        .filter(notifications::next_attempt_at.le(now));
    kept::update(due)
        .set((
            notifications::attempts.eq(notifications::attempts + 1),
            notifications::last_error.eq(error),
            notifications::next_attempt_at.eq(until),
        ))
        .execute(conn)?;
    Ok(())
}

pub(in crate::store) fn pending_notifications(conn: &mut Connection) -> Result<i64, StoreError> {
    Ok(notifications::table
        .filter(notifications::state.eq(NotificationState::Pending.as_str()))
        .count()
        .get_result(conn)?)
}

pub(in crate::store) fn forget_notifications(conn: &mut Connection, before: i64) -> Result<usize, StoreError> {
    let old: Vec<i64> = notifications::table
        .filter(notifications::ended_at.lt(before))
        .select(notifications::seq)
        .limit(FORGOTTEN_AT_ONCE)
        .load(conn)?;
    Ok(diesel::delete(notifications::table.filter(notifications::seq.eq_any(old))).execute(conn)?)
}
