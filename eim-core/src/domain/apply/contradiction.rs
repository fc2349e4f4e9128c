//! Whether what an eUICC reports fits what is known of its profiles. What does not fit shows that they changed without a word of the
//! device, so that the list is asked for before anything is judged by it again.

use crate::asn1::code::{
    delete_profile_result as deleted, disable_profile_result as disabled, enable_profile_result as enabled,
    set_fallback_attribute_result as set, unset_fallback_attribute_result as unset,
};
use crate::asn1::{EuiccResultData, Psmo};
use crate::domain::euicc::{InstalledRules, Profile};
use crate::domain::fleet::guard;

/// Whether an entry of a result says something else than the profiles that are known, as they were before it is applied (SGP.32 v1.2
/// annex A, the result codes of PSMOs). Codes that say nothing of profiles, as catBusy, contradict nothing. Some eUICCs report the code
/// of the only operation of a package as processingTerminated (`is_only`).
pub(super) fn contradicts(profiles: &[Profile], psmo: &Psmo, entry: &EuiccResultData, is_only: bool) -> bool {
    let own;
    let entry = match (entry, own_result(psmo)) {
        (EuiccResultData::ProcessingTerminated(code), Some(result)) if is_only => {
            own = result(*code);
            &own
        }
        _ => entry,
    };
    let known = |iccid: &[u8]| profiles.iter().find(|profile| profile.iccid.octets()[..] == *iccid);
    let is_known = |iccid: &[u8]| known(iccid).is_some();
    let stands = |iccid: &[u8], on: bool| known(iccid).is_some_and(|profile| profile.enabled == Some(on));
    let has = |profile: Option<&Profile>, rule: fn(InstalledRules) -> bool| {
        profile.is_some_and(|profile| profile.rules.is_some_and(rule))
    };
    let on_fallback = profiles.iter().any(|profile| profile.fallback == Some(true) && profile.enabled == Some(true));
    match (psmo, entry) {
        (Psmo::Enable(enable), EuiccResultData::EnableResult(code)) => match *code {
            enabled::OK => !stands(&enable.iccid, false),
            enabled::ICCID_OR_AID_NOT_FOUND => is_known(&enable.iccid),
            enabled::PROFILE_NOT_IN_DISABLED_STATE => !stands(&enable.iccid, true),
            enabled::DISALLOWED_BY_POLICY => {
                !profiles.iter().any(|one| one.enabled == Some(true) && has(Some(one), |rules| rules.ppr1))
            }
            _ => false,
        },
        (Psmo::Disable(disable), EuiccResultData::DisableResult(code)) => match *code {
            disabled::OK => !stands(&disable.iccid, true),
            disabled::ICCID_OR_AID_NOT_FOUND => is_known(&disable.iccid),
            disabled::PROFILE_NOT_IN_ENABLED_STATE => !stands(&disable.iccid, false),
            disabled::DISALLOWED_BY_POLICY => !has(known(&disable.iccid), |rules| rules.ppr1),
            _ => false,
        },
        (Psmo::Delete(delete), EuiccResultData::DeleteResult(code)) => match *code {
            deleted::OK => !stands(&delete.iccid, false),
            deleted::ICCID_OR_AID_NOT_FOUND => is_known(&delete.iccid),
            deleted::PROFILE_NOT_IN_DISABLED_STATE => !stands(&delete.iccid, true),
            deleted::DISALLOWED_BY_POLICY => !has(known(&delete.iccid), |rules| rules.ppr2),
            // It is the one to which the device returns, so the device is on its Fallback Profile.
            deleted::RETURN_FALLBACK_PROFILE => !on_fallback,
            _ => false,
        },
        (Psmo::SetFallbackAttribute(target), EuiccResultData::SetFallbackAttributeResult(code)) => match *code {
            set::OK => !is_known(&target.iccid),
            set::ICCID_OR_AID_NOT_FOUND => is_known(&target.iccid),
            set::FALLBACK_PROFILE_ENABLED => !on_fallback,
            _ => false,
        },
        (Psmo::UnsetFallbackAttribute(_), EuiccResultData::UnsetFallbackAttributeResult(code)) => {
            let holder = guard::fallback_holder(profiles, None);
            match *code {
                unset::OK => !matches!(holder, Ok(Some(_))),
                unset::NO_FALLBACK_ATTRIBUTE => !matches!(holder, Ok(None)),
                unset::FALLBACK_PROFILE_ENABLED => !on_fallback,
                _ => false,
            }
        }
        _ => false,
    }
}

