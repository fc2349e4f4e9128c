//! What an eUICC reported, in words: each arm of a result by name, with its data as the API shows them.

use super::codes::{self, UNKNOWN_RESULT};
use super::euicc::{InstalledRules, Profile};
use super::operation::OperationResult;
use super::policy_rules;
use crate::asn1::{
    self, AddEimResult, CodeTable, DecodeError, EuiccResultData, Lenient, ListEimResult, OperatorId, PprIds,
    ProfileInfo, ProfileInfoListResponse, code_name,
};
use crate::ids::{Iccid, Plmn};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Puts one entry of euiccResult into words.
#[must_use]
pub fn result(entry: &Lenient<EuiccResultData>) -> OperationResult {
    let entry = match entry {
        Lenient::Known(entry) => entry,
        Lenient::Unknown(unknown) => {
            return OperationResult {
                operation: UNKNOWN_RESULT.to_owned(),
                code: None,
                name: UNKNOWN_RESULT.to_owned(),
                message: unknown_result(unknown.octets()),
                value: Some(json!({ "raw": STANDARD.encode(unknown.octets()) })),
            };
        }
    };
    let operation = entry.arm().strip_suffix("Result").unwrap_or(entry.arm());
    if let Some((table, code)) = entry.code() {
        let (name, message) = codes::explain(table, code);
        return OperationResult { operation: operation.to_owned(), code: Some(code), name, message, value: None };
    }
    let value = match entry {
        EuiccResultData::ListProfileInfoResult(ProfileInfoListResponse::ProfileInfoListOk(profiles)) => {
            profiles.iter().map(profile_value).collect()
        }
        EuiccResultData::GetRATResult(rules) => plain(rules),
        EuiccResultData::AddEimResult(AddEimResult::AssociationToken(token)) => json!({ "associationToken": token }),
        EuiccResultData::ListEimResult(ListEimResult::EimIdList(eims)) => plain(eims),
        other => plain(other),
    };
    OperationResult {
        operation: operation.to_owned(),
        code: None,
        name: "ok".to_owned(),
        message: "Done.".to_owned(),
        value: Some(value),
    }
}

/// What stands in the place of a result: an arm that is not known, or one that breaks its own type, with the field that does.
fn unknown_result(octets: &[u8]) -> String {
    match asn1::decode::<EuiccResultData>(octets) {
        Ok(_) | Err(DecodeError::UnexpectedTag { .. }) => {
            "The eUICC reported something that this version can't name. Its octets are kept.".to_owned()
        }
        Err(error) => format!("The eUICC's result can't be read: {error}. Its octets are kept."),
    }
}

/// The name that a code has among the codes of an operation.
#[must_use]
pub fn own_code(operation: &str, code: i64) -> &'static str {
    let table = match operation {
        "enable" => CodeTable::EnableProfileResult,
        "disable" => CodeTable::DisableProfileResult,
        "delete" => CodeTable::DeleteProfileResult,
        "listProfileInfo" => CodeTable::ProfileInfoListError,
        "configureImmediateEnable" => CodeTable::ConfigureImmediateEnableResult,
        "addEim" => CodeTable::AddEimResultCode,
        "deleteEim" => CodeTable::DeleteEimResult,
        "updateEim" => CodeTable::UpdateEimResult,
        "listEim" => CodeTable::ListEimError,
        "setFallbackAttribute" => CodeTable::SetFallbackAttributeResult,
        "unsetFallbackAttribute" => CodeTable::UnsetFallbackAttributeResult,
        _ => CodeTable::SetDefaultDpAddressResult,
    };
    code_name(table, code).unwrap_or(UNKNOWN_RESULT)
}

/// An entry for an operation that was asked for and not executed.
#[must_use]
pub fn not_executed(operation: &str) -> OperationResult {
    OperationResult {
        operation: operation.to_owned(),
        code: None,
        name: "notExecuted".to_owned(),
        message: "The eUICC ended the package before this operation. Ask for it again.".to_owned(),
        value: None,
    }
}

/// A value of the wire in its ASN.1 names.
pub(in crate::domain) fn plain<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

fn profile_value(info: &Lenient<ProfileInfo>) -> Value {
    match info {
        Lenient::Known(info) => {
            let iccid = info.iccid.as_ref().and_then(|iccid| Iccid::from_octets(iccid).ok());
            json!({
                "iccid": iccid.and_then(|iccid| iccid.digits()),
                "rawIccid": iccid.map(|iccid| iccid.raw_hex()),
                "state": info.profile_state.map(state_name),
                "class": info.profile_class.map(class_name),
                "name": info.profile_name.as_ref().map(ToString::to_string),
                "nickname": info.profile_nickname.as_ref().map(ToString::to_string),
                "serviceProvider": info.service_provider_name.as_ref().map(ToString::to_string),
                "fallback": info.fallback_attribute,
                "fallbackAllowed": info.fallback_allowed,
                "aid": info.isdp_aid.as_ref().map(hex::encode_upper),
            })
        }
        Lenient::Unknown(unknown) => json!({ "raw": STANDARD.encode(unknown.octets()) }),
    }
}

