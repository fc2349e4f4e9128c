//! What drift is and what a look comes to, on profiles written down here.

use super::*;
use crate::domain::fleet::campaign::test_fleet::euicc;
use crate::domain::fleet::{Outcome, Switch, SwitchFacts, SwitchState};
use crate::domain::{Euicc, Profile};
use crate::ids::{Iccid, OperationId};
use serde_json::{Value, json};

const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;

fn iccid(number: u8) -> Iccid {
    format!("899900000000000000{number}").parse().unwrap()
}

fn profile(number: u8, name: Option<&str>, enabled: Option<bool>) -> Profile {
    Profile {
        iccid: iccid(number),
        enabled,
        profile_class: Some(2),
        name: name.map(str::to_owned),
        service_provider: name.map(|_| "Acme".to_owned()),
        fallback: Some(false),
        aid: None,
        verified: true,
        updated_at: 0,
        rules: None,
        owner_mcc_mnc: None,
    }
}

fn listed() -> Euicc {
    Euicc { profiles_listed_at: Some(0), profiles_verified: true, ..euicc(1) }
}

fn read(state: Value) -> DesiredSpec {
    DesiredSpec::from_api(&json!({ "state": state, "enforce": true }), Some("own")).unwrap().0
}

fn force(spec: &DesiredSpec) -> Force<'_> {
    Force { id: OperationId::new(0, [1; 10]), name: &spec.name, version: 1, enforce: true, retry: spec.retry }
}

fn ended(outcome: Outcome, at: i64) -> Switch {
    Switch {
        seq: 1,
        id: OperationId::new(0, [2; 10]),
        campaign: None,
        label: None,
        plan: crate::domain::fleet::Plan::Operations { requests: vec![], no_show_after: 1 },
        state: SwitchState::Ended,
        outcome: Some(outcome),
        facts: SwitchFacts::default(),
        deadline: None,
        created_at: at,
        started_at: Some(at),
        ended_at: Some(at),
    }
}

#[test]
fn a_member_that_was_not_reported_makes_it_unknown_where_it_matters() {
    let named = json!({ "enabled": { "profile": { "name": "Two" } } });
    for (state, profiles, known) in [
        (named.clone(), vec![profile(1, Some("One"), Some(true)), profile(2, None, Some(false))], false),
        (named.clone(), vec![profile(1, None, Some(false)), profile(2, Some("Two"), Some(true))], true),
        (named.clone(), vec![profile(2, Some("Two"), None)], false),
        (json!({ "installed": { "excludes": [{ "profile": { "name": "X" } }] } }), vec![profile(1, None, None)], false),
        (
            json!({ "installed": { "excludes": [{ "rawIccid": iccid(3).raw_hex() }] } }),
            vec![profile(1, None, None)],
            true,
        ),
        (
            json!({ "installed": { "exactly": [{ "rawIccid": iccid(3).raw_hex() }] } }),
            vec![Profile { profile_class: None, ..profile(1, Some("One"), Some(false)) }],
            false,
        ),
    ] {
        let found = drift(&read(state.clone()).wanted, false, &listed(), &profiles);
        assert_eq!(!matches!(found, Drift::Unknown { .. }), known, "{state}: {found:?}");
    }
    let wanted = read(named).wanted;
    for euicc in [
        Euicc { profiles_listed_at: None, ..listed() },
        Euicc { profiles_verified: false, ..listed() },
        Euicc { profiles_stale: true, ..listed() },
        Euicc { state: crate::domain::EuiccState::Unmanaged, ..listed() },
    ] {
        let found = drift(&wanted, false, &euicc, &[profile(2, Some("Two"), Some(true))]);
        assert!(matches!(found, Drift::Unknown { .. }), "{found:?}");
    }
}

#[test]
fn what_is_enabled_the_fallback_or_not_operational_is_never_deleted() {
    let only_one = read(json!({ "installed": { "exactly": [{ "rawIccid": iccid(1).raw_hex() }] } }));
    let surplus = |profile: Profile| drift(&only_one.wanted, true, &listed(), &[self::profile(1, None, None), profile]);
    let two = || profile(2, Some("Two"), Some(false));
    let Drift::Drifting(found) = surplus(two()) else { panic!() };
    assert_eq!(found[0].cure, Ok(Correction::Delete(iccid(2))));
    for kept in [
        Profile { enabled: Some(true), ..two() },
        Profile { enabled: None, ..two() },
        Profile { fallback: Some(true), ..two() },
        Profile { fallback: None, ..two() },
    ] {
        let Drift::Drifting(found) = surplus(kept) else { panic!() };
        assert!(found[0].cure.is_err(), "{found:?}");
    }
    assert_eq!(surplus(Profile { profile_class: Some(0), ..two() }), Drift::InLine);
}

#[test]
fn several_profiles_of_one_name_are_not_guessed_between() {
    let spec = read(json!({ "enabled": { "profile": { "serviceProvider": "ACME" } } }));
    let profiles = [profile(1, Some("One"), Some(false)), profile(2, Some("Two"), Some(false))];
    let Drift::Drifting(found) = drift(&spec.wanted, true, &listed(), &profiles) else { panic!() };
    assert!(found[0].cure.is_err(), "{found:?}");
    let Drift::Drifting(found) = drift(&spec.wanted, true, &listed(), &[]) else { panic!() };
    assert_eq!(found[0].cure, Ok(Correction::Obtain));
}

