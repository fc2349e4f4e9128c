//! Our own association: its proof, its suspected loss, and the way back.

use super::{LearnedBy, OwnAssociation, OwnUpdates, TokenPolicy};
use crate::asn1::EimConfigurationData;
use crate::domain::codes::state_change_cause;
use crate::domain::euicc::EuiccState;
use crate::domain::keys;
use crate::domain::lists::{ask_profiles, distrust_profiles};
use crate::domain::operation::{Kind, Operation, Purpose};
use crate::domain::poll;
use crate::domain::work::Work;
use crate::ids::{AssociationToken, CounterValue, KeyId, OperationId};
use serde_json::{Value, json};

/// How many deliveries in a row, each answered by an unsigned error, make a suspected loss.
const REFUSALS_OF_A_LOSS: u32 = 3;
/// stateChangeCause otherEim(0).
const CAUSE_OTHER_EIM: i64 = 0;
/// stateChangeCause reset(4).
const CAUSE_RESET: i64 = 4;
/// How many tokens are adopted without an operator in [`ADOPTIONS_PER_MS`]; an eUICC gives a new one with each association.
const ADOPTIONS_MAX: u32 = 3;
const ADOPTIONS_PER_MS: i64 = 24 * 3_600_000;

const LOST: &str =
    "the association seems lost: nothing is signed until the eUICC answers or the association is renewed";

/// Takes note of a signed and verified answer to a package of ours: the eUICC obeys us under this association.
pub(in crate::domain) fn proven(work: &mut Work, id: OperationId) {
    let now = work.now();
    let Some(operation) = work.state.operation(id) else { return };
    // An answer from before the association was renewed says nothing about the new one.
    if !keys::is_current(&work.state.euicc, operation) {
        return;
    }
    let euicc = work.euicc();
    let restored = euicc.state == EuiccState::AssociationLost;
    let first = euicc.own_association.proven_at.is_none();
    let own = &mut euicc.own_association;
    own.refusals = 0;
    own.refused = None;
    own.reported_token = None;
    own.reset_at = None;
    own.lost_at = None;
    own.lost_cause = None;
    if first {
        own.proven_at = Some(now);
        own.proven_by = Some(id);
    }
    let learned_by = own.learned_by;
    if restored {
        euicc.state = EuiccState::Active;
        euicc.warnings.retain(|warning| warning != LOST);
        work.event("associationRestored", json!({ "operation": id, "verified": true }));
    }
    if first {
        work.euicc().warnings.retain(|warning| !warning.ends_with(NOT_ASSOCIATED));
        if learned_by == Some(LearnedBy::ReportedToken) {
            // A token that is in force and was not known here: so may be what was signed under it.
            work.euicc().key_facts.doubt(now);
        }
        let details = json!({ "operation": id, "learnedBy": learned_by, "verified": true });
        work.event("associationProven", details);
    }
}

/// Takes note that the eUICC did not know us, or not this token, by the word of nobody: an unsigned error. `id` is the
/// package in flight that it answers. One delivery counts once, however often the error comes.
pub(in crate::domain) fn refused(work: &mut Work, id: OperationId, token: Option<i64>, policy: TokenPolicy) {
    let Some(attempts) = work.state.operation(id).map(|operation| operation.attempts) else { return };
    let ours = work.state.euicc.association_token.map_or(0, AssociationToken::value);
    let told = token.filter(|token| *token >= 0 && *token != ours);
    let policy = work.state.euicc.own_association.token_policy.unwrap_or(policy);
    if let Some(token) = told {
        work.euicc().own_association.reported_token = Some(token);
        if policy == TokenPolicy::Adopt && may_adopt(work) {
            let adopted = (work.state.euicc.own_association.adopted, work.state.euicc.own_association.adopted_at);
            let renewal = Renewal {
                token: Some(AssociationToken::new(token)),
                counter: None,
                learned_by: LearnedBy::ReportedToken,
                told_by: None,
                key: None,
            };
            renew(work, &renewal);
            (work.euicc().own_association.adopted, work.euicc().own_association.adopted_at) = adopted;
            return;
        }
    }
    let own = &mut work.euicc().own_association;
    if own.refused == Some((id, attempts)) {
        return;
    }
    own.refused = Some((id, attempts));
    own.refusals = own.refusals.saturating_add(1);
    let refusals = own.refusals;
    let reset = work.state.euicc.own_association.reset_at.is_some();
    if refusals >= REFUSALS_OF_A_LOSS || reset {
        let cause = match told {
            Some(_) => "otherToken".to_owned(),
            None if reset => state_change_cause(CAUSE_RESET),
            None => "unsignedErrors".to_owned(),
        };
        lost(work, Some(id), &cause);
    }
}

