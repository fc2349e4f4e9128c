//! Which key signs for an eUICC, how that changes, and how a lost counter is found again (SGP.32 v1.2 3.5.1.3, 3.3.1).
//!
//! An eUICC trusts one key of this eIM. updateEim of ourselves, signed with that key, gives it another one, with a counter of its
//! own. From the moment such a package may have been executed until that is known, nothing is signed but questions that find out:
//! a harmless listEim, by turns with the new and with the old key. Only what the eUICC has signed decides. A counter never stands for
//! two packages under one key, so the last counter is kept for each key that was ever used. See ADR 17 and 18.

use super::NewOperation;
use super::association;
use super::euicc::words;
use super::lists::list_profiles;
use super::operation::{Kind, Operation, OperationError, OperationResult, OperationState, Origin, Purpose};
use super::work::Work;
use super::{Euicc, EuiccState, Event};
use crate::asn1::code::euicc_package_error_code::{
    COUNTER_VALUE_OUT_OF_RANGE, ECALL_ACTIVE, INVALID_EID, REPLAY_ERROR,
};
use crate::ids::{AssociationToken, CounterValue, KeyId, OperationId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The last counter of usual packages. The few above it are kept for the package that renews the association.
pub const LAST_USUAL: i64 = CounterValue::MAX.value() - 64;

/// The member of a stored request that says that it gives the eUICC another key of ours.
pub const KEY_ROTATION: &str = "keyRotation";

/// The first wait between two pairs of questions; it doubles up to the last.
const PROBE_AFTER_MS: i64 = 60_000;
const PROBE_AFTER_MAX_MS: i64 = 3_600_000;

/// How far at least above the last known counter another key goes on, where more may have been signed with it.
const DOUBT: i64 = 1 << 16;
/// A counter further for each of so many milliseconds: whoever restores the same backup a second time goes on above what was signed
/// after the first, as long as that was no more than one package in four seconds, and within twelve days.
const DOUBT_GROWS_EVERY_MS: i64 = 4_000;
/// What that adds stays below this.
const DOUBT_GROWTH: i64 = 1 << 18;
/// Nothing is moved beyond this, however often there is doubt, so that a key that is made since has most of its counters left.
const DOUBT_MAX: i64 = 1 << 22;
/// The first step of a search for the counter is 2 to the power of this.
const FIRST_STEP: u32 = 4;

/// What is known of the keys of an eUICC beside the one that it trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KeyFacts {
    /// The key that it may trust by now: a package that gives it this one was signed, and its result is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<KeyId>,
    /// How many questions were asked to find out.
    pub probes: u32,
    /// How often the association was made anew, or got another key of ours. Counters fit again after that, so a package is of the
    /// epoch in which it was signed.
    #[serde(skip_serializing_if = "is_zero")]
    pub epoch: i64,
    /// The last counter that was signed with each other key, or set for it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: BTreeMap<KeyId, i64>,
    /// Above which counter a key begins of which nothing is known: more may have been signed than is known here.
    #[serde(skip_serializing_if = "is_zero")]
    pub floor: i64,
    /// When it was last found that more may have been signed with other keys than is known here, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubted_at: Option<i64>,
    /// The keys of which the eUICC itself has shown since then which counter it has come to.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub confirmed: BTreeSet<KeyId>,
    /// A search for a counter that the eUICC takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<CounterSearch>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(epoch: &i64) -> bool {
    *epoch == 0
}

impl KeyFacts {
    /// Takes note that what was signed until now is of an association, or for a key, that is no longer in force.
    pub fn begin_epoch(&mut self) {
        self.epoch = self.epoch.saturating_add(1);
    }

    /// The counter with which another key begins: that after which nothing was signed with it.
    #[must_use]
    pub fn counter_for(&self, key: KeyId) -> CounterValue {
        let last = self.counters.get(&key).copied().unwrap_or(self.floor);
        CounterValue::try_from(last).unwrap_or(CounterValue::MAX)
    }

    /// More may have been signed with other keys than is known here, since what is known is older than the eUICC: a database was
    /// restored, or the eUICC was registered with a counter that was used elsewhere. None of them is given to it any more (see
    /// [`why_withheld`](Self::why_withheld)); where it has one nevertheless, or gets one of which nothing is known here, that goes on far above,
    /// and at another place at each `now` (milliseconds since 1970).
    pub fn doubt(&mut self, now: i64) {
        self.doubted_at = self.doubted_at.max(Some(now));
        self.confirmed.clear();
        let far = DOUBT + now.div_euclid(DOUBT_GROWS_EVERY_MS).rem_euclid(DOUBT_GROWTH);
        let above = |last: i64| last.max(last.saturating_add(far).min(DOUBT_MAX));
        self.floor = above(self.floor);
        for last in self.counters.values_mut() {
            *last = above(*last);
        }
    }

