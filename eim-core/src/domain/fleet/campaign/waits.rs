//! What a campaign waits for, for people who look at one in which nothing moves. It says of a state what [`super::step`] would do
//! next, and is only shown: nothing is decided on it.

use super::counts::{Counts, WaveCounts};
use super::spec::{CampaignSpec, TargetMode};
use super::state::{CampaignFacts, CampaignState};
use super::window::next_opening;
use crate::domain::euicc::words;
use crate::domain::rfc3339;

words!(
    /// What a campaign waits for.
    WaitFor {
        /// A person, to submit it.
        Submit = "submit",
        /// Another person, to approve it.
        Approve = "approve",
        /// A person, to start it.
        Start = "start",
        /// A person, to let it go on.
        Resume = "resume",
        /// Its `startAt`.
        StartAt = "startAt",
        /// The `startAt` of its next wave.
        WaveStartAt = "waveStartAt",
        /// Its `endAt`: nothing more begins before.
        EndAt = "endAt",
        /// A maintenance window.
        Window = "window",
        /// Its pace.
        Rate = "rate",
        /// Downloads that are under way.
        PerSmdpMaxConcurrent = "perSmdpMaxConcurrent",
        /// Devices that have begun.
        Devices = "devices",
        /// Devices whose next turn has not come.
        Retry = "retry",
        /// The end of the time that a wave soaks.
        Soak = "soak",
        /// Devices that are moved back.
        Reverts = "reverts",
        /// Devices that match later.
        JoiningDevices = "joiningDevices",
    }
);

/// What a campaign waits for, with more words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// What.
    pub what: WaitFor,
    /// In a sentence.
    pub message: String,
    /// Until when, milliseconds since 1970, where that is known.
    pub until: Option<i64>,
}

impl Wait {
    fn new(what: WaitFor, message: impl Into<String>, until: Option<i64>) -> Self {
        Self { what, message: message.into(), until }
    }
}

/// What it waits for at this time (milliseconds since 1970); `None` when it goes on by itself in a moment, or has ended.
#[must_use]
pub fn waits_for(
    spec: &CampaignSpec,
    state: CampaignState,
    facts: &CampaignFacts,
    counts: &Counts,
    now: i64,
) -> Option<Wait> {
    use CampaignState::{
        Aborted, Aborting, Approved, Completed, Denied, Draft, Expired, Paused, Reverted, Reverting, Running, Submitted,
    };
    let is_over = spec.end_at.is_some_and(|end| end <= now);
    let found = match state {
        Submitted | Approved | Running | Paused if is_over => devices(counts.running()),
        Draft => Some(Wait::new(WaitFor::Submit, "It waits to be submitted.", None)),
        Submitted => Some(Wait::new(WaitFor::Approve, "It waits for approval by another person.", None)),
        Approved => Some(match spec.start_at {
            Some(at) => Wait::new(WaitFor::StartAt, format!("It starts at its startAt, {}.", rfc3339(at)), Some(at)),
            None => Wait::new(WaitFor::Start, "It waits to be started.", None),
        }),
        Paused => {
            let why = facts.pause.as_ref().map(|pause| format!(" ({})", pause.message)).unwrap_or_default();
            Some(Wait::new(WaitFor::Resume, format!("It is paused{why} and waits to be resumed."), None))
        }
        Running => running(spec, facts, counts, now),
        Aborting => given_up(counts),
        Reverting => given_up(counts).or_else(|| {
            let waiting = counts.reverts.pending;
            (waiting > 0).then(|| Wait::new(WaitFor::Reverts, format!("{waiting} devices are to be moved back."), None))
        }),
        Denied | Aborted | Reverted | Completed | Expired => None,
    };
    let ends_before = |wait: &Wait| spec.end_at.filter(|end| wait.until.is_some_and(|until| until >= *end));
    match found.as_ref().and_then(ends_before) {
        Some(end) => {
            let message = format!("Nothing more begins before its endAt, {}.", rfc3339(end));
            Some(Wait::new(WaitFor::EndAt, message, Some(end)))
        }
        None => found,
    }
}

fn devices(running: u64) -> Option<Wait> {
    (running > 0).then(|| Wait::new(WaitFor::Devices, format!("{running} devices have begun and not ended."), None))
}

