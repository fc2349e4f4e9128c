//! Changing what is known of an eUICC.

use super::euicc::eid_of;
use super::register::{
    Chain, read_certificates, read_counter, read_label, read_policy, read_signing_key, read_tags, read_token,
};
use super::views::EuiccView;
use super::{FieldError, ManageError, euicc};
use crate::Eim;
use crate::domain::{Euicc, EuiccState, LearnedBy, TokenPolicy, Work, association, keys};
use crate::ids::{AssociationToken, CounterValue, OperationId};
use crate::store::Saved;
use serde_json::{Map, Value, json};

const MEMBERS: [&str; 6] = ["label", "tags", "resultPolicy", "association", "eumCertificate", "euiccCertificate"];
const ATTEMPTS: usize = 8;

/// Changes an eUICC by a JSON merge patch (RFC 7396): members that are given are set, null clears. Setting the counter
/// also ends `counterLost`, `counterExhausted` and `unmanaged`. What was signed for another key, token or association is not
/// delivered on: questions and what the eUICC had refused unsigned are made again.
///
/// # Errors
/// What can't be taken; `NotFound`; `Conflict` when a package is in flight that may have been executed, or the device was busy with
/// it all the time.
pub async fn update_euicc(eid: &str, patch: Value, eim: &Eim) -> Result<EuiccView, ManageError> {
    let eid = eid_of(eid)?;
    let Value::Object(patch) = patch else { return Err(ManageError::invalid("", "an object is expected")) };
    for _ in 0..ATTEMPTS {
        let now = eim.clock().now_ms();
        let snapshot = eim
            .store()
            .poll_snapshot(eid, now)
            .await?
            .ok_or_else(|| ManageError::NotFound { what: "eUICC", id: eid.to_string() })?;
        let version = snapshot.euicc.version;
        let mut work = eim.work(snapshot, now);
        let mut errors = Vec::new();
        let before = work.state.euicc.clone();
        apply(work.euicc(), &patch, &mut errors, eim);
        if !errors.is_empty() {
            return Err(ManageError::Invalid(errors));
        }
        let set = |name: &str| patch.get("association").is_some_and(|members| members.get(name).is_some());
        if set("counterValue") || set("associationToken") || work.state.euicc.signing_key != before.signing_key {
            association::set_by_hand(&mut work, before.association_token);
        }
        if is_another(&before, &work.state.euicc) {
            renew(&mut work, &before)?;
        }
        work.event("changed", json!({ "members": patch.keys().collect::<Vec<_>>() }));
        let changes = work.finish();
        if eim.save(eid, version, changes, now).await? == Saved::Done {
            return euicc::euicc(&eid.to_string(), eim).await;
        }
    }
    Err(ManageError::Conflict {
        slug: "euicc-busy",
        message: "the eUICC was changed by others meanwhile; try again".to_owned(),
    })
}

/// Whether the change says of the association that it is not the one that packages were signed for until now.
fn is_another(before: &Euicc, now: &Euicc) -> bool {
    let had_ended =
        matches!(before.state, EuiccState::CounterExhausted | EuiccState::Unmanaged | EuiccState::AssociationLost);
    before.association_token != now.association_token
        || before.signing_key != now.signing_key
        || before.key_facts.next != now.key_facts.next
        || now.counter < before.counter
        || (had_ended && now.state == EuiccState::Active)
}

/// Nothing that was signed before counts any more, and nothing of it goes out again.
fn renew(work: &mut Work, before: &Euicc) -> Result<(), ManageError> {
    keys::withdraw_in_flight(work).map_err(in_flight)?;
    work.euicc().key_facts.begin_epoch();
    if before.key_facts.next.is_some() && work.state.euicc.key_facts.next.is_none() {
        keys::told_by_hand(work);
    }
    Ok(())
}

fn in_flight(id: OperationId) -> ManageError {
    ManageError::Conflict {
        slug: "package-in-flight",
        message: format!(
            "The package of the operation {id} was delivered under the association as it is known now, and the device may \
             have carried it out. Wait for its result, or abandon it first: POST /api/v1/operations/{id}/abandon."
        ),
    }
}

fn apply(euicc: &mut Euicc, patch: &Map<String, Value>, errors: &mut Vec<FieldError>, eim: &Eim) {
    for name in patch.keys().filter(|name| !MEMBERS.contains(&name.as_str())) {
        errors.push(FieldError::new(format!("/{name}"), "this member can't be changed or is not known"));
    }
    let mut text = |name: &str| match patch.get(name) {
        None => None,
        Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some(Some(text.clone())),
        Some(_) => {
            errors.push(FieldError::new(format!("/{name}"), "a text or null is expected"));
            None
        }
    };
    let label = text("label");
    let policy = text("resultPolicy");
    let certificates = (text("eumCertificate"), text("euiccCertificate"));
    if let Some(label) = label {
        euicc.label = read_label(label, errors);
    }
    if let Some(policy) = policy {
        euicc.result_policy = read_policy(policy.as_deref(), errors, eim);
    }
    match patch.get("tags") {
        None => {}
        Some(Value::Null) => euicc.tags = vec![],
        Some(tags) => match serde_json::from_value(tags.clone()) {
            Ok(tags) => euicc.tags = read_tags(tags, errors),
            Err(_) => errors.push(FieldError::new("/tags", "a list of texts is expected")),
        },
    }
    match certificates {
        (None, None) => {}
        (Some(None), Some(None)) => {
            euicc.eum_certificate = None;
            euicc.euicc_certificate = None;
        }
        (Some(None), None) => {
            errors.push(FieldError::new("/eumCertificate", "both certificates are cleared together or neither"));
        }
        (None, Some(None)) => {
            errors.push(FieldError::new("/euiccCertificate", "both certificates are cleared together or neither"));
        }
        (eum, certificate) => {
            let (eum, certificate) = (eum.flatten(), certificate.flatten());
            if let Some((eum, certificate)) = read_certificates(
                (eum.as_deref(), certificate.as_deref()),
                Some(&euicc.eid),
                Chain::Trusted,
                errors,
                eim,
            ) {
                euicc.eum_certificate = Some(eum);
                euicc.euicc_certificate = Some(certificate);
            }
        }
    }
    match patch.get("association") {
        None => {}
        Some(Value::Object(association)) => apply_association(euicc, association, errors, eim),
        Some(_) => errors.push(FieldError::new("/association", "an object is expected")),
    }
}

