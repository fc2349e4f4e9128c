//! The never-strand guard: what must be so before a package is signed that could take a device off its network.
//!
//! Each check says what was found and what to do. A check whose facts are not known neither permits nor refuses; it says
//! that it does not know. Nothing here replaces the checks of the eUICC.

mod displacing;
mod euicc;
mod grants;
mod own_address;
mod package;
mod profiles;

use displacing::displacing;
pub use displacing::{displaced, download_checks};
pub use euicc::{free_memory, unmanaged};
use euicc::{managed, memory, nothing_in_flight, obtainable, profile_list};
use grants::{acts, granted};
pub use grants::{default_smdp, grants_used, not_granted, nothing_to_download, package_grants_used};
pub use own_address::{OwnAddress, configuration_checks};
pub use package::{package_checks, takes, takes_away};
pub use profiles::{FallbackUntold, fallback_holder};
use profiles::{
    deleted_after, enabled_but, fallback, find, foretold, installed, keeps_one, only_profile, owners_let_go,
    rules_let_go, rules_permit_another,
};

use super::outlook::outlook;
use super::policy::OwnerPolicy;
use crate::asn1::{Octets, Psmo, PsmoEnable};
use crate::domain::authority::Rights;
use crate::domain::euicc::words;
use crate::domain::order::Source;
use crate::domain::{Euicc, OperationError, Profile};
use crate::ids::{Iccid, RspAddress};
use serde::Serialize;

words!(
    /// What a check came to.
    CheckResult {
        /// In order.
        Passed = "passed",
        /// Not in order: nothing is sent.
        Failed = "failed",
        /// The facts are not known; the eUICC will tell.
        Unknown = "unknown",
        /// Not in order, and waived by name.
        Waived = "waived",
        /// Not in order, and overridden by an admin.
        Overridden = "overridden",
    }
);

impl Serialize for CheckResult {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One check of the guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Its stable name.
    pub name: &'static str,
    /// What it came to.
    pub result: CheckResult,
    /// What was found.
    pub message: String,
    /// What to do, where it did not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
    /// Whether nobody here can set it aside: it is the word of another tenant.
    #[serde(skip)]
    pub absolute: bool,
}

impl Check {
    /// Whether it would have refused, and was waived or overridden.
    #[must_use]
    pub const fn is_set_aside(&self) -> bool {
        matches!(self.result, CheckResult::Waived | CheckResult::Overridden)
    }

    /// What it found with what to do, as the reason of something that was not done.
    #[must_use]
    pub fn reason(&self) -> OperationError {
        let message = match &self.cure {
            Some(cure) => format!("{} {cure}", self.message),
            None => self.message.clone(),
        };
        OperationError::named(self.name, &message)
    }
}

/// The eUICC can be managed by this eIM.
pub const MANAGED: &str = "managed";

/// Its profile list is known and verified.
pub const PROFILE_LIST: &str = "profileList";

/// The profile is installed or can be had.
pub const TARGET: &str = "target";

/// Nothing else is under way.
pub const NOTHING_IN_FLIGHT: &str = "nothingInFlight";

/// There is room for another profile.
pub const MEMORY: &str = "memory";

/// No policy of a profile's owner speaks against it.
pub const OWNER_POLICY: &str = "ownerPolicy";

/// No policy rule (PPR1, PPR2) of an installed profile makes the eUICC refuse it.
pub const POLICY_RULES: &str = "policyRules";

/// The owners of the profiles have granted it, where they are of another tenant.
pub const GRANT: &str = "grant";

/// A Fallback Profile is there should the new network fail.
pub const FALLBACK: &str = "fallback";

/// What is disabled or deleted is not the only profile that the device can use.
pub const NOT_THE_ONLY_PROFILE: &str = "notTheOnlyProfile";

/// This eIM stays associated, and the device can reach it.
pub const KEEPS_THIS_EIM: &str = "keepsThisEim";

