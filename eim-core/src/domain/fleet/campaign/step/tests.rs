//! Tests of the steps.

use super::super::act::{Act, Verb, act};
use super::super::state::Actor;
use super::super::test_fleet::spec;
use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// A campaign that runs in wave 0 since the time 0.
struct Bench {
    spec: CampaignSpec,
    state: CampaignState,
    facts: CampaignFacts,
    counts: Counts,
}

impl Bench {
    fn new(members: &Value) -> Self {
        let facts = CampaignFacts { wave: Some(0), wave_begun_at: Some(0), ..CampaignFacts::default() };
        Self { spec: spec(members), state: CampaignState::Running, facts, counts: Counts::default() }
    }

    fn wave(mut self, pending: u64, running: u64, ended: &[(Outcome, u64)]) -> Self {
        let ended = ended.iter().map(|(outcome, n)| (*outcome, 1, *n)).collect();
        self.counts.waves.push(WaveCounts { pending, running, ended, ..WaveCounts::default() });
        self
    }

    fn step(&mut self, now: i64) -> Step {
        step(&self.spec, &mut self.state, &mut self.facts, &self.counts, now)
    }

    fn act(&mut self, verb: Verb, now: i64) {
        let by = Actor { key_id: "k2".to_owned(), name: "b".to_owned() };
        let what = Act { verb, by: &by, message: None, now };
        act(&what, &self.spec, &mut self.state, &mut self.facts, &self.counts).unwrap();
    }
}

fn kinds(step: &Step) -> Vec<&'static str> {
    let kinds: Vec<&'static str> = step.events.iter().map(|event| event.kind).collect();
    assert!(kinds.iter().all(|kind| CampaignEvent::TYPES.contains(kind)), "{kinds:?}");
    kinds
}

fn two_waves(first: Value) -> Value {
    let mut wave = json!({ "percent": 10 });
    wave.as_object_mut().unwrap().extend(first.as_object().unwrap().clone());
    json!({ "waves": [wave, { "rest": true }] })
}

#[test]
fn an_approved_campaign_starts_at_its_time_by_itself() {
    let mut bench = Bench::new(&json!({ "startAt": "1970-01-01T01:00:00Z" })).wave(5, 0, &[]);
    bench.state = CampaignState::Approved;
    bench.facts.wave = None;
    let before = bench.step(HOUR - 1);
    assert_eq!((bench.state, before.look_again_at), (CampaignState::Approved, Some(HOUR)));
    let started = bench.step(HOUR);
    assert_eq!(kinds(&started), ["campaignStarted", "campaignWaveBegan"]);
    assert_eq!(started.begin, [Begin { wave: 0, at_most: 5 }]);

    // Without a time it waits for a person; started early it waits for its time.
    let mut bench = Bench::new(&json!({ "startAt": "1970-01-01T01:00:00Z" })).wave(5, 0, &[]);
    bench.facts.wave = None;
    let early = bench.step(5);
    assert_eq!((early.begin.len(), early.look_again_at), (0, Some(HOUR)));
    let mut bench = Bench::new(&json!({})).wave(5, 0, &[]);
    bench.state = CampaignState::Approved;
    assert_eq!((bench.step(HOUR), bench.state), (Step::default(), CampaignState::Approved));
}

#[test]
fn the_next_wave_begins_when_all_has_ended_has_soaked_and_is_good() {
    for (pending, running, ended, state, wave) in [
        (1, 0, vec![(Outcome::Proven, 9)], CampaignState::Running, 0),
        (0, 1, vec![(Outcome::Proven, 9)], CampaignState::Running, 0),
        (0, 0, vec![(Outcome::Proven, 9), (Outcome::NoShow, 1)], CampaignState::Running, 1),
        (0, 0, vec![(Outcome::Proven, 8), (Outcome::NoShow, 2)], CampaignState::Paused, 0),
        (0, 0, vec![(Outcome::Unchanged, 9), (Outcome::NoShow, 1)], CampaignState::Running, 1),
        (0, 0, vec![(Outcome::Proven, 9), (Outcome::Cancelled, 40)], CampaignState::Running, 1),
        (0, 0, vec![(Outcome::Superseded, 4)], CampaignState::Paused, 0),
        (0, 0, vec![], CampaignState::Running, 1),
    ] {
        let mut bench =
            Bench::new(&two_waves(json!({ "successThreshold": 90 }))).wave(pending, running, &ended).wave(50, 0, &[]);
        bench.step(0);
        assert_eq!((bench.state, bench.facts.wave), (state, Some(wave)), "{pending} {running} {ended:?}");
        let reason = bench.facts.pause.map(|pause| pause.name);
        assert_eq!(reason.as_deref(), (state == CampaignState::Paused).then_some(Pause::SUCCESS_THRESHOLD));
    }
}

