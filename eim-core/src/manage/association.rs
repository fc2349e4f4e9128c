//! The eIMs on an eUICC, and making a new association of ours known (SGP.32 v1.2 3.5).

use super::euicc::eid_of;
use super::register::{earlier, idempotency, key_taken, read_counter, read_signing_key, read_source, read_token};
use super::views::{AssociationsView, EimOnEuiccView};
use super::{FieldError, ManageError};
use crate::Eim;
use crate::asn1::{self, AddInitialEimOkEntry, AddInitialEimResponse, CodeTable, code_name};
use crate::domain::association::{Renewal, renew};
use crate::domain::{AssociationState, Euicc, EuiccState, LearnedBy, OtherEim, rfc3339};
use crate::ids::{AssociationToken, Eid, KeyId};
use crate::store::ResultKeys;
use crate::store::switch::SavedOnce;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

const ATTEMPTS: usize = 8;
/// The most octets of an AddInitialEimResponse: room for every eIM that an eUICC could take.
const RESPONSE_MAX: usize = 4_096;

fn not_found(eid: Eid) -> ManageError {
    ManageError::NotFound { what: "eUICC", id: eid.to_string() }
}

/// Shows every eIM on an eUICC as far as it is known: our own association first.
///
/// # Errors
/// When the eUICC is not known.
pub async fn associations(eid: &str, eim: &Eim) -> Result<AssociationsView, ManageError> {
    let eid = eid_of(eid)?;
    let (euicc, _) = eim.store().euicc(eid).await?.ok_or_else(|| not_found(eid))?;
    let others = eim.store().other_eims(eid).await?;
    let listed_at = euicc.own_association.eims_listed_at.map(rfc3339);
    let mut items = vec![own(&euicc, eim)];
    items.extend(others.into_iter().map(other));
    Ok(AssociationsView { items, eims_listed_at: listed_at })
}

pub(super) fn own(euicc: &Euicc, eim: &Eim) -> EimOnEuiccView {
    let known = &euicc.own_association;
    let identity = eim.identity_named(eim.eim_id_of(euicc).as_str()).unwrap_or_else(|| eim.identity());
    let key = euicc.signing_key.or_else(|| eim.keys().current(&identity.eim_id).map(|key| key.id));
    let state = known.state(euicc.state);
    let updated = known.updated.clone().unwrap_or_default();
    EimOnEuiccView {
        eim_id: identity.eim_id.to_string(),
        own: true,
        state: state.as_str().to_owned(),
        verified: match state {
            AssociationState::Gone => known.end_verified,
            state => state == AssociationState::Associated,
        },
        eim_id_type: Some(updated.eim_id_type.map_or_else(|| identity.eim_id_type.to_string(), eim_id_type)),
        eim_fqdn: Some(updated.eim_fqdn.unwrap_or_else(|| identity.eim_fqdn.clone())),
        supported_protocol: updated.supported_protocol.unwrap_or_else(|| vec!["eimRetrieveHttps".to_owned()]),
        tls_key_sha256: updated.tls_key_sha256,
        euicc_ci_pk_id: updated.euicc_ci_pk_id,
        association_token: euicc.association_token.map(AssociationToken::value),
        counter_value: Some(euicc.counter.value()),
        key_sha256: key.map(|key| key.to_string().to_uppercase()),
        learned_by: known.learned_by.unwrap_or(LearnedBy::Registered).as_str().to_owned(),
        told_by: known.told_by.clone(),
        operation: known.proven_by.map(|id| id.to_string()),
        learned_at: rfc3339(known.renewed_at.unwrap_or(euicc.created_at)),
        changed_at: rfc3339(known.changed_at().unwrap_or(euicc.created_at)),
        proven_at: known.proven_at.map(rfc3339),
        lost_at: known.lost_at.map(rfc3339),
        lost_cause: known.lost_cause.clone(),
        reported_token: known.reported_token,
        token_policy: Some(known.token_policy.unwrap_or(eim.reported_token()).as_str().to_owned()),
        next_step: next_step(state, euicc).map(str::to_owned),
    }
}

