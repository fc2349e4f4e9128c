//! When the list of profiles is asked for again: what the guard judges by must not be older than what it judges.
//!
//! Nobody tells this eIM everything that happens on a device. What makes the list doubtful (a change of state that the device tells, a
//! result that does not fit it, a result that is lost) marks it as stale; only a whole list that was signed after that clears it.

use super::fleet::guard;
use super::operation::{Kind, Operation, OperationError, Purpose};
use super::request::Request;
use super::work::Work;
use super::{Euicc, Profile};
use crate::asn1::Psmo;
use crate::ids::OperationId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What is known of the age of a list of profiles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListFacts {
    /// Since when the profiles may be others than listed, milliseconds since 1970: a list that was signed before does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<i64>,
    /// When a list was last put before what takes something away, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forced_at: Option<i64>,
    /// How many lists were put before one operation.
    pub forced: u8,
    /// The operation before which they were put.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forced_for: Option<OperationId>,
    /// How many lists were lost in a row, so that nobody knows what became of what they were to decide.
    pub lost: u8,
}

/// How many lists are put before one operation, at most: an IPA that tells a change of state with every poll would put off
/// everything for good.
const FORCED_MAX: u8 = 3;
/// How many lists are lost in a row before an unknown outcome stays unknown.
pub(super) const LOST_MAX: u8 = 3;
/// How old a list may be for what leaves a device without a profile: an hour. Not every device says that its profiles changed.
const AGE_MAX_MS: i64 = 3_600_000;
/// How old it may be for enabling a profile without the way back of the eUICC (rollback): a day.
const AGE_MAX_TO_ENABLE_MS: i64 = 86_400_000;

/// The request that asks for all profiles: the usual members (SGP.32 5.9.14), with those that the guard and the owners'
/// claims need beside them, profileOwner (B7) and profilePolicyRules (99).
#[must_use]
pub fn list_profiles() -> Value {
    let tags = ["5A", "4F", "9F70", "91", "92", "95", "B7", "99", "9F7B", "9F26", "9F67"];
    json!({ "psmo": [{ "listProfileInfo": { "tags": tags } }] })
}

/// Marks the profile list as out of date and asks for it, once.
pub(super) fn distrust_profiles(work: &mut Work) {
    doubted_now(work);
    ask_profiles(work);
}

/// Marks the profile list as out of date: a list that was signed before does not change that.
pub fn doubted_now(work: &mut Work) {
    let now = work.now();
    changed(work, now);
    work.euicc().profiles_stale = true;
}

/// Asks for the profile list, unless that is done already.
pub(super) fn ask_profiles(work: &mut Work) {
    if !work.asks_already(Purpose::Refresh, Kind::Psmo) {
        work.ask(Purpose::Refresh, Kind::Psmo, None, list_profiles());
    }
}

/// The profiles may be others from this time on.
pub(super) fn changed(work: &mut Work, at: i64) {
    let facts = &mut work.euicc().list_facts;
    facts.changed_at = facts.changed_at.max(Some(at));
}

/// Whether a list that was signed then tells how the profiles are now.
pub(super) fn tells(euicc: &Euicc, signed_at: Option<i64>) -> bool {
    signed_at.is_none_or(|signed| euicc.list_facts.changed_at.is_none_or(|changed| changed <= signed))
}

/// Whether a list of profiles has to be had before an operation that is about to be signed.
pub(super) fn goes_before(work: &Work, next: &Operation) -> bool {
    let euicc = &work.state.euicc;
    let Some(list) = takes_away(next) else { return false };
    let facts = &euicc.list_facts;
    if facts.forced_for == Some(next.id) && facts.forced >= FORCED_MAX {
        return false;
    }
    is_wrong_for(&list, euicc, &work.state.profiles, work.now())
}

/// Whether the list is known to be out of date, or is too old for one of these operations.
fn is_wrong_for(list: &[Psmo], euicc: &Euicc, profiles: &[Profile], now: i64) -> bool {
    euicc.profiles_stale || list.iter().any(|operation| is_too_old_for(operation, euicc, profiles, now))
}