/// Every name of a check.
pub const NAMES: [&str; 11] = [
    MANAGED,
    PROFILE_LIST,
    TARGET,
    NOTHING_IN_FLIGHT,
    MEMORY,
    OWNER_POLICY,
    POLICY_RULES,
    GRANT,
    FALLBACK,
    NOT_THE_ONLY_PROFILE,
    KEEPS_THIS_EIM,
];
/// Those that an operator may waive by name; the others can be overridden by an admin only, and some by nobody.
pub const WAIVABLE: [&str; 2] = [FALLBACK, MEMORY];
/// Those that nobody here can override: without them there is nothing to sign, an answer could not be told from another, or the
/// profile is somebody else's.
pub const ABSOLUTE: [&str; 4] = [MANAGED, TARGET, NOTHING_IN_FLIGHT, GRANT];

/// Where a profile is downloaded from, as far as that is known before.
#[derive(Debug, Clone, Copy)]
pub enum SmdpAddress<'a> {
    /// This address.
    Known(&'a str),
    /// The default SM-DP+ of the eUICC.
    Default,
    /// An SM-DS will tell: this one, or the root SM-DS of the eUICC.
    Smds(Option<&'a str>),
    /// A code of a pool will tell.
    Pool,
}

impl Source {
    /// The same, as far as the guard cares.
    #[must_use]
    pub fn smdp(&self) -> SmdpAddress<'_> {
        match self {
            Self::ActivationCode { address, .. } => SmdpAddress::Known(address.host()),
            Self::DefaultSmdp => SmdpAddress::Default,
            Self::Smds { address } => SmdpAddress::Smds(address.as_ref().map(RspAddress::host)),
        }
    }
}

/// What is to be done to an eUICC, as far as the guard cares.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// An installed profile is enabled.
    Enable {
        /// The profile.
        iccid: Iccid,
        /// Whether the profile that it takes the place of is deleted afterwards.
        deletes_old: bool,
    },
    /// A profile is downloaded and enabled; its memory need in octets.
    DownloadAndEnable {
        /// As above.
        deletes_old: bool,
        /// Least free non-volatile memory, octets.
        memory_bytes: i64,
        /// The SM-DP+.
        smdp: SmdpAddress<'a>,
    },
    /// A profile is downloaded and stays disabled; its memory need in octets.
    Download {
        /// Least free non-volatile memory, octets.
        memory_bytes: i64,
        /// The SM-DP+.
        smdp: SmdpAddress<'a>,
    },
    /// The profile that is wanted is not there, or can't be told from another.
    NoProfile,
    /// Profiles are disabled or deleted one after the other.
    Remove {
        /// Profiles that are disabled.
        disabled: &'a [Iccid],
        /// Profiles that are deleted.
        deleted: &'a [Iccid],
    },
}

/// What the guard looks at.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The eUICC.
    pub euicc: &'a Euicc,
    /// Its profiles.
    pub profiles: &'a [Profile],
    /// What else is under way there, in words.
    pub busy_with: Option<&'a str>,
    /// The owners' policies.
    pub policies: &'a [OwnerPolicy],
    /// Whose profiles are whose, and what was granted; `None` where that was looked at before.
    pub rights: Option<&'a Rights>,
}

