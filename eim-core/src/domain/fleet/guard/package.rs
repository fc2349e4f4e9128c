//! Lists of profile state operations, looked at as a whole.

use super::grants::{Smdp, default_server, granted, named_server, package_acts};
use super::profiles::{enabled_but, fallback_holder, find, only_profile, owners_let_go, rules_let_go};
use super::{
    Check, CheckResult, GRANT, Known, OWNER_POLICY, PROFILE_LIST, check, doubt_what_was_never_listed, set_aside,
};
use crate::asn1::Psmo;
use crate::domain::Profile;
use crate::domain::authority::{Action, Rights};
use crate::domain::fleet::outlook::{Outlook, outlook};
use crate::domain::fleet::policy::OwnerPolicy;
use crate::ids::Iccid;
use std::collections::BTreeSet;

/// What a list of profile state operations does to the profiles that are known.
pub(super) struct Effects {
    /// What may be left, whichever of them the eUICC refuses.
    pub(super) outlook: Outlook,
    /// What needs the permission of whom.
    pub(super) named: Vec<(Action, Iccid)>,
    /// Servers that downloads are led to.
    pub(super) servers: Vec<Smdp>,
    /// Whether the fallback attribute moves, and no list told who has it.
    pub(super) fallback_untold: bool,
}

pub(super) fn effects(lists: &[Vec<Psmo>], known: Known<'_>) -> Effects {
    let iccid = |octets: &[u8]| Iccid::from_octets(octets).ok();
    let mut named: Vec<(Action, Iccid)> = Vec::new();
    let mut servers = Vec::new();
    let mut fallback_untold = false;
    let is_listed = known.euicc.profiles_listed_at.is_some();
    let mut takes_fallback = |but: Option<Iccid>| {
        let holder = fallback_holder(known.profiles, but).ok().filter(|_| is_listed);
        fallback_untold |= holder.is_none();
        holder.flatten().map(|profile| (Action::Enable, profile.iccid))
    };
    for operation in lists.iter().flatten() {
        match operation {
            Psmo::Enable(enable) => named.extend(iccid(&enable.iccid).map(|one| (Action::Enable, one))),
            Psmo::Disable(disable) => named.extend(iccid(&disable.iccid).map(|one| (Action::Disable, one))),
            Psmo::Delete(delete) => named.extend(iccid(&delete.iccid).map(|one| (Action::Delete, one))),
            // It says which profile a device without network falls back to.
            Psmo::SetFallbackAttribute(set) => {
                let target = iccid(&set.iccid);
                named.extend(target.map(|one| (Action::Enable, one)));
                named.extend(takes_fallback(target));
            }
            Psmo::UnsetFallbackAttribute(_) => named.extend(takes_fallback(None)),
            Psmo::SetDefaultDpAddress(set) => servers.extend(named_server(&set.default_dp_address)),
            Psmo::ConfigureImmediateEnable(set) => {
                let the_default = || default_server(known.euicc);
                servers.extend(match &set.default_smdp_address {
                    Some(address) => named_server(address),
                    // What is downloaded from the one that the eUICC has is enabled at once.
                    None => set.immediate_enable_flag.is_some().then(the_default),
                });
            }
            _ => {}
        }
    }
    let mut outlook = outlook(lists, known.profiles, is_listed);
    if lists.iter().flatten().any(enables_at_once) {
        // Whatever comes from the default SM-DP+ then takes the place of what is enabled.
        outlook.may_go_off.extend(enabled_but(None, known).iter().map(|one| one.iccid));
    }
    named.extend(outlook.off.union(&outlook.may_go_off).map(|one| (Action::Disable, *one)));
    Effects { outlook, named, servers, fallback_untold }
}

