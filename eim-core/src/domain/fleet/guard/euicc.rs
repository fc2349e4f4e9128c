//! Checks of the eUICC as a whole.

use super::{
    Check, CheckResult, Known, MANAGED, MEMORY, NOTHING_IN_FLIGHT, PROFILE_LIST, SmdpAddress, TARGET, check, passed,
};
use crate::domain::{Capabilities, Euicc, EuiccState, ResultPolicy};

/// The check that refuses a signed package for an eUICC from which this eIM was deleted, or whose counter is used up: it would wait
/// until an operator acts.
#[must_use]
pub fn unmanaged(euicc: &Euicc) -> Option<Check> {
    matches!(euicc.state, EuiccState::Unmanaged | EuiccState::CounterExhausted).then(|| managed(euicc))
}

pub(super) fn managed(euicc: &Euicc) -> Check {
    let (message, cure) = match euicc.state {
        EuiccState::Registered | EuiccState::Active => {
            return passed(MANAGED, "This eIM may send signed packages to the eUICC.");
        }
        EuiccState::CounterLost => {
            ("The eUICC has seen a higher counter than this eIM.", "Set the counter of the association.")
        }
        EuiccState::CounterExhausted => (
            "The counter of the association is used up, or was refused as out of range.",
            "Renew it by a key rotation (POST /api/v1/key-rotations); at 8388607 have another eIM delete this one and add it with a \
             new token.",
        ),
        EuiccState::AssociationLost => (
            "The eUICC answers as if it did not know this eIM.",
            "See its associations; adopt the token that it tells, or associate it again and record the new token.",
        ),
        EuiccState::Unmanaged => {
            ("This eIM is not associated with the eUICC, or was deleted from it.", "Associate the eUICC with this eIM.")
        }
    };
    check(MANAGED, CheckResult::Failed, message, cure)
}

pub(super) fn profile_list(known: Known<'_>) -> Check {
    let cure = "Ask for the profile list (psmo listProfileInfo) and wait for its result.";
    let lab = known.euicc.result_policy == ResultPolicy::Lab;
    let verified = known.euicc.profiles_verified && known.profiles.iter().all(|profile| profile.verified);
    if known.euicc.profiles_listed_at.is_none() {
        return check(
            PROFILE_LIST,
            CheckResult::Failed,
            "The profile list was never reported, or none that could be read to its end.",
            cure,
        );
    }
    if !verified && !lab {
        return check(PROFILE_LIST, CheckResult::Failed, "The profile list is not verified.", cure);
    }
    if known.euicc.profiles_stale {
        let message = "The profile list may be out of date; it is asked for again at the next poll.";
        return check(PROFILE_LIST, CheckResult::Unknown, message, cure);
    }
    passed(PROFILE_LIST, "The profile list is known.")
}

pub(super) fn nothing_in_flight(known: Known<'_>) -> Check {
    match known.busy_with {
        None => passed(NOTHING_IN_FLIGHT, "Nothing else is under way."),
        Some(what) => {
            let message = format!("Something else is under way at this eUICC: {what}.");
            check(NOTHING_IN_FLIGHT, CheckResult::Failed, message, "Wait for it, or cancel it.")
        }
    }
}

/// Where a profile is to be had that is not installed. That it waits there is for the server to tell, and what the IPA told of the
/// eUICC's own servers nobody signed: so it is never more than unknown, and never refused.
pub(super) fn obtainable(smdp: SmdpAddress<'_>, euicc: &Euicc) -> Check {
    let own = |name: &str| Capabilities(euicc.capabilities.as_ref()).0?.get(name)?.as_str();
    let (place, not_told, no_place) = match smdp {
        SmdpAddress::Known(address) => (Some(("SM-DP+", address)), "", ""),
        SmdpAddress::Smds(Some(address)) => (Some(("SM-DS", address)), "", ""),
        SmdpAddress::Default => (
            own("defaultSmdpAddress").map(|address| ("default SM-DP+", address)),
            "The device has not told the default SM-DP+ of its eUICC, or that it has none.",
            "Ask for it (euiccData with the tag 81). Where there is none, set one (psmo setDefaultDpAddress) or name an activation code.",
        ),
        SmdpAddress::Smds(None) => (
            own("rootSmdsAddress").map(|address| ("root SM-DS", address)),
            "The device has not told the root SM-DS of its eUICC, or that it has none.",
            "Ask for it (euiccData with the tag 83). Where there is none, name the address of an SM-DS or an activation code.",
        ),
        SmdpAddress::Pool => (Some(("SM-DP+", "that a code of the pool names")), "", ""),
    };
    match place.filter(|(_, address)| !address.is_empty()) {
        Some((kind, address)) => {
            let address: String = address.chars().filter(|c| !c.is_control()).collect();
            let message = format!(
                "The profile is asked for at the {kind} {address}: whether it waits there is told when it is downloaded."
            );
            check(TARGET, CheckResult::Unknown, message, "See that the profile's operator has it ready there.")
        }
        None => check(TARGET, CheckResult::Unknown, not_told, no_place),
    }
}

pub(super) fn memory(needed: i64, known: Known<'_>) -> Check {
    match free_memory(known.euicc) {
        None => check(
            MEMORY,
            CheckResult::Unknown,
            "How much memory is free was not reported.",
            "Ask for EUICCInfo2 (euiccData with the tag BF22).",
        ),
        Some(free) if free < needed => check(
            MEMORY,
            CheckResult::Failed,
            format!("{free} octets are free on the eUICC, and {needed} are wanted."),
            "Delete a profile that is not needed, or name another memoryBytes.",
        ),
        Some(free) => passed(MEMORY, format!("{free} octets are free on the eUICC.")),
    }
}

/// freeNonVolatileMemory of extCardResource as the IPA reported it, unsigned (ETSI TS 102 226 8.2.1.7.2: tag 82).
#[must_use]
pub fn free_memory(euicc: &Euicc) -> Option<i64> {
    let info = Capabilities(euicc.capabilities.as_ref()).0?.get("euiccInfo2")?;
    let octets = hex::decode(info.get("extCardResource")?.as_str()?).ok()?;
    let mut rest = octets.as_slice();
    while let [tag, length, tail @ ..] = rest {
        let (value, after) = tail.split_at_checked(usize::from(*length))?;
        if *tag == 0x82 && value.len() <= 7 {
            return Some(value.iter().fold(0, |sum, octet| sum << 8 | i64::from(*octet)));
        }
        rest = after;
    }
    None
}
