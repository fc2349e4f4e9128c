//! Tests of what persons do.

use super::super::counts::WaveCounts;
use super::super::test_fleet::spec;
use super::*;
use crate::domain::fleet::outcome::Outcome;

fn person(key_id: &str, name: &str) -> Actor {
    Actor { key_id: key_id.to_owned(), name: name.to_owned() }
}

fn some_failed() -> Counts {
    let ended = vec![(Outcome::Proven, 1, 5), (Outcome::NoShow, 2, 3)];
    Counts { waves: vec![WaveCounts { ended, ..WaveCounts::default() }], ..Counts::default() }
}

fn tried(verb: Verb, members: &Value, state: &mut CampaignState, facts: &mut CampaignFacts) -> Result<Acted, ActError> {
    let by = person("k2", "second");
    act(&Act { verb, by: &by, message: Some("why"), now: 1_000 }, &spec(members), state, facts, &some_failed())
}

#[test]
fn each_verb_is_possible_in_its_states_alone() {
    let waves = json!({ "waves": [{ "percent": 50 }, { "rest": true }] });
    for verb in Verb::ALL.iter().copied() {
        for from in CampaignState::ALL.iter().copied() {
            let mut state = from;
            let mut facts = CampaignFacts::default();
            let result = tried(verb, &waves, &mut state, &mut facts);
            if verb.allowed().contains(&from) {
                let acted = result.unwrap();
                assert!(
                    !acted.events.is_empty()
                        && acted.events.iter().all(|event| CampaignEvent::TYPES.contains(&event.kind))
                );
                assert_eq!(acted.retry_failed, verb == Verb::RetryFailed);
                let expected = match verb {
                    Verb::Submit => CampaignState::Submitted,
                    Verb::Approve => CampaignState::Approved,
                    Verb::Deny => CampaignState::Denied,
                    Verb::Start | Verb::Resume | Verb::NextWave | Verb::RetryFailed => CampaignState::Running,
                    Verb::Pause => CampaignState::Paused,
                    Verb::Abort => CampaignState::Aborting,
                    Verb::Revert => CampaignState::Reverting,
                };
                assert_eq!(state, expected, "{verb:?} from {from:?}");
                assert_eq!(facts.pause.is_some(), verb == Verb::Pause);
            } else {
                let message = result.unwrap_err().to_string();
                assert!(message.contains(verb.as_str()) && message.contains(from.as_str()), "{message}");
                assert_eq!((state, facts), (from, CampaignFacts::default()), "nothing has changed");
            }
        }
    }
}

#[test]
fn a_campaign_is_approved_by_another_person() {
    let made = CampaignFacts {
        created_by: Some(person("k1", "first")),
        submitted_by: Some(person("k3", "third")),
        ..CampaignFacts::default()
    };
    for (by, result) in [
        (person("k2", "second"), Ok(CampaignState::Approved)),
        (person("k1", "first"), Err(ActError::SamePerson)),
        (person("k3", "third"), Err(ActError::SamePerson)),
        (person("k4", "first"), Err(ActError::SamePerson)),
        (person("k3", "renamed"), Err(ActError::SamePerson)),
    ] {
        let (mut state, mut facts) = (CampaignState::Submitted, made.clone());
        let what = Act { verb: Verb::Approve, by: &by, message: None, now: 7 };
        let found = act(&what, &spec(&json!({})), &mut state, &mut facts, &Counts::default());
        assert_eq!(found.map(|_| state), result, "{by:?}");
        assert_eq!(facts.approved_at, (state == CampaignState::Approved).then_some(7));
    }
}

#[test]
fn without_approval_a_submitted_campaign_may_start() {
    let mut state = CampaignState::Draft;
    tried(Verb::Submit, &json!({ "approval": "none" }), &mut state, &mut CampaignFacts::default()).unwrap();
    assert_eq!(state, CampaignState::Approved);
}

#[test]
fn nothing_begins_after_the_end() {
    let over = json!({ "endAt": "1970-01-01T00:00:01Z" });
    for verb in [Verb::Submit, Verb::Approve, Verb::Start, Verb::Resume, Verb::NextWave, Verb::RetryFailed] {
        let mut state = verb.allowed()[0];
        assert_eq!(tried(verb, &over, &mut state, &mut CampaignFacts::default()), Err(ActError::PastEnd), "{verb:?}");
    }
    let mut state = CampaignState::Paused;
    assert!(tried(Verb::Abort, &over, &mut state, &mut CampaignFacts::default()).is_ok());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut facts = CampaignFacts { wave: Some(0), ..CampaignFacts::default() };
    let mut running = CampaignState::Running;
    assert_eq!(tried(Verb::NextWave, &json!({}), &mut running, &mut facts), Err(ActError::LastWave));
    let operations = json!({ "plan": { "operations": [] } });
    assert_eq!(tried(Verb::Revert, &operations, &mut running, &mut facts), Err(ActError::NoRevert));
    let by = person("k", "n");
    let retry = Act { verb: Verb::RetryFailed, by: &by, message: None, now: 0 };
    let result = act(&retry, &spec(&json!({})), &mut running, &mut facts, &Counts::default());
    assert_eq!(result, Err(ActError::NothingFailed));
}

#[test]
fn a_copy_is_a_draft_of_its_own() {
    let mut original = spec(&json!({
        "name": "é".repeat(64), "startAt": "1970-01-01T00:00:01Z", "endAt": "1970-01-03T00:00:00Z",
        "waves": [{ "rest": true, "startAt": "1970-01-02T00:00:00Z" }],
    }));
    let copy = cloned(&original, 1_000);
    assert_eq!(copy.name, format!("{} (copy)", "é".repeat(60)));
    assert_eq!((copy.start_at, copy.end_at), (None, original.end_at));
    assert_eq!(copy.waves, original.waves);
    assert_eq!(CampaignSpec::from_api(&copy.to_value(), "").unwrap(), copy);
    original.name = "n".to_owned();
    assert_eq!(cloned(&original, i64::MAX).waves[0].start_at, None);
    assert_eq!(cloned(&original, 0).name, "n (copy)");
}