#[test]
fn who_does_not_stay_is_brought_back_at_once_and_then_ever_less_often() {
    let spec = read(json!({ "enabled": { "rawIccid": iccid(2).raw_hex() } }));
    let off = [profile(1, None, Some(true)), profile(2, None, Some(false))];
    let drifts = || drift(&spec.wanted, false, &listed(), &off);
    let (mut facts, force) = (DriftFacts::default(), force(&spec));
    let mut now = 0;
    for (attempt, hours) in [(1, 0), (2, 1), (3, 2), (4, 4), (5, 8)] {
        let looked = look(&mut facts, DriftState::None, &force, drifts(), None, now);
        assert_eq!(looked.steps.len(), 1, "time {attempt}");
        *facts.tries.entry(looked.steps[0].0.clone()).or_default() += 1;
        facts.switch = Some(OperationId::new(0, [2; 10]));
        // It worked, and an hour later it is otherwise again.
        let proven = ended(Outcome::Proven, now);
        look(&mut facts, DriftState::Drifting, &force, Drift::InLine, Some(&proven), now);
        now += HOUR;
        let again = look(&mut facts, DriftState::InLine, &force, drifts(), None, now);
        assert_eq!(facts.brought_back, attempt);
        if hours == 0 {
            assert_eq!(again.steps.len(), 1, "the first time it is mended at once");
            continue;
        }
        assert_eq!((again.correcting, again.steps.len()), (Correcting::Waiting, 0), "it did not stay");
        assert_eq!(facts.reason.as_ref().unwrap().name, "didNotStay");
        assert_eq!(again.look_at, Some(now + hours * HOUR));
        // Another look in the meantime changes nothing.
        let looked = look(&mut facts, DriftState::Drifting, &force, drifts(), None, now + 1);
        assert_eq!((looked.correcting, looked.look_at), (Correcting::Waiting, again.look_at));
        now = again.look_at.unwrap();
    }
    look(&mut facts, DriftState::Drifting, &force, Drift::InLine, None, now);
    let looked = look(&mut facts, DriftState::InLine, &force, drifts(), None, now + DAY);
    assert_eq!(looked.steps.len(), 1, "after a calm day it begins anew");
}

#[test]
fn the_wait_after_a_failed_attempt_doubles() {
    let spec = read(json!({ "fallback": { "none": true } }));
    let on = [Profile { fallback: Some(true), ..profile(1, None, Some(true)) }];
    let drifts = || drift(&spec.wanted, false, &listed(), &on);
    let (mut facts, force) = (DriftFacts::default(), force(&spec));
    for (tried, hours) in [(1, 1), (2, 2)] {
        let at = facts.next_try_at.unwrap_or(0);
        let looked = look(&mut facts, DriftState::None, &force, drifts(), None, at);
        let [(step, Correction::UnsetFallback)] = looked.steps.as_slice() else { panic!("{looked:?}") };
        facts.tries.insert(step.clone(), tried);
        facts.switch = Some(OperationId::new(0, [2; 10]));
        let failed = ended(Outcome::Failed, at);
        let looked = look(&mut facts, DriftState::Drifting, &force, drifts(), Some(&failed), at);
        assert_eq!((looked.correcting, looked.look_at), (Correcting::Waiting, Some(at + hours * HOUR)));
        assert_eq!(facts.last_outcome.as_deref(), Some("failed"));
    }
}

#[test]
fn a_state_reads_back_as_it_was_written() {
    for state in [
        json!({ "enabled": { "iccid": "89990000000000000015" }, "fallback": { "none": true } }),
        json!({ "fallback": { "profile": { "name": "Boot", "serviceProvider": "Acme" } } }),
        json!({ "installed": { "includes": [{ "profile": { "name": "A" } }], "excludes": [{ "profile": { "name": "B" } }] } }),
        json!({ "installed": { "exactly": [{ "rawIccid": "FFFFFFFFFFFFFFFFFFFF" }] } }),
    ] {
        let body =
            json!({ "name": "n", "filter": { "tags": ["a"] }, "priority": 7, "state": state, "waive": ["memory"] });
        let (spec, _) = DesiredSpec::from_api(&body, None).unwrap();
        assert_eq!(spec.to_value()["state"], state);
        assert_eq!(DesiredSpec::from_api(&spec.to_value(), None).unwrap().0, spec);
    }
}

#[test]
fn a_merge_patch_changes_and_removes_members() {
    // RFC 7396, appendix A.
    for (value, patch, expected) in [
        (json!({ "a": "b" }), json!({ "a": "c" }), json!({ "a": "c" })),
        (json!({ "a": "b" }), json!({ "b": "c" }), json!({ "a": "b", "b": "c" })),
        (json!({ "a": "b" }), json!({ "a": null }), json!({})),
        (json!({ "a": ["b"] }), json!({ "a": "c" }), json!({ "a": "c" })),
        (json!({ "a": { "b": "c" } }), json!({ "a": { "b": "d", "c": null } }), json!({ "a": { "b": "d" } })),
        (json!({ "a": [1] }), json!({ "a": { "b": 1 } }), json!({ "a": { "b": 1 } })),
        (json!({}), json!({ "a": { "bb": { "ccc": null } } }), json!({ "a": { "bb": {} } })),
    ] {
        let mut merged = value.clone();
        merge(&mut merged, &patch);
        assert_eq!(merged, expected, "{value} {patch}");
    }
}
