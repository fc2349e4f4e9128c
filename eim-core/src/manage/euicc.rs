//! Looking at eUICCs.

use super::views::{EuiccView, EventView, Page, ProfilesView};
use super::{ManageError, page, view};
use crate::Eim;
use crate::domain::{EuiccState, rfc3339};
use crate::ids::Eid;
use crate::store::{self, StoreError};

/// Which eUICCs to list.
#[derive(Debug, Clone, Default)]
pub struct EuiccFilter {
    /// Only those with this tag.
    pub tag: Option<String>,
    /// Only those in this state.
    pub state: Option<String>,
    /// The `nextCursor` of the page before.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// Reads an EID of a path; what is no EID names nothing.
pub(super) fn eid_of(text: &str) -> Result<Eid, ManageError> {
    text.parse().map_err(|_| ManageError::NotFound { what: "eUICC", id: text.chars().take(64).collect() })
}

fn not_found(eid: Eid) -> ManageError {
    ManageError::NotFound { what: "eUICC", id: eid.to_string() }
}

/// Lists eUICCs in the order in which they were registered.
///
/// # Errors
/// When a filter can't be taken.
pub async fn list_euiccs(filter: EuiccFilter, eim: &Eim) -> Result<Page<EuiccView>, ManageError> {
    eim.flush_sightings().await?;
    let (after, limit) = page::bounds(filter.cursor.as_deref(), filter.limit)?;
    let filter = store_filter(filter, after, limit + 1)?;
    let mut found = eim.store().euiccs(filter).await?;
    let next_cursor = page::cut(&mut found, limit, |listed| listed.seq);
    let eim = eim.clone();
    // Each one's certificates are verified to say whether they are trusted now, which takes a while for a long page.
    let show = move || found.into_iter().map(|listed| view::euicc(listed.euicc, listed.held_results, &eim)).collect();
    let items = tokio::task::spawn_blocking(show).await.map_err(|_| StoreError::Closed)?;
    Ok(Page { items, next_cursor })
}

/// The filter of a list as the store takes it.
pub(super) fn store_filter(filter: EuiccFilter, after: i64, limit: i64) -> Result<store::EuiccFilter, ManageError> {
    let state = match filter.state.as_deref() {
        None => None,
        Some(word) => Some(EuiccState::from_word(word).ok_or_else(|| {
            let words: Vec<&str> = EuiccState::ALL.iter().map(|state| state.as_str()).collect();
            ManageError::invalid("/state", format!("one of {} is expected", words.join(", ")))
        })?),
    };
    if filter.tag.as_ref().is_some_and(|tag| tag.contains('\0')) {
        return Err(ManageError::invalid("/tag", "a tag has no zero octet"));
    }
    Ok(store::EuiccFilter { tag: filter.tag, state, after, limit })
}

/// Shows one eUICC.
///
/// # Errors
/// When it is not known.
pub async fn euicc(eid: &str, eim: &Eim) -> Result<EuiccView, ManageError> {
    let eid = eid_of(eid)?;
    eim.flush_sightings_of(&[eid]).await?;
    let (euicc, held) = eim.store().euicc(eid).await?.ok_or_else(|| not_found(eid))?;
    Ok(view::euicc(euicc, held, eim))
}

/// Shows the profiles of an eUICC as last reported.
///
/// # Errors
/// When the eUICC is not known.
pub async fn profiles(eid: &str, eim: &Eim) -> Result<ProfilesView, ManageError> {
    let eid = eid_of(eid)?;
    let (euicc, _) = eim.store().euicc(eid).await?.ok_or_else(|| not_found(eid))?;
    let profiles = eim.store().profiles(eid).await?;
    Ok(ProfilesView {
        stale: euicc.profiles_stale,
        verified: euicc.profiles_verified && profiles.iter().all(|profile| profile.verified),
        listed_at: euicc.profiles_listed_at.map(rfc3339),
        items: profiles.into_iter().map(view::profile).collect(),
    })
}

/// Shows what happened to an eUICC, oldest first.
///
/// # Errors
/// When the eUICC is not known, or the cursor can't be taken.
pub async fn events(
    eid: &str,
    cursor: Option<&str>,
    limit: Option<u32>,
    eim: &Eim,
) -> Result<Page<EventView>, ManageError> {
    let eid = eid_of(eid)?;
    let (after, limit) = page::bounds(cursor, limit)?;
    eim.store().euicc(eid).await?.ok_or_else(|| not_found(eid))?;
    let mut found = eim.store().events(eid, after, limit + 1).await?;
    let next_cursor = page::cut(&mut found, limit, |event| event.seq);
    let items = found
        .into_iter()
        .map(|event| EventView { at: rfc3339(event.at), event_type: event.event_type, details: event.details })
        .collect();
    Ok(Page { items, next_cursor })
}