/// How the warning of an eUICC ends that was imported from another eIM, until it has answered this one.
pub const NOT_ASSOCIATED: &str = "this eIM is not associated yet";

/// Whether one more token may be adopted without an operator; counts it.
fn may_adopt(work: &mut Work) -> bool {
    let now = work.now();
    let own = &mut work.euicc().own_association;
    if own.adopted_at.is_none_or(|at| now - at >= ADOPTIONS_PER_MS) {
        own.adopted = 0;
        own.adopted_at = Some(now);
    }
    own.adopted += 1;
    own.adopted <= ADOPTIONS_MAX
}

pub(super) fn lost(work: &mut Work, id: Option<OperationId>, cause: &str) {
    let now = work.now();
    if !work.state.euicc.state.takes_packages() {
        return;
    }
    let euicc = work.euicc();
    euicc.state = EuiccState::AssociationLost;
    euicc.own_association.lost_at = Some(now);
    euicc.own_association.lost_cause = Some(cause.to_owned());
    let reported = euicc.own_association.reported_token;
    work.warn(LOST);
    work.event(
        "associationLost",
        json!({ "operation": id, "cause": cause, "reportedToken": reported, "verified": cause == "notListed" }),
    );
}

/// A new association of ours, as somebody tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// The token; `None` for an association without one.
    pub token: Option<AssociationToken>,
    /// The counter that the eUICC begins with; `None` keeps ours.
    pub counter: Option<CounterValue>,
    /// How it became known.
    pub learned_by: LearnedBy,
    /// The eIM that told it.
    pub told_by: Option<String>,
    /// The key of ours that it was made with; `None` where that is as before.
    pub key: Option<KeyId>,
}

/// Takes over a new association. It counts as in force when the eUICC has answered a package under it. What the eUICC had
/// refused unsigned is made again with a fresh counter; the outcome of anything else in flight is asked for.
pub fn renew(work: &mut Work, renewal: &Renewal) {
    let now = work.now();
    let used = work.state.euicc.counter.value().max(work.state.euicc.own_association.highest_counter);
    let (counter_before, key_before) = (work.state.euicc.counter, work.state.euicc.signing_key);
    let was_lost = work.state.euicc.state == EuiccState::CounterLost;
    keys::renewed_with(work, renewal.key);
    let euicc = work.euicc();
    let token = renewal.token.map_or(0, AssociationToken::value);
    let highest = euicc.association_token.map_or(0, AssociationToken::value).max(euicc.own_association.highest_token);
    // Under a token that was there before a counter must never stand for two packages.
    let another = token > highest;
    let back = !another && token != euicc.association_token.map_or(0, AssociationToken::value);
    euicc.counter = match renewal.counter {
        Some(counter) if another => counter,
        Some(counter) => euicc.counter.max(counter),
        None => euicc.counter,
    };
    if back {
        euicc.counter = euicc.counter.max(CounterValue::try_from(used).unwrap_or(CounterValue::MAX));
    }
    // Of the association of before more is told than is known here.
    if !another && (was_lost || euicc.counter > counter_before || euicc.signing_key != key_before) {
        euicc.key_facts.doubt(now);
    }
    euicc.association_token = renewal.token;
    if euicc.state != EuiccState::Registered {
        euicc.state = EuiccState::Active;
    }
    let before = std::mem::take(&mut euicc.own_association);
    euicc.own_association = OwnAssociation {
        token_policy: before.token_policy,
        highest_token: highest.max(token),
        highest_counter: used,
        eims_asked_at: before.eims_asked_at,
        eims_listed_at: before.eims_listed_at,
        look_over_at: before.look_over_at,
        ..OwnAssociation::told(renewal.learned_by, renewal.told_by.clone(), now)
    };
    euicc.warnings.retain(|warning| warning != LOST);
    let (counter, token) = (euicc.counter.value(), renewal.token.map(AssociationToken::value));
    let again = make_again(work);
    work.event(
        "associationRenewed",
        json!({
            "learnedBy": renewal.learned_by,
            "toldBy": renewal.told_by,
            "counterValue": counter,
            "associationToken": token,
            "operation": again,
        }),
    );
    distrust_profiles(work);
    // The answer to it is the proof, and tells who else may command the eUICC.
    if !work.asks_already(Purpose::Refresh, Kind::Eco) {
        work.euicc().own_association.eims_asked_at = Some(now);
        work.ask(Purpose::Refresh, Kind::Eco, None, list_eims());
    }
}

