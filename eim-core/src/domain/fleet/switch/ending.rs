//! Switches that end before they are done: overdue, or withdrawn.

use super::deleting::kept;
use super::steps::{Proven, awaited, end, proof};
use super::{PUT_OFF_MAX, Switch, SwitchState, period};
use crate::domain::fleet::outcome::Outcome;
use crate::domain::operation::{ABANDONED, OperationError, OperationState};
use crate::domain::rfc3339;
use crate::domain::work::Work;
use crate::ids::OperationId;

/// The time that a switch was given is over.
pub(super) fn overdue(work: &mut Work, switch: &mut Switch) {
    let now = work.now();
    let last_seen_at = work.state.euicc.last_seen_at;
    let seen_since = |since: i64| last_seen_at.is_some_and(|seen| seen >= since);
    if switch.state == SwitchState::Proving {
        let (outcome, reason) = match proof(work, switch) {
            Proven::NotSeen => (
                Outcome::LostAfterSwitch,
                OperationError::named(
                    "notSeenAgain",
                    "The device was not seen again after it had enabled the profile.",
                ),
            ),
            Proven::NotListed => (Outcome::Unconfirmed, not_listed()),
            Proven::OtherNetwork(plmn) => (Outcome::Unconfirmed, other_network(&plmn)),
            Proven::Yes | Proven::Gone(..) => return,
        };
        end(work, switch, outcome, Some(reason));
        return;
    }
    let undelivered: Vec<OperationId> = awaited(work, switch)
        .iter()
        .filter(|operation| operation.state == OperationState::Queued)
        .map(|operation| operation.id)
        .collect();
    let started = switch.started_at.unwrap_or(switch.created_at);
    let period = period(&work.state.euicc, switch.plan.no_show_after());
    let was_delivered = undelivered.len() < switch.facts.awaiting.len();
    if seen_since(now - period) && switch.facts.put_off < PUT_OFF_MAX {
        // It is there and works, or waits for something that may pass: its operations have bounds of their own.
        switch.facts.put_off += 1;
        switch.deadline = Some(now + period);
        return;
    }
    for id in &undelivered {
        withdraw(work, *id, false);
    }
    let last = last_seen_at.map_or_else(|| "never".to_owned(), rfc3339);
    let reason =
        |name: &str, what: &str| Some(OperationError::named(name, &format!("{what} It was last seen: {last}.")));
    match switch.state {
        SwitchState::Deleting => {
            let why = if was_delivered { "its result did not come." } else { "the device did not come to fetch it." };
            let reason = Some(kept(Some(&OperationError::named("noShow", why))));
            end(work, switch, Outcome::Proven, reason);
        }
        _ if !seen_since(started) => {
            end(
                work,
                switch,
                Outcome::NoShow,
                reason("noShow", "The device did not poll in the time that it was given."),
            );
        }
        SwitchState::Downloading => {
            for operation in awaited(work, switch).iter().filter(|operation| !operation.state.is_final()) {
                withdraw(work, operation.id, true);
            }
            let what = "The download was not finished in the time that it was given.";
            end(work, switch, Outcome::DownloadFailed, reason("deviceLost", what));
        }
        SwitchState::Enabling if was_delivered => {
            let what = "The device took the package and told no result.";
            end(work, switch, Outcome::LostAfterSwitch, reason("noResult", what));
        }
        _ if was_delivered => {
            end(
                work,
                switch,
                Outcome::Unconfirmed,
                reason("noResult", "The device took the package and told no result."),
            );
        }
        _ => {
            end(
                work,
                switch,
                Outcome::NoShow,
                reason("notFetched", "The device polled and did not fetch the package."),
            );
        }
    }
}

/// Takes an operation back that is not wanted any more.
pub(super) fn withdraw(work: &mut Work, id: OperationId, delivered: bool) {
    let now = work.now();
    let Some(operation) = work.operation(id) else { return };
    if delivered {
        let message = "The switch that asked for it has ended. The device may have carried it out.";
        operation.error = Some(OperationError::named(ABANDONED, message));
    }
    operation.end(OperationState::Cancelled, now);
    work.announce(id);
}

/// Withdraws a switch of which nothing was delivered; `false` when a package is out already, which can't be called back.
pub fn cancel(work: &mut Work) -> bool {
    let Some(mut switch) = work.state.switch.take() else { return false };
    let awaited = awaited(work, &switch);
    let out = awaited.iter().any(|operation| !operation.state.is_final() && operation.state != OperationState::Queued);
    let past = matches!(switch.state, SwitchState::Proving | SwitchState::Deleting);
    let withdrawn = switch.is_open() && !out && !past;
    if withdrawn {
        for operation in awaited.iter().filter(|operation| operation.state == OperationState::Queued) {
            withdraw(work, operation.id, false);
        }
        let reason =
            OperationError::named("cancelled", "An operator or the campaign withdrew it before it was delivered.");
        end(work, &mut switch, Outcome::Cancelled, Some(reason));
    }
    work.state.switch = Some(switch);
    withdrawn
}

pub(super) fn not_listed() -> OperationError {
    OperationError::named("notListed", "The device was seen again and did not tell which profile is enabled.")
}

pub(super) fn other_network(plmn: &str) -> OperationError {
    OperationError::named("otherNetwork", &format!("The device reports the network {plmn}, not one of those expected."))
}
