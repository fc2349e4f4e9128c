//! Profile State Management Operations (SGP.32 v1.2 2.11.1.1.3, 3.4).

use super::notification::{DELETE, DISABLE, ENABLE};
use super::{Euicc, ImmediateEnable};
use crate::tlv;
use eim_core::asn1::{
    EuiccResultData, Lenient, ProfileInfoListRequest, ProfileInfoListRequestSearchCriteria, ProfileInfoListResponse,
    Psmo, PsmoConfigureImmediateEnable, PsmoEnable, SetDefaultDpAddressResponse,
};
use eim_core::ids::Iccid;

const OK: i64 = 0;
const ICCID_NOT_FOUND: i64 = 1;
/// profileNotInDisabledState for enable and delete, profileNotInEnabledState for disable.
const WRONG_STATE: i64 = 2;
const DISALLOWED_BY_POLICY: i64 = 3;
const CAT_BUSY: i64 = 5;
const ROLLBACK_NOT_AVAILABLE: i64 = 20;
const RETURN_FALLBACK_PROFILE: i64 = 21;
const UNDEFINED_ERROR: i64 = 127;

/// What listProfileInfo tells when no tagList is given.
const DEFAULT_TAGS: [u32; 9] = [0x5a, 0x4f, 0x9f70, 0x91, 0x92, 0x95, 0x9f7b, 0x9f26, 0x9f67];

impl Euicc {
    pub(super) fn execute_psmo(&mut self, psmo: &Psmo) -> EuiccResultData {
        if self.faults.undefined_errors
            && let Some(result) = undefined(psmo)
        {
            return result;
        }
        match psmo {
            Psmo::Enable(enable) => EuiccResultData::EnableResult(self.enable(enable)),
            Psmo::Disable(disable) => EuiccResultData::DisableResult(self.disable(&disable.iccid)),
            Psmo::Delete(delete) => EuiccResultData::DeleteResult(self.delete(&delete.iccid)),
            Psmo::ListProfileInfo(request) => EuiccResultData::ListProfileInfoResult(self.list_profile_info(request)),
            Psmo::GetRAT(_) => EuiccResultData::GetRATResult(self.rules_authorisation_table.clone()),
            Psmo::ConfigureImmediateEnable(configuration) => {
                EuiccResultData::ConfigureImmediateEnableResult(self.configure_immediate_enable(configuration))
            }
            Psmo::SetFallbackAttribute(set) => {
                EuiccResultData::SetFallbackAttributeResult(self.set_fallback_attribute(&set.iccid))
            }
            Psmo::UnsetFallbackAttribute(_) => {
                EuiccResultData::UnsetFallbackAttributeResult(self.unset_fallback_attribute())
            }
            Psmo::SetDefaultDpAddress(set) => {
                let address = &set.default_dp_address;
                let fits = address.len() <= 255;
                if fits {
                    self.default_dp_address = Some(address.clone()).filter(|address| !address.is_empty());
                }
                set_default_dp_address_result(if fits { OK } else { UNDEFINED_ERROR })
            }
        }
    }

    fn enable(&mut self, enable: &PsmoEnable) -> i64 {
        let Some(profile) = self.position(&enable.iccid) else { return ICCID_NOT_FOUND };
        if self.profiles.get(profile).is_none_or(|profile| profile.enabled) {
            return WRONG_STATE;
        }
        let current = self.profiles.iter().position(|profile| profile.enabled);
        if current.and_then(|current| self.profiles.get(current)).is_some_and(|current| current.ppr1) {
            return DISALLOWED_BY_POLICY;
        }
        if self.cat_busy {
            return CAT_BUSY;
        }
        if enable.rollback_flag.is_some() && (!self.limits.rollback || current.is_none()) {
            return ROLLBACK_NOT_AVAILABLE;
        }
        self.switch(current, Some(profile));
        self.rollback = None;
        self.return_from_fallback = None;
        OK
    }

    fn disable(&mut self, iccid: &[u8]) -> i64 {
        let Some(profile) = self.position(iccid) else { return ICCID_NOT_FOUND };
        match self.profiles.get(profile) {
            Some(profile) if !profile.enabled => return WRONG_STATE,
            Some(profile) if profile.ppr1 => return DISALLOWED_BY_POLICY,
            _ => {}
        }
        if self.cat_busy {
            return CAT_BUSY;
        }
        self.switch(Some(profile), None);
        self.rollback = None;
        self.return_from_fallback = None;
        OK
    }

    /// Disables one profile and enables another, with notifications.
    pub(super) fn switch(&mut self, from: Option<usize>, to: Option<usize>) {
        for (position, enabled, event) in [(from, false, DISABLE), (to, true, ENABLE)] {
            let Some(profile) = position.and_then(|position| self.profiles.get_mut(position)) else { continue };
            profile.enabled = enabled;
            let profile = profile.clone();
            self.notify(event, &profile);
        }
    }

