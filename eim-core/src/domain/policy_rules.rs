//! Whether an eUICC's rules let a profile with policy rules in (SGP.22 v2.5 2.4.11, 2.9.2, 3.1.3).
//!
//! The eUICC checks the same before it installs. Refusing earlier spares the download, and tells the operator why.
//! There is no end user at an IoT device, so consentRequired changes nothing here.

use crate::asn1::{OctetString, OperatorId, PprIds, ProfilePolicyAuthorisationRule, StoreMetadataRequest};

/// What is known of an eUICC's rules.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Its Rules Authorisation Table in the order of the eUICC; `None` if it was never read.
    pub rat: Option<&'a [ProfilePolicyAuthorisationRule]>,
    /// forbiddenProfilePolicyRules of its EUICCInfo2.
    pub forbidden: Option<&'a PprIds>,
    /// Whether a profile of class operational is installed.
    pub has_operational_profile: bool,
}

/// Why a profile may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// It has no policy rules.
    NoRules,
    /// The table allows each of its policy rules to its owner.
    Allowed,
    /// It has policy rules and the table is not known. Nothing else speaks against it; the eUICC decides.
    UnknownTable,
}

/// A profile policy rule that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {cause}", ppr_name(*.ppr))]
pub struct PolicyRefusal {
    /// The bit of PprIds: pprUpdateControl(0), ppr1(1), ppr2(2).
    pub ppr: u32,
    /// Why.
    pub cause: PolicyCause,
}

/// Why a profile policy rule is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyCause {
    /// EUICCInfo2 forbids it.
    #[error("is forbidden by this eUICC. Ask the profile's owner for a profile without it.")]
    Forbidden,
    /// PPR1 with an operational profile installed.
    #[error(
        "can't be installed beside another operational profile. Delete the operational profiles first, or ask the \
         profile's owner for a profile without it."
    )]
    OperationalProfileInstalled,
    /// The metadata names no profileOwner.
    #[error("needs a profile owner, and the profile names none. Ask the profile's provider to correct its metadata.")]
    NoOwner,
    /// No rule of the table allows it to the owner.
    #[error(
        "is allowed to this profile's owner by no rule of the eUICC. Ask the profile's owner for a profile without it."
    )]
    NotAuthorised,
}

/// The bit of PPR2: deletion of the profile is not allowed.
pub(super) const PPR2: u32 = 2;
/// The bit of PPR1: disabling of the profile is not allowed.
pub(super) const PPR1: u32 = 1;

fn ppr_name(ppr: u32) -> String {
    match ppr {
        0 => "pprUpdateControl".to_owned(),
        PPR1 => "PPR1, which forbids to disable the profile,".to_owned(),
        2 => "PPR2, which forbids to delete the profile,".to_owned(),
        other => format!("The profile policy rule of bit {other}, which is not known here,"),
    }
}

/// Checks the policy rules in a profile's metadata. A rule without a name is checked like the others.
///
/// # Errors
/// [`PolicyRefusal`] with the first rule that is not allowed.
pub fn check(metadata: &StoreMetadataRequest, rules: Rules<'_>) -> Result<Permission, PolicyRefusal> {
    let Some(pprs) = metadata.profile_policy_rules.as_ref().filter(|pprs| !pprs.is_empty()) else {
        return Ok(Permission::NoRules);
    };
    for ppr in pprs.numbers() {
        let refuse = |cause| Err(PolicyRefusal { ppr, cause });
        if rules.forbidden.is_some_and(|forbidden| forbidden.contains(ppr)) {
            return refuse(PolicyCause::Forbidden);
        }
        if ppr == PPR1 && rules.has_operational_profile {
            return refuse(PolicyCause::OperationalProfileInstalled);
        }
        let Some(owner) = &metadata.profile_owner else { return refuse(PolicyCause::NoOwner) };
        if rules.rat.is_some_and(|rat| rule_for(rat, ppr, owner).is_none()) {
            return refuse(PolicyCause::NotAuthorised);
        }
    }
    Ok(if rules.rat.is_some() { Permission::Allowed } else { Permission::UnknownTable })
}

/// The first rule in the table's order that has this PPR and this owner.
fn rule_for<'a>(
    rat: &'a [ProfilePolicyAuthorisationRule],
    ppr: u32,
    owner: &OperatorId,
) -> Option<&'a ProfilePolicyAuthorisationRule> {
    rat.iter().find(|rule| {
        rule.ppr_ids.contains(ppr) && rule.allowed_operators.iter().any(|allowed| is_allowed(allowed, owner))
    })
}