/// What is in flight was signed for the association before and will not be executed under the new one.
fn make_again(work: &mut Work) -> Option<OperationId> {
    let id = work.state.in_flight().map(|operation| operation.id)?;
    let operation = work.operation(id)?;
    if !operation.refusals.iter().any(|refusal| refusal.reason == UNSIGNED) {
        // It may have been executed before the association ended.
        poll::outcome_unknown(work, id);
        return None;
    }
    operation.make_again();
    Some(id)
}

/// The reason of a refusal by an unsigned error.
pub(in crate::domain) const UNSIGNED: &str = "euiccPackageErrorUnsigned";

/// Brings a counter or token that an operator set in order with what is noted beside it.
pub fn set_by_hand(work: &mut Work, before: Option<AssociationToken>) {
    let now = work.now();
    let euicc = work.euicc();
    if euicc.association_token != before {
        let known = &euicc.own_association;
        let tokens = [before, euicc.association_token].map(|token| token.map_or(0, AssociationToken::value));
        euicc.own_association = OwnAssociation {
            token_policy: known.token_policy,
            highest_token: known.highest_token.max(tokens[0]).max(tokens[1]),
            highest_counter: known.highest_counter,
            look_over_at: known.look_over_at,
            ..OwnAssociation::told(LearnedBy::Registered, None, now)
        };
    }
    if euicc.state == EuiccState::AssociationLost {
        euicc.state = EuiccState::Active;
    }
    euicc.own_association.lost_at = None;
    euicc.own_association.lost_cause = None;
    euicc.own_association.ended_at = None;
    euicc.own_association.refusals = 0;
    euicc.warnings.retain(|warning| warning != LOST);
}

/// Notes what a verified updateEim of ourselves left on the eUICC.
pub(in crate::domain) fn updated(work: &mut Work, data: &EimConfigurationData) {
    let own = &mut work.euicc().own_association;
    let mut updates = own.updated.take().unwrap_or_default();
    updates.configure(data);
    own.updated = Some(updates).filter(|updates| *updates != OwnUpdates::default());
}

/// The request that asks for all eIMs.
#[must_use]
pub fn list_eims() -> Value {
    json!({ "eco": [{ "listEim": {} }] })
}

/// How long the eIMs are not asked for again on our own account. Nobody signs a poll, so whoever knows the EID could have
/// them asked for without end, and each question costs a counter.
const EIMS_ASKED_EVERY_MS: i64 = 3_600_000;

/// Asks for the eUICC's eIMs, in bounds.
pub(in crate::domain) fn ask_eims(work: &mut Work) {
    let now = work.now();
    let lately = work.state.euicc.own_association.eims_asked_at.is_some_and(|at| now - at < EIMS_ASKED_EVERY_MS);
    if lately || work.asks_already(Purpose::Refresh, Kind::Eco) {
        return;
    }
    work.euicc().own_association.eims_asked_at = Some(now);
    work.ask(Purpose::Refresh, Kind::Eco, None, list_eims());
}