#[test]
fn a_wave_soaks_before_it_is_judged() {
    let mut bench =
        Bench::new(&two_waves(json!({ "soakSeconds": 3600 }))).wave(0, 0, &[(Outcome::Proven, 5)]).wave(7, 0, &[]);
    assert_eq!(bench.step(100).look_again_at, Some(100 + HOUR));
    assert_eq!(bench.step(HOUR).look_again_at, Some(100 + HOUR), "the time does not move");
    assert_eq!(bench.facts.wave, Some(0));
    let step = bench.step(100 + HOUR);
    assert_eq!(kinds(&step), ["campaignWaveEnded", "campaignWaveBegan"]);
    assert_eq!(step.begin, [Begin { wave: 1, at_most: 7 }]);
    assert_eq!(bench.facts.soak_until, None);
}

#[test]
fn a_person_goes_on_after_a_wave_that_pauses() {
    for verb in [Verb::Resume, Verb::NextWave] {
        for ended in [(Outcome::Proven, 5), (Outcome::RolledBack, 5)] {
            let members = two_waves(json!({ "successAction": "PAUSE" }));
            let mut bench = Bench::new(&members).wave(0, 0, &[ended]).wave(7, 0, &[]);
            let paused = bench.step(10);
            assert_eq!(kinds(&paused), ["campaignPaused"]);
            assert_eq!(bench.step(20), Step::default(), "paused is paused");
            bench.act(verb, 30);
            assert_eq!(bench.step(30).begin, [Begin { wave: 1, at_most: 7 }], "{verb:?} {ended:?}");
        }
    }
}

#[test]
fn the_next_wave_by_hand_does_not_wait_for_this_one() {
    let mut bench = Bench::new(&two_waves(json!({}))).wave(3, 2, &[]).wave(7, 0, &[]);
    bench.act(Verb::NextWave, 10);
    assert_eq!(bench.step(10).begin, [Begin { wave: 0, at_most: 3 }, Begin { wave: 1, at_most: 7 }]);
    // The campaign waits for the earlier wave, too.
    bench.counts.waves[0] = WaveCounts { running: 1, ..WaveCounts::default() };
    bench.counts.waves[1] = WaveCounts { ended: vec![(Outcome::Proven, 1, 7)], ..WaveCounts::default() };
    bench.step(20);
    assert_eq!(bench.state, CampaignState::Running);
    bench.counts.waves[0].running = 0;
    assert_eq!(kinds(&bench.step(30)), ["campaignWaveEnded", "campaignCompleted"]);
    assert_eq!((bench.state, bench.facts.ended_at), (CampaignState::Completed, Some(30)));
}

#[test]
fn too_many_errors_act_at_once() {
    let ten_percent = json!({ "percent": 10, "minExecuted": 10 });
    let shows = json!({ "count": 2, "outcomes": ["noShow"] });
    for (threshold, ended, acts) in [
        (&ten_percent, vec![(Outcome::Proven, 9), (Outcome::RolledBack, 1)], true),
        (&ten_percent, vec![(Outcome::Proven, 10), (Outcome::RolledBack, 1)], false),
        (&ten_percent, vec![(Outcome::RolledBack, 9)], false),
        // Neither unchanged nor cancelled devices were executed.
        (&ten_percent, vec![(Outcome::RolledBack, 9), (Outcome::Unchanged, 9), (Outcome::Cancelled, 9)], false),
        (&ten_percent, vec![(Outcome::LostAfterSwitch, 10)], true),
        (&shows, vec![(Outcome::RolledBack, 10), (Outcome::NoShow, 1)], false),
        (&shows, vec![(Outcome::NoShow, 2)], true),
    ] {
        for (action, state) in [
            ("PAUSE", CampaignState::Paused),
            ("ABORT", CampaignState::Aborting),
            ("ABORT_AND_REVERT", CampaignState::Reverting),
        ] {
            let members = two_waves(json!({ "errorThreshold": threshold, "errorAction": action }));
            let mut bench = Bench::new(&members).wave(50, 3, &ended);
            let step = bench.step(10);
            assert_eq!(bench.state, if acts { state } else { CampaignState::Running }, "{threshold} {ended:?}");
            assert_eq!(step.begin.is_empty(), acts);
            let withdraws = acts && action != "PAUSE";
            assert_eq!((step.withdraw_undelivered, step.end_pending.is_some()), (withdraws, withdraws));
            assert_eq!(step.revert, acts && action == "ABORT_AND_REVERT");
        }
    }
}

#[test]
fn devices_that_are_tried_again_are_errors_still() {
    let members = two_waves(json!({ "errorThreshold": { "count": 5 } }));
    let mut bench = Bench::new(&members).wave(4, 1, &[(Outcome::NoShow, 2)]);
    bench.counts.waves[0].retrying = vec![(Outcome::NoShow, 3)];
    bench.step(10);
    assert_eq!(bench.state, CampaignState::Paused);
}

