//! Pages of lists.

use super::ManageError;

/// How many items a page has when nobody says.
const DEFAULT: u32 = 100;
const MAX: u32 = 1_000;

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

/// The cursor of the next page; `None` when this one was not full.
pub(super) fn next(positions: impl DoubleEndedIterator<Item = i64> + ExactSizeIterator, limit: i64) -> Option<String> {
    let full = i64::try_from(positions.len()).is_ok_and(|length| length == limit);
    positions.last().filter(|_| full).map(|last| last.to_string())
}
