//! The never-strand guard: what must be so before a package is signed that could take a device off its network.
//!
//! Each check says what was found and what to do. A check whose facts are not known neither permits nor refuses; it says
//! that it does not know. Nothing here replaces the checks of the eUICC.

use super::outlook::{Outlook, outlook};
use super::policy::{self, OwnerPolicy};
use crate::asn1::{Eco, EimConfigurationData, Octets, Psmo, PsmoEnable, TrustedPublicKeyDataTls};
use crate::domain::association::protocol_names;
use crate::domain::authority::{self, Action, Authority, Rights, Subject as Owned};
use crate::domain::euicc::words;
use crate::domain::order::Source;
use crate::domain::{Capabilities, Euicc, EuiccState, InstalledRules, OperationError, Profile, ResultPolicy};
use crate::ids::{Iccid, RspAddress};
use crate::pki;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

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

/// The profiles that a download from there takes the place of by itself: immediate enabling was configured, as a verified result says.
#[must_use]
pub fn displaced<'a>(smdp: SmdpAddress<'_>, euicc: &Euicc, profiles: &'a [Profile]) -> Vec<&'a Profile> {
    let told = |name: &str| Capabilities(euicc.capabilities.as_ref()).0?.get(name);
    let is_host = |name: &str, host: &str| {
        told(name)
            .and_then(Value::as_str)
            .and_then(|address| address.parse::<RspAddress>().ok())
            .is_some_and(|address| address.host().eq_ignore_ascii_case(host))
    };
    let comes_by_itself = match smdp {
        SmdpAddress::Default => true,
        SmdpAddress::Known(address) => {
            let parsed = address.parse::<RspAddress>();
            let host = parsed.as_ref().map_or(address, RspAddress::host);
            is_host("defaultSmdpAddress", host) || is_host("immediateEnableAddress", host)
        }
        SmdpAddress::Smds(_) | SmdpAddress::Pool => false,
    };
    let is_on = told("immediateEnable") == Some(&Value::Bool(true));
    profiles.iter().filter(|profile| is_on && comes_by_itself && profile.enabled == Some(true)).collect()
}

/// What the owners of these profiles say.
fn displacing(smdp: SmdpAddress<'_>, known: Known<'_>) -> Option<Check> {
    let off = displaced(smdp, known.euicc, known.profiles);
    (!off.is_empty()).then(|| owners_let_go(&off, &[], known))
}