/// A campaign that is given up waits for what its devices have begun.
fn given_up(counts: &Counts) -> Option<Wait> {
    let (running, back) = (counts.running(), counts.reverts.running);
    if running > 0 {
        let message = format!(
            "{running} devices are under way: what was not delivered to them is withdrawn, and what was delivered can't be \
             recalled and goes on to its end."
        );
        return Some(Wait::new(WaitFor::Devices, message, None));
    }
    (back > 0).then(|| Wait::new(WaitFor::Reverts, format!("{back} devices are on their way back."), None))
}

fn running(spec: &CampaignSpec, facts: &CampaignFacts, counts: &Counts, now: i64) -> Option<Wait> {
    let begun = facts.wave.map_or(0, |wave| wave + 1);
    let waves = || counts.waves.iter().take(begun);
    let due: u64 = waves().map(WaveCounts::due).sum();
    if due > 0 {
        return begins_at(spec, None, now).or_else(|| held_up(spec, facts, counts, due, now));
    }
    let soaks_until = facts.soak_until.filter(|until| *until > now);
    if let Some(newest) = facts.wave {
        // The next wave looks at the newest one alone; one that has soaked is not held up by devices that join it.
        let wave = counts.wave(newest);
        if !wave.is_done() && facts.soak_until.is_none_or(|until| until > now) {
            return devices(wave.running).or_else(|| next_turn(&[wave]));
        }
        if let Some(until) = soaks_until {
            return Some(Wait::new(WaitFor::Soak, format!("The wave soaks until {}.", rfc3339(until)), Some(until)));
        }
    }
    match spec.waves.get(begun) {
        Some(next) => begins_at(spec, Some((begun, next.start_at)), now),
        None => devices(counts.running()).or_else(|| next_turn(&counts.waves)).or_else(|| {
            (spec.target.mode == TargetMode::Continuous).then(|| {
                let until = spec.end_at.map(|at| format!(", until {}", rfc3339(at))).unwrap_or_default();
                Wait::new(WaitFor::JoiningDevices, format!("Devices that match later join it{until}."), None)
            })
        }),
    }
}

/// Devices that are tried again later, or at which something else was under way.
fn next_turn(waves: &[WaveCounts]) -> Option<Wait> {
    let not_due: u64 = waves.iter().map(|wave| wave.not_due).sum();
    let next = waves.iter().filter_map(|wave| wave.next_due_at).min();
    let when = next.map(|at| format!(", the first at {}", rfc3339(at))).unwrap_or_default();
    (not_due > 0).then(|| {
        let message = format!(
            "{not_due} devices have their next turn later{when}: they are tried again, or were busy otherwise."
        );
        Wait::new(WaitFor::Retry, message, next)
    })
}

/// The time at which devices may begin, where it has not come; those of the next wave, if one is named with its `startAt`.
fn begins_at(spec: &CampaignSpec, next: Option<(usize, Option<i64>)>, now: i64) -> Option<Wait> {
    let of_wave = next.and_then(|(index, start_at)| Some((index, start_at?)));
    let starts = spec.start_at.max(of_wave.map(|(_, at)| at)).unwrap_or(now).max(now);
    match next_opening(&spec.maintenance_windows, starts) {
        Some(at) if at <= now => None,
        Some(at) if at > starts => {
            let message = format!("No maintenance window is open until {}.", rfc3339(at));
            Some(Wait::new(WaitFor::Window, message, Some(at)))
        }
        Some(at) => Some(match of_wave.filter(|(_, start_at)| *start_at == at && spec.start_at != Some(at)) {
            Some((index, _)) => {
                let message = format!("Wave {index} begins at its startAt, {}.", rfc3339(at));
                Wait::new(WaitFor::WaveStartAt, message, Some(at))
            }
            None => Wait::new(WaitFor::StartAt, format!("It starts at its startAt, {}.", rfc3339(at)), Some(at)),
        }),
        None => Some(Wait::new(WaitFor::Window, "None of its maintenance windows opens again.", None)),
    }
}

