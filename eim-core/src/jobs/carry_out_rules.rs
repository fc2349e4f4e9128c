//! Carries out what rules ask for: each action of a noted firing in one transaction with the note that it was done, so that
//! a crash between two of them loses none and repeats none.

use super::count;
use crate::Eim;
use crate::domain::fleet::plan::Planned;
use crate::domain::fleet::rule::{Action, FiringOutcome, RuleSpec};
use crate::domain::fleet::{Check, CheckResult, guard};
use crate::domain::{Changes, Kind, Purpose, Secrets};
use crate::manage::ManageError;
use crate::manage::rule::secrets_of;
use crate::manage::switch::{NewSwitch, begin, load, with_code};
use crate::store::rule::{Firing, FiringStep, StoredRule};
use crate::store::{Saved, StoreError};
use serde_json::{Value, json};
use std::sync::Arc;

/// How many firings are looked at together.
const AT_ONCE: i64 = 200;
/// How often a device is tried that others change meanwhile.
const ATTEMPTS: usize = 4;
/// How long an action waits for what is under way at the device, and how long it is tried.
const BUSY_MS: i64 = 60_000;
const TRIED_FOR_MS: i64 = 24 * 3_600_000;
/// How many tags an eUICC may have.
const TAGS_MAX: usize = 64;

/// What an action comes to.
enum Act {
    /// It is done with this decision about the eUICC, or with none.
    Do(Value, Option<(i64, Arc<Changes>)>),
    /// Something else is under way at the device.
    Wait,
}

/// Carries out firings that are due, some hundreds at once, and gives how many there were.
///
/// # Errors
/// When the store fails.
pub async fn carry_out_rules(eim: &Eim) -> Result<usize, StoreError> {
    let due = eim.store().due_firings(eim.clock().now_ms(), AT_ONCE).await?;
    if due.is_empty() {
        return Ok(0);
    }
    let found = due.len();
    let mut done = Ok(());
    for due in due {
        let id = due.firing.id;
        if let Err(error) = carry_out(due.firing, &eim.of(due.tenant)).await {
            tracing::error!(firing = %id, %error, "what a rule asks for could not be carried out");
            done = Err(error);
        }
    }
    count("carry_out_rules", &done, eim);
    done.map(|()| found)
}

async fn carry_out(mut firing: Firing, eim: &Eim) -> Result<(), StoreError> {
    let Some(rule) = eim.store().rule(firing.rule).await? else { return Ok(()) };
    let spec = RuleSpec::from_stored(rule.name.clone(), rule.enabled, &rule.spec);
    let Some(spec) = spec.filter(|_| rule.version == firing.rule_version) else {
        let step = FiringStep {
            id: firing.id,
            taken: firing.steps.len(),
            steps: firing.steps,
            end: Some(FiringOutcome::Cancelled),
        };
        eim.store().save_firing_step(firing.eid, step, None, eim.clock().now_ms()).await?;
        return Ok(());
    };
    while let Some(action) = spec.then.get(firing.steps.len()) {
        if !step(&mut firing, action, &rule, spec.then.len(), eim).await? {
            break;
        }
    }
    Ok(())
}

/// Takes one step; `false` when the firing waits, or somebody else has taken it.
async fn step(
    firing: &mut Firing,
    action: &Action,
    rule: &StoredRule,
    of: usize,
    eim: &Eim,
) -> Result<bool, StoreError> {
    for _ in 0..ATTEMPTS {
        let now = eim.clock().now_ms();
        let (result, decision) = match act(firing, action, rule, eim).await? {
            Act::Do(result, decision) => (result, decision),
            Act::Wait => {
                eim.store().postpone_firing(firing.id, now + BUSY_MS).await?;
                return Ok(false);
            }
        };
        let taken = firing.steps.len();
        let mut steps = firing.steps.clone();
        steps.push(result);
        let refused = steps.iter().any(|step| step["outcome"] == "refused");
        let outcome = if refused { FiringOutcome::Refused } else { FiringOutcome::Done };
        let end = (steps.len() >= of).then_some(outcome);
        let changes = decision.as_ref().map(|(_, changes)| Arc::clone(changes));
        let written = FiringStep { id: firing.id, taken, steps: steps.clone(), end };
        if eim.store().save_firing_step(firing.eid, written, decision, now).await? == Saved::Done {
            if let Some(changes) = changes {
                eim.metrics().count_changes(&changes);
            }
            firing.steps = steps;
            return Ok(true);
        }
    }
    Ok(false)
}

fn refused(action: &Action, name: &str, message: &str) -> Act {
    let result =
        json!({ "action": action.word(), "outcome": "refused", "reason": { "name": name, "message": message } });
    Act::Do(result, None)
}

