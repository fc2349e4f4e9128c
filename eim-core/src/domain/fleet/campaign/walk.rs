//! A seeded random walk: campaigns over simulated devices, persons who meddle, and a server that forgets everything but
//! what is stored. Whatever happens, the promises hold and the campaign comes to an end.

use super::test_fleet::{euicc, spec};
use super::*;
use crate::domain::fleet::outcome::Outcome;
use serde_json::{Value, json};

/// splitmix64: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % below
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.roll(of.len() as u64)).unwrap()]
    }
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    Pending(i64),
    Running,
    Ended(Outcome),
}

#[derive(Clone, Copy, PartialEq)]
enum Back {
    No,
    Pending,
    Running,
    Done,
}

struct Device {
    wave: usize,
    at: At,
    attempts: u32,
    before: Option<Outcome>,
    back: Back,
}

struct World {
    spec: CampaignSpec,
    state: CampaignState,
    facts: CampaignFacts,
    devices: Vec<Device>,
    now: i64,
    begun: Vec<i64>,
    forced: bool,
}

impl World {
    fn counts(&self) -> Counts {
        let mut counts = Counts { waves: vec![WaveCounts::default(); self.spec.waves.len()], ..Counts::default() };
        for device in &self.devices {
            let wave = &mut counts.waves[device.wave];
            match device.at {
                At::Pending(due) => {
                    wave.pending += 1;
                    if due > self.now {
                        wave.not_due += 1;
                        wave.next_due_at = Some(wave.next_due_at.map_or(due, |first| first.min(due)));
                    }
                }
                At::Running => wave.running += 1,
                At::Ended(outcome) => wave.ended.push((outcome, device.attempts, 1)),
            }
            if let (At::Pending(_) | At::Running, Some(before)) = (device.at, device.before) {
                wave.retrying.push((before, 1));
            }
            counts.reverts.pending += u64::from(device.back == Back::Pending);
            counts.reverts.running += u64::from(device.back == Back::Running);
        }
        counts
    }

    fn step(&mut self, seed: u64) -> Step {
        // A server that was killed knows what was stored, and nothing else.
        self.facts = serde_json::from_value(serde_json::to_value(&self.facts).unwrap()).unwrap();
        self.spec = CampaignSpec::from_api(&self.spec.to_value(), "").unwrap();
        self.state = CampaignState::from_word(self.state.as_str()).unwrap();
        let counts = self.counts();
        let wave_before = self.facts.wave;
        let step = step(&self.spec, &mut self.state, &mut self.facts, &counts, self.now);
        self.check(seed, &step, &counts, wave_before);
        self.carry_out(&step);
        step
    }

    fn check(&self, seed: u64, step: &Step, counts: &Counts, wave_before: Option<usize>) {
        let here = format!("seed {seed}, time {}, {:?}, {step:?}", self.now, self.state);
        if !step.begin.is_empty() {
            assert_eq!(self.state, CampaignState::Running, "{here}");
            assert!(is_open(&self.spec.maintenance_windows, self.now), "{here}");
            assert!(self.spec.start_at.is_none_or(|start| start <= self.now), "{here}");
            assert!(self.spec.end_at.is_none_or(|end| end > self.now), "{here}");
        }
        for begin in &step.begin {
            assert!(Some(begin.wave) <= self.facts.wave && begin.at_most > 0, "{here}");
            assert!(begin.at_most <= counts.wave(begin.wave).due(), "{here}");
        }
        if let (Some(before), Some(after)) = (wave_before, self.facts.wave) {
            let done = (before..after).all(|wave| counts.wave(wave).is_done());
            assert!(before <= after && (done || self.forced), "a wave began too early: {here}");
        }
        match self.state {
            CampaignState::Running if counts.running() == 0 => {
                let goes_on = !step.begin.is_empty() || step.look_again_at.is_some();
                assert!(goes_on, "nothing will ever happen: {here}");
            }
            CampaignState::Aborted | CampaignState::Reverted | CampaignState::Completed | CampaignState::Expired => {
                assert!(counts.running() == 0 && self.facts.ended_at.is_some(), "{here}");
            }
            _ => {}
        }
        if let Some(at) = step.look_again_at {
            assert!(at >= self.now, "{here}");
        }
    }

    fn carry_out(&mut self, step: &Step) {
        for begin in &step.begin {
            let mut left = begin.at_most;
            for device in self.devices.iter_mut().filter(|device| device.wave == begin.wave) {
                if left > 0 && matches!(device.at, At::Pending(due) if due <= self.now) {
                    device.at = At::Running;
                    device.attempts += 1;
                    self.begun.push(self.now);
                    left -= 1;
                }
            }
            assert_eq!(left, 0);
        }
        let limit = self.spec.rate.limit(self.counts().succeeded());
        let minute = self.begun.iter().filter(|at| **at > self.now - 60_000).count() as u64;
        assert!(minute <= limit || step.begin.is_empty(), "{minute} began in a minute");
        for device in &mut self.devices {
            let tried_again = step.retry.iter().find(|retry| {
                (retry.wave, At::Ended(retry.outcome), retry.attempts) == (device.wave, device.at, device.attempts)
            });
            if let (Some(retry), At::Ended(outcome)) = (tried_again, device.at) {
                device.before = Some(outcome);
                device.at = At::Pending(retry.not_before);
            }
            if let Some(outcome) = step.end_pending {
                if matches!(device.at, At::Pending(_)) {
                    device.at = At::Ended(device.before.unwrap_or(outcome));
                }
                if device.back == Back::Pending && self.state != CampaignState::Reverting {
                    device.back = Back::Done;
                }
            }
            if step.revert && device.at == At::Ended(Outcome::Proven) && device.back == Back::No {
                device.back = Back::Pending;
            }
        }
    }