    /// Why the eUICC may not be given this key. updateEim sets the counter, so no eUICC refuses what was signed with this key before; one
    /// that may have signed more than is known here is not safe.
    #[must_use]
    pub fn why_withheld(&self, key: KeyId, age: KeyAge) -> Option<&'static str> {
        let is_new = self.doubted_at.is_none_or(|doubted_at| age.first_seen_at > doubted_at);
        if age.withheld {
            Some(KEY_WITHHELD)
        } else if is_new || self.confirmed.contains(&key) {
            None
        } else {
            Some(KEY_IN_DOUBT)
        }
    }
}

/// What a database knows of the age of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyAge {
    /// Since when it is there, milliseconds since 1970.
    pub first_seen_at: i64,
    /// Whether it was there when a backup was restored: then more may have been signed with it, for any eUICC, than is known here.
    pub withheld: bool,
}

/// A search for a counter that the eUICC takes, in growing steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterSearch {
    /// From where.
    pub from: i64,
    /// How many steps were taken in vain.
    pub step: u32,
}

impl CounterSearch {
    /// The counter of this step: the start and a power of two, up to the last usual one.
    fn counter(self) -> Option<CounterValue> {
        let far = 1_i64.checked_shl(self.step + FIRST_STEP).unwrap_or(i64::MAX);
        CounterValue::try_from(self.from.saturating_add(far).min(LAST_USUAL)).ok()
    }
}

/// What an operation does to our key on the eUICC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyChange {
    /// The key that it gives.
    pub to: KeyId,
    /// counterValue that it sets.
    pub counter: CounterValue,
}

/// The change that an operation makes, if it makes one.
#[must_use]
pub fn change_of(operation: &Operation) -> Option<KeyChange> {
    // Nobody else's word: who asks for operations can't say what they do to our key.
    let ours = operation.kind == Kind::Eco && operation.origin == Origin::Eim;
    let member = operation.request.get(KEY_ROTATION).filter(|_| ours)?;
    let to = member.get("to")?.as_str()?.parse().ok()?;
    let counter = CounterValue::try_from(member.get("counterValue")?.as_i64()?).ok()?;
    Some(KeyChange { to, counter })
}

/// Whether the package of an operation was signed under the association and for the key that are in force now. The result of
/// any other one is the truth of another time: its counter may fit again by chance.
#[must_use]
pub fn is_current(euicc: &Euicc, operation: &Operation) -> bool {
    let in_time = match operation.epoch {
        Some(epoch) => epoch == euicc.key_facts.epoch,
        // Of a version that did not note it.
        None => {
            let since = euicc.own_association.renewed_at.unwrap_or(0);
            euicc.key_facts.epoch == 0 && operation.delivered_at.is_some_and(|delivered| delivered >= since)
        }
    };
    in_time && operation.association_token == euicc.association_token
}

/// Whether the package of an operation is in flight or was, and is of the association and key in force now.
#[must_use]
pub fn is_current_id(work: &Work, id: OperationId) -> bool {
    work.state.operation(id).is_some_and(|operation| is_current(&work.state.euicc, operation))
}

/// Whether an operation asks which key the eUICC trusts.
#[must_use]
pub const fn is_probe(purpose: Option<Purpose>) -> bool {
    matches!(purpose, Some(Purpose::ProbeNextKey | Purpose::ProbeOldKey))
}

/// Whether an operation goes before others because it decides what may be signed.
#[must_use]
pub const fn goes_first(purpose: Option<Purpose>) -> bool {
    is_probe(purpose) || matches!(purpose, Some(Purpose::Reconcile | Purpose::SearchCounter))
}

/// The key that signs the package of an operation.
#[must_use]
pub fn signs_with(work: &Work, operation: &Operation) -> Option<KeyId> {
    match operation.purpose {
        Some(Purpose::ProbeNextKey) => work.state.euicc.key_facts.next,
        _ => work.state.euicc.signing_key,
    }
}

/// Whether the package of an operation may be signed now: the state of the eUICC allows it, it is not in doubt which key it
/// trusts, and the key is loaded, as is the one that it would be given.
#[must_use]
pub fn may_be_signed(work: &Work, operation: &Operation) -> bool {
    let euicc = &work.state.euicc;
    let (purpose, change) = (operation.purpose, change_of(operation));
    let below_last = euicc.counter < CounterValue::MAX;
    let allowed = match euicc.state {
        EuiccState::CounterExhausted => {
            purpose == Some(Purpose::ProbeNextKey)
                || (below_last && (change.is_some() || purpose == Some(Purpose::ProbeOldKey)))
        }
        EuiccState::CounterLost => matches!(purpose, Some(Purpose::SearchCounter | Purpose::ProbeNextKey)),
        state => state.takes_packages(),
    };
    let in_doubt = euicc.key_facts.next.is_some_and(|next| {
        let the_same_again = operation.counter.is_some() && change.is_some_and(|change| change.to == next);
        !is_probe(purpose) && !the_same_again
    });
    allowed
        && !in_doubt
        && signs_with(work, operation).is_some_and(|key| work.has_key(key))
        && change.is_none_or(|change| work.has_key(change.to))
}

