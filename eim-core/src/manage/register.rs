//! Adding an eUICC to the inventory.

use super::views::EuiccView;
use super::{FieldError, ManageError, euicc, view};
use crate::Eim;
use crate::domain::keys::KeyFacts;
use crate::domain::{Euicc, EuiccState, Event, Kind, LearnedBy, OwnAssociation, ResultPolicy};
use crate::ids::{AssociationToken, CounterValue, Eid, EimId, KeyId};
use crate::pki;
use crate::store::switch::SavedOnce;
use crate::store::{Enqueued, IdempotencyKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// The longest label or tag.
const TEXT_MAX: usize = 128;
/// How many tags an eUICC may have.
const TAGS_MAX: usize = 64;

/// An eUICC to be registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewEuicc {
    /// 32 digits. Wrong check digits are a warning.
    pub eid: String,
    /// The operator's own name for it, up to 128 octets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Up to 64 tags of up to 128 octets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// The association, where it is not a fresh one without a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub association: Option<NewAssociation>,
    /// The EUM certificate, base64 of DER. Goes with `euiccCertificate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eum_certificate: Option<String>,
    /// The eUICC certificate, base64 of DER. Without it the certificates are asked for when they are needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub euicc_certificate: Option<String>,
    /// `verified` (default) or `lab`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_policy: Option<String>,
}

/// How this eIM is associated with an eUICC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewAssociation {
    /// The counter of the last package made for it; 0 for a fresh association.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter_value: Option<i64>,
    /// The token that the eUICC holds; absent or null for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub association_token: Option<i64>,
    /// The eimId by which the eUICC knows this eIM, where the server has several; absent for the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eim_id: Option<String>,
    /// The id of the signing key that the eUICC trusts; absent for the one that new associations get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<String>,
    /// How it became known: `registered` (default), `manufacturing`, `addInitialEim`, or `handover` for an eUICC that another
    /// eIM hands over; then it is asked for its eIMs at the first poll, and its answer is the proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned_by: Option<String>,
    /// The eimId of the eIM that hands the eUICC over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_by: Option<String>,
}

const MEMBERS: [&str; 7] =
    ["eid", "label", "tags", "association", "eumCertificate", "euiccCertificate", "resultPolicy"];

impl NewEuicc {
    /// Reads it, naming the place of a value of the wrong type.
    ///
    /// # Errors
    /// What can't be taken.
    pub fn from_json(body: Value) -> Result<Self, ManageError> {
        let Value::Object(members) = &body else {
            return Err(ManageError::invalid("", "an object is expected"));
        };
        let mut errors: Vec<FieldError> = members
            .keys()
            .filter(|name| !MEMBERS.contains(&name.as_str()))
            .map(|name| FieldError::new(format!("/{name}"), "this member is not known here"))
            .collect();
        if !members.contains_key("eid") {
            errors.push(FieldError::new("/eid", "an EID of 32 digits is expected"));
        }
        for name in ["eid", "label", "eumCertificate", "euiccCertificate", "resultPolicy"] {
            if members.get(name).is_some_and(|value| !value.is_string() && (name == "eid" || !value.is_null())) {
                errors.push(FieldError::new(format!("/{name}"), "a text is expected"));
            }
        }
        if !errors.is_empty() {
            return Err(ManageError::Invalid(errors));
        }
        serde_json::from_value(body.clone()).map_err(|_| {
            let place = ["tags", "association"].into_iter().find(|name| match members.get(*name) {
                None | Some(Value::Null) => false,
                Some(value) if *name == "tags" => serde_json::from_value::<Vec<String>>(value.clone()).is_err(),
                Some(value) => serde_json::from_value::<NewAssociation>(value.clone()).is_err(),
            });
            match place {
                Some("tags") => ManageError::invalid("/tags", "a list of texts is expected"),
                Some(_) => ManageError::invalid(
                    "/association",
                    "an object of counterValue and associationToken, both whole numbers, eimId and signingKey is expected",
                ),
                None => ManageError::invalid("", "the members of an eUICC are expected"),
            }
        })
    }
}