/// Has eIMs and profiles asked for every so many milliseconds, at a poll. Each device has its own turn within the span, by its EID,
/// so that a fleet is not asked at once; one that was away is asked when it is back. `None` takes the turn away.
pub fn look_over(work: &mut Work, every_ms: Option<i64>) {
    let (now, turn) = (work.now(), work.state.euicc.own_association.look_over_at);
    let (every, turn) = match (every_ms, turn) {
        (None, None) => return,
        (None, Some(_)) => {
            work.euicc().own_association.look_over_at = None;
            return;
        }
        _ if work.state.euicc.state != EuiccState::Active => return,
        // The first time, or the span has become a shorter one.
        (Some(every), turn) if turn.is_none_or(|turn| turn - now > every) => {
            let turn = now + spread(work.state.euicc.eid.octets(), every);
            work.euicc().own_association.look_over_at = Some(turn);
            return;
        }
        (Some(every), turn) => (every, turn.unwrap_or(now)),
    };
    if turn > now {
        return;
    }
    // The next one keeps to the turn, however late this one is.
    let own = &mut work.euicc().own_association;
    own.look_over_at = Some(turn + ((now - turn) / every + 1) * every);
    own.eims_asked_at = Some(now);
    ask_profiles(work);
    if !work.asks_already(Purpose::Refresh, Kind::Eco) {
        work.ask(Purpose::Refresh, Kind::Eco, None, list_eims());
    }
}

/// A place in a span, from 1 to all of it, that is the same for an EID each time and another one for most others.
fn spread(eid: &[u8], span: i64) -> i64 {
    // FNV-1a, then a multiplication that brings the last digits to the front: EIDs of a fleet differ in those.
    let hash = eid
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3));
    let part = u128::from(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let place = (part * u128::from(span.unsigned_abs())) >> 64;
    i64::try_from(place).unwrap_or(0) + 1
}

/// Whether an operation is the question that finds out whether a lost association is there after all.
pub(in crate::domain) fn is_probe(operation: &Operation) -> bool {
    operation.purpose == Some(Purpose::Refresh) && operation.kind == Kind::Eco
}

/// Takes note of a stateChangeCause of a poll that asks for a refresh: after otherEim(0) and reset(4) the eUICC's eIMs may
/// be others.
pub(in crate::domain) fn state_changed(work: &mut Work, cause: i64) {
    if cause == CAUSE_RESET {
        let now = work.now();
        work.euicc().own_association.reset_at = Some(now);
    }
    if matches!(cause, CAUSE_OTHER_EIM | CAUSE_RESET) {
        ask_eims(work);
    }
}

/// This eIM was deleted from the eUICC.
pub fn ended(work: &mut Work, id: Option<OperationId>, verified: bool) {
    work.euicc().state = EuiccState::Unmanaged;
    let now = work.now();
    let own = &mut work.euicc().own_association;
    own.end_verified = verified;
    own.ended_at = Some(now);
    work.event("associationEnded", json!({ "operation": id, "verified": verified }));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::spread;
    use crate::ids::Eid;
    use std::collections::BTreeMap;

    #[test]
    fn ten_thousand_devices_have_their_turns_all_over_the_span() {
        const MINUTE_MS: i64 = 60_000;
        let week = 7 * 24 * 60 * MINUTE_MS;
        let mut of_each_minute = BTreeMap::<i64, u32>::new();
        for number in 0..10_000_u128 {
            let eid: Eid = (89_049_032_000_000_000_000_000_000_000_000 + number * 100).to_string().parse().unwrap();
            let turn = spread(eid.octets(), week);
            assert!((1..=week).contains(&turn));
            assert_eq!(turn, spread(eid.octets(), week), "the same each time");
            *of_each_minute.entry(turn / MINUTE_MS).or_default() += 1;
        }
        assert!(of_each_minute.values().all(|devices| *devices <= 10), "about one a minute");
        assert!(of_each_minute.len() > 5_000, "{}", of_each_minute.len());
    }
}
