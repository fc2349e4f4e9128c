//! Checks of its profiles: owners, policy rules, the fallback attribute, and what is left.

use super::{
    Check, CheckResult, FALLBACK, Known, NOT_THE_ONLY_PROFILE, OWNER_POLICY, POLICY_RULES, TARGET, check, passed,
};
use crate::asn1::code::profile_class;
use crate::domain::authority::{Action, Subject as Owned};
use crate::domain::fleet::policy::{self, OwnerPolicy};
use crate::domain::{InstalledRules, Profile};
use crate::ids::Iccid;

/// No list told which profile has the fallback attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FallbackUntold;

/// The profile but this one that has the fallback attribute; there is one at most.
///
/// # Errors
/// When a profile could have it that no list told of.
pub fn fallback_holder(profiles: &[Profile], but: Option<Iccid>) -> Result<Option<&Profile>, FallbackUntold> {
    if let Some(holder) = profiles.iter().find(|profile| profile.fallback == Some(true)) {
        return Ok(Some(holder).filter(|holder| Some(holder.iccid) != but));
    }
    let untold = |profile: &Profile| profile.fallback.is_none() && Some(profile.iccid) != but;
    if profiles.iter().any(untold) { Err(FallbackUntold) } else { Ok(None) }
}

pub(super) fn installed(iccid: Iccid, known: Known<'_>) -> Check {
    match known.profiles.iter().find(|profile| profile.iccid == iccid) {
        Some(_) => passed(TARGET, "The profile is installed."),
        None => check(
            TARGET,
            CheckResult::Failed,
            "The profile is not on the profile list of this eUICC.",
            "Name a profile that is installed, or say where it can be downloaded.",
        ),
    }
}

/// The profiles that lose their place when another one is enabled.
pub(super) fn enabled_but<'a>(target: Option<Iccid>, known: Known<'a>) -> Vec<&'a Profile> {
    let loses = |profile: &&Profile| profile.enabled == Some(true) && Some(profile.iccid) != target;
    known.profiles.iter().filter(loses).collect()
}

pub(super) fn find<'a>(iccids: &[Iccid], known: Known<'a>) -> Vec<&'a Profile> {
    known.profiles.iter().filter(|profile| iccids.contains(&profile.iccid)).collect()
}

pub(super) fn owners_let_go(disabled: &[&Profile], deleted: &[&Profile], known: Known<'_>) -> Check {
    let refused = |what: &str, profile: &Profile, policy: &OwnerPolicy| {
        let cure = if policy.foreign {
            "Ask the profile's owner; whatever was granted, nobody else can set its policy aside."
        } else {
            "Ask the profile's owner, or let an admin override it."
        };
        let message = format!(
            "The owner policy of {} does not allow to {what} the profile {}.",
            policy.service_provider, profile.iccid
        );
        Check { absolute: policy.foreign, ..check(OWNER_POLICY, CheckResult::Failed, message, cure) }
    };
    let kept_on = disabled.iter().filter_map(|profile| {
        policy::forbids_disable(known.policies, profile).map(|policy| refused("disable", profile, policy))
    });
    let kept = deleted.iter().filter_map(|profile| {
        policy::forbids_delete(known.policies, profile).map(|policy| refused("delete", profile, policy))
    });
    let mut refusals: Vec<Check> = kept_on.chain(kept).collect();
    // The word that can't be set aside comes first, whatever else speaks against it.
    refusals.sort_by_key(|check| !check.absolute);
    refusals.into_iter().next().unwrap_or_else(|| passed(OWNER_POLICY, "No owner policy speaks against it."))
}

/// PPR1 keeps a profile from being disabled, PPR2 from being deleted; the eUICC would answer disallowedByPolicy.
pub(super) fn rules_let_go(disabled: &[&Profile], deleted: &[&Profile]) -> Check {
    let named = |profiles: &[&Profile], holds: fn(InstalledRules) -> bool| {
        profiles.iter().find(|profile| profile.rules.is_some_and(holds)).map(|profile| profile.iccid)
    };
    let refused = |rule: &str, what: &str, iccid: Iccid| {
        check(
            POLICY_RULES,
            CheckResult::Failed,
            format!("The profile {iccid} has {rule}: the eUICC refuses to {what} it (disallowedByPolicy)."),
            "Let the profile's operator take the rule off by its SM-DP+ or over the air, then ask for the profile list again.",
        )
    };
    if let Some(iccid) = named(disabled, |rules| rules.ppr1) {
        return refused("PPR1", "disable", iccid);
    }
    if let Some(iccid) = named(deleted, |rules| rules.ppr2) {
        return refused("PPR2", "delete", iccid);
    }
    if disabled.iter().chain(deleted).any(|profile| profile.rules.is_none()) {
        return check(
            POLICY_RULES,
            CheckResult::Unknown,
            "Whether the profile has policy rules was not reported; the eUICC will tell.",
            "Ask for the profile list with the tag 99 (psmo listProfileInfo with tags).",
        );
    }
    passed(POLICY_RULES, "No policy rule of an installed profile speaks against it.")
}

