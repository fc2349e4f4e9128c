//! Download orders: which profile waits for whom, and how far it got (SGP.22 v2.5 3.1.1, 3.1.6).

use eim_core::asn1::{
    self, NotificationConfigurationInformation, NotificationEvent, Octets, OperatorId, PprIds, StoreMetadataRequest,
    Text,
};
use eim_core::ids::{Eid, Iccid};
use sha2::{Digest, Sha256};
use std::fmt;

/// A download order. `Debug` shows neither its matching identifier nor its confirmation code.
#[derive(Clone, PartialEq, Eq)]
pub struct Order {
    /// The matching identifier.
    pub matching_id: String,
    /// The eUICC that it is for; any if `None`.
    pub eid: Option<Eid>,
    /// The ICCID of the profile.
    pub iccid: Iccid,
    /// profileName, at most 64 characters.
    pub profile_name: String,
    /// serviceProviderName, at most 32 characters.
    pub service_provider: String,
    /// test(0), provisioning(1), operational(2).
    pub profile_class: i64,
    /// Octets of the profile, which are made up.
    pub size: usize,
    /// The confirmation code, if one is required.
    pub confirmation_code: Option<String>,
    /// How many wrong confirmation codes end the order.
    pub cc_attempts: u32,
    /// profilePolicyRules; absent from the metadata when empty.
    pub ppr_ids: PprIds,
    /// profileOwner.
    pub profile_owner: Option<OperatorId>,
    /// notificationConfigurationInfo.
    pub notification_addresses: Vec<(NotificationEvent, String)>,
    /// Whether the profile is protected with keys of its own.
    pub protection_keys: bool,
    /// Whether the order is given to an eUICC that names no matching identifier (default SM-DP+).
    pub is_default: bool,
}

/// How far a download order got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderState {
    /// Waits for its eUICC.
    Released,
    /// An eUICC has authenticated itself for it.
    Authenticated,
    /// Its Bound Profile Package was handed out.
    Bound,
    /// The eUICC says that it was installed.
    Installed,
    /// The eUICC says that it was not, or the confirmation codes are used up.
    Failed,
    /// The eUICC cancelled with this reason.
    Cancelled(i64),
}

impl OrderState {
    /// Whether the order can be downloaded: postponed(1) and timeout(2) leave it for later.
    pub(super) const fn is_open(self) -> bool {
        matches!(self, Self::Released | Self::Authenticated | Self::Bound | Self::Cancelled(1 | 2))
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("iccid", &self.iccid).field("eid", &self.eid).finish_non_exhaustive()
    }
}

impl Order {
    /// An order of an operational profile of 4000 octets for any eUICC, without a confirmation code.
    #[must_use]
    pub fn new(matching_id: &str, iccid: Iccid, profile_name: &str) -> Self {
        Self {
            matching_id: matching_id.to_owned(),
            eid: None,
            iccid,
            profile_name: profile_name.to_owned(),
            service_provider: "Simulated operator".to_owned(),
            profile_class: 2,
            size: 4000,
            confirmation_code: None,
            cc_attempts: 3,
            ppr_ids: PprIds::none(),
            profile_owner: None,
            notification_addresses: Vec::new(),
            protection_keys: false,
            is_default: false,
        }
    }

    /// For this eUICC alone.
    #[must_use]
    pub fn for_eid(self, eid: Eid) -> Self {
        Self { eid: Some(eid), ..self }
    }

    /// With this confirmation code.
    #[must_use]
    pub fn with_confirmation_code(self, code: &str) -> Self {
        Self { confirmation_code: Some(code.to_owned()), ..self }
    }

    /// Given to eUICCs that name no matching identifier.
    #[must_use]
    pub fn as_default(self) -> Self {
        Self { is_default: true, ..self }
    }

    /// With this many octets of profile.
    #[must_use]
    pub fn with_size(self, size: usize) -> Self {
        Self { size, ..self }
    }

    /// With this address for notifications about every event.
    #[must_use]
    pub fn notifying(mut self, address: &str) -> Self {
        if let Ok(events) = NotificationEvent::of([0, 1, 2, 3]) {
            self.notification_addresses.push((events, address.to_owned()));
        }
        self
    }

    /// With these rules and the operator (mccMnc, 3 octets) that they belong to.
    #[must_use]
    pub fn with_rules(self, ppr_ids: PprIds, mcc_mnc: [u8; 3]) -> Self {
        let owner = OperatorId { mcc_mnc: Octets::from_array(mcc_mnc), gid1: None, gid2: None };
        Self { ppr_ids, profile_owner: Some(owner), ..self }
    }

    /// StoreMetadataRequest, `BF25`.
    pub(super) fn metadata(&self) -> anyhow::Result<Vec<u8>> {
        let notifications: Vec<_> = self
            .notification_addresses
            .iter()
            .map(|(events, address)| NotificationConfigurationInformation {
                profile_management_operation: events.clone(),
                notification_address: address.clone(),
            })
            .collect();
        let metadata = StoreMetadataRequest {
            iccid: Octets::from_array(*self.iccid.octets()),
            service_provider_name: Text::new(self.service_provider.as_str())?,
            profile_name: Text::new(self.profile_name.as_str())?,
            icon_type: None,
            icon: None,
            profile_class: self.profile_class,
            notification_configuration_info: Some(notifications).filter(|list| !list.is_empty()),
            profile_owner: self.profile_owner.clone(),
            profile_policy_rules: Some(self.ppr_ids.clone()).filter(|rules| !rules.is_empty()),
            service_specific_data_stored_in_euicc: None,
            service_specific_data_not_stored_in_euicc: None,
            ecall_indication: None,
            fallback_allowed: None,
        };
        Ok(asn1::encode(&metadata)?)
    }

    /// The profile: [`Self::size`] octets that follow from the ICCID.
    pub(super) fn profile(&self) -> Vec<u8> {
        (0_u32..)
            .flat_map(|counter| -> [u8; 32] {
                Sha256::new_with_prefix(self.iccid.octets()).chain_update(counter.to_be_bytes()).finalize().into()
            })
            .take(self.size)
            .collect()
    }
}