/// What the warning of a key that is not loaded begins with.
const NOT_LOADED: &str = "packages wait, since the signing key that it trusts is not loaded: ";

/// Says once that packages wait because a key is not loaded, and takes it back when it is.
pub fn note_missing(work: &mut Work) {
    let missing = work.state.euicc.signing_key.filter(|key| !work.has_key(*key));
    let told = work.state.euicc.warnings.iter().any(|warning| warning.starts_with(NOT_LOADED));
    match missing {
        None if told => work.euicc().warnings.retain(|warning| !warning.starts_with(NOT_LOADED)),
        Some(key) if !told => {
            let waits =
                |operation: &&Operation| operation.kind.is_euicc_package() && operation.state == OperationState::Queued;
            let Some(operation) = work.state.operations.iter().find(waits).map(|operation| operation.id) else {
                return;
            };
            work.warn(&format!("{NOT_LOADED}{key}"));
            work.event("signingKeyMissing", json!({ "operation": operation, "signingKey": key }));
        }
        _ => {}
    }
}

/// Takes the counter of the next package. `None` when there is none left, or the operation can't be carried out any more; then
/// its state or that of the eUICC says why.
pub fn take_counter(work: &mut Work, id: OperationId) -> Option<CounterValue> {
    let operation = work.state.operation(id)?;
    let (purpose, change) = (operation.purpose, change_of(operation));
    let now = work.now();
    let facts = &work.state.euicc.key_facts;
    if purpose == Some(Purpose::ProbeNextKey) {
        let next = facts.next?;
        let counter = facts.counter_for(next).next()?;
        work.euicc().key_facts.counters.insert(next, counter.value());
        return Some(counter);
    }
    if let Some(change) = change {
        let why = if work.state.euicc.signing_key == Some(change.to) {
            Some("The eUICC trusts this key already.")
        } else if work.withholds(change.to) {
            Some(KEY_WITHHELD)
        } else if change.counter < facts.counter_for(change.to) {
            Some("Packages with higher counters were signed with this key meanwhile, or may have been.")
        } else {
            None
        };
        if let Some(why) = why {
            work.operation(id)?.fail(OperationError::named("keyRotationOutdated", why), now);
            work.announce(id);
            // One that was delivered, put off and is out of date now may have been carried out.
            probe(work, id);
            return None;
        }
    }
    let before = work.state.euicc.counter;
    let counter = match facts.search.filter(|_| purpose == Some(Purpose::SearchCounter)) {
        // One that was taken before, by a package that was put off, is not taken again.
        Some(search) => search.counter().filter(|counter| *counter > before).or_else(|| before.next()),
        None => before.next(),
    };
    let renews = change.is_some() || is_probe(purpose);
    let Some(counter) = counter.filter(|counter| renews || counter.value() <= LAST_USUAL) else {
        exhausted(work);
        return None;
    };
    let euicc = work.euicc();
    euicc.counter = counter;
    if let Some(change) = change {
        euicc.key_facts.next = Some(change.to);
        euicc.key_facts.probes = 0;
        euicc.key_facts.counters.insert(change.to, change.counter.value());
    }
    Some(counter)
}

/// Whether the end of the counter is near and not reached.
fn is_nearly_exhausted(euicc: &Euicc) -> bool {
    let has_ended = matches!(euicc.state, EuiccState::CounterExhausted | EuiccState::Unmanaged);
    euicc.counter >= CounterValue::WARN_FROM && !has_ended
}

/// The event of a counter that is nearly used up, however it came there: by packages, by a registration or an import, by what
/// somebody told, or with another key. Once for each association and key; `before` is `None` for an eUICC that is new.
#[must_use]
pub fn nearly_exhausted(before: Option<&Euicc>, now: &Euicc) -> Option<Event> {
    // No token counts as 0.
    let counts_of = |euicc: &Euicc| (euicc.signing_key, euicc.association_token.map_or(0, AssociationToken::value));
    let was_told = before.is_some_and(|before| is_nearly_exhausted(before) && counts_of(before) == counts_of(now));
    let details = json!({ "counterValue": now.counter.value(), "remedy": remedy(now.counter) });
    (is_nearly_exhausted(now) && !was_told).then(|| Event::new("counterNearlyExhausted", details))
}

fn exhausted(work: &mut Work) {
    work.euicc().state = EuiccState::CounterExhausted;
    work.euicc().key_facts.search = None;
    let counter = work.state.euicc.counter;
    work.event("counterExhausted", json!({ "counterValue": counter.value(), "remedy": remedy(counter) }));
}

