//! What lists of profile state operations may leave on an eUICC, whichever of them it refuses.
//!
//! An eUICC goes on behind an operation that failed, and may stop behind any. So each operation that helps (enable,
//! setFallbackAttribute) is taken to be done and not to be done, and each that takes away to be done.

use crate::asn1::Psmo;
use crate::domain::Profile;
use crate::ids::Iccid;
use std::collections::BTreeSet;

/// More different ends are not looked at.
const ENDS_MAX: usize = 128;

/// How the profiles of an eUICC may stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Stand {
    enabled: BTreeSet<Iccid>,
    gone: BTreeSet<Iccid>,
    /// Those that were turned off on the way and are off.
    turned_off: BTreeSet<Iccid>,
    fallback: Option<Iccid>,
    /// Whether a profile that is there was not enabled.
    failed: bool,
    /// Whether the profile that is enabled was enabled by this list, so that nobody knows whether it finds a network.
    unproven: bool,
    /// Whether a profile from which it moved was deleted before that is known.
    burnt: bool,
    /// Whether an operation was not done: a list that is one step of several is the last one then.
    stops: bool,
}

/// What may come of a list of operations.
#[derive(Debug, Clone, Default)]
pub(super) struct Outlook {
    /// Profiles that are disabled at some time, also where they are enabled again.
    pub off: BTreeSet<Iccid>,
    /// Profiles that are deleted.
    pub gone: BTreeSet<Iccid>,
    /// Profiles that may be disabled later by what is configured.
    pub may_go_off: BTreeSet<Iccid>,
    /// Whether the device keeps a profile that it can use, whatever fails.
    pub keeps_one: bool,
}

/// Looks at every end of lists that are worked off one after the other, until an operation is not done. `is_listed`: a profile that is
/// not among those that are known is not there.
pub(super) fn outlook(lists: &[Vec<Psmo>], profiles: &[Profile], is_listed: bool) -> Outlook {
    let start = stand_of(profiles);
    let was_usable = is_usable(&start, profiles);
    let leaves = |stand: &Stand| {
        is_usable(stand, profiles)
            || !was_usable
                && (stand.gone.is_empty() || profiles.iter().any(|one| counts(one) && !stand.gone.contains(&one.iccid)))
    };
    let mut found = Outlook { keeps_one: true, ..Outlook::default() };
    let mut stands = BTreeSet::from([start]);
    for operations in lists {
        let Some(ends) = ends_of(operations, stands, profiles, is_listed, &mut found) else {
            // Not looked at to the end, so everything may be.
            let all: BTreeSet<Iccid> = profiles.iter().map(|profile| profile.iccid).collect();
            return Outlook { off: all.clone(), gone: all, ..Outlook::default() };
        };
        found.keeps_one &= ends.iter().all(leaves);
        // The next one follows when the device was seen again with what this one has enabled.
        let goes_on = |stand: Stand| (!stand.stops).then_some(Stand { unproven: false, burnt: false, ..stand });
        stands = ends.into_iter().filter_map(goes_on).collect();
    }
    found
}

/// Every end of one list, whichever of its operations the eUICC refuses; `None` where they are too many.
fn ends_of(
    operations: &[Psmo],
    mut stands: BTreeSet<Stand>,
    profiles: &[Profile],
    is_listed: bool,
    found: &mut Outlook,
) -> Option<BTreeSet<Stand>> {
    let iccid = |octets: &[u8]| Iccid::from_octets(octets).ok();
    let is_there = |one: Iccid, stand: &Stand| {
        !stand.gone.contains(&one) && (!is_listed || profiles.iter().any(|profile| profile.iccid == one))
    };
    for operation in operations {
        let mut next = BTreeSet::new();
        for mut stand in stands {
            match operation {
                Psmo::Enable(enable) => {
                    // One that is not there is not enabled, and excuses nothing that comes behind.
                    if let Some(target) = iccid(&enable.iccid).filter(|one| is_there(*one, &stand)) {
                        next.insert(Stand { failed: true, stops: true, ..stand.clone() });
                        let left: Vec<Iccid> = stand.enabled.iter().filter(|one| **one != target).copied().collect();
                        found.off.extend(&left);
                        stand.turned_off.extend(left);
                        stand.turned_off.remove(&target);
                        stand.unproven |= !stand.enabled.contains(&target);
                        stand.enabled = BTreeSet::from([target]);
                    } else {
                        // Where the list is wrong it takes the place of what is enabled, and that has owners, too.
                        found.off.extend(
                            iccid(&enable.iccid)
                                .iter()
                                .flat_map(|one| stand.enabled.iter().filter(move |other| *other != one).copied()),
                        );
                        stand.stops = true;
                    }
                }
                Psmo::Disable(disable) => {
                    // Its owner has a say also where it is believed to be off: the list may be out of date.
                    found.off.extend(iccid(&disable.iccid));
                    match iccid(&disable.iccid).filter(|one| stand.enabled.contains(one)) {
                        Some(target) => {
                            stand.enabled.remove(&target);
                            stand.turned_off.insert(target);
                        }
                        None => stand.stops = true,
                    }
                }
                Psmo::Delete(delete) => {
                    // One that is enabled because another was not is not deleted: the eUICC refuses it.
                    let refuses = |one: &Iccid| stand.failed && stand.enabled.contains(one);
                    found.gone.extend(iccid(&delete.iccid));
                    match iccid(&delete.iccid).filter(|one| !refuses(one)) {
                        Some(target) => {
                            if stand.enabled.remove(&target) {
                                found.off.insert(target);
                            }
                            stand.burnt |= stand.unproven && stand.turned_off.contains(&target);
                            stand.gone.insert(target);
                        }
                        None => stand.stops = true,
                    }
                }
                Psmo::SetFallbackAttribute(set) => {
                    next.insert(Stand { stops: true, ..stand.clone() });
                    stand.fallback = iccid(&set.iccid).filter(|one| is_there(*one, &stand)).or(stand.fallback);
                }
                Psmo::UnsetFallbackAttribute(_) => stand.fallback = None,
                _ => {}
            }
            next.insert(stand);
        }
        stands = next;
        if stands.len() > ENDS_MAX {
            return None;
        }
    }
    Some(stands)
}

fn stand_of(profiles: &[Profile]) -> Stand {
    let with = |is_so: fn(&Profile) -> bool| profiles.iter().filter(move |one| is_so(one)).map(|one| one.iccid);
    Stand {
        enabled: with(|one| one.enabled == Some(true)).collect(),
        fallback: with(|one| one.fallback == Some(true)).next(),
        ..Stand::default()
    }
}

/// A test profile gives no service.
fn counts(profile: &Profile) -> bool {
    profile.profile_class.unwrap_or(2) != 0
}

/// Whether a profile is enabled that the device can use, as far as that is known, or one is there that it falls back to.
fn is_usable(stand: &Stand, profiles: &[Profile]) -> bool {
    let of = |one: &Iccid| profiles.iter().find(|profile| profile.iccid == *one);
    stand.enabled.iter().any(|one| !stand.burnt && of(one).is_none_or(counts))
        || stand.fallback.is_some_and(|one| {
            !stand.gone.contains(&one) && !stand.turned_off.contains(&one) && of(&one).is_none_or(counts)
        })
}
