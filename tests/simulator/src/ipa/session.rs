//! A session: polls until the eIM has nothing more (SGP.32 v1.2 3.1.1.1, step 8).

use super::{Ipa, IpaError, Package, PollOptions, PollOutcome};
use crate::euicc::Euicc;
use std::time::Duration;

/// Trying again after a failure, with a pause that doubles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How often at most, for the whole session.
    pub attempts: u32,
    /// The first pause.
    pub first_pause: Duration,
}

/// How a session goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// What the first poll says; the later ones say nothing.
    pub first_poll: PollOptions,
    /// After so many polls it ends in any case.
    pub max_polls: usize,
    /// Without it the first failure ends the session.
    pub retry: Option<Retry>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { first_poll: PollOptions::default(), max_polls: 32, retry: None }
    }
}

/// What came of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    /// Every poll, in order.
    pub polls: Vec<PollOutcome>,
    /// How often something was tried again.
    pub retries: u32,
}

impl Session {
    /// Whether the eIM had nothing more at the end.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.polls.last().is_some_and(PollOutcome::is_idle)
    }

    /// How many eUICC packages were executed or refused.
    #[must_use]
    pub fn packages(&self) -> usize {
        self.polls.iter().filter(|poll| matches!(poll.package, Package::EuiccPackage(_))).count()
    }
}

impl Ipa {
    /// Polls until noEimPackageAvailable or another eimPackageError, or until the bound is reached.
    ///
    /// # Errors
    /// [`IpaError`] of the failure that was not tried again.
    pub async fn run_session(&mut self, euicc: &mut Euicc, options: &SessionOptions) -> Result<Session, IpaError> {
        let mut session = Session::default();
        while session.polls.len() < options.max_polls {
            let quiet = PollOptions::default();
            let poll = if session.polls.is_empty() { &options.first_poll } else { &quiet };
            match self.step(euicc, poll).await {
                Ok(outcome) => {
                    let ended = matches!(outcome.package, Package::Error(_));
                    session.polls.push(outcome);
                    if ended {
                        break;
                    }
                }
                Err(error) => {
                    let Some(retry) = options.retry.filter(|retry| session.retries < retry.attempts) else {
                        return Err(error);
                    };
                    tokio::time::sleep(retry.first_pause * 2_u32.saturating_pow(session.retries.min(10))).await;
                    session.retries += 1;
                }
            }
        }
        Ok(session)
    }

    async fn step(&mut self, euicc: &mut Euicc, poll: &PollOptions) -> Result<PollOutcome, IpaError> {
        self.deliver_undelivered(euicc).await?;
        self.poll_once(euicc, poll).await
    }
}