/// What helps where a counter is used up, or nearly: the last one is what a key rotation is signed with.
#[must_use]
pub fn remedy(counter: CounterValue) -> &'static str {
    if counter < CounterValue::MAX { "keyRotation" } else { "newAssociation" }
}

/// The eUICC has said that it took the key.
pub fn renewed(work: &mut Work, id: Option<OperationId>, change: KeyChange, verified: bool) {
    let euicc = work.euicc();
    let from = euicc.signing_key;
    if from == Some(change.to) {
        return;
    }
    // What was asked with the new key meanwhile counts, too.
    let counter = change.counter.max(euicc.key_facts.counter_for(change.to));
    if let Some(from) = from {
        euicc.key_facts.counters.insert(from, euicc.counter.value());
        if verified && euicc.key_facts.doubted_at.is_some() && euicc.key_facts.confirmed.insert(from) {
            // It took a package with this counter, so none that it took before has a higher one; a few may have been signed and not taken.
            let far = euicc.counter.value().saturating_add(DOUBT).min(LAST_USUAL);
            euicc.key_facts.counters.insert(from, far.max(euicc.counter.value()));
        }
    }
    euicc.key_facts.counters.remove(&change.to);
    euicc.signing_key = Some(change.to);
    euicc.counter = counter;
    euicc.key_facts.search = None;
    euicc.key_facts.begin_epoch();
    if matches!(euicc.state, EuiccState::CounterExhausted | EuiccState::CounterLost) {
        euicc.state = EuiccState::Active;
    }
    settled(work);
    let details = json!({
        "operation": id, "from": from, "signingKey": change.to, "counterValue": counter.value(), "verified": verified,
    });
    work.event("signingKeyChanged", details);
}

/// The eUICC has said that it did not take the key.
fn kept(work: &mut Work, id: OperationId) {
    let Some(to) = work.state.euicc.key_facts.next else { return };
    settled(work);
    let key = work.state.euicc.signing_key;
    work.event("signingKeyKept", json!({ "operation": id, "signingKey": key, "refused": to }));
}

fn settled(work: &mut Work) {
    let now = work.now();
    let facts = &mut work.euicc().key_facts;
    facts.next = None;
    facts.probes = 0;
    let asked = |operation: &&mut Operation| {
        is_probe(operation.purpose) && operation.state == OperationState::Queued && operation.counter.is_none()
    };
    for operation in work.state.operations.iter_mut().filter(asked) {
        operation.end(OperationState::Cancelled, now);
    }
}

/// Whether this question can be signed: its key is loaded and has a counter left, and the state of the eUICC allows it.
fn can_be_asked(work: &Work, purpose: Purpose) -> bool {
    let euicc = &work.state.euicc;
    let (key, counter) = match purpose {
        Purpose::ProbeNextKey => {
            let next = euicc.key_facts.next;
            (next, next.and_then(|next| euicc.key_facts.counter_for(next).next()))
        }
        _ => (euicc.signing_key.filter(|_| euicc.state != EuiccState::CounterLost), euicc.counter.next()),
    };
    counter.is_some() && key.is_some_and(|key| work.has_key(key))
}

const fn other_question(purpose: Purpose) -> Purpose {
    match purpose {
        Purpose::ProbeNextKey => Purpose::ProbeOldKey,
        _ => Purpose::ProbeNextKey,
    }
}

/// A question that is due and can't be signed, as the last counter is used up or a key is not loaded, gives way to the other one.
pub fn turn_questions(work: &mut Work) {
    let now = work.now();
    let waits = |operation: &&Operation| {
        is_probe(operation.purpose)
            && operation.state == OperationState::Queued
            && operation.not_before.is_none_or(|not_before| not_before <= now)
    };
    let Some(operation) = work.state.operations.iter().find(waits) else { return };
    let (id, subject, Some(purpose)) = (operation.id, operation.subject, operation.purpose) else { return };
    if can_be_asked(work, purpose) || !can_be_asked(work, other_question(purpose)) {
        return;
    }
    let why = "It can't be signed: its key has no counter left or is not loaded.";
    if let Some(operation) = work.operation(id) {
        operation.fail(OperationError::named("cannotBeSigned", why), now);
    }
    work.announce(id);
    probe(work, subject.unwrap_or(id));
}