/// The check of a download that is asked for as a single operation; none where it enables nothing by itself.
#[must_use]
pub fn download_checks(smdp: SmdpAddress<'_>, known: Known<'_>, overridden: &[String]) -> Vec<Check> {
    let mut checks: Vec<Check> = displacing(smdp, known).into_iter().collect();
    set_aside(&mut checks, &[], overridden);
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

/// What a list of profile state operations does to the profiles that are known.
struct Effects {
    /// What may be left, whichever of them the eUICC refuses.
    outlook: Outlook,
    /// What needs the permission of whom.
    named: Vec<(Action, Iccid)>,
    /// Servers that downloads are led to.
    servers: Vec<Smdp>,
    /// Whether the fallback attribute moves, and no list told who has it.
    fallback_untold: bool,
}

fn effects(lists: &[Vec<Psmo>], known: Known<'_>) -> Effects {
    let iccid = |octets: &[u8]| Iccid::from_octets(octets).ok();
    let mut named: Vec<(Action, Iccid)> = Vec::new();
    let mut servers = Vec::new();
    let mut fallback_untold = false;
    let is_listed = known.euicc.profiles_listed_at.is_some();
    let mut takes_fallback = |but: Option<Iccid>| {
        let holder = fallback_holder(known.profiles, but).ok().filter(|_| is_listed);
        fallback_untold |= holder.is_none();
        holder.flatten().map(|profile| (Action::Enable, profile.iccid))
    };
    for operation in lists.iter().flatten() {
        match operation {
            Psmo::Enable(enable) => named.extend(iccid(&enable.iccid).map(|one| (Action::Enable, one))),
            Psmo::Disable(disable) => named.extend(iccid(&disable.iccid).map(|one| (Action::Disable, one))),
            Psmo::Delete(delete) => named.extend(iccid(&delete.iccid).map(|one| (Action::Delete, one))),
            // It says which profile a device without network falls back to.
            Psmo::SetFallbackAttribute(set) => {
                let target = iccid(&set.iccid);
                named.extend(target.map(|one| (Action::Enable, one)));
                named.extend(takes_fallback(target));
            }
            Psmo::UnsetFallbackAttribute(_) => named.extend(takes_fallback(None)),
            Psmo::SetDefaultDpAddress(set) => servers.extend(named_server(&set.default_dp_address)),
            Psmo::ConfigureImmediateEnable(set) => {
                let the_default = || default_server(known.euicc);
                servers.extend(match &set.default_smdp_address {
                    Some(address) => named_server(address),
                    // What is downloaded from the one that the eUICC has is enabled at once.
                    None => set.immediate_enable_flag.is_some().then(the_default),
                });
            }
            _ => {}
        }
    }
    let mut outlook = outlook(lists, known.profiles, is_listed);
    if lists.iter().flatten().any(enables_at_once) {
        // Whatever comes from the default SM-DP+ then takes the place of what is enabled.
        outlook.may_go_off.extend(enabled_but(None, known).iter().map(|one| one.iccid));
    }
    named.extend(outlook.off.union(&outlook.may_go_off).map(|one| (Action::Disable, *one)));
    Effects { outlook, named, servers, fallback_untold }
}

/// What lists of profile state operations, of which the next one follows where the one before was done, leave of the profiles that are
/// enabled now: the checks that speak against them. Only what is known of the profiles counts; where they were never listed nothing is disabled or deleted.
#[must_use]
pub fn package_checks(lists: &[Vec<Psmo>], known: Known<'_>, overridden: &[String]) -> Vec<Check> {
    let Effects { outlook, named, servers, fallback_untold } = effects(lists, known);
    let operations = || lists.iter().flatten();
    let among = |iccids: &BTreeSet<Iccid>| known.profiles.iter().filter(|one| iccids.contains(&one.iccid)).collect();
    let (off, gone): (Vec<&Profile>, Vec<&Profile>) = (among(&outlook.off), among(&outlook.gone));
    let may_go_off: Vec<&Profile> = among(&outlook.may_go_off);
    let owners = never_told(lists, known)
        .unwrap_or_else(|| owners_let_go(&[off.as_slice(), may_go_off.as_slice()].concat(), &gone, known));
    let mut checks = vec![owners, rules_let_go(&off, &gone)];
    let cure = "Ask the device for its profiles first (listProfileInfo).";
    let never_listed = known.euicc.profiles_listed_at.is_none();
    let unlisted = named.iter().any(|(_, one)| find(&[*one], known).is_empty())
        || never_listed && operations().any(enables_at_once);
    let has_foreign_owners = known.rights.is_some_and(Rights::has_foreign_owners);
    if unlisted && has_foreign_owners {
        let message = "It is not known whose the profile is, since the profile list does not hold it.";
        checks.push(check(GRANT, CheckResult::Failed, message, cure));
    } else if fallback_untold && has_foreign_owners {
        let message = "It is not known whose profile has the fallback attribute now.";
        checks.push(check(GRANT, CheckResult::Failed, message, cure));
    } else {
        checks.extend(granted(&package_acts(&named, servers, known), known));
    }
    let disables = |operation: &Psmo| matches!(operation, Psmo::Disable(_) | Psmo::Delete(_));
    if never_listed && operations().any(disables) {
        let message = "The profiles of the device were never told, so nobody knows what it would be left with.";
        checks.push(check(PROFILE_LIST, CheckResult::Failed, message, cure));
    } else if operations().any(takes) {
        checks.push(only_profile(outlook.keeps_one));
    }
    doubt_what_was_never_listed(&mut checks, known);
    set_aside(&mut checks, &[], overridden);
    checks
}

/// Whether a profile that is downloaded from the default SM-DP+ takes the place of the enabled one by itself from then on.
fn enables_at_once(operation: &Psmo) -> bool {
    matches!(operation, Psmo::ConfigureImmediateEnable(set) if set.immediate_enable_flag.is_some())
}

/// The owner policies forbid something, and whose the profiles are that are disabled or deleted nobody knows: no list told of them.
fn never_told(lists: &[Vec<Psmo>], known: Known<'_>) -> Option<Check> {
    let is_listed = known.euicc.profiles_listed_at.is_some();
    // Whose a profile is that no list holds nobody knows either.
    let is_untold = |octets: &[u8]| {
        !is_listed || Iccid::from_octets(octets).is_ok_and(|one| known.profiles.iter().all(|other| other.iccid != one))
    };
    let operations = || lists.iter().flatten();
    let deletes = operations().any(|operation| matches!(operation, Psmo::Delete(delete) if is_untold(&delete.iccid)));
    let mut enabled = false;
    let disables = operations().any(|operation| match operation {
        Psmo::Disable(disable) => is_untold(&disable.iccid),
        // One that was enabled before by the same list is turned off by the next.
        Psmo::Enable(enable) => !is_listed || std::mem::replace(&mut enabled, is_untold(&enable.iccid)),
        other => !is_listed && enables_at_once(other),
    });
    let forbids = |policy: &&OwnerPolicy| disables && !policy.disable_allowed || deletes && !policy.delete_allowed;
    let policy = known.policies.iter().filter(forbids).max_by_key(|policy| policy.foreign)?;
    let message = format!(
        "Whether the owner policy of {} forbids it is not known, since the device never told its profiles, or not this one.",
        policy.service_provider
    );
    let cure = "Ask the device for its profiles first (listProfileInfo).";
    Some(Check { absolute: policy.foreign, ..check(OWNER_POLICY, CheckResult::Failed, message, cure) })
}

/// The check that a switch is open that a list of operations would disturb.
#[must_use]
pub fn disturbs(switch: &str) -> Check {
    let message = format!(
        "The switch {switch} is open: until it has ended nothing else enables, disables or deletes profiles or moves the fallback \
         attribute, but for enabling the profile before once the switch can't be cancelled any more."
    );
    check(NOTHING_IN_FLIGHT, CheckResult::Failed, message, "Wait for the end of the switch, or cancel it.")
}

/// Whether a list of profile state operations may take from a device what it needs, so that it is looked at when it is asked for and
/// once more before it is signed.
#[must_use]
pub fn takes_away(operations: &[Psmo]) -> bool {
    operations.iter().any(takes)
}

/// The same for one operation.
#[must_use]
pub fn takes(operation: &Psmo) -> bool {
    match operation {
        Psmo::Enable(_)
        | Psmo::Disable(_)
        | Psmo::Delete(_)
        | Psmo::SetFallbackAttribute(_)
        | Psmo::UnsetFallbackAttribute(_) => true,
        other => enables_at_once(other),
    }
}

fn package_acts<'a>(named: &[(Action, Iccid)], servers: Vec<Smdp>, known: Known<'a>) -> Acts<'a> {
    Acts { profiles: named.iter().map(|(action, one)| (*action, find(&[*one], known))).collect(), servers }
}

