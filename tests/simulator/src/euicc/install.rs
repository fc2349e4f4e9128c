//! Installs bound profile packages and says so in a Profile Installation Result (SGP.22 v2.5 5.7.6, 2.5.6).
//!
//! The profile elements are counted, not executed.

use super::error::EuiccError;
use super::notification::{INSTALL, NotificationKind, metadata};
use super::rsp::Server;
use super::{Euicc, Notification, NotificationTarget, Profile, ProfileClass};
use crate::bpp;
use crate::pki::seeded_key;
use crate::tlv::{element, integer};
use eim_core::asn1::{self, PprIds, StoreMetadataRequest};
use eim_core::ids::Iccid;
use eim_core::pki::Curve;

/// bppCommandId.
const STORE_METADATA: i64 = 2;
const LOAD_PROFILE_ELEMENTS: i64 = 5;
/// errorReason.
const INCORRECT_INPUT_VALUES: i64 = 1;
const ICCID_ALREADY_EXISTS: i64 = 9;
const INSUFFICIENT_MEMORY: i64 = 10;
const PPR_NOT_ALLOWED: i64 = 15;

/// EUICCResponse of a profile whose elements are all in order.
const SIMA_OK: [u8; 9] = [0x30, 0x07, 0xa0, 0x05, 0x30, 0x03, 0x80, 0x01, 0x00];

/// Why there is no new profile.
struct Refusal {
    /// As far as the package was read, whose profile it is.
    iccid: Option<Iccid>,
    command: i64,
    reason: i64,
}

impl Euicc {
    /// ES10b.LoadBoundProfilePackage with the whole package (`BF36`): installs the profile, disabled, and ends the
    /// session. Gives the Profile Installation Result, `BF37`, whatever came of it; it is kept until it is acknowledged.
    ///
    /// # Errors
    /// [`EuiccError::Session`] when no download was prepared; [`EuiccError::Refused`] when a test wants that.
    pub fn load_bound_profile_package(&mut self, bpp: &[u8]) -> Result<Vec<u8>, EuiccError> {
        if self.faults.load_refused {
            return Err(EuiccError::Refused);
        }
        let (server, download) = self.take_download().ok_or(EuiccError::Session)?;
        let eid = *self.identity.eid.octets();
        let opened = bpp::open(bpp, &server.transaction_id, eid, &download.key.secret, &download.pb_key);
        let installed = opened
            .map_err(|error| Refusal { iccid: None, command: error.bpp_command_id, reason: error.error_reason })
            .and_then(|opened| self.new_profile(&opened.metadata, opened.profile.len()));
        let seq_number = self.next_seq_number();
        let (iccid, result) = match &installed {
            Ok(profile) => {
                let success = [element(0x4f, &[&profile.isdp_aid]), element(0x04, &[&SIMA_OK])].concat();
                (Some(profile.iccid), element(0xa0, &[&success]))
            }
            Err(refusal) => {
                let error = [integer(0x80, refusal.command), integer(0x81, refusal.reason)].concat();
                (refusal.iccid, element(0xa1, &[&error]))
            }
        };
        let octets = self.installation_result(&server, seq_number, iccid, &result);
        let kind = NotificationKind::InstallationResult;
        self.keep_notification(Notification { seq_number, event: INSTALL, kind, octets: octets.clone() });
        if let Ok(profile) = installed {
            // the key was used; the server can't bind to it again
            self.one_time_keys.retain(|key| key.public != download.key.public);
            self.notify(INSTALL, &profile);
            self.profiles.push(profile);
        }
        Ok(octets)
    }

    /// What the package makes, if there may be such a profile.
    fn new_profile(&self, octets: &[u8], size: usize) -> Result<Profile, Refusal> {
        let metadata: Option<StoreMetadataRequest> = asn1::decode(octets).ok();
        let iccid = metadata.as_ref().and_then(|metadata| Iccid::from_octets(&metadata.iccid).ok());
        let refused = |command, reason| Refusal { iccid, command, reason };
        if let Some((command, reason)) = self.faults.install_error {
            return Err(Refusal { iccid: iccid.filter(|_| command > STORE_METADATA), command, reason });
        }
        let (metadata, iccid) = metadata.zip(iccid).ok_or(refused(STORE_METADATA, INCORRECT_INPUT_VALUES))?;
        if self.profile(&iccid).is_some() {
            return Err(refused(STORE_METADATA, ICCID_ALREADY_EXISTS));
        }
        let rules = metadata.profile_policy_rules.clone().unwrap_or_else(PprIds::none);
        if !self.allows_rules(&rules, metadata.profile_owner.as_ref()) {
            return Err(refused(STORE_METADATA, PPR_NOT_ALLOWED));
        }
        if size > self.free_profile_bytes() {
            return Err(refused(LOAD_PROFILE_ELEMENTS, INSUFFICIENT_MEMORY));
        }
        let targets = metadata.notification_configuration_info.iter().flatten().map(|found| NotificationTarget {
            events: found.profile_management_operation.numbers().collect(),
            address: found.notification_address.clone(),
        });
        Ok(Profile {
            isdp_aid: self.free_aid(),
            service_provider: metadata.service_provider_name.to_string(),
            class: match metadata.profile_class {
                0 => ProfileClass::Test,
                1 => ProfileClass::Provisioning,
                _ => ProfileClass::Operational,
            },
            fallback_allowed: metadata.fallback_allowed == Some(true),
            ecall: metadata.ecall_indication == Some(true),
            notification_targets: targets.collect(),
            owner: metadata.profile_owner,
            size,
            ..Profile::operational(iccid, &metadata.profile_name).rules(rules.contains(1), rules.contains(2))
        })
    }

    /// Room for profile elements.
    pub(super) fn free_profile_bytes(&self) -> usize {
        let used: usize = self.profiles.iter().map(|profile| profile.size).sum();
        self.limits.profile_bytes.saturating_sub(used)
    }

    /// A0000005591010FFFFFFFF8900 xx xx 00 with the first number that no profile has.
    fn free_aid(&self) -> Vec<u8> {
        let aid = |number: u16| {
            let [high, low] = number.to_be_bytes();
            vec![0xa0, 0, 0, 5, 0x59, 0x10, 0x10, 0xff, 0xff, 0xff, 0xff, 0x89, 0, high, low, 0]
        };
        let free = |found: &Vec<u8>| self.profiles.iter().all(|profile| profile.isdp_aid != *found);
        (0x11..=u16::MAX).map(aid).find(free).unwrap_or_else(|| aid(0x10))
    }

    /// `BF37 { BF27 { 80 tx, BF2F, 06 smdpOid, A2 { result } }, 5F37 }`.
    fn installation_result(&self, server: &Server, seq_number: i64, iccid: Option<Iccid>, result: &[u8]) -> Vec<u8> {
        let data = element(
            0xbf27,
            &[
                &element(0x80, &[&server.transaction_id]),
                &metadata(seq_number, INSTALL, &server.address, iccid.as_ref()),
                &element(0x06, &[server.oid.as_ref().map(|oid| oid.octets()).unwrap_or_default()]),
                &element(0xa2, &[result]),
            ],
        );
        let wrong = seeded_key(Curve::P256, 0, "wrong key").ok().filter(|_| self.faults.pir_wrong_key);
        let signature = wrong.map_or_else(|| self.signature(&data), |key| key.sign_deterministic(&data).to_vec());
        element(0xbf37, &[&data, &element(0x5f37, &[&signature])])
    }
}
