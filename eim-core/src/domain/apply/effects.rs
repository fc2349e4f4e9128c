//! What a believed result says about the eUICC: its profiles, and our association with it.

use super::contradiction::contradicts;
use crate::asn1::{Eco, EuiccResultData, Lenient, ProfileInfo, ProfileInfoListResponse, Psmo};
use crate::domain::association;
use crate::domain::euicc::Profile;
use crate::domain::interpret;
use crate::domain::keys;
use crate::domain::lists;
use crate::domain::request::Request;
use crate::domain::request::fields::first_tag;
use crate::domain::work::Work;
use crate::ids::{Iccid, OperationId};
use serde_json::{Value, json};

/// Applies each entry that says that something was done. An entry counts for the operation at the same place of the
/// request, and only if it is of the same kind. Gives whether the list of profiles has to be asked for again: where one does not fit
/// what was known, or where a list came that tells how they were before.
#[must_use]
pub(super) fn apply(
    work: &mut Work,
    id: Option<OperationId>,
    request: Option<&Request>,
    entries: &[Lenient<EuiccResultData>],
    verified: bool,
) -> bool {
    if !verified {
        work.euicc().profiles_verified = false;
    }
    let signed_at = id.and_then(|id| work.state.operation(id)).and_then(|operation| operation.delivered_at);
    let from = Source { signed_at, verified };
    let mut again = false;
    for (index, entry) in entries.iter().enumerate() {
        let Lenient::Known(entry) = entry else { continue };
        match (request, entry) {
            (Some(Request::Psmo(list)), entry) => {
                if let Some(psmo) = list.get(index) {
                    let is_only = list.len() == 1;
                    if work.state.euicc.profiles_listed_at.is_some()
                        && contradicts(&work.state.profiles, psmo, entry, is_only)
                    {
                        doubted(work, from);
                        again = true;
                    }
                    again |= profile_operation(work, id, psmo, entry, from);
                }
            }
            (Some(Request::Eco(list)), entry) => {
                if let Some(eco) = list.get(index) {
                    configuration_operation(work, id, eco, entry, verified);
                }
            }
            (None, EuiccResultData::ListProfileInfoResult(ProfileInfoListResponse::ProfileInfoListOk(list))) => {
                // Which profiles were asked for is not known, so nothing is taken away.
                put_profiles(work, list, Some(&[]), false, from);
            }
            _ => {}
        }
    }
    again && work.state.euicc.profiles_stale
}

/// Where a believed result comes from.
#[derive(Clone, Copy)]
struct Source {
    /// When its package was signed, milliseconds since 1970; `None` where that is not known.
    signed_at: Option<i64>,
    /// Whether it was verified, and not believed by the lab policy.
    verified: bool,
}

/// What was known of the profiles is not so.
fn doubted(work: &mut Work, from: Source) {
    lists::changed(work, from.signed_at.unwrap_or(work.now()));
    work.euicc().profiles_stale = true;
}