/// How devices reach this eIM, and whose eUICCs it can believe: what an updateEim of ourselves must not take from a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnAddress {
    /// The host that IPAs contact, as configured.
    pub eim_fqdn: String,
    /// The certificate that devices are given to trust for TLS, DER; `None` where they need none.
    pub tls_certificate: Option<Vec<u8>>,
    /// The CI keys below which results are believed, as key identifiers.
    pub ci_key_ids: Vec<Vec<u8>>,
}

impl OwnAddress {
    fn is_tls_trust(&self, data: &TrustedPublicKeyDataTls) -> bool {
        let Some(certificate) = &self.tls_certificate else { return false };
        match data {
            TrustedPublicKeyDataTls::TrustedCertificateTls(given) => given.der() == certificate.as_slice(),
            TrustedPublicKeyDataTls::TrustedEimPkTls(given) => {
                pki::Certificate::parse(certificate).is_ok_and(|parsed| {
                    pki::PublicKey::from_spki(given.der()).is_ok_and(|key| key == *parsed.public_key())
                })
            }
        }
    }

    /// The member of an updateEim of ourselves after which the device may not find us, or not be believed, and why.
    fn cut_off_by(&self, data: &EimConfigurationData) -> Option<(&'static str, &'static str)> {
        let protocols = data.eim_supported_protocol.as_ref().map(protocol_names);
        let members = [
            (
                data.eim_fqdn.as_ref().is_some_and(|host| !host.eq_ignore_ascii_case(&self.eim_fqdn)),
                "eimFqdn",
                "it is another host than the one that this eIM is configured with (eim.fqdn)",
            ),
            (
                data.trusted_public_key_data_tls.as_ref().is_some_and(|trust| !self.is_tls_trust(trust)),
                "trustedPublicKeyDataTls",
                "it is not the certificate that this eIM gives out, so the device may refuse every connection",
            ),
            (
                protocols.is_some_and(|names| !names.iter().any(|name| name == RETRIEVE_HTTPS)),
                "eimSupportedProtocol",
                "it lacks eimRetrieveHttps, the one that this eIM speaks",
            ),
            (
                data.euicc_ci_pk_id.as_ref().is_some_and(|id| !self.ci_key_ids.iter().any(|known| known[..] == id[..])),
                "euiccCiPKId",
                "it is of a CI that this eIM does not trust, so no result would be believed (pki.ci_dir)",
            ),
        ];
        members.into_iter().find(|(cuts_off, ..)| *cuts_off).map(|(_, member, why)| (member, why))
    }
}