/// Asks which key the eUICC trusts, by turns with the new and with the old one, unless that is asked already.
pub fn probe(work: &mut Work, subject: OperationId) {
    let asked =
        [Purpose::ProbeNextKey, Purpose::ProbeOldKey].iter().any(|purpose| work.asks_already(*purpose, Kind::Eco));
    if asked || work.state.euicc.key_facts.next.is_none() {
        return;
    }
    let facts = &mut work.euicc().key_facts;
    let before = facts.probes;
    facts.probes = before.saturating_add(1);
    let turn = if before.is_multiple_of(2) { Purpose::ProbeNextKey } else { Purpose::ProbeOldKey };
    let other = other_question(turn);
    let purpose = if !can_be_asked(work, turn) && can_be_asked(work, other) { other } else { turn };
    let wait = match before / 2 {
        0 => 0,
        rounds => (PROBE_AFTER_MS << (rounds - 1).min(10)).min(PROBE_AFTER_MAX_MS),
    };
    let (id, not_before) = (work.fresh_id(), work.now() + wait);
    work.enqueue(NewOperation {
        id,
        kind: Kind::Eco,
        origin: Origin::Eim,
        purpose: Some(purpose),
        subject: Some(subject),
        request: json!({ "eco": [{ "listEim": {} }] }),
        label: None,
        not_before: Some(not_before),
        valid_until: None,
        secret: None,
        overridden: vec![],
    });
}

/// Somebody has said which key the eUICC trusts: what would have found it out is not asked any more, and a change whose outcome is
/// unknown is not waited for.
pub fn told_by_hand(work: &mut Work) {
    settled(work);
    let now = work.now();
    let unknown = |operation: &&mut Operation| {
        operation.state == OperationState::Unconfirmed && operation.results.is_empty() && change_of(operation).is_some()
    };
    let why = || OperationError::named("toldByHand", "An operator said which key the eUICC trusts.");
    let mut ended = Vec::new();
    for operation in work.state.operations.iter_mut().filter(unknown) {
        operation.error = Some(why());
        operation.end(OperationState::Cancelled, now);
        ended.push(operation.id);
    }
    ended.into_iter().for_each(|id| work.announce(id));
}

/// What is in flight was signed for an association, or a key, that is said to be another one now. Our own questions change nothing,
/// and what the eUICC refused unsigned it did not take: these are made again where they are still wanted.
///
/// # Errors
/// The operation that may have been carried out; nothing was changed.
pub fn withdraw_in_flight(work: &mut Work) -> Result<(), OperationId> {
    let Some(operation) = work.state.in_flight() else { return Ok(()) };
    let (id, purpose, subject) = (operation.id, operation.purpose, operation.subject);
    let is_question = operation.origin == Origin::Eim && purpose.is_some();
    let was_refused = operation.refusals.iter().any(|refusal| refusal.reason == association::UNSIGNED);
    if !is_question && !was_refused {
        return Err(id);
    }
    let now = work.now();
    let asked_anew = is_probe(purpose) || purpose == Some(Purpose::SearchCounter);
    let Some(operation) = work.operation(id) else { return Ok(()) };
    if asked_anew {
        let why = "It was signed for an association that is another one now.";
        operation.fail(OperationError::named("associationChanged", why), now);
        work.announce(id);
        work.euicc().key_facts.search = None;
        probe(work, subject.unwrap_or(id));
    } else {
        operation.make_again();
        work.event("packageWithdrawn", json!({ "operation": id, "reason": "associationChanged" }));
    }
    Ok(())
}

/// Takes note of an association that was made anew, with this key where that is known. The counter becomes the last one that was
/// signed with it.
pub fn renewed_with(work: &mut Work, key: Option<KeyId>) {
    let now = work.now();
    work.euicc().key_facts.begin_epoch();
    work.euicc().key_facts.search = None;
    let searches = |operation: &&mut Operation| {
        operation.purpose == Some(Purpose::SearchCounter) && operation.state == OperationState::Queued
    };
    for operation in work.state.operations.iter_mut().filter(searches) {
        operation.end(OperationState::Cancelled, now);
    }
    let Some(key) = key else { return };
    settled(work);
    let euicc = work.euicc();
    let before = euicc.signing_key;
    if before == Some(key) {
        return;
    }
    if let Some(before) = before {
        euicc.key_facts.counters.insert(before, euicc.counter.value());
    }
    euicc.counter = euicc.key_facts.counter_for(key);
    euicc.key_facts.counters.remove(&key);
    euicc.signing_key = Some(key);
}

/// Whether a change of the key of this operation is in doubt. One that was signed before the key or the association last changed
/// is not what is in doubt now, though it may be to the same key.
#[must_use]
pub fn in_doubt(work: &Work, id: OperationId) -> bool {
    gives_next(work, id) && is_current_id(work, id)
}

/// Whether an operation gives the eUICC the key that is in doubt.
fn gives_next(work: &Work, id: OperationId) -> bool {
    let change = work.state.operation(id).and_then(change_of);
    change.is_some_and(|change| work.state.euicc.key_facts.next == Some(change.to))
}

