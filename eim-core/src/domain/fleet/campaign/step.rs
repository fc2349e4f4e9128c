//! What a campaign does next.
//!
//! - A wave has ended when none of its devices waits, runs or is to be tried again; then it soaks; then it is judged by
//!   its success threshold. The next wave begins at its `startAt`, within a window.
//! - Error thresholds of all waves that have begun are looked at first, in every step, and act at once.
//! - Nothing begins before `startAt`, outside of the windows, faster than the rate, or from `endAt` on.
//! - Reverts do not wait for windows or rate: they repair.

use super::counts::{Counts, WaveCounts};
use super::spec::{CampaignSpec, EndBehavior, ErrorAction, SuccessAction, TargetMode};
use super::state::{Begin, CampaignEvent, CampaignFacts, CampaignState, Pause, Retry, Step};
use super::window::next_opening;
use crate::domain::fleet::outcome::Outcome;
use serde_json::{Value, json};

/// Decides what is to be done at this time (milliseconds since 1970), and moves state and facts on. Doing it twice with
/// the same counts does no harm; only the rate then counts more than began.
pub fn step(
    spec: &CampaignSpec,
    state: &mut CampaignState,
    facts: &mut CampaignFacts,
    counts: &Counts,
    now: i64,
) -> Step {
    let mut turn = Turn { spec, state, facts, counts, now, step: Step::default() };
    turn.take();
    turn.step
}

/// Whether the next step would start it by itself: its `startAt` has come.
#[must_use]
pub fn starts(spec: &CampaignSpec, state: CampaignState, now: i64) -> bool {
    let has_come = |time: Option<i64>| time.is_some_and(|time| time <= now);
    state == CampaignState::Approved && has_come(spec.start_at) && !has_come(spec.end_at)
}

/// What is done instead of a step that would start it, where its pool has too few codes, as this message says: it is paused, and
/// starts when a person resumes it.
pub fn hold_back(spec: &CampaignSpec, state: &mut CampaignState, facts: &mut CampaignFacts, message: String) -> Step {
    let details = json!({ "reason": Pause::POOL_TOO_SMALL, "message": &message, "wave": facts.wave });
    facts.pause = Some(Pause { name: Pause::POOL_TOO_SMALL.to_owned(), message });
    *state = CampaignState::Paused;
    Step {
        events: vec![CampaignEvent { kind: "campaignPaused", details }],
        look_again_at: spec.end_at,
        ..Step::default()
    }
}

struct Turn<'a> {
    spec: &'a CampaignSpec,
    state: &'a mut CampaignState,
    facts: &'a mut CampaignFacts,
    counts: &'a Counts,
    now: i64,
    step: Step,
}

