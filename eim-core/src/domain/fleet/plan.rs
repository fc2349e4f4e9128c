//! Reads what a switch is to do from a request of the API.

use super::guard;
use super::switch::{DeleteOld, Plan, Proof, Target};
use crate::domain::order;
use crate::domain::request::fields::Fields;
use crate::domain::request::{FieldError, Request};
use crate::domain::{Kind, Secrets};
use crate::ids::{Iccid, Plmn};
use serde_json::Value;

/// How many intervals a device has to be seen again, and to come at all, when nobody says.
pub(in crate::domain::fleet) const SEEN_AGAIN_WITHIN: i64 = 3;
pub(in crate::domain::fleet) const NO_SHOW_AFTER: i64 = 10;
/// The most intervals that anything may take.
const INTERVALS_MAX: i64 = 1_000;
/// What a download needs when nobody says, octets.
pub(in crate::domain::fleet) const MEMORY_BYTES: i64 = 65_536;
pub(in crate::domain::fleet) const MEMORY_BYTES_MAX: i64 = 1 << 32;
const PLMNS_MAX: usize = 256;
/// The most operations of a plan.
const OPERATIONS_MAX: usize = 16;

/// Members of a switch that say what it is to do.
pub const MEMBERS: [&str; 8] =
    ["to", "rollback", "deleteOld", "proof", "noShowAfter", "memoryBytes", "waive", "override"];

/// A plan with the secrets of its download.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What is to be done.
    pub plan: Plan,
    /// Activation code and confirmation code.
    pub secrets: Secrets,
    /// Whether checks are overridden, which only an admin may.
    pub overrides: bool,
}

/// Reads the plan of a switch: the members of [`MEMBERS`] in this object. Others are not looked at.
///
/// # Errors
/// Every value that can't be taken, with its place below `pointer`.
pub fn switch(value: &Value, pointer: &str) -> Result<Planned, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut secrets = Secrets::default();
    let Value::Object(members) = value else {
        return Err(vec![FieldError::new(pointer, "an object is expected")]);
    };
    let known: serde_json::Map<String, Value> = members
        .iter()
        .filter(|(name, _)| MEMBERS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let to = match known.get("to") {
        None | Some(Value::Null) => {
            errors.push(FieldError::new(
                format!("{pointer}/to"),
                "where to switch is expected: iccid, activationCode, pool, defaultSmdp or smds",
            ));
            None
        }
        Some(to) => target(to, &format!("{pointer}/to"), &mut secrets, &mut errors),
    };
    let known = Value::Object(known);
    let plan = Fields::of(&known, pointer.to_owned(), &mut errors).and_then(|mut fields| {
        fields.member("to");
        let rollback = fields.flag_or("rollback", true);
        let delete_old = fields
            .one_of("deleteOld", &[("never", DeleteOld::Never), ("afterProof", DeleteOld::AfterProof)])
            .unwrap_or(DeleteOld::Never);
        let mut proof = Proof { seen_again_within: SEEN_AGAIN_WITHIN, expected_plmns: vec![] };
        if let Some(mut asked) = fields.object("proof") {
            let within = asked.number("seenAgainWithin", 1..=INTERVALS_MAX);
            proof.seen_again_within = within.unwrap_or(SEEN_AGAIN_WITHIN);
            let is_plmn = |text: &str| text.parse::<Plmn>().is_ok();
            let plmns = asked.texts("expectedPlmns", "networks (MCC and MNC, five or six digits)", PLMNS_MAX, is_plmn);
            proof.expected_plmns = plmns.unwrap_or_default();
            asked.finish();
        }
        let no_show_after = fields.number("noShowAfter", 1..=INTERVALS_MAX).unwrap_or(NO_SHOW_AFTER);
        let memory_bytes = fields.number("memoryBytes", 0..=MEMORY_BYTES_MAX).unwrap_or(MEMORY_BYTES);
        let named = |names: &'static [&'static str]| move |text: &str| names.contains(&text);
        let waivable = "names of checks that can be waived (fallback, memory)";
        let waive = fields.texts("waive", waivable, guard::NAMES.len(), named(&guard::WAIVABLE)).unwrap_or_default();
        let overridable = |text: &str| guard::NAMES.contains(&text) && !guard::ABSOLUTE.contains(&text);
        let names: Vec<&str> = guard::NAMES.into_iter().filter(|name| overridable(name)).collect();
        let expected = format!("names of checks that an admin can override ({})", names.join(", "));
        let overridden = fields.texts("override", &expected, guard::NAMES.len(), overridable).unwrap_or_default();
        fields.finish();
        let to = to?;
        Some(Plan::Switch { to, rollback, delete_old, proof, no_show_after, memory_bytes, waive, overridden })
    });
    match plan {
        Some(plan) if errors.is_empty() => {
            let overrides = matches!(&plan, Plan::Switch { overridden, .. } if !overridden.is_empty());
            Ok(Planned { plan, secrets, overrides })
        }
        _ => Err(errors),
    }
}