/// Registers an eUICC.
///
/// # Errors
/// What can't be taken; `Conflict` when it is registered already.
pub async fn register_euicc(new: NewEuicc, idempotency_key: Option<&str>, eim: &Eim) -> Result<EuiccView, ManageError> {
    let now = eim.clock().now_ms();
    let key = idempotency_key
        .map(|key| idempotency(key, "register_euicc", &serde_json::to_value(&new).unwrap_or_default(), eim))
        .transpose()?;
    let euicc = read(new, now, eim)?;
    let eid = euicc.eid;
    match insert(euicc.clone(), key, now, eim).await? {
        Enqueued::Done => Ok(view::euicc(euicc, 0, eim)),
        Enqueued::Before { .. } => euicc::euicc(&eid.to_string(), eim).await,
        Enqueued::KeyTaken => Err(key_taken()),
        Enqueued::Exists | Enqueued::UnknownEuicc => Err(ManageError::Conflict {
            slug: "euicc-exists",
            message: format!("EID {eid} is registered already. Its tenant can change it with PATCH."),
        }),
    }
}

pub(super) async fn insert(
    euicc: Euicc,
    key: Option<IdempotencyKey>,
    now: i64,
    eim: &Eim,
) -> Result<Enqueued, ManageError> {
    Ok(eim.store().insert_euicc(euicc, Event::new("registered", json!({})), key, now).await?)
}

pub(super) fn read(new: NewEuicc, now: i64, eim: &Eim) -> Result<Euicc, ManageError> {
    let learned_by = new.association.as_ref().and_then(|association| association.learned_by.as_deref());
    let by_manufacturer = learned_by == Some(LearnedBy::Manufacturing.as_str());
    read_with(new, if by_manufacturer { Chain::MayComeLater } else { Chain::Trusted }, now, eim)
}

/// The same where it is known whether the CI of its certificates must be trusted now.
pub(super) fn read_with(new: NewEuicc, chain: Chain, now: i64, eim: &Eim) -> Result<Euicc, ManageError> {
    let mut errors = Vec::new();
    let eid = new.eid.parse::<Eid>();
    if let Err(error) = &eid {
        errors.push(FieldError::new("/eid", error.to_string()));
    }
    let label = read_label(new.label, &mut errors);
    let tags = read_tags(new.tags.unwrap_or_default(), &mut errors);
    let result_policy = read_policy(new.result_policy.as_deref(), &mut errors, eim);
    let association = new.association.unwrap_or_default();
    let counter = read_counter(association.counter_value.unwrap_or(0), &mut errors);
    let token = association.association_token.and_then(|token| read_token(token, &mut errors));
    let eim_id = read_eim_id(association.eim_id.as_deref(), &mut errors, eim);
    // Said in the row, since the usual one may be another when the server is started with another order of identities.
    let known_as = eim_id.unwrap_or_else(|| eim.identity().eim_id.clone());
    let signing_key = match association.signing_key.as_deref() {
        Some(text) => read_signing_key(text, &known_as, &mut errors, eim),
        None => eim.keys().current(&known_as).map(|key| key.id),
    };
    let (learned_by, told_by) = read_source(association.learned_by.as_deref(), association.told_by, &mut errors);
    let certificates = read_certificates(
        (new.eum_certificate.as_deref(), new.euicc_certificate.as_deref()),
        eid.as_ref().ok(),
        chain,
        &mut errors,
        eim,
    );
    let (Ok(eid), true) = (eid, errors.is_empty()) else { return Err(ManageError::Invalid(errors)) };
    let (eum_certificate, euicc_certificate) = certificates.unzip();
    let mut warnings = vec![];
    if !eid.check_digits_ok() {
        warnings.push("the check digits of the EID are wrong".to_owned());
    }
    let mut key_facts = KeyFacts::default();
    // Whoever says which key it trusts tells of a device that was known elsewhere, as an export does.
    if learned_by == LearnedBy::Registered && (counter > CounterValue::ZERO || association.signing_key.is_some()) {
        key_facts.doubt(now);
    }
    Ok(Euicc {
        eid,
        version: 1,
        label,
        tags,
        result_policy,
        state: EuiccState::Registered,
        counter,
        association_token: token,
        eum_certificate,
        euicc_certificate,
        capabilities: None,
        last_seen_at: None,
        poll_interval_ms: None,
        r_plmn: None,
        state_change_cause: None,
        profiles_stale: true,
        profiles_listed_at: None,
        profiles_verified: false,
        data_refreshed_at: None,
        list_facts: Default::default(),
        certificates_asked_at: None,
        warnings,
        created_at: now,
        rules_authorisation_table: None,
        eim_id: Some(known_as),
        signing_key,
        key_facts,
        own_association: OwnAssociation::told(learned_by, told_by, now),
    })
}