#[test]
fn errors_that_a_person_has_seen_pause_again_only_when_more_come() {
    let members = two_waves(json!({ "errorThreshold": { "count": 2 } }));
    let mut bench = Bench::new(&members).wave(50, 0, &[(Outcome::NoShow, 2)]);
    bench.step(10);
    assert_eq!(bench.facts.pause.clone().unwrap().name, Pause::ERROR_THRESHOLD);
    bench.act(Verb::Resume, 20);
    assert_eq!(bench.step(20).begin, [Begin { wave: 0, at_most: 50 }]);
    bench.counts.waves[0].ended = vec![(Outcome::NoShow, 1, 3)];
    bench.step(30);
    assert_eq!(bench.state, CampaignState::Paused);

    // What came while a person had paused it was not seen.
    let mut bench = Bench::new(&members).wave(50, 2, &[]);
    bench.act(Verb::Pause, 5);
    bench.counts.waves[0].ended = vec![(Outcome::NoShow, 1, 2)];
    bench.act(Verb::Resume, 10);
    bench.step(10);
    assert_eq!(bench.facts.pause.unwrap().name, Pause::ERROR_THRESHOLD);
}

#[test]
fn nothing_begins_outside_of_windows_or_faster_than_the_rate() {
    let members = json!({
        "maintenanceWindows": [{ "cron": "0 2 * * *", "durationMinutes": 60, "zone": "UTC" }],
        "rate": { "maxPerMinute": 10 },
    });
    let mut bench = Bench::new(&members).wave(25, 0, &[]);
    bench.facts.wave = None;
    let closed = bench.step(HOUR);
    assert_eq!((closed.begin.len(), closed.look_again_at, bench.facts.wave), (0, Some(2 * HOUR), None));
    let open = bench.step(2 * HOUR);
    assert_eq!(open.begin, [Begin { wave: 0, at_most: 10 }]);
    assert_eq!(open.look_again_at, Some(2 * HOUR + 61_000));
    bench.counts.waves[0].pending = 15;
    assert_eq!(bench.step(2 * HOUR + MINUTE).begin, []);
    assert_eq!(bench.step(2 * HOUR + 61_000).begin, [Begin { wave: 0, at_most: 10 }]);
    bench.counts.waves[0].pending = 5;
    let over = bench.step(3 * HOUR);
    assert_eq!((over.begin.len(), over.look_again_at), (0, Some(26 * HOUR)));
}

#[test]
fn a_wave_waits_for_its_own_time() {
    let members = json!({ "waves": [{ "percent": 10 }, { "rest": true, "startAt": "1970-01-02T00:00:00Z" }] });
    let mut bench = Bench::new(&members).wave(0, 0, &[(Outcome::Proven, 5)]).wave(7, 0, &[]);
    assert_eq!((bench.step(HOUR).look_again_at, bench.facts.wave), (Some(24 * HOUR), Some(0)));
    assert_eq!(bench.step(24 * HOUR).begin, [Begin { wave: 1, at_most: 7 }]);
}

#[test]
fn failed_devices_are_tried_again_as_often_as_their_rule_says() {
    let rules = json!([{ "outcomes": ["noShow"], "maxRetries": 2, "backoffSeconds": 60, "factor": 3 }]);
    let mut bench = Bench::new(&json!({ "retry": rules })).wave(0, 0, &[]);
    bench.counts.waves[0].ended =
        vec![(Outcome::NoShow, 1, 4), (Outcome::NoShow, 2, 2), (Outcome::NoShow, 3, 9), (Outcome::Refused, 1, 1)];
    let step = bench.step(1_000);
    let retry = |attempts, not_before| Retry { wave: 0, outcome: Outcome::NoShow, attempts, not_before };
    assert_eq!(step.retry, [retry(1, 61_000), retry(2, 181_000)]);
    assert_eq!((bench.state, step.look_again_at), (CampaignState::Running, Some(61_000)));
    // They wait until they are due.
    let waiting = WaveCounts { pending: 6, not_due: 6, next_due_at: Some(61_000), ..WaveCounts::default() };
    bench.counts.waves[0] = waiting;
    let step = bench.step(2_000);
    assert_eq!((step.begin.len(), step.look_again_at), (0, Some(61_000)));
    bench.counts.waves[0].not_due = 2;
    assert_eq!(bench.step(61_000).begin, [Begin { wave: 0, at_most: 4 }]);
    // And their wave ends when no attempt is left.
    bench.counts.waves[0] = WaveCounts { ended: vec![(Outcome::NoShow, 3, 6)], ..WaveCounts::default() };
    bench.step(90_000);
    assert_eq!(bench.state, CampaignState::Completed);
}