/// Why devices that are due do not all begin.
fn held_up(spec: &CampaignSpec, facts: &CampaignFacts, counts: &Counts, due: u64, now: i64) -> Option<Wait> {
    let succeeded = counts.succeeded();
    if facts.rate.allowance(spec.rate, succeeded, now) == 0 {
        let per_minute = spec.rate.limit(succeeded);
        let message = format!("{due} devices have their turn at the pace of the campaign, {per_minute} a minute.");
        return Some(Wait::new(WaitFor::Rate, message, Some(facts.rate.next_at(spec.rate, succeeded, now))));
    }
    let max = spec.per_smdp_max_concurrent.filter(|max| counts.running() >= max.unsigned_abs())?;
    let message = format!("{due} devices have their turn with at most {max} downloads under way at a time.");
    Some(Wait::new(WaitFor::PerSmdpMaxConcurrent, message, None))
}

#[cfg(test)]
mod tests {
    use super::super::counts::Reverts;
    use super::super::state::Pause;
    use super::super::test_fleet::spec;
    use super::*;
    use crate::domain::fleet::Outcome;
    use serde_json::{Value, json};

    const HOUR: i64 = 3_600_000;

    fn pending(n: u64) -> WaveCounts {
        WaveCounts { pending: n, ..WaveCounts::default() }
    }

    fn later(n: u64, at: i64) -> WaveCounts {
        WaveCounts { pending: n, not_due: n, next_due_at: Some(at), ..WaveCounts::default() }
    }

    fn under_way(n: u64) -> WaveCounts {
        WaveCounts { running: n, ..WaveCounts::default() }
    }

    fn ended(n: u64) -> WaveCounts {
        WaveCounts { ended: vec![(Outcome::Proven, 1, n)], ..WaveCounts::default() }
    }

    fn in_wave(wave: usize) -> CampaignFacts {
        CampaignFacts { wave: Some(wave), ..CampaignFacts::default() }
    }

    fn found(
        members: &Value,
        facts: &CampaignFacts,
        waves: Vec<WaveCounts>,
        now: i64,
    ) -> Option<(&'static str, Option<i64>)> {
        let counts = Counts { waves, ..Counts::default() };
        let wait = waits_for(&spec(members), CampaignState::Running, facts, &counts, now);
        wait.map(|wait| (wait.what.as_str(), wait.until))
    }

    #[test]
    fn a_wave_is_waited_for_before_the_next_one() {
        let two = json!({
            "waves": [{ "count": 1, "soakSeconds": 60 }, { "rest": true, "startAt": "1970-01-01T02:00:00Z" }],
            "startAt": "1970-01-01T01:00:00Z",
        });
        let before = CampaignFacts::default();
        assert_eq!(found(&two, &before, vec![pending(1), pending(3)], 0), Some(("startAt", Some(HOUR))));
        assert_eq!(found(&two, &before, vec![pending(1), pending(3)], HOUR), None);
        let first = in_wave(0);
        assert_eq!(found(&two, &first, vec![under_way(1), pending(3)], HOUR), Some(("devices", None)));
        let again = vec![later(1, HOUR + 9), pending(3)];
        assert_eq!(found(&two, &first, again, HOUR), Some(("retry", Some(HOUR + 9))));
        let at = HOUR + 60_000;
        let soaking = CampaignFacts { soak_until: Some(at), ..first };
        assert_eq!(found(&two, &soaking, vec![ended(1), pending(3)], HOUR), Some(("soak", Some(at))));
        assert_eq!(found(&two, &soaking, vec![ended(1), pending(3)], at), Some(("waveStartAt", Some(2 * HOUR))));
        // One that joined while it soaked does not hold the next wave up.
        assert_eq!(found(&two, &soaking, vec![under_way(1), pending(3)], at), Some(("waveStartAt", Some(2 * HOUR))));
        assert_eq!(found(&two, &soaking, vec![ended(1), pending(3)], 2 * HOUR), None);
        // In the last wave those of earlier ones are waited for, too.
        let soaked = CampaignFacts { soak_until: Some(at), ..in_wave(1) };
        assert_eq!(found(&two, &soaked, vec![under_way(1), ended(3)], 2 * HOUR), Some(("devices", None)));
    }