/// The protocol that this eIM speaks.
const RETRIEVE_HTTPS: &str = "eimRetrieveHttps";

/// The check of a list of eIM configuration operations: whether one deletes this eIM itself, or changes on the eUICC what the device
/// needs to reach it.
#[must_use]
pub fn configuration_checks(
    operations: &[Eco],
    own_eim_id: &str,
    address: &OwnAddress,
    overridden: &[String],
) -> Vec<Check> {
    let deletes = |eco: &Eco| matches!(eco, Eco::DeleteEim(delete) if delete.eim_id.as_str() == own_eim_id);
    let cuts_off = |eco: &Eco| match eco {
        Eco::UpdateEim(update) if update.eim_id.as_str() == own_eim_id => address.cut_off_by(update),
        _ => None,
    };
    let mut checks = vec![];
    if operations.iter().any(deletes) {
        let message = "It deletes this eIM from the eUICC. The result is the last answer that this eIM gets; if no other eIM is \
                       associated (lastEimDeleted), nobody can manage the device until somebody loads a new configuration into \
                       it.";
        let cure = "Make sure that another eIM commands the device, then let an admin override this check.";
        checks.push(check(KEEPS_THIS_EIM, CheckResult::Failed, message, cure));
    } else if let Some((member, why)) = operations.iter().find_map(cuts_off) {
        let message = format!(
            "It may cut the device off from this eIM by {member} of our own configuration on the eUICC: {why}."
        );
        let cure = "Give the value that this eIM is configured with. Where another one is meant, let an admin override this check.";
        checks.push(check(KEEPS_THIS_EIM, CheckResult::Failed, message, cure));
    }
    set_aside(&mut checks, &[], overridden);
    checks
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

/// No list told which profile has the fallback attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FallbackUntold;

/// The profile but this one that has the fallback attribute; there is one at most.
///
/// # Errors
/// When a profile could have it that no list told of.
pub fn fallback_holder(profiles: &[Profile], but: Option<Iccid>) -> Result<Option<&Profile>, FallbackUntold> {
    if let Some(holder) = profiles.iter().find(|profile| profile.fallback == Some(true)) {
        return Ok(Some(holder).filter(|holder| Some(holder.iccid) != but));
    }
    let untold = |profile: &Profile| profile.fallback.is_none() && Some(profile.iccid) != but;
    if profiles.iter().any(untold) { Err(FallbackUntold) } else { Ok(None) }
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

/// The check that refuses a signed package for an eUICC from which this eIM was deleted, or whose counter is used up: it would wait
/// until an operator acts.
#[must_use]
pub fn unmanaged(euicc: &Euicc) -> Option<Check> {
    matches!(euicc.state, EuiccState::Unmanaged | EuiccState::CounterExhausted).then(|| managed(euicc))
}

fn managed(euicc: &Euicc) -> Check {
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
        EuiccState::Unmanaged => ("This eIM was deleted from the eUICC.", "Associate the eUICC with this eIM again."),
    };
    check(MANAGED, CheckResult::Failed, message, cure)
}

fn profile_list(known: Known<'_>) -> Check {
    let cure = "Ask for the profile list (psmo listProfileInfo) and wait for its result.";
    let lab = known.euicc.result_policy == ResultPolicy::Lab;
    let verified = known.euicc.profiles_verified && known.profiles.iter().all(|profile| profile.verified);
    if known.euicc.profiles_listed_at.is_none() {
        return check(PROFILE_LIST, CheckResult::Failed, "The profile list was never reported.", cure);
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

fn nothing_in_flight(known: Known<'_>) -> Check {
    match known.busy_with {
        None => passed(NOTHING_IN_FLIGHT, "Nothing else is under way."),
        Some(what) => {
            let message = format!("Something else is under way at this eUICC: {what}.");
            check(NOTHING_IN_FLIGHT, CheckResult::Failed, message, "Wait for it, or cancel it.")
        }
    }
}

fn installed(iccid: Iccid, known: Known<'_>) -> Check {
    match known.profiles.iter().find(|profile| profile.iccid == iccid) {
        Some(_) => passed(TARGET, "The profile is installed."),
        None => check(
            TARGET,
            CheckResult::Failed,
            "The profile is not on the profile list of this eUICC.",
            "Name a profile that is installed, or say where it can be downloaded.",
        ),
    }
}

/// Where a profile is to be had that is not installed. That it waits there is for the server to tell, and what the IPA told of the
/// eUICC's own servers nobody signed: so it is never more than unknown, and never refused.
fn obtainable(smdp: SmdpAddress<'_>, euicc: &Euicc) -> Check {
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

/// The profiles that lose their place when another one is enabled.
fn enabled_but<'a>(target: Option<Iccid>, known: Known<'a>) -> Vec<&'a Profile> {
    let loses = |profile: &&Profile| profile.enabled == Some(true) && Some(profile.iccid) != target;
    known.profiles.iter().filter(loses).collect()
}

fn find<'a>(iccids: &[Iccid], known: Known<'a>) -> Vec<&'a Profile> {
    known.profiles.iter().filter(|profile| iccids.contains(&profile.iccid)).collect()
}

