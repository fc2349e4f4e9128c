//! Pages of lists.

use super::ManageError;

/// How many items a page has when nobody says.
const DEFAULT: u32 = 100;
const MAX: u32 = 1_000;

/// Where a page starts, how long it is, and whether the list begins with the newest item.
pub(super) fn ordered_bounds(
    order: Option<&str>,
    cursor: Option<&str>,
    limit: Option<u32>,
) -> Result<(i64, i64, bool), ManageError> {
    let newest = match order {
        None | Some("oldest") => false,
        Some("newest") => true,
        Some(_) => return Err(ManageError::invalid("/order", "one of oldest, newest is expected")),
    };
    let (after, limit) = bounds(cursor, limit)?;
    Ok((if newest && cursor.is_none() { i64::MAX } else { after }, limit, newest))
}

/// Where a page starts and how long it is.
pub(super) fn bounds(cursor: Option<&str>, limit: Option<u32>) -> Result<(i64, i64), ManageError> {
    let after = match cursor {
        None => 0,
        Some(cursor) => cursor
            .parse::<i64>()
            .ok()
            .filter(|after| *after >= 0)
            .ok_or_else(|| ManageError::invalid("/cursor", "a nextCursor of an earlier page is expected"))?,
    };
    let limit = limit.unwrap_or(DEFAULT);
    if limit == 0 || limit > MAX {
        return Err(ManageError::invalid("/limit", format!("a number from 1 to {MAX} is expected")));
    }
    Ok((after, i64::from(limit)))
}

/// Cuts a list that was loaded with one item more than a page holds, and gives the cursor of the next page where that one
/// was there.
pub(super) fn cut<T>(found: &mut Vec<T>, limit: i64, position: impl Fn(&T) -> i64) -> Option<String> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if found.len() <= limit {
        return None;
    }
    found.truncate(limit);
    found.last().map(|last| position(last).to_string())
}