    /// Devices end, some time after they began.
    fn devices_act(&mut self, dice: &mut Dice) {
        const ENDS: [Outcome; 8] = [
            Outcome::Proven,
            Outcome::Proven,
            Outcome::Proven,
            Outcome::Proven,
            Outcome::Unchanged,
            Outcome::NoShow,
            Outcome::RolledBack,
            Outcome::DownloadFailed,
        ];
        for device in &mut self.devices {
            if device.at == At::Running && dice.roll(3) == 0 {
                device.at = At::Ended(dice.pick(&ENDS));
            }
            device.back = match device.back {
                Back::Pending if dice.roll(2) == 0 => Back::Running,
                Back::Running if dice.roll(2) == 0 => Back::Done,
                other => other,
            };
        }
    }

    fn person_acts(&mut self, verb: Verb) {
        let by = Actor { key_id: "k".to_owned(), name: "n".to_owned() };
        let what = Act { verb, by: &by, message: None, now: self.now };
        let counts = self.counts();
        let Ok(acted) = act(&what, &self.spec, &mut self.state, &mut self.facts, &counts) else { return };
        self.forced |= verb == Verb::NextWave || verb == Verb::RetryFailed;
        if acted.retry_failed {
            for device in &mut self.devices {
                if matches!(device.at, At::Ended(outcome) if outcome.is_bad()) {
                    *device = Device { at: At::Pending(self.now), attempts: 0, before: None, ..*device };
                }
            }
        }
    }
}

fn random_spec(dice: &mut Dice) -> CampaignSpec {
    let actions = ["PAUSE", "ABORT", "ABORT_AND_REVERT"];
    let mut waves = vec![json!({ "percent": 10, "soakSeconds": 600, "successThreshold": 60 })];
    if dice.roll(2) == 0 {
        let threshold = json!({ "percent": 40, "minExecuted": 5 });
        waves.push(json!({ "count": 12, "errorThreshold": threshold, "errorAction": dice.pick(&actions) }));
    }
    waves.push(json!({ "rest": true, "successAction": "PAUSE" }));
    let rate = dice.pick(&[0, 1, 2]);
    let grows = json!({ "exponential": { "basePerMinute": 2, "factor": 2, "everySucceeded": 5, "maxPerMinute": 20 } });
    let retry =
        json!([{ "outcomes": ["noShow", "downloadFailed"], "maxRetries": 2, "backoffSeconds": 90, "factor": 2 }]);
    let window = json!([{ "cron": "*/20 * * * *", "durationMinutes": 7, "zone": "Europe/Berlin" }]);
    let mut chosen = vec![
        ("waves", Value::from(waves)),
        ("rate", [Value::Null, json!({ "maxPerMinute": 3 }), grows][rate].clone()),
        ("endBehavior", json!(dice.pick(&["STOP", "CANCEL"]))),
        ("approval", json!("none")),
    ];
    for (name, value) in [
        ("retry", retry),
        ("maintenanceWindows", window),
        ("endAt", json!("1970-01-01T09:00:00Z")),
        ("startAt", json!("1970-01-01T00:30:00Z")),
    ] {
        if dice.roll(2) == 0 {
            chosen.push((name, value));
        }
    }
    spec(&chosen.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

#[test]
fn whatever_happens_the_promises_hold_and_it_ends() {
    let mut ends: Vec<CampaignState> = Vec::new();
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let spec = random_spec(&mut dice);
        let fleet: Vec<_> = (0..60).map(euicc).collect();
        let places = assign(&spec, &fleet, 0).places;
        let device = |place: Place| match place {
            Place::Wave(wave) => Device { wave, at: At::Pending(0), attempts: 0, before: None, back: Back::No },
            other => panic!("{other:?}"),
        };
        let devices = places.into_iter().map(device).collect();
        let (state, facts) = (CampaignState::Draft, CampaignFacts::default());
        let mut world = World { spec, state, facts, devices, now: 0, begun: vec![], forced: false };
        world.person_acts(Verb::Submit);
        world.person_acts(Verb::Start);
        for round in 0..3_000 {
            let step = world.step(seed);
            if !world.state.is_live() && (round > 200 || dice.roll(4) > 0) {
                break;
            }
            world.devices_act(&mut dice);
            // At first persons do anything; later they only let it go on.
            if round < 200 && dice.roll(12) == 0 {
                let verb = dice.pick(Verb::ALL);
                world.person_acts(verb);
            } else if world.state == CampaignState::Paused && dice.roll(4) == 0 {
                world.person_acts(Verb::Resume);
            }
            let passed = 1 + i64::try_from(dice.roll(40_000)).unwrap();
            let asked = step.look_again_at.filter(|_| dice.roll(3) == 0).unwrap_or(i64::MAX);
            world.now = (world.now + passed).max(asked.min(world.now + 3_600_000));
        }
        assert!(!world.state.is_live(), "seed {seed} is {:?} at {}", world.state, world.now);
        let counts = world.counts();
        assert_eq!(counts.pending() + counts.running() + counts.reverts.running, 0, "seed {seed}");
        ends.push(world.state);
    }
    for state in [CampaignState::Completed, CampaignState::Expired, CampaignState::Aborted, CampaignState::Reverted] {
        assert!(ends.iter().filter(|end| **end == state).count() > 5, "few ended {state:?}");
    }
}