/// What makes a result of an operation of its code.
const fn own_result(psmo: &Psmo) -> Option<fn(i64) -> EuiccResultData> {
    Some(match psmo {
        Psmo::Enable(_) => EuiccResultData::EnableResult,
        Psmo::Disable(_) => EuiccResultData::DisableResult,
        Psmo::Delete(_) => EuiccResultData::DeleteResult,
        Psmo::SetFallbackAttribute(_) => EuiccResultData::SetFallbackAttributeResult,
        Psmo::UnsetFallbackAttribute(_) => EuiccResultData::UnsetFallbackAttributeResult,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asn1::{Octets, PsmoDelete, PsmoDisable, PsmoEnable, PsmoSetFallbackAttribute};
    use crate::ids::Iccid;
    use EuiccResultData::{
        DeleteResult, DisableResult, EnableResult, SetFallbackAttributeResult, UnsetFallbackAttributeResult,
    };

    fn octets(last: u8) -> [u8; 10] {
        [0x98, 0, 0, 0, 0, 0, 0, 0, 0, last]
    }

    fn profile(last: u8, enabled: bool, fallback: bool) -> Profile {
        Profile {
            iccid: Iccid::from_octets(&octets(last)).unwrap(),
            enabled: Some(enabled),
            profile_class: Some(2),
            name: None,
            service_provider: None,
            fallback: Some(fallback),
            aid: None,
            verified: true,
            updated_at: 0,
            rules: Some(InstalledRules { ppr1: last == 1, ppr2: last == 2 }),
            owner_mcc_mnc: None,
        }
    }

    #[test]
    fn what_does_not_fit_the_list_contradicts_it_and_what_fits_does_not() {
        // The first is enabled and has PPR1, the second has PPR2, the third has the fallback attribute; the fourth is not there.
        let profiles = [profile(1, true, false), profile(2, false, false), profile(3, false, true)];
        let (enable, disable, delete) = (
            |last| Psmo::Enable(PsmoEnable { iccid: Octets::from_array(octets(last)), rollback_flag: None }),
            |last| Psmo::Disable(PsmoDisable { iccid: Octets::from_array(octets(last)) }),
            |last| Psmo::Delete(PsmoDelete { iccid: Octets::from_array(octets(last)) }),
        );
        let set =
            |last| Psmo::SetFallbackAttribute(PsmoSetFallbackAttribute { iccid: Octets::from_array(octets(last)) });
        let unset = || Psmo::UnsetFallbackAttribute(Default::default());
        // What is asked, what the eUICC says, and whether that contradicts.
        let rows = [
            (enable(2), EnableResult(0), false),
            (enable(1), EnableResult(0), true),
            (enable(4), EnableResult(0), true),
            (enable(2), EnableResult(1), true),
            (enable(4), EnableResult(1), false),
            (enable(2), EnableResult(2), true),
            (enable(1), EnableResult(2), false),
            (enable(2), EnableResult(3), false),
            (enable(2), EnableResult(5), false),
            (enable(2), EnableResult(20), false),
            (enable(2), EnableResult(127), false),
            (disable(1), DisableResult(0), false),
            (disable(2), DisableResult(0), true),
            (disable(1), DisableResult(1), true),
            (disable(4), DisableResult(1), false),
            (disable(1), DisableResult(2), true),
            (disable(2), DisableResult(2), false),
            (disable(1), DisableResult(3), false),
            (disable(2), DisableResult(3), true),
            (delete(2), DeleteResult(0), false),
            (delete(1), DeleteResult(0), true),
            (delete(4), DeleteResult(0), true),
            (delete(2), DeleteResult(1), true),
            (delete(4), DeleteResult(1), false),
            (delete(2), DeleteResult(2), true),
            (delete(1), DeleteResult(2), false),
            (delete(2), DeleteResult(3), false),
            (delete(3), DeleteResult(3), true),
            (delete(2), DeleteResult(21), true),
            (delete(2), DeleteResult(20), false),
            (set(2), SetFallbackAttributeResult(0), false),
            (set(4), SetFallbackAttributeResult(0), true),
            (set(2), SetFallbackAttributeResult(1), true),
            (set(2), SetFallbackAttributeResult(2), false),
            (set(2), SetFallbackAttributeResult(3), true),
            (unset(), UnsetFallbackAttributeResult(0), false),
            (unset(), UnsetFallbackAttributeResult(2), true),
            (unset(), UnsetFallbackAttributeResult(3), true),
            (unset(), UnsetFallbackAttributeResult(127), false),
            // An answer to something else is for the comparison of results to judge.
            (enable(1), DisableResult(1), false),
        ];
        for (psmo, entry, expected) in rows {
            assert_eq!(contradicts(&profiles, &psmo, &entry, false), expected, "{psmo:?} {entry:?}");
        }
        let fell_back = [profile(1, false, false), profile(3, true, true)];
        assert!(!contradicts(&fell_back, &unset(), &UnsetFallbackAttributeResult(3), true));
        assert!(!contradicts(&fell_back, &delete(1), &DeleteResult(21), true));
        assert!(!contradicts(&fell_back[..1], &unset(), &UnsetFallbackAttributeResult(2), true), "nobody has it");
        assert!(contradicts(&fell_back[..1], &unset(), &UnsetFallbackAttributeResult(0), true), "nobody had it");
        let terminated = EuiccResultData::ProcessingTerminated(2);
        assert!(contradicts(&profiles, &unset(), &terminated, true), "noFallbackAttribute in the form of some eUICCs");
        assert!(!contradicts(&profiles, &unset(), &terminated, false));
    }
}