/// The name of a ProfileState.
fn state_name(state: i64) -> String {
    code_name(CodeTable::ProfileState, state).map_or_else(|| format!("state{state}"), str::to_owned)
}

/// The name of a ProfileClass.
#[must_use]
pub fn class_name(class: i64) -> String {
    code_name(CodeTable::ProfileClass, class).map_or_else(|| format!("class{class}"), str::to_owned)
}

/// A text as every database can hold it: PostgreSQL has no zero octet in a text, and a card's list must not fail for one.
pub(in crate::domain) fn storable(text: &impl ToString) -> String {
    text.to_string().replace('\0', "\u{fffd}")
}

/// Whether a list takes nothing from what was known before, be it that it tells all or that nothing was known of the rest.
fn says_all(info: &ProfileInfo, told: Told, known: &Profile) -> bool {
    (info.profile_state.is_some() || known.enabled.is_none())
        && (info.profile_class.is_some() || known.profile_class.is_none())
        && (info.profile_name.is_some() || told.name || known.name.is_none())
        && (info.service_provider_name.is_some() || told.provider || known.service_provider.is_none())
        && (info.isdp_aid.is_some() || told.aid || known.aid.is_none())
}

/// What a list tells of by leaving it out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    /// fallbackAttribute.
    pub(super) fallback: bool,
    /// profilePolicyRules.
    pub(super) rules: bool,
    /// isdpAid.
    pub(super) aid: bool,
    /// profileName.
    pub(super) name: bool,
    /// serviceProviderName.
    pub(super) provider: bool,
    /// profileOwner.
    pub(super) owner: bool,
}

/// What was told now, else what was known; nothing of it where the list was to tell and did not.
fn told_text(now: Option<String>, was_asked: bool, known: Option<String>) -> Option<String> {
    now.or_else(|| if was_asked { Some(String::new()) } else { known })
}

/// Policy rules as they stand in ProfileInfo or in metadata: absent is none.
pub(super) fn rules(ppr_ids: Option<&PprIds>) -> InstalledRules {
    let has = |bit| ppr_ids.is_some_and(|ids| ids.contains(bit));
    InstalledRules { ppr1: has(policy_rules::PPR1), ppr2: has(policy_rules::PPR2) }
}

/// MCC and MNC of a profile's owner as digits.
pub(super) fn owner_mcc_mnc(owner: Option<&OperatorId>) -> Option<String> {
    Plmn::from_octets(&owner?.mcc_mnc).ok().map(|plmn| plmn.to_string())
}

/// The profile that a ProfileInfo tells of; `None` without an ICCID, since nothing could be asked of it. What a reduced
/// tag list left out is taken from what was known.
pub(super) fn profile(
    info: &ProfileInfo,
    known: Option<&Profile>,
    told: Told,
    verified: bool,
    now: i64,
) -> Option<Profile> {
    let iccid = Iccid::from_octets(info.iccid.as_ref()?).ok()?;
    // What somebody said of it goes where the eUICC's own word was to tell it and does not.
    let keeps = |was_asked: bool| known.filter(|known| known.verified || !verified || !was_asked);
    Some(Profile {
        iccid,
        enabled: info.profile_state.map(|state| state == 1).or_else(|| known.and_then(|known| known.enabled)),
        profile_class: info.profile_class.or_else(|| known.and_then(|known| known.profile_class)),
        name: info
            .profile_name
            .as_ref()
            .map(storable)
            .or_else(|| keeps(told.name).and_then(|known| known.name.clone())),
        service_provider: told_text(
            info.service_provider_name.as_ref().map(storable),
            told.provider,
            known.and_then(|known| known.service_provider.clone()),
        ),
        fallback: if told.fallback { Some(info.fallback_attribute) } else { known.and_then(|known| known.fallback) },
        aid: info
            .isdp_aid
            .as_ref()
            .map(|aid| aid.to_vec())
            .or_else(|| keeps(told.aid).and_then(|known| known.aid.clone())),
        // What is taken from before is no better than it was.
        verified: verified && known.is_none_or(|known| known.verified || says_all(info, told, known)),
        updated_at: now,
        rules: if told.rules {
            Some(self::rules(info.profile_policy_rules.as_ref()))
        } else {
            known.and_then(|known| known.rules)
        },
        owner_mcc_mnc: told_text(
            owner_mcc_mnc(info.profile_owner.as_ref()),
            told.owner,
            known.and_then(|known| known.owner_mcc_mnc.clone()),
        ),
    })
}