/// The eUICC says of a change of its key, in a word of another time, that it took it. What counts now is not told by that: it is
/// asked.
pub fn told_late(work: &mut Work, id: OperationId) {
    let Some(change) = work.state.operation(id).and_then(change_of) else { return };
    let euicc = &work.state.euicc;
    if euicc.signing_key == Some(change.to) || euicc.key_facts.next.is_some() || !work.has_key(change.to) {
        return;
    }
    if !euicc.state.takes_packages() || work.state.in_flight().is_some() {
        return;
    }
    let facts = &mut work.euicc().key_facts;
    let used = facts.counter_for(change.to).max(change.counter).value();
    facts.next = Some(change.to);
    facts.probes = 0;
    facts.counters.insert(change.to, used);
    probe(work, id);
}

/// An operation was given up after its package went out. Where it may have changed the key, that is found out. Gives whether it
/// was such a one.
pub fn given_up(work: &mut Work, id: OperationId) -> bool {
    let Some(operation) = work.state.operation(id) else { return false };
    let (purpose, subject) = (operation.purpose, operation.subject);
    if is_probe(purpose) {
        probe(work, subject.unwrap_or(id));
        return true;
    }
    let doubt = gives_next(work, id);
    if doubt {
        probe(work, id);
    }
    doubt
}

/// What became of a change, a question or a search is unknown, and the stored results do not tell. Gives whether it was one.
pub fn outcome_unknown(work: &mut Work, id: OperationId) -> bool {
    let Some(operation) = work.state.operation(id) else { return false };
    let (purpose, subject) = (operation.purpose, operation.subject);
    let now = work.now();
    let lost = || OperationError::named("outcomeUnknown", "Its result was lost. It is asked for again.");
    if gives_next(work, id) {
        if let Some(operation) = work.operation(id) {
            operation.state = OperationState::Unconfirmed;
        }
        work.announce(id);
        probe(work, id);
        return true;
    }
    let known = is_probe(purpose) || purpose == Some(Purpose::SearchCounter);
    if known {
        if let Some(operation) = work.operation(id) {
            operation.fail(lost(), now);
        }
        work.announce(id);
        if is_probe(purpose) { probe(work, subject.unwrap_or(id)) } else { search_on(work) }
    }
    known
}

/// A believed result has come to an operation.
pub fn after_result(work: &mut Work, id: OperationId, verified: bool) {
    let Some(operation) = work.state.operation(id) else { return };
    let (purpose, subject) = (operation.purpose, operation.subject);
    let counter = operation.counter;
    let first = operation.results.first();
    let refused =
        first.is_some_and(|result| result.operation == "updateEim" && !result.is_ok() && result.code.is_some());
    if is_probe(purpose) {
        proven(work, id, subject.unwrap_or(id), verified);
    } else if purpose == Some(Purpose::SearchCounter) {
        let euicc = work.euicc();
        euicc.key_facts.search = None;
        if euicc.state == EuiccState::CounterLost {
            euicc.state = EuiccState::Active;
            let counter = counter.map(CounterValue::value);
            work.event("counterRecovered", json!({ "operation": id, "counterValue": counter, "verified": verified }));
        }
    } else if in_doubt(work, id) {
        // A result that says neither yes nor no leaves the question open.
        if refused { kept(work, id) } else { probe(work, id) }
    }
}

/// The eUICC has answered a question as one does that trusts the key that it was signed with.
fn proven(work: &mut Work, id: OperationId, subject: OperationId, verified: bool) {
    let Some(next) = work.state.euicc.key_facts.next else { return };
    let now = work.now();
    let is_new = work.state.operation(id).is_some_and(|operation| operation.purpose == Some(Purpose::ProbeNextKey));
    if is_new {
        let change = KeyChange { to: next, counter: work.state.euicc.key_facts.counter_for(next) };
        renewed(work, Some(subject), change, verified);
        // It need not have been our package that gave it this key: one from before a database was restored looks the same.
        work.euicc().key_facts.doubt(now);
    } else {
        kept(work, subject);
    }
    let open =
        |operation: &&mut Operation| operation.state == OperationState::Unconfirmed && operation.results.is_empty();
    let Some(operation) = work.operation(subject).filter(open) else { return };
    operation.verified = Some(verified);
    if is_new {
        operation.results = vec![OperationResult {
            operation: "updateEim".to_owned(),
            code: None,
            name: "ok".to_owned(),
            message: "The result was lost; the eUICC answers what is signed with the new key.".to_owned(),
            value: None,
        }];
        operation.end(OperationState::Succeeded, now);
    } else {
        let message = "The result was lost, and the eUICC still answers what is signed with the old key.";
        operation.fail(OperationError::named("keyNotChanged", message), now);
    }
    work.announce(subject);
}

