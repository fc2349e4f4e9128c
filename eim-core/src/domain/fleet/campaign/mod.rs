//! Campaigns: a plan for many devices, in waves, at a pace, in windows, stopped by thresholds.
//!
//! Pure: [`CampaignSpec`] is what was asked, [`assign`] gives each device its wave, [`act`] is what a person does, and
//! [`step`](step()) says what is to be done next, given counts of where the devices stand. It does not see the devices
//! themselves and does nothing: whoever calls it carries a [`Step`] out and keeps state and facts in the same commit.

mod act;
mod counts;
mod cron;
mod rate;
mod read;
mod spec;
mod state;
mod step;
#[cfg(test)]
pub(in crate::domain::fleet) mod test_fleet;
mod waits;
#[cfg(test)]
mod walk;
mod waves;
mod window;

pub use act::{Act, ActError, Acted, Verb, act, cloned};
pub use counts::{Counts, Reverts, WaveCounts};
pub use rate::RateFacts;
pub use spec::{
    Approval, CampaignSpec, EndBehavior, ErrorAction, ErrorThreshold, Rate, RetryRule, Share, SuccessAction, Target,
    TargetMode, Wave, WaveSize,
};
pub use state::{Actor, Begin, CampaignEvent, CampaignFacts, CampaignState, Pause, Retry, Step};
pub use step::{hold_back, starts, step};
pub use waits::{Wait, WaitFor, waits_for};
pub use waves::{Assignment, Place, assign, place_later};
pub use window::{Window, is_open, next_opening};
