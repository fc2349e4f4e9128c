//! What one API key may ask for, and how often keys that nobody knows are looked up.

use super::TooMany;
use super::rate::Rate;
use super::strangers::Strangers;
use super::table::{Name, Table};
use crate::config::Limits;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Keys that are remembered.
const KEYS: usize = 4_096;

/// The limits for API keys.
#[derive(Debug)]
pub(crate) struct Keys {
    table: Table,
    rate: Rate,
    at_once: usize,
    /// Requests under way, by key; without those that have none.
    under_way: Arc<Mutex<HashMap<String, usize>>>,
    strangers: Strangers,
}

/// A request of a key that is under way. Over when it is dropped.
pub(crate) struct UnderWay {
    key: String,
    all: Arc<Mutex<HashMap<String, usize>>>,
}

impl Keys {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            table: Table::new(KEYS),
            rate: Rate::new(limits.api_key_per_second, limits.api_key_burst),
            at_once: limits.api_key_at_once,
            under_way: Arc::default(),
            strangers: Strangers::new(limits.strangers_per_second, limits.strangers_burst),
        }
    }

    /// Whether a key may be looked up: one that was known before always may.
    pub(crate) fn may_try(&self, secret: &str, now_ms: i64) -> Result<Name, TooMany> {
        let name = self.table.name(secret);
        if !self.table.with(name, |entry| entry.is_known()) {
            let tried = self.strangers.may_try(now_ms.saturating_mul(1_000));
            tried.map_err(|wait| TooMany::after(wait, "strangers"))?;
        }
        Ok(name)
    }

    /// Notes whether it was one that is known.
    pub(crate) fn tried(&self, name: Name, is_known: bool, now_ms: i64) {
        self.strangers.tried(!is_known, Some(name), &self.table, now_ms.saturating_mul(1_000));
    }

    /// Lets a request of a key through.
    pub(crate) fn admit(&self, key_id: &str, now_ms: i64) -> Result<UnderWay, TooMany> {
        let name = self.table.name(("id", key_id));
        let taken = self.table.with(name, |entry| self.rate.take(&mut entry.bucket, now_ms.saturating_mul(1_000)));
        taken.map_err(|wait| TooMany::after(wait, "key"))?;
        let mut all = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = all.entry(key_id.to_owned()).or_default();
        if *under_way >= self.at_once {
            return Err(TooMany { reason: "keyAtOnce", retry_after_s: 1 });
        }
        *under_way += 1;
        Ok(UnderWay { key: key_id.to_owned(), all: Arc::clone(&self.under_way) })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(under_way) = all.get_mut(&self.key) {
            *under_way -= 1;
            if *under_way == 0 {
                all.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::Config;

    #[test]
    fn a_key_has_so_many_requests_at_once_and_nothing_is_kept_of_one_without_any() {
        let mut limits = Config::default().limits;
        limits.api_key_at_once = 2;
        let keys = Keys::new(&limits);
        let one = keys.admit("one", 0).ok().unwrap();
        let two = keys.admit("one", 0).ok().unwrap();
        assert_eq!(keys.admit("one", 0).err().unwrap().reason, "keyAtOnce");
        assert!(keys.admit("other", 0).is_ok());
        drop(one);
        assert!(keys.admit("one", 0).is_ok());
        drop(two);
        assert!(keys.under_way.lock().unwrap().is_empty());
    }

    #[test]
    fn whoever_tries_keys_holds_up_nobody_who_has_one() {
        let mut limits = Config::default().limits;
        (limits.strangers_per_second, limits.strangers_burst) = (1, 3);
        let keys = Keys::new(&limits);
        let name = keys.may_try("mine", 0).unwrap();
        keys.tried(name, true, 0);
        let wrong = |number: u32| keys.may_try(&number.to_string(), 0).map(|name| keys.tried(name, false, 0));
        assert_eq!((0..10).filter(|number| wrong(*number).is_ok()).count(), 3);
        assert!(keys.may_try("mine", 0).is_ok());
        assert!(keys.may_try("another", 2_000).is_ok());
    }
}