/// A believed refusal of the whole package of a question, a search or a change. Gives whether it was dealt with here.
pub fn refused(work: &mut Work, id: OperationId, code: i64, error: &OperationError, verified: bool) -> bool {
    let Some(operation) = work.state.operation(id) else { return false };
    let (purpose, subject, attempts) = (operation.purpose, operation.subject.unwrap_or(id), operation.attempts);
    let counter = operation.counter.map(CounterValue::value);
    let now = work.now();
    let fail = |work: &mut Work| {
        if let Some(operation) = work.operation(id) {
            operation.fail(error.clone(), now);
        }
        work.announce(id);
    };
    if is_probe(purpose) {
        // These are said after the signature was found good; others may be said before it was looked at.
        match code {
            REPLAY_ERROR | COUNTER_VALUE_OUT_OF_RANGE | INVALID_EID => {
                fail(work);
                proven(work, id, subject, verified);
                if code == REPLAY_ERROR && attempts == 1 {
                    lost(work, counter, verified);
                } else if code == REPLAY_ERROR {
                    work.euicc().key_facts.doubt(now);
                } else if code == COUNTER_VALUE_OUT_OF_RANGE {
                    work.euicc().state = EuiccState::CounterExhausted;
                    work.event("counterExhausted", json!({ "counterValue": counter, "verified": verified }));
                }
            }
            ECALL_ACTIVE => return false,
            _ => {
                fail(work);
                probe(work, subject);
            }
        }
        return true;
    }
    if purpose == Some(Purpose::SearchCounter) && code == REPLAY_ERROR && attempts == 1 {
        fail(work);
        search_on(work);
        return true;
    }
    false
}

/// A change whose whole package was refused by the eUICC did not happen.
pub fn after_refusal(work: &mut Work, id: OperationId) {
    let failed = work.state.operation(id).is_some_and(|operation| operation.state == OperationState::Failed);
    if failed && in_doubt(work, id) {
        kept(work, id);
    }
}

/// An unsigned error: the eUICC does not take what was signed so, or somebody says so. It changes nothing; where the key is in
/// question, it has us ask.
pub fn unsigned(work: &mut Work, id: OperationId) {
    let now = work.now();
    if gives_next(work, id) {
        if let Some(operation) = work.operation(id) {
            operation.replayed = true;
            operation.results_asked = false;
        }
        return;
    }
    let Some(operation) = work.operation(id).filter(|operation| is_probe(operation.purpose)) else { return };
    let subject = operation.subject.unwrap_or(id);
    operation.fail(OperationError::named("keyRefused", "The eUICC did not take what was signed with this key."), now);
    work.announce(id);
    probe(work, subject);
}

/// The eUICC has seen a counter that was not made here. What was lost of this key may be lost of the others, and there none is refused.
pub fn lost(work: &mut Work, counter: Option<i64>, verified: bool) {
    let now = work.now();
    let euicc = work.euicc();
    euicc.state = EuiccState::CounterLost;
    euicc.key_facts.doubt(now);
    work.event("counterLost", json!({ "counterValue": counter, "verified": verified }));
}

/// An operation of which nothing more can be learned: it was called a replay, and the eUICC has no result of it. It may have been
/// carried out and its result lost, or somebody else has signed with this counter, as before a backup was restored: nothing tells which.
pub fn note_foreign_counter(work: &mut Work, id: OperationId) {
    let Some(operation) = work.state.operation(id) else { return };
    // An unsigned error has the results asked for, too.
    let unsigned = operation.refusals.iter().any(|refusal| refusal.reason == association::UNSIGNED);
    if operation.replayed && !unsigned {
        let now = work.now();
        work.euicc().key_facts.doubt(now);
    }
}

/// Begins to search for a counter that the eUICC takes, above the last known one and above `above`. `false` when the counter is not
/// lost.
pub fn search(work: &mut Work, above: Option<CounterValue>) -> bool {
    if work.state.euicc.state != EuiccState::CounterLost {
        return false;
    }
    if work.asks_already(Purpose::SearchCounter, Kind::Psmo) {
        return true;
    }
    let from = work.state.euicc.counter.max(above.unwrap_or(CounterValue::ZERO));
    let started = CounterSearch { from: from.value(), step: 0 };
    work.euicc().key_facts.search = Some(started);
    work.event("counterRecoveryStarted", json!({ "counterValue": from.value() }));
    ask_counter(work);
    true
}

fn search_on(work: &mut Work) {
    let counter = work.state.euicc.counter;
    let facts = &mut work.euicc().key_facts;
    let Some(search) = facts.search.as_mut() else { return };
    search.step = search.step.saturating_add(1);
    let there_is_more = search.counter().is_some_and(|next| next > counter);
    if there_is_more { ask_counter(work) } else { exhausted(work) }
}

fn ask_counter(work: &mut Work) {
    work.ask(Purpose::SearchCounter, Kind::Psmo, None, list_profiles());
}