#[test]
fn its_end_stops_what_has_not_begun() {
    for (behavior, pending, running, state) in [
        ("STOP", 5, 2, CampaignState::Expired),
        ("STOP", 0, 2, CampaignState::Completed),
        ("STOP", 5, 0, CampaignState::Expired),
        ("CANCEL", 0, 2, CampaignState::Expired),
        ("CANCEL", 0, 0, CampaignState::Completed),
    ] {
        for paused in [false, true] {
            let members = json!({ "endAt": "1970-01-01T01:00:00Z", "endBehavior": behavior });
            let mut bench = Bench::new(&members).wave(pending, running, &[(Outcome::Proven, 1)]);
            if paused {
                bench.act(Verb::Pause, 0);
            }
            let step = bench.step(HOUR);
            assert_eq!(step.begin, []);
            assert_eq!(step.end_pending, (pending > 0).then_some(Outcome::Cancelled));
            assert_eq!(step.withdraw_undelivered, behavior == "CANCEL" && running > 0);
            bench.counts.waves[0] = WaveCounts { ended: vec![(Outcome::Proven, 1, 8)], ..WaveCounts::default() };
            bench.step(2 * HOUR);
            assert_eq!(bench.state, state, "{behavior} {pending} {running}");
        }
    }
    let mut never = Bench::new(&json!({ "endAt": "1970-01-01T01:00:00Z" })).wave(5, 0, &[]);
    never.state = CampaignState::Submitted;
    assert_eq!(never.step(0).look_again_at, Some(HOUR));
    assert_eq!(never.step(HOUR).end_pending, Some(Outcome::Cancelled));
    assert_eq!(never.state, CampaignState::Expired);
}

#[test]
fn aborting_ends_when_nothing_runs_any_more() {
    let mut bench = Bench::new(&json!({})).wave(5, 2, &[]);
    bench.act(Verb::Abort, 0);
    let step = bench.step(10);
    assert!(step.withdraw_undelivered && step.end_pending == Some(Outcome::Cancelled) && !step.revert);
    assert_eq!(bench.state, CampaignState::Aborting);
    bench.counts.waves[0] =
        WaveCounts { ended: vec![(Outcome::Cancelled, 1, 6), (Outcome::Proven, 1, 1)], ..WaveCounts::default() };
    let last = bench.step(20);
    assert_eq!((kinds(&last), bench.state), (vec!["campaignAborted"], CampaignState::Aborted));
    assert!(!last.withdraw_undelivered);
    assert_eq!(bench.step(30), Step::default());
}

#[test]
fn reverting_ends_when_what_ran_has_been_moved_back_too() {
    let mut bench = Bench::new(&json!({})).wave(0, 2, &[(Outcome::Proven, 5)]);
    bench.act(Verb::Revert, 0);
    let step = bench.step(10);
    assert!(step.revert && step.withdraw_undelivered);
    // Those that were moved are back, and two run still.
    bench.counts.reverts = super::super::counts::Reverts::default();
    assert!(bench.step(20).revert);
    assert_eq!(bench.state, CampaignState::Reverting);
    bench.counts.waves[0] = WaveCounts { ended: vec![(Outcome::Proven, 1, 7)], ..WaveCounts::default() };
    let step = bench.step(30);
    assert!(step.revert && !step.withdraw_undelivered && step.look_again_at == Some(30));
    bench.counts.reverts.running = 2;
    let step = bench.step(40);
    assert_eq!((step.revert, bench.state), (false, CampaignState::Reverting));
    bench.counts.reverts.running = 0;
    assert_eq!((kinds(&bench.step(50)), bench.state), (vec!["campaignReverted"], CampaignState::Reverted));
}

#[test]
fn a_continuous_campaign_goes_on_until_its_end() {
    let members = json!({
        "target": { "filter": { "all": true }, "mode": "CONTINUOUS" }, "endAt": "1970-01-02T00:00:00Z",
        "waves": [{ "percent": 50 }, { "rest": true }],
    });
    let mut bench = Bench::new(&members).wave(0, 0, &[(Outcome::Proven, 5)]).wave(0, 0, &[(Outcome::Proven, 5)]);
    assert_eq!(bench.step(HOUR).look_again_at, Some(24 * HOUR));
    assert_eq!((bench.state, bench.facts.wave), (CampaignState::Running, Some(1)));
    // One joins an earlier wave.
    bench.counts.waves[0].pending = 1;
    assert_eq!(bench.step(2 * HOUR).begin, [Begin { wave: 0, at_most: 1 }]);
    bench.counts.waves[0].pending = 0;
    bench.step(24 * HOUR);
    assert_eq!(bench.state, CampaignState::Completed);
}