fn is_allowed(allowed: &OperatorId, owner: &OperatorId) -> bool {
    // EEEEEE without a gid means any operator, so one with a gid as well.
    let anyone = *allowed.mcc_mnc == [0xee; 3] && allowed.gid1.is_none() && allowed.gid2.is_none();
    let same_digits = allowed.mcc_mnc.iter().zip(owner.mcc_mnc.iter()).all(|(rule, own)| same_octet(*rule, *own));
    let same_gids =
        same_gid(allowed.gid1.as_ref(), owner.gid1.as_ref()) && same_gid(allowed.gid2.as_ref(), owner.gid2.as_ref());
    anyone || (same_digits && same_gids)
}

/// A nibble E of the rule is any digit.
fn same_octet(rule: u8, own: u8) -> bool {
    let same_nibble = |shift: u8| {
        let (rule, own) = ((rule >> shift) & 0x0f, (own >> shift) & 0x0f);
        rule == 0x0e || rule == own
    };
    same_nibble(0) && same_nibble(4)
}

/// An empty gid is the same as an absent one, on either side. That an absent one in a rule is not simply left unchecked
/// is a reading: no public source says more.
fn same_gid(rule: Option<&OctetString>, own: Option<&OctetString>) -> bool {
    rule.map_or(&[][..], OctetString::as_slice) == own.map_or(&[][..], OctetString::as_slice)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::asn1;
    use serde_json::{Value, json};

    fn metadata(pprs: &[&str], owner: &Value) -> StoreMetadataRequest {
        serde_json::from_value(json!({
            "iccid": "98444738290120000010", "serviceProviderName": "", "profileName": "",
            "profilePolicyRules": pprs, "profileOwner": owner,
        }))
        .unwrap()
    }

    fn rat(rules: &[(&[&str], Value)]) -> Vec<ProfilePolicyAuthorisationRule> {
        let rule = |(pprs, operators): &(&[&str], Value)| {
            serde_json::from_value(json!({ "pprIds": pprs, "allowedOperators": operators, "pprFlags": [] })).unwrap()
        };
        rules.iter().map(rule).collect()
    }

    fn known(rat: &[ProfilePolicyAuthorisationRule]) -> Rules<'_> {
        Rules { rat: Some(rat), forbidden: None, has_operational_profile: false }
    }

    fn allows(rule: &Value, owner: &Value) -> bool {
        check(&metadata(&["ppr2"], owner), known(&rat(&[(&["ppr2"], json!([rule]))]))).is_ok()
    }

    fn cause(result: Result<Permission, PolicyRefusal>) -> (u32, PolicyCause) {
        let refusal = result.unwrap_err();
        (refusal.ppr, refusal.cause)
    }

    const UNKNOWN: Rules<'_> = Rules { rat: None, forbidden: None, has_operational_profile: true };

    #[test]
    fn a_profile_without_rules_needs_no_permission() {
        assert_eq!(check(&metadata(&[], &Value::Null), UNKNOWN), Ok(Permission::NoRules));
        let mut bare = metadata(&[], &Value::Null);
        bare.profile_policy_rules = None;
        assert_eq!(check(&bare, known(&[])), Ok(Permission::NoRules));
    }

    #[test]
    fn an_unknown_table_does_not_hide_what_is_refused_anyhow() {
        let owner = json!({ "mccMnc": "09f107" });
        assert_eq!(check(&metadata(&["ppr2"], &owner), UNKNOWN), Ok(Permission::UnknownTable));
        assert_eq!(cause(check(&metadata(&["ppr2"], &Value::Null), UNKNOWN)), (2, PolicyCause::NoOwner));
        let ppr1 = check(&metadata(&["ppr1"], &owner), UNKNOWN);
        assert_eq!(cause(ppr1), (1, PolicyCause::OperationalProfileInstalled));
        let forbidden = PprIds::named(["ppr2"]).unwrap();
        let rules = Rules { forbidden: Some(&forbidden), ..UNKNOWN };
        assert_eq!(cause(check(&metadata(&["ppr2"], &owner), rules)), (2, PolicyCause::Forbidden));
        let others = PprIds::named(["ppr1", "pprUpdateControl"]).unwrap();
        let rules = Rules { forbidden: Some(&others), ..UNKNOWN };
        assert_eq!(check(&metadata(&["ppr2"], &owner), rules), Ok(Permission::UnknownTable));
    }

    #[test]
    fn ppr1_is_allowed_while_no_operational_profile_is_installed() {
        let table = rat(&[(&["ppr1"], json!([{ "mccMnc": "eeeeee" }]))]);
        let profile = metadata(&["ppr1"], &json!({ "mccMnc": "09f107" }));
        assert_eq!(check(&profile, known(&table)), Ok(Permission::Allowed));
        let occupied = Rules { has_operational_profile: true, ..known(&table) };
        assert_eq!(cause(check(&profile, occupied)).1, PolicyCause::OperationalProfileInstalled);
    }

    #[test]
    fn each_rule_of_the_profile_needs_a_rule_of_the_table() {
        let (mine, other) = (json!([{ "mccMnc": "09f107" }]), json!([{ "mccMnc": "130014" }]));
        let table =
            rat(&[(&["ppr1", "ppr2"], other), (&["ppr1"], mine.clone()), (&["pprUpdateControl"], mine.clone())]);
        let refused = |pprs: &[&str]| check(&metadata(pprs, &mine[0]), known(&table));
        assert_eq!(refused(&["ppr1"]), Ok(Permission::Allowed));
        assert_eq!(refused(&["ppr1", "pprUpdateControl"]), Ok(Permission::Allowed));
        assert_eq!(cause(refused(&["ppr1", "ppr2"])), (2, PolicyCause::NotAuthorised));
        let none = check(&metadata(&["pprUpdateControl"], &mine[0]), known(&[]));
        assert_eq!(cause(none), (0, PolicyCause::NotAuthorised));
    }

    #[test]
    fn a_rule_without_a_name_is_not_let_in_unseen() {
        let mut profile = metadata(&[], &json!({ "mccMnc": "09f107" }));
        profile.profile_policy_rules = Some(PprIds::of([9]).unwrap());
        let table = rat(&[(&["ppr1", "ppr2"], json!([{ "mccMnc": "eeeeee" }]))]);
        assert_eq!(cause(check(&profile, known(&table))), (9, PolicyCause::NotAuthorised));
    }

    #[test]
    fn the_first_matching_rule_in_the_order_of_the_table_counts() {
        let any = json!([{ "mccMnc": "eeeeee" }]);
        let table = rat(&[(&["ppr1"], any.clone()), (&["ppr2"], any.clone()), (&["ppr1", "ppr2"], any.clone())]);
        let owner = serde_json::from_value(json!({ "mccMnc": "09f107" })).unwrap();
        assert_eq!(rule_for(&table, 2, &owner), Some(&table[1]));
        assert_eq!(rule_for(&table, 1, &owner), Some(&table[0]));
        assert_eq!(rule_for(&table, 0, &owner), None);
    }

    #[test]
    fn a_nibble_e_is_any_digit() {
        for (rule, allowed) in [
            ("09f107", true),
            ("eeeeee", true),
            ("e9f107", true),
            ("09feee", true),
            ("09e107", true),
            ("0ef107", true),
            ("19f107", false),
            ("09f108", false),
            ("0ef117", false),
        ] {
            assert_eq!(allows(&json!({ "mccMnc": rule }), &json!({ "mccMnc": "09f107" })), allowed, "{rule}");
        }
        assert!(!allows(&json!({ "mccMnc": "09f107" }), &json!({ "mccMnc": "eeeeee" })), "no wildcard in an owner");
    }

    #[test]
    fn gids_must_be_the_same_and_empty_is_absent() {
        let with = |gid: &str| json!({ "mccMnc": "09f107", "gid1": gid });
        let without = json!({ "mccMnc": "09f107" });
        assert!(allows(&with("01"), &with("01")));
        assert!(allows(&with(""), &without) && allows(&with(""), &with("")) && allows(&without, &with("")));
        assert!(!allows(&with("01"), &with("02")) && !allows(&with("01"), &without) && !allows(&with(""), &with("01")));
        assert!(!allows(&without, &with("01")));
        let second = json!({ "mccMnc": "09f107", "gid2": "01" });
        assert!(!allows(&with("01"), &second) && allows(&second, &second));
        let any = json!({ "mccMnc": "eeeeee" });
        assert!(allows(&any, &with("01")) && !allows(&json!({ "mccMnc": "eeeeee", "gid1": "" }), &with("01")));
    }

    #[test]
    fn reads_the_table_of_the_vectors() {
        let table: Vec<ProfilePolicyAuthorisationRule> =
            ["301580020640a10b3009800309f1078100820082020780", "301080020560a10730058003eeeeee820100"]
                .iter()
                .map(|rule| asn1::decode(&hex::decode(rule).unwrap()).unwrap())
                .collect();
        let both = metadata(&["ppr1", "ppr2"], &json!({ "mccMnc": "130014", "gid1": "01" }));
        assert_eq!(check(&both, known(&table)), Ok(Permission::Allowed));
    }

    #[test]
    fn a_refusal_is_a_sentence() {
        let refusal = PolicyRefusal { ppr: 1, cause: PolicyCause::OperationalProfileInstalled };
        assert!(refusal.to_string().starts_with("PPR1, which forbids to disable the profile, can't be installed"));
        let refusal = PolicyRefusal { ppr: 0, cause: PolicyCause::Forbidden };
        assert!(refusal.to_string().starts_with("pprUpdateControl is forbidden by this eUICC. "));
    }
}