/// The same, and whether the rules that a new profile brings can be judged: that is done in its download, before a bound
/// profile package is asked for.
pub(super) fn rules_permit_another(disabled: &[&Profile], deleted: &[&Profile], known: Known<'_>) -> Check {
    let installed = rules_let_go(disabled, deleted);
    if installed.result != CheckResult::Passed || known.euicc.rules_authorisation_table.is_some() {
        return installed;
    }
    check(
        POLICY_RULES,
        CheckResult::Unknown,
        "The Rules Authorisation Table was not reported: whether the new profile may bring policy rules is for the eUICC to tell.",
        "Ask for it (psmo getRAT).",
    )
}

/// Says what the owner's policy deletes by itself when the switch is proven, and what it would but for a grant.
pub(super) fn foretold(check: Check, off: &[&Profile], deletes_old: bool, known: Known<'_>) -> Check {
    let by_policy = off.iter().filter(|profile| !deletes_old && policy::deletes_when_disabled(known.policies, profile));
    let is_granted = |profile: &Profile| {
        known.rights.is_none_or(|rights| rights.permits(Action::Delete, &Owned::of(profile)).is_ok())
    };
    let (gone, kept): (Vec<&Profile>, Vec<&Profile>) = by_policy.copied().partition(|profile| is_granted(profile));
    if check.result != CheckResult::Passed || gone.is_empty() && kept.is_empty() {
        return check;
    }
    let names = |profiles: &[&Profile]| {
        profiles.iter().map(|profile| profile.iccid.to_string()).collect::<Vec<String>>().join(", ")
    };
    let mut message = "No owner policy speaks against it.".to_owned();
    if !gone.is_empty() {
        message +=
            &format!(" One deletes the old profile when the switch is proven (deleteWhenDisabled): {}.", names(&gone));
    }
    if !kept.is_empty() {
        message += &format!(
            " One would delete the old profile when the switch is proven (deleteWhenDisabled), but its owner has not granted that, so \
             it stays: {}.",
            names(&kept)
        );
    }
    passed(OWNER_POLICY, message)
}

/// The profiles that are deleted once the switch is proven: because it was asked for, or by their owner's policy.
pub(super) fn deleted_after(off: &[&Profile], deletes_old: bool, known: Known<'_>) -> Vec<Iccid> {
    let is_deleted = |profile: &&&Profile| deletes_old || policy::deletes_when_disabled(known.policies, profile);
    off.iter().filter(is_deleted).map(|profile| profile.iccid).collect()
}

pub(super) fn fallback(target: Option<Iccid>, deleted: &[Iccid], known: Known<'_>) -> Check {
    let is_on = |profile: &Profile| Some(profile.iccid) == target && profile.enabled == Some(true) && profile.verified;
    if known.profiles.iter().any(is_on) {
        if !known.euicc.profiles_stale {
            return passed(FALLBACK, "The profile is enabled already: nothing changes.");
        }
        let message = "The profile was enabled by the last list, which may be out of date.";
        return check(FALLBACK, CheckResult::Unknown, message, "The list is asked for before the package is signed.");
    }
    let holder = fallback_holder(known.profiles, target);
    let message = if let Ok(Some(holder)) = holder {
        if holder.profile_class == Some(profile_class::TEST) {
            "The profile that has the fallback attribute is a test profile, which finds no network that a device could use."
        } else if !deleted.contains(&holder.iccid) {
            return passed(FALLBACK, "Another profile has the fallback attribute.");
        } else {
            "The profile that has the fallback attribute is the one that is deleted when the switch is proven (deleteOld, or the \
             deleteWhenDisabled of its owner's policy): a device without network would stay there."
        }
    } else if holder.is_err() {
        "No other profile is known to have the fallback attribute, since the profile list was not asked for it: a device \
         without network might stay there."
    } else {
        "No other profile has the fallback attribute: a device without network would stay there."
    };
    check(
        FALLBACK,
        CheckResult::Failed,
        message,
        "Set it (psmo setFallbackAttribute), or waive this check by name: \"waive\": [\"fallback\"].",
    )
}

/// Whether a profile is left when these are disabled and deleted.
pub(super) fn keeps_one(disabled: &[&Profile], deleted: &[&Profile], known: Known<'_>) -> bool {
    let without = |what: &[&Profile], one: &Profile| what.iter().all(|other| other.iccid != one.iccid);
    let counts = |profile: &&Profile| profile.profile_class.unwrap_or(2) != 0;
    let is_kept = |one: &&Profile| without(disabled, one) && without(deleted, one);
    let usable = |one: &&Profile| one.enabled == Some(true) || one.fallback == Some(true);
    let all = || known.profiles.iter().filter(counts).filter(usable);
    all().next().is_none() || all().any(|one| is_kept(&one))
}

pub(super) fn only_profile(keeps_one: bool) -> Check {
    if keeps_one {
        return passed(NOT_THE_ONLY_PROFILE, "The device keeps a profile that it can use.");
    }
    check(
        NOT_THE_ONLY_PROFILE,
        CheckResult::Failed,
        "No enabled profile that is known to work and no Fallback Profile would be left, or might not where the eUICC refuses an operation \
         of the list: the device could not be reached again.",
        "Enable another profile instead, which disables this one, and delete the old one in an operation of its own, or by a switch with \
         deleteOld; or set a Fallback Profile first, in an operation of its own.",
    )
}