    fn delete(&mut self, iccid: &[u8]) -> i64 {
        let Some(position) = self.position(iccid) else { return ICCID_NOT_FOUND };
        match self.profiles.get(position) {
            Some(profile) if profile.enabled => return WRONG_STATE,
            Some(profile) if profile.ppr2 => return DISALLOWED_BY_POLICY,
            _ => {}
        }
        let is = |target: &Iccid| target.octets() == iccid;
        if self.rollback.as_ref().is_some_and(|rollback| is(&rollback.target)) {
            return ROLLBACK_NOT_AVAILABLE;
        }
        if self.return_from_fallback.flatten().as_ref().is_some_and(is) {
            return RETURN_FALLBACK_PROFILE;
        }
        let profile = self.profiles.remove(position);
        self.notify(DELETE, &profile);
        OK
    }

    fn list_profile_info(&self, request: &ProfileInfoListRequest) -> ProfileInfoListResponse {
        if self.profile_change_ongoing {
            return ProfileInfoListResponse::ProfileInfoListError(11);
        }
        let Some(tags) = request.tag_list.as_ref().map_or(Some(DEFAULT_TAGS.to_vec()), |list| tags(list)) else {
            return ProfileInfoListResponse::ProfileInfoListError(1);
        };
        let list = self.profiles.iter().filter(|profile| match &request.search_criteria {
            None => true,
            Some(ProfileInfoListRequestSearchCriteria::IsdpAid(aid)) => *profile.isdp_aid == **aid,
            Some(ProfileInfoListRequestSearchCriteria::Iccid(iccid)) => profile.iccid.octets()[..] == **iccid,
            Some(ProfileInfoListRequestSearchCriteria::ProfileClass(class)) => profile.class.number() == *class,
        });
        ProfileInfoListResponse::ProfileInfoListOk(list.map(|profile| Lenient::Known(profile.info(&tags))).collect())
    }

    fn configure_immediate_enable(&mut self, configuration: &PsmoConfigureImmediateEnable) -> i64 {
        if !self.limits.immediate_enable {
            return 7;
        }
        self.immediate_enable = ImmediateEnable {
            flag: configuration.immediate_enable_flag.is_some(),
            smdp_oid: configuration.default_smdp_oid.as_ref().map(ToString::to_string),
            smdp_address: configuration.default_smdp_address.clone(),
        };
        OK
    }

    fn set_fallback_attribute(&mut self, iccid: &[u8]) -> i64 {
        let Some(position) = self.position(iccid) else { return ICCID_NOT_FOUND };
        if !self.profiles.get(position).is_some_and(|profile| profile.fallback_allowed) {
            return 2;
        }
        if self.in_fallback() {
            return 3;
        }
        for (index, profile) in self.profiles.iter_mut().enumerate() {
            profile.fallback_attribute = index == position;
        }
        OK
    }

    fn unset_fallback_attribute(&mut self) -> i64 {
        if self.in_fallback() {
            return 3;
        }
        match self.profiles.iter_mut().find(|profile| profile.fallback_attribute) {
            Some(profile) => {
                profile.fallback_attribute = false;
                OK
            }
            None => 2,
        }
    }

    pub(super) fn position(&self, iccid: &[u8]) -> Option<usize> {
        self.profiles.iter().position(|profile| profile.iccid.octets() == iccid)
    }
}

/// The tags of a tagList; `None` when it is cut off.
pub(super) fn tags(mut list: &[u8]) -> Option<Vec<u32>> {
    let mut tags = Vec::new();
    while !list.is_empty() {
        let (tag, length) = tlv::tag(list)?;
        tags.push(tag);
        list = list.get(length..)?;
    }
    Some(tags)
}

fn set_default_dp_address_result(code: i64) -> EuiccResultData {
    EuiccResultData::SetDefaultDpAddressResult(SetDefaultDpAddressResponse { set_default_dp_address_result: code })
}

/// The undefinedError(127) of an operation; getRAT has none.
fn undefined(psmo: &Psmo) -> Option<EuiccResultData> {
    Some(match psmo {
        Psmo::Enable(_) => EuiccResultData::EnableResult(UNDEFINED_ERROR),
        Psmo::Disable(_) => EuiccResultData::DisableResult(UNDEFINED_ERROR),
        Psmo::Delete(_) => EuiccResultData::DeleteResult(UNDEFINED_ERROR),
        Psmo::ListProfileInfo(_) => {
            EuiccResultData::ListProfileInfoResult(ProfileInfoListResponse::ProfileInfoListError(UNDEFINED_ERROR))
        }
        Psmo::GetRAT(_) => return None,
        Psmo::ConfigureImmediateEnable(_) => EuiccResultData::ConfigureImmediateEnableResult(UNDEFINED_ERROR),
        Psmo::SetFallbackAttribute(_) => EuiccResultData::SetFallbackAttributeResult(UNDEFINED_ERROR),
        Psmo::UnsetFallbackAttribute(_) => EuiccResultData::UnsetFallbackAttributeResult(UNDEFINED_ERROR),
        Psmo::SetDefaultDpAddress(_) => set_default_dp_address_result(UNDEFINED_ERROR),
    })
}