fn memory(needed: i64, known: Known<'_>) -> Check {
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

fn owners_let_go(disabled: &[&Profile], deleted: &[&Profile], known: Known<'_>) -> Check {
    let refused = |what: &str, profile: &Profile, policy: &OwnerPolicy| {
        let cure = if policy.foreign {
            "Ask the profile's owner; whatever was granted, nobody else can set its policy aside."
        } else {
            "Ask the profile's owner, or let an admin override it."
        };
        let message = format!(
            "The owner policy of {} does not allow to {what} the profile {}.",
            policy.service_provider, profile.iccid
        );
        Check { absolute: policy.foreign, ..check(OWNER_POLICY, CheckResult::Failed, message, cure) }
    };
    let kept_on = disabled.iter().filter_map(|profile| {
        policy::forbids_disable(known.policies, profile).map(|policy| refused("disable", profile, policy))
    });
    let kept = deleted.iter().filter_map(|profile| {
        policy::forbids_delete(known.policies, profile).map(|policy| refused("delete", profile, policy))
    });
    let mut refusals: Vec<Check> = kept_on.chain(kept).collect();
    // The word that can't be set aside comes first, whatever else speaks against it.
    refusals.sort_by_key(|check| !check.absolute);
    refusals.into_iter().next().unwrap_or_else(|| passed(OWNER_POLICY, "No owner policy speaks against it."))
}

/// PPR1 keeps a profile from being disabled, PPR2 from being deleted; the eUICC would answer disallowedByPolicy.
fn rules_let_go(disabled: &[&Profile], deleted: &[&Profile]) -> Check {
    let named = |profiles: &[&Profile], holds: fn(InstalledRules) -> bool| {
        profiles.iter().find(|profile| profile.rules.is_some_and(holds)).map(|profile| profile.iccid)
    };
    let refused = |rule: &str, what: &str, iccid: Iccid| {
        check(
            POLICY_RULES,
            CheckResult::Failed,
            format!("The profile {iccid} has {rule}: the eUICC refuses to {what} it (disallowedByPolicy)."),
            "Let the profile's operator take the rule off by its SM-DP+ or over the air, then ask for the profile list again.",
        )
    };
    if let Some(iccid) = named(disabled, |rules| rules.ppr1) {
        return refused("PPR1", "disable", iccid);
    }
    if let Some(iccid) = named(deleted, |rules| rules.ppr2) {
        return refused("PPR2", "delete", iccid);
    }
    if disabled.iter().chain(deleted).any(|profile| profile.rules.is_none()) {
        return check(
            POLICY_RULES,
            CheckResult::Unknown,
            "Whether the profile has policy rules was not reported; the eUICC will tell.",
            "Ask for the profile list with the tag 99 (psmo listProfileInfo with tags).",
        );
    }
    passed(POLICY_RULES, "No policy rule of an installed profile speaks against it.")
}

/// The same, and whether the rules that a new profile brings can be judged: that is done in its download, before a bound
/// profile package is asked for.
fn rules_permit_another(disabled: &[&Profile], deleted: &[&Profile], known: Known<'_>) -> Check {
    let installed = rules_let_go(disabled, deleted);
    if installed.result != CheckResult::Passed || known.euicc.rules_authorisation_table.is_some() {
        return installed;
    }
    check(
        POLICY_RULES,
        CheckResult::Unknown,
        "The Rules Authorisation Table was not reported: whether the new profile may bring policy rules is for the eUICC to tell.",
        "Ask for it (psmo getRAT).",
    )
}

/// The SM-DP+ that a profile comes from.
enum Smdp {
    /// At this address.
    At(String),
    /// The default SM-DP+ of a device that has not told which one that is.
    UnknownDefault,
}

/// What is done that an owner may have to grant.
struct Acts<'a> {
    profiles: Vec<(Action, Vec<&'a Profile>)>,
    servers: Vec<Smdp>,
}

fn acts<'a>(subject: Subject<'_>, known: Known<'a>) -> Acts<'a> {
    let replaced = |target: Option<Iccid>, deletes_old: bool| {
        let off = enabled_but(target, known);
        let gone = if deletes_old { off.clone() } else { vec![] };
        vec![(Action::Disable, off), (Action::Delete, gone)]
    };
    let from = |smdp: SmdpAddress<'_>| match smdp {
        SmdpAddress::Known(address) => Some(Smdp::At(address.to_owned())),
        SmdpAddress::Default => Some(default_server(known.euicc)),
        SmdpAddress::Smds(_) | SmdpAddress::Pool => None,
    };
    match subject {
        Subject::Enable { iccid, deletes_old } => {
            let mut profiles = replaced(Some(iccid), deletes_old);
            profiles.push((Action::Enable, find(&[iccid], known)));
            Acts { profiles, servers: vec![] }
        }
        Subject::DownloadAndEnable { deletes_old, smdp, .. } => {
            Acts { profiles: replaced(None, deletes_old), servers: from(smdp).into_iter().collect() }
        }
        Subject::Download { smdp, .. } => {
            let off = displaced(smdp, known.euicc, known.profiles);
            let profiles = if off.is_empty() { vec![] } else { vec![(Action::Disable, off)] };
            Acts { profiles, servers: from(smdp).into_iter().collect() }
        }
        Subject::NoProfile => Acts { profiles: vec![], servers: vec![] },
        Subject::Remove { disabled, deleted } => Acts {
            profiles: vec![(Action::Disable, find(disabled, known)), (Action::Delete, find(deleted, known))],
            servers: vec![],
        },
    }
}