/// Reads how a profile is got: `activationCode`, `pool`, `defaultSmdp` or `smds`, with the secrets of it.
///
/// Each value that can't be taken is noted in `errors` with its place below `pointer`.
pub(in crate::domain::fleet) fn source(
    from: &Value,
    pointer: &str,
    errors: &mut Vec<FieldError>,
) -> Option<(Target, Secrets)> {
    for name in ["iccid", "rawIccid", "profile"] {
        if from.get(name).is_some() {
            errors.push(FieldError::new(format!("{pointer}/{name}"), "this member is not known here"));
            return None;
        }
    }
    let mut secrets = Secrets::default();
    let found = target(from, pointer, &mut secrets, errors)?;
    Some((found, secrets))
}

fn target(to: &Value, pointer: &str, secrets: &mut Secrets, errors: &mut Vec<FieldError>) -> Option<Target> {
    let ways = ["iccid", "profile", "pool", "activationCode", "defaultSmdp", "smds"];
    let has = |name: &str| to.get(name).is_some_and(|value| !value.is_null());
    let given: Vec<&str> = ways.into_iter().filter(|way| has(way) || *way == "iccid" && has("rawIccid")).collect();
    if given.len() > 1 {
        let message = format!("exactly one of {} is expected, and not {}", ways.join(", "), given.join(" and "));
        errors.push(FieldError::new(pointer, message));
        return None;
    }
    if to.get("pool").is_some_and(|pool| !pool.is_null()) {
        let mut fields = Fields::of(to, pointer.to_owned(), errors)?;
        let pool = fields.text("pool");
        fields.finish();
        return pool.filter(|pool| !pool.contains('\0')).map(Target::Pool);
    }
    if to.get("profile").is_some_and(|profile| !profile.is_null()) {
        let mut fields = Fields::of(to, pointer.to_owned(), errors)?;
        let mut target = None;
        if let Some(mut profile) = fields.object("profile") {
            let (service_provider, profile_name) = (profile.text("serviceProvider"), profile.text("name"));
            if service_provider.is_none() && profile_name.is_none() && !profile.has_mistakes() {
                profile.wrong_as_a_whole("at least one of serviceProvider and name is needed");
            }
            profile.finish();
            target = Some(Target::Matching { service_provider, profile_name });
        }
        fields.finish();
        return target;
    }
    if given.first() != Some(&"iccid") {
        return match order::from_api_at(to, pointer) {
            Ok((order, found)) => {
                *secrets = found;
                Some(Target::Download(order.to_request()))
            }
            Err(wrong) => {
                errors.extend(wrong);
                None
            }
        };
    }
    let mut fields = Fields::of(to, pointer.to_owned(), errors)?;
    let iccid = fields.iccid();
    fields.finish();
    Iccid::from_octets(&iccid?).ok().map(Target::Iccid)
}

/// Reads a list of operations: requests as they are taken for one eUICC, downloads excepted.
///
/// # Errors
/// Every value that can't be taken, with its place below `pointer`.
pub fn operations(value: &Value, no_show_after: Option<i64>, pointer: &str) -> Result<Plan, Vec<FieldError>> {
    let Some(list) = value.as_array().filter(|list| (1..=OPERATIONS_MAX).contains(&list.len())) else {
        let message = format!("a list of 1 to {OPERATIONS_MAX} operations is expected");
        return Err(vec![FieldError::new(pointer, message)]);
    };
    let mut errors = Vec::new();
    for (index, request) in list.iter().enumerate() {
        let place = format!("{pointer}/{index}");
        let Some(members) = request.as_object() else {
            errors.push(FieldError::new(place, "an object is expected"));
            continue;
        };
        if members.contains_key(Kind::ProfileDownload.as_str()) {
            errors.push(FieldError::new(place, "a download is asked for by the plan of a switch"));
            continue;
        }
        for name in members.keys().filter(|name| Kind::from_word(name).is_none()) {
            errors.push(FieldError::new(format!("{place}/{name}"), "this member is not known here"));
        }
        if let Err(wrong) = Request::parse(members) {
            let below = |error: FieldError| FieldError::new(format!("{place}{}", error.pointer), error.message);
            errors.extend(wrong.into_iter().map(below));
        }
    }
    if errors.is_empty() {
        let no_show_after = no_show_after.unwrap_or(NO_SHOW_AFTER);
        Ok(Plan::Operations { requests: list.clone(), no_show_after })
    } else {
        Err(errors)
    }
}
