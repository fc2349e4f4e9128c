//! Whether the profile policy rules of a new profile are allowed (SGP.22 v2.5 2.4.11, 2.9.2).

use super::{Euicc, ProfileClass};
use eim_core::asn1::{OctetString, OperatorId, PprIds, ProfilePolicyAuthorisationRule};

const PPR1: u32 = 1;
const PPR2: u32 = 2;

impl Euicc {
    /// No rule of the profile is forbidden on this eUICC, and each is authorised for its owner by the Rules
    /// Authorisation Table. PPR1 is for the only operational profile.
    pub(super) fn allows_rules(&self, rules: &PprIds, owner: Option<&OperatorId>) -> bool {
        let operational = self.profiles.iter().any(|profile| profile.class == ProfileClass::Operational);
        [PPR1, PPR2].into_iter().filter(|rule| rules.contains(*rule)).all(|rule| {
            let forbidden = self.forbidden_profile_policy_rules.contains(rule) || rule == PPR1 && operational;
            !forbidden && owner.is_some_and(|owner| self.is_authorised(rule, owner))
        })
    }

    fn is_authorised(&self, rule: u32, owner: &OperatorId) -> bool {
        let authorises = |entry: &ProfilePolicyAuthorisationRule| {
            entry.ppr_ids.contains(rule) && entry.allowed_operators.iter().any(|allowed| matches(allowed, owner))
        };
        self.rules_authorisation_table.iter().any(authorises)
    }
}

/// The nibble E stands for any digit; an empty GID for none; an absent one is not looked at.
fn matches(allowed: &OperatorId, owner: &OperatorId) -> bool {
    let digits = |operator: &OperatorId| {
        operator.mcc_mnc.iter().flat_map(|octet| [octet >> 4, octet & 0xf]).collect::<Vec<u8>>()
    };
    let same_digit = |(allowed, digit): (u8, u8)| allowed == 0xe || allowed == digit;
    let same_group = |allowed: &Option<OctetString>, group: &Option<OctetString>| {
        allowed.as_ref().is_none_or(|allowed| group.as_deref().unwrap_or_default() == &allowed[..])
    };
    digits(allowed).into_iter().zip(digits(owner)).all(same_digit)
        && same_group(&allowed.gid1, &owner.gid1)
        && same_group(&allowed.gid2, &owner.gid2)
}