impl Turn<'_> {
    fn take(&mut self) {
        let is_over = self.spec.end_at.is_some_and(|end| end <= self.now);
        match *self.state {
            CampaignState::Submitted | CampaignState::Approved if is_over => {
                self.facts.cut_off = true;
                self.close();
            }
            CampaignState::Submitted => self.look_at(self.spec.end_at),
            CampaignState::Approved if self.spec.start_at.is_some_and(|start| start <= self.now) => {
                *self.state = CampaignState::Running;
                self.facts.started_at = Some(self.now);
                self.event("campaignStarted", json!({}));
                self.go_on();
            }
            CampaignState::Approved => {
                self.look_at(self.spec.start_at);
                self.look_at(self.spec.end_at);
            }
            CampaignState::Running | CampaignState::Paused if is_over => self.close(),
            CampaignState::Running | CampaignState::Paused => self.go_on(),
            CampaignState::Aborting => self.wind_down(),
            CampaignState::Reverting => self.revert(),
            CampaignState::Draft
            | CampaignState::Denied
            | CampaignState::Aborted
            | CampaignState::Reverted
            | CampaignState::Completed
            | CampaignState::Expired => {}
        }
    }

    fn go_on(&mut self) {
        self.judge_errors();
        if *self.state == CampaignState::Running {
            self.try_again();
            self.move_waves();
        }
        if *self.state == CampaignState::Running {
            self.begin();
        }
        match *self.state {
            CampaignState::Aborting => self.wind_down(),
            CampaignState::Reverting => self.revert(),
            CampaignState::Running | CampaignState::Paused => self.look_at(self.spec.end_at),
            _ => {}
        }
    }

    /// Acts when a wave has too many errors, and more than a person has seen.
    fn judge_errors(&mut self) {
        for (index, wave) in self.spec.waves.iter().enumerate().take(self.facts.wave.map_or(0, |wave| wave + 1)) {
            let Some(threshold) = &wave.error_threshold else { continue };
            let (errors, executed) = self.counts.wave(index).errors(threshold);
            let seen = self.facts.errors_seen.get(index).copied().unwrap_or(0);
            if errors <= seen || !threshold.is_reached(errors, executed) {
                continue;
            }
            let details =
                json!({ "reason": Pause::ERROR_THRESHOLD, "wave": index, "errors": errors, "executed": executed });
            let message = format!("{errors} of {executed} executed devices of wave {index} ended badly");
            let stopped = |message| Some(Pause { name: Pause::ERROR_THRESHOLD.to_owned(), message });
            match wave.error_action {
                ErrorAction::Pause if *self.state == CampaignState::Paused => {}
                ErrorAction::Pause => self.pause(Pause::ERROR_THRESHOLD, message),
                ErrorAction::Abort => {
                    self.facts.stopped = stopped(message);
                    return self.turn_to(CampaignState::Aborting, "campaignAborting", details);
                }
                ErrorAction::AbortAndRevert => {
                    self.facts.stopped = stopped(message);
                    self.facts.reverts_known = false;
                    return self.turn_to(CampaignState::Reverting, "campaignReverting", details);
                }
            }
        }
    }

    /// Lets ended devices wait for another attempt.
    fn try_again(&mut self) {
        for (wave, counts) in self.counts.waves.iter().enumerate() {
            for (outcome, attempts, _) in counts.ended.iter().copied().filter(|(.., n)| *n > 0) {
                if let Some(delay) = self.spec.retry_rule(outcome).and_then(|rule| rule.delay_ms(attempts)) {
                    let not_before = self.now.saturating_add(delay);
                    self.step.retry.push(Retry { wave, outcome, attempts, not_before });
                    self.look_at(Some(not_before));
                }
            }
        }
    }

    /// Begins the waves whose time has come.
    fn move_waves(&mut self) {
        loop {
            let begun = self.facts.wave;
            if begun.is_some_and(|current| !self.has_passed(current)) {
                return;
            }
            let next = begun.map_or(0, |current| current + 1);
            let Some(wave) = self.spec.waves.get(next) else { return self.complete() };
            // All its devices have ended elsewhere, as those that a campaign of higher priority took: there is nothing to begin.
            let all_done = self.counts.waves.iter().all(WaveCounts::is_done)
                && self.counts.waves.iter().any(|wave| wave.total() > 0);
            if all_done && self.spec.target.mode != TargetMode::Continuous && self.step.retry.is_empty() {
                return self.complete();
            }
            let starts = self.spec.start_at.max(wave.start_at).unwrap_or(self.now).max(self.now);
            let opens = next_opening(&self.spec.maintenance_windows, starts);
            if opens != Some(self.now) {
                return self.look_at(opens);
            }
            if let Some(current) = begun {
                self.wave_ended(current);
            }
            self.facts.begin_wave(next, self.now);
            self.event("campaignWaveBegan", json!({ "wave": next, "devices": self.counts.wave(next).total() }));
        }
    }

    /// Whether the newest wave has ended, has soaked and is good enough. If it is not, the campaign pauses.
    fn has_passed(&mut self, index: usize) -> bool {
        let Some(wave) = self.spec.waves.get(index) else { return true };
        let counts = self.counts.wave(index);
        let tried_again = self.step.retry.iter().any(|retry| retry.wave == index);
        // A device that joins a campaign while the wave soaks does not hold it up.
        let has_soaked = self.facts.soak_until.is_some_and(|until| until <= self.now);
        if tried_again || (!counts.is_done() && !has_soaked) {
            return false;
        }
        if counts.total() == 0 {
            return true;
        }
        let until = *self.facts.soak_until.get_or_insert(self.now.saturating_add(wave.soak_seconds * 1000));
        if until > self.now {
            self.look_at(Some(until));
            return false;
        }
        if self.facts.wave_accepted {
            return true;
        }
        let percent = counts.success_percent();
        if percent.unwrap_or(0) < wave.success_threshold.unsigned_abs() {
            let found = percent
                .map_or("no device of it was judged".to_owned(), |percent| format!("{percent} percent succeeded"));
            let message =
                format!("wave {index} has ended and {found}; {} percent are asked for", wave.success_threshold);
            self.pause(Pause::SUCCESS_THRESHOLD, message);
            return false;
        }
        let is_last = index + 1 >= self.spec.waves.len();
        if wave.success_action == SuccessAction::Pause && !is_last {
            self.pause(Pause::WAVE_DONE, format!("wave {index} has ended as it should; a person is to go on"));
            return false;
        }
        true
    }

    /// After the last wave: the end, unless waves before it go on, or devices may join.
    fn complete(&mut self) {
        let is_done = self.counts.waves.iter().all(WaveCounts::is_done) && self.step.retry.is_empty();
        if !is_done || self.spec.target.mode == TargetMode::Continuous {
            return;
        }
        if let Some(current) = self.facts.wave {
            self.wave_ended(current);
        }
        self.end(CampaignState::Completed, "campaignCompleted");
    }

    /// Begins devices, those of earlier waves first.
    fn begin(&mut self) {
        let Some(current) = self.facts.wave else { return };
        let starts = self.spec.start_at.unwrap_or(self.now).max(self.now);
        let opens = next_opening(&self.spec.maintenance_windows, starts);
        let waves = || self.counts.waves.iter().take(current + 1);
        let due: u64 = waves().map(WaveCounts::due).sum();
        let next_due = waves().filter(|wave| wave.not_due > 0).filter_map(|wave| wave.next_due_at).min();
        self.look_at(next_due);
        if due == 0 {
            return;
        }
        if opens != Some(self.now) {
            return self.look_at(opens);
        }
        let succeeded = self.counts.succeeded();
        let allowed = self.facts.rate.allowance(self.spec.rate, succeeded, self.now);
        let mut left = allowed;
        for (wave, counts) in self.counts.waves.iter().enumerate().take(current + 1) {
            let at_most = counts.due().min(left);
            left -= at_most;
            if at_most > 0 {
                self.step.begin.push(Begin { wave, at_most });
            }
        }
        let begun = allowed - left;
        self.facts.rate.begin(begun, self.now);
        if begun < due {
            self.look_at(Some(self.facts.rate.next_at(self.spec.rate, succeeded, self.now)));
        }
    }

    /// `endAt` has come.
    fn close(&mut self) {
        self.end_pending();
        self.facts.cut_off |= self.step.end_pending.is_some();
        if self.spec.end_behavior == EndBehavior::Cancel && self.counts.running() > 0 {
            self.step.withdraw_undelivered = true;
            self.facts.cut_off = true;
        }
        if self.counts.running() > 0 {
            return;
        }
        match self.facts.cut_off {
            true => self.end(CampaignState::Expired, "campaignExpired"),
            false => self.end(CampaignState::Completed, "campaignCompleted"),
        }
    }

    /// It is aborted: what was delivered goes on to its end.
    fn wind_down(&mut self) {
        self.end_pending();
        let running = self.counts.running() + self.counts.reverts.running;
        self.step.withdraw_undelivered = running > 0;
        if running == 0 {
            self.end(CampaignState::Aborted, "campaignAborted");
        }
    }

    /// Devices are moved back: those that were moved, and, when they have ended, those that run still.
    fn revert(&mut self) {
        let reverts = &self.counts.reverts;
        if self.counts.pending() > 0 {
            self.step.end_pending = Some(Outcome::Cancelled);
        }
        let is_settled = self.counts.running() == 0;
        self.step.withdraw_undelivered = !is_settled;
        if is_settled && self.facts.reverts_known {
            if reverts.pending + reverts.running == 0 {
                self.end(CampaignState::Reverted, "campaignReverted");
            }
            return;
        }
        self.step.revert = true;
        if is_settled {
            // With this step every device gets its revert; the next one waits for them.
            self.facts.reverts_known = true;
            self.look_at(Some(self.now));
        }
    }

    fn end_pending(&mut self) {
        if self.counts.pending() + self.counts.reverts.pending > 0 {
            self.step.end_pending = Some(Outcome::Cancelled);
        }
    }

    fn pause(&mut self, name: &str, message: String) {
        let details = json!({ "reason": name, "message": &message, "wave": self.facts.wave });
        self.facts.pause = Some(Pause { name: name.to_owned(), message });
        *self.state = CampaignState::Paused;
        self.event("campaignPaused", details);
    }

    fn turn_to(&mut self, state: CampaignState, kind: &'static str, details: Value) {
        self.facts.pause = None;
        *self.state = state;
        self.event(kind, details);
    }

    fn end(&mut self, state: CampaignState, kind: &'static str) {
        self.facts.ended_at = Some(self.now);
        let mut details = json!({ "succeeded": self.succeeded(), "failed": self.counts.failed() });
        let reverts = &self.counts.reverts;
        if !reverts.ended.is_empty() {
            details["reverts"] = json!({ "succeeded": reverts.succeeded(), "failed": reverts.failed() });
        }
        self.turn_to(state, kind, details);
    }

    fn succeeded(&self) -> u64 {
        self.counts.waves.iter().map(|wave| wave.ended_where(Outcome::is_success)).sum()
    }

    fn wave_ended(&mut self, index: usize) {
        let percent = self.counts.wave(index).success_percent();
        self.event("campaignWaveEnded", json!({ "wave": index, "successPercent": percent }));
    }

    fn event(&mut self, kind: &'static str, details: Value) {
        self.step.events.push(CampaignEvent { kind, details });
    }

    fn look_at(&mut self, at: Option<i64>) {
        self.step.look_again_at = [self.step.look_again_at, at].into_iter().flatten().min();
    }
}

impl CampaignFacts {
    /// A wave begins; nothing of the one before it counts any more.
    pub(super) fn begin_wave(&mut self, index: usize, now: i64) {
        self.wave = Some(index);
        self.wave_begun_at = Some(now);
        self.soak_until = None;
        self.wave_accepted = false;
    }
}

#[cfg(test)]
mod tests;
