//! Looking at notifications on their way to SM-DP+ and SM-DS.

use super::views::{NotificationView, Page};
use super::{ManageError, page};
use crate::Eim;
use crate::domain::{NotificationState, rfc3339};
use crate::ids::{Eid, RspAddress};
use crate::store::{self, StoredNotification};

/// Which notifications to list.
#[derive(Debug, Clone, Default)]
pub struct NotificationFilter {
    /// Only those of this eUICC.
    pub eid: Option<String>,
    /// Only those in this state.
    pub state: Option<String>,
    /// Only those for this server.
    pub address: Option<String>,
    /// The `nextCursor` of the page before.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// Lists notifications, oldest first.
///
/// # Errors
/// When a filter can't be taken.
pub async fn list_notifications(filter: NotificationFilter, eim: &Eim) -> Result<Page<NotificationView>, ManageError> {
    let (after, limit) = page::bounds(filter.cursor.as_deref(), filter.limit)?;
    let eid = match filter.eid.as_deref() {
        None => None,
        Some(text) => Some(text.parse::<Eid>().map_err(|error| ManageError::invalid("/eid", format!("{error}")))?),
    };
    let address = match filter.address.as_deref() {
        None => None,
        Some(text) => {
            Some(text.parse::<RspAddress>().map_err(|error| ManageError::invalid("/address", format!("{error}")))?)
        }
    };
    let state = match filter.state.as_deref() {
        None => None,
        Some(word) => Some(
            NotificationState::from_word(word)
                .ok_or_else(|| ManageError::invalid("/state", "one of pending, delivered and givenUp is expected"))?,
        ),
    };
    let filter = store::NotificationFilter { eid, state, address, after, limit: limit + 1 };
    let mut found = eim.store().notifications(filter).await?;
    let next_cursor = page::cut(&mut found, limit, |notification| notification.seq);
    Ok(Page { items: found.into_iter().map(view).collect(), next_cursor })
}

fn view(notification: StoredNotification) -> NotificationView {
    let pending = notification.state == NotificationState::Pending;
    NotificationView {
        id: notification.id.to_string(),
        eid: notification.eid.to_string(),
        seq_number: notification.seq_number.value(),
        event: notification.event,
        iccid: notification.iccid.and_then(|iccid| iccid.digits()),
        raw_iccid: notification.iccid.map(|iccid| iccid.raw_hex()),
        notification_address: notification.address.to_string(),
        state: notification.state.as_str().to_owned(),
        attempts: notification.attempts,
        next_attempt_at: pending.then(|| rfc3339(notification.next_attempt_at)),
        last_error: notification.last_error,
        created_at: rfc3339(notification.created_at),
        ended_at: notification.ended_at.map(rfc3339),
    }
}