/// The way back to an association in force, or to the proof of one.
fn next_step(state: AssociationState, euicc: &Euicc) -> Option<&'static str> {
    match (state, euicc.own_association.reported_token) {
        (AssociationState::Lost | AssociationState::Expected | AssociationState::Associated, Some(_)) => Some(
            "The eUICC tells another token (reportedToken), unsigned. If that is plausible, adopt it: POST \
             /api/v1/euiccs/{eid}/associations with {\"adoptReportedToken\": true}.",
        ),
        (AssociationState::Lost | AssociationState::Gone, _) => Some(
            "Load this eIM's AddInitialEimRequest into the device (GET /api/v1/euiccs/{eid}/eim-configuration), or let \
             another eIM add this one, and record what the eUICC answered: POST /api/v1/euiccs/{eid}/associations.",
        ),
        (AssociationState::Expected, _) => {
            Some("Nothing is proven yet: ask for something signed, for example an eco listEim.")
        }
        _ => None,
    }
}

fn eim_id_type(code: i64) -> String {
    match code {
        1 => "oid".to_owned(),
        2 => "fqdn".to_owned(),
        3 => "proprietary".to_owned(),
        other => other.to_string(),
    }
}

pub(super) fn other(eim: OtherEim) -> EimOnEuiccView {
    EimOnEuiccView {
        eim_id: eim.eim_id,
        own: false,
        state: eim.state.as_str().to_owned(),
        verified: eim.learned_by != LearnedBy::Imported,
        eim_id_type: eim.eim_id_type.map(eim_id_type),
        eim_fqdn: eim.eim_fqdn,
        supported_protocol: eim.supported_protocol,
        tls_key_sha256: None,
        euicc_ci_pk_id: None,
        association_token: eim.association_token,
        counter_value: eim.counter_value,
        key_sha256: eim.key_sha256.map(hex::encode_upper),
        learned_by: eim.learned_by.as_str().to_owned(),
        told_by: None,
        operation: eim.operation.map(|id| id.to_string()),
        learned_at: rfc3339(eim.learned_at),
        changed_at: rfc3339(eim.changed_at),
        proven_at: None,
        lost_at: None,
        lost_cause: None,
        reported_token: None,
        token_policy: None,
        next_step: None,
    }
}

/// What a body asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    /// A new association as it was told.
    Told(Renewal),
    /// The token that the eUICC told in an unsigned error.
    Adopt,
    /// To note that the eUICC refused the AddInitialEimRequest, with this code.
    Refused(i64),
}

/// Makes a new association of ours known: from an AddInitialEimResponse, from what another eIM tells, or from what the
/// eUICC told in an unsigned error. It counts as in force when the eUICC has answered a package under it. Once for an
/// idempotency key. A response by which the eUICC refused is noted on the timeline and changes nothing else.
///
/// # Errors
/// What can't be taken, with the code where the eUICC refused; `NotFound`; `Conflict` when the association is in force.
pub async fn renew_association(
    eid: &str,
    body: Value,
    idempotency_key: Option<&str>,
    eim: &Eim,
) -> Result<AssociationsView, ManageError> {
    let eid = eid_of(eid)?;
    let key = idempotency_key.map(|key| idempotency(key, &format!("association {eid}"), &body, eim)).transpose()?;
    for _ in 0..ATTEMPTS {
        let now = eim.clock().now_ms();
        let keys = ResultKeys { without_held: true, ..ResultKeys::default() };
        let Some((snapshot, _)) = eim.store().result_snapshot(eid, keys, now).await? else {
            return Err(not_found(eid));
        };
        // A repeated request has its answer, whatever it would come to now.
        let before = earlier(key.as_ref(), eim).await?.is_some();
        let asked = match read(&body) {
            Ok(Asked::Refused(code)) if before => return Err(refusal(code)),
            _ if before => return associations(&eid.to_string(), eim).await,
            asked => asked?,
        };
        let version = snapshot.euicc.version;
        let mut work = eim.work(snapshot, now);
        let once = (key.clone(), eid.to_string());
        let renewal = match asked {
            Asked::Refused(code) => {
                work.event("addInitialEimRefused", json!({ "code": code, "error": error_name(code) }));
                match eim.save_once(eid, version, work.finish(), once, now).await? {
                    SavedOnce::Done | SavedOnce::Before { .. } => return Err(refusal(code)),
                    SavedOnce::KeyTaken => return Err(key_taken()),
                    SavedOnce::Conflict => continue,
                }
            }
            // A configuration that was given out names the key of new associations.
            Asked::Told(renewal) => {
                let key = key_of(&body, &work.state.euicc, eim)?;
                Renewal { key: Some(key), ..renewal }
            }
            Asked::Adopt => adoption(&work.state.euicc)?,
        };
        check(&work.state.euicc, &renewal)?;
        renew(&mut work, &renewal);
        match eim.save_once(eid, version, work.finish(), once, now).await? {
            SavedOnce::Done | SavedOnce::Before { .. } => return associations(&eid.to_string(), eim).await,
            SavedOnce::KeyTaken => return Err(key_taken()),
            SavedOnce::Conflict => {}
        }
    }
    Err(ManageError::Conflict {
        slug: "euicc-busy",
        message: "the eUICC was changed by others meanwhile; try again".to_owned(),
    })
}

