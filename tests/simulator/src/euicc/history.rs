//! What an eUICC was given and what it made, for those who compare it in the end with what others say.
//!
//! Nothing is kept unless it is asked for: a fleet of a load test has no use for it.

use super::{Euicc, Notification};

/// A package and the answer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The eUICC Package Request, `BF51`, as it came.
    pub request: Vec<u8>,
    /// The eUICC Package Result, `BF51`, whatever it says.
    pub answer: Vec<u8>,
}

/// Everything since [`Euicc::recording`], oldest first; what was acknowledged and removed included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The packages.
    pub loaded: Vec<Loaded>,
    /// The results, `BF51`, that replaced others because of a roll-back.
    pub rolled_back: Vec<Vec<u8>>,
    /// The notifications.
    pub notifications: Vec<Notification>,
}

impl Euicc {
    /// Keeps its history from now on; builder form.
    #[must_use]
    pub fn recording(mut self) -> Self {
        self.history = Some(History::default());
        self
    }

    /// What it kept; `None` when it keeps nothing.
    #[must_use]
    pub const fn history(&self) -> Option<&History> {
        self.history.as_ref()
    }

    pub(super) fn remember_loaded(&mut self, request: &[u8], answer: &[u8]) {
        if let Some(history) = &mut self.history {
            history.loaded.push(Loaded { request: request.to_vec(), answer: answer.to_vec() });
        }
    }

    pub(super) fn remember_rolled_back(&mut self, result: &[u8]) {
        if let Some(history) = &mut self.history {
            history.rolled_back.push(result.to_vec());
        }
    }

    pub(super) fn keep_notification(&mut self, notification: Notification) {
        if let Some(history) = &mut self.history {
            history.notifications.push(notification.clone());
        }
        self.notifications.push(notification);
    }
}