/// Every check, in the order in which an operator would look. `waived` and `overridden` hold names.
#[must_use]
pub fn checks(subject: Subject<'_>, known: Known<'_>, waived: &[String], overridden: &[String]) -> Vec<Check> {
    let mut checks = vec![managed(known.euicc), profile_list(known), nothing_in_flight(known)];
    match subject {
        Subject::Enable { iccid, deletes_old } => {
            checks.insert(2, installed(iccid, known));
            let off = enabled_but(Some(iccid), known);
            let gone = if deletes_old { off.clone() } else { vec![] };
            checks.push(foretold(owners_let_go(&off, &gone, known), &off, deletes_old, known));
            checks.push(rules_let_go(&off, &gone));
            checks.extend(granted(&acts(subject, known), known));
            checks.push(fallback(Some(iccid), &deleted_after(&off, deletes_old, known), known));
            let enable = Psmo::Enable(PsmoEnable { iccid: Octets::from_array(*iccid.octets()), rollback_flag: None });
            let is_listed = known.euicc.profiles_listed_at.is_some();
            checks.push(only_profile(outlook(&[vec![enable]], known.profiles, is_listed).keeps_one));
        }
        Subject::NoProfile => checks.insert(
            2,
            check(
                TARGET,
                CheckResult::Failed,
                "No installed profile fits, or several do.",
                "Name a profile that is installed once on every device.",
            ),
        ),
        Subject::DownloadAndEnable { deletes_old, memory_bytes, smdp } => {
            checks.insert(2, obtainable(smdp, known.euicc));
            checks.push(memory(memory_bytes, known));
            let off = enabled_but(None, known);
            let gone = if deletes_old { off.clone() } else { vec![] };
            checks.push(foretold(owners_let_go(&off, &gone, known), &off, deletes_old, known));
            checks.push(rules_permit_another(&off, &gone, known));
            checks.extend(granted(&acts(subject, known), known));
            checks.push(fallback(None, &deleted_after(&off, deletes_old, known), known));
        }
        Subject::Download { memory_bytes, smdp } => {
            checks.insert(2, obtainable(smdp, known.euicc));
            checks.push(memory(memory_bytes, known));
            checks.extend(displacing(smdp, known));
            checks.extend(granted(&acts(subject, known), known));
        }
        Subject::Remove { disabled, deleted } => {
            let disabled: Vec<&Profile> = find(disabled, known);
            let deleted: Vec<&Profile> = find(deleted, known);
            checks.push(owners_let_go(&disabled, &deleted, known));
            checks.push(rules_let_go(&disabled, &deleted));
            checks.extend(granted(&acts(subject, known), known));
            // Nothing is disabled or deleted but by a list of operations, which is looked at once more before it is signed.
            checks.push(only_profile(keeps_one(&disabled, &deleted, known)));
        }
    }
    doubt_what_was_never_listed(&mut checks, known);
    set_aside(&mut checks, waived, overridden);
    checks
}

/// Nothing can be said for profiles that nobody has told.
fn doubt_what_was_never_listed(checks: &mut [Check], known: Known<'_>) {
    if known.euicc.profiles_listed_at.is_some() {
        return;
    }
    let of_profiles = |check: &&mut Check| [OWNER_POLICY, POLICY_RULES, NOT_THE_ONLY_PROFILE].contains(&check.name);
    for check in checks.iter_mut().filter(of_profiles).filter(|check| check.result == CheckResult::Passed) {
        *check = self::check(
            check.name,
            CheckResult::Unknown,
            "The profiles of the device are not known.",
            "Ask for the profile list (psmo listProfileInfo) and wait for its result.",
        );
    }
}

/// The check that a switch is open that a list of operations would disturb.
#[must_use]
pub fn disturbs(switch: &str) -> Check {
    let message = format!(
        "The switch {switch} is open: until it has ended nothing else enables, disables or deletes profiles or moves the fallback \
         attribute, but for enabling the profile before once the switch can't be cancelled any more."
    );
    check(
        NOTHING_IN_FLIGHT,
        CheckResult::Failed,
        message,
        "Wait for the end of the switch. It can be cancelled until its package is delivered.",
    )
}

fn set_aside(checks: &mut [Check], waived: &[String], overridden: &[String]) {
    for check in checks.iter_mut().filter(|check| check.result == CheckResult::Failed) {
        let named = |names: &[String]| names.iter().any(|name| name == check.name);
        if WAIVABLE.contains(&check.name) && named(waived) {
            check.result = CheckResult::Waived;
        } else if !ABSOLUTE.contains(&check.name) && !check.absolute && named(overridden) {
            check.result = CheckResult::Overridden;
        }
    }
}

/// Whether all is well enough.
#[must_use]
pub fn allows(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.result != CheckResult::Failed)
}

/// The first check that refuses.
#[must_use]
pub fn refusal(checks: &[Check]) -> Option<&Check> {
    checks.iter().find(|check| check.result == CheckResult::Failed)
}

fn check(name: &'static str, result: CheckResult, message: impl Into<String>, cure: &str) -> Check {
    let cure = (result != CheckResult::Passed).then(|| cure.to_owned());
    Check { name, result, message: message.into(), cure, absolute: false }
}

fn passed(name: &'static str, message: impl Into<String>) -> Check {
    Check { name, result: CheckResult::Passed, message: message.into(), cure: None, absolute: false }
}