async fn act(firing: &Firing, action: &Action, rule: &StoredRule, eim: &Eim) -> Result<Act, StoreError> {
    let done = match action {
        Action::Switch { .. } | Action::Operations { .. } => ask(firing, action, rule, eim).await,
        Action::Tag { add, remove } => change_tags(firing, action, add, remove, eim).await,
        Action::Webhook { id } => {
            return Ok(match eim.store().webhook(*id).await? {
                Some(_) => Act::Do(json!({ "action": action.word(), "outcome": "done", "webhook": id }), None),
                None => refused(action, "webhookGone", "The webhook was removed."),
            });
        }
    };
    match done {
        Ok(act) => Ok(act),
        Err(ManageError::Store(error)) => Err(error),
        Err(ManageError::Guard(checks)) => Ok(match guard::refusal(&checks) {
            Some(check) if check.name == guard::NOTHING_IN_FLIGHT && may_wait(firing, eim) => Act::Wait,
            Some(check) => refused(action, check.name, &check.reason().message),
            None => refused(action, "refused", "The guard refuses it."),
        }),
        Err(ManageError::NotFound { .. }) => {
            Ok(refused(action, "notRegistered", "The eUICC is not registered any more."))
        }
        Err(ManageError::Conflict { slug, message }) => Ok(refused(action, slug, &message)),
        Err(ManageError::Invalid(errors)) => {
            let message = errors.first().map_or("", |error| error.message.as_str());
            Ok(refused(action, "plan", message))
        }
        Err(ManageError::Forbidden(message)) => Ok(refused(action, "forbidden", &message)),
        Err(error @ ManageError::Signer(_)) => Ok(refused(action, "signingKey", &error.to_string())),
    }
}

/// Begins a switch or a list of operations, if the guard lets it through.
async fn ask(firing: &Firing, action: &Action, rule: &StoredRule, eim: &Eim) -> Result<Act, ManageError> {
    let unreadable = || ManageError::Conflict {
        slug: "secret-unreadable",
        message: "The secrets of the rule can't be read with the key in secrets.key.".to_owned(),
    };
    let Some(plan) = action.plan() else {
        return Ok(refused(action, "plan", "This version can't read what is asked for."));
    };
    let mut secrets = secrets_of(rule, eim).ok_or_else(unreadable)?;
    let secrets = secrets.remove(&firing.steps.len()).unwrap_or_else(Secrets::default);
    let new = NewSwitch {
        id: eim.entropy().operation_id(eim.clock().now_ms()),
        planned: Planned { plan, secrets, overrides: action.overrides() },
        label: Some(rule.name.clone()),
        not_before: None,
        desired_state: None,
        campaign: None,
        reverts: false,
        rules: firing.chain.clone(),
    };
    let (version, mut work) = load(firing.eid, eim).await?;
    let (new, code) = with_code(&new, eim).await?;
    // After a state change the profile list is asked for anew; what it will show decides.
    let is_listed_soon = [Purpose::Refresh, Purpose::Reconcile].iter().any(|why| work.asks_already(*why, Kind::Psmo));
    match begin(&mut work, &new, None, eim) {
        Err(ManageError::Guard(checks)) if is_listed_soon && may_wait(firing, eim) && lacks_list(&checks) => {
            return Ok(Act::Wait);
        }
        begun => begun?,
    }
    let result = json!({ "action": action.word(), "outcome": "done", "switch": new.id });
    Ok(Act::Do(result, Some((version, Arc::new(Changes { code, ..work.finish() })))))
}

fn lacks_list(checks: &[Check]) -> bool {
    checks.iter().any(|check| check.name == guard::PROFILE_LIST && check.result == CheckResult::Failed)
}

fn may_wait(firing: &Firing, eim: &Eim) -> bool {
    eim.clock().now_ms() - firing.created_at < TRIED_FOR_MS
}

async fn change_tags(
    firing: &Firing,
    action: &Action,
    add: &[String],
    remove: &[String],
    eim: &Eim,
) -> Result<Act, ManageError> {
    let (version, mut work) = load(firing.eid, eim).await?;
    let mut tags = work.state.euicc.tags.clone();
    tags.retain(|tag| !remove.contains(tag));
    tags.extend_from_slice(add);
    tags.sort();
    tags.dedup();
    if tags.len() > TAGS_MAX {
        return Ok(refused(action, "tooManyTags", "The device would have more than 64 tags."));
    }
    let result = json!({ "action": action.word(), "outcome": "done", "changed": tags != work.state.euicc.tags });
    if tags == work.state.euicc.tags {
        return Ok(Act::Do(result, None));
    }
    work.euicc().tags = tags;
    work.event("changed", json!({ "members": ["tags"], "rule": firing.rule }));
    Ok(Act::Do(result, Some((version, Arc::new(work.finish())))))
}