/// The key that the eUICC was told for this eIM, as the body says it; the one of new associations where it says nothing.
fn key_of(body: &Value, euicc: &Euicc, eim: &Eim) -> Result<KeyId, ManageError> {
    let known_as = eim.eim_id_of(euicc);
    let mut errors = Vec::new();
    if body.get("eimId").is_some_and(|named| !named.is_null() && named.as_str() != Some(known_as.as_str())) {
        errors.push(FieldError::new("/eimId", format!("{known_as} is expected: as that the device was registered")));
    }
    let key = match body.get("signingKey").filter(|named| !named.is_null()) {
        None => Some(eim.current_key(known_as)?.id),
        Some(named) => read_signing_key(named.as_str().unwrap_or_default(), known_as, &mut errors, eim),
    };
    match key {
        Some(key) if errors.is_empty() => Ok(key),
        _ => Err(ManageError::Invalid(errors.into_iter().map(top).collect())),
    }
}

fn error_name(code: i64) -> &'static str {
    code_name(CodeTable::AddInitialEimError, code).unwrap_or("a code that is not in the specification")
}

fn refusal(code: i64) -> ManageError {
    let message = format!("the eUICC refused the request: {} ({code}); nothing was associated", error_name(code));
    ManageError::invalid(RESPONSE, message)
}

fn adoption(euicc: &Euicc) -> Result<Renewal, ManageError> {
    let token = euicc.own_association.reported_token.ok_or_else(|| ManageError::Conflict {
        slug: "no-reported-token",
        message: "The eUICC has told no other token since it last answered under the one that is known.".to_owned(),
    })?;
    Ok(Renewal {
        token: Some(AssociationToken::new(token)),
        counter: None,
        learned_by: LearnedBy::ReportedToken,
        told_by: None,
        key: None,
    })
}

/// Under an association that is in force the counter must go on; a new one has another token, or took the place of one that
/// had ended.
fn check(euicc: &Euicc, renewal: &Renewal) -> Result<(), ManageError> {
    let in_force = euicc.state == EuiccState::Active && euicc.own_association.proven_at.is_some();
    if in_force && renewal.token == euicc.association_token {
        return Err(ManageError::Conflict {
            slug: "association-in-force",
            message: "The eUICC answers under the association with this token. A new association has another token."
                .to_owned(),
        });
    }
    Ok(())
}