    #[test]
    fn windows_pace_and_end_are_named() {
        let window = json!([{ "cron": "0 2 * * *", "durationMinutes": 60, "zone": "UTC" }]);
        let night = json!({ "maintenanceWindows": window });
        let facts = in_wave(0);
        assert_eq!(found(&night, &facts, vec![pending(3)], 0), Some(("window", Some(2 * HOUR))));
        assert_eq!(found(&night, &facts, vec![pending(3)], 2 * HOUR), None);
        // It starts when the window opens behind its startAt, and not at that.
        let both = json!({ "maintenanceWindows": window, "startAt": "1970-01-01T01:00:00Z" });
        assert_eq!(found(&both, &CampaignFacts::default(), vec![pending(3)], 0), Some(("window", Some(2 * HOUR))));
        let never = json!({ "maintenanceWindows": window, "endAt": "1970-01-01T01:30:00Z" });
        assert_eq!(found(&never, &facts, vec![pending(3)], 0), Some(("endAt", Some(HOUR + HOUR / 2))));
        assert_eq!(found(&never, &facts, vec![under_way(2), pending(3)], 2 * HOUR), Some(("devices", None)));
        let slow = json!({ "rate": { "maxPerMinute": 2 } });
        let mut paced = in_wave(0);
        assert_eq!(found(&slow, &paced, vec![pending(3)], 0), None);
        paced.rate.begin(2, 0);
        assert_eq!(found(&slow, &paced, vec![pending(3)], 0), Some(("rate", Some(61_000))));
        let few = json!({ "rate": { "maxPerMinute": 60, "perSmdpMaxConcurrent": 2 } });
        let busy = WaveCounts { pending: 3, running: 2, ..WaveCounts::default() };
        assert_eq!(found(&few, &facts, vec![busy], 0), Some(("perSmdpMaxConcurrent", None)));
        let room = WaveCounts { pending: 3, running: 1, ..WaveCounts::default() };
        assert_eq!(found(&few, &facts, vec![room], 0), None);
        let joining = json!({ "target": { "filter": { "all": true }, "mode": "CONTINUOUS" } });
        let soaked = CampaignFacts { soak_until: Some(0), ..in_wave(0) };
        assert_eq!(found(&joining, &soaked, vec![ended(1)], 1), Some(("joiningDevices", None)));
    }

    #[test]
    fn people_and_what_is_on_its_way_are_named() {
        let ending = spec(&json!({ "endAt": "1970-01-01T01:00:00Z" }));
        let pause = Pause { name: Pause::OPERATOR.to_owned(), message: "lunch".to_owned() };
        let facts = CampaignFacts { pause: Some(pause), ..in_wave(0) };
        let told = |state, counts: &Counts, now| {
            waits_for(&ending, state, &facts, counts, now).map(|wait| (wait.what.as_str(), wait.message))
        };
        let name = |state, counts: &Counts, now| told(state, counts, now).map(|(name, _)| name);
        let waiting = Counts { waves: vec![pending(1)], ..Counts::default() };
        let moving = Counts { waves: vec![under_way(2)], ..Counts::default() };
        let back = Counts { reverts: Reverts { pending: 1, running: 1, ended: vec![] }, ..Counts::default() };
        assert_eq!(name(CampaignState::Draft, &waiting, 0), Some("submit"));
        assert_eq!(name(CampaignState::Submitted, &waiting, 0), Some("approve"));
        assert_eq!(name(CampaignState::Approved, &waiting, 0), Some("start"));
        let (paused, message) = told(CampaignState::Paused, &moving, 0).unwrap();
        assert!(paused == "resume" && message.contains("lunch"), "{message}");
        assert_eq!(name(CampaignState::Paused, &moving, HOUR), Some("devices"), "resume is refused now");
        let (_, message) = told(CampaignState::Aborting, &moving, 0).unwrap();
        assert!(message.contains("can't be recalled"), "{message}");
        let (reverts, message) = told(CampaignState::Aborting, &back, 0).unwrap();
        assert!(reverts == "reverts" && !message.contains("withdrawn"), "{message}");
        assert_eq!(name(CampaignState::Reverting, &back, 0), Some("reverts"));
        for state in [CampaignState::Aborted, CampaignState::Completed, CampaignState::Denied] {
            assert_eq!(name(state, &waiting, 0), None);
        }
    }
}