words!(
    /// Where a rotation of keys stands.
    RotationState {
        /// Devices are given the key.
        Running = "running",
        /// None is begun until it is resumed.
        Paused = "paused",
        /// No device is begun any more; those to which it was delivered are waited for.
        Cancelling = "cancelling",
        /// Withdrawn.
        Cancelled = "cancelled",
        /// As cancelling, and nobody is waited for.
        Closing = "closing",
        /// Ended by an operator; who had not answered is not reachable.
        Closed = "closed",
        /// No device is left.
        Completed = "completed",
    }
);

impl RotationState {
    /// Whether there is something left to do.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Cancelling | Self::Closing)
    }
}

words!(
    /// Where a device of a rotation stands.
    RotatingState {
        /// Not begun.
        Pending = "pending",
        /// Asked for; the old key counts until the eUICC has said that it took the new one.
        Running = "running",
        /// The eUICC trusts the new key, by its own signed word.
        Rotated = "rotated",
        /// It keeps the old key; the reason says why.
        Failed = "failed",
        /// It can't be given the key, or nobody knows whether it took it; the reason says why. It does not count as rotated.
        NotReachable = "notReachable",
        /// Withdrawn.
        Cancelled = "cancelled",
    }
);

/// Why nobody can give a device another key, for good; `None` where it is to be waited for.
#[must_use]
pub fn unreachable(euicc: Option<&Euicc>) -> Option<&'static str> {
    match euicc {
        None => Some("It is not registered any more."),
        Some(euicc) if euicc.state == EuiccState::Unmanaged => {
            Some("This eIM is not associated with it any more (unmanaged).")
        }
        Some(euicc)
            if euicc.state == EuiccState::CounterExhausted
                && euicc.counter == CounterValue::MAX
                && euicc.key_facts.next.is_none() =>
        {
            Some("Its counter is used up: another eIM must delete this one and add it with a new token.")
        }
        Some(_) => None,
    }
}

/// Why a key that was known before a backup was restored is given to no eUICC, for good.
pub const KEY_WITHHELD: &str = "More may have been signed with this key than is known here, as a backup was restored since: name a key that was made after that.";

/// Why a key is not given to an eUICC that has an association, for good.
pub const KEY_IN_DOUBT: &str = "More may have been signed for it with this key than is known here, as its counters were in doubt after the key was first seen: name a key that was made since.";

/// What a device of a rotation to this key waits for, as far as it is known. `operation` is the one that gives it the key,
/// `in_flight` another one whose package was delivered to it.
#[must_use]
pub fn lags_behind(
    euicc: Option<&Euicc>,
    operation: Option<&Operation>,
    in_flight: Option<&Operation>,
    to: KeyId,
    is_loaded: impl Fn(KeyId) -> bool,
) -> String {
    if let Some(reason) = unreachable(euicc) {
        return reason.to_owned();
    }
    let Some(euicc) = euicc else { return String::new() };
    let facts = &euicc.key_facts;
    let waits = operation.filter(|it| it.state == OperationState::Queued).map(|it| it.created_at);
    let reason = match euicc.state {
        _ if facts.next == Some(to) => {
            return format!(
                "It was given the key and has not answered, so nobody knows whether it took it; {} questions were made to find out.",
                facts.probes
            );
        }
        _ if facts.next.is_some() => "Whether it took yet another key is found out first.",
        EuiccState::AssociationLost => {
            "Its association seems lost: nothing is signed until it answers or the association is renewed."
        }
        EuiccState::CounterLost => "Its counter is lost: POST /api/v1/euiccs/{eid}/counter-recovery.",
        _ if euicc.signing_key.is_some_and(|key| !is_loaded(key)) => "The key that it trusts now is not loaded here.",
        _ if waits.is_some_and(|since| euicc.last_seen_at.is_none_or(|seen| seen <= since)) => {
            "It has not polled since its turn came."
        }
        _ if waits.is_some() => {
            return match in_flight {
                Some(other) => format!("It has polled, and the package of the operation {} is under way.", other.id),
                None => "It has polled, and other operations went first.".to_owned(),
            };
        }
        _ if operation.is_some() => "What became of it is looked at in a moment.",
        _ => "Its turn has not come.",
    };
    reason.to_owned()
}

/// The request of the operation that gives an eUICC another key of ours, as it is stored. `configuration` is that of an updateEim.
#[must_use]
pub fn rotation_request(configuration: Value, rotation: &str, from: Option<KeyId>, change: KeyChange) -> Value {
    json!({
        "eco": [{ "updateEim": configuration }],
        KEY_ROTATION: {
            "id": rotation, "from": from, "to": change.to, "counterValue": change.counter.value(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_takes_growing_steps_and_ends_at_the_last_usual_counter() {
        let counters: Vec<i64> =
            (0..30).filter_map(|step| CounterSearch { from: 10, step }.counter()).map(CounterValue::value).collect();
        assert_eq!(counters[..3], [26, 42, 74]);
        assert!(counters.is_sorted());
        assert_eq!(counters.last(), Some(&LAST_USUAL));
    }
}
