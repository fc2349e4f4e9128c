//! What the IPA or the device does to the eUICC without an eIM: rollback, fallback, emergency, reset (SGP.32 v1.2 5.9).

use super::error::EuiccError;
use super::{Euicc, ImmediateEnable, ProfileClass};
use crate::tlv::{Tlv, element, integer};
use eim_core::asn1::EuiccResultData;

const OK: i64 = 0;
const CAT_BUSY: i64 = 5;
const FALLBACK_NOT_AVAILABLE: i64 = 6;
const ECALL_NOT_AVAILABLE: i64 = 8;
const ECALL_ACTIVE: i64 = 104;

/// resetOptions of ES10b.eUICCMemoryReset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryReset {
    /// deleteOperationalProfiles(0).
    pub operational_profiles: bool,
    /// deleteFieldLoadedTestProfiles(1).
    pub field_loaded_test_profiles: bool,
    /// resetDefaultSmdpAddress(2).
    pub default_smdp_address: bool,
    /// deletePreLoadedTestProfiles(3).
    pub preloaded_test_profiles: bool,
    /// deleteProvisioningProfiles(4).
    pub provisioning_profiles: bool,
    /// resetEimConfigData(5): every association goes; tokens are never given again.
    pub eim_config_data: bool,
    /// resetImmediateEnableConfig(6).
    pub immediate_enable_config: bool,
}

impl Euicc {
    /// ES10b.ProfileRollback: back to the profile before the last enable with rollbackFlag. Gives
    /// `BF58 { 02 cmdResult, BF51? }`; the result in it replaces the one of the package.
    ///
    /// # Errors
    /// [`EuiccError::Answer`] when the result can't be written.
    pub fn profile_rollback(&mut self) -> Result<Vec<u8>, EuiccError> {
        let response = |code: i64, result: &[u8]| element(0xbf58, &[&integer(0x02, code), result]);
        if self.cat_busy {
            return Ok(response(CAT_BUSY, &[]));
        }
        let Some(rollback) = self.rollback.take() else { return Ok(response(1, &[])) };
        let from = self.profiles.iter().position(|profile| profile.enabled);
        let to = self.position(rollback.target.octets());
        self.switch(from, to);
        self.stored_results.retain(|result| result.seq_number != rollback.seq_number);
        let seq_number = self.next_seq_number();
        let result = self.signed_result(&rollback.header, seq_number, &[EuiccResultData::RollbackResult(OK)])?;
        self.remember_rolled_back(&result);
        self.last_answer = Some(result.clone());
        Ok(response(OK, &result))
    }

    /// The `BF51` inside an answer of [`Self::profile_rollback`].
    #[must_use]
    pub fn rollback_result(response: &[u8]) -> Option<Vec<u8>> {
        Tlv::only(response)?.child(0xbf51).map(|result| result.octets.to_vec())
    }

    /// ES10b.ExecuteFallbackMechanism: enables the profile with the Fallback Attribute. Gives the result code:
    /// ok(0), profileNotInDisabledState(2), catBusy(5), fallbackNotAvailable(6), ecallActive(104).
    pub fn execute_fallback(&mut self) -> i64 {
        if self.is_ecall_active() {
            return ECALL_ACTIVE;
        }
        if self.cat_busy {
            return CAT_BUSY;
        }
        let Some(fallback) = self.profiles.iter().position(|profile| profile.fallback_attribute) else {
            return FALLBACK_NOT_AVAILABLE;
        };
        let current = self.profiles.iter().position(|profile| profile.enabled);
        if current == Some(fallback) {
            return 2;
        }
        self.return_from_fallback = Some(self.enabled_iccid());
        self.rollback = None;
        self.switch(current, Some(fallback));
        OK
    }

    /// ES10b.ReturnFromFallback: enables what was enabled before. Gives the result code: ok(0), catBusy(5),
    /// fallbackNotAvailable(6).
    pub fn return_from_fallback(&mut self) -> i64 {
        if self.cat_busy {
            return CAT_BUSY;
        }
        let Some(target) = self.return_from_fallback.take() else { return FALLBACK_NOT_AVAILABLE };
        let current = self.profiles.iter().position(|profile| profile.enabled);
        let target = target.and_then(|iccid| self.position(iccid.octets()));
        self.switch(current, target);
        OK
    }

    /// ES10b.EnableEmergencyProfile. Gives the result code: ok(0), profileNotInDisabledState(2), ecallNotAvailable(8).
    pub fn enable_emergency_profile(&mut self) -> i64 {
        match self.profiles.iter_mut().find(|profile| profile.ecall) {
            None => ECALL_NOT_AVAILABLE,
            Some(_) if self.ecall_active => 2,
            Some(_) => {
                self.ecall_active = true;
                OK
            }
        }
    }

    /// ES10b.DisableEmergencyProfile. Gives the result code: ok(0), profileNotInEnabledState(2).
    pub fn disable_emergency_profile(&mut self) -> i64 {
        if std::mem::take(&mut self.ecall_active) { OK } else { 2 }
    }

    /// Whether packages and data requests are refused with ecallActive(104).
    #[must_use]
    pub const fn is_ecall_active(&self) -> bool {
        self.ecall_active
    }

    /// Makes an emergency call go on, with or without an Emergency Profile.
    pub const fn set_ecall_active(&mut self, active: bool) {
        self.ecall_active = active;
    }

    /// The device switches a profile on its own (cause local(3)); policy rules are not asked. False when there is none
    /// with this ICCID.
    pub fn enable_locally(&mut self, iccid: &eim_core::ids::Iccid) -> bool {
        let Some(to) = self.position(iccid.octets()) else { return false };
        let from = self.profiles.iter().position(|profile| profile.enabled).filter(|from| *from != to);
        self.rollback = None;
        self.return_from_fallback = None;
        self.switch(from, Some(to));
        true
    }

    /// The device deletes a profile on its own; no notification is kept of it. False when there is none with this ICCID.
    pub fn delete_locally(&mut self, iccid: &eim_core::ids::Iccid) -> bool {
        let Some(at) = self.position(iccid.octets()) else { return false };
        self.profiles.remove(at);
        true
    }

    /// ES10b.eUICCMemoryReset. Gives resetResult: ok(0), nothingToDelete(1), catBusy(5), ecallActive(104).
    pub fn memory_reset(&mut self, options: &MemoryReset) -> i64 {
        if self.is_ecall_active() {
            return ECALL_ACTIVE;
        }
        if self.cat_busy {
            return CAT_BUSY;
        }
        let before = self.profiles.len() + self.associations.len();
        self.profiles.retain(|profile| !match profile.class {
            ProfileClass::Operational => options.operational_profiles,
            ProfileClass::Provisioning => options.provisioning_profiles,
            ProfileClass::Test if profile.preloaded => options.preloaded_test_profiles,
            ProfileClass::Test => options.field_loaded_test_profiles,
        });
        if options.eim_config_data {
            self.associations.clear();
            self.stored_results.clear();
        }
        let mut changed = self.profiles.len() + self.associations.len() < before;
        if options.default_smdp_address {
            changed |= self.default_dp_address.take().is_some();
        }
        if options.immediate_enable_config {
            changed |= std::mem::take(&mut self.immediate_enable) != ImmediateEnable::default();
        }
        self.rollback = None;
        self.return_from_fallback = None;
        if changed { OK } else { 1 }
    }
}