fn read(body: &Value) -> Result<Asked, ManageError> {
    let Value::Object(members) = body else { return Err(ManageError::invalid("", "an object is expected")) };
    let mut errors = Vec::new();
    let ways = ["addInitialEimResponse", "associationToken", "adoptReportedToken"];
    let given: Vec<&str> = ways.iter().copied().filter(|way| members.contains_key(*way)).collect();
    let [way] = given.as_slice() else {
        return Err(ManageError::invalid("", format!("exactly one of {} is expected", ways.join(", "))));
    };
    let known: &[&str] = match *way {
        "addInitialEimResponse" => &["addInitialEimResponse", "entry", "counterValue"],
        "associationToken" => &["associationToken", "counterValue", "learnedBy", "toldBy", "signingKey", "eimId"],
        _ => &["adoptReportedToken"],
    };
    for name in members.keys().filter(|name| !known.contains(&name.as_str())) {
        errors.push(FieldError::new(format!("/{name}"), format!("this member does not go with {way}")));
    }
    let counter = match members.get("counterValue") {
        None => Some(crate::ids::CounterValue::ZERO),
        Some(value) => match value.as_i64() {
            Some(value) => {
                let mut wrong = Vec::new();
                let counter = read_counter(value, &mut wrong);
                errors.extend(wrong.into_iter().map(top));
                Some(counter)
            }
            None => {
                errors.push(FieldError::new("/counterValue", "a whole number from 0 to 8388607 is expected"));
                None
            }
        },
    };
    let asked = match *way {
        "addInitialEimResponse" => response(members, &mut errors).map(|answered| match answered {
            Answered::Added(token) => {
                Asked::Told(Renewal { token, counter, learned_by: LearnedBy::AddInitialEim, told_by: None, key: None })
            }
            Answered::Refused(code) => Asked::Refused(code),
        }),
        "associationToken" => told(members, &mut errors).map(|(token, learned_by, told_by)| {
            Asked::Told(Renewal { token, counter, learned_by, told_by, key: None })
        }),
        _ => {
            if members.get("adoptReportedToken") != Some(&Value::Bool(true)) {
                errors.push(FieldError::new("/adoptReportedToken", "true is expected"));
            }
            Some(Asked::Adopt)
        }
    };
    match asked {
        Some(asked) if errors.is_empty() => Ok(asked),
        _ => Err(ManageError::Invalid(errors)),
    }
}

/// The pointers of the shared readers are those of an eUICC's body; here the members stand at the top.
fn top(error: FieldError) -> FieldError {
    let below = error.pointer.strip_prefix("/association").filter(|rest| rest.starts_with('/'));
    let pointer = below.unwrap_or(&error.pointer).to_owned();
    FieldError { pointer, ..error }
}

type Told = (Option<AssociationToken>, LearnedBy, Option<String>);

fn told(members: &Map<String, Value>, errors: &mut Vec<FieldError>) -> Option<Told> {
    let mut wrong = Vec::new();
    let token = match &members["associationToken"] {
        Value::Null => None,
        value => match value.as_i64() {
            Some(value) => read_token(value, &mut wrong),
            None => {
                wrong.push(FieldError::new("/associationToken", "a whole number or null is expected"));
                None
            }
        },
    };
    let mut text = |name: &str| match members.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) => {
            wrong.push(FieldError::new(format!("/{name}"), "a text is expected"));
            None
        }
    };
    let (word, told_by) = (text("learnedBy"), text("toldBy"));
    let (learned_by, told_by) = read_source(word.as_deref(), told_by, &mut wrong);
    errors.extend(wrong.into_iter().map(top));
    Some((token, learned_by, told_by))
}

/// The member that holds what the eUICC answered.
const RESPONSE: &str = "/addInitialEimResponse";

/// What an AddInitialEimResponse says.
enum Answered {
    /// This eIM was added, with this token if with any.
    Added(Option<AssociationToken>),
    /// Nothing was, for this reason.
    Refused(i64),
}