/// How the association became known, and who told it.
pub(super) fn read_source(
    word: Option<&str>,
    told_by: Option<String>,
    errors: &mut Vec<FieldError>,
) -> (LearnedBy, Option<String>) {
    let told = [LearnedBy::Registered, LearnedBy::Manufacturing, LearnedBy::AddInitialEim, LearnedBy::Handover];
    let learned_by = match word {
        None if told_by.is_some() => LearnedBy::Handover,
        None => LearnedBy::Registered,
        Some(word) => LearnedBy::from_word(word).filter(|word| told.contains(word)).unwrap_or_else(|| {
            let message = format!("one of {} is expected", told.map(LearnedBy::as_str).join(", "));
            errors.push(FieldError::new("/association/learnedBy", message));
            LearnedBy::Registered
        }),
    };
    if let Some(eim_id) = &told_by {
        if eim_id.contains('\0') || eim_id.parse::<EimId>().is_err() {
            errors.push(FieldError::new("/association/toldBy", "an eimId of 1 to 128 octets is expected"));
        }
        if learned_by != LearnedBy::Handover {
            errors.push(FieldError::new("/association/toldBy", "it goes with learnedBy handover alone"));
        }
    }
    (learned_by, told_by)
}

pub(super) fn read_label(label: Option<String>, errors: &mut Vec<FieldError>) -> Option<String> {
    if label.as_ref().is_some_and(|label| label.len() > TEXT_MAX || label.contains('\0')) {
        errors.push(FieldError::new(
            "/label",
            format!("a text of at most {TEXT_MAX} octets, none of them zero, is expected"),
        ));
    }
    label.filter(|label| !label.is_empty())
}

pub(super) fn read_tags(mut tags: Vec<String>, errors: &mut Vec<FieldError>) -> Vec<String> {
    if tags.len() > TAGS_MAX || tags.iter().any(|tag| tag.is_empty() || tag.len() > TEXT_MAX || tag.contains('\0')) {
        let message = format!("at most {TAGS_MAX} tags of 1 to {TEXT_MAX} octets, none of them zero, are expected");
        errors.push(FieldError::new("/tags", message));
    }
    tags.sort();
    tags.dedup();
    tags
}

pub(super) fn read_policy(policy: Option<&str>, errors: &mut Vec<FieldError>, eim: &Eim) -> ResultPolicy {
    match policy.map(ResultPolicy::from_word) {
        None | Some(Some(ResultPolicy::Verified)) => ResultPolicy::Verified,
        Some(Some(ResultPolicy::Lab)) if eim.lab().is_some() => ResultPolicy::Lab,
        Some(Some(ResultPolicy::Lab)) => {
            let message = "the lab policy is refused: this server does not allow it ([lab] enabled = false)";
            errors.push(FieldError::new("/resultPolicy", message));
            ResultPolicy::Verified
        }
        Some(None) => {
            errors.push(FieldError::new("/resultPolicy", "verified or lab is expected"));
            ResultPolicy::Verified
        }
    }
}

pub(super) fn read_counter(value: i64, errors: &mut Vec<FieldError>) -> CounterValue {
    CounterValue::try_from(value).unwrap_or_else(|error| {
        errors.push(FieldError::new("/association/counterValue", error.to_string()));
        CounterValue::ZERO
    })
}

pub(super) fn read_token(value: i64, errors: &mut Vec<FieldError>) -> Option<AssociationToken> {
    if !(0..=i64::from(i32::MAX)).contains(&value) {
        let message = "the token that the eUICC holds is expected: 0 to 2147483647";
        errors.push(FieldError::new("/association/associationToken", message));
        return None;
    }
    Some(AssociationToken::new(value))
}

/// The name of this eIM that an eUICC knows; `None` for the usual one.
pub(super) fn read_eim_id(text: Option<&str>, errors: &mut Vec<FieldError>, eim: &Eim) -> Option<EimId> {
    let named = eim.identity_named(text?);
    if named.is_none() {
        errors.push(FieldError::new("/association/eimId", "this server has no such eimId"));
    }
    named.map(|identity| identity.eim_id.clone()).filter(|eim_id| *eim_id != eim.identity().eim_id)
}