/// defaultSmdpAddress as the IPA reported it, unsigned; `None` for what is no address of a server.
#[must_use]
pub fn default_smdp(euicc: &Euicc) -> Option<String> {
    let told = Capabilities(euicc.capabilities.as_ref()).0?.get("defaultSmdpAddress")?.as_str()?;
    told.parse::<RspAddress>().ok().map(|address| address.host().to_owned())
}

fn default_server(euicc: &Euicc) -> Smdp {
    default_smdp(euicc).map_or(Smdp::UnknownDefault, Smdp::At)
}

/// A server that an operation names for downloads; what is no address of a server may lead anywhere.
fn named_server(address: &str) -> Option<Smdp> {
    match address.parse::<RspAddress>() {
        _ if address.is_empty() => None,
        Ok(address) => Some(Smdp::At(address.host().to_owned())),
        Err(_) => Some(Smdp::UnknownDefault),
    }
}

/// The grants of other tenants' owners that it rests on, each once.
#[must_use]
pub fn grants_used(subject: Subject<'_>, known: Known<'_>) -> Vec<String> {
    grants_of(&acts(subject, known), known)
}

/// The same for a list of profile state operations.
#[must_use]
pub fn package_grants_used(operations: &[Psmo], known: Known<'_>) -> Vec<String> {
    let Effects { named, servers, .. } = effects(&[operations.to_vec()], known);
    grants_of(&package_acts(&named, servers, known), known)
}