fn response(members: &Map<String, Value>, errors: &mut Vec<FieldError>) -> Option<Answered> {
    let entry = match members.get("entry") {
        None | Some(Value::Null) => None,
        Some(value) => match value.as_u64().and_then(|index| usize::try_from(index).ok()) {
            Some(index) => Some(index),
            None => {
                errors.push(FieldError::new("/entry", "the place of this eIM in the request, from 0, is expected"));
                return None;
            }
        },
    };
    let text: String = members["addInitialEimResponse"].as_str().unwrap_or_default().split_whitespace().collect();
    let decoded = || hex::decode(&text).ok().or_else(|| STANDARD.decode(&text).ok());
    let octets = if text.len() <= 2 * RESPONSE_MAX { decoded() } else { None };
    let read = octets.filter(|octets| octets.len() <= RESPONSE_MAX).map(|octets| asn1::decode(&octets));
    let response = match read {
        Some(Ok(response)) => response,
        unread => {
            let mut message = "an AddInitialEimResponse (BF57) in hexadecimal or base64 is expected".to_owned();
            if let Some(Err(error)) = unread {
                message = format!("{message}: {error}");
            }
            errors.push(FieldError::new(RESPONSE, message));
            return None;
        }
    };
    let entries: Vec<AddInitialEimOkEntry> = match response {
        AddInitialEimResponse::AddInitialEimOk(entries) => entries,
        AddInitialEimResponse::AddInitialEimError(code) => return Some(Answered::Refused(code)),
    };
    let entry = match (entries.as_slice(), entry) {
        ([only], None) => Some(only),
        (entries, Some(index)) => entries.get(index),
        _ => None,
    };
    match entry {
        Some(AddInitialEimOkEntry::AssociationToken(token)) if *token >= 0 => {
            Some(Answered::Added(Some(AssociationToken::new(*token))))
        }
        Some(AddInitialEimOkEntry::AssociationToken(_)) => {
            errors.push(FieldError::new(RESPONSE, "the token in it is negative, which no eUICC allocates"));
            None
        }
        Some(AddInitialEimOkEntry::AddOk(_)) => Some(Answered::Added(None)),
        None => {
            let message = format!("the response has {} entries; say which one is this eIM's, from 0", entries.len());
            errors.push(FieldError::new("/entry", message));
            None
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    fn token(body: Value) -> Option<i64> {
        match read(&body).unwrap() {
            Asked::Told(renewal) => renewal.token.map(AssociationToken::value),
            Asked::Adopt | Asked::Refused(_) => panic!("nothing is told"),
        }
    }

    fn wrong(body: Value) -> (String, String) {
        match read(&body).unwrap_err() {
            ManageError::Invalid(errors) => (errors[0].pointer.clone(), errors[0].message.clone()),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_response_is_read_in_hexadecimal_and_base64() {
        // BF57 { A0 { 84 01 07 } } and BF57 { A0 { 05 00 } }
        assert_eq!(token(json!({ "addInitialEimResponse": "BF5705A003840107" })), Some(7));
        assert_eq!(token(json!({ "addInitialEimResponse": "v1cFoAOEAQc=" })), Some(7));
        assert_eq!(token(json!({ "addInitialEimResponse": "bf57 04 a0 02 05 00" })), None);
        let two = json!({ "addInitialEimResponse": "BF5708A006840107840108", "entry": 1 });
        assert_eq!(token(two), Some(8));
    }

    #[test]
    fn a_refusal_of_the_euicc_is_named_and_what_is_no_response_is_refused() {
        assert_eq!(read(&json!({ "addInitialEimResponse": "BF5703810102" })).unwrap(), Asked::Refused(2));
        let ManageError::Invalid(errors) = refusal(2) else { panic!("it is a value") };
        assert_eq!(errors[0].pointer, "/addInitialEimResponse");
        assert!(errors[0].message.contains("associatedEimAlreadyExists (2)"), "{errors:?}");
        assert_eq!(wrong(json!({ "addInitialEimResponse": "BF5708A006840107840108" })).0, "/entry");
        assert_eq!(wrong(json!({ "addInitialEimResponse": "BF5708A006840107840108", "entry": 2 })).0, "/entry");
        for text in ["", "zz", "BF57", "BF5703810102FF", "BF5705A0038401FF"] {
            assert_eq!(wrong(json!({ "addInitialEimResponse": text })).0, "/addInitialEimResponse", "{text}");
        }
        assert_eq!(wrong(json!({})).0, "");
        assert_eq!(wrong(json!({ "associationToken": 1, "adoptReportedToken": true })).0, "");
        assert_eq!(wrong(json!({ "associationToken": -1 })).0, "/associationToken");
        assert_eq!(wrong(json!({ "associationToken": 1, "counterValue": 8_388_608 })).0, "/counterValue");
        assert_eq!(wrong(json!({ "associationToken": 1, "toldBy": "x".repeat(129) })).0, "/toldBy");
        assert_eq!(wrong(json!({ "adoptReportedToken": false })).0, "/adoptReportedToken");
    }
}