/// The key that an eUICC trusts: one that is loaded, and of the eIM that it knows.
pub(super) fn read_signing_key(text: &str, eim_id: &EimId, errors: &mut Vec<FieldError>, eim: &Eim) -> Option<KeyId> {
    let key = text.parse::<KeyId>().ok().and_then(|id| eim.keys().get(id)).filter(|key| key.eim_id == *eim_id);
    if key.is_none() {
        let message = "the id of a signing key of this eIM that is loaded is expected; see GET /api/v1/signing-keys";
        errors.push(FieldError::new("/association/signingKey", message));
    }
    key.map(|key| key.id)
}

/// Whether certificates that are kept must chain to a trusted CI now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chain {
    /// They must, where there are roots to tell by.
    Trusted,
    /// Their CI may be one that is trusted later; nothing is believed by them before.
    MayComeLater,
}

/// Reads the EUM certificate and the eUICC certificate. Those that can't be trusted now are refused where there are roots
/// to tell by; without roots they are kept, and nothing is believed until there are.
pub(super) fn read_certificates(
    (eum, euicc): (Option<&str>, Option<&str>),
    eid: Option<&Eid>,
    chain: Chain,
    errors: &mut Vec<FieldError>,
    eim: &Eim,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut read = |pointer: &str, text: &str| {
        let der = STANDARD.decode(text).ok().filter(|der| pki::Certificate::parse(der).is_ok());
        if der.is_none() {
            errors.push(FieldError::new(pointer, "base64 of a DER certificate is expected"));
        }
        der
    };
    let (eum, euicc) = match (eum, euicc) {
        (None, None) => return None,
        (Some(eum), Some(euicc)) => (read("/eumCertificate", eum), read("/euiccCertificate", euicc)),
        (Some(_), None) => {
            errors.push(FieldError::new("/euiccCertificate", "both certificates or none are expected"));
            return None;
        }
        (None, Some(_)) => {
            errors.push(FieldError::new("/eumCertificate", "both certificates or none are expected"));
            return None;
        }
    };
    let (eum, euicc, eid) = (eum?, euicc?, eid?);
    let judged = match pki::verify_euicc_chain(eim.trust(), &eum, &euicc, eim.clock().now(), eid) {
        Ok(_) => Ok(()),
        Err(pki::TrustError::UntrustedCi { .. }) if chain == Chain::MayComeLater => {
            pki::check_below_ci(&eum, &euicc, eid)
        }
        Err(_) if eim.trust().is_empty() && chain == Chain::Trusted => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = judged {
        errors.push(FieldError::new("/euiccCertificate", format!("the certificates are not trusted: {error}")));
    }
    Some((eum, euicc))
}

/// An idempotency key with the digest of what it stands for.
pub(super) fn idempotency(
    key: &str,
    function: &str,
    request: &Value,
    eim: &Eim,
) -> Result<IdempotencyKey, ManageError> {
    if key.is_empty() || key.len() > 255 {
        return Err(ManageError::invalid("/Idempotency-Key", "a key of 1 to 255 octets is expected"));
    }
    let text = format!("{function}\n{request}");
    let holds_secrets = [Kind::ProfileDownload.as_str(), "to", "plan", "then", "codes", "obtain"];
    let fingerprint = if holds_secrets.iter().any(|name| request.get(name).is_some()) {
        // A digest alone would let whoever reads the database try out confirmation codes.
        eim.sealing().fingerprint(text.as_bytes()).to_vec()
    } else {
        ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref().to_vec()
    };
    Ok(IdempotencyKey { key: key.to_owned(), fingerprint })
}

/// What the same request made before under its key; `None` when it is to be carried out now. Looked up after what it decides
/// on was read: who then sees its effect sees its key, too.
///
/// # Errors
/// `Conflict` when the key was used for another request.
pub(super) async fn earlier(key: Option<&IdempotencyKey>, eim: &Eim) -> Result<Option<String>, ManageError> {
    let Some(key) = key else { return Ok(None) };
    match eim.store().earlier_request(key.clone()).await? {
        Some(SavedOnce::Before { resource }) => Ok(Some(resource)),
        Some(_) => Err(key_taken()),
        None => Ok(None),
    }
}

pub(super) fn key_taken() -> ManageError {
    ManageError::Conflict {
        slug: "idempotency-key-taken",
        message: "this Idempotency-Key was used for another request".to_owned(),
    }
}