/// Gives whether it was a list that tells how the profiles were before.
fn profile_operation(
    work: &mut Work,
    id: Option<OperationId>,
    psmo: &Psmo,
    entry: &EuiccResultData,
    from: Source,
) -> bool {
    let verified = from.verified;
    match (psmo, entry) {
        (Psmo::Enable(enable), EuiccResultData::EnableResult(0)) => {
            let Ok(iccid) = Iccid::from_octets(&enable.iccid) else { return false };
            lists::changed(work, from.signed_at.unwrap_or(work.now()));
            let others: Vec<Iccid> = work
                .state
                .profiles
                .iter()
                .filter(|profile| profile.enabled == Some(true) && profile.iccid != iccid)
                .map(|profile| profile.iccid)
                .collect();
            for other in &others {
                set_enabled(work, *other, false, verified);
            }
            set_enabled(work, iccid, true, verified);
            if let Some(operation) = id.and_then(|id| work.operation(id)) {
                operation.enabled_before = others;
            }
        }
        (Psmo::Disable(disable), EuiccResultData::DisableResult(0)) => {
            if let Ok(iccid) = Iccid::from_octets(&disable.iccid) {
                set_enabled(work, iccid, false, verified);
            }
        }
        (Psmo::Delete(delete), EuiccResultData::DeleteResult(0)) => {
            work.state.profiles.retain(|profile| profile.iccid.octets() != &*delete.iccid);
        }
        (
            Psmo::ListProfileInfo(request),
            EuiccResultData::ListProfileInfoResult(ProfileInfoListResponse::ProfileInfoListOk(list)),
        ) => {
            let tags = request.tag_list.as_deref();
            let complete = request.search_criteria.is_none() && asked_for(tags, PROFILE_STATE);
            return put_profiles(work, list, tags, complete, from);
        }
        // What may be installed is decided by it, so nobody's word but the eUICC's counts.
        (Psmo::GetRAT(_), EuiccResultData::GetRATResult(rules)) if verified => {
            work.euicc().rules_authorisation_table = Some(interpret::plain(rules));
        }
        (Psmo::SetFallbackAttribute(set), EuiccResultData::SetFallbackAttributeResult(0)) => {
            fallback(work, Some(&set.iccid), verified);
        }
        // A new address makes the one that the IPA told before wrong, whoever says that it is set.
        (Psmo::SetDefaultDpAddress(set), EuiccResultData::SetDefaultDpAddressResult(result))
            if result.set_default_dp_address_result == 0 =>
        {
            let told = work.euicc().capabilities.get_or_insert_with(|| json!({}));
            if let Value::Object(told) = told {
                let name = "defaultSmdpAddress";
                match verified {
                    true => told.insert(name.to_owned(), json!(set.default_dp_address)),
                    false => told.remove(name),
                };
            }
        }
        // What the IPA can't tell: whether downloads are enabled by themselves, and from where.
        (Psmo::ConfigureImmediateEnable(set), EuiccResultData::ConfigureImmediateEnableResult(0)) if verified => {
            let told = work.euicc().capabilities.get_or_insert_with(|| json!({}));
            if let Value::Object(told) = told {
                told.insert("immediateEnable".to_owned(), json!(set.immediate_enable_flag.is_some()));
                match &set.default_smdp_address {
                    Some(address) => told.insert("immediateEnableAddress".to_owned(), json!(address)),
                    None => told.remove("immediateEnableAddress"),
                };
            }
        }
        (Psmo::UnsetFallbackAttribute(_), EuiccResultData::UnsetFallbackAttributeResult(0)) => {
            fallback(work, None, verified);
        }
        _ => {}
    }
    false
}

fn fallback(work: &mut Work, iccid: Option<&[u8]>, verified: bool) {
    let now = work.now();
    for profile in &mut work.state.profiles {
        let fallback = Some(iccid == Some(profile.iccid.octets()));
        if profile.fallback != fallback {
            profile.fallback = fallback;
            profile.verified &= verified;
            profile.updated_at = now;
        }
    }
}

fn set_enabled(work: &mut Work, iccid: Iccid, enabled: bool, verified: bool) {
    let now = work.now();
    match work.state.profiles.iter_mut().find(|profile| profile.iccid == iccid) {
        Some(profile) => {
            profile.enabled = Some(enabled);
            profile.verified &= verified;
            profile.updated_at = now;
        }
        None => {
            // Enabled though never listed: it is there, and the rest of it will be known with the next list.
            work.euicc().profiles_stale = true;
            work.state.profiles.push(Profile {
                iccid,
                enabled: Some(enabled),
                profile_class: None,
                name: None,
                service_provider: None,
                fallback: None,
                aid: None,
                verified,
                updated_at: now,
                rules: None,
                owner_mcc_mnc: None,
            });
        }
    }
}

/// profileState and fallbackAttribute in a tag list.
const PROFILE_STATE: &[u8] = &[0x9f, 0x70];
const FALLBACK_ATTRIBUTE: &[u8] = &[0x9f, 0x26];
const SERVICE_PROVIDER_NAME: &[u8] = &[0x91];
const PROFILE_NAME: &[u8] = &[0x92];
const ISDP_AID: &[u8] = &[0x4f];
const PROFILE_CLASS: &[u8] = &[0x95];
const PROFILE_POLICY_RULES: &[u8] = &[0x99];
const PROFILE_OWNER: &[u8] = &[0xb7];