fn grants_of(acts: &Acts<'_>, known: Known<'_>) -> Vec<String> {
    let Some(rights) = known.rights else { return vec![] };
    let mut used: Vec<String> = permissions(acts, rights)
        .filter_map(|permission| match permission {
            Ok(Authority::Granted(grants)) => Some(grants),
            _ => None,
        })
        .flatten()
        .collect();
    used.sort();
    used.dedup();
    used
}

fn permissions<'a>(
    acts: &'a Acts<'_>,
    rights: &'a Rights,
) -> impl Iterator<Item = Result<Authority, authority::Refusal>> + 'a {
    let of_profiles = acts
        .profiles
        .iter()
        .flat_map(|(action, profiles)| profiles.iter().map(|profile| rights.permits(*action, &Owned::of(profile))));
    let download = acts.servers.iter().map(|smdp| match smdp {
        Smdp::At(address) => {
            rights.permits(Action::Download, &Owned { smdp_address: Some(address), ..Owned::default() })
        }
        Smdp::UnknownDefault if rights.foreign_addresses() => Err(authority::Refusal::Unknown),
        Smdp::UnknownDefault => Ok(Authority::Free),
    });
    of_profiles.chain(download)
}

/// Whether every owner of another tenant has granted what is done; no check where there is no such owner.
fn granted(acts: &Acts<'_>, known: Known<'_>) -> Option<Check> {
    let rights = known.rights.filter(|rights| rights.has_foreign_owners())?;
    let ask = "Ask the device for its profiles first: listProfileInfo with the tags 91 and B7 among them.";
    if acts.servers.iter().any(|smdp| matches!(smdp, Smdp::UnknownDefault)) && rights.foreign_addresses() {
        let message = "It is not known which SM-DP+ is meant, or is the default one of this device, and so whose its profiles are.";
        return Some(check(GRANT, CheckResult::Failed, message, "Ask for it (euiccData with the tag 81)."));
    }
    if known.euicc.profiles_listed_at.is_none() && !acts.profiles.is_empty() {
        let message = "It is not known whose the profiles of this device are, since they were never listed.";
        return Some(check(GRANT, CheckResult::Failed, message, ask));
    }
    Some(match permissions(acts, rights).find_map(Result::err) {
        None => passed(GRANT, "The owners of the profiles permit it."),
        Some(refusal) => {
            let cure = match refusal {
                authority::Refusal::Unknown => ask,
                authority::Refusal::NotGranted { .. } => "Ask the owner for a grant.",
            };
            check(GRANT, CheckResult::Failed, format!("Not permitted: {refusal}."), cure)
        }
    })
}

