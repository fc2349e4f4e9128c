//! Which rules feed which: what a rule does may be what another one, or it itself, waits for.
//!
//! Filters are not looked at: a tag moves a device from one to another. What only may follow (a device falls back after a
//! switch) is left to the loop guard at run time.

use super::{Action, Condition, OutcomeOf};
use crate::domain::fleet::switch::{Plan, Target, kind_of};
use crate::domain::operation::Kind;
use crate::ids::OperationId;
use serde_json::Value;

/// A rule as far as feeding is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// Its name for reference.
    pub id: OperationId,
    /// The operator's name for it.
    pub name: &'a str,
    /// When it fires.
    pub when: &'a Condition,
    /// What it does.
    pub then: &'a [Action],
}

/// Rules that feed each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    /// The action of the first rule that begins it, from 0.
    pub action: usize,
    /// The names of the rules, from the first one to the one that feeds it.
    pub names: Vec<String>,
}

/// The first cycle that a rule would be part of.
#[must_use]
pub fn cycle(of: Link<'_>, others: &[Link<'_>]) -> Option<Cycle> {
    for (action, done) in of.then.iter().enumerate() {
        // Each other rule is come to once: what it leads to does not depend on the way.
        let mut visited = vec![false; others.len()];
        let mut ways: Vec<(Vec<String>, Vec<&Action>)> = vec![(vec![of.name.to_owned()], vec![done])];
        while let Some((names, actions)) = ways.pop() {
            if actions.iter().any(|action| feeds(action, of.when)) {
                return Some(Cycle { action, names });
            }
            for (other, visited) in others.iter().zip(&mut visited) {
                let is_fed = other.id != of.id && !*visited && actions.iter().any(|action| feeds(action, other.when));
                if is_fed {
                    *visited = true;
                    let mut names = names.clone();
                    names.push(other.name.to_owned());
                    ways.push((names, other.then.iter().collect()));
                }
            }
        }
    }
    None
}

/// Whether what is done is what the condition waits for, each time or as a rule.
fn feeds(action: &Action, when: &Condition) -> bool {
    match (action, when) {
        (Action::Switch { plan }, when) => switch_feeds(plan, when),
        (Action::Operations { requests }, Condition::Outcome(wanted)) => {
            requests.iter().filter_map(kind_of).any(|kind| wanted.of.contains(&OutcomeOf::Operation(kind)))
        }
        (Action::Operations { requests }, Condition::Plmn(networks)) => {
            !networks.is_narrow() && requests.iter().any(|request| has(request, "psmo", "enable"))
        }
        (Action::Operations { requests }, Condition::ForeignEim) => {
            requests.iter().any(|request| has(request, "eco", "addEim"))
        }
        _ => false,
    }
}

fn switch_feeds(plan: &Plan, when: &Condition) -> bool {
    let downloads = matches!(plan, Plan::Switch { to: Target::Download(_) | Target::Pool(_), .. });
    match when {
        Condition::Outcome(wanted) => wanted.of.iter().any(|of| match of {
            OutcomeOf::Switch | OutcomeOf::Operation(Kind::Psmo) => true,
            OutcomeOf::Operation(Kind::ProfileDownload) => downloads,
            OutcomeOf::Operation(_) => false,
        }),
        // Another profile is in another network as a rule.
        Condition::Plmn(networks) => !networks.is_narrow(),
        Condition::MemoryLow(_) => downloads,
        Condition::StateChangeCause(_) | Condition::NoPollFor(_) | Condition::ForeignEim => false,
    }
}

fn has(request: &Value, kind: &str, operation: &str) -> bool {
    let list = request.get(kind).and_then(Value::as_array);
    list.is_some_and(|list| list.iter().any(|one| one.get(operation).is_some()))
}

#[cfg(test)]
mod tests {
    use super::super::{CoolDown, RuleSpec};
    use super::*;
    use serde_json::json;

    fn id(number: u8) -> OperationId {
        OperationId::new(i64::from(number), [number; 10])
    }

    fn rule(name: &str, when: Value, then: Value) -> RuleSpec {
        let body = json!({ "name": name, "filter": { "all": true }, "when": when, "then": then });
        let read = RuleSpec::from_api(&body, None).unwrap();
        assert_eq!(read.spec.cool_down, CoolDown::Seconds(3_600));
        read.spec
    }

    fn link(number: u8, spec: &RuleSpec) -> Link<'_> {
        Link { id: id(number), name: &spec.name, when: &spec.when, then: &spec.then }
    }

    #[test]
    fn a_rule_that_waits_for_what_it_does_feeds_itself() {
        let switch = json!([{ "tag": { "add": ["seen"] } }, { "switch": { "to": { "pool": "codes" } } }]);
        let list = json!([{ "operations": [{ "psmo": [{ "listProfileInfo": {} }] }] }]);
        let failed = |of: &str| json!({ "outcome": { "of": [of], "outcomes": ["failed"] } });
        for (when, then, action) in [
            (failed("switch"), &switch, Some(1)),
            (failed("psmo"), &switch, Some(1)),
            (failed("profileDownload"), &switch, Some(1)),
            (failed("eco"), &switch, None),
            (json!({ "plmn": { "changed": true } }), &switch, Some(1)),
            (json!({ "plmn": { "notIn": ["262"] } }), &switch, None),
            (json!({ "memoryLow": { "belowBytes": 9 } }), &switch, Some(1)),
            (json!({ "stateChangeCause": ["fallback"] }), &switch, None),
            (json!({ "noPollFor": { "intervals": 9 } }), &switch, None),
            (failed("psmo"), &list, Some(0)),
            (failed("switch"), &list, None),
            (json!({ "plmn": { "changed": true } }), &list, None),
        ] {
            let spec = rule("r", when, then.clone());
            let found = cycle(link(1, &spec), &[]);
            assert_eq!(found.map(|found| found.action), action, "{:?} {then}", spec.when);
        }
    }

    #[test]
    fn a_cycle_over_several_rules_names_them() {
        let to = json!([{ "switch": { "to": { "iccid": "89990000000000000015" } } }]);
        let list = json!([{ "operations": [{ "euiccData": { "tags": ["BF22"] } }] }]);
        let ask = json!([{ "operations": [{ "psmo": [{ "listProfileInfo": {} }] }] }]);
        let one = rule("one", json!({ "outcome": { "of": ["euiccData"], "outcomes": ["failed"] } }), to);
        let two = rule("two", json!({ "outcome": { "of": ["switch"], "outcomes": ["failed"] } }), ask);
        let three = rule("three", json!({ "outcome": { "of": ["psmo"], "outcomes": ["failed"] } }), list);
        let others = [link(1, &one), link(2, &two)];
        assert_eq!(cycle(link(1, &one), &others), None);
        let found = cycle(link(3, &three), &others).unwrap();
        assert_eq!((found.action, found.names), (0, vec!["three".to_owned(), "one".to_owned()]));
        // One that is changed is not compared with what it was.
        assert_eq!(cycle(link(1, &two), &[link(1, &one)]), None);
    }
}