fn apply_association(euicc: &mut Euicc, association: &Map<String, Value>, errors: &mut Vec<FieldError>, eim: &Eim) {
    let token_before = euicc.association_token;
    let used = euicc.counter.value().max(euicc.own_association.highest_counter);
    let fresh = euicc.state == EuiccState::Registered;
    // Another key than is known here: the database is older than the device, and what other keys have signed since is not known.
    // An import tells of all keys.
    let is_behind = change_key(euicc, association, errors, eim)
        && !(fresh && euicc.own_association.learned_by == Some(LearnedBy::Imported));
    // Tokens go up, so that only a higher one is of a new association: under one that was there before, counters were used.
    let highest = euicc.association_token.map_or(0, AssociationToken::value).max(euicc.own_association.highest_token);
    let renewed = association.get("associationToken").and_then(Value::as_i64).is_some_and(|token| token > highest);
    // Where nothing was signed yet, what was typed may be mended. Else only a new token says that the association was renewed.
    let may_lower = renewed || fresh;
    let before = euicc.counter;
    for (name, value) in association {
        match (name.as_str(), value, value.as_i64()) {
            ("counterValue", _, Some(counter)) => {
                euicc.counter = read_counter(counter, errors);
                if euicc.counter < before && !may_lower {
                    let message = format!(
                        "{before} or more is expected: under the same association a lower counter would be used twice"
                    );
                    errors.push(FieldError::new("/association/counterValue", message));
                }
                euicc.key_facts.search = None;
                if !euicc.state.takes_packages() {
                    euicc.state = EuiccState::Active;
                }
            }
            ("tokenPolicy", Value::Null, _) => euicc.own_association.token_policy = None,
            ("tokenPolicy", Value::String(word), _) => match TokenPolicy::from_word(word) {
                Some(policy) => euicc.own_association.token_policy = Some(policy),
                None => {
                    errors.push(FieldError::new("/association/tokenPolicy", "ask, adopt or null is expected"));
                }
            },
            ("tokenPolicy", ..) => {
                errors.push(FieldError::new("/association/tokenPolicy", "ask, adopt or null is expected"));
            }
            ("associationToken", Value::Null, _) => euicc.association_token = None,
            ("associationToken", _, Some(token)) => {
                let token: Option<AssociationToken> = read_token(token, errors);
                euicc.association_token = token;
            }
            ("signingKey", ..) => {}
            ("counterValue" | "associationToken", ..) => {
                errors.push(FieldError::new(format!("/association/{name}"), "a whole number is expected"));
            }
            _ => errors.push(FieldError::new(format!("/association/{name}"), "this member is not known here")),
        }
    }
    let has_another_token = euicc.association_token != token_before && !fresh;
    if is_behind || has_another_token || (euicc.counter > before && !renewed) {
        // More was signed than is known here, and it may not have been with this key alone, nor under the token of before.
        euicc.key_facts.doubt(eim.clock().now_ms());
    }
    if euicc.association_token == token_before {
        return;
    }
    euicc.own_association.highest_counter = used;
    // Back to a token that was there before: what was used under it is not known one by one.
    if !renewed && !fresh && euicc.counter.value() < used {
        if association.contains_key("counterValue") {
            let message = format!("{used} or more is expected: a token that was there before has used lower counters");
            errors.push(FieldError::new("/association/counterValue", message));
        }
        euicc.counter = CounterValue::try_from(used).unwrap_or(CounterValue::MAX);
    }
}

/// Sets the key that the eUICC trusts, as an operator knows it from elsewhere; its counter goes on where it was left. Gives whether it
/// is another one.
fn change_key(euicc: &mut Euicc, association: &Map<String, Value>, errors: &mut Vec<FieldError>, eim: &Eim) -> bool {
    let Some(value) = association.get("signingKey") else { return false };
    let known_as = eim.eim_id_of(euicc).clone();
    let Some(key) = read_signing_key(value.as_str().unwrap_or_default(), &known_as, errors, eim) else { return false };
    let before = euicc.signing_key;
    euicc.key_facts.next = None;
    euicc.key_facts.probes = 0;
    if before == Some(key) {
        return false;
    }
    if let Some(before) = before {
        euicc.key_facts.counters.insert(before, euicc.counter.value());
    }
    euicc.counter = euicc.key_facts.counter_for(key);
    euicc.key_facts.counters.remove(&key);
    euicc.signing_key = Some(key);
    true
}
