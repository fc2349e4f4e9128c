//! A profile as the eUICC sees it from outside: names, state, rules.

use eim_core::asn1::{
    NotificationConfigurationInformation, NotificationEvent, Octets, OperatorId, PprIds, ProfileInfo, Text,
};
use eim_core::ids::Iccid;

/// profileClass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileClass {
    /// test(0).
    Test,
    /// provisioning(1).
    Provisioning,
    /// operational(2).
    Operational,
}

impl ProfileClass {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Test => 0,
            Self::Provisioning => 1,
            Self::Operational => 2,
        }
    }
}

/// Who is told what about a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationTarget {
    /// notificationInstall(0), notificationEnable(1), notificationDisable(2), notificationDelete(3).
    pub events: Vec<u32>,
    /// notificationAddress.
    pub address: String,
}

/// One profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// ICCID.
    pub iccid: Iccid,
    /// AID of the ISD-P, 1 to 16 octets.
    pub isdp_aid: Vec<u8>,
    /// profileName, at most 64 characters.
    pub name: String,
    /// serviceProviderName, at most 32 characters.
    pub service_provider: String,
    /// profileNickname.
    pub nickname: Option<String>,
    /// profileClass.
    pub class: ProfileClass,
    /// profileState.
    pub enabled: bool,
    /// PPR1: disabling is not allowed.
    pub ppr1: bool,
    /// PPR2: deletion is not allowed.
    pub ppr2: bool,
    /// May carry the Fallback Attribute.
    pub fallback_allowed: bool,
    /// Carries the Fallback Attribute.
    pub fallback_attribute: bool,
    /// Is an Emergency Profile.
    pub ecall: bool,
    /// Where notifications about it go.
    pub notification_targets: Vec<NotificationTarget>,
    /// profileOwner.
    pub owner: Option<OperatorId>,
    /// How much room its profile elements take, octets.
    pub size: usize,
    /// Whether it was on the card from the beginning (test profiles, for memory reset).
    pub preloaded: bool,
}

impl Profile {
    /// A disabled operational profile without rules.
    #[must_use]
    pub fn operational(iccid: Iccid, name: &str) -> Self {
        let [.., penultimate, last] = *iccid.octets();
        let isdp_aid = vec![0xa0, 0, 0, 5, 0x59, 0x10, 0x10, 0xff, 0xff, 0xff, 0xff, 0x89, 0, penultimate, last, 0];
        Self {
            iccid,
            isdp_aid,
            name: name.to_owned(),
            service_provider: "Simulated operator".to_owned(),
            nickname: None,
            class: ProfileClass::Operational,
            enabled: false,
            ppr1: false,
            ppr2: false,
            fallback_allowed: false,
            fallback_attribute: false,
            ecall: false,
            notification_targets: Vec::new(),
            owner: None,
            size: 0,
            preloaded: false,
        }
    }

    /// The same, enabled.
    #[must_use]
    pub const fn enabled(mut self) -> Self {
        self.enabled = true;
        self
    }

    /// The same, allowed to carry the Fallback Attribute.
    #[must_use]
    pub const fn fallback_allowed(mut self) -> Self {
        self.fallback_allowed = true;
        self
    }

    /// The same, with notifications of every event to this SM-DP+, too.
    #[must_use]
    pub fn notifying(self, address: &str) -> Self {
        self.notifying_of(&[0, 1, 2, 3], address)
    }

    /// The same, with notifications of these events to this address, too.
    #[must_use]
    pub fn notifying_of(mut self, events: &[u32], address: &str) -> Self {
        self.notification_targets.push(NotificationTarget { events: events.to_vec(), address: address.to_owned() });
        self
    }

    /// The same, with policy rules PPR1 and PPR2.
    #[must_use]
    pub const fn rules(mut self, ppr1: bool, ppr2: bool) -> Self {
        self.ppr1 = ppr1;
        self.ppr2 = ppr2;
        self
    }

    /// ProfileInfo with the fields whose tags are in `tags`.
    pub(super) fn info(&self, tags: &[u32]) -> ProfileInfo {
        let wanted = |tag: u32| tags.contains(&tag);
        let text32 = |text: &str| Text::new(text.chars().take(32).collect::<String>()).ok();
        let text64 = |text: &str| Text::new(text.chars().take(64).collect::<String>()).ok();
        let rules = [(1, self.ppr1), (2, self.ppr2)].into_iter().filter(|(_, set)| *set).map(|(bit, _)| bit);
        ProfileInfo {
            iccid: wanted(0x5a).then(|| Octets::from_array(*self.iccid.octets())),
            isdp_aid: if wanted(0x4f) { Octets::new(self.isdp_aid.clone()).ok() } else { None },
            profile_state: wanted(0x9f70).then_some(i64::from(self.enabled)),
            profile_nickname: self.nickname.as_deref().filter(|_| wanted(0x90)).and_then(text64),
            service_provider_name: if wanted(0x91) { text32(&self.service_provider) } else { None },
            profile_name: if wanted(0x92) { text64(&self.name) } else { None },
            icon_type: None,
            icon: None,
            profile_class: wanted(0x95).then_some(self.class.number()),
            notification_configuration_info: Some(self.configuration())
                .filter(|configuration| wanted(0xb6) && !configuration.is_empty()),
            profile_owner: self.owner.clone().filter(|_| wanted(0xb7)),
            dp_proprietary_data: None,
            profile_policy_rules: if wanted(0x99) && (self.ppr1 || self.ppr2) { PprIds::of(rules).ok() } else { None },
            service_specific_data_stored_in_euicc: None,
            ecall_indication: (wanted(0x9f7b) && self.ecall).then_some(true),
            fallback_attribute: wanted(0x9f26) && self.fallback_attribute,
            fallback_allowed: (wanted(0x9f67) && self.fallback_allowed).then_some(true),
        }
    }
    fn configuration(&self) -> Vec<NotificationConfigurationInformation> {
        let entry = |target: &NotificationTarget| {
            Some(NotificationConfigurationInformation {
                profile_management_operation: NotificationEvent::of(target.events.iter().copied()).ok()?,
                notification_address: target.address.clone(),
            })
        };
        self.notification_targets.iter().filter_map(entry).collect()
    }
}