/// What lists of profile state operations, of which the next one follows where the one before was done, leave of the profiles that are
/// enabled now: the checks that speak against them. Only what is known of the profiles counts; where they were never listed nothing is disabled or deleted.
#[must_use]
pub fn package_checks(lists: &[Vec<Psmo>], known: Known<'_>, overridden: &[String]) -> Vec<Check> {
    let Effects { outlook, named, servers, fallback_untold } = effects(lists, known);
    let operations = || lists.iter().flatten();
    let among = |iccids: &BTreeSet<Iccid>| known.profiles.iter().filter(|one| iccids.contains(&one.iccid)).collect();
    let (off, gone): (Vec<&Profile>, Vec<&Profile>) = (among(&outlook.off), among(&outlook.gone));
    let may_go_off: Vec<&Profile> = among(&outlook.may_go_off);
    let owners = never_told(lists, known)
        .unwrap_or_else(|| owners_let_go(&[off.as_slice(), may_go_off.as_slice()].concat(), &gone, known));
    let mut checks = vec![owners, rules_let_go(&off, &gone)];
    let cure = "Ask the device for its profiles first (listProfileInfo).";
    let never_listed = known.euicc.profiles_listed_at.is_none();
    let unlisted = named.iter().any(|(_, one)| find(&[*one], known).is_empty())
        || never_listed && operations().any(enables_at_once);
    let has_foreign_owners = known.rights.is_some_and(Rights::has_foreign_owners);
    if unlisted && has_foreign_owners {
        let message = "It is not known whose the profile is, since the profile list does not hold it.";
        checks.push(check(GRANT, CheckResult::Failed, message, cure));
    } else if fallback_untold && has_foreign_owners {
        let message = "It is not known whose profile has the fallback attribute now.";
        checks.push(check(GRANT, CheckResult::Failed, message, cure));
    } else {
        checks.extend(granted(&package_acts(&named, servers, known), known));
    }
    let disables = |operation: &Psmo| matches!(operation, Psmo::Disable(_) | Psmo::Delete(_));
    if never_listed && operations().any(disables) {
        let message = "The profiles of the device were never told, so nobody knows what it would be left with.";
        checks.push(check(PROFILE_LIST, CheckResult::Failed, message, cure));
    } else if operations().any(takes) {
        checks.push(only_profile(outlook.keeps_one));
    }
    doubt_what_was_never_listed(&mut checks, known);
    set_aside(&mut checks, &[], overridden);
    checks
}

/// Whether a profile that is downloaded from the default SM-DP+ takes the place of the enabled one by itself from then on.
fn enables_at_once(operation: &Psmo) -> bool {
    matches!(operation, Psmo::ConfigureImmediateEnable(set) if set.immediate_enable_flag.is_some())
}

/// The owner policies forbid something, and whose the profiles are that are disabled or deleted nobody knows: no list told of them.
fn never_told(lists: &[Vec<Psmo>], known: Known<'_>) -> Option<Check> {
    let is_listed = known.euicc.profiles_listed_at.is_some();
    // Whose a profile is that no list holds nobody knows either.
    let is_untold = |octets: &[u8]| {
        !is_listed || Iccid::from_octets(octets).is_ok_and(|one| known.profiles.iter().all(|other| other.iccid != one))
    };
    let operations = || lists.iter().flatten();
    let deletes = operations().any(|operation| matches!(operation, Psmo::Delete(delete) if is_untold(&delete.iccid)));
    let mut enabled = false;
    let disables = operations().any(|operation| match operation {
        Psmo::Disable(disable) => is_untold(&disable.iccid),
        // One that was enabled before by the same list is turned off by the next.
        Psmo::Enable(enable) => !is_listed || std::mem::replace(&mut enabled, is_untold(&enable.iccid)),
        other => !is_listed && enables_at_once(other),
    });
    let forbids = |policy: &&OwnerPolicy| disables && !policy.disable_allowed || deletes && !policy.delete_allowed;
    let policy = known.policies.iter().filter(forbids).max_by_key(|policy| policy.foreign)?;
    let message = format!(
        "Whether the owner policy of {} forbids it is not known, since the device never told its profiles, or not this one.",
        policy.service_provider
    );
    let cure = "Ask the device for its profiles first (listProfileInfo).";
    Some(Check { absolute: policy.foreign, ..check(OWNER_POLICY, CheckResult::Failed, message, cure) })
}

/// Whether a list of profile state operations may take from a device what it needs, so that it is looked at when it is asked for and
/// once more before it is signed.
#[must_use]
pub fn takes_away(operations: &[Psmo]) -> bool {
    operations.iter().any(takes)
}

/// The same for one operation.
#[must_use]
pub fn takes(operation: &Psmo) -> bool {
    match operation {
        Psmo::Enable(_)
        | Psmo::Disable(_)
        | Psmo::Delete(_)
        | Psmo::SetFallbackAttribute(_)
        | Psmo::UnsetFallbackAttribute(_) => true,
        other => enables_at_once(other),
    }
}