/// Whether a list of profiles was asked to hold a member: without a tag list it holds the usual ones.
fn asked_for(tags: Option<&[u8]>, tag: &[u8]) -> bool {
    tags.is_none_or(|tags| names(tags, tag))
}

/// Whether a tag list names this tag, and not only its octets inside of others.
fn names(tags: &[u8], tag: &[u8]) -> bool {
    let mut rest = tags;
    while let Some((first, after)) = first_tag(rest) {
        if first == tag {
            return true;
        }
        rest = after;
    }
    false
}

/// Takes a list over. One that says all that the guard judges by (states, classes, the fallback attribute), and how that is now, makes
/// an end of the doubts; gives whether it tells how they were before.
fn put_profiles(
    work: &mut Work,
    list: &[Lenient<ProfileInfo>],
    tags: Option<&[u8]>,
    complete: bool,
    from: Source,
) -> bool {
    let verified = from.verified;
    let now = work.now();
    let listed: Vec<Profile> =
        list.iter()
            .filter_map(|info| match info {
                Lenient::Known(info) => {
                    let known =
                        work.state.profiles.iter().find(|profile| {
                            info.iccid.as_ref().is_some_and(|iccid| **iccid == profile.iccid.octets()[..])
                        });
                    // They are not among the usual ones.
                    let rules = tags.is_some_and(|tags| names(tags, PROFILE_POLICY_RULES));
                    let told = interpret::Told {
                        fallback: asked_for(tags, FALLBACK_ATTRIBUTE),
                        rules,
                        aid: asked_for(tags, ISDP_AID),
                        name: asked_for(tags, PROFILE_NAME),
                        provider: asked_for(tags, SERVICE_PROVIDER_NAME),
                        owner: tags.is_some_and(|tags| names(tags, PROFILE_OWNER)),
                    };
                    interpret::profile(info, known, told, verified, now)
                }
                Lenient::Unknown(_) => None,
            })
            .collect();
    // A list with an entry that can't be read is not taken for the whole truth.
    if complete && listed.len() == list.len() {
        work.state.profiles = listed;
        let euicc = work.euicc();
        let is_new = lists::tells(euicc, from.signed_at);
        let tells = is_new && asked_for(tags, FALLBACK_ATTRIBUTE) && asked_for(tags, PROFILE_CLASS);
        euicc.profiles_verified = verified;
        euicc.list_facts.lost = 0;
        if tells {
            euicc.profiles_stale = false;
        }
        if tells || euicc.profiles_listed_at.is_none() {
            // It may have been on its way for days.
            euicc.profiles_listed_at = Some(from.signed_at.unwrap_or(now));
        }
        return !is_new;
    }
    for profile in listed {
        work.state.profiles.retain(|known| known.iccid != profile.iccid);
        work.state.profiles.push(profile);
    }
    false
}

/// eIM configuration operations: those that concern this eIM itself change its state, those on others what is known of them.
fn configuration_operation(
    work: &mut Work,
    id: Option<OperationId>,
    eco: &Eco,
    entry: &EuiccResultData,
    verified: bool,
) {
    match (eco, entry) {
        (Eco::DeleteEim(delete), EuiccResultData::DeleteEimResult(0 | 2)) if is_own(work, &delete.eim_id) => {
            association::ended(work, id, verified);
        }
        // Key and counter of our own association are changed by the job alone, a token by nobody: see manage.
        (Eco::UpdateEim(update), EuiccResultData::UpdateEimResult(0)) if is_own(work, &update.eim_id) => {
            if let Some(change) = id.and_then(|id| work.state.operation(id)).and_then(keys::change_of) {
                keys::renewed(work, id, change, verified);
            }
            if verified {
                association::updated(work, update);
            }
            work.event("associationUpdated", json!({ "operation": id, "verified": verified }));
        }
        _ => {}
    }
    // Whoever else may manage the device is a matter of security, so nobody's word but the eUICC's counts.
    if verified {
        association::configured(work, id, eco, entry);
    }
}

fn is_own(work: &Work, eim_id: &str) -> bool {
    work.own_eim_id() == Some(eim_id)
}
