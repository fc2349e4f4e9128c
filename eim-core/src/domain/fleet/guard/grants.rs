//! What owners of other tenants have granted.

use super::displacing::displaced;
use super::package::{Effects, effects};
use super::profiles::{enabled_but, find};
use super::{Check, CheckResult, GRANT, Known, SmdpAddress, Subject, TARGET, check, passed};
use crate::asn1::Psmo;
use crate::domain::authority::{self, Action, Authority, Rights, Subject as Owned};
use crate::domain::{Capabilities, Euicc, Profile};
use crate::ids::{Iccid, RspAddress};

pub(super) fn package_acts<'a>(named: &[(Action, Iccid)], servers: Vec<Smdp>, known: Known<'a>) -> Acts<'a> {
    Acts { profiles: named.iter().map(|(action, one)| (*action, find(&[*one], known))).collect(), servers }
}

/// The SM-DP+ that a profile comes from.
pub(super) enum Smdp {
    /// At this address.
    At(String),
    /// The default SM-DP+ of a device that has not told which one that is.
    UnknownDefault,
}

/// What is done that an owner may have to grant.
pub(super) struct Acts<'a> {
    profiles: Vec<(Action, Vec<&'a Profile>)>,
    servers: Vec<Smdp>,
}

pub(super) fn acts<'a>(subject: Subject<'_>, known: Known<'a>) -> Acts<'a> {
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

pub(super) fn default_server(euicc: &Euicc) -> Smdp {
    default_smdp(euicc).map_or(Smdp::UnknownDefault, Smdp::At)
}

/// A server that an operation names for downloads; what is no address of a server may lead anywhere.
pub(super) fn named_server(address: &str) -> Option<Smdp> {
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
pub(super) fn granted(acts: &Acts<'_>, known: Known<'_>) -> Option<Check> {
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