/// The check that an owner has not granted something, or that nobody knows whose it is.
#[must_use]
pub fn not_granted(message: String) -> Check {
    check(GRANT, CheckResult::Failed, message, "Ask the owner for a grant, or the device for its profiles.")
}

/// The check that nothing is there to download.
#[must_use]
pub fn nothing_to_download(message: String) -> Check {
    check(TARGET, CheckResult::Failed, message, "Import activation codes into the pool, or name another one.")
}

/// Says what the owner's policy deletes by itself when the switch is proven.
fn foretold(check: Check, off: &[&Profile], deletes_old: bool, known: Known<'_>) -> Check {
    let gone: Vec<String> = off
        .iter()
        .filter(|profile| !deletes_old && policy::deletes_when_disabled(known.policies, profile))
        .map(|profile| profile.iccid.to_string())
        .collect();
    if check.result != CheckResult::Passed || gone.is_empty() {
        return check;
    }
    let message = format!(
        "No owner policy speaks against it. One deletes the old profile when the switch is proven (deleteWhenDisabled): {}.",
        gone.join(", ")
    );
    passed(OWNER_POLICY, message)
}

/// The profiles that are deleted once the switch is proven: because it was asked for, or by their owner's policy.
fn deleted_after(off: &[&Profile], deletes_old: bool, known: Known<'_>) -> Vec<Iccid> {
    let is_deleted = |profile: &&&Profile| deletes_old || policy::deletes_when_disabled(known.policies, profile);
    off.iter().filter(is_deleted).map(|profile| profile.iccid).collect()
}

fn fallback(target: Option<Iccid>, deleted: &[Iccid], known: Known<'_>) -> Check {
    let is_on = |profile: &Profile| Some(profile.iccid) == target && profile.enabled == Some(true) && profile.verified;
    if known.profiles.iter().any(is_on) {
        return passed(FALLBACK, "The profile is enabled already: nothing changes.");
    }
    let holder = fallback_holder(known.profiles, target);
    let message = if let Ok(Some(holder)) = holder {
        if !deleted.contains(&holder.iccid) {
            return passed(FALLBACK, "Another profile has the fallback attribute.");
        }
        "The profile that has the fallback attribute is the one that is deleted when the switch is proven (deleteOld, or the \
         deleteWhenDisabled of its owner's policy): a device without network would stay there."
    } else if holder.is_err() {
        "No other profile is known to have the fallback attribute, since the profile list was not asked for it: a device \
         without network might stay there."
    } else {
        "No other profile has the fallback attribute: a device without network would stay there."
    };
    check(
        FALLBACK,
        CheckResult::Failed,
        message,
        "Set it (psmo setFallbackAttribute), or waive this check by name: \"waive\": [\"fallback\"].",
    )
}

/// Whether a profile is left when these are disabled and deleted.
fn keeps_one(disabled: &[&Profile], deleted: &[&Profile], known: Known<'_>) -> bool {
    let without = |what: &[&Profile], one: &Profile| what.iter().all(|other| other.iccid != one.iccid);
    let counts = |profile: &&Profile| profile.profile_class.unwrap_or(2) != 0;
    let is_kept = |one: &&Profile| without(disabled, one) && without(deleted, one);
    let usable = |one: &&Profile| one.enabled == Some(true) || one.fallback == Some(true);
    let all = || known.profiles.iter().filter(counts).filter(usable);
    all().next().is_none() || all().any(|one| is_kept(&one))
}

fn only_profile(keeps_one: bool) -> Check {
    if keeps_one {
        return passed(NOT_THE_ONLY_PROFILE, "The device keeps a profile that it can use.");
    }
    check(
        NOT_THE_ONLY_PROFILE,
        CheckResult::Failed,
        "No enabled profile that is known to work and no Fallback Profile would be left, or might not where the eUICC refuses an operation \
         of the list: the device could not be reached again.",
        "Enable another profile instead, which disables this one, and delete the old one in an operation of its own, or by a switch with \
         deleteOld; or set a Fallback Profile first, in an operation of its own.",
    )
}