/// The operations of a package that takes something away.
fn takes_away(operation: &Operation) -> Option<Vec<Psmo>> {
    let request = Some(operation).filter(|it| it.kind == Kind::Psmo)?.request.as_object();
    match Request::parse(request?).ok()? {
        Request::Psmo(list) if guard::takes_away(&list) => Some(list),
        _ => None,
    }
}

fn is_too_old_for(operation: &Psmo, euicc: &Euicc, profiles: &[Profile], now: i64) -> bool {
    let Some(listed) = euicc.profiles_listed_at else { return false };
    let is_older = |age: i64| now - listed >= age;
    match operation {
        // It is gone for good, so what was done since the list counts as well.
        Psmo::Delete(_) => is_older(AGE_MAX_MS) || euicc.list_facts.changed_at.is_some_and(|changed| listed < changed),
        Psmo::Disable(_) | Psmo::UnsetFallbackAttribute(_) => is_older(AGE_MAX_MS),
        Psmo::Enable(enable) => {
            // By the list there would be nothing to do, so something is wrong with it, or with who asks.
            let is_on = |one: &Profile| one.iccid.octets()[..] == enable.iccid[..] && one.enabled == Some(true);
            is_older(AGE_MAX_TO_ENABLE_MS) && (enable.rollback_flag.is_none() || profiles.iter().any(is_on))
        }
        _ => false,
    }
}

/// Whether the list is so old that it does not say what is enabled.
#[must_use]
pub fn is_doubtful(euicc: &Euicc, now: i64) -> bool {
    euicc.profiles_stale || euicc.profiles_listed_at.is_none_or(|listed| now - listed >= AGE_MAX_TO_ENABLE_MS)
}

/// What is done before an operation that a list goes before.
pub(super) enum Before {
    /// This list is signed now.
    List(OperationId),
    /// A list is queued: it is waited for.
    Wait,
    /// No list can be had: the device never told its profiles, or it is not asked any more.
    Nothing,
}

/// Puts a list before an operation. `list`: one that is queued, due and may be signed.
pub(super) fn put_first(work: &mut Work, next: OperationId, list: Option<OperationId>) -> Before {
    let now = work.now();
    if let Some(list) = list {
        let facts = &mut work.euicc().list_facts;
        if facts.forced_for != Some(next) {
            (facts.forced_for, facts.forced) = (Some(next), 0);
        }
        facts.forced_at = Some(now);
        facts.forced += 1;
        return Before::List(list);
    }
    if work.asks_already(Purpose::Refresh, Kind::Psmo) {
        return Before::Wait;
    }
    if work.state.euicc.profiles_listed_at.is_none() {
        return Before::Nothing;
    }
    ask_profiles(work);
    Before::Wait
}

/// Why the package of an operation is not signed: the list is known to be wrong, or is too old for it, and was not had though it was
/// asked for; or the device says with every poll that it changed, and the package takes a profile from it.
#[must_use]
pub fn not_had(
    euicc: &Euicc,
    profiles: &[Profile],
    (id, list): (OperationId, &[Psmo]),
    now: i64,
) -> Option<OperationError> {
    let takes_a_profile =
        |operation: &Psmo| matches!(operation, Psmo::Disable(_) | Psmo::Delete(_) | Psmo::UnsetFallbackAttribute(_));
    let strands = |operation: &Psmo| match operation {
        Psmo::Enable(enable) => enable.rollback_flag.is_none(),
        other => guard::takes(other),
    };
    let facts = &euicc.list_facts;
    let (forced, listed) = (facts.forced_at?, euicc.profiles_listed_at?);
    let cure = "Ask for the list (psmo listProfileInfo), or let an admin override this check.";
    let what = if listed < forced && is_wrong_for(list, euicc, profiles, now) && list.iter().any(strands) {
        "The profile list is out of date, and the device did not tell it when it was asked"
    } else if euicc.profiles_stale
        && facts.forced_for == Some(id)
        && facts.forced >= FORCED_MAX
        && list.iter().any(takes_a_profile)
    {
        "The device tells a change of state again after every profile list"
    } else {
        return None;
    };
    let message = format!("{what}: nobody knows what it would be left with. {cure}");
    Some(OperationError::named(guard::PROFILE_LIST, &message))
}
